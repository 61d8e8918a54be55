"""HDF5 files from strangers: what lies in the file itself is read; links, references and views into other files are not followed.

with open_file(path) as file:
    features = member(file, "COVAREP/data/03bSnISJMiM/features")
    values = read(features, slice(0, 100))
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workbench.data.untrusted.looks import looks_like
from workbench.errors import DataError, near

if TYPE_CHECKING:
    import h5py

EXPECTED = "an HDF5 file"
LARGE = 1 << 30  # From 1 GiB on, unpacked and stored size are held against each other.
RATIO = 2_000
MOST = 512 << 20  # One recording; more is read in parts.
SPARE = 64 << 20
WORDS = 1_000
NAMES = 200_000


@contextmanager
def open_file(path: Path) -> "Iterator[h5py.File]":
    """An HDF5 file, open for reading.

    Raises:
        DataError: the file is missing, cut off, or another kind of file; the error says which.
    """
    import h5py

    path = Path(path)
    try:
        kind = looks_like(path)
        size = path.stat().st_size
        if kind and kind != "an HDF5 file":
            raise DataError(f"{path.name} is no HDF5 file: it is {kind}, {size:,} bytes", where=str(path), expected=EXPECTED)
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise DataError(f"{path.name} is missing", where=str(path), expected=EXPECTED) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    with file:
        yield file


def _unreadable(path: Path, error: OSError) -> DataError:
    """The error for a file that the library does not open: cut off, with both sizes, or damaged."""
    stored = re.search(r"stored_eof = (\d+)", str(error))
    size = path.stat().st_size if path.is_file() else 0
    if stored:
        what = f"{path.name} is cut off: it has {size:,} of {int(stored[1]):,} bytes"
        return DataError(what, where=str(path), expected=EXPECTED, do="download it again, and compare its size")
    what = f"{path.name} cannot be read as HDF5, it has {size:,} bytes: {str(error)[:200]}"
    return DataError(what, where=str(path), expected=EXPECTED, do="download it again, and compare its size")


def member(group: "h5py.Group", name: str) -> "h5py.Group | h5py.Dataset":
    """A group or data set below a group, by its path; each step must be a hard link, into this file.

    Raises:
        DataError: nothing has the name (the error says the near ones); a soft or external link; a data set that lies in another file.
    """
    import h5py

    node = group
    for part in name.split("/"):
        if not isinstance(node, h5py.Group):
            raise DataError(f'"{part}" is looked for in a data set', where=_where(node), expected="a group")
        with guarded(f"{_where(node).rstrip('/')}/{part}"):
            _check_link(node, part)
            node = _opened(node, part)
    return node


def names(group: "h5py.Group", *, most: int = NAMES) -> list[str]:
    """The names of what lies directly in a group, in the order of the file; nothing is opened and no link followed.

    Args:
        group: the file, or a group from `member`.
        most: names that the group may have.

    Raises:
        DataError: no group; a damaged group; more names than `most`; a name that is not in UTF-8.
    """
    import h5py

    where = _where(group)
    if not isinstance(group, h5py.Group):
        raise DataError("this is a data set", where=where, expected="a group")
    with guarded(where):
        count = len(group)
        if count > most:
            raise DataError(f"this group has {count:,} members", where=where, expected=f"at most {most:,}")
        listed = list(islice(group, most + 1))
    for name in listed:
        if not isinstance(name, str):
            raise DataError(f"the name {str(name)[:80]} is not in UTF-8", where=where, expected="names of members in UTF-8")
    return listed


@contextmanager
def guarded(where: str) -> Iterator[None]:
    """Turns the ways in which a damaged file fails into one error."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        what = f"this cannot be read: {str(error)[:200]}"
        raise DataError(what, where=where, expected="a whole HDF5 file (cut off or damaged?)") from None


def _check_link(group: "h5py.Group", part: str) -> None:
    """A hard link of that name; asked in a way that never opens what a link leads to."""
    from h5py import h5l

    where, links = _where(group), group.id.links
    try:
        kind = links.get_info(part.encode()).type if part not in ("", ".") else None
    except (KeyError, ValueError, RuntimeError):
        kind = None
    if kind is None:
        known = list(islice(group, 1000))
        listed = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
        expected = f"one of {listed}" if known else "a group with members"
        raise DataError(f'there is no "{part}".{near(part, known)}', where=where, expected=expected)
    if kind == h5l.TYPE_HARD:
        return
    target = links.get_val(part.encode()) if kind in (h5l.TYPE_SOFT, h5l.TYPE_EXTERNAL) else b"a place of another kind"
    shown = ":".join(piece.decode("utf-8", "replace") for piece in (target if isinstance(target, tuple) else (target,)))
    raise DataError(f'"{part}" is a link to {shown[:200]}, which is not followed', where=where, expected="data in the file itself")


def _opened(group: "h5py.Group", part: str) -> "h5py.Group | h5py.Dataset":
    """A member behind a hard link, which must hold its data in this file."""
    import h5py

    where, node = f"{_where(group).rstrip('/')}/{part}", group[part]
    if isinstance(node, h5py.Dataset):
        if node.is_virtual:
            raise DataError(f'"{part}" is a view of other data sets, which is not followed', where=where, expected="data in the file itself")
        if node.external:
            raise DataError(
                f'"{part}" lies in another file, {node.external[0][0][:200]}, which is not opened', where=where, expected="data in the file itself"
            )
    elif not isinstance(node, h5py.Group):
        raise DataError(f'"{part}" is neither a group nor a data set', where=where, expected="a group or a data set")
    return node


def read(dataset: "h5py.Dataset", rows: slice | None = None, *, most: int = MOST) -> np.ndarray:
    """Rows of a data set, or all of it: numbers, bytes (also of variable length), or an object array of numbers of variable length.

    Args:
        dataset: from `member`.
        rows: a slice of the first axis; None reads all.
        most: bytes that the rows may have.

    Raises:
        DataError: no data set; references or records; more bytes than `most`; far more bytes than the file stores; a damaged part.
    """
    import h5py

    where = _where(dataset)
    if not isinstance(dataset, h5py.Dataset):
        raise DataError("this is a group", where=where, expected="a data set")
    with guarded(where):
        _check_type(dataset, where)
        count = _check_size(dataset, rows, where, most)
        if dataset.dtype.kind == "O":
            return _read_lengths(dataset, rows, count, where)
        values = np.asarray(dataset[()] if rows is None or not dataset.shape else dataset[rows])
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _check_type(dataset: "h5py.Dataset", where: str) -> None:
    """Numbers, fixed bytes, and bytes or numbers of variable length."""
    import h5py

    dtype = dataset.dtype
    if h5py.check_ref_dtype(dtype) is not None:
        raise DataError("this holds references to other places, which are not followed", where=where, expected="numbers or text")
    inner = h5py.check_vlen_dtype(dtype)
    is_plain = dtype.kind in "biufS" and dtype.subdtype is None
    is_varied = h5py.check_string_dtype(dtype) is not None or (inner is not None and inner.kind in "biuf" and inner.subdtype is None)
    if not (is_plain or is_varied):
        raise DataError(f"this holds {str(dtype)[:100]}", where=where, expected="numbers or text")


def _check_size(dataset: "h5py.Dataset", rows: slice | None, where: str, most: int) -> int:
    """The number of rows to read, whose bytes must be within bounds; so must one packed piece (chunk), and the whole against what is stored."""
    if dataset.shape is None:
        raise DataError("this has no values", where=where, expected="numbers or text")
    if rows is not None and (rows.step not in (None, 1) or not dataset.shape):
        raise DataError(f"the rows {rows} are asked for", where=where, expected="a slice of step 1 of a data set with rows")
    item = dataset.dtype.itemsize
    whole, stored = dataset.size * item, dataset.id.get_storage_size()
    count = len(range(*rows.indices(dataset.shape[0]))) if rows is not None else (dataset.shape or (1,))[0]
    size = whole if rows is None else count * item * int(np.prod(dataset.shape[1:], dtype=object))
    piece = item * int(np.prod(dataset.chunks, dtype=object)) if dataset.chunks else 0
    if whole > max(LARGE, RATIO * stored):
        raise DataError(
            f"this would unpack to {whole:,} bytes, from {stored:,} stored", where=where, expected=f"at most {RATIO:,} times the stored bytes"
        )
    if piece > LARGE:
        raise DataError(f"this is packed in pieces of {piece:,} bytes", where=where, expected=f"at most {LARGE:,} bytes a piece")
    if size > most:
        raise DataError(f"the rows have {size:,} bytes", where=where, expected=f"at most {most:,} bytes at a time", do="read it in parts")
    return count


def _read_lengths(dataset: "h5py.Dataset", rows: slice | None, count: int, where: str) -> np.ndarray:
    """Values of variable length, a few rows at a time: each is within the file, but many may be one and the same long value."""
    if not dataset.shape:
        return np.array([dataset[()]], dtype=object).reshape(())
    size = Path(dataset.file.filename).stat().st_size
    start = 0 if rows is None else rows.indices(dataset.shape[0])[0]
    width = max(dataset.size // max(dataset.shape[0], 1), 1)
    step = max((256 << 20) // (size * width), 1)
    made = np.empty((count, *dataset.shape[1:]), dtype=object)
    left = size + SPARE
    for row in range(0, count, step):
        part = dataset[start + row : start + min(row + step, count)]
        left -= sum(value.nbytes if isinstance(value, np.ndarray) else len(value) for value in part.ravel())
        if left < 0:
            raise DataError(
                f"this unpacks to more bytes than the file has ({size:,})", where=f"{where}, row {start + row}", expected="its own values"
            )
        made[row : row + step] = part
    return made


def attribute(node: "h5py.Group | h5py.Dataset", name: str, *, most: int = 1 << 24) -> str | np.ndarray:
    """An attribute: text as str, else its numbers or bytes as an array.

    Raises:
        DataError: it is missing (the error says the near ones), holds references or records, or has more than `most` bytes.
    """
    where = f"{_where(node)}, attribute {name}"
    with guarded(where):
        if name not in node.attrs:
            known = list(islice(node.attrs, 100))
            raise DataError(
                f'there is no attribute "{name}".{near(name, known)}', where=_where(node), expected=f"one of {', '.join(known) or 'none'}"
            )
        _check_attribute(node, name, where, most)
        value = node.attrs[name]
    if isinstance(value, bytes | np.bytes_):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str) else np.asarray(value)


def _check_attribute(node: "h5py.Group | h5py.Dataset", name: str, where: str, most: int) -> None:
    """Numbers or text, and not too much of it."""
    import h5py

    details = node.attrs.get_id(name)
    dtype, count = details.dtype, int(np.prod(details.shape or (), dtype=object))
    is_text = h5py.check_string_dtype(dtype) is not None
    if details.shape is None or not (dtype.kind in "biufS" or is_text) or dtype.subdtype is not None:
        raise DataError(f"this holds {str(dtype)[:100]}", where=where, expected="numbers or text")
    if count * max(dtype.itemsize, 1) > most or (dtype.kind == "O" and count > WORDS):
        raise DataError(f"this has {count:,} parts", where=where, expected=f"at most {most:,} bytes; {WORDS:,} parts of variable length")


def _where(node: "h5py.Group | h5py.Dataset") -> str:
    return f"{node.file.filename}, {node.name}"
