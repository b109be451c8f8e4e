"""Returns over a block, and the loss of what was played by an older policy, by numbers made by hand."""

import math
import types

import numpy as np
import tensorflow as tf

from tf_lottery.tasks import a2c_blocks


def test_returns_of_a_block():
    # Of three games one goes on, one ends at its second step and one is cut there.
    reward = tf.constant([[1.0, 1, 1], [2, 2, 2], [3, 3, 3], [100, 100, 100]])
    value = tf.constant([[10.0, 10, 10], [20, 20, 20], [30, 30, 30], [40, 40, 40]])
    second = tf.constant([[False] * 3, [False, True, False], [False] * 3, [False] * 3])
    cut = tf.constant([[False] * 3, [False, False, True], [False] * 3, [False] * 3])
    found = a2c_blocks.returns(reward, value, second, cut, 0.5)
    np.testing.assert_array_equal(found, [
        [1 + 0.5 * (2 + 0.5 * (3 + 0.5 * 40)), 1 + 0.5 * 2, 1 + 0.5 * (2 + 0.5 * 20)],
        [2 + 0.5 * (3 + 0.5 * 40), 2, 2 + 0.5 * 20], [3 + 0.5 * 40] * 3])


def test_loss_of_a_block():
    # Two steps of one game: V = 0 and 4, a reward of 5 that is clipped to 1, and so a return of 1 + 0.5 * 4.
    def network(seen, training):
        return {'policy': tf.math.log([[0.5, 0.5], [0.9, 0.1]]), 'value': seen}

    batch = {'seen': tf.constant([[0.0], [4.0]]), 'action': tf.constant([1, 0]), 'reward': tf.constant([5.0, 9.0]),
             'ended': tf.constant([False, False]), 'cut': tf.constant([False, False])}
    how = types.SimpleNamespace(block=2, discount=0.5, entropy=0.1)
    for chance, factor in ((0.5, 1.0), (1.0, 0.5), (0.1, 1.5)):
        mean, minimised = a2c_blocks.loss(network, {**batch, 'chance': tf.constant([chance, 1.0])}, how)
        # The advantage of 3 is clipped to 1, and Huber's loss of 3 is 2.5.
        expected = 2.5 - math.log(0.5) * factor - 0.1 * math.log(2)
        np.testing.assert_allclose([mean, minimised], [expected] * 2, rtol=1e-5)
