"""What a line over one setting says: where the best mean stands, whether its neighbours and the base are told apart from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from workbench.figures import captions
from workbench.figures import settings as of
from workbench.figures.frames import by_seed
from workbench.statistics import mean_and_spread, p_value, score

MOST_NAMED = 5
FEWEST = 9
"""Trials of which thirds are compared."""


@dataclass(frozen=True)
class Line:
    """One metric over one setting: rows with the columns place, x, seed, value; the setting's values in order; where the best mean stands."""

    frame: pd.DataFrame
    over: str
    title: str
    values: tuple[Any, ...]
    is_lower: bool
    best: str
    tied: frozenset[str]

    @classmethod
    def of(cls, frame: pd.DataFrame, over: str, *, title: str, is_lower: bool) -> "Line":
        """The line of rows that may be compared; `x` is the value, or its number where it is a word."""
        values = of.ordered(frame[over])
        places = dict(zip(map(of.said, values), values if of.is_number(values) else range(len(values)), strict=True))
        frame = frame.assign(place=frame[over].map(of.said))
        frame["x"] = frame["place"].map(places).astype(float)
        best, tied = of.unbeaten_by_best(frame, "place", is_lower_better=is_lower)
        return cls(frame, over, title, tuple(values), is_lower, best, frozenset(tied))

    @property
    def places(self) -> dict[str, float]:
        """Where each value, in words, stands on the axis."""
        rows = self.frame.drop_duplicates("place").set_index("place")["x"]
        return {of.said(value): float(rows[of.said(value)]) for value in self.values}

    @property
    def is_numeric(self) -> bool:
        """True where the setting's values are numbers."""
        return of.is_number(self.values)

    def rows(self, place: str) -> pd.DataFrame:
        """The rows of one value."""
        return self.frame[self.frame["place"] == place]

    def change(self, before: str) -> str:
        """The best value's mean against another's, paired by seed."""
        return say_change(self.rows(self.best), self.rows(before))

    def finding(self) -> str:
        """Where the best mean stands, and which values are not told apart from it."""
        name, rows = of.title(self.over), self.rows(self.best)
        spread = f"{mean_and_spread(by_seed(rows).to_numpy())}, n = {rows['seed'].nunique()}"
        if len(self.values) == 1:
            return f"{captions.first_upper(name)} was tried with one value, {self.best}: {self.title} {spread}."
        means = self.frame.groupby("place")["value"].mean()
        if means.max() - means.min() <= 1e-9 * max(1.0, abs(means.max())):
            return f"{captions.first_upper(self.title)} is the same at all {len(self.values)} values of {name} ({spread})."
        first = f"The {'lowest' if self.is_lower else 'highest'} mean {self.title} is at {name} {self.best} ({spread})"
        if self.frame["seed"].nunique() == 1:
            return f"{first}; one seed: it cannot be told from luck."
        others = [place for place in self.places if place in self.tied and place != self.best]
        return f"{first}, not told apart from {listed(others)}." if others else f"{first}, and it beats every other value."

    def details(self) -> list[str]:
        """The best value against its neighbours (of words: against the next best), and whether it stands at an end."""
        places = list(self.places)
        if len(places) == 1:
            return []
        at = places.index(self.best)
        near = [places[i] for i in (at - 1, at + 1) if 0 <= i < len(places)] if self.is_numeric else [self._second()]
        against = [f"against {place}: {self.change(place)}" for place in near]
        is_end = self.is_numeric and at in (0, len(places) - 1)
        end = f"It stands at the {'lower' if at == 0 else 'upper'} end of what was tried." if is_end else ""
        return [f"{captions.first_upper('; '.join(against))}.", end]

    def _second(self) -> str:
        means = self.frame[self.frame["place"] != self.best].groupby("place")["value"].mean()
        return str(means.idxmin() if self.is_lower else means.idxmax())

    def against_base(self, base: Any, name: str) -> str:
        """The best value against that of the base, or the published one."""
        place = of.said(base)
        if place not in self.places:
            return f"The {name} value, {place}, was not tried."
        return f"That is the {name} value." if place == self.best else f"Against the {name} value, {place}: {self.change(place)}."


def listed(words: Sequence[str]) -> str:
    """`16, 32 and 64`; of very many their number."""
    if len(words) > MOST_NAMED:
        return f"{len(words)} others"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def say_change(after: pd.DataFrame, before: pd.DataFrame) -> str:
    """How far apart two settings are, paired by seed."""
    change = of.change(after, before)
    if change is None:
        return "no shared seed"
    if change.n < 2:
        return f"{score(change.mean, sign=True)} (one seed)"
    span = f"95 % {score(change.low, sign=True)} to {score(change.high, sign=True)}, n = {change.n}"
    if not change.is_found:
        return f"no difference found, {score(change.mean, sign=True)} ({span})"
    return f"{score(change.mean, sign=True)} ({span}, {p_value(change.p)})"


def say_thirds(frame: pd.DataFrame, over: str, title: str) -> str:
    """The mean score of the trials in the lower, middle and upper third by a setting, and whether they differ (Kruskal-Wallis on trial means).

    A rank correlation would miss what settings mostly do: too little is as bad as too much.
    """
    from scipy import stats

    means = frame.groupby(["trial", "x"], as_index=False)["value"].mean().sort_values("x", kind="stable")
    trials = captions.count(len(means), "trial")
    if len(means) < FEWEST or means["value"].nunique() == 1 or means["x"].nunique() < 3 or not of.is_number(list(frame[over])):
        return f"{captions.first_upper(of.title(over))} and {title} over {trials}."
    thirds = np.array_split(means["value"].to_numpy(), 3)
    p = float(stats.kruskal(*thirds).pvalue)
    word = "differ" if p < of.LEVEL else "are not told apart"
    said = ", ".join(score(float(part.mean())) for part in thirds)
    return f"The lower, middle and upper third of {trials} by {of.title(over)} have mean {title} {said}: they {word} (Kruskal-Wallis, {p_value(p)})."
