"""Sparse models fine-tuned with their zeros held: under each optimizer, precision and on two replicas."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tf_keras
from tensorflow_model_optimization.sparsity import keras as sparsity

import tf_lottery
from tf_lottery.errors import UsageError
from tf_lottery.pruning import wrapper

layers = tf_keras.layers
ROOT = pathlib.Path(__file__).parents[2]
CLASSES = 3


def network(precision='float32', regularizer=None):
    options = {'dtype': precision, 'kernel_regularizer': regularizer}
    return tf_keras.Sequential([
        layers.Conv2D(4, 3, input_shape=(5, 5, 2), name='conv', use_bias=False, **options),
        layers.BatchNormalization(dtype=precision, name='norm'), layers.ReLU(dtype=precision),
        layers.DepthwiseConv2D(2, dtype=precision, name='depthwise'), layers.Flatten(dtype=precision),
        layers.Dense(6, activation='relu', name='fc', **options), layers.Dense(CLASSES, name='output', **options),
        layers.Activation('linear', dtype='float32')])


def sparse(model, seed=0):
    """Gives each prunable weight values of which about half are zeros."""
    rng = np.random.default_rng(seed)
    for name, variable in wrapper.variables(model).items():
        if 'kernel' in name:
            variable.assign(variable.numpy() * (rng.random(variable.shape) < 0.5))
    return model


def zeros(model):
    return {name: value == 0 for name, value in wrapper.get_weights(model).items() if name.endswith('/kernel')}


def data(seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(24, 5, 5, 2)).astype(np.float32), rng.integers(0, CLASSES, 24)


def fit(model, optimizer):
    model.compile(optimizer, tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    model.fit(*data(), batch_size=8, epochs=3, verbose=0)


OPTIMIZERS = {
    'momentum': lambda: tf_keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True, jit_compile=False),
    'adam': lambda: tf_keras.optimizers.Adam(0.01, jit_compile=False),
    'adam_decay': lambda: tf_keras.optimizers.AdamW(0.01, weight_decay=0.1, jit_compile=False),
    'averages': lambda: tf_keras.optimizers.AdamW(
        0.01, weight_decay=0.1, use_ema=True, ema_overwrite_frequency=2, jit_compile=False),
    'legacy': lambda: tf_keras.optimizers.legacy.SGD(0.05, momentum=0.9),
    'ours': lambda: tf_lottery.Adam(0.01),
}


def check(model, optimizer):
    """Trains with the zeros held: they stay, in the layers given back too; what is not zero moves."""
    before, held_zeros = wrapper.get_weights(model), zeros(model)
    held = tf_lottery.hold_zeros(model)
    fit(held, OPTIMIZERS[optimizer]())
    plain = sparsity.strip_pruning(held)
    assert not wrapper.wrappers(plain)
    assert [variable.name for variable in plain.trainable_variables] == [
        variable.name for variable in model.trainable_variables]
    after = wrapper.get_weights(plain)
    for name, are_zero in held_zeros.items():
        assert 0 < are_zero.sum() < are_zero.size
        assert np.array_equal(after[name] == 0, are_zero)
        assert np.all(np.isfinite(after[name]))
        assert np.any(after[name] != before[name])
    assert np.array_equal(plain(data()[0]), held(data()[0]))
    return plain


@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_zeros_stay_under_an_optimizer(optimizer):
    check(sparse(network(regularizer=tf_keras.regularizers.L1L2(0.01, 0.01))), optimizer)


@pytest.mark.parametrize('optimizer', ['momentum', 'adam_decay'])
@pytest.mark.parametrize('precision', ['mixed_bfloat16', 'mixed_float16'])
def test_zeros_stay_in_mixed_precision(precision, optimizer, monkeypatch):
    if precision == 'mixed_float16':
        # What Keras does to any optimizer under this policy: with its inner optimizer, it scales the loss.
        inner = OPTIMIZERS[optimizer]
        monkeypatch.setitem(OPTIMIZERS, optimizer, lambda: tf_keras.mixed_precision.LossScaleOptimizer(inner()))
    plain = check(sparse(network(precision)), optimizer)
    assert plain.get_layer('conv').dtype_policy.name == precision
    assert plain.get_layer('conv').compute_dtype == precision.removeprefix('mixed_')


@pytest.mark.parametrize('suffix', ['.keras', '.h5', ''])
def test_zeros_stay_in_a_model_that_is_loaded(tmp_path, suffix):
    path = str(tmp_path / f'sparse{suffix}')
    sparse(network()).save(path)
    plain = check(tf_keras.models.load_model(path), 'adam_decay')
    plain.save(path)
    again = zeros(tf_keras.models.load_model(path))
    assert all(np.array_equal(again[name], value) for name, value in zeros(plain).items())


def test_zeros_stay_in_a_model_that_is_pruned_and_shrunk():
    model = wrapper.prunable(sparse(network()))
    wrapper.variables(model)['fc/kernel'].assign(np.eye(16, 6))
    smaller, changes = tf_lottery.shrink(sparsity.strip_pruning(model))
    assert changes['fc'].weights_left < changes['fc'].weights
    check(smaller, 'momentum')


RUN = """
from tf_lottery.runtime import distribute
strategy = distribute.build('mirrored', 2)

import sys
import numpy as np
import tf_keras
import tf_lottery
from tests.pruning import test_zeros as case
from tf_lottery.pruning import wrapper

for optimizer in ('momentum', 'adam_decay'):
    with strategy.scope():
        model = tf_keras.models.load_model(sys.argv[1])
        zeros = case.zeros(model)
        held = tf_lottery.hold_zeros(model)
        case.fit(held, case.OPTIMIZERS[optimizer]())
    for name, variable in wrapper.variables(held).items():
        copies = [copy.numpy() for copy in strategy.experimental_local_results(variable)]
        assert len(copies) == 2
        for copy in copies if name in zeros else ():
            assert np.array_equal(copy == 0, zeros[name]), f'{optimizer} moved a zero of {name}'
            assert np.array_equal(copy, copies[0]), f'the replicas have different {name}'
"""


def test_zeros_stay_on_two_replicas(tmp_path):
    sparse(network()).save(tmp_path / 'sparse.keras')
    done = subprocess.run([sys.executable, '-c', RUN, str(tmp_path / 'sparse.keras')], cwd=ROOT, text=True,
                          capture_output=True, timeout=200, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr


def test_the_zeros_of_a_skipped_layer_are_free():
    model = sparse(network())
    before = zeros(model)
    held = tf_lottery.hold_zeros(model, skip=['fc'])
    fit(held, OPTIMIZERS['adam']())
    after = zeros(held)
    assert after['fc/kernel'].sum() < before['fc/kernel'].sum()
    assert np.array_equal(after['conv/kernel'], before['conv/kernel'])


def keras_3_model():
    import keras
    return keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(2)])


@pytest.mark.parametrize(('make', 'sentence'), [
    (network, 'none of the .* prunable weights of model .* is zero: prune it first'),
    (lambda: wrapper.prunable(sparse(network())), "layer 'conv' of model .* is wrapped for pruning: give"),
    (lambda: sparsity.prune_low_magnitude(sparse(network())), 'is wrapped for pruning'),
    (keras_3_model, 'Keras 3')])
def test_what_has_no_zeros_to_hold_is_refused(make, sentence):
    with pytest.raises(UsageError, match=sentence):
        tf_lottery.hold_zeros(make())
