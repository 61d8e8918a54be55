"""How does B-fusion share its weight among the modalities, epoch by epoch?"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.frames import checked, names
from workbench.figures.palette import PAPER, Style, styles
from workbench.statistics import paired_difference


def weight_bars(frame: pd.DataFrame) -> go.Figure:
    """Stacked bars of 100 % per epoch: each modality's share of the weights (mean over seeds); hovering shows the weight itself.

    Source: adaptive weight fusion, Figure 5. Shares are of absolute values, should a weight have crossed zero.

    Args:
        frame: columns variant, seed, epoch, modality, value (the raw weight).

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "weight_bars", "variant", "seed", "epoch", "modality", "value")
    shares, variants, looks = with_shares(frame), names(frame, "variant"), styles(names(frame, "modality"))
    figure = canvas.panels(variants, x_title="epoch", y_title="share of the weights (%)")
    figure.update_layout(barmode="stack", bargap=0.15)
    figure.update_yaxes(range=[0, 100])
    longest = [f"● {name}" for name in looks]
    figure.update_xaxes(
        range=canvas.room_for_labels(frame["epoch"].min() - 0.5, frame["epoch"].max() + 0.5, longest, canvas.columns_for(len(variants)))
    )
    for place, variant in enumerate(variants):
        _draw_panel(figure, shares[shares["variant"] == variant], looks, cell=canvas.cell(place, variants))
    seeds = frame["seed"].nunique()
    drawn = "Bars: one seed." if seeds == 1 else f"Bars: mean of {seeds} seeds.{captions.ends_apart(frame)}"
    return captions.attach(figure, *[_finding(shares, variant, len(variants) > 1) for variant in variants], "A bar's parts add up to 100 %.", drawn)


def with_shares(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with a column `share`: a modality's part of its epoch's weights in percent."""
    size = frame["value"].abs()
    whole = size.groupby([frame["variant"], frame["seed"], frame["epoch"]]).transform("sum")
    return frame.assign(share=np.where(whole > 0, 100 * size / whole.where(whole > 0, 1), 0.0))


def _draw_panel(figure: go.Figure, rows: pd.DataFrame, looks: dict[str, Style], *, cell: dict[str, int]) -> None:
    """One variant's bars, with the names right of the last bar."""
    labels, floor = [], 0.0
    for modality, look in looks.items():
        summary = rows[rows["modality"] == modality].groupby("epoch")[["share", "value"]].mean()
        if not len(summary):
            continue
        figure.add_trace(
            go.Bar(
                x=summary.index.to_numpy(),
                y=summary["share"].to_numpy(),
                customdata=summary["value"].to_numpy(),
                name=canvas.safe(modality),
                marker={"color": look.color, "pattern": {"shape": look.hatch, "fgcolor": PAPER, "fillmode": "overlay", "solidity": 0.25}},
                hovertemplate=f"{canvas.safe(modality)}, epoch %{{x}}: %{{y:.0f}} %, weight %{{customdata:.3f}}<extra></extra>",
            ),
            **cell,
        )
        share = float(summary["share"].iloc[-1])
        labels.append((f"{look.mark} {canvas.safe(modality)}", floor + share / 2, look.small))
        floor += share
    canvas.end_labels(figure, labels, x=float(rows["epoch"].max()) + 0.45, y_range=[0, 100], **cell)


def _finding(shares: pd.DataFrame, variant: str, is_named: bool) -> str:
    """The modality whose share moved most between a run's first and last epoch, and whether that is more than chance."""
    rows = shares[shares["variant"] == variant]
    first, last, where = rows["epoch"].min(), rows["epoch"].max(), f" in {variant}" if is_named else ""
    moves = {name: _moves(rows[rows["modality"] == name]) for name in names(rows, "modality")}
    if first == last:
        return f"One epoch{where}: no change to tell."
    name = max(moves, key=lambda name: abs((moves[name]["last"] - moves[name]["first"]).mean()))
    before, after = moves[name]["first"].to_numpy(), moves[name]["last"].to_numpy()
    change = paired_difference(after, before)
    span = f"95 % {change.low:+.1f} to {change.high:+.1f}, n = {change.n}" if change.n > 1 else "one seed: no interval"
    is_even = rows.groupby("seed")["epoch"].max().nunique() == 1
    between = f"between epochs {first} and {last}" if is_even else f"between epoch {first} and each run's last"
    if change.n > 1 and not change.is_found:
        return f"No change found{where}: {name} moves most, by {change.mean:+.1f} points {between} ({span})."
    word = "rises" if change.mean > 0 else "falls" if change.mean < 0 else "stays"
    said = f"{name}'s share {word} from {before.mean():.0f} % to {after.mean():.0f} % {between}{where}"
    return captions.first_upper(f"{said} ({change.mean:+.1f} points, {span}).")


def _moves(rows: pd.DataFrame) -> pd.DataFrame:
    """First and last share of one modality, a row per seed."""
    return rows.sort_values("epoch").groupby("seed")["share"].agg(["first", "last"])
