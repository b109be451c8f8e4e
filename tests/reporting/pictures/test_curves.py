"""Tests of tf_lottery/reporting/pictures/curves.py on hand-made runs."""

import pytest
from fake_runs import TRANSLATION, frames, save_experiment, save_run
from figures import labels

from tf_lottery.reporting.pictures import curves
from tf_lottery.tasks.measure import ACCURACY


def test_learning_curves_are_means_over_replicates_at_six_levels(compared):
    frame, _ = compared
    figure = curves.learning_curves(frame[frame['branch'] == 'ticket'], ACCURACY)
    assert len(figure.axes[0].lines) == 6
    assert labels(figure) == ['100 %', '41.0 %', '16.8 %', '6.9 %', '2.8 %', '1.2 %', 'Winning ticket']
    dense = figure.axes[0].lines[0]
    assert list(dense.get_xdata()) == [100, 200, 300]
    assert list(dense.get_ydata()) == pytest.approx([50, 91, 80])


def test_each_measure_has_learning_curves_in_its_unit(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path), measures=TRANSLATION, accuracy=26.0, final=27.0, others=[(42.0, 41.0)])
    bleu, perplexity = curves.draw(*frames(tmp_path))
    assert [bleu.name, perplexity.name] == ['learning_curves', 'learning_curves_perplexity']
    assert [list(picture.figure.axes[0].lines[0].get_ydata()) for picture in (bleu, perplexity)] == [
        [0.5, 26.0, 27.0], [0.5, 42.0, 41.0]]
    assert [picture.figure.axes[0].get_ylabel() for picture in (bleu, perplexity)] == ['test BLEU', 'test perplexity']
    assert 'Lines may leave the picture at the bottom' in bleu.caption
    assert 'Lines may leave the picture at the top' in perplexity.caption


def test_learning_curves_of_random_reinitialisations_are_dashed(tmp_path):
    save_experiment(str(tmp_path))
    save_run(str(tmp_path))
    for branch in ('ticket', 'random_reinit'):
        save_run(str(tmp_path), branch, 1)
    figure = curves.learning_curves(frames(tmp_path)[0], ACCURACY)
    dense, reinit, ticket = figure.axes[0].lines
    assert dense.is_dashed() is ticket.is_dashed() is False
    assert reinit.is_dashed()
    assert reinit.get_color() is not dense.get_color()
    assert (reinit.get_color() == ticket.get_color()).all()
    assert labels(figure) == ['100 %', '80.0 %', 'Winning ticket', 'Random reinitialisation']
