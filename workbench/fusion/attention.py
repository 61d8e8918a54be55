"""Attention family: weigh the modalities, or their steps, by what they say. Attention from one modality to another: `crossmodal.py`.

    ModalityAttention, AdaptiveWeightFusion    one weight a modality (adaptive weight fusion)
    IntraAttention                             each modality's steps attend to each other, modality by modality
    JointAttention                             all steps of all modalities are one sequence

Source: Hou: Techniques for deep fusing multimodal data (talk, 2024): attention-based fusion, intra-modality and transformer.
"""

import math
from collections.abc import Collection, Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.attention import Transformer, positions
from workbench.fusion.context import Context, Fused
from workbench.sequences import masked_mean
from workbench.taps import Tap


class ModalityAttention(nn.Module):
    """One weight in (0, 1) for each modality of each sample, from the average of its representation.

    Source: adaptive weight fusion (2024), Eqs. (11), (12):
        h = ReLU(avgpool[Z_T, Z_A, Z_V] W_1),  alpha = sigmoid(h W_2),  W_1, W_2 of shape modality x modality, no bias.
    """

    def __init__(self, modalities: Sequence[str]) -> None:
        super().__init__()
        self.hidden = nn.Linear(len(modalities), len(modalities), bias=False)
        self.output = nn.Linear(len(modalities), len(modalities), bias=False)
        self.alpha = Tap("batch", "modality", modality=tuple(modalities))

    def forward(self, z: Mapping[str, Tensor]) -> Float[Tensor, "batch modality"]:
        pooled = torch.stack([value.mean(-1) for value in z.values()], dim=-1)
        return self.alpha(torch.sigmoid(self.output(torch.relu(self.hidden(pooled)))))


class AdaptiveWeightFusion(nn.Module):
    """B-fusion and A-fusion together: Z = (Z_GB + Z_ATT) / 2.

    Source: adaptive weight fusion (2024), Eqs. (4), (13) and Algorithm 1, line 7:
        Z_GB = [w_i Z_i],  Z_ATT = [alpha_i Z_i],  Z = (Z_GB + Z_ATT) / 2.
    Decides: A-fusion "has no effect on the learning of the unimodal networks" (section 1), so Z_i is detached on its path.

    Args:
        modalities: names in the card's order.
        has_attention: False gives Z = Z_GB, the paper's ablation "(-) A-fusion" (Table 9).
    """

    def __init__(self, modalities: Sequence[str], *, has_attention: bool = True) -> None:
        super().__init__()
        self.attention = ModalityAttention(modalities) if has_attention else None

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        z_balanced = torch.cat(list(balanced.values()), dim=-1)
        if self.attention is None:
            return z_balanced, {}
        detached = {name: value.detach() for name, value in z.items()}
        alpha = self.attention(detached)
        z_attention = torch.cat([alpha[:, i, None] * value for i, value in enumerate(detached.values())], dim=-1)
        return (z_balanced + z_attention) / 2, {}


class IntraAttention(nn.Module):
    """Self-attention inside each modality's steps, the mean over its real steps, then the modalities side by side.

        fused = [mean_t SA_i(Z_i)]_i,  SA_i a transformer of modality i's own.

    Args:
        size: width d of every modality.
        modalities: names in the card's order.
        heads, layers, dropout: of each transformer (`workbench.attention`).
        single: modalities of one step (vectors, images), whose attention has nothing to choose.
    """

    def __init__(
        self, size: int, modalities: Sequence[str], *, heads: int, layers: int = 1, dropout: float = 0.0, single: Collection[str] = ()
    ) -> None:
        super().__init__()
        self.streams = nn.ModuleDict(
            {
                name: Transformer(
                    size, layers=layers, heads=heads, dropout=dropout, is_single=name in single, axes=(f"{name}_time", f"{name}_time_attended")
                )
                for name in modalities
            }
        )
        self.size = size * len(modalities)

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        masks = context.masks
        pooled = [masked_mean(stream(balanced[name], masks[name]), masks[name]) for name, stream in self.streams.items()]
        return torch.cat(pooled, dim=-1), {}


class JointAttention(nn.Module):
    """A transformer over all steps of all modalities as one sequence.

        x = [sqrt(d) Z_i + positions + e_i]_i,  e_i a learned vector for each modality
        fused = mean over the real tokens of Transformer(x), or the state of a learned token that is added (CLS)

    Positions are sinusoidal and count inside each modality, so lengths need not agree. The added token stands last, so that the last layer is
    computed for it alone.

    Args:
        size: width d of every modality.
        modalities: names in the card's order.
        heads, layers, dropout: of the transformer (`workbench.attention`).
        has_cls: read an added token instead of the mean.
    """

    def __init__(self, size: int, modalities: Sequence[str], *, heads: int, layers: int = 1, dropout: float = 0.0, has_cls: bool = False) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.embedding = nn.Parameter(torch.randn(len(self.modalities), size))
        self.cls = nn.Parameter(torch.randn(size)) if has_cls else None
        axes = ("token", "token_attended")
        self.transformer = Transformer(size, layers=layers, heads=heads, dropout=dropout, has_positions=False, axes=axes)
        self.size = size

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        tokens, mask = self._tokens(balanced, context.masks)
        if self.cls is None:
            return masked_mean(self.transformer(tokens, mask), mask), {}
        tokens = torch.cat([tokens, self.cls.expand(tokens.shape[0], 1, -1)], dim=1)
        mask = torch.cat([mask, mask.new_ones(mask.shape[0], 1)], dim=1)
        return self.transformer(tokens, mask, is_last_only=True)[:, 0], {}

    def _tokens(
        self, balanced: Mapping[str, Tensor], masks: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, "batch token size"], Bool[Tensor, "batch token"]]:
        """All steps one after the other, each with its place and its modality."""
        placed = [
            math.sqrt(self.size) * balanced[name] + positions(balanced[name].shape[1], self.size).to(balanced[name]) + self.embedding[i]
            for i, name in enumerate(self.modalities)
        ]
        return torch.cat(placed, dim=1), torch.cat([masks[name] for name in self.modalities], dim=1)
