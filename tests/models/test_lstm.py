"""LSTM language models: they compute what Keras's LSTM computes, and what they can be pruned in is known before."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_lottery.models import lstm
from tf_lottery.models.recurrent import LSTM
from tf_lottery.pruning import wrapper
from tf_lottery.ticket import Mask


def build(tied=False, dropout=0.0, place='between', precision='float32', seed=0):
    return lstm.build(9, 4, 2, 4 if tied else 5, tied, dropout, place, 0.1, seed, precision)


def inputs(below=9):
    rng = np.random.default_rng(0)
    return [tf.constant(rng.integers(0, below, (3, 5)), tf.int32),
            *(tf.constant(rng.normal(size=(3, 4)), tf.float32) for _ in range(4))]


@pytest.mark.parametrize('jit', [False, True])
def test_layer_computes_what_that_of_keras_computes(jit):
    rng = np.random.default_rng(0)
    values = tf.constant(rng.normal(size=(3, 5, 2)), tf.float32)
    states = [tf.constant(rng.normal(size=(3, 4)), tf.float32) for _ in range(2)]
    own, keras = LSTM(4), tf_keras.layers.LSTM(4, return_sequences=True, return_state=True)
    keras(values, initial_state=states)
    weights = [rng.normal(size=weight.shape).astype(np.float32) for weight in keras.get_weights()]

    def slopes(layer, arguments, options, compiled):
        layer(arguments, **options)
        layer.set_weights(weights)

        @tf.function(jit_compile=compiled)
        def run():
            with tf.GradientTape() as tape:
                found = layer(arguments, **options)
                loss = sum(tf.reduce_sum(part**2) for part in found)
            return found, tape.gradient(loss, layer.trainable_variables)

        return tf.nest.flatten(run())

    for found, expected in zip(slopes(own, [values, *states], {}, jit),
                               slopes(keras, values, {'initial_state': states}, False), strict=True):
        assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize('tied', [False, True])
@pytest.mark.parametrize('variables', ['kernels', 'all'])
def test_what_can_be_pruned_is_known_without_building(tied, variables):
    network = wrapper.prunable(build(tied), variables=variables)
    found = {name: tuple(weight.shape) for name, (_, weight, *_) in wrapper.prunable_variables(network).items()}
    known = lstm.prunable_shapes(9, 4, 2, 4 if tied else 5, tied, 7, variables)
    assert found == {name: shape for name, (_, shape, _) in known.items()}
    output = 'embedding/embeddings' if tied else 'output/kernel'
    assert known[output][::2] == ('output', 7)
    assert {group for name, (group, *_) in known.items() if name.startswith('lstm')} == {'dense'}


def test_matrices_are_drawn_evenly_from_the_seed_and_biases_are_zero():
    first, same, other = (wrapper.get_weights(build(seed=seed)) for seed in (1, 1, 2))
    for name, array in first.items():
        assert np.array_equal(array, same[name])
        if name.endswith('bias'):
            assert not array.any()
        else:
            assert 0.08 < np.abs(array).max() <= 0.1
            assert not np.array_equal(array, other[name])


def test_states_carry_a_text_on():
    network, (words, *states) = build(), inputs()
    whole, *after = network([words, *states])
    first, *between = network([words[:, :2], *states])
    second, *end = network([words[:, 2:], *between])
    assert np.allclose(tf.concat([first, second], 1), whole, atol=1e-6)
    assert all(np.allclose(*pair, atol=1e-6) for pair in zip(end, after, strict=True))
    assert not np.allclose(network([words[:, 2:], *states])[0], second, atol=1e-4)


def test_tied_matrix_has_one_mask_wherever_it_is_used():
    network = wrapper.prunable(build(tied=True))
    rng = np.random.default_rng(0)
    mask = Mask({name: rng.random(tuple(weight.shape)) < 0.5 for name, (_, weight, *_) in wrapper.prunable_variables(
        network).items()})
    network.compile('sgd')
    wrapper.set_mask(network, mask)
    words, *states = inputs(below=5)
    with tf.GradientTape() as tape:
        scores, *_ = network([words[:, :-1], *states])
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(words[:, 1:], scores))
    slopes = tape.gradient(loss, network.trainable_variables)
    network.optimizer.apply_gradients(zip(slopes, network.trainable_variables, strict=True))
    trained = wrapper.get_weights(network)
    assert all(not trained[name][~kept].any() for name, kept in mask.items())
    # What a kept weight gets is the sum of both uses: words that do not come in still move by their scores.
    absent = [5, 6, 7, 8]
    (slope,) = (slope for slope, variable in zip(slopes, network.trainable_variables, strict=True)
                if variable.shape == (9, 4))
    assert np.asarray(tf.convert_to_tensor(slope))[absent].any()


@pytest.mark.parametrize(('place', 'count'), [('between', 1), ('around', 3)])
def test_dropout_stands_where_it_is_said(place, count):
    names = [layer.name for layer in build(dropout=0.5, place=place).layers if layer.name.startswith('dropout')]
    assert len(names) == count


@pytest.mark.parametrize('tied', [False, True])
def test_states_and_scores_keep_their_precision(tied):
    found = wrapper.prunable(build(tied, precision='mixed_bfloat16'))(inputs())
    assert {tensor.dtype for tensor in found} == {tf.float32}
    assert all(np.isfinite(tensor).all() for tensor in found)
