"""Pruning a random network until it is near another one: by hand, and as the masked layers that it is."""

import itertools

import numpy as np
import pytest

from tf_lottery.pruning import random_network
from tf_lottery.pruning.random_network import TARGETS, Dense, approximate
from tf_lottery.pruning.subset_sum import WAYS, bound_of_best_product


def drawn_as(monkeypatch, into, out):
    """Makes the random weights known: |v| of the units of each input, and u for each output."""
    monkeypatch.setattr(random_network, '_drawn', lambda seed, row, sign, width, units: (
        sign * np.array(into[:width]), np.array(out)[:units, :width]))


def network(*sizes, seed=0, bias=True):
    rng = np.random.default_rng(seed)
    return [Dense(rng.normal(0, 1, (inputs, units)) / np.sqrt(inputs), rng.normal(0, 0.1, units) if bias else None,
                  signed=number == 0, relu=number < len(sizes) - 2)
            for number, (inputs, units) in enumerate(itertools.pairwise(sizes))]


def told(layers, inputs, way, width, seed=(0, 0)):
    _, rows = approximate(layers, inputs, way, width, list(seed))
    return {row['target']: row for row in rows}


INPUTS = np.random.default_rng(9).normal(0, 1, (40, 6))


@pytest.mark.parametrize(('way', 'weight', 'outputs', 'kept'), [
    # Of w = 2, taken as 1/2, the products 1/2 and 1/8 of positive v have the first; those of negative v have none that
    # is nearer than 0. Of w = -2 it is the other way round. The single product of 1/8 must not be added to 1/2.
    ('malach', 2.0, [6.0, 0.0], 2), ('malach', -2.0, [0.0, 4.0], 2), ('pensia', 2.0, [6.0, 0.0], 2)])
def test_one_weight_by_hand(monkeypatch, way, weight, outputs, kept):
    drawn_as(monkeypatch, [1.0, 0.5], [[0.5, 0.25]])
    layer = Dense(np.array([[weight]]), None, signed=True, relu=False)
    found, rows = approximate([layer], np.array([[3.0], [-2.0]]), way, 2, [0])
    assert found.ravel().tolist() == outputs
    exact = np.array([3.0, -2.0]) * weight
    off = np.abs(found.ravel() - exact)
    for row in rows:
        # Two signs of two units, each with a weight from the input and one to the output.
        assert row == {'target': row['target'], 'weights': 2, 'hidden': 4, 'size': 8, 'kept': kept,
                       'max_weight_error': 1.0, 'median_weight_error': 0.5, 'max_output_error': off.max(),
                       'mean_output_error': off.mean(), 'max_output': 6.0}
    assert [row['target'] for row in rows] == list(TARGETS)


def test_a_sum_of_products_by_hand_and_a_bias(monkeypatch):
    drawn_as(monkeypatch, [1.0, 0.5], [[0.25, 0.5], [-0.5, 1.0]])
    # Taken as 1/2 and 1/4: the first unit has the products 1/4 and 1/4, the second one -1/2 and 1/2.
    layer = Dense(np.array([[1.0, 1.0]]), np.array([0.5, -1.0]), signed=False, relu=False)
    inputs = np.array([[2.0], [4.0]])
    found, (neuron, whole, _) = approximate([layer], inputs, 'pensia', 2, [0])
    assert found.tolist() == [[2.5, 1.0], [4.5, 3.0]] == layer.sums(inputs).tolist()
    # Inputs are not negative, and the constant is none either: two inputs of two units each. Of the first output three
    # weights are kept, of the second one two.
    assert (whole['weights'], whole['hidden'], whole['size']) == (4, 4, 4 * (2 + 2))
    assert whole['max_weight_error'] == whole['max_output_error'] == 0.0
    # The neuron has an output of its own: its random network has one.
    assert (neuron['weights'], neuron['size'], neuron['kept']) == (2, 4 * (2 + 1), 3 + 3)
    assert whole['kept'] == 4 + 5


@pytest.mark.parametrize('way', WAYS)
def test_the_outputs_are_those_of_two_masked_random_layers_for_each(way):
    width, layers = 5, network(6, 4, 3)
    found, rows = approximate(layers, INPUTS, way, width, [3, 1])
    values, kept, size = INPUTS, 0, 0
    for number, layer in enumerate(layers):
        values = np.concatenate([values, np.ones((len(values), 1))], axis=1)
        weights = np.concatenate([layer.kernel, layer.bias[None]])
        groups = [(place, 1) for place in range(len(weights))]
        groups += [(place, -1) for place in range(len(layer.kernel))] if layer.signed else []
        first, second = np.zeros((len(weights), len(groups) * width)), np.zeros((len(groups) * width, weights.shape[1]))
        for row, (place, sign) in enumerate(groups):
            into, out = random_network._drawn([3, 1, number], row, sign, width, weights.shape[1])
            mask = WAYS[way].choose(out * into, weights[place] / np.abs(weights).max() / 2)
            units = slice(row * width, (row + 1) * width)
            first[place, units], second[units] = into * mask.any(axis=0), (out * mask).T
            assert (np.sign(into) == sign).all()
        kept += np.count_nonzero(first) + np.count_nonzero(second)
        size += first.size + second.size
        values = np.maximum(values @ first, 0) @ second * 2 * np.abs(weights).max()
        values = np.maximum(values, 0) if layer.relu else values
    assert found == pytest.approx(values, abs=1e-12)
    assert (rows[-1]['kept'], rows[-1]['size']) == (kept, size)


def test_random_weights_are_uniform_functions_of_seed_and_place():
    into, out = random_network._drawn([1, 2], 3, -1, 2000, 5)
    assert (into.shape, out.shape) == ((2000,), (5, 2000))
    assert -1 <= into.min() < -0.99 and -0.01 < into.max() <= 0
    assert -1 <= out.min() < -0.999 and 0.999 < out.max() <= 1
    assert (into.mean(), out.mean(), out.std()) == pytest.approx((-0.5, 0.0, 3**-0.5), abs=0.02)
    for other in (([1, 3], 3), ([1, 2], 4)):
        assert not np.isin(random_network._drawn(*other, -1, 50, 5)[1], out).any()


def test_a_wider_network_has_the_units_of_a_narrower_one():
    (into, out), (more, further) = (random_network._drawn([0], 0, 1, width, 3) for width in (4, 9))
    assert np.array_equal(more[:4], into) and np.array_equal(further[:, :4], out)
    layers = network(6, 5, 4, 3)
    for way in WAYS:
        largest = [told(layers, INPUTS, way, width)['network']['max_weight_error'] for width in (1, 2, 4, 8, 12)]
        assert largest == sorted(largest, reverse=True)
        assert largest[-1] < largest[0]


def test_outputs_come_near_with_the_products():
    layers = network(6, 8, 3)
    near = [told(layers, INPUTS, 'pensia', width)['network']['max_output_error'] for width in (4, 10, 20)]
    assert near[0] > 5 * near[1] > 500 * near[2]
    # A single product is nearer by and by.
    singles = [told(layers, INPUTS, 'malach', width) for width in (20, 400)]
    assert singles[0]['network']['max_output_error'] > 5 * singles[1]['network']['max_output_error']
    assert singles[1]['network']['max_weight_error'] < bound_of_best_product(400, singles[1]['network']['weights'])


def test_any_scale_of_the_weights_is_as_good():
    layer, = network(6, 4)
    large = Dense(1000 * layer.kernel, 1000 * layer.bias, True, False)
    small, scaled = (told([each], INPUTS, 'pensia', 8)['layer'] for each in (layer, large))
    assert scaled['max_weight_error'] == pytest.approx(small['max_weight_error'])
    assert scaled['max_output_error'] == pytest.approx(1000 * small['max_output_error'])


def test_a_layer_of_zeros_keeps_nothing():
    row = told([Dense(np.zeros((6, 2)), np.zeros(2), True, False)], INPUTS, 'pensia', 4)['layer']
    assert (row['kept'], row['max_weight_error'], row['max_output_error']) == (0, 0.0, 0.0)


def test_how_much_is_done_at_once_changes_nothing(monkeypatch):
    layers = network(6, 5, 2)
    at_once, rows = approximate(layers, INPUTS, 'pensia', 6, [0])
    monkeypatch.setattr(random_network, '_MOST', 1)
    parts = []
    found, in_parts = approximate(layers, INPUTS, 'pensia', 6, [0], lambda: parts.append(0))
    # Six inputs of both signs and a constant; five and a constant.
    assert len(parts) == 13 + 6
    assert found == pytest.approx(at_once, abs=1e-12)
    for one, other in zip(rows, in_parts, strict=True):
        assert one == pytest.approx(other)


def test_whoever_is_called_before_a_part_may_end_it():
    def begin():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        approximate(network(6, 2), INPUTS, 'malach', 4, [0], begin)
