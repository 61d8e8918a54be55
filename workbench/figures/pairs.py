"""Who is told apart from whom? Every two variants of a data set in one square."""

from math import isnan
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.errors import unknown
from workbench.figures import canvas, captions
from workbench.figures.compared import LEGEND, TIED, listed
from workbench.figures.dial_map import SHADES
from workbench.figures.frames import checked, names
from workbench.statistics import p_value, score

SIGNS = {"above": "+", "below": "−", "=": "="}
OPPOSITE = {"above": "below", "below": "above", "=": "="}
VALUES = {"above": 1, "=": 0, "below": -1}
MOST_WRITTEN = 9
"""With more variants than these, cells hold their sign only."""


def pair_matrix(frame: pd.DataFrame, *, dataset: str | None = None, metric: str = "score") -> go.Figure:
    """Row against column: + better, − worse, = a tie, and the difference; a sign needs both kinds of luck ruled out (see `workbench.pairing.pairs`).

    Args:
        frame: columns dataset, first, second, mean, low, high, p_holm, groups, unit, seeds, found, verdict; a row a pair.
        dataset: which one, where the table holds several.
        metric: what the differences are, for people.

    Raises:
        DataError: a column is missing, or there is no pair.
        ConfigError: the data set is not in the table, or several are and none was named.
    """
    needed = ("dataset", "first", "second", "mean", "low", "high", "p_holm", "groups", "unit", "seeds", "found", "verdict")
    frame = checked(frame, "pair_matrix", *needed)
    known = names(frame, "dataset")
    chosen = dataset if dataset is not None or len(known) > 1 else known[0]
    if chosen not in known:
        raise unknown("data set", str(chosen), known)
    rows = frame[frame["dataset"] == chosen]
    variants = list(dict.fromkeys([*rows["first"], *rows["second"]]))
    figure = canvas.panels([""], x_title="less: the variant with this number", y_title="", panel_height=max(150, 46 * len(variants)))
    _draw(figure, rows, variants)
    places = list(range(len(variants)))
    labels = [f"{canvas.safe(name)}  {place + 1}" for place, name in enumerate(variants)]
    plain = {"tickvals": places, "showgrid": False, "zeroline": False}
    figure.update_yaxes(ticktext=labels, range=[len(variants) - 0.5, -0.5], **plain)
    figure.update_xaxes(ticktext=[str(place + 1) for place in places], range=[-0.5, len(variants) - 0.5], **plain)
    read = f"A cell: row less column in {metric}; + light: better, − dark: worse, over samples and over seeds (Holm, 5 %, all pairs); = grey: a tie. "
    return captions.attach(figure, *_findings(str(chosen), rows), read + LEGEND, _drawn(rows))


def _draw(figure: go.Figure, rows: pd.DataFrame, variants: list[str]) -> None:
    """Both halves of the square: a pair read from either side."""
    shades = np.full((len(variants), len(variants)), np.nan)
    for row in rows.itertuples():
        for i, j, sign, verdict in ((row.first, row.second, 1, row.verdict), (row.second, row.first, -1, OPPOSITE[row.verdict])):
            y, x = variants.index(i), variants.index(j)
            shades[y, x] = VALUES[verdict]
            _write(figure, x, y, row, sign, verdict, len(variants))
    look = {"zmin": -1, "zmax": 1, "colorscale": SHADES, "showscale": False, "xgap": 2, "ygap": 2, "hoverinfo": "skip"}
    figure.add_trace(go.Heatmap(z=shades, name="verdicts", **look))


def _write(figure: go.Figure, x: int, y: int, row: Any, sign: int, verdict: str, count: int) -> None:
    """Sign and difference in a cell."""
    mark = SIGNS[verdict] + (TIED[row.found] if verdict == "=" else "")
    low, high = sorted((sign * row.low, sign * row.high))
    span = "" if isnan(row.low) else f"95 % over samples {score(low, sign=True)} to {score(high, sign=True)}, "
    text = f"<b>{mark}</b>" if count > MOST_WRITTEN else f"<b>{mark}</b><br>{score(sign * row.mean, sign=True)}"
    color = "#FFFFFF" if verdict == "below" else "#000000"
    said = f"{score(sign * row.mean, sign=True)}: {span}{p_value(row.p_holm)}"
    figure.add_annotation(x=x, y=y, text=text, showarrow=False, font={"size": 13, "color": color}, hovertext=said)


def _findings(dataset: str, rows: pd.DataFrame) -> list[str]:
    """How many are told apart, by which kind of luck not, and everyone who is not beaten."""
    told = rows[rows["verdict"] != "="]
    found = [f"{dataset}: {_of(len(told), len(rows))} told apart over samples and seeds."]
    alone = [f"{int((rows['found'] == kind).sum())} over {kind} only" for kind in ("samples", "seeds") if (rows["found"] == kind).any()]
    found += [f"Ties: {', '.join([*alone, str(int((rows['found'] == 'neither').sum())) + ' over neither'])}."] if len(told) < len(rows) else []
    if len(told):
        row = told.loc[told["mean"].abs().idxmax()]
        better, worse = (row["first"], row["second"]) if row["verdict"] == "above" else (row["second"], row["first"])
        low, high = sorted((abs(row["low"]), abs(row["high"])))
        found.append(f"The largest is {score(abs(row['mean']))} (95 % {score(low)} to {score(high)}): {better} is better than {worse}.")
    beaten = {row.first if row.verdict == "below" else row.second for row in told.itertuples()}
    top = [name for name in dict.fromkeys([*rows["first"], *rows["second"]]) if name not in beaten]
    word = "all tie" if len(top) > 1 and not len(told) else "they tie" if len(top) > 1 else "alone"
    return [*found, f"Not beaten by any: {listed(top)} ({word})."]


def _of(told: int, pairs: int) -> str:
    return f"the one pair is{'' if told else ' not'}" if pairs == 1 else f"{told or 'none'} of {pairs} pairs {'are' if told > 1 else 'is'}"


def _drawn(rows: pd.DataFrame) -> str:
    """Seeds, and what was drawn."""
    n = int(rows["groups"].max())
    drawn = f"{n:,} groups (videos, speakers), drawn whole" if rows["unit"].iloc[0] == "group" else f"{n:,} samples, each its own group"
    seeds = int(rows["seeds"].min())
    return f"{captions.count(seeds, 'seed')}{': nothing is told apart over seeds' if seeds < 2 else ''}; {drawn}."
