"""The axes of a plotly figure in pixels, read from its layout and its data: linear, log and category scales, ticks and titles."""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

KINDS = {"f8": "<f8", "f4": "<f4", "i1": "i1", "u1": "u1", "i2": "<i2", "u2": "<u2", "i4": "<i4", "u4": "<u4"}


def plain_array(value: Any) -> Any:
    """A list or an array of a figure; plotly writes numbers as base64 with their kind."""
    if isinstance(value, Mapping) and "bdata" in value:
        found = np.frombuffer(base64.b64decode(value["bdata"]), KINDS[value["dtype"]])
        shape = value.get("shape")
        return found.reshape([int(size) for size in str(shape).split(",")]) if shape else found
    return [] if value is None else value


def subplot_of(trace: Mapping[str, Any]) -> tuple[str, str]:
    """The names of a trace's axes."""
    return str(trace.get("xaxis", "x")), str(trace.get("yaxis", "y"))


def name_of(value: Any) -> str:
    """The name of a category; numbers as they are read."""
    return f"{value:g}" if isinstance(value, (int, float, np.number)) else str(value)


@dataclass
class Axis:
    """One axis: `start` and `end` in pixels (a vertical one starts at the bottom), `low` and `high` as drawn (powers of ten on a log axis)."""

    start: float
    end: float
    low: float
    high: float
    is_log: bool = False
    names: list[str] = field(default_factory=list)
    layout: Mapping[str, Any] = field(default_factory=dict)
    has_labels: bool = True

    def place(self, value: Any) -> float:
        """Where a value of the data stands [px]; nan for none."""
        if self.names:
            return self.place_as_drawn(name_of(value))
        if not isinstance(value, (int, float, np.number)) or (self.is_log and not value > 0):
            return math.nan
        return self.place_as_drawn(math.log10(value) if self.is_log else float(value))

    def place_as_drawn(self, value: Any) -> float:
        """Where a value stands that is given as annotations give it: a name, a number, a power of ten."""
        if isinstance(value, str):
            value = self.names.index(value) if value in self.names else math.nan
        return self.start + (self.end - self.start) * (float(value) - self.low) / ((self.high - self.low) or 1.0) if value is not None else math.nan

    def places(self, values: Any, others: Any) -> np.ndarray:
        """Where a trace's values stand; counted from zero where it has none."""
        found = plain_array(values)
        return np.asarray([self.place(value) for value in (found if len(found) else range(len(plain_array(others))))], float)

    def step(self, places: np.ndarray) -> float:
        """The room of one category or column [px]."""
        if self.names:
            return abs(self.end - self.start) / ((self.high - self.low) or 1.0)
        gaps = np.abs(np.diff(np.unique(places[np.isfinite(places)])))
        return float(gaps.min()) if len(gaps) else abs(self.end - self.start) / 2

    @property
    def title(self) -> str:
        """What the axis is called."""
        title = self.layout.get("title") or {}
        return str(title.get("text") or "") if isinstance(title, Mapping) else str(title)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Pixels and words of the ticks."""
        if self.layout.get("visible") is False or self.layout.get("showticklabels") is False:
            return
        for value, text in self._marked():
            place = self.place_as_drawn(value)
            if min(self.start, self.end) - 0.5 <= place <= max(self.start, self.end) + 0.5:
                yield place, text

    def _marked(self) -> Iterator[tuple[float, str]]:
        """Values as drawn and their words: those of the layout, the names, powers of ten, or about five round numbers."""
        if self.layout.get("tickvals") is not None:
            values = list(plain_array(self.layout["tickvals"]))
            texts = self.layout.get("ticktext") or [f"{value:g}" if isinstance(value, (int, float)) else str(value) for value in values]
            for value, text in zip(values, texts, strict=False):
                yield math.log10(value) if self.is_log and isinstance(value, (int, float)) else value, str(text)
        elif self.names:
            yield from ((float(place), name) for place, name in enumerate(self.names))
        elif self.is_log and self.high - self.low >= 1:
            yield from ((float(power), f"{10.0**power:g}") for power in range(math.ceil(self.low), math.floor(self.high) + 1))
        elif math.isfinite(self.low) and math.isfinite(self.high) and self.high != self.low:
            low, high = sorted((self.low, self.high))
            step = _round_step((high - low) / 5)
            for number in range(math.ceil(low / step), math.floor(high / step) + 1):
                yield number * step, f"{10 ** (number * step):.3g}" if self.is_log else f"{round(number * step, 10):g}"


def _round_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= rough), 10 * power)


def axes_of(figure: Mapping[str, Any], box: Sequence[float]) -> dict[str, Axis]:
    """Every axis that a trace uses, by its name (`x`, `y2`).

    Args:
        figure: data and layout of a plotly figure.
        box: left, top, width and height of the panels together [px].
    """
    layout, traces = figure.get("layout") or {}, figure.get("data") or []
    found = {}
    for name in dict.fromkeys(name for trace in traces for name in subplot_of(trace)):
        own = layout.get(f"{name[0]}axis{name[1:]}") or {}
        group = _same_scale(name, layout, traces)
        is_category, sharing = own.get("type") == "category", [trace for trace in traces if set(subplot_of(trace)) & group]
        values = [value for trace in sharing for value in _values(trace, name[0], is_category=is_category)]
        named = own.get("categoryarray") or [value for value in values if is_category or isinstance(value, str)]
        names = list(dict.fromkeys(map(name_of, named)))
        low, high = _limits(own, layout, group, values, names)
        first, last = own.get("domain") or (0.0, 1.0)
        if name[0] == "x":
            start, end = box[0] + box[2] * first, box[0] + box[2] * last
        else:
            start, end = box[1] + box[3] * (1 - first), box[1] + box[3] * (1 - last)
        found[name] = Axis(start, end, low, high, own.get("type") == "log", names, own, own.get("showticklabels") is not False)
    return found


def _same_scale(name: str, layout: Mapping[str, Any], traces: Sequence[Mapping[str, Any]]) -> set[str]:
    """The axes that share one scale with this one (`matches`)."""
    names = {other for trace in traces for other in subplot_of(trace) if other[0] == name[0]}
    root = {other: (layout.get(f"{other[0]}axis{other[1:]}") or {}).get("matches") or other for other in names}
    return {other for other in names if root[other] == root[name]}


def _values(trace: Mapping[str, Any], direction: str, *, is_category: bool) -> list[Any]:
    """The values of a trace in one direction; bars reach to zero, and maps count their rows."""
    values = list(plain_array(trace.get(direction)))
    if trace.get("type") == "heatmap" and not is_category:
        return _edges(values or range(np.asarray(plain_array(trace.get("z")), float).shape[1 if direction == "x" else 0]))
    is_length = trace.get("type") == "bar" and (direction == "x") == (trace.get("orientation") == "h")
    return [*values, 0.0] if is_length else values


def _edges(values: Sequence[Any]) -> list[Any]:
    """The middles of a map's columns, and where the outer ones end."""
    if len(values) < 2 or any(isinstance(value, str) for value in values):
        return list(values)
    return [values[0] - (values[1] - values[0]) / 2, *values, values[-1] + (values[-1] - values[-2]) / 2]


def _limits(own: Mapping[str, Any], layout: Mapping[str, Any], group: set[str], values: Sequence[Any], names: Sequence[str]) -> tuple[float, float]:
    """The range as drawn: the layout's (its own, or that of an axis with the same scale), else of the data with some room."""
    ranges = [own.get("range"), *((layout.get(f"{name[0]}axis{name[1:]}") or {}).get("range") for name in sorted(group))]
    given = next((found for found in ranges if found and None not in found), None)
    if given:
        return float(given[0]), float(given[1])
    low, high = -0.5, len(names) - 0.5
    if not names:
        numbers = np.asarray([value for value in values if isinstance(value, (int, float, np.number))], float)
        numbers = np.log10(numbers[numbers > 0]) if own.get("type") == "log" else numbers[np.isfinite(numbers)]
        low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, 1.0)
        room = (high - low) * 0.06 or 0.5
        low, high = low - room, high + room
    return (high, low) if own.get("autorange") == "reversed" else (low, high)
