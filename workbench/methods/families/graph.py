"""Graph family: modalities or samples are nodes, and what is fused is what they tell each other along the edges.

Source: Hou: Techniques for deep fusing multimodal data (talk, 2024), after Zhao, Zhang, Geng: Deep multimodal data fusion. ACM Computing Surveys
56(9), 2024, section on graph-neural-network-based fusion. Its limitations are dials here: the graph depends on prior knowledge
(`graph.modalities`, `neighbours=given`, right or wrong edges), and it costs time and memory (`graph.fused` has M + M(M-1)/2 nodes for M modalities).
"""

from typing import Literal

from pydantic import Field

from workbench.data.batch import Spec
from workbench.fusion.graph import FusedGraph, ModalityGraph
from workbench.fusion.sample_graph import SampleGraph
from workbench.methods import Method, at_least_two
from workbench.methods.networks import VectorConfig, post_layers, vector_networks
from workbench.model import FusionModel


class GraphConfig(VectorConfig):
    """What the strategies share."""

    layers: int = Field(1, ge=1, le=8, description="rounds of messages")


class ModalitiesConfig(GraphConfig):
    """Settings of `graph.modalities`."""

    neighbours: Literal["similarity", "knn", "given"] = Field(
        "similarity", description="edges: weighted by cosine similarity, to the nearest modalities, or given by name"
    )
    normalise: Literal["relu", "softmax"] = Field(
        "relu", description="similarities as weights: the positive ones, divided by the degrees, or a softmax over the modalities"
    )
    nearest: int = Field(1, ge=1, le=1000, description="most similar modalities that each one is connected to (knn)")
    edges: list[tuple[str, str]] | None = Field(
        None, description="pairs of modality names that are connected (given): prior knowledge, right or wrong"
    )
    readout: Literal["mean", "concatenation"] = Field("concatenation", description="mean over the modalities that are there, or all side by side")


class SamplesConfig(GraphConfig):
    """Settings of `graph.samples`."""

    nearest: int = Field(5, ge=1, le=1000, description="training samples that each sample hears")
    anchors: int = Field(512, ge=1, le=100_000, description="training samples that can be heard, at most")
    own_share: float = Field(0.5, gt=0, le=1, description="share of a sample's own representation beside the mean of its neighbours'")


class FusedConfig(GraphConfig):
    """Settings of `graph.fused`."""

    has_pairs: bool = Field(True, description="pairs of modalities are nodes, too")
    readout: Literal["mean", "concatenation"] = Field("concatenation", description="mean over the nodes that are there, or all side by side")


def build_modalities(config: ModalitiesConfig, spec: Spec) -> FusionModel:
    """The model of `graph.modalities`."""
    at_least_two(spec, owner="graph.modalities")
    fusion = ModalityGraph(
        tuple(spec.modalities), config.hidden_size, neighbours=config.neighbours, nearest=config.nearest, normalise=config.normalise,
        edges=config.edges, layers=config.layers, readout=config.readout, dropout=config.dropout,
    )  # fmt: skip
    return _model(config, spec, fusion)


def build_samples(config: SamplesConfig, spec: Spec) -> FusionModel:
    """The model of `graph.samples`."""
    at_least_two(spec, owner="graph.samples")
    fusion = SampleGraph(
        spec.modalities, config.hidden_size, nearest=config.nearest, anchors=config.anchors, own_share=config.own_share, layers=config.layers,
        dropout=config.dropout,
    )  # fmt: skip
    return _model(config, spec, fusion)


def build_fused(config: FusedConfig, spec: Spec) -> FusionModel:
    """The model of `graph.fused`."""
    at_least_two(spec, owner="graph.fused")
    fusion = FusedGraph(
        tuple(spec.modalities), config.hidden_size, has_pairs=config.has_pairs, layers=config.layers, readout=config.readout, dropout=config.dropout
    )
    return _model(config, spec, fusion)


def _model(config: GraphConfig, spec: Spec, fusion: ModalityGraph | SampleGraph | FusedGraph) -> FusionModel:
    encoders, projections = vector_networks(config, spec)
    head = post_layers(fusion.size, config.post_size, spec.task.outputs, dropout=config.dropout)
    return FusionModel(encoders, projections, fusion, head)


def _reference(sentence: str, operator: type) -> str:
    return f"{sentence}\n\n{operator.__doc__ or ''}"


STRATEGIES = {
    "modalities": Method(
        _reference("Graph over modalities: each hears those it is similar, nearest or said to be connected to; no edge is learned.", ModalityGraph),
        "graph",
        ModalitiesConfig,
        build_modalities,
    ),
    "samples": Method(
        _reference("Graph over samples: each hears what the model said of the training samples with the nearest inputs.", SampleGraph),
        "graph",
        SamplesConfig,
        build_samples,
    ),
    "fused": Method(
        _reference("Fused graph: modalities and pairs of them are nodes, and the edges are learned from what they say together.", FusedGraph),
        "graph",
        FusedConfig,
        build_fused,
    ),
}
"""Name of each strategy and what the registry knows of it."""
