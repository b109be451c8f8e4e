"""CartPole: a pole on a cart that is pushed to the left or to the right at each step (Barto, Sutton & Anderson 1983).

The constants and the order of the operations are those of Gymnasium's `CartPoleEnv`, so that the float32 observations
of a step are its own to the bit.
"""

import math

import numpy as np
import tensorflow as tf

from tf_lottery.data.environments.drawing import BLUE, GREY, INK, ORANGE, Drawing

# The number of random numbers that a game begins with, and the shapes of a state and of an observation.
DRAWS = STATE = OBSERVATION = 4
ACTIONS = 2

_GRAVITY = 9.8
_POLE_MASS = 0.1
_MASS = 0.1 + 1.0
# Half of the pole.
_LENGTH = 0.5
_MOMENT = _POLE_MASS * _LENGTH
_FORCE = 10.0
_SECONDS = 0.02
_FARTHEST = 2.4
_STEEPEST = 12 * 2 * math.pi / 360


def begin(draws):
    """The states that games begin in.

    Args:
      draws: float64 [n, DRAWS], uniform in [0, 1).

    Returns:
      float64 [n, STATE]: place and velocity of the cart, angle and angular velocity of the pole.
    """
    return 0.1 * draws - 0.05


def step(state, action):
    """What becomes of games by a step.

    Args:
      state: float64 [n, STATE].
      action: int32 [n]: 0 pushes to the left, 1 to the right.

    Returns:
      (float64 [n, STATE], float32 [n], bool [n]): the next states, the rewards, and whether the game has ended.
    """
    place, velocity, angle, angular = tf.unstack(state, axis=1)
    force = tf.where(action == 1, np.float64(_FORCE), np.float64(-_FORCE))
    cosine, sine = tf.cos(angle), tf.sin(angle)
    push = (force + _MOMENT * (angular * angular) * sine) / _MASS
    angular_acceleration = (_GRAVITY * sine - cosine * push) / (
        _LENGTH * (4.0 / 3.0 - _POLE_MASS * (cosine * cosine) / _MASS))
    acceleration = push - _MOMENT * angular_acceleration * cosine / _MASS
    place = place + _SECONDS * velocity
    velocity = velocity + _SECONDS * acceleration
    angle = angle + _SECONDS * angular
    angular = angular + _SECONDS * angular_acceleration
    ended = (tf.abs(place) > _FARTHEST) | (tf.abs(angle) > _STEEPEST)
    return (tf.stack([place, velocity, angle, angular], axis=1), tf.ones(tf.shape(action), tf.float32), ended)


def observe(state):
    """What is seen of states float64 [n, STATE]: float32 [n, OBSERVATION]."""
    return tf.cast(state, tf.float32)


def picture(seen):
    """What a game looks like of which this is seen, float32 [OBSERVATION]: uint8 [height, width, 3]."""
    place, _, angle, _ = seen
    drawing = Drawing((-_FARTHEST - 0.3, _FARTHEST + 0.3), (-0.6, 1.4))
    drawing.line((-_FARTHEST, 0), (_FARTHEST, 0), 0.03, GREY)
    drawing.line((place - 0.3, 0), (place + 0.3, 0), 0.3, INK)
    drawing.line((place, 0), (place + 2 * _LENGTH * math.sin(angle), 2 * _LENGTH * math.cos(angle)), 0.1, ORANGE)
    drawing.disc((place, 0), 0.07, BLUE)
    return drawing.pixels()
