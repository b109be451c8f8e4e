"""What training an LSTM language model takes: masked or dense, by our layer, Keras's or PyTorch's, and the input alone.

Times are of the processor, for the loops of so small a network leave the second core to whoever wants it.

    python benchmarks/words.py --repeats=5
    python benchmarks/words.py --repeats=5 --torch_python=PYTHON
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import tf_lottery  # noqa: F401  selects Keras 2 before TensorFlow is imported

import numpy as np
import tensorflow as tf
import tf_keras
from absl import app
from benchmarks import measure, pytorch, training
from tf_lottery.data.text import Text
from tf_lottery.experiment import config
from tf_lottery.tasks.language_model import LanguageModel
from tf_lottery.training import optimizers
from tf_lottery.training.trainer import Seeds, Settings, TrainingModel

# The small network of configs/ptb_lstm.py, and the steps that times are given for.
UNITS, VOCABULARY, BATCH, WINDOW, STEPS, DROPOUT, RATE = 200, 2000, 30, 50, 10, 0.2, 2e-3


class RandomText(LanguageModel):
    """The task on a text of random words, as speed does not depend on what is in it."""

    def __init__(self, layer=None, precision='float32'):
        settings = config.defaults()
        settings.update_from_flattened_dict({
            'language_model.units': UNITS, 'language_model.dropout': DROPOUT, 'training.batch_size': BATCH,
            'language_model.steps': WINDOW, 'training.precision': precision})
        super().__init__(settings)
        words = np.random.default_rng(0).integers(0, VOCABULARY, BATCH * WINDOW * STEPS, np.int32)
        self._text = Text(('<eos>', *map(str, range(1, VOCABULARY))), words, words[:999], words[:999], '')
        self._size, self._layer = self._text.size, layer

    def network(self, seed):
        return super().network(seed) if self._layer is None else self._layer(seed)


def by_keras(seed):
    """The same network by Keras's LSTM."""
    tf_keras.utils.set_random_seed(seed)
    words = tf_keras.Input((None,), dtype='int32')
    states = [tf_keras.Input((UNITS,)) for _ in range(4)]
    values, after = tf_keras.layers.Embedding(VOCABULARY, UNITS)(words), []
    for number in range(2):
        values, *own = tf_keras.layers.LSTM(UNITS, return_sequences=True, return_state=True)(
            values, initial_state=states[2 * number:2 * number + 2])
        values = values if number else tf_keras.layers.Dropout(DROPOUT)(values)
        after += own
    return tf_keras.Model([words, *states], [tf_keras.layers.Dense(VOCABULARY)(values), *after])


def side(masked=True, layer=None, jit=False, learns=True, precision='float32'):
    """Returns a function that trains STEPS steps."""
    task = RandomText(layer, precision)
    network = training.network_of(task, masked)
    settings = Settings(batch_size=BATCH, optimizer='adam', learning_rate=RATE, momentum=0.0, evaluate_every=STEPS,
                        checkpoint_every=STEPS, block=STEPS, jit=jit)
    feed = task.feed(settings, tf.distribute.get_strategy())
    model = TrainingModel(network, task, feed, settings)
    model.compile(optimizers.build('adam', RATE))
    model.optimizer.build(network.trainable_variables)

    def read(element):
        return tf.cast(tf.reduce_sum(feed.batch(element, None)['words']), tf.float32)

    @tf.function(jit_compile=jit)
    def take(block):
        return feed.train(network, block, model._optimizer_step if learns else read)

    def work():
        for block in feed.training(Seeds(0, 0, 0), [0, STEPS], 0):
            take(block)[0].numpy()

    return work


def main(argv):
    del argv
    sizes = {'vocabulary': VOCABULARY, 'units': UNITS, 'layers': 2, 'dropout': DROPOUT, 'batch': BATCH,
             'learning_rate': RATE}
    words = np.random.default_rng(0).integers(0, VOCABULARY, (STEPS, BATCH, WINDOW + 1), np.int32)
    with pytorch.sides('words', sizes, [{'words': each} for each in words]) as torch:
        seconds = measure.interleaved({
            'masked': side(), 'dense': side(masked=False), 'keras': side(layer=by_keras), 'xla': side(jit=True),
            'masked bfloat16': side(precision='mixed_bfloat16'), **torch, 'input': side(learns=False)},
            measure.REPEATS.value, time.process_time)
    measure.header()
    rate = {name: measure.rate(BATCH * WINDOW * STEPS, values, 'words') for name, values in seconds.items()}
    for other, title, asked in (('dense', 'masked / dense, processor time', 'at most 1.1'),
                                ('keras', "our layer / Keras's LSTM, processor time", 'for comparison'),
                                ('xla', 'without XLA / with it, processor time', 'for comparison')):
        measure.row(f'LSTM of 2 x {UNITS}, {title}', f'{rate["masked"]}, {rate[other]}',
                    measure.ratio(seconds['masked'], seconds[other]), asked)
    measure.row(f'LSTM of 2 x {UNITS}, training / its input alone, processor time',
                f'{rate["masked"]}, {rate["input"]}', measure.ratio(seconds['masked'], seconds['input']), 'at least 5')
    pytorch.rows(f'LSTM of 2 x {UNITS}', BATCH * WINDOW * STEPS, 'words', seconds)


if __name__ == '__main__':
    app.run(main)
