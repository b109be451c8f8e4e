"""How long the analyses and the report of an experiment take: LeNet, 20 levels, 5 branches, 3 replicates.

    python benchmarks/report.py --repeats=3

The runs are made up, as large as real ones: what is in them does not change the time.
"""

import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import numpy as np
from absl import app
from benchmarks import measure
from tf_lottery.experiment import config, runs
from tf_lottery.reporting import report
from tf_lottery.runtime import storage
from tf_lottery.training.metrics import to_csv
from tf_lottery.pruning.allocation import layerwise_counts
from tf_lottery.ticket import Mask, pack

BRANCHES = ('ticket', 'random_reinit', 'random_mask', 'ticket_reordered', 'random_mask_reordered')
METRICS = ('validation_loss', 'validation_accuracy', 'test_loss', 'test_accuracy')
EVALUATIONS = 500


def protocol():
    """The experiment, with an evaluation every 100 of 50,000 steps."""
    settings = config.defaults()
    settings.pruning.levels = 20
    settings.branches = BRANCHES
    return config.check(settings)


def make_up(workdir, what):
    """Writes every file of every run that a report reads."""
    rng = np.random.default_rng(0)
    runs.claim(workdir, what, 'python benchmarks/report.py')
    sizes = {name: int(np.prod(shape)) for name, shape in what.shapes.items()}
    rows = [{'step': 100 * number, **dict.fromkeys(('train_loss', *METRICS), 0.5)}
            for number in range(1, EVALUATIONS + 1)]
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in what.shapes.items()}
    for replicate in range(what.config.replicates):
        storage.write_arrays(storage.join(workdir, runs.Run(replicate, 0, 'ticket').initial_weights), weights)
    for run in runs.wanted(what):
        kept = layerwise_counts(sizes, what.fractions, run.level)
        mask = Mask({name: rng.permutation(np.arange(sizes[name]) < kept[name]).reshape(shape)
                     for name, shape in what.shapes.items()})
        folder = storage.join(workdir, run.folder)
        storage.write_arrays(storage.join(folder, 'mask.npz'), mask.to_arrays())
        storage.write_arrays(storage.join(folder, 'weights.npz'), pack(weights, mask))
        storage.write_text(storage.join(folder, 'metrics.csv'), to_csv(rows))
        values = {f'{when}_{name}': 0.9 for when in ('early_stop', 'final') for name in METRICS}
        storage.write_json(storage.join(folder, 'result.json'), {
            'branch': run.branch, 'copy': run.copy, 'level': run.level, 'replicate': run.replicate,
            'density': mask.density, 'kept': mask.kept, 'size': mask.size, 'rewind_step': 0, 'start_step': 0,
            'end_step': 50_000, 'diverged': False, 'early_stop_step': 5000, **values,
            'layers': {name: float(array.mean()) for name, array in mask.items()}})
        if run.branch.endswith('_reordered'):
            places = np.linspace(0, 1, 30)
            storage.write_json(storage.join(folder, 'connectivity.json'), {
                'examples': 10_000, 'position': list(places), 'train_error': [0.0] * 30, 'test_error': [0.02] * 30})


def main(argv):
    del argv
    what = protocol()
    with tempfile.TemporaryDirectory() as workdir:
        make_up(workdir, what)
        seconds = []
        for _ in range(measure.REPEATS.value):
            began = time.perf_counter()
            report.write(workdir, report.find(workdir))
            seconds.append(time.perf_counter() - began)
        measure.header()
        middle = statistics.median(seconds)
        measure.row(f'analyses and report of {len(runs.wanted(what))} runs, of the 60 s asked for', f'{middle:.0f} s',
                    middle / 60, 'at most 1')


if __name__ == '__main__':
    app.run(main)
