"""How many weights stay, and where: exact counts, within each layer or over the whole network."""

import math

import numpy as np

from tf_lottery.errors import EmptiedError, UsageError
from tf_lottery.ticket import Mask

SCOPES = ('layerwise', 'global')

# What is pruned: what TF-MOT prunes of each type of layer, or whatever is trained, biases too.
VARIABLES = ('kernels', 'all')


def level_density(fraction, level):
    """(1 - fraction)^level: the density after `level` rounds that each prune `fraction` of the survivors.

    Source: The Lottery Ticket Hypothesis (1803.03635), section 1, iterative pruning.
    """
    return (1.0 - fraction) ** level


def keep_count(size, density):
    """int, the nearest whole number of weights to `density * size` (a half goes to the even one, as in TF-MOT)."""
    return round(size * density)


def layerwise_counts(sizes, fractions, level, units='weights'):
    """The weights that stay in each layer at a level.

    Args:
      sizes: mapping from a weight's name to its number of elements, or of groups of them.
      fractions: mapping from a weight's name to the fraction pruned per level; 0 for a weight that is never pruned.
      level: int, 0 is the dense network.
      units: str, what is counted.

    Returns:
      dict from name to int.

    Raises:
      UsageError: a layer would be left without a weight.
    """
    counts = {name: keep_count(size, level_density(fractions[name], level)) for name, size in sizes.items()}
    for name, count in counts.items():
        if count == 0:
            raise UsageError(
                f'level {level} would leave no weight in {name} ({sizes[name]} {units}, {fractions[name]:g} pruned per '
                'level): prune fewer levels, or a smaller fraction of that layer.')
    return counts


def check(sizes, fractions, levels, scope, units='weights'):
    """Checks before any training what can be known then: that every level leaves every layer a weight.

    Args:
      sizes, fractions, units: as in `layerwise_counts`.
      levels: int, the number of times to prune.
      scope: 'layerwise' or 'global'; where a global ranking prunes is only known after training.

    Raises:
      UsageError: an unknown scope, a layer that would be left empty (under 'global': some layer), or fractions that
        differ under 'global'.
    """
    if scope not in SCOPES:
        raise UsageError(f'unknown scope {scope!r}: choose one of {", ".join(SCOPES)}.')
    if scope == 'global':
        fraction, pruned = global_fraction(fractions), [sizes[name] for name in sizes if fractions[name]]
        if keep_count(sum(pruned), level_density(fraction, levels)) < len(pruned):
            raise UsageError(f'level {levels} would leave fewer {units} than the {len(pruned)} layers that are ranked '
                             'together: prune fewer levels, or a smaller fraction.')
        return
    for level in range(levels + 1):
        layerwise_counts(sizes, fractions, level, units)


DISTRIBUTIONS = ('uniform', 'er', 'erk')


def distributed_counts(shapes, fractions, level, scope, distribution):
    """The weights that each layer has at a level of a network that is sparse from the start.

    'uniform' is what the level has by its fractions, the same share of each layer where these are equal. 'er'
    (Erdos-Renyi) and 'erk' (the same with the kernel's height and width) have as many weights in all, with densities in
    proportion to

        er    (n_in + n_out) / (n_in * n_out)
        erk   (n_in + n_out + height + width) / (n_in * n_out * height * width)

    up to 1: what is dense by this gives what it cannot hold to the others.

    Args:
      shapes: mapping from a weight's name to its shape, whose last two numbers are n_in and n_out.
      fractions, level: as in `layerwise_counts`.
      scope: as in `check`; it says how many weights the level has.
      distribution: one of DISTRIBUTIONS.

    Returns:
      dict from the names of the weights that are pruned at all to int.

    Raises:
      UsageError: a layer would be left without a weight.

    Source: SET (1707.04780), section 3.1; RigL (1911.11134), section 3, and the authors' code.
    """
    pruned = {name: shape for name, shape in shapes.items() if fractions[name]}
    sizes = {name: math.prod(shape) for name, shape in pruned.items()}
    if distribution == 'uniform':
        return layerwise_counts(sizes, fractions, level)
    count = total(sizes, fractions, level, scope)
    raw = {name: sum(shape if distribution == 'erk' else shape[-2:]) / math.prod(
        shape if distribution == 'erk' else shape[-2:]) for name, shape in pruned.items()}
    dense = set()
    while True:
        sparse = [name for name in sizes if name not in dense]
        left = count - sum(sizes[name] for name in dense)
        scale = left / sum(raw[name] * sizes[name] for name in sparse) if sparse else 0.0
        full = {name for name in sparse if scale * raw[name] >= 1}
        if not full:
            break
        dense |= full
    counts = _whole({name: sizes[name] if name in dense else scale * raw[name] * sizes[name] for name in sizes}, count)
    for name, number in counts.items():
        if number == 0:
            raise UsageError(f'sparse.distribution={distribution!r} would leave no weight in {name} at level {level}: '
                             "prune fewer levels, or give sparse.distribution='uniform'.")
    return counts


def _whole(shares, count):
    """Whole numbers of sum `count` next to shares of that sum: the largest remainders are rounded up."""
    counts = {name: math.floor(share) for name, share in shares.items()}
    missing = count - sum(counts.values())
    by_remainder = sorted(shares, key=lambda name: counts[name] - shares[name])
    return {**counts, **{name: counts[name] + 1 for name in by_remainder[:missing]}}


def top(scores, count):
    """Selects the `count` highest scores; among equal ones the lower index.

    Args:
      scores: float array [n].
      count: int, 0 to n.

    Returns:
      bool array [n] with exactly `count` true.
    """
    if count <= 0:
        return np.zeros(scores.shape, bool)
    if count >= scores.size:
        return np.ones(scores.shape, bool)
    cut = scores.size - count
    threshold = np.partition(scores, cut)[cut]
    keep = scores > threshold
    missing = count - np.count_nonzero(keep)
    keep[np.flatnonzero(scores == threshold)[:missing]] = True
    return keep


def prune(mask, weights, fractions, level, scope='layerwise', start=None, keep=None):
    """Prunes the lowest magnitudes to a level's density: the mask of that level, a subset of the one before.

    Args:
      mask: Mask of an earlier level.
      weights: mapping from name to the trained weights that are ranked; survivors of `mask` only.
      fractions, level, scope, start: as in `keep_highest`, which says what is raised.
      keep: function that keeps the highest scores, the `keep` of a structure; None is `keep_highest`.

    Returns:
      Mask.
    """
    # Places are taken several times faster than a mask of as many is read.
    scores = {name: np.abs(np.asarray(weights[name], np.float32).ravel()[np.flatnonzero(kept)])
              for name, kept in mask.items()}
    return (keep or keep_highest)(mask, scores, fractions, level, scope, start)


def keep_highest(mask, scores, fractions, level, scope='layerwise', start=None):
    """Keeps as many weights as a level has: those with the highest scores, among equal ones those of lower indices.

    Args:
      mask: Mask of an earlier level.
      scores: mapping from name to float array [n], the scores of the n weights that `mask` keeps, in their order; those
        of weights that are never pruned are not asked for.
      fractions: mapping from name to the fraction pruned per level, 0 for a weight that is never pruned.
      level: number, the level whose mask is wanted; a part of one prunes so far on the way to it.
      scope: 'layerwise' ranks inside each weight tensor, 'global' ranks all of them together (section 4 of
        1803.03635; there every fraction but 0 must be the same).
      start: Mask of level 0, of which fractions are; None is dense.

    Returns:
      Mask, a subset of `mask`.

    Raises:
      EmptiedError: a global ranking would leave a layer empty.
      UsageError: so would the fractions; they differ under 'global'; or a score is not a number.
    """
    sizes = {name: array.size if start is None else int(start[name].sum()) for name, array in mask.items()}
    if scope == 'global':
        kept = highest_of_all(mask, scores, fractions, total(sizes, fractions, level, scope))
        for name in empty(kept):
            raise EmptiedError(
                f"level {level} of global pruning leaves no weight in {name}: stop at level {level - 1} with "
                f"--config.pruning.levels={level - 1}, or use pruning.scope='layerwise'.")
        return kept
    counts = layerwise_counts(sizes, fractions, level)
    return keep_counts(mask, scores, {name: counts[name] for name in counts if fractions[name]})


def keep_counts(mask, scores, counts):
    """Keeps so many weights of each layer: those with the highest scores, among equal ones those of lower indices.

    Args:
      mask, scores: as in `keep_highest`.
      counts: mapping from name to int; what it does not name stays as it is.

    Returns:
      Mask, a subset of `mask`.

    Raises:
      UsageError: a score is not a number.
    """
    return Mask({name: _kept(array, top(ranked(scores, name), counts[name])) if name in counts else array
                 for name, array in mask.items()})


def keep_highest_anywhere(mask, scores, fractions, level, scope='layerwise'):
    """Keeps as many weights in all as a level has, wherever in the network their scores are the highest.

    That is how networks are pruned before they are trained, whatever scope the levels have (1810.02340, 2002.07376,
    2006.05467). Weights whose fraction is 0 are not pruned and not ranked.

    Args:
      mask, scores, fractions, level: as in `keep_highest`.
      scope: as in `keep_highest`; it says how many weights the level has, not where.

    Returns:
      Mask, a subset of `mask`.

    Raises:
      EmptiedError: a layer would be left empty.
      UsageError: a score is not a number.
    """
    sizes = {name: array.size for name, array in mask.items()}
    kept = highest_of_all(mask, scores, fractions, total(sizes, fractions, level, scope))
    for name in empty(kept):
        raise EmptiedError(f'{name} has none of the weights that rank highest in the whole network: leave the branch '
                           'out, or give it fewer levels in branch_levels.')
    return kept


def empty(mask):
    """The names of the weights that a mask leaves nothing of, vectors aside: without a bias a layer still computes."""
    return [name for name, array in mask.items() if array.ndim > 1 and not array.any()]


def total(sizes, fractions, level, scope):
    """int, the weights that a level keeps of those that are pruned at all; arguments as in `check`."""
    pruned = {name: size for name, size in sizes.items() if fractions[name]}
    if scope == 'global':
        return keep_count(sum(pruned.values()), level_density(global_fraction(fractions), level))
    return sum(layerwise_counts(pruned, fractions, level).values())


def highest_of_all(mask, scores, fractions, count):
    """Keeps `count` weights of all that are pruned at all, wherever their scores are the highest.

    Args:
      mask, scores, fractions: as in `keep_highest`.
      count: int.

    Returns:
      Mask, a subset of `mask`; a layer may be left empty.

    Raises:
      UsageError: a score is not a number.
    """
    names = [name for name in mask if fractions[name]]
    if not names:
        return mask
    keep = top(np.concatenate([ranked(scores, name) for name in names]), count)
    parts = np.split(keep, np.cumsum([scores[name].size for name in names])[:-1])
    return Mask({**mask, **{name: _kept(mask[name], part) for name, part in zip(names, parts, strict=True)}})


def ranked(scores, name):
    """The scores of a weight, which can be ranked.

    Raises:
      UsageError: one of them is not a number.
    """
    if np.isnan(scores[name]).any():
        raise UsageError(f'{name} holds weights that are not numbers, or whose scores are not, which cannot be ranked: '
                         'training has diverged, so lower the learning rate.')
    return scores[name]


def _kept(array, keep):
    """What is left of the mask of a weight, given which of those that it keeps are kept."""
    left = np.zeros(array.size, bool)
    left[np.flatnonzero(array)[np.flatnonzero(keep)]] = True
    return left.reshape(array.shape)


def global_fraction(fractions):
    """The one fraction of a global ranking.

    Raises:
      UsageError: the weights that are pruned do not share one fraction.
    """
    values = sorted({fraction for fraction in fractions.values() if fraction})
    if len(values) != 1:
        raise UsageError(
            f'global ranking takes one fraction for all layers, got {values}: set the groups\' fractions to 0 (never '
            "pruned) or to pruning.fraction, or use pruning.scope='layerwise'.")
    return values[0]
