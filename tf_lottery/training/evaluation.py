"""Loss and accuracy over a whole split in one call."""

import math

import numpy as np
import tensorflow as tf

# Larger pieces fall out of the caches of a CPU, smaller ones leave its matrix units idle.
_PIECE = 1000


class Evaluator:
    """Evaluates a network on one split: one call of one compiled program, every example counted once.

    Args:
      network: Keras model from images in [0, 1] to logits.
      split: data.Split.
      brightest: the pixel value that becomes 1.0.
      jit: whether XLA compiles it.
    """

    def __init__(self, network, split, brightest, jit):
        pieces = math.ceil(len(split) / _PIECE)
        size = math.ceil(len(split) / pieces)
        images, labels = padded(split, size)
        self._images = tf.Variable(images.reshape(pieces, size, *images.shape[1:]), trainable=False)
        self._labels = tf.Variable(labels.reshape(pieces, size), trainable=False)
        self._examples = len(split)

        def totals():
            def body(piece, loss, correct):
                own_loss, own_correct, _ = _sums(network, self._images[piece], self._labels[piece], brightest)
                return piece + 1, loss + own_loss, correct + own_correct

            _, loss, correct = tf.while_loop(lambda piece, *_: piece < pieces, body, (0, 0.0, 0))
            return loss, correct

        self._totals = tf.function(totals, jit_compile=jit)

    def __call__(self):
        """Returns {'loss': mean cross-entropy in nats, 'accuracy': fraction}, Python floats."""
        loss, correct = self._totals()
        return {'loss': float(loss) / self._examples, 'accuracy': int(correct) / self._examples}


class StreamEvaluator:
    """Evaluates a network on a split that comes in batches, every example counted once on any number of replicas.

    Args:
      network: Keras model from images in [0, 1] to logits.
      batches: (distributed) dataset of dicts with `image` uint8 [n, height, width, channels] and `label` int32 [n], -1
        where an image does not count.
      brightest, jit: as of `Evaluator`.
      strategy: the tf.distribute.Strategy of the network.
      explained: function that returns a context in which damaged files are errors of their own.
    """

    def __init__(self, network, batches, brightest, jit, strategy, explained):
        self._batches, self._explained = batches, explained

        @tf.function(jit_compile=jit)
        def added(batch, before):
            own = _sums(network, batch['image'], batch['label'], brightest)
            return tuple(one + other for one, other in zip(before, own, strict=True))

        self._strategy = strategy

        def nothing():
            return tf.constant(0.0), tf.constant(0), tf.constant(0)

        @tf.function
        def start():
            return strategy.run(nothing)

        @tf.function
        def go_on(batch, before):
            return strategy.run(added, args=(batch, before))

        self._start, self._go_on = start, go_on

    def __call__(self):
        """Returns {'loss': mean cross-entropy in nats, 'accuracy': fraction}, Python floats."""
        sums = self._start()
        with self._explained():
            for batch in self._batches:
                sums = self._go_on(batch, sums)
        # Replicas meet once, at the end.
        loss, correct, examples = (self._strategy.reduce(tf.distribute.ReduceOp.SUM, each, axis=None) for each in sums)
        return {'loss': float(loss) / int(examples), 'accuracy': int(correct) / int(examples)}


def padded(split, size):
    """The images and labels of a split in whole pieces of a size: a label of -1 marks padding."""
    padding = -len(split) % size
    return (np.pad(split.images, [(0, padding), (0, 0), (0, 0), (0, 0)]),
            np.pad(split.labels, (0, padding), constant_values=-1))


def _sums(network, images, labels, brightest):
    """The sums of losses, of correct predictions and of examples over a batch; a label of -1 does not count."""
    logits = network(tf.cast(images, tf.float32) / brightest, training=False)
    counted, labels = labels >= 0, tf.maximum(labels, 0)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    right = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels) & counted
    return (tf.reduce_sum(tf.where(counted, losses, 0.0)), tf.reduce_sum(tf.cast(right, tf.int32)),
            tf.reduce_sum(tf.cast(counted, tf.int32)))
