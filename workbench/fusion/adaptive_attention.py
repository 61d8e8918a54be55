"""Attention between the modalities of a sample, one vector each, and a gate on what comes out of it.

    AdaptiveAttention   the attention view of MLDFA: every modality asks every other one and itself, Eqs. (11)-(20)
    feature_gate        a value in (0, 1) for each feature of each modality, Eqs. (18), (26)
    modality_linear     one linear map for all modalities, or one for each

Source: Yue: Multimodal learning data fusion and analysis based on self-attention mechanism (MLDFA), section III.B.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.errors import ConfigError
from workbench.fusion.graph import shares
from workbench.taps import Tap

Weights = Literal["shared", "per_modality"]


class AdaptiveAttention(nn.Module):
    """What the modalities of a sample say once each has asked all of them: cross-modal adaptive attention (CMAA).

    Source: MLDFA, Eqs. (11)-(20). Eqs. (15)-(17) are Eqs. (11)-(13) with the modalities as the N positions; heads as in Eq. (14).
        Q_M = z_M W_Q,  K_M = z_M W_K,  V_M = z_M W_V                          Eq. (15)
        A_MM' = softmax over M' of Q_M K_M'^T / sqrt(d_k)                      Eq. (16)
        z'_M = sum over M' of A_MM' V_M',  heads side by side, times W_O       Eqs. (17), (14)
        g_M = sigma(W_g z'_M + b_g),  z''_M = g_M * z'_M                       Eqs. (18), (19)
        fused = LayerNorm([z''_1, ..., z''_M])                                 Eq. (20)
    where z_M = nodes, A = attention, g = gate, d_k = size / heads.
    Decides: a modality that a sample lacks is neither asked nor asks; it stands as zeros in the concatenation.

    Args:
        size: width d of every modality's vector.
        modalities: names in the card's order.
        heads: they divide the size.
        has_gate: False leaves out Eqs. (18), (19).
        weights: W_Q, W_K, W_V are one for all modalities (as printed) or one for each.
        gate_weights: the same for W_g, b_g.

    Raises:
        ConfigError: heads that do not divide the size.
    """

    def __init__(
        self,
        size: int,
        modalities: Sequence[str],
        *,
        heads: int = 1,
        has_gate: bool = True,
        weights: Weights = "shared",
        gate_weights: Weights = "shared",
    ) -> None:
        super().__init__()
        if size % heads:
            raise ConfigError(f"a width of {size} cannot be shared by {heads} heads", expected="heads that divide the width (hidden_size)")
        names = tuple(modalities)
        self.heads = heads
        self.query = modality_linear(size, names, weights, has_bias=False)
        self.key = modality_linear(size, names, weights, has_bias=False)
        self.value = modality_linear(size, names, weights, has_bias=False)
        self.output = nn.Linear(size, size, bias=False)
        self.gate_map = modality_linear(size, names, gate_weights, has_bias=True) if has_gate else None
        self.norm = nn.LayerNorm(size * len(names))
        self.size = size * len(names)
        self.attention = Tap("batch", "head", "modality", "modality_attended", modality=names, modality_attended=names)
        self.received = Tap("batch", "modality", modality=names)
        if has_gate:
            self.gate = Tap("batch", "modality", "feature", modality=names)
            self.gate_mean = Tap("batch", "modality", modality=names)

    def forward(self, nodes: Float[Tensor, "batch modality feature"], present: Bool[Tensor, "batch modality"]) -> Float[Tensor, "batch fused"]:
        """The view, `batch modality * feature`.

        Args:
            nodes: a vector a modality, zeros where a sample lacks it.
            present: True where the sample has the modality.
        """
        attended = self.gated(self.interaction(nodes, present), present)
        return self.norm(attended.flatten(1))  # Eq. (20)

    def interaction(self, nodes: Tensor, present: Tensor) -> Float[Tensor, "batch modality feature"]:
        """z'_M: what each modality hears, Eqs. (15)-(17), (14)."""
        query, key, value = (self._heads(linear(nodes)) for linear in (self.query, self.key, self.value))  # Eq. (15)
        attention = self.attention(attention_weights(query, key, present))  # Eq. (16)
        self.received(share_received(attention, present))
        heard = attention @ value  # Eqs. (13), (17)
        return self.output(heard.transpose(1, 2).flatten(2))  # Eq. (14)

    def gated(self, nodes: Tensor, present: Tensor) -> Float[Tensor, "batch modality feature"]:
        """z''_M = g_M * z'_M: Eq. (19)."""
        if self.gate_map is None:
            return nodes
        gate = self.gate(feature_gate(self.gate_map, nodes, present))
        self.gate_mean(gate.mean(-1))
        return gate * nodes

    def _heads(self, nodes: Tensor) -> Float[Tensor, "batch head modality d_k"]:
        return nodes.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def attention_weights(
    query: Float[Tensor, "batch head modality d_k"], key: Float[Tensor, "batch head modality d_k"], present: Bool[Tensor, "batch modality"]
) -> Float[Tensor, "batch head modality other"]:
    """A_MM' = softmax over M' of Q_M K_M'^T / sqrt(d_k), over the modalities that are there: Eqs. (12), (16)."""
    allowed = (present[:, :, None] & present[:, None, :])[:, None]
    return shares(query @ key.mT / math.sqrt(query.shape[-1]), allowed)


def share_received(attention: Float[Tensor, "batch head modality other"], present: Bool[Tensor, "batch modality"]) -> Float[Tensor, "batch other"]:
    """Which share of all attention each modality gets, mean over heads and over the modalities that ask; sums to 1."""
    return attention.mean(1).sum(1) / present.sum(1, keepdim=True).clamp_min(1)


def feature_gate(
    linear: nn.Module, nodes: Float[Tensor, "batch modality feature"], present: Bool[Tensor, "batch modality"]
) -> Float[Tensor, "batch modality feature"]:
    """g_M = sigma(W_g z_M + b_g), Eqs. (18) and (26); 0 for a modality that a sample lacks."""
    return torch.sigmoid(linear(nodes)) * present[:, :, None]


class EachLinear(nn.Module):
    """A linear map of its own for each modality."""

    def __init__(self, size: int, modalities: Sequence[str], *, has_bias: bool) -> None:
        super().__init__()
        self.maps = nn.ModuleDict({name: nn.Linear(size, size, bias=has_bias) for name in modalities})

    def forward(self, nodes: Float[Tensor, "batch modality feature"]) -> Float[Tensor, "batch modality feature"]:
        return torch.stack([linear(nodes[:, i]) for i, linear in enumerate(self.maps.values())], dim=1)


def modality_linear(size: int, modalities: Sequence[str], weights: Weights, *, has_bias: bool) -> nn.Module:
    """A map of `batch modality feature`: the same for all modalities, or one for each."""
    return nn.Linear(size, size, bias=has_bias) if weights == "shared" else EachLinear(size, modalities, has_bias=has_bias)
