"""Crops, mirror images and resizing of JPEG files, against slow arithmetic on the whole image."""

import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.data import jpeg


def picture(height=90, width=140):
    """A smooth picture, of which JPEG loses little: one colour runs downwards, one to the right, one is a wave."""
    rows, columns = np.mgrid[:height, :width]
    wave = 128 + 100 * np.sin(rows / 9) * np.cos(columns / 13)
    return np.stack([rows * 250 / height, columns * 250 / width, wave], axis=-1).astype(np.uint8)


def encoded(image):
    return tf.io.encode_jpeg(image, quality=98, chroma_downsampling=False)


def resized(image, size):
    """Bilinear interpolation between the centres of pixels, one output pixel at a time."""
    result = np.empty((size, size, 3))
    for row in range(size):
        for column in range(size):
            y, x = ((place + 0.5) * length / size - 0.5
                    for place, length in ((row, image.shape[0]), (column, image.shape[1])))
            (top, down), (left, right) = ((int(np.floor(place)), place - np.floor(place)) for place in (y, x))
            ys, xs = (np.clip([first, first + 1], 0, length - 1)
                      for first, length in ((top, image.shape[0]), (left, image.shape[1])))
            corners = image[np.ix_(ys, xs)].astype(float)
            result[row, column] = np.einsum('y,x,yxc->c', [1 - down, down], [1 - right, right], corners)
    return np.round(result)


def window(content, crop_seed):
    corner, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.io.extract_jpeg_shape(content), tf.zeros([1, 0, 4]), crop_seed, min_object_covered=0.0,
        aspect_ratio_range=jpeg.RATIO, area_range=jpeg.AREA, max_attempts=10, use_image_if_no_bounding_boxes=True)
    (top, left, _), (height, width, _) = corner.numpy(), extent.numpy()
    return top, left, height, width


@pytest.mark.parametrize('shape', [(90, 140), (61, 33), (16, 16)])
def test_evaluation_sees_the_centre(shape):
    image = picture(*shape)
    view = jpeg.central_view(encoded(image), 24).numpy()
    side = round(0.875 * min(shape))
    top, left = ((length - side) // 2 for length in shape)
    expected = resized(image[top:top + side, left:left + side], 24)
    assert view.shape == (24, 24, 3) and view.dtype == np.uint8
    assert np.abs(view - expected).max() <= 6 and np.abs(view - expected).mean() < 1


@pytest.mark.parametrize('number', range(6))
def test_training_sees_a_crop_and_every_other_one_mirrored(number):
    image, seed = picture(), tf.constant([5, number], tf.int64)
    content = encoded(image)
    view = jpeg.random_view(content, 24, seed, seed).numpy()
    top, left, height, width = window(content, seed)
    crop = image[top:top + height, left:left + width]
    if tf.random.stateless_uniform([], seed, maxval=2, dtype=tf.int32) == 1:
        crop = crop[:, ::-1]
    expected = resized(crop, 24)
    assert np.abs(view - expected).max() <= 8 and np.abs(view - expected).mean() < 1.5


def test_crops_have_the_shares_and_ratios_that_are_asked_for():
    content = encoded(picture(400, 500))
    windows = np.array([window(content, tf.constant([1, number], tf.int64)) for number in range(400)])
    shares = windows[:, 2] * windows[:, 3] / (400 * 500)
    ratios = windows[:, 3] / windows[:, 2]
    assert shares.min() > 0.09 and shares.max() <= 1 and 0.3 < shares.mean() < 0.5
    assert ratios.min() > 0.74 and ratios.max() < 1.35
    assert (windows[:, :2] >= 0).all() and (windows[:, 0] + windows[:, 2] <= 400).all()


def test_the_seeds_decide():
    content = encoded(picture())

    def view(crop, flip):
        return jpeg.random_view(content, 24, tf.constant([crop, 0]), tf.constant([flip, 0])).numpy()

    assert np.array_equal(view(1, 2), view(1, 2))
    assert not np.array_equal(view(1, 2), view(3, 2))
    flips = {view(1, flip).tobytes() for flip in range(12)}
    assert flips == {view(1, 2).tobytes(), view(1, 2)[:, ::-1].tobytes()}


def test_a_grey_image_has_three_equal_colours():
    grey = tf.io.encode_jpeg(picture()[..., :1])
    view = jpeg.central_view(grey, 24).numpy()
    assert view.shape == (24, 24, 3) and np.ptp(view, axis=-1).max() == 0
