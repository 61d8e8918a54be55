"""`opinions`: short simulated utterances of which everything is known, above all how well anyone could do.

    data = opinions("starved", seed=1, hardness={"audio": 0.5})
    data.ceiling["all"]["acc2_has0"]
    opinions("emotions"), opinions("starved", task="emotions")   # the same samples, asked for six emotions

**Hidden cues**, all discrete and independent. One shared cue s, one unique cue u_m for each modality m (text, audio, vision), each equally
likely -2, -1, 1, 2; sarcasm k in {0, 1} with P(k = 1) = synergy / 2.

**Score.** y = clip(sqrt(r) s + sqrt((1 - r) / 3) (u'_text + u_audio + u_vision), -3, 3), rounded to 1e-6, with r = redundancy and
u'_text = -u_text where k = 1 (the words say one thing, the voice turns it round), else u_text. The weights make r the share of the
variance (2.5 before the clip, whatever r) that the shared cue brings.

**Emotions** (the dial `task="emotions"`): the same samples, cues and symbols with another target: which of happy, sad, anger, surprise, disgust and
fear are present, each a function of the cues (the table of `workbench.data.simulator.emotions`). Any number is present, also none.

**Symbols**, what a modality shows. Modality m plants s and u_m, each on its own, with probability informativeness[m]; otherwise it shows
the neutral symbol 0. With probability `noise` a planted level is drawn anew from the four (at noise 1 nothing shown means anything).
Sarcasm is marked in the voice only: the mark is planted with probability informativeness["audio"], drawn anew from {0, 1} with
probability `noise`, and 0 where it is not planted.

**Rendering** of the symbols:

- *Text*: a sentence with two evidence words, one for s and one for u_text. `names` is how many names of films and people fill the
  neutral slots; many names are an easy way to memorise the training samples.
- *Audio* (20 Hz) and *vision* (15 Hz): smooth bumps of 0.4 s (width at half height) as high as the level, on energy (s), pitch (u_audio) and
  voice quality (sarcasm), on lip corners (s) and brows (u_vision); quiet noise on those channels, louder noise on five or six others.
  A voice bump comes `lag` seconds after the middle of the evidence word, a face bump between `lag` before and `lag` after it.
- `idiosyncrasy`: each speaker has a constant offset on each cue channel (some people always look angry), normal with this standard
  deviation in units of what one level adds to the mean over time. A filter that compares a moment with the rest is not fooled.
- `hardness` leaves the information as it is and makes it slower to learn. Audio, vision: *all* features of the modality are multiplied by
  10^(-2 hardness), so its gradient is small, as adaptive weight fusion supposes. Said plainly: it is a matter of scale, and input
  normalisation (z-scores, batch norm) undoes it. Text: each level is spread over 2 + 10 hardness words, so each is seen less often.
- `missing`: with `missing_kind="modality"` a modality is away with this probability: its frames are all zero, its words all <unknown>
  (the length stays). With "frames" single frames are zero and single words <unknown>.

**Ceilings** are exact for the symbols (`workbench.data.simulator.ceiling`), and the rendering hides nothing: a filter that knows the bumps reads the
symbols almost without error. With missing frames they are upper bounds for audio and vision.

**Labels**: `Split.labels[m]` = E[y | symbols of m], what modality m alone says; of emotions P(emotion | symbols of m), `samples emotion`.

**Evidence** (`Split.evidence`, arrays, samples first; m a modality, c a cue):

| name | what |
|---|---|
| `shared`, `m_unique`, `sarcasm` | the hidden cues |
| `m_c_symbol` | what can be seen: level or 0; `audio_sarcasm_symbol`: 0 or 1. 0 where missing |
| `m_missing` | whether the whole modality is away |
| `text_c_position` | word number of the evidence word, -1 where nothing is shown |
| `word_starts` | start of each word [s], `samples words`, nan behind the last |
| `m_c_time` | middle of the bump [s] (audio, vision), nan where nothing is shown |
| `m_c_window` | first frame of the bump and first frame behind it, `samples 2`, -1 where nothing is shown |
| `speaker` | number of the speaker in its split |
| `best_prediction` | E[y given all symbols], the best anyone could say; of emotions P(emotion given all symbols), `samples emotion` |
"""

from collections.abc import Sequence

import numpy as np
import torch

from workbench.data.batch import UNKNOWN, Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
from workbench.data.simulator.ceiling import ceilings, emotion_chances, expectation
from workbench.data.simulator.cues import CUES, RATE, bump_frames, draw_cues
from workbench.data.simulator.dials import MODALITIES, PRESETS, ByModality, Dials, preset_dials
from workbench.data.simulator.emotions import EMOTIONS, RULES, presence
from workbench.data.simulator.grammar import vocabulary
from workbench.data.simulator.rendering import CHANNELS, OFFSET, Frames, Text, render_frames, render_text
from workbench.errors import ConfigError

__all__ = ["PRESETS", "ByModality", "Dials", "ceilings", "opinions", "preset_dials", "simulate"]

SPLITS = ("train", "valid", "test")


def opinions(preset: str = "balanced", *, samples: int | None = None, seed: int = 0, **dials: object) -> Dataset:
    """Simulates a data set of a preset, with single dials turned.

    Args:
        preset: one of `PRESETS`.
        samples: training samples (the dial `train`); valid and test keep their size, since they cost nothing.
        seed: fixes everything; a dial that is turned changes only what it is about.
        dials: fields of `Dials`; a dial by modality takes a dict and keeps what it does not name.

    Raises:
        ConfigError: unknown preset, dial or modality, or a value out of bounds.
    """
    changes = dials if samples is None else {**dials, "train": samples}
    return simulate(preset_dials(preset, **changes), seed=seed, name=f"opinions/{preset}")


def simulate(dials: Dials, *, seed: int = 0, name: str = "opinions") -> Dataset:
    """Simulates a data set from a full set of dials, with its exact ceilings.

    Raises:
        ConfigError: a negative seed.
    """
    if seed < 0:
        raise ConfigError(f"a seed cannot be negative, got {seed}", expected="0 or more")
    splits = {split: _split(dials, split, seed) for split in SPLITS}
    words = vocabulary(dials.names)
    longest = {name: max(int(split.columns[name].lengths.max()) for split in splits.values()) for name in MODALITIES}
    modalities = {"text": ModalitySpec("tokens", len(words), longest["text"], vocabulary=words)}
    for modality, rate in RATE.items():
        modalities[modality] = ModalitySpec("sequence", len(CHANNELS[modality]), longest[modality], rate)
    notes = {"source": "simulated", "seed": seed, "dials": _said(dials), "channels": {key: list(value) for key, value in CHANNELS.items()}}
    notes |= {"emotions": dict(RULES)} if dials.task == "emotions" else {}
    return Dataset(name, Spec(modalities, task_spec(dials)), splits, notes, ceilings(dials))


def task_spec(dials: Dials) -> TaskSpec:
    """What is asked; the headline of emotions is a metric whose ceiling is known."""
    if dials.task == "emotions":
        return TaskSpec("multilabel", 0.0, len(EMOTIONS) - 1.0, EMOTIONS, "accuracy")
    return TaskSpec("regression")


def _said(dials: Dials) -> dict[str, object]:
    """The dials for the run's record. Sentiment is not named: runs from before there were emotions have the same settings, and are found again."""
    return dials.model_dump(exclude={"task"} if dials.task == "sentiment" else None)


def _split(dials: Dials, name: str, seed: int) -> Split:
    """One split; each step has random numbers of its own, so that a dial of one step leaves the others as they are."""
    n = getattr(dials, name)
    cue_rng, speaker_rng, text_rng, audio_rng, vision_rng, missing_rng = (
        np.random.default_rng([seed, SPLITS.index(name), step]) for step in range(6)
    )
    cues = draw_cues(dials, n, cue_rng)
    symbols = {modality: {cue: cues[f"{modality}_{cue}_symbol"] for cue in CUES[modality]} for modality in MODALITIES}
    speaker = speaker_rng.permutation(np.arange(n) % dials.speakers)
    text = render_text(dials, symbols["text"], text_rng)
    frames = {}
    for modality, rng in (("audio", audio_rng), ("vision", vision_rng)):
        offsets = dials.idiosyncrasy * OFFSET * rng.standard_normal((dials.speakers, len(CUES[modality])))
        frames[modality] = render_frames(modality, dials, symbols[modality], text, offsets[speaker], rng)
    rate = np.array([[dials.missing[modality]] for modality in MODALITIES]) * (dials.missing_kind == "modality")
    is_away = dict(zip(MODALITIES, missing_rng.random((3, n)) < rate, strict=True))
    evidence = _evidence(cues, text, frames, is_away) | {"speaker": speaker}
    evidence["best_prediction"] = _best(dials, evidence, MODALITIES)
    ids = [np.where(away, UNKNOWN, row) for away, row in zip(is_away["text"], text.ids, strict=True)]
    columns = {"text": Column.from_list(ids)}
    for modality, shown in frames.items():
        columns[modality] = Column.from_list([rows * np.float32(not away) for away, rows in zip(is_away[modality], shown.values, strict=True)])
    words = vocabulary(dials.names)
    return Split(
        name=name,
        columns=columns,
        target=torch.from_numpy(_target(dials, cues).astype(np.float32)),
        ids=[f"{name}_{i:05d}" for i in range(n)],
        groups=[f"{name}_speaker_{number:03d}" for number in speaker],
        texts=[" ".join(words[i] for i in row) for row in ids],
        labels={modality: torch.from_numpy(_best(dials, evidence, (modality,)).astype(np.float32)) for modality in MODALITIES},
        evidence=evidence,
    )


def _target(dials: Dials, cues: dict[str, np.ndarray]) -> np.ndarray:
    """The score, `samples`, or which emotions are present, `samples emotion`."""
    if dials.task == "sentiment":
        return cues["score"]
    words = np.where(cues["sarcasm"], -1, 1) * cues["text_unique"]
    return presence(cues["shared"], words, cues["audio_unique"], cues["vision_unique"])


def _best(dials: Dials, evidence: dict[str, np.ndarray], modalities: Sequence[str]) -> np.ndarray:
    """The best that anyone could say who sees some modalities: the expected score, or the probability of each emotion."""
    return (expectation if dials.task == "sentiment" else emotion_chances)(dials, evidence, modalities)


def _evidence(cues: dict[str, np.ndarray], text: Text, frames: dict[str, Frames], is_away: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The facts about single samples (see the table above): what is hidden, what can be seen of it, and where."""
    evidence = {name: cues[name] for name in ("shared", "text_unique", "audio_unique", "vision_unique", "sarcasm")}
    for modality in MODALITIES:
        evidence[f"{modality}_missing"] = is_away[modality]
        is_lost = text.is_lost if modality == "text" else frames[modality].is_lost
        for cue in CUES[modality]:
            symbol = np.where(is_away[modality] | is_lost[cue], 0, cues[f"{modality}_{cue}_symbol"])
            evidence[f"{modality}_{cue}_symbol"] = symbol
            if modality == "text":
                evidence[f"text_{cue}_position"] = np.where(symbol != 0, text.positions[cue], -1)
                continue
            centre, half = frames[modality].centre[cue], bump_frames(modality) // 2
            evidence[f"{modality}_{cue}_time"] = np.where(symbol != 0, centre / RATE[modality], np.nan)
            window = np.stack([centre - half, centre + half + 1], axis=1)
            evidence[f"{modality}_{cue}_window"] = np.where(symbol[:, None] != 0, window, -1)
    evidence["word_starts"] = text.starts
    return evidence
