"""Gradient blending: joint and unimodal losses weighted by how well each generalises against how fast it overfits.

    every super-epoch of n epochs, for the joint loss and each unimodal one, with L^T on train and L^V on a part of train that is held out:
        O_i = growth of (L^V_i - L^T_i) over the super-epoch         overfitting
        G_i = fall of L^V_i over the super-epoch                     generalisation
        w_i = G_i / O_i^2, scaled to sum to 1
    L = w_0 L_task + sum_m w_m L(head_m(z_m), y)

Source: Wang, Tran, Feiszli: What makes training multi-modal classification networks hard? CVPR 2020 (online G-Blend); reference [2] of adaptive
weight fusion (2024).

Differs:
- The paper trains a copy of the model with each loss alone for a super-epoch to measure its O and G, then trains on with the weights. Here they are
  measured on the one training that there is, from the heads: the price is two passes over train in evaluation mode a super-epoch and not
  M + 1 further trainings, and the losses that are measured have learned together.
- So the first super-epoch has equal weights: nothing is known before it.
Decides:
- The held-out part is taken from train, never from valid (which selects): `held_out` of its rows, whole groups (videos, speakers) where groups are
  known, by the plan's seed. It is not learned from while the rule is on, and the run says how large it was.
- A G below zero counts as 0 (the best weight of a loss whose held-out part rises is negative); |O| is at least `floor` (in units of the loss). Where
  every G is at most 0 the weights stay.
- A super-epoch of 5 epochs (public code re-estimates every 10; trainings here have 30 at most by default).
- `strength=0` is off, to the last bit: nothing is held out then.
With Adam: as the weights sum to 1 the joint gradient becomes smaller, which Adam divides out; the unimodal losses turn it, which it does not.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from workbench.balance.weighted import WeightedLosses
from workbench.data.batch import Split
from workbench.errors import DataError

HAS_HEADS = True


class Config(BaseModel):
    """Gradient blending's settings."""

    model_config = ConfigDict(extra="forbid")

    super_epoch: int = Field(5, ge=1, le=100_000, description="epochs between two estimates of the weights")
    held_out: float = Field(0.1, gt=0, le=0.5, description="share of train that is held out to measure overfitting on; not learned from")
    floor: float = Field(0.01, gt=0, le=10, description="smallest |O| that is divided by, in units of the loss")
    strength: float = Field(1.0, ge=0, le=1, description="1: the weighted losses; 0: the task loss alone; between: a mixture")


def build(config: Config, widths: Mapping[str, int], outputs: int) -> "GradientBlending":
    """The rule for these modalities."""
    return GradientBlending(widths, outputs, config=config)


def blended(
    overfitting: Float[Tensor, " loss"], generalisation: Float[Tensor, " loss"], before: Float[Tensor, " loss"], *, floor: float
) -> Float[Tensor, " loss"]:
    """w_i = G_i / O_i^2, scaled to sum to 1; the weights from before where no G is above zero."""
    raw = generalisation.clamp_min(0) / overfitting.abs().clamp_min(floor).square()
    total = raw.sum()
    return torch.where(total > 0, raw / torch.where(total > 0, total, 1), before)


def held_out_rows(split: Split, share: float, seed: int) -> Tensor:
    """Row numbers (sorted) of about a share of a split: whole groups where there are two or more, else single rows; never all.

    Raises:
        DataError: the split has fewer than two samples.
    """
    if len(split) < 2:
        raise DataError("gradient blending holds out a part of train, and train has one sample", expected="two or more", do="take another rule")
    names = list(dict.fromkeys(split.groups)) if split.groups is not None else []
    by_group = len(names) > 1
    count = len(names) if by_group else len(split)
    place = {name: i for i, name in enumerate(names)}
    owner = torch.tensor([place[name] for name in split.groups]) if by_group else torch.arange(count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    sizes = torch.bincount(owner, minlength=count)[order].cumsum(0)
    # Groups until the share is reached, at least one; one at least stays.
    chosen = order[: min(int((sizes < share * len(split)).sum()) + 1, count - 1)]
    return torch.isin(owner, chosen).nonzero()[:, 0]


class GradientBlending(WeightedLosses):
    """The weights w, and what they are made from.

    Args:
        widths, outputs: see `WithHeads`.
        config: settings.
    """

    def __init__(self, widths: Mapping[str, int], outputs: int, *, config: Config) -> None:
        super().__init__(widths, outputs, start=1 / (1 + len(widths)), strength=config.strength)
        self.config = config
        count = 1 + len(widths)
        self.register_buffer("measured", torch.zeros(2, count))  # L^T and L^V at the start of the super-epoch, joint first.
        self.register_buffer("overfitting", torch.full((count,), torch.nan))
        self.register_buffer("generalisation", torch.full((count,), torch.nan))
        self._rows: dict[str, Tensor] = {}

    def hold_out(self, split: Split, seed: int) -> Tensor | None:
        if not self.is_on:
            return None
        held = held_out_rows(split, self.config.held_out, seed)
        kept = torch.ones(len(split), dtype=torch.bool)
        kept[held] = False
        self._rows = {"train": kept.nonzero()[:, 0], "held_out": held}
        return held

    @torch.no_grad()
    def look(self, number: int, ask: Callable[[Tensor | None], Any]) -> None:
        """At the start of each super-epoch: what the last one brought, and the weights of the next."""
        if not self.is_on or (number - 1) % self.config.super_epoch:
            return
        now = torch.stack([self.losses(ask(rows), rows) for rows in self._rows.values()])
        if number == 1:
            self.weight.fill_(1 / len(self.weight))
        else:
            self.overfitting.copy_((now[1] - now[0]) - (self.measured[1] - self.measured[0]))
            self.generalisation.copy_(self.measured[1] - now[1])
            self.weight.copy_(blended(self.overfitting, self.generalisation, self.weight, floor=self.config.floor))
        self.measured.copy_(now)

    def readings(self, representations: Mapping[str, Tensor], split: Split) -> dict[str, dict[str, float]]:
        """The heads' losses and scores, v of every loss, and O and G of the last super-epoch."""
        found = super().readings(representations, split)
        for quantity in ("overfitting", "generalisation"):
            found[quantity] = dict(zip(self.terms, getattr(self, quantity).tolist(), strict=True))
        return found

    def facts(self) -> dict[str, float]:
        """The losses' weights v at the end; samples learned from and held out; groups of the latter (0: none are known)."""
        held = self._rows.get("held_out", torch.zeros(0, dtype=torch.int64)).tolist()
        groups = {self._split.groups[i] for i in held} if held and self._split.groups is not None else ()
        trained = len(self._split) - len(held) if self._split is not None else 0
        return super().facts() | {"trained_samples": float(trained), "held_out_samples": float(len(held)), "held_out_groups": float(len(groups))}
