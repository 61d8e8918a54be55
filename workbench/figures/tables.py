"""Scores as a table that does not mislead: spread and n in every cell, bold only where nothing else is better, ties named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import isnan
from typing import Any

import pandas as pd

from workbench.figures.captions import is_lower_better
from workbench.figures.cells import TABLE, html_table
from workbench.figures.frames import by_seed, checked, difference, names
from workbench.statistics import mean_and_spread, mean_interval, score

LEVEL = 0.05
COSTS = ("parameters ↓", "s/epoch ↓")


@dataclass(frozen=True)
class ScoreTable:
    """Cells of a score table: one row per variant and metric, with mean, sd, low, high, n, is_bold, is_tied, is_published, source."""

    cells: pd.DataFrame
    metrics: tuple[str, ...]
    seeds: Mapping[str, int] = field(default_factory=dict)  # the usual n of each metric, written in the header
    costs: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # parameters and s/epoch of a variant, where they are known

    @property
    def frame(self) -> pd.DataFrame:
        """The table as plain text: a row per variant, a column per metric."""
        rows = {
            name: {self.header(metric): self._text(name, metric) for metric in self.metrics} | dict(zip(COSTS, self._costs(name), strict=False))
            for name in names(self.cells, "variant")
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("variant")

    def to_csv(self, *args: Any, **options: Any) -> str | None:
        """The numbers behind the table as CSV (pandas' arguments)."""
        return self.cells.to_csv(*args, **({"index": False} | options))

    def header(self, metric: str) -> str:
        """`accuracy ↑ (n = 5)`: the arrow points to better."""
        count = f" (n = {self.seeds[metric]})" if metric in self.seeds else ""
        return f"{metric} {'↓' if is_lower_better(metric) else '↑'}{count}"

    def as_dict(self) -> dict[str, Any]:
        """Header and cells as data, for a report's index: the page that draws them escapes them."""
        variants = names(self.cells, "variant")
        columns = ["variant", *(self.header(metric) for metric in self.metrics), *(COSTS if self.costs else ())]
        return {"columns": columns, "rows": [self._row(name) for name in variants]}

    def _costs(self, variant: str) -> tuple[str, ...]:
        return self.costs.get(variant, ("-", "-")) if self.costs else ()

    def _cell(self, variant: str, metric: str) -> Any:
        found = self.cells[(self.cells["variant"] == variant) & (self.cells["metric"] == metric)]
        return None if not len(found) else next(found.itertuples())

    def _text(self, variant: str, metric: str) -> str:
        cell = self._cell(variant, metric)
        return "-" if cell is None else cell.text + (" =" if cell.is_tied else "")

    def _row(self, variant: str) -> list[dict[str, Any]]:
        found = [self._cell(variant, metric) for metric in self.metrics]
        is_published = any(cell is not None and cell.is_published for cell in found)
        head = {"text": variant, "is_italic": is_published, "source": next((cell.source for cell in found if cell is not None and cell.source), "")}
        head |= {"card": card} if (card := next((cell.card for cell in found if cell is not None and cell.card), "")) else {}
        return [head, *(self._data(cell) for cell in found), *({"text": text} for text in self._costs(variant))]

    def _data(self, cell: Any) -> dict[str, Any]:
        if cell is None:
            return {"text": "-"}
        data = {"text": cell.text, "is_bold": bool(cell.is_bold), "is_tied": bool(cell.is_tied), "is_italic": bool(cell.is_published)}
        data |= numbers_of(cell._asdict())
        return data if isnan(cell.low) else data | {"interval": self._small_interval(cell)}

    def _small_interval(self, cell: Any) -> list[float]:
        """Low, mean and high of a cell as parts (0 to 1) of its column's range, to draw it small."""
        column = self.cells[(self.cells["metric"] == cell.metric) & ~self.cells["is_published"]]
        low = column[["low", "mean"]].min().min()
        reach = (column[["high", "mean"]].max().max() - low) or 1.0
        return [round(float((value - low) / reach), 4) for value in (cell.low, cell.mean, cell.high)]

    def _repr_html_(self) -> str:
        return html_table(self.as_dict())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {TABLE: self.as_dict()}


def score_table(frame: pd.DataFrame, *, metrics: Sequence[str], published: pd.DataFrame | None = None) -> ScoreTable:
    """Scores over seeds: `mean ± sd`, bold where no other variant is better (paired t over seeds, Holm, 5 %), `=` where several are bold.

    A column with one seed is not ranked: one number cannot be better. Published rows are italic and never ranked.

    Args:
        frame: columns variant, seed, metric, value; optional parameters, seconds (of an epoch): what a variant costs, in two columns at the end.
        metrics: the columns of the table, in order.
        published: columns variant, metric, value (a number, or a text such as ".812 (other split)"); optional source, card (that has it).

    Raises:
        DataError: a column is missing, no row has a value, or a metric is in no row.
    """
    from workbench.errors import unknown

    frame = checked(frame, "score_table", "variant", "seed", "metric", "value")
    for metric in metrics:
        if metric not in names(frame, "metric"):
            raise unknown("metric", metric, names(frame, "metric"))
    seeds = {metric: int(frame[frame["metric"] == metric].groupby("variant")["seed"].nunique().max()) for metric in metrics}
    cells = [row for metric in metrics for row in _column(frame[frame["metric"] == metric], metric, seeds[metric])]
    cells += _published(published, metrics)
    return ScoreTable(pd.DataFrame(cells), tuple(metrics), seeds, _costs(frame))


def _costs(frame: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Parameters and seconds an epoch of each variant, the mean over its runs; nothing where the table has neither."""
    if not {"parameters", "seconds"} & set(frame.columns):
        return {}
    known = frame.reindex(columns=["parameters", "seconds"]).apply(pd.to_numeric).groupby(frame["variant"].astype(str), sort=False).mean()
    return {str(name): costs_as_text(row.parameters, row.seconds) for name, row in known.iterrows()} if known.notna().any(axis=None) else {}


def costs_as_text(parameters: float, seconds: float) -> tuple[str, str]:
    """`31,204` and `0.85`; `-` for what is not known."""
    return "-" if isnan(parameters) else f"{parameters:,.0f}", "-" if isnan(seconds) else f"{seconds:.2g}" if seconds < 100 else f"{seconds:,.0f}"


def numbers_of(cell: Mapping[str, Any]) -> dict[str, float]:
    """The numbers behind a cell that are known: mean, sd, low, high, n."""
    found = {name: float(cell[name]) for name in ("mean", "sd", "low", "high") if not isnan(cell[name])}
    return found | {"n": int(cell["n"])} if found else {}


def _column(rows: pd.DataFrame, metric: str, usual: int) -> list[dict[str, Any]]:
    """The cells of one metric."""
    bold = unbeaten(rows, lower_is_better=is_lower_better(metric))
    found = []
    for variant in names(rows, "variant"):
        values = by_seed(rows[rows["variant"] == variant]).to_numpy()
        mean, low, high = mean_interval(values)
        text = mean_and_spread(values) + (f" (n = {len(values)})" if len(values) != usual else "")
        cell = {"variant": variant, "metric": metric, "text": text, "mean": mean, "low": low, "high": high, "n": len(values)}
        cell["sd"] = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        is_bold = variant in bold
        found.append(cell | {"is_bold": is_bold, "is_tied": is_bold and len(bold) > 1, "is_published": False, "source": "", "card": ""})
    return found


def unbeaten(rows: pd.DataFrame, *, lower_is_better: bool = False) -> set[str]:
    """The variants that no other beats: paired differences over shared seeds, p values corrected by Holm over all pairs of the column."""
    variants = names(rows, "variant")
    tests = []
    for first, second in combinations(variants, 2):
        change = difference(rows[rows["variant"] == first], rows[rows["variant"] == second])
        if change is not None and not isnan(change.p):
            tests.append((change.p, second if (change.mean > 0) != lower_is_better else first))
    if not tests:
        return set()
    beaten = set()
    for place, (p, loser) in enumerate(sorted(tests)):
        if p > LEVEL / (len(tests) - place):
            break
        beaten.add(loser)
    seeds = rows.groupby(rows["variant"].astype(str))["seed"].nunique()
    return {name for name in variants if name not in beaten and seeds[name] > 1}


def _published(published: pd.DataFrame | None, metrics: Sequence[str]) -> list[dict[str, Any]]:
    """The cells of published rows."""
    if published is None or not len(published):
        return []
    published = checked(published.rename(columns={"value": "said"}), "score_table's published rows", "variant", "metric", "said")
    nothing = {"mean": float("nan"), "sd": float("nan"), "low": float("nan"), "high": float("nan"), "n": 0}
    flags = {"is_bold": False, "is_tied": False, "is_published": True}
    return [
        {"variant": row["variant"], "metric": row["metric"], "text": _said(row["said"])}
        | nothing
        | flags
        | {"source": str(row.get("source") or ""), "card": str(row.get("card") or "")}
        for row in published.to_dict("records")
        if row["metric"] in metrics
    ]


def _said(value: Any) -> str:
    """A published number as a score, a text as it is."""
    return score(float(value)) if isinstance(value, (int, float)) else str(value)
