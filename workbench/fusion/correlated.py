"""Correlated fusion: representations that are made to correlate across modalities, one after the other in time, and one attention over all of them.

    StepNetwork        two convolutions over time: the encoders E_M and decoders D_M
    FusedAttention     softmax(Q K^T / sqrt(d_t)) V over the steps of all modalities                  Eqs. (14)-(16)
    CorrelatedFusion   deep canonical correlation, skip connections, attention                        Eqs. (13)-(16)

Source: Panchal: Hierarchical delta-attention method for multimodal fusion (2020), sections 4.2, 4.3; see `workbench.methods.delta_attention`.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from workbench.attention import attend, heads_of
from workbench.errors import ConfigError
from workbench.fusion.constraint import canonical_correlations
from workbench.fusion.context import Context, FusedWithParts
from workbench.sequences import Steps, common_steps, masked_mean, resampled
from workbench.taps import Tap

Skip = Literal["added", "beside", "none"]
Pooling = Literal["modality", "steps"]
PART = "correlated"
"""Name of what the fusion tells beside its result (`Output.parts`)."""


class StepNetwork(nn.Module):
    """Two convolutions over time with a ReLU between: zeros where a step is not real, before each, so that padding never tells.

    Args:
        size, inner, width: features that it takes, has between, and gives.
        kernel: steps that each convolution sees; of an even number one more lies ahead.
    """

    def __init__(self, size: int, inner: int, width: int, *, kernel: int) -> None:
        super().__init__()
        self.ends = ((kernel - 1) // 2, kernel // 2)
        self.first = nn.Conv1d(size, inner, kernel)
        self.second = nn.Conv1d(inner, width, kernel)

    def forward(self, values: Float[Tensor, "batch time size"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch time width"]:
        is_real = mask[:, None]
        inner = self.first(functional.pad(values.transpose(1, 2) * is_real, self.ends)).relu()
        return (self.second(functional.pad(inner * is_real, self.ends)) * is_real).transpose(1, 2)


class FusedAttention(nn.Module):
    """Self-attention without an output map, Eqs. (14)-(16); zeros for a sample without a real step.

    Queries and values have a bias, as section 4.1 says; keys have none, since softmax takes it out again.

    Args:
        size: features of a step.
        width: d_t, of all heads together.
        heads: number of heads.
    """

    def __init__(self, size: int, width: int, *, heads: int = 1) -> None:
        super().__init__()
        if width % heads:
            raise ConfigError(f"a width of {width} cannot be shared by {heads} heads", expected="heads that divide the fused width (post_size)")
        self.heads = heads
        self.query = nn.Linear(size, width)
        self.key = nn.Linear(size, width, bias=False)
        self.value = nn.Linear(size, width)
        self.weights = Tap("batch", "head", "step", "step_attended")

    def forward(self, values: Float[Tensor, "batch step size"], mask: Bool[Tensor, "batch step"]) -> Float[Tensor, "batch step width"]:
        q, k, v = (heads_of(part(values), self.heads) for part in (self.query, self.key, self.value))
        admitted = mask[:, None, None, :]
        has_key = admitted.any(-1, keepdim=True)
        attended = attend(q, k, v, admitted, has_key, tap=self.weights) * has_key
        return attended.transpose(1, 2).flatten(2)


class CorrelatedFusion(nn.Module):
    """Each modality's steps encoded so that the modalities correlate, all of them one after the other, attention, and the mean.

        Y^_M = E_M(Y_M),  L_corr = - weight sum_{M<N} sum_k rho_k(Y^_M, Y^_N)                                                    Eq. (13)
        L_rec = weight sum_M ||Y_M - (m + s D_M(Y^_M))||^2 / ||Y_M - m||^2,  m, s: mean and spread of Y_M, over the real steps of the batch
        Y^_fused = [Y^_M + S_M Y_M]_M along time,  Z = softmax(Q K^T / sqrt(d_t)) V,  fused = mean Z                              Eqs. (14)-(16)

    Decides:
    - Total correlation, summed over all pairs of modalities: any number of them (`workbench.fusion.constraint.canonical_correlations`).
    - Every real step of a batch is a sample of the correlation. A pair of sequences meets on the steps of the one whose longest sample is shorter
      (of the first where they are equal), the other one by means over equal shares of its time; a vector stands at every step of a sequence, and two
      vectors are one step. Steps that only one of them has are left out.
    - What is to be reconstructed is a constant of L_rec: Y_M does not learn to be easy (see `unexplained`).
    - Parts: the means of Y^_M over the real steps, side by side, cut off from the gradient: a readout of them does not shape them.
    - The terms are computed where E_M learn, or where somebody records a tap.

    Args:
        size: width d_o of every Y_M.
        lengths: modality name to the steps of its longest sample, in the card's order.
        correlated_size: d_r, width of Y^_M.
        fused_size: d_t.
        inner_size: width between the two convolutions of E_M and D_M; None: d_o.
        kernel: steps that each of these sees; a modality of one step has 1.
        heads: of the attention.
        skip: S_M Y_M added to Y^_M, beside it, or left out.
        pooling: the mean over each modality's real steps, then over the modalities that a sample has; or the mean over all real steps.
        correlation, reconstruction: weights of the terms.
        ridge: see `canonical_correlations`.
        has_correlation: False: no E_M and D_M; S_M Y_M is all that the attention reads.
        dropout: of the fused vector.
    """

    def __init__(
        self,
        size: int,
        lengths: Mapping[str, int],
        *,
        correlated_size: int,
        fused_size: int,
        inner_size: int | None = None,
        kernel: int = 3,
        heads: int = 1,
        skip: Skip = "added",
        pooling: Pooling = "modality",
        correlation: float = 1.0,
        reconstruction: float = 1.0,
        ridge: float = 1e-3,
        has_correlation: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not has_correlation and skip == "none":
            raise ConfigError("without correlated representations and without skip connections nothing reaches the fusion", do="skip=added")
        self.modalities, self.skipping, self.pooling, self.has_correlation = tuple(lengths), skip, pooling, has_correlation
        self.is_across_samples = has_correlation
        self.correlation_weight, self.reconstruction_weight, self.ridge = correlation, reconstruction, ridge
        inner = inner_size or size
        encoded = lengths if has_correlation else {}
        kernels = {name: 1 if length == 1 else kernel for name, length in encoded.items()}
        self.encode = nn.ModuleDict({name: StepNetwork(size, inner, correlated_size, kernel=kernels[name]) for name in encoded})
        self.decode = nn.ModuleDict({name: StepNetwork(correlated_size, inner, size, kernel=kernels[name]) for name in encoded})
        self.skip = nn.ModuleDict({name: nn.Linear(size, correlated_size) for name in lengths} if skip != "none" else {})
        self.attention = FusedAttention(correlated_size * (1 + (has_correlation and skip == "beside")), fused_size, heads=heads)
        self.dropout = nn.Dropout(dropout)
        self.size, self.part_size = fused_size, correlated_size * len(self.modalities)
        self.pairs = [meeting(one, other, lengths) for one, other in combinations(lengths, 2)]
        names = tuple(" x ".join(pair) for pair in combinations(lengths, 2))
        self.correlations = Tap("pair", "component", pair=names)
        self.total = Tap("pair", pair=names)

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> FusedWithParts:
        masks = context.masks
        encoded = {name: network(balanced[name], masks[name]) for name, network in self.encode.items()}
        steps = [self._step(name, balanced[name], encoded) for name in self.modalities]
        mask = torch.cat([masks[name] for name in self.modalities], dim=1)
        attended = self.attention(torch.cat(steps, dim=1), mask)
        fused = masked_mean(attended, mask) if self.pooling == "steps" else self._by_modality(attended, masks)
        means = [masked_mean(value, masks[name]) for name, value in encoded.items()]
        parts = {PART: torch.cat(means, dim=1).detach()} if means else {}
        return self.dropout(fused), self._losses(balanced, encoded, masks), parts

    def _step(self, name: str, values: Tensor, encoded: Mapping[str, Tensor]) -> Tensor:
        """What the attention reads of one modality."""
        own = [encoded[name]] if self.has_correlation else []
        if self.skipping != "none":
            own.append(self.skip[name](values))
        return torch.cat(own, dim=2) if self.skipping == "beside" else sum(own[1:], own[0])

    def _by_modality(self, attended: Tensor, masks: Mapping[str, Tensor]) -> Float[Tensor, "batch width"]:
        """The mean over the real steps of each modality, then over the modalities that a sample has."""
        parts = attended.split([masks[name].shape[1] for name in self.modalities], dim=1)
        means = torch.stack([masked_mean(part, masks[name]) for part, name in zip(parts, self.modalities, strict=True)], dim=1)
        return masked_mean(means, torch.stack([masks[name].any(1) for name in self.modalities], dim=1))

    def _losses(self, y: Mapping[str, Tensor], encoded: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weighted terms, where they are wanted."""
        learns = self.training and any(p.requires_grad for p in self.encode.parameters())
        losses = {}
        if self.has_correlation and (learns or self.correlations.is_recorded or self.total.is_recorded):
            found = [self._correlations(first, second, encoded, masks) for first, second in self.pairs]
            total = self.total(self.correlations(torch.stack(found)).sum(1))
            losses["correlation"] = -self.correlation_weight * total.sum()
        if not learns:
            return {}
        shares = [unexplained(y[name].detach(), network(encoded[name], masks[name]), masks[name]) for name, network in self.decode.items()]
        return {**losses, "reconstruction": self.reconstruction_weight * torch.stack(shares).sum()}

    def _correlations(self, first: str, second: str, values: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Float[Tensor, " component"]:
        """The canonical correlations of two modalities over the steps that both have, on those of the first."""
        steps = met_steps(Steps(values[first], masks[first]), Steps(values[second], masks[second]))
        return canonical_correlations(*steps, ridge=self.ridge)


def met_steps(first: Steps, second: Steps) -> tuple[Float[Tensor, "step left"], Float[Tensor, "step right"]]:
    """The steps that two modalities of the same samples both have, on those of the first: one row a step, all samples one after the other."""
    onto = common_steps({"first": first.mask}, "first", has_gaps=False)
    is_real = second.mask[:, :, None].to(second.values.dtype)
    brought = resampled(torch.cat([second.values, is_real], dim=2), second.mask, onto)
    both = first.mask & (brought[:, :, -1] > 0)
    return first.values[both], brought[:, :, :-1][both]


def meeting(one: str, other: str, lengths: Mapping[str, int]) -> tuple[str, str]:
    """A pair in the order in which the second is brought onto the steps of the first: the shorter sequence, any sequence before a vector."""
    first, second = sorted((one, other), key=lambda name: (lengths[name] == 1, lengths[name]))
    return first, second


def unexplained(
    values: Float[Tensor, "batch time size"], said: Float[Tensor, "batch time size"], mask: Bool[Tensor, "batch time"]
) -> Float[Tensor, ""]:
    """The share of the variance of all real steps that is not told: 0 all of it, 1 no better than the mean. 0 where nothing varies.

    What is said is each step's distance from the batch's mean in units of the spread over all features: how small a representation is makes the share
    neither large nor hard to bring down.
    """
    real, said = values[mask], said[mask]
    if not len(real):
        return said.sum()
    centred = real - real.mean(0)
    variance = centred.square().mean()
    varies = variance > 1e-6 * real.square().mean()  # equal rows differ from their mean by rounding
    error = (centred / torch.where(varies, variance, 1).sqrt() - said).square().mean()
    return torch.where(varies, error, 0 * error)
