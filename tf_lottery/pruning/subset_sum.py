"""Which of some random products make up a weight: the single best one, or the best subset; and how near that comes.

A unit of a random two-layer network takes its input by a weight v and hands it on by a weight u, so that it counts for
the product u v. To prune the network is to choose which products stay.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

# Bytes of the sums that lie in memory at once.
_MEMORY = 2**25

# A subset is found among 2^n: as two halves of 2^(n/2) sums.
_MOST_PRODUCTS = 24

# Larger than all sums.
_BEYOND = 1e300


def best_product(products, targets):
    """Keeps the one product that is nearest to each target, or none where 0 is nearer.

    Args:
      products: float array [m, n].
      targets: float array [m].

    Returns:
      bool array [m, n], with at most one True in a row; of equally near ones it is the first.
    """
    errors = np.abs(products - targets[:, None])
    nearest = errors.argmin(axis=1)
    kept = np.zeros(products.shape, bool)
    kept[np.arange(len(products)), nearest] = errors.min(axis=1) < np.abs(targets)
    return kept


def best_subset(products, targets):
    """Keeps the products whose sum is nearest to each target: exactly, of all 2^n subsets.

    The sums of either half of the products are sorted, and one walk through both meets every pair that may be best: it
    begins at the lowest of the first half and the highest of the second one; where their sum is above the target, the
    second goes down, else the first goes up (Horowitz and Sahni 1974, "Computing Partitions with Applications to the
    Knapsack Problem"). All rows walk at once.

    Args:
      products: float array [m, n], n at most 24.
      targets: float array [m].

    Returns:
      bool array [m, n].
    """
    kept = np.empty(products.shape, bool)
    # Sums, their order and themselves in order, of the larger half and of one as large at most.
    rows = max(1, _MEMORY // (2 * 3 * 8 * 2**math.ceil(products.shape[1] / 2)))
    for first in range(0, len(products), rows):
        part = slice(first, first + rows)
        kept[part] = _nearest(products[part], targets[part])
    return kept


def _nearest(products, targets):
    middle = products.shape[1] // 2
    halves = products[:, :middle], products[:, middle:]
    sums, subsets = zip(*map(_sorted_sums, halves), strict=True)
    places = _walk(*sums, targets)
    return np.concatenate([_members(of_half, place, half.shape[1])
                           for of_half, place, half in zip(subsets, places, halves, strict=True)], axis=1)


def _sorted_sums(products):
    """The sums of all subsets of each row, ascending, and the subset of each as the bits of a number: [m, 2^n] both."""
    sums = np.zeros((len(products), 1))
    for product in products.T:
        sums = np.concatenate([sums, sums + product[:, None]], axis=1)
    subsets = sums.argsort(axis=1)
    return np.take_along_axis(sums, subsets, axis=1), subsets


def _members(subsets, places, count):
    """The subset at a place of each row, of so many products: bool array [m, count]."""
    chosen = np.take_along_axis(subsets, places[:, None], axis=1)
    return (chosen >> np.arange(count)) & 1 == 1


def _walk(lower, upper, targets):
    """Where in two sorted arrays [m, p] and [m, q] the pair lies whose sum is nearest to the target of its row.

    Returns:
      Two int arrays [m].
    """
    count, steps = len(targets), lower.shape[1] + upper.shape[1] - 1
    # A walk that has come to the end of one of them goes on there, until it has come to the end of the other.
    end = np.full((count, 1), _BEYOND)
    left, right = np.concatenate([lower, end], axis=1), np.concatenate([-end, upper], axis=1)
    left_starts, right_starts = (np.arange(count) * each.shape[1] for each in (left, right))
    left, right = left.ravel(), right.ravel()
    up, down = left_starts.copy(), right_starts + upper.shape[1]
    best, best_up, best_down = np.full(count, np.inf), up.copy(), down.copy()
    for _ in range(steps):
        over = left[up] + right[down] - targets
        error = np.abs(over)
        better = error < best
        np.copyto(best, error, where=better)
        np.copyto(best_up, up, where=better)
        np.copyto(best_down, down, where=better)
        high = over > 0
        down -= high
        up += ~high
    return best_up - left_starts, best_down - right_starts - 1


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to make a weight of random products.

    Attributes:
      title, short: str, as in texts and in legends.
      choose: function from products [m, n] and targets [m] to a bool array [m, n], those that are kept.
      most: int, the most products that it chooses from; None for any number.
    """

    title: str
    short: str
    choose: Callable
    most: int | None = None


WAYS = {'malach': Way('The best of n products (Malach et al.)', 'best product', best_product),
        'pensia': Way('The best subset of n products (Pensia et al.)', 'best subset', best_subset, _MOST_PRODUCTS)}


# What the largest weight of a layer is made to be: random products come to 1/2 often, and hardly ever to 1.
LARGEST = 0.5


def bound_of_best_product(width, weights, chance=0.05):
    """What the errors of all weights stay below, save with a small chance, when each is the best of n random products.

    Of two factors that are uniform in [-1, 1] the product has the density -ln|p| / 2, which falls with |p|. So of all
    weights in [-1/2, 1/2] those at the ends have the fewest products near them: one is within e, up to 1/2, with a
    chance of q(e) = e - ((1/2 + e) ln(1/2 + e) - (1/2 - e) ln(1/2 - e)) / 2, which is e ln 2 for small e. The best of n
    is farther away than e with a chance of (1 - q(e))^n at most, and that of any of N weights with N times that. The
    bound is where this comes to `chance`; and 1/2 in any case, for it may be that no product is kept. It falls like
    ln(N / chance) / n: the number of products grows like 1 / e.

    This is derived here, for the idea of Malach et al. (2002.00585) that one unit does for one weight. It is not the
    polynomial of their theorem.

    Args:
      width: int, n.
      weights: int, N.
      chance: float, of an error above the bound.

    Returns:
      float in (0, 1], as a share of the largest weight.
    """
    needed = -math.expm1(math.log(chance / weights) / width)
    low, high = 0.0, LARGEST
    # Halved until they are neighbours.
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _near(middle) < needed else (low, middle)
    return high / LARGEST


def _near(error):
    """The chance q that a product is within an error below 1/2 of 1/2."""
    above, below = LARGEST + error, LARGEST - error
    return error - (above * math.log(above) - (below * math.log(below) if below else 0.0)) / 2


def typical_of_best_subset(width):
    """The median error of the best subset of n products for a small weight, as counting has it: each product halves it.

    A subset of n products, each in it by the toss of a coin, has a sum of mean 0 and variance n / 18 (the square of a
    product is 1/9 in the mean), nearly normal. So 2^(n + 1) e f of all subsets are within e of 0 on average, where f =
    3 / sqrt(pi n) is the density of that normal distribution at 0; and if they lay there independently of each other,
    there would be none with a chance of exp(-2^(n + 1) e f), which is one half at e = ln 2 / (2^(n + 1) f).

    This is derived here and is no bound: Lueker (1998, "Exponentially Small Bounds on the Expected Optimum of the
    Partition and Subset Sum Problems") proves that a number of products in proportion to ln(1 / e) is enough, on which
    Pensia et al. (2006.07990) build.

    Args:
      width: int, n.

    Returns:
      float, as a share of the largest weight, and 1 at most.
    """
    density = 3 / math.sqrt(math.pi * width)
    return min(1.0, math.log(2) * 0.5**(width + 1) / density / LARGEST)
