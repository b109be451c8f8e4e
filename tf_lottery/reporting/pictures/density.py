"""Pictures against density: how fast and how well each branch trains, and where the weights remain."""

import math

import numpy as np
import pandas as pd
from matplotlib import ticker

from tf_lottery.branches import BRANCHES, NEVER, numbered
from tf_lottery.reporting import pictures, results

# Few enough to tell apart and to name.
_NAMED_LAYERS = 8
_NAMED_DENSITIES = 7
# So many letters that two names fit side by side in a legend.
_SHORT_NAME = 26
# So many lines of a legend leave the picture high enough; a line's height.
_LEGEND_LINES = 4
_LINE_INCHES = 0.2


def draw(frame, summary):
    """Yields the Pictures against density that can be drawn of the runs.

    Args:
      frame: DataFrame of `results.load_results`, of one experiment.
      summary: DataFrame of `results.summarise`.
    """
    # The winner may seem to be on the wrong side of the dashed line.
    judged = (' Whether a ticket wins is asked of each replicate beside its own dense network; the dashed line is the '
              'mean of all of these.' if results.lacks_pairs(summary) else '')
    if (summary['n'][summary['level'] > 0] > 0).any():
        for name, column, title, beside, caption in _compared(results.judged_by(summary)):
            # What is never trained has no step to stop at.
            shown = summary if column != 'early_stop_step' else summary[
                ~summary['branch'].map(_is_never_trained)].reset_index(drop=True)
            yield pictures.Picture(
                name, against_density(shown, column, title, beside), _describe(shown, column, title),
                f'{caption} Lines are means, bands reach from the lowest to the highest run; an arrow says how far a '
                f'line goes that leaves the picture.{judged}', 'How tickets train')
    tickets = frame[frame['branch'] == 'ticket']
    if tickets['level'].any():
        yield pictures.Picture(
            'density_per_layer', density_per_layer(tickets),
            f'Weights remaining in each layer of the winning ticket, levels 0 to {tickets["level"].max()}.',
            'Winning tickets, means over replicates.', 'What is in the ticket')


def _compared(measures):
    """Yields what is drawn against density: (name, one of `Measures.columns`, title, vertical axis, caption)."""
    stop = f'step of {measures.early_stop_extreme[0]} {measures.early_stop_title}'
    for measure in measures.each:
        better = '' if measure.higher else ' Lower is better.'
        if measures.early_stop and not measure.ends:
            yield (f'{measure.name}_at_early_stop', measures.at_early_stop(measure),
                   f'{measure.heading} at early stop', measure.axis(),
                   f'Early stop is the {stop}, found afterwards.{better}')
        if measures.early_stop and measure is measures.lead:
            yield ('early_stop_step', 'early_stop_step', 'Early-stop step', stop,
                   'Lower is faster. Steps count from the initialisation of the dense network.')
        ago = ', however long ago the early stop was' if measures.early_stop else ''
        yield (f'{measure.name}_at_end', measures.at_end(measure), f'{measure.heading} at the end of training',
               measure.axis(), f'At the last step{ago}.{better}')


def _is_never_trained(branch):
    return BRANCHES[branch].step == NEVER


def _describe(summary, column, title):
    """The alternative text of a picture against density: where each branch's line starts and ends."""
    rows = pd.DataFrame(results.cells(summary)).assign(branch=summary['branch'])
    rows = rows[summary['n'] > 0]
    lines = []
    for branch, group in rows.groupby('branch', sort=False):
        first, last = group.iloc[0], group.iloc[-1]
        lines.append(f'{BRANCHES[branch].title}: {first[column][0]} at {first["weights"]} % of the weights, '
                     f'{last[column][0]} at {last["weights"]} %.')
    return ' '.join([f'{title} against the weights remaining.', *lines])


def against_density(summary, column, title, beside):
    """Draws a number of every branch against density, as the papers do: 100 % on the left, logarithmic.

    Args:
      summary: DataFrame of `results.summarise`.
      column: one of `Measures.columns`.
      title: str.
      beside: str, of the vertical axis.
    """
    measure = results.judged_by(summary).measure(column)
    scale, digits = (measure.scale, pictures.decimals(measure)) if measure else (1, 0)
    drawn = summary[['branch', 'level']].assign(
        density=100 * summary['density'],
        **{statistic: scale * summary[f'{column}_{statistic}'] for statistic in results.STATISTICS})
    tickets = drawn[drawn['branch'] == 'ticket']
    bottom, top = everything = drawn['min'].min(), drawn['max'].max()
    # Without tickets of several levels all branches count as much.
    if tickets['level'].any():
        bottom, top = pictures.focus((tickets['min'].min(), tickets['max'].max()), everything)
    form = f'.{digits}f' if measure else ',.0f'
    figure, axes = pictures.canvas(title, 'weights remaining (%)', beside)
    dense = tickets[tickets['level'] == 0]
    # The more bands lie on top of each other, the fainter each of them.
    faint = min(0.15, 0.9 / drawn['branch'].nunique())
    for branch, number in numbered(drawn['branch']).items():
        rows = drawn[drawn['branch'] == branch]
        # Other data orders are for the pictures of stability: here they would be their originals once more.
        if BRANCHES[branch].reorders:
            continue
        name = BRANCHES[branch].title
        if rows['mean'].min() < bottom:
            name += f' (↓ {rows["mean"].min():{form}})'
        if rows['mean'].max() > top:
            name += f' (↑ {rows["mean"].max():{form}})'
        # The dense network of those whose weights are never trained would be W_0.
        if branch != 'ticket' and not _is_never_trained(branch) and not BRANCHES[branch].learns:
            rows = pd.concat([dense, rows])
        look = pictures.look(number)
        axes.fill_between(rows['density'], rows['min'], rows['max'], color=look['color'], alpha=faint, linewidth=0)
        # The winning ticket lies on top of what it is compared with.
        axes.plot(rows['density'], rows['mean'], **look, label=name, zorder=3 if branch == 'ticket' else 2)
    for mean in dense['mean'].dropna():
        axes.axhline(mean, color=pictures.GREY, linestyle='--', linewidth=1.2, zorder=1, label='Dense network')
    winner = results.smallest_winning_ticket(summary)
    if winner is not None:
        axes.plot(100 * winner['density'], scale * winner[f'{column}_mean'], 'o', markersize=11, zorder=4,
                  markerfacecolor='none', markeredgecolor=pictures.INK, linestyle='none',
                  label=f'Smallest winning ticket ({results.percent(winner["density"])} %)')
    density_axis(axes, summary['density'])
    pictures.room(axes, bottom if measure else 0, top, measure.digits if measure else 2)
    if not measure:
        axes.yaxis.set_major_formatter(ticker.StrMethodFormatter('{x:,.0f}'))
    lines = len(figure.legend(loc='outside lower center', ncols=2).get_texts()) / 2
    # Many branches make the figure taller, not the picture flatter.
    figure.set_figheight(figure.get_figheight() + max(0, lines - _LEGEND_LINES) * _LINE_INCHES)
    return figure


def density_axis(axes, densities):
    """Ticks at the densities themselves, named where there is room for it."""
    densities = np.unique(densities)[::-1]
    room = math.log(densities[0] / densities[-1]) / _NAMED_DENSITIES
    named = [densities[0]]
    for density in densities[1:-1]:
        if min(math.log(named[-1] / density), math.log(density / densities[-1])) >= room:
            named.append(density)
    named.append(densities[-1])
    axes.set_xscale('log')
    axes.set_xticks([100 * density for density in named], [results.percent(density) for density in named])
    axes.set_xticks(100 * densities, [], minor=True)
    margin = math.exp(room / 4 or 0.1)
    axes.set_xlim(100 * densities[0] * margin, 100 * densities[-1] / margin)


def density_per_layer(tickets):
    """Draws the density of each layer against level.

    Args:
      tickets: rows of `results.load_results` of the branch 'ticket'.
    """
    figure, axes = pictures.canvas('Density per layer', 'level', 'weights remaining (%)')
    layers = 100 * pd.DataFrame(tickets['layers'].tolist(), index=tickets['level']).groupby(level=0).mean()
    names = list(layers.iloc[-1].sort_values(ascending=False, kind='stable').index)
    half = _NAMED_LAYERS // 2
    others = names[half:-half] if len(names) > _NAMED_LAYERS else []
    if others:
        axes.plot(layers.index, layers[others], color='#c3c8d0', linewidth=1)
    named = [name for name in names if name not in others]
    for number, name in enumerate(named):
        axes.plot(layers.index, layers[name], **pictures.look(number), label=name)
    overall = 100 * tickets.groupby('level')['density'].mean()
    axes.plot(overall.index, overall, color=pictures.INK, linestyle='--', linewidth=1.2, label='all weights')
    if others:
        axes.plot([], [], color='#c3c8d0', linewidth=1, label=f'{len(others)} layers in between')
    axes.set_yscale('log')
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if layers.min(axis=None) < 20 else range(1, 10)))
    axes.yaxis.set_major_formatter(ticker.FormatStrFormatter('%g'))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    figure.legend(loc='outside lower center', ncols=2 if max(map(len, named)) <= _SHORT_NAME else 1)
    return figure
