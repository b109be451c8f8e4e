"""MixUp and CutMix of a batch of images: functions of a seed.

The formulas are those of KerasCV's layers of these names. The layers themselves draw from TensorFlow's global
generator, so that a run that is resumed would mix other images.
"""

import tensorflow as tf


def mix_up(batch, alpha, seed):
    """Blends each image with another one of its batch (Zhang et al., 1710.09412).

    Args:
      batch: dict with `image` uint8 [n, height, width, channels] and `label` int32 [n].
      alpha: float above 0; the share of an image is drawn from Beta(alpha, alpha).
      seed: int64 tensor [2].

    Returns:
      The dict with blended images, `other` int32 [n], the labels of the images blended in, and `share` float32 [n], by
      which the loss of `label` counts; that of `other` counts the rest.
    """
    partner_seed, share_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    partner, share = _partner(batch, partner_seed), _beta(alpha, tf.size(batch['label']), share_seed)
    own, other = (tf.cast(images, tf.float32) for images in (batch['image'], tf.gather(batch['image'], partner)))
    weight = share[:, None, None, None]
    return {**batch, 'image': tf.cast(tf.round(weight * own + (1 - weight) * other), tf.uint8),
            'other': tf.gather(batch['label'], partner), 'share': share}


def cut_mix(batch, alpha, seed):
    """Pastes a rectangle of another image of the batch into each (Yun et al., 1905.04899).

    Args:
      batch, seed: as in `mix_up`.
      alpha: float above 0; the share of the rectangle before it is cut off at the border is drawn from
        Beta(alpha, alpha).

    Returns:
      As `mix_up`; `share` is that of the pixels that stayed.
    """
    partner_seed, share_seed, place_seed = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    partner, count = _partner(batch, partner_seed), tf.size(batch['label'])
    height, width = batch['image'].shape[1:3]
    share = tf.sqrt(1 - _beta(alpha, count, share_seed))

    def cut(axis, size):
        """The places along an axis that are pasted, bool [n, size], and how many they are, int32 [n]."""
        side = tf.cast(size * share, tf.int32)
        centre = tf.random.stateless_uniform([2, count], place_seed, maxval=size, dtype=tf.int32)[axis]
        first, last = (tf.clip_by_value(edge, 0, size) for edge in (centre - side // 2, centre - side // 2 + side))
        places = tf.range(size)
        return (first[:, None] <= places) & (places < last[:, None]), last - first

    (rows, tall), (columns, wide) = cut(0, height), cut(1, width)
    pasted = rows[:, :, None, None] & columns[:, None, :, None]
    return {**batch, 'image': tf.where(pasted, tf.gather(batch['image'], partner), batch['image']),
            'other': tf.gather(batch['label'], partner),
            'share': 1 - tf.cast(tall * wide, tf.float32) / (height * width)}


def _partner(batch, seed):
    return tf.random.experimental.stateless_shuffle(tf.range(tf.size(batch['label'])), seed)


def _beta(alpha, count, seed):
    one, two = tf.unstack(tf.random.stateless_gamma([2, count], seed, alpha, dtype=tf.float64))
    return tf.cast(one / (one + two), tf.float32)
