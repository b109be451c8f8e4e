"""Pictures of an experiment that rewinds to several steps."""

import pandas as pd

from tf_lottery.branches import BRANCHES
from tf_lottery.reporting import pictures, results
from tf_lottery.reporting.pictures.density import density_axis
from tf_lottery.reporting.pictures.stability import DISTANCES, KINDS, describe


def draw(summaries, samples):
    """Yields the Pictures of a sweep over rewinding steps.

    Args:
      summaries: dict from rewinding step to DataFrame of `results.summarise`, of two steps or more.
      samples: DataFrame of `analysis.stability.samples`.
    """
    summary = pd.concat([rows.assign(rewind_step=step) for step, rows in summaries.items()], ignore_index=True)
    pruned = summary[(summary['level'] > 0) & (summary['n'] > 0)]
    if pruned.empty:
        return
    level = _level(pruned, samples)
    here = pruned[pruned['level'] == level]
    density = results.percent(here['density'].mean())
    measures = results.judged_by(summary)
    for measure in measures.each:
        what = (f'At {density} % of the weights (level {level}): {measure.on_test} at the end of training, with the '
                'range over the runs')
        ends = _ends(here, measures, measure)
        # Stability stands beside the leading measure.
        if measure is measures.lead and (samples['level'] == level).any():
            for distance in DISTANCES:
                yield pictures.Picture(
                    f'rewinding_{distance}', against_step(summary, measure, samples, level, distance),
                    ' '.join([ends, describe(samples, distance)]),
                    f'{what}, and stability as {DISTANCES[distance]}, with the standard deviation over pairs; lower is '
                    'more stable (1903.01611, section 4).', 'Rewinding')
        else:
            yield pictures.Picture(f'rewinding_{measure.name}', against_step(summary, measure, samples, level), ends,
                                   f'{what}.', 'Rewinding')
    tickets = summary[summary['branch'] == 'ticket']
    if tickets['level'].nunique() > 2:
        for measure in measures.each:
            yield pictures.Picture(
                f'{measure.name}_by_rewinding_step', by_step(tickets, measure),
                _ends(pruned[pruned['branch'] == 'ticket'], measures, measure),
                'Winning tickets by the step that they were rewound to; means over the runs.', 'Rewinding')


def _level(pruned, samples):
    """The sparsest level whose stability is known, else the sparsest one."""
    return int((samples[samples['level'] > 0] if len(samples[samples['level'] > 0]) else pruned)['level'].max())


def _ends(rows, measures, measure):
    """The alternative text: a measure on the test set at the end of training, of each row of a summary."""
    column, digits = f'{measures.at_end(measure)}_mean', pictures.decimals(measure)
    parts = [f'{BRANCHES[row["branch"]].title}, {results.percent(row["density"])} % of the weights, rewound to step '
             f'{row["rewind_step"]:,}: {measure.with_unit(row[column], digits)}.' for row in rows.to_dict('records')]
    return ' '.join([f'{measure.heading} at the end.', *parts])


def against_step(summary, measure, samples, level, distance=None):
    """Draws a measure and both stabilities against the rewinding step.

    Args:
      summary: rows of `results.summarise` with a column `rewind_step`.
      measure: Measure.
      samples: DataFrame of `analysis.stability.samples`.
      level: int.
      distance: 'l2' or 'angle'; None for a picture without stabilities.
    """
    final = results.judged_by(summary).at_end(measure)
    steps = sorted(set(summary['rewind_step']))
    here = samples[(samples['level'] == level) & (distance is not None)]
    kinds = [kind for kind in KINDS if kind in set(here['stability'])]
    figure, panels = pictures.panels(1 + len(kinds))
    pictures.entitle(panels[0], f'{measure.heading} at the end', measure.axis())
    rows = summary[(summary['level'] == level) & (summary['n'] > 0)]
    for branch in BRANCHES:
        own = rows[(rows['branch'] == branch)]
        if BRANCHES[branch].reorders or own.empty:
            continue
        mean, low, high = (measure.scale * own[f'{final}_{name}'] for name in results.STATISTICS)
        pictures.errorbars(panels[0], own['rewind_step'].map(steps.index), mean, [mean - low, high - mean], branch)
    dense = results.dense(summary)
    if dense is not None:
        panels[0].axhline(measure.scale * dense[f'{final}_mean'], color=pictures.GREY, linestyle='--', linewidth=1.2,
                          label='Dense network')
    for axes, kind in zip(panels[1:], kinds, strict=True):
        pictures.entitle(axes, KINDS[kind], DISTANCES[distance])
        for branch, pairs in here[here['stability'] == kind].groupby('branch', sort=False):
            spread = pairs.groupby('rewind_step')[distance].agg(['mean', 'std']).fillna(0)
            pictures.errorbars(axes, list(map(steps.index, spread.index)), spread['mean'], spread['std'], branch)
        axes.set_ylim(0)
    for axes in panels:
        pictures.step_axis(axes, steps)
    panels[-1].set_xlabel('rewinding step')
    pictures.branch_legend(figure, panels)
    return figure


def by_step(tickets, measure):
    """Draws a measure of winning tickets at the end of training against density, a line per rewinding step.

    Args:
      tickets: rows of `results.summarise` of the branch 'ticket' with a column `rewind_step`.
      measure: Measure.
    """
    final = results.judged_by(tickets).at_end(measure)
    figure, axes = pictures.canvas(f'{measure.heading} at the end', 'weights remaining (%)', measure.axis())
    steps = sorted(set(tickets['rewind_step']))
    for colour, step in zip(pictures.level_colours(steps), steps, strict=True):
        rows = tickets[tickets['rewind_step'] == step]
        axes.plot(100 * rows['density'], measure.scale * rows[f'{final}_mean'], color=colour, marker='o',
                  label=f'step {step:,}')
    density_axis(axes, tickets['density'])
    figure.legend(loc='outside right upper', title='rewound to', alignment='left')
    return figure
