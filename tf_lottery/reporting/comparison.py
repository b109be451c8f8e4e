"""Several experiments side by side: what differs between them, and which does best at the same density."""

import dataclasses
import itertools
import json
import math

import pandas as pd

from tf_lottery.branches import BRANCHES
from tf_lottery.errors import StorageError, UsageError
from tf_lottery.experiment import runs
from tf_lottery.experiment.config import EXTENT, VALUES, flatten, restored
from tf_lottery.reporting import page, pictures, results
from tf_lottery.reporting.pictures import comparison
from tf_lottery.reporting.tables import Table
from tf_lottery.runtime import storage
from tf_lottery.tasks.measure import Measures

# Densities that are equal but for the rounding of layers: a fraction of each other.
_SAME = 0.05


@dataclasses.dataclass(frozen=True)
class Findings:
    """What is compared.

    Attributes:
      experiments: dict from the name of an experiment's folder to what its config.json holds.
      keys: list of str, the keys of the configs whose values are the names.
      others: list of str, the other keys that differ.
      frame: DataFrame with the rows of `results.summarise` of all experiments at each rewinding step, and `experiment`,
        the name of its folder, `rewind_step`, `name`, and `place`, equal for the rows at one of the densities that are
        compared, in falling order of density; NaN for all other rows.
      measures: Measures, what all are judged by.
      unfinished: list of the folders of experiments without a finished run.
    """

    experiments: dict
    keys: list
    others: list
    frame: pd.DataFrame
    measures: Measures
    unfinished: list

    @property
    def shown(self):
        """The rows at the densities that are compared."""
        return self.frame[self.frame['place'].notna()]

    @property
    def title(self):
        """str, what is compared."""
        return f'{"Criteria" if self.keys == ["pruning.criterion"] else "Experiments"} at the same density'


def below(folder):
    """The folders of the experiments that lie in a folder: list of str."""
    inner = [storage.join(folder, name) for name in sorted(storage.list_below(folder, 1))]
    return list(itertools.compress(inner, storage.all_at_once(_is_experiment, inner)))


def _is_experiment(folder):
    try:
        return runs.is_claimed(folder)
    except StorageError:
        # Beside the experiments there may be what nobody else may read.
        return False


def find(folder):
    """Reads the runs that several experiments have finished so far.

    Args:
      folder: what holds their folders.

    Returns:
      Findings.

    Raises:
      UsageError: there is one experiment or none, they are judged by different measures, or have no density in common.
    """
    folder, workdirs = storage.without_slash(folder), below(folder)
    if len(workdirs) < 2:
        raise UsageError(f'{folder} holds one experiment only, {workdirs[0]}: give that as --workdir, or a folder of '
                         'several.')
    stored = {workdir.removeprefix(f'{folder}/'): runs.read_config(workdir) for workdir in workdirs}
    summaries, unfinished = {}, []
    for name, workdir in zip(stored, workdirs, strict=True):
        try:
            summaries[name] = results.summaries(results.load_results(workdir))
        except UsageError:
            unfinished.append(name)
    if len(summaries) < 2:
        raise UsageError(f'{folder} has finished runs of fewer than two experiments: train another one first, or give '
                         'the --workdir of one.')
    measures = _measures(folder, summaries)
    keys, others, names = _names({name: stored[name] for name in summaries})
    rows = [summary.assign(experiment=name, rewind_step=step) for name, steps in summaries.items()
            for step, summary in steps.items()]
    frame = pd.concat(rows, ignore_index=True)
    several = any(len(steps) > 1 for steps in summaries.values())
    frame['name'] = [_name(names[row['experiment']], row, several) for row in frame.to_dict('records')]
    frame['place'] = _places(comparison.comparable(frame))
    if frame['place'].isna().all():
        raise UsageError(f'the experiments in {folder} have no density in common, at which they could be compared: '
                         'give them the same pruning.fraction, and train a pruned level of each.')
    return Findings(stored, keys, others, frame, measures, unfinished)


def _measures(folder, summaries):
    """What all experiments are judged by.

    Raises:
      UsageError: they are judged by different measures.
    """
    found = {name: results.judged_by(next(iter(steps.values()))) for name, steps in summaries.items()}
    (first, measures), *rest = found.items()
    for other, its in rest:
        if its != measures:
            raise UsageError(f'{storage.join(folder, first)} and {storage.join(folder, other)} are judged by different '
                             'measures, so that they cannot be compared: give a folder of those that share theirs, or '
                             'one of them as --workdir.')
    return measures


def _names(stored):
    """What tells experiments apart: (keys whose values name them, other keys that differ, {folder: name})."""
    values = {folder: {key: json.dumps(value) for key, value in flatten(restored(each['config']).to_dict()).items()}
              for folder, each in stored.items()}
    differing = [key for key in VALUES if key != 'name' and key not in EXTENT
                 and len({each[key] for each in values.values()}) > 1]

    def told_apart(keys):
        return len({tuple(each[key] for key in keys) for each in values.values()})

    # As few keys as say which is which, those that say most first.
    keys = []
    while told_apart(keys) < told_apart(differing):
        keys.append(max(differing, key=lambda key: told_apart([*keys, key])))
    names = {folder: _words(keys, each) for folder, each in values.items()}
    if told_apart(keys) < len(values):
        names = {folder: f'{name} ({folder})' if name else folder for folder, name in names.items()}
    return keys, [key for key in differing if key not in keys], names


def _words(keys, values):
    """'obd', or of several keys 'criterion=obd, scope=global'."""
    words = [str(json.loads(values[key])) for key in keys]
    if len(keys) == 1:
        return words[0]
    return ', '.join(f'{key.rpartition(".")[2]}={word}' for key, word in zip(keys, words, strict=True))


def _name(name, row, several):
    """The name of a row: of its experiment, and of its branch and rewinding step where these are not the only ones."""
    parts = [name, *([BRANCHES[row['branch']].title] if row['branch'] != 'ticket' else []),
             *([f'rewound to {row["rewind_step"]:,}'] if several else [])]
    return ', '.join(parts)


def _places(rows):
    """Numbers some of the densities that most experiments have in common: Series of floats of the rows at them."""
    numbers, first, number = {}, None, -1
    for density in sorted(set(rows['density']), reverse=True):
        if first is None or density < first * (1 - _SAME):
            first, number = density, number + 1
        numbers[density] = number
    places = rows['density'].map(numbers)
    counts = rows['experiment'].groupby(places).nunique()
    common = counts.index[(counts == counts.max()) & (counts > 1)]
    chosen = rows.assign(place=places.astype(float))[places.isin(pictures.spread(common, comparison.DENSITIES))]
    # An experiment that prunes little may come by a density twice.
    return chosen.drop_duplicates(['name', 'place'])['place']


def write(folder, found):
    """Writes the comparison into the folder report/ of the folder that holds the experiments.

    index.html is as of `report.write`; beside it lie its picture and comparison.csv, a line per experiment, branch,
    level and rewinding step.

    Returns:
      The path of index.html.
    """
    folder = storage.without_slash(folder)
    place = storage.join(folder, 'report')
    left_out = ['measures', *results.paired(found.measures)]
    storage.write_text(storage.join(place, 'comparison.csv'), found.frame.drop(columns=left_out)[
        ['name', 'experiment', *(name for name in found.frame if name not in (
            *left_out, 'name', 'experiment', 'place'))]].to_csv(index=False))
    return page.write(
        place, 'comparison.html.j2', name=folder.rpartition('/')[2], headline=_headline(found), notes=_notes(found),
        sections=page.draw(place, _draw(found)), tables=[table(found)], experiments=found.experiments)


def _draw(found):
    """Yields the Picture."""
    rows, lead = found.shown, found.measures.lead
    names = list(dict.fromkeys(found.frame['name']))
    shown = comparison.columns(rows, found.measures).assign(
        name=rows['name'], place=rows['place'], look=rows['name'].map(names.index))
    yield comparison.picture('experiments_at_density', found.title, shown, lead, _dense(found), 'At the same density')


def _dense(found):
    """The dense networks of all experiments: dict of `mean`, `min` and `max`, or None without any."""
    frame = found.frame
    rows = comparison.columns(
        frame[(frame['branch'] == 'ticket') & (frame['level'] == 0) & (frame['n'] > 0)], found.measures)
    if rows.empty:
        return None
    return {'mean': rows['mean'].mean(), 'min': rows['min'].min(), 'max': rows['max'].max()}


def table(found):
    """The leading measure of everything that is compared, by density: Table."""
    lead, rows = found.measures.lead, found.shown
    places = sorted(set(rows['place']))
    header = [f'{comparison.share(rows[rows["place"] == place])} %' for place in places]
    cells = {name: {row['place']: _cell(lead, row) for row in own.assign(
        **comparison.columns(own, found.measures)).to_dict('records')}
        for name, own in rows.groupby('name', sort=False)}
    column = f'{found.measures.at_end()}_mean'
    last = rows[rows['place'] == places[-1]].set_index('name')[column]
    order = sorted(cells, key=lambda name: lead.gain(last[name], 0) if name in last else -math.inf, reverse=True)
    dense = _dense(found)
    said = '' if dense is None else f' The dense networks come to {lead.with_unit(dense["mean"])} on average.'
    what = f'by {", ".join(found.keys)}' if found.keys else 'by folder'
    return Table(found.title, f'{lead.axis()} at the end of training, {what} and by weights remaining: mean and range '
                 f'over the runs, the best at the last density on top.{said}', ('', *header),
                 [(name, *(cells[name].get(place, '-') for place in places)) for name in order])


def _cell(lead, row):
    mean, low, high = (lead.shown(row[statistic]) for statistic in results.STATISTICS)
    return f'{mean} [{low}, {high}]' if row['n'] > 1 else mean


def _headline(found):
    """What does best at each density: a sentence."""
    lead, column = found.measures.lead, f'{found.measures.at_end()}_mean'
    parts = []
    for _, rows in found.shown.groupby('place'):
        best = rows.loc[lead.gain(rows[column], 0).idxmax()]
        parts.append(f'at {comparison.share(rows)} % of the weights {best["name"]} does best, with '
                     f'{lead.with_unit(best[column])}')
    sentence = '; '.join(parts)
    return f'{sentence[0].upper()}{sentence[1:]}.'


def _notes(found):
    """What the reader must know before the picture."""
    notes = []
    if found.others:
        notes.append(f'The experiments differ in more than their names say: {", ".join(found.others)}.')
    if found.unfinished:
        notes.append(f'Left out, for no run of theirs has finished: {", ".join(found.unfinished)}.')
    if found.frame['diverged'].any():
        notes.append('Runs that diverged are left out of all means; comparison.csv counts them.')
    return notes
