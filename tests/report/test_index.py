"""The index: one table of what the pages found, the first screen, data cards, and how long it takes to write."""

import csv
import io
import re
import time

import mistune
import pytest
from bs4 import BeautifulSoup

from workbench.report.index import finding, is_changed, write_index
from workbench.report.joined import joined
from workbench.report.record import PageRecord

FACTS = {"started": "1 Dec 2026, 08:38", "seconds": 372.0, "is_running": False, "is_stopped": False, "parameters": {"seeds": 3}}
FACTS |= {"versions": {"torch": "2.13"}, "git": "abc", "command": "workbench report x", "command_again": "workbench report x --fresh", "data": []}
CARD = {"name": "opinions", "title": "Simulated <opinions>", "modalities": ["text", "audio"], "sha256": "f" * 64, "path": "opinions.md"}


def cell(text: str, mean: float | None = None, **marks: object) -> dict:
    """A cell, with its number where it has one."""
    return {"text": text, **({"mean": mean, "sd": 0.01, "low": mean - 0.02, "high": mean + 0.02, "n": 5} if mean is not None else {}), **marks}


def table(metric: str, costs: tuple[str, str] | None = None, **scores: float) -> dict:
    """A score table of variants as a headline carries it."""
    rows = [
        [cell(name.replace("_", " ")), cell(f"{value:.3f}".lstrip("0"), value, is_bold=value == max(scores.values()))]
        for name, value in scores.items()
    ]
    rows = [[*row, *({"text": cost} for cost in costs or ())] for row in rows]
    return {"columns": ["variant", f"{metric} ↑ (n = 5)", *(("parameters ↓", "s/epoch ↓") if costs else ())], "rows": rows}


def page(name: str, *tables: dict, sentence: str = "It helps.", **options: object) -> PageRecord:
    """A finished page with a headline a table."""
    found = [{"sentence": f"{sentence[:-1]} ({place}).", "table": one} for place, one in enumerate(tables or (None,))]
    return PageRecord(name, title=f"What is {name}?", status="done", seconds=61.0, headlines=found, key="k" * 64, **options)


FIRST = table("opinions: Acc-2", ("31,204", "0.8"), text_alone=0.8, joint=0.81, joint_and_b=0.9)
SECOND = table("digits: Accuracy", ("45,000", "1.2"), joint=0.97, joint_and_b=0.96, image_alone=0.98)
OTHER = table("opinions: Acc-2", mult=0.7, mldfa=0.8)


def test_tables_of_the_same_variants_stand_side_by_side() -> None:
    one, other = joined([page("01", FIRST, SECOND, cards=[CARD]), page("05", OTHER, cards=[CARD])])
    assert one.cells["columns"] == ["variant", "opinions: Acc-2 ↑ (n = 5)", "digits: Accuracy ↑ (n = 5)", "parameters ↓", "s/epoch ↓"]
    rows = {row[0]["text"]: [found["text"] for found in row[1:]] for row in one.cells["rows"]}
    assert list(rows) == ["text alone", "joint", "joint and b", "image alone"]
    assert rows["joint"] == [".810", ".970", "31,204 to 45,000", "0.8 to 1.2"]
    assert rows["image alone"] == ["-", ".980", "45,000", "1.2"] and rows["text alone"] == [".800", "-", "31,204", "0.8"]
    bold = {row[0]["text"]: [bool(found.get("is_bold")) for found in row[1:3]] for row in one.cells["rows"]}
    assert bold["joint and b"] == [True, False] and bold["image alone"] == [False, True]
    assert [found.name for found in other.pages] == ["05"]


def test_tables_that_share_less_than_half_their_rows_stay_apart() -> None:
    shared = table("digits: Accuracy", joint=0.9, x=0.8, y=0.7)
    assert len(joined([page("a", FIRST), page("b", shared)])) == 2


def test_the_same_measured_twice_is_not_one_table() -> None:
    assert len(joined([page("a", FIRST), page("b", FIRST)])) == 2


def test_blocks_stay_as_they_are() -> None:
    block = {**FIRST, "blocks": [0]}
    assert [one.cells for one in joined([page("a", block), page("b", block)])] == [block, block]


def test_text_alone_is_always_a_row_where_there_is_text() -> None:
    cells = joined([page("05", OTHER, cards=[CARD])])[0].cells
    assert [found["text"] for found in cells["rows"][-1]] == ["text alone", "-"] and "text alone: not trained there." in cells["note"]
    assert len(joined([page("05", OTHER, cards=[{**CARD, "modalities": ["image"]}])])[0].cells["rows"]) == 2


def test_published_rows_stay_below_and_are_linked_to_their_card(tmp_path) -> None:
    printed = [cell("mult in AWF", is_italic=True, source="other features", card="opinions"), cell(".840", is_italic=True)]
    found = {**OTHER, "rows": [*OTHER["rows"], printed]}
    html = write_index(tmp_path, "x", [page("05", found, cards=[CARD])], FACTS).read_text()
    rows = BeautifulSoup(html, "html.parser").select("table.scores tbody tr")
    assert [row.th.get_text(" ") for row in rows] == ["mult", "mldfa", "text alone", "mult in AWF other features"]
    assert rows[-1].em and not rows[-1].strong and rows[-1].a["href"] == "cards/opinions.html"


def test_the_first_screen_tells_the_finding_of_the_first_page_that_ranks() -> None:
    told = [page("00", sentence="Hello."), page("01", FIRST, SECOND, sentence="Found."), page("05", OTHER)]
    assert finding(told) == [(told[1], "Found (0)."), (told[1], "Found (1).")]
    assert finding([told[0]]) == [(told[0], "Hello (0).")] and finding([PageRecord("a")]) == []


def test_pages_say_their_status_first_and_what_changed(tmp_path) -> None:
    kept = page("01", FIRST)
    kept.is_kept = True
    failed = PageRecord("02", title="Two", status="failed", error={"what": "audio has 72 columns <", "cell": 3, "parts": {"do": "check it"}})
    pages = [kept, failed, PageRecord("03", title="Three"), PageRecord("04", title="Four", status="running", cell=2, cells=9)]
    soup = BeautifulSoup(write_index(tmp_path, "x", pages, FACTS).read_text(), "html.parser")
    rows = soup.select("table.pages tbody tr")
    assert [row.td.get_text(" ", strip=True) for row in rows] == ["done 1:01, unchanged", "failed 0:00", "waiting", "running cell 2 of 9"]
    assert [is_changed(found) for found in pages] == ["changed" in row["class"] for row in rows] == [False, True, False, True]
    assert [label.get_text(strip=True) for label in soup.select(".filter label")] == ["all (4)", "failed or skipped (1)", "changed in this run (2)"]
    assert soup.select_one(".alarm").get_text(" ", strip=True).startswith("! 02 failed in cell 3: audio has 72 columns < check it")
    assert [row.select_one(".mark").get_text() for row in rows] == ["01", "02", "03", "04"]


def test_many_failures_do_not_push_the_table_away(tmp_path) -> None:
    pages = [PageRecord(f"{place:02}", status="failed", error={"what": "no", "parts": {}}) for place in range(9)]
    soup = BeautifulSoup(write_index(tmp_path, "x", pages, FACTS).read_text(), "html.parser")
    assert len(soup.select(".alarm")) == 5 and "and 4 more" in soup.get_text()


def test_the_third_table_is_folded(tmp_path) -> None:
    apart = [page(f"{place}", table("accuracy", **{f"a{place}": 0.1, f"b{place}": 0.2})) for place in range(3)]
    sections = BeautifulSoup(write_index(tmp_path, "x", apart, FACTS).read_text(), "html.parser").select("section.scores")
    assert [bool(section.select("details:not(.exports) table")) for section in sections] == [False, False, True]
    assert sections[2].summary.get_text() == "Scores of What is 2?"


def test_data_cards_are_named_once_with_their_pages(tmp_path) -> None:
    html = write_index(tmp_path, "x", [page("01", FIRST, cards=[CARD]), page("05", OTHER, cards=[CARD])], FACTS).read_text()
    line = BeautifulSoup(html, "html.parser").select_one("ul.cards li")
    assert line.a["href"] == "cards/opinions.html" and "Simulated <opinions>" in line.get_text() and "on 01, 05" in line.get_text()
    assert "kkkkkkkkkkkkkkkk" in html and "ffffffffffffffff" in html


def test_the_table_leaves_the_page_in_three_forms(tmp_path) -> None:
    html = write_index(tmp_path, "x", [page("01", FIRST, SECOND)], FACTS).read_text()
    forms = {found["data-file"]: found.pre.get_text() for found in BeautifulSoup(html, "html.parser").select(".exports section")}
    rows = list(csv.DictReader(io.StringIO(forms["table.csv"])))
    joint = next(row for row in rows if row["variant"] == "joint" and row["column"].startswith("digits"))
    assert (float(joint["mean"]), float(joint["low"]), int(joint["n"]), joint["unbeaten"]) == (0.97, pytest.approx(0.95), 5, "0")
    read = BeautifulSoup(mistune.create_markdown(plugins=["table"])(forms["table.md"]), "html.parser")
    assert [found.get_text() for found in read.select("tr")[2].select("th, td")] == ["joint", ".810", ".970", "31,204 to 45,000", "0.8 to 1.2"]
    latex = forms["table.tex"]
    lines = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert latex.startswith(r"\begin{tabular}{lrr") and r"\toprule" in latex and latex.isascii()
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {4} and r"\textbf{.900}" in latex


def test_fifty_pages_are_written_in_a_fifth_of_a_second(tmp_path) -> None:
    svg = f'<svg viewBox="0 0 176 110">{"<path d=" + chr(34) + "M0 0" + "L1 1" * 700 + chr(34) + "/>"}</svg>'
    pages = [page(f"{place:02}", FIRST if place % 2 else OTHER, thumbnail=svg, cards=[CARD]) for place in range(50)]
    write_index(tmp_path, "x", pages, FACTS)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        path = write_index(tmp_path, "x", pages, FACTS)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.2 and path.stat().st_size < 1_000_000
