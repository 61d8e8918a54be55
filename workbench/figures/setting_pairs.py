"""How do two settings work together? A map with the mean and spread of every pair."""

from math import isnan

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures import settings as of
from workbench.figures.frames import by_seed
from workbench.figures.palette import INK
from workbench.figures.sample import GREYS
from workbench.figures.setting_words import listed, say_change
from workbench.statistics import mean_and_spread, score, spread_places

CELLS = (
    "Cells: mean ± sample sd over seeds; darker: better. Bold and =: not told apart from the best cell (paired by seed, Holm over all pairs of "
    "cells, 5 %); single differences are not corrected."
)


def sweep_pairs(scores: pd.DataFrame, *, x: str, y: str, metric: str | None = None, is_lower_better: bool | None = None) -> go.Figure:
    """A heat map over two settings: mean and spread in each cell, cells that are not told apart from the best one in bold with `=`.

    Means are over those combinations of the other settings that every pair was tried with. Settings of which no two trials share a value (a
    random search), or with very many values, are drawn as marks at their places instead of cells.

    Args:
        scores: columns trial, seed, value, one column a setting; optional metric, split (valid is drawn).
        x: the setting from left to right.
        y: the setting from bottom to top.
        metric: which metric, where there are several.
        is_lower_better: by the metric's name where None.

    Raises:
        DataError: a column is missing, no row has a value, or several metrics are there and none was named.
        ConfigError: a setting is not in the table.
    """
    frame, name, title = of.chosen(scores, "sweep_pairs", [x, y], metric)
    is_lower = of.lower_is_better(name, is_lower_better)
    across, up = of.ordered(frame[x]), of.ordered(frame[y])
    trials = frame["trial"].nunique()
    is_search = min(len(across), len(up)) > 1 and trials > 3 and max(len(across), len(up)) == trials
    if is_search or max(len(across), len(up)) > of.MOST_VALUES:
        return _marks(frame, x, y, title, is_lower)
    kept, others = of.comparable(frame, [x, y])
    if not len(kept):
        kept = frame.assign(place=frame[[x, y]].map(of.said).agg(" | ".join, axis=1))
        others = "The other settings differ from cell to cell."
    best, tied = of.unbeaten_by_best(kept, "place", is_lower_better=is_lower)
    figure = _cells(kept, (x, y), (across, up), title, is_lower, tied)
    cells = len(across) * len(up) - kept["place"].nunique()
    empty = f"{captions.count(cells, 'cell')} without a score." if cells else ""
    return captions.attach(figure, *_findings(kept, (x, y), title, is_lower, best, tied), others, CELLS, empty)


def _cells(
    frame: pd.DataFrame, keys: tuple[str, str], values: tuple[list, list], title: str, is_lower: bool, tied: set[str]
) -> go.Figure:  # fmt: skip
    """The map with its words."""
    across, up = ([of.said(value) for value in part] for part in values)
    x, y = keys
    figure = canvas.panels([""], x_title=of.title(x), y_title=of.title(y), panel_height=int(np.clip(64 * len(up), 150, 560)))
    means = frame.groupby("place")["value"].mean()
    low, high = float(means.min()), float(means.max())
    z = [[float(means.get(f"{a} | {b}", np.nan)) for a in across] for b in up]
    shade = [[(high - v if is_lower else v - low) / ((high - low) or 1) for v in row] for row in z]
    said = [[f"{canvas.safe(of.title(x))} {canvas.safe(a)}, {canvas.safe(of.title(y))} {canvas.safe(b)}" for a in across] for b in up]
    drawn = {"colorscale": GREYS, "zmin": -0.15, "zmax": 1.15, "showscale": False, "xgap": 2, "ygap": 2, "hoverongaps": False}
    hover = f"%{{text}}: {canvas.safe(title)} %{{customdata:.3f}}<extra></extra>"
    shade = [[None if isnan(v) else round(v, 4) for v in row] for row in shade]
    figure.add_trace(go.Heatmap(z=shade, text=said, customdata=np.round(z, 4), **drawn, hovertemplate=hover, name=canvas.safe(title)))
    figure.update_xaxes(tickvals=list(range(len(across))), ticktext=[canvas.safe(a) for a in across], showgrid=False, zeroline=False)
    figure.update_yaxes(tickvals=list(range(len(up))), ticktext=[canvas.safe(b) for b in up], showgrid=False, zeroline=False)
    for (i, b), (j, a) in ((row, column) for row in enumerate(up) for column in enumerate(across)):
        place = f"{a} | {b}"
        if place in means.index:
            ink = "#FFFFFF" if (shade[i][j] or 0) > 0.77 else "#000000"  # on its cell, in every theme
            text = _text(frame[frame["place"] == place], place in tied and frame["seed"].nunique() > 1)
            figure.add_annotation(x=j, y=i, text=text, showarrow=False, font={"size": 13, "color": ink})
    return figure


def _text(rows: pd.DataFrame, is_tied: bool) -> str:
    """`.812 =` above `± .014`."""
    values = by_seed(rows).to_numpy(float)
    sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    places = spread_places(sd) if sd > 1e-9 else 3
    mean = score(float(values.mean()), places)
    below = f"<br>± {score(sd if sd > 1e-9 else 0.0, places)}" if len(values) > 1 else ""
    return f"<b>{mean} =</b>{below}" if is_tied else f"{mean}{below}"


def _findings(frame: pd.DataFrame, keys: tuple[str, str], title: str, is_lower: bool, best: str, tied: set[str]) -> list[str]:
    """Where the best mean stands, how many others are as good, and how the best is against the worst."""
    names = {row["place"]: of.say_settings({key: row[key] for key in keys}) for _, row in frame.drop_duplicates("place").iterrows()}
    rows = frame[frame["place"] == best]
    spread = f"{mean_and_spread(by_seed(rows).to_numpy())}, n = {rows['seed'].nunique()}"
    first = f"The {'lowest' if is_lower else 'highest'} mean {title} is at {names[best]} ({spread})"
    if len(names) == 1:
        return [f"{captions.first_upper(names[best])} is the only pair: {title} {spread}."]
    if frame["seed"].nunique() == 1:
        return [f"{first}; one seed: it cannot be told from luck."]
    others = len(tied) - 1
    share = f"all {others}" if others == len(names) - 1 else f"{others} of the {len(names) - 1}"
    told = f"not told apart from {share} other cells" if others else "and it beats every other cell"
    means = frame.groupby("place")["value"].mean()
    worst = str(means.idxmax() if is_lower else means.idxmin())
    return [f"{first}, {told}.", f"Against the worst, {names[worst]}: {say_change(rows, frame[frame['place'] == worst])}."]


def _marks(frame: pd.DataFrame, x: str, y: str, title: str, is_lower: bool) -> go.Figure:
    """A mark a trial at its place, larger and fuller where it is better."""
    means = frame.groupby("trial").agg(x=(x, "first"), y=(y, "first"), value=("value", "mean")).reset_index()
    reach = float(means["value"].max() - means["value"].min()) or 1.0
    good = (means["value"].max() - means["value"] if is_lower else means["value"] - means["value"].min()) / reach
    figure = canvas.panels([""], x_title=of.title(x), y_title=of.title(y), panel_height=420)
    said = [f"trial {row.trial}: {canvas.safe(of.say_settings({x: row.x, y: row.y}))}" for row in means.itertuples()]
    marker = {"size": (7 + 13 * good).round(1).tolist(), "opacity": (0.25 + 0.75 * good).round(3).tolist(), "color": INK, "line": {"width": 0}}
    hover = f"%{{text}}<br>{canvas.safe(title)} %{{customdata:.3f}}<extra></extra>"
    places = {axis: _on_axis(figure, axis, means[axis]) for axis in ("x", "y")}
    figure.add_trace(go.Scatter(**places, mode="markers", marker=marker, text=said, customdata=means["value"].round(4), hovertemplate=hover))
    best = means.loc[means["value"].idxmin() if is_lower else means["value"].idxmax()]
    first = f"The {'lowest' if is_lower else 'highest'} mean {title} of {captions.count(len(means), 'trial')} is {score(float(best['value']))}"
    first += f", at {of.say_settings({x: best['x'], y: best['y']})}"
    top = means.loc[good.sort_values(ascending=False).index[: max(2, round(len(means) / 4))]]
    ranges = listed([f"{of.title(key)} {_range(top[axis])}" for key, axis in ((x, "x"), (y, "y"))])
    return captions.attach(figure, f"{first}.", f"The best quarter: {ranges}.", "A mark a trial: the larger and fuller, the better.")


def _range(values: pd.Series) -> str:
    """`0.001 to 0.01`, or the words."""
    found = of.ordered(values)
    return f"{of.short(found[0])} to {of.short(found[-1])}" if of.is_number(found) else ", ".join(map(of.said, found))


def _on_axis(figure: go.Figure, axis: str, values: pd.Series) -> list:
    """The values for one axis: numbers (on a log axis where they grow by factors), words as categories."""
    found = of.ordered(values)
    update = figure.update_xaxes if axis == "x" else figure.update_yaxes
    if not of.is_number(found):
        update(type="category", categoryarray=[canvas.safe(of.said(value)) for value in found])
        return [canvas.safe(of.said(value)) for value in values]
    numbers = np.asarray(found, float)
    is_log = of.is_log(found)
    reach = canvas.value_range(numbers, log=is_log)
    update(type="log" if is_log else "linear", range=reach)
    if is_log:
        steps = (1, 2, 5) if reach[1] - reach[0] < 2 else (1,)
        ticks = [step * 10.0**power for power in range(int(np.floor(reach[0])), int(np.ceil(reach[1])) + 1) for step in steps]
        update(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    return [float(value) for value in values]
