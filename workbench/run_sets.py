"""Which runs of a folder can be asked together? Finished ones, every variant with every seed on the same data; what is not there is trained.

chosen = chosen_runs("opinions/balanced", ["lf_dnn", "generative.cvae"], seeds=3)
say_chosen(chosen)
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from workbench.data import is_simulated
from workbench.data.batch import Dataset
from workbench.errors import ConfigError, WorkbenchError
from workbench.experiments import Results
from workbench.probes.exploring import data_of
from workbench.probes.ladder import constant_score
from workbench.runs import Run, load_all
from workbench.studies import draws
from workbench.tasks import LOWER_IS_BETTER
from workbench.taxonomy import trained

SMALL = ("lf_dnn", "constraint.low_rank", "graph.modalities", "generative.cvae")
"""What is trained where a folder has no finished run of a data set, and no method is named."""

GENERATIVE = "generative.cvae"
"""The method that is added where no other can put something in the place of what is missing."""

MOST = 6
"""Variants that are asked at once: more lines cannot be told apart."""

Data = Dataset | Mapping[int, Dataset]


@dataclass(frozen=True)
class Chosen:
    """A set of runs that can be compared: every variant has every seed, and the same data.

    Args:
        runs: variant by variant, seed by seed; a variant is called by its method and rule.
        data: what they were trained on (by seed where each seed had its own draw).
        headline: the metric that is looked at.
        found: variants that were finished before.
        new: variants that were trained for this question.
        left_out: finished runs of this data set that are not asked, and why: reason -> how many.
        folder: where they are.
    """

    runs: list[Run]
    data: Data
    headline: str
    found: tuple[str, ...]
    new: tuple[str, ...]
    left_out: Mapping[str, int]
    folder: str

    @property
    def seeds(self) -> list[int]:
        """The seeds that every variant has."""
        return sorted({run.seed for run in self.runs})

    @property
    def floor(self) -> dict[int, float]:
        """By seed the score on test of the best answer that looks at nothing (see `workbench.probes.ladder.constant_score`)."""
        return {seed: constant_score(one, self.headline) for seed, one in self._draws()}

    def _draws(self) -> Iterator[tuple[int, Dataset]]:
        for seed in self.seeds:
            yield seed, self.data if isinstance(self.data, Dataset) else self.data[seed]


def chosen_runs(
    dataset: str, methods: Sequence[str] = (), *, seeds: int | Sequence[int] = 3, samples: int = 400, plan: Mapping[str, Any] | None = None,
    runs: str | Path = "runs",
) -> Chosen:  # fmt: skip
    """Finished runs of a data set from a folder, on one and the same data; what is named and not there is trained.

    A method counts as finished where one of its settings has a run for every seed; of several settings the best on valid is asked. Where the folder
    has runs of several views or draws of the data set, those of most variants are asked. Runs of single modalities are none of this question.

    Args:
        dataset: its name, as the runs have it.
        methods: these only; where none is named all that are finished, or `SMALL` where nothing is. `GENERATIVE` is added where no method puts
            something in the place of what is missing.
        seeds: how many (0, 1, ...), or which.
        samples: of simulated data, training samples of what is drawn where nothing is finished.
        plan: values of the plan of what is trained.
        runs: the folder.

    Raises:
        ConfigError: nothing is finished, and of every training a seed failed.
    """
    wanted = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    names = [*methods, *(() if not methods or _has_generative(methods) else (GENERATIVE,))]
    known = [run for run in load_all(runs) if run.config["dataset"] == dataset and (not names or run.config["method"] in names)]
    data, groups, left_out = _usable(known, wanted)
    found = {name: _called(name, group) for name, group in groups.items()}
    if data is None:
        data = draws(dataset, wanted, **({"train": samples, "valid": samples // 2, "test": 5 * samples // 4} if is_simulated(dataset) else {}))
    here = {group[0].config["method"] for group in found.values()}
    missing = [name for name in (names or (() if found else SMALL)) if name not in here]
    if not _has_generative((*here, *missing)):
        missing.append(GENERATIVE)
    new: list[Run] = []
    if missing:
        results = trained(data, {name: {"method": name} for name in missing}, seeds=wanted, plan=plan, runs=runs)
        new = _whole(results)
    asked = [run for group in found.values() for run in group] + new
    if not asked:
        raise ConfigError(f"none of the trainings has all of {len(wanted)} seeds", where=results.failed[0]["error"])
    new_names = tuple(dict.fromkeys(run.variant for run in new))
    return Chosen(asked, data, asked[0].config["headline"], tuple(found), new_names, left_out, str(runs))


def _has_generative(methods: Iterable[str]) -> bool:
    return any(name.startswith("generative.") for name in methods)


def _usable(known: Sequence[Run], seeds: Sequence[int]) -> tuple[Data | None, dict[str, list[Run]], dict[str, int]]:
    """The data of most variants that are complete, those variants' runs by name, and what is left out."""
    whole = max((len(run.config["modalities"]) for run in known), default=0)
    joint = [run for run in known if len(run.config["modalities"]) == whole and whole > 1]
    left_out = {"not of all modalities": len(known) - len(joint)}
    by_data: dict[str, list[Run]] = {}
    for run in joint:
        by_data.setdefault(_data_key(run), []).append(run)
    complete = {key: _complete(found, seeds) for key, found in by_data.items()}
    for key in sorted(complete, key=lambda key: -len(complete[key])):
        groups = dict(list(complete[key].items())[:MOST])
        data = _data(next(iter(groups.values()))) if groups else None
        if data is not None:
            left_out["of other draws or views of the data"] = len(joint) - len(by_data[key])
            left_out["not for every seed, or of settings that are worse on valid"] = len(by_data[key]) - sum(map(len, complete[key].values()))
            left_out[f"beyond the {MOST} variants that are best on valid"] = sum(map(len, list(complete[key].values())[MOST:]))
            return data, groups, {why: count for why, count in left_out.items() if count}
    left_out["not for every seed, or of data that is not here"] = len(joint)
    return None, {}, {why: count for why, count in left_out.items() if count}


def _data_key(run: Run) -> str:
    """What says which data it was, without the seed."""
    return json.dumps({key: value for key, value in run.settings.items() if key.startswith("data.")}, sort_keys=True, default=str)


def _complete(runs: Iterable[Run], seeds: Sequence[int]) -> dict[str, list[Run]]:
    """By method and rule the settings that have every seed and are best on valid, the best variant first."""
    groups: dict[tuple[str, str], dict[int, Run]] = {}
    for run in runs:
        groups.setdefault((_label(run), run.settings_key), {}).setdefault(run.seed, run)
    found: dict[str, list[Run]] = {}
    for (name, _), by_seed in groups.items():
        if all(seed in by_seed for seed in seeds):
            group = [by_seed[seed] for seed in seeds]
            if name not in found or _on_valid(group) > _on_valid(found[name]):
                found[name] = group
    return dict(sorted(found.items(), key=lambda item: -_on_valid(item[1])))


def _label(run: Run) -> str:
    """Its method and rule: what a run was called in its own comparison (`joint`) says nothing in another."""
    rule = run.config["balance"]
    return run.config["method"] if rule in (None, "none") else f"{run.config['method']} + {rule}"


def _on_valid(group: Sequence[Run]) -> float:
    """The mean headline score on valid, larger for better."""
    metric = group[0].config["headline"]
    return _sign(metric) * float(np.mean([run.metrics["valid"][metric] for run in group]))


def _sign(metric: str) -> float:
    return -1.0 if metric in LOWER_IS_BETTER else 1.0


def _data(group: Sequence[Run]) -> Data | None:
    """The data of each seed's run, one where all have the same; None where it is not here."""
    try:
        found = {group[0].seed: data_of(group[0])}
        if len({run.config["fingerprint"] for run in group}) == 1:
            return found[group[0].seed]
        return found | {run.seed: data_of(run) for run in group[1:]}
    except WorkbenchError:
        return None


def _called(name: str, group: Sequence[Run]) -> list[Run]:
    return [replace(run, config={**run.config, "variant": name}) for run in group]


def _whole(results: Results) -> list[Run]:
    """The runs of variants of which no seed failed."""
    failed = {row["variant"] for row in results.failed}
    return [run for run in results.runs if run.variant not in failed]


def say_chosen(chosen: Chosen) -> str:
    """One sentence: which variants were finished in the folder, which were trained here, and what is not asked."""
    seeds = f"{len(chosen.seeds)} seeds each" if len(chosen.seeds) > 1 else "one seed each: no intervals"
    parts = [f"finished in {chosen.folder}: {', '.join(chosen.found)}"] if chosen.found else [f"no finished run in {chosen.folder} will do"]
    parts += [f"trained for this page: {', '.join(chosen.new)}"] if chosen.new else ["nothing was trained for this page"]
    left = "".join(f"; {count} {'run' if count == 1 else 'runs'} left out: {why}" for why, count in chosen.left_out.items())
    said = "; ".join(parts)
    return f"{said[0].upper()}{said[1:]} ({seeds}){left}."
