"""What the figures of a sweep share: which settings stand in a table, which rows may be compared, and which values the best one does not beat."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
import pandas as pd

from workbench.errors import unknown
from workbench.figures import canvas, captions
from workbench.figures.frames import by_seed, checked, difference, names, only_metric
from workbench.figures.palette import INK
from workbench.statistics import Difference, paired_difference

NO_SETTINGS = ("trial", "seed", "split", "metric", "value")
"""Columns of a sweep's scores that are no setting; every other one is."""

LEVEL = 0.05
MOST_VALUES = 12
"""A setting with more values than this is drawn as dots or by size, not as cells."""


def settings(scores: pd.DataFrame) -> list[str]:
    """The columns that are settings."""
    return [str(column) for column in scores.columns if column not in NO_SETTINGS]


def title(key: str) -> str:
    """A setting's name on an axis: `learning_rate` of `plan.learning_rate`."""
    return key.removeprefix("plan.")


def said(value: Any) -> str:
    """A setting's value in words: `0.0003`, `64`, `none`."""
    if value is None or (isinstance(value, float) and isnan(value)):
        return "none"
    return f"{value:.6g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def say_settings(values: Mapping[str, Any]) -> str:
    """`hidden_size 64, learning_rate 0.001`; drawn numbers to three digits."""
    return ", ".join(f"{title(key)} {short(value)}" for key, value in values.items())


def short(value: Any) -> str:
    """As `said`, but a broken number to three digits."""
    return f"{value:.3g}" if isinstance(value, float) and not isnan(value) and not value.is_integer() else said(value)


def is_number(values: Sequence[Any]) -> bool:
    """True where all values are numbers (and neither yes nor no, nor missing)."""
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) and not isnan(value) for value in values)


def is_log(values: Sequence[Any]) -> bool:
    """True where a setting belongs on a log axis: positive numbers whose middle is in the middle there rather than on a plain axis.

    Two values have no middle: then the larger must be eight times the smaller.
    """
    if not is_number(values) or len(values) < 2 or min(values) <= 0 or max(values) < 3 * min(values):
        return False
    numbers = np.asarray(values, float)
    off = [abs(float(np.median(n)) - (n.min() + n.max()) / 2) / float(np.ptp(n)) for n in (np.log(numbers), numbers)]
    return bool(off[0] < off[1] - 1e-9) if len(numbers) > 2 else max(values) >= 8 * min(values)


def ordered(values: Sequence[Any]) -> list[Any]:
    """The different values, numbers by size, others as they come."""
    found = list({said(value): value for value in values}.values())
    return sorted(found) if is_number(found) else found


def chosen(scores: pd.DataFrame, figure: str, over: Sequence[str], metric: str | None) -> tuple[pd.DataFrame, str, str]:
    """The rows of one metric and split (valid where it is there), the metric's name, and both in words: `accuracy on valid`.

    Raises:
        DataError: a column is missing, no row has a value, or several metrics are there and none was named.
        ConfigError: a setting is not in the table.
    """
    scores = checked(scores, figure, "trial", "seed", "value")
    for key in over:
        if key not in settings(scores):
            raise unknown("setting", key, settings(scores))
    scores, metric = only_metric(scores, metric, figure)
    splits = names(scores, "split") if "split" in scores.columns else []
    split = "valid" if "valid" in splits or not splits else splits[0]
    scores = scores[scores["split"] == split] if splits else scores
    # Python's own numbers: what numpy makes of a column (None beside numbers becomes nan) is undone by `said`.
    return scores.astype(dict.fromkeys(settings(scores), object)), metric, f"{metric} on {split}" if splits else metric


def comparable(frame: pd.DataFrame, over: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """The rows in which the other settings are the same wherever `over` changes, with the column `place`; and how to say so.

    Those combinations of the other settings count that every value of `over` was tried with: all of a grid, the base of a sweep of one setting at
    a time. Where no combination was tried with all values, the one that was tried with most of them; no row where that is one value only.

    Args:
        frame: rows of one metric and split.
        over: the settings that are looked at.
    """
    frame = frame.assign(place=_joined(frame, over))
    others = [key for key in settings(frame.drop(columns="place")) if key not in over and frame[key].map(said).nunique() > 1]
    if not others:
        return frame, ""
    frame = frame.assign(rest=_joined(frame, others))
    tried = frame.groupby("place", sort=False)["rest"].agg(set)
    shared = set.intersection(*tried)
    if not shared:
        counts = frame.groupby("rest", sort=False)["place"].nunique()
        if counts.max() < 2 <= len(tried):
            return frame.iloc[:0], ""
        shared = {counts.idxmax()}
    kept = frame[frame["rest"].isin(shared)]
    # A seed whose run failed with one of them has no mean that could be compared.
    full = kept.groupby(["place", "seed"])["rest"].transform("nunique") == len(shared)
    kept = kept[full] if full.any() else kept
    return kept.drop(columns="rest"), _say_others(kept.iloc[0], others, shared=len(shared), tried=frame["rest"].nunique())


def _joined(frame: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    """The values of several settings as one word a row."""
    return frame[list(keys)].map(said).agg(" | ".join, axis=1)


def _say_others(row: pd.Series, others: Sequence[str], *, shared: int, tried: int) -> str:
    """`With batch_size 32.` or `Means over the 6 combinations of batch_size, dropout.`"""
    if shared == 1:
        return f"With {say_settings({key: row[key] for key in others})}."
    part = "" if shared == tried else f" that were tried everywhere (of {tried})"
    return f"Means over the {shared} combinations of {', '.join(map(title, others))}{part}."


def unbeaten_by_best(frame: pd.DataFrame, column: str, *, is_lower_better: bool) -> tuple[str, set[str]]:
    """The value of a column with the best mean, and all that are not told apart from it (itself among them).

    Paired differences over shared seeds, Student's t, p values corrected by Holm over all pairs of values, 5 %: which value is the best is read from
    the same scores, so every pair could have been the one that is looked at. Pairs without the best count as tests that were not rejected (never
    too few values are kept).
    """
    means = frame.groupby(column, sort=False)["value"].mean()
    best = str(means.idxmin() if is_lower_better else means.idxmax())
    # Means that differ by rounding errors only are equal.
    table = frame.groupby(["seed", column], sort=False)["value"].mean().round(12).unstack()
    found = {str(name): table[[best, name]].dropna().to_numpy() for name in means.index if name != best}
    told = {name: paired_difference(pairs[:, 0], pairs[:, 1]).p for name, pairs in found.items() if len(pairs)}
    tests = sorted((p, name) for name, p in told.items() if not isnan(p))
    beaten = set()
    for place, (p, name) in enumerate(tests):
        if p > LEVEL / (len(means) * (len(means) - 1) // 2 - place):
            break
        beaten.add(name)
    return best, {str(name) for name in means.index} - beaten


def change(after: pd.DataFrame, before: pd.DataFrame) -> Difference | None:
    """The paired difference over shared seeds; means that differ by rounding errors only are equal."""
    return difference(*(by_seed(rows).round(12).rename_axis("seed").reset_index(name="value") for rows in (after, before)))


def lower_is_better(metric: str, given: bool | None) -> bool:
    """As it was said, else by the metric's name."""
    return captions.is_lower_better(metric) if given is None else given


def nothing_to_draw(sentence: str) -> Any:
    """A figure that says why nothing is drawn, in place of an error in the middle of a page."""
    import plotly.graph_objects as go

    figure = canvas.panels([""], x_title="", y_title="", panel_height=60)
    figure.add_trace(go.Scatter(x=[0], y=[0], mode="text", text=["nothing to draw"], textfont={"color": INK, "size": 16}, hoverinfo="skip"))
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.update_layout(height=70, margin={"l": 16, "r": 16, "t": 8, "b": 8})
    return captions.attach(figure, sentence)
