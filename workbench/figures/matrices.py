"""Small matrices in greys with their numbers: who is joined to whom, and how strong each factor is."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.palette import KNOWN, Style, styles
from workbench.figures.sample import GREYS
from workbench.statistics import score

WRITTEN = 144
"""Cells up to which each has its number written in it."""


def adjacency(values: xr.DataArray, *, quantity: str = "weight of the edge", title: str = "") -> go.Figure:
    """A graph as a matrix: a row a node that looks, a column a node that is looked at, the number in the cell; means over samples (and heads).

    Args:
        values: last two dimensions: nodes, and the nodes they look at, with their names; any dimension before them is averaged over.
        quantity: what the numbers are.
        title: which graph it is.

    Raises:
        DataError: there are no two last dimensions of one length.
    """
    table = _mean(values, "adjacency")
    if table.shape[0] != table.shape[1]:
        raise DataError(f"adjacency got a matrix of shape {table.shape}", expected="as many rows as columns: a node each")
    names = _names(table, 0)
    looks = looks_of(names, is_modality=str(table.dims[0]) == "modality")
    figure = _matrix(table.values, names, _names(table, 1), title=title, x_title="looks at", y_title="node", quantity=quantity, looks=looks)
    return captions.attach(figure, *_edges(table.values, names, quantity), _over(values), "Darker: larger.")


def factors(values: xr.DataArray, *, quantity: str = "strength", title: str = "") -> go.Figure:
    """How strong each factor (or block, or level) is in each modality: a row a modality, a column a factor; means over samples.

    Args:
        values: last two dimensions: modality (or another name), and factor; any dimension before them is averaged over.
        quantity: what the numbers are.
        title: which factors they are.

    Raises:
        DataError: there are less than two dimensions, or no value.
    """
    table = _mean(values, "factors")
    rows, columns = _names(table, 0), _names(table, 1)
    what = str(table.dims[1]).rpartition(".")[2]
    looks = looks_of(rows, is_modality=str(table.dims[0]) == "modality")
    figure = _matrix(table.values, rows, columns, title=title, x_title=what, y_title="", quantity=quantity, looks=looks)
    return captions.attach(figure, *_strongest(np.abs(table.values), rows, columns, quantity, what), _over(values), "Darker: larger.")


def _mean(values: xr.DataArray, figure: str) -> xr.DataArray:
    """The last two dimensions, means over the others."""
    if values.ndim < 2 or not values.size or not np.isfinite(values.values).any():
        raise DataError(f"{figure} got values of shape {values.shape}", expected="two dimensions or more, and a number")
    return values.mean(values.dims[:-2], skipna=True)


def _names(table: xr.DataArray, axis: int) -> list[str]:
    """The names along an axis, numbers from 1 where it has none."""
    dim = table.dims[axis]
    return [str(name) for name in table[dim].values] if dim in table.coords else [str(i + 1) for i in range(table.shape[axis])]


def _matrix(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    x_title: str,
    y_title: str,
    quantity: str,
    looks: Mapping[str, Style],
) -> go.Figure:
    """Cells in greys, black where the size is largest, with their numbers where these fit."""
    sizes = np.abs(np.nan_to_num(values))
    figure = canvas.panels([title], x_title=x_title, y_title=y_title, panel_height=int(np.clip(46 * len(rows), 150, 560)))
    said = [[f"{canvas.safe(row)}, {canvas.safe(column)}" for column in columns] for row in rows]
    hover = f"%{{text}}: {canvas.safe(quantity)} %{{customdata:.3f}}<extra></extra>"
    top = float(sizes.max()) or 1.0
    drawn = {"text": said, "customdata": np.round(values, 4), "colorscale": GREYS, "zmin": 0, "zmax": top, "showscale": False, "xgap": 2, "ygap": 2}
    figure.add_trace(go.Heatmap(z=np.round(sizes, 4), **drawn, hovertemplate=hover, name=canvas.safe(quantity)))
    if values.size <= WRITTEN:
        for i, j in np.ndindex(values.shape):
            ink = "#FFFFFF" if sizes[i, j] > 0.6 * top else "#000000"  # on its cell, in every theme
            text = score(float(values[i, j]), 2)
            figure.add_annotation(x=j, y=i, text=text, showarrow=False, font={"size": 13, "color": ink})
    every = -(-len(columns) // 40)
    shown = {"tickvals": list(range(0, len(columns), every)), "ticktext": [tick(name, looks) for name in columns[::every]]}
    figure.update_xaxes(**shown, showgrid=False, zeroline=False, tickangle=-40 if len(columns) > 8 or max(map(len, columns)) > 12 else 0)
    every = -(-len(rows) // 40)
    shown = {"tickvals": list(range(0, len(rows), every)), "ticktext": [tick(name, looks) for name in rows[::every]]}
    figure.update_yaxes(**shown, showgrid=False, zeroline=False, autorange="reversed")
    return figure


def tick(name: str, looks: Mapping[str, Style]) -> str:
    """A name on an axis: one that is a modality's, or names one (`text shared`), has its mark and hue."""
    look = next((looks[word] for word in (name, *name.split()) if word in looks), None)
    return f'<span style="color:{look.small}">{look.mark} {canvas.safe(name)}</span>' if look else canvas.safe(name)


def looks_of(names: Sequence[str], *, is_modality: bool) -> dict[str, Style]:
    """The looks of the modalities that the names are, or (among names of nodes) of the known ones that stand in them."""
    return styles(names if is_modality else [word for word in " ".join(names).split() if word.lower() in KNOWN])


def _edges(values: np.ndarray, names: Sequence[str], quantity: str) -> list[str]:
    """The strongest and the weakest edge between two nodes."""
    between = [(abs(float(values[i, j])), i, j) for i, j in np.ndindex(values.shape) if i != j and np.isfinite(values[i, j])]
    if not between:
        return [f"One node: its {quantity} is {score(float(values[0, 0]))}."]
    high, low = max(between), min(between)
    strongest = f"strongest from {names[high[1]]} to {names[high[2]]} ({score(float(values[high[1], high[2]]))})"
    if high[0] - low[0] < 1e-6 * max(1.0, high[0]):
        return [f"{captions.first_upper(quantity)}: the same between all nodes ({score(float(values[high[1], high[2]]))})."]
    return [
        f"{captions.first_upper(quantity)}: {strongest}, weakest from {names[low[1]]} to {names[low[2]]} ({score(float(values[low[1], low[2]]))})."
    ]


def _strongest(sizes: np.ndarray, rows: Sequence[str], columns: Sequence[str], quantity: str, what: str) -> list[str]:
    """The largest cell, and how evenly the columns share."""
    i, j = (int(place) for place in np.unravel_index(int(np.nanargmax(sizes)), sizes.shape))
    totals = np.nansum(sizes, axis=0)
    share = 100 * totals.max() / totals.sum() if totals.sum() > 0 else 0.0
    even = f"{captions.first_upper(what)} {columns[int(totals.argmax())]} has {share:.0f} % of all; even shares would be {100 / len(columns):.0f} %."
    return [f"{captions.first_upper(quantity)}: largest in {rows[i]}, {what} {columns[j]} ({score(float(sizes[i, j]))}).", even]


def _over(values: xr.DataArray) -> str:
    """What the means are over."""
    over = [f"{values.sizes[dim]} {str(dim).rpartition('.')[2]}{'s' if values.sizes[dim] != 1 else ''}" for dim in values.dims[:-2]]
    return f"Means over {' and '.join(over)}." if over else ""
