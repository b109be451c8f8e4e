"""A model that is exported without a copy, and given back as it was."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import tf_lottery
from tf_lottery.errors import UsageError
from tf_lottery.exports import lending
from tf_lottery.pruning import wrapper

layers = tf_keras.layers


class Interrupted(Exception):
    pass


def test_variables_states_and_precision_are_as_they_were():
    policy = tf_keras.mixed_precision.Policy('mixed_bfloat16')
    model = tf_keras.Sequential([
        layers.LSTM(2, stateful=True, batch_input_shape=(3, 4, 2), dtype=policy), layers.Dense(2, dtype=policy)])
    lstm, dense = model.layers
    lstm.reset_states([np.full((3, 2), 0.5), np.full((3, 2), 0.25)])
    before = model.get_weights()
    with pytest.raises(Interrupted), lending.unchanged(model):
        lending.to_full_precision(model)
        assert lstm.cell.compute_dtype == dense.compute_dtype == 'float32'
        assert model(np.ones((3, 4, 2))).dtype == tf.float32
        dense.bias.assign([1, 2])
        raise Interrupted
    assert [layer.compute_dtype for layer in (lstm, lstm.cell, dense)] == ['bfloat16'] * 3
    assert [state.numpy().tolist() for state in lstm.states] == [[[0.5] * 2] * 3, [[0.25] * 2] * 3]
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))
    assert model(np.ones((3, 4, 2))).dtype == tf.bfloat16


def test_other_weights_are_held_for_a_while():
    model = tf_keras.Sequential([layers.Dense(2, input_shape=(2,), name='fc')])
    before = wrapper.get_weights(model)
    with pytest.raises(Interrupted), lending.holding(model, {'fc/kernel': np.eye(2), 'fc/bias': np.ones(2)}):
        assert model(np.ones((1, 2))).numpy().tolist() == [[2, 2]]
        raise Interrupted
    assert all(np.array_equal(value, before[name]) for name, value in wrapper.get_weights(model).items())


@pytest.mark.parametrize('policy', ['mixed_bfloat16', 'mixed_float16', 'float32', 'float64'])
def test_only_mixed_precision_is_lowered(policy):
    model = tf_keras.Sequential([layers.Dense(2, input_shape=(2,), dtype=tf_keras.mixed_precision.Policy(policy))])
    assert lending.lowered(model) == (policy if policy.startswith('mixed') else None)


def test_the_layers_without_wrappers_are_the_same_objects():
    model = tf_keras.Sequential([layers.Dense(2, input_shape=(2,), name='fc')])
    assert lending.plain(model) is model
    assert lending.plain(tf_lottery.prunable(model)).get_layer('fc') is model.get_layer('fc')


def test_zeros_are_found_in_layers_inside_of_layers_and_leave_no_trace():
    inputs = tf_keras.Input((4, 3))
    hidden = layers.Bidirectional(layers.LSTM(2, return_sequences=True), name='both')(inputs)
    hidden = layers.MultiHeadAttention(1, 2, name='attention')(hidden, hidden)
    nested = tf_keras.Sequential([layers.Dense(3, input_shape=(4, 4), name='fc')], name='nested')
    model = tf_keras.Model(inputs, layers.TimeDistributed(layers.Dense(2), name='each')(nested(hidden)))
    model.get_layer('nested').get_layer('fc').kernel.assign(np.tri(4, 3))
    mask = lending.nonzero(model)
    assert mask['nested/fc/kernel'].tolist() == (np.tri(4, 3) != 0).tolist()
    # Two LSTMs of two kernels, four kernels of the attention, and two dense layers.
    assert len(mask) == 2 * 2 + 4 + 2
    assert not [layer.name for layer in model.submodules if 'get_prunable_weights' in vars(layer)]


def test_a_model_without_prunable_weights_is_told():
    with pytest.raises(UsageError, match="model 'still' has no layer with prunable weights"):
        lending.nonzero(tf_keras.Sequential([layers.ReLU(input_shape=(2,))], name='still'))
