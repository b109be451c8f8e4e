"""MixUp and CutMix: shares and labels belong to the pixels."""

import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.data import mixing

COUNT, SIZE = 400, 8
# Every image has one colour of its own, which tells whose a pixel is.
COLOURS = np.arange(COUNT) % 250


def mixed(mixer, alpha, seed=1, shape=(SIZE, SIZE, 3)):
    batch = {'image': tf.constant(np.broadcast_to(COLOURS[:, None, None, None], (COUNT, *shape)), tf.uint8),
             'label': tf.constant(COLOURS, tf.int32)}
    return {key: value.numpy() for key, value in mixer(batch, alpha, tf.constant([seed, 5], tf.int64)).items()}


@pytest.mark.parametrize('shape', [(SIZE, SIZE, 3), (6, 11, 1)])
@pytest.mark.parametrize('mixer', [mixing.mix_up, mixing.cut_mix])
def test_the_share_is_that_of_the_pixels(mixer, shape):
    found = mixed(mixer, 1.0, shape=shape)
    expected = found['share'] * found['label'] + (1 - found['share']) * found['other']
    assert found['image'].mean((1, 2, 3)) == pytest.approx(expected, abs=0.51)
    assert np.array_equal(found['label'], COLOURS) and sorted(found['other']) == sorted(COLOURS)
    assert found['image'].dtype == np.uint8 and (found['share'] >= 0).all() and (found['share'] <= 1).all()
    assert np.mean(found['other'] == found['label']) < 0.05


@pytest.mark.parametrize(('alpha', 'deviation'), [(1.0, 12 ** -0.5), (0.2, 1.4 ** -0.5 / 2)])
def test_shares_are_drawn_from_beta(alpha, deviation):
    share = mixed(mixing.mix_up, alpha)['share']
    # The variance of Beta(a, a) is 1 / (4 (2 a + 1)).
    assert share.mean() == pytest.approx(0.5, abs=0.07) and share.std() == pytest.approx(deviation, abs=0.03)


@pytest.mark.parametrize('shape', [(SIZE, SIZE, 3), (6, 11, 1)])
def test_what_is_pasted_is_a_rectangle(shape):
    found, corners = mixed(mixing.cut_mix, 1.0, shape=shape), []
    for image, label, other in zip(found['image'][..., 0], found['label'], found['other'], strict=True):
        if label != other:
            rows, columns = np.nonzero(image == other)
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1) if len(rows) else True
            assert set(np.unique(image)) <= {label, other}
            if len(rows):
                corners.append((rows.min(), columns.min()))
    # It is anywhere: how far down says nothing of how far to the right.
    assert abs(np.corrcoef(np.array(corners).T)[0, 1]) < 0.4


@pytest.mark.parametrize('mixer', [mixing.mix_up, mixing.cut_mix])
def test_the_seed_decides(mixer):
    one, again, other = mixed(mixer, 0.5), mixed(mixer, 0.5), mixed(mixer, 0.5, seed=2)
    assert all(np.array_equal(one[key], again[key]) for key in one)
    assert not np.array_equal(one['share'], other['share']) and not np.array_equal(one['other'], other['other'])
