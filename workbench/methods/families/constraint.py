"""Constraint family: coordinated representations, related by a term of the loss, and tensor fusion.

Source: Hou: Techniques for deep fusing multimodal data (talk, 2024), Fig. 6, after Zhao, Zhang, Geng: Deep multimodal data fusion. ACM Computing
Surveys 56(9), 2024.
"""

from functools import partial

from pydantic import Field
from torch import nn

from workbench.data.batch import Spec
from workbench.fusion.constraint import Coordinated, SharedPrivate, bounded_discrepancy, info_nce, total_correlation_loss
from workbench.fusion.tensor import LowRankFusion, TensorFusion
from workbench.methods import Method, at_least_two
from workbench.methods.networks import VectorConfig, post_layers, vector_networks
from workbench.model import FusionModel


class DCCAConfig(VectorConfig):
    """Settings of deep canonical correlation analysis."""

    weight: float = Field(0.01, ge=0, le=1000, description="weight of minus the total correlation of the pairs")
    ridge: float = Field(1e-3, gt=0, le=10, description="share of the mean variance that is added to every variance, so that it can be inverted")


class ContrastiveConfig(VectorConfig):
    """Settings of contrastive coordination."""

    weight: float = Field(0.1, ge=0, le=1000, description="weight of the contrastive term, InfoNCE")
    temperature: float = Field(0.1, gt=0, le=100, description="temperature of the cosine similarities")


class CMDConfig(VectorConfig):
    """Settings of central moment discrepancy."""

    weight: float = Field(0.3, ge=0, le=1000, description="weight of the central moment discrepancy of the pairs")
    moments: int = Field(5, ge=1, le=20, description="highest central moment K that is compared")


class OrthogonalConfig(VectorConfig):
    """Settings of the split in shared and private parts."""

    weight: float = Field(1.0, ge=0, le=1000, description="weight of the difference loss")


class TensorConfig(VectorConfig):
    """Settings of tensor fusion."""

    tensor_size: int = Field(32, ge=1, le=512, description="width of each modality in the outer product (hidden_size where that is smaller)")
    tensor_dropout: float = Field(0.0, ge=0, lt=1, description="share of the outer product's entries dropped in training")


class LowRankConfig(VectorConfig):
    """Settings of low-rank tensor fusion."""

    rank: int = Field(4, ge=1, le=256, description="number of factors of each modality")


def build_dcca(config: DCCAConfig, spec: Spec) -> FusionModel:
    """The model whose modalities are to be correlated."""
    return _coordinated(config, spec, partial(total_correlation_loss, ridge=config.ridge), name="dcca")


def build_contrastive(config: ContrastiveConfig, spec: Spec) -> FusionModel:
    """The model whose modalities are to find each other."""
    return _coordinated(config, spec, partial(info_nce, temperature=config.temperature), name="contrastive")


def build_cmd(config: CMDConfig, spec: Spec) -> FusionModel:
    """The model whose modalities are to be distributed alike."""
    return _coordinated(config, spec, partial(bounded_discrepancy, moments=config.moments), name="cmd")


def _coordinated(config: VectorConfig, spec: Spec, term: partial, *, name: str) -> FusionModel:
    at_least_two(spec, owner=f"constraint.{name}")
    encoders, projections = vector_networks(config, spec)
    fusion = Coordinated(tuple(spec.modalities), term, name=name, weight=config.weight)
    return FusionModel(encoders, projections, fusion, _head(config, spec, config.hidden_size * len(encoders)))


def build_orthogonal(config: OrthogonalConfig, spec: Spec) -> FusionModel:
    """The model with shared and private parts."""
    at_least_two(spec, owner="constraint.orthogonal")
    encoders, projections = vector_networks(config, spec)
    fusion = SharedPrivate(tuple(spec.modalities), config.hidden_size, weight=config.weight)
    return FusionModel(encoders, projections, fusion, _head(config, spec, 2 * config.hidden_size * len(encoders)))


def build_tensor(config: TensorConfig, spec: Spec) -> FusionModel:
    """The model with the whole outer product."""
    at_least_two(spec, owner="constraint.tensor")
    width = min(config.hidden_size, config.tensor_size)
    encoders, _ = vector_networks(config, spec)
    projections = {name: nn.Linear(encoder.size, width) for name, encoder in encoders.items()}
    fusion = TensorFusion(dict.fromkeys(spec.modalities, width), config.post_size, dropout=config.tensor_dropout)
    return FusionModel(encoders, projections, fusion, nn.Sequential(nn.ReLU(), nn.Linear(config.post_size, spec.task.outputs)))


def build_low_rank(config: LowRankConfig, spec: Spec) -> FusionModel:
    """The model with the outer product in low rank."""
    at_least_two(spec, owner="constraint.low_rank")
    encoders, projections = vector_networks(config, spec)
    fusion = LowRankFusion(dict.fromkeys(spec.modalities, config.hidden_size), config.post_size, rank=config.rank)
    return FusionModel(encoders, projections, fusion, nn.Sequential(nn.ReLU(), nn.Linear(config.post_size, spec.task.outputs)))


def _head(config: VectorConfig, spec: Spec, size: int) -> nn.Module:
    return post_layers(size, config.post_size, spec.task.outputs, dropout=config.dropout)


DCCA = """Coordinated by deep canonical correlation analysis: the modalities' representations are to be linearly related, pair by pair.

Source: Andrew et al.: Deep canonical correlation analysis. ICML 2013; sum over pairs as in generalised CCA's simplest form.

    L = -weight sum_{i<j} sum of the canonical correlations of z_i and z_j over the batch;  fused = [z_1, ..., z_M]

Decides: trained jointly with the task (the paper trains it beforehand); with fewer samples in a batch than features the correlations are near one
whatever z is, so a batch should have several times `hidden_size` samples.
"""

CONTRASTIVE = """Coordinated by contrast: a sample's representation in one modality is to be nearer to its own in another than to other samples'.

Source: van den Oord et al.: Representation learning with contrastive predictive coding. 2018; both directions as in CLIP (Radford et al., ICML 2021).

    L = weight sum_{i<j} InfoNCE(z_i, z_j);  fused = [z_1, ..., z_M]
"""

CMD = """Coordinated by central moment discrepancy: the modalities' representations are to be distributed alike.

Source: Zellinger et al.: Central moment discrepancy (CMD) for domain-invariant representation learning. ICLR 2017.

    L = weight sum_{i<j} CMD_K(sigmoid(z_i), sigmoid(z_j));  fused = [z_1, ..., z_M]
"""

ORTHOGONAL = """Coordinated by orthogonality: shared and private parts of each modality that do not say the same.

Source: Bousmalis et al.: Domain separation networks. NeurIPS 2016; Hazarika et al.: MISA. ACM MM 2020 (its difference loss alone).

    s_i = tanh(E_c z_i), p_i = tanh(E_i z_i);  L = weight (sum_i D(s_i, p_i) + sum_{i<j} D(p_i, p_j));  fused = [s_1, ..., s_M, p_1, ..., p_M]
"""

TENSOR = """Tensor fusion: one layer over the outer product of all modalities, ones appended, so that every interaction has its weight.

Source: Zadeh et al.: Tensor fusion network for multimodal sentiment analysis. EMNLP 2017 (its fusion alone; `tfn` is the whole method).

    h = W vec([z_1; 1] x ... x [z_M; 1]) + b;  prediction = linear(ReLU(h))
"""

LOW_RANK = """Low-rank tensor fusion: the layer over the outer product by factors of each modality, without building the product.

Source: Liu et al.: Efficient low-rank multimodal fusion with modality-specific factors. ACL 2018 (its fusion alone; `lmf` is the whole method).

    h = sum_r v_r prod_i [z_i; 1] w_i^(r) + b;  prediction = linear(ReLU(h))
"""

STRATEGIES = {
    "dcca": Method(reference=DCCA, family="constraint", Config=DCCAConfig, build=build_dcca),
    "contrastive": Method(reference=CONTRASTIVE, family="constraint", Config=ContrastiveConfig, build=build_contrastive),
    "cmd": Method(reference=CMD, family="constraint", Config=CMDConfig, build=build_cmd),
    "orthogonal": Method(reference=ORTHOGONAL, family="constraint", Config=OrthogonalConfig, build=build_orthogonal),
    "tensor": Method(reference=TENSOR, family="constraint", Config=TensorConfig, build=build_tensor),
    "low_rank": Method(reference=LOW_RANK, family="constraint", Config=LowRankConfig, build=build_low_rank),
}
