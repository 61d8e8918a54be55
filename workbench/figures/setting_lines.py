"""What does one setting change? A static picture that prints, in the manner of Figs. 3 to 5 of the MLDFA paper, with the spread that these lack."""

from collections.abc import Sequence
from math import ceil
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.figures import captions
from workbench.figures import settings as of
from workbench.figures.palette import GRID, INK, PAPER, QUIET
from workbench.figures.setting_words import Line, say_thirds
from workbench.statistics import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

READ = "Thin: single seeds. Thick: their mean, with its 95 % interval (Student's t)."
FILLED = "Filled: not told apart from the best mean (paired by seed, Holm over all pairs of values, 5 %); single differences are not corrected."
DOTS = "A dot a trial (mean over its seeds): the other settings change too, so no line joins them."
LETTERS = 27
"""Longer titles of an axis stand in two lines."""

CLOSE = 0.07
"""Of the axis' length: values that are closer have no numbers of their own."""

NOT_GIVEN = object()
"""No value to mark; None is a value (no dropout, no limit)."""


def sweep_lines(
    scores: pd.DataFrame,
    *,
    over: str,
    metric: str | Sequence[str] | None = None,
    is_lower_better: bool | None = None,
    base: Any = NOT_GIVEN,
    base_name: str = "base",
) -> "Figure":
    """The score against one setting: a line through the means over seeds with their 95 % intervals, single seeds behind it; one panel a metric.

    Where other settings were swept too, the line holds those combinations of them that every value was tried with (means over a grid, the base of
    a sweep of one setting at a time); where there are none (a random search), the trials are dots without a line. The caption says which.

    Args:
        scores: columns trial, seed, value, one column a setting; optional metric, split (valid is drawn).
        over: the setting on the axis.
        metric: which metric, or several: a panel each.
        is_lower_better: by the metric's name where None.
        base: the value of the setting that is marked: that of the sweep's base, or the published one.
        base_name: what that value is: base, published.

    Raises:
        DataError: a column is missing, no row has a value, or several metrics are there and none was named.
        ConfigError: the setting is not in the table.
    """
    from matplotlib.figure import Figure

    metrics = [metric] if metric is None or isinstance(metric, str) else list(metric)
    columns = 1 if len(metrics) == 1 else 2
    rows = ceil(len(metrics) / columns)
    figure = Figure(figsize=(8.6, 0.3 + (3.7 if columns == 1 else 3.3) * rows), facecolor=PAPER, layout="constrained")
    told: list[str] = []
    reading: list[str] = []
    for place, name in enumerate(metrics):
        frame, name, title = of.chosen(scores, "sweep_lines", [over], name)
        kept, others = of.comparable(frame, [over])
        line = Line.of(kept if len(kept) else frame, over, title=title, is_lower=of.lower_is_better(name, is_lower_better))
        axes = figure.add_subplot(rows, columns, place + 1, facecolor=PAPER)
        said, how = _panel(axes, line, base, base_name) if len(kept) else _dots(axes, line, base, base_name)
        told += said if not place else said[:1]
        reading = reading or [others, *how]
    return captions.attach(figure, *told, *reading)


def _panel(axes: "Axes", line: Line, base: Any, base_name: str) -> tuple[list[str], list[str]]:
    """One metric's line; what it says, and how to read it."""
    _dress(axes, line)
    _draw_seeds_and_mean(axes, line)
    is_cut = _limit(axes, line.frame)
    is_marked = _mark(axes, line, base, base_name)
    told = [line.finding(), *line.details(), "" if base is NOT_GIVEN else line.against_base(base, base_name)]
    seeds = line.frame["seed"].nunique()
    how = [
        READ if seeds > 1 else "One seed.",
        FILLED if seeds > 1 and len(line.values) > 1 else "",
        f"Dashed: {base_name} value." if is_marked else "",
    ]
    return told, [*how, "Longer bars are cut at the picture's edge." if is_cut else ""]


def _dots(axes: "Axes", line: Line, base: Any, base_name: str) -> tuple[list[str], list[str]]:
    """A dot a trial, where no two trials have all other settings in common."""
    _dress(axes, line)
    means = line.frame.groupby(["trial", "x"], as_index=False)["value"].mean()
    axes.scatter(means["x"], means["value"], s=48, color=INK, alpha=0.75, linewidths=0, zorder=3)
    is_marked = _mark(axes, line, base, base_name)
    return [say_thirds(line.frame, line.over, line.title)], [DOTS, f"Dashed: {base_name} value." if is_marked else ""]


def _draw_seeds_and_mean(axes: "Axes", line: Line) -> None:
    """Seeds thin, mean thick with its bar, and a mark: filled where it is not told apart from the best."""
    import seaborn

    points = line.frame.groupby(["place", "x", "seed"], sort=False, as_index=False)["value"].mean()
    quiet = {"units": "seed", "estimator": None, "color": QUIET, "alpha": 0.8, "linewidth": 1, "marker": "o", "markersize": 5, "markeredgewidth": 0}
    seaborn.lineplot(data=points, x="x", y="value", ax=axes, legend=False, zorder=2, **quiet)
    seaborn.lineplot(data=points, x="x", y="value", ax=axes, errorbar=None, color=INK, linewidth=2.4, zorder=3)
    means = points.groupby(["place", "x"], sort=False)["value"].agg(["mean", _reach]).reset_index()
    # Bars by Student's t: seaborn's own are bootstrapped, too short for three seeds.
    axes.errorbar(means["x"], means["mean"], yerr=means["_reach"].fillna(0), fmt="none", ecolor=INK, elinewidth=1.6, capsize=4, zorder=3)
    fills = [INK if place in line.tied else PAPER for place in means["place"]]
    axes.scatter(means["x"], means["mean"], s=64, c=fills, edgecolors=INK, linewidths=1.8, zorder=4)


def _reach(values: pd.Series) -> float:
    """Half the 95 % interval of the mean; nan for one value."""
    mean, low, _ = mean_interval(values.to_numpy())
    return mean - low


def _limit(axes: "Axes", frame: pd.DataFrame) -> bool:
    """Keeps the seeds readable where two or three of them make very long bars; True where bars are cut."""
    points = frame.groupby(["x", "seed"], as_index=False)["value"].mean()
    ends = np.array([mean_interval(values.to_numpy()) for _, values in points.groupby("x")["value"]])[:, 1:]
    low, high = float(points["value"].min()), float(points["value"].max())
    room = 0.6 * (high - low) or 0.1 * abs(high) or 1.0
    bottom, top = float(np.nanmin([*ends[:, 0], low])), float(np.nanmax([*ends[:, 1], high]))
    shown = max(bottom, low - room), min(top, high + room)
    pad = 0.06 * (shown[1] - shown[0]) or 0.1 * room
    axes.set_ylim(shown[0] - pad, shown[1] + pad)
    return bottom < shown[0] or top > shown[1]


def _dress(axes: "Axes", line: Line) -> None:
    """Titles, ticks, a quiet grid."""
    is_log = of.is_log(line.values)
    axes.set_xscale("log" if is_log else "linear")
    _set_ticks(axes, line, is_log=is_log)
    axes.set_xlabel(of.title(line.over) + (" (log scale)" if is_log else ""), fontsize=13, color=INK)
    axes.set_ylabel(fill(line.title, LETTERS), fontsize=13, color=INK)
    axes.margins(x=0.08)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=12, colors=INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)


def _set_ticks(axes: "Axes", line: Line, *, is_log: bool) -> None:
    """Ticks at the values that were tried; where these stand too close (a random search), round ones."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axes.xaxis.set_minor_formatter(NullFormatter())
    if not line.is_numeric or _are_apart(line.values, is_log=is_log):
        axes.xaxis.set_minor_locator(NullLocator())
        is_long = sum(map(len, line.places)) > 60
        axes.set_xticks(list(line.places.values()), list(line.places), rotation=30 if is_long else 0, ha="right" if is_long else "center")
        for label in axes.get_xticklabels():
            label.set_parse_math(False)  # a value may hold a dollar sign
    elif is_log:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(line.values) < 100 * min(line.values) else (1,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _are_apart(values: Sequence[Any], *, is_log: bool) -> bool:
    """True where every two neighbours have room for their numbers between them."""
    places = np.log(np.asarray(values, float)) if is_log else np.asarray(values, float)
    return len(values) < 2 or float(np.diff(places).min() / np.ptp(places)) > CLOSE


def _mark(axes: "Axes", line: Line, base: Any, name: str) -> bool:
    """A dashed line at the base or published value; False where there is none, or it has no place on the axis."""
    if base is NOT_GIVEN:
        return False
    place = line.places.get(of.said(base), base if line.is_numeric and of.is_number([base]) else None)
    if place is None or (axes.get_xscale() == "log" and place <= 0):
        return False
    axes.axvline(place, color=QUIET, linestyle="--", linewidth=1.4, zorder=1)
    note = {"xycoords": ("data", "axes fraction"), "xytext": (0, 3), "textcoords": "offset points", "fontsize": 11, "color": INK}
    axes.annotate(f"{name} {of.said(base)}", (place, 1.0), ha="center", va="bottom", parse_math=False, **note)
    return True
