"""Several models on several data sets: mean ranks, whether they differ at all, and how far apart two must be.

Source: Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7 (2006), section 3.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Ranks:
    """Mean ranks (1 is best; ties share a rank) of k models over n blocks.

    Args:
        names: the models, by mean rank.
        means: their mean ranks.
        blocks: n.
        p: of Iman and Davenport's F (Friedman's test): that all models are alike.
        critical: Nemenyi's critical difference at 5 %: two mean ranks further apart are told apart.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    blocks: int
    p: float
    critical: float

    @property
    def is_found(self) -> bool:
        """True where the test says that the models are not all alike."""
        return self.p < 0.05

    def ties(self) -> list[tuple[str, ...]]:
        """The largest sets of neighbours that are not told apart; one model alone is no tie."""
        found: list[tuple[int, int]] = []
        for first in range(len(self.names)):
            last = max(i for i in range(first, len(self.names)) if self.means[i] - self.means[first] < self.critical)
            if last > first and not any(a <= first and last <= b for a, b in found):
                found.append((first, last))
        return [self.names[a : b + 1] for a, b in found]


def rank(table: np.ndarray, names: Sequence[str], *, lower_is_better: bool = False) -> Ranks:
    """Mean ranks over blocks.

    Args:
        table: a row a block, a column a model.
        names: of the models.

    Raises:
        ValueError: fewer than two models or blocks, or a value is missing.
    """
    table = np.asarray(table, float)
    if table.ndim != 2 or table.shape[1] != len(names) or min(table.shape) < 2 or np.isnan(table).any():
        raise ValueError(f"ranks need two models and two blocks at least, and every value; got {table.shape} for {len(names)} names")
    n, k = table.shape
    ranks = stats.rankdata(table if lower_is_better else -table, axis=1)
    means = ranks.mean(0)
    order = np.argsort(means, kind="stable")
    return Ranks(tuple(names[i] for i in order), tuple(float(means[i]) for i in order), n, friedman_p(means, n), critical_difference(k, n))


def friedman_p(means: np.ndarray, n: int) -> float:
    """The p of Iman and Davenport's F of mean ranks over n blocks (Demšar, section 3.2.2; Friedman's chi-square is conservative)."""
    k = len(means)
    chi_square = 12 * n / (k * (k + 1)) * (float(np.square(means).sum()) - k * (k + 1) ** 2 / 4)
    if chi_square >= n * (k - 1) - 1e-9:
        return 0.0  # the same order in every block
    return float(stats.f.sf((n - 1) * chi_square / (n * (k - 1) - chi_square), k - 1, (k - 1) * (n - 1)))


def critical_difference(k: int, n: int, level: float = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks of k models over n blocks: q sqrt(k (k + 1) / (6 n)), q: Studentized range by sqrt(2)."""
    if k < 2 or n < 1:
        return nan
    return float(stats.studentized_range.ppf(1 - level, k, np.inf)) / sqrt(2) * sqrt(k * (k + 1) / (6 * n))
