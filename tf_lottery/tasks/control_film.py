"""The film of some policies: one game of each, which all begin alike."""

import math

import numpy as np
import tensorflow as tf

from tf_lottery.data.environments import games
from tf_lottery.tasks.control_serving import likeliest
from tf_lottery.tasks.film import Clip, Film

# The pictures of the longest game up to its end, and the steps after which one is left that no time limit ends.
_PICTURES, _MOST = 99, 1000


def film(environment, name, networks):
    """Films a game of each network, with the likeliest action at each step.

    Args:
      environment: one game, `games.Formulas` or another class like it.
      name: str, what the environment is called.
      networks: iterable of policies, with their weights.

    Returns:
      Film.

    Raises:
      UsageError: the environment cannot be drawn here.
    """
    steps = [likeliest(environment, network) for network in networks]
    # A game is played twice: how long it is says which of its steps are shown.
    longest = max(_play(environment, step, lambda number, seen: None)[0] for step in steps)
    every = math.ceil(longest / _PICTURES)
    return Film(tuple(_clip(environment, step, every) for step in steps),
                f'A game of {name}, which begins alike for all, with the likeliest action at each step.', 'step', every)


def _clip(environment, step, every):
    pictures = []

    def look(number, seen):
        if number % every == 0:
            pictures.append(environment.picture(seen))

    steps, reward, end = _play(environment, step, look)
    return Clip(np.stack([*pictures, environment.picture(end)]), f'{steps:,} steps, reward {reward:,.0f}')


def _play(environment, step, look):
    """Plays a game that always begins alike, for _MOST steps at most.

    Args:
      environment: as of `film`.
      step: what `likeliest` returns.
      look: function of the number of a step, int, and of what is seen before it, float32 array [...].

    Returns:
      (int, float, float32 array [...]): the steps of the game, its reward, and what is seen at its end.
    """
    state, seen = environment.begin(games.key(0, 0, 0, games.GAMES))
    reward = 0.0
    for number in range(_MOST):
        look(number, seen[0].numpy())
        state, transition, seen = step(state, seen, tf.constant(number + 1))
        reward += float(transition.reward[0])
        if transition.over[0]:
            break
    return number + 1, reward, transition.seen[0].numpy()
