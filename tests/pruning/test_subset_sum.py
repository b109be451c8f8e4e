"""Which products make up a weight: hand-made cases, against all subsets one by one, and how near that comes."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_lottery.pruning import subset_sum
from tf_lottery.pruning.subset_sum import (
    WAYS,
    best_product,
    best_subset,
    bound_of_best_product,
    typical_of_best_subset,
)


def random_products(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, shape) * rng.uniform(-1, 1, shape)


def errors(choose, products, targets):
    return np.abs((choose(products, targets) * products).sum(axis=1) - targets)


@pytest.mark.parametrize(('target', 'kept'), [
    (0.55, [True, False, False]), (-0.21, [False, True, False]), (0.2, [False, False, True]),
    # Nothing is nearer than any product; as near as the nearest; nearer products of the other sign do not count.
    (0.1, [False, False, False]), (0.125, [False, False, False]), (-0.1, [False, False, False])])
def test_the_best_product_is_the_nearest_one_or_none(target, kept):
    assert best_product(np.array([[0.5, -0.25, 0.25]]), np.array([target])).tolist() == [kept]


def test_of_equal_products_one_is_kept():
    assert best_product(np.array([[0.1, 0.5, 0.5]]), np.array([0.6])).tolist() == [[False, True, False]]


@pytest.mark.parametrize(('target', 'kept'), [
    (0.375, [False, True, True, False]), (0.26, [False, True, False, False]), (9.0, [True, True, True, False]),
    (-9.0, [False, False, False, True]), (0.01, [False, False, False, False]), (-0.63, [False, True, True, True]),
    (0.125, [False, False, True, False])])
def test_the_best_subset_of_products_whose_sums_are_known(target, kept):
    assert best_subset(np.array([[0.5, 0.25, 0.125, -1.0]]), np.array([target])).tolist() == [kept]


numbers = st.floats(-1, 1)


@given(st.integers(1, 8).flatmap(lambda count: st.lists(
    st.tuples(st.lists(numbers, min_size=count, max_size=count), numbers), min_size=1, max_size=4)))
def test_no_subset_is_nearer_than_the_best_one(rows):
    products, targets = np.array([row for row, _ in rows]), np.array([target for _, target in rows])
    every = np.array(list(itertools.product((0, 1), repeat=products.shape[1])))
    nearest = np.abs(products @ every.T - targets[:, None]).min(axis=1)
    assert errors(best_subset, products, targets) == pytest.approx(nearest, abs=1e-12)
    assert (errors(best_product, products, targets) >= nearest - 1e-12).all()


@pytest.mark.parametrize('count', [1, 2, 7, 12])
def test_rows_are_alike_however_many_are_searched_at_once(count, monkeypatch):
    products, targets = random_products((50, count)), np.linspace(-0.5, 0.5, 50)
    at_once = best_subset(products, targets)
    monkeypatch.setattr(subset_sum, '_MEMORY', 1)
    assert np.array_equal(best_subset(products, targets), at_once)


def test_nothing_is_kept_of_no_rows():
    for way in WAYS.values():
        assert way.choose(np.zeros((0, 4)), np.zeros(0)).shape == (0, 4)


def test_as_many_products_as_a_way_takes():
    products = random_products((2, WAYS['pensia'].most))
    # The median of one product more would be half as large.
    assert errors(best_subset, products, np.array([0.3, -0.4])).max() < 1e-6


@pytest.mark.parametrize('error', [0.01, 0.2, 0.5])
def test_the_chance_of_a_product_near_one_half_is_the_integral_of_the_density(error):
    points, width = np.linspace(0.5 - error, 0.5 + error, 2_000_001, retstep=True)
    middles = points[:-1] + width / 2
    assert subset_sum._near(error) == pytest.approx((-np.log(middles) / 2).sum() * width, rel=1e-6)
    assert subset_sum._near(error) == pytest.approx(
        (np.abs(random_products(1_000_000) - 0.5) <= error).mean(), rel=0.05)


@pytest.mark.parametrize(('width', 'weights'), [(32, 1), (256, 500_000), (1000, 10)])
def test_the_bound_is_where_the_chance_is_used_up(width, weights):
    bound = bound_of_best_product(width, weights, 0.05)
    assert weights * (1 - subset_sum._near(bound / 2))**width == pytest.approx(0.05)


def test_no_error_is_larger_than_the_weight():
    assert bound_of_best_product(1, 1) == pytest.approx(1)
    assert bound_of_best_product(8, 500_000) == pytest.approx(1)


def test_the_bound_holds_for_the_worst_weight_and_falls_like_one_over_the_products():
    width, count = 64, 4000
    shares = errors(best_product, random_products((count, width)), np.full(count, 0.5)) / 0.5
    # It is exact for a single weight of 1/2.
    assert np.mean(shares > bound_of_best_product(width, 1, 0.05)) == pytest.approx(0.05, abs=0.015)
    assert bound_of_best_product(1000, 10) / bound_of_best_product(4000, 10) == pytest.approx(4, rel=0.02)
    # Of small errors it is ln(N / chance) / (n ln 2), over the largest weight.
    assert bound_of_best_product(100_000, 10) == pytest.approx(
        math.log(10 / 0.05) / (100_000 * math.log(2)) / 0.5, rel=1e-3)


@pytest.mark.parametrize('width', [8, 12, 16])
def test_the_median_of_the_best_subset_is_near_what_counting_says(width):
    measured = np.median(errors(best_subset, random_products((2000, width)), np.full(2000, 0.05))) / 0.5
    assert typical_of_best_subset(width) == pytest.approx(measured, rel=0.15)


def test_the_counted_median_halves_with_each_product():
    assert typical_of_best_subset(1000) / typical_of_best_subset(1001) == pytest.approx(2, rel=1e-3)
    # ln 2 sqrt(pi) / 3 / 2^2, of the largest weight, which is 1/2.
    assert typical_of_best_subset(1) == pytest.approx(2 * math.log(2) * math.sqrt(math.pi) / 12)
    assert typical_of_best_subset(4096) == 0.0
