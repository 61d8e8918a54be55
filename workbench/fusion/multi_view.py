"""Several views of the modality vectors of a sample, side by side: attention between them, and a graph of how alike they are.

    MultiViewFusion   alignment, gate, attention view and graph view together: the fusion of MLDFA
    ModalityGate      each modality's vector through a gate, Eqs. (26), (27)
    SimilarityGraph   the graph view: cosines are edges, Eqs. (28)-(30)

Source: Yue: Multimodal learning data fusion and analysis based on self-attention mechanism (MLDFA), sections III.B and III.C.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.errors import ConfigError
from workbench.fusion.adaptive_attention import AdaptiveAttention, Weights, feature_gate, modality_linear
from workbench.fusion.context import Context, Fused
from workbench.fusion.graph import shares
from workbench.fusion.hierarchical_alignment import HierarchicalAlignment
from workbench.taps import Tap

Edges = Literal["cosine", "softmax"]
Activation = Literal["sigmoid", "relu"]
Nodes = Literal["gated", "aligned"]

ACTIVATIONS = {"sigmoid": torch.sigmoid, "relu": torch.relu}

SMALLEST = 1e-6
"""A vector shorter than this has no direction: its cosines go to 0 with it, and first and second derivatives stay finite (exact B-fusion)."""


class ModalityGate(nn.Module):
    """Each modality's vector through a gate of its own values.

    Source: MLDFA: g_M = sigma(W_g z_M + b_g), Eq. (26);  z_gated = g_M * z_M, Eq. (27), * feature by feature.

    Args:
        size: width d.
        modalities: names in the card's order.
        weights: W_g, b_g are one for all modalities (as printed) or one for each.
    """

    def __init__(self, size: int, modalities: Sequence[str], *, weights: Weights = "shared") -> None:
        super().__init__()
        self.linear = modality_linear(size, modalities, weights, has_bias=True)
        self.gate = Tap("batch", "modality", "feature", modality=modalities)
        self.mean = Tap("batch", "modality", modality=modalities)

    def forward(
        self, nodes: Float[Tensor, "batch modality feature"], present: Bool[Tensor, "batch modality"]
    ) -> Float[Tensor, "batch modality feature"]:
        gate = self.gate(feature_gate(self.linear, nodes, present))  # Eq. (26)
        self.mean(gate.mean(-1))
        return gate * nodes  # Eq. (27)


class SimilarityGraph(nn.Module):
    """Modalities as nodes, the cosine of their vectors as the weight of an edge, one round of messages.

    Source: MLDFA, Eqs. (28)-(30).
        A_MM' = cosine(z_M, z_M')                              Eq. (28)
        z_gnn_M = sigma(W_g sum over M' of A_MM' z_M')         Eq. (29)
        fused = LayerNorm([z_gnn_1, ..., z_gnn_M])             Eq. (30)
    Decides: every modality that is there is a neighbour, itself among them (its own edge is 1). Cosines are used as printed: negative ones are
    subtracted, rows are not normalised (`softmax` makes each row shares). The task's gradient goes through the cosines. A modality that a sample
    lacks has no edge and stands as zeros in the concatenation.

    Args:
        size: width d.
        modalities: names in the card's order.
        edges: `cosine` as printed, or `softmax` over the modalities that are there.
        activation: sigma: `sigmoid` as the paper defines it, or `relu`.
    """

    def __init__(self, size: int, modalities: Sequence[str], *, edges: Edges = "cosine", activation: Activation = "sigmoid") -> None:
        super().__init__()
        names = tuple(modalities)
        self.edges, self.activation = edges, activation
        self.message = nn.Linear(size, size, bias=False)
        self.norm = nn.LayerNorm(size * len(names))
        self.size = size * len(names)
        self.adjacency = Tap("batch", "modality", "modality_attended", modality=names, modality_attended=names)

    def forward(self, nodes: Float[Tensor, "batch modality feature"], present: Bool[Tensor, "batch modality"]) -> Float[Tensor, "batch fused"]:
        """The view, `batch modality * feature`; `nodes` are zeros and `present` is False where a sample lacks the modality."""
        adjacency = self.adjacency(self.built(nodes, present))  # Eq. (28)
        updated = ACTIVATIONS[self.activation](self.message(adjacency @ nodes)) * present[:, :, None]  # Eq. (29)
        return self.norm(updated.flatten(1))  # Eq. (30)

    def built(self, nodes: Tensor, present: Tensor) -> Float[Tensor, "batch modality other"]:
        """The weights of the edges: row by row what a modality hears, Eq. (28)."""
        both = present[:, :, None] & present[:, None, :]
        return shares(cosines(nodes), both) if self.edges == "softmax" else cosines(nodes) * both


def cosines(nodes: Float[Tensor, "batch modality feature"]) -> Float[Tensor, "batch modality other"]:
    """The cosine of every two vectors of a sample: Eq. (28); 0 where one is zero. It can be differentiated twice, at zero too."""
    unit = nodes * nodes.square().sum(-1, keepdim=True).clamp_min(SMALLEST**2).rsqrt()
    return unit @ unit.mT


class MultiViewFusion(nn.Module):
    """Alignment to one vector a modality, a gate, then the views that are on, side by side.

        vectors = alignment(z)                               Eqs. (21)-(25)
        gated = gate(vectors)                                Eqs. (26), (27)
        fused = [attention(gated), graph(gated)]             Eqs. (15)-(20), (28)-(30)

    Args:
        alignment: gives `batch modality feature`.
        gate: None: vectors enter the views as they are.
        attention, graph: the views; None: left out.
        graph_nodes: what the graph reads: the gated vectors, or the aligned ones before the gate (as printed in Eqs. (28), (29)).

    Raises:
        ConfigError: no view, or a gate that no view reads.
    """

    def __init__(
        self,
        alignment: HierarchicalAlignment,
        *,
        gate: ModalityGate | None,
        attention: AdaptiveAttention | None,
        graph: SimilarityGraph | None,
        graph_nodes: Nodes = "gated",
    ) -> None:
        super().__init__()
        if attention is None and graph is None:
            raise ConfigError(
                "both views are off, so that nothing would be fused",
                expected="has_attention_view or has_graph_view",
                do="lf_dnn has neither: its head reads the modalities side by side",
            )
        if gate is not None and attention is None and graph_nodes == "aligned":
            raise ConfigError(
                "the gate is on and no view reads what it gives: the attention view is off, and graph_nodes=aligned",
                expected="a view of the gated vectors, or no gate",
                do="has_gate=false, or graph_nodes=gated",
            )
        self.alignment, self.gate, self.attention, self.graph = alignment, gate, attention, graph
        self.graph_nodes = graph_nodes
        self.size = sum(view.size for view in (attention, graph) if view is not None)

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        present = torch.stack([context.present(name) for name in self.alignment.modalities], dim=1)
        vectors = self.alignment(balanced, context.masks)
        gated = vectors if self.gate is None else self.gate(vectors, present)
        views = [] if self.attention is None else [self.attention(gated, present)]
        if self.graph is not None:
            views.append(self.graph(gated if self.graph_nodes == "gated" else vectors, present))
        return torch.cat(views, dim=-1), {}
