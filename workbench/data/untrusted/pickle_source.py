"""The bytes of a pickle in a memory-mapped file: every length is held against the file's size before anything is made."""

import mmap
import struct
from pathlib import Path

import numpy as np

BIG = 1 << 20  # Byte strings of 1 MiB or more stay where they are, in the file.
SPARE = 64 << 20
WHOLE = 1024  # Bytes of a whole number: more than any data set needs.


class RefusalError(Exception):
    """What a pickle asked for, or what is wrong with it; the machine adds the place and makes it a `DataError`."""


class Raw:
    """A long byte string that lies in the file: where it begins and ends, and as what a caller is given it."""

    __slots__ = ("kind", "made", "start", "stop")

    def __init__(self, start: int, stop: int, kind: type) -> None:
        self.start, self.stop, self.kind = start, stop, kind
        self.made: object = None

    def __len__(self) -> int:
        return self.stop - self.start


class Source:
    """A cursor over the bytes, and the meter of what was made from them.

    Args:
        path: the file.
        data: its memory map.

    `copied` may reach 4 times the file's size and 64 MiB [bytes of strings that were decoded, encoded, copied];
    `built` may reach 40 times the file's size and 64 MiB [bytes of containers, with what the garbage collector keeps for each and with
    its place on the stack, and of memo entries: a list of one small number takes 5 bytes in a pickle].
    """

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.size = path, data, len(data)
        self.position = 0
        self.copied, self.built = 0, 0
        self.most_copied, self.most_built = 4 * self.size + SPARE, 40 * self.size + SPARE

    def copy(self, count: int) -> None:
        """Counts bytes that will be copied."""
        self.copied += count
        if self.copied > self.most_copied:
            raise RefusalError(f"the pickle copies its text and bytes again and again, beyond {self.most_copied:,} bytes; refused")

    def build(self, count: int) -> None:
        """Counts bytes that containers take."""
        self.built += count
        if self.built > self.most_built:
            raise RefusalError(f"the pickle builds more containers than its size can explain, beyond {self.most_built:,} bytes; refused")

    def take(self, count: int) -> bytes:
        """The next bytes."""
        start = self.position
        stop = start + count
        if stop > self.size:
            raise RefusalError(f"the pickle is cut off: it has {self.size:,} bytes, and byte {start:,} asks for {count:,} more")
        self.position = stop
        return self.data[start:stop]

    def line(self) -> bytes:
        """The bytes to the end of the line, without it."""
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise RefusalError(f"the pickle is cut off: it has {self.size:,} bytes, and the line at byte {self.position:,} has no end")
        self.copy(end - self.position)
        line = self.data[self.position : end]
        self.position = end + 1
        return line

    def number(self, form: str) -> int | float:
        """The next number, in a format of `struct`."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def length(self, form: str) -> int:
        """The next number as a length, which the rest of the file must hold."""
        count = int(self.number(form))
        if count < 0:
            raise RefusalError(f"the pickle asks for {count:,} bytes")
        if self.position + count > self.size:
            raise RefusalError(f"the pickle is cut off: it has {self.size:,} bytes, and byte {self.position:,} asks for {count:,} more")
        return count

    def bytes(self, form: str, kind: type = bytes) -> object:
        """The next byte string as `bytes`, `bytearray` or (latin1) `str`; a long one stays in the file, as `Raw`."""
        count = self.length(form)
        if count < BIG:
            taken = self.take(count)
            return taken if kind is bytes else taken.decode("latin-1") if kind is str else bytearray(taken)
        start = self.position
        self.position += count
        return Raw(start, start + count, kind)

    def text(self, form: str) -> str:
        """The next UTF-8 text."""
        count = self.length(form)
        if count < BIG:
            return self.take(count).decode("utf-8", "surrogatepass")
        self.copy(count)
        start = self.position
        self.position += count
        return str(memoryview(self.data)[start : start + count], "utf-8", "surrogatepass")

    def whole(self, form: str) -> int:
        """The next whole number of any length."""
        count = self.length(form)
        if count > WHOLE:
            raise RefusalError(f"the pickle has a whole number of {count:,} bytes, at most {WHOLE:,} are admitted")
        return int.from_bytes(self.take(count), "little", signed=True)

    def value(self, raw: Raw) -> object:
        """A long byte string as `bytes`, `bytearray` or `str`, copied once."""
        if raw.made is None:
            self.copy(len(raw))
            taken = self.data[raw.start : raw.stop]
            raw.made = taken if raw.kind is bytes else taken.decode("latin-1") if raw.kind is str else bytearray(taken)
        return raw.made

    def array(self, given: object, dtype: np.dtype, count: int) -> np.ndarray:
        """Numbers that lie one after the other in a byte string.

        From 1 MiB on a view of it, in the byte order of the file; else a copy in the machine's order, which may be written to.
        """
        if isinstance(given, Raw):
            return np.frombuffer(self.data, dtype, count, given.start)
        self.copy(len(given))  # type: ignore[arg-type]
        packed = given.encode("latin-1") if isinstance(given, str) else given
        view = np.frombuffer(packed, dtype, count)  # type: ignore[call-overload]
        return view if len(packed) >= BIG else view.astype(dtype.newbyteorder("="))  # type: ignore[arg-type]
