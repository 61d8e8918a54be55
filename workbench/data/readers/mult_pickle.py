"""MulT's pickles (MOSI, MOSEI, IEMOCAP; also those of MultiBench): a dict of train, valid and test, padded before the real steps.

What a split has: `text` (GloVe vectors), `audio`, `vision`, `labels` (`samples 1 1`: a score; `samples 4 2`: yes or no for each emotion; in
files of one's own `samples 1 7`: MOSEI's sentiment and the amounts of six emotions), and in some copies `id` (rows of video, start, end). No lengths:
the padded side is detected.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from workbench.data.arrays import modality_spec
from workbench.data.batch import Column, Dataset, Spec, Split
from workbench.data.card import DataCard
from workbench.data.padding import Padding, Side, detect
from workbench.data.reading.advice import advised, label
from workbench.data.reading.pickled import Findings, Part, note_ignored, parts, targets
from workbench.data.untrusted.pickles import load_pickle, numbers
from workbench.errors import DataError

FEATURES = ("text", "audio", "vision")
KNOWN = {*FEATURES, "labels", "id"}
EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
"""Of CMU-MOSEI, behind the sentiment."""
PARTS, LENGTH = 16, 1000
"""Of an id, and letters of a part, at most: one long text in a small file may stand in every id."""


@advised
def read(card: DataCard, root: Path, *, variant: str = "", drop_empty: bool = False) -> Dataset:
    """The card's modalities out of text, audio and vision.

    Args:
        card: says which file, which modalities, which splits; its task how `labels` are read.
        root: the data root.
        variant: `aligned` or `unaligned`, where the card has them; the file decides, and the notes say where it is the other one.
        drop_empty: leave out samples whose text is zero throughout, as MultiBench does; else they are kept and counted.

    Raises:
        DataError: the file is not as described; which split, key and row, and what was expected.
    """
    strange = [name for name in card.modalities if name not in FEATURES]
    if strange:
        place = card.place("modalities", strange[0])
        raise DataError(f"{card.name}: these files have no modality {strange[0]}", where=place, expected=", ".join(FEATURES))
    path, findings = card.file(root, variant=variant), Findings()
    found = parts(load_pickle(path), list(card.splits), path, findings)
    splits = {name: _split(card, part, variant=variant, drop_empty=drop_empty) for name, part in found.items()}
    splits = _with_unique_ids(splits, findings)
    specs = {
        name: modality_spec("sequence", (split.columns[name] for split in splits.values()), rate=modality.rate)
        for name, modality in card.modalities.items()
    }
    return Dataset(card.name, Spec(specs, card.task.spec()), splits, notes={"reading": findings.sentences(splits)})


def _split(card: DataCard, part: Part, *, variant: str, drop_empty: bool) -> Split:
    note_ignored((key for key in part.values if key not in KNOWN), part.findings, part.name)
    target = _target(card, part)
    padded = {name: part.features(name, samples=len(target)) for name in card.modalities}
    found = {name: detect(values) for name, values in padded.items()}
    is_empty = {name: _is_empty(padded[name], found[name]) for name in padded}
    columns = _columns(part, padded, found, variant=variant)
    ids, groups = _names(part, len(target))
    split = Split(part.name, columns, torch.from_numpy(target), ids, groups)
    if drop_empty and "text" in is_empty:
        part.count("samples whose text is zero throughout were dropped", is_empty.pop("text"))
        split = split.take(torch.from_numpy(~_is_empty(padded["text"], found["text"])))
        if not len(split):
            raise part.error("no sample is left: all text is zero", "text", expected="word vectors in at least one sample")
    for name, rows in is_empty.items():
        part.count(f"{name}: samples that are zero throughout", rows)
    return split


def _target(card: DataCard, part: Part) -> np.ndarray:
    """The labels as the card's task wants them: `samples` scores, or `samples label` of 0 and 1."""
    if card.task.kind == "regression":
        return targets(part, "labels")
    if card.task.kind != "multilabel":
        raise DataError(f"{card.name}: these files have no {card.task.kind} labels", where=card.place("task"), expected="regression or multilabel")
    classes = card.task.classes
    expected = f"numbers, samples x {len(classes)} x 2: no and yes for each of {', '.join(classes)}"
    expected += "; or samples x 7: sentiment and their amounts" if len(classes) == len(EMOTIONS) else ""
    values = numbers(part["labels"], where=part.where("labels"), expected=expected)
    if len(classes) == len(EMOTIONS) and values.shape[1:] in ((1 + len(EMOTIONS),), (1, 1 + len(EMOTIONS))):
        if tuple(classes) != EMOTIONS:
            told = f"the classes in CMU's order: {', '.join(EMOTIONS)}"
            what = f"{card.name}: seven labels stand in CMU's order, and the card has {', '.join(classes)}"
            raise DataError(what, where=card.place("task"), expected=told)
        return _present(part, values.reshape(len(values), -1))
    if values.ndim == 2 and values.shape[1:] == (len(classes),):
        return values.astype(np.float32)
    if values.shape[1:] != (len(classes), 2):
        raise part.error(f"labels have the shape {list(values.shape)}", "labels", expected=expected)
    # nan is neither larger nor smaller: undecided too.
    undecided = np.argwhere(~((values[..., 0] < values[..., 1]) | (values[..., 0] > values[..., 1])))
    if len(undecided):
        row, label = undecided[0].tolist()
        found = ", ".join(f"{value:g}" for value in values[row, label])
        raise part.error(f"{classes[label]} is neither yes nor no: {found}", "labels", row=row, expected="one of the two larger")
    return values.argmax(2).astype(np.float32)


def _present(part: Part, values: np.ndarray) -> np.ndarray:
    """Which emotions are there, `samples label` of 0 and 1, of a sentiment and amounts (CMU's seven labels): those above 0."""
    with np.errstate(over="ignore"):  # What float32 cannot hold counts as infinite, as in `workbench.data.readers.csd`.
        broken = ~np.isfinite(values.astype(np.float32)).all(1)
    if broken.any():
        raise part.error("a label is nan or infinite", "labels", row=int(broken.argmax()), expected="finite numbers")
    return (values[:, 1:] > 0).astype(np.float32)


def _is_empty(padded: np.ndarray, found: Padding) -> np.ndarray:
    """Which samples are zero throughout (`samples`, bool)."""
    empty = found.lengths == 1
    for row in np.flatnonzero(empty):
        empty[row] = not padded[row].any()
    return empty


def _columns(part: Part, padded: dict[str, np.ndarray], found: dict[str, Padding], *, variant: str) -> dict[str, Column]:
    """The real steps of each modality; those of an aligned file, whose modalities have equally many steps, keep one common length."""
    for name, padding in found.items():
        part.say_padding(name, padding)
    sides = {padding.side for padding in found.values() if padding.side != "none"}
    steps = {name: values.shape[1] for name, values in padded.items()}
    is_aligned = len(padded) > 1 and len(set(steps.values())) == 1
    if is_aligned and variant == "unaligned":
        part.findings.add(f"all modalities have {steps.popitem()[1]} steps, so they are read as aligned, though the variant is unaligned", part.name)
    elif variant == "aligned" and len(padded) > 1 and not is_aligned:
        listed = ", ".join(f"{name} {count}" for name, count in steps.items())
        part.findings.add(f"the variant is aligned, but the modalities have not equally many steps ({listed}): read as unaligned", part.name)
    if is_aligned and len(sides) > 1:
        part.findings.add("padded on different sides, so the steps of the modalities are not aligned", part.name)
        is_aligned = False
    columns = {}
    for name, values in padded.items():
        side: Side = found[name].side if found[name].side != "none" else "end"
        lengths = found[name].lengths
        if is_aligned:
            # Zeros inside the sentence are real there: silence, a face that was not found, a word that GloVe does not know.
            side, lengths = next(iter(sides), "end"), np.max([padding.lengths for padding in found.values()], axis=0)
        columns[name] = part.column(name, values, lengths, side)
    return columns


def _names(part: Part, samples: int) -> tuple[list[str], list[str] | None]:
    """The ids (`video_start_end`), and the videos that they name."""
    if "id" not in part.values:
        part.findings.add("no ids: samples are numbered, and their videos are unknown", part.name)
        return [f"{part.name}_{row}" for row in range(samples)], None
    given = part["id"]
    if not isinstance(given, list | tuple | np.ndarray) or (isinstance(given, np.ndarray) and given.ndim == 0):
        raise part.error("id is no list", "id", expected="one row of video, start, end a sample")
    if len(given) != samples:
        raise part.error(f"id has {len(given)} samples, the labels have {samples}", "id", expected=f"{samples} rows")
    rows = [[_word(part, item, i) for item in _items(part, row, i)] for i, row in enumerate(given)]
    ids = ["_".join(row) for row in rows]
    if all(len(row) > 1 for row in rows):
        return ids, [row[0] for row in rows]
    part.findings.add("ids do not name a video: the videos are unknown", part.name)
    return ids, None


def _items(part: Part, row: object, place: int) -> Sequence[object]:
    """What an id is made of."""
    if isinstance(row, np.ndarray):
        row = row.reshape(-1)[: PARTS + 1].tolist()
    items = row if isinstance(row, list | tuple) else [row]
    if len(items) > PARTS:
        raise part.error(f"an id has more than {PARTS} parts", "id", row=place, expected="video, start, end")
    return items


def _word(part: Part, item: object, row: int) -> str:
    """One item of an id, whatever Python or numpy made of it."""
    if isinstance(item, np.generic):
        item = item.item()
    if isinstance(item, bytes):
        item = item[: LENGTH + 1].decode("latin1")
    is_long = len(item) > LENGTH if isinstance(item, str) else isinstance(item, int) and abs(item) >= 1 << 64
    if not isinstance(item, str | int | float) or is_long:
        raise part.error(f"an id holds {label(item)}", "id", row=row, expected=f"text or numbers of at most {LENGTH} letters: video, start, end")
    return str(item)


def _with_unique_ids(splits: dict[str, Split], findings: Findings) -> dict[str, Split]:
    """Ids that stand twice, as in MOSEI, get a number behind; that they do is noted."""
    owners: dict[str, str] = {}
    taken: set[str] = set()
    made = {}
    for name, split in splits.items():
        ids = [_unique(known, taken) for known in split.ids]
        renamed = [(old, new) for old, new in zip(split.ids, ids, strict=True) if old != new]
        if renamed:
            findings.add("ids that stood twice got a number behind (#2)", name, len(renamed))
        elsewhere = sum(owners.get(known, name) != name for known in split.ids)
        if elsewhere:
            findings.add("ids that an earlier split has too: the same clip, or only the same name", name, elsewhere)
        for known in split.ids:
            owners.setdefault(known, name)
        made[name] = replace(split, ids=ids)
    return made


def _unique(name: str, taken: set[str]) -> str:
    """The name, or the first of name#2, name#3, ... that is free; it is taken from then on."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name}#{number}", number + 1
    taken.add(free)
    return free
