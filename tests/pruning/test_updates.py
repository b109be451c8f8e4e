"""How masks change during training: exact counts, what is dropped, and where weights grow."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tf_lottery.errors import EmptiedError
from tf_lottery.pruning.updates import Gradual, Regrowth
from tf_lottery.ticket import Mask


def mask(**rows):
    return Mask({name: np.array(row, bool) for name, row in rows.items()})


def test_rigl_drops_the_lowest_magnitudes_and_grows_where_the_gradient_is_largest():
    update = Regrowth((10,), ('a',), drop=0.5, until=20)
    # At step 10 of 20 the cosine has halved the share: a quarter of eight weights.
    assert update.share(10) == pytest.approx(0.25)
    before = mask(a=[[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]], other=[1, 0, 0])
    weights = {'a': np.array([[5, -1, 4, 0.5, 3, 9], [2, 8, 0, 0, 0, 0]]), 'other': np.array([1.0, 0, 0])}
    gradients = {'a': np.array([[9, 0, 9, 3, 9, 9], [9, 9, 1, -7, 2, 0]]), 'other': np.ones(3)}
    after = update(10, before, weights, gradients)
    # -1 and 0.5 are dropped; 7 grows, and 3, which is that of 0.5: it stays where it was.
    assert after['a'].astype(int).tolist() == [[1, 0, 1, 1, 1, 1], [1, 1, 0, 1, 0, 0]]
    assert after['other'].tolist() == [True, False, False]
    assert update.reads_gradients


def test_rigls_share_comes_down_by_a_cosine():
    update = Regrowth((), (), drop=0.3, until=1000)
    assert [update.share(step) for step in (0, 250, 500, 1000)] == pytest.approx(
        [0.3, 0.15 * (1 + math.sqrt(0.5)), 0.15, 0])
    assert Regrowth((), (), drop=0.3, seed=0).share(777) == 0.3


def test_set_grows_at_random_places_that_seed_and_step_say():
    before = mask(a=np.arange(200) < 100)
    weights = {'a': np.where(np.arange(200) < 100, 1 + np.arange(200.0), 0)}
    update = Regrowth((10, 20), ('a',), drop=0.3, seed=7)
    assert not update.reads_gradients
    after = update(10, before, weights)
    # The thirty lowest are dropped, though some of them may grow again; the others stay.
    assert after['a'][30:100].all()
    assert after['a'].sum() == 100
    grown = np.flatnonzero(after['a'] & ~before['a'])
    assert 15 < len(grown) <= 30 and grown.max() - grown.min() > 50
    assert update(10, before, weights) == after
    assert update(20, before, weights) != after
    assert Regrowth((10,), ('a',), drop=0.3, seed=8)(10, before, weights) != after


@hypothesis.given(st.data())
def test_regrowth_keeps_every_layers_count(data):
    sizes = data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=3))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    before = mask(**{str(number): rng.random(size) < data.draw(st.floats(0, 1)) for number, size in enumerate(sizes)})
    values = {name: rng.choice([0, 0.5, 1, 2], array.shape) for name, array in before.items()}
    update = Regrowth((5,), tuple(before), data.draw(st.floats(0.01, 0.99)), 10,
                      data.draw(st.none() | st.integers(0, 9)))
    after = update(5, before, values, values)
    for name, array in before.items():
        count, changed = array.sum(), int(update.share(5) * array.sum())
        assert after[name].sum() == count
        assert (array & ~after[name]).sum() <= changed
        gone, stays = array & ~after[name], array & after[name]
        if gone.any() and stays.any():
            # At most `changed` of those that were there may be lower than one that went: those that grew again.
            assert (values[name][stays] < values[name][gone].max()).sum() <= changed


def test_gradual_pruning_keeps_exact_counts():
    update = Gradual({0: {'a': 4}, 5: {'a': 3}, 9: {'a': 2}}, {'a': 0.5})
    assert (update.steps, update.settled, update.reads_gradients) == ((0, 5, 9), 9, False)
    before = mask(a=[1, 1, 1, 1], other=[1, 1])
    weights = {'a': np.array([3, -1, 2, 1.0]), 'other': np.zeros(2)}
    after = update(5, before, weights)
    # Of two that are equal the lower index stays.
    assert after['a'].tolist() == [True, True, True, False] and after['other'].all()
    # What is pruned does not come back, though its number be the largest.
    assert update(9, after, {**weights, 'a': np.array([1, 0.5, 2, 9])})['a'].tolist() == [True, False, True, False]


def test_gradual_pruning_of_the_whole_network_may_empty_a_layer():
    update = Gradual({5: 3}, {'a': 0.5, 'b': 0.5, 'c': 0})
    before = mask(a=[[1, 1, 1]], b=[[1, 1, 1]], c=[1])
    weights = {'a': np.array([[1, 2, 3.0]]), 'b': np.array([[4, 0.5, 0.1]]), 'c': np.zeros(1)}
    after = update(5, before, weights)
    assert {name: array.astype(int).tolist() for name, array in after.items()} == {
        'a': [[0, 1, 1]], 'b': [[1, 0, 0]], 'c': [1]}
    with pytest.raises(EmptiedError, match='^gradual pruning leaves no weight in a at step 5: leave the branch out,'):
        update(5, before, {**weights, 'b': 10 * np.ones((1, 3))})
