"""What the comparison with the network refuses."""

import dataclasses

import numpy as np
import pytest
import tf_keras

from tf_lottery.errors import ExportError
from tf_lottery.exports import verify
from tf_lottery.exports.subject import Subject
from tf_lottery.pruning import wrapper
from tf_lottery.ticket import Mask, Ticket


@pytest.fixture
def subject():
    network = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(2,), name='fc')])
    kernel = np.array([[1, 0], [0, 2]], np.float32)
    network.set_weights([kernel, np.zeros(2, np.float32)])
    mask = Mask({'fc/kernel': kernel != 0})
    weights = wrapper.get_weights(network)
    examples = np.random.default_rng(0).standard_normal((200, 2), np.float32)
    return Subject(network, mask, weights, examples, ticket=Ticket(mask, weights, 3))


def answers(subject):
    variables = {f'variable/{variable.name}': variable.numpy() for variable in subject.network.variables}
    return {**variables, 'serving_default/outputs': subject.outputs.copy()}


def test_the_network_itself_passes(subject):
    verify.saved_model(subject, answers(subject))
    assert verify.tflite(subject, 'tflite', subject.outputs, [subject.weights['fc/kernel']]) == 0


@pytest.mark.parametrize('key, value, sentence', [
    ('variable/fc/bias:0', np.array([0, 1e-7]), 'does not hold the weights of fc/bias'),
    ('variable/fc/kernel:0', np.array([[1, 1e-30], [0, 2]]), 'does not hold the weights of fc/kernel'),
    ('serving_default/outputs', np.zeros((200, 2)), 'serving_default, does not compute what the network computes'),
    ('serving_images/label', np.zeros(200), 'by its signature serving_images, labels examples in another way'),
])
def test_another_saved_model_is_refused(subject, key, value, sentence):
    with pytest.raises(ExportError, match=sentence):
        verify.saved_model(subject, {**answers(subject), key: value})


def test_a_saved_model_that_lacks_a_variable_is_refused(subject):
    found = answers(subject)
    del found['variable/fc/kernel:0']
    with pytest.raises(ExportError, match='does not hold the weights of fc/kernel'):
        verify.saved_model(subject, found)


def test_a_pruned_weight_that_lives_on_is_refused(subject):
    alive = dataclasses.replace(subject, mask=Mask({'fc/kernel': np.array([[True, False], [False, False]])}))
    with pytest.raises(ExportError, match='that the mask has pruned'):
        verify.saved_model(alive, answers(alive))
    with pytest.raises(ExportError, match='the form tflite does not hold the zeros of fc/kernel'):
        verify.tflite(alive, 'tflite', subject.outputs, [subject.weights['fc/kernel']])


def test_more_zeros_than_the_mask_are_for_int8_only(subject):
    rounded = np.array([[1, 0], [1e-9, 0]], np.float32) * np.array([[1, 1], [0, 1]], np.float32)
    subject = dataclasses.replace(subject, weights={**subject.weights, 'fc/kernel': np.array([[1, 0], [3, 2]])},
                                  mask=Mask({'fc/kernel': np.array([[True, False], [True, True]])}))
    assert verify.tflite(subject, 'tflite_int8', subject.outputs, [rounded]) == 0
    with pytest.raises(ExportError, match='does not hold the zeros'):
        verify.tflite(subject, 'tflite', subject.outputs, [rounded])


def test_int8_may_change_three_predictions_in_a_hundred(subject):
    outputs = subject.outputs.copy()
    outputs[:6] = outputs[:6, ::-1]
    assert verify.tflite(subject, 'tflite_int8', outputs, [subject.weights['fc/kernel']]) == 6
    with pytest.raises(ExportError, match='the form tflite does not compute'):
        verify.tflite(subject, 'tflite', outputs, [subject.weights['fc/kernel']])
    outputs[6] = outputs[6, ::-1]
    with pytest.raises(ExportError, match='int8 predicts 7 of 200 examples in another way, more than 3%'):
        verify.tflite(subject, 'tflite_int8', outputs, [subject.weights['fc/kernel']])


def test_near_outputs_of_another_class_are_refused(subject):
    subject.outputs[0] = [1, 1 + 1e-6]
    outputs = subject.outputs.copy()
    outputs[0] = [1 + 1e-6, 1]
    with pytest.raises(ExportError, match='predicts another class of some example'):
        verify.tflite(subject, 'tflite', outputs, [subject.weights['fc/kernel']])


@pytest.mark.parametrize('key, value', [
    ('step', 4), ('mask/fc/kernel', np.ones((2, 2), bool)), ('weights/fc/bias', np.ones(2))])
def test_another_ticket_is_refused(subject, key, value):
    found = {'step': 3, 'mask/fc/kernel': subject.mask['fc/kernel'], 'weights/fc/kernel': subject.weights['fc/kernel'],
             'weights/fc/bias': np.zeros(2)}
    verify.ticket(subject, found)
    with pytest.raises(ExportError, match='the ticket file does not hold the ticket'):
        verify.ticket(subject, {**found, key: value})
