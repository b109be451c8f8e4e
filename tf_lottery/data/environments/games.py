"""Several games of an environment side by side, in a compiled program."""

import dataclasses
import typing

import numpy as np
import tensorflow as tf


class Transition(typing.NamedTuple):
    """What a step has come to in each of n games.

    Attributes:
      seen: float32 [n, ...], what is seen after it, before any new game begins.
      reward: float32 [n].
      ended: bool [n], whether the game has come to an end of its own, after which nothing is to be had.
      cut: bool [n], whether it was cut by the time limit, after which there would be more.
      action: int32 [n], what was done, which an environment may have decided otherwise.
    """

    seen: tf.Tensor
    reward: tf.Tensor
    ended: tf.Tensor
    cut: tf.Tensor
    action: tf.Tensor

    @property
    def over(self):
        return self.ended | self.cut


@dataclasses.dataclass(frozen=True)
class Formulas:
    """Games whose steps are formulas.

    Attributes:
      module: one of this folder with `begin`, `step`, `observe`, `picture` and DRAWS, such as `cartpole`.
      limit: int, the step after which a game is cut.
      count: int, how many there are.
      rows: int array [n], those of them that are played here; None for all.
    """

    module: typing.Any
    limit: int
    count: int
    rows: np.ndarray | None = None

    def share(self, rows):
        """Some of these games, each with the draws that it has among all: `rows` is an int array [n]."""
        return dataclasses.replace(self, rows=rows)

    def begin(self, key):
        """Begins games.

        Args:
          key: int64 [2], of which whatever is random is a function.

        Returns:
          (state, float32 [n, ...]): what `step` takes, and what is seen.
        """
        state = self._begun(key)
        return (state, tf.zeros(state.shape[:1], tf.int32)), self.module.observe(state)

    def step(self, state, action, key):
        """Takes a step in each game; one that is over begins anew.

        Args:
          state: what `begin` and this return first.
          action: int32 [n].
          key: as of `begin`.

        Returns:
          (state, Transition, float32 [n, ...]): the last one is what is seen next, of a new game where one begins.
        """
        state, elapsed = state
        state, reward, ended = self.module.step(state, action)
        elapsed = elapsed + 1
        transition = Transition(self.module.observe(state), reward, ended, ~ended & (elapsed >= self.limit), action)
        over = transition.over
        state = tf.where(over[:, None], self._begun(key), state)
        return (state, tf.where(over, 0, elapsed)), transition, self.module.observe(state)

    def picture(self, seen):
        """What a game looks like of which this is seen, float32 array [...]: uint8 [height, width, 3]."""
        return self.module.picture(seen)

    def _begun(self, key):
        draws = tf.random.stateless_uniform([self.count, self.module.DRAWS], key, dtype=tf.float64)
        return self.module.begin(draws if self.rows is None else tf.gather(draws, self.rows))


# What is drawn from a seed, each from a sequence of its own.
ACTIONS, GAMES = range(2)


def key(seed, epoch, step, drawn):
    """The seed of what is drawn at a step: int64 [2].

    Args:
      seed: integer scalar of 31 bits, or -1.
      epoch, step: integer scalars of 31 bits.
      drawn: ACTIONS or GAMES.
    """
    seed, epoch, step = (tf.cast(number, tf.int64) for number in (seed, epoch, step))
    return tf.stack([2 * seed + drawn, epoch * np.int64(2**32) + step])
