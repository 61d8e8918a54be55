"""MulT: every modality attends to every other one step by step, without alignment; memories over the attended streams.

Source: Tsai, Bai, Liang, Kolter, Morency, Salakhutdinov: Multimodal transformer for unaligned multimodal language sequences. ACL 2019.

    Eq. (2)       Z_i = Conv1D(X_i, k_i), `time x d`                                  the projections W_i
    Eq. (3)       Z_i[0] = Z_i + positions(T_i, d)
    Eq. (4)       Z[n]_(i <- j) = crossmodal layer(Z[n-1]_(i <- j), Z_j[0]),  n = 1..D, for every ordered pair (six for three modalities)
    section 3.2   Z_i = [Z[D]_(i <- j)]_j,  a self-attention transformer over it, its last step
    section 3.2   h = [last_i]_i,  h + W_2 drop(ReLU(W_1 h)),  a linear layer

Decides:
- Layers are normalised before each part and add to the stream as it is, as in the paper's code (Eq. (4) adds to the normalised stream); Z_i is scaled
  by sqrt(d) before the positions are added, there too.
- The last step is the sample's last real one, not the batch's last padded one, and padding is no key: a sample's answer does not depend on its batch.
- `is_causal` is the code's mask (no step sees one later than itself by more than the difference of the two lengths; by each sample's own lengths
  here, by the padded ones there). The paper's text has none, so it is off by default.
- The convolution is padded to keep the length; a modality of one step has kernel 1, and as a source it has the weight 1.
- `attention_dropout` above 0 keeps a slower kernel on a CPU, so the default is 0.
- Any number M >= 2 of modalities: M (M - 1) streams of width d, memories of width (M - 1) d.
"""

from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from workbench.data.batch import Spec
from workbench.errors import unknown
from workbench.fusion.crossmodal import CrossmodalFusion
from workbench.methods import Preset, at_least_two
from workbench.methods.networks import StepConfig, TemporalConvolution, single_steps, step_networks
from workbench.model import FusionModel

FAMILY = "attention"

BALANCE = None
"""The balancing rule that belongs to the method."""

NEEDS = ""


Kernel = Annotated[int, Field(ge=1, le=1023)]
Share = Annotated[float, Field(ge=0, lt=1)]


class Config(StepConfig):
    """MulT's settings."""

    hidden_size: int = Field(40, ge=1, le=8192, description="width d of every modality and stream")
    post_size: int | None = Field(
        None, ge=1, le=65_536, description="inner width of the residual block; none: as wide as what it adds to (the paper)"
    )
    heads: int = Field(4, ge=1, le=256, description="heads of every attention; they divide hidden_size")
    layers: int = Field(2, ge=1, le=64, description="crossmodal layers D of each stream")
    memory_layers: int = Field(2, ge=1, le=64, description="layers of the self-attention over each target's streams")
    kernel_size: int = Field(3, ge=1, le=1023, description="steps of the temporal convolution")
    kernel_sizes: dict[str, Kernel] = Field({}, description="steps of the convolution of single modalities, e.g. audio=1")
    is_causal: bool = Field(False, description="no step sees a later one (the paper's code)")
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="share of attention weights dropped; above 0 a slower kernel runs on a CPU")
    attention_dropouts: dict[str, Share] = Field({}, description="the same for streams from single sources, e.g. audio=0.2")
    embedding_dropout: float = Field(0.0, ge=0, lt=1, description="dropout after the positions are added")
    relu_dropout: float = Field(0.0, ge=0, lt=1, description="dropout inside the feed-forward parts")
    residual_dropout: float = Field(0.0, ge=0, lt=1, description="dropout of what each part of a layer adds")
    input_dropouts: dict[str, Share] = Field({}, description="dropout before the convolution of single modalities, e.g. text=0.5")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout inside the residual block before the output, and after LSTM encoders")


def _mmsa(
    data: str, size: int, heads: int, layers: int, kernels: tuple[int, int, int], dropouts: dict[str, object], plan: dict[str, object]
) -> Preset:
    """One data set of MMSA's configuration; it has max(layers, 3) layers in the memories, clips values at .6 and adds up 8 batches."""
    config = {"hidden_size": size, "heads": heads, "layers": layers, "memory_layers": max(layers, 3), "is_causal": True}
    config |= {"kernel_sizes": dict(zip(("text", "audio", "vision"), kernels, strict=True)), **dropouts}
    plan = {"clip_value": 0.6, "accumulate": 8, "epochs": 100, **plan}
    return Preset(config, plan, f"MMSA config_regression.json, mult on {data}")


PRESETS = {
    "mosi": _mmsa(
        "mosi",
        *(50, 10, 4, (5, 5, 5)),
        {"input_dropouts": {"text": 0.5}, "attention_dropout": 0.3, "attention_dropouts": {"audio": 0.2, "vision": 0.0}, "embedding_dropout": 0.2}
        | {"dropout": 0.5},
        {"batch_size": 16, "learning_rate": 2e-3, "patience": 5},
    ),
    "mosei": _mmsa(
        "mosei",
        *(30, 6, 4, (5, 1, 3)),
        {"input_dropouts": {"text": 0.3}, "attention_dropout": 0.4, "attention_dropouts": {"audio": 0.0, "vision": 0.0}, "dropout": 0.5},
        {"batch_size": 4, "learning_rate": 5e-4, "patience": 20},
    ),
    "sims": _mmsa(
        "sims",
        *(50, 10, 2, (5, 1, 1)),
        {"input_dropouts": {"text": 0.3}, "attention_dropout": 0.2, "attention_dropouts": {"audio": 0.1, "vision": 0.0}, "embedding_dropout": 0.1}
        | {"residual_dropout": 0.2, "dropout": 0.1},
        {"batch_size": 16, "learning_rate": 2e-3, "patience": 10},
    ),
}


class ResidualHead(nn.Module):
    """h + W_2 drop(ReLU(W_1 h)), then a linear layer.

    Args:
        size: width of h.
        inner: width of W_1 h.
        outputs: numbers the task asks for.
    """

    def __init__(self, size: int, inner: int, outputs: int, *, dropout: float) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(size, inner), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner, size))
        self.output = nn.Linear(size, outputs)

    def forward(self, fused: Float[Tensor, "batch size"]) -> Float[Tensor, "batch outputs"]:
        return self.output(fused + self.block(fused))


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set.

    Raises:
        ConfigError: one modality; heads that do not divide hidden_size; a setting for a modality that is not there.
    """
    at_least_two(spec, owner="mult")
    _check_names(config, spec)
    single = single_steps(spec)
    encoders, _ = step_networks(config, spec)
    projections = {
        name: TemporalConvolution(
            encoder.size,
            config.hidden_size,
            kernel=1 if name in single else config.kernel_sizes.get(name, config.kernel_size),
            dropout=config.input_dropouts.get(name, 0.0),
        )
        for name, encoder in encoders.items()
    }
    fusion = CrossmodalFusion(
        config.hidden_size,
        tuple(spec.modalities),
        layers=config.layers,
        memory_layers=config.memory_layers,
        heads=config.heads,
        single=single,
        is_causal=config.is_causal,
        attention_dropout=config.attention_dropout,
        attention_dropouts=config.attention_dropouts,
        embedding_dropout=config.embedding_dropout,
        relu_dropout=config.relu_dropout,
        dropout=config.residual_dropout,
    )
    head = ResidualHead(fusion.size, config.post_size or fusion.size, spec.task.outputs, dropout=config.dropout)
    return FusionModel(encoders, projections, fusion, head)


def _check_names(config: Config, spec: Spec) -> None:
    """Settings of single modalities name modalities that are there."""
    for name in (*config.kernel_sizes, *config.attention_dropouts, *config.input_dropouts):
        if name not in spec.modalities:
            raise unknown("modality", name, spec.modalities, do="leave its setting out (kernel_sizes, attention_dropouts, input_dropouts)")
