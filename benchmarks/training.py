"""What masks cost in training, what the block of steps wins, and how far LeNet is from its matrix products.

    python benchmarks/training.py --repeats=5
"""

import concurrent.futures
import functools
import multiprocessing
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import tf_lottery  # selects Keras 2 before TensorFlow is imported

import numpy as np
import tensorflow as tf
import tf_keras
from absl import app
from benchmarks import measure
from tf_lottery import data
from tf_lottery.runtime import distribute
from tf_lottery.training.order import block_dataset
from tf_lottery.models import lenet, resnet
from tf_lottery.pruning import wrapper
from tf_lottery.ticket import Ticket
from tf_lottery.training.feeds import MemoryFeed
from tf_lottery.training.trainer import Seeds, Settings, Trainer, TrainingModel

WEIGHTS = 784 * 300 + 300 * 100 + 100 * 10
BATCH = 60


def examples(number, *shape):
    """Random images and labels: speed does not depend on what is in them."""
    rng = np.random.default_rng(0)
    return data.Split(rng.integers(0, 256, (number, *shape), np.uint8), rng.integers(0, 10, number, np.int32))


def feed(split, own):
    """A feed that trains on a split."""
    return MemoryFeed(data.Splits(split, split, split), own, tf.distribute.get_strategy())


def build_lenet():
    return lenet.build((28, 28, 1), 10, 0)


def build_resnet():
    return resnet.build((32, 32, 3), 10, 0)


def settings(batch, jit, crop_pixels=0, flip=False):
    return Settings(batch_size=batch, optimizer='adam', learning_rate=1.2e-3, momentum=0.9, evaluate_every=100,
                    checkpoint_every=5000, block=100, crop_pixels=crop_pixels, flip=flip, brightest=255.0, jit=jit)


class Clock(tf_keras.callbacks.Callback):
    """The seconds from the first step of a `fit` to its last: what is asked is how fast steps are.

    tf.data may hold the end of Keras's own `fit` for seconds (docs/performance.md), which would flatter us.
    """

    def on_train_begin(self, logs=None):
        self._began = None

    def on_train_batch_end(self, batch, logs=None):
        # The first block may have traced and compiled; it only starts the clock.
        self._began = self._began or time.perf_counter()
        self.seconds = time.perf_counter() - self._began


def our_path(build, split, batch, steps, masked, jit, block=100, clocked=True, **augmentation):
    """Returns a function that trains for `steps` steps in blocks, with a fifth of the weights left or without masks."""
    network = build()
    if masked:
        network = wrapper.prunable(network)
        wrapper.set_mask(network, sparse_mask(network))
        for holder in wrapper.wrappers(network).values():
            holder.zeros_held = True
    own = settings(batch, jit, **augmentation)
    model = TrainingModel(network, feed(split, own), own)
    model.compile(tf_lottery.Adam(1.2e-3, jit_compile=False), jit_compile=jit)
    boundaries = list(range(0, steps + block + 1, block))
    return timed(lambda clock: model.fit(block_dataset(0, boundaries, block, len(split), batch), verbose=0,
                                         callbacks=[clock]), clocked)


def sparse_mask(network):
    mask, rng = wrapper.get_mask(network), np.random.default_rng(0)
    return type(mask)({name: rng.random(array.shape) < 0.2 for name, array in mask.items()})


def plain_keras(build, split, batch, steps, masked=False, jit=True, block=100, epochs=1, clocked=True):
    """Keras `fit` as its guide would have it: a block of steps per execution, compiled by XLA where that pays."""
    model = build()
    if masked:
        model = wrapper.prunable(model)
        wrapper.set_mask(model, sparse_mask(model))
    model.compile(tf_keras.optimizers.Adam(1.2e-3, jit_compile=False),
                  tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), steps_per_execution=block,
                  jit_compile=jit)
    number = (steps + block) * batch
    images, labels = split.images[:number].astype(np.float32) / 255, split.labels[:number]
    return timed(lambda clock: model.fit(images, labels, batch_size=batch, epochs=epochs, verbose=0,
                                         callbacks=[clock]), clocked)


def timed(fit, clocked):
    """Makes a function without arguments from one that fits with a clock; if `clocked` it returns the clock's time."""
    def work():
        clock = Clock()
        fit(clock)
        return clock.seconds if clocked else None

    return work


@functools.cache
def lenet_by_keras(steps, epochs, masked, clocked):
    return plain_keras(build_lenet, examples(55_000, 28, 28, 1), BATCH, steps, masked, epochs=epochs, clocked=clocked)


def keras_seconds(*setting):
    began = time.perf_counter()
    return lenet_by_keras(*setting)() or time.perf_counter() - began


class Elsewhere:
    """Keras's own `fit` in a process of its own, which is started with the environment as it is now."""

    def __enter__(self):
        self._process = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context('spawn'))
        # It starts with its first task.
        self._process.submit(os.getpid).result()
        return self

    def __exit__(self, *error):
        self._process.shutdown()

    def lenet(self, steps, epochs=1, masked=False, clocked=True):
        """Returns a function that fits there and returns the seconds it took."""
        return lambda: self._process.submit(keras_seconds, steps, epochs, masked, clocked).result()


def lenet_steps(repeats, elsewhere):
    """Masked and dense in blocks, and by plain Keras; 800 steps each after a first hundred (an epoch has 916)."""
    split, steps = examples(55_000, 28, 28, 1), 800
    seconds = measure.interleaved({
        'masked': our_path(build_lenet, split, BATCH, steps, True, jit=True),
        'dense': our_path(build_lenet, split, BATCH, steps, False, jit=True),
        'keras': elsewhere.lenet(steps), 'keras masked': elsewhere.lenet(steps, masked=True)}, repeats)
    speed = {name: measure.rate(steps, values, 'steps') for name, values in seconds.items()}
    measure.row('LeNet, masked / dense, time', f'{speed["masked"]}, {speed["dense"]}',
                measure.ratio(seconds['masked'], seconds['dense']), 'at most 1.1')
    # What `hold_zeros` gives is such a model.
    measure.row('LeNet, Keras `fit` with its zeros held / dense, time', f'{speed["keras masked"]}, {speed["keras"]}',
                measure.ratio(seconds['keras masked'], seconds['keras']), 'at most 1.1')
    against_keras('masked in blocks', seconds, steps)


def whole_fits(repeats, elsewhere):
    """Five epochs from the call of `fit` to its return, which is what a user waits for."""
    split, epochs = examples(55_000, 28, 28, 1), 5
    steps, first = epochs * (len(split) // BATCH), len(split) // BATCH - 100
    seconds = measure.interleaved({
        'masked': our_path(build_lenet, split, BATCH, steps - 100, True, jit=True, clocked=False),
        'keras': elsewhere.lenet(first, epochs, clocked=False),
        'keras masked': elsewhere.lenet(first, epochs, masked=True, clocked=False)}, repeats)
    against_keras('five epochs by one call of `fit`, masked in blocks', seconds, steps)


def against_keras(what, seconds, steps):
    for side, model, asked in (('keras masked', 'of the same masked model', 'at least 1.8'),
                               ('keras', 'of the dense model', 'for comparison')):
        measure.row(f'LeNet, {what} / Keras `fit` {model}, steps/s',
                    f'{measure.rate(steps, seconds["masked"], "steps")}, {measure.rate(steps, seconds[side], "steps")}',
                    measure.ratio(seconds[side], seconds['masked']), asked)


def protocol(repeats):
    """Training with an evaluation of 15,000 images every 100 steps, against the matrix products in it."""
    steps = 1000
    splits = data.Splits(*(examples(number, 28, 28, 1) for number in (55_000, 5_000, 10_000)))
    own, strategy = settings(BATCH, jit=True), tf.distribute.get_strategy()
    trainer = Trainer(build_lenet, MemoryFeed(splits, own, strategy), own, strategy)
    ticket = Ticket(sparse_mask(trainer.network), wrapper.get_weights(trainer.network))
    gemm, operations = measure.gemm()
    seconds = measure.interleaved({
        'protocol': lambda: trainer.train(ticket, Seeds(0, 1, 2), steps), 'gemm': gemm}, repeats)
    # A step takes a product forwards and two backwards, but for the first layer, whose input needs no gradient.
    needed = steps * 2 * BATCH * (3 * WEIGHTS - 784 * 300) + steps / 100 * 15_000 * 2 * WEIGHTS
    bounds = [needed / (operations / gemm_seconds) for gemm_seconds in seconds['gemm']]
    measure.row('LeNet protocol, GEMM bound / time',
                f'{measure.rate(steps, seconds["protocol"], "steps")}, '
                f'{operations / statistics.median(seconds["gemm"]) / 1e9:.0f} GFLOP/s',
                measure.ratio(bounds, seconds['protocol']), 'at least 0.4')


def resnet_steps(repeats):
    """ResNet-20 at batch 128; XLA is off, as it is by default for convolutions on a CPU."""
    split, steps, batch = examples(5_000, 32, 32, 3), 12, 128
    seconds = measure.interleaved({
        name: our_path(build_resnet, split, batch, steps, masked, jit=False, block=4)
        for name, masked in (('masked', True), ('dense', False))}, repeats)
    measure.row('ResNet-20, masked / dense, time',
                f'{measure.rate(steps * batch, seconds["masked"], "images")}, '
                f'{measure.rate(steps * batch, seconds["dense"], "images")}',
                measure.ratio(seconds['masked'], seconds['dense']), 'at most 1.05')


def main(argv):
    del argv
    measure.header()
    # Keras has XLA as it comes, and ours as main.py sets it up.
    with Elsewhere() as elsewhere:
        distribute.prefer_eigen()
        lenet_steps(measure.REPEATS.value, elsewhere)
        whole_fits(measure.REPEATS.value, elsewhere)
    protocol(measure.REPEATS.value)
    resnet_steps(measure.REPEATS.value)


if __name__ == '__main__':
    app.run(main)
