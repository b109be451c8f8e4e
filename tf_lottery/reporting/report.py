"""The report of an experiment: one HTML file with its pictures inside, the same pictures as PNG, the numbers as CSV."""

import dataclasses
import json

import pandas as pd

from tf_lottery.branches import BRANCHES, numbered
from tf_lottery.experiment import runs
from tf_lottery.experiment.config import restore
from tf_lottery.reporting import film, page, results, tables
from tf_lottery.reporting.analysis import connectivity, construction, deletion, retraining, stability
from tf_lottery.reporting.pictures import comparison, curves, density, sweep, tickets
from tf_lottery.reporting.pictures import connectivity as instability
from tf_lottery.reporting.pictures import construction as widths
from tf_lottery.reporting.pictures import deletion as damage
from tf_lottery.reporting.pictures import retraining as methods
from tf_lottery.reporting.pictures import stability as distances
from tf_lottery.runtime import storage

# What draws the pictures, in the order of the page: functions from runs and their summary to Pictures.
_DRAWN_BY = (density.draw, comparison.draw, curves.draw, tickets.draw)


# Why runs were not trained, by their outcome.
_UNTRAINED = {runs.EMPTIED: 'the mask that they start from leaves a layer without weights',
              runs.LEFT_OUT: 'a run that they are made from ended without weights to go on from'}


@dataclasses.dataclass(frozen=True)
class Findings:
    """What a report is made of.

    Attributes:
      experiment: dict, what its config.json holds.
      frame: DataFrame of `results.load_results`.
      summaries: dict from rewinding step to DataFrame of `results.summarise`.
      samples: DataFrame of `stability.samples`.
      lines: DataFrame of `connectivity.lines`.
      built: DataFrame of `construction.constructions`.
      losses: DataFrame of `deletion.losses`.
      film: film.Shown.
    """

    experiment: dict
    frame: pd.DataFrame
    summaries: dict
    samples: pd.DataFrame
    lines: pd.DataFrame
    built: pd.DataFrame
    losses: pd.DataFrame
    film: film.Shown

    @property
    def measures(self):
        """Measures, what all the runs are judged by."""
        return results.judged_by(self.frame)


def find(workdir, task=None):
    """Reads and analyses the runs that an experiment has finished so far, and films them.

    Args:
      workdir: the experiment's folder.
      task: as of `film.find`.

    Returns:
      Findings.

    Raises:
      UsageError: the folder is not an experiment's, or no run has finished.
    """
    experiment = runs.read_config(workdir)
    frame = results.load_results(workdir)
    summaries = results.summaries(frame)
    return Findings(experiment, frame, summaries, stability.samples(workdir, frame), connectivity.lines(frame),
                    construction.constructions(frame), deletion.losses(frame),
                    film.find(workdir, experiment, frame, summaries, task))


def write(workdir, found):
    """Writes the report of an experiment into its folder report/.

    index.html needs no other file and no network; beside it lie its pictures (*.png), what `film.find` makes, runs.csv
    with a line per run and summary.csv with a line per branch and level (`results.summarise` without `results.paired`),
    and where there is something to say, stability.csv, connectivity.csv, construction.csv and deletion.csv.

    Args:
      workdir: the experiment's folder.
      found: Findings of `find`.

    Returns:
      The path of index.html.
    """
    folder = storage.join(workdir, 'report')
    for name, table in _csv_tables(found).items():
        if len(table):
            storage.write_text(storage.join(folder, f'{name}.csv'), table.to_csv(index=False))
    sections = page.draw(folder, pictures(found)) | found.film.pictures
    return page.write(folder, 'report.html.j2', **_contents(found), sections=sections)


def _csv_tables(found):
    """The tables that lie beside the page, by name."""
    left_out = ['measures', *results.paired(found.measures)]
    summaries = [summary.drop(columns=left_out).assign(rewind_step=step)
                 for step, summary in found.summaries.items()]
    return {'runs': _runs_table(found.frame), 'summary': pd.concat(summaries),
            'stability': stability.table(found.frame, found.samples),
            'connectivity': connectivity.table(found.frame, found.lines), 'construction': found.built,
            'deletion': found.losses}


def _runs_table(frame):
    """The runs without the config, which all share, and with a column per layer."""
    layers = pd.DataFrame(frame['layers'].tolist()).add_prefix('density.')
    own = [name for name in frame if name not in ('workdir', 'layers', 'measures') and not name.startswith('config.')]
    return frame[own].join(layers)


def _contents(found):
    """What the page says beside its pictures."""
    experiment, measures = found.experiment, found.measures
    return {
        'name': experiment['name'], 'headline': headline(found.summaries), 'notes': _notes(found),
        'blocks': _blocks(found.summaries), 'measures': measures,
        'titles': results.titles(measures, lambda measure: f'{measure.on_test} '),
        'tables': tables.tables(found.frame, found.samples, found.lines, found.built),
        'diverged': found.frame['diverged'].any(),
        'command': experiment['command'], 'versions': experiment['versions'],
        'config': json.dumps(experiment['config'], indent=2)}


def _blocks(summaries):
    """The tables of what each level came to: list of (title, rows of `results.cells`)."""
    blocks = []
    for step, summary in summaries.items():
        rows = results.cells(summary)
        where = f', rewound to step {step:,}' if len(summaries) > 1 else ''
        blocks += [(BRANCHES[branch].title + where, [rows[number] for number in group.index])
                   for branch, group in summary.groupby('branch', sort=False)]
    return blocks


def headline(summaries):
    """The outcome in a sentence or two: the smallest winning ticket, or why there is none.

    Args:
      summaries: dict from rewinding step to DataFrame of `results.summarise`; of several, the one with the smallest
        winning ticket counts.
    """
    step, _ = results.level_to_ship(summaries)
    sentence = _outcome(summaries[step])
    if len(summaries) == 1:
        return sentence
    return f'Of the rewinding steps {", ".join(f"{one:,}" for one in summaries)}, step {step:,} does best. {sentence}'


def _outcome(summary):
    measures = results.judged_by(summary)
    dense, winner = results.dense(summary), results.smallest_winning_ticket(summary)
    if dense is None:
        return 'The dense network has not finished or has diverged, so there is nothing to compare tickets with.'
    tickets = summary[(summary['branch'] == 'ticket') & (summary['level'] > 0)]
    early, (_, lowest), no_worse = measures.early_stop_title, measures.early_stop_extreme, measures.lead.no_worse()
    own = f'its {early} is {lowest}' if early else 'it ends'
    theirs = 'that of the dense network' if early else 'the dense network'
    if tickets.empty:
        others = summary[(summary['level'] > 0) & (summary['n'] > 0)]
        if len(others):
            return (f'There is no winning ticket among the branches. Of the dense network: {own} '
                    f'{_reached(dense, "dense", measures)}. {_best(others, measures)}')
        return f'Only the dense network has finished: {own} {_reached(dense, "dense", measures)}.'
    if winner is None:
        same = results.lacks_pairs(summary)
        theirs += ' of the same replicate' if same else f', {_reached(dense, "dense", measures)}'
        lacks = (f'the {early} of none is {lowest} as early as {theirs}, and with {no_worse}' if early else
                 f'none ends with {no_worse} than {theirs}')
        return f'No winning ticket was found at levels 1 to {tickets["level"].max()}: {lacks}.'
    which = '' if winner['pairs'] == dense['n'] else f'of the same replicates ({winner["pairs"]} of {dense["n"]}) '
    return (f'The smallest winning ticket keeps {results.percent(winner["density"])} % of the weights (level '
            f'{winner["level"]}): {own} {_reached(winner, "paired", measures)}; {theirs} '
            f'{which}{_reached(winner, "dense", measures)}.')


def _best(rows, measures):
    """Which of some rows of a summary is best where training ends: a sentence."""
    column = f'{measures.at_end()}_mean'
    best = rows.loc[measures.lead.gain(rows[column], 0).idxmax()]
    return (f'At the end of training {BRANCHES[best["branch"]].title!r} is best of the others, with '
            f'{measures.lead.with_unit(best[column])} {measures.lead.on_test} at {results.percent(best["density"])} '
            '% of the weights.')


def _reached(row, half, measures):
    """Where either half of the pairs of a summary's row is judged, and what it came to: 'at step 900, with ...'."""
    column = measures.at_early_stop() if measures.early_stop else measures.at_end()
    reached = f'with {measures.lead.with_unit(row[f"{half}_{column}_mean"])} {measures.lead.on_test}'
    reached = f'{reached} at the end' if measures.lead.ends else reached
    return f'at step {row[f"{half}_early_stop_step_mean"]:,.0f}, {reached}' if measures.early_stop else reached


def _notes(found):
    """What the reader must know before the pictures: sentences on what is missing."""
    notes, frame = [], found.frame
    diverged = frame[frame['diverged']]
    if len(diverged):
        notes.append(f'Left out of all means, because the loss stopped being finite: {_count_by_branch(diverged)}.')
    untrained = results.untrained(frame['workdir'][0], frame)
    for outcome, those in untrained.groupby('outcome'):
        notes.append(f'Not trained, because {_UNTRAINED[outcome]}: {_count_by_branch(those)}.')
    notes += [_own(branch, own) for branch, own in _owned(frame).items()]
    missing = _missing(found.experiment, {*frame['run'], *untrained['run']})
    if len(missing):
        notes.append(f'Runs not there yet: {_count_by_branch(missing)}.')
    if any(map(results.lacks_pairs, found.summaries.values())):
        notes.append('Not all levels have numbers of the same replicates: means are over those that have, and whether '
                     'a ticket wins is asked of each replicate beside its own dense network.')
    if found.film.obstacle:
        notes.append(found.film.obstacle)
    if found.experiment['config']['pruning']['levels'] and not frame['level'].any():
        notes.append('Pictures against density appear once a pruned level has finished.')
    return notes


def _owned(frame):
    """What branches that take from another experiment have of their own: dict from branch to names of variables."""
    if 'own' not in frame:
        return {}
    owning = frame[frame['own'].notna()]
    return dict(zip(owning['branch'], owning['own'], strict=True))


def _own(branch, names):
    return (f'{BRANCHES[branch].title}: that source has {", ".join(names)} in no such shape, so that here they are '
            'dense and of this experiment itself (transfer.own).')


def _missing(experiment, done):
    """The runs that belong to the experiment and are not done: DataFrame with their branches."""
    missing = [run.branch for run in runs.wanted(restore(experiment)) if run.folder not in done]
    return pd.DataFrame({'branch': missing})


def _count_by_branch(frame):
    counts = frame.groupby('branch').size()
    return ', '.join(f'{BRANCHES[branch].title} ({counts[branch]})' for branch in numbered(counts.index))


def pictures(found):
    """Yields the Pictures that can be drawn of Findings."""
    if len(found.summaries) > 1:
        yield from sweep.draw(found.summaries, found.samples)
        yield from instability.draw_sweep(found.lines, found.measures.on_the_way)
        yield from _of_best(found)
    else:
        for draw in _DRAWN_BY:
            yield from draw(found.frame, *found.summaries.values())
        yield from distances.draw(found.samples)
    yield from instability.draw(found.lines, found.measures.on_the_way)
    yield from widths.draw(found.built, found.measures.lead)
    yield from damage.draw(found.losses)
    published = retraining.published(found.experiment['config'], found.measures)
    yield from methods.draw(retraining.best(found.frame), found.measures.lead, published)


def _of_best(found):
    """Yields what is drawn of one rewinding step: of a sweep, of the step that does best."""
    step, _ = results.level_to_ship(found.summaries)
    frame = results.by_rewinding_step(found.frame)[step]
    for draw in _DRAWN_BY:
        for picture in draw(frame, found.summaries[step]):
            yield dataclasses.replace(picture, caption=f'Rewound to step {step:,}. {picture.caption}')
