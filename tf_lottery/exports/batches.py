"""Named arrays in batches; imported by the programs that `fresh` starts, too."""

import numpy as np


def split(arrays, size):
    """Yields dicts of at most `size` consecutive rows of each array of a dict of arrays [n, ...]."""
    count = len(next(iter(arrays.values())))
    for start in range(0, count, size):
        yield {name: array[start:start + size] for name, array in arrays.items()}


def join(parts):
    """The inverse of `split`; a value without rows becomes one row per batch."""
    return {name: np.concatenate([np.atleast_1d(part[name]) for part in parts]) for name in parts[0]}
