"""Training that ends in the mean of its last networks."""

import dataclasses

import fake_tasks
import numpy as np
import pytest
import tensorflow as tf

from tf_lottery.pruning import wrapper
from tf_lottery.ticket import Mask, Ticket
from tf_lottery.training.averaging import points
from tf_lottery.training.trainer import Seeds, Settings

SETTINGS = Settings(batch_size=60, optimizer='adam', learning_rate=0.01, momentum=0.9, evaluate_every=2,
                    checkpoint_every=2, block=2, jit=False)


@pytest.mark.parametrize(('end', 'every', 'count', 'expected'), [
    (8, 2, 1, [8]), (8, 2, 3, [4, 6, 8]), (7, 2, 3, [4, 6, 7]), (9, 5, 2, [5, 9]), (10, 5, 2, [5, 10])])
def test_the_last_evaluations_are_averaged(end, every, count, expected):
    assert points(end, every, count) == expected


def test_training_ends_in_the_mean_and_pruned_weights_stay_zero(digits):
    averaged, plain = (
        fake_tasks.trainer(fake_tasks.Task(fake_tasks.network, digits), dataclasses.replace(SETTINGS, average=average),
                           tf.distribute.get_strategy()) for average in (2, 1))
    weights, rng = wrapper.get_weights(plain.network), np.random.default_rng(0)
    mask = Mask({name: rng.random(array.shape) < 0.5 for name, array in wrapper.get_mask(plain.network).items()})
    ticket, kept = Ticket(mask, weights, 1), {}
    last = plain.train(ticket, Seeds(0, 1, 2), 5, keep_at=(4,), keep=lambda step, own, state: kept.update(own))
    # Twice, so that nothing is left of the first time.
    for _ in range(2):
        found = averaged.train(ticket, Seeds(0, 1, 2), 5)
        for name, array in found.weights.items():
            assert np.array_equal(array, (kept[name] + last.weights[name]) / np.float32(2))
    assert all(not found.weights[name][~kept_there].any() for name, kept_there in mask.items())
    # What is evaluated is what training ends in.
    assert found.rows[0] == last.rows[0]
    assert found.rows[-1]['train_loss'] == last.rows[-1]['train_loss']
    assert found.rows[-1]['test_loss'] == averaged.evaluate()['test_loss'] != last.rows[-1]['test_loss']
