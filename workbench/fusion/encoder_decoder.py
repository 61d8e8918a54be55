"""Encoder-decoder family: merge the modalities' representations directly, once or at several levels, or merge their decisions.

    Concatenate          vectors side by side
    Merge                addition, multiplication, concatenation, or cross product of vectors or steps
    HierarchicalFusion   merged at every layer of the modalities' own networks
    DecisionFusion       one prediction a modality, then their vote, average, or learned mean

Merging raw steps is in `workbench.fusion.raw`, the decoder in `workbench.fusion.reconstruction`.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import isqrt
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.errors import ConfigError
from workbench.fusion.context import Context, Fused
from workbench.taps import Tap

MergeKind = Literal["add", "multiply", "concatenate", "cross"]

LARGEST = 2**16
"""Most numbers of a cross product; the layer that reads it has `hidden_size` times as many weights, at every level."""


class Concatenate(nn.Module):
    """The representations side by side, in the card's order.

    Source: adaptive weight fusion (2024), Eq. (4), where `balanced` already carries the weights:
    Z_GB = [w_T Z_T, w_A Z_A, w_V Z_V].
    """

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        return torch.cat(list(balanced.values()), dim=-1), {}


class Merge(nn.Module):
    """One vector of several, by one of the four merges of the survey talk.

        add           sum_i x_i
        multiply      prod_i x_i, feature by feature
        concatenate   [x_1, ..., x_M]
        cross         [(U_i x_i + b_i) (U_j x_j + b_j)^T for all pairs i < j], each matrix laid out flat

    Decides: where a modality is missing, it stands as ones in products (so what the others say is kept) and as zeros elsewhere; the U_i bring the
    cross product's factors to `cross_size`, so that it has pairs x cross_size^2 numbers and not pairs x size^2.

    Args:
        modalities: names in the card's order.
        size: width of each x_i.
        kind: which merge.
        cross_size: width of a factor of the cross product.

    Raises:
        ConfigError: the cross product would have more than `LARGEST` numbers.
    """

    def __init__(self, modalities: Sequence[str], size: int, kind: MergeKind, *, cross_size: int = 8) -> None:
        super().__init__()
        self.kind = kind
        if kind == "cross":
            _check_cross(len(modalities), cross_size)
        self.factors = nn.ModuleDict({name: nn.Linear(size, cross_size) for name in modalities} if kind == "cross" else {})
        pairs = len(modalities) * (len(modalities) - 1) // 2
        self.size = {"concatenate": size * len(modalities), "cross": pairs * cross_size**2}.get(kind, size)

    def forward(self, values: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """The merged vector or steps.

        Args:
            values: modality name to `batch feature` or `batch time feature`, zeros where it is missing.
            present: modality name to `batch` or `batch time`, True where it is there.
        """
        if self.kind == "concatenate":
            return torch.cat(list(values.values()), dim=-1)
        if self.kind == "add":
            return torch.stack(list(values.values())).sum(0)
        factors = {name: self.factors[name](value) for name, value in values.items()} if self.kind == "cross" else values
        factors = [torch.where(present[name][..., None], value, 1) for name, value in factors.items()]
        if self.kind == "cross":
            merged = torch.cat([(a[..., :, None] * b[..., None, :]).flatten(-2) for a, b in combinations(factors, 2)], dim=-1)
        else:
            merged = factors[0]
            for factor in factors[1:]:
                merged = merged * factor
        return merged * torch.stack(list(present.values())).any(0)[..., None]


def _check_cross(modalities: int, cross_size: int) -> None:
    """The cross product can be built.

    Raises:
        ConfigError: it cannot.
    """
    pairs = modalities * (modalities - 1) // 2
    if pairs * cross_size**2 <= LARGEST:
        return
    raise ConfigError(
        f"the cross product of {modalities} modalities would have {pairs} x {cross_size} x {cross_size} = {pairs * cross_size**2:,} numbers",
        expected=f"at most {LARGEST:,}",
        do=f"cross_size={isqrt(LARGEST // pairs)} or smaller, or another merge",
    )


class HierarchicalFusion(nn.Module):
    """Fusion at feature level in several steps: each layer of the modalities' networks is merged, on top of what was merged below.

        h_i^0 = z_i,  h_i^l = ReLU(U_i^l h_i^{l-1} + b_i^l)
        f^0 = ReLU(V^0 merge(h_1^0, ..., h_M^0) + c^0),  f^l = ReLU(V^l [merge(h_1^l, ..., h_M^l), f^{l-1}] + c^l)

    Source: "hierarchical feature fusion" of the survey talk (Fig. 2 B). `fused` is f of the last level.

    Args:
        modalities: names in the card's order.
        size: width of each z_i, h_i^l and f^l.
        levels: how often the modalities are merged, two or more.
        kind, cross_size: see `Merge`.
    """

    def __init__(self, modalities: Sequence[str], size: int, *, levels: int, kind: MergeKind, cross_size: int = 8) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleDict({name: nn.Linear(size, size) for name in modalities}) for _ in range(levels - 1))
        self.merges = nn.ModuleList(Merge(modalities, size, kind, cross_size=cross_size) for _ in range(levels))
        self.joint = nn.ModuleList(nn.Linear(merge.size + size * (level > 0), size) for level, merge in enumerate(self.merges))
        self.levels = Tap("batch", "level", "feature")

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        present = {name: context.present(name) for name in balanced}
        h, fused = dict(balanced), []
        for level, (merge, joint) in enumerate(zip(self.merges, self.joint, strict=True)):
            if level:
                # A layer's bias would make a missing modality speak.
                h = {name: torch.relu(self.layers[level - 1][name](value)) * present[name][:, None] for name, value in h.items()}
            fused.append(torch.relu(joint(torch.cat([merge(h, present), *fused[-1:]], dim=-1))))
        return self.levels(torch.stack(fused, dim=1))[:, -1], {}


class DecisionFusion(nn.Module):
    """Fusion at decision level: one head a modality, and a combination p of their decisions p_i over the modalities that a sample has.

        average   p = mean_i p_i
        learned   p = sum_i softmax(w)_i p_i, one number w_i a modality
        vote      scores of classes: p = log mean_i softmax(p_i / t); of labels: p = log-odds of mean_i sigmoid(p_i / t)
                  regression: p = sum_i a_i p_i, a = softmax_i(-mean_j |p_i - p_j| / t)

    Source: "decision-level fusion" of the survey talk (Fig. 2 C).
    Decides: a vote is differentiable, and the same in training and after. As t goes to 0 it becomes one vote a modality and the majority wins; of
    numbers it becomes the decision that is nearest to the others (like a median, it does not follow an outlier). A sample without any modality takes
    them all.
    `average` and `learned` are additive: p = sum_i g_i(x_i) for samples that have all modalities. No choice of the heads can make such a p tell an
    exclusive-or of two modalities; what only their combination says needs a fusion below the decisions.

    Args:
        heads: modality name to a module `batch feature -> batch outputs`, in the card's order.
        combine: how the decisions become one.
        task: kind of the task (`workbench.data.batch.TaskSpec`).
        outputs: numbers a decision.
        temperature: t of the vote, in units of the decisions.
    """

    def __init__(
        self,
        heads: Mapping[str, nn.Module],
        *,
        combine: Literal["average", "learned", "vote"],
        task: Literal["regression", "multiclass", "multilabel"],
        outputs: int,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(heads)
        self.combine, self.task, self.temperature = combine, task, temperature
        self.weight = nn.Parameter(torch.zeros(len(heads))) if combine == "learned" else None
        names = tuple(heads)
        self.decisions = Tap("batch", "modality", *(("output",) if outputs > 1 else ()), modality=names)
        self.weights = Tap("batch", "modality", modality=names)

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        decisions = torch.stack([self.heads[name](value) for name, value in balanced.items()], dim=1)
        seen = self.decisions(decisions.squeeze(-1) if decisions.shape[-1] == 1 else decisions)
        decisions = seen.reshape(decisions.shape)
        present = torch.stack([context.present(name) for name in balanced], dim=1)
        weights = self.weights(self._weights(decisions, present | ~present.any(1, keepdim=True)))[:, :, None]
        if self.combine != "vote" or self.task == "regression":
            return (weights * decisions).sum(1), {}
        chance = weights.log()
        if self.task == "multiclass":
            return (chance + functional.log_softmax(decisions / self.temperature, -1)).logsumexp(1), {}
        yes, no = (functional.logsigmoid(sign * decisions / self.temperature) for sign in (1, -1))
        return (chance + yes).logsumexp(1) - (chance + no).logsumexp(1), {}

    def _weights(self, decisions: Tensor, present: Tensor) -> Tensor:
        """What each modality's decision counts, `batch modality`; 0 where it is missing."""
        if self.combine == "learned":
            scores = self.weight.expand(present.shape)
        elif self.combine == "vote" and self.task == "regression":
            other = present[:, None, :].to(decisions.dtype)
            apart = (decisions - decisions.transpose(1, 2)).abs()
            scores = -(apart * other).sum(2) / other.sum(2) / self.temperature
        else:
            scores = torch.zeros_like(present, dtype=decisions.dtype)
        return scores.masked_fill(~present, -torch.inf).softmax(1)
