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
        padding = pieces * size - len(split)
        images = np.pad(split.images, [(0, padding), (0, 0), (0, 0), (0, 0)])
        # A label of -1 marks padding.
        labels = np.pad(split.labels, (0, padding), constant_values=-1)
        self._images = tf.Variable(images.reshape(pieces, size, *images.shape[1:]), trainable=False)
        self._labels = tf.Variable(labels.reshape(pieces, size), trainable=False)
        self._examples = len(split)

        def totals():
            def body(piece, loss, correct):
                piece_images = tf.cast(self._images[piece], tf.float32) / brightest
                logits = network(piece_images, training=False)
                labels, counted = tf.maximum(self._labels[piece], 0), self._labels[piece] >= 0
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                right = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels) & counted
                return (piece + 1, loss + tf.reduce_sum(tf.where(counted, losses, 0.0)),
                        correct + tf.reduce_sum(tf.cast(right, tf.int32)))

            _, loss, correct = tf.while_loop(lambda piece, *_: piece < pieces, body, (0, 0.0, 0))
            return loss, correct

        self._totals = tf.function(totals, jit_compile=jit)

    def __call__(self):
        """Returns {'loss': mean cross-entropy in nats, 'accuracy': fraction}, Python floats."""
        loss, correct = self._totals()
        return {'loss': float(loss) / self._examples, 'accuracy': int(correct) / self._examples}
