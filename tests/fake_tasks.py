"""Image tasks with networks, and examples, of a test's own."""

import dataclasses

from tf_lottery.experiment import config
from tf_lottery.tasks.images import ImageTask, examples
from tf_lottery.training.feeds import MemoryFeed


def network():
    """Small, and with everything that a checkpoint must hold: kernels, biases, batch-norm statistics."""
    import tf_keras

    dense, seed = tf_keras.layers.Dense, tf_keras.initializers.GlorotNormal
    return tf_keras.Sequential([
        tf_keras.layers.Flatten(input_shape=(8, 8, 1), name='flatten'),
        dense(12, use_bias=False, kernel_initializer=seed(1), name='fc'),
        tf_keras.layers.BatchNormalization(name='norm'), tf_keras.layers.ReLU(name='relu'),
        dense(10, kernel_initializer=seed(2), name='output')])


class Task(ImageTask):
    """The task of an image network that a test builds.

    Args:
      network: function without arguments that returns the dense network.
      splits: data.Splits to train on; None for those of the data set.
      brightest: the pixel value that becomes 1.0.
      changes: keys of the config, with `__` for a dot; the data set is that of handwritten digits unless another is
        given.
    """

    def __init__(self, network, splits=None, brightest=16, **changes):
        settings = config.defaults()
        settings.update_from_flattened_dict({
            'data.name': 'digits', **{key.replace('__', '.'): value for key, value in changes.items()}})
        super().__init__(settings)
        self._network, self._splits = network, splits
        self.dataset = dataclasses.replace(self.dataset, brightest=brightest)

    def network(self, seed):
        return self._network()

    def feed(self, settings, strategy, data_dir=None):
        if self._splits is None:
            return super().feed(settings, strategy, data_dir)
        return MemoryFeed({name: examples(getattr(self._splits, name)) for name in ('train', 'validation', 'test')},
                          settings, strategy, self.judge(), self._augmented(settings.batch_size))


def trainer(task, settings, strategy, **options):
    """The Trainer of a task in its own feed."""
    from tf_lottery.training.trainer import Trainer

    return Trainer(task, task.feed(settings, strategy), settings, strategy, **options)
