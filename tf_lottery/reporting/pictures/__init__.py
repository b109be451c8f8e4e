"""The pictures of a report: what one is, and what all of them share: style, colours, canvas, axes."""

import dataclasses
import math
import textwrap

import matplotlib
import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from tf_lottery.branches import BRANCHES

INK, GREY, GRID = '#1f2430', '#6b7280', '#e5e7eb'

# Okabe and Ito's colours, which colour-blind readers tell apart, and three more.
COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#882255', '#999933', '#332288')
_MARKERS = 'os^DvPX<>'
# Lines that are dashed, dotted, and both; then of longer dashes, with two dots and with three.
_BROKEN = ((0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)), (0, (8, 1.5)), (0, (5, 1.2, 1, 1.2, 1, 1.2)),
           (0, (5, 1.2, 1, 1.2, 1, 1.2, 1, 1.2)))

# So many letters fit above and beside a figure, and beside one panel of several; longer names get further lines.
TITLE_LETTERS, _LETTERS_BESIDE_PANEL = 36, 22

STYLE = {
    'font.size': 10.5, 'text.color': INK, 'axes.labelcolor': INK, 'xtick.color': INK, 'ytick.color': INK,
    'axes.titlesize': 11.5, 'axes.titleweight': 'bold', 'axes.titlelocation': 'left', 'axes.titlepad': 10,
    'axes.edgecolor': GREY, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.grid': True,
    'axes.axisbelow': True, 'grid.color': GRID, 'legend.frameon': False, 'legend.fontsize': 9.5,
    'legend.columnspacing': 1.2, 'legend.handlelength': 1.7, 'legend.handletextpad': 0.6, 'lines.linewidth': 1.7,
    'lines.markersize': 4.5, 'savefig.dpi': 220,
}


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Attributes:
      name: the PNG's name without its ending.
      figure: matplotlib Figure.
      alternative: what it shows, for those who cannot see it.
      caption: how to read it.
      section: the heading of the report that it stands below.
    """

    name: str
    figure: Figure
    alternative: str
    caption: str
    section: str


def look(number):
    """The colour, marker and line of the branch or layer with a number: as arguments of `Axes.plot`.

    The first nine are solid lines with filled markers, each of a colour of its own. Further ones have hollow markers
    and share the colours of the others but not of number 0, which all are compared with: eight for each kind of broken
    line.
    """
    again = number - len(COLOURS)
    if again < 0:
        return {'color': COLOURS[number], 'marker': _MARKERS[number], 'linestyle': '-'}
    # From the fourth colour on: the controls of most experiments are among the first three.
    colours = (*COLOURS[3:], *COLOURS[1:3])
    return {'color': colours[again % len(colours)], 'marker': _MARKERS[again % len(_MARKERS)],
            'linestyle': _BROKEN[again // len(colours) % len(_BROKEN)], 'markerfacecolor': 'white'}


def level_colours(levels):
    """Colours for some levels or steps, from dark to light: black for the lowest, usually the dense network."""
    return [INK, *matplotlib.colormaps['plasma'](np.linspace(0.15, 0.82, len(levels) - 1))]


def spread(levels, count):
    """At most `count` of the levels, spread evenly, the lowest and the highest among them: int array, ascending."""
    levels = np.unique(levels)
    places = np.linspace(0, len(levels) - 1, count) if len(levels) else np.array([])
    return levels[np.unique(places.round().astype(int))]


def canvas(title, below, beside):
    """An empty figure and its axes, with what stands below and beside them."""
    # Narrow, so that the letters are still readable when a phone shrinks it to its width.
    figure = Figure(figsize=(5.2, 4.4), layout='constrained')
    axes = figure.subplots()
    axes.set(title=textwrap.fill(title, TITLE_LETTERS), xlabel=below, ylabel=textwrap.fill(beside, TITLE_LETTERS))
    return figure, axes


def focus(tickets, everything):
    """The vertical range to draw: everything, unless that left the tickets less than a ninth of the height or so.

    Args:
      tickets, everything: (lowest value, highest value).
    """
    reach = 8 * (tickets[1] - tickets[0])
    if not reach > 0:
        return everything
    return max(everything[0], tickets[0] - reach), min(everything[1], tickets[1] + reach)


def room(axes, bottom, top, digits):
    """Sets the vertical limits with a margin, also around a single value, whose last of so many decimals shows."""
    if not math.isfinite(top - bottom):
        # What is infinite is not drawn: the limits stay those of the rest.
        return
    margin = 0.05 * (top - bottom) or 50 * 10.0**-digits
    axes.set_ylim(bottom - margin if bottom else 0, top + margin)


def decimals(measure):
    """int, the decimals that are shown of a Measure in pictures and what describes them: one of several less."""
    return max(min(1, measure.digits), measure.digits - 1)


def panels(count):
    """A figure of panels one below the other, and the list of their axes."""
    figure = Figure(figsize=(5.2, 1.1 + 2.3 * count), layout='constrained')
    return figure, list(figure.subplots(count, squeeze=False)[:, 0])


def entitle(panel, title, beside):
    """Sets the title of one of several panels, and what stands beside it."""
    panel.set(title=textwrap.fill(title, TITLE_LETTERS), ylabel=textwrap.fill(beside, _LETTERS_BESIDE_PANEL))


def errorbars(axes, places, means, spread, branch, **changes):
    """Draws a branch's means with bars of its own colour and marker; `spread` is as in matplotlib's `yerr`."""
    own = {**look(list(BRANCHES).index(branch)), 'label': BRANCHES[branch].title, 'capsize': 2.5, 'elinewidth': 1}
    if len(means):
        axes.errorbar(places, means, spread, **{**own, **changes})


def branch_legend(figure, axes):
    """One legend for all panels: what any of them shows, each once."""
    found = {}
    for one in axes:
        for handle, name in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    figure.legend(found.values(), found.keys(), loc='outside lower center', ncols=2)


def step_axis(axes, steps):
    """Rewinding steps side by side: they span orders of magnitude and start at zero."""
    axes.set_xticks(range(len(steps)), [f'{step:,}' for step in steps])
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlim(-0.3, len(steps) - 0.7)
