"""Image classification as a task: what the config says of it is what is fed, minimised and judged."""

import math
import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tf_lottery.data.augmentation import crop_and_flip
from tf_lottery.errors import UsageError
from tf_lottery.experiment import config
from tf_lottery.tasks.images import ImageTask

SETTINGS = types.SimpleNamespace(batch_size=4, block=2, evaluate_every=2, jit=False)


def task(**changes):
    settings = config.defaults()
    settings.update_from_flattened_dict({'data.name': 'digits', 'training.batch_size': 4, **{
        key.replace('__', '.'): value for key, value in changes.items()}})
    return ImageTask(settings)


def pixels(label=0):
    """One image whose four pixels are the logits."""
    return {'image': tf.constant([16, 0, 0, 0], tf.uint8, (1, 2, 2, 1)), 'label': tf.constant([label]),
            'step': tf.constant(0), 'row': tf.constant([0])}


@pytest.mark.parametrize(('smoothing', 'expected'), [(0.0, math.log(math.e + 3) - 1),
                                                     (0.4, math.log(math.e + 3) - 0.6 - 0.4 / 4)])
def test_the_loss_is_the_cross_entropy_that_the_config_says(smoothing, expected):
    network = tf_keras.Sequential([tf_keras.layers.Flatten(input_shape=(2, 2, 1)),
                                   tf_keras.layers.ActivityRegularization(l1=0.5)])
    loss, minimised = task(training__label_smoothing=smoothing).loss(network, pixels(), tf.constant(0))
    assert float(loss) == pytest.approx(expected)
    # The penalty is minimised, and not reported.
    assert float(minimised - loss) == pytest.approx(0.5)


@pytest.mark.parametrize(('crop', 'flip'), [(0, False), (2, True)])
def test_examples_are_augmented_as_the_config_says(digits, crop, flip):
    feed = task(data__crop_pixels=crop, data__flip=flip).feed(SETTINGS, tf.distribute.get_strategy())
    element = {'indices': tf.constant([3, 1, 4, 1]), 'row': tf.range(4), 'step': tf.constant(7)}
    batch = feed.batch(element, tf.constant(5))
    expected = crop_and_flip(tf.constant(digits.train.images[[3, 1, 4, 1]]), crop, flip, 5, 7, tf.range(4), 4)
    assert np.array_equal(batch['image'], expected)
    assert np.array_equal(batch['label'], digits.train.labels[[3, 1, 4, 1]])


def test_facts_are_those_of_the_data_set_and_of_the_network():
    facts = task(data__validation=97).facts()
    assert (facts.about, facts.train, facts.validation, facts.test) == ('lenet_300_100 on digits', 1200, 97, 500)
    assert {name: (weight.group, weight.shape, weight.places) for name, weight in facts.weights.items()} == {
        'fc1/kernel': ('dense', (64, 300), 1), 'fc2/kernel': ('dense', (300, 100), 1),
        'output/kernel': ('output', (100, 10), 1)}
    assert facts.compiles and not task(model__name='conv2').facts().compiles
    everything = task(data__validation=97).facts('all').weights
    assert list(everything) == ['fc1/kernel', 'fc1/bias', 'fc2/kernel', 'fc2/bias', 'output/kernel', 'output/bias']
    assert {name: everything[name] for name in facts.weights} == facts.weights
    assert (everything['fc1/bias'].group, everything['fc1/bias'].shape, everything['fc1/bias'].places) == (
        'dense', (300,), 0)
    assert everything['output/bias'].group == 'output'


@pytest.mark.parametrize(('changes', 'said'), [
    ({'data__name': 'minst'}, "Did you mean 'mnist'"), ({'data__crop_pixels': 8}, 'data.crop_pixels is 8'),
    ({'data__validation': 1294}, 'leaves 3 of the 1297'), ({'data__validation': 1297}, 'data.validation is 1297')])
def test_what_cannot_be_is_refused(changes, said):
    with pytest.raises(UsageError, match=said):
        task(**changes)
