"""Constraint family, tensor fusion: one linear layer over all products of the modalities' features, whole or in low rank.

    h = W vec([z_1; 1] x ... x [z_M; 1]) + b

    TensorFusion     W as it is: output x prod_i (d_i + 1) numbers
    LowRankFusion    W = sum_r v_r w_1^(r) x ... x w_M^(r): rank x sum_i (d_i + 1) x output numbers, and the tensor is never built

The appended ones keep every order: each modality alone, each pair, ..., all together.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from workbench.errors import ConfigError
from workbench.fusion.context import Context, Fused
from workbench.taps import Tap

LARGEST = 2**18
"""Most numbers of the outer product of one sample; TFN's own, 129 x 33 x 33, has 140,481."""


class TensorFusion(nn.Module):
    """The outer product of all modalities with ones appended, and a linear layer that reads it.

    Source: Zadeh et al.: Tensor fusion network for multimodal sentiment analysis (EMNLP 2017), section 4.2, for any number of modalities M:
        z^m = [z^l; 1] x [z^v; 1] x [z^a; 1],  and the first layer of the "sentiment inference subnetwork".

    Args:
        sizes: modality name to width d_i of z_i, in the card's order.
        output_size: width of h.
        dropout: share of the tensor's entries dropped in training.

    Raises:
        ConfigError: the tensor would have more than `LARGEST` entries.
    """

    def __init__(self, sizes: Mapping[str, int], output_size: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        widths = [size + 1 for size in sizes.values()]
        _check(widths)
        self.linear = nn.Linear(prod(widths), output_size)
        self.dropout = nn.Dropout(dropout)
        self.blocks = Tap("batch", "block", block=_names(tuple(sizes)))
        """Length of what each block of the tensor (a modality alone, a pair, ..., all) adds to h."""

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        values = list(balanced.values())
        if self.blocks.is_recorded:
            self.blocks(self.contributions(values))
        return self.linear(self.dropout(_outer([with_one(value) for value in values]))), {}

    def contributions(self, values: Sequence[Float[Tensor, "batch _"]]) -> Float[Tensor, "batch block"]:
        """The length of W times the tensor with all other blocks set to zero; the bias and the constant block (all ones) left out."""
        lengths = []
        for chosen in _blocks(len(values)):
            parts = [functional.pad(value, (0, 1)) if is_in else with_one(value * 0) for value, is_in in zip(values, chosen, strict=True)]
            lengths.append(torch.linalg.vector_norm(functional.linear(_outer(parts), self.linear.weight), dim=1))
        return torch.stack(lengths, dim=1)


class LowRankFusion(nn.Module):
    """The linear layer over the outer product, by factors of each modality, without the product.

    Source: Liu et al.: Efficient low-rank multimodal fusion with modality-specific factors (ACL 2018), section 3.2, for any number of modalities M:
        h = sum_{r=1}^R v_r prod_{i=1}^M [z_i; 1] w_i^(r) + b    (the product is taken feature by feature).
    The weights v of the ranks and the bias are those of the authors' experiments; with v = 1 and b = 0 it is the printed equation.
    Differs: each factor starts by Xavier's rule for a matrix, with deviation sqrt(2 / (d_i + 1 + output)). The authors' program gives the rule the
    whole `rank x (d_i + 1) x output` tensor, which takes the last axis for a receptive field: sqrt(2 / ((d_i + 1 + rank) output)), which is smaller.

    Args:
        sizes: modality name to width d_i of z_i, in the card's order.
        output_size: width of h.
        rank: number of factors R.
    """

    def __init__(self, sizes: Mapping[str, int], output_size: int, *, rank: int) -> None:
        super().__init__()
        # Not a plain list: its entries would be in no optimizer and no checkpoint. Pairs, because a dict would be sorted by name.
        self.factors = nn.ParameterDict([(name, nn.Parameter(torch.empty(rank, size + 1, output_size))) for name, size in sizes.items()])
        self.rank_weight = nn.Parameter(torch.empty(rank))
        self.bias = nn.Parameter(torch.zeros(output_size))
        self.strengths = Tap("batch", "modality", "factor", modality=tuple(sizes))
        """Length of [z_i; 1] w_i^(r): what each modality gives to each factor."""
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every factor and the rank weights by Xavier's rule, each as a matrix."""
        for factor in self.factors.values():
            nn.init.normal_(factor, std=(2 / sum(factor.shape[1:])) ** 0.5)
        nn.init.normal_(self.rank_weight, std=(2 / (1 + len(self.rank_weight))) ** 0.5)

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        parts = [torch.einsum("bi,rio->bro", with_one(value), self.factors[name]) for name, value in balanced.items()]
        if self.strengths.is_recorded:
            self.strengths(torch.stack([torch.linalg.vector_norm(part, dim=2) for part in parts], dim=1))
        joint = parts[0]
        for part in parts[1:]:
            joint = joint * part
        return torch.einsum("bro,r->bo", joint, self.rank_weight) + self.bias, {}


def with_one(z: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch longer"]:
    """A one appended: [z; 1]."""
    return functional.pad(z, (0, 1), value=1.0)


def _outer(values: Sequence[Tensor]) -> Tensor:
    """The outer product of one vector a modality, laid out flat: `batch prod(sizes)`, the last modality's index runs fastest."""
    joint = values[0]
    for value in values[1:]:
        joint = (joint[:, :, None] * value[:, None, :]).flatten(1)
    return joint


def _blocks(modalities: int) -> list[tuple[bool, ...]]:
    """Every choice of some modalities: the single ones first, then pairs, ..., all; the empty one left out."""
    chosen = [block[::-1] for block in product((False, True), repeat=modalities) if any(block)]
    return sorted(chosen, key=lambda block: (sum(block), [not is_in for is_in in block]))


def _names(modalities: Sequence[str]) -> tuple[str, ...]:
    """Names of the blocks: `text`, ..., `text x audio`, ..."""
    return tuple(" x ".join(name for name, is_in in zip(modalities, block, strict=True) if is_in) for block in _blocks(len(modalities)))


def largest_width(modalities: int, *, at_most: int) -> int:
    """The largest width, the same for all modalities, whose outer product has no more than `LARGEST` entries; 0 where none has."""
    return next((width for width in range(at_most, 0, -1) if (width + 1) ** modalities <= LARGEST), 0)


def _check(widths: Sequence[int]) -> None:
    """The outer product can be built.

    Raises:
        ConfigError: it cannot.
    """
    if prod(widths) <= LARGEST:
        return
    fitting = largest_width(len(widths), at_most=max(widths) - 1)
    raise ConfigError(
        f"the outer product of {len(widths)} modalities would have {' x '.join(str(width) for width in widths)} = {prod(widths):,} entries a sample",
        expected=f"at most {LARGEST:,}",
        do=f"tensor_size={fitting} or smaller; or lmf, whose size grows with the sum of the widths" if fitting else "lmf",
    )
