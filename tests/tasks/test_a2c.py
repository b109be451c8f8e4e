"""Advantages, bootstrapping and the loss of A2C, by numbers made by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.tasks import a2c


def test_advantages_of_a_course():
    # A step like any other, one that the time limit cuts, and one that comes to an end of its own.
    found = a2c.temporal_difference(
        tf.constant([1.0, 1.0, -2.0]), tf.constant([0.5, 3.0, 3.0]), tf.constant([2.0, 4.0, 100.0]),
        tf.constant([False, False, True]), 0.5)
    np.testing.assert_array_equal(found, [1.5, 0.0, -5.0])


def test_loss_of_each_step():
    outputs = {'policy': tf.math.log([[0.25, 0.75], [0.5, 0.5]]), 'value': tf.constant([[1.0], [2.0]])}
    batch = {'action': tf.constant([1, 0]), 'reward': tf.constant([3.0, 1.0]), 'ended': tf.constant([False, True])}
    found = a2c.losses(outputs, tf.constant([[2.0], [9.0]]), batch, discount=0.5, entropy=0.1)
    entropies = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)), math.log(2)
    np.testing.assert_allclose(found, [9 - 3 * math.log(0.75) - 0.1 * entropies[0],
                                       1 + math.log(0.5) - 0.1 * entropies[1]], rtol=1e-6)


def test_gradients_flow_through_the_value_and_the_logarithm_only():
    logits, value, following = tf.Variable([[0.0, 0.0]]), tf.Variable([[1.0]]), tf.Variable([[2.0]])
    batch = {'action': tf.constant([1]), 'reward': tf.constant([3.0]), 'ended': tf.constant([False])}
    with tf.GradientTape() as tape:
        loss = a2c.losses({'policy': logits, 'value': value}, following, batch, discount=0.5, entropy=0.0)
    of_logits, of_value, of_following = tape.gradient(loss, [logits, value, following])
    # td = 3: 2 * td * (-1) of the square, and td * (pi - one_hot) of the policy.
    np.testing.assert_allclose(of_logits, [[1.5, -1.5]], rtol=1e-6)
    np.testing.assert_allclose(of_value, [[-6.0]])
    assert of_following is None


@pytest.mark.parametrize(('draw', 'expected'), [(0.0, 0), (0.19, 0), (0.21, 1), (0.69, 1), (0.71, 2), (0.999999, 2)])
def test_actions_by_their_probabilities(draw, expected):
    logits = tf.math.log([[0.2, 0.5, 0.3]])
    assert a2c.chosen(logits, tf.constant([draw])).numpy() == [expected]


def test_greedy_actions():
    np.testing.assert_array_equal(a2c.greedy(tf.constant([[0.1, 0.9], [2.0, 1.0]])), [1, 0])
