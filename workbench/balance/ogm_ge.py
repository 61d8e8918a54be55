"""OGM-GE: the gradient of a modality that is ahead is made smaller on the fly, and noise of the gradient's own spread is added.

    s_m = sum over the step's samples of the probability that modality m alone gives the truth
    rho_m = s_m / (the others' s)
    k_m = 1 - tanh(alpha rho_m) where rho_m > 1, else 1
    gradient of modality m's network <- k_m gradient + noise,  noise ~ N(0, (spread of the gradient)^2)

Source: Peng, Wei, Deng, Wang, Hu: Balanced multimodal learning via on-the-fly gradient modulation. CVPR 2022; as its public code has it.

Differs:
- The original reads a modality's score off the joint classifier, split into blocks: that is there only where a linear layer follows a
  concatenation. Here each modality has a linear head of its own on z_m; it watches, nothing flows from it into the networks. So it says what the
  modality has learned, not what the joint layer makes of it.
- The public code touches convolutions only. Here every parameter of the modality's network is scaled.
- Noise goes to numbers whose gradient is not zero: a word that is not in the batch stays where it is (with Adam it would walk at full rate).
Decides:
- Three and more modalities: against the mean of the others' scores, so that only what is ahead of the rest is held back; `against="smallest"` is
  what public benchmarks do: all but the last are.
- Scores are means over the samples that have the modality; the same ratio where all have it.
- Regression: exp(-|error|) for the probability of the truth, in the label's own unit; several labels: mean over labels of the probability of the
  truth. The original is defined on classes only.
- The paper has no one alpha; public benchmarks take .3.
- Noise goes to all modalities, as in the public code, not only to what was held back; with the gradient's own spread it makes the gradient about
  1.4 times as long or more, which plain SGD feels as a larger rate. `noise=0` is OGM; `alpha=0` with `noise=0` is off, to the last bit.
With Adam: the optimizer divides by the gradient's recent size. A coefficient that stays the same is divided out again, so `noise=0` hardly changes
the update (in the first step not at all); the noise does. `scales="update"` puts the coefficient on the update instead: it then works with any
optimizer (the noise stays on the gradient).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from workbench.balance.factors import BranchFactors

if TYPE_CHECKING:
    from workbench.data.batch import Batch
    from workbench.model import FusionModel, Output

HAS_HEADS = True


class Config(BaseModel):
    """OGM-GE's settings."""

    model_config = ConfigDict(extra="forbid")

    alpha: float = Field(0.3, ge=0, le=10, description="how much a modality that is ahead is held back; 0: not at all")
    noise: float = Field(1.0, ge=0, le=10, description="spread of the added noise, in units of the gradient's own; 0: none (OGM)")
    first_epoch: int = Field(1, ge=1, description="first epoch in which gradients are changed")
    last_epoch: int | None = Field(None, ge=1, description="last epoch in which gradients are changed; none: to the end")
    against: Literal["mean", "smallest"] = Field("mean", description="three and more modalities: a score is compared with this of the others")
    scales: Literal["gradient", "update"] = Field("gradient", description="what the coefficient multiplies; update works with Adam too")


def build(config: Config, widths: Mapping[str, int], outputs: int) -> "OGMGE":
    """The rule for these modalities."""
    return OGMGE(widths, outputs, config=config)


def ratios(
    score: Float[Tensor, " modality"], has: Bool[Tensor, " modality"], *, against: Literal["mean", "smallest"] = "mean"
) -> Float[Tensor, " modality"]:
    """rho_m; 1 for a modality that no sample has, and where there is no other one."""
    among = torch.where(has, score, 0)
    if against == "mean":
        other = (among.sum() - among) / (has.sum() - has.to(score.dtype)).clamp_min(1)
    else:
        itself = torch.eye(len(score), dtype=torch.bool, device=score.device)
        other = torch.where(itself | ~has, torch.inf, score).min(1).values
    has_other = has & (has.sum() > 1) & (other > 0)
    return torch.where(has_other, score / torch.where(has_other, other, 1), 1)


def coefficients(ratio: Float[Tensor, " modality"], *, alpha: float) -> Float[Tensor, " modality"]:
    """k_m = 1 - tanh(alpha rho_m) where rho_m > 1, else 1."""
    return torch.where(ratio > 1, 1 - torch.tanh(alpha * ratio), 1)


def spread(gradient: Tensor) -> Float[Tensor, ""]:
    """Standard deviation of the numbers of a gradient that are not zero; 0 where there is none."""
    there = gradient != 0
    count = there.sum().clamp_min(1)
    return (torch.where(there, gradient - gradient.sum() / count, 0).square().sum() / count).sqrt()


class OGMGE(BranchFactors):
    """The coefficients k_m and the noise.

    Args:
        widths, outputs: see `WithHeads`.
        config: settings.
    """

    def __init__(self, widths: Mapping[str, int], outputs: int, *, config: Config) -> None:
        super().__init__(widths, outputs, scales=config.scales)
        self.config = config
        self.register_buffer("reduced", torch.zeros(len(widths)))
        self.is_in_window = True

    @property
    def is_active(self) -> bool:
        return self.is_in_window and (self.config.alpha > 0 or self.config.noise > 0)

    @property
    def changes_gradients(self) -> bool:
        return self.is_active

    def begin_epoch(self, number: int) -> None:
        super().begin_epoch(number)
        last = self.config.last_epoch
        self.is_in_window = number >= self.config.first_epoch and (last is None or number <= last)
        self.factor.fill_(1)

    def loss(self, output: "Output", batch: "Batch", *, task_loss: Tensor) -> Tensor:
        """The heads' own losses: nothing of them flows into the networks."""
        found = self.alone(output, batch)
        self.note(found)
        return found.loss.sum()

    @torch.no_grad()
    def after_backward(self, model: "FusionModel") -> None:
        """Coefficients from the step's scores; then gradients times coefficient, plus noise."""
        score, samples = self.step_scores()
        if not self.is_active:
            return
        ratio = ratios(score, samples > 0, against=self.config.against)
        self.factor.copy_(coefficients(ratio, alpha=self.config.alpha))
        self.reduced += self.factor < 1
        noise = self._noise(model) if self.config.noise else []
        self.scale_gradients(model)
        for p, added in noise:
            p.grad += added

    def _noise(self, model: "FusionModel") -> list[tuple[Tensor, Tensor]]:
        """Noise for each parameter, of the spread that its gradient has before it is scaled."""
        found = [p for name in self.modalities for p in model.branch(name) if p.grad is not None]
        return [(p, self.config.noise * spread(p.grad) * torch.randn_like(p.grad) * (p.grad != 0)) for p in found]

    def facts(self) -> dict[str, float]:
        """Mean coefficients, and in how many steps each modality was held back."""
        return super().facts() | {f"reduced_{name}": float(count) for name, count in zip(self.modalities, self.reduced.tolist(), strict=True)}
