"""Pairs of sentences in batches of similar length, each batch in one of a few shapes."""

import dataclasses

import numpy as np

from tf_lottery.errors import UsageError

# The rows of a batch are a multiple of this share of the mean batch.
_SHARE = 16
# How finely the tokens of a batch are looked for, as a share of them.
_FINENESS = 1000


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Pairs that are padded to the same lengths.

    Attributes:
      members: int array [n], which pairs.
      source, target: int, the lengths in sub-words.
      rows: int, pairs of a batch.
    """

    members: np.ndarray
    source: int
    target: int
    rows: int


def pad(rows, length):
    """Rows of int32 as one array [n, length], filled up with zeros."""
    filled = np.zeros((len(rows), length), np.int32)
    for place, row in enumerate(rows):
        filled[place, :len(row)] = row
    return filled


class Buckets:
    """The batches of an epoch, a function of (seed, epoch).

    Every bucket holds the pairs of a range of lengths, the ranges chosen so that padding is least. Batches of long
    sentences have fewer pairs, so that all have about as many tokens, and an epoch has exactly as many batches as there
    are steps in it. What does not fill a batch, and a few batches too many, are left out, others in each epoch.

    Args:
      source, target: lists of int32 arrays, the sub-words of each pair.
      batch_size: int, the pairs of a batch on average; the rows of every batch are a multiple of a sixteenth of it.
      steps: int, the batches of an epoch.
      count: int, the number of buckets, at most.

    Raises:
      UsageError: there are too few pairs for a batch.
    """

    def __init__(self, source, target, batch_size, steps, count):
        self._source, self._target = source, target
        self.steps, self.unit = steps, max(1, batch_size // _SHARE)
        lengths = _lengths(source, target)
        if lengths.shape[1] < batch_size:
            raise UsageError(f'training.batch_size is {batch_size}, and {lengths.shape[1]} pairs of sentences are no '
                             'longer than translation.longest: give a smaller batch, or a longer one.')
        self.buckets = self._sized(_divided(lengths, batch_size, count))

    def _sized(self, parts):
        """The buckets of pairs, with the rows that make the steps of an epoch of the most tokens a batch."""
        def rows(part, tokens):
            members, source, target = part
            wanted = min(tokens // (source + target), len(members))
            return max(int(wanted) // self.unit, 1) * self.unit

        def batches(tokens):
            return sum(len(part[0]) // rows(part, tokens) for part in parts)

        mean = sum(len(members) * (source + target) for members, source, target in parts) / self.steps
        # From a quarter more on: rounding makes the batches of an epoch a few more or fewer.
        for part in range(_FINENESS + _FINENESS // 4, 0, -1):
            tokens = mean * part / _FINENESS
            if batches(tokens) >= self.steps:
                return [Bucket(*each, rows(each, tokens)) for each in parts]
        pairs = sum(len(members) for members, *_ in parts)
        raise UsageError(f'{pairs} pairs of sentences do not make the {self.steps} batches of an epoch: give a larger '
                         'training.batch_size.')

    @property
    def waste(self):
        """float, the share of the tokens of an epoch that are padding."""
        padded = used = 0
        for bucket in self.buckets:
            whole = len(bucket.members) // bucket.rows * bucket.rows
            padded += whole * (bucket.source + bucket.target)
            used += whole * np.mean([len(self._source[pair]) + len(self._target[pair]) for pair in bucket.members])
        return 1 - used / padded

    def epoch(self, seed, number):
        """The batches of an epoch in their order: list of (Bucket, int array [rows], which pairs)."""
        rng = np.random.default_rng([seed, number])
        found = []
        for bucket in self.buckets:
            members = rng.permutation(bucket.members)
            found += [(bucket, members[first:first + bucket.rows])
                      for first in range(0, len(members) - bucket.rows + 1, bucket.rows)]
        return [found[place] for place in rng.permutation(len(found))[:self.steps]]

    def padded(self, bucket, pairs):
        """The sub-words of some pairs: {'source' int32 [n, sources], 'target' int32 [n, targets]}."""
        return {'source': pad([self._source[pair] for pair in pairs], bucket.source),
                'target': pad([self._target[pair] for pair in pairs], bucket.target)}


def in_order(source, target, rows, count):
    """All pairs once, in batches of a few shapes.

    Args:
      source, target: lists of int32 arrays.
      rows: int, of each batch; what is too little for one is filled up with rows of zeros.
      count: int, the shapes, at most.

    Yields:
      (int array [n], which pairs, and their dict of `source` int32 [rows, sources] and `target` int32 [rows, targets]).
    """
    for members, *lengths in _divided(_lengths(source, target), 1, count):
        for first in range(0, len(members), rows):
            pairs = members[first:first + rows]
            filling = [()] * (rows - len(pairs))
            yield pairs, {name: pad([*(sentences[pair] for pair in pairs), *filling], length)
                          for name, sentences, length in zip(('source', 'target'), (source, target), lengths,
                                                             strict=True)}


def _lengths(source, target):
    return np.array([list(map(len, source)), list(map(len, target))])


def _divided(lengths, least, count):
    """Pairs by length, so that padding is least: list of (members, source length, target length).

    Args:
      lengths: int array [2, n], of source and target.
      least: int, pairs of a bucket.
      count: int, buckets at most.
    """
    longer = lengths.max(0)
    edges = np.unique(longer)
    below = np.concatenate([[0], np.cumsum([np.count_nonzero(longer == edge) for edge in edges])])
    # The least padded length of the pairs up to each edge, by the number of buckets, and where the last one begins.
    best = np.full((count + 1, len(edges) + 1), np.inf)
    best[0, 0] = 0
    begins = np.zeros(best.shape, int)
    for number in range(1, count + 1):
        for end in range(1, len(edges) + 1):
            sizes = below[end] - below[:end]
            costs = np.where(sizes >= least, best[number - 1, :end] + sizes * edges[end - 1], np.inf)
            begins[number, end] = np.argmin(costs)
            best[number, end] = costs[begins[number, end]]
    number, end, parts = int(np.argmin(best[:, -1])), len(edges), []
    while number:
        begin = begins[number, end]
        members = np.flatnonzero((longer > (edges[begin - 1] if begin else 0)) & (longer <= edges[end - 1]))
        parts.append((members, *map(int, lengths[:, members].max(1))))
        number, end = number - 1, begin
    return parts[::-1]
