"""The workbench's own files: a data set that was read, verified and standardised once, opened by memory map afterwards.

    <data home>/native/<card>-<key>/dataset.json        what it is: card, options, sources, spec, notes, sums
                                    train.safetensors   <modality>, <modality>_offsets[, <modality>_present], target, label.<modality>, ...
                                    valid.safetensors   (and ids, groups and texts in the file's metadata, as JSON)

The key is made of the card, the variant, the reader's options and the data root, so that `load` finds what `convert` wrote. A source that has
changed since makes the files stale: they are then left alone and the source is read.
"""

import hashlib
import json
import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
from workbench.data.card import DataCard
from workbench.data.scratch import LARGE, data_home
from workbench.errors import DataError

VERSION = 1
"""Changes when files that were written before can not be read any more."""

TYPES = {
    "float64": "F64",
    "int64": "I64",
    "float32": "F32",
    "int32": "I32",
    "float16": "F16",
    "int16": "I16",
    "uint8": "U8",
    "int8": "I8",
    "bool": "BOOL",
}
"""Names of number types in torch and in safetensors, the widest first: written in this order every array begins at a multiple of its size."""


@dataclass(frozen=True)
class Converted:
    """What `convert` wrote.

    Args:
        path: the folder.
        bytes: its size.
        seconds: how long it took.
    """

    path: Path
    bytes: int
    seconds: float


def folder_of(card: DataCard, root: Path, variant: str, options: Mapping[str, object]) -> Path:
    """Where the converted data set of a card, variant, options and data root lies, or would lie."""
    what = json.dumps([card.sha256, variant, {key: options[key] for key in sorted(options)}, str(root.resolve())], default=str)
    return data_home() / "native" / f"{card.name}{f'-{variant}' if variant else ''}-{hashlib.sha256(what.encode()).hexdigest()[:10]}"


def write(data: Dataset, folder: Path, card: DataCard, root: Path, *, variant: str = "") -> Converted:
    """Writes a data set, whole or not at all; what was there before is replaced at the end.

    Raises:
        DataError: the disk is full, or the folder cannot be written.
    """
    begin = time.perf_counter()
    sources = {source.path: _state(root / source.path) for source in card.files(variant)}
    facts = {"version": VERSION, "card": card.name, "card_sha256": card.sha256, "sources": sources, "name": data.name, "splits": list(data.splits)}
    facts |= {"spec": asdict(data.spec), "notes": data.notes, "ceiling": data.ceiling}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
            part = Path(made) / "data"
            part.mkdir()
            for name, split in data.splits.items():
                write_split(split, part / f"{name}.safetensors")
            (part / "dataset.json").write_text(json.dumps(facts, default=str))
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(part, folder)
    except OSError as error:
        what = f"{data.name}: the converted data cannot be written: {error.strerror or error}"
        raise DataError(what, where=str(folder), do="free some space or choose another folder: set WORKBENCH_DATA") from error
    return Converted(folder, sum(file.stat().st_size for file in folder.iterdir()), time.perf_counter() - begin)


def _state(path: Path) -> list[int]:
    """Size and time of change of a file, which tell that it is still the same."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def write_split(split: Split, path: Path) -> None:
    """One split as a safetensors file, some steps at a time: safetensors' own writer wants everything in memory."""
    tensors: dict[str, Tensor] = {"target": split.target, **{f"label.{name}": values for name, values in split.labels.items()}}
    for name, column in split.columns.items():
        tensors |= {name: column.values, f"{name}_offsets": column.offsets}
        if column.present is not None:
            tensors[f"{name}_present"] = column.present
    order = sorted(tensors, key=lambda name: list(TYPES).index(str(tensors[name].dtype).removeprefix("torch.")))
    metadata = {
        "ids": split.ids,
        "groups": split.groups,
        "texts": split.texts,
        "sums": {name: column.sum() for name, column in split.columns.items()},
    }
    metadata["evidence"] = {name: values.tolist() for name, values in split.evidence.items()}
    header: dict[str, Any] = {"__metadata__": {key: json.dumps(value) for key, value in metadata.items()}}
    end = 0
    for name in order:
        begin, end = end, end + tensors[name].numel() * tensors[name].element_size()
        kind = TYPES[str(tensors[name].dtype).removeprefix("torch.")]
        header[name] = {"dtype": kind, "shape": list(tensors[name].shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            for piece in _pieces(split, name, tensors[name]):
                file.write(memoryview(piece.detach().cpu().contiguous().numpy().reshape(-1)).cast("B"))


def _pieces(split: Split, name: str, tensor: Tensor) -> Iterator[Tensor]:
    if name in split.columns:
        return (piece for _, piece in split.columns[name].pieces())
    return iter([tensor])


def find(card: DataCard, root: Path, variant: str, options: Mapping[str, object]) -> Dataset | None:
    """The converted data set, opened by memory map; None where there is none, or where its sources have changed since.

    Raises:
        DataError: its files are damaged.
    """
    folder = folder_of(card, root, variant, options)
    try:
        facts = json.loads((folder / "dataset.json").read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _damaged(folder / "dataset.json", str(error)) from error
    if facts.get("version") != VERSION or facts.get("card_sha256") != card.sha256 or not _are_same(facts["sources"], root):
        return None
    spec = read_spec(facts["spec"])
    splits = {name: read_split(folder / f"{name}.safetensors", name, spec) for name in facts["splits"]}
    return Dataset(facts["name"], spec, splits, {**facts["notes"], "converted": str(folder)}, facts["ceiling"])


def _are_same(sources: dict[str, list[int]], root: Path) -> bool:
    """True where no source has changed; one that was moved away has not."""
    return all(not (root / path).is_file() or _state(root / path) == state for path, state in sources.items())


def read_spec(saved: Mapping[str, Any]) -> Spec:
    """The spec that `asdict` and JSON made plain."""
    modalities = {
        name: ModalitySpec(**{**values, "vocabulary": tuple(values["vocabulary"]), "shape": tuple(values["shape"])})
        for name, values in saved["modalities"].items()
    }
    return Spec(modalities, TaskSpec(**{**saved["task"], "classes": tuple(saved["task"]["classes"])}))


def read_split(path: Path, name: str, spec: Spec) -> Split:
    """One split; large arrays stay in the file.

    Raises:
        DataError: the file is not what `write_split` wrote.
    """
    with _opened(path) as file:
        arrays, metadata, room = _arrays(file)
    plain = {key: json.loads(value) for key, value in metadata.items()}
    try:
        columns = {key: _column(key, arrays, plain["sums"], room) for key in spec.modalities}
        labels = {key.removeprefix("label."): torch.from_numpy(value) for key, value in arrays.items() if key.startswith("label.")}
        evidence = {key: np.array(value) for key, value in plain["evidence"].items()}
        split = Split(name, columns, torch.from_numpy(arrays["target"]), plain["ids"], plain["groups"], plain["texts"], labels, evidence)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    for key, column in columns.items():
        _check(path, key, column, len(split))
    return split


class _opened:  # noqa: N801 - used like a function
    """The file, open, after safetensors' own reader has found its header in order."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> BinaryIO:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="pt"):
                pass
            self.file = self.path.open("rb")
        except (SafetensorError, OSError) as error:
            raise _damaged(self.path, str(error)) from error
        return self.file

    def __exit__(self, *what: object) -> None:
        self.file.close()


def _arrays(file: BinaryIO) -> tuple[dict[str, np.ndarray], dict[str, str], mmap.mmap]:
    """All arrays of a safetensors file as views of its memory map, and its metadata."""
    size = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(size))
    metadata = header.pop("__metadata__", {})
    # A private map: its pages can be given back, and nothing that is done to them reaches the file.
    room = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    kinds = {kind: name for name, kind in TYPES.items()}
    arrays = {}
    for key, entry in header.items():
        begin, end = entry["data_offsets"]
        dtype = np.dtype(kinds[entry["dtype"]])
        arrays[key] = np.frombuffer(room, dtype, (end - begin) // dtype.itemsize, 8 + size + begin).reshape(entry["shape"])
    return arrays, metadata, room


def _column(key: str, arrays: dict[str, np.ndarray], sums: dict[str, str], room: mmap.mmap) -> Column:
    """A column; small ones come into memory, where they are quicker."""
    values, is_large = arrays[key], arrays[key].nbytes >= LARGE
    present = torch.from_numpy(arrays[f"{key}_present"].copy()) if f"{key}_present" in arrays else None
    offsets = torch.from_numpy(arrays[f"{key}_offsets"].copy())
    return Column(torch.from_numpy(values if is_large else values.copy()), offsets, present, sums[key], room if is_large else None)


def _check(path: Path, key: str, column: Column, samples: int) -> None:
    """The offsets fit the values; nothing else is read."""
    offsets = column.offsets
    if len(column) != samples or int(offsets[0]) != 0 or int(offsets[-1]) != len(column.values) or not bool((offsets.diff() > 0).all()):
        raise _damaged(path, f"the offsets of {key} do not fit its values")


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"a converted file is damaged: {what}", where=str(path), do=f"delete the folder {path.parent} and convert again")
