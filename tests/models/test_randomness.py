"""What Keras's layers draw: a function of (seed, step) inside of `drawn_from`, and Keras's own draws elsewhere."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_lottery.models.randomness import drawn_from, follow

layers = tf_keras.layers
ONES = np.ones((4, 50), np.float32)


def network(*drawing):
    model = tf_keras.Sequential([layers.InputLayer((50,)), *drawing])
    follow(model)
    return model


def drawn(model, seed=1, step=2, training=True):
    with drawn_from(tf.constant(seed), tf.constant(step)):
        return model(ONES, training=training).numpy()


@pytest.mark.parametrize('layer', [layers.Dropout, layers.GaussianNoise, layers.GaussianDropout, layers.AlphaDropout])
def test_draws_are_a_function_of_seed_and_step(layer):
    model, other = network(layer(0.5)), network(layer(0.5))
    assert np.array_equal(drawn(model), drawn(model)) and np.array_equal(drawn(model), drawn(other))
    assert not np.array_equal(drawn(model), drawn(model, step=3))
    assert not np.array_equal(drawn(model), drawn(model, seed=3))
    assert np.array_equal(drawn(model, training=False), ONES)


def test_each_layer_draws_its_own():
    model = network(layers.Dropout(0.5), layers.Dropout(0.5))
    left = drawn(model)
    # Of the same draws half would be four; of two draws a quarter.
    assert np.mean(left == 4) == pytest.approx(0.25, abs=0.1)


def test_elsewhere_layers_draw_as_they_did():
    tf_keras.utils.set_random_seed(3)
    plain = tf_keras.Sequential([layers.InputLayer((50,)), layers.Dropout(0.5, seed=7)])
    expected = [plain(ONES, training=True).numpy() for _ in range(2)]
    tf_keras.utils.set_random_seed(3)
    model = network(layers.Dropout(0.5, seed=7))
    assert np.array_equal([model(ONES, training=True) for _ in range(2)], expected)
