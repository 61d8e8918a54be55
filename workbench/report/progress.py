"""What the terminal shows while a report is made: one block that rewrites itself, or one line per event where nobody can see it rewrite."""

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from workbench.report.record import PageRecord

COLORS = {"done": "32", "failed": "31", "running": "1", "waiting": "2", "skipped": "33"}
BAR = 28


def clock(seconds: float) -> str:
    """`0:21`, `12:05`, `1:02:05`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def in_words(seconds: float) -> str:
    """`21 s`, `6 min 12 s`."""
    return f"{seconds:.0f} s" if seconds < 59.5 else f"{int(seconds + 0.5) // 60} min {int(seconds + 0.5) % 60} s"


class Progress:
    """Writes the lines of a report's making; `live` rewrites the block of pages in place."""

    def __init__(self, pages: Sequence[PageRecord], *, stream: TextIO | None = None, quiet: bool = False) -> None:
        self.pages, self.stream, self.quiet = pages, stream or sys.stdout, quiet
        is_terminal = hasattr(self.stream, "isatty") and self.stream.isatty()
        self.live = is_terminal and not os.environ.get("CI") and os.environ.get("TERM") != "dumb" and not quiet
        self.colored = self.live and not os.environ.get("NO_COLOR")
        self.started = time.monotonic()
        self._drawn, self._page_started, self._painted = 0, self.started, 0.0

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
        self._page_started = time.monotonic()
        if not self.live:
            self._line(f"  running  {page.name}")
        self.draw()

    def ends(self, page: PageRecord) -> None:
        """A notebook has ended, or an earlier page is kept."""
        if not self.live:
            self._line(self._row(page))
        self.draw()

    def tick(self) -> None:
        """Time passes: the block is drawn again, at most twice a second."""
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
            told, passed = (f"cell {page.cell} of {page.cells}" if page.cells else "kernel starts"), clock(time.monotonic() - self._page_started)
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
        ended = [page for page in self.pages if page.status in ("done", "failed", "skipped")]
        whole = len(self.pages)
        part = BAR * len(ended) // whole
        bar = "━" * part + ("╸" if part < BAR else "") + "─" * (BAR - part - 1)
        made = [page.seconds for page in ended if not page.is_kept]
        left = f" · about {in_words(sum(made) / len(made) * (whole - len(ended)))} left" if len(made) > 1 and len(ended) < whole else ""
        safe = "   (Ctrl-C is safe: run it again to go on)" if len(ended) < whole else ""
        return f"  {bar}  {len(ended)} of {whole} · {clock(time.monotonic() - self.started)} passed{left}{safe}"

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
