"""Processes of this machine, for tests that kill some and look whether others stay."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path


def living() -> Iterator[tuple[Path, int, int]]:
    """Folder in /proc, parent and session of every process that is no zombie."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if state != "Z":
            yield path.parent, int(parent), int(session)


def group(pid: int) -> list[int]:
    """Living processes of a session."""
    return [int(folder.name) for folder, _, session in living() if session == pid]


def wait(is_so: Callable[[], bool], seconds: float, what: str) -> None:
    """Waits until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)
