"""The computational sequences of the CMU-MultimodalSDK (`.csd`, HDF5): features over time, video by video.

    <root name>/data/<video>/features    steps x feature (numbers, or one word a step as bytes)
    <root name>/data/<video>/intervals   steps x 2, start and end [s]
    <root name>/metadata/<name>          not read

A sequence that the SDK aligned has one entry a segment, `<video>[3]`: the entries of a video are joined in the order of their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workbench.data.untrusted import hdf5
from workbench.errors import DataError

if TYPE_CHECKING:
    import h5py

ENTRY = re.compile(r"(?P<video>.*)\[(?P<segment>[0-9]{1,9})\]")
"""An entry of an aligned sequence: the video, and the number of the segment."""


@dataclass(frozen=True)
class TimedSequence:
    """One open file.

    Args:
        path: where it lies.
        name: of its one sequence.
        data: the group of its videos.
        entries: the entries of each video, in their order.
    """

    path: Path
    name: str
    data: h5py.Group
    entries: dict[str, list[str]]

    def intervals(self, video: str) -> np.ndarray:
        """Start and end of each step of a video, `steps 2` (float64) [s], in the order of the file.

        Raises:
            DataError: other than two finite numbers a step, or an end before its start.
        """
        return np.concatenate([self._intervals(entry) for entry in self.entries[video]])

    def values(self, video: str) -> np.ndarray:
        """The features of each step of a video, `steps feature` (numbers or bytes), in the order of the file.

        Raises:
            DataError: features without rows and columns, as many rows as no intervals, or of two widths.
        """
        parts = [self._values(entry) for entry in self.entries[video]]
        widths = {part.shape[1] for part in parts}
        if len(widths) > 1:
            raise self.bad(
                self.entries[video][0], "features", f"the entries of {video} have {' and '.join(map(str, sorted(widths)))} features", "one width"
            )
        return np.concatenate(parts)

    @property
    def holds_words(self) -> bool:
        """True where a step is a word, not numbers."""
        return self._member(self._first, "features").dtype.kind in "SO"

    @property
    def width(self) -> int:
        """Features of a step, in the first video."""
        return (*self._member(self._first, "features").shape, 1)[1]

    @property
    def _first(self) -> str:
        return next(iter(self.entries.values()))[0]

    def words(self, video: str) -> list[str]:
        """The word of each step, lower case, without white space inside.

        Raises:
            DataError: more than one column.
        """
        values = self.values(video)
        if values.shape[1] != 1 or not all(isinstance(word, bytes) for word in values[:, 0]):
            raise self.bad(self.entries[video][0], "features", f"words are {list(values.shape)} {values.dtype}", "steps x 1, bytes")
        return ["".join(word.decode("utf-8", "replace").lower().split()) for word in values[:, 0].tolist()]

    def numbers(self, video: str, *, width: int, nan: str, replaced: dict[str, int]) -> np.ndarray:
        """The features of each step, `steps feature` (float32), finite.

        Args:
            video: which one.
            width: the features that a step must have.
            nan: `error`, or `zero`.
            replaced: counts of `infinite values` and `nan` that became 0; added to.

        Raises:
            DataError: words, another width, or nan.
        """
        found, entry = self.values(video), self.entries[video][0]
        if found.dtype.kind in "SO" or found.shape[1] != width:
            raise self.bad(entry, "features", f"features are {list(found.shape)} {found.dtype}", f"steps x {width} numbers, as in {self._first}")
        with np.errstate(over="ignore"):  # What float32 cannot hold counts as infinite.
            values = found.astype(np.float32)
        is_nan, is_infinite = np.isnan(values), np.isinf(values)
        if nan == "error" and is_nan.any():
            row, feature = np.argwhere(is_nan)[0].tolist()
            raise self.bad(
                entry, f"features, row {row}, column {feature}", "a value is nan", "numbers", do="to put 0 in its place: load(..., nan='zero')"
            )
        replaced["nan"] += int(is_nan.sum())
        replaced["infinite values"] += int(is_infinite.sum())
        values[is_nan | is_infinite] = 0
        return values

    def names(self, video: str) -> list[str]:
        """One name a step: `<video>[row]`; the entry itself where the sequence is aligned already and the entry has one step."""
        counts = [(entry, self._member(entry, "intervals").shape[0]) for entry in self.entries[video]]
        return [entry if count == 1 and ENTRY.fullmatch(entry) else f"{entry}[{row}]" for entry, count in counts for row in range(count)]

    def _values(self, entry: str) -> np.ndarray:
        values = hdf5.read(self._member(entry, "features"))
        values = values[:, None] if values.ndim == 1 else values
        if values.ndim != 2 or not values.shape[1] or values.dtype.kind not in "fiuSO":
            raise self.bad(entry, "features", f"features are {list(values.shape)} {values.dtype}", "steps x feature, numbers or words")
        count = self._member(entry, "intervals").shape[0]
        if len(values) != count:
            raise self.bad(entry, "features", f"{len(values)} steps have features and {count} have an interval", "one interval a step (cut off?)")
        return values

    def _intervals(self, entry: str) -> np.ndarray:
        found = hdf5.read(self._member(entry, "intervals"))
        if found.ndim != 2 or found.shape[1] != 2 or found.dtype.kind not in "fiu":
            raise self.bad(entry, "intervals", f"intervals are {list(found.shape)} {found.dtype}", "steps x 2: start and end [s]")
        found = found.astype(np.float64)
        broken = ~np.isfinite(found).all(1)
        if broken.any():
            row = int(broken.argmax())
            raise self.bad(entry, f"intervals, row {row}", f"a step lasts from {found[row, 0]:g} to {found[row, 1]:g}", "finite times [s]")
        backward = found[:, 1] < found[:, 0]
        if backward.any():
            row = int(backward.argmax())
            raise self.bad(entry, f"intervals, row {row}", f"a step ends at {found[row, 1]:g} s and starts at {found[row, 0]:g} s", "start <= end")
        return found

    def _member(self, entry: str, key: str) -> h5py.Dataset:
        """A data set of an entry, not yet read."""
        dataset = hdf5.member(self.data, f"{entry}/{key}")
        try:
            shape = dataset.shape if hasattr(dataset, "dtype") else None
        except (OSError, RuntimeError, ValueError, TypeError) as error:  # What is said of its numbers is damaged.
            raise self.bad(entry, key, f"{key} of {entry} cannot be read: {str(error)[:200]}", "a whole HDF5 file") from None
        if not shape:
            raise self.bad(entry, key, f"{key} of {entry} is no array", "steps x feature, and steps x 2")
        return dataset

    def bad(self, entry: str, field: str, what: str, expected: str, *, do: str = "") -> DataError:
        """The error for an entry, with its place."""
        return DataError(f"{self.path.name}: {what}", where=f"{self.path}, sequence {self.name}, video {entry}, {field}", expected=expected, do=do)


@contextmanager
def open_sequence(path: Path) -> Iterator[TimedSequence]:
    """A `.csd` file, open for reading.

    Raises:
        DataError: no HDF5 file, none or several sequences in it, a sequence without data.
    """
    with hdf5.open_file(path) as file:
        expected = "one group, named after the sequence, with the groups data and metadata"
        names = hdf5.names(file)
        if len(names) != 1:
            raise DataError(f"{path.name} holds {len(names)} sequences", where=f"{path}: {', '.join(names[:5])}", expected=expected)
        data = hdf5.member(file, f"{names[0]}/data")
        videos = hdf5.names(data)
        if not videos:
            raise DataError(f"{path.name} has no videos", where=f"{path}, sequence {names[0]}, data", expected="one group a video")
        yield TimedSequence(path, names[0], data, _entries(videos))


def _entries(names: Iterable[str]) -> dict[str, list[str]]:
    """The entries of each video; those of segments by their number."""
    found: dict[str, list[tuple[int, str]]] = {}
    for entry in names:
        match = ENTRY.fullmatch(entry)
        found.setdefault(match["video"] if match else entry, []).append((int(match["segment"]) if match else -1, entry))
    return {video: [entry for _, entry in sorted(entries)] for video, entries in found.items()}
