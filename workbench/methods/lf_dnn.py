"""LF-DNN: late fusion of one small feed-forward network per modality, averaged over time.

Source: the baseline of adaptive weight fusion (2024), section 3.2 (1), whose code is MMSA's ("late fusion based on deep neural network").

    Z_i = W_i MLP_i(mean over real steps of X_i);  Z = [Z_T, Z_A, Z_V];  prediction = post layers(Z)

Differs: MMSA normalises the input of each sub-network by batch statistics and has its own width for each modality; here features are standardised
once, from train, where the data card says so, and all modalities share one width d (the paper's d_T = d_A = d_V = d).
"""

from pydantic import Field
from torch import nn

from workbench.data.batch import Spec
from workbench.encoders import MeanMLP, TextTransformer
from workbench.fusion.encoder_decoder import Concatenate
from workbench.methods import Preset, TextConfig
from workbench.methods.networks import post_layers
from workbench.model import FusionModel

FAMILY = "encoder_decoder"

BALANCE = None
"""The balancing rule that belongs to the method."""


class Config(TextConfig):
    """LF-DNN's settings."""

    hidden_size: int = Field(128, ge=1, le=8192, description="width d of each modality's network and representation")
    layers: int = Field(1, ge=1, le=16, description="hidden layers of each modality's network")
    post_size: int = Field(128, ge=1, le=8192, description="width of the layer after the fusion (post dim)")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of hidden units dropped in training")


# Width 128, post 128, dropout .2 and rate 1e-3 are MMSA's for MOSI (see peers' settings, config_regression.json).
PRESETS = {
    "mosi": Preset(
        {"hidden_size": 128, "post_size": 128, "dropout": 0.2},
        {"batch_size": 128, "learning_rate": 1e-3, "weight_decay": 0.01, "patience": 8, "epochs": 50},
        "MMSA config_regression.json, lf_dnn on mosi",
    ),
    # With these the search over the dials found `starved` (five seeds; see the data card).
    "opinions": Preset({}, {"batch_size": 32, "learning_rate": 2e-3, "patience": 20, "epochs": 100}, "workbench, search over the dials of opinions"),
}


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set."""
    settings = {"hidden_size": config.hidden_size, "layers": config.layers, "dropout": config.dropout, "embedding_size": config.embedding_size}
    encoders = {
        name: TextTransformer(modality) if modality.text_model else MeanMLP(modality, **settings) for name, modality in spec.modalities.items()
    }
    projections = {name: nn.Linear(encoder.size, config.hidden_size) for name, encoder in encoders.items()}
    head = post_layers(config.hidden_size * len(encoders), config.post_size, spec.task.outputs, dropout=config.dropout)
    return FusionModel(encoders, projections, Concatenate(), head)
