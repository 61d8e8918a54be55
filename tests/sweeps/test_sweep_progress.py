"""What is shown while a sweep runs."""

import io

import pytest

from workbench.sweeps.progress import Progress, clock
from workbench.sweeps.trials import Outcome


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def show(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("workbench.sweeps.progress.time.monotonic", lambda: now[0])
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)

    def make(stream, **options):
        made = Progress(5, 1, metric="m", is_lower_better=False, stream=stream, **options)

        def end(number, setting, outcome, seconds):
            now[0] += seconds
            made.ended(number, setting, outcome)

        return made, end

    return make


def complete(*values):
    return Outcome("complete", {seed: {"m": value} for seed, value in enumerate(values)})


def test_one_line_a_trial_where_nothing_can_be_rewritten(show):
    stream = io.StringIO()
    progress, end = show(stream)
    end(1, {"a": 4}, complete(0.50, 0.54), 10)
    end(2, {"a": 8}, Outcome("failed", error="the loss became nan\n  do this"), 10)
    end(3, {"a": 9}, complete(0.70, 0.74), 40)
    end(3, {"a": 9}, Outcome("stopped"), 40)
    progress.close()
    # One was finished before; 10 s for one: three left take 30 s. Then 20 s for two: two left, 20 s. Then 60 s for three: 20 s.
    assert stream.getvalue().splitlines() == [
        "trial 1  a=4  m .52 ± .03  (2 of 5 · best m .52 ± .03 at a=4 · 0:10 passed · about 0:30 left)",
        "trial 2  a=8  failed  the loss became nan  (3 of 5 · best m .52 ± .03 at a=4 · 0:20 passed · about 0:20 left)",
        "trial 3  a=9  m .72 ± .03  (4 of 5 · best m .72 ± .03 at a=9 · 1:00 passed · about 0:20 left)",
    ]


def test_one_line_that_rewrites_itself_and_never_wraps(show, monkeypatch):
    stream = Terminal()
    progress, end = show(stream, best=({"a": 1}, [0.9]))
    end(1, {"a": 4}, complete(0.5), 3661)
    assert stream.getvalue() == "\r2 of 5 · best m .900 at a=1 · 1:01:01 passed · about 3:03:03 left"
    monkeypatch.setenv("COLUMNS", "20")
    progress.close()
    assert stream.getvalue().split("\r")[-1].rstrip() == "2 of 5 · best m .90"


def test_nothing_where_nothing_is_wanted(show):
    stream = io.StringIO()
    progress, end = show(stream, is_shown=False)
    end(1, {"a": 4}, complete(0.5), 1)
    progress.close()
    assert stream.getvalue() == ""
    assert progress.done == 2


def test_lower_is_better(show):
    progress = Progress(3, 0, metric="m", is_lower_better=True, stream=io.StringIO())
    for number, value in enumerate((0.5, 0.2, 0.9)):
        progress.ended(number, {"a": number}, complete(value))
    assert progress.best == ({"a": 1}, [0.2])
    assert [clock(seconds) for seconds in (5, 65, 3725)] == ["0:05", "1:05", "1:02:05"]
