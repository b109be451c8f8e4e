"""Advantage actor-critic over blocks of steps, as ELF computes it, in which 1906.02768 trained for Atari.

Source: 1906.02768, section 3.3; facebookresearch/ELF, rlpytorch/methods: the return of a step adds up what comes in the
rest of its block, and the value of the block's last state stands for what comes after it; the loss of the value is
Huber's; the policy that acted may be older than the one that learns, for which an importance factor makes up. There it
was older by up to 50 updates; here a block of all games is played, and learned from in batches of some of them.
"""

import numpy as np
import tensorflow as tf

# The most that the importance factor is (1906.02768).
_FACTOR = 1.5


def returns(reward, value, ended, cut, discount):
    """What each step but the last of a block comes to: float32 [steps - 1, n].

    Args:
      reward: float32 [steps, n], of each step.
      value: float32 [steps, n], V of what was seen before each.
      ended, cut: bool [steps, n]. Nothing comes after an end; what would have come after a game was cut is taken for
        the value of its last state.
      discount: float.
    """
    found, following = [], value[-1]
    for step in reversed(range(reward.shape[0] - 1)):
        after = tf.where(ended[step], np.float32(0), tf.where(cut[step], value[step], following))
        following = reward[step] + discount * after
        found.append(following)
    return tf.stack(found[::-1])


def loss(network, batch, how):
    """The loss of a batch: arguments and what it returns as of `a2c.loss`.

    Rewards and advantages are clipped to [-1, 1]. What is minimised is the sum over a block, the mean over games.
    """
    outputs, length = network(batch['seen'], training=True), how.block

    def by_step(array):
        return tf.reshape(array, [length, -1])

    value = by_step(outputs['value'])
    goal = tf.stop_gradient(returns(
        tf.clip_by_value(by_step(batch['reward']), -1, 1), value, by_step(batch['ended']), by_step(batch['cut']),
        how.discount))
    chances = tf.nn.softmax(outputs['policy'])
    chance = by_step(tf.gather(chances, batch['action'], batch_dims=1))[:-1]
    disorder = by_step(-tf.reduce_sum(chances * tf.math.log(chances + 1e-6), axis=-1))[:-1]
    advantage = tf.clip_by_value(goal - tf.stop_gradient(value[:-1]), -1, 1)
    factor = tf.stop_gradient(tf.minimum(chance / by_step(batch['chance'])[:-1], _FACTOR))
    away = tf.abs(goal - value[:-1])
    huber = tf.where(away < 1, 0.5 * tf.square(away), away - 0.5)
    each = huber - tf.math.log(chance + 1e-6) * advantage * factor - how.entropy * disorder
    return tf.reduce_mean(each), tf.reduce_mean(tf.reduce_sum(each, axis=0))
