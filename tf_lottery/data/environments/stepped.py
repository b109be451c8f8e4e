"""Several games of an environment that Gymnasium steps, between the parts of a program that TensorFlow runs."""

import functools

import gymnasium
import numpy as np
import tensorflow as tf
from gymnasium.vector import AutoresetMode

from tf_lottery.data.environments.games import Transition
from tf_lottery.errors import UsageError, in_one_line


class Stepped:
    """Games of one of Gymnasium's environments; its methods are those of `games.Formulas`.

    XLA cannot compile them. Their state is Gymnasium's own, so that `begin` ends whatever was played before, and what
    is random in them, new games among it, is a function of the key that they began with and of the actions.

    Args:
      name: str, what Gymnasium calls the environment.
      count: int, how many games there are.
      pictured: bool, whether its `picture` is asked for, also of how a game has ended: then no other one begins.
      rows: int array [n], those of them that are played here; None for all.
      **options: what the environment is made with.
    """

    def __init__(self, name, count, pictured=False, *, rows=None, **options):
        self.count = count
        self._name, self._pictured, self._options = name, pictured, options
        self._rows = np.arange(count) if rows is None else rows

    def share(self, rows):
        """As of `games.Formulas`."""
        return type(self)(self._name, self.count, self._pictured, rows=rows, **self._options)

    @functools.cached_property
    def _games(self):
        begins_anew = AutoresetMode.DISABLED if self._pictured else AutoresetMode.SAME_STEP
        return gymnasium.make_vec(self._name, num_envs=len(self._rows), vectorization_mode='sync',
                                  vector_kwargs={'autoreset_mode': begins_anew},
                                  render_mode='rgb_array' if self._pictured else None, **self._options)

    def begin(self, key):
        seen = tf.numpy_function(self._begin, [key], tf.float32)
        return (), self._shaped(seen)

    def step(self, state, action, key):
        del key
        found = tf.numpy_function(self._step, [action], [tf.float32, tf.float32, tf.bool, tf.bool, tf.float32])
        seen, reward, ended, cut, next_seen = found
        for array in (reward, ended, cut):
            array.set_shape([len(self._rows)])
        return state, Transition(self._shaped(seen), reward, ended, cut, action), self._shaped(next_seen)

    def picture(self, seen):
        """What the first game looks like now: uint8 [height, width, 3].

        Raises:
          UsageError: it cannot be drawn here.
        """
        del seen
        try:
            return self._games.render()[0]
        except (gymnasium.error.Error, ImportError, OSError, RuntimeError) as error:
            raise UsageError(f'{self._games.spec.id} cannot be drawn here ({in_one_line(error)}): install what is '
                             'missing, and ask for the report again.') from error

    def _shaped(self, seen):
        return tf.ensure_shape(seen, self._games.observation_space.shape)

    def _begin(self, key):
        (seed,) = np.random.SeedSequence([int(number) for number in key.view(np.uint64)]).generate_state(1)
        seen, _ = self._games.reset(seed=[int(seed >> 1) + int(row) for row in self._rows])
        return seen.astype(np.float32)

    def _step(self, action):
        next_seen, reward, ended, cut, more = self._games.step(action)
        seen = next_seen.astype(np.float32)
        for number in np.flatnonzero(ended | cut):
            seen[number] = more.get('final_obs', next_seen)[number]
        return seen, reward.astype(np.float32), ended, cut & ~ended, next_seen.astype(np.float32)


class Unstuck(Stepped):
    """Games in which an action that is wished too often in a row is replaced by random ones until another is wished: a
    paddle that never serves would wait for ever.

    Source: facebookresearch/ELF, atari/atari_game.cc, `_prevent_stuck`.
    """

    # So often is an action taken as it is.
    MOST = 30

    def begin(self, key):
        state, seen = super().begin(key)
        return (state, tf.fill([len(self._rows)], -1), tf.zeros([len(self._rows)], tf.int32)), seen

    def step(self, state, action, key):
        state, last, repeats = state
        repeats = tf.where(action == last, repeats + 1, 0)
        random = tf.random.stateless_uniform([self.count], key, 0, self._games.single_action_space.n, tf.int32)
        state, transition, seen = super().step(
            state, tf.where(repeats < self.MOST, action, tf.gather(random, self._rows)), key)
        return ((state, tf.where(transition.over, -1, action), tf.where(transition.over, 0, repeats)), transition, seen)


def games(name, count, pictured=False):
    """So many games of one of Gymnasium's environments as it is."""
    return Stepped(name, count, pictured)
