"""Captions: what the numbers say, then how to read the picture, then what was drawn. Computed, never typed."""

from typing import Any

import numpy as np
import pandas as pd

from workbench.statistics import Difference, mean_interval, p_value, say_difference, score

LOWER_IS_BETTER = ("loss", "mae", "mse", "rmse", "error", "s/epoch", "seconds")

MEMORY = "Memory of a training step: what the backward pass keeps, weights, gradients and Adam's two moments, counted."
"""What `workbench.probes.cost` counts."""


def is_lower_better(metric: str) -> bool:
    """True for losses, errors and times."""
    return any(word in metric.lower() for word in LOWER_IS_BETTER)


def attach(figure: Any, *sentences: str) -> Any:
    """The figure with its caption; the first sentence, the finding, is also its alternative text."""
    written = [sentence.strip() for sentence in sentences if sentence and sentence.strip()]
    caption, alt = " ".join(written), written[0]
    if hasattr(figure, "update_layout"):
        figure.update_layout(meta={"caption": caption, "alt": alt})
    else:
        figure.caption, figure.alt = caption, alt
    return figure


def caption_of(figure: Any) -> str:
    """The caption that a figure of this package carries, or nothing."""
    if hasattr(figure, "layout"):
        return str((figure.layout.meta or {}).get("caption", ""))
    return str(getattr(figure, "caption", ""))


def alt_of(figure: Any) -> str:
    """The caption's first sentence, for people who do not see the picture."""
    if hasattr(figure, "layout"):
        return str((figure.layout.meta or {}).get("alt", ""))
    return str(getattr(figure, "alt", ""))


def first_upper(text: str) -> str:
    """The text with a large first letter; the rest as it is."""
    return text[:1].upper() + text[1:]


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 seed`, `5 seeds`, `1 class`, `3 classes`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {plural or noun + 's'}"


def times(ratio: float) -> str:
    """`1.3`, `6.1`, `14`, `1,200`: how many times."""
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:,.0f}"


def ratio_interval(ratios: np.ndarray) -> tuple[float, float, float]:
    """Geometric mean of ratios and its 95 % interval (Student's t on the logarithms)."""
    middle, low, high = mean_interval(np.log(ratios))
    return float(np.exp(middle)), float(np.exp(low)), float(np.exp(high))


def say_ratio(first: str, second: str, quantity: str, ratios: np.ndarray) -> str:
    """`text's gradient magnitude is 6.1 times audio's (95 % 4.8 to 7.9, n = 5)`, or that no difference was found."""
    middle, low, high = ratio_interval(ratios)
    if len(ratios) < 2:
        return f"{first}'s {quantity} is {times(middle)} times {second}'s (one seed: no interval)"
    span = f"95 % {times(low)} to {times(high)}, n = {len(ratios)}"
    if low <= 1 <= high:
        return f"no difference found between {first}'s and {second}'s {quantity}: {times(middle)} times ({span})"
    return f"{first}'s {quantity} is {times(middle)} times {second}'s ({span})"


def say_against(name: str, other: str, change: Difference | None, *, places: int = 3, lower_is_better: bool = False) -> str:
    """`b_fusion is .095 above joint (95 % .081 to .109, n = 5, p < .001)`, or that no difference was found, or that there is nothing to compare."""
    if change is None:
        return f"{name} and {other} share no seed: not compared"
    if not change.is_found:
        return f"{name} against {other}: {say_difference(change)}"
    word = "above" if change.mean > 0 else "below"
    low, high = sorted((abs(change.low), abs(change.high)))
    judged = f" (lower is better: {'worse' if change.mean > 0 else 'better'})" if lower_is_better else ""
    span = f"95 % {score(low, places)} to {score(high, places)}, n = {change.n}, {p_value(change.p)}"
    return f"{name} is {score(abs(change.mean), places)} {word} {other}{judged} ({span})"


def seeds_drawn(frame: pd.DataFrame) -> str:
    """How lines and bands stand for seeds, and where the first runs end."""
    seeds = frame["seed"].nunique()
    return "Lines: one seed." if seeds == 1 else f"Lines: median of {seeds} seeds, band: range.{ends_apart(frame)}"


def ends_apart(frame: pd.DataFrame) -> str:
    """Runs that stop early leave later epochs to fewer seeds: says so."""
    ends = frame.groupby(["variant", "seed"])["epoch"].max()
    return f" Runs end between epochs {ends.min()} and {ends.max()}: later epochs show fewer seeds." if ends.min() < ends.max() else ""
