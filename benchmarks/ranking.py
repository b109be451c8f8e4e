"""What ranking all weights of a ResNet-50 costs, next to one np.partition of them.

    python benchmarks/ranking.py --repeats=5
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import numpy as np
from absl import app
from benchmarks import measure
from tf_lottery.pruning.allocation import prune
from tf_lottery.ticket import Mask

# The prunable weights of a ResNet-50, as 54 tensors of unequal sizes that add up to 25.5 million.
SIZES = [100_000] * 27 + [844_444] * 27


def main(argv):
    del argv
    rng = np.random.default_rng(0)
    weights = {f'layer_{number}': rng.standard_normal(size, np.float32) for number, size in enumerate(SIZES)}
    mask = Mask({name: array < 1 for name, array in weights.items()})
    fractions = dict.fromkeys(weights, 0.2)
    flat = np.abs(np.concatenate(list(weights.values())))
    seconds = measure.interleaved({
        'prune': lambda: prune(mask, weights, fractions, 3, 'global'),
        'partition': lambda: np.partition(flat, flat.size // 2)}, measure.REPEATS.value)
    measure.header()
    measure.row(f'global ranking of {flat.size / 1e6:.1f} million weights / one `np.partition`',
                f'{measure.rate(flat.size / 1e6, seconds["prune"], "million weights")}, '
                f'{measure.rate(flat.size / 1e6, seconds["partition"], "million weights")}',
                measure.ratio(seconds['prune'], seconds['partition']), 'at most 3')


if __name__ == '__main__':
    app.run(main)
