"""A sequence as one vector: the mean over time of a bidirectional GRU's states, at little cost."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.sequences import masked_mean, turned_round

WIDEST_MERGED = 64
"""Up to this width of both directions together, a CPU runs them faster as one GRU with blocks of zeros than one after the other."""


class PooledGRU(nn.Module):
    """avgpool(BiGRU(X)): the mean over a sample's real steps of the states of both directions, side by side.

    Source: MMILN, Eqs. (7), (16). Decides: each direction has half of the width, so that the gates' square matrices fit; or (`is_full`) all of it,
    and the result is their mean.

    The second direction reads a sample from its last real step backwards, never from its padding. Because the states are pooled they are not turned
    back. A caller cuts the batch to its longest sample; packed sequences were slower than that on a CPU at the widths of these gates.

    Args:
        size: width of a step and of the result.
        is_single: there is one step at most: the recurrent weights, which would only meet a state of zeros, are left out.
        is_full: see above.
    """

    def __init__(self, size: int, *, is_single: bool = False, is_full: bool = False) -> None:
        super().__init__()
        self.widths = (size, size) if is_full else (size - size // 2, size // 2)
        self.is_full = is_full
        width = sum(self.widths)
        self.once = nn.Linear(size, 3 * width) if is_single else None
        self.candidate = nn.Parameter(torch.empty(width).uniform_(-(width**-0.5), width**-0.5)) if is_single else None
        self.forwards = None if is_single else nn.GRU(size, self.widths[0], batch_first=True)
        self.backwards = None if is_single or not self.widths[1] else nn.GRU(size, self.widths[1], batch_first=True)

    def forward(self, values: Float[Tensor, "batch time size"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch size"]:
        pooled = self._of_one(values[:, 0]) * mask[:, :1] if self.once is not None else self._of_many(values, mask)
        return sum(pooled.split(self.widths, dim=1)) / 2 if self.is_full else pooled

    def _of_one(self, step: Tensor) -> Tensor:
        """A GRU's state after one step from a state of zeros: (1 - z) tanh(n + r b)."""
        reset, update, new = self.once(step).chunk(3, dim=1)
        return (1 - update.sigmoid()) * torch.tanh(new + reset.sigmoid() * self.candidate)

    def _of_many(self, values: Tensor, mask: Tensor) -> Tensor:
        """The means of both directions' states, `batch width`."""
        if self.backwards is None:
            return masked_mean(self.forwards(values)[0], mask)
        turned, turned_mask = turned_round(values, mask), turned_round(mask[:, :, None].to(values.dtype), mask)[:, :, 0] > 0
        if values.device.type == "cpu" and sum(self.widths) <= WIDEST_MERGED:
            states = self._merged(torch.cat([values, turned], dim=2)).split(self.widths, dim=2)
        else:
            states = self.forwards(values)[0], self.backwards(turned)[0]
        return torch.cat([masked_mean(states[0], mask), masked_mean(states[1], turned_mask)], dim=1)

    def _merged(self, both: Tensor) -> Tensor:
        """Both GRUs as one: their matrices as blocks on the diagonal, so that each step is half as many operations."""
        first, second = self.forwards, self.backwards
        weights = [_blocks(getattr(first, name), getattr(second, name)) for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")]
        return torch.gru(both, both.new_zeros(1, both.shape[0], sum(self.widths)), weights, True, 1, 0.0, self.training, False, True)[0]


def _blocks(first: Tensor, second: Tensor) -> Tensor:
    """Two GRUs' weights as one's, gate by gate: reset, update, new."""
    pairs = zip(first.chunk(3), second.chunk(3), strict=True)
    return torch.cat([torch.block_diag(a, b) if a.dim() == 2 else torch.cat([a, b]) for a, b in pairs])
