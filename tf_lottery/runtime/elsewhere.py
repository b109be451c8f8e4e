"""Calls a function in a process of its own, so that TensorFlow has not begun in this one.

Once TensorFlow has run anything, devices cannot be split and workers cannot meet any more: what has to be known before
a strategy is built is found out elsewhere.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile

from tf_lottery import errors
from tf_lottery.errors import StorageError, UsageError
from tf_lottery.runtime import keras2, objects


def call(reference, *arguments):
    """Calls a function in a fresh process that sees no GPU, with this one's working directory and path of modules.

    Args:
      reference: str, 'package.module:name', as of `objects.load`.
      *arguments: what JSON can hold.

    Returns:
      What the function returns, read from JSON.

    Raises:
      UsageError, StorageError: as the function does; or the process ended without an answer.
    """
    path = os.pathsep.join(place or os.getcwd() for place in sys.path)
    environment = {**os.environ, 'PYTHONPATH': path, 'TF_CPP_MIN_LOG_LEVEL': '3', 'CUDA_VISIBLE_DEVICES': '-1'}
    with tempfile.TemporaryDirectory() as folder:
        job = os.path.join(folder, 'job.json')
        with open(job, 'w') as file:
            json.dump([reference, arguments], file)
        done = subprocess.run([sys.executable, '-m', __name__, job], env=environment)
        if done.returncode:
            why = signal.strsignal(-done.returncode) if done.returncode < 0 else f'exit code {done.returncode}'
            raise UsageError(f'{reference}{arguments} ended without an answer ({why}): mend what it printed.')
        with open(job) as file:
            kind, answer = json.load(file)
    if kind:
        raise getattr(errors, kind)(answer)
    return answer


def _answer(job):
    """What the other process does: writes (name of the error, its sentence), or (None, the answer), into the file."""
    with open(job) as file:
        reference, arguments = json.load(file)
    try:
        # Its module may import TensorFlow's libraries, and they greet.
        with keras2.quiet_start():
            function = objects.load(reference, 'function')
        answer = None, function(*arguments)
    except (UsageError, StorageError) as error:
        answer = type(error).__name__, str(error)
    with open(job, 'w') as file:
        json.dump(answer, file)


if __name__ == '__main__':
    _answer(sys.argv[1])
