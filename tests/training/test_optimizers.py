"""Adam's bias correction counts from where its moments started; the others have nothing to correct."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_lottery.errors import UsageError
from tf_lottery.pruning import optimizer_state
from tf_lottery.training import OPTIMIZERS, optimizers

ROOT = pathlib.Path(__file__).parents[2]
GRADIENTS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def steps(optimizer, variable, gradients):
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
    return variable.numpy()


OPTIONS = {
    'plain': {}, 'betas': {'beta_1': 0.5, 'beta_2': 0.9, 'epsilon': 0.1}, 'adaptive': {'adaptive_epsilon': True},
    'amsgrad': {'amsgrad': True}, 'average': {'use_ema': True, 'ema_momentum': 0.5, 'ema_overwrite_frequency': 4},
    'decay': {'weight_decay': 0.1}, 'clipnorm': {'clipnorm': 0.5}, 'clipvalue': {'clipvalue': 0.1},
    'schedule': {'learning_rate': tf_keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)}}
MODES = {'eager': lambda step: step, 'graph': tf.function, 'xla': lambda step: tf.function(step, jit_compile=True)}


def of_each_dtype():
    return [tf.Variable(np.ones(4), dtype=dtype) for dtype in ('float32', 'float64', 'float16', 'bfloat16')]


def trained(optimizer, mode='eager', replicas=1, variables=of_each_dtype):
    """What six steps on dense gradients, and on one sparse, make of the variables and of what the optimizer keeps."""
    variables = [*variables(), tf.Variable(np.ones((3, 2), np.float32), name='table')]
    optimizer.build(variables)

    def step(gradient):
        # Row 1 twice, and row 2 left out: the parts of a sparse gradient add up.
        rows = tf.IndexedSlices(tf.reshape(tf.tile(gradient, [2])[:6], [3, 2]), tf.constant([1, 0, 1]),
                                tf.constant([3, 2]))
        # What is summed over two replicas is what one has.
        gradients = [tf.cast(gradient, variable.dtype) / replicas for variable in variables[:-1]]
        optimizer.apply_gradients(zip([*gradients, rows], variables, strict=True))

    def on_all(gradient):
        tf.distribute.get_strategy().run(step, (gradient,))

    taken = MODES[mode](step if replicas == 1 else on_all)
    for gradient in GRADIENTS:
        taken(tf.constant(gradient))
    return [variable.numpy() for variable in (*variables, *optimizer.variables)]


def keras_and_ours(options, jit_compile, *args, **kwargs):
    """The two Adams' variables; of ours without `moments_start`, which stays 0 and is the last."""
    made = []
    for kind in (tf_keras.optimizers.Adam, optimizers.Adam):
        optimizer = kind(**{'learning_rate': 0.01, **options})
        # Keras itself turns it off where there is no GPU.
        optimizer.jit_compile = jit_compile
        made.append(trained(optimizer, *args, **kwargs))
    assert made[1][-1] == 0
    return made[0], made[1][:-1]


def same(left, right):
    return len(left) == len(right) and all(
        a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize('name', OPTIONS)
def test_from_step_0_it_is_keras_adam(name):
    assert same(*keras_and_ours(OPTIONS[name], False))


@pytest.mark.parametrize(('mode', 'jit_compile'), [('eager', True), ('graph', False), ('graph', True), ('xla', False)])
@pytest.mark.parametrize('name', ['plain', 'amsgrad', 'average'])
def test_compiled_it_is_keras_adam(name, mode, jit_compile):
    assert same(*keras_and_ours(OPTIONS[name], jit_compile, mode))


def test_clipped_all_together_it_is_keras_adam():
    # Keras clips so where all are of one dtype.
    one = lambda: [tf.Variable(np.ones(4, np.float32))]  # noqa: E731
    assert same(*keras_and_ours({'global_clipnorm': 0.5}, False, variables=one))


# Devices must be split before TensorFlow starts.
ON_REPLICAS = """
from tf_lottery.runtime import distribute

strategy = distribute.build('mirrored', 2)

import numpy as np
import tensorflow as tf

from tests.training import test_optimizers as case

one = lambda: [tf.Variable(np.ones(4, np.float32))]
with strategy.scope():
    assert case.same(*case.keras_and_ours({}, False, 'graph', 2, variables=one))
    assert case.same(*case.keras_and_ours({'amsgrad': True, 'use_ema': True}, True, 'graph', 2, variables=one))
"""


def test_on_two_replicas_it_is_keras_adam():
    done = subprocess.run([sys.executable, '-c', ON_REPLICAS], cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def fitted(optimizer, policy):
    """A small network's weights after six steps; under mixed_float16 Keras scales the loss."""
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(policy)
    tf_keras.utils.set_random_seed(0)
    try:
        model = tf_keras.Sequential([tf_keras.layers.Embedding(9, 4, input_length=2), tf_keras.layers.Flatten(),
                                     tf_keras.layers.Dense(1, dtype='float32')])
        model.compile(optimizer, 'mse')
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
    inputs = np.random.default_rng(1).integers(0, 9, (12, 2))
    model.fit(inputs, np.arange(12.0), batch_size=4, epochs=2, shuffle=False, verbose=0)
    return model


@pytest.mark.parametrize('policy', ['mixed_bfloat16', 'mixed_float16'])
def test_under_mixed_precision_it_is_keras_adam(policy):
    keras, ours = (fitted(kind(0.1), policy) for kind in (tf_keras.optimizers.Adam, optimizers.Adam))
    assert isinstance(ours.optimizer, tf_keras.mixed_precision.LossScaleOptimizer) == (policy == 'mixed_float16')
    assert int(ours.optimizer.iterations) == 6
    assert same(keras.get_weights(), ours.get_weights())


def test_what_is_excluded_does_not_decay():
    table, bias = tf.Variable([1.0], name='table'), tf.Variable([1.0], name='bias')
    optimizer = optimizers.Adam(0.5, weight_decay=0.25)
    optimizer.exclude_from_weight_decay(var_names=['bias'])
    optimizer.apply_gradients([(tf.zeros(1), table), (tf.zeros(1), bias)])
    assert (table.numpy().tolist(), bias.numpy().tolist()) == ([1 - 0.5 * 0.25], [1])


def reset(optimizer, step):
    variable = tf.Variable(np.ones(4, np.float32))
    rewound(optimizer, variable, step)
    return variable


def rewound(optimizer, variable, step):
    optimizer_state.build(optimizer, [variable])
    optimizer_state.reset(optimizer, [variable], optimizer_state.fresh_state(optimizer, [variable]), step)


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


@pytest.mark.parametrize('momentum', [0.0, 0.5])
def test_rmsprop_with_epsilon_outside_of_the_root_by_hand(momentum):
    square, velocity, expected = np.zeros(4), np.zeros(4), np.ones(4)
    for gradient in GRADIENTS:
        square = 0.75 * square + 0.25 * gradient**2
        velocity = momentum * velocity + 0.1 * gradient / (np.sqrt(square) + 0.5)
        expected = expected - velocity
    own = optimizers.build('rmsprop', 0.1, momentum=momentum, rho=0.75, epsilon=0.5, epsilon_outside=True)
    assert steps(own, tf.Variable(np.ones(4, np.float32)), GRADIENTS) == pytest.approx(expected, rel=1e-5)


def test_adam_with_epsilon_after_the_bias_correction_by_hand():
    mean, square, expected = np.zeros(4), np.zeros(4), np.ones(4)
    for step, gradient in enumerate(GRADIENTS, 1):
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        root = np.sqrt(square / (1 - 0.999**step))
        expected = expected - 0.1 * mean / (1 - 0.9**step) / (root + 0.5)
    own = optimizers.build('adam', 0.1, epsilon=0.5, epsilon_outside=True)
    assert steps(own, tf.Variable(np.ones(4, np.float32)), GRADIENTS) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('outside', [False, True])
@pytest.mark.parametrize('name', OPTIMIZERS)
def test_a_rewound_optimizer_trains_as_a_fresh_one(name, outside):
    own, fresh = (optimizers.build(name, 0.01, epsilon_outside=outside) for _ in range(2))
    variable = tf.Variable(np.full(4, 3, np.float32))
    steps(own, variable, GRADIENTS[::-1])
    variable.assign(np.ones(4))
    rewound(own, variable, 500)
    expected = steps(fresh, tf.Variable(np.ones(4, np.float32)), GRADIENTS)
    assert np.array_equal(steps(own, variable, GRADIENTS), expected)
    assert int(own.iterations) == 506


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(UsageError, match=r"unknown optimizer 'adamw': choose one of adam, sgd, momentum, rmsprop\."):
        optimizers.build('adamw', 0.1, 0.9)


@pytest.mark.parametrize('name', OPTIONS)
def test_an_optimizer_reads_back_from_its_config(name):
    optimizer = optimizers.Adam(**{'learning_rate': 0.01, **OPTIONS[name]})
    again = tf_keras.optimizers.deserialize(tf_keras.optimizers.serialize(optimizer))
    assert type(again) is optimizers.Adam
    assert again.get_config() == optimizer.get_config()
    assert same(trained(again), trained(optimizer))


def to_step_8(model):
    model.optimizer.build(model.trainable_variables)
    inner = getattr(model.optimizer, 'inner_optimizer', model.optimizer)
    inner.iterations.assign(8)
    inner.moments_start.assign(8)


def go_on(model):
    inputs = np.random.default_rng(1).integers(0, 9, (12, 2))
    model.fit(inputs, np.arange(12.0), batch_size=4, epochs=2, shuffle=False, verbose=0)
    return model.get_weights()


def by_a_file(model, path):
    model.save(path)
    return tf_keras.models.load_model(path)


def by_a_checkpoint(model, path):
    place = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(path)
    again = tf_keras.models.clone_model(model)
    again.compile(tf_keras.optimizers.deserialize(tf_keras.optimizers.serialize(model.optimizer)), 'mse')
    tf.train.Checkpoint(model=again, optimizer=again.optimizer).restore(place)
    return again


@pytest.mark.parametrize(('name', 'how', 'policy'), [
    ('model.keras', by_a_file, 'float32'), ('model.keras', by_a_file, 'mixed_float16'),
    ('model.h5', by_a_file, 'float32'), ('model', by_a_checkpoint, 'float32'),
    ('model', by_a_checkpoint, 'mixed_float16')])
def test_resumed_after_rewinding_it_goes_on_in_the_same_bits(tmp_path, name, how, policy):
    model = fitted(optimizers.Adam(0.1, amsgrad=True), policy)
    to_step_8(model)
    again = how(model, str(tmp_path / name))
    assert type(getattr(again.optimizer, 'inner_optimizer', again.optimizer)) is optimizers.Adam
    assert same(go_on(again), go_on(model))


@pytest.mark.parametrize(('name', 'policy'), [('model', 'float32'), ('model.h5', 'mixed_float16')])
def test_where_keras_adam_starts_afresh_from_a_file_so_does_ours(tmp_path, name, policy):
    keras, ours = (go_on(by_a_file(fitted(kind(0.1), policy), str(tmp_path / kind.__module__ / name)))
                   for kind in (tf_keras.optimizers.Adam, optimizers.Adam))
    assert same(keras, ours)


def test_adam_remembers_squares_as_long_as_is_asked():
    assert [optimizers.build('adam', 0.1).beta_2, optimizers.build('adam', 0.1, beta_2=0.98).beta_2] == [0.999, 0.98]
