"""Self-MM: every modality has a task of its own, whose labels are generated from the label of the whole.

Source: Yu, Xu, Yuan, Wu: Learning modality-specific representations with self-supervised multi-task learning for multimodal sentiment analysis.
AAAI 2021.

    unimodal networks   F_t = BERT(X_t),  F_s = sLSTM(X_s)
    multimodal task     F_m = ReLU(W_l1 [F_t, F_a, F_v] + b_l1),  y'_m = W_l2 F_m + b_l2       -> workbench.fusion.predictive.ConcatenatedLayers
    unimodal tasks      F*_s = ReLU(W_s1 F_s + b_s1),  y'_s = W_s2 F*_s + b_s2
    labels              y_s = ULGM(y_m, F_m, F*_s), smoothed over the epochs                  -> workbench.supervision.ulgm
    objective           L = 1/N sum_i ( |y'_m - y_m| + sum_s tanh|y_s - y_m| |y'_s - y_s| )

The unimodal tasks serve the training only: a prediction is y'_m. With classes or several labels, where no label can be shifted along a line, they are
trained with the sample's own label and weight one.

Decides: see `workbench.supervision.ulgm`; a transformer's sentence vector is the mean over its real tokens, and keeps its width.
Differs: audio and vision (all modalities but a fine-tuned text) share one width, where MMSA gives each its own, and so do the unimodal layers.
"""

from typing import Any

from pydantic import Field
from torch import nn

from workbench.data.batch import Spec
from workbench.fusion.predictive import ConcatenatedLayers
from workbench.methods import Preset, at_least_two
from workbench.methods.utterance import UtteranceConfig, own_widths, utterance_encoders
from workbench.model import FusionModel
from workbench.supervision.ulgm import UnimodalTasks

FAMILY = "encoder_decoder"

BALANCE = None
"""The balancing rule that belongs to the method."""

NEEDS = ""


class Config(UtteranceConfig):
    """Self-MM's settings."""

    dropout: float = Field(0.0, ge=0, lt=1, description="share of the fusion's input dropped in training")
    post_size: int = Field(64, ge=1, le=8192, description="width of the fused representation F_m (post fusion dim)")
    unimodal_size: int = Field(32, ge=1, le=8192, description="width of each modality's F*_s (post text, audio, video dim)")
    unimodal_weight: float = Field(1.0, ge=0, le=1e3, description="weight of the unimodal tasks")
    unimodal_dropout: float = Field(0.0, ge=0, lt=1, description="share of a modality's representation dropped before its own task, in training")
    zero_excluded: bool = Field(True, description="neutral labels belong to neither class centre; off: to the positive one")


def _mmsa(dataset: str, batch: int, fusion_dropout: float, unimodal_dropout: float, vision_rate: float | None = None, **config: Any) -> Preset:
    """One data set of MMSA's configuration: 5e-3 for audio and vision, 5e-5 for BERT, 1e-3 for the rest, four batches a step."""
    rates = dict.fromkeys(("projections.text", "fusion", "head", "supervision"), 1e-3)
    if vision_rate is not None:
        rates |= {"encoders.vision": vision_rate, "projections.vision": vision_rate}
    settings = {"hidden_size": 32, "post_size": 128, "unimodal_size": 32, "dropout": fusion_dropout, "unimodal_dropout": unimodal_dropout}
    plan = {
        "batch_size": batch,
        "accumulate": 4,
        "learning_rate": 5e-3,
        "text_learning_rate": 5e-5,
        "rates": rates,
        "weight_decay": 1e-3,
        "patience": 8,
        "loss": "l1",
    }
    return Preset({"text": "fine_tuned", **settings, **config}, plan, f"MMSA config_regression.json, self_mm on {dataset}")


PRESETS = {
    "mosi": _mmsa("mosi", 16, 0.0, 0.1),
    "mosei": _mmsa("mosei", 32, 0.1, 0.0, vision_rate=1e-4),
    "sims": _mmsa("sims", 32, 0.0, 0.1, text_model="bert-base-chinese"),
    # The plan is LF-DNN's on the same data, so that the two can be compared.
    "opinions": Preset(
        {"encoder": "mean_mlp", "hidden_size": 64},
        {"batch_size": 32, "learning_rate": 2e-3, "patience": 20, "epochs": 100},
        "workbench, opinions/balanced: means over time, as few short cues in 800 samples leave an LSTM's end behind",
    ),
}


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set."""
    at_least_two(spec, owner="self_mm")
    # The paper's dropout is after the encoders: on the fusion's input and on that of each unimodal task.
    encoders = utterance_encoders(config.model_copy(update={"dropout": 0.0}), spec)
    sizes = own_widths(encoders, spec, hidden_size=config.hidden_size)
    projections = {name: nn.Linear(encoder.size, sizes[name]) for name, encoder in encoders.items()}
    fusion = ConcatenatedLayers(sizes, config.post_size, dropout=config.dropout)
    tasks = UnimodalTasks(
        sizes,
        fused_size=config.post_size,
        post_size=config.unimodal_size,
        task=spec.task,
        weight=config.unimodal_weight,
        dropout=config.unimodal_dropout,
        zero_excluded=config.zero_excluded,
    )
    return FusionModel(encoders, projections, fusion, nn.Linear(config.post_size, spec.task.outputs), supervision=tasks)
