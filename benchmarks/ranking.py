"""What ranking all weights of a ResNet-50 costs: next to one np.partition of them, and next to a training step.

    python benchmarks/ranking.py --repeats=5
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import tf_lottery  # noqa: F401 (selects Keras 2 before TensorFlow is imported)

import numpy as np
import tensorflow as tf
from absl import app
from benchmarks import measure
from tf_lottery.experiment import config
from tf_lottery.pruning import criteria, wrapper
from tf_lottery.pruning.allocation import keep_highest_anywhere, prune
from tf_lottery.tasks.images import ImageTask
from tf_lottery.ticket import Mask
from tf_lottery.training.derivatives import Derivatives

# Images of a training step and of a sample to rank by, so that their passes are the same.
BATCH, SIDE = 8, 64

# Those that need another computation each. `obd` takes a pass for each of a thousand outputs of each example.
RANKED = {name: criteria.CRITERIA[name] for name in (
    'magnitude', 'movement', 'large_initial_large_final', 'magnitude_same_sign', 'han', 'taylor')}
RANKED.update({name: criteria.BEFORE_TRAINING[name] for name in ('grasp', 'synflow')})


class Network:
    """A ResNet-50 with weights that have moved, and a step of SGD on it."""

    def __init__(self):
        settings = config.defaults()
        settings.data.name, settings.data.image_size = 'imagenet2012', SIDE
        settings.model.name, settings.training.batch_size = 'resnet50', BATCH
        task, rng = ImageTask(settings), np.random.default_rng(0)
        self.examples = {'image': rng.integers(0, 256, (BATCH, SIDE, SIDE, 3), np.uint8),
                         'label': rng.integers(0, 1000, BATCH, np.int32)}
        self.derivatives = Derivatives(task, self.examples, BATCH, tf.distribute.get_strategy())
        self._network = task.network(1)
        self.initial, self.weights = wrapper.get_weights(task.network(0)), wrapper.get_weights(self._network)
        self.names = list(self.derivatives.gradient(self.weights))
        self.mask = Mask.ones({name: self.weights[name].shape for name in self.names})
        self._batch = tf.nest.map_structure(tf.constant, {**self.examples, 'step': 0, 'row': np.arange(BATCH)})

        def step():
            with tf.GradientTape() as tape:
                loss, _ = task.loss(self._network, self._batch, tf.constant(0))
            variables = self._network.trainable_variables
            for variable, slope in zip(variables, tape.gradient(loss, variables), strict=True):
                variable.assign_sub(1e-6 * slope)
            return loss

        self._step = tf.function(step)

    def step(self):
        self._step().numpy()

    def rank(self, criterion):
        """Ranks all weights, a single round of several, and prunes one in a hundred."""
        read = {'weight': self.weights, 'initial': self.initial}
        read.update({name: getattr(self.derivatives, name)(self.weights) for name in criterion.derivatives})
        layers = {name: criteria.Layer(**{kind: arrays[name].ravel() for kind, arrays in read.items()})
                  for name in self.names}
        keep_highest_anywhere(self.mask, criteria.scores(criterion, layers, together=True),
                              dict.fromkeys(self.names, 0.01), 1, 'global')


def main(argv):
    del argv
    network = Network()
    weights, fractions = {name: network.weights[name] for name in network.names}, dict.fromkeys(network.names, 0.2)
    mask = Mask({name: array < np.median(array) + array.std() for name, array in weights.items()})
    flat = np.abs(np.concatenate([array.ravel() for array in weights.values()]))
    seconds = measure.interleaved({
        'prune': lambda: prune(mask, weights, fractions, 3, 'global'),
        'partition': lambda: np.partition(flat, flat.size // 2), 'step': network.step,
        **{name: lambda criterion=criterion: network.rank(criterion) for name, criterion in RANKED.items()}},
        measure.REPEATS.value)
    millions = flat.size / 1e6
    measure.header()
    measure.row(f'global ranking of {millions:.1f} million weights / one `np.partition`',
                f'{measure.rate(millions, seconds["prune"], "million weights")}, '
                f'{measure.rate(millions, seconds["partition"], "million weights")}',
                measure.ratio(seconds['prune'], seconds['partition']), 'at most 3')
    for name in RANKED:
        each = ', a round' if RANKED[name].rounds > 1 else ''
        measure.row(f'global ranking by `{name}`{each} / a training step of {BATCH} images at {SIDE} pixels, time',
                    f'{measure.rate(millions, seconds[name], "million weights")}, '
                    f'{measure.rate(BATCH, seconds["step"], "images")}',
                    measure.ratio(seconds[name], seconds['step']), 'for comparison')


if __name__ == '__main__':
    app.run(main)
