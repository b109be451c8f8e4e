"""Masks and tickets as values."""

import hypothesis
import ml_dtypes
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tf_lottery.errors import CorruptFileError
from tf_lottery.runtime import storage
from tf_lottery.ticket import Mask, Ticket, pack, unpack

SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=5)
MASKS = st.dictionaries(st.sampled_from(['fc1/kernel', 'a/b/kernel', 'output']),
                        SHAPES.flatmap(lambda shape: arrays.arrays(bool, shape)), max_size=3).map(Mask)


def test_a_mask_counts_what_it_keeps():
    mask = Mask({'a': [1, 0, 1, 0], 'b': [[True], [True]]})
    assert (mask.kept, mask.size, mask.density) == (4, 6, 4 / 6)
    assert repr(mask) == 'Mask(4 of 6 weights, 66.67%)'
    assert Mask({}).density == 1.0


def test_ones_is_dense():
    mask = Mask.ones({'a': (2, 3), 'b': (4,)})
    assert mask.kept == mask.size == 10
    assert mask['a'].shape == (2, 3)


def test_a_mask_never_changes():
    source = np.array([True, False])
    mask = Mask({'a': source})
    source[1] = True
    assert mask['a'].tolist() == [True, False]
    with pytest.raises(ValueError, match='read-only'):
        mask['a'][0] = False
    with pytest.raises(TypeError):
        mask['a'] = source
    with pytest.raises(TypeError):
        hash(mask)


def test_masks_are_equal_by_value():
    mask = Mask({'a': [1, 0], 'b': [1]})
    assert mask == Mask({'a': [True, False], 'b': [True]})
    assert mask != Mask({'a': [1, 1], 'b': [1]})
    assert mask != Mask({'a': [[1, 0]], 'b': [1]})
    assert mask != Mask({'a': [1, 0]})
    assert mask != Mask({'a': [1, 0], 'c': [1]})
    assert mask != {'a': [1, 0], 'b': [1]}


def test_a_subset_keeps_nothing_that_the_other_has_pruned():
    small, large = Mask({'a': [0, 1, 0]}), Mask({'a': [1, 1, 0]})
    assert small.is_subset_of(large)
    assert small.is_subset_of(small)
    assert not large.is_subset_of(small)
    assert not Mask({'a': [0, 0, 1]}).is_subset_of(large)


def test_applying_gives_positive_zeros_and_leaves_other_arrays():
    bias = np.array([5.0])
    weights = {'a': np.array([-1.0, -np.inf, np.nan, 2], np.float16), 'bias': bias}
    applied = Mask({'a': [0, 0, 0, 1]}).apply(weights)
    assert applied['a'].tolist() == [0, 0, 0, 2]
    assert not np.signbit(applied['a']).any()
    assert applied['a'].dtype == np.float16
    assert applied['bias'] is bias
    assert weights['a'][0] == -1


def test_a_ticket_starts_from_its_masked_weights():
    ticket = Ticket(Mask({'a': [1, 0]}), {'a': np.array([3.0, 4]), 'bias': np.array([1.0])}, step=7)
    assert {name: array.tolist() for name, array in ticket.start.items()} == {'a': [3, 0], 'bias': [1]}


@hypothesis.given(mask=MASKS, seed=st.integers(0, 2**63))
def test_shuffling_keeps_each_layers_count_and_shape(mask, seed):
    shuffled = mask.shuffled(seed)
    assert [(name, array.shape, array.sum()) for name, array in shuffled.items()] == [
        (name, array.shape, array.sum()) for name, array in mask.items()]
    assert shuffled == mask.shuffled(seed)


def test_shuffling_moves_weights_over_the_whole_layer_and_by_the_seed():
    mask = Mask({'a': np.arange(400).reshape(20, 20) < 100, 'b': np.arange(400).reshape(20, 20) < 100})
    one, two = mask.shuffled(1), mask.shuffled(2)
    assert one != two
    assert not np.array_equal(one['a'], one['b'])
    # About 25 of the first 100 places are kept when they are drawn from all 400.
    assert 10 < one['a'][:5].sum() < 45


@hypothesis.given(mask=MASKS)
def test_a_packed_mask_reads_back(mask):
    assert Mask.from_arrays(mask.to_arrays()) == mask


def test_a_packed_mask_takes_one_bit_per_weight_and_survives_a_file(tmp_path):
    mask = Mask({'fc/kernel': np.arange(1000).reshape(20, 50) % 3 == 0, 'b': np.zeros((3, 0), bool)})
    assert mask.to_arrays()['bits/fc/kernel'].nbytes == 125
    path = tmp_path / 'mask.npz'
    storage.write_arrays(path, mask.to_arrays())
    assert Mask.from_arrays(storage.read_arrays(path)) == mask


@pytest.mark.parametrize('change', [
    {'bits/a': np.zeros(1, np.uint8)}, {'bits/a': np.zeros(2, np.int64)}, {'shape/a': np.array([4, 5])},
    {'shape/a': ()}])
def test_bits_that_do_not_fit_their_shape_are_named(change):
    arrays_ = Mask({'a': np.ones((3, 5))}).to_arrays()
    with pytest.raises(CorruptFileError, match='the mask of a does not fit its shape'):
        Mask.from_arrays({**arrays_, **change})


@hypothesis.given(mask=MASKS, data=st.data())
def test_packed_weights_read_back_bit_for_bit(mask, data):
    weights = {name: data.draw(arrays.arrays(np.float32, array.shape, elements=st.floats(width=32)))
               for name, array in mask.items()}
    weights['bias'] = np.arange(3.0)
    weights = mask.apply(weights)
    packed = pack(weights, mask)
    assert all(packed[name].size == array.sum() for name, array in mask.items())
    again = unpack(packed, mask)
    assert list(again) == list(weights)
    for name, array in weights.items():
        assert again[name].dtype == array.dtype
        assert again[name].tobytes() == array.tobytes()


@pytest.mark.parametrize('dtype', [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, bool, np.int32])
def test_weights_of_any_dtype_are_masked_and_packed_to_the_bit(dtype, tmp_path):
    mask, values = Mask({'w': np.eye(3, 4)}), np.arange(-6, 6).reshape(3, 4).astype(dtype)
    start = mask.apply({'w': values, 'bias': values[0]})
    assert start['w'].dtype == dtype
    assert start['w'].tobytes() == np.where(np.eye(3, 4), values.astype(float), 0).astype(dtype).tobytes()
    storage.write_arrays(tmp_path / 'weights.npz', pack(start, mask))
    again = unpack(storage.read_arrays(tmp_path / 'weights.npz'), mask)
    for name, array in start.items():
        assert again[name].dtype == dtype
        assert again[name].tobytes() == array.tobytes()


def test_a_ticket_starts_from_what_its_pruned_weights_are_frozen_at():
    frozen = {'w': np.float32([5, 6, 7])}
    ticket = Ticket(Mask({'w': [1, 0, 0]}), {'w': np.float32([1, 2, 3]), 'bias': np.float32([4])}, frozen=frozen)
    start = ticket.start
    assert (start['w'].tolist(), start['w'].dtype, start['bias'].tolist()) == ([1, 6, 7], np.float32, [4])
    zeros = Ticket(ticket.mask, ticket.weights)
    assert ticket.digest() != zeros.digest()
    # What is frozen where a weight stays is not read.
    assert ticket.digest() == Ticket(ticket.mask, ticket.weights, frozen={'w': np.float32([0, 6, 7])}).digest()
    assert zeros.digest() == Ticket(ticket.mask, ticket.weights, frozen={'w': np.zeros(3, np.float32)}).digest()


def test_frozen_weights_are_packed_whole_and_read_back_by_their_shape():
    mask, weights = Mask({'w': [[1, 0], [0, 0]], 'v': [1, 0, 1]}), {
        'w': np.float32([[1, 2], [3, 4]]), 'v': np.float32([5, 6, 7]), 'bias': np.float32([8])}
    again = unpack(pack(weights, mask, whole=True), mask)
    assert {name: array.tolist() for name, array in again.items()} == {
        name: array.tolist() for name, array in weights.items()}


def test_weights_of_another_mask_are_named():
    packed = pack({'a': np.arange(4.0)}, Mask({'a': [1, 1, 0, 0]}))
    with pytest.raises(CorruptFileError, match='a holds 2 weights, but its mask keeps 1'):
        unpack(packed, Mask({'a': [1, 0, 0, 0]}))


def test_a_digest_is_of_mask_start_step_and_context():
    mask = {'a': np.array([True, False])}

    def digest(kept=mask['a'], weights=(1.0, 2.0), step=5, *context):
        return Ticket(Mask({'a': kept}), {'a': np.array(weights, np.float32)}, step).digest(*context)

    assert digest() == digest()
    # What is pruned is no part of the start.
    assert digest(weights=(1.0, 3.0)) == digest()
    others = [digest(weights=(1.5, 2.0)), digest([True, True], (1.0, 0.0)), digest(step=6),
              digest(mask['a'], (1.0, 2.0), 5, {'seed': 1}), digest(mask['a'], (1.0, 2.0), 5, {'seed': 2}), digest()]
    assert len(set(others)) == len(others)


def test_a_global_shuffle_moves_weights_between_layers():
    mask = Mask({'a': np.zeros((10, 10)), 'b': np.ones((4, 25)), 'kept': np.eye(3)})
    shuffled = mask.shuffled_globally(0, ['a', 'b'])
    assert (shuffled.kept, list(shuffled)) == (mask.kept, list(mask))
    assert {name: kept.shape for name, kept in shuffled.items()} == {name: kept.shape for name, kept in mask.items()}
    assert np.array_equal(shuffled['kept'], np.eye(3))
    # Half of all: 50 of a layer's 100, give or take four standard deviations.
    assert 36 < shuffled['a'].sum() < 64
    assert shuffled == mask.shuffled_globally(0, ['a', 'b'])
    assert shuffled != mask.shuffled_globally(1, ['a', 'b'])
