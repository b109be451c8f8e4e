"""Learning curves."""

import itertools

from matplotlib import ticker
from matplotlib.lines import Line2D

from tf_lottery.branches import BRANCHES
from tf_lottery.reporting import pictures, results
from tf_lottery.tasks.measure import TEST

# Few enough to tell apart.
_LEVELS = 6


def draw(frame, summary):
    """Yields a Picture of learning curves for each measure, if there are any.

    Args:
      frame: DataFrame of `results.load_results`, of one experiment.
      summary: DataFrame of `results.summarise`.
    """
    trained = frame[~frame['diverged'] & frame['branch'].isin(['ticket', 'random_reinit'])]
    if len(trained):
        levels = ', '.join(map(str, pictures.spread(trained['level'], _LEVELS)))
        measures = results.judged_by(frame)
        shown = [measure for measure in measures.each if not measure.ends]
        for measure, (number, (column, title)) in itertools.product(shown, enumerate(measures.courses)):
            name = ('' if measure is measures.lead else f'_{measure.name}') + (f'_by_{column}' if number else '')
            yield pictures.Picture(
                f'learning_curves{name}', learning_curves(trained, measure, column, title),
                f'{measure.heading} against {title} at levels {levels}.',
                'Means over the runs, at levels spread over those that have finished. Lines may leave the picture at '
                f'the {"bottom" if measure.higher else "top"}, as all do at the beginning.', 'How tickets train')


def learning_curves(frame, measure, course='step', title='training step'):
    """Draws a measure on the test set against the course of training: winning tickets as lines, random
    reinitialisations dashed.

    Args:
      frame: rows of `results.load_results` that did not diverge, of the branches 'ticket' and 'random_reinit'.
      measure: Measure.
      course, title: str, the column of metrics.csv that says how far training is, and what it is called.
    """
    figure, axes = pictures.canvas('Learning curves', title, measure.axis())
    levels = pictures.spread(frame['level'], _LEVELS)
    points = results.curves(frame[frame['level'].isin(levels)])
    column = f'{TEST}_{measure.name}'
    points[column] *= measure.scale
    grouped = points.assign(course=points[course]).groupby(['level', 'branch', 'step'])
    means, courses = grouped[column].mean(), grouped['course'].mean()
    colours = pictures.level_colours(levels)
    lines = {'ticket': '-', 'random_reinit': (0, (4, 2))}
    for (level, branch), mean in means.groupby(['level', 'branch']):
        axes.plot(courses[mean.index], mean, color=colours[list(levels).index(level)],
                  linestyle=lines[branch], linewidth=1.4 if branch == 'ticket' else 1.1)
    settled = means[means.index.get_level_values('step') >= points['step'].max() / 10]
    tickets = settled[settled.index.get_level_values('branch') == 'ticket']
    pictures.room(axes, *pictures.focus((tickets.min(), tickets.max()), (settled.min(), settled.max())),
                  measure.digits)
    axes.set_xlim(0, points[course].max())
    axes.xaxis.set_major_formatter(ticker.StrMethodFormatter('{x:,.0f}'))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
    densities = frame.groupby('level')['density'].mean()
    figure.legend([Line2D([], [], color=colour) for colour in colours],
                  [f'{results.percent(densities[level])} %' for level in levels],
                  loc='outside right upper', title='weights\nremaining', alignment='left')
    shown = [branch for branch in lines if branch in set(frame['branch'])]
    figure.legend([Line2D([], [], color=pictures.INK, linestyle=lines[branch], linewidth=1.4) for branch in shown],
                  [BRANCHES[branch].title for branch in shown], loc='outside lower center', ncols=2)
    return figure
