"""Own data on disk: one file a split, `train.npz`, `train.safetensors` or `train.parquet`, and so on, which the card's `sources:` name.

Keys (columns) are the modalities by the card's names, `target`, and, if known, `ids` and `groups`.

| | npz | safetensors | parquet |
|---|---|---|---|
| vectors | `samples x feature` | the same | lists of numbers |
| sequences | `samples x time x feature` with `<modality>_lengths`, or `steps x feature` with `<modality>_offsets` | the same | lists of lists |
| images | `samples x channel x height x width` | the same | lists of lists of lists |
| sentences, names | arrays of strings | JSON lists in the file's metadata, by key | strings |
| labels (multilabel) | `samples x label` of 0 and 1 | the same, or names in the metadata | lists of numbers or of names |

`<modality>_lengths`: real steps of each padded sample. `<modality>_offsets`: where each sample begins, and the end (samples + 1).
Nothing is unpickled.
"""

import json
import struct
import zipfile
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np

from workbench.data.arrays import RESERVED, dataset_from_arrays
from workbench.data.batch import Dataset
from workbench.data.card import DataCard
from workbench.data.reading.tables import read_table
from workbench.errors import DataError

SUFFIXES = (".npz", ".safetensors", ".parquet")

BROKEN = (OSError, ValueError, TypeError, KeyError, EOFError, NotImplementedError, MemoryError, zipfile.BadZipFile, zlib.error, struct.error)
"""What reading an npz raises that is cut off, damaged, or something else (a single array, a pickle)."""


def read(card: DataCard, root: Path, *, variant: str = "") -> Dataset:
    """The splits of the card, one file each.

    Args:
        card: the data card.
        root: where the files lie.
        variant: of the card's `variants:`, where it has some.

    Raises:
        DataError: no file or two for a split; a file that cannot be read; lengths or offsets that do not fit; and all of `dataset_from_arrays`.
    """
    splits, said = {}, []
    for split in card.splits:
        path = _path(card, root, split, variant)
        arrays, skipped = _arrays(card, path)
        # The card's modalities first, in its order, then the reserved keys; further keys stay and are refused later.
        order = [key for key in (*card.modalities, *RESERVED) if key in arrays] + [key for key in arrays if key not in (*card.modalities, *RESERVED)]
        splits[split] = _ragged(card, split, path, {key: arrays[key] for key in order})
        said += [f"{path.name}: not read, not in the card: {', '.join(skipped)}"] if skipped else []
    rates = {name: modality.rate for name, modality in card.modalities.items() if modality.rate is not None}
    dataset = dataset_from_arrays(card.name, splits, task=card.task.spec(), rates=rates)
    dataset.notes["reading"] = said
    return dataset


def _path(card: DataCard, root: Path, split: str, variant: str) -> Path:
    names = [f"{split}{suffix}" for suffix in SUFFIXES]
    found = [source.path for source in card.files(variant) if Path(source.path).name in names]
    if not found:
        what, expected = f"no file for the split {split}", f"a source with a path ending in {', '.join(names[:-1])} or {names[-1]}"
        raise DataError(f"{card.name}: {what}", where=card.place("sources"), expected=expected)
    if len(found) > 1:
        what = f"two files for the split {split}: {found[0]} and {found[1]}"
        raise DataError(f"{card.name}: {what}", where=card.place("sources"), expected="one file a split")
    return root / found[0]


def _arrays(card: DataCard, path: Path) -> tuple[dict[str, object], list[str]]:
    """The keys of a file, and those that were not read."""
    if path.suffix == ".parquet":
        return read_table(card.name, path, needed=[*card.modalities, "target"], wanted=[key for key in RESERVED if key != "target"])
    return (_npz if path.suffix == ".npz" else _safetensors)(card, path), []


def _npz(card: DataCard, path: Path) -> dict[str, object]:
    try:
        # Opened here: np.load leaves its own handle open when the file turns out to be broken.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except BROKEN as error:
        raise DataError(
            f"{card.name}: {path.name} cannot be read: {error}", where=str(path), expected="np.savez of plain arrays, no objects"
        ) from None


def _safetensors(card: DataCard, path: Path) -> dict[str, object]:
    """The arrays of a file, and the lists in its metadata that have the name of a modality or a reserved key."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            # numpy has no bfloat16: what it cannot hold becomes float32 first.
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping: it cannot be iterated over)
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        raise DataError(f"{card.name}: {path.name} cannot be read: {error}", where=str(path), expected="a safetensors file (cut off?)") from None
    arrays: dict[str, object] = {
        key: (tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor).numpy() for key, tensor in tensors.items()
    }
    for key in (*card.modalities, *RESERVED):
        if key in metadata:
            if key in arrays:
                raise DataError(f'{card.name}: "{key}" is an array and stands in the metadata', where=str(path), expected="one of the two")
            arrays[key] = _listed(card, path, key, metadata[key])
    return arrays


def _listed(card: DataCard, path: Path, key: str, text: str) -> list[object]:
    """A list in JSON."""
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError) as error:
        what, cause = f'the metadata "{key}" is no JSON', str(error)
        raise DataError(f"{card.name}: {what}: {cause}", where=str(path), expected="a list of strings in JSON") from None
    if not isinstance(listed, list):
        raise DataError(f'{card.name}: the metadata "{key}" is no list', where=str(path), expected="a list of strings in JSON")
    return listed


def _ragged(card: DataCard, split: str, path: Path, arrays: dict[str, object]) -> dict[str, object]:
    """Sequences without their padding, or cut where their offsets say."""
    for ending, cut in (("_lengths", _trim), ("_offsets", _cut)):
        for key in [key for key in arrays if key.endswith(ending) and key.removesuffix(ending) in arrays]:
            name, counts = key.removesuffix(ending), np.asarray(arrays.pop(key))
            if isinstance(arrays[name], list):
                what = f"{name} has {key} and was ragged already"
                raise DataError(f"{card.name}: {what}", where=f'{path}, key "{key}"', expected="lengths or offsets, for one array of numbers")
            arrays[name] = cut(card, f'{path}, key "{key}", split {split}', name, np.asarray(arrays[name]), counts)
    return arrays


def _trim(card: DataCard, where: str, name: str, padded: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Each sample of a padded array without its padding."""
    if padded.ndim != 3 or lengths.shape != padded.shape[:1] or lengths.dtype.kind not in "iu":
        what = f"{name} is {list(padded.shape)}, its lengths are {list(lengths.shape)} {lengths.dtype}"
        raise DataError(f"{card.name}: {what}", where=where, expected="samples x time x feature, and one whole number a sample")
    wrong = np.flatnonzero((lengths < 1) | (lengths > padded.shape[1]))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(f"{card.name}: the length is {lengths[row]}", where=f"{where}, row {row}", expected=f"1 to {padded.shape[1]} steps")
    return [rows[:length] for rows, length in zip(padded, lengths, strict=True)]


def _cut(card: DataCard, where: str, name: str, steps: np.ndarray, offsets: np.ndarray) -> list[np.ndarray]:
    """The samples of an array of all steps."""
    if steps.ndim != 2 or offsets.ndim != 1 or len(offsets) < 2 or offsets.dtype.kind not in "iu":
        what = f"{name} is {list(steps.shape)}, its offsets are {list(offsets.shape)} {offsets.dtype}"
        raise DataError(f"{card.name}: {what}", where=where, expected="steps x feature, and samples + 1 whole numbers")
    offsets = offsets.astype(np.int64)
    if offsets[0] != 0 or offsets[-1] != len(steps):
        what = f"the offsets of {name} go from {offsets[0]} to {offsets[-1]}"
        raise DataError(f"{card.name}: {what}", where=where, expected=f"from 0 to {len(steps)}, the number of steps")
    wrong = np.flatnonzero(np.diff(offsets) < 1)
    if len(wrong):
        row = int(wrong[0])
        what = f"the offsets of {name} go from {offsets[row]} to {offsets[row + 1]}"
        raise DataError(f"{card.name}: {what}", where=f"{where}, row {row}", expected="rising: one step or more a sample")
    return [steps[begin:end] for begin, end in pairwise(offsets.tolist())]
