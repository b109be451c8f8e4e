"""Derivatives of a task's loss, against what nested tapes and formulas say of small networks."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from fake_tasks import Task

from tf_lottery import KerasTask
from tf_lottery.errors import UsageError
from tf_lottery.pruning import wrapper
from tf_lottery.training.dataset_feed import DatasetFeed
from tf_lottery.training.derivatives import Derivatives
from tf_lottery.training.trainer import Settings

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 17, (7, 8, 8, 1), np.uint8), RNG.integers(0, 10, 7, np.int32)
EXAMPLES = {'image': IMAGES, 'label': LABELS}


def dense(hidden=4, activation='tanh', normalised=False):
    tf_keras.utils.set_random_seed(1)
    return tf_keras.Sequential([
        tf_keras.layers.Flatten(input_shape=(8, 8, 1)),
        tf_keras.layers.Dense(hidden, activation, name='fc'),
        *([tf_keras.layers.BatchNormalization(name='norm')] if normalised else []),
        tf_keras.layers.Dense(10, name='output')], name='inner')


def derivatives(network=dense, examples=EXAMPLES, batch_size=3):
    return Derivatives(Task(network), examples, batch_size, tf.distribute.get_strategy())


def loss(network):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(
        LABELS, network(IMAGES.astype(np.float32) / 16)))


def test_the_gradient_is_that_of_the_mean_loss():
    network = dense()
    with tf.GradientTape() as tape:
        value = loss(network)
    expected = tape.gradient(value, [network.layers[1].kernel, network.layers[2].kernel])
    # Seven examples in batches of at most three, which have not the same size.
    found = derivatives().gradient(wrapper.get_weights(network))
    assert list(found) == ['fc/kernel', 'output/kernel']
    for each, array in zip(expected, found.values(), strict=True):
        assert array.dtype == np.float32
        assert array == pytest.approx(each.numpy(), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize('normalised', [False, True])
def test_the_loss_is_the_mean_of_the_network_as_it_is_evaluated(normalised):
    network = dense(normalised=normalised)
    own = derivatives(lambda: dense(normalised=normalised))
    found = own.loss(wrapper.get_weights(network))
    assert type(found) is float and found == pytest.approx(float(loss(network)), rel=1e-5)
    other = dense(normalised=normalised)
    other.layers[1].kernel.assign(3 * other.layers[1].kernel)
    assert own.loss(wrapper.get_weights(other)) == pytest.approx(float(loss(other)), rel=1e-5)
    assert own.loss(wrapper.get_weights(network)) == found


def test_the_weights_are_those_that_were_given():
    one, other = dense(), dense(activation='linear')
    other.layers[1].kernel.assign(2 * other.layers[1].kernel)
    own = derivatives()
    first = own.gradient(wrapper.get_weights(one))
    second = own.gradient(wrapper.get_weights(other))
    assert not np.array_equal(first['fc/kernel'], second['fc/kernel'])
    assert np.array_equal(own.gradient(wrapper.get_weights(one))['fc/kernel'], first['fc/kernel'])


def test_batch_norm_starts_from_the_same_statistics_each_time():
    def network():
        return dense(normalised=True)

    own, weights = derivatives(network), wrapper.get_weights(network())
    for kind in (own.gradient, own.flow, own.curvature):
        first, second = kind(weights), kind(weights)
        assert all(np.array_equal(first[name], second[name]) for name in first)


def test_the_flow_is_the_hessian_times_the_gradient_at_temperature_200():
    network = dense(hidden=2)
    kernels = [network.layers[1].kernel, network.layers[2].kernel]
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            value = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(
                LABELS, network(IMAGES.astype(np.float32) / 16) / 200))
        gradient = inner.gradient(value, kernels)
        flat = tf.concat([tf.reshape(each, [-1]) for each in gradient], 0)
    hessian = np.concatenate([each.numpy().reshape(len(flat), -1) for each in outer.jacobian(flat, kernels)], axis=1)
    expected = hessian @ flat.numpy()
    found = derivatives(lambda: dense(hidden=2)).flow(wrapper.get_weights(network))
    assert np.concatenate([each.ravel() for each in found.values()]) == pytest.approx(
        expected, rel=1e-3, abs=1e-4 * float(np.abs(expected).max()))


def test_other_losses_have_no_temperature():
    """(x w - y)^2 has the Hessian 2 x^2 and the gradient 2 x (x w - y)."""
    def build(seed):
        model = tf_keras.Sequential([tf_keras.layers.Dense(1, use_bias=False, input_shape=(1,), name='fc')])
        model.compile('sgd', 'mse')
        return model

    task = KerasTask(build, lambda: {split: (np.float32([[3], [3]]), np.float32([[1], [1]]))
                                     for split in ('train', 'validation', 'test')})
    assert not task.logits
    own = Derivatives(task, {'x': np.float32([[3], [3]]), 'y': np.float32([[1], [1]])}, 2,
                      tf.distribute.get_strategy())
    weights = {'fc/kernel': np.float32([[2]])}
    assert own.gradient(weights)['fc/kernel'] == pytest.approx(2 * 3 * (3 * 2 - 1))
    assert own.flow(weights)['fc/kernel'] == pytest.approx(2 * 3**2 * 2 * 3 * (3 * 2 - 1))
    assert own.curvature(weights)['fc/kernel'] == pytest.approx(2 * 3**2)


@pytest.mark.parametrize(('loss', 'logits'), [
    (tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), True),
    (tf_keras.losses.SparseCategoricalCrossentropy(), False), ('mse', False)])
def test_a_model_has_logits_where_its_loss_says_so(loss, logits):
    def build(seed):
        model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(1,))])
        model.compile('sgd', loss)
        return model

    split = np.float32([[3], [4]]), np.float32([[1], [0]])
    assert KerasTask(build, lambda: {'train': split, 'validation': split, 'test': split}).logits is logits


def test_the_curvature_of_a_linear_network_is_the_diagonal_of_the_hessian():
    """There the second derivatives of the outputs, which Gauss and Newton leave out, are zero."""
    def linear():
        tf_keras.utils.set_random_seed(1)
        return tf_keras.Sequential([tf_keras.layers.Flatten(input_shape=(8, 8, 1)),
                                    tf_keras.layers.Dense(10, name='output')])

    network = linear()
    kernel = network.layers[1].kernel
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            value = loss(network)
        gradient = tf.reshape(inner.gradient(value, kernel), [-1])
    expected = np.diagonal(outer.jacobian(gradient, kernel).numpy().reshape(640, 640)).reshape(64, 10)
    found = derivatives(linear).curvature(wrapper.get_weights(network))['output/kernel']
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_curvature_is_the_diagonal_of_the_gauss_newton_matrix():
    """Of the mean over examples of J^T (diag(p) - p p^T) J."""
    network = dense()
    kernel = network.layers[1].kernel
    expected = np.zeros(kernel.shape)
    for image in IMAGES.astype(np.float32) / 16:
        with tf.GradientTape() as tape:
            logits = network(image[None])[0]
        slopes = tape.jacobian(logits, kernel).numpy().reshape(10, -1)
        p = tf.nn.softmax(logits).numpy()
        matrix = slopes.T @ (np.diag(p) - np.outer(p, p)) @ slopes
        expected += np.diagonal(matrix).reshape(kernel.shape) / len(IMAGES)
    found = derivatives().curvature(wrapper.get_weights(network))['fc/kernel']
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-7)
    assert found.min() >= -1e-9


def test_the_synaptic_flow_is_the_product_of_the_other_layers():
    """R = 1^T |W_1|^T |W_2|^T 1, and |b| on the way; its derivative by |W_1| is the sum of the outgoing weights."""
    network = dense(activation='relu')
    weights = wrapper.get_weights(network)
    weights['fc/bias'] = np.float32([1, -2, 0, 3])
    found = derivatives(lambda: dense(activation='relu')).synaptic_flow(weights)
    outgoing = np.abs(weights['output/kernel'].astype(np.float64)).sum(axis=1)
    incoming = np.abs(weights['fc/kernel'].astype(np.float64)).sum(axis=0) + [1, 2, 0, 3]
    assert found['fc/kernel'] == pytest.approx(np.tile(outgoing, (64, 1)), rel=1e-12)
    assert found['output/kernel'] == pytest.approx(np.tile(incoming[:, None], (1, 10)), rel=1e-12)


def test_the_synaptic_flow_of_a_deep_network_does_not_overflow():
    def deep():
        twenty = tf_keras.initializers.Constant(20.0)
        return tf_keras.Sequential([tf_keras.layers.Flatten(input_shape=(8, 8, 1)), *(
            tf_keras.layers.Dense(50, 'relu', kernel_initializer=twenty, name=f'fc{number}') for number in range(20)),
            tf_keras.layers.Dense(10, name='output')])

    found = derivatives(deep).synaptic_flow(wrapper.get_weights(deep()))['fc0/kernel']
    # Nineteen layers of fifty weights of twenty each.
    assert np.log10(found / np.abs(wrapper.get_weights(deep())['output/kernel']).sum(axis=1).mean()) == pytest.approx(
        57, abs=0.5)


def test_the_synaptic_flow_goes_through_nested_and_shared_layers():
    def nested():
        shared = tf_keras.layers.Dense(4, 'relu', name='shared')
        inner = tf_keras.Sequential([shared, tf_keras.layers.BatchNormalization(name='norm')], name='inner')
        inner.build((None, 4))
        inputs = tf_keras.Input((8, 8, 1))
        first = tf_keras.layers.Dense(4, name='first')(tf_keras.layers.Flatten()(inputs))
        return tf_keras.Model(inputs, tf_keras.layers.Dense(10, name='output')(inner(shared(first))))

    network = nested()
    found = derivatives(nested).synaptic_flow(wrapper.get_weights(network))
    assert set(found) == {'first/kernel', 'shared/kernel', 'output/kernel'}
    assert all(np.all(array > 0) for array in found.values())


@pytest.mark.parametrize('last', [
    tf_keras.layers.Softmax, lambda: tf_keras.layers.Activation('sigmoid'), None])
def test_the_synaptic_flow_is_taken_before_the_activation_of_the_outputs(last):
    """A softmax adds up to 1 whatever flows into it."""
    def ending():
        network = dense(activation='relu')
        if last is None:
            network.layers[-1].activation = tf_keras.activations.softmax
            return network
        return tf_keras.Sequential([network, last()])

    weights = wrapper.get_weights(ending())
    own = derivatives(ending).synaptic_flow(weights)
    plain = derivatives(lambda: dense(activation='relu')).synaptic_flow(wrapper.get_weights(dense(activation='relu')))
    assert [each.tolist() for each in own.values()] == [each.tolist() for each in plain.values()]


def test_inputs_that_cannot_be_ones_are_refused():
    def build(seed):
        model = tf_keras.Sequential([tf_keras.layers.Embedding(5, 4, input_length=3), tf_keras.layers.Flatten(),
                                     tf_keras.layers.Dense(1)])
        model.compile('sgd', 'mse')
        return model

    words, answers = RNG.integers(0, 5, (4, 3)), np.ones((4, 1), np.float32)
    task = KerasTask(build, lambda: {split: (words, answers) for split in ('train', 'validation', 'test')})
    task.facts()
    own = Derivatives(task, {'x': words, 'y': answers}, 2, tf.distribute.get_strategy())
    own.require(('gradient', 'flow', 'curvature'))
    with pytest.raises(UsageError, match="^the branch 'synflow' puts ones where 'sequential.*' takes indices or "):
        own.require(('synaptic_flow',))
    # The gradient of an embedding is of its rows.
    found = own.gradient(wrapper.get_weights(task.network(0)))
    assert [array.shape for array in found.values()] == [(5, 4), (12, 1)]
    assert not found['embedding/embeddings'][sorted(set(range(5)) - set(words.ravel()))].any()


def test_more_outputs_than_passes_are_refused():
    def wide():
        return tf_keras.Sequential([tf_keras.layers.Flatten(input_shape=(8, 8, 1)), tf_keras.layers.Dense(1001)])

    with pytest.raises(UsageError, match="^pruning.criterion='obd' takes a pass for each output of an example, and "
                                         'there are 1,001, more than 1,000: '):
        derivatives(wide).require(('curvature',))


class Odd(tf_keras.layers.Layer):
    def __init__(self, what):
        super().__init__()

    def get_config(self):
        return {}


def test_a_layer_that_cannot_be_made_anew_is_told():
    def odd():
        return tf_keras.Sequential([tf_keras.layers.Flatten(input_shape=(8, 8, 1)), Odd(3),
                                    tf_keras.layers.Dense(10)])

    with pytest.raises(UsageError, match="^the branch 'synflow' takes 'sequential.*' in float64, which its layers "):
        derivatives(odd).require(('synaptic_flow',))


def test_examples_of_a_data_set_are_drawn_from_everywhere_and_always_the_same():
    examples = tf.data.Dataset.from_tensor_slices({'x': np.arange(50)})
    splits = dict.fromkeys(('train', 'validation', 'test'), examples)
    settings = Settings(batch_size=2, optimizer='sgd', learning_rate=0.1, momentum=0.9, evaluate_every=6,
                        checkpoint_every=4, block=3, jit=False)
    feed = DatasetFeed(splits, dict.fromkeys(splits, 50), settings, tf.distribute.get_strategy(), None)
    drawn = feed.drawn(20)['x'].tolist()
    assert drawn == feed.drawn(20)['x'].tolist()
    assert len(set(drawn)) == 20 and max(drawn) > 30
    assert sorted(feed.drawn(100)['x']) == list(range(50))
