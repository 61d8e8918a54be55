"""The questions of `09_imbalance_lab`: which balancing rule helps on which method and data, where, and with which optimizer?

data = {"digits": draws("digits", 4)}
trained = with_rules(data, ["lf_dnn"], seeds=4)
figures.rule_effects(effects(trained, data))
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench import balance
from workbench.balance import adaptive_tracking, b_fusion, grad_norm, gradient_blending, ogm_ge
from workbench.data import is_simulated
from workbench.data.batch import Dataset
from workbench.errors import DataError
from workbench.experiments import Results, compare
from workbench.statistics import Difference, holm, paired_difference, say_difference, score
from workbench.studies import SGD, any_draw, ceiling_of, draws, over_two_dials, published
from workbench.tasks import LOWER_IS_BETTER, metric_title

RULES = tuple(balance.RULES)
"""Every balancing rule."""

NONE, UNIFORM = "none", "uniform"
"""What the rules are held against: no rule, and the plain rule that each of the others must beat."""

PLAN = {"epochs": 60, "batch_size": 32, "learning_rate": 2e-3, "patience": 20, "probe_every": 0}
"""The training plan of every variant, so that a rule's row differs from its neighbours in the rule alone."""

OPTIMIZERS = {"Adam": {}, "SGD": {key: value for key, value in SGD.items() if key != "epochs"}}
"""Name for people, and what it changes in the plan."""

Data = Dataset | Mapping[int, Dataset]
Trained = Mapping[tuple[str, str], Results]


def lab_data(names: Sequence[str], seeds: int | Sequence[int], *, samples: int) -> dict[str, Data]:
    """The data sets by name; simulated opinions are drawn anew for each seed, with so many samples to train on."""
    return {name: draws(name, seeds, **(sizes(samples) if is_simulated(name) else {})) for name in names}


def sizes(samples: int) -> dict[str, int]:
    """Samples in each split of `opinions`: half as many in valid, a quarter more in test."""
    return {"train": samples, "valid": samples // 2, "test": 5 * samples // 4}


def variants(data: Data, method: str, rules: Sequence[str] = RULES, *, plan: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """The method without a rule and with each (names: `none` and the rules'), and each modality alone in late fusion's network (`text alone`)."""
    alone = {f"{name} alone": {"method": "lf_dnn", "modalities": [name], "balance": NONE} for name in any_draw(data).modalities}
    ruled = {name: {"method": method, "balance": name} for name in (NONE, *rules)}
    return {name: {"preset": NONE, "plan": dict(plan or {}), **settings} for name, settings in (alone | ruled).items()}


def with_rules(
    data: Mapping[str, Data], methods: Sequence[str], *, rules: Sequence[str] = RULES, seeds: int | Sequence[int] = 4,
    plan: Mapping[str, Any] | None = None, runs: str | Path = "runs",
) -> dict[tuple[str, str], Results]:  # fmt: skip
    """Every rule on every method and data set, over seeds; what two of them share (the single modalities) is trained once.

    Args:
        data: by name.
        methods: names.
        rules: names; none and each modality alone come by themselves.
        seeds: how many, or which.
        plan: values instead of `PLAN`'s.
        runs: folder of runs.

    Returns:
        (data set, method) -> results.
    """
    settings = {"seeds": seeds, "plan": {**PLAN, **(plan or {})}, "runs": runs}
    return {(name, method): compare(drawn, variants(drawn, method, rules), **settings) for name, drawn in data.items() for method in methods}


def with_optimizers(
    data: Data, method: str, *, rules: Sequence[str] = RULES, plan: Mapping[str, Any] | None = None, **settings: Any
) -> dict[str, Results]:
    """No rule and each rule under each of `OPTIMIZERS` (a rule's own defaults for SGD, where it has some): name of the optimizer -> results."""
    ruled = {name: found for name, found in variants(data, method, rules).items() if not name.endswith(" alone")}
    plan = {**PLAN, **(plan or {})}
    return {title: compare(data, ruled, plan={**plan, **changed}, **settings) for title, changed in OPTIMIZERS.items()}


def reference(results: Results) -> str:
    """What a rule must beat at least: `text alone`; of data without text the single modality that is best on valid."""
    return "text alone" if any(run.variant == "text alone" for run in results.runs) else best_single(results)


def best_single(results: Results) -> str:
    """The single modality with the best mean score on valid."""
    single = [name for name in dict.fromkeys(run.variant for run in results.runs) if name.endswith(" alone")]
    means = results.only(*single).scores("valid", metrics=[results.headline]).groupby("variant")["value"].mean()
    return str(means.idxmin() if results.headline in LOWER_IS_BETTER else means.idxmax())


def effects(trained: Trained) -> pd.DataFrame:
    """Every rule against no rule, against `uniform`, and against one modality alone (`reference`), on test, paired by seed.

    Each of the three asks one question of all rules of a method and data set: Holm over these. No rule has its row against one modality alone, in
    the same family; one modality alone against no rule is a row outside of it.

    Returns:
        One row a comparison: dataset, method, metric, rule, against, kind (`none`, `uniform`, `single`), mean, low, high, p, n, verdict (`above`:
        better, `below`, `=`).
    """
    rows = []
    for (dataset, method), results in trained.items():
        labels = {"dataset": dataset, "method": method, "metric": metric_title(results.headline)}
        present = list(dict.fromkeys(run.variant for run in results.runs if not run.variant.endswith(" alone")))
        single = reference(results)
        rules = [name for name in present if name != NONE]
        families = {("none", NONE): rules, ("uniform", UNIFORM): [name for name in rules if name != UNIFORM], ("single", single): present}
        for (kind, against), compared in families.items():
            if against not in (*present, single):
                continue
            changes = {name: results.difference(name, against) for name in compared}
            rows += _compared(changes, holm(changes), labels | {"against": against, "kind": kind}, results.headline)
        change = {single: results.difference(single, NONE)}
        rows += _compared(change, holm(change), labels | {"against": NONE, "kind": "none"}, results.headline)
    return pd.DataFrame(rows)


def _compared(changes: Mapping[str, Difference], held: Sequence[str], labels: Mapping[str, str], metric: str) -> list[dict[str, Any]]:
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    return [
        {**labels, "rule": name, "mean": change.mean, "low": change.low, "high": change.high, "p": change.p, "n": change.n}
        | {"verdict": "=" if name not in held else "above" if sign * change.mean > 0 else "below"}
        for name, change in changes.items()
    ]


def lab_scores(trained: Trained) -> pd.DataFrame:
    """Headline scores on test, each modality alone (`reference` first), then none and the rules: dataset, method, metric, variant, seed, value."""
    parts = []
    for (dataset, method), results in trained.items():
        found = results.scores(metrics=[results.headline])
        labels = {"dataset": dataset, "method": method, "metric": metric_title(results.headline)}
        found = found[["variant", "seed", "value"]].assign(**labels)
        is_first = found["variant"] == reference(results)
        parts += [found[is_first], found[~is_first]]
    return pd.concat(parts, ignore_index=True)


def say_verdicts(found: pd.DataFrame) -> str:
    """One sentence over all data sets and methods: how often each rule is above none, above `uniform`, above one modality alone, and below none."""
    cases = found.groupby(["dataset", "method"], sort=False).ngroups
    rules = [name for name in dict.fromkeys(found["rule"]) if name != NONE and not name.endswith(" alone")]
    said, worse = [], []
    for rule in rules:
        rows = found[found["rule"] == rule]
        times = [str(int(((rows["kind"] == kind) & (rows["verdict"] == "above")).sum())) for kind in ("none", "uniform", "single")]
        said.append(f"{rule} {times[0]} / {'-' if rule == UNIFORM else times[1]} / {times[2]}")
        below = int(((rows["kind"] == "none") & (rows["verdict"] == "below")).sum())
        worse += [f"{rule} {below}"] if below else []
    pairs = "pair" if cases == 1 else "pairs"
    times = f"Of {cases} {pairs} of data set and method (n = {int(found['n'].max())}, Holm), times found above no rule / uniform / one modality alone"
    return f"{times}: {', '.join(said)}; below no rule: {', '.join(worse) or 'none found'}"


def say_uniform(found: pd.DataFrame) -> str:
    """Does any rule beat the plain one? One sentence over all data sets and methods."""
    rows = found[found["kind"] == "uniform"]
    if not len(rows):
        return "The plain rule is not among the rules: nothing is held against it."
    told = []
    for word in ("above", "below"):
        hit = rows[rows["verdict"] == word]
        names = [f"{row.rule} on {row.dataset}, {row.method} ({score(row.mean, sign=True)})" for row in hit.itertuples()]
        told.append(f"{word} it: {', '.join(names) if names else 'none'}")
    ties = int((rows["verdict"] == "=").sum())
    return f"Against uniform, {'; '.join(told)}; no difference found in {ties} of {len(rows)} comparisons."


def say_best_single(trained: Trained) -> str:
    """Where another modality than the text is the best one alone (chosen on valid): which rules are above that (Holm over the rules)."""
    said = []
    for (dataset, method), results in trained.items():
        single = best_single(results)
        if single == reference(results):
            continue
        rules = [name for name in dict.fromkeys(run.variant for run in results.runs) if not name.endswith(" alone") and name != NONE]
        changes = {name: results.difference(name, single) for name in rules}
        rows = _compared(changes, holm(changes), {}, results.headline)
        above = [f"{row['rule']} ({score(row['mean'], sign=True)})" for row in rows if row["verdict"] == "above"]
        mean = results.only(single).scores(metrics=[results.headline])["value"].mean()
        told = f"above it {', '.join(above) if above else 'no rule is found'} (of {len(rules)})"
        said.append(
            f"On {dataset} the best modality alone is not the text but {single.removesuffix(' alone')} ({score(mean)}); with {method} {told}."
        )
    return " ".join(said) or "Where there is text, it is the best modality alone."


def effects_over_dials(
    x: tuple[str, Sequence[float]], y: tuple[str, Sequence[float]], *, rules: Sequence[str] = RULES, preset: str = "starved", method: str = "lf_dnn",
    seeds: int = 3, plan: Mapping[str, Any] | None = None, runs: str | Path = "runs", **options: Any,
) -> pd.DataFrame:  # fmt: skip
    """What each rule adds to the headline score over two dials of `opinions`, paired by seed.

    Args:
        x, y: see `workbench.studies.effect_over_dials`.
        options: other dials and sizes.

    Returns:
        One row a rule and cell: variant, x, y, value (mean gain on test: above zero is better), low, high, p, n, and joint, the mean without a rule.
    """
    settings = {"preset": preset, "seeds": seeds, "plan": {**PLAN, **(plan or {})}, "runs": runs, "options": options}
    ruled = {name: {"preset": NONE, "method": method, "balance": name} for name in (NONE, *rules)}
    rows = []
    for place, _, results in over_two_dials(x, y, ruled, **settings):
        joint = results.only(NONE).scores(metrics=[results.headline])["value"].mean()
        for rule in rules:
            pair = (NONE, rule) if results.headline in LOWER_IS_BETTER else (rule, NONE)
            change = results.difference(*pair)
            numbers = {"value": change.mean, "low": change.low, "high": change.high, "p": change.p, "n": change.n}
            rows.append({"variant": rule, **place, **numbers, "joint": joint})
    return pd.DataFrame(rows)


def magnitudes(optimised: Mapping[str, Results]) -> pd.DataFrame:
    """How far apart the modalities' gradients and updates are, and the score, by optimizer, rule and seed.

    A ratio is the largest modality's mean over the smallest one's in an epoch (1: all alike), geometric mean over the epochs up to the best one; an
    epoch in which a modality has none is left out.

    Returns:
        One row a number: optimizer, variant, seed, quantity (`gradient`, `update`, `score`), value.
    """
    parts = []
    for optimizer, results in optimised.items():
        best = {(run.variant, run.seed): run.metrics["best_epoch"] for run in results.runs}
        for quantity, traced in (("gradient", "last_layer"), ("update", "update")):
            parts.append(_ratios(results.steps(traced), best).assign(quantity=quantity, optimizer=optimizer))
        scores = results.scores(metrics=[results.headline])[["variant", "seed", "value"]]
        parts.append(scores.assign(quantity="score", optimizer=optimizer))
    return pd.concat(parts, ignore_index=True)


def _ratios(steps: pd.DataFrame, best: Mapping[tuple[str, int], int]) -> pd.DataFrame:
    """Largest over smallest modality by variant and seed, geometric mean over the epochs up to the best."""
    ends = steps.groupby(["variant", "seed", "epoch"], sort=False)["value"].agg(["min", "max"]).reset_index()
    keys = zip(ends["variant"], ends["seed"], ends["epoch"], strict=True)
    until = np.array([epoch <= best[variant, seed] for variant, seed, epoch in keys])
    ends = ends[until & (ends["min"] > 0).to_numpy()]
    logs = ends.assign(value=np.log(ends["max"] / ends["min"]))
    means = logs.groupby(["variant", "seed"], sort=False)["value"].mean()
    return np.exp(means).reset_index()


def say_table_7(optimised: Mapping[str, Results], rule: str = "b_fusion") -> str:
    """Does a rule gain more with SGD than with Adam, as Table 7 of adaptive weight fusion has it? The difference of the gains, paired by seed."""
    gains = {}
    for optimizer, results in optimised.items():
        table = results.scores(metrics=[results.headline]).pivot(index="seed", columns="variant", values="value")
        gains[optimizer] = (table[rule] - table[NONE]).dropna()
    pairs = pd.concat(gains, axis=1).dropna()
    change = paired_difference(pairs["SGD"].to_numpy(), pairs["Adam"].to_numpy())
    own = "; ".join(f"{optimizer}: {say_difference(results.difference(rule, NONE))}" for optimizer, results in optimised.items())
    verdict = "no difference of the gains found" if not change.is_found else "SGD gains more" if change.mean > 0 else "Adam gains more"
    span = "" if change.n < 2 else f", 95 % {score(change.low, sign=True)} to {score(change.high, sign=True)}"
    return f"{rule} against no rule, {own}. SGD's gain less Adam's: {score(change.mean, sign=True)}{span}: {verdict}. {_say_printed(change)}"


def _say_printed(change: Difference) -> str:
    """What the paper's Table 7 says of the same question, from the data card, and whether that was found here."""
    rows = published("mosi", ["awf/sgd", "awf/sgd/no_b_fusion", "awf/adam", "awf/adam/no_b_fusion"])
    rows = rows[rows["variant"].str.contains("Table 7")]
    rows = rows[rows["metric"] == "acc2_non0"]
    printed = {variant.partition(" ")[0]: float(value) for variant, value in zip(rows["variant"], rows["value"], strict=True)}
    sgd, adam = (printed[f"awf/{name}"] - printed[f"awf/{name}/no_b_fusion"] for name in ("sgd", "adam"))
    is_same = change.is_found and (change.mean > 0) == (sgd > adam)
    held = "holds here" if is_same else "is turned round here" if change.is_found else "is neither found nor ruled out here"
    return f"The paper (its model, MOSI, one number each): SGD {score(sgd, sign=True)}, Adam {score(adam, sign=True)}; that order {held}."


def head_gaps(results: Results) -> pd.DataFrame:
    """Loss of each modality's own head on valid less on train, of the rules that bring heads: variant, seed, epoch, modality, value."""
    readings = results.frames.get("rule")
    if readings is None:
        raise DataError("no rule of these runs has heads of its own", expected="uniform, ogm_ge, gradient_blending, adaptive_tracking or grad_norm")
    table = readings.pivot_table(index=["variant", "seed", "epoch", "term"], columns="quantity", values="value", sort=False)
    return (table["valid_loss"] - table["train_loss"]).dropna().rename("value").reset_index().rename(columns={"term": "modality"})


def ceilings(data: Mapping[str, Data], trained: Trained) -> dict[str, float]:
    """The best attainable headline score by data set, where it is known."""
    metrics = {dataset: results.headline for (dataset, _), results in trained.items()}
    known = {name: ceiling_of(drawn, metrics[name]).get("all") for name, drawn in data.items()}
    return {name: value for name, value in known.items() if value is not None}


def one_step(ahead: Tensor, loud: Tensor) -> list[tuple[str, ...]]:
    """What each rule makes of one step with two modalities or more, by its own equation: rule, what it touches, its number for each modality.

    Args:
        ahead: how probable each modality alone makes the truth.
        loud: each modality's gradient magnitude.
    """
    ones = torch.ones_like(ahead)
    losses = -ahead.log()
    norms = grad_norm.target_norms(loud, losses, torch.full_like(losses, math.log(2)), alpha=1.5)
    # Who is ahead has also overfitted as much more, and all generalised alike.
    shares = gradient_blending.blended(ahead / ahead.min(), ones, ones / len(ones), floor=0.01)
    numbers = {
        "b_fusion": ("forward pass: its weight after this step", 1 - 0.01 * b_fusion.first_order_gradient(loud / loud.mean(), ones)),
        "uniform": ("loss: share of each modality's own loss", ones / len(ones)),
        "ogm_ge": ("gradient: a factor (and noise on top)", ogm_ge.coefficients(ogm_ge.ratios(ahead, ones > 0), alpha=0.3)),
        "gradient_blending": ("loss: share, where who is ahead overfits as much more", shares),
        "adaptive_tracking": ("step: a factor", adaptive_tracking.tracking_factors(ahead, strength=1.0, limit=4.0)),
        "grad_norm": ("loss: weights move until its gradient's norm is", norms),
    }
    return [(rule, touched, *(score(float(value)) for value in values)) for rule, (touched, values) in numbers.items()]
