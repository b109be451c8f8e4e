"""What networks are trained to do, a file per kind of task.

A kind is a module and a line in KINDS. The module has `add_defaults(config)`, which adds the keys of the kind with
their defaults; VALUES, what each may hold alone; READS, the keys of other kinds that it reads too; ABOUT, what it is
in words; and `task(config, data_dir)`, which returns the Task. None of them imports TensorFlow.
"""

import difflib

from ml_collections import config_dict

from tf_lottery.errors import UsageError, shown
from tf_lottery.tasks import control, images, language_model, translation
from tf_lottery.tasks.reference import Reference

# By what `config.task` says; a task of one's own, which is written in Python, has no keys of a config.
KINDS = {None: images, 'language_model': language_model, 'translation': translation, 'control': control}

VALUES = {key: kind for module in KINDS.values() for key, kind in module.VALUES.items()}


def add_defaults(config):
    """Adds the keys of all kinds, with their defaults, to a config that has a section `training`."""
    for module in KINDS.values():
        module.add_defaults(config)


def require_unread(config):
    """Refuses keys of kinds of task that the config does not choose, unless they are at their defaults.

    Raises:
      UsageError.
    """
    default = config_dict.ConfigDict({'training': {}})
    add_defaults(default)
    chosen = KINDS.get(config.task)
    read = {*chosen.VALUES, *chosen.READS} if chosen else set()
    for name, module in KINDS.items():
        for key in module.VALUES:
            section, _, own = key.rpartition('.')
            if key in read or config[section][own] == default[section][own]:
                continue
            other = f'choose task={name!r}' if name else f'leave out task={shown(config.task)}'
            raise UsageError(f'{key} is {shown(config[section][own])}, which is for {module.ABOUT}: leave it out, or '
                             f'{other}.')


def find(config, data_dir=None):
    """Returns the Task that a config chooses.

    Args:
      config: ConfigDict, its values of their kinds.
      data_dir: where TFDS keeps data sets.

    Raises:
      UsageError: what the config says of the task cannot be done.
    """
    if config.task in KINDS:
        return KINDS[config.task].task(config, data_dir)
    if ':' not in config.task:
        names = [name for name in KINDS if name]
        near = difflib.get_close_matches(config.task, names, 1, cutoff=0.4)
        hint = f' Did you mean {near[0]!r}?' if near else ''
        raise UsageError(f'unknown task {shown(config.task)}: give one of {", ".join(names)}, or one of your own as '
                         f'FILE.py:NAME or PACKAGE.MODULE:NAME.{hint}')
    return Reference(config.task)
