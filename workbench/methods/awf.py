"""Adaptive weight fusion: B-fusion balances how fast the modalities learn, A-fusion weighs what they contribute.

Source: Luo, Wu, Liu, Tang: Multimodal sentiment analysis method based on adaptive weight fusion. Journal of Software 35(10), 4781-4793, 2024.

    Eqs. (1)-(3)    Z_T = W_T BERT(X_T), Z_A = W_A sLSTM(X_A), Z_V = W_V sLSTM(X_V), all of width d
    Eqs. (4)-(10)   Z_GB = [w_i Z_i], w learned from gradient magnitudes          -> workbench.balance.b_fusion
    Eqs. (11)-(13)  Z_ATT = [alpha_i Z_i]                                          -> workbench.fusion.attention
    Algorithm 1     Z = (Z_GB + Z_ATT) / 2 -> post layers -> prediction

Decides:
- Text enters as the data has it by default (an embedding and an LSTM, or vectors); `text="fine_tuned"` or `"frozen"` gives the paper's BERT.
- A-fusion's path is detached from the unimodal networks (section 1: it "has no effect" on them).
Ablations: `--balance none` is "(-) GB" (Tables 7, 8); `a_fusion=False` is "(-) A-fusion" (Table 9).
"""

from pydantic import Field

from workbench.data.batch import Spec
from workbench.fusion.attention import AdaptiveWeightFusion
from workbench.methods import Preset
from workbench.methods.lf_lstm import Config as LSTMConfig
from workbench.methods.lf_lstm import unimodal_networks
from workbench.methods.networks import post_layers
from workbench.model import FusionModel

FAMILY = "attention"

BALANCE = "b_fusion"
"""The balancing rule that belongs to the method."""


class Config(LSTMConfig):
    """Adaptive weight fusion's settings; defaults are the paper's for MOSI (Table 2)."""

    hidden_size: int = Field(256, ge=1, le=8192, description="width d of each modality's network and representation (Table 2: hidden size)")
    a_fusion: bool = Field(True, description="A-fusion on; off is the paper's ablation in Table 9")


def _table_2(batch: int, rate: float, hidden: int, post: int, dropout: float, patience: int) -> Preset:
    """One column of Table 2; every column trains for 50 epochs."""
    config = {"hidden_size": hidden, "post_size": post, "dropout": dropout}
    plan = {"batch_size": batch, "learning_rate": rate, "text_learning_rate": rate, "epochs": 50, "patience": patience}
    return Preset(config, plan, "adaptive weight fusion (2024), Table 2")


PRESETS = {
    "mosi": _table_2(64, 1e-4, 256, 128, 0.0, 20),
    "mosei": _table_2(64, 1e-5, 128, 128, 0.4, 1),
    "sims": _table_2(16, 1e-5, 128, 64, 0.0, 8),
    "iemocap": _table_2(24, 1e-4, 256, 128, 0.4, 8),
}


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set; B-fusion is attached by the trainer (`balance="b_fusion"`)."""
    encoders, projections = unimodal_networks(config, spec)
    fusion = AdaptiveWeightFusion(tuple(spec.modalities), has_attention=config.a_fusion)
    head = post_layers(config.hidden_size * len(encoders), config.post_size, spec.task.outputs, dropout=config.dropout)
    return FusionModel(encoders, projections, fusion, head)
