"""Errors on the line between two sets of weights of small networks."""

import types

import fake_tasks
import numpy as np
import pytest
import tf_keras

from tf_lottery import data
from tf_lottery.errors import Interrupted
from tf_lottery.pruning import wrapper
from tf_lottery.tasks.images import examples
from tf_lottery.ticket import Mask
from tf_lottery.training.line import Line


class Whole:
    """What Line needs of a Trainer: a network, its task, its settings and its test accuracy."""

    def __init__(self, network, split, jit=False):
        self.network = wrapper.prunable(network)
        self.settings, self.task = types.SimpleNamespace(jit=jit), fake_tasks.Task(None, brightest=1)
        self._split = split

    def evaluate(self, splits):
        assert splits == ['test']
        logits = self.network(self._split.images.astype(np.float32), training=False).numpy()
        return {'test_accuracy': float(np.mean(np.argmax(logits, -1) == self._split.labels))}


@pytest.fixture
def split():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 10, (700, 2, 2, 1)).astype(np.uint8)
    return data.Split(images, (images[:, 0, 0, 0] > images[:, 1, 1, 0]).astype(np.int32))


def linear(split):
    network = tf_keras.Sequential([tf_keras.layers.Flatten(input_shape=(2, 2, 1)),
                                   tf_keras.layers.Dense(2, name='output')])
    return Whole(network, split)


def sides(scale):
    """Weights that compare the first pixel with the last one, right where `scale` is positive."""
    kernel = np.zeros((4, 2), np.float32)
    kernel[0, 1] = kernel[3, 0] = scale
    return {'output/kernel': kernel, 'output/bias': np.array([0.1, 0], np.float32)}


def test_errors_are_those_of_the_mean_weights(split):
    trainer = linear(split)
    mask = Mask({'output/kernel': np.ones((4, 2), bool)})
    errors = Line(trainer, examples(split)).errors(sides(1.0), sides(-3.0), mask, 5)
    assert errors['position'] == [0, 0.25, 0.5, 0.75, 1]
    # The sign changes a quarter of the way, where nothing but the bias decides: always class 0.
    ties = np.mean(split.images[:, 0, 0, 0] == split.images[:, 1, 1, 0])
    wrong = 1 - ties
    assert errors['train_error'] == pytest.approx([0, np.mean(split.labels), wrong, wrong, wrong])
    assert errors['test_error'] == pytest.approx(errors['train_error'])


def test_two_equal_ends_have_no_barrier(split):
    trainer = linear(split)
    mask = Mask({'output/kernel': np.ones((4, 2), bool)})
    assert Line(trainer, examples(split)).errors(sides(2.0), sides(2.0), mask, 3)['train_error'] == [0, 0, 0]


@pytest.mark.parametrize('jit', [False, True])
def test_batch_norm_statistics_are_those_of_the_examples_at_every_point(split, jit):
    network = tf_keras.Sequential([
        tf_keras.layers.Flatten(input_shape=(2, 2, 1)), tf_keras.layers.BatchNormalization(name='norm', momentum=0.9),
        tf_keras.layers.Dense(2, name='output')])
    trainer = Whole(network, split, jit)
    far = {**wrapper.get_weights(trainer.network), 'norm/moving_mean': np.full(4, 1e6, np.float32)}
    Line(trainer, examples(split)).errors(far, far, Mask({'output/kernel': np.ones((4, 2), bool)}), 2)
    after = wrapper.get_weights(trainer.network)
    # One whole batch of 500; the other 200 are left out.
    pixels = split.images[:500].reshape(500, 4).astype(np.float32)
    np.testing.assert_allclose(after['norm/moving_mean'], pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(after['norm/moving_variance'], pixels.var(0), rtol=1e-4)


def test_it_can_be_stopped_between_two_points(split):
    stops = iter([None, Interrupted(15, 'Stopped.')])
    with pytest.raises(Interrupted):
        Line(linear(split), examples(split)).errors(
            sides(1), sides(1), Mask({'output/kernel': np.ones((4, 2), bool)}), 3, lambda: next(stops))
    assert next(stops, 'both asked') == 'both asked'
