"""Naive float64 transcriptions of MLDFA's encoders for one sample, Eqs. (1)-(8), written from the paper (and, for the patches, from Dosovitskiy et
al., ICLR 2021, Eqs. (1)-(3)); loops and all. Weights are looked up by the names of our modules; attention is that of `attention.py`."""

import numpy as np
from reference import attention


def real(x, mask):
    """Zeros where a step is not real."""
    return np.array([row if is_real else np.zeros_like(row) for row, is_real in zip(x, mask, strict=True)])


def step_transformer(x, mask, weights, *, layers, heads):
    """Eqs. (1), (2); x: `time size`."""
    inside = attention.linear(real(x, mask), weights, "inside")
    return real(attention.transformer(inside, mask, attention.below(weights, "transformer"), layers=layers, heads=heads), mask)


def frames(x, mask, weights):
    """Eqs. (7), (8); x: `time size`. The backward direction begins at the last real step."""
    seen = real(eq7(real(x, mask), weights["convolution.weight"], weights["convolution.bias"]), mask)
    steps = attention.length(mask)
    out = lstm(seen, attention.below(weights, "recurrent.forwards.0"))
    if "recurrent.backwards.0.weight_ih_l0" in weights:
        turned = lstm(seen[:steps][::-1], attention.below(weights, "recurrent.backwards.0"))[::-1]
        back = np.zeros((len(x), turned.shape[1]))
        back[:steps] = turned
        out = np.concatenate([out, back], axis=1)
    return real(out, mask)


def eq7(x, kernel, bias):
    """ReLU of a convolution over time; kernel: `width size steps`. Zeros stand beyond both ends; of an even number of steps one more lies ahead."""
    width, _, steps = kernel.shape
    out = np.zeros((len(x), width))
    for t in range(len(x)):
        for feature in range(width):
            total = bias[feature]
            for step in range(steps):
                at = t + step - (steps - 1) // 2
                if 0 <= at < len(x):
                    total += float(kernel[feature, :, step] @ x[at])
            out[t, feature] = max(total, 0)
    return out


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, weights):
    """The states of an LSTM over all steps; gates stand in torch's order (input, forget, candidate, output)."""
    size = weights["weight_hh_l0"].shape[1]
    h, c, states = np.zeros(size), np.zeros(size), []
    for step in x:
        gates = weights["weight_ih_l0"] @ step + weights["bias_ih_l0"] + weights["weight_hh_l0"] @ h + weights["bias_hh_l0"]
        i, f, g, o = (gates[n * size : (n + 1) * size] for n in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states).reshape(-1, size)


def convolution(image, kernel, bias, stride):
    """3 x 3 over `channel height width`, zeros one pixel beyond every edge, then ReLU."""
    width, _, rows, columns = kernel.shape
    _, height, breadth = image.shape
    out = np.zeros((width, -(-height // stride), -(-breadth // stride)))
    for place in np.ndindex(*out.shape):
        total = bias[place[0]]
        for i in range(rows):
            for j in range(columns):
                y, x = place[1] * stride + i - 1, place[2] * stride + j - 1
                if 0 <= y < height and 0 <= x < breadth:
                    total += float(kernel[place[0], :, i, j] @ image[:, y, x])
        out[place] = max(total, 0)
    return out


def patches(feature_map, kernel, bias):
    """Patches that do not overlap, row by row, each laid flat and brought to the width; what lies beyond the map is zero."""
    rows, columns = kernel.shape[2:]
    _, height, breadth = feature_map.shape
    tokens = []
    for top in range(0, height, rows):
        for left in range(0, breadth, columns):
            part = feature_map[:, top : top + rows, left : left + columns]
            tokens.append([float((w[:, : part.shape[1], : part.shape[2]] * part).sum()) + b for w, b in zip(kernel, bias, strict=True)])
    return np.array(tokens)


def patch_transformer(image, weights, *, strides, layers, heads):
    """Eqs. (4)-(6): the states of all tokens, [CLS] first where there is one."""
    for number, stride in enumerate(strides):
        image = convolution(image, weights[f"convolutions.{2 * number}.weight"], weights[f"convolutions.{2 * number}.bias"], stride)
    tokens = patches(image, weights["patches.weight"], weights["patches.bias"])
    if "cls" in weights:
        tokens = np.concatenate([weights["cls"][0], tokens])
    tokens = tokens + weights["places"][0]
    part = attention.below(weights, "transformer")
    return attention.transformer(tokens, [True] * len(tokens), part, layers=layers, heads=heads, has_positions=False)
