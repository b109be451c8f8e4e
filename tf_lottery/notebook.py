"""What the command line does, from Python: in a script or in a notebook."""

import inspect
import os
import shlex
import sys

from absl import flags

from tf_lottery import command
from tf_lottery.errors import UsageError, shown
from tf_lottery.experiment import config
from tf_lottery.flags import define_flags
from tf_lottery.reporting import results
from tf_lottery.runtime import storage
from tf_lottery.tasks.keras_task import KerasTask
from tf_lottery.tasks.reference import IN_NO_FILE


def run(task, workdir, data_dir=None, jit=None, replicate=None, **keys):
    """Trains what is missing of an experiment in its folder, writes its report, and exports its ticket.

    It does what `main.py` does, and goes on from where it, or the command line, stopped: the folder's config.json is a
    config, as in `tf_lottery --config=runs/rainfall/config.json --workdir=runs/rainfall`.

    Args:
      task: KerasTask, or 'FILE.py:NAME' of one. A task that is made in a notebook is in no file, so that the command
        line can report on its folder, but not train there.
      workdir: folder of the experiment, local or remote.
      data_dir: where TFDS keeps data sets.
      jit: bool, whether XLA compiles training; None for where it pays.
      replicate: int, the only one to train; None for all.
      keys: keys of the config (docs/guide.md) by their last part where only one key ends in it, as `length='2000it'`,
        `batch_size=32`, `levels=10`, `fraction=0.2`, `rewind_to='500it'`, `branches=('ticket', 'random_reinit')`,
        `replicates=3`; or by their whole name, as in `**{'training.momentum': 0.5}`. The optimizer is the task's own
        unless `optimizer` says otherwise; all others have the defaults of the guide.

    Returns:
      DataFrame of `load_results`.

    Raises:
      UsageError: a key or value that there is not, or that cannot be.
      StorageError: a file cannot be read or written.
      Interrupted: a signal stopped it, once everything was saved; the same call goes on.
    """
    if not isinstance(task, str | KerasTask):
        raise UsageError(f"task is a {type(task).__name__}: give a tf_lottery.KerasTask, or 'FILE.py:NAME' of one.")
    workdir = storage.without_slash(os.fspath(workdir))
    settings = _settings(task, workdir, keys)
    options = flags.FlagValues()
    define_flags(options)
    options(['tf_lottery'])
    options['config'].value = settings
    options.workdir, options.data_dir, options.replicate = workdir, data_dir, replicate
    options.jit = {None: 'auto', True: 'on', False: 'off'}[jit]
    typed = shlex.join(['tf_lottery', f'--config={storage.join(workdir, "config.json")}', f'--workdir={workdir}'])
    command.run(options, typed, None if isinstance(task, str) else task)
    return results.load_results(workdir)


def _settings(task, workdir, keys):
    """The config of some keys."""
    settings = config.defaults()
    settings.name = os.path.basename(workdir)
    settings.task = task if isinstance(task, str) else _reference(task)
    settings.training.optimizer = 'own'
    for key, value in keys.items():
        name = _whole_name(key)
        # As on the command line; the check of values says what each may be.
        with settings.ignore_type():
            settings.update_from_flattened_dict({name: tuple(value) if isinstance(value, list) else value})
    return settings


def _whole_name(key):
    """The whole name of a key of the config that is given by its last part; of several, the one of `training`."""
    if '.' in key:
        config.check_key(key)
        return key
    known = [name for name in config.VALUES if name.rpartition('.')[2] == key]
    if f'training.{key}' in known:
        # Scores that are trained instead of weights have a learning rate, too.
        return f'training.{key}'
    if len(known) > 1:
        raise UsageError(f'several keys of the config end in {key!r}: give one of '
                         f'{", ".join(shown({name: ...}) for name in known)} by **.')
    if not known:
        config.check_key(key)
    return known[0]


def _reference(task):
    """Where a task is written, 'rainfall.py:task'; of one in no file, the name of its function behind IN_NO_FILE."""
    for module in (inspect.getmodule(task.build), sys.modules['__main__']):
        file = getattr(module, '__file__', None)
        names = [name for name, value in vars(module).items() if value is task] if file else []
        if names:
            return f'{_place(module, file)}:{names[0]}'
    return f'{IN_NO_FILE}{getattr(task.build, "__name__", "task")}'


def _place(module, file):
    """What a module is found by from the working directory: its name where it is installed, else its file."""
    if module.__name__ != '__main__' and os.path.dirname(file) in sys.path[1:]:
        return module.__name__
    inside = os.path.abspath(file).startswith(os.getcwd() + os.sep)
    return os.path.relpath(file) if inside else os.path.abspath(file)
