"""Stability of hand-made weights whose distances and angles are known."""

import math

import numpy as np
import pytest
from fake_runs import REGRESSION, save_experiment, save_run

from tf_lottery.experiment.runs import Run
from tf_lottery.reporting import results, tables
from tf_lottery.reporting.analysis import stability
from tf_lottery.reporting.analysis.construction import constructions
from tf_lottery.runtime import storage
from tf_lottery.ticket import Mask, pack

MASK = Mask({'a/kernel': np.array([[True, True], [False, True]]), 'b/kernel': np.array([True, False])})


def weights(a, b, bias=0.0):
    return {'a/kernel': np.array(a, np.float32), 'b/kernel': np.array(b, np.float32), 'a/bias': np.array([bias])}


def test_distance_is_over_the_kept_weights_of_all_layers():
    first, second = weights([[1, 2], [9, 0]], [1, 9]), weights([[1, 0], [0, 1]], [-1, 0], bias=100)
    # Differences 0, 2, 1 and 2 where the mask keeps; pruned weights and biases do not count.
    assert stability.distance(first, second, MASK) == 3.0
    assert stability.distance(first, first, MASK) == 0.0


@pytest.mark.parametrize(('second', 'degrees'), [
    (([[2, 0], [5, 0]], [0, 5]), 0), (([[0, 3], [5, 0]], [0, 5]), 90), (([[-1, 0], [0, 0]], [0, 0]), 180),
    (([[1, 1], [0, 0]], [0, 0]), 45), (([[1, 1], [0, 1]], [1, 0]), 60)])
def test_angle(second, degrees):
    first = weights([[1, 0], [7, 0]], [0, 7])
    assert stability.angle(first, weights(*second), MASK) == pytest.approx(degrees, abs=1e-6)


def test_an_angle_with_nothing_is_not_a_number():
    assert math.isnan(stability.angle(weights([[0, 0], [1, 0]], [0, 1]), weights([[1, 1], [1, 1]], [1, 1]), MASK))


def save_weights(workdir, run, mask, *values):
    folder = storage.join(str(workdir), run.folder)
    storage.write_arrays(storage.join(folder, 'mask.npz'), mask.to_arrays())
    storage.write_arrays(storage.join(folder, 'weights.npz'), pack(weights(*values), mask))


@pytest.fixture
def workdir(tmp_path):
    """A dense network, a ticket and a random mask, the ticket on two further data orders, the mask on one."""
    save_experiment(str(tmp_path), branches=('ticket', 'ticket_reordered', 'random_mask_reordered'), data_orders=2)
    every = Mask.ones({name: array.shape for name, array in MASK.items()})
    for branch, level, copy, values in (
            ('ticket', 0, 0, ([[1, 1], [50, 1]], [1, 50])), ('ticket', 1, 0, ([[1, 1], [0, 1]], [3, 0])),
            ('ticket_reordered', 1, 0, ([[1, 1], [0, 1]], [4, 0])),
            ('ticket_reordered', 1, 1, ([[1, 1], [0, 1]], [6, 0])),
            ('random_mask', 1, 0, ([[1, 5], [0, 1]], [4, 0])),
            ('random_mask_reordered', 1, 0, ([[1, 5], [0, 1]], [-4, 0]))):
        save_run(str(tmp_path), branch, level, copy=copy, final=0.9 + 0.01 * copy)
        save_weights(tmp_path, Run(0, level, branch, copy), MASK if level else every, *values)
    return str(tmp_path)


def test_samples_are_all_pairs_of_copies_and_the_full_network_with_the_original(workdir):
    found = stability.samples(workdir, results.load_results(workdir))
    measured = found.groupby(['branch', 'stability'])['l2'].apply(lambda l2: sorted(map(float, l2))).to_dict()
    assert measured == {
        ('ticket', 'pruning'): [2.0], ('ticket', 'data order'): [1.0, 2.0, 3.0],
        ('random_mask', 'pruning'): [5.0], ('random_mask', 'data order'): [8.0]}
    assert set(found['level']) == {1}


def test_the_table_has_the_papers_shape(workdir):
    frame = results.load_results(workdir)
    (row,) = stability.table(frame, stability.samples(workdir, frame)).to_dict('records')
    assert (row['data_order_ticket_l2_mean'], row['data_order_ticket_n']) == (2.0, 3)
    assert row['data_order_ticket_l2_std'] == pytest.approx(math.sqrt(2 / 3))
    assert (row['pruning_random_mask_l2_mean'], row['pruning_random_mask_l2_std']) == (5.0, 0.0)
    assert row['accuracy_ticket_mean'] == pytest.approx((0.9 + 0.9 + 0.91) / 3)
    assert row['accuracy_full_mean'] == pytest.approx(0.9)
    (table,) = tables.tables(frame, stability.samples(workdir, frame), _no_lines(frame), constructions(frame))
    assert table.rows[0][:4] == ('0', '80.0', '2.0 ± 0.8 / 8.0 ± 0.0', '2.0 ± 0.0 / 5.0 ± 0.0')
    assert str(table).splitlines()[0] == 'Stability'


def test_the_full_network_is_that_of_the_replicates_whose_subnetworks_are_there(workdir):
    save_run(workdir, level=0, replicate=1, final=0.1)
    save_run(workdir, 'one_shot', 1, replicate=1, final=0.1)
    frame = results.load_results(workdir)
    (row,) = stability.table(frame, stability.samples(workdir, frame)).to_dict('records')
    assert (row['accuracy_full_mean'], row['accuracy_full_std']) == (0.9, 0)


def test_the_table_holds_the_leading_measure_in_its_unit(workdir):
    for run in results.load_results(workdir).to_dict('records'):
        save_run(workdir, run['branch'], run['level'], copy=run['copy'], measures=REGRESSION,
                 final=0.010 + 0.002 * run['copy'])
    frame = results.load_results(workdir)
    (row,) = stability.table(frame, stability.samples(workdir, frame)).to_dict('records')
    assert row['mae_ticket_mean'] == pytest.approx((0.010 + 0.010 + 0.012) / 3)
    assert row['mae_full_mean'] == 0.010
    (table,) = tables.tables(frame, stability.samples(workdir, frame), _no_lines(frame), constructions(frame))
    assert table.header[-2:] == ('mean absolute error of the full network (mm)', 'mean absolute error (mm)')
    assert table.rows[0][-2:] == ('10.0 ± 0.0', '10.7 ± 0.9 / 10.0 ± 0.0')
    assert 'and of the test mean absolute error at the end' in table.note


def _no_lines(frame):
    from tf_lottery.reporting.analysis import connectivity
    return connectivity.lines(frame)


def test_runs_without_weights_and_tickets_without_a_control_are_left_out(tmp_path):
    save_experiment(str(tmp_path))
    for level in (0, 1):
        save_run(str(tmp_path), level=level)
    save_run(str(tmp_path), 'random_mask', 1)
    assert stability.samples(str(tmp_path), results.load_results(tmp_path)).empty
