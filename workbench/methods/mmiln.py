"""MMILN: text at the centre, the other modalities read into it layer by layer through gates, and a task of its own for each of them.

Source: Self-supervised dynamic fusion model for multi-task and multi-modal interactive learning (MMILN; in Chinese; no year is printed, its newest
references are of 2023).

    Eqs. (1), (2)     M_a = LSTM(X_a), M_v = LSTM(X_v), their states at every step
    Eq. (3)           M_t = BERT(X_t), its state of every token
    Eq. (4)           X^0_m = Conv(M_m), `time x d_s`                                                          the projections W_i
    Eqs. (5)-(12)     X^i_n, X^i_mh,n = GateTransformer(X^{i-1}_n), n in {a, v}, i = 1..k   -> workbench.fusion.gated_transformer
    Eqs. (13)-(23)    X^i_tn = SAG-Transformer(X^{i-1}_tn, X^i_mh,n), X^0_tn = X^0_t        -> workbench.fusion.gated_transformer
    Eqs. (24)-(26)    similarity CMD_K(h_ta, h_tv), difference sum ||h_tn^T h_n||_F^2       -> workbench.fusion.text_centred, fusion.constraint
    Eq. (27)          F_m = FFN([X^k_ta, X^k_tv]), prediction = FFN(F_m)                    -> workbench.fusion.text_centred
    Eq. (28)          F_n = FFN(X^k_n), y'_n = FFN(F_n)                                     -> workbench.supervision.ulgm
    Eqs. (29)-(34)    labels y_n made from y_m and from where F_m and F_n lie               -> workbench.supervision.ulgm
    Eq. (35)          L_task = 1/N sum_i ( (y'_m - y_m)^2 + sum_n tanh|y_n - y_m| |y'_n - y_n| )
    Eq. (36)          L = L_task + alpha L_sim + beta L_diff

The squared error of Eq. (35) is the training plan's (`plan.loss=mse`): the presets have it, and without a preset it is to be asked for. With classes
or several labels, where no label can be shifted along a line, the task has its own loss, and each unimodal task the sample's own label with weight
one, as in Self-MM here.

Misprints, and how they are read:
- Eqs. (1)-(3) end in R^d, one vector; Eq. (4) goes on with sequences of them.
- Eq. (11) adds g_r * X^i, which is made two lines later: X^{i-1}, as in Eq. (22). `residual=current` takes it at its word.
- Eq. (24) sums from K = 2 to K: from k = 2.

Decides:
- The BiGRU of Eqs. (7), (16) has d_s/2 in each direction, since W_r, W_c are d_s x d_s: `gru=half`, or the mean of two of width d_s.
- Gates are vectors, one for all steps of a sample, but g_s of Eq. (17), which is made of X_mh,n at each step. Their maps have no bias, as printed.
- h of Eqs. (25), (26) is that of Eqs. (7), (16), of the same name, made of X^{i-1}; without gates there is none, which is why the paper's -MFM takes
  the losses away too. `loss_on=outputs`: the means over time of X^i.
- CMD has K = 5, as MISA's, and bounds 0 and 1, through a sigmoid. With one other modality there is no pair; with more than two it is the mean over
  all pairs. The difference is the sum over the entries as printed (`difference=sum`), centred and normalised as MISA's: about the batch's size where
  MISA's mean is about 1/d, so beta is small. alpha, beta are not printed.
- Eq. (36) has the last layer's losses: `loss_layers`.
- Eqs. (27), (28) read the mean over the real steps. The first layer of each FFN has a ReLU and gives F; the second is linear (Self-MM's).
- |alpha_m| in Eq. (34) is at least `floor`, its sign kept, where Eq. (31) guards D_p only. The rest of the labels: `workbench.supervision.ulgm`.
- No positions are added: none are printed, and LSTM, BERT and convolution know the order. The FFN of Eqs. (12), (23): d -> 4 d -> d, a ReLU.
- Without BERT the centre is read as the data has it: an LSTM for tokens and features; features of a frozen model (`text=frozen`), which has read
  the sentence, as they are. A vector or an image is a sequence of one step, without LSTM; what has nothing to choose from or to remember is left out.
- Any modality can be the centre (`center`), with any number of others. A sample that lacks the centre has one empty step in its place.
Fixed, without a switch: CMD's sigmoid and bounds, centring and normalising in Eq. (26), means over real steps, the FFNs' layers and widths, no bias
in the gates' maps, no positions, class centres once an epoch, labels clipped to their range.
Ablations (section 4.3.2): `has_refusion=False` (-MRM) removes the two losses, all that section 3.3 holds; Eq. (27) stays, or nothing would be
predicted. `has_gates=False` (-MFM) removes g_r, g_c, g_s and, as printed, the losses (but with `loss_on=outputs` they stay possible).
`has_gate_fusion=False` (-GateFusion) removes the SAG-Transformers and with them the losses: X^0_t, X^k_a, X^k_v are fused, "only unimodal features".
"""

from typing import Any, Literal

from pydantic import Field
from torch import nn

from workbench.data.batch import ModalitySpec, Spec
from workbench.encoders import LSTMSteps, StepFeatures, TokenTransformer
from workbench.errors import unknown
from workbench.fusion.text_centred import CentredFusion
from workbench.methods import Preset, at_least_two
from workbench.methods.networks import FusionConfig, TemporalConvolution, reference_modality, single_steps
from workbench.model import FusionModel
from workbench.supervision.ulgm import UnimodalTasks

FAMILY = "attention"

BALANCE = None
"""The balancing rule that belongs to the method."""

NEEDS = ""


class Config(FusionConfig):
    """MMILN's settings."""

    hidden_size: int = Field(32, ge=1, le=8192, description="width d_s of every modality, stream and LSTM")
    post_size: int = Field(64, ge=1, le=8192, description="width of the fused representation F_m")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the streams' means dropped before F_m, in training")
    center: str | None = Field(None, description="modality at the centre; none: text where it is a sequence, else the first sequence")
    encoder: Literal["lstm", "steps"] = Field("lstm", description="sequences through an LSTM (Eqs. 1, 2), or as they are")
    kernel_size: int = Field(3, ge=1, le=1023, description="steps that the convolution of Eq. (4) sees")
    layers: int = Field(3, ge=1, le=64, description="fusion layers k")
    heads: int = Field(4, ge=1, le=256, description="heads of every attention; they divide hidden_size")
    layer_dropout: float = Field(0.0, ge=0, lt=1, description="dropout inside the fusion layers")
    residual: Literal["previous", "current"] = Field("previous", description="the X of Eq. (11): the layer's input, or its output as printed")
    gru: Literal["half", "full"] = Field("half", description="each direction of the gates' GRU: half of d_s, side by side; or d_s, their mean")
    similarity_weight: float = Field(0.3, ge=0, le=1e3, description="alpha of Eq. (36)")
    difference_weight: float = Field(1e-3, ge=0, le=1e3, description="beta of Eq. (36)")
    moments: int = Field(5, ge=1, le=20, description="highest moment K of Eq. (24)")
    difference: Literal["sum", "mean"] = Field("sum", description="Eq. (26) over the entries of each product: their sum as printed, or mean (MISA)")
    loss_layers: Literal["last", "all"] = Field("last", description="layers whose losses enter Eq. (36): the last, or the mean over all")
    loss_on: Literal["gates", "outputs"] = Field("gates", description="h of Eqs. (25), (26): that of the gates, or the layers' means over time")
    has_refusion: bool = Field(True, description="the two losses, Eqs. (24)-(26); off: -MRM")
    has_gates: bool = Field(True, description="all gates, and with them the losses; off: -MFM")
    has_gate_fusion: bool = Field(True, description="the streams of the centre, Eqs. (13)-(23); off: -GateFusion")
    has_screening: bool = Field(True, description="the gate of Eqs. (17), (18)")
    unimodal_size: int = Field(32, ge=1, le=8192, description="width of each F_n")
    unimodal_weight: float = Field(1.0, ge=0, le=1e3, description="weight of the unimodal tasks")
    unimodal_dropout: float = Field(0.0, ge=0, lt=1, description="share of X_n's mean dropped before its own task, in training")
    zero_excluded: bool = Field(True, description="neutral labels belong to neither class centre; off: to the positive one (regression only)")
    momentum: float | None = Field(None, ge=0, lt=1, description="share of a made label kept; none: (n - 1)/(n + 1), as printed (regression only)")
    floor: float = Field(1e-3, gt=0, le=1e3, description="smallest |alpha_m| that Eq. (34) divides by (regression only)")


def _self_mm(dataset: str, batch: int, dropout: float, unimodal_dropout: float, vision_rate: float | None = None, **config: Any) -> Preset:
    """Self-MM's settings, which the paper keeps but for the fusion layers (section 4.2), with Fig. 4's best number of them and Eq. (35)'s loss."""
    rates = dict.fromkeys(("projections.text", "fusion", "head", "supervision"), 1e-3)
    if vision_rate is not None:
        rates |= {"encoders.vision": vision_rate, "projections.vision": vision_rate}
    settings = {"hidden_size": 32, "post_size": 128, "unimodal_size": 32, "layers": 3, "dropout": dropout, "unimodal_dropout": unimodal_dropout}
    rated = {"learning_rate": 5e-3, "text_learning_rate": 5e-5, "rates": rates, "weight_decay": 1e-3}
    plan = {"batch_size": batch, "accumulate": 4, **rated, "patience": 8, "loss": "mse"}
    return Preset({"text": "fine_tuned", **settings, **config}, plan, f"MMILN section 4.2: MMSA config_regression.json, self_mm on {dataset}")


PRESETS = {
    "mosi": _self_mm("mosi", 16, 0.0, 0.1),
    "mosei": _self_mm("mosei", 32, 0.1, 0.0, vision_rate=1e-4),
    "sims": _self_mm("sims", 32, 0.0, 0.1, text_model="bert-base-chinese"),
    "opinions": Preset(
        {"encoder": "steps"},
        {"batch_size": 32, "learning_rate": 1e-3, "patience": 10, "epochs": 30, "loss": "mse"},
        "workbench, search on valid of opinions/balanced: the convolution reads words and frames; its best epochs are early (4 to 8 at 800 samples)",
    ),
}

RANGES: dict[str, dict[str, list[Any]]] = {"Fig. 4": {"layers": [1, 2, 3, 4, 5, 6]}}
"""The paper's sweep, on MOSI."""


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set.

    Raises:
        ConfigError: one modality; heads that do not divide hidden_size; a centre that is not there.
    """
    at_least_two(spec, owner="mmiln")
    center = config.center or reference_modality(spec)
    if center not in spec.modalities:
        raise unknown("modality", center, spec.modalities, do="leave center out, or name one of them")
    single = single_steps(spec)
    encoders = {name: _encoder(config, name, modality) for name, modality in spec.modalities.items()}
    projections = {
        name: TemporalConvolution(encoder.size, config.hidden_size, kernel=1 if name in single else config.kernel_size)
        for name, encoder in encoders.items()
    }
    fusion = _fusion(config, spec, center)
    tasks = UnimodalTasks(
        dict.fromkeys(fusion.others, config.hidden_size),
        fused_size=config.post_size,
        post_size=config.unimodal_size,
        task=spec.task,
        weight=config.unimodal_weight,
        dropout=config.unimodal_dropout,
        source="parts",
        zero_excluded=config.zero_excluded,
        floor=config.floor,
        momentum=config.momentum,
    )
    return FusionModel(encoders, projections, fusion, nn.Linear(config.post_size, spec.task.outputs), supervision=tasks)


def _encoder(config: Config, name: str, modality: ModalitySpec) -> nn.Module:
    """The network of one modality: Eqs. (1)-(3)."""
    if modality.text_model:
        return TokenTransformer(modality)
    has_read = name == "text" and config.text == "frozen"
    if config.encoder == "steps" or modality.length == 1 or has_read:
        return StepFeatures(modality, embedding_size=config.embedding_size)
    return LSTMSteps(modality, hidden_size=config.hidden_size, embedding_size=config.embedding_size)


def _fusion(config: Config, spec: Spec, center: str) -> CentredFusion:
    """Eqs. (5)-(27)."""
    has_losses = config.has_refusion and config.has_gate_fusion and (config.has_gates or config.loss_on == "outputs")
    return CentredFusion(
        config.hidden_size,
        tuple(spec.modalities),
        center=center,
        post_size=config.post_size,
        layers=config.layers,
        heads=config.heads,
        single=single_steps(spec),
        dropout=config.layer_dropout,
        fused_dropout=config.dropout,
        has_gates=config.has_gates,
        has_screening=config.has_screening,
        has_gate_fusion=config.has_gate_fusion,
        residual=config.residual,
        is_full=config.gru == "full",
        similarity=config.similarity_weight if has_losses else None,
        difference=config.difference_weight if has_losses else None,
        moments=config.moments,
        loss_layers=config.loss_layers,
        loss_on=config.loss_on,
        is_mean=config.difference == "mean",
    )
