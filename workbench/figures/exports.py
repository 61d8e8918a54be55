"""A table of words and numbers that leaves the page: as CSV, Markdown and LaTeX (booktabs), with its ties and its note."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.errors import ConfigError, unknown
from workbench.figures.cells import html_table

LATEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_"}
LATEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
LATEX |= {"±": r"$\pm$", "−": "$-$", "×": r"$\times$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "▲": r"$\blacktriangle$"}
LATEX |= {"▼": r"$\blacktriangledown$", "†": r"$\dagger$", "‡": r"$\ddagger$", "·": r"$\cdot$", "…": r"\ldots{}", "\u00a0": "~", "–": "--"}
"""What LaTeX reads as something else, or does not know by itself; the triangles are in the package amssymb."""

NUMBER = re.compile(r"^[+−-]?[\d.,]+( ± [\d.]+)?( \(n = \d+\))?$")


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
        return pd.DataFrame([[_plain(cell) for cell in row] for row in self.rows], columns=list(self.columns))

    def to_csv(self, *args: Any, **options: Any) -> str | None:
        """The numbers behind the table as CSV (pandas' arguments)."""
        return self.numbers.to_csv(*args, **({"index": False} | options))

    def to_markdown(self) -> str:
        """A pipe table and the note."""
        head = [_markdown_text(name) for name in self.columns]
        lines = [head, ["---:" if self._is_right(place) else "---" for place in range(len(head))]]
        lines += [[_markdown(cell) for cell in row] for row in self.rows]
        note = f"\n{_markdown_text(self.note)}\n" if self.note else ""
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n" + note

    def to_latex(self) -> str:
        """A `tabular` of the package booktabs (and amssymb for marks), the note below it; for use inside a `table`."""
        form = "".join("r" if self._is_right(place) else "l" for place in range(len(self.columns)))
        lines = [rf"\begin{{tabular}}{{{form}}}", r"\toprule", _latex_line(latex_text(name) for name in self.columns), r"\midrule"]
        for number, row in enumerate(self.rows):
            lines += [r"\midrule"] if number and number in self.blocks else []
            lines.append(_latex_line(_latex(cell) for cell in row))
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += ["", rf"\par\smallskip{{\footnotesize {latex_text(self.note)}\par}}"] if self.note else []
        return "\n".join(lines) + "\n"

    def as_dict(self) -> dict[str, Any]:
        """Header and cells as data, for a report's index."""
        return {"columns": list(self.columns), "rows": [[dict(cell) for cell in row] for row in self.rows]}

    def _is_right(self, place: int) -> bool:
        """True for a column of numbers."""
        texts = [str(row[place].get("text", "")) for row in self.rows]
        return place > 0 and any(map(NUMBER.match, texts)) and all(NUMBER.match(text) or text in ("", "-") for text in texts)

    def _repr_html_(self) -> str:
        return html_table(self.as_dict()) + (f'<p class="note"><small>{escape(self.note)}</small></p>' if self.note else "")

    def __repr__(self) -> str:
        plain = self.frame
        wide = max(plain.iloc[:, 0].str.len().max(), len(self.columns[0]))
        plain.columns = [self.columns[0].ljust(wide), *self.columns[1:]]
        plain.iloc[:, 0] = plain.iloc[:, 0].str.ljust(wide)
        return plain.to_string(index=False)


def latex_text(text: object) -> str:
    """The text as LaTeX prints it: nothing in it is a command."""
    written_out = "".join(LATEX.get(letter, letter) for letter in str(text).replace("\n", " "))
    # A hyphen before a number is a minus.
    return re.sub(r"(?<![\w$}.-])-(?=[\d.])", "$-$", written_out)


def _latex_line(cells: Any) -> str:
    return " & ".join(cells) + r" \\"


def _plain(cell: Mapping[str, Any]) -> str:
    """Text, tie and source."""
    source = f" ({cell['source']})" if cell.get("source") else ""
    return f"{cell.get('text', '')}{' =' if cell.get('is_tied') else ''}{source}"


def _latex(cell: Mapping[str, Any]) -> str:
    text = latex_text(cell.get("text", ""))
    text = rf"\textbf{{{text}}}" if cell.get("is_bold") else text
    text = rf"\textit{{{text}}}" if cell.get("is_italic") else text
    return text + (" $=$" if cell.get("is_tied") else "") + (f" ({latex_text(cell['source'])})" if cell.get("source") else "")


def _markdown(cell: Mapping[str, Any]) -> str:
    text = _markdown_text(cell.get("text", ""))
    mark = "**" if cell.get("is_bold") else "*" if cell.get("is_italic") else ""
    text = f"{mark}{text}{mark}" if text else ""
    return text + (" =" if cell.get("is_tied") else "") + (f" ({_markdown_text(cell['source'])})" if cell.get("source") else "")


def _markdown_text(text: object) -> str:
    """The text with every character escaped that Markdown would read."""
    return re.sub(r"([\\`*_\[\]<>#$|~&])", r"\\\1", str(text).replace("\n", " "))


def save(table: TextTable, path: str | Path) -> None:
    """Writes the table in the form that the file's ending asks for: .csv, .md, .tex.

    Raises:
        ConfigError: another ending, or a place that cannot be written.
    """
    path = Path(path)
    forms = {".csv": table.to_csv, ".md": table.to_markdown, ".tex": table.to_latex}
    if path.suffix.lower() not in forms:
        raise unknown("form", path.suffix, forms)
    try:
        path.write_text(str(forms[path.suffix.lower()]()), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"could not write {path.name}: {error.strerror}", where=str(path), do="name a file in a folder that can be written"
        ) from error


def texts(*values: object) -> Sequence[dict[str, Any]]:
    """Plain cells."""
    return [{"text": str(value)} for value in values]
