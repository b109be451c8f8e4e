"""The report of an experiment: one HTML file with its pictures inside, the same pictures as PNG, the numbers as CSV."""

import base64
import dataclasses
import io
import json
import math
import os

import jinja2
import matplotlib
import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tf_lottery import results, storage
from tf_lottery.branches import BRANCHES
from tf_lottery.config import control_levels
from tf_lottery.errors import UsageError

_INK, _GREY, _GRID = '#1f2430', '#6b7280', '#e5e7eb'

# Okabe and Ito's colours, which colour-blind readers tell apart, and two more; a branch keeps its own in every report.
_COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#882255', '#999933', '#332288')
_MARKERS = 'os^DvPX<>'

_STYLE = {
    'font.size': 10.5, 'text.color': _INK, 'axes.labelcolor': _INK, 'xtick.color': _INK, 'ytick.color': _INK,
    'axes.titlesize': 11.5, 'axes.titleweight': 'bold', 'axes.titlelocation': 'left', 'axes.titlepad': 10,
    'axes.edgecolor': _GREY, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.grid': True,
    'axes.axisbelow': True, 'grid.color': _GRID, 'legend.frameon': False, 'legend.fontsize': 9.5,
    'legend.columnspacing': 1.2, 'legend.handlelength': 1.7, 'legend.handletextpad': 0.6, 'lines.linewidth': 1.7,
    'lines.markersize': 4.5, 'savefig.dpi': 220,
}

# Few enough to tell apart and to label.
_LEARNING_CURVES = 6
_NAMED_LAYERS = 8
_DENSITY_LABELS = 7
# So many letters that two names fit side by side in a legend.
_SHORT_NAME = 26


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Attributes:
      name: the PNG's name without its ending.
      figure: matplotlib Figure.
      alternative: what it shows, for those who cannot see it.
      caption: how to read it.
    """

    name: str
    figure: Figure
    alternative: str
    caption: str


def write(workdir):
    """Writes the report of the runs that an experiment has finished so far into its folder report/.

    index.html needs no other file and no network; beside it lie its pictures (*.png), runs.csv with a line per run and
    summary.csv with a line per branch and level (`results.summarise`).

    Args:
      workdir: the experiment's folder.

    Returns:
      The path of index.html.

    Raises:
      UsageError: the folder is not an experiment's, or no run has finished.
    """
    path = storage.join(workdir, 'config.json')
    if not storage.exists(path):
        raise UsageError(f'{workdir} has no config.json: give the --workdir of one experiment.')
    experiment = storage.read_json(path)
    frame = results.load_results(workdir)
    summary = results.summarise(frame)
    folder = storage.join(workdir, 'report')
    storage.write_text(storage.join(folder, 'summary.csv'), summary.to_csv(index=False))
    storage.write_text(storage.join(folder, 'runs.csv'), _runs_table(frame).to_csv(index=False))
    shown = []
    with matplotlib.rc_context(_STYLE):
        for picture in pictures(frame, summary):
            png = _png(picture.figure)
            storage.write_bytes(storage.join(folder, f'{picture.name}.png'), png)
            shown.append({'alternative': picture.alternative, 'caption': picture.caption,
                          'base64': base64.b64encode(png).decode()})
    page = storage.join(folder, 'index.html')
    storage.write_text(page, _html(experiment, frame, summary, shown))
    return page


def _runs_table(frame):
    """The runs without the config, which all share, and with a column per layer."""
    layers = pd.DataFrame(frame['layers'].tolist()).add_prefix('density.')
    own = [name for name in frame if name not in ('workdir', 'layers') and not name.startswith('config.')]
    return frame[own].join(layers)


def _png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()


def _html(experiment, frame, summary, shown):
    loader = jinja2.FileSystemLoader(os.path.dirname(__file__))
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    rows = results.cells(summary)
    blocks = [(BRANCHES[branch].title, [rows[number] for number in group.index])
              for branch, group in summary.groupby('branch', sort=False)]
    return environment.get_template('report.html.j2').render(
        name=experiment['name'], headline=headline(summary), notes=_notes(experiment['config'], frame),
        pictures=shown, blocks=blocks, measures=results.MEASURES, diverged=frame['diverged'].any(),
        command=experiment['command'], versions=experiment['versions'],
        config=json.dumps(experiment['config'], indent=2))


def headline(summary):
    """The outcome in a sentence or two: the smallest winning ticket, or why there is none.

    Args:
      summary: DataFrame of `results.summarise`.
    """
    dense, winner = results.dense(summary), results.smallest_winning_ticket(summary)
    if dense is None:
        return 'The dense network has not finished or has diverged, so there is nothing to compare tickets with.'
    tickets = summary[(summary['branch'] == 'ticket') & (summary['level'] > 0)]
    reference = f'at step {dense["early_stop_step_mean"]:,.0f}, with {_accuracy(dense)} % test accuracy'
    if tickets.empty:
        return f'Only the dense network has finished: its validation loss is lowest {reference}.'
    if winner is None:
        return (f'No winning ticket was found at levels 1 to {tickets["level"].max()}: the validation loss of none is '
                f'lowest as early as that of the dense network, {reference}, and with no less accuracy.')
    return (f'The smallest winning ticket keeps {results.percent(winner["density"])} % of the weights (level '
            f'{winner["level"]}): its validation loss is lowest at step {winner["early_stop_step_mean"]:,.0f}, with '
            f'{_accuracy(winner)} % test accuracy; that of the dense network {reference}.')


def _accuracy(row):
    return f'{100 * row["early_stop_test_accuracy_mean"]:.2f}'


def _notes(config, frame):
    """What the reader must know before the pictures: sentences on what is missing."""
    notes = []
    diverged = frame[frame['diverged']]
    if len(diverged):
        notes.append(f'Left out of all means, because the loss stopped being finite: {_count_by_branch(diverged)}.')
    missing = _missing(config, frame)
    if len(missing):
        notes.append(f'Runs not there yet: {_count_by_branch(missing)}.')
    if not frame['level'].any():
        notes.append('Pictures against density appear once a pruned level has finished.')
    return notes


def _missing(config, frame):
    """The runs that the config names and that have not finished: DataFrame."""
    levels = config['pruning']['levels']
    controls = control_levels(config['branch_levels'], levels)
    wanted = set()
    for replicate in range(config['replicates']):
        wanted.add(('ticket', replicate, 0, 0))
        for branch in config['branches']:
            copies = config['reinits'] if BRANCHES[branch].several else 1
            at = range(1, levels + 1) if branch == 'ticket' else controls
            wanted.update((branch, replicate, level, copy) for level in at for copy in range(copies))
    names = ['branch', 'replicate', 'level', 'copy']
    return pd.DataFrame(sorted(wanted.difference(frame[names].itertuples(index=False, name=None))), columns=names)


def _count_by_branch(runs):
    counts = runs.groupby('branch').size()
    return ', '.join(f'{BRANCHES[branch].title} ({counts[branch]})' for branch in BRANCHES if branch in counts)


def pictures(frame, summary):
    """Yields the Pictures that can be drawn of the runs.

    Args:
      frame: DataFrame of `results.load_results`, of one experiment.
      summary: DataFrame of `results.summarise`.
    """
    if (summary['n'][summary['level'] > 0] > 0).any():
        for name, measure, title, label, caption in (
                ('accuracy_at_early_stop', 'early_stop_test_accuracy', 'Test accuracy at early stop',
                 'test accuracy (%)', 'Early stop is the step of minimum validation loss, found afterwards.'),
                ('early_stop_step', 'early_stop_step', 'Early-stop step', 'step of minimum validation loss',
                 'Lower is faster. Steps count from the initialisation of the dense network.'),
                ('accuracy_at_end', 'final_test_accuracy', 'Test accuracy at the end of training',
                 'test accuracy (%)', 'At the last step, however long ago the early stop was.')):
            yield Picture(name, against_density(summary, measure, title, label), _describe(summary, measure, title),
                          f'{caption} Lines are means, bands reach from the lowest to the highest run; an arrow says '
                          'how far a line goes that leaves the picture.')
    trained = frame[~frame['diverged'] & frame['branch'].isin(['ticket', 'random_reinit'])]
    if len(trained):
        levels = ', '.join(map(str, _spread(trained['level'])))
        yield Picture(
            'learning_curves', learning_curves(trained),
            f'Test accuracy against training step at levels {levels}.',
            'Means over the runs, at levels spread over those that have finished. Lines may leave the picture at the '
            'bottom, as all do at the beginning.')
    tickets = frame[frame['branch'] == 'ticket']
    if tickets['level'].any():
        yield Picture(
            'density_per_layer', density_per_layer(tickets),
            f'Weights remaining in each layer of the winning ticket, levels 0 to {tickets["level"].max()}.',
            'Winning tickets, means over replicates.')


def _describe(summary, measure, title):
    """The alternative text of a picture against density: where each branch's line starts and ends."""
    rows = pd.DataFrame(results.cells(summary)).assign(branch=summary['branch'])
    rows = rows[summary['n'] > 0]
    lines = []
    for branch, group in rows.groupby('branch', sort=False):
        first, last = group.iloc[0], group.iloc[-1]
        lines.append(f'{BRANCHES[branch].title}: {first[measure][0]} at {first["weights"]} % of the weights, '
                     f'{last[measure][0]} at {last["weights"]} %.')
    return ' '.join([f'{title} against the weights remaining.', *lines])


def _spread(levels):
    """At most _LEARNING_CURVES of the levels, spread evenly, the lowest and the highest among them."""
    levels = np.unique(levels)
    return levels[np.unique(np.linspace(0, len(levels) - 1, _LEARNING_CURVES).round().astype(int))]


def _canvas(title, label_x, label_y):
    # Narrow, so that the letters are still readable when a phone shrinks it to its width.
    figure = Figure(figsize=(5.2, 4.4), layout='constrained')
    axes = figure.subplots()
    axes.set(title=title, xlabel=label_x, ylabel=label_y)
    return figure, axes


def against_density(summary, measure, title, label):
    """Draws a measure of every branch against density, as the papers do: 100 % on the left, logarithmic.

    Args:
      summary: DataFrame of `results.summarise`.
      measure: one of `results.MEASURES`.
      title: str.
      label: str, of the vertical axis.
    """
    scale = 1 if measure == 'early_stop_step' else 100
    drawn = summary[['branch', 'level']].assign(
        density=100 * summary['density'],
        **{statistic: scale * summary[f'{measure}_{statistic}'] for statistic in ('mean', 'min', 'max')})
    tickets = drawn[drawn['branch'] == 'ticket']
    bottom, top = _focus((tickets['min'].min(), tickets['max'].max()), (drawn['min'].min(), drawn['max'].max()))
    form = ',.0f' if measure == 'early_stop_step' else '.1f'
    figure, axes = _canvas(title, 'weights remaining (%)', label)
    dense = tickets[tickets['level'] == 0]
    for number, branch in enumerate(BRANCHES):
        rows = drawn[drawn['branch'] == branch]
        if rows.empty:
            continue
        name = BRANCHES[branch].title
        if rows['mean'].min() < bottom:
            name += f' (↓ {rows["mean"].min():{form}})'
        if rows['mean'].max() > top:
            name += f' (↑ {rows["mean"].max():{form}})'
        if branch != 'ticket':
            rows = pd.concat([dense, rows])
        axes.fill_between(rows['density'], rows['min'], rows['max'], color=_COLOURS[number], alpha=0.15, linewidth=0)
        # The winning ticket lies on top of what it is compared with.
        axes.plot(rows['density'], rows['mean'], color=_COLOURS[number], marker=_MARKERS[number], label=name,
                  zorder=3 if branch == 'ticket' else 2)
    for mean in dense['mean'].dropna():
        axes.axhline(mean, color=_GREY, linestyle='--', linewidth=1.2, zorder=1, label='Dense network')
    winner = results.smallest_winning_ticket(summary)
    if winner is not None:
        axes.plot(100 * winner['density'], scale * winner[f'{measure}_mean'], 'o', markersize=11, zorder=4,
                  markerfacecolor='none', markeredgecolor=_INK, linestyle='none',
                  label=f'Smallest winning ticket ({results.percent(winner["density"])} %)')
    _density_axis(axes, summary['density'])
    _room(axes, 0 if measure == 'early_stop_step' else bottom, top)
    if measure == 'early_stop_step':
        axes.yaxis.set_major_formatter(ticker.StrMethodFormatter('{x:,.0f}'))
    figure.legend(loc='outside lower center', ncols=2)
    return figure


def _density_axis(axes, densities):
    """Ticks at the densities themselves, labelled where there is room for it."""
    densities = np.unique(densities)[::-1]
    room = math.log(densities[0] / densities[-1]) / _DENSITY_LABELS
    labelled = [densities[0]]
    for density in densities[1:-1]:
        if min(math.log(labelled[-1] / density), math.log(density / densities[-1])) >= room:
            labelled.append(density)
    labelled.append(densities[-1])
    axes.set_xscale('log')
    axes.set_xticks([100 * density for density in labelled], [results.percent(density) for density in labelled])
    axes.set_xticks(100 * densities, [], minor=True)
    margin = math.exp(room / 4 or 0.1)
    axes.set_xlim(100 * densities[0] * margin, 100 * densities[-1] / margin)


def _focus(tickets, everything):
    """The vertical range to draw: everything, unless that left the tickets less than a ninth of the height or so.

    Args:
      tickets, everything: (lowest value, highest value).
    """
    room = 8 * (tickets[1] - tickets[0])
    if not room > 0:
        return everything
    return max(everything[0], tickets[0] - room), min(everything[1], tickets[1] + room)


def _room(axes, bottom, top):
    """Sets the vertical limits with a margin, also around a single value."""
    margin = 0.05 * (top - bottom) or 0.5
    axes.set_ylim(bottom - margin if bottom else 0, top + margin)


def learning_curves(frame):
    """Draws test accuracy against step: winning tickets as lines, random reinitialisations dashed.

    Args:
      frame: rows of `results.load_results` that did not diverge, of the branches 'ticket' and 'random_reinit'.
    """
    figure, axes = _canvas('Learning curves', 'training step', 'test accuracy (%)')
    levels = _spread(frame['level'])
    points = results.curves(frame[frame['level'].isin(levels)])
    points['test_accuracy'] *= 100
    means = points.groupby(['level', 'branch', 'step'])['test_accuracy'].mean()
    colours = [_INK, *matplotlib.colormaps['plasma'](np.linspace(0.15, 0.82, len(levels) - 1))]
    lines = {'ticket': '-', 'random_reinit': (0, (4, 2))}
    for (level, branch), mean in means.groupby(['level', 'branch']):
        axes.plot(mean.index.get_level_values('step'), mean, color=colours[list(levels).index(level)],
                  linestyle=lines[branch], linewidth=1.4 if branch == 'ticket' else 1.1)
    settled = means[means.index.get_level_values('step') >= points['step'].max() / 10]
    tickets = settled[settled.index.get_level_values('branch') == 'ticket']
    _room(axes, *_focus((tickets.min(), tickets.max()), (settled.min(), settled.max())))
    axes.set_xlim(0, points['step'].max())
    axes.xaxis.set_major_formatter(ticker.StrMethodFormatter('{x:,.0f}'))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
    densities = frame.groupby('level')['density'].mean()
    figure.legend([Line2D([], [], color=colour) for colour in colours],
                  [f'{results.percent(densities[level])} %' for level in levels],
                  loc='outside right upper', title='weights\nremaining', alignment='left')
    shown = [branch for branch in lines if branch in set(frame['branch'])]
    figure.legend([Line2D([], [], color=_INK, linestyle=lines[branch], linewidth=1.4) for branch in shown],
                  [BRANCHES[branch].title for branch in shown], loc='outside lower center', ncols=2)
    return figure


def density_per_layer(tickets):
    """Draws the density of each layer against level.

    Args:
      tickets: rows of `results.load_results` of the branch 'ticket'.
    """
    figure, axes = _canvas('Density per layer', 'level', 'weights remaining (%)')
    layers = 100 * pd.DataFrame(tickets['layers'].tolist(), index=tickets['level']).groupby(level=0).mean()
    names = list(layers.iloc[-1].sort_values(ascending=False, kind='stable').index)
    half = _NAMED_LAYERS // 2
    others = names[half:-half] if len(names) > _NAMED_LAYERS else []
    if others:
        axes.plot(layers.index, layers[others], color='#c3c8d0', linewidth=1)
    named = [name for name in names if name not in others]
    for number, name in enumerate(named):
        axes.plot(layers.index, layers[name], color=_COLOURS[number], marker=_MARKERS[number], label=name)
    overall = 100 * tickets.groupby('level')['density'].mean()
    axes.plot(overall.index, overall, color=_INK, linestyle='--', linewidth=1.2, label='all weights')
    if others:
        axes.plot([], [], color='#c3c8d0', linewidth=1, label=f'{len(others)} layers in between')
    axes.set_yscale('log')
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if layers.min(axis=None) < 20 else range(1, 10)))
    axes.yaxis.set_major_formatter(ticker.FormatStrFormatter('%g'))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    figure.legend(loc='outside lower center', ncols=2 if max(map(len, named)) <= _SHORT_NAME else 1)
    return figure
