"""CMU-MOSI and CMU-MOSEI as the CMU-MultimodalSDK ships them: one `.csd` file a modality, one with the labels of segments.

A sample is a segment of the labels. A step of a modality belongs to the segment that its midpoint lies in; variant `unaligned` takes these
steps as they are, variant `aligned` gives audio and vision one step a word (`workbench.data.reading.alignment`). One video is read at a time.

The card's sources have the roles `labels`, the name of each modality, and, where the card has no `folds:`, `folds` (`workbench.data.reading.folds`).
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from workbench.data.arrays import modality_spec, token_column, vocabulary
from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split
from workbench.data.card import DataCard
from workbench.data.reading.advice import advised
from workbench.data.reading.alignment import COLLAPSES, Collapse
from workbench.data.reading.folds import folds_of
from workbench.data.reading.pickled import Findings
from workbench.data.reading.segments import Segment, Steps, Words, column_of, marked, steps_of, words_of
from workbench.data.reading.sequences import TimedSequence, open_sequence
from workbench.errors import DataError, unknown

TEXT = "text"


@dataclass(frozen=True)
class Reading:
    """The open files, how they are read, and what that found.

    Args:
        sequences: the file of each modality.
        aligned: the modalities that are aligned to the words.
        collapse, nan: see `read`.
        findings: added to.
    """

    sequences: Mapping[str, TimedSequence]
    aligned: tuple[str, ...]
    collapse: Collapse
    nan: str
    findings: Findings


@dataclass(frozen=True)
class Plan:
    """The segments of a split, what is said in each (where there is text), and the steps of each modality."""

    segments: list[Segment]
    words: list[Words]
    steps: dict[str, Steps]

    def take(self, keep: np.ndarray) -> "Plan":
        """Some of the segments."""
        steps = {name: Steps(found.lengths[keep], found.there[keep]) for name, found in self.steps.items()}
        rows = np.flatnonzero(keep).tolist()
        return Plan([self.segments[row] for row in rows], [self.words[row] for row in rows] if self.words else [], steps)


@advised
def read(
    card: DataCard,
    root: Path,
    *,
    variant: str = "unaligned",
    collapse: Collapse = "mean",
    keep_pauses: bool = False,
    drop_empty: bool = False,
    nan: Literal["error", "zero"] = "error",
) -> Dataset:
    """The segments of the labels file, cut into the folds.

    Regression takes the first number of a label (sentiment); multilabel the numbers behind it (emotions): present where above 0.

    Args:
        card: names the files by role.
        root: the data root.
        variant: `unaligned`, or `aligned` to the words.
        collapse: what the steps of a word come to: their `mean`; `weighted`, by the time that they share with it; the `last`; the `max`.
        keep_pauses: keep the word `sp`, a pause.
        drop_empty: drop segments without a step in some modality; else they have one step of zeros there, marked as missing.
        nan: `error`, or `zero`: put 0 in its place. Infinite values (COVAREP's logarithm of silence) always become 0. Both are counted.

    Raises:
        DataError: a file that is not as described; file, video and row, and what was expected.
        ConfigError: an unknown variant or option.
    """
    for kind, value, known in (("variant", variant, ("unaligned", "aligned")), ("collapse", collapse, COLLAPSES), ("nan", nan, ("error", "zero"))):
        if value not in known:
            raise unknown(kind, value, known)
    if variant == "aligned" and TEXT not in card.modalities:
        raise DataError(f"{card.name}: nothing to align to", where=card.place("modalities"), expected=f"the modality {TEXT}, whose steps are words")
    if card.task.kind == "multiclass":
        raise DataError(f"{card.name}: the labels are amounts, not classes", where=card.place("task", "kind"), expected="regression or multilabel")
    source = variant if variant in card.variants else ""
    folds = folds_of(card, root, variant=source)
    aligned = tuple(name for name in card.modalities if name != TEXT) if variant == "aligned" else ()
    with ExitStack() as stack:
        labels = stack.enter_context(open_sequence(card.file(root, "labels", variant=source)))
        sequences = {name: stack.enter_context(open_sequence(card.file(root, name, variant=source))) for name in card.modalities}
        reading = Reading(sequences, aligned, collapse, nan, Findings())
        plans = {split: _plan(card, split, folds[split], labels, reading, keep_pauses=keep_pauses, drop_empty=drop_empty) for split in card.splits}
        left = len(set(labels.entries).difference(*folds.values()))
        if left:
            reading.findings.add(f"{left} of {len(labels.entries)} videos with labels are in no fold: left out")
        columns, specs = _columns(card, plans, reading)
    splits = {split: _split(card, split, columns[split], plan) for split, plan in plans.items()}
    return Dataset(card.name, Spec(specs, card.task.spec()), splits, notes={"reading": reading.findings.sentences(plans)})


def _plan(card: DataCard, split: str, videos: Iterable[str], labels: TimedSequence, reading: Reading, *, keep_pauses: bool, drop_empty: bool) -> Plan:
    """What a split will have: segments, words and the number of steps, without a feature read."""
    segments = list(_segments(card, split, videos, labels, reading))
    words = words_of(segments, reading.sequences[TEXT], keep_pauses=keep_pauses) if TEXT in card.modalities else []
    steps = {}
    for name, sequence in reading.sequences.items():
        if name == TEXT:
            count = np.array([len(said.rows) for said in words], np.int64)
            steps[name] = Steps(count, count)
        else:
            steps[name] = steps_of(segments, sequence, words=words if name in reading.aligned else None)
    plan = Plan(segments, words, steps)
    if drop_empty and segments:
        is_empty = np.logical_or.reduce([found.there == 0 for found in steps.values()])
        if is_empty.any():
            reading.findings.add("segments without a step in some modality: dropped", split, int(is_empty.sum()))
        plan = plan.take(~is_empty)
    if not plan.segments:
        raise DataError(f"{card.name}: no segment is in {split}", where=card.place("splits", split), expected="folds that name videos of the files")
    _count_missing(split, plan, reading)
    return plan


def _count_missing(split: str, plan: Plan, reading: Reading) -> None:
    for name, steps in plan.steps.items():
        empty, absent = int((steps.lengths == 0).sum()), int((steps.lengths - steps.there).sum())
        if empty:
            reading.findings.add(f"{name}: segments without a step: one step of zeros, marked as missing", split, empty)
        if absent:
            reading.findings.add(f"{name}: words without a step: zeros, marked as missing", split, absent)


def _segments(card: DataCard, split: str, videos: Iterable[str], labels: TimedSequence, reading: Reading) -> Iterator[Segment]:
    """The segments of some videos, in the order of the labels file; a video that a file does not have is left out and counted."""
    for video in videos:
        absent = [name for name, sequence in {"labels": labels, **reading.sequences}.items() if video not in sequence.entries]
        if absent:
            reading.findings.add(f"videos of the folds without {' and '.join(absent)}: left out", split, 1)
            continue
        targets = _targets(card, labels, video)
        for name, (start, end), target in zip(labels.names(video), labels.intervals(video).tolist(), targets, strict=True):
            yield Segment(video, name, start, end, target)


def _targets(card: DataCard, labels: TimedSequence, video: str) -> np.ndarray:
    """What is to be predicted of each segment: `segments` sentiment, or `segments label` of 0 and 1."""
    values, is_amount = labels.values(video), card.task.kind == "regression"
    needed = 1 if is_amount else 1 + len(card.task.classes)
    if values.dtype.kind in "SO" or values.shape[1] < needed or (values.shape[1] > needed and not is_amount):
        expected = "segments x sentiment" if is_amount else f"segments x {needed} numbers: sentiment, {', '.join(card.task.classes)}"
        raise labels.bad(video, "features", f"labels are {list(values.shape)} {values.dtype}", expected)
    with np.errstate(over="ignore"):  # What float32 cannot hold counts as infinite.
        amounts = values.astype(np.float32)
    broken = ~np.isfinite(amounts).all(1)
    if broken.any():
        raise labels.bad(video, f"features, row {int(broken.argmax())}", "a label is nan or infinite", "finite numbers")
    return amounts[:, 0] if is_amount else (values[:, 1:] > 0).astype(np.float32)


def _columns(card: DataCard, plans: Mapping[str, Plan], reading: Reading) -> tuple[dict[str, dict[str, Column]], dict[str, ModalitySpec]]:
    """The columns of each split, and what they are."""
    columns: dict[str, dict[str, Column]] = {split: {} for split in plans}
    specs = {}
    for name, modality in card.modalities.items():
        sequence = reading.sequences[name]
        kind = "tokens" if sequence.holds_words else "sequence"
        if kind not in (modality.kind, *modality.also) or (kind == "tokens" and name != TEXT):
            expected = f"{modality.kind}, says {card.place('modalities', name, 'kind')}"
            raise DataError(
                f"{card.name}: {sequence.path.name} holds {'words' if kind == 'tokens' else 'numbers'}", where=str(sequence.path), expected=expected
            )
        known = vocabulary(said.sentence for said in plans["train"].words) if kind == "tokens" else ()
        for split, plan in plans.items():
            if kind == "tokens":
                columns[split][name] = marked(token_column([said.sentence for said in plan.words], known), plan.steps[name])
            else:
                columns[split][name] = _numbers(name, split, plan, reading)
        specs[name] = modality_spec(kind, (columns[split][name] for split in plans), rate=modality.rate, vocabulary=known)
    return columns, specs


def _numbers(name: str, split: str, plan: Plan, reading: Reading) -> Column:
    """A modality of numbers; what was replaced is noted."""
    words = plan.words if name in reading.aligned else None
    column, replaced = column_of(plan.segments, reading.sequences[name], plan.steps[name], words=words, collapse=reading.collapse, nan=reading.nan)
    for what, count in replaced.items():
        if count:
            reading.findings.add(f"{name}: {what} in its videos, replaced by 0", split, count)
    return column


def _split(card: DataCard, name: str, columns: dict[str, Column], plan: Plan) -> Split:
    """The columns with labels, ids, videos and, where there are words, sentences."""
    target = torch.from_numpy(np.stack([segment.target for segment in plan.segments]))
    ids, videos = [segment.name for segment in plan.segments], [segment.video for segment in plan.segments]
    has_words = any(said.spoken for said in plan.words)
    return Split(name, columns, target, ids, videos, [said.sentence for said in plan.words] if has_words else None)
