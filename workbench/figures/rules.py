"""Which balancing rule beats no rule, the plain rule, and one modality alone? A picture of differences and a table with marks."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.cells import TABLE, html_table
from workbench.figures.dial_lines import CUT, shown_range
from workbench.figures.frames import by_seed, checked, names
from workbench.figures.palette import INK, PAPER, QUIET
from workbench.statistics import mean_and_spread, mean_interval, score

MARKS = {"above": "▲", "below": "▼", "=": "="}
"""Better, worse, no difference found."""

KINDS = {"none": "no rule", "uniform": "uniform losses", "single": "one modality alone"}
"""What a rule is held against."""

COLUMNS = ("dataset", "method", "metric", "rule", "against", "kind", "mean", "low", "high", "n", "verdict")


def rule_effects(frame: pd.DataFrame) -> go.Figure:
    """Each rule's score less the score without a rule: mean and 95 % interval, a panel a data set and method; one modality alone is a row.

    Args:
        frame: a row a comparison (see `workbench.rules_lab.effects`): columns dataset, method, metric, rule, against, kind (`none`, `uniform` or
            `single`), mean, low, high, n, verdict (`above`: better, `below`, `=`).

    Raises:
        DataError: a column is missing, or no rule is compared with none.
    """
    frame = checked(frame, "rule_effects", *COLUMNS)
    against_none = frame[frame["kind"] == "none"]
    if not len(against_none):
        raise DataError("rule_effects got no comparison with no rule", expected="rows of kind none")
    cases = list(dict.fromkeys(zip(frame["dataset"], frame["method"], strict=True)))
    rows = names(against_none[~against_none["rule"].str.endswith(" alone")], "rule")
    titles = [f"{dataset}, {method}" for dataset, method in cases]
    figure = canvas.panels(titles, x_title="score less no rule", y_title="", panel_height=44 * (len(rows) + 2))
    for place, (dataset, method) in enumerate(cases):
        figure.layout.annotations[place].text = f"<b>{canvas.safe(dataset)}<br>{canvas.safe(method)}</b>"
    figure.update_yaxes(
        tickvals=list(range(len(rows) + 1)), ticktext=[*map(canvas.safe, rows), "one modality"], range=[len(rows) + 0.6, -0.6], zeroline=False
    )
    is_cut = [_draw_case(figure, _of(frame, *case), rows, canvas.cell(place, titles)) for place, case in enumerate(cases)]
    read = "Bars: 95 % intervals, paired by seed; filled: found for all rules of a panel at once (Holm, 5 %), hollow: not. "
    read += "An interval is of one rule by itself. †: not found above one modality alone (diamond: that modality less no rule)."
    return captions.attach(figure, *(say_case(_of(frame, *case)) for case in cases), read, CUT if any(is_cut) else "")


def _of(frame: pd.DataFrame, dataset: str, method: str) -> pd.DataFrame:
    return frame[(frame["dataset"] == dataset) & (frame["method"] == method)]


def _draw_case(figure: go.Figure, case: pd.DataFrame, rows: list[str], cell: dict[str, int]) -> bool:
    """One panel; True where a bar is cut at its edge."""
    found = case[case["kind"] == "none"]
    not_above = set(case[(case["kind"] == "single") & (case["verdict"] != "above")]["rule"])
    reach, is_cut = shown_range([0.0, *found["mean"]], [*found["low"], *found["high"]])
    reach[1] += 0.08 * (reach[1] - reach[0])
    figure.add_vline(x=0, line={"color": INK, "width": 1}, **cell)
    for row in found.itertuples():
        is_single = row.rule.endswith(" alone")
        place = len(rows) if is_single else rows.index(row.rule)
        color = QUIET if is_single else INK
        marker = {"symbol": "diamond" if is_single else "circle", "size": 11, "line": {"color": color, "width": 2}}
        marker["color"] = color if is_single or row.verdict != "=" else PAPER
        low, high = (row.mean, row.mean) if isnan(row.low) else (row.low, row.high)
        bar = {"type": "data", "symmetric": False, "array": [high - row.mean], "arrayminus": [row.mean - low], "color": color, "thickness": 2}
        hover = f"{canvas.safe(row.rule)}: %{{x:+.3f}}<extra></extra>"
        figure.add_trace(
            go.Scatter(x=[row.mean], y=[place], mode="markers", marker=marker, error_x=bar, name=canvas.safe(row.rule), hovertemplate=hover), **cell
        )
        said = score(row.mean, sign=True) + (f" {canvas.safe(row.rule)}" if is_single else " †" if row.rule in not_above else "")
        # Beside the zero line, not on it: a name to the left where it would leave the panel.
        side = "left" if row.mean < reach[0] + 0.55 * (reach[1] - reach[0]) else "right"
        figure.add_annotation(
            x=row.mean, y=place, text=said, xanchor=side, yanchor="bottom", yshift=4, showarrow=False, font={"size": 13, "color": INK}, **cell
        )
    figure.update_xaxes(range=reach, nticks=5, **cell)
    return is_cut


def say_case(case: pd.DataFrame) -> str:
    """One sentence of one data set and method: the rules above and below no rule, above the plain rule, and above one modality alone."""
    where = f"{case['dataset'].iloc[0]}, {case['method'].iloc[0]}"
    parts = []
    for kind, title in KINDS.items():
        rows = case[(case["kind"] == kind) & ~case["rule"].str.endswith(" alone") & (case["rule"] != "none")]
        if not len(rows):
            continue
        other = rows["against"].iloc[0] if kind == "single" else title
        told = [f"{word} {other}: {_listed(rows[rows['verdict'] == word], kind)}" for word in ("above", "below") if (rows["verdict"] == word).any()]
        ties = int((rows["verdict"] == "=").sum())
        told += [f"no difference to {other} found for {'any' if ties == len(rows) else ties} of {captions.count(len(rows), 'rule')}"] if ties else []
        parts.append(", ".join(told))
    n = int(case["n"].max())
    return f"{where}: {'; '.join(parts)} (n = {n}{', one seed tells nothing apart' if n < 2 else '; Holm, 5 %'})."


def _listed(rows: pd.DataFrame, kind: str) -> str:
    """Names, with the difference where the picture shows it."""
    return ", ".join(f"{row.rule} ({score(row.mean, sign=True)})" if kind == "none" else row.rule for row in rows.itertuples())


@dataclass(frozen=True)
class RulesTable:
    """A block a data set and method, a row a rule: score, and the difference to each reference with its mark."""

    cells: pd.DataFrame
    columns: tuple[str, ...]

    NOTE = (
        "▲ better, ▼ worse, = no difference found, for all rules of a block at once (paired by seed, Holm, 5 %). Below: its own 95 % interval; "
        "a = may stand over one without zero. †: not found above one modality alone. No row is the best by itself: look for what it is above."
    )

    @property
    def frame(self) -> pd.DataFrame:
        """The table as plain text, a difference with its interval."""
        shown = self.cells[["data set", "method", *self.columns]].copy()
        for column in self.columns[2:]:
            shown[column] = [f"{text} ({span})" if span else text for text, span in zip(shown[column], self.cells[f"{column}, span"], strict=True)]
        return shown

    def to_csv(self, *args: Any, **options: Any) -> str | None:
        """The cells as CSV (pandas' arguments)."""
        return self.frame.to_csv(*args, **({"index": False} | options))

    def as_dict(self) -> dict[str, Any]:
        """Header and cells as data, for a report's index."""
        rows: list[list[dict[str, Any]]] = []
        blocks = []
        for (dataset, method), block in self.cells.groupby(["data set", "method"], sort=False):
            blocks.append(len(rows))
            rows.append([{"text": f"{dataset}, {method}", "source": block["metric"].iloc[0]}, *({"text": ""} for _ in self.columns[1:])])
            rows += [self._row(row) for row in block.to_dict("records")]
        return {"columns": list(self.columns), "rows": rows, "note": self.NOTE, "blocks": blocks}

    def _row(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        score_cell = {"text": row[self.columns[1]]} | ({"interval": row["interval"]} if row["interval"] else {})
        return [{"text": row["rule"]}, score_cell, *({"text": row[name], "source": row[f"{name}, span"]} for name in self.columns[2:])]

    def _repr_html_(self) -> str:
        return html_table(self.as_dict())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {TABLE: self.as_dict()}

    def __repr__(self) -> str:
        return self.frame.to_string(index=False)


def rules_table(scores: pd.DataFrame, effects: pd.DataFrame, *, ceiling: Mapping[str, float] | None = None) -> RulesTable:
    """Scores over seeds (mean ± sd, interval) with what each rule is above and below; one modality alone and no rule are rows of their own.

    Args:
        scores: columns dataset, method, metric, variant, seed, value; of single modalities those that are rows (`text alone`).
        effects: see `rule_effects`.
        ceiling: best attainable score by data set, where it is known: a row.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    scores = checked(scores, "rules_table", "dataset", "method", "metric", "variant", "seed", "value")
    effects = checked(effects, "rules_table", *COLUMNS)
    usual = int(scores.groupby(["dataset", "method", "variant"])["seed"].nunique().max())
    header = ("rule", f"score (n = {usual})", "less none", "less uniform", "less one modality")
    rows: list[dict[str, Any]] = []
    for (dataset, method), case in scores.groupby(["dataset", "method"], sort=False):
        metric = case["metric"].iloc[0]
        labels = {"data set": dataset, "method": method, "metric": f"{metric} {'↓' if captions.is_lower_better(metric) else '↑'}"}
        own = [_row(case[case["variant"] == name], name, _of(effects, dataset, method), usual, header) for name in names(case, "variant")]
        if ceiling and dataset in ceiling:
            empty = {f"{column}{part}": "" for column in header[2:] for part in ("", ", span")}
            own.append({"rule": "ceiling: best attainable", header[1]: score(ceiling[dataset]), **empty, "values": None})
        rows += [labels | row | {"interval": part} for row, part in zip(own, _parts(own), strict=True)]
    return RulesTable(pd.DataFrame(rows), header)


def _row(rows: pd.DataFrame, name: str, effects: pd.DataFrame, usual: int, header: tuple[str, ...]) -> dict[str, Any]:
    """One variant's cells."""
    values = by_seed(rows).to_numpy()
    text = mean_and_spread(values) + (f" (n = {len(values)})" if len(values) != usual else "")
    found = effects[effects["rule"] == name].set_index("kind")
    cells = {}
    for kind, column in zip(KINDS, header[2:], strict=True):
        row = found.loc[kind] if kind in found.index else None
        cells[column] = "" if row is None else f"{MARKS[row['verdict']]} {score(row['mean'], sign=True)}"
        cells[f"{column}, span"] = "" if row is None or isnan(row["low"]) else f"{score(row['low'], sign=True)} to {score(row['high'], sign=True)}"
    is_marked = "single" in found.index and found.loc["single", "verdict"] != "above"
    return {"rule": f"{name} †" if is_marked else name, header[1]: text, **cells, "values": mean_interval(values)}


def _parts(rows: list[dict[str, Any]]) -> list[tuple[float, ...]]:
    """Low, mean and high of each score as parts of its block's range, to draw it small; nothing where there is no interval."""
    # A modality that knows little alone would make all others look alike.
    drawn = [
        row["values"] is not None and not isnan(row["values"][1]) and not (place and row["rule"].endswith(" alone")) for place, row in enumerate(rows)
    ]
    known = [row["values"] for row, is_there in zip(rows, drawn, strict=True) if is_there]
    low, high = min((span[1] for span in known), default=0.0), max((span[2] for span in known), default=1.0)
    reach = (high - low) or 1.0
    order = (1, 0, 2)
    return [tuple(round((row["values"][i] - low) / reach, 4) for i in order) if is_there else () for row, is_there in zip(rows, drawn, strict=True)]
