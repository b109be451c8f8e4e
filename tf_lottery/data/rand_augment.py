"""RandAugment (Cubuk et al., 1909.13719) of KerasCV's operations, as a function of a seed.

KerasCV's own layer draws from generators that go on from call to call, and from TensorFlow's global one: a run that is
resumed would see other images, and so would one whose images are decoded in parallel. Its operations draw in two ways,
from a layer's generator and from the samplers of its factors; both are replaced here by draws from the seed at hand.
"""

import itertools

import tensorflow as tf
from keras_cv import core, layers

# As in KerasCV's layer: how likely an operation is done at all, and how far magnitudes spread.
_RATE = 10 / 11
_DEVIATION = 0.15


class RandAugment:
    """Does several operations on an image, each drawn from KerasCV's standard policy.

    Args:
      operations: int, how many.
      magnitude: float in [0, 1], how strong they are.
    """

    def __init__(self, operations, magnitude):
        self._operations = operations
        self._draws = _Draws()
        self._layers = layers.RandAugment.get_standard_policy((0, 255), magnitude, _DEVIATION)
        for layer in self._layers:
            layer._random_generator = self._draws
            for name, value in list(vars(layer).items()):
                if isinstance(value, (core.NormalFactorSampler, core.UniformFactorSampler)):
                    setattr(layer, name, _Sampler(value, self._draws))

    def __call__(self, image, seed):
        """Returns the augmented image.

        Args:
          image: uint8 tensor [height, width, 3].
          seed: int64 tensor [2].
        """
        outputs = tf.cast(image, tf.float32)
        for own_seed in tf.unstack(tf.random.experimental.stateless_split(seed, self._operations)):
            self._draws.begin(own_seed)
            done = self._draws.uniform([]) < _RATE
            chosen = self._draws.uniform([], 0, len(self._layers), tf.int32)
            outputs = tf.cond(done, lambda inputs=outputs, chosen=chosen: self._one(inputs, chosen),
                              lambda inputs=outputs: inputs)
        return tf.cast(tf.round(tf.clip_by_value(tf.ensure_shape(outputs, image.shape), 0, 255)), tf.uint8)

    def _one(self, image, chosen):
        return tf.switch_case(chosen, [
            lambda layer=layer: layer(image[None], training=True)[0] for layer in self._layers])


class _Draws:
    """In the place of a layer's random generator: what is drawn depends on the seed and on the draws since `begin`."""

    def begin(self, seed):
        self._seed, self._numbers = seed, itertools.count()

    def uniform(self, shape, minval=0, maxval=1, dtype=tf.float32):
        return tf.random.stateless_uniform(shape, self._next(), minval, maxval, dtype)

    def normal(self, shape, mean, stddev, dtype):
        return tf.random.stateless_normal(shape, self._next(), mean, stddev, dtype)

    def _next(self):
        return tf.random.experimental.stateless_fold_in(self._seed, next(self._numbers))


class _Sampler(core.FactorSampler):
    """A sampler of KerasCV's that draws from `draws`."""

    def __init__(self, sampler, draws):
        self._sampler, self._draws = sampler, draws

    def __call__(self, shape=(), dtype='float32'):
        own = self._sampler
        if isinstance(own, core.UniformFactorSampler):
            return self._draws.uniform(shape, own.lower, own.upper, dtype)
        drawn = self._draws.normal(shape, own.mean, own.stddev, dtype)
        return tf.clip_by_value(drawn, own.min_value, own.max_value)
