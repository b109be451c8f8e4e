"""Named arrays in batches; imported by the programs that `fresh` starts, too."""

import numpy as np

# Examples that are run at a time by what takes any number of them.
SIZE = 1000


def split(arrays, size=None):
    """Yields dicts of at most `size`, or SIZE, consecutive rows of each array of a dict of arrays [n, ...]."""
    count = len(next(iter(arrays.values())))
    size = size or SIZE
    for start in range(0, count, size):
        yield {name: array[start:start + size] for name, array in arrays.items()}


def join(parts):
    """The inverse of `split`; a value without rows becomes one row per batch."""
    return {name: np.concatenate([np.atleast_1d(part[name]) for part in parts]) for name in parts[0]}
