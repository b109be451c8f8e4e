"""What classifiers, of words too, are trained to minimise, and how they are judged."""

import tensorflow as tf

from tf_lottery.training import evaluation


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


def of_words(logits, words, smoothing=0.0):
    """The cross-entropy of each of some words, of which a vocabulary has thousands.

    Args:
      logits: float32 [n, places, vocabulary].
      words: int32 [n, places].
      smoothing: as of `mean_cross_entropy`.

    Returns:
      float32 [n, places], in nats.
    """
    @tf.custom_gradient
    def losses(logits):
        chances = tf.nn.log_softmax(logits)
        said = tf.gather(chances, words, batch_dims=2)
        spread = tf.reduce_mean(chances, -1) if smoothing else 0.0

        def gradient(upstream):
            # TensorFlow's own take two and three times as long, for so large an output.
            wanted = (1 - smoothing) * tf.one_hot(words, logits.shape[-1]) + smoothing / logits.shape[-1]
            return upstream[..., None] * (tf.nn.softmax(logits) - wanted)

        return -(1 - smoothing) * said - smoothing * spread, gradient

    return losses(logits)


class Judge(evaluation.Judge):
    """Adds up the cross-entropy of a classifier, and how often it is right.

    Args:
      inputs: function from a batch, a dict with `label` int32 [n], -1 where an example does not count, and maybe
        `counted` bool [n], to what the network takes; its outputs are logits float32 [n, classes].
    """

    def __init__(self, inputs):
        self._inputs = inputs

    def start(self):
        return 0.0, 0, 0

    def add(self, network, batch, sums):
        logits = network(self._inputs(batch), training=False)
        counted, labels = batch['label'] >= 0, tf.maximum(batch['label'], 0)
        if 'counted' in batch:
            counted &= batch['counted']
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        right = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels) & counted
        loss, correct, examples = sums
        return (loss + tf.reduce_sum(tf.where(counted, losses, 0.0)),
                correct + tf.reduce_sum(tf.cast(right, tf.int32)),
                examples + tf.reduce_sum(tf.cast(counted, tf.int32)))

    def finish(self, sums):
        """Returns {'loss': mean cross-entropy in nats, 'accuracy': fraction}, Python floats."""
        loss, correct, examples = sums
        return {'loss': float(loss) / int(examples), 'accuracy': int(correct) / int(examples)}
