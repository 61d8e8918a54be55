"""Executes one notebook by papermill, in process, tells of each cell, and ends a notebook that takes too long or too much memory."""

import json
import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines

from workbench.report.page import is_counted

ENGINE = "workbench-report"
OnCell = Callable[[int, int], None]
LOOK_SECONDS = 0.25
"""How often a running notebook is looked at."""


class Execution:
    """One notebook on its way through papermill.

    Args:
        source, target: the notebook, and where the executed one is put, whole.
        parameters: values by name.
        folder: the kernel's working folder.
        on_cell: called with the number of each cell that starts, and how many there are.
        minutes, memory_gb: what it may take before it is ended; memory is counted with all processes that the kernel started.
        environment: of the kernel, beside this process's own.

    Attributes:
        error: what papermill raised that is not an error of a cell (the kernel died, would not start), else None.
        last_words: what the kernel itself wrote on its error stream before such an error (a crash of a library, say).
        over: the limit that it broke, in words: what, expected, do; empty where it broke none.
    """

    def __init__(
        self,
        source: Path,
        target: Path,
        *,
        parameters: dict[str, Any],
        folder: Path,
        on_cell: OnCell,
        minutes: float,
        memory_gb: float,
        environment: Mapping[str, str],
    ) -> None:
        self.source, self.target, self.parameters, self.folder, self.on_cell = source, target, parameters, folder, on_cell
        self.minutes, self.memory_gb, self.environment = minutes, memory_gb, environment
        self.client: PapermillNotebookClient | None = None
        self.error: BaseException | None = None
        self.is_stopped = False
        self.kernel_log: Path | None = None
        self.last_words = ""
        self.over: dict[str, str] = {}
        self._ended = threading.Event()

    def run(self, while_waiting: Callable[[], None]) -> None:
        """Executes in a thread and calls `while_waiting` four times a second; the target is renamed into place when it is whole.

        Raises:
            KeyboardInterrupt: `while_waiting` raised it; the kernel is ended first.
        """
        thread = threading.Thread(target=self._execute, name=f"papermill {self.source.stem}", daemon=True)
        begun = time.monotonic()
        thread.start()
        try:
            # Not thread.join: in Python 3.11 a join that Ctrl-C interrupts takes a running thread for an ended one.
            while not self._ended.wait(LOOK_SECONDS):
                self._hold_limits(time.monotonic() - begun)
                while_waiting()
        except KeyboardInterrupt:
            self.stop()
            self._ended.wait(5)
            self._part.unlink(missing_ok=True)
            raise
        if is_whole(self._part):
            self._part.replace(self.target)
        else:
            self._part.unlink(missing_ok=True)
            self.target.unlink(missing_ok=True)  # the kernel never started, or the disk is full: an earlier result is not this one's

    def _hold_limits(self, passed: float) -> None:
        """Ends the kernel where it takes more than it may."""
        if self.over:
            return
        taken = self._memory()
        if passed > self.minutes * 60:
            what, expected = f"the notebook was ended after {self.minutes:g} min", f"at most {self.minutes:g} min"
            self.over = {"what": what, "expected": expected, "do": "give it more in the report file (minutes:), or smaller parameters (-p)"}
        elif taken > self.memory_gb * 1e9:
            what, expected = f"the notebook took {taken / 1e9:.1f} GB of memory and was ended", f"at most {self.memory_gb:.3g} GB"
            self.over = {"what": what, "expected": expected, "do": "give it more in the report file (memory_gb:), or smaller parameters (-p)"}
        if self.over:
            self.stop()

    def _memory(self) -> int:
        """What the kernel and all that it started hold [bytes]."""
        import psutil

        process = self._kernel()
        if process is None:
            return 0
        try:
            kernel = psutil.Process(process.pid)
            family = [kernel, *kernel.children(recursive=True)]
        except psutil.Error:
            return 0
        held = 0
        for member in family:
            try:
                held += member.memory_info().rss
            except psutil.Error:
                continue  # it has just ended
        return held

    def _kernel(self) -> Any:
        """The kernel's process while it runs, else None."""
        process = getattr(getattr(getattr(self.client, "km", None), "provisioner", None), "process", None)
        return process if process is not None and process.poll() is None else None

    @property
    def _part(self) -> Path:
        return self.target.with_name(f".{self.target.stem}.{os.getpid()}.part.ipynb")  # papermill warns of other endings

    def _execute(self) -> None:
        """The thread: whatever happens, the main thread hears of its end."""
        try:
            self._run_papermill()
        except Exception as error:  # before papermill had a word: no room for its sockets, say
            self.error = error
        finally:
            self._ended.set()

    def _run_papermill(self) -> None:
        """Executes; an error of a cell is in the executed notebook, any other becomes `error`."""
        import papermill
        from jupyter_core.utils import ensure_event_loop
        from traitlets.config import Config

        if ENGINE not in papermill_engines._engines:
            papermill_engines.register(ENGINE, WatchedEngine)
        self._part.unlink(missing_ok=True)
        sockets = tempfile.mkdtemp(prefix="workbench-kernel-")
        self.kernel_log = Path(sockets) / "kernel.log"
        # Each kernel has its own sockets: the default name is one for all kernels of a folder, and two reports at once would hear each other.
        connection = {"transport": "ipc", "ip": str(Path(sockets) / "kernel")} if os.name == "posix" else {"transport": "tcp"}
        settings = {"config": Config({"KernelManager": {**connection, "shutdown_wait_time": 1.0}}), "iopub_timeout": 60}
        # The kernel's folder goes by resources: papermill's own `cwd` would move this whole process.
        settings |= {"resources": {"metadata": {"path": str(self.folder)}}, "execution": self}
        try:
            papermill.execute_notebook(
                str(self.source),
                str(self._part),
                parameters=self.parameters,
                engine_name=ENGINE,
                kernel_name="python3",
                progress_bar=False,
                **settings,
            )
        except papermill.PapermillExecutionError:
            pass  # the executed notebook holds it
        except Exception as error:
            self.error = error
            self.last_words = self.kernel_log.read_text(errors="replace")[-4000:] if self.kernel_log.exists() else ""
        finally:
            shutil.rmtree(sockets, ignore_errors=True)
            ensure_event_loop().close()  # nbclient made it for this thread and leaves it open

    def stop(self) -> None:
        """Ends the kernel at once, and what it started."""
        self.is_stopped = True
        process = self._kernel()
        if process is None:
            return
        if os.name == "posix":
            os.killpg(os.getpgid(process.pid), signal.SIGKILL)
        else:
            process.kill()


def is_whole(notebook: Path) -> bool:
    """True for a notebook that was written to its end: a full disk breaks it off."""
    try:
        return bool(json.loads(notebook.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return False


def silent() -> logging.Logger:
    """A logger that says nothing: what befalls a kernel is told on its page, not in the middle of our progress."""
    logger = logging.getLogger("workbench.report.kernels")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger


class WatchedEngine(Engine):
    """papermill's own engine, which also tells an `Execution` of every cell."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, *, execution: Execution, start_timeout: int = 60, **options: Any) -> Any:
        """Runs the cells in order; stops at the first error."""
        cells = sum(is_counted(cell) for cell in nb_man.nb.cells)
        start = nb_man.cell_start

        def cell_start(cell: Any, cell_index: int | None = None, **more: Any) -> None:
            if execution.is_stopped:
                raise RuntimeError("stopped")
            execution.on_cell(sum(is_counted(other) for other in nb_man.nb.cells[: (cell_index or 0) + 1]), cells)
            start(cell, cell_index, **more)

        nb_man.cell_start = cell_start
        kept = {name: value for name, value in options.items() if name in ("config", "iopub_timeout", "resources")}
        execution.client = PapermillNotebookClient(nb_man, kernel_name=kernel_name, startup_timeout=start_timeout, log=silent(), timeout=None, **kept)
        with execution.kernel_log.open("wb") as log:  # a kernel writes there of its own ending, in the middle of our progress
            return execution.client.execute(stderr=log, env={**os.environ, **execution.environment})
