"""Do gates open or close from layer to layer, and while they learn? A panel a gate, a hue a modality."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.by_class import at_least
from workbench.figures.frames import by_seed, checked, names
from workbench.figures.lines import over_seeds
from workbench.figures.palette import QUIET, Style, styles
from workbench.statistics import mean_interval, score

HALF = 0.5
"""Near which gates start: the sigmoid of zero."""

SPAN = 0.1
"""What an axis of gates spans at least: smaller changes look small."""

APART = 0.06
"""Between the marks of two modalities, in layers: bars stand side by side."""

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MOST_NAMED = 12
"""Lines of a panel that all have a name at their end; of more the first and the last layer's have."""


def gates_by_layer(frame: pd.DataFrame, *, quantity: str = "gate", level: float | None = HALF, span: float = SPAN) -> go.Figure:
    """A number of each gate against the layer: thin a line a seed, thick their mean with its 95 % interval; a panel a gate.

    Args:
        frame: columns gate, layer, modality, seed, value; one row a sample, or one number a seed.
        quantity: what the numbers are.
        level: a dashed line: near which the numbers start; None: no line.
        span: what the axis spans at least.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "gates_by_layer", "gate", "layer", "modality", "seed", "value")
    means = frame.groupby(["gate", "layer", "modality", "seed"], sort=False, as_index=False)["value"].mean()
    gates, looks = names(frame, "gate"), styles(names(frame, "modality"))
    figure = canvas.panels(gates, x_title="layer", y_title=quantity, panel_height=260)
    reach = _reach(means, level, span)
    figure.update_yaxes(range=reach)
    first, last = int(means["layer"].min()), int(means["layer"].max())
    room = canvas.room_for_labels(first, last, [f"● {name}" for name in looks], canvas.columns_for(len(gates)))
    figure.update_xaxes(range=[room[0] - 0.1 * (last - first or 1), room[1]], tickvals=list(range(first, last + 1)))
    for place, gate in enumerate(gates):
        cell = canvas.cell(place, gates)
        if level is not None:
            edge = {"mode": "lines", "line": {"color": QUIET, "width": 1.5, "dash": "dash"}, "hoverinfo": "skip", "name": f"{level:g}"}
            figure.add_trace(go.Scatter(x=[first, last], y=[level, level], **edge), **cell)
        _draw_gate(figure, means[means["gate"] == gate], looks, reach, cell)
    seeds = means["seed"].nunique()
    read = "One seed." if seeds == 1 else f"Thin: {seeds} seeds; thick: their mean, bars: its 95 % interval."
    dashed = "" if level is None else f"Dashed: {score(level, 1)}, near which gates start."
    return captions.attach(figure, _ends(means, quantity), _samples(frame), read, dashed)


def _reach(means: pd.DataFrame, level: float | None, span: float) -> list[float]:
    """Shows every seed's mean; bars may be cut."""
    values = means["value"].to_numpy(float)
    if level is None and values.min() >= 0:
        return [0.0, 1.15 * max(float(values.max()), span)]  # a size: its axis begins at zero
    return canvas.value_range(at_least(values if level is None else np.append(values, level), span), pad=0.1)


def _draw_gate(figure: go.Figure, rows: pd.DataFrame, looks: dict[str, Style], reach: list[float], cell: dict[str, int]) -> None:
    """One panel: every modality's seeds, mean and intervals."""
    labels, last = [], float(rows["layer"].max())
    for place, (name, look) in enumerate(looks.items()):
        found = rows[rows["modality"] == name]
        shift = APART * (place - (len(looks) - 1) / 2)
        table = found.pivot_table(index="layer", columns="seed", values="value")
        if not len(table):
            continue
        for seed in table if table.shape[1] > 1 else ():
            thin = {"mode": "lines", "line": {"color": look.color, "width": 1}, "opacity": 0.4, "hoverinfo": "skip"}
            figure.add_trace(
                go.Scatter(x=table.index.to_numpy() + shift, y=table[seed].to_numpy(), name=f"{canvas.safe(name)}, seed {seed}", **thin), **cell
            )
        middle, low, _ = (np.array(part) for part in zip(*(mean_interval(row.dropna().to_numpy()) for _, row in table.iterrows()), strict=True))
        bar = {"type": "data", "array": np.nan_to_num(middle - low), "color": look.color, "thickness": 1.6, "width": 5}
        drawn = {"line": {"color": look.color, "width": 2.5}, "marker": {"symbol": look.symbol, "size": 9, "color": look.color}, "error_y": bar}
        hover = f"{canvas.safe(name)}, layer %{{customdata}}: %{{y:.3f}}<extra></extra>"
        x, said = table.index.to_numpy() + shift, table.index.to_numpy()
        figure.add_trace(
            go.Scatter(x=x, y=middle, customdata=said, mode="lines+markers", name=canvas.safe(name), hovertemplate=hover, **drawn), **cell
        )
        labels.append((f"{look.mark} {canvas.safe(name)}", float(middle[-1]), look.small))
    canvas.end_labels(figure, labels, x=last, y_range=reach, **cell)


def _ends(means: pd.DataFrame, quantity: str) -> str:
    """Where the largest and the smallest mean are."""
    table = means.groupby(["gate", "modality", "layer"], sort=False)["value"].mean()
    high, low = table.idxmax(), table.idxmin()
    said = [f"{gate} of {name} in layer {layer} ({score(float(table[gate, name, layer]))})" for gate, name, layer in (high, low)]
    if high == low:
        return f"{captions.first_upper(quantity)}: {said[0]}, the only one."
    return f"{captions.first_upper(quantity)}: largest {said[0]}, smallest {said[1]}."


def _samples(frame: pd.DataFrame) -> str:
    """How far samples are apart, where there are any."""
    if "sample" not in frame.columns:
        return ""
    cells = frame.groupby(["gate", "layer", "modality", "seed"], sort=False)["value"]
    apart, count = cells.std().dropna(), int(cells.size().max())
    return f"{captions.count(count, 'sample')} a seed, apart by a standard deviation of {score(float(apart.max()))} at most." if len(apart) else ""


def gates_over_epochs(frame: pd.DataFrame) -> go.Figure:
    """Every layer's gates while they learn: a panel a gate, a hue a modality, a dash a layer, with the layer's number at the line's end.

    Args:
        frame: columns gate, layer, modality, seed, epoch, value (a mean over samples).

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "gates_over_epochs", "gate", "layer", "modality", "seed", "epoch", "value")
    gates, looks, layers = names(frame, "gate"), styles(names(frame, "modality")), sorted(frame["layer"].unique())
    figure = canvas.panels(gates, x_title="epoch", y_title="gate, mean over valid", panel_height=260)
    reach = canvas.value_range(at_least(np.append(frame["value"].to_numpy(float), HALF), SPAN))
    figure.update_yaxes(range=reach)
    ends = float(frame["epoch"].min()), float(frame["epoch"].max())
    figure.update_xaxes(range=canvas.room_for_labels(*ends, ["● layer 1"], canvas.columns_for(len(gates))))
    named = layers if len(layers) * len(looks) <= MOST_NAMED else [layers[0], layers[-1]]
    for place, gate in enumerate(gates):
        _draw_epochs(figure, frame[frame["gate"] == gate], looks, layers, named, reach, canvas.cell(place, gates))
    marks = ", ".join(f"{look.mark} {name}" for name, look in looks.items())
    seeds = frame["seed"].nunique()
    read = f"Lines: {'one seed' if seeds == 1 else f'medians of {seeds} seeds'}; {marks}; the number is the layer."
    return captions.attach(figure, _moved(frame), read, "Means over all samples, those that lack the modality too.")


def _draw_epochs(
    figure: go.Figure, rows: pd.DataFrame, looks: dict[str, Style], layers: Sequence[int], named: Sequence[int], reach: list[float],
    cell: dict[str, int],
) -> None:  # fmt: skip
    """One panel."""
    labels = []
    for name, look in looks.items():
        for number, layer in enumerate(layers):
            summary = over_seeds(rows[(rows["modality"] == name) & (rows["layer"] == layer)])
            if not len(summary):
                continue
            line = {"color": look.color, "width": 2.2, "dash": DASHES[number % len(DASHES)]}
            hover = f"{canvas.safe(name)}, layer {layer}, epoch %{{x}}: %{{y:.3f}}<extra></extra>"
            x, y = summary.index.to_numpy(), summary["median"].to_numpy()
            figure.add_trace(go.Scatter(x=x, y=y, mode="lines", line=line, name=f"{canvas.safe(name)}, layer {layer}", hovertemplate=hover), **cell)
            if layer in named:
                labels.append((f"{look.mark} {layer}", float(y[-1]), look.small))
    canvas.end_labels(figure, labels, x=float(rows["epoch"].max()), y_range=reach, **cell)


def _moved(frame: pd.DataFrame) -> str:
    """The gate that moved furthest between the first and the last epoch, with its interval over seeds."""
    found = {}
    for key, rows in frame.groupby(["gate", "modality", "layer"], sort=False):
        rows = rows.sort_values("epoch")
        ends = rows.groupby("seed")["value"].agg(["first", "last"])
        found[key] = by_seed(pd.DataFrame({"seed": ends.index, "value": (ends["last"] - ends["first"]).to_numpy()})).to_numpy()
    gate, name, layer = max(found, key=lambda key: abs(found[key].mean()))
    mean, low, high = mean_interval(found[gate, name, layer])
    span = "" if np.isnan(low) else f" (95 % {score(low, sign=True)} to {score(high, sign=True)}, n = {len(found[gate, name, layer])})"
    return f"Furthest from the first to the last epoch moves {gate} of {name} in layer {layer}: by {score(mean, sign=True)}{span}."
