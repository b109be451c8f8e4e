"""What weights are ranked by: a score per weight; the highest stay.

A criterion is a function of what is known of the weights of a layer, and a line in CRITERIA; those that networks are
pruned by before any training have a line in BEFORE_TRAINING. Where they rank, and how many stay, is `allocation`'s.
"""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Layer:
    """What is known of the weights that are left in a prunable weight, each an array [n] in the order of their indices.

    Attributes:
      weight: the weights that are ranked: as trained, or W_0 before any training.
      initial: W_0.
      draw: random numbers in [0, 1), which each weight keeps at all levels.
      gradient: of the mean loss of a sample of training examples.
      curvature: of the same loss, the diagonal of its Gauss-Newton matrix.
      flow: H g, the product of the Hessian of that loss and its gradient.
      synaptic_flow: dR/d|w|, of SynFlow's R.

    All but `weight` are None where the criterion does not read them.
    """

    weight: np.ndarray
    initial: np.ndarray | None = None
    draw: np.ndarray | None = None
    gradient: np.ndarray | None = None
    curvature: np.ndarray | None = None
    flow: np.ndarray | None = None
    synaptic_flow: np.ndarray | None = None


def magnitude(layer):
    """|w|, of Han et al. (1506.02626) and of every lottery-ticket paper; "large final" in Zhou et al. (1905.01067)."""
    return np.abs(layer.weight)


def small_final(layer):
    """-|w| (1905.01067, section 2)."""
    return -np.abs(layer.weight)


def large_initial(layer):
    """|w_0|, "large init" (1905.01067, section 2)."""
    return np.abs(layer.initial)


def small_initial(layer):
    """-|w_0|, "small init" (1905.01067, section 2)."""
    return -np.abs(layer.initial)


def magnitude_increase(layer):
    """|w| - |w_0| (1905.01067, section 2)."""
    return np.abs(layer.weight) - np.abs(layer.initial)


def movement(layer):
    """|w - w_0| (1905.01067, section 2)."""
    return np.abs(layer.weight - layer.initial)


def taylor(layer):
    """|w dL/dw|, by how much the loss changes to first order where w becomes 0 (Molchanov et al., 1906.10771).

    At W_0 it is SNIP's connection sensitivity (Lee et al., 1810.02340), which is the same for its ranking
    whether it is divided by its sum or not.
    """
    return np.abs(layer.weight * layer.gradient)


def obd(layer):
    """h w^2 / 2, by how much the loss grows to second order where w becomes 0 at a minimum (LeCun et al. 1990).

    h is the diagonal of the Gauss-Newton matrix: the Levenberg-Marquardt approximation of the paper, which leaves out
    the second derivatives of activations. It is exact, where the paper's recursion takes the Hessians of layers to be
    diagonal as well.
    """
    return layer.curvature * layer.weight**2 / 2


def han(layer):
    """|w| / sigma, sigma the standard deviation of the weights that are left in the layer (Han et al., 1506.02626).

    The paper prunes what is below a quality parameter times sigma, and chooses that parameter by hand. Here the level
    says how many weights stay, and so there is one quality parameter that leaves as many: the lowest score that does.
    How many stay in each layer follows from it. A layer whose weights are all equal counts as wide.
    """
    deviation = layer.weight.std()
    return np.abs(layer.weight) / (deviation if deviation else 1)


def random(layer):
    """A number drawn at random, which each weight keeps: each level prunes the next ones of one random order."""
    return layer.draw


def grasp(layer):
    """w (H g): what GraSP removes first has the highest -w (H g) (Wang et al., 2002.07376)."""
    return layer.weight * layer.flow


def synaptic_flow(layer):
    """|w dR/dw|, R = 1^T (prod of |W_l|) 1 (Tanaka et al., 2006.05467)."""
    return np.abs(layer.weight) * layer.synaptic_flow


SAME, DIFFERENT = 'same', 'different'


@dataclasses.dataclass(frozen=True)
class Criterion:
    """What weights are ranked by.

    Attributes:
      title: how plans and cards call it.
      scores: functions from a Layer to a float array [n], finite or infinite. Where there are several, a weight counts
        as the lowest of the places that it has among those that it is ranked with: those stay that are among the
        highest so many per cent by each, with one percentage for all, as in the authors' code of 1905.01067. No factor
        is needed that would make initial and final weights comparable, as in the paper's min(alpha |w|, |w_0|).
      reads: names of the attributes of Layer that they ask for.
      signs: SAME where weights whose sign is no longer that of their initial value go first, DIFFERENT where those go
        first that have kept it, each by their scores; None: signs do not count (1905.01067, section 2).
      rounds: int, in how many rounds a level is come to, each of which prunes the same share of what is left; more than
        one before training only.
      anywhere: whether weights are ranked over the whole network, whatever scope the levels have, by
        `allocation.keep_highest_anywhere`.
    """

    title: str
    scores: tuple[Callable, ...]
    reads: tuple[str, ...] = ()
    signs: str | None = None
    rounds: int = 1
    anywhere: bool = False

    @property
    def derivatives(self):
        """The names of the derivatives of the network that it reads, each of which takes passes over it."""
        return tuple(name for name in self.reads if name not in ('initial', 'draw'))

    @property
    def samples(self):
        """Whether it reads training examples."""
        return any(name != 'synaptic_flow' for name in self.derivatives)


_ZHOU = {
    'magnitude': Criterion('magnitude', (magnitude,)),
    'small_final': Criterion('small final weights', (small_final,)),
    'large_initial': Criterion('large initial weights', (large_initial,), ('initial',)),
    'small_initial': Criterion('small initial weights', (small_initial,), ('initial',)),
    'large_initial_large_final': Criterion('large initial and large final weights', (large_initial, magnitude),
                                           ('initial',)),
    'small_initial_small_final': Criterion('small initial and small final weights', (small_initial, small_final),
                                           ('initial',)),
    'magnitude_increase': Criterion('magnitude increase', (magnitude_increase,), ('initial',)),
    'movement': Criterion('movement', (movement,), ('initial',)),
}

# What `pruning.criterion` may be.
CRITERIA = {
    **_ZHOU,
    **{f'{name}_same_sign': dataclasses.replace(row, title=f'{row.title}, same sign', reads=('initial',), signs=SAME)
       for name, row in _ZHOU.items()},
    **{f'{name}_diff_sign': dataclasses.replace(
        row, title=f'{row.title}, different sign', reads=('initial',), signs=DIFFERENT) for name, row in _ZHOU.items()},
    'taylor': Criterion('gradient times weight', (taylor,), ('gradient',)),
    'obd': Criterion('Optimal Brain Damage', (obd,), ('curvature',)),
    'han': Criterion("magnitude in its layer's standard deviations", (han,)),
    'random': Criterion('random numbers', (random,), ('draw',)),
}

# What networks are pruned by before any training: the branches of these names, and controls made of them.
BEFORE_TRAINING = {
    'initial_magnitude': CRITERIA['magnitude'],
    'snip': Criterion('SNIP', (taylor,), ('gradient',), anywhere=True),
    'grasp': Criterion('GraSP', (grasp,), ('flow',), anywhere=True),
    'synflow': Criterion('SynFlow', (synaptic_flow,), ('synaptic_flow',), rounds=100, anywhere=True),
}


def scores(criterion, layers, together):
    """The scores of all weights that are left.

    Args:
      criterion: Criterion.
      layers: mapping from name to Layer.
      together: whether the weights of all layers are ranked with each other, else those of each layer.

    Returns:
      dict from name to float array [n].
    """
    groups = [layers] if together else [{name: layer} for name, layer in layers.items()]
    return {name: score for group in groups for name, score in _of_group(criterion, group).items()}


def _of_group(criterion, layers):
    found = [{name: score(layer) for name, layer in layers.items()} for score in criterion.scores]
    if len(found) == 1 and not criterion.signs:
        return found[0]
    places = np.min([_places(np.concatenate(list(each.values()))) for each in found], axis=0)
    if criterion.signs:
        agree = np.concatenate([np.sign(layer.weight) == np.sign(layer.initial) for layer in layers.values()])
        places += len(places) * (agree == (criterion.signs == SAME))
    ends = np.cumsum([layer.weight.size for layer in layers.values()])
    return dict(zip(layers, np.split(places, ends[:-1]), strict=True))


def _places(values):
    """How many values are lower than each: int array [n]; equal ones have equal places."""
    order = np.argsort(values)
    ascending = values[order]
    first = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
    places = np.empty(len(values), np.int64)
    places[order] = np.repeat(first, np.diff(first, append=len(values)))
    return places
