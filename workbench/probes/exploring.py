"""One trained model opened for looking at single samples: look-ups that answer at once, and what takes longer, kept once it is known.

opened = open_run(run, data)
row = opened.orders["teaches most"][0]
opened.said(row, muted=["audio"])         # a look-up
opened.said(row, swaps={"audio": 17})     # one forward pass
opened.attribution(row), opened.views(row)
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from workbench.data.batch import Batch, Dataset, TaskSpec
from workbench.data.inspection.portrait import sample_frame
from workbench.errors import ConfigError, WorkbenchError, unknown
from workbench.model import FusionModel
from workbench.probes.attended import agreement, planted_steps, received
from workbench.probes.attribution import Attribution, attribute
from workbench.probes.choosing import orders
from workbench.probes.subsets import Subsets, chances, predict_muted, scale, shapley, stand_in, subset_predictions
from workbench.probes.views import record_views, step_words, views
from workbench.recording import fingerprint
from workbench.runs import Run
from workbench.statistics import score
from workbench.surroundings import usable_cores
from workbench.taps import taps

LOCK = "the test split is for the last score: whoever looks at its samples chooses by them"


MOST_KEPT = 400
"""Answers, views and attributions that are kept of the samples that were looked at."""


@dataclass
class Opened:
    """A model, a split, and what is known of its samples.

    Args:
        run: where the model is from; None: a model as it is.
        model: in evaluation mode.
        data: as the model saw it.
        split: name of the split.
        subsets: predictions of every subset of the modalities.
        orders: ways to go through the samples (see `workbench.probes.choosing.orders`).
        seconds: of one forward pass of one sample.
    """

    run: Run | None
    model: FusionModel
    data: Dataset
    split: str
    subsets: Subsets
    orders: dict[str, np.ndarray]
    seconds: float
    stand_ins: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)
    _kept: dict[tuple, Any] = field(default_factory=dict, repr=False)

    @property
    def task(self) -> TaskSpec:
        """What is predicted."""
        return self.data.spec.task

    @property
    def modalities(self) -> tuple[str, ...]:
        """In the card's order."""
        return self.subsets.modalities

    def __len__(self) -> int:
        return len(self.data[self.split])

    def batch(self, row: int) -> Batch:
        """One sample as the model is given it."""
        return self.data[self.split].batch(torch.tensor([row]))

    def truth(self, row: int) -> np.ndarray:
        """The target."""
        return self.data[self.split].target[row].cpu().numpy()

    def said(self, row: int, *, muted: Sequence[str] = (), swaps: Mapping[str, int] | None = None) -> np.ndarray:
        """What the model says of a sample: a score, or the scores of its classes. Without a swap a look-up wherever the subset was asked.

        Args:
            row: the sample.
            muted: modalities that are muted.
            swaps: modality -> the sample that it is taken from; a copy is changed, never the data.
        """
        swaps = {name: other for name, other in (swaps or {}).items() if name not in muted and other != row}
        key = self.subsets.key([name for name in self.modalities if name not in muted])
        if not swaps and key in self.subsets.said:
            return self.subsets.said[key][row]
        asked = ("said", row, key, *sorted(swaps.items()))
        if asked not in self._kept:
            self._keep(asked, self._pass(row, [name for name in self.modalities if name not in key], swaps))
        return self._kept[asked]

    def _keep(self, asked: tuple, found: Any) -> None:
        """Keeps what was found; the oldest goes where there is too much, whatever sample it was of."""
        self._kept[asked] = found
        while len(self._kept) > MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))

    def is_known(self, row: int, *, muted: Sequence[str] = (), swaps: Mapping[str, int] | None = None) -> bool:
        """True where `said` is a look-up."""
        swaps = {name: other for name, other in (swaps or {}).items() if name not in muted and other != row}
        key = self.subsets.key([name for name in self.modalities if name not in muted])
        return (not swaps and key in self.subsets.said) or ("said", row, key, *sorted(swaps.items())) in self._kept

    def _pass(self, row: int, away: Sequence[str], swaps: Mapping[str, int]) -> np.ndarray:
        """One forward pass."""
        batch = self.batch(row)
        given = {name: self.batch(other)[name] for name, other in swaps.items()}
        batch = Batch({**batch.modalities, **given}, batch.target, batch.index)
        return predict_muted(self.model, batch, away, self.subsets.treatment, self.stand_ins)[0].cpu().numpy()

    def values(self, row: int, output: int = 0) -> dict[tuple[str, ...], float]:
        """One number a subset (see `Subsets.values`)."""
        return self.subsets.values(row, output=output)

    def worth(self, row: int, output: int = 0) -> dict[str, dict[str, float]]:
        """What each modality is worth for a sample: `without it` (the whole less it muted) and, of few modalities, its `Shapley value`."""
        values = self.values(row, output)
        whole = values[self.modalities]
        found = {"whole less without it": {name: whole - values[self.subsets.key(set(self.modalities) - {name})] for name in self.modalities}}
        is_whole = len(values) == 2 ** len(self.modalities) and all(np.isfinite(value) for value in values.values())
        return found | ({"Shapley value": shapley(values)} if is_whole and len(self.modalities) > 1 else {})

    def seen(self, row: int) -> xr.Dataset | None:
        """Every tap for this sample (see `record_views`); None where the model has none."""
        if not taps(self.model):
            return None
        return self._once(("seen", row), lambda: record_views(self.model, self.data, rows=[row], split=self.split))

    def views(self, row: int) -> list[dict[str, Any]]:
        """A view of each tap for this sample (see `workbench.probes.views.views`); none where the model has no taps."""
        seen = self.seen(row)
        return [] if seen is None else self._once(("views", row), lambda: views(seen))

    def attention(self, row: int, tap: str = "") -> dict[str, np.ndarray]:
        """Attention that each step receives, in even shares; nothing where the model has no attention over steps."""
        found = self.views(row)
        return received(found, self.seen(row), tap=tap) if found else {}

    def weights(self, row: int) -> dict[str, dict[str, float]]:
        """What the model's taps give each modality for this sample: name of the tap -> modality -> value (mean over features and heads)."""
        found = {}
        for view in self.views(row):
            values = view["values"]
            if view["kind"] in ("weights", "gates", "spaces") and "modality" in values.dims and view["kind"] != "spaces":
                others = [dim for dim in values.dims if dim != "modality"]
                mean = values.mean(others) if others else values
                found[view["title"]] = {str(name): float(value) for name, value in zip(mean["modality"].values, mean.values, strict=True)}
        kept: dict[str, dict[str, float]] = {}
        for title, by in found.items():
            # A gate and its own mean over the features are one number here.
            if set(by) <= set(self.modalities) and not any(_are_close(by, other) for other in kept.values()):
                kept[title] = by
        return kept

    def frame(self, row: int) -> pd.DataFrame:
        """The sample as numbers and words that can be drawn (see `workbench.data.inspection.portrait.sample_frame`)."""
        return self._once(("frame", row), lambda: self._frame(row))

    def _frame(self, row: int) -> pd.DataFrame:
        frame, found = sample_frame(self.data, row, split=self.split), self.data[self.split]
        for name, spec in self.data.spec.modalities.items():
            words = step_words(name, spec, found, [row], notes=self.data.notes) if spec.kind == "tokens" and not spec.vocabulary else None
            is_mine = frame["modality"] == name
            if words is not None and int(is_mine.sum()) == len(words[0]):
                frame.loc[is_mine, "word"] = words[0]
        return frame

    def attribution(self, row: int, *, output: int = 0, baseline: str = "") -> Attribution:
        """Integrated gradients of this sample (see `workbench.probes.attribution`); from what muting means here."""
        chosen = baseline or ("mean" if self.subsets.treatment == "mean" else "zero")
        asked = ("attribution", row, output, chosen)
        with sparing_a_core():
            return self._once(asked, lambda: attribute(self.model, self.data, row, split=self.split, output=output, baseline=chosen))

    def has_attribution(self, row: int, *, output: int = 0) -> bool:
        """True where it is known already."""
        return ("attribution", row, output, "mean" if self.subsets.treatment == "mean" else "zero") in self._kept

    def planted(self, row: int) -> dict[str, np.ndarray]:
        """Which steps carry planted evidence, by modality; nothing where the data does not say."""
        found, view = self.data[self.split], self.data.notes.get("view", {})
        # Averaged over the steps of another modality, frames are no longer where the evidence says.
        kept = [name for name in self.modalities if not view.get("align_to") or name == view["align_to"]]
        lengths = {name: int(found.columns[name].lengths[row]) for name in kept}
        marks = {name: planted_steps(found.evidence, row, name, count) for name, count in lengths.items()}
        return {name: places for name, places in marks.items() if places is not None}

    def agreements(self, row: int, strengths: Mapping[str, np.ndarray]) -> dict[str, float]:
        """How well numbers by step point at the planted evidence (AUC; their size counts, not their sign), by modality."""
        planted = self.planted(row)
        both = [name for name in strengths if name in planted and len(strengths[name]) == len(planted[name])]
        return {name: agreement(np.abs(strengths[name]), planted[name]) for name in both}

    def output_of(self, row: int) -> int:
        """The class or label that is told where none is chosen: the predicted class; the label that muting one modality moves most."""
        if self.task.kind == "multiclass":
            return int(self.subsets.whole[row].argmax())
        if self.task.kind == "multilabel":
            whole = chances(self.subsets.whole[row : row + 1], self.task)
            moved = [np.abs(chances(self.subsets.without(name)[row : row + 1], self.task) - whole)[0] for name in self.modalities]
            return int(np.max(moved, axis=0).argmax())
        return 0

    def _once(self, asked: tuple, make: Callable[[], Any]) -> Any:
        if asked not in self._kept:
            self._keep(asked, make())
        return self._kept[asked]


def open_run(
    source: Run | FusionModel,
    data: Dataset | Mapping[int, Dataset],
    *,
    split: str = "valid",
    treatment: str = "mask",
    is_test_unlocked: bool = False,
    groups: Callable[..., Mapping[str, np.ndarray]] | None = None,
    said: Callable[[int, int], None] | None = None,
) -> Opened:
    """A run's model and what it says of every sample of a split for every subset of its modalities.

    Args:
        source: a finished run, or a model.
        data: its data (of a run: by seed where each seed had its own draw).
        split: `valid`, `train`, or, unlocked, `test`.
        treatment: what muting means (see `workbench.probes.subsets.MUTINGS`).
        is_test_unlocked: the test split may be looked at.
        groups: `(split, task) ->` known groups of samples.
        said: see `subset_predictions`.

    Raises:
        ConfigError: the test split is locked; an unknown split or treatment.
    """
    if split == "test" and not is_test_unlocked:
        raise ConfigError("the test split is locked", where=LOCK, expected="valid or train", do="unlock_test=True once nothing is chosen any more")
    is_run = isinstance(source, Run)
    whole = source.draw(data) if is_run else data
    if split not in whole.splits:
        raise unknown("split", split, whole.splits)
    model = source.model() if is_run else source
    prepared = source.prepared(whole) if is_run else whole.select(*model.modalities)
    with sparing_a_core():
        found = subset_predictions(source, whole, split=split, treatment=treatment, model=model, said=said)
    known = groups(prepared[split], prepared.spec.task) if groups is not None else {}
    opened = Opened(source if is_run else None, model, prepared, split, found, orders(found, prepared[split], known), 0.0)
    opened.stand_ins = stand_in(model, prepared, treatment)
    opened.seconds = min(_timed(opened) for _ in range(3))
    return opened


@contextmanager
def sparing_a_core() -> Iterator[None]:
    """Inside the block torch leaves a core to the interface."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, usable_cores() - 1)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _timed(opened: Opened) -> float:
    begun = time.perf_counter()
    opened._pass(0, [], {})
    return time.perf_counter() - begun


def data_of(run: Run, data: Dataset | Mapping[int, Dataset] | str | None = None) -> Dataset:
    """The data of a run: given, by name, or (None) by what its config says; simulated data is drawn as it was.

    Raises:
        WorkbenchError: it is not here.
        ConfigError: it is not what the run was trained on.
    """
    from workbench.data import load

    if data is not None and not isinstance(data, str):
        return run.draw(data)
    notes, name = run.config.get("notes", {}), data or run.config["dataset"]
    view = dict(notes.get("view", {}))
    if isinstance(notes.get("dials"), dict):
        options = {**notes["dials"], "seed": notes.get("seed", 0), **view}
        found = load(name, **options)
    else:
        found = load(name, **{**notes.get("options", {}), **view})
    if fingerprint(run.prepared(found)) != run.config.get("fingerprint"):
        raise ConfigError(f"{name} is not the data that run {run.id} was trained on", do="give the Dataset itself: explorer(run, data)")
    return found


def say_mute(opened: Opened, row: int, muted: Sequence[str], swaps: Mapping[str, int] | None = None, output: int = 0) -> str:
    """What muting (or a swap) does to the prediction, in one sentence: by how much, and whether it turns."""
    whole, now = opened.subsets.whole[row], opened.said(row, muted=muted, swaps=swaps)
    swaps = {name: other for name, other in (swaps or {}).items() if name not in muted and other != row}
    if not muted and not swaps:
        return _say_strongest(opened, row, output)
    what = []
    if muted:
        what.append(f"muting {_and(muted)}")
    if swaps:
        what.append(f"taking {_and([f'{name} from sample {other}' for name, other in swaps.items()])}")
    before, after = (number(said, opened.task, output) for said in (whole, now))
    if not np.isfinite(after):
        return f"{_first(' and '.join(what))} leaves the model without an answer (it says {after})."
    return f"{_first(' and '.join(what))} {_say_move(opened.task, output, before, after, whole, now)}{_say_truth(opened, row, now)}"


def number(said: np.ndarray, task: TaskSpec, output: int) -> float:
    """One prediction as one number: the score, or the probability of the output."""
    return float(scale(np.asarray(said)[None], task, output)[0])


def _say_move(task: TaskSpec, output: int, before: float, after: float, whole: np.ndarray, now: np.ndarray) -> str:
    """From where to where, and what turns."""
    if task.kind == "regression":
        sign = task.low < 0 < task.high
        turned = " and turns its sign" if sign and np.sign(before) != np.sign(after) else ""
        if abs(after - before) < 0.005:
            return f"does not move the prediction ({score(before, 2, sign=sign)})"
        ends = f"{score(before, 2, sign=sign)} to {score(after, 2, sign=sign)}"
        return f"moves the prediction by {score(after - before, 2, sign=True)}, from {ends}{turned}"
    name = task.classes[output]
    ends = f"from {score(before, 2)} to {score(after, 2)}"
    turned = ""
    if task.kind == "multiclass" and whole.argmax() != now.argmax():
        turned = f" and turns the answer to {task.classes[int(now.argmax())]}"
    if task.kind == "multilabel" and (before > 0.5) != (after > 0.5):
        turned = f" and turns it {'off' if before > 0.5 else 'on'}"
    if abs(after - before) < 0.005 and not turned:
        return f"does not move the probability of {name} ({score(before, 2)})"
    return f"moves the probability of {name} {ends}{turned}"


def _say_truth(opened: Opened, row: int, now: np.ndarray) -> str:
    """The truth, and whether what is said now is nearer to it than the whole."""
    task, truth = opened.task, opened.truth(row)
    if task.kind == "regression":
        far, before = abs(float(now) - float(truth)), abs(float(opened.subsets.whole[row]) - float(truth))
        word = "further from" if far > before + 0.005 else "nearer to" if far < before - 0.005 else "as far from"
        return f": {word} the truth ({score(float(truth), 2, sign=task.low < 0 < task.high)})."
    if task.kind == "multiclass":
        return f" (truth: {task.classes[int(truth)]})."
    given = [name for name, value in zip(task.classes, truth, strict=True) if value > 0.5]
    return f" (truth: {', '.join(given) or 'none'})."


def _say_strongest(opened: Opened, row: int, output: int) -> str:
    """With everything there: which modality moves the prediction furthest when it is muted."""
    values = opened.values(row, output)
    whole = values[opened.modalities]
    moves = {name: values[opened.subsets.key(set(opened.modalities) - {name})] - whole for name in opened.modalities}
    finite = {name: move for name, move in moves.items() if np.isfinite(move)}
    if not finite:
        return "Muting any one modality leaves the model without an answer."
    name = max(finite, key=lambda key: abs(finite[key]))
    return f"{say_mute(opened, row, [name], output=output)} No other modality moves it further."


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _are_close(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    return set(first) == set(second) and all(abs(first[name] - second[name]) < 1e-6 for name in first)


def explain(error: Exception) -> str:
    """An error for people, on one line where it is one of ours."""
    if isinstance(error, WorkbenchError):
        return ". ".join(part for part in (error.what, error.expected and f"Expected: {error.expected}", error.do and f"Do: {error.do}") if part)
    return f"{type(error).__name__}: {error}"
