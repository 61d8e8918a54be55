"""All runs as one table: method, data set, rule; mean, spread, interval, seeds, cost; published numbers below, never ranked."""

from collections.abc import Iterable
from math import isnan
from typing import Any

import pandas as pd

from workbench.figures.captions import is_lower_better
from workbench.figures.exports import TextTable, texts
from workbench.figures.frames import checked, names
from workbench.figures.tables import costs_as_text, numbers_of, unbeaten
from workbench.statistics import mean_and_spread, mean_interval, p_value, score

COLUMNS = ("dataset", "variant", "method", "balance", "seed", "metric", "title", "value", "parameters", "seconds")
ONE_SEED = "One seed each: nothing is ranked, for one number cannot be better than another."
TIED = {"both": "", "samples": " †", "seeds": " ‡", "neither": ""}
"""What stands behind a tie: one kind of luck alone would have told the two apart."""
LEGEND = "†: told apart over samples only (other trainings could turn it), ‡: over seeds only (other samples could). Both count as a tie."


def comparison_table(frame: pd.DataFrame, published: pd.DataFrame | None = None) -> TextTable:
    """A row a data set and variant: mean ± sd over seeds, 95 % interval, n, cost; bold where no other is found better, `=` where several are.

    Args:
        frame: a row a run: columns dataset, variant, method, balance, seed, metric, title (the metric's name for people), value, parameters, seconds
            (an epoch; nan where unknown).
        published: columns dataset, variant, value, source: italic rows at the end of each block.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "comparison_table", *COLUMNS)
    is_one = frame["metric"].nunique() == 1
    columns = ("variant", _titled(frame) if is_one else "score", "n", "parameters ↓", "s/epoch ↓")
    rows: list[tuple[dict[str, Any], ...]] = []
    numbers: list[dict[str, Any]] = []
    blocks = []
    for dataset, block in frame.groupby("dataset", sort=False):
        blocks.append(len(rows))
        rows.append(_head(str(dataset), "" if is_one else _titled(block), columns))
        found = _numbers(str(dataset), block)
        rows += [_row(row, found) for row in found]
        numbers += found
        for row in [] if published is None else published[published["dataset"] == dataset].to_dict("records"):
            printed = {"text": score(float(row["value"])), "is_italic": True}
            rows.append(({"text": row["variant"], "is_italic": True, "source": row["source"]}, printed, *texts("", "", "")))
            keys = {"dataset": dataset, "variant": row["variant"], "metric": block["metric"].iloc[0]}
            numbers.append({**keys, "mean": float(row["value"]), "is_published": True, "source": row["source"]})
    note = ONE_SEED if frame.groupby(["dataset", "variant"])["seed"].nunique().max() < 2 else ""
    return TextTable(columns, tuple(rows), pd.DataFrame(numbers), note, tuple(blocks))


def _head(dataset: str, metric: str, columns: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    """The row that begins a data set's block."""
    return ({"text": dataset, "source": metric}, *texts(*("" for _ in columns[1:])))


def _titled(block: pd.DataFrame) -> str:
    """`Acc-7 ↑`: the arrow points to better."""
    return f"{block['title'].iloc[0]} {'↓' if is_lower_better(block['metric'].iloc[0]) else '↑'}"


def _numbers(dataset: str, block: pd.DataFrame) -> list[dict[str, Any]]:
    """The numbers of each variant of a data set."""
    metric = block["metric"].iloc[0]
    top = unbeaten(block, lower_is_better=is_lower_better(metric))
    found = []
    for variant in names(block, "variant"):
        runs = block[block["variant"] == variant]
        values = runs["value"].to_numpy(float)
        mean, low, high = mean_interval(values)
        facts = {"dataset": dataset, "variant": variant, "method": runs["method"].iloc[0], "balance": runs["balance"].iloc[0], "metric": metric}
        spread = {"mean": mean, "sd": float(values.std(ddof=1)) if len(values) > 1 else float("nan"), "low": low, "high": high, "n": len(values)}
        costs = {"parameters": float(runs["parameters"].mean()), "seconds": float(runs["seconds"].mean()), "text": mean_and_spread(values)}
        marks = {"is_unbeaten": variant in top, "is_tied": variant in top and len(top) > 1, "is_published": False, "source": ""}
        found.append(facts | spread | costs | marks)
    return found


def _row(row: dict[str, Any], block: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    span = "" if isnan(row["low"]) else f"95 % {score(row['low'])} to {score(row['high'])}"
    cell = {"text": row["text"], "is_bold": row["is_unbeaten"], "is_tied": row["is_tied"], "source": span} | numbers_of(row) | _small(row, block)
    # Method and rule stand below a name that does not say them.
    rule = "" if row["balance"] == "none" else row["balance"]
    unsaid = ", ".join(part for part in (row["method"], rule) if part and part not in row["variant"])
    costs = costs_as_text(row["parameters"], row["seconds"])
    return ({"text": row["variant"], "source": unsaid}, cell, *texts(row["n"], *costs))


def _small(row: dict[str, Any], block: list[dict[str, Any]]) -> dict[str, Any]:
    """The interval as parts of its block's range, to draw it small."""
    if isnan(row["low"]):
        return {}
    low = min(other[key] for other in block for key in ("low", "mean") if not isnan(other[key]))
    reach = (max(other[key] for other in block for key in ("high", "mean") if not isnan(other[key])) - low) or 1.0
    return {"interval": [round((row[key] - low) / reach, 4) for key in ("low", "mean", "high")]}


def pairs_table(frame: pd.DataFrame) -> TextTable:
    """A row a pair of variants: the difference over samples and over seeds, each with interval and Holm's p, McNemar, and the verdict.

    Args:
        frame: see `workbench.pairing.pairs`.

    Raises:
        DataError: a column is missing, or there is no pair.
    """
    needed = ("dataset", "title", "first", "second", "mean", "low", "high", "p_holm", "groups", "unit", "seeds", "seeds_mean")
    frame = checked(frame, "pairs_table", *needed, "seeds_low", "seeds_high", "seeds_p_holm", "mcnemar", "found", "verdict")
    titles = names(frame, "title")
    columns = ("first", titles[0] if len(titles) == 1 else "difference", "p, samples", "over seeds, 95 %", "p, seeds", "McNemar", "first is")
    rows: list[tuple[dict[str, Any], ...]] = []
    starts = []
    for dataset, block in frame.groupby("dataset", sort=False):
        starts.append(len(rows))
        rows.append(_head(str(dataset), "" if len(titles) == 1 else block["title"].iloc[0], columns))
        rows += [_pair_row(row) for row in block.itertuples()]
    read = "Over samples: whole groups (videos, speakers) drawn, or flipped in sign; over seeds: Student's t for pairs; p after Holm over all pairs "
    read += "of a data set, intervals of one pair by itself. McNemar: in how many seeds p < .05, samples counted one by one, not corrected. " + LEGEND
    return TextTable(columns, tuple(rows), frame, read, tuple(starts))


def _pair_row(row: Any) -> tuple[dict[str, Any], ...]:
    over_seeds = "one seed" if row.seeds < 2 else f"{score(row.seeds_low, sign=True)} to {score(row.seeds_high, sign=True)}"
    over_samples = "one group" if isnan(row.low) else f"95 % {score(row.low, sign=True)} to {score(row.high, sign=True)}"
    mcnemar = "-" if row.mcnemar < 0 else f"{row.mcnemar} of {row.seeds}"
    said = {"above": "better", "below": "worse", "=": f"={TIED[row.found]}"}[row.verdict]
    # The column says that it is p.
    over, p = (p_value(one).removeprefix("p ").removeprefix("= ") if not isnan(one) else "-" for one in (row.p_holm, row.seeds_p_holm))
    pair, change = {"text": row.first, "source": f"less {row.second}"}, {"text": score(row.mean, sign=True), "source": over_samples}
    seeds = {"text": score(row.seeds_mean, sign=True), "source": over_seeds}
    return (pair, change, *texts(over), seeds, *texts(p, mcnemar, said))


def listed(variants: Iterable[str], most: int = 6) -> str:
    """Names, the first few of many."""
    found = list(variants)
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")
