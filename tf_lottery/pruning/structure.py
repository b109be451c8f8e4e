"""What is pruned as one: single weights, all but M of each N weights, blocks, or whole channels.

A criterion gives each weight a score. A structure makes the scores of groups of weights out of them, and keeps groups
as `allocation` keeps weights: at exact counts, those with the highest scores, a subset of those of the level before.
"""

import math
import re

import numpy as np

from tf_lottery.errors import UsageError, shown
from tf_lottery.pruning import allocation
from tf_lottery.ticket import Mask

# How large a group may be along an axis.
_NUMBER = '([1-9][0-9]{0,2})'


class Weights:
    """Single weights, each a group of its own.

    Attributes:
      title: str, how a plan and a card call the structure; '' for nothing to say.
      units: str, what a level keeps so many of, in the plural.
      rigid: bool, whether it is lost where rows and columns of a weight are left out, as by `shrink`.
    """

    title = ''
    units = 'weights'
    rigid = False

    def check(self, shapes, fractions, levels, scope, start=None):
        """Checks before any training what can be known then.

        Args:
          shapes: mapping from the name of each prunable weight to its shape.
          fractions: mapping from name to the fraction pruned per level; 0 for a weight that is never pruned.
          levels, scope: as in `allocation.check`.
          start: Mask of level 0, of which fractions are; None is dense.

        Raises:
          UsageError: what `allocation.check` raises, of groups; or a weight cannot have the structure.
        """
        sizes = {name: math.prod(shape) if start is None else int(start[name].sum())
                 for name, shape in shapes.items()}
        allocation.check(sizes, fractions, levels, scope)

    def kept(self, shape, density):
        """float, how many weights of a shape stay at a density; on average, where groups differ in size."""
        return allocation.keep_count(math.prod(shape), density)

    def keep(self, mask, scores, fractions, level, scope='layerwise', start=None, anywhere=False):
        """Keeps as many groups as a level has: those with the highest scores, among equal ones those that come first.

        Args:
          mask, scores, fractions, level, scope, start: as in `allocation.keep_highest`, of weights.
          anywhere: bool, whether groups are ranked over the whole network, by `allocation.keep_highest_anywhere`.

        Returns:
          Mask over the weights, a subset of `mask`.

        Raises:
          EmptiedError, UsageError: as `allocation.keep_highest` and `keep_highest_anywhere`.
        """
        if anywhere:
            return allocation.keep_highest_anywhere(mask, scores, fractions, level, scope)
        return allocation.keep_highest(mask, scores, fractions, level, scope, start)

    def shuffled(self, mask, seed):
        """The random-mask control: as many groups in each weight as in `mask`, at random places."""
        return mask.shuffled(seed)


class _Groups(Weights):
    """Groups that stay or go as a whole. The score of a group is the mean of the scores of its weights.

    By magnitude that is the L1 norm of a filter (Li et al., 1608.08710, section 3.1), divided by its size, which is the
    same for all filters of a layer; ranked over the whole network none counts for being large. Where scores are what
    the loss changes by, those of a group add up, as in Molchanov et al. (1906.10771).
    """

    def _groups(self, shape):
        """The group of each weight: int array of `shape`, from 0 on."""
        raise NotImplementedError

    def _count(self, shape):
        """int, the groups of a weight."""
        raise NotImplementedError

    def check(self, shapes, fractions, levels, scope, start=None):
        for name, shape in shapes.items():
            if fractions[name] and len(shape) < 2:
                raise UsageError(f'{name} has no rows and columns, and so no {self.units}: never prune it, by a '
                                 'fraction of 0.')
        pruned = [name for name in shapes if fractions[name]]
        counts = {name: self._count(shapes[name]) for name in pruned} if start is None else {
            name: int(array.sum()) for name, array in self._of_groups(start, pruned).items()}
        allocation.check(counts, fractions, levels, scope, self.units)

    def kept(self, shape, density):
        count = self._count(shape)
        return allocation.keep_count(count, density) / count * math.prod(shape)

    def keep(self, mask, scores, fractions, level, scope='layerwise', start=None, anywhere=False):
        pruned = [name for name in mask if fractions[name]]
        groups = super().keep(self._of_groups(mask, pruned), self._means(mask, scores, pruned),
                              {name: fractions[name] for name in pruned}, level, scope,
                              None if start is None else self._of_groups(start, pruned), anywhere)
        # A mask to start from may have had zeros inside of groups.
        return Mask({name: array & groups[name].ravel()[self._groups(array.shape)] if name in groups else array
                     for name, array in mask.items()})

    def shuffled(self, mask, seed):
        pruned = [name for name, array in mask.items() if not array.all()]
        groups = self._of_groups(mask, pruned).shuffled(seed)
        return Mask({name: groups[name].ravel()[self._groups(array.shape)] if name in groups else array
                     for name, array in mask.items()})

    def _of_groups(self, mask, names):
        """The Mask over groups, of those in which a weight remains: a column each, for a ranking may empty vectors."""
        return Mask({name: np.bincount(self._groups(mask[name].shape)[mask[name]], minlength=self._count(
            mask[name].shape))[:, None] for name in names})

    def _means(self, mask, scores, names):
        """The scores of the groups that remain: dict from name to float64 array, in the order of the groups."""
        found = {}
        for name in names:
            groups = self._groups(mask[name].shape)
            left, sizes = groups[mask[name]], np.bincount(groups.ravel())
            sums = np.bincount(left, np.asarray(scores[name], np.float64), len(sizes))
            found[name] = (sums / sizes)[np.bincount(left, minlength=len(sizes)) > 0]
        return found


class Channels(_Groups):
    """Whole channels: all that leads to one output channel of a convolution or one unit of a dense layer.

    A channel is an index of the last axis, a filter of Li et al. (1608.08710). What was pruned leads to a constant, its
    activated bias, which `shrink` removes from the network.
    """

    title = 'whole channels, by their mean score'
    units = 'channels'

    def _groups(self, shape):
        return np.broadcast_to(np.arange(shape[-1]), shape)

    def _count(self, shape):
        return shape[-1]


def require_channels(those, fractions, remedy):
    """Refuses to prune channels of weights that have none.

    Args:
      those: the names of the weights whose last axis is known to be output channels.
      fractions: mapping from the name of each prunable weight to the fraction pruned per level; 0 never prunes it.
      remedy: function from the name of a weight to how it is never pruned, as in 'give ...'.

    Raises:
      UsageError.
    """
    for name, fraction in fractions.items():
        if fraction and name not in those:
            raise UsageError(f'the last axis of {name} is not known to be output channels, as those of dense and '
                             f"convolutional layers are, which the structure 'channels' needs: {remedy(name)}.")


class Blocks(_Groups):
    """Blocks of rows and columns of the last two axes, which lie side by side from the first row and column on.

    Of a dense layer that they divide these are TF-MOT's `block_size` with `block_pooling_type='AVG'`. What the edge
    cuts off is a smaller block (where TF-MOT pools other windows than it masks: its pools pad on both sides). TF-MOT
    has blocks for two axes only; here each place of a kernel of more axes is divided for itself.

    Args:
      rows, columns: int, of a block.
    """

    units = 'blocks'
    rigid = True

    def __init__(self, rows, columns):
        self._rows, self._columns = rows, columns
        self.title = f'whole blocks of {rows} x {columns}, by their mean score'

    def _sides(self, shape):
        return -(-shape[-2] // self._rows), -(-shape[-1] // self._columns)

    def _groups(self, shape):
        high, wide = self._sides(shape)
        blocks = np.arange(shape[-2])[:, None] // self._rows * wide + np.arange(shape[-1]) // self._columns
        places = np.arange(math.prod(shape[:-2])).reshape(*shape[:-2], 1, 1)
        return high * wide * places + blocks

    def _count(self, shape):
        return math.prod(shape[:-2]) * math.prod(self._sides(shape))


class SomeOfEach(Weights):
    """M of each N weights that stand side by side along the inputs, as sparse matrix units take them (2104.08378).

    N:M sparsity in Zhou et al. (2102.04010), where 2:4 keeps 2 of each 4 as here; TF-MOT's `sparsity_m_by_n` counts
    the zeros instead: 1:4 is its (3, 4). As in TF-MOT inputs are the axis before the last, of dense layers and of
    convolutions of two dimensions; each place and each output channel has groups of its own, from the first input on;
    and a group that the edge cuts off keeps M of the weights that it has.

    A level keeps `allocation.keep_count(N, density)` of each N, and the last one M. As many stay in each group, so that
    groups are never ranked with each other, by whatever criterion.

    Args:
      kept, of: int, M and N.
    """

    rigid = True

    def __init__(self, kept, of):
        self._kept, self._of = kept, of
        self.title = f'{kept} of each {of} weights'

    def check(self, shapes, fractions, levels, scope, start=None):
        if scope == 'global':
            raise UsageError(f"{self.title} stay within each layer: use pruning.scope='layerwise'.")
        pruned = [name for name in shapes if fractions[name]]
        for name in pruned:
            if len(shapes[name]) not in (2, 4):
                raise UsageError(f'{name} has {len(shapes[name])} dimensions, and {self._kept}:{self._of} is for '
                                 'weights of 2 or 4, as in TF-MOT: never prune it, by a fraction of 0.')
            left = self._left(allocation.level_density(fractions[name], levels))
            if left != self._kept:
                raise UsageError(f'level {levels} would leave {left} of each {self._of} weights in {name}, not '
                                 f'{self._kept} ({fractions[name]:g} pruned per level): prune '
                                 f'{self._remedy(fractions, pruned)}.')

    def _remedy(self, fractions, names):
        """How many levels do with these fractions, or fractions that do."""
        for levels in range(1, 100):
            if all(self._left(allocation.level_density(fractions[name], levels)) == self._kept for name in names):
                return f'{levels} level{"s" if levels > 1 else ""}'
        return f'1 level, of the fraction {1 - self._kept / self._of:.4g} for all weights that are pruned'

    def _left(self, density):
        return allocation.keep_count(self._of, density)

    def kept(self, shape, density):
        whole, rest = divmod(shape[-2], self._of)
        left = self._left(density)
        return math.prod(shape) // shape[-2] * (whole * left + min(rest, left))

    def keep(self, mask, scores, fractions, level, scope='layerwise', start=None, anywhere=False):
        kept = {}
        for name, array in mask.items():
            if fractions[name]:
                values = np.zeros(array.shape, np.float64)
                values[array] = allocation.ranked(scores, name)
                left = self._left(allocation.level_density(fractions[name], level))
                kept[name] = self._highest(array, values, left)
        return Mask({**mask, **kept})

    def shuffled(self, mask, seed):
        rng = np.random.default_rng(seed)
        return Mask({name: array if array.all() else self._highest(
            np.ones(array.shape, bool), rng.random(array.shape), self._rows(array).sum(axis=1, keepdims=True))
            for name, array in mask.items()})

    def _highest(self, mask, values, count):
        """Of each group the `count` highest values of those that a mask keeps: bool array of its shape."""
        left, values = self._rows(mask), self._rows(values)
        order = np.lexsort((-values, ~left), axis=-1)
        highest = np.zeros(left.shape, bool)
        np.put_along_axis(highest, order, np.arange(self._of) < count, axis=-1)
        return self._from_rows(highest & left, mask.shape)

    def _rows(self, array):
        """An array [..., inputs, outputs] as [groups, N], filled up by zeros at the edge."""
        array = np.moveaxis(array, -2, -1)
        beyond = -array.shape[-1] % self._of
        return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, beyond)]).reshape(-1, self._of)

    def _from_rows(self, rows, shape):
        """The inverse of `_rows`."""
        *places, inputs, outputs = shape
        return np.moveaxis(rows.reshape(*places, outputs, -1)[..., :inputs], -1, -2)


def find(name, key='pruning.structure'):
    """The structure of a name: None, 'M:N', 'block_ROWSxCOLUMNS' or 'channels'.

    Args:
      name: str or None.
      key: str, what the name was given as.

    Raises:
      UsageError: there is none of that name.
    """
    if name is None:
        return Weights()
    text = name if isinstance(name, str) else ''
    if text == 'channels':
        return Channels()
    found = re.fullmatch(f'{_NUMBER}:{_NUMBER}|block_{_NUMBER}x{_NUMBER}', text)
    if found:
        kept, of, rows, columns = (int(number or 0) for number in found.groups())
        if kept < of:
            return SomeOfEach(kept, of)
        if rows * columns > 1:
            return Blocks(rows, columns)
    raise UsageError(f"{key} is {shown(name)}: give 'channels', M of each N weights as in '2:4', blocks of more than "
                     "one weight as in 'block_4x4', or None for single weights.")
