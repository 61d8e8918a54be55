"""One attention for the whole package: fused when nobody looks, with weights when its tap is recorded, masks right, rows without a key zero.

    Attention           softmax(Q K^T / sqrt d_h) V, several heads side by side
    AttentionLayer      x + attention(LN x, LN other), then x + feed-forward(LN x)
    Transformer         positions, a stack of layers, a last LN; self-attention, or attention to another sequence
    attend              what every attention ends in, from queries, keys and values: for layers that make these in ways of their own

Inside `workbench.second_order` the same code has a double backward.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from workbench.errors import ConfigError
from workbench.sequences import lengths
from workbench.taps import Tap


class Attention(nn.Module):
    """Scaled dot-product attention with several heads.

    Source: Vaswani et al.: Attention is all you need (NeurIPS 2017), section 3.2:
        head_h = softmax(Q_h K_h^T / sqrt(d_h)) V_h,  output = [head_1, ..., head_H] W_O.
    A sample that has no real key gets zeros. Keys have no bias: it adds the same to all of a query's scores, so that softmax takes it out again, and
    it would only learn from rounding.

    Args:
        size: width d of queries and output; d_h = d / heads.
        heads: number of heads.
        dropout: share of attention weights dropped in training; above 0 it keeps the slower kernel on a CPU.
        is_single: there is one key at most (a vector, an image): its weight is 1 whatever is asked, so query and key have nothing to learn and are
            left out.
        axes: names of the query's and the key's axis for the tap, e.g. `("text_time", "audio_time")`.
    """

    def __init__(
        self,
        size: int,
        *,
        heads: int,
        dropout: float = 0.0,
        is_single: bool = False,
        axes: Sequence[str] = ("query", "key"),
    ) -> None:
        super().__init__()
        if size % heads:
            raise ConfigError(f"a width of {size} cannot be shared by {heads} heads", expected="heads that divide the width (hidden_size)")
        self.heads = heads
        self.dropout = dropout
        self.query = None if is_single else nn.Linear(size, size)
        self.key = None if is_single else nn.Linear(size, size, bias=False)
        self.value = nn.Linear(size, size)
        self.output = nn.Linear(size, size)
        self.weights = Tap("batch", "head", *axes)

    def forward(
        self,
        query: Float[Tensor, "batch queries size"],
        other: Float[Tensor, "batch keys size"],
        mask: Bool[Tensor, "batch keys"],
        *,
        allowed: Bool[Tensor, "queries keys"] | Bool[Tensor, "batch queries keys"] | None = None,
    ) -> Float[Tensor, "batch queries size"]:
        """Each query's weighted mean over the real steps of `other`.

        Args:
            query: what asks.
            other: what is asked; keys and values.
            mask: True where a step of `other` is real.
            allowed: True where a query may look at a key (a causal mask, a window, a graph).
        """
        admitted = mask[:, None, None, :]
        if allowed is not None:
            admitted = admitted & (allowed[:, None] if allowed.dim() == 3 else allowed)
        has_key = admitted.any(-1, keepdim=True)
        v = heads_of(self.value(other), self.heads)
        if self.query is None:
            attended = functional.dropout(self._of_one(admitted, query), self.dropout, self.training) @ v
        else:
            q, k = heads_of(self.query(query), self.heads), heads_of(self.key(other), self.heads)
            attended = attend(q, k, v, admitted, has_key, tap=self.weights, dropout=self.dropout, is_training=self.training)
        return self.output(attended.transpose(1, 2).flatten(2)) * has_key[:, 0]

    def _of_one(self, admitted: Tensor, query: Tensor) -> Tensor:
        """The weights where there is one key: 1 on it."""
        weights = admitted.to(query.dtype)
        weights = weights / weights.sum(-1, keepdim=True).clamp_min(1)
        return self.weights(weights.expand(-1, self.heads, query.shape[1], -1))


def heads_of(value: Float[Tensor, "batch time width"], heads: int) -> Float[Tensor, "batch head time size"]:
    """The width in equal parts, one a head."""
    return value.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(
    q: Float[Tensor, "batch head query size"],
    k: Float[Tensor, "batch head key size"],
    v: Float[Tensor, "batch head key width"],
    admitted: Bool[Tensor, "#batch #head #query key"],
    has_key: Bool[Tensor, "#batch #head #query 1"],
    *,
    tap: Tap,
    bias: Float[Tensor, "#batch #head query key"] | None = None,
    dropout: float = 0.0,
    is_training: bool = False,
) -> Float[Tensor, "batch head query width"]:
    """The heads' weighted means softmax(Q K^T / sqrt(size) + bias) V, with their weights where somebody records them.

    Args:
        q, k, v: queries, keys, values.
        admitted: True where a query may look at a key.
        has_key: True where a query has a key at all. The rows of the others are not to be used: the caller makes them zeros.
        tap: takes the weights, before dropout.
        bias: added to the scaled scores.
        dropout: share of the weights dropped, where `is_training`.
    """
    if tap.is_recorded:
        weights = tap(attention_weights(q, k, admitted, has_key, bias=bias))
        return functional.dropout(weights, dropout, is_training) @ v
    # A row without any key is let through whole, so that no softmax sees only -inf.
    admitted = admitted | ~has_key
    mask = admitted if bias is None else bias.masked_fill(~admitted, -math.inf)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout if is_training else 0.0)


def attention_weights(
    q: Tensor, k: Tensor, admitted: Tensor, has_key: Tensor, *, bias: Tensor | None = None
) -> Float[Tensor, "batch head query key"]:
    """The weights that `attend` uses, zeros in rows without a key; see there for the arguments."""
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    scores = scores if bias is None else scores + bias
    return scores.masked_fill(~(admitted | ~has_key), -math.inf).softmax(-1) * has_key


class AttentionLayer(nn.Module):
    """One layer of a transformer, normalised before each part ("pre-norm").

    x <- x + attention(LN x, LN other);  x <- x + W_2 ReLU(W_1 LN x).

    Args:
        size: width d.
        heads: heads of the attention.
        inner_size: width of the feed-forward part; 4 d where none is given.
        dropout: after attention and feed-forward (residual dropout).
        attention_dropout, relu_dropout: on attention weights, and inside the feed-forward part.
        is_single, axes: see `Attention`.
    """

    def __init__(
        self,
        size: int,
        *,
        heads: int,
        inner_size: int | None = None,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        relu_dropout: float = 0.0,
        is_single: bool = False,
        axes: Sequence[str] = ("query", "key"),
    ) -> None:
        super().__init__()
        self.attention = Attention(size, heads=heads, dropout=attention_dropout, is_single=is_single, axes=axes)
        self.attention_norm = nn.LayerNorm(size)
        self.feed_forward_norm = nn.LayerNorm(size)
        inner = inner_size or 4 * size
        self.feed_forward = nn.Sequential(nn.Linear(size, inner), nn.ReLU(), nn.Dropout(relu_dropout), nn.Linear(inner, size))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, mask: Tensor, other: Tensor | None = None, *, query: Tensor | None = None, allowed: Tensor | None = None
    ) -> Float[Tensor, "batch queries size"]:
        """The layer's output for every step of `x`, or only for `query` (some steps of `x`, `batch queries size`).

        Args:
            x: `batch time size`, the stream.
            mask: True where a step of what is attended to (`other`, else `x`) is real.
            other: the sequence that is attended to; None is self-attention.
            query: the steps that are wanted, where not all are.
            allowed: see `Attention`.
        """
        attended_to = self.attention_norm(x if other is None else other)
        stream = x if query is None else query
        asking = attended_to if other is None and query is None else self.attention_norm(stream)
        stream = stream + self.dropout(self.attention(asking, attended_to, mask, allowed=allowed))
        return stream + self.dropout(self.feed_forward(self.feed_forward_norm(stream)))


class Transformer(nn.Module):
    """Sinusoidal positions, several layers, a last LN: over one sequence, or from one sequence to another.

    Args:
        size: width d.
        layers: number of layers.
        heads: heads of each.
        embedding_dropout: after the positions are added.
        has_positions: add sinusoidal positions (Vaswani et al., section 3.5) to sqrt(d) x.
        settings: see `AttentionLayer`.
    """

    def __init__(self, size: int, *, layers: int, heads: int, embedding_dropout: float = 0.0, has_positions: bool = True, **settings: object) -> None:
        super().__init__()
        self.layers = nn.ModuleList(AttentionLayer(size, heads=heads, **settings) for _ in range(layers))
        self.norm = nn.LayerNorm(size)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.has_positions = has_positions

    def forward(
        self,
        x: Float[Tensor, "batch time size"],
        mask: Bool[Tensor, "batch time"],
        other: Float[Tensor, "batch keys size"] | None = None,
        other_mask: Bool[Tensor, "batch keys"] | None = None,
        *,
        is_last_only: bool = False,
        allowed: Tensor | None = None,
    ) -> Float[Tensor, "batch queries size"]:
        """Every step's representation; with `is_last_only` the last real step's alone (`batch 1 size`), which spares most of the last layer.

        Args:
            x, mask: the stream.
            other, other_mask: the sequence that every layer attends to; None is self-attention.
            is_last_only: compute the last layer for each sample's last real step only.
            allowed: see `Attention`.
        """
        x = self._placed(x)
        if other is not None:
            other = self._placed(other)
        keys = mask if other is None else other_mask
        for layer in self.layers[:-1]:
            x = layer(x, keys, other, allowed=allowed)
        query, last = None, self.layers[-1]
        if is_last_only:
            step = (lengths(mask) - 1).clamp_min(0)
            row = torch.arange(x.shape[0], device=x.device)
            if last.attention.weights.is_recorded:  # who looks wants the whole map
                return self.norm(last(x, keys, other, allowed=allowed)[row, step][:, None])
            query = x[row, step][:, None]
            allowed = None if allowed is None else (allowed[row, step] if allowed.dim() == 3 else allowed[step])[:, None]
        return self.norm(last(x, keys, other, query=query, allowed=allowed))

    def _placed(self, x: Tensor) -> Tensor:
        """sqrt(d) x + positions."""
        if not self.has_positions:
            return self.embedding_dropout(x)
        return self.embedding_dropout(math.sqrt(x.shape[-1]) * x + positions(x.shape[1], x.shape[2]).to(x))


def positions(length: int, size: int) -> Float[Tensor, "time size"]:
    """Sinusoidal positions: sin(t / 10000^(2i/d)) in the even features, cos in the odd ones."""
    time = torch.arange(length, dtype=torch.float64)[:, None]
    rate = torch.exp(torch.arange(0, size, 2, dtype=torch.float64) * (-math.log(10_000.0) / size))
    table = torch.zeros(length, size, dtype=torch.float64)
    table[:, 0::2] = torch.sin(time * rate)
    table[:, 1::2] = torch.cos(time * rate[: size // 2])
    return table
