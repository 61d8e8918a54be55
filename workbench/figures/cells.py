"""A table's cells as HTML, the same in JupyterLab, on a page and on the index. Imports nothing: notebooks and pages both use it."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

STYLE = "font-variant-numeric:tabular-nums;padding:.25em .8em"
NOTE = "Bold: not beaten by any other (paired by seed, Holm, 5 %). =: ties with every bold cell of its column. Italic: published, never ranked."
ALL_BOLD = "Where a whole column is bold, these seeds tell nothing in it apart: look at the intervals, or take more seeds."


def html_table(cells: Mapping[str, Any]) -> str:
    """A table of `columns` and `rows` of cells (text, is_bold, is_tied, is_italic, source, interval); every text in it is escaped."""
    head = "".join(f'<th scope="col" style="{_style(place)}">{escape(str(column))}</th>' for place, column in enumerate(cells["columns"]))
    rows = "".join(f"<tr>{''.join(_cell(cell, place) for place, cell in enumerate(row))}</tr>" for row in cells["rows"])
    is_ranked = any(cell.get("is_bold") or cell.get("is_italic") for row in cells["rows"] for cell in row)
    said = f"{NOTE} {ALL_BOLD}" if _is_all_bold(cells["rows"]) else NOTE
    note = f'<p class="note"><small>{escape(unbroken(said))}</small></p>' if is_ranked else ""
    return f'<div class="wide"><table class="scores"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{note}'


def _is_all_bold(rows: Sequence[Sequence[Mapping[str, Any]]]) -> bool:
    """True where a column of three rows or more ranks nothing."""
    own = [row for row in rows if not any(cell.get("is_italic") for cell in row)]
    return len(own) > 2 and any(all(cell.get("is_bold") for cell in column) for column in zip(*own, strict=True))


def unbroken(text: str) -> str:
    """The text with its numbers held together: no line ends between 95 and %."""
    for pair, held in ((" %", "\u00a0%"), (" ± ", "\u00a0±\u00a0"), (" = ", "\u00a0=\u00a0"), (" < .", "\u00a0<\u00a0.")):
        text = text.replace(pair, held)
    return text


def _style(place: int) -> str:
    """Names stand left, numbers right."""
    return f"text-align:{'right' if place else 'left'};{STYLE}"


def _cell(cell: Mapping[str, Any], place: int) -> str:
    """One cell: text, tie, source, the interval drawn small."""
    text = escape(unbroken(str(cell.get("text", ""))))
    text = f"<strong>{text}</strong>" if cell.get("is_bold") else text
    text = f"<em>{text}</em>" if cell.get("is_italic") else text
    source = f"<br><small>{escape(str(cell['source']))}</small>" if cell.get("source") else ""
    tag = "td" if place else 'th scope="row"'
    style = f"{_style(place)};white-space:{'nowrap' if place else 'normal'}"
    return f'<{tag} style="{style}">{text}{" =" if cell.get("is_tied") else ""}{source}{_interval(cell.get("interval"))}</{tag[:2]}>'


def _interval(parts: Sequence[float] | None) -> str:
    """The 95 % interval as a line 60 pixels wide with a dot at the mean; room for it where there is none, so that columns align."""
    if parts is None:
        return ""
    low, mean, high = (4 + 52 * float(part) for part in parts)
    line = f'<path d="M{low:.1f} 3v8M{low:.1f} 7H{high:.1f}M{high:.1f} 3v8" stroke="currentColor" fill="none"/>'
    dot = f'<circle cx="{mean:.1f}" cy="7" r="3" fill="currentColor"/>'
    return f' <svg width="60" height="14" viewBox="0 0 60 14" aria-hidden="true" style="vertical-align:middle">{line}{dot}</svg>'
