"""Naive float64 transcription of hierarchical delta-attention, sample by sample, written from the paper alone: with the tensor of all differences,
time x time x feature, and canonical correlations as a generalised eigenvalue problem. Weights are looked up by the names of our modules."""

import math

import numpy as np
import scipy.linalg
from reference.attention import below, linear, masked_mean


def step_before(mask, t):
    """The real step that stands at place t: t, else the last real one before it, else the first real one (0 where none is real)."""
    real = [s for s in range(len(mask)) if mask[s]]
    return max((s for s in real if s <= t), default=real[0] if real else 0)


def convolution(x, mask, kernel, bias, padding):
    """x: `time size`; kernel: `width size steps`; of an even number of steps one more lies ahead."""
    width, _, steps = kernel.shape
    out = np.zeros((len(x), width))
    for t in range(len(x)):
        for step in range(steps):
            at = t + step - (steps - 1) // 2
            if padding == "repeat":
                out[t] += kernel[:, :, step] @ x[step_before(mask, at)]
            elif 0 <= at < len(x) and mask[at]:
                out[t] += kernel[:, :, step] @ x[at]
    return out + bias


def eq9(x, mask, weights, padding):
    return convolution(x, mask, weights["convolution.weight"], weights.get("convolution.bias", 0.0), padding)


def eq10_rpe(x, relative, length, window, direction):
    """RPE_ij = (x_j - x_i) . W_rel[:, j - i] by the tensor of all differences, `time time feature`; relative: `feature offsets`."""
    reach = length - 1 if window is None else min(window, length - 1)
    lowest = 0 if direction == "forward" else -reach
    changes = x[None, :, :] - x[:, None, :]
    assert changes.shape == (len(x), len(x), x.shape[1])
    rpe = np.zeros((len(x), len(x)))
    for i in range(len(x)):
        for j in range(len(x)):
            column = min(max(j - i - lowest, 0), relative.shape[1] - 1)
            rpe[i, j] = changes[i, j] @ relative[:, column]
    return rpe


def may_see(i, j, window, direction):
    is_near = window is None or abs(j - i) <= window
    return is_near and (direction == "both" or (j >= i if direction == "forward" else j <= i))


def eq11(x, mask, weights, *, heads, length, window=None, direction="both", positions="shared", has_content=True):
    """All heads side by side, `time heads x d_ch`; their weights, and the weights without RPE, `head time time`."""
    size = x.shape[1]
    q, k = (linear(x, weights, name) if has_content and length > 1 else np.zeros((len(x), heads * size)) for name in ("query", "key"))
    v = linear(x, weights, "value")
    found, told, plain = np.zeros((len(x), heads * size)), np.zeros((heads, len(x), len(x))), np.zeros((heads, len(x), len(x)))
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        rpe = np.zeros((len(x), len(x)))
        if positions != "none" and length > 1:
            rpe = eq10_rpe(x, weights["relative"][head if positions == "per_head" else 0], length, window, direction)
        for i in range(len(x)):
            keys = [j for j in range(len(x)) if mask[j] and may_see(i, j, window, direction)]
            for table, term in ((told, rpe[i]), (plain, np.zeros(len(x)))):
                raised = {j: math.exp((q[i, part] @ k[j, part] + term[j]) / math.sqrt(size)) for j in keys}
                for j in keys:
                    table[head, i, j] = raised[j] / sum(raised.values())
            found[i, part] = sum((told[head, i, j] * v[j, part] for j in keys), np.zeros(size))
    return found, told, plain


def encoder(x, mask, weights, *, length, padding="repeat", is_centred=False, **settings):
    """Eqs. (9)-(11); zeros where a step is not real. x: zeros where a step is not real."""
    x = eq9(x, mask, below(weights, "convolution"), "zeros" if length == 1 else padding)
    if is_centred and length > 1:
        x = x - masked_mean(x, mask)
    return eq11(x, mask, below(weights, "attention"), length=length, **settings)[0] * np.array(mask, float)[:, None]


def two_layers(x, mask, weights):
    """E_M, D_M: convolution, ReLU, convolution; zeros where a step is not real."""
    real = np.array(mask, float)[:, None]
    inner = np.maximum(convolution(x, mask, weights["first.weight"], weights["first.bias"], "zeros"), 0) * real
    return convolution(inner, mask, weights["second.weight"], weights["second.bias"], "zeros") * real


def eq13_correlations(a, b, ridge):
    """The largest eigenvalues of [[0, S_ab], [S_ba, 0]] v = rho [[S_aa, 0], [0, S_bb]] v, as many as the smaller side has features."""
    a, b = a - a.mean(0), b - b.mean(0)
    left, right, n = a.shape[1], b.shape[1], len(a) - 1
    saa, sbb, sab = a.T @ a / n, b.T @ b / n, a.T @ b / n
    saa = saa + ridge * np.trace(saa) / left * np.eye(left)
    sbb = sbb + ridge * np.trace(sbb) / right * np.eye(right)
    whole = np.block([[np.zeros((left, left)), sab], [sab.T, np.zeros((right, right))]])
    return scipy.linalg.eigh(whole, scipy.linalg.block_diag(saa, sbb), eigvals_only=True)[::-1][: min(left, right)]


def length_of(mask):
    return max((t + 1 for t in range(len(mask)) if mask[t]), default=0)


def pairs_of_steps(a, b, a_mask, b_mask):
    """For each real step t of a sample's n steps of a: that step, and the mean of b's real steps in the share t/n .. (t+1)/n of its time."""
    n, m = length_of(a_mask), length_of(b_mask)
    for t in range(n):
        inside = [s for s in range(m) if b_mask[s] and (s + 1) * n > t * m and s * n < (t + 1) * m]
        if a_mask[t] and inside:
            yield a[t], sum(b[s] for s in inside) / len(inside)


def eq13_loss(encoded, masks, lengths, ridge):
    """Minus the sum over the pairs of the sum of their canonical correlations; encoded, masks: modality name to one array a sample."""
    names, total = list(encoded), 0.0
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            is_turned = lengths[other] > 1 and (lengths[one] == 1 or lengths[other] < lengths[one])
            first, second = (other, one) if is_turned else (one, other)
            rows = [
                row
                for i in range(len(masks[one]))
                for row in pairs_of_steps(encoded[first][i], encoded[second][i], masks[first][i], masks[second][i])
            ]
            total -= eq13_correlations(np.array([a for a, _ in rows]), np.array([b for _, b in rows]), ridge).sum()
    return total


def unexplained(y, said, masks):
    """The summed squares of what is not told, over those around the mean, of all real steps of all samples; D tells of the distance from the mean in
    units of the spread over all features."""
    rows = np.array([y[i][t] for i in range(len(y)) for t in range(len(y[i])) if masks[i][t]])
    told = np.array([said[i][t] for i in range(len(y)) for t in range(len(y[i])) if masks[i][t]])
    mean = rows.mean(0)
    told = mean + told * math.sqrt(((rows - mean) ** 2).sum() / rows.size)
    return ((rows - told) ** 2).sum() / ((rows - mean) ** 2).sum()


def eq16(x, mask, weights, heads):
    """softmax(Q K^T / sqrt(d_t)) V over the fused steps of one sample; several heads share d_t."""
    q, k, v = (linear(x, weights, name) for name in ("query", "key", "value"))
    width = v.shape[1] // heads
    out = np.zeros_like(v)
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        for i in range(len(x)):
            raised = [math.exp(q[i, part] @ k[j, part] / math.sqrt(width)) if mask[j] else 0.0 for j in range(len(x))]
            if sum(raised):
                out[i, part] = sum(raised[j] * v[j, part] for j in range(len(x))) / sum(raised)
    return out


def fused(y, masks, weights, *, heads=1, skip="added", pooling="modality", has_correlation=True):
    """Section 4.3 for one sample: the fused vector, and the mean of each modality's encoding."""
    steps, encoded = [], {}
    for name, values in y.items():
        real = np.array(masks[name], float)[:, None]
        own = []
        if has_correlation:
            encoded[name] = two_layers(values, masks[name], below(weights, f"encode.{name}"))
            own.append(encoded[name])
        if skip != "none":
            own.append(linear(values, below(weights, "skip"), name) * real)
        steps.append(np.concatenate(own, axis=1) if skip == "beside" else sum(own))
    mask = [is_real for name in y for is_real in masks[name]]
    states = eq16(np.concatenate(steps), mask, below(weights, "attention"), heads)
    if pooling == "steps":
        return masked_mean(states, mask), encoded
    means, start = [], 0
    for name in y:
        own = states[start : start + len(masks[name])]
        start += len(masks[name])
        if any(masks[name]):
            means.append(masked_mean(own, masks[name]))
    return sum(means) / len(means) if means else np.zeros(states.shape[1]), encoded


def represented(x, masks, weights, lengths, **settings):
    """Y_M of one sample, Eq. (12)."""
    return {
        name: linear(
            encoder(x[name], masks[name], below(weights, f"encoders.{name}"), length=lengths[name], **settings), weights, f"projections.{name}"
        )
        * np.array(masks[name], float)[:, None]
        for name in x
    }


def eq17(vector, weights):
    """The scores before the softmax."""
    return linear(vector[None], weights, "head")[0]
