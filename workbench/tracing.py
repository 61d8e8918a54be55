"""What a training step leaves behind: gradient magnitude, update norm and balance weight, per modality.

Everything is written into buffers on the device and read once an epoch; nothing here waits for the device in a step.
"""

import torch
from torch import Tensor

from workbench.model import FusionModel
from workbench.ranks import gradients

QUANTITIES = ("last_layer", "encoder", "update", "weight", "last_layer_before")
"""Traced per step and modality: mean |dL/dW_i| of the last linear layer (Eq. 7 of adaptive weight fusion), the same mean over all parameters
of the modality's own network, the L2 norm of the step that was taken on W_i, the balancing rule's weight (1 without a rule), and the first once
more as it would be without what the rule did: before it changed gradients, and without the loss that it added (B-fusion acts in the forward pass: the
same).
The update norm matters because Adam divides a constant factor on a gradient out again. A modality that a stage does not train has zeros, and the
weight 1."""


class StepTrace:
    """The traces of one epoch.

    Args:
        model: the model in training, on its device.
        steps: optimizer steps of the epoch.
    """

    def __init__(self, model: FusionModel, steps: int) -> None:
        names = model.modalities
        branches = [model.branch(name) for name in names]
        self.model = model
        self.last = [model.projections[name].weight for name in names]
        self.parameters = [p for branch in branches for p in branch]
        device = self.last[0].device
        owner = torch.tensor([i for i, branch in enumerate(branches) for _ in branch], dtype=torch.long)
        sizes = torch.tensor([float(p.numel()) for p in self.parameters])
        share = torch.nn.functional.one_hot(owner, len(names)).float()
        # One matrix turns the L1 norms of all parameters into the mean of each modality's network.
        self.to_mean = (share / (share * sizes[:, None]).sum(0).clamp_min(1)).to(device)
        self.last_sizes = torch.tensor([float(weight.numel()) for weight in self.last], device=device)
        self.before = [torch.empty_like(weight) for weight in self.last]
        self.buffer = torch.ones(steps, len(QUANTITIES), len(names), device=device)
        self.step = 0
        self.has_before = model.balance.changes_gradients
        self.added = [torch.zeros_like(weight) for weight in self.last] if self.has_before else []

    def without_rule(self, term: Tensor, *, share: float) -> None:
        """Notes what the rule's own loss term of a batch adds to the gradients of W_i; its graph is kept.

        Args:
            term: the term.
            share: the batch's part of the optimizer step.
        """
        learned = [i for i, weight in enumerate(self.last) if weight.requires_grad]
        if self.has_before and learned and term.requires_grad:
            found = gradients(term, [self.last[i] for i in learned], retain_graph=True, allow_unused=True)
            for i, gradient in zip(learned, found, strict=True):
                if gradient is not None:
                    self.added[i].add_(gradient, alpha=share)

    @torch.no_grad()
    def before_rule(self) -> None:
        """Once the gradients of a step are complete, before the rule changes them."""
        if self.has_before:
            norms = [(_gradient(weight) - added).norm(1) for weight, added in zip(self.last, self.added, strict=True)]
            torch.div(torch.stack(norms), self.last_sizes, out=self.buffer[self.step][4])
            torch._foreach_zero_(self.added)

    @torch.no_grad()
    def before_update(self) -> None:
        """Once the gradients of a step are complete, before clipping and the optimizer."""
        row = self.buffer[self.step]
        norms = torch._foreach_norm([_gradient(weight) for weight in self.last], 1)
        torch.div(torch.stack(norms), self.last_sizes, out=row[0])
        if self.parameters:
            gradients = [_gradient(p) for p in self.parameters]
            torch.mv(self.to_mean.T, torch.stack(torch._foreach_norm(gradients, 1)).float(), out=row[1])
        else:
            row[1] = 0
        weights = self.model.balance.weights()
        if weights is not None:
            row[3].copy_(weights)
        torch._foreach_copy_(self.before, self.last)

    @torch.no_grad()
    def after_update(self) -> None:
        """Right after the optimizer's step, and what the rule made of it."""
        torch._foreach_sub_(self.before, self.last)
        torch.stack(torch._foreach_norm(self.before), out=self.buffer[self.step][2])
        self.step += 1

    def read(self) -> Tensor:
        """`step quantity modality`, on the CPU, in the order of `QUANTITIES`."""
        traced = self.buffer[: self.step].cpu()
        if not self.has_before:
            traced[:, 4] = traced[:, 0]
        return traced


def complete(steps: Tensor) -> Tensor:
    """Traces of a checkpoint from before there was `last_layer_before`: it was what `last_layer` is."""
    return steps if steps.shape[1] == len(QUANTITIES) else torch.cat([steps, steps[:, :1]], dim=1)


def _gradient(p: Tensor) -> Tensor:
    """The parameter's gradient, zeros where it has none."""
    return p.grad if p.grad is not None else torch.zeros_like(p)
