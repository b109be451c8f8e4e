"""Tests of tf_lottery/reporting/pictures/curves.py on hand-made runs."""

import pytest
from fake_runs import frames, save_experiment, save_run
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
