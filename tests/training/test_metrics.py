"""Tests of tf_lottery/training/metrics.py."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_lottery.training import metrics


def _row(step, **values):
    return {**dict.fromkeys(metrics.COLUMNS, 0.5), 'step': step, **values}


@given(st.lists(st.builds(
    lambda step, numbers: dict(zip(metrics.COLUMNS, [step, *numbers], strict=True)), st.integers(0, 10**7),
    st.lists(st.floats(allow_nan=False), min_size=5, max_size=5))))
def test_csv_reads_back_to_the_same_bits(rows):
    text = metrics.to_csv(rows)
    assert metrics.from_csv(text) == rows
    assert metrics.to_csv(metrics.from_csv(text)) == text


def test_csv_is_a_header_and_a_line_per_evaluation():
    text = metrics.to_csv([_row(100, train_loss=0.1, test_loss=math.nan)])
    assert text == ('step,train_loss,validation_loss,validation_accuracy,test_loss,test_accuracy\n'
                    '100,0.1,0.5,0.5,nan,0.5\n')
    assert math.isnan(metrics.from_csv(text)[0]['test_loss'])


@pytest.mark.parametrize(('losses', 'step'), [
    ([0.3, 0.2, 0.4], 2), ([0.2, 0.2, 0.2], 1), ([math.nan, 0.7, math.inf], 2), ([math.nan], None), ([], None)])
def test_early_stop_is_the_first_minimum_of_validation_loss(losses, step):
    rows = [_row(number, validation_loss=loss) for number, loss in enumerate(losses, 1)]
    best = metrics.early_stop(rows)
    assert (best and best['step']) == step
