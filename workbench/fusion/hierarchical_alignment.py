"""Sequences of different grain and length brought together: whole and parts of each modality, then all on the steps of one of them.

    HierarchicalAlignment   a vector a modality from sequences and vectors, Eqs. (21)-(25)
    TimeAlignment           the maps of attention-weighted interpolation, Eqs. (24), (25)

Source: Yue: Multimodal learning data fusion and analysis based on self-attention mechanism (MLDFA), section III.C.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.attention import Attention
from workbench.fusion.adaptive_attention import Weights
from workbench.fusion.graph import shares
from workbench.sequences import Steps, masked_mean
from workbench.taps import Tap

TimeScale = Literal["none", "sqrt"]


class HierarchicalAlignment(nn.Module):
    """One aligned vector for each modality: global and local features mixed, then brought onto the reference's steps, then the mean over these.

    Source: MLDFA, Eqs. (21)-(25).
        z_global = GlobalPooling(z_M)                                     Eq. (21)
        z_local = SelfAttention(z_M)                                      Eq. (22)
        z_aligned = alpha_M z_global + (1 - alpha_M) z_local              Eq. (23), at every step
        A_time = softmax(Q_T K_T^T),  z_aligned = A_time V_T              Eqs. (24), (25)
    Decides: `z_aligned` of Eq. (23) is the input of Eqs. (24), (25): Q from the reference's steps, K and V from the modality's. The reference itself,
    images and vectors have no time to be interpolated and stay as Eq. (23) leaves them. A modality of one step (a vector) is its own whole and has no
    parts: Eqs. (21)-(23) leave it as it is, alpha is 1. GlobalPooling is the mean over the real steps, or the [CLS] state where the modality is read
    there (`cls`); the same pooling makes the vector at the end. A sample that lacks the reference has nothing to be aligned with: its other
    modalities take the mean of V_T over their own real steps, every step alike.

    Args:
        size: width d of every modality.
        modalities: names in the card's order.
        steps: those of several steps, to which Eqs. (21)-(23) apply.
        aligned: those that are brought onto the reference's steps.
        reference: the modality whose steps these are; None where nothing is brought anywhere.
        cls: those whose first step is a [CLS] token that is read instead of the mean.
        heads: of the self-attention of Eq. (22).
        has_global_local: False leaves out Eqs. (21)-(23).
        has_time_alignment: False leaves out Eqs. (24), (25).
        alpha: a mixing weight for each modality, or one for all.
        time_scale: of Q_T K_T^T: `none` as printed, `sqrt` divides by sqrt(d) as in Eq. (12).
    """

    def __init__(
        self,
        size: int,
        modalities: Sequence[str],
        *,
        steps: Collection[str],
        aligned: Collection[str] = (),
        reference: str | None = None,
        cls: Collection[str] = (),
        heads: int = 1,
        has_global_local: bool = True,
        has_time_alignment: bool = True,
        alpha: Weights = "per_modality",
        time_scale: TimeScale = "none",
    ) -> None:
        super().__init__()
        self.modalities, self.reference, self.cls = tuple(modalities), reference, frozenset(cls)
        mixed = [name for name in modalities if name in steps and has_global_local]
        moved = [name for name in modalities if name in aligned and has_time_alignment]
        self.local = nn.ModuleDict({name: Attention(size, heads=heads, axes=(f"{name}_time", f"{name}_time_attended")) for name in mixed})
        self.aligners = nn.ModuleDict({name: TimeAlignment(size, scale=time_scale) for name in moved})
        self.time = nn.ModuleDict({name: Tap("batch", f"{reference}_time", f"{name}_time") for name in moved})
        if mixed:
            self.logit = nn.Parameter(torch.zeros(len(mixed) if alpha == "per_modality" else 1))
            self.alpha = Tap("batch", "modality", modality=self.modalities)

    def forward(self, values: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Float[Tensor, "batch modality feature"]:
        """The aligned vectors, zeros where a sample lacks the modality.

        Args:
            values: modality name to `batch time feature`, or `batch feature` for a vector; zeros where a step is not real.
            masks: modality name to `batch time` (`batch 1` for a vector), True where a step is real.
        """
        values = self._mixed(values, masks)
        reference = None if self.reference is None else Steps(values[self.reference], masks[self.reference])
        return torch.stack([self._vector(name, values[name], masks[name], reference) for name in self.modalities], dim=1)

    def _mixed(self, values: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every modality after Eqs. (21)-(23)."""
        if not self.local:
            return dict(values)
        alpha = dict(zip(self.local, torch.sigmoid(self.logit).expand(len(self.local)), strict=True))
        shown = torch.stack([alpha.get(name, self.logit.new_ones(())) for name in self.modalities])
        self.alpha(shown.expand(values[self.modalities[0]].shape[0], -1))
        return {name: self._global_local(name, values[name], masks[name], alpha[name]) if name in alpha else values[name] for name in values}

    def _global_local(
        self, name: str, values: Float[Tensor, "batch time feature"], mask: Bool[Tensor, "batch time"], alpha: Float[Tensor, ""]
    ) -> Float[Tensor, "batch time feature"]:
        """z_aligned = alpha z_global + (1 - alpha) z_local: Eqs. (21)-(23)."""
        whole = self._pooled(name, values, mask)[:, None]  # Eq. (21)
        local = self.local[name](values, values, mask)  # Eq. (22)
        return (alpha * whole + (1 - alpha) * local) * mask[:, :, None]  # Eq. (23)

    def _vector(self, name: str, values: Tensor, mask: Tensor, reference: Steps | None) -> Float[Tensor, "batch feature"]:
        """z_aligned of Eq. (25) where the modality is aligned, else of Eq. (23), as one vector."""
        if name not in self.aligners or reference is None:
            return self._pooled(name, values, mask)
        aligner = self.aligners[name]
        weights = self.time[name](aligner(reference, Steps(values, mask)))  # Eq. (24)
        moved = weights @ aligner.value(values)  # Eq. (25)
        alone = masked_mean(aligner.value(values), mask & ~reference.mask.any(1, keepdim=True))
        return masked_mean(moved, reference.mask) + alone

    def _pooled(self, name: str, values: Tensor, mask: Tensor) -> Float[Tensor, "batch feature"]:
        """The whole of a modality: its [CLS] state, or the mean over its real steps; a vector as it is."""
        if values.dim() == 2:
            return values
        return values[:, 0] if name in self.cls else masked_mean(values, mask)


class TimeAlignment(nn.Module):
    """Where each step of the reference looks in a modality's time.

    Source: MLDFA, Eq. (24): A_time = softmax(Q_T K_T^T).
    Decides: the "time step representations" Q_T, K_T, V_T are linear maps as in Eq. (11), each aligned modality with its own. What Eq. (23) adds to
    every step alike cancels in the softmax: the map tells steps apart by their local part alone, and is flat as long as that is small.

    Args:
        size: width d.
        scale: `none` or `sqrt`.
    """

    def __init__(self, size: int, *, scale: TimeScale = "none") -> None:
        super().__init__()
        self.query = nn.Linear(size, size, bias=False)
        self.key = nn.Linear(size, size, bias=False)
        self.value = nn.Linear(size, size, bias=False)
        self.factor = 1 / math.sqrt(size) if scale == "sqrt" else 1.0

    def forward(self, reference: Steps, other: Steps) -> Float[Tensor, "batch queries keys"]:
        """A_time: each real step's shares of the modality's real steps; zeros where there is none: Eq. (24)."""
        scores = self.query(reference.values) @ self.key(other.values).mT * self.factor
        return shares(scores, reference.mask[:, :, None] & other.mask[:, None, :])
