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


@pytest.mark.parametrize('text', ['2147483648it', '2147483648ep', '110000000ep', '9' * 40 + 'it', '9' * 5000 + 'it'])
def test_a_length_that_no_counter_holds_is_refused(text):
    with pytest.raises(UsageError, match=r"^'\d+.* is longer than 2,147,483,647 steps: give a shorter length\.$"):
        steps.parse(text, 20)


def test_the_longest_length():
    assert steps.parse('2147483647it', 20) == 2**31 - 1
    assert steps.parse('0' * 5000 + '7ep', 20) == 140


def test_several_lengths_are_sorted_and_counted_once():
    assert steps.parse_list('500it, 0it,2ep,40it', 20) == (0, 40, 500)
    for text in ('500it,', 3, None, ('500it',)):
        with pytest.raises(UsageError, match='is not a length of training'):
            steps.parse_list(text, 20)
