"""A signal is a request to save and leave, and no request is lost."""

import os
import signal

import pytest

from tf_lottery.errors import Interrupted
from tf_lottery.runtime.interrupt import on_signals


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_raised_by_who_asks(number):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f'^Stopped by {number.name}; everything') as told, on_signals() as stop:
        assert stop() is None
        os.kill(os.getpid(), number)
        raise stop()
    assert told.value.signal == number
    assert signal.getsignal(number) is before


def test_a_signal_that_nobody_asked_for_any_more_is_raised_at_the_end():
    done = []
    with pytest.raises(Interrupted, match='^Stopped by SIGTERM'), on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        done.append(1)
    assert done == [1]


def test_an_error_is_not_hidden_by_a_signal():
    with pytest.raises(ZeroDivisionError), on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        raise ZeroDivisionError
