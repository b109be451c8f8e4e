"""Pictures of linear mode connectivity: the error on the line between two copies of a network."""

from matplotlib.lines import Line2D

from tf_lottery.branches import BRANCHES
from tf_lottery.reporting import pictures, results
from tf_lottery.reporting.analysis.connectivity import instability

_LEVELS = 5
# So many letters that the training and the test error fit side by side in a legend.
_SHORT_TITLE = 20


def draw(lines, measure):
    """Yields a Picture of the error on the line for each kind of subnetwork.

    Args:
      lines: DataFrame of `analysis.connectivity.lines`; of a sweep, the lines of the sparsest level are drawn.
      measure: Measure, the one whose error they hold.
    """
    error_title, digits = measure.error_title, pictures.decimals(measure)
    stable = ''
    if measure.stable is not None:
        stable = (f'No more than {results.difference(measure, measure.stable)} above the ends is called stable '
                  '(1912.05671, section 2). ')
    for branch, of_branch in lines.groupby('branch', sort=False):
        sweep = of_branch['rewind_step'].nunique() > 1
        if sweep:
            key, of_branch = 'rewind_step', of_branch[of_branch['level'] == of_branch['level'].max()]
        else:
            key = 'level'
        chosen = pictures.spread(of_branch[key], _LEVELS)
        figure, axes = pictures.canvas(f'{BRANCHES[branch].title}: {error_title} on the line', 'place on the line',
                                       measure.axis(error_title))
        colours = pictures.level_colours(chosen)
        names, parts = [], []
        for colour, value in zip(colours, chosen, strict=True):
            here = of_branch[of_branch[key] == value]
            for error, style in (('test_error', '-'), ('train_error', (0, (3, 2)))):
                points = here.groupby('position')[error].agg(['mean', 'min', 'max'])
                axes.plot(points.index, measure.scale * points['mean'], color=colour, linestyle=style)
                if error == 'test_error':
                    low, high = (measure.scale * points[name] for name in ('min', 'max'))
                    axes.fill_between(points.index, low, high, color=colour, alpha=0.15, linewidth=0)
                    names.append(f'step {value:,}' if sweep else f'{results.percent(here["density"].mean())} %')
                    end, most = (measure.with_unit(value, digits)
                                 for value in (points['mean'].iloc[0], points['mean'].max()))
                    parts.append(f'{names[-1]}: {end} at the ends, at most {most} between them.')
        axes.set_xlim(0, 1)
        if (of_branch[['train_error', 'test_error']] >= 0).all(axis=None):
            axes.set_ylim(0)
        handles = [Line2D([], [], color=colour) for colour in colours]
        figure.legend(handles, names, loc='outside right upper', alignment='left',
                      title='rewound to' if sweep else 'weights\nremaining')
        figure.legend([Line2D([], [], color=pictures.INK, linestyle=style) for style in ('-', (0, (3, 2)))],
                      [f'test {error_title}', f'training {error_title}'], loc='outside lower center',
                      ncols=2 if len(error_title) <= _SHORT_TITLE else 1)
        yield pictures.Picture(
            f'connectivity_{branch}', figure, ' '.join([f'Test {error_title} on the line between two copies.', *parts]),
            'Between two copies that were trained on different data orders; means over lines, bands reach from the '
            f'lowest to the highest. {stable}Batch-norm statistics are computed anew at every place, from '
            f'{lines["examples"].iloc[0]:,} training examples, as is the training {error_title}.',
            'Linear mode connectivity')


def draw_sweep(lines, measure):
    """Yields the Picture of instability against the rewinding step.

    Args:
      lines: DataFrame of `analysis.connectivity.lines`, of a sweep; without any there is no Picture.
      measure: Measure, the one whose error they hold.
    """
    if lines.empty:
        return
    steps = sorted(set(lines['rewind_step']))
    error, points = f'test {measure.error_title}', f' ({measure.points})' if measure.points else ''
    figure, axes = pictures.canvas('Instability', 'rewinding step', f'instability, {error}{points}')
    what, digits = f'{measure.points} of {error}' if measure.points else error, pictures.decimals(measure)
    keys = ['branch', 'level', 'rewind_step']
    barriers = measure.scale * lines.groupby([*keys, 'replicate', 'copy'])['test_error'].agg(
        lambda errors: instability(errors.to_numpy()))
    parts = []
    for (branch, level), rows in barriers.groupby(['branch', 'level']):
        if level not in (0, lines['level'].max()):
            continue
        spread = rows.groupby('rewind_step').agg(['mean', 'std']).fillna(0)
        name = BRANCHES[branch].title if level else 'Dense network'
        pictures.errorbars(axes, [steps.index(step) for step in spread.index], spread['mean'], spread['std'], branch,
                           **({} if level else {'color': pictures.GREY, 'label': name}))
        parts += [f'{name}, step {step:,}: {mean:.{digits}f}.' for step, mean in spread['mean'].items()]
    if measure.stable is not None:
        axes.axhline(measure.scale * measure.stable, color=pictures.GREY, linestyle='--', linewidth=1.2,
                     label='stable below')
    pictures.step_axis(axes, steps)
    axes.set_ylim(min(0, axes.get_ylim()[0]))
    figure.legend(loc='outside lower center', ncols=2)
    yield pictures.Picture(
        'instability', figure, ' '.join([f'Instability against the rewinding step, in {what}.', *parts]),
        f'How much higher the {error} gets between two copies that saw different data orders than it is at them; '
        'mean and standard deviation over lines, at the sparsest level (1912.05671, Figure 3).',
        'Linear mode connectivity')
