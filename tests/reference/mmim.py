"""Naive float64 transcription of MMIM's bounds (sections 3.3 and 3.4), written from the paper alone, sample by sample."""

import math

import numpy as np


def dense(x: np.ndarray, weights: dict, name: str) -> np.ndarray:
    return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]


def log_q(y: np.ndarray, x: np.ndarray, weights: dict, limit: float) -> float:
    """log N(y; mu(x), sigma^2(x) I), feature by feature."""
    mean = dense(np.maximum(dense(x, weights, "mean.0"), 0), weights, "mean.2")
    log_variance = limit * np.tanh(dense(np.maximum(dense(x, weights, "log_variance.0"), 0), weights, "log_variance.2") / limit)
    total = 0.0
    for value, mu, s in zip(y, mean, log_variance, strict=True):
        total += math.log(1 / math.sqrt(2 * math.pi * math.exp(s))) - (value - mu) ** 2 / (2 * math.exp(s))
    return total


def entropy(rows: list[np.ndarray], group: list[int], ridge: float) -> float:
    """1/C sum_c 1/2 log det(2 pi e (Sigma_c + ridge I)), over the groups with at least two rows."""
    found = []
    for c in sorted(set(group) - {-1}):
        members = [row for row, g in zip(rows, group, strict=True) if g == c]
        if len(members) < 2:
            continue
        mean = sum(members) / len(members)
        covariance = sum(np.outer(row, row) for row in members) / len(members) - np.outer(mean, mean)
        eigenvalues = np.linalg.eigvalsh(covariance + ridge * np.eye(len(mean)))
        found.append(0.5 * sum(math.log(2 * math.pi * math.e * value) for value in eigenvalues))
    return sum(found) / len(found) if found else 0.0


def contrast(z: list[np.ndarray], predicted: list[np.ndarray], present: list[bool]) -> float:
    """-mean_i log( s_ii / sum_j s_ij ), s_ij = exp(cos(G(Z_i), h_j)), over the samples that have the modality."""
    rows = [i for i in range(len(z)) if present[i]]
    terms = []
    for i in rows:
        scores = {j: math.exp(predicted[i] @ z[j] / np.linalg.norm(predicted[i]) / np.linalg.norm(z[j])) for j in rows}
        terms.append(-math.log(scores[i] / sum(scores.values())))
    return sum(terms) / len(terms) if terms else 0.0
