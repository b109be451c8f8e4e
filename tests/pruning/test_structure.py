"""What is pruned as one: hand-made cases, TF-MOT's masks, and what holds of every structure."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl, pruning_utils

from tf_lottery.errors import EmptiedError, UsageError, shown
from tf_lottery.pruning import allocation, structure
from tf_lottery.ticket import Mask


def magnitudes(mask, weights):
    return {name: np.abs(weights[name][kept]) for name, kept in mask.items()}


def pruned(name, weight, density):
    """The mask of a weight that a structure prunes once, by magnitude."""
    weight = np.asarray(weight, np.float32)
    mask = Mask.ones({'fc': weight.shape})
    return structure.find(name).keep(mask, magnitudes(mask, {'fc': weight}), {'fc': 1 - density}, 1)['fc']


def test_channels_have_the_l1_norms_of_1608_08710():
    # L1 norms are 6, 7 and 5; the largest weight is in the last one.
    weight = [[1, -4, 5], [2, 3, 0], [-3, 0, 0]]
    assert pruned('channels', weight, 2 / 3).tolist() == [[True, True, False]] * 3
    assert pruned('channels', weight, 1 / 3).tolist() == [[False, True, False]] * 3
    # Among equal ones the first stays, and a kernel's channels are on its last axis.
    kernel = np.ones((2, 2, 3, 4))
    kernel[0, 0, 0] = 2, 1, 3, 1
    assert pruned('channels', kernel, 0.75).all(axis=(0, 1, 2)).tolist() == [True, True, True, False]


def test_blocks_lie_from_the_first_row_and_column_on_and_end_at_the_edge():
    # Means of the six blocks: 1, 3, 2 and 4, 1, 5.
    weight = np.array([[1, 1, 3, 3, 2], [1, 1, 3, 3, 2], [4, 4, 1, -1, -5]])
    assert pruned('block_2x2', weight, 4 / 6).astype(int).tolist() == [
        [0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [1, 1, 0, 0, 1]]
    # Each place of a kernel has blocks of its own.
    kernel = np.stack([np.ones((2, 2)), [[3, 0], [0, 2]]])[None]
    assert pruned('block_1x2', kernel, 0.25).astype(int).tolist() == [[[[0, 0], [0, 0]], [[1, 1], [0, 0]]]]


def test_two_of_each_four_inputs_stay():
    weight = np.array([[1, 5], [2, 5], [-3, 6], [4, 5], [9, 1], [1, -2]])
    # The last two inputs are fewer than four, and as many as may stay.
    assert pruned('2:4', weight, 0.5).astype(int).T.tolist() == [[0, 0, 1, 1, 1, 1], [1, 0, 1, 0, 1, 1]]
    assert pruned('1:4', weight, 0.25).astype(int).T.tolist() == [[0, 0, 0, 1, 1, 0], [0, 0, 1, 0, 0, 1]]


def test_what_is_gone_and_what_is_beyond_the_edge_never_stays_however_low_the_others_are():
    mask = Mask({'fc': np.array([[1, 1, 0, 1, 1, 1]], bool).T})
    scores = {'fc': np.array([-3, -np.inf, -1, -2, -np.inf])}
    for name, expected in (('2:4', [1, 0, 0, 1, 1, 1]), ('1:4', [0, 0, 0, 1, 1, 0])):
        form = structure.find(name)
        level = {'2:4': 1, '1:4': 2}[name]
        assert form.keep(mask, scores, {'fc': 0.5}, level)['fc'].ravel().astype(int).tolist() == expected
    groups = Mask({'fc': np.array([[1, 0, 1], [1, 0, 1]], bool)})
    assert structure.find('channels').keep(groups, {'fc': np.array([-5.0, -1, -5, -1])}, {'fc': 0.7}, 1) == Mask(
        {'fc': [[False, False, True]] * 2})


@pytest.mark.parametrize(('kept', 'of'), [(2, 4), (1, 4), (3, 4), (2, 5)])
@pytest.mark.parametrize('shape', [(8, 5), (10, 3), (3, 3, 6, 4), (3, 3, 1, 4), (1, 1, 3, 5)])
def test_m_of_n_is_the_mask_of_tf_mot(kept, of, shape):
    weight = np.random.default_rng(kept).normal(size=shape).astype(np.float32)
    rows = pruning_utils.weights_rearrange(tf.constant(weight))
    theirs = pruning_utils.m_by_n_sparsity_mask_prepare(
        pruning_utils.generate_m_by_n_mask(rows, (of - kept, of)), tf.constant(weight).shape)
    own = pruned(f'{kept}:{of}', weight, kept / of)
    assert np.array_equal(own, theirs.numpy() != 0)
    assert pruning_utils.is_pruned_m_by_n(tf.constant(weight * own), (of - kept, of))


@pytest.mark.parametrize(('shape', 'block'), [((8, 8), (4, 4)), ((12, 16), (4, 2)), ((9, 6), (3, 1)), ((5, 8), (1, 4))])
def test_blocks_that_divide_a_weight_are_those_of_tf_mot(shape, block):
    weight = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    blocks = shape[0] * shape[1] // (block[0] * block[1])
    for count in range(1, blocks):
        density = count / blocks
        theirs = pruning_impl.Pruning(lambda: 1, [], lambda step, left=density: (True, 1 - left), block, 'AVG')
        _, mask = theirs._maybe_update_block_mask(tf.constant(weight))
        assert np.array_equal(pruned(f'block_{block[0]}x{block[1]}', weight, density), mask.numpy() != 0)


def test_groups_of_the_whole_network_are_ranked_by_their_means():
    mask = Mask.ones({'large': (4, 2), 'small': (1, 2)})
    weights = {'large': np.array([[1.0, 3]] * 4), 'small': np.array([[2.0, 4]])}
    fractions = dict.fromkeys(mask, 0.5)
    form = structure.find('channels')
    assert form.keep(mask, magnitudes(mask, weights), fractions, 1, 'global') == Mask(
        {'large': [[False, True]] * 4, 'small': [[False, True]]})
    weights['small'] = np.array([[0.2, 0.4]])
    with pytest.raises(EmptiedError, match='level 1 of global pruning leaves no weight in small'):
        form.keep(mask, magnitudes(mask, weights), fractions, 1, 'global')
    with pytest.raises(EmptiedError, match='small has none of the weights that rank highest in the whole network'):
        form.keep(mask, magnitudes(mask, weights), fractions, 1, anywhere=True)


def test_a_weight_that_is_never_pruned_may_have_any_shape():
    mask = Mask.ones({'fc': (4, 4), 'scale': (4,)})
    weights = {'fc': np.arange(16.0).reshape(4, 4), 'scale': np.zeros(4)}
    for name in ('channels', 'block_2x2', '2:4', None):
        form = structure.find(name)
        left = form.keep(mask, magnitudes(mask, weights), {'fc': 0.5, 'scale': 0}, 1)
        assert [int(array.sum()) for array in left.values()] == [8, 4]
        assert form.shuffled(left, 0)['scale'].all()
        form.check({'fc': (4, 4), 'scale': (4,)}, {'fc': 0.5, 'scale': 0}, 1, 'layerwise')


def test_weights_that_are_not_numbers_are_refused_by_name():
    for name in ('channels', 'block_1x2', '2:4'):
        with pytest.raises(UsageError, match='^fc holds weights that are not numbers'):
            pruned(name, [[1, np.nan], [2, 3]], 0.5)


def test_a_mask_to_start_from_counts_by_the_groups_that_are_left():
    start = Mask({'fc': [[True, False, True], [False, False, True]]})
    form, fractions = structure.find('channels'), {'fc': 0.5}
    form.check({'fc': (2, 3)}, fractions, 1, 'layerwise', start)
    with pytest.raises(UsageError, match=r'level 2 would leave no weight in fc \(2 channels, 0.5 pruned per level\)'):
        form.check({'fc': (2, 3)}, fractions, 2, 'layerwise', start)
    # The mean counts what is gone as 0, and it does not come back.
    assert form.keep(start, {'fc': np.array([5.0, 2, 2])}, fractions, 1, start=start) == Mask(
        {'fc': [[True, False, False], [False, False, False]]})


@pytest.mark.parametrize(('name', 'shapes', 'fractions', 'levels', 'scope', 'sentence'), [
    ('channels', {'fc': (50, 3)}, {'fc': 0.5}, 3, 'layerwise',
     'level 3 would leave no weight in fc (3 channels, 0.5 pruned per level): prune fewer levels, or a smaller'),
    ('block_4x4', {'a': (4, 8), 'b': (4, 4)}, {'a': 0.5, 'b': 0.5}, 1, 'global',
     None),
    ('block_4x4', {'a': (4, 8), 'b': (4, 4)}, {'a': 0.5, 'b': 0.5}, 2, 'global',
     'level 2 would leave fewer blocks than the 2 layers that are ranked together'),
    ('channels', {'scale': (5,)}, {'scale': 0.5}, 1, 'layerwise',
     'scale has no rows and columns, and so no channels: never prune it, by a fraction of 0.'),
    ('2:4', {'conv': (3, 5, 4)}, {'conv': 0.5}, 1, 'layerwise',
     'conv has 3 dimensions, and 2:4 is for weights of 2 or 4, as in TF-MOT: never prune it, by a fraction of 0.'),
    ('2:4', {'fc': (8, 8)}, {'fc': 0.5}, 1, 'global', '2 of each 4 weights stay within each layer: use pruning.scope'),
    ('2:4', {'a': (8, 8), 'b': (8, 8)}, {'a': 0.05, 'b': 0.5}, 1, 'layerwise',
     'level 1 would leave 4 of each 4 weights in a, not 2 (0.05 pruned per level): prune 1 level, of the fraction '
     '0.5 for all weights that are pruned.'),
    ('2:4', {'fc': (8, 8)}, {'fc': 0.2}, 20, 'layerwise',
     'level 20 would leave 0 of each 4 weights in fc, not 2 (0.2 pruned per level): prune 3 levels.'),
    ('3:4', {'fc': (8, 8)}, {'fc': 0.2}, 20, 'layerwise',
     'level 20 would leave 0 of each 4 weights in fc, not 3 (0.2 pruned per level): prune 1 level.'),
    ('1:8', {'a': (8, 8), 'b': (8, 8)}, {'a': 0.5, 'b': 0.45}, 2, 'layerwise',
     'level 2 would leave 2 of each 8 weights in a, not 1 (0.5 pruned per level): prune 3 levels.')])
def test_what_does_not_come_out_is_refused_with_a_remedy_that_works(name, shapes, fractions, levels, scope, sentence):
    form = structure.find(name)
    if sentence is None:
        form.check(shapes, fractions, levels, scope)
        return
    with pytest.raises(UsageError) as error:
        form.check(shapes, fractions, levels, scope)
    assert str(error.value).startswith(sentence)
    if name in ('2:4', '3:4', '1:8') and ': prune ' in sentence:
        number = int(sentence.split(': prune ')[1].split()[0])
        form.check(shapes, dict.fromkeys(shapes, 0.5) if 'of the fraction' in sentence else fractions, number, scope)


@pytest.mark.parametrize('name', ['2:2', '0:4', '4:2', '2/4', 'block_4', 'block_1x1', 'block_0x4', 'block_4x4x4',
                                  'channel', '', 4, 'channels ', '\uff12:4', '02:4'])
def test_a_structure_that_there_is_not_is_refused(name):
    with pytest.raises(UsageError) as error:
        structure.find(name, 'structure')
    assert str(error.value) == (
        f"structure is {shown(name)}: give 'channels', M of each N weights as in '2:4', blocks of more than one weight "
        "as in 'block_4x4', or None for single weights.")


NAMES = ('channels', 'block_2x3', 'block_4x1', '1:4', None)
SHAPES = st.sampled_from([(6, 5), (8, 8), (3, 9), (2, 2, 5, 6), (1, 3, 8, 4)])


def groups(name, shape):
    """The group of each weight, spelled out."""
    found = np.zeros(shape, int)
    for number, place in enumerate(np.ndindex(shape)):
        *places, row, column = place
        found[place] = {
            'channels': column, None: number,
            'block_2x3': hash((*places, row // 2, column // 3)) % 10**9,
            'block_4x1': hash((*places, row // 4, column)) % 10**9,
            '1:4': hash((*places, row // 4, column)) % 10**9}[name]
    return np.unique(found, return_inverse=True)[1].reshape(shape)


@pytest.mark.parametrize('name', NAMES)
@hypothesis.settings(max_examples=25)
@hypothesis.given(shape=SHAPES, seed=st.integers(0, 2**16))
def test_levels_nest_at_exact_counts_and_keep_their_structure(name, shape, seed):
    rng, form = np.random.default_rng(seed), structure.find(name)
    shapes = {'first': shape, 'second': (8, 6), 'never': (3,)}
    fractions = {'first': 0.5, 'second': 0.5, 'never': 0}
    mask = Mask.ones(shapes)
    form.check(shapes, fractions, 2, 'layerwise') if name == '1:4' else None
    for level in (1, 2):
        weights = {each: np.round(rng.normal(size=array.shape), 1) for each, array in mask.items()}
        try:
            left = form.keep(mask, magnitudes(mask, weights), fractions, level)
        except UsageError as error:
            assert 'would leave no weight' in str(error)
            return
        assert left.is_subset_of(mask) and left['never'].all()
        moved = form.shuffled(left, seed)
        for each in ('first', 'second'):
            of = groups(name, shapes[each])
            sizes = np.bincount(of.ravel())
            counts, others = (np.bincount(of[some[each]], minlength=len(sizes)) for some in (left, moved))
            if name == '1:4':
                assert np.array_equal(counts, np.minimum(sizes, 4 // 2**level))
                assert np.array_equal(counts, others)
                assert counts.sum() == form.kept(shapes[each], 0.5**level)
            else:
                assert set((counts / sizes).tolist()) | set((others / sizes).tolist()) <= {0, 1}
                assert (counts > 0).sum() == (others > 0).sum() == round(len(sizes) * 0.5**level)
                assert form.kept(shapes[each], 0.5**level) == pytest.approx(
                    round(len(sizes) * 0.5**level) * np.mean(sizes))
        assert moved == form.shuffled(left, seed)
        mask = left


@hypothesis.settings(max_examples=25)
@hypothesis.given(seed=st.integers(0, 2**16), scope=st.sampled_from(allocation.SCOPES))
def test_channels_that_stay_have_no_lower_means_than_those_that_go(seed, scope):
    rng, form = np.random.default_rng(seed), structure.find('channels')
    mask = Mask.ones({'first': (6, 8), 'second': (3, 3, 2, 8)})
    weights = {each: rng.normal(size=array.shape) for each, array in mask.items()}
    try:
        left = form.keep(mask, magnitudes(mask, weights), dict.fromkeys(mask, 0.5), 1, scope)
    except EmptiedError:
        return
    assert sum(int(array.any(axis=tuple(range(array.ndim - 1))).sum()) for array in left.values()) == 8
    means = {each: np.abs(weights[each]).reshape(-1, 8).mean(axis=0) for each in mask}
    stay = {each: array.reshape(-1, 8)[0] for each, array in left.items()}
    ranked = [(means, stay)] if scope == 'global' else [({each: means[each]}, stay) for each in mask]
    for some, kept in ranked:
        low = min(some[each][kept[each]].min(initial=np.inf) for each in some)
        assert all(some[each][~kept[each]].max(initial=0) < low for each in some)
