"""What the benchmarks train: networks of the papers on random images, as speed does not depend on what is in them."""

import numpy as np
import tf_keras

import tf_lottery
from tf_lottery import data
from tf_lottery.experiment import config
from tf_lottery.tasks.images import ImageTask, examples
from tf_lottery.training.feeds import MemoryFeed


def random_split(number, shape):
    """A data.Split of random images and labels of ten classes."""
    rng = np.random.default_rng(0)
    return data.Split(rng.integers(0, 256, (number, *shape), np.uint8), rng.integers(0, 10, number, np.int32))


class RandomImages(ImageTask):
    """A network of the papers on random images in memory, as many to validate and test on as MNIST has.

    Args:
      dataset, network: names as in a config.
      train: int, the images to train on.
      **changes: other keys of the config, with `__` for a dot.

    Attributes:
      split: data.Split, the images to train on.
    """

    def __init__(self, dataset, network, train, **changes):
        settings = config.defaults()
        settings.update_from_flattened_dict({
            'data.name': dataset, 'model.name': network,
            **{key.replace('__', '.'): value for key, value in changes.items()}})
        super().__init__(settings)
        self.split = random_split(train, self.dataset.shape)

    def feed(self, settings, strategy, data_dir=None):
        splits = {'train': self.split, 'validation': random_split(5_000, self.dataset.shape),
                  'test': random_split(10_000, self.dataset.shape)}
        return MemoryFeed({name: examples(split) for name, split in splits.items()}, settings, strategy, self.judge(),
                          self._augmented(settings.batch_size))


def lenet(train=55_000):
    return RandomImages('mnist', 'lenet_300_100', train)


def resnet20(**changes):
    return RandomImages('cifar10', 'resnet20', 5_000, training__batch_size=128, **changes)


def own_lenet():
    """LeNet-300-100 as a user's own task: the same network and images as those of `lenet`, floats as Keras has them."""
    def build(seed):
        del seed
        model = tf_keras.Sequential([
            tf_keras.layers.Flatten(input_shape=(28, 28, 1)), tf_keras.layers.Dense(300, 'relu'),
            tf_keras.layers.Dense(100, 'relu'), tf_keras.layers.Dense(10, name='output')])
        model.compile('adam', tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), ['accuracy'])
        return model

    def loaded():
        splits = {'train': random_split(55_000, (28, 28, 1)), 'test': random_split(10_000, (28, 28, 1)),
                  'validation': random_split(5_000, (28, 28, 1))}
        return {name: (split.images.astype(np.float32) / 255, split.labels) for name, split in splits.items()}

    return tf_lottery.KerasTask(build, loaded)
