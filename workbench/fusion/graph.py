"""Graph family: the modalities of a sample are nodes, edges say who hears whom, layers pass the messages on.

    ModalityGraph   edges built beforehand: by similarity, to the nearest, or given
    FusedGraph      edges built by fusing the modalities, learned with the task; pairs of modalities are nodes too
    SampleGraph     samples as nodes (`workbench.fusion.sample_graph`)

Decides: dense algebra, not torch_geometric. Every sample of a batch has the same few nodes (two to some forty), nearly all connected, so all edges
are one small `batch node node` tensor and a layer is two batched matrix products. Gathering and scattering along a list of edges pays off on large
sparse graphs. Here it is slower (64 samples of width 64, forward and backward on one core: 4 nodes .23 ms dense, .31 ms scattered; 10 nodes .5 and
3.3 ms), its sums on a GPU come in no fixed order, and a heavy dependency would stand for one line of algebra.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from workbench.errors import ConfigError, unknown
from workbench.fusion.context import Context, Fused
from workbench.taps import Tap

Neighbours = Literal["similarity", "knn", "given"]
Readout = Literal["mean", "concatenation"]


def cosine_similarity(nodes: Float[Tensor, "batch node feature"]) -> Float[Tensor, "batch node other"]:
    """The cosine between every two nodes of a sample; 0 where a node is zero."""
    unit = functional.normalize(nodes, dim=-1)
    return unit @ unit.mT


def nearest_edges(
    similarity: Float[Tensor, "batch node other"], present: Bool[Tensor, "batch node"], nearest: int
) -> Float[Tensor, "batch node other"]:
    """1 between a node and the present others that are most similar to it, both ways where one of the two has chosen the other; else 0."""
    allowed = both_present(present) & ~torch.eye(present.shape[1], dtype=torch.bool, device=present.device)
    ranked = similarity.masked_fill(~allowed, -torch.inf)
    chosen = ranked.topk(min(nearest, present.shape[1] - 1), dim=-1).indices
    edges = torch.zeros_like(similarity).scatter(-1, chosen, 1.0) * allowed
    return torch.maximum(edges, edges.mT)


def normalised(edges: Float[Tensor, "batch node other"], present: Bool[Tensor, "batch node"]) -> Float[Tensor, "batch node other"]:
    """Edges with self loops, divided by the degrees; a node that is not there has no edge, not even to itself.

    Source: Kipf, Welling: Semi-supervised classification with graph convolutional networks (ICLR 2017), section 2:
        D^-1/2 (A + I) D^-1/2,  D_ii = sum_j (A + I)_ij.
    """
    loops = torch.eye(present.shape[1], dtype=edges.dtype, device=edges.device)
    connected = (edges + loops) * both_present(present)
    degree = connected.sum(-1)
    scale = torch.where(degree > 0, degree, 1).rsqrt()
    return scale[:, :, None] * connected * scale[:, None, :]


def masked_softmax(scores: Float[Tensor, "batch node other"], present: Bool[Tensor, "batch node"]) -> Float[Tensor, "batch node other"]:
    """Each present node's shares over the present nodes, itself among them; zero rows and columns for the others."""
    return shares(scores, both_present(present))


def shares(scores: Float[Tensor, "*rows key"], allowed: Bool[Tensor, "*#rows key"]) -> Float[Tensor, "*rows key"]:
    """The softmax of each row over what is allowed there; a row without anything is zero."""
    # A row without any is let through whole, so that no softmax sees only -inf; its result is then zeroed.
    admitted = allowed | ~allowed.any(-1, keepdim=True)
    return scores.masked_fill(~admitted, -torch.inf).softmax(-1) * allowed


def both_present(present: Bool[Tensor, "batch node"]) -> Bool[Tensor, "batch node other"]:
    """True where both nodes of a pair are there."""
    return present[:, :, None] & present[:, None, :]


def read_out(nodes: Float[Tensor, "batch node feature"], present: Bool[Tensor, "batch node"], readout: Readout) -> Float[Tensor, "batch feature2"]:
    """The graph as one vector: the mean over the nodes that are there, or all side by side (zeros for the others)."""
    nodes = nodes * present[:, :, None]
    return nodes.flatten(1) if readout == "concatenation" else nodes.sum(1) / present.sum(1, keepdim=True).clamp_min(1)


class GraphConvolution(nn.Module):
    """One round of messages along given edges.

    Source: Kipf, Welling (ICLR 2017), Eq. (2):  H <- ReLU(A_hat H W),  with a bias.

    Args:
        size: width of a node before.
        out_size: width after; `size` where none is given.
        dropout: share of hidden units dropped in training.
    """

    def __init__(self, size: int, out_size: int | None = None, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(size, out_size or size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, nodes: Float[Tensor, "batch node feature"], adjacency: Float[Tensor, "batch node other"]) -> Float[Tensor, "batch node out"]:
        return self.dropout(torch.relu(self.linear(adjacency @ nodes)))


class ModalityGraph(nn.Module):
    """Messages between the modalities of a sample along edges that were there before: no edge is learned.

    Source: graph-based fusion, "graph built separately", in Zhao, Zhang, Geng: Deep multimodal data fusion (ACM Computing Surveys 56(9), 2024).
        similarity, relu      A_ij = max(0, cos(z_i, z_j)), normalised as a graph convolution wants it
        similarity, softmax   each row of cos(z_i, z_j) through a softmax over the modalities that are there
        knn                   A_ij = 1 where one of the two is among the other's most similar
        given                 A_ij = 1 for each given pair: what somebody believes to know beforehand, right or wrong
    Decides: similarities are those of the detached z, so that the task loss cannot bend the graph. A missing modality is a node without edges and is
    left out of the readout.

    Args:
        modalities: names in the card's order.
        size: width of every representation.
        neighbours: how the edges come about.
        nearest: how many neighbours each modality chooses (knn).
        normalise: how similarities become weights.
        edges: pairs of names (given).
        layers: rounds of messages.
        readout: mean over the modalities that are there, or all side by side.

    Raises:
        ConfigError: `given` without edges, edges without `given`, or an edge with a name that no modality has.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        size: int,
        *,
        neighbours: Neighbours = "similarity",
        nearest: int = 1,
        normalise: Literal["relu", "softmax"] = "relu",
        edges: Sequence[tuple[str, str]] | None = None,
        layers: int = 1,
        readout: Readout = "concatenation",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.names = tuple(modalities)
        self.neighbours, self.nearest, self.normalise, self.readout = neighbours, nearest, normalise, readout
        self.size = size * (len(self.names) if readout == "concatenation" else 1)
        self.layers = nn.ModuleList(GraphConvolution(size, dropout=dropout) for _ in range(layers))
        self.register_buffer("edges", given_edges(self.names, edges, neighbours=neighbours))
        self.adjacency = Tap("batch", "modality", "modality_attended", modality=self.names, modality_attended=self.names)
        self.influence = Tap("batch", "modality", modality=self.names)

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        nodes = torch.stack([balanced[name] for name in self.names], dim=1)
        present = torch.stack([context.present(name) for name in self.names], dim=1)
        adjacency = self.adjacency(self.built(torch.stack([z[name].detach() for name in self.names], dim=1), present))
        self.influence(influence(adjacency))
        for layer in self.layers:
            nodes = layer(nodes, adjacency)
        return read_out(nodes, present, self.readout), {}

    def built(self, nodes: Float[Tensor, "batch node feature"], present: Bool[Tensor, "batch node"]) -> Float[Tensor, "batch node other"]:
        """The weights of all edges, row by row what a modality hears."""
        if self.neighbours == "given":
            return normalised(self.edges.to(nodes.dtype).expand(nodes.shape[0], -1, -1), present)
        similarity = cosine_similarity(nodes)
        if self.neighbours == "knn":
            return normalised(nearest_edges(similarity, present, self.nearest), present)
        if self.normalise == "softmax":
            return masked_softmax(similarity, present)
        others = 1 - torch.eye(len(self.names), dtype=nodes.dtype, device=nodes.device)
        return normalised(similarity.relu() * others, present)


def given_edges(names: Sequence[str], edges: Sequence[tuple[str, str]] | None, *, neighbours: Neighbours) -> Float[Tensor, "node node"]:
    """1 between the two modalities of each given pair, both ways; 0 elsewhere and to themselves.

    Raises:
        ConfigError: `given` without edges, edges without `given`, or an edge with a name that no modality has.
    """
    if (edges is not None) != (neighbours == "given"):
        what = "neighbours=given needs edges" if edges is None else f"edges are given, and neighbours={neighbours} would not look at them"
        raise ConfigError(what, expected=f"neighbours=given with edges, pairs of {', '.join(names)}", do='e.g. edges=[["text", "audio"]]')
    matrix = torch.zeros(len(names), len(names))
    for pair in edges or ():
        for name in pair:
            if name not in names:
                raise unknown("modality in edges", name, names)
        first, second = (names.index(name) for name in pair)
        if first != second:  # A self loop is there anyway.
            matrix[first, second] = matrix[second, first] = 1.0
    return matrix


def influence(adjacency: Float[Tensor, "batch node other"]) -> Float[Tensor, "batch other"]:
    """Each node's share of all that is heard in the graph; sums to 1 where any node is there."""
    heard = adjacency.sum(1)
    return heard / heard.sum(-1, keepdim=True).clamp_min(torch.finfo(heard.dtype).tiny)


class FusedGraph(nn.Module):
    """Messages along edges that are built by fusing the modalities, and learned with the task.

    Source: graph-based fusion, "fused graph construction", in Zhao, Zhang, Geng (2024); the weight of an edge as in Brody, Alon, Yahav: How attentive
    are graph attention networks? (ICLR 2022), Eq. (7), with the joint representation as a third voice:
        h_i = z_i for a modality,  h_ij = ReLU(W_pair [z_i, z_j]) for a pair of modalities,  g = mean of the z_i that are there
        e_ij = a^T LeakyReLU(W_listener h_i + W_speaker h_j + W_joint g),  alpha_i = softmax_j e_ij over the nodes that are there
        h_i <- h_i + ReLU(sum_j alpha_ij W_message h_j)
    Decides: pairs are nodes (a pair is there where both modalities are), so that what only two modalities say together has a place. A residual keeps
    what a node says itself, whatever it hears.

    Args:
        modalities: names in the card's order.
        size: width of every representation.
        has_pairs: pairs of modalities are nodes.
        layers: rounds of messages, each with its own edges.
        readout: mean over the nodes that are there, or all side by side.
    """

    def __init__(
        self, modalities: Sequence[str], size: int, *, has_pairs: bool = True, layers: int = 1, readout: Readout = "mean", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.names = tuple(modalities)
        self.readout = readout
        self.pairs = tuple(combinations(range(len(self.names)), 2)) if has_pairs else ()
        self.nodes = (*self.names, *(f"{self.names[i]}+{self.names[j]}" for i, j in self.pairs))
        self.size = size * (len(self.nodes) if readout == "concatenation" else 1)
        self.pair = nn.Linear(2 * size, size) if self.pairs else None
        self.layers = nn.ModuleList(FusedGraphLayer(size, self.nodes, dropout=dropout) for _ in range(layers))
        self.influence = Tap("batch", "modality", modality=self.names)

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        single = torch.stack([balanced[name] for name in self.names], dim=1)
        present = torch.stack([context.present(name) for name in self.names], dim=1)
        joint = read_out(single, present, "mean")
        nodes, there = self._with_pairs(single, present)
        heard = []
        for layer in self.layers:
            nodes, adjacency = layer(nodes, joint, there)
            heard.append(influence(adjacency))
        self.influence(self._of_modalities(torch.stack(heard).mean(0)))
        return read_out(nodes, there, self.readout), {}

    def _with_pairs(self, single: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """All nodes, and which are there."""
        if self.pair is None:
            return single, present
        first, second = (list(side) for side in zip(*self.pairs, strict=True))
        there = present[:, first] & present[:, second]
        fused = torch.relu(self.pair(torch.cat([single[:, first], single[:, second]], dim=-1))) * there[:, :, None]
        return torch.cat([single, fused], dim=1), torch.cat([present, there], dim=1)

    def _of_modalities(self, heard: Tensor) -> Tensor:
        """The influence of each modality: its own node's, and half of each of its pairs'."""
        own = heard[:, : len(self.names)].clone()
        for place, pair in enumerate(self.pairs, start=len(self.names)):
            for side in pair:
                own[:, side] = own[:, side] + heard[:, place] / 2
        return own


class FusedGraphLayer(nn.Module):
    """One round of messages of `FusedGraph`, with edges of its own.

    Args:
        size: width of a node.
        nodes: their names.
        dropout: share of hidden units dropped in training.
    """

    def __init__(self, size: int, nodes: Sequence[str], *, dropout: float = 0.0) -> None:
        super().__init__()
        self.listener, self.speaker = nn.Linear(size, size, bias=False), nn.Linear(size, size, bias=False)
        self.joint = nn.Linear(size, size)
        self.score = nn.Linear(size, 1, bias=False)
        self.message = nn.Linear(size, size)
        self.dropout = nn.Dropout(dropout)
        self.adjacency = Tap("batch", "node", "node_attended", node=nodes, node_attended=nodes)

    def forward(
        self, nodes: Float[Tensor, "batch node feature"], joint: Float[Tensor, "batch feature"], present: Bool[Tensor, "batch node"]
    ) -> tuple[Float[Tensor, "batch node feature"], Float[Tensor, "batch node other"]]:
        """The nodes after the messages, and the weights that these took."""
        said = self.listener(nodes)[:, :, None] + self.speaker(nodes)[:, None] + self.joint(joint)[:, None, None]
        adjacency = self.adjacency(masked_softmax(self.score(functional.leaky_relu(said, 0.2))[..., 0], present))
        return nodes + self.dropout(torch.relu(adjacency @ self.message(nodes))) * present[:, :, None], adjacency
