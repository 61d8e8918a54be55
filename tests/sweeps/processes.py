"""Processes of this machine, for tests that kill some and look whether others stay."""

from collections.abc import Iterator
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
