"""The errors that end in one sentence for the user instead of a traceback."""

import re


class UsageError(ValueError):
    """Something the user wrote cannot be done; the message names the value and the remedy."""

    # One that is raised while TensorFlow traces a function stays of this kind.
    __init__ = Exception.__init__


class EmptiedError(UsageError):
    """A ranking leaves a layer without weights, which is known only once they have been trained."""


class HeldError(UsageError):
    """Another process works in a folder; `owner` names it."""

    def __init__(self, folder, owner):
        super().__init__(f'{folder} is being used by another process ({owner}): wait for it, or choose another '
                         '--workdir.')
        self.owner = owner


class StorageError(OSError):
    """A file of a run cannot be read or written; the message names it and the remedy."""


class MissingFileError(StorageError):
    """A file that was to be read is not there."""


class CorruptFileError(StorageError):
    """A file is there but is not what was written."""


class LeftOutError(ArithmeticError):
    """A run cannot be trained, and the experiment goes on without it.

    Args:
      message: str, why.
      outcome: how the run ends, one of `runs.OUTCOMES`.
      after: the folder, below the experiment's, of the run that it could not be made from; None where it is of none.
    """

    def __init__(self, message, outcome, after):
        super().__init__(message)
        self.outcome, self.after = outcome, after


class Interrupted(Exception):
    """SIGTERM or Ctrl-C arrived and everything has been saved; `signal` is its number."""

    def __init__(self, signal, message):
        super().__init__(message)
        self.signal = signal


class ExportError(RuntimeError):
    """What was exported is not what was trained; nothing of it was kept."""


class ClusterError(RuntimeError):
    """One of several workers is gone, or they do not agree; each of them stops."""


def reason(error):
    """The first line of an error of TensorFlow's, without the names of the operations that it begins and ends with."""
    text = str(error)
    # Of a function that Keras has built, the reason comes after where each of its lines was called.
    if 'Detected at node' in text and '\n\t [[' in text:
        text = text.split('\n\t [[')[0].splitlines()[-1]
    lines = re.sub(r'{{.*?}}|\[Op:.*|Graph execution error:', '', text).strip().splitlines()
    return lines[0].strip(' ."') if lines else type(error).__name__


# What is longer is cut off in errors.
_LONGEST = 400


def shown(value):
    """A value as an error names it: its repr, in one line of bounded length."""
    # Python refuses to write whole numbers of more than 4,300 digits in decimals.
    return in_one_line(hex(value) if isinstance(value, int) and value.bit_length() > 1000 else repr(value))


def in_one_line(text):
    """What a value or an error says of itself, in one line of bounded length."""
    line = ' '.join(str(text).split())
    return line if len(line) <= _LONGEST else f'{line[:_LONGEST]}...'
