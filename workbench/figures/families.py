"""Which strategy gives what, at what cost?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.cells import TABLE, html_table
from workbench.figures.frames import by_seed, checked, names
from workbench.figures.palette import INK, QUIET
from workbench.figures.tables import ScoreTable, score_table, unbeaten
from workbench.statistics import mean_and_spread, mean_interval, p_value, score

MOST_NAMED = 8
"""With more strategies than these only some are named in the figure."""

COSTS = {"parameters": "parameters", "seconds": "s/epoch", "memory": "memory [MB]"}
"""Columns of cost, and what they are called."""

MARKS = ("circle", "x", "diamond-open", "star", "cross", "hexagon-open", "square-open", "triangle-down-open")
"""A mark a family; in ink, for hue is for modalities."""


@dataclass(frozen=True)
class StrategiesTable:
    """A row a strategy: its family, its score as in a score table, its cost."""

    scores: ScoreTable
    facts: pd.DataFrame

    @property
    def frame(self) -> pd.DataFrame:
        """The table as plain text."""
        return pd.concat([self.facts[["family"]], self.scores.frame, self.facts.drop(columns="family")], axis=1)

    def to_csv(self, *args: Any, **options: Any) -> str | None:
        """The numbers behind the scores and the costs as CSV (pandas' arguments)."""
        return self.scores.cells.merge(self.facts, left_on="variant", right_index=True).to_csv(*args, **({"index": False} | options))

    def as_dict(self) -> dict[str, Any]:
        """Header and cells as data, for a report's index."""
        whole = self.scores.as_dict()
        costs = [column for column in self.facts if column != "family"]
        rows = [self._row(cells, costs) for cells in whole["rows"]]
        return {"columns": ["strategy", "family", *whole["columns"][1:], *(f"{cost} ↓" for cost in costs)], "rows": rows}

    def _row(self, cells: list[dict[str, Any]], costs: list[str]) -> list[dict[str, Any]]:
        facts = self.facts.loc[cells[0]["text"]]
        return [cells[0], {"text": facts["family"].replace("_", "-")}, *cells[1:], *({"text": facts[cost]} for cost in costs)]

    def _repr_html_(self) -> str:
        return html_table(self.as_dict())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {TABLE: self.as_dict()}


def strategies_table(frame: pd.DataFrame, *, metric: str = "score") -> StrategiesTable:
    """Strategies with score (mean ± sd, interval, bold where none is better, ties marked), parameters, seconds an epoch and memory.

    Args:
        frame: a row a run: columns variant, family, seed, value (the score), parameters; optional seconds (an epoch), memory (of a training step)
            [bytes].
        metric: what the score is; the arrow in the header follows from its name.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "strategies_table", "variant", "family", "seed", "value", "parameters")
    scores = score_table(frame[["variant", "seed", "value"]].assign(metric=metric), metrics=[metric])  # the costs are written here
    rows = {}
    for variant in names(frame, "variant"):
        runs = frame[frame["variant"] == variant]
        costs = {title: _said(runs[column], column) for column, title in COSTS.items() if column in frame.columns}
        rows[variant] = {"family": str(runs["family"].iloc[0])} | costs
    return StrategiesTable(scores, pd.DataFrame.from_dict(rows, orient="index"))


def _said(values: pd.Series, column: str) -> str:
    """A cost as a cell: counts whole, seconds to two digits, megabytes to one."""
    found = values.dropna().to_numpy(float)
    if not len(found):
        return "-"
    mean = float(found.mean())
    mean = mean / 1e6 if column == "memory" else mean
    return f"{mean:,.0f}" if column == "parameters" else f"{mean:.2g}" if mean < 1 else f"{mean:,.1f}"


def score_against_cost(frame: pd.DataFrame, *, metric: str = "score", cost: str = "parameters") -> go.Figure:
    """Each strategy's score (mean over seeds, with its 95 % interval) against its cost on a log axis; the mark tells the family.

    Args:
        frame: as for `strategies_table`.
        metric: what the score is.
        cost: which column is the cost: parameters, seconds or memory.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "score_against_cost", "variant", "family", "seed", "value", cost)
    frame = frame.assign(**{cost: frame[cost] / (1e6 if cost == "memory" else 1)})
    frame = checked(frame[frame[cost] > 0], f"score_against_cost (rows whose {cost} are above zero)")
    table = _points(frame, cost)
    marks = dict(zip(names(frame, "family"), MARKS * len(frame), strict=False))
    figure = canvas.panels([""], x_title=f"{COSTS.get(cost, cost)} (log scale)", y_title=metric, panel_height=460)
    x_range, y_range = (
        canvas.value_range(table["cost"].to_numpy(), log=True, pad=0.12),
        canvas.value_range(table[["low", "high"]].to_numpy(), pad=0.08),
    )
    figure.update_xaxes(type="log", range=x_range, **_cost_ticks(x_range))
    figure.update_yaxes(range=y_range)
    for family, rows in table.groupby("family", sort=False):
        _draw_points(figure, rows, str(family), marks[str(family)])
    named = table if len(table) <= MOST_NAMED else table.loc[_worth_naming(table, captions.is_lower_better(metric))]
    _label_points(figure, table, named.index, x_range, y_range)
    read = "Marks: mean over seeds; bar: its 95 % interval; one mark a family."
    read += "" if len(named) == len(table) else " Named: the best at its cost or less, the worst and the dearest; point at any other."
    return captions.attach(figure, *_findings(frame, table, metric, cost), read, captions.MEMORY if cost == "memory" else "")


def _cost_ticks(x_range: list[float]) -> dict[str, Any]:
    """Whole numbers: powers of ten; where these are fewer than three, their 2 and 5 too, or all between (plotly would write a lone 2 for 200,000)."""
    powers = range(int(np.floor(x_range[0])), int(np.ceil(x_range[1])))
    shown: list[float] = []
    for steps in ((1,), (1, 2, 5), range(1, 10)):
        shown = [step * 10.0**power for power in powers for step in steps if x_range[0] <= np.log10(step) + power <= x_range[1]]
        if len(shown) >= 3:
            break
    return {"tickvals": shown, "ticktext": [f"{place:,.0f}" if place >= 10 else f"{place:g}" for place in shown]}


def _points(frame: pd.DataFrame, cost: str) -> pd.DataFrame:
    """A row a strategy: family, cost (mean), mean, low, high of the score."""
    rows = {}
    for variant in names(frame, "variant"):
        runs = frame[frame["variant"] == variant]
        mean, low, high = mean_interval(by_seed(runs).to_numpy())
        low, high = (mean, mean) if np.isnan(low) else (low, high)
        rows[variant] = {"family": str(runs["family"].iloc[0]), "cost": float(runs[cost].mean()), "mean": mean, "low": low, "high": high}
    return pd.DataFrame.from_dict(rows, orient="index")


def _draw_points(figure: go.Figure, rows: pd.DataFrame, family: str, symbol: str) -> None:
    """The strategies of one family."""
    up, down = (rows["high"] - rows["mean"]).to_numpy(), (rows["mean"] - rows["low"]).to_numpy()
    bar = {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "color": QUIET, "thickness": 1.2, "width": 4}
    said = [f"{canvas.safe(name)} ({canvas.safe(family)})" for name in rows.index]
    marker = {"symbol": symbol, "size": 11, "color": INK, "line": {"width": 1.5, "color": INK}}
    hover = "%{customdata}<br>%{x:,.3g}: %{y:.3f}<extra></extra>"
    drawn = {"mode": "markers", "marker": marker, "customdata": said, "error_y": bar, "hovertemplate": hover}
    figure.add_trace(go.Scatter(x=rows["cost"].to_numpy(), y=rows["mean"].to_numpy(), name=canvas.safe(family.replace("_", "-")), **drawn))
    figure.update_layout(showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "font": {"size": 14}})


def _worth_naming(table: pd.DataFrame, is_low: bool) -> list[str]:
    """The strategies that nothing as cheap is better than, the worst and the dearest."""
    gain = -table["mean"] if is_low else table["mean"]
    front = [name for name in table.index if gain[name] >= gain[table["cost"] <= table.loc[name, "cost"]].max()]
    return list(dict.fromkeys([*front, str(gain.idxmin()), str(table["cost"].idxmax())]))


def _label_points(figure: go.Figure, table: pd.DataFrame, named: Iterable[str], x_range: list[float], y_range: list[float]) -> None:
    """Names beside their marks, where they cover neither another name nor a mark."""
    wide, tall = canvas.WIDTH - canvas.MARGIN["l"] - canvas.MARGIN["r"], 460
    x = (np.log10(table["cost"].to_numpy()) - x_range[0]) / (x_range[1] - x_range[0]) * wide
    y = (y_range[1] - table["mean"].to_numpy()) / (y_range[1] - y_range[0]) * tall
    taken = [(a - 7, b - 7, a + 7, b + 7) for a, b in zip(x, y, strict=True)]
    for name in named:
        place = table.index.get_loc(name)
        width = 6.4 * len(str(name)) + 4
        options = [_box(x[place], y[place], width, side, drop) for drop in (0, -13, 13, -26, 26, -39, 39) for side in (1, -1)]
        inside = [box for box in options if box[0] > 0 and box[2] < wide and box[1] > 0 and box[3] < tall] or options
        best = min(inside, key=lambda box: sum(_overlap(box, other) for other in taken))
        taken.append(best)
        shift = {"xshift": round((best[0] + best[2]) / 2 - x[place], 1), "yshift": round(y[place] - (best[1] + best[3]) / 2, 1)}
        text = {"text": canvas.safe(str(name)), "font": {"size": 12, "color": INK}, "showarrow": False}
        figure.add_annotation(x=float(np.log10(table["cost"].iloc[place])), y=float(table["mean"].iloc[place]), **text, **shift)


def _box(x: float, y: float, width: float, side: int, drop: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a name right (1) or left (-1) of a mark."""
    left = x + 10 if side > 0 else x - 10 - width
    return left, y + drop - 8, left + width, y + drop + 8


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """The area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _findings(frame: pd.DataFrame, table: pd.DataFrame, metric: str, cost: str) -> list[str]:
    """The highest mean, the cheapest that no other beats, and whether cost and score go together."""
    is_low = captions.is_lower_better(metric)
    best = str(table["mean"].idxmin() if is_low else table["mean"].idxmax())
    said = [f"{best} has the {'lowest' if is_low else 'highest'} mean {metric} ({_mean(frame, best)}) with {_cost(table, best, cost)}"]
    tied = unbeaten(frame, lower_is_better=is_low)
    if tied:
        cheapest = min(tied, key=lambda name: table.loc[name, "cost"])
        ties = (
            ""
            if cheapest == best
            else f"; the cheapest that no other beats is {cheapest} ({_mean(frame, cheapest)}) with {_cost(table, cheapest, cost)}"
        )
        said[0] += ties or ", and none that it ties with is cheaper" if len(tied) > 1 else ", and it beats all others"
    return [said[0] + ".", _together(table, cost)]


def _mean(frame: pd.DataFrame, variant: str) -> str:
    return mean_and_spread(by_seed(frame[frame["variant"] == variant]).to_numpy())


def _cost(table: pd.DataFrame, variant: str, cost: str) -> str:
    """`579 parameters`, `1.3 s an epoch`, `20 MB`."""
    value = float(table.loc[variant, "cost"])
    number = f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
    return f"{number} {_units().get(cost, cost)}"


def _units() -> Mapping[str, str]:
    return {"parameters": "parameters", "seconds": "s an epoch", "memory": "MB a training step"}


def _together(table: pd.DataFrame, cost: str) -> str:
    """The rank correlation of cost and score over the strategies."""
    from scipy import stats

    count = captions.count(len(table), "strategy", "strategies")
    if len(table) < 4 or table["mean"].nunique() == 1 or table["cost"].nunique() == 1:
        return f"{count}."
    found = stats.spearmanr(table["cost"], table["mean"])
    word = "go together" if found.pvalue < 0.05 else "are not found to go together"
    rank = f"rank correlation {score(float(found.statistic), 2, sign=True)}, {p_value(float(found.pvalue))}"
    return f"Over {count} {COSTS.get(cost, cost)} and score {word} ({rank})."
