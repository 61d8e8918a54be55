"""Sequences brought to the steps of one modality, where the data has no times of its own: by equal shares of the utterance."""

from dataclasses import replace

import torch

from workbench.data.batch import Dataset
from workbench.data.column import Column
from workbench.errors import ConfigError, unknown


def align_to(data: Dataset, reference: str) -> Dataset:
    """The data set with every sequence averaged over the steps of a reference modality.

    Step i of n of the reference stands for the share i/n to (i+1)/n of the utterance. A sequence of m steps gives the mean of its steps that
    touch that share, each weighted by how much of it lies inside. (The CSD reader aligns by the recorded times of the words instead.)

    Raises:
        ConfigError: the reference is not in the data, or is no sequence and no tokens.
    """
    if reference not in data.modalities:
        raise unknown("modality", reference, data.modalities)
    if data.spec.modalities[reference].kind not in ("sequence", "tokens"):
        raise ConfigError(f"align_to={reference}: {reference} has one step a sample", expected="a modality over time")
    length = data.spec.modalities[reference].length
    if not any(spec.kind == "sequence" and name != reference for name, spec in data.spec.modalities.items()):
        raise ConfigError(f"align_to={reference}: {data.name} has no other sequence to align", expected="a sequence beside it")
    for name, spec in data.spec.modalities.items():
        if spec.kind == "sequence" and name != reference:
            columns = {key: averaged(split.columns[name], split.columns[reference].lengths) for key, split in data.splits.items()}
            data = data.replace_modality(name, replace(spec, length=length, rate=None), columns)
    return replace(data, ceiling={})


def averaged(column: Column, steps: torch.Tensor) -> Column:
    """Each sample of a column averaged to its number of steps (`samples`, int64); a missing step counts as none, and none at all stays missing."""
    values, present = [], []
    for row, count in enumerate(steps.tolist()):
        part = slice(int(column.offsets[row]), int(column.offsets[row + 1]))
        there = torch.ones(part.stop - part.start) if column.present is None else column.present[part].float()
        weight = overlap(part.stop - part.start, count) * there
        total = weight.sum(1, keepdim=True)
        values.append((weight @ column.values[part].float() / total.clamp_min(1e-12)).to(column.values.dtype))
        present.append(total[:, 0] > 0)
    joined = Column.from_list([value.numpy() for value in values])
    is_there = torch.cat(present)
    return joined if bool(is_there.all()) else replace(joined, present=is_there)


def overlap(steps: int, count: int) -> torch.Tensor:
    """How much of each of `steps` equal parts lies in each of `count` equal parts of the same whole: `count steps`, rows sum to steps/count."""
    ends = torch.arange(1, count + 1)[:, None] * (steps / count)
    starts = ends - steps / count
    at = torch.arange(steps)[None, :]
    return (torch.minimum(ends, at + 1.0) - torch.maximum(starts, at.float())).clamp_min(0).float()
