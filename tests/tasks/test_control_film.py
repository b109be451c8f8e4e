"""The film of policies, by games whose courses are known."""

import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.data.environments.games import Transition
from tf_lottery.errors import UsageError
from tf_lottery.tasks import control_film
from tf_lottery.tasks.film import Clip


class Clock:
    """A game that ends after so many steps as its first action says; what is seen is the step."""

    LENGTHS = (3, 250)

    def begin(self, key):
        return (tf.constant(0), tf.constant(0)), tf.zeros([1, 1])

    def step(self, state, action, key):
        elapsed, length = state
        length = tf.where(elapsed == 0, tf.gather(self.LENGTHS, action[0]), length)
        elapsed = elapsed + 1
        seen = tf.reshape(tf.cast(elapsed, tf.float32), [1, 1])
        over = (elapsed >= length)[None]
        transition = Transition(seen, tf.constant([2.0]), over, tf.constant([False]), action)
        return (elapsed, length), transition, tf.where(over[0], 0.0, seen)

    def picture(self, seen):
        return np.full((2, 3, 3), int(seen[0]), np.uint8)


def policy(action):
    return lambda seen, training: {'policy': tf.one_hot([action], 2)}


def test_a_film_has_a_clip_of_each_network_in_time():
    film = control_film.film(Clock(), 'Clock-v0', map(policy, (0, 1)))
    assert film.about == 'A game of Clock-v0, which begins alike for all, with the likeliest action at each step.'
    assert (film.unit, film.every) == ('step', 3)
    short, long = film.clips
    # Every third step, and the end, before another game begins.
    assert list(short.pictures[:, 0, 0, 0]) == [0, 3]
    assert list(long.pictures[:, 1, 2, 2]) == [*range(0, 250, 3), 250]
    assert [short.outcome, long.outcome] == ['3 steps, reward 6', '250 steps, reward 500']


def test_a_game_without_an_end_is_left(monkeypatch):
    monkeypatch.setattr(control_film, '_MOST', 20)
    (clip,) = control_film.film(Clock(), 'Clock-v0', [policy(1)]).clips
    assert list(clip.pictures[:, 0, 0, 0]) == list(range(21))
    assert clip.outcome == '20 steps, reward 40'


@pytest.mark.parametrize('pictures', [None, np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4, 4, 3), np.uint8),
                                      np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 4, 4), np.uint8)])
def test_what_is_no_pictures_is_refused(pictures):
    with pytest.raises(UsageError, match=r'^pictures of a Clip is .*: give an array uint8 \[n, height, width, 3\]'):
        Clip(pictures)
