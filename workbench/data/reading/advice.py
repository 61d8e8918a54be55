"""What the readers say of strangers' files: errors with a next step, and names that are short and clean."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from workbench.errors import DataError

DO = "compare the file with what its card says of it; if its size is not that of the source, download it again"
LENGTH = 60
MULTIPLE, SPARE = 16, 64 << 20

Given = ParamSpec("Given")
Made = TypeVar("Made")


def advised(read: Callable[Given, Made]) -> Callable[Given, Made]:
    """The same function, whose errors about data say what to do, where they do not yet."""

    @functools.wraps(read)
    def advising(*args: Given.args, **options: Given.kwargs) -> Made:
        try:
            return read(*args, **options)
        except DataError as error:
            if error.do:
                raise
            raise type(error)(error.what, where=error.where, expected=error.expected, do=DO) from error.__cause__

    return advising


def label(name: object) -> str:
    """A name out of a file, for a message: at most 60 letters, none that a terminal would act on; what is no name by its type."""
    if isinstance(name, bytes):
        name = name[: LENGTH + 1].decode("latin-1")
    if isinstance(name, int) and abs(name) >= 1 << 64:
        return "a whole number of more than 64 bits"
    if not isinstance(name, str | int | float):
        return f"a {type(name).__name__}"
    text = str(name)
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[:LENGTH])
    return shown + ("..." if len(text) > LENGTH else "")


class Allowance:
    """How much may be made of a file: a small one can name one long text, or one large array, very often."""

    def __init__(self, size: int) -> None:
        self.most = self.left = MULTIPLE * size + SPARE

    def take(self, amount: int, *, where: str) -> None:
        """Counts bytes.

        Raises:
            DataError: more than 16 times the size of the file, and 64 MiB, in all.
        """
        self.left -= amount
        if self.left < 0:
            raise DataError("the file names the same values so often that they would fill the memory", where=where, expected=f"{self.most:,} bytes")
