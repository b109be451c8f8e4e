"""tf_lottery: find, train, study and ship winning tickets.

The names below are imported when they are first used, so that `import tf_lottery` is instant and the
command line can refuse a bad flag without waiting for TensorFlow.
"""

import importlib

from tf_lottery.runtime import keras2

__version__ = '0.1.0'

_HOMES = {
    'Adam': 'tf_lottery.training.optimizers',
    'Clip': 'tf_lottery.tasks.film',
    'Film': 'tf_lottery.tasks.film',
    'KerasTask': 'tf_lottery.tasks.keras_task',
    'IterativePruning': 'tf_lottery.pruning.schedules',
    'Measure': 'tf_lottery.tasks.measure',
    'Mask': 'tf_lottery.ticket',
    'OneShotPruning': 'tf_lottery.pruning.schedules',
    'PruneWithMask': 'tf_lottery.pruning.wrapper',
    'RewindCallback': 'tf_lottery.pruning.rewind',
    'Ticket': 'tf_lottery.ticket',
    'config': 'tf_lottery.experiment.config',
    'export': 'tf_lottery.exports.export',
    'hold_zeros': 'tf_lottery.pruning.zeros',
    'levels': 'tf_lottery.lottery',
    'load_model': 'tf_lottery.exports.export',
    'load_results': 'tf_lottery.reporting.results',
    'run': 'tf_lottery.notebook',
    'load_ticket': 'tf_lottery.experiment.ticket_file',
    'prunable': 'tf_lottery.pruning.wrapper',
    'save_ticket': 'tf_lottery.experiment.ticket_file',
    'shrink': 'tf_lottery.exports.shrinking',
}

__all__ = sorted(_HOMES)

keras2.select()


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    home = importlib.import_module(_HOMES[name])
    # A config file begins with `tf_lottery.config`, a module.
    return home if _HOMES[name].endswith(f'.{name}') and not hasattr(home, name) else getattr(home, name)
