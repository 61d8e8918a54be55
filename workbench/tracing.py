"""What a training step leaves behind: gradient magnitude, update norm and balance weight, per modality.

Everything is written into buffers on the device and read once an epoch; nothing here waits for the device in a step.
"""

import torch
from torch import Tensor

from workbench.model import FusionModel

QUANTITIES = ("last_layer", "encoder", "update", "weight")
"""Traced per step and modality: mean |dL/dW_i| of the last linear layer (Eq. 7 of adaptive weight fusion), the same mean over all parameters
of the modality's own network, the L2 norm of the step that the optimizer took on W_i, and the balancing rule's weight (1 without a rule).
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
        """Right after the optimizer's step."""
        torch._foreach_sub_(self.before, self.last)
        torch.stack(torch._foreach_norm(self.before), out=self.buffer[self.step][2])
        self.step += 1

    def read(self) -> Tensor:
        """`step quantity modality`, on the CPU, in the order of `QUANTITIES`."""
        return self.buffer[: self.step].cpu()


def _gradient(p: Tensor) -> Tensor:
    """The parameter's gradient, zeros where it has none."""
    return p.grad if p.grad is not None else torch.zeros_like(p)
