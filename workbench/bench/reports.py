"""What a notebook costs beside its plain script, and how much sooner two workers make a report than one.

print(say_overhead(notebook_overhead(notebook_folder() / "00_start_here.ipynb")))
print(say_gain(worker_gain("quick")))

The plain script is the notebook's code cells, one after the other, run by `python`. The notebook is a page of a report: papermill, a kernel, and the
page laid out. They run in turn; what they train lies in the runs folder by then, so that it is the notebook that is measured and not the training.
Workers are compared with an equal share of the machine each (`cores`), every time with an empty runs folder: how much a second worker, like the
first, brings.
"""

import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from workbench.errors import WorkbenchError
from workbench.report import Page, find_report, run_report
from workbench.report.parameters import converted, read_defaults

OVERHEAD, GAIN = 4.0, 1.6
"""The most seconds that a notebook may take beyond its script, and the least that a second worker must gain."""


def plain_script(notebook: Path, parameters: Mapping[str, Any]) -> str:
    """The code cells of a notebook as one script, with values in place of its parameters' defaults."""
    values = {**read_defaults(notebook), **parameters}
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    set_here = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    sources = [set_here if "parameters" in cell["metadata"].get("tags", []) else "".join(cell["source"]) for cell in cells]
    return "\n\n".join(sources) + "\n"


def notebook_overhead(notebook: Path, parameters: Mapping[str, Any] | None = None, *, rounds: int = 3) -> pd.DataFrame:
    """Seconds of a notebook as a report's page, and as a plain script.

    Args:
        notebook: its file.
        parameters: values by name; `runs` is a folder of this measurement.
        rounds: how often each runs, in turn; one more round warms up.

    Returns:
        One row a round: round, script, page [s].

    Raises:
        WorkbenchError: the script or the page failed.
    """
    rows = []
    with TemporaryDirectory(prefix="workbench-") as scratch:
        given = {**(parameters or {}), "runs": str(Path(scratch) / "runs")}
        own = {name: converted(name, value, default) for name, default in read_defaults(notebook).items() if (value := given.get(name)) is not None}
        script = Path(scratch) / "script.py"
        script.write_text(plain_script(notebook, own), encoding="utf-8")
        for number in range(rounds + 1):
            begun = time.perf_counter()
            done = subprocess.run([sys.executable, script], cwd=notebook.parent.parent, capture_output=True, text=True, check=False, env=os.environ)
            if done.returncode:
                raise WorkbenchError(f"the script of {notebook.stem} failed: {done.stderr.strip().splitlines()[-1]}")
            between = time.perf_counter()
            facts = {"notebook_dir": notebook.parent, "out": scratch, "parameters": own, "fresh": True, "quiet": True, "workers": 1}
            result = run_report("overhead", notebooks=[Page(notebook.stem)], **facts)
            if result.exit_code:
                raise WorkbenchError(f"the page of {notebook.stem} failed: {result.pages[0].error['what']}")
            rows += [{"round": number - 1, "script": between - begun, "page": time.perf_counter() - between}] if number else []
    return pd.DataFrame(rows)


def say_overhead(times: pd.DataFrame) -> str:
    """The median of the differences, and their range."""
    over = (times["page"] - times["script"]).tolist()
    script, page = times["script"].median(), times["page"].median()
    spread = f"{min(over):.1f} to {max(over):.1f} s in {len(over)} rounds"
    return f"script {script:.1f} s, page {page:.1f} s: {statistics.median(over):.1f} s more ({spread}; at most {OVERHEAD:.0f} s are allowed)"


def worker_gain(
    name: str, parameters: Mapping[str, Any] | None = None, *, workers: Sequence[int] = (1, 2), cores: int | None = 1,
    notebook_dir: Path | None = None, pages: Sequence[Page] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Seconds of a whole report with several numbers of workers, one after the other.

    Args:
        name: a report of `workbench list reports`.
        parameters: values by name.
        workers: the numbers of workers.
        cores: of each notebook; None: as the report itself would share them.
        notebook_dir, pages: instead of those that the report's file names.

    Returns:
        One row a number of workers: workers, seconds, failed (pages), longest (of the pages) [s].
    """
    if pages is None:
        pages, notebook_dir = find_report(name)[1:3]
    rows = []
    for count in workers:
        with TemporaryDirectory(prefix="workbench-") as scratch:
            given = {**(parameters or {}), "runs": str(Path(scratch) / "runs")}
            facts = {"notebooks": pages, "notebook_dir": notebook_dir, "out": scratch, "parameters": given, "workers": count, "cores": cores}
            result = run_report("gain", stream=io.StringIO(), **facts)
            failed = sum(page.status == "failed" for page in result.pages)
            longest = max(page.seconds for page in result.pages)
            rows.append({"workers": count, "seconds": result.seconds, "failed": failed, "longest": longest})
    return pd.DataFrame(rows)


def say_gain(times: pd.DataFrame) -> str:
    """Each number of workers, and what the last brings beside the first."""
    rows = list(times.itertuples())
    told = [f"{row.workers} worker{'s' if row.workers > 1 else ''} {row.seconds:.0f} s (longest page {row.longest:.0f} s)" for row in rows]
    ratio = times["seconds"].iloc[0] / times["seconds"].iloc[-1]
    return f"{', '.join(told)}: {ratio:.2f} times as fast (at least {GAIN} is wanted)"
