"""Naive float64 transcription of MISA's equations (sections 3.2 to 3.4), written from the paper alone, loops and all."""

import math

import numpy as np


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def linear(x: np.ndarray, weights: dict, name: str) -> np.ndarray:
    # A key needs no bias: it adds the same to every score of a query.
    return weights[f"{name}.weight"] @ x + weights.get(f"{name}.bias", 0)


def layer_norm(x: np.ndarray, weights: dict, name: str) -> np.ndarray:
    deviation = x - x.mean()
    return deviation / math.sqrt((deviation**2).mean() + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def length(x: np.ndarray) -> float:
    return math.sqrt(sum(value**2 for value in x))


def cmd(a: list[np.ndarray], b: list[np.ndarray], highest: int = 5) -> float:
    """Central moment discrepancy of two sets of vectors in [0, 1]; 0 where one is empty."""
    if not a or not b:
        return 0.0
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    total = length(mean_a - mean_b)
    for k in range(2, highest + 1):
        moment_a = sum((x - mean_a) ** k for x in a) / len(a)
        moment_b = sum((x - mean_b) ** k for x in b) / len(b)
        total += length(moment_a - moment_b)
    return total


def orthogonality(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    """|| A^T B ||_F^2 of centred rows of length one, as the mean over its entries."""
    if not a:
        return 0.0
    a, b = ([x - sum(rows) / len(rows) for x in rows] for rows in (a, b))
    a, b = ([x / np.linalg.norm(x) if np.linalg.norm(x) > 0 else x for x in rows] for rows in (a, b))
    product = sum(np.outer(x, y) for x, y in zip(a, b, strict=True))
    return sum(value**2 for value in product.ravel()) / product.size


def attended(nodes: list[np.ndarray], mask: list[bool], weights: dict, heads: int) -> tuple[list[np.ndarray], np.ndarray]:
    """One sample's nodes after the layer (zeros where masked), and the attention weights `head node node`."""
    n, size = len(nodes), len(nodes[0])
    width = size // heads
    normed = [layer_norm(x, weights, "layer.attention_norm") for x in nodes]
    q, k, v = ([linear(x, weights, f"layer.attention.{part}") for x in normed] for part in ("query", "key", "value"))
    alpha = np.zeros((heads, n, n))
    out = []
    for i in range(n):
        joined = np.zeros(size)
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            scores = [math.exp(q[i][part] @ k[j][part] / math.sqrt(width)) if mask[j] else 0.0 for j in range(n)]
            alpha[head, i] = np.array(scores) / sum(scores)
            joined[part] = sum(alpha[head, i, j] * v[j][part] for j in range(n))
        x = nodes[i] + linear(joined, weights, "layer.attention.output")
        inner = np.maximum(linear(layer_norm(x, weights, "layer.feed_forward_norm"), weights, "layer.feed_forward.0"), 0)
        out.append((x + linear(inner, weights, "layer.feed_forward.3")) * mask[i])
    return out, alpha


def forward(u: dict[str, np.ndarray], present: dict[str, np.ndarray], weights: dict, heads: int) -> tuple[np.ndarray, dict[str, float], dict]:
    """Fused vectors, unweighted losses, and shared and specific vectors by modality; u: `batch feature` by modality."""
    names, batch = list(u), len(next(iter(u.values())))
    shared = {m: [sigmoid(linear(u[m][i], weights, "common.0")) for i in range(batch)] for m in names}
    specific = {m: [sigmoid(linear(u[m][i], weights, f"private.{m}.0")) for i in range(batch)] for m in names}

    def rows(space: dict, m: str, *others: str) -> list[np.ndarray]:
        return [space[m][i] for i in range(batch) if all(present[name][i] for name in (m, *others))]

    pairs = [(names[i], names[j]) for i in range(len(names)) for j in range(i + 1, len(names))]
    similarity = sum(cmd(rows(shared, a), rows(shared, b)) for a, b in pairs) / len(pairs)
    difference = sum(orthogonality(rows(shared, m), rows(specific, m)) for m in names)
    difference += sum(orthogonality(rows(specific, a, b), rows(specific, b, a)) for a, b in pairs)
    reconstruction = 0.0
    for m in names:
        errors = [((linear(shared[m][i] + specific[m][i], weights, "decoder") - u[m][i]) ** 2).mean() for i in range(batch) if present[m][i]]
        reconstruction += sum(errors) / max(len(errors), 1) / len(names)
    fused = []
    for i in range(batch):
        mask = [bool(present[m][i]) for m in names] * 2
        nodes = [vector * here for vector, here in zip([shared[m][i] for m in names] + [specific[m][i] for m in names], mask, strict=True)]
        fused.append(np.concatenate(attended(nodes, mask, weights, heads)[0]))
    losses = {"similarity": similarity, "difference": difference, "reconstruction": reconstruction}
    return np.array(fused), losses, {"shared": shared, "specific": specific}
