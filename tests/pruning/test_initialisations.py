"""Tests of tf_lottery/pruning/initialisations.py: what may be drawn, and what must stay."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tf_lottery.pruning import initialisations
from tf_lottery.pruning.initialisations import noisy, resampled, scaled, signed_constants
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


def test_signed_constants_by_hand():
    weights = {'fc/kernel': np.float32([[1, -3], [0, 2]]), 'conv/kernel': -np.ones((3, 3, 2, 5), np.float32),
               'fc/bias': np.float32([1, 2])}
    own = signed_constants(weights, ['fc/kernel', 'conv/kernel'], initialisations.deviation)
    assert own['fc/kernel'] == pytest.approx(np.float32([[1, -1], [1, 1]]) * np.sqrt(3.5))
    assert own['fc/kernel'].dtype == np.float32 and own['fc/bias'] is weights['fc/bias']
    # A convolution's n_in is its height, width and input channels.
    assert initialisations.kaiming(weights['conv/kernel']) == pytest.approx(np.sqrt(2 / 18))
    he = signed_constants(weights, ['conv/kernel'], initialisations.kaiming)
    assert np.all(he['conv/kernel'] == -np.float32(np.sqrt(2 / 18))) and he['fc/kernel'] is weights['fc/kernel']
    assert scaled(weights, {'fc/bias': 2.0})['fc/bias'].tolist() == [2, 4]
    assert scaled(weights, {}) == weights


def test_kaiming_normal_weights_have_the_deviation_of_their_fan():
    weights = {'fc/kernel': np.zeros((50, 400), np.float32)}
    drawn = initialisations.kaiming_normal(weights, ['fc/kernel'], 1)['fc/kernel']
    assert drawn.std() == pytest.approx(0.2, rel=0.02) and abs(drawn.mean()) < 0.005
    assert np.array_equal(drawn, initialisations.kaiming_normal(weights, ['fc/kernel'], 1)['fc/kernel'])
    assert not np.array_equal(drawn, initialisations.kaiming_normal(weights, ['fc/kernel'], 2)['fc/kernel'])
