"""What Keras's own layers draw, as a function of (seed, step), so that a run that is resumed draws the same."""

import contextvars
import itertools

import tensorflow as tf
from tf_keras.src.backend import RandomGenerator

from tf_lottery.models.context import told

_seeds = contextvars.ContextVar('seeds', default=None)


def drawn_from(seed, step):
    """All layers of a network that was given to `follow` draw from (seed, step) when they are called inside of this.

    Each draw folds its number into the seed, counted from the start of the `with`, and on several replicas that of the
    replica: what they draw is another thing than what one device draws.

    Args:
      seed: int32 scalar tensor, the augmentation seed.
      step: int32 scalar tensor, the training step.
    """
    numbers = itertools.count()
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1

    def next_seed():
        folded = tf.random.experimental.stateless_fold_in(tf.stack([seed, step]), next(numbers))
        if several:
            folded = tf.random.experimental.stateless_fold_in(
                folded, tf.distribute.get_replica_context().replica_id_in_sync_group)
        # XLA draws other numbers from a negative seed.
        return tf.abs(folded)

    return told(_seeds, next_seed)


def follow(network):
    """Has the layers of a network draw as `drawn_from` says; outside of it they go on as they did.

    Layers of Keras that draw do so by a generator of theirs, dropout inside of recurrent cells and attention included.
    What a layer draws by TensorFlow's functions itself stays as it is.

    Args:
      network: a `tf_keras` model, which is changed.
    """
    for layer in network.submodules:
        generator = getattr(layer, '_random_generator', None)
        if isinstance(generator, RandomGenerator) and not isinstance(generator, _OfSteps):
            layer._random_generator = _OfSteps(generator)


class _OfSteps(RandomGenerator):
    """A layer's generator that draws from (seed, step) inside of `drawn_from`, and elsewhere by the one that it had."""

    def __init__(self, before):
        super().__init__(rng_type=self.RNG_STATELESS)
        self._before = before

    def make_seed_for_stateless_op(self):
        next_seed = _seeds.get()
        return next_seed() if next_seed else self._before.make_seed_for_stateless_op()

    def make_legacy_seed(self):
        return self._before.make_legacy_seed()

    def random_normal(self, *args, **kwargs):
        return self._drawn('random_normal', args, kwargs)

    def random_uniform(self, *args, **kwargs):
        return self._drawn('random_uniform', args, kwargs)

    def truncated_normal(self, *args, **kwargs):
        return self._drawn('truncated_normal', args, kwargs)

    def dropout(self, *args, **kwargs):
        return self._drawn('dropout', args, kwargs)

    def _drawn(self, name, args, kwargs):
        own = super() if _seeds.get() else self._before
        return getattr(own, name)(*args, **kwargs)
