"""Trained networks beside pruned random ones: which networks, of which layers, and what is measured."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from fake_tasks import Task

from tf_lottery import KerasTask
from tf_lottery.errors import UsageError
from tf_lottery.pruning import wrapper
from tf_lottery.pruning.random_network import approximate
from tf_lottery.training.construction import Construction, _Chain

L = tf_keras.layers


def chain(*layers, shape=(6,)):
    return tf_keras.Sequential([tf_keras.Input(shape), *layers], name='net')


def functional():
    inputs = tf_keras.Input((6,))
    hidden = L.Activation('relu')(L.Dense(5)(inputs))
    return tf_keras.Model(inputs, L.Dense(2, use_bias=False)(L.Dropout(0.5)(hidden)), name='net')


NETWORKS = {
    'relu inside': (lambda: chain(L.Dense(5, 'relu'), L.Dense(4, 'relu'), L.Dense(2)), [True, True]),
    'relu of its own': (lambda: chain(L.Dense(5), L.ReLU(), L.Dense(2)), [True]),
    'other ways to say relu': (lambda: chain(
        L.Dense(5, tf.nn.relu), L.GaussianNoise(1.0), L.Dense(4, L.ReLU()), L.Dense(2)), [True, True]),
    'no relu': (lambda: chain(L.Dense(5), L.Dropout(0.2), L.Dense(4, 'relu'), L.Dense(2)), [False, True]),
    'one layer': (lambda: chain(L.Dense(2, 'softmax')), []),
    'softmax': (lambda: chain(L.Rescaling(2.0), L.Dense(5, 'relu'), L.Dense(2), L.Softmax()), [True]),
    'images': (lambda: chain(L.Flatten(), L.Dense(5, 'relu'), L.Dense(2, 'sigmoid'), shape=(2, 3)), [True]),
    'functional': (functional, [True]),
}


@pytest.mark.parametrize(('build', 'relu'), NETWORKS.values(), ids=NETWORKS)
def test_a_chain_computes_what_the_network_does(build, relu):
    network = build()
    rng = np.random.default_rng(0)
    for variable in network.variables:
        variable.assign(rng.normal(0, 1, variable.shape))
    inputs = rng.normal(0, 1, (9, *network.input_shape[1:])).astype(np.float32)
    own = _Chain(network)
    values = own.entered(inputs).astype(np.float64)
    layers = own.layers()
    for layer in layers:
        # Only what is no relu's may be negative.
        assert layer.signed or (values >= 0).all()
        values = layer.values(layer.sums(values))
    assert [layer.relu for layer in layers] == [*relu, False]
    assert [layer.signed for layer in layers] == [True, *(not each for each in relu)]
    assert own.left(values) == pytest.approx(network(inputs, training=False).numpy(), abs=1e-5)


def with_branches():
    inputs = tf_keras.Input((6,))
    first = L.Dense(6, 'relu', name='first')(inputs)
    return tf_keras.Model(inputs, L.Dense(2)(L.Add(name='sum')([inputs, first])), name='net')


def shared():
    inputs, layer = tf_keras.Input((6,)), L.Dense(6, 'relu', name='twice')
    return tf_keras.Model(inputs, L.Dense(2)(layer(layer(inputs))), name='net')


def of_two():
    inputs = [tf_keras.Input((3,)), tf_keras.Input((3,))]
    return tf_keras.Model(inputs, L.Dense(2)(L.Concatenate()(inputs)), name='net')


REFUSED = {
    "Conv2D 'conv'": lambda: chain(L.Conv2D(2, 3, name='conv'), L.Flatten(), L.Dense(2), shape=(8, 8, 1)),
    "BatchNormalization 'norm'": lambda: chain(L.Dense(4), L.BatchNormalization(name='norm'), L.Dense(2)),
    "Sequential 'inner' for a layer": lambda: chain(
        tf_keras.Sequential([L.Dense(4, 'relu')], name='inner'), L.Dense(2)),
    "Dense 'act' in front of 'last' with another activation": lambda: chain(
        L.Dense(4, 'tanh', name='act'), L.Dense(2, name='last')),
    "Activation 'gelu' in front of 'last'": lambda: chain(
        L.Dense(4), L.Activation('gelu', name='gelu'), L.Dense(2, name='last')),
    "Lambda 'own' in front of 'last'": lambda: chain(
        L.Dense(4), L.Lambda(lambda values: values, name='own'), L.Dense(2, name='last')),
    "ReLU 'six' in front of 'last'": lambda: chain(
        L.Dense(4), L.ReLU(6.0, name='six'), L.Dense(2, name='last')),
    "Dense 'of_rows'": lambda: chain(L.Dense(4, name='of_rows'), L.Flatten(), L.Dense(2), shape=(3, 2)),
    'no dense layer': lambda: chain(L.Flatten()),
    "Add 'sum', which is not one behind another": with_branches,
    "Dense 'twice', which is not one behind another": shared,
    'several inputs or outputs': of_two,
}


@pytest.mark.parametrize(('what', 'build'), REFUSED.items(), ids=REFUSED)
def test_other_networks_are_refused_in_a_sentence(what, build):
    with pytest.raises(UsageError) as error:
        Construction(Task(build))
    assert str(error.value) == ('construction.widths is for a chain of dense layers with relu between them, and '
                                f"'net' has {what}: give construction.widths=(), or another network.")


@pytest.fixture(scope='module')
def digits_task():
    return Task(lambda: chain(
        L.Flatten(), L.Dense(12, 'relu', name='hidden'), L.Dense(10, name='output'), shape=(8, 8, 1)))


def test_a_wide_random_network_judges_as_the_trained_one_does(digits_task):
    own = Construction(digits_task)
    weights = wrapper.get_weights(digits_task.network(0))
    *parts, whole = own.measure(weights, 'pensia', 20, [0, 0], lambda: None)
    assert own.examples == 500
    assert [row['target'] for row in parts] == ['neuron', 'layer']
    assert not any('test' in row for row in parts)
    assert whole['test'] == pytest.approx(whole['target_test'], abs=0.02)
    assert whole['max_output_error'] < 0.1 * whole['max_output']
    inputs = digits_task.serving().inputs['inputs']
    outputs = digits_task.network(0)
    for name, variable in wrapper.variables(outputs).items():
        variable.assign(weights[name])
    logits = outputs.predict(inputs, verbose=0)
    assert whole['max_output'] == pytest.approx(np.abs(logits).max(), rel=1e-5)
    assert whole['target_test'] == digits_task.serving().score({'outputs': logits})


def test_a_narrow_one_does_not(digits_task):
    own = Construction(digits_task)
    weights = wrapper.get_weights(digits_task.network(0))
    whole = own.measure(weights, 'malach', 1, [0, 0], lambda: None)[-1]
    assert whole['max_output_error'] > 0.3 * whole['max_output']
    # Its outputs are those that it is judged by.
    chain_, inputs = own._chain, digits_task.serving().inputs['inputs']
    outputs, _ = approximate(chain_.layers(), chain_.entered(inputs), 'malach', 1, [0, 0])
    assert whole['test'] == digits_task.serving().score({'outputs': outputs})


def test_a_task_of_ones_own_is_measured_by_what_leads_its_report():
    def build(seed):
        model = tf_keras.Sequential([L.Dense(5, 'relu', input_shape=(6,)), L.Dense(1)])
        model.compile('adam', 'mse', ['mae'])
        return model

    @functools.cache
    def examples():
        rng = np.random.default_rng(0)
        return {split: (rng.normal(0, 1, (count, 6)).astype(np.float32), rng.normal(0, 1, (count, 1)).astype(
            np.float32)) for split, count in (('train', 80), ('test', 40))}

    task = KerasTask(build, examples)
    weights = wrapper.get_weights(task.network(0))
    whole = Construction(task).measure(weights, 'pensia', 20, [0, 0], lambda: None)[-1]
    inputs, targets = examples()['test']
    network = task.network(0)
    for name, variable in wrapper.variables(network).items():
        variable.assign(weights[name])
    assert whole['target_test'] == pytest.approx(np.abs(network.predict(inputs, verbose=0) - targets).mean(), rel=1e-5)
    assert whole['test'] == pytest.approx(whole['target_test'], abs=1e-3)
    assert whole['test'] != whole['target_test']
