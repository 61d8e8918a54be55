"""Naive float64 transcription of tensor fusion's equations (Zadeh et al., EMNLP 2017), written from the paper alone, loops and all."""

from itertools import product

import numpy as np


def relu_layers(x: np.ndarray, layers: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Section 4.1 (visual, acoustic) and 4.3: fully connected layers with rectified linear units; x is one sample's vector."""
    for weight, bias in layers:
        x = np.array([max(0.0, sum(weight[o, i] * x[i] for i in range(len(x))) + bias[o]) for o in range(len(bias))])
    return x


def mean_over_time(steps: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Expected visual and acoustic features of an opinion: the mean over its real frames."""
    total, count = np.zeros(steps.shape[1]), 0
    for step, is_real in zip(steps, mask, strict=True):
        if is_real:
            total, count = total + step, count + 1
    return total / max(count, 1)


def tensor(z: list[np.ndarray]) -> np.ndarray:
    """Section 4.2: z^m = [z^l; 1] x [z^v; 1] x [z^a; 1] of one sample, an array with one axis a modality."""
    with_ones = [[*vector, 1.0] for vector in z]
    result = np.zeros([len(vector) for vector in with_ones])
    for index in product(*(range(len(vector)) for vector in with_ones)):
        value = 1.0
        for vector, i in zip(with_ones, index, strict=True):
            value *= vector[i]
        result[index] = value
    return result


def layer_over_tensor(z: list[np.ndarray], weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The first layer that reads the tensor; weight: `output, size_1, ..., size_M`."""
    z_m = tensor(z)
    return np.array([(weight[o] * z_m).sum() + bias[o] for o in range(len(bias))])
