"""Many processes, of this machine or of many: a dask cluster of our own, or a scheduler by its address."""

import logging
import queue
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any

from workbench.errors import ConfigError

KILLS = 2
"""A task whose worker process was killed more often than this is failed: most likely it needs more memory than there is."""

WAIT_SECONDS = 60
"""How long a scheduler without workers is waited for."""

LOOK_SECONDS = 1.0
"""How often it is asked how many workers there are."""


def take(news: "queue.Queue[Any]", seconds: float) -> list[Any]:
    """All that is in a queue; waits for the first, at most so long."""
    try:
        taken = [news.get(timeout=seconds)]
    except queue.Empty:
        return []
    while not news.empty():
        taken.append(news.get_nowait())
    return taken


class Places:
    """How many workers a cluster has: they may come and go."""

    def __init__(self, client: Any) -> None:
        self.client, self._count, self._looked = client, 0, float("-inf")

    def count(self) -> int:
        """Workers now, as of the last second; 1 at least, so that work waits for one at the scheduler."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._looked = time.monotonic()
            with suppress(OSError):  # no answer: what runs there will say that it is lost
                self._count = len(self.client.scheduler_info(n_workers=-1)["workers"])
        return max(1, self._count)


def _distributed() -> Any:
    """Dask's package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise ConfigError("several worker processes need dask", do="pip install 'workbench-fusion[sweep]', or --workers 1") from error
    return distributed


@contextmanager
def connected(address: Any) -> Iterator[Any]:
    """A dask client.

    Raises:
        ConfigError: the scheduler does not answer, or has no workers.
    """
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout=WAIT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigError(f"no dask scheduler answers at {address}: {error}", expected="--scheduler tcp://HOST:8786", do="dask scheduler") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WAIT_SECONDS)
        except TimeoutError as error:
            raise ConfigError(f"the scheduler {address} has no workers", do=f"dask worker {address} --nthreads 1") from error
        yield client


@contextmanager
def own_cluster(workers: int) -> Iterator[Any]:
    """Worker processes of this machine, named 0, 1, ... They die with this process, also where it is killed (dask watches a pipe)."""
    distributed = _distributed()
    import dask

    settings = {
        "distributed.scheduler.allowed-failures": KILLS,
        # Its statistical profiler looks at every worker a hundred times a second, and pausing one that is nearly full stops the work for good.
        "distributed.worker.profile.enabled": False,
        # It is measured by the time of day: where the clock is set anew, all workers would be taken for dead. One that dies closes its connection.
        "distributed.scheduler.worker-ttl": None,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.target": False,
    }
    # The first start of the tracker unblocks SIGINT in its thread.
    resource_tracker.ensure_running()
    with dask.config.set(settings), _without_interrupts():
        try:
            cluster = distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", memory_limit=0, silence_logs=logging.CRITICAL,
                # No dashboard; its server starts all the same, at a free port that only this machine sees.
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            )  # fmt: skip
        except RuntimeError as error:
            # Each worker process reads the script again, and must not come upon the call there.
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
