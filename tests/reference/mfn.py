"""Naive float64 transcription of the memory fusion network's equations (AAAI 2018), step by step and sample by sample."""

import numpy as np

Weights = dict[str, np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    shares = np.exp(x - x.max())
    return shares / shares.sum()


def network(x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """D: linear, ReLU, linear; weights are W_1, b_1, W_2, b_2."""
    first, first_bias, second, second_bias = weights
    return second @ np.maximum(first @ x + first_bias, 0) + second_bias


def lstm_step(x: np.ndarray, h: np.ndarray, c: np.ndarray, weights: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """One step of a view's LSTM; weights are W, U, b_W, b_U with the gates input, forget, candidate, output one under the other."""
    w, u, b_w, b_u = weights
    size = len(h)
    gates = w @ x + b_w + u @ h + b_u
    i, f, o = sigmoid(gates[:size]), sigmoid(gates[size : 2 * size]), sigmoid(gates[3 * size :])
    c = f * c + i * np.tanh(gates[2 * size : 3 * size])
    return o * np.tanh(c), c


def delta_memory_attention(before: list[np.ndarray], now: list[np.ndarray], weights: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """c_hat and the coefficients a, over the views' memories at t-1 and then those at t."""
    window = np.concatenate([*before, *now])
    coefficients = softmax(network(window, weights))
    return window * coefficients, coefficients


def memory_step(u: np.ndarray, c_hat: np.ndarray, candidate: list, retain: list, update: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """u^t and its two gates."""
    gamma_1, gamma_2 = sigmoid(network(c_hat, retain)), sigmoid(network(c_hat, update))
    return gamma_1 * u + gamma_2 * np.tanh(network(c_hat, candidate)), gamma_1, gamma_2


def onto(values: np.ndarray, real: list[bool], steps: int) -> np.ndarray:
    """A sample's sequence on `steps` steps: step t is the mean of the real ones among those that its share of time touches."""
    if not any(real):
        return np.zeros((steps, values.shape[1]))
    length = max(t for t, is_real in enumerate(real) if is_real) + 1
    rows = []
    for t in range(steps):
        begin, end = t * length // steps, -((-(t + 1) * length) // steps)
        touched = [values[s] for s in range(begin, max(end, begin + 1)) if real[s]]
        rows.append(sum(touched) / len(touched) if touched else np.zeros(values.shape[1]))
    return np.array(rows)


def run(sequences: list[np.ndarray], lstms: list[list], summary, candidate: list, retain: list, update: list) -> dict[str, np.ndarray]:
    """One sample: views of equal length -> output [h_1, ..., h_M, u], and the gates of every step.

    `summary(memories before, memories now)` gives c_hat (MFN's attention or Graph-MFN's T) and what it wants to be remembered.
    """
    h = [np.zeros(lstm[1].shape[1]) for lstm in lstms]
    c = [np.zeros(lstm[1].shape[1]) for lstm in lstms]
    u = np.zeros(len(candidate[3]))
    gamma_1, gamma_2, seen = [], [], []
    for t in range(len(sequences[0])):
        before = c
        states = [lstm_step(x[t], h[i], c[i], lstms[i]) for i, x in enumerate(sequences)]
        h, c = [state[0] for state in states], [state[1] for state in states]
        c_hat, remembered = summary(before, c)
        u, first, second = memory_step(u, c_hat, candidate, retain, update)
        gamma_1.append(first)
        gamma_2.append(second)
        seen.append(remembered)
    return {"output": np.concatenate([*h, u]), "gamma_1": np.array(gamma_1), "gamma_2": np.array(gamma_2), "seen": np.array(seen)}
