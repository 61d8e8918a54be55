"""ULGM: labels for single modalities, made from the label of the whole and from where each modality's representation lies.

    LabelGenerator   the unimodal label generation module: class centres, relative distances, label shift, momentum
    UnimodalTasks    one head a modality, trained with these labels (the supervision of Self-MM; MMILN's has the same equations)

Source: Yu, Xu, Yuan, Wu: Learning modality-specific representations with self-supervised multi-task learning for multimodal sentiment analysis
(Self-MM, AAAI 2021), sections "ULGM" and "optimization objectives", Algorithm 1; quoted as Eqs. (29)-(35) of MMILN, whose numbers stand here.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from workbench.data.batch import Batch, Split, TaskSpec
from workbench.memory import PerSample
from workbench.supervision import Supervision
from workbench.supervision.polarity import neutral, sides
from workbench.tasks import Task

TINY = 1e-8
"""The epsilon of Eq. (31)."""


class LabelGenerator(nn.Module):
    """Unimodal labels of the training samples, kept and renewed epoch by epoch.

    With F the representations (m: fused; s: a modality) and y their labels, in epoch n:
        C^p, C^n = means of the stored F over all training samples with y > 0, y < 0        centres, each modality by its own labels
        D^p = ||F - C^p||^2 / sqrt(d),  D^n = ||F - C^n||^2 / sqrt(d)                         (29), (30)
        alpha = (D^n - D^p) / (D^p + eps)                                                   (31)
        new_s = y_m alpha_s / (2 alpha_m) + (y_m + alpha_s - alpha_m) / 2                   (32)-(34)
        y_s <- y_m in epoch 1, then (n - 1)/(n + 1) y_s + 2/(n + 1) new_s                   momentum (or a share that stays the same)

    Decides:
    - The centres are made once an epoch, from what all samples stored in the epoch before: a sample's label then depends on its own representations
      and on these centres, not on the order of the batches. As in Algorithm 1 nothing is renewed in epoch 1, and a batch's loss comes before its
      new labels.
    - |alpha_m| in the ratio is at least `floor`, its sign kept; `guarded` counts how often an epoch that held. new_s is clipped to the label range.
    - Labels are measured from neutral (`workbench.supervision.polarity`), so that a range without a sign has two sides too.
    - A sample that lacks a modality has no part in its centres, and no unimodal label. Where a side has no sample, labels stay.

    Args:
        sizes: modality name to the width of F_s.
        fused_size: width of F_m.
        task: range of the label.
        zero_excluded: neutral labels belong to neither centre; else to the positive one.
        floor: smallest |alpha_m| that is divided by.
        momentum: share of the old label that an epoch keeps; None: (n - 1)/(n + 1), the paper's.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        *,
        fused_size: int,
        task: TaskSpec,
        zero_excluded: bool = True,
        floor: float = 1e-3,
        momentum: float | None = None,
    ) -> None:
        super().__init__()
        self.modalities = tuple(sizes)
        self.widths = [fused_size, *sizes.values()]
        self.low, self.high, self.neutral = task.low, task.high, neutral(task)
        self.zero_excluded, self.floor, self.momentum = zero_excluded, floor, momentum
        self.labels = PerSample(len(sizes))
        self.features = PerSample(sum(self.widths))
        self.known = PerSample(len(self.widths))
        self.register_buffer("guarded", torch.zeros((), dtype=torch.int64))
        self.register_buffer("own", torch.zeros(0), persistent=False)
        self.register_buffer("centres", torch.zeros(2, sum(self.widths)), persistent=False)
        self.register_buffer("has_centres", torch.zeros(len(self.widths), dtype=torch.bool), persistent=False)
        self.number = 1

    def begin(self, target: Float[Tensor, " samples"]) -> None:
        """Every unimodal label starts as the sample's own (epoch 1), unless a checkpoint brought the labels back."""
        self.own = target.to(self.labels.rows)
        self.labels.begin(self.own[:, None].expand(-1, len(self.modalities)))
        self.features.begin(self.own.new_zeros(len(target), sum(self.widths)))
        self.known.begin(self.own.new_zeros(len(target), len(self.widths)))

    @torch.no_grad()
    def begin_epoch(self, number: int) -> None:
        """Makes the centres of the epoch; in epoch 1 forgets what an earlier training left."""
        self.number = number
        self.guarded.zero_()
        if number == 1:
            self.labels.rows.copy_(self.own[:, None].expand_as(self.labels.rows))
            self.known.rows.zero_()
            self.features.rows.zero_()  # What is not known has weight zero in a centre; zero times a nan is a nan.
        labels = torch.cat([self.own[:, None], self.labels.rows], dim=1) - self.neutral
        members = [side * self.known.rows for side in sides(labels, zero_excluded=self.zero_excluded)]
        self.has_centres = torch.stack([side.sum(0) > 0 for side in members]).all(0)
        self.centres = torch.stack([torch.cat(self._means(side), dim=0) for side in members])

    def _means(self, members: Float[Tensor, "samples node"]) -> list[Tensor]:
        """The mean stored representation of each node over its members."""
        parts = self.features.rows.split(self.widths, dim=1)
        return [members[:, i] @ part / members[:, i].sum().clamp_min(1) for i, part in enumerate(parts)]

    def read(self, index: Int[Tensor, " batch"]) -> Float[Tensor, "batch modality"]:
        """The unimodal labels of some samples as they are now."""
        return self.labels.read(index)

    @torch.no_grad()
    def update(
        self,
        index: Int[Tensor, " batch"],
        target: Float[Tensor, " batch"],
        fused: Float[Tensor, "batch feature"],
        features: Sequence[Float[Tensor, "batch feature"]],
        present: Bool[Tensor, "batch modality"],
    ) -> None:
        """Renews the labels of a batch (from epoch 2 on) and stores its representations.

        Args:
            index: rows in the training split.
            target: the labels of the whole.
            fused: F_m.
            features: F_s of each modality.
            present: True where the sample has the modality.
        """
        rows = torch.cat([fused, *features], dim=1).detach().to(self.features.rows.dtype)
        if self.number > 1:
            self._renew(index, target.to(rows.dtype), rows, present)
        known = torch.cat([present.new_ones(len(present), 1), present], dim=1)
        self.features.write(index, rows)
        self.known.write(index, known.to(rows.dtype))

    def _renew(self, index: Tensor, target: Tensor, rows: Tensor, present: Tensor) -> None:
        """Eqs. (29) to (34) and the momentum, for a batch."""
        distance = relative_distance(rows, self.centres, self.widths)
        whole, single = distance[:, :1], distance[:, 1:]
        is_small = whole.abs() < self.floor
        ratio = single / torch.where(is_small, torch.copysign(torch.full_like(whole, self.floor), whole), whole)
        y = target[:, None] - self.neutral
        new = (y * ratio + y + single - whole) / 2 + self.neutral
        old = self.labels.read(index)
        kept = (self.number - 1) / (self.number + 1) if self.momentum is None else self.momentum
        moved = kept * old + (1 - kept) * new.clamp(self.low, self.high)
        renewed = present & self.has_centres[1:] & self.has_centres[0]
        self.guarded += (is_small & renewed.any(1, keepdim=True)).sum()
        self.labels.write(index, torch.where(renewed, moved, old))

    def snapshot(self) -> xr.Dataset:
        """The labels by row of the train split and modality (nan where a sample lacks it), and how often alpha_m was guarded in this epoch."""
        labels = torch.where(self.known.rows[:, 1:] > 0, self.labels.rows, torch.nan).cpu().numpy()
        coordinates = {"sample": range(len(labels)), "modality": list(self.modalities)}
        return xr.Dataset({"pseudo_label": (("sample", "modality"), labels), "guarded": ((), int(self.guarded))}, coordinates)


def relative_distance(
    rows: Float[Tensor, "batch features"], centres: Float[Tensor, "side features"], widths: Sequence[int]
) -> Float[Tensor, "batch node"]:
    """Eqs. (29) to (31): how much nearer each node's representation is to its positive centre (row 0) than to its negative one (row 1)."""
    squared = (rows[:, None] - centres).square().split(widths, dim=2)
    positive, negative = torch.stack([part.sum(2) / part.shape[2] ** 0.5 for part in squared], dim=-1).unbind(1)
    return (negative - positive) / (positive + TINY)


class UnimodalTasks(Supervision):
    """One task for each modality beside the task of the whole, its labels from `LabelGenerator`.

        F_s = ReLU(W_1 x_s + b_1),  y'_s = W_2 F_s + b_2;  L = 1/N sum_i sum_s tanh|y_s - y_m| |y'_s - y_s|        (28), (35)

    The label shift is defined on a line: with classes or several labels each unimodal task has the sample's own label and the task's own loss.
    A sample that lacks a modality is left out of its task. The first epoch's terms are zero (y_s = y_m), as in the paper.

    Args:
        sizes: width of x_s by modality name, for the modalities that get a task.
        fused_size: width of the fused representation F_m (`Output.fused`).
        post_size: width of F_s.
        task: what is predicted.
        weight: of all unimodal terms.
        dropout: share of x_s dropped in training, before the layer that gives F_s.
        source: what x_s is: z_s (`Output.representations`), or what the fusion made of the modality (`Output.parts`).
        zero_excluded, floor, momentum: see `LabelGenerator`.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        *,
        fused_size: int,
        post_size: int,
        task: TaskSpec,
        weight: float = 1.0,
        dropout: float = 0.0,
        source: Literal["representations", "parts"] = "representations",
        zero_excluded: bool = True,
        floor: float = 1e-3,
        momentum: float | None = None,
    ) -> None:
        super().__init__()
        self.posts = nn.ModuleDict({name: nn.Sequential(nn.Dropout(dropout), nn.Linear(size, post_size), nn.ReLU()) for name, size in sizes.items()})
        self.heads = nn.ModuleDict({name: nn.Linear(post_size, task.outputs) for name in sizes})
        posted = dict.fromkeys(sizes, post_size)
        is_line = task.kind == "regression"
        rules = {"zero_excluded": zero_excluded, "floor": floor, "momentum": momentum}
        self.generator = LabelGenerator(posted, fused_size=fused_size, task=task, **rules) if is_line else None
        self.weight, self.source = weight, source
        self.task: Task | None = None

    def begin(self, split: Split, task: Task) -> None:
        self.task = task
        if self.generator is not None:
            self.generator.begin(split.target)

    def begin_epoch(self, number: int) -> None:
        if self.generator is not None:
            self.generator.begin_epoch(number)

    def forward(self, output, batch: Batch) -> dict[str, Tensor]:  # noqa: ANN001 - an Output of `workbench.model`, which imports this package
        dtype = next(self.heads.parameters()).dtype
        features = self._features(output)
        said = {name: self.heads[name](value) for name, value in features.items()}
        present = {name: batch[name].mask.any(1) for name in features}
        if self.generator is None:
            losses = {name: self._own_label(said[name], batch.target, present[name]) for name in said}
        else:
            target, labels = batch.target.to(dtype), self.generator.read(batch.index).to(dtype)
            losses = {name: weighted_error(said[name][:, 0], labels[:, i], target, present[name]) for i, name in enumerate(said)}
            self.generator.update(batch.index, target, output.fused, list(features.values()), torch.stack(list(present.values()), dim=1))
        return {f"unimodal_{name}": self.weight * value for name, value in losses.items()}

    def answers(self, output) -> dict[str, Tensor]:  # noqa: ANN001 - see forward
        """What each modality's own task says, Eq. (28): `batch`, or `batch outputs`. It is not part of the prediction."""
        said = {name: self.heads[name](value) for name, value in self._features(output).items()}
        return {name: value.squeeze(-1) if value.shape[-1] == 1 else value for name, value in said.items()}

    def _features(self, output) -> dict[str, Tensor]:  # noqa: ANN001 - see forward
        """F_s of each modality."""
        dtype = next(self.heads.parameters()).dtype
        given = output.representations if self.source == "representations" else output.parts
        return {name: post(given[name].to(dtype)) for name, post in self.posts.items()}

    def _own_label(self, said: Tensor, target: Tensor, present: Tensor) -> Tensor:
        """The task's loss over the samples that have the modality."""
        return self.task.loss(said[present], target[present]) if bool(present.any()) else said.sum() * 0

    def snapshot(self) -> xr.Dataset | None:
        return self.generator.snapshot() if self.generator is not None else None


def weighted_error(
    said: Float[Tensor, " batch"], label: Float[Tensor, " batch"], target: Float[Tensor, " batch"], present: Bool[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Eq. (35)'s term of one modality: mean of tanh|y_s - y_m| |y'_s - y_s| over the samples that have it."""
    errors = torch.tanh((label - target).abs()) * (said - label).abs() * present
    return errors.sum() / present.sum().clamp_min(1)
