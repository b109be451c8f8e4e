"""What main.py does in each mode, and how its errors read."""

import contextlib
import sys

from absl import flags

from tf_lottery import config, data, distribute, keras2, plan, runs, steps, storage
from tf_lottery.errors import ExportError, Interrupted, StorageError, UsageError

MODES = ('run', 'plan', 'report', 'export')


@contextlib.contextmanager
def flag_errors():
    """Turns a mistake in the flags or in the config file's name into one sentence and exit code 2."""
    try:
        yield
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        message = str(error.args[-1] if error.args else error)
        # ml_collections shows the traceback of an error in a config file, whose last line is what went wrong.
        before, _, last = message.rpartition('Error: ')
        message = ' '.join((last if 'Traceback' in before else message).split())
        # ml_collections names a key that a config does not have by the bare key.
        _complain(f'no config key {message}' if isinstance(error, (AttributeError, KeyError)) else message)
        sys.exit(2)


def parse_flags(values, argv):
    """Parses absl flags, the config file included."""
    with flag_errors():
        rest = values(argv)
        # A config file that cannot be read is only told when it is used.
        values.config.name  # noqa: B018
        return rest


def in_one_sentence(action):
    """Runs an action and returns the exit code; what the user can mend is one sentence, not a traceback."""
    try:
        action()
    except UsageError as error:
        _complain(error)
        return 2
    except (StorageError, ExportError) as error:
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
    print(f'tf_lottery: {message}', file=sys.stderr)


def run(options, command_line):
    """Does what the flags say.

    Args:
      options: the parsed flags of main.py.
      command_line: str, the command as typed, which is written into what it makes.

    Raises:
      UsageError, StorageError, Interrupted.
    """
    protocol = config.check(options.config)
    distribute.check(options.strategy)
    workdir = (options.workdir or storage.join('runs', options.config.name)).rstrip('/')
    if options.mode == 'plan':
        runs.check_same(workdir, protocol)
        print(plan.describe(workdir, protocol))
    elif options.mode == 'report':
        _report(workdir)
    elif options.mode == 'export':
        _export(workdir, options, command_line)
    else:
        _run(workdir, protocol, options, command_line)


def _run(workdir, protocol, options, command_line):
    if not distribute.is_chief():
        runs.check_same(workdir, protocol)
        _train(workdir, protocol, options)
        return
    with storage.lock(workdir):
        runs.claim(workdir, protocol, command_line)
        if any(not runs.is_done(workdir, run) for run in runs.wanted(protocol)) or runs.missing_lines(
                workdir, protocol):
            _train(workdir, protocol, options)
        _export(workdir, options, command_line, _report(workdir))


def _train(workdir, protocol, options):
    from tqdm import tqdm

    from tf_lottery.interrupt import on_signals

    with on_signals() as stop:
        with keras2.quiet_start():
            from tf_lottery.experiment import Experiment
            strategy = distribute.build(options.strategy, options.cpu_devices)
        jit = {'auto': None, 'on': True, 'off': False}[options.jit]
        experiment = Experiment(workdir, protocol, strategy, options.data_dir, jit, stop, options.tensorboard)
        lengths = {run: runs.run_steps(protocol, run) for run in experiment.pending()}
        offsets, total = {}, 0
        for run, (start, end) in lengths.items():
            offsets[run] = total - start
            total += end - start
        terminal = sys.stderr.isatty()
        # The bar counts the steps of the whole experiment, so that its time left is the experiment's.
        with tqdm(total=total, unit='step', unit_scale=True, smoothing=0.05, dynamic_ncols=True,
                  mininterval=0.2 if terminal else 30, disable=not distribute.is_chief()) as bar:

            def progress(run, step):
                what = run.branch if step is not None else f'line to {run.branch}'
                bar.set_description(f'replicate {run.replicate} level {run.level} {what}', refresh=step is None)
                bar.update(offsets[run] + step - bar.n if step is not None else 0)

            experiment.run(progress)
            bar.update(total - bar.n)


def _report(workdir):
    """Prints the tables and writes the report; returns the summary of each rewinding step."""
    from tf_lottery import report, results, tables

    found = report.find(workdir)
    for step, summary in found.summaries.items():
        if len(found.summaries) > 1:
            print(f'Rewinding to step {step:,}\n')
        print(results.table(summary))
    for table in tables.tables(found.frame, found.samples, found.lines):
        print(f'{table}\n')
    print(f'Report  {report.write(workdir, found)}')
    return found.summaries


def _export(workdir, options, command_line, summaries=None):
    from tf_lottery import results

    with keras2.quiet_start():
        from tf_lottery.exports import export
    stored = runs.read_config(workdir)
    protocol = config.restore(stored['config'])
    summaries = summaries or results.summaries(results.load_results(workdir))
    if options.rewind_to:
        wish = steps.parse(options.rewind_to, data.steps_per_epoch(
            protocol.examples, protocol.config.training.batch_size))
        if wish not in summaries:
            raise UsageError(f'--rewind_to={options.rewind_to} is step {wish:,}, to which no finished run of {workdir} '
                             f'was rewound: give one of {", ".join(f"{step}it" for step in summaries)}.')
        summaries = {wish: summaries[wish]}
    wish = options.config.export
    step, level = results.level_to_ship(summaries, wish.within_points)
    level = level if options.level is None else options.level
    rewind = step if len(protocol.rewind_steps) > 1 and level else None
    run = runs.Run(options.replicate, level, 'ticket', rewind=rewind)
    # Researchers go on from what a run ends with, and from rewound weights.
    deploys = options.mode == 'export' and options.weights == 'trained'
    how = export.Options(tuple(wish.forms), wish.litert_python, wish.latency_seconds,
                         deploys if wish.shrink is None else wish.shrink)
    folder = export.export_run(workdir, stored, run, summaries[step], options.weights, options.data_dir, command_line,
                               how)
    print(f'Ticket  {folder}  (level {level}, rewinding to step {step:,}, {options.weights})')
