"""All runs of a folder side by side: scores over seeds, costs, published numbers (`pairing`: who is told apart; `standing`: ranks and fronts).

found = gather(load_all("runs"))
figures.comparison_table(found, published(found))
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workbench import studies
from workbench.data.card import card
from workbench.errors import WorkbenchError, unknown
from workbench.experiments import compare
from workbench.runs import Run, load_all
from workbench.tasks import LOWER_IS_BETTER, metric_title

SPLITS = ("valid", "test")

SMALL = {"epochs": 30, "patience": 8, "probe_every": 0, "is_traced": False}
"""The plan of the small set that the notebook trains."""


def small_set(
    names: Sequence[str], methods: Sequence[str], *, seeds: int = 5, samples: int = 600, plan: Mapping[str, Any] | None = None,
    runs: str | Path = "runs", workers: int | None = None,
) -> list[Run]:  # fmt: skip
    """Methods, the first of them with B-fusion and with the text alone, on each data set: what there is to compare where nothing was trained yet.

    Args:
        names: data sets; simulated opinions are drawn anew for each seed.
        methods: names.
        seeds: how many.
        samples: simulated training samples (half as many in valid, a quarter more in test).
        plan: values instead of `SMALL`'s.
        runs: folder of runs; what is finished there is not trained again.
        workers: processes (see `workbench.experiments.compare`).
    """
    variants = {name: {"method": name, "balance": "none"} for name in methods}
    variants[f"{methods[0]} + b_fusion"] = {"method": methods[0], "balance": "b_fusion"}
    variants["text alone"] = {"method": methods[0], "balance": "none", "modalities": ["text"]}
    found = []
    for name in names:
        sizes = {"train": samples, "valid": samples // 2, "test": 5 * samples // 4} if name.startswith("opinions") else {}
        data = studies.draws(name, seeds, **sizes)
        chosen = variants if "text" in studies.any_draw(data).modalities else {key: value for key, value in variants.items() if key != "text alone"}
        found += compare(data, chosen, seeds=seeds, plan={**SMALL, **(plan or {})}, runs=runs, workers=workers).runs
    return found


def finished(folder: str | Path) -> list[Run]:
    """The finished runs of a folder.

    Raises:
        WorkbenchError: there is none.
    """
    found = load_all(folder)
    if not found:
        raise WorkbenchError(
            f"no finished run in {folder}", expected="folders written by workbench train", do="workbench train lf_dnn opinions/starved"
        )
    return found


def gather(runs: Iterable[Run], *, split: str = "test", metric: str | None = None, has_seconds: bool = True) -> pd.DataFrame:
    """One row a run: where it belongs in the table, and its score; a seed that was trained twice counts once.

    Runs stand together (one `variant`) where they differ in their seed only. Equal names with other settings say in brackets what differs; data sets
    of one name that are not the same (other dials, other views) say so too.

    Args:
        runs: finished runs.
        split: `valid` or `test`.
        metric: by its name in the runs; None: each data set's headline metric. Runs without it are left out.
        has_seconds: whether to open each run's trace for its seconds an epoch.

    Returns:
        dataset, variant, method, family, balance, differs, seed, metric, title (of the metric), value, parameters, seconds (an epoch), machine, view,
        run (the Run).

    Raises:
        ConfigError: there is no such split, or no run has the metric.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    runs = list(runs)
    known = list(dict.fromkeys(name for run in runs for name in run.metrics.get(split, {})))
    if metric is not None and metric not in known:
        raise unknown("metric", metric, known)
    places = _places(runs)
    rows = []
    for run, place in zip(runs, places, strict=True):
        # Runs of other tools than `fit` may say no headline: their first metric stands for it.
        chosen = metric or run.config.get("headline") or next(iter(run.metrics.get(split, {})), "")
        value = run.metrics.get(split, {}).get(chosen)
        if chosen not in run.metrics.get(split, {}):
            continue
        facts = {"method": run.config["method"], "family": _family(run.config["method"]), "balance": run.config["balance"] or "none"}
        costs = {
            "parameters": run.metrics.get("parameters", np.nan),
            "seconds": studies.epoch_seconds(run) if has_seconds else np.nan,
            "machine": _machine(run),
        }
        scored = {"seed": run.seed, "metric": chosen, "title": metric_title(chosen), "value": np.nan if value is None else float(value)}
        rows.append({**place, **facts, **scored, **costs, "machine": _machine(run), "view": _view(run), "run": run})
    frame = pd.DataFrame(rows).drop_duplicates(["dataset", "variant", "seed"])
    # Data sets in the order of their names, as they are found in a folder; inside, better rows first.
    sign = frame["metric"].map(lambda name: 1 if name in LOWER_IS_BETTER else -1)
    means = (frame["value"] * sign).groupby([frame["dataset"], frame["variant"]]).transform("mean")
    return frame.assign(_mean=means).sort_values(["dataset", "_mean", "variant", "seed"]).drop(columns="_mean").reset_index(drop=True)


def _places(runs: Sequence[Run]) -> list[dict[str, str]]:
    """dataset, variant and differs of each run: names that tell unlike data and unlike settings apart."""
    datasets = [label for label, _ in _told_apart([run.config["dataset"] for run in runs], [_data(run) for run in runs])]
    names = list(zip(datasets, (run.variant for run in runs), strict=True))
    variants = _told_apart(names, [_settings(run) for run in runs])
    return [{"dataset": dataset, "variant": label, "differs": differs} for dataset, (label, differs) in zip(datasets, variants, strict=True)]


def _settings(run: Run) -> dict[str, Any]:
    """All that decides a run's numbers but seed and data; what says most stands first."""
    found = {key: value for key, value in run.settings.items() if not key.startswith("data.")}
    return {**{key: found[key] for key in ("method", "rule", "modalities")}, **found}


def _told_apart(names: Sequence[Any], facts: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Each name with the fewest facts that tell it from others of its name, and all facts in which those differ, in words."""
    labels: dict[Any, list[str]] = {}
    differing: dict[Any, list[str]] = {}
    for name in dict.fromkeys(names):
        own = [values for other, values in zip(names, facts, strict=True) if other == name]
        keys = dict.fromkeys(key for values in own for key in values)
        differing[name] = [key for key in keys if len({str(values.get(key)) for values in own}) > 1]
        labels[name] = []
        for key in differing[name]:
            if _kinds(own, [*labels[name], key]) > _kinds(own, labels[name]):
                labels[name].append(key)
    said = []
    for name, values in zip(names, facts, strict=True):
        plain = name[-1] if isinstance(name, tuple) else name
        short, whole = (", ".join(f"{key}={values.get(key)}" for key in keys[name]) for keys in (labels, differing))
        said.append((f"{plain} ({short})" if short else plain, whole))
    return said


def _kinds(facts: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> int:
    """How many different values the keys have together."""
    return len({tuple(str(values.get(key)) for key in keys) for values in facts})


def _data(run: Run) -> dict[str, Any]:
    """What tells data sets of one name apart, whatever modalities the run took of it, and whatever seed simulated data was drawn with."""
    notes = run.config.get("notes", {})
    view = _view_settings(run)
    if isinstance(notes.get("dials"), dict):
        dials = {f"{key}.{name}": one for key, value in notes["dials"].items() if isinstance(value, dict) for name, one in value.items()}
        return {**dials, **{key: value for key, value in notes["dials"].items() if not isinstance(value, dict)}, **view}
    options = {key: value for key, value in notes.get("options", {}).items() if key != "seed"}
    return {**options, "variant": notes.get("variant"), "counts": run.config.get("counts"), "files": sorted(notes.get("files", {}).items()), **view}


def _view_settings(run: Run) -> dict[str, Any]:
    """What was changed of the data for this run, but for which modalities it took."""
    view = run.config.get("notes", {}).get("view", {})
    return {f"view.{key}": value for key, value in view.items() if key not in ("view_seed", "modalities")}


def _view(run: Run) -> str:
    return ", ".join(f"{key.removeprefix('view.')}={value}" for key, value in _view_settings(run).items())


def _family(name: str) -> str:
    from workbench import methods

    try:
        return methods.method(name).family
    except WorkbenchError:
        return "other"


def _machine(run: Run) -> str:
    """Where it ran: seconds of unlike machines are not compared."""
    found = run.config.get("environment", {})
    return " ".join(str(found.get(name, "")) for name in ("device", "gpu", "threads"))


def published(frame: pd.DataFrame) -> pd.DataFrame:
    """What papers print of the methods in the table, in the same metric.

    Data that no card names has none. The numbers are read from the data cards; they were found with other code, and none is ranked.

    Returns:
        dataset, variant, metric, value, source (`comparable`, or what is not as here).
    """
    parts = []
    for dataset, runs in frame.groupby("dataset", sort=False):
        run = runs["run"].iloc[0]
        name, variant = run.config["dataset"], run.config.get("notes", {}).get("variant", "")
        try:
            known = {row.method for row in card(name).published}
            own = [method for method in known if re.split(r"[+/]", method)[0] in set(runs["method"])]
            rows = studies.published(f"{name}/{variant}" if variant and "/" not in name else name, own)
        except WorkbenchError:
            continue
        rows = rows[rows["metric"] == runs["metric"].iloc[0]]
        if runs["view"].iloc[0]:
            rows = rows.assign(source=rows["source"].map(lambda text, view=runs["view"].iloc[0]: f"other data here ({view}); {text}"))
        parts.append(rows.assign(dataset=dataset))
    columns = ["dataset", "variant", "metric", "value", "source"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


READING = "=: ties with every other row of its data set that has =; a row without is found worse than one of these (paired by seed, Holm, 5 %)."


def say_table(frame: pd.DataFrame) -> str:
    """What spoils the table: one seed, unlike machines."""
    is_single = frame.groupby(["dataset", "variant"])["seed"].nunique().min() < 2
    return " ".join(["Rows with one seed are not ranked.", say_machines(frame)] if is_single else [say_machines(frame)])


def say_machines(frame: pd.DataFrame) -> str:
    """Whether the seconds of the runs can be compared."""
    counts = frame["machine"].value_counts()
    if len(counts) < 2:
        return "All seconds come from one kind of machine."
    return f"Seconds come from {len(counts)} kinds of machines or thread counts ({', '.join(map(str, counts))} runs): they cannot be compared."
