"""The rows of a run's metrics.csv: one per evaluation."""

import math

# Losses are means in nats, accuracies fractions, `train_loss` the mean since the row before.
COLUMNS = ('step', 'train_loss', 'validation_loss', 'validation_accuracy', 'test_loss', 'test_accuracy')


def early_stop(rows):
    """The row of minimum validation loss, the first of equal ones; None where no loss is finite.

    Source: 1803.03635, section 2: found afterwards; networks always train in full.
    """
    finite = [row for row in rows if math.isfinite(row['validation_loss'])]
    return min(finite, key=lambda row: row['validation_loss'], default=None)


def to_csv(rows):
    """The rows as text, each float in the shortest form that reads back to the same bits."""
    lines = [','.join(COLUMNS)] + [','.join(repr(row[name]) for name in COLUMNS) for row in rows]
    return '\n'.join(lines) + '\n'


def from_csv(text):
    """The inverse of `to_csv`."""
    lines = text.splitlines()
    names = lines[0].split(',')
    rows = [dict(zip(names, map(float, line.split(',')), strict=True)) for line in lines[1:]]
    return [{**row, 'step': int(row['step'])} for row in rows]
