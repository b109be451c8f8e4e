"""A wrapped model is as the plain one in all but its mask: every layer type of TF-MOT, under every precision."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.sparsity.keras import prune_registry

from tf_lottery.pruning import wrapper

layers = tf_keras.layers
PRECISIONS = ('float32', 'mixed_bfloat16', 'mixed_float16', 'float64')

# Arguments and the shape of one example; by default none and three channels at four places.
ARGUMENTS = {
    'ThresholdedReLU': {'theta': 0.1}, 'Activation': {'activation': 'tanh'}, 'Dropout': {'rate': 0.5},
    'AlphaDropout': {'rate': 0.5}, 'GaussianDropout': {'rate': 0.5}, 'GaussianNoise': {'stddev': 0.5},
    'SpatialDropout1D': {'rate': 0.5}, 'SpatialDropout2D': {'rate': 0.5}, 'SpatialDropout3D': {'rate': 0.5},
    'Lambda': {'function': lambda x: 2 * x}, 'Permute': {'dims': (2, 1)}, 'RepeatVector': {'n': 2},
    'Reshape': {'target_shape': (12,)}, 'Dense': {'units': 5}, 'Embedding': {'input_dim': 9, 'output_dim': 4},
    'Dot': {'axes': 2}, 'MultiHeadAttention': {'num_heads': 2, 'key_dim': 3},
    **{name: {'units': 4} for name in ('LSTM', 'GRU', 'SimpleRNN')},
    **{name: {'filters': 2, 'kernel_size': 2} for name in (
        'Conv1D', 'Conv2D', 'Conv3D', 'Conv2DTranspose', 'Conv3DTranspose', 'SeparableConv1D', 'SeparableConv2D',
        'LocallyConnected1D', 'LocallyConnected2D')},
    'DepthwiseConv2D': {'kernel_size': 2},
}
OF_PAIRS = ('Add', 'Average', 'Concatenate', 'Dot', 'Maximum', 'Minimum', 'Multiply', 'Subtract')
WITHOUT_WEIGHTS = ('Dropout', 'AlphaDropout', 'GaussianDropout', 'GaussianNoise', 'SpatialDropout1D',
                   'SpatialDropout2D', 'SpatialDropout3D', 'Activation', 'Lambda', 'Permute', 'RepeatVector', 'Reshape',
                   'ThresholdedReLU', *OF_PAIRS)


def types():
    registry = prune_registry.PruneRegistry
    kinds = {kind for kind in {*registry._LAYERS_WEIGHTS_MAP, *registry._RNN_LAYERS} - {layers.RNN}
             if issubclass(kind, layers.Layer)}
    # By name: there is a second batch normalisation, that of TensorFlow 1.
    return sorted({kind.__name__: kind for kind in kinds}.items())


def example_shape(name):
    if name == 'RepeatVector':
        return (3,)
    places = 2 if '2D' in name else 3 if '3D' in name else 1
    return (*[4] * places, 3)


def build(name, kind, precision):
    """A model of one layer with activity and weight regularizers, two outputs, and inputs for it."""
    tf_keras.utils.set_random_seed(0)
    options = dict(ARGUMENTS.get(name, {}), dtype=tf_keras.mixed_precision.Policy(precision), name='layer')
    if name in ARGUMENTS and name not in WITHOUT_WEIGHTS:
        options['activity_regularizer'] = tf_keras.regularizers.L2(0.01)
    rng, shape = np.random.default_rng(0), example_shape(name)
    if name == 'Embedding':
        inputs, data = tf_keras.Input((4,), dtype='int32'), rng.integers(0, 9, (6, 4))
    else:
        inputs, data = tf_keras.Input(shape), rng.normal(size=(6, *shape)).astype('float32')
    layer = kind(**options)
    if name in OF_PAIRS:
        outputs = layer([inputs, inputs])
    elif name == 'MultiHeadAttention':
        outputs = layer(inputs, value=inputs)
    else:
        outputs = layer(inputs)
    flat = layers.Flatten(name='flat', dtype='float32')(outputs)
    return tf_keras.Model(inputs, [outputs, layers.Dense(1, name='sum', dtype='float32')(flat)]), data


@pytest.mark.parametrize(('name', 'kind'), types())
def test_a_wrapped_layer_is_as_the_plain_one(name, kind):
    for precision in PRECISIONS:
        try:
            plain, data = build(name, kind, precision)
            plain(data, training=False)
        except (tf.errors.OpError, TypeError):
            # There are operations that TensorFlow, or a CPU, does not have in this precision.
            assert precision != 'float32'
            continue
        wrapped = wrapper.prunable(plain)
        assert wrapped.output_names == plain.output_names == ['layer', 'sum']
        assert [layer.name for layer in wrapped.layers] == [layer.name for layer in plain.layers]
        assert list(wrapper.variables(wrapped)) == list(wrapper.variables(plain))
        assert [(each.shape.as_list(), each.dtype) for each in wrapped.outputs] == [
            (each.shape.as_list(), each.dtype) for each in plain.outputs]
        found = []
        for model in (plain, wrapped):
            outputs = model(data, training=False)
            found.append([*(tf.cast(each, tf.float64).numpy() for each in outputs),
                          *(float(loss) for loss in model.losses)])
            assert [weight.name for weight in model.trainable_weights] == [
                weight.name for weight in plain.trainable_weights]
        assert len(found[0]) == len(found[1])
        for expected, value in zip(*found, strict=True):
            assert np.array_equal(expected, value), precision
