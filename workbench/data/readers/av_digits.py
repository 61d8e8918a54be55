"""Spoken and written digits: recordings of the Free Spoken Digit Dataset, each paired with a handwritten image of the same digit.

Variant `official` tests on recordings 0 to 4 of every digit and speaker and validates on 5 to 9; variant `speaker` tests on a speaker whose voice
was never heard in training.
"""

import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from workbench.data.arrays import modality_spec
from workbench.data.batch import Column, Dataset, Spec, Split
from workbench.data.card import DataCard
from workbench.data.reading.mel import log_mel
from workbench.errors import ConfigError, DataError

RATE, BANDS, WINDOW, HOP = 8000, 40, 0.025, 0.010
"""Samples a second of the recordings [Hz]; log-mel bands; length of a frame and from frame to frame [s]."""

HELD_OUT = "nicolas"
"""The speaker that the variant `speaker` tests on."""

LONGEST = 60
"""Seconds of a recording that are believed; the longest real one has 0.88."""

NAME = re.compile(r"([0-9])_([a-z]+)_([0-9]{1,4})\.wav")


@dataclass(frozen=True)
class Recording:
    """One file: which digit, who says it, the how many-th time (from 0)."""

    path: Path
    digit: int
    speaker: str
    index: int


def read(card: DataCard, root: Path, *, variant: str = "official", seed: int = 0) -> Dataset:
    """The card's recordings as log-mel frames, with their images, cut by the variant's rule.

    Args:
        card: the data card.
        root: where the files lie.
        variant: `official` or `speaker`.
        seed: which image goes with which recording.

    Raises:
        ConfigError: another variant.
        DataError: a file with another name, or no mono recording of 16 bits at 8 kHz; more recordings of a digit than images; a split without one.
    """
    if variant not in RULES:
        raise ConfigError(f'{card.name} has no variant "{variant}"', expected=", ".join(RULES))
    recordings = sorted((_recording(card, root / source.path) for source in card.files(variant)), key=lambda it: (it.digit, it.speaker, it.index))
    images, rows = _images(), pairs(card, recordings, seed)
    frames = [log_mel(torch.from_numpy(read_wave(it.path)), rate=RATE, bands=BANDS, window=WINDOW, hop=HOP).numpy() for it in recordings]
    where = [RULES[variant](it) for it in recordings]
    splits = {}
    for name in card.splits:
        pick = [i for i, split in enumerate(where) if split == name]
        if not pick:
            raise DataError(f"{card.name}: no recording is in the split {name}", where=f"variant {variant}", expected="one or more; see `sources:`")
        found = {"audio": Column.from_list([frames[i] for i in pick]), "image": Column.from_rows(images[[rows[i] for i in pick]])}
        splits[name] = Split(
            name,
            {key: found[key] for key in card.modalities if key in found},
            torch.tensor([recordings[i].digit for i in pick]),
            [f"{recordings[i].path.stem}/digit_{rows[i]:04d}" for i in pick],
            [recordings[i].speaker for i in pick],
        )
    kinds, rates = {"audio": "sequence", "image": "image"}, {"audio": 1 / HOP}
    names = list(splits["train"].columns)
    specs = {key: modality_spec(kinds[key], (split.columns[key] for split in splits.values()), rate=rates.get(key)) for key in names}
    said = [f"{len(recordings)} recordings of {len({it.speaker for it in recordings})} speakers, each with an image of its own (seed {seed})"]
    return Dataset(card.name, Spec(specs, card.task.spec()), splits, notes={"reading": said})


def _official(recording: Recording) -> str:
    return "test" if recording.index < 5 else "valid" if recording.index < 10 else "train"


def _speaker(recording: Recording) -> str:
    return "test" if recording.speaker == HELD_OUT else "valid" if recording.index < 5 else "train"


RULES = {"official": _official, "speaker": _speaker}


def _recording(card: DataCard, path: Path) -> Recording:
    """What the name of a file says."""
    found = NAME.fullmatch(path.name)
    if found is None:
        raise DataError(f"{card.name}: {path.name} is no name of a recording", where=str(path), expected="<digit>_<speaker>_<index>.wav")
    return Recording(path, int(found[1]), found[2], int(found[3]))


def _images() -> np.ndarray:
    """The digits that come with scikit-learn, `samples 1 8 8`, ink in 0 to 1."""
    from sklearn.datasets import load_digits

    return (load_digits().images[:, None] / 16).astype(np.float32)


def pairs(card: DataCard, recordings: list[Recording], seed: int) -> list[int]:
    """The row of an image for each recording: one of its digit, and no image twice, so that none is in two splits."""
    from sklearn.datasets import load_digits

    target = load_digits().target
    free = {digit: iter(np.random.default_rng([seed, digit]).permutation(np.flatnonzero(target == digit)).tolist()) for digit in range(10)}
    rows = []
    for recording in recordings:
        row = next(free[recording.digit], None)
        if row is None:
            raise DataError(
                f"{card.name}: more recordings of the digit {recording.digit} than images",
                where=str(recording.path),
                expected=f"at most {int((target == recording.digit).sum())}",
            )
        rows.append(row)
    return rows


def read_wave(path: Path) -> np.ndarray:
    """The samples of a recording, float32 in -1 to 1.

    Raises:
        DataError: no wav file, one that is cut off or too long, or not mono, 16 bits, 8 kHz.
    """
    from scipy.io import wavfile

    expected = f"a wav file: mono, 16 bits, {RATE} Hz"
    try:
        if path.stat().st_size > 2 * RATE * LONGEST:
            raise DataError(f"{path.name} is longer than {LONGEST} s", where=str(path), expected=expected)
        # Read from memory: what the header promises can then not be more than there is. scipy warns of chunks that it does not know, which are
        # harmless, and of a file that ends early, which is not.
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            rate, samples = wavfile.read(io.BytesIO(path.read_bytes()))
    except DataError:
        raise
    except Exception as error:
        # scipy raises whatever its parsing runs into (struct.error, ValueError, UnboundLocalError, ...).
        raise DataError(f"{path.name} cannot be read: {error or type(error).__name__}", where=str(path), expected=expected) from None
    if any("prematurely" in str(warning.message) for warning in said):
        raise DataError(f"{path.name} is cut off", where=str(path), expected=expected)
    if rate != RATE or samples.ndim != 1 or samples.dtype != np.int16:
        what = f"{path.name} has {rate} Hz, {samples.shape[1] if samples.ndim > 1 else 1} channels, {samples.dtype}"
        raise DataError(what, where=str(path), expected=expected)
    if not len(samples):
        raise DataError(f"{path.name} is empty", where=str(path), expected=expected)
    return samples.astype(np.float32) / 32768
