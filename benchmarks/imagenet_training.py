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
from tf_lottery import config, models
from tf_lottery.pruning import wrapper
from tf_lottery.training import optimizers
from tf_lottery.training.checkpoints import Checkpoint
from tf_lottery.training.feeds import StreamFeed
from tf_lottery.training.trainer import Seeds, Settings, TrainingModel

# As compiled by XLA; on a CPU no more pixels than these take seconds a step.
PIXELS, BATCH, STEPS = 64, 8, 4


def settings(batch, jit):
    return Settings(batch_size=batch, optimizer='momentum', learning_rate=0.1, momentum=0.9, evaluate_every=1,
                    checkpoint_every=1, block=1, crop_pixels=0, brightest=255, jit=jit)


def model(pixels, batch, masked, jit):
    """A ResNet-50 that is ready to be trained, a fifth of its weights left or without masks."""
    network = models.find('resnet50').build((pixels, pixels, 3), 1000, 0)
    if masked:
        network = wrapper.prunable(network)
        wrapper.set_mask(network, training.sparse_mask(network))
        for holder in wrapper.wrappers(network).values():
            holder.zeros_held = True
    feed = types.SimpleNamespace(blocks=False, batch=lambda element, seed: element)
    made = TrainingModel(network, feed, settings(batch, jit))
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


def resuming(made, feed, protocol, folder):
    """Returns a function that does what a run does that goes on in the middle of an epoch, up to its first batch."""
    state = [*wrapper.variables(made.network).values(), *made.optimizer.variables]
    Checkpoint(folder).save(1, state, [])
    middle = feed.steps_per_epoch // 2

    def work():
        Checkpoint(folder).load(state)
        next(iter(feed.training(Seeds(0, 0, 0), [middle, protocol.end_step], 0)))

    return work


def main(argv):
    del argv
    element = constant(PIXELS, BATCH)
    rehearsal = imagenet_rehearsal.get_config()
    protocol = config.check(rehearsal)
    size, batch = protocol.dataset.shape[0], rehearsal.training.batch_size
    feed = StreamFeed(rehearsal.data, protocol.dataset, protocol.validation, settings(batch, jit=False),
                      tf.distribute.get_strategy())
    small = model(size, batch, masked=True, jit=False)
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure.interleaved({
            'masked': steps(model(PIXELS, BATCH, True, jit=True), element, STEPS),
            'dense': steps(model(PIXELS, BATCH, False, jit=True), element, STEPS),
            'epoch': steps(small, constant(size, batch), protocol.end_step // 4),
            'resuming': resuming(small, feed, protocol, folder)}, measure.REPEATS.value)
    measure.header()
    measure.row(f'ResNet-50 at {PIXELS} pixels, masked / dense, time',
                ', '.join(measure.rate(STEPS * BATCH, seconds[name], 'images') for name in ('masked', 'dense')),
                measure.ratio(seconds['masked'], seconds['dense']), 'at most 1.03')
    measure.row('the ImageNet rehearsal, checkpoint read and first batch in mid-epoch / the steps of an epoch, time',
                f'{np.median(seconds["resuming"]):.2f} s, {np.median(seconds["epoch"]):.1f} s',
                measure.ratio(seconds['resuming'], seconds['epoch']), 'under 0.1')


if __name__ == '__main__':
    app.run(main)
