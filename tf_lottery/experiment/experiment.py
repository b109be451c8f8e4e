"""Runs an experiment in its folder, and goes on where it stopped."""

import contextlib
import dataclasses
import functools
import itertools
import tempfile
import time
import zlib

import numpy as np
import tensorflow as tf
from absl import logging

from tf_lottery.branches import BRANCHES
from tf_lottery.errors import ClusterError, CorruptFileError, EmptiedError, LeftOutError, MissingFileError
from tf_lottery.experiment import runs
from tf_lottery.experiment.config import identity
from tf_lottery.experiment.mask_updates import MaskUpdates
from tf_lottery.pruning import allocation, wrapper
from tf_lottery.pruning.criteria import BEFORE_TRAINING, CRITERIA, Layer, scores
from tf_lottery.runtime import distribute, storage
from tf_lottery.ticket import Mask, Ticket, pack
from tf_lottery.training import deletion, learned_masks, learning_rates
from tf_lottery.training.checkpoints import Checkpoint
from tf_lottery.training.construction import Construction
from tf_lottery.training.derivatives import Derivatives
from tf_lottery.training.line import Line
from tf_lottery.training.metrics import from_csv, to_csv
from tf_lottery.training.trainer import Seeds, Settings, Trainer


def replicate_seeds(seed, replicate):
    """Returns the Seeds of a replicate: three independent 31-bit numbers."""
    state = np.random.SeedSequence([seed, replicate]).generate_state(3)
    return Seeds(*(int(number >> 1) for number in state))


class Experiment:
    """The trainings of one experiment, each done once, its results in the experiment's folder.

    Args:
      workdir: the folder; `runs.claim` it first.
      protocol: config.Protocol.
      strategy: a tf.distribute.Strategy; its first worker writes, and all must see the same folder.
      data_dir: where TFDS keeps data sets.
      jit: bool, or None to compile with XLA where it pays.
      stop: function that returns an exception to raise once everything is saved, or None to go on.
      tensorboard: bool, whether to write TensorBoard logs too.
    """

    def __init__(self, workdir, protocol, strategy, data_dir=None, jit=None, stop=None, tensorboard=False):
        self.workdir, self.protocol, self.strategy = workdir, protocol, strategy
        self._stop = stop
        self._writes = distribute.is_chief()
        self._tensorboard = tensorboard
        config, training = protocol.config, protocol.config.training
        if jit is None:
            facts = protocol.facts
            jit = facts.compilable and distribute.jit_pays(strategy, facts.compiles)
        elif jit:
            distribute.check_jit(strategy)
        learning_rate = learning_rates.build(
            training.schedule, protocol.learning_rate, protocol.warmup_steps, end_step=protocol.end_step,
            milestones=protocol.milestones, drop=training.drop, final_learning_rate=protocol.final_learning_rate)
        optimizer = protocol.task.optimizer if training.optimizer == 'own' else training.optimizer
        self._settings = settings = Settings(
            batch_size=training.batch_size, optimizer=optimizer, learning_rate=learning_rate,
            momentum=training.momentum, rho=training.rho, epsilon=training.epsilon,
            weight_decay=training.weight_decay, evaluate_every=protocol.evaluate_every,
            checkpoint_every=protocol.checkpoint_every, block=training.block, jit=jit)
        feed = protocol.task.feed(settings, strategy, data_dir)
        if distribute.has_workers(strategy):
            # Before anything else is exchanged: networks of different shapes would wait for each other for ever.
            distribute.agree(strategy, {
                'the config': config.to_dict(), 'a version of the libraries': runs.versions(),
                f'the experiment in {workdir}': runs.is_claimed(workdir) and runs.read_config(workdir)['config'],
                'the data set': feed.fingerprint()})
        # Before anything is trained, whatever a schedule of somebody's own does.
        self.updates = MaskUpdates(protocol)
        self.trainer = Trainer(protocol.task, feed, settings, strategy, self.updates.read_gradients,
                               freezes=any(BRANCHES[branch].frozen for branch in config.branches))
        # Trainers of scores, by the name of the rule that makes masks of them.
        self._learners = {}
        wrapper.set_schedules(self.trainer.network, protocol.fractions, protocol.levels, protocol.end_step,
                              protocol.rewind_steps[0])
        if protocol.derivatives:
            self.derivatives.require(protocol.derivatives)
        self._construction = Construction(protocol.task, data_dir) if config.construction.widths else None

    @functools.cached_property
    def derivatives(self):
        """What criteria read of the loss: training.derivatives.Derivatives."""
        config = self.protocol.config
        return Derivatives(self.protocol.task, self.trainer.feed.drawn(config.pruning.examples),
                           config.training.batch_size, self.strategy)

    def _trainer_of(self, run):
        """The Trainer of a run: one for all that train weights, and one for each rule by which masks are learned."""
        rule = BRANCHES[run.branch].learns
        if rule is None:
            return self.trainer
        if rule not in self._learners:
            how = self.protocol.config[rule]
            settings = dataclasses.replace(
                self._settings, optimizer='momentum', momentum=how.momentum, weight_decay=how.weight_decay,
                learning_rate=learning_rates.build(
                    how.schedule, how.learning_rate, self.protocol.score_warmup_steps[rule],
                    end_step=self.protocol.end_step))
            self._learners[rule] = Trainer(self.protocol.task, self.trainer.feed, settings, self.strategy,
                                           learns=learned_masks.RULES[rule])
        return self._learners[rule]

    def path(self, run, *names):
        return storage.join(self.workdir, run.folder, *names)

    def pending(self, replicate=None):
        """The runs of a replicate, or of all, that are not done, in order; what the first worker sees counts."""
        return self._agreed(runs.wanted(self.protocol, replicate),
                            runs.pending(self.workdir, self.protocol, replicate))

    def _agreed(self, wanted, found):
        """What the first worker found of what is wanted, on every worker; it goes on to write when all have looked."""
        found = set(found)
        return list(itertools.compress(wanted, distribute.from_chief(
            self.strategy, [each in found for each in wanted])))

    def run(self, progress=None, replicate=None):
        """Trains whatever is not done yet.

        Each run comes to one of `runs.OUTCOMES`: where its loss is not finite, where a ranking leaves a layer without
        weights, and where it is made from such a run, that is written down with a warning, and the others go on.

        Args:
          progress: function of (the run, the step it has come to, or in words what is measured of it), or None.
          replicate: int, the only one to train, which this process has claimed where others work in the same folder
            (claims.Claims); None: all.

        Raises:
          Interrupted: `stop` said so; the same command goes on from there.
          ClusterError: the workers do not agree, or one of them is gone.
        """
        for run in self.pending(replicate):
            self._execute(run, functools.partial(progress, run) if progress else None)
        self._connect(progress, replicate)
        self._construct(progress, replicate)
        self._measure_deletions(replicate)

    def _connect(self, progress, replicate):
        """Measures the errors on the lines between copies of a subnetwork that saw different data orders."""
        missing = self._agreed(runs.wanted(self.protocol, replicate),
                               runs.missing_lines(self.workdir, self.protocol, replicate))
        if not missing:
            return
        line = Line(self.trainer, self.trainer.feed.sample(self.protocol.config.connectivity.examples))
        # Who stopped alone would leave the others waiting for it at the end.
        stop = functools.partial(distribute.stopping, self.strategy, self._stop)
        for run in missing:
            # Of results that are not listed yet nobody has asked how the runs ended.
            with contextlib.suppress(LeftOutError):
                self._measure(line, run, progress, stop)
        distribute.barrier(self.strategy)

    def _measure(self, line, run, progress, stop):
        ends = self.weights(runs.original(run)), self.weights(run)
        if progress:
            progress(run, f'line to {run.branch}')
        errors = line.errors(*ends, self.mask(run), self.protocol.config.connectivity.points, stop)
        if self._writes:
            storage.write_json(self.path(run, 'connectivity.json'), {'examples': line.examples, **errors})

    def _construct(self, progress, replicate):
        """Prunes random networks until they are near the dense network, and measures how near."""
        wanted = runs.constructions(self.protocol, replicate)
        missing = wanted and self._agreed(wanted, runs.missing_constructions(self.workdir, self.protocol, replicate))
        for each in missing:
            # Of a result that was not listed yet nobody has asked how the run ended.
            with contextlib.suppress(LeftOutError):
                self._make(each, progress)
        if missing:
            distribute.barrier(self.strategy)

    def _make(self, wish, progress):
        weights = self.weights(wish.run)
        if progress:
            progress(wish.run, f'construction {wish.way} {wish.width}')

        def begin():
            # Who stopped alone would leave the others waiting for it at the end.
            stopping = distribute.stopping(self.strategy, self._stop)
            if stopping:
                raise stopping

        seed = [self.protocol.config.seed, wish.run.replicate]
        rows = [{'width': wish.width, 'way': wish.way, 'examples': self._construction.examples, **row}
                for row in self._construction.measure(weights, wish.way, wish.width, seed, begin)]
        if self._writes:
            rows += runs.read_constructions(self.workdir, wish.run)
            # In one order, whatever was asked for first.
            storage.write_json(self.path(wish.run, 'construction.json'),
                               sorted(rows, key=lambda row: (row['width'], row['way'])))

    def _measure_deletions(self, replicate):
        """Measures what deleting weights of the dense networks does to the loss, where Optimal Brain Damage ranks."""
        missing = runs.missing_deletions(self.workdir, self.protocol, replicate)
        missing = self._agreed(runs.wanted(self.protocol, replicate), missing)
        if not missing:
            return
        stop = functools.partial(distribute.stopping, self.strategy, self._stop)
        names = [name for name, fraction in self.protocol.fractions.items() if fraction]
        for run in missing:
            # Of results that are not listed yet nobody has asked how the runs ended.
            with contextlib.suppress(LeftOutError):
                losses = deletion.measure(self.derivatives, self.weights(run), names, stop)
                if self._writes:
                    storage.write_json(self.path(run, 'deletion.json'), {
                        'examples': self.protocol.config.pruning.examples, **losses})
        distribute.barrier(self.strategy)

    def _execute(self, run, progress):
        """Brings a run to its outcome; what the first worker sees of it counts."""
        began, at = time.perf_counter(), At(self, run)
        ticket = obstacle = None
        try:
            ticket = at.ticket()
        except LeftOutError as error:
            obstacle = error
        # A listing may have been older than the result.
        done = self._writes and runs.is_done(self.workdir, run)
        done, left_out = distribute.from_chief(self.strategy, [done, obstacle is not None])
        if done:
            return
        if left_out:
            self._leave_out(run, obstacle)
        elif obstacle:
            raise ClusterError(f'the first worker trains {self.path(run)}, another one cannot: {obstacle} See that all '
                               'share --workdir, and run the same command again.') from obstacle
        else:
            self._train(run, at, ticket, progress, began)

    def _leave_out(self, run, obstacle):
        """Writes down why a run is not trained."""
        if self._writes:
            logging.warning('%s is left out: %s', run.folder, obstacle)
            storage.write_json(self.path(run, 'result.json'), {
                **_place(run), **_course(self.protocol, run), 'diverged': False, 'outcome': obstacle.outcome,
                'after': obstacle.after, 'reason': str(obstacle)})
            Checkpoint(self.path(run)).remove()
        distribute.barrier(self.strategy)

    def _train(self, run, at, ticket, progress, began):
        _, end = runs.run_steps(self.protocol, run)
        dense = run.level == 0 and run.branch == 'ticket'
        updates, learning = self.updates.of(run, at.seed), at.learning()
        digest = ticket.digest(identity(self.protocol.config), dataclasses.astuple(at.seeds), *(
            dataclasses.asdict(each) for each in (updates, learning) if each))
        checkpoint = Checkpoint(self.path(run), self._writes, digest, began)
        try:
            trained = self._trainer_of(run).train(
                ticket, at.seeds, end, keep_at=self.protocol.rewind_steps if dense else (),
                keep=at.keep_rewinding_point, checkpoint=checkpoint, stop=self._stop, progress=progress,
                updates=updates, learning=learning)
        except ClusterError as error:
            raise ClusterError(f'{self.path(run)}: {error}') from error
        except EmptiedError as error:
            self._leave_out(run, LeftOutError(str(error), runs.EMPTIED, None))
            return
        if self._writes:
            self._save(run, ticket, trained)
            storage.write_json(self.path(run, 'timing.json'), {
                'seconds': checkpoint.seconds, 'steps': trained.rows[-1]['step'] - ticket.step})
            storage.write_json(self.path(run, 'result.json'), {
                **_place(run), **_density(trained.mask), **_course(self.protocol, run),
                **_measured(trained, self.protocol.task.measures, updates.settled if updates else None),
                'layers': {name: float(array.mean()) for name, array in trained.mask.items()}, 'digest': digest})
        checkpoint.remove()
        distribute.barrier(self.strategy)

    def _save(self, run, ticket, trained):
        storage.write_arrays(self.path(run, 'mask.npz'), trained.mask.to_arrays())
        storage.write_arrays(self.path(run, 'weights.npz'), pack(
            trained.weights, trained.mask, whole=ticket.frozen is not None))
        storage.write_text(self.path(run, 'metrics.csv'), to_csv(trained.rows))
        if self._tensorboard:
            _write_tensorboard(storage.join(self.workdir, 'tensorboard', run.folder), trained.rows)

    def read(self, name):
        """Reads the arrays of a file of the experiment."""
        return storage.read_arrays(storage.join(self.workdir, name))

    def write(self, name, arrays):
        """Writes the arrays of a file of the experiment, on the worker that writes."""
        if self._writes:
            storage.write_arrays(storage.join(self.workdir, name), arrays)

    def mask(self, run):
        """Reads the Mask of a run that was trained."""
        with _made_again(self.path(run, 'mask.npz'), self.path(run)):
            return runs.read_mask(self.path(run))

    def weights(self, run):
        """Reads the trained weights of a run that is done.

        Raises:
          LeftOutError: the run came to no weights that another one could be made from.
          CorruptFileError, MissingFileError: the file is damaged or lost; the sentence says how to train the run again.
        """
        outcome = runs.outcome(storage.read_json(self.path(run, 'result.json')))
        if outcome in _WITHOUT_WEIGHTS:
            raise LeftOutError(f'{run.folder} {_WITHOUT_WEIGHTS[outcome]}.', runs.LEFT_OUT, run.folder)
        mask = self.mask(run)
        with _made_again(self.path(run, 'weights.npz'), self.path(run)):
            return runs.read_weights(self.path(run), mask)


# What is said of a run that others cannot be made from.
_WITHOUT_WEIGHTS = {runs.DIVERGED: 'ended in a loss that is not finite',
                    runs.EMPTIED: 'would have had a layer without weights', runs.LEFT_OUT: 'was left out too'}


@contextlib.contextmanager
def _made_again(path, folder):
    """Says of a file that is damaged or lost which run's folder to delete, so that the same command makes it again."""
    remedy = f'delete {folder} and run the same command again.'
    try:
        yield
    except CorruptFileError as error:
        raise CorruptFileError(f'{str(error).rstrip(".")}: {remedy}') from error
    except MissingFileError as error:
        raise MissingFileError(f'{path} is lost: {remedy}') from error


def _write_tensorboard(folder, rows):
    """Writes the rows of a run as TensorBoard scalars; a run that is trained again replaces its own."""
    with tempfile.TemporaryDirectory() as place:
        with storage.one_sentence('write', place), tf.summary.create_file_writer(place).as_default():
            for row in rows:
                for name, value in row.items():
                    if name != 'step':
                        tf.summary.scalar(name, value, step=row['step'])
        storage.replace_folder(place, folder)


def _place(run):
    """Which run a result is of."""
    return {'branch': run.branch, 'copy': run.copy, 'level': run.level, 'replicate': run.replicate}


def _density(mask):
    return {'density': mask.density, 'kept': mask.kept, 'size': mask.size}


def _course(protocol, run):
    start, end = runs.run_steps(protocol, run)
    return {'rewind_step': runs.rewind_step(protocol, run), 'start_step': start, 'end_step': end}


def _measured(trained, measures, settled=None):
    """What training came to: at the early stop, of what came after the step `settled`, and at the end."""
    last = trained.rows[-1]
    metrics = [name for name in last if name not in ('step', 'train_loss')]
    finite = not trained.diverged
    early = {}
    if measures.early_stop:
        best = measures.find_early_stop(
            [row for row in trained.rows if settled is None or row['step'] > settled]) or {}
        early = {f'early_stop_{name}': best.get(name) for name in ('step', *metrics)}
    return {
        'diverged': trained.diverged, 'outcome': runs.FINISHED if finite else runs.DIVERGED,
        **early,
        **{f'final_{name}': last[name] if finite else None for name in metrics},
        'measures': measures.to_json(),
    }


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
        return Ticket(branch.mask(self), branch.weights(self), start, branch.frozen(self) if branch.frozen else None)

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
        try:
            return self._read(self._run.rewound_weights)
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
        with _made_again(path, self._experiment.path(self._dense)):
            return self._experiment.read(name)

    def keep_rewinding_point(self, step, weights):
        """Saves W_k; called by the dense network's training when it gets there."""
        several = len(self._protocol.rewind_steps) > 1
        run = dataclasses.replace(self._run, rewind=step if several else None)
        self._experiment.write(run.rewound_weights, weights)

    def _initialised(self):
        """W_0 of this replicate, written down for the branches and analyses that need it."""
        weights = wrapper.get_weights(self._protocol.task.network(self.seeds.initialisation))
        self._experiment.write(self._run.initial_weights, weights)
        return weights
