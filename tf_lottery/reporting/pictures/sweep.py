"""Pictures of an experiment that rewinds to several steps."""

import pandas as pd

from tf_lottery.branches import BRANCHES
from tf_lottery.reporting import pictures, results
from tf_lottery.reporting.pictures.density import density_axis
from tf_lottery.reporting.pictures.stability import KINDS, LABELS, describe


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
    what = (f'At {density} % of the weights (level {level}): test accuracy at the end of training, with the range over '
            'the runs')
    if (samples['level'] == level).any():
        for measure in LABELS:
            yield pictures.Picture(
                f'rewinding_{measure}', against_step(summary, samples, level, measure),
                ' '.join([_accuracies(here), describe(samples, measure)]),
                f'{what}, and stability as {LABELS[measure]}, with the standard deviation over pairs; lower is more '
                'stable (1903.01611, section 4).', 'Rewinding')
    else:
        yield pictures.Picture('rewinding_accuracy', against_step(summary, samples, level), _accuracies(here),
                               f'{what}.', 'Rewinding')
    tickets = summary[summary['branch'] == 'ticket']
    if tickets['level'].nunique() > 2:
        yield pictures.Picture(
            'accuracy_by_rewinding_step', accuracy_by_step(tickets), _accuracies(pruned[pruned['branch'] == 'ticket']),
            'Winning tickets by the step that they were rewound to; means over the runs.', 'Rewinding')


def _level(pruned, samples):
    """The sparsest level whose stability is known, else the sparsest one."""
    return int((samples[samples['level'] > 0] if len(samples[samples['level'] > 0]) else pruned)['level'].max())


def _accuracies(rows):
    parts = [f'{BRANCHES[row["branch"]].title}, {results.percent(row["density"])} % of the weights, rewound to step '
             f'{row["rewind_step"]:,}: {100 * row["final_test_accuracy_mean"]:.1f} %.'
             for row in rows.to_dict('records')]
    return ' '.join(['Test accuracy at the end.', *parts])


def against_step(summary, samples, level, measure=None):
    """Draws accuracy and both stabilities against the rewinding step.

    Args:
      summary: rows of `results.summarise` with a column `rewind_step`.
      samples: DataFrame of `analysis.stability.samples`.
      level: int.
      measure: 'l2' or 'angle'; None where there are no samples of the level.
    """
    steps = sorted(set(summary['rewind_step']))
    here = samples[samples['level'] == level]
    kinds = [kind for kind in KINDS if kind in set(here['stability'])]
    figure, panels = pictures.panels(1 + len(kinds))
    panels[0].set(title='Test accuracy at the end', ylabel='test accuracy (%)')
    rows = summary[(summary['level'] == level) & (summary['n'] > 0)]
    for branch in BRANCHES:
        own = rows[(rows['branch'] == branch)]
        if BRANCHES[branch].reorders or own.empty:
            continue
        mean, low, high = (100 * own[f'final_test_accuracy_{name}'] for name in ('mean', 'min', 'max'))
        pictures.errorbars(panels[0], own['rewind_step'].map(steps.index), mean, [mean - low, high - mean], branch)
    dense = results.dense(summary)
    if dense is not None:
        panels[0].axhline(100 * dense['final_test_accuracy_mean'], color=pictures.GREY, linestyle='--', linewidth=1.2,
                          label='Dense network')
    for axes, kind in zip(panels[1:], kinds, strict=True):
        axes.set(title=KINDS[kind], ylabel=LABELS[measure])
        for branch, pairs in here[here['stability'] == kind].groupby('branch', sort=False):
            spread = pairs.groupby('rewind_step')[measure].agg(['mean', 'std']).fillna(0)
            pictures.errorbars(axes, list(map(steps.index, spread.index)), spread['mean'], spread['std'], branch)
        axes.set_ylim(0)
    for axes in panels:
        pictures.step_axis(axes, steps)
    panels[-1].set_xlabel('rewinding step')
    pictures.branch_legend(figure, panels)
    return figure


def accuracy_by_step(tickets):
    """Draws the accuracy of winning tickets against density, a line per rewinding step.

    Args:
      tickets: rows of `results.summarise` of the branch 'ticket' with a column `rewind_step`.
    """
    figure, axes = pictures.canvas('Test accuracy at the end', 'weights remaining (%)', 'test accuracy (%)')
    steps = sorted(set(tickets['rewind_step']))
    for colour, step in zip(pictures.level_colours(steps), steps, strict=True):
        rows = tickets[tickets['rewind_step'] == step]
        axes.plot(100 * rows['density'], 100 * rows['final_test_accuracy_mean'], color=colour, marker='o',
                  label=f'step {step:,}')
    density_axis(axes, tickets['density'])
    figure.legend(loc='outside right upper', title='rewound to', alignment='left')
    return figure
