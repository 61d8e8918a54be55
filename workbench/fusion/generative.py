"""Generative family: what a sample lacks is synthesised from what it has, then all is fused."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.errors import unknown
from workbench.fusion.context import Context, Fused
from workbench.sequences import is_exporting
from workbench.taps import Tap

Treatment = Literal["synthesis", "zeros"]
"""What stands where a modality is missing."""


class RunningScale(nn.Module):
    """Mean and variance of each feature over the training batches so far (the last some twenty count most); constants in evaluation.

    Args:
        size: features.
    """

    MEMORY, EPSILON = 0.05, 1e-5

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))
        self.register_buffer("batches", torch.zeros(()))

    @torch.no_grad()
    def update(self, values: Float[Tensor, "batch feature"], counted: Bool[Tensor, " batch"]) -> None:
        """Takes in the samples of a training batch that count."""
        weight = counted.to(values.dtype)[:, None]
        count = weight.sum()
        mean = (values * weight).sum(0) / count.clamp_min(1)
        variance = ((values - mean).square() * weight).sum(0) / count.clamp_min(1)
        self.batches += count > 0
        rate = torch.where(count > 0, (1 / self.batches.clamp_min(1)).clamp_min(self.MEMORY), 0)
        moved = mean - self.mean
        # The variance of a mixture of the old and the new, whose means differ.
        self.variance.copy_((1 - rate) * (self.variance + rate * moved.square()) + rate * variance)
        self.mean += rate * moved

    def forward(self, values: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch feature"]:
        """Standardised values."""
        return (values - self.mean) * (self.variance + self.EPSILON).rsqrt()

    def restore(self, values: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch feature"]:
        """The inverse."""
        return values * (self.variance + self.EPSILON).sqrt() + self.mean


class SynthesiseMissing(nn.Module):
    """The representations side by side, each missing one synthesised from the others, and flags of what is real.

    Source: generative fusion in Zhao, Zhang, Geng: Deep multimodal data fusion (ACM Computing Surveys 56(9), 2024): "synthesize the missing modality
    based on the other modalities".
        c_m = [z_k and a flag that it is there, for the others k]   (or the mean of those that are there, and the flags)
        z_m <- G_m(c_m) where the sample lacks m;   fused = [z_1, ..., z_M, flags]
        losses: those of G_m on the real, standardised z_m, averaged over the samples that have m, then over the modalities

    Decides:
    - In training each modality of a sample is hidden at the rate `drop` (a sample that would lose everything keeps everything): the head learns with
      syntheses, the generators from conditions with gaps. What was hidden is still the generator's target.
    - The target is detached and standardised by running numbers: z cannot shrink, nor become constant, to be easy to synthesise, and the weight of
      the losses does not depend on its scale. Through the conditions the losses do reach the other modalities' networks: these are trained jointly
      (with detached conditions the CVAE's error without a modality that follows from the others was .25 instead of .13).
    - `missing` may be changed at any time (`fusion.missing = "zeros"`): the same weights with zeros for what is missing, the flags unchanged. A head
      trained with syntheses has never seen those zeros; a model trained with `missing="zeros"` (plain modality dropout) has, and is the fairer rival
      (same data: .13 with syntheses, .77 with zeros that were never seen, .18 with zeros that were).

    Args:
        modalities: names in the card's order.
        size: width of every representation.
        generator: `(width, width of the condition) -> module` with `losses(x, c)` and `synthesise(c)`.
        missing: what stands where a modality is missing.
        condition: the others' representations side by side, or their mean.
        drop: rate at which a modality is hidden in training.
        weight: weight of the generators' losses.
    """

    is_across_samples = True

    def __init__(
        self,
        modalities: Sequence[str],
        size: int,
        generator: Callable[[int, int], nn.Module],
        *,
        missing: Treatment = "synthesis",
        condition: Literal["concatenation", "mean"] = "concatenation",
        drop: float = 0.2,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.names, self.condition, self.drop, self.weight = tuple(modalities), condition, drop, weight
        self.missing = missing
        others = len(self.names) - 1
        condition_size = others + size * (others if condition == "concatenation" else 1)
        self.generators = nn.ModuleDict({name: generator(size, condition_size) for name in self.names})
        self.scales = nn.ModuleDict({name: RunningScale(size) for name in self.names})
        self.size = (size + 1) * len(self.names)
        self.synthesis = Tap("batch", "modality", "feature", modality=self.names)
        self.synthesised = Tap("batch", "modality", modality=self.names)

    @property
    def missing(self) -> Treatment:
        """What stands where a modality is missing: its synthesis, or zeros."""
        return self._missing

    @missing.setter
    def missing(self, treatment: str) -> None:
        if treatment not in get_args(Treatment):
            raise unknown("treatment of missing modalities", treatment, get_args(Treatment))
        self._missing = treatment

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        present = torch.stack([context.present(name) for name in self.names], dim=1)
        kept = self._kept(present)
        if self.training:
            for i, name in enumerate(self.names):
                self.scales[name].update(balanced[name], present[:, i])
        scaled = {name: self.scales[name](balanced[name]) for name in self.names}
        conditions = [self.condition_of(i, scaled, kept) for i in range(len(self.names))]
        losses = self._losses(scaled, conditions, present) if self.training else {}
        own = torch.stack([balanced[name] for name in self.names], dim=1)
        is_real = kept[:, :, None]
        fused = own * is_real
        if self.missing == "synthesis" and (self.synthesis.is_recorded or is_exporting() or not bool(kept.all())):
            fused = torch.where(is_real, own, self.synthesis(self._made(conditions)))
        self.synthesised((~kept).to(own.dtype) * (self.missing == "synthesis"))
        return torch.cat([fused.flatten(1), kept.to(own.dtype)], dim=1), losses

    def condition_of(
        self, place: int, scaled: Mapping[str, Float[Tensor, "batch feature"]], kept: Bool[Tensor, "batch modality"]
    ) -> Float[Tensor, "batch condition"]:
        """What the other modalities say and which of them are there; the missing ones say zero, their mean."""
        others = [i for i in range(len(self.names)) if i != place]
        flags = kept[:, others].to(next(iter(scaled.values())).dtype)
        said = torch.stack([scaled[self.names[i]] for i in others], dim=1) * flags[:, :, None]
        pooled = said.flatten(1) if self.condition == "concatenation" else said.sum(1) / flags.sum(1, keepdim=True).clamp_min(1)
        return torch.cat([pooled, flags], dim=1)

    def _kept(self, present: Bool[Tensor, "batch modality"]) -> Bool[Tensor, "batch modality"]:
        """What is there and not hidden; in evaluation nothing is hidden."""
        if not (self.training and self.drop):
            return present
        kept = present & (torch.rand(present.shape, device=present.device) >= self.drop)
        return torch.where(kept.any(1, keepdim=True), kept, present)

    def _made(self, conditions: Sequence[Tensor]) -> Float[Tensor, "batch modality feature"]:
        """Each modality as its generator has it, on the scale of the real ones."""
        made = [self.scales[name].restore(self.generators[name].synthesise(c)) for name, c in zip(self.names, conditions, strict=True)]
        return torch.stack(made, dim=1)

    def _losses(self, scaled: Mapping[str, Tensor], conditions: Sequence[Tensor], present: Tensor) -> dict[str, Tensor]:
        """The generators' losses by name: mean over the samples that have the modality, then over the modalities."""
        total: dict[str, Tensor] = {}
        for i, name in enumerate(self.names):
            there = present[:, i].to(conditions[i].dtype)
            for term, value in self.generators[name].losses(scaled[name].detach(), conditions[i]).items():
                mean = (value * there).sum() / there.sum().clamp_min(1)
                total[term] = total.get(term, 0) + self.weight / len(self.names) * mean
        return total
