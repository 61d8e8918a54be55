"""Does attention change from layer to layer? One part's maps for one sample, a panel a layer, on one scale."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.crossmodal import NOT_WHY
from workbench.figures.palette import INK, styles
from workbench.figures.sample import GREYS
from workbench.figures.steps import StepAxis
from workbench.statistics import score

COLUMNS, ROWS = 48, 40
"""Cells of a panel at most: it is a third of the page wide."""


def attention_by_layer(views: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Attention weights of one part in several layers, mean over its heads: a panel a layer in greys, a row a step that looks.

    Args:
        views: of one part, in the layers' order (see `workbench.probes.layers.by_layer`): values (`query key` or `head query key`), steps (modality,
            words and rate of each axis), title, layer.

    Raises:
        DataError: there is no view, or their maps are not of one shape.
    """
    maps = [np.nan_to_num(np.asarray(view["values"], float)) for view in views]
    maps = [table.mean(0) if table.ndim == 3 else table for table in maps]
    if not maps or len({table.shape for table in maps}) > 1 or maps[0].ndim != 2 or not maps[0].size:
        raise DataError(f"attention_by_layer got {len(maps)} maps of shapes {[table.shape for table in maps]}", expected="one map a layer, all alike")
    query, key = (views[0]["steps"][str(dim)] for dim in views[0]["values"].dims[-2:])
    rows = StepAxis(maps[0].shape[0], query["modality"], query["words"], query["rate"], most=ROWS)
    columns = StepAxis(maps[0].shape[1], key["modality"], key["words"], key["rate"], most=COLUMNS)
    pooled = [columns.pooled(rows.pooled(table, 0), 1) for table in maps]
    titles = [f"layer {view['layer']}" if view.get("layer") else "" for view in views]
    figure = canvas.panels(titles, x_title=columns.title, y_title=rows.title, panel_height=int(np.clip(22 * rows.cells, 200, 560)))
    black = max(float(max(table.max() for table in pooled)), 3.0 / columns.count)
    for place, table in enumerate(pooled):
        _draw(figure, table, rows, columns, black, canvas.cell(place, titles))
    looks = styles([name for name in (query["modality"], key["modality"]) if name])
    tick = {"showgrid": False, "zeroline": False, "tickfont": {"size": 12}}
    angle = -60 if key["words"] is not None else 0
    figure.update_xaxes(**columns.ticks(14), **tick, tickangle=angle, title_font_color=_hue(looks, key["modality"]))
    figure.update_yaxes(**rows.ticks(), **tick, autorange="reversed", title_font_color=_hue(looks, query["modality"]))
    said = f"{_looks(query, key)}: {', '.join(_say(table, view, columns) for table, view in zip(maps, views, strict=True))}."
    heads = "Means over the heads. " if np.asarray(views[0]["values"]).ndim == 3 else ""
    return captions.attach(figure, said, f"{heads}Darker: more weight, one scale for all layers.", _pooled(rows, columns), NOT_WHY)


def _draw(figure: go.Figure, table: np.ndarray, rows: StepAxis, columns: StepAxis, black: float, cell: dict[str, int]) -> None:
    """One layer."""
    said = {"x": [canvas.safe(columns.say(i)) for i in range(columns.cells)], "y": [canvas.safe(rows.say(i)) for i in range(rows.cells)]}
    text = [[f"{y} looks at {x}" for x in said["x"]] for y in said["y"]]
    drawn = {"zmin": 0, "zmax": black, "colorscale": GREYS, "showscale": False, "text": text, "hovertemplate": "%{text}: %{z:.3f}<extra></extra>"}
    figure.add_trace(go.Heatmap(z=np.round(table, 4), **drawn), **cell)


def _looks(query: Mapping[str, Any], key: Mapping[str, Any]) -> str:
    """What the numbers of the caption are."""
    asks = f"a word of {query['modality']}" if query["words"] is not None else f"a step of {query['modality'] or 'the query'}"
    return f"Share of the steps of {key['modality'] or 'the key'} that {asks} looks at (1: everywhere alike)"


def _say(table: np.ndarray, view: Mapping[str, Any], columns: StepAxis) -> str:
    """The share of the steps that a row looks at, mean over the rows: e^entropy over the number of steps."""
    where = f"in layer {view.get('layer', 0)}"
    there = table[table.sum(1) > 0]
    if not len(there):
        return f"none {where}"
    shares = there / there.sum(1, keepdims=True)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(1)
    return f"{score(float(np.exp(entropy).mean() / columns.count), 2)} {where}"


def _pooled(rows: StepAxis, columns: StepAxis) -> str:
    pooled = [axis for axis in (rows, columns) if axis.is_pooled]
    return f"A cell is the mean over up to {' by '.join(str(-(-axis.count // axis.cells)) for axis in pooled)} steps." if pooled else ""


def _hue(looks: Mapping[str, Any], modality: str) -> str:
    return looks[modality].small if modality in looks else INK
