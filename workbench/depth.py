"""The questions of `06_mmiln`: does fusing layer by layer help, which of its parts does the score miss, and do gates tell low layers from high ones?

results = against_baseline(draws("opinions/balanced", 3), seeds=3)
say_trends(gates_by_layer(results.only("mmiln").runs, data))
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench import methods
from workbench.data.card import cards
from workbench.experiments import Results
from workbench.probes.constraints import TAPS
from workbench.probes.label_errors import MADE, WHOLE
from workbench.statistics import Difference, holm, mean_with_interval, paired_difference, say_difference, score
from workbench.studies import published, titles
from workbench.tasks import LOWER_IS_BETTER
from workbench.taxonomy import BUDGET, Data, trained

METHOD, BASELINE = "mmiln", "self_mm"

LONGER = 4
"""Times the epochs that the baseline may have too: equal epochs are not equal work (see `say_seconds`)."""

LONG = f"{BASELINE}, {LONGER} x epochs"
"""The baseline with that many epochs."""

ABLATIONS = {"-MRM": {"has_refusion": False}, "-MFM": {"has_gates": False}, "-GateFusion": {"has_gate_fusion": False}}
"""MMILN's Table 3: what is removed."""

LOSSES = {
    "without similarity": {"similarity_weight": 0.0},
    "without difference": {"difference_weight": 0.0},
    "without unimodal tasks": {"unimodal_weight": 0.0},
}
"""Each term of Eqs. (35), (36) beside the task's own with the weight zero: it is still measured."""

METRICS = ("acc2_has0", "acc2_non0", "f1_has0", "f1_non0", "mae", "corr")
"""The metrics of the paper's tables."""

PRINTED = {"mosi_mmsa": "MOSI", "mosei_mmsa": "MOSEI"}
"""Data cards with the rows of MMILN's tables."""


def suited(method: str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A variant with the settings that suit `opinions` (its preset's): Config, batch size, learning rate and loss; epochs are the budget's.

    Args:
        method: its name.
        config: values instead of the preset's.
    """
    preset = methods.method(method).PRESETS["opinions"]
    plan = {key: value for key, value in preset.plan.items() if key not in ("epochs", "patience")}
    return {"method": method, "config": {**preset.config, **(config or {})}, "plan": plan}


def against_baseline(
    data: Data, *, config: Mapping[str, Any] | None = None, baseline_config: Mapping[str, Any] | None = None, **settings: Any
) -> Results:
    """MMILN and Self-MM, which it is built on: the same samples, batches and epochs, each with its own loss and rate; and Self-MM trained for longer.

    Args:
        config, baseline_config: values of the two Configs instead of those of the `opinions` presets.
        settings: seeds, plan, runs (see `workbench.taxonomy.trained`).
    """
    baseline = suited(BASELINE, baseline_config)
    epochs = LONGER * (settings.get("plan") or BUDGET).get("epochs", BUDGET["epochs"])
    longer = baseline | {"plan": baseline["plan"] | {"epochs": epochs, "patience": epochs}}
    return trained(data, {METHOD: suited(METHOD, config), BASELINE: baseline, LONG: longer}, **settings)


def without_parts(data: Data, *, config: Mapping[str, Any] | None = None, **settings: Any) -> Results:
    """MMILN whole, without each part of its Table 3, and without each loss."""
    variants = {METHOD: {}} | ABLATIONS | LOSSES
    return trained(data, {name: suited(METHOD, {**(config or {}), **off}) for name, off in variants.items()}, **settings)


def beside_attention(data: Data, *, config: Mapping[str, Any] | None = None, **settings: Any) -> Results:
    """MulT as wide and with as many layers and heads as MMILN: to hold seconds an epoch against (settings: few seeds and epochs will do)."""
    own = methods.method(METHOD).Config(**suited(METHOD, config)["config"])
    same = {name: getattr(own, name) for name in ("hidden_size", "layers", "heads", "kernel_size")}
    return trained(data, {"mult": {"method": "mult", "config": same, "plan": {"batch_size": suited(METHOD)["plan"]["batch_size"]}}}, **settings)


def say_seconds(seconds: pd.DataFrame, whole: str = METHOD) -> str:
    """One sentence: what an epoch of each variant takes on this machine, and how many times as long one of `whole` is.

    Args:
        seconds: columns variant, seed, value (see `workbench.studies.seconds_per_epoch`).
        whole: the variant that the others are held against.
    """
    means = seconds.groupby("variant", sort=False)["value"].mean()
    ratios = {name: float(means[whole] / value) for name, value in means.items() if name != whole}
    rest = [f"{name} {means[name]:.2g} s (one of {whole} takes {ratio:.2g} times as long)" for name, ratio in ratios.items()]
    return f"Seconds an epoch, training and valid, without the first: {', '.join([f'{whole} {means[whole]:.2g} s', *rest])}."


def over_layers(data: Data, layers: Sequence[int], *, config: Mapping[str, Any] | None = None, **settings: Any) -> Results:
    """MMILN with several numbers of fusion layers, as in Fig. 4; a variant is called by its number."""
    return trained(data, {str(count): suited(METHOD, {**(config or {}), "layers": count}) for count in layers}, **settings)


def layer_scores(results: Results, *, split: str = "valid", metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Scores of `over_layers` as `figures.sweep_lines` takes them: trial, layers, seed, split, metric (its title), value."""
    frame = results.scores(split, metrics=metrics)
    layers = frame["variant"].astype(int)
    named = frame["metric"].map(lambda name: titles([name])[0])
    return frame.assign(trial=layers, layers=layers, metric=named)[["trial", "layers", "seed", "split", "metric", "value"]]


def slopes(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """By how much each gate changes a layer (least squares through the layers' means), a number a seed.

    Args:
        frame: columns gate, layer, modality, seed, value (see `workbench.probes.openness.gates_by_layer`).

    Returns:
        `<gate> of <modality>` to its slopes; nothing where there is one layer.
    """
    means = frame.groupby(["gate", "modality", "seed", "layer"], sort=False)["value"].mean().reset_index()
    found = {}
    for (gate, modality), rows in means.groupby(["gate", "modality"], sort=False):
        table = rows.pivot(index="seed", columns="layer", values="value").dropna()
        apart = table.columns.to_numpy(float) - table.columns.to_numpy(float).mean()
        if len(table) and apart @ apart > 0:
            found[f"{gate} of {modality}"] = table.to_numpy() @ apart / (apart @ apart)
    return found


def say_trends(frame: pd.DataFrame, quantity: str = "gate") -> str:
    """One sentence: which gates rise or fall from the first layer to the last, with intervals over seeds; or that no trend is found.

    Found is what holds for all gates at once (Holm, 5 %).

    Args:
        frame: see `slopes`.
        quantity: what the numbers are.
    """
    found = slopes(frame)
    if not found:
        return "One layer: there is no trend to look for."
    changes = {name: paired_difference(values, np.zeros_like(values)) for name, values in found.items()}
    layers = f"over layers {frame['layer'].min()} to {frame['layer'].max()}"
    held = holm(changes)
    said = [
        f"{'rises' if word > 0 else 'falls'}: {', '.join(f'{name} ({_a_layer(changes[name])})' for name in held if changes[name].mean * word > 0)}"
        for word in (1, -1)
        if any(changes[name].mean * word > 0 for name in held)
    ]
    rest = {name: change for name, change in changes.items() if name not in held}
    if not rest:
        return f"The {quantity} {layers}: {'; '.join(said)}."
    steepest = max(rest, key=lambda name: abs(rest[name].mean))
    none = f"for {len(rest)} of {len(changes)} no trend is found (Holm, 5 %); the steepest of them: {steepest} ({_a_layer(rest[steepest])})"
    return f"The {quantity} {layers}: {'; '.join([*said, none])}."


def say_range(frame: pd.DataFrame) -> str:
    """One sentence: between which two values all gates' means over samples and seeds lie, and near which they start.

    Args:
        frame: see `slopes`.
    """
    means = frame.groupby(["gate", "modality", "layer"])["value"].mean()
    return f"All means of gates lie between {score(float(means.min()))} and {score(float(means.max()))}; gates start near .5."


def _a_layer(change: Difference) -> str:
    """`+.012 a layer, 95 % +.010 to +.014, n = 3`."""
    mean = f"{score(change.mean, 4, sign=True)} a layer"
    return (
        f"{mean}, one seed"
        if change.n < 2
        else f"{mean}, 95 % {score(change.low, 4, sign=True)} to {score(change.high, 4, sign=True)}, n = {change.n}"
    )


def say_missed(results: Results, *, whole: str = METHOD) -> str:
    """One sentence: which parts the score misses, which it does better without, and for how many no difference is found (Holm, 5 %)."""
    variants = list(dict.fromkeys(run.variant for run in results.runs if run.variant != whole))
    changes = {name: results.difference(name, whole) for name in variants}
    sign = -1.0 if results.headline in LOWER_IS_BETTER else 1.0
    held = holm(changes)
    told = {"worse": [name for name in held if sign * changes[name].mean < 0], "better": [name for name in held if sign * changes[name].mean > 0]}
    said = [f"{word}: {', '.join(f'{name} ({say_difference(changes[name])})' for name in found)}" for word, found in told.items() if found]
    rest = [f"for {len(variants) - len(held)} of {len(variants)} no difference is found (Holm, 5 %)"] if len(held) < len(variants) else []
    return f"With a part removed: {'; '.join([*said, *rest])}."


def say_labels(errors: pd.DataFrame) -> str:
    """One sentence: which made labels, in each run's last epoch, are nearer to the truth than the label of the whole, and which further away.

    Found is what holds for all pairs of method and modality at once (Holm, 5 %).

    Args:
        errors: see `workbench.probes.label_errors.label_errors`.
    """
    told: dict[str, list[str]] = {"further from": [], "nearer to": [], "not found nearer or further (Holm, 5 %):": []}
    pairs = _last(errors).groupby(["variant", "modality"], sort=False)
    tables = {f"{variant} {modality}": rows.pivot(index="seed", columns="label", values="value") for (variant, modality), rows in pairs}
    changes = {name: paired_difference(table[MADE].to_numpy(), table[WHOLE].to_numpy()) for name, table in tables.items()}
    held = holm(changes)
    for name, table in tables.items():
        kind = list(told)[2 if name not in held else 0 if changes[name].mean > 0 else 1]
        told[kind].append(f"{name} ({score(float(table[MADE].mean()))} against {score(float(table[WHOLE].mean()))})")
    said = [
        f"{kind} {'it than the label of the whole: ' if kind.endswith(('from', 'to')) else ''}{', '.join(names)}"
        for kind, names in told.items()
        if names
    ]
    return f"Made labels against what the modality alone says (mean error, n = {errors['seed'].nunique()}): {'; '.join(said)}."


def say_knowledge(knowledge: pd.DataFrame) -> str:
    """One sentence: what made labels know in each run's last epoch beyond the label of the whole, with intervals over seeds.

    Args:
        knowledge: see `workbench.probes.label_errors.label_knowledge`.
    """
    said = []
    for (variant, modality), rows in _last(knowledge).groupby(["variant", "modality"], sort=False):
        values = rows["value"].dropna().to_numpy()
        said.append(f"{variant} {modality} {mean_with_interval(values, 2) if len(values) else 'none made yet'}")
    return f"Partial correlation of made and true labels, given the label of the whole: {', '.join(said)}."


def say_guarded(guarded: pd.DataFrame) -> str:
    """One sentence: how often Eq. (34) divided by the floor instead of alpha_m, over all epochs that renew labels.

    Args:
        guarded: see `workbench.probes.histories.guarded`.
    """
    said = []
    for variant, rows in guarded[guarded["epoch"] > 1].groupby("variant", sort=False):
        count, renewed = int(rows["value"].sum()), int(rows["samples"].sum())
        said.append(f"{variant} {count} of {renewed} times ({100 * count / renewed:.2g} %)")
    return f"|alpha_m| was smaller than the floor, which Eq. (34) then divides by: {', '.join(said) or 'no label was renewed'}."


def _last(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last epoch."""
    return frame[frame["epoch"] == frame.groupby(["variant", "seed"])["epoch"].transform("max")]


def last_layer(frame: pd.DataFrame) -> pd.DataFrame:
    """The last layer's terms as the losses have them (see `workbench.probes.constraints`): variant, metric (the quantity), seed, value.

    The discrepancy is the mean over the pairs of streams (Eq. 25), the overlap the sum over the modalities (Eq. 26).
    """
    rows = frame[frame["layer"] == frame["layer"].max()].rename(columns={"quantity": "metric"})
    terms = rows.groupby(["variant", "metric", "seed"], sort=False)["value"].agg(["mean", "sum"]).reset_index()
    value = terms["mean"].where(terms["metric"] == TAPS["fusion.discrepancy"], terms["sum"])
    return terms.assign(value=value)[["variant", "metric", "seed", "value"]]


def comparable(dataset: str, table: str = "Table 2") -> pd.DataFrame | None:
    """The rows of a table of the paper that a data set's card has, as `figures.score_table` takes them; None where it has none."""
    name = dataset.partition("/")[0]
    if name not in cards() or name not in PRINTED:
        return None
    rows = published(dataset)
    rows = rows[rows["variant"].str.contains(f"in MMILN {table}", regex=False)]
    return rows.assign(metric=[titles([name])[0] for name in rows["metric"]]) if len(rows) else None


def printed_table(table: str = "Table 2") -> pd.DataFrame:
    """MMILN's Table 2 or 3 as the data cards have it: a row a data set and method of the workbench, a column a metric, and what is not as here."""
    parts = [rows.assign(data=title) for name, title in PRINTED.items() if (rows := comparable(name, table)) is not None]
    rows = pd.concat(parts, ignore_index=True)
    rows = rows.assign(method=rows["variant"].str.replace(f" in MMILN {table}", "", regex=False))
    rows = rows[[name.partition(",")[0].partition("/")[0] in methods.METHODS for name in rows["method"]]]
    wide = rows.pivot(index=["data", "method", "source"], columns="metric", values="value")
    order = dict.fromkeys(zip(rows["data"], rows["method"], rows["source"], strict=True))
    metrics = list(dict.fromkeys(rows["metric"]))
    said = wide.loc[list(order), metrics].map(score).reset_index()
    return said[["data", "method", *metrics, "source"]].rename(columns={"source": "not as here"} | {name: _short(name) for name in metrics})


def _short(title: str) -> str:
    """A metric's title for the head of a narrow column."""
    return title.replace("negative", "neg").replace("positive", "pos")
