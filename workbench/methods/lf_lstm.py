"""LF-LSTM: late fusion of one one-directional LSTM per modality, read at its last real step.

Source: the baseline of adaptive weight fusion (2024), section 3.2 (2), with the unimodal networks of its Eqs. (2), (3).

    Z_i = W_i sLSTM(X_i)[last real step];  Z = [Z_T, Z_A, Z_V];  prediction = post layers(Z)
"""

from pydantic import Field
from torch import nn

from workbench.data.batch import Spec
from workbench.encoders import LSTMEncoder, TextTransformer
from workbench.fusion.encoder_decoder import Concatenate
from workbench.methods import Preset, TextConfig
from workbench.methods.networks import post_layers
from workbench.model import FusionModel

FAMILY = "encoder_decoder"

BALANCE = None
"""The balancing rule that belongs to the method."""


class Config(TextConfig):
    """LF-LSTM's settings."""

    hidden_size: int = Field(128, ge=1, le=8192, description="width d of each modality's LSTM and representation")
    post_size: int = Field(128, ge=1, le=8192, description="width of the layer after the fusion (post dim)")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of hidden units dropped in training")


PRESETS: dict[str, Preset] = {}


def unimodal_networks(config: Config, spec: Spec) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
    """Encoders and projections of Eqs. (1)-(3): a fine-tuned transformer where the tokens ask for it, else an LSTM; then W_i."""
    encoders = {
        name: TextTransformer(modality)
        if modality.text_model
        else LSTMEncoder(modality, hidden_size=config.hidden_size, dropout=config.dropout, embedding_size=config.embedding_size)
        for name, modality in spec.modalities.items()
    }
    return encoders, {name: nn.Linear(encoder.size, config.hidden_size) for name, encoder in encoders.items()}


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set."""
    encoders, projections = unimodal_networks(config, spec)
    head = post_layers(config.hidden_size * len(encoders), config.post_size, spec.task.outputs, dropout=config.dropout)
    return FusionModel(encoders, projections, Concatenate(), head)
