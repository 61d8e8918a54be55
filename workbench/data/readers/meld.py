"""MELD: utterances of Friends, from the csv files with labels and the feature pickles (lists of three dictionaries: train, dev, test).

The card's sources have the roles `labels_train`, `labels_valid`, `labels_test` and `<modality>_features`; or the role `raw`: conv-emotion's
`MELD_features_raw.pkl`, one tuple with everything (nine parts; ten with vision). Who speaks and what was said before are not modelled here.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from workbench.data.batch import Dataset
from workbench.data.card import DataCard
from workbench.data.reading.advice import advised, label
from workbench.data.reading.dialogues import Dialogues, read_dialogues
from workbench.data.reading.pickled import Findings
from workbench.data.reading.utterances import Utterances, dataset_of
from workbench.data.untrusted.documents import read_table
from workbench.data.untrusted.pickles import load_pickle, mapping, numbers
from workbench.errors import DataError, near, unknown

SPLITS = ("train", "valid", "test")
COLUMNS = ("Utterance", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
CLASSES = {
    "Emotion": ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
    "Sentiment": ("neutral", "positive", "negative"),
}
"""The two labels, in the order of their numbers in the pickles."""

DAMAGED = ("\N{LATIN SMALL LETTER A WITH CIRCUMFLEX}\N{EURO SIGN}", "\x91", "\x92", "\x93", "\x94", "\x85", "\x96", "\x97", "\ufffd")
"""What is left of curly quotes and dashes that went through a wrong encoding."""

RAW = (
    ("ids", "speakers", "emotion", "text", "audio", "sentences", "train", "test", "sentiment"),
    ("ids", "speakers", "emotion", "text", "audio", "vision", "sentences", "train", "test", "sentiment"),
)
ROWS = {"train": 9989, "valid": 1109, "test": 2610}
"""Utterances in the csv files of MELD; a card of that name is held to them, for a file that was cut at the end of a line looks whole."""
NAMES = ("meld", "meld_sentiment")
DIGITS = 9
"""Of a dialogue's or an utterance's number, at most."""
VALID = range(1039, 1153)
"""The dialogues of dev in the raw file, which counts on through the splits and lists dev with train."""


@advised
def read(card: DataCard, root: Path, *, text: Literal["tokens", "features"] = "tokens", missing: Literal["drop", "error"] = "drop") -> Dataset:
    """One sample an utterance. The label is the emotion; where the card's classes are those of the sentiment, the sentiment.

    Args:
        card: names the files by role.
        root: the data root.
        text: `tokens`, the words of the utterances; or `features`, the vectors of the file with the role `text_features`. The raw file always
            gives vectors.
        missing: `drop`, and count, utterances that a feature file does not have; or `error`.

    Raises:
        DataError: a file that is not as described; which row or key, and what was expected.
        ConfigError: an unknown option.
    """
    for kind, value, known in (("text", text, ("tokens", "features")), ("missing", missing, ("drop", "error"))):
        if value not in known:
            raise unknown(kind, value, known)
    if any(source.role == "raw" for source in card.sources):
        return _read_raw(card, root)
    findings = Findings()
    parts = {split: _read_labels(card, card.file(root, f"labels_{split}"), split, findings) for split in SPLITS if split in card.splits}
    paths = {name: card.file(root, f"{name}_features") for name in card.modalities if name != "text" or text == "features"}
    vectors = {name: _read_features(path) for name, path in paths.items()}
    for split, part in parts.items():
        files = {name: (f"{paths[name]}, {split}", found[split]) for name, found in vectors.items()}
        parts[split] = _with_features(part, files, findings, split, missing=missing)
    return dataset_of(card, parts, where=str(root), reading=findings.sentences(parts))


def label_of(card: DataCard) -> str:
    """Which label the card's classes are, `Emotion` or `Sentiment`.

    Raises:
        DataError: neither, or in another order than the one that the pickles number.
    """
    for name, classes in CLASSES.items():
        if tuple(card.task.classes) == classes:
            return name
    expected = " or ".join(f"[{', '.join(classes)}]" for classes in CLASSES.values())
    raise DataError(f"{card.name}: these are not the classes of MELD", where=card.place("task", "classes"), expected=expected)


def _read_labels(card: DataCard, path: Path, split: str, findings: Findings) -> Utterances:
    """The utterances of one csv file."""
    classes = {name: i for i, name in enumerate(card.task.classes)}
    part, damaged, column = Utterances(), 0, label_of(card)
    seen: set[str] = set()
    table = read_table(path, columns=COLUMNS)
    if card.name in NAMES and len(table) != ROWS[split]:
        what = f"{path.name} has {len(table):,} utterances, {path.stat().st_size:,} bytes" + (" (cut off?)" if len(table) < ROWS[split] else "")
        do = "download it again; for another edition of MELD, copy the card under another name"
        raise DataError(what, where=f"{path}, split {split}", expected=f"the {ROWS[split]:,} utterances of MELD's {split} split", do=do)
    for i, row in enumerate(table):
        where = f"{path}, row {i} (counted from 0, behind the header)"
        for key in ("Dialogue_ID", "Utterance_ID"):
            if not row[key].strip().isdecimal() or len(row[key]) > DIGITS:
                raise DataError(f'{path.name}: {key} is "{label(row[key])}"', where=where, expected=f"a whole number of at most {DIGITS} digits")
        dialogue, utterance = int(row["Dialogue_ID"]), int(row["Utterance_ID"])
        name, said = f"{split}_dia{dialogue}_utt{utterance}", row[column].strip().lower()
        if name in seen:
            raise DataError(f"{path.name}: dialogue {dialogue}, utterance {utterance} stands twice", where=where, expected="each utterance once")
        if said not in classes:
            what = f'{path.name}: unknown {column.lower()} "{label(row[column])}".{near(said[:100], classes)}'
            raise DataError(what, where=where, expected=f"one of {', '.join(classes)}")
        seen.add(name)
        part.ids.append(name)
        part.dialogues.append(f"{split}_dia{dialogue}")
        part.sentences.append(row["Utterance"])
        part.labels.append(classes[said])
        damaged += any(mark in row["Utterance"] for mark in DAMAGED)
    if damaged:
        findings.add("utterances with characters of a wrong encoding, kept as they are", split, damaged)
    return part


def _read_features(path: Path) -> dict[str, Mapping[str, object]]:
    """The dictionary of each split."""
    found, expected = load_pickle(path), "a list of three dictionaries: train, dev, test"
    if not isinstance(found, list | tuple) or len(found) != len(SPLITS):
        size = f" of {len(found)}" if isinstance(found, list | tuple | dict) else ""
        raise DataError(f"{path.name} is a {type(found).__name__}{size}", where=str(path), expected=expected)
    return {split: mapping(part, where=f"{path}, {split}") for split, part in zip(SPLITS, found, strict=True)}


def _with_features(
    part: Utterances, files: Mapping[str, tuple[str, Mapping[str, object]]], findings: Findings, split: str, *, missing: str
) -> Utterances:
    """The utterances with the vectors of some modalities; those that one of the files does not have are dropped, and counted."""
    places = _places(part)
    keep = np.ones(len(places), bool)
    features: dict[str, list[np.ndarray | None]] = {}
    for name, (where, vectors) in files.items():
        found = [_vector(vectors, *place, where) for place in places]
        absent = np.array([vector is None for vector in found])
        if absent.any() and missing == "error":
            what = f"no {name} features for {part.ids[int(absent.argmax())]} ({absent.sum()} of {len(found)} utterances)"
            raise DataError(what, where=where, expected="a vector for every utterance of the csv file", do="missing='drop' leaves them out")
        if absent.any():
            findings.add(f"utterances without {name} features: dropped", split, int(absent.sum()))
        known = {f"{dialogue}_{utterance}" for dialogue, utterance, _ in places} | {str(dialogue) for dialogue, *_ in places}
        further = sum(str(key) not in known for key in vectors)
        if further:
            findings.add(f"{name} features of no utterance of the csv file: not used", split, further)
        keep &= ~absent
        features[name] = found
    rows = np.flatnonzero(keep).tolist()
    ids, dialogues, sentences, labels = ([values[row] for row in rows] for values in (part.ids, part.dialogues, part.sentences, part.labels))
    return Utterances(ids, dialogues, sentences, labels, {name: [found[row] for row in rows] for name, found in features.items()})


def _places(part: Utterances) -> list[tuple[int, int, int]]:
    """Dialogue, utterance and turn of each: a table of a dialogue counts the turns of the csv file, whose utterance numbers have gaps."""
    turns: Counter[int] = Counter()
    places = []
    for name in part.ids:
        dialogue, utterance = map(int, name.rpartition("_dia")[2].split("_utt"))
        places.append((dialogue, utterance, turns[dialogue]))
        turns[dialogue] += 1
    return places


def _vector(vectors: Mapping[str, object], dialogue: int, utterance: int, turn: int, where: str) -> np.ndarray | None:
    """The features of one utterance (float32): its own vector, or its row in the table of its dialogue; None where there are none."""
    key, place = f"{dialogue}_{utterance}", f"{where}, {dialogue}_{utterance}"
    if key in vectors:
        found = numbers(vectors[key], where=place, expected="one vector")
        if found.ndim != 1:
            raise DataError(f"the features are {list(found.shape)}", where=place, expected="one vector")
    elif str(dialogue) in vectors or dialogue in vectors:
        table = numbers(vectors[str(dialogue) if str(dialogue) in vectors else dialogue], where=f"{where}, {dialogue}", expected="turns x feature")
        if table.ndim != 2 or turn >= len(table):
            expected = f"turns x feature, {turn + 1} turns or more, as in the csv file"
            raise DataError(f"the features are {list(table.shape)}", where=f"{where}, dialogue {dialogue}", expected=expected)
        found = table[turn]
    else:
        return None
    with np.errstate(over="ignore"):  # What float32 cannot hold becomes infinite, and is refused when the data is verified.
        return found.astype(np.float32)


def _read_raw(card: DataCard, root: Path) -> Dataset:
    """conv-emotion's one file."""
    content = read_dialogues(card.file(root, "raw"), RAW)
    train = content.names("train")
    for name in train:
        if not name.isdecimal():
            raise content.bad("train", f'the dialogue "{label(name)}" has no number', "numbers, counted through the splits")
    dev = [name for name in train if int(name) in VALID]
    names = {"train": [name for name in train if int(name) not in VALID], "valid": dev, "test": content.names("test")}
    both = set(train) & set(names["test"])
    if both:
        raise content.bad("test", f"the dialogue {label(min(both))} is in train and in test", "each dialogue in one split")
    parts = {split: _dialogues(card, content, names[split]) for split in SPLITS if split in card.splits}
    said = f"valid: the {len(dev)} dialogues {VALID.start} to {VALID.stop - 1}, which the file lists with train and MELD has in dev"
    return dataset_of(card, parts, where=str(content.path), reading=[said])


def _dialogues(card: DataCard, content: Dialogues, names: list[str]) -> Utterances:
    """The utterances of some dialogues."""
    part = Utterances()
    for dialogue in names:
        labels = content.labels(label_of(card).lower(), dialogue, card.task.classes)
        part.labels += labels
        part.ids += [f"dia{dialogue}_utt{name}" for name in content.texts("ids", dialogue, len(labels))]
        part.dialogues += [f"dia{dialogue}"] * len(labels)
        part.sentences += content.texts("sentences", dialogue, len(labels))
        for name in card.modalities:
            part.features.setdefault(name, []).extend(content.numbers(name, dialogue, len(labels)))
    return part
