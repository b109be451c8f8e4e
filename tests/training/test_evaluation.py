"""Loss and accuracy of a whole split in one call."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_lottery.tasks.cross_entropy import Judge
from tf_lottery.training import evaluation


def network():
    """Logits are the four pixels themselves, so that losses can be worked out by hand."""
    return tf_keras.Sequential([tf_keras.layers.Flatten(input_shape=(2, 2, 1))])


def evaluator(network, images, labels, jit=False):
    """Pixels of 16 are 1.0."""
    examples = {'image': np.array(images, np.uint8).reshape(-1, 2, 2, 1), 'label': np.array(labels, np.int32)}
    judge = Judge(lambda batch: tf.cast(batch['image'], tf.float32) / 16)
    return evaluation.Evaluator(network, examples, judge, jit)


@pytest.mark.parametrize('jit', [False, True])
def test_loss_and_accuracy_are_means_over_the_examples(jit):
    # Logits (1, 0, 0, 0) have a log-sum-exp of log(e + 3).
    found = evaluator(network(), [[16, 0, 0, 0], [16, 0, 0, 0], [0, 0, 0, 0]], [0, 1, 3], jit)()
    log_sum = math.log(math.e + 3)
    assert found['loss'] == pytest.approx((log_sum - 1 + log_sum + math.log(4)) / 3, rel=1e-6)
    assert found['accuracy'] == 1 / 3


@pytest.mark.parametrize('examples', [1, 4, 5, 6, 7])
def test_every_example_counts_once_however_the_split_is_cut(monkeypatch, examples):
    monkeypatch.setattr(evaluation.Judge, 'most', 3)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 17, (examples, 2, 2, 1)), rng.integers(0, 4, examples)
    found = evaluator(network(), images, labels)()
    logits = images.reshape(examples, 4) / 16
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(examples), labels]
    assert found['loss'] == pytest.approx(losses.mean(), rel=1e-5)
    assert found['accuracy'] == np.mean(logits.argmax(axis=1) == labels)


def test_it_sees_the_network_as_it_is_now():
    model = tf_keras.Sequential([tf_keras.layers.Flatten(input_shape=(2, 2, 1)), tf_keras.layers.Dense(4)])
    evaluate = evaluator(model, [[16, 0, 0, 0]], [2])
    model.layers[1].set_weights([np.zeros((4, 4)), np.array([0, 0, 9, 0])])
    assert evaluate()['accuracy'] == 1
    model.layers[1].set_weights([np.zeros((4, 4)), np.array([9, 0, 0, 0])])
    assert evaluate()['accuracy'] == 0
