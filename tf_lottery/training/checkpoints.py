"""The checkpoint of a run: everything that training changes, in one file that is checked when it is read."""

import dataclasses
import json

import numpy as np
from absl import logging

from tf_lottery import storage
from tf_lottery.errors import CorruptFileError


@dataclasses.dataclass(frozen=True)
class Saved:
    """What was read.

    Attributes:
      step: int.
      rows: list of dicts, of the evaluations before it.
      hosts, shift: the input's position, as `Checkpoint.save` took it.
    """

    step: int
    rows: list
    hosts: int
    shift: int


class Checkpoint:
    """Two files that are written in turn, so that a good one is there whenever the process dies.

    On a local disk each is replaced atomically and one would do; on a file system without that, the other one
    survives a write that breaks off.

    Args:
      folder: where to keep them.
      writes: whether this process may write: of several workers only the first.
    """

    _NAMES = ('checkpoint_a.npz', 'checkpoint_b.npz')

    def __init__(self, folder, writes=True):
        self._folder, self._writes = folder, writes
        self._turn = 0

    def save(self, step, state, rows, hosts=1, shift=0):
        """Saves where training stands.

        Args:
          step: int.
          state: list of variables.
          rows: list of dicts, of the evaluations so far.
          hosts: int, how many hosts read the examples.
          shift: int, by how many steps these are ahead of the step.
        """
        # Every worker reads, since what is summed over them takes all of them to read.
        arrays = {f'variable_{number:04d}': variable.numpy() for number, variable in enumerate(state)}
        if not self._writes:
            return
        arrays['step'] = np.array(step)
        arrays['input'] = np.array([hosts, shift])
        arrays['rows'] = np.frombuffer(json.dumps(rows).encode(), np.uint8)
        storage.write_arrays(storage.join(self._folder, self._NAMES[self._turn]), arrays)
        self._turn = 1 - self._turn

    def load(self, state):
        """Assigns the newest good checkpoint to `state`.

        A corrupt file is named in a warning and removed; without a good one the run starts again.

        Returns:
          Saved, or None.
        """
        best = None
        for turn, name in enumerate(self._NAMES):
            path = storage.join(self._folder, name)
            if not storage.exists(path):
                continue
            try:
                arrays = storage.read_arrays(path)
                if len(arrays) != len(state) + 3 or any(
                        arrays[f'variable_{number:04d}'].shape != variable.shape
                        for number, variable in enumerate(state)):
                    raise CorruptFileError(f'{path} is corrupt: it is not of this network and optimizer.')
            except CorruptFileError as error:
                logging.warning('%s It is removed; the level goes on from an older checkpoint or starts again.', error)
                self._remove(path)
                continue
            if best is None or arrays['step'] > best['step']:
                best, self._turn = arrays, 1 - turn
        if best is None:
            return None
        for number, variable in enumerate(state):
            variable.assign(best[f'variable_{number:04d}'])
        return Saved(int(best['step']), json.loads(bytes(best['rows'])), *map(int, best['input']))

    def remove(self):
        """Removes the files: the run is done."""
        for name in self._NAMES:
            self._remove(storage.join(self._folder, name))

    def _remove(self, path):
        if self._writes:
            storage.remove(path)
