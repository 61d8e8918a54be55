"""What people press on the index and on pages, and what the printer gets, in a real browser."""

import csv
import io
import re
import shutil
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.report.index import write_index
from workbench.report.making import ReportResult
from workbench.report.page import write_assets
from workbench.report.picture import QUIET
from workbench.report.record import PageRecord

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")]
FACTS = {"started": "1 Dec 2026", "seconds": 2.0, "is_running": False, "is_stopped": False, "parameters": {}, "versions": {}, "git": "", "data": []}
FACTS |= {"command": "workbench report x", "command_again": "workbench report x --fresh"}


def cell(text: str, mean: float) -> dict:
    """A score."""
    return {"text": text, "mean": mean, "interval": [0.1, 0.5, 0.9]}


SCORES = [("b", ".812 ± .014", 0.812, "1,204"), ("a", ".79 ± .03", 0.79, "31,204"), ("c", ".907 ± .009", 0.907, "-")]
ROWS = [[{"text": name}, cell(text, mean), {"text": cost}] for name, text, mean, cost in SCORES]
ROWS.insert(1, [{"text": "printed", "is_italic": True, "source": "other split"}, {"text": ".999", "is_italic": True}, {"text": "-"}])
TABLE = {"columns": ["variant", "opinions: Acc-2 ↑ (n = 5)", "parameters ↓"], "rows": ROWS}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e .[dev]")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield started
        started.close()


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """An index of four pages that was never run: one kept, one failed, one waiting, one executed."""
    write_assets(tmp_path / "assets")
    kept = PageRecord("01", title="One", status="done", is_kept=True, headlines=[{"sentence": "It helps.", "table": TABLE}])
    failed = PageRecord("02", title="Two", status="failed", error={"what": "no", "parts": {}})
    return write_index(tmp_path, "x", [kept, failed, PageRecord("03", title="Three"), PageRecord("04", title="Four", status="done")], FACTS)


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Opens a page and waits until it is drawn; nothing may go wrong on the way."""
    pages, wrong = [], []

    def open_page(path: Path, **options: Any) -> Any:
        page = browser.new_page(**options)
        pages.append(page)
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else wrong.append(request.url))
        page.set_default_timeout(15_000)
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn=yes]")
        return page

    yield open_page
    for page in pages:
        page.close()
    assert wrong == []


def names(page: Any) -> list[str]:
    """The first words of the table's rows, from above."""
    return [text.split("\n")[0] for text in page.locator("table.scores tbody th").all_inner_texts()]


def test_the_list_shows_all_the_failed_or_the_changed(index: Path, opened: Any) -> None:
    page = opened(index)
    for choice, shown in (("failed", [False, True, False, False]), ("changed", [False, True, False, True]), ("all", [True] * 4)):
        page.check(f"#show-{choice}")
        assert [card.is_visible() for card in page.locator(".card").all()] == shown
    page.check("#show-failed")
    page.reload()
    page.wait_for_selector("html[data-drawn=yes]")
    assert page.is_checked("#show-failed")


def test_a_press_on_a_column_sorts_best_first_and_published_rows_stay_below(index: Path, opened: Any) -> None:
    page = opened(index)
    heads = page.locator("table.scores thead button")
    assert names(page) == ["b", "printed", "a", "c"]
    heads.nth(1).click()
    assert names(page) == ["c", "b", "a", "printed"] and page.locator("th[aria-sort=descending]").count() == 1
    heads.nth(1).press("Enter")
    assert names(page) == ["a", "b", "c", "printed"] and page.locator("th[aria-sort=ascending]").count() == 1
    heads.nth(2).click()
    assert names(page) == ["b", "a", "c", "printed"]  # fewer first; what is not known last
    heads.nth(0).click()
    assert names(page) == ["a", "b", "c", "printed"]


def test_blocks_are_sorted_each_for_itself(tmp_path: Path, opened: Any) -> None:
    rows = []
    for letter in "xy":
        rows += [[{"text": letter}, {"text": ""}], [{"text": f"{letter}1"}, cell(".1", 0.1)], [{"text": f"{letter}2"}, cell(".2", 0.2)]]
    table = {"columns": ["variant", "score ↑"], "rows": rows, "blocks": [0, 3]}
    write_assets(tmp_path / "assets")
    page = opened(write_index(tmp_path, "x", [PageRecord("01", status="done", headlines=[{"sentence": "It.", "table": table}])], FACTS))
    page.locator("table.scores thead button").nth(1).click()
    assert names(page) == ["x", "x2", "x1", "y", "y2", "y1"]


def test_the_table_is_saved_from_its_corner(index: Path, opened: Any) -> None:
    page = opened(index)
    page.click(".exports summary")
    with page.expect_download() as found:
        page.get_by_title("Save table.csv").click()
    assert found.value.suggested_filename == "table.csv"
    rows = list(csv.DictReader(io.StringIO(Path(found.value.path()).read_text())))
    assert (rows[0]["variant"], rows[0]["column"], rows[0]["mean"]) == ("b", "opinions: Acc-2 ↑ (n = 5)", "0.812")
    page.get_by_title("Copy table.tex").click()
    page.get_by_text(re.compile("Copied|Selected: press Ctrl-C")).wait_for()
    assert page.evaluate("String(getSelection())").startswith(r"\begin{tabular}")


def test_a_running_report_comes_anew_but_not_under_open_folds(tmp_path: Path, opened: Any) -> None:
    write_assets(tmp_path / "assets")
    index = write_index(tmp_path, "x", [PageRecord("01", status="running")], FACTS | {"is_running": True})
    text = index.read_text().replace('data-reload="3"', 'data-reload="0.3"')
    index.write_text(text.replace("<details>", "<details open>", 1))
    page = opened(index)
    page.evaluate("window.isOld = true")
    page.locator("#reload", has_text="this page waits").wait_for()
    time.sleep(0.8)
    assert page.evaluate("window.isOld") is True
    with page.expect_event("load"):
        page.evaluate("document.querySelector('details').open = false")


@pytest.mark.parametrize("width", [420, 900, 1400])
def test_the_index_does_not_scroll_sideways(index: Path, opened: Any, width: int) -> None:
    page = opened(index, viewport={"width": width, "height": 900}, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 17, 17)"


def test_the_first_stop_of_the_tab_key_skips_to_the_content_and_focus_is_seen(index: Path, opened: Any) -> None:
    page = opened(index)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    stops = []
    for _ in range(6):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("[document.activeElement.getBoundingClientRect().top, getComputedStyle(document.activeElement).outlineStyle]"))
    assert all(outline == "solid" for _, outline in stops)
    assert [top for top, _ in stops] == sorted(top for top, _ in stops)


def test_the_printed_page_has_every_figure_and_no_navigation(whole: tuple[ReportResult, str], opened: Any, tmp_path: Path) -> None:
    page = opened(whole[0].index.parent / "00_good.html", color_scheme="dark", viewport={"width": 1200, "height": 900})
    page.evaluate(
        """() => { window.seen = {}; addEventListener("beforeprint", () => { window.seen = {
        widths: [...document.querySelectorAll(".plot .main-svg")].map((svg) => svg.getBoundingClientRect().width),
        shut: document.querySelectorAll("details:not([open]):not(.exports)").length }; }); }"""
    )
    page.pdf(path=str(tmp_path / "page.pdf"), prefer_css_page_size=True)
    seen = page.evaluate("window.seen")
    assert seen["shut"] == 0 and seen["widths"] and all(width <= 660 for width in seen["widths"])
    page.emulate_media(media="print")
    shown = {what: page.locator(what).first.is_visible() for what in (".contents", ".turn", "#theme", ".exports", "figure", "table.scores")}
    assert shown == {".contents": False, ".turn": False, "#theme": False, ".exports": False, "figure": True, "table.scores": True}
    assert page.evaluate("getComputedStyle(document.querySelector('figure')).breakInside") == "avoid"
    assert page.evaluate("getComputedStyle(document.querySelector('a[href^=http]'), '::after').content") == '" (https://example.org/paper)"'
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    whole_page = strokes((tmp_path / "page.pdf").read_bytes())
    for place in range(page.locator("figure").count()):
        page.evaluate(
            "place => { for (const [at, one] of [...document.querySelectorAll('figure')].entries()) one.style.opacity = at === place ? 0 : 1; }",
            place,
        )
        assert whole_page - strokes(page.pdf(prefer_css_page_size=True)) > 5, f"figure {place} is not on paper"


def strokes(pdf: bytes) -> int:
    """Straight and bent lines in a PDF's unpacked content."""
    count = 0
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            content = zlib.decompress(stream)
        except zlib.error:
            continue
        count += content.count(b" l\n") + content.count(b" c\n")
    return count
