"""How numbers over seeds are computed and written: against scipy, and by hand."""

import numpy as np
import pytest
from scipy import stats

from workbench.statistics import (
    Difference,
    holm,
    holm_adjusted,
    mean_and_spread,
    mean_interval,
    p_value,
    paired_difference,
    say_difference,
    score,
    spread_places,
)

NAN = float("nan")


def test_a_paired_difference_is_the_paired_t_test():
    random = np.random.default_rng(0)
    after, before = random.normal(0.8, 0.1, 7), random.normal(0.7, 0.1, 7)
    found, expected = paired_difference(after, before), stats.ttest_rel(after, before)
    interval = expected.confidence_interval(0.95)
    assert found.mean == pytest.approx(float((after - before).mean()))
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, expected.pvalue))
    assert found.n == 7


def test_a_paired_difference_by_hand():
    # Differences 1, 2, 3: mean 2, sd 1, t(2, .975) = 4.3027, half width 4.3027 / sqrt(3).
    found = paired_difference([2, 4, 6], [1, 2, 3])
    assert (found.mean, found.low, found.high) == pytest.approx((2, 2 - 4.30265 / 3**0.5, 2 + 4.30265 / 3**0.5), abs=1e-4)


def test_swapped_sides_turn_the_sign():
    one, other = paired_difference([0.9, 0.7, 0.8], [0.5, 0.6, 0.4]), paired_difference([0.5, 0.6, 0.4], [0.9, 0.7, 0.8])
    assert (one.mean, one.low, one.high, one.p) == pytest.approx((-other.mean, -other.high, -other.low, other.p))


def test_pairs_matter_not_only_the_two_means():
    before, steady = np.array([0.1, 0.5, 0.9]), np.array([0.019, 0.02, 0.021])
    assert paired_difference(before + np.array([0.01, 0.02, 0.03]), before).is_found is False
    assert paired_difference(before + steady, before).is_found is True
    assert paired_difference((before + steady)[::-1], before).is_found is False


def test_one_pair_has_a_mean_and_no_interval():
    found = paired_difference([0.8], [0.7])
    assert found.mean == pytest.approx(0.1)
    assert np.isnan([found.low, found.high, found.p]).all()
    assert not found.is_found


@pytest.mark.parametrize(("shift", "p", "is_found"), [(0.0, 1.0, False), (0.5, 0.0, True), (-0.5, 0.0, True)])
def test_equal_differences_have_no_spread(shift, p, is_found):
    found = paired_difference(np.array([1.0, 2.0, 3.0]) + shift, np.array([1.0, 2.0, 3.0]))
    assert (found.mean, found.low, found.high, found.p, found.is_found) == (shift, shift, shift, p, is_found)


@pytest.mark.parametrize(("after", "before"), [([1, 2], [1]), ([], []), ([[1, 2]], [[1, 2]])])
def test_values_that_are_no_pairs_are_refused(after, before):
    with pytest.raises(ValueError, match="paired values must be two lists of one length"):
        paired_difference(after, before)


def test_the_interval_of_a_mean_is_students():
    values = np.random.default_rng(1).normal(size=9)
    low, high = stats.t.interval(0.95, 8, loc=values.mean(), scale=stats.sem(values))
    assert mean_interval(values) == pytest.approx((values.mean(), low, high))


def test_one_value_has_no_interval():
    mean, low, high = mean_interval([0.3])
    assert mean == 0.3
    assert np.isnan([low, high]).all()


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (0.812, 3, ".812"),
        (-0.0134, 3, "-.013"),
        (1.1234, 2, "1.12"),
        (10.5, 1, "10.5"),
        (-1.5, 1, "-1.5"),
        (0.9999, 3, "1.000"),
        (0, 3, ".000"),
        (NAN, 3, "-"),
    ],
)
def test_a_score_has_no_leading_zero(value, places, text):
    assert score(value, places) == text


def test_a_signed_score_says_plus():
    assert score(0.013, sign=True) == "+.013"
    assert score(-0.013, sign=True) == "-.013"
    assert score(1.5, 1, sign=True) == "+1.5"


def test_ten_keeps_its_zero():
    assert score(10.0, 1) == "10.0"
    assert score(100.25, 2) == "100.25"


@pytest.mark.parametrize(
    ("sd", "places"),
    [
        (0.014, 3),
        (0.024, 2),
        (0.2, 1),
        (0.1, 2),
        (1.2, 1),
        (3.0, 0),
        (12.0, 0),
        (0.0, 3),
        (NAN, 3),
        (1e-12, 6),
        (0.0199999999999, 2),
        (0.0999999999, 2),
    ],
)
def test_a_spread_has_one_digit_or_two_after_a_one(sd, places):
    assert spread_places(sd) == places


def test_mean_and_spread_by_hand():
    # mean 2, sample standard deviation 1 (not .816, that of the population)
    assert mean_and_spread([1, 2, 3]) == "2.0 ± 1.0"
    # mean .8, deviations -.02, 0, .02: sd .02
    assert mean_and_spread([0.78, 0.80, 0.82]) == ".80 ± .02"
    # deviations -.014, 0, .014: sd .014
    assert mean_and_spread([0.798, 0.812, 0.826]) == ".812 ± .014"


def test_mean_and_spread_of_few_values():
    assert mean_and_spread([0.8121]) == ".812"
    assert mean_and_spread([0.8121, NAN]) == ".812"
    assert mean_and_spread([NAN]) == mean_and_spread([]) == "-"


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.03, "p = .03"), (0.004, "p = .004"), (0.0009, "p < .001"), (0.001, "p = .001"), (0.5, "p = .50"), (NAN, "p unknown (one seed)")],
)
def test_p_values(p, text):
    assert p_value(p) == text


def test_a_found_difference_is_said_with_interval_and_p():
    assert say_difference(Difference(0.05, 0.01, 0.09, 0.02, 5)) == "+.050 (95 % +.010 to +.090, n = 5, p = .02)"
    assert say_difference(Difference(-0.05, -0.09, -0.01, 0.0002, 5)) == "-.050 (95 % -.090 to -.010, n = 5, p < .001)"


def test_a_tie_is_said_to_be_a_tie():
    assert say_difference(Difference(0.02, -0.01, 0.05, 0.2, 5)) == "no difference found: +.020 (95 % -.010 to +.050, n = 5)"


def test_one_seed_is_said_to_be_one_seed():
    assert say_difference(Difference(0.02, NAN, NAN, NAN, 1)) == "+.020 (one seed: no interval)"


def test_an_interval_that_touches_zero_finds_nothing():
    assert not Difference(0.1, 0.0, 0.2, 0.05, 5).is_found
    assert not Difference(-0.1, -0.2, 0.0, 0.05, 5).is_found


def test_a_rounded_zero_has_no_minus():
    assert score(-0.0002) == ".000"
    assert score(-0.0002, sign=True) == "+.000"
    assert score(-0.0006) == "-.001"


def test_equal_scores_have_no_spread():
    assert mean_and_spread([0.8, 0.8, 0.8]) == ".800 ± .000"
    assert mean_and_spread([0.1 + 0.2, 0.3, 0.3]) == ".300 ± .000"


def test_adjusted_p_values_are_those_of_holms_worked_table():
    # By hand: .01 x 4, .02 x 3, .03 x 2, .04 x 1, never below the one before.
    assert holm_adjusted([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm_adjusted([0.5, 0.9]) == [1.0, 1.0]
    assert holm_adjusted([]) == []
    with_unknown = holm_adjusted([NAN, 0.01])
    assert with_unknown[1] == pytest.approx(0.02)
    assert np.isnan(with_unknown[0])
    # They are below the level exactly where `holm` finds a difference.
    random = np.random.default_rng(0)
    for _ in range(50):
        ps = random.uniform(0, 0.08, 5)
        found = holm({str(i): Difference(0.1, 0.05, 0.15, p, 3) for i, p in enumerate(ps)})
        assert sorted(found) == [str(i) for i, p in enumerate(holm_adjusted(ps)) if p < 0.05]


def test_holm_asks_more_of_many():
    def change(p: float) -> Difference:
        return Difference(0.1, 0.05, 0.15, p, 3)

    assert holm({"a": change(0.02), "b": change(0.02), "c": change(0.02)}) == []
    assert holm({"a": change(0.024), "b": change(0.016), "c": change(0.06)}) == ["b", "a"]
    assert holm({"a": change(0.024), "b": change(0.03), "c": change(0.016)}) == ["c", "a", "b"]
    assert holm({"one seed": Difference(0.1, float("nan"), float("nan"), float("nan"), 1), "b": change(0.01)}) == ["b"]
    assert holm({}) == []
