"""Fusion through time: one LSTM a modality, what their memories do together, and a memory of its own for that.

    SystemOfLSTMs           every modality on one sequence of steps, its outputs and memories
    DeltaMemoryAttention    which of the memories, before and now, matter together                 (MFN)
    GatedMemory             what is kept of that through time
    MemoryFusion            the three together; another module may stand in the attention's place  (Graph-MFN)

The LSTMs and the attention do not depend on the gated memory, and its gates do not depend on its content: all are computed for all steps at once, and
only `linear_scan` goes step by step. Tensors are time first inside.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.fusion.context import Context, Fused
from workbench.fusion.recurrent import LSTMMemories, linear_scan
from workbench.sequences import common_steps, last_real_step, resampled
from workbench.taps import Tap

MOMENTS = ("previous", "current")
"""The window over the memories: the step before and the step itself."""


def small_network(size: int, hidden_size: int, outputs: int, *, dropout: float) -> nn.Sequential:
    """Linear, ReLU, dropout, linear: the papers' networks D."""
    return nn.Sequential(nn.Linear(size, hidden_size), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden_size, outputs))


def over_real_steps(values: Float[Tensor, "time batch *rest"], inside: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch *rest"]:
    """The mean over each sample's own steps; zeros where it has none."""
    weight = inside.t().to(values.dtype)
    return torch.einsum("tb...,tb->b...", values, weight / weight.sum(0).clamp_min(1))


def at_real_steps(values: Float[Tensor, "time batch *rest"], inside: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch time *rest"]:
    """The values as a tap shows them: batch first, nan at padded steps."""
    values = values.transpose(0, 1)
    return values.masked_fill(~inside.reshape(*inside.shape, *[1] * (values.dim() - 2)), torch.nan)


class SystemOfLSTMs(nn.Module):
    """One LSTM for each modality over shared steps.

    Source: Zadeh et al. (AAAI 2018), "System of LSTMs".
    Differs: the candidate memory goes through a tanh, as in every LSTM since; the paper prints none.

    Args:
        modalities: names in the card's order.
        reference: the modality whose steps the others are brought onto (`sequences.resampled`: the identity where they are
            aligned and the last steps are there).
        size: width of z_i and of each LSTM.
    """

    def __init__(self, modalities: Sequence[str], *, reference: str, size: int) -> None:
        super().__init__()
        self.reference = reference
        self.lstms = nn.ModuleDict({name: LSTMMemories(size, size) for name in modalities})

    def forward(
        self, z: Mapping[str, Tensor], context: Context
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "time batch modality size"], Bool[Tensor, "batch time"]]:
        """[h_1, ..., h_M] at each sample's last step, c_i at every step, and which steps are the sample's own."""
        inside = common_steps(context.masks, self.reference, has_gaps=context.inputs[self.reference].has_gaps)
        outputs, memories = [], []
        for name, lstm in self.lstms.items():
            value = z[name] if z[name].dim() == 3 else z[name][:, None]
            h, c = lstm(resampled(value, context.masks[name], inside).transpose(0, 1))
            outputs.append(last_real_step(h.transpose(0, 1), inside))
            memories.append(c)
        return torch.cat(outputs, dim=1), torch.stack(memories, dim=2), inside


class DeltaMemoryAttention(nn.Module):
    """The memories of two steps, each number weighted by how much it matters beside all others.

    Source: Zadeh et al. (AAAI 2018), "Delta-memory Attention Network":
        a^{[t-1,t]} = softmax(D_a(c^{[t-1,t]})),  c_hat^{[t-1,t]} = c^{[t-1,t]} * a^{[t-1,t]}.

    Args:
        modalities: names in the card's order.
        reference: the modality whose steps they share.
        size: width of each memory.
        hidden_size: of the network D_a.
        dropout: inside it.
    """

    def __init__(self, modalities: Sequence[str], *, reference: str, size: int, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.size = len(MOMENTS) * len(modalities) * size
        self.network = small_network(self.size, hidden_size, self.size, dropout=dropout)
        names = tuple(modalities)
        self.attention = Tap("batch", f"{reference}_time", "moment", "modality", moment=MOMENTS, modality=names)
        self.share = Tap("batch", "modality", modality=names)

    def forward(
        self, window: Float[Tensor, "time batch moment modality feature"], inside: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "time batch attended"]:
        both = window.flatten(2)
        weights = self.network(both).softmax(dim=-1)
        if self.attention.is_recorded or self.share.is_recorded:
            shares = weights.reshape(window.shape).sum(-1)
            self.attention(at_real_steps(shares, inside))
            self.share(over_real_steps(shares, inside).sum(1))
        return both * weights


class GatedMemory(nn.Module):
    """A memory of what modalities do together: two gates say what it keeps and what it takes in.

    Source: Zadeh et al. (AAAI 2018), "Multi-view Gated Memory":
        u_hat^t = D_u(c_hat),  gamma_1^t = sigmoid(D_gamma1(c_hat)),  gamma_2^t = sigmoid(D_gamma2(c_hat)),
        u^t = gamma_1^t * u^{t-1} + gamma_2^t * tanh(u_hat^t),  u^0 = 0.
    Steps that are not the sample's own leave the memory as it is.

    Args:
        inputs: width of c_hat.
        reference: the modality whose steps are counted.
        size: width of the memory.
        candidate, retain, update: hidden width and dropout of D_u, D_gamma1, D_gamma2.
    """

    def __init__(
        self, inputs: int, *, reference: str, size: int, candidate: tuple[int, float], retain: tuple[int, float], update: tuple[int, float]
    ) -> None:
        super().__init__()
        self.candidate, self.retain, self.update = (
            small_network(inputs, hidden, size, dropout=dropout) for hidden, dropout in (candidate, retain, update)
        )
        self.gamma1 = Tap("batch", f"{reference}_time", "feature")
        self.gamma2 = Tap("batch", f"{reference}_time", "feature")

    def forward(self, attended: Float[Tensor, "time batch feature"], inside: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch size"]:
        """The memory after each sample's last step."""
        exact = self.retain[0].weight.dtype  # under mixed precision a sum over many steps keeps its digits
        kept, taken, new = (network(attended).to(exact) for network in (self.retain, self.update, self.candidate))
        kept, taken = kept.sigmoid(), taken.sigmoid()
        for tap, gate in ((self.gamma1, kept), (self.gamma2, taken)):
            if tap.is_recorded:
                tap(at_real_steps(gate, inside))
        is_own = inside.t()[:, :, None]
        return linear_scan(torch.where(is_own, kept, 1), new.tanh() * taken * is_own)[-1]


class MemoryFusion(nn.Module):
    """[h_1, ..., h_M, u] at the last real step.

    Source: Zadeh et al. (AAAI 2018), "Output of MFN".

    Args:
        system: the LSTMs.
        attention: `(window of memories, which steps are real) -> time batch feature`: delta-memory attention or a dynamic fusion graph.
        memory: keeps what `attention` says.
    """

    def __init__(self, system: SystemOfLSTMs, attention: nn.Module, memory: GatedMemory) -> None:
        super().__init__()
        self.system = system
        self.attention = attention
        self.memory = memory

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        outputs, memories, inside = self.system(balanced, context)
        before = torch.cat([torch.zeros_like(memories[:1]), memories[:-1]])
        attended = self.attention(torch.stack([before, memories], dim=2), inside)
        return torch.cat([outputs, self.memory(attended, inside)], dim=1), {}
