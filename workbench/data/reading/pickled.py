"""What the pickled layouts share: one split as it stands in the file, its padded features, and what reading them found."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from workbench.data.batch import Column, Split
from workbench.data.padding import Padding, Side, ragged
from workbench.data.reading.advice import label
from workbench.data.untrusted.pickles import mapping, numbers, strings
from workbench.errors import DataError

ZEROS = {"start": "padded, zeros before the real steps", "end": "padded, zeros behind the real steps", "none": "not padded, no zeros at either end"}


@dataclass
class Findings:
    """What reading found, one sentence a fact; facts of single splits are counted, or named, behind the sentence."""

    facts: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, sentence: str, split: str = "", count: int = 0) -> None:
        """Notes a fact; with a split, that it holds there; with a count, how often."""
        facts = self.facts.setdefault(sentence, {})
        if split:
            facts[split] = facts.get(split, 0) + count

    def sentences(self, splits: Iterable[str]) -> list[str]:
        """`audio: infinite values became 0 (train 10, valid 2)`; a fact of all splits without counts stands alone."""
        every = set(splits)
        said = []
        for sentence, counts in self.facts.items():
            if not any(counts.values()):
                behind = "" if set(counts) in (every, set()) else f" ({', '.join(counts)})"
            else:
                behind = f" ({', '.join(f'{split} {count}' for split, count in counts.items() if count)})"
            said.append(sentence + behind)
        return said


@dataclass(frozen=True)
class Part:
    """One split as it stands in the file.

    Args:
        name: `train`, `valid` or `test`.
        values: what the file has, by key.
        path: the file.
        findings: where what was found is noted, for all splits.
    """

    name: str
    values: dict[str, object]
    path: Path
    findings: Findings

    def where(self, key: str, row: int | None = None) -> str:
        """The place, as an error says it."""
        return f"{self.path}, split {self.name}, key {key}" + (f", row {row}" if row is not None else "")

    def error(self, what: str, key: str, *, row: int | None = None, expected: str) -> DataError:
        """The error for something in this split."""
        return DataError(f"{self.path.name}: {what}", where=self.where(key, row), expected=expected)

    def __getitem__(self, key: str) -> object:
        return mapping(self.values, where=f"{self.path}, split {self.name}", keys=[key])[key]

    def array(self, key: str, *, samples: int, expected: str) -> np.ndarray:
        """Numbers, one row a sample."""
        values = numbers(self[key], where=self.where(key), expected=expected)
        if values.ndim == 0 or len(values) != samples:
            found = f"has {len(values)} samples" if values.ndim else "is a single number"
            raise self.error(f"{key} {found}, the labels have {samples}", key, expected=f"{samples} rows: {expected}")
        return values

    def features(self, key: str, *, samples: int) -> np.ndarray:
        """Padded features, `samples time feature`; a view of the file where it is large."""
        expected = "numbers, samples x time x feature"
        values = self.array(key, samples=samples, expected=expected)
        if values.ndim != 3:
            raise self.error(f"{key} has the shape {list(values.shape)}", key, expected=expected)
        return values

    def sentences(self, key: str, *, samples: int) -> list[str]:
        """One string a sample."""
        found = strings(self[key], where=self.where(key))
        if len(found) != samples:
            raise self.error(f"{key} has {len(found)} samples, the labels have {samples}", key, expected=f"{samples} strings")
        return found

    def count(self, sentence: str, rows: np.ndarray) -> None:
        """Notes of how many samples a sentence is true (`samples`, bool); nothing where it is true of none."""
        if rows.any():
            self.findings.add(sentence, self.name, int(rows.sum()))

    def say_padding(self, key: str, padding: Padding) -> None:
        """Notes on which side a modality is padded."""
        self.findings.add(f"{key}: {ZEROS[padding.side]}", self.name)

    def column(self, key: str, padded: np.ndarray, lengths: np.ndarray, side: Side) -> Column:
        """The real steps of padded features (float32); infinite values become 0, as every loader of these files does, and are counted."""
        column, infinite = ragged(padded, lengths, side=side)
        if infinite:
            self.findings.add(f"{key}: infinite values became 0", self.name, infinite)
        return column


def parts(content: object, splits: Sequence[str], path: Path, findings: Findings) -> dict[str, Part]:
    """The splits of a dict of dicts; further keys of it are noted, not read.

    Raises:
        DataError: not a dict, a split that is missing or is no dict.
    """
    whole = mapping(content, where=str(path), keys=splits)
    note_ignored((key for key in whole if key not in splits), findings)
    return {split: Part(split, mapping(whole[split], where=f"{path}, split {split}"), path, findings) for split in splits}


def note_ignored(keys: Iterable[object], findings: Findings, split: str = "") -> None:
    """Names the keys that nothing here reads."""
    names = sorted({label(key) for key in keys})
    if names:
        findings.add(f"keys that are not read: {', '.join(names[:20])}{' and more' if len(names) > 20 else ''}", split)


def targets(part: Part, key: str, *, samples: int | None = None) -> np.ndarray:
    """One label a sample, `samples` (float32), whatever axes of length one the file wraps it in."""
    expected = "one number a sample"
    values = numbers(part[key], where=part.where(key), expected=expected)
    if values.ndim == 0 or values.size != len(values):
        raise part.error(f"{key} has the shape {list(values.shape)}", key, expected=expected)
    if samples is not None and len(values) != samples:
        raise part.error(f"{key} has {len(values)} samples, the labels have {samples}", key, expected=f"{samples} numbers")
    with np.errstate(over="ignore"):  # What float32 cannot hold becomes infinite, and is then refused with its row.
        return values.reshape(-1).astype(np.float32)


def check_ids(path: Path, splits: Mapping[str, Split]) -> None:
    """An id that stands twice is an error; in two splits it would be a leak."""
    seen: dict[str, str] = {}
    for split in splits.values():
        for name in split.ids:
            if name in seen:
                where = f"split {split.name}" if seen[name] == split.name else f"splits {seen[name]} and {split.name}"
                raise DataError(
                    f'{path.name}: the id "{label(name)}" stands twice',
                    where=f"{path}, {where}",
                    expected="one unique id a sample, each in one split",
                )
            seen[name] = split.name
