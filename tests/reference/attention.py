"""Naive float64 transcription of attention, sample by sample, written from Vaswani et al. (NeurIPS 2017) and, for the streams and memories, from
Tsai et al. (ACL 2019); loops and all. Weights are looked up by the names of our modules."""

import math

import numpy as np


def linear(x, weights, name):
    bias = weights.get(f"{name}.bias", 0.0)
    return np.array([[sum(row[k] * w[k] for k in range(len(row))) for w in weights[f"{name}.weight"]] for row in x]) + bias


def layer_norm(x, weights, name):
    rows = []
    for row in x:
        mean = sum(row) / len(row)
        variance = sum((value - mean) ** 2 for value in row) / len(row)
        rows.append((row - mean) / math.sqrt(variance + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"])
    return np.array(rows)


def positions(length, size):
    """Section 3.5: PE(t, 2i) = sin(t / 10000^(2i/d)), PE(t, 2i+1) = cos(t / 10000^(2i/d))."""
    table = np.zeros((length, size))
    for t in range(length):
        for feature in range(size):
            angle = t / 10000 ** (2 * (feature // 2) / size)
            table[t, feature] = math.sin(angle) if feature % 2 == 0 else math.cos(angle)
    return table


def below(weights, prefix):
    """The weights of a part, by their names inside it."""
    return {name[len(prefix) + 1 :]: value for name, value in weights.items() if name.startswith(f"{prefix}.")}


def attention(query, other, mask, weights, *, heads, allowed=None):
    """Section 3.2 for one sample: what each query gets (zeros where it has no key), and the weights `head query key`."""
    size = len(weights["output.bias"])
    width = size // heads
    v = linear(other, weights, "value")
    told = np.zeros((heads, len(query), len(other)))
    found = np.zeros((len(query), size))
    has_choice = "query.weight" in weights
    q = linear(query, weights, "query") if has_choice else None
    k = linear(other, weights, "key") if has_choice else None
    for i in range(len(query)):
        keys = [j for j in range(len(other)) if mask[j] and (allowed is None or allowed[i][j])]
        if not keys:
            continue
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            scores = [float(q[i, part] @ k[j, part]) / math.sqrt(width) if has_choice else 0.0 for j in keys]
            raised = [math.exp(score - max(scores)) for score in scores]
            for j, value in zip(keys, raised, strict=True):
                told[head, i, j] = value / sum(raised)
                found[i, part] += told[head, i, j] * v[j, part]
        found[i] = linear(found[i : i + 1], weights, "output")[0]
    return found, told


def layer(x, mask, weights, *, heads, other=None, allowed=None):
    """x + attention(LN x, LN other), then x + W_2 ReLU(W_1 LN x)."""
    normed = layer_norm(x, weights, "attention_norm")
    keys = normed if other is None else layer_norm(other, weights, "attention_norm")
    x = x + attention(normed, keys, mask, below(weights, "attention"), heads=heads, allowed=allowed)[0]
    inner = np.maximum(linear(layer_norm(x, weights, "feed_forward_norm"), weights, "feed_forward.0"), 0)
    return x + linear(inner, weights, "feed_forward.3")


def transformer(x, mask, weights, *, layers, heads, other=None, other_mask=None, allowed=None, has_positions=True):
    """A stack of layers over one sample, every layer attending to the other sequence as it came in."""
    if has_positions:
        x = math.sqrt(x.shape[1]) * x + positions(*x.shape)
        other = None if other is None else math.sqrt(other.shape[1]) * other + positions(*other.shape)
    for number in range(layers):
        x = layer(x, mask if other is None else other_mask, below(weights, f"layers.{number}"), heads=heads, other=other, allowed=allowed)
    return layer_norm(x, weights, "norm")


def masked_mean(x, mask):
    real = [row for row, is_real in zip(x, mask, strict=True) if is_real]
    return sum(real) / len(real) if real else np.zeros(x.shape[1])


def length(mask):
    return max((t + 1 for t in range(len(mask)) if mask[t]), default=0)


def past(target, source):
    """Step j of the source is seen by step i of the target where j <= i + |n_source - n_target|."""
    ahead = abs(length(source) - length(target))
    return [[j <= i + ahead for j in range(len(source))] for i in range(len(target))]


def streams(z, masks, weights, *, layers, heads, is_causal=False):
    """MulT, Eq. (4): target -> list of its streams over one sample, in the order of the sources."""
    found = {}
    for target in z:
        found[target] = []
        for source in z:
            if source == target:
                continue
            allowed = past(masks[target], masks[source]) if is_causal else None
            part = below(weights, f"streams.{target}_from_{source}")
            settings = {"other": z[source], "other_mask": masks[source], "allowed": allowed}
            found[target].append(transformer(z[target], masks[target], part, layers=layers, heads=heads, **settings))
    return found


def intra(z, masks, weights, *, layers, heads):
    """Each modality's self-attention, mean over its real steps, side by side."""
    parts = [masked_mean(transformer(z[name], masks[name], below(weights, f"streams.{name}"), layers=layers, heads=heads), masks[name]) for name in z]
    return np.concatenate(parts)


def cross(z, masks, weights, *, layers, heads):
    """The mean of each stream over its target's real steps, side by side."""
    found = streams(z, masks, below(weights, "crossmodal"), layers=layers, heads=heads)
    return np.concatenate([masked_mean(stream, masks[target]) for target, values in found.items() for stream in values])


def joint(z, masks, weights, *, layers, heads):
    """All steps one after the other with places and modality vectors; the mean, or where a token `cls` is added its state."""
    size = weights["embedding"].shape[1]
    tokens = [math.sqrt(size) * values + positions(*values.shape) + weights["embedding"][i] for i, values in enumerate(z.values())]
    mask = [is_real for name in z for is_real in masks[name]]
    if "cls" in weights:
        tokens.append(weights["cls"][None])
        mask.append(True)
    states = transformer(np.concatenate(tokens), mask, below(weights, "transformer"), layers=layers, heads=heads, has_positions=False)
    return states[-1] if "cls" in weights else masked_mean(states, mask)
