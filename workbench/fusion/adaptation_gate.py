"""Shift the words of one modality by what the others say at that moment, and go on with a language model.

AdaptationGate     Z' = Z + alpha h, for any number of other modalities (MAG)
ShiftedReading     gate, LN, dropout, then a language model over the shifted steps, pooled
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.fusion.context import Context, Fused
from workbench.sequences import masked_mean, resampled
from workbench.taps import Tap

SMALLEST = 1e-12
"""Squares of lengths are not taken smaller, so that a vector of zeros has a gradient (and that gradient one of its own)."""


class AdaptationGate(nn.Module):
    """Moves each step of the centre by a gated sum of the other modalities at that step, never further than beta times its own length.

    Source: Rahman et al.: Integrating multimodal information in large pretrained transformers (ACL 2020), section 4.1, Eqs. (1)-(5):
        g_m = ReLU(W_gm [Z; V_m] + b_m),  h = sum_m g_m * (W_m V_m) + b
        alpha = min(|Z| / |h| beta, 1),   Z' = Z + alpha h
    The paper has two others, audio and vision; the sum is over as many as there are.

    Args:
        size: width of the centre.
        sizes: modality name to width, of the others.
        centre: name of the centre, for the taps' axes.
        beta: largest displacement, in lengths of Z.
    """

    def __init__(self, size: int, sizes: Mapping[str, int], *, centre: str, beta: float) -> None:
        super().__init__()
        self.gates = nn.ModuleDict({name: nn.Linear(size + width, size) for name, width in sizes.items()})
        self.displacements = nn.ModuleDict({name: nn.Linear(width, size, bias=False) for name, width in sizes.items()})
        self.bias = nn.Parameter(torch.zeros(size))
        self.beta = beta
        names = tuple(sizes)
        self.gate = Tap("batch", "modality", modality=names)
        self.step_gate = Tap("batch", f"{centre}_time", "modality", modality=names)
        self.alpha = Tap("batch", f"{centre}_time")
        self.moved = Tap("batch", f"{centre}_time")

    def forward(
        self, centre: Float[Tensor, "batch time size"], others: Mapping[str, Tensor], mask: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time size"]:
        """Z'.

        Args:
            centre: Z.
            others: V_m, `batch time width` each, on the centre's steps.
            mask: True where a step of the centre is real.
        """
        gates = {name: torch.relu(gate(torch.cat([centre, others[name]], dim=-1))) for name, gate in self.gates.items()}
        self._show(gates, mask)
        h = self.bias + sum(gates[name] * displacement(others[name]) for name, displacement in self.displacements.items())
        alpha = self.alpha((self.beta * length(centre) / length(h)).clamp_max(1))
        if self.moved.is_recorded:
            self.moved(alpha * length(h))
        return centre + alpha[:, :, None] * h

    def _show(self, gates: Mapping[str, Tensor], mask: Tensor) -> None:
        """The gates' means over features, step by step and over the real steps, for who looks."""
        if self.gate.is_recorded or self.step_gate.is_recorded:
            by_step = self.step_gate(torch.stack([gate.mean(-1) for gate in gates.values()], dim=-1))
            self.gate(masked_mean(by_step, mask))


def length(vectors: Float[Tensor, "batch time feature"]) -> Float[Tensor, "batch time"]:
    """Their L2 norms, 1e-6 at least."""
    return vectors.square().sum(-1).clamp_min(SMALLEST).sqrt()


class ShiftedReading(nn.Module):
    """The centre's steps, shifted by the other modalities, normalised, and read by a language model.

    Source: Rahman et al. (ACL 2020), section 4.2: LN and dropout follow the shift, then what follows the embedding layer of the language model.

    Args:
        centre: name of the modality whose steps are shifted.
        others: names of the others, in the card's order; they are brought onto the centre's steps by equal shares of time.
        gate: shifts.
        language_model: module `(batch time size, mask) -> batch time size`.
        size: width of the centre.
        dropout: after LN.
        has_cls: read the first step's state (a model's own first token) instead of the mean over the real steps.
    """

    def __init__(
        self, centre: str, others: Sequence[str], *, gate: AdaptationGate, language_model: nn.Module, size: int, dropout: float, has_cls: bool
    ) -> None:
        super().__init__()
        self.centre, self.others = centre, tuple(others)
        self.gate = gate
        self.norm = nn.LayerNorm(size)
        self.dropout = nn.Dropout(dropout)
        self.language_model = language_model
        self.has_cls = has_cls
        self.size = size

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        mask = context.masks[self.centre]
        others = {name: resampled(balanced[name], context.masks[name], mask) for name in self.others}
        shifted = self.dropout(self.norm(self.gate(balanced[self.centre], others, mask)))
        states = self.language_model(shifted, mask)
        pooled = states[:, 0] * context.present(self.centre)[:, None] if self.has_cls else masked_mean(states, mask)
        return pooled, {}
