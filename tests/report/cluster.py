"""A dask cluster as it stands on several machines, rehearsed on one: a scheduler and workers as processes of their own that speak over TCP.

    with tcp_cluster(2, tmp_path) as cluster:              # `dask scheduler` and two `dask worker`, all there when the block begins
        sweep(..., scheduler=cluster.address)              # or run_report(..., scheduler=cluster.address), or --scheduler tcp://127.0.0.1:...
        cluster.add()                                      # a third worker joins; back when the scheduler knows it; gives its name, "w2"
        cluster.kill("w0")                                 # kill -9 of the worker and of the nanny that would start it again: a machine that is gone
        cluster.kill("w1", with_nanny=False)               # kill -9 of the worker only (memory ended): its nanny starts it again, under the same name
        cluster.workers()                                  # {"w1": 4711, "w2": 4712}: name and process id of each worker that the scheduler has now
        cluster.busy()                                     # names of the workers that run a task now
        cluster.client                                     # a dask client of the test, e.g. client.run(os.getpid); not the default client

After the block every process is dead, also what the workers started (kernels of notebooks too). Their logs lie in the folder (`scheduler.log`,
`w0.log`, ...: `cluster.log("w0")`), and the workers' own files in `w0.files`, .... `add`, `kill`, `workers` and `busy` may be called from another
thread or a callback as well.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from distributed import Client
from sweeps.processes import group, living, wait

WAIT_SECONDS = 90
"""How long a process may take to be there: two cores that others use too, and torch to import."""


class TcpCluster:
    """A scheduler and its workers, each a process that its own session tells from all others. `tcp_cluster` makes one and ends it.

    Args:
        folder: for logs and the workers' own files.
        settings: environment variables of all of them, beside those of the test.
    """

    def __init__(self, folder: Path, settings: dict[str, str] | None = None) -> None:
        self.folder, self.address, self.client = Path(folder), "", None
        self._processes: dict[str, subprocess.Popen] = {}
        self._settings = {**os.environ, "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False", **(settings or {})}

    def start(self, workers: int) -> None:
        """Starts the scheduler at a free port, and so many workers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        where = self.folder / "scheduler.json"
        self._start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(where))
        wait(lambda: where.is_file() and where.read_text().rstrip().endswith("}"), WAIT_SECONDS, "the scheduler is there")
        self.address = json.loads(where.read_text())["address"]
        self.client = Client(self.address, timeout=WAIT_SECONDS, set_as_default=False)
        self.add(workers)

    def _start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("w") as log:
            facts = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "cwd": self.folder, "env": self._settings}
            self._processes[name] = subprocess.Popen([sys.executable, "-m", "dask", *arguments], start_new_session=True, **facts)

    def add(self, count: int = 1) -> list[str]:
        """Starts workers of one thread each, with a nanny; gives their names when the scheduler knows them all."""
        first = len(self._processes) - 1
        names = [f"w{number}" for number in range(first, first + count)]
        for name in names:
            place = str(self.folder / f"{name}.files")
            options = ("--nthreads", "1", "--nworkers", "1", "--no-dashboard", "--memory-limit", "0", "--host", "127.0.0.1")
            self._start(name, "worker", self.address, "--name", name, "--local-directory", place, *options)
        wait(lambda: set(names) <= set(self._places()), WAIT_SECONDS, f"{', '.join(names)} are there")
        # A nanny whose worker is killed while it still starts it does not start another one. (A lambda travels whole: nannies cannot import this.)
        states = lambda: self.client.run(lambda dask_worker: dask_worker.status.name, nanny=True)  # noqa: E731
        wait(lambda: set(states().values()) == {"running"}, WAIT_SECONDS, "their nannies are done with it")
        return names

    def workers(self) -> dict[str, int]:
        """Name and process id of each worker that the scheduler has."""
        return {name: pid for name in self._places() if (pid := self._pid(name))}

    def _places(self) -> dict[str, str]:
        """Name and address of each worker that the scheduler has."""
        return {str(facts["name"]): address for address, facts in self.client.scheduler_info(n_workers=-1)["workers"].items()}

    def _pid(self, name: str) -> int:
        """The worker is the one child of its nanny that is no resource tracker; 0 where it is not there."""
        for folder, parent, _ in living():
            with suppress(OSError):
                if parent == self._processes[name].pid and b"spawn_main" in (folder / "cmdline").read_bytes():
                    return int(folder.name)
        return 0

    def busy(self) -> list[str]:
        """Names of the workers that run a task."""
        tasks = self.client.processing()
        return sorted(name for name, address in self._places().items() if tasks.get(address))

    def kill(self, name: str, *, with_nanny: bool = True) -> None:
        """Kill -9 of a worker, without a word to the scheduler; with its nanny and all that they started it stays away."""
        before = self._places()[name]
        if with_nanny:
            self._end(name)
            wait(lambda: name not in self._places(), WAIT_SECONDS, f"the scheduler misses {name}")
        else:
            os.kill(self._pid(name), signal.SIGKILL)
            wait(lambda: self._places().get(name, before) != before, WAIT_SECONDS, f"{name} is started again")

    def log(self, name: str) -> str:
        """What a worker or the `scheduler` wrote."""
        return (self.folder / f"{name}.log").read_text()

    def _end(self, name: str) -> None:
        """Kills a process and everything below it, until none is left: the nanny first, so that it starts nothing more."""
        process = self._processes[name]
        below = set(descendants(process.pid))
        process.kill()
        process.wait()

        def is_gone() -> bool:
            # Kernels of notebooks have sessions of their own.
            left = {*below.intersection(int(folder.name) for folder, _, _ in living()), *group(process.pid)}
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left

        wait(is_gone, 15, f"everything of {name} is dead")

    def stop(self) -> None:
        """Ends everything; fine to call after half a start."""
        if self.client is not None:
            self.client.close()
        for name in reversed(self._processes):
            self._end(name)


def descendants(pid: int) -> Iterator[int]:
    """Ids of all living processes below one."""
    children: dict[int, list[int]] = {}
    for folder, parent, _ in living():
        children.setdefault(parent, []).append(int(folder.name))
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), [])
        yield from below
        todo += below


@contextmanager
def tcp_cluster(workers: int, folder: Path, settings: dict[str, str] | None = None) -> Iterator[TcpCluster]:
    """A scheduler with so many workers, gone after the block.

    Args:
        workers: how many to begin with.
        folder: for logs and the workers' own files.
        settings: environment variables of all of them, beside those of the test.
    """
    cluster = TcpCluster(folder, settings)
    try:
        cluster.start(workers)
        yield cluster
    finally:
        cluster.stop()
