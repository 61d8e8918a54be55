"""Paired tests on what two models said of the same samples: McNemar, sign flips, and a bootstrap that keeps the samples of a video together.

Utterances of one video, sentences of one speaker are alike: counted one by one they pass for more evidence than they are. So whole groups are drawn,
and whole groups change their sign.
"""

from collections.abc import Sequence
from math import nan, sqrt

import numpy as np
from scipy import stats

from workbench.statistics import Difference

EXACT_UP_TO = 14
"""Groups up to which all sign flips are counted (2 to that power), instead of drawn."""

DRAWS = 5_000
"""Draws of the bootstrap and of the sign flips."""

CHUNK = 4_000_000
"""Numbers held at once while drawing."""


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p that two models are right on equally many samples: of those where one only is right, is it the first one half of the time?

    Source: McNemar, Psychometrika 12 (1947), in its exact form: the binomial of n = those samples, probability 1/2.
    Decides: samples count one by one; where they come in groups, `flip_p` does not.

    Args:
        first, second: 1 (or True) where a model is right, 0 where it is not, sample by sample; nan where it does not count.

    Raises:
        ValueError: they have not one length, or hold other numbers.
    """
    first, second = _pairs(first, second)
    if not set(np.unique([first, second])) <= {0.0, 1.0}:
        raise ValueError("McNemar's test takes right (1) and wrong (0) only")
    only_first, only_second = int((first > second).sum()), int((second > first).sum())
    if not only_first + only_second:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second).pvalue)


def paired_groups(after: np.ndarray, before: np.ndarray, groups: Sequence[object] | None = None, *, draws: int = DRAWS, seed: int = 0) -> Difference:
    """The mean difference after - before over samples: its 95 % interval by a bootstrap over groups, and p by flipping the signs of groups.

    Args:
        after, before: a value a sample (right or wrong, an error); nan where it does not count.
        groups: the group (video, speaker) of each; None: each sample is its own.
        draws: of the bootstrap, and of the sign flips where there are too many to count.
        seed: of the draws.

    Returns:
        The difference; its n is the number of groups.

    Raises:
        ValueError: the three have not one length, or no value counts.
    """
    after, before = np.asarray(after, float), np.asarray(before, float)
    names = np.arange(len(after)) if groups is None else np.asarray([str(name) for name in groups])
    if not after.shape == before.shape == names.shape:
        raise ValueError(f"values and groups must have one length, got {after.shape}, {before.shape} and {names.shape}")
    counts = ~np.isnan(after - before)
    if not counts.any():
        raise ValueError("no sample counts")
    _, place = np.unique(names[counts], return_inverse=True)
    sums, sizes = np.bincount(place, (after - before)[counts]), np.bincount(place).astype(float)
    low, high = bootstrap_interval(sums, sizes, draws=draws, seed=seed)
    return Difference(float(sums.sum() / sizes.sum()), low, high, flip_p(sums, draws=draws, seed=seed), len(sums))


def bootstrap_interval(sums: np.ndarray, sizes: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """95 % interval of sum(sums) / sum(sizes) when whole groups are drawn with replacement; nan for one group.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3 (percentiles); Hesterberg, The American Statistician 69
    (2015), "expanded percentile": for few groups plain percentiles are too narrow, by sqrt((n - 1) / n) and by the normal's quantile in place of
    Student's; the levels are moved out by both.
    """
    n = len(sums)
    if n < 2:
        return nan, nan
    random = np.random.default_rng(seed)
    means = []
    while sum(map(len, means)) < draws:
        wanted = min(draws - sum(map(len, means)), max(1, CHUNK // n))
        times = random.multinomial(n, np.full(n, 1 / n), size=wanted)
        means.append((times @ sums) / (times @ sizes))
    tail = float(stats.norm.cdf(-sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1)))
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def flip_p(sums: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> float:
    """Two-sided p that the two models could be exchanged: how often do random signs of the groups give a sum as far from zero?

    Source: Fisher, The Design of Experiments (1935), section 21. All signs are counted for up to `EXACT_UP_TO` groups that differ from zero; else
    they are drawn, and the true one counts as one of the draws (Phipson and Smyth, 2010), so that p is never 0.
    """
    sums = np.asarray(sums, float)
    sums = sums[sums != 0]
    if not len(sums):
        return 1.0
    # Sums that are equal but for rounding are as far from zero.
    limit = abs(sums.sum()) - 1e-9 * np.abs(sums).sum()
    if len(sums) <= EXACT_UP_TO:
        signs = 1 - 2 * ((np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1)
        return float((np.abs(signs @ sums) >= limit).mean())
    random = np.random.default_rng(seed)
    hits, done = 0, 0
    while done < draws:
        wanted = min(draws - done, max(1, CHUNK // len(sums)))
        signs = 1 - 2 * random.integers(0, 2, (wanted, len(sums)), dtype=np.int8)
        hits += int((np.abs(signs @ sums) >= limit).sum())
        done += wanted
    return (hits + 1) / (draws + 1)


def _pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both values of the samples that count."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"paired values must be two lists of one length, got {first.shape} and {second.shape}")
    counts = ~np.isnan(first + second)
    return first[counts], second[counts]
