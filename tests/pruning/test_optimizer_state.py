"""What belongs to a weight in an optimizer, and what an optimizer goes back to."""

import inspect

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import strategies

import tf_lottery
from tf_lottery.errors import UsageError
from tf_lottery.pruning import optimizer_state

optimizers = tf_keras.optimizers
LossScale = tf_keras.mixed_precision.LossScaleOptimizer


class Accumulating(optimizers.SGD):
    """Applies the mean of every two gradients."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.calls = tf.Variable(0, trainable=False)

    def build(self, variables):
        super().build(variables)
        if not hasattr(self, 'sums'):
            self.sums = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in variables]

    def apply_gradients(self, pairs, **options):
        pairs = list(pairs)
        self.build([variable for _, variable in pairs])
        for gradient, variable in pairs:
            self.sums[self._index_dict[self._var_key(variable)]].assign_add(gradient)
        if int(self.calls.assign_add(1)) % 2 == 0:
            own = [self.sums[self._index_dict[self._var_key(variable)]] for _, variable in pairs]
            super().apply_gradients([(total / 2, variable) for total, (_, variable) in zip(own, pairs, strict=True)])
            for total in own:
                total.assign(tf.zeros_like(total))


def classes(module):
    kinds = {kind for _, kind in inspect.getmembers(module, inspect.isclass)
             if issubclass(kind, optimizer_state.OPTIMIZERS)}
    # Adafactor is refused.
    return sorted(kinds - {optimizers.Optimizer, optimizers.legacy.Optimizer, optimizers.Adafactor},
                  key=lambda kind: kind.__name__)


MAKERS = {
    **{kind.__name__: kind for kind in classes(optimizers)},
    **{f'legacy {kind.__name__}': kind for kind in classes(optimizers.legacy)},
    'ours': lambda: tf_lottery.Adam(amsgrad=True),
    'momentum': lambda: optimizers.SGD(momentum=0.9),
    'centred': lambda: optimizers.RMSprop(momentum=0.9, centered=True),
    'averages': lambda: optimizers.Adam(use_ema=True),
    'loss scale': lambda: LossScale(optimizers.Adam()),
    'loss scale, legacy': lambda: LossScale(optimizers.legacy.Adam()),
    'accumulating': lambda: Accumulating(0.1, momentum=0.9),
}


def variables(number):
    """Trainable variables of equal shapes, so that nothing but their order tells them apart."""
    return [tf.Variable(np.full((2, 3), place + 1, np.float32)) for place in range(number)]


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(strategies.sampled_from(sorted(MAKERS)), strategies.integers(1, 9), strategies.data())
def test_what_moves_with_a_weight_belongs_to_it(name, number, data):
    weights, optimizer = variables(number), MAKERS[name]()
    optimizer_state.build(optimizer, weights)
    place = data.draw(strategies.integers(0, number - 1))
    before = {path: variable.numpy() for path, variable in optimizer_state._variables(optimizer).items()}
    optimizer.apply_gradients([(tf.ones([2, 3]), weights[place])])
    moved = {id(variable) for path, variable in optimizer_state._variables(optimizer).items()
             if variable.shape == (2, 3) and not np.array_equal(variable, before[path])}
    for other, weight in enumerate(weights):
        own = {id(variable) for variable in optimizer_state.slots(optimizer, weight)}
        assert moved <= own if other == place else not moved & own


@pytest.mark.parametrize('name', MAKERS)
def test_an_optimizer_goes_back_to_what_it_held(name):
    weights, optimizer = variables(3), MAKERS[name]()
    optimizer_state.build(optimizer, weights)
    held = optimizer_state.state(optimizer, weights)
    before = {path: variable.numpy() for path, variable in optimizer_state._variables(optimizer).items()}
    start = [weight.numpy() for weight in weights]
    for step in range(3):
        optimizer.apply_gradients([(tf.fill([2, 3], step + 1.0), weight) for weight in weights])
    optimizer.learning_rate = 0.123
    for weight, value in zip(weights, start, strict=True):
        weight.assign(value)
    optimizer_state.reset(optimizer, weights, held)
    for path, variable in optimizer_state._variables(optimizer).items():
        assert np.array_equal(variable, before[path]), path
    optimizer_state.reset(optimizer, weights, held, step=5)
    assert int(optimizer.iterations) == 5


@pytest.mark.parametrize('name', MAKERS)
def test_a_fresh_state_is_that_of_a_new_optimizer(name):
    weights, optimizer = variables(2), MAKERS[name]()
    if name == 'accumulating':
        optimizer.get_config = lambda: {'learning_rate': 0.1, 'momentum': 0.9}
    new = MAKERS[name]()
    optimizer_state.build(new, weights)
    expected = {path: variable.numpy() for path, variable in optimizer_state._variables(new).items()}
    for _ in range(2):
        optimizer.apply_gradients([(tf.ones([2, 3]), weight) for weight in weights])
    for weight, value in zip(weights, (1, 2), strict=True):
        weight.assign(np.full((2, 3), value))
    optimizer_state.reset(optimizer, weights, optimizer_state.fresh_state(optimizer, weights), step=0)
    for path, variable in optimizer_state._variables(optimizer).items():
        assert np.array_equal(variable, expected[path]), path


def test_averages_start_from_the_weights_as_they_then_are():
    weights, optimizer = [tf.Variable([1.0, 2.0]), tf.Variable([0.0])], optimizers.SGD(0.1, momentum=0.9, use_ema=True)
    optimizer.build(weights)
    held = optimizer_state.state(optimizer, weights)
    for weight, value in zip(weights, ([5.0, 0.0], [7.0]), strict=True):
        weight.assign(value)
    optimizer_state.reset(optimizer, weights, held)
    assert [average.numpy().tolist() for average in optimizer._model_variables_moving_average] == [[5, 0], [7]]
    assert [momentum.numpy().tolist() for momentum in optimizer.momentums] == [[0, 0], [0]]


def test_what_belongs_to_weights_of_another_model_stays():
    own, other = variables(1), variables(1)
    optimizer = optimizers.SGD(0.1, momentum=0.9)
    optimizer.build([*other, *own])
    held = optimizer_state.state(optimizer, own)
    optimizer.apply_gradients([(tf.ones([2, 3]), weight) for weight in (*other, *own)])
    before, moved = optimizer.momentums[0].numpy(), other[0].numpy()
    optimizer_state.reset(optimizer, own, held)
    assert np.array_equal(optimizer.momentums[0], before)
    assert np.array_equal(other[0], moved)
    assert not np.any(optimizer.momentums[1])


def test_an_optimizer_that_cannot_be_made_anew_is_told_of():
    class Named(optimizers.SGD):
        def __init__(self, rate, extra):
            super().__init__(rate)

    with pytest.raises(UsageError, match=r'Named cannot be started anew.*define get_config\(\)'):
        optimizer_state.fresh_state(Named(0.1, 2), variables(1))


@pytest.mark.parametrize('make', [optimizers.SGD, optimizers.legacy.SGD])
def test_a_schedule_that_has_no_config_goes_along(make):
    class Halving(optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.5 ** tf.cast(step, tf.float32)

    weight, optimizer = tf.Variable(0.0), make(Halving())
    for _ in range(3):
        optimizer.apply_gradients([(tf.constant(1.0), weight)])
    assert float(weight) == -1.75
    optimizer_state.reset(optimizer, [weight], optimizer_state.fresh_state(optimizer, [weight]), step=1)
    weight.assign(0.0)
    optimizer.apply_gradients([(tf.constant(1.0), weight)])
    assert float(weight) == -0.5


def test_a_schedule_under_a_loss_scale_goes_along():
    class Halving(optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.5 ** tf.cast(step, tf.float32)

    weight, optimizer = tf.Variable([0.0]), LossScale(optimizers.SGD(Halving()), dynamic=False, initial_scale=2)
    optimizer.minimize(lambda: weight[0], [weight])
    assert weight.numpy().tolist() == [-1]
    optimizer_state.reset(optimizer, [weight], optimizer_state.fresh_state(optimizer, [weight]), step=1)
    weight.assign([0.0])
    optimizer.minimize(lambda: weight[0], [weight])
    assert weight.numpy().tolist() == [-0.5]
