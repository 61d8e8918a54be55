"""Terms of the loss that need the labels: unimodal tasks, generated labels, label-wise memories.

A model never sees a label in its forward pass. What a method learns from labels beside the task loss is a `Supervision`: a module of the model
(its parameters are trained with the others, its memories are in the checkpoint) that the trainer calls in training only.
"""

from typing import TYPE_CHECKING

import xarray as xr
from torch import Tensor

from workbench.memory import FromTrain

if TYPE_CHECKING:
    from workbench.data.batch import Batch
    from workbench.model import Output


class Supervision(FromTrain):
    """No further term. A method's own overrides what it needs; `begin` gives it the task and the training split."""

    def forward(self, output: "Output", batch: "Batch") -> dict[str, Tensor]:
        """Weighted loss terms of a training batch, by name."""
        return {}

    def snapshot(self) -> xr.Dataset | None:
        """What is to be recorded after each epoch, labelled (e.g. `sample modality` pseudo-labels, by row of the train split); None: nothing."""
        return None
