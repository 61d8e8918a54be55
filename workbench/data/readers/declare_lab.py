"""CMU-MOSI as declare-lab ships it with bc-LSTM: transcripts and one csv of utterance features per modality and side.

Rows of the feature files are in no useful order (all positive labels first); column 0 of text_{train,test}.csv, a row number of
transcripts.csv, is the only key. Everything is put back into the order of transcripts.csv, then cut into splits by the card's
`folds:`, so that row positions no longer give labels away.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from workbench.data.arrays import modality_spec, token_column, vocabulary
from workbench.data.batch import Column, Dataset, Spec, Split
from workbench.data.card import DataCard
from workbench.data.names import first_repeated
from workbench.errors import DataError

FOLDER = "mosi_declare_lab"
LABELS = "mosi_labels/OpinionLevelSentiment.csv"
SIDES = ("train", "test")
FILES = {"text": f"{FOLDER}/text_{{side}}.csv", "audio": f"{FOLDER}/audio/audio_{{side}}0.csv", "vision": f"{FOLDER}/video/video_{{side}}0.csv"}


@dataclass(frozen=True)
class Corpus:
    """All utterances in the order of transcripts.csv.

    Args:
        ids, videos, sentences: of each utterance; a video id is all before the LAST underscore.
        scores: sentiment in [-3, 3].
        is_train_side: True where the bc-LSTM split has the utterance in its training files.
        features: modality to `samples feature` (float64).
    """

    ids: list[str]
    videos: list[str]
    sentences: list[str]
    scores: np.ndarray
    is_train_side: np.ndarray
    features: dict[str, np.ndarray]


def read(card: DataCard, root: Path) -> Dataset:
    """The card's modalities (text as tokens or as vector, audio, vision), cut into the card's folds.

    Raises:
        DataError: a file that is cut off or not as described; which file and row, and what was expected.
    """
    corpus = read_corpus(root, {name: modality.size for name, modality in card.modalities.items() if modality.kind == "vector"})
    rows = _rows(card, corpus)
    _check_leak(card, corpus, rows)
    columns: dict[str, dict[str, Column]] = {split: {} for split in rows}
    specs = {}
    for name, modality in card.modalities.items():
        known: tuple[str, ...] = ()
        if modality.kind == "tokens":
            known = vocabulary(corpus.sentences[i] for i in rows["train"])
        for split, pick in rows.items():
            if modality.kind == "tokens":
                columns[split][name] = token_column([corpus.sentences[i] for i in pick], known)
            else:
                columns[split][name] = Column.from_rows(corpus.features[name][pick].astype(np.float32))
        specs[name] = modality_spec(modality.kind, (columns[split][name] for split in rows), vocabulary=known)
    splits = {split: _split(split, columns[split], corpus, pick) for split, pick in rows.items()}
    return Dataset(card.name, Spec(specs, card.task.spec()), splits)


def _split(name: str, columns: dict[str, Column], corpus: Corpus, pick: np.ndarray) -> Split:
    ids, videos, texts = ([values[i] for i in pick] for values in (corpus.ids, corpus.videos, corpus.sentences))
    return Split(name, columns, torch.tensor(corpus.scores[pick], dtype=torch.float32), ids, videos, texts)


def _rows(card: DataCard, corpus: Corpus) -> dict[str, np.ndarray]:
    """Row numbers of each split, in the order of transcripts.csv."""
    for split in card.splits:
        if split not in card.folds:
            raise DataError(
                f"{card.name}: the card does not say which videos are in {split}", where=card.place("folds"), expected=f"`folds:` with {split}: [...]"
            )
    where = {video: split for split, fold in card.folds.items() for video in fold}
    for video in corpus.videos:
        if video not in where:
            raise DataError(
                f"{card.name}: the video {video} is in no split", where=card.place("folds"), expected="every video of transcripts.csv in one fold"
            )
    of_row = np.array([where[video] for video in corpus.videos])
    return {split: np.flatnonzero(of_row == split) for split in card.splits}


def _check_leak(card: DataCard, corpus: Corpus, rows: dict[str, np.ndarray]) -> None:
    """Text and vision vectors were fitted on the labels of the train side: no video of it may be scored on."""
    fitted = [name for name in ("text", "vision") if name in corpus.features]
    for split in ("valid", "test"):
        leaked = [corpus.videos[i] for i in rows.get(split, ()) if corpus.is_train_side[i]]
        if fitted and leaked:
            raise DataError(
                f"{card.name}: {leaked[0]} is in {split}, and the {fitted[0]} vectors were fitted on its labels",
                where=card.place("folds", split),
                expected=f"valid and test videos from {FOLDER}/text_test.csv only",
                do="take text as tokens and leave vision out (card mosi), or the split of card mosi_utterance",
            )


def read_corpus(root: Path, sizes: dict[str, int | None]) -> Corpus:
    """Reads and joins the files.

    Args:
        root: the data root.
        sizes: the modalities to read as vectors, with the number of features that each must have.
    """
    path = root / FOLDER / "transcripts.csv"
    transcripts = read_rows(path, 4)
    ids = [row[0] for row in transcripts]
    repeated = first_repeated(ids)
    if repeated is not None:
        raise _bad(path, ids.index(repeated), f'the id "{repeated}" stands twice', "one unique id a row", column=0)
    for i, row in enumerate(transcripts):
        if row[3] not in ("0", "1"):
            raise _bad(path, i, f'unknown label "{row[3]}"', "0 or 1", column=3)
        if "_" not in row[0]:
            raise _bad(path, i, f'the id "{row[0]}" has no segment', "<video>_<segment>", column=0)
    positive = np.array([row[3] == "1" for row in transcripts])
    scores = read_scores(root / LABELS, ids, positive)
    features, is_train_side = _read_features(root, positive, sizes)
    videos = [name.rpartition("_")[0] for name in ids]
    return Corpus(ids, videos, [row[1].lower() for row in transcripts], scores, is_train_side, features)


def read_scores(path: Path, ids: Sequence[str], positive: np.ndarray) -> np.ndarray:
    """The sentiment of each id, in [-3, 3]; its sign must agree with the binary label (0 counts as positive)."""
    rows = read_rows(path, 5)
    named = {f"{row[2]}_{row[3]}": i for i, row in enumerate(rows)}
    if len(named) < len(rows):
        seen = first_repeated(f"{row[2]}_{row[3]}" for row in rows)
        raise DataError(f'{path.name}: the id "{seen}" stands twice', where=str(path), expected="one row an utterance")
    numbers = to_numbers(path, [[row[4]] for row in rows], first_column=4)[:, 0]
    scores = np.empty(len(ids))
    for i, name in enumerate(ids):
        if name not in named:
            raise DataError(f"{path.name}: no sentiment for {name}", where=str(path), expected="one row for every row of transcripts.csv")
        row = named[name]
        scores[i] = numbers[row]
        if not -3 <= scores[i] <= 3:
            raise _bad(path, row, f"the sentiment {scores[i]:g} is out of range", "-3 to 3", column=4)
        if (scores[i] >= 0) != positive[i]:
            raise _bad(
                path, row, f"{name} has the sentiment {scores[i]:g} and the binary label {int(positive[i])}", "label 1 where sentiment >= 0", column=4
            )
    return scores


def _read_features(root: Path, positive: np.ndarray, sizes: dict[str, int | None]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The features of each modality and the side of each utterance, in the order of transcripts.csv."""
    n = len(positive)
    features: dict[str, np.ndarray] = {}
    side_of = np.full(n, -1)
    for number, side in enumerate(SIDES):
        path = root / FILES["text"].format(side=side)
        table = _table(path, sizes.get("text") if "text" in sizes else None)
        keys = table[:, 0]
        for i, key in enumerate(keys):
            if key != int(key) or not 0 <= key < n:
                raise _bad(path, i, f"{key:g} is no row of transcripts.csv", f"a whole number in 0 to {n - 1}", column=0)
            if side_of[int(key)] >= 0:
                raise _bad(path, i, f"the row {key:g} of transcripts.csv stands twice", "each utterance once, on one side", column=0)
            side_of[int(key)] = number
        rows = keys.astype(int)
        for name in sizes:
            values = table[:, 1:] if name == "text" else _labelled(root / FILES[name].format(side=side), sizes[name], positive[rows])
            features.setdefault(name, np.empty((n, values.shape[1])))
            if values.shape[1] != features[name].shape[1]:
                raise _bad(
                    root / FILES[name].format(side=side),
                    0,
                    f"{name} has {values.shape[1]} features here and {features[name].shape[1]} in train",
                    "one width",
                )
            features[name][rows] = values
    absent = np.flatnonzero(side_of < 0)
    if len(absent):
        path = root / FILES["text"].format(side="train")
        raise DataError(
            f"row {absent[0]} of transcripts.csv has no features", where=str(path), expected=f"{n} utterances in the two text files (cut off?)"
        )
    return features, side_of == 0


def _labelled(path: Path, size: int | None, positive: np.ndarray) -> np.ndarray:
    """The features of a file whose last column repeats the binary label, which proves the row order."""
    table = _table(path, size)
    if len(table) != len(positive):
        raise DataError(f"{path.name} has {len(table)} rows", where=str(path), expected=f"{len(positive)} rows, as its text file has (cut off?)")
    differing = np.flatnonzero(table[:, -1] != positive)
    if len(differing):
        row = int(differing[0])
        expected = f"{int(positive[row])}, the label in transcripts.csv of the same row of its text file"
        raise _bad(path, row, f"the label is {table[row, -1]:g}", expected, column=table.shape[1] - 1)
    return table[:, :-1]


def _table(path: Path, size: int | None) -> np.ndarray:
    """A csv of numbers: `size` features and one further column (key or label)."""
    rows = read_rows(path, None if size is None else size + 1)
    return to_numbers(path, rows)


def read_rows(path: Path, width: int | None) -> list[list[str]]:
    """The fields of a csv file without header, all rows of one width."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except FileNotFoundError:
        raise DataError(f"{path.name} is missing", where=str(path), expected="a csv file") from None
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} cannot be read: {error}", where=str(path), expected="a csv file in UTF-8, quotes closed (cut off?)") from None
    if not rows:
        raise DataError(f"{path.name} is empty", where=str(path), expected="one row or more")
    expected = width or len(rows[0])
    for i, row in enumerate(rows):
        if len(row) != expected:
            raise _bad(path, i, f"{len(row)} columns", f"{expected} columns" + (" (cut off?)" if i == len(rows) - 1 else ""))
    return rows


def to_numbers(path: Path, rows: list[list[str]], *, first_column: int = 0) -> np.ndarray:
    """The fields as finite numbers (float64)."""
    try:
        numbers = np.array(rows, dtype=np.float64)
    except ValueError:
        i, j = next((i, j) for i, row in enumerate(rows) for j, field in enumerate(row) if not _is_number(field))
        raise _bad(path, i, f'"{rows[i][j]}" is not a number', "a number", column=j + first_column) from None
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        i, j = wrong[0].tolist()
        raise _bad(path, i, f"the value is {numbers[i, j]}", "a finite number", column=j + first_column)
    return numbers


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _bad(path: Path, row: int, what: str, expected: str, *, column: int | None = None) -> DataError:
    place = f"{path}, row {row}" + (f", column {column}" if column is not None else "")
    return DataError(f"{path.name}: {what}", where=f"{place} (counted from 0)", expected=expected)
