"""The first page of a report, built from the pages' small records; it exists before the first notebook has ended."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.report.page import environment
from workbench.report.record import PageRecord, write_whole

WORDS = {"done": "done", "failed": "failed", "skipped": "skipped", "running": "running", "waiting": "waiting"}


def write_index(folder: Path, name: str, pages: Sequence[PageRecord], facts: Mapping[str, Any]) -> Path:
    """Writes `index.html`: did it all run, what came out, failures, the table; pages below; how it was made, folded.

    Args:
        folder: the report's folder.
        name: the report's name.
        pages: the records of its pages.
        facts: started, seconds, is_running, is_stopped, parameters, versions, git, command, data.
    """
    counts = [f"{count} {WORDS[status]}" for status in WORDS if (count := sum(page.status == status for page in pages))]
    tables = [(page, found["table"]) for page in pages for found in page.headlines if found.get("table")]
    text = (
        environment()
        .get_template("index.html")
        .render(
            name=name,
            pages=pages,
            counts=" · ".join(_with_noun(count, place) for place, count in enumerate(counts)),
            told=[page for page in pages if page.sentences],
            broken=[page for page in pages if page.status in ("failed", "skipped")],
            tables=tables,
            facts=facts,
        )
    )
    write_whole(folder / "index.html", text)
    return folder / "index.html"


def _with_noun(count: str, place: int) -> str:
    """`3 pages done` for the first, `1 failed` for the others."""
    number, word = count.split(" ", 1)
    return count if place else f"{number} {'page' if number == '1' else 'pages'} {word}"
