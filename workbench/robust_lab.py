"""The questions of `14_robustness`: which finished runs keep their score as modalities go missing or get noisy, and does imputation help?

chosen = chosen_runs("opinions/balanced", ["lf_dnn", "generative.cvae"], seeds=3)
curves = disturbed(chosen, rates=[0.5, 1.0], noise=[1.0, 2.0])
figures.area_dots(areas(curves, chosen.floor))
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import torch

from workbench.plan import Plan
from workbench.probes.missing import missing_scores, robustness
from workbench.probes.subsets import subset_predictions
from workbench.run_sets import Chosen
from workbench.statistics import Difference, holm, paired_difference, say_difference, score
from workbench.tasks import LOWER_IS_BETTER, make_task


def disturbed(chosen: Chosen, *, rates: Sequence[float], noise: Sequence[float], split: str = "test") -> pd.DataFrame:
    """The headline score as each modality goes missing, by what stands in its place, and as it gets noisy.

    Returns:
        One row a number: variant, seed, modality, disturbance (`missing`, `noise`), amount, metric, value. A model that can put something in a
        modality's place is two variants where one is missing: `generative.cvae, synthesis` and `generative.cvae, zeros`; noise asks the first.
    """
    steps = sorted({float(rate) for rate in rates if rate > 0})
    scores = missing_scores(chosen.runs, chosen.data, rates=steps, split=split)
    scores = scores[scores["metric"] == chosen.headline]
    gone = scores[scores["treatment"] != "present"].rename(columns={"missing_rate": "amount"})
    start = scores[scores["treatment"] == "present"][["variant", "seed", "value"]]
    first = gone[["variant", "seed", "modality", "treatment", "metric"]].drop_duplicates().merge(start, on=["variant", "seed"])
    missing = pd.concat([first.assign(amount=0.0), gone], ignore_index=True).assign(disturbance="missing")
    can_choose = set(missing.loc[missing["treatment"] == "synthesis", "variant"])
    noisy = robustness(chosen.runs, chosen.data, rates=(), noise=sorted({0.0, *map(float, noise)}), split=split).assign(treatment="synthesis")
    both = pd.concat([missing, noisy], ignore_index=True)
    both["variant"] = [f"{name}, {how}" if name in can_choose else name for name, how in zip(both["variant"], both["treatment"], strict=True)]
    asked = list(dict.fromkeys(run.variant for run in chosen.runs))
    order = [told for name in asked for told in (name, f"{name}, synthesis", f"{name}, zeros")]
    both = both.sort_values("variant", key=lambda names: names.map(order.index), kind="stable")
    return both[["variant", "seed", "modality", "disturbance", "amount", "metric", "value"]].reset_index(drop=True)


def area(amounts: Sequence[float], scores: Sequence[float], floor: float, *, lower_is_better: bool = False) -> float:
    """The area under one curve: 1 where the score stays what it is undisturbed, 0 where it is nowhere better than looking at nothing.

    Trapezoids over the amounts, divided by their span: mean over the amounts of (score - floor) / (undisturbed score - floor). Below 0 where it is
    worse than looking at nothing, above 1 where the disturbance helps; nan where nothing can be lost: the undisturbed score is not above the floor.

    Args:
        amounts: at least two; the lowest is undisturbed.
        scores: at the amounts.
        floor: the score of the best answer that looks at nothing.
        lower_is_better: errors and losses.
    """
    order = np.argsort(np.asarray(amounts, float))
    x, y = np.asarray(amounts, float)[order], np.asarray(scores, float)[order]
    if len(x) < 2 or x[0] == x[-1] or not ((y[0] < floor) if lower_is_better else (y[0] > floor)):
        return float("nan")
    return float(np.trapezoid((y - floor) / (y[0] - floor), x) / (x[-1] - x[0]))


def areas(curves: pd.DataFrame, floor: Mapping[int, float]) -> pd.DataFrame:
    """The area under each run's curves (see `area`).

    Args:
        curves: see `disturbed`.
        floor: by seed, the score of the best answer that looks at nothing.

    Returns:
        One row a curve: variant, seed, modality, disturbance, value.
    """
    keys = ["variant", "seed", "modality", "disturbance"]
    is_low = str(curves["metric"].iloc[0]) in LOWER_IS_BETTER
    rows = [
        dict(zip(keys, place, strict=True)) | {"value": area(rows["amount"], rows["value"], floor[place[1]], lower_is_better=is_low)}
        for place, rows in curves.groupby(keys, sort=False)
    ]
    return pd.DataFrame(rows)


def area_columns(found: pd.DataFrame) -> pd.DataFrame:
    """Areas as `figures.score_table` takes them: a column a disturbance and modality (`text missing`); curves without an area are left out."""
    found = found[found["value"].notna()]
    word = found["disturbance"].map({"missing": "missing", "noise": "noisy"})
    return found.assign(metric=found["modality"] + " " + word)


def whole_areas(found: pd.DataFrame) -> pd.DataFrame:
    """The mean over the modalities of a run's areas: variant, seed, disturbance, value; nan where one of them is."""
    means = found.groupby(["variant", "seed", "disturbance"], sort=False)["value"].agg(lambda values: values.mean(skipna=False))
    return means.reset_index()


def area_differences(found: pd.DataFrame, disturbance: str) -> dict[str, Difference]:
    """Every pair of variants: the mean area of one less that of the other, paired by seed; a pair that shares no seed is left out."""
    rows = whole_areas(found).query("disturbance == @disturbance")
    return _paired(rows, list(combinations(dict.fromkeys(rows["variant"]), 2)))


def imputation_differences(found: pd.DataFrame) -> dict[str, Difference]:
    """For each modality that goes missing: the area with its synthesis less the area with zeros, of the same weights, paired by seed."""
    rows, changes = found[found["disturbance"] == "missing"], {}
    for name in dict.fromkeys(rows["variant"]):
        if name.endswith(", synthesis"):
            pair = (name, f"{name.removesuffix(', synthesis')}, zeros")
            for modality in dict.fromkeys(rows["modality"]):
                for change in _paired(rows[rows["modality"] == modality], [pair]).values():
                    changes[f"{modality} missing, {name} less zeros"] = change
    return changes


def _paired(rows: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> dict[str, Difference]:
    table, found = rows.pivot(index="seed", columns="variant", values="value"), {}
    for after, before in pairs:
        both = table[[after, before]].dropna() if {after, before} <= set(table) else table.iloc[:0]
        if len(both):
            found[f"{after} less {before}"] = paired_difference(both[after].to_numpy(), both[before].to_numpy())
    return found


def say_at_once(changes: Mapping[str, Difference]) -> str:
    """One sentence: which of several differences of areas hold for all at once (Holm, 5 %), and the largest where none does."""
    if not changes:
        return "No two areas to compare."
    held = holm(changes)
    many = f"{len(changes)} differences of areas" if len(changes) > 1 else "the one difference of areas"
    if held:
        rest = len(changes) - len(held)
        told = "; ".join(f"{name} {say_difference(changes[name])}" for name in held)
        return f"Of {many} {len(held)} found (Holm, 5 %): {told}" + (f". No difference found for the other {rest}." if rest else ".")
    largest = max(changes, key=lambda name: abs(changes[name].mean))
    change = changes[largest]
    span = (
        f" (95 % {score(change.low, sign=True)} to {score(change.high, sign=True)}, n = {change.n})" if change.n > 1 else " (one seed: no interval)"
    )
    return f"Of {many} none is found (Holm, 5 %); the largest: {largest} {score(change.mean, sign=True)}{span}."


def say_robust(found: pd.DataFrame) -> str:
    """The finding in one sentence: the modality whose loss costs most, and whether one variant is found to keep more than all others."""
    missing = found[(found["disturbance"] == "missing") & found["value"].notna()]
    if not len(missing):
        return "no undisturbed score is above looking at nothing: there is nothing to lose"
    # By variant first: a variant with fewer curves counts as much as another.
    cost = missing.groupby(["modality", "variant"])["value"].mean().groupby("modality").mean().sort_values()
    said = (
        f"{cost.index[0]} missing costs most: area {score(cost.iloc[0], 2)} (mean over variants; 1: nothing lost, 0: as good as looking at nothing)"
    )
    means = missing.groupby("variant")["value"].mean()
    best, changes = str(means.idxmax()), area_differences(found, "missing")
    beaten = [name for name in holm(changes) if _winner(name, changes[name]) == best]
    others = len(means) - 1
    verdict = f"found above {len(beaten)} of {others}" if beaten else f"not told apart from any of {others}"
    return f"{said}; most is kept by {best}, {score(means.max(), 2)}: {verdict} (n = {missing['seed'].nunique()}, Holm, 5 %)"


def _winner(name: str, change: Difference) -> str:
    after, _, before = name.partition(" less ")
    return after if change.mean > 0 else before


def subset_scores(chosen: Chosen, *, split: str = "test") -> pd.DataFrame:
    """The headline score for every subset of modalities that is left, all others missing: variant, seed, left, count, metric, value.

    The predictions are kept beside each run (see `workbench.probes.subsets`). What stands where a modality is missing is the model's own choice.
    """
    rows = []
    for run in chosen.runs:
        one = run.draw(chosen.data)
        task = make_task(one.spec.task, loss=Plan(**run.config["plan"]).loss)
        target = run.prepared(one)[split].target
        for left, said in subset_predictions(run, one, split=split).said.items():
            value = task.metrics(torch.from_numpy(said), target)[chosen.headline]
            facts = {"variant": run.variant, "seed": run.seed, "left": " + ".join(left) or "nothing", "count": len(left)}
            rows.append(facts | {"metric": chosen.headline, "value": value})
    return pd.DataFrame(rows)
