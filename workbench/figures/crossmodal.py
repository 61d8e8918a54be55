"""Which steps of one sequence does each step of another look at? A map of attention."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.palette import INK, QUIET, styles
from workbench.figures.sample import GREYS
from workbench.figures.steps import StepAxis

NOT_WHY = "Attention shows where the model looked, not why; compare attribution."
MOST_NUMBERS = 30_000
"""Cells of all heads together; above it the mean over heads stands alone, so that a page stays small."""


def attention_map(
    weights: xr.DataArray | pd.DataFrame | np.ndarray, *, query: str = "", key: str = "", query_words: Sequence[str] | None = None,
    key_words: Sequence[str] | None = None, query_rate: float | None = None, key_rate: float | None = None, title: str = "",
) -> go.Figure:  # fmt: skip
    """The weights as a map in greys, a row a query step and a column a key step: the mean over heads, each head at a button; drag to zoom.

    Args:
        weights: `query key` or `head query key`, of one sample; each row adds up to 1 (or is 0: no key).
        query, key: modality of the steps that look, and of those that are looked at: the hue of the axis titles.
        query_words, key_words: one word a step, where there are words.
        query_rate, key_rate: steps a second, where time is known [Hz].
        title: which map it is.

    Raises:
        DataError: the weights are not a map with at least one cell, or there is not one word a step.
    """
    values = np.asarray(weights, float)
    values = values[None] if values.ndim == 2 else values
    if values.ndim != 3 or not values.size:
        raise DataError(f"attention_map got weights of shape {np.shape(weights)}", expected="query key, or head query key, of one sample")
    rows = _axis(values.shape[1], query, query_words, query_rate, "query")
    columns = _axis(values.shape[2], key, key_words, key_rate, "key")
    maps = np.nan_to_num(columns.pooled(rows.pooled(values, 1), 2))
    mean = maps.mean(0)
    has_heads = len(maps) > 1 and maps.size + mean.size <= MOST_NUMBERS
    figure = canvas.panels([title], x_title=f"looks at: {columns.title}", y_title=rows.title, panel_height=int(np.clip(24 * rows.cells, 220, 620)))
    shown = [("mean of heads" if len(maps) > 1 else "weights", mean)]
    shown += [(f"head {number}", head) for number, head in enumerate(maps, start=1)] if has_heads else []
    for place, (name, table) in enumerate(shown):
        _draw(figure, name, table, rows, columns, is_visible=place == 0)
    if has_heads:
        _add_buttons(figure, [name for name, _ in shown])
    looks = styles([name for name in (query, key) if name])
    tick = {"showgrid": False, "zeroline": False, "tickfont": {"size": 13}}
    figure.update_xaxes(**columns.ticks(30), **tick, tickangle=-50 if key_words is not None else 0, title_font_color=_hue(looks, key))
    figure.update_yaxes(**rows.ticks(), **tick, autorange="reversed", title_font_color=_hue(looks, query))
    return captions.attach(figure, _finding(mean, values.mean(0), rows, columns), _read(rows, columns, len(maps), has_heads), NOT_WHY)


def _axis(count: int, modality: str, words: Sequence[str] | None, rate: float | None, name: str) -> StepAxis:
    if words is not None and len(words) != count:
        raise DataError(f"attention_map got {len(words)} {name} words for {count} steps", expected="one word a step")
    return StepAxis(count, modality, words, rate)


def _hue(looks: dict, modality: str) -> str:
    return looks[modality].small if modality in looks else INK


def _draw(figure: go.Figure, name: str, table: np.ndarray, rows: StepAxis, columns: StepAxis, *, is_visible: bool) -> None:
    """One map; hovering tells which steps a cell stands for."""
    said = {"x": [canvas.safe(columns.say(i)) for i in range(columns.cells)], "y": [canvas.safe(rows.say(i)) for i in range(rows.cells)]}
    # The words are told for the mean only: a text for every cell of every head would be most of the page.
    hover = "%{z:.3f}<extra></extra>"
    figure.add_trace(
        go.Heatmap(
            z=np.round(table, 4), zmin=0, zmax=_black(table), colorscale=GREYS, showscale=False, name=name, visible=is_visible,
            text=[[f"{y} looks at {x}" for x in said["x"]] for y in said["y"]] if is_visible else None,
            hovertemplate=f"%{{text}}: {hover}" if is_visible else f"{name}, row %{{y}}, column %{{x}}: {hover}",
        )
    )  # fmt: skip


def _black(table: np.ndarray) -> float:
    """The weight that is drawn black: the largest, and at least three times an even share, so that looking everywhere alike is a pale grey."""
    there = table[table.any(1)][:, table.any(0)]
    return max(float(there.max()), 3 * float(there.mean())) if there.size else 1.0


def _add_buttons(figure: go.Figure, names: Sequence[str]) -> None:
    """A button a map, in a row above them."""
    buttons = [
        {"label": name.replace("head ", "") if place else "mean", "method": "update", "args": [{"visible": [i == place for i in range(len(names))]}]}
        for place, name in enumerate(names)
    ]
    # Grey words on a grey veil can be read on a light page and on a dark one.
    look = {"font": {"size": 12, "color": QUIET}, "bgcolor": "rgba(118,118,118,0.12)", "bordercolor": QUIET}
    place = {"x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom", "pad": {"b": 8}}
    figure.update_layout(updatemenus=[{"type": "buttons", "direction": "right", "buttons": buttons, "showactive": True, **look, **place}])


def _finding(mean: np.ndarray, whole: np.ndarray, rows: StepAxis, columns: StepAxis) -> str:
    """Where the most weight lies, against looking everywhere alike."""
    row, column = (int(place) for place in np.unravel_index(int(mean.argmax()), mean.shape))
    has_key = (np.nan_to_num(whole) > 0).any(0)
    keys = max(1, int(has_key.sum()))
    asks, at = _place(rows, row), _place(columns, column)
    if not mean.max() > 0:
        return "No step has anything to look at."
    times = mean[row, column] * keys
    even = " All steps are looked at nearly alike." if times < 1.45 else ""
    return f"Most weight: {asks} looks at {at} ({captions.times(float(times))} times what looking everywhere alike would give).{even}"


def _place(axis: StepAxis, cell: int) -> str:
    """`the text token “great”`, `audio at 1.20 to 1.60 s`, `audio's step 4`."""
    said = axis.say(cell)
    if axis.words is not None:
        kind = f"{axis.modality} token" if axis.modality else "token"
        return f"the {kind} {said}" if axis.cells == axis.count else f"the {kind}s {said}"
    if not axis.modality:
        return said
    return f"{axis.modality} at {said}" if axis.rate else f"{axis.modality}'s {said}"


def _read(rows: StepAxis, columns: StepAxis, heads: int, has_heads: bool) -> str:
    """How to read the map."""
    pooled = [axis for axis in (rows, columns) if axis.is_pooled]
    said = f" A cell is the mean over up to {' by '.join(str(-(-axis.count // axis.cells)) for axis in pooled)} steps." if pooled else ""
    which = f"Mean of {heads} heads{', each at its button' if has_heads else ''}. " if heads > 1 else ""
    return f"{which}Darker: more weight.{said}"
