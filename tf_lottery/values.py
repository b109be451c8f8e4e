"""What a key of a config may hold: a kind of value refuses any other in one sentence, with the key and the remedy.

A kind is a function of (key, value) that raises UsageError. Values may be of any type: a config file can turn the type
checks of ml_collections off, and these let None and True through where a whole number belongs.
"""

import collections
import difflib

import numpy as np

from tf_lottery.errors import UsageError, shown
from tf_lottery.steps import LARGEST

# The smallest float32 above 0 that keeps its digits; XLA and TensorFlow take what is nearer to 0 for 0.
_TINY = float(np.finfo(np.float32).tiny)

# Names are listed in an error up to so many letters.
_LONGEST_LIST = 400


def whole(least, most=LARGEST):
    """The kind of whole numbers from `least` to `most`."""
    def check(key, value):
        # A bool is an int to Python, and what numpy counts in is not to JSON.
        if type(value) is not int or not least <= value <= most:
            raise UsageError(f'{key} is {shown(value)}: give a whole number of {least} or more, at most {most:,}.')

    return check


def number(fits, remedy):
    """The kind of finite numbers for which `fits` holds, also once they are float32, as networks are trained.

    Args:
      fits: function from a number to a bool.
      remedy: str, what to give instead.
    """
    def check(key, value):
        if isinstance(value, bool) or not isinstance(value, int | float) or (abs(value) < np.inf and not fits(value)):
            raise UsageError(f'{key} is {shown(value)}: {remedy}.')
        if not abs(value) < np.inf:
            raise UsageError(f'{key} is {value}: {remedy}, a finite one.')
        rounded = in_float32(value)
        if not np.isfinite(rounded) or not fits(rounded) or bool(rounded) != bool(value):
            raise UsageError(f'{key} is {shown(value)}, which float32 takes for {rounded:g}: {remedy}, of float32.')

    return check


def in_float32(value):
    """The float that a finite number is in float32, where what is too large is infinite and what is too small is 0."""
    largest = float(np.finfo(np.float32).max)
    if abs(value) > largest:
        return np.inf if value > 0 else -np.inf
    rounded = float(np.float32(value))
    return rounded if abs(rounded) >= _TINY else 0.0


def optional(kind):
    """The kind of what `kind` takes, or None."""
    def check(key, value):
        if value is not None:
            kind(key, value)

    return check


def switch(key, value):
    """The kind of True and False."""
    if not isinstance(value, bool):
        raise UsageError(f'{key} is {shown(value)}: give True or False.')


def text(remedy, least=1):
    """The kind of strings of one line, of at least so many characters; `remedy` says what to give instead."""
    def check(key, value):
        if not isinstance(value, str) or len(value) < least or not value.isprintable():
            raise UsageError(f'{key} is {shown(value)}: {remedy}.')

    return check


def one_of(names):
    """The kind of the strings in `names`."""
    def check(key, value):
        if not isinstance(value, str) or value not in names:
            near = difflib.get_close_matches(value, names, 1) if isinstance(value, str) else []
            hint = f' Did you mean {near[0]!r}?' if near else ''
            # Dozens of names are a table, which the guide has.
            known = ', '.join(names)
            known = known if len(known) <= _LONGEST_LIST else f'the {len(names)} that docs/guide.md lists'
            raise UsageError(f'{key} is {shown(value)}: choose one of {known}.{hint}')

    return check


def several(kind, example):
    """The kind of tuples whose elements are of a kind; `example` is how one is written."""
    def check(key, value):
        if not isinstance(value, tuple | list):
            raise UsageError(f'{key} is {shown(value)}: give a tuple, as in {example}.')
        for element in value:
            kind(f'an element of {key}', element)

    return check


def distinct(kind, example):
    """As `several`, each element once."""
    elements = several(kind, example)

    def check(key, value):
        elements(key, value)
        for element, times in collections.Counter(value).items():
            if times > 1:
                raise UsageError(f'{key} has {shown(element)} {times} times: give it once.')

    return check
