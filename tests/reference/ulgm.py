"""Naive transcription of Self-MM's label generation (Eqs. 29 to 35 of MMILN quote it) and Algorithm 1, sample by sample."""

import math

import numpy as np


def eq_centre(features: list[np.ndarray], labels: list[float], sign: int, *, zero_excluded: bool = True) -> np.ndarray | None:
    """C^p (sign 1) or C^n (sign -1): the mean of the features whose label has the sign."""
    chosen = [f for f, y in zip(features, labels, strict=True) if y * sign > 0 or (y == 0 and sign > 0 and not zero_excluded)]
    return sum(chosen) / len(chosen) if chosen else None


def eq29_31_alpha(feature: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float:
    d_p = sum((x - c) ** 2 for x, c in zip(feature, positive, strict=True)) / math.sqrt(len(feature))
    d_n = sum((x - c) ** 2 for x, c in zip(feature, negative, strict=True)) / math.sqrt(len(feature))
    return (d_n - d_p) / (d_p + 1e-8)


def eq34_label(y: float, alpha_s: float, alpha_m: float, floor: float) -> float:
    divisor = alpha_m if abs(alpha_m) >= floor else math.copysign(floor, alpha_m)
    return y * alpha_s / (2 * divisor) + (y + alpha_s - alpha_m) / 2


def momentum(old: float, new: float, n: int) -> float:
    return (n - 1) / (n + 1) * old + 2 / (n + 1) * new


def eq35_term(said: list[float], label: list[float], target: list[float], present: list[bool]) -> float:
    terms = [math.tanh(abs(y - m)) * abs(s - y) for s, y, m, here in zip(said, label, target, present, strict=True) if here]
    return sum(terms) / len(terms) if terms else 0.0


def train(
    epochs: list[list[list[np.ndarray]]], target: list[float], present: list[list[bool]], *, limit: float, floor: float, zero_excluded: bool = True
) -> list[list[list[float]]]:
    """Labels after each epoch, `[sample][modality]`.

    Args:
        epochs: by epoch, node (0: fused) and sample, the representation in that epoch.
        target: labels of the whole.
        present: by modality and sample.
    """
    modalities, samples = len(present), len(target)
    labels = [[y] * modalities for y in target]
    history = []
    for n, now in enumerate(epochs, start=1):
        if n > 1:
            stored, here = epochs[n - 2], [[True] * samples, *present]
            centres = []
            for node in range(modalities + 1):
                rows = [i for i in range(samples) if here[node][i]]
                own = [target[i] if node == 0 else labels[i][node - 1] for i in rows]
                pair = [eq_centre([stored[node][i] for i in rows], own, sign, zero_excluded=zero_excluded) for sign in (1, -1)]
                centres.append(None if any(centre is None for centre in pair) else pair)
            fresh = [list(row) for row in labels]
            for i in range(samples):
                for s in range(modalities):
                    if present[s][i] and centres[0] is not None and centres[s + 1] is not None:
                        alpha_m, alpha_s = eq29_31_alpha(now[0][i], *centres[0]), eq29_31_alpha(now[s + 1][i], *centres[s + 1])
                        new = min(max(eq34_label(target[i], alpha_s, alpha_m, floor), -limit), limit)
                        fresh[i][s] = momentum(labels[i][s], new, n)
            labels = fresh
        history.append([list(row) for row in labels])
    return history
