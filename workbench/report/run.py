"""Makes a report: checks everything first, executes the notebooks one after the other, writes pages and index as they finish."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from workbench import surroundings
from workbench.errors import WorkbenchError
from workbench.report.catalogue import Page, find_notebooks, find_pages
from workbench.report.index import write_index
from workbench.report.page import labelled, read_results, title_of, write_assets, write_page
from workbench.report.parameters import command, parameters_for
from workbench.report.progress import Progress
from workbench.report.record import PageRecord, page_key


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
    fresh: bool = False,
    data: Sequence[str] = (),
    open_page: bool = False,
    quiet: bool = False,
    stream: TextIO | None = None,
) -> ReportResult:
    """Executes a report's notebooks and writes `<out>/<name>/index.html` and a page for each.

    A page whose notebook, parameters, package and data are what they were is kept, unless `fresh`; so the same command goes on after a stop.

    Args:
        name: a report of the catalogue, or any word where `notebooks` is given.
        parameters: values by name; text is read as the type of the notebook's default.
        out: the folder that holds reports.
        notebooks: names of notebooks (or pages of them with parameters) instead of the catalogue's.
        notebook_dir: where they are, instead of `notebook_folder()`.
        fresh: run everything again.
        data: a line for each data set at hand or missing; shown, and part of what decides whether a page is kept.
        open_page: open the index in a browser.
        quiet: write nothing to the terminal.
        stream: where progress is written, instead of standard output.

    Raises:
        ConfigError: unknown report, notebook or parameter, a value that cannot be read, a notebook without its parameters cell.
        WorkbenchError: the report's folder cannot be written.
    """
    given = {key: _whole_path(value) for key, value in (parameters or {}).items()}
    pages, left_out = find_pages(name, notebooks, given)
    sources = find_notebooks(name, pages, Path(notebook_dir) if notebook_dir else None)
    known = parameters_for(sources, given)
    own = [parameters_for([source], page.parameters)[source.stem] for page, source in zip(pages, sources, strict=True)]
    plan = [(page, source, {**fixed, **known[source.stem]}) for page, source, fixed in zip(pages, sources, own, strict=True)]
    told = (*data, *left_out)
    making = Making(name, Path(out).resolve() / name, plan, given, told, fresh=fresh, quiet=quiet, stream=stream)
    if open_page:
        import webbrowser

        webbrowser.open(making.index.as_uri())
    return making.run()


def _whole_path(value: Any) -> Any:
    """A card's path as it is from any folder: a notebook runs in its own."""
    return str(Path(value).resolve()) if isinstance(value, str) and value.endswith(".md") and Path(value).is_file() else value


class Making:
    """One report on its way: the folder, the records of its pages, and who is told."""

    def __init__(
        self,
        name: str,
        folder: Path,
        plan: list[tuple[Page, Path, dict[str, Any]]],
        given: dict[str, Any],
        data: tuple[str, ...],
        *,
        fresh: bool,
        quiet: bool,
        stream: TextIO | None,
    ) -> None:
        self.name, self.folder, self.index = name, folder, folder / "index.html"
        self.sources = [source for _, source, _ in plan]
        self.started, self.start = time.monotonic(), datetime.now()
        self.is_running, self.is_stopped = True, False
        self.pages = [self._waiting(page, source, parameters, data, fresh) for page, source, parameters in plan]
        again = command(name, given, fresh=True)
        self.facts = {"command": command(name, given), "command_again": again, "parameters": given, "data": list(data)}
        self.facts |= {
            "versions": surroundings.versions(),
            "git": surroundings.git_revision(self.sources[0].parent),
            "started": f"{self.start:%-d %b %Y, %H:%M}",
        }
        self.progress = Progress(self.pages, stream=stream, quiet=quiet)
        self._make_folders()
        self._write_index()

    def _make_folders(self) -> None:
        """The folders and the shared files.

        Raises:
            WorkbenchError: they cannot be written.
        """
        try:
            for part in ("notebooks", "pages"):
                (self.folder / part).mkdir(parents=True, exist_ok=True)
            write_assets(self.folder / "assets")
        except OSError as error:
            do = "give another folder, or make room in this one"
            raise WorkbenchError(
                f"the report cannot be written: {error.strerror or error}", where=str(self.folder), expected="a folder that can be written", do=do
            ) from error

    def _waiting(self, page: Page, source: Path, parameters: dict[str, Any], data: tuple[str, ...], fresh: bool) -> PageRecord:
        """The record of a page that is to come, or the earlier one where nothing has changed since."""
        key = page_key(source, parameters, data)
        old = None if fresh else PageRecord.load(self.folder / "pages" / f"{page.name}.json")
        if old and old.status == "done" and old.key == key and self._executed(page.name).exists():
            old.is_kept = True
            return old
        title = labelled(title_of(json.loads(source.read_text(encoding="utf-8")), source.stem), page.label)
        return PageRecord(page.name, title=title, label=page.label, key=key, parameters=parameters)

    def run(self) -> ReportResult:
        """Executes what is to be executed; Ctrl-C keeps what is finished."""
        self.progress.opening(surroundings.first_line(), self.facts["data"], self.index)
        try:
            for source, page in zip(self.sources, self.pages, strict=True):
                self._make_page(source, page)
        except KeyboardInterrupt:
            self.is_stopped = True
            for page in self.pages:
                page.status = "waiting" if page.status == "running" else page.status
        self.is_running = False
        self._write_index()
        if self.is_stopped:
            self.progress.stopped()
        else:
            self.progress.closing(self.index)
        return ReportResult(self.name, self.index, tuple(self.pages), time.monotonic() - self.started, self.is_stopped)

    def _make_page(self, source: Path, page: PageRecord) -> None:
        """One notebook: executed (or kept), laid out, told of."""
        if not page.is_kept:
            self._execute(source, page)
        notebook = self._read(page, source)
        self._lay_out(notebook, page, source)
        page.save(self.folder / "pages")
        self._write_index()
        self.progress.ends(page)

    def _lay_out(self, notebook: Any, page: PageRecord, source: Path) -> None:
        """Writes the page; a notebook that cannot be laid out is a failed page like any other, never the end of the report."""
        target, facts = self.folder / f"{page.name}.html", {**self.facts, "source": source.name}
        about = {"report": self.name, "pages": self.pages, "folder": source.parent, "facts": facts}
        try:
            write_page(notebook, page, target, **about)
        except Exception as error:
            page.status, page.error = "failed", say_death(error, page)
            write_page({**notebook, "cells": []}, page, target, **about)

    def _execute(self, source: Path, page: PageRecord) -> None:
        """Runs the notebook and fills its record."""
        from workbench.report.execute import Execution

        page.status, begun = "running", time.monotonic()
        self._write_index()
        self.progress.starts(page)

        def on_cell(cell: int, cells: int) -> None:
            page.cell, page.cells = cell, cells

        execution = Execution(source, self._executed(page.name), parameters=page.parameters, folder=source.parent.parent, on_cell=on_cell)
        execution.run(self._while_waiting)
        page.seconds, page.finished = time.monotonic() - begun, f"{datetime.now():%-d %b %Y, %H:%M}"
        read_results(self._read(page, source), page)
        if execution.error is not None and not page.error:
            page.status, page.error = "failed", say_death(execution.error, page, execution.last_words)

    def _while_waiting(self) -> None:
        """Redraws the terminal, and the index every three seconds."""
        self.progress.tick()
        if time.monotonic() - self._indexed > 3:
            self._write_index()

    def _executed(self, name: str) -> Path:
        return self.folder / "notebooks" / f"{name}.ipynb"

    def _read(self, page: PageRecord, source: Path) -> Any:
        """The executed notebook, or its source where the kernel never started."""
        import nbformat

        path = self._executed(page.name)
        return nbformat.read(path if path.exists() else source, as_version=4)

    def _write_index(self) -> None:
        """The index as things stand."""
        facts = {**self.facts, "seconds": time.monotonic() - self.started, "is_running": self.is_running, "is_stopped": self.is_stopped}
        write_index(self.folder, self.name, self.pages, facts)
        self._indexed = time.monotonic()


def say_death(error: BaseException, page: PageRecord, last_words: str = "") -> dict[str, Any]:
    """Why a notebook ended without an error of its own: its kernel died or never started."""
    import traceback

    died = type(error).__name__ == "DeadKernelError"
    what = (
        "the kernel died (often: no memory left)" if died else f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    )
    trace = "".join(traceback.format_exception(error)) + (f"\nThe kernel's last words:\n{last_words}" if last_words.strip() else "")
    return {"what": what, "parts": {}, "kind": type(error).__name__, "cell": page.cell, "traceback": trace}
