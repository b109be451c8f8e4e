"""Lengths of training."""

import pytest

from tf_lottery import steps
from tf_lottery.errors import UsageError


@pytest.mark.parametrize(('text', 'steps_per_epoch', 'expected'), [
    ('500it', None, 500), ('500it', 20, 500), ('0it', None, 0), ('4ep', 20, 80), ('0ep', 20, 0), ('007it', None, 7)])
def test_a_length_is_counted_in_steps(text, steps_per_epoch, expected):
    assert steps.parse(text, steps_per_epoch) == expected


@pytest.mark.parametrize('text', [
    '', '500', 'it', '-5it', '1.5ep', '5 it', '5its', '5EP', ' 5it', '5it\n', 500, None, b'5it'])
def test_anything_else_is_refused_with_both_forms(text):
    with pytest.raises(UsageError, match=r"is not a length of training: write steps as '500it' or epochs as '4ep'"):
        steps.parse(text, 20)


def test_epochs_need_a_known_length():
    with pytest.raises(UsageError, match=r"'4ep' is in epochs, whose length is not known here"):
        steps.parse('4ep', None)
