"""What was read from a pickle, as arrays, lists of text and dictionaries: each walk is bounded, for a small file can name a huge structure."""

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np

from workbench.errors import DataError, near

DEPTH = 8
LEAVES = 20_000_000
MOST = 1 << 30
# One array, list or text may be named again and again by a small file: what is made of repeats is bounded apart.
REPEATED_BYTES, REPEATED_LEAVES, REPEATED_LETTERS = 128 << 20, 4_000_000, 4_000_000
ROWS, LETTERS = 5_000_000, 100_000
TEXT = "a list of text"
_SEQUENCES = (list, tuple)
_WORDS = {str: "text", bytes: "bytes", np.str_: "text", np.bytes_: "bytes", dict: "dictionary", type(None): "None"}


def numbers(value: object, *, where: str, expected: str = "numbers", most: int = MOST) -> np.ndarray:
    """Numbers from a pickle as an array: a numeric array as it is, lists of numbers or of arrays of one shape as one array.

    Args:
        value: an array, a number, or lists, tuples and object arrays of such, 8 deep at most.
        where: file, split, key.
        expected: what would have been right.
        most: bytes that the array made from lists may have.

    Raises:
        DataError: no numbers, rows of unequal length, nothing at all, more than `most` bytes, or one array or list again and again.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return _checked(value, where, expected)
    items, shape = [value], ()
    while isinstance(items[0], _SEQUENCES) or _is_objects(items[0]):
        shape, items = _one_deeper(items, shape, where, expected)
        if len(shape) > DEPTH:
            raise DataError(f"the lists are nested deeper than {DEPTH}", where=where, expected=expected)
    if isinstance(items[0], np.ndarray):
        return _stacked(items, shape, where, expected, most)
    return _from_leaves(items, shape, where, expected, most)


def _checked(array: np.ndarray, where: str, expected: str) -> np.ndarray:
    """A numeric array with an item or more, in the byte order of this machine."""
    if array.dtype.kind not in "biuf":
        raise DataError(f"this is an array of {array.dtype}, not of numbers", where=where, expected=expected)
    if not array.size:
        raise DataError(f"this is an empty array, {_times(array.shape)}", where=where, expected=expected)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _is_objects(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "O"


def _one_deeper(items: list, shape: tuple[int, ...], where: str, expected: str) -> tuple[tuple[int, ...], list]:
    """All members of the sequences, which must be of one shape, and the shape so far."""
    first = _shape(items[0])
    total = len(items) * int(np.prod(first, dtype=object))
    for i, item in enumerate(items):
        if not (isinstance(item, _SEQUENCES) or _is_objects(item)):
            raise DataError(f"here is {_kind(item)}, before it are lists", where=_place(where, i, shape), expected=expected)
        if _shape(item) != first:
            raise DataError(f"{_times(_shape(item))} items here, {_times(first)} before", where=_place(where, i, shape), expected=expected)
    if not total:
        raise DataError("this is empty", where=_place(where, 0, shape), expected=expected)
    if total > LEAVES:
        raise DataError(f"the lists hold {total:,} items", where=where, expected=f"{expected}; at most {LEAVES:,} in lists, more in an array")
    repeated = total - len({id(item) for item in items}) * (total // len(items))
    if repeated > REPEATED_LEAVES:
        raise DataError(f"the lists hold {repeated:,} items that are repeats of others", where=where, expected=f"{expected}; each list once")
    return shape + first, [part for item in items for part in (item.ravel() if isinstance(item, np.ndarray) else item)]


def _shape(value: Sequence | np.ndarray) -> tuple[int, ...]:
    return value.shape if isinstance(value, np.ndarray) else (len(value),)


def _stacked(items: list, shape: tuple[int, ...], where: str, expected: str, most: int) -> np.ndarray:
    """Arrays of one shape as one array."""
    first = items[0]
    for i, item in enumerate(items):
        if not isinstance(item, np.ndarray):
            raise DataError(f"here is {_kind(item)}, before it are arrays", where=_place(where, i, shape), expected=expected)
        _checked(item, _place(where, i, shape), expected)
        if item.shape != first.shape:
            raise DataError(f"the array is {_times(item.shape)} here, {_times(first.shape)} before", where=_place(where, i, shape), expected=expected)
    size = first.nbytes * len(items)
    _check_size(size, where, expected, most)
    repeated = size - first.nbytes * len({item.__array_interface__["data"][0] for item in items})
    if repeated > REPEATED_BYTES:
        raise DataError(f"the lists hold one array again and again, {repeated:,} bytes", where=where, expected=f"{expected}; each array once")
    return np.stack([_checked(item, where, expected) for item in items]).reshape(shape + first.shape)


def _from_leaves(items: list, shape: tuple[int, ...], where: str, expected: str, most: int) -> np.ndarray:
    """Single numbers as one array: whole numbers as int64, others as float64."""
    for i, item in enumerate(items):
        if not isinstance(item, bool | int | float | np.bool_ | np.integer | np.floating):
            raise DataError(f"here is {_kind(item)}, not a number", where=_place(where, i, shape), expected=expected)
    _check_size(8 * len(items), where, expected, most)
    is_whole = all(isinstance(item, int | np.bool_ | np.integer) for item in items)
    try:
        return np.array(items, dtype=np.int64 if is_whole else np.float64).reshape(shape)
    except OverflowError:
        i = next(i for i, item in enumerate(items) if isinstance(item, int) and abs(item) > 1 << 62)
        raise DataError("here is a whole number that does not fit into 64 bits", where=_place(where, i, shape), expected=expected) from None


def _check_size(size: int, where: str, expected: str, most: int) -> None:
    if size > most:
        raise DataError(f"the lists hold {size:,} bytes of numbers", where=where, expected=f"{expected}; at most {most:,} bytes in lists")


def _place(where: str, index: int, shape: tuple[int, ...]) -> str:
    """The place of a member of nested lists: `file, train, labels[3][0]`."""
    if not shape:
        return where
    return where + "".join(f"[{part}]" for part in np.unravel_index(index, shape))


def _times(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape)) or "1"


def _kind(value: object) -> str:
    """A value in words: `a dictionary`, `text`, `an array of 3 x 2 float32`."""
    if isinstance(value, np.ndarray):
        return f"an array of {_times(value.shape)} {value.dtype}"
    word = _WORDS.get(type(value), type(value).__name__)
    return word if word in ("text", "bytes", "None") else f"a {word}"


def strings(value: object, *, where: str, most: int = MOST) -> list[str]:
    """Rows of text from a pickle: str, or bytes in UTF-8 or else latin1, in a list, tuple or array; a row may be a list of one.

    Raises:
        DataError: no list, nothing in it, a row that is no text or has more than 100,000 letters, more than 5 million rows or `most` letters,
            or one text again and again.
    """
    is_array = isinstance(value, np.ndarray) and value.ndim in (1, 2) and value.dtype.kind in "SUO" and value.nbytes <= most
    if not is_array and not isinstance(value, _SEQUENCES):
        raise DataError(f"this is {_kind(value)}", where=where, expected=TEXT)
    if not len(value):
        raise DataError("this is empty", where=where, expected=TEXT)
    if len(value) > ROWS:
        raise DataError(f"this has {len(value):,} rows", where=where, expected=f"{TEXT}, at most {ROWS:,}")
    rows = value.tolist() if isinstance(value, np.ndarray) else value
    made: list[str] = []
    meter = _Letters(where, most)
    for i, row in enumerate(rows):
        text = row
        if isinstance(text, (list, tuple, np.ndarray)) and len(text) == 1 and getattr(text, "ndim", 1) == 1:
            text = text[0]
        if not isinstance(text, str | bytes):
            raise DataError(f"here is {_kind(row)}, not text", where=f"{where}[{i}]", expected=TEXT)
        # What is taken out of an array of text is made anew, and its place in memory means nothing.
        meter.count(text, i, owner=row if isinstance(row, np.ndarray) and row.dtype.kind != "O" else text)
        made.append(_decoded(text) if isinstance(text, bytes) else str(text))
    return made


class _Letters:
    """Counts the letters of rows of text, and apart those of texts that stood before.

    Args:
        where: file, split, key.
        most: letters that all rows may have.
    """

    def __init__(self, where: str, most: int) -> None:
        self.where, self.most, self.left, self.repeats_left = where, most, most, REPEATED_LETTERS
        self.seen: set[int] = set()

    def count(self, text: str | bytes, row: int, *, owner: object) -> None:
        """One row more; the owner is what stands again where the text does."""
        size = len(text)
        if size > LETTERS:
            what = f"this text has {size:,} letters"
            raise DataError(what, where=f"{self.where}[{row}]", expected=f"{TEXT}, of at most {LETTERS:,} letters each")
        self.left -= size
        if self.left < 0:
            raise DataError(f"the rows hold more than {self.most:,} letters", where=self.where, expected=TEXT)
        if id(owner) in self.seen:
            self.repeats_left -= size
        self.seen.add(id(owner))
        if self.repeats_left < 0:
            what = f"the rows hold more than {REPEATED_LETTERS:,} letters that are repeats of others"
            raise DataError(what, where=f"{self.where}[{row}]", expected=f"{TEXT}, each its own")


def _decoded(text: bytes) -> str:
    """Bytes as text: UTF-8, or latin1 where they are none."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def mapping(value: object, *, where: str, keys: Iterable[str] = ()) -> dict:
    """A dictionary from a pickle with the keys that are needed; keys that are bytes become text.

    Raises:
        DataError: no dictionary, or a key is missing; the error names the near ones.
    """
    needed = list(keys)
    wanted = f"a dictionary with {', '.join(needed)}" if needed else "a dictionary"
    if not isinstance(value, dict):
        raise DataError(f"this is {_kind(value)}", where=where, expected=wanted)
    made = {_decoded(key) if isinstance(key, bytes) else key: content for key, content in value.items()}
    for key in needed:
        if key not in made:
            known = [str(name)[:60] for name in islice(made, 200) if isinstance(name, str | int)]
            listed = ", ".join(known[:12]) + (", ..." if len(made) > 12 else "")
            raise DataError(f'the key "{key}" is missing.{near(key, known)}', where=where, expected=f"{wanted}; there are: {listed or 'none'}")
    return made


def describe(value: object, *, lines: int = 60, depth: int = 4) -> list[str]:
    """What a pickle has, a line each: `train/text: array 1284 x 50 x 768 float32`; at most so many lines, so many levels deep."""
    made: list[str] = []
    _describe(value, "", depth, made, lines)
    return made[:lines] + ([f"... and more than {lines} lines"] if len(made) > lines else [])


def _describe(value: object, path: str, depth: int, made: list[str], lines: int) -> None:
    """Adds the lines of one value; stops one line after enough."""
    if len(made) > lines:
        return
    if isinstance(value, dict) and value and depth:
        for name, content in islice(value.items(), lines + 1):
            _describe(content, f"{path}/{_label(name)}" if path else _label(name), depth - 1, made, lines)
    elif isinstance(value, _SEQUENCES) and value and depth and len(value) <= 12 and not isinstance(value[0], str | bytes | int | float):
        for i, content in enumerate(value):
            _describe(content, f"{path}[{i}]", depth - 1, made, lines)
    else:
        made.append(f"{path or 'all'}: {_summary(value)}")


def _label(name: object) -> str:
    text = _decoded(name) if isinstance(name, bytes) else str(name) if isinstance(name, str | int) else type(name).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in text[:60])


def _summary(value: object) -> str:
    """One value in a few words."""
    if isinstance(value, np.ndarray):
        return f"array {_times(value.shape)} {value.dtype}"
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        inner = next(iter(value.values() if isinstance(value, dict) else value), None)
        name = "dictionary" if isinstance(value, dict) else type(value).__name__
        if not value:
            return f"empty {name}"
        what = _summary(inner) if isinstance(inner, np.ndarray) else _kind(inner).removeprefix("a ")
        return f"{name} of {len(value)}, first: {what}"
    if isinstance(value, str | bytes):
        return f"{_kind(value)} of {len(value)}"
    return f"{_kind(value).removeprefix('a ')} {str(value)[:40]}" if isinstance(value, bool | int | float | np.number) else _kind(value)
