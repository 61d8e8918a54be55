"""Hierarchical delta-attention: steps attend to each other by their changes, representations that correlate, one attention over all of them.

Source: Panchal: Hierachical delta-attention method for multimodal fusion (University of Massachusetts Amherst; no year is printed, its newest
references are of 2020).

    Eq. (9)           X^_M = Conv1D(X_M), `time x d_ch`                                                -> workbench.fusion.delta_attention
    Eqs. (10), (11)   Z_M = softmax((Q K^T + RPE) / sqrt(d_k)) V, RPE_ij = (x_j - x_i) . W_rel         -> workbench.fusion.delta_attention
    Eq. (12)          Y_M = [Z_M0, ..., Z_MH] W_O, `time x d_o`                                        the projections W_i
    Eq. (13)          encoders E_M to d_r << d_o with the largest canonical correlations; decoders     -> workbench.fusion.correlated
    Eqs. (14)-(16)    self-attention of width d_t over the correlated steps of all modalities          -> workbench.fusion.correlated
    Eq. (17)          softmax(Linear(Z_fused)): the head; of several labels and of a regression the task's own
    Table 1           five modules, trained one after the other: each modality, DCCA, the fused attention  -> `stages`

Misprints, and how they are read:
- Section 4.1 makes Q, K, V of X_M, Eq. (10) of X^_M: of X^_M. Eq. (10) says R^(T x d_ch) of a head: each is d_ch wide, d_k = d_v = d_ch.
- W_rel is d_ch x T and RPE is T x T: W_rel is indexed by the offset j - i. The count of further parameters, "T^2 H + d_ch", is not that of W_rel.
- "The heads H" of Eq. (12) are numbered from 0 to H: H of them.
- Section 4.3 makes K and V of X_fused, which is not defined: of Y^_fused, as Eq. (16).
- Section 4.4 speaks of six classes of which one is right; the data has six labels of which several may be: the data says which it is.

Decides (and the setting that switches it):
- A step sees earlier and later ones, though the paper admits i <= j: its text hopes for no look ahead, and i <= j is one. `direction=forward` is as
  printed, `backward` admits no later step. The "sliding window" has no printed size: `window`, none by default. Both are of X^: the convolution of
  Eq. (9) in front of them still sees half of its kernel ahead, so that only `backward` with `kernel_size=1` looks at nothing later in the recording.
- W_rel is shared by the heads (the paper: "can be"): `positions`. Without it the same module is plain attention; without content it is RPE alone:
  `has_content`.
- Values and content scores still see a constant offset of a modality; only RPE does not. `is_centred` takes each sample's mean out, which is not the
  paper's. The convolution goes on with a sample's first and last step beyond its ends: `padding`.
- E_M and D_M are two convolutions each, with d_o features between (`correlated_inner`): of d_r few are left where some ReLUs are dead. The loss is
  the sum over the pairs; the reconstruction, whose error the paper takes from its [21] without an equation, is the unexplained share of variance.
  Weights: `correlation_weight`, `reconstruction_weight`. How modalities of other lengths meet: `workbench.fusion.correlated`.
- The skip connection of section 4 is a linear map d_o -> d_r, added step by step: `skip`. `has_correlation=False` is the fusion without DCCA.
- No positions are added to the fused sequence, and no output map after Eq. (16): none are printed. Its mean over each modality's steps, then over
  the modalities, goes into Eq. (17), so that a long modality does not outvote a short one: `pooling`.
- Stages: each modality with a head of its own on the mean of Y_M; then E_M and D_M, whose encodings a head reads without shaping them (Table 2's
  second block); then skip, attention and head. What is not trained in a stage is frozen. Each stage keeps the epoch with the lowest task loss of its
  own readout on valid: of the correlation stage that is the epoch in which the head reads best, not the one with the largest correlations, though
  that head's loss does not reach E_M and D_M. `joint=True` trains all at once, and adds the losses up.
- After the choice of settings the paper trains again on train and valid together; here test is scored by the model that valid chose.
- A vector or an image is a sequence of one step; what has nothing to choose from is left out.
- The widths d_ch, d_o, d_r, d_t and the number of heads are not printed.
"""

from typing import Annotated

from pydantic import Field
from torch import nn

from workbench.data.batch import Spec
from workbench.encoders import DeltaEncoder
from workbench.errors import ConfigError, unknown
from workbench.fusion.correlated import PART, CorrelatedFusion, Pooling, Skip
from workbench.fusion.delta_attention import Direction, Padding, Positions
from workbench.methods import Preset, TextConfig, at_least_two
from workbench.model import FusionModel
from workbench.stages import Stage
from workbench.supervision.readouts import Readouts

FAMILY = "attention"

BALANCE = None
"""The balancing rule that belongs to the method."""

NEEDS = ""

Kernel = Annotated[int, Field(ge=1, le=1023)]


class Config(TextConfig):
    """Settings of hierarchical delta-attention."""

    hidden_size: int = Field(64, ge=1, le=8192, description="width d_o of each modality's representation Y_M")
    head_size: int = Field(16, ge=1, le=8192, description="width d_ch of the convolution and of each delta head")
    heads: int = Field(4, ge=1, le=256, description="delta heads H of each modality")
    kernel_size: int = Field(3, ge=1, le=1023, description="steps of the convolution of Eq. (9)")
    kernel_sizes: dict[str, Kernel] = Field({}, description="the same for single modalities, e.g. audio=5")
    window: int | None = Field(None, ge=1, le=1_000_000, description="how many steps away a step may look; none: any")
    direction: Direction = Field("both", description="steps that a step may see: all, itself and later ones (printed), itself and earlier ones")
    positions: Positions = Field("shared", description="W_rel: one for all heads, one for each, or none: plain attention")
    has_content: bool = Field(True, description="Q K^T in Eq. (11); off: RPE alone")
    padding: Padding = Field("repeat", description="beyond a sample's ends the convolution sees its first and last step, or zeros")
    is_centred: bool = Field(False, description="take each sample's mean over time out of X^ (not the paper's)")
    has_correlation: bool = Field(True, description="deep canonical correlation, Eq. (13); off: the fusion reads the skip connections alone")
    correlated_size: int = Field(16, ge=1, le=8192, description="width d_r of the correlated representations")
    correlated_inner: int | None = Field(None, ge=1, le=8192, description="width between the two convolutions of E_M and D_M; none: d_o")
    correlated_kernel: int = Field(3, ge=1, le=1023, description="steps of each of these convolutions")
    correlation_weight: float = Field(0.1, ge=0, le=1e3, description="weight of minus the sum of the canonical correlations")
    reconstruction_weight: float = Field(1.0, ge=0, le=1e3, description="weight of the unexplained share of variance")
    ridge: float = Field(1e-3, gt=0, le=10, description="share of the mean variance that is added to every variance")
    skip: Skip = Field("added", description="each modality's representation beside its correlated one: added, as further features, or left out")
    post_size: int = Field(64, ge=1, le=8192, description="width d_t of the fused attention")
    fused_heads: int = Field(1, ge=1, le=256, description="heads of the fused attention; they divide post_size")
    pooling: Pooling = Field("modality", description="mean of the fused steps: modality by modality, or all alike")
    joint: bool | None = Field(
        None, description="all at once instead of stage by stage; none: in stages, but all at once where a rule needs modalities that learn together"
    )
    unimodal_weight: float = Field(1.0, ge=0, le=1e3, description="weight of the single modalities' own losses where all is trained at once")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of each modality's states and of the fused vector dropped in training")


def _table_1(epochs: int, rate: float, batch: int, decay: float) -> dict[str, int | float]:
    """One row. A pretrained text model has the rate of the module that it belongs to."""
    return {"epochs": epochs, "patience": epochs, "learning_rate": rate, "text_learning_rate": rate, "batch_size": batch, "weight_decay": decay}


PRESETS = {
    "mosei": Preset(
        {"text": "fine_tuned"},
        {
            "optimizer": "adam",
            "stages": {
                "unimodal.text": _table_1(10, 1e-6, 32, 1e-4),
                "unimodal.vision": _table_1(10, 1e-5, 8, 1e-4),
                "unimodal.audio": _table_1(10, 1e-5, 8, 1e-4),
                "correlation": _table_1(100, 2e-4, 4, 1e-6),
                "fusion": _table_1(5, 1e-5, 8, 1e-6),
            },
        },
        "hierarchical delta-attention, Table 1",
    )
}


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set.

    Raises:
        ConfigError: one modality; a kernel for a modality that is not there; a modality called as the correlated part is; neither content nor
            positions; neither correlation nor skip connections; heads that do not divide post_size.
    """
    at_least_two(spec, owner="delta_attention")
    for name in config.kernel_sizes:
        if name not in spec.modalities:
            raise unknown("modality", name, spec.modalities, do="leave its kernel out (kernel_sizes)")
    if PART in spec.modalities:
        raise ConfigError(f'a modality cannot be called "{PART}" here: the correlated representations are', do="rename it in the data or its card")
    encoders = {name: _encoder(config, name, spec) for name in spec.modalities}
    projections = {name: nn.Linear(encoder.size, config.hidden_size) for name, encoder in encoders.items()}
    fusion = _fusion(config, spec)
    outputs = spec.task.outputs
    sizes = dict.fromkeys(spec.modalities, config.hidden_size) | ({PART: fusion.part_size} if config.has_correlation else {})
    heads = {name: nn.Linear(size, outputs) for name, size in sizes.items()}
    # What reads the correlated part shapes nothing else: its weight says how fast it learns, not what the rest learns.
    weights = {name: 1.0 if name == PART else config.unimodal_weight for name in heads}
    return FusionModel(encoders, projections, fusion, nn.Linear(fusion.size, outputs), supervision=Readouts(heads, weights))


def stages(config: Config, spec: Spec) -> tuple[Stage, ...]:
    """Table 1: each modality, the correlated representations, the fusion; none where all is trained at once."""
    if config.joint:
        return ()
    found = [Stage(f"unimodal.{name}", (f"encoders.{name}", f"projections.{name}", f"supervision.heads.{name}"), name) for name in spec.modalities]
    if config.has_correlation:
        found.append(Stage("correlation", ("fusion.encode", "fusion.decode", f"supervision.heads.{PART}"), PART))
    skip = () if config.skip == "none" else ("fusion.skip",)
    return (*found, Stage("fusion", (*skip, "fusion.attention", "head")))


def _encoder(config: Config, name: str, spec: Spec) -> DeltaEncoder:
    """Eqs. (9)-(11) of one modality."""
    return DeltaEncoder(
        spec.modalities[name],
        size=config.head_size,
        heads=config.heads,
        kernel_size=config.kernel_sizes.get(name, config.kernel_size),
        embedding_size=config.embedding_size,
        window=config.window,
        direction=config.direction,
        positions=config.positions,
        has_content=config.has_content,
        padding=config.padding,
        is_centred=config.is_centred,
        dropout=config.dropout,
        axes=(f"{name}_time", f"{name}_time_attended"),
    )


def _fusion(config: Config, spec: Spec) -> CorrelatedFusion:
    """Eqs. (13)-(16)."""
    return CorrelatedFusion(
        config.hidden_size,
        {name: modality.length for name, modality in spec.modalities.items()},
        correlated_size=config.correlated_size,
        fused_size=config.post_size,
        inner_size=config.correlated_inner,
        kernel=config.correlated_kernel,
        heads=config.fused_heads,
        skip=config.skip,
        pooling=config.pooling,
        correlation=config.correlation_weight,
        reconstruction=config.reconstruction_weight,
        ridge=config.ridge,
        has_correlation=config.has_correlation,
        dropout=config.dropout,
    )
