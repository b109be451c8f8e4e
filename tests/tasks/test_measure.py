"""Tests of tf_lottery/tasks/measure.py: what numbers are called, and which of two is better."""

import dataclasses
import json
import math

import pytest

from tf_lottery.tasks.measure import ACCURACY, CLASSIFICATION, LOSS, Measure, Measures

MAE = Measure('mae', 'mean absolute error', 'mm', 1000.0, digits=1)
REWARD = Measure('reward', 'reward', higher=True, digits=0)


@pytest.mark.parametrize(('measure', 'value', 'expected'), [
    (ACCURACY, 0.98214, '98.21 %'), (MAE, 0.01239, '12.4 mm'), (REWARD, 195.1, '195'), (LOSS, 0.25, '0.2500'),
    (REWARD, 3.0, '3'), (LOSS, 1.234e-6, '1.234e-06'), (LOSS, 0.0, '0.0000'), (ACCURACY, 1e-6, '0.00 %')])
def test_a_value_is_shown_in_its_unit(measure, value, expected):
    assert measure.with_unit(value) == expected


@pytest.mark.parametrize(('measure', 'better', 'worse'), [(ACCURACY, 0.9, 0.8), (MAE, 1.0, 3.0), (REWARD, 200, -5)])
def test_a_gain_and_an_error_say_which_of_two_is_better(measure, better, worse):
    assert measure.gain(better, worse) > 0 > measure.gain(worse, better)
    assert measure.error(better) < measure.error(worse)
    assert measure.error(worse) - measure.error(better) == pytest.approx(measure.gain(better, worse))


def test_what_a_measure_is_called():
    assert [ACCURACY.axis(), MAE.axis(), REWARD.axis()] == [
        'test accuracy (%)', 'test mean absolute error (mm)', 'test reward']
    assert [ACCURACY.points, MAE.points] == ['points', 'mm']
    assert [ACCURACY.error_title, MAE.error_title, REWARD.error_title] == [
        'error', 'mean absolute error', 'negative reward']
    assert [ACCURACY.no_worse(), MAE.no_worse()] == ['no less accuracy', 'no more mean absolute error']


def test_what_is_taken_of_training_is_not_said_to_be_of_the_test_set():
    played = dataclasses.replace(REWARD, taken_of='the last 100 games of training')
    assert [each.on_test for each in (ACCURACY, REWARD, played)] == ['test accuracy', 'test reward', 'reward']
    assert [each.heading for each in (ACCURACY, played)] == ['Test accuracy', 'Reward']
    assert [played.axis(), played.axis('reward at level 1')] == ['reward', 'reward at level 1']
    # Runs of before do not say so, and lie in the same folders.
    assert Measures((played,)) == Measures((REWARD,))
    assert Measures.from_json(json.loads(json.dumps(Measures((played,)).to_json()))).lead.taken_of


def test_columns_have_an_early_stop_only_where_there_is_one():
    assert CLASSIFICATION.columns == ('early_stop_step', 'early_stop_test_accuracy', 'final_test_accuracy')
    assert Measures((MAE, ACCURACY), None).columns == ('final_test_mae', 'final_test_accuracy')
    assert [Measures((MAE, ACCURACY)).measure(column) for column in Measures((MAE, ACCURACY)).columns] == [
        None, MAE, MAE, ACCURACY, ACCURACY]


@pytest.mark.parametrize(('measures', 'step'), [
    (Measures((MAE,)), 2), (Measures((MAE,), 'validation_mae'), 1), (Measures((REWARD,), 'validation_reward', True), 3),
    (Measures((MAE,), None), None)])
def test_the_early_stop_is_where_its_measure_is_best(measures, step):
    rows = [{'step': 1, 'validation_loss': 3.0, 'validation_mae': 1.0, 'validation_reward': 1.0},
            {'step': 2, 'validation_loss': 1.0, 'validation_mae': 2.0, 'validation_reward': math.nan},
            {'step': 3, 'validation_loss': 1.0, 'validation_mae': 1.0, 'validation_reward': 9.0},
            {'step': 4, 'validation_loss': math.inf, 'validation_mae': math.nan, 'validation_reward': math.inf}]
    found = measures.find_early_stop(rows)
    assert (found and found['step']) == step


def test_there_is_no_early_stop_among_numbers_that_are_not_finite():
    assert CLASSIFICATION.find_early_stop([{'step': 1, 'validation_loss': math.nan}]) is None


def test_an_early_stop_is_named():
    assert CLASSIFICATION.early_stop_title == 'validation loss'
    assert Measures((MAE,), 'validation_mae').early_stop_title == 'validation mean absolute error'
    assert Measures((REWARD,), 'validation_reward', True).early_stop_extreme == ('maximum', 'highest')
    assert Measures((MAE,), None).early_stop_title is None


@pytest.mark.parametrize('measures', [CLASSIFICATION, Measures((MAE, REWARD), 'validation_reward', True)])
def test_json_holds_it(measures):
    assert Measures.from_json(json.loads(json.dumps(measures.to_json()))) == measures


def test_results_of_before_are_of_classification():
    assert Measures.from_json(None) == CLASSIFICATION


def test_what_is_measured_at_the_end_only_has_no_early_stop():
    bleu = Measure('bleu', 'BLEU', higher=True, digits=2, ends=True, how='of greedy translations')
    both = Measures((bleu, LOSS))
    assert both.columns == ('early_stop_step', 'final_test_bleu', 'early_stop_test_loss', 'final_test_loss')
    assert both.at_early_stop() == both.at_end() == 'final_test_bleu'
    assert both.on_the_way is LOSS
    assert CLASSIFICATION.on_the_way is ACCURACY
    assert Measures.from_json(json.loads(json.dumps(both.to_json()))) == both
