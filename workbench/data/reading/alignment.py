"""Steps with a beginning and an end in seconds: which belong to a segment, and what of them falls on each word.

Intervals are half open, so that a step on the border of two neighbours belongs to one of them. They may overlap and stand in any order.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

SHORTEST = 1e-5
"""A shorter interval, a single moment among them, counts as one of this length [s]."""

TOUCH = 1e-6
"""Two intervals that share less than this only touch: times were rounded [s]."""

Collapse = Literal["mean", "weighted", "last", "max"]


def inside(intervals: np.ndarray, start: float, end: float) -> np.ndarray:
    """The rows whose midpoint lies in `start` <= midpoint < `end`: of segments that do not overlap, at most one has a step.

    Args:
        intervals: `steps 2`, start and end [s].
        start, end: of the segment [s].

    Returns:
        Row numbers (int64), in the order of their start.
    """
    middle = intervals.mean(1)
    rows = np.flatnonzero((middle >= start) & (middle < end))
    return rows[np.argsort(intervals[rows, 0], kind="stable")]


def touching(steps: np.ndarray, words: np.ndarray) -> list[np.ndarray]:
    """For each word the steps whose interval intersects its interval, in the order of their start.

    Args:
        steps: `steps 2`, start and end [s].
        words: `words 2`, start and end [s].

    Returns:
        One array of row numbers of `steps` (int64) a word; empty where none intersects.
    """
    order = np.argsort(steps[:, 0], kind="stable")
    starts, ends = _lengthened(steps[order])
    word_starts, word_ends = _lengthened(words)
    # In the order of the starts, no step before `first` ends late enough (steps may overlap: hence the running maximum), none from `last` on
    # starts early enough; between them each step is asked.
    first = np.searchsorted(np.maximum.accumulate(ends), word_starts + TOUCH, side="right") if len(steps) else np.zeros(len(words), int)
    last = np.searchsorted(starts, word_ends - TOUCH, side="left")
    return [order[a:b][ends[a:b] > start + TOUCH] for a, b, start in zip(first, last, word_starts, strict=True)]


def align(values: np.ndarray, steps: np.ndarray, words: np.ndarray, *, collapse: Collapse = "mean") -> tuple[np.ndarray, np.ndarray]:
    """One step a word: what the steps that intersect the word come to.

    Args:
        values: `steps feature`.
        steps: `steps 2`, their start and end [s].
        words: `words 2`, start and end [s].
        collapse: `mean` of the steps; `weighted`, the mean by the time that a step shares with the word; `last`, the one that starts last;
            `max` of each feature.

    Returns:
        `words feature` (float32), zeros where no step intersects, and `words` (bool), True where one does.
    """
    aligned = np.zeros((len(words), values.shape[1]), np.float32)
    present = np.zeros(len(words), bool)
    for i, rows in enumerate(touching(steps, words)):
        if len(rows):
            aligned[i] = COLLAPSES[collapse](values[rows], shared(steps[rows], words[i]))
            present[i] = True
    return aligned, present


def shared(steps: np.ndarray, word: np.ndarray) -> np.ndarray:
    """How long each step and the word are together [s]."""
    (starts, ends), ((start,), (end,)) = _lengthened(steps), _lengthened(word[None])
    return np.minimum(ends, end) - np.maximum(starts, start)


def _lengthened(intervals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends, with a length of at least SHORTEST."""
    return intervals[:, 0], np.maximum(intervals[:, 1], intervals[:, 0] + SHORTEST)


COLLAPSES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mean": lambda values, _: values.mean(0, dtype=np.float64),
    "weighted": lambda values, seconds: np.average(values.astype(np.float64), axis=0, weights=seconds),
    "last": lambda values, _: values[-1],
    "max": lambda values, _: values.max(0),
}
"""Each takes the steps of a word in the order of their start (`steps feature`) and the time they share with it, and gives one step."""
