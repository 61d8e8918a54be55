"""Naive float64 transcription of low-rank multimodal fusion (Liu et al., ACL 2018), written from the paper alone, loops and all."""

import numpy as np


def weight_tensor(factors: list[np.ndarray], rank_weight: np.ndarray) -> np.ndarray:
    """Section 3.2: W = sum_i v_i w_1^(i) x ... x w_M^(i) for each output; factors: one array `rank, size + 1, output` a modality."""
    rank, _, outputs = factors[0].shape
    weight = np.zeros([outputs, *(factor.shape[1] for factor in factors)])
    for o in range(outputs):
        for i in range(rank):
            part = np.array(1.0)
            for factor in factors:
                part = np.multiply.outer(part, factor[i, :, o])
            weight[o] += rank_weight[i] * part
    return weight


def fused(z: list[np.ndarray], factors: list[np.ndarray], rank_weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Section 3.2, the equation for h without the tensor, of one sample: sum over the rank of products over the modalities."""
    rank, _, outputs = factors[0].shape
    h = np.zeros(outputs)
    for o in range(outputs):
        for i in range(rank):
            value = 1.0
            for vector, factor in zip(z, factors, strict=True):
                value *= sum(x * w for x, w in zip([*vector, 1.0], factor[i, :, o], strict=True))
            h[o] += rank_weight[i] * value
        h[o] += bias[o]
    return h
