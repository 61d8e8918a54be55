"""Attention family: weigh the modalities by what they say."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

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

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor]) -> tuple[Float[Tensor, "batch feature"], dict[str, Tensor]]:
        z_balanced = torch.cat(list(balanced.values()), dim=-1)
        if self.attention is None:
            return z_balanced, {}
        detached = {name: value.detach() for name, value in z.items()}
        alpha = self.attention(detached)
        z_attention = torch.cat([alpha[:, i, None] * value for i, value in enumerate(detached.values())], dim=-1)
        return (z_balanced + z_attention) / 2, {}
