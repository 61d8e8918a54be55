"""Naive float64 transcription of MLDFA (Yue), Eqs. (11)-(30), for one sample, written from the paper alone; the self-attention of Eq. (22) with its
biases is that of `attention.py`. Weights are looked up by the names of our modules; loops and all.

A sample is a mapping modality name -> z (`time feature`, or one row for a vector) and masks; a modality that it lacks has no real step.
"""

import math

import numpy as np
from reference import attention


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(scores):
    raised = [math.exp(score - max(scores)) for score in scores]
    return [value / sum(raised) for value in raised]


def mapped(z, weights, part, name):
    """z W (+ b): one matrix for all modalities, or `maps.<name>`."""
    key = part if f"{part}.weight" in weights else f"{part}.maps.{name}"
    matrix = weights[f"{key}.weight"]
    bias = weights.get(f"{key}.bias", np.zeros(len(matrix)))
    return np.array([sum(matrix[i, k] * z[k] for k in range(len(z))) + bias[i] for i in range(len(matrix))])


def whole(z, mask, is_cls):
    """Eq. (21): the [CLS] state, or the mean over the real steps."""
    if is_cls:
        return z[0] if mask[0] else np.zeros(z.shape[1])
    return attention.masked_mean(z, mask)


def eq23_global_local(z, mask, weights, *, alpha, heads, is_cls=False):
    """Eqs. (21)-(23) at every real step."""
    local, _ = attention.attention(z, z, mask, weights, heads=heads)
    mixed = [alpha * whole(z, mask, is_cls) + (1 - alpha) * local[t] if mask[t] else np.zeros(z.shape[1]) for t in range(len(z))]
    return np.array(mixed)


def eq24_time(reference, reference_mask, z, mask, weights, *, scale="none"):
    """A_time, `reference_time time`; only real steps have weights."""
    told = np.zeros((len(reference), len(z)))
    real = [t for t in range(len(z)) if mask[t]]
    for i in range(len(reference)):
        if not reference_mask[i] or not real:
            continue
        query = weights["query.weight"] @ reference[i]
        scores = [float(query @ (weights["key.weight"] @ z[t])) for t in real]
        scores = [score / math.sqrt(len(query)) for score in scores] if scale == "sqrt" else scores
        for t, share in zip(real, softmax(scores), strict=True):
            told[i, t] = share
    return told


def eq25_moved(reference, reference_mask, z, mask, weights, *, scale="none"):
    """One vector: the mean over the reference's real steps of A_time V; of V over the own real steps where there is no reference."""
    values = np.array([weights["value.weight"] @ row for row in z])
    if not any(reference_mask):
        return attention.masked_mean(values, mask)
    told = eq24_time(reference, reference_mask, z, mask, weights, scale=scale)
    return attention.masked_mean(np.array([sum(share * value for share, value in zip(row, values, strict=True)) for row in told]), reference_mask)


def eq27_gated(nodes, present, weights, part):
    """Eqs. (26), (27), and (18), (19): gates and gated vectors by name."""
    gates = {name: sigmoid(mapped(z, weights, part, name)) if present[name] else np.zeros(len(z)) for name, z in nodes.items()}
    return gates, {name: gates[name] * nodes[name] for name in nodes}


def eq16_attention(nodes, present, weights, heads):
    """Eqs. (15), (16): `head modality modality`."""
    names = list(nodes)
    q, k = ({name: mapped(nodes[name], weights, part, name) for name in names} for part in ("query", "key"))
    width = len(q[names[0]]) // heads
    told = np.zeros((heads, len(names), len(names)))
    there = [i for i, name in enumerate(names) if present[name]]
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        for i in there:
            scores = [float(q[names[i]][part] @ k[names[j]][part]) / math.sqrt(width) for j in there]
            for j, share in zip(there, softmax(scores), strict=True):
                told[head, i, j] = share
    return told


def eq20_attention_view(nodes, present, weights, *, heads, has_gate=True):
    """Eqs. (15)-(20)."""
    names = list(nodes)
    told = eq16_attention(nodes, present, weights, heads)
    v = [mapped(nodes[name], weights, "value", name) for name in names]
    width = len(v[0]) // heads
    heard = {}
    for i, name in enumerate(names):
        parts = [sum(told[head, i, j] * v[j][head * width : (head + 1) * width] for j in range(len(names))) for head in range(heads)]
        heard[name] = weights["output.weight"] @ np.concatenate(parts)
    if has_gate:
        heard = eq27_gated(heard, present, weights, "gate_map")[1]
    return attention.layer_norm(np.concatenate(list(heard.values()))[None], weights, "norm")[0]


def eq28_edges(nodes, present, *, edges="cosine"):
    """`modality modality`: cosines, or their softmax row by row."""
    names = list(nodes)
    there = [i for i, name in enumerate(names) if present[name]]
    told = np.zeros((len(names), len(names)))
    for i in there:
        row = [nodes[names[i]] @ nodes[names[j]] / (np.linalg.norm(nodes[names[i]]) * np.linalg.norm(nodes[names[j]])) for j in there]
        for j, value in zip(there, softmax(row) if edges == "softmax" else row, strict=True):
            told[i, j] = value
    return told


def eq30_graph_view(nodes, present, weights, *, edges="cosine", activation="sigmoid"):
    """Eqs. (28)-(30)."""
    names = list(nodes)
    told = eq28_edges(nodes, present, edges=edges)
    parts = []
    for i, name in enumerate(names):
        message = weights["message.weight"] @ sum(told[i, j] * nodes[names[j]] for j in range(len(names)))
        updated = sigmoid(message) if activation == "sigmoid" else np.maximum(message, 0)
        parts.append(updated if present[name] else np.zeros(len(updated)))
    return attention.layer_norm(np.concatenate(parts)[None], weights, "norm")[0]


def aligned(z, masks, weights, config, *, reference, cls=()):
    """Eqs. (21)-(25): a vector a modality."""
    mixed = [name for name in z if f"local.{name}.value.weight" in weights]
    values = dict(z)
    for place, name in enumerate(mixed):
        logit = weights["logit"][place if config["alpha"] == "per_modality" else 0]
        part = attention.below(weights, f"local.{name}")
        alpha, heads = sigmoid(logit), config["alignment_heads"]
        values[name] = eq23_global_local(z[name], masks[name], part, alpha=alpha, heads=heads, is_cls=name in cls)
    vectors = {}
    for name in z:
        part = attention.below(weights, f"aligners.{name}")
        if part:
            scale = config["time_scale"]
            vectors[name] = eq25_moved(values[reference], masks[reference], values[name], masks[name], part, scale=scale)
        else:
            vectors[name] = whole(values[name], masks[name], name in cls)
    return vectors


def fused(z, masks, weights, config, *, reference, cls=()):
    """Eqs. (15)-(30) of what Eq. (10) gives, as the views that are on stand side by side."""
    present = {name: any(mask) for name, mask in masks.items()}
    vectors = aligned(z, masks, attention.below(weights, "alignment"), config, reference=reference, cls=cls)
    gated = eq27_gated(vectors, present, attention.below(weights, "gate"), "linear")[1] if config["has_gate"] else vectors
    views = []
    if config["has_attention_view"]:
        part, has_gate = attention.below(weights, "attention"), config["has_attention_gate"]
        views.append(eq20_attention_view(gated, present, part, heads=config["heads"], has_gate=has_gate))
    if config["has_graph_view"]:
        nodes = gated if config["graph_nodes"] == "gated" else vectors
        part, edges = attention.below(weights, "graph"), config["graph_edges"]
        views.append(eq30_graph_view(nodes, present, part, edges=edges, activation=config["graph_activation"]))
    return np.concatenate(views)


def fusion_parameters(names, *, d, steps, aligned_names):
    """Parameters of Eqs. (11)-(30), everything on and shared as printed: Eq. (22) four maps with three biases (keys have none) and alpha a
    modality with steps; Eq. (24) three maps an aligned modality; Eq. (26) W_g, b_g; Eqs. (15), (14) four maps, Eq. (18) W_g, b_g, Eq. (20) a norm;
    Eq. (29) W_g, Eq. (30) a norm."""
    local = len(steps) * (4 * d**2 + 3 * d + 1)
    norm = 2 * len(names) * d
    return local + len(aligned_names) * 3 * d**2 + (d**2 + d) + (4 * d**2 + d**2 + d + norm) + (d**2 + norm)
