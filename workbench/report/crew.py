"""Who executes notebooks: this process, one at a time, or dask workers of this machine or of a scheduler, one each.

Both take jobs and give news of them. A worker writes the executed notebook whole; only the driver writes records, pages and the index.
"""

import os
import queue
import secrets
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from workbench.clusters import KILLS, Places, connected, own_cluster, take
from workbench.errors import WorkbenchError
from workbench.surroundings import usable_cores, usable_memory

MEMORY_SHARE = 0.9
"""Of the machine's memory, what a notebook may take where no limit is given."""


@dataclass(frozen=True)
class Job:
    """One notebook to execute.

    Args:
        name: of its page.
        source, target, folder: the notebook, the executed one, the kernel's working folder; every worker sees them under these paths.
        parameters: values by name.
        minutes, memory_gb: its limits; None: `MEMORY_SHARE` of the machine's memory.
        cores: that it may use; 0: all, and as many processes as it likes.
        gpus: those of the crew; a worker takes one by its number. Empty: whatever it sees.
    """

    name: str
    source: str
    target: str
    folder: str
    parameters: dict[str, Any]
    minutes: float
    memory_gb: float | None
    cores: int = 0
    gpus: tuple[str, ...] = ()

    def environment(self, worker: str = "0") -> dict[str, str]:
        """What the kernel is told of its share of the machine."""
        share = {"OMP_NUM_THREADS": str(self.cores), "WORKBENCH_WORKERS": str(self.cores)} if self.cores else {}
        return share | ({"CUDA_VISIBLE_DEVICES": self.gpus[int(worker) % len(self.gpus)]} if self.gpus and worker.isdigit() else {})


@dataclass(frozen=True)
class Executed:
    """How an execution went: seconds, and where it did not end by itself, why (an error of a cell is in the notebook)."""

    seconds: float
    error: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class News:
    """Something about the page of a name: it was begun, a cell was begun (number, count), or it has ended."""

    name: str
    kind: Literal["begun", "cell", "ended"]
    content: Any = None


class Crew(Protocol):
    """Executes notebooks."""

    @property
    def capacity(self) -> int:
        """How many at once."""

    def submit(self, job: Job) -> None:
        """Takes a job."""

    def poll(self, seconds: float) -> list[News]:
        """All news there are; waits for the first, at most so long."""

    def stop(self) -> None:
        """Ends what runs, and waits for its end a moment."""


class Inbox:
    """News of a crew, from its threads to the driver."""

    def __init__(self) -> None:
        self.queue: queue.Queue[News] = queue.Queue()

    def poll(self, seconds: float) -> list[News]:
        """All news there are; waits for the first, at most so long."""
        return take(self.queue, seconds)


class Here(Inbox):
    """Executes in this process, one notebook at a time."""

    capacity = 1

    def __init__(self) -> None:
        super().__init__()
        self.is_stopping, self.thread = threading.Event(), None

    def submit(self, job: Job) -> None:
        """Starts it in a thread."""
        self.thread = threading.Thread(target=self._work, args=(job,), name=f"page {job.name}", daemon=True)
        self.thread.start()

    def _work(self, job: Job) -> None:
        self.queue.put(News(job.name, "begun"))

        def on_cell(cell: int, cells: int) -> None:
            self.queue.put(News(job.name, "cell", (cell, cells)))

        def is_wanted() -> None:
            if self.is_stopping.is_set():
                raise KeyboardInterrupt

        try:
            executed = execute(job, job.environment(), on_cell, is_wanted)
        except KeyboardInterrupt:
            return
        except Exception as error:
            executed = Executed(0.0, say_death(error))
        self.queue.put(News(job.name, "ended", executed))

    def stop(self) -> None:
        """Ends what runs."""
        self.is_stopping.set()
        deadline = time.monotonic() + 6
        while self.thread is not None and self.thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)


class Workers(Inbox):
    """Executes as dask tasks, one notebook in each worker at a time."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        self.client, self.places, self.futures = client, Places(client), {}
        self.token = secrets.token_hex(4)
        client.subscribe_topic(self.token, lambda event: self.queue.put(News(event[1]["page"], event[1]["kind"], event[1]["content"])))

    @property
    def capacity(self) -> int:
        """As many as there are workers now: some may have come, or gone."""
        return self.places.count()

    def submit(self, job: Job) -> None:
        """Hands it to a worker. One that is killed is started again, and its notebook given to the next free one."""
        future = self.client.submit(execute_in_worker, job, self.token, key=f"page-{job.name}-{self.token}-{secrets.token_hex(2)}", pure=False)
        self.futures[job.name] = future
        future.add_done_callback(lambda done: self.queue.put(News(job.name, "ended", self._outcome(done))))

    def _outcome(self, future: Any) -> Executed | WorkbenchError:
        """What a task gave back, or why it gave nothing."""
        if future.status == "finished":
            return future.result()
        if future.status != "error":
            return WorkbenchError("the connection to the scheduler is lost", do="start the report again: finished pages are kept")
        error = future.exception()
        if type(error).__name__ == "KilledWorker":
            return Executed(0.0, {"what": f"its worker process was killed {KILLS + 1} times; it may need more memory than there is"})
        return Executed(0.0, say_death(error))

    def stop(self) -> None:
        """Cancels what runs; each worker sees it at its next look, and ends the kernel."""
        open_ones = [future for future in self.futures.values() if not future.done()]
        deadline = time.monotonic() + 6
        with suppress(OSError, TimeoutError):  # the scheduler is lost: its workers see it themselves
            self.client.cancel(open_ones, force=True)
            while open_ones and any(self.client.processing().values()) and time.monotonic() < deadline:
                time.sleep(0.1)


_ONE = threading.Lock()
"""In a worker: one notebook at a time, also where dask gives it several threads; they are the notebook's cores."""


def execute_in_worker(job: Job, token: str) -> Executed:
    """The dask task: one notebook. Its kernel is ended where the task is wanted by nobody any more, because its driver died or was stopped."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def tell(kind: str, content: Any = None) -> None:
        worker.log_event(token, {"page": job.name, "kind": kind, "content": content})

    def is_wanted() -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state not in ("executing", "long-running"):
            raise KeyboardInterrupt

    with _ONE:
        tell("begun", str(worker.name))
        try:
            # What whoever started the worker meant for it: its threads, or OMP_NUM_THREADS, which dask sets to 1 where nobody does.
            cores = max(worker.state.nthreads, int(os.environ.get("OMP_NUM_THREADS", "1")))
            job = job if job.cores else replace(job, cores=cores)
            return execute(job, job.environment(str(worker.name)), lambda cell, cells: tell("cell", (cell, cells)), is_wanted)
        except KeyboardInterrupt:
            return Executed(0.0, {"what": "stopped"})


def execute(job: Job, environment: dict[str, str], on_cell: Callable[[int, int], None], is_wanted: Callable[[], None]) -> Executed:
    """Executes a notebook in a kernel of this machine.

    Raises:
        WorkbenchError: this process does not see the report's folder.
        KeyboardInterrupt: `is_wanted` raised it.
    """
    from workbench.report.execute import Execution

    target = Path(job.target)
    for path in (Path(job.source), target.parent):
        if not path.exists():
            raise WorkbenchError(
                f"the worker on {socket.gethostname()} does not see {path}",
                expected="one folder that all workers share, under the same path",
                do="start the report from a shared folder, see reports/many_machines.md",
            )
    begun = time.monotonic()
    memory_gb = job.memory_gb or usable_memory() * MEMORY_SHARE / 1e9
    limits = {"minutes": job.minutes, "memory_gb": memory_gb, "environment": environment}
    execution = Execution(Path(job.source), target, parameters=job.parameters, folder=Path(job.folder), on_cell=on_cell, **limits)
    execution.run(is_wanted)
    error: dict[str, Any] = {}
    if execution.over:
        parts = {"expected": execution.over["expected"], "do": execution.over["do"]}
        error = {"what": execution.over["what"], "parts": parts, "kind": "limit"}
    elif execution.error is not None:
        error = say_death(execution.error, execution.last_words)
    return Executed(time.monotonic() - begun, error)


def say_death(error: BaseException, last_words: str = "") -> dict[str, Any]:
    """Why a notebook ended without an error of its own: its kernel died or never started, or its file could not be written."""
    kind, parts = type(error).__name__, {}
    if isinstance(error, WorkbenchError):
        what, parts = error.what, {"expected": error.expected, "do": error.do}
    elif kind == "DeadKernelError":
        what = "the kernel died (often: no memory left)"
    else:
        what = f"{kind}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    trace = "".join(traceback.format_exception(error)) + (f"\nThe kernel's last words:\n{last_words}" if last_words.strip() else "")
    return {"what": what, "parts": {key: value for key, value in parts.items() if value}, "kind": kind, "traceback": trace}


@contextmanager
def crew(workers: int, scheduler: str) -> Iterator[Crew]:
    """Workers of a scheduler, so many worker processes of this machine, or (1) this process.

    Raises:
        ConfigError: the scheduler does not answer, or has no workers.
    """
    if scheduler:
        with connected(scheduler) as client:
            yield Workers(client)
    elif workers == 1:
        yield Here()
    else:
        with own_cluster(workers) as cluster, connected(cluster) as client:
            yield Workers(client)


def share_of_cores(workers: int, cores: int | None) -> int:
    """Cores of each of several notebooks on this machine; 0, all, for one that has it alone."""
    if cores is not None:
        return cores
    return 0 if workers == 1 else max(1, usable_cores() // workers)
