"""TFN: the outer product of all modalities, ones appended, holds every unimodal, bimodal and trimodal interaction.

Source: Zadeh, Chen, Poria, Cambria, Morency: Tensor fusion network for multimodal sentiment analysis. EMNLP 2017.

    section 4.1     z_l = LSTM(words), z_v, z_a = three ReLU layers of the mean over time          ("modality embedding subnetworks")
    section 4.2     z^m = [z_l; 1] x [z_v; 1] x [z_a; 1]                                           -> workbench.fusion.tensor
    section 4.3     two ReLU layers and the output                                                 ("sentiment inference subnetwork")

Decides:
- Any number of modalities; the language is the reference modality (text, else the first sequence) and is read by an LSTM at its last real step.
- Each subnetwork ends in a linear layer W_i, here also after the LSTM as in MMSA; its width `tensor_size` is common to all (the paper: 128, 32, 32).
- The tensor has (tensor_size + 1)^M entries. More than 2^18 are refused: with four modalities `tensor_size` is 21 at most. Where it is not given it
  is 32, or the largest width below that fits.
- The first inference layer belongs to the fusion, so that the fused representation is what it makes of the tensor, not the tensor.
Differs: the output is not squashed to [-3, 3] by a sigmoid, so that one head serves all tasks.
"""

from pydantic import Field
from torch import nn

from workbench.data.batch import Spec
from workbench.encoders import LSTMEncoder, MeanMLP, TextTransformer
from workbench.fusion.tensor import TensorFusion, largest_width
from workbench.methods import Preset, at_least_two
from workbench.methods.networks import FusionConfig, Networks, reference_modality
from workbench.model import FusionModel

FAMILY = "constraint"

BALANCE = None
"""The balancing rule that belongs to the method."""

NEEDS = ""


class SubnetworkConfig(FusionConfig):
    """The settings of the modality embedding subnetworks, TFN's and LMF's."""

    hidden_size: int = Field(128, ge=1, le=8192, description="width of each modality's subnetwork")
    layers: int = Field(3, ge=1, le=16, description="ReLU layers of a subnetwork over means")


WIDTH = 32
"""Width of each modality in the outer product where none is given and so many entries fit: the paper's for vision and sound."""


class Config(SubnetworkConfig):
    """TFN's settings."""

    tensor_size: int | None = Field(
        None, ge=1, le=512, description="width of each modality in the outer product (hidden_size where that is smaller); none: 32, or what fits"
    )
    tensor_dropout: float = Field(0.0, ge=0, lt=1, description="share of the outer product's entries dropped in training")


_SIZES = {"hidden_size": 128, "tensor_size": 32, "post_size": 64, "dropout": 0.3, "tensor_dropout": 0.5}

PRESETS = {
    "mosi": Preset(_SIZES, {"batch_size": 32, "learning_rate": 1e-3, "patience": 8}, "MMSA config_regression.json, tfn on mosi"),
    "mosei": Preset(_SIZES, {"batch_size": 128, "learning_rate": 5e-3, "patience": 8}, "MMSA config_regression.json, tfn on mosei; sizes of mosi"),
}


def subnetworks(config: SubnetworkConfig, spec: Spec, *, size: int) -> Networks:
    """An LSTM for the language and ReLU layers over the mean for the others; W_i to a common width."""
    settings = {"hidden_size": config.hidden_size, "dropout": config.dropout, "embedding_size": config.embedding_size}
    language, encoders = reference_modality(spec), {}
    for name, modality in spec.modalities.items():
        if modality.text_model:
            encoders[name] = TextTransformer(modality)
        elif name == language and modality.kind in ("sequence", "tokens"):
            encoders[name] = LSTMEncoder(modality, **settings)
        else:
            encoders[name] = MeanMLP(modality, layers=config.layers, **settings)
    return encoders, {name: nn.Linear(encoder.size, size) for name, encoder in encoders.items()}


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set.

    Raises:
        ConfigError: one modality; the outer product would be too large at the width that is given, or at any.
    """
    at_least_two(spec, owner="tfn")
    # With so many modalities that not even width 1 fits, the fusion says so.
    width = min(config.hidden_size, config.tensor_size or largest_width(len(spec.modalities), at_most=WIDTH) or 1)
    post = config.post_size
    fusion = TensorFusion(dict.fromkeys(spec.modalities, width), post, dropout=config.tensor_dropout)
    encoders, projections = subnetworks(config, spec, size=width)
    head = nn.Sequential(nn.ReLU(), nn.Linear(post, post), nn.ReLU(), nn.Linear(post, spec.task.outputs))
    return FusionModel(encoders, projections, fusion, head)
