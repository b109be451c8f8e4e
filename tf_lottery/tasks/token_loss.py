"""What translators are trained to minimise, and how they are judged on the way."""

import tensorflow as tf

from tf_lottery.models.attention import PADDING
from tf_lottery.models.decoding import BEGIN
from tf_lottery.training import evaluation


def said_before(target):
    """What the decoder has said before each sub-word: int32 [n, targets], BEGIN and then `target` but for its last."""
    return tf.concat([tf.fill([tf.shape(target)[0], 1], BEGIN), target[:, :-1]], 1)


def cross_entropy(logits, target, smoothing=0.0):
    """The summed cross-entropy of what was to be said; padding counts nothing.

    Args:
      logits: float32 [n, targets, vocabulary].
      target: int32 [n, targets].
      smoothing: float in [0, 1), the share of each sub-word that is spread over all of the vocabulary evenly
        (1512.00567, section 7).

    Returns:
      float32 scalar, in nats.
    """
    @tf.custom_gradient
    def losses(logits):
        chances = tf.nn.log_softmax(logits)
        said = tf.gather(chances, target, batch_dims=2)
        spread = tf.reduce_mean(chances, -1) if smoothing else 0.0

        def gradient(upstream):
            # TensorFlow's own takes three times as long, for so large an output.
            wanted = (1 - smoothing) * tf.one_hot(target, logits.shape[-1]) + smoothing / logits.shape[-1]
            return upstream[..., None] * (tf.nn.softmax(logits) - wanted)

        return -(1 - smoothing) * said - smoothing * spread, gradient

    return tf.reduce_sum(tf.where(target != PADDING, losses(logits), 0.0))


def tokens(target):
    """How many sub-words are to be said, END among them: float32 scalar."""
    return tf.reduce_sum(tf.cast(target != PADDING, tf.float32))


class Judge(evaluation.Judge):
    """Adds up the cross-entropy of a translator that is told what was to be said before, each sub-word counted once.

    Args:
      inputs: function from a batch, a dict with `target` int32 [n, targets], to what the network takes; its outputs are
        logits float32 [n, targets, vocabulary].
    """

    def __init__(self, inputs):
        self._inputs = inputs

    def start(self):
        return 0.0, 0.0

    def add(self, network, batch, sums):
        logits = network(self._inputs(batch), training=False)
        loss, count = sums
        return loss + cross_entropy(logits, batch['target']), count + tokens(batch['target'])

    def finish(self, sums):
        """Returns {'loss': mean cross-entropy of a sub-word in nats, a Python float}."""
        loss, count = sums
        return {'loss': float(loss) / float(count)}
