"""How a mask changes while its network is trained: at which steps, and to which mask.

An update is a function of the step, the mask, the weights and, where it asks for them, the gradients: of nothing else,
so that a run that was resumed goes on with the same masks.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping

import numpy as np

from tf_lottery.errors import EmptiedError
from tf_lottery.pruning import allocation
from tf_lottery.ticket import Mask

# The rules that branches name.
GRADUAL, SET, RIGL = RULES = ('gradual', 'set', 'rigl')


@dataclasses.dataclass(frozen=True)
class Gradual:
    """Prunes the lowest magnitudes while the network is trained (Zhu & Gupta, 1710.01878).

    Attributes:
      counts: mapping from each step at which weights are pruned to how many are kept after so many steps of training:
        a mapping from name to int, or one int for the whole network.
      fractions: as in `allocation.keep_highest`.
    """

    counts: Mapping
    fractions: Mapping
    reads_gradients = False

    @functools.cached_property
    def steps(self):
        """tuple of int, increasing: after so many steps of training the mask changes."""
        return tuple(sorted(self.counts))

    @property
    def settled(self):
        """int, the step from which on the network has as many weights as at its end."""
        return max(self.counts, default=0)

    def __call__(self, step, mask, weights, gradients=None):
        """The Mask after a step.

        Args:
          step: int, one of `steps`.
          mask: Mask until then.
          weights: mapping from name to array.
          gradients: mapping from name to array, dense; None where `reads_gradients` is not.

        Raises:
          EmptiedError: the whole network's lowest magnitudes are all of a layer.
        """
        del gradients
        scores = {name: np.abs(weights[name][kept]) for name, kept in mask.items()}
        counts = self.counts[step]
        if isinstance(counts, Mapping):
            return allocation.keep_counts(mask, scores, counts)
        found = allocation.highest_of_all(mask, scores, self.fractions, counts)
        for name in allocation.empty(found):
            raise EmptiedError(f'gradual pruning leaves no weight in {name} at step {step}: leave the branch out, give '
                               "it fewer levels in branch_levels, or use pruning.scope='layerwise'.")
        return found


@dataclasses.dataclass(frozen=True)
class Regrowth:
    """Drops the lowest magnitudes of each layer and grows as many weights elsewhere in it, from zero.

    Dropped weights may grow again at once: then they keep their values, as in RigL's code.

    Attributes:
      steps: as of Gradual.
      names: the weights of which it changes the masks.
      drop: the share of a layer's weights that is dropped at the first of the steps.
      until: int, the step at which that share has come down to 0 by a cosine; None where it stays.
      seed: int, of which and of the step the places are a function where weights grow at random; None: where the
        gradient of the loss is largest.
    """

    steps: tuple
    names: tuple
    drop: float
    until: int | None = None
    seed: int | None = None
    settled = 0

    @property
    def reads_gradients(self):
        return self.seed is None

    def share(self, step):
        """float, the share of a layer's weights that is dropped at a step.

        Source: RigL (1911.11134), section 3, "update schedule": alpha / 2 (1 + cos(t pi / T_end)).
        """
        return self.drop if self.until is None else self.drop / 2 * (1 + math.cos(math.pi * step / self.until))

    def __call__(self, step, mask, weights, gradients=None):
        """The Mask after a step; arguments as of Gradual."""
        rng = None if self.seed is None else np.random.default_rng([self.seed, step])
        grown = {}
        for name in self.names:
            growth = np.abs(gradients[name]) if rng is None else rng.random(mask[name].shape)
            grown[name] = self._regrown(mask[name], np.abs(weights[name]), growth, self.share(step))
        return Mask({**mask, **grown})

    @staticmethod
    def _regrown(kept, magnitudes, growth, share):
        kept, count = kept.ravel(), int(kept.sum())
        changed = int(share * count)
        places = np.flatnonzero(kept)
        stay = np.zeros(kept.size, bool)
        stay[places[allocation.top(magnitudes.ravel()[places], count - changed)]] = True
        free = np.flatnonzero(~stay)
        stay[free[allocation.top(growth.ravel()[free], changed)]] = True
        return stay.reshape(growth.shape)


