"""A page: the verdict of a method page, its data cards, tables and figures; written from a notebook that was never run."""

import json
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from workbench.figures.cells import TABLE
from workbench.report.cards import cards_of
from workbench.report.headline import HEADLINE
from workbench.report.outputs import LARGE, PLOTLY
from workbench.report.page import read_results, write_page
from workbench.report.record import PageRecord

FACTS = {"command": "workbench report x", "source": "05_method.ipynb"}
ROWS = [[{"text": name}, {"text": f"{value}".lstrip("0"), "mean": value}] for name, value in (("mine", 0.9), ("text alone", 0.8))]
CELLS = {"columns": ["variant", "accuracy ↑ (n = 3)"], "rows": ROWS}
FIGURE = {"data": [{"type": "scatter", "x": [1, 2], "y": [1, 2]}], "layout": {"meta": {"caption": "It rises.", "alt": "It rises."}}}


def shows(data: dict, **metadata: object) -> object:
    """A code cell with one output."""
    return new_code_cell("1", outputs=[new_output("display_data", data=data)], metadata=metadata)


def laid_out(folder: Path, *cells: object, name: str = "05_method") -> tuple[PageRecord, BeautifulSoup]:
    """The record and the page of a notebook with these cells."""
    notebook, record = new_notebook(cells=list(cells)), PageRecord(name)
    read_results(notebook, record)
    write_page(notebook, record, folder / f"{name}.html", report="x", pages=[record], folder=folder, facts=FACTS)
    return record, BeautifulSoup((folder / f"{name}.html").read_text(), "html.parser")


METHOD = (
    new_markdown_cell("# Does it help?\n\n**The claim**: it lifts."),
    new_code_cell("seeds = 3", metadata={"tags": ["parameters"]}),
    new_markdown_cell("## The picture that explains"),
    shows({PLOTLY: FIGURE}),
    new_markdown_cell("## What was found"),
    shows({HEADLINE: {"sentence": "It does: +.100.", "table": CELLS}}),
)


def test_a_method_page_says_claim_verdict_and_scores_before_the_pictures(tmp_path: Path) -> None:
    _, page = laid_out(tmp_path, *METHOD)
    text = page.main.get_text(" ")
    places = [text.index(words) for words in ("The claim", "It does: +.100.", "text alone", "The picture that explains", "What was found")]
    assert places == sorted(places)
    assert page.select_one(".verdict a")["href"] == "#What-was-found" and page.select_one("#What-was-found")


def test_a_lesson_keeps_its_finding_for_its_end(tmp_path: Path) -> None:
    cells = [new_markdown_cell("## And so?") if "What was found" in cell.source else cell for cell in METHOD]
    assert not laid_out(tmp_path, *cells)[1].select(".verdict")


def test_every_table_leaves_the_page(tmp_path: Path) -> None:
    _, page = laid_out(tmp_path, shows({TABLE: CELLS, "text/html": "<table></table>"}))
    assert len(page.select("table.scores")) == 1 and [found["data-file"] for found in page.select(".exports section")] == [
        "table.csv",
        "table.tex",
        "table.md",
    ]
    assert [cell.get("data-value") for cell in page.select("tbody td")] == ["0.9", "0.8"]


def test_a_figure_stands_still_where_no_script_runs(tmp_path: Path) -> None:
    record, page = laid_out(tmp_path, *METHOD)
    (picture,) = page.select("figure noscript svg.still")
    assert picture.select("path") and page.select_one("figcaption").get_text() == "It rises."
    assert record.thumbnail.startswith("<svg") and "<path" in record.thumbnail


def test_a_large_figure_is_compressed(tmp_path: Path) -> None:
    many = {"data": [{"type": "heatmap", "z": [[1] * 300] * 300, "text": [["word by word"] * 300] * 300}], "layout": {}}
    assert len(json.dumps(many)) > 10 * LARGE
    laid_out(tmp_path, shows({PLOTLY: many}))
    assert (tmp_path / "05_method.html").stat().st_size < 2 * LARGE


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        ([("dataset = 'opinions/starved'\nruns = 'runs'", "parameters")], ["opinions"]),
        ([("datasets = ['opinions/starved', 'digits', 'mosi_csd']", "parameters")], ["opinions", "digits"]),
        ([("dataset = 'opinions/starved'", "parameters"), ("dataset = 'digits'", "injected-parameters")], ["digits"]),
        ([("dataset = 'no_such_data'\nmethod = 'lf_dnn'\nepochs = 3", "parameters")], []),
        ([("dataset = 'digits'", "other")], []),
    ],
)
def test_the_data_of_a_page_are_what_its_parameters_name_and_the_machine_has(cells: list, names: list, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    notebook = new_notebook(cells=[new_code_cell(source, metadata={"tags": [tag]}) for source, tag in cells])
    assert [card["name"] for card in cards_of(notebook)] == names


def test_a_card_goes_with_the_folder(tmp_path: Path) -> None:
    text = "# A\n\n[its card](../data_cards/opinions.md), [another](../data_cards/mosi.md)"
    cells = [new_markdown_cell(text), new_code_cell("dataset = 'opinions'", metadata={"tags": ["parameters"]})]
    record, method = laid_out(tmp_path, *cells)
    assert [link["href"] for link in method.select(".text a")] == ["cards/opinions.html", "../data_cards/mosi.md"]
    page = BeautifulSoup((tmp_path / "cards" / "opinions.html").read_text(), "html.parser")
    assert record.cards[0]["title"] == page.h1.get_text() and "licence:" in page.select("pre")[-1].get_text()
    asked = [tag.get("href") or tag.get("src") for tag in page.select("head link[rel=stylesheet], head script")]
    assert asked == ["../assets/style.css", "../assets/page.js"] and page.select_one("nav a")["href"] == "../index.html"
    assert not re.search(r"https?://[^\"]+\"", str(page.head))


def test_a_published_row_is_linked_to_the_card_it_stands_in(tmp_path: Path) -> None:
    printed = [{"text": "mult in AWF", "is_italic": True, "source": "other text", "card": "opinions"}, {"text": ".8", "is_italic": True}]
    cells = [new_code_cell("dataset = 'opinions'", metadata={"tags": ["parameters"]}), shows({TABLE: {**CELLS, "rows": [*CELLS["rows"], printed]}})]
    _, page = laid_out(tmp_path, *cells)
    assert page.select_one("tr.fixed a")["href"] == "cards/opinions.html"
