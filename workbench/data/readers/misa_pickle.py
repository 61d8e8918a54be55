"""MISA's pickles (MOSI, MOSEI): one file a split, a list of ((word_ids, visual, acoustic, words), label, segment), word-aligned and not padded.

`word_ids` number an embedding that is not in these files, so the text is its `words` by the training vocabulary. `label` is `1 1` (MOSI) or `1 7`
(MOSEI: sentiment, then six emotions, which are not read); `segment` is `video[3]`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from workbench.data.arrays import modality_spec, token_column, vocabulary, words
from workbench.data.batch import Column, Dataset, Spec, Split
from workbench.data.card import DataCard
from workbench.data.reading.advice import Allowance, advised, label
from workbench.data.reading.pickled import Findings, check_ids
from workbench.data.untrusted.pickles import load_pickle, numbers, strings
from workbench.errors import DataError

MODALITIES = {"text": "tokens", "vision": "sequence", "audio": "sequence"}
LENGTH = 1000
"""Letters of a word or a name, at most."""
SAMPLE = "((word_ids, visual, acoustic, words), label, segment)"


@dataclass(frozen=True)
class Sample:
    """One utterance.

    Args:
        words: as they were said.
        vision, audio: `time feature`, one step a word.
        label: all columns of it.
        segment: `video[3]`; None where the file has none.
    """

    words: list[str]
    vision: np.ndarray
    audio: np.ndarray
    label: np.ndarray
    segment: str | None


@advised
def read(card: DataCard, root: Path) -> Dataset:
    """The card's modalities out of text (tokens), audio and vision.

    Raises:
        DataError: a file is not as described; which file and sample, and what was expected.
    """
    for name, modality in card.modalities.items():
        if MODALITIES.get(name) != modality.kind:
            place, expected = card.place("modalities", name), "text of kind tokens, audio and vision of kind sequence"
            raise DataError(f"{card.name}: these files have no {name} of kind {modality.kind}", where=place, expected=expected)
    if card.task.kind != "regression":
        raise DataError(f"{card.name}: these files have no {card.task.kind} labels", where=card.place("task"), expected="kind: regression")
    findings = Findings()
    paths = {split: card.file(root, role=split) for split in card.splits}
    samples = {split: read_samples(path, split, findings) for split, path in paths.items()}
    known = vocabulary(" ".join(sample.words) for sample in samples["train"]) if "text" in card.modalities else ()
    splits = {split: _split(card, split, paths[split], own, known, findings) for split, own in samples.items()}
    check_ids(paths["train"].parent, splits)
    specs = {
        name: modality_spec(
            modality.kind,
            (split.columns[name] for split in splits.values()),
            rate=modality.rate,
            vocabulary=known if name == "text" else (),
        )
        for name, modality in card.modalities.items()
    }
    if "text" in card.modalities:
        findings.add("text: words by the vocabulary of train; the word ids of the files number an embedding that is not in them")
    return Dataset(card.name, Spec(specs, card.task.spec()), splits, notes={"reading": findings.sentences(splits)})


def read_samples(path: Path, split: str, findings: Findings) -> list[Sample]:
    """The samples of one file, checked one by one; all have features and labels of one width."""
    content = load_pickle(path)
    if not isinstance(content, list) or not content:
        found = "an empty list" if isinstance(content, list) else f"a {type(content).__name__}"
        raise DataError(f"{path.name} holds {found}", where=str(path), expected=f"a list of {SAMPLE}")
    allowance = Allowance(path.stat().st_size)
    samples = [_sample(item, path, row, findings, split, allowance) for row, item in enumerate(content)]
    for row, sample in enumerate(samples):
        for name in ("vision", "audio", "label"):
            width, expected = getattr(sample, name).shape[-1], getattr(samples[0], name).shape[-1]
            if width != expected:
                raise _error(path, row, f"{name} has {width} columns", f"{expected}, as the first sample")
    if len(samples[0].label) > 1:
        findings.add(f"labels have {len(samples[0].label)} columns, of which the first, sentiment, is taken", split)
    return samples


def _error(path: Path, row: int, what: str, expected: str) -> DataError:
    return DataError(f"{path.name}: {what}", where=f"{path}, sample {row} (counted from 0)", expected=expected)


def _sample(item: object, path: Path, row: int, findings: Findings, split: str, allowance: Allowance) -> Sample:
    """One sample, checked."""
    if not isinstance(item, tuple | list) or len(item) not in (2, 3) or not isinstance(item[0], tuple | list) or len(item[0]) != 4:
        raise _error(path, row, "a sample is not as MISA writes it", SAMPLE)
    word_ids, visual, acoustic, said = item[0]
    where = f"{path}, sample {row}"
    spoken = strings(said, where=f"{where}, words")
    longest = max(map(len, spoken))
    if longest > LENGTH:
        raise _error(path, row, f"a word has {longest:,} letters", f"words of at most {LENGTH:,} letters")
    # Python holds a text of its own for each sample, whatever the file shares.
    allowance.take(sum(map(len, spoken)) + 8 * len(spoken), where=f"{where}, words")
    vision, audio = (_features(values, path, row, name, allowance) for values, name in ((visual, "visual"), (acoustic, "acoustic")))
    label = numbers(item[1], where=f"{where}, label", expected="one number").reshape(-1)
    if _count(word_ids, path, row) != len(spoken) or len(words(" ".join(spoken))) != len(spoken):
        findings.add("text: samples whose words are not as many as their word ids, or hold spaces", split, 1)
    if len(spoken) != len(vision) or len(spoken) != len(audio):
        findings.add("samples whose words and steps are not equally many, so not aligned", split, 1)
    return Sample(spoken, vision, audio, label, _segment(item[2], path, row) if len(item) == 3 else None)


def _count(word_ids: object, path: Path, row: int) -> int:
    """How many word ids there are; lists that hold themselves, or each other, are not counted through."""
    if isinstance(word_ids, np.ndarray) and word_ids.dtype.kind in "iuf":
        return word_ids.size
    if isinstance(word_ids, list | tuple) and all(isinstance(word, int | float | np.number) for word in word_ids):
        return len(word_ids)
    raise _error(path, row, "the word ids are no flat list of numbers", SAMPLE)


def _features(given: object, path: Path, row: int, name: str, allowance: Allowance) -> np.ndarray:
    """`time feature`, as it stands in the file; what it takes, and will take as float32, is counted."""
    expected, where = "numbers, time x feature", f"{path}, sample {row}, {name}"
    values = numbers(given, where=where, expected=expected)
    allowance.take(4 * values.size + values.nbytes, where=where)
    if values.ndim != 2:
        raise _error(path, row, f"{name} has the shape {list(values.shape)}", expected)
    return values


def _segment(given: object, path: Path, row: int) -> str:
    if isinstance(given, bytes):
        given = given[: LENGTH + 1].decode("latin1")
    is_long = len(given) > LENGTH if isinstance(given, str) else isinstance(given, int) and abs(given) >= 1 << 64
    if not isinstance(given, str | int) or is_long:
        raise _error(path, row, f"the segment is {label(given)}", f"its name of at most {LENGTH:,} letters, as video[3]")
    return str(given)


def _split(card: DataCard, split: str, path: Path, samples: Sequence[Sample], known: Sequence[str], findings: Findings) -> Split:
    sentences = [" ".join(sample.words) for sample in samples]
    columns = {}
    for name in card.modalities:
        if name == "text":
            columns[name] = token_column(sentences, known)
        else:
            columns[name] = _column([getattr(sample, name) for sample in samples], name, split, findings)
    if any(sample.segment is None for sample in samples):
        findings.add("no segments: samples are numbered, and their videos are unknown", split)
        ids, groups = [f"{split}_{row}" for row in range(len(samples))], None
    else:
        ids = [str(sample.segment) for sample in samples]
        groups = [name.partition("[")[0] for name in ids] if all("[" in name for name in ids) else None
        if groups is None:
            findings.add("segments are not video[3]: the videos are unknown", split)
    with np.errstate(over="ignore"):  # What float32 cannot hold becomes infinite, and is then refused with its row.
        target = np.array([sample.label[0] for sample in samples]).astype(np.float32)
    return Split(split, columns, torch.from_numpy(target), ids, groups, sentences)


def _column(samples: Iterable[np.ndarray], name: str, split: str, findings: Findings) -> Column:
    """Features joined (float32); infinite values become 0 and are counted."""
    with np.errstate(over="ignore"):
        joined = [values.astype(np.float32) for values in samples]
    infinite = 0
    for values in joined:
        wrong = np.isinf(values)
        infinite += int(wrong.sum())
        values[wrong] = 0
    if infinite:
        findings.add(f"{name}: infinite values became 0", split, infinite)
    return Column.from_list(joined)
