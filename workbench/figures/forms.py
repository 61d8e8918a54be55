"""Cells of a table as CSV, Markdown and LaTeX (booktabs): text for other programs. Loads nothing, for notebooks and pages both use it."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LATEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_"}
LATEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
LATEX |= {"±": r"$\pm$", "−": "$-$", "×": r"$\times$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "▲": r"$\blacktriangle$"}
LATEX |= {"▼": r"$\blacktriangledown$", "†": r"$\dagger$", "‡": r"$\ddagger$", "·": r"$\cdot$", "…": r"\ldots{}", "\u00a0": "~", "–": "--"}
"""What LaTeX reads as something else, or does not know by itself; the triangles are in the package amssymb."""

NUMBER = re.compile(r"^[+−-]?[\d.,]+( ± [\d.]+)?( \(n = \d+\))?$")
NUMBERS = ("mean", "sd", "low", "high", "n")
MARKS = {"is_bold": "unbeaten", "is_tied": "tied", "is_italic": "published"}


def to_csv(cells: Mapping[str, Any]) -> str:
    """A line a cell with the numbers behind it where the cells have any, else the table as it is read.

    Args:
        cells: `columns`, and `rows` of cells (text, source; with numbers: mean, sd, low, high, n, is_bold, is_tied, is_italic).
    """
    is_numeric = any("mean" in cell for row in cells["rows"] for cell in row)
    lines = _number_lines(cells) if is_numeric else [cells["columns"], *([plain(cell) for cell in row] for row in cells["rows"])]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue()


def _number_lines(cells: Mapping[str, Any]) -> Iterable[list[Any]]:
    """A header and a line for each cell that says something, with its block's name where there are blocks."""
    has_blocks, block = bool(cells.get("blocks")), ""
    yield [*(["block"] if has_blocks else []), cells["columns"][0], "column", "text", *NUMBERS, *MARKS.values(), "source"]
    for place, row in enumerate(cells["rows"]):
        block = row[0]["text"] if has_blocks and place in cells["blocks"] else block
        for column, cell in zip(cells["columns"][1:], row[1:], strict=True):
            if str(cell.get("text", "")) not in ("", "-"):
                said = [row[0]["text"], column, cell["text"], *(cell.get(name, "") for name in NUMBERS)]
                marks = (int(bool(cell.get(mark))) for mark in MARKS)
                yield [*([block] if has_blocks else []), *said, *marks, row[0].get("source", "")]


def to_markdown(cells: Mapping[str, Any]) -> str:
    """A pipe table, and below it the table's note."""
    columns, rows = cells["columns"], cells["rows"]
    lines = [[markdown_text(name) for name in columns], ["---:" if is_right(rows, place) else "---" for place in range(len(columns))]]
    lines += [[_markdown(cell) for cell in row] for row in rows]
    note = f"\n{markdown_text(cells['note'])}\n" if cells.get("note") else ""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n" + note


def to_latex(cells: Mapping[str, Any]) -> str:
    """A `tabular` of the package booktabs (and amssymb for marks), the note below it; for use inside a `table`."""
    columns, rows, note = cells["columns"], cells["rows"], cells.get("note")
    form = "".join("r" if is_right(rows, place) else "l" for place in range(len(columns)))
    lines = [rf"\begin{{tabular}}{{{form}}}", r"\toprule", _latex_line(latex_text(name) for name in columns), r"\midrule"]
    for number, row in enumerate(rows):
        lines += [r"\midrule"] if number and number in cells.get("blocks", ()) else []
        lines.append(_latex_line(_latex(cell) for cell in row))
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += ["", rf"\par\smallskip{{\footnotesize {latex_text(note)}\par}}"] if note else []
    return "\n".join(lines) + "\n"


def is_right(rows: Sequence[Sequence[Mapping[str, Any]]], place: int) -> bool:
    """True for a column of numbers."""
    texts = [str(row[place].get("text", "")) for row in rows]
    return place > 0 and any(map(NUMBER.match, texts)) and all(NUMBER.match(text) or text in ("", "-") for text in texts)


def latex_text(text: object) -> str:
    """The text as LaTeX prints it: nothing in it is a command."""
    written_out = "".join(LATEX.get(letter, letter) for letter in str(text).replace("\n", " "))
    # A hyphen before a number is a minus.
    return re.sub(r"(?<![\w$}.-])-(?=[\d.])", "$-$", written_out)


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def plain(cell: Mapping[str, Any]) -> str:
    """Text, tie and source."""
    source = f" ({cell['source']})" if cell.get("source") else ""
    return f"{cell.get('text', '')}{' =' if cell.get('is_tied') else ''}{source}"


def _latex(cell: Mapping[str, Any]) -> str:
    text = latex_text(cell.get("text", ""))
    text = rf"\textbf{{{text}}}" if cell.get("is_bold") else text
    text = rf"\textit{{{text}}}" if cell.get("is_italic") else text
    return text + (" $=$" if cell.get("is_tied") else "") + (f" ({latex_text(cell['source'])})" if cell.get("source") else "")


def _markdown(cell: Mapping[str, Any]) -> str:
    text = markdown_text(cell.get("text", ""))
    mark = "**" if cell.get("is_bold") else "*" if cell.get("is_italic") else ""
    text = f"{mark}{text}{mark}" if text else ""
    return text + (" =" if cell.get("is_tied") else "") + (f" ({markdown_text(cell['source'])})" if cell.get("source") else "")


def markdown_text(text: object) -> str:
    """The text with every character escaped that Markdown would read."""
    return re.sub(r"([\\`*_\[\]<>#$|~&])", r"\\\1", str(text).replace("\n", " "))
