"""Barriers of hand-made lines, and what they are called."""

import numpy as np
import pytest
from fake_runs import save_experiment, save_run

from tf_lottery.experiment.runs import Run
from tf_lottery.reporting import results, tables
from tf_lottery.reporting.analysis import connectivity, stability
from tf_lottery.reporting.analysis.construction import constructions
from tf_lottery.runtime import storage


@pytest.mark.parametrize(('errors', 'barrier'), [
    ([0.1, 0.5, 0.3], 0.3), ([0.1, 0.2, 0.3], 0.1), ([0.2, 0.1, 0.2], 0.0), ([0.2, 0.2], 0.0)])
def test_instability_is_the_highest_error_less_the_mean_of_the_ends(errors, barrier):
    assert connectivity.instability(errors) == pytest.approx(barrier)


def test_a_convex_loss_has_no_barrier():
    # The loss (w - 1)^2 on the line from w = -1 to w = 3, whose middle is the minimum, and from -1 to 2.
    for end in (3, 2):
        places = np.linspace(-1, end, 30)
        losses = (places - 1) ** 2
        assert connectivity.instability(losses) == pytest.approx(max(losses[0], losses[-1]) - losses[[0, -1]].mean())
    assert connectivity.instability((np.linspace(-1, 3, 30) - 1) ** 2) == pytest.approx(0)


def save_line(workdir, run, test_error):
    storage.write_json(storage.join(str(workdir), run.folder, 'connectivity.json'), {
        'examples': 1000, 'position': [0.0, 0.5, 1.0], 'train_error': [0.0, 0.01, 0.0], 'test_error': test_error})


def test_the_verdicts(tmp_path):
    save_experiment(str(tmp_path), branches=('ticket', 'ticket_reordered', 'random_mask_reordered'), data_orders=2)
    save_run(str(tmp_path), final=0.90)
    for branch, final, lines in (('ticket', 0.899, ([0.1, 0.11, 0.1], [0.1, 0.125, 0.1])),
                                 ('random_mask', 0.85, ([0.15, 0.17, 0.15], [0.15, 0.18, 0.15]))):
        save_run(str(tmp_path), branch, 1, final=final)
        for copy, line in enumerate(lines):
            save_run(str(tmp_path), f'{branch}_reordered', 1, copy=copy, final=final)
            save_line(tmp_path, Run(0, 1, f'{branch}_reordered', copy), line)
    frame = results.load_results(tmp_path)
    lines = connectivity.lines(frame)
    assert len(lines) == 12
    rows = connectivity.table(frame, lines).set_index('branch')
    assert list(rows.loc['ticket', ['n', 'stable', 'matching']]) == [2, True, True]
    assert rows.loc['ticket', 'test_instability_mean'] == pytest.approx(0.0175)
    assert rows.loc['ticket', 'test_instability_max'] == pytest.approx(0.025)
    assert rows.loc['ticket', 'train_instability_mean'] == pytest.approx(0.01)
    assert list(rows.loc['random_mask', ['stable', 'matching']]) == [False, False]
    (table,) = tables.tables(frame, stability.samples(str(tmp_path), frame), lines, constructions(frame))
    assert ('Winning ticket', '0', '80.0', '2', '1.75 [1.00, 2.50]', '1.00 [1.00, 1.00]', '89.90', 'yes',
            'yes') in table.rows


def reorder(workdir, level, final, replicate=0, rewind=None):
    """A ticket on another data order that ends so well, and its line to the original, without a barrier."""
    save_run(str(workdir), 'ticket_reordered', level, replicate, final=final, rewind=rewind)
    save_line(workdir, Run(replicate, level, 'ticket_reordered', 0, rewind), [0.1, 0.1, 0.1])


def test_each_rewinding_step_has_its_own_copies_of_the_dense_network_and_shares_the_original(tmp_path):
    save_experiment(str(tmp_path), branches=('ticket', 'ticket_reordered'), branch_levels=(0, 1))
    save_run(str(tmp_path), final=0.90)
    for rewind, dense, ticket in ((0, 0.80, 0.70), (500, 0.897, 0.899), (2000, 0.92, 0.91)):
        save_run(str(tmp_path), 'ticket', 1, final=ticket, rewind=rewind)
        reorder(tmp_path, 0, dense, rewind=rewind)
        reorder(tmp_path, 1, ticket, rewind=rewind)
    frame = results.load_results(tmp_path)
    lines = connectivity.lines(frame)
    rows = connectivity.table(frame, lines).set_index(['level', 'rewind_step'])
    assert list(rows.index) == [(level, step) for level in (0, 1) for step in (0, 500, 2000)]
    # At level 0 the mean of the one dense network and of its copy from W_k on.
    assert list(rows['accuracy']) == pytest.approx([0.85, 0.8985, 0.91, 0.70, 0.899, 0.91])
    assert list(rows['matching']) == [False, True, True, False, True, True]
    assert list(rows['n']) == [1] * 6
    (table,) = tables.tables(frame, stability.samples(str(tmp_path), frame), lines, constructions(frame))
    assert [(row[0], row[1], row[6], row[8]) for row in table.rows[:3]] == [
        ('Dense network', '0', '85.00', 'no'), ('Dense network', '500', '89.85', 'yes'),
        ('Dense network', '2,000', '91.00', 'yes')]


@pytest.mark.parametrize(('ticket', 'matching'), [(0.899, True), (0.898, True), (0.897, False)])
def test_matching_compares_with_the_dense_networks_of_the_same_replicates(tmp_path, ticket, matching):
    save_experiment(str(tmp_path), branches=('ticket', 'ticket_reordered'), replicates=3)
    # The second replicate has not come to the level, the third one's dense network has diverged.
    for replicate, final in enumerate((0.90, 0.50)):
        save_run(str(tmp_path), replicate=replicate, final=final)
    save_run(str(tmp_path), replicate=2, diverged=True)
    for replicate, final in ((0, ticket), (2, 0.99)):
        save_run(str(tmp_path), 'ticket', 1, replicate, final=final)
        reorder(tmp_path, 1, final, replicate=replicate)
    save_run(str(tmp_path), 'ticket_reordered', 1, 0, 1, diverged=True)
    frame = results.load_results(tmp_path)
    (row,) = connectivity.table(frame, connectivity.lines(frame)).to_dict('records')
    assert row['accuracy'] == pytest.approx((ticket + 0.99) / 2)
    assert row['matching'] is matching


def test_nothing_measured_is_an_empty_table(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path))
    frame = results.load_results(tmp_path)
    assert connectivity.table(frame, connectivity.lines(frame)).empty
