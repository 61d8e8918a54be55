"""What a model is given: modalities by name, stored ragged, padded per batch.

    Dataset --split--> Split (ragged columns) --batches--> Batch {name: Modality(values, mask)}, target, index

A split stores each modality as Arrow stores lists: all time steps of all samples one after the other (`values`) and
where each sample begins (`offsets`). A batch is padded only to its own longest sample.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from workbench.data.column import Column, Modality
from workbench.data.scratch import main_memory
from workbench.errors import ConfigError, DataError, SealedError, unknown

Kind = Literal["vector", "sequence", "tokens", "image"]

PADDING, UNKNOWN = 0, 1
"""Token ids 0 and 1 of every vocabulary that the workbench builds."""


@dataclass(frozen=True)
class TaskSpec:
    """What is to be predicted.

    Args:
        kind: `regression` (one number in `low`..`high`), `multiclass` (one of `classes`) or `multilabel` (any of `classes`).
        low, high: range of the label, in its own unit (regression).
        classes: names in the order of their integer labels (multiclass) or of the columns of 0 and 1 (multilabel).
        headline: the metric that tables show first; empty: the usual one of the task (see `workbench.tasks`).
    """

    kind: Literal["regression", "multiclass", "multilabel"]
    low: float = -3.0
    high: float = 3.0
    classes: tuple[str, ...] = ()
    headline: str = ""

    @property
    def outputs(self) -> int:
        """How many numbers the head gives for one sample."""
        return 1 if self.kind == "regression" else len(self.classes)


@dataclass(frozen=True)
class ModalitySpec:
    """One modality as a builder sees it.

    Args:
        kind: `vector` (one feature vector a sample), `sequence` (features over time), `tokens` (ids over time) or `image`.
        size: features of a step; for tokens the size of the vocabulary; for images channels.
        length: steps of the longest sample (1 for vectors and images).
        rate: steps a second, where time is known [Hz].
        vocabulary: token strings by id, for tokens.
        text_model: name or folder of the pretrained model whose ids the tokens are, else None.
        shape: channel, height, width, for images.
    """

    kind: Kind
    size: int
    length: int = 1
    rate: float | None = None
    vocabulary: tuple[str, ...] = field(default=(), repr=False)
    text_model: str | None = None
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Spec:
    """What a builder needs to know of the data: each modality, in the card's order, and the task."""

    modalities: dict[str, ModalitySpec]
    task: TaskSpec


@dataclass(frozen=True)
class Batch:
    """Some samples of a split, on one device.

    Args:
        modalities: name to `Modality`.
        target: `batch` (float for regression, int64 class for multiclass) or `batch label` (float 0 and 1, multilabel).
        index: `batch`, the row number of each sample in its split.
    """

    modalities: dict[str, Modality]
    target: Tensor
    index: Tensor

    def __getitem__(self, name: str) -> Modality:
        if name not in self.modalities:
            raise DataError(f'this batch has no modality "{name}"', expected=f"one of {', '.join(self.modalities)}")
        return self.modalities[name]

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True)
class Split:
    """The samples of one split.

    Args:
        name: `train`, `valid` or `test`.
        columns: modality name to `Column`, in the card's order.
        target: `samples`, float (regression) or int64 (multiclass); `samples label`, float 0 and 1 (multilabel).
        ids: one unique name a sample.
        groups: video or speaker of each sample, where known (grouped cross-validation needs it).
        texts: the sentence of each sample, where there is text.
        labels: what each modality alone says, `samples`, where known (simulated data, SIMS); multilabel: the probabilities, `samples label`.
        evidence: facts about single samples that only a simulator knows, by name; `samples` first.
    """

    name: str
    columns: dict[str, Column]
    target: Tensor
    ids: list[str]
    groups: list[str] | None = None
    texts: list[str] | None = None
    labels: dict[str, Tensor] = field(default_factory=dict)
    evidence: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.target)

    @property
    def bytes(self) -> int:
        """Size of all values [bytes]."""
        return sum(column.bytes for column in self.columns.values())

    @property
    def is_streamed(self) -> bool:
        """True where values stay on another device than the batches, or in a file that the system cannot keep in memory."""
        in_files = sum(column.bytes for column in self.columns.values() if column.is_mapped)
        return in_files > main_memory() / 2 or any(column.values.device != self.target.device for column in self.columns.values())

    def to(self, device: torch.device | str, *, is_resident: bool = True) -> "Split":
        """The split on a device; where it is not resident, its values stay where they are and each batch is moved."""
        columns = {name: column.to(device) for name, column in self.columns.items()} if is_resident else self.columns
        return replace(self, columns=columns, target=self.target.to(device))

    def take(self, rows: Sequence[int] | Tensor) -> "Split":
        """Some rows of the split, in the order given (row numbers; a boolean mask takes its true rows)."""
        rows = torch.as_tensor(rows)
        rows = rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows.to(torch.int64)
        pick = rows.tolist()
        return replace(
            self,
            columns={name: column.take(rows) for name, column in self.columns.items()},
            target=self.target[rows.to(self.target.device)],
            ids=[self.ids[i] for i in pick],
            groups=[self.groups[i] for i in pick] if self.groups is not None else None,
            texts=[self.texts[i] for i in pick] if self.texts is not None else None,
            labels={name: values[rows.to(values.device)] for name, values in self.labels.items()},
            evidence={name: values[pick] for name, values in self.evidence.items()},
        )

    def batch(self, rows: Tensor) -> Batch:
        """The rows (int64, on the CPU) as a padded batch on the split's device."""
        device = self.target.device
        index = rows.to(device, non_blocking=True)
        return Batch({name: column.pad(rows).to(device) for name, column in self.columns.items()}, self.target[index], index)

    def serve(self, rows: Iterable[Tensor]) -> Iterator[Batch]:
        """The batch of each of some row lists, in their order; of a streamed split the next ones are made while one is in use."""
        return ahead(self.batch, rows) if self.is_streamed else map(self.batch, rows)

    def batches(self, size: int, *, seed: int | None = None, is_bucketed: bool = True) -> Iterator[Batch]:
        """All samples once, `size` at a time; the last batch may be smaller.

        Args:
            size: samples in a batch.
            seed: shuffles by this seed; None keeps the order of the split.
            is_bucketed: cut the shuffled samples into pools of 16 batches, sort each pool by total length, shuffle
                the batches: less padding, and epochs stay random. Has no effect without a seed.
        """
        return self.serve(batch_rows(self.total_lengths, size, seed=seed, is_bucketed=is_bucketed))

    @property
    def total_lengths(self) -> Tensor:
        """Steps of all modalities together, one number a sample."""
        return sum(column.lengths for column in self.columns.values())


AHEAD = 3
"""Batches of a streamed split that are made before they are asked for."""


def ahead(make: Callable[[Tensor], Batch], rows: Iterable[Tensor]) -> Iterator[Batch]:
    """`map(make, rows)`, a few results ahead in another thread; an exception comes where its batch would have come."""
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        try:
            for part in rows:
                waiting.append(thread.submit(make, part))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


POOL = 16
"""Batches in one pool of length-bucketed shuffling."""


def batch_rows(lengths: Tensor, size: int, *, seed: int | None, is_bucketed: bool = True) -> list[Tensor]:
    """The row numbers of each batch of one epoch (see `Split.batches`)."""
    n = len(lengths)
    if seed is None:
        return list(torch.arange(n).split(size))
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(n, generator=generator)
    if not is_bucketed or int(lengths.min()) == int(lengths.max()):
        return list(order.split(size))
    pools = [pool[lengths[pool].argsort(stable=True)] for pool in order.split(size * POOL)]
    batches = [rows for pool in pools for rows in pool.split(size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


@dataclass(frozen=True)
class Dataset:
    """Named splits of one data set and what a builder needs to know of them.

    Args:
        name: the card's name.
        spec: modalities and task.
        splits: `train`, `valid` and, unless sealed, `test`.
        notes: what reading it told: source, sums, known traps (goes into the run's config.json).
        ceiling: the best attainable score by metric, where it is known exactly (`opinions`): {"all": {...}, "text": {...}}.
        is_sealed: True where `test` is withheld: a training sees only this.
    """

    name: str
    spec: Spec
    splits: dict[str, Split]
    notes: dict[str, object] = field(default_factory=dict)
    ceiling: dict[str, dict[str, float]] = field(default_factory=dict)
    is_sealed: bool = False

    def __getitem__(self, split: str) -> Split:
        if split == "test" and self.is_sealed:
            raise SealedError(
                "the test split was touched before the end of the training",
                where=f"data set {self.name}, split test",
                expected="selection on valid only; the test split is scored once, after the last epoch",
                do="use the valid split here, or score the finished run",
            )
        if split not in self.splits:
            raise unknown("split", split, self.splits)
        return self.splits[split]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modality names in the card's order."""
        return tuple(self.spec.modalities)

    @property
    def has_sentences(self) -> bool:
        """True where every sample of every split has its sentence as text."""
        return all(split.texts is not None for split in self.splits.values())

    def sealed(self) -> "Dataset":
        """The same data without its test split: asking for it is a `SealedError`."""
        return replace(self, splits={name: split for name, split in self.splits.items() if name != "test"}, is_sealed=True)

    def select(self, *modalities: str) -> "Dataset":
        """The same data with only some modalities, in the card's order."""
        for name in modalities:
            if name not in self.spec.modalities:
                raise unknown("modality", name, self.modalities)
        keep = [name for name in self.modalities if name in modalities]
        spec = Spec({name: self.spec.modalities[name] for name in keep}, self.spec.task)
        splits = {name: replace(split, columns={key: split.columns[key] for key in keep}) for name, split in self.splits.items()}
        return replace(self, spec=spec, splits=splits, ceiling=self._ceiling_of(keep))

    def _ceiling_of(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """The ceilings of what is left: `all` is then the best of the modalities that were kept."""
        if len(names) == len(self.spec.modalities) or not self.ceiling:
            return self.ceiling
        found = {key: scores for key, scores in self.ceiling.items() if key != "all" and set(key.split("+")) <= set(names)}
        together = next((scores for key, scores in found.items() if set(key.split("+")) == set(names)), None)
        return found if together is None else {**found, "all": together}

    def subset(self, n: int, *, seed: int = 0) -> "Dataset":
        """At most `n` training samples (at random, by seed); valid and test stay whole."""
        train = self.splits["train"]
        if n >= len(train):
            return self
        if n < 1:
            raise ConfigError(f"a subset needs at least one training sample, got {n}")
        rows = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[:n].sort().values
        return replace(self, splits={**self.splits, "train": train.take(rows)})

    def to(self, device: torch.device | str) -> "Dataset":
        """The data on a device: resident where half of its free memory holds it, else each batch is moved when it is asked for."""
        device = torch.device(device)
        fits = device.type != "cuda" or sum(split.bytes for split in self.splits.values()) <= torch.cuda.mem_get_info(device)[0] / 2
        return replace(self, splits={name: split.to(device, is_resident=fits) for name, split in self.splits.items()})

    def replace_modality(self, name: str, spec: ModalitySpec, columns: Mapping[str, Column]) -> "Dataset":
        """The same data with one modality in another form (other features, other tokens); `columns` by split."""
        modalities = {**self.spec.modalities, name: spec}
        splits = {key: replace(split, columns={**split.columns, name: columns[key]}) for key, split in self.splits.items()}
        return replace(self, spec=Spec(modalities, self.spec.task), splits=splits)

    @classmethod
    def from_arrays(
        cls, name: str, splits: Mapping[str, Mapping[str, object]], *, task: TaskSpec, rates: Mapping[str, float] | None = None
    ) -> "Dataset":
        """Own data from plain arrays, with a checked schema; see `workbench.data.arrays.dataset_from_arrays`."""
        from workbench.data.arrays import dataset_from_arrays

        return dataset_from_arrays(name, splits, task=task, rates=rates)
