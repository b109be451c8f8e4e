"""Training from any ticket: resumed at any step it ends in the same bits, and however it is cut into blocks."""

import dataclasses
import math
import types

import fake_tasks
import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from fake_tasks import network
from hypothesis import strategies as st

from tf_lottery import steps
from tf_lottery.errors import Interrupted, UsageError
from tf_lottery.pruning import optimizer_state, wrapper
from tf_lottery.pruning.allocation import prune
from tf_lottery.pruning.updates import Gradual, Regrowth
from tf_lottery.runtime import storage
from tf_lottery.ticket import Mask, Ticket
from tf_lottery.training import callbacks
from tf_lottery.training.callbacks import Evaluation
from tf_lottery.training.checkpoints import Checkpoint
from tf_lottery.training.learning_rates import LearningRate
from tf_lottery.training.order import batch_indices
from tf_lottery.training.trainer import Seeds, Settings

SEEDS = Seeds(initialisation=0, order=1, augmentation=2)
SETTINGS = Settings(batch_size=60, optimizer='adam', learning_rate=0.01, momentum=0.9, evaluate_every=20,
                    checkpoint_every=15, block=8, jit=False)
END = 50
# Drops at the very steps that runs are rewound to below.
STEPS = LearningRate('steps', 0.1, END, milestones=(10, 22, 40), drop=0.5)
COSINE = LearningRate('cosine', 0.01, END, final_learning_rate=0.001, warmup_steps=30)


@pytest.fixture(scope='module')
def make(digits):
    """Trainers by what differs from SETTINGS, each built once."""
    made = {}

    def build(**changes):
        key = tuple(sorted(changes.items()))
        if key not in made:
            own = {'crop_pixels': 1, **{name: changes.pop(name) for name in ('crop_pixels', 'flip') if name in changes}}
            task = fake_tasks.Task(network, digits, **{f'data__{name}': value for name, value in own.items()})
            options = {name: changes.pop(name) for name in ('dense_gradients', 'freezes') if name in changes}
            made[key] = fake_tasks.trainer(task, dataclasses.replace(SETTINGS, **changes), tf.distribute.get_strategy(),
                                           **options)
        return made[key]

    return build


def half(trainer, step=0, fraction=0.5):
    """A ticket of half of a fresh network's weights."""
    weights, shapes = wrapper.get_weights(wrapper.prunable(network())), wrapper.get_mask(trainer.network)
    dense = Mask.ones({name: array.shape for name, array in shapes.items()})
    return Ticket(prune(dense, weights, dict.fromkeys(dense, fraction), 1), weights, step)


def use_otherwise(trainer):
    """Trains something else: other weights, moments, masks and step, as if the process were a new one."""
    trainer.train(half(trainer, fraction=0.1), Seeds(7, 8, 9), 8)


def same(one, two):
    return list(one) == list(two) and all(np.array_equal(one[name], two[name]) for name in one)


def interrupted(trainer, ticket, checkpoint, end, step):
    """Trains until it is told to stop at the first block that ends at `step` or later; returns where."""
    calls = []

    def stop():
        calls.append(int(trainer.model.optimizer.iterations))
        return Interrupted(15, 'stop') if calls[-1] >= step else None

    with pytest.raises(Interrupted):
        trainer.train(ticket, SEEDS, end, checkpoint=checkpoint, stop=stop)
    return calls[-1]


@pytest.mark.parametrize(('changes', 'stops'), [
    ({}, (13, 15, 20, 28, 38, 45, 50)), ({'jit': True}, (15, 28)),
    ({'optimizer': 'momentum', 'learning_rate': STEPS, 'weight_decay': 0.01}, (13, 38)),
    ({'optimizer': 'rmsprop', 'learning_rate': COSINE, 'weight_decay': 0.01, 'flip': True, 'jit': True}, (15, 28))],
                         ids=['adam', 'adam under XLA', 'momentum', 'rmsprop under XLA'])
def test_a_run_resumed_anywhere_ends_in_the_same_bits(tmp_path, make, changes, stops):
    trainer = make(**changes)
    ticket = half(trainer, step=5)
    whole = trainer.train(ticket, SEEDS, END)
    assert [row['step'] for row in whole.rows] == [20, 40, 50]
    ends = []
    # Blocks end at 13, 15, 20, 28, 30, 38, 40, 45 and 50: at evaluations, at checkpoints and between them.
    for step in stops:
        folder = tmp_path / str(step)
        ends.append(interrupted(trainer, ticket, Checkpoint(folder), END, step))
        assert Checkpoint(folder).load(trainer.state()).step == step
        use_otherwise(trainer)
        resumed = trainer.train(ticket, SEEDS, END, checkpoint=Checkpoint(folder))
        assert same(resumed.weights, whole.weights), step
        assert resumed.rows == whole.rows, step
        assert wrapper.get_mask(trainer.network) == ticket.mask
        assert not resumed.diverged
    assert ends == list(stops)


UPDATES = {
    'rigl': Regrowth((7, 20, 33), ('fc/kernel', 'output/kernel'), 0.4, 40),
    'set': Regrowth((7, 20, 33), ('fc/kernel',), 0.4, seed=3),
    'gradual': Gradual({7: {'fc/kernel': 700}, 20: {'fc/kernel': 300, 'output/kernel': 50}}, {}),
}


@pytest.mark.parametrize(('rule', 'jit'), [('rigl', False), ('rigl', True), ('set', False), ('gradual', False)])
def test_a_run_whose_mask_changes_is_resumed_to_the_same_bits(tmp_path, make, rule, jit):
    trainer, updates = make(dense_gradients=rule == 'rigl', jit=jit), UPDATES[rule]
    ticket = half(trainer)
    if rule == 'gradual':
        ticket = Ticket(Mask.ones({name: array.shape for name, array in ticket.mask.items()}), ticket.weights)
    whole = trainer.train(ticket, SEEDS, END, updates=updates)
    assert whole.mask != ticket.mask and whole.mask == wrapper.get_mask(trainer.network)
    for name, kept in whole.mask.items():
        assert not whole.weights[name][~kept].any()
        # What has grown has been trained.
        assert whole.weights[name][kept].all()
    # Right at an update, and where none is: 7, 8, 15, 20, 30, 33, 40 are ends of blocks.
    for step in (7, 20, 30):
        folder = tmp_path / str(step)

        def stop(step=step):
            return Interrupted(15, 'stop') if int(trainer.model.optimizer.iterations) >= step else None

        with pytest.raises(Interrupted):
            trainer.train(ticket, SEEDS, END, checkpoint=Checkpoint(folder), stop=stop, updates=updates)
        use_otherwise(trainer)
        resumed = trainer.train(ticket, SEEDS, END, checkpoint=Checkpoint(folder), updates=updates)
        assert same(resumed.weights, whole.weights) and resumed.rows == whole.rows and resumed.mask == whole.mask


def test_an_update_reads_the_dense_gradients_of_the_last_step(make, digits):
    """They are what a plain model has on that step's batch, at the weights that the step began with."""
    trainer = make(dense_gradients=True, crop_pixels=0, optimizer='sgd', learning_rate=0.1)
    ticket, seen = half(trainer), {}

    class Update:
        steps, reads_gradients = (7, 9), True

        def __call__(self, step, mask, weights, gradients):
            seen[step] = weights, gradients
            return mask

    trained = trainer.train(ticket, SEEDS, 10, updates=Update())
    assert same(trained.weights, make(crop_pixels=0, optimizer='sgd', learning_rate=0.1).train(
        ticket, SEEDS, 10).weights)
    # After step 8 comes step 9, and its batch is the eighth counted from 0.
    before = trainer.train(ticket, SEEDS, 8).weights
    model = network()
    for name, variable in wrapper.variables(model).items():
        variable.assign(before[name])
    indices = batch_indices(tf.constant(SEEDS.order), tf.constant(0), 10, len(digits.train), 60).numpy()[8]
    with tf.GradientTape() as tape:
        logits = model(digits.train.images[indices] / np.float32(16), training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(digits.train.labels[indices], logits))
    own = wrapper.variables(model)
    for name, gradient in seen[9][1].items():
        assert np.count_nonzero(gradient[~ticket.mask[name]]) > 50
    slopes = tape.gradient(loss, [own[name] for name in seen[9][1]])
    for (name, gradient), slope in zip(seen[9][1].items(), slopes, strict=True):
        assert gradient == pytest.approx(slope.numpy(), rel=1e-3, abs=1e-6), name
    assert sorted(seen) == [7, 9]


def test_momenta_of_what_is_dropped_do_not_come_back(make):
    trainer = make(optimizer='momentum', learning_rate=0.1)
    ticket = half(trainer)
    slots = []

    class Update:
        steps, reads_gradients = (5, 6), False

        def __call__(self, step, mask, weights, gradients):
            momentum, = optimizer_state.slots(
                trainer.model.optimizer, wrapper.prunable_variables(trainer.network)['fc/kernel'][1])
            slots.append(momentum.numpy())
            return Mask({**mask, 'fc/kernel': ticket.mask['fc/kernel'] & (step == 6)})

    trainer.train(ticket, SEEDS, 7, updates=Update())
    assert slots[0].any() and not slots[1].any()


def test_a_loss_that_is_no_number_ends_a_run_whose_mask_changes(make):
    trainer = make(optimizer='sgd', learning_rate=1e30)
    trained = trainer.train(half(trainer), SEEDS, END, updates=UPDATES['set'])
    assert trained.diverged and trained.mask.kept == half(trainer).mask.kept


def test_a_run_that_is_killed_goes_on_from_its_last_checkpoint(tmp_path, make):
    trainer = make()
    ticket = half(trainer)
    whole = trainer.train(ticket, SEEDS, END)
    reached = []

    def killed(step):
        reached.append(step)
        if len(reached) in (1, 4, 7):
            raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            trainer.train(ticket, SEEDS, END, checkpoint=Checkpoint(tmp_path), progress=killed)
        use_otherwise(trainer)
    resumed = trainer.train(ticket, SEEDS, END, checkpoint=Checkpoint(tmp_path))
    # Killed at 8 without a checkpoint, at 20 with one of step 15, at 30 with one of step 30.
    assert reached == [8] + [8, 15, 20] + [20, 28, 30]
    assert same(resumed.weights, whole.weights)
    assert resumed.rows == whole.rows


@pytest.mark.parametrize('block', [1, 1000])
def test_the_length_of_a_block_changes_nothing_that_is_trained(make, digits, block):
    trainer = make()
    # An epoch of 18 steps ends inside a block of 8.
    assert steps.per_epoch(len(digits.train), SETTINGS.batch_size) == 18
    whole = trainer.train(half(trainer), SEEDS, END)
    other = make(block=block)
    again = other.train(half(other), SEEDS, END)
    assert same(again.weights, whole.weights)
    for one, two in zip(whole.rows, again.rows, strict=True):
        assert two['train_loss'] == pytest.approx(one['train_loss'], rel=1e-6)
        assert {**two, 'train_loss': 0} == {**one, 'train_loss': 0}


@pytest.mark.parametrize(('changes', 'rates', 'momentum', 'decay'), [
    ({'optimizer': 'sgd', 'learning_rate': 0.1}, [0.1] * 30, 0, 0),
    ({'optimizer': 'momentum', 'learning_rate': STEPS, 'weight_decay': 0.05}, [0.1] * 10 + [0.05] * 12 + [0.025] * 8,
     0.9, 0.05)], ids=['sgd', 'momentum, steps and weight decay'])
def test_training_is_what_a_plain_loop_does(make, digits, changes, rates, momentum, decay):
    trainer = make(crop_pixels=0, **changes)
    ticket = half(trainer)
    trained = trainer.train(ticket, SEEDS, 30)
    model = network()
    own = wrapper.variables(model)
    for name, value in ticket.start.items():
        own[name].assign(value)
    losses, velocities = [], [np.zeros(variable.shape, np.float32) for variable in model.trainable_variables]
    batches = batch_indices(tf.constant(SEEDS.order), tf.constant(0), 30, len(digits.train), 60).numpy()
    for indices, rate in zip(batches, rates, strict=True):
        with tf.GradientTape() as tape:
            logits = model(digits.train.images[indices] / np.float32(16), training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(digits.train.labels[indices], logits))
        losses.append(float(loss))
        gradients = tape.gradient(loss, model.trainable_variables)
        for number, (variable, gradient) in enumerate(zip(model.trainable_variables, gradients, strict=True)):
            if 'kernel' in variable.name:
                gradient += decay * variable
            velocities[number] = momentum * velocities[number] - rate * gradient
            variable.assign_add(velocities[number])
        for name, kept in ticket.mask.items():
            own[name].assign(own[name] * kept)
    for name, value in wrapper.get_weights(model).items():
        assert trained.weights[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name
    # The training loss of a row is the mean since the row before.
    assert [row['train_loss'] for row in trained.rows] == pytest.approx(
        [np.mean(losses[:20]), np.mean(losses[20:])], rel=1e-4)
    predicted = model(digits.test.images / np.float32(16)).numpy().argmax(1)
    assert trained.rows[-1]['test_accuracy'] == np.mean(predicted == digits.test.labels)


def test_pruned_weights_stay_zero_and_rows_hold_every_column(make):
    trainer = make()
    ticket = half(trainer)
    trained = trainer.train(ticket, SEEDS, END)
    for name, kept in ticket.mask.items():
        assert not trained.weights[name][~kept].any()
        assert (trained.weights[name][kept] != ticket.weights[name][kept]).mean() > 0.5
    assert wrapper.get_mask(trainer.network) == ticket.mask
    assert all(list(row) == ['step', 'train_loss', 'validation_loss', 'validation_accuracy', 'test_loss',
                             'test_accuracy'] for row in trained.rows)
    assert trained.rows[-1]['validation_accuracy'] > trained.rows[0]['validation_accuracy']
    assert list(trained.weights) == [
        'fc/kernel', 'norm/gamma', 'norm/beta', 'norm/moving_mean', 'norm/moving_variance', 'output/kernel',
        'output/bias']


def test_weight_decay_is_on_kernels_only(make):
    plain, decayed = (make(optimizer='momentum', learning_rate=0.1, weight_decay=decay) for decay in (0.0, 0.5))
    ticket = half(plain)
    without, own = (trainer.train(ticket, SEEDS, 1).weights for trainer in (plain, decayed))
    for name, value in without.items():
        if name.endswith('/kernel'):
            assert own[name] == pytest.approx(value - 0.1 * 0.5 * ticket.start[name], rel=1e-5, abs=1e-7)
        else:
            assert np.array_equal(own[name], value), name


def test_weight_decay_goes_through_the_optimizer(make):
    # So large that the loss does not count: Adam's first step is its learning rate, towards zero.
    trainer = make(weight_decay=1e6)
    ticket = half(trainer)
    weights = trainer.train(ticket, SEEDS, 1).weights
    for name in ticket.mask:
        start = ticket.start[name]
        assert weights[name] == pytest.approx(start - 0.01 * np.sign(start), abs=1e-6)


@pytest.mark.parametrize('changes', [
    {}, {'optimizer': 'momentum', 'learning_rate': STEPS, 'weight_decay': 0.01},
    {'optimizer': 'rmsprop', 'weight_decay': 0.01}], ids=['adam', 'momentum', 'rmsprop'])
@hypothesis.settings(max_examples=8)
@hypothesis.given(seed=st.integers(0, 2**31 - 1), density=st.floats(0.02, 0.98), step=st.integers(0, END))
def test_no_optimizer_moves_a_pruned_weight(make, changes, seed, density, step):
    trainer, rng = make(**changes), np.random.default_rng(seed)
    weights = wrapper.get_weights(trainer.network)
    mask = Mask({name: rng.random(value.shape) < density for name, value in wrapper.get_mask(trainer.network).items()})
    trained = trainer.train(Ticket(mask, weights, step), Seeds(0, seed, seed), step + 9)
    for name, kept in mask.items():
        assert not trained.weights[name][~kept].any(), name


@pytest.mark.parametrize('rate', [0.1, STEPS, COSINE], ids=['constant', 'steps', 'cosine after a warm-up'])
def test_a_run_from_step_k_goes_on_with_the_data_and_the_rate_of_step_k(make, rate):
    # Plain SGD has no memory but its weights: going on from W_k is the uninterrupted run.
    trainer = make(optimizer='sgd', learning_rate=rate)
    ticket, kept = half(trainer), []
    whole = trainer.train(ticket, SEEDS, END, keep_at=[22], keep=lambda step, weights, _: kept.append(weights))
    (weights,) = kept
    assert not same(weights, whole.weights)
    assert same(weights, trainer.train(ticket, SEEDS, 22).weights)
    assert same(trainer.train(Ticket(ticket.mask, weights, 22), SEEDS, END).weights, whole.weights)
    assert not same(trainer.train(Ticket(ticket.mask, weights, 23), SEEDS, END).weights, whole.weights)


def test_past_the_end_training_goes_on_at_the_last_rate(make):
    scheduled, constant = (make(optimizer='sgd', learning_rate=rate) for rate in (STEPS, 0.0125))
    ticket = half(scheduled, step=END)
    assert same(*(trainer.train(ticket, SEEDS, END + 10).weights for trainer in (scheduled, constant)))


@pytest.mark.parametrize('seeds', [dataclasses.replace(SEEDS, order=5), dataclasses.replace(SEEDS, augmentation=5)])
def test_order_and_augmentation_have_their_own_seeds(make, seeds):
    trainer = make()
    assert not same(trainer.train(half(trainer), seeds, 15).weights, trainer.train(half(trainer), SEEDS, 15).weights)


def test_weights_are_kept_at_the_very_start_too_and_again_after_a_kill(tmp_path, make):
    trainer = make()
    ticket, kept = half(trainer), []

    def keep(step, weights, state):
        kept.append(weights)

    trainer.train(ticket, SEEDS, 10, keep_at=[0], keep=keep)
    assert same(kept[0], ticket.start)
    # Stopped at the very step to keep, before what is kept may have been written.
    interrupted(trainer, ticket, Checkpoint(tmp_path), 40, 15)
    trainer.train(ticket, SEEDS, 40, keep_at=[15], keep=keep, checkpoint=Checkpoint(tmp_path))
    trainer.train(ticket, SEEDS, 15, keep_at=[15], keep=keep)
    assert len(kept) == 3
    assert same(kept[1], kept[2])


def test_keeping_weights_does_not_change_the_training(make):
    trainer = make()
    whole = trainer.train(half(trainer), SEEDS, END)
    kept = trainer.train(half(trainer), SEEDS, END, keep_at=[17, 23], keep=lambda step, weights, state: None)
    assert same(whole.weights, kept.weights)


def test_nothing_of_an_interrupted_run_is_in_the_next(tmp_path, make):
    trainer = make()
    ticket = half(trainer)
    first = trainer.train(ticket, SEEDS, 20)
    interrupted(trainer, ticket, Checkpoint(tmp_path), END, 28)
    second = trainer.train(ticket, SEEDS, 20)
    assert same(first.weights, second.weights)
    assert first.rows == second.rows


def test_a_run_that_diverges_stops_and_says_so(tmp_path, make):
    # A checkpoint would be due at the very step that the loss is not a number at.
    trainer = make(learning_rate=1e30, optimizer='sgd', checkpoint_every=8)
    trained = trainer.train(half(trainer), SEEDS, END, checkpoint=Checkpoint(tmp_path))
    assert trained.diverged
    assert [row['step'] for row in trained.rows] == [8]
    assert not all(math.isfinite(trained.rows[-1][name]) for name in ('train_loss', 'validation_loss'))
    # Nothing goes on from weights that are not numbers.
    assert storage.list_folder(tmp_path) == []
    # Nothing of it is left when the same trainer trains again.
    assert repr(trainer.train(half(trainer), SEEDS, END).rows) == repr(trained.rows)


@pytest.mark.parametrize(('losses', 'diverged'), [
    ((1.0, 1.0, 1.0), False), ((math.nan, 1.0, 1.0), True), ((1.0, math.inf, 1.0), True),
    ((1.0, 1.0, math.nan), False)])
def test_a_run_has_diverged_by_its_training_or_its_validation_loss(losses, diverged):
    train, validation, test = losses
    rows, mean = [], tf_keras.metrics.Mean()
    mean.update_state(train)
    evaluation = Evaluation(types.SimpleNamespace(
        settings=SETTINGS, strategy=tf.distribute.get_strategy(), model=types.SimpleNamespace(mean_loss=mean),
        evaluate=lambda ends: {'validation_loss': validation, 'test_loss': test}), rows, END)
    evaluation.set_model(types.SimpleNamespace(stop_training=False))
    evaluation.at_step(20, {'loss': train})
    assert [row['step'] for row in rows] == [20]
    assert evaluation.diverged is evaluation.model.stop_training is diverged


def test_a_worker_leaves_the_others_at_an_evaluation_only(monkeypatch):
    """The losses that a worker sees between evaluations are its own, and it must not stop or evaluate alone."""
    monkeypatch.setattr(callbacks, 'has_workers', lambda strategy: True)
    evaluation = Evaluation(types.SimpleNamespace(settings=SETTINGS, strategy=None), rows := [], END)
    evaluation.at_step(19, {'loss': math.nan})
    assert rows == [] and not evaluation.diverged
    # At an evaluation it asks the model for the mean loss over all workers.
    with pytest.raises(AttributeError, match='model'):
        evaluation.at_step(20, {'loss': 1.0})


def test_progress_is_where_each_block_ends(make):
    trainer, reached = make(), []
    trainer.train(half(trainer, step=3), SEEDS, 33, progress=reached.append)
    assert reached == [11, 15, 20, 28, 30, 33]


def test_a_run_must_not_start_past_its_end(make):
    trainer = make()
    with pytest.raises(UsageError, match='a run cannot start at step 21 and end at step 20'):
        trainer.train(half(trainer, 21), SEEDS, 20)


def test_a_run_that_starts_at_its_end_is_evaluated_and_not_trained(make):
    trainer = make()
    use_otherwise(trainer)
    ticket = half(trainer)
    trained = trainer.train(ticket, SEEDS, 0)
    assert same(trained.weights, ticket.start)
    (row,) = trained.rows
    assert row['step'] == 0 and math.isnan(row['train_loss']) and not trained.diverged
    assert {name: row[name] for name in list(row)[2:]} == trainer.evaluate()
    assert list(row) == ['step', 'train_loss', 'validation_loss', 'validation_accuracy', 'test_loss', 'test_accuracy']
    with pytest.raises(Interrupted):
        trainer.train(ticket, SEEDS, 0, stop=lambda: Interrupted(15, 'stop'))


@pytest.mark.parametrize('stop', [13, 38])
def test_a_run_with_frozen_weights_is_resumed_to_the_same_bits(tmp_path, make, stop):
    changes = {'optimizer': 'momentum', 'learning_rate': STEPS, 'weight_decay': 0.01}
    trainer = make(freezes=True, **changes)
    plain = half(trainer)
    ticket = dataclasses.replace(plain, frozen={name: np.full_like(plain.weights[name], 0.1) for name in plain.mask})
    whole = trainer.train(ticket, SEEDS, END)
    for name, kept in ticket.mask.items():
        assert np.array_equal(whole.weights[name][~kept], np.full((~kept).sum(), 0.1, np.float32))
    interrupted(trainer, ticket, Checkpoint(tmp_path), END, stop)
    use_otherwise(trainer)
    assert same(trainer.train(ticket, SEEDS, END, checkpoint=Checkpoint(tmp_path)).weights, whole.weights)
    # Room for what other tickets freeze changes no bit of one whose pruned weights are zero.
    assert same(trainer.train(plain, SEEDS, END).weights, make(**changes).train(plain, SEEDS, END).weights)
