"""Stability and connectivity as tables that people read, in the shape of the papers'."""

import dataclasses
import math
import textwrap

from tf_lottery.branches import BRANCHES
from tf_lottery.reporting import results
from tf_lottery.reporting.analysis import connectivity, stability


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of strings: `title`, a `note` on how to read it, `header`, and `rows` of as many cells."""

    title: str
    note: str
    header: tuple
    rows: list

    def __str__(self):
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        lines = ['  '.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
                 for row in (self.header, *self.rows)]
        return '\n'.join([self.title, *textwrap.wrap(self.note, 120), *lines])


def tables(frame, samples, lines):
    """The tables that can be made of an experiment: list of Table.

    Args:
      frame: DataFrame of `results.load_results`.
      samples: DataFrame of `stability.samples`.
      lines: DataFrame of `connectivity.lines`.
    """
    made = []
    rows = stability.table(frame, samples).to_dict('records')
    if rows:
        made.append(Table(
            'Stability', 'Mean and standard deviation of the L2 distance and of the angle between trained weights, '
            'over pairs of copies, and of the test accuracy at the end: ticket / random mask. Lower is more stable.',
            ('rewound to', 'weights (%)', 'data order, L2', 'pruning, L2', 'data order, degrees', 'pruning, degrees',
             'accuracy of the full network (%)', 'accuracy (%)'), [_stability_row(row) for row in rows]))
    rows = connectivity.table(frame, lines).to_dict('records')
    if rows:
        made.append(Table(
            'Linear mode connectivity',
            f'How much higher the error is on the line between two copies than at them, in points: mean and range. '
            f'Stable is below {100 * connectivity.STABLE:.0f} points of test error; matching is at most '
            f'{100 * connectivity.MATCHING:.1f} points less accurate than the dense network. Batch-norm statistics are '
            f'those of {lines["examples"].iloc[0]:,} training examples, computed anew at every place on the line.',
            ('network', 'rewound to', 'weights (%)', 'lines', 'instability, test', 'instability, training',
             'accuracy (%)', 'stable', 'matching'), [_connectivity_row(row) for row in rows]))
    return made


def _stability_row(row):
    def both(name, scale=1.0, digits=1):
        cells = [_spread(row, name.format(subnetwork), scale, digits) for subnetwork in stability.SUBNETWORKS]
        return ' / '.join(cells)

    return (f'{row["rewind_step"]:,}', results.percent(row['density']), both('data_order_{}_l2'), both('pruning_{}_l2'),
            both('data_order_{}_angle'), both('pruning_{}_angle'), _spread(row, 'accuracy_full', 100, 2),
            both('accuracy_{}', 100, 2))


def _spread(row, name, scale, digits):
    mean, deviation = scale * row[f'{name}_mean'], scale * row[f'{name}_std']
    return '-' if math.isnan(mean) else f'{mean:.{digits}f} ± {deviation:.{digits}f}'


def _connectivity_row(row):
    def barrier(error):
        mean, low, high = (100 * row[f'{error}_instability_{name}'] for name in ('mean', 'min', 'max'))
        return f'{mean:.2f} [{low:.2f}, {high:.2f}]'

    return (BRANCHES[row['branch']].title if row['level'] else 'Dense network', f'{row["rewind_step"]:,}',
            results.percent(row['density']), str(row['n']), barrier('test'), barrier('train'),
            f'{100 * row["accuracy"]:.2f}', *('yes' if row[name] else 'no' for name in ('stable', 'matching')))
