"""What the terminal shows while a report is made: one block that rewrites itself, or one line per event where nobody can see it rewrite."""

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from workbench.report.record import PageRecord

COLORS = {"done": "32", "failed": "31", "running": "1", "waiting": "2", "skipped": "33"}
ENDED = ("done", "failed", "skipped")
BAR = 28


def clock(seconds: float) -> str:
    """`0:21`, `12:05`, `1:02:05`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def in_words(seconds: float) -> str:
    """`21 s`, `6 min 12 s`, `2 h 5 min`."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Progress:
    """Writes the lines of a report's making; `live` rewrites the block of pages in place.

    Args:
        pages: their records, which change while notebooks are executed.
        expected: name to seconds that a page is expected to take; 0 where nobody knows.
        stream: where it is written, instead of standard output.
        quiet: write nothing.
    """

    def __init__(
        self, pages: Sequence[PageRecord], *, expected: Mapping[str, float] | None = None, stream: TextIO | None = None, quiet: bool = False
    ) -> None:
        self.pages, self.expected, self.stream, self.quiet = pages, expected or {}, stream or sys.stdout, quiet
        is_terminal = hasattr(self.stream, "isatty") and self.stream.isatty()
        self.live = is_terminal and not os.environ.get("CI") and os.environ.get("TERM") != "dumb" and not quiet
        self.colored = self.live and not os.environ.get("NO_COLOR")
        self.started = time.monotonic()
        self._drawn, self._painted, self._at_once = 0, 0.0, 1
        self._begun: dict[str, float] = {}

    def opening(self, first_line: str, data: Sequence[str], index: Path) -> None:
        """Versions and device, the three steps, and where the pages will be."""
        self._line(first_line)
        self._line(f"[1/3] environment  {sys.prefix}")
        for place, line in enumerate(data or ["each notebook says what it uses"]):
            self._line(f"{'[2/3] data' if not place else '':<19}{line}")
        self._line(f"[3/3] notebooks    {index.resolve().as_uri()}   already readable, fills up as pages finish")
        self.draw()

    def starts(self, page: PageRecord) -> None:
        """A notebook starts."""
        self._begun[page.name] = time.monotonic()
        if not self.live:
            self._line(f"  running  {page.name}")
        self.draw()

    def ends(self, page: PageRecord) -> None:
        """A notebook has ended, or an earlier page is kept."""
        if not self.live:
            self._line(self._row(page))
        self.draw()

    def tick(self, at_once: int = 1) -> None:
        """Time passes, and so many notebooks are executed at once: the block is drawn again, at most twice a second."""
        self._at_once = at_once
        if self.live and time.monotonic() - self._painted > 0.45:
            self.draw()

    def stopped(self) -> None:
        """Ctrl-C."""
        self.draw()
        kept = sum(page.status == "done" for page in self.pages)
        self._line(f"Stopped. {kept} of {len(self.pages)} pages kept; the same command goes on.")

    def closing(self, index: Path) -> None:
        """What came out, failures, what to do next: always the last lines."""
        self.draw()
        lines = ["What came out"]
        width = max(60, self._width() - 4)
        for page in self.pages:
            lines += textwrap.wrap(" ".join(page.sentences), width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
        lines += [] if len(lines) > 1 else ["  no notebook gave a headline"]
        for page in self.pages:
            if page.status in ("failed", "skipped"):
                where = f" in cell {page.error['cell']}" if page.error.get("cell") else ""
                lines.append(f"{'!' if page.status == 'failed' else '-'} {page.name} {page.status}{where}: {page.error.get('what', '')}")
        for line in lines:
            self._line(line)
        self._line(f"Next   read  {_short(index)}   ·   live  make lab   ·   own data  workbench data check my_card.md")

    def draw(self) -> None:
        """The block of pages and its bar, over the block drawn before."""
        if not self.live:
            return
        rows = [self._row(page) for page in self.pages] + [self._bar()]
        width = self._width()
        back = f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""
        self._write(back + "\n".join(self._painted_row(row, width) for row in rows) + "\n")
        self._drawn, self._painted = len(rows), time.monotonic()

    def _row(self, page: PageRecord) -> str:
        """`  running  01_modality_imbalance      cell 7 of 20   1:12`."""
        told, passed = "", clock(page.seconds)
        if page.status == "running":
            told, passed = (f"cell {page.cell} of {page.cells}" if page.cells else "kernel starts"), clock(self._passed(page))
        elif page.status == "waiting":
            passed = ""
        elif page.error.get("cell"):
            told = f"in cell {page.error['cell']}"
        elif page.is_kept:
            told = "unchanged, kept"
        return f"  {page.status:<8} {page.name:<30} {told:<18} {passed:>7}".rstrip()

    def _painted_row(self, row: str, width: int) -> str:
        """The row cut to the terminal's width; its state word coloured."""
        row = row[: width - 1]
        word = row.split()[0] if row.split() else ""
        return row.replace(word, f"\x1b[{COLORS[word]}m{word}\x1b[0m", 1) if self.colored and word in COLORS else row

    def _bar(self) -> str:
        """The bar, how many, time passed, and after the second page about how long it still takes."""
        ended = [page for page in self.pages if page.status in ENDED]
        whole = len(self.pages)
        part = BAR * len(ended) // whole
        bar = "━" * part + ("╸" if part < BAR else "") + "─" * (BAR - part - 1)
        seconds = self.seconds_left()
        left = f" · about {in_words(seconds)} left" if seconds else ""
        safe = "   (Ctrl-C is safe: run it again to go on)" if len(ended) < whole else ""
        return f"  {bar}  {len(ended)} of {whole} · {clock(time.monotonic() - self.started)} passed{left}{safe}"

    def seconds_left(self) -> float:
        """How long it still takes, from what each page took before (else from those that have ended); 0 where that cannot be said."""
        made = [page.seconds for page in self.pages if page.status in ENDED and not page.is_kept]
        usual = sum(made) / len(made) if len(made) > 1 else 0.0
        ahead = []
        for page in self.pages:
            if page.status not in ENDED and not page.is_kept:
                expected = self.expected.get(page.name) or usual
                if not expected:
                    return 0.0
                ahead.append(max(expected - self._passed(page), 1.0))
        return max(max(ahead), sum(ahead) / min(len(ahead), max(self._at_once, 1))) if ahead else 0.0

    def _passed(self, page: PageRecord) -> float:
        """Seconds since a page's notebook was begun."""
        return time.monotonic() - self._begun.get(page.name, time.monotonic()) if page.status == "running" else 0.0

    def _width(self) -> int:
        return shutil.get_terminal_size((120, 24)).columns if self.live else 120

    def _line(self, text: str) -> None:
        """One line below what is drawn; the next block starts anew under it."""
        if not self.quiet:
            self._drawn = 0
            self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        self.stream.write(text.encode(encoding, "replace").decode(encoding))
        self.stream.flush()


def _short(path: Path) -> str:
    """The path from the current folder where it lies in it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path.resolve())
