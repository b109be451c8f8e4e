"""Pictures of linear mode connectivity: the error on the line between two copies of a network."""

from matplotlib.lines import Line2D

from tf_lottery.branches import BRANCHES
from tf_lottery.reporting import pictures, results
from tf_lottery.reporting.analysis.connectivity import STABLE, instability

_LEVELS = 5


def draw(lines):
    """Yields a Picture of the error on the line for each kind of subnetwork.

    Args:
      lines: DataFrame of `analysis.connectivity.lines`; of a sweep, the lines of the sparsest level are drawn.
    """
    for branch, of_branch in lines.groupby('branch', sort=False):
        sweep = of_branch['rewind_step'].nunique() > 1
        if sweep:
            key, of_branch = 'rewind_step', of_branch[of_branch['level'] == of_branch['level'].max()]
        else:
            key = 'level'
        chosen = pictures.spread(of_branch[key], _LEVELS)
        figure, axes = pictures.canvas(f'{BRANCHES[branch].title}: error on the line', 'place on the line', 'error (%)')
        colours = pictures.level_colours(chosen)
        names, parts = [], []
        for colour, value in zip(colours, chosen, strict=True):
            here = of_branch[of_branch[key] == value]
            for error, style in (('test_error', '-'), ('train_error', (0, (3, 2)))):
                points = 100 * here.groupby('position')[error].agg(['mean', 'min', 'max'])
                axes.plot(points.index, points['mean'], color=colour, linestyle=style)
                if error == 'test_error':
                    axes.fill_between(points.index, points['min'], points['max'], color=colour, alpha=0.15, linewidth=0)
                    names.append(f'step {value:,}' if sweep else f'{results.percent(here["density"].mean())} %')
                    parts.append(f'{names[-1]}: {points["mean"].iloc[0]:.1f} % at the ends, at most '
                                 f'{points["mean"].max():.1f} % between them.')
        axes.set_xlim(0, 1)
        axes.set_ylim(0)
        handles = [Line2D([], [], color=colour) for colour in colours]
        figure.legend(handles, names, loc='outside right upper', alignment='left',
                      title='rewound to' if sweep else 'weights\nremaining')
        figure.legend([Line2D([], [], color=pictures.INK, linestyle=style) for style in ('-', (0, (3, 2)))],
                      ['test error', 'training error'], loc='outside lower center', ncols=2)
        yield pictures.Picture(
            f'connectivity_{branch}', figure, ' '.join(['Test error on the line between two copies.', *parts]),
            'Between two copies that were trained on different data orders; means over lines, bands reach from the '
            f'lowest to the highest. No more than {100 * STABLE:.0f} points above the ends is called stable '
            '(1912.05671, section 2). Batch-norm statistics are computed anew at every place, from '
            f'{lines["examples"].iloc[0]:,} training examples, as is the training error.', 'Linear mode connectivity')


def draw_sweep(lines):
    """Yields the Picture of instability against the rewinding step.

    Args:
      lines: DataFrame of `analysis.connectivity.lines`, of a sweep; without any there is no Picture.
    """
    if lines.empty:
        return
    steps = sorted(set(lines['rewind_step']))
    figure, axes = pictures.canvas('Instability', 'rewinding step', 'instability, test error (points)')
    keys = ['branch', 'level', 'rewind_step']
    barriers = 100 * lines.groupby([*keys, 'replicate', 'copy'])['test_error'].agg(
        lambda errors: instability(errors.to_numpy()))
    parts = []
    for (branch, level), rows in barriers.groupby(['branch', 'level']):
        if level not in (0, lines['level'].max()):
            continue
        spread = rows.groupby('rewind_step').agg(['mean', 'std']).fillna(0)
        name = BRANCHES[branch].title if level else 'Dense network'
        pictures.errorbars(axes, [steps.index(step) for step in spread.index], spread['mean'], spread['std'], branch,
                           **({} if level else {'color': pictures.GREY, 'label': name}))
        parts += [f'{name}, step {step:,}: {mean:.1f}.' for step, mean in spread['mean'].items()]
    axes.axhline(100 * STABLE, color=pictures.GREY, linestyle='--', linewidth=1.2, label='stable below')
    pictures.step_axis(axes, steps)
    axes.set_ylim(min(0, axes.get_ylim()[0]))
    figure.legend(loc='outside lower center', ncols=2)
    yield pictures.Picture(
        'instability', figure, ' '.join(['Instability against the rewinding step, in points of test error.', *parts]),
        'How much higher the test error gets between two copies that saw different data orders than it is at them; '
        'mean and standard deviation over lines, at the sparsest level (1912.05671, Figure 3).',
        'Linear mode connectivity')
