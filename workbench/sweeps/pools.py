"""Where trials train: in this process, or as dask tasks in workers of this machine or of a scheduler.

Both take jobs and give back outcomes. Values on the way go to `reported` (trial, step, value), which says whether the trial is pruned; only the
driver reads and writes the study, so workers need no way to it.
"""

import atexit
import logging
import multiprocessing
import os
import queue
import secrets
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, Protocol

from workbench.errors import ConfigError, WorkbenchError
from workbench.sweeps.trials import Job, Outcome, PrunedError, share_machine, train_setting

Reported = Callable[[int, int, float], bool]

KILLS = 2
"""A trial whose worker process was killed more often than this is failed: most likely it needs more memory than there is."""

WAIT_SECONDS = 60
"""How long a scheduler without workers is waited for."""


class Pool(Protocol):
    """Trains jobs; `is_stopping` is set once Ctrl-C was heard."""

    capacity: int
    is_stopping: threading.Event

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

    def __init__(self, client: Any, reported: Reported, *, capacity: int) -> None:
        self.client, self.reported, self.capacity = client, reported, capacity
        self.is_stopping = threading.Event()
        self.token = secrets.token_hex(4)
        self.news: queue.Queue[tuple[str, int, Any]] = queue.Queue()
        self.futures: dict[int, Any] = {}
        client.subscribe_topic(self.token, lambda event: self.news.put(("report", event[1]["trial"], event[1])))

    def submit(self, job: Job) -> None:
        """Hands a job to a worker. A worker that is killed is started again and its task given to the next free one."""
        future = self.client.submit(train_in_worker, job, self.token, key=f"trial-{job.number}-{self.token}-{secrets.token_hex(2)}", pure=False)
        self.futures[job.number] = future
        future.add_done_callback(lambda done: self.news.put(("done", job.number, done)))

    def poll(self, seconds: float) -> list[tuple[int, Outcome]]:
        """Trials that ended; answers reports in between."""
        ended, news = [], self._take(seconds)
        for kind, number, content in news:
            if kind == "done" and number in self.futures:
                del self.futures[number]
                ended.append((number, self._outcome(content)))
            elif kind == "report" and number in self.futures and self.reported(number, content["step"], content["value"]):
                self.client.run(mark, self.token, number, wait=False)
        return ended

    def _take(self, seconds: float) -> list[tuple[str, int, Any]]:
        """All news there are; waits for the first."""
        try:
            news = [self.news.get(timeout=seconds)]
        except queue.Empty:
            return []
        while not self.news.empty():
            news.append(self.news.get_nowait())
        return news

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
        with _client(scheduler) as client:
            yield Workers(client, reported, capacity=len(client.scheduler_info(n_workers=-1)["workers"]))
    elif workers == 1:
        yield Here(reported)
    else:
        with _own_cluster(workers) as cluster, _client(cluster) as client:
            yield Workers(client, reported, capacity=workers)


@contextmanager
def _client(address: Any) -> Iterator[Any]:
    """A dask client.

    Raises:
        ConfigError: see `pool`.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=WAIT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigError(f"no dask scheduler answers at {address}: {error}", expected="--scheduler tcp://HOST:8786", do="dask scheduler") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WAIT_SECONDS)
        except TimeoutError as error:
            raise ConfigError(f"the scheduler {address} has no workers", do=f"dask worker {address} --nthreads 1") from error
        yield client


@contextmanager
def _own_cluster(workers: int) -> Iterator[Any]:
    """Worker processes of this machine. They die with this process, also where it is killed (dask watches a pipe)."""
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": KILLS,
        # Its statistical profiler looks at every worker a hundred times a second, and pausing one that is nearly full stops the sweep for good.
        "distributed.worker.profile.enabled": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.target": False,
    }
    # The first start of the tracker unblocks SIGINT in its thread.
    multiprocessing.resource_tracker.ensure_running()
    with dask.config.set(settings), _without_interrupts():
        try:
            cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", memory_limit=0, silence_logs=logging.CRITICAL,
                # No dashboard; its server starts all the same, at a free port that only this machine sees.
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            )  # fmt: skip
        except RuntimeError as error:
            # Each worker process reads the script again, and must not come upon the sweep there.
            do = 'in a script, put the call under  if __name__ == "__main__":  , or take workers=1'
            raise ConfigError(f"the {workers} worker processes could not be started: {error}", do=do) from error
    try:
        with dask.config.set(settings):
            yield cluster
    finally:
        cluster.close(timeout=20)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Threads and processes that are started in here never see Ctrl-C, which reaches a whole process group: the driver tells the workers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
