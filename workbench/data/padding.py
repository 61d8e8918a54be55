"""Padded arrays, as other frameworks store them, into ragged columns: which side is padded is detected, never assumed.

MMSA pads behind the real steps, MulT before them. A step is padding where all its features are exactly 0. Arrays may be larger than memory (a
memory-mapped file): they are read some samples at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from workbench.data import scratch
from workbench.data.column import Column, offsets_of

Side = Literal["start", "end", "none"]

PIECE = 64 * 1024**2
"""Bytes of a padded array that are looked at together."""


@dataclass(frozen=True)
class Padding:
    """Where a padded array is padded.

    Args:
        side: `start`, `end`, or `none` where no sample has a zero step at either end.
        lengths: real steps of each sample (int64); a sample that is zero throughout has 1.
    """

    side: Side
    lengths: np.ndarray

    def __str__(self) -> str:
        where = {"start": "before the real steps", "end": "behind the real steps", "none": "nowhere"}[self.side]
        return f"padded {where}; {self.lengths.min()} to {self.lengths.max()} real steps"


def detect(padded: np.ndarray) -> Padding:
    """The side on which an array is padded, and the real steps of each sample.

    The side is the one with more zero steps over all samples; samples that are zero throughout do not vote.

    Args:
        padded: `samples time feature`, or `samples time`.
    """
    before, behind = np.zeros(len(padded), np.int64), np.zeros(len(padded), np.int64)
    steps = padded.shape[1]
    for rows, piece in pieces(padded):
        is_real = (piece != 0).reshape(len(piece), steps, -1).any(2)
        is_empty = ~is_real.any(1)
        before[rows] = np.where(is_empty, steps, is_real.argmax(1))
        behind[rows] = np.where(is_empty, steps, is_real[:, ::-1].argmax(1))
    is_empty = before == steps
    at_start, at_end = before[~is_empty].sum(), behind[~is_empty].sum()
    side: Side = "start" if at_start > at_end else "end" if at_end > 0 else "none"
    zeros = before if side == "start" else behind
    return Padding(side, np.maximum(1, steps - zeros))


def ragged(
    padded: np.ndarray, lengths: np.ndarray, *, side: Side, dtype: np.dtype | type = np.float32, replace_infinite: bool = True
) -> tuple[Column, int]:
    """The real steps of a padded array as a column, and how many infinite values became 0.

    Args:
        padded: `samples time feature`, or `samples time`.
        lengths: real steps of each sample, 1 to time.
        side: where the padding stands: `start` takes the last steps of each sample, else the first.
        dtype: of the column.
        replace_infinite: put 0 in the place of infinite values (COVAREP writes -inf for the logarithm of silence); nan stays, to be refused.
    """
    lengths = np.asarray(lengths, np.int64)
    offsets = offsets_of(torch.from_numpy(lengths))
    values, room = scratch.empty((int(offsets[-1]), *padded.shape[2:]), dtype)
    replaced, at, position = 0, 0, np.arange(padded.shape[1])
    for rows, piece in pieces(padded):
        count = lengths[rows, None]
        keep = position >= padded.shape[1] - count if side == "start" else position < count
        real = piece[keep]
        if replace_infinite and real.dtype.kind == "f":
            is_infinite = np.isinf(real)
            replaced += int(is_infinite.sum())
            real[is_infinite] = 0
        with np.errstate(over="ignore"):  # What the type cannot hold becomes infinite, and is refused when the data is verified.
            values[at : at + len(real)] = real
        at += len(real)
        scratch.release(room)
    return Column(torch.from_numpy(values), offsets, map=room), replaced


def pieces(padded: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Some samples at a time, each piece with its rows; the pages of a mapped file are given back behind it."""
    size = max(1, PIECE // max(1, padded[:1].nbytes))
    for start in range(0, len(padded), size):
        rows = slice(start, start + size)
        yield rows, np.asarray(padded[rows])
        scratch.release_array(padded)
