"""Pictures of stability: how far two trainings of a subnetwork end apart, against density."""

from tf_lottery.branches import BRANCHES
from tf_lottery.reporting import pictures, results
from tf_lottery.reporting.analysis.stability import SUBNETWORKS
from tf_lottery.reporting.pictures.density import density_axis

KINDS = {'data order': 'Stability to data order', 'pruning': 'Stability to pruning'}
DISTANCES = {'l2': 'L2 distance', 'angle': 'angle (degrees)'}


def draw(samples):
    """Yields the Pictures of stability against density.

    Args:
      samples: DataFrame of `analysis.stability.samples`, at one rewinding step.
    """
    pruned = samples[samples['level'] > 0]
    if pruned.empty:
        return
    for distance, title in DISTANCES.items():
        kinds = [kind for kind in KINDS if kind in set(pruned['stability'])]
        figure, panels = pictures.panels(len(kinds))
        for axes, kind in zip(panels, kinds, strict=True):
            pictures.entitle(axes, KINDS[kind], title)
            for branch in SUBNETWORKS:
                rows = pruned[(pruned['branch'] == branch) & (pruned['stability'] == kind)]
                spread = rows.groupby('density', sort=True)[distance].agg(['mean', lambda pairs: pairs.std(ddof=0)])
                pictures.errorbars(axes, 100 * spread.index, spread.iloc[:, 0], spread.iloc[:, 1], branch)
            axes.set_ylim(0)
            density_axis(axes, pruned['density'])
        panels[-1].set_xlabel('weights remaining (%)')
        pictures.branch_legend(figure, panels)
        yield pictures.Picture(
            f'stability_{distance}', figure, describe(pruned, distance),
            f'{title.capitalize()} between the trained weights of two copies: lower is more stable. To data order: two '
            'copies of a subnetwork on different orders; to pruning: the full network and the subnetwork on one order, '
            'where the subnetwork has weights (1903.01611, section 3). Means and standard deviations over pairs.',
            'Stability')


def describe(samples, distance):
    """The alternative text: the mean of every group of pairs."""
    means = samples.groupby(['stability', 'branch', 'density', 'rewind_step'])[distance].mean()
    parts = [f'{KINDS[kind]}, {BRANCHES[branch].title}, {results.percent(density)} % of the weights, rewound to step '
             f'{step:,}: {mean:.1f}.' for (kind, branch, density, step), mean in means.items()]
    return ' '.join([f'{DISTANCES[distance].capitalize()} between trained weights.', *parts])
