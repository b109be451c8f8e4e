"""The report of an experiment: one HTML file with its pictures inside, the same pictures as PNG, the numbers as CSV."""

import base64
import io
import json
import os

import jinja2
import matplotlib
import pandas as pd

from tf_lottery import results, storage
from tf_lottery.branches import BRANCHES
from tf_lottery.config import control_levels
from tf_lottery.errors import UsageError
from tf_lottery.pictures import STYLE, curves, density, tickets

# What draws the pictures, in the order of the page: functions from runs and their summary to Pictures.
_DRAWN_BY = (density.draw, curves.draw, tickets.draw)


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
    sections = {}
    with matplotlib.rc_context(STYLE):
        for picture in pictures(frame, summary):
            png = _png(picture.figure)
            storage.write_bytes(storage.join(folder, f'{picture.name}.png'), png)
            sections.setdefault(picture.section, []).append({
                'alternative': picture.alternative, 'caption': picture.caption,
                'base64': base64.b64encode(png).decode()})
    page = storage.join(folder, 'index.html')
    storage.write_text(page, _html(experiment, frame, summary, sections))
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


def _html(experiment, frame, summary, sections):
    loader = jinja2.FileSystemLoader(os.path.dirname(__file__))
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    rows = results.cells(summary)
    blocks = [(BRANCHES[branch].title, [rows[number] for number in group.index])
              for branch, group in summary.groupby('branch', sort=False)]
    return environment.get_template('report.html.j2').render(
        name=experiment['name'], headline=headline(summary), notes=_notes(experiment['config'], frame),
        sections=sections, blocks=blocks, measures=results.MEASURES, diverged=frame['diverged'].any(),
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
    for draw in _DRAWN_BY:
        yield from draw(frame, summary)
