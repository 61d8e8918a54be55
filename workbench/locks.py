"""One process at a time for a folder; the lock is the operating system's and goes with the process, also after kill -9."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.errors import WorkbenchError


@contextmanager
def held(path: Path, error: WorkbenchError) -> Iterator[None]:
    """Holds a lock file as long as the block runs.

    Args:
        path: the lock file; its folder is there.
        error: what is raised where another process holds it.
    """
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise error from None
        yield
