"""Naive float64 transcription of MMILN, Eqs. (5)-(28), for one sample, written from the paper alone; loops and all.

Attention with its biases is that of `attention.py`, the generated labels are in `ulgm.py`. Weights are looked up by the names of our modules. A
sample is a mapping modality name -> X^0 (`time d`) and masks.
"""

import math

import numpy as np
from reference.attention import attention, below, layer_norm, linear, masked_mean


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


def gru(rows, w_ih, w_hh, b_ih, b_hh):
    """Cho et al. (2014) as in Chung et al.: r, z, n; h' = (1 - z) n + z h, from a state of zeros; the state after each row."""
    size = w_hh.shape[1]
    h, states = np.zeros(size), []
    for x in rows:
        r, z, n = (slice(g * size, (g + 1) * size) for g in range(3))
        reset = sigmoid(w_ih[r] @ x + b_ih[r] + w_hh[r] @ h + b_hh[r])
        update = sigmoid(w_ih[z] @ x + b_ih[z] + w_hh[z] @ h + b_hh[z])
        new = np.tanh(w_ih[n] @ x + b_ih[n] + reset * (w_hh[n] @ h + b_hh[n]))
        h = (1 - update) * new + update * h
        states.append(h)
    return states


def eq7_pooled(x, mask, weights, *, is_full=False):
    """avgpool(BiGRU(X)): over the real steps; the second direction from the last real one."""
    size = x.shape[1]
    if not any(mask):
        return np.zeros(size)
    if "once.weight" in weights:  # one step: no state before it
        width = len(weights["candidate"])
        a = weights["once.weight"] @ x[0] + weights["once.bias"]
        state = (1 - sigmoid(a[width : 2 * width])) * np.tanh(a[2 * width :] + sigmoid(a[:width]) * weights["candidate"])
        return (state[:size] + state[size:]) / 2 if is_full else state
    length = max(t + 1 for t in range(len(x)) if mask[t])
    real = [t for t in range(length) if mask[t]]
    pooled = []
    for part, order in (("forwards", range(length)), ("backwards", range(length - 1, -1, -1))):
        if f"{part}.weight_hh_l0" in weights:
            states = gru([x[t] for t in order], *(weights[f"{part}.{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")))
            by_time = dict(zip(order, states, strict=True))
            pooled.append(sum(by_time[t] for t in real) / len(real))
    return sum(pooled) / 2 if is_full else np.concatenate(pooled)


def gates(x, mask, weights, *, has_gates, is_full):
    """Eqs. (7)-(9), (16), (19), (20): h, g_r, g_c; ones without gates."""
    if not has_gates:
        return None, np.ones(x.shape[1]), np.ones(x.shape[1])
    h = eq7_pooled(x, mask, below(weights, "pooled"), is_full=is_full)
    return h, sigmoid(weights["to_retain.weight"] @ h), sigmoid(weights["to_compound.weight"] @ h)


def closed(told, x, g_r, g_c, mask, weights):
    """Eqs. (11), (12) and (22), (23)."""
    y = layer_norm(np.array([g_c * told[t] + g_r * x[t] for t in range(len(x))]), weights, "gate_norm")
    inner = np.maximum(linear(y, weights, "feed_forward.0"), 0)
    out = layer_norm(y + linear(inner, weights, "feed_forward.3"), weights, "norm")
    return np.array([out[t] if mask[t] else np.zeros(x.shape[1]) for t in range(len(x))])


def eq5_gate_transformer(x, mask, weights, *, heads, has_gates=True, residual="previous", is_full=False):
    """X^i, X_mh^i and h^i of one modality."""
    h, g_r, g_c = gates(x, mask, weights, has_gates=has_gates, is_full=is_full)
    told, _ = attention(x, x, mask, below(weights, "attention"), heads=heads)
    told = np.array([told[t] if mask[t] else np.zeros(x.shape[1]) for t in range(len(x))])
    once = closed(told, x, g_r, g_c, mask, weights)
    return (closed(told, once, g_r, g_c, mask, weights) if residual == "current" else once), told, h


def eq13_sag_transformer(x, mask, mh, mh_mask, weights, *, heads, has_gates=True, has_screening=True, is_full=False):
    """X_f^i and h_f^i; with one step of the other modality the query plays no part, and its self-attention is not computed."""
    asking = attention(x, x, mask, below(weights, "self_attention"), heads=heads)[0] if "self_attention.value.weight" in weights else x
    h, g_r, g_c = gates(x, mask, weights, has_gates=has_gates, is_full=is_full)
    screened = mh
    if has_gates and has_screening:
        screened = np.array([sigmoid(weights["to_screening.weight"] @ mh[t]) * mh[t] for t in range(len(mh))])
    told, _ = attention(asking, screened, mh_mask, below(weights, "cross_attention"), heads=heads)
    return closed(told, x, g_r, g_c, mask, weights), h


def forward(z, masks, weights, *, center, layers, heads, has_gates=True, has_screening=True, has_gate_fusion=True, residual="previous", gru="half"):
    """Eqs. (5)-(27) of one sample: F_m, the others' pooled X^k_n, and by layer h_n and pooled X_n, h_f and pooled X_f."""
    others = [name for name in z if name != center]
    shared = {"heads": heads, "has_gates": has_gates, "is_full": gru == "full"}
    mask = masks[center] if any(masks[center]) or not has_gate_fusion else [True] + [False] * (len(masks[center]) - 1)
    parts, ends, own, streams = {}, [], {}, {}
    for n in others:
        x, stream = z[n], z[center]
        own[n], streams[n] = [], []
        for i in range(layers):
            x, mh, h = eq5_gate_transformer(x, masks[n], below(weights, f"unimodal.{n}.layers.{i}"), residual=residual, **shared)
            own[n].append((h, masked_mean(x, masks[n])))
            if has_gate_fusion:
                part = below(weights, f"fused.{n}.layers.{i}")
                stream, h = eq13_sag_transformer(stream, mask, mh, masks[n], part, has_screening=has_screening, **shared)
                streams[n].append((h, masked_mean(stream, mask)))
        parts[n] = masked_mean(x, masks[n])
        ends.append(masked_mean(stream, mask) if has_gate_fusion else parts[n])
    if not has_gate_fusion:
        ends.insert(0, masked_mean(z[center], masks[center]))
    fused = np.maximum(weights["post.1.weight"] @ np.concatenate(ends) + weights["post.1.bias"], 0)
    return fused, parts, own, streams


def eq24_cmd(a, b, moment, *, moments=5):
    """CMD_K of sigmoid a and sigmoid b with bounds 0 and 1; `moment(x, order)` gives central moments of a column."""
    a, b = sigmoid(a), sigmoid(b)
    columns = range(a.shape[1])
    total = math.sqrt(sum((a[:, f].mean() - b[:, f].mean()) ** 2 for f in columns))
    for k in range(2, moments + 1):
        total += math.sqrt(sum((moment(a[:, f], k) - moment(b[:, f], k)) ** 2 for f in columns))
    return total


def eq26_difference(a, b, *, is_mean=False):
    """The squared Frobenius norm of A^T B, features centred over the samples, then samples of length one."""

    def unit(rows):
        rows = rows - sum(rows) / len(rows)
        return np.array([row / math.sqrt(sum(row**2) + 1e-12) for row in rows])

    a, b = unit(a), unit(b)
    total = 0.0
    for i in range(a.shape[1]):
        for j in range(b.shape[1]):
            total += sum(a[n, i] * b[n, j] for n in range(len(a))) ** 2
    return total / (a.shape[1] * b.shape[1]) if is_mean else total


def parameter_count(sizes, *, center, d, layers, post, unimodal, outputs, kernel=3):
    """Of a regression with sequences only, each through an LSTM; by the paper's equations, keys without bias as everywhere here.

    Args:
        sizes: modality name to features.
    """
    others = len(sizes) - 1
    lstm = sum(4 * d * (size + d) + 8 * d for size in sizes.values())
    convolution = len(sizes) * d * d * kernel
    first, second = d - d // 2, d // 2
    bigru = sum(3 * w * (d + w) + 6 * w for w in (first, second))
    attending = 4 * d * d + 3 * d
    closing = 2 * d * d + 4 * d + (d * 4 * d + 4 * d) + (4 * d * d + d)  # two gates, two norms, feed-forward
    gate_transformer = bigru + attending + closing
    sag_transformer = bigru + 2 * attending + closing + d * d
    whole = (others * d + 1) * post + (post + 1) * outputs
    single = others * ((d + 1) * unimodal + (unimodal + 1) * outputs)
    assert center in sizes
    return lstm + convolution + layers * others * (gate_transformer + sag_transformer) + whole + single
