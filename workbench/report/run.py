"""Makes a report: checks everything first, then has the notebooks executed (`workbench.report.making`)."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from workbench import surroundings
from workbench.errors import ConfigError
from workbench.report.catalogue import Page, notebook_folder, settled
from workbench.report.crew import crew, share_of_cores
from workbench.report.files import Found, find_report
from workbench.report.making import Making, ReportResult
from workbench.report.parameters import command


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
    """Notebooks at once where nothing is said: two, or half as many as there are cores; one where there is one core, or no dask."""
    cores = surroundings.usable_cores()
    return min(cores, max(2, cores // 2)) if find_spec("distributed") else 1


def _whole_path(value: Any) -> Any:
    """A card's path as it is from any folder: a notebook runs in its own."""
    return str(Path(value).resolve()) if isinstance(value, str) and value.endswith(".md") and Path(value).is_file() else value
