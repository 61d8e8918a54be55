"""Encoder-decoder family: fusion of raw data, of features at several levels, or of decisions.

Source: Hou: Techniques for deep fusing multimodal data (talk, 2024), Fig. 2, after Zhao, Zhang, Geng: Deep multimodal data fusion. ACM Computing
Surveys 56(9), 2024.
"""

from typing import Literal

from pydantic import Field
from torch import nn

from workbench.data.batch import Spec
from workbench.fusion.encoder_decoder import DecisionFusion, HierarchicalFusion, Merge, MergeKind
from workbench.fusion.raw import JointLSTM, JointMLP, RawFusion
from workbench.fusion.reconstruction import Reconstructed
from workbench.methods import Method, at_least_two
from workbench.methods.networks import FusionConfig, StepConfig, VectorConfig, post_layers, reference_modality, step_networks, vector_networks
from workbench.model import FusionModel


class MergeConfig(FusionConfig):
    """What the strategies that merge representations share."""

    merge: MergeKind = Field("concatenate", description="how modalities become one: sum, product, side by side, or pairwise outer products")
    cross_size: int = Field(8, ge=1, le=256, description="width of each factor of an outer product (merge=cross)")
    decoder_weight: float = Field(0.0, ge=0, le=1000, description="weight of telling the inputs from the fused representation; 0: no decoder")


class RawConfig(MergeConfig, StepConfig):
    """Settings of fusion at raw-data level."""

    joint: Literal["lstm", "mean_mlp"] = Field("lstm", description="the network that reads the merged steps: an LSTM, or mean over time and an MLP")
    layers: int = Field(1, ge=1, le=16, description="layers of the network that reads the merged steps")


class HierarchicalConfig(MergeConfig, VectorConfig):
    """Settings of hierarchical feature fusion."""

    levels: int = Field(2, ge=2, le=16, description="levels at which the modalities are merged")


class DecisionConfig(VectorConfig):
    """Settings of fusion at decision level."""

    combine: Literal["average", "learned", "vote"] = Field("average", description="mean of the decisions, a learned mean, or their vote")
    temperature: float = Field(1.0, gt=0, le=100, description="how soft a vote is, in units of the decisions; towards 0 the majority wins")


def build_raw(config: RawConfig, spec: Spec) -> FusionModel:
    """The model that merges the modalities' steps and reads them with one network."""
    at_least_two(spec, owner="encoder_decoder.raw")
    encoders, projections = step_networks(config, spec)
    names, size = tuple(spec.modalities), config.hidden_size
    merge = Merge(names, size, config.merge, cross_size=config.cross_size)
    joint = (JointLSTM if config.joint == "lstm" else JointMLP)(merge.size, size, layers=config.layers, dropout=config.dropout)
    fusion = RawFusion(merge, joint, modalities=names, reference=reference_modality(spec))
    return FusionModel(encoders, projections, _decoded(fusion, config, spec), _head(config, spec))


def build_hierarchical(config: HierarchicalConfig, spec: Spec) -> FusionModel:
    """The model that merges the modalities' features at every level."""
    at_least_two(spec, owner="encoder_decoder.hierarchical")
    encoders, projections = vector_networks(config, spec)
    settings = {"levels": config.levels, "kind": config.merge, "cross_size": config.cross_size}
    fusion = HierarchicalFusion(tuple(spec.modalities), config.hidden_size, **settings)
    return FusionModel(encoders, projections, _decoded(fusion, config, spec), _head(config, spec))


def build_decision(config: DecisionConfig, spec: Spec) -> FusionModel:
    """The model that gives each modality a head and combines what they say."""
    at_least_two(spec, owner="encoder_decoder.decision")
    encoders, projections = vector_networks(config, spec)
    heads = {name: _head(config, spec) for name in spec.modalities}
    settings = {"combine": config.combine, "task": spec.task.kind, "outputs": spec.task.outputs, "temperature": config.temperature}
    return FusionModel(encoders, projections, DecisionFusion(heads, **settings), nn.Identity())


def _head(config: FusionConfig, spec: Spec) -> nn.Module:
    return post_layers(config.hidden_size, config.post_size, spec.task.outputs, dropout=config.dropout)


def _decoded(fusion: nn.Module, config: MergeConfig, spec: Spec) -> nn.Module:
    """The fusion, with a decoder where the config asks for one."""
    if not config.decoder_weight:
        return fusion
    return Reconstructed(fusion, spec.modalities, config.hidden_size, token_size=config.hidden_size, weight=config.decoder_weight)


RAW = """Raw-data-level fusion: the modalities' steps are merged one by one, and one network reads them all.

Source: "raw-data-level fusion" of the survey talk (Fig. 2 A), merges of its slide: addition, multiplication, concatenation, cross product.

    x_t = merge(z_1 at t, ..., z_M at t);  h = LSTM(x)[last real step] or MLP(mean of x);  prediction = post layers(h)

Decides: each step goes through the modality's one linear layer W_i first (all merges but concatenation need a common width); modalities of another
rate are brought onto the steps of the reference (text, else the first sequence), and a vector stands at every step.
"""

HIERARCHICAL = """Hierarchical feature fusion: the modalities' features are merged at every level of their networks, each level on top of the last.

Source: "hierarchical feature fusion" of the survey talk (Fig. 2 B).

    f^0 = ReLU(V^0 merge(z_1, ..., z_M));  f^l = ReLU(V^l [merge(h_1^l, ..., h_M^l), f^{l-1}]), h_i^l = ReLU(U_i^l h_i^{l-1})
"""

DECISION = """Decision-level fusion: one head a modality, and the average, learned mean or vote of their decisions.

Source: "decision-level fusion" of the survey talk (Fig. 2 C).

    p_i = head_i(z_i);  p = mean of p_i, or sum_i softmax(w)_i p_i, or a soft vote

Average and learned mean are additive in the modalities: what only their combination says (an exclusive-or) is beyond them, by construction.
Differs: there is no decoder, since no fused representation stands behind the decisions.
"""

STRATEGIES = {
    "raw": Method(reference=RAW, family="encoder_decoder", Config=RawConfig, build=build_raw),
    "hierarchical": Method(reference=HIERARCHICAL, family="encoder_decoder", Config=HierarchicalConfig, build=build_hierarchical),
    "decision": Method(reference=DECISION, family="encoder_decoder", Config=DecisionConfig, build=build_decision),
}
