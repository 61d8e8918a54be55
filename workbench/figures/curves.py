"""Did the training go well, and which epoch was kept?"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.by_stage import a_panel_a_stage, has_stages, last_stage
from workbench.figures.frames import checked, names, only_metric
from workbench.figures.lines import over_seeds
from workbench.figures.palette import INK, QUIET
from workbench.statistics import mean_and_spread

LOOKS = {"train": (QUIET, "dot", 2), "valid": (INK, "solid", 3), "test": (INK, "dash", 2)}


def learning_curves(frame: pd.DataFrame, *, metric: str | None = None) -> go.Figure:
    """A loss or score by epoch for each split, one panel per variant; stars mark the epoch kept by each seed (column `is_best`).

    Of one variant that was trained in stages every stage has a panel, of several variants the last stage is drawn; epochs are counted in the stage.

    Args:
        frame: columns variant, seed, epoch, split, value; optional metric, is_best (true in the epoch kept, rows of split valid), stage and
            stage_epoch.
        metric: which metric to draw where the table holds several.

    Raises:
        DataError: a column is missing, no row has a value, or the metric is not in the table.
    """
    frame = checked(frame, "learning_curves", "variant", "seed", "epoch", "split", "value")
    frame, chosen = only_metric(frame, metric, "learning_curves")
    frame, of_stages = (a_panel_a_stage if frame["variant"].nunique() == 1 else last_stage)(frame)
    variants = names(frame, "variant")
    figure = canvas.panels(variants, x_title="epoch of the stage" if has_stages(frame) else "epoch", y_title=chosen)
    y_range = canvas.value_range(frame["value"].to_numpy())
    columns = canvas.columns_for(len(variants))
    figure.update_xaxes(range=canvas.room_for_labels(frame["epoch"].min(), frame["epoch"].max(), names(frame, "split"), columns))
    figure.update_yaxes(range=y_range)
    for place, variant in enumerate(variants):
        _draw_panel(figure, frame[frame["variant"] == variant], y_range, canvas.cell(place, variants))
    findings = [_finding(frame[frame["variant"] == variant], variant, chosen) for variant in variants]
    stars = "Stars: the epoch each seed kept." if len(kept(frame)) else ""
    return captions.attach(figure, *findings, captions.seeds_drawn(frame), stars, of_stages)


def kept(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the epochs that were kept, on the valid split where there is one."""
    if "is_best" not in rows.columns:
        return rows.iloc[:0]
    best = rows[rows["is_best"].fillna(False).astype(bool)]
    return best[best["split"] == "valid"] if (best["split"] == "valid").any() else best


def _draw_panel(figure: go.Figure, rows: pd.DataFrame, y_range: list[float], cell: dict[str, int]) -> None:
    """One variant: a line per split, its range, the kept epochs."""
    labels = []
    for split in names(rows, "split"):
        color, dash, width = LOOKS.get(split, (QUIET, "dashdot", 2))
        summary = over_seeds(rows[rows["split"] == split])
        epochs = summary.index.to_numpy()
        if rows["seed"].nunique() > 1:
            edge = {
                "x": [*epochs, *epochs[::-1]],
                "y": [*summary["max"], *summary["min"][::-1]],
                "fill": "toself",
                "fillcolor": "rgba(118,118,118,0.16)",
            }
            figure.add_trace(go.Scatter(**edge, mode="lines", line={"width": 0}, name=f"{canvas.safe(split)}, range", hoverinfo="skip"), **cell)
        hover = f"{canvas.safe(split)}, epoch %{{x}}: %{{y:.3f}}<extra></extra>"
        line = {"color": color, "dash": dash, "width": width}
        figure.add_trace(
            go.Scatter(x=epochs, y=summary["median"].to_numpy(), mode="lines", line=line, name=canvas.safe(split), hovertemplate=hover), **cell
        )
        labels.append((canvas.safe(split), float(summary["median"].iloc[-1]), color))
    best = kept(rows)
    if len(best):
        marker = {"symbol": "star", "size": 13, "color": INK, "line": {"width": 1, "color": "#FFFFFF"}}
        hover = "kept: epoch %{x}, %{y:.3f}<extra></extra>"
        figure.add_trace(
            go.Scatter(x=best["epoch"].to_numpy(), y=best["value"].to_numpy(), mode="markers", marker=marker, name="kept", hovertemplate=hover),
            **cell,
        )
    canvas.end_labels(figure, labels, x=float(rows["epoch"].max()), y_range=y_range, **cell)


def _finding(rows: pd.DataFrame, variant: str, metric: str) -> str:
    """The epoch that was kept (or the best one seen) and the score there."""
    best = kept(rows)
    verb = "kept"
    if not len(best):
        verb, watched = "best in", rows[rows["split"] == "valid"] if (rows["split"] == "valid").any() else rows
        places = watched.groupby("seed")["value"].idxmin() if captions.is_lower_better(metric) else watched.groupby("seed")["value"].idxmax()
        best = watched.loc[places]
    epochs = np.sort(best["epoch"].to_numpy())
    which = f"epoch {epochs[0]}" if epochs[0] == epochs[-1] else f"epochs {epochs[0]} to {epochs[-1]} (median {np.median(epochs):g})"
    split = best["split"].iloc[0]
    told = f"{split} {metric} {mean_and_spread(best['value'].to_numpy())} there (n = {best['seed'].nunique()})"
    return f"{variant}: {verb} {which} of {rows['epoch'].max()}, {told}."
