"""What masks cost a training step of ResNet-50, and how long a run that was killed takes to go on.

    TFDS_DATA_DIR=... python benchmarks/imagenet_training.py --repeats=5
"""

import pathlib
import sys
import tempfile
import types

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import tf_lottery  # noqa: F401  selects Keras 2 before TensorFlow is imported

import numpy as np
import tensorflow as tf
from absl import app
from benchmarks import measure, training
from configs import imagenet_rehearsal
from tf_lottery.experiment import config
from tf_lottery.steps import per_epoch
from tf_lottery.pruning import wrapper
from tf_lottery.tasks.images import ImageTask
from tf_lottery.ticket import Ticket
from tf_lottery.training import optimizers
from tf_lottery.training.checkpoints import Checkpoint
from tf_lottery.training.trainer import Seeds, Settings, Trainer, TrainingModel

# As compiled by XLA; on a CPU no more pixels than these take seconds a step.
PIXELS, BATCH, STEPS = 64, 8, 4


def settings(batch, jit, every=1):
    return Settings(batch_size=batch, optimizer='momentum', learning_rate=0.1, momentum=0.9, evaluate_every=every,
                    checkpoint_every=every, block=100, jit=jit)


def model(pixels, batch, masked, jit):
    """A ResNet-50 that is ready to be trained, a fifth of its weights left or without masks."""
    own = config.defaults()
    own.data.name, own.data.image_size, own.model.name = 'imagenet2012', pixels, 'resnet50'
    task = ImageTask(own)
    network = training.network_of(task, masked)
    feed = types.SimpleNamespace(blocks=False, batch=lambda element, seed: element)
    made = TrainingModel(network, task, feed, settings(batch, jit))
    made.optimizer = optimizers.build('momentum', 0.1)
    made.optimizer.build(network.trainable_variables)
    return made


def steps(made, element, count):
    """Returns a function that takes so many training steps."""
    step = tf.function(made._optimizer_step, jit_compile=made.settings.jit)
    step(element)

    def work():
        for _ in range(count):
            loss = step(element)
        loss.numpy()

    return work


def constant(pixels, batch):
    rng = np.random.default_rng(0)
    return {'image': tf.constant(rng.integers(0, 256, (batch, pixels, pixels, 3), np.uint8)),
            'label': tf.constant(rng.integers(0, 1000, batch, np.int32)), 'row': tf.range(batch),
            'step': tf.constant(0)}


def rehearsal(folder):
    """Three functions: an epoch of the rehearsal, how a run that goes on in mid-epoch gets its state back, and that
    with its first batch."""
    protocol = config.check(imagenet_rehearsal.get_config())
    task, batch = protocol.task, protocol.config.training.batch_size
    epoch, strategy = per_epoch(protocol.facts.train, batch), tf.distribute.get_strategy()
    own = settings(batch, jit=False, every=epoch)
    trainer = Trainer(task, task.feed(own, strategy), own, strategy)
    ticket = Ticket(training.sparse_mask(trainer.network), wrapper.get_weights(trainer.network))
    saved = Checkpoint(f'{folder}/saved')
    saved.save(epoch // 2, trainer.state(), [])

    def whole():
        checkpoint = Checkpoint(f'{folder}/new')
        trainer.train(ticket, Seeds(0, 0, 0), epoch, checkpoint=checkpoint)
        checkpoint.remove()

    def restoring():
        step = saved.load(trainer.state()).step
        wrapper.hold_mask(trainer.network, ticket.mask)
        return step

    def resuming():
        next(iter(trainer.feed.training(Seeds(0, 0, 0), [restoring(), epoch], 0)))

    return whole, restoring, resuming


def main(argv):
    del argv
    measure.header()
    # First, as in a process that has just been started: what other networks leave in memory would slow it down.
    with tempfile.TemporaryDirectory() as folder:
        epoch, restoring, resuming = rehearsal(folder)
        seconds = measure.interleaved(
            {'epoch': epoch, 'restoring': restoring, 'resuming': resuming}, measure.REPEATS.value)
    for side, what, asked in (('restoring', 'checkpoint read and masks set', 'for comparison'),
                              ('resuming', 'checkpoint read and first batch in mid-epoch', 'under 0.1')):
        measure.row(f'the ImageNet rehearsal, {what} / an epoch, time',
                    f'{np.median(seconds[side]):.2f} s, {np.median(seconds["epoch"]):.1f} s',
                    measure.ratio(seconds[side], seconds['epoch']), asked)
    element = constant(PIXELS, BATCH)
    seconds = measure.interleaved({
        'masked': steps(model(PIXELS, BATCH, True, jit=True), element, STEPS),
        'dense': steps(model(PIXELS, BATCH, False, jit=True), element, STEPS)}, measure.REPEATS.value)
    measure.row(f'ResNet-50 at {PIXELS} pixels, masked / dense, time',
                ', '.join(measure.rate(STEPS * BATCH, seconds[name], 'images') for name in ('masked', 'dense')),
                measure.ratio(seconds['masked'], seconds['dense']), 'at most 1.03')


if __name__ == '__main__':
    app.run(main)
