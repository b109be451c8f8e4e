"""Tests of tf_lottery/training/metrics.py."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tf_lottery.training import metrics

COLUMNS = ('step', 'train_loss', 'validation_loss', 'validation_mae', 'test_loss', 'test_mae')


@given(st.lists(st.builds(
    lambda step, numbers: dict(zip(COLUMNS, [step, *numbers], strict=True)), st.integers(0, 10**7),
    st.lists(st.floats(allow_nan=False), min_size=5, max_size=5)), min_size=1))
def test_csv_reads_back_to_the_same_bits(rows):
    text = metrics.to_csv(rows)
    assert metrics.from_csv(text) == rows
    assert metrics.to_csv(metrics.from_csv(text)) == text


def test_csv_is_a_header_of_the_columns_that_rows_have_and_a_line_per_evaluation():
    text = metrics.to_csv([{'step': 100, 'train_loss': 0.1, 'test_reward': math.nan},
                           {'step': 200, 'train_loss': 0.5, 'test_reward': -2.0}])
    assert text == ('step,train_loss,test_reward\n'
                    '100,0.1,nan\n'
                    '200,0.5,-2.0\n')
    assert math.isnan(metrics.from_csv(text)[0]['test_reward'])


def test_the_last_row_may_have_more_columns():
    rows = [{'step': 100, 'test_loss': 0.5}, {'step': 200, 'test_loss': 0.25, 'test_bleu': 30.0}]
    text = metrics.to_csv(rows)
    assert text == 'step,test_loss,test_bleu\n100,0.5,\n200,0.25,30.0\n'
    assert metrics.from_csv(text) == rows
