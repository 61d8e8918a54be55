"""Naive float64 transcription of adaptive weight fusion's equations, written from the paper alone, loops and all."""

import numpy as np


def eq7_gradient_magnitude(gradient: np.ndarray) -> float:
    total = 0.0
    for row in gradient:
        for value in row:
            total += abs(value)
    return total / gradient.size


def eq8_mean(g: list[float]) -> float:
    return sum(g) / len(g)


def eq9_ratio(g: list[float]) -> list[float]:
    return [max(g) / value for value in g]


def eq6_loss(g: list[float]) -> float:
    bar, ratio = eq8_mean(g), eq9_ratio(g)
    return sum(abs(g[i] - bar * ratio[i]) for i in range(len(g)))


def eq11_12_alpha(z: list[np.ndarray], w1: np.ndarray, w2: np.ndarray) -> np.ndarray:
    """z: one array `batch feature` a modality; w1, w2 in the orientation of the paper (row vector times matrix)."""
    batch = len(z[0])
    alpha = np.zeros((batch, len(z)))
    for n in range(batch):
        pooled = np.array([sum(z[i][n]) / len(z[i][n]) for i in range(len(z))])
        hidden = np.maximum(pooled @ w1, 0)
        alpha[n] = 1 / (1 + np.exp(-(hidden @ w2)))
    return alpha


def algorithm1_forward(z: list[np.ndarray], omega: list[float], alpha: np.ndarray) -> np.ndarray:
    """Lines 4 to 7: Z = (Z_GB + Z_ATT) / 2."""
    rows = []
    for n in range(len(z[0])):
        balanced, attention = [], []
        for i, values in enumerate(z):
            balanced += [omega[i] * value for value in values[n]]
            attention += [alpha[n, i] * value for value in values[n]]
        rows.append([(b + a) / 2 for b, a in zip(balanced, attention, strict=True)])
    return np.array(rows)
