"""Masks that are learned: which weights they keep, what the gradient is, and that the weights stay."""

import dataclasses
import functools

import fake_tasks
import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from fake_tasks import network
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tf_lottery.errors import Interrupted
from tf_lottery.pruning import allocation, wrapper
from tf_lottery.ticket import Mask, Ticket
from tf_lottery.training.checkpoints import Checkpoint
from tf_lottery.training.learned_masks import EdgePopup, Start, Supermask, highest
from tf_lottery.training.trainer import Seeds, Settings

SEEDS = Seeds(initialisation=0, order=1, augmentation=2)
SETTINGS = Settings(batch_size=60, optimizer='momentum', learning_rate=1.0, momentum=0.9, evaluate_every=20,
                    checkpoint_every=15, block=8, jit=False, weight_decay=1e-3)
COUNTS = {'fc/kernel': 256, 'output/kernel': 30}


@pytest.mark.parametrize('jit', [False, True])
@hypothesis.settings(max_examples=40)
@hypothesis.given(values=arrays.arrays(np.float32, 24, elements=st.sampled_from(
    [0, 1e-40, 1e-30, 0.1, 0.10000001, 1, 2, 1e30])), count=st.integers(1, 24))
def test_the_highest_are_those_of_a_sort_and_what_is_equal_to_them(jit, values, count):
    found = _compiled(jit)(values, np.int32(count)).numpy()
    assert np.array_equal(found, values >= np.sort(values)[-count])


@functools.cache
def _compiled(jit):
    return tf.function(highest, jit_compile=jit, input_signature=[
        tf.TensorSpec([24], tf.float32), tf.TensorSpec([], tf.int32)])


def learned(rule, density=0.5, rescales=False, counts=COUNTS):
    model = wrapper.prunable(network())
    found = rule(model)
    found.begin(Start(density, counts, 5, rescales), anew=True)
    return model, found


def test_edge_popup_keeps_the_scores_of_largest_magnitude_and_passes_the_gradient_straight_through():
    model, mask = learned(EdgePopup)
    score = mask.scores['output/kernel']
    bound = 1 / np.sqrt(12)
    assert np.abs(score).max() < bound and np.std(score) == pytest.approx(bound / np.sqrt(3), rel=0.2)
    inputs = np.random.default_rng(0).random((5, 8, 8, 1), np.float32)
    weights, kept = mask.result()
    assert {name: int(array.sum()) for name, array in kept.items()} == COUNTS
    for name, array in kept.items():
        expected = allocation.top(np.abs(mask.scores[name].numpy()).ravel(), COUNTS[name])
        assert np.array_equal(array.ravel(), expected)
        assert np.array_equal(weights[name], np.where(array, wrapper.get_weights(model)[name], 0))
    # The network runs on these weights.
    plain = network()
    for name, variable in wrapper.variables(plain).items():
        variable.assign(weights[name])
    kernel = wrapper.variables(plain)['output/kernel']
    with tf.GradientTape() as tape:
        outputs = model(inputs)
        loss = tf.reduce_sum(outputs**2)
    assert outputs.numpy() == pytest.approx(plain(inputs).numpy(), rel=1e-5)
    slope = tape.gradient(loss, score).numpy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(plain(inputs)**2)
    # d loss / d score = d loss / d (effective weight) * weight * sign(score), of those that are left out, too.
    weight = wrapper.get_weights(model)['output/kernel']
    assert slope == pytest.approx(tape.gradient(loss, kernel).numpy() * weight * np.sign(score), rel=1e-4, abs=1e-6)
    assert np.count_nonzero(slope[~kept['output/kernel']]) > 40


def test_a_supermask_is_drawn_by_the_scores_and_the_step():
    _, mask = learned(Supermask, density=0.25)
    assert np.allclose(mask.scores['fc/kernel'], np.log(1 / 3))
    _, first = mask.result()
    assert first['fc/kernel'].mean() == pytest.approx(0.25, abs=0.06)
    assert mask.result()[1] == first
    mask.scores['output/kernel'].assign(100 * np.ones((12, 10)))
    mask.scores['fc/kernel'].assign(-100 * np.ones((64, 12)))
    _, sure = mask.result()
    assert sure['output/kernel'].all() and not sure['fc/kernel'].any()
    steps = {}
    for step in (0, 1):
        _, mask = learned(Supermask)
        mask.step = tf.constant(step, tf.int64)
        steps[step] = mask.result()[1]
    assert steps[0] != steps[1]


def test_what_is_kept_is_rescaled_to_the_size_of_its_layer():
    model, mask = learned(Supermask, density=0.3, rescales=True, counts={'fc/kernel': 1})
    weights, kept = mask.result()
    factor = kept['fc/kernel'].size / kept['fc/kernel'].sum()
    assert factor > 2
    before = wrapper.get_weights(model)
    assert weights['fc/kernel'] == pytest.approx(before['fc/kernel'] * kept['fc/kernel'] * factor, rel=1e-6)
    # A weight that is never pruned has no score that counts.
    assert kept['output/kernel'].all() and np.array_equal(weights['output/kernel'], before['output/kernel'])


@pytest.fixture(scope='module')
def make(digits):
    made = {}

    def build(rule, **changes):
        key = rule, *changes.items()
        if key not in made:
            made[key] = fake_tasks.trainer(fake_tasks.Task(network, digits), dataclasses.replace(SETTINGS, **changes),
                                           tf.distribute.get_strategy(), learns=rule)
        return made[key]

    return build


@pytest.mark.parametrize(('rule', 'changes'), [
    (EdgePopup, {}), (EdgePopup, {'jit': True}), (Supermask, {'learning_rate': 100.0, 'weight_decay': 0.0})])
def test_learning_is_resumed_to_the_same_bits_and_leaves_the_weights(tmp_path, make, rule, changes):
    trainer = make(rule, **changes)
    weights = wrapper.get_weights(wrapper.prunable(network()))
    ticket = Ticket(Mask.ones({name: weights[name].shape for name in COUNTS}), weights)
    start = Start(1 / 3, COUNTS, 7)
    whole = trainer.train(ticket, SEEDS, 50, learning=start)
    # One in ten is chance.
    assert whole.rows[-1]['validation_accuracy'] > 0.3
    for name, value in whole.weights.items():
        if 'moving' not in name:
            kept = whole.mask[name] if name in whole.mask else np.array(True)
            assert np.array_equal(value, np.where(kept, weights[name], 0)), name
    # What was evaluated at the end is what is handed over.
    plain = fake_tasks.trainer(trainer.task, SETTINGS, tf.distribute.get_strategy())
    wrapper.set_mask(plain.network, whole.mask)
    for name, variable in wrapper.variables(plain.network).items():
        variable.assign(whole.weights[name])
    assert plain.evaluate() == pytest.approx({key: whole.rows[-1][key] for key in plain.evaluate()}, rel=1e-5)
    for step in (8, 30):
        def stop(step=step):
            return Interrupted(15, 'stop') if int(trainer.model.optimizer.iterations) >= step else None

        folder = tmp_path / str(step)
        with pytest.raises(Interrupted):
            trainer.train(ticket, SEEDS, 50, checkpoint=Checkpoint(folder), stop=stop, learning=start)
        trainer.train(ticket, Seeds(7, 8, 9), 10, learning=Start(0.5, COUNTS, 8, True))
        again = trainer.train(ticket, SEEDS, 50, checkpoint=Checkpoint(folder), learning=start)
        assert again.rows == whole.rows and again.mask == whole.mask
        assert all(np.array_equal(again.weights[name], value) for name, value in whole.weights.items())
