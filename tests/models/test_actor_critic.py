"""The network of policy and value."""

import numpy as np
import pytest

from tf_lottery.models import actor_critic
from tf_lottery.pruning import wrapper


@pytest.fixture(scope='module')
def network():
    return actor_critic.build((4,), 2, (100, 50), seed=3)


def test_shapes_are_those_of_the_network(network):
    found = {name: tuple(weight.shape) for name, (_, weight, *_) in
             wrapper.prunable_variables(wrapper.prunable(network)).items()}
    known = actor_critic.prunable_shapes((4,), 2, (100, 50), 'kernels')
    assert list(known) == ['fc1/kernel', 'fc2/kernel', 'policy/kernel', 'value/kernel']
    assert {name: shape for name, (_, shape, _) in known.items()} == found
    assert [group for group, *_ in known.values()] == ['dense', 'dense', 'output', 'output']


def test_biases_are_known_too(network):
    known = actor_critic.prunable_shapes((4,), 2, (100, 50), 'all')
    assert [(name, shape) for name, (_, shape, _) in known.items()] == [
        (name, tuple(weight.shape)) for name, (_, weight, *_) in
        wrapper.prunable_variables(wrapper.prunable(network, variables='all')).items()]
    assert known['fc1/bias'] == ('dense', (100,), 0) and known['value/bias'] == ('output', (1,), 0)


def test_weights_and_biases_are_uniform_by_the_inputs(network):
    for layer, inputs in (('fc1', 4), ('fc2', 100), ('policy', 50), ('value', 50)):
        for array in network.get_layer(layer).get_weights():
            reach = inputs ** -0.5
            assert np.abs(array).max() <= reach
            if array.size >= 100:
                assert np.abs(array).max() > 0.95 * reach
                assert abs(array.std() - reach / 3 ** 0.5) < 0.1 * reach


def test_weights_are_a_function_of_the_seed(network):
    same, other = (actor_critic.build((4,), 2, (100, 50), seed).get_weights() for seed in (3, 4))
    for array, again, different in zip(network.get_weights(), same, other, strict=True):
        np.testing.assert_array_equal(array, again)
        assert not np.array_equal(array, different)


def test_heads(network):
    outputs = network(np.zeros((7, 4), np.float32))
    assert {name: output.shape for name, output in outputs.items()} == {'policy': (7, 2), 'value': (7, 1)}


def test_of_pixels_convolutions_leave_as_many_inputs_as_the_paper_gives():
    pixels = (105, 80, 12), 4, (512, 512)
    known = actor_critic.prunable_shapes(*pixels, 'kernels')
    assert known['conv1/kernel'] == ('conv', (5, 5, 12, 64), 105 * 80)
    assert known['conv4/kernel'] == ('conv', (3, 3, 64, 64), 13 * 10)
    assert known['fc1/kernel'] == ('dense', (1920, 512), 1)
    network = actor_critic.build(*pixels, seed=0)
    assert {name: shape for name, (_, shape, _) in known.items()} == {
        name: tuple(weight.shape) for name, (_, weight, *_) in
        wrapper.prunable_variables(wrapper.prunable(network)).items()}
    assert abs(np.abs(network.get_layer('conv1').get_weights()[0]).max() - 300 ** -0.5) < 1e-4
