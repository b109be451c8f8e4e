"""One mask per variable, which is zero where the mask is after every update, whatever moved it."""

import copy

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.sparsity.keras import strip_pruning

import tf_lottery
from tf_lottery.errors import UsageError
from tf_lottery.pruning import clones, constraint, wrapper
from tf_lottery.ticket import Mask

layers, optimizers = tf_keras.layers, tf_keras.optimizers
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(32, 4)).astype(np.float32)
OUTPUTS = RNG.normal(size=(32, 1)).astype(np.float32)


def held(values, kept, inner=None):
    variable = tf.Variable(values, constraint=inner)
    constraint.hold(variable, tf.Variable(np.asarray(kept, np.float32)), tf.Variable(0.0))
    return variable


def test_what_is_pruned_is_zero_though_it_be_no_number():
    variable = held([1.0, np.nan, np.inf, -2.0], [1, 0, 0, 1])
    assert variable.constraint(variable).numpy().tolist() == [1, 0, 0, -2]


def test_a_constraint_of_the_variables_own_sees_zeros_and_does_not_outlast_them():
    seen = []

    def shifted(weight):
        seen.append(weight.numpy().tolist())
        return weight + 1

    variable = held([1.0, 5.0], [1, 0], shifted)
    assert variable.constraint(variable).numpy().tolist() == [2, 0]
    assert seen == [[1, 0]]


def test_what_is_frozen_comes_back_whatever_moved_it():
    variable = held([1.0, 5.0, np.nan, 8.0], [1, 0, 0, 1], lambda weight: weight + 1)
    constraint.of(variable).frozen = tf.Variable([0.0, 0.5, -0.25, 0.0])
    assert variable.constraint(variable).numpy().tolist() == [2, 0.5, -0.25, 9]


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16', 'float32', 'float64'])
def test_the_constraint_keeps_the_dtype(dtype):
    variable = held(tf.ones([2], dtype), [1, 0])
    value = variable.constraint(variable)
    assert value.dtype == dtype
    assert value.numpy().tolist() == [1, 0]


class Noisy:
    """Adds noise to all gradients, as private training does."""

    def apply_gradients(self, pairs, **options):
        noisy = [(gradient + 0.01 * tf.random.normal(gradient.shape), variable) for gradient, variable in pairs]
        return super().apply_gradients(noisy, **options)


class NoisySGD(Noisy, optimizers.SGD):
    pass


class NoisyAdam(Noisy, optimizers.Adam):
    pass


class NoisyLegacy(optimizers.legacy.SGD):
    def _resource_apply_dense(self, gradient, variable, apply_state=None):
        return super()._resource_apply_dense(gradient + 0.01, variable, apply_state)


class Pull(tf_keras.regularizers.Regularizer):
    def __call__(self, weight):
        return tf.reduce_sum((weight - 0.5) ** 2)


MOVERS = {
    'noise': (lambda: NoisySGD(0.1), None),
    'noise and averages': (lambda: NoisyAdam(0.1, use_ema=True), None),
    'noise and averages that become the weights': (lambda: NoisyAdam(0.1, use_ema=True, ema_overwrite_frequency=2),
                                                   None),
    'noise under a loss scale': (lambda: tf_keras.mixed_precision.LossScaleOptimizer(NoisySGD(0.1)), None),
    'a legacy optimizer': (lambda: NoisyLegacy(0.1), None),
    'a regularizer': (lambda: optimizers.SGD(0.1, momentum=0.9), Pull()),
    'a regularizer and averages': (lambda: optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), Pull()),
    'orthogonality': (lambda: optimizers.Adam(0.1), tf_keras.regularizers.OrthogonalRegularizer(1.0)),
}


@pytest.mark.parametrize('jit', [False, True])
@pytest.mark.parametrize('mover', MOVERS)
def test_nothing_moves_a_zero(mover, jit):
    make, regularizer = MOVERS[mover]
    model = tf_keras.Sequential([
        layers.Dense(8, 'relu', input_shape=(4,), kernel_regularizer=regularizer), layers.Dense(1)])
    kernel = model.layers[0].kernel
    kernel.assign(kernel * (np.random.default_rng(1).random(kernel.shape) < 0.4))
    zeros, before = kernel.numpy() == 0, kernel.numpy()
    model = tf_lottery.hold_zeros(model)
    model.compile(make(), 'mse', jit_compile=jit)
    model.fit(INPUTS, OUTPUTS, batch_size=8, epochs=2, verbose=0)
    assert not np.any(kernel.numpy()[zeros])
    assert np.any(kernel.numpy()[~zeros] != before[~zeros])
    assert np.array_equal(strip_pruning(model)(INPUTS), model(INPUTS))


def test_a_loop_of_ones_own_holds_zeros_with_any_keras_optimizer():
    model = wrapper.prunable(tf_keras.Sequential([layers.Dense(3, input_shape=(4,), use_bias=False, name='fc')]))
    wrapper.set_mask(model, Mask({'fc/kernel': np.eye(4, 3)}))
    kernel, = model.trainable_variables
    NoisySGD(0.1).apply_gradients([(tf.ones([4, 3]), kernel)])
    assert np.array_equal(kernel.numpy() != 0, np.eye(4, 3) != 0)


def test_adafactor_is_refused_where_a_row_and_a_column_are_pruned():
    for mask, refused in ((np.eye(4, 4, 1), True), (np.eye(4, 4), False)):
        model = wrapper.prunable(tf_keras.Sequential([layers.Dense(4, input_shape=(4,), name='fc')]))
        wrapper.set_mask(model, Mask({'fc/kernel': mask}))
        model.compile(optimizers.Adafactor(0.1), 'mse')
        if refused:
            with pytest.raises(UsageError, match='Adafactor divides 0 by 0 where a row and a column of .*kernel'):
                model.fit(INPUTS, INPUTS, verbose=0)
        else:
            model.fit(INPUTS, INPUTS, verbose=0)
            assert np.all(np.isfinite(model.layers[0].kernel))
            assert np.array_equal(model.layers[0].kernel.numpy() != 0, mask != 0)


def test_all_wrappers_around_a_variable_share_its_mask():
    plain = tf_keras.Sequential([layers.Dense(3, input_shape=(4,), name='fc')])
    first, second = wrapper.prunable(plain), wrapper.prunable(plain)
    mask = Mask({'fc/kernel': np.eye(4, 3)})
    wrapper.set_mask(first, mask)
    assert wrapper.get_mask(second) == wrapper.get_mask(wrapper.prunable(strip_pruning(second))) == mask


def test_a_copy_of_a_variable_has_a_mask_of_its_own():
    seen = []
    variable = held([1.0, 2.0], [1, 0], lambda weight: seen.append(1) or weight)
    for copied in (copy.deepcopy(variable), tf.Variable([1.0, 2.0], constraint=variable.constraint)):
        assert constraint.of(copied) is None
        assert copied.constraint(copied).numpy().tolist() == [1, 2] and seen
        constraint.hold(copied, tf.Variable([0.0, 1.0]), tf.Variable(0.0))
        assert copied.constraint(copied).numpy().tolist() == [0, 2]
        assert variable.constraint(variable).numpy().tolist() == [1, 0]


def test_a_clone_and_a_smaller_network_are_free_of_masks():
    model = wrapper.prunable(tf_keras.Sequential([
        layers.Dense(3, 'relu', input_shape=(4,), name='fc'), layers.Dense(2, name='output')]))
    wrapper.set_mask(model, Mask({'fc/kernel': np.eye(4, 3), 'output/kernel': np.eye(3, 2)}))
    plain = strip_pruning(model)
    for copied in (clones.clone(plain), tf_lottery.shrink(plain)[0]):
        assert not any(constraint.of(weight) for weight in copied.trainable_weights)
        copied.compile(optimizers.SGD(0.1), 'mse')
        copied.fit(INPUTS, INPUTS[:, :2], verbose=0)
        assert wrapper.get_mask(wrapper.prunable(copied)).density == 1
    assert wrapper.get_mask(model).kept == 5
