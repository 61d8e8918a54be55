"""Encoder-decoder family, raw-data level: all modalities' steps on one grid of time, merged step by step, read by one network."""

from collections.abc import Mapping
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.encoders import MaskedLSTM
from workbench.fusion.context import Context, Fused
from workbench.fusion.encoder_decoder import Merge
from workbench.sequences import common_steps, last_real_step, masked_mean, resampled
from workbench.taps import Tap


class RawFusion(nn.Module):
    """Fusion of raw data: every modality's steps brought onto the reference's, merged step by step, and read by one joint network.

    Source: "raw-data-level fusion" of the survey talk (Fig. 2 A); early fusion.
    A step is real where any modality is. Aligned data is merged as it is, save where a modality's last steps are missing (`sequences.resampled`).

    Args:
        merge: how the modalities become one at each step.
        joint: module `(batch time feature, mask) -> batch feature`.
        reference: whose steps the others are brought onto (see `sequences.resampled`).
    """

    def __init__(self, merge: Merge, joint: nn.Module, *, modalities: tuple[str, ...], reference: str) -> None:
        super().__init__()
        self.merge, self.joint, self.reference = merge, joint, reference
        self.parts = Tap("batch", f"{reference}_time", "modality", modality=modalities)
        """Length of each modality's vector at each step: what it brings to the merge."""

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        steps = common_steps(context.masks, self.reference)
        masks = {name: context.masks[name] for name in balanced}
        values = {name: resampled(value, masks[name], steps) for name, value in balanced.items()}
        present = {name: resampled(mask[:, :, None].to(values[name].dtype), mask, steps)[:, :, 0] > 0 for name, mask in masks.items()}
        if self.parts.is_recorded:
            self.parts(torch.stack([torch.linalg.vector_norm(value, dim=-1) for value in values.values()], dim=-1))
        return self.joint(self.merge(values, present), torch.stack(list(present.values())).any(0)), {}


class JointLSTM(nn.Module):
    """A stack of LSTM layers with dropout after each, read at the last real step: `batch hidden_size`."""

    def __init__(self, input_size: int, hidden_size: int, *, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MaskedLSTM(size, hidden_size) for size in [input_size, *[hidden_size] * (layers - 1)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Float[Tensor, "batch time input"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch feature"]:
        for layer in self.layers:
            values = self.dropout(layer(values, mask))
        return last_real_step(values, mask)


class JointMLP(nn.Module):
    """The mean over the real steps, then `layers` times (linear, ReLU, dropout): `batch hidden_size`."""

    def __init__(self, input_size: int, hidden_size: int, *, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        widths = [input_size, *[hidden_size] * layers]
        self.layers = nn.Sequential(*(nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(dropout)) for a, b in pairwise(widths)))

    def forward(self, values: Float[Tensor, "batch time input"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch feature"]:
        return self.layers(masked_mean(values, mask))
