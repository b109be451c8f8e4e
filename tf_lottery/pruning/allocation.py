"""How many weights stay, and where: exact counts, within each layer or over the whole network."""

import numpy as np

from tf_lottery.errors import EmptiedError, UsageError
from tf_lottery.pruning.criteria import magnitude
from tf_lottery.ticket import Mask

SCOPES = ('layerwise', 'global')


def level_density(fraction, level):
    """(1 - fraction)^level: the density after `level` rounds that each prune `fraction` of the survivors.

    Source: The Lottery Ticket Hypothesis (1803.03635), section 1, iterative pruning.
    """
    return (1.0 - fraction) ** level


def keep_count(size, density):
    """int, the nearest whole number of weights to `density * size` (a half goes to the even one, as in TF-MOT)."""
    return round(size * density)


def layerwise_counts(sizes, fractions, level):
    """The weights that stay in each layer at a level.

    Args:
      sizes: mapping from a weight's name to its number of elements.
      fractions: mapping from a weight's name to the fraction pruned per level; 0 for a weight that is never pruned.
      level: int, 0 is the dense network.

    Returns:
      dict from name to int.

    Raises:
      UsageError: a layer would be left without a weight.
    """
    counts = {name: keep_count(size, level_density(fractions[name], level)) for name, size in sizes.items()}
    for name, count in counts.items():
        if count == 0:
            raise UsageError(
                f'level {level} would leave no weight in {name} ({sizes[name]} weights, {fractions[name]:g} pruned per '
                'level): prune fewer levels, or a smaller fraction of that layer.')
    return counts


def check(sizes, fractions, levels, scope):
    """Checks before any training what can be known then: that every level leaves every layer a weight.

    Args:
      sizes, fractions: as in `layerwise_counts`.
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
            raise UsageError(f'level {levels} would leave fewer weights than the {len(pruned)} layers that are ranked '
                             'together: prune fewer levels, or a smaller fraction.')
        return
    for level in range(levels + 1):
        layerwise_counts(sizes, fractions, level)


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


def _candidates(mask, weights, score, name):
    """The flat scores of one weight, with everything already pruned ranked below all the rest."""
    scores = np.asarray(score(weights[name]), np.float32).ravel()
    if np.isnan(scores).any():
        raise UsageError(f'{name} holds weights that are not numbers, which cannot be ranked: training has diverged, '
                         'so lower the learning rate.')
    return np.where(mask[name].ravel(), scores, -np.inf)


def prune(mask, weights, fractions, level, scope='layerwise', score=magnitude, start=None):
    """Prunes to a level's density: the mask of that level, a subset of the one before.

    Args:
      mask: Mask of an earlier level.
      weights: mapping from name to the trained weights that are ranked; survivors of `mask` only.
      fractions: mapping from name to the fraction pruned per level, 0 for a weight that is never pruned.
      level: int, the level whose mask is wanted.
      scope: 'layerwise' ranks inside each weight tensor, 'global' ranks all of them together (section 4 of
        1803.03635; there every fraction but 0 must be the same).
      score: function from an array to its scores; the highest stay.
      start: Mask of level 0, of which fractions are; None is dense.

    Returns:
      Mask.

    Raises:
      EmptiedError: a global ranking would leave a layer empty.
      UsageError: so would the fractions; they differ under 'global'; or a weight is not a number.
    """
    sizes = {name: array.size if start is None else int(start[name].sum()) for name, array in mask.items()}
    if scope == 'global':
        return _prune_globally(mask, weights, fractions, level, score, sizes)
    counts = layerwise_counts(sizes, fractions, level)
    return Mask({
        name: top(_candidates(mask, weights, score, name), counts[name]).reshape(array.shape)
        for name, array in mask.items()})


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


def _prune_globally(mask, weights, fractions, level, score, sizes):
    fraction = global_fraction(fractions)
    names = [name for name in mask if fractions[name]]
    scores = np.concatenate([_candidates(mask, weights, score, name) for name in names])
    count = keep_count(sum(sizes[name] for name in names), level_density(fraction, level))
    keep = top(scores, count)
    pruned, start = dict(mask), 0
    for name in names:
        size = mask[name].size
        pruned[name] = keep[start:start + size].reshape(mask[name].shape)
        start += size
        if not pruned[name].any():
            raise EmptiedError(
                f"level {level} of global pruning leaves no weight in {name}: stop at level {level - 1} with "
                f"--config.pruning.levels={level - 1}, or use pruning.scope='layerwise'.")
    return Mask(pruned)
