"""Naive float64 transcription of the conditional VAE, of the diffusion, and of what stands where a modality is missing."""

import math

import numpy as np


def perceptron(x, w1, b1, w2, b2):
    return np.maximum(x @ w1 + b1, 0) @ w2 + b2


def gaussian(numbers):
    """Mean, log variance in (-6, 6)."""
    half = len(numbers) // 2
    return numbers[:half], np.array([6 * math.tanh(v / 6) for v in numbers[half:]])


def kl(mean_q, log_q, mean_p, log_p):
    total = 0.0
    for mq, lq, mp, lp in zip(mean_q, log_q, mean_p, log_p, strict=True):
        q, p = math.exp(lq), math.exp(lp)
        total += math.log(math.sqrt(p) / math.sqrt(q)) + (q + (mq - mp) ** 2) / (2 * p) - 0.5
    return total


def cvae_losses(x, c, noise, encoder, prior, decoder, beta):
    mean_q, log_q = gaussian(perceptron(np.concatenate([x, c]), *encoder))
    mean_p, log_p = gaussian(perceptron(c, *prior))
    u = np.array([m + math.sqrt(math.exp(v)) * e for m, v, e in zip(mean_q, log_q, noise, strict=True)])
    made = perceptron(np.concatenate([u, c]), *decoder)
    return sum((x - made) ** 2) / 2 / len(x), beta * kl(mean_q, log_q, mean_p, log_p) / len(x)


def cvae_synthesis(c, prior, decoder):
    return perceptron(np.concatenate([gaussian(perceptron(c, *prior))[0], c]), *decoder)


def kept_signal(steps):
    def f(t):
        return math.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** 2

    return [f(t) / f(0) for t in range(1, steps + 1)]


def time_features(t, size=16):
    row = np.zeros(size)
    for i in range(size // 2):
        row[2 * i], row[2 * i + 1] = math.sin(t / 10_000 ** (2 * i / size)), math.cos(t / 10_000 ** (2 * i / size))
    return row


def predictor(x, t, c, layers):
    h = np.concatenate([x, time_features(t), c])
    for number, (w, b) in enumerate(layers):
        h = h @ w + b
        h = np.maximum(h, 0) if number < len(layers) - 1 else h
    return h


def diffusion_loss(x, t, noise, c, layers, steps):
    a = kept_signal(steps)[t]
    guess = predictor(math.sqrt(a) * x + math.sqrt(1 - a) * noise, t, c, layers)
    return sum((math.sqrt(a) * noise - math.sqrt(1 - a) * x - guess) ** 2) / len(x)


def ddim(starts, times, c, layers, steps):
    a, made = kept_signal(steps), []
    for x in starts:
        for place, t in enumerate(times):
            guess = predictor(x, t, c, layers)
            clean = np.clip(math.sqrt(a[t]) * x - math.sqrt(1 - a[t]) * guess, -4, 4)
            if place == len(times) - 1:
                x = clean
            else:
                noise = (x - math.sqrt(a[t]) * clean) / math.sqrt(1 - a[t])
                after = a[times[place + 1]]
                x = math.sqrt(after) * clean + math.sqrt(1 - after) * noise
        made.append(x)
    return np.mean(made, axis=0)


def fused(z, present, scales, synthesise, treatment):
    """z: one vector a modality; scales: (mean, standard deviation) a modality; synthesise(m, c) gives a standardised vector."""
    m = len(z)
    out = []
    for i in range(m):
        if present[i]:
            out.append(z[i])
        elif treatment == "zeros":
            out.append(np.zeros(len(z[i])))
        else:
            others = [k for k in range(m) if k != i]
            said = [(z[k] - scales[k][0]) / scales[k][1] if present[k] else np.zeros(len(z[k])) for k in others]
            c = np.concatenate([*said, [float(present[k]) for k in others]])
            out.append(synthesise(i, c) * scales[i][1] + scales[i][0])
    return np.concatenate([*out, [float(p) for p in present]])
