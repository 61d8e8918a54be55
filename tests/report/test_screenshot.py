"""The pages in a real browser, from file://: every figure drawn, no console error, no request to anywhere else."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.report.making import ReportResult
from workbench.report.picture import QUIET

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e .[dev]")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield started
        started.close()


def opened(browser: Any, path: Path, **options: Any) -> tuple[Any, list[str]]:
    """A page, drawn, and everything that went wrong on the way."""
    page, wrong = browser.new_page(**options), []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else wrong.append(request.url))
    page.set_default_timeout(15_000)
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-drawn=yes]")
    return page, wrong


def keep(page: Any, name: str) -> None:
    """A picture for people, where WORKBENCH_SCREENSHOTS names a folder."""
    if os.environ.get("WORKBENCH_SCREENSHOTS"):
        page.screenshot(path=str(Path(os.environ["WORKBENCH_SCREENSHOTS"]) / f"{name}.png"), full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [420, 900, 1400])
def test_every_figure_is_drawn(browser: Any, whole: tuple[ReportResult, str], scheme: str, width: int) -> None:
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    page, wrong = opened(browser, whole[0].index.parent / "00_good.html", **options)
    page.wait_for_function("[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.scatterlayer .trace'))")
    keep(page, f"page_{scheme}_{width}")
    assert page.locator(".plot").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
    assert page.locator("figure svg").filter(has_text="accuracy").count() >= 2
    assert wrong == []
    page.close()


def test_the_theme_turns_figures_round_and_modalities_keep_their_hue(browser: Any, whole: tuple[ReportResult, str]) -> None:
    page, wrong = opened(browser, whole[0].index.parent / "00_good.html", color_scheme="light")
    plot = "document.querySelector('.plot')"
    look = f"[getComputedStyle(document.body).backgroundColor, {plot}.layout.paper_bgcolor, {plot}.data[1].line.color]"
    page.wait_for_function("document.querySelector('.plot').layout")
    assert page.evaluate(look) == ["rgb(255, 255, 255)", "#FFFFFF", "#0072B2"]
    page.click("#theme")
    assert page.evaluate(look) == ["rgb(17, 17, 17)", "#111111", "#0072B2"]
    assert wrong == []
    page.close()


def test_code_opens_at_a_press(browser: Any, whole: tuple[ReportResult, str]) -> None:
    page, _ = opened(browser, whole[0].index.parent / "00_good.html")
    assert not page.locator("details.code .highlight").first.is_visible()
    page.click("#codes")
    assert page.locator("details.code .highlight").first.is_visible()
    page.close()


def test_paper_is_light_with_folds_opened(browser: Any, whole: tuple[ReportResult, str]) -> None:
    page, wrong = opened(browser, whole[0].index.parent / "00_good.html", color_scheme="dark", viewport={"width": 700, "height": 900})
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function("document.querySelector('.plot').layout.paper_bgcolor === '#FFFFFF'")
    keep(page, "print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("details.code .highlight").first.is_visible()
    assert not page.locator("#theme").is_visible()
    assert wrong == []
    page.close()


@pytest.mark.parametrize("name", ["index", "01_bad", "02_missing"])
def test_other_pages_open_without_a_complaint(browser: Any, whole: tuple[ReportResult, str], name: str) -> None:
    page, wrong = opened(browser, whole[0].index.parent / f"{name}.html", viewport={"width": 900, "height": 700})
    keep(page, name)
    assert wrong == []
    if name != "index":
        assert page.locator(".failure").bounding_box()["y"] < 200  # the first thing seen
    page.close()


def test_a_page_without_scripts_shows_its_figures_still(browser: Any, whole: tuple[ReportResult, str]) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto((whole[0].index.parent / "00_good.html").as_uri())
    assert page.locator("noscript > .note").is_visible()
    stills = page.locator("figure .still").all()
    assert len(stills) == 2 and all(still.is_visible() and still.bounding_box()["width"] > 400 for still in stills)
    assert not page.locator(".plot").first.is_visible()
    assert page.locator("figcaption").first.is_visible()
    page.close()


def test_a_script_that_came_with_an_output_does_not_run(browser: Any, whole: tuple[ReportResult, str], tmp_path: Path) -> None:
    folder = shutil.copytree(whole[0].index.parent, tmp_path / "trial")
    path = folder / "00_good.html"
    path.write_text(path.read_text().replace("<footer>", "<script>document.title = 'taken'</script><footer>"))
    page, wrong = opened(browser, path)
    assert page.title() != "taken" and any("Content Security Policy" in message for message in wrong)
    page.close()
