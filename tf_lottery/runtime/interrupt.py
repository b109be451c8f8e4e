"""SIGTERM and Ctrl-C as a request to save and leave."""

import contextlib
import signal
import threading

from tf_lottery.errors import Interrupted


class StopRequest:
    """Whether a signal asked this process to stop; called between blocks of training steps."""

    def __init__(self):
        self._signal = None

    def __call__(self):
        """Returns the exception to raise once everything is saved, or None to go on."""
        if self._signal is None:
            return None
        return Interrupted(self._signal, f'Stopped by {signal.Signals(self._signal).name}; everything is saved. '
                           'The same command goes on from here.')

    def _note(self, number, frame):
        self._signal = number
        # A second signal ends the process at once: what was saved stays good.
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@contextlib.contextmanager
def on_signals():
    """Yields a StopRequest that SIGTERM and SIGINT set, and puts the former handlers back afterwards.

    In a thread that is not the main one nothing sets it.

    Raises:
      Interrupted: at the end, where a signal came after the last call of the request.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        # Python lets no other one handle signals: whoever started it has to.
        yield request
        return
    former = {number: signal.signal(number, request._note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    late = request()
    if late:
        raise late
