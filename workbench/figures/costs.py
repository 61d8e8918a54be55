"""How do time, memory and parameters grow with the number of modalities, and with the length of the sequences?"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.frames import checked, names
from workbench.figures.lines import log_ticks
from workbench.figures.palette import INK, QUIET

AXES = {"modalities": "modalities", "length": "steps"}
TITLES = {"seconds": "seconds a step", "memory": "memory of a training step [MB]", "parameters": "parameters"}
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "x", "diamond", "cross", "star", "square", "hexagon", "triangle-down")
HEIGHT = 300


def cost_curves(frame: pd.DataFrame, *, axis: str | None = None) -> go.Figure:
    """One line a strategy over what grows, a panel a kind of cost, on log axes; every line has its name at its end.

    Args:
        frame: columns variant, x (number of modalities, or of steps), quantity (seconds, memory [bytes] and parameters as `workbench.probes.cost`
            has them, or any other), value (nan: it cannot be built so large); optional axis (what x is: `modalities`, `length`) and note (why it
            cannot); several rows of one place are drawn by their median.
        axis: which axis to draw where the table holds several.

    Raises:
        DataError: a column is missing, no value is above zero, the axis is not in the table, or several are and none was named.
    """
    whole, axis = _only_axis(frame, axis)
    frame = checked(whole, "cost_curves", "variant", "x", "quantity", "value")
    frame = checked(frame[frame["value"] > 0], "cost_curves (values above zero)", "value")
    frame = frame.assign(value=frame["value"].where(frame["quantity"] != "memory", frame["value"] / 1e6))
    quantities, variants, x_title = names(frame, "quantity"), names(frame, "variant"), AXES.get(axis, axis)
    figure = _panels(quantities, x_title)
    for place, quantity in enumerate(quantities):
        rows = frame[frame["quantity"] == quantity]
        _draw_panel(figure, rows, variants, place, len(quantities))
    findings = [_grown(frame[frame["quantity"] == quantity], quantity, x_title) for quantity in quantities]
    read = "Both axes are logarithmic: a straight line is a power, its slope the exponent."
    return captions.attach(figure, *findings, _stopped(whole, x_title), read, captions.MEMORY if "memory" in quantities else "")


def _only_axis(frame: pd.DataFrame, axis: str | None) -> tuple[pd.DataFrame, str]:
    """The rows of one axis, and its name."""
    known = names(frame, "axis") if "axis" in frame.columns else []
    if (axis is None and len(known) > 1) or (axis is not None and known and axis not in known):
        asked = "none was named" if axis is None else f'"{axis}" is not among them'
        raise DataError(f"cost_curves: the table holds the axes {', '.join(known)}, and {asked}", expected=f"axis= one of {', '.join(known)}")
    chosen = axis or (known[0] if known else "modalities")
    return (frame[frame["axis"] == chosen] if known else frame), chosen


def _stopped(frame: pd.DataFrame, x_title: str) -> str:
    """Which strategies cannot be built at some places, and why."""
    gone = frame[frame["value"].isna()].drop_duplicates("variant")
    if not len(gone):
        return ""
    said = [
        f"{row.variant} cannot be built with {row.x:g} {x_title}{f' ({row.note})' if getattr(row, 'note', '') else ''}" for row in gone.itertuples()
    ]
    return f"{'; '.join(said)}."


def _panels(quantities: list[str], x_title: str) -> go.Figure:
    """Panels one below the other, each with its own y axis: a page wide, so that names at line ends can be read."""
    from plotly.subplots import make_subplots

    rows = len(quantities)
    inner = rows * HEIGHT + (rows - 1) * 84
    figure = make_subplots(rows=rows, cols=1, vertical_spacing=84 / inner if rows > 1 else 0)
    figure.update_layout(template=canvas.template(), height=inner + canvas.MARGIN["t"] + canvas.MARGIN["b"])
    for place, quantity in enumerate(quantities, start=1):
        title = TITLES.get(quantity, quantity)
        corner = {"xref": "x domain", "yref": "y domain", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "yshift": 6, "showarrow": False}
        figure.add_annotation(text=f"<b>{canvas.safe(title)}</b>", row=place, col=1, **corner)
        figure.update_xaxes(title_text=f"{x_title} (log scale)", type="log", row=place, col=1)
        figure.update_yaxes(title_text="log scale", type="log", row=place, col=1)
    return figure


def _draw_panel(figure: go.Figure, rows: pd.DataFrame, variants: list[str], place: int, panels: int) -> None:
    """The lines of one kind of cost."""
    cell = {"row": place + 1, "col": 1}
    reach = canvas.value_range(rows["value"].to_numpy(), log=True)
    ticks = np.sort(rows["x"].unique())
    shown = ticks[:: -(-len(ticks) // 10)]
    low, high = np.log10(ticks[0]), np.log10(ticks[-1])
    figure.update_xaxes(range=canvas.room_for_labels(low, high, variants, 1), tickvals=shown, ticktext=[f"{x:g}" for x in shown], **cell)
    figure.update_yaxes(range=reach, dtick=log_ticks(reach), exponentformat="power", **cell)
    labels = []
    for number, variant in enumerate(variants):
        line = rows[rows["variant"] == variant].groupby("x")["value"].median()
        if not len(line):
            continue
        color = INK if number % 2 == 0 else QUIET
        drawn = {"line": {"color": color, "width": 2, "dash": DASHES[number // 2 % 4]}, "marker": {"symbol": SYMBOLS[number % 8], "size": 8}}
        hover = f"{canvas.safe(variant)}, %{{x}}: %{{y:.3g}}<extra></extra>"
        trace = go.Scatter(x=line.index.to_numpy(), y=line.to_numpy(), mode="lines+markers", **drawn, name=canvas.safe(variant), hovertemplate=hover)
        figure.add_trace(trace, **cell)
        labels.append((canvas.safe(variant), float(np.log10(line.iloc[-1])), color))
    canvas.end_labels(figure, labels, x=high, y_range=reach, **cell)


def _grown(rows: pd.DataFrame, quantity: str, x_title: str) -> str:
    """How many times the cost of the steepest and of the flattest strategy grows from the first to the last place that all have."""
    table = rows.pivot_table(index="x", columns="variant", values="value", aggfunc="median", sort=False).sort_index()
    whole = table.dropna()
    title = TITLES.get(quantity, quantity).partition(" [")[0]
    if len(whole) < 2:
        return f"{captions.first_upper(title)}: one place only, no growth to tell."
    growth = whole.iloc[-1] / whole.iloc[0]
    span = f"from {whole.index[0]:g} to {whole.index[-1]:g} {x_title}"
    steep, flat = str(growth.idxmax()), str(growth.idxmin())
    said = f"{captions.first_upper(title)} {span}: {steep} {captions.times(float(growth[steep]))} times"
    exponent = f" (slope {np.log(growth[steep]) / np.log(whole.index[-1] / whole.index[0]):.1f})"
    return f"{said}{exponent}{f', {flat} {captions.times(float(growth[flat]))} times' if flat != steep else ''}."
