"""What all plotly figures share: the template, panels on one shared axis, labels at line ends instead of a legend."""

from collections.abc import Sequence
from html import escape as escape_html
from math import ceil

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.palette import GRID, INK, PAPER

PANEL_HEIGHT, MARGIN = 300, {"l": 76, "r": 16, "t": 64, "b": 64}
WIDTH = 660  # the narrowest that a figure is drawn (on paper); figures are as wide as their page, this only keeps room for labels
PANELS_A_ROW = 3
LABEL_GAP = 19  # pixels between two labels at line ends


def template() -> go.layout.Template:
    """16 px text, white, no legend, quiet grid, axis lines in ink."""
    axis = {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": INK, "showline": True, "ticks": "outside", "tickcolor": INK, "automargin": True}
    axis = axis | {"title": {"font": {"size": 16}, "standoff": 8}, "tickfont": {"size": 14}}
    return go.layout.Template(
        layout={
            "font": {"size": 16, "color": INK, "family": "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"},
            "paper_bgcolor": PAPER,
            "plot_bgcolor": PAPER,
            "showlegend": False,
            "hovermode": "closest",
            "xaxis": axis,
            "yaxis": axis,
            "margin": MARGIN,
            "hoverlabel": {"font": {"size": 14}},
        }
    )


def safe(text: object) -> str:
    """Text from data, escaped: plotly reads a little HTML in labels and %{...} in hover texts."""
    return escape_html(str(text), quote=False).replace("%{", "% {")


def panels(titles: Sequence[str], *, x_title: str, y_title: str, panel_height: int = PANEL_HEIGHT) -> go.Figure:
    """An empty figure with one titled panel per name, side by side on one shared y axis."""
    columns = columns_for(len(titles))
    rows = ceil(len(titles) / columns)
    height = rows * panel_height + (rows - 1) * 90 + MARGIN["t"] + MARGIN["b"]
    spacing = 90 / (height - MARGIN["t"] - MARGIN["b"]) if rows > 1 else 0
    figure = make_subplots(rows=rows, cols=columns, shared_yaxes="all", horizontal_spacing=0.03, vertical_spacing=spacing)
    figure.update_layout(template=template(), height=height)
    if not any(titles):
        figure.update_layout(height=height - 40, margin={**MARGIN, "t": MARGIN["t"] - 40})
    for place, title in enumerate(titles):
        row, column = place // columns + 1, place % columns + 1
        figure.update_xaxes(title_text=x_title, row=row, col=column)
        corner = {"xref": "x domain", "yref": "y domain", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "yshift": 6}
        figure.add_annotation(text=f"<b>{wrapped(title)}</b>", showarrow=False, align="left", row=row, col=column, **corner)
    for row in range(1, rows + 1):
        figure.update_yaxes(title_text=y_title, row=row, col=1)
    for place in range(len(titles), rows * columns):  # panels that nothing is drawn in
        figure.update_xaxes(visible=False, row=place // columns + 1, col=place % columns + 1)
        figure.update_yaxes(visible=False, row=place // columns + 1, col=place % columns + 1)
    return figure


def wrapped(title: str, length: int = 28) -> str:
    """A long panel title in two lines, cut before its last +."""
    cut = title.rfind(" + ") if len(title) > length else -1
    return f"{safe(title[:cut])}<br>{safe(title[cut + 1 :])}" if cut > 0 else safe(title)


def columns_for(panels: int) -> int:
    """Panels in a row: up to three, and four stand two by two."""
    return 2 if panels == 4 else min(panels, PANELS_A_ROW)


def cell(place: int, titles: Sequence[str]) -> dict[str, int]:
    """Row and column of a panel."""
    columns = columns_for(len(titles))
    return {"row": place // columns + 1, "col": place % columns + 1}


def value_range(values: np.ndarray, *, log: bool = False, pad: float = 0.06) -> list[float]:
    """The axis range that shows all values with some room; on a log axis in powers of ten, as plotly wants it."""
    numbers = np.log10(values) if log else np.asarray(values, float)
    low, high = float(np.min(numbers)), float(np.max(numbers))
    room = (high - low) * pad or (0.3 if log else abs(high) * 0.1 or 1.0)
    return [low - room, high + room]


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Places near the wanted ones that are at least `gap` apart, in the same order."""
    order = np.argsort(np.asarray(wanted, float), kind="stable")
    placed = [float(wanted[i]) for i in order]
    for _ in range(60):
        for i in range(len(placed) - 1):
            short = gap - (placed[i + 1] - placed[i])
            if short > 1e-6:
                placed[i] -= short / 2
                placed[i + 1] += short / 2
    result = [0.0] * len(placed)
    for position, i in zip(placed, order, strict=True):
        result[i] = position
    return result


def end_labels(figure: go.Figure, labels: Sequence[tuple[str, float, str]], *, x: float, y_range: Sequence[float], row: int, col: int) -> None:
    """Writes each (text, axis position, colour) right of a line's end, moved apart where they would overlap."""
    if not labels:
        return
    pixels = PANEL_HEIGHT / (y_range[1] - y_range[0])
    wanted = [(y - y_range[0]) * pixels for _, y, _ in labels]
    for (text, y, color), want, place in zip(labels, wanted, spread(wanted, LABEL_GAP), strict=True):
        style = {"font": {"size": 14, "color": color}, "xanchor": "left", "yanchor": "middle", "showarrow": False, "xshift": 7}
        figure.add_annotation(text=text, x=x, y=y, yshift=round(place - want, 1), row=row, col=col, **style)


def room_for_labels(low: float, high: float, texts: Sequence[str], columns: int) -> list[float]:
    """An x range with room on the right for the longest label."""
    panel = (WIDTH - MARGIN["l"] - MARGIN["r"]) / columns
    share = min(0.45, (max(map(len, texts), default=0) * 8.5 + 16) / panel)
    span = (high - low) or 1.0
    return [low - span * 0.04, high + span * share / (1 - share)]
