"""Exact counts: how many weights stay in each layer, and which."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tf_lottery.errors import EmptiedError, UsageError
from tf_lottery.models import lenet
from tf_lottery.pruning import allocation
from tf_lottery.ticket import Mask

# The densities that 1803.03635 prints or implies, in per cent (papers.md, section 1.3).
LENET = {1: 80.0, 3: 51.3, 4: 41.1, 6: 26.3, 7: 21.1, 9: 13.5, 10: 10.8, 11: 8.7, 12: 7.0, 13: 5.6, 14: 4.5, 15: 3.6,
         16: 2.9, 18: 1.9, 19: 1.5}


def lenet_sizes():
    return {name: int(np.prod(shape)) for name, (_, shape, _) in lenet.prunable_shapes((28, 28, 1), 10).items()}


def lenet_fractions(hidden=0.2, output=0.1):
    return {name: output if group == 'output' else hidden
            for name, (group, *_) in lenet.prunable_shapes((28, 28, 1), 10).items()}


def test_lenet_has_266200_prunable_weights():
    assert lenet_sizes() == {'fc1/kernel': 235_200, 'fc2/kernel': 30_000, 'output/kernel': 1_000}
    assert sum(lenet_sizes().values()) == 266_200


def test_shapes_known_without_tensorflow_are_those_of_the_network():
    from tf_lottery.pruning import wrapper

    for shape, classes in (((28, 28, 1), 10), ((8, 8, 1), 7)):
        network = wrapper.prunable(lenet.build(shape, classes, seed=0))
        built = {name: tuple(weight.shape) for name, (_, weight, *_) in wrapper.prunable_variables(network).items()}
        expected = {name: shape for name, (_, shape, _) in lenet.prunable_shapes(shape, classes).items()}
        assert list(built.items()) == list(expected.items())


@pytest.mark.parametrize(('level', 'percent'), LENET.items())
def test_lenet_has_the_papers_densities(level, percent):
    kept = sum(allocation.layerwise_counts(lenet_sizes(), lenet_fractions(), level).values())
    assert round(100 * kept / 266_200, 1) == percent


def test_level_0_is_dense():
    assert allocation.layerwise_counts(lenet_sizes(), lenet_fractions(), 0) == lenet_sizes()


def test_a_fifth_of_100_weights_is_20():
    weights = {'fc': np.random.default_rng(0).normal(size=(10, 10))}
    mask = allocation.prune(Mask.ones({'fc': (10, 10)}), weights, {'fc': 0.2}, 1)
    assert mask.kept == 80
    assert np.abs(weights['fc'][~mask['fc']]).max() < np.abs(weights['fc'][mask['fc']]).min()


def test_layers_are_ranked_one_by_one():
    weights = {'small': np.array([1.0, 2, 3, 4]), 'large': np.array([[10.0, -40], [-30, 20]])}
    mask = allocation.prune(Mask.ones({'small': (4,), 'large': (2, 2)}), weights, {'small': 0.25, 'large': 0.5}, 1)
    assert mask == Mask({'small': [False, True, True, True], 'large': [[False, True], [True, False]]})


def test_global_ranking_compares_all_layers():
    weights = {'small': np.array([1.0, 2, 3, -35]), 'large': np.array([[10.0, -40], [-30, 20]])}
    mask = allocation.prune(Mask.ones({'small': (4,), 'large': (2, 2)}), weights, {'small': 0.5, 'large': 0.5}, 1,
                            'global')
    assert mask == Mask({'small': [False, False, False, True], 'large': [[False, True], [True, True]]})


def test_global_ranking_leaves_a_layer_of_fraction_0_alone_and_does_not_count_it():
    weights = {'small': np.array([0.1, 0.2]), 'large': np.array([10.0, 40, 30, 20])}
    fractions = {'small': 0, 'large': 0.5}
    assert allocation.prune(Mask.ones({'small': (2,), 'large': (4,)}), weights, fractions, 1, 'global') == Mask(
        {'small': [True, True], 'large': [False, True, True, False]})


@pytest.mark.parametrize('level', [1, 5, 100])
def test_a_fraction_of_0_never_prunes(level):
    weights = {'fc': np.arange(4.0), 'output': np.zeros(3)}
    mask = allocation.prune(Mask.ones({'fc': (4,), 'output': (3,)}), weights, {'fc': 0, 'output': 0}, level)
    assert mask.kept == 7


def test_global_ranking_takes_one_fraction():
    with pytest.raises(UsageError, match=r'one fraction for all layers, got \[0.1, 0.2\]'):
        allocation.prune(Mask.ones({'a': (2,), 'b': (2,)}), {'a': np.ones(2), 'b': np.ones(2)}, {'a': 0.1, 'b': 0.2},
                         1, 'global')


def test_an_empty_layer_is_named():
    with pytest.raises(UsageError, match=r'level 10 would leave no weight in tiny \(3 weights, 0.2 pruned'):
        allocation.layerwise_counts({'tiny': 3, 'fc': 100}, {'tiny': 0.2, 'fc': 0.2}, 10)
    with pytest.raises(UsageError, match=r'level 1 of global pruning leaves no weight in tiny: stop at level 0'):
        allocation.prune(Mask.ones({'tiny': (2, 1), 'fc': (4,)}), {'tiny': np.zeros((2, 1)), 'fc': np.ones(4)},
                         {'tiny': 0.5, 'fc': 0.5}, 1, 'global')
    bare = allocation.prune(Mask.ones({'bias': (2,), 'fc': (2, 2)}), {'bias': np.zeros(2), 'fc': np.ones((2, 2))},
                            {'bias': 0.5, 'fc': 0.5}, 2, 'global')
    assert (bare['bias'].tolist(), int(bare['fc'].sum())) == ([False, False], 2)


@pytest.mark.parametrize('scope', allocation.SCOPES)
def test_weights_that_are_not_numbers_are_refused_by_name(scope):
    weights = {'fc': np.ones(4), 'output': np.array([1, np.nan, 2, 3])}
    with pytest.raises(UsageError, match='output holds weights that are not numbers'):
        allocation.prune(Mask.ones({'fc': (4,), 'output': (4,)}), weights, {'fc': 0.5, 'output': 0.5}, 1, scope)


def test_infinite_weights_are_the_largest():
    weights = {'fc': np.array([1.0, -np.inf, 2, np.inf])}
    assert allocation.prune(Mask.ones({'fc': (4,)}), weights, {'fc': 0.5}, 1) == Mask({'fc': [0, 1, 0, 1]})


def test_the_highest_scores_of_what_is_left_stay():
    mask = Mask({'fc': [1, 1, 0, 1, 1]})
    assert allocation.keep_highest(mask, {'fc': np.array([-3.0, 1, 2, -4])}, {'fc': 0.6}, 1) == Mask(
        {'fc': [0, 1, 0, 1, 0]})
    # What has been pruned never comes back, however low the others are.
    assert allocation.keep_highest(mask, {'fc': np.full(4, -np.inf)}, {'fc': 0.2}, 1) == mask


def test_wherever_they_are_as_many_stay_as_the_level_has():
    mask, fractions = Mask.ones({'a': (5, 2), 'b': (5, 2), 'c': (3,)}), {'a': 0.5, 'b': 0.2, 'c': 0}
    scores = {'a': np.arange(10.0), 'b': np.arange(10.0) + 3}
    kept = allocation.keep_highest_anywhere(mask, scores, fractions, 1)
    # 5 of the one layer and 8 of the other, of which the lower index comes first among equal scores.
    assert [int(array.sum()) for array in kept.values()] == [5, 8, 3]
    kept = allocation.keep_highest_anywhere(mask, {**scores, 'a': np.arange(10.0) - 5}, fractions, 1)
    assert [int(array.sum()) for array in kept.values()] == [3, 10, 3]
    with pytest.raises(EmptiedError, match='a has none of the weights that rank highest in the whole network: leave'):
        allocation.keep_highest_anywhere(mask, {**scores, 'a': np.arange(10.0) - 9}, fractions, 3)
    # Halfway to the level: 0.5 ** 0.5 and 0.8 ** 0.5 of ten.
    assert allocation.keep_highest_anywhere(mask, scores, fractions, 0.5).kept == 7 + 9 + 3
    assert allocation.keep_highest_anywhere(Mask.ones({'c': (3,)}), {}, {'c': 0}, 1).kept == 3


# Few different values, so that ties are the rule.
TIED = arrays.arrays(np.float32, st.integers(1, 40), elements=st.sampled_from([0, 0.5, 1, 2, np.inf, -np.inf]))


@hypothesis.given(scores=TIED, data=st.data())
def test_top_is_the_stable_sort(scores, data):
    count = data.draw(st.integers(0, scores.size))
    expected = np.zeros(scores.size, bool)
    expected[np.argsort(-scores, kind='stable')[:count]] = True
    assert np.array_equal(allocation.top(scores, count), expected)


@hypothesis.given(size=st.integers(1, 10**7), density=st.floats(0, 1))
def test_keep_count_is_the_nearest_whole_number(size, density):
    assert abs(allocation.keep_count(size, density) - size * density) <= 0.5


# Of fewer, a level would leave no more than the other layer has.
WEIGHTS = st.integers(30, 60).flatmap(lambda size: arrays.arrays(
    np.float32, (2, size), elements=st.sampled_from([-2, -1, -0.5, 0, 0.5, 1, 1.5])))


@hypothesis.given(trained=st.lists(WEIGHTS, min_size=4, max_size=4), fraction=st.sampled_from([0.1, 0.2, 0.35]),
                  scope=st.sampled_from(allocation.SCOPES))
def test_masks_nest_with_exact_counts_and_nothing_comes_back(trained, fraction, scope):
    shapes = {'fc': trained[0].shape, 'output': (4, 4)}
    mask = Mask.ones(shapes)
    fractions = dict.fromkeys(shapes, fraction)
    for level, values in enumerate(trained[:3], start=1):
        # Every level trains to other weights; a layer of large ones keeps 'global' from emptying it.
        weights = {'fc': np.resize(values, shapes['fc']), 'output': 3 + np.arange(16.0).reshape(4, 4)}
        pruned = allocation.prune(mask, weights, fractions, level, scope)
        assert pruned.is_subset_of(mask)
        density = (1 - fraction) ** level
        if scope == 'global':
            assert pruned.kept == round(mask.size * density)
        else:
            assert {name: int(each.sum()) for name, each in pruned.items()} == {
                name: round(each.size * density) for name, each in pruned.items()}
        for name in shapes if scope == 'layerwise' else ():
            gone, kept = mask[name] & ~pruned[name], pruned[name]
            if gone.any():
                assert np.abs(weights[name][gone]).max() <= np.abs(weights[name][kept]).min()
        mask = pruned


def test_global_ranking_needs_a_weight_for_each_layer_at_least():
    sizes, fractions = {'one': 50, 'two': 30, 'dense': 9}, {'one': 0.5, 'two': 0.5, 'dense': 0.0}
    allocation.check(sizes, fractions, 5, 'global')
    with pytest.raises(UsageError, match='^level 6 would leave fewer weights than the 2 layers that are'):
        allocation.check(sizes, fractions, 6, 'global')


def test_erdos_renyi_counts_by_hand():
    shapes = {'a': (10, 10), 'b': (10, 5), 'dense': (3, 3)}
    fractions = {'a': 0.5, 'b': 0.5, 'dense': 0.0}
    # 75 weights at level 1; densities in proportion to 20/100 and 15/50, so 20 e + 15 e = 75.
    assert allocation.distributed_counts(shapes, fractions, 1, 'layerwise', 'er') == {'a': 43, 'b': 32}
    assert allocation.distributed_counts(shapes, fractions, 1, 'layerwise', 'uniform') == {'a': 50, 'b': 25}
    # The small one is full before its share is: the other one takes what is left.
    assert allocation.distributed_counts({'a': (100, 100), 'b': (10, 2)}, dict.fromkeys('ab', 0.2), 1, 'global',
                                         'er') == {'a': 7996, 'b': 20}


def test_the_kernel_counts_in_erk():
    shapes, fractions = {'conv': (3, 3, 8, 16), 'fc': (64, 10)}, {'conv': 0.5, 'fc': 0.5}
    # 24 + 6 against 24: e = 896 / (30 + 74) = 8.615..., of fc 637.5.
    assert allocation.distributed_counts(shapes, fractions, 1, 'layerwise', 'erk') == {'conv': 258, 'fc': 638}
    er = allocation.distributed_counts(shapes, fractions, 1, 'layerwise', 'er')
    # 24/128 of 1152 against 74/640 of 640: e = 896 / (216 + 74).
    assert er == {'conv': 667, 'fc': 229}


def test_a_distribution_that_empties_a_layer_is_refused():
    shapes = {'a': (1000, 1000), 'b': (1000, 1000), 'c': (2, 2)}
    with pytest.raises(UsageError, match=r"^sparse.distribution='erk' would leave no weight in b at level 9: prune"):
        allocation.distributed_counts({**shapes, 'c': (1, 1)}, dict.fromkeys(shapes, 0.8), 9, 'global', 'erk')


@hypothesis.given(st.data())
def test_distributed_counts_have_the_levels_weights_in_all(data):
    shapes = {str(number): data.draw(st.lists(st.integers(1, 20), min_size=2, max_size=4).map(tuple))
              for number in range(data.draw(st.integers(1, 4)))}
    fractions, scope = dict.fromkeys(shapes, data.draw(st.floats(0.01, 0.6))), data.draw(
        st.sampled_from(allocation.SCOPES))
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    for distribution in ('er', 'erk'):
        try:
            counts = allocation.distributed_counts(shapes, fractions, 1, scope, distribution)
        except UsageError:
            continue
        assert sum(counts.values()) == allocation.total(sizes, fractions, 1, scope)
        assert all(0 < counts[name] <= sizes[name] for name in sizes)
