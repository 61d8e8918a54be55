"""Columns of a Parquet file as samples: strings stay strings, lists of numbers become arrays.

| column of | a sample is |
|---|---|
| strings | a sentence (or an id, a group, a class name) |
| numbers | a label (or an id, a group) |
| lists of numbers | a vector |
| lists of lists of numbers | a sequence: the frames of one sample, each a list of features; the number of frames may differ |
| lists of lists of lists | an image: channel, height, width |
| lists of strings | the label names of one sample |
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import ConfigError, DataError, near

if TYPE_CHECKING:
    import pyarrow

EXPECTED = "strings, numbers, lists of numbers (vector), lists of lists (sequence), or lists of lists of lists (image)"


def read_table(owner: str, path: Path, *, needed: Sequence[str], wanted: Sequence[str] = ()) -> tuple[dict[str, object], list[str]]:
    """The named columns of a Parquet file, and the names of the columns that were left alone.

    Args:
        owner: whose data it is, for errors.
        path: the file.
        needed: columns that must be there, in the order of the result.
        wanted: columns that may be there.

    Raises:
        ConfigError: pyarrow is not installed.
        DataError: no Parquet file; a column that is missing, stands twice, holds something else, or has an empty cell or frames of unequal
            length, with its row.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise ConfigError(f"{path.name} cannot be read: Parquet files need pyarrow", do="pip install pyarrow; or save .npz or .safetensors") from None
    try:
        with path.open("rb") as opened, parquet.ParquetFile(opened) as file:
            names = list(file.schema_arrow.names)
            _check_names(owner, path, names, needed, wanted)
            taken = [name for name in (*needed, *wanted) if name in names]
            table = file.read(columns=taken)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{owner}: {path.name} cannot be read: {error}", where=str(path), expected="a Parquet file (cut off?)") from None
    columns = {name: samples_of(table[name], owner=owner, name=name, where=f'{path}, column "{name}"') for name in taken}
    return columns, [name for name in names if name not in columns]


def _check_names(owner: str, path: Path, names: list[str], needed: Sequence[str], wanted: Sequence[str]) -> None:
    for name in (*needed, *wanted):
        if name in needed and name not in names:
            others = [other for other in names if other not in (*needed, *wanted)]
            raise DataError(f'{owner}: the column "{name}" is missing.{near(name, others)}', where=str(path), expected=", ".join(needed))
        if names.count(name) > 1:
            raise DataError(f'{owner}: the column "{name}" stands twice', where=str(path), expected="one column of each name")


def samples_of(column: "pyarrow.ChunkedArray", *, owner: str, name: str, where: str) -> object:
    """One column as numbers, strings, lists of strings, or one array a row; arguments and errors as for `read_table`."""
    import pyarrow
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        row = next(i for i, cell in enumerate(column) if not cell.is_valid)
        raise DataError(f"{owner}: {name} has an empty cell", where=f"{where}, row {row}", expected="a value in every row")
    kind = column.type
    if _is_text(kind) or (_is_list(kind) and _is_text(kind.value_type)):
        cells = column.to_pylist()
        empty = next((row for row, cell in enumerate(cells) if isinstance(cell, list) and None in cell), None)
        if empty is not None:
            raise DataError(f"{owner}: {name} has an empty cell", where=f"{where}, row {empty}", expected="a string in every place")
        return cells
    depth, inner = 0, kind
    while _is_list(inner):
        depth, inner = depth + 1, inner.value_type
    if not (types.is_integer(inner) or types.is_floating(inner) or types.is_boolean(inner)):
        raise DataError(f"{owner}: {name} holds {kind}", where=where, expected=EXPECTED)
    if not depth:
        return column.to_numpy() if len(column) else np.empty(0)
    rows: list[np.ndarray] = []
    for chunk in column.chunks:
        try:
            rows += _rows(chunk)
        except _CellError as error:
            raise DataError(f"{owner}: {name} has {error.what}", where=f"{where}, row {len(rows) + error.row}", expected=error.expected) from None
        except pyarrow.ArrowException as error:
            raise DataError(f"{owner}: {name} cannot be read: {error}", where=where, expected=EXPECTED) from None
    return rows


class _CellError(Exception):
    """What is wrong in which row of a chunk."""

    def __init__(self, what: str, expected: str, row: int) -> None:
        self.what, self.expected, self.row = what, expected, row
        super().__init__(what)


def _rows(chunk: "pyarrow.Array") -> list[np.ndarray]:
    """One array a row of a column of (nested) lists; only the outermost lists may differ in length."""
    lengths: list[np.ndarray] = []
    inner = chunk
    while _is_list(inner.type):
        lengths.append(inner.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64))
        inner = inner.flatten()
        if inner.null_count:
            place = int(np.argmax(inner.is_null().to_numpy(zero_copy_only=False)))
            raise _CellError("an empty cell", "a number in every place", _row_of(place, lengths))
    widths = []
    for level in range(1, len(lengths)):
        found = lengths[level]
        widths.append(int(found[0]) if len(found) else 0)
        differing = np.flatnonzero(found != widths[-1])
        if len(differing):
            what = f"lists of {found[differing[0]]} and of {widths[-1]}"
            raise _CellError(what, "frames of one width; only the number of frames may differ", _row_of(int(differing[0]), lengths[:level]))
    values = inner.to_numpy(zero_copy_only=False).reshape(int(lengths[0].sum()), *widths)
    return np.split(values, np.cumsum(lengths[0])[:-1])


def _row_of(place: int, lengths: list[np.ndarray]) -> int:
    """The row that an element belongs to, from the lengths of the lists around it, outermost first."""
    for level in reversed(lengths):
        place = int(np.searchsorted(np.cumsum(level), place, side="right"))
    return place


def _is_text(kind: "pyarrow.DataType") -> bool:
    from pyarrow import types

    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _is_list(kind: "pyarrow.DataType") -> bool:
    from pyarrow import types

    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
