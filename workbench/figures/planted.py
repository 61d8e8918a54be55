"""Does what a model shows agree with what was planted? Lags that were found, and quantities over a dial of the simulator."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.by_class import at_least
from workbench.figures.frames import checked, difference, names
from workbench.figures.lines import over_seeds
from workbench.figures.palette import QUIET, Style, styles
from workbench.statistics import Difference, mean_interval, paired_difference, say_difference, score

BIN = 0.25
"""Width of the stretches of true lag that means are taken over [s]."""


def lag_recovery(frame: pd.DataFrame, *, width: float = BIN) -> go.Figure:
    """Where an evidence word's row of the time alignment looks, against where its bump is, both less the word's own time: a panel a modality.

    Args:
        frame: columns seed, modality, true, estimated, even [s] (see `workbench.probes.planted.attended_times`); one row a word. Optional: variant,
            a panel each.
        width: of the stretches of true lag [s].

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame.rename(columns={"estimated": "value"}), "lag_recovery", "seed", "modality", "true", "value", "even")
    frame = frame.assign(bin=(frame["true"] / width).round() * width, variant=frame["variant"] if "variant" in frame.columns else "")
    looks = styles(names(frame, "modality"))
    parts = {(variant, name): rows for (variant, name), rows in frame.groupby(["variant", "modality"], sort=False)}
    titles = [f"{name}, {variant}" if variant else name for variant, name in parts]
    figure = canvas.panels(titles, x_title="true lag [s]", y_title="attended lag [s]", panel_height=300)
    reach = _reach(frame)
    labels = ["looking everywhere", *(f"● {name}" for name in looks)]
    figure.update_yaxes(range=reach)
    for place, ((_, name), rows) in enumerate(parts.items()):
        cell, ends = canvas.cell(place, titles), (float(rows["bin"].min()), float(rows["bin"].max()))
        figure.update_xaxes(range=canvas.room_for_labels(*ends, labels, canvas.columns_for(len(titles))), **cell)
        _draw_lags(figure, rows, name, looks[name], reach, cell)
    said = [_say_slopes(rows, title) for title, rows in zip(titles, parts.values(), strict=True)]
    read = "Marks: means over words, then seeds; bars: 95 % intervals over seeds. Dashed: looking everywhere alike. Thin: the true lag."
    return captions.attach(figure, *said, read, f"{captions.count(len(frame), 'word')}, {captions.count(frame['seed'].nunique(), 'seed')}.")


def _reach(frame: pd.DataFrame) -> list[float]:
    """The range that shows all means, all truths and intervals."""
    by_bin = frame.groupby(["variant", "modality", "bin", "seed"])[["value", "even", "true"]].mean()
    return canvas.value_range(np.concatenate([by_bin.to_numpy().ravel(), frame["bin"].to_numpy()]), pad=0.08)


def _draw_lags(figure: go.Figure, rows: pd.DataFrame, name: str, look: Style, reach: Sequence[float], cell: dict[str, int]) -> None:
    """One modality: the truth, chance, and what was attended to."""
    bins = np.array(sorted(rows["bin"].unique()))
    thin = {"color": QUIET, "width": 1}
    figure.add_trace(go.Scatter(x=bins, y=bins, mode="lines", line=thin, name="true lag", hoverinfo="skip"), **cell)
    chance = rows.groupby(["bin", "seed"])["even"].mean().groupby("bin").mean().reindex(bins)
    dashed = {"color": QUIET, "width": 2, "dash": "dash"}
    hover = "looking everywhere alike: %{y:.3f} s<extra></extra>"
    figure.add_trace(go.Scatter(x=bins, y=chance.to_numpy(), mode="lines", line=dashed, name="looking everywhere", hovertemplate=hover), **cell)
    found = rows.groupby(["bin", "seed"])["value"].mean()
    middle, low, high = (np.array(part) for part in zip(*(mean_interval(found[place].to_numpy()) for place in bins), strict=True))
    bar = {"type": "data", "symmetric": False, "array": np.nan_to_num(high - middle), "arrayminus": np.nan_to_num(middle - low), "color": look.color}
    drawn = {"line": {"color": look.color, "width": 2.5}, "marker": {"symbol": look.symbol, "size": 9, "color": look.color}}
    hover = f"{canvas.safe(name)}, true lag %{{x:.2f}} s: %{{y:.3f}} s<extra></extra>"
    figure.add_trace(go.Scatter(x=bins, y=middle, mode="lines+markers", name=canvas.safe(name), error_y=bar, hovertemplate=hover, **drawn), **cell)
    labels = [("looking everywhere", float(chance.iloc[-1]), QUIET), (f"{look.mark} {canvas.safe(name)}", float(middle[-1]), look.small)]
    canvas.end_labels(figure, labels, x=float(bins[-1]), y_range=reach, **cell)


def slopes(rows: pd.DataFrame, column: str) -> pd.Series:
    """By seed: by how many seconds the attended time moves where the true one moves by one second (least squares); nan where nothing moves."""

    def slope(found: pd.DataFrame) -> float:
        apart = found["true"] - found["true"].mean()
        return float((apart * found[column]).sum() / (apart**2).sum()) if (apart**2).sum() > 1e-12 else float("nan")

    return pd.Series({seed: slope(found) for seed, found in rows.groupby("seed")}).dropna()


def _say_slopes(rows: pd.DataFrame, name: str) -> str:
    """How far the attended time follows the true one, against looking everywhere alike."""
    own, even = slopes(rows, "value"), slopes(rows, "even")
    if not len(own):
        return f"{captions.first_upper(name)}: one true lag only, nothing to follow."
    mean, low, high = mean_interval(own.to_numpy())
    span = "one seed: no interval" if np.isnan(low) else f"95 % {score(low, 2)} to {score(high, 2)}, n = {len(own)}"
    follows = f"{captions.first_upper(name)}: attention moves by {score(mean, 2)} s where the true lag moves by 1 s ({span})"
    change = paired_difference(own.to_numpy(), even.to_numpy())
    against = f"looking everywhere alike moves by {score(float(even.mean()), 2)} s"
    verdict = "" if change.n < 2 else _verdict(change)
    return f"{follows}; {against}{verdict}."


def _verdict(change: Difference) -> str:
    """Whether the lag is followed more than by looking everywhere."""
    span = f"{score(change.mean, sign=True)}, 95 % {score(change.low, sign=True)} to {score(change.high, sign=True)}"
    if not change.is_found:
        return f": no difference found ({span})"
    return f": the lag is followed {'more' if change.mean > 0 else 'less'} closely than that ({span})"


def over_dial(frame: pd.DataFrame, *, dial: str, modality: str = "") -> go.Figure:
    """Some quantities by modality while one dial of the data is turned: a panel a quantity, each on its own axis.

    Args:
        frame: columns quantity, modality, x (the dial), seed, value.
        dial: what is turned, for the axis.
        modality: the one that the dial is about: the caption tells of it; all of them where empty.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "over_dial", "quantity", "modality", "x", "seed", "value")
    quantities, looks = names(frame, "quantity"), styles(names(frame, "modality"))
    figure = canvas.panels(quantities, x_title=dial, y_title="")
    figure.update_yaxes(matches=None, showticklabels=True)
    columns = canvas.columns_for(len(quantities))
    _spread_panels(figure, columns)
    labels = [f"● {name}" for name in looks]
    figure.update_xaxes(range=canvas.room_for_labels(frame["x"].min(), frame["x"].max(), labels, columns))
    for place, quantity in enumerate(quantities):
        rows = frame[frame["quantity"] == quantity]
        _draw_quantity(figure, rows, looks, canvas.cell(place, quantities))
    asked = [modality] if modality in looks else list(looks)
    said = [_moved(frame[frame["quantity"] == quantity], quantity, name, dial) for quantity in quantities for name in asked]
    seeds = frame["seed"].nunique()
    drawn = "Lines: one seed." if seeds == 1 else f"Lines: median of {seeds} seeds, band: range."
    return captions.attach(figure, *[sentence for sentence in said if sentence], drawn, "Each panel has its own axis.")


def _spread_panels(figure: go.Figure, columns: int) -> None:
    """Room between the panels for the numbers of each one's own axis."""
    gap = 0.1
    wide = (1 - gap * (columns - 1)) / columns
    for place, axis in enumerate(figure.select_xaxes()):
        start = (place % columns) * (wide + gap)
        axis.domain = (start, start + wide)


def _draw_quantity(figure: go.Figure, rows: pd.DataFrame, looks: dict[str, Style], cell: dict[str, int]) -> None:
    """One panel: a line a modality in its range."""
    reach = canvas.value_range(at_least(rows["value"].to_numpy(float)))
    figure.update_yaxes(range=reach, **cell)
    labels = []
    for name, look in looks.items():
        summary = over_seeds(rows[rows["modality"] == name], "x")
        if not len(summary):
            continue
        x, middle = summary.index.to_numpy(), summary["median"].to_numpy()
        if rows["seed"].nunique() > 1:
            band = {"x": [*x, *x[::-1]], "y": [*summary["max"], *summary["min"][::-1]], "fill": "toself", "fillcolor": look.band, "hoverinfo": "skip"}
            figure.add_trace(go.Scatter(**band, mode="lines", line={"width": 0}, name=f"{canvas.safe(name)}, range"), **cell)
        drawn = {"line": {"color": look.color, "width": 2.5}, "marker": {"symbol": look.symbol, "size": 8, "color": look.color}}
        hover = f"{canvas.safe(name)}, %{{x}}: %{{y:.3f}}<extra></extra>"
        figure.add_trace(go.Scatter(x=x, y=middle, mode="lines+markers", name=canvas.safe(name), hovertemplate=hover, **drawn), **cell)
        labels.append((f"{look.mark} {canvas.safe(name)}", float(middle[-1]), look.small))
    canvas.end_labels(figure, labels, x=float(rows["x"].max()), y_range=reach, **cell)


def _moved(rows: pd.DataFrame, quantity: str, name: str, dial: str) -> str:
    """The quantity at the last value of the dial against the first, paired by seed."""
    rows = rows[rows["modality"] == name]
    if not len(rows):
        return ""
    first, last = rows["x"].min(), rows["x"].max()
    if first == last:
        mean = score(float(rows["value"].mean()))
        return f"{captions.first_upper(name)}, {quantity}: {mean} at {dial} {first:g} (one value of the dial: nothing to compare)."
    change = difference(rows[rows["x"] == last], rows[rows["x"] == first])
    ends = " to ".join(score(float(rows.loc[rows["x"] == x, "value"].mean())) for x in (first, last))
    said = "no seed at both ends" if change is None else say_difference(change)
    return f"{captions.first_upper(name)}, {quantity}: {ends} from {dial} {first:g} to {last:g}: {said}."
