"""Batches of similar length: their shapes, what is in them, and how many there are."""

import numpy as np
import pytest

from tf_lottery.data.buckets import Buckets, in_order
from tf_lottery.errors import UsageError


def sentences(lengths):
    """Sentences of some lengths, of numbers that tell which one it is."""
    return [np.full(length, number + 1, np.int32) for number, length in enumerate(lengths)]


def test_lengths_are_divided_where_padding_is_least():
    lengths = [2] * 8 + [3] * 4 + [9] * 4
    buckets = Buckets(sentences(lengths), sentences(lengths), 4, 4, 2).buckets
    assert [(len(each.members), each.source, each.target) for each in buckets] == [(12, 3, 3), (4, 9, 9)]


def test_source_and_target_have_lengths_of_their_own():
    (bucket,) = Buckets(sentences([2, 5]), sentences([4, 1]), 1, 2, 1).buckets
    assert (bucket.source, bucket.target) == (5, 4)


def test_batches_of_long_sentences_are_smaller_and_an_epoch_has_its_steps():
    lengths = np.random.default_rng(0).integers(2, 40, 3000)
    found = Buckets(sentences(lengths), sentences(lengths), 64, 3000 // 64, 6)
    epoch = found.epoch(1, 0)
    assert len(epoch) == 46
    sizes = [len(pairs) * (bucket.source + bucket.target) for bucket, pairs in epoch]
    assert np.ptp(sizes) < 0.25 * np.mean(sizes)
    assert all(len(pairs) % 4 == 0 for _, pairs in epoch)
    assert found.waste < 0.2
    # Nearly all, each at most once.
    pairs = np.concatenate([pairs for _, pairs in epoch])
    assert len(np.unique(pairs)) == len(pairs) > 0.9 * 3000


def test_an_epoch_is_a_function_of_seed_and_number():
    lengths = np.random.default_rng(0).integers(2, 9, 200)
    found = Buckets(sentences(lengths), sentences(lengths), 16, 12, 2)

    def pairs(seed, number):
        return [each.tolist() for _, each in found.epoch(seed, number)]

    assert pairs(1, 0) == pairs(1, 0)
    assert pairs(1, 0) != pairs(1, 1)
    assert pairs(1, 0) != pairs(2, 0)


def test_pairs_are_filled_up_with_zeros():
    found = Buckets(sentences([1, 3]), sentences([2, 2]), 1, 2, 1)
    (bucket,) = found.buckets
    padded = found.padded(bucket, [0, 1])
    assert padded['source'].tolist() == [[1, 0, 0], [2, 2, 2]]
    assert padded['target'].tolist() == [[1, 1], [2, 2]]


def test_in_order_every_pair_comes_once_and_batches_are_filled_up():
    found = list(in_order(sentences([1, 4, 1, 1]), sentences([1, 4, 1, 1]), 2, 2))
    assert [pairs.tolist() for pairs, _ in found] == [[0, 2], [3], [1]]
    assert [batch['source'].tolist() for _, batch in found] == [[[1], [3]], [[4], [0]], [[2] * 4, [0] * 4]]


def test_too_few_pairs_are_refused():
    with pytest.raises(UsageError, match='batch_size is 4, and 3 pairs'):
        Buckets(sentences([1, 1, 1]), sentences([1, 1, 1]), 4, 1, 1)
