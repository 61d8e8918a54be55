"""Makes a report: checks everything first, has the notebooks executed, writes pages and index as they finish."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from workbench import surroundings
from workbench.errors import ConfigError, WorkbenchError
from workbench.locks import held
from workbench.report.catalogue import Page, found_notebook, notebook_folder, settled
from workbench.report.crew import Crew, Executed, Job, News, crew, say_death, share_of_cores
from workbench.report.files import Found, find_report
from workbench.report.index import write_index
from workbench.report.inputs import page_key
from workbench.report.page import labelled, read_results, title_of, write_assets, write_page
from workbench.report.parameters import command, read_defaults
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


def run_report(
    name: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    out: Path | str = Path("reports"),
    notebooks: Sequence[str | Page] | None = None,
    notebook_dir: Path | str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    gpus: Sequence[str] = (),
    cores: int | None = None,
    fresh: bool = False,
    data: Sequence[str] = (),
    open_page: bool = False,
    quiet: bool = False,
    stream: TextIO | None = None,
) -> ReportResult:
    """Executes a report's notebooks and writes `<out>/<name>/index.html` and a page for each.

    A page whose notebook, parameters, package and data are what they were is kept, unless `fresh`; so the same command goes on after a stop, also
    after kill -9 of this process.

    Args:
        name: a report of `workbench list reports`, the path of a report file, a notebook's name, or any word where `notebooks` is given.
        parameters: values by name, which win over those of the file; text is read as the type of the notebook's default.
        out: the folder that holds reports.
        notebooks: names of notebooks (or pages of them with parameters) instead of a report file's.
        notebook_dir: where they are, instead of `notebook_folder()`.
        workers: notebooks at once, in worker processes of this machine; None: `default_workers`, or one a GPU. One is executed from this process.
        scheduler: address of a dask scheduler whose workers execute, instead of `workers`; they must see the same folders.
        gpus: numbers of this machine's GPUs; each worker takes one.
        cores: that each notebook may use; None: all for one notebook at a time, else an equal share; on a scheduler, its worker's threads
            or `OMP_NUM_THREADS`.
        fresh: run everything again.
        data: a line for each data set at hand or missing; shown.
        open_page: open the index in a browser.
        quiet: write nothing to the terminal.
        stream: where progress is written, instead of standard output.

    Raises:
        ConfigError: unknown report, notebook or parameter, a value that cannot be read, a notebook without its parameters cell, a scheduler that
            does not answer, a GPU that is not there.
        WorkbenchError: the report's folder cannot be written, or another process writes it; what is finished is kept.
    """
    given = {key: _whole_path(value) for key, value in (parameters or {}).items()}
    if notebooks is None:
        found = find_report(name)
    else:
        found = Found(name, [entry if isinstance(entry, Page) else Page(entry) for entry in notebooks], notebook_folder())
    asked, name, folder = name, found.name, Path(notebook_dir).resolve() if notebook_dir else found.folder
    if not name or "/" in name or "\\" in name or name.startswith("."):
        raise ConfigError(f'"{name}" cannot name a report', expected="a plain word: it becomes a folder")
    made, left_out = settled(found.pages, folder, given)
    count = _workers(workers, scheduler, gpus, made)
    making = Making(name, Path(out).resolve() / name, folder, made, fresh=fresh, quiet=quiet, stream=stream)
    making.facts |= {"command": command(asked, given), "command_again": command(asked, given, fresh=True), "parameters": given}
    making.facts |= {"data": [*data, *left_out], "title": found.title, "about": found.about}
    making.share = {"cores": share_of_cores(count, cores) if not scheduler else cores or 0, "gpus": tuple(gpus)}
    with making.folders():
        making.write_index()
        if open_page:
            import webbrowser

            webbrowser.open(making.index.as_uri())
        with crew(count, scheduler or "") as hands:
            return making.run(hands)


def _workers(workers: int | None, scheduler: str | None, gpus: Sequence[str], pages: Sequence[Page]) -> int:
    """How many notebooks at once.

    Raises:
        ConfigError: a number below 1, a GPU that is not there or stands twice, or GPUs of a scheduler's workers.
    """
    if scheduler and (workers or gpus):
        raise ConfigError(
            f"{'--workers' if workers else '--gpus'} and --scheduler", expected="one of them",
            do="start the scheduler's workers as you want them: CUDA_VISIBLE_DEVICES=0 dask worker ADDRESS --nthreads 1",
        )  # fmt: skip
    if workers is not None and workers < 1:
        raise ConfigError(f"{workers} workers", expected="1 or more")
    there = surroundings.gpu_names()
    for number in gpus:
        if gpus.count(number) > 1:
            raise ConfigError(f"--gpus names {number} twice", expected="each GPU once; --workers 4 --gpus 0,1 lets two notebooks share one")
        if not number.isdigit() or int(number) >= len(there):
            known = ", ".join(f"{place} ({name})" for place, name in enumerate(there)) or "none: leave --gpus away"
            raise ConfigError(f"there is no GPU {number} on this machine", expected=f"numbers of {known}")
    return min(workers or len(gpus) or default_workers(), len(pages))


def default_workers() -> int:
    """Notebooks at once where nothing is said: half as many as there are cores, so that each has two; one where dask is not installed."""
    return max(1, surroundings.usable_cores() // 2) if find_spec("distributed") else 1


def _whole_path(value: Any) -> Any:
    """A card's path as it is from any folder: a notebook runs in its own."""
    return str(Path(value).resolve()) if isinstance(value, str) and value.endswith(".md") and Path(value).is_file() else value


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
        self.pages = [self._waiting(page, fresh) for page in pages]
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

    def _waiting(self, page: Page, fresh: bool) -> PageRecord:
        """The record of a page that is to come, or the earlier one where nothing has changed since."""
        source = self.sources[page.name]
        key = page_key(source, {**read_defaults(source), **page.parameters}, source.parent.parent)
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
        if hands.capacity > 1:  # the longest first, so that none is left alone at the end
            waiting.sort(key=lambda page: -self.expected[page.name])
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
