"""Is it the same in every class? Who attends to whom, and which gates are open, by class."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.matrices import looks_of, tick
from workbench.figures.palette import Style, styles
from workbench.figures.sample import GREYS
from workbench.statistics import score

MOST_CLASSES = 9
"""Classes that are drawn: those with most samples."""

WRITTEN = 36
"""Cells of a panel up to which each has its number written in it."""


SEEN = 0.0005
"""Differences below it are zero as they are written: found among many samples, they are told as none."""

LEAST = 0.02
"""What an axis of gates, shares and scores spans at least."""


def matrices_by_class(found: xr.Dataset, *, quantity: str = "attention weight") -> go.Figure:
    """A small matrix a class, in greys with its numbers: who attends to whom, or which feature of which modality is let through.

    Args:
        found: `workbench.probes.by_class.by_class`'s table of values with two axes, rows then columns.
        quantity: what the numbers are.

    Raises:
        DataError: the table is not one of values with two axes, or holds no number.
    """
    checked(found, 2, "matrices_by_class")
    found, note = largest_classes(found)
    rows_axis, columns_axis = (str(dim) for dim in found["mean"].dims[1:])
    rows, columns = _names(found, rows_axis), _names(found, columns_axis)
    looks = looks_of(rows, is_modality=rows_axis == "modality")
    is_graph = columns_axis == f"{rows_axis}_attended"
    figure = canvas.panels(
        titles(found), x_title="looks at" if is_graph else columns_axis, y_title="", panel_height=int(np.clip(62 * len(rows), 150, 420))
    )
    figure.update_layout(margin={**canvas.MARGIN, "l": 100})
    canvas_rows = -(-len(titles(found)) // canvas.columns_for(len(titles(found))))
    for row in range(1, canvas_rows):  # slanted names leave no room for the axis title between two rows
        figure.update_xaxes(title_text="", row=row)
    top = _darkest(found["mean"].values, is_graph=is_graph)
    for place, name in enumerate(titles(found)):
        _draw_matrix(figure, found["mean"].values[place], rows, columns, f"{quantity}, {name}", top, canvas.cell(place, titles(found)))
    _name_axes(figure, rows, columns, looks, is_graph=is_graph)
    said = (lambda i, j: f"{rows[i]} to {columns[j]}") if is_graph else (lambda i, j: f"{rows[i]}, {columns_axis} {columns[j]}")
    return captions.attach(figure, apart(found, quantity, said), "Darker: larger.", note, drawn_from(found))


def _darkest(means: np.ndarray, *, is_graph: bool) -> float:
    """What is drawn black: 1 where rows are shares of one, so that even shares look even; else the largest size."""
    sums = means.sum(-1)
    is_shared = is_graph and np.nanmin(means) >= 0 and np.allclose(sums[np.isfinite(sums)], 1, atol=1e-3)
    return 1.0 if is_shared else float(np.nanmax(np.abs(means))) or 1.0


def _draw_matrix(
    figure: go.Figure, table: np.ndarray, rows: Sequence[str], columns: Sequence[str], name: str, top: float, cell: Mapping[str, int]
) -> None:
    """One panel."""
    said = [[f"{canvas.safe(row)}, {canvas.safe(column)}" for column in columns] for row in rows]
    hover = f"%{{text}}: {canvas.safe(name)} %{{customdata:.3f}}<extra></extra>"
    sizes = np.abs(np.nan_to_num(table))
    drawn = {"text": said, "customdata": np.round(table, 4), "colorscale": GREYS, "zmin": 0, "zmax": top, "showscale": False, "xgap": 2, "ygap": 2}
    drawn |= {"x": list(range(len(columns))), "y": list(range(len(rows)))}
    figure.add_trace(go.Heatmap(z=np.round(sizes, 4), **drawn, hovertemplate=hover, name=canvas.safe(name)), **cell)
    if table.size <= WRITTEN:
        for i, j in np.ndindex(table.shape):
            ink = "#FFFFFF" if sizes[i, j] > 0.6 * top else "#000000"  # on its cell, in every theme
            figure.add_annotation(x=j, y=i, text=score(float(table[i, j]), 2), showarrow=False, font={"size": 13, "color": ink}, **cell)


def _name_axes(figure: go.Figure, rows: Sequence[str], columns: Sequence[str], looks: Mapping[str, Style], *, is_graph: bool) -> None:
    """Modalities in their hues on the axes; long rows of features by number."""
    every = 1 if is_graph else -(-len(columns) // 6)
    shown = {"tickvals": list(range(0, len(columns), every)), "ticktext": [tick(name, looks) for name in columns[::every]]}
    wide = len(columns) > 4 or (len(columns) > 1 and max(map(len, columns)) > 8)
    figure.update_xaxes(**shown, showgrid=False, zeroline=False, tickangle=-40 if is_graph and wide else 0, tickfont={"size": 13})
    shown = {"tickvals": list(range(len(rows))), "ticktext": [tick(name, looks) for name in rows]}
    figure.update_yaxes(**shown, showgrid=False, zeroline=False, range=[len(rows) - 0.5, -0.5])


def gates_by_class(found: xr.Dataset, *, quantity: str = "gate (mean of its features)") -> go.Figure:
    """How far each modality's gate is open in each class: a mark a modality in its hue, its bar the 95 % interval.

    Args:
        found: `workbench.probes.by_class.by_class`'s table of values with the one axis `modality` (means over the features).
        quantity: what the numbers are.

    Raises:
        DataError: the table is not one of values by modality, or holds no number.
    """
    checked(found, 1, "gates_by_class")
    found, note = largest_classes(found)
    axis = str(found["mean"].dims[1])
    names = _names(found, axis)
    looks = styles(names)
    classes = titles(found)
    ends = np.concatenate([found[part].values.ravel() for part in ("mean", "low", "high")])
    figure = canvas.panels([""], x_title="class", y_title=quantity, panel_height=340)
    reach = canvas.value_range(at_least(ends[np.isfinite(ends)]), pad=0.1)
    labels = [f"{look.mark} {name}" for name, look in looks.items()]
    for place, (name, look) in enumerate(looks.items()):
        _draw_marks(figure, found, place, (place - (len(names) - 1) / 2) * min(0.16, 0.6 / len(names)), look, canvas.safe(name))
    figure.update_yaxes(range=reach)
    ticks = {"tickvals": list(range(len(classes))), "ticktext": [canvas.safe(name).replace(" (", "<br>(") for name in classes]}
    figure.update_xaxes(**ticks, showgrid=False, zeroline=False, range=canvas.room_for_labels(-0.5, len(classes) - 0.6, labels, 1))
    figure.update_xaxes(tickangle=-40 if len(classes) > 5 else 0)
    last = found["mean"].values[-1]
    ends = [(f"{looks[name].mark} {canvas.safe(name)}", float(last[i]), looks[name].small) for i, name in enumerate(names) if np.isfinite(last[i])]
    canvas.end_labels(figure, ends, x=len(classes) - 0.65, y_range=reach, row=1, col=1)
    return captions.attach(figure, apart(found, quantity, lambda i: names[i]), "Bars: 95 % intervals of the means.", note, drawn_from(found))


def _draw_marks(figure: go.Figure, found: xr.Dataset, place: int, shift: float, look: Style, name: str) -> None:
    """One modality through the classes."""
    mean, low, high = (found[part].values[:, place] for part in ("mean", "low", "high"))
    reach = {"type": "data", "symmetric": False, "array": np.nan_to_num(high - mean), "arrayminus": np.nan_to_num(mean - low)}
    drawn = {"marker": {"symbol": look.symbol, "size": 11, "color": look.color}, "error_y": reach | {"color": look.color, "thickness": 2, "width": 6}}
    hover = f"{name}, %{{customdata}}: %{{y:.3f}}<extra></extra>"
    x = np.arange(len(mean)) + shift
    said = [canvas.safe(title) for title in titles(found)]
    figure.add_trace(go.Scatter(x=x, y=mean, mode="markers", name=name, customdata=said, hovertemplate=hover, **drawn))


def at_least(values: np.ndarray, span: float = LEAST) -> np.ndarray:
    """The values, and two more where they span less: an axis does not blow up the last digits."""
    middle = (float(values.min()) + float(values.max())) / 2
    return values if np.ptp(values) >= span else np.append(values, [middle - span / 2, middle + span / 2])


def checked(found: xr.Dataset, axes: int, figure: str) -> None:
    """The table is one of `by_class`, with so many axes beside the class.

    Raises:
        DataError: it is not.
    """
    missing = [name for name in ("mean", "low", "high", "apart", "apart_low", "apart_high", "n") if name not in found]
    if missing or found["mean"].ndim != axes + 1 or not np.isfinite(found["mean"].values).any():
        shape = "no mean" if missing else f"means of shape {found['mean'].shape}"
        raise DataError(f"{figure} got a table with {shape}", expected=f"by_class's table: class and {axes} more, with a number")


def largest_classes(found: xr.Dataset) -> tuple[xr.Dataset, str]:
    """The classes with most samples, in their order, and a sentence where others are left out."""
    if found.sizes["class"] <= MOST_CLASSES:
        return found, ""
    kept = np.sort(np.argsort(-found["n"].values, kind="stable")[:MOST_CLASSES])
    return found.isel({"class": kept}), f"Of {found.sizes['class']} classes the {MOST_CLASSES} with most samples."


def titles(found: xr.Dataset) -> list[str]:
    """`negative (n = 431)`."""
    return [f"{name} (n = {int(n):,})" for name, n in zip(found["class"].values, found["n"].values, strict=True)]


def apart(found: xr.Dataset, quantity: str, said) -> str:  # noqa: ANN001 - place in the table -> words
    """Which class differs most from all others, where any is found to; else that none is."""
    if found.sizes["class"] < 2:
        return f"One class only ({found['class'].values[0]}): nothing to compare."
    values, low, high = (found[part].values for part in ("apart", "apart_low", "apart_high"))
    known = np.isfinite(low) & np.isfinite(high)
    is_apart = known & ((low > 0) | (high < 0))
    is_found = is_apart & (np.abs(values) >= SEEN)
    asked = is_found if is_found.any() else (known if known.any() else np.isfinite(values))
    if not asked.any():
        return f"{captions.first_upper(quantity)}: no class has samples enough to be compared."
    place = tuple(int(i) for i in np.unravel_index(int(np.where(asked, np.abs(values), -1).argmax()), values.shape))
    name = str(found["class"].values[place[0]])
    cell = f"{said(*place[1:])} {score(float(found['mean'].values[place]))}"
    if not known[place]:
        change = score(float(values[place]), sign=True)
        return f"{captions.first_upper(quantity)} in the class {name}: {cell}, {change} against the others (no interval)."
    span = f"95 % for all comparisons at once {score(float(low[place]), sign=True)} to {score(float(high[place]), sign=True)}"
    change = f"{score(float(values[place]), sign=True)} against the others ({span})"
    if is_found.any():
        count = captions.count(int(is_found.any(tuple(range(1, values.ndim))).sum()), "class", "classes")
        return f"{captions.first_upper(quantity)} differs by class ({count} of {found.sizes['class']}); most in {name}: {cell}, {change}."
    by = " by .001 or more" if is_apart.any() else ""
    return f"No class found to differ in its {quantity}{by}; the largest difference is that of {name}: {cell}, {change}."


def drawn_from(found: xr.Dataset) -> str:
    """What means and intervals are over."""
    samples = captions.count(int(found.attrs.get("samples", found["n"].sum())), "sample")
    return (
        f"Means of {found.attrs['seeds']} seeds, intervals over them; {samples}." if found.attrs.get("unit") == "seed" else f"One model; {samples}."
    )


def _names(found: xr.Dataset, axis: str) -> list[str]:
    """The names along an axis, numbers from 1 where it has none."""
    return [str(name) for name in found[axis].values] if axis in found.coords else [str(i + 1) for i in range(found.sizes[axis])]
