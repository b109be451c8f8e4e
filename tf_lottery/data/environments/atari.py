"""Atari games as ELF shows and steps them, in which 1906.02768 trained.

Source: facebookresearch/ELF, atari/: every second pixel of the coloured screen, the four latest screens as channels,
with zeros before the first one of a game; each action is repeated for 2, 3 or 4 frames, at random, and otherwise taken
as it is, unless it was taken too often in a row; a game is over when it is lost, not with each life.
"""

import ale_py
import gymnasium
import numpy as np

from tf_lottery.data.environments.stepped import Unstuck

gymnasium.register_envs(ale_py)

_SCREENS = 4


class Screens(gymnasium.Wrapper):
    """Shows the latest screens, of every second pixel: uint8 [105, 80, 12], the newest one last."""

    def __init__(self, game):
        super().__init__(game)
        height, width, colours = game.observation_space.shape
        self._seen = np.zeros((height // 2, width // 2, _SCREENS * colours), np.uint8)
        self.observation_space = gymnasium.spaces.Box(0, 255, self._seen.shape, np.uint8)

    def reset(self, **options):
        screen, more = self.env.reset(**options)
        self._seen = np.zeros_like(self._seen)
        return self._with(screen), more

    def step(self, action):
        screen, *rest = self.env.step(action)
        return self._with(screen), *rest

    def _with(self, screen):
        newest = screen[::2, ::2]
        self._seen = np.concatenate([self._seen[..., newest.shape[-1]:], newest], axis=-1)
        return self._seen


def games(name, count, pictured=False):
    """So many games side by side: `stepped.Unstuck`."""
    return Unstuck(name, count, pictured, wrappers=[Screens], frameskip=(2, 5), repeat_action_probability=0.0,
                   full_action_space=False)
