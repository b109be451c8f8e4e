"""Writes runs that never were: as small as a test needs, in the layout of real ones."""

from tf_lottery.experiment import config
from tf_lottery.experiment.runs import Run
from tf_lottery.reporting import results
from tf_lottery.runtime import storage
from tf_lottery.ticket import Mask, pack
from tf_lottery.training.metrics import to_csv

METRICS = ('validation_loss', 'validation_accuracy', 'test_loss', 'test_accuracy')


def save_experiment(workdir, name='tiny', levels=1, branches=('ticket',), replicates=1, command='python main.py',
                    **changes):
    """Writes config.json; `changes` are values of other top-level keys of the config."""
    values = {**config.defaults().to_dict(), 'name': name, 'branches': branches, 'replicates': replicates, **changes}
    values['pruning'] = {**values['pruning'], 'levels': levels}
    storage.write_json(storage.join(workdir, 'config.json'), {
        'name': name, 'config': values, 'versions': {'tensorflow': '2.21.0'}, 'command': command})


def rows(accuracies, every=100):
    """Rows of metrics.csv whose test accuracies are given, one evaluation `every` steps."""
    return [{'step': every * number, 'train_loss': 1 / number, 'validation_loss': 2 / number,
             'validation_accuracy': accuracy, 'test_loss': 3 / number, 'test_accuracy': accuracy}
            for number, accuracy in enumerate(accuracies, 1)]


def save_run(workdir, branch='ticket', level=0, replicate=0, copy=0, step=200, accuracy=0.9, final=0.8,
             diverged=False, density=None, layers=None, rewind=None):
    """Writes a finished run: its early-stop step, test accuracy there and test accuracy at the end.

    A diverged run has no numbers at the end, and with step=None none at early stop either.
    """
    folder = storage.join(workdir, Run(replicate, level, branch, copy, rewind).folder)
    density = 0.8**level if density is None else density
    finals = dict.fromkeys(METRICS) if diverged else {**dict.fromkeys(METRICS, 0.5), 'test_accuracy': final}
    storage.write_text(storage.join(folder, 'metrics.csv'), to_csv(rows([0.5, accuracy, final])))
    storage.write_json(storage.join(folder, 'result.json'), {
        'branch': branch, 'copy': copy, 'level': level, 'replicate': replicate, 'density': density,
        'kept': round(1000 * density), 'size': 1000, 'rewind_step': rewind or 0, 'start_step': 0, 'end_step': 300,
        'diverged': diverged,
        'early_stop_step': step, **{f'early_stop_{name}': None if step is None else 0.5 for name in METRICS},
        'early_stop_test_accuracy': None if step is None else accuracy,
        **{f'final_{name}': value for name, value in finals.items()},
        'layers': layers or {'dense/kernel': density, 'output/kernel': density**0.5}})


def save_untrained(workdir, outcome, after, branch='ticket', level=1, replicate=0):
    """Writes what is left of a run that could not be trained."""
    storage.write_json(storage.join(workdir, Run(replicate, level, branch).folder, 'result.json'), {
        'branch': branch, 'copy': 0, 'level': level, 'replicate': replicate, 'rewind_step': 0, 'start_step': 0,
        'end_step': 300, 'diverged': False, 'outcome': outcome, 'after': after, 'reason': f'{after} has nothing.'})


def frames(workdir):
    """What a report draws of an experiment: its runs and their summary."""
    frame = results.load_results(str(workdir))
    return frame, results.summarise(frame)


def save_weights(workdir, initial, mask, trained, level=0, replicate=0):
    """Writes the arrays of a run of 'ticket': W_0 of its replicate, the ticket's mask, and what training ended in."""
    mask = Mask(mask)
    folder = storage.join(workdir, Run(replicate, level, 'ticket').folder)
    storage.write_arrays(storage.join(workdir, f'replicate_{replicate}', 'rewind', 'initial.npz'), initial)
    storage.write_arrays(storage.join(folder, 'mask.npz'), mask.to_arrays())
    storage.write_arrays(storage.join(folder, 'weights.npz'), pack(trained, mask))
