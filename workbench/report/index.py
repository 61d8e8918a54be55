"""The first page of a report, built from the pages' small records; it exists before the first notebook has ended."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.report.joined import joined
from workbench.report.page import environment
from workbench.report.record import PageRecord, write_whole

WORDS = {"done": "done", "failed": "failed", "skipped": "skipped", "running": "running", "waiting": "waiting"}
ENDED = ("done", "failed", "skipped")
MOST_TOLD, MOST_BROKEN, MOST_OPEN = 2, 5, 2
"""Sentences, failures and open tables on the first screen; all sentences and failures stand below, in the list of pages, other tables are folded."""


def write_index(folder: Path, name: str, pages: Sequence[PageRecord], facts: Mapping[str, Any]) -> Path:
    """Writes `index.html`: did it all run, what came out, failures, the table; pages and data below; how it was made, folded.

    Args:
        folder: the report's folder.
        name: the report's name.
        pages: the records of its pages.
        facts: started, seconds, is_running, is_stopped, parameters, versions, git, command, data.
    """
    counts = [f"{count} {WORDS[status]}" for status in WORDS if (count := sum(page.status == status for page in pages))]
    broken = [page for page in pages if page.status in ("failed", "skipped")]
    cards = used(pages)
    text = (
        environment()
        .get_template("index.html")
        .render(
            name=name,
            pages=pages,
            counts=" · ".join(_with_noun(count, place) for place, count in enumerate(counts)),
            told=finding(pages),
            broken=broken,
            most=MOST_BROKEN,
            open=MOST_OPEN,
            changed=[page for page in pages if is_changed(page)],
            tables=joined(pages),
            cards=cards,
            card_names=[card["name"] for card in cards],
            facts=facts,
        )
    )
    write_whole(folder / "index.html", text)
    return folder / "index.html"


def finding(pages: Iterable[PageRecord]) -> list[tuple[PageRecord, str]]:
    """What is told on the first screen: the sentences of the first page that ranks something, else of the first that says anything."""
    told = [page for page in pages if page.sentences]
    chosen = next((page for page in told if any(found.get("table") for found in page.headlines)), next(iter(told), None))
    return [(chosen, sentence) for sentence in chosen.sentences[:MOST_TOLD]] if chosen else []


def is_changed(page: PageRecord) -> bool:
    """True for a page that was executed in this run, not kept from an earlier one."""
    return page.status == "running" or (page.status in ENDED and not page.is_kept)


def used(pages: Iterable[PageRecord]) -> list[dict[str, Any]]:
    """The data cards that the pages used, each once, with the pages that did."""
    found: dict[str, dict[str, Any]] = {}
    for page in pages:
        for card in page.cards:
            found.setdefault(card["name"], {**card, "pages": []})["pages"].append(page)
    return list(found.values())


def _with_noun(count: str, place: int) -> str:
    """`3 pages done` for the first, `1 failed` for the others."""
    number, word = count.split(" ", 1)
    return count if place else f"{number} {'page' if number == '1' else 'pages'} {word}"
