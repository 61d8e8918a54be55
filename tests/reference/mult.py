"""Naive float64 transcription of MulT (Tsai et al., ACL 2019) for one sample, written from the paper alone; attention is that of `attention.py`."""

import numpy as np
from reference import attention


def eq2_convolution(x, kernel):
    """x: `time size`; kernel: `width size steps`. Zeros stand beyond both ends; of an even number of steps one more lies ahead."""
    width, _, steps = kernel.shape
    out = np.zeros((len(x), width))
    for t in range(len(x)):
        for step in range(steps):
            at = t + step - (steps - 1) // 2
            if 0 <= at < len(x):
                for feature in range(width):
                    out[t, feature] += float(kernel[feature, :, step] @ x[at])
    return out


def forward(x, masks, weights, *, layers, memory_layers, heads, is_causal=False):
    """The prediction for one sample; x: modality name to `time size`, zeros where a step is not real."""
    z = {}
    for name, values in x.items():
        z[name] = eq2_convolution(values, weights[f"projections.{name}.convolution.weight"]) * np.array(masks[name], float)[:, None]
    return head(fused(z, masks, attention.below(weights, "fusion"), layers, memory_layers, heads, is_causal), attention.below(weights, "head"))


def fused(z, masks, weights, layers, memory_layers, heads, is_causal=False):
    """Sections 3.2 and 3.3: the last real step of each target's memory, side by side."""
    streams = attention.streams(z, masks, attention.below(weights, "crossmodal"), layers=layers, heads=heads, is_causal=is_causal)
    last = []
    for name, values in streams.items():
        together = np.concatenate(values, axis=1)
        allowed = attention.past(masks[name], masks[name]) if is_causal else None
        part = attention.below(weights, f"memories.{name}")
        states = attention.transformer(together, masks[name], part, layers=memory_layers, heads=heads, allowed=allowed)
        steps = attention.length(masks[name])
        last.append(states[steps - 1] if steps else np.zeros(together.shape[1]))
    return np.concatenate(last)


def head(h, weights):
    """h + W_2 ReLU(W_1 h), then the output layer."""
    h = h[None]
    h = h + attention.linear(np.maximum(attention.linear(h, weights, "block.0"), 0), weights, "block.3")
    return attention.linear(h, weights, "output")[0]


def parameter_count(sizes, kernels, *, d, layers, memory_layers, outputs):
    """By the paper: convolutions; M (M - 1) streams of width d; M memories of width (M - 1) d; residual block and output. Keys have no bias; a
    feed-forward part is d -> 4d -> d."""
    m = len(sizes)

    def transformer(width, count):
        attention_layer = 4 * width**2 + 3 * width
        feed_forward = 2 * 4 * width**2 + 4 * width + width
        norms = 2 * 2 * width
        return count * (attention_layer + feed_forward + norms) + 2 * width

    convolutions = sum(size * d * kernel for size, kernel in zip(sizes, kernels, strict=True))
    width = m * (m - 1) * d
    residual = 2 * (width**2 + width) + width * outputs + outputs
    return convolutions + m * (m - 1) * transformer(d, layers) + m * transformer((m - 1) * d, memory_layers) + residual
