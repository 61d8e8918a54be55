"""The networks that methods share: one encoder and one projection W_i for each modality, and the layers after the fusion."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from workbench.data.batch import ModalitySpec, Spec
from workbench.encoders import LSTMEncoder, LSTMSteps, MeanMLP, StepFeatures, TextTransformer, TokenTransformer
from workbench.methods import TextConfig

Networks = tuple[dict[str, nn.Module], dict[str, nn.Module]]
"""Encoders and projections by modality name, in the card's order."""


class FusionConfig(TextConfig):
    """What the strategies of all families share."""

    hidden_size: int = Field(64, ge=1, le=8192, description="width d of each modality's representation")
    post_size: int = Field(64, ge=1, le=8192, description="width of the layer after the fusion (post dim)")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of hidden units dropped in training")


class VectorConfig(FusionConfig):
    """Settings of a strategy that fuses one vector a modality."""

    encoder: Literal["mean_mlp", "lstm"] = Field("mean_mlp", description="one vector a modality: mean over time and an MLP, or an LSTM's last step")


class StepConfig(FusionConfig):
    """Settings of a strategy that fuses sequences."""

    encoder: Literal["steps", "lstm"] = Field("steps", description="one vector a step: the features as they are, or an LSTM's states")


def vector_networks(config: VectorConfig, spec: Spec) -> Networks:
    """One vector a modality: z_i = W_i encoder_i(X_i), width d; a fine-tuned transformer where the tokens ask for it."""

    def encoder(modality: ModalitySpec) -> nn.Module:
        settings = {"hidden_size": config.hidden_size, "dropout": config.dropout, "embedding_size": config.embedding_size}
        if modality.text_model:
            return TextTransformer(modality)
        return LSTMEncoder(modality, **settings) if config.encoder == "lstm" else MeanMLP(modality, layers=1, **settings)

    encoders = {name: encoder(modality) for name, modality in spec.modalities.items()}
    return encoders, {name: nn.Linear(found.size, config.hidden_size) for name, found in encoders.items()}


def step_networks(config: StepConfig, spec: Spec) -> Networks:
    """One vector a step: z_i = W_i encoder_i(X_i), `batch time d`; a fine-tuned transformer's token states where the tokens ask for it."""

    def encoder(modality: ModalitySpec) -> nn.Module:
        if modality.text_model:
            return TokenTransformer(modality)
        if config.encoder == "lstm":
            return LSTMSteps(modality, hidden_size=config.hidden_size, embedding_size=config.embedding_size, dropout=config.dropout)
        return StepFeatures(modality, embedding_size=config.embedding_size)

    encoders = {name: encoder(modality) for name, modality in spec.modalities.items()}
    return encoders, {name: nn.Linear(found.size, config.hidden_size) for name, found in encoders.items()}


class TemporalConvolution(nn.Module):
    """A convolution over time that keeps the length: MulT, Eq. (2); MMILN, Eq. (4).

    Its input is zero where a step is not real; so is what stands beyond both ends.

    Args:
        size: features of a step.
        width: features it gives, d.
        kernel: steps that it sees; of an even number one more lies ahead.
        dropout: of the input.
    """

    def __init__(self, size: int, width: int, *, kernel: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.ends = ((kernel - 1) // 2, kernel // 2)
        self.convolution = nn.Conv1d(size, width, kernel, bias=False)

    @property
    def weight(self) -> Float[Tensor, "width size kernel"]:
        """W_i."""
        return self.convolution.weight

    def forward(self, values: Float[Tensor, "batch time size"]) -> Float[Tensor, "batch time width"]:
        padded = nn.functional.pad(self.dropout(values).transpose(1, 2), self.ends)
        return self.convolution(padded).transpose(1, 2)


def post_layers(size: int, post_size: int, outputs: int, *, dropout: float) -> nn.Sequential:
    """The layers after the fusion: linear, ReLU, dropout, linear."""
    return nn.Sequential(nn.Linear(size, post_size), nn.ReLU(), nn.Dropout(dropout), nn.Linear(post_size, outputs))


def reference_modality(spec: Spec) -> str:
    """The modality whose steps the others are brought onto: text where it is a sequence, else the first sequence, else the first modality."""
    sequences = [name for name, modality in spec.modalities.items() if modality.kind in ("sequence", "tokens")]
    return "text" if "text" in sequences else next(iter(sequences), next(iter(spec.modalities)))


def single_steps(spec: Spec) -> frozenset[str]:
    """The modalities of one step (vectors, images), in which attention has nothing to choose."""
    return frozenset(name for name, modality in spec.modalities.items() if modality.length == 1)
