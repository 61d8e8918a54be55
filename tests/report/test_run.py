"""A report from notebooks to pages: what runs, what is kept, what a failure leaves."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from workbench.errors import ConfigError, WorkbenchError
from workbench.report.inputs import page_key
from workbench.report.making import ReportResult
from workbench.report.record import PageRecord
from workbench.report.run import run_report


def page(result: ReportResult, name: str) -> str:
    """A page's text."""
    return (result.index.parent / f"{name}.html").read_text(encoding="utf-8")


def test_a_failing_notebook_does_not_stop_the_rest(whole: tuple[ReportResult, str]) -> None:
    result, _ = whole
    assert [found.status for found in result.pages] == ["done", "failed", "skipped"]
    assert result.exit_code == 1
    assert result.as_dict()["pages"][1]["error"]["cell"] == 3
    assert json.dumps(result.as_dict())


def test_the_failure_is_the_first_thing_on_its_page(whole: tuple[ReportResult, str]) -> None:
    text = page(whole[0], "01_bad")
    failure = text.index("Failed in cell 3")
    assert failure < text.index("audio has 72 columns, the card says &lt;73&gt;") < text.index("(n, 73)") < text.index("workbench data check x")
    assert (
        text.index("workbench data check x")
        < text.index("<summary>Traceback</summary>")
        < text.index("before 3")
        < text.index("stopped in this cell")
    )
    assert "DataError" in text and "papermill-error" not in text and "&#39;after&#39;" not in text and "'after'" not in text


def test_missing_data_is_no_failure(whole: tuple[ReportResult, str]) -> None:
    assert "Skipped: data is missing" in page(whole[0], "02_missing") and "workbench data fetch mosi" in page(whole[0], "02_missing")


def test_the_index_tells_all_on_its_first_screen(whole: tuple[ReportResult, str]) -> None:
    text = whole[0].index.read_text(encoding="utf-8")
    order = [
        "1 page done · 1 failed · 1 skipped",
        "Text .800\u00a0±\u00a0.010 &lt;b&gt;",
        "! 01_bad failed in cell 3:",
        "accuracy ↑",
        "<h2>Pages</h2>",
        "The <",
        "seeds",
    ]
    places = [text.find(words) for words in order[:5]]
    assert -1 not in places and places == sorted(places)
    assert "The puzzle</a>" in text
    assert 'http-equiv="refresh"' not in text
    assert "workbench report trial -p seeds=3" in text and '<th scope="row">torch</th>' in text


def test_the_terminal_tells_the_same(whole: tuple[ReportResult, str]) -> None:
    lines = whole[1].splitlines()
    assert "  Text .800 ± .010 <b> (n = 3)." in lines
    assert "! 01_bad failed in cell 3: audio has 72 columns, the card says <73>" in lines
    assert "- 02_missing skipped in cell 2: mosi is not here" in lines


def test_parameters_reach_the_notebook(whole: tuple[ReportResult, str]) -> None:
    assert "before 3" in page(whole[0], "01_bad")
    assert whole[0].pages[0].parameters == {"seeds": 3}


def test_a_card_is_found_from_where_it_was_named(make_notebook, tmp_path, monkeypatch) -> None:
    """A notebook runs in its own folder; `-p dataset=my/card.md` is a path of the person who asked."""
    make_notebook("01_card", "# Card", "from pathlib import Path\nassert Path(dataset).read_text() == 'a card'", parameters='dataset = "x"')
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "card.md").write_text("a card")
    monkeypatch.chdir(tmp_path)
    made = run_report("x", notebooks=["01_card"], notebook_dir=tmp_path / "notebooks", parameters={"dataset": "my/card.md"}, out=tmp_path, quiet=True)
    assert made.exit_code == 0


class Links(HTMLParser):
    """Everything a page asks for by itself, and whether its elements close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.asked += [found[name] for name in ("src", "data") if found.get(name)]
        self.asked += [found["href"]] if tag == "link" else []


def test_pages_ask_for_nothing_outside_their_folder(whole: tuple[ReportResult, str]) -> None:
    folder = whole[0].index.parent
    for name in ("00_good", "01_bad", "index"):
        for asked in Links(page(whole[0], name)).asked:
            assert asked.startswith("data:") or (folder / asked).is_file(), asked
    assert sorted(path.name for path in (folder / "assets").iterdir()) == ["page.js", "plotly.min.js", "style.css"]


def test_pages_are_small_folded_and_escaped(whole: tuple[ReportResult, str]) -> None:
    text = page(whole[0], "00_good")
    assert len(text.encode()) < 1_000_000
    assert text.count('<div class="plot"') == 2 and text.count("<svg") >= 1
    assert '<details class="code"><summary>code</summary>' in text
    assert "&lt;i&gt;printed&lt;/i&gt;" in text and "<i>printed" not in text
    assert '<a href="#Look">Look</a>' in text and 'id="Look"' in text
    assert 'rel="next" href="01_bad.html"' in text
    assert "<summary>parameters given</summary>" in text
    assert "<details><summary>Answer</summary>Less.</details>" in text


def test_every_figure_has_a_caption_and_is_named(whole: tuple[ReportResult, str]) -> None:
    text = page(whole[0], "00_good")
    assert text.count("<figure>") == text.count("<figcaption>") == 3
    assert len(re.findall(r'<div aria-label="[^"]+" class="picture" role="img"', text)) == 3
    assert whole[0].pages[0].figures == 3


def test_records_are_small_and_whole(whole: tuple[ReportResult, str]) -> None:
    record = PageRecord.load(whole[0].index.parent / "pages" / "00_good.json")
    assert record.sentences == ["Text .800 ± .010 <b> (n = 3)."]
    assert record.headlines[0]["table"]["columns"] == ["variant", "accuracy ↑ (n = 3)"]
    assert not list(whole[0].index.parent.rglob("*.part*"))


def test_what_has_not_changed_is_kept(make_notebook: Callable, report: Callable) -> None:
    make_notebook("a", "# A", "import time; print(time.time_ns())")
    first = report("a")
    executed = (first.index.parent / "notebooks" / "a.ipynb").read_text()
    again = report("a")
    assert again.pages[0].is_kept and (first.index.parent / "notebooks" / "a.ipynb").read_text() == executed
    assert "unchanged" in again.index.read_text()
    assert report("a", data=["mosi is here now, and this page does not ask for it"]).pages[0].is_kept
    for options in ({"fresh": True}, {"parameters": {"seeds": 9}}):
        assert not report("a", **options).pages[0].is_kept


def test_the_key_follows_the_source_and_nothing_else(make_notebook: Callable, tmp_path: Path) -> None:
    make_notebook("a", "# A", "1")
    before = page_key(tmp_path / "notebooks" / "a.ipynb", {}, tmp_path)
    make_notebook("a", "# A", "1")
    assert page_key(tmp_path / "notebooks" / "a.ipynb", {}, tmp_path) == before
    make_notebook("a", "# A", "2")
    assert page_key(tmp_path / "notebooks" / "a.ipynb", {}, tmp_path) != before


def test_an_unknown_parameter_stops_before_anything_is_written(make_notebook: Callable, report: Callable, tmp_path: Path) -> None:
    make_notebook("a", "# A", "1")
    with pytest.raises(ConfigError, match='unknown parameter "sedes"'):
        report("a", parameters={"sedes": 1})
    assert not (tmp_path / "reports").exists()


def test_a_notebook_without_the_tag_stops_before_anything_is_written(make_notebook: Callable, report: Callable, tmp_path: Path) -> None:
    make_notebook("a", "# A", "1")
    path = tmp_path / "notebooks" / "a.ipynb"
    path.write_text(path.read_text().replace('"parameters"', '"other"'))
    with pytest.raises(ConfigError, match="a has no cell tagged `parameters`"):
        report("a")
    assert not (tmp_path / "reports").exists()


def test_a_folder_that_cannot_be_written_is_an_error(make_notebook: Callable, report: Callable, tmp_path: Path) -> None:
    make_notebook("a", "# A", "1")
    (tmp_path / "reports").write_text("a file where the folder should be")
    with pytest.raises(WorkbenchError, match="could not write"):
        report("a")


def test_a_kernel_that_dies_is_a_failed_page(make_notebook: Callable, report: Callable) -> None:
    make_notebook("a", "# A", "print('alive', flush=True)", "import os; os._exit(1)")
    make_notebook("b", "# B", "1")
    result = report("a", "b")
    assert [found.status for found in result.pages] == ["failed", "done"]
    assert "the kernel died" in page(result, "a") and "alive" in page(result, "a")


def test_what_a_kernel_mutters_stays_out_of_the_progress(make_notebook: Callable, report: Callable, capfd: pytest.CaptureFixture[str]) -> None:
    make_notebook("a", "# A", "import sys; print('muttered', file=sys.__stderr__, flush=True)")
    assert report("a").exit_code == 0
    assert capfd.readouterr().err == ""


def test_a_notebook_that_cannot_be_laid_out_is_a_failed_page(make_notebook: Callable, report: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    import workbench.report.page as pages

    def broken(*given: object) -> None:
        raise ValueError("odd output")

    make_notebook("a", "# A", "1")
    monkeypatch.setattr(pages, "tidy", broken)
    result = report("a")
    assert result.exit_code == 1 and "ValueError: odd output" in page(result, "a")


def test_the_index_is_there_while_notebooks_run(make_notebook: Callable, report: Callable, tmp_path: Path) -> None:
    index = tmp_path / "reports" / "trial" / "index.html"
    copy = f"import pathlib\nprint(pathlib.Path({str(index)!r}).read_text())"
    make_notebook("a", "# A", copy)
    make_notebook("b", "# B", "1")
    report("a", "b")
    executed = json.loads((tmp_path / "reports" / "trial" / "notebooks" / "a.ipynb").read_text())
    seen = "".join(executed["cells"][-1]["outputs"][0]["text"])
    assert 'http-equiv="refresh"' in seen and "1 page running · 1 waiting" in seen
    assert re.search(r'card waiting".*?<h3>B</h3>', seen, re.DOTALL)


def test_notebooks_run_beside_their_folder(make_notebook: Callable, report: Callable, tmp_path: Path) -> None:
    make_notebook("a", "# A", "import pathlib; print(pathlib.Path.cwd())")
    assert str(tmp_path.resolve()) in page(report("a"), "a")


def is_running(process: int) -> bool:
    """True while there is such a process that has not ended."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_ctrl_c_keeps_finished_pages_and_the_same_command_goes_on(make_notebook: Callable, report: Callable, tmp_path: Path) -> None:
    make_notebook("a", "# A", "1")
    make_notebook(
        "b",
        "# B",
        f"import os, pathlib, time\npathlib.Path({str(tmp_path / 'reached')!r}).write_text(str(os.getpid()))\ntime.sleep(seconds)",
        parameters="seconds = 60",
    )
    pressed = []

    def press() -> None:
        while not ((tmp_path / "reached").exists() and (tmp_path / "reached").read_text()):
            time.sleep(0.05)
        pressed.append(time.monotonic())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # as the keyboard does it: it ends a wait in the kernel

    threading.Thread(target=press, daemon=True).start()
    stream = io.StringIO()
    result = report("a", "b", stream=stream)
    assert time.monotonic() - pressed[0] < 5
    assert not is_running(int((tmp_path / "reached").read_text()))
    assert (result.exit_code, [found.status for found in result.pages]) == (130, ["done", "waiting"])
    assert "Stopped. 1 of 2 pages kept; the same command goes on." in stream.getvalue()
    assert "stopped: the same command goes on" in result.index.read_text() and 'http-equiv="refresh"' not in result.index.read_text()
    assert not list(tmp_path.rglob("*.part*"))
    make_notebook("b", "# B", "2", parameters="seconds = 0")
    again = report("a", "b")
    assert [found.is_kept for found in again.pages] == [True, False] and again.exit_code == 0


def test_headline_is_light() -> None:
    code = "import sys; from workbench.report import headline; sys.exit(bool({'papermill', 'nbconvert', 'pandas', 'plotly'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_folded_answers_stay_folded(make_notebook: Callable, report: Callable) -> None:
    make_notebook("00_answers", "# Answers", "## Try it\n\n<details><summary>Answers</summary>\n\n1. one\n2. two\n\n</details>\n\nNext.")
    page = (report("00_answers").index.parent / "00_answers.html").read_text()
    answers = page.index("<summary>Answers</summary>")
    assert answers < page.index("<li>two") < page.index("</details>", answers)
