"""Pictures in characters: bars, lines and maps that need no colour, in block characters or, where the terminal cannot write those, in ASCII."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ink:
    """The characters to draw with.

    Args:
        levels: from nothing to a full cell, low to high (lines over time).
        shades: from nothing to black (maps and images).
        full: a bar's character.
        more: stands for text that was cut off.
    """

    levels: str
    shades: str
    full: str
    more: str


BLOCKS = Ink("▁▂▃▄▅▆▇█", " ░▒▓█", "█", "…")
ASCII = Ink("_.-=+*#@", " .:-=+*#@", "#", "...")


def ink_for(encoding: str | None) -> Ink:
    """Block characters where the encoding has them, else ASCII."""
    try:
        "".join((BLOCKS.levels, BLOCKS.shades, BLOCKS.more)).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def printable(text: str, encoding: str | None) -> str:
    """The text with everything the encoding cannot write as a question mark, and without control characters."""
    text = "".join(character if character.isprintable() or character == "\n" else " " for character in text)
    try:
        return text.encode(encoding or "ascii", "replace").decode(encoding or "ascii")
    except LookupError:
        return text.encode("ascii", "replace").decode("ascii")


def cut(text: str, width: int, ink: Ink) -> str:
    """The text, at most `width` characters long."""
    return text if len(text) <= width else text[: max(0, width - len(ink.more))] + ink.more[:width]


def bars(names: Sequence[str], values: Sequence[float], said: Sequence[str], *, width: int, ink: Ink) -> list[str]:
    """One bar a name, the longest as long as there is room; what is said of each stands before it. A value above 0 is never without a mark."""
    longest = min(max(map(len, names)), max(8, width // 3))
    told = max(map(len, said))
    room = max(4, width - longest - told - 4)
    top = max(max(values), 1e-12)
    lines = []
    for name, value, words in zip(names, values, said, strict=True):
        length = max(1, round(room * value / top)) if value > 0 else 0
        lines.append(f"{cut(name, longest, ink):<{longest}}  {words:>{told}}  {ink.full * length}".rstrip())
    return lines


def sparkline(values: np.ndarray, *, width: int, ink: Ink, low: float | None = None, high: float | None = None) -> str:
    """A line over time, one character a stretch; a flat line stays in the middle."""
    values = shrunk(np.asarray(values, float)[:, None], width)[:, 0]
    low, high = float(values.min()) if low is None else low, float(values.max()) if high is None else high
    return "".join(ink.levels[i] for i in _levels(values, low, high, len(ink.levels)))


def shades(rows: np.ndarray, *, ink: Ink, low: float = 0.0, high: float = 1.0) -> list[str]:
    """A map, `rows columns`, one character a cell, darker where the value is higher."""
    return ["".join(ink.shades[i] for i in _levels(row, low, high, len(ink.shades))) for row in rows]


def image(pixels: np.ndarray, *, width: int, ink: Ink) -> list[str]:
    """An image, `height width` in 0..1; a character is about twice as high as wide, so small images take two a pixel, large ones two rows a line."""
    height, across = pixels.shape
    if across * 2 <= width and height <= 24:
        return ["".join(character * 2 for character in line) for line in shades(pixels, ink=ink)]
    columns = min(across, width)
    rows = max(1, min(height, round(columns * height / across / 2)))
    small = shrunk(shrunk(pixels, rows).T, columns).T
    return shades(small, ink=ink)


def shrunk(values: np.ndarray, size: int) -> np.ndarray:
    """The means of `size` stretches of the rows (`rows columns`); what is shorter stays."""
    edges = np.unique(np.linspace(0, len(values), min(len(values), max(1, size)) + 1).round().astype(int))
    return np.add.reduceat(values, edges[:-1], axis=0) / np.diff(edges)[:, None]


def wrapped(text: str, *, width: int, indent: str = "") -> list[str]:
    """Text in lines no longer than the width."""
    return textwrap.wrap(text, max(20, width), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False) or [indent.rstrip()]


def _levels(values: np.ndarray, low: float, high: float, levels: int) -> np.ndarray:
    if not high > low:
        return np.full(len(values), levels // 2)
    return np.clip(((values - low) / (high - low) * levels).astype(int), 0, levels - 1)
