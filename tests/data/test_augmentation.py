"""Random crops: a pure function of (seed, step), whatever the replica."""

import numpy as np
import tensorflow as tf

from tf_lottery.data.augmentation import pad_and_crop

IMAGES = np.arange(1, 6 * 4 * 5 * 2 + 1, dtype=np.float32).reshape(6, 4, 5, 2)


def crop(images=IMAGES, pixels=2, seed=1, step=0, rows=range(6), batch_size=6):
    return pad_and_crop(tf.constant(images), pixels, tf.constant(seed), tf.constant(step),
                        tf.constant(list(rows), tf.int32), batch_size).numpy()


def windows(image, pixels):
    """Every crop of an image that was padded, by its offset."""
    height, width = image.shape[:2]
    padded = np.pad(image, [(pixels, pixels), (pixels, pixels), (0, 0)])
    return {(y, x): padded[y:y + height, x:x + width] for y in range(2 * pixels + 1) for x in range(2 * pixels + 1)}


def offset(image, cropped, pixels=2):
    (found,) = [place for place, window in windows(image, pixels).items() if np.array_equal(window, cropped)]
    return found


def test_no_pixels_changes_nothing():
    assert np.array_equal(crop(pixels=0), IMAGES)


def test_every_image_is_one_of_its_own_windows():
    cropped = crop()
    assert cropped.shape == IMAGES.shape and cropped.dtype == IMAGES.dtype
    assert len({offset(image, each) for image, each in zip(IMAGES, cropped, strict=True)}) > 1


def test_every_offset_is_drawn():
    drawn = {offset(IMAGES[row], each, 1) for step in range(60) for row, each in enumerate(crop(pixels=1, step=step))}
    assert drawn == {(y, x) for y in range(3) for x in range(3)}


def test_seed_and_step_decide_and_nothing_else():
    assert np.array_equal(crop(seed=3, step=5), crop(seed=3, step=5))
    assert not np.array_equal(crop(seed=3, step=5), crop(seed=3, step=6))
    assert not np.array_equal(crop(seed=3, step=5), crop(seed=4, step=5))


def test_a_replica_crops_its_rows_as_the_whole_batch_would_be():
    whole = crop()
    assert np.array_equal(crop(IMAGES[4:], rows=[4, 5]), whole[4:])
    assert np.array_equal(crop(IMAGES[1::2], rows=[1, 3, 5]), whole[1::2])


def test_it_is_the_same_under_xla():
    compiled = tf.function(pad_and_crop, jit_compile=True)
    assert np.array_equal(compiled(tf.constant(IMAGES), 2, tf.constant(1), tf.constant(0), tf.range(6), 6), crop())
