"""How well anyone could do on `opinions`: exact best scores for every subset of modalities, and exact posteriors of samples.

Given what is there, the hidden cues are independent of each other and each is seen through its own table P(symbol | cue), so the posterior
factorises. `ceilings` never walks through all observations one by one: it keeps, for the shared cue and for the sum of the unique
cues, the *distinct* posteriors with their probabilities (35 and about 150 for three modalities), and joins only those.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product

import numpy as np

from workbench.data.simulator.cues import LEVELS, level_table, mark_table, sarcasm_prior, score
from workbench.data.simulator.dials import MODALITIES, Dials
from workbench.data.simulator.emotions import EMOTIONS, TABLE

TOTALS = np.arange(-6, 7)
"""Every sum of three unique cues."""

METRICS = ("acc2_has0", "acc2_non0", "mae", "corr")


def subset_name(modalities: Sequence[str]) -> str:
    """`text`, `text+audio`, ... and `all`."""
    return "all" if len(modalities) == len(MODALITIES) else "+".join(modalities)


def ceilings(dials: Dials) -> dict[str, dict[str, float]]:
    """The best attainable score by subset of modalities and metric, exact for the symbols.

    Sentiment. acc2_has0: y >= 0 against y < 0, by the likelier side; acc2_non0: the same where y is not 0; mae: of the conditional median;
    corr: of the conditional mean, sqrt(Var(E[y | seen]) / Var(y)).

    Emotions. accuracy_<emotion>: by the likelier side of P(present | seen); accuracy: their mean; accuracy_top: of the likeliest emotion, among
    samples that have one, E[max_e P(e | seen)] / P(any); mae: of the certain answers 0 and 1, so 1 - accuracy (it rewards certainty, not honest
    probabilities). F1 and mAP have no such form: their best rule looks at all samples together.

    A modality that may be missing as a whole is seen to be missing, so the best score is the mean over what is there. With
    `missing_kind="frames"` a cue counts as seen while one frame of its bump remains: exact for text, an upper bound for audio and vision.

    Returns:
        {"text": {"acc2_has0", "acc2_non0", "mae", "corr"}, ..., "text+audio": ..., "all": ...}, 7 subsets; of emotions {"accuracy", "accuracy_top",
        "mae", "accuracy_happy", ...} in each.
    """
    if dials.task == "emotions":
        return {subset: _emotion_scores(mean) for subset, mean in _over_subsets(dials, _emotion_moments).items()}
    answer = {}
    for subset, (has0, non0, mae, explained) in _over_subsets(dials, _moments).items():
        values = (has0, non0, mae, np.sqrt(max(0.0, explained)))
        answer[subset] = {metric: float(value) for metric, value in zip(METRICS, values, strict=True)}
    return answer


def _over_subsets(dials: Dials, moments: Callable[[Dials, Sequence[str]], np.ndarray]) -> dict[str, np.ndarray]:
    """By subset of modalities the mean of some moments over which of them are there."""
    present = {there: moments(dials, there) for size in range(4) for there in combinations(MODALITIES, size)}
    rate = {name: dials.missing[name] if dials.missing_kind == "modality" else 0.0 for name in MODALITIES}
    answer = {}
    for subset in (there for there in present if there):
        mean = np.zeros_like(present[subset])
        for flags in product((False, True), repeat=len(subset)):
            weight = np.prod([1 - rate[name] if flag else rate[name] for name, flag in zip(subset, flags, strict=True)])
            mean = mean + weight * present[tuple(name for name, flag in zip(subset, flags, strict=True) if flag)]
        answer[subset_name(subset)] = mean
    return answer


def _emotion_moments(dials: Dials, there: Sequence[str]) -> np.ndarray:
    """The probability that the likelier side is right, for each emotion, and E[max_e P(e | seen)], for modalities that are all there."""
    own = [_text_unique(dials, there), *(_unique(dials, name, name in there) for name in MODALITIES[1:])]
    weights, posteriors = zip(_shared_posteriors(dials, there), *map(_distinct, own), strict=True)
    weight = np.einsum("i,j,k,l->ijkl", *weights)
    chance = np.einsum("is,jw,kv,lf,swvfe->ijkle", *posteriors, TABLE, optimize=True)
    right = np.einsum("ijkl,ijkle->e", weight, np.maximum(chance, 1 - chance))
    return np.append(right, (weight * chance.max(-1)).sum())


def _emotion_scores(moments: np.ndarray) -> dict[str, float]:
    """The ceilings by metric of what `_emotion_moments` found."""
    right, strongest = moments[:-1], float(moments[-1])
    accuracy = float(right.mean())
    scores = {"accuracy": accuracy, "accuracy_top": strongest / float(TABLE.any(-1).mean()), "mae": 1 - accuracy}
    return scores | {f"accuracy_{name}": float(value) for name, value in zip(EMOTIONS, right, strict=True)}


def _moments(dials: Dials, there: Sequence[str]) -> np.ndarray:
    """Accuracy with and without 0, MAE, and explained share of the variance, for modalities that are all there.

    With F the distribution function of y given what is seen and v the values of y in order, gaps d_j = v_{j+1} - v_j:
    E|y - median| = sum_j d_j min(F_j, 1 - F_j), and E[y] = v_last - sum_j d_j F_j.
    """
    shared_weight, shared = _shared_posteriors(dials, there)
    total_weight, total = _total_posteriors(dials, there)
    table = score(dials, LEVELS[:, None], TOTALS[None, :])
    values = np.unique(table)
    below = (table[..., None] <= values[:-1]).astype(float)
    # level, total, value -> level, value, total posterior -> shared posterior, value, total posterior
    cumulative = np.tensordot(shared, np.tensordot(below, total, axes=(1, 1)), axes=(1, 0))
    weight = shared_weight[:, None] * total_weight
    gaps = np.diff(values)
    # values[below_zero - 1] is the last one under 0, values[up_to_zero - 1] the last one not over 0; there are some on both sides
    below_zero, up_to_zero = np.searchsorted(values, 0.0, "left"), np.searchsorted(values, 0.0, "right")
    negative, not_positive = cumulative[:, below_zero - 1], cumulative[:, up_to_zero - 1]
    mean = values[-1] - np.tensordot(gaps, cumulative, axes=(0, 1))
    error = np.tensordot(gaps, np.minimum(cumulative, 1 - cumulative), axes=(0, 1))
    prior = 0.25 * total_weight @ total
    variance = float((prior * table**2).sum() - (prior * table).sum() ** 2)
    is_other = 1 - float((weight * (not_positive - negative)).sum())
    return np.array(
        [
            (weight * np.maximum(negative, 1 - negative)).sum(),
            (weight * np.maximum(negative, 1 - not_positive)).sum() / is_other,
            (weight * error).sum(),
            ((weight * mean**2).sum() - (weight * mean).sum() ** 2) / variance,
        ]
    )


def _distinct(joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joint P(seen, state), `seen state`, as the distinct posteriors `seen state` and the probability of each."""
    probability = joint.sum(1)
    joint, probability = joint[probability > 0], probability[probability > 0]
    posterior = joint / probability[:, None]
    # rounded only to be compared: what is equal by symmetry differs in its last digits
    _, first, group = np.unique(np.round(posterior, 9), axis=0, return_index=True, return_inverse=True)
    return np.bincount(group.ravel(), weights=probability), posterior[first]


def _shared_posteriors(dials: Dials, there: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The distinct posteriors of the shared cue, `seen level`, with their probabilities."""
    joint = np.full((1, 4), 0.25)
    for name in there:
        joint = (joint[:, None, :] * level_table(dials, name).T).reshape(-1, 4)
        weight, posterior = _distinct(joint)
        joint = weight[:, None] * posterior
    return _distinct(joint)


def _total_posteriors(dials: Dials, there: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The distinct posteriors of the sum of the unique cues, `seen total`, with their probabilities."""
    joint = np.ones((1, 1))
    for name in MODALITIES:
        part = _text_unique(dials, there) if name == "text" else _unique(dials, name, name in there)
        weight, posterior = _distinct(part)
        part = _on_grid(weight[:, None] * posterior)
        width = joint.shape[1]
        wider = np.zeros((len(joint), len(part), width + 4))
        for shift in range(5):
            wider[:, :, shift : shift + width] += joint[:, None, :] * part[None, :, shift, None]
        weight, posterior = _distinct(wider.reshape(-1, width + 4))
        joint = weight[:, None] * posterior
    return _distinct(joint)


def _unique(dials: Dials, name: str, is_there: bool) -> np.ndarray:
    """Joint P(symbol, level) of a unique cue, `seen level`."""
    return 0.25 * level_table(dials, name).T if is_there else np.full((1, 4), 0.25)


def _text_unique(dials: Dials, there: Sequence[str]) -> np.ndarray:
    """Joint P(symbol and mark, level after sarcasm) of the text's cue, `seen level`; levels reversed are levels negated."""
    level = _unique(dials, "text", "text" in there)
    mark = sarcasm_prior(dials) * mark_table(dials).T if "audio" in there else sarcasm_prior(dials)[None]
    joint = mark[:, None, 0, None] * level + mark[:, None, 1, None] * level[:, ::-1]
    return joint.reshape(-1, 4)


def _on_grid(joint: np.ndarray) -> np.ndarray:
    """`seen level` spread over the steps -2, -1, 0, 1, 2."""
    return np.insert(joint, 2, 0.0, axis=1)


def expectation(
    dials: Dials, evidence: Mapping[str, np.ndarray], modalities: Sequence[str], of: Callable[[np.ndarray], np.ndarray] = np.asarray
) -> np.ndarray:
    """E[of(y) | symbols of some modalities], exact, one number a sample; `of=lambda y: y < 0` gives a probability.

    Args:
        evidence: `{modality}_{cue}_symbol` and `{modality}_missing` (see `workbench.data.simulator.synthetic`).
        modalities: those that are looked at.
        of: a function of the score.
    """
    grid = np.meshgrid(LEVELS, LEVELS, LEVELS, LEVELS, indexing="ij")
    table = np.asarray(of(score(dials, grid[0], grid[1] + grid[2] + grid[3])), float)
    return np.einsum("ns,nt,na,nv,stav->n", *_posteriors(dials, evidence, modalities), table, optimize=True)


def emotion_chances(dials: Dials, evidence: Mapping[str, np.ndarray], modalities: Sequence[str]) -> np.ndarray:
    """P(emotion is present | symbols of some modalities), exact, `samples emotion`; arguments as for `expectation`."""
    return np.einsum("ns,nw,nv,nf,swvfe->ne", *_posteriors(dials, evidence, modalities), TABLE, optimize=True)


def _posteriors(dials: Dials, evidence: Mapping[str, np.ndarray], modalities: Sequence[str]) -> list[np.ndarray]:
    """What some modalities say of the shared cue, of the text's (after sarcasm), of audio's and of vision's own cue, each `samples level`."""
    n = len(evidence["text_missing"])
    shared, mark = np.ones((n, 4)), np.ones((n, 2)) * sarcasm_prior(dials)
    unique = {name: np.ones((n, 4)) for name in MODALITIES}
    for name in modalities:
        is_there = ~evidence[f"{name}_missing"][:, None]
        table = level_table(dials, name).T
        shared = shared * np.where(is_there, table[evidence[f"{name}_shared_symbol"] + 2], 1.0)
        unique[name] = np.where(is_there, table[evidence[f"{name}_unique_symbol"] + 2], 1.0)
        if name == "audio":
            mark = mark * np.where(is_there, mark_table(dials).T[evidence["audio_sarcasm_symbol"]], 1.0)
    unique["text"] = mark[:, :1] * unique["text"] + mark[:, 1:] * unique["text"][:, ::-1]
    return [part / part.sum(1, keepdims=True) for part in (shared, *unique.values())]
