"""B-fusion: learn one weight for each modality from the difference of the modalities' gradient magnitudes.

Source: Luo, Wu, Liu, Tang: Multimodal sentiment analysis method based on adaptive weight fusion. Journal of Software 35(10), 2024,
section 2.1, Eqs. (4)-(10).

Decides:
- The target g_bar r_i of Eq. (6) is a constant (no gradient), as in GradNorm, the paper's [17].
- `normalize=True` (default) divides g by g_bar before Eq. (6): the rate becomes scale-free. The paper's raw form has g about 1e-4 on
  MOSI, so a rate of 0.05 moves a weight by 0.001 in ten epochs. `normalize=False` is the paper's form.
- `min_weight` is a floor: with a large rate a weight can cross zero. `min_weight=None` is the paper. How often it held is counted.
- `update="exact"` differentiates L_w through the task gradient (a second backward); `update="first_order"` uses
  dg_i/dw_i = g_i / w_i, which is exact where the rest of the network does not react to w, and needs no second backward.
- The two agree exactly wherever what follows the weights is piecewise linear and the loss is L1 (our regression default with ReLU layers): then
  g_i = w_i times a constant between kinks. With a squared error or cross entropy they part once residuals shrink.
- g is the task loss's alone (Eq. 7), in both updates: where a model adds terms of its own (reconstruction, contrast, ...), first order asks for the
  task's gradient separately, down to the projections. Without such terms the gradients of the step are the task's.
- With gradient accumulation `exact` averages L_w's gradient over the parts of a step; `first_order` sees the whole step's gradient.
- With plain SGD a weight multiplies its modality's rate (Adam divides it out), and the default rate turns the dominant modality off before
  anything is learned: on `opinions` the joint score fell from .79 to .65-.74 with rates from .003 on. So under SGD the defaults are `FOR_SGD`: a
  tenth of the rate and a floor of .3, with which it neither helped nor hurt there. (A warm-up of 5 to 20 epochs made no difference; SGD itself
  needed a rate of .1 with momentum .9 and a patience of 30.)
- With several ranks the exact update averages the first gradients so that the second can go through them (`workbench.ranks`).
- `warmup_epochs` keeps w at 1 for the first epochs.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from workbench.balance import Balancer
from workbench.ranks import gradients

if TYPE_CHECKING:
    from workbench.model import FusionModel


class Config(BaseModel):
    """B-fusion's settings."""

    model_config = ConfigDict(extra="forbid")

    update: Literal["first_order", "exact"] = Field("first_order", description="gradient of L_w: first order, or exact through the task gradient")
    rate: float = Field(0.01, gt=0, le=100, description="learning rate of the weights (Eq. 10), scale-free where normalize is on")
    normalize: bool = Field(True, description="divide the gradient magnitudes by their mean before Eq. (6); off is the paper's form")
    min_weight: float | None = Field(0.01, gt=0, le=1, description="floor of every weight; none is the paper")
    warmup_epochs: int = Field(0, ge=0, description="epochs during which the weights stay at 1")


FOR_SGD = {"rate": 0.001, "min_weight": 0.3}
"""Defaults where the networks' optimizer is SGD; values that are given win."""


def build(config: Config, modalities: Sequence[str]) -> "BFusion":
    """The rule for these modalities."""
    return BFusion(modalities, config=config)


def gradient_magnitude(gradient: Tensor) -> Float[Tensor, ""]:
    """Eq. (7): g_i = average |dL_task / dW_i|."""
    return gradient.abs().mean()


def target_magnitude(g: Float[Tensor, " modality"]) -> Float[Tensor, " modality"]:
    """Eqs. (8), (9): g_bar r_i with g_bar = mean g and r_i = max_k g_k / g_i; a constant (no gradient)."""
    g = g.detach()
    return g.mean() * g.max() / g.clamp_min(torch.finfo(g.dtype).tiny)


def balance_loss(g: Float[Tensor, " modality"]) -> Float[Tensor, ""]:
    """Eq. (6): L_w = sum_i |g_i - g_bar r_i|."""
    return (g - target_magnitude(g)).abs().sum()


def first_order_gradient(g: Float[Tensor, " modality"], weight: Float[Tensor, " modality"]) -> Float[Tensor, " modality"]:
    """dL_w/dw_i with dg_i/dw_i = g_i / w_i: sign(g_i - g_bar r_i) g_i / w_i."""
    # Without a floor a weight can stand at zero: its g is zero too, and it stays there.
    return torch.where(weight == 0, torch.zeros_like(g), torch.sign(g - target_magnitude(g)) * g / weight)


class BFusion(Balancer):
    """The weights w_i, their forward pass (Eq. 4) and their update (Eq. 10).

    Args:
        modalities: names in the card's order.
        config: settings.
    """

    def __init__(self, modalities: Sequence[str], *, config: Config) -> None:
        super().__init__()
        self.config = config
        self.modalities = tuple(modalities)
        self.weight = nn.Parameter(torch.ones(len(self.modalities)))
        self.register_buffer("floor_held", torch.zeros(len(self.modalities)))
        self.register_buffer("_step_gradient", torch.zeros(len(self.modalities)), persistent=False)
        self._task_gradients: list[Tensor] = []
        self.is_warm = config.warmup_epochs == 0

    @property
    def is_exact(self) -> bool:
        """True where the gradient of L_w goes through the task gradient."""
        return self.config.update == "exact"

    @property
    def is_second_order(self) -> bool:
        return self.is_exact and self.is_warm

    def forward(self, z: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Eq. (4), before the concatenation: w_i Z_i."""
        # Only the exact update differentiates by w; elsewhere w is a constant of the step.
        weight = self.weight if self.is_exact and self.training else self.weight.detach()
        return {name: weight[i] * z[name] for i, name in enumerate(self.modalities)}

    def begin_epoch(self, number: int) -> None:
        self.is_warm = number > self.config.warmup_epochs

    def before_backward(self, task_loss: Tensor, model: "FusionModel", *, share: float, has_terms: bool) -> None:
        """Exact: the gradient of L_w by w, through the task gradient. First order: the task gradient, where other terms would mix with it."""
        if not self.is_warm or not (self.is_exact or has_terms):
            return
        found = gradients(task_loss, self._matrices(model), create_graph=self.is_exact, retain_graph=True)
        if not self.is_exact:
            parts = [share * gradient for gradient in found]
            self._task_gradients = [a + b for a, b in zip(self._task_gradients, parts, strict=True)] if self._task_gradients else parts
            return
        g = self._magnitudes(found)
        # The task loss is still to be used for its own backward: keep its graph.
        self._step_gradient += share * gradients(balance_loss(g), [self.weight], retain_graph=True)[0]

    @torch.no_grad()
    def after_backward(self, model: "FusionModel") -> None:
        """Eq. (10): w_i <- w_i - rate dL_w/dw_i, then the floor."""
        self.weight.grad = None
        if not self.is_warm:
            return
        if self.is_exact:
            gradient = self._step_gradient.clone()
            self._step_gradient.zero_()
        else:
            g = self._magnitudes(self._task_gradients or [matrix.grad for matrix in self._matrices(model)])
            self._task_gradients = []
            gradient = first_order_gradient(g, self.weight)
        self.weight -= self.config.rate * gradient
        if self.config.min_weight is not None:
            self.floor_held += self.weight < self.config.min_weight
            self.weight.clamp_(min=self.config.min_weight)

    def _matrices(self, model: "FusionModel") -> list[Tensor]:
        """W_i of Eqs. (1)-(3)."""
        return [model.projections[name].weight for name in self.modalities]

    def _magnitudes(self, gradients: Sequence[Tensor]) -> Float[Tensor, " modality"]:
        """Eq. (7) of each modality, by their mean where the config says so."""
        g = torch.stack([gradient_magnitude(gradient) for gradient in gradients])
        return g / g.detach().mean().clamp_min(torch.finfo(g.dtype).tiny) if self.config.normalize else g

    def moved(self) -> list[nn.Parameter]:
        return [self.weight]

    def stopped(self) -> "BFusion":
        """The weights go on scaling the forward pass, and stay as they are."""
        self.config = self.config.model_copy(update={"warmup_epochs": 10**9})
        return self

    def weights(self) -> Tensor:
        return self.weight.detach()

    def facts(self) -> dict[str, float]:
        """How many steps the floor held, by modality."""
        return {f"floor_held_{name}": float(count) for name, count in zip(self.modalities, self.floor_held.tolist(), strict=True)}
