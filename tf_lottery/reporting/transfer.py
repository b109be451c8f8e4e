"""The report of experiments that take tickets from each other: each target beside its sources."""

import dataclasses

import numpy as np
import pandas as pd

from tf_lottery.branches import BRANCHES, numbered
from tf_lottery.errors import UsageError
from tf_lottery.experiment import runs
from tf_lottery.reporting import page, results
from tf_lottery.reporting.pictures import transfer as pictures
from tf_lottery.reporting.tables import Table
from tf_lottery.runtime import storage
from tf_lottery.tasks.measure import Measures


@dataclasses.dataclass(frozen=True)
class Findings:
    """What a report of transfers is made of.

    Attributes:
      experiments: dict from the name of a target's folder to what its config.json holds.
      frame: DataFrame with the rows of `results.summarise` of all targets, and `target`, the name of its folder.
      measures: Measures, what all are judged by.
      level: int, the one that the table and the map are of; None where no level of all targets has a ticket that was
        taken from another experiment.
    """

    experiments: dict
    frame: pd.DataFrame
    measures: Measures
    level: int | None

    @property
    def chosen(self):
        """The rows at the level of table and map."""
        return self.frame[self.frame['level'] == self.level]


def targets(folders):
    """Those of some experiments' folders that take tickets from others and have finished runs: list of str."""
    return [folder for folder in folders if runs.read_config(folder).get('sources') and runs.is_done(
        folder, runs.Run(0, 0, 'ticket'))]


def find(folder, workdirs, density=None):
    """Reads the runs that targets have finished so far.

    Args:
      folder: what holds their folders.
      workdirs: list of str, of `targets`.
      density: float, near which table and map are to be; None for the lowest that all have.

    Returns:
      Findings.

    Raises:
      UsageError: no run has finished, targets are judged by different measures, or rewound to several steps.
    """
    summaries = {}
    for workdir in workdirs:
        name = workdir.removeprefix(f'{storage.without_slash(folder)}/')
        summaries[name] = results.summarise(results.load_results(workdir)).assign(target=name)
    frame = pd.concat(summaries.values(), ignore_index=True)
    if any(measures != frame['measures'][0] for measures in frame['measures']):
        raise UsageError(f'the experiments in {folder} are judged by different measures, so that one report cannot '
                         'show them: give the --workdir of one.')
    taken = frame[frame['branch'].map(_is_taken) & (frame['n'] > 0)]
    common = set.intersection(*(set(taken.loc[taken['target'] == name, 'level']) for name in summaries))
    level = None
    if common:
        mean = taken[taken['level'].isin(common)].groupby('level')['density'].mean()
        level = int(mean.idxmin() if density is None else np.abs(np.log(mean / density)).idxmin())
    stored = {name: runs.read_config(workdir) for name, workdir in zip(summaries, workdirs, strict=True)}
    return Findings(stored, frame, frame['measures'][0], level)


def _is_taken(branch):
    return BRANCHES[branch].origin is not None


def table(found):
    """The leading measure of every target at the level of the map, by branch: Table."""
    lead, rows = found.measures.lead, found.chosen
    order = list(numbered(rows.loc[rows['n'] > 0, 'branch']))
    cells = {(row['target'], row['branch']): _cell(lead, row, found.measures) for row in rows.to_dict('records')}
    dense = {row['target']: _cell(lead, row, found.measures) for row in found.frame[
        (found.frame['branch'] == 'ticket') & (found.frame['level'] == 0)].to_dict('records')}
    names = list(found.experiments)
    return Table('Tickets of other experiments',
                 f'{lead.axis()} at the end of training{_where(found)}: mean and range over the runs.',
                 ('trained', *(f'on {name}' for name in names)),
                 [('Dense network', *(dense.get(name, '-') for name in names)),
                  *((BRANCHES[branch].title, *(cells.get((name, branch), '-') for name in names))
                    for branch in order)])


def _where(found):
    if found.level is None:
        return ''
    own = found.chosen.loc[found.chosen['branch'].map(_is_taken), 'density']
    return f' at {results.percent(own.mean())} % of the weights (level {found.level})'


def _cell(lead, row, measures):
    if not row['n']:
        return '-'
    mean, low, high = (lead.shown(row[f'{measures.at_end()}_{name}']) for name in results.STATISTICS)
    return f'{mean} [{low}, {high}]' if row['n'] > 1 else mean


def _headline(found):
    """What the tickets of others come to on each target: a sentence."""
    lead, column, parts = found.measures.lead, f'{found.measures.at_end()}_mean', []
    for name in found.experiments:
        rows = found.chosen[(found.chosen['target'] == name) & (found.chosen['n'] > 0)].set_index('branch')[column]
        taken = [f'{lead.with_unit(value)} with tickets of {BRANCHES[branch].origin}'
                 for branch, value in rows.items() if branch.startswith('transferred_from_')]
        own = [f'{lead.with_unit(rows["ticket"])} with its own'] if 'ticket' in rows else []
        if taken:
            parts.append(f'on {name} {", ".join([*taken, *own])}')
    return f'{_where(found).strip().capitalize()}: {"; ".join(parts)}.' if parts else (
        'No level of all targets has a ticket that was taken from another experiment yet.')


def write(folder, found):
    """Writes the report of transfers into the folder report/ of the folder that holds the experiments.

    index.html is as of `report.write`; beside it lie its pictures and transfer.csv, a line per target, branch and
    level.

    Returns:
      The path of index.html.
    """
    folder = storage.without_slash(folder)
    place = storage.join(folder, 'report')
    left_out = ['measures', 'target', *results.paired(found.measures)]
    storage.write_text(storage.join(place, 'transfer.csv'), pd.concat(
        [found.frame[['target']], found.frame.drop(columns=left_out)], axis=1).to_csv(index=False))
    sections = page.draw(place, pictures.draw(found.frame, found.measures, found.level))
    return page.write(
        place, 'comparison.html.j2', name=folder.rpartition('/')[2], headline=_headline(found), notes=_notes(found),
        sections=sections, tables=[table(found)], experiments=found.experiments)


def _notes(found):
    """What the reader must know before the pictures."""
    if found.frame['diverged'].any():
        return ['Runs that diverged are left out of all means; transfer.csv counts them.']
    return []
