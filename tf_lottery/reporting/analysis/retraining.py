"""Weight rewinding, learning-rate rewinding and fine-tuning, each at its best retraining length."""

import os

import pandas as pd

from tf_lottery.reporting import results
from tf_lottery.tasks.measure import CLASSIFICATION, VALIDATION

# Weight rewinding is the winning ticket: retraining for t steps is rewinding to step T - t.
METHODS = ('ticket', 'lr_rewinding', 'fine_tuning')

# Medians of three trials at the length that was best on the validation set, iterative unstructured pruning on CIFAR-10:
# the result files released with 2003.02389.
_PUBLISHED = os.path.join(os.path.dirname(__file__), '..', 'published', 'retraining_{}.csv')


def best(frame):
    """Chooses the retraining length of every method and level by the leading measure on the validation set.

    Args:
      frame: rows of `results.load_results`, of one experiment; a sweep over `pruning.rewind_to` is one over retraining
        lengths.

    Returns:
      DataFrame with a row per branch of METHODS and level: `branch`, `level`, `density`, `rewind_step`, `steps` (of
      retraining), `n` (runs), and median, min and max of the leading measure on the test set at the end (`median`,
      `low`, `high`).

    Source: 2003.02389, section 3: retraining for t; the length whose median is best on the validation set.
    """
    measures = results.judged_by(frame)
    test = measures.at_end()
    frame = frame[~frame['diverged'] & frame['branch'].isin(METHODS) & (frame['level'] > 0)]
    keys = ['branch', 'level', 'density', 'rewind_step']
    groups = frame.assign(steps=frame['end_step'] - frame['start_step']).groupby(keys)
    rows = groups.agg(
        steps=('steps', 'first'), n=('steps', 'size'), validation=(measures.at_end(split=VALIDATION), 'median'),
        median=(test, 'median'), low=(test, 'min'), high=(test, 'max')).reset_index()
    rows['gain'] = measures.lead.gain(rows['validation'], 0)
    chosen = rows.loc[rows.groupby(['branch', 'level'])['gain'].idxmax()]
    return chosen.drop(columns=['validation', 'gain']).sort_values(
        ['branch', 'level'], key=lambda column: column.map(METHODS.index) if column.name == 'branch' else column,
        ignore_index=True)


def published(config, measures):
    """Returns the published medians for a network on CIFAR-10, or None where there are none.

    Args:
      config: dict, the experiment's.
      measures: Measures, what its runs are judged by.

    Returns:
      DataFrame: `branch`, `density`, `epochs` of retraining, `median`, `low` and `high`, fractions of the test set.
    """
    if measures != CLASSIFICATION or config['data']['name'] != 'cifar10':
        return None
    path = _PUBLISHED.format(config['model']['name'])
    return pd.read_csv(path) if os.path.exists(path) else None
