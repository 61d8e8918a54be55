"""Naive float64 transcriptions of the balancing rules' equations, loops and all."""

import math


def ogm_coefficients(scores: list[float], alpha: float, against: str = "mean") -> list[float]:
    coefficients = []
    for m, score in enumerate(scores):
        others = [other for n, other in enumerate(scores) if n != m]
        rho = score / (sum(others) / len(others) if against == "mean" else min(others))
        coefficients.append(1 - math.tanh(alpha * rho) if rho > 1 else 1.0)
    return coefficients


def tracking_factors(tracked: list[float], strength: float, limit: float) -> list[float]:
    mean = math.prod(tracked) ** (1 / len(tracked))
    return [min(limit, max(1 / limit, (mean / score) ** strength)) for score in tracked]


def grad_norm_targets(norms: list[float], losses: list[float], initial: list[float], alpha: float) -> list[float]:
    rates = [loss / start for loss, start in zip(losses, initial, strict=True)]
    mean_rate, mean_norm = sum(rates) / len(rates), sum(norms) / len(norms)
    return [mean_norm * (rate / mean_rate) ** alpha for rate in rates]


def grad_norm_step(weights: list[float], plain: list[float], targets: list[float], rate: float, *, normalize: bool) -> list[float]:
    norms = [weight * norm for weight, norm in zip(weights, plain, strict=True)]
    scale = sum(norms) / len(norms) if normalize else 1.0
    moved = []
    for weight, own, norm, target in zip(weights, plain, norms, targets, strict=True):
        sign = (norm > target) - (norm < target)
        moved.append(weight - rate * sign * own / scale)
    return [len(moved) * weight / sum(moved) for weight in moved]


def blended(before: list[tuple[float, float]], after: list[tuple[float, float]], floor: float) -> list[float]:
    """(L^T, L^V) of each loss at the start and the end of a super-epoch."""
    raw = []
    for (train_before, held_before), (train_after, held_after) in zip(before, after, strict=True):
        overfitting = (held_after - train_after) - (held_before - train_before)
        generalisation = held_before - held_after
        raw.append(max(generalisation, 0) / max(abs(overfitting), floor) ** 2)
    return [value / sum(raw) for value in raw]
