"""Transformer layers whose parts pass gates: one modality's own steps, and one modality's steps read into another's.

    GateTransformer   a layer of one modality                                      MMILN Eqs. (5)-(12)
    SAGTransformer    a layer of a stream that reads another modality              MMILN Eqs. (13)-(23)
    PooledGRU         what the gates look at: a sequence as one vector             MMILN Eqs. (7), (16)

Source: MMILN (see `workbench.methods.mmiln`), section 3.2. Gates are vectors, one number a feature, the same at every step (Eqs. (8), (9), (19),
(20)), but for the screening gate, which each step of the other modality has for itself (Eq. (17)). Values are zeros where a step is not real.
"""

from typing import Literal, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.attention import Attention
from workbench.fusion.pooled_gru import PooledGRU
from workbench.taps import Tap

__all__ = ["GateTransformer", "GatedSteps", "PooledGRU", "Residual", "SAGTransformer"]

Residual = Literal["previous", "current"]


class GatedSteps(NamedTuple):
    """What a layer gives.

    Args:
        values: `batch time feature`, X^i.
        attended: `batch time feature`, X_mh^i of a `GateTransformer`; the screened X_mh^i of the other modality in a `SAGTransformer`.
        hidden: `batch feature`, h of Eq. (7) or (16); None without gates.
        retain, compound: `batch feature`, g_r and g_c; None without gates.
        screening: `batch time feature`, g_s; None where nothing is screened.
    """

    values: Tensor
    attended: Tensor
    hidden: Tensor | None = None
    retain: Tensor | None = None
    compound: Tensor | None = None
    screening: Tensor | None = None


class _Gated(nn.Module):
    """What both layers share: two gates from the pooled GRU, Eqs. (7)-(9) and (16), (19), (20); two norms and the feed-forward part, (11), (12)."""

    def __init__(self, size: int, *, dropout: float, has_gates: bool, is_single: bool, is_full: bool) -> None:
        super().__init__()
        self.pooled = PooledGRU(size, is_single=is_single, is_full=is_full) if has_gates else None
        self.to_retain = nn.Linear(size, size, bias=False) if has_gates else None
        self.to_compound = nn.Linear(size, size, bias=False) if has_gates else None
        self.retain, self.compound = Tap("batch", "feature"), Tap("batch", "feature")
        self.gate_norm, self.norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.feed_forward = nn.Sequential(nn.Linear(size, 4 * size), nn.ReLU(), nn.Dropout(dropout), nn.Linear(4 * size, size))
        self.dropout = nn.Dropout(dropout)

    def gates(self, values: Tensor, mask: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """h, g_r, g_c."""
        if self.pooled is None:
            return None, None, None
        hidden = self.pooled(values, mask)
        return hidden, self.retain(self.to_retain(hidden).sigmoid()), self.compound(self.to_compound(hidden).sigmoid())

    def closed(self, told: Tensor, stream: Tensor, retain: Tensor | None, compound: Tensor | None) -> Tensor:
        """Eqs. (11), (12), and (22), (23): LN(y + FFN(y)) with y = LN(g_c * told + g_r * stream)."""
        told = self.dropout(told)
        mixed = told + stream if retain is None else compound[:, None] * told + retain[:, None] * stream
        mixed = self.gate_norm(mixed)
        return self.norm(mixed + self.dropout(self.feed_forward(mixed)))


class GateTransformer(_Gated):
    """One layer of one modality: self-attention and what was there before, each let through by a gate.

    Source: MMILN, Eqs. (5)-(12):
        h = avgpool(BiGRU(X)),  g_r = sigmoid(W_r h),  g_c = sigmoid(W_c h)
        X_mh = multi-head attention(X, X, X)
        Y = LN(g_c * X_mh + g_r * X),  X' = LN(Y + FFN(Y))

    Args:
        size: width d.
        heads: of the attention; they divide d.
        dropout: of what the attention and the feed-forward part add, and inside the latter.
        has_gates: without them both gates are 1 and there is no GRU.
        residual: the X of Eq. (11). `previous`: the layer's input. `current`: the layer's output, as printed, an equation with X' on both sides;
            one round towards its solution: X' is made with the input, then once more with X' in its place.
        is_single: the modality has one step.
        is_full: see `PooledGRU`.
        axes: names of the query's and the key's axis, for the tap of the attention.
    """

    def __init__(
        self,
        size: int,
        *,
        heads: int,
        dropout: float = 0.0,
        has_gates: bool = True,
        residual: Residual = "previous",
        is_single: bool = False,
        is_full: bool = False,
        axes: tuple[str, str] = ("query", "key"),
    ) -> None:
        super().__init__(size, dropout=dropout, has_gates=has_gates, is_single=is_single, is_full=is_full)
        self.attention = Attention(size, heads=heads, is_single=is_single, axes=axes)
        self.rounds = 2 if residual == "current" else 1

    def forward(self, values: Float[Tensor, "batch time size"], mask: Bool[Tensor, "batch time"]) -> GatedSteps:
        hidden, retain, compound = self.gates(values, mask)
        attended = self.attention(values, values, mask) * mask[:, :, None]
        for _ in range(self.rounds):
            values = self.closed(attended, values, retain, compound) * mask[:, :, None]
        return GatedSteps(values, attended, hidden, retain, compound)


class SAGTransformer(_Gated):
    """One layer of a stream that reads another modality: what is read is screened step by step; it and what was there are let through by gates.

    Source: MMILN, Eqs. (13)-(23), with X the stream and U the multi-head value of the other modality's own layer (X_mh of `GateTransformer`):
        H = self-attention(X, X, X)
        h = avgpool(BiGRU(X)),  g_r = sigmoid(W_r h),  g_c = sigmoid(W_c h)
        g_s = sigmoid(W_s U),  U' = g_s * U
        r = multi-head attention(H, U', U')
        Y = LN(g_c * r + g_r * X),  X' = LN(Y + FFN(Y))

    Args:
        size, heads, dropout, has_gates, is_full: see `GateTransformer`.
        has_screening: without it g_s is 1.
        is_single: the stream has one step.
        is_other_single: the other modality has one step. Then all that is asked gets that step, so H would change nothing and is left out.
        axes: names of the time axes of the stream and of the other modality.
    """

    def __init__(
        self,
        size: int,
        *,
        heads: int,
        dropout: float = 0.0,
        has_gates: bool = True,
        has_screening: bool = True,
        is_single: bool = False,
        is_other_single: bool = False,
        is_full: bool = False,
        axes: tuple[str, str] = ("query", "key"),
    ) -> None:
        super().__init__(size, dropout=dropout, has_gates=has_gates, is_single=is_single, is_full=is_full)
        own = (axes[0], f"{axes[0]}_attended")
        self.self_attention = None if is_other_single else Attention(size, heads=heads, is_single=is_single, axes=own)
        self.cross_attention = Attention(size, heads=heads, is_single=is_other_single, axes=axes)
        self.to_screening = nn.Linear(size, size, bias=False) if has_screening and has_gates else None
        self.screening = Tap("batch", axes[1], "feature")

    def forward(
        self,
        values: Float[Tensor, "batch time size"],
        mask: Bool[Tensor, "batch time"],
        other: Float[Tensor, "batch steps size"],
        other_mask: Bool[Tensor, "batch steps"],
    ) -> GatedSteps:
        asking = values if self.self_attention is None else self.self_attention(values, values, mask)
        hidden, retain, compound = self.gates(values, mask)
        screening = None
        if self.to_screening is not None:
            screening = self.screening(self.to_screening(other).sigmoid() * other_mask[:, :, None])
            other = screening * other
        told = self.cross_attention(asking, other, other_mask)
        values = self.closed(told, values, retain, compound) * mask[:, :, None]
        return GatedSteps(values, other, hidden, retain, compound, screening)
