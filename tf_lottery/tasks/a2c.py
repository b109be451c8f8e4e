"""Advantage actor-critic, synchronous (A2C), as FLARE computes it, in which 1906.02768 trained for classic control.

Source: 1906.02768, section 3.3; idlrl/flare at 33b71b4, `SimpleAC`: the advantage is the one-step temporal difference,
so that a block of several steps makes the batch larger and not the horizon; losses are added up over the batch. There
agents were processes of their own, and a batch was of those that came first; here all act in step, so that a training
is a function of its seeds.
"""

import numpy as np
import tensorflow as tf


def chosen(logits, draws):
    """Actions by their probabilities: int32 [n], of logits float32 [n, actions] and uniform draws float32 [n]."""
    below = tf.cumsum(tf.nn.softmax(logits), axis=-1)[:, :-1]
    return tf.reduce_sum(tf.cast(draws[:, None] >= below, tf.int32), axis=-1)


def greedy(logits):
    """The likeliest actions: int32 [n], of logits float32 [n, actions]."""
    return tf.argmax(logits, axis=-1, output_type=tf.int32)


def temporal_difference(reward, value, next_value, ended, discount):
    """The advantage of a step: r + discount * V(s') - V(s), all float32 [n].

    Args:
      reward: as it is trained on.
      value, next_value: V of what was seen before and after the step.
      ended: bool [n]; V(s') counts for nothing after an end, but does where a game was only cut.
      discount: float.
    """
    return reward + discount * tf.where(ended, np.float32(0), next_value) - value


def losses(outputs, next_value, batch, discount, entropy):
    """What is minimised of each step: td^2 - log pi(a|s) * td - entropy * H(pi), float32 [n].

    The advantage td is no function of the weights in the second term, and V(s') nowhere.

    Args:
      outputs: dict of `policy`, logits float32 [n, actions], and `value`, float32 [n, 1].
      next_value: float32 [n, 1].
      batch: dict of `action` int32 [n], `reward` float32 [n] and `ended` bool [n].
      discount, entropy: float.
    """
    advantage = temporal_difference(batch['reward'], outputs['value'][:, 0], tf.stop_gradient(next_value[:, 0]),
                                    batch['ended'], discount)
    logarithms = tf.nn.log_softmax(outputs['policy'])
    taken = tf.gather(logarithms, batch['action'], batch_dims=1)
    disorder = -tf.reduce_sum(tf.exp(logarithms) * logarithms, axis=-1)
    return tf.square(advantage) - taken * tf.stop_gradient(advantage) - entropy * disorder


def loss(network, batch, how):
    """The loss of a batch.

    Args:
      network: model with the heads `policy` and `value`.
      batch: dict of what `games_feed` has played, [n, ...]: steps in their order, each of several games.
      how: a config's `control`.

    Returns:
      (float32 scalar, float32 scalar): the mean loss of a step, and what is minimised: the sum, which RMSprop does not
      feel, but for its epsilon. Of several replicas, which share it, it is as many times as large.
    """
    outputs, following = network(batch['seen'], training=True), network(batch['next'], training=False)
    each = losses(outputs, following['value'], batch, how.discount, how.entropy)
    return tf.reduce_mean(each), tf.distribute.get_strategy().num_replicas_in_sync * tf.reduce_sum(each)
