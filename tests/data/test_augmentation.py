"""Random crops and mirror images: a pure function of (seed, step), whatever the replica."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tf_lottery.data.augmentation import crop_and_flip

# Every pixel of every image is another one, and none is 0, as the frame is.
IMAGES = np.arange(1, 6 * 4 * 5 * 2 + 1, dtype=np.uint8).reshape(6, 4, 5, 2)


def augment(images=IMAGES, pixels=2, flip=True, seed=1, step=0, rows=range(6), batch_size=6, function=crop_and_flip):
    return function(tf.constant(images), pixels, flip, tf.constant(seed), tf.constant(step),
                    tf.constant(list(rows), tf.int32), batch_size).numpy()


def views(image, pixels, flip):
    """Every view of an image that may be drawn, by the place of its crop and whether it is mirrored."""
    height, width = image.shape[:2]
    padded = np.pad(image, [(pixels, pixels), (pixels, pixels), (0, 0)])
    windows = {(y, x): padded[y:y + height, x:x + width] for y in range(2 * pixels + 1) for x in range(2 * pixels + 1)}
    return {(*place, mirrored): window[:, ::-1] if mirrored else window
            for place, window in windows.items() for mirrored in range(1 + flip)}


def view(image, augmented, pixels=2, flip=True):
    (found,) = [drawn for drawn, each in views(image, pixels, flip).items() if np.array_equal(each, augmented)]
    return found


def test_without_options_it_changes_nothing():
    assert np.array_equal(augment(pixels=0, flip=False), IMAGES)


def test_images_by_hand(monkeypatch):
    """One image of two rows, abc over def: its crops and mirror images as one writes them down."""
    image = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)[None, :, :, None]
    for top, left, mirrored, expected in (
            (1, 1, 0, [[1, 2, 3], [4, 5, 6]]), (1, 1, 1, [[3, 2, 1], [6, 5, 4]]),
            (0, 0, 0, [[0, 0, 0], [0, 1, 2]]), (0, 0, 1, [[0, 0, 0], [2, 1, 0]]),
            (2, 1, 0, [[4, 5, 6], [0, 0, 0]]), (2, 2, 1, [[0, 6, 5], [0, 0, 0]]),
            (1, 2, 0, [[2, 3, 0], [5, 6, 0]]), (1, 0, 1, [[2, 1, 0], [5, 4, 0]])):
        def drawn(shape, top=top, left=left, mirrored=mirrored, **options):
            return tf.constant([[top, left]] if shape[1] == 2 else [[mirrored]])

        monkeypatch.setattr(tf.random, 'stateless_uniform', drawn)
        assert augment(image, 1, True, rows=[0], batch_size=1)[0, :, :, 0].tolist() == expected


@pytest.mark.parametrize(('pixels', 'flip'), [(2, False), (2, True), (0, True)])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_every_image_is_one_of_its_own_views(pixels, flip, dtype):
    augmented = augment(IMAGES.astype(dtype), pixels, flip, step=1)
    assert augmented.shape == IMAGES.shape and augmented.dtype == dtype
    assert len({view(image, each, pixels, flip) for image, each in zip(IMAGES, augmented, strict=True)}) > 1


def test_every_view_is_drawn_about_as_often():
    counts = dict.fromkeys(views(IMAGES[0], 1, True), 0)
    for step in range(300):
        for image, each in zip(IMAGES, augment(pixels=1, step=step), strict=True):
            counts[view(image, each, 1)] += 1
    # 18 views in 1,800 draws: a hundred of each, give or take four standard deviations.
    assert all(60 < count < 140 for count in counts.values())


def test_a_flip_does_not_move_the_crop():
    """So that experiments of before there were flips crop as they did."""
    for image, plain, both in zip(IMAGES, augment(flip=False), augment(), strict=True):
        assert view(image, plain, flip=False)[:2] == view(image, both)[:2]


def test_seed_and_step_decide_and_nothing_else():
    for options in ({'pixels': 0}, {'flip': False}):
        draws = [augment(seed=seed, step=step, **options).tobytes() for seed in (3, 4) for step in (5, 6)]
        assert len(set(draws)) == 4
        assert augment(seed=3, step=5, **options).tobytes() == draws[0]


@hypothesis.settings(max_examples=30)
@hypothesis.given(seed=st.integers(0, 2**31 - 1), step=st.integers(0, 10**6), rows=st.permutations(range(6)),
                  cut=st.integers(0, 6))
def test_a_replica_augments_its_rows_as_the_whole_batch_would_be(seed, step, rows, cut):
    whole = augment(seed=seed, step=step)
    for share in (rows[:cut], rows[cut:]):
        assert np.array_equal(augment(IMAGES[share], seed=seed, step=step, rows=share), whole[share])


@pytest.mark.parametrize(('pixels', 'flip'), [(2, False), (2, True), (0, True)])
def test_it_is_the_same_under_xla(pixels, flip):
    compiled = tf.function(crop_and_flip, jit_compile=True)
    assert np.array_equal(augment(pixels=pixels, flip=flip, function=compiled), augment(pixels=pixels, flip=flip))
