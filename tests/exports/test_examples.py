"""Examples for the inputs of a model, whatever they are."""

import numpy as np
import pytest
import tf_keras

from tf_lottery.errors import UsageError
from tf_lottery.exports import examples

layers = tf_keras.layers


def taking(shape=(2,), dtype='float32', **kwargs):
    inputs = tf_keras.Input(shape, dtype=dtype, name='x', **kwargs)
    return tf_keras.Model(inputs, layers.Lambda(lambda values: values)(inputs), name='mine')


@pytest.fixture(scope='module')
def pair():
    left, right = tf_keras.Input((1,), name='left-hand'), tf_keras.Input((1,), name='right')
    return tf_keras.Model({'b': right, 'a': [left]}, layers.Add()([left, right]), name='pair')


def test_examples_have_the_structure_of_the_inputs_or_the_names_of_the_layers(pair):
    assert {name: array.tolist() for name, array in examples.given(pair, {'a': [[1, 2]], 'b': [3, 4]}).items()} == {
        'left_hand': [[1], [2]], 'right': [[3], [4]]}
    with_list = tf_keras.Model(list(pair.inputs), pair.outputs)
    for given in ([[1, 2], [3, 4]], {'left-hand': [1, 2], 'right': [3, 4]}):
        assert examples.given(with_list, given)['left_hand'].tolist() == [[1], [2]]


@pytest.mark.parametrize('given, sentence', [
    ([[1], [2]], "not of the structure of the inputs of model 'pair': give an array for each of left-hand, right"),
    ({'a': [[1, 2]]}, 'not of the structure'), ({'a': [[1, 2], [1, 2]], 'b': [1, 2]}, 'not of the structure'),
    ({'a': [[1, 2]], 'b': [1, 2, 3]}, 'are 2 and 3: give as many of each input'),
    ({'a': [[]], 'b': []}, 'are 0: give at least 1'),
    ({'a': [[[1, 2]]], 'b': [1, 2]}, r"input 'left-hand' are of shape \(1, 2\): give \[n, 1\]"),
    ({'a': [['text']], 'b': [1]}, "input 'left-hand' are <U4: give float32"),
])
def test_other_examples_are_told(pair, given, sentence):
    with pytest.raises(UsageError, match=sentence):
        examples.given(pair, given)


@pytest.mark.parametrize('dtype, given, expected', [
    ('int32', np.array([[1, 2]]), np.array([[1, 2]], np.int32)),
    ('uint8', np.array([[1.0, 255.0]]), np.array([[1, 255]], np.uint8)),
    ('float32', np.array([[1, 2]], np.uint8), np.array([[1, 2]], np.float32)),
    ('bool', [[0, 1]], np.array([[False, True]])),
    ('bfloat16', [[0.5, 1]], np.array([[0.5, 1]], np.float32)),
    ('string', [['é', 'b']], np.array([['é'.encode(), b'b']])),
    ('string', np.array([['é', b'b']], object), np.array([['é'.encode(), b'b']])),
])
def test_examples_become_what_the_input_takes(dtype, given, expected):
    found = examples.given(taking(dtype=dtype), given)['inputs']
    assert found.dtype == expected.dtype and np.array_equal(found, expected)


@pytest.mark.parametrize('dtype, given', [('uint8', [[1, 256]]), ('int32', [[0.5, 1]]), ('string', [[1, 2]]),
                                          ('string', np.array([['a', 2]], object))])
def test_examples_that_would_change_are_told(dtype, given):
    with pytest.raises(UsageError, match=f'give {dtype}'):
        examples.given(taking(dtype=dtype), given)


def test_a_batch_size_is_filled():
    model = taking(batch_size=4)
    assert len(examples.given(model, np.ones((11, 2)))['inputs']) == 8
    with pytest.raises(UsageError, match='are 3: give at least 4'):
        examples.given(model, np.ones((3, 2)))
    assert len(examples.drawn(taking(batch_size=32))['inputs']) == 128


def test_draws_fit_the_dtype_and_the_shape():
    real = examples.drawn(taking((None, 3)))['inputs']
    assert real.shape == (100, 32, 3) and real.dtype == np.float32 and abs(real.std() - 1) < 0.05
    assert np.array_equal(real, examples.drawn(taking((None, 3)))['inputs'])
    pixels = examples.drawn(taking((9, 9, 3), 'uint8'))['inputs']
    assert pixels.dtype == np.uint8 and pixels.min() == 0 and pixels.max() == 255
    assert set(examples.drawn(taking(dtype='bool'))['inputs'].ravel()) == {False, True}


@pytest.mark.parametrize('dtype', ['int32', 'int64', 'string'])
def test_what_nobody_can_draw_is_asked_for(dtype):
    with pytest.raises(UsageError, match=f"input 'x' of model 'mine' takes {dtype}, .*: give examples="):
        examples.drawn(taking(dtype=dtype))


@pytest.mark.parametrize('kind', ['ragged', 'sparse'])
def test_ragged_and_sparse_inputs_are_told(kind):
    with pytest.raises(UsageError, match=rf"input 'x' of model 'mine' is a {kind.title()}Tensor.*with dense inputs"):
        examples.require_dense(taking((None,), **{kind: True}))
