"""What do a model's gates let through, over the steps of a sequence and over samples?"""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.matrices import tick
from workbench.figures.palette import INK, Style, styles
from workbench.figures.sample import GREYS
from workbench.figures.steps import StepAxis
from workbench.statistics import mean_interval, score

LINES, LETTERS = 8, 80
"""More rows than this (named neither modality nor feature) are drawn as a map; names with more letters than this stand at the left."""


def gates_over_time(
    values: xr.DataArray,
    *,
    modality: str = "",
    words: Sequence[str] | None = None,
    rate: float | None = None,
    quantity: str = "gate",
    title: str = "",
) -> go.Figure:
    """A gate at each step of one sample: a line a modality, or the middle and the quartiles of many units, or a map of many named rows.

    Args:
        values: first dimension: steps; then optionally `modality`, `feature` (units without a name) or any other axis with coordinates; a third one
            gives panels.
        modality: whose steps they are.
        words: one a step, where there are words.
        rate: steps a second, where time is known [Hz].
        quantity: what the values are, for the axis and the caption.
        title: which gate it is.

    Raises:
        DataError: there is no step, or there are more than three dimensions.
    """
    if values.ndim not in (1, 2, 3) or not values.size:
        raise DataError(f"gates_over_time got values of shape {values.shape}", expected="steps, then at most two more axes, of one sample")
    axis = StepAxis(values.shape[0], modality, words, rate, most=10**9)
    panel_axis = next((str(d) for d in values.dims[1:] if d not in ("modality", "feature")), None) if values.ndim == 3 else None
    names = [f"{title}: {name}" if title else str(name) for name in values[panel_axis].values] if panel_axis else [title]
    parts = [values.isel({panel_axis: place}) for place in range(len(names))] if panel_axis else [values]
    row_axis = str(parts[0].dims[1]) if parts[0].ndim == 2 else ""
    if row_axis not in ("", "modality", "feature") and parts[0].shape[1] > LINES:
        return _as_map(parts[0], axis, quantity, title)
    figure = canvas.panels(names, x_title=axis.title, y_title=quantity)
    looks = styles(map(str, values["modality"].values)) if row_axis == "modality" else {}
    said = styles([modality])[modality].small if modality else INK
    drawn = np.nanpercentile(values.values, [25, 75], axis=-1) if row_axis == "feature" else values.values
    reach = canvas.value_range(drawn[np.isfinite(drawn)])
    labels = [f"● {name}" for name in looks] or (["half of units"] if row_axis == "feature" else _row_names(parts[0], row_axis))
    figure.update_xaxes(range=canvas.room_for_labels(-0.3, axis.count - 0.7, labels, canvas.columns_for(len(names))), title_font_color=said)
    figure.update_xaxes(**axis.ticks(34 // canvas.columns_for(len(names)) ** 2 + 4), tickangle=-50 if words is not None else 0)
    figure.update_yaxes(range=reach)
    for place, part in enumerate(parts):
        _draw_lines(figure, part, looks, axis, reach, canvas.cell(place, names))
    panels = [str(name) for name in values[panel_axis].values] if panel_axis else [""]
    findings = [_finding(part, row_axis, axis, quantity, name) for part, name in zip(parts, panels, strict=True)]
    read = "Line: median of the units; band: their quartiles." if row_axis == "feature" else "One sample."
    return captions.attach(figure, *findings, read)


def _row_names(part: xr.DataArray, row_axis: str) -> list[str]:
    """The names of the lines that are no modalities; none for a single line."""
    return [str(name) for name in part[row_axis].values] if row_axis else []


def _draw_lines(figure: go.Figure, part: xr.DataArray, looks: dict[str, Style], axis: StepAxis, reach: list[float], cell: dict[str, int]) -> None:
    """The lines of one panel, named at their ends."""
    steps, labels = np.arange(axis.count), []
    rows = {"": part.values} if part.ndim == 1 else {str(name): part.values[:, i] for i, name in enumerate(part[part.dims[1]].values)}
    if part.ndim == 2 and part.dims[1] == "feature":
        low, middle, high = np.nanpercentile(part.values, [25, 50, 75], axis=1)
        band = {"x": [*steps, *steps[::-1]], "y": [*high, *low[::-1]], "fill": "toself", "fillcolor": "rgba(118,118,118,0.2)"}
        figure.add_trace(go.Scatter(**band, mode="lines", line={"width": 0}, name="half of units", hoverinfo="skip"), **cell)
        labels.append(("half of units", float(high[-1]), INK))
        rows = {"median": middle}
    for place, (name, found) in enumerate(rows.items()):
        look = looks.get(name)
        line = {"color": look.color if look else INK, "width": 2.2, "dash": "solid" if look else ("solid", "dash", "dot", "dashdot")[place % 4]}
        marker = {"symbol": look.symbol if look else "circle", "size": 7, "color": line["color"]}
        said = [f"{canvas.safe(axis.say(i))}: {canvas.safe(name)} {value:.3f}" for i, value in enumerate(found)]
        drawn = {"line": line, "marker": marker, "customdata": said, "hovertemplate": "%{customdata}<extra></extra>"}
        figure.add_trace(go.Scatter(x=steps, y=found, mode="lines+markers", name=canvas.safe(name or "value"), **drawn), **cell)
        if name:
            label = f"{look.mark} {canvas.safe(name)}" if look else canvas.safe(name)
            labels.append((label, float(found[np.isfinite(found)][-1]), look.small if look else INK))
    canvas.end_labels(figure, labels, x=float(steps[-1]), y_range=reach, **cell)


def _as_map(part: xr.DataArray, axis: StepAxis, quantity: str, title: str) -> go.Figure:
    """Many named rows over the steps, in greys."""
    axis = StepAxis(axis.count, axis.modality, axis.words, axis.rate)
    table = axis.pooled(np.nan_to_num(part.values), 0).T
    names = [canvas.safe(name) for name in part[part.dims[1]].values]
    figure = canvas.panels([title], x_title=axis.title, y_title=str(part.dims[1]), panel_height=max(220, 22 * len(names)))
    texts = [[f"{name}, {canvas.safe(axis.say(i))}" for i in range(axis.cells)] for name in names]
    hover = "%{text}: %{z:.3f}<extra></extra>"
    figure.add_trace(go.Heatmap(z=np.round(table, 4), text=texts, colorscale=GREYS, showscale=False, hovertemplate=hover, name=quantity))
    said = styles([axis.modality])[axis.modality].small if axis.modality else INK
    figure.update_xaxes(**axis.ticks(30), tickangle=-50 if axis.words is not None else 0, showgrid=False, title_font_color=said)
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=names, showgrid=False, autorange="reversed", tickfont={"size": 12})
    means = table.mean(1)
    high, low = int(means.argmax()), int(means.argmin())
    ends = f"largest on average in {names[high]} ({score(means[high])}), smallest in {names[low]} ({score(means[low])})"
    first = f"{captions.first_upper(quantity)}: {ends}"
    return captions.attach(figure, f"{first}.", "Darker: larger. One sample.")


def _finding(part: xr.DataArray, row_axis: str, axis: StepAxis, quantity: str, panel: str) -> str:
    """The modality with the largest mean and where it is largest; without modalities where the gate is most and least open."""
    where, said = f" ({panel})" if panel else "", quantity
    if row_axis in ("", "feature"):
        found = part.values if part.ndim == 1 else np.nanmedian(part.values, axis=1)
        high, low = int(np.nanargmax(found)), int(np.nanargmin(found))
        top, bottom = (score(float(found[place]), 2) for place in (high, low))
        if top == bottom:
            return f"{captions.first_upper(said)}{where}: the same at all steps to two digits ({top})."
        return f"{captions.first_upper(said)}{where}: largest at {axis.say(high)} ({top}), smallest at {axis.say(low)} ({bottom})."
    means = np.nanmean(part.values, axis=0)
    names = [str(name) for name in part[row_axis].values]
    high, low = int(means.argmax()), int(means.argmin())
    step = int(np.nanargmax(part.values[:, high]))
    against = f", {names[low]}'s smallest ({score(float(means[low]))})" if high != low else ""
    first = f"{captions.first_upper(said)}{where}: {names[high]}'s is largest on average ({score(float(means[high]))}){against}"
    return f"{first}; most at {axis.say(step)} ({score(float(part.values[step, high]), 2)})."


def weights_by_modality(values: xr.DataArray, *, quantity: str = "weight", title: str = "") -> go.Figure:
    """One number a modality (or other named part) and sample: every sample a dot, the mean a line, its 95 % interval a bar.

    Args:
        values: `sample name` or `name`; where the last dimension is `modality` its hues are used.
        quantity: what the values are.
        title: which numbers they are.

    Raises:
        DataError: there is no value, or there are more than two dimensions.
    """
    if values.ndim not in (1, 2) or not values.size:
        raise DataError(f"weights_by_modality got values of shape {values.shape}", expected="sample by name, or one number a name")
    table, dim = np.atleast_2d(values.values.astype(float)), str(values.dims[-1])
    names = [str(name) for name in values[dim].values]
    looks = styles(names) if dim == "modality" else {}
    is_lying = len(names) > LINES and sum(map(len, names)) > LETTERS
    figure = canvas.panels(
        [title], x_title=quantity if is_lying else "", y_title="" if is_lying else quantity, panel_height=24 * len(names) if is_lying else 300
    )
    for place, name in enumerate(names):
        _draw_dots(figure, place, name, table[np.isfinite(table[:, place]), place], looks.get(name), is_lying=is_lying)
    ticks = {
        "tickvals": list(range(len(names))),
        "ticktext": [tick(name, looks) if is_lying else tick(name, looks).replace(" x ", "<br>x ") for name in names],
    }
    finite = table[np.isfinite(table)]
    named, numbers = {**ticks, "showgrid": False, "zeroline": False}, {"range": canvas.value_range(finite if len(finite) else np.zeros(1), pad=0.1)}
    figure.update_xaxes(**(numbers if is_lying else named | {"range": [-0.6, len(names) - 0.4]}))
    figure.update_yaxes(**(named | {"range": [len(names) - 0.4, -0.6], "tickfont": {"size": 12}} if is_lying else numbers))
    means = {name: float(np.nanmean(table[:, place])) for place, name in enumerate(names) if np.isfinite(table[:, place]).any()}
    if values.ndim == 1:
        return captions.attach(figure, _largest(means, quantity, ""), "One number each.")
    samples = captions.count(len(table), "sample")
    return captions.attach(figure, _largest(means, quantity, f"; {samples}"), "Dots: samples; line: mean; bar: its 95 % interval.")


def _largest(means: dict[str, float], quantity: str, samples: str) -> str:
    """Which is largest, which smallest."""
    if not means:
        return f"{captions.first_upper(quantity)}: no value."
    high, low = max(means, key=means.get), min(means, key=means.get)
    if high == low:
        return f"{captions.first_upper(quantity)} of {high}: {score(means[high])}{samples}."
    mean = "mean" if samples else "value"
    return (
        f"{captions.first_upper(quantity)}: {high} has the largest {mean} ({score(means[high])}), {low} the smallest ({score(means[low])}){samples}."
    )


def _draw_dots(figure: go.Figure, place: int, name: str, found: np.ndarray, look: Style | None, *, is_lying: bool) -> None:
    """The samples of one name, spread sideways, with mean and interval; lying: the values run to the right."""
    if not len(found):
        return
    color, symbol = (look.color, look.symbol) if look else (INK, "circle")
    across, along, error = ("y", "x", "error_x") if is_lying else ("x", "y", "error_y")
    sideways = place - 0.2 + 0.16 * (np.arange(len(found)) % 7) / 6 - 0.08
    hover = f"{canvas.safe(name)}: %{{{along}:.3f}}<extra></extra>"
    if len(found) > 1:
        dots = {"symbol": symbol, "size": 6, "color": color, "opacity": 0.45}
        shown = {"mode": "markers", "marker": dots, "name": canvas.safe(name), "hovertemplate": hover}
        figure.add_trace(go.Scatter(**{across: sideways, along: found}, **shown))
    mean, low, high = mean_interval(found)
    bar = None if np.isnan(low) else {"type": "data", "array": [high - mean], "color": color, "thickness": 2, "width": 6}
    marker = {"symbol": "line-ns" if is_lying else "line-ew", "size": 10 if is_lying else 26, "color": color, "line": {"width": 4, "color": color}}
    shown = {"mode": "markers", "marker": marker, error: bar, "name": f"{canvas.safe(name)}, mean", "hovertemplate": hover}
    figure.add_trace(go.Scatter(**{across: [place + 0.08], along: [mean]}, **shown))
