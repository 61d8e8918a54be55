"""One modality of a split, ragged: all real steps of all samples one after the other, and where each sample begins."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from workbench.data.scratch import Room, again, release

PIECE = 4_000_000
"""Values that are looked at together where a column may be larger than memory."""


@dataclass(frozen=True)
class Modality:
    """One modality of a batch.

    Args:
        values: `batch time feature` (float), `batch time` (token ids) or `batch channel height width` (images).
        mask: `batch time` (bool), True where a step is real and not missing.
        has_gaps: steps may be missing: a sample whose mask is False throughout does not have this modality.
    """

    values: Tensor
    mask: Tensor
    has_gaps: bool = False

    def to(self, device: torch.device | str) -> "Modality":
        """The same on a device."""
        return Modality(self.values.to(device, non_blocking=True), self.mask.to(device, non_blocking=True), self.has_gaps)


@dataclass(frozen=True)
class Column:
    """One modality of a split, ragged.

    Args:
        values: `steps feature`, `steps` (token ids) or `steps channel height width`; may be a memory map of a file.
        offsets: `samples + 1` (int64, on the CPU): sample i is `values[offsets[i]:offsets[i + 1]]`.
        present: `steps` (bool), False where a step keeps its place in time but its values are missing (a batch has zeros there); None: all are
            there.
        digest: sum of the content, where it is known already (see `sum`).
        map: the file that the values lie in, where they do; they are read when they are asked for, and must not be changed in place.
    """

    values: Tensor
    offsets: Tensor
    present: Tensor | None = None
    digest: str = field(default="", compare=False)
    map: Room | None = field(default=None, compare=False, repr=False)

    def __getstate__(self) -> dict[str, object]:
        """For another process: values in a file are not copied, but found there again."""
        state = {name: getattr(self, name) for name in ("values", "offsets", "present", "digest", "map")}
        if self.map is not None:
            state["map"] = None
            state["values"] = self.map.place(self.values.numpy()) if self.map.path else self.values.clone()
        return state

    def __setstate__(self, state: dict[str, object]) -> None:
        if isinstance(state["values"], tuple):
            values, room = again(*state["values"])
            state = {**state, "values": torch.from_numpy(values), "map": room}
        for name, value in state.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_list(cls, samples: Sequence[np.ndarray]) -> "Column":
        """Joins one array a sample (`time feature` or `time`) into a ragged column."""
        return cls(torch.from_numpy(np.ascontiguousarray(np.concatenate(list(samples)))), offsets_of([len(sample) for sample in samples]))

    @classmethod
    def from_rows(cls, rows: np.ndarray) -> "Column":
        """One step a sample: `samples feature` vectors, or `samples channel height width` images."""
        return cls(torch.from_numpy(np.ascontiguousarray(rows)), torch.arange(len(rows) + 1))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Tensor:
        """The real steps of one sample; zeros where a step is missing."""
        part = slice(int(self.offsets[row]), int(self.offsets[row + 1]))
        values = self.values[part]
        return values if self.present is None else _without_absent(values, self.present[part])

    @property
    def lengths(self) -> Tensor:
        """Steps of each sample, on the CPU."""
        return self.offsets.diff()

    @property
    def is_there(self) -> Tensor:
        """`samples` (bool, where the values are): True for a sample that has the modality: a step that is there."""
        if self.present is None:
            return (self.lengths > 0).to(self.values.device)
        total = torch.cat([self.present.new_zeros(1, dtype=torch.int64), self.present.cumsum(0)])
        offsets = self.offsets.to(total.device)
        return total[offsets[1:]] > total[offsets[:-1]]

    @property
    def bytes(self) -> int:
        """Size of the values [bytes]."""
        return self.values.numel() * self.values.element_size()

    @property
    def is_mapped(self) -> bool:
        """True where the values lie in a file."""
        return self.map is not None

    def pieces(self, numbers: int = 0) -> Iterator[tuple[int, Tensor]]:
        """The values some steps at a time, each with its first step: for work on data that is larger than memory.

        Args:
            numbers: about how many values in a piece; 0: PIECE.
        """
        steps = max(1, (numbers or PIECE) // max(1, self.values[:1].numel()))
        for start in range(0, len(self.values), steps):
            yield start, self.values[start : start + steps]
            self.release()

    def release(self) -> None:
        """Tells the system that the pages of a mapped column are not needed for now; they are read again when they are."""
        release(self.map)

    def sum(self) -> str:
        """The sha256 of values, offsets and what is missing: equal for equal columns, wherever they lie."""
        known = self.digest or getattr(self, "_sum", "")
        if known:
            return known
        digest = hashlib.sha256(f"{self.values.dtype}{list(self.values.shape[1:])}".encode())
        for _, piece in self.pieces():
            digest.update(raw(piece))
        for part in (self.offsets, self.present):
            if part is not None:
                digest.update(raw(part))
        object.__setattr__(self, "_sum", digest.hexdigest())  # Kept beside the fields: a changed copy does not take it along.
        return digest.hexdigest()

    def to(self, device: torch.device | str) -> "Column":
        """The same column with its values on a device; the offsets stay on the CPU, where batches are planned."""
        present = None if self.present is None else self.present.to(device)
        return Column(self.values.to(device), self.offsets, present, self.digest, self.map if torch.device(device).type == "cpu" else None)

    def take(self, rows: Tensor) -> "Column":
        """The column of some rows, in their order (in memory)."""
        lengths = self.lengths[rows]
        offsets = offsets_of(lengths)
        steps = torch.arange(int(offsets[-1])) + (self.offsets[rows] - offsets[:-1]).repeat_interleave(lengths)
        steps = steps.to(self.values.device)
        return Column(self.values[steps], offsets, None if self.present is None else self.present[steps])

    def pad(self, rows: Tensor) -> Modality:
        """The rows (int64, on the CPU) as one padded `Modality`, zeros behind the real steps; the mask is False there and where steps are missing."""
        starts, ends = self.offsets.numpy()[rows.numpy()], self.offsets.numpy()[rows.numpy() + 1]
        lengths = ends - starts
        if lengths.max() == lengths.min() == 1:
            return self._one_step(torch.from_numpy(starts))
        is_real = np.arange(max(1, lengths.max())) < lengths[:, None]
        return (self._copied if self.values.device.type == "cpu" else self._gathered)(starts, lengths, is_real)

    def _one_step(self, position: Tensor) -> Modality:
        """A batch of samples with one step each."""
        position = position.to(self.values.device, non_blocking=True)
        values, is_image = self.values[position], self.values.dim() == 4
        mask = torch.ones(len(position), 1, dtype=torch.bool, device=values.device)
        if self.present is not None:
            mask = self.present[position][:, None]
            values = _without_absent(values, mask[:, 0])
        return Modality(values if is_image else values.unsqueeze(1), mask, self.present is not None)

    def _copied(self, starts: np.ndarray, lengths: np.ndarray, is_real: np.ndarray) -> Modality:
        """A padded batch on the CPU: one copy of memory a sample, which is some times faster there than an index a step."""
        source = self.values.numpy()
        values = np.empty((*is_real.shape, *source.shape[1:]), source.dtype)
        for sample, start, length in zip(values, starts.tolist(), lengths.tolist(), strict=True):
            sample[:length] = source[start : start + length]
            sample[length:] = 0
        if self.present is not None:
            is_real &= self.present.numpy()[_positions(starts, is_real)]
            values[~is_real] = 0
        return Modality(torch.from_numpy(values), torch.from_numpy(is_real), self.present is not None)

    def _gathered(self, starts: np.ndarray, lengths: np.ndarray, is_real: np.ndarray) -> Modality:
        """A padded batch on another device, gathered there."""
        device = self.values.device
        position = torch.from_numpy(_positions(starts, is_real)).to(device, non_blocking=True)
        mask = torch.from_numpy(is_real).to(device, non_blocking=True)
        values = self.values.index_select(0, position.flatten()).unflatten(0, position.shape)
        if self.present is not None:
            mask = mask & self.present[position]
        return Modality(values.masked_fill_(~mask if values.dim() == 2 else ~mask[..., None], 0), mask, self.present is not None)


def _positions(starts: np.ndarray, is_real: np.ndarray) -> np.ndarray:
    """Which step of the column each step of a batch is; 0 for padding."""
    return np.where(is_real, starts[:, None] + np.arange(is_real.shape[1]), 0)


def raw(tensor: Tensor) -> memoryview:
    """The bytes of a tensor."""
    return memoryview(tensor.detach().cpu().contiguous().numpy().reshape(-1)).cast("B")


def _without_absent(values: Tensor, present: Tensor) -> Tensor:
    """Zeros where a step is not there, whatever stands in its place."""
    return values.masked_fill(~present.view(-1, *[1] * (values.dim() - 1)), 0)


def offsets_of(lengths: Sequence[int] | Tensor) -> Tensor:
    """Where each sample begins, and the end: `samples + 1` (int64)."""
    lengths = torch.as_tensor(lengths, dtype=torch.int64)
    return torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
