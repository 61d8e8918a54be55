"""Archives from strangers: tar and zip, unpacked into one new folder and nowhere else, within bounds, whole or not at all."""

import bz2
import gzip
import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from workbench.data.untrusted.looks import looks_like
from workbench.errors import DataError

BYTES = 50_000_000_000
RATIO = 200
COUNT = 1_000_000
SPARE = 64 << 20  # Small archives of text may pack better than the ratio.
PARTS = 64
PIECE = 1 << 20
HEADERS = 1 << 20  # Bytes of headers before one member.
EXPECTED = "a tar or zip archive of plain files"
_OPENERS = {"compressed with gzip": gzip.open, "compressed with bzip2": bz2.open, "compressed with xz": lzma.open, "a tar archive": open}


@dataclass
class _Target:
    """The folder being filled, and what may still go into it."""

    archive: Path
    folder: Path
    bytes_left: int
    count_left: int

    def path(self, name: str) -> Path | None:
        """Where a member goes; None for the folder itself."""
        parts = [part for part in PurePosixPath(name).parts if part != "."]
        if name.startswith("/") or ".." in parts or "\\" in name or (parts and ":" in parts[0]) or "\x00" in name or len(parts) > PARTS:
            raise self.error(f"the path {name[:200]!r} would lie outside of the folder", name, "paths inside the folder")
        self.count_left -= 1
        if self.count_left < 0:
            raise self.error("there are too many files", name, "fewer files")
        return self.folder.joinpath(*parts) if parts else None

    def write(self, name: str, content: IO[bytes]) -> None:
        """One member as a file, in pieces, until the bound on all bytes is reached."""
        path = self.path(name)
        if path is None:
            raise self.error("a file has no name", name, "a name for each file")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb") as file:
                while piece := content.read(PIECE):
                    self.spend(len(piece), name)
                    file.write(piece)
        except FileExistsError:
            raise self.error("this member stands twice", name, "each file once") from None

    def spend(self, count: int, name: str) -> None:
        """Counts bytes that were unpacked."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            packed = self.archive.stat().st_size
            raise self.error(f"it unpacks to far more than its {packed:,} bytes", name, "less unpacked bytes (a decompression bomb?)")

    def error(self, what: str, name: str, expected: str) -> DataError:
        """The error for one member."""
        return DataError(f"{self.archive.name}: {what}; nothing was unpacked", where=f"{self.archive}, {name[:200]!r}", expected=expected)


def unpack(archive: Path, folder: Path, *, most_bytes: int = BYTES, most_ratio: int = RATIO, most_count: int = COUNT) -> Path:
    """Unpacks a tar (also .gz, .bz2, .xz) or zip archive into a new folder; archives inside it stay as they are.

    Args:
        archive: the file.
        folder: the folder to make; it must not exist yet.
        most_bytes: bytes that all files may have together.
        most_ratio: how many times the archive's own size they may have (64 MiB are always admitted).
        most_count: files and folders that it may have.

    Returns:
        The folder.

    Raises:
        DataError: missing, no tar or zip, cut off or damaged; a path that leaves the folder, a link or device, a member that stands twice,
            too many bytes or files, or a folder that exists. Nothing is left behind.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise DataError(f"the folder {folder.name} exists already", where=str(folder), expected="a new folder", do="remove it, or name another")
    try:
        kind, size = looks_like(archive), archive.stat().st_size
    except FileNotFoundError:
        raise DataError(f"{archive.name} is missing", where=str(archive), expected=EXPECTED) from None
    is_zip = kind.startswith("a zip archive")
    if not is_zip and kind not in _OPENERS:
        raise DataError(f"{archive.name} is no archive: it is {kind or 'unknown'}, {size:,} bytes", where=str(archive), expected=EXPECTED)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        target = _Target(archive, made / "content", min(most_bytes, max(most_ratio * size, SPARE)), most_count)
        target.folder.mkdir()
        with _readable(archive):
            _unpack_zip(target) if is_zip else _unpack_tar(target, kind)
        target.folder.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    """Turns the ways in which a damaged archive fails into one error."""
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OverflowError,
        OSError,
    ) as error:
        what = f"{archive.name} cannot be unpacked, it has {archive.stat().st_size:,} bytes: {str(error)[:200]}"
        do = "download it again, and compare its size"
        raise DataError(what, where=str(archive), expected=f"{EXPECTED}, whole (cut off?)", do=do) from None


def _unpack_zip(target: _Target) -> None:
    with zipfile.ZipFile(target.archive) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        if total > target.bytes_left:
            target.spend(total, members[-1].filename)
        for member in members:
            mode = member.external_attr >> 16
            if member.flag_bits & 1:
                raise target.error("a member is encrypted", member.filename, "plain files")
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise target.error("a member is a link or device", member.filename, "plain files")
            if member.is_dir():
                _make_folder(target, member.filename)
            else:
                with archive.open(member) as content:
                    target.write(member.filename, content)


def _unpack_tar(target: _Target, kind: str) -> None:
    with _OPENERS[kind](target.archive, "rb") as file:
        reader = _Forward(file, target)
        with tarfile.open(fileobj=reader, mode="r:") as archive:  # type: ignore[call-overload]
            while (member := archive.next()) is not None:
                reader.headers_left = None
                if not (member.isreg() or member.isdir()) or member.issparse():
                    raise target.error("a member is a link, a device or sparse", member.name, "plain files")
                if member.isdir():
                    _make_folder(target, member.name)
                else:
                    content = archive.extractfile(member)
                    assert content is not None
                    target.write(member.name, content)
                archive.members.clear()  # Else every header stays in memory.
                archive.pax_headers.clear()
                reader.headers_left = HEADERS
        reader.to_end()


def _make_folder(target: _Target, name: str) -> None:
    path = target.path(name)
    if path is not None:
        path.mkdir(parents=True, exist_ok=True)


class _Forward:
    """A file that is only read forward, in bounded pieces: a header may claim any length, and what is passed over is unpacked too."""

    def __init__(self, file: IO[bytes], target: _Target) -> None:
        self.file, self.target, self.position = file, target, 0
        self.headers_left: int | None = HEADERS  # None while a member's content is read.
        self.left = target.bytes_left + 2048 * target.count_left + PIECE  # The files, their headers, and the zeros at the end.

    def read(self, count: int = -1) -> bytes:
        if self.headers_left is not None:
            if not 0 <= count <= self.headers_left:
                raise tarfile.ReadError(f"a header of {count:,} bytes, where {self.headers_left:,} are left for the headers of one file")
            self.headers_left -= count
        return self._passed(count)

    def _passed(self, count: int) -> bytes:
        """The next bytes, counted against the bound on all."""
        piece = self.file.read(count)
        self.position += len(piece)
        self.left -= len(piece)
        if self.left < 0:
            self.target.spend(self.target.bytes_left + 1, "")
        return piece

    def seek(self, position: int) -> int:
        if position < self.position:
            raise tarfile.ReadError("a member lies before the one that stands before it")
        while self.position < position and self._passed(min(PIECE, position - self.position)):
            pass
        return self.position

    def tell(self) -> int:
        return self.position

    def to_end(self) -> None:
        """Reads what follows, so that a packed file is checked to its last byte."""
        while self._passed(PIECE):
            pass
