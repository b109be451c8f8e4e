"""Networks of the user's own: what is known of them, their initial weights, and what cannot be trained."""

import random
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from absl import flags

from tf_lottery import command, models
from tf_lottery.errors import UsageError
from tf_lottery.experiment import config
from tf_lottery.flags import define_flags
from tf_lottery.models import own
from tf_lottery.pruning import wrapper
from tf_lottery.reporting import results
from tf_lottery.runtime import objects

SHAPE, CLASSES = (8, 8, 1), 10

FILE = """
import random

import numpy as np
import tf_keras
from tf_keras import layers

def build(input_shape, classes, seed):
    image = layers.Input(input_shape)
    outputs = layers.Conv2D(6, 3, strides=2, activation='relu')(image)
    outputs = layers.BatchNormalization()(outputs)
    outputs = layers.Conv2D(6, 1, use_bias=False)(outputs) + layers.Conv2D(6, 1, name='shortcut')(outputs)
    outputs = layers.Dense(12, 'relu')(layers.Flatten()(outputs))
    return tf_keras.Model(image, layers.Activation('linear')(layers.Dense(classes)(outputs)))

def deeper(input_shape, classes, seed, precision='float32'):
    inner = tf_keras.Sequential([layers.Reshape((8, 8), input_shape=input_shape),
                                 layers.LSTM(5, dtype=precision, name='lstm')], name='inner')
    heads = [layers.Dense(classes, name=name, dtype=precision) for name in 'ab']
    image = layers.Input(input_shape)
    seen = inner(image)
    return tf_keras.Model(image, layers.Add(dtype='float32')([head(seen) for head in heads]))

def drawn(input_shape, classes, seed):
    first = np.random.normal(size=(64, classes)) + random.random()
    return plain(layers.Dense(classes, kernel_initializer=tf_keras.initializers.Constant(first)))

def plain(*last, shape=(8, 8, 1)):
    return tf_keras.Sequential([layers.Flatten(input_shape=shape), *last])

def softmax(input_shape, classes, seed):
    return plain(layers.Dense(classes, 'softmax'), layers.Activation('linear', dtype='float32'))

def softmax_within(input_shape, classes, seed):
    return tf_keras.Sequential([plain(layers.Dense(classes), layers.Softmax())])

def few(input_shape, classes, seed):
    return plain(layers.Dense(classes - 1))

def half(input_shape, classes, seed):
    return plain(layers.Dense(classes, dtype='mixed_bfloat16'))

def other_images(input_shape, classes, seed):
    return plain(layers.Dense(classes), shape=(28, 28, 1))

def two(input_shape, classes, seed):
    image = layers.Input(input_shape)
    outputs = layers.Dense(classes)(layers.Flatten()(image))
    return tf_keras.Model(image, [outputs, outputs])

def nothing(input_shape, classes, seed):
    return tf_keras.Sequential([layers.Flatten(input_shape=input_shape), layers.Lambda(lambda x: x[:, :10])])

def none(input_shape, classes, seed):
    pass

def keras3(input_shape, classes, seed):
    import keras
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(classes)])

def subclassed(input_shape, classes, seed):
    return type('Net', (tf_keras.Model,), {})()

def wrapped(input_shape, classes, seed):
    import tf_lottery
    return tf_lottery.prunable(build(input_shape, classes, seed))

def raises(input_shape, classes, seed):
    return layers.Dense(-1)

def short(input_shape, classes):
    pass

value = 3
"""


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp('nets') / 'mynets.py'
    path.write_text(FILE)
    return path


@pytest.fixture
def find(file):
    return lambda name: models.find(f'{file}:{name}')


def weights(network):
    return wrapper.get_weights(network)


def test_what_can_be_pruned_is_known_by_building_it(file):
    # Strides of 2 leave 3 x 3 places; what is added stands before layers that have weights.
    assert own.shapes(f'{file}:build', SHAPE, CLASSES) == {
        'conv2d/kernel': ('conv', (3, 3, 1, 6), 9, True), 'conv2d_1/kernel': ('conv', (1, 1, 6, 6), 9, True),
        'shortcut/kernel': ('conv', (1, 1, 6, 6), 9, True), 'dense/kernel': ('dense', (54, 12), 1, True),
        'dense_1/kernel': ('output', (12, 10), 1, True)}
    # A recurrent layer multiplies at each time; what is added at the end are two outputs.
    assert own.shapes(f'{file}:deeper', SHAPE, CLASSES) == {
        'inner/lstm/kernel': ('dense', (8, 20), 8, False), 'inner/lstm/recurrent_kernel': ('dense', (5, 20), 8, False),
        'a/kernel': ('output', (5, 10), 1, True), 'b/kernel': ('output', (5, 10), 1, True)}


@pytest.mark.parametrize('name', ['lenet_300_100', 'conv2', 'resnet20'])
def test_a_papers_network_is_known_by_building_it_as_by_its_formula(monkeypatch, file, name):
    mynets = sys.modules[objects.load(f'{file}:build', 'model.name').__module__]
    monkeypatch.setattr(mynets, 'paper', models.NETWORKS[name].build, raising=False)
    formula = models.NETWORKS[name].prunable_shapes((32, 32, 3), CLASSES)
    found = own.shapes(f'{file}:paper', (32, 32, 3), CLASSES)
    # Nothing tells that a 1x1 convolution is a projection.
    assert found == {key: (group.replace('projection', 'conv'), *rest, True) for key, (group, *rest) in formula.items()}


@pytest.mark.parametrize('name', ['build', 'deeper', 'drawn'])
def test_weights_and_names_are_a_function_of_the_seed(find, name):
    first = weights(find(name).build(SHAPE, CLASSES, 3))
    tf_keras.layers.Dense(3)
    random.random(), np.random.normal(), tf.random.normal([3])
    again, other = (weights(find(name).build(SHAPE, CLASSES, seed)) for seed in (3, 4))
    assert first.keys() == again.keys() and all(np.array_equal(first[key], again[key]) for key in first)
    kernels = [key for key in first if key.endswith('kernel')]
    assert kernels and not any(np.array_equal(first[key], other[key]) for key in kernels)


def test_a_process_of_its_own_has_the_same_weights(file, find):
    code = ("import sys, zlib; from tf_lottery import models; network = models.find(f'{sys.argv[1]}:build').build("
            "(8, 8, 1), 10, 3); print([zlib.crc32(array.tobytes()) for array in network.get_weights()])")
    done = subprocess.run([sys.executable, '-c', code, str(file)], capture_output=True, text=True, check=True)
    sums = [zlib.crc32(array.tobytes()) for array in find('build').build(SHAPE, CLASSES, 3).get_weights()]
    assert done.stdout == f'{sums}\n'


def test_what_others_draw_and_name_goes_on_as_if_nothing_had_been_built(find):
    def next_ones():
        return random.random(), np.random.normal(), tf_keras.layers.Dense(3).name, tf_keras.layers.Dense(3).name

    def begin():
        random.seed(1)
        np.random.seed(1)
        tf_keras.backend.reset_uids()
        tf_keras.layers.Dense(3)

    begin()
    expected = next_ones()
    begin()
    find('build').build(SHAPE, CLASSES, 3)
    assert next_ones() == expected


def test_a_precision_is_passed_on_or_refused(find):
    network = find('deeper').build(SHAPE, CLASSES, 0, precision='mixed_bfloat16')
    assert network.get_layer('a').dtype_policy.name == 'mixed_bfloat16'
    with pytest.raises(UsageError, match=r'^training.precision is mixed_bfloat16, which .*mynets.py:build does not '
                                         r'take: give it an argument precision'):
        find('build').build(SHAPE, CLASSES, 0, precision='mixed_bfloat16')


@pytest.mark.parametrize(('name', 'sentence'), [
    ('softmax', 'the network of model.name={file}:softmax ends in a softmax: leave that out, for the loss takes '
                'logits.'),
    ('softmax_within', 'the network of model.name={file}:softmax_within ends in a softmax: leave'),
    ('few', 'the network of model.name={file}:few makes float32 of shape (9,): let its only output be float32 logits '
            'of shape (10,), one for each class, its second argument.'),
    ('half', 'the network of model.name={file}:half makes bfloat16 of shape (10,): let its only output be float32'),
    ('two', 'the network of model.name={file}:two makes float32 of shape (10,) and float32 of shape (10,): let its'),
    ('other_images', 'the network of model.name={file}:other_images takes float32 of shape (28, 28, 1): let its only '
                     'input be float images of shape (8, 8, 1), its first argument.'),
    ('nothing', 'the network of model.name={file}:nothing has no weights that can be pruned: give it a layer that has '
                'a kernel.'),
    ('none', '{file}:none returns what cannot be trained here: expected a Keras model, got NoneType: build it with '
             'tf_keras.'),
    ('keras3', '{file}:keras3 returns what cannot be trained here: Sequential is a Keras 3 object, which TF-MOT cannot '
               'prune: build the model with tf_keras'),
    ('subclassed', '{file}:subclassed returns what cannot be trained here: Net is a subclassed model'),
    ('wrapped', "{file}:wrapped returns what cannot be trained here: layer 'conv2d' of model "),
    ('raises', 'line 69 of {file} ends in ValueError (Received an invalid value for `units`'),
    ('short', 'model.name={file}:short cannot be called with (input_shape, classes, seed): make it a function of these '
              'three.'),
    ('value', 'model.name={file}:value cannot be called with (input_shape'),
    ('biuld', "{file} has no biuld, which model.name={file}:biuld names: did you mean 'build'?")])
def test_what_cannot_be_trained_is_refused(file, name, sentence):
    with pytest.raises(UsageError) as refused:
        own.shapes(f'{file}:{name}', SHAPE, CLASSES)
    assert str(refused.value).startswith(sentence.format(file=file))


def test_it_is_built_by_another_process(file, find):
    assert find('build').prunable_shapes(SHAPE, CLASSES) == own.shapes(f'{file}:build', SHAPE, CLASSES)


def test_it_is_refused_with_the_config(file):
    chosen = config.defaults()
    chosen.data.name, chosen.model.name = 'digits', f'{file}:softmax'
    with pytest.raises(UsageError, match='^the network of model.name=.*:softmax ends in a softmax: leave that out'):
        config.check(chosen)


def test_channels_that_it_does_not_have_are_refused_with_the_config(file):
    chosen = config.defaults()
    chosen.data.name, chosen.model.name, chosen.pruning.levels = 'digits', f'{file}:deeper', 1
    chosen.pruning.structure = 'channels'
    with pytest.raises(UsageError, match='^the last axis of inner/lstm/kernel is not known to be output channels, .*: '
                                         'give --config.pruning.dense_fraction=0'):
        config.check(chosen)
    chosen.pruning.dense_fraction = 0.0
    assert set(config.check(chosen).fractions.values()) == {0}


def test_a_command_trains_reports_and_exports_it(file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(file.parent)
    values = flags.FlagValues()
    arguments = ['main.py', '--config=digits_lenet', '--config.model.name=mynets.py:build', f'--workdir={tmp_path}/run',
                 '--config.training.length=20it', '--config.training.evaluate_every=10it', '--config.replicates=1',
                 '--config.pruning.levels=1', "--config.branches=('ticket', 'random_reinit')",
                 '--config.branch_levels=(1,)', "--config.export.forms=('ticket',)", '--jit=off']
    monkeypatch.setattr(sys, 'argv', arguments)
    define_flags(values)
    values(arguments)
    assert command.in_one_sentence(lambda: command.run(values, 'command')) == 0
    assert 'Ticket  ' in capsys.readouterr().out
    found = results.load_results(f'{tmp_path}/run')
    assert sorted(zip(found['level'], found['branch'], strict=True)) == [
        (0, 'ticket'), (1, 'random_reinit'), (1, 'ticket')]
    # The output layer's fraction is half of the others'.
    size = 3 * 3 * 6 + 2 * 36 + 54 * 12 + 120
    assert found[found['level'] == 1]['kept'].tolist() == 2 * [43 + 2 * 29 + 518 + 108]
    assert found[found['level'] == 0]['kept'].tolist() == [size]
