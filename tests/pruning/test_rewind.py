"""Rewinding: every variable, the mask, the optimizer and its step count are back, and it fails where they are not."""

import numpy as np
import pytest
import tf_keras
from absl import logging

from tf_lottery.errors import UsageError
from tf_lottery.pruning import rewind as rewinding
from tf_lottery.pruning import wrapper
from tf_lottery.pruning.allocation import prune
from tf_lottery.ticket import Mask, Ticket
from tf_lottery.training.optimizers import Adam

IMAGES = np.random.default_rng(0).normal(2, 3, size=(32, 6)).astype(np.float32)
LABELS = np.arange(32) % 3


def network(seed=1):
    tf_keras.utils.set_random_seed(seed)
    return wrapper.prunable(tf_keras.Sequential([
        tf_keras.layers.Dense(8, input_shape=(6,), name='fc'), tf_keras.layers.BatchNormalization(name='norm'),
        tf_keras.layers.ReLU(name='relu'), tf_keras.layers.Dense(3, name='output')]))


def compiled(optimizer=None, **options):
    model = network()
    model.compile(optimizer or Adam(0.01, jit_compile=False),
                  tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False, **options)
    return model


def fit(model, steps, callbacks=()):
    model.fit(IMAGES[:8 * steps], LABELS[:8 * steps], batch_size=8, shuffle=False, verbose=0, callbacks=list(callbacks))


def ticket_of(model, step):
    """A ticket at half of the weights as the model holds them."""
    weights, dense = wrapper.get_weights(model), wrapper.get_mask(model)
    return Ticket(prune(dense, weights, dict.fromkeys(dense, 0.5), 1), weights, step)


class AsTrainingBegins(tf_keras.callbacks.Callback):
    """What `fit` starts from, as a callback after the rewinding one sees it."""

    def on_train_begin(self, logs=None):
        self.weights = wrapper.get_weights(self.model)
        self.optimizer = [variable.numpy() for variable in self.model.optimizer.variables]
        self.iterations = int(self.model.optimizer.iterations)


@pytest.mark.parametrize('optimizer', [
    lambda: Adam(0.01, jit_compile=False),
    lambda: tf_keras.optimizers.SGD(0.01, momentum=0.9, jit_compile=False),
    lambda: tf_keras.optimizers.Adagrad(0.01, initial_accumulator_value=0.3, jit_compile=False)])
def test_everything_is_back_when_training_begins(optimizer):
    model = compiled(optimizer())
    fit(model, 2)
    ticket = ticket_of(model, step=2)
    fresh = optimizer()
    fresh.build(model.trainable_variables)
    fit(model, 4)
    trained = wrapper.get_weights(model)
    assert np.any(trained['norm/moving_mean'] != ticket.weights['norm/moving_mean'])

    seen = AsTrainingBegins()
    fit(model, 1, [rewinding.RewindCallback(ticket), seen])
    assert list(seen.weights) == [
        'fc/kernel', 'fc/bias', 'norm/gamma', 'norm/beta', 'norm/moving_mean', 'norm/moving_variance',
        'output/kernel', 'output/bias']
    for name, value in ticket.weights.items():
        expected = np.where(ticket.mask[name], value, 0) if name in ticket.mask else value
        assert np.array_equal(seen.weights[name], expected), name
    assert wrapper.get_mask(model) == ticket.mask
    assert seen.iterations == 2
    counts = [id(model.optimizer.iterations), id(getattr(model.optimizer, 'moments_start', None))]
    for variable, value, start in zip(model.optimizer.variables, seen.optimizer, fresh.variables, strict=True):
        if id(variable) not in counts:
            assert np.array_equal(value, start.numpy()), variable.name
    assert int(model.optimizer.iterations) == 3


def test_training_from_a_ticket_repeats_itself():
    model = compiled()
    ticket = ticket_of(model, step=5)
    ends = []
    for _ in range(2):
        fit(model, 3, [rewinding.RewindCallback(ticket)])
        ends.append(wrapper.get_weights(model))
    for name in ends[0]:
        assert np.array_equal(ends[0][name], ends[1][name])


def test_one_callback_rewinds_once():
    model = compiled()
    callback = rewinding.RewindCallback(ticket_of(model, step=5))
    fit(model, 2, [callback])
    after = wrapper.get_weights(model)
    seen = AsTrainingBegins()
    fit(model, 1, [callback, seen])
    assert seen.iterations == 7
    assert np.array_equal(seen.weights['fc/kernel'], after['fc/kernel'])


def test_the_learning_rate_schedule_goes_on_from_the_rewinding_step():
    # Steps 0 to 3 at 0.5, later ones at 0: Keras changes the rate after the boundary.
    schedule = tf_keras.optimizers.schedules.PiecewiseConstantDecay([3], [0.5, 0.0])
    model = compiled(tf_keras.optimizers.SGD(schedule, jit_compile=False))
    first = ticket_of(model, step=0)

    def moved(step, steps):
        fit(model, steps, [rewinding.RewindCallback(Ticket(first.mask, first.weights, step))])
        return np.abs(wrapper.get_weights(model)['fc/kernel'] - first.start['fc/kernel']).max()

    assert moved(4, 3) == 0
    one_step = moved(3, 1)
    assert one_step > 0
    assert moved(3, 3) == one_step
    assert moved(2, 3) != one_step
    assert moved(0, 1) == one_step


@pytest.mark.parametrize(('name', 'change', 'found'), [
    ('fc/kernel', lambda value: value + 0.25, r'= 0\.25 at step 4'),
    ('norm/moving_variance', lambda value: value * np.nan, '= inf at step 4')])
def test_a_variable_that_does_not_hold_is_an_error(monkeypatch, name, change, found):
    model = compiled()
    ticket = ticket_of(model, step=4)
    variable = wrapper.variables(model)[name]
    assign = variable.assign
    with monkeypatch.context() as patch:
        patch.setattr(variable, 'assign', lambda value: assign(change(value)))
        with pytest.raises(RuntimeError, match=rf'rewinding failed: max\|w - mask\*W_k\| {found}'):
            rewinding.rewind(model, ticket)
    rewinding.rewind(model, ticket)


def test_the_proof_is_logged(caplog, monkeypatch):
    monkeypatch.setattr(logging.get_absl_logger(), 'level', 0)
    model = compiled()
    with caplog.at_level('INFO', logger='absl'):
        rewinding.rewind(model, ticket_of(model, step=4))
    assert 'Rewound to step 4 at density 50.00 %: max|w - mask*W_k| = 0.' in caplog.text


def test_a_ticket_of_another_model_is_refused():
    model = compiled()
    ticket = ticket_of(model, step=0)
    weights = {name: value for name, value in ticket.weights.items() if name != 'norm/beta'}
    with pytest.raises(UsageError, match="the ticket is of another model: 'norm/beta' is in one of them only"):
        rewinding.rewind(model, Ticket(ticket.mask, weights, 0))
    with pytest.raises(UsageError, match='the mask is over'):
        rewinding.rewind(model, Ticket(Mask({'fc/kernel': ticket.mask['fc/kernel']}), ticket.weights, 0))


def test_what_cannot_be_rewound_is_refused():
    class Own:
        pass

    model = compiled()
    with pytest.raises(UsageError, match='Own is not an optimizer that can be rewound: compile'):
        rewinding.rewind(model, ticket_of(model, step=0), Own())
    with pytest.raises(UsageError, match='Adafactor divides 0 by 0 where a row and a column of a weight are pruned'):
        rewinding.rewind(model, ticket_of(model, step=0), tf_keras.optimizers.Adafactor())


@pytest.mark.parametrize(('optimizer', 'step', 'warns'), [
    (tf_keras.optimizers.Adam, 3, True), (tf_keras.optimizers.Nadam, 3, True), (tf_keras.optimizers.Adam, 0, False),
    (Adam, 3, False), (tf_keras.optimizers.SGD, 3, False), (tf_keras.optimizers.Lion, 3, False),
    (tf_keras.optimizers.AdamW, 3, True)])
def test_an_optimizer_that_misjudges_the_age_of_its_moments_is_warned_of(caplog, optimizer, step, warns):
    model = compiled(optimizer(jit_compile=False))
    rewinding.rewind(model, ticket_of(model, step), model.optimizer)
    expected = f'{optimizer.__name__} corrects the bias of its fresh moments as if they were 3 steps old'
    assert (expected in caplog.text) == warns
    assert ('compile with tf_lottery.Adam instead' in caplog.text) == warns


@pytest.mark.parametrize('optimizer', [
    lambda: Adam(0.01, jit_compile=False), lambda: tf_keras.optimizers.SGD(0.1, momentum=0.9, jit_compile=False),
    lambda: tf_keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=1, jit_compile=False)])
def test_frozen_weights_count_in_the_forward_pass_and_no_update_moves_them(optimizer, monkeypatch):
    said = []
    monkeypatch.setattr(logging, 'info', lambda text, *values: said.append(text % values))
    model = network()
    wrapper.let_freeze(model)
    model.compile(optimizer(), tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    weights = wrapper.get_weights(model)
    # As the dense network computes, for all weights are what they were.
    outputs = model(IMAGES).numpy()
    plain = ticket_of(model, 0)
    frozen = {name: weights[name] for name in plain.mask}
    ticket = Ticket(plain.mask, weights, 0, frozen)
    rewinding.rewind(model, ticket, model.optimizer)
    assert said[-1].endswith('max|w - mask*W_k - (1-mask)*frozen| = 0.')
    assert np.array_equal(model(IMAGES).numpy(), outputs)
    fit(model, 3, [rewinding.RewindCallback(ticket)])
    for name, kept in ticket.mask.items():
        trained = wrapper.get_weights(model)[name]
        assert np.array_equal(trained[~kept], weights[name][~kept])
        assert np.mean(trained[kept] != weights[name][kept]) > 0.9
    # The next ticket of the same network has zeros.
    rewinding.rewind(model, plain, model.optimizer)
    fit(model, 1)
    assert not any(wrapper.get_weights(model)[name][~kept].any() for name, kept in plain.mask.items())


def test_frozen_weights_need_their_room_before_training():
    model = compiled()
    ticket = ticket_of(model, 0)
    with pytest.raises(UsageError, match=r'frozen at other values than zero: call .*let_freeze\(model\) before'):
        rewinding.rewind(model, Ticket(ticket.mask, ticket.weights, 0, ticket.weights))
