"""What does a trained model say of a whole split when only some of its modalities are left? Every subset, one batched pass each.

found = subset_predictions(run, data)             # kept beside the run: the second time nothing is computed
found.of("text", "vision")                        # audio is muted
shapley(found.values(row=17))                     # what each modality brings, exact
"""

import itertools
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn

from workbench.data.batch import PADDING, Batch, Dataset, TaskSpec
from workbench.data.column import Modality
from workbench.data.scaling import mean_and_spread
from workbench.errors import ConfigError, unknown
from workbench.model import FusionModel
from workbench.recording import fingerprint
from workbench.runs import Run

MUTINGS = {
    "mask": "the modality is missing: none of its steps is real",
    "zero": "every number of it is zero (words: a vector of zeros)",
    "mean": "every step of it is the training mean (words: the mean word vector)",
}
"""What muting can mean."""

MOST = 5
"""Modalities of which every subset is asked (32); of more only all, none, and all but one."""

Said = Mapping[tuple[str, ...], np.ndarray]


@dataclass(frozen=True)
class Subsets:
    """Predictions of a split, by the modalities that are left.

    Args:
        said: modalities that are left, in the card's order -> what the model says, `sample` or `sample output` (scores before the softmax).
        modalities: all of them.
        task: what is predicted.
        treatment: what muting means here (see `MUTINGS`).
        ids: the samples.
    """

    said: dict[tuple[str, ...], np.ndarray]
    modalities: tuple[str, ...]
    task: TaskSpec
    treatment: str
    ids: tuple[str, ...]

    def of(self, *left: str) -> np.ndarray:
        """What is said with only these modalities left.

        Raises:
            ConfigError: this subset was not asked.
        """
        key = self.key(left)
        if key not in self.said:
            raise ConfigError(f"nobody asked what is said of {' and '.join(key) or 'nothing'} alone", expected=f"one of {len(self.said)} subsets")
        return self.said[key]

    def key(self, left: Sequence[str]) -> tuple[str, ...]:
        """The modalities in the card's order."""
        return tuple(name for name in self.modalities if name in left)

    @property
    def whole(self) -> np.ndarray:
        """What is said with everything there."""
        return self.said[self.modalities]

    def without(self, *names: str) -> np.ndarray:
        """What is said when these are muted."""
        return self.of(*(name for name in self.modalities if name not in names))

    def values(self, row: int, *, output: int = 0) -> dict[tuple[str, ...], float]:
        """One number a subset for one sample (see `scale`)."""
        return {left: float(scale(said[row : row + 1], self.task, output)[0]) for left, said in self.said.items()}

    @property
    def moved(self) -> np.ndarray:
        """`modality sample`: how far muting one alone moves the prediction: the score's distance, or the largest change of a probability."""
        whole = chances(self.whole, self.task)
        found = [np.abs(chances(self.without(name), self.task) - whole) for name in self.modalities]
        return np.stack([far if far.ndim == 1 else far.max(1) for far in found])


def chances(said: np.ndarray, task: TaskSpec) -> np.ndarray:
    """Scores as they are; of classes and labels their probabilities."""
    said = said.astype(np.float64)
    if task.kind == "regression":
        return said
    if task.kind == "multilabel":
        return 1 / (1 + np.exp(-said))
    powers = np.exp(said - said.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def scale(said: np.ndarray, task: TaskSpec, output: int = 0) -> np.ndarray:
    """One number a sample: the score, or the probability of one class or label."""
    found = chances(said, task)
    return found if task.kind == "regression" else found[:, output]


def subsets_of(modalities: Sequence[str], most: int = MOST) -> list[tuple[str, ...]]:
    """Which modalities may be left: every subset (the whole first, nothing last), or of many modalities the whole, all but one, and nothing."""
    counts = range(len(modalities), -1, -1)
    if len(modalities) > most:
        counts = [len(modalities), len(modalities) - 1, 0]
    return [left for count in counts for left in itertools.combinations(modalities, count)]


def subset_predictions(
    source: Run | FusionModel,
    data: Dataset,
    *,
    split: str = "valid",
    treatment: str = "mask",
    model: FusionModel | None = None,
    said: Callable[[int, int], None] | None = None,
) -> Subsets:
    """Predictions of every sample of a split for every subset of the modalities (see `subsets_of`), in evaluation mode.

    Of a run they are kept in its folder (`subsets-<split>-<treatment>-<sum of the data>.npz`, written whole or not at all) and found there again.

    Args:
        source: a finished run, or a model.
        data: what it was trained on (for a model: as its builder saw it).
        split: which split.
        treatment: what muting means (see `MUTINGS`).
        model: the run's model, where it is built already.
        said: called with (batches done, batches in all).

    Raises:
        ConfigError: nobody knows the treatment.
    """
    if treatment not in MUTINGS:
        raise unknown("muting", treatment, MUTINGS)
    is_run = isinstance(source, Run)
    prepared = source.prepared(data) if is_run else data
    found = prepared[split]
    path = source.path / f"subsets-{split}-{treatment}-{fingerprint(prepared)}.npz" if is_run else None
    names, task = tuple(prepared.spec.modalities), prepared.spec.task
    kept = _read(path, names) if path is not None else None
    if kept is None:
        asked = model or (source.model() if is_run else source)
        kept = _ask(asked, prepared, split, treatment, said)
        if path is not None:
            # A folder that cannot be written costs time, not an answer.
            with suppress(OSError):
                _write(path, kept, names)
    return Subsets(kept, names, task, treatment, tuple(found.ids))


def _ask(model: FusionModel, data: Dataset, split: str, treatment: str, said: Callable[[int, int], None] | None) -> dict[tuple[str, ...], np.ndarray]:
    """Every subset for every batch."""
    stand_ins = stand_in(model, data, treatment)
    keys, found = subsets_of(model.modalities), data[split]
    parts: dict[tuple[str, ...], list[np.ndarray]] = {key: [] for key in keys}
    count = -(-len(found) // 256)
    for place, batch in enumerate(found.batches(256), start=1):
        for key in keys:
            away = [name for name in model.modalities if name not in key]
            parts[key].append(predict_muted(model, batch, away, treatment, stand_ins).cpu().numpy())
        if said is not None:
            said(place, count)
    return {key: np.concatenate(part) for key, part in parts.items()}


def stand_in(model: FusionModel, data: Dataset, treatment: str) -> dict[str, Tensor]:
    """What stands where a modality is muted, by modality: one step (words: the vector of one word); nothing for `mask`."""
    if treatment == "mask":
        return {}
    found = {}
    for name, spec in data.spec.modalities.items():
        column = data["train"].columns[name]
        if spec.kind != "tokens":
            mean = mean_and_spread(column)[0].float().nan_to_num()
            found[name] = mean if treatment == "mean" else torch.zeros_like(mean)
        elif (table := word_vectors(model, name)) is not None:
            weights = table.weight.detach()
            counts = torch.bincount(column.values.flatten().cpu(), minlength=len(weights))[: len(weights)].to(weights)
            mean = counts @ weights / counts.sum().clamp_min(1)
            found[name] = mean if treatment == "mean" else torch.zeros_like(mean)
    return found


def word_vectors(model: FusionModel, name: str) -> nn.Embedding | None:
    """The table that a modality's words are looked up in: the pretrained model's own, or the first one in its encoder; None without one."""
    for module in model.encoders[name].modules():
        if hasattr(module, "get_input_embeddings"):
            return module.get_input_embeddings()
    return next((module for module in model.encoders[name].modules() if isinstance(module, nn.Embedding)), None)


@torch.no_grad()
def predict_muted(model: FusionModel, batch: Batch, away: Sequence[str], treatment: str, stand_ins: Mapping[str, Tensor]) -> Tensor:
    """The prediction for a batch with some modalities muted, in evaluation mode; nothing stays changed."""
    was_training = model.training
    changed = {name: muted(batch[name], treatment, stand_ins.get(name)) for name in away}
    batch = Batch({**batch.modalities, **changed}, batch.target, batch.index)
    try:
        with replaced_words(model, batch, {name: stand_ins[name] for name in away if name in stand_ins}):
            return model.eval()(batch).prediction.float()
    finally:
        model.train(was_training)


def muted(modality: Modality, treatment: str, stand_in: Tensor | None) -> Modality:
    """One modality of a batch, muted; words keep their places (see `replaced_words`), but for `mask`."""
    if treatment == "mask":
        return Modality(torch.zeros_like(modality.values), torch.zeros_like(modality.mask), has_gaps=True)
    if not modality.values.is_floating_point():
        return modality if stand_in is not None else Modality(torch.full_like(modality.values, PADDING), modality.mask, modality.has_gaps)
    if modality.values.dim() == 4:
        return Modality(stand_in.to(modality.values).expand_as(modality.values), modality.mask, modality.has_gaps)
    return Modality(stand_in.to(modality.values) * modality.mask[..., None], modality.mask, modality.has_gaps)


@contextmanager
def replaced_words(model: FusionModel, batch: Batch, vectors: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside the block the real words of some modalities have these vectors (`feature`, or `batch time feature`); hooks come off after it."""
    hooks = []
    try:
        for name, vector in vectors.items():
            table = None if batch[name].values.is_floating_point() else word_vectors(model, name)
            if table is not None:
                real = batch[name].mask[..., None]
                hooks.append(table.register_forward_hook(lambda module, args, out, vector=vector, real=real: torch.where(real, vector.to(out), out)))
        yield
    finally:
        for hook in hooks:
            hook.remove()


def shapley(values: Mapping[tuple[str, ...], float]) -> dict[str, float]:
    """What each modality brings, exactly; together they make what is said of all less what is said of nothing.

    Source: Shapley: A value for n-person games (1953): phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S)).

    Args:
        values: modalities that are left -> number, for every subset.

    Raises:
        ConfigError: a subset is missing.
    """
    names = max(values, key=len)
    if len(values) != 2 ** len(names):
        raise ConfigError(f"Shapley values of {len(names)} modalities need {2 ** len(names)} subsets, got {len(values)}")
    found = dict.fromkeys(names, 0.0)
    for left, value in values.items():
        for name in names:
            others = len(left) - (name in left)
            weight = math.factorial(others) * math.factorial(len(names) - others - 1) / math.factorial(len(names))
            found[name] += weight * value if name in left else -weight * value
    return found


def _write(path: Path, said: Said, names: Sequence[str]) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            arrays = {str(place): values for place, values in enumerate(said.values())}
            np.savez(file, keys=np.array(json.dumps([list(names), [list(key) for key in said]])), **arrays)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path, names: Sequence[str]) -> dict[tuple[str, ...], np.ndarray] | None:
    """What was kept; None where nothing was, or it is not of these modalities."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            known, keys = json.loads(str(file["keys"]))
            return {tuple(key): file[str(place)] for place, key in enumerate(keys)} if known == list(names) else None
    except (OSError, EOFError, KeyError, ValueError, BadZipFile):
        return None
