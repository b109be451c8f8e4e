"""What networks are trained to minimise."""

import tensorflow as tf


def mean_cross_entropy(logits, batch, smoothing=0.0):
    """The mean cross-entropy of a batch, whose images may be of two classes each.

    Args:
      logits: float32 [n, classes].
      batch: dict with `label` int32 [n]; and where images are mixed, `other` int32 [n], a second label of each, and
        `share` float32 [n], by which the first one counts.
      smoothing: float in [0, 1), the share of each label that is spread over all classes evenly (Szegedy et al.,
        1512.00567, section 7).

    Returns:
      float32 scalar, in nats.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch['label'], logits)
    if 'other' in batch:
        others = tf.nn.sparse_softmax_cross_entropy_with_logits(batch['other'], logits)
        losses = batch['share'] * losses + (1 - batch['share']) * others
    if smoothing:
        spread = tf.reduce_logsumexp(logits, axis=-1) - tf.reduce_mean(logits, axis=-1)
        losses = (1 - smoothing) * losses + smoothing * spread
    return tf.reduce_mean(losses)
