"""Heads that answer from one modality, or from one part of a fusion, alone: the scores of a model's stages.

Where the model is trained stage by stage, the trainer lets one of them answer in its stage (`workbench.stages`). Where it is trained all at once,
each adds its own loss.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor, nn

from workbench.data.batch import Split
from workbench.supervision import Supervision
from workbench.tasks import Task

if TYPE_CHECKING:
    from workbench.data.batch import Batch
    from workbench.model import Output


class Readouts(Supervision):
    """One head for each of some modalities and parts; joint training adds sum_r w_r L(head_r(what r reads), y).

    Samples that lack the modality take part with what the model makes of its absence (zeros), as they do in its scores.

    Args:
        heads: modality name, or name of a part in `Output.parts`, to a module `batch feature -> batch outputs`.
        weights: w_r by the same names.
    """

    def __init__(self, heads: Mapping[str, nn.Module], weights: Mapping[str, float]) -> None:
        super().__init__()
        if list(heads) != list(weights):
            raise ValueError(f"heads {list(heads)} and weights {list(weights)} must have the same names in one order")
        self.heads = nn.ModuleDict(heads)
        self.weights = dict(weights)
        self._task: Task | None = None

    def begin(self, split: Split, task: Task) -> None:
        self._task = task

    def read(self, name: str, value: Tensor) -> Tensor:
        """What one head says: `batch` or `batch outputs`."""
        # In bf16 training the losses are computed outside of it.
        said = self.heads[name](value.to(next(self.heads[name].parameters()).dtype))
        return said.squeeze(-1) if said.shape[-1] == 1 else said

    def forward(self, output: "Output", batch: "Batch") -> dict[str, Tensor]:
        sources = {**output.parts, **output.representations}
        return {
            f"readout_{name}": weight * self._task.loss(self.read(name, sources[name]).float(), batch.target) for name, weight in self.weights.items()
        }
