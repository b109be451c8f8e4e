"""A task by where it is written."""

import pytest

from tf_lottery.errors import UsageError
from tf_lottery.tasks.reference import Reference, load
from tf_lottery.tasks.task import Task

TASK = """
import numpy as np
import tf_keras

import tf_lottery


def build(seed):
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(2,), name='only')])
    model.compile({optimizer}, 'mse', metrics=['mae'])
    return model


def examples():
    return {{split: (np.ones((20, 2)), np.ones(20)) for split in ('train', 'validation', 'test')}}


task, other = tf_lottery.KerasTask(build, examples), 3
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def file(text, name='rain.py'):
        (tmp_path / name).write_text(text)

    return file


def test_what_is_known_of_it_is_what_the_task_itself_says(write):
    write(TASK.format(optimizer="'sgd'"), 'known.py')
    reference = Reference('known.py:task')
    facts, measures = reference.facts(), reference.measures
    assert (facts.about, facts.train, facts.validation, facts.test) == ("the model 'sequential'", 20, 20, 20)
    assert {name: weight.shape for name, weight in facts.weights.items()} == {'only/kernel': (2, 1)}
    assert measures.lead.name == 'mae'
    reference.require_optimizer()
    own = load('known.py:task')
    assert (own.facts(), own.measures) == (facts, measures)
    assert reference.network(0).get_layer('only').kernel.shape == (2, 1)


def test_an_optimizer_that_cannot_be_rewound_is_refused_where_it_is_asked_for(write):
    write(TASK.format(optimizer='tf_keras.optimizers.legacy.SGD()'), 'legacy.py')
    reference = Reference('legacy.py:task')
    assert reference.facts().train == 20
    with pytest.raises(UsageError, match='legacy optimizer SGD, which an experiment cannot rewind'):
        reference.require_optimizer()


def test_all_that_the_engine_asks_is_asked_of_the_task_itself(write):
    asked = {name for name in vars(Task) if not name.startswith('_')} | {'measures'}
    assert asked <= set(vars(Reference))
    text = TASK.format(optimizer="'sgd'").replace("'mse'", 'tf_keras.losses.BinaryCrossentropy(from_logits=True)')
    first = "tf_keras.layers.Dense(2, input_shape=(2,), name='first')"
    text = text.replace('[tf_keras.layers.', f'[{first}, tf_keras.layers.')
    write(text.replace('build, examples)', "build, examples, skip=['first'])"), 'asked.py')
    reference = Reference('asked.py:task')
    assert (reference.logits, reference.skip) == (True, ('first',))


@pytest.mark.parametrize(('text', 'name', 'said'), [
    (None, 'task', r'nowhere.py of task cannot be read'),
    (TASK.format(optimizer="'sgd'"), 'tusk', r"has no tusk.*did you mean 'task'\?"),
    (TASK.format(optimizer="'sgd'"), 'other', r'is a int: give the name of a tf_lottery.KerasTask'),
    ('1 / 0', 'task', r'line 1 of .* ends in ZeroDivisionError'),
    (TASK.format(optimizer='3'), 'task', r'build\(0\) ends in'),
])
def test_what_leads_to_no_task_is_told(write, text, name, said):
    file = 'nowhere.py' if text is None else f'file_{abs(hash(text + name))}.py'
    if text:
        write(text, file)
    with pytest.raises(UsageError, match=said):
        load(f'{file}:{name}').facts()
