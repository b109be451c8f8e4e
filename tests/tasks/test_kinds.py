"""Which keys of a config belong to which kind of task."""

import types

import pytest

from tf_lottery import tasks, values
from tf_lottery.errors import UsageError
from tf_lottery.experiment import config as configs


@pytest.fixture
def config(monkeypatch):
    def add_defaults(config):
        config.knots = {'count': 3}

    kind = types.SimpleNamespace(add_defaults=add_defaults, VALUES={'knots.count': values.whole(1)},
                                 READS=('training.precision',), ABOUT='untying', task=lambda config, data_dir: 'task')
    monkeypatch.setitem(tasks.KINDS, 'knots', kind)
    config = configs.defaults()
    return config


def test_kind_is_chosen_by_its_name(config):
    assert tasks.find(config).facts().about == 'lenet_300_100 on mnist'
    config.task = 'knots'
    assert tasks.find(config) == 'task'


@pytest.mark.parametrize(('task', 'key', 'value', 'sentence'), [
    (None, 'knots.count', 4, "knots.count is 4, which is for untying: leave it out, or choose task='knots'."),
    ('knots', 'data.flip', True,
     "data.flip is True, which is for image classification: leave it out, or leave out task='knots'."),
    ('own.py:task', 'training.precision', 'mixed_bfloat16', "training.precision is 'mixed_bfloat16', which is for "
     "image classification: leave it out, or leave out task='own.py:task'."),
])
def test_keys_of_other_kinds_are_refused(config, task, key, value, sentence):
    config.task = task
    tasks.require_unread(config)
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UsageError) as error:
        tasks.require_unread(config)
    assert str(error.value) == sentence


@pytest.mark.parametrize(('task', 'key', 'value'), [('knots', 'knots.count', 4), (None, 'data.flip', True),
                                                    ('knots', 'training.precision', 'mixed_bfloat16')])
def test_keys_that_are_read_are_taken(config, task, key, value):
    config.task = task
    config.update_from_flattened_dict({key: value})
    tasks.require_unread(config)


def test_unknown_kind(config):
    config.task = 'knot'
    with pytest.raises(UsageError, match="^unknown task 'knot': give one of .*knots, or one of your own as "
                                         "FILE.py:NAME or PACKAGE.MODULE:NAME. Did you mean 'knots'\\?$"):
        tasks.find(config)
