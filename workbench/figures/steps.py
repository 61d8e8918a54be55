"""Steps of a sequence on an axis: words, seconds or numbers; long ones pooled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.figures import canvas

MOST = 120
"""Columns or rows of a map; longer sequences are drawn by the means of this many stretches."""


@dataclass(frozen=True)
class StepAxis:
    """The steps of one sequence as they stand on an axis.

    Args:
        count: steps.
        modality: whose steps they are; may be empty.
        words: one a step, where there are words.
        rate: steps a second, where time is known [Hz].
        most: cells on the axis at most.
    """

    count: int
    modality: str = ""
    words: Sequence[str] | None = None
    rate: float | None = None
    most: int = MOST

    @property
    def edges(self) -> np.ndarray:
        """First step of each cell, and the end of the last."""
        cells = min(self.count, self.most)
        return np.unique(np.linspace(0, self.count, cells + 1).round().astype(int))

    @property
    def cells(self) -> int:
        """How many cells are drawn."""
        return len(self.edges) - 1

    @property
    def is_pooled(self) -> bool:
        """True where a cell stands for several steps."""
        return self.cells < self.count

    @property
    def title(self) -> str:
        """`text (tokens)`, `audio [s]`, `audio (steps)`."""
        unit = "tokens" if self.words is not None else "s" if self.rate else "steps"
        name = canvas.safe(self.modality)
        return f"{name} [{unit}]" if unit == "s" else f"{name} ({unit})" if name else unit

    def pooled(self, values: np.ndarray, axis: int) -> np.ndarray:
        """The mean over each cell's steps."""
        edges = self.edges
        shape = [1] * values.ndim
        shape[axis] = -1
        return np.add.reduceat(values, edges[:-1], axis=axis) / np.diff(edges).reshape(shape)

    def say(self, cell: int) -> str:
        """`“great”`, `“a” to “day” (tokens 3 to 5)`, `1.2 to 1.6 s`, `step 4`."""
        start, end = int(self.edges[cell]), int(self.edges[cell + 1])
        if self.words is not None:
            first, last = (f"“{self.words[i]}”" for i in (start, end - 1))
            both = first if first == last else f"{first} to {last}"
            return first if end - start == 1 else f"{both} (tokens {start + 1} to {end})"
        if self.rate:
            return f"{start / self.rate:.2f} to {end / self.rate:.2f} s"
        return f"step {start + 1}" if end - start == 1 else f"steps {start + 1} to {end}"

    def ticks(self, most: int = 40) -> dict[str, list]:
        """Places and words of the ticks, as plotly takes them."""
        if self.words is not None:
            every = -(-self.cells // most)
            chosen = range(0, self.cells, every)
            return {"tickvals": list(chosen), "ticktext": [canvas.safe(short(self.words[int(self.edges[i])])) for i in chosen]}
        if self.rate:
            seconds = nice_ticks(self.count / self.rate)
            return {"tickvals": [value * self.rate * self.cells / self.count - 0.5 for value in seconds], "ticktext": [f"{s:g}" for s in seconds]}
        steps = [max(1, int(step)) for step in nice_ticks(self.count)]
        places = {(step - 0.5) * self.cells / self.count - 0.5: str(step) for step in steps}
        return {"tickvals": list(places), "ticktext": list(places.values())}


def short(word: str, length: int = 14) -> str:
    """A word that fits on a tick."""
    return word if len(word) <= length else f"{word[: length - 1]}…"


def nice_ticks(end: float, most: int = 8) -> list[float]:
    """0 and multiples of 1, 2 or 5 times a power of ten up to the end."""
    if end <= 0:
        return [0.0]
    power = 10.0 ** np.floor(np.log10(end / most))
    step = next(factor * power for factor in (1, 2, 5, 10) if end / (factor * power) <= most)
    return [round(float(value), 9) for value in np.arange(0, end + step / 1e6, step)]
