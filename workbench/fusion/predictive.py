"""Constraint family, a fused vector that predicts its modalities: the layers after concatenation, and contrastive predictive coding on top."""

from collections.abc import Mapping
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from workbench.fusion.constraint import unit
from workbench.fusion.context import Context, Fused
from workbench.sequences import is_exporting
from workbench.taps import Tap


class ConcatenatedLayers(nn.Module):
    """The representations side by side, dropout, then `layers` times (linear, activation).

    Source: Self-MM (AAAI 2021): F_m = ReLU(W [F_1, ..., F_M] + b); with two tanh layers MMIM (EMNLP 2021), its fusion network F.

    Args:
        sizes: width of z_i by modality name.
        size: width of the result.
        layers: linear layers.
        activation: after each, e.g. `nn.ReLU`.
        dropout: share of the inputs dropped in training.
    """

    def __init__(self, sizes: Mapping[str, int], size: int, *, layers: int = 1, activation: type[nn.Module] = nn.ReLU, dropout: float = 0.0) -> None:
        super().__init__()
        widths = [sum(sizes.values()), *[size] * layers]
        blocks = [nn.Sequential(nn.Linear(a, b), activation()) for a, b in pairwise(widths)]
        self.layers = nn.Sequential(nn.Dropout(dropout), *blocks)

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        return self.layers(torch.cat(list(balanced.values()), dim=-1)), {}


class PredictiveFusion(nn.Module):
    """The fused vector Z, and how well each modality's vector is found from it among those of the batch.

    Source: Han, Chen, Poria: MMIM (EMNLP 2021), section 3.4:
        s(h_m, Z) = exp(unit(h_m) . unit(G_m(Z))),  L_m = -mean_i log( s(h_m^i, Z^i) / sum_j s(h_m^j, Z^i) ),  L = sum_m L_m,
    j over the batch. A sample that lacks a modality is neither asked nor among the answers for it; alone in its batch it has nothing to be told from
    (L_m = 0).

    Args:
        sizes: width of z_i by modality name.
        fusion: `(balanced, z, context) -> (Z, losses)`.
        fused_size: width of Z.
        layers: linear layers of each G_m, tanh between them.
        weight: of the loss.
    """

    is_across_samples = True

    def __init__(self, sizes: Mapping[str, int], fusion: nn.Module, *, fused_size: int, layers: int = 1, weight: float = 0.1) -> None:
        super().__init__()
        self.fusion = fusion
        self.predictors = nn.ModuleDict({name: predictor(fused_size, size, layers=layers) for name, size in sizes.items()})
        self.similarity = Tap("batch", "modality", modality=tuple(sizes))
        self.weight = weight

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        fused, losses = self.fusion(balanced, z, context)
        cosines = {name: unit(self.predictors[name](fused)) @ unit(value).T for name, value in balanced.items()}
        if self.similarity.is_recorded:
            self.similarity(torch.stack([cosine.diagonal() for cosine in cosines.values()], dim=-1))
        contrast = torch.stack([contrastive_loss(cosine, context.present(name)) for name, cosine in cosines.items()]).sum()
        return fused, {**losses, "contrast": self.weight * contrast}


def predictor(size: int, output: int, *, layers: int) -> nn.Sequential:
    """G_m: `layers` linear layers with tanh between them."""
    inner = [block for _ in range(layers - 1) for block in (nn.Linear(size, size), nn.Tanh())]
    return nn.Sequential(*inner, nn.Linear(size, output))


def contrastive_loss(scores: Float[Tensor, "batch batch"], present: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
    """InfoNCE [nats]: the own one (diagonal) among the columns of the batch, over the samples that are present."""
    if is_exporting() or not bool(present.any()):
        return scores.sum() * 0
    scores = scores[present][:, present]
    return functional.cross_entropy(scores, torch.arange(len(scores), device=scores.device))
