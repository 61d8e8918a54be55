"""A table on a page: its cells, the sources of published rows linked, and at its corner the same table for other programs."""

from collections.abc import Collection, Mapping
from html import escape
from typing import Any

from workbench.figures import forms
from workbench.figures.cells import html_table

FORMS = {"CSV": ("csv", forms.to_csv), "LaTeX": ("tex", forms.to_latex), "Markdown": ("md", forms.to_markdown)}


def page_table(cells: Mapping[str, Any], cards: Collection[str] = ()) -> str:
    """The table as HTML with CSV, LaTeX (booktabs) and Markdown folded at its corner.

    Args:
        cells: see `workbench.figures.cells.html_table`; a row whose first cell names a `card` has its source linked to that card's page.
        cards: the data cards that have a page.
    """
    rows = [[_linked(row[0], cards), *row[1:]] for row in cells["rows"]]
    texts = "".join(_form(name, ending, write(cells)) for name, (ending, write) in FORMS.items())
    corner = f'<details class="exports"><summary>{", ".join(FORMS)}</summary>{texts}</details>'
    return f'<div class="table">{corner}{html_table({**cells, "rows": rows})}</div>'


def _linked(head: Mapping[str, Any], cards: Collection[str]) -> dict[str, Any]:
    return {**head, **({"link": f"cards/{head['card']}.html"} if head.get("card") in cards else {})}


def _form(name: str, ending: str, text: str) -> str:
    """One form as text; page.js gives it its buttons."""
    return f'<section data-file="table.{ending}"><p><strong>{name}</strong></p><pre>{escape(text)}</pre></section>'
