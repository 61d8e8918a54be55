"""Own data on disk: one `<split>.npz` a split, the arrays of `workbench.data.arrays.dataset_from_arrays` by key.

Modalities by the card's names, `target`, and, if known, `ids` and `groups`. Sentences are arrays of strings. Sequences of unequal length are
padded to `samples time feature`, with their real lengths in `<modality>_lengths`. Pickled objects are refused.
"""

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from workbench.data.arrays import RESERVED, dataset_from_arrays
from workbench.data.batch import Dataset
from workbench.data.card import DataCard
from workbench.errors import DataError

BROKEN = (OSError, ValueError, TypeError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error, struct.error)
"""What reading a file raises that is cut off, damaged, or something else (a single array, a pickle)."""


def read(card: DataCard, root: Path) -> Dataset:
    """The splits of the card from `<split>.npz`, which the card's `sources:` name.

    Raises:
        DataError: no file for a split, a file that is no npz or holds objects, lengths that do not fit; and all of `dataset_from_arrays`.
    """
    splits = {split: _arrays(card, split, _path(card, root, split)) for split in card.splits}
    rates = {name: modality.rate for name, modality in card.modalities.items() if modality.rate is not None}
    return dataset_from_arrays(card.name, splits, task=card.task.spec(), rates=rates)


def _path(card: DataCard, root: Path, split: str) -> Path:
    for source in card.sources:
        if Path(source.path).name == f"{split}.npz":
            return root / source.path
    raise DataError(
        f"{card.name}: no file for the split {split}", where=card.place("sources"), expected=f"a source with a path ending in {split}.npz"
    )


def _arrays(card: DataCard, split: str, path: Path) -> dict[str, object]:
    """The card's modalities first, in its order, then the reserved keys; further keys stay and are refused later."""
    try:
        # Opened here: np.load leaves its own handle open when the file turns out to be broken.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            read = {key: file[key] for key in file.files}
    except BROKEN as error:
        raise DataError(
            f"{card.name}: {path.name} cannot be read: {error}", where=str(path), expected="np.savez of plain arrays, no objects"
        ) from None
    arrays: dict[str, object] = {key: read.pop(key) for key in (*card.modalities, *RESERVED) if key in read}
    for key in [key for key in read if key.removesuffix("_lengths") in arrays and key.endswith("_lengths")]:
        name = key.removesuffix("_lengths")
        arrays[name] = _trim(card, split, path, name, np.asarray(arrays[name]), read.pop(key))
    return arrays | read


def _trim(card: DataCard, split: str, path: Path, name: str, padded: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Each sample without its padding."""
    where = f'{path}, key "{name}_lengths"'
    if padded.ndim != 3 or lengths.shape != padded.shape[:1] or lengths.dtype.kind not in "iu":
        what = f"{name} is {list(padded.shape)}, its lengths are {list(lengths.shape)} {lengths.dtype}"
        raise DataError(f"{card.name}: {what}", where=where, expected="samples x time x feature, and one whole number a sample")
    wrong = np.flatnonzero((lengths < 1) | (lengths > padded.shape[1]))
    if len(wrong):
        raise DataError(
            f"{card.name}: the length is {lengths[wrong[0]]}",
            where=f"{where}, split {split}, row {wrong[0]}",
            expected=f"1 to {padded.shape[1]} steps",
        )
    return [rows[:length] for rows, length in zip(padded, lengths, strict=True)]
