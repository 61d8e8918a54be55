"""Uniform unimodal losses: every modality also answers alone, all with one weight; the plain baseline that a rule must beat.

    L = L_task + weight / M sum_m L(head_m(z_m), y)

Source: no single paper; the equally weighted unimodal losses that gradient blending (CVPR 2020) and others compare with.

Decides:
- head_m is one linear layer on z_m. It learns from its own loss at full size; `weight / M` is what flows into the modality's network.
- A sample that lacks a modality has no part in that modality's loss.
- `weight=0` trains the networks as without a rule, to the last bit, and the heads watch: what each modality has learned, train against valid, is
  then known of an unbalanced training too.
With Adam the update changes: a further loss is not a factor, it turns the gradient.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from workbench.balance.heads import WithHeads

if TYPE_CHECKING:
    from workbench.data.batch import Batch
    from workbench.model import Output

HAS_HEADS = True


class Config(BaseModel):
    """Uniform's settings."""

    model_config = ConfigDict(extra="forbid")

    weight: float = Field(1.0, ge=0, le=100, description="weight of the mean unimodal loss beside the task loss; 0: the heads only watch")


def build(config: Config, widths: Mapping[str, int], outputs: int) -> "Uniform":
    """The rule for these modalities."""
    return Uniform(widths, outputs, config=config)


class Uniform(WithHeads):
    """One constant weight for all unimodal losses.

    Args:
        widths, outputs: see `WithHeads`.
        config: settings.
    """

    def __init__(self, widths: Mapping[str, int], outputs: int, *, config: Config) -> None:
        super().__init__(widths, outputs)
        self.config = config
        self.register_buffer("share", torch.full((len(widths),), config.weight / len(widths)), persistent=False)

    @property
    def changes_gradients(self) -> bool:
        return self.config.weight > 0

    def loss(self, output: "Output", batch: "Batch", *, task_loss: Tensor) -> Tensor:
        """The sum of the unimodal losses, of which each modality's network feels its share."""
        return self.alone(output, batch, factors=self.share if self.changes_gradients else None).loss.sum()

    def weights(self) -> Tensor:
        return self.share
