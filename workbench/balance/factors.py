"""A factor for each modality's network, on its gradient or on how far the optimizer goes: what OGM-GE and the adaptive tracking factor share.

With plain SGD the two are the same. With Adam they are not: it divides by the gradient's recent size, so a factor that stays as it is leaves
nothing behind on the gradient (OGM-GE's users see that), and all of itself on the update.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.balance.heads import Alone, WithHeads

if TYPE_CHECKING:
    from workbench.model import FusionModel


class BranchFactors(WithHeads):
    """One factor a modality, over its encoder and projection.

    Args:
        widths, outputs: see `WithHeads`.
        scales: `gradient`: what the optimizer is given; `update`: the step that it takes, weight decay included (a learning rate of its own).
    """

    def __init__(self, widths: Mapping[str, int], outputs: int, *, scales: Literal["gradient", "update"]) -> None:
        super().__init__(widths, outputs)
        self.scales = scales
        self.register_buffer("factor", torch.ones(len(widths)), persistent=False)
        self.register_buffer("factor_sum", torch.zeros(len(widths)))
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("_step", torch.zeros(2, len(widths)), persistent=False)
        self._before: list[list[Tensor]] = []

    @property
    def is_active(self) -> bool:
        """True where the factors are in force; a subclass says when."""
        return True

    def note(self, found: Alone) -> None:
        """Adds what the modalities of a batch say alone to the step's scores."""
        self._step += torch.stack([found.score * found.samples, found.samples])

    def step_scores(self) -> tuple[Float[Tensor, " modality"], Float[Tensor, " modality"]]:
        """The step's mean score of each modality and how many samples had it; the next step begins at zero."""
        total, samples = self._step.clone()
        self._step.zero_()
        return total / samples.clamp_min(1), samples

    @torch.no_grad()
    def scale_gradients(self, model: "FusionModel") -> None:
        """The gradients of each modality's network times its factor, where gradients are what is scaled."""
        self.factor_sum += self.factor
        self.steps += 1
        if self.scales == "gradient":
            for i, name in enumerate(self.modalities):
                for p in model.branch(name):
                    if p.grad is not None:
                        p.grad *= self.factor[i].to(p.grad.dtype)

    @torch.no_grad()
    def before_update(self, model: "FusionModel") -> None:
        if self.scales == "update" and self.is_active:
            self._before = [[p.clone() for p in model.branch(name)] for name in self.modalities]

    @torch.no_grad()
    def after_update(self, model: "FusionModel") -> None:
        """Each modality's network at its factor's share of the optimizer's way."""
        for i, parameters in enumerate(self._before):
            for before, p in zip(parameters, model.branch(self.modalities[i]), strict=True):
                p.copy_(torch.lerp(before, p, self.factor[i].to(p.dtype)))
        self._before = []

    def weights(self) -> Tensor:
        return self.factor

    def facts(self) -> dict[str, float]:
        """The mean factor of each modality over the steps in which factors were in force."""
        means = (self.factor_sum / self.steps.clamp_min(1)).tolist()
        return {"steps": float(self.steps)} | {f"mean_factor_{name}": mean for name, mean in zip(self.modalities, means, strict=True)}
