"""Writes runs that never were: as small as a test needs, in the layout of real ones."""

from tf_lottery.experiment import config
from tf_lottery.experiment.runs import Run
from tf_lottery.reporting import results
from tf_lottery.runtime import storage
from tf_lottery.tasks.measure import CLASSIFICATION, TEST, VALIDATION, Measure, Measures
from tf_lottery.ticket import Mask, pack
from tf_lottery.training.metrics import to_csv

# What networks of other tasks are judged by: lower is better, in a unit of its own; without an early stop; higher is
# better without end; two measures, of which the first has the verdicts of 1912.05671.
MAE = Measure('mae', 'mean absolute error', 'mm', 1000.0, digits=1)
PERPLEXITY = Measure('perplexity', 'perplexity', digits=2)
REWARD = Measure('reward', 'reward', higher=True, digits=0)
BLEU = Measure('bleu', 'BLEU', higher=True, digits=1, best=100.0, stable=1.0, matching=0.5)
REGRESSION = Measures((MAE,))
LANGUAGE = Measures((PERPLEXITY,), None)
CONTROL = Measures((REWARD,), 'validation_reward', True)
TRANSLATION = Measures((BLEU, PERPLEXITY))


def save_experiment(workdir, name='tiny', levels=1, branches=('ticket',), replicates=1, command='python main.py',
                    **changes):
    """Writes config.json; `changes` are values of other top-level keys of the config."""
    values = {**config.defaults().to_dict(), 'name': name, 'branches': branches, 'replicates': replicates, **changes}
    values['pruning'] = {**values['pruning'], 'levels': levels}
    storage.write_json(storage.join(workdir, 'config.json'), {
        'name': name, 'config': values, 'versions': {'tensorflow': '2.21.0'}, 'command': command})


def names(measures):
    """What is evaluated, by its column in metrics.csv."""
    return [f'{split}_{name}' for split in (VALIDATION, TEST)
            for name in dict.fromkeys(('loss', *(measure.name for measure in measures.each)))]


def rows(values, measures=CLASSIFICATION, every=100):
    """Rows of metrics.csv, one evaluation `every` steps, whose measures are given, in their order, on both splits."""
    return [{'step': every * number, 'train_loss': 1 / number,
             **{name: {'validation_loss': 2 / number, 'test_loss': 3 / number}.get(name) for name in names(measures)},
             **{f'{split}_{measure.name}': value for split in (VALIDATION, TEST)
                for measure, value in zip(measures.each, each, strict=True)}}
            for number, each in enumerate(values, 1)]


def save_run(workdir, branch='ticket', level=0, replicate=0, copy=0, step=200, accuracy=0.9, final=0.8,
             diverged=False, density=None, layers=None, rewind=None, measures=None, others=()):
    """Writes a finished run: its early-stop step, test accuracy there and test accuracy at the end.

    A diverged run has no numbers at the end, and with step=None none at early stop either. With `measures` the two are
    of the leading one, and `others` has the two of each other one; without, the result is as results were before.
    """
    folder = storage.join(workdir, Run(replicate, level, branch, copy, rewind).folder)
    density = 0.8**level if density is None else density
    described = {} if measures is None else {'measures': measures.to_json()}
    measures = measures or CLASSIFICATION
    middle, end = zip((accuracy, final), *others, strict=True)

    def evaluated(values):
        return {**dict.fromkeys(names(measures), 0.5), **{
            f'test_{measure.name}': value for measure, value in zip(measures.each, values, strict=True)}}

    early = evaluated(middle) if step is not None else dict.fromkeys(names(measures))
    finals = dict.fromkeys(names(measures)) if diverged else evaluated(end)
    storage.write_text(storage.join(folder, 'metrics.csv'), to_csv(rows([[0.5] * len(end), middle, end], measures)))
    storage.write_json(storage.join(folder, 'result.json'), {
        'branch': branch, 'copy': copy, 'level': level, 'replicate': replicate, 'density': density,
        'kept': round(1000 * density), 'size': 1000, 'rewind_step': rewind or 0, 'start_step': 0, 'end_step': 300,
        'diverged': diverged,
        **({f'early_stop_{name}': value for name, value in {'step': step, **early}.items()}
           if measures.early_stop else {}),
        **{f'final_{name}': value for name, value in finals.items()},
        **described, 'layers': layers or {'dense/kernel': density, 'output/kernel': density**0.5}})


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
