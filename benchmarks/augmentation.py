"""What augmentation costs the training of ResNet-20 on CIFAR images, how fast it is alone, and what bfloat16 wins.

    python benchmarks/augmentation.py --repeats=5
"""

import functools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import tf_lottery  # noqa: F401  selects Keras 2 before TensorFlow is imported

import tensorflow as tf
from absl import app
from benchmarks import measure, tasks, training
from tf_lottery.training.order import block_dataset

BATCH, STEPS, BLOCK = 128, 12, 4


def augmented(precision):
    return tasks.resnet20(data__crop_pixels=4, data__flip=True, training__precision=precision)


def input_alone(task, steps, block=100):
    """Returns a function that draws, gathers and augments the batches of `steps` steps as training does."""
    feed = task.feed(training.settings(BATCH, jit=False), tf.distribute.get_strategy())

    @tf.function
    def augment(data):
        def body(number, brightest):
            batch = feed.batch({'indices': data['indices'][number], 'step': data['first_step'] + number,
                                'row': tf.range(BATCH)}, tf.constant(0))
            return number + 1, tf.maximum(brightest, tf.reduce_max(task.inputs(batch)))

        return tf.while_loop(lambda number, _: number < data['steps'], body, (0, 0.0))[1]

    def work():
        for data in block_dataset(0, list(range(0, steps + 1, block)), block, feed.examples, BATCH):
            brightest = augment(data)
        brightest.numpy()

    return work


def main(argv):
    del argv
    many, task = 100 * STEPS, augmented('float32')
    # XLA is off, as it is by default for convolutions on a CPU.
    path = functools.partial(training.our_path, batch=BATCH, steps=STEPS, masked=True, jit=False, block=BLOCK)
    seconds = measure.interleaved({
        'ours': path(task), 'bfloat16': path(augmented('mixed_bfloat16')),
        'keras': training.plain_keras(task, BATCH, STEPS, jit=False, block=BLOCK),
        'input': input_alone(task, many)}, measure.REPEATS.value)
    rate = {name: measure.rate((many if name == 'input' else STEPS) * BATCH, values, 'images')
            for name, values in seconds.items()}
    measure.header()
    measure.row('ResNet-20, masked and augmented in blocks / plain Keras `fit` without either, images/s',
                f'{rate["ours"]}, {rate["keras"]}', measure.ratio(seconds['keras'], seconds['ours']), 'at least 0.95')
    for name, title in (('ours', 'float32'), ('bfloat16', '`mixed_bfloat16`')):
        measure.row(f'augmented CIFAR input alone / what ResNet-20 consumes in {title}, images/s',
                    f'{rate["input"]}, {rate[name]}',
                    measure.ratio(seconds[name], seconds['input']) * many / STEPS, 'at least 5')
    measure.row('ResNet-20, augmented, `mixed_bfloat16` / float32, images/s', f'{rate["bfloat16"]}, {rate["ours"]}',
                measure.ratio(seconds['ours'], seconds['bfloat16']), 'at least 1.4')


if __name__ == '__main__':
    app.run(main)
