"""What the comparison with the network refuses."""

import dataclasses

import numpy as np
import pytest
import tf_keras

from tf_lottery.errors import ExportError
from tf_lottery.exports import verify
from tf_lottery.exports.subject import Subject
from tf_lottery.pruning import wrapper
from tf_lottery.tasks.task import Serving, Signature
from tf_lottery.ticket import Mask, Ticket


@pytest.fixture
def subject():
    network = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(2,), name='fc')])
    kernel = np.array([[1, 0], [0, 2]], np.float32)
    network.set_weights([kernel, np.zeros(2, np.float32)])
    mask = Mask({'fc/kernel': kernel != 0})
    weights = wrapper.get_weights(network)
    examples = np.random.default_rng(0).standard_normal((200, 2), np.float32)
    outputs = {'outputs': network(examples).numpy()}
    return Subject(network, mask, weights, outputs, Serving({'inputs': examples}, {}, ('outputs',)),
                   ticket=Ticket(mask, weights, 3))


def answers(subject):
    variables = {f'variable/{number}/{variable.name}': variable.numpy()
                 for number, variable in enumerate(subject.network.variables)}
    return {**variables, 'serving_default/outputs': subject.outputs['outputs'].copy()}


def check(subject, found, signature='serving_default'):
    verify.saved_model(subject, found, {signature: subject.outputs})


def with_outputs(subject, values, classifies=()):
    return dataclasses.replace(subject, outputs={'outputs': np.asarray(values, np.float32)},
                               serving=Serving({}, {}, classifies))


def test_the_network_itself_passes(subject):
    check(subject, answers(subject))
    for form in ('tflite', 'tflite_sparse'):
        assert verify.tflite(subject, form, subject.outputs) == ({}, {})
        assert verify.zeros(subject, form, [subject.weights['fc/kernel']], []) == []


@pytest.mark.parametrize('key, value, sentence', [
    ('variable/1/fc/bias:0', np.array([0, 1e-7]), 'does not hold the weights of fc/bias'),
    ('variable/0/fc/kernel:0', np.array([[1, 1e-30], [0, 2]]), 'does not hold the weights of fc/kernel'),
    ('serving_default/outputs', np.zeros((200, 2)), 'serving_default, does not compute what the network computes'),
])
def test_another_saved_model_is_refused(subject, key, value, sentence):
    with pytest.raises(ExportError, match=sentence):
        check(subject, {**answers(subject), key: value})


def test_places_are_those_of_the_largest_to_rounding(subject):
    scores = {'scores': np.array([[1, 2], [3, 3 + 1e-6]], np.float32)}
    chosen = Signature(None, {}, None, largest={'best': 'scores'})
    subject = dataclasses.replace(subject, serving=Serving({}, {}, signatures={'choose': chosen}))
    found = {**answers(subject), 'choose/scores': scores['scores']}
    for places in ([1, 1], [1, 0]):
        verify.saved_model(subject, {**found, 'choose/best': np.array(places)}, {'choose': scores})
    for wrong in ({'choose/best': np.array([0, 1])}, {'choose/best': np.array([1])}, {}):
        with pytest.raises(ExportError, match="by its signature choose, .*: 'best' is not the place of the largest"):
            verify.saved_model(subject, {**found, **wrong}, {'choose': scores})


def test_variables_of_one_name_are_told_apart():
    nested = [tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(2,), name='fc')], name=name) for name in 'ab']
    inputs = tf_keras.Input((2,))
    network = tf_keras.Model(inputs, [part(inputs) for part in nested])
    weights = wrapper.get_weights(network)
    subject = Subject(network, Mask({}), weights, {}, Serving({}, {}))
    found = {f'variable/{number}/{variable.name}': variable.numpy()
             for number, variable in enumerate(reversed(network.variables))}
    verify.saved_model(subject, found, {})
    first, second = [key for key in found if key.endswith('kernel:0')]
    with pytest.raises(ExportError, match='does not hold the weights of [ab]/fc/kernel'):
        verify.saved_model(subject, {**found, first: found[second]}, {})


def test_a_saved_model_that_lacks_a_variable_is_refused(subject):
    found = answers(subject)
    del found['variable/0/fc/kernel:0']
    with pytest.raises(ExportError, match='does not hold the weights of fc/kernel'):
        check(subject, found)


def test_a_pruned_weight_that_lives_on_is_refused(subject):
    alive = dataclasses.replace(subject, mask=Mask({'fc/kernel': np.array([[True, False], [False, False]])}))
    with pytest.raises(ExportError, match='that the mask has pruned'):
        check(alive, answers(alive))
    with pytest.raises(ExportError, match='the form tflite does not hold the zeros of fc/kernel'):
        verify.zeros(alive, 'tflite', [subject.weights['fc/kernel']], [subject.weights['fc/kernel']])


def test_more_zeros_than_the_mask_are_for_int8_only(subject):
    rounded = np.array([[1, 0], [1e-9, 0]], np.float32) * np.array([[1, 1], [0, 1]], np.float32)
    subject = dataclasses.replace(subject, weights={**subject.weights, 'fc/kernel': np.array([[1, 0], [3, 2]])},
                                  mask=Mask({'fc/kernel': np.array([[True, False], [True, True]])}))
    assert verify.zeros(subject, 'tflite_int8', [rounded], []) == []
    with pytest.raises(ExportError, match='does not hold the zeros'):
        verify.zeros(subject, 'tflite', [rounded], [rounded])


def test_a_full_weight_takes_no_place_of_a_sparse_one(subject):
    full = np.array([[5, 6], [7, 8]], np.float32)
    both = dataclasses.replace(subject, weights={'full/kernel': full, 'fc/kernel': subject.weights['fc/kernel']},
                               mask=Mask({'full/kernel': full != 0, 'fc/kernel': subject.mask['fc/kernel']}))
    for weights in ([full, both.weights['fc/kernel']], [both.weights['fc/kernel'], full]):
        for form in ('tflite', 'tflite_int8'):
            assert verify.zeros(both, form, weights, []) == []


def test_zeros_in_another_layout_are_found_or_said_to_be_unseen(subject):
    kernel = subject.weights['fc/kernel']
    assert verify.zeros(subject, 'tflite', [], [np.zeros(3), kernel.reshape(4)[::-1]]) == []
    assert verify.zeros(subject, 'tflite', [], [kernel + 1]) == ['fc/kernel']


def test_int8_may_change_three_predictions_in_a_hundred(subject):
    outputs = {'outputs': subject.outputs['outputs'].copy()}
    outputs['outputs'][:6] = outputs['outputs'][:6, ::-1]
    assert verify.tflite(subject, 'tflite_int8', outputs) == ({'outputs': 6}, {})
    with pytest.raises(ExportError, match='the form tflite does not compute'):
        verify.tflite(subject, 'tflite', outputs)
    outputs['outputs'][6] = outputs['outputs'][6, ::-1]
    with pytest.raises(ExportError, match='int8 predicts 7 of 200 examples in another way, more than 3%'):
        verify.tflite(subject, 'tflite_int8', outputs)


def test_int8_of_what_is_no_class_is_judged_by_its_error(subject):
    regression = with_outputs(subject, np.linspace(-3, 7, 200)[:, None])
    found = regression.outputs['outputs']
    assert verify.tflite(regression, 'tflite_int8', {'outputs': found + 0.29}) == (
        {}, {'outputs': pytest.approx(0.029, rel=1e-3)})
    for off in (found + 0.31, np.full_like(found, np.nan)):
        with pytest.raises(ExportError, match="int8 is (3.1|nan)% of the range of 'outputs' off, more than 3%"):
            verify.tflite(regression, 'tflite_int8', {'outputs': off})


def test_outputs_that_are_equal_to_rounding_pass_whatever_is_largest(subject):
    saturated = with_outputs(subject, [[1, 1 - 6e-8, 0], [0, 1, 1]])
    assert verify.tflite(saturated, 'tflite', {'outputs': np.array([[1 - 6e-8, 1, 0], [0, 1 - 6e-8, 1]])}) == ({}, {})


@pytest.mark.parametrize('size', [1e-9, 1, 1e9])
def test_the_tolerance_is_that_of_the_size_of_an_output(subject, size):
    expected = size * np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    # A column a thousandth as large is an output, too.
    expected[:, 2] /= 1000
    assert verify.is_close(expected + size * 1e-6, expected)
    assert not verify.is_close(expected + size * np.array([1e-3, 0, 0]), expected)
    assert not verify.is_close(expected + size * np.array([0, 0, 2e-5]), expected)


def test_numbers_without_a_size_and_other_kinds_are_compared_as_they_are():
    infinite = np.array([[np.inf, 1.0]])
    assert verify.is_close(infinite, infinite) and not verify.is_close(-infinite, infinite)
    assert verify.is_close(np.zeros(3), np.full(3, 0.0)) and not verify.is_close(np.full(3, 1e-3), np.zeros(3))
    assert not verify.is_close(np.array([1, 2]), np.array([1, 3])) and verify.is_close(
        np.array([b'a']), np.array([b'a']))
    assert not verify.is_close(np.zeros((2, 1)), np.zeros(2))


@pytest.mark.parametrize('key, value', [
    ('step', 4), ('mask/fc/kernel', np.ones((2, 2), bool)), ('weights/fc/bias', np.ones(2))])
def test_another_ticket_is_refused(subject, key, value):
    found = {'step': 3, 'mask/fc/kernel': subject.mask['fc/kernel'], 'weights/fc/kernel': subject.weights['fc/kernel'],
             'weights/fc/bias': np.zeros(2)}
    verify.ticket(subject, found)
    with pytest.raises(ExportError, match='the ticket file does not hold the ticket'):
        verify.ticket(subject, {**found, key: value})
