"""What is in the ticket: its weights, how they moved, and how they connect the units (1803.03635, appendix F)."""

import math

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tf_lottery.reporting import pictures, results
from tf_lottery.reporting.analysis import weights

# Few enough to tell apart, and to stand side by side on a phone.
_LEVELS = 4
_LAYERS = 4
_LETTERS = 12
_BINS = (20, 40)
# Units that keep more connections than so many times the mean leave their picture.
_HIGHEST = 4

_SECTION = 'What is in the ticket'


def draw(frame, summary):
    """Yields the Pictures of the weights of tickets, as far as the runs have left their files.

    Args:
      frame: DataFrame of `results.load_results`, of one experiment.
      summary: DataFrame of `results.summarise`.
    """
    tickets = frame[frame['branch'] == 'ticket']
    shown = weights.readable(tickets[tickets['level'].isin(pictures.spread(tickets['level'], _LEVELS))])
    if not shown['level'].any():
        return
    sparsest = shown.loc[shown['level'].idxmax()]
    # Vectors, such as biases, connect no units and may have nothing left.
    connecting = weights.matrices(sparsest)
    names = [name for name, density in sparsest['layers'].items() if density < 1 and name in connecting]
    if not names:
        return
    layers = _first_middle_last(names)
    note = '' if layers == names else f' Of {len(names)} pruned layers: the first, two in the middle, the last.'
    densities = {level: f'{results.percent(density)} %'
                 for level, density in shown.groupby('level')['density'].mean().items()}
    initial, trained = weights.survivors(shown, layers)
    yield pictures.Picture(
        'ticket_weights', distributions(initial, trained, densities), _describe_weights(initial, trained, densities),
        'Weights that survive to a level, all replicates together: at initialisation, and at the end of the level\'s '
        f'own training. Each area is 1; the farthest 0.1 % at either end are left out.{note}', _SECTION)
    _, level = results.level_to_ship({0: summary})
    level = level or tickets['level'].max()
    split = weights.readable(tickets[tickets['level'] == level])
    split = split[split['replicate'].isin(weights.readable(tickets[tickets['level'] == 0])['replicate'])]
    if len(split):
        share = results.percent(split['density'].mean())
        moved = weights.movement(split, layers)
        yield pictures.Picture(
            'ticket_movement', movement(moved, share), _describe_movement(moved, share),
            f'The dense network between its first and last step: the weights of the ticket of {share} % and all '
            'others. Growth is of the magnitude; outward is away from zero, and its negative towards or past it. '
            f'Pruning by final magnitude itself favours weights that grew. Each area is 1.{note}', _SECTION)
    connected = weights.connectivity(shown[shown['level'] > 0], layers)
    yield pictures.Picture(
        'ticket_connections', connections(*connected, densities), _describe_connections(*connected, densities),
        'Units in the order of the connections that they keep, as multiples of the layer\'s mean: a flat line where '
        'all keep equally many. Incoming: per output unit. Outgoing: per input unit, such as a pixel. Lines may leave '
        f'the picture at the top.{note}', _SECTION)


def _first_middle_last(names):
    middle = len(names) // 2
    return names if len(names) <= _LAYERS else [names[0], names[middle - 1], names[middle], names[-1]]


def _short(name):
    """A layer's name that fits above a column."""
    name = name.removesuffix('/kernel')
    return name if len(name) <= _LETTERS else f'…{name[1 - _LETTERS:]}'


def _grid(title, rows, layers, **shared):
    """A figure and its axes [rows, layers], a column per layer; `shared` are arguments of `Figure.subplots`."""
    figure = Figure(figsize=(5.2, 1.2 + 1.5 * len(rows)), layout='constrained')
    figure.suptitle(title, x=0.01, horizontalalignment='left', fontsize=11.5, fontweight='bold')
    axes = figure.subplots(len(rows), len(layers), squeeze=False, **shared)
    for column, layer in enumerate(layers):
        axes[0, column].set_title(_short(layer), loc='center', fontsize=10, fontweight='normal', pad=5)
    for number, row in enumerate(rows):
        axes[number, 0].set_ylabel(row)
    for panel in axes.flat:
        panel.tick_params(labelsize=9)
        panel.xaxis.set_major_locator(ticker.MaxNLocator(2 if len(layers) > 3 else 3))
    return figure, axes


def _histograms(panel, samples, colours):
    # The square root of the smallest sample: wide enough for some of its values to fall into each bin.
    bins = int(np.clip(math.sqrt(min(map(len, samples.values()))), *_BINS))
    edges, heights = weights.histograms(samples, bins)
    for key, height in heights.items():
        panel.stairs(height, edges, color=colours[key], linewidth=1.3)
    panel.set_yticks([])
    panel.set_xlim(edges[0], edges[-1])


def _legend(figure, colours, names, title=None):
    figure.legend([Line2D([], [], color=colours[key]) for key in names], names.values(), title=title,
                  loc='outside lower center', ncols=len(names))


def distributions(initial, trained, densities):
    """Draws the distributions of the survivors' weights: rows for W_0 and the trained weights, a line per level.

    Args:
      initial, trained: what `weights.survivors` returns.
      densities: dict from level to its density as text.
    """
    figure, axes = _grid('Weights that survive', ('at initialisation', 'trained'), list(initial))
    colours = dict(zip(densities, pictures.level_colours(densities), strict=True))
    for row, samples in zip(axes, (initial, trained), strict=True):
        for panel, levels in zip(row, samples.values(), strict=True):
            _histograms(panel, levels, colours)
    _legend(figure, colours, densities, 'weights remaining')
    return figure


def movement(moved, share):
    """Draws how far and which way the dense network's weights moved, those of a ticket and the others apart.

    Args:
      moved: what `weights.movement` returns.
      share: str, the ticket's density in percent.
    """
    measures = ('distance', 'growth', 'outward')
    figure, axes = _grid('How weights moved in the dense network', measures, list(moved))
    colours = {True: pictures.COLOURS[0], False: pictures.COLOURS[1]}
    for row, measure in zip(axes, measures, strict=True):
        for panel, weight in zip(row, moved.values(), strict=True):
            _histograms(panel, {kept: values.to_numpy() for kept, values in weight.groupby('kept')[measure]}, colours)
            if measure != 'distance':
                panel.axvline(0, color=pictures.GREY, linewidth=0.8, zorder=1)
    _legend(figure, colours, {True: f'in the ticket of {share} %', False: 'pruned'})
    return figure


def connections(incoming, outgoing, densities):
    """Draws how evenly connections remain: units sorted by what they keep, a line per level.

    Args:
      incoming, outgoing: what `weights.connectivity` returns, of levels above 0.
      densities: dict from level to its density as text.
    """
    rows = ('incoming / mean', 'outgoing / mean')
    figure, axes = _grid('Connections that units keep', rows, list(incoming), sharey='row')
    colours = dict(zip(densities, pictures.level_colours(densities), strict=True))
    for row, fractions in zip(axes, (incoming, outgoing), strict=True):
        for panel, levels in zip(row, fractions.values(), strict=True):
            for level, values in levels.items():
                panel.stairs(np.sort(values)[::-1] / values.mean(), np.linspace(0, 100, len(values) + 1),
                             baseline=None, color=colours[level], linewidth=1.3)
            panel.axhline(1, color=pictures.GREY, linewidth=0.8, zorder=1)
            panel.set(xlim=(0, 100), xticks=(0, 50, 100))
        largest = max(values.max() / values.mean() for levels in fractions.values() for values in levels.values())
        row[0].set_ylim(0, min(1.05 * largest, _HIGHEST))
    for panel in axes[-1]:
        panel.set_xlabel('units (%)', fontsize=9)
    _legend(figure, colours, {level: densities[level] for level in levels}, 'weights remaining')
    return figure


def _describe_weights(initial, trained, densities):
    """The alternative text of `distributions`: how large the weights of the densest and the sparsest level are."""
    def medians(samples):
        first, last = min(samples), max(samples)
        return (f'{np.median(np.abs(samples[first])):.3f} at {densities[first]} and '
                f'{np.median(np.abs(samples[last])):.3f} at {densities[last]}')

    return ' '.join(['Histograms of weights per layer. Median magnitudes by weights remaining:', *(
        f'{_short(layer)}, at initialisation {medians(initial[layer])}, trained {medians(trained[layer])}.'
        for layer in initial)])


def _describe_movement(moved, share):
    """The alternative text of `movement`: the medians and the shares of the ticket and of the others."""
    lines = [f'Histograms of how far and which way weights moved, those in the ticket of {share} % and the others.']
    for layer, weight in moved.items():
        if weight['kept'].all():
            lines.append(f'{_short(layer)}: all are in the ticket.')
            continue
        signs = weight.assign(growth=weight['growth'] > 0, outward=weight['outward'] > 0).groupby('kept')
        median, grew, away = signs['distance'].median(), 100 * signs['growth'].mean(), 100 * signs['outward'].mean()
        lines.append(f'{_short(layer)}: median distance {median[True]:.3f} and {median[False]:.3f}; {grew[True]:.0f} % '
                     f'and {grew[False]:.0f} % grew; {away[True]:.0f} % and {away[False]:.0f} % moved away from zero.')
    return ' '.join(lines)


def _describe_connections(incoming, outgoing, densities):
    """The alternative text of `connections`: how uneven the sparsest level is."""
    level = max(densities)

    def tenths(values):
        low, high = np.quantile(values / values.mean(), (0.1, 0.9))
        return f'{low:.2f} and {high:.2f}'

    return ' '.join([
        f'Connections per unit, as multiples of the layer\'s mean, exceeded by nine tenths and by one tenth of the '
        f'units at {densities[level]} of the weights:', *(
            f'{_short(layer)}, incoming {tenths(incoming[layer][level])}, outgoing {tenths(outgoing[layer][level])}.'
            for layer in incoming)])
