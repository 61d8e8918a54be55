"""Naive float64 transcription of an LSTM (Hochreiter and Schmidhuber; gates in torch's order) and of early fusion on common steps."""

import numpy as np


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm(steps: np.ndarray, w_input: np.ndarray, w_state: np.ndarray, b_input: np.ndarray, b_state: np.ndarray) -> np.ndarray:
    """All states of one sample's real steps: `time feature` to `time hidden`; the four gates are input, forget, cell, output."""
    size = w_state.shape[1]
    h, c, states = np.zeros(size), np.zeros(size), []
    for x in steps:
        gates = w_input @ x + b_input + w_state @ h + b_state
        i, f, g, o = (gates[k * size : (k + 1) * size] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states)


def onto(steps: np.ndarray, mask: np.ndarray, count: int) -> np.ndarray:
    """One sample on `count` steps: each is the mean of the real ones whose share of time it overlaps, zeros where there is none."""
    length = max((t + 1 for t in range(len(mask)) if mask[t]), default=0)
    rows = []
    for t in range(count):
        overlapping = [s for s in range(length) if s * count < (t + 1) * length and (s + 1) * count > t * length and mask[s]]
        rows.append(sum((steps[s] for s in overlapping), np.zeros(steps.shape[1])) / max(len(overlapping), 1))
    return np.array(rows)


def early_fusion(z: list[np.ndarray], masks: list[np.ndarray], count: int) -> np.ndarray:
    """Every step: the modalities side by side, `count, sum of widths`."""
    return np.array([np.concatenate(parts) for parts in zip(*(onto(*one, count) for one in zip(z, masks, strict=True)), strict=True)])
