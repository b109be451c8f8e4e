"""What masks cost a Transformer, what its input costs, how fast it is in PyTorch, and what a cache wins in translating.

Times are of the processor, for those on the clock are also of whoever shares the machine.

    python benchmarks/translation.py --repeats=5
    python benchmarks/translation.py --repeats=5 --torch_python=PYTHON
"""

import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import tf_lottery  # selects Keras 2 before TensorFlow is imported

import numpy as np
import tensorflow as tf
from absl import app
from benchmarks import measure, pytorch
from benchmarks.training import network_of
from tf_lottery.configs import multi30k_transformer
from tf_lottery.data import buckets
from tf_lottery.models import decoding, transformer
from tf_lottery.tasks.translation import TranslationTask
from tf_lottery.training.trainer import Seeds, Settings, TrainingModel

SEEDS = Seeds(0, 1, 2)
PAIRS, WORDS, STEPS, SENTENCES, RATE = 6000, 4000, 12, 128, 1e-3


def write_text(folder):
    """Random words in sentences about as long as those of Multi30k: speed does not depend on what is said."""
    rng = np.random.default_rng(0)
    words = [''.join(rng.choice(list('abcdefghijklmnopqrst'), rng.integers(2, 8))) for _ in range(WORDS)]
    folder.mkdir()
    for split, count in (('train', PAIRS), ('val', 100), ('test', SENTENCES)):
        lengths = np.clip(rng.normal(8, 2.5, count).round().astype(int), 2, 25)
        for language in ('de', 'en'):
            spoken = np.maximum(lengths + rng.integers(-1, 2, count), 1)
            (folder / f'{split}.{language}').write_text('\n'.join(
                ' '.join(rng.choice(words, length)) for length in spoken))


def trained(task, feed, settings, batches, masked):
    """Returns a function that takes STEPS steps, with a fifth of the weights left or without masks."""
    network = network_of(task, masked)
    model = TrainingModel(network, task, feed, settings)
    model.compile(tf_lottery.Adam(RATE, jit_compile=False))
    step = tf.function(model.train_step, input_signature=[feed.training(SEEDS, [0, 1], 0).element_spec])

    def work():
        for batch in batches:
            loss = step(batch)['loss']
        loss.numpy()

    return work


def translated(task, source, cached):
    """Returns a function that translates sentences to the length of the longest, with a cache or without."""
    network = task.network(0)
    parts = transformer.parts(task.form, network)
    if cached:
        search = tf.function(decoding.search(task.form, network))
        return lambda: search(source)[0].numpy()

    @tf.function
    def encoded():
        memory, seen = parts.encode(source)
        return parts.remembered(memory), seen

    @tf.function(reduce_retracing=True)
    def next_said(said, memory, seen):
        logits = parts.decode(said, network.get_layer('not_later')(said), memory, seen)
        return tf.concat([said, tf.argmax(logits[:, -1:], -1, tf.int32)], 1)

    def work():
        said = tf.fill([len(source), 1], decoding.BEGIN)
        memory, seen = encoded()
        for _ in range(source.shape[1]):
            said = next_said(said, memory, seen)
        said.numpy()

    return work


def in_torch(config, batches):
    """The sides of `pytorch.sides` that train on the same batches."""
    own = config.translation
    sizes = {name: own[name] for name in ('vocabulary', 'layers', 'width', 'heads', 'feed_forward', 'dropout')}
    return pytorch.sides(
        'translation', {**sizes, 'smoothing': config.training.label_smoothing, 'learning_rate': RATE},
        [{name: batch[name].numpy() for name in ('source', 'target')} for batch in batches])


def main(argv):
    del argv
    config = multi30k_transformer.get_config()
    config.translation.data = 'random'
    # As many turns as the text has words: an untrained network ends no sentence.
    decoding.LONGER = 0
    settings = Settings(batch_size=128, optimizer='adam', learning_rate=RATE, momentum=0.9, evaluate_every=10**9,
                        checkpoint_every=10**9, block=100, jit=False)
    with tempfile.TemporaryDirectory() as folder:
        write_text(pathlib.Path(folder, 'random'))
        task = TranslationTask(config, folder)
        lower = config.copy_and_resolve_references()
        lower.training.precision = 'mixed_bfloat16'
        low = TranslationTask(lower, folder)
        feed = task.feed(settings, tf.distribute.get_strategy(), folder)
        source, _ = task.corpus(folder).encoded('test')
    batches = list(feed.training(SEEDS, [0, STEPS], 0))
    tokens = sum(int(batch['source'].shape.num_elements() + batch['target'].shape.num_elements()) for batch in batches)
    source = buckets.pad(source, max(map(len, source)))
    with in_torch(config, batches) as torch:
        seconds = measure.interleaved({
            'masked': trained(task, feed, settings, batches, True),
            'dense': trained(task, feed, settings, batches, False),
            'masked bfloat16': trained(low, feed, settings, batches, True), **torch,
            'input': lambda: list(feed.training(SEEDS, [0, STEPS], 0)),
            'cached': translated(task, source, True), 'anew': translated(task, source, False)},
            measure.REPEATS.value, time.process_time)
    rates = {name: measure.rate(tokens, seconds[name], 'tokens') for name in ('masked', 'dense', 'input')}
    rates |= {name: measure.rate(len(source), seconds[name], 'sentences') for name in ('cached', 'anew')}
    measure.header()
    for over, under, what, asked in (
            ('masked', 'dense', 'a small Transformer, masked / dense, processor time', 'at most 1.1'),
            ('masked', 'input', 'its input alone / training, tokens/s of a core', 'at least 5'),
            ('anew', 'cached', 'translating with a cache / without, sentences/s of a core', 'more than 1')):
        named = (over, under) if over == 'masked' and under == 'dense' else (under, over)
        measure.row(what, ', '.join(rates[name] for name in named), measure.ratio(seconds[over], seconds[under]), asked)
    measure.row('tokens that are padding', f'{feed.buckets.waste:.3f} of {len(feed.buckets.buckets)} shapes',
                feed.buckets.waste, 'at most 0.2')
    pytorch.rows('a small Transformer', tokens, 'tokens', seconds)


if __name__ == '__main__':
    app.run(main)
