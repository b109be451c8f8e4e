"""TFLite files without their zeros."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.lite.tools import flatbuffer_utils

import tf_lottery
from tf_lottery.errors import ExportError, UsageError
from tf_lottery.exports import lending, tflite, verify
from tf_lottery.exports.subject import Subject
from tf_lottery.pruning import wrapper
from tf_lottery.tasks.task import Serving
from tf_lottery.ticket import Mask

keras = tf_keras.layers


def network(density, seed=0):
    """A convolution, a depthwise one, and two dense layers, of which a random part is not zero."""
    rng = np.random.default_rng(seed)
    model = tf_keras.Sequential([
        tf_keras.layers.Conv2D(8, 3, input_shape=(6, 6, 3), name='conv'),
        tf_keras.layers.DepthwiseConv2D(3, name='depthwise'), tf_keras.layers.Flatten(),
        tf_keras.layers.Dense(20, 'relu', name='fc'), tf_keras.layers.Dense(10, name='output')])
    for variable in model.weights:
        if 'kernel' in variable.name:
            variable.assign(np.where(rng.random(variable.shape) < density, rng.standard_normal(variable.shape), 0))
    return model


@pytest.fixture(scope='module')
def files():
    contents = {density: tflite.convert(network(density)) for density in (0.03, 0.3, 1)}
    return {density: (content, tflite.sparse(content)) for density, content in contents.items()}


def operators(content):
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    return [(flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex), model.operatorCodes[
        operator.opcodeIndex].version) for operator in model.subgraphs[0].operators]


@pytest.mark.parametrize('density', [0.03, 0.3, 1])
def test_the_weights_are_those_of_the_network(files, density):
    expected = [variable.numpy() for variable in network(density).weights if 'kernel' in variable.name]
    for content in files[density]:
        found = tflite.weights(content)
        assert len(found) == len(expected)
        assert all(np.array_equal(left, right) for left, right in zip(found, expected, strict=True))


def test_few_survivors_go_to_the_sparse_kernel_and_more_are_filled_up(files):
    names = [name for name, _ in operators(files[0.03][1])]
    assert names.count('DENSIFY') == 2 and ('FULLY_CONNECTED', 8) in operators(files[0.03][1])
    assert ('FULLY_CONNECTED', 8) not in operators(files[0.3][1])
    assert [name for name, _ in operators(files[0.3][1])].count('DENSIFY') == 4
    # Nothing to leave out.
    assert 'DENSIFY' not in [name for name, _ in operators(files[1][1])]


def test_the_file_is_smaller(files):
    assert len(files[0.03][1]) < len(files[0.3][1]) < len(files[0.3][0])
    assert len(files[1][1]) <= len(files[1][0])


def test_the_encoding_by_hand():
    values = np.array([[0, 5, 0, 0], [0, 0, 0, 0], [7, 0, 0, 8]], np.float32)
    sparsity, survivors = tflite._encode(values, range(2))
    rows, columns = sparsity.dimMetadata
    assert rows.denseSize == 3
    assert columns.arraySegments.values.tolist() == [0, 1, 1, 3]
    assert columns.arrayIndices.values.tolist() == [1, 0, 3]
    assert survivors.tolist() == [5, 7, 8]
    # By columns there would be five segments instead of four.
    assert sparsity.traversalOrder == [0, 1]
    assert tflite._encode(values.T, range(2))[0].traversalOrder == [1, 0]


def test_places_take_two_bytes_where_one_is_too_few():
    wide = np.zeros((1, 300), np.float32)
    wide[0, 256] = 1
    assert tflite._encode(wide, range(2))[0].dimMetadata[1].arrayIndices.values.dtype == np.uint16
    assert tflite._encode(wide[:, 1:], range(2))[0].dimMetadata[1].arrayIndices.values.dtype == np.uint8


def pointwise(density, strides=1, groups=1):
    """A 1x1 convolution that keeps some of its weights, called on an image and then on its own output."""
    layer = tf_keras.layers.Conv2D(64, 1, strides, groups=groups, activation='relu', name='pointwise')
    image = tf_keras.Input((4, 4, 64))
    model = tf_keras.Model(image, layer(layer(image)))
    rng = np.random.default_rng(0)
    layer.kernel.assign(np.where(rng.random(layer.kernel.shape) < density, rng.standard_normal(layer.kernel.shape), 0))
    layer.bias.assign(rng.standard_normal(64))
    return model


def test_a_1x1_convolution_with_few_survivors_is_a_sparse_layer_of_each_place(tmp_path):
    model = pointwise(0.02)
    content = tflite.sparse(tflite.convert(model))
    assert operators(content) == [('FULLY_CONNECTED', 8)] * 2
    expected = model.get_weights()[0]
    for found in tflite.weights(content):
        assert np.array_equal(found.reshape(expected.shape), expected)
    # In LiteRT it computes the same, or this raises.
    tf_lottery.export(model, str(tmp_path / 'model'), ('tflite_sparse',), shrink=False)


@pytest.mark.parametrize('other', [{'density': 0.04}, {'density': 0.02, 'strides': 2}, {'density': 0.01, 'groups': 2}])
def test_other_1x1_convolutions_stay_convolutions(other):
    assert {name for name, _ in operators(tflite.sparse(tflite.convert(pointwise(**other))))} == {'CONV_2D', 'DENSIFY'}


def sequential(*layers):
    return tf_keras.Sequential(layers)


def attention():
    inputs = tf_keras.Input((5, 8))
    return tf_keras.Model(inputs, tf_keras.layers.MultiHeadAttention(2, 4)(inputs, inputs))


def tied():
    """An embedding whose table is the last layer's kernel."""
    embed, inputs = tf_keras.layers.Embedding(20, 6), tf_keras.Input((5,), dtype='int32')
    hidden = tf_keras.layers.GlobalAveragePooling1D()(embed(inputs))
    logits = tf_keras.layers.Lambda(lambda values: values @ tf.transpose(embed.embeddings))(hidden)
    return tf_keras.Model(inputs, logits)


LAYERS = {
    'transposed 2-D': lambda: sequential(
        keras.Conv2DTranspose(3, 3, 2, 'same', input_shape=(4, 4, 2)), keras.BatchNormalization()),
    '3-D': lambda: sequential(keras.Conv3D(4, 2, input_shape=(4, 4, 4, 2))),
    'transposed 3-D': lambda: sequential(keras.Conv3DTranspose(3, 2, input_shape=(3, 3, 3, 2))),
    'embedding': lambda: sequential(keras.Embedding(20, 6, input_length=5), keras.Dense(2)),
    'separable': lambda: sequential(keras.SeparableConv2D(5, 3, depth_multiplier=2, input_shape=(6, 6, 3))),
    'grouped': lambda: sequential(keras.Conv2D(6, 3, groups=3, input_shape=(6, 6, 6))),
    'causal 1-D': lambda: sequential(keras.Conv1D(4, 3, padding='causal', dilation_rate=2, input_shape=(8, 3))),
    'locally connected': lambda: sequential(keras.LocallyConnected1D(6, 3, input_shape=(8, 2))),
    'attention': attention,
    'tied': tied,
    'LSTM': lambda: sequential(keras.LSTM(4, input_shape=(6, 3)), keras.Dense(2)),
    'both ways': lambda: sequential(keras.Bidirectional(keras.LSTM(4), input_shape=(6, 3))),
    'unrolled GRU': lambda: sequential(keras.GRU(4, unroll=True, input_shape=(3, 3))),
    'GRU': lambda: sequential(keras.GRU(4, input_shape=(6, 3)), keras.Dense(2)),
}


@pytest.mark.parametrize('kind', LAYERS)
def test_the_zeros_of_a_layer_are_where_its_operator_holds_them(kind):
    model, rng = LAYERS[kind](), np.random.default_rng(0)
    weights = wrapper.get_weights(model)
    prunable = lending.nonzero(model)
    mask = Mask({name: rng.random(array.shape) < 0.5 for name, array in prunable.items()})
    subject = Subject(model, mask, mask.apply(weights), {}, Serving({}, {}))
    with lending.holding(model, subject.weights):
        content = tflite.convert(model)
    for form, file in (('tflite', content), ('tflite_sparse', tflite.sparse(content))):
        assert verify.zeros(subject, form, tflite.weights(file), tflite.constants(file)) == []
    assert tflite.fixed_batch(content) == (1 if kind in ('LSTM', 'both ways', 'GRU') else None)
    # The same file without the zeros of one weight.
    name = next(iter(mask))
    with lending.holding(model, {**subject.weights, name: weights[name]}):
        unpruned = tflite.convert(model)
    with pytest.raises(ExportError, match=f'does not hold the zeros of {name} where the mask says'):
        verify.zeros(subject, 'tflite', tflite.weights(unpruned), tflite.constants(unpruned))


def test_int8_has_no_loops():
    model = tf_keras.Sequential([keras.GRU(4, input_shape=(6, 3), name='loop'), keras.Dense(2)])
    with pytest.raises(UsageError, match="tflite_int8 cannot hold layer 'loop', a GRU .int8 has no loops.*leave the"):
        tflite.convert_int8(model, {'inputs': np.ones((3, 6, 3), np.float32)}, tflite.convert(model))


def test_a_weight_that_other_operators_read_stays_dense():
    model = tied()
    model.get_layer(index=1).embeddings.assign(np.eye(20, 6))
    content = tflite.convert(model)
    assert len(tflite.sparse(content)) <= len(content)
    assert 'DENSIFY' not in [name for name, _ in operators(tflite.sparse(content))]
