"""Weight rewinding, learning-rate rewinding and fine-tuning, each at its best retraining length."""

import os

import pandas as pd

# Weight rewinding is the winning ticket: retraining for t steps is rewinding to step T - t.
METHODS = ('ticket', 'lr_rewinding', 'fine_tuning')

# Medians of three trials at the length of best validation accuracy, iterative unstructured pruning on CIFAR-10:
# the result files released with 2003.02389.
_PUBLISHED = os.path.join(os.path.dirname(__file__), '..', 'published', 'retraining_{}.csv')


def best(frame):
    """Chooses the retraining length of every method and level by validation accuracy.

    Args:
      frame: rows of `results.load_results`, of one experiment; a sweep over `pruning.rewind_to` is one over retraining
        lengths.

    Returns:
      DataFrame with a row per branch of METHODS and level: `branch`, `level`, `density`, `rewind_step`, `steps` (of
      retraining), `n` (runs), and median, min and max of the test accuracy at the end (`median`, `low`, `high`).

    Source: 2003.02389, section 3: retraining for t; the length of best median validation accuracy.
    """
    frame = frame[~frame['diverged'] & frame['branch'].isin(METHODS) & (frame['level'] > 0)]
    keys = ['branch', 'level', 'density', 'rewind_step']
    groups = frame.assign(steps=frame['end_step'] - frame['start_step']).groupby(keys)
    rows = groups.agg(
        steps=('steps', 'first'), n=('steps', 'size'), validation=('final_validation_accuracy', 'median'),
        median=('final_test_accuracy', 'median'), low=('final_test_accuracy', 'min'),
        high=('final_test_accuracy', 'max')).reset_index()
    chosen = rows.loc[rows.groupby(['branch', 'level'])['validation'].idxmax()]
    return chosen.drop(columns='validation').sort_values(
        ['branch', 'level'], key=lambda column: column.map(METHODS.index) if column.name == 'branch' else column,
        ignore_index=True)


def published(model):
    """Returns the published medians for a network on CIFAR-10, or None where there are none.

    Args:
      model: str, a key of models.MODELS.

    Returns:
      DataFrame: `branch`, `density`, `epochs` of retraining, `median`, `low` and `high` test accuracy (fractions).
    """
    path = _PUBLISHED.format(model)
    return pd.read_csv(path) if os.path.exists(path) else None
