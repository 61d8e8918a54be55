"""Naive float64 transcriptions of the terms that coordinate representations, written from their papers, loops and all."""

import math

import numpy as np


def cmd(a: np.ndarray, b: np.ndarray, moments: int) -> float:
    """Zellinger et al. (2017), Definition 2, bounds 0 and 1."""

    def length(values: list[float]) -> float:
        return math.sqrt(sum(value * value for value in values))

    features = range(a.shape[1])
    mean = [[sum(x[:, f]) / len(x) for f in features] for x in (a, b)]
    total = length([mean[0][f] - mean[1][f] for f in features])
    for k in range(2, moments + 1):
        moment = [[sum((value - mean[side][f]) ** k for value in x[:, f]) / len(x) for f in features] for side, x in enumerate((a, b))]
        total += length([moment[0][f] - moment[1][f] for f in features])
    return total


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """MISA (2020), section 3.4: || A^T B ||_F^2; every feature centred over the batch, every row of length one."""
    rows = []
    for x in (a, b):
        centred = x - np.array([sum(x[:, f]) / len(x) for f in range(x.shape[1])])
        rows.append(np.array([row / math.sqrt(sum(row * row)) for row in centred]))
    total = 0.0
    for i in range(a.shape[1]):
        for j in range(b.shape[1]):
            total += sum(rows[0][n, i] * rows[1][n, j] for n in range(len(a))) ** 2
    return total


def canonical_correlations(a: np.ndarray, b: np.ndarray, ridge: float) -> np.ndarray:
    """Andrew et al. (2013), section 2: singular values of S_aa^{-1/2} S_ab S_bb^{-1/2}, by the eigenvalues of each covariance."""
    n = len(a)
    a, b = a - a.mean(0), b - b.mean(0)

    def inverse_root(x: np.ndarray) -> np.ndarray:
        covariance = x.T @ x / (n - 1)
        covariance = covariance + ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        values, vectors = np.linalg.eigh(covariance)
        return sum(np.outer(vectors[:, k], vectors[:, k]) / math.sqrt(values[k]) for k in range(len(values)))

    return np.linalg.svd(inverse_root(a) @ (a.T @ b / (n - 1)) @ inverse_root(b), compute_uv=False)


def info_nce(a: np.ndarray, b: np.ndarray, temperature: float) -> float:
    """CLIP (2021), Figure 3: cross entropy over rows and over columns of the cosine similarities, averaged."""

    def cosine(x: np.ndarray, y: np.ndarray) -> float:
        return sum(x * y) / math.sqrt(sum(x * x) * sum(y * y))

    n, total = len(a), 0.0
    s = [[cosine(a[i], b[j]) / temperature for j in range(n)] for i in range(n)]
    for i in range(n):
        total -= s[i][i] - math.log(sum(math.exp(s[i][j]) for j in range(n)))
        total -= s[i][i] - math.log(sum(math.exp(s[j][i]) for j in range(n)))
    return total / (2 * n)
