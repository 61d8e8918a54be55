"""A table of words and numbers that leaves the page: as CSV, Markdown and LaTeX (booktabs), with its ties and its note."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.errors import ConfigError, unknown
from workbench.figures import forms
from workbench.figures.cells import TABLE, html_table


@dataclass(frozen=True)
class TextTable:
    """Cells as `html_table` draws them, the numbers behind them, and what to know when reading.

    Args:
        columns: their names.
        rows: of cells (text, is_bold, is_tied, is_italic, source, interval).
        numbers: the numbers behind the table, tidy.
        note: said below it.
        blocks: the rows before which a new block begins.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Mapping[str, Any], ...], ...]
    numbers: pd.DataFrame
    note: str = ""
    blocks: tuple[int, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """The table as plain text."""
        return pd.DataFrame([[forms.plain(cell) for cell in row] for row in self.rows], columns=list(self.columns))

    def to_csv(self, *args: Any, **options: Any) -> str | None:
        """The numbers behind the table as CSV (pandas' arguments)."""
        return self.numbers.to_csv(*args, **({"index": False} | options))

    def to_markdown(self) -> str:
        """A pipe table and the note."""
        return forms.to_markdown(self.as_dict())

    def to_latex(self) -> str:
        """A `tabular` of the package booktabs (and amssymb for marks), the note below it; for use inside a `table`."""
        return forms.to_latex(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Header, cells, note and blocks as data, for a report's index."""
        rows = [[dict(cell) for cell in row] for row in self.rows]
        return {"columns": list(self.columns), "rows": rows, "note": self.note, "blocks": list(self.blocks)}

    def _repr_html_(self) -> str:
        return html_table(self.as_dict())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {TABLE: self.as_dict()}

    def __repr__(self) -> str:
        plain = self.frame
        wide = max(plain.iloc[:, 0].str.len().max(), len(self.columns[0]))
        plain.columns = [self.columns[0].ljust(wide), *self.columns[1:]]
        plain.iloc[:, 0] = plain.iloc[:, 0].str.ljust(wide)
        return plain.to_string(index=False)


def save(table: TextTable, path: str | Path) -> None:
    """Writes the table in the form that the file's ending asks for: .csv, .md, .tex.

    Raises:
        ConfigError: another ending, or a place that cannot be written.
    """
    path = Path(path)
    writers = {".csv": table.to_csv, ".md": table.to_markdown, ".tex": table.to_latex}
    if path.suffix.lower() not in writers:
        raise unknown("form", path.suffix, writers)
    try:
        path.write_text(str(writers[path.suffix.lower()]()), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"could not write {path.name}: {error.strerror}", where=str(path), do="name a file in a folder that can be written"
        ) from error


def texts(*values: object) -> Sequence[dict[str, Any]]:
    """Plain cells."""
    return [{"text": str(value)} for value in values]
