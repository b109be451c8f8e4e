"""How small an export can be, and how small each of its forms is."""

import gzip
import math

import numpy as np


def bound(mask, weights):
    """The bytes that a ticket cannot do without: its numbers as they are, and the entropy of its mask.

    The sum over the kept weights and every other variable (biases, batch normalisation) of 32 bits each, and over the
    layers of n H(kept / n) bits, what n places take of which so many are kept, drawn at random.

    Args:
      mask: Mask.
      weights: mapping from the name of each variable to an array; those in `mask` count by what is kept.

    Returns:
      int, bytes, rounded up.
    """
    numbers = mask.kept + sum(np.size(array) for name, array in weights.items() if name not in mask)
    return math.ceil((32 * numbers + sum(_entropy(array) for array in mask.values())) / 8)


def _entropy(kept):
    """n H(k/n) in bits of a bool array of n places, k of them True."""
    shares = np.array([kept.mean(), 1 - kept.mean()]) if kept.size else np.zeros(2)
    shares = shares[shares > 0]
    return -kept.size * float(np.sum(shares * np.log2(shares)))


def measure(files):
    """The size of a form.

    Args:
      files: list of local paths.

    Returns:
      (bytes as they are, bytes when each file is gzipped), two ints.
    """
    contents = [path.read_bytes() for path in files]
    # Without a time of day in it, so that equal exports are equal.
    return sum(map(len, contents)), sum(len(gzip.compress(content, mtime=0)) for content in contents)
