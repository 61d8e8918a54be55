"""The driver: claims trials, has them trained, and writes what came of them, until the sweep is done or stopped."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from workbench.errors import StorageError
from workbench.storage import number_of
from workbench.sweeps import store as stores
from workbench.sweeps.desk import Desk
from workbench.sweeps.pools import Pool
from workbench.sweeps.progress import Progress
from workbench.sweeps.settings import Setting
from workbench.sweeps.trials import Job, Outcome

POLL_SECONDS = 0.25


def drive(
    desk: Desk, pool: Pool, make_job: Callable[[int, Setting], Job], *, metric: str, progress: Progress, on_trial: Callable[[int, Outcome], None]
) -> None:
    """Works until no trial is open, here or with other drivers of the study.

    Raises:
        KeyboardInterrupt: Ctrl-C; running trainings keep their checkpoints and their trials are enqueued again.
        StorageError: what is trained cannot be kept.
    """
    halt: StorageError | None = None
    running: dict[int, Setting] = {}
    refilled = time.monotonic()
    with interrupts(pool):
        try:
            while True:
                _hand_out(desk, pool, make_job, running)
                if not running and (pool.is_stopping.is_set() or desk.is_done()):
                    break
                for number, outcome in _news(pool, running):
                    setting = running.pop(number)
                    desk.tell(number, outcome, metric)
                    progress.ended(number, setting, outcome)
                    if outcome.state != "stopped":
                        on_trial(number, outcome)
                    if outcome.halt is not None and halt is None:
                        halt = outcome.halt
                        pool.is_stopping.set()
                        pool.stop()
                if desk.store.is_shared and time.monotonic() - refilled > stores.HEARTBEAT_SECONDS:
                    desk.refill()
                    refilled = time.monotonic()
                progress.tick(desk)
        finally:
            _release(desk)
    if halt is not None:
        raise halt
    if pool.is_stopping.is_set():
        raise KeyboardInterrupt


def _release(desk: Desk) -> None:
    """Leaves our trials to be tried again; on a full disk the next start does it."""
    try:
        desk.release_all()
    except Exception as error:
        if number_of(error) is None:
            raise


def _hand_out(desk: Desk, pool: Pool, make_job: Any, running: dict[int, Setting]) -> None:
    """Claims trials for every free place."""
    while len(running) < pool.capacity and not pool.is_stopping.is_set():
        claimed = desk.claim()
        if claimed is None:
            return
        number, running[number] = claimed
        pool.submit(make_job(number, running[number]))


def _news(pool: Pool, running: dict[int, Setting]) -> list[tuple[int, Outcome]]:
    """Trials that ended; where none of ours runs, others' are waited for."""
    if running:
        return pool.poll(POLL_SECONDS)
    time.sleep(POLL_SECONDS)
    return []


@contextmanager
def interrupts(pool: Pool) -> Iterator[None]:
    """The first Ctrl-C asks the running trainings to end after their epoch, so that nothing is cut in two; a second one ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        if pool.is_stopping.is_set():
            raise KeyboardInterrupt
        pool.is_stopping.set()
        threading.Thread(target=pool.stop, daemon=True).start()

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
