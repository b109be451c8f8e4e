"""Deleting weights in the order of their saliencies: of a loss that is quadratic the prediction is exact."""

import numpy as np
import pytest

from tf_lottery.errors import Interrupted
from tf_lottery.training import deletion

TRAINED = {'a/kernel': np.float32([[1, -2], [3, 0.5]]), 'a/bias': np.float32([7]), 'b/kernel': np.float32([[4]])}
CURVATURE = {'a/kernel': np.float32([[2, 1], [0, 8]]), 'b/kernel': np.float32([[0.5]]), 'c/kernel': np.float32([9])}


class Quadratic:
    """A loss of 0.25 at the trained weights, and h (w - w_T)^2 / 2 more of each kernel."""

    def __init__(self):
        self.seen = []

    def curvature(self, weights):
        assert weights is TRAINED
        return CURVATURE

    def loss(self, weights):
        self.seen.append(weights)
        return 0.25 + sum(float(np.sum(CURVATURE[name] * (weights[name] - TRAINED[name])**2 / 2))
                          for name in ('a/kernel', 'b/kernel'))


def test_what_the_saliencies_predict_is_the_loss_where_it_is_quadratic(monkeypatch):
    monkeypatch.setattr(deletion, 'PLACES', 6)
    quadratic = Quadratic()
    found = deletion.measure(quadratic, TRAINED, ['a/kernel', 'b/kernel'])
    assert found['deleted'] == [0, 0.2, 0.4, 0.6, 0.8, 1]
    # Saliencies 1, 2, 0, 1 of a, and 4 of b: 0, then the two of 1 by their index, 2 and 4.
    assert found['predicted'] == pytest.approx([0.25, 0.25, 1.25, 2.25, 4.25, 8.25])
    assert found['actual'] == pytest.approx(found['predicted'])
    # By magnitude 0.5, 1, 2, 3, 4.
    assert found['by_magnitude'] == pytest.approx([0.25, 1.25, 2.25, 4.25, 4.25, 8.25])
    third = quadratic.seen[4]
    assert third['a/kernel'].tolist() == [[0, -2], [0, 0.5]] and third['b/kernel'].tolist() == [[4]]
    assert third['a/bias'].tolist() == [7] and third['a/kernel'].dtype == np.float32


def test_weights_that_are_never_pruned_are_not_deleted(monkeypatch):
    monkeypatch.setattr(deletion, 'PLACES', 5)
    quadratic = Quadratic()
    assert deletion.measure(quadratic, TRAINED, ['a/kernel'])['actual'][-1] == pytest.approx(4.25)
    assert all(weights['b/kernel'].tolist() == [[4]] for weights in quadratic.seen)


def test_it_stops_before_the_next_loss():
    quadratic, calls = Quadratic(), iter([None, Interrupted(15, 'stop')])
    with pytest.raises(Interrupted):
        deletion.measure(quadratic, TRAINED, ['a/kernel'], lambda: next(calls))
    assert len(quadratic.seen) == 2
