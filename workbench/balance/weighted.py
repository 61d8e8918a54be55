"""A weight for the joint loss and for each unimodal loss: what gradient blending and GradNorm share.

    L = v_0 L_task + sum_m v_m L(head_m(z_m), y),    v = (1 - strength) (1, 0, ..., 0) + strength w

v_m is what flows into modality m's network; its head learns from its own loss at full size. Terms that a method adds by itself stay as they are.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.balance.heads import Alone, WithHeads
from workbench.data.batch import Split
from workbench.tasks import Task

if TYPE_CHECKING:
    from workbench.data.batch import Batch
    from workbench.model import Output


class WeightedLosses(WithHeads):
    """The weights w, joint first.

    Args:
        widths, outputs: see `WithHeads`.
        start: every weight's first value.
        strength: 0: the task loss alone (off, to the last bit); 1: the weights.
    """

    def __init__(self, widths: Mapping[str, int], outputs: int, *, start: float, strength: float) -> None:
        super().__init__(widths, outputs)
        self.strength = strength
        self.register_buffer("weight", torch.full((1 + len(widths),), start))
        self._found: Alone | None = None
        self._split: Split | None = None

    def begin(self, split: Split, task: Task) -> None:
        super().begin(split, task)
        self._split = split

    @property
    def is_on(self) -> bool:
        """True where the weights are in force."""
        return self.strength > 0

    @property
    def changes_gradients(self) -> bool:
        return self.is_on

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the losses, in the order of the weights."""
        return (self.joint_name, *self.modalities)

    def shares(self) -> Tensor:
        """v, joint first."""
        shares = self.strength * self.weight
        shares[0] += 1 - self.strength
        return shares

    def loss(self, output: "Output", batch: "Batch", *, task_loss: Tensor) -> Tensor:
        """What comes on top of the task loss; heads only watch where the rule is off."""
        if not self.is_on:
            return self.alone(output, batch).loss.sum()
        shares = self.shares()
        self._found = self.alone(output, batch, factors=shares[1:])
        return self._found.loss.sum() + (shares[0] - 1) * task_loss

    def losses(self, said: Any, rows: Tensor | None = None) -> Float[Tensor, " loss"]:
        """The joint loss and each head's, of the training split or some rows of it.

        Args:
            said: what the model says of them, as `look` is given it.
            rows: which; None: all.
        """
        target, there = self._split.target, self.there(self._split)
        if rows is not None:
            rows = rows.to(target.device)
            target, there = target[rows], {name: has[rows] for name, has in there.items()}
        alone = self.said(said.representations, target, there).loss
        return torch.cat([self.task.loss(said.prediction, target)[None].to(alone.dtype), alone])

    def weights(self) -> Tensor:
        return self.shares()[1:]

    def readings(self, representations: Mapping[str, Tensor], split: Split) -> dict[str, dict[str, float]]:
        """The heads' losses and scores, and v of every loss."""
        return super().readings(representations, split) | {"weight": dict(zip(self.terms, self.shares().tolist(), strict=True))}

    def facts(self) -> dict[str, float]:
        """The losses' weights v at the end."""
        return {f"weight_{name}": value for name, value in zip(self.terms, self.shares().tolist(), strict=True)}
