"""Which modalities does a model find alike? The graph of modalities, drawn."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.by_class import apart, checked, drawn_from, largest_classes, titles
from workbench.figures.palette import INK, Style, styles
from workbench.statistics import mean_interval, score

WIDEST, THINNEST = 12.0, 1.0
"""Width of an edge of weight 1, and of the faintest [pixels]."""

REACH, ROOM = 1.6, 0.5
"""Half the width of a panel, where the nodes lie on a circle of radius 1; room above and below them."""

HEIGHTS = {2: 130, 3: 260, 4: 320}
"""Height of a panel by its number of nodes [pixels]."""

SAME = 1e-6
"""Weights closer than this are one number: the edge has no direction."""


def modality_graph(values: xr.DataArray | xr.Dataset, *, quantity: str = "cosine similarity", title: str = "") -> go.Figure:
    """Modalities as nodes in their hues; an edge is as wide as its weight is large, solid above zero and dashed below, its number beside it.

    Args:
        values: last two dimensions: a modality, and the modality it looks at, with their names; means are drawn over any dimension before them. Or
            `workbench.probes.by_class.by_class`'s table of such values: a panel a class.
        quantity: what the weights are.
        title: which graph it is (one panel).

    Raises:
        DataError: there are fewer than two modalities, or not as many rows as columns, or no number.
    """
    is_table = isinstance(values, xr.Dataset)
    found, note = _of_classes(values) if is_table else (None, "")
    shown = found["mean"] if is_table else _whole(values)
    names = _nodes(shown)
    looks, places = styles(names), circle(len(names))
    panels = titles(found) if is_table else [title]
    figure = canvas.panels(panels, x_title="", y_title="", panel_height=HEIGHTS.get(len(names), 400))
    for place in range(len(panels)):
        table = shown.values[place] if is_table else shown.values.reshape(-1, *shown.shape[-2:])
        cell = canvas.cell(place, panels)
        _draw_edges(figure, table if is_table else _mean(table), names, places, quantity, cell)
        _draw_nodes(figure, names, looks, places, cell)
    _without_axes(figure, places)
    figure.update_layout(height=figure.layout.height - 40, margin={**canvas.MARGIN, "l": 16, "b": 24, "t": 64 if any(panels) else 24})
    read = "Edges: wider for a larger size; dashed below zero. Each modality is also joined to itself (not drawn)."
    if is_table:
        finding = apart(found, quantity, lambda i, j: f"{names[i]} and {names[j]}")
        return captions.attach(figure, finding, read, note, drawn_from(found))
    return captions.attach(figure, *_findings(shown, names, quantity), read)


def _of_classes(values: xr.Dataset) -> tuple[xr.Dataset, str]:
    checked(values, 2, "modality_graph")
    return largest_classes(values)


def _whole(values: xr.DataArray) -> xr.DataArray:
    """The values, after a look at them.

    Raises:
        DataError: there is no number, or no matrix.
    """
    if values.ndim < 2 or not np.isfinite(values.values).any():
        raise DataError(f"modality_graph got values of shape {values.shape}", expected="modalities by modalities, with a number")
    return values


def _nodes(values: xr.DataArray) -> list[str]:
    """The modalities' names."""
    rows, columns = values.shape[-2:]
    if rows != columns or rows < 2:
        raise DataError(f"modality_graph got a matrix of shape {rows, columns}", expected="as many rows as columns, two or more: a modality each")
    dim = values.dims[-2]
    return [str(name) for name in values[dim].values] if dim in values.coords else [str(i + 1) for i in range(rows)]


def circle(count: int) -> np.ndarray:
    """Places of the nodes, `node 2`: two side by side, more on a circle with the first at the top."""
    if count == 2:
        return np.array([[-1.0, 0.0], [1.0, 0.0]])
    angle = np.pi / 2 - 2 * np.pi * np.arange(count) / count
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _draw_edges(figure: go.Figure, table: np.ndarray, names: Sequence[str], places: np.ndarray, quantity: str, cell: Mapping[str, int]) -> None:
    """A line a pair, with its number; of a pair that is not alike both ways, a number near each modality that looks."""
    for i, j in combinations(range(len(names)), 2):
        there, back = float(table[i, j]), float(table[j, i])
        if not (np.isfinite(there) and np.isfinite(back)):
            continue
        size = max(abs(there), abs(back))
        line = {"color": INK, "width": THINNEST + (WIDEST - THINNEST) * min(1.0, size), "dash": "dash" if there + back < 0 else "solid"}
        points = np.linspace(places[i], places[j], 9)
        pair = f"{canvas.safe(names[i])} and {canvas.safe(names[j])}"
        text = score(there) if abs(there - back) < SAME else f"{score(there)} and {score(back)}"
        hover = f"{pair}: {canvas.safe(quantity)} {text}<extra></extra>"
        drawn = {"mode": "lines", "line": line, "opacity": 0.35 + 0.45 * min(1.0, size), "name": pair, "hovertemplate": hover}
        figure.add_trace(go.Scatter(x=np.round(points[:, 0], 4), y=np.round(points[:, 1], 4), **drawn), **cell)
        for value, share in [(there, 0.5)] if abs(there - back) < SAME else [(there, 0.3), (back, 0.7)]:
            _write(
                figure,
                value,
                places[i],
                places[j],
                _free(share, places[i], places[j], is_pair=len(names) == 2, is_odd=i % 2 == 1),
                line["width"],
                cell,
            )


def _free(share: float, start: np.ndarray, end: np.ndarray, *, is_pair: bool, is_odd: bool) -> float:
    """Where on an edge its number stands: off the middle where edges between opposite nodes cross, towards one end and the other in turn."""
    if is_pair or share != 0.5 or np.linalg.norm(start + end) > 0.2:
        return share
    return 0.64 if is_odd else 0.36


def _write(figure: go.Figure, value: float, start: np.ndarray, end: np.ndarray, share: float, width: float, cell: Mapping[str, int]) -> None:
    """A number beside its edge, away from the middle of the picture."""
    along = (end - start) / np.linalg.norm(end - start)
    at = start + share * (end - start)
    side = np.array([-along[1], along[0]])
    middle = (start + end) / 2
    side = side if side @ middle > 1e-9 or (abs(side @ middle) <= 1e-9 and side[1] >= 0) else -side
    away = 13 + width / 2
    shift = {"xshift": round(float(side[0]) * (away + 5), 1), "yshift": round(float(side[1]) * away, 1)}
    figure.add_annotation(x=float(at[0]), y=float(at[1]), text=score(value, 2), showarrow=False, font={"size": 14, "color": INK}, **shift, **cell)


def _draw_nodes(figure: go.Figure, names: Sequence[str], looks: Mapping[str, Style], places: np.ndarray, cell: Mapping[str, int]) -> None:
    """A mark a modality, its name beyond it."""
    for name, (x, y) in zip(names, places, strict=True):
        look = looks[name]
        marker = {"symbol": look.symbol, "size": 24, "color": look.color, "line": {"width": 3 if look.is_hollow else 0, "color": look.color}}
        shown = {"mode": "markers", "marker": marker, "name": canvas.safe(name), "hovertemplate": f"{canvas.safe(name)}<extra></extra>"}
        figure.add_trace(go.Scatter(x=[x], y=[y], **shown), **cell)
        beyond = 25 if y > 0.2 or (len(names) == 2) else -25
        figure.add_annotation(x=x, y=y, text=canvas.safe(name), showarrow=False, font={"size": 14, "color": look.small}, yshift=beyond, **cell)


def _mean(tables: np.ndarray) -> np.ndarray:
    """The mean over the first axis, nan left out; nan where there is nothing."""
    known = np.isfinite(tables)
    count = known.sum(0)
    return np.where(count > 0, np.where(known, tables, 0.0).sum(0) / np.maximum(count, 1), np.nan)


def _without_axes(figure: go.Figure, places: np.ndarray) -> None:
    """Panels without axes in which a circle is round."""
    axis = {"visible": False, "constrain": "domain"}
    figure.update_xaxes(**axis, range=[-REACH, REACH])
    figure.update_yaxes(**axis, matches=None, range=[float(places[:, 1].min()) - ROOM, float(places[:, 1].max()) + ROOM])
    for place, y_axis in enumerate(figure.select_yaxes(), start=1):
        y_axis.update(scaleanchor=f"x{place if place > 1 else ''}", scaleratio=1)


def _findings(values: xr.DataArray, names: Sequence[str], quantity: str) -> list[str]:
    """The strongest and the weakest pair, with intervals over the samples."""
    tables = values.values.reshape(-1, *values.shape[-2:])
    tables = (tables + tables.transpose(0, 2, 1)) / 2
    pairs = {(i, j): tables[np.isfinite(tables[:, i, j]), i, j] for i, j in combinations(range(len(names)), 2)}
    pairs = {pair: found for pair, found in pairs.items() if len(found)}
    if not pairs:
        return [f"{captions.first_upper(quantity)}: no pair of modalities has a number."]
    order = sorted(pairs, key=lambda pair: abs(float(pairs[pair].mean())))
    said = f"{captions.first_upper(quantity)}: {'strongest between ' if len(order) > 1 else ''}{_say(order[-1], pairs, names)}"
    said += f", weakest between {_say(order[0], pairs, names)}" if len(order) > 1 else ""
    below = sum(float(found.mean()) < 0 for found in pairs.values())
    count = max(len(found) for found in pairs.values())
    over = f"Means over {captions.count(count, 'sample')}." if count > 1 else ""
    return [f"{said}.", f"{below} of {captions.count(len(order), 'pair')} below zero.", over]


def _say(pair: tuple[int, int], pairs: Mapping[tuple[int, int], np.ndarray], names: Sequence[str]) -> str:
    """`text and audio (.412, 95 % .395 to .430)`."""
    mean, low, high = mean_interval(pairs[pair])
    span = "" if np.isnan(low) else f", 95 % {score(low)} to {score(high)}"
    return f"{names[pair[0]]} and {names[pair[1]]} ({score(mean)}{span})"
