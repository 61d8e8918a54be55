"""The workbench's own files: a data set that was read, verified and standardised once, opened by memory map afterwards.

    <data home>/native/<card>-<key>/dataset.json        what it is: card, options, sources, spec, notes, scales
                                    train.safetensors   <modality>, <modality>_offsets[, <modality>_present], target, label.<modality>,
                                                        evidence.<name>
                                    train.json          ids, groups, texts, and the sum of each modality
                                    valid.safetensors, ...

The key is made of the card, its files, the variant, the reader's options and the data root, so that `load` finds what `convert` wrote. Sources or
code of the data package that have changed since make the files stale: they are then left alone and the source is read.
"""

import fcntl
import hashlib
import json
import mmap
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
from workbench.data.card import DataCard
from workbench.data.column import raw
from workbench.data.scaling import Scale, from_plain, plain, without_scales
from workbench.data.scratch import LARGE, Room, data_home
from workbench.errors import DataError

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

FACTS = {"code", "card", "card_sha256", "sources", "name", "splits", "spec", "notes", "ceiling", "scales"}


@dataclass(frozen=True)
class Converted:
    """What `convert` wrote.

    Args:
        path: the folder.
        bytes: its size.
        seconds: how long it took to write.
    """

    path: Path
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Home:
    """Where the converted data set of a card, variant, options and data root lies, or would lie.

    Args:
        card, root, variant, options: what it is made of.
    """

    card: DataCard
    root: Path
    variant: str
    options: Mapping[str, object]

    @property
    def folder(self) -> Path:
        """The folder."""
        files = [source.path for source in self.card.files(self.variant)]
        options = {key: self.options[key] for key in sorted(self.options)}
        what = json.dumps([self.card.sha256, files, self.variant, options, str(self.root.resolve())], default=str)
        name = f"{self.card.name}{f'-{self.variant}' if self.variant else ''}-{hashlib.sha256(what.encode()).hexdigest()[:10]}"
        return data_home() / "native" / name

    def sources(self) -> dict[str, list[int]]:
        """Size and time of change of each source, nothing for one that is not there."""
        return {source.path: _state(self.root / source.path) for source in self.card.files(self.variant)}

    def facts(self) -> dict[str, Any] | None:
        """What stands in dataset.json; None where there is none, or where card, code or a source has changed since.

        Raises:
            DataError: the file is damaged.
        """
        path = self.folder / "dataset.json"
        try:
            facts = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise _damaged(path, str(error)) from error
        if not isinstance(facts, dict) or not set(facts) >= FACTS:
            raise _damaged(path, "it lacks what convert writes")
        # A source that was moved away has not changed.
        same = all(not state or facts["sources"].get(path) == state for path, state in self.sources().items())
        return facts if same and facts["card_sha256"] == self.card.sha256 and facts["code"] == code_sum() else None


def _state(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]


@cache
def code_sum() -> str:
    """The sum of the code that makes data sets of files: what another code has read may be other numbers."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def write(data: Dataset, home: Home, *, sources: dict[str, list[int]], scales: Mapping[str, Scale]) -> Converted:
    """Writes a data set, whole or not at all, and opens it once; what was there before is replaced at the end.

    Args:
        data: as `load` gives it.
        home: where to.
        sources: `Home.sources` from before the data was read, so that a change while it was read is seen.
        scales: mean and spread of each standardised modality.

    Raises:
        DataError: the disk is full, or the folder cannot be written.
    """
    begin, folder, card = time.perf_counter(), home.folder, home.card
    facts = {"code": code_sum(), "card": card.name, "card_sha256": card.sha256, "sources": sources, "name": data.name, "splits": list(data.splits)}
    facts |= {"spec": asdict(data.spec), "notes": data.notes, "ceiling": data.ceiling}
    facts["scales"] = plain(scales)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
            part = Path(made) / "data"
            part.mkdir()
            for name, split in data.splits.items():
                write_split(split, part / f"{name}.safetensors")
            (part / "dataset.json").write_text(json.dumps(facts, default=str, allow_nan=False))
            _opened(part, facts)
            size = sum(file.stat().st_size for file in part.iterdir())
            with _alone(folder):
                if folder.exists():
                    folder.rename(Path(made) / "before")
                part.rename(folder)
    except OSError as error:
        what = f"{data.name}: the converted data cannot be written: {error.strerror or error}"
        raise DataError(what, where=str(folder), do="free some space or choose another folder: set WORKBENCH_DATA") from error
    return Converted(folder, size, time.perf_counter() - begin)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time puts its files in place."""
    with (folder.parent / f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_split(split: Split, path: Path) -> None:
    """One split as a safetensors file, some steps at a time: safetensors' own writer wants everything in memory. Words stand in a file beside it."""
    facts = {"ids": split.ids, "groups": split.groups, "texts": split.texts, "sums": {name: column.sum() for name, column in split.columns.items()}}
    path.with_suffix(".json").write_text(json.dumps(facts))
    tensors = _tensors(split)
    header, end = {}, 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": TYPES[_kind(tensor)], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, tensor in tensors.items():
            for piece in (part for _, part in split.columns[name].pieces()) if name in split.columns else [tensor]:
                file.write(raw(piece))


def _tensors(split: Split) -> dict[str, Tensor]:
    """All numbers of a split by name, the widest type first."""
    tensors: dict[str, Tensor] = {"target": split.target, **{f"label.{name}": values for name, values in split.labels.items()}}
    tensors |= {f"evidence.{name}": torch.from_numpy(np.ascontiguousarray(values)) for name, values in split.evidence.items()}
    for name, column in split.columns.items():
        tensors |= {name: column.values, f"{name}_offsets": column.offsets}
        if column.present is not None:
            tensors[f"{name}_present"] = column.present
    return dict(sorted(tensors.items(), key=lambda item: list(TYPES).index(_kind(item[1]))))


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def find(home: Home) -> Dataset | None:
    """The converted data set, opened by memory map; None where there is none, or where its card, its sources or the code have changed since.

    Raises:
        DataError: its files are damaged.
    """
    facts = home.facts()
    return None if facts is None else _opened(home.folder, facts)


def find_unscaled(home: Home) -> Dataset | None:
    """The converted data set as it was before it was standardised (up to rounding): for a look at it where its sources are gone."""
    facts = home.facts()
    if facts is None:
        return None
    found = without_scales(_opened(home.folder, facts), from_plain(facts["scales"]))
    return replace(found, notes={key: value for key, value in found.notes.items() if key not in ("standardised", "scales")})


def _opened(folder: Path, facts: Mapping[str, Any]) -> Dataset:
    spec = read_spec(facts["spec"])
    splits = {name: read_split(folder / f"{name}.safetensors", name, spec) for name in facts["splits"]}
    return Dataset(facts["name"], spec, splits, {**facts["notes"], "converted": str(folder)}, facts["ceiling"])


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
    arrays, room = _arrays(path)
    try:
        plain = json.loads(path.with_suffix(".json").read_text())
        columns = {key: _column(key, arrays, plain["sums"], room) for key in spec.modalities}
        labels = {key.removeprefix("label."): torch.from_numpy(value.copy()) for key, value in arrays.items() if key.startswith("label.")}
        evidence = {key.removeprefix("evidence."): value.copy() for key, value in arrays.items() if key.startswith("evidence.")}
        split = Split(name, columns, torch.from_numpy(arrays["target"].copy()), plain["ids"], plain["groups"], plain["texts"], labels, evidence)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    for key, column in columns.items():
        _check(path, key, column, len(split))
    return split


def _arrays(path: Path) -> tuple[dict[str, np.ndarray], Room]:
    """All arrays of a safetensors file as views of its memory map, after safetensors' own reader has found its header in order."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt"):
            pass
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
            # A private map: its pages can be given back, and nothing that is done to them reaches the file.
            room = Room.of(file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except (SafetensorError, OSError) as error:
        raise _damaged(path, str(error)) from error
    header.pop("__metadata__", None)
    kinds = {kind: name for name, kind in TYPES.items()}
    arrays = {}
    for key, entry in header.items():
        begin, end = entry["data_offsets"]
        dtype = np.dtype(kinds[entry["dtype"]])
        arrays[key] = np.frombuffer(room.map, dtype, (end - begin) // dtype.itemsize, 8 + size + begin).reshape(entry["shape"])
    return arrays, room


def _column(key: str, arrays: dict[str, np.ndarray], sums: dict[str, str], room: Room) -> Column:
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
