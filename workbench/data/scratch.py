"""Room for arrays that may be larger than memory: small ones in memory, large ones in a file without a name that goes away with them."""

import mmap
import os
import tempfile
from pathlib import Path

import numpy as np

from workbench.errors import DataError

LARGE = 256 * 1024**2
"""From this size on an array is put into a file [bytes]."""


def data_home() -> Path:
    """Where the workbench keeps data: `WORKBENCH_DATA`, else ~/.cache/workbench."""
    return Path(os.environ.get("WORKBENCH_DATA") or "~/.cache/workbench").expanduser()


def main_memory() -> int:
    """Size of the machine's memory [bytes]."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 8 * 1024**3


def empty(shape: tuple[int, ...], dtype: np.dtype | type) -> tuple[np.ndarray, mmap.mmap | None]:
    """An array to be filled, and its memory map where it lies in a file.

    Raises:
        DataError: the file cannot be made.
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size < LARGE:
        return np.empty(shape, dtype), None
    folder = data_home() / "scratch"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Without a name from the start: whatever ends the program also frees the room.
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size) if hasattr(os, "posix_fallocate") else file.truncate(size)
            room = mmap.mmap(file.fileno(), size)
    except OSError as error:
        what = f"no room for {size / 1e9:.1f} GB of data: {error.strerror or error}"
        raise DataError(what, where=str(folder), do="free some space, or choose another disk: set WORKBENCH_DATA") from error
    return np.frombuffer(room, dtype).reshape(shape), room


def release(room: mmap.mmap | None) -> None:
    """Tells the system that the pages of a map are not needed for now."""
    if room is not None and hasattr(mmap, "MADV_DONTNEED"):
        room.madvise(mmap.MADV_DONTNEED)
