"""Runs an experiment in its folder, and goes on where it stopped."""

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
from tf_lottery.errors import ClusterError, CorruptFileError, DivergedError, MissingFileError
from tf_lottery.experiment import runs
from tf_lottery.pruning import wrapper
from tf_lottery.pruning.allocation import prune
from tf_lottery.runtime import distribute, storage
from tf_lottery.ticket import Mask, Ticket, pack
from tf_lottery.training import learning_rates
from tf_lottery.training.checkpoints import Checkpoint
from tf_lottery.training.line import Line
from tf_lottery.training.metrics import to_csv
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
            jit = distribute.jit_pays(strategy, protocol.facts.compiles)
        elif jit:
            distribute.check_jit(strategy)
        learning_rate = learning_rates.build(
            training.schedule, protocol.learning_rate, protocol.warmup_steps, end_step=protocol.end_step,
            milestones=protocol.milestones, drop=training.drop, final_learning_rate=protocol.final_learning_rate)
        optimizer = protocol.task.optimizer if training.optimizer == 'own' else training.optimizer
        settings = Settings(
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
        self.trainer = Trainer(protocol.task, feed, settings, strategy)
        wrapper.set_schedules(self.trainer.network, protocol.fractions, protocol.levels, protocol.end_step,
                              protocol.rewind_steps[0])

    def path(self, run, *names):
        return storage.join(self.workdir, run.folder, *names)

    def pending(self, replicate=None):
        """The runs of a replicate, or of all, that are not done, in order; what the first worker sees counts."""
        return self._agreed(replicate, runs.pending(self.workdir, self.protocol, replicate))

    def _agreed(self, replicate, found):
        """The runs that the first worker found, on every worker; it goes on to write when all have looked."""
        wanted, found = runs.wanted(self.protocol, replicate), set(found)
        return list(itertools.compress(wanted, distribute.from_chief(self.strategy, [run in found for run in wanted])))

    def run(self, progress=None, replicate=None):
        """Trains whatever is not done yet.

        A run that ends in a loss that is not finite is recorded as such; runs made from it are left out with a
        warning, and the others go on.

        Args:
          progress: function of (the run, the step it has come to; None while the line to it is measured), or None.
          replicate: int, the only one to train, which this process has claimed where others work in the same folder
            (claims.Claims); None: all.

        Raises:
          Interrupted: `stop` said so; the same command goes on from there.
          ClusterError: the workers do not agree, or one of them is gone.
        """
        for run in self.pending(replicate):
            try:
                self._execute(run, functools.partial(progress, run) if progress else None)
            except DivergedError as error:
                logging.warning('%s is left out: %s', run.folder, error)
        self._connect(progress, replicate)

    def _connect(self, progress, replicate):
        """Measures the errors on the lines between copies of a subnetwork that saw different data orders."""
        missing = self._agreed(replicate, runs.missing_lines(self.workdir, self.protocol, replicate))
        if not missing:
            return
        wish = self.protocol.config.connectivity
        line = Line(self.trainer, self.trainer.feed.sample(wish.examples))
        # Who stopped alone would leave the others waiting for it at the end.
        stop = functools.partial(distribute.stopping, self.strategy, self._stop)
        for run in missing:
            try:
                ends = self.weights(runs.original(run)), self.weights(run)
            except DivergedError as error:
                logging.warning('The line to %s is left out: %s', run.folder, error)
                continue
            if progress:
                progress(run, None)
            errors = line.errors(*ends, self.mask(run), wish.points, stop)
            if self._writes:
                storage.write_json(self.path(run, 'connectivity.json'), {'examples': line.examples, **errors})
        distribute.barrier(self.strategy)

    def _execute(self, run, progress):
        began = time.perf_counter()
        at = At(self, run)
        ticket = at.ticket()
        _, end = runs.run_steps(self.protocol, run)
        dense = run.level == 0 and run.branch == 'ticket'
        checkpoint = Checkpoint(self.path(run), self._writes)
        try:
            trained = self.trainer.train(
                ticket, at.seeds, end, keep_at=self.protocol.rewind_steps if dense else (),
                keep=at.keep_rewinding_point, checkpoint=checkpoint, stop=self._stop, progress=progress)
        except ClusterError as error:
            raise ClusterError(f'{self.path(run)}: {error}') from error
        if self._writes:
            self._save(run, ticket, trained)
            storage.write_json(self.path(run, 'timing.json'), {
                'seconds': time.perf_counter() - began, 'steps': end - ticket.step})
            storage.write_json(self.path(run, 'result.json'), _result(
                run, ticket, trained, self.protocol.task.measures, runs.rewind_step(self.protocol, run), end))
        checkpoint.remove()
        distribute.barrier(self.strategy)

    def _save(self, run, ticket, trained):
        storage.write_arrays(self.path(run, 'mask.npz'), ticket.mask.to_arrays())
        storage.write_arrays(self.path(run, 'weights.npz'), pack(trained.weights, ticket.mask))
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
        """Reads the Mask of a run that is done."""
        return runs.read_mask(self.path(run))

    def weights(self, run):
        """Reads the trained weights of a run that is done.

        Raises:
          DivergedError: they are not numbers, or the run was left out because those of another one are not.
          CorruptFileError: the file is damaged; the sentence says how to train the run again.
        """
        try:
            result = storage.read_json(self.path(run, 'result.json'))
        except MissingFileError as error:
            raise DivergedError(f'{run.folder} was left out too.') from error
        if result['diverged']:
            raise DivergedError(f'{run.folder} ended in a loss that is not finite.')
        try:
            return runs.read_weights(self.path(run), self.mask(run))
        except CorruptFileError as error:
            raise CorruptFileError(
                f'{str(error).rstrip(".")}: delete {self.path(run)} and run the same command again.') from error


def _write_tensorboard(folder, rows):
    """Writes the rows of a run as TensorBoard scalars; a run that is trained again replaces its own."""
    with tempfile.TemporaryDirectory() as place:
        with storage.one_sentence('write', place), tf.summary.create_file_writer(place).as_default():
            for row in rows:
                for name, value in row.items():
                    if name != 'step':
                        tf.summary.scalar(name, value, step=row['step'])
        storage.replace_folder(place, folder)


def _result(run, ticket, trained, measures, rewind_step, end):
    """What is known of a run once it has finished, as flat values and one mapping."""
    last = trained.rows[-1]
    metrics = [name for name in last if name not in ('step', 'train_loss')]
    finite = not trained.diverged
    early = {}
    if measures.early_stop:
        best = measures.find_early_stop(trained.rows) or {}
        early = {f'early_stop_{name}': best.get(name) for name in ('step', *metrics)}
    return {
        'branch': run.branch, 'copy': run.copy, 'level': run.level, 'replicate': run.replicate,
        'density': ticket.mask.density, 'kept': ticket.mask.kept, 'size': ticket.mask.size,
        'rewind_step': rewind_step, 'start_step': ticket.step, 'end_step': end, 'diverged': trained.diverged,
        **early,
        **{f'final_{name}': last[name] if finite else None for name in metrics},
        'measures': measures.to_json(),
        'layers': {name: float(array.mean()) for name, array in ticket.mask.items()},
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
            return Ticket(Mask.ones(self._protocol.shapes), self._initialised(), start)
        branch = BRANCHES[self._run.branch]
        return Ticket(branch.mask(self), branch.weights(self), start)

    def _before(self):
        """The run of this branch's chain at the level before."""
        level = self._run.level - 1
        if level == 0:
            return runs.Run(self._run.replicate, 0, 'ticket')
        return runs.Run(self._run.replicate, level, BRANCHES[self._run.branch].chain, 0, self._run.rewind)

    def trained(self):
        """The weights that the chain's network of the level before ended in."""
        return self._experiment.weights(self._before())

    def pruned(self):
        """The mask of this level: the chain's network of the level before, pruned once more; all weights at level 0."""
        if self._run.level == 0:
            return Mask.ones(self._protocol.shapes)
        return self._prune(self._before())

    def pruned_once(self):
        """The mask of this level's density from the trained dense network."""
        return self._prune(runs.Run(self._run.replicate, 0, 'ticket'))

    def pruned_initially(self):
        """The mask of this level's density from W_0."""
        return self._to_density(Mask.ones(self._protocol.shapes), self.initial())

    def _prune(self, run):
        weights = self._experiment.weights(run)
        return self._to_density(self._experiment.mask(run), weights)

    def _to_density(self, mask, weights):
        """The mask of this level from an earlier one and the weights that are ranked."""
        return prune(mask, weights, self._protocol.fractions, self._run.level, self._protocol.config.pruning.scope)

    def prunable(self):
        """The names of the weights that masks are over."""
        return list(self._protocol.shapes)

    def new_weights(self):
        """A W_0 of this run's own seed."""
        return wrapper.get_weights(self._protocol.task.network(self.seed))

    def initial(self):
        """W_0 of this replicate."""
        return self._experiment.read(self._run.initial_weights)

    def rewound(self):
        """W_k of this replicate.

        Raises:
          DivergedError: the dense network never got to step k.
        """
        try:
            return self._experiment.read(self._run.rewound_weights)
        except MissingFileError as error:
            raise DivergedError(f'replicate {self._run.replicate} diverged before its rewinding step.') from error

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
