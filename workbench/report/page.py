"""An executed notebook becomes one page: offline, foldable, printable; on a failed page the failure comes first."""

import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

from workbench import errors
from workbench.report.cards import cards_of, write_card_pages
from workbench.report.headline import HEADLINE
from workbench.report.outputs import PLOTLY, plain, text_of, tidy
from workbench.report.record import PageRecord, write_whole
from workbench.report.still import thumbnail
from workbench.report.tables import page_table

TEMPLATES = Path(__file__).parent / "templates"
PARTS = {"in": "where", "expected": "expected", "do": "do"}
ANCHOR = re.compile(r'<a class="anchor-link"[^>]*></a>')
LINK = re.compile(r'<a href="([^":#]+)(#[^"]*)?"')
VERDICT = re.compile(r'<h2 id="(Verdict|What-was-found)"')  # of a method page
HEADING = re.compile(r'<h([123]) id="([^"]+)">(.*?)</h\1>', re.DOTALL)


def title_of(notebook: Any, name: str) -> str:
    """The first heading of a notebook, else its name."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            found = re.search(r"^#\s+(.+)$", text_of(cell["source"]), re.MULTILINE)
            if found:
                return re.sub(r"[*`_]{1,2}(\S.*?)[*`_]{1,2}", r"\1", found[1].strip())
    return name


def labelled(title: str, label: str) -> str:
    """The title of one of several pages of a notebook: `What is in it? (mosi)`."""
    return f"{title} ({label})" if label else title


def read_results(notebook: Any, record: PageRecord) -> None:
    """Fills a record from an executed notebook: title, headlines, the error."""
    record.title = labelled(title_of(notebook, record.name), record.label)
    record.headlines, record.error, record.status = [], {}, "done"
    number = 0
    for cell in notebook["cells"]:
        number += is_counted(cell)
        for output in cell.get("outputs", []):
            if HEADLINE in output.get("data", {}):
                record.headlines.append(dict(output["data"][HEADLINE]))
            if output["output_type"] == "error" and not (output["ename"] == "SystemExit" and output["evalue"] in ("", "0")):
                record.error = say_error(output, number)
                record.status = "skipped" if record.error["kind"] == "MissingDataError" else "failed"
                return


def is_counted(cell: Mapping[str, Any]) -> bool:
    """True for code cells of the source: the one that papermill put in with the parameters given is not counted."""
    return cell["cell_type"] == "code" and "injected-parameters" not in cell.get("metadata", {}).get("tags", [])


def say_error(output: Mapping[str, Any], number: int) -> dict[str, Any]:
    """An error output in plain words; for errors of this house its parts: where, expected, do."""
    kind, said = output["ename"], text_of(output["evalue"])
    is_ours = kind in {error.__name__ for error in _all_errors(errors.WorkbenchError)}
    lines = said.split("\n")
    parts = {}
    for line in lines[1:] if is_ours else []:
        word, _, rest = line.strip().partition(" ")
        if word in PARTS:
            parts[PARTS[word]] = rest.strip()
    what = lines[0] if is_ours else f"{kind}: {lines[0]}"
    trace = plain("\n".join(output.get("traceback", [])))
    return {"what": what, "parts": parts, "kind": kind, "cell": number, "traceback": trace}


def _all_errors(error: type) -> list[type]:
    """A class and all that derive from it."""
    return [error, *(found for child in error.__subclasses__() for found in _all_errors(child))]


def write_page(
    notebook: Any, record: PageRecord, target: Path, *, report: str, pages: Sequence[PageRecord], folder: Path, facts: Mapping[str, Any]
) -> None:
    """Lays the page out and writes it.

    Args:
        notebook: the executed notebook.
        record: its record; figures, thumbnail and data cards are filled in.
        target: the page to write.
        report: the report's name.
        pages: all pages of the report, for the links to the next and the one before.
        folder: where the notebook's source is, for pictures named in its text.
        facts: what the page says of its making (command, executed notebook).
    """
    record.cards, record.thumbnail = cards_of(notebook), thumbnail(told_figure(notebook))
    write_card_pages(record, target.parent, report)
    cards = [card["name"] for card in record.cards]
    body, record.figures = render_body(notebook, folder, stop_at=record.error.get("cell", 0), cards=cards)
    names = [page.name for page in pages]
    body, place = relink(body, names, folder, target.parent, cards), names.index(record.name)
    verdict = VERDICT.search(body)
    claim, rest = after_claim(body) if verdict and record.headlines else ("", body)
    page = (
        environment()
        .get_template("page.html")
        .render(
            report=report,
            record=record,
            claim=claim,
            body=rest,
            contents=contents_of(body),
            verdict={**record.headlines[-1], "id": verdict[1]} if verdict and record.headlines else None,
            card_names=cards,
            before=pages[place - 1] if place else None,
            after=pages[place + 1] if place + 1 < len(pages) else None,
            facts=facts,
        )
    )
    write_whole(target, page)


def told_figure(notebook: Any) -> Any:
    """The plotly figure that stands for a notebook: the last before its first headline, else its first; None without one."""
    bundles = [output["data"] for cell in notebook["cells"] for output in cell.get("outputs", []) if "data" in output]
    told = next((place for place, data in enumerate(bundles) if HEADLINE in data), 0)
    before = [data[PLOTLY] for data in bundles[:told] if PLOTLY in data]
    return before[-1] if before else next((data[PLOTLY] for data in bundles if PLOTLY in data), None)


def after_claim(body: str) -> tuple[str, str]:
    """The page's first piece of text, with the claim, and the rest: between them stands the verdict of a method page."""
    end = body.find("</section>") + len("</section>")
    return (body[:end], body[end:]) if body.lstrip().startswith('<section class="cell text">') else ("", body)


def render_body(notebook: Any, folder: Path, *, stop_at: int = 0, cards: Sequence[str] = ()) -> tuple[str, int]:
    """The cells as HTML by nbconvert, and the number of figures; cells after a failure were never run and are left out."""
    import nbformat
    from nbconvert import HTMLExporter

    cells, figures, number = [], 0, 0
    for cell in notebook["cells"]:
        tags = cell.get("metadata", {}).get("tags", [])
        if "papermill-error-cell-tag" in tags:
            continue
        cell = nbformat.from_dict({**cell})
        if cell["cell_type"] == "code":
            number += is_counted(cell)
            shown, found = tidy(cell.get("outputs", []), cards)
            cell["outputs"] = nbformat.from_dict(shown)
            figures += found
        cells.append(cell)
        if stop_at and number >= stop_at:
            cell["metadata"]["is_failed"] = True
            break
    copy = nbformat.from_dict({**notebook, "cells": cells})
    # Embedding parses each piece of HTML on its own, which closes a <details> before its content: only where there is an image to embed.
    has_images = any("![" in "".join(cell["source"]) or "<img" in "".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    exporter = HTMLExporter(template_name="notebook", extra_template_basedirs=[str(TEMPLATES)], anchor_link_text="", embed_images=has_images)
    exporter.mathjax_url = exporter.require_js_url = exporter.mermaid_js_url = exporter.jquery_url = ""
    body, _ = exporter.from_notebook_node(copy, resources={"metadata": {"path": str(folder)}})
    return ANCHOR.sub("", body), figures


def relink(body: str, pages: Sequence[str], source: Path, target: Path, cards: Sequence[str] = ()) -> str:
    """Links beside the notebook's `source` folder as links from the page's folder `target`: notebooks and cards with a page become that page."""

    def renamed(link: re.Match[str]) -> str:
        path, part = link[1], link[2] or ""
        if path.endswith(".ipynb") and path.removesuffix(".ipynb") in pages:
            return f'<a href="{path.removesuffix(".ipynb")}.html{part}"'
        if Path(path).parent.name == "data_cards" and Path(path).stem in cards:
            return f'<a href="cards/{Path(path).stem}.html{part}"'
        if not (source / path).exists():
            return link[0]
        return f'<a href="{Path(os.path.relpath(source / path, target)).as_posix()}{part}"'

    return LINK.sub(renamed, body)


def contents_of(body: str) -> list[dict[str, Any]]:
    """The headings below the title, for the contents at the side."""
    found = [(int(level), name, unescape(re.sub(r"<[^>]+>", "", text))) for level, name, text in HEADING.findall(body)]
    return [{"level": level, "id": unescape(name), "text": text.strip()} for level, name, text in found if level > 1]


@cache
def environment() -> Any:
    """Jinja with escaping on: only the body that nbconvert made goes in as it is."""
    from jinja2 import Environment, FileSystemLoader

    from workbench.figures.cells import unbroken
    from workbench.report.progress import clock, in_words

    made = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"clock": clock, "in_words": in_words, "scores": page_table, "unbroken": unbroken}
    return made


def write_assets(folder: Path) -> None:
    """The files all pages share, once: style, script, plotly's script, the colours of code."""
    import plotly
    from pygments.formatters import HtmlFormatter

    folder.mkdir(parents=True, exist_ok=True)
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    target = folder / "plotly.min.js"
    if not target.exists() or target.stat().st_size != script.stat().st_size:
        write_whole(target, script.read_text(encoding="utf-8"))
    light = HtmlFormatter(style="xcode").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(':root[data-theme="dark"] .highlight')
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    write_whole(folder / "style.css", style.replace("/* code colours */", f"{light}\n@media screen {{\n{dark}\n}}"))  # paper is always light
    write_whole(folder / "page.js", (TEMPLATES / "page.js").read_text(encoding="utf-8"))
