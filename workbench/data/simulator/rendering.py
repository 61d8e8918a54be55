"""From cues to what people see and models get: sentences with a clock, voice frames and face frames.

A frame feature is quiet noise; a cue adds one smooth bump at its time, as high as its level. Times are in seconds from the start of the
recording, frame i lies at i / rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.data.batch import UNKNOWN
from workbench.data.simulator.cues import CUES, RATE, bump_frames
from workbench.data.simulator.dials import Dials
from workbench.data.simulator.grammar import EVIDENCE, TEMPLATES, names, sentence, synonyms, vocabulary

CHANNELS = {
    "audio": ("energy", "pitch", "voice quality", "formant 1", "formant 2", "breath", "tilt", "room"),
    "vision": ("lip corners (AU12)", "brows (AU4)", "lids (AU7)", "nose (AU9)", "jaw (AU26)", "blink (AU45)", "gaze", "head turn"),
}
"""Features of a frame. The first ones carry the cues of `CUES`, in order; the others say nothing."""

BUMP = 3.0
"""Height of a bump for level 1 (twice for level 2; the mark of sarcasm is as high as level 2)."""

CUE_NOISE, OTHER_NOISE, MEMORY = 0.15, 0.6, 0.5
"""Standard deviation of the noise on cue channels and on the others; correlation of its neighbouring frames."""

OFFSET = 0.16
"""About what one level adds to a channel's mean over the recording: the unit of `idiosyncrasy`."""

MARGIN = 0.5
"""Silence before the first and after the last word [s]."""

WORD_SECONDS = (0.25, 0.35)
"""Shortest and longest word [s]."""


@dataclass(frozen=True)
class Text:
    """Sentences with their clock.

    Args:
        ids: token ids, one array a sample.
        positions: `shared`, `unique`: the word at each evidence slot, `samples`.
        starts: when each word starts [s], `samples words`, nan behind the last.
        ends: when the last word ends [s], `samples`.
        is_lost: `shared`, `unique`: whether the word is among the missing ones, `samples`.
    """

    ids: list[np.ndarray]
    positions: dict[str, np.ndarray]
    starts: np.ndarray
    ends: np.ndarray
    is_lost: dict[str, np.ndarray]

    def time(self, cue: str) -> np.ndarray:
        """The middle of the word at an evidence slot [s], `samples`."""
        rows, after = np.arange(len(self.ids)), self.positions[cue] + 1
        padded = np.column_stack([self.starts, np.full(len(self.ids), np.nan)])
        end = np.where(np.isnan(padded[rows, after]), self.ends, padded[rows, after])
        return (padded[rows, self.positions[cue]] + end) / 2


def render_text(dials: Dials, symbols: Mapping[str, np.ndarray], rng: np.random.Generator) -> Text:
    """Writes one sentence for each pair of text symbols and says when each word is spoken.

    Args:
        symbols: `shared`, `unique`: what the text shows, 0 where it shows nothing, `samples`.
    """
    n, people = len(symbols["shared"]), names(dials.names)
    longest = max(len(template) for template in TEMPLATES)
    template, draws, choice = rng.integers(0, len(TEMPLATES), n), rng.random((n, longest)), rng.random((2, n))
    sentences, places = [], []
    for i in range(n):
        shown = {cue: _word(cue, int(symbols[cue][i]), choice[j, i], synonyms(dials.hardness.text)) for j, cue in enumerate(CUES["text"])}
        words, place = sentence(template[i], draws[i], shown, people)
        sentences.append(words)
        places.append(place)
    number = {word: i for i, word in enumerate(vocabulary(dials.names))}
    lengths = np.array([len(words) for words in sentences])
    real = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(real.shape, np.int64)
    ids[real] = [number[word] for words in sentences for word in words]
    seconds = np.where(real, rng.uniform(*WORD_SECONDS, real.shape), 0.0)
    is_lost = rng.random(real.shape) < (dials.missing.text if dials.missing_kind == "frames" else 0.0)
    ids[is_lost] = UNKNOWN
    positions = {cue: np.array([place[cue] for place in places]) for cue in CUES["text"]}
    starts = MARGIN + np.cumsum(seconds, axis=1) - seconds
    return Text(
        ids=[row[:length] for row, length in zip(ids, lengths, strict=True)],
        positions=positions,
        starts=np.where(real, starts, np.nan),
        ends=MARGIN + seconds.sum(1),
        is_lost={cue: is_lost[np.arange(n), position] for cue, position in positions.items()},
    )


def _word(cue: str, level: int, draw: float, count: int) -> str:
    words = EVIDENCE[cue][level]
    return words[int(draw * (count if level else len(words)))]


@dataclass(frozen=True)
class Frames:
    """The frames of voice or face.

    Args:
        values: `frames channel` (float32), one array a sample.
        centre: cue to the frame at the middle of its bump (whether or not one is shown), `samples`.
        is_lost: cue to whether all frames of its bump are missing, `samples`.
    """

    values: list[np.ndarray]
    centre: dict[str, np.ndarray]
    is_lost: dict[str, np.ndarray]


def kernel(modality: str) -> np.ndarray:
    """The shape of a bump by frame, a raised cosine of height 1 (15 frames in audio, 11 in vision)."""
    frames = bump_frames(modality)
    return 0.5 * (1 + np.cos(2 * np.pi * (np.arange(frames) - frames // 2) / (frames + 1)))


def heights(cue: str, symbols: np.ndarray) -> np.ndarray:
    """Height of the bump for each symbol of a cue, before hardness."""
    return BUMP * symbols * (2 if cue == "sarcasm" else 1)


def render_frames(
    modality: str, dials: Dials, symbols: Mapping[str, np.ndarray], text: Text, offsets: np.ndarray, rng: np.random.Generator
) -> Frames:
    """Draws the frames of `audio` or `vision`: noise, the speaker's offset, and a bump for each cue that is shown.

    Args:
        symbols: cue to what is shown, 0 where nothing is, `samples`.
        text: gives the length of the recording and the times of the evidence words.
        offsets: the speaker's constant offset on each cue channel, `samples cue`.
    """
    n, rate, half = len(text.ids), RATE[modality], bump_frames(modality) // 2
    lengths = np.ceil((text.ends + dials.lag + MARGIN) * rate).astype(int)
    values = _noise(modality, n, int(lengths.max()), rng)
    values[:, :, : offsets.shape[1]] += offsets[:, None, :]
    is_dropped = rng.random(values.shape[:2]) < (dials.missing[modality] if dials.missing_kind == "frames" else 0.0)
    centre, is_lost = {}, {}
    for channel, cue in enumerate(CUES[modality]):
        # the voice comes late, the face early or late; sarcasm is heard on the word that it turns round
        lag = dials.lag * (np.ones(n) if modality == "audio" else rng.uniform(-1, 1, n))
        middle = np.rint((text.time("unique" if cue == "sarcasm" else cue) + lag) * rate).astype(int)
        centre[cue] = np.clip(middle, half, lengths - 1 - half)
        frames = (np.arange(n)[:, None], centre[cue][:, None] + np.arange(-half, half + 1))
        values[(*frames, channel)] += heights(cue, symbols[cue])[:, None] * kernel(modality)
        is_lost[cue] = is_dropped[frames].all(1)
    values *= 10 ** (-2 * dials.hardness[modality])
    values[is_dropped] = 0.0
    return Frames([rows[:length] for rows, length in zip(values.astype(np.float32), lengths, strict=True)], centre, is_lost)


def _noise(modality: str, n: int, longest: int, rng: np.random.Generator) -> np.ndarray:
    """Stationary noise with memory, `samples frames channel`: x_t = m x_{t-1} + sqrt(1 - m^2) e_t."""
    cues, channels = len(CUES[modality]), len(CHANNELS[modality])
    scale = np.array([CUE_NOISE] * cues + [OTHER_NOISE] * (channels - cues))
    values = rng.standard_normal((n, longest, channels)) * scale
    values[:, 1:] *= np.sqrt(1 - MEMORY**2)
    for t in range(1, longest):
        values[:, t] += MEMORY * values[:, t - 1]
    return values
