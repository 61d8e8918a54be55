"""The questions of `05_mldfa`: is it better at an equal budget, which of its parts do the work, and do its views agree with what was planted?

lags = followed_lags([0.0, 0.5, 1.0], seeds=3)
figures.lag_recovery(lags)
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
import xarray as xr

from workbench import methods
from workbench.data.batch import Dataset
from workbench.experiments import Results
from workbench.probes.by_class import by_class, by_class_over_seeds, classes_of, record_split
from workbench.probes.planted import attended_times, modality_use
from workbench.runs import Run
from workbench.statistics import holm, mean_with_interval, paired_difference, say_difference, score
from workbench.studies import any_draw, published
from workbench.tasks import LOWER_IS_BETTER
from workbench.taxonomy import Data, over_dial, trained

METHOD = "mldfa"

PARTS = {
    "without global-local": {"has_global_local": False},
    "without time alignment": {"has_time_alignment": False},
    "without the gate": {"has_gate": False},
    "without attention's gate": {"has_attention_gate": False},
    "without the attention view": {"has_attention_view": False},
    "without the graph view": {"has_graph_view": False},
}
"""Each part of MLDFA switched off, the others on."""

TABLE_1 = {"mmimdb": "MM-IMDb", "meld": "MELD", "mosi_mmsa": "MOSI"}
"""Data cards with the rows of MLDFA's Table I, and what the table calls them."""

RIVALS = ("tfn", "lmf", "mult")
"""The methods of MLDFA's Table I."""

METRICS = ("mae", "corr", "accuracy", "f1_weighted", "f1_micro", "f1_macro")
"""The metrics of MLDFA's Table I; its accuracy and F1 of several genres are not defined: both F1 stand for the one."""


def against_rivals(
    data: Data, *, config: Mapping[str, Any] | None = None, rivals: Mapping[str, Mapping[str, Any]] | None = None, **settings: Any
) -> Results:
    """MLDFA and its paper's rivals with one plan.

    Args:
        config: MLDFA's settings.
        rivals: method name to its settings; None: those of the paper's Table I, as they are.
        settings: seeds, plan, runs (see `workbench.taxonomy.trained`).
    """
    rivals = rivals or {name: {} for name in RIVALS}
    variants = {METHOD: {"method": METHOD, "config": dict(config or {})}}
    return trained(data, variants | {name: {"method": name, "config": dict(found)} for name, found in rivals.items()}, **settings)


def without_parts(data: Data, *, config: Mapping[str, Any] | None = None, **settings: Any) -> Results:
    """MLDFA whole, and with each of its parts off that its model of this data has (`parts_of`)."""
    variants = {METHOD: {}} | parts_of(data, config=config)
    return trained(data, {name: {"method": METHOD, "config": {**(config or {}), **off}} for name, off in variants.items()}, **settings)


def parts_of(data: Data, *, config: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """Those of `PARTS` that change the model: vectors have no steps to align, so two of them switch nothing off there."""
    one, config = any_draw(data), dict(config or {})
    whole = _said_untrained(one, config)
    return {name: off for name, off in PARTS.items() if not _are_equal(whole, _said_untrained(one, {**config, **off}))}


def _said_untrained(data: Dataset, config: Mapping[str, Any]) -> tuple[dict[str, tuple[int, ...]], torch.Tensor]:
    """The shapes of a new model's parameters by name, and what it predicts for a few samples."""
    checked = methods.checked(methods.method(METHOD).Config, dict(config), owner=f"method {METHOD}")
    prepared = methods.prepare(data, checked)
    model = methods.build(METHOD, checked, prepared.spec).eval()
    split = prepared["valid"]
    with torch.no_grad():
        said = model(split.batch(torch.arange(min(4, len(split))))).prediction
    return {name: tuple(value.shape) for name, value in model.named_parameters()}, said


def _are_equal(first: tuple[dict[str, tuple[int, ...]], torch.Tensor], second: tuple[dict[str, tuple[int, ...]], torch.Tensor]) -> bool:
    return first[0] == second[0] and torch.equal(first[1], second[1])


def say_left_out(parts: Results) -> str:
    """Which parts were not switched off, because this data's model has none of them."""
    missing = [name for name in PARTS if name not in {run.variant for run in parts.runs}]
    return f"Left out, because they change nothing in the model of this data: {', '.join(missing)}." if missing else "No part is left out."


def class_table(runs: Sequence[Run], data: Data, tap: str, *, over: Sequence[str] = (), split: str = "test") -> xr.Dataset:
    """A tap by class (see `workbench.probes.by_class`): of one run with intervals over its samples, of several with intervals over the runs.

    Args:
        runs: of one variant.
        data: their data.
        tap: the tap's name.
        over: axes that are averaged over first (`head`, `feature`).
        split: which split.
    """
    found = []
    for run in runs:
        values = record_split(run, data, tap, split=split)[tap]
        own = {str(dim).removeprefix(f"{tap}."): dim for dim in values.dims}
        members = classes_of(run.draw(data), split)
        found.append(by_class(values.mean([own[axis] for axis in over]), members))
    return by_class_over_seeds(found)


def over_values(
    dial: str, values: Sequence[float], *, seeds: int | Sequence[int] = 3, dataset: str = "opinions/balanced",
    config: Mapping[str, Any] | None = None, dials: Mapping[str, Any] | None = None, **settings: Any,
) -> dict[float, tuple[Results, Data]]:  # fmt: skip
    """MLDFA trained on `opinions` with one dial at several values, drawn anew for each seed.

    Args:
        dial: its name; of a dial by modality `informativeness.vision`.
        values: of the dial.
        seeds: how many, or which.
        dataset: a preset of `opinions`.
        config: MLDFA's settings.
        dials: other dials.
        settings: plan, runs (see `workbench.taxonomy.trained`).

    Raises:
        ConfigError: the data set is not simulated.
    """
    return over_dial(
        dial, values, {METHOD: {"method": METHOD, "config": dict(config or {})}}, seeds=seeds, dataset=dataset, options=dials, **settings
    )


def followed_lags(trainings: Mapping[float, tuple[Results, Data]]) -> pd.DataFrame:
    """Where evidence words look in time, over trainings with several lags (see `over_values`, `workbench.probes.planted.attended_times`).

    Returns:
        One row a word and modality: x (the dial), seed, and the probe's columns.
    """
    parts = [attended_times(run, data).assign(x=value, seed=run.seed) for value, (results, data) in trainings.items() for run in results.runs]
    return pd.concat(parts, ignore_index=True)


ROWS = {"looked_at": "frames seen (share)", "auc": "AUC, own row", "auc_others": "AUC, other rows"}
"""What is said of rows of the time alignment: column of the probe, and its name for people."""


def row_table(lags: pd.DataFrame) -> pd.DataFrame:
    """Rows of evidence words by variant and modality, over seeds: how much of the time they look at, and whether they find their own bump.

    Args:
        lags: see `followed_lags`; optional column variant.

    Returns:
        One row a variant and modality, as text: mean and 95 % interval over seeds of each of `ROWS`, and the own row less the others, paired by seed.
    """
    lags = lags if "variant" in lags else lags.assign(variant=METHOD)
    said = []
    for (variant, modality), rows in lags.groupby(["variant", "modality"], sort=False):
        means = rows.groupby("seed")[list(ROWS)].mean()
        cells = {title: mean_with_interval(means[column].to_numpy()) for column, title in ROWS.items()}
        change = paired_difference(means["auc"].to_numpy(), means["auc_others"].to_numpy())
        said.append({"trained": variant, "modality": modality, **cells, "own less other rows": say_difference(change)})
    return pd.DataFrame(said)


def uses(trainings: Mapping[float, tuple[Results, Data]]) -> pd.DataFrame:
    """What MLDFA gives each modality and loses without it, over trainings with several values of a dial: x, seed, quantity, modality, value."""
    parts = [modality_use(run, data).assign(x=value) for value, (results, data) in trainings.items() for run in results.runs]
    return pd.concat(parts, ignore_index=True)


def say_use(use: pd.DataFrame, modality: str) -> str:
    """One sentence: of what is given to a modality, what rises with the dial, what falls and what is not found to change, paired by seed."""
    rows = use[use["modality"] == modality]
    ends = rows["x"].min(), rows["x"].max()
    said: dict[str, list[str]] = {"rises": [], "falls": [], "not found to change": []}
    for quantity, found in rows.groupby("quantity", sort=False):
        table = found.pivot(index="seed", columns="x", values="value")[list(dict.fromkeys(ends))].dropna()
        change = paired_difference(table.iloc[:, -1].to_numpy(), table.iloc[:, 0].to_numpy())
        kind = "not found to change" if not change.is_found else "rises" if change.mean > 0 else "falls"
        span = "" if change.n < 2 else f", 95 % {score(change.low, 4, sign=True)} to {score(change.high, 4, sign=True)}"
        said[kind].append(f"{quantity} ({score(change.mean, 4, sign=True)}{span})")
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in said.items() if names) + f" (n = {rows['seed'].nunique()})."


def missed_parts(parts: Results) -> str:
    """One sentence: which parts of MLDFA the score misses when they are off, which it does better without, and for how many no difference is found.

    Found is what holds for all parts at once (Holm, 5 %).
    """
    variants = list(dict.fromkeys(run.variant for run in parts.runs if run.variant != METHOD))
    changes = {name: parts.difference(name, METHOD) for name in variants}
    found = holm(changes)
    sign = -1.0 if parts.headline in LOWER_IS_BETTER else 1.0
    told = {"Worse": [name for name in found if sign * changes[name].mean < 0], "Better": [name for name in found if sign * changes[name].mean > 0]}
    said = [f"{word} {', '.join(f'{name} ({say_difference(changes[name])})' for name in names)}" for word, names in told.items() if names]
    rest = f"{len(variants) - len(found)} of {len(variants)} parts no difference is found (Holm, 5 %)."
    return f"{'; '.join(said)}; for {rest}" if said else f"For {rest}"


def table_metrics(results: Results) -> list[str]:
    """The headline metric, and those of MLDFA's Table I that the task has."""
    known = set(results.scores()["metric"])
    return [results.headline, *(name for name in METRICS if name in known and name != results.headline)]


def comparable(dataset: str, metrics: Sequence[str]) -> pd.DataFrame | None:
    """The rows of MLDFA's Table I that a data set's card has, as `figures.score_table` takes them; None where it has none.

    Args:
        dataset: its name (or its card's path).
        metrics: those of the table that they are to stand in.
    """
    rows = published(dataset, [*RIVALS, METHOD])
    rows = rows[rows["variant"].str.endswith(" in MLDFA Table I") & rows["metric"].isin(metrics)]
    return rows.reset_index(drop=True) if len(rows) else None


def printed_table() -> pd.DataFrame:
    """MLDFA's Table I as the data cards have it: a row a data set and metric, a column a method, and what is not as here."""
    methods = [*RIVALS, METHOD]
    parts = [published(name, methods).assign(data=title) for name, title in TABLE_1.items()]
    rows = together(parts)
    rows = rows[rows["variant"].str.endswith(" in MLDFA Table I")]
    rows = rows.assign(variant=rows["variant"].str.partition(" ")[0])
    wide = rows.pivot(index=["data", "metric", "source"], columns="variant", values="value").reset_index()
    order = {title: place for place, title in enumerate(TABLE_1.values())}
    wide = wide.sort_values("data", key=lambda names: names.map(order), kind="stable")
    return wide[["data", "metric", *methods, "source"]].rename(columns={"source": "not as here"}).rename_axis(columns=None).reset_index(drop=True)


def together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables with the same columns as one."""
    return pd.concat(list(tables), ignore_index=True)
