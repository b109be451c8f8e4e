"""What language models are trained to minimise, and how they are judged."""

import math

import tensorflow as tf

from tf_lottery.tasks.cross_entropy import of_words
from tf_lottery.training import evaluation

# The largest logarithm whose exponential a float holds.
_LARGEST = 700.0


def surprises(scores, words):
    """-ln p of each word.

    Args:
      scores: float32 [n, steps, vocabulary].
      words: int32 [n, steps]; negative where there is none.

    Returns:
      float32 [n, steps], 0 where there is no word.
    """
    return tf.where(words >= 0, of_words(scores, tf.maximum(words, 0)), 0.0)


class Judge(evaluation.Judge):
    """Adds up how surprised a language model is by the words of a text.

    Args:
      inputs: function from a batch, a dict with `words` int32 [n, steps + 1], to what the network takes.
    """

    # Each has scores of a whole vocabulary for each of its words.
    most = 20

    def __init__(self, inputs):
        self._inputs = inputs

    def start(self):
        return 0.0, 0

    def add(self, network, batch, sums):
        *sums, _ = self.add_from(network, batch, sums)
        return tuple(sums)

    def add_from(self, network, batch, sums):
        """As `add`, and the states after the last word; `batch` may have `states` to start from."""
        scores, *after = network(self._inputs(batch), training=False)
        words = batch['words'][:, 1:]
        loss, count = sums
        return (loss + tf.reduce_sum(surprises(scores, words)),
                count + tf.reduce_sum(tf.cast(words >= 0, tf.int32)), after)

    def finish(self, sums):
        """Returns {'loss': mean surprise in nats, 'log_perplexity': the same, 'perplexity': e to its power}, floats."""
        loss, count = sums
        mean = float(loss) / int(count)
        return {'loss': mean, 'log_perplexity': mean, 'perplexity': math.exp(min(mean, _LARGEST))}
