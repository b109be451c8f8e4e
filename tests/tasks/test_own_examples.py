"""Examples as users have them: what is made of them, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_lottery.errors import UsageError
from tf_lottery.tasks import own_examples

NUMBERS = np.arange(40, dtype=np.float64).reshape(20, 2)


@pytest.fixture(scope='module')
def model():
    return tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(2,))])


def arrays(count=20, targets=None):
    return NUMBERS[:count], np.arange(count) if targets is None else targets


def rows(dataset):
    return [tuple(each['x'].tolist()) for each in dataset.as_numpy_iterator()]


def test_arrays_are_of_the_dtypes_that_fit_makes_of_them(model):
    splits = own_examples.load(lambda: {'train': arrays(), 'validation': arrays(3), 'test': arrays(2)}, model)
    first = splits.first('train', 3)
    assert {name: array.dtype for name, array in first.items()} == {'x': np.float32, 'y': np.int64}
    assert np.array_equal(first['x'], NUMBERS[:3]) and np.array_equal(first['y'], [0, 1, 2])
    assert [splits.length(split) for split in ('train', 'validation', 'test')] == [20, 3, 2]


def test_one_in_ten_is_held_out_and_is_not_trained_on(model):
    for train in (arrays(), tf.data.Dataset.from_tensor_slices(arrays()), tf.data.Dataset.from_tensor_slices(
            arrays()).batch(3)):
        splits = own_examples.load(lambda: {'train': train, 'test': arrays(2)}, model)  # noqa: B023
        again = own_examples.load(lambda: {'train': train, 'test': arrays(2)}, model)  # noqa: B023
        assert [splits.length(split) for split in ('train', 'validation')] == [18, 2]
        held, trained = (splits.first(split, 20)['y'].tolist() for split in ('validation', 'train'))
        assert sorted(held + trained) == list(range(20))
        assert held == again.first('validation', 20)['y'].tolist()


@pytest.mark.parametrize('batched', [False, True])
def test_a_data_set_of_batches_is_one_of_examples(model, batched):
    dataset = tf.data.Dataset.from_tensor_slices(arrays())
    splits = own_examples.load(
        lambda: {split: dataset.batch(7) if batched else dataset for split in ('train', 'validation', 'test')}, model)
    assert rows(splits._splits['test']) == [tuple(row) for row in NUMBERS]
    assert splits.length('test') == 20


def test_text_and_structures_keep_what_they_are():
    words, numbers = tf_keras.Input((1,), dtype='string', name='words'), tf_keras.Input((2,), name='numbers')
    model = tf_keras.Model({'words': words, 'numbers': numbers}, tf_keras.layers.Dense(1)(numbers))
    # A list of numbers is an array, as in fit.
    train = ({'words': np.array(['Löwe', 'b', ''], object)[:, None], 'numbers': NUMBERS[:3]}, [[0.5], [1], [2]],
             [1, 2, 3.5])
    first = own_examples.load(lambda: {'train': train, 'validation': train, 'test': train}, model).first('train', 3)
    assert first['x']['words'].ravel().tolist() == ['Löwe'.encode(), b'b', b'']
    assert first['x']['numbers'].dtype == np.float32
    assert first['y'].tolist() == [[0.5], [1], [2]] and first['weight'].tolist() == [1, 2, 3.5]


@pytest.mark.parametrize(('targets', 'weights'), [
    (np.array([0, 2, 1, 3]), [0.5, 4, 1, 1]), (np.eye(3)[[0, 2, 1, 0]], [0.5, 4, 1, 0.5])])
def test_class_weights_multiply_sample_weights_of_the_training_split(model, targets, weights):
    split = NUMBERS[:4], targets
    for train, expected in ((split, weights), ((*split, np.array([1, 2, 3, 4.0])), np.multiply(weights, [1, 2, 3, 4]))):
        splits = own_examples.load(lambda: {'train': train, 'validation': split, 'test': split},  # noqa: B023
                                   model, {0: 0.5, 2: 4})
        assert splits.first('train', 4)['weight'].tolist() == pytest.approx(list(expected))
        assert 'weight' not in splits.first('test', 4)


def of_two_shapes():
    yield from (np.zeros(2, np.float32), np.zeros(3, np.float32))


@pytest.mark.parametrize(('returned', 'said'), [
    ([], r'examples\(\) returns list: return a dict'),
    ({'train': arrays()}, r"examples\(\) returns \['train'\]: return a dict"),
    ({'train': arrays(), 'test': arrays(), 'dev': arrays()}, r"returns \['dev', 'test', 'train'\]"),
    ({'train': arrays(20, np.arange(19)), 'test': arrays()}, "split 'train' .* has arrays of 19 and 20 examples"),
    ({'train': arrays(), 'test': arrays(0)}, "split 'test' .* has arrays of 0 examples"),
    ({'train': arrays(9), 'test': arrays()}, "returns 9 training examples, of which one in 10 is to be held out"),
    ({'train': (NUMBERS, [None] * 20), 'test': arrays()}, "split 'train' .* has None in it"),
    ({'train': tf.data.Dataset.from_tensor_slices(arrays()).repeat(), 'test': arrays()}, "'train' .* never ends"),
    ({'train': tf.data.Dataset.from_tensor_slices(arrays()).take(0), 'test': arrays()}, "'train' .* is empty"),
    ({'train': tf.data.Dataset.from_tensor_slices(arrays()).shuffle(20), 'test': arrays()},
     "'train' .* comes in another order each time"),
    ({'train': tf.data.Dataset.from_generator(of_two_shapes, output_signature=tf.TensorSpec((None,))),
      'test': arrays()}, "'train' .* cannot be read to its end"),
], ids=str)
def test_what_no_network_can_be_trained_on_is_refused(model, returned, said):
    with pytest.raises(UsageError, match=said):
        own_examples.load(lambda: returned, model)


def test_an_error_of_the_function_is_told(model):
    with pytest.raises(UsageError, match=r'^examples\(\) ends in FileNotFoundError \(.*rain.csv.*\): mend it\.$'):
        own_examples.load(lambda: np.load('rain.csv'), model)
