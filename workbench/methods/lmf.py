"""LMF: tensor fusion by low-rank factors of each modality, so that the outer product is never built.

Source: Liu, Shen, Lakshminarasimhan, Liang, Zadeh, Morency: Efficient low-rank multimodal fusion with modality-specific factors. ACL 2018.

    section 3.1     h = W (z_1 x ... x z_M) + b, ones appended to each z_m
    section 3.2     W = sum_{i=1}^r w_1^(i) x ... x w_M^(i),  h = prod_m (sum over its features of w_m^(i) z_m), summed over the rank i
                                                                                                     -> workbench.fusion.tensor
The layer has d_h r sum_m (d_m + 1) weights where TFN's has d_h prod_m (d_m + 1).

Decides:
- The ranks have weights and h has a bias, as in the authors' experiments; the factors are parameters like any other (initialised, trained, saved).
- Any number of modalities; subnetworks as in TFN: an LSTM for the language (the reference modality), ReLU layers over the mean for the others.
- h has `post_size` numbers and one linear layer reads them ("h is used to generate the final prediction").
"""

from pydantic import Field
from torch import nn

from workbench.data.batch import Spec
from workbench.fusion.tensor import LowRankFusion
from workbench.methods import Preset, at_least_two
from workbench.methods.tfn import SubnetworkConfig, subnetworks
from workbench.model import FusionModel

FAMILY = "constraint"

BALANCE = None
"""The balancing rule that belongs to the method."""

NEEDS = ""


class Config(SubnetworkConfig):
    """LMF's settings."""

    rank: int = Field(4, ge=1, le=256, description="number of factors r of each modality")


PRESETS = {
    "mosi": Preset(
        {"hidden_size": 128, "rank": 3, "dropout": 0.3},
        {"batch_size": 64, "learning_rate": 1e-3, "rates": {"fusion.factors": 1e-3}, "weight_decay": 0.005, "patience": 8},
        "MMSA config_regression.json, lmf on mosi",
    ),
}


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set."""
    at_least_two(spec, owner="lmf")
    encoders, projections = subnetworks(config, spec, size=config.hidden_size)
    fusion = LowRankFusion(dict.fromkeys(spec.modalities, config.hidden_size), config.post_size, rank=config.rank)
    return FusionModel(encoders, projections, fusion, nn.Linear(config.post_size, spec.task.outputs))
