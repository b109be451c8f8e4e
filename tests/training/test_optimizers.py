"""Adam's bias correction counts from where its moments started; the others have nothing to correct."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_lottery.errors import UsageError
from tf_lottery.pruning.rewind import reset_optimizer
from tf_lottery.training import OPTIMIZERS, optimizers

GRADIENTS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def steps(optimizer, variable, gradients):
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
    return variable.numpy()


@pytest.mark.parametrize('options', [{}, {'beta_1': 0.5, 'beta_2': 0.9, 'epsilon': 0.1}])
def test_from_step_0_it_is_keras_adam(options):
    ours, keras = (
        steps(kind(0.01, jit_compile=False, **options), tf.Variable(np.ones(4, np.float32)), GRADIENTS)
        for kind in (optimizers.Adam, tf_keras.optimizers.Adam))
    assert np.array_equal(ours, keras)


def reset(optimizer, step):
    variable = tf.Variable(np.ones(4, np.float32))
    reset_optimizer(optimizer, [variable], step)
    return variable


def test_the_first_steps_after_rewinding_are_those_of_a_fresh_adam():
    ours, fresh = (optimizers.Adam(0.01, jit_compile=False) for _ in range(2))
    variable = reset(ours, 1000)
    start = variable.numpy()
    assert np.abs(steps(ours, variable, GRADIENTS[:1]) - start) == pytest.approx(np.full(4, 0.01), rel=1e-4)
    expected = steps(fresh, tf.Variable(start), GRADIENTS)
    assert np.array_equal(steps(ours, variable, GRADIENTS[1:]), expected)
    assert int(ours.iterations) == 1006


def test_keras_adam_would_start_with_steps_several_times_too_long():
    optimizer = tf_keras.optimizers.Adam(0.01, jit_compile=False)
    variable = reset(optimizer, 1000)
    assert np.abs(steps(optimizer, variable, GRADIENTS[:1]) - 1).min() > 0.02


def test_the_learning_rate_schedule_still_counts_from_step_0():
    schedule = tf_keras.optimizers.schedules.PiecewiseConstantDecay([999], [0.5, 0.25])
    optimizer = optimizers.Adam(schedule, jit_compile=False)
    variable = reset(optimizer, 1000)
    assert np.abs(steps(optimizer, variable, GRADIENTS[:1]) - 1) == pytest.approx(np.full(4, 0.25), rel=1e-4)


def test_a_gradient_of_zero_moves_nothing():
    variable = steps(optimizers.Adam(0.1, jit_compile=False), tf.Variable([0.0, 1.0]), np.zeros((3, 2), np.float32))
    assert variable.tolist() == [0, 1]


def test_sparse_gradients_are_taken_as_dense_ones():
    table = np.ones((3, 2), np.float32)
    ours, dense = (optimizers.Adam(0.1, jit_compile=False) for _ in range(2))
    one, two = tf.Variable(table), tf.Variable(table)
    # Row 1 twice: the parts of a sparse gradient add up.
    slices = tf.IndexedSlices(tf.constant([[1.0, 2], [3, 4], [5, 6]]), tf.constant([1, 0, 1]), tf.constant([3, 2]))
    ours.apply_gradients([(slices, one)])
    dense.apply_gradients([(tf.constant([[3.0, 4], [6, 8], [0, 0]]), two)])
    assert np.array_equal(one.numpy(), two.numpy())
    assert one.numpy()[2].tolist() == [1, 1]


@pytest.mark.parametrize(('name', 'kind', 'momentum'), [
    ('adam', optimizers.Adam, None), ('sgd', tf_keras.optimizers.SGD, 0), ('momentum', tf_keras.optimizers.SGD, 0.8),
    ('rmsprop', tf_keras.optimizers.RMSprop, 0.8)])
def test_optimizers_are_built_by_name(name, kind, momentum):
    optimizer = optimizers.build(name, 0.25, 0.8, rho=0.7, epsilon=0.5)
    assert type(optimizer) is kind
    assert float(optimizer.learning_rate) == 0.25
    assert not optimizer.jit_compile
    assert getattr(optimizer, 'momentum', None) == momentum
    assert getattr(optimizer, 'rho', 0.7) == 0.7
    assert getattr(optimizer, 'epsilon', 0.5) == 0.5


def test_rmsprop_by_hand():
    square, velocity, expected = np.zeros(4), np.zeros(4), np.ones(4)
    for gradient in GRADIENTS:
        square = 0.75 * square + 0.25 * gradient**2
        velocity = 0.5 * velocity + 0.1 * gradient / np.sqrt(square + 1)
        expected = expected - velocity
    own = optimizers.build('rmsprop', 0.1, momentum=0.5, rho=0.75, epsilon=1.0)
    assert steps(own, tf.Variable(np.ones(4, np.float32)), GRADIENTS) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_a_rewound_optimizer_trains_as_a_fresh_one(name):
    own, fresh = (optimizers.build(name, 0.01) for _ in range(2))
    variable = tf.Variable(np.full(4, 3, np.float32))
    steps(own, variable, GRADIENTS[::-1])
    variable.assign(np.ones(4))
    reset_optimizer(own, [variable], 500)
    expected = steps(fresh, tf.Variable(np.ones(4, np.float32)), GRADIENTS)
    assert np.array_equal(steps(own, variable, GRADIENTS), expected)
    assert int(own.iterations) == 506


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(UsageError, match=r"unknown optimizer 'adamw': choose one of adam, sgd, momentum, rmsprop\."):
        optimizers.build('adamw', 0.1, 0.9)


def test_an_optimizer_reads_back_from_its_config():
    optimizer = optimizers.Adam(0.01, beta_1=0.8, jit_compile=False)
    again = tf_keras.optimizers.deserialize(tf_keras.optimizers.serialize(optimizer))
    assert type(again) is optimizers.Adam
    assert again.get_config() == optimizer.get_config()
