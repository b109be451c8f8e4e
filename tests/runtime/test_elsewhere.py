"""Functions that are called in a process of their own."""

import sys

import pytest

from tf_lottery.errors import StorageError, UsageError
from tf_lottery.runtime import elsewhere

MODULE = """
import os

from tf_lottery.errors import MissingFileError, UsageError

def where(pair, name):
    return {'pair': pair, 'name': name, 'folder': os.getcwd(), 'process': os.getpid()}

def refuse():
    raise UsageError('give more.')

def miss():
    raise MissingFileError('x is not there.')

def die():
    os.kill(os.getpid(), 9)

def fail():
    os._exit(3)
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / 'there.py').write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_a_function_is_called_with_the_same_folder_and_modules(tmp_path):
    found = elsewhere.call('there:where', (1, 2), 'x')
    assert found == {'pair': [1, 2], 'name': 'x', 'folder': str(tmp_path), 'process': found['process']}
    assert 'there' not in sys.modules


def test_its_errors_are_raised_here():
    with pytest.raises(UsageError, match=r'^give more\.$'):
        elsewhere.call('there:refuse')
    with pytest.raises(StorageError, match=r'^x is not there\.$'):
        elsewhere.call('there:miss')


@pytest.mark.parametrize(('name', 'why'), [('die', 'Killed'), ('fail', 'exit code 3')])
def test_a_process_that_ends_without_an_answer_is_told(name, why):
    with pytest.raises(UsageError, match=rf'^there:{name}\(\) ended without an answer \({why}\): mend what it printed'):
        elsewhere.call(f'there:{name}')
