"""Every two models of a data set on the same samples: what a paired test says of other samples, and of other trainings.

found = pairs(gather(load_all("runs")))
figures.pair_matrix(found, dataset="mosi")
"""

import json
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from workbench.data import available, load
from workbench.errors import DataError, WorkbenchError
from workbench.resampling import mcnemar, paired_groups
from workbench.runs import Run
from workbench.sample_scores import by_sample, nearest
from workbench.statistics import Difference, holm, holm_adjusted, paired_difference
from workbench.tasks import LOWER_IS_BETTER, metric_title


def pairs(frame: pd.DataFrame, *, split: str = "test", draws: int = 5_000) -> pd.DataFrame:
    """Every two variants of a data set, held against each other on the same samples and over the same seeds.

    Two questions, for two kinds of luck. Over samples: would these models differ on other samples of this kind? (mean over seeds; whole groups are
    drawn and flip their signs: `workbench.resampling`.) Over seeds: would other trainings differ on these samples? (Student's t for pairs.)
    Each is corrected for all pairs of the data set (Holm, 5 %). A difference that both find is a difference; all else is a tie.

    Args:
        frame: see `gather`.
        split: whose predictions.
        draws: of the bootstrap and of the signs.

    Returns:
        A row a pair: dataset; metric, title (that the samples are compared in: the table's, where it is a mean over samples); first, second; over
        samples mean (first - second), low, high, p, p_holm, groups (how many), unit (`group` or `sample`); over seeds seeds (how many both have),
        seeds_mean, seeds_low, seeds_high, seeds_p, seeds_p_holm; mcnemar (in how many seeds p < .05; -1 where samples are not right or wrong); found
        (`both`, `samples`, `seeds`, `neither`); verdict (`above`: the first is better, `below`, `=`).

    Raises:
        DataError: there is no pair.
    """
    rows = [row for dataset, runs in frame.groupby("dataset", sort=False) for row in _pairs_of(str(dataset), runs, split, draws)]
    if not rows:
        raise DataError("no two runs to compare", expected="two variants of one data set, tested on the same samples with the same seeds")
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)


OVER_SAMPLES = ("mean", "low", "high", "p", "p_holm", "groups", "unit")
OVER_SEEDS = ("seeds", "seeds_mean", "seeds_low", "seeds_high", "seeds_p", "seeds_p_holm")
PAIR_COLUMNS = ("dataset", "metric", "title", "first", "second", *OVER_SAMPLES, *OVER_SEEDS, "mcnemar", "found", "verdict")


def _pairs_of(dataset: str, runs: pd.DataFrame, split: str, draws: int) -> list[dict[str, Any]]:
    """The pairs of one data set."""
    metric = nearest(runs["metric"].iloc[0], runs["run"].iloc[0].spec.task)
    samples, unit = _samples(runs, metric, split)
    variants = list(dict.fromkeys(runs["variant"]))
    compared: dict[tuple[str, str], tuple[Difference, Difference, int]] = {}
    for first, second in combinations(variants, 2):
        found = _pair(samples[first], samples[second], draws)
        if found is not None:
            compared[first, second] = found
    keys = [" less ".join(pair) for pair in compared]
    over_samples = dict(zip(keys, (found[0] for found in compared.values()), strict=True))
    over_seeds = dict(zip(keys, (found[1] for found in compared.values()), strict=True))
    held = set(holm(over_samples)), set(holm(over_seeds))
    adjusted = [dict(zip(keys, holm_adjusted([one.p for one in changes.values()]), strict=True)) for changes in (over_samples, over_seeds)]
    rows = []
    for key, ((first, second), (change, seeds, significant)) in zip(keys, compared.items(), strict=True):
        told = [key in names for names in held]
        # Opposite directions would be no finding; over the same numbers they cannot be.
        found = "both" if all(told) else "samples" if told[0] else "seeds" if told[1] else "neither"
        better = (change.mean < 0) == (metric in LOWER_IS_BETTER)
        row = {
            "dataset": dataset,
            "metric": metric,
            "title": metric_title(metric),
            "first": first,
            "second": second,
            "mean": change.mean,
            "low": change.low,
            "high": change.high,
        }
        row |= {"p": change.p, "p_holm": adjusted[0][key], "groups": change.n, "unit": unit, "seeds": seeds.n, "seeds_mean": seeds.mean}
        row |= {"seeds_low": seeds.low, "seeds_high": seeds.high, "seeds_p": seeds.p, "seeds_p_holm": adjusted[1][key], "mcnemar": significant}
        rows.append(row | {"found": found, "verdict": "=" if found != "both" else "above" if better else "below"})
    return rows


def _samples(runs: pd.DataFrame, metric: str, split: str) -> tuple[dict[str, pd.DataFrame], str]:
    """By variant, a row a seed and sample: seed, sample, group, target, value. And whether groups are known (`group`) or not (`sample`)."""
    known = [_groups_of(run, split) for run in runs["run"]]
    unit = "group" if all(groups is not None for groups in known) else "sample"
    parts: dict[str, list[pd.DataFrame]] = {}
    for row, groups in zip(runs.itertuples(), known, strict=True):
        said = row.run.trace[f"predictions/{split}"].to_dataset().transpose("sample", ...)
        ids = [str(name) for name in said["sample"].values]
        own = ids if unit == "sample" else [groups[name] for name in ids]
        target = said["target"].values
        value = by_sample(metric, said["prediction"].values, target, row.run.spec.task)
        table = pd.DataFrame({"seed": row.seed, "sample": ids, "group": own, "target": target.reshape(len(ids), -1).sum(1), "value": value})
        parts.setdefault(row.variant, []).append(table)
    whole = {variant: pd.concat(tables, ignore_index=True) for variant, tables in parts.items()}
    targets = pd.concat(whole.values()).groupby("sample")["target"]
    if not np.allclose(targets.min(), targets.max()):
        # Data drawn anew for each seed: its speakers are other speakers. Else a video is the same video in each seed.
        whole = {variant: table.assign(group=table["seed"].astype(str) + " " + table["group"]) for variant, table in whole.items()}
    return whole, unit


def _pair(first: pd.DataFrame, second: pd.DataFrame, draws: int) -> tuple[Difference, Difference, int] | None:
    """Over samples, over seeds, and in how many seeds McNemar's test finds a difference; None where they share no sample."""
    both = first.merge(second, on=["seed", "sample"], suffixes=("", "_other"))
    both = both[np.isclose(both["target"], both["target_other"])].dropna(subset=["value", "value_other"])
    if not len(both):
        return None
    over_samples = paired_groups(both["value"].to_numpy(), both["value_other"].to_numpy(), both["group"], draws=draws)
    means = both.groupby("seed")[["value", "value_other"]].mean()
    over_seeds = paired_difference(means["value"].to_numpy(), means["value_other"].to_numpy())
    if not set(np.unique(both[["value", "value_other"]])) <= {0.0, 1.0}:
        return over_samples, over_seeds, -1
    significant = sum(mcnemar(one["value"].to_numpy(), one["value_other"].to_numpy()) < 0.05 for _, one in both.groupby("seed"))
    return over_samples, over_seeds, significant


def _groups_of(run: Run, split: str) -> dict[str, str] | None:
    """Video or speaker of each sample of a run's split, from its data set; None where that cannot be loaded, or knows none."""
    notes = run.config.get("notes", {})
    if "card" not in notes:
        return None
    variant = notes.get("variant", "")
    name = run.config["dataset"]
    return _groups(f"{name}/{variant}" if variant and "/" not in name else name, json.dumps(notes.get("options", {}), sort_keys=True), split)


@lru_cache(maxsize=64)
def _groups(name: str, options: str, split: str) -> dict[str, str] | None:
    """The groups of a data set's split by sample id."""
    try:
        if not available(name):
            return None
        found = load(name, **json.loads(options))[split]
    except (WorkbenchError, OSError, KeyError, TypeError):
        return None
    return None if found.groups is None else dict(zip(found.ids, found.groups, strict=True))


def say_groups(found: pd.DataFrame) -> str:
    """One sentence a data set: what was drawn, groups or single samples."""
    said = []
    for dataset, rows in found.groupby("dataset", sort=False):
        n = f"{int(rows['groups'].max()):,}"
        known = f"{n} groups (videos, speakers) are drawn whole"
        alone = f"the groups of its samples are not known here: each of {n} samples is its own, and intervals may be too narrow"
        said.append(f"{dataset}: {known if rows['unit'].iloc[0] == 'group' else alone}.")
    return " ".join(said)


def say_pairs(found: pd.DataFrame) -> str:
    """One sentence a data set: how many pairs are told apart, and who is not beaten by anyone, all of them."""
    said = []
    for dataset, rows in found.groupby("dataset", sort=False):
        told = int((rows["verdict"] != "=").sum())
        top = unbeaten(rows)
        names = f"not beaten by any: {', '.join(top)}" + (" (tied)" if len(top) > 1 else "")
        n = f"n = {int(rows['seeds'].min())} seeds, {int(rows['groups'].max()):,} {'groups' if rows['unit'].iloc[0] == 'group' else 'samples'}"
        counted = f"{told or 'none'} of {len(rows)} pairs {'are' if told > 1 else 'is'}"
        said.append(f"On {dataset} {counted} told apart over samples and seeds (Holm, {n}); {names}.")
    return " ".join(said)


def unbeaten(rows: pd.DataFrame) -> list[str]:
    """The variants of one data set's pairs that no other is found better than."""
    names = dict.fromkeys([*rows["first"], *rows["second"]])
    beaten = {row.first if row.verdict == "below" else row.second for row in rows.itertuples() if row.verdict != "="}
    return [name for name in names if name not in beaten]
