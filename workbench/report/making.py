"""One report on its way: notebooks are handed to a crew, and pages and index are written as they come back."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from workbench import surroundings
from workbench.errors import WorkbenchError
from workbench.locks import held
from workbench.report.catalogue import Page, found_notebook
from workbench.report.crew import Crew, Executed, Job, News, say_death
from workbench.report.index import write_index
from workbench.report.inputs import code_hash, page_key
from workbench.report.page import labelled, read_results, title_of, write_assets, write_page
from workbench.report.parameters import read_defaults
from workbench.report.progress import Progress
from workbench.report.record import PageRecord
from workbench.storage import cannot_write

POLL_SECONDS = 0.25
INDEX_SECONDS = 3.0


@dataclass(frozen=True)
class ReportResult:
    """What a report came to: its `index`, its `pages`, whether Ctrl-C ended it."""

    name: str
    index: Path
    pages: tuple[PageRecord, ...]
    seconds: float
    is_stopped: bool = False

    @property
    def exit_code(self) -> int:
        """0: every notebook ran (or its data is missing); 1: one failed; 130: stopped by Ctrl-C."""
        if self.is_stopped:
            return 130
        return int(any(page.status == "failed" for page in self.pages))

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        about = {
            "report": self.name,
            "index": str(self.index),
            "seconds": round(self.seconds, 1),
            "stopped": self.is_stopped,
            "exit_code": self.exit_code,
        }
        return about | {"pages": [asdict(page) for page in self.pages]}


class Making:
    """One report on its way: the folder, the records of its pages, and who is told.

    Attributes:
        facts: what index and pages say of the report's making.
        share: what of the machine each notebook gets: `cores`, `gpus`.
    """

    def __init__(self, name: str, folder: Path, notebooks: Path, pages: Sequence[Page], *, fresh: bool, quiet: bool, stream: TextIO | None) -> None:
        self.name, self.folder, self.index = name, folder, folder / "index.html"
        self.sources = {page.name: found_notebook(notebooks, page.notebook) for page in pages}
        self.plan = {page.name: page for page in pages}
        self.started, self.share = time.monotonic(), {}
        self.is_running, self.is_stopped = True, False
        self.expected: dict[str, float] = {}
        code = code_hash()
        self.pages = [self._waiting(page, code, fresh) for page in pages]
        self.facts: dict[str, Any] = {
            "versions": surroundings.versions(),
            "git": surroundings.git_revision(notebooks),
            "started": f"{datetime.now():%-d %b %Y, %H:%M}",
        }
        self.progress = Progress(self.pages, expected=self.expected, stream=stream, quiet=quiet)

    @contextmanager
    def folders(self) -> Iterator[None]:
        """Makes the folders and the shared files, and holds them: one report at a time.

        Raises:
            WorkbenchError: they cannot be written (at once, or later: a full disk), or another process writes them.
        """
        try:
            for part in ("notebooks", "pages"):
                (self.folder / part).mkdir(parents=True, exist_ok=True)
            busy = WorkbenchError(
                f"another process makes the report {self.name}", where=str(self.folder), expected="one at a time for a folder",
                do="wait for it, or write elsewhere: --out FOLDER",
            )  # fmt: skip
            with held(self.folder / ".lock", busy):
                for left in [*self.folder.glob(".*.part"), *self.folder.glob("*/.*.part*")]:
                    left.unlink()  # of a process that was killed
                write_assets(self.folder / "assets")
                yield
        except OSError as error:
            kept = "Finished pages are kept; the same command goes on."
            raise cannot_write(self.folder, error, saving=f"the report {self.name}", kept=kept, elsewhere="write elsewhere: --out FOLDER") from error

    def _waiting(self, page: Page, code: str, fresh: bool) -> PageRecord:
        """The record of a page that is to come, or the earlier one where nothing has changed since."""
        source = self.sources[page.name]
        key = page_key(source, {**read_defaults(source), **page.parameters}, source.parent.parent, code=code)
        old = PageRecord.load(self.folder / "pages" / f"{page.name}.json")
        self.expected[page.name] = old.seconds if old and old.status == "done" else page.about_seconds
        if old and not fresh and old.status == "done" and old.key == key and self._executed(page.name).exists():
            old.is_kept = True
            return old
        title = labelled(title_of(json.loads(source.read_text(encoding="utf-8")), source.stem), page.label)
        return PageRecord(page.name, title=title, label=page.label, key=key, parameters=dict(page.parameters))

    def run(self, hands: Crew) -> ReportResult:
        """Has executed what is to be executed; Ctrl-C keeps what is finished."""
        self.progress.opening(surroundings.first_line(), self.facts["data"], self.index)
        try:
            self._work(hands)
        except KeyboardInterrupt:
            self._stop()
        except BaseException:
            with suppress(OSError):  # a full disk may be why it ends
                self._stop()
            raise
        finally:
            hands.stop()
        if self.is_stopped:
            self.progress.stopped()
        else:
            self.is_running = False
            self.write_index()
            self.progress.closing(self.index)
        return ReportResult(self.name, self.index, tuple(self.pages), time.monotonic() - self.started, self.is_stopped)

    def _stop(self) -> None:
        """The index of a report that goes on another time."""
        self.is_running, self.is_stopped = False, True
        for page in self.pages:
            page.status = "waiting" if page.status == "running" else page.status
        self.write_index()

    def _work(self, hands: Crew) -> None:
        """Hands notebooks out and lays out those that come back; kept pages are laid out (their neighbours may be new) while others are executed."""
        waiting = [page for page in self.pages if not page.is_kept]
        if hands.capacity > 1:  # after the first, which people open first, the longest, so that none is left alone at the end
            waiting[1:] = sorted(waiting[1:], key=lambda page: -self.expected[page.name])
        kept = [page for page in self.pages if page.is_kept]
        running: dict[str, PageRecord] = {}
        while waiting or running or kept:
            while waiting and len(running) < hands.capacity:
                page = waiting.pop(0)
                running[page.name] = page
                hands.submit(self._job(page))
            for news in hands.poll(0 if kept else POLL_SECONDS):
                self._hear(news, running)
            if kept:
                self._finish(kept.pop(0))
            self._while_waiting(hands)

    def _job(self, page: PageRecord) -> Job:
        source, plan = self.sources[page.name], self.plan[page.name]
        paths = {"source": str(source), "target": str(self._executed(page.name)), "folder": str(source.parent.parent)}
        return Job(page.name, **paths, parameters=page.parameters, minutes=plan.minutes, memory_gb=plan.memory_gb, **self.share)

    def _hear(self, news: News, running: dict[str, PageRecord]) -> None:
        """Takes up what is told of a page."""
        page = running.get(news.name)
        if page is None:
            return
        if news.kind == "cell":
            page.cell, page.cells = news.content
        elif news.kind == "begun":
            page.status, page.cell, page.cells = "running", 0, 0
            self.progress.starts(page)
            self.write_index()
        else:
            del running[news.name]
            self._end(page, news.content)

    def _end(self, page: PageRecord, executed: Executed | WorkbenchError) -> None:
        """A notebook was executed: its record is filled, its page laid out.

        Raises:
            WorkbenchError: it was not, and the others cannot be, either.
        """
        if isinstance(executed, WorkbenchError):
            raise executed
        page.seconds, page.finished = executed.seconds, f"{datetime.now():%-d %b %Y, %H:%M}"
        read_results(self._read(page), page)
        if executed.error and not page.error:
            page.status, page.error = "failed", {"parts": {}, "kind": "", "traceback": "", "cell": page.cell, **executed.error}
        self._finish(page)

    def _finish(self, page: PageRecord) -> None:
        """Lays a page out, keeps its record, and tells of it."""
        self._lay_out(self._read(page), page)
        page.save(self.folder / "pages")
        self.write_index()
        self.progress.ends(page)

    def _lay_out(self, notebook: Any, page: PageRecord) -> None:
        """Writes the page; a notebook that cannot be laid out is a failed page like any other, never the end of the report."""
        source = self.sources[page.name]
        target, facts = self.folder / f"{page.name}.html", {**self.facts, "source": source.name}
        about = {"report": self.name, "pages": self.pages, "folder": source.parent, "facts": facts}
        try:
            write_page(notebook, page, target, **about)
        except OSError:
            raise
        except Exception as error:
            page.status, page.error = "failed", {"parts": {}, "cell": page.cell, **say_death(error)}
            write_page({**notebook, "cells": []}, page, target, **about)

    def _while_waiting(self, hands: Crew) -> None:
        """Redraws the terminal, and the index every three seconds."""
        self.progress.tick(hands.capacity)
        if time.monotonic() - self._indexed > INDEX_SECONDS:
            self.write_index()

    def _executed(self, name: str) -> Path:
        return self.folder / "notebooks" / f"{name}.ipynb"

    def _read(self, page: PageRecord) -> Any:
        """The executed notebook, or its source where the kernel never started."""
        import nbformat

        path = self._executed(page.name)
        return nbformat.read(path if path.exists() else self.sources[page.name], as_version=4)

    def write_index(self) -> None:
        """The index as things stand."""
        facts = {**self.facts, "seconds": time.monotonic() - self.started, "is_running": self.is_running, "is_stopped": self.is_stopped}
        facts["seconds_left"] = self.progress.seconds_left() if self.is_running else 0.0
        write_index(self.folder, self.name, self.pages, facts)
        self._indexed = time.monotonic()
