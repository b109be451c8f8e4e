"""The rows of a run's metrics.csv: one per evaluation.

A row is a dict: `step`; `train_loss`, the mean since the row before; and for each split that is evaluated its loss and
measures, such as `validation_loss`, before they are scaled to their units.
"""


def to_csv(rows):
    """The rows, one or more and all of the same columns, as text; each float in the shortest form that reads back to
    the same bits."""
    names = list(rows[0])
    lines = [','.join(names)] + [','.join(repr(row[name]) for name in names) for row in rows]
    return '\n'.join(lines) + '\n'


def from_csv(text):
    """The inverse of `to_csv`."""
    lines = text.splitlines()
    names = lines[0].split(',')
    rows = [dict(zip(names, map(float, line.split(',')), strict=True)) for line in lines[1:]]
    return [{**row, 'step': int(row['step'])} for row in rows]
