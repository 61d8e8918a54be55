"""Adaptive tracking factor: each modality learns at a rate of its own, by how far its unimodal task has come.

    s_m = mean over the step's samples of the probability that modality m alone gives the truth
    t_m = momentum t_m + (1 - momentum) s_m                                        tracked over steps (started without bias)
    f_m = (geometric mean of all t / t_m)^strength, within [1 / limit, limit]
    update of modality m's network = f_m times the optimizer's;    L = L_task + weight / M sum_m L(head_m(z_m), y)

Source: Sun, Mai, Hu: Learning to balance the learning rates between various modalities via adaptive tracking factor. IEEE Signal Processing Letters
28, 2021, 1650-1654; reference [3] of adaptive weight fusion (2024).

Known of it here: the abstract, and what adaptive weight fusion says. Unimodal tasks are added, and from their results comes a factor for each
modality that adjusts its learning rate in real time ("adaptive tracking factor"); the factors are kept equal to each other in some sense ("adaptive
convergent equalization") and learned in two levels ("bilevel directional optimization"). The formulas of the three are not known here, so this is
a rule of the same kind and not the paper's numbers.
Decides:
- The factor is the formula above. Its geometric mean over modalities is 1 (before the limit): no modality is sped up but at the others' cost.
- It multiplies the update, as a learning rate does, so it works with Adam as with SGD; `scales="gradient"` multiplies the gradient, which Adam
  divides out again as long as the factor stays the same.
- The unimodal losses flow into the networks as in `uniform`, with the same weight: the difference to `uniform` is the factor's alone.
- Regression: exp(-|error|) for the probability of the truth, in the label's own unit; several labels: mean over labels of the probability of the
  truth. Samples that lack a modality have no part in its score; a step in which none has it leaves t_m as it is.
- A modality that has nothing to tell stays behind for ever and is sped up to the limit: the factor knows how far, not how far it could come.
- `strength=0` is `uniform`; with `weight=0` too it is off, to the last bit.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from workbench.balance.factors import BranchFactors

if TYPE_CHECKING:
    from workbench.data.batch import Batch
    from workbench.model import FusionModel, Output

HAS_HEADS = True


class Config(BaseModel):
    """The settings of the adaptive tracking factor."""

    model_config = ConfigDict(extra="forbid")

    strength: float = Field(1.0, ge=0, le=10, description="exponent of the factor; 0: all factors are 1")
    momentum: float = Field(0.9, ge=0, lt=1, description="share of the tracked score that a step keeps")
    limit: float = Field(4.0, ge=1, le=100, description="largest factor; its inverse is the smallest")
    weight: float = Field(1.0, ge=0, le=100, description="weight of the mean unimodal loss beside the task loss; 0: the heads only watch")
    scales: Literal["gradient", "update"] = Field("update", description="what the factor multiplies; update works with Adam too")


def build(config: Config, widths: Mapping[str, int], outputs: int) -> "AdaptiveTracking":
    """The rule for these modalities."""
    return AdaptiveTracking(widths, outputs, config=config)


def tracking_factors(tracked: Float[Tensor, " modality"], *, strength: float, limit: float) -> Float[Tensor, " modality"]:
    """f_m = (geometric mean of all t / t_m)^strength, within [1 / limit, limit]."""
    logs = tracked.clamp_min(torch.finfo(tracked.dtype).tiny).log()
    return (strength * (logs.mean() - logs)).exp().clamp(1 / limit, limit)


class AdaptiveTracking(BranchFactors):
    """The tracked scores t_m and the factors f_m.

    Args:
        widths, outputs: see `WithHeads`.
        config: settings.
    """

    def __init__(self, widths: Mapping[str, int], outputs: int, *, config: Config) -> None:
        super().__init__(widths, outputs, scales=config.scales)
        self.config = config
        self.register_buffer("tracked", torch.zeros(2, len(widths)))  # Running sums of scores and of their weights.
        self.register_buffer("share", torch.full((len(widths),), config.weight / len(widths)), persistent=False)

    @property
    def is_active(self) -> bool:
        return self.config.strength > 0

    @property
    def changes_gradients(self) -> bool:
        return self.config.weight > 0 or (self.is_active and self.scales == "gradient")

    def begin_epoch(self, number: int) -> None:
        super().begin_epoch(number)
        if number == 1:
            self.tracked.zero_()

    def loss(self, output: "Output", batch: "Batch", *, task_loss: Tensor) -> Tensor:
        """The unimodal losses, of which each modality's network feels its share."""
        found = self.alone(output, batch, factors=self.share if self.config.weight else None)
        self.note(found)
        return found.loss.sum()

    @torch.no_grad()
    def after_backward(self, model: "FusionModel") -> None:
        """Tracks the step's scores and makes the factors of this step."""
        now, samples = self.step_scores()
        if not self.is_active:
            return
        new = torch.stack([now, torch.ones_like(now)])
        moved = self.config.momentum * self.tracked + (1 - self.config.momentum) * new
        self.tracked.copy_(torch.where(samples > 0, moved, self.tracked))
        known = self.tracked[1] > 0
        score = self.tracked[0] / torch.where(known, self.tracked[1], 1)
        usual = (torch.where(known, score, 0).sum() / known.sum().clamp_min(1)).expand_as(score)
        self.factor.copy_(tracking_factors(torch.where(known, score, usual), strength=self.config.strength, limit=self.config.limit))
        self.scale_gradients(model)
