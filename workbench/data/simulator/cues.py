"""The hidden cues of `opinions`, the symbols that each modality shows of them, and the score.

The model is written out in `workbench.data.simulator.synthetic`; `workbench.data.simulator.ceiling` inverts it exactly. Everything here is discrete.
"""

import numpy as np

from workbench.data.simulator.dials import MODALITIES, Dials

LEVELS = np.array([-2, -1, 1, 2])
"""Values of the shared cue and of each unique cue; equally likely."""

SYMBOLS = np.array([-2, -1, 0, 1, 2])
"""What a modality can show of such a cue; 0 is neutral: nothing shown."""

CUES = {"text": ("shared", "unique"), "audio": ("shared", "unique", "sarcasm"), "vision": ("shared", "unique")}
"""The cues that each modality can show, in the order of their channels."""

RATE = {"audio": 20.0, "vision": 15.0}
"""Frames a second [Hz]."""

HALF_WIDTH = 0.4
"""Half the base of a bump [s]; also its width at half its height."""


def bump_frames(modality: str) -> int:
    """Frames in which a bump is not zero: 15 in audio, 11 in vision."""
    return 2 * round(HALF_WIDTH * RATE[modality]) - 1


def score(dials: Dials, shared: np.ndarray, total: np.ndarray) -> np.ndarray:
    """The score in [-3, 3] of a shared cue and the sum of the three unique cues (text's after sarcasm).

    y = clip(sqrt(r) s + sqrt((1 - r) / 3) total, -3, 3), rounded to 1e-6 so that ties at zero are ties.
    """
    exact = np.sqrt(dials.redundancy) * shared + np.sqrt((1 - dials.redundancy) / 3) * total
    return np.round(np.clip(exact, -3, 3), 6) + 0.0


def shown(dials: Dials, modality: str) -> float:
    """Probability that one cue of a modality that is there can be seen: planted, and not in missing frames or words."""
    lost = dials.missing[modality] if dials.missing_kind == "frames" else 0.0
    return dials.informativeness[modality] * (1 - lost ** (1 if modality == "text" else bump_frames(modality)))


def level_table(dials: Dials, modality: str) -> np.ndarray:
    """P(symbol | level) of a modality that is there, `level symbol` (4 x 5)."""
    visible = shown(dials, modality)
    return visible * ((1 - dials.noise) * (LEVELS[:, None] == SYMBOLS) + dials.noise / 4 * (SYMBOLS != 0)) + (1 - visible) * (SYMBOLS == 0)


def mark_table(dials: Dials) -> np.ndarray:
    """P(mark | sarcasm) of a voice that is there, `sarcasm mark` (2 x 2)."""
    marked = shown(dials, "audio") * ((1 - dials.noise) * np.array([0.0, 1.0]) + dials.noise / 2)
    return np.stack([1 - marked, marked], axis=1)


def sarcasm_prior(dials: Dials) -> np.ndarray:
    """P(no sarcasm), P(sarcasm)."""
    return np.array([1 - dials.synergy / 2, dials.synergy / 2])


def draw_cues(dials: Dials, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws the hidden cues, the score and the planted symbols of `n` samples, before anything goes missing.

    The draws do not depend on the dials, so that the same seed with one dial turned gives the same samples, changed only by that dial.

    Returns:
        `shared`, `{modality}_unique`, `sarcasm`, `score` and `{modality}_{cue}_symbol`, each `samples`.
    """
    cues = {"shared": rng.choice(LEVELS, n), "sarcasm": rng.random(n) < dials.synergy / 2}
    for modality in MODALITIES:
        cues[f"{modality}_unique"] = rng.choice(LEVELS, n)
    said = np.where(cues["sarcasm"], -1, 1) * cues["text_unique"]
    cues["score"] = score(dials, cues["shared"], said + cues["audio_unique"] + cues["vision_unique"])
    for modality in MODALITIES:
        truth = {"shared": cues["shared"], "unique": cues[f"{modality}_unique"], "sarcasm": cues["sarcasm"].astype(int)}
        for cue in CUES[modality]:
            is_planted, is_redrawn = rng.random((2, n)) < np.array([[dials.informativeness[modality]], [dials.noise]])
            other = rng.choice(LEVELS, n) if cue != "sarcasm" else rng.integers(0, 2, n)
            cues[f"{modality}_{cue}_symbol"] = np.where(is_planted, np.where(is_redrawn, other, truth[cue]), 0)
    return cues
