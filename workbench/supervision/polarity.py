"""Which side of neutral a label is on."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.data.batch import TaskSpec


def neutral(task: TaskSpec) -> float:
    """The label that is neither positive nor negative: 0 where the range has both signs, else the middle of the range."""
    return 0.0 if task.low < 0 < task.high else (task.low + task.high) / 2


def label_group(target: Tensor, task: TaskSpec) -> Int[Tensor, " batch"]:
    """The group of each sample by its label: 0 positive, 1 negative, -1 neutral; a class is its own group; of several labels one group for all."""
    if task.kind == "multiclass":
        return target
    if task.kind == "multilabel":
        return torch.zeros(len(target), dtype=torch.int64, device=target.device)
    above = target - neutral(task)
    return torch.where(above > 0, 0, torch.where(above < 0, 1, -1))


def groups(task: TaskSpec) -> int:
    """How many groups `label_group` tells apart."""
    return {"regression": 2, "multiclass": len(task.classes), "multilabel": 1}[task.kind]


def sides(above: Float[Tensor, "*any"], *, zero_excluded: bool) -> tuple[Float[Tensor, "*any"], Float[Tensor, "*any"]]:
    """1 where a label (measured from neutral) is positive, and 1 where it is negative; neutral counts as positive unless it is excluded."""
    positive = above > 0 if zero_excluded else above >= 0
    return positive.to(above.dtype), (above < 0).to(above.dtype)
