"""EF-LSTM: early fusion, the modalities side by side at every step and one stack of LSTMs over them.

Source: the early-fusion baseline of tensor fusion (Zadeh et al., EMNLP 2017, section 5) and its successors; settings as in MMSA (Yu et al.).

    x_t = [W_1 x_1,t, ..., W_M x_M,t];  h = LSTM(... LSTM(x))[last real step];  prediction = post layers(h)

Decides:
- Each modality's features go through one linear layer W_i first, which the LSTM's own input matrix could do: balancing rules look at it.
- Aligned data is taken as it is; else the others are brought onto the steps of the reference (text, else the first sequence), and a vector stands
  at every step. A sample that lacks the reference is read on the steps of its first modality.
Differs: no batch statistics of the input; features are standardised once, from train, where the data card says so.
"""

from pydantic import Field

from workbench.data.batch import Spec
from workbench.fusion.encoder_decoder import Merge
from workbench.fusion.raw import JointLSTM, RawFusion
from workbench.methods import Preset, at_least_two
from workbench.methods.networks import StepConfig, post_layers, reference_modality, step_networks
from workbench.model import FusionModel

FAMILY = "encoder_decoder"

BALANCE = None
"""The balancing rule that belongs to the method."""

NEEDS = ""


class Config(StepConfig):
    """EF-LSTM's settings."""

    hidden_size: int = Field(128, ge=1, le=8192, description="width of each modality's step and of the LSTM's state")
    layers: int = Field(2, ge=1, le=16, description="LSTM layers")


PRESETS = {
    "mosi": Preset(
        {"hidden_size": 128, "post_size": 128, "layers": 4, "dropout": 0.5},
        {"batch_size": 32, "learning_rate": 1e-3, "weight_decay": 0.005, "patience": 8},
        "MMSA config_regression.json, ef_lstm on mosi (aligned)",
    ),
}


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set."""
    at_least_two(spec, owner="ef_lstm")
    encoders, projections = step_networks(config, spec)
    names = tuple(spec.modalities)
    merge = Merge(names, config.hidden_size, "concatenate")
    joint = JointLSTM(merge.size, config.hidden_size, layers=config.layers, dropout=config.dropout)
    fusion = RawFusion(merge, joint, modalities=names, reference=reference_modality(spec))
    head = post_layers(config.hidden_size, config.post_size, spec.task.outputs, dropout=config.dropout)
    return FusionModel(encoders, projections, fusion, head)
