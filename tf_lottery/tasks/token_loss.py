"""What translators are trained to minimise, and how they are judged on the way."""

import tensorflow as tf

from tf_lottery.models.attention import PADDING
from tf_lottery.models.decoding import BEGIN
from tf_lottery.tasks.cross_entropy import of_words
from tf_lottery.training import evaluation


def said_before(target):
    """What the decoder has said before each sub-word: int32 [n, targets], BEGIN and then `target` but for its last."""
    return tf.concat([tf.fill([tf.shape(target)[0], 1], BEGIN), target[:, :-1]], 1)


def cross_entropy(logits, target, smoothing=0.0):
    """The summed cross-entropy of what was to be said; padding counts nothing.

    Args:
      logits: float32 [n, targets, vocabulary].
      target: int32 [n, targets].
      smoothing: as of `of_words`.

    Returns:
      float32 scalar, in nats.
    """
    return tf.reduce_sum(tf.where(target != PADDING, of_words(logits, target, smoothing), 0.0))


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
