"""The film of some policies: one game of each, which all begin alike."""

import math

import numpy as np
import tensorflow as tf

from tf_lottery.data.environments import games
from tf_lottery.tasks import a2c
from tf_lottery.tasks.film import Clip, Film

# The pictures of the longest game, and the steps after which one is left that no time limit ends.
_PICTURES, _MOST = 100, 1000


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
    networks = list(networks)
    # A game is played twice: how long it is says which of its steps are shown.
    longest = max(play(environment, network, lambda number, state: None)[0] for network in networks)
    every = math.ceil(longest / _PICTURES)
    clips = []
    for network in networks:
        pictures = []

        def look(number, state, pictures=pictures):
            if number % every == 0:
                pictures.append(environment.picture(state))

        steps, reward = play(environment, network, look)
        clips.append(Clip(np.stack(pictures), f'{steps:,} steps, reward {reward:,.0f}'))
    return Film(tuple(clips), f'A game of {name}, which begins alike for all, with the likeliest action at each step.',
                'step', every)


def play(environment, network, look):
    """Plays a game that always begins alike, for _MOST steps at most.

    Args:
      environment: as of `film`.
      network: the policy.
      look: function of the number of a step, int, and of the state before it.

    Returns:
      (int, float): the steps of the game, and its reward.
    """
    @tf.function
    def step(state, seen, number):
        action = a2c.greedy(network(seen, training=False)['policy'])
        return environment.step(state, action, games.key(0, 0, number, games.GAMES))

    state, seen = environment.begin(games.key(0, 0, 0, games.GAMES))
    reward = 0.0
    for number in range(_MOST):
        look(number, state)
        state, transition, seen = step(state, seen, tf.constant(number + 1))
        reward += float(transition.reward[0])
        if transition.over[0]:
            break
    return number + 1, reward
