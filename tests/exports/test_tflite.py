"""TFLite files without their zeros."""

import numpy as np
import pytest
import tf_keras
from tensorflow.lite.tools import flatbuffer_utils

import tf_lottery
from tf_lottery.exports import tflite


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
