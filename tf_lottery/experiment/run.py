"""One training of an experiment: where it lies in the experiment's folder, and how it may end."""

import dataclasses

from tf_lottery.branches import BRANCHES, initial, rewound
from tf_lottery.runtime import storage

# How a run ended, as its result.json says: trained to its end; stopped at a loss that is not finite; not trained,
# because the ranking that it starts from leaves a layer without weights; or not trained, because a run that it would be
# made from ended in one of the last three ways.
FINISHED, DIVERGED, EMPTIED, LEFT_OUT = OUTCOMES = ('finished', 'diverged', 'emptied', 'left out')


def replicate_folder(replicate):
    """The folder of a replicate below the experiment's."""
    return f'replicate_{replicate}'


@dataclasses.dataclass(frozen=True)
class Run:
    """One training: a branch at a level of a replicate. Level 0 of 'ticket' is the dense network.

    Attributes:
      replicate, level, branch, copy: int, int, str, int.
      rewind: int, the rewinding step k in an experiment of several; None where there is one, and for the dense network,
        which they share.
    """

    replicate: int
    level: int
    branch: str
    copy: int = 0
    rewind: int | None = None

    @property
    def folder(self):
        """The run's folder below the experiment's."""
        name = self.branch if self.rewind is None else f'{self.branch}_rewind_{self.rewind}'
        if BRANCHES[self.branch].copies:
            name = f'{name}_{self.copy}'
        return storage.join(replicate_folder(self.replicate), f'level_{self.level:02d}', name)

    @property
    def initial_weights(self):
        """The file of W_0 below the experiment's folder."""
        return storage.join(replicate_folder(self.replicate), 'rewind', 'initial.npz')

    @property
    def rewound_weights(self):
        """The file of W_k below the experiment's folder."""
        name = 'rewound.npz' if self.rewind is None else f'rewound_{self.rewind}.npz'
        return storage.join(replicate_folder(self.replicate), 'rewind', name)

    @property
    def rewound_state(self):
        """The file of what the feed held at step k, if anything, below the experiment's folder."""
        name = 'state.npz' if self.rewind is None else f'state_{self.rewind}.npz'
        return storage.join(replicate_folder(self.replicate), 'rewind', name)

    @property
    def start_weights(self):
        """The file of the weights that training starts from, below the experiment's folder; None of made ones."""
        if self == Run(self.replicate, 0, 'ticket') or BRANCHES[self.branch].weights is initial:
            return self.initial_weights
        return self.rewound_weights if BRANCHES[self.branch].weights is rewound else None


def outcome(result):
    """How a run ended, one of OUTCOMES.

    Args:
      result: dict, what its result.json holds; one of before there were other outcomes says whether it diverged.
    """
    return result.get('outcome') or (DIVERGED if result.get('diverged') else FINISHED)
