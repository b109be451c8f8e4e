"""What all tests share: Keras 2 before anything imports TensorFlow, and property tests that draw the same cases."""

import sys

import hypothesis
import pytest

import tf_lottery  # noqa: F401

hypothesis.settings.register_profile('tests', deadline=None, derandomize=True, database=None, max_examples=100)
hypothesis.settings.load_profile('tests')


@pytest.fixture(autouse=True)
def fresh_names():
    """The first dense layer of a test is called 'dense', whatever ran before it in this process."""
    if 'tf_keras' in sys.modules:
        sys.modules['tf_keras'].backend.reset_uids()


@pytest.fixture(scope='session')
def digits():
    """The embedded handwritten digits, split as in an experiment."""
    from tf_lottery import data
    return data.load('digits')
