"""Means, spreads and paired differences over seeds, and how they are written.

House rule (experience.md, section 6): a number never stands alone; ties are ties.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan, nan, sqrt

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Difference:
    """A paired difference of means: `mean`, its 95 % interval `low`..`high`, two-sided `p`, number of pairs `n`."""

    mean: float
    low: float
    high: float
    p: float
    n: int

    @property
    def is_found(self) -> bool:
        """True where the 95 % interval excludes zero."""
        return self.n > 1 and (self.low > 0 or self.high < 0)


def paired_difference(after: np.ndarray, before: np.ndarray) -> Difference:
    """The difference after - before of runs paired by seed, by Student's t for pairs.

    Raises:
        ValueError: the two do not have the same length, or are empty.
    """
    after, before = np.asarray(after, float), np.asarray(before, float)
    if after.shape != before.shape or after.ndim != 1 or not len(after):
        raise ValueError(f"paired values must be two lists of one length, got {after.shape} and {before.shape}")
    difference = after - before
    n, mean = len(difference), float(difference.mean())
    if n == 1:
        return Difference(mean, float("nan"), float("nan"), float("nan"), 1)
    error = float(difference.std(ddof=1)) / sqrt(n)
    if error == 0:
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 0.0, n)
    half = float(stats.t.ppf(0.975, n - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return Difference(mean, mean - half, mean + half, p, n)


def holm(changes: Mapping[str, Difference], level: float = 0.05) -> list[str]:
    """The differences that hold for all at once: the smallest p against level / m, the next against level / (m - 1), until one fails (Holm, 1979)."""
    found = []
    for place, name in enumerate(sorted(changes, key=lambda name: inf if isnan(changes[name].p) else changes[name].p)):
        if not (changes[name].is_found and changes[name].p < level / (len(changes) - place)):
            break
        found.append(name)
    return found


def holm_adjusted(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given: below the level where Holm's test finds a difference; nan stays, and counts as a test."""
    adjusted, highest = [nan] * len(ps), 0.0
    for place, i in enumerate(sorted(range(len(ps)), key=lambda i: inf if isnan(ps[i]) else ps[i])):
        if not isnan(ps[i]):
            adjusted[i] = highest = max(highest, min(1.0, (len(ps) - place) * ps[i]))
    return adjusted


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and its 95 % interval by Student's t; the interval is nan for one value."""
    values = np.asarray(values, float)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(values.std(ddof=1)) / sqrt(len(values))
    return mean, mean - half, mean + half


def mean_with_interval(values: np.ndarray, places: int = 3) -> str:
    """`.512 (95 % .490 to .534)`; one value stands alone."""
    mean, low, high = mean_interval(values)
    return score(mean, places) if isnan(low) else f"{score(mean, places)} (95 % {score(low, places)} to {score(high, places)})"


def score(value: float, places: int = 3, *, sign: bool = False) -> str:
    """A score without its leading zero: .812, -.013, 1.12; `sign=True` writes +.013."""
    if isnan(value):
        return "-"
    value = round(value, places) + 0.0  # no minus before a zero
    text = f"{value:+.{places}f}" if sign else f"{value:.{places}f}"
    return text.replace("0.", ".", 1) if text.lstrip("+-").startswith("0.") else text


def spread_places(sd: float) -> int:
    """Decimals to print for a standard deviation: two digits if it starts with 1, else one."""
    if not sd > 0 or isnan(sd):
        return 3
    # Rounded first: .019999999999 is .02 with a rounding error, and starts with 2.
    mantissa, exponent = f"{sd:.6e}".split("e")
    return min(6, max(0, -int(exponent) + (1 if mantissa[0] == "1" else 0)))


def mean_and_spread(values: np.ndarray) -> str:
    """`.812 ± .014` (mean ± sample standard deviation); one value stands without ±."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if not len(values):
        return "-"
    if len(values) == 1:
        return score(float(values[0]))
    sd = float(values.std(ddof=1))
    # Equal scores have a spread of rounding errors only.
    sd = 0.0 if sd < 1e-9 * max(1.0, float(np.abs(values).max())) else sd
    places = spread_places(sd)
    return f"{score(float(values.mean()), places)} ± {score(sd, places)}"


def p_value(p: float) -> str:
    """`p = .03` or `p < .001`."""
    if isnan(p):
        return "p unknown (one seed)"
    return "p < .001" if p < 0.001 else f"p = {score(p, 3 if p < 0.01 else 2)}"


def say_difference(difference: Difference) -> str:
    """The sentence for a paired difference: found with its interval, or 'no difference found'."""
    if difference.n < 2:
        return f"{score(difference.mean, sign=True)} (one seed: no interval)"
    span = f"95 % {score(difference.low, sign=True)} to {score(difference.high, sign=True)}, n = {difference.n}"
    if difference.is_found:
        return f"{score(difference.mean, sign=True)} ({span}, {p_value(difference.p)})"
    return f"no difference found: {score(difference.mean, sign=True)} ({span})"
