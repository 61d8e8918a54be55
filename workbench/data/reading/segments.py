"""What of a computational sequence falls into the segments of videos: counted first, then put into a column, one video at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from workbench.data import scratch
from workbench.data.column import Column, offsets_of
from workbench.data.reading.alignment import Collapse, align, inside, touching
from workbench.data.reading.sequences import TimedSequence

PAUSES = ("", "sp")
"""What a sequence of words holds where nobody speaks."""


@dataclass(frozen=True)
class Segment:
    """One sample: a segment of a video, in seconds, and its label (one number, or a 0 or 1 for each class)."""

    video: str
    name: str
    start: float
    end: float
    target: np.ndarray


@dataclass(frozen=True)
class Words:
    """What is said in a segment: start and end of each word (`words 2`) [s], its row in the video, and, where they are known, the words."""

    intervals: np.ndarray
    rows: np.ndarray
    spoken: list[str]

    @property
    def sentence(self) -> str:
        """The words in one line."""
        return " ".join(self.spoken)


@dataclass(frozen=True)
class Steps:
    """How many steps a modality has in each segment.

    Args:
        lengths: `segments` (int64), 0 where there is none.
        there: of these, how many have values (aligned: words with a step of this modality).
    """

    lengths: np.ndarray
    there: np.ndarray


def words_of(segments: Sequence[Segment], sequence: TimedSequence, *, keep_pauses: bool = False) -> list[Words]:
    """What is said in each segment, in the order of time; pauses are left out."""
    said = []
    for video, group in groupby(segments, key=lambda segment: segment.video):
        intervals = sequence.intervals(video)
        spoken = sequence.words(video) if sequence.holds_words else None
        for segment in group:
            rows = inside(intervals, segment.start, segment.end)
            if spoken is not None and not keep_pauses:
                rows = rows[[spoken[row] not in PAUSES for row in rows]]
            said.append(Words(intervals[rows], rows, [] if spoken is None else [spoken[row] or PAUSES[1] for row in rows]))
    return said


def steps_of(segments: Sequence[Segment], sequence: TimedSequence, *, words: Sequence[Words] | None = None) -> Steps:
    """How many steps each segment has; with words, one a word."""
    lengths, there = [], []
    for video, group in _numbered(segments):
        intervals = sequence.intervals(video)
        for row, segment in group:
            if words is None:
                there.append(len(inside(intervals, segment.start, segment.end)))
                lengths.append(there[-1])
            else:
                there.append(sum(len(rows) > 0 for rows in touching(intervals, words[row].intervals)))
                lengths.append(len(words[row].rows))
    return Steps(np.array(lengths, np.int64), np.array(there, np.int64))


def column_of(
    segments: Sequence[Segment],
    sequence: TimedSequence,
    steps: Steps,
    *,
    words: Sequence[Words] | None = None,
    collapse: Collapse = "mean",
    nan: str = "error",
) -> tuple[Column, dict[str, int]]:
    """The values of each segment, and how many infinite values and nan became 0.

    A segment without a step has one step of zeros. What has no values is marked as missing (`Column.present`).

    Args:
        segments: in the order of their videos.
        sequence: the modality.
        steps: what `steps_of` counted.
        words: align to these; None: the steps whose midpoint lies in the segment.
        collapse: what the steps of a word come to (see `workbench.data.reading.alignment.align`).
        nan: `error` or `zero`.

    Raises:
        DataError: features that are words, are not of one width, or nan.
    """
    offsets = offsets_of(torch.from_numpy(np.maximum(1, steps.lengths)))
    width = sequence.width
    values, room = scratch.empty((int(offsets[-1]), width), np.float32)
    present = np.ones(len(values), bool)
    replaced = {"infinite values": 0, "nan": 0}
    for video, group in _numbered(segments):
        read = sequence.numbers(video, width=width, nan=nan, replaced=replaced)
        intervals = sequence.intervals(video)
        for row, segment in group:
            part = slice(int(offsets[row]), int(offsets[row + 1]))
            if not steps.lengths[row]:
                values[part], present[part] = 0, False
            elif words is None:
                values[part] = read[inside(intervals, segment.start, segment.end)]
            else:
                values[part], present[part] = align(read, intervals, words[row].intervals, collapse=collapse)
        scratch.release(room)
    return Column(torch.from_numpy(values), offsets, None if present.all() else torch.from_numpy(present), map=room), replaced


def marked(column: Column, steps: Steps) -> Column:
    """A column of words whose segments without one are marked as missing."""
    if steps.there.all():
        return column
    present = torch.ones(len(column.values), dtype=torch.bool)
    present[column.offsets[:-1][torch.from_numpy(steps.there == 0)]] = False
    return Column(column.values, column.offsets, present)


def _numbered(segments: Sequence[Segment]) -> Iterator[tuple[str, list[tuple[int, Segment]]]]:
    """The segments of each video, with their rows."""
    for video, group in groupby(enumerate(segments), key=lambda pair: pair[1].video):
        yield video, list(group)
