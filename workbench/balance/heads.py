"""Unimodal heads: what each modality says alone, for the rules that weigh or score it. One linear layer a modality on z_i before balancing.

    WithHeads         the heads, their losses and scores, and what flows from them into the modalities' networks

Every rule's heads learn alike: each from its own loss at full size, by the ordinary optimizer (`plan.rates` can name them, as in
`balance.heads.text=1e-2`). What a rule weighs is only what flows from that loss into the modality's network; where that is nothing, the heads
just watch.

A sample that lacks a modality has no part in that modality's loss and score.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.balance import Balancer
from workbench.data.batch import Split
from workbench.tasks import Task

if TYPE_CHECKING:
    from workbench.data.batch import Batch
    from workbench.model import Output


class Alone(NamedTuple):
    """What the modalities of a batch say alone, one number a modality; 0 where no sample has it.

    Args:
        loss: mean of the task's loss, with its graph.
        score: mean truth score (`workbench.tasks`: the probability of the true class; several labels: mean over labels of the probability of the
            truth; regression: exp(-|error|)).
        samples: how many have the modality.
    """

    loss: Tensor
    score: Tensor
    samples: Tensor


class ScaledGradient(torch.autograd.Function):
    """The value itself forward, its gradient times a factor backward."""

    @staticmethod
    def forward(ctx, value: Tensor, factor: Tensor) -> Tensor:  # noqa: ANN001 - autograd's own
        ctx.save_for_backward(factor)
        return value.view_as(value)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN001 - autograd's own
        return gradient * ctx.saved_tensors[0].to(gradient.dtype), None


class WithHeads(Balancer):
    """A rule with one head a modality.

    Args:
        widths: modality name to the width of its z_i, in the card's order.
        outputs: what a head gives for one sample.
    """

    def __init__(self, widths: Mapping[str, int], outputs: int) -> None:
        super().__init__()
        self.modalities = tuple(widths)
        self.heads = nn.ModuleDict({name: nn.Linear(width, outputs) for name, width in widths.items()})
        self.task: Task | None = None
        self.register_buffer("_epoch", torch.zeros(3, len(widths)), persistent=False)

    @property
    def joint_name(self) -> str:
        """What the whole is called among the modalities' names."""
        return "joint" if "joint" not in self.modalities else "joint task"

    def begin(self, split: Split, task: Task) -> None:
        self.task = task

    def begin_epoch(self, number: int) -> None:
        self._epoch.zero_()

    def read(self, name: str, z: Tensor) -> Tensor:
        """What one head says: `batch` or `batch outputs`."""
        said = self.heads[name](z.to(self.heads[name].weight.dtype))  # In bf16 training z is bf16.
        return said.squeeze(-1) if said.shape[-1] == 1 else said

    def alone(self, output: "Output", batch: "Batch", *, factors: Float[Tensor, " modality"] | None = None) -> Alone:
        """Losses and scores of the modalities alone in a training batch; they are added to the epoch's.

        Args:
            output: what the model said of the batch.
            batch: the batch.
            factors: of what flows into each modality's network; None: nothing does.
        """
        z = output.representations
        if factors is None:
            given = {name: z[name].detach() for name in self.modalities}
        else:
            given = {name: ScaledGradient.apply(z[name], factors[i]) for i, name in enumerate(self.modalities)}
        found = self.said(given, batch.target, {name: batch[name].mask.any(1) for name in self.modalities})
        with torch.no_grad():
            self._epoch += torch.stack([found.loss * found.samples, found.score * found.samples, found.samples])
        return found

    def said(self, z: Mapping[str, Tensor], target: Tensor, has: Mapping[str, Bool[Tensor, " batch"]]) -> Alone:
        """Losses and scores of some samples.

        Args:
            z: representations.
            target: labels.
            has: which samples have each modality.
        """
        losses, scores = [], []
        for name in self.modalities:
            prediction, count = self.read(name, z[name]), has[name].sum().clamp_min(1)
            losses.append(torch.where(has[name], self.task.losses(prediction, target), 0).sum() / count)
            scores.append(torch.where(has[name], self.task.truth_score(prediction.detach(), target), 0).sum() / count)
        samples = torch.stack([has[name].sum() for name in self.modalities]).to(losses[0].dtype)
        return Alone(torch.stack(losses), torch.stack(scores), samples)

    def there(self, split: Split) -> dict[str, Bool[Tensor, " samples"]]:
        """Which samples of a split have each modality, on the device of its labels."""
        return {name: split.columns[name].is_there.to(split.target.device) for name in self.modalities}

    @torch.no_grad()
    def readings(self, representations: Mapping[str, Tensor], split: Split) -> dict[str, dict[str, float]]:
        """Each head's mean loss and truth score: on train while it learned (dropout on), on valid after the epoch."""
        valid = self.said(representations, split.target, self.there(split))
        loss, score, samples = self._epoch
        seen = torch.stack([loss / samples.clamp_min(1), score / samples.clamp_min(1), valid.loss, valid.score]).tolist()
        quantities = ("train_loss", "train_score", "valid_loss", "valid_score")
        return {quantity: dict(zip(self.modalities, row, strict=True)) for quantity, row in zip(quantities, seen, strict=True)}
