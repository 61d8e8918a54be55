"""GradNorm: weights of the joint and the unimodal losses, so that their gradients are of like size and all losses fall at like rates.

    L = w_0 L_task + sum_m w_m L(head_m(z_m), y)
    G_i = |d(w_i L_i)/dW|_2,   r_i = (L_i / L_i(0)) / mean_j (L_j / L_j(0)),   target_i = mean(G) r_i^alpha       (a constant)
    w <- w - rate d/dw sum_i |G_i - target_i|,  then w is scaled to sum to the number of losses

Source: Chen, Badrinarayanan, Lee, Rabinovich: GradNorm: gradient normalization for adaptive loss balancing in deep multitask networks. ICML 2018,
Algorithm 1; reference [17] of adaptive weight fusion (2024).

Decides:
- The tasks are the joint one and one for each modality, its head on z_m.
- W, the weights that the losses share: the last linear layers W_m of all modalities side by side. The joint loss reaches all of them, a unimodal one
  its own (elsewhere its gradient is zero).
- dG_i/dw_i = G_i / w_i exactly, since a loss's own gradient does not depend on its weight: no second backward, and the rule's own plain step.
- `normalize=True` (default) divides the step by mean(G): the rate is then the same for losses of any unit. False is the paper's form.
- L_i(0) is the mean loss over the training split before the first step; the paper takes the first batch, which a batch of one does not survive.
- alpha 1.5 is the paper's value for its real data (.12 for its toy tasks). Rate .025, as the paper.
- `min_weight`: a plain step can take a weight below zero; the floor (before scaling) is counted, none is the paper.
- A step in which a modality is in no sample leaves the weights as they are.
- `strength=0` is off, to the last bit.
With Adam: the losses' shares turn the gradient of a modality's network, so the update changes. What Adam divides out is the common scale.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from workbench.balance.weighted import WeightedLosses
from workbench.ranks import gradients

if TYPE_CHECKING:
    from workbench.model import FusionModel

HAS_HEADS = True


class Config(BaseModel):
    """GradNorm's settings."""

    model_config = ConfigDict(extra="forbid")

    alpha: float = Field(1.5, ge=0, le=10, description="how strongly a loss that falls slowly is pushed; 0: equal gradient norms")
    rate: float = Field(0.025, gt=0, le=10, description="learning rate of the weights, scale-free where normalize is on")
    normalize: bool = Field(True, description="divide the weights' step by the mean gradient norm; off is the paper's form")
    min_weight: float | None = Field(0.01, gt=0, le=1, description="floor of every weight; none is the paper")
    strength: float = Field(1.0, ge=0, le=1, description="1: the weighted losses; 0: the task loss alone; between: a mixture")


def build(config: Config, widths: Mapping[str, int], outputs: int) -> "GradNorm":
    """The rule for these modalities."""
    return GradNorm(widths, outputs, config=config)


def target_norms(
    norms: Float[Tensor, " loss"], losses: Float[Tensor, " loss"], initial: Float[Tensor, " loss"], *, alpha: float
) -> Float[Tensor, " loss"]:
    """mean(G) r_i^alpha with r_i = (L_i / L_i(0)) over its mean."""
    rates = losses / initial.clamp_min(torch.finfo(initial.dtype).tiny)
    return norms.mean() * (rates / rates.mean().clamp_min(torch.finfo(rates.dtype).tiny)) ** alpha


class GradNorm(WeightedLosses):
    """The weights w and their step.

    Args:
        widths, outputs: see `WithHeads`.
        config: settings.
    """

    def __init__(self, widths: Mapping[str, int], outputs: int, *, config: Config) -> None:
        super().__init__(widths, outputs, start=1.0, strength=config.strength)
        self.config = config
        self.register_buffer("initial", torch.ones(1 + len(widths)))
        self.register_buffer("floor_held", torch.zeros(1 + len(widths)))
        self.register_buffer("_losses", torch.zeros(1 + len(widths)), persistent=False)
        self._gradients: list[Tensor] = []

    @torch.no_grad()
    def look(self, number: int, ask: Callable[[Tensor | None], Any]) -> None:
        """L_i(0), before the first epoch."""
        if number == 1 and self.is_on:
            self.initial.copy_(self.losses(ask(None)))
            self.weight.fill_(1)

    def before_backward(self, task_loss: Tensor, model: "FusionModel", *, share: float, has_terms: bool) -> None:
        """Adds up each loss's gradient by W over the parts of a step: the joint one's blocks, then the unimodal ones' own blocks."""
        if not self.is_on:
            return
        matrices = [model.projections[name].weight for name in self.modalities]
        joint = gradients(task_loss, matrices, retain_graph=True)
        alone = gradients(self._found.loss.sum(), matrices, retain_graph=True)
        parts = [share * gradient for gradient in (*joint, *alone)]
        self._gradients = [a + b for a, b in zip(self._gradients, parts, strict=True)] if self._gradients else parts
        self._losses += share * torch.cat([task_loss.detach()[None].to(self._losses.dtype), self._found.loss.detach()])

    @torch.no_grad()
    def after_backward(self, model: "FusionModel") -> None:
        """One plain step of w, the floor, and the sum brought back to the number of losses."""
        if not self.is_on:
            return
        count = len(self.modalities)
        norms = torch.stack([gradient.norm().to(self.weight.dtype) for gradient in self._gradients])
        losses = self._losses.clone()
        self._gradients, self._found = [], None
        self._losses.zero_()
        # What flowed through the heads carries v_m already.
        plain = torch.cat([norms[:count].norm()[None], norms[count:] / self.shares()[1:]])
        weighted = self.weight * plain
        step = torch.sign(weighted - target_norms(weighted, losses, self.initial, alpha=self.config.alpha)) * plain
        if self.config.normalize:
            step /= weighted.mean().clamp_min(torch.finfo(step.dtype).tiny)
        moved = self.weight - self.config.rate * step
        can_move = (plain > 0).all()
        if self.config.min_weight is not None:
            self.floor_held += (moved < self.config.min_weight) & can_move
            moved = moved.clamp_min(self.config.min_weight)
        self.weight.copy_(torch.where(can_move, len(moved) * moved / moved.sum(), self.weight))

    def facts(self) -> dict[str, float]:
        """The losses' weights v at the end, and in how many steps the floor held."""
        return super().facts() | {f"floor_held_{name}": count for name, count in zip(self.terms, self.floor_held.tolist(), strict=True)}
