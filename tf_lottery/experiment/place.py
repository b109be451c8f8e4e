"""A place in an experiment: a run, and what its branch may start from there."""

import contextlib
import dataclasses
import functools
import zlib

import numpy as np

from tf_lottery.branches import BRANCHES, REWINDING_STEP
from tf_lottery.branches import taken as taken_weights
from tf_lottery.errors import CorruptFileError, EmptiedError, LeftOutError, MissingFileError
from tf_lottery.experiment import runs
from tf_lottery.pruning import allocation, wrapper
from tf_lottery.pruning.criteria import BEFORE_TRAINING, CRITERIA, Layer, scores
from tf_lottery.runtime import storage
from tf_lottery.ticket import Mask, Ticket
from tf_lottery.training import learned_masks
from tf_lottery.training.metrics import from_csv
from tf_lottery.training.trainer import Seeds


def replicate_seeds(seed, replicate):
    """Returns the Seeds of a replicate: three independent 31-bit numbers."""
    state = np.random.SeedSequence([seed, replicate]).generate_state(3)
    return Seeds(*(int(number >> 1) for number in state))


@contextlib.contextmanager
def made_again(path, folder):
    """Says of a file that is damaged or lost which run's folder to delete, so that the same command makes it again."""
    remedy = f'delete {folder} and run the same command again.'
    try:
        yield
    except CorruptFileError as error:
        raise CorruptFileError(f'{str(error).rstrip(".")}: {remedy}') from error
    except MissingFileError as error:
        raise MissingFileError(f'{path} is lost: {remedy}') from error


class At:
    """A place in an experiment, and what a branch may start from there.

    Args:
      experiment: Experiment.
      run: runs.Run.
    """

    def __init__(self, experiment, run):
        self._experiment, self._run = experiment, run
        self._protocol = experiment.protocol
        self.seeds = replicate_seeds(self._protocol.config.seed, run.replicate)
        if BRANCHES[run.branch].reorders:
            order, augmentation = np.random.SeedSequence(
                [self._protocol.config.seed, run.replicate, run.copy], spawn_key=(1,)).generate_state(2) >> 1
            self.seeds = dataclasses.replace(self.seeds, order=int(order), augmentation=int(augmentation))

    @property
    def seed(self):
        """int, a seed of this run's own, for what it draws at random; one for all data orders of a subnetwork."""
        run = runs.original(self._run) if BRANCHES[self._run.branch].reorders else self._run
        entropy = [self._protocol.config.seed, run.replicate, run.level, zlib.crc32(run.branch.encode()), run.copy]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)

    def ticket(self):
        """The Ticket that this run trains."""
        start, _ = runs.run_steps(self._protocol, self._run)
        if self._run.level == 0 and self._run.branch == 'ticket':
            return Ticket(self.dense(), self._initialised(), start)
        branch = BRANCHES[self._run.branch]
        return Ticket(branch.mask(self), branch.weights(self), start, branch.frozen(self) if branch.frozen else None,
                      self._rewound_state() if branch.step == REWINDING_STEP else None)

    def dense(self):
        """The mask of all weights."""
        return Mask.ones(self._protocol.shapes)

    def sparse(self):
        """A mask of this level's density that is drawn before any training, as `sparse.distribution` says."""
        rng, counts = np.random.default_rng(self.seed), self._counts(self._protocol.config.sparse.distribution)
        drawn = {name: rng.random(int(np.prod(self._protocol.shapes[name]))) for name in counts}
        return allocation.keep_counts(self.dense(), drawn, counts)

    def learning(self):
        """Where the learning of a mask begins: learned_masks.Start, or None where weights are trained."""
        branch, protocol, level = BRANCHES[self._run.branch], self._protocol, self._run.level
        if branch.learns is None:
            return None
        density = allocation.level_density(protocol.config.pruning.fraction, level)
        return learned_masks.Start(density, self._counts('uniform'), self.seed, branch.rescales)

    def fan_scale(self):
        """What the weights of edge-popup are multiplied by: {} or, where they are scaled, {name: 1 / sqrt(density)}."""
        if not self._protocol.config.edge_popup.scale_fan:
            return {}
        return {name: (np.prod(self._protocol.shapes[name]) / count)**0.5
                for name, count in self._counts('uniform').items()}

    def _counts(self, distribution):
        """How many weights each layer has at this level: see `allocation.distributed_counts`."""
        protocol = self._protocol
        return allocation.distributed_counts(protocol.shapes, protocol.fractions, self._run.level,
                                             protocol.config.pruning.scope, distribution)

    @property
    def _source(self):
        return dataclasses.replace(self._run, branch=BRANCHES[self._run.branch].source)

    def source_mask(self):
        """The mask of the run that this one starts from."""
        return self._experiment.mask(self._source)

    def source_weights(self):
        """The weights of the run that this one starts from."""
        return self._experiment.weights(self._source)

    @functools.cached_property
    def _taken(self):
        """The Ticket of this replicate and level of the branch's source of tickets.

        Raises:
          LeftOutError: the source came to none.
          UsageError: it has changed since tickets were first taken from it.
        """
        name = BRANCHES[self._run.branch].origin
        checksums = self._experiment.checksums[name]['files']
        return self._protocol.sources[name].ticket(self._run.replicate, self._run.level, checksums)

    def taken_mask(self):
        """The mask of the source of tickets; all weights where it has none of a shape."""
        taken = self._taken.mask
        return Mask({name: taken[name] if taken[name].shape == dense.shape else dense
                     for name, dense in self.dense().items()})

    def taken_weights(self):
        """W_k of the source of tickets; this experiment's own where it has none of a shape.

        Statistics of batch normalisation, which are not trained, are those of W_0 where `transfer.start` says so.
        """
        taken, transfer = self._taken.weights, self._protocol.config.transfer
        weights = self.new_weights() if transfer.own == 'initialised' else self.rewound()
        weights |= {name: taken[name] for name, array in weights.items()
                    if name in taken and taken[name].shape == array.shape}
        if transfer.start == 'anew':
            initial = self.initial()
            weights |= {name: initial[name] for name, variable in wrapper.variables(
                self._experiment.trainer.network).items() if not variable.trainable}
        return weights

    def own(self):
        """The names of the variables that the branch's source of tickets has in no such shape: list; [] without one."""
        branch = BRANCHES[self._run.branch]
        if not branch.origin:
            return []
        taken = self._taken.weights if branch.weights is taken_weights else self._taken.mask
        own = self.initial() if branch.weights is taken_weights else self.dense()
        return sorted(name for name, array in own.items() if name not in taken or taken[name].shape != array.shape)

    def _before(self):
        """The run of this branch's chain at the level before."""
        level = self._run.level - 1
        if level == 0:
            return self._dense
        return runs.Run(self._run.replicate, level, BRANCHES[self._run.branch].chain, 0, self._run.rewind)

    def trained(self):
        """The weights that the chain's network of the level before ended in."""
        return self._experiment.weights(self._before())

    def pruned(self):
        """The mask of this level: the chain's network of the level before, pruned once more; all weights at level 0."""
        if self._run.level == 0:
            return self.dense()
        return self._prune(self._before())

    def pruned_once(self):
        """The mask of this level's density from the trained dense network."""
        return self._prune(self._dense)

    def pruned_initially(self):
        """The mask of this level's density from W_0, by the criterion of the branch."""
        criterion, level = BEFORE_TRAINING[BRANCHES[self._run.branch].criterion], self._run.level
        mask, weights = self.dense(), self.initial()
        # A part of a level is a round on the way to it.
        for part in (*(level * number / criterion.rounds for number in range(1, criterion.rounds)), level):
            mask = self._ranked(criterion, mask, mask.apply(weights), part, None)
        return mask

    def shuffled(self, mask):
        """The random-mask control of a mask: of the same structure, at random places of this run's own seed."""
        return self._protocol.structure.shuffled(mask, self.seed)

    def shuffled_globally(self, mask):
        """The random-mask control of a mask over all weights that are pruned at all, by this run's own seed.

        Raises:
          LeftOutError: it leaves a layer without weights.
        """
        found = mask.shuffled_globally(self.seed, [name for name, share in self._protocol.fractions.items() if share])
        for name in allocation.empty(found):
            raise LeftOutError(f'the random mask leaves {name} without weights.', runs.EMPTIED, None)
        return found

    def _prune(self, run):
        criterion, weights = CRITERIA[self._protocol.config.pruning.criterion], self._experiment.weights(run)
        return self._ranked(criterion, self._experiment.mask(run), weights, self._run.level, run.folder)

    def _ranked(self, criterion, mask, weights, level, after):
        """The mask of a level from an earlier one and the weights that are ranked: those of the run `after`.

        What the earlier mask has pruned is in `weights` as the network has it, zero or frozen.

        Raises:
          LeftOutError: the ranking leaves a layer without weights.
        """
        scope = self._protocol.config.pruning.scope
        found = scores(criterion, self._layers(criterion, mask, weights), criterion.anywhere or scope == 'global')
        try:
            return self._protocol.structure.keep(
                mask, found, self._protocol.fractions, level, scope, anywhere=criterion.anywhere)
        except EmptiedError as error:
            raise LeftOutError(str(error), runs.EMPTIED, after) from error

    def _layers(self, criterion, mask, weights):
        """What a criterion reads of the weights that a mask keeps: dict from name to criteria.Layer."""
        read = {'weight': weights}
        if 'initial' in criterion.reads:
            read['initial'] = self.initial()
        if 'draw' in criterion.reads:
            read['draw'] = self._drawn()
        for name in criterion.derivatives:
            read[name] = getattr(self._experiment.derivatives, name)(weights)
        return {name: Layer(**{kind: arrays[name][kept] for kind, arrays in read.items()})
                for name, kept in mask.items() if self._protocol.fractions[name]}

    def _drawn(self):
        """A random number in [0, 1) for each prunable weight of this replicate: dict of arrays."""
        rng = np.random.default_rng(np.random.SeedSequence(
            [self._protocol.config.seed, self._run.replicate], spawn_key=(2,)))
        return {name: rng.random(shape, np.float32) for name, shape in self._protocol.shapes.items()}

    def prunable(self):
        """The names of the weights that masks are over."""
        return list(self._protocol.shapes)

    def new_weights(self):
        """A W_0 of this run's own seed."""
        return wrapper.get_weights(self._protocol.task.network(self.seed))

    def initial(self):
        """W_0 of this replicate."""
        return self._read(self._run.initial_weights)

    def rewound(self):
        """W_k of this replicate.

        Raises:
          LeftOutError: the dense network never got to step k.
          CorruptFileError, MissingFileError: the file is damaged or lost; the sentence says how to make it again.
        """
        return self._at_rewinding_step(self._run.rewound_weights)

    def _rewound_state(self):
        """What the feed held at step k, of one that holds anything, else None; raises what `rewound` does."""
        return self._at_rewinding_step(self._run.rewound_state) if self._experiment.trainer.feed.state else None

    def _at_rewinding_step(self, name):
        try:
            return self._read(name)
        except MissingFileError:
            if self._dense_passed(runs.rewind_step(self._protocol, self._run)):
                raise
        raise LeftOutError(f'replicate {self._run.replicate} diverged before its rewinding step.', runs.LEFT_OUT,
                           self._dense.folder)

    @property
    def _dense(self):
        return runs.Run(self._run.replicate, 0, 'ticket')

    def _dense_passed(self, step):
        """Whether the dense network's training got to a step."""
        path = self._experiment.path
        if runs.outcome(storage.read_json(path(self._dense, 'result.json'))) == runs.FINISHED:
            return True
        return from_csv(storage.read_text(path(self._dense, 'metrics.csv')))[-1]['step'] >= step

    def _read(self, name):
        """Reads what the dense network's training has left for the branches."""
        path = storage.join(self._experiment.workdir, name)
        with made_again(path, self._experiment.path(self._dense)):
            return self._experiment.read(name)

    def keep_rewinding_point(self, step, weights, state):
        """Saves W_k and what the feed held; called by the dense network's training when it gets there."""
        several = len(self._protocol.rewind_steps) > 1
        run = dataclasses.replace(self._run, rewind=step if several else None)
        if state:
            self._experiment.write(run.rewound_state, state)
        self._experiment.write(run.rewound_weights, weights)

    def _initialised(self):
        """W_0 of this replicate, written down for the branches and analyses that need it."""
        weights = wrapper.get_weights(self._protocol.task.initial(self.seeds.initialisation))
        self._experiment.write(self._run.initial_weights, weights)
        return weights
