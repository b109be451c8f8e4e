"""Dropout whose masks are a pure function of (seed, step), so that a run that is resumed drops the same units."""

import contextvars
import itertools

import tensorflow as tf
import tf_keras

from tf_lottery.models.context import told

_source = contextvars.ContextVar('source', default=None)


def drawn_from(seed, step, rows, batch_size):
    """All `Dropout` layers that are called in training inside of this draw from (seed, step).

    Each call of a layer folds its number into the seed, counted from the start of the `with`.

    Args:
      seed: int32 scalar tensor, the augmentation seed.
      step: int32 scalar tensor, the training step.
      rows: int32 [n], where the examples stand in the whole batch: how a batch is split over replicas changes nothing.
      batch_size: int or int32 scalar tensor, the size of the whole batch.
    """
    numbers = itertools.count()

    def uniform(shape):
        # XLA draws other numbers from a negative seed, and makes other floats of the same bits: with neither, the masks
        # are the same under XLA.
        folded = tf.abs(tf.random.experimental.stateless_fold_in(tf.stack([seed, step]), next(numbers)))
        drawn = tf.random.stateless_uniform([batch_size, *shape], folded, minval=None, maxval=None, dtype=tf.uint32)
        return tf.gather(drawn, rows)

    return told(_source, uniform)


@tf_keras.utils.register_keras_serializable('tf_lottery')
class Dropout(tf_keras.layers.Layer):
    """Drops units with a probability in training, and scales the others up by as much (Srivastava et al. 2014).

    Inside of `drawn_from` the masks are a function of (seed, step); elsewhere this is plain dropout, from TensorFlow's
    own generator.

    Args:
      rate: float in [0, 1), the probability that a unit is dropped.
    """

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.supports_masking = True

    def call(self, inputs, training=None):
        if not training:
            return tf.identity(inputs)
        uniform = _source.get()
        if uniform is None:
            return tf.nn.dropout(inputs, self.rate)
        static = inputs.shape[1:].is_fully_defined()
        drawn = uniform(inputs.shape[1:] if static else tf.unstack(tf.shape(inputs))[1:])
        dropped = drawn < tf.constant(round(self.rate * 2**32), tf.uint32)
        return tf.where(dropped, tf.zeros_like(inputs), inputs / (1 - self.rate))

    def get_config(self):
        return {**super().get_config(), 'rate': self.rate}
