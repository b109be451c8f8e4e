"""Acrobot: two links that hang from a joint, driven at the joint between them, have to swing up (Sutton 1996).

The constants and the order of the operations are those of Gymnasium's `AcrobotEnv`, the equations of Sutton & Barto's
book, so that the float32 observations of a step are its own to the bit.
"""

import math

import numpy as np
import tensorflow as tf

from tf_lottery.data.environments.drawing import BLUE, GREY, INK, ORANGE, Drawing

DRAWS = STATE = 4
OBSERVATION = 6
ACTIONS = 3

_SECONDS = 0.2
_GRAVITY = 9.8
# Of both links: mass, length, centre of mass and moment of inertia.
_MASS = _LENGTH = _INERTIA = 1.0
_CENTRE = 0.5
_FASTEST = (4 * math.pi, 9 * math.pi)


def begin(draws):
    """The states that games begin in: arguments and what it returns as of `cartpole.begin`, but float32 numbers.

    A state is the angle of the first link, that of the second one to it, and their angular velocities.
    """
    return tf.cast(tf.cast(0.2 * draws - 0.1, tf.float32), tf.float64)


def step(state, action):
    """What becomes of games by a step: arguments and what it returns as of `cartpole.step`; actions 0, 1, 2 are torques
    -1, 0, 1."""
    torque = tf.cast(action, tf.float64) - 1.0
    first, second, first_speed, second_speed = _integrated(tf.unstack(state, axis=1), torque)
    first, second = _wrapped(first), _wrapped(second)
    first_speed, second_speed = (tf.clip_by_value(speed, np.float64(-fastest), np.float64(fastest))
                                 for speed, fastest in zip((first_speed, second_speed), _FASTEST, strict=True))
    ended = -tf.cos(first) - tf.cos(second + first) > 1.0
    return (tf.stack([first, second, first_speed, second_speed], axis=1),
            tf.where(ended, np.float32(0), np.float32(-1)), ended)


def observe(state):
    """What is seen of states float64 [n, STATE]: float32 [n, OBSERVATION], cosine and sine of each angle, and the
    speeds."""
    first, second, first_speed, second_speed = tf.unstack(state, axis=1)
    seen = [tf.cos(first), tf.sin(first), tf.cos(second), tf.sin(second), first_speed, second_speed]
    return tf.cast(tf.stack(seen, axis=1), tf.float32)


def picture(seen):
    """What a game looks like, as of `cartpole.picture`; it ends above the line."""
    first, second = math.atan2(seen[1], seen[0]), math.atan2(seen[3], seen[2])
    joint = _LENGTH * math.sin(first), -_LENGTH * math.cos(first)
    tip = joint[0] + _LENGTH * math.sin(first + second), joint[1] - _LENGTH * math.cos(first + second)
    reach = 2.2 * _LENGTH
    drawing = Drawing((-reach, reach), (-reach, reach))
    drawing.line((-reach, _LENGTH), (reach, _LENGTH), 0.03, GREY)
    drawing.line((0, 0), joint, 0.16, BLUE)
    drawing.line(joint, tip, 0.16, ORANGE)
    for place in ((0, 0), joint):
        drawing.disc(place, 0.13, INK)
    return drawing.pixels()


def _integrated(state, torque):
    """One step of Runge and Kutta's method of fourth order: state and result are lists of float64 [n]."""
    def moved(slopes, by):
        return [value + by * slope for value, slope in zip(state, slopes, strict=True)]

    half = _SECONDS / 2.0
    k1 = _slopes(state, torque)
    k2 = _slopes(moved(k1, half), torque)
    k3 = _slopes(moved(k2, half), torque)
    k4 = _slopes(moved(k3, _SECONDS), torque)
    return moved([a + 2.0 * b + 2.0 * c + d for a, b, c, d in zip(k1, k2, k3, k4, strict=True)], _SECONDS / 6.0)


def _slopes(state, torque):
    """The derivatives of a state by time."""
    first, second, first_speed, second_speed = state
    cosine, sine = tf.cos(second), tf.sin(second)
    d1 = _MASS * _CENTRE**2 + _MASS * (_LENGTH**2 + _CENTRE**2 + 2 * _LENGTH * _CENTRE * cosine) + _INERTIA + _INERTIA
    d2 = _MASS * (_CENTRE**2 + _LENGTH * _CENTRE * cosine) + _INERTIA
    phi2 = _MASS * _CENTRE * _GRAVITY * tf.cos(first + second - math.pi / 2.0)
    phi1 = (-_MASS * _LENGTH * _CENTRE * (second_speed * second_speed) * sine
            - 2 * _MASS * _LENGTH * _CENTRE * second_speed * first_speed * sine
            + (_MASS * _CENTRE + _MASS * _LENGTH) * _GRAVITY * tf.cos(first - math.pi / 2)
            + phi2)
    second_slope = (torque + d2 / d1 * phi1 - _MASS * _LENGTH * _CENTRE * (first_speed * first_speed) * sine - phi2) / (
        _MASS * _CENTRE**2 + _INERTIA - d2 * d2 / d1)
    return first_speed, second_speed, -(d2 * second_slope + phi1) / d1, second_slope


def _wrapped(angle):
    """An angle in [-pi, pi]; at the highest speeds a step turns a link by less than two rounds."""
    for _ in range(2):
        angle = tf.where(angle > math.pi, angle - 2 * math.pi, tf.where(angle < -math.pi, angle + 2 * math.pi, angle))
    return angle
