"""Dialogues as the pickles of conv-emotion hold them: one tuple of dictionaries, each from a dialogue to a list with one item an utterance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.data.untrusted.pickles import load_pickle, mapping, numbers, strings
from workbench.errors import DataError

LENGTH = 100
"""Letters or digits of a name, at most."""


@dataclass(frozen=True)
class Dialogues:
    """The parts of one file by name.

    Args:
        path: the file.
        parts: as they stand in the tuple.
    """

    path: Path
    parts: Mapping[str, object]

    def names(self, part: str) -> list[str]:
        """The dialogues that a part lists, or that it is a dictionary of; sorted, for a set has no order of its own.

        Raises:
            DataError: no list of names, an empty one, or a name that stands twice.
        """
        found = self.part(part)
        listed = list(found) if isinstance(found, dict | set | frozenset | list | tuple) else found.tolist() if isinstance(found, np.ndarray) else []
        if not listed or not all(isinstance(name, str | bytes | int | np.integer) for name in listed):
            raise self.bad(part, "this is no list of dialogues", "a list or set of their names")
        if any(len(name) > LENGTH if isinstance(name, str | bytes) else abs(int(name)) >= 10**LENGTH for name in listed):
            raise self.bad(part, "a dialogue has a name that nobody would write", f"names of at most {LENGTH} letters or digits")
        made = [_name(name) for name in listed]
        if len(set(made)) < len(made):
            raise self.bad(part, "a dialogue stands twice", "each dialogue once")
        return sorted(made, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))

    def numbers(self, part: str, dialogue: str, count: int) -> np.ndarray:
        """The feature vectors of a dialogue, `utterances feature` (float32).

        Raises:
            DataError: no such dialogue, other than one vector an utterance, vectors of unequal size.
        """
        where = f"{self.path}, {part}, dialogue {dialogue}"
        found = numbers(self._rows(part, dialogue), where=where, expected=f"{count} vectors of one size")
        if found.ndim != 2 or len(found) != count:
            raise DataError(
                f"{self.path.name}: {part} is {list(found.shape)}", where=where, expected=f"{count} utterances x feature, as many as labels"
            )
        with np.errstate(over="ignore"):  # What float32 cannot hold becomes infinite, and is refused when the data is verified.
            return found.astype(np.float32)

    def labels(self, part: str, dialogue: str, classes: Sequence[str]) -> list[int]:
        """The class of each utterance of a dialogue.

        Raises:
            DataError: no whole numbers, or one that is no class.
        """
        where = f"{self.path}, {part}, dialogue {dialogue}"
        expected = f"0 to {len(classes) - 1}: {', '.join(classes)}"
        found = numbers(self._rows(part, dialogue), where=where, expected=expected)
        if found.ndim != 1:
            raise DataError(f"{self.path.name}: labels are {list(found.shape)}", where=where, expected="one label an utterance")
        wrong = (found != np.round(found)) | (found < 0) | (found >= len(classes))
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(f"{self.path.name}: the label {found[row]:g} is of no class", where=f"{where}, utterance {row}", expected=expected)
        return found.astype(int).tolist()

    def texts(self, part: str, dialogue: str, count: int) -> list[str]:
        """A name or sentence for each utterance of a dialogue; numbers become text.

        Raises:
            DataError: other than one an utterance.
        """
        where, rows = f"{self.path}, {part}, dialogue {dialogue}", self._rows(part, dialogue)
        if isinstance(rows, list | tuple) and all(isinstance(row, int | np.integer) and abs(int(row)) < 10**LENGTH for row in rows):
            rows = [str(row) for row in rows]
        found = strings(rows, where=where)
        if len(found) != count:
            raise DataError(f"{self.path.name}: {part} has {len(found)} items", where=where, expected=f"{count}, as many as labels")
        return found

    def part(self, name: str) -> object:
        """A part as it stands in the file.

        Raises:
            DataError: the file has none of that name.
        """
        if name not in self.parts:
            raise self.bad(name, f"there is no {name}", f"one of {', '.join(self.parts)}")
        return self.parts[name]

    def bad(self, part: str, what: str, expected: str) -> DataError:
        """The error for a part, with its place."""
        return DataError(f"{self.path.name}: {what}", where=f"{self.path}, {part}", expected=expected)

    def _rows(self, part: str, dialogue: str) -> object:
        found = mapping(self.part(part), where=f"{self.path}, {part}")
        key = next((key for key in (dialogue, int(dialogue) if dialogue.isdecimal() else dialogue) if key in found), None)
        if key is None:
            raise self.bad(part, f"the dialogue {dialogue} is missing", f"every dialogue in every part; here are {len(found)}")
        return found[key]


def read_dialogues(path: Path, layouts: Sequence[Sequence[str]]) -> Dialogues:
    """A pickled tuple; how many parts it has says which layout it is.

    Args:
        path: the file.
        layouts: the names of the parts, in their order, of each known layout.

    Raises:
        DataError: no tuple, or of another length; and all of `load_pickle`.
    """
    found = load_pickle(path)
    sizes = " or ".join(str(len(layout)) for layout in layouts)
    for layout in layouts:
        if isinstance(found, tuple | list) and len(found) == len(layout):
            return Dialogues(path, dict(zip(layout, found, strict=True)))
    size = f"a {type(found).__name__} of {len(found)}" if isinstance(found, tuple | list | dict) else f"a {type(found).__name__}"
    raise DataError(f"{path.name} is {size}", where=str(path), expected=f"a tuple of {sizes} parts: {', '.join(layouts[0])}")


def _name(name: object) -> str:
    return name.decode("latin-1") if isinstance(name, bytes) else str(name)
