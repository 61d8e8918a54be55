"""MM-IMDb as its makers' ready file `multimodal_imdb.hdf5`: posters and plots of films, with 23 genres, any number a film.

| array | shape | what |
|---|---|---|
| `features` | `film 300` float32 | mean word2vec of the plot's words |
| `vgg_features` | `film 4096` float32 | last hidden layer of VGG-16 on the poster |
| `images` | `film 3 256 160` int32 | the poster, 0 to 255 |
| `sequences` | `film`, each of its own length, int32 | the plot's words; 0 is a word outside the vocabulary |
| `genres` | `film 23` int32 of 0 and 1 | names in the attribute `target_names` (JSON) |
| `imdb_ids` | `film` bytes | seven digits |

The rows are sorted by split; the attribute `split` of the file (as Fuel writes it) says where each begins.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from workbench.data import scratch
from workbench.data.arrays import SPECIAL, modality_spec
from workbench.data.batch import UNKNOWN, Column, Dataset, Spec, Split
from workbench.data.card import DataCard
from workbench.data.reading.mm_imdb_words import read_vocabulary
from workbench.data.untrusted import hdf5
from workbench.errors import ConfigError, DataError, unknown

if TYPE_CHECKING:
    import h5py

IMAGE = {"vgg": "vector", "pixels": "image"}
TEXT = {"features": "vector", "ids": "tokens"}
"""What the options `image` and `text` give."""

SPLITS = {"train": "train", "valid": "dev", "test": "test"}
"""Our names of the splits and those of the file."""

PIECE = 64 * 1024**2
"""Bytes of an array that are read together."""

RECORDS = 1000
"""Most records that the attribute `split` may have; the real one has 24."""

RECORD = 4096
"""Most bytes of such a record; a real one has 40."""

MOST_PIXELS = 4096
"""Longest side of a poster."""

WIDEST = 1 << 16
"""Most features of a vector; the real ones have 300 and 4096."""

LARGEST_WORD = 1_000_000
"""Word numbers are below it; the real vocabulary has some 40,000 words."""


def read(card: DataCard, root: Path, *, image: str = "vgg", text: str = "features", shrink: int = 4, vocabulary_size: int | None = None) -> Dataset:
    """The films of the card's splits.

    Args:
        card: the data card.
        root: where the file lies.
        image: `vgg` (a vector of 4096) or `pixels` (the poster, 0 to 1).
        text: `features` (a vector of 300) or `ids` (words; named where `metadata.npy` lies beside the file).
        shrink: posters are averaged over squares of this many pixels: 4 makes 3 x 64 x 40 of 3 x 256 x 160.
        vocabulary_size: only the most frequent words, with padding and unknown; None: all.

    Raises:
        ConfigError: an option with another value.
        DataError: a file that is not as described above, or differs from the card in its genres or splits.
    """
    for name, given, known in (("image", image, IMAGE), ("text", text, TEXT)):
        if given not in known:
            raise unknown(f"{name} of {card.name}", given, known)
    if vocabulary_size is not None and vocabulary_size <= len(SPECIAL):
        raise ConfigError(f"a vocabulary of {vocabulary_size} has no words", expected=f"more than {len(SPECIAL)}, or None for all words")
    path, said = card.file(root), []
    with hdf5.open_file(path) as file:
        genres = _genres(card, path, file)
        rows = _rows(card, path, file, len(genres), said)
        ids = _ids(path, file, rows)
        target = {split: _target(path, hdf5.read(genres, rows=rows[split]), rows[split]) for split in rows}
        columns: dict[str, dict[str, Column]] = {split: {} for split in rows}
        vocabulary: tuple[str, ...] = ()
        texts: dict[str, list[str]] = {}
        for name in card.modalities:
            if name == "image":
                found = _posters(path, file, rows, shrink) if image == "pixels" else _vectors(path, file, "vgg_features", rows)
            elif name == "text" and text == "ids":
                found, vocabulary, texts = _words(card, path, file, rows, vocabulary_size, said)
            elif name == "text":
                found = {split: _without_nothing(column, split, said) for split, column in _vectors(path, file, "features", rows).items()}
            else:
                continue  # The card is held against what is read: a modality that this file does not have is then named.
            for split, column in found.items():
                columns[split][name] = column
    kinds = {"image": IMAGE[image], "text": TEXT[text]}
    specs = {
        name: modality_spec(kinds[name], (columns[split][name] for split in rows), vocabulary=vocabulary if kinds[name] == "tokens" else ())
        for name in columns["train"]
    }
    splits = {split: Split(split, columns[split], target[split], ids[split], texts=texts.get(split)) for split in rows}
    return Dataset(card.name, Spec(specs, card.task.spec()), splits, notes={"reading": said})


def _array(path: Path, file: "h5py.File", name: str, shape: tuple[int | None, ...], kinds: str = "fiu") -> "h5py.Dataset":
    """An array of the file; None in the shape is any size."""
    found = hdf5.member(file, name)
    expected = f"{' x '.join('any' if size is None else str(size) for size in shape)} of numbers"
    if not hasattr(found, "dtype"):
        raise DataError(f"{path.name}: {name} is a group", where=f"{path}, {name}", expected=expected)
    fits = len(found.shape) == len(shape) and all(size in (None, have) for size, have in zip(shape, found.shape, strict=True))
    if not fits or found.dtype.kind not in kinds:
        raise DataError(f"{path.name}: {name} is {list(found.shape)} of {found.dtype}", where=f"{path}, {name}", expected=expected)
    return found


def _genres(card: DataCard, path: Path, file: "h5py.File") -> "h5py.Dataset":
    """The labels; their names must be the card's, in the card's order."""
    classes = card.task.classes
    genres = _array(path, file, "genres", (None, len(classes)), "iub")
    where = f"{path}, genres, attribute target_names"
    try:
        names = json.loads(str(hdf5.attribute(genres, "target_names")))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path.name}: the names of the genres are no JSON: {error}", where=where, expected="a list in JSON") from None
    if names != classes:
        differing = next((i for i, (a, b) in enumerate(zip(names, classes, strict=False)) if a != b), None) if isinstance(names, list) else None
        what = f"genre {differing} is {names[differing]!r}" if differing is not None else "the genres are others than the card's"
        raise DataError(
            f"{path.name}: {what}", where=where, expected=f"in this order: {', '.join(classes)}", do=f"or correct {card.place('task', 'classes')}"
        )
    return genres


def _target(path: Path, rows: np.ndarray, part: slice) -> torch.Tensor:
    wrong = np.argwhere((rows != 0) & (rows != 1))
    if len(wrong):
        row, column = wrong[0].tolist()
        what = f"{path.name}: genre {column} is {rows[row, column]}"
        raise DataError(what, where=f"{path}, genres, row {part.start + row}", expected="0 or 1")
    return torch.from_numpy(rows.astype(np.float32))


def _ids(path: Path, file: "h5py.File", rows: dict[str, slice]) -> dict[str, list[str]]:
    found = _array(path, file, "imdb_ids", (max(part.stop for part in rows.values()),), "S")
    return {split: [name.decode("latin-1") for name in hdf5.read(found, rows=part).tolist()] for split, part in rows.items()}


def _rows(card: DataCard, path: Path, file: "h5py.File", films: int, said: list[str]) -> dict[str, slice]:
    """The rows of each split: as the file says, else by the card's numbers."""
    rows = _fuel_split(path, file)
    if rows is None:
        counts = [count for count in card.splits.values() if count is not None]
        if len(counts) < len(card.splits):
            raise DataError(
                f"{path.name} does not say its splits", where=f"{path}, attribute split", expected=f"or numbers in {card.place('splits')}"
            )
        ends = np.cumsum(counts).tolist()
        rows = {split: slice(end - count, end) for split, count, end in zip(card.splits, counts, ends, strict=True)}
        said.append("the file does not say its splits: cut by the card's numbers, in the order train, valid, test")
    begin = 0
    for split in card.splits:
        part = rows.get(split)
        if part is None or part.start != begin or part.stop <= begin:
            what = f"the split {split} is {'missing' if part is None else f'rows {part.start} to {part.stop}'}"
            raise DataError(
                f"{path.name}: {what}", where=f"{path}, attribute split", expected=f"rows from {begin} on: train, dev, test, without gaps"
            )
        begin = part.stop
    if begin != films:
        raise DataError(f"{path.name} has {films} films", where=f"{path}, genres", expected=f"{begin}, as the splits say (cut off?)")
    return {split: rows[split] for split in card.splits}


def _fuel_split(path: Path, file: "h5py.File") -> dict[str, slice] | None:
    """The attribute that Fuel writes: one record for each split and array, with its first row and the row behind its last."""
    import h5py

    where = f"{path}, attribute split"
    with hdf5.guarded(where):
        if "split" not in file.attrs:
            return None
        details = file.attrs.get_id("split")
        shape, dtype = details.shape, details.dtype
        fields = dtype.names or ()
        kinds = {name: dtype[name].kind for name in fields}
        is_table = kinds.get("split") == "S" and {kinds.get("start", ""), kinds.get("stop", "")} <= {"i", "u"}
        is_table &= "indices" not in fields or h5py.check_ref_dtype(dtype["indices"]) is not None
        if not is_table or shape is None or len(shape) != 1 or shape[0] > RECORDS or dtype.itemsize > RECORD:
            what = f"the splits are {list(shape or ())} of {str(dtype)[:100]}"
            raise DataError(f"{path.name}: {what}", where=where, expected="records of split, source, start, stop, as Fuel writes them")
        table = file.attrs["split"]
    ours = {name: split for split, name in SPLITS.items()}
    rows: dict[str, slice] = {}
    for record in table:
        name = bytes(record["split"]).decode("latin-1")
        part = slice(int(record["start"]), int(record["stop"]))
        if "indices" in fields and record["indices"]:
            raise DataError(f"{path.name}: the split {name} is a list of rows", where=where, expected="a first and a last row")
        if rows.setdefault(ours.get(name, name), part) != part:
            raise DataError(f"{path.name}: the split {name} differs between arrays", where=where, expected="one cut for all")
    return rows


def _pieces(found: "h5py.Dataset", part: slice) -> Iterator[tuple[slice, np.ndarray]]:
    """Some rows of a split at a time, each piece with its place in the split."""
    step = max(1, PIECE // max(1, found.dtype.itemsize * int(np.prod(found.shape[1:], dtype=np.int64))))
    for begin in range(part.start, part.stop, step):
        end = min(begin + step, part.stop)
        yield slice(begin - part.start, end - part.start), hdf5.read(found, rows=slice(begin, end))


def _vectors(path: Path, file: "h5py.File", name: str, rows: dict[str, slice]) -> dict[str, Column]:
    """Vectors of each split."""
    found = _array(path, file, name, (max(part.stop for part in rows.values()), None))
    if not 0 < found.shape[1] <= WIDEST:
        raise DataError(f"{path.name}: {name} has {found.shape[1]:,} columns", where=f"{path}, {name}", expected=f"1 to {WIDEST:,}")
    hdf5.read(found, rows=slice(0, 1))  # An array that claims far more than the file stores is refused before room is made for it.
    columns = {}
    for split, part in rows.items():
        values, room = scratch.empty((part.stop - part.start, found.shape[1]), np.float32)
        for place, piece in _pieces(found, part):
            values[place] = piece
            scratch.release(room)
        columns[split] = Column(torch.from_numpy(values), torch.arange(len(values) + 1), map=room)
    return columns


def _without_nothing(column: Column, split: str, said: list[str]) -> Column:
    """The mean over no word at all is nan in every place: such a plot becomes zeros. Other nan stay, to be refused."""
    nothing = column.values.isnan().all(1)
    if bool(nothing.any()):
        column.values[nothing] = 0
        said.append(f"text: {int(nothing.sum())} plots of {split} without a known word (nan) became zeros")
    return column


def _posters(path: Path, file: "h5py.File", rows: dict[str, slice], shrink: int) -> dict[str, Column]:
    """Posters in 0 to 1, averaged over squares."""
    found = _array(path, file, "images", (max(part.stop for part in rows.values()), 3, None, None), "iu")
    height, width = found.shape[2:]
    if shrink < 1 or height % shrink or width % shrink:
        known = [size for size in range(1, min(height, width) + 1) if height % size == width % size == 0]
        raise ConfigError(f"posters of {height} x {width} cannot be shrunk by {shrink}", expected=f"one of {', '.join(map(str, known))}")
    if max(height, width) > MOST_PIXELS:
        raise DataError(f"{path.name}: posters of {height:,} x {width:,}", where=f"{path}, images", expected=f"at most {MOST_PIXELS:,} a side")
    hdf5.read(found, rows=slice(0, 1))  # As for vectors: before room is made.
    columns = {}
    for split, part in rows.items():
        values, room = scratch.empty((part.stop - part.start, 3, height // shrink, width // shrink), np.float32)
        for place, piece in _pieces(found, part):
            wrong = np.argwhere((piece < 0) | (piece > 255))
            if len(wrong):
                row = part.start + place.start + int(wrong[0][0])
                raise DataError(f"{path.name}: a pixel is {piece[tuple(wrong[0])]}", where=f"{path}, images, row {row}", expected="0 to 255")
            squares = piece.reshape(len(piece), 3, height // shrink, shrink, width // shrink, shrink)
            values[place] = squares.mean((3, 5)) / 255
            scratch.release(room)
        columns[split] = Column(torch.from_numpy(values), torch.arange(len(values) + 1), map=room)
    return columns


def _words(
    card: DataCard, path: Path, file: "h5py.File", rows: dict[str, slice], size: int | None, said: list[str]
) -> tuple[dict[str, Column], tuple[str, ...], dict[str, list[str]]]:
    """Word ids of each split (the file's plus one: 0 is padding here, 1 unknown), the vocabulary, and the plots where the words are known."""
    found = _array(path, file, "sequences", (max(part.stop for part in rows.values()),), "O")
    plots = {split: [_ids_of(path, ids, part.start + i) for i, ids in enumerate(hdf5.read(found, rows=part))] for split, part in rows.items()}
    largest = max(int(ids.max(initial=UNKNOWN)) for parts in plots.values() for ids in parts)
    beside = path.with_name("metadata.npy")
    words = read_vocabulary(beside) if beside.is_file() else None
    if words is None:
        said.append("text: words are known by number only: no metadata.npy beside the file")
        vocabulary = (*SPECIAL, *(f"<id {number}>" for number in range(1, largest)))
    elif len(words) < largest:
        raise DataError(
            f"{path.name} has the word {largest - 1}", where=f"{path}, sequences", expected=f"0 to {len(words) - 1}, as metadata.npy says"
        )
    else:
        vocabulary = (*SPECIAL, *words[1:])
    texts = {split: [" ".join(vocabulary[number] for number in ids.tolist()) for ids in parts] for split, parts in plots.items()} if words else {}
    if size is not None and size < len(vocabulary):
        vocabulary = vocabulary[:size]
        plots = {split: [np.where(ids < size, ids, UNKNOWN) for ids in parts] for split, parts in plots.items()}
    empty = np.array([UNKNOWN])
    return {split: Column.from_list([ids if len(ids) else empty for ids in parts]) for split, parts in plots.items()}, vocabulary, texts


def _ids_of(path: Path, ids: object, row: int) -> np.ndarray:
    """The word ids of one plot, one higher than in the file."""
    if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu":
        raise DataError(f"{path.name}: sequences holds no whole numbers", where=f"{path}, sequences, row {row}", expected="word ids")
    if ids.min(initial=0) < 0:
        raise DataError(f"{path.name}: the word {int(ids.min())} is none", where=f"{path}, sequences, row {row}", expected="0 or more")
    if ids.max(initial=0) >= LARGEST_WORD:
        raise DataError(
            f"{path.name}: the word {int(ids.max()):,} is none", where=f"{path}, sequences, row {row}", expected=f"less than {LARGEST_WORD:,}"
        )
    return ids.astype(np.int64) + 1
