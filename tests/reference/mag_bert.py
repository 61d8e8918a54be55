"""Naive float64 transcription of the multimodal adaptation gate (Rahman et al., ACL 2020, section 4.1), written from the paper alone."""

import math

import numpy as np


def eq1_2_gate(z, v, weight, bias):
    """g = ReLU(W_g [Z; V] + b), one step."""
    together = [*z, *v]
    return np.array([max(sum(w * x for w, x in zip(row, together, strict=True)) + b, 0.0) for row, b in zip(weight, bias, strict=True)])


def eq3_displacement(gates, values, weights, bias):
    """h = sum_m g_m * (W_m V_m) + b, one step."""
    h = np.array(bias, dtype=float)
    for gate, v, weight in zip(gates, values, weights, strict=True):
        for k in range(len(h)):
            h[k] += gate[k] * sum(w * x for w, x in zip(weight[k], v, strict=True))
    return h


def eq5_alpha(z, h, beta):
    """alpha = min(|Z| / |h| beta, 1)."""
    return min(math.sqrt(sum(x * x for x in z)) / math.sqrt(sum(x * x for x in h)) * beta, 1.0)


def eq4_shifted(centre, others, weights, *, beta):
    """Z' = Z + alpha h for every step of a sample; (Z', alpha, mean of each gate `time modality`).

    centre: `time size`; others: name to `time width`, step by step beside it; weights: by the names of our module.
    """
    moved, alphas, means = [], [], []
    for t, z in enumerate(centre):
        gates = [eq1_2_gate(z, v[t], weights[f"gates.{name}.weight"], weights[f"gates.{name}.bias"]) for name, v in others.items()]
        matrices = [weights[f"displacements.{name}.weight"] for name in others]
        h = eq3_displacement(gates, [v[t] for v in others.values()], matrices, weights["bias"])
        alpha = eq5_alpha(z, h, beta)
        moved.append(z + alpha * h)
        alphas.append(alpha)
        means.append([sum(gate) / len(gate) for gate in gates])
    return np.array(moved), np.array(alphas), np.array(means)
