"""Environments that are acted in, and what is known of each without making it.

An environment is a file of this folder with its formulas, or one of Gymnasium's, and a line here.
"""

import dataclasses
import difflib
import importlib
import importlib.util

from tf_lottery.errors import UsageError, shown

# After so many frames, half an hour, the emulator cuts a game; the fewest of a step.
_ATARI_FRAMES, _ATARI_FEWEST = 108_000, 2


@dataclasses.dataclass(frozen=True)
class Description:
    """What is known of an environment.

    Attributes:
      observation: tuple of int, the shape of what is seen, float32.
      actions: int, the number of actions, one of which is taken at each step.
      limit: int, the step after which a game is cut; None where Gymnasium has no such limit.
      formulas: str, the file of this folder that has its formulas; None: Gymnasium steps it.
      stepped: str, the file of this folder whose `games` makes games that Gymnasium steps.
      needs: names of the modules that it cannot be made without.
      extra: str, the extra of this package that brings these.
      seconds: float, what a step takes, about, on one core.
      frames: int, of an emulator in a step, on average; 0 where there is none.
    """

    observation: tuple
    actions: int
    limit: int | None
    formulas: str | None = None
    stepped: str = 'stepped'
    needs: tuple = ()
    extra: str = ''
    seconds: float = 0.0
    frames: int = 0

    @property
    def longest(self):
        """int, the steps of a game, at most."""
        return self.limit or _ATARI_FRAMES // _ATARI_FEWEST

    def require(self, name):
        """Refuses an environment of this name where what it needs is not installed.

        Raises:
          UsageError.
        """
        for needed in self.needs:
            if importlib.util.find_spec(needed) is None:
                raise UsageError(f"the environment {name} needs {needed}, which is not installed: pip install "
                                 f"'tf_lottery[{self.extra}]'.")

    def games(self, name, count, pictured=False):
        """Returns games that are played side by side in a program: `games.Formulas`, or another class like it.

        Args:
          name: str, what the environment is called.
          count: int, how many there are.
          pictured: bool, whether `picture` of the first one is asked for, until it is over.

        Raises:
          UsageError: as of `require`.
        """
        self.require(name)
        module = importlib.import_module(f'{__name__}.{self.formulas or self.stepped}')
        if not self.formulas:
            return module.games(name, count, pictured)
        from tf_lottery.data.environments.games import Formulas

        return Formulas(module, self.limit, count)


def _atari(actions):
    """One of the Atari games, seen as ELF does: see `atari`."""
    return Description((105, 80, 12), actions, None, stepped='atari', needs=('gymnasium', 'ale_py'), extra='atari',
                       seconds=3e-3, frames=3)


# By Gymnasium's names and with its limits.
ENVIRONMENTS = {
    'CartPole-v0': Description((4,), 2, 200, 'cartpole', seconds=2e-7),
    'CartPole-v1': Description((4,), 2, 500, 'cartpole', seconds=2e-7),
    'Acrobot-v1': Description((6,), 3, 500, 'acrobot', seconds=1e-6),
    'LunarLander-v3': Description((8,), 4, 1000, needs=('gymnasium', 'Box2D'), extra='control', seconds=4e-5),
    'ALE/Assault-v5': _atari(7),
    'ALE/Berzerk-v5': _atari(18),
    'ALE/Breakout-v5': _atari(4),
    'ALE/Centipede-v5': _atari(18),
    'ALE/Kangaroo-v5': _atari(18),
    'ALE/Krull-v5': _atari(18),
    'ALE/Qbert-v5': _atari(6),
    'ALE/Seaquest-v5': _atari(18),
    'ALE/SpaceInvaders-v5': _atari(6),
}


def describe(name):
    """Returns the Description of an environment.

    Raises:
      UsageError: there is none of that name.
    """
    if name not in ENVIRONMENTS:
        near = difflib.get_close_matches(name, ENVIRONMENTS, 1, cutoff=0.4)
        hint = f' Did you mean {near[0]!r}?' if near else ''
        raise UsageError(f'unknown environment {shown(name)}: choose one of {", ".join(ENVIRONMENTS)}.{hint}')
    return ENVIRONMENTS[name]
