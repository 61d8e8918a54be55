"""How did a sweep go: what was the best so far, what was pruned, what failed?"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures import settings as of
from workbench.figures.frames import checked
from workbench.figures.palette import INK, QUIET
from workbench.statistics import score

FAILED = "#B42318"
STATES = ("complete", "pruned", "failed", "running", "waiting")
FACTS = ("trial", "state", "value", "sd", "n", "seconds", "started", "ended", "error")
"""Columns of a sweep's trials that are no setting."""


def sweep_history(trials: pd.DataFrame, *, metric: str = "score", is_lower_better: bool | None = None) -> go.Figure:
    """Each trial's score in the order of trials and the best so far; pruned and failed trials marked.

    Args:
        trials: a row a trial: columns trial, state (complete, pruned, failed, running, waiting), value (mean over seeds); optional sd, n, and one
            column a setting.
        metric: what the value is.
        is_lower_better: by the metric's name where None.

    Raises:
        DataError: a column is missing.
    """
    _columns(trials, "trial", "state", "value")
    trials = trials.sort_values("trial")
    done = trials[(trials["state"] == "complete") & trials["value"].notna()]
    if not len(done):
        return of.nothing_to_draw(f"No trial is complete: {_counted(trials)}.")
    is_lower = of.lower_is_better(metric, is_lower_better)
    best = done["value"].cummin() if is_lower else done["value"].cummax()
    figure = canvas.panels([""], x_title="trial", y_title=metric, panel_height=320)
    bottom, top = _range(figure, trials, done)
    line = {"color": INK, "width": 2.4, "shape": "hv"}
    ends = [*done["trial"], trials["trial"].max()], [*best, best.iloc[-1]]
    figure.add_trace(go.Scatter(x=ends[0], y=ends[1], mode="lines", line=line, name="best so far", hoverinfo="skip"))
    _draw(figure, done, "complete", {"color": INK, "size": 10}, list(done["value"]))
    for state, marker in (
        ("pruned", {"color": QUIET, "size": 11, "symbol": "triangle-down-open", "line": {"width": 2}}),
        ("failed", {"color": FAILED, "size": 11, "symbol": "x"}),
    ):
        rows = trials[trials["state"] == state]
        if len(rows):
            _draw(figure, rows, state, marker, [bottom if pd.isna(value) else float(np.clip(value, bottom, top)) for value in rows["value"]])
    figure.update_layout(showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "font": {"size": 14}})
    return captions.attach(figure, *_findings(trials, done, metric, is_lower), _read(trials, done, (bottom, top)))


def _columns(trials: pd.DataFrame, *columns: str) -> None:
    """Raises DataError where a column is missing; a table without a row, or without a value, is a sweep that has just begun."""
    one = pd.DataFrame({column: [0] for column in trials.columns})
    checked(one, "sweep_history", *columns)


def _range(figure: go.Figure, trials: pd.DataFrame, done: pd.DataFrame) -> tuple[float, float]:
    """Fits the axes to the complete trials; the lowest and the highest mark that they have room for."""
    spread = done["sd"].fillna(0) if "sd" in done else 0
    low, high = canvas.value_range(np.concatenate([done["value"] - spread, done["value"] + spread]), pad=0.15)
    reach = high - low
    others = trials[trials["state"] == "pruned"]["value"].dropna()
    bottom = max(float(others.min()), low - reach / 2) if len(others) else low
    top = min(float(others.max()), high + reach / 2) if len(others) else high
    bottom, top = min(low, bottom), max(high, top)
    figure.update_yaxes(range=[bottom - reach * 0.1, top + reach * 0.1])
    first, last = trials["trial"].min(), trials["trial"].max()
    figure.update_xaxes(range=[first - 0.6, last + 0.6], dtick=1 if last - first < 20 else None, showgrid=False, zeroline=False)
    return bottom - reach * 0.05, top + reach * 0.05


def _draw(figure: go.Figure, rows: pd.DataFrame, state: str, marker: dict, heights: list[float]) -> None:
    """The marks of one state."""
    keys = [column for column in rows.columns if column not in FACTS]
    said = [f"trial {row['trial']}, {state}<br>{canvas.safe(of.say_settings({key: row[key] for key in keys}))}" for _, row in rows.iterrows()]
    bars = {}
    if state == "complete" and "sd" in rows and rows["sd"].notna().any():
        bars = {"error_y": {"type": "data", "array": rows["sd"].fillna(0), "color": QUIET, "thickness": 1.2, "width": 4}}
    score_part = "<br>%{y:.3f}" if state == "complete" else ""
    hover = f"%{{text}}{score_part}<extra></extra>"
    figure.add_trace(go.Scatter(x=rows["trial"], y=heights, mode="markers", marker=marker, name=state, text=said, hovertemplate=hover, **bars))


def _counted(trials: pd.DataFrame) -> str:
    """`9 complete, 2 pruned, 1 failed`."""
    counts = trials["state"].value_counts()
    return ", ".join(f"{counts[state]} {state}" for state in STATES if state in counts) or "no trial at all"


def _findings(trials: pd.DataFrame, done: pd.DataFrame, metric: str, is_lower: bool) -> list[str]:
    """The best trial, when it came, and the reminder that the line cannot fall."""
    place = done["value"].idxmin() if is_lower else done["value"].idxmax()
    number = int(done.loc[place, "trial"])
    word = "lowest" if is_lower else "highest"
    first = f"The {word} {metric}, {score(float(done.loc[place, 'value']))}, came with trial {number} of {len(trials)} ({_counted(trials)})"
    since = int((done["trial"] > number).sum())
    later = f"; {captions.count(since, 'complete trial')} after it brought nothing better" if since else ""
    way = "rises" if is_lower else "falls"
    return [f"{first}{later}.", f"The line never {way}, also where all settings are equal: it is the best of more and more draws."]


def _read(trials: pd.DataFrame, done: pd.DataFrame, ends: tuple[float, float]) -> str:
    """What the marks are."""
    bars = "; bar: sample sd over seeds" if "sd" in done and done["sd"].notna().any() else ""
    ended = trials[trials["state"].isin(["pruned", "failed"])]
    lost = " Trials without a score stand at the bottom." if ended["value"].isna().any() else ""
    pruned = trials[trials["state"] == "pruned"]["value"].dropna()
    far = " Pruned ones that are further off stand at the edge." if len(pruned) and not pruned.between(*ends).all() else ""
    return f"Dots: mean over a trial's seeds{bars}.{lost}{far}"
