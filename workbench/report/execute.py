"""Executes one notebook by papermill, in process, and tells of each cell; the main thread stays free to draw and to hear Ctrl-C."""

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines

from workbench.report.page import is_counted

ENGINE = "workbench-report"
OnCell = Callable[[int, int], None]


class Execution:
    """One notebook on its way through papermill.

    Attributes:
        error: what papermill raised that is not an error of a cell (the kernel died, would not start), else None.
        last_words: what the kernel itself wrote on its error stream before such an error (a crash of a library, say).
    """

    def __init__(self, source: Path, target: Path, *, parameters: dict[str, Any], folder: Path, on_cell: OnCell) -> None:
        self.source, self.target, self.parameters, self.folder, self.on_cell = source, target, parameters, folder, on_cell
        self.client: PapermillNotebookClient | None = None
        self.error: BaseException | None = None
        self.is_stopped = False
        self.kernel_log: Path | None = None
        self.last_words = ""
        self._ended = threading.Event()

    def run(self, while_waiting: Callable[[], None]) -> None:
        """Executes in a thread and calls `while_waiting` four times a second; the target is renamed into place when it is whole.

        Raises:
            KeyboardInterrupt: Ctrl-C; the kernel is ended first.
        """
        thread = threading.Thread(target=self._execute, name=f"papermill {self.source.stem}", daemon=True)
        thread.start()
        try:
            # Not thread.join: in Python 3.11 a join that Ctrl-C interrupts takes a running thread for an ended one.
            while not self._ended.wait(0.25):
                while_waiting()
        except KeyboardInterrupt:
            self.stop()
            self._ended.wait(5)
            self._part.unlink(missing_ok=True)
            raise
        if self._part.exists():
            self._part.replace(self.target)
        else:
            self.target.unlink(missing_ok=True)  # the kernel never started: an earlier result is not this one's

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
        process = getattr(getattr(getattr(self.client, "km", None), "provisioner", None), "process", None)
        if process is None or process.poll() is not None:
            return
        if os.name == "posix":
            os.killpg(os.getpgid(process.pid), signal.SIGKILL)
        else:
            process.kill()


class WatchedEngine(Engine):
    """papermill's own engine, which also tells an `Execution` of every cell."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, *, execution: Execution, start_timeout: int = 60, **options: Any) -> Any:
        """Runs the cells in order; stops at the first error."""
        from papermill.log import logger

        cells = sum(is_counted(cell) for cell in nb_man.nb.cells)
        start = nb_man.cell_start

        def cell_start(cell: Any, cell_index: int | None = None, **more: Any) -> None:
            if execution.is_stopped:
                raise RuntimeError("stopped")
            execution.on_cell(sum(is_counted(other) for other in nb_man.nb.cells[: (cell_index or 0) + 1]), cells)
            start(cell, cell_index, **more)

        nb_man.cell_start = cell_start
        kept = {name: value for name, value in options.items() if name in ("config", "iopub_timeout", "resources")}
        execution.client = PapermillNotebookClient(nb_man, kernel_name=kernel_name, startup_timeout=start_timeout, log=logger, timeout=None, **kept)
        with execution.kernel_log.open("wb") as log:  # a kernel writes there of its own ending, in the middle of our progress
            return execution.client.execute(stderr=log)
