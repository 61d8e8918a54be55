"""Where trials train: in this process, or as dask tasks in workers of this machine or of a scheduler.

Both take jobs and give back outcomes. Values on the way go to `reported` (trial, step, value), which says whether the trial is pruned; only the
driver reads and writes the study, so workers need no way to it.
"""

import atexit
import os
import queue
import secrets
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, Protocol

from workbench.clusters import KILLS, Places, connected, own_cluster, take
from workbench.errors import WorkbenchError
from workbench.sweeps.trials import Job, Outcome, PrunedError, share_machine, train_setting

Reported = Callable[[int, int, float], bool]


class Pool(Protocol):
    """Trains jobs; `is_stopping` is set once Ctrl-C was heard."""

    is_stopping: threading.Event

    @property
    def capacity(self) -> int:
        """How many jobs may be with it at once."""

    def submit(self, job: Job) -> None:
        """Takes a job."""

    def poll(self, seconds: float) -> list[tuple[int, Outcome]]:
        """Trials that ended; waits for one at most so long."""

    def stop(self) -> None:
        """Asks the running trainings to keep their checkpoints and end."""


class Here:
    """Trains in this process, one trial at a time."""

    capacity = 1

    def __init__(self, reported: Reported) -> None:
        self.reported, self.jobs, self.is_stopping = reported, [], threading.Event()

    def submit(self, job: Job) -> None:
        """Takes a job; it is trained by the next `poll`."""
        self.jobs.append(job)

    def poll(self, seconds: float) -> list[tuple[int, Outcome]]:
        """Trains the job."""
        job = self.jobs.pop()

        def report(step: int, value: float) -> None:
            if self.is_stopping.is_set():
                raise KeyboardInterrupt
            if value == value and self.reported(job.number, step, value):
                raise PrunedError

        if self.is_stopping.is_set():
            return [(job.number, Outcome("stopped"))]
        try:
            return [(job.number, train_setting(job, report))]
        except KeyboardInterrupt:
            # Heard by `fit`, or by the driver between two trainings.
            self.is_stopping.set()
            return [(job.number, Outcome("stopped"))]

    def stop(self) -> None:
        """Nothing more to do: the training looks at `is_stopping` after each epoch."""


class Workers:
    """Trains as dask tasks, one trial in each worker process at a time."""

    def __init__(self, client: Any, reported: Reported) -> None:
        self.client, self.reported, self.places = client, reported, Places(client)
        self.is_stopping = threading.Event()
        self.token = secrets.token_hex(4)
        self.news: queue.Queue[tuple[str, int, Any]] = queue.Queue()
        self.futures: dict[int, Any] = {}
        client.subscribe_topic(self.token, lambda event: self.news.put(("report", event[1]["trial"], event[1])))

    @property
    def capacity(self) -> int:
        """As many as there are workers now: some may have come, or gone."""
        return self.places.count()

    def submit(self, job: Job) -> None:
        """Hands a job to a worker. A worker that is killed is started again and its task given to the next free one."""
        future = self.client.submit(train_in_worker, job, self.token, key=f"trial-{job.number}-{self.token}-{secrets.token_hex(2)}", pure=False)
        self.futures[job.number] = future
        future.add_done_callback(lambda done: self.news.put(("done", job.number, done)))

    def poll(self, seconds: float) -> list[tuple[int, Outcome]]:
        """Trials that ended; answers reports in between."""
        ended = []
        for kind, number, content in take(self.news, seconds):
            if kind == "done" and number in self.futures:
                del self.futures[number]
                ended.append((number, self._outcome(content)))
            elif kind == "report" and number in self.futures and self.reported(number, content["step"], content["value"]):
                self.client.run(mark, self.token, number, wait=False)
        return ended

    def _outcome(self, future: Any) -> Outcome:
        """What a task gave back, or why it gave nothing."""
        if future.status == "finished":
            return future.result()
        if future.status != "error":
            raise WorkbenchError("the connection to the scheduler is lost", do="start the sweep again: what was finished is kept")
        error = future.exception()
        if type(error).__name__ == "KilledWorker":
            return Outcome("failed", error=f"its worker process was killed {KILLS + 1} times; it may need more memory than there is", place="")
        return Outcome("failed", error="".join(traceback.format_exception_only(error)).strip(), place="")

    def stop(self) -> None:
        """Asks every worker to keep its training's checkpoint and end it after the epoch."""
        self.client.run(mark, self.token, None, wait=False)


_MARKED: set[tuple[str, int | None]] = set()
"""In a worker: trials (None: all) of a sweep that are to end."""

_ONE = threading.Lock()
"""In a worker: one training at a time, because all threads of a process share torch's random state."""


async def mark(token: str, number: int | None) -> None:
    """In a worker: notes that a trial is pruned, or that all are to stop."""
    _MARKED.add((token, number))


def train_in_worker(job: Job, token: str) -> Outcome:
    """The dask task: one trial. Ends early where it is pruned, stopped, or wanted by nobody because its driver died."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    if job.workers > 1:
        job = replace(job, device=own_device(str(worker.name)))
        leave_at_once()

    def report(step: int, value: float) -> None:
        task = worker.state.tasks.get(key)
        if (token, None) in _MARKED or task is None or task.state not in ("executing", "long-running"):
            raise KeyboardInterrupt
        if (token, job.number) in _MARKED:
            raise PrunedError
        if value == value:
            worker.log_event(token, {"trial": job.number, "step": step, "value": value})

    with _ONE:
        share_machine(job.workers)
        try:
            return train_setting(job, report)
        except KeyboardInterrupt:
            return Outcome("stopped")


@cache
def leave_at_once() -> None:
    """In a worker of our own: its end does not wait for Python to take torch apart, which takes seconds; every file is written whole by then."""
    atexit.register(os._exit, 0)


def own_device(worker: str) -> str:
    """Of several GPUs, the one of a worker by its number; nothing where there is one or none."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{int(worker) % count}" if count > 1 and worker.isdigit() else ""


@contextmanager
def pool(workers: int, scheduler: str | None, reported: Reported) -> Iterator[Pool]:
    """Workers of a scheduler, so many worker processes of this machine, or (1) this process.

    Raises:
        ConfigError: the scheduler does not answer, or has no workers.
    """
    if scheduler:
        with connected(scheduler) as client:
            yield Workers(client, reported)
    elif workers == 1:
        yield Here(reported)
    else:
        with own_cluster(workers) as cluster, connected(cluster) as client:
            yield Workers(client, reported)
