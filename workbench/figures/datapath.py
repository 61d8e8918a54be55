"""How does data run through a model? A drawing made from a forward pass, not by hand."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.frames import checked, names
from workbench.figures.palette import INK, QUIET, Style, styles

BOX_SHARE, GAP = 0.78, 12
"""The part of a column that a box is wide; pixels between boxes one above the other."""
DRAWN_WIDTH = 868
"""Pixels that the drawing is laid out for: a page of 900."""
LINE, PASSING = 14, 6
"""Pixels of a line of words, and of a passing edge."""


@dataclass
class Layout:
    """Where everything stands: a column for each step of the longest way, and a height in it.

    Args:
        column: node to column; passing points of long edges are nodes, too, named by their edge and column.
        tall: node to the pixels that it takes.
        height: node to the pixels from the middle down to its own.
        routes: edge to the nodes it runs through.
    """

    column: dict[object, int]
    tall: Mapping[object, float]
    height: dict[object, float] = field(default_factory=dict)
    routes: dict[tuple[int, int], list[object]] = field(default_factory=dict)

    @property
    def columns(self) -> int:
        """How many columns there are."""
        return max(self.column.values()) + 1

    def room(self, node: object) -> float:
        """Pixels that a box or a passing edge takes."""
        return self.tall.get(node, PASSING)


def data_path(nodes: pd.DataFrame, edges: pd.DataFrame, unseen: int = 0, *, title: str) -> go.Figure:
    """The parts of a model from left to right, each with its shape and number of parameters; hue: the only modality that has a part in it.

    Args:
        nodes: columns id, name, kind, modality ("" where several come together), shape, parameters; optional calls
            (see `workbench.probes.datapath`).
        edges: columns from, to (ids).
        unseen: parameters of the model that are used in training only, and so are in no node.
        title: name of the model.

    Raises:
        DataError: a column is missing, there is no node, an edge names an unknown node, or the edges go round in a circle.
    """
    nodes = checked(nodes, "data_path", "id", "name", "kind", "modality", "shape", "parameters")
    pairs = [(int(a), int(b)) for a, b in edges[["from", "to"]].itertuples(index=False)]
    unknown = {end for pair in pairs for end in pair} - set(nodes["id"])
    if unknown:
        raise DataError(f"data_path: an edge names the node {min(unknown)}, which is not there", expected="ids of the table of nodes")
    looks = styles(names(nodes[nodes["kind"] == "input"], "modality"))
    columns = max(columns_of(list(nodes["id"]), pairs).values()) + 1
    lines = {row["id"]: _words(row, looks.get(row["modality"]), columns) for row in nodes.to_dict("records")}
    place = laid_out(list(nodes["id"]), pairs, {number: LINE * len(words) + 10 for number, words in lines.items()})
    figure = _sheet(place, title)
    for pair in pairs:
        _draw_edge(figure, place, pair, looks.get(_modality(nodes, pair[0])))
    for row in nodes.to_dict("records"):
        _draw_box(figure, place, row, looks.get(row["modality"]), lines[row["id"]])
    read = "Boxes: name, size of its result (samples × ...), parameters. Coloured: one modality only; ink: several together."
    more = f"{captions.count(unseen, 'more parameter is', 'more parameters are')} used in training only." if unseen else ""
    return captions.attach(figure, *_findings(nodes, pairs, title), more, read)


def laid_out(nodes: list[int], edges: list[tuple[int, int]], tall: Mapping[int, float]) -> Layout:
    """Columns by the longest way from a start, heights by the mean of neighbours (barycentres), a few times there and back."""
    layout = Layout(columns_of(nodes, edges), tall)
    neighbours: dict[object, list[object]] = {node: [] for node in nodes}
    for a, b in edges:
        passing = [(a, b, column) for column in range(layout.column[a] + 1, layout.column[b])]
        layout.routes[a, b] = [a, *passing, b]
        layout.column |= {point: point[2] for point in passing}
        for before, after in pairwise(layout.routes[a, b]):
            neighbours.setdefault(before, []).append(after)
            neighbours.setdefault(after, []).append(before)
    _heights(layout, neighbours)
    return layout


def columns_of(nodes: list[int], edges: list[tuple[int, int]]) -> dict[object, int]:
    """The longest way to each node, in edges."""
    before: dict[int, list[int]] = {node: [a for a, b in edges if b == node] for node in nodes}
    column: dict[object, int] = {}
    while len(column) < len(nodes):
        ready = [node for node in nodes if node not in column and all(a in column for a in before[node])]
        if not ready:
            raise DataError("data_path: the edges go round in a circle", expected="edges that lead from inputs to outputs")
        column |= {node: max((column[a] + 1 for a in before[node]), default=0) for node in ready}
    return column


def _heights(layout: Layout, neighbours: Mapping[object, list[object]]) -> None:
    """Orders each column by its neighbours' mean height, then pulls each node there as far as others allow."""
    by_column = [[node for node in layout.column if layout.column[node] == column] for column in range(layout.columns)]
    for nodes in by_column:
        layout.height |= {node: 60.0 * (place - (len(nodes) - 1) / 2) for place, node in enumerate(nodes)}
    for turn in range(24):
        side = -1 if turn % 2 == 0 else 1
        for column in range(layout.columns)[::-side]:
            wanted = {node: _wish(layout, neighbours, node, column, side if turn < 20 else 0) for node in by_column[column]}
            order = sorted(by_column[column], key=lambda node, wanted=wanted: (wanted[node], layout.height[node]))
            layout.height |= dict(zip(order, _apart([wanted[node] for node in order], [layout.room(node) for node in order]), strict=True))
    ends = [height + side * layout.room(node) / 2 for node, height in layout.height.items() for side in (-1, 1)]
    layout.height = {node: height - (max(ends) + min(ends)) / 2 for node, height in layout.height.items()}


def _wish(layout: Layout, neighbours: Mapping[object, list[object]], node: object, column: int, side: int) -> float:
    """Mean height of the neighbours on one side (0: both); its own where there is none."""
    found = [layout.height[other] for other in neighbours.get(node, []) if side == 0 or (layout.column[other] - column) * side > 0]
    return float(np.mean(found)) if found else layout.height[node]


def _apart(wanted: list[float], rooms: list[float]) -> list[float]:
    """The wanted heights, in this order, moved apart as little as their rooms ask."""
    gaps = [0.0] + [(a + b) / 2 + GAP for a, b in pairwise(rooms)]
    # Heights less the room that lies before them need only be in order: the nearest such heights are means of blocks that are out of order.
    shift = np.cumsum(gaps)
    blocks: list[list[float]] = []
    for value in np.asarray(wanted) - shift:
        blocks.append([float(value)])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    return list(np.concatenate([[np.mean(block)] * len(block) for block in blocks]) + shift)


def _sheet(place: Layout, title: str) -> go.Figure:
    """An empty sheet, large enough."""
    reach = max(abs(height) + place.room(node) / 2 for node, height in place.height.items()) + 6
    figure = go.Figure()
    margin = {"l": 8, "r": 8, "t": 44, "b": 8}
    figure.update_layout(template=canvas.template(), height=round(2 * reach) + 52, margin=margin)
    figure.update_xaxes(visible=False, range=[-0.5, place.columns - 0.5], fixedrange=False)
    figure.update_yaxes(visible=False, range=[reach, -reach])
    corner = {"xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "yshift": 12, "showarrow": False}
    figure.add_annotation(text=f"<b>{canvas.safe(title)}</b>", **corner)
    return figure


def _modality(nodes: pd.DataFrame, number: int) -> str:
    return str(nodes.loc[nodes["id"] == number, "modality"].iloc[0])


def _draw_edge(figure: go.Figure, place: Layout, pair: tuple[int, int], look: Style | None) -> None:
    """A curve from the right side of a box to the left side of another, with an arrow."""
    half, x, y = BOX_SHARE / 2, [], []
    route = place.routes[pair]
    for a, b in pairwise(route):
        # Only between two columns does an edge go up or down: beside a box it is level, so it crosses none.
        start, end, part = place.column[a] + half, place.column[b] - half, np.linspace(0, 1, 13)
        x += list(start + (end - start) * part)
        y += list(place.height[a] + (place.height[b] - place.height[a]) * (3 * part**2 - 2 * part**3))
    color = look.color if look else QUIET
    line = {"color": color, "width": 1.6}
    marker = {"symbol": "triangle-right", "size": [0] * (len(x) - 1) + [9], "color": color, "line": {"width": 0}}
    x[-1] -= 5 * place.columns / DRAWN_WIDTH
    figure.add_trace(go.Scatter(x=x, y=y, mode="lines+markers", line=line, marker=marker, hoverinfo="skip", name="edge"))


def _draw_box(figure: go.Figure, place: Layout, row: Mapping[str, object], look: Style | None, lines: list[str]) -> None:
    """A box with name, shape and parameters; operations and losses have another outline."""
    x, y, half = place.column[row["id"]], place.height[row["id"]], BOX_SHARE / 2
    tall = place.room(row["id"]) / 2
    color = look.color if look else INK
    dash = {"operation": "dot", "loss": "dash"}.get(str(row["kind"]), "solid")
    width = 2.5 if row["kind"] in ("input", "output", "head") else 1.5
    # Boxes are veils, so that words can be read on a light page and on a dark one; no edge runs behind one.
    box = {"type": "rect", "x0": x - half, "x1": x + half, "y0": y - tall, "y1": y + tall, "layer": "below"}
    veil = look.band if look else "rgba(118,118,118,0.07)"
    figure.add_shape(**box, line={"color": color, "width": width, "dash": dash}, fillcolor=veil)
    font = {"size": _font(lines, place.columns), "color": INK}
    figure.add_annotation(x=x, y=y, text="<br>".join(lines), showarrow=False, font=font, align="center")
    calls = f", {row['calls']} times" if row.get("calls", 1) != 1 else ""
    hover = f"{canvas.safe(row['name'])} ({row['kind']}{calls})<br>{row['shape']}<br>{captions.count(int(row['parameters']), 'parameter')}"
    marker = {"size": 30, "opacity": 0}
    figure.add_trace(go.Scatter(x=[x], y=[y], mode="markers", marker=marker, hovertemplate=f"{hover}<extra></extra>", name=canvas.safe(row["name"])))


def _font(lines: list[str], columns: int) -> float:
    """Pixels of the words in a box: smaller where a long word would not fit."""
    usual = 12 if columns < 9 else 11 if columns < 12 else 10
    longest = max(len(line.removeprefix("<b>").removesuffix("</b>")) for line in lines)
    return max(9.0, min(usual, round((DRAWN_WIDTH / columns * BOX_SHARE - 4) / (0.6 * longest), 1)))


def _words(row: Mapping[str, object], look: Style | None, columns: int) -> list[str]:
    """The lines in a box, wrapped to its width."""
    letters = max(9, int((DRAWN_WIDTH / columns * BOX_SHARE - 6) / (6.6 if columns < 9 else 6.0)))
    name = str(row["name"])
    mark = f"{look.mark} " if look and row["kind"] == "input" else ""
    wrapped = textwrap.wrap(f"{mark}{name}", max(letters, 13), break_on_hyphens=False)[:3] or [""]
    named = [f"<b>{canvas.safe(line)}</b>" if row["kind"] in ("input", "output", "head") else canvas.safe(line) for line in wrapped]
    times = f" ({row['calls']}×)" if int(row.get("calls", 1) or 1) > 1 and row["kind"] != "input" else ""
    size = [canvas.safe(line) for line in textwrap.wrap(str(row["shape"]).replace(" × ", "×"), letters)]
    own = [f"{short(int(row['parameters']))} par.{times}"] if row["parameters"] else [times.strip()] if times else []
    return [*named, *size, *own]


def short(number: int) -> str:
    """`579`, `12.3k`, `4.1M`: a number in few letters."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{number:,}"


def _findings(nodes: pd.DataFrame, edges: list[tuple[int, int]], title: str) -> list[str]:
    """How many modalities enter, where they first meet, and how many parameters stand before and after."""
    inputs = nodes[nodes["kind"] == "input"]
    reach = reached_by(nodes, edges)
    alone = nodes["id"].map(lambda number: len(reach[number]) < 2)
    before = int(nodes.loc[alone, "parameters"].sum())
    after = int(nodes.loc[~alone, "parameters"].sum())
    entering = f"{title}: {captions.count(len(inputs), 'modality enters', 'modalities enter')} ({', '.join(map(str, inputs['name']))})"
    if not len(nodes[~alone]):
        return [f"{entering} and never meet.", f"{captions.count(before, 'parameter')}."]
    first = nodes[~alone].iloc[0]
    who = " and ".join(sorted(reach[first["id"]], key=list(inputs["modality"]).index)) if len(reach[first["id"]]) < len(inputs) else "all of them"
    counts = f"{captions.count(before, 'parameter')} before modalities meet, {after:,} after."
    return [f"{entering}; {who} first meet in “{first['name']}”.", counts]


def reached_by(nodes: pd.DataFrame, edges: list[tuple[int, int]]) -> dict[int, set[str]]:
    """The modalities whose inputs lead to each node."""
    reach = {row.id: ({str(row.modality)} if row.kind == "input" else set()) for row in nodes.itertuples()}
    for _ in range(len(reach)):
        before = sum(map(len, reach.values()))
        for a, b in edges:
            reach[b] |= reach[a]
        if sum(map(len, reach.values())) == before:
            break
    return reach
