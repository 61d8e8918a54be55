"""Claims with their verdicts: how many have which, and each tested claim's difference, turned so that the claimed side is the right one."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.dial_lines import CUT, shown_range
from workbench.figures.frames import checked, names
from workbench.figures.palette import GRID, INK, PAPER, QUIET

UNTESTABLE = "not testable"
"""The verdict of a claim that nothing is drawn of."""

MARKS = {"supported": ("circle", INK), "opposite": ("x", INK), "no difference": ("circle", PAPER)}
"""A mark's form and filling by verdict."""

ROW, GAP = 27, 96
"""Pixels of a claim, and between two quantities: room for an axis with its name and the next title."""

WORDS = {"supported": "supported", "opposite": "opposite found", "no difference": "no difference found"}

FILLS = {"supported": INK, "opposite": QUIET, "no difference": PAPER, UNTESTABLE: GRID}
"""A bar's filling by verdict; every bar has its name beside it."""


def verdict_forest(frame: pd.DataFrame) -> go.Figure:
    """The claims of a paper: how many have which verdict, and below, a panel a quantity, the tested ones: right of the line is what is claimed.

    Args:
        frame: a row a claim: columns item, about, quantity, mean, low, high (after less before), side (1 or -1: the claimed sign), margin (of "on
            par": the line stands at minus the margin), verdict (`supported`, `opposite`, `no difference`, `not testable`), n.

    Raises:
        DataError: a column is missing, a verdict is unknown, or there is no claim.
    """
    frame = checked(frame, "verdict_forest", "item", "about", "quantity", "mean", "low", "high", "side", "margin", "verdict", "n")
    strange = set(frame["verdict"]) - {*MARKS, UNTESTABLE}
    if strange:
        raise DataError(f"verdict_forest does not know the verdict {min(strange)}", expected=f"one of {', '.join([*MARKS, UNTESTABLE])}")
    tested = frame[frame["verdict"] != UNTESTABLE]
    quantities, is_cut = names(tested, "quantity"), False
    figure = _panels([4, *(int((tested["quantity"] == quantity).sum()) for quantity in quantities)])
    tally = {verdict: int((frame["verdict"] == verdict).sum()) for verdict in FILLS}
    _draw_tally(figure, tally)
    for row, quantity in enumerate(quantities, start=2):
        is_cut |= _draw(figure, tested[tested["quantity"] == quantity], quantity, row)
    counted = ", ".join(f"{tally[verdict]} {word}" for verdict, word in WORDS.items())
    told = f"Of {captions.count(len(frame), 'claim')} {len(tested)} tested: {counted}."
    if not len(tested):
        return captions.attach(figure, f"None of {captions.count(len(frame), 'claim')} could be tested.")
    read = "Right of the line is the side that the paper claims; filled: supported, cross: the opposite found, open: no difference found."
    seeds = (
        f"Bars: 95 % intervals of each claim by itself over {_span(tested['n'])}; found is what holds for all claims of a table or figure at once."
    )
    return captions.attach(figure, told, read, seeds, _margins(tested), CUT if is_cut else "")


def _panels(counts: list[int]) -> go.Figure:
    """Panels below each other, each as high as it has rows."""
    heights = [ROW * (count + 1) for count in counts]
    inner = sum(heights) + GAP * (len(counts) - 1)
    figure = make_subplots(rows=len(counts), cols=1, row_heights=heights, vertical_spacing=GAP / inner if len(counts) > 1 else 0)
    margin = {**canvas.MARGIN, "t": 16, "l": 24}
    return figure.update_layout(template=canvas.template(), height=inner + margin["t"] + margin["b"], margin=margin)


def _draw_tally(figure: go.Figure, tally: dict[str, int]) -> None:
    """The uppermost panel: a bar a verdict, its number at its end."""
    cell, titles = {"row": 1, "col": 1}, [WORDS.get(verdict, verdict) for verdict in tally]
    marker = {"color": [FILLS[verdict] for verdict in tally], "line": {"color": INK, "width": 1.5}}
    drawn = {"orientation": "h", "marker": marker, "text": [str(count) for count in tally.values()], "textposition": "outside", "cliponaxis": False}
    y = list(range(len(tally)))
    figure.add_trace(go.Bar(x=list(tally.values()), y=y, name="claims", hovertemplate="%{x} claims<extra></extra>", **drawn), **cell)
    figure.update_yaxes(tickvals=y, ticktext=titles, range=[len(tally) - 0.4, -0.6], **cell)
    figure.update_xaxes(title_text="claims", range=[0, max(tally.values()) * 1.08], **cell)


def _draw(figure: go.Figure, rows: pd.DataFrame, quantity: str, row: int) -> bool:
    """The claims of one quantity; True where a bar is cut."""
    cell, side = {"row": row, "col": 1}, rows["side"].to_numpy(float)
    mean = side * rows["mean"].to_numpy(float) + rows["margin"].to_numpy(float)
    ends = np.stack([side * rows[end].to_numpy(float) + rows["margin"].to_numpy(float) for end in ("low", "high")])
    low, high = ends.min(axis=0), ends.max(axis=0)
    y = np.arange(len(rows))
    marks = [MARKS[verdict] for verdict in rows["verdict"]]
    marker = {"symbol": [form for form, _ in marks], "color": [color for _, color in marks], "size": 11, "line": {"width": 2, "color": INK}}
    bar = {"type": "data", "symmetric": False, "array": high - mean, "arrayminus": mean - low, "color": INK}
    said = [f"{canvas.safe(WORDS[verdict])}: " for verdict in rows["verdict"]]
    drawn = {"mode": "markers", "marker": marker, "error_x": bar, "customdata": said, "hovertemplate": "%{customdata}%{x:+.3f}<extra></extra>"}
    figure.add_trace(go.Scatter(x=mean, y=y, name=canvas.safe(quantity), **drawn), **cell)
    figure.add_vline(x=0, line={"color": QUIET, "width": 2}, **cell)
    titles = [f"{item}, {about}" if about else item for item, about in zip(rows["item"], rows["about"], strict=True)]
    figure.update_yaxes(tickvals=y, ticktext=[canvas.safe(title) for title in titles], range=[len(rows) - 0.4, -0.6], zeroline=False, **cell)
    reach, is_cut = shown_range([0.0, *mean], [*low, *high])
    figure.update_xaxes(range=reach, title_text=f"difference of {canvas.safe(quantity)}, claimed side right", **cell)
    return is_cut


def _span(counts: pd.Series) -> str:
    """`3 seeds`, `2 to 5 seeds`; what was counted has no seeds."""
    known = counts[counts > 1]
    if not len(known):
        return "no seeds (counted)"
    low, high = int(known.min()), int(known.max())
    return captions.count(high, "seed") if low == high else f"{low} to {high} seeds"


def _margins(tested: pd.DataFrame) -> str:
    """Where a margin stands in the line's place."""
    widths = sorted(set(tested["margin"]) - {0.0})
    return (
        f"Where a paper says on par, the line stands {', '.join(f'{width:g}' for width in widths)} to the worse side of no difference."
        if widths
        else ""
    )
