"""Runs an experiment in its folder, and goes on where it stopped."""

import contextlib
import dataclasses
import functools
import itertools
import tempfile
import time

import tensorflow as tf
from absl import logging

from tf_lottery.branches import BRANCHES
from tf_lottery.errors import ClusterError, EmptiedError, LeftOutError
from tf_lottery.experiment import runs
from tf_lottery.experiment.config import identity
from tf_lottery.experiment.mask_updates import MaskUpdates
from tf_lottery.experiment.place import At, made_again
from tf_lottery.pruning import wrapper
from tf_lottery.runtime import distribute, storage
from tf_lottery.ticket import pack
from tf_lottery.training import deletion, learned_masks, learning_rates
from tf_lottery.training.checkpoints import Checkpoint
from tf_lottery.training.construction import Construction
from tf_lottery.training.derivatives import Derivatives
from tf_lottery.training.line import Line
from tf_lottery.training.metrics import to_csv
from tf_lottery.training.trainer import Settings, Trainer


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
            epsilon_outside=training.epsilon_outside, beta_2=training.beta_2, clip_norm=training.clip_norm,
            weight_decay=training.weight_decay, average=training.average, evaluate_every=protocol.evaluate_every,
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
                               freezes=any(BRANCHES[branch].frozen for branch in config.branches),
                               variables=config.pruning.variables)
        # Trainers of scores, by the name of the rule that makes masks of them.
        self._learners = {}
        wrapper.set_schedules(self.trainer.network, protocol.fractions, protocol.levels, protocol.end_step,
                              protocol.rewind_steps[0])
        if protocol.derivatives:
            self.derivatives.require(protocol.derivatives)
        self._construction = Construction(protocol.task, data_dir) if config.construction.widths else None
        if self._writes:
            runs.keep_files(workdir, feed.files)

    @functools.cached_property
    def derivatives(self):
        """What criteria read of the loss: training.derivatives.Derivatives."""
        config = self.protocol.config
        return Derivatives(self.protocol.task, self.trainer.feed.drawn(config.pruning.examples),
                           config.training.batch_size, self.strategy, config.pruning.variables)

    @functools.cached_property
    def checksums(self):
        """What config.json has of the sources of tickets: dict from name to a dict with their `files`."""
        return runs.read_config(self.workdir)['sources']

    def _trainer_of(self, run):
        """The Trainer of a run: one for all that train weights, and one for each rule by which masks are learned."""
        rule = BRANCHES[run.branch].learns
        if rule is None:
            return self.trainer
        if rule not in self._learners:
            how = self.protocol.config[rule]
            settings = dataclasses.replace(
                self._settings, optimizer='momentum', average=1, momentum=how.momentum, weight_decay=how.weight_decay,
                clip_norm=None,
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
        updates, learning, own = self.updates.of(run, at.seed), at.learning(), at.own()
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
                'layers': {name: float(array.mean()) for name, array in trained.mask.items()}, 'digest': digest,
                **({'own': own} if own else {})})
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
        with made_again(self.path(run, 'mask.npz'), self.path(run)):
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
        with made_again(self.path(run, 'weights.npz'), self.path(run)):
            return runs.read_weights(self.path(run), mask)


# What is said of a run that others cannot be made from.
_WITHOUT_WEIGHTS = {runs.DIVERGED: 'ended in a loss that is not finite',
                    runs.EMPTIED: 'would have had a layer without weights', runs.LEFT_OUT: 'was left out too'}


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
    ending = [measure.name for measure in measures.each if measure.ends]
    known = [name for name in metrics if name.partition('_')[2] not in ending]
    finite = not trained.diverged
    early = {}
    if measures.early_stop:
        best = measures.find_early_stop(
            [row for row in trained.rows if settled is None or row['step'] > settled]) or {}
        early = {f'early_stop_{name}': best.get(name) for name in ('step', *known)}
    return {
        'diverged': trained.diverged, 'outcome': runs.FINISHED if finite else runs.DIVERGED,
        **early,
        **{f'final_{name}': last[name] if finite else None for name in metrics},
        'measures': measures.to_json(),
    }
