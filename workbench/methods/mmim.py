"""MMIM: the modalities shall tell as much as possible of each other, and the fused vector of each of them (mutual information).

Source: Han, Chen, Poria: Improving multimodal fusion with hierarchical mutual information maximization for multimodal sentiment analysis. EMNLP 2021.

    section 3.2     x_t = BERT(X_t),  x_m = LSTM(X_m)
    section 3.3     I_BA = E[log q(x_m | x_t)] + H(x_m), for each m beside the reference t     -> workbench.supervision.information
    section 3.4     Z = F(x_t, x_a, x_v);  L_CPC = sum_m InfoNCE(Z predicts x_m in the batch)  -> workbench.fusion.predictive
    section 3.5     L = L_task + alpha L_CPC + beta L_BA,  L_BA = - sum_m I_BA

The reference is the text, else the first sequence (`reference_modality`).

Decides: F is two linear layers with tanh; q's mean and log variance are two-layer networks; see `workbench.supervision.information` for H.
Differs:
- The paper takes two steps a batch: q alone is fitted by maximum likelihood, then everything else by L. Here it is one step: q has no part in H, so
  its gradient of -I_BA is that of its likelihood (Adam takes no notice of the factor beta).
- The memory for H is a number of samples, not of batches. One LSTM width for all modalities but a fine-tuned text, which keeps its own.
- The rate is not lowered after twenty epochs.
"""

from typing import Any

from pydantic import Field
from torch import nn

from workbench.data.batch import Spec
from workbench.fusion.predictive import ConcatenatedLayers, PredictiveFusion
from workbench.methods import Preset, at_least_two
from workbench.methods.networks import reference_modality
from workbench.methods.utterance import UtteranceConfig, own_widths, utterance_encoders
from workbench.model import FusionModel
from workbench.supervision.information import InformationBound

FAMILY = "constraint"

BALANCE = None
"""The balancing rule that belongs to the method."""

NEEDS = ""


class Config(UtteranceConfig):
    """MMIM's settings."""

    hidden_size: int = Field(16, ge=1, le=8192, description="width d of each modality's LSTM and representation")
    post_size: int = Field(64, ge=1, le=8192, description="width of the fusion network and of Z")
    is_bidirectional: bool = Field(False, description="LSTMs in both directions (the paper's are one-directional, MMSA's are not)")
    alpha: float = Field(0.1, ge=0, le=1e3, description="weight of the contrastive loss: Z against each modality")
    beta: float = Field(0.1, ge=0, le=1e3, description="weight of the mutual information between the reference and each other modality")
    cpc_layers: int = Field(1, ge=1, le=16, description="linear layers of each network that predicts a modality from Z")
    memory: int = Field(32, ge=0, le=100_000, description="samples of past batches that the entropy is estimated from, beside the batch's own")


def _mmsa(dataset: str, **config: Any) -> Preset:
    """One data set of MMSA's configuration; the three are alike."""
    settings = {"hidden_size": 16, "post_size": 128, "dropout": 0.1, "is_bidirectional": True, "alpha": 0.1, "beta": 0.1, "memory": 32}
    plan = {
        "batch_size": 32,
        "accumulate": 2,
        "learning_rate": 1e-3,
        "text_learning_rate": 5e-5,
        "weight_decay": 1e-4,
        "clip_norm": 1.0,
        "patience": 8,
    }
    return Preset({"text": "fine_tuned", **settings, **config}, plan, f"MMSA config_regression.json, mmim on {dataset}")


PRESETS = {
    "mosi": _mmsa("mosi"),
    "mosei": _mmsa("mosei"),
    "sims": _mmsa("sims", text_model="bert-base-chinese"),
    # The plan is LF-DNN's on the same data, so that the two can be compared.
    "opinions": Preset(
        {"encoder": "mean_mlp", "hidden_size": 32},
        {"batch_size": 32, "learning_rate": 2e-3, "patience": 20, "epochs": 100},
        "workbench, opinions/balanced: means over time, as few short cues in 800 samples leave an LSTM's end behind",
    ),
}


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set."""
    at_least_two(spec, owner="mmim")
    encoders = utterance_encoders(config, spec, is_bidirectional=config.is_bidirectional)
    sizes = own_widths(encoders, spec, hidden_size=config.hidden_size)
    projections = {name: nn.Linear(encoder.size, sizes[name]) for name, encoder in encoders.items()}
    layers = ConcatenatedLayers(sizes, config.post_size, layers=2, activation=nn.Tanh, dropout=config.dropout)
    fusion = PredictiveFusion(sizes, layers, fused_size=config.post_size, layers=config.cpc_layers, weight=config.alpha)
    reference = reference_modality(spec)
    bound = InformationBound(sizes, reference=reference, hidden_size=config.hidden_size, task=spec.task, weight=config.beta, memory=config.memory)
    return FusionModel(encoders, projections, fusion, nn.Linear(config.post_size, spec.task.outputs), supervision=bound)
