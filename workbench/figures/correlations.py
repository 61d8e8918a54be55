"""Do the modalities come to say related things while a model learns? Canonical correlations of pairs over epochs."""

import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.frames import checked, difference, names
from workbench.figures.lines import over_seeds
from workbench.figures.palette import INK, QUIET
from workbench.statistics import paired_difference, say_difference, score

CHANCE = (
    "Chance (dashes): the samples of one modality dealt out anew, so that it holds what any two samples have in common at one place of their time."
)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def correlations_over_epochs(frame: pd.DataFrame, *, whole: pd.DataFrame | None = None, components: int | None = None) -> go.Figure:
    """The total canonical correlation of each pair of modalities by epoch, a panel a variant (and stage); every line has its pair at its end.

    Args:
        frame: columns variant, seed, epoch, pair, value; optional stage, is_kept (the epoch whose weights were kept: stars) and samples (of a batch;
            see `workbench.probes.correlations.correlations_by_epoch`).
        whole: the kept weights over the whole split at once, and what chance gives: columns variant, seed, pair, value, floor, untrained,
            untrained_floor (see `workbench.probes.correlations.whole_correlations`); None: not told.
        components: canonical correlations that are added up: the most that the sum can be.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "correlations_over_epochs", "variant", "seed", "epoch", "pair", "value")
    has_stages = "stage" in frame.columns and frame["stage"].nunique() > 1
    frame = frame.assign(panel=frame["variant"] + ", " + frame["stage"] if has_stages else frame["variant"])
    panels, pairs = names(frame, "panel"), names(frame, "pair")
    total = f"sum of {components} canonical correlations" if components else "total canonical correlation"
    figure = canvas.panels(panels if len(panels) > 1 else [""], x_title="epoch of the stage" if "stage" in frame.columns else "epoch", y_title=total)
    ends = [0.0, *([float(components)] if components else []), *([] if whole is None else [*whole["value"], *whole["floor"]])]
    reach = canvas.value_range(pd.Series([*frame["value"], *ends]).to_numpy())
    figure.update_yaxes(range=reach)
    labels = [pair.replace(" x ", " and ") for pair in pairs]
    figure.update_xaxes(range=canvas.room_for_labels(frame["epoch"].min(), frame["epoch"].max(), labels, canvas.columns_for(len(panels))))
    for place, panel in enumerate(panels):
        rows, cell = frame[frame["panel"] == panel], canvas.cell(place, panels)
        _draw(figure, rows, pairs, reach, components, cell)
        _draw_kept(figure, rows, whole, cell)
    said = [_moved(frame[frame["panel"] == panel], pairs, panel if len(panels) > 1 else "") for panel in panels]
    most = f"Grey: {components}, the most there could be." if components else ""
    seeds = captions.seeds_drawn(frame.assign(variant=frame["panel"]))
    return captions.attach(figure, *said, *_say_whole(whole), _say_batches(frame), seeds, most)


def _draw_kept(figure: go.Figure, rows: pd.DataFrame, whole: pd.DataFrame | None, cell: dict[str, int]) -> None:
    """Stars at the epochs that were kept; beside them what the kept weights say of the whole split (open), and chance (a dash)."""
    kept = rows[rows["is_kept"].astype(bool)] if "is_kept" in rows.columns else rows.iloc[:0]
    if not len(kept):
        return
    marker = {"symbol": "star", "size": 12, "color": INK, "line": {"width": 1, "color": "#FFFFFF"}}
    hover = "kept: epoch %{x}, %{y:.3f}<extra></extra>"
    drawn = {"mode": "markers", "marker": marker, "name": "kept", "hovertemplate": hover}
    figure.add_trace(go.Scatter(x=kept["epoch"].to_numpy(), y=kept["value"].to_numpy(), **drawn), **cell)
    if whole is None:
        return
    both = kept.merge(whole, on=["variant", "seed", "pair"], suffixes=("_of_batches", ""))
    for column, symbol, name in (("value", "circle-open", "whole split"), ("floor", "line-ew-open", "by chance")):
        marker = {"symbol": symbol, "size": 11, "color": QUIET, "line": {"width": 2}}
        hover = f"{name}: %{{y:.3f}}<extra></extra>"
        dots = go.Scatter(x=both["epoch"].to_numpy(), y=both[column].to_numpy(), mode="markers", marker=marker, name=name, hovertemplate=hover)
        figure.add_trace(dots, **cell)


def _say_batches(frame: pd.DataFrame) -> str:
    """What a number of an epoch is, and which epoch the stars mark."""
    stars = "Stars: the epoch each seed kept, by the task loss on valid." if "is_kept" in frame.columns and frame["is_kept"].any() else ""
    if "samples" not in frame.columns:
        return stars
    fewest = captions.count(int(frame["samples"].min()), "sample")
    return f"{stars} An epoch's value is the mean over batches of {fewest}; sought anew in each, the sum is too large, most so in small ones."


def _say_whole(whole: pd.DataFrame | None) -> list[str]:
    """Of each pair over the whole split: what there is, what chance gives, and the difference, trained and untrained."""
    if whole is None:
        return []
    said = []
    for variant, rows in whole.groupby("variant", sort=False):
        told = "; ".join(f"{pair.replace(' x ', ' and ')} {_say_pair(found)}" for pair, found in rows.groupby("pair", sort=False))
        named = f"{variant}, kept" if whole["variant"].nunique() > 1 else "Kept"
        said.append(f"{named} weights over the whole split at once (open circles): {told}.")
    return [*said, CHANCE]


def _say_pair(found: pd.DataFrame) -> str:
    """`1.25, by chance .31, so +.940 (95 % ...); before learning +.010 above chance (...)`."""
    value, floor = (score(float(found[column].mean()), 2) for column in ("value", "floor"))
    above, before = (paired_difference(*(found[name].to_numpy() for name in pair)) for pair in (("value", "floor"), ("untrained", "untrained_floor")))
    first = score(float(found["untrained"].mean()), 2)
    return f"{value}, by chance {floor}: {say_difference(above)}; untrained {first}, against chance {say_difference(before)}"


def _draw(figure: go.Figure, rows: pd.DataFrame, pairs: list[str], reach: list[float], components: int | None, cell: dict[str, int]) -> None:
    """One panel: a line a pair in its range."""
    ends = []
    if components:
        line = {"color": QUIET, "width": 1.5, "dash": "dot"}
        span = [float(rows["epoch"].min()), float(rows["epoch"].max())]
        figure.add_trace(go.Scatter(x=span, y=[components, components], mode="lines", line=line, name="the most", hoverinfo="skip"), **cell)
    for number, pair in enumerate(pairs):
        summary, name = over_seeds(rows[rows["pair"] == pair]), canvas.safe(pair.replace(" x ", " and "))
        if not len(summary):
            continue
        epochs, middle = summary.index.to_numpy(), summary["median"].to_numpy()
        if rows["seed"].nunique() > 1:
            band = {"x": [*epochs, *epochs[::-1]], "y": [*summary["max"], *summary["min"][::-1]], "fill": "toself", "hoverinfo": "skip"}
            drawn = {"mode": "lines", "line": {"width": 0}, "fillcolor": "rgba(118,118,118,0.16)"}
            figure.add_trace(go.Scatter(**band, **drawn, name=f"{name}, range"), **cell)
        line = {"color": INK, "width": 2.2, "dash": DASHES[number % len(DASHES)]}
        hover = f"{name}, epoch %{{x}}: %{{y:.3f}}<extra></extra>"
        mode = "lines+markers" if len(epochs) == 1 else "lines"
        figure.add_trace(go.Scatter(x=epochs, y=middle, mode=mode, line=line, name=name, hovertemplate=hover), **cell)
        ends.append((name, float(middle[-1]), INK))
    canvas.end_labels(figure, ends, x=float(rows["epoch"].max()), y_range=reach, **cell)


def _moved(rows: pd.DataFrame, pairs: list[str], panel: str) -> str:
    """Each pair's correlation in each seed's first and last epoch, paired by seed."""
    said = []
    for pair in pairs:
        found = rows[rows["pair"] == pair]
        if not len(found):
            continue
        by_seed = found.groupby("seed")["epoch"]
        first, last = (found[found["epoch"] == by_seed.transform(which)] for which in ("min", "max"))
        ends = " to ".join(score(float(part["value"].mean()), 2) for part in (first, last))
        change = difference(last, first)
        is_one = bool((by_seed.transform("min") == by_seed.transform("max")).all())
        said.append(f"{pair.replace(' x ', ' and ')} {ends}" + (" (one epoch)" if is_one or change is None else f" ({say_difference(change)})"))
    told = f"total correlation on valid from the first to the last epoch: {'; '.join(said)}."
    return f"{panel}: {told}" if panel else captions.first_upper(told)
