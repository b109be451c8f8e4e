"""Who does best at the same density: a panel for each of some densities, names beside it, the best on top."""

import textwrap

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from tf_lottery.branches import BRANCHES, numbered
from tf_lottery.reporting import pictures, results

# Fewer are seen as well in the pictures against density.
_FEWEST = 3
DENSITIES = 3
# The best is at least a quarter of the width from the median or from the dense network: who is farther behind leaves
# the picture.
_REACH = 4
# Of a row, and of what stands above and below those of a panel.
_ROW_INCHES, _PANEL_INCHES = 0.21, 0.62
# So many letters of a name leave the panel wide enough.
_NAME = 30


def draw(frame, summary):
    """Yields the Picture of an experiment's branches at the same densities, where there are several of them.

    Args:
      frame: DataFrame of `results.load_results`, of one experiment.
      summary: DataFrame of `results.summarise`.
    """
    measures = results.judged_by(summary)
    rows = comparable(summary)
    branches = rows.groupby('level')['branch'].nunique()
    if len(branches) and branches.max() >= _FEWEST:
        # Where most of them were trained.
        levels = pictures.spread(branches.index[branches == branches.max()], DENSITIES)
        rows = rows[rows['level'].isin(levels)]
        order = numbered(summary['branch'])
        shown = columns(rows, measures).assign(
            name=rows['branch'].map(lambda branch: BRANCHES[branch].title), place=rows['level'],
            look=rows['branch'].map(order))
        dense = results.dense(summary)
        yield picture(
            'branches_at_density', 'Branches at the same density', shown, measures.lead,
            None if dense is None else columns(summary.loc[[dense.name]], measures).iloc[0].to_dict(),
            'How tickets train')


def comparable(summary):
    """The rows of a summary that are compared: of pruned networks, each on the replicate's own data order."""
    own = summary['branch'].map(lambda branch: BRANCHES[branch].reorders is None)
    return summary[(summary['level'] > 0) & (summary['n'] > 0) & own]


def columns(rows, measures):
    """What is drawn of rows of `results.summarise`: `density`, and `mean`, `min` and `max` at the end of training."""
    return rows[['density']].assign(**{
        statistic: rows[f'{measures.at_end()}_{statistic}'] for statistic in results.STATISTICS})


def picture(name, title, rows, measure, dense, section):
    """The Picture of rows that are compared at one density or several.

    Args:
      name, title, section: str.
      rows: DataFrame: `name`; `place`, equal for rows at one density, in falling order of density; `density`, a
        fraction; `look`, the number of its colour and marker; `mean`, `min` and `max`, values of the measure.
      measure: Measure.
      dense: dict of `mean`, `min` and `max` of the dense network, or None.
      section: str.
    """
    panels = [(share(group), group.sort_values('mean', ascending=measure.higher, kind='stable'))
              for _, group in rows.groupby('place')]
    sentences = [f'At {density} % of the weights: ' + ', '.join(
        f'{row["name"]} {measure.with_unit(row["mean"], pictures.decimals(measure))}'
        for row in group.iloc[::-1].to_dict('records')) + '.' for density, group in panels]
    others = ('An arrow says where a mean is that leaves the picture.'
              + (' Dashed: the dense network.' if dense else ''))
    return pictures.Picture(
        name, _dots(title, panels, measure, dense), ' '.join([f'{measure.heading} at the end.', *sentences]),
        f'{measure.heading} at the end of training, the best on top: means, with the range over the runs. {others}',
        section)


def share(rows):
    """The density of rows as text: one number, or from where to where it is."""
    low, high = (results.percent(density) for density in (rows['density'].min(), rows['density'].max()))
    return low if low == high else f'{low} to {high}'


def _dots(title, panels, measure, dense):
    heights = [_ROW_INCHES * len(group) + _PANEL_INCHES for _, group in panels]
    figure = Figure(figsize=(5.2, 0.4 + sum(heights)), layout='constrained')
    figure.suptitle(textwrap.fill(title, pictures.TITLE_LETTERS), x=0.02, ha='left', fontweight='bold', fontsize=11.5)
    rows_of_axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)
    for axes, (density, group) in zip(rows_of_axes[:, 0], panels, strict=True):
        axes.set_title(f'{density} % of the weights', fontsize=10)
        low, high = _span(group, measure, dense)
        if dense:
            axes.axvline(measure.scale * dense['mean'], color=pictures.GREY, linestyle='--', linewidth=1.2, zorder=1)
        for number, row in enumerate(group.to_dict('records')):
            mean, least, most = (measure.scale * row[statistic] for statistic in ('mean', 'min', 'max'))
            look = {**pictures.look(row['look']), 'linestyle': 'none', 'capsize': 2.5, 'elinewidth': 1}
            axes.errorbar(mean, number, xerr=[[mean - least], [most - mean]], **look)
            if not low <= mean <= high:
                side = 'left' if mean < low else 'right'
                text = f'{measure.shown(row["mean"], pictures.decimals(measure))}'
                axes.text(low if side == 'left' else high, number, f'← {text}' if side == 'left' else f'{text} →',
                          ha=side, va='center', fontsize=8.5, color=look['color'])
        axes.set_xlim(low, high)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
        axes.set_ylim(-0.6, len(group) - 0.4)
        axes.set_yticks(range(len(group)), [textwrap.shorten(name, _NAME, placeholder='…') for name in group['name']])
    axes.set_xlabel(measure.axis())
    return figure


def _span(rows, measure, dense):
    """From where to where a panel reaches, in the unit of the measure: around the best, as far as there are rows."""
    reference = [dense['mean']] if dense and np.isfinite(dense['mean']) else []
    # A perplexity may be infinite.
    rows = rows[np.isfinite(rows[list(results.STATISTICS)]).all(axis=1)]
    if rows.empty:
        return 0, 1
    means = np.array([*rows['mean'], *reference])
    best = means.max() if measure.higher else means.min()
    reach = _REACH * max(abs(best - other) for other in (np.median(rows['mean']), *reference))
    near = rows[np.abs(rows['mean'] - best) <= reach] if reach else rows
    ends = measure.scale * np.array([*near['min'], *near['max'], *reference])
    low, high = ends.min(), ends.max()
    margin = 0.05 * (high - low) or 50 * 10.0**-measure.digits
    return low - margin, high + margin
