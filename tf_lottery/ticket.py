"""The two values that everything else passes around: a Mask and a Ticket."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping

import numpy as np

from tf_lottery.errors import CorruptFileError


class Mask(Mapping):
    """Which prunable weights remain: an immutable mapping from a weight's name to a bool array of its shape."""

    def __init__(self, arrays):
        self._arrays = {}
        for name, array in arrays.items():
            array = np.array(array, dtype=bool)
            array.flags.writeable = False
            self._arrays[name] = array

    @classmethod
    def ones(cls, shapes):
        """The dense mask over `shapes`, a mapping from name to shape."""
        return cls({name: np.ones(shape, bool) for name, shape in shapes.items()})

    def __getitem__(self, name):
        return self._arrays[name]

    def __iter__(self):
        return iter(self._arrays)

    def __len__(self):
        return len(self._arrays)

    def __eq__(self, other):
        return (isinstance(other, Mask) and list(self) == list(other)
                and all(np.array_equal(self[name], other[name]) for name in self))

    __hash__ = None

    def __repr__(self):
        return f'Mask({self.kept} of {self.size} weights, {self.density:.2%})'

    @property
    def kept(self):
        """int, the weights that remain."""
        return sum(int(array.sum()) for array in self.values())

    @property
    def size(self):
        """int, all prunable weights."""
        return sum(array.size for array in self.values())

    @property
    def density(self):
        """float, the fraction of weights that remain: the papers' P_m."""
        return self.kept / self.size if self.size else 1.0

    def is_subset_of(self, other):
        """Whether each weight that remains here remains in `other` too."""
        return all(not np.any(self[name] & ~other[name]) for name in self)

    def shuffled(self, seed):
        """The random-mask control: the same number of weights in each layer, at random places.

        Source: Stabilizing the Lottery Ticket Hypothesis (1903.01611), section 3, the random baseline.
        """
        rng = np.random.default_rng(seed)
        return Mask({name: rng.permutation(array.ravel()).reshape(array.shape) for name, array in self.items()})

    def shuffled_globally(self, seed, names):
        """The random-mask control over a whole network: as many weights in some layers together, at random places.

        Args:
          seed: int.
          names: the layers whose weights change places; others stay as they are.

        Source: One ticket to win them all (1906.02773), the random tickets.
        """
        flat = np.concatenate([self[name].ravel() for name in names])
        ends = np.cumsum([self[name].size for name in names])[:-1]
        drawn = dict(zip(names, np.split(np.random.default_rng(seed).permutation(flat), ends), strict=True))
        return Mask({name: drawn[name].reshape(array.shape) if name in drawn else array
                     for name, array in self.items()})

    def apply(self, weights, frozen=None):
        """Returns `weights` with exact zeros where this mask has pruned them; other arrays as they are.

        Args:
          weights: mapping from name to array.
          frozen: what the pruned weights hold instead of zeros, as `Ticket.frozen`; None: zeros.
        """
        frozen = frozen or {}
        return {name: np.where(self[name], array, frozen.get(name, np.zeros_like(array))) if name in self else array
                for name, array in weights.items()}

    def to_arrays(self):
        """The mask as packed bits and shapes, for an .npz file."""
        arrays = {}
        for name, array in self.items():
            arrays[f'bits/{name}'] = np.packbits(array.ravel())
            arrays[f'shape/{name}'] = np.array(array.shape, np.int64)
        return arrays

    @classmethod
    def from_arrays(cls, arrays):
        """The inverse of `to_arrays`.

        Raises:
          CorruptFileError: bits and shapes do not fit each other.
        """
        masks = {}
        for key, bits in arrays.items():
            kind, _, name = key.partition('/')
            if kind != 'bits':
                continue
            shape = tuple(arrays.get(f'shape/{name}', ()))
            size = int(np.prod(shape, dtype=np.int64))
            if bits.dtype != np.uint8 or bits.size != (size + 7) // 8:
                raise CorruptFileError(f'the mask of {name} does not fit its shape {shape}.')
            masks[name] = np.unpackbits(bits, count=size).reshape(shape)
        return cls(masks)


@dataclasses.dataclass(frozen=True)
class Ticket:
    """A subnetwork and where its training starts.

    Attributes:
      mask: Mask over the prunable weights.
      weights: mapping from the name of each of the network's variables (batch-norm statistics included) to a numpy
        array, the values at `step`.
      step: int, the optimizer step that the weights were taken at; the step count and so the learning-rate schedule
        continue from there.
      frozen: mapping from the name of each weight in `mask` to an array of its shape, whose values pruned weights keep
        for ever (1905.01067, section 4: "mask-0 actions"); what it has where `mask` keeps a weight is not read. None:
        pruned weights are zero.
      state: mapping from name to array, what else training goes on from at `step`, such as the state that a recurrent
        network carries through a text; None: what it begins with.
    """

    mask: Mask
    weights: Mapping
    step: int = 0
    frozen: Mapping | None = None
    state: Mapping | None = None

    @property
    def start(self):
        """The weights as training sees them first: `mask * weights`, and `frozen` where the mask is 0."""
        return self.mask.apply(self.weights, self.frozen)

    def digest(self, *context):
        """The SHA-256 of mask, start and step, and of what else makes a training: str of 64 hexadecimal digits.

        Args:
          *context: values that JSON holds.
        """
        digest = hashlib.sha256(json.dumps([self.step, *context], sort_keys=True).encode())
        for kind, arrays in (('mask', self.mask), ('start', self.start), ('state', self.state or {})):
            for name in sorted(arrays):
                array = np.ascontiguousarray(arrays[name])
                digest.update(f'{kind} {name} {array.dtype} {array.shape}'.encode())
                digest.update(array.tobytes())
        return digest.hexdigest()


def pack(weights, mask, whole=False):
    """Weights without the zeros of their mask, for an .npz file; the inverse of `unpack`.

    Args:
      weights: mapping from name to array.
      mask: Mask.
      whole: whether what is pruned is kept too, because it is frozen at other values than zero.
    """
    return {name: array[mask[name]] if name in mask and not whole else array for name, array in weights.items()}


def unpack(arrays, mask):
    """Weights from what `pack` made of them.

    Raises:
      CorruptFileError: the arrays are of another mask.
    """
    weights = {}
    for name, array in arrays.items():
        if name in mask and array.shape != mask[name].shape:
            if array.shape != (int(mask[name].sum()),):
                raise CorruptFileError(f'{name} holds {array.size} weights, but its mask keeps {mask[name].sum()}.')
            full = np.zeros(mask[name].shape, array.dtype)
            full[mask[name]] = array
            array = full
        weights[name] = array
    return weights
