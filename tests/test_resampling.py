"""Paired tests on samples, against the binomial, counted signs and simulated groups."""

from itertools import product
from math import comb

import numpy as np
import pytest
from scipy import stats

from workbench import resampling
from workbench.resampling import bootstrap_interval, flip_p, mcnemar, paired_groups


def by_hand(only_first: int, only_second: int) -> float:
    """Two-sided binomial of probability 1/2: twice the smaller tail, at most 1."""
    n = only_first + only_second
    return min(1.0, 2 * sum(comb(n, i) for i in range(min(only_first, only_second) + 1)) / 2**n)


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 1), (1, 9), (9, 1), (5, 5), (3, 12), (0, 6)])
def test_mcnemar_is_the_binomial_of_the_samples_where_one_only_is_right(only_first, only_second):
    first = np.repeat([1, 0, 1, 0], [only_first, only_second, 20, 7])
    second = np.repeat([0, 1, 1, 0], [only_first, only_second, 20, 7])
    assert mcnemar(first, second) == pytest.approx(by_hand(only_first, only_second))


def test_mcnemar_of_equal_models_and_of_samples_that_do_not_count():
    assert mcnemar([1, 0, 1], [1, 0, 1]) == 1.0
    assert mcnemar([1, 1, 1, 1, 1, np.nan], [0, 0, 0, 0, 0, 1]) == pytest.approx(by_hand(5, 0))
    with pytest.raises(ValueError, match=r"right \(1\) and wrong \(0\)"):
        mcnemar([0.5, 1], [0, 1])
    with pytest.raises(ValueError, match="two lists of one length"):
        mcnemar([1, 1], [0])


def test_few_groups_have_all_their_signs_counted():
    sums = np.random.default_rng(0).normal(0.4, 1, 9)
    totals = [abs(np.dot(signs, sums)) for signs in product((1, -1), repeat=9)]
    assert flip_p(sums) == pytest.approx(np.mean([total >= abs(sums.sum()) - 1e-12 for total in totals]))
    assert flip_p(np.array([1.0, 2.0, 3.0])) == 2 / 8
    # Groups without a difference say nothing.
    assert flip_p(np.array([1.0, 2.0, 0.0, 3.0, 0.0])) == 2 / 8
    assert flip_p(np.zeros(4)) == 1.0


def test_exact_flips_agree_with_scipy():
    difference = np.random.default_rng(3).normal(0.3, 1, 12)
    found = stats.permutation_test((difference, np.zeros(12)), lambda a, b, axis: (a - b).mean(axis), permutation_type="samples", n_resamples=np.inf)
    assert flip_p(difference) == pytest.approx(found.pvalue, abs=1e-3)


def test_drawn_flips_come_near_the_counted_ones(monkeypatch):
    sums = np.random.default_rng(1).normal(0.5, 1, 12)
    counted = flip_p(sums)
    monkeypatch.setattr(resampling, "EXACT_UP_TO", 4)
    monkeypatch.setattr(resampling, "CHUNK", 5000)
    assert flip_p(sums, draws=20_000) == pytest.approx(counted, abs=4 * np.sqrt(counted / 20_000))
    assert flip_p(sums, seed=1) == flip_p(sums, seed=1)
    assert flip_p(np.ones(40), draws=100) == pytest.approx(1 / 101)


def simulated(random: np.random.Generator, groups: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Differences whose groups have levels of their own (sd 1, samples sd 1), true mean 0, and the group of each."""
    sizes = random.integers(1, 2 * size, groups)
    place = np.repeat(np.arange(groups), sizes)
    return random.normal(0, 1, groups)[place] + random.normal(0, 1, len(place)), place


@pytest.mark.parametrize("groups", [8, 40])
def test_the_interval_over_groups_holds_the_truth_in_95_of_100(groups):
    random = np.random.default_rng(groups)
    hits, blind = [], []
    for number in range(120):
        values, place = simulated(random, groups, 10)
        found = paired_groups(values, np.zeros_like(values), place, draws=250, seed=number)
        alone = paired_groups(values, np.zeros_like(values), draws=250, seed=number)
        hits.append(found.low <= 0 <= found.high)
        blind.append(alone.low <= 0 <= alone.high)
    assert 0.91 <= np.mean(hits) <= 0.99
    # Samples one by one pass for more evidence than they are.
    assert np.mean(blind) < 0.75


def test_flips_of_groups_hold_their_level_and_those_of_samples_do_not():
    random = np.random.default_rng(5)
    found, blind = [], []
    for number in range(120):
        values, place = simulated(random, 12, 10)
        found.append(flip_p(np.bincount(place, values)) < 0.05)
        blind.append(flip_p(values, draws=250, seed=number) < 0.05)
    assert np.mean(found) <= 0.08
    assert np.mean(blind) > 0.2


def test_the_interval_of_many_samples_is_that_of_the_normal():
    values = np.random.default_rng(2).normal(0.2, 1, 2000)
    found = paired_groups(values, np.zeros(2000), draws=3000)
    half = 1.96 * values.std(ddof=1) / np.sqrt(2000)
    assert found.mean == pytest.approx(values.mean())
    assert [found.low, found.high] == pytest.approx([values.mean() - half, values.mean() + half], abs=0.004)
    assert found.n == 2000
    assert found.p == pytest.approx(1 / 5001, abs=1e-3)


def test_the_mean_is_over_samples_and_n_counts_groups():
    found = paired_groups([1, 1, 1, 0, np.nan], [0, 0, 0, 1, 0], ["a", "a", "a", "b", "c"])
    assert (found.mean, found.n) == (0.5, 2)
    one = paired_groups([1, 1], [0, 0], ["a", "a"])
    assert (one.n, one.is_found, np.isnan(one.low)) == (1, False, True)


def test_mistakes_are_said():
    with pytest.raises(ValueError, match="must have one length"):
        paired_groups([1, 0], [0, 0], ["a"])
    with pytest.raises(ValueError, match="no sample counts"):
        paired_groups([np.nan], [0.0])


def test_drawing_in_pieces_gives_the_same_kind_of_interval(monkeypatch):
    sums, sizes = np.random.default_rng(0).normal(1, 1, 30), np.full(30, 3.0)
    whole = bootstrap_interval(sums, sizes)
    monkeypatch.setattr(resampling, "CHUNK", 3000)
    assert bootstrap_interval(sums, sizes) == pytest.approx(whole, abs=0.02)
