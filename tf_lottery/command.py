"""What main.py does in each mode, and how its errors read."""

import contextlib
import dataclasses
import difflib
import functools
import math
import os
import re
import signal
import sys
import time

from absl import flags

from tf_lottery import steps
from tf_lottery.branches import BRANCHES, rewound
from tf_lottery.errors import ClusterError, ExportError, Interrupted, StorageError, UsageError, in_one_line
from tf_lottery.experiment import config, matrix, plan, runs
from tf_lottery.experiment.claims import Claims
from tf_lottery.runtime import clusters, distribute, keras2, locks, storage

MODES = ('run', 'plan', 'report', 'export')

# Bytes of a file's name, on the file systems of Linux.
_LONGEST_NAME = 255

# What is said of a flag's text by Python, absl and ml_collections, and what to give instead.
_REMEDIES = {
    'invalid literal for int()': 'give a whole number',
    'Exceeds the limit': 'give a smaller number',
    'could not convert string to float': 'give a number',
    'Non-boolean argument': 'give true or false',
    'as a ConfigDict': 'give its keys one by one, as in --config.training.length=500it',
}


@contextlib.contextmanager
def flag_errors():
    """Turns a mistake in the flags or in the config file into one sentence and exit code 2."""
    try:
        yield
    except (flags.Error, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        _complain(_mistake(error))
        sys.exit(2)


def _mistake(error):
    """What an error in parsing the flags is to the user."""
    # absl puts the whole flag in front of what the parser of a config file says.
    if isinstance(error.__context__, UsageError):
        return error.__context__
    # ml_collections has an error of another type for each way in which a key can be wrong.
    for argument in sys.argv:
        override = re.match(r'--?(?:no)?config\.([^=]*)', argument)
        if override:
            try:
                config.check_key(override[1])
            except UsageError as unknown:
                return unknown
    message = in_one_line(error.args[-1] if error.args else error)
    return ': '.join([message, *(remedy for said, remedy in _REMEDIES.items() if said in message)])


def parse_flags(values, argv):
    """Parses absl flags, the config file included."""
    with flag_errors():
        return values(argv)


def in_one_sentence(action):
    """Runs an action and returns the exit code; what the user can mend is one sentence, not a traceback."""
    try:
        action()
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads has seen enough, as `head` has; what is still to be flushed goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except UsageError as error:
        _complain(error)
        return 2
    except (StorageError, ExportError, ClusterError) as error:
        _complain(error)
        return 1
    except Interrupted as error:
        _complain(error)
        return 128 + error.signal
    except KeyboardInterrupt:
        _complain('Stopped; what was saved before is good. The same command goes on from there.')
        return 130
    return 0


def _complain(message):
    print('tf_lottery:', *str(message).splitlines(), file=sys.stderr)


# Who reads the flags that not all do: another flag and its values, and the flags. A plan takes the command of a run.
_READERS = (
    ('mode', ('run',), ('tensorboard',)),
    ('mode', ('plan',), ('examples_per_second',)),
    ('mode', ('export',), ('branch', 'level', 'rewind_to', 'weights')),
    ('mode', ('run', 'plan'),
     ('strategy', 'cluster', 'workers', 'pods', 'instances', 'port', 'tpu', 'cpu_devices', 'jit')),
    ('mode', ('run', 'plan', 'export'), ('data_dir', 'replicate')),
    ('strategy', ('mirrored',), ('cpu_devices',)),
    ('strategy', ('auto', 'multi_worker'), ('port',)),
    ('cluster', ('auto', 'slurm', 'kubernetes', 'gce'), ('port',)),
    ('cluster', ('kubernetes', 'gce'), ('workers',)),
    ('cluster', ('kubernetes',), ('pods',)),
    ('cluster', ('gce',), ('instances',)),
)


def _check_flags(options):
    """Refuses flags that nothing reads beside the others, and values that cannot be; needs no TensorFlow.

    Raises:
      UsageError.
    """
    for by, choices, names in _READERS:
        for name in names:
            if options[name].value != options[name].default and options[by].value not in choices:
                readers = ' and '.join(f'--{by}={choice}' for choice in choices)
                raise UsageError(f'--{name}={in_one_line(options[name].value)} is read by {readers}, not by '
                                 f'--{by}={options[by].value}: leave --{name} out, or give another --{by}.')
    for name in ('workdir', 'data_dir', 'tpu', 'pods', 'instances', 'branch', 'rewind_to'):
        if options[name].value == '':
            raise UsageError(f'--{name} is empty: give it a value, or leave it out.')
    if options.examples_per_second is not None and not math.isfinite(options.examples_per_second):
        raise UsageError(f'--examples_per_second={options.examples_per_second} is no speed: give a number above 0.')
    if options.cpu_devices > 1 and options.jit == 'on':
        raise UsageError(f'--jit=on cannot be with --cpu_devices={options.cpu_devices}: {distribute.NO_XLA}.')


def _workdir(options):
    """The experiment's folder.

    Raises:
      UsageError: the experiment's name is to be that of its folder, and cannot.
    """
    name = options.config.name
    if options.workdir:
        return storage.without_slash(options.workdir)
    if '/' in name or name in ('.', '..') or len(name.encode()) > _LONGEST_NAME:
        raise UsageError(f'name is {name!r}, which cannot be the name of a folder in runs/: choose another '
                         '--config.name, or give --workdir.')
    return storage.join('runs', name)


def run(options, command_line, task=None):
    """Does what the flags say.

    Args:
      options: the parsed flags of main.py.
      command_line: str, the command as typed, which is written into what it makes.
      task: Task that the config names, where it has been made; None to find it.

    Raises:
      UsageError, StorageError, Interrupted.
    """
    _check_flags(options)
    if len(options.config.matrix):
        _matrix(options, command_line)
        return
    protocol = config.check(options.config, options.data_dir, task)
    runs.check_extent(protocol)
    _check_devices(options, protocol)
    cluster = _cluster(options)
    workdir = _workdir(options)
    if options.mode in ('run', 'plan') and options.replicate is not None:
        runs.check_replicate(protocol, options.replicate)
    if options.mode == 'plan':
        runs.check_same(workdir, protocol)
        print(plan.describe(workdir, protocol, options.replicate, options.examples_per_second))
    elif options.mode == 'report':
        _report_of_any(workdir, options.config.transfer.density)
    elif options.mode == 'export':
        with _alone(workdir):
            _export(workdir, options, command_line, options.replicate)
    else:
        _meet(options, cluster)
        _run(workdir, protocol, options, command_line)


def _cluster(options):
    """Where the flags say that other workers are."""
    cluster = clusters.Wish(options.cluster, options.workers, options.pods, options.instances, options.port)
    distribute.check(options.strategy, cluster, options.tpu)
    return cluster


def _meet(options, cluster):
    """Finds the other workers, where the strategy may have some."""
    if options.strategy in ('auto', 'multi_worker'):
        with keras2.quiet_start():
            clusters.find(cluster)
    else:
        clusters.leave()


def _check_devices(options, protocol):
    """Refuses devices that a batch cannot be shared by."""
    if protocol.config.training.batch_size % options.cpu_devices:
        raise UsageError(f'--cpu_devices={options.cpu_devices} does not divide a batch of '
                         f'{protocol.config.training.batch_size}: give a number that does, or another '
                         '--config.training.batch_size.')


@contextlib.contextmanager
def _alone(workdir):
    """Waits until no other job writes a report or an export, and keeps others waiting."""
    runs.read_config(workdir)
    with locks.lock(workdir, wait=True):
        yield


def _run(workdir, protocol, options, command_line):
    if not distribute.is_chief():
        # The first worker looks after the folder: one that refused it before they meet would keep the others waiting.
        _train(workdir, protocol, options, _strategy(options))
        return
    left = _claim_and_train(workdir, protocol, options, command_line, lambda: _strategy(options))
    if options.replicate in left:
        raise UsageError(f'replicate {options.replicate} of {workdir} is being trained by '
                         f'{left[options.replicate] or "another job"}: '
                         'wait for it, or leave --replicate out to train any that is free.')
    if left:
        print(f'Not finished yet: replicate {_who(left)}. The job that finishes the last one writes the report and the '
              'export; --mode=report writes a report of what is there.')
        return
    _finish(workdir, protocol, options, command_line)


def _who(left):
    """The replicates that are not finished, and who trains each: text."""
    return ', '.join(f'{replicate} ({owner or "nobody trains it"})' for replicate, owner in left.items())


def _claim_and_train(workdir, protocol, options, command_line, strategy, claimed=None):
    """Trains what is free of an experiment in its folder.

    Args:
      workdir, protocol, options, command_line: as of `_run`.
      strategy: function without arguments that returns the tf.distribute.Strategy.
      claimed: Protocol of all that the folder is for, where `protocol` is a part of it.

    Returns:
      What `Claims.left` says of the rest.
    """
    new = runs.claim(workdir, claimed or protocol, command_line)
    try:
        with Claims(workdir, protocol, options.replicate) as claims:
            # The other workers of a cluster wait to be told that there is nothing to do, too.
            if claims.take() is not None or distribute.is_cluster(options.strategy):
                _train(workdir, protocol, options, strategy(), claims)
    except UsageError:
        # Some things are known of a network that has been built only; the remedy is to work in the same folder.
        if new:
            runs.disclaim(workdir)
        raise
    return claims.left()


def _finish(workdir, protocol, options, command_line):
    """Writes the report and the export of an experiment that is finished."""
    with _alone(workdir):
        from tf_lottery.reporting import results

        summaries = _report(workdir, protocol.task)
        if all(results.dense(summary) is None for summary in summaries.values()):
            print('No ticket is exported: the dense network of every replicate diverged.')
            return
        _export(workdir, options, command_line, None, summaries, protocol.task)


# How long a job waits before it looks again whether others have finished the tickets that it is to take.
_WAIT_SECONDS = 10


def _matrix(options, command_line):
    """Does what the flags say with the experiments of a config that is several (`matrix.members`)."""
    workdir, density, count = _workdir(options), options.config.transfer.density, len(options.config.matrix)
    if options.mode == 'export':
        one = storage.join(workdir, next(iter(options.config.matrix)))
        raise UsageError(f'--mode=export is of one experiment, and the config is a matrix of {count}: give the folder '
                         f'of one and its config, as in --workdir={one} --config={one}/config.json.')
    if options.replicate is not None:
        raise UsageError(f'--replicate={options.replicate} is of one experiment, and the config is a matrix of {count}'
                         ', whose jobs share all replicates: leave --replicate out.')
    members = matrix.members(options.config, workdir, options.data_dir)
    for member in members:
        runs.check_extent(member.planned)
        _check_devices(options, member.planned)
    cluster = _cluster(options)
    if options.mode == 'plan':
        print(f'{options.config.name}: {count} experiments, which take tickets from each other\n')
        for member in members:
            runs.check_same(member.workdir, member.planned)
            print(plan.describe(member.workdir, member.planned, None, options.examples_per_second), '\n')
    elif options.mode == 'report':
        _report_of_any(workdir, density)
    else:
        _meet(options, cluster)
        if distribute.is_cluster(options.strategy):
            raise UsageError('the config is a matrix of experiments, which several jobs may share, but not the workers '
                             'of a cluster: give --strategy=mirrored or one_device.')
        _run_matrix(workdir, members, options, command_line)
        _report_of_any(workdir, density)


def _run_matrix(workdir, members, options, command_line):
    """Trains the members of a matrix: first the tickets that others take, then the rest of each."""
    # Devices are split, and a TPU is reached, once in a process.
    strategy = functools.cache(lambda: _strategy(options))
    if any(runs.pending(member.workdir, member.planned) for member in members):
        # Before data are looked for, which starts TensorFlow.
        strategy()
        for member in members:
            member.planned.task.require_data(options.data_dir)
    sources = [member for member in members if member.found]
    told = None
    while True:
        left = {member.name: _claim_and_train(member.workdir, member.found, options, command_line, strategy,
                                              member.planned) for member in sources}
        waits = '; '.join(f'{name}: replicate {_who(those)}' for name, those in left.items() if those)
        if not waits:
            break
        if waits != told:
            print(f'Waiting for the tickets that others are to take: {waits}.')
            told = waits
        time.sleep(_WAIT_SECONDS)
    for member in members:
        protocol = config.check(member.planned.config, options.data_dir)
        left = _claim_and_train(member.workdir, protocol, options, command_line, strategy)
        if left:
            print(f'Not finished yet: {member.name}, replicate {_who(left)}. The job that finishes the last one writes '
                  'the report and the export.')
        else:
            _finish(member.workdir, protocol, options, command_line)


def _strategy(options):
    """The tf.distribute.Strategy that the flags choose."""
    with keras2.quiet_start():
        return distribute.build(options.strategy, options.cpu_devices, options.tpu)


def _train(workdir, protocol, options, strategy, claims=None):
    """Trains what `claims` takes; a worker that is not the first has none and is told by the first."""
    from tqdm import tqdm

    from tf_lottery.runtime.interrupt import on_signals

    with keras2.quiet_start():
        from tf_lottery.experiment.experiment import Experiment
    # After the cluster, which brings TensorFlow's own handler of SIGTERM: that one only takes a note, for a
    # PreemptionCheckpointHandler.
    with on_signals() as stop, distribute.lost_worker():
        def stop_or_lost():
            if claims:
                claims.check()
            return stop()

        def agreed(replicate):
            """What the first worker has, or None where it has none left."""
            number, = distribute.from_chief(strategy, [-1 if replicate is None else replicate])
            return None if number < 0 else int(number)

        replicate = agreed(claims.replicate if claims else None)
        if replicate is None:
            return
        jit = {'auto': None, 'on': True, 'off': False}[options.jit]
        experiment = Experiment(workdir, protocol, strategy, options.data_dir, jit, stop_or_lost, options.tensorboard)
        offsets = {}
        terminal = sys.stderr.isatty()
        with tqdm(unit='step', unit_scale=True, smoothing=0.05, dynamic_ncols=True,
                  mininterval=0.2 if terminal else 30, disable=not claims) as bar:

            def progress(run, step):
                trains = not isinstance(step, str)
                what = run.branch if trains else step
                bar.set_description(f'replicate {run.replicate} level {run.level} {what}', refresh=not trains)
                bar.update(offsets[run] + step - bar.n if trains else 0)

            while replicate is not None:
                if claims:
                    # The bar counts the steps of all that this job may come to train, so that its time left is the
                    # experiment's where there is no other job.
                    bar.total = bar.n
                    for run in claims.ahead():
                        start, end = runs.run_steps(protocol, run)
                        offsets[run] = bar.total - start
                        bar.total += end - start
                experiment.run(progress if claims else None, replicate)
                replicate = agreed(claims.take() if claims else None)
            bar.total = bar.n


def _report_of_any(workdir, density):
    """Writes the report of an experiment, or of those that a folder holds that is none itself.

    Args:
      workdir: the folder.
      density: float, at which experiments that take tickets from each other are compared, or None.
    """
    if runs.is_claimed(workdir):
        with _alone(workdir):
            _report(workdir)
        return
    from tf_lottery.reporting import comparison, transfer

    folders = comparison.below(workdir)
    if not folders:
        # Says that there is no experiment.
        runs.read_config(workdir)
    targets = transfer.targets(folders)
    if targets:
        found = transfer.find(workdir, targets, density)
        with locks.lock(workdir, wait=True):
            print(f'{transfer.table(found)}\n')
            print(f'Report  {transfer.write(workdir, found)}')
        return
    found = comparison.find(workdir)
    with locks.lock(workdir, wait=True):
        print(f'{comparison.table(found)}\n')
        print(f'Report  {comparison.write(workdir, found)}')


def _report(workdir, task=None):
    """Prints the tables and writes the report; returns the summary of each rewinding step."""
    from tf_lottery.reporting import report, results, tables

    found = report.find(workdir, task)
    for step, summary in found.summaries.items():
        if len(found.summaries) > 1:
            print(f'Rewinding to step {step:,}\n')
        print(results.table(summary))
    for table in tables.tables(found.frame, found.samples, found.lines, found.built):
        print(f'{table}\n')
    print(f'Report  {report.write(workdir, found)}')
    return found.summaries


def _export(workdir, options, command_line, replicate, summaries=None, task=None):
    from tf_lottery.reporting import results

    with keras2.quiet_start():
        from tf_lottery.exports import export
    stored = runs.read_config(workdir)
    protocol = config.restore(stored, options.data_dir, task)
    summaries = summaries or results.summaries(results.load_results(workdir))
    if options.rewind_to:
        wish = steps.parse(options.rewind_to, *protocol.facts.epoch(protocol.config.training.batch_size))
        if wish not in summaries:
            raise UsageError(f'--rewind_to={options.rewind_to} is step {wish:,}, to which no finished run of {workdir} '
                             f'was rewound: give one of {", ".join(f"{step}it" for step in summaries)}.')
        summaries = {wish: summaries[wish]}
    wish = options.config.export
    step, level = results.level_to_ship(summaries, wish.within_points)
    level = level if options.level is None else options.level
    branch, copy = _branch_and_copy(options, protocol)
    if branch != 'ticket':
        _check_branch(workdir, options, branch, level, summaries[step])
    # Level 0 of 'ticket' is the dense network, which the rewinding steps share.
    rewind = step if len(protocol.rewind_steps) > 1 and (level or branch != 'ticket') else None
    run = _to_export(workdir, protocol, runs.Run(replicate or 0, level, branch, copy, rewind), replicate is None)
    forms = _forms(options, run)
    # Researchers go on from what a run ends with, and from rewound weights.
    deploys = options.mode == 'export' and options.weights == 'trained'
    how = export.Options(forms, wish.litert_python, wish.latency_seconds,
                         protocol.shrinks(wish.shrink, deploys))
    folder = export.export_run(workdir, stored, run, summaries[step], options.weights, options.data_dir, command_line,
                               how, protocol.task)
    own = '' if branch == 'ticket' else f'{options.branch}, '
    print(f'Ticket  {folder}  ({own}level {level}, rewinding to step {step:,}, {options.weights})')


def _branch_and_copy(options, protocol):
    """The branch and the copy that are to be exported: (str, int).

    Raises:
      UsageError: there is no such branch or copy.
    """
    branch, _, copy = options.branch.partition(':')
    if branch not in BRANCHES:
        near = difflib.get_close_matches(branch, BRANCHES, 1)
        raise UsageError(f'--branch is {in_one_line(options.branch)}: ' + (
            f'did you mean {near[0]!r}?' if near else f'choose one of {", ".join(BRANCHES)}.'))
    key = BRANCHES[branch].copies
    if ':' not in options.branch:
        return branch, 0
    if not key:
        raise UsageError(f'--branch={options.branch} asks for a copy of a branch that is trained once: give '
                         f'--branch={branch}.')
    last = protocol.config[key] - 1
    if copy not in map(str, range(last + 1)):
        raise UsageError(f'--branch={options.branch} is no copy that is trained, by {key}={last + 1}: give '
                         f'--branch={branch}:0' + (f' to --branch={branch}:{last}.' if last else '.'))
    return branch, int(copy)


def _check_branch(workdir, options, branch, level, summary):
    """Refuses a branch, or a level of it, of which there is no network.

    Raises:
      UsageError.
    """
    there = summary[summary['n'] > 0]
    levels = list(there.loc[there['branch'] == branch, 'level'])
    if not levels:
        raise UsageError(f'{workdir} has no finished run of --branch={branch}: give one of '
                         f'{", ".join(dict.fromkeys(there["branch"]))}.')
    if level not in levels:
        raise UsageError(f'{workdir} has no finished run of --branch={branch} at level {level}: give --level, one of '
                         f'{", ".join(map(str, levels))}.')
    if options.weights == 'rewound' and BRANCHES[branch].weights is not rewound:
        raise UsageError(f'--weights=rewound is W_k, which --branch={branch} does not start from: leave --weights out.')


def _forms(options, run):
    """The forms to export: without 'ticket' where the weights that the run started from are kept nowhere.

    Raises:
      UsageError: there is no other form.
    """
    forms = tuple(options.config.export.forms)
    if run.start_weights or 'ticket' not in forms:
        return forms
    why = f'--branch={run.branch} starts from weights that are made for it and kept nowhere'
    if forms == ('ticket',):
        raise UsageError(f"{why}: give another of --config.export.forms than 'ticket'.")
    print(f'{why}: the form ticket is left out.')
    return tuple(form for form in forms if form != 'ticket')


def _to_export(workdir, protocol, run, any_replicate):
    """The run of the first replicate whose training came to its end, where any replicate will do; else `run`."""
    replicates = range(protocol.config.replicates) if any_replicate else ()
    for own in (dataclasses.replace(run, replicate=replicate) for replicate in replicates):
        if runs.is_done(workdir, own) and runs.outcome(*runs.read_results(workdir, [own])) == runs.FINISHED:
            return own
    return run
