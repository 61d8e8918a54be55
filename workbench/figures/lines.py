"""Lines by modality and epoch, one panel per variant on one axis: gradients, update norms, attention weights."""

from math import log10

import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas
from workbench.figures.frames import names
from workbench.figures.palette import Style, styles


def over_seeds(rows: pd.DataFrame, x: str = "epoch") -> pd.DataFrame:
    """Median, lowest and highest value over seeds per epoch (or what else is in the column x)."""
    return rows.groupby(x)["value"].agg(["median", "min", "max"])


def lines_by_modality(
    frame: pd.DataFrame, *, y_title: str, log: bool, y_range: list[float] | None = None, x: str = "epoch", x_title: str = ""
) -> go.Figure:
    """One panel per variant, one line per modality (median over seeds) in its range; every line has its name at its end."""
    variants, looks = names(frame, "variant"), styles(names(frame, "modality"))
    figure = canvas.panels(variants, x_title=x_title or x, y_title=y_title)
    reach = y_range or canvas.value_range(frame["value"].to_numpy(), log=log)
    x_range = canvas.room_for_labels(frame[x].min(), frame[x].max(), [f"● {name}" for name in looks], canvas.columns_for(len(variants)))
    figure.update_yaxes(type="log" if log else "linear", range=reach, exponentformat="power", dtick=log_ticks(reach) if log else None)
    figure.update_xaxes(range=x_range)
    for place, variant in enumerate(variants):
        _draw_panel(figure, frame[frame["variant"] == variant], looks, log=log, y_range=reach, cell=canvas.cell(place, variants), x=x)
    return figure


def log_ticks(reach: list[float]) -> str | int:
    """Ticks at 1, 2 and 5 of each power of ten where few powers are seen, else at the powers."""
    return "D2" if reach[1] - reach[0] < 2.5 else 1


def _draw_panel(
    figure: go.Figure, rows: pd.DataFrame, looks: dict[str, Style], *, log: bool, y_range: list[float], cell: dict[str, int], x: str
) -> None:
    """One variant's lines and their labels."""
    labels, last = [], 0.0
    for modality, look in looks.items():
        summary = over_seeds(rows[rows["modality"] == modality], x)
        if not len(summary):
            continue
        if rows["seed"].nunique() > 1:
            figure.add_trace(_band(summary, look, modality), **cell)
        figure.add_trace(_line(summary, look, modality, x), **cell)
        end = summary["median"].iloc[-1]
        labels.append((f"{look.mark} {canvas.safe(modality)}", _on_axis(end, log), look.small))
        last = max(last, float(summary.index[-1]))
    canvas.end_labels(figure, labels, x=last, y_range=y_range, **cell)


def _on_axis(value: float, log: bool) -> float:
    """A value's place on the axis: annotations on a log axis are given in powers of ten."""
    return log10(value) if log else float(value)


def _line(summary: pd.DataFrame, look: Style, modality: str, x: str) -> go.Scatter:
    """The median over seeds."""
    return go.Scatter(
        x=summary.index.to_numpy(),
        y=summary["median"].to_numpy(),
        name=canvas.safe(modality),
        mode="lines+markers",
        line={"color": look.color, "width": 2.5},
        marker={"symbol": look.symbol, "size": 8, "maxdisplayed": 12, "color": look.color},
        hovertemplate=f"{canvas.safe(modality)}, {x} %{{x}}: %{{y:.3g}}<extra></extra>",
    )


def _band(summary: pd.DataFrame, look: Style, modality: str) -> go.Scatter:
    """The range over seeds, drawn there and back."""
    epochs = summary.index.to_numpy()
    return go.Scatter(
        x=[*epochs, *epochs[::-1]],
        y=[*summary["max"], *summary["min"][::-1]],
        name=f"{canvas.safe(modality)}, range",
        mode="lines",
        line={"width": 0, "color": look.color},
        fill="toself",
        fillcolor=look.band,
        hoverinfo="skip",
    )
