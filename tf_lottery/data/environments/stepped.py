"""Several games of an environment that Gymnasium steps, between the parts of a program that TensorFlow runs."""

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
      **options: what the environment is made with.
    """

    def __init__(self, name, count, pictured=False, **options):
        self.count = count
        begins_anew = AutoresetMode.DISABLED if pictured else AutoresetMode.SAME_STEP
        self._games = gymnasium.make_vec(name, num_envs=count, vectorization_mode='sync',
                                         vector_kwargs={'autoreset_mode': begins_anew},
                                         render_mode='rgb_array' if pictured else None, **options)

    def begin(self, key):
        seen = tf.numpy_function(self._begin, [key], tf.float32)
        return (), self._shaped(seen)

    def step(self, state, action, key):
        del key
        found = tf.numpy_function(self._step, [action], [tf.float32, tf.float32, tf.bool, tf.bool, tf.float32])
        seen, reward, ended, cut, next_seen = found
        for array in (reward, ended, cut):
            array.set_shape([self.count])
        return state, Transition(self._shaped(seen), reward, ended, cut), self._shaped(next_seen)

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
        seen, _ = self._games.reset(seed=int(seed >> 1))
        return seen.astype(np.float32)

    def _step(self, action):
        next_seen, reward, ended, cut, more = self._games.step(action)
        seen = next_seen.astype(np.float32)
        for number in np.flatnonzero(ended | cut):
            seen[number] = more.get('final_obs', next_seen)[number]
        return seen, reward.astype(np.float32), ended, cut & ~ended, next_seen.astype(np.float32)


def games(name, count, pictured=False):
    """So many games of one of Gymnasium's environments as it is."""
    return Stepped(name, count, pictured)
