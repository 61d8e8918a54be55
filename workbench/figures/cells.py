"""A table's cells as HTML, the same in JupyterLab, on a page and on the index. Imports nothing: notebooks and pages both use it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

TABLE = "application/vnd.workbench.table+json"
"""What a table of this package displays beside its HTML: its cells as data, from which a page draws it with its exports."""

STYLE = "font-variant-numeric:tabular-nums;padding:.25em .8em"
NOTE = "Bold: not beaten by any other (paired by seed, Holm, 5 %). =: ties with every bold cell of its column. Italic: published, never ranked."
ALL_BOLD = "Where a whole column is bold, these seeds tell nothing in it apart: look at the intervals, or take more seeds."
SCORE = re.compile(r"^([+−-]?[\d,]*)(?:\.(\d+))?(?: ± [\d,]*(?:\.(\d+))?)?(?: (\(n = \d+\)))?$")
MOST_BESIDE = 3
"""With more columns of intervals than these they stand below their numbers, so that the table fits its page."""

NOTHING = ("", "-")
DIGIT, POINT = "\u2007", "\u2008"
"""Spaces as wide as a digit and as a point: a column of numbers stands under one another at the point."""


def html_table(cells: Mapping[str, Any]) -> str:
    """A table of `columns` and `rows` of cells; every text in it is escaped.

    Args:
        cells: columns; rows of cells (text, is_bold, is_tied, is_italic, source, link of the source, interval, mean); optional note (said below) and
            blocks (the rows with which a new block begins).
    """
    columns = [_Column(cells["rows"], place) for place in range(len(cells["columns"]))]
    is_full = sum(column.has_intervals for column in columns) > MOST_BESIDE
    for column in columns:
        column.before_interval = "<br>" if is_full else " "
    head = "".join(f'<th scope="col" style="{_style(place)}">{escape(unbroken(str(column)))}</th>' for place, column in enumerate(cells["columns"]))
    body = "".join(f"<tbody>{''.join(_row(row, columns) for row in block)}</tbody>" for block in _blocks(cells))
    is_ranked = any(cell.get("is_bold") or cell.get("is_italic") for row in cells["rows"] for cell in row)
    notes = [f"{NOTE} {ALL_BOLD}" if _is_all_bold(cells) else NOTE] if is_ranked else []
    notes += [str(cells["note"])] if cells.get("note") else []
    said = "".join(f'<p class="note"><small>{escape(unbroken(note))}</small></p>' for note in notes)
    return f'<div class="wide"><table class="scores"><thead><tr>{head}</tr></thead>{body}</table></div>{said}'


class _Column:
    """What the cells of one column share: room for ties and intervals, digits behind the point."""

    def __init__(self, rows: Sequence[Sequence[Mapping[str, Any]]], place: int) -> None:
        cells = [row[place] for row in rows]
        found = [SCORE.match(str(cell.get("text", ""))) for cell in cells]
        scores = [match for match in found if match and match[0] not in NOTHING]
        self.place, self.before_interval = place, " "
        self.has_ties, self.has_intervals = (any(cell.get(name) for cell in cells) for name in ("is_tied", "interval"))
        self.mean, self.spread = (max((len(match[part] or "") for match in scores), default=0) for part in (2, 3))

    def lined_up(self, text: str) -> tuple[str, str]:
        """The text with room where others have digits behind the point, and its n where it has its own."""
        match = SCORE.match(text)
        if not match or text in NOTHING:
            return unbroken(text), ""
        count = match[4] or ""
        mean, sign, spread = text.removesuffix(f" {count}" if count else "").partition(" ± ")
        spread = f"{sign}{spread}{_room(match[3], self.spread)}" if sign else ""
        return unbroken(f"{mean}{_room(match[2], self.mean)}{spread}"), count


def _room(digits: str | None, most: int) -> str:
    """Spaces for the digits that others have."""
    return DIGIT * (most - len(digits)) if digits else (POINT + DIGIT * most if most else "")


def _blocks(cells: Mapping[str, Any]) -> Iterator[Sequence[Sequence[Mapping[str, Any]]]]:
    """The rows, block by block."""
    rows = cells["rows"]
    starts = [0, *(place for place in cells.get("blocks") or () if 0 < place < len(rows)), len(rows)]
    for start, end in pairwise(starts):
        yield rows[start:end]


def _is_all_bold(cells: Mapping[str, Any]) -> bool:
    """True where a column of three rows or more of a block ranks nothing."""
    return any(_ranks_nothing(column) for block in _blocks(cells) for column in zip(*(row for row in block if not _is_fixed(row)), strict=True))


def _ranks_nothing(column: Sequence[Mapping[str, Any]]) -> bool:
    """True where every score of a column is bold."""
    scores = [cell for cell in column if cell.get("text") not in NOTHING]
    return len(scores) > 2 and all(cell.get("is_bold") for cell in scores)


def _is_head(row: Sequence[Mapping[str, Any]]) -> bool:
    """True for the row that names a block."""
    return len(row) > 1 and not any(str(cell.get("text", "")) for cell in row[1:])


def _is_fixed(row: Sequence[Mapping[str, Any]]) -> bool:
    """True for the name of a block and for published rows: neither is ranked, nor moves when people sort."""
    return _is_head(row) or any(cell.get("is_italic") for cell in row)


def unbroken(text: str) -> str:
    """The text with its numbers held together: no line ends between 95 and %."""
    for pair, held in ((" %", "\u00a0%"), (" ± ", "\u00a0±\u00a0"), (" = ", "\u00a0=\u00a0"), (" < .", "\u00a0<\u00a0.")):
        text = text.replace(pair, held)
    return text


def _style(place: int) -> str:
    """Names stand left, numbers right."""
    return f"text-align:{'right' if place else 'left'};{STYLE}"


def _row(row: Sequence[Mapping[str, Any]], columns: Sequence[_Column]) -> str:
    """One row."""
    kind = f' class="{"block " if _is_head(row) else ""}fixed"' if _is_fixed(row) else ""
    return f"<tr{kind}>{''.join(_cell(cell, column) for cell, column in zip(row, columns, strict=True))}</tr>"


def _cell(cell: Mapping[str, Any], column: _Column) -> str:
    """One cell: text, tie, the interval drawn small, below them its n and its source."""
    plain, count = column.lined_up(str(cell.get("text", "")))
    text = f"<strong>{escape(plain)}</strong>" if cell.get("is_bold") else escape(plain)
    text = f"<em>{text}</em>" if cell.get("is_italic") else text
    below = [escape(count)] if count else []
    below += [_source(cell)] if cell.get("source") else []
    small = f"<br><small>{' '.join(below)}</small>" if below else ""
    tag, closing = ("td", "td") if column.place else ('th scope="row"', "th")
    style = f"{_style(column.place)};white-space:{'nowrap' if column.place else 'normal'}"
    value = f' data-value="{float(cell["mean"]):.6g}"' if "mean" in cell else ""
    signs = "" if plain in NOTHING else f"{_tie(cell, column)}{_interval(cell.get('interval'), column)}"
    return f'<{tag} style="{style}"{value}>{text}{signs}{small}</{closing}>'


def _source(cell: Mapping[str, Any]) -> str:
    """Where a published number stands, linked where there is a page of it."""
    source = escape(unbroken(str(cell["source"])))
    return f'<a href="{escape(str(cell["link"]))}">{source}</a>' if cell.get("link") else source


def _tie(cell: Mapping[str, Any], column: _Column) -> str:
    """The sign of a tie, and its room in the other cells of the column."""
    if not column.has_ties:
        return ""
    return " =" if cell.get("is_tied") else '<span style="visibility:hidden" aria-hidden="true"> =</span>'


def _interval(parts: Sequence[float] | None, column: _Column) -> str:
    """The 95 % interval as a line 60 pixels wide with a dot at the mean; room for it where there is none, so that columns align."""
    if parts is None:
        return f'{column.before_interval}<span style="display:inline-block;width:60px"></span>' if column.has_intervals else ""
    low, mean, high = (4 + 52 * float(part) for part in parts)
    line = f'<path d="M{low:.1f} 3v8M{low:.1f} 7H{high:.1f}M{high:.1f} 3v8" stroke="currentColor" fill="none"/>'
    dot = f'<circle cx="{mean:.1f}" cy="7" r="3" fill="currentColor"/>'
    return (
        f'{column.before_interval}<svg width="60" height="14" viewBox="0 0 60 14" aria-hidden="true" style="vertical-align:middle">{line}{dot}</svg>'
    )
