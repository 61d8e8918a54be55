"""Does turning a dial of the data hurt one variant more than another? Scores by variant over the dial, and the paired difference of two of them."""

from collections.abc import Mapping, Sequence
from math import isnan

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.frames import checked, difference, names, only_metric
from workbench.figures.palette import INK, QUIET
from workbench.statistics import Difference, holm, mean_interval, p_value, paired_difference, score

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "x", "diamond", "cross", "star", "square")
NEAR = 0.012
"""Part of the axis by which the variants' marks stand beside each other, so that their bars can be told apart."""


def scores_over_dial(
    frame: pd.DataFrame,
    *,
    dial: str,
    pair: tuple[str, str] | None = None,
    metric: str | None = None,
    ceiling: float | None = None,
    is_judged: bool = True,
) -> go.Figure:
    """Left: each variant's score over a dial (means over seeds, 95 % intervals). Right: one variant less another, paired by seed.

    Args:
        frame: columns variant, x (the dial), seed, value; optional metric.
        dial: what is turned, for the axis.
        pair: (after, before) of the right panel; None: there is none.
        metric: which metric to draw where the table holds several; else what the score is.
        ceiling: highest reachable score, where it does not depend on the dial.
        is_judged: whether the caption says what is found of the pair; not where it is one of several that are looked at: they are judged together.

    Raises:
        DataError: a column is missing, no row has a value, the metric is not in the table, or the pair is not among the variants.
    """
    from workbench.errors import unknown

    frame = checked(frame, "scores_over_dial", "variant", "x", "seed", "value")
    frame, metric = only_metric(frame, metric, "scores_over_dial")
    variants = names(frame, "variant")
    for name in pair or ():
        if name not in variants:
            raise unknown("variant", name, variants)
    figure = canvas.panels(["score", f"{pair[0]} less {pair[1]}"] if pair else [""], x_title=dial, y_title=metric, panel_height=360)
    is_cut = _draw_scores(figure, frame, variants, ceiling, columns=2 if pair else 1)
    changes = changes_over_dial(frame, *pair) if pair else {}
    if pair:
        is_cut |= _draw_changes(figure, changes, metric, is_judged=is_judged)
    told = [say_slopes(frame, dial, metric, pair=pair, is_judged=is_judged)]
    told += [say_changes(changes, pair, dial)] if pair and is_judged else []
    read = f"Marks and bars: means over {captions.count(frame['seed'].nunique(), 'seed')} and their 95 % intervals"
    found = "; filled at the right: found for all values of the dial at once (Holm, 5 %)." if pair and is_judged else "."
    return captions.attach(figure, *told, read + found, "" if ceiling is None else f"Dashed grey: ceiling ({score(ceiling)}).", CUT if is_cut else "")


def shown_range(values: Sequence[float], ends: Sequence[float]) -> tuple[list[float], bool]:
    """The axis for some values and the ends of their bars: bars that are very long (two or three seeds) are cut there; True where one is."""
    low, high = float(np.min(values)), float(np.max(values))
    room = 0.6 * (high - low) or 0.1 * abs(high) or 1.0
    known = [end for end in ends if np.isfinite(end)]
    kept = [float(np.clip(end, low - room, high + room)) for end in known]
    return canvas.value_range(np.array([low, high, *kept])), kept != known


CUT = "Longer bars are cut at the picture's edge."


def _draw_scores(figure: go.Figure, frame: pd.DataFrame, variants: Sequence[str], ceiling: float | None, *, columns: int) -> bool:
    """The left panel: a line a variant, its name at its end; True where a bar is cut."""
    cell, ends, labels = {"row": 1, "col": 1}, [], []
    x = np.array(sorted(frame["x"].unique()), float)
    wide = (float(x[-1] - x[0]) or 1.0) * NEAR
    for number, name in enumerate(variants):
        rows = frame[frame["variant"] == name]
        found = rows.groupby(["x", "seed"])["value"].mean()
        places = np.array(sorted(rows["x"].unique()), float)
        middle, low, high = (np.array(part) for part in zip(*(mean_interval(found[place].to_numpy()) for place in places), strict=True))
        color = INK if number % 2 == 0 else QUIET
        bar = {"type": "data", "symmetric": False, "array": np.nan_to_num(high - middle), "arrayminus": np.nan_to_num(middle - low), "color": color}
        drawn = {"line": {"color": color, "width": 2.2, "dash": DASHES[number % len(DASHES)]}}
        drawn |= {"marker": {"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 9, "color": color}, "error_y": bar}
        hover = f"{canvas.safe(name)}: %{{y:.3f}}<extra></extra>"
        shifted = places + wide * (number - (len(variants) - 1) / 2)
        figure.add_trace(go.Scatter(x=shifted, y=middle, mode="lines+markers", name=canvas.safe(name), hovertemplate=hover, **drawn), **cell)
        labels.append((canvas.safe(name), float(middle[-1]), color))
        ends += [*low, *high]
    if ceiling is not None:
        line = {"color": QUIET, "width": 1.5, "dash": "dash"}
        hover = "ceiling: %{y:.3f}<extra></extra>"
        figure.add_trace(go.Scatter(x=[x[0], x[-1]], y=[ceiling] * 2, mode="lines", line=line, name="ceiling", hovertemplate=hover), **cell)
    reach, is_cut = shown_range([*frame["value"], *([] if ceiling is None else [ceiling])], ends)
    figure.update_yaxes(range=reach, **cell)
    figure.update_xaxes(
        range=canvas.room_for_labels(x[0], x[-1], list(variants), columns), tickvals=x, ticktext=[f"{value:g}" for value in x], **cell
    )
    canvas.end_labels(figure, labels, x=float(x[-1]) + wide * len(variants) / 2, y_range=reach, **cell)
    return is_cut


def _draw_changes(figure: go.Figure, changes: Mapping[float, Difference], metric: str, *, is_judged: bool) -> bool:
    """The right panel: differences with their intervals around zero, on an axis of their own; True where a bar is cut."""
    cell, held = {"row": 1, "col": 2}, holm({str(place): change for place, change in changes.items()}) if is_judged else []
    if not changes:
        return False
    x = list(changes)
    middle = np.array([change.mean for change in changes.values()])
    low, high = (np.array([getattr(change, end) for change in changes.values()]) for end in ("low", "high"))
    bar = {"type": "data", "symmetric": False, "array": np.nan_to_num(high - middle), "arrayminus": np.nan_to_num(middle - low), "color": INK}
    figure.add_trace(
        go.Scatter(x=[x[0], x[-1]], y=[0, 0], mode="lines", line={"color": QUIET, "width": 1}, name="no difference", hoverinfo="skip"), **cell
    )
    marker = {"symbol": ["circle" if str(place) in held else "circle-open" for place in x], "size": 11, "color": INK, "line": {"width": 2}}
    drawn = {"mode": "lines+markers", "line": {"color": INK, "width": 2}, "marker": marker, "error_y": bar}
    figure.add_trace(go.Scatter(x=x, y=middle, name="difference", hovertemplate="%{y:+.3f}<extra></extra>", **drawn), **cell)
    reach, is_cut = shown_range([0.0, *middle], [*low, *high])
    figure.update_yaxes(range=reach, matches=None, showticklabels=True, title_text=f"difference of {metric}", **cell)
    figure.update_yaxes(matches=None, row=1, col=1)
    figure.update_xaxes(domain=[0, 0.52], row=1, col=1)
    figure.update_xaxes(domain=[0.66, 1], tickvals=x, ticktext=[f"{value:g}" for value in x], range=_padded(x), **cell)
    return is_cut


def _padded(x: Sequence[float]) -> list[float]:
    room = (x[-1] - x[0]) * 0.08 or 0.5
    return [x[0] - room, x[-1] + room]


def changes_over_dial(frame: pd.DataFrame, after: str, before: str) -> dict[float, Difference]:
    """At each value of the dial: one variant less another, paired by seed; values that they share no seed at are left out.

    Args:
        frame: columns variant, x, seed, value.
    """
    found = {}
    for place in sorted(frame["x"].unique()):
        rows = frame[frame["x"] == place]
        change = difference(rows[rows["variant"] == after], rows[rows["variant"] == before])
        if change is not None:
            found[float(place)] = change
    return found


def slopes_by_seed(frame: pd.DataFrame, variant: str) -> pd.Series:
    """By seed: what one step of the dial changes in a variant's score (least squares); seeds that lack a value of the dial are left out."""
    table = frame[frame["variant"] == variant].pivot_table(index="seed", columns="x", values="value", aggfunc="mean").dropna()
    if not len(table) or table.shape[1] < 2:
        return pd.Series(dtype=float)
    apart = table.columns.to_numpy(float) - table.columns.to_numpy(float).mean()
    return pd.Series(table.to_numpy() @ apart / (apart @ apart), index=table.index)


def slope_difference(frame: pd.DataFrame, after: str, before: str) -> Difference | None:
    """What one step of the dial changes in one variant's score less what it changes in another's, paired by seed; None where they share no seed."""
    both = pd.concat([slopes_by_seed(frame, name) for name in (after, before)], axis=1, join="inner").to_numpy()
    return paired_difference(both[:, 0], both[:, 1]) if len(both) else None


def slopes_compared(tables: Mapping[str, pd.DataFrame], asked: Sequence[tuple[str, tuple[str, str]]]) -> dict[str, Difference]:
    """Differences of slopes in several tables of one dial, as `say_slopes_at_once` takes them.

    Args:
        tables: name (empty: all together) to a table (see `scores_over_dial`).
        asked: (name, (after, before)); a pair that shares no seed is left out.
    """
    found = {f"{name or 'all together'}, {after} less {before}": slope_difference(tables[name], after, before) for name, (after, before) in asked}
    return {name: change for name, change in found.items() if change is not None}


def say_slopes_at_once(differences: Mapping[str, Difference]) -> str:
    """One sentence on several differences of slopes, corrected for looking at all of them (Holm, 5 %).

    Args:
        differences: what is compared (e.g. `audio, delta less plain`) to the difference of the slopes (see `slopes_compared`).
    """
    held = holm(differences)
    said = {True: [], False: []}
    for name, change in differences.items():
        said[name in held].append(f"{name} {_span(change)}" if change.n > 1 else f"{name} {score(change.mean, sign=True)} (one seed)")
    parts = [f"{word}: {'; '.join(told)}" for word, told in (("found", said[True]), ("no difference found", said[False])) if told]
    return f"Differences of slopes, {len(differences)} at once (Holm, 5 %): {'. '.join(captions.first_upper(part) for part in parts)}."


def say_slopes(frame: pd.DataFrame, dial: str, metric: str, *, pair: tuple[str, str] | None = None, is_judged: bool = True) -> str:
    """One sentence: what one step of the dial changes in each variant's score, and by how much the two slopes of a pair differ, over seeds.

    The difference of the two slopes is the claim in one number: that the dial hurts one variant and not the other.
    """
    found = {name: slopes_by_seed(frame, name) for name in names(frame, "variant")}
    found = {name: values for name, values in found.items() if len(values)}
    if not found:
        return f"{captions.first_upper(dial)} has one value: no slope to tell."
    said = ", ".join(f"{name} {_mean_and_span(values.to_numpy())}" for name, values in found.items())
    seeds = max(len(values) for values in found.values())
    sentence = f"{captions.first_upper(metric)} for one step of {dial} (n = {seeds}): {said}"
    if pair is None or not all(name in found for name in pair):
        return f"{sentence}."
    change = slope_difference(frame, *pair)
    if change is None or change.n < 2:
        return f"{sentence}."
    if not is_judged:
        return f"{sentence}; slope of {pair[0]} less slope of {pair[1]} {_span(change)}, one of several that are judged together."
    verdict = "the slopes differ" if change.is_found else "no difference of the slopes found"
    return f"{sentence}; {verdict}: {pair[0]} less {pair[1]} {_span(change)}, {p_value(change.p)}."


def _mean_and_span(values: np.ndarray) -> str:
    mean, low, high = mean_interval(values)
    return score(mean, sign=True) if isnan(low) else f"{score(mean, sign=True)} ({score(low, sign=True)} to {score(high, sign=True)})"


def _span(change: Difference) -> str:
    return f"{score(change.mean, sign=True)} (95 % {score(change.low, sign=True)} to {score(change.high, sign=True)})"


def say_changes(changes: Mapping[float, Difference], pair: tuple[str, str], dial: str) -> str:
    """One sentence: at which values of the dial the two variants differ, corrected for looking at all of them (Holm, 5 %)."""
    if not changes:
        return f"{pair[0]} and {pair[1]} share no seed at any {dial}: not compared."
    held = holm({str(place): change for place, change in changes.items()})
    found = {place: change for place, change in changes.items() if str(place) in held}
    many = f"{len(changes)} values" if len(changes) > 1 else "the one value"
    if not found:
        largest = max(changes, key=lambda place: abs(changes[place].mean))
        span = _span(changes[largest]) if changes[largest].n > 1 else f"{score(changes[largest].mean, sign=True)} (one seed)"
        return f"{pair[0]} against {pair[1]}: no difference found at any of {many} of {dial} (Holm, 5 %); the largest at {largest:g}: {span}."
    said = ", ".join(f"{place:g}: {_span(change)}" for place, change in found.items())
    return f"{pair[0]} less {pair[1]}, found at {len(found)} of {many} of {dial} (Holm, 5 %): {said}."
