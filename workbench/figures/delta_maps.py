"""What does the delta change in attention? One head's map without it and with it, and the difference; where the evidence was planted stands above."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.frames import checked
from workbench.figures.palette import INK, QUIET, styles
from workbench.figures.sample import GREYS
from workbench.figures.steps import StepAxis
from workbench.statistics import mean_interval, mean_with_interval, paired_difference, say_difference, score

TITLES = ("without the delta", "with the delta", "difference")
COLUMNS, ROWS = 48, 40
"""Cells of a panel at most: it is a third of the page wide."""

PLAIN_IS = "Without the delta: the same trained head, its relative term left out."


def delta_map(view: Mapping[str, Any], moved: pd.DataFrame | None = None) -> go.Figure:
    """One head's attention in one sample, without and with the delta, and the difference; a row a step that looks, a column a step looked at.

    Args:
        view: modality, head, sample, plain, with_delta (`query key`), words, rate [Hz], windows (cue to first planted step and first step behind it);
            see `workbench.probes.delta_maps.delta_view`.
        moved: the same for all samples (see `workbench.probes.delta_maps.moved_weights`), for the caption; with a column seed where runs are several.

    Raises:
        DataError: the maps are not two square maps of one size.
    """
    plain, with_delta = (np.nan_to_num(np.asarray(view[key], float)) for key in ("plain", "with_delta"))
    if plain.shape != with_delta.shape or plain.ndim != 2 or plain.shape[0] != plain.shape[1] or not plain.size:
        raise DataError(f"delta_map got maps of shapes {plain.shape} and {with_delta.shape}", expected="two maps, a row and a column a step")
    rows, columns = (StepAxis(len(plain), view["modality"], view["words"], view["rate"], most=most) for most in (ROWS, COLUMNS))
    pooled = [columns.pooled(rows.pooled(table, 0), 1) for table in (plain, with_delta, with_delta - plain)]
    height = int(np.clip(22 * rows.cells, 200, 460))
    figure = canvas.panels(TITLES, x_title=f"looks at: {columns.title}", y_title=rows.title, panel_height=height)
    black = max(float(max(table.max() for table in pooled[:2])), 3.0 / columns.count)
    most = max(float(np.abs(pooled[2]).max()), 1e-9)
    for place, (table, low, high) in enumerate(zip(pooled, (0, 0, -most), (black, black, most), strict=True)):
        _draw(figure, table, rows, columns, (low, high), canvas.cell(place, TITLES))
        _mark(figure, view["windows"], rows, columns, canvas.cell(place, TITLES))
    _dress(figure, view["modality"], rows, columns)
    said = [_one(plain, with_delta, view), *([] if moved is None else [say_moved(moved, view["modality"], head=view["head"])])]
    read = "Darker: more weight; in the difference grey is no change, darker more with the delta, paler less."
    marks = f"▽ above: planted {', '.join(view['windows'])}." if view["windows"] else ""
    pooled_said = f"A cell is the mean over up to {-(-rows.count // rows.cells)} by {-(-columns.count // columns.cells)} steps."
    return captions.attach(figure, *said, read, marks, pooled_said if rows.is_pooled or columns.is_pooled else "", PLAIN_IS)


def _draw(figure: go.Figure, table: np.ndarray, rows: StepAxis, columns: StepAxis, reach: tuple[float, float], cell: dict[str, int]) -> None:
    """One map."""
    said = {"x": [canvas.safe(columns.say(i)) for i in range(columns.cells)], "y": [canvas.safe(rows.say(i)) for i in range(rows.cells)]}
    text = [[f"{y} looks at {x}" for x in said["x"]] for y in said["y"]]
    hover = "%{text}: %{z:+.4f}<extra></extra>" if reach[0] < 0 else "%{text}: %{z:.4f}<extra></extra>"
    drawn = {"zmin": reach[0], "zmax": reach[1], "colorscale": GREYS, "showscale": False, "text": text, "hovertemplate": hover}
    figure.add_trace(go.Heatmap(z=np.round(table, 5), **drawn, name=TITLES[cell["col"] - 1]), **cell)


def _mark(figure: go.Figure, windows: Mapping[str, tuple[int, int]], rows: StepAxis, columns: StepAxis, cell: dict[str, int]) -> None:
    """A bar with a ▽ above the columns of each planted moment."""
    pooled = columns.count / columns.cells
    for cue, (start, end) in windows.items():
        ends, middle = [start / pooled - 0.5, end / pooled - 0.5], (start + end) / 2 / pooled - 0.5
        line = {"x": [ends[0], middle, ends[1]], "y": [_above(rows)] * 3, "mode": "lines+markers", "line": {"color": INK, "width": 2}}
        marker = {"symbol": "triangle-down-open", "size": [0, 11, 0], "color": INK}
        hover = f"planted: {canvas.safe(cue)}<extra></extra>"
        figure.add_trace(go.Scatter(**line, marker=marker, name=f"planted {canvas.safe(cue)}", hovertemplate=hover), **cell)


def _above(rows: StepAxis) -> float:
    """A place above the first row (rows count downwards)."""
    return -0.5 - 0.05 * rows.cells


def _dress(figure: go.Figure, modality: str, rows: StepAxis, columns: StepAxis) -> None:
    """Ticks, and the modality's hue on the titles of the axes."""
    look = styles([modality])[modality] if modality else None
    tick = {"showgrid": False, "zeroline": False, "tickfont": {"size": 12}, "title_font_color": look.small if look else INK}
    angle = -60 if columns.words is not None else 0
    figure.update_xaxes(**columns.ticks(14), **tick, tickangle=angle, range=[-0.5, columns.cells - 0.5])
    figure.update_yaxes(**rows.ticks(), **tick, range=[rows.cells - 0.5, -0.5 - 0.1 * rows.cells])


def _one(plain: np.ndarray, with_delta: np.ndarray, view: Mapping[str, Any]) -> str:
    """What the delta moves in the sample that is drawn."""
    looks = with_delta.sum(1) > 0
    if not looks.any():
        return f"{captions.first_upper(view['modality'] or 'the sample')} has no step that looks at anything."
    share = float(0.5 * np.abs(with_delta - plain)[looks].sum(1).mean())
    which = f"{view['modality']}, head {view['head']}" if view["modality"] else f"head {view['head']}"
    return f"{captions.first_upper(which)}: in this sample the delta moves {score(share, 2)} of the weight of a row."


def say_moved(moved: pd.DataFrame, modality: str, *, head: int | None = None) -> str:
    """One sentence: how much weight the delta moves over all samples, and whether towards the planted moments, with 95 % intervals.

    Several runs (a column `seed`) are compared as runs: intervals are over their means. One run's intervals are over its samples.

    Args:
        moved: see `workbench.probes.delta_maps.moved_weights`.
        modality: whose attention.
        head: of this head; None: the mean over heads.

    Raises:
        DataError: a column is missing, or the modality (or head) has no row.
    """
    frame = checked(moved, "say_moved", "sample", "modality", "head", "moved", "inside", "inside_plain")
    frame = frame[(frame["modality"] == modality) & ((frame["head"] == head) if head is not None else True)]
    if not len(frame):
        raise DataError(f"say_moved got no row of {modality}" + ("" if head is None else f", head {head}"))
    has_seeds = "seed" in frame.columns and frame["seed"].nunique() > 1
    unit = "seed" if has_seeds else "sample"
    means = frame.groupby(unit)[["moved", "inside", "inside_plain"]].mean()
    which = "all samples of all runs" if has_seeds else "all samples"
    count = captions.count(len(means), unit)
    said = f"Over {which}: {mean_with_interval(means['moved'].to_numpy(), 2)} of the weight moves ({count})"
    known = means.dropna()
    if not len(known):
        return f"{said}; where the evidence is, is not known here."
    change = paired_difference(known["inside"].to_numpy(), known["inside_plain"].to_numpy())
    ends = f"{score(float(known['inside_plain'].mean()))} to {score(float(known['inside'].mean()))}"
    return f"{said}; the share on planted moments goes from {ends}: {_direction(change, unit)}."


def _direction(change: Any, unit: str) -> str:
    """Towards the planted moments, away from them, or neither."""
    told = say_difference(change).replace("one seed", f"one {unit}")
    if not change.is_found:
        return told
    return f"{'towards' if change.mean > 0 else 'away from'} them, {told}"


def moved_shares(frame: pd.DataFrame) -> go.Figure:
    """The share of attention on the planted moments without and with the delta, beside looking everywhere alike: by modality, with intervals.

    Args:
        frame: columns sample, modality, head, moved, inside, inside_plain, even (see `workbench.probes.delta_maps.moved_weights`); with a column seed
            where runs are several: intervals are then over runs, else over samples.

    Raises:
        DataError: a column is missing, or nothing is known of planted moments.
    """
    frame = checked(frame.assign(value=frame["inside"]), "moved_shares", "modality", "value", "inside", "inside_plain", "even", "moved")
    unit = "seed" if "seed" in frame.columns and frame["seed"].nunique() > 1 else "sample"
    looks = styles(dict.fromkeys(frame["modality"]))
    figure = canvas.panels([""], x_title="", y_title="share of attention on planted moments", panel_height=300)
    ends = []
    for place, (name, look) in enumerate(looks.items()):
        means = frame[frame["modality"] == name].groupby(unit)[["inside_plain", "inside", "even"]].mean()
        for shift, column, symbol, word in ((-0.13, "inside_plain", look.open_symbol, "without"), (0.13, "inside", look.symbol, "with")):
            mean, low, high = mean_interval(means[column].to_numpy())
            bar = {"type": "data", "symmetric": False, "array": [np.nan_to_num(high - mean)], "arrayminus": [np.nan_to_num(mean - low)]}
            drawn = {"mode": "markers", "marker": {"symbol": symbol, "size": 13, "color": look.color, "line": {"width": 2}}, "error_y": bar}
            hover = f"{canvas.safe(name)}, {word} the delta: %{{y:.3f}}<extra></extra>"
            figure.add_trace(go.Scatter(x=[place + shift], y=[mean], **drawn, name=f"{canvas.safe(name)}, {word}", hovertemplate=hover))
            ends += [value for value in (mean, low, high) if np.isfinite(value)]
        even = float(means["even"].mean())
        dashed = {"mode": "lines", "line": {"color": QUIET, "dash": "dash", "width": 2}, "hovertemplate": "everywhere alike: %{y:.3f}<extra></extra>"}
        figure.add_trace(go.Scatter(x=[place - 0.3, place + 0.3], y=[even, even], **dashed, name=f"{canvas.safe(name)}, everywhere alike"))
        ends.append(even)
    ticks = [f'<span style="color:{look.small}">{look.mark} {canvas.safe(name)}</span>' for name, look in looks.items()]
    figure.update_xaxes(tickvals=list(range(len(looks))), ticktext=ticks, range=[-0.6, len(looks) - 0.4], showgrid=False, zeroline=False)
    figure.update_yaxes(range=canvas.value_range(np.array([0.0, *ends])))
    said = [f"{captions.first_upper(name)}. {say_moved(frame, name)}" for name in looks]
    read = f"Hollow: without the delta; filled: with it; bars: 95 % over {unit}s; dashed: looking everywhere alike."
    return captions.attach(figure, *said, read, PLAIN_IS)
