"""The cross-entropy of words: its value by hand, and derivatives that are TensorFlow's own."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.tasks.cross_entropy import of_words


@pytest.mark.parametrize(('smoothing', 'expected'), [(0.0, math.log(4)), (0.3, 0.7 * math.log(4) + 0.1 * math.log(32))])
def test_words_by_hand(smoothing, expected):
    logits = tf.math.log([[[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]])
    found = of_words(logits, tf.constant([[1, 0]]), smoothing).numpy()
    assert found.tolist() == [[pytest.approx(expected), pytest.approx(expected - (1 - smoothing) * math.log(2))]]


@pytest.mark.parametrize('smoothing', [0.0, 0.3])
def test_derivatives_are_those_of_the_plain_formula(smoothing):
    rng = np.random.default_rng(0)
    logits = tf.constant(rng.normal(size=(2, 3, 5)), tf.float32)
    words, counted = rng.integers(0, 5, (2, 3)), rng.random((2, 3)).astype(np.float32)

    def plain(logits):
        wanted = (1 - smoothing) * tf.one_hot(words, 5) + smoothing / 5
        return tf.nn.softmax_cross_entropy_with_logits(wanted, logits)

    def derivatives(losses):
        with tf.GradientTape() as outer:
            outer.watch(logits)
            with tf.GradientTape() as inner:
                inner.watch(logits)
                loss = tf.reduce_sum(counted * losses(logits))
            slopes = inner.gradient(loss, logits)
            length = tf.reduce_sum(slopes**2)
        return slopes, outer.gradient(length, logits)

    for found, expected in zip(derivatives(lambda logits: of_words(logits, words, smoothing)), derivatives(plain),
                               strict=True):
        assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-6)
