"""Encoder-decoder family: merge the modalities' representations directly."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Concatenate(nn.Module):
    """The representations side by side, in the card's order.

    Source: adaptive weight fusion (2024), Eq. (4), where `balanced` already carries the weights:
    Z_GB = [w_T Z_T, w_A Z_A, w_V Z_V].
    """

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor]) -> tuple[Float[Tensor, "batch feature"], dict[str, Tensor]]:
        return torch.cat(list(balanced.values()), dim=-1), {}
