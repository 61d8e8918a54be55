"""MLDFA: sequences aligned to one vector a modality, gated, then two views of them: attention between modalities and a graph of their likeness.

Source: Yue: Multimodal learning data fusion and analysis based on self-attention mechanism (MLDFA). No year is printed;
its newest reference is of 2020.

    Eqs. (1)-(9)     text: transformer; images: CNN, patches, transformer; audio and other sequences: CNN, BiLSTM; vectors: MLP -> workbench.encoders
    Eq. (10)         z_M = W_M f_M + b_M, of width d                                                   the projections W_i
    Eqs. (11)-(14)   attention with several heads, used in Eqs. (16) and (22)
    Eqs. (15)-(20)   cross-modal adaptive attention and its gate, LN of the concatenation              -> workbench.fusion.adaptive_attention
    Eqs. (21)-(25)   whole and parts mixed by alpha; time alignment on the reference modality's steps  -> workbench.fusion.hierarchical_alignment
    Eqs. (26), (27)  a gate on each modality's vector                                                  -> workbench.fusion.multi_view
    Eqs. (28)-(30)   a graph whose edges are cosines, one round of messages, LN of the concatenation   -> workbench.fusion.multi_view

Misprints, and how they are read:
- Eq. (11) prints Q = X W_O and V = W_K: Q = X W_Q, V = X W_V, as the line below it says. Eq. (14) has W_0 where the text has W_O: the output map.
- Eq. (16) has no index under the softmax: it runs over M_2, the modality that is asked. Eq. (17) sums A_MM V'_M over M: sum over M' of A_MM' V_M'.
  Eq. (29) sums A_MM z_M over M in N(M): sum over M' of A_MM' z_M'.
- z^aligned is defined twice: Eq. (23) is what enters Eqs. (24), (25), and Eq. (25) is what enters Eqs. (26)-(29).
- W_g stands for three matrices, in Eqs. (18), (26) and (29): each is its own.
- The text below Eq. (5) says mean pooling, Eq. (6) says [CLS]: `image_pooling`. The text above Eq. (30) says a fully connected layer, Eq. (30) has
  a LayerNorm: the layer is the first one after the fusion.

Decides:
- How the modules meet, which no equation says: encoders -> Eq. (10) at every step -> (21)-(25) -> mean over the steps -> (26), (27) -> the views
  (15)-(20) and (28)-(30) of these vectors, side by side ("multi-view fusion") -> post layers. Eqs. (3), (9) pool before Eq. (10); since that is
  linear, pooling after it gives the same, and the alignment has steps to work on.
- alpha of Eq. (23) is a sigmoid of what is learned, .5 at first, one a modality (`alpha`). A modality of one step has no parts: its alpha is 1.
- Q, K, V of Eq. (24) are linear maps as in Eq. (11), one set for each aligned modality. Time is aligned on the text's steps where text has any, else
  on those of the first sequence; images and vectors have no time. A sample that lacks the reference keeps its own steps, every one alike.
- Eq. (24) has no 1 / sqrt(d_k): `time_scale`. Eqs. (28), (29) take raw cosines, negative ones and the self loop (1) too: `graph_edges`; the task's
  gradient goes through them. sigma is the sigmoid in Eq. (29), as the paper defines it: `graph_activation`. The graph reads the gated vectors, as the
  attention view does; printed are the ungated ones: `graph_nodes`.
- A modality that a sample lacks has no row and no column in Eqs. (16) and (28), and zeros in the concatenations, before their LayerNorm.
- The first width is the house's 64; the presets have the paper's width, rate and batch.
- Nothing brings the vectors to a common scale before Eqs. (15), (24), (26), as printed: attention and gates begin flat (equal shares, .5), and the
  LayerNorms behind them leave little reason to change that. Look at how far a map is from flat before reading it.
Ablations: `has_global_local`, `has_time_alignment`, `has_gate`, `has_attention_view`, `has_attention_gate`, `has_graph_view`.
"""

from typing import Any, Literal

from pydantic import Field
from torch import nn

from workbench.data.batch import ModalitySpec, Spec
from workbench.encoders import ConvLSTMSteps, MeanMLP, PatchTransformer, PretrainedImage, StepFeatures, StepTransformer, TokenTransformer
from workbench.errors import ConfigError, unknown
from workbench.fusion.adaptive_attention import AdaptiveAttention, Weights
from workbench.fusion.hierarchical_alignment import HierarchicalAlignment, TimeScale
from workbench.fusion.multi_view import Activation, Edges, ModalityGate, MultiViewFusion, Nodes, SimilarityGraph
from workbench.methods import Preset, at_least_two
from workbench.methods.networks import FusionConfig, post_layers, reference_modality
from workbench.model import FusionModel

FAMILY = "attention"

BALANCE = None
"""The balancing rule that belongs to the method."""

NEEDS = ""

Encoder = Literal["transformer", "conv_lstm", "patches", "mlp", "steps"]


class Config(FusionConfig):
    """MLDFA's settings."""

    hidden_size: int = Field(64, ge=1, le=8192, description="width d of every encoder and of each modality's vector (section IV.D: 512)")
    encoders: dict[str, Encoder] = Field(
        {},
        description="networks of single modalities, e.g. audio=transformer; else text transformer, sequences conv_lstm, images patches, vectors mlp",
    )
    encoder_layers: int = Field(2, ge=1, le=64, description="layers of the transformers of Eqs. (2), (5)")
    encoder_heads: int = Field(4, ge=1, le=256, description="heads of these; they divide hidden_size")
    kernel_size: int = Field(3, ge=1, le=1023, description="frames that the convolution of Eq. (7) sees")
    patch_size: int = Field(2, ge=1, le=1024, description="height and width of an image's patches, in cells of the feature map of Eq. (4)")
    image_pooling: Literal["cls", "mean"] = Field("cls", description="an image as one vector: Eq. (6), or the mean as the text says")
    vision: Literal["cnn", "frozen", "fine_tuned"] = Field(
        "cnn", description="images through a network from scratch, or through a pretrained model: frozen or fine-tuned"
    )
    vision_model: str = Field("", description="pretrained vision model: a Hugging Face name, or a folder (vision=frozen, fine_tuned)")
    heads: int = Field(4, ge=1, le=256, description="heads of the attention between modalities, Eqs. (14), (16); they divide hidden_size")
    alignment_heads: int = Field(1, ge=1, le=256, description="heads of the self-attention of Eq. (22); they divide hidden_size")
    has_global_local: bool = Field(True, description="whole and parts of each modality are mixed, Eqs. (21)-(23)")
    has_time_alignment: bool = Field(True, description="sequences are brought onto the reference's steps, Eqs. (24), (25)")
    has_gate: bool = Field(True, description="a gate on each modality's vector, Eqs. (26), (27)")
    has_attention_view: bool = Field(True, description="attention between modalities, Eqs. (15)-(20)")
    has_attention_gate: bool = Field(True, description="the gate inside the attention view, Eqs. (18), (19)")
    has_graph_view: bool = Field(True, description="graph between modalities, Eqs. (28)-(30)")
    alpha: Weights = Field("per_modality", description="alpha of Eq. (23): one for each modality, or one for all")
    time_scale: TimeScale = Field("none", description="Eq. (24) as printed, or divided by sqrt(d) as Eq. (12)")
    attention_weights: Weights = Field("shared", description="W_Q, W_K, W_V of Eq. (15): one set for all modalities as printed, or one for each")
    gate_weights: Weights = Field("shared", description="W_g of Eqs. (18), (26): one for all modalities as printed, or one for each")
    graph_edges: Edges = Field("cosine", description="Eq. (28) as printed, or its rows through a softmax")
    graph_nodes: Nodes = Field("gated", description="what the graph reads: the vectors behind the gate, or before it")
    graph_activation: Activation = Field("sigmoid", description="sigma of Eq. (29)")


_BEST = ({"hidden_size": 512}, {"learning_rate": 5e-4, "batch_size": 32}, "MLDFA section IV.D (Figs. 3-5)")

PRESETS = {name: Preset(*_BEST) for name in ("mosi", "meld", "mmimdb")}

RANGES: dict[str, dict[str, list[Any]]] = {
    "Figs. 3-5": {"hidden_size": [128, 256, 512, 1024], "plan.learning_rate": [1e-4, 5e-4, 1e-3], "plan.batch_size": [16, 32, 64]}
}
"""The paper's sweeps, each around the best of the others."""


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set.

    Raises:
        ConfigError: one modality; no view; heads that do not divide hidden_size; an encoder for a modality that is not there or that has another one
            already; a pretrained vision model without a name.
    """
    at_least_two(spec, owner="mldfa")
    for name in config.encoders:
        if name not in spec.modalities:
            raise unknown("modality", name, spec.modalities, do="leave its network out (encoders)")
    encoders = {name: _encoder(config, name, modality) for name, modality in spec.modalities.items()}
    projections = {name: nn.Linear(encoder.size, config.hidden_size) for name, encoder in encoders.items()}
    fusion = _fusion(config, spec, encoders)
    return FusionModel(encoders, projections, fusion, post_layers(fusion.size, config.post_size, spec.task.outputs, dropout=config.dropout))


def _encoder(config: Config, name: str, modality: ModalitySpec) -> nn.Module:
    """The network of one modality: Eqs. (1)-(9)."""
    _check_encoder(config, name, modality)
    if modality.text_model:
        return TokenTransformer(modality)
    if modality.kind == "image" and config.vision != "cnn":
        return PretrainedImage(modality, config.vision_model, is_frozen=config.vision == "frozen")
    kind = config.encoders.get(name, _usual(name, modality))
    shared = {"hidden_size": config.hidden_size, "dropout": config.dropout}
    transformer = {"layers": config.encoder_layers, "heads": config.encoder_heads}
    if kind == "patches":
        return PatchTransformer(modality, patch_size=config.patch_size, has_cls=config.image_pooling == "cls", **transformer, **shared)
    embedding = {"embedding_size": config.embedding_size}
    if kind == "transformer":
        return StepTransformer(modality, **transformer, **shared, **embedding)
    if kind == "conv_lstm":
        return ConvLSTMSteps(modality, kernel_size=config.kernel_size, **shared, **embedding)
    return MeanMLP(modality, layers=1, **shared, **embedding) if kind == "mlp" else StepFeatures(modality, **embedding)


def _usual(name: str, modality: ModalitySpec) -> Encoder:
    """The paper's network for a kind of modality."""
    if modality.kind in ("image", "vector"):
        return "patches" if modality.kind == "image" else "mlp"
    return "transformer" if modality.kind == "tokens" or name == "text" else "conv_lstm"


def _check_encoder(config: Config, name: str, modality: ModalitySpec) -> None:
    """A pretrained model has a name, and its modality has no other network."""
    is_pretrained = bool(modality.text_model) or (modality.kind == "image" and config.vision != "cnn")
    if is_pretrained and name in config.encoders:
        what = f"{name} goes through a pretrained model, and encoders asks for {config.encoders[name]}"
        raise ConfigError(what, expected="one of the two", do=f"leave {name} out of encoders, or take text=embedding, vision=cnn")
    if is_pretrained and modality.kind == "image" and not config.vision_model:
        what = f"vision={config.vision} needs a pretrained model for {name}, and vision_model is empty"
        raise ConfigError(what, expected="vision_model: a Hugging Face name, or a folder", do="vision=cnn is trained from scratch and needs none")


def _fusion(config: Config, spec: Spec, encoders: dict[str, nn.Module]) -> MultiViewFusion:
    """Eqs. (11)-(30) for these encoders."""
    names, size = tuple(spec.modalities), config.hidden_size
    steps = [name for name, modality in spec.modalities.items() if _has_steps(encoders[name], modality)]
    timed = {name: spec.modalities[name] for name in steps if spec.modalities[name].kind in ("tokens", "sequence")}
    reference = reference_modality(Spec(timed, spec.task)) if len(timed) > 1 else None
    alignment = HierarchicalAlignment(
        size,
        names,
        steps=steps,
        aligned=[name for name in timed if name != reference] if reference else (),
        reference=reference,
        cls=[name for name in steps if config.image_pooling == "cls" and getattr(encoders[name], "has_cls", False)],
        heads=config.alignment_heads,
        has_global_local=config.has_global_local,
        has_time_alignment=config.has_time_alignment,
        alpha=config.alpha,
        time_scale=config.time_scale,
    )
    gate = ModalityGate(size, names, weights=config.gate_weights) if config.has_gate else None
    own = {"weights": config.attention_weights, "gate_weights": config.gate_weights, "has_gate": config.has_attention_gate}
    attention = AdaptiveAttention(size, names, heads=config.heads, **own) if config.has_attention_view else None
    graph = SimilarityGraph(size, names, edges=config.graph_edges, activation=config.graph_activation) if config.has_graph_view else None
    return MultiViewFusion(alignment, gate=gate, attention=attention, graph=graph, graph_nodes=config.graph_nodes)


def _has_steps(encoder: nn.Module, modality: ModalitySpec) -> bool:
    """True where a modality comes as several steps, words, frames or patches."""
    if isinstance(encoder, PatchTransformer):
        return encoder.places.shape[1] > 1
    return isinstance(encoder, PretrainedImage) or (modality.length > 1 and not isinstance(encoder, MeanMLP))
