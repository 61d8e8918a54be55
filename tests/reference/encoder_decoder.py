"""Naive float64 transcriptions of the encoder-decoder family's merges and combinations, for one sample each, loops and all."""

import math

import numpy as np


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return np.array([sum(weight[o, i] * x[i] for i in range(len(x))) + bias[o] for o in range(len(bias))])


def merge(x: list[np.ndarray], kind: str, present: list[bool], factors: list[tuple[np.ndarray, np.ndarray]] | None = None) -> np.ndarray:
    """x: one vector a modality, zeros where it is missing; factors: weight and bias of each U_i (cross)."""
    if kind == "concatenate":
        return np.array([value for vector in x for value in vector])
    if kind == "add":
        return np.array([sum(vector[f] for vector in x) for f in range(len(x[0]))])
    if kind == "multiply":
        return np.array([math.prod(vector[f] for vector, is_there in zip(x, present, strict=True) if is_there) for f in range(len(x[0]))])
    u = [linear(vector, *factor) if is_there else np.ones(len(factor[1])) for vector, factor, is_there in zip(x, factors, present, strict=True)]
    result = []
    for i in range(len(u)):
        for j in range(i + 1, len(u)):
            for left in u[i]:
                for right in u[j]:
                    result.append(left * right)
    return np.array(result)


def vote_of_numbers(p: list[float], temperature: float) -> float:
    """The softmax-weighted mean; a decision counts more the nearer it is to the others."""
    apart = [sum(abs(one - other) for other in p) / len(p) for one in p]
    weight = [math.exp(-value / temperature) for value in apart]
    return sum(w * value for w, value in zip(weight, p, strict=True)) / sum(weight)


def vote_of_classes(scores: list[np.ndarray], temperature: float) -> np.ndarray:
    """The log of the mean of each modality's probabilities."""
    chances = []
    for row in scores:
        raised = np.exp(row / temperature)
        chances.append(raised / raised.sum())
    return np.log(sum(chances) / len(chances))


def vote_of_labels(scores: list[np.ndarray], temperature: float) -> np.ndarray:
    """The log-odds of the mean of each modality's probabilities."""
    chance = sum(1 / (1 + np.exp(-row / temperature)) for row in scores) / len(scores)
    return np.log(chance / (1 - chance))
