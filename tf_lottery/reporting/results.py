"""Finished runs as pandas DataFrames: one row per run, then one row per branch and level."""

import pandas as pd

from tf_lottery.branches import BRANCHES, numbered
from tf_lottery.errors import MissingFileError, UsageError
from tf_lottery.experiment import runs
from tf_lottery.experiment.config import flatten, restore
from tf_lottery.runtime import storage
from tf_lottery.tasks.measure import Measures
from tf_lottery.training.metrics import from_csv

# How `summarise` aggregates `Measures.columns`.
STATISTICS = ('mean', 'min', 'max')

# What lies on the edge is in, whatever the mean of some floats makes of it: a fraction of what is compared with.
_ROUNDING = 1e-9


def load_results(path):
    """Loads every run that was trained, of every experiment at or below a folder.

    Args:
      path: folder, local or remote; an experiment is a folder that holds config.json.

    Returns:
      DataFrame with one row per run, ordered by experiment, replicate, level, branch and copy. Columns: `workdir` and
      `experiment`, the experiment's folder and name; `run`, the run's folder below it; what its result.json holds
      (densities are fractions; `layers` is a dict from weight name to density; `measures` is the Measures that says
      what the run is judged by); and every value of the config under its full name, such as `config.pruning.fraction`.
      Values that a diverged run lacks are NaN. `outcome` is runs.FINISHED or runs.DIVERGED; `untrained` has the other
      runs.

    Raises:
      UsageError: no run has finished below `path`.
      CorruptFileError: a file is there but does not hold JSON.
    """
    rows = [row for workdir in storage.folders_with('config.json', path) for row in _rows(workdir)]
    if not rows:
        raise UsageError(f'{path} holds no finished run: give the --workdir of an experiment, or a folder of several, '
                         'once the first network has been trained.')
    frame = pd.DataFrame(rows)
    measured = [name for name in frame if name.startswith(('early_stop_', 'final_'))]
    frame = frame.astype(dict.fromkeys(measured, float))
    # A copy has one block for each dtype: of one for each of a hundred columns pandas warns whoever adds another.
    return frame.sort_values(['workdir', 'replicate', 'level', 'branch', 'copy'], ignore_index=True).copy()


def _rows(workdir):
    """One dict per run of the experiment in `workdir` that was trained."""
    experiment = storage.read_json(storage.join(workdir, 'config.json'))
    config = flatten(experiment['config'], 'config.')
    return [{'workdir': workdir, 'experiment': experiment['name'], 'run': run, **result,
             'measures': Measures.from_json(result.get('measures')), **config}
            for run, result in _read(workdir, _done(workdir, experiment))
            if result['outcome'] in (runs.FINISHED, runs.DIVERGED)]


def untrained(workdir, frame):
    """Loads the runs of an experiment that came to an end without being trained.

    Args:
      workdir: the experiment's folder.
      frame: its rows of `load_results`.

    Returns:
      DataFrame with one row per run: `run`, its folder, `branch`, `level`, `replicate`, `copy`, `outcome`
      (runs.EMPTIED or runs.LEFT_OUT), `after`, the folder of the run that it could not be made from (NaN where it is
      of none), and `reason`.
    """
    trained = set(frame['run'])
    others = [run for run in _done(workdir, runs.read_config(workdir)) if run not in trained]
    rows = [{'run': run, **result} for run, result in _read(workdir, others) if result['outcome'] in (
        runs.EMPTIED, runs.LEFT_OUT)]
    return pd.DataFrame(rows, columns=[
        'run', 'branch', 'level', 'replicate', 'copy', 'outcome', 'after', 'reason'])


def _done(workdir, experiment):
    """The folders of the runs that are done, relative to `workdir`; finished ones may not be listed yet."""
    return dict.fromkeys([*_listed(workdir), *_expected(workdir, experiment)])


def _expected(workdir, experiment):
    """The folders of the runs that are done of those that an experiment wants."""
    try:
        protocol = restore(experiment)
        wanted = runs.wanted(protocol)
    except (AttributeError, KeyError, TypeError, ValueError):
        # Another version's config: its runs are those that are listed.
        return []
    missing = set(runs.pending(workdir, protocol))
    return [run.folder for run in wanted if run not in missing]


def _listed(workdir):
    """Yields the folders of the runs that are listed as done, relative to `workdir`."""
    for replicate in storage.list_folder(storage.without_slash(workdir)):
        if replicate.startswith('replicate_'):
            below = storage.list_below(storage.join(workdir, replicate), 3)
            for level, run, name in sorted(path.split('/') for path in below):
                if level.startswith('level_') and name == 'result.json':
                    yield storage.join(replicate, level, run)


def _read(workdir, folders):
    """The results of some runs, and their outcomes: list of (the run's folder, dict)."""
    results = storage.all_at_once(lambda run: _result(workdir, run), folders)
    return [(run, {**result, 'outcome': runs.outcome(result)})
            for run, result in zip(folders, results, strict=True) if result]


def _result(workdir, run):
    """The result.json of a run, which is written last; None while it is not there."""
    try:
        return storage.read_json(storage.join(workdir, run, 'result.json'))
    except MissingFileError:
        return None


def judged_by(frame):
    """The Measures that all rows of a frame share.

    Args:
      frame: rows of `load_results` or of `summarise`.

    Raises:
      UsageError: there is no row, or runs have different ones.
    """
    if frame.empty:
        raise UsageError('the frame holds no run, so nothing says what is measured: leave at least one in it.')
    different = frame[frame['measures'] != frame['measures'].iloc[0]]
    if len(different):
        first, other = (storage.join(rows['workdir'].iloc[0], rows['run'].iloc[0]) for rows in (frame, different))
        raise UsageError(f'{first} and {other} are judged by different measures, so they cannot be compared: take the '
                         'runs of one, as in frame[frame.measures == frame.measures.iloc[0]], or delete the folders of '
                         'the others and run the same command again.')
    return frame['measures'].iloc[0]


def curves(frame):
    """Reads the evaluations of every run in a frame.

    Args:
      frame: rows of `load_results`.

    Returns:
      DataFrame with one row per evaluation: `workdir`, `run`, `branch`, `level`, `replicate`, `copy`, `density` and
      `rewind_step` of the run, then the columns of its metrics.csv.
    """
    names = ['workdir', 'run', 'branch', 'level', 'replicate', 'copy', 'density', 'rewind_step']
    trained = frame[names].to_dict('records')

    def evaluations(run):
        text = storage.read_text(storage.join(run['workdir'], run['run'], 'metrics.csv'))
        return [{**run, **row} for row in from_csv(text)]

    rows = [row for rows in storage.all_at_once(evaluations, trained) for row in rows]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=names)


def paired(measures):
    """The columns of `summarise` that are over pairs, of a run and the dense network of its own replicate: a tuple."""
    return ('pairs', *(f'{half}_{column}_{statistic}' for half in ('paired', 'dense') for column in measures.columns
                       for statistic in STATISTICS))


def summarise(frame):
    """Aggregates the runs of one experiment, at one rewinding step, over replicates and copies.

    Args:
      frame: rows of `load_results`, of one experiment; of a sweep, those of one key of `by_rewinding_step`.

    Returns:
      DataFrame with one row per branch and level, in the order of BRANCHES: `branch`, `level`, `density` (mean), `n`
      (the runs that the means are over), `diverged` (the runs that they leave out), and `_mean`, `_min` and `_max` of
      each of `Measures.columns`, NaN where all runs diverged. Level 0 of 'ticket' is the dense network, which all
      branches share. Then the columns of `paired`, for a replicate may have finished its dense network and not yet this
      level: `pairs` (those of the runs whose replicate's dense network has finished and not diverged), and the same
      numbers over the pairs: `paired_` of the runs, `dense_` of the dense networks, NaN where there is no pair. Last
      `measures`, the Measures of all the runs.

    Raises:
      UsageError: the frame holds several experiments, several rewinding steps, or runs judged by different measures.
    """
    workdirs = sorted(set(frame['workdir']))
    if len(workdirs) > 1:
        raise UsageError(f'{len(workdirs)} experiments cannot be averaged, {", ".join(workdirs)}: summarise one, as in '
                         f'summarise(frame[frame.workdir == {workdirs[0]!r}]).')
    steps = _rewinding_steps(frame)
    if len(steps) > 1:
        raise UsageError(f'rewinding steps {", ".join(map(str, steps))} cannot be averaged: summarise one, as in '
                         f'summarise(by_rewinding_step(frame)[{steps[0]}]).')
    measures = judged_by(frame)
    columns = list(measures.columns)
    beside = beside_dense(frame)
    halves = {f'paired_{column}': beside[column].where(beside[f'dense_{column}'].notna()) for column in columns}
    halves |= {f'dense_{column}': beside[f'dense_{column}'] for column in columns}
    keys = [frame['branch'], frame['level']]
    measured = frame[columns].mask(frame['diverged']).assign(**halves).groupby(keys).agg(list(STATISTICS))
    for column in (*columns, *halves):
        # The mean of equal numbers may be rounded to one beside them.
        measured[column, 'mean'] = measured[column, 'mean'].clip(measured[column, 'min'], measured[column, 'max'])
    measured.columns = ['_'.join(names) for names in measured.columns]
    counted = frame.assign(**halves).groupby(keys).agg(
        density=('density', 'mean'), n=('diverged', lambda diverged: (~diverged).sum()), diverged=('diverged', 'sum'),
        pairs=(f'dense_{measures.at_end()}', 'count'))
    order = numbered(frame['branch'])
    return counted.join(measured).assign(measures=measures).reset_index().sort_values(
        ['branch', 'level'], key=lambda column: column.map(order) if column.name == 'branch' else column,
        ignore_index=True)


def beside_dense(frame):
    """Sets each run beside the dense network of its own replicate: what is compared with it must have its seeds.

    Args:
      frame: rows of `load_results`.

    Returns:
      The rows that have not diverged, and for each of `Measures.columns` one more, such as `dense_early_stop_step`,
      with what the dense network came to: NaN where that has not finished or has diverged. It is beside itself.
    """
    finished = frame[~frame['diverged']]
    dense = finished[_is_dense(finished)].set_index(['workdir', 'replicate'])[list(judged_by(frame).columns)]
    return finished.join(dense.add_prefix('dense_'), on=['workdir', 'replicate'])


def _is_dense(frame):
    return (frame['level'] == 0) & (frame['branch'] == 'ticket')


def _rewinding_steps(frame):
    """The rewinding steps of an experiment's runs, int, in rising order; the dense network is of all of them."""
    return sorted(map(int, set(frame['rewind_step'][~_is_dense(frame)]) or set(frame['rewind_step'])))


def by_rewinding_step(frame):
    """Splits the runs of one experiment by the step that they are rewound to.

    Args:
      frame: rows of `load_results`, of one experiment.

    Returns:
      dict from the rewinding step k, int, in rising order, to the rows of k; the dense network is in each.
    """
    return {step: frame[_is_dense(frame) | (frame['rewind_step'] == step)].reset_index(drop=True)
            for step in _rewinding_steps(frame)}


def summaries(frame):
    """`summarise` for each rewinding step of an experiment: dict from k, int, in rising order, to DataFrame."""
    # They are compared with each other, too.
    judged_by(frame)
    return {step: summarise(rows) for step, rows in by_rewinding_step(frame).items()}


def dense(summary):
    """The summary's row of the dense network; None where it has not finished or always diverged."""
    rows = summary[(summary['branch'] == 'ticket') & (summary['level'] == 0) & (summary['n'] > 0)]
    return None if rows.empty else rows.iloc[0]


def lacks_pairs(summary):
    """Whether means over a level of 'ticket' and over the dense network are not all of the same replicates."""
    tickets = summary[(summary['branch'] == 'ticket') & (summary['n'] > 0)]
    return len({*tickets['n'], *tickets['pairs']}) > 1


def smallest_winning_ticket(summary):
    """The sparsest level of 'ticket' that learns no slower than the dense network and no worse; None if there is none.

    A winning ticket has its early stop no later than the dense network, and is no worse on the test set there by the
    leading measure, both as means over the replicates that have finished the two. Where there is no early stop, all
    networks train equally long, and what counts is the end of training.

    Source: 1803.03635, section 1.
    """
    measures = judged_by(summary)
    tickets = summary[(summary['branch'] == 'ticket') & (summary['level'] > 0)]
    if measures.early_stop:
        tickets = tickets[tickets['paired_early_stop_step_mean'] <= tickets['dense_early_stop_step_mean']]
    judged = measures.at_early_stop() if measures.early_stop else measures.at_end()
    winning = tickets[is_no_worse(measures.lead, tickets[f'paired_{judged}_mean'], tickets[f'dense_{judged}_mean'])]
    return None if winning.empty else winning.loc[winning['density'].idxmin()]


def is_no_worse(measure, value, reference, by=0.0):
    """Whether a value is at most `by` worse than a reference: bools of the shape of the values.

    Args:
      measure: Measure.
      value, reference: floats, or Series of floats with the same index; nothing is no worse than NaN.
      by: float, as the values are, before they are scaled to the measure's unit.
    """
    return measure.gain(value, reference) >= -by - _ROUNDING * abs(reference)


def sparsest_within(summary, points):
    """The sparsest level of 'ticket', the dense network included, that is worse at the end of training than the dense
    network by at most so many points, as means over the replicates that have finished the two; None without a dense
    network.

    Args:
      summary: DataFrame of `summarise`.
      points: float, in the unit of the leading measure; of percentages, percentage points.
    """
    measures = judged_by(summary)
    value, reference = (summary[f'{half}_{measures.at_end()}_mean'] for half in ('paired', 'dense'))
    within = summary[(summary['branch'] == 'ticket')
                     & is_no_worse(measures.lead, value, reference, points / measures.lead.scale)]
    return None if within.empty else within.loc[within['density'].idxmin()]


def _gains(summary):
    """How much better each row is at the end of training than the dense networks of its replicates."""
    measures = judged_by(summary)
    value, reference = (summary[f'{half}_{measures.at_end()}_mean'] for half in ('paired', 'dense'))
    return measures.lead.gain(value, reference)


def level_to_ship(summaries, points=None):
    """What is exported unless another is asked for, of all rewinding steps.

    The smallest winning ticket, else the ticket that is best at the end of training, compared with the dense networks
    of the same replicates; or, with `points`, the ticket of `sparsest_within`.

    Args:
      summaries: dict from rewinding step to DataFrame of `summarise`.
      points: float, as in `sparsest_within`, or None.

    Returns:
      (rewinding step, level), two ints.

    Raises:
      UsageError: there is no dense network for the points to count from.
    """
    if points is not None:
        chosen = {step: sparsest_within(summary, points) for step, summary in summaries.items()}
        if any(level is None for level in chosen.values()):
            raise UsageError(f'export.within_points is {points}, but no dense network has finished to compare with: '
                             'give --level.')
    else:
        chosen = {step: smallest_winning_ticket(summary) for step, summary in summaries.items()}
        chosen = {step: winner for step, winner in chosen.items() if winner is not None}
    if chosen:
        step = min(chosen, key=lambda step: chosen[step]['density'])
        return step, int(chosen[step]['level'])
    return _best(summaries)


def _best(summaries):
    """The ticket that gains most on the dense network, as (rewinding step, level); where none has finished, level 0."""
    rows = pd.concat([summary.assign(rewind_step=step) for step, summary in summaries.items()], ignore_index=True)
    tickets = rows[(rows['branch'] == 'ticket') & (rows['n'] > 0)]
    if tickets.empty:
        return next(iter(summaries)), 0
    gains = _gains(tickets)
    if gains.isna().all():
        # Without a dense network to compare with, there is only what each level came to.
        measures = judged_by(tickets)
        gains = measures.lead.gain(tickets[f'{measures.at_end()}_mean'], 0)
    best = tickets.loc[gains.idxmax()]
    return int(best['rewind_step']), int(best['level'])


def percent(density):
    """A density the way the papers write it, without the sign: 100, 51.3, 3.6, 0.43."""
    value = 100 * density
    if value >= 99.95:
        return '100'
    return f'{value:.1f}' if value >= 0.95 else f'{value:.2g}'


def cells(summary):
    """The numbers of a summary as people read them.

    Returns:
      list of dicts of strings, one per row of `summary`: `level`, `weights` (remaining, in %), `n`, `diverged`, and
      under each of `Measures.columns` a pair: the mean, and the range over several runs or ''. Both are in the unit of
      the column's measure.
    """
    measures = judged_by(summary)
    return [{'level': str(row['level']), 'weights': percent(row['density']), 'n': str(row['n']),
             'diverged': str(row['diverged']),
             **{column: _mean_and_range(row, column, measures.measure(column)) for column in measures.columns}}
            for row in summary.to_dict('records')]


def _mean_and_range(row, column, measure):
    if not row['n']:
        return '-', ''
    mean, low, high = (measure.shown(value) if measure else f'{value:,.0f}'
                       for value in (row[f'{column}_{statistic}'] for statistic in STATISTICS))
    # A minus sign in front of a number is none between two.
    between = ' to ' if row[f'{column}_min'] < 0 else '-'
    return mean, f'[{low}{between}{high}]' if row['n'] > 1 else ''


def difference(measure, value):
    """How far apart two values of a Measure are, as people read it, such as '0.2 points'."""
    return f'{measure.scale * value:g} {measure.points}'.rstrip()


def titles(measures, of):
    """What stands above the numbers of `cells`: dict from each of `Measures.columns` to str.

    Args:
      measures: Measures.
      of: function from a Measure to what its columns begin with, such as 'test perplexity '.
    """
    above = {'early_stop_step': 'early-stop step'}
    for measure in measures.each:
        above[measures.at_early_stop(measure)] = measure.axis(f'{of(measure)}at early stop')
        above[measures.at_end(measure)] = measure.axis(f'{of(measure)}at the end')
    return {column: above[column] for column in measures.columns}


def table(summary):
    """A summary as text for the terminal: a block per branch, a line per level.

    Args:
      summary: DataFrame of `summarise`.
    """
    measures = judged_by(summary)
    several = len(measures.each) > 1
    names = {'level': 'level', 'weights': 'weights left (%)', 'n': 'runs', 'diverged': 'diverged',
             **titles(measures, lambda measure: f'{measure.title} ' if several else '')}
    if not summary['diverged'].any():
        del names['diverged']
    rows = cells(summary)
    for column in measures.columns:
        width = max(len(row[column][0]) for row in rows)
        for row in rows:
            mean, extent = row[column]
            row[column] = f'{mean:>{width}} {extent}'
    widths = {name: max(len(row[name]) for row in [names, *rows]) for name in names}

    def line(row):
        return '  '.join(row[name].ljust(widths[name]) if name in measures.columns else row[name].rjust(widths[name])
                         for name in names).rstrip()

    there, what = (' and '.join(measure.on_test for measure in chosen) for chosen in (
        [measure for measure in measures.each if not measure.ends], measures.each))
    if measures.early_stop:
        what = f'early-stop step and {what} there and at the end' if there == what else (
            f'early-stop step and {there} there, {what} at the end')
    else:
        what = f'{what} at the end'
    lines = [f'{what[0].upper()}{what[1:]}: mean [min-max] over the runs.']
    for branch, rows_of_branch in summary.groupby('branch', sort=False):
        lines += ['', BRANCHES[branch].title, line(names), *(line(rows[number]) for number in rows_of_branch.index)]
    return '\n'.join(lines) + '\n'
