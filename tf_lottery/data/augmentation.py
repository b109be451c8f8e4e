"""Augmentation of whole batches inside the training step: a pure function of (seed, step)."""

import tensorflow as tf


def pad_and_crop(images, pixels, seed, step, rows, batch_size):
    """Pads each image by `pixels` zeros on every side and crops it back at a random place.

    Args:
      images: tensor [n, height, width, channels].
      pixels: int; 0 returns the images as they are.
      seed: int32 scalar tensor, the augmentation seed.
      step: int32 scalar tensor, the training step.
      rows: int32 [n], where the images stand in the whole batch: how a batch is split over replicas changes nothing.
      batch_size: int, the size of the whole batch.

    Returns:
      Tensor of the shape and dtype of `images`.
    """
    if not pixels:
        return images
    height, width = images.shape[1:3]
    offsets = tf.random.stateless_uniform(
        [batch_size, 2], seed=tf.stack([seed, step]), maxval=2 * pixels + 1, dtype=tf.int32)
    offsets = tf.gather(offsets, rows)
    padded = tf.pad(images, [[0, 0], [pixels, pixels], [pixels, pixels], [0, 0]])
    cropped = tf.gather(padded, offsets[:, :1] + tf.range(height), axis=1, batch_dims=1)
    return tf.gather(cropped, offsets[:, None, 1:] + tf.zeros([height, 1], tf.int32) + tf.range(width), axis=2,
                     batch_dims=2)
