"""MISA: every modality is represented in a space shared by all and in a space of its own, before they are fused.

Source: Hazarika, Zimmermann, Poria: MISA: Modality-invariant and -specific representations for multimodal sentiment analysis. ACM MM 2020.

    section 3.2     u_m = W_m sLSTM(X_m), the end states of a stacked bidirectional LSTM, or BERT for text
                    h_c,m = E_c(u_m), one E_c for all modalities;  h_p,m = E_p,m(u_m), one E_p,m for each
    section 3.3     H = [h_c,1, ..., h_c,M, h_p,1, ..., h_p,M];  H' = multi-head self-attention(H);  prediction = G(H' as one vector)
    section 3.4     L = L_task + alpha L_sim + beta L_diff + gamma L_recon
      similarity        L_sim = mean over pairs of modalities of CMD_5(h_c,i, h_c,j)
      difference        L_diff = sum_m || H_c,m^T H_p,m ||_F^2 + sum over pairs || H_p,i^T H_p,j ||_F^2
      reconstruction    L_recon = mean_m || u_m - D(h_c,m + h_p,m) ||^2 / d                    -> workbench.fusion.shared_specific

Decides:
- E_c and E_p are one linear layer and a sigmoid (which bounds what CMD compares), D one linear layer, shared by
  the modalities as its symbol theta^d says.
- The sentence vector of a transformer is the mean over its real tokens.
- L_diff is the mean over the entries of each product, which the published weights were chosen with.
Differs: the attention layer normalises before each part, and reads each vector once more through its residual path; one width for all modalities.
"""

from typing import Any

from pydantic import Field
from torch import nn

from workbench.data.batch import Spec
from workbench.fusion.shared_specific import SharedSpecific
from workbench.methods import Preset, at_least_two
from workbench.methods.networks import post_layers
from workbench.methods.utterance import UtteranceConfig, utterance_encoders
from workbench.model import FusionModel

FAMILY = "constraint"

BALANCE = None
"""The balancing rule that belongs to the method."""

NEEDS = ""


class Config(UtteranceConfig):
    """MISA's settings."""

    layers: int = Field(2, ge=1, le=16, description="stacked layers of each modality's bidirectional LSTM")
    heads: int = Field(2, ge=1, le=64, description="heads of the self-attention over the 2M vectors; they divide hidden_size")
    similarity: float = Field(0.3, ge=0, le=1e3, description="weight alpha of the similarity loss (CMD between shared vectors)")
    difference: float = Field(0.1, ge=0, le=1e3, description="weight beta of the difference loss (orthogonal spaces)")
    reconstruction: float = Field(1.0, ge=0, le=1e3, description="weight gamma of the reconstruction loss")


def _mmsa(dataset: str, batch: int, dropout: float, losses: tuple[float, float, float], clip: float, decay: float, **config: Any) -> Preset:
    """One data set of MMSA's configuration; all have width 128, rate 1e-4, BERT trained along, two batches a step, and patience 8."""
    weights = dict(zip(("similarity", "difference", "reconstruction"), losses, strict=True))
    return Preset(
        {"text": "fine_tuned", "hidden_size": 128, "post_size": 128, "dropout": dropout, **weights, **config},
        {
            "batch_size": batch,
            "accumulate": 2,
            "learning_rate": 1e-4,
            "text_learning_rate": 1e-4,
            "weight_decay": decay,
            "clip_value": clip,
            "patience": 8,
        },
        f"MMSA config_regression.json, misa on {dataset}",
    )


PRESETS = {
    "mosi": _mmsa("mosi", 16, 0.2, (0.3, 0.1, 1.0), 0.8, 0.0),
    "mosei": _mmsa("mosei", 64, 0.5, (0.8, 0.3, 1.0), 0.8, 5e-5),
    "sims": _mmsa("sims", 64, 0.0, (1.0, 0.3, 0.8), 1.0, 5e-5, text_model="bert-base-chinese"),
    # The plan is LF-DNN's on the same data, so that the two can be compared.
    "opinions": Preset(
        {"encoder": "mean_mlp", "hidden_size": 32},
        {"batch_size": 32, "learning_rate": 2e-3, "patience": 20, "epochs": 100},
        "workbench, opinions/balanced: means over time, as few short cues in 800 samples leave an LSTM's end behind",
    ),
}


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set."""
    at_least_two(spec, owner="misa")
    size = config.hidden_size
    encoders = utterance_encoders(config, spec, layers=config.layers, is_bidirectional=True)
    projections = {name: nn.Linear(encoder.size, size) for name, encoder in encoders.items()}
    weights = {"similarity": config.similarity, "difference": config.difference, "reconstruction": config.reconstruction}
    fusion = SharedSpecific(tuple(spec.modalities), size, heads=config.heads, dropout=config.dropout, **weights)
    head = post_layers(2 * len(encoders) * size, config.post_size, spec.task.outputs, dropout=config.dropout)
    return FusionModel(encoders, projections, fusion, head)
