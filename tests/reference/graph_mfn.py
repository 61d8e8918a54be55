"""Naive float64 transcription of the dynamic fusion graph (ACL 2018): one step of one sample."""

import numpy as np


def powerset(names: list[str]) -> list[tuple[str, ...]]:
    """Non-empty sets by counting in binary, then ordered by size and by place."""
    found = []
    for number in range(1, 2 ** len(names)):
        found.append(tuple(name for place, name in enumerate(names) if number >> place & 1))
    return sorted(found, key=lambda s: (len(s), [names.index(name) for name in s]))


def edges(names: list[str]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """From each set to each larger set that holds it, in the order of the larger one; then from each to the output."""
    sets = powerset(names)
    inner = [(small, large) for large in sets for small in sets if len(small) < len(large) and set(small) < set(large)]
    return inner + [(s, ("output",)) for s in sets]


def relu_network(x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    first, first_bias, second, second_bias = weights
    return second @ np.maximum(first @ x + first_bias, 0) + second_bias


def graph_step(
    before: dict[str, np.ndarray], now: dict[str, np.ndarray], singles: dict[str, list], networks: dict[tuple, list], output: list, efficacies: list
) -> tuple[np.ndarray, np.ndarray]:
    """T^t and the efficacies, in the order of `edges`.

    Args:
        before, now: memories c^{t-1}, c^t by modality.
        singles: weight and bias of D_m by modality.
        networks: D_s by set.
        output, efficacies: D_T, D_alpha.
    """
    names = list(now)
    vertex = {(name,): singles[name][0] @ np.concatenate([before[name], now[name]]) + singles[name][1] for name in names}
    scores = relu_network(np.concatenate([vertex[(name,)] for name in names]), efficacies)
    alpha = dict(zip(edges(names), 1 / (1 + np.exp(-scores)), strict=True))
    sets = powerset(names)
    for large in sets[len(names) :]:
        parts = [alpha[small, large] * vertex[small] for small in sets if len(small) < len(large) and set(small) < set(large)]
        vertex[large] = relu_network(np.concatenate(parts), networks[large])
    top = relu_network(np.concatenate([alpha[s, ("output",)] * vertex[s] for s in sets]), output)
    return top, np.array(list(alpha.values()))
