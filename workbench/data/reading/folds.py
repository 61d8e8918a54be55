"""Which videos are in which split: in the card, or in a file beside the data where the lists are too long for a card."""

from pathlib import Path

from workbench.data.card import DataCard
from workbench.data.names import first_repeated
from workbench.data.untrusted.documents import read_json
from workbench.errors import DataError, near

ROLE = "folds"
"""The role of the file that has them: `{"train": ["<video>", ...], "valid": [...], "test": [...]}`."""


def folds_of(card: DataCard, root: Path, *, variant: str = "") -> dict[str, list[str]]:
    """The videos (or speakers, or dialogues) of each split of a card: its `folds:`, else those of its source with the role `folds`.

    Raises:
        DataError: there are neither; a split that has no list; a name that is no string, or stands twice.
    """
    if card.folds:
        return _complete(card, dict(card.folds), card.place("folds"))
    if not any(source.role == ROLE for source in card.files(variant)):
        expected = f"`folds:` in the card, or a source with `role: {ROLE}`, a json file with a list for each of {', '.join(card.splits)}"
        raise DataError(f"{card.name}: the card does not say which videos are in which split", where=card.place("sources"), expected=expected)
    path = card.file(root, ROLE, variant=variant)
    read = read_json(path)
    expected = f"lists of names, one for each of {', '.join(card.splits)}"
    if not isinstance(read, dict):
        raise DataError(f"{path.name} is no object", where=str(path), expected=expected)
    for split, names in read.items():
        if split in card.splits and (not isinstance(names, list) or not all(isinstance(name, str) for name in names)):
            raise DataError(f"{path.name}: {split} is no list of names", where=f"{path}, {split}", expected=expected)
    return _complete(card, read, str(path))


def _complete(card: DataCard, folds: dict[str, list[str]], where: str) -> dict[str, list[str]]:
    """The lists of the card's splits, in its order; no name is in two."""
    for split in card.splits:
        if split not in folds:
            expected = f"a list for each of {', '.join(card.splits)}"
            raise DataError(f"{card.name}: no list of videos for the split {split}.{near(split, folds)}", where=where, expected=expected)
    repeated = first_repeated(name for split in card.splits for name in folds[split])
    if repeated is not None:
        raise DataError(f"{card.name}: {repeated} stands twice in the folds", where=where, expected="each name in one split, once")
    return {split: folds[split] for split in card.splits}
