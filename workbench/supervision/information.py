"""Mutual information between modalities as a loss: how well one modality's vector is foretold by the reference's, and how spread out it is."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from workbench.data.batch import Batch, TaskSpec
from workbench.supervision import Supervision
from workbench.supervision.polarity import groups, label_group

LIMIT = 5.0
"""Log variances stay within plus and minus this (smoothly): a perfectly foretold vector has no infinite likelihood."""

RIDGE = 1e-2
"""Added to each variance before a determinant is taken: fewer samples than features still have an entropy. Near exp(-LIMIT)."""


class ConditionalGaussian(nn.Module):
    """q(y | x): a Gaussian whose mean and log variance are two-layer networks of x, features independent."""

    def __init__(self, given: int, size: int, *, hidden_size: int) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.Linear(given, hidden_size), nn.ReLU(), nn.Linear(hidden_size, size))
        self.log_variance = nn.Sequential(nn.Linear(given, hidden_size), nn.ReLU(), nn.Linear(hidden_size, size))

    def forward(self, x: Float[Tensor, "batch given"], y: Float[Tensor, "batch size"]) -> Float[Tensor, " batch"]:
        """The log likelihood log q(y | x) of each sample [nats]."""
        log_variance = LIMIT * torch.tanh(self.log_variance(x) / LIMIT)
        squared = (y - self.mean(x)).square() * torch.exp(-log_variance)
        return -0.5 * (squared + log_variance + math.log(2 * math.pi)).sum(1)


class InformationBound(Supervision):
    """A lower bound on the mutual information between the reference modality and each other one, made large.

    Source: Han, Chen, Poria: MMIM (EMNLP 2021), section 3.3, after Barber and Agakov:
        I(x; y) >= E[log q(y | x)] + H(y),   loss = - sum_m of the bound for (reference, m)
        H(y): samples fall into groups by their label, each a Gaussian N(mu_c, Sigma_c) with weight 1/C;
              H(y) ~ 1/C sum_c 1/2 log det(2 pi e Sigma_c)                                (two groups: 1/4 log(det Sigma_1 det Sigma_2) + const.)
    Groups: positive and negative labels (neutral ones in neither); one a class; all together with several labels. Sigma_c is estimated from the
    batch, through which the gradient flows, and from the last `memory` samples before it, through which it does not.

    Decides:
    - Constants are kept, so the term is minus a bound in nats.
    - Variances have a ridge, log variances a limit; a group with fewer than two vectors is left out of the mean.
    - A sample that lacks a modality is left out of its entropy, and of the likelihood of every pair that it cannot form.

    Args:
        sizes: width of z_i by modality name.
        reference: the modality x.
        hidden_size: width of q's layers.
        task: what is predicted.
        weight: of the loss.
        memory: samples of past batches that are kept for the entropy.
    """

    def __init__(self, sizes: Mapping[str, int], *, reference: str, hidden_size: int, task: TaskSpec, weight: float, memory: int) -> None:
        super().__init__()
        self.reference, self.task, self.weight = reference, task, weight
        self.sizes = {name: size for name, size in sizes.items() if name != reference}
        self.likelihood = nn.ModuleDict(
            {name: ConditionalGaussian(sizes[reference], size, hidden_size=hidden_size) for name, size in self.sizes.items()}
        )
        self.register_buffer("rows", torch.zeros(memory, sum(self.sizes.values())))
        self.register_buffer("group", torch.full((memory, len(self.sizes)), -1))

    def begin_epoch(self, number: int) -> None:
        if number == 1:
            self.group.fill_(-1)

    def forward(self, output, batch: Batch) -> dict[str, Tensor]:  # noqa: ANN001 - an Output of `workbench.model`, which imports this package
        z = {name: value.to(self.rows.dtype) for name, value in output.representations.items()}
        present = {name: batch[name].mask.any(1) for name in z}
        own = label_group(batch.target, self.task)
        group = torch.stack([torch.where(present[name], own, -1) for name in self.sizes], dim=1)
        past = self.rows.split(list(self.sizes.values()), dim=1)
        losses = {}
        for i, name in enumerate(self.sizes):
            log_q = mean_over(self.likelihood[name](z[self.reference], z[name]), present[name] & present[self.reference])
            entropy = mixture_entropy(torch.cat([z[name], past[i]]), torch.cat([group[:, i], self.group[:, i]]), groups=groups(self.task))
            losses[f"information_{name}"] = -self.weight * (log_q + entropy)
        self._remember(torch.cat([z[name] for name in self.sizes], dim=1), group)
        return losses

    @torch.no_grad()
    def _remember(self, rows: Tensor, group: Tensor) -> None:
        """Keeps the newest samples, the batch's first."""
        self.rows = torch.cat([rows.detach(), self.rows])[: len(self.rows)]
        self.group = torch.cat([group, self.group])[: len(self.group)]


def mean_over(values: Float[Tensor, " batch"], chosen: Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
    """The mean of the chosen values; 0 where none is."""
    return torch.where(chosen, values, 0).sum() / chosen.sum().clamp_min(1)


def mixture_entropy(rows: Float[Tensor, "sample feature"], group: Int[Tensor, " sample"], *, groups: int) -> Float[Tensor, ""]:
    """The mean entropy of one Gaussian a group [nats], over the groups with at least two rows; 0 where there is none.

    Args:
        rows: vectors.
        group: group of each, -1: in none.
        groups: how many there are.
    """
    member = functional.one_hot(group + 1, groups + 1)[:, 1:].to(rows.dtype)
    count = member.sum(0).clamp_min(1)
    centred = rows[None] - ((member.T @ rows) / count[:, None])[:, None]
    covariance = (centred * member.T[:, :, None]).transpose(1, 2) @ centred / count[:, None, None]
    spread = torch.linalg.slogdet(covariance + RIDGE * torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)).logabsdet
    entropy = 0.5 * (spread + rows.shape[1] * (math.log(2 * math.pi) + 1))
    return mean_over(entropy, member.sum(0) >= 2)
