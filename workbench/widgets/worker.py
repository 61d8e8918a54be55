"""The one thread that does what takes longer than a moment, so that no callback ever waits."""

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

Work = Callable[[], None]


class Worker:
    """Does what it is asked, one thing after the other; of two askings under one name only the newer one is done.

    Args:
        failed: called on the worker's thread with whatever a piece of work raised.
        changed: called on the worker's thread with the name of what begins, and with nothing when all is done.
    """

    def __init__(self, failed: Callable[[Exception], None], changed: Callable[[str], None] = lambda name: None) -> None:
        self.failed, self.changed = failed, changed
        self._asked: dict[str, tuple[int, Work]] = {}
        self._number = 0
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[str, int] | None] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name="workbench-explorer", daemon=True)
        self._thread.start()

    def ask(self, name: str, work: Work) -> None:
        """Hands work over; never waits."""
        with self._lock:
            self._number += 1
            self._asked[name] = (self._number, work)
            self._idle.clear()
            self._queue.put((name, self._number))

    def settle(self, seconds: float) -> bool:
        """Waits until there is nothing to do, at most so long (not for callbacks)."""
        return self._idle.wait(seconds)

    def close(self, seconds: float = 0.0) -> None:
        """Ends the thread after what it is doing; what else was asked is dropped."""
        with self._lock:
            self._asked.clear()
        self._queue.put(None)
        if seconds and threading.current_thread() is not self._thread:
            self._thread.join(seconds)

    @property
    def is_alive(self) -> bool:
        """False once it has ended."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while True:
            asked = self._queue.get()
            if asked is None:
                self._idle.set()
                return
            name, number = asked
            with self._lock:
                newest, work = self._asked.get(name, (0, None))
            if work is not None and newest == number:
                self._do(name, work)
            if self._queue.empty():
                with suppress(Exception):
                    self.changed("")
            with self._lock:
                if self._queue.empty():
                    self._idle.set()

    def _do(self, name: str, work: Work) -> None:
        try:
            self.changed(name)
            work()
        except Exception as error:
            with suppress(Exception):
                self.failed(error)
