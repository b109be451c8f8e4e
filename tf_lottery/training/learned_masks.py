"""Masks that are learned while the weights stay as they were drawn: supermasks, and edge-popup.

Each prunable weight has a score, which the optimizer moves instead of the weight. The network runs on
`weight * factor(score)`, where the factor is 0 or what a weight that is kept is multiplied by; its gradient reaches the
score as if there were no threshold ("straight through").
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from tf_lottery.branches import EDGE_POPUP, SUPERMASK
from tf_lottery.pruning import wrapper
from tf_lottery.ticket import Mask


@dataclasses.dataclass(frozen=True)
class Start:
    """Where the learning of a mask begins.

    Attributes:
      density: float in (0, 1), of the level.
      counts: mapping from the name of each weight that has scores to how many of them the level keeps.
      seed: int, of the first scores and of whatever is drawn on the way.
      rescales: bool, whether what is kept is divided by the share of its layer that is.
    """

    density: float
    counts: dict
    seed: int
    rescales: bool = False


@tf.custom_gradient
def _straight_through(values, outcome):
    """`outcome`, with the gradient of `values`."""
    return tf.identity(outcome), lambda upstream: (upstream, None)


def highest(values, count):
    """Which of some numbers are among the `count` highest; all of those that are equal to the lowest of these.

    By a search for a threshold that leaves as many, in turn where the numbers would lie if they were spread evenly
    between the bounds, and in the middle of their bits, in whose order floats of 0 or more are: about ten passes, where
    sorting them takes TensorFlow and XLA twenty times as long.

    Args:
      values: float32 tensor, of 0 or more.
      count: int32 scalar, 1 or more.

    Returns:
      bool tensor of their shape.
    """
    bits = tf.bitcast(values, tf.int32)

    def goes_on(low, high, at_low, at_high, number):
        return (at_low > count) & (high - low > 1)

    def narrower(low, high, at_low, at_high, number):
        lower, upper = tf.bitcast(low, tf.float32), tf.bitcast(high, tf.float32)
        share = tf.cast(at_low - count, tf.float32) / tf.cast(at_low - at_high, tf.float32)
        threshold = tf.where(number % 2 == 0, tf.bitcast(lower + (upper - lower) * share, tf.int32),
                             low + (high - low) // 2)
        threshold = tf.clip_by_value(threshold, low + 1, high - 1)
        found = tf.math.count_nonzero(bits >= threshold, dtype=tf.int32)
        enough = found >= count
        return (tf.where(enough, threshold, low), tf.where(enough, high, threshold), tf.where(enough, found, at_low),
                tf.where(enough, at_high, found), number + 1)

    threshold, *_ = tf.while_loop(
        goes_on, narrower, (tf.constant(0), tf.reduce_max(bits) + 1, tf.size(bits), tf.constant(0), tf.constant(0)))
    return bits >= threshold


class LearnedMask:
    """The scores of a network, and what its weights are multiplied by.

    Args:
      network: a model made by `prunable`, in the scope of its strategy; its layers run on the scores from now on.

    Attributes:
      scores: dict from the name of each prunable weight to a float32 variable of its shape.
      step: int64 variable or tensor, the steps taken, of which what is drawn is a function.
    """

    def __init__(self, network):
        self._network, self.step = network, tf.constant(0, tf.int64)
        shapes = {name: weight.shape for name, (_, weight, *_) in wrapper.prunable_variables(network).items()}
        self.scores = {name: tf.Variable(tf.zeros(shape), name=f'{name}/score') for name, shape in shapes.items()}
        # Of the run, and so not in a checkpoint.
        self._kept, self._scored = ({name: tf.Variable(value, trainable=False, name=f'{name}/{kind}')
                                     for name in shapes} for kind, value in (('kept', 1), ('scored', True)))
        self._seed = tf.Variable([0, 0], trainable=False, dtype=tf.int32, name='mask_seed')
        self._rescales = tf.Variable(False, trainable=False, name='rescales')
        wrapper.set_effective(network, {name: functools.partial(self._effective, number, name)
                                        for number, name in enumerate(shapes)})
        self._factors = tf.function(lambda: {name: self._factor(number, name) for number, name in enumerate(shapes)})

    def begin(self, start, anew):
        """Sets what a run is of, and the scores that it begins with where it begins `anew`.

        Args:
          start: Start.
          anew: bool; scores of a run that goes on are read from its checkpoint.
        """
        self._seed.assign([start.seed, 0])
        self._rescales.assign(start.rescales)
        rng = np.random.default_rng(start.seed)
        for name, score in self.scores.items():
            self._scored[name].assign(name in start.counts)
            self._kept[name].assign(start.counts.get(name, score.shape.num_elements()))
            if anew:
                score.assign(self._first(rng, score.shape, start.density))

    def result(self):
        """Returns what was learned: the weights of all variables, multiplied, and the Mask."""
        factors = {name: factor.numpy() for name, factor in self._factors().items()}
        weights = {name: value * factors[name] if name in factors else value
                   for name, value in wrapper.get_weights(self._network).items()}
        return weights, Mask({name: factor != 0 for name, factor in factors.items()})

    def _effective(self, number, name, weight):
        return weight * tf.cast(self._factor(number, name), weight.dtype)

    def _factor(self, number, name):
        score = tf.convert_to_tensor(self.scores[name])
        values, kept = self._chosen(number, name, score)
        return tf.where(self._scored[name], _straight_through(values, self._scaled(tf.cast(kept, score.dtype))), 1)

    def _scaled(self, kept):
        """What kept weights are multiplied by, of a tensor of 0 and 1."""
        return kept

    def _first(self, rng, shape, density):
        """The scores that learning begins with: array or number."""
        raise NotImplementedError

    def _chosen(self, number, name, score):
        """What the gradient sees in the place of the mask, and the mask: (float tensor, bool tensor)."""
        raise NotImplementedError


class Supermask(LearnedMask):
    """Each weight is kept with the probability sigmoid(score), drawn anew at each step and evaluation.

    Source: Zhou et al. (1905.01067), section 5, and the authors' code; there scores begin at 0, here with the logit of
    the level's density. Rescaling is their Dynamic Weight Rescaling.
    """

    def _first(self, rng, shape, density):
        return np.full(shape, np.log(density / (1 - density)), np.float32)

    def _chosen(self, number, name, score):
        probability = tf.sigmoid(score)
        # The generator is named: devices would choose different ones.
        seed = tf.random.experimental.stateless_fold_in(self._seed + [0, number], self.step, alg='philox')
        # Sixteen bits are fine enough for a coin, and drawing is what a step takes longest for.
        size = score.shape.num_elements()
        bits = tf.random.stateless_uniform([(size + 1) // 2], seed, None, None, tf.int32, alg='philox')
        drawn = tf.reshape(tf.reshape(tf.bitcast(bits, tf.uint16), [-1])[:size], score.shape)
        return probability, (tf.cast(drawn, tf.float32) + 0.5) / 2**16 < probability

    def _scaled(self, kept):
        share = tf.reduce_sum(kept) / tf.cast(tf.size(kept), kept.dtype)
        return kept / tf.where(self._rescales & (share > 0), share, 1)


class EdgePopup(LearnedMask):
    """As many weights of each layer are kept as the level has, those whose scores are largest in magnitude.

    Source: Ramanujan et al. (1911.13299), section 3, and the authors' code, from which the first scores are:
    U(-1, 1) / sqrt(n_in).
    """

    def _first(self, rng, shape, density):
        bound = 1 / np.sqrt(np.prod(shape[:-1]))
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    def _chosen(self, number, name, score):
        magnitude = tf.abs(score)
        return magnitude, highest(magnitude, self._kept[name])


# By the names that branches have for them.
RULES = {SUPERMASK: Supermask, EDGE_POPUP: EdgePopup}
