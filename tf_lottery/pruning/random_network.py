"""A network of dense layers, approximated by pruning a random one that is twice as deep: no weight is trained.

The random network has two layers in the place of each, with weights that are uniform in [-1, 1] and a relu between
them. Pruning leaves each unit of the first one a single input, x, and so the value relu(v x); of the second one it
leaves some weights u. What an output then has of x is w relu(x) - w' relu(-x), where w is the sum of the products u v
that were kept of units with positive v, and w' that of units with negative v: both are to be near the weight of the
network that is approximated. That weight must not be large, which is no obstacle, since relu(c x) = c relu(x) for
positive c: each layer is divided by twice its largest weight, and its outputs, or in the end those of the network, are
multiplied by that. A bias is the weight of an input that is 1.

Source: Malach et al., "Proving the Lottery Ticket Hypothesis: Pruning is All You Need" (2002.00585); Pensia et al.,
"Optimal Lottery Tickets via SubsetSum" (2006.07990).
"""

import dataclasses

import numpy as np

from tf_lottery.pruning.subset_sum import LARGEST, WAYS

# What is approximated, and what it is called: the first unit of the first layer, this layer, and all layers.
TARGETS = {'neuron': 'first unit', 'layer': 'first layer', 'network': 'network'}

# Numbers of an array that is in memory at once: of products, or of a hidden layer's values for all examples.
_MOST = 2**22


@dataclasses.dataclass(frozen=True)
class Dense:
    """A dense layer of the network that is approximated.

    Attributes:
      kernel: float64 array [inputs, units].
      bias: float64 array [units], or None.
      signed: bool, whether its inputs may be negative.
      relu: bool, whether a relu follows.
    """

    kernel: np.ndarray
    bias: np.ndarray | None
    signed: bool
    relu: bool

    @property
    def weights(self):
        """float64 array [rows, units], kernel and bias below each other."""
        return self.kernel if self.bias is None else np.concatenate([self.kernel, self.bias[None]])

    def sums(self, inputs):
        """What its units add up to, before their relu: float64 array [n, units] of inputs [n, inputs]."""
        return inputs @ self.kernel + (0.0 if self.bias is None else self.bias)

    def values(self, sums):
        return np.maximum(sums, 0.0) if self.relu else sums


class _Tally:
    """What has been pruned of a random network, and how near the products come."""

    def __init__(self):
        self._errors = []
        self._hidden = self._size = self._kept = 0

    def add(self, errors, kept, inputs):
        """Adds the units of some inputs of a layer.

        Args:
          errors: float array [inputs of these, outputs], of the weights.
          kept: bool array [inputs of these, outputs, width], the weights u that stay.
          inputs: int, the layer's inputs, each of which a random unit has a weight for.
        """
        count, outputs, width = kept.shape
        self._errors.append(errors.ravel())
        self._hidden += count * width
        self._size += count * width * (inputs + outputs)
        # The one input of a random unit is gone, too, where nothing reads it.
        self._kept += int(kept.any(axis=1).sum() + kept.sum())

    def told(self, found, exact):
        """dict: what `approximate` says of a target whose outputs, [n, outputs] both, were to be `exact`."""
        errors, off = np.concatenate(self._errors), np.abs(found - exact)
        return {'weights': len(errors), 'hidden': self._hidden, 'size': self._size, 'kept': self._kept,
                'max_weight_error': float(errors.max()), 'median_weight_error': float(np.median(errors)),
                'max_output_error': float(off.max()), 'mean_output_error': float(off.mean()),
                'max_output': float(np.abs(exact).max())}


def approximate(layers, inputs, way, width, seed, begin=lambda: None):
    """Prunes a random network until it is near a given one, and runs both.

    The random numbers are a function of the seed, and those of a narrower network are among those of a wider one. Both
    ways prune the same random network.

    Args:
      layers: list of Dense, the network.
      inputs: float array [n, inputs].
      way: str, one of `subset_sum.WAYS`: how products are chosen.
      width: int, the random units for each input and each sign of v.
      seed: list of int.
      begin: function without arguments, called before each part of the work; what it raises ends this.

    Returns:
      (float64 array [n, outputs], list of dicts): the outputs of the pruned random network, and for each of TARGETS,
      which is its `target`:
        weights: int, how many weights were made of products; of an input of both signs, each has two;
        hidden: int, the units of the random layers between;
        size, kept: int, the weights of the random network, and those that are left;
        max_weight_error, median_weight_error: float, of |w - sum of products|, as shares of the layer's largest weight;
        max_output_error, mean_output_error: float, of the outputs, over examples and outputs, before a relu;
        max_output: float, the largest magnitude of an output that is approximated.
    """
    choose = WAYS[way].choose
    neuron, layer, network = [_Tally() for _ in TARGETS]
    exact = found = np.asarray(inputs, np.float64)
    told = []
    for number, dense in enumerate(layers):
        exact_sums = dense.sums(exact)
        found_sums = np.zeros_like(exact_sums)
        for sums, errors, kept in _parts(dense, found, choose, width, [*seed, number], begin):
            found_sums += sums
            network.add(errors, kept, len(dense.weights))
            if number == 0:
                layer.add(errors, kept, len(dense.weights))
                neuron.add(errors[:, :1], kept[:, :1], len(dense.weights))
        if number == 0:
            told += [neuron.told(found_sums[:, :1], exact_sums[:, :1]), layer.told(found_sums, exact_sums)]
        exact, found = dense.values(exact_sums), dense.values(found_sums)
    told.append(network.told(found_sums, exact_sums))
    return found_sums, [{'target': target, **each} for target, each in zip(TARGETS, told, strict=True)]


def _parts(dense, inputs, choose, width, seed, begin):
    """Makes the two random layers in the place of one, a few inputs at a time, prunes them, and runs what is left.

    Yields:
      (float64 array [n, units], errors, kept): what the part adds to the units' sums, and as of `_Tally.add`.
    """
    weights = dense.weights
    scale = np.abs(weights).max() / LARGEST or 1.0
    places, signs = _halves(dense)
    units = weights.shape[1]
    columns = [inputs.T] if dense.bias is None else [inputs.T, np.ones((1, len(inputs)))]
    columns = np.concatenate(columns)
    together = max(1, _MOST // (width * max(units, len(inputs))))
    for first in range(0, len(places), together):
        begin()
        rows = range(first, min(first + together, len(places)))
        into, out = zip(*(_drawn(seed, row, signs[row], width, units) for row in rows), strict=True)
        # [rows, width] and [rows, units, width].
        into, out = np.stack(into), np.stack(out)
        here, targets = places[rows.start:rows.stop], weights[places[rows.start:rows.stop]] / scale
        products = out * into[:, None]
        kept = choose(products.reshape(-1, width), targets.ravel()).reshape(products.shape)
        errors = np.abs((products * kept).sum(axis=-1) - targets) / LARGEST
        # A unit that nothing reads need not be run.
        used = kept.any(axis=1)
        hidden = np.maximum(columns[np.repeat(here, used.sum(axis=1))] * into[used][:, None], 0.0)
        yield scale * (hidden.T @ (out * kept).transpose(0, 2, 1)[used]), errors, kept


def _halves(dense):
    """The input of each group of random units, and the sign of their v: int arrays [rows].

    Values that are never negative need no units of negative v.
    """
    inputs = np.arange(len(dense.kernel))
    constant = [] if dense.bias is None else [len(dense.kernel)]
    negative = inputs if dense.signed else inputs[:0]
    places = np.concatenate([inputs, constant, negative]).astype(int)
    return places, np.where(np.arange(len(places)) < len(places) - len(negative), 1, -1)


def _drawn(seed, row, sign, width, units):
    """The random units of an input and a sign: v [width] and u [units, width].

    Of wide enough a layer, where either sign comes up often enough: those that are beyond `width` are pruned whole.
    """
    drawn = np.random.default_rng([*seed, row]).uniform(-1, 1, (width, 1 + units))
    return sign * np.abs(drawn[:, 0]), drawn[:, 1:].T
