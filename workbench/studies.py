"""The questions of the notebooks, as functions: which variants to train, and the tables that the figures take.

results = imbalance(load("opinions/starved"), seeds=5)
figures.unimodal_and_joint(alone_and_joint(results), metric="Acc-2", ceiling=...)
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workbench.data import available, is_simulated, load
from workbench.data.batch import Dataset
from workbench.data.card import card
from workbench.errors import ConfigError, MissingDataError, WorkbenchError
from workbench.experiments import Results, compare
from workbench.plan import Plan
from workbench.runs import Run
from workbench.statistics import score
from workbench.tasks import make_task, metric_title
from workbench.training import TrainingState, predict, training

SGD = {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "patience": 30, "epochs": 200}
"""A plan with which plain networks learn under SGD on the data of this house (found on `opinions`)."""


def first_available(names: Sequence[str]) -> str:
    """The first data set of the list that is on this machine.

    Raises:
        MissingDataError: none is.
    """
    for name in names:
        if available(name):
            return name
    raise MissingDataError(f"none of {', '.join(names)} is on this machine", do=f"workbench data fetch {names[0]}")


def here(names: Sequence[str]) -> list[str]:
    """The data sets of the list that are on this machine, in order; a line says how to get each of the others."""
    from IPython.display import Markdown, display

    for name in names:
        if not available(name):
            display(Markdown(f"*`{name}` is not on this machine and is left out. To have it: `workbench data fetch {card(name).name}`*"))
    return [name for name in names if available(name)]


def draws(name: str, seeds: int | Sequence[int], **options: Any) -> Dataset | dict[int, Dataset]:
    """The data of a comparison: simulated data is drawn anew for each seed, other data (and a draw of a given seed) is the same for all."""
    chosen = range(seeds) if isinstance(seeds, int) else seeds
    if is_simulated(name) and "seed" not in options:
        return {seed: load(name, seed=seed, **options) for seed in chosen}
    return load(name, **options)


def any_draw(data: Dataset | Mapping[int, Dataset]) -> Dataset:
    """One of the draws: modalities, task and ceiling are the same for all."""
    return data if isinstance(data, Dataset) else next(iter(data.values()))


def imbalance(
    data: Dataset | Mapping[int, Dataset], *, method: str = "lf_dnn", seeds: int = 5, plan: Mapping[str, Any] | None = None, has_sgd: bool = False,
    runs: str | Path = "runs",
) -> Results:  # fmt: skip
    """Each modality alone, the joint model, and the joint model with B-fusion (first-order and exact), over seeds; the same with SGD where asked."""
    variants: dict[str, dict[str, Any]] = {f"{name} alone": {"modalities": [name], "balance": "none"} for name in any_draw(data).modalities}
    optimizers = {"": {}, " (SGD)": SGD} if has_sgd else {"": {}}
    for label, changed in optimizers.items():
        variants[f"joint{label}"] = {"balance": "none", "plan": changed}
        for update in ("first_order", "exact"):
            title = f"joint + {'B-fusion' if update == 'first_order' else 'exact B-fusion'}{label}"
            variants[title] = {"balance": "b_fusion", "balance_config": {"update": update}, "plan": changed}
    return compare(data, {name: {"method": method, **settings} for name, settings in variants.items()}, seeds=seeds, plan=plan, runs=runs)


def alone_and_joint(results: Results, *, split: str = "test", metric: str | None = None) -> pd.DataFrame:
    """Scores as `figures.unimodal_and_joint` takes them: variant, label, kind, seed, value."""
    frame = results.scores(split, metrics=[metric or results.headline])
    is_alone = frame["variant"].str.endswith(" alone")
    return frame.assign(
        kind=is_alone.map({True: "alone", False: "joint"}), label=frame["variant"].where(~is_alone, frame["variant"].str.removesuffix(" alone"))
    )


def titled_scores(results: Results, data: str = "", *, metrics: Sequence[str] = (), split: str = "test") -> pd.DataFrame:
    """Scores under the metrics' names for people, with the data set's name before them where it is given, and what each run cost.

    Args:
        results: runs.
        data: the data set's name.
        metrics: the headline metric by default.
        split: which scores.

    Returns:
        variant, seed, split, metric, value; parameters and seconds (an epoch; nan where unknown), as `figures.score_table` takes them.
    """
    frame = results.scores(split, metrics=metrics or [results.headline])
    costs = {(run.variant, run.seed): (run.metrics.get("parameters", np.nan), epoch_seconds(run)) for run in results.runs}
    found = [costs[key] for key in zip(frame["variant"], frame["seed"], strict=True)]
    named = frame.assign(metric=frame["metric"].map(lambda name: titles([name], data)[0]))
    return named.assign(parameters=[cost[0] for cost in found], seconds=[cost[1] for cost in found])


def epoch_seconds(run: Run) -> float:
    """Seconds of an epoch of a run, without the first (warm-up); nan where its trace has none."""
    try:
        return float(seconds_per_epoch(Results([run], run.config["headline"]))["value"].iloc[0])
    except (WorkbenchError, KeyError, ValueError):
        return np.nan


def titles(metrics: Sequence[str], data: str = "") -> list[str]:
    """The metrics' names for people, e.g. `opinions/starved: Acc-2 (negative / positive)`."""
    return [f"{data}: {metric_title(name)}" if data else metric_title(name) for name in metrics]


def say_effect(results: Results, after: str, before: str) -> str:
    """One sentence: what `after` changes against `before` on test, in the headline metric, paired by seed."""
    from workbench.figures.captions import say_against

    return say_against(after, before, results.difference(after, before))


def probes_inside(probes: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Probe scores (see `workbench.probes.linear`) as `figures.unimodal_and_joint` takes them."""
    return probes[probes["metric"] == metric].assign(kind="inside").rename(columns={"modality": "label"})


def ceiling_of(data: Dataset | Mapping[int, Dataset], metric: str) -> dict[str, float]:
    """The best attainable score of each modality alone and of all together, where it is known; else nothing."""
    found = any_draw(data)
    wanted = [*found.modalities, "all"]
    return {name: values[metric] for name, values in found.ceiling.items() if name in wanted and metric in values}


def effect_over_dials(
    x: tuple[str, Sequence[float]], y: tuple[str, Sequence[float]], *, preset: str = "starved", method: str = "lf_dnn", seeds: int = 3,
    plan: Mapping[str, Any] | None = None, runs: str | Path = "runs",
) -> pd.DataFrame:  # fmt: skip
    """B-fusion's effect on the headline score over two dials of `opinions`, paired by seed.

    Args:
        x, y: a dial and its values; a dial by modality is written `hardness.audio`, or `hardness.audio+vision` for both at once.

    Returns:
        One row a cell: x, y, value (mean difference on test), low, high (95 % interval), joint, ceiling.
    """
    variants = {"joint": {"method": method, "balance": "none"}, "balanced": {"method": method, "balance": "b_fusion"}}
    rows = []
    for place, data, results in over_two_dials(x, y, variants, preset=preset, seeds=seeds, plan=plan, runs=runs):
        change = results.difference("balanced", "joint")
        joint = results.only("joint").scores(metrics=[results.headline])["value"].mean()
        ceiling = any_draw(data).ceiling["all"][results.headline]
        rows.append({**place, "value": change.mean, "low": change.low, "high": change.high, "joint": joint, "ceiling": ceiling})
    return pd.DataFrame(rows)


def over_two_dials(
    x: tuple[str, Sequence[float]], y: tuple[str, Sequence[float]], variants: Mapping[str, Mapping[str, Any]], *, preset: str = "starved",
    seeds: int = 3, plan: Mapping[str, Any] | None = None, runs: str | Path = "runs", options: Mapping[str, Any] | None = None,
) -> Iterator[tuple[dict[str, float], Dataset | dict[int, Dataset], Results]]:  # fmt: skip
    """Variants trained on `opinions` in every cell of two dials: ({"x": ..., "y": ...}, the cell's data, results), cell by cell.

    Args:
        x, y: see `effect_over_dials`.
        variants: see `workbench.experiments.compare`.
        options: other dials and sizes.
    """
    for x_value in x[1]:
        for y_value in y[1]:
            data = draws(f"opinions/{preset}", seeds, **{**(options or {}), **_dials((x[0], x_value), (y[0], y_value))})
            yield {"x": x_value, "y": y_value}, data, compare(data, variants, seeds=seeds, plan=plan, runs=runs, has_progress=False)


def _dials(*settings: tuple[str, float]) -> dict[str, Any]:
    """`("hardness.audio+vision", .5)` as the keyword `hardness={"audio": .5, "vision": .5}`."""
    dials: dict[str, Any] = {}
    for name, value in settings:
        dial, _, modalities = name.partition(".")
        if modalities:
            dials.setdefault(dial, {}).update(dict.fromkeys(modalities.split("+"), value))
        else:
            dials[dial] = value
    return dials


def weigh_anew(run: Run, data: Dataset, *, seeds: int = 3, plan: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """A-fusion trained anew from other first weights, everything else of a trained model frozen.

    Source: adaptive weight fusion (2024), Table 10 ("we freeze the parameters other than A-fusion's").

    Args:
        run: a finished run of `awf` with A-fusion.
        data: its data.
        seeds: how many times.
        plan: changes to the run's plan.

    Returns:
        One row a time: seed, ratio (share of each modality's mean alpha, as text), alpha by modality, and the scores on test.

    Raises:
        ConfigError: the run has no A-fusion.
    """
    data = run.prepared(data)
    rows = []
    for seed in range(seeds):
        model = run.model()
        attention = getattr(model.fusion, "attention", None)
        if attention is None:
            raise ConfigError(f"the run {run.id} has no A-fusion to train anew", expected="a run of awf with a_fusion=True")
        model.requires_grad_(False)
        attention.requires_grad_(True)
        fresh = run.model_like(seed=1000 + seed).fusion.attention
        attention.load_state_dict(fresh.state_dict())
        model.balance = model.balance.stopped()
        settled = Plan(**{**run.config["plan"], "seed": seed, "is_traced": False, "probe_every": 0, **(plan or {})})
        state = TrainingState.start(model, settled)
        last = [epoch for epoch in training(model, data, settled, state=state, watch=["fusion.attention.alpha"]) if epoch.is_best][-1]
        model.load_state_dict(state.best_weights)
        alpha = last.watched["fusion.attention.alpha"].mean("batch").to_series()
        said = predict(model, data["test"].to(next(model.parameters()).device), settled).prediction
        scores = make_task(data.spec.task).metrics(said, data["test"].target)
        ratio = " : ".join(score(share, 2) for share in alpha / alpha.sum())
        rows.append({"seed": seed, "ratio": ratio, **{f"alpha {name}": value for name, value in alpha.items()}, **scores})
    return pd.DataFrame(rows)


def published(dataset: str, names: Sequence[str] | None = None) -> pd.DataFrame:
    """The published rows of a data set's card: variant (one name a row), metric, value, source; what is not as here stands in the source.

    Args:
        dataset: a card's name, with the variant after a slash (`mosi_mmsa/aligned`); rows of another variant say so.
        names: these only, by the card's method names; all where None.

    Raises:
        ConfigError: there is no such card, or no such variant.
    """
    known = card(dataset)
    preset = "" if dataset.endswith(".md") else dataset.partition("/")[2]
    loaded = known.variant(preset) if known.variants else ""
    chosen = [row for row in known.published if names is None or row.method in names]
    rows = []
    for row in chosen:
        # One paper prints several numbers for a method (SGD and Adam): each keeps its own row.
        has_twin = any(other is not row and (other.method, other.source) == (row.method, row.source) for other in chosen)
        variant = f"{row.method} in {row.source.partition(' results/')[0]}" + (f", {row.note}" if has_twin else "")
        others = row.differs_from(loaded)
        differs = f"other {', '.join(others)}" if others else "comparable"
        said = {"variant": variant, "source": differs, "card": known.name}
        rows += [said | {"metric": metric, "value": value} for metric, value in row.scores.items()]
    return pd.DataFrame(rows, columns=["variant", "metric", "value", "source", "card"])


def seconds_per_epoch(results: Results) -> pd.DataFrame:
    """Training and valid pass of each epoch, without the first (warm-up): variant, seed, metric, value [s]."""
    rows = []
    for run in results.runs:
        seconds = run.trace["history"]["seconds"].values
        rows += [
            {"variant": run.variant, "seed": run.seed, "metric": "s/epoch", "value": float(value)}
            for value in [seconds[1:].mean() if len(seconds) > 1 else seconds[0]]
        ]
    return pd.DataFrame(rows)
