"""Facts in words as a table: left-aligned, wrapped, every text escaped; the same in JupyterLab and on a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from workbench.figures.cells import unbroken

STYLE = "text-align:left;vertical-align:top;padding:.25em .8em;white-space:normal"


@dataclass(frozen=True)
class FactTable:
    """Rows of words under named columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col" style="{STYLE}">{escape(name)}</th>' for name in self.columns)
        body = "".join(f"<tr>{''.join(_cell(text, place) for place, text in enumerate(row))}</tr>" for row in self.rows)
        return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'

    def __repr__(self) -> str:
        return "\n".join("  ".join(row) for row in (self.columns, *self.rows))


def _cell(text: str, place: int) -> str:
    tag = "td" if place else 'th scope="row"'
    return f'<{tag} style="{STYLE}">{escape(unbroken(text))}</{tag[:2]}>'


def fact_table(rows: Sequence[Sequence[object]], *columns: str) -> FactTable:
    """Rows of words (or numbers as they are written) under the columns' names; shorter rows are filled up."""
    said = tuple(tuple(str(cell) for cell in row) + ("",) * (len(columns) - len(row)) for row in rows)
    return FactTable(tuple(columns), said)
