"""Ranks against Demšar's worked example, his table of critical values, and scipy."""

import numpy as np
import pytest
from scipy import stats

from workbench.ranking import Ranks, critical_difference, friedman_p, rank

NAMES = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
TABLE_6 = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)
"""AUC of four trees on 14 data sets: Demšar (2006), Table 6. It prints .975 twice for one data set; his mean ranks hold them apart, in this order."""


def test_demsars_example():
    found = rank(TABLE_6, NAMES)
    means = dict(zip(found.names, found.means, strict=True))
    # Printed below his Table 6 and in section 3.2.5: ranks, F = 3.69 with 3 and 39 degrees of freedom, critical difference 1.25.
    assert [round(means[name], 3) for name in NAMES] == [3.143, 2.0, 2.893, 1.964]
    assert found.p == pytest.approx(stats.f.sf(3.69, 3, 39), rel=0.02)
    assert found.critical == pytest.approx(1.25, abs=0.005)
    assert found.is_found
    # The ends are 1.179 apart: Nemenyi's test is not powerful enough to tell any two apart, as he says.
    assert found.ties() == [("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")]


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (10, 3.164)])
def test_critical_values_are_those_of_demsars_table_5(k, q):
    assert critical_difference(k, 10) == pytest.approx(q * np.sqrt(k * (k + 1) / 60), rel=1e-3)


def test_the_statistic_is_friedmans():
    table = np.random.default_rng(0).normal(size=(9, 4)) + np.arange(4) * 0.5
    chi_square = stats.friedmanchisquare(*table.T).statistic
    expected = stats.f.sf(8 * chi_square / (9 * 3 - chi_square), 3, 24)
    assert rank(table, "abcd").p == pytest.approx(expected)


def test_the_same_order_everywhere_leaves_no_doubt():
    found = rank([[1, 2, 3]] * 30, "abc")
    assert (found.p, found.names, found.means, found.ties()) == (0.0, ("c", "b", "a"), (1.0, 2.0, 3.0), [])
    assert rank([[1, 2, 3]] * 30, "abc", lower_is_better=True).names == ("a", "b", "c")


def test_equal_models_share_a_rank():
    found = rank([[1, 1, 1]] * 4, "abc")
    assert (found.means, found.p, found.ties()) == ((2.0, 2.0, 2.0), 1.0, [("a", "b", "c")])


def test_ties_overlap():
    found = Ranks(("a", "b", "c", "d"), (1.0, 1.8, 2.6, 4.6), 10, 0.01, 1.0)
    assert found.ties() == [("a", "b"), ("b", "c")]


def test_mistakes_are_said():
    for table in ([[1, 2]], [[1], [2]], [[1, np.nan], [1, 2]], [[1, 2, 3], [1, 2, 3]]):
        with pytest.raises(ValueError, match="two models and two blocks at least"):
            rank(table, "ab")
    assert np.isnan(critical_difference(1, 5))
    assert friedman_p(np.array([1.5, 1.5]), 4) == 1.0
