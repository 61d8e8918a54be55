"""Colours, marks and hatches: hue means modality and nothing else.

Okabe-Ito hues; grey print merges them, therefore every line also has a mark and a label at its end (experience.md, section 6).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

INK = "#1A1A1A"  # joint, fused; all words
QUIET = "#767676"  # no balance, chance
GRID = "#E3E3E3"
PAPER = "#FFFFFF"


@dataclass(frozen=True)
class Style:
    """How one modality is drawn: line `color`, plotly marker `symbol`, the same `mark` as a character, bar `hatch`, colour of `small` text."""

    color: str
    small: str
    symbol: str
    mark: str
    hatch: str
    is_hollow: bool = False

    @property
    def band(self) -> str:
        """The colour of the range around a line: the line's own, mostly transparent."""
        red, green, blue = (int(self.color[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},0.16)"

    @property
    def open_symbol(self) -> str:
        """The hollow form of the mark."""
        return f"{self.symbol}-open"


STYLES = (
    Style("#0072B2", "#0072B2", "circle", "●", ""),
    Style("#D55E00", "#B34F00", "square", "■", "/"),
    Style("#009E73", "#007F5C", "triangle-up", "▲", "."),
    Style("#CC79A7", "#A8457E", "diamond", "◆", "x"),
)
HOLLOW_MARKS = {"●": "○", "■": "□", "▲": "△", "◆": "◇"}
KNOWN = {"text": 0, "language": 0, "audio": 1, "speech": 1, "vision": 2, "video": 2, "visual": 2, "image": 2}


def styles(modalities: Iterable[str]) -> dict[str, Style]:
    """A style per modality: text, audio and vision (image) have their own; other names take the free ones, from the fifth on hollow marks."""
    names = list(dict.fromkeys(modalities))
    taken: dict[str, int] = {}
    for name in names:
        slot = KNOWN.get(name.lower())
        if slot is not None and slot not in taken.values():
            taken[name] = slot
    # Beside a known modality the fourth hue goes first: blue should not mean text in one picture and pixels in the next.
    spare = iter([slot for slot in ((3, 0, 1, 2) if taken else (0, 1, 2, 3)) if slot not in taken.values()])
    chosen = {name: STYLES[taken[name]] if name in taken else _next_style(spare) for name in names}
    late = [name for name in names if chosen[name] is None]
    for place, name in enumerate(late):
        chosen[name] = hollow(STYLES[place % len(STYLES)])
    return chosen


def _next_style(spare: Iterable[int]) -> Style | None:
    """The next free style, None when all four are taken."""
    slot = next(spare, None)
    return None if slot is None else STYLES[slot]


def hollow(style: Style) -> Style:
    """The same style with its hollow mark."""
    return replace(style, symbol=style.open_symbol, mark=HOLLOW_MARKS[style.mark], is_hollow=True)
