"""The order of the data: a pure function of (seed, step), however it is cut into blocks."""

import functools

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tf_lottery import steps
from tf_lottery.training.order import batch_indices, block_dataset, quiet_options, step_dataset, stretch_places

EXAMPLES, BATCH = 23, 5
PER_EPOCH = 4


def batches(seed, first, steps, examples=EXAMPLES, batch=BATCH):
    return batch_indices(tf.constant(seed), tf.constant(first), steps, examples, batch).numpy()


def test_an_epoch_is_whole_batches_only():
    assert steps.per_epoch(EXAMPLES, BATCH) == PER_EPOCH
    # 1803.03635: 160 epochs of 45,000 at batch 64 are 112,480 steps.
    assert 160 * steps.per_epoch(45_000, 64) == 112_480


def test_every_epoch_draws_every_example_at_most_once_in_an_order_of_its_own():
    epochs = batches(7, 0, 3 * PER_EPOCH).reshape(3, -1)
    for epoch in epochs:
        assert len(set(epoch)) == PER_EPOCH * BATCH
        assert set(epoch) <= set(range(EXAMPLES))
    assert not np.array_equal(epochs[0], epochs[1])
    # Those that are left over are others each time.
    assert len({frozenset(range(EXAMPLES)) - set(epoch) for epoch in epochs}) == 3


@pytest.mark.parametrize('first', [0, 8, 400])
def test_an_epoch_without_a_rest_is_a_permutation(first):
    drawn = batches(3, first, 4, examples=20)
    assert sorted(drawn.ravel()) == list(range(20))
    assert not np.array_equal(np.sort(drawn, axis=1), np.arange(20).reshape(4, 5))


def test_the_seed_decides():
    assert np.array_equal(batches(1, 0, 6), batches(1, 0, 6))
    assert not np.array_equal(batches(1, 0, 6), batches(2, 0, 6))


# Few block lengths, since each is traced once.
@hypothesis.settings(max_examples=30)
@hypothesis.given(seed=st.integers(0, 2**31 - 1), first=st.integers(0, 10**6), steps=st.sampled_from([1, 3, 11]))
def test_a_block_is_the_steps_that_it_is_made_of(seed, first, steps):
    block = batches(seed, first, steps)
    assert block.shape == (steps, BATCH)
    for number in (0, steps // 2, steps - 1):
        assert np.array_equal(block[number], batches(seed, first + number, 1)[0])


@pytest.mark.parametrize(('examples', 'batch'), [(5, 5), (9, 5), (4, 1)])
def test_a_block_may_span_many_epochs(examples, batch):
    per_epoch = examples // batch
    block = batches(2, 1, 20, examples, batch)
    single = np.concatenate([batches(2, step, 1, examples, batch) for step in range(1, 21)])
    assert np.array_equal(block, single)
    whole = block[per_epoch - 1:]
    for epoch in range(len(whole) // per_epoch):
        drawn = whole[epoch * per_epoch:(epoch + 1) * per_epoch].ravel()
        assert len(set(drawn)) == per_epoch * batch


def test_both_pipelines_draw_what_the_function_says():
    expected = batches(9, 2, 17)
    blocks = list(block_dataset(9, [2, 6, 7, 14, 19], 7, EXAMPLES, BATCH).as_numpy_iterator())
    assert [(int(block['first_step']), int(block['steps'])) for block in blocks] == [(2, 4), (6, 1), (7, 7), (14, 5)]
    # Every block is padded to the longest, so that one program serves all.
    assert {block['indices'].shape for block in blocks} == {(7, BATCH)}
    assert np.array_equal(np.concatenate([block['indices'][:block['steps']] for block in blocks]), expected)

    for chunk in (1, 4, 100):
        steps = list(step_dataset(9, 2, 19, chunk, EXAMPLES, BATCH).as_numpy_iterator())
        assert np.array_equal([step['indices'] for step in steps], expected)
        assert [set(step['step']) for step in steps] == [{number} for number in range(2, 19)]
        assert all(np.array_equal(step['row'], np.arange(BATCH)) for step in steps)


def test_the_pipeline_of_single_steps_knows_its_length():
    assert step_dataset(0, 3, 10, 4, EXAMPLES, BATCH).cardinality() == 7


def test_quiet_pipelines_have_no_autotuning_and_an_order():
    options = quiet_options(tf.data.Options())
    assert not options.autotune.enabled
    assert options.deterministic


def places(seed, first, steps, places=23, batch=3, length=2):
    return stretch_places(tf.constant(seed), tf.constant(first), steps, places, batch, length).numpy()


def test_each_row_reads_a_stretch_of_its_own_from_its_start_in_every_epoch():
    # Stretches of 7 places, of which 3 steps read 2 each.
    drawn = places(5, 0, 6)
    assert np.array_equal(drawn[:3], (drawn[0, 0] + np.array([[0, 7, 14], [2, 9, 16], [4, 11, 18]])) % 23)
    assert np.array_equal(drawn[3:], drawn[:3])


def test_where_stretches_begin_is_drawn_from_the_seed_and_from_nothing_else():
    assert len({places(seed, 0, 1)[0, 0] for seed in range(20)}) > 8
    assert np.array_equal(places(5, 4, 3), places(5, 0, 7)[4:])


def test_blocks_and_steps_draw_what_they_are_told_to():
    draw = functools.partial(stretch_places, length=2)
    found = np.concatenate([block['indices'][:block['steps']] for block in block_dataset(
        5, [1, 4, 6], 3, 23, 3, draw).as_numpy_iterator()])
    assert np.array_equal(found, places(5, 1, 5))
    rows = [row['indices'] for row in step_dataset(5, 1, 6, 2, 23, 3, draw).as_numpy_iterator()]
    assert np.array_equal(rows, found)
