"""What weights are ranked by: known answers, and what holds of every criterion."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tf_lottery.pruning import allocation
from tf_lottery.pruning.criteria import BEFORE_TRAINING, CRITERIA, Layer, scores
from tf_lottery.ticket import Mask

# Five weights, of which the fourth has changed its sign.
WEIGHT, INITIAL = [3.0, -2.0, 0.5, -1.0, 1.5], [1.0, -4.0, 0.25, 2.0, 2.5]


def layer(weight=WEIGHT, initial=INITIAL):
    given = {'draw': [0.3, 0.1, 0.9, 0.2, 0.5], 'gradient': [0.1, -1.0, 8.0, 0.0, -1.0],
             'curvature': [0.0, 4.0, 8.0, 2.0, 0.8], 'flow': [1.0, 2.0, -4.0, -3.0, 0.0],
             'synaptic_flow': [1.0, 2.0, 1.0, 5.0, 0.0]}
    return Layer(np.array(weight), np.array(initial), **{name: np.array(each) for name, each in given.items()})


def order(criterion):
    """The five weights from the one that stays longest to the one that goes first."""
    found = scores(criterion, {'fc': layer()}, together=False)['fc']
    return np.argsort(-found, kind='stable').tolist()


@pytest.mark.parametrize(('name', 'expected'), [
    ('magnitude', [3, 2, 0.5, 1, 1.5]),
    ('small_final', [-3, -2, -0.5, -1, -1.5]),
    ('large_initial', [1, 4, 0.25, 2, 2.5]),
    ('small_initial', [-1, -4, -0.25, -2, -2.5]),
    ('magnitude_increase', [2, -2, 0.25, -1, -1]),
    ('movement', [2, 2, 0.25, 3, 1]),
    # Places by |w| are 4 3 0 1 2, by |w_0| 1 4 0 2 3.
    ('large_initial_large_final', [1, 3, 0, 1, 2]),
    # Places by -|w| are 0 1 4 3 2, by -|w_0| 3 0 4 2 1.
    ('small_initial_small_final', [0, 0, 4, 2, 1]),
    ('taylor', [0.3, 2, 4, 0, 1.5]),
    ('obd', [0, 8, 1, 1, 0.9]),
    # The standard deviation of 3, -2, 0.5, -1, 1.5.
    ('han', np.array([3, 2, 0.5, 1, 1.5]) / np.sqrt(3.14)),
    ('random', [0.3, 0.1, 0.9, 0.2, 0.5])])
def test_a_criterion_has_the_scores_of_its_formula(name, expected):
    found = scores(CRITERIA[name], {'fc': layer()}, together=False)['fc']
    assert found == pytest.approx(np.array(expected))


@pytest.mark.parametrize(('name', 'expected'), [
    ('initial_magnitude', [3, 2, 0.5, 1, 1.5]), ('snip', [0.3, 2, 4, 0, 1.5]), ('grasp', [3, -4, -2, 3, 0]),
    ('synflow', [3, 4, 0.5, 5, 0])])
def test_what_prunes_before_training_has_the_scores_of_its_formula(name, expected):
    assert scores(BEFORE_TRAINING[name], {'fc': layer()}, together=True)['fc'] == pytest.approx(np.array(expected))


@pytest.mark.parametrize(('name', 'expected'), [
    ('magnitude', [0, 1, 4, 3, 2]), ('magnitude_same_sign', [0, 1, 4, 2, 3]), ('magnitude_diff_sign', [3, 0, 1, 4, 2]),
    ('small_final_same_sign', [2, 4, 1, 0, 3]), ('movement', [3, 0, 1, 4, 2]), ('movement_same_sign', [0, 1, 4, 2, 3]),
    ('large_initial_large_final_same_sign', [1, 4, 0, 2, 3])])
def test_weights_of_the_wrong_sign_go_first_and_keep_their_order(name, expected):
    assert order(CRITERIA[name]) == expected


def test_a_sign_that_was_zero_is_another_one():
    found = scores(CRITERIA['magnitude_same_sign'], {'fc': layer([1.0, 2, 3, 4, 5], [0.0, 1, -1, 1, 1])}, False)['fc']
    assert found.tolist() == [0, 1 + 5, 2, 3 + 5, 4 + 5]


def test_han_has_one_quality_parameter_for_all_layers():
    """Of a layer of large weights and one of small ones as many stay; of their magnitudes only the large ones would."""
    layers = {'large': Layer(np.array([10.0, -20, 30, -40])), 'small': Layer(np.array([0.1, -0.2, 0.3, -0.4]))}
    for name, kept in (('han', (2, 2)), ('magnitude', (4, 0))):
        found = np.concatenate(list(scores(CRITERIA[name], layers, together=True).values()))
        stay = allocation.top(np.round(found, 9), 4)
        assert (stay[:4].sum(), stay[4:].sum()) == kept
    # Nothing is divided by zero.
    assert scores(CRITERIA['han'], {'fc': Layer(np.full(3, 2.0))}, True)['fc'].tolist() == [2, 2, 2]


def test_places_are_among_those_that_a_weight_is_ranked_with():
    layers = {'a': Layer(np.array([1.0, 3]), np.array([4.0, 1])), 'b': Layer(np.array([2.0, 4]), np.array([2.0, 3]))}
    both = CRITERIA['large_initial_large_final']
    assert {name: each.tolist() for name, each in scores(both, layers, together=False).items()} == {
        'a': [0, 0], 'b': [0, 1]}
    assert {name: each.tolist() for name, each in scores(both, layers, together=True).items()} == {
        'a': [0, 0], 'b': [1, 2]}


def test_a_criterion_says_what_it_reads():
    """One that says less would find None there."""
    for criterion in {**CRITERIA, **BEFORE_TRAINING}.values():
        given = {name: getattr(layer(), name) for name in ('weight', *criterion.reads)}
        assert scores(criterion, {'fc': Layer(**given)}, together=True)['fc'].shape == (5,)
        for name in criterion.reads:
            less = Layer(**{key: given[key] for key in given if key != name})
            with pytest.raises((TypeError, AttributeError)):
                scores(criterion, {'fc': less}, together=True)['fc'].sum()


def test_titles_differ():
    titles = [criterion.title for criterion in CRITERIA.values()]
    assert len(set(titles)) == len(titles)


NUMBERS = st.floats(-10, 10, width=32)


@st.composite
def networks(draw):
    """A mask over two weights, and what is known of what it keeps of each."""
    mask, layers = {}, {}
    for name, size in (('fc', draw(st.integers(4, 12))), ('output', draw(st.integers(4, 12)))):
        kept = np.ones(size, bool)
        kept[:draw(st.integers(0, 2))] = False
        mask[name] = draw(st.permutations(kept.tolist()))
        layers[name] = Layer(*(draw(arrays.arrays(np.float32, int(kept.sum()), elements=NUMBERS)) for _ in range(7)))
    return Mask(mask), layers


@pytest.mark.parametrize('scope', allocation.SCOPES)
@pytest.mark.parametrize('name', CRITERIA)
@hypothesis.settings(max_examples=10)
@hypothesis.given(network=networks())
def test_counts_are_exact_and_nothing_comes_back(name, scope, network):
    mask, layers = network
    found = scores(CRITERIA[name], layers, scope == 'global')
    fractions = dict.fromkeys(mask, 0.5)
    keep = allocation.keep_highest_anywhere if scope == 'global' else allocation.keep_highest
    try:
        kept = keep(mask, found, fractions, 1, scope)
    except allocation.EmptiedError:
        assert scope == 'global'
        return
    assert kept.is_subset_of(mask)
    expected = {each: round(array.size / 2) for each, array in mask.items()}
    if scope == 'global':
        assert kept.kept == round(mask.size / 2)
    else:
        assert {each: int(array.sum()) for each, array in kept.items()} == expected


@pytest.mark.parametrize('name', CRITERIA)
@hypothesis.settings(max_examples=10)
@hypothesis.given(network=networks(), data=st.data())
def test_scores_go_with_the_weights_wherever_these_stand(name, network, data):
    _, layers = network
    places = data.draw(st.permutations(range(len(layers['fc'].weight))))
    moved = Layer(*(each[list(places)] for each in vars(layers['fc']).values()))
    for together in (False, True):
        before = scores(CRITERIA[name], layers, together)
        after = scores(CRITERIA[name], {**layers, 'fc': moved}, together)
        # A standard deviation is a sum in another order.
        assert after['fc'] == pytest.approx(before['fc'][list(places)], rel=1e-5)
        assert after['output'] == pytest.approx(before['output'], rel=1e-5)
