"""What the kinds of values take, and the sentences that they refuse others with."""

import math

import numpy as np
import pytest

from tf_lottery import values
from tf_lottery.errors import UsageError, shown

POSITIVE = values.number(lambda number: number > 0, 'give a number above 0')
SHARE = values.number(lambda share: 0 <= share < 1, 'give a number in [0, 1)')
LEVELS = values.distinct(values.whole(0, 9), '(3, 6)')


@pytest.mark.parametrize(('kind', 'value'), [
    (values.whole(1, 5), 1), (values.whole(1, 5), 5), (values.whole(0), 2**31 - 1), (POSITIVE, 1), (POSITIVE, 1.2e-38),
    (POSITIVE, 3.4e38), (POSITIVE, np.float64(0.1)), (SHARE, 0), (SHARE, 0.9999999), (values.optional(POSITIVE), None),
    (values.switch, True), (values.text('give a name', least=0), ''), (values.text('give a name'), 'LeNet, 3rd'),
    (values.one_of(['adam', 'sgd']), 'sgd'), (LEVELS, ()), (LEVELS, [3, 6]),
    (values.several(values.one_of(['adam']), ''), ('adam', 'adam'))])
def test_what_fits_is_taken(kind, value):
    kind('key', value)


@pytest.mark.parametrize(('kind', 'value', 'sentence'), [
    (values.whole(1, 5000), 0, 'key is 0: give a whole number of 1 or more, at most 5,000.'),
    (values.whole(1, 5000), 5001, 'key is 5001: give a whole number of 1 or more, at most 5,000.'),
    (values.whole(1, 5000), 3.0, 'key is 3.0: give a whole number of 1 or more, at most 5,000.'),
    (values.whole(1, 5000), True, 'key is True: give a whole number of 1 or more, at most 5,000.'),
    (values.whole(1, 5000), None, 'key is None: give a whole number of 1 or more, at most 5,000.'),
    (values.whole(1, 5000), np.int64(3), 'key is np.int64(3): give a whole number of 1 or more, at most 5,000.'),
    (POSITIVE, math.nan, 'key is nan: give a number above 0, a finite one.'),
    (POSITIVE, math.inf, 'key is inf: give a number above 0, a finite one.'),
    (POSITIVE, '0.1', "key is '0.1': give a number above 0."),
    (POSITIVE, True, 'key is True: give a number above 0.'),
    (POSITIVE, 0, 'key is 0: give a number above 0.'),
    (POSITIVE, 1e-40, 'key is 1e-40, which float32 takes for 0: give a number above 0, of float32.'),
    (POSITIVE, 1e39, 'key is 1e+39, which float32 takes for inf: give a number above 0, of float32.'),
    (SHARE, 1e-40, 'key is 1e-40, which float32 takes for 0: give a number in [0, 1), of float32.'),
    (SHARE, 1 - 1e-9, 'key is 0.999999999, which float32 takes for 1: give a number in [0, 1), of float32.'),
    (values.switch, 1, 'key is 1: give True or False.'),
    (values.switch, None, 'key is None: give True or False.'),
    (values.text('give a name'), '', "key is '': give a name."),
    (values.text('give a name'), 'a\nb', r"key is 'a\nb': give a name."),
    (values.text('give a name'), b'x', "key is b'x': give a name."),
    (values.one_of(['adam', 'sgd']), 'adm', "key is 'adm': choose one of adam, sgd. Did you mean 'adam'?"),
    (values.one_of(['adam', 'sgd']), [], 'key is []: choose one of adam, sgd.'),
    (values.one_of([f'name_{number:03}' for number in range(50)]), [],
     'key is []: choose one of the 50 that docs/guide.md lists.'),
    (LEVELS, 'x', "key is 'x': give a tuple, as in (3, 6)."),
    (LEVELS, 3, 'key is 3: give a tuple, as in (3, 6).'),
    (LEVELS, ('3',), "an element of key is '3': give a whole number of 0 or more, at most 9."),
    (LEVELS, (3, {}), 'an element of key is {}: give a whole number of 0 or more, at most 9.'),
    (LEVELS, (3, 4, 3), 'key has 3 2 times: give it once.')])
def test_anything_else_is_refused_in_one_sentence(kind, value, sentence):
    with pytest.raises(UsageError) as refused:
        kind('key', value)
    assert str(refused.value) == sentence


def test_what_an_error_shows_is_one_short_line():
    assert shown('500it') == "'500it'"
    assert shown(np.zeros((2, 2))) == 'array([[0., 0.], [0., 0.]])'
    assert shown('9' * 5000) == "'" + '9' * 399 + '...'
    # Python does not write it in decimals.
    assert shown(10**5000).startswith('0x') and len(shown(10**5000)) == 403


@pytest.mark.parametrize(('number', 'rounded'), [
    (0, 0.0), (0.5, 0.5), (-1e-45, 0.0), (1e-39, 0.0), (10**400, math.inf), (-1e39, -math.inf),
    (1 + 1e-9, 1.0), (2.0**-126, 2.0**-126)])
def test_float32_is_what_networks_train_in(number, rounded):
    assert values.in_float32(number) == rounded
