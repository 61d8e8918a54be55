"""Are made labels nearer to the truth than the label they were made from? Errors by epoch, a panel a method."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.by_class import at_least
from workbench.figures.frames import checked, difference, names
from workbench.figures.lines import over_seeds
from workbench.figures.palette import Style, styles
from workbench.statistics import holm, say_difference, score

LINES = ("made label", "label of the whole", "line in the label of the whole")
"""The labels whose errors are drawn: solid, dashed, dotted."""

DASHES = dict(zip(LINES, ("solid", "dash", "dot"), strict=True))


def label_errors(frame: pd.DataFrame, *, unit: str = "score") -> go.Figure:
    """Mean error of the labels that a method makes for each modality, by epoch, beside that of the label of the whole: a panel a method.

    Args:
        frame: columns variant, seed, epoch, modality, label (see `LINES`), value (see `workbench.probes.label_errors`).
        unit: of the label.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "label_errors", "variant", "seed", "epoch", "modality", "label", "value")
    variants, looks = names(frame, "variant"), styles(names(frame, "modality"))
    figure = canvas.panels(variants, x_title="epoch", y_title=f"error [{unit}]", panel_height=340)
    reach = canvas.value_range(at_least(frame["value"].to_numpy(float), 0.1))
    figure.update_yaxes(range=reach)
    ends = float(frame["epoch"].min()), float(frame["epoch"].max())
    room = canvas.room_for_labels(*ends, [f"● {name}" for name in looks], canvas.columns_for(len(variants)))
    figure.update_xaxes(range=room)
    for place, variant in enumerate(variants):
        _draw_panel(figure, frame[frame["variant"] == variant], looks, reach, canvas.cell(place, variants))
    read = "Solid: the labels made. Dashed: the label of the whole. Dotted: the best line in it, fitted to the true labels, which looks at no sample."
    said = _against_whole(frame)
    return captions.attach(figure, *said, read, captions.seeds_drawn(frame))


def _draw_panel(figure: go.Figure, rows: pd.DataFrame, looks: dict[str, Style], reach: list[float], cell: dict[str, int]) -> None:
    """One method: a solid line with its range, a dashed and a dotted one, for each modality."""
    labels = []
    for name, look in looks.items():
        own = rows[rows["modality"] == name]
        for label, dash in DASHES.items():
            summary = over_seeds(own[own["label"] == label])
            if not len(summary):
                continue
            x, is_made = summary.index.to_numpy(), label == LINES[0]
            if is_made and own["seed"].nunique() > 1:
                edge = {"x": [*x, *x[::-1]], "y": [*summary["max"], *summary["min"][::-1]], "fill": "toself", "fillcolor": look.band}
                figure.add_trace(go.Scatter(**edge, mode="lines", line={"width": 0}, hoverinfo="skip", name=f"{canvas.safe(name)}, range"), **cell)
            drawn = {"line": {"color": look.color, "width": 2.5 if is_made else 1.8, "dash": dash}, "mode": "lines+markers" if is_made else "lines"}
            drawn |= {"marker": {"symbol": look.symbol, "size": 8, "color": look.color, "maxdisplayed": 10}} if is_made else {}
            hover = f"{canvas.safe(name)}, {label}, epoch %{{x}}: %{{y:.3f}}<extra></extra>"
            trace = go.Scatter(x=x, y=summary["median"].to_numpy(), name=f"{canvas.safe(name)}, {label}", hovertemplate=hover, **drawn)
            figure.add_trace(trace, **cell)
            if is_made:
                labels.append((f"{look.mark} {canvas.safe(name)}", float(summary["median"].iloc[-1]), look.small))
    canvas.end_labels(figure, labels, x=float(rows["epoch"].max()), y_range=reach, **cell)


def _against_whole(frame: pd.DataFrame) -> list[str]:
    """The made labels of each run's last epoch against the label of the whole, paired by seed; "nearer" and "further" hold for all pairs (Holm)."""
    parts = {f"{variant}, {name}": _last(rows) for (variant, name), rows in frame.groupby(["variant", "modality"], sort=False)}
    changes = {pair: change for pair, (made, whole) in parts.items() if (change := difference(made, whole)) is not None}
    held = holm(changes)
    said = []
    for pair, labels in parts.items():
        if pair not in changes:
            said.append(f"{pair}: nothing to compare the labels with.")
            continue
        means = [score(float(np.mean(part["value"]))) for part in labels]
        word = "" if pair not in held else ", further from the truth" if changes[pair].mean > 0 else ", nearer to the truth"
        said.append(f"{pair}: error {means[0]} in the last epoch, label of the whole {means[1]}: {say_difference(changes[pair])}{word}.")
    return [*said, f"Nearer and further are said where they hold for all {len(changes)} at once (Holm, 5 %)."] if len(changes) > 1 else said


def _last(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The made labels and those of the whole in each run's last epoch."""
    last = rows[rows["epoch"] == rows.groupby("seed")["epoch"].transform("max")]
    made, whole = (last[last["label"] == label] for label in LINES[:2])
    return made, whole
