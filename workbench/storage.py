"""What is said where a file cannot be written: the disk is full, or the folder is read-only."""

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workbench.errors import StorageError, WorkbenchError

FULL = {errno.ENOSPC: "no space left", errno.EDQUOT: "the quota of this disk is used up", errno.EFBIG: "files may not be so large here"}
LOCKED = (errno.EROFS, errno.EACCES, errno.EPERM)

FULL_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
"""sqlite says of a full disk one or the other, as it meets it in its file or in its journal."""
LOCKED_CODES = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}


def cannot_write(
    path: Path, error: Exception, *, saving: str = "", needed: int = 0, kept: str = "", elsewhere: str = "choose another folder"
) -> StorageError:
    """The error for a file or folder that cannot be written.

    Args:
        path: what was to be written.
        error: what the system said.
        saving: of what it is a part, e.g. `the run NAME`.
        needed: bytes that it takes; 0: not known.
        kept: a sentence about what was kept.
        elsewhere: how another folder is chosen.
    """
    folder = next((parent for parent in (path, *path.parents) if parent.is_dir()), Path())
    free, number = shutil.disk_usage(folder).free, number_of(error)
    if number is None and needed > free:
        # torch reports a full disk as an error of its zip writer, without a number.
        number = errno.ENOSPC
    if number in FULL:
        takes = f"{path.name} needs {megabytes(needed)}, " if needed else f"for {path.name}, "
        what = f"{FULL[number]} while saving {saving or path.name} ({takes}{megabytes(free)} free at {folder})."
    elif number in LOCKED:
        what = f"{folder} cannot be written: {os.strerror(number)}."
    else:
        what = f"could not write {path.name}: {getattr(error, 'strerror', None) or error}."
    return StorageError(what, kept=kept, where=str(path), elsewhere=elsewhere, is_full=number in FULL)


@contextmanager
def refusals_said(path: Path, *, saving: str, elsewhere: str, kept: Callable[[], str] | None = None) -> Iterator[None]:
    """What a disk refuses in the block, to whatever library, is said as `cannot_write` says it.

    Args:
        path: the file that is written where the error names none.
        saving, elsewhere: see `cannot_write`.
        kept: gives a sentence about what was kept; where it is given, errors that are said already are said anew with it.

    Raises:
        StorageError: the disk is full, or the folder read-only.
    """
    try:
        yield
    except StorageError as error:
        if kept is None:
            raise
        raise error.said(kept(), elsewhere) from error
    except WorkbenchError:
        raise
    except Exception as error:
        if number_of(error) is None:
            raise
        name = getattr(error, "filename", None)
        raise cannot_write(Path(name) if name else path, error, saving=saving, kept=kept() if kept else "", elsewhere=elsewhere) from error


def number_of(error: BaseException | None) -> int | None:
    """The system's number (errno) of what a disk refused, found in the error or in those that led to it; None where it is no such thing."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and (error.errno in FULL or error.errno in LOCKED):
            return error.errno
        if isinstance(error, sqlite3.Error) and hasattr(error, "sqlite_errorcode"):
            code = error.sqlite_errorcode & 0xFF
            return errno.ENOSPC if code in FULL_CODES else errno.EROFS if code in LOCKED_CODES else None
        error = error.__cause__ or error.__context__
    return None


def measured(name: str, write: Callable[[Path], object]) -> int:
    """Bytes that `write(path)` writes: it is written once more where there is room, in memory first; 0 where it cannot be."""
    for place in (Path("/dev/shm"), Path(tempfile.gettempdir())):
        with suppress(OSError, RuntimeError), tempfile.TemporaryDirectory(dir=place) as folder:
            write(Path(folder) / name)
            return (Path(folder) / name).stat().st_size
    return 0


def megabytes(count: float) -> str:
    """`38 MB`, `0.4 MB`."""
    return f"{count / 1e6:,.0f} MB" if count >= 1e7 or not count else f"{count / 1e6:.2g} MB"
