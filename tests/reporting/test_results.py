"""Tests of tf_lottery/reporting/results.py on hand-made runs."""

import math
import re
import subprocess
import sys

import pandas as pd
import pytest
from fake_files import fail
from fake_runs import (
    CONTROL,
    LANGUAGE,
    REGRESSION,
    TRANSLATION,
    frames,
    save_experiment,
    save_run,
    save_untrained,
)

from tf_lottery.errors import CorruptFileError, StorageError, UsageError
from tf_lottery.reporting import results
from tf_lottery.runtime import storage
from tf_lottery.tasks.measure import CLASSIFICATION


@pytest.fixture
def workdir(tmp_path):
    """Two replicates of a dense network, a ticket that wins, and two reinitialisations each, one of which diverged."""
    folder = str(tmp_path / 'tiny')
    save_experiment(folder, levels=1, branches=('ticket', 'random_reinit'), replicates=2, reinits=2)
    for replicate, shift in enumerate((0.0, 0.02)):
        save_run(folder, 'ticket', 0, replicate, step=1000 + 400 * replicate, accuracy=0.90 + shift, final=0.80)
        save_run(folder, 'ticket', 1, replicate, step=800, accuracy=0.92 + shift, final=0.82 + shift)
        for copy in range(2):
            save_run(folder, 'random_reinit', 1, replicate, copy, step=1500, accuracy=0.70 + 0.1 * copy + shift,
                     final=0.6, diverged=replicate == copy == 1)
    return folder


def test_loads_every_finished_run_of_every_experiment_below_a_folder(tmp_path):
    first, second = str(tmp_path / 'a'), str(tmp_path / 'deeper' / 'still.1' / 'b')
    save_experiment(first, 'one')
    save_run(first, level=0)
    save_run(first, level=1)
    storage.remove(storage.join(first, 'replicate_0', 'level_01', 'ticket', 'result.json'))
    save_experiment(second, 'two', seed=7)
    save_run(second, 'random_reinit', 3, replicate=1, copy=2, accuracy=0.25)
    storage.write_text(str(tmp_path / 'notes.txt'), 'not an experiment')
    storage.write_text(storage.join(first, 'replicate_0', 'notes.txt'), 'not a level')
    frame = results.load_results(tmp_path)
    assert list(frame['workdir']) == [first, second]
    assert list(frame['experiment']) == ['one', 'two']
    assert list(frame['run']) == ['replicate_0/level_00/ticket', 'replicate_1/level_03/random_reinit_2']
    assert list(frame['level']) == [0, 3]
    assert list(frame['early_stop_test_accuracy']) == [0.9, 0.25]
    assert list(frame['config.seed']) == [0, 7]
    assert list(frame['config.pruning.fraction']) == [0.2, 0.2]
    assert frame['config.branches'][0] == ['ticket']
    assert frame['layers'][0] == {'dense/kernel': 1.0, 'output/kernel': 1.0}


def test_nothing_inside_an_experiment_is_another_one(workdir):
    save_experiment(storage.join(workdir, 'copy'))
    save_run(storage.join(workdir, 'copy'))
    assert set(results.load_results(workdir)['workdir']) == {workdir}


def test_runs_come_by_number_not_by_name(tmp_path):
    save_experiment(str(tmp_path))
    for replicate in (10, 2):
        save_run(str(tmp_path), level=0, replicate=replicate)
    assert list(results.load_results(tmp_path)['replicate']) == [2, 10]


def test_what_a_diverged_run_lacks_is_nan(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path), diverged=True, step=None)
    frame = results.load_results(tmp_path)
    assert math.isnan(frame['early_stop_step'][0])
    assert frame['final_test_accuracy'].dtype == float


def test_runs_that_were_not_trained_are_apart(tmp_path):
    save_experiment(str(tmp_path), levels=3)
    save_run(str(tmp_path))
    save_run(str(tmp_path), level=1, diverged=True)
    frame, summary = frames(tmp_path)
    assert frame['outcome'].tolist() == ['finished', 'diverged']
    assert results.untrained(str(tmp_path), frame).empty
    save_untrained(str(tmp_path), 'left out', 'replicate_0/level_01/ticket', level=2)
    save_untrained(str(tmp_path), 'emptied', 'replicate_0/level_00/ticket', 'one_shot')
    again, same = frames(tmp_path)
    pd.testing.assert_frame_equal(again, frame)
    pd.testing.assert_frame_equal(same, summary)
    assert results.untrained(str(tmp_path), again).to_dict('records') == [
        {'run': f'replicate_0/level_0{level}/{branch}', 'branch': branch, 'level': level, 'replicate': 0, 'copy': 0,
         'outcome': outcome, 'after': after, 'reason': f'{after} has nothing.'} for level, branch, outcome, after in (
            (1, 'one_shot', 'emptied', 'replicate_0/level_00/ticket'),
            (2, 'ticket', 'left out', 'replicate_0/level_01/ticket'))]


@pytest.mark.parametrize('started', [False, True])
def test_a_folder_without_a_finished_run_is_refused(tmp_path, started):
    if started:
        save_experiment(str(tmp_path))
    with pytest.raises(UsageError, match=f'{tmp_path} holds no finished run: give the --workdir'):
        results.load_results(tmp_path)


def test_a_corrupt_result_is_named(workdir):
    path = storage.join(workdir, 'replicate_1', 'level_01', 'ticket', 'result.json')
    storage.write_text(path, '{"branch": ')
    with pytest.raises(CorruptFileError, match=path):
        results.load_results(workdir)


def test_loads_from_a_remote_file_system(tmp_path):
    # 'ram://' is TensorFlow's; this is the one test here that imports it.
    save_experiment('ram://results/a/tiny')
    save_run('ram://results/a/tiny', accuracy=0.75)
    storage.write_text('ram://results/notes.txt', 'not an experiment')
    frame = results.load_results('ram://results')
    assert list(frame['workdir']) == ['ram://results/a/tiny']
    assert list(frame['run']) == ['replicate_0/level_00/ticket']
    assert list(results.curves(frame)['test_accuracy']) == [0.5, 0.75, 0.8]


def test_runs_that_are_not_listed_yet_are_found_by_their_names(files):
    files.late = True
    save_experiment('gs://bucket/run', levels=2)
    for level in range(2):
        save_run('gs://bucket/run', level=level)
    assert storage.list_folder('gs://bucket/run') == []
    assert results.load_results('gs://bucket/run')['level'].tolist() == [0, 1]


def test_a_config_of_another_version_has_the_runs_that_are_listed(tmp_path):
    save_experiment(str(tmp_path), pruned_by='hand')
    save_run(str(tmp_path))
    assert results.load_results(tmp_path)['level'].tolist() == [0]


def test_a_network_that_fails_is_not_taken_for_a_folder_without_runs(files):
    save_experiment('gs://bucket/run')
    save_run('gs://bucket/run')
    for name in ('exists', 'stat', 'listdir', 'glob', 'rb'):
        files.before = lambda operation, path, name=name: operation == name and fail()(operation, path)
        for path in ('gs://bucket/run', 'gs://bucket'):
            if (name, path) != ('stat', 'gs://bucket/run'):
                with pytest.raises(StorageError, match='^cannot .*: Error executing an HTTP request'):
                    results.load_results(path)


def test_curves_hold_every_evaluation_of_the_runs(workdir):
    frame = results.load_results(workdir)
    curves = results.curves(frame[(frame['level'] == 1) & (frame['branch'] == 'ticket')])
    assert list(curves['replicate']) == [0, 0, 0, 1, 1, 1]
    assert list(curves['step']) == [100, 200, 300] * 2
    assert list(curves['test_accuracy']) == [0.5, 0.92, 0.82, 0.5, 0.92 + 0.02, 0.82 + 0.02]
    assert set(curves['density']) == {0.8}
    assert list(results.curves(frame[:0])) == list(curves)[:8]


def test_summarises_over_replicates_and_copies_without_the_diverged(workdir):
    summary = results.summarise(results.load_results(workdir))
    expected = pd.DataFrame({
        'branch': ['ticket', 'ticket', 'random_reinit'], 'level': [0, 1, 1], 'density': [1.0, 0.8, 0.8],
        'n': [2, 2, 3], 'diverged': [0, 0, 1],
        'early_stop_step_mean': [1200.0, 800.0, 1500.0], 'early_stop_step_min': [1000.0, 800.0, 1500.0],
        'early_stop_step_max': [1400.0, 800.0, 1500.0],
        'early_stop_test_accuracy_mean': [0.91, 0.93, (0.7 + 0.8 + 0.72) / 3],
        'early_stop_test_accuracy_min': [0.90, 0.92, 0.7], 'early_stop_test_accuracy_max': [0.92, 0.94, 0.8],
        'final_test_accuracy_mean': [0.8, 0.83, 0.6], 'final_test_accuracy_min': [0.8, 0.82, 0.6],
        'final_test_accuracy_max': [0.8, 0.84, 0.6]})
    pd.testing.assert_frame_equal(summary.drop(columns=['measures', *results.paired(CLASSIFICATION)]), expected)
    assert set(summary['measures']) == {CLASSIFICATION}
    # All pairs are there: each half is what the runs and the dense networks came to.
    assert list(summary['pairs']) == list(summary['n'])
    for column in CLASSIFICATION.columns:
        for statistic in results.STATISTICS:
            name = f'{column}_{statistic}'
            assert list(summary[f'paired_{name}']) == list(summary[name])
            assert list(summary[f'dense_{name}'][:2]) == [summary[name][0]] * 2
    # Of three reinitialisations two are of the first replicate.
    assert summary['dense_early_stop_step_mean'][2] == pytest.approx((1000 + 1000 + 1400) / 3)


def test_a_config_of_many_keys_is_no_reason_to_warn(workdir, recwarn):
    assert len(results.load_results(workdir).columns) > 100
    results.summarise(results.load_results(workdir))
    assert [str(each.message) for each in recwarn if each.category is pd.errors.PerformanceWarning] == []


def test_a_level_at_which_all_runs_diverged_keeps_its_density(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path), diverged=True, density=0.4)
    row = results.summarise(results.load_results(tmp_path)).iloc[0]
    assert (row['density'], row['n'], row['diverged']) == (0.4, 0, 1)
    assert math.isnan(row['early_stop_step_mean'])


def test_different_experiments_are_not_averaged(tmp_path):
    for name in 'ab':
        save_experiment(str(tmp_path / name))
        save_run(str(tmp_path / name))
    frame = results.load_results(tmp_path)
    with pytest.raises(UsageError, match='2 experiments cannot be averaged'):
        results.summarise(frame)
    assert results.summarise(frame[frame['workdir'] == str(tmp_path / 'b')])['n'].tolist() == [1]


def test_different_rewinding_steps_are_not_averaged(tmp_path):
    frame = sweep(str(tmp_path))
    with pytest.raises(UsageError, match=r'^rewinding steps 0, 50 cannot be averaged: .*by_rewinding_step') as error:
        results.summarise(frame)
    # The remedy works as it is written.
    remedy = str(error.value).split(' as in ')[1].rstrip('.')
    summary = eval(remedy, {**vars(results), 'frame': frame})
    assert list(summary['early_stop_test_accuracy_mean']) == [0.9, 0.91, 0.8]


@pytest.mark.parametrize(('tickets', 'expected'), [
    # Each (early-stop step, test accuracy there) of levels 1, 2, ...; the dense network has (1000, 0.9).
    ([(1000, 0.9)], 1),
    ([(1001, 0.95)], None),
    ([(500, 0.899)], None),
    ([(900, 0.95), (900, 0.8), (900, 0.91)], 3),
    ([(900, 0.95), (900, 0.91), (2000, 0.91)], 2),
    ([], None),
])
def test_the_smallest_winning_ticket_is_no_slower_and_no_worse(tmp_path, tickets, expected):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path), step=1000, accuracy=0.9)
    save_run(str(tmp_path), 'random_mask', 5, step=1, accuracy=1.0)
    for level, (step, accuracy) in enumerate(tickets, 1):
        save_run(str(tmp_path), level=level, step=step, accuracy=accuracy)
    winner = results.smallest_winning_ticket(results.summarise(results.load_results(tmp_path)))
    assert (winner if winner is None else winner['level']) == expected


def test_nothing_wins_against_a_dense_network_that_diverged(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path), diverged=True)
    save_run(str(tmp_path), level=1)
    summary = results.summarise(results.load_results(tmp_path))
    assert results.dense(summary) is None
    assert results.smallest_winning_ticket(summary) is None


def pairs(folder, *replicates, levels=2):
    """Runs whose replicates have their dense network and so many levels, each (step, accuracy, final) or diverged."""
    save_experiment(folder, levels=levels, replicates=len(replicates))
    for replicate, runs in enumerate(replicates):
        for level, run in enumerate(runs):
            if run == 'diverged':
                save_run(folder, level=level, replicate=replicate, diverged=True, step=1, accuracy=1.0)
            elif run:
                step, accuracy, final = run
                save_run(folder, level=level, replicate=replicate, step=step, accuracy=accuracy, final=final)
    return results.summarise(results.load_results(folder))


@pytest.mark.parametrize(('replicates', 'expected'), [
    # Slower and worse than the dense network of its own replicate, but not than the mean of both of them.
    ([[(1000, 0.90, 0.9), (1100, 0.89, 0.9)], [(2000, 0.80, 0.9)]], None),
    # The other way round: it wins where it is.
    ([[(1000, 0.80, 0.9), (900, 0.81, 0.9)], [(500, 0.95, 0.9)]], 1),
    # Level 2 has come to its end in one replicate, where it wins; level 1 in both.
    ([[(1000, 0.80, 0.9), (900, 0.85, 0.9), (900, 0.8, 0.9)], [(600, 0.9, 0.9), (500, 0.9, 0.9)]], 2),
    # The level diverged in the second replicate.
    ([[(1000, 0.90, 0.9), (1100, 0.89, 0.9)], [(2000, 0.80, 0.9), 'diverged']], None),
    ([[(1000, 0.80, 0.9), (900, 0.81, 0.9)], [(500, 0.95, 0.9), 'diverged']], 1),
    # The dense network of the second replicate diverged, or is not there: its ticket has nothing to be compared with.
    ([[(1000, 0.90, 0.9), (1000, 0.89, 0.9)], ['diverged', (500, 1.0, 0.9)]], None),
    ([[(1000, 0.90, 0.9), (1000, 0.90, 0.9)], ['diverged', (5000, 0.1, 0.9)]], 1),
    ([[(1000, 0.90, 0.9), (1000, 0.90, 0.9)], [None, (5000, 0.1, 0.9)]], 1),
    # No replicate has both.
    ([[(1000, 0.90, 0.9)], ['diverged', (1, 1.0, 1.0)]], None),
    # The same three numbers in another order, whose mean as a float is lower by 1e-16; no later as a mean, either.
    ([[(1000, 0.15, 0.9), (900, 0.96, 0.9)], [(1000, 0.51, 0.9), (1100, 0.51, 0.9)],
      [(1000, 0.96, 0.9), (1000, 0.15, 0.9)]], 1),
])
def test_a_ticket_is_judged_against_the_dense_networks_of_its_own_replicates(tmp_path, replicates, expected):
    summary = pairs(str(tmp_path), *replicates)
    winner = results.smallest_winning_ticket(summary)
    assert (winner if winner is None else winner['level']) == expected
    if expected:
        assert results.level_to_ship({0: summary}) == (0, expected)


@pytest.mark.parametrize(('points', 'level'), [(0.9, 0), (1, 1), (None, 0)])
def test_points_count_from_the_dense_networks_of_the_same_replicates(tmp_path, points, level):
    # The ticket is a point worse than its own dense network, and far better than the mean of the two.
    summary = pairs(str(tmp_path), [(1000, 0.9, 0.98), (2000, 0.9, 0.97)], [(1000, 0.9, 0.5)])
    assert results.level_to_ship({0: summary}, points) == (0, level)


def test_the_most_accurate_level_is_that_which_gains_most_on_its_own_dense_networks(tmp_path):
    # Level 2, in the worse replicate only, gains two points; level 1 one point on the mean of both.
    summary = pairs(str(tmp_path), [(1000, 0.9, 0.9), (2000, 0.9, 0.91)],
                    [(1000, 0.9, 0.5), (2000, 0.9, 0.51), (2000, 0.9, 0.52)])
    assert results.level_to_ship({0: summary}) == (0, 2)


def test_without_any_dense_network_the_most_accurate_level_is_shipped(tmp_path):
    summary = pairs(str(tmp_path), ['diverged', (2000, 0.9, 0.7), (2000, 0.9, 0.6)])
    assert results.level_to_ship({0: summary}) == (0, 1)


@pytest.mark.parametrize(('replicates', 'lacks'), [
    ([[(1, 0.9, 0.9)] * 3, [(1, 0.9, 0.9)] * 3], False),
    ([[(1, 0.9, 0.9)] * 3, ['diverged', None, None]], False),
    ([[(1, 0.9, 0.9)] * 2 + ['diverged']], False),
    ([[(1, 0.9, 0.9)] * 3, [(1, 0.9, 0.9)] * 2], True),
    ([[(1, 0.9, 0.9)] * 3, [(1, 0.9, 0.9)] * 2 + ['diverged']], True),
    ([[(1, 0.9, 0.9)] * 3, ['diverged', (1, 0.9, 0.9), (1, 0.9, 0.9)]], True),
])
def test_pairs_lack_where_levels_are_means_over_different_replicates(tmp_path, replicates, lacks):
    assert results.lacks_pairs(pairs(str(tmp_path), *replicates)) is lacks


@pytest.mark.parametrize(('density', 'text'), [
    (1.0, '100'), (0.9996, '100'), (0.9994, '99.9'), (0.5126, '51.3'), (0.07, '7.0'), (0.0115, '1.1'), (0.0096, '1.0'),
    (0.0043, '0.43')])
def test_densities_are_written_as_in_the_papers(density, text):
    assert results.percent(density) == text


def test_table_lines_up(workdir):
    assert results.table(results.summarise(results.load_results(workdir))) == '''\
Early-stop step and test accuracy there and at the end: mean [min-max] over the runs.

Winning ticket
level  weights left (%)  runs  diverged  early-stop step      at early stop (%)    at the end (%)
    0               100     2         0  1,200 [1,000-1,400]  91.00 [90.00-92.00]  80.00 [80.00-80.00]
    1              80.0     2         0    800 [800-800]      93.00 [92.00-94.00]  83.00 [82.00-84.00]

Random reinitialisation
level  weights left (%)  runs  diverged  early-stop step      at early stop (%)    at the end (%)
    1              80.0     3         1  1,500 [1,500-1,500]  74.00 [70.00-80.00]  60.00 [60.00-60.00]
'''


def test_table_of_single_runs_has_no_ranges_and_no_column_of_zeros(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path))
    assert results.table(results.summarise(results.load_results(tmp_path))).splitlines()[2:] == [
        'Winning ticket',
        'level  weights left (%)  runs  early-stop step  at early stop (%)  at the end (%)',
        '    0               100     1  200              90.00              80.00']


def test_table_shows_no_numbers_where_all_runs_diverged(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path), diverged=True)
    assert results.table(results.summarise(results.load_results(tmp_path))).splitlines()[-1].split() == [
        '0', '100', '0', '1', '-', '-', '-']


def test_needs_no_tensorflow():
    code = 'import sys; from tf_lottery.reporting import report, results; sys.exit("tensorflow" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


def sweep(folder):
    """A dense network and two levels rewound to steps 0 and 50, of which 50 does better."""
    save_experiment(folder, levels=2)
    save_run(folder, step=1000, accuracy=0.9)
    for step, accuracies in ((0, (0.91, 0.8)), (50, (0.92, 0.93))):
        for level, accuracy in enumerate(accuracies, 1):
            save_run(folder, level=level, step=900, accuracy=accuracy, rewind=step)
    return results.load_results(folder)


def test_the_mean_of_equal_numbers_is_this_number(tmp_path):
    save_experiment(tmp_path, replicates=3)
    for replicate in range(3):
        save_run(tmp_path, 'ticket', 0, replicate, accuracy=0.003, final=0.986)
    (row,) = results.summarise(results.load_results(tmp_path)).to_dict('records')
    # Pandas makes 0.9860000000000001 of the latter, from which a bar to the largest would go backwards.
    for half in ('', 'paired_', 'dense_'):
        assert {row[f'{half}early_stop_test_accuracy_{statistic}'] for statistic in results.STATISTICS} == {0.003}
        assert {row[f'{half}final_test_accuracy_{statistic}'] for statistic in results.STATISTICS} == {0.986}


def test_each_rewinding_step_is_summarised_with_the_dense_network(tmp_path):
    summaries = results.summaries(sweep(str(tmp_path)))
    assert list(summaries) == [0, 50]
    assert [list(summary['early_stop_test_accuracy_mean']) for summary in summaries.values()] == [
        [0.9, 0.91, 0.8], [0.9, 0.92, 0.93]]


def test_the_smallest_winning_ticket_of_all_rewinding_steps_is_shipped(tmp_path):
    assert results.level_to_ship(results.summaries(sweep(str(tmp_path)))) == (50, 2)


def test_without_a_winning_ticket_the_most_accurate_level_is_shipped(tmp_path):
    save_experiment(str(tmp_path), levels=2)
    for level, final in enumerate((0.5, 0.7, 0.6)):
        save_run(str(tmp_path), level=level, step=1000 * (level + 1), final=final)
    assert results.level_to_ship(results.summaries(results.load_results(tmp_path))) == (0, 1)


@pytest.mark.parametrize(('points', 'level'), [(0, 2), (0.4, 2), (0.5, 3), (0.6, 3), (5, 4)])
def test_the_sparsest_ticket_within_some_points_is_shipped(tmp_path, points, level):
    save_experiment(str(tmp_path), levels=4)
    # In points below the dense network: level 1 is worse than 2, and 3 is exactly 0.5.
    for number, final in enumerate((0.98, 0.97, 0.981, 0.975, 0.94)):
        save_run(str(tmp_path), level=number, final=final)
    assert results.level_to_ship(results.summaries(results.load_results(tmp_path)), points) == (0, level)


def test_the_dense_network_is_within_any_points_of_itself(tmp_path):
    save_experiment(str(tmp_path), levels=1)
    save_run(str(tmp_path), final=0.9)
    save_run(str(tmp_path), level=1, final=0.8)
    assert results.level_to_ship(results.summaries(results.load_results(tmp_path)), 0.5) == (0, 0)


def test_points_need_a_dense_network(tmp_path):
    save_experiment(str(tmp_path), levels=1)
    save_run(str(tmp_path), diverged=True, step=None)
    save_run(str(tmp_path), level=1, final=0.8)
    with pytest.raises(UsageError, match='export.within_points is 0.5, but no dense network has finished'):
        results.level_to_ship(results.summaries(results.load_results(tmp_path)), 0.5)


def judged(folder, measures, *levels):
    """The summary of a dense network and tickets, each (early-stop step, leading measure there and at the end)."""
    save_experiment(folder, levels=len(levels) - 1)
    for level, (step, value) in enumerate(levels):
        save_run(folder, level=level, step=step, accuracy=value, final=value, measures=measures,
                 others=[(30.0 + level, 40.0 + level)] * (len(measures.each) - 1))
    return results.summarise(results.load_results(folder))


@pytest.mark.parametrize(('measures', 'levels', 'expected'), [
    (REGRESSION, [(1000, 0.010), (1000, 0.010), (900, 0.0101)], 1),
    (REGRESSION, [(1000, 0.010), (1001, 0.009), (900, 0.0101)], None),
    # What lies on the edge is a share of the value, however small that is.
    (REGRESSION, [(1000, 1e-12), (900, 1.1e-12)], None),
    (REGRESSION, [(1000, 0.1 + 0.2), (900, 0.3), (900, 0.3 * (1 + 1e-15))], 2),
    # All train equally long: only what they end with counts.
    (LANGUAGE, [(None, 40.0), (None, 41.0), (None, 39.0), (None, 40.5)], 2),
    (LANGUAGE, [(None, 40.0), (None, 40.5)], None),
    (CONTROL, [(1000, -50.0), (1000, -50.0), (900, -51.0)], 1),
    (CONTROL, [(1000, -50.0), (1000, 3.0), (1100, 100.0)], 1),
    # Perplexity rises from level to level, but does not lead.
    (TRANSLATION, [(1000, 27.0), (1000, 27.5), (900, 26.9)], 1),
])
def test_a_ticket_wins_by_the_leading_measure_in_its_direction(tmp_path, measures, levels, expected):
    winner = results.smallest_winning_ticket(judged(str(tmp_path), measures, *levels))
    assert (winner if winner is None else winner['level']) == expected


@pytest.mark.parametrize(('measures', 'values', 'points', 'level'), [
    (REGRESSION, [0.010, 0.0105, 0.0106], 0.5, 1), (REGRESSION, [0.010, 0.0105, 0.0106], 0.4, 0),
    (REGRESSION, [0.010, 0.002, 0.5], 0, 1), (LANGUAGE, [40.0, 45.0, 45.1], 5, 1), (LANGUAGE, [40.0, 45.0, 45.1], 6, 2),
    (CONTROL, [-50.0, -55.0, -56.0], 5, 1), (CONTROL, [195.0, 190.0, 200.0, 189.0], 5, 2)])
def test_points_count_in_the_unit_of_the_leading_measure(tmp_path, measures, values, points, level):
    summary = judged(str(tmp_path), measures, *((100, value) for value in values))
    assert results.level_to_ship({0: summary}, points) == (0, level)


@pytest.mark.parametrize('measures', [REGRESSION, CONTROL])
@pytest.mark.parametrize('dense', [True, False])
def test_without_a_winning_ticket_the_best_level_is_shipped_whichever_way_is_better(tmp_path, measures, dense):
    save_experiment(str(tmp_path), levels=2)
    values = (3.0, 2.0, 4.0) if measures is CONTROL else (3.0, 4.0, 2.0)
    for level, value in enumerate(values):
        # Slower than the dense network, and worse at early stop.
        save_run(str(tmp_path), level=level, step=100 + level, accuracy=-value if measures is CONTROL else value,
                 final=value, measures=measures, diverged=not level and not dense)
    assert results.level_to_ship({0: results.summarise(results.load_results(tmp_path))}) == (0, 2)


@pytest.mark.parametrize(('measures', 'columns'), [
    (LANGUAGE, ['final_test_perplexity']),
    (CONTROL, ['early_stop_step', 'early_stop_test_reward', 'final_test_reward']),
    (TRANSLATION, ['early_stop_step', 'early_stop_test_bleu', 'final_test_bleu', 'early_stop_test_perplexity',
                   'final_test_perplexity'])])
def test_a_summary_has_the_columns_of_its_measures(tmp_path, measures, columns):
    summary = judged(str(tmp_path), measures, (100, 1.0), (100, 2.0))
    own = [f'{column}_{statistic}' for column in columns for statistic in ('mean', 'min', 'max')]
    assert list(summary) == ['branch', 'level', 'density', 'n', 'diverged', 'pairs', *own,
                             *(f'paired_{name}' for name in own), *(f'dense_{name}' for name in own), 'measures']
    assert list(summary['measures']) == [measures] * 2


def test_runs_of_different_measures_are_not_averaged(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path))
    save_run(str(tmp_path), level=1, measures=REGRESSION)
    frame = results.load_results(tmp_path)
    with pytest.raises(UsageError, match='/level_00/ticket and .*/level_01/ticket are judged by different') as error:
        results.summarise(frame)
    # The remedy works as it is written.
    remedy = str(error.value).split(' as in ')[1].split(', or')[0]
    assert len(results.summarise(eval(remedy, {'frame': frame}))) == 1


def test_rewinding_steps_of_different_measures_are_not_compared(tmp_path):
    save_experiment(str(tmp_path))
    for rewind, measures in ((50, REGRESSION), (100, CONTROL)):
        save_run(str(tmp_path), level=1, rewind=rewind, measures=measures)
    with pytest.raises(UsageError, match='/ticket_rewind_100 and .*/ticket_rewind_50 are judged by different'):
        results.summaries(results.load_results(tmp_path))


def test_what_runs_are_judged_by_stays_with_any_choice_of_rows(tmp_path):
    judged(str(tmp_path), LANGUAGE, (None, 40.0), (None, 39.0))
    frame = results.load_results(tmp_path)
    assert results.summarise(frame[frame['level'] == 1])['final_test_perplexity_mean'].tolist() == [39.0]
    with pytest.raises(UsageError, match='^the frame holds no run'):
        results.summarise(frame[frame['level'] == 7])


def test_curves_have_the_columns_of_the_measures(tmp_path):
    judged(str(tmp_path), TRANSLATION, (100, 27.0))
    assert list(results.curves(results.load_results(tmp_path)))[8:] == [
        'step', 'train_loss', 'validation_loss', 'validation_bleu', 'validation_perplexity', 'test_loss', 'test_bleu',
        'test_perplexity']


def test_table_of_two_measures_names_them(tmp_path):
    first, _, _, *rows = results.table(judged(str(tmp_path), TRANSLATION, (1000, 27.25), (900, 26.0))).splitlines()
    assert first == (
        'Early-stop step and test BLEU and test perplexity there and at the end: mean [min-max] over the runs.')
    assert [re.split('  +', row.strip()) for row in rows] == [
        ['level', 'weights left (%)', 'runs', 'early-stop step', 'BLEU at early stop', 'BLEU at the end',
         'perplexity at early stop', 'perplexity at the end'],
        ['0', '100', '1', '1,000', '27.2', '27.2', '30.00', '40.00'],
        ['1', '80.0', '1', '900', '26.0', '26.0', '31.00', '41.00']]


def test_table_without_an_early_stop_has_no_columns_of_it_and_ranges_below_zero_are_readable(tmp_path):
    for measures, unit in ((LANGUAGE, '[40.00-42.00]'), (CONTROL, '[-42 to -40]')):
        folder = str(tmp_path / unit[1])
        sign = -1 if measures is CONTROL else 1
        save_experiment(folder, replicates=2)
        for replicate in range(2):
            save_run(folder, replicate=replicate, final=sign * (40.0 + 2 * replicate), measures=measures)
        text = results.table(results.summarise(results.load_results(folder)))
        assert text.splitlines()[-1].endswith(unit)
    assert results.table(results.summarise(results.load_results(tmp_path / '4'))) == '''\
Test perplexity at the end: mean [min-max] over the runs.

Winning ticket
level  weights left (%)  runs  at the end
    0               100     2  41.00 [40.00-42.00]
'''
