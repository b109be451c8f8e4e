"""Which networks have channels that may be pruned whole."""

import pytest
import tf_keras

from tf_lottery.errors import UsageError
from tf_lottery.pruning import channels, wrapper

layers = tf_keras.layers


def network(*middle, shape=(8, 8, 3)):
    return wrapper.prunable(tf_keras.Sequential([
        layers.InputLayer(shape), *middle, layers.Flatten(), layers.Dense(5, name='output')]))


def fractions(model, **own):
    return {name: own.get(name.split('/')[0], 0.5) for name in wrapper.prunable_variables(model)}


def test_dense_and_convolutional_layers_have_channels():
    model = network(layers.Conv2D(4, 3), layers.SeparableConv2D(4, 3), layers.DepthwiseConv2D(2), layers.Dense(3),
                    layers.Reshape((-1, 3)), layers.Conv1D(4, 2))
    channels.require(model, fractions(model, output=0))


@pytest.mark.parametrize('layer', [layers.Conv2DTranspose, layers.LocallyConnected2D])
def test_other_layers_are_refused_unless_they_are_never_pruned(layer):
    model = network(layers.Conv2D(3, 1), layer(4, 3, name='other'))
    assert channels.missing(model) == {'other/kernel'}
    with pytest.raises(UsageError, match="^the last axis of other/kernel is not known .*: give fractions={'other/k"):
        channels.require(model, fractions(model, output=0))
    channels.require(model, fractions(model, output=0, other=0))


@pytest.mark.parametrize('layer', [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_recurrent_layers_and_tables_have_no_channels(layer):
    model = wrapper.prunable(tf_keras.Sequential([
        layers.InputLayer((5,)), layers.Embedding(9, 3, name='table'), layer(4, name='recurrent'),
        layers.Dense(2, name='output')]))
    assert channels.missing(model) == set(wrapper.prunable_variables(model)) - {'output/kernel'}
    assert len(channels.missing(model)) == 3


def test_attention_has_no_channels():
    image = tf_keras.Input((4, 6))
    model = wrapper.prunable(tf_keras.Model(image, layers.Dense(2)(layers.MultiHeadAttention(2, 3)(image, image))))
    assert channels.missing(model) == set(list(wrapper.prunable_variables(model))[:-1])


def test_the_channels_that_are_answers_are_refused_unless_they_are_never_pruned():
    model = network(layers.Conv2D(4, 3, name='conv'))
    with pytest.raises(UsageError, match="^the channels of output/kernel are outputs of model 'sequential.*', which"):
        channels.require(model, fractions(model))
    # The layer before stays one that may be pruned.
    channels.require(model, fractions(model, output=0))


def test_the_last_weights_are_found_on_each_way_to_the_outputs():
    image = tf_keras.Input((4,))
    inner = tf_keras.Sequential([layers.Dense(3, input_shape=(6,), name='inside'), layers.ReLU()], name='inner')
    x = layers.Dense(6, name='first')(image)
    model = tf_keras.Model(image, [layers.Dense(2, name='one')(x), inner(x), layers.Dropout(0.5)(inner(x))])
    kernels = {id(layer.kernel): layer.name for layer in (*model.layers, *inner.layers) if hasattr(layer, 'kernel')}
    assert {kernels[each] for each in channels.last(model, set(kernels))} == {'one', 'inside'}
    # Only those that are asked for count.
    assert {kernels[each] for each in channels.last(model, {
        each for each, name in kernels.items() if name == 'first'})} == {'first'}
