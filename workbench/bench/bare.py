"""Models as one would write them by hand for one data set: the bare twins of the benchmark (`workbench.bench`), equal to ours number by number."""

import math
from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.data.batch import Batch


class BareDNN(nn.Module):
    """LF-DNN as one would write it by hand for feature sequences."""

    def __init__(self, sizes: dict[str, int], hidden: int = 128) -> None:
        super().__init__()
        self.first = nn.ModuleDict({name: nn.Linear(size, hidden) for name, size in sizes.items()})
        self.second = nn.ModuleDict({name: nn.Linear(hidden, hidden) for name in sizes})
        self.post = nn.Linear(hidden * len(sizes), hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, batch: Batch) -> Tensor:
        parts = []
        for name, first in self.first.items():
            values, mask = batch.modalities[name].values, batch.modalities[name].mask
            weight = mask.to(values.dtype)
            mean = torch.einsum("btf,bt->bf", values, weight) / weight.sum(1, keepdim=True).clamp_min(1)
            parts.append(self.second[name](functional.relu(first(mean))))
        return self.out(functional.relu(self.post(torch.cat(parts, 1))))[:, 0]


class BareLSTM(nn.Module):
    """LF-LSTM as one would write it by hand for feature sequences."""

    def __init__(self, sizes: dict[str, int], hidden: int = 128) -> None:
        super().__init__()
        self.lstm = nn.ModuleDict({name: nn.LSTM(size, hidden, batch_first=True) for name, size in sizes.items()})
        self.second = nn.ModuleDict({name: nn.Linear(hidden, hidden) for name in sizes})
        self.post = nn.Linear(hidden * len(sizes), hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, batch: Batch) -> Tensor:
        parts = []
        for name, lstm in self.lstm.items():
            values, mask = batch.modalities[name].values, batch.modalities[name].mask
            states = lstm(values)[0]
            parts.append(self.second[name](states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]))
        return self.out(functional.relu(self.post(torch.cat(parts, 1))))[:, 0]


class BareMulT(nn.Module):
    """MulT as one would write it by hand for feature sequences: a loop over pairs, softmax written out, every step of every layer computed."""

    def __init__(self, sizes: dict[str, int], hidden: int = 40, *, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.conv = nn.ModuleDict({name: nn.Conv1d(size, hidden, 3, padding=1, bias=False) for name, size in sizes.items()})
        pairs = [f"{target}_from_{source}" for target, source in permutations(sizes, 2)]
        self.cross = nn.ModuleDict({pair: BareTransformer(hidden, heads, layers) for pair in pairs})
        self.memory = nn.ModuleDict({name: BareTransformer(hidden * (len(sizes) - 1), heads, layers) for name in sizes})
        width = hidden * len(pairs)
        self.first, self.second, self.out = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, batch: Batch) -> Tensor:
        mask = {name: batch.modalities[name].mask for name in self.conv}
        z = {name: conv(batch.modalities[name].values.transpose(1, 2)).transpose(1, 2) * mask[name][:, :, None] for name, conv in self.conv.items()}
        last = []
        for target in z:
            streams = [self.cross[f"{target}_from_{source}"](z[target], z[source], mask[source]) for source in z if source != target]
            together = torch.cat(streams, dim=2)
            states = self.memory[target](together, None, mask[target])
            last.append(states[torch.arange(len(states), device=states.device), mask[target].sum(1) - 1])
        h = torch.cat(last, dim=1)
        return self.out(h + self.second(functional.relu(self.first(h))))[:, 0]


class BareTransformer(nn.Module):
    """Positions, layers, a last norm; to another sequence or to itself."""

    def __init__(self, size: int, heads: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BareAttentionLayer(size, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(size)

    def forward(self, x: Tensor, other: Tensor | None, mask: Tensor) -> Tensor:
        x = self.placed(x)
        other = None if other is None else self.placed(other)
        for layer in self.layers:
            x = layer(x, x if other is None else other, mask)
        return self.norm(x)

    def placed(self, x: Tensor) -> Tensor:
        """sqrt(d) x + positions."""
        time = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)[:, None]
        rate = torch.exp(torch.arange(0, x.shape[2], 2, device=x.device, dtype=x.dtype) * (-math.log(10_000.0) / x.shape[2]))
        table = torch.stack([torch.sin(time * rate), torch.cos(time * rate)], dim=2).flatten(1)
        return math.sqrt(x.shape[2]) * x + table


class BareAttentionLayer(nn.Module):
    """x + attention(LN x, LN other), then x + feed-forward(LN x)."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = nn.Linear(size, size), nn.Linear(size, size, bias=False), nn.Linear(size, size)
        self.output = nn.Linear(size, size)
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.up, self.down = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)

    def forward(self, x: Tensor, other: Tensor, mask: Tensor) -> Tensor:
        normed, keys = self.attention_norm(x), self.attention_norm(other)
        q, k, v = (self.by_head(part) for part in (self.query(normed), self.key(keys), self.value(keys)))
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
        weights = scores.masked_fill(~mask[:, None, None, :], -math.inf).softmax(dim=3)
        x = x + self.output((weights @ v).transpose(1, 2).flatten(2))
        return x + self.down(functional.relu(self.up(self.feed_forward_norm(x))))

    def by_head(self, value: Tensor) -> Tensor:
        """`batch head time d / heads`."""
        return value.unflatten(2, (self.heads, -1)).transpose(1, 2)
