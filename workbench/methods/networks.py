"""The networks that methods share: one encoder and one projection W_i for each modality, and the layers after the fusion."""

from typing import Literal

from pydantic import Field
from torch import nn

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
