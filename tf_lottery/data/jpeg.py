"""Views of image files for training and evaluation: of a JPEG file, what lies outside of a crop is not decoded."""

import tensorflow as tf

# The share of the image that a training crop covers, and its width over its height. tensorflow/tpu, which 1903.01611
# trains with, draws shares from 0.08 but rejects those that cover less than 0.1 of the image; open_lth begins at 0.1.
AREA = (0.1, 1.0)
RATIO = (3 / 4, 4 / 3)
# Crops that are tried before the whole image is taken.
_ATTEMPTS = 10

# The share of the shorter side that evaluation sees: 224 of 256 pixels.
CENTRE = 0.875


def random_view(jpeg, size, crop_seed, flip_seed, channels=3):
    """A random crop, resized, every other one mirrored (Szegedy et al., 1409.4842, section 6).

    Args:
      jpeg: scalar string tensor, a file's content.
      size: int, pixels per side.
      crop_seed, flip_seed: integer tensors [2].
      channels: int, 3 or 1 of grey images.

    Returns:
      uint8 tensor [size, size, channels].
    """
    window = _random(tf.io.extract_jpeg_shape(jpeg), crop_seed)
    return _mirrored(_resized(jpeg, window, size, channels), flip_seed, [size, size, channels])


def random_view_of_pixels(image, size, crop_seed, flip_seed):
    """`random_view` of a file of another format that has been decoded: uint8 tensor [height, width, channels]."""
    window = _random(tf.shape(image), crop_seed)
    return _mirrored(_to_size(_cut(image, window), size), flip_seed, [size, size, image.shape[-1]])


def central_view(jpeg, size, channels=3):
    """The square in the centre of an image, resized.

    Args:
      jpeg: scalar string tensor, a file's content.
      size: int, pixels per side.
      channels: int, 3 or 1 of grey images.

    Returns:
      uint8 tensor [size, size, channels].
    """
    return _resized(jpeg, _centre(tf.io.extract_jpeg_shape(jpeg)[:2]), size, channels)


def central_view_of_pixels(image, size):
    """`central_view` of a file of another format that has been decoded: uint8 tensor [height, width, channels]."""
    return _to_size(_cut(image, _centre(tf.shape(image)[:2])), size)


def _random(shape, seed):
    """The window (top, left, height, width) that training sees of an image of a shape (height, width, channels)."""
    corner, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape, tf.zeros([1, 0, 4]), seed, min_object_covered=0.0, aspect_ratio_range=RATIO, area_range=AREA,
        max_attempts=_ATTEMPTS, use_image_if_no_bounding_boxes=True)
    return tf.concat([corner[:2], extent[:2]], axis=0)


def _mirrored(view, seed, shape):
    """A view of a shape, every other one with its left and right exchanged."""
    mirrored = tf.random.stateless_uniform([], seed, maxval=2, dtype=tf.int32) == 1
    return tf.ensure_shape(tf.cond(mirrored, lambda: tf.reverse(view, [1]), lambda: view), shape)


def _cut(image, window):
    return tf.slice(image, tf.concat([window[:2], [0]], axis=0), tf.concat([window[2:], [-1]], axis=0))


def _centre(extent):
    """The window (top, left, height, width) that evaluation sees of an image of extent (height, width)."""
    side = tf.cast(tf.round(CENTRE * tf.cast(tf.reduce_min(extent), tf.float32)), tf.int32)
    return tf.concat([(extent - side) // 2, [side, side]], axis=0)


def _resized(jpeg, window, size, channels):
    """What a window of a file shows, uint8 [size, size, channels]; `window` is (top, left, height, width)."""
    # libjpeg's faster transforms save no time that can be measured.
    return _to_size(tf.io.decode_and_crop_jpeg(jpeg, window, channels, dct_method='INTEGER_ACCURATE'), size)


def _to_size(image, size):
    # Bytes from here on: a batch of floats would be copied, kept and sent to the device at four times the size.
    # TensorFlow resizes floats with vector instructions, bytes without: that is worth the copy.
    return tf.cast(tf.round(tf.image.resize(tf.cast(image, tf.float32), [size, size])), tf.uint8)
