"""The error of a network on the line between two sets of weights."""

import numpy as np
import tensorflow as tf
import tf_keras

from tf_lottery.pruning import wrapper
from tf_lottery.training.evaluation import Evaluator, length

# Batch-norm statistics are averages over batches of so many examples.
_BATCH = 500


class Line:
    """Measures errors on the line between two sets of weights of a trainer's network.

    Args:
      trainer: training.trainer.Trainer.
      examples: training examples as of `trainer.feed.sample`, not augmented: batch-norm statistics and the training
        error are theirs.
    """

    def __init__(self, trainer, examples):
        self._trainer = trainer
        self.examples = length(examples)
        task, jit = trainer.task, trainer.settings.jit
        self._measure = task.measures.on_the_way
        self._training = Evaluator(trainer.network, examples, task.judge(), jit)
        self._norms = [layer for layer in trainer.network.submodules
                       if isinstance(layer, tf_keras.layers.BatchNormalization)]
        # What is left over after the last whole batch is left out: a few examples have no statistics.
        batch = min(_BATCH, self.examples)
        self._batches = self.examples // batch
        batches = tf.nest.map_structure(lambda array: tf.constant(
            array[:self._batches * batch].reshape(self._batches, batch, *array.shape[1:])), examples)

        def forward(number):
            trainer.network(task.inputs(tf.nest.map_structure(lambda array: array[number], batches)), training=True)

        self._forward = tf.function(forward, jit_compile=jit)

    def errors(self, first, second, mask, points, stop=None):
        """Measures at `points` evenly spaced places, both ends included.

        The statistics of batch norm belong to one set of weights and not to a mean of two: they are computed anew at
        every point, the ends included, as the mean over batches.

        Args:
          first, second: mappings from the name of each of the network's variables to an array.
          mask: Mask of both.
          points: int, 2 or more.
          stop: function that returns an exception to raise before the next point, or None to go on; or None. Of
            several workers it tells all alike.

        Returns:
          dict of lists of float with a value per point: `position` (0 is `first`, 1 is `second`), `train_error` and
          `test_error` (`Measure.error` of the task's `Measures.on_the_way`).

        Source: 1912.05671, section 2.
        """
        rows = {'position': [], 'train_error': [], 'test_error': []}
        wrapper.set_mask(self._trainer.network, mask)
        for position in np.linspace(0, 1, points):
            stopping = stop() if stop else None
            if stopping:
                raise stopping
            for name, variable in wrapper.variables(self._trainer.network).items():
                variable.assign(((1 - position) * first[name] + position * second[name]).astype(first[name].dtype))
            self._renew_statistics()
            rows['position'].append(float(position))
            rows['train_error'].append(self._measure.error(self._training()[self._measure.name]))
            rows['test_error'].append(self._measure.error(
                self._trainer.evaluate(['test'])[f'test_{self._measure.name}']))
        return rows

    def _renew_statistics(self):
        totals = {layer: [0.0, 0.0] for layer in self._norms}
        for number in range(self._batches if self._norms else 0):
            for layer in self._norms:
                layer.moving_mean.assign(tf.zeros_like(layer.moving_mean))
                layer.moving_variance.assign(tf.zeros_like(layer.moving_variance))
            self._forward(tf.constant(number))
            # From zero, one update leaves (1 - momentum) times the statistics of the batch.
            for layer, sums in totals.items():
                for place, variable in enumerate((layer.moving_mean, layer.moving_variance)):
                    sums[place] = sums[place] + variable.numpy() / (1 - layer.momentum)
        for layer, (mean, variance) in totals.items():
            layer.moving_mean.assign(mean / self._batches)
            layer.moving_variance.assign(variance / self._batches)
