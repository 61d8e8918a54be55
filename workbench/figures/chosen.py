"""Which sample is it among all of them? Predicted against true with one sample marked, or a table of classes with its cell marked."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.muting import heading
from workbench.figures.palette import INK, PAPER, QUIET
from workbench.figures.predictions import SHADES
from workbench.statistics import score

HEIGHT, MOST_DOTS = 300, 3000
SMALL = {"size": 12}
NONE = {"x": [None], "y": [None]}


def chosen_score(
    target: Sequence[float], prediction: Sequence[float], row: int, *, shown: Sequence[int] = (), pinned: int | None = None, width: int | None = None
) -> go.Figure:
    """A dot a sample, predicted against true; one of them marked. `customdata` of the dots is the row, for clicks.

    Args:
        target, prediction: of every sample.
        row: the chosen sample.
        shown: rows that are gone through; the others are faint. Empty: all.
        pinned: another marked sample.
        width: of the picture [px].

    Raises:
        DataError: not one prediction a target, or no such row.
    """
    target, prediction = np.asarray(target, float), np.asarray(prediction, float)
    if target.shape != prediction.shape or target.ndim != 1 or not 0 <= row < len(target):
        raise DataError(
            f"chosen_score got {target.shape} targets, {prediction.shape} predictions and row {row}", expected="one each, and a row of them"
        )
    figure = _empty("All samples: press one" if width else "All samples", width)
    ends = canvas.value_range(np.concatenate([target, prediction])[np.isfinite(np.concatenate([target, prediction]))])
    line = {"color": QUIET, "dash": "dash", "width": 1.5}
    figure.add_trace(go.Scatter(name="equal", x=ends, y=ends, mode="lines", line=line, hoverinfo="skip"))
    among = np.isin(np.arange(len(target)), shown) if len(shown) else np.ones(len(target), bool)
    step = -(-len(target) // MOST_DOTS)
    kept = np.unique([*range(0, len(target), step), row])
    for name, members, opacity in (("others", ~among, 0.18), ("shown", among, 0.6)):
        rows = kept[members[kept]]
        spots = {"x": target[rows], "y": prediction[rows], "customdata": rows} if len(rows) else NONE
        hover = "sample %{customdata}: true %{x:.2f}, predicted %{y:.2f}<extra></extra>"
        figure.add_trace(go.Scatter(name=name, mode="markers", marker={"size": 6, "color": INK, "opacity": opacity}, hovertemplate=hover, **spots))
    ring = {"symbol": "circle-open", "size": 16, "color": INK, "line": {"width": 3}}
    figure.add_trace(go.Scatter(name="chosen", x=[target[row]], y=[prediction[row]], mode="markers", marker=ring, hoverinfo="skip"))
    spots = {"x": [target[pinned]], "y": [prediction[pinned]]} if pinned is not None else NONE
    diamond = {"symbol": "diamond-open", "size": 16, "color": INK, "line": {"width": 2}}
    figure.add_trace(go.Scatter(name="pinned", mode="markers", marker=diamond, hoverinfo="skip", **spots))
    small = {"tickfont": SMALL, "automargin": False, "range": ends}
    figure.update_xaxes(title={"text": "true score", "font": SMALL, "standoff": 2}, **small)
    figure.update_yaxes(title={"text": "predicted score", "font": SMALL, "standoff": 2}, **small)
    off = prediction[row] - target[row]
    far = np.abs(prediction - target)
    rank = int((far <= far[row]).sum())
    first = f"Sample {row} is off by {score(float(off), 2, sign=True)}; {rank:,} of {len(far):,} samples are off by as much or less."
    drawn = "" if step == 1 else f"{len(kept):,} of {len(target):,} samples are drawn."
    return captions.attach(figure, first, f"Ring: the chosen sample{'; diamond: the pinned one' if pinned is not None else ''}.", drawn)


def chosen_class(
    counts: np.ndarray, cell: tuple[int, int], *, rows: Sequence[str], columns: Sequence[str], y_title: str = "true class",
    x_title: str = "predicted class", width: int | None = None,
) -> go.Figure:  # fmt: skip
    """How many samples of each truth were told what, the cell of the chosen sample framed; press a cell to go through its samples.

    Args:
        counts: a row per truth, a column per answer.
        cell: row and column of the chosen sample.
        rows, columns: their names.
        x_title, y_title: what they are.
        width: of the picture [px].

    Raises:
        DataError: the counts have another shape than the names.
    """
    counts = np.asarray(counts, int)
    if counts.shape != (len(rows), len(columns)):
        raise DataError(f"chosen_class got counts of shape {counts.shape}", expected=f"{len(rows)} by {len(columns)}")
    figure = _empty("All samples: press a cell" if width else "All samples", width)
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    text = [[f"{value:,}" for value in line] for line in counts]
    hover = "true %{y}, predicted %{x}: %{text}<extra></extra>"
    shown = {"colorscale": SHADES, "zmin": 0, "zmax": 1, "showscale": False, "xgap": 2, "ygap": 2, "hovertemplate": hover}
    places = {"x": list(range(len(columns))), "y": list(range(len(rows)))}
    figure.add_trace(go.Heatmap(name="cells", z=shares, text=text, texttemplate="%{text}" if len(rows) <= 12 else None, **places, **shown))
    y, x = cell
    frame = {"x": [x - 0.46, x + 0.46, x + 0.46, x - 0.46, x - 0.46], "y": [y - 0.46, y - 0.46, y + 0.46, y + 0.46, y - 0.46]}
    # Ink on white, so that the frame is seen on dark cells and on light ones.
    figure.add_trace(go.Scatter(name="chosen edge", mode="lines", line={"color": PAPER, "width": 6}, hoverinfo="skip", **frame))
    figure.add_trace(go.Scatter(name="chosen", mode="lines", line={"color": INK, "width": 3}, hoverinfo="skip", **frame))
    words = [[canvas.safe(name if len(name) <= 9 else f"{name[:8]}…") for name in names] for names in (columns, rows)]
    small = {"tickfont": SMALL, "automargin": False, "showgrid": False, "zeroline": False, "ticks": "", "showline": False}
    every = -(-max(len(rows), len(columns)) // 12)
    figure.update_xaxes(title={"text": x_title, "font": SMALL, "standoff": 2}, tickvals=places["x"][::every], ticktext=words[0][::every], **small)
    figure.update_yaxes(
        title={"text": y_title, "font": SMALL, "standoff": 2},
        tickvals=places["y"][::every],
        ticktext=words[1][::every],
        autorange="reversed",
        **small,
    )
    figure.update_layout(margin={"l": 92, "r": 10, "t": 36, "b": 66})
    whole, mine = int(counts.sum()), int(counts[y, x])
    first = f"The chosen sample is one of {captions.count(mine, 'sample')} with the truth {rows[y]} and the answer {columns[x]}, of {whole:,}."
    return captions.attach(figure, first, "Cells: number of samples; darker: a larger part of the truth; frame: the chosen sample's.")


def _empty(title: str, width: int | None) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(template=canvas.template(), width=width, height=HEIGHT, margin={"l": 60, "r": 10, "t": 36, "b": 44}, font={"size": 13})
    figure.update_layout(title=heading(title))
    return figure
