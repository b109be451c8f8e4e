"""Tests of tf_lottery/pruning/initialisations.py: what may be drawn, and what must stay."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tf_lottery.pruning.initialisations import (
    constant,
    frozen_by_direction,
    kaiming,
    kaiming_constant,
    kaiming_normal,
    noisy,
    resampled,
    reshuffled,
    scaled,
    with_signs,
)
from tf_lottery.ticket import Mask

SHAPES = arrays.array_shapes(min_dims=2, max_dims=4, max_side=5)
VALUES = st.floats(-2, 2, width=32)


@st.composite
def tickets(draw):
    """The weights of two layers and a bias, and a mask over the layers that may keep nothing of one."""
    weights, mask = {'fc1/bias': draw(arrays.arrays(np.float32, 3, elements=VALUES))}, {}
    for name in ('fc1/kernel', 'output/kernel'):
        shape = draw(SHAPES)
        weights[name] = draw(arrays.arrays(np.float32, shape, elements=VALUES))
        mask[name] = draw(arrays.arrays(bool, shape))
    return weights, Mask(mask)


@given(tickets(), st.integers(0, 2**31 - 1), st.booleans())
def test_resampled_values_are_those_of_the_survivors_of_their_own_layer(ticket, seed, keep_signs):
    weights, mask = ticket
    drawn = resampled(weights, mask, seed, keep_signs)
    assert list(drawn) == list(weights)
    assert np.array_equal(drawn['fc1/bias'], weights['fc1/bias'])
    for name, kept in mask.items():
        assert drawn[name].dtype == np.float32
        assert np.isin(drawn[name][kept], weights[name][kept]).all()
        assert np.array_equal(drawn[name][~kept], weights[name][~kept])
    assert all(np.array_equal(drawn[name], again) for name, again in resampled(weights, mask, seed, keep_signs).items())


@given(tickets(), st.integers(0, 2**31 - 1))
def test_signs_are_kept(ticket, seed):
    weights, mask = ticket
    drawn = resampled(weights, mask, seed, keep_signs=True)
    for name in mask:
        assert np.array_equal(np.sign(drawn[name]), np.sign(weights[name]))


def test_resampling_draws_with_replacement_and_does_not_keep_signs_unasked():
    values = np.arange(-500, 500, dtype=np.float32).reshape(10, 100)
    mask = Mask({'kernel': np.ones((10, 100))})
    drawn = resampled({'kernel': values}, mask, 0)['kernel']
    # Of n numbers drawn from n with replacement, 1 - 1/e differ.
    assert len(np.unique(drawn)) == pytest.approx(632, abs=30)
    assert np.mean(np.sign(drawn) == np.sign(values)) == pytest.approx(0.5, abs=0.05)
    assert not np.array_equal(drawn, resampled({'kernel': values}, mask, 1)['kernel'])
    assert np.array_equal(values.ravel(), np.arange(-500, 500))


@given(tickets(), st.integers(0, 2**31 - 1), st.booleans())
def test_reshuffled_survivors_are_a_permutation_of_those_of_their_layer(ticket, seed, keep_signs):
    weights, mask = ticket
    drawn = reshuffled(weights, mask, seed, keep_signs)
    assert np.array_equal(drawn['fc1/bias'], weights['fc1/bias'])
    for name, kept in mask.items():
        assert np.array_equal(np.sort(drawn[name][kept]), np.sort(weights[name][kept]))
        assert np.array_equal(drawn[name][~kept], weights[name][~kept])
        assert not keep_signs or np.array_equal(np.sign(drawn[name]), np.sign(weights[name]))


def test_reshuffling_moves_weights_by_the_seed_and_does_not_keep_signs_unasked():
    values = {'kernel': np.arange(-500, 500, dtype=np.float32).reshape(10, 100)}
    mask = Mask({'kernel': np.ones((10, 100))})
    first, other = (reshuffled(values, mask, seed)['kernel'] for seed in (0, 1))
    assert np.mean(first == values['kernel']) < 0.01
    assert np.mean(np.sign(first) == np.sign(values['kernel'])) == pytest.approx(0.5, abs=0.05)
    assert not np.array_equal(first, other)


def test_constants_are_a_deviation_of_the_layer_with_either_sign():
    # Standard deviations 2 and 1, whatever the mean.
    initial = {'fc1/kernel': np.float32([[1, 5], [5, 1]]), 'output/kernel': np.float32([[-1, 1]] * 500),
               'fc1/bias': np.float32([7, 8])}
    made = constant(initial, ['fc1/kernel', 'output/kernel'], 3)
    assert np.array_equal(made['fc1/bias'], [7, 8])
    assert np.array_equal(np.abs(made['fc1/kernel']), np.full((2, 2), 2))
    assert np.array_equal(np.abs(made['output/kernel']), np.ones((500, 2)))
    assert made['output/kernel'].dtype == np.float32
    assert np.mean(made['output/kernel'] > 0) == pytest.approx(0.5, abs=0.05)
    again, other = (constant(initial, ['output/kernel'], seed)['output/kernel'] for seed in (3, 4))
    assert np.array_equal(again, constant(initial, ['output/kernel'], 3)['output/kernel'])
    assert not np.array_equal(again, other)


def test_a_weight_takes_the_sign_of_another_and_keeps_its_own_beside_a_zero():
    weights = {'kernel': np.float32([1, -2, 3, -4, 5]), 'bias': np.float32([1])}
    signs = {'kernel': np.float32([-9, -9, 0, -0.0, 9]), 'bias': np.float32([-1])}
    signed = with_signs(weights, signs, ['kernel'])
    assert signed['kernel'].tolist() == [-1, -2, 3, -4, 5]
    assert signed['kernel'].dtype == np.float32
    assert signed['bias'].tolist() == [1]


def test_a_weight_is_frozen_at_zero_where_it_moved_toward_zero():
    initial = {'kernel': np.float32([1, -1, 1, 1, -1, 2, 0]), 'bias': np.float32([1])}
    # Nearer to zero, past it, farther away, to the other side, unmoved; and a weight that had no size.
    trained = {'kernel': np.float32([0.5, 0.25, 1.5, -2, -1, 0, 3]), 'bias': np.float32([0])}
    frozen = frozen_by_direction(trained, initial, ['kernel'])
    assert list(frozen) == ['kernel']
    assert frozen['kernel'].tolist() == [0, 0, 1, 1, -1, 0, 0]
    # A level later the pruned weights are what they were frozen at.
    assert frozen_by_direction(frozen, initial, ['kernel'])['kernel'].tolist() == frozen['kernel'].tolist()


@pytest.mark.parametrize('scale', [0.5, 3])
def test_noise_is_a_multiple_of_each_layers_initial_deviation(scale):
    rng = np.random.default_rng(0)
    deviations = {'fc1/kernel': 0.1, 'output/kernel': 0.02}
    initial = {name: rng.normal(scale=deviation, size=(300, 100)).astype(np.float32)
               for name, deviation in deviations.items()}
    weights = {name: np.full((300, 100), 7, np.float32) for name in deviations} | {'fc1/bias': np.ones(3, np.float32)}
    noised = noisy(weights, initial, list(deviations), scale, 5)
    assert list(noised) == list(weights)
    assert np.array_equal(noised['fc1/bias'], np.ones(3))
    for name, deviation in deviations.items():
        assert noised[name].dtype == np.float32
        noise = noised[name] - weights[name]
        assert noise.std() == pytest.approx(scale * deviation, rel=0.03)
        assert noise.mean() == pytest.approx(0, abs=0.03 * scale * deviation)
    first, second = (noised[name] - 7 for name in deviations)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.03
    again, other = (noisy(weights, initial, list(deviations), scale, seed) for seed in (5, 6))
    assert np.array_equal(noised['fc1/kernel'], again['fc1/kernel'])
    assert not np.array_equal(noised['fc1/kernel'], other['fc1/kernel'])


def test_kaiming_constants_by_hand():
    weights = {'fc/kernel': np.float32([[1, -3], [0, 2]]), 'conv/kernel': -np.ones((3, 3, 2, 5), np.float32),
               'fc/bias': np.float32([1, 2])}
    own = kaiming_constant(weights, ['fc/kernel'])
    assert own['fc/kernel'].tolist() == [[1, -1], [1, 1]] and own['fc/kernel'].dtype == np.float32
    assert own['fc/bias'] is weights['fc/bias'] and own['conv/kernel'] is weights['conv/kernel']
    # A convolution's n_in is its height, width and input channels.
    assert kaiming(weights['conv/kernel']) == pytest.approx(np.sqrt(2 / 18))
    assert np.all(kaiming_constant(weights, ['conv/kernel'])['conv/kernel'] == -np.float32(np.sqrt(2 / 18)))
    assert scaled(weights, {'fc/bias': 2.0})['fc/bias'].tolist() == [2, 4]
    assert scaled(weights, {}) == weights


def test_kaiming_normal_weights_have_the_deviation_of_their_fan():
    weights = {'fc/kernel': np.zeros((50, 400), np.float32)}
    drawn = kaiming_normal(weights, ['fc/kernel'], 1)['fc/kernel']
    assert drawn.std() == pytest.approx(0.2, rel=0.02) and abs(drawn.mean()) < 0.005
    assert np.array_equal(drawn, kaiming_normal(weights, ['fc/kernel'], 1)['fc/kernel'])
    assert not np.array_equal(drawn, kaiming_normal(weights, ['fc/kernel'], 2)['fc/kernel'])
