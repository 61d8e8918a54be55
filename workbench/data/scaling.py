"""Features with mean 0 and standard deviation 1, by the numbers of TRAIN; some steps at a time, so that a modality may be larger than memory."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.data import scratch
from workbench.data.batch import Column, Dataset

Scale = tuple[Tensor, Tensor]
"""Mean and spread of each feature of a modality (float64); the spread is infinite where a feature never changes."""


def standardise(dataset: Dataset, names: Iterable[str]) -> Dataset:
    """Every feature of some modalities with mean 0 and standard deviation 1 over all steps of TRAIN, all splits by those numbers.

    A feature that never changes in train becomes 0 everywhere: there is nothing to learn from it, and dividing by its spread
    would blow up whatever valid and test hold there.
    """
    return with_scales(dataset, scales(dataset, names))


def scales(dataset: Dataset, names: Iterable[str]) -> dict[str, Scale]:
    """The scale of each of some modalities in train."""
    return {name: mean_and_spread(dataset.splits["train"].columns[name]) for name in names}


def with_scales(dataset: Dataset, found: Mapping[str, Scale]) -> Dataset:
    """All splits with some modalities divided by their scales."""
    return _changed(dataset, {name: (1 / spread, -mean / spread) for name, (mean, spread) in found.items()})


def without_scales(dataset: Dataset, found: Mapping[str, Scale]) -> Dataset:
    """The inverse of `with_scales`, up to rounding; a feature that never changed in train has its mean everywhere."""
    return _changed(dataset, {name: (torch.where(spread.isfinite(), spread, 0.0), mean) for name, (mean, spread) in found.items()})


def plain(found: Mapping[str, Scale]) -> dict[str, list[list[float]]]:
    """Scales for JSON: mean and spread of each feature by modality. An infinite spread (a feature that never changes) is no JSON: 0 stands for it."""
    return {key: [mean.tolist(), torch.where(spread.isfinite(), spread, 0.0).tolist()] for key, (mean, spread) in found.items()}


def from_plain(saved: Mapping[str, Any]) -> dict[str, Scale]:
    """The scales of `plain`."""
    read = {key: tuple(torch.tensor(values, dtype=torch.float64) for values in scale) for key, scale in saved.items()}
    return {key: (mean, torch.where(spread > 0, spread, torch.inf)) for key, (mean, spread) in read.items()}


def after(first: Scale, second: Scale) -> Scale:
    """The one scale that does what two do, one after the other."""
    (mean, spread), (mean_then, spread_then) = first, second
    return mean + torch.where(spread.isfinite(), spread, 0.0) * mean_then, spread * spread_then


def _changed(dataset: Dataset, factors: Mapping[str, tuple[Tensor, Tensor]]) -> Dataset:
    splits = dict(dataset.splits)
    for name, (factor, shift) in factors.items():
        for key, split in splits.items():
            splits[key] = replace(split, columns={**split.columns, name: _affine(split.columns[name], factor, shift)})
    return replace(dataset, splits=splits)


def mean_and_spread(column: Column) -> Scale:
    """Mean and standard deviation of every feature over all steps that are there; the deviation is infinite where it never changes."""
    count = 0
    first = column.values[0 if column.present is None else int(column.present.int().argmax())].double()
    total, squares = torch.zeros_like(first), torch.zeros_like(first)
    low, high = first.clone(), first.clone()
    for start, piece in column.pieces():
        if column.present is not None:
            piece = piece[column.present[start : start + len(piece)]]
            if not len(piece):
                continue
        count += len(piece)
        # Sums of differences from the first step: exact where a feature is large and hardly changes.
        moved = piece.double() - first
        total += moved.sum(0)
        squares += moved.square().sum(0)
        low, high = torch.minimum(low, piece.amin(0).double()), torch.maximum(high, piece.amax(0).double())
    mean = total / max(1, count)
    spread = (squares / max(1, count) - mean.square()).clamp_min(0).sqrt()
    return first + mean, torch.where(high > low, spread, torch.inf)


def _affine(column: Column, factor: Tensor, shift: Tensor) -> Column:
    """Each feature times a factor plus a shift (float32)."""
    values, room = scratch.empty(tuple(column.values.shape), np.float32)
    for start, piece in column.pieces():
        values[start : start + len(piece)] = torch.addcmul(shift, piece.double(), factor).numpy()
        scratch.release(room)
    return Column(torch.from_numpy(values), column.offsets, column.present, map=room)
