"""Do the modalities come to say related things while a model learns? Canonical correlations of pairs over epochs."""

import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.frames import checked, difference, names
from workbench.figures.lines import over_seeds
from workbench.figures.palette import INK, QUIET
from workbench.statistics import say_difference, score

DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def correlations_over_epochs(frame: pd.DataFrame, *, components: int | None = None) -> go.Figure:
    """The total canonical correlation of each pair of modalities by epoch, a panel a variant (and stage); every line has its pair at its end.

    Args:
        frame: columns variant, seed, epoch, pair, value; optional stage (see `workbench.probes.correlations.correlations_by_epoch`).
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
    reach = canvas.value_range(pd.Series([*frame["value"], 0.0, *([float(components)] if components else [])]).to_numpy())
    figure.update_yaxes(range=reach)
    labels = [pair.replace(" x ", " and ") for pair in pairs]
    figure.update_xaxes(range=canvas.room_for_labels(frame["epoch"].min(), frame["epoch"].max(), labels, canvas.columns_for(len(panels))))
    for place, panel in enumerate(panels):
        _draw(figure, frame[frame["panel"] == panel], pairs, reach, components, canvas.cell(place, panels))
    said = [_moved(frame[frame["panel"] == panel], pairs, panel if len(panels) > 1 else "") for panel in panels]
    most = f"Grey: {components}, the most there could be." if components else ""
    return captions.attach(figure, *said, captions.seeds_drawn(frame.assign(variant=frame["panel"])), most)


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
