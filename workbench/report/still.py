"""A plotly figure as a still SVG, drawn from its data without a browser: where no script runs, and small on the index.

Draws what the figures of this package use: lines, marks, bands, error bars, bars, heat maps, labels, linear, log and category axes. No other claim.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape, unescape
from itertools import product
from typing import Any

import numpy as np

from workbench.report.scales import Axis, axes_of, plain_array, subplot_of

WIDTH = 660
SMALL = (176, 110)
INKS = {"#1A1A1A": "currentColor", "#FFFFFF": "var(--paper)", "#E3E3E3": "var(--grid)"}
DASH = {"dot": "1.5 3", "dash": "6 4", "dashdot": "6 3 1.5 3", "longdash": "9 4"}
MOST_POINTS, MOST_SMALL_POINTS, MOST_LETTERS = 400, 40, 60_000


def still(figure: Mapping[str, Any]) -> str:
    """The figure 660 px wide, with axes and labels; an empty text where nothing in it can be drawn, or too much for a page of 1 MB."""
    layout = figure.get("layout") or {}
    margin = {"l": 76, "r": 16, "t": 64, "b": 64} | (layout.get("margin") or {})
    height = int(layout.get("height") or 450)
    box = (margin["l"], margin["t"], WIDTH - margin["l"] - margin["r"], max(80, height - margin["t"] - margin["b"]))
    drawn = _tried(lambda: _whole(figure, box))
    fits = f'<svg class="still" viewBox="0 0 {WIDTH} {height}" font-size="13" fill="currentColor">{drawn}</svg>'
    return fits if drawn and len(drawn) < MOST_LETTERS else ""


def thumbnail(figure: Mapping[str, Any] | None) -> str:
    """The marks of the figure alone, 176 x 110 px; an empty text where there is none."""
    drawn = _tried(lambda: "".join(_drawn(figure, (4, 4, SMALL[0] - 8, SMALL[1] - 8), MOST_SMALL_POINTS))) if figure else ""
    return f'<svg viewBox="0 0 {SMALL[0]} {SMALL[1]}" aria-hidden="true">{drawn}</svg>' if drawn and len(drawn) < MOST_LETTERS // 4 else ""


def _tried(draw: Callable[[], str]) -> str:
    """What is drawn; nothing for a figure of a kind that this file does not know: plotly draws it, and no page fails for it."""
    try:
        return draw()
    except Exception:
        return ""


def _whole(figure: Mapping[str, Any], box: Sequence[float]) -> str:
    """Traces, axes and labels."""
    traces = "".join(_drawn(figure, box, MOST_POINTS))
    return traces and traces + "".join([*_frames(figure, box), *_labels(figure, box)])


def _drawn(figure: Mapping[str, Any], box: Sequence[float], most: int) -> Iterator[str]:
    """All traces; heat maps lie below."""
    axes = axes_of(figure, box)
    traces = [trace for trace in figure.get("data") or [] if trace.get("visible", True) is True]
    for trace in sorted(traces, key=lambda trace: trace.get("type") != "heatmap"):
        x, y = axes[trace.get("xaxis", "x")], axes[trace.get("yaxis", "y")]
        if trace.get("type") == "heatmap":
            yield from _heatmap(trace, x, y, most)
        elif trace.get("type") == "bar":
            yield from _bars(trace, traces, figure.get("layout") or {}, x, y)
        elif trace.get("type", "scatter") in ("scatter", "scattergl"):
            yield from _scatter(trace, x, y, most)


def ink(color: Any, default: str = "currentColor") -> str:
    """A colour that follows the page's theme where it is ink, paper or grid."""
    text = str(color) if isinstance(color, str) and re.fullmatch(r"[#\w(),. %-]+", color) else default
    return INKS.get(text.upper(), text)


def _scatter(trace: Mapping[str, Any], x: Axis, y: Axis, most: int) -> Iterator[str]:
    """Lines, bands, marks and error bars of one trace."""
    xs, ys = x.places(trace.get("x"), trace.get("y")), y.places(trace.get("y"), trace.get("x"))
    mode = trace.get("mode") or "lines"
    line, marker = trace.get("line") or {}, trace.get("marker") or {}
    style = f'fill="none" stroke="{ink(line.get("color"))}" stroke-width="{line.get("width", 2):g}"'
    style += f' stroke-dasharray="{DASH[line["dash"]]}"' if line.get("dash") in DASH else ""
    keep = _thinned(len(xs), most)
    path = _path(xs[keep], ys[keep], is_step=line.get("shape") == "hv")
    if trace.get("fill") == "toself" and path:
        yield f'<path d="{path}Z" fill="{ink(trace.get("fillcolor"))}" stroke="none"/>'
    if "lines" in mode and path and line.get("width") != 0:
        yield f'<path d="{path}" {style}/>'
    color = marker.get("color", line.get("color"))
    for axis, key in ((x, "error_x"), (y, "error_y")):
        yield from _errors(trace, key, axis, xs, ys, ink(color if isinstance(color, str) else None))
    if "markers" in mode:
        for place in keep[_thinned(len(keep), int(marker.get("maxdisplayed") or most))]:
            if np.isfinite(xs[place]) and np.isfinite(ys[place]):
                yield _mark(_of(marker.get("symbol", "circle"), place), xs[place], ys[place], _of(marker.get("size", 6), place), _of(color, place))
    if "text" in mode and most == MOST_POINTS:
        for place, text in enumerate(_listed(trace.get("text"), len(xs))):
            if text and np.isfinite(xs[place]) and np.isfinite(ys[place]):
                yield f'<text x="{xs[place]:.1f}" y="{ys[place]:.1f}" text-anchor="middle">{escape(_plain(text))}</text>'


def _errors(trace: Mapping[str, Any], key: str, axis: Axis, xs: np.ndarray, ys: np.ndarray, color: str) -> Iterator[str]:
    """The error bars of one direction."""
    error = trace.get(key) or {}
    if not isinstance(error, Mapping) or "array" not in error or error.get("visible") is False:
        return
    values = np.asarray(plain_array(trace.get(key[-1])), object)
    high = plain_array(error["array"])
    low = plain_array(error.get("arrayminus")) if error.get("arrayminus") is not None else high
    for place, value in enumerate(values[: len(high)]):
        ends = [axis.place(value - low[place]), axis.place(value + high[place])] if isinstance(value, (int, float)) else []
        if ends and np.isfinite(ends).all():
            first, last = ((ends[0], ys[place]), (ends[1], ys[place])) if key == "error_x" else ((xs[place], ends[0]), (xs[place], ends[1]))
            yield f'<path d="M{first[0]:.1f} {first[1]:.1f}L{last[0]:.1f} {last[1]:.1f}" stroke="{ink(error.get("color"), color)}"/>'


def _mark(symbol: Any, x: float, y: float, size: Any, color: Any) -> str:
    """One mark: circle, square, triangle, diamond or cross; hollow where its name says so."""
    name, half = str(symbol), float(size or 6) / 2
    paint = f'fill="none" stroke="{ink(color)}"' if name.endswith("-open") else f'fill="{ink(color)}"'
    if name.startswith("square"):
        return f'<rect x="{x - half:.1f}" y="{y - half:.1f}" width="{2 * half:.1f}" height="{2 * half:.1f}" {paint}/>'
    corners = {"triangle-up": "0-1 1 1-1 1", "triangle-down": "0 1 1-1-1-1", "diamond": "0-1 1 0 0 1-1 0"}
    shape = next((points for start, points in corners.items() if name.startswith(start)), None)
    if shape:
        steps = [float(number) for number in re.findall(r"-?\d", shape)]
        points = " ".join(f"{x + half * dx:.1f},{y + half * dy:.1f}" for dx, dy in zip(steps[::2], steps[1::2], strict=True))
        return f'<polygon points="{points}" {paint}/>'
    if name.startswith(("x", "cross", "line")):
        size = f"{2 * half:.1f}"
        return f'<path d="M{x - half:.1f} {y - half:.1f}l{size} {size}m0-{size}l-{size} {size}" stroke="{ink(color)}"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{half:.1f}" {paint}/>'


def _bars(trace: Mapping[str, Any], traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any], x: Axis, y: Axis) -> Iterator[str]:
    """Bars: stacked, side by side or over one another."""
    is_flat = trace.get("orientation") == "h"
    along, across = (y, x) if is_flat else (x, y)
    names, values = ("y", "x") if is_flat else ("x", "y")
    lengths = np.asarray(plain_array(trace.get(values)), float)
    middles = along.places(trace.get(names), trace.get(values))
    beside = [other for other in traces if other.get("type") == "bar" and subplot_of(other) == subplot_of(trace)]
    place, mode = next(i for i, other in enumerate(beside) if other is trace), layout.get("barmode", "group")
    bases = np.zeros(len(lengths)) if trace.get("base") is None else np.broadcast_to(np.asarray(plain_array(trace["base"]), float), lengths.shape)
    if mode in ("stack", "relative"):
        bases = bases + sum((np.asarray(plain_array(other.get(values)), float) for other in beside[:place]), np.zeros(len(lengths)))
    slot = along.step(middles) * (1 - float(layout.get("bargap", 0.2)))
    share = len(beside) if mode == "group" else 1
    color = (trace.get("marker") or {}).get("color")
    for i, middle in enumerate(middles):
        ends = sorted((across.place(bases[i]), across.place(bases[i] + lengths[i])))
        if np.isfinite([middle, *ends]).all():
            start = middle - slot / 2 + slot * (place if share > 1 else 0) / share
            corner, size = (start, slot / share), (ends[0], ends[1] - ends[0])
            (left, width), (top, height) = (size, corner) if is_flat else (corner, size)
            yield f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{ink(_of(color, i))}"/>'


def _heatmap(trace: Mapping[str, Any], x: Axis, y: Axis, most: int) -> Iterator[str]:
    """A map as rectangles in its own colours."""
    values = np.asarray(plain_array(trace.get("z")), float)
    if values.ndim != 2 or not np.isfinite(values).any():
        return
    xs, ys = (axis.places(trace.get(name), np.arange(count)) for axis, name, count in ((x, "x", values.shape[1]), (y, "y", values.shape[0])))
    low, high = (float(trace.get(key)) if trace.get(key) is not None else edge(values) for key, edge in (("zmin", np.nanmin), ("zmax", np.nanmax)))
    rows, columns = (
        _thinned(count, 24 if most == MOST_POINTS else 12) for count in values.shape
    )  # a long map coarser: some of its rows and columns, wider
    width, height = x.step(xs) * len(xs) / len(columns), y.step(ys) * len(ys) / len(rows)
    for row, column in product(rows, columns):
        value = values[row, column]
        if np.isfinite(value):
            color = _blended(trace.get("colorscale"), (value - low) / ((high - low) or 1.0))
            place = f'x="{xs[column] - width / 2:.1f}" y="{ys[row] - height / 2:.1f}" width="{width + 0.3:.1f}" height="{height + 0.3:.1f}"'
            yield f'<rect {place} fill="{color}"/>'


def _blended(scale: Any, share: float) -> str:
    """The colour of a scale at a place between 0 and 1; greys where the scale is a name."""
    stops = [(float(at), str(color)) for at, color in scale] if isinstance(scale, list) else [(0.0, "#f4f4f4"), (1.0, "#333333")]
    found = [(at, [int(color[i : i + 2], 16) for i in (1, 3, 5)]) for at, color in stops if re.fullmatch(r"#[0-9a-fA-F]{6}", color)]
    if not found:
        found = [(0.0, [244] * 3), (1.0, [51] * 3)]
    return "#" + "".join(f"{round(float(np.interp(share, [at for at, _ in found], [rgb[i] for _, rgb in found]))):02x}" for i in range(3))


def _frames(figure: Mapping[str, Any], box: Sequence[float]) -> Iterator[str]:
    """Axis lines, ticks and titles of each panel."""
    axes = axes_of(figure, box)
    for name in dict.fromkeys(subplot_of(trace) for trace in figure.get("data") or []):
        x, y = axes[name[0]], axes[name[1]]
        left, right, bottom, top = x.start, x.end, y.start, y.end
        yield f'<path d="M{left:.1f} {top:.1f}V{bottom:.1f}H{right:.1f}" fill="none" stroke="currentColor"/>'
        for place, text in x.ticks():
            yield f'<path d="M{place:.1f} {bottom:.1f}v5" stroke="currentColor"/>{_words(text, place, bottom + 18, "middle")}'
        for place, text in y.ticks() if y.has_labels else ():
            yield f'<path d="M{left:.1f} {place:.1f}h-5" stroke="currentColor"/>{_words(text, left - 8, place + 4, "end")}'
        if x.title:
            yield _words(x.title, (left + right) / 2, bottom + 40, "middle")
        if y.title:
            yield f'<text transform="translate(16 {(top + bottom) / 2:.1f}) rotate(-90)" text-anchor="middle">{escape(_plain(y.title))}</text>'


def _labels(figure: Mapping[str, Any], box: Sequence[float]) -> Iterator[str]:
    """Annotations: panel titles, names at the ends of lines, values."""
    axes = axes_of(figure, box)
    anchors = {"left": "start", "right": "end"}
    for note in (figure.get("layout") or {}).get("annotations") or []:
        x, y = (_anchor(axes, note, direction, box) for direction in "xy")
        if x is None or y is None or not note.get("text"):
            continue
        above = 15 * str(note["text"]).count("<br>")
        x, y = x + float(note.get("xshift", 0)), y - float(note.get("yshift", 0))
        y += {"top": 12, "bottom": -3 - above}.get(note.get("yanchor", ""), 4 - above / 2)
        font = note.get("font") or {}
        yield _words(str(note["text"]), x, y, anchors.get(note.get("xanchor", ""), "middle"), ink(font.get("color")))


def _anchor(axes: Mapping[str, Axis], note: Mapping[str, Any], direction: str, box: Sequence[float]) -> float | None:
    """Where an annotation stands in one direction [px]; None where its axis is not drawn."""
    ref, value = str(note.get(f"{direction}ref", direction)), note.get(direction, 0)
    if ref == "paper":
        return box[0] + box[2] * float(value) if direction == "x" else box[1] + box[3] * (1 - float(value))
    name, _, is_domain = ref.partition(" ")
    axis = axes.get(name)
    if axis is None:
        return None
    place = axis.start + (axis.end - axis.start) * float(value) if is_domain else axis.place_as_drawn(value)
    return float(place) if np.isfinite(place) else None


def _words(text: str, x: float, y: float, anchor: str, color: str = "currentColor") -> str:
    """Text, line by line."""
    lines = [escape(_plain(line)) for line in re.split(r"<br\s*/?>", str(text))]
    rows = "".join(f'<tspan x="{x:.1f}" dy="{15 if place else 0}">{line}</tspan>' for place, line in enumerate(lines))
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{rows}</text>'


def _plain(text: Any) -> str:
    """Text without the little HTML that plotly reads."""
    return unescape(re.sub(r"</?(b|i|sub|sup|span|em|strong)\b[^>]*>", "", str(text)))


def _path(xs: np.ndarray, ys: np.ndarray, *, is_step: bool) -> str:
    """An SVG path through the points, broken where one is missing."""
    parts: list[str] = []
    is_down, last = False, 0.0
    for x, y in zip(xs, ys, strict=True):
        if np.isfinite(x) and np.isfinite(y):
            parts += [f"L{x:.1f} {last:.1f}"] if is_step and is_down else []
            parts.append(f"{'L' if is_down else 'M'}{x:.1f} {y:.1f}")
            is_down, last = True, y
        else:
            is_down = False
    return "".join(parts)


def _thinned(count: int, most: int) -> np.ndarray:
    """At most so many of the places, the first and the last among them."""
    return np.arange(count) if count <= most else np.unique(np.linspace(0, count - 1, most).round().astype(int))


def _of(value: Any, place: int) -> Any:
    """One value for all, or the one at a place."""
    values = plain_array(value) if isinstance(value, (Mapping, list, tuple)) else value
    return values[place % len(values)] if isinstance(values, (list, tuple, np.ndarray)) and len(values) else values


def _listed(value: Any, count: int) -> list[Any]:
    """A list of texts, one for all repeated."""
    return [value] * count if isinstance(value, str) or value is None else list(value)[:count]
