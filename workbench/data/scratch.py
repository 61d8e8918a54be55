"""Room for arrays that may be larger than memory: small ones in memory, large ones in a file without a name that goes away with them."""

import mmap
import os
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

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


@dataclass(frozen=True)
class Room:
    """A file in memory.

    Args:
        map: its memory map.
        path: where another process of this machine opens it while this room lives; empty where none can.
    """

    map: mmap.mmap
    path: str = ""

    @classmethod
    def of(cls, file: BinaryIO, map: mmap.mmap) -> "Room":
        """The room of an open file, which another process can find through this one's list of open files (Linux), also without a name."""
        descriptor = os.dup(file.fileno())
        path = f"/proc/{os.getpid()}/fd/{descriptor}"
        room = cls(map, path if Path(path).exists() else "")
        weakref.finalize(room, os.close, descriptor)
        return room

    def release(self) -> None:
        """Tells the system that the pages are not needed for now; they are read again when they are."""
        _give_back(self.map)

    def place(self, array: np.ndarray) -> tuple[str, int, str, tuple[int, ...]]:
        """What `again` needs to find an array of the room in another process: path, offset, type, shape."""
        begin = np.frombuffer(self.map, np.uint8, 1).ctypes.data
        return self.path, array.ctypes.data - begin, array.dtype.str, array.shape


def again(path: str, offset: int, dtype: str, shape: tuple[int, ...]) -> tuple[np.ndarray, Room]:
    """An array that another process described by `Room.place`, from the same file."""
    with open(path, "rb") as file:  # noqa: PTH123 - a path below /proc is no path to tidy
        room = Room(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY), path)
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(room.map, np.dtype(dtype), count, offset).reshape(shape), room


def empty(shape: tuple[int, ...], dtype: np.dtype | type) -> tuple[np.ndarray, Room | None]:
    """An array to be filled, and its room where it lies in a file.

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
            room = Room.of(file, mmap.mmap(file.fileno(), size))
    except OSError as error:
        what = f"no room for {size / 1e9:.1f} GB of data: {error.strerror or error}"
        raise DataError(what, where=str(folder), do="free some space, or choose another disk: set WORKBENCH_DATA") from error
    return np.frombuffer(room.map, dtype).reshape(shape), room


def release(room: Room | None) -> None:
    """Tells the system that the pages of a room are not needed for now."""
    if room is not None:
        room.release()


def release_array(array: np.ndarray) -> None:
    """The same for an array that is a view of any memory map; for others nothing happens."""
    mapped = map_of(array)
    if mapped is not None:
        _give_back(mapped)


def map_of(array: np.ndarray) -> mmap.mmap | None:
    """The memory map that an array is a view of, if it is."""
    base: object = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return base if isinstance(base, mmap.mmap) else None


def _give_back(map: mmap.mmap) -> None:
    if hasattr(mmap, "MADV_DONTNEED"):
        map.madvise(mmap.MADV_DONTNEED)
