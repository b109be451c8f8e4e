"""A model that Keras has saved, as W_0 of an experiment."""

import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from absl import logging

from tf_lottery.errors import UsageError
from tf_lottery.experiment import config, runs
from tf_lottery.experiment.experiment import Experiment
from tf_lottery.experiment.place import At
from tf_lottery.models import pretrained
from tf_lottery.pruning import wrapper
from tf_lottery.runtime import storage
from tf_lottery.tasks.images import ImageTask


def settings(weights=None):
    chosen = config.defaults()
    chosen.data.name = 'digits'
    chosen.model.weights = weights
    return chosen


def network(classes=10, seed=3, name='fc1'):
    return tf_keras.Sequential([
        tf_keras.layers.Flatten(input_shape=(8, 8, 1)),
        tf_keras.layers.Dense(300, 'relu', name=name, kernel_initializer=tf_keras.initializers.RandomNormal(seed=seed)),
        tf_keras.layers.Dense(classes, name='output')])


def saved(model, path):
    (model.save_weights if path.endswith('.weights.h5') else model.save)(path)
    return path


@pytest.mark.parametrize('name', ['model.keras', 'model.h5', 'folder'])
def test_variables_of_the_same_names_and_shapes_are_taken(tmp_path, name, monkeypatch):
    warnings = []
    monkeypatch.setattr(logging, 'warning', lambda text, *arguments: warnings.append(text % arguments))
    model = network(classes=4)
    path = saved(model, str(tmp_path / name))
    task = ImageTask(settings(path))
    drawn, initial = (wrapper.get_weights(each) for each in (task.network(0), task.initial(0)))
    assert np.array_equal(initial['fc1/kernel'], model.get_layer('fc1').kernel)
    assert not np.array_equal(drawn['fc1/kernel'], initial['fc1/kernel'])
    for own in ('fc2/kernel', 'output/kernel', 'output/bias'):
        assert np.array_equal(drawn[own], initial[own])
    assert warnings == [f'model.weights={path} has fc2/kernel, fc2/bias, output/kernel, output/bias in no such shape: '
                        'what is drawn for it by the seed stays.']


def test_weights_of_the_network_itself(tmp_path):
    task = ImageTask(settings())
    before = task.network(5)
    path = saved(before, str(tmp_path / 'own.weights.h5'))
    pairs = zip(before.get_weights(), ImageTask(settings(path)).initial(0).get_weights(), strict=True)
    assert all(np.array_equal(left, right) for left, right in pairs)


def test_a_file_on_a_remote_file_system(tmp_path, files):
    model = network()
    content = storage.read_bytes(saved(model, str(tmp_path / 'model.keras')))
    storage.write_bytes('gs://bucket/model.keras', content)
    after = network(seed=4)
    pretrained.assign(after, 'gs://bucket/model.keras')
    assert np.array_equal(after.get_layer('fc1').kernel, model.get_layer('fc1').kernel)


@pytest.mark.parametrize(('name', 'sentence'), [
    ('none.keras', '^model.weights is {path}, which is not there: give a file that save or save_weights'),
    ('text.keras', '^model.weights is {path}, which Keras cannot read as weights of this network'),
    ('other.keras', r'^model.weights is {path}, none of whose variables \(other/kernel, other/bias, output/kernel, '
     r'...\) has the name and the shape of one of the network \(fc1/kernel, fc1/bias, fc2/kernel, ...\): give a model '
     'with layers of the same names.$'),
    ('other.weights.h5', '^model.weights is {path}, which Keras cannot read as weights of this network')])
def test_what_gives_no_weights_is_refused(tmp_path, name, sentence):
    path = str(tmp_path / name)
    if name.startswith('text'):
        storage.write_text(path, 'no model')
    elif name.startswith('other'):
        saved(network(4, name='other'), path)
    with pytest.raises(UsageError, match=sentence.format(path=re.escape(path))):
        ImageTask(settings(path)).initial(0)


def test_an_experiment_starts_from_them_and_its_new_draws_do_not(tmp_path):
    model = network()
    chosen = settings(saved(model, str(tmp_path / 'model.keras')))
    chosen.training.length = '10it'
    chosen.pruning.levels, chosen.replicates = 1, 1
    chosen.branches = ('ticket', 'random_reinit')
    protocol = config.check(chosen)
    workdir = str(tmp_path / 'run')
    runs.claim(workdir, protocol, 'python main.py')
    done = Experiment(workdir, protocol, tf.distribute.get_strategy(), jit=False)
    kernel = model.get_layer('fc1').kernel.numpy()
    assert np.array_equal(At(done, runs.Run(0, 0, 'ticket')).ticket().weights['fc1/kernel'], kernel)
    assert np.array_equal(At(done, runs.Run(0, 1, 'random_reinit')).initial()['fc1/kernel'], kernel)
    assert not np.array_equal(At(done, runs.Run(0, 1, 'random_reinit')).new_weights()['fc1/kernel'], kernel)
