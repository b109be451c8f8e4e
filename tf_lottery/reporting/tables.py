"""Stability, connectivity and constructions as tables that people read, in the shape of the papers'."""

import dataclasses
import math
import textwrap

from tf_lottery.branches import BRANCHES
from tf_lottery.pruning.random_network import TARGETS
from tf_lottery.pruning.subset_sum import WAYS
from tf_lottery.reporting import results
from tf_lottery.reporting.analysis import connectivity, construction, stability


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


def tables(frame, samples, lines, built):
    """The tables that can be made of an experiment: list of Table.

    Args:
      frame: DataFrame of `results.load_results`.
      samples: DataFrame of `stability.samples`.
      lines: DataFrame of `connectivity.lines`.
      built: DataFrame of `construction.constructions`.
    """
    made = []
    lead = results.judged_by(frame).lead
    rows = stability.table(frame, samples).to_dict('records')
    if rows:
        made.append(Table(
            'Stability', 'Mean and standard deviation of the L2 distance and of the angle between trained weights, '
            f'over pairs of copies, and of the {lead.on_test} at the end: ticket / random mask. Lower is more '
            'stable.',
            ('rewound to', 'weights (%)', 'data order, L2', 'pruning, L2', 'data order, degrees', 'pruning, degrees',
             lead.axis(f'{lead.title} of the full network'), lead.axis(lead.title)),
            [_stability_row(row, lead) for row in rows]))
    rows = connectivity.table(frame, lines).to_dict('records')
    if rows:
        made.append(_connectivity(rows, lines, results.judged_by(frame).on_the_way))
    if len(built):
        made.append(_construction(built, lead))
    return made


def _connectivity(rows, lines, measure):
    points = f', in {measure.points}' if measure.points else ''
    return Table(
        'Linear mode connectivity',
        f'How much higher the {measure.error_title} is on the line between two copies than at them{points}: mean and '
        f'range. {_meanings(measure)}Batch-norm statistics are those of {lines["examples"].iloc[0]:,} training '
        'examples, computed anew at every place on the line.',
        ('network', 'rewound to', 'weights (%)', 'lines', 'instability, test', 'instability, training',
         measure.axis(measure.title), *connectivity.verdicts(measure)),
        [_connectivity_row(row, measure) for row in rows])


def _meanings(measure):
    """What the columns of `connectivity.verdicts` mean: a sentence and a space, or ''."""
    meanings = []
    if measure.stable is not None:
        meanings.append(f'stable is below {results.difference(measure, measure.stable)} of test {measure.error_title}')
    if measure.matching is not None:
        points = results.difference(measure, measure.matching)
        meanings.append(f'matching is at most {points} {measure.worse} than the dense network')
    sentence = '; '.join(meanings)
    return f'{sentence[0].upper()}{sentence[1:]}. ' if meanings else ''


def _stability_row(row, measure):
    def both(name, scale=1.0, digits=1):
        cells = [_spread(row, name.format(subnetwork), scale, digits) for subnetwork in stability.SUBNETWORKS]
        return ' / '.join(cells)

    return (f'{row["rewind_step"]:,}', results.percent(row['density']), both('data_order_{}_l2'), both('pruning_{}_l2'),
            both('data_order_{}_angle'), both('pruning_{}_angle'),
            _spread(row, f'{measure.name}_full', measure.scale, measure.digits),
            both(f'{measure.name}_{{}}', measure.scale, measure.digits))


def _spread(row, name, scale, digits):
    mean, deviation = scale * row[f'{name}_mean'], scale * row[f'{name}_std']
    return '-' if math.isnan(mean) else f'{mean:.{digits}f} ± {deviation:.{digits}f}'


def _connectivity_row(row, measure):
    def barrier(error):
        mean, low, high = (measure.shown(row[f'{error}_instability_{name}']) for name in results.STATISTICS)
        return f'{mean} [{low}, {high}]'

    return (BRANCHES[row['branch']].title if row['level'] else 'Dense network', f'{row["rewind_step"]:,}',
            results.percent(row['density']), str(row['n']), barrier('test'), barrier('train'),
            measure.shown(row[measure.name]),
            *('yes' if row[name] else 'no' for name in connectivity.verdicts(measure)))


def _construction(built, measure):
    """The table of random networks that were pruned until they were near the trained one."""
    trained = built['target_test'].mean()
    beside = '' if math.isnan(trained) else f' The trained network: {measure.with_unit(trained)} test {measure.title}.'
    return Table(
        'A random network, pruned',
        'A random network that is twice as deep as the trained one has n products of random weights for each weight of '
        'that: those are kept that come nearest to it, and nothing is trained. Errors of weights are shares of the '
        f'largest weight of a layer, errors of outputs shares of the largest output on {built["examples"].max():,} '
        f'test examples; means over replicates.{beside}',
        ('n', 'kept', 'in the place of', 'weights left (%)', 'error of weights, median', 'largest',
         'error of outputs, mean', 'largest', measure.axis(f'test {measure.title}')),
        [_construction_row(row, measure) for row in construction.table(built).to_dict('records')])


def _construction_row(row, measure):
    outputs = (f'{row[f"{which}_output_error"] / row["max_output"]:.1e}' for which in ('mean', 'max'))
    return (f'{row["width"]:,}', WAYS[row['way']].short, TARGETS[row['target']], results.percent(row['density']),
            *(f'{row[f"{which}_weight_error"]:.1e}' for which in ('median', 'max')), *outputs,
            '-' if math.isnan(row['test']) else measure.shown(row['test']))
