"""Views of JPEG files for training and evaluation: what lies outside of a crop is not decoded."""

import tensorflow as tf

# The share of the image that a training crop covers, and its width over its height. tensorflow/tpu, which 1903.01611
# trains with, draws shares from 0.08 but rejects those that cover less than 0.1 of the image; open_lth begins at 0.1.
AREA = (0.1, 1.0)
RATIO = (3 / 4, 4 / 3)
# Crops that are tried before the whole image is taken.
_ATTEMPTS = 10

# The share of the shorter side that evaluation sees: 224 of 256 pixels.
CENTRE = 0.875


def random_view(jpeg, size, crop_seed, flip_seed):
    """A random crop, resized, every other one mirrored (Szegedy et al., 1409.4842, section 6).

    Args:
      jpeg: scalar string tensor, a file's content.
      size: int, pixels per side.
      crop_seed, flip_seed: integer tensors [2].

    Returns:
      uint8 tensor [size, size, 3].
    """
    corner, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.io.extract_jpeg_shape(jpeg), tf.zeros([1, 0, 4]), crop_seed, min_object_covered=0.0,
        aspect_ratio_range=RATIO, area_range=AREA, max_attempts=_ATTEMPTS, use_image_if_no_bounding_boxes=True)
    view = _resized(jpeg, tf.concat([corner[:2], extent[:2]], axis=0), size)
    mirrored = tf.random.stateless_uniform([], flip_seed, maxval=2, dtype=tf.int32) == 1
    return tf.ensure_shape(tf.cond(mirrored, lambda: tf.reverse(view, [1]), lambda: view), [size, size, 3])


def central_view(jpeg, size):
    """The square in the centre of an image, resized.

    Args:
      jpeg: scalar string tensor, a file's content.
      size: int, pixels per side.

    Returns:
      uint8 tensor [size, size, 3].
    """
    return _resized(jpeg, _centre(tf.io.extract_jpeg_shape(jpeg)[:2]), size)


def central_view_of_pixels(image, size):
    """`central_view` of a file of another format that has been decoded: uint8 tensor [height, width, 3]."""
    window = _centre(tf.shape(image)[:2])
    return _to_size(tf.slice(image, tf.concat([window[:2], [0]], axis=0), tf.concat([window[2:], [3]], axis=0)), size)


def _centre(extent):
    """The window (top, left, height, width) that evaluation sees of an image of extent (height, width)."""
    side = tf.cast(tf.round(CENTRE * tf.cast(tf.reduce_min(extent), tf.float32)), tf.int32)
    return tf.concat([(extent - side) // 2, [side, side]], axis=0)


def _resized(jpeg, window, size):
    """What a window of a file shows, uint8 [size, size, 3]; `window` is (top, left, height, width)."""
    # libjpeg's faster transforms save no time that can be measured.
    return _to_size(tf.io.decode_and_crop_jpeg(jpeg, window, channels=3, dct_method='INTEGER_ACCURATE'), size)


def _to_size(image, size):
    # Bytes from here on: a batch of floats would be copied, kept and sent to the device at four times the size.
    # TensorFlow resizes floats with vector instructions, bytes without: that is worth the copy.
    return tf.cast(tf.round(tf.image.resize(tf.cast(image, tf.float32), [size, size])), tf.uint8)
