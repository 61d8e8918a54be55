"""Attention-based fusion: steps are weighed by other steps, of their own modality, of the others, or of all."""

from typing import Literal

from pydantic import Field

from workbench.data.batch import Spec
from workbench.fusion.attention import IntraAttention, JointAttention
from workbench.fusion.crossmodal import CrossAttention
from workbench.methods import Method, at_least_two
from workbench.methods.networks import StepConfig, post_layers, single_steps, step_networks
from workbench.model import FusionModel

SOURCE = "Source: Hou: Techniques for deep fusing multimodal data (talk, 2024): attention-based fusion"
LAYER = "Decides: layers are normalised before attention and feed-forward part; sinusoidal positions; a modality of one step has the weight 1."


class Config(StepConfig):
    """What the attention strategies share."""

    heads: int = Field(4, ge=1, le=256, description="heads of every attention; they divide hidden_size")
    layers: int = Field(1, ge=1, le=64, description="layers of every transformer")


class JointConfig(Config):
    """Settings of one transformer over everything."""

    readout: Literal["mean", "cls"] = Field("mean", description="what is read: the mean over the real tokens, or an added learned token")


def build_intra(config: Config, spec: Spec) -> FusionModel:
    """Self-attention inside each modality."""
    fusion = IntraAttention(config.hidden_size, tuple(spec.modalities), single=single_steps(spec), **_settings(config))
    return _model(config, spec, fusion)


def build_cross(config: Config, spec: Spec) -> FusionModel:
    """Attention from every modality to every other."""
    at_least_two(spec, owner="attention.cross")
    fusion = CrossAttention(config.hidden_size, tuple(spec.modalities), single=single_steps(spec), **_settings(config))
    return _model(config, spec, fusion)


def build_transformer(config: JointConfig, spec: Spec) -> FusionModel:
    """One transformer over all steps of all modalities."""
    fusion = JointAttention(config.hidden_size, tuple(spec.modalities), has_cls=config.readout == "cls", **_settings(config))
    return _model(config, spec, fusion)


def _settings(config: Config) -> dict[str, object]:
    return {"heads": config.heads, "layers": config.layers, "dropout": config.dropout}


def _model(config: Config, spec: Spec, fusion: IntraAttention | CrossAttention | JointAttention) -> FusionModel:
    """The family's encoders around an operator."""
    encoders, projections = step_networks(config, spec)
    return FusionModel(encoders, projections, fusion, post_layers(fusion.size, config.post_size, spec.task.outputs, dropout=config.dropout))


STRATEGIES = {
    "intra": Method(
        reference=f"""Intra-modality attention: each modality's steps attend to each other; their means are set side by side.

{SOURCE}, intra-modality.

    fused = [mean_t SA_i(Z_i)]_i

{LAYER} No modality sees another before the layers after the fusion.
""",
        family="attention",
        Config=Config,
        build=build_intra,
    ),
    "cross": Method(
        reference=f"""Inter-modality attention: each modality's steps attend to every other modality's; the streams' means are set side by side.

{SOURCE}, inter-modality.

    fused = [mean_t CM_(target <- source)(Z_target, Z_source)] over all M (M - 1) ordered pairs

{LAYER} Lengths need not agree.
""",
        family="attention",
        Config=Config,
        build=build_cross,
    ),
    "transformer": Method(
        reference=f"""Transformer fusion: all steps of all modalities are one sequence of tokens that attend to each other.

{SOURCE}, transformer.

    x = [sqrt(d) Z_i + positions + e_i]_i,  fused = mean over the real tokens of Transformer(x), or the state of an added token

{LAYER} Positions count inside each modality, and e_i is a learned vector that tells the modalities apart.
""",
        family="attention",
        Config=JointConfig,
        build=build_transformer,
    ),
}
