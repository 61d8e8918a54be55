"""Single samples, told: what was said, how it was meant, what two methods made of it, what each modality alone says, and which gates stood open.

    found = cases(results, data, count=6)
    figures.case_table(found)

Samples are chosen by what is known about them, never by how a method did on them; where nothing is known, as many are taken on which the first method
is nearer as on which the second one is, as far as there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.data.batch import Dataset, Split, TaskSpec
from workbench.errors import ConfigError
from workbench.experiments import Results
from workbench.plan import Plan
from workbench.probes.openness import gates_by_layer, has_openness
from workbench.readout import ridge_readout
from workbench.runs import Run
from workbench.statistics import score
from workbench.supervision.ulgm import UnimodalTasks
from workbench.tasks import make_task
from workbench.training import predict

SARCASTIC, DISAGREE, OTHERS = "sarcastic", "modalities disagree", "others"

FIRST, SECOND, ALIKE = "first method nearer", "second method nearer", "alike"

OWN, READOUT = "own task", "readout"
"""Who speaks for a modality alone: the model's own unimodal task (Eq. 28 of MMILN), or a linear readout of its representation before fusion."""

Data = Dataset | Mapping[int, Dataset]


@dataclass(frozen=True)
class Case:
    """One sample, in words.

    Args:
        sample: its id.
        sentence: what was said; empty where the data has no text.
        note: the group it was chosen from.
        truth: how it was meant.
        said: method to its prediction.
        nearest: the methods whose prediction is nearest to the truth.
        alone: modality to what it says alone, inside the first method.
        alone_true: modality to what it says in truth, where that is known.
        gates: modality to the gate that stands out most.
        alone_by: modality to who says what stands in `alone` (`OWN`, `READOUT`).
    """

    sample: str
    sentence: str
    note: str
    truth: str
    said: dict[str, str]
    nearest: tuple[str, ...] = ()
    alone: dict[str, str] = field(default_factory=dict)
    alone_true: dict[str, str] = field(default_factory=dict)
    gates: dict[str, str] = field(default_factory=dict)
    alone_by: dict[str, str] = field(default_factory=dict)


def cases(results: Results, data: Data, *, count: int = 4, seed: int | None = None, split: str = "test") -> list[Case]:
    """Some samples of a split, told by one run of each of two methods.

    Args:
        results: runs of two variants (more: the first two).
        data: their data.
        count: how many samples.
        seed: of the runs; None: the first that both have.
        split: which split.

    Raises:
        ConfigError: there are not two variants with that seed.
    """
    runs = _pair(results, seed)
    asked = runs[0].draw(data)[split]
    task = runs[0].spec.task
    said = {run.variant: outputs(run, data, split) for run in runs}
    errors = np.stack([sample_errors(values, asked.target, task) for values in said.values()])
    rows, notes = choose(asked, task, errors, count)
    tasks = own_tasks(runs[0], data, split)
    alone = read_alone(runs[0], data, split) | tasks
    gates = standing_out(runs[0], data, split)
    known = {name: values for name, values in asked.labels.items() if name in alone}
    return [
        Case(
            asked.ids[row],
            asked.texts[row] if asked.texts is not None else "",
            note,
            say(asked.target[row], task, is_truth=True),
            {name: say(values[row], task) for name, values in said.items()},
            tuple(name for name, error in zip(said, errors[:, row], strict=True) if error <= errors[:, row].min()),
            {name: say(values[row], task) for name, values in alone.items()},
            {name: say(values[row], task, is_truth=True) for name, values in known.items()},
            gates.get(asked.ids[row], {}),
            {name: OWN if name in tasks else READOUT for name in alone},
        )
        for row, note in zip(rows, notes, strict=True)
    ]


def _pair(results: Results, seed: int | None) -> list[Run]:
    """A run of each of the first two variants, with one seed."""
    variants = list(dict.fromkeys(run.variant for run in results.runs))[:2]
    seeds = [{run.seed for run in results.runs if run.variant == name} for name in variants]
    shared = sorted(set.intersection(*seeds)) if len(variants) == 2 else []
    chosen = shared[0] if seed is None and shared else seed
    if chosen not in shared:
        raise ConfigError(f"cases needs a run of each of two variants with {'one seed' if seed is None else f'seed {seed}'}", expected="two methods")
    return [next(run for run in results.runs if (run.variant, run.seed) == (name, chosen)) for name in variants]


def outputs(run: Run, data: Data, split: str = "test") -> Tensor:
    """What a run's model says of every sample of a split."""
    found = run.prepared(data)
    with torch.no_grad():
        return predict(run.model(), found[split], Plan(**run.config["plan"])).prediction.float()


def read_alone(run: Run, data: Data, split: str = "test") -> dict[str, Tensor]:
    """What a ridge readout of each modality's frozen representation, fitted on train, says of every sample (see `workbench.probes.linear`)."""
    found = run.prepared(data)
    model, task, plan = run.model(), make_task(found.spec.task), Plan(**run.config["plan"])
    with torch.no_grad():
        fitted, asked = (predict(model, found[name], plan).representations for name in ("train", split))
    return {name: ridge_readout(fitted[name], found["train"].target, asked[name], task=task).float() for name in model.modalities}


def own_tasks(run: Run, data: Data, split: str = "test") -> dict[str, Tensor]:
    """What the model's own unimodal tasks say of every sample of a split, by modality; nothing where it has none."""
    found, model = run.prepared(data), run.model()
    if not isinstance(model.supervision, UnimodalTasks):
        return {}
    with torch.no_grad():
        parts = [model.supervision.answers(model(batch)) for batch in found[split].batches(run.config["plan"]["batch_size"])]
    return {name: torch.cat([part[name] for part in parts]).float() for name in parts[0]}


def sample_errors(said: Tensor, target: Tensor, task: TaskSpec) -> np.ndarray:
    """How far each prediction is from the truth: the distance of scores; 0 or 1 for a class; the share of wrong labels."""
    said, target = said.detach().cpu(), target.detach().cpu()
    if task.kind == "regression":
        return (said - target).abs().numpy()
    if task.kind == "multiclass":
        return (said.argmax(1) != target).float().numpy()
    return ((said > 0) != (target > 0.5)).float().mean(1).numpy()


def groups(split: Split, task: TaskSpec) -> dict[str, np.ndarray]:
    """Samples of which something is known: those whose words a mark in the voice turns round, or those whose modalities are on both sides of neutral.

    The first where it was planted (simulated data), the second where each modality has a label; nothing where neither is known.
    """
    evidence = split.evidence
    if {"sarcasm", "text_unique_symbol", "audio_sarcasm_symbol"} <= set(evidence):
        turned = (evidence["sarcasm"] > 0) & (evidence["text_unique_symbol"] != 0) & (evidence["audio_sarcasm_symbol"] > 0)
        return {SARCASTIC: turned, OTHERS: ~turned}
    if len(split.labels) > 1 and task.kind == "regression" and task.low < 0 < task.high:
        table = np.stack([values.cpu().numpy() for values in split.labels.values()])
        apart = (table.min(0) < 0) & (table.max(0) > 0)
        return {DISAGREE: apart, OTHERS: ~apart}
    return {}


def choose(split: Split, task: TaskSpec, errors: np.ndarray, count: int) -> tuple[list[int], list[str]]:
    """Rows of the split, and why each was chosen.

    Args:
        split: the samples.
        task: what is predicted.
        errors: `method sample`, of two methods.
        count: how many.
    """
    known = groups(split, task)
    if any(members.any() for name, members in known.items() if name != OTHERS):
        found = {name: np.flatnonzero(members).tolist() for name, members in known.items()}
        first = next(name for name in found if name != OTHERS)
        taken = found[first][: max(1, count - count // 3)]
        picked = [(row, first) for row in taken] + [(row, OTHERS) for row in found[OTHERS][: count - len(taken)]]
    else:
        apart = errors[0] - errors[1]
        order = np.argsort(-np.abs(apart), kind="stable").tolist()
        signs = {FIRST: -1, SECOND: 1, ALIKE: 0}
        first, second, alike = ([(row, note) for row in order if np.sign(apart[row]) == sign] for note, sign in signs.items())
        half, rest = -(-count // 2), count // 2
        picked = [*first[:half], *second[:rest]]
        picked += [*alike, *first[half:], *second[rest:]][: count - len(picked)]
    return [row for row, _ in picked], [note for _, note in picked]


def say(value: Tensor, task: TaskSpec, *, is_truth: bool = False) -> str:
    """A score, a class with its probability, or all labels that are given."""
    value = value.detach().cpu()
    if task.kind == "regression":
        return score(float(value), 2, sign=task.low < 0 < task.high)
    if task.kind == "multiclass":
        return task.classes[int(value)] if is_truth else task.classes[int(value.argmax())]
    given = value > (0.5 if is_truth else 0.0)
    return ", ".join(name for name, is_given in zip(task.classes, given.tolist(), strict=True) if is_given) or "none"


def standing_out(run: Run, data: Data, split: str = "test") -> dict[str, dict[str, str]]:
    """For each sample and modality the gate that is furthest from its mean over the samples, in standard deviations; nothing without such gates.

    Returns:
        Sample to modality to `stream retain, layer 2: .530 (+2.1 sd)`.
    """
    if not has_openness(run):
        return {}
    frame = gates_by_layer([run], data, split=split)
    cells = frame.groupby(["gate", "layer", "modality"])["value"]
    spread = cells.transform("std")
    frame = frame.assign(apart=((frame["value"] - cells.transform("mean")) / spread.where(spread > 0)).fillna(0.0))
    furthest = frame.loc[frame.groupby(["sample", "modality"], sort=False)["apart"].apply(lambda values: values.abs().idxmax())]
    found: dict[str, dict[str, str]] = {}
    for row in furthest.itertuples():
        said = f"{row.gate}, layer {row.layer}: {score(row.value)} ({score(row.apart, 1, sign=True)} sd)"
        found.setdefault(row.sample, {})[row.modality] = said
    return found


def group_errors(results: Results, data: Data, *, split: str = "test") -> pd.DataFrame:
    """Mean error of every run in each group of samples (see `groups`), as `figures.score_table` takes it.

    Returns:
        One row a number: variant, seed, metric (`error, sarcastic`), value; no row where no group is known.
    """
    rows = []
    for run in results.runs:
        asked = run.draw(data)[split]
        known = groups(asked, run.spec.task)
        errors = sample_errors(outputs(run, data, split), asked.target, run.spec.task) if known else np.zeros(0)
        rows += [(run.variant, run.seed, f"error, {name}", float(errors[members].mean())) for name, members in known.items() if members.any()]
    return pd.DataFrame(rows, columns=["variant", "seed", "metric", "value"])


def say_chosen(found: Sequence[Case]) -> str:
    """How the samples were chosen, in words."""
    notes = {case.note for case in found}
    if notes & {SARCASTIC, DISAGREE}:
        return "Samples: the first of the split in each group; nobody looked at the predictions."
    chosen = "Samples: those on which one method is nearer to the truth by most, as many for each method as far as there are"
    return f"{chosen}; alike: both are equally near." if ALIKE in notes else f"{chosen}."
