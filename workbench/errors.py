"""Errors for people: what was wrong, where, what was expected, what to do.

Every error that a user can cause is a `WorkbenchError`; the command line prints it without a traceback
(and as JSON with `--json`), a report page shows it on top of the failed page.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class WorkbenchError(Exception):
    """What was wrong, and where it is known: where, what was expected, what to do.

    Args:
        what: one sentence that names the wrong thing and its value.
        where: file, split, row, field.
        expected: what would have been right.
        do: the next thing to try, a command where there is one.
    """

    def __init__(self, what: str, *, where: str = "", expected: str = "", do: str = "") -> None:
        self.what, self.where, self.expected, self.do = what, where, expected, do
        lines = [what, *(f"  {label:<9} {text}" for label, text in (("in", where), ("expected", expected), ("do", do)) if text)]
        super().__init__("\n".join(lines))

    def as_dict(self) -> dict[str, str]:
        """The four parts, for `--json`."""
        return {"error": self.what, "where": self.where, "expected": self.expected, "do": self.do}


class DataError(WorkbenchError):
    """The data is not what its card says."""


class MissingDataError(DataError):
    """The data is not on this machine."""


class ConfigError(WorkbenchError):
    """A name or a value that nobody knows."""


class SealedError(WorkbenchError):
    """The test split was touched before the end of a training."""


class TrainingError(WorkbenchError):
    """A training could not go on; what was finished is kept."""


class StorageError(TrainingError):
    """A file cannot be written, and no further training can be kept there either.

    Args:
        what: one sentence: what was refused, and why.
        kept: a sentence about what was kept.
        where: the file.
        elsewhere: how another folder is chosen.
        is_full: the disk is, so that room would help.
    """

    def __init__(self, what: str, *, kept: str = "", where: str = "", elsewhere: str = "choose another folder", is_full: bool = False) -> None:
        do = f"make room, then the same command again; or {elsewhere}" if is_full else elsewhere
        super().__init__(f"{what} {kept}".rstrip(), where=where, do=do)
        self.refused, self.is_full = what, is_full

    def said(self, kept: str, elsewhere: str) -> "StorageError":
        """The same refusal, where something larger ends by it."""
        return StorageError(self.refused, kept=kept, where=self.where, elsewhere=elsewhere, is_full=self.is_full)


def near(name: str, known: Iterable[str]) -> str:
    """`Did you mean x?`, or nothing where no known name is near."""
    matches = get_close_matches(name, list(known), n=2, cutoff=0.55)
    return f" Did you mean {' or '.join(matches)}?" if matches else ""


def unknown(kind: str, name: str, known: Iterable[str], *, do: str = "") -> ConfigError:
    """The error for a name that is not in a list of known names, with the near ones."""
    known = list(known)
    return ConfigError(f'unknown {kind} "{name}".{near(name, known)}', expected=f"one of {', '.join(known)}", do=do)
