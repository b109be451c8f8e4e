"""Tests of tf_lottery/reporting/analysis/weights.py on networks small enough to count by hand."""

import numpy as np
import pytest
from fake_runs import frames, save_experiment, save_run, save_weights

from tf_lottery.reporting.analysis import weights
from tf_lottery.runtime import storage

FC, OUTPUT = 'fc1/kernel', 'output/kernel'


def floats(values):
    return np.array(values, np.float32)


@pytest.fixture
def two(tmp_path):
    """Two replicates of a network with six and two weights: the dense network and level 1."""
    save_experiment(str(tmp_path), replicates=2)
    for replicate, sign in enumerate((1, -1)):
        initial = {FC: sign * floats([[0.1, -0.2, 0.3], [0.4, -0.5, 0.6]]), OUTPUT: sign * floats([[1], [2]]),
                   'fc1/bias': floats([7, 7, 7])}
        dense = {FC: sign * floats([[0.3, -0.1, 0.3], [-0.4, -1.5, 0.5]]), OUTPUT: sign * floats([[3], [4]]),
                 'fc1/bias': floats([8, 8, 8])}
        save_run(str(tmp_path), replicate=replicate)
        save_weights(str(tmp_path), initial, {name: np.ones(initial[name].shape) for name in (FC, OUTPUT)}, dense,
                     replicate=replicate)
        save_run(str(tmp_path), level=1, replicate=replicate)
        save_weights(str(tmp_path), initial, {FC: [[1, 0, 0], [0, 1, 1]], OUTPUT: [[0], [1]]},
                     {name: 10 * array for name, array in dense.items()}, 1, replicate)
    return frames(tmp_path)[0]


def test_survivors_are_what_the_mask_keeps_before_and_after_the_levels_training(two):
    initial, trained = weights.survivors(two, [FC, OUTPUT])
    assert list(initial) == list(trained) == [FC, OUTPUT]
    assert list(initial[FC]) == [0, 1]
    assert initial[FC][1] == pytest.approx([0.1, -0.5, 0.6, -0.1, 0.5, -0.6])
    assert trained[FC][1] == pytest.approx([3, -15, 5, -3, 15, -5])
    assert trained[OUTPUT] == {0: pytest.approx([3, 4, -3, -4]), 1: pytest.approx([40, -40])}
    assert len(initial[FC][0]) == 12


def test_only_the_layers_and_levels_asked_about_are_there(two):
    initial, trained = weights.survivors(two[two['level'] == 1], [OUTPUT])
    assert list(initial) == list(trained) == [OUTPUT]
    assert initial[OUTPUT] == {1: pytest.approx([2, -2])}


def test_movement_is_that_of_the_dense_network_split_by_the_mask(two):
    moved = weights.movement(two[(two['level'] == 1) & (two['replicate'] == 0)], [FC, OUTPUT])
    fc = moved[FC]
    assert list(fc['kept']) == [True, False, False, False, True, True]
    assert list(fc['distance']) == pytest.approx([0.2, 0.1, 0, 0.8, 1, 0.1], abs=1e-7)
    assert list(fc['growth']) == pytest.approx([0.2, -0.1, 0, 0, 1, -0.1], abs=1e-7)
    # The second moved towards zero; the fourth from 0.4 past it to -0.4; the fifth away from it on its negative side.
    assert list(fc['outward']) == pytest.approx([0.2, -0.1, 0, -0.8, 1, -0.1], abs=1e-7)
    assert list(moved[OUTPUT]['distance']) == [2, 2]
    assert fc['distance'].dtype == np.float32


def test_movement_does_not_depend_on_the_sign_of_a_replicate(two):
    moved = weights.movement(two[two['level'] == 1], [FC])[FC]
    assert len(moved) == 12
    assert np.array_equal(moved[:6].to_numpy(), moved[6:].to_numpy())


def test_connectivity_counts_by_column_and_by_row(two):
    incoming, outgoing = weights.connectivity(two[two['level'] == 1], [FC, OUTPUT])
    assert incoming[FC] == {1: pytest.approx([0.5, 0.5, 0.5] * 2)}
    assert outgoing[FC] == {1: pytest.approx([1 / 3, 2 / 3] * 2)}
    assert incoming[OUTPUT] == {1: pytest.approx([0.5] * 2)}
    assert outgoing[OUTPUT] == {1: pytest.approx([0, 1] * 2)}


def test_channels_of_a_convolution_add_up_their_kernel_positions():
    kept = np.zeros((2, 1, 3, 2), bool)
    kept[0, 0, 0, 0] = kept[1, 0, 0, 0] = kept[1, 0, 2, 1] = True
    # Two positions: an output channel has 2 * 3 incoming weights, an input channel 2 * 2 outgoing ones.
    assert list(weights.incoming_fractions(kept)) == pytest.approx([2 / 6, 1 / 6])
    assert list(weights.outgoing_fractions(kept)) == pytest.approx([2 / 4, 0, 1 / 4])


def test_readable_are_runs_with_all_their_files_that_did_not_diverge(two, tmp_path):
    assert len(weights.readable(two)) == 4
    storage.remove(storage.join(two['workdir'][0], 'replicate_1', 'rewind', 'initial.npz'))
    assert list(weights.readable(two)['replicate']) == [0, 0]
    storage.remove(storage.join(two['workdir'][0], two['run'][0], 'mask.npz'))
    assert list(weights.readable(two)['level']) == [1]
    assert weights.readable(two.assign(diverged=True)).empty
    assert weights.readable(two[:0]).empty


def test_histograms_share_their_bins_and_have_area_1():
    edges, heights = weights.histograms({'a': floats([0, 0, 0, 1]), 'b': floats([0, 2])}, bins=4)
    assert list(edges) == [0, 0.5, 1, 1.5, 2]
    assert list(heights['a']) == [1.5, 0, 0.5, 0]
    assert list(heights['b']) == [1, 0, 0, 1]


def test_histograms_leave_a_few_far_values_out():
    values = np.append(np.linspace(-1, 1, 10_001), [1000])
    edges, heights = weights.histograms({'a': values})
    assert edges[-1] < 1.01
    assert heights['a'] @ np.diff(edges) == pytest.approx(1)


@pytest.mark.parametrize('values', [[0.5], [0.5, 0.5], [-1, 1]])
def test_histograms_of_very_few_values(values):
    edges, heights = weights.histograms({'a': floats(values)})
    assert edges[0] <= min(values) and max(values) <= edges[-1]
    assert heights['a'] @ np.diff(edges) == pytest.approx(1)
