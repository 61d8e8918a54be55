"""What a model keeps of its training samples: looked at once before the first step, or one row a sample.

Both are part of the checkpoint, so a resumed training goes on with them.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.data.batch import Split
from workbench.tasks import Task


class FromTrain(nn.Module):
    """A module that looks at the training split before the first step. The trainer calls `begin` once a training, also when it resumes."""

    def begin(self, split: Split, task: Task) -> None:
        """Takes from the training split what the module needs; what a checkpoint brought back stays."""

    def begin_epoch(self, number: int) -> None:
        """Called before each epoch; epochs count from 1."""


class PerSample(nn.Module):
    """One row of numbers for each training sample, by `Batch.index`.

    Args:
        size: numbers a sample.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(0, size))

    def begin(self, start: Float[Tensor, "samples size"]) -> None:
        """Starts with these rows, unless there is a row for each sample already (a checkpoint brought them back)."""
        if self.rows.shape != start.shape:
            self.rows = start.detach().to(self.rows.device, self.rows.dtype).clone()

    def read(self, index: Int[Tensor, " batch"]) -> Float[Tensor, "batch size"]:
        """The rows of some samples."""
        return self.rows[index]

    @torch.no_grad()
    def write(self, index: Int[Tensor, " batch"], rows: Float[Tensor, "batch size"]) -> None:
        """Replaces the rows of some samples; nothing flows back through them."""
        self.rows[index] = rows.detach().to(self.rows.dtype)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Takes over as many rows as were saved; their width must be this one's."""
        saved = state.get(f"{prefix}rows")
        if saved is not None and saved.shape[1:] == self.rows.shape[1:]:
            self.rows = self.rows.new_zeros(saved.shape)
        super()._load_from_state_dict(state, prefix, *rest)
