"""Json and csv from strangers: size, depth and widths are checked before or while they are read."""

import csv
import io
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

from workbench.data.names import first_repeated
from workbench.data.untrusted.looks import looks_like
from workbench.errors import DataError, near

JSON_BYTES = 16 << 20
TABLE_BYTES = 16 << 20
ROWS, CELLS, COLUMNS = 500_000, 4_000_000, 10_000
DEPTH = 64
# A whole text (or the rest of the document, where its end is missing), or one bracket.
_TEXT_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)


def read_json(path: Path, *, most: int = JSON_BYTES, depth: int = DEPTH) -> object:
    """The content of a json document in UTF-8.

    Args:
        path: the file.
        most: bytes that it may have.
        depth: how deep its lists and objects may be nested.

    Raises:
        DataError: missing, too long, nested too deep, no UTF-8, no json (with line and column), NaN or infinity, a key that stands twice.
    """
    path = Path(path)
    text = _text(path, most, "a json document")
    deepest = _depth(text)
    if deepest > depth:
        raise DataError(f"{path.name} is nested {deepest} deep", where=str(path), expected=f"at most {depth} deep")

    def refuse(word: str) -> float:
        raise DataError(f"{path.name} has the number {word[:40]}", where=str(path), expected="finite numbers")

    def number(word: str) -> float:
        return value if math.isfinite(value := float(word)) else refuse(word)

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(pairs)
        if len(made) < len(pairs):
            twice = first_repeated(name for name, _ in pairs)
            raise DataError(f'{path.name}: the key "{twice[:80]}" stands twice', where=str(path), expected="each key once in an object")
        return made

    try:
        return json.loads(text, parse_constant=refuse, parse_float=number, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        is_end = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        hint = _kind(path) or (f" (cut off? it has {path.stat().st_size:,} bytes)" if is_end else "")
        where = f"{path}, line {error.lineno}, column {error.colno}"
        raise DataError(f"{path.name} is no json: {error.msg}{hint}", where=where, expected="a json document") from None
    except ValueError as error:  # A whole number of thousands of digits.
        raise DataError(f"{path.name} cannot be read: {str(error)[:80]}", where=str(path), expected="a json document") from None


def _text(path: Path, most: int, expected: str) -> str:
    """The text of a file in UTF-8 of bounded size, without the mark that some editors put first."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
        size = path.stat().st_size
    except FileNotFoundError:
        raise DataError(f"{path.name} is missing", where=str(path), expected=expected) from None
    except OSError as error:
        raise DataError(f"{path.name} cannot be read: {error.strerror}", where=str(path), expected=expected) from None
    if len(content) > most:
        raise DataError(f"{path.name} has {size:,} bytes", where=str(path), expected=f"{expected} of at most {most:,} bytes")
    if not content.strip():
        raise DataError(f"{path.name} is empty, {size:,} bytes", where=str(path), expected=expected)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        is_cut = error.end == len(content) and error.reason == "unexpected end of data"
        what = f"{path.name} breaks off inside a letter, after {size:,} bytes (cut off?)" if is_cut else f"{path.name} is not in UTF-8{_kind(path)}"
        raise DataError(what, where=f"{path}, byte {error.start:,}, line {line}", expected=f"{expected} in UTF-8") from None


def _kind(path: Path) -> str:
    kind = looks_like(path)
    return f": it is {kind}" if kind and kind != "a json document" else ""


def _depth(text: str) -> int:
    """How deep brackets are nested, outside of texts."""
    level = deepest = 0
    for match in _TEXT_OR_BRACKET.finditer(text):
        letter = match[0][0]
        if letter in "[{":
            level += 1
            deepest = max(deepest, level)
        elif letter in "]}":
            level -= 1
    return deepest


def read_table(path: Path, *, columns: Sequence[str] = (), most: int = TABLE_BYTES) -> list[dict[str, str]]:
    """The rows of a csv file with a header, in UTF-8, as text by column; empty lines are passed over.

    Args:
        path: the file.
        columns: the columns that must be there.
        most: bytes that it may have.

    Raises:
        DataError: missing, too long, no UTF-8, no rows, a column that is missing (with the near ones) or stands twice, a row of another
            width, more rows or cells than admitted, a quote that is not closed, a field of more than 131,072 letters.
    """
    path = Path(path)
    expected = f"a csv file with a header{': ' + ', '.join(columns) if columns else ''}"
    reader = csv.reader(io.StringIO(_text(path, most, expected), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header, columns, expected)
        rows = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                where = f"{path}, line {reader.line_num}, row {len(rows)} (counted from 0)"
                raise DataError(f"{path.name}: {len(row)} columns", where=where, expected=f"{len(header)} columns, as in the header")
            if len(rows) == ROWS or (len(rows) + 1) * len(header) > CELLS:
                what = f"{path.name} has more than {len(rows):,} rows of {len(header):,} columns"
                raise DataError(what, where=str(path), expected=f"at most {ROWS:,} rows, {CELLS:,} cells", do="split it into several files")
            rows.append(dict(zip(header, row, strict=True)))
    except csv.Error as error:
        where = f"{path}, line {reader.line_num}"
        raise DataError(f"{path.name} cannot be read: {error}", where=where, expected=f"{expected}, quotes closed (cut off?)") from None
    if not rows:
        raise DataError(f"{path.name} has a header and no rows", where=str(path), expected=expected)
    return rows


def _check_header(path: Path, header: list[str], columns: Sequence[str], expected: str) -> None:
    """Each needed column is there, and no name stands twice."""
    where = f"{path}, line 1"
    if len(header) > COLUMNS:
        raise DataError(f"{path.name} has {len(header):,} columns", where=where, expected=f"at most {COLUMNS:,} columns")
    for name in columns:
        if name not in header:
            known = ", ".join(header[:20])[:400]
            raise DataError(
                f'{path.name}: the column "{name}" is missing.{near(name, header[:1000])}{_kind(path)}',
                where=where,
                expected=f"{expected}; there are: {known}",
            )
    twice = first_repeated(header)
    if twice is not None:
        raise DataError(f'{path.name}: the column "{twice[:80]}" stands twice', where=where, expected="each column once")
