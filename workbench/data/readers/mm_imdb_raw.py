"""MM-IMDb as it was collected: a poster and a json of each film, and the films of each split.

    split.json                 {"train": ["0076759", ...], "dev": [...], "test": [...]}
    dataset/0076759.json       {"genres": [...], "plot": [...], ...}
    dataset/0076759.jpeg

The card's one file is `split.json`, or the archive `mmimdb.tar.gz`, which is then unpacked once, beside itself.
"""

import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from workbench.data import scratch
from workbench.data.arrays import SPECIAL, modality_spec, token_column, vocabulary
from workbench.data.batch import Column, Dataset, Spec, Split
from workbench.data.card import DataCard
from workbench.data.untrusted.archives import unpack
from workbench.data.untrusted.documents import read_json
from workbench.data.untrusted.images import read_image
from workbench.errors import ConfigError, DataError, near

SPLITS = {"train": "train", "valid": "dev", "test": "test"}
"""Our names of the splits and those of split.json."""

NAME = re.compile(r"[0-9A-Za-z_-]{1,40}")
"""What an id may look like: it becomes part of a path."""


@dataclass(frozen=True)
class Film:
    """One film: its id, its genres among the card's classes (by number), and its longest plot."""

    id: str
    genres: tuple[int, ...]
    plot: str


def read(card: DataCard, root: Path, *, width: int = 40, height: int = 64, vocabulary_size: int = 20_000) -> Dataset:
    """The films of the card's splits; those with none of the card's genres are left out.

    Args:
        card: the data card.
        root: where split.json, or the archive, lies.
        width, height: of the posters, which are squeezed to this size [pixels].
        vocabulary_size: so many of the most frequent words of the training plots, with padding and unknown.

    Raises:
        ConfigError: an option out of range.
        DataError: a file that is missing, cut off or not as described above; which one, and what was expected.
    """
    if min(width, height) < 1 or vocabulary_size <= len(SPECIAL):
        what = f"posters of {width} x {height} and a vocabulary of {vocabulary_size}"
        raise ConfigError(what, expected=f"one pixel or more each way, and more than {len(SPECIAL)} words")
    folder = _folder(card, card.file(root))
    listed = _listed(card, folder)
    others: Counter[str] = Counter()
    read_films = {split: [_film(card, folder, name, others) for name in listed[split]] for split in card.splits}
    films = {split: [film for film in found if film.genres] for split, found in read_films.items()}
    dropped = {split: len(found) - len(films[split]) for split, found in read_films.items()}
    said = [f"{split}: {count} films with none of the card's genres are left out" for split, count in dropped.items() if count]
    if others:
        named = ", ".join(f"{name} {count}" for name, count in others.most_common(8))
        said.append(f"genres that are no class of the card: {named}{', ...' if len(others) > 8 else ''}")
    for split, found in films.items():
        if not found:
            raise DataError(
                f"{card.name}: no film is left in the split {split}", where=str(folder), expected=f"films of {', '.join(card.task.classes)}"
            )
    known = vocabulary(spaced(film.plot) for film in films["train"])[:vocabulary_size]
    make = {
        "image": lambda found: _posters(folder, found, width, height),
        "text": lambda found: token_column([spaced(film.plot) for film in found], known),
    }
    columns = {split: {name: make[name](found) for name in card.modalities if name in make} for split, found in films.items()}
    kinds = {"image": "image", "text": "tokens"}
    specs = {
        name: modality_spec(kinds[name], (columns[split][name] for split in films), vocabulary=known if name == "text" else ())
        for name in columns["train"]
    }
    splits = {split: _split(card, split, columns[split], found) for split, found in films.items()}
    return Dataset(card.name, Spec(specs, card.task.spec()), splits, notes={"reading": said})


def spaced(plot: str) -> str:
    """A plot with spaces around its punctuation, so that `words` sees `end .` and not `end.`."""
    return " ".join(re.findall(r"\w+|[^\w\s]", plot))


def _split(card: DataCard, split: str, columns: dict[str, Column], films: list[Film]) -> Split:
    target = torch.zeros(len(films), len(card.task.classes))
    for row, film in enumerate(films):
        target[row, list(film.genres)] = 1
    return Split(split, columns, target, [film.id for film in films], texts=[film.plot for film in films])


def _folder(card: DataCard, path: Path) -> Path:
    """The folder that has split.json; an archive is unpacked once, into a folder of its name beside it."""
    if path.name.endswith(".json"):
        return path.parent
    folder = path.with_name(path.name.partition(".")[0])
    if (folder / "split.json").is_file():
        return folder
    unpacked = unpack(path, path.with_name(f"{folder.name}.unpacked"))
    found = next((inner.parent for inner in sorted(unpacked.glob("**/split.json"))), None)
    if found is None or folder.exists():
        what = f"{path.name} has no split.json" if found is None else f"{folder.name} is there already, without split.json"
        shutil.rmtree(unpacked)
        raise DataError(f"{card.name}: {what}", where=str(path.parent), expected="an archive with split.json, and room beside it")
    found.rename(folder)
    shutil.rmtree(unpacked, ignore_errors=True)
    return folder


def _listed(card: DataCard, folder: Path) -> dict[str, list[str]]:
    """The ids of each split's films."""
    path = folder / "split.json"
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path.name} is no object", where=str(path), expected='{"train": [...], "dev": [...], "test": [...]}')
    listed = {}
    for split in card.splits:
        theirs = SPLITS[split]
        if theirs not in content:
            raise DataError(
                f'{path.name}: the split "{theirs}" is missing.{near(theirs, content)}', where=str(path), expected=", ".join(SPLITS.values())
            )
        names = content[theirs]
        if not isinstance(names, list) or not names:
            raise DataError(f'{path.name}: the split "{theirs}" is no list of ids', where=str(path), expected="one id or more")
        for row, name in enumerate(names):
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise DataError(f"{path.name}: {str(name)[:60]!r} is no id", where=f"{path}, {theirs}, row {row}", expected="letters and digits")
        listed[split] = names
    return listed


def _film(card: DataCard, folder: Path, name: str, others: Counter[str]) -> Film:
    """What a film's json says; genres that the card does not have are counted in `others`."""
    path = folder / "dataset" / f"{name}.json"
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path.name} is no object", where=str(path), expected="genres and plot")
    found = {}
    for key in ("genres", "plot"):
        value = content.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(part, str) for part in value):
            what = f"{path.name} has no {key}" if key not in content else f"{path.name}: {key} is no list of texts"
            raise DataError(f"{what}.{near(key, content)}", where=f"{path}, key {key}", expected="a list of one text or more")
        found[key] = value
    classes = card.task.classes
    others.update(genre for genre in found["genres"] if genre not in classes)
    # The longest plot, and the first of equals, as the makers of the HDF5 file chose.
    return Film(name, tuple(classes.index(genre) for genre in found["genres"] if genre in classes), max(found["plot"], key=len))


def _posters(folder: Path, films: list[Film], width: int, height: int) -> Column:
    values, room = scratch.empty((len(films), 3, height, width), np.float32)
    for row, film in enumerate(films):
        values[row] = read_image(folder / "dataset" / f"{film.id}.jpeg", size=(width, height))
        if row % 1000 == 999:
            scratch.release(room)
    return Column(torch.from_numpy(values), torch.arange(len(films) + 1), map=room)
