"""What a model is given: modalities by name, stored ragged, padded per batch.

    Dataset --split--> Split (ragged columns) --batches--> Batch {name: Modality(values, mask)}, target, index

A split stores each modality as Arrow stores lists: all time steps of all samples one after the other (`values`) and
where each sample begins (`offsets`). A batch is padded only to its own longest sample.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from workbench.errors import ConfigError, DataError, SealedError, unknown

Kind = Literal["vector", "sequence", "tokens", "image"]

PADDING, UNKNOWN = 0, 1
"""Token ids 0 and 1 of every vocabulary that the workbench builds."""


@dataclass(frozen=True)
class TaskSpec:
    """What is to be predicted.

    Args:
        kind: `regression` (one number in `low`..`high`) or `multiclass` (one of `classes`).
        low, high: range of the label, in its own unit (regression).
        classes: class names in the order of their integer labels (multiclass).
    """

    kind: Literal["regression", "multiclass"]
    low: float = -3.0
    high: float = 3.0
    classes: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """How many numbers the head gives for one sample."""
        return len(self.classes) if self.kind == "multiclass" else 1


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
class Modality:
    """One modality of a batch.

    Args:
        values: `batch time feature` (float), `batch time` (token ids) or `batch channel height width` (images).
        mask: `batch time` (bool), True where a step is real.
    """

    values: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Batch:
    """Some samples of a split, on one device.

    Args:
        modalities: name to `Modality`.
        target: `batch` (float for regression, int64 class for multiclass).
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
class Column:
    """One modality of a split, ragged.

    Args:
        values: `steps feature`, `steps` (token ids) or `steps channel height width`.
        offsets: `samples + 1` (int64, on the CPU): sample i is `values[offsets[i]:offsets[i + 1]]`.
    """

    values: Tensor
    offsets: Tensor

    @classmethod
    def from_list(cls, samples: Sequence[np.ndarray]) -> "Column":
        """Joins one array a sample (`time feature` or `time`) into a ragged column."""
        lengths = torch.tensor([len(sample) for sample in samples], dtype=torch.int64)
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        return cls(torch.from_numpy(np.ascontiguousarray(np.concatenate(list(samples)))), offsets)

    @classmethod
    def from_rows(cls, rows: np.ndarray) -> "Column":
        """One step a sample: `samples feature` vectors, or `samples channel height width` images."""
        return cls(torch.from_numpy(np.ascontiguousarray(rows)), torch.arange(len(rows) + 1))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Tensor:
        """The real steps of one sample."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> Tensor:
        """Steps of each sample, on the CPU."""
        return self.offsets.diff()

    def to(self, device: torch.device | str) -> "Column":
        """The same column with its values on a device; the offsets stay on the CPU, where batches are planned."""
        return Column(self.values.to(device), self.offsets)

    def take(self, rows: Tensor) -> "Column":
        """The column of some rows, in their order."""
        lengths = self.lengths[rows]
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        steps = torch.arange(int(offsets[-1])) + (self.offsets[rows] - offsets[:-1]).repeat_interleave(lengths)
        return Column(self.values[steps.to(self.values.device)], offsets)

    def pad(self, rows: Tensor) -> Modality:
        """The rows (int64, on the CPU) as one padded `Modality`, zeros behind the real steps."""
        device, images = self.values.device, self.values.dim() == 4
        lengths = self.lengths[rows]
        longest = max(1, int(lengths.max()))
        if int(lengths.min()) == longest == 1:
            values = self.values[self.offsets[rows].to(device, non_blocking=True)]
            mask = torch.ones(len(rows), 1, dtype=torch.bool, device=device)
            return Modality(values if images else values.unsqueeze(1), mask)
        steps = torch.arange(longest)
        mask = steps < lengths[:, None]
        position = (self.offsets[rows][:, None] + steps).where(mask, torch.zeros((), dtype=torch.int64))
        mask, position = mask.to(device, non_blocking=True), position.to(device, non_blocking=True)
        values = self.values[position]
        return Modality(values.masked_fill_(~mask if values.dim() == 2 else ~mask[..., None], 0), mask)


@dataclass(frozen=True)
class Split:
    """The samples of one split.

    Args:
        name: `train`, `valid` or `test`.
        columns: modality name to `Column`, in the card's order.
        target: `samples`, float (regression) or int64 (multiclass).
        ids: one unique name a sample.
        groups: video or speaker of each sample, where known (grouped cross-validation needs it).
        texts: the sentence of each sample, where there is text.
        labels: what each modality alone says, `samples`, where known (simulated data, SIMS).
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

    def to(self, device: torch.device | str) -> "Split":
        """The split resident on a device."""
        return replace(self, columns={name: column.to(device) for name, column in self.columns.items()}, target=self.target.to(device))

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
        return Batch({name: column.pad(rows) for name, column in self.columns.items()}, self.target[index], index)

    def batches(self, size: int, *, seed: int | None = None, is_bucketed: bool = True) -> Iterator[Batch]:
        """All samples once, `size` at a time; the last batch may be smaller.

        Args:
            size: samples in a batch.
            seed: shuffles by this seed; None keeps the order of the split.
            is_bucketed: cut the shuffled samples into pools of 16 batches, sort each pool by total length, shuffle
                the batches: less padding, and epochs stay random. Has no effect without a seed.
        """
        for rows in batch_rows(self.total_lengths, size, seed=seed, is_bucketed=is_bucketed):
            yield self.batch(rows)

    @property
    def total_lengths(self) -> Tensor:
        """Steps of all modalities together, one number a sample."""
        return sum(column.lengths for column in self.columns.values())


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
        return replace(self, spec=spec, splits=splits)

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
        """The data resident on a device."""
        return replace(self, splits={name: split.to(device) for name, split in self.splits.items()})

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
