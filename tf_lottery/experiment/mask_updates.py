"""How the masks of an experiment's runs change while their networks are trained."""

import functools
import math

from tf_lottery.branches import BRANCHES
from tf_lottery.pruning import allocation, schedules, updates


class MaskUpdates:
    """The updates that each run asks for.

    Args:
      protocol: config.Protocol.

    Raises:
      UsageError: the config's schedule does not come to the sparsity that it is given.
    """

    def __init__(self, protocol):
        self._protocol = protocol
        self._rules = {BRANCHES[branch].updates for branch in protocol.config.branches}
        # Half a second for each level, and only for those that are trained.
        self._gradual = functools.cache(self._to)
        if updates.GRADUAL in self._rules and protocol.config.sparse.schedule is not None:
            for level in protocol.branch_levels:
                self._gradual(level)

    @property
    def read_gradients(self):
        """Whether any of them reads the gradients of pruned weights."""
        return updates.RIGL in self._rules

    def of(self, run, seed):
        """The updates of a run, or None where its mask stays.

        Args:
          run: runs.Run.
          seed: int, of what is drawn.
        """
        rule = BRANCHES[run.branch].updates
        if rule is None:
            return None
        if rule == updates.GRADUAL:
            return self._gradual(run.level)
        protocol, drop = self._protocol, self._protocol.config.sparse.drop
        names = tuple(name for name, fraction in protocol.fractions.items() if fraction)
        until = protocol.update_until if rule == updates.RIGL else None
        steps = tuple(range(protocol.update_every, until or protocol.end_step, protocol.update_every))
        return updates.Regrowth(steps, names, drop, until, None if rule == updates.RIGL else seed)

    def _to(self, level):
        """Gradual pruning to a level."""
        protocol, fractions = self._protocol, self._protocol.fractions
        sizes = {name: math.prod(shape) for name, shape in protocol.shapes.items() if fractions[name]}
        ends = {fraction: 1 - allocation.level_density(fraction, level) for fraction in set(fractions.values()) - {0}}
        courses = {fraction: self._course(end) for fraction, end in ends.items()}

        def kept(fraction, size, last):
            """How many weights each pruning leaves; at the last one exactly as many as the level has."""
            return {step: last if abs(sparsity - ends[fraction]) <= schedules.SAME_SPARSITY else
                    allocation.keep_count(size, 1 - sparsity) for step, sparsity in courses[fraction].items()}

        if protocol.config.pruning.scope == 'global':
            fraction = allocation.global_fraction(fractions)
            counts = kept(fraction, sum(sizes.values()), allocation.total(sizes, fractions, level, 'global'))
            return updates.Gradual(counts, fractions)
        counts = {}
        for name, last in allocation.layerwise_counts(sizes, fractions, level).items():
            for step, count in kept(fractions[name], sizes[name], last).items():
                counts.setdefault(step, {})[name] = count
        return updates.Gradual(counts, fractions)

    def _course(self, sparsity):
        """When the schedule prunes on its way to a sparsity, and how far: {steps behind it: float}."""
        protocol, own = self._protocol, self._protocol.config.sparse.schedule
        if own is None:
            every = protocol.update_every
            return schedules.prunings(schedules.gradual(sparsity, every, protocol.update_until // every * every),
                                      protocol.end_step)
        return schedules.own_prunings(own, sparsity, protocol.end_step)
