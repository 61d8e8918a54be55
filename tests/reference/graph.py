"""Naive float64 transcription of the graph strategies' equations: one sample and one node at a time."""

import math

import numpy as np


def relu(x):
    return np.maximum(x, 0)


def cosine(a, b):
    length = math.sqrt(sum(v * v for v in a)) * math.sqrt(sum(v * v for v in b))
    return 0.0 if length == 0 else sum(x * y for x, y in zip(a, b, strict=True)) / length


def kipf_normalised(edges, present):
    """D^-1/2 (A + I) D^-1/2 over the nodes that are there."""
    n = len(edges)
    a = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if present[i] and present[j]:
                a[i, j] = edges[i][j] + (1.0 if i == j else 0.0)
    degree = [sum(a[i]) for i in range(n)]
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if a[i, j] != 0:
                out[i, j] = a[i, j] / math.sqrt(degree[i]) / math.sqrt(degree[j])
    return out


def similarity_relu(z, present):
    n = len(z)
    edges = [[max(0.0, cosine(z[i], z[j])) if i != j else 0.0 for j in range(n)] for i in range(n)]
    return kipf_normalised(edges, present)


def similarity_softmax(z, present):
    n = len(z)
    out = np.zeros((n, n))
    for i in range(n):
        if not present[i]:
            continue
        raised = {j: math.exp(cosine(z[i], z[j])) for j in range(n) if present[j]}
        for j, value in raised.items():
            out[i, j] = value / sum(raised.values())
    return out


def knn(z, present, k):
    n = len(z)
    edges = np.zeros((n, n))
    for i in range(n):
        if present[i]:
            others = sorted((j for j in range(n) if j != i and present[j]), key=lambda j: -cosine(z[i], z[j]))
            for j in others[:k]:
                edges[i, j] = edges[j, i] = 1.0
    return kipf_normalised(edges, present)


def given(n, pairs, present):
    edges = np.zeros((n, n))
    for i, j in pairs:
        edges[i, j] = edges[j, i] = 1.0
    return kipf_normalised(edges, present)


def convolutions(nodes, adjacency, layers):
    """H <- ReLU(A H W + b); W in the orientation of the paper."""
    for weight, bias in layers:
        nodes = relu(adjacency @ nodes @ weight + bias)
    return nodes


def readout_mean(nodes, present):
    there = [node for node, is_there in zip(nodes, present, strict=True) if is_there]
    return np.mean(there, axis=0) if there else np.zeros(len(nodes[0]))


def readout_concatenation(nodes, present):
    return np.concatenate([node if is_there else np.zeros(len(node)) for node, is_there in zip(nodes, present, strict=True)])


def fused_graph(z, present, pair, layers):
    """One sample of the fused graph; `pair` is (W, b), a layer is a dict of W_listener, W_speaker, W_joint, b_joint, a, W_message, b_message."""
    m, d = z.shape
    there = [z[i] for i in range(m) if present[i]]
    g = np.mean(there, axis=0) if there else np.zeros(d)
    nodes, alive = [z[i] for i in range(m)], list(present)
    for i in range(m):
        for j in range(i + 1, m):
            both = present[i] and present[j]
            nodes.append(relu(np.concatenate([z[i], z[j]]) @ pair[0] + pair[1]) if both else np.zeros(d))
            alive.append(both)
    maps = []
    for w in layers:
        n = len(nodes)
        alpha = np.zeros((n, n))
        for i in range(n):
            e = {}
            for j in range(n):
                if alive[i] and alive[j]:
                    s = nodes[i] @ w["listener"] + nodes[j] @ w["speaker"] + g @ w["joint"] + w["joint_bias"]
                    e[j] = math.exp(sum(a * (v if v > 0 else 0.2 * v) for a, v in zip(w["a"], s, strict=True)))
            for j in e:
                alpha[i, j] = e[j] / sum(e.values())
        new = []
        for i in range(n):
            heard = sum(alpha[i, j] * (nodes[j] @ w["message"] + w["message_bias"]) for j in range(n))
            new.append(nodes[i] + relu(heard) if alive[i] else nodes[i])
        nodes = new
        maps.append(alpha)
    return nodes, alive, maps


def sample_distances(x, anchors, blocks):
    """x and each anchor: dicts name -> standardised vector or None; the root of the mean, over shared modalities, of mean squared differences."""
    out = []
    for other in anchors:
        shared = [np.mean((x[name] - other[name]) ** 2) for name in blocks if x[name] is not None and other[name] is not None]
        out.append(math.sqrt(np.mean(shared)) if shared else math.inf)
    return out


def sample_layer(own, neighbours, share, weight, bias):
    mixed = own if not neighbours else share * own + (1 - share) * np.mean(neighbours, axis=0)
    return relu(mixed @ weight + bias)
