"""The questions of `03_five_families`: every strategy on one data set with an equal budget, and the survey talk's limitations as measured curves.

results = tour(draws("opinions/balanced", 3), seeds=3)
figures.strategies_table(tour_table(results, data))
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from workbench import methods
from workbench.data import is_simulated
from workbench.data.batch import Dataset
from workbench.errors import ConfigError
from workbench.experiments import Results, compare
from workbench.probes.cost import costs
from workbench.statistics import paired_difference, score
from workbench.studies import any_draw, draws
from workbench.tasks import LOWER_IS_BETTER

STRATEGIES = tuple(f"{family}.{strategy}" for family, strategies in methods.FAMILIES.items() for strategy in strategies)
"""Every strategy of the five families, in the talk's order."""

DECISION, HIERARCHICAL = "encoder_decoder.decision", "encoder_decoder.hierarchical"

APART = {
    "averaged": {"method": DECISION},
    "weighed": {"method": DECISION, "config": {"combine": "learned"}},
    "added": {"method": HIERARCHICAL, "config": {"merge": "add"}},
}
"""Variants that add: the decisions of each modality, averaged or with learned weights, or its features."""

TOGETHER = {
    "multiplied": {"method": HIERARCHICAL, "config": {"merge": "multiply"}},
    "low rank": {"method": "constraint.low_rank"},
    "attention": {"method": "attention.transformer"},
}
"""Variants in which one modality can turn round what another says: features multiplied, all their products, attention.

`added` and `multiplied` differ in nothing but the merge.
"""

GROWING = (
    "encoder_decoder.raw",
    "encoder_decoder.decision",
    "attention.intra",
    "attention.cross",
    "attention.transformer",
    "graph.fused",
    "generative.cvae",
    "constraint.dcca",
    "constraint.tensor",
    "constraint.low_rank",
)
"""Strategies whose cost is drawn as modalities are added and sequences grow: those that differ in how they grow."""

BUDGET = {"epochs": 40, "batch_size": 32, "learning_rate": 2e-3, "patience": 10, "probe_every": 0, "is_traced": False}
"""The training plan that every strategy gets."""

Data = Dataset | Mapping[int, Dataset]


def trained(
    data: Data, variants: Mapping[str, Mapping[str, Any]], *, seeds: int | Sequence[int] = 3, plan: Mapping[str, Any] | None = None,
    runs: str | Path = "runs",
) -> Results:  # fmt: skip
    """Variants (each a method, with settings where they are not its own) with the tour's budget: no preset, no balancing unless a variant says so.

    Args:
        plan: values instead of the budget's.
    """
    settings = {name: {"balance": "none", "preset": "none", **values} for name, values in variants.items()}
    return compare(data, settings, seeds=seeds, plan={**BUDGET, **(plan or {})}, runs=runs)


def turned(dial: str, value: float) -> dict[str, Any]:
    """`("informativeness.vision", .4)` as the keyword `informativeness={"vision": .4}`; `lag` stays as it is."""
    name, _, modality = dial.partition(".")
    return {name: {modality: value}} if modality else {name: value}


def over_dial(
    dial: str, values: Sequence[float], variants: Mapping[str, Mapping[str, Any]], *, seeds: int | Sequence[int] = 3,
    dataset: str = "opinions/balanced", options: Mapping[str, Any] | None = None, **settings: Any,
) -> dict[float, tuple[Results, Data]]:  # fmt: skip
    """Variants trained on `opinions` with one dial at several values; the same seed is the same draw but for the dial.

    Args:
        dial: its name; of a dial by modality `informativeness.vision`.
        values: of the dial.
        variants: name to method and settings (each a method, with settings where they are not its own).
        seeds: how many, or which.
        dataset: a preset of `opinions`.
        options: other dials, and views (`align_to`).
        settings: plan, runs (see `trained`).

    Raises:
        ConfigError: the data set is not simulated.
    """
    if not is_simulated(dataset):
        raise ConfigError(f"{dataset} has no dials to turn", expected="opinions, simulated data of which everything is known")
    found = {}
    for value in values:
        data = draws(dataset, seeds, **{**(options or {}), **turned(dial, value)})
        found[value] = trained(data, variants, seeds=seeds, **settings), data
    return found


def alone(data: Data) -> dict[str, dict[str, Any]]:
    """The variants that see one modality each."""
    return {f"{name} alone": {"method": "lf_dnn", "modalities": [name]} for name in any_draw(data).modalities}


def tour(data: Data, names: Sequence[str] = STRATEGIES, **settings: Any) -> Results:
    """Every strategy with its own default settings and one budget, and each modality alone, over seeds (`settings`: see `trained`)."""
    return trained(data, alone(data) | {name: {"method": name} for name in names}, **settings)


def tour_table(results: Results, data: Data, *, metric: str | None = None, split: str = "test") -> pd.DataFrame:
    """One row a run, as the tour's figures take it: variant, family, kind, seed, value, parameters, seconds (an epoch), memory (bytes)."""
    named = sorted({run.config["method"] for run in results.runs if not run.variant.endswith(" alone")})
    memory = costs(named, any_draw(data), rounds=1).query("quantity == 'memory'").set_index("variant")["value"]
    rows = []
    for run in results.runs:
        is_alone = run.variant.endswith(" alone")
        rows.append(
            {
                "variant": run.variant,
                "family": "one modality" if is_alone else methods.method(run.config["method"]).family,
                "kind": "alone" if is_alone else "joint",
                "seed": run.seed,
                "value": run.metrics[split][metric or results.headline],
                "parameters": run.metrics["parameters"],
                "seconds": run.metrics["seconds"] / run.metrics["epochs"],
                "memory": memory.get(run.variant, float("nan")),
            }
        )
    return pd.DataFrame(rows)


def baseline(
    data: Data, method: str, *, balance: str = "none", config: Mapping[str, Any] | None = None, plan: Mapping[str, Any] | None = None, **settings: Any
) -> Results:
    """One method beside late fusion and each modality alone, with the tour's budget; gradients are traced (`settings`: see `trained`)."""
    variants = alone(data) | {"lf_dnn": {"method": "lf_dnn"}, method: {"method": method, "balance": balance, "config": dict(config or {})}}
    return trained(data, variants, plan={"is_traced": True, **(plan or {})}, **settings)


def say_tour(table: pd.DataFrame, *, metric: str) -> str:
    """One sentence: the best strategy, how many are not told apart from it, and the best single modality.

    Args:
        table: see `tour_table`.
        metric: the metric's name: of losses and errors the lowest is the best.
    """
    scores = table.pivot(index="seed", columns="variant", values="value")
    gain = _gain(scores, metric)
    single = [name for name in scores if name.endswith(" alone")]
    best, best_single = str(gain.drop(columns=single).mean().idxmax()), str(gain[single].mean().idxmax())
    joint, means = scores.drop(columns=single), scores.mean()
    pairs = [gain[[best, name]].dropna() for name in joint if name != best]
    behind = [paired_difference(pair.iloc[:, 0].to_numpy(), pair.iloc[:, 1].to_numpy()) for pair in pairs]
    ties = sum(not change.low > 0 for change in behind)
    spread = f"{score(means[best])} ± {score(scores[best].std())} (n = {len(scores)})" if len(scores) > 1 else f"{score(means[best])} (n = 1)"
    said = f"best of {joint.shape[1]} is {best}, {spread}; not told apart from it: {ties} (95 %, paired by seed)"
    return f"{said}. Best single modality: {best_single.removesuffix(' alone')}, {score(means[best_single])}."


def _gain(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Scores of which more is better: errors and losses with their sign turned."""
    return -scores if metric in LOWER_IS_BETTER else scores


def one_of_each(results: Results, *, split: str = "valid") -> list[str]:
    """The strategy of each family with the best mean headline score; chosen on valid."""
    scores = results.scores(split, metrics=[results.headline]).pivot(index="seed", columns="variant", values="value")
    scores = _gain(scores, results.headline).mean()
    families = {name: methods.method(name).family for name in scores.index if name in methods.METHODS}
    return [
        max((name for name in families if families[name] == family), key=scores.get) for family in methods.FAMILIES if family in families.values()
    ]


def prior_graphs(data: Data) -> dict[str, dict[str, Any]]:
    """Variants of `graph.modalities` by what is believed about the modalities: every pair of them, one pair alone, no pair, or what is similar."""
    names = any_draw(data).modalities
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    given = {f"{a} and {b} only": [(a, b)] for a, b in pairs}
    beliefs = {"all pairs": pairs, **given, "no pair": []}
    settings = {"by similarity": {"neighbours": "similarity"}} | {name: {"neighbours": "given", "edges": edges} for name, edges in beliefs.items()}
    return {name: {"method": "graph.modalities", "config": config} for name, config in settings.items()}


def alignment(names: Sequence[str], aligned: Data, unaligned: Data, **settings: Any) -> pd.DataFrame:
    """Headline score on test of each strategy on the same samples, aligned and not: variant, metric (`aligned`, `unaligned`), seed, value."""
    parts = []
    for kind, data in (("aligned", aligned), ("unaligned", unaligned)):
        results = trained(data, {name: {"method": name} for name in names}, **settings)
        parts.append(results.scores(metrics=[results.headline]).assign(metric=kind))
    return pd.concat(parts, ignore_index=True)


def cannot_grow(curves: pd.DataFrame) -> pd.DataFrame:
    """The strategies that could not be built so large: variant, the first size that failed, and why."""
    failed = curves[curves["note"] != ""]
    return failed.groupby(["variant", "axis"], sort=False).agg(first=("x", "min"), why=("note", "first")).reset_index()
