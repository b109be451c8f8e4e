"""The checkpoint of a run: everything that training changes, in one file that is checked when it is read."""

import contextlib
import dataclasses
import json
import time

import numpy as np
from absl import logging

from tf_lottery.errors import CorruptFileError, MissingFileError
from tf_lottery.runtime import storage


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
      digest: str, of what is trained: what was saved of anything else is not loaded. '' asks nothing.
      began: float, `time.perf_counter()` when this process began with the run; None is now.
    """

    _NAMES = ('checkpoint_a.npz', 'checkpoint_b.npz')
    # What files of before this was in them lack: these are loaded, and their seconds are lost.
    _LATER = frozenset({'digest', 'seconds'})

    def __init__(self, folder, writes=True, digest='', began=None):
        self._folder, self._writes, self._digest = folder, writes, digest
        self._turn = 0
        self._began = time.perf_counter() if began is None else began

    @property
    def seconds(self):
        """float, how long the run has taken so far, in this process and in those that it goes on from."""
        return time.perf_counter() - self._began

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
        arrays['seconds'] = np.array(self.seconds)
        arrays['digest'] = np.array(self._digest)
        arrays['input'] = np.array([hosts, shift])
        arrays['rows'] = np.frombuffer(json.dumps(rows).encode(), np.uint8)
        storage.write_arrays(self._path(self._turn), arrays)
        self._turn = 1 - self._turn

    def load(self, state):
        """Assigns the newest good checkpoint to `state`.

        A file that is corrupt, or of another ticket, is named in a warning and removed; without a good one the run
        starts again.

        Returns:
          Saved, or None.
        """
        for turn in self._newest_first():
            path = self._path(turn)
            try:
                arrays = storage.read_arrays(path)
                self._check(path, arrays, state)
            except CorruptFileError as error:
                self._discard(path, error)
                continue
            self._turn = 1 - turn
            self._began -= float(arrays.get('seconds', 0))
            for number, variable in enumerate(state):
                variable.assign(arrays[f'variable_{number:04d}'])
            return Saved(int(arrays['step']), json.loads(bytes(arrays['rows'])), *map(int, arrays['input']))
        return None

    def _check(self, path, arrays, state):
        if len(arrays.keys() - self._LATER) != len(state) + 3 or any(
                arrays[f'variable_{number:04d}'].shape != variable.shape for number, variable in enumerate(state)):
            raise CorruptFileError(f'{path} is corrupt: it is not of this network and optimizer.')
        if self._digest and 'digest' in arrays and str(arrays['digest']) != self._digest:
            raise CorruptFileError(f'{path} is of another ticket: mask, start weights, step or config differ.')

    def _newest_first(self):
        """The turns whose file is there, the highest step first: the other one is read if that is corrupt."""
        steps = {}
        for turn in range(len(self._NAMES)):
            path = self._path(turn)
            try:
                with contextlib.suppress(MissingFileError):
                    steps[turn] = int(storage.read_arrays(path, ['step'])['step'])
            except CorruptFileError as error:
                self._discard(path, error)
        return sorted(steps, key=steps.get, reverse=True)

    def _discard(self, path, error):
        logging.warning('%s It is removed; the level goes on from an older checkpoint or starts again.', error)
        self._remove(path)

    def _path(self, turn):
        return storage.join(self._folder, self._NAMES[turn])

    def remove(self):
        """Removes the files: the run is done."""
        for turn in range(len(self._NAMES)):
            self._remove(self._path(turn))

    def _remove(self, path):
        if self._writes:
            storage.remove(path)
