"""What the terminal shows, with and without somebody at it."""

import io
from pathlib import Path

import pytest

from workbench.report.parameters import command
from workbench.report.progress import Progress, clock, in_words
from workbench.report.record import PageRecord
from workbench.surroundings import first_line, git_revision


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def pages() -> list[PageRecord]:
    """One page done, one failed, one to come."""
    done = PageRecord("00_a", status="done", seconds=21, headlines=[{"sentence": "A is .1 above B.", "table": None}])
    failed = PageRecord("01_b", status="failed", seconds=3, error={"what": "no file", "cell": 4})
    return [done, failed, PageRecord("02_c")]


def test_one_line_per_event_where_nobody_watches(pages: list[PageRecord], tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = Progress(pages, stream=stream)
    progress.opening("workbench 0.1.0", ["opinions made on the spot", "mosi is not here"], tmp_path / "index.html")
    progress.starts(pages[0])
    progress.tick()
    progress.ends(pages[0])
    progress.ends(pages[1])
    progress.closing(tmp_path / "index.html")
    lines = stream.getvalue().splitlines()
    assert "\x1b" not in stream.getvalue()
    assert lines[0] == "workbench 0.1.0"
    assert lines[2:4] == ["[2/3] data         opinions made on the spot", "                   mosi is not here"]
    assert lines[4].startswith("[3/3] notebooks    file:///")
    assert lines[5] == "  running  00_a"
    assert lines[6].split() == ["done", "00_a", "0:21"]
    assert lines[7].split() == ["failed", "01_b", "in", "cell", "4", "0:03"]
    assert lines[8:11] == ["What came out", "  A is .1 above B.", "! 01_b failed in cell 4: no file"]
    assert lines[-1].startswith("Next   read")


def test_a_terminal_sees_one_block_that_rewrites_itself(pages: list[PageRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    progress = Progress(pages, stream=stream)
    pages[2].status, pages[2].cell, pages[2].cells = "running", 7, 20
    progress.starts(pages[2])
    progress.draw()
    text = stream.getvalue()
    assert text.count("\x1b[4F\x1b[J") == 1  # three pages and the bar, drawn twice
    assert "cell 7 of 20" in text and "2 of 3" in text and "about 12 s left" in text
    assert "\x1b[31mfailed\x1b[0m" in text


@pytest.mark.parametrize(("name", "value"), [("CI", "1"), ("TERM", "dumb")])
def test_machines_get_lines(pages: list[PageRecord], monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert not Progress(pages, stream=Terminal()).live


def test_no_color(pages: list[PageRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    Progress(pages, stream=stream).draw()
    assert "\x1b[3" not in stream.getvalue() and "failed" in stream.getvalue()


def test_quiet_says_nothing(pages: list[PageRecord], tmp_path: Path) -> None:
    stream = Terminal()
    progress = Progress(pages, stream=stream, quiet=True)
    progress.opening("x", [], tmp_path / "index.html")
    progress.starts(pages[2])
    progress.closing(tmp_path / "index.html")
    progress.stopped()
    assert stream.getvalue() == ""


def test_a_terminal_without_unicode_gets_question_marks(pages: list[PageRecord], tmp_path: Path) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    Progress(pages, stream=stream).closing(tmp_path / "index.html")
    assert b"Next   read" in raw.getvalue()
    assert b" ? " in raw.getvalue()


def test_stopped(pages: list[PageRecord]) -> None:
    stream = io.StringIO()
    Progress(pages, stream=stream).stopped()
    assert stream.getvalue() == "Stopped. 1 of 3 pages kept; the same command goes on.\n"


def test_times() -> None:
    assert [clock(21), clock(725), clock(3725)] == ["0:21", "12:05", "1:02:05"]
    assert [in_words(21.4), in_words(59.7), in_words(372), in_words(7512)] == ["21 s", "1 min 0 s", "6 min 12 s", "2 h 5 min"]


def test_the_time_left_is_that_of_the_last_time_shared_by_those_at_work() -> None:
    pages = [PageRecord("a", status="done", seconds=30), PageRecord("b"), PageRecord("c"), PageRecord("d", status="done", is_kept=True)]
    expected = {"a": 20.0, "b": 100.0, "c": 60.0}
    progress = Progress(pages, expected=expected, stream=io.StringIO())
    assert progress.seconds_left() == 160
    progress.tick(at_once=2)
    assert progress.seconds_left() == 100, "the longest alone"
    pages[1].status = "running"
    progress.starts(pages[1])
    progress._begun["b"] -= 30
    assert progress.seconds_left() == pytest.approx(70, abs=1)
    assert Progress(pages, expected={"b": 100.0}, stream=io.StringIO()).seconds_left() == 0, "nobody knows how long c takes"
    assert Progress(pages[:1], stream=io.StringIO()).seconds_left() == 0


def test_the_command_makes_the_folder_again() -> None:
    assert command("quick", {"seeds": [0, 1], "dataset": "a b"}) == "workbench report quick -p seeds=0,1 -p 'dataset=a b'"
    assert command("quick", {}, fresh=True) == "workbench report quick --fresh"


def test_surroundings(tmp_path: Path) -> None:
    assert first_line().startswith("workbench 0.1.0 · Python 3.")
    assert git_revision(tmp_path) == ""
