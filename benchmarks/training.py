"""What masks cost in training, what the block of steps wins, and how far LeNet is from its matrix products.

    python benchmarks/training.py --repeats=5
"""

import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import tf_lottery  # selects Keras 2 before TensorFlow is imported

import numpy as np
import tensorflow as tf
import tf_keras
from absl import app, flags
from benchmarks import measure, tasks
from tf_lottery.pruning import wrapper
from tf_lottery.ticket import Ticket
from tf_lottery.training.order import block_dataset
from tf_lottery.training.trainer import Seeds, Settings, Trainer, TrainingModel

JAX_PYTHON = flags.DEFINE_string(
    'jax_python', '', 'A Python interpreter that has jax and optax, to compare with; none leaves the row out.')
WEIGHTS = 784 * 300 + 300 * 100 + 100 * 10
BATCH = 60
EPOCH = 55_000 // BATCH
# Of LeNet that are timed, after a first hundred.
STEPS = 800


def settings(batch, jit):
    return Settings(batch_size=batch, optimizer='adam', learning_rate=1.2e-3, momentum=0.9, evaluate_every=100,
                    checkpoint_every=5000, block=100, jit=jit)


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


def our_path(task, batch, steps, masked, jit, block=100, clocked=True):
    """Returns a function that trains for `steps` steps in blocks, with a fifth of the weights left or without masks."""
    network = network_of(task, masked)
    own = settings(batch, jit)
    feed = task.feed(own, tf.distribute.get_strategy())
    model = TrainingModel(network, task, feed, own)
    model.compile(tf_lottery.Adam(1.2e-3, jit_compile=False), jit_compile=jit)
    boundaries = list(range(0, steps + block + 1, block))
    return timed(lambda clock: model.fit(block_dataset(0, boundaries, block, feed.examples, batch), verbose=0,
                                         callbacks=[clock]), clocked)


def network_of(task, masked):
    """The network of a task, with a fifth of its weights left or without masks."""
    network = task.network(0)
    if masked:
        network = wrapper.prunable(network)
        wrapper.set_mask(network, sparse_mask(network))
        for holder in wrapper.wrappers(network).values():
            holder.zeros_held = True
    return network


def sparse_mask(network):
    mask, rng = wrapper.get_mask(network), np.random.default_rng(0)
    return type(mask)({name: rng.random(array.shape) < 0.2 for name, array in mask.items()})


def plain_keras(task, batch, steps, masked=False, jit=True, block=100, epochs=1, clocked=True):
    """Keras `fit` as its guide would have it: a block of steps per execution, compiled by XLA where that pays."""
    model = task.network(0)
    if masked:
        model = wrapper.prunable(model)
        wrapper.set_mask(model, sparse_mask(model))
    model.compile(tf_keras.optimizers.Adam(1.2e-3, jit_compile=False),
                  tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), steps_per_execution=block,
                  jit_compile=jit)
    number = (steps + block) * batch
    images, labels = task.split.images[:number].astype(np.float32) / 255, task.split.labels[:number]
    return timed(lambda clock: model.fit(images, labels, batch_size=batch, epochs=epochs, verbose=0,
                                         callbacks=[clock]), clocked)


def timed(fit, clocked):
    """Makes a function without arguments from one that fits with a clock; if `clocked` it returns the clock's time."""
    def work():
        clock = Clock()
        fit(clock)
        return clock.seconds if clocked else None

    return work


def lenet_steps(repeats):
    """Masked and dense in blocks, by plain Keras, as a task of one's own, and in JAX."""
    task, own = tasks.lenet(), tasks.own_lenet()
    sides = {'masked': our_path(task, BATCH, STEPS, True, jit=True),
             'dense': our_path(task, BATCH, STEPS, False, jit=True),
             'own masked': our_path(own, BATCH, STEPS, True, jit=True),
             'own dense': our_path(own, BATCH, STEPS, False, jit=True),
             'keras': plain_keras(task, BATCH, STEPS), 'keras masked': plain_keras(task, BATCH, STEPS, masked=True)}
    with measure.elsewhere(JAX_PYTHON.value, 'lenet_in_jax.py', STEPS) as jax:
        seconds = measure.interleaved({**sides, **({'jax': jax} if jax else {})}, repeats)
    speed = {name: measure.rate(STEPS, values, 'steps') for name, values in seconds.items()}
    measure.row('LeNet, masked / dense, time', f'{speed["masked"]}, {speed["dense"]}',
                measure.ratio(seconds['masked'], seconds['dense']), 'at most 1.1')
    for side in ('masked', 'dense'):
        measure.row(f"LeNet as a task of one's own / the papers' task, {side}, time",
                    f'{speed[f"own {side}"]}, {speed[side]}',
                    measure.ratio(seconds[f'own {side}'], seconds[side]), 'at most 1.1')
    # What `hold_zeros` gives is such a model.
    measure.row('LeNet, Keras `fit` with its zeros held / dense, time', f'{speed["keras masked"]}, {speed["keras"]}',
                measure.ratio(seconds['keras masked'], seconds['keras']), 'at most 1.1')
    against_keras('masked in blocks', seconds, STEPS)
    if jax:
        measure.row("LeNet, masked in blocks / JAX's `lax.scan` with optax, steps/s",
                    f'{speed["masked"]}, {speed["jax"]}', measure.ratio(seconds['jax'], seconds['masked']),
                    'for comparison')
    else:
        print('No row against JAX: give --jax_python an interpreter that has jax and optax.', file=sys.stderr)


def whole_fits(repeats):
    """Five epochs from the call of `fit` to its return, which is what a user waits for."""
    task, epochs = tasks.lenet(), 5
    steps, first = epochs * EPOCH, EPOCH - 100
    seconds = measure.interleaved({
        'masked': our_path(task, BATCH, steps - 100, True, jit=True, clocked=False),
        'keras': plain_keras(task, BATCH, first, epochs=epochs, clocked=False),
        'keras masked': plain_keras(task, BATCH, first, masked=True, epochs=epochs, clocked=False)}, repeats)
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
    task, own, strategy = tasks.lenet(), settings(BATCH, jit=True), tf.distribute.get_strategy()
    trainer = Trainer(task, task.feed(own, strategy), own, strategy)
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
    task, steps, batch = tasks.resnet20(), 12, 128
    seconds = measure.interleaved({
        name: our_path(task, batch, steps, masked, jit=False, block=4)
        for name, masked in (('masked', True), ('dense', False))}, repeats)
    measure.row('ResNet-20, masked / dense, time',
                f'{measure.rate(steps * batch, seconds["masked"], "images")}, '
                f'{measure.rate(steps * batch, seconds["dense"], "images")}',
                measure.ratio(seconds['masked'], seconds['dense']), 'at most 1.05')


def main(argv):
    del argv
    measure.header()
    lenet_steps(measure.REPEATS.value)
    whole_fits(measure.REPEATS.value)
    protocol(measure.REPEATS.value)
    resnet_steps(measure.REPEATS.value)


if __name__ == '__main__':
    app.run(main)
