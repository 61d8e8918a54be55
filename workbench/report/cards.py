"""The data cards behind a page: which ones its notebook used, and a page of each, so that the folder can be sent without the repository."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.report.outputs import text_of
from workbench.report.record import PageRecord, write_whole

TAGS = {"parameters", "injected-parameters"}


def cards_of(notebook: Any) -> list[dict[str, Any]]:
    """The cards of the data sets that the parameters of a notebook name and that are on this machine: name, title, modalities, sha256, path."""
    from workbench.data import available
    from workbench.data.card import card, cards
    from workbench.errors import WorkbenchError

    known, found = set(cards()), {}
    for value in dict.fromkeys(_values(notebook)):
        if value.partition("/")[0] not in known and not (value.endswith(".md") and Path(value).is_file()):
            continue
        try:
            one = card(value)
            if available(value):
                found[one.name] = {
                    "name": one.name,
                    "title": one.title,
                    "modalities": list(one.modalities),
                    "sha256": one.sha256,
                    "path": str(one.path),
                }
        except WorkbenchError:
            continue  # the notebook has said it
    return list(found.values())


def _values(notebook: Any) -> Iterator[str]:
    """The texts among a notebook's parameters, those given instead of its own where there are any."""
    values: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and TAGS & set(cell.get("metadata", {}).get("tags", [])):
            values |= _literals(text_of(cell["source"]))
    for value in values.values():
        yield from (text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str))


def _literals(source: str) -> dict[str, Any]:
    """`name = literal` lines by name."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def write_card_pages(record: PageRecord, folder: Path, report: str) -> None:
    """Writes `cards/<name>.html` for each card of a page: its text, and its head as it stands."""
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    from workbench.report.page import environment

    for card in record.cards:
        head, _, prose = Path(card["path"]).read_text(encoding="utf-8").removeprefix("---\n").partition("\n---\n")
        (folder / "cards").mkdir(exist_ok=True)
        page = environment().get_template("card.html").render(report=report, card=card, head=head, prose=markdown2html_mistune(prose), up="../")
        write_whole(folder / "cards" / f"{card['name']}.html", page)
