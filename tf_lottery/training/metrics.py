"""The rows of a run's metrics.csv: one per evaluation.

A row is a dict: `step`; `train_loss`, the mean since the row before; and for each split that is evaluated its loss and
measures, such as `validation_loss`, before they are scaled to their units. The last row may have more of them.
"""


def to_csv(rows):
    """The rows, one or more, as text; each float in the shortest form that reads back to the same bits."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [','.join(names)] + [','.join(repr(row[name]) if name in row else '' for name in names) for row in rows]
    return '\n'.join(lines) + '\n'


def from_csv(text):
    """The inverse of `to_csv`."""
    lines = text.splitlines()
    names = lines[0].split(',')
    rows = [zip(names, line.split(','), strict=True) for line in lines[1:]]
    return [{name: int(value) if name == 'step' else float(value) for name, value in row if value} for row in rows]
