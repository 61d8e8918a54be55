"""Delta attention: a modality's steps attend to each other by how they differ, not only by what they are.

    RepeatingConvolution   a convolution over time whose ends repeat each sample's own first and last step      Eq. (9)
    DeltaAttention         softmax((Q K^T + RPE) / sqrt(d_k)) V, RPE of the differences between steps           Eqs. (10), (11)

Source: Panchal: Hierarchical delta-attention method for multimodal fusion (2020), section 4.1; see `workbench.methods.delta_attention`.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from workbench.attention import attend, attention_weights, heads_of
from workbench.errors import ConfigError
from workbench.sequences import masked_mean
from workbench.taps import Tap

Direction = Literal["both", "forward", "backward"]
Positions = Literal["shared", "per_head", "none"]
Padding = Literal["repeat", "zeros"]


class RepeatingConvolution(nn.Module):
    """A convolution over time that keeps the length: X^ = Conv1D(X), Eq. (9).

    Decides: beyond its ends a sample goes on with its own first and last real step, and a step that is missing inside repeats the real one before it.
    So a constant that is added to every real step moves every step of X^ by one constant, at the ends too. With `padding="zeros"` there are zeros in
    all of these places, and the steps near them move by less.

    Args:
        size: features of a step.
        width: features it gives, d_ch.
        kernel: steps that it sees; of an even number one more lies ahead.
        padding: see above.
        has_bias: add one to what it gives.
    """

    def __init__(self, size: int, width: int, *, kernel: int, padding: Padding = "repeat", has_bias: bool = True) -> None:
        super().__init__()
        self.padding = padding
        self.ends = ((kernel - 1) // 2, kernel // 2)
        self.convolution = nn.Conv1d(size, width, kernel, bias=has_bias)

    def forward(self, values: Float[Tensor, "batch time size"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch time width"]:
        if self.padding == "zeros":
            padded = functional.pad((values * mask[:, :, None]).transpose(1, 2), self.ends)
        else:
            before, behind = self.ends
            place = torch.arange(-before, mask.shape[1] + behind, device=mask.device).clamp(0, mask.shape[1] - 1)
            source = repeated(mask)[:, place, None].expand(-1, -1, values.shape[2])
            padded = values.gather(1, source).transpose(1, 2)
        return self.convolution(padded).transpose(1, 2)


def repeated(mask: Bool[Tensor, "batch time"]) -> Int[Tensor, "batch time"]:
    """Which real step stands at each step: itself, else the last real one before it, else the first."""
    time = torch.arange(mask.shape[1], device=mask.device)
    last = torch.where(mask, time, -1).cummax(1).values
    return torch.where(last < 0, mask.int().argmax(1, keepdim=True), last)


class DeltaAttention(nn.Module):
    """Self-attention of one sequence whose scores also see the difference between two steps, by how far apart they are.

    Source: Eqs. (10), (11):
        Z = softmax((Q K^T + RPE) / sqrt(d_k)) V,  RPE_ij = (x_j - x_i) . W_rel[:, j - i],  x = X^
    With P = X^ W_rel, `time x offsets`, RPE_ij = P[j, j - i] - P[i, j - i]: two reads of P with shifted rows, and no `time time feature` tensor.

    Decides:
    - W_rel, printed d_ch x T, is indexed by the offset j - i: what depends on both steps is their difference and how far apart they are. With
      `direction="both"` it has the negative offsets too. Offsets beyond the longest sample of the data take the outermost column.
    - Each head is as wide as X^, d_k = d_v = d_ch (the d_ch in Eq. (10), and H d_ch in Eq. (12)).
    - Queries and values have a bias, as the paper says; keys have none, since softmax takes it out again.

    Args:
        size: width d_ch of X^ and of each head.
        heads: H.
        length: steps of the longest sample. With one step there is nothing to choose: only the value map is left.
        window: how many steps away a key may be; None: any.
        direction: `forward` is the paper's i <= j (a step sees itself and later ones), `backward` is causal.
        positions: W_rel shared by the heads, or one for each; `none` is plain attention, the same module without RPE.
        has_content: False leaves Q K^T out.
        axes: names of the query's and the key's axis for the taps.
    """

    def __init__(
        self,
        size: int,
        *,
        heads: int,
        length: int,
        window: int | None = None,
        direction: Direction = "both",
        positions: Positions = "shared",
        has_content: bool = True,
        axes: Sequence[str] = ("query", "key"),
    ) -> None:
        super().__init__()
        if positions == "none" and not has_content:
            raise ConfigError("attention needs content or positions, and both are switched off", do="has_content=true, or positions=shared")
        self.heads, self.window, self.direction, self.is_single = heads, window, direction, length == 1
        has_queries = has_content and not self.is_single
        self.query = nn.Linear(size, heads * size) if has_queries else None
        self.key = nn.Linear(size, heads * size, bias=False) if has_queries else None
        self.value = nn.Linear(size, heads * size)
        reach = min(length - 1, window or length)
        self.lowest, self.highest = 0 if direction == "forward" else -reach, 0 if direction == "backward" else reach
        tables, offsets = heads if positions == "per_head" else 1, self.highest - self.lowest + 1
        has_positions = positions != "none" and not self.is_single
        # As wide a spread as a linear layer of this width begins with.
        self.relative = nn.Parameter((2 * torch.rand(tables, size, offsets) - 1) / math.sqrt(size)) if has_positions else None
        self.weights = Tap("batch", "head", *axes)
        self.plain = Tap("batch", "head", *axes)
        self.delta = Tap("batch", "head", *axes)

    def forward(self, values: Float[Tensor, "batch time size"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch time width"]:
        """All heads side by side; zeros where a step may look at no real one."""
        admitted = mask[:, None, None, :] & self._allowed(mask.shape[1], mask.device)
        has_key = admitted.any(-1, keepdim=True)
        v = heads_of(self.value(values), self.heads)
        q, k = (
            (torch.zeros_like(v), torch.zeros_like(v))
            if self.query is None
            else (heads_of(part(values), self.heads) for part in (self.query, self.key))
        )
        bias = None if self.relative is None else self.relative_scores(values, mask) / math.sqrt(values.shape[2])
        self._see(q, k, admitted, has_key, bias)
        attended = attend(q, k, v, admitted, has_key, tap=self.weights, bias=bias) * has_key
        return attended.transpose(1, 2).flatten(2)

    def relative_scores(self, values: Float[Tensor, "batch time size"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch head time time"]:
        """RPE, of one head where W_rel is shared."""
        time = values.shape[1]
        if time == 1:
            return values.new_zeros(values.shape[0], len(self.relative), 1, 1)
        offset = torch.arange(1 - time, time, device=values.device).clamp(self.lowest, self.highest) - self.lowest
        # What all steps have in common is no difference: without it a large offset costs no digits. The gradient is the same.
        centred = values - masked_mean(values, mask)[:, None].detach()
        return differences(centred[:, None] @ self.relative.index_select(2, offset))

    def _allowed(self, time: int, device: torch.device) -> Bool[Tensor, "time time"]:
        """True where step i may look at step j, by direction and window."""
        step = torch.arange(time, device=device)
        offset = step - step[:, None]
        reach = time if self.window is None else self.window
        return (offset >= (0 if self.direction == "forward" else -reach)) & (offset <= (0 if self.direction == "backward" else reach))

    def _see(self, q: Tensor, k: Tensor, admitted: Tensor, has_key: Tensor, bias: Tensor | None) -> None:
        """Shows what the weights would be without RPE, and RPE / sqrt(d_k) itself, to whoever records them."""
        if self.plain.is_recorded:
            self.plain(attention_weights(q, k, admitted, has_key))
        if self.delta.is_recorded:
            self.delta((q.new_zeros(1, 1, 1, 1) if bias is None else bias).masked_fill(~admitted, 0))


def differences(table: Float[Tensor, "batch head time offsets"]) -> Float[Tensor, "batch head time time"]:
    """table[j, j - i] - table[i, j - i] for all steps i, j, where column o of the table is offset o - (time - 1); two steps or more.

    Read with other strides the rows of the table are shifted against each other, so neither term needs an index for each entry (measured on a CPU:
    three quarters of the time of two `gather`).
    """
    table = table.contiguous()
    time, start = table.shape[2], table.storage_offset()
    batch, head, row, _ = table.stride()
    shape = (*table.shape[:2], time, time)
    own = table.as_strided(shape, (batch, head, row - 1, 1), start + time - 1)
    # From the last i to the first, since a stride cannot be negative.
    others = table.as_strided(shape, (batch, head, row + 1, 1), start).flip(-1)
    return others.transpose(-2, -1) - own
