"""What in one sample did the model look at, and what moved its prediction? Each modality as what it is, with attention and attribution beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.crossmodal import NOT_WHY
from workbench.figures.frames import checked, names
from workbench.figures.palette import INK, QUIET, Style, styles
from workbench.figures.sample import GREYS, LIMIT
from workbench.figures.steps import StepAxis, nice_ticks
from workbench.statistics import score

LETTER = 8.5
"""Pixels of a letter of the words."""
LETTERS, MOST_LINES = 62, 12
LINE, LANE = 66, 24
LANES = 5
"""Features of a sequence that are drawn: those whose moving mean goes furthest from the training mean."""
NUMBERS = 24
"""Numbers of a vector that are drawn."""
SMALL = {"size": 12}
NONE = {"x": [None], "y": [None]}

Strength = np.ndarray | Sequence[float] | str | None
"""One number a step; or why there is none, in words; None: nobody asked."""


def explained(
    frame: pd.DataFrame, *, attention: Strength = None, attribution: Strength = None, planted: np.ndarray | None = None, rate: float | None = None,
    agreement: Mapping[str, float] | None = None, label: str = "prediction", width: int | None = None, modalities: Sequence[str] = (),
) -> go.Figure:  # fmt: skip
    """One modality of one sample: the words or numbers, the attention that each step gets (greys), and what each step does to the prediction.

    Attribution is drawn as bars: up raises, down lowers. Long sequences are pooled to 120 columns at most: attention by its mean, attribution by sum.

    Args:
        frame: rows of one modality (see `workbench.data.inspection.portrait.sample_frame`).
        attention: in even shares, one a step (see `workbench.probes.attended.received`).
        attribution: in the prediction's unit, one a step; a vector's one a number, an image's `height width`.
        planted: which steps carry planted evidence.
        rate: steps a second [Hz].
        agreement: what points at the planted steps how well: name -> AUC.
        label: what is attributed.
        width: of the picture [px]; None: as wide as its place.
        modalities: all of them, so that each keeps its hue.

    Raises:
        DataError: a column is missing, or the numbers are not one a step.
    """
    frame = checked(frame, "explained", "modality", "kind", "unit", "step", "place", "feature", "value", "word")
    name, kind = names(frame, "modality")[0], str(frame["kind"].iloc[0])
    look = styles(modalities or [name])[name]
    figure = go.Figure()
    figure.update_layout(template=canvas.template(), width=width, bargap=0, font={"size": 13}, title=_title(name, kind, look))
    drawn = DRAW[kind](figure, frame, look, attention, attribution, planted, rate, width)
    sentences = [f"{captions.first_upper(name)}: {sentence}" for sentence in drawn] or [f"{captions.first_upper(name)}, as it is."]
    agreed = [f"{captions.first_upper(what)} points at the planted {_steps(kind)} with an AUC of {score(value, 2)} (.5 is chance)."
              for what, value in (agreement or {}).items() if np.isfinite(value)]  # fmt: skip
    has = {"attribution": _is_there(attribution), "attention": _is_there(attention)}
    read = [
        f"Bars: attribution, up raises the {label}, down lowers it." if has["attribution"] else "",
        _how(kind),
        NOT_WHY if has["attention"] else "",
    ]
    return captions.attach(figure, *sentences, *agreed, "▽: planted evidence." if planted is not None and planted.any() else "", *read)


def _title(name: str, kind: str, look: Style) -> dict[str, Any]:
    words = {"tokens": "shade: attention; bar: attribution", "sequence": "over time", "image": "pixels", "vector": "one vector"}[kind]
    text = f'<b><span style="color:{look.small}">{look.mark} {canvas.safe(name)}</span></b>  {words}'
    return {"text": text, "font": {"size": 14}, "x": 0.01, "xref": "container", "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 8}}


def _steps(kind: str) -> str:
    return "words" if kind == "tokens" else "frames"


def _is_there(strength: Strength) -> bool:
    return strength is not None and not isinstance(strength, str)


def _numbers(strength: Strength, count: int, name: str) -> np.ndarray | None:
    """The numbers, one a step; None where there are none."""
    if not _is_there(strength):
        return None
    values = np.nan_to_num(np.asarray(strength, float))
    if values.shape != (count,):
        raise DataError(f"explained got {values.shape} numbers of {name} for {count} steps", expected="one a step")
    return values


def _missing(strength: Strength) -> str:
    """What stands where there are no numbers."""
    return strength if isinstance(strength, str) else "not asked yet"


# Words


def _words(
    figure: go.Figure, rows: pd.DataFrame, look: Style, attention: Strength, attribution: Strength, planted: np.ndarray | None, rate: float | None,
    width: int | None,
) -> list[str]:  # fmt: skip
    """Words in lines, shaded by attention, with a bar below each."""
    words = [str(word) for word in rows["word"]]
    looked, moved = _numbers(attention, len(words), "attention"), _numbers(attribution, len(words), "attribution")
    letters = LETTERS if width is None else int((width - 36) / LETTER)
    spots, lines = _placed(words, letters)
    count = min(lines, MOST_LINES)
    kept = [i for i, (_, line) in enumerate(spots) if line < count]
    x, y = np.array([spots[i][0] for i in kept]), np.array([spots[i][1] for i in kept], float) * 2
    wide = np.array([min(len(words[i]), letters) for i in kept]) + 0.8
    said = [_hover(f"“{words[i]}”", i, looked, moved) for i in kept]
    shade = "rgba(118,118,118,0)" if looked is None else [f"rgba(90,90,90,{_shade(looked[i], looked):.2f})" for i in kept]
    tell = {"customdata": said, "hovertemplate": "%{customdata}<extra></extra>"}
    figure.add_trace(
        go.Bar(name="attention", x=x, y=np.full(len(kept), 0.9), base=y - 0.45, width=wide, marker={"color": shade, "line_width": 0}, **tell)
    )
    text = {"text": [canvas.safe(words[i][:letters]) for i in kept], "mode": "text", "textposition": "middle center"}
    font = {"size": 14, "color": INK, "family": "'DejaVu Sans Mono', Menlo, Consolas, monospace"}
    figure.add_trace(go.Scatter(name="words", x=x, y=y, textfont=font, hoverinfo="skip", **text))
    strength = np.zeros(len(kept)) if moved is None else moved[kept] / max(float(np.abs(moved).max()), 1e-12)
    marker = {"color": INK, "line_width": 0}
    figure.add_trace(go.Bar(name="attribution", x=x, y=-0.52 * strength, base=y + 1.02, width=1.1, marker=marker, **tell))
    ends = np.array([[0, letters, None]] * count, dtype=object).ravel()
    middle = np.array([[2 * line + 1.02, 2 * line + 1.02, None] for line in range(count)], dtype=object).ravel()
    figure.add_trace(go.Scatter(name="zero", x=ends, y=middle, mode="lines", line={"color": QUIET, "width": 0.5}, hoverinfo="skip"))
    marked = [place for place, i in enumerate(kept) if planted is not None and planted[i]]
    mark = {"symbol": "triangle-down", "size": 9, "color": INK}
    spots_of = {"x": x[marked], "y": y[marked] - 0.72} if marked else NONE
    figure.add_trace(go.Scatter(name="planted", mode="markers", marker=mark, hovertemplate="planted evidence<extra></extra>", **spots_of))
    note = _note(moved, attribution, looked, attention) + (f" The first {count} of {lines} lines are drawn." if lines > count else "")
    height = 46 + round(LINE * count) + (20 if note else 0)
    # The same room for every sample of a page, so that nothing jumps between neighbours of about the same length.
    figure.update_layout(height=max(height, 46 + LINE + 20), margin={"l": 12, "r": 12, "t": 40, "b": 22 if note else 6})
    figure.update_xaxes(visible=False, range=[-1, letters + 1], fixedrange=True)
    figure.update_yaxes(visible=False, range=[2 * count - 0.4, -1.0], fixedrange=True)
    figure.update_layout(annotations=[_under(note)])
    return _findings([f"“{word}”" for word in words], looked, moved)


def _placed(words: Sequence[str], letters: int) -> tuple[list[tuple[float, int]], int]:
    """Middle and line of every word, and how many lines there are."""
    spots, line, at = [], 0, 0.0
    for word in words:
        wide = min(len(word), letters)
        if at and at + wide > letters:
            line, at = line + 1, 0.0
        spots.append((at + wide / 2, line))
        at += wide + 1.8
    return spots, line + 1


def _shade(value: float, values: np.ndarray) -> float:
    """How dark a word is: white at no attention, an even share pale, the largest (three even shares at least) dark grey; words stay readable."""
    return 0.62 * float(np.clip(value / max(float(values.max()), 3.0), 0, 1))


def _note(moved: np.ndarray | None, attribution: Strength, looked: np.ndarray | None, attention: Strength) -> str:
    """What is not there, in words."""
    parts = [f"attention: {_missing(attention)}"] if looked is None else []
    parts += [f"attribution: {_missing(attribution)}"] if moved is None else []
    return canvas.safe("; ".join(parts))


def _under(text: str) -> dict[str, Any]:
    """A line below the picture."""
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": 0, "xanchor": "left", "yanchor": "top", "showarrow": False, "yshift": -2}
    return {"text": text or " ", "font": {"size": 12, "color": QUIET}, **place}


def _hover(what: str, place: int, looked: np.ndarray | None, moved: np.ndarray | None) -> str:
    said = [canvas.safe(what)]
    said += [f"attention {looked[place]:.2f} even shares"] if looked is not None else []
    said += [f"attribution {moved[place]:+.3f}"] if moved is not None else []
    return "<br>".join(said)


def _findings(steps: Sequence[str], looked: np.ndarray | None, moved: np.ndarray | None) -> list[str]:
    """What raises and lowers most, and where the most attention lies."""
    found = []
    if moved is not None and len(steps):
        high, low = int(moved.argmax()), int(moved.argmin())
        parts = [f"{steps[high]} raises most ({score(moved[high], 3, sign=True)})"] if moved[high] > 0 else []
        parts += [f"{steps[low]} lowers most ({score(moved[low], 3, sign=True)})"] if moved[low] < 0 else []
        total = f"all of it {score(float(moved.sum()), 2, sign=True)}"
        found.append(f"{', '.join([*parts, total])}." if parts else "nothing in it moves the prediction.")
    if looked is not None and len(steps):
        top = int(looked.argmax())
        even = "nearly even attention, most at" if looked[top] < 1.45 else "most attention at"
        found.append(f"{even} {steps[top]} ({captions.times(float(looked[top]))} times an even share).")
    return found


# Numbers over time


def _sequence(
    figure: go.Figure, rows: pd.DataFrame, look: Style, attention: Strength, attribution: Strength, planted: np.ndarray | None, rate: float | None,
    width: int | None,
) -> list[str]:  # fmt: skip
    """Features over time, a lane each; below them attribution and attention by step."""
    table = rows.pivot(index="place", columns="step", values="value")
    features = rows.drop_duplicates("place").set_index("place")["feature"].astype(str)
    chosen = _furthest(table)
    lanes = [features[place] if not features[place].isdigit() else f"feature {features[place]}" for place in chosen]
    unit = "s" if str(rows["unit"].iloc[0]) == "s" else "step"
    time = table.columns.to_numpy(float)
    x, y = [], []
    for lane, place in enumerate(chosen):
        x += [*time, None]
        y += [*(lane - np.clip(table.loc[place].to_numpy(float), -LIMIT - 1, LIMIT + 1) / (2 * LIMIT)), None]
    steps = _count(attention, attribution, planted)
    axis = StepAxis(steps or len(time), str(rows["modality"].iloc[0]), None, rate)
    edges = axis.edges / (rate or 1.0)
    hover = f"{canvas.safe(rows['modality'].iloc[0])}, %{{x:.2f}} {unit}<extra></extra>"
    figure.add_trace(go.Scatter(name="values", x=x, y=y, mode="lines", line={"color": look.color, "width": 1.4}, hovertemplate=hover))
    looked, moved = (_numbers(each, steps, what) for each, what in ((attention, "attention"), (attribution, "attribution")))
    said = [_hover(axis.say(i), i, _pool(axis, looked, "mean"), _pool(axis, moved, "sum")) for i in range(axis.cells)]
    low = len(lanes)
    pooled = _pool(axis, moved, "sum")
    height = np.zeros(axis.cells) if pooled is None else pooled / max(float(np.abs(pooled).max()), 1e-12)
    tell = {"customdata": said, "hovertemplate": "%{customdata}<extra></extra>"}
    middles, wide = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    figure.add_trace(
        go.Bar(name="attribution", x=middles, y=-0.5 * height, base=low + 0.1, width=wide, marker={"color": INK, "line_width": 0}, **tell)
    )
    greys = _pool(axis, looked, "mean")
    z = [[None] * axis.cells] if greys is None else [np.round(greys, 3)]
    figure.add_trace(
        go.Heatmap(
            name="attention", x=edges, y=[low + 0.75, low + 1.35], z=z, zmin=0, zmax=max(3.0, float(greys.max()) if greys is not None else 0.0),
            colorscale=GREYS, showscale=False, text=[said], hovertemplate="%{text}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_trace(_planted_runs(planted, rate))
    notes = [(low + 0.1, attribution, moved), (low + 1.05, attention, looked)]
    empty = [(place, canvas.safe(_missing(each))) for place, each, there in notes if there is None]
    spot = {"x": [float(edges[0])] * len(empty), "y": [place for place, _ in empty], "text": [f" {text}" for _, text in empty]} if empty else NONE
    style = {"mode": "text", "textposition": "middle right", "textfont": {"size": 12, "color": QUIET}, "hoverinfo": "skip"}
    figure.add_trace(go.Scatter(name="notes", **spot, **style))
    ticks = [canvas.safe(name if len(name) <= 13 else f"{name[:12]}…") for name in lanes]
    figure.update_layout(height=76 + round(LANE * (low + 2.1)), margin={"l": 96, "r": 10, "t": 36, "b": 40})
    places = [*range(low), low + 0.1, low + 1.05]
    figure.update_yaxes(range=[low + 1.5, -0.75], tickvals=places, ticktext=[*ticks, "attribution", "attention"], tickfont=SMALL, automargin=False)
    figure.update_yaxes(fixedrange=True, zeroline=False, ticks="", showline=False)
    end = float(edges[-1])
    words = {"title": {"text": "time [s]" if unit == "s" else "step", "font": {"size": 12}, "standoff": 2}, "tickfont": SMALL, "automargin": False}
    figure.update_xaxes(range=[0, end], showgrid=False, zeroline=False, tickvals=nice_ticks(end, 6), **words)
    return _findings([axis.say(i) for i in range(axis.cells)], greys, pooled)


def _furthest(table: pd.DataFrame) -> list[int]:
    """The features whose moving mean goes furthest from zero, in their own order."""
    window = max(1, min(5, table.shape[1] // 4))
    smooth = np.apply_along_axis(lambda row: np.convolve(row, np.ones(window) / window, mode="valid"), 1, np.nan_to_num(table.to_numpy(float)))
    order = np.argsort(-np.abs(smooth).max(1), kind="stable")[:LANES]
    return [int(table.index[i]) for i in sorted(order)]


def _count(*strengths: Any) -> int:
    """How many steps the numbers have."""
    return next((len(each) for each in strengths if _is_there(each)), 0)


def _pool(axis: StepAxis, values: np.ndarray | None, how: str) -> np.ndarray | None:
    if values is None:
        return None
    pooled = axis.pooled(values, 0)
    return pooled * np.diff(axis.edges) if how == "sum" else pooled


def _planted_runs(planted: np.ndarray | None, rate: float | None) -> go.Scatter:
    """A mark over the middle of each planted stretch, with a line as long as it is."""
    x: list[float | None] = []
    if planted is not None and planted.any():
        changes = np.flatnonzero(np.diff(np.concatenate([[0], planted.astype(int), [0]])))
        for start, end in zip(changes[::2], changes[1::2], strict=True):
            x += [start / (rate or 1), (start + end) / 2 / (rate or 1), end / (rate or 1), None]
    sizes = [0, 9, 0, 0] * (len(x) // 4) or [0]
    marker = {"symbol": "triangle-down", "size": sizes, "color": INK}
    spots = {"x": x, "y": [-0.58 if value is not None else None for value in x]} if x else NONE
    line = {"color": INK, "width": 2}
    return go.Scatter(name="planted", mode="lines+markers", marker=marker, line=line, hovertemplate="planted evidence<extra></extra>", **spots)


# Images and vectors


def _image(
    figure: go.Figure, rows: pd.DataFrame, look: Style, attention: Strength, attribution: Strength, planted: np.ndarray | None, rate: float | None,
    width: int | None,
) -> list[str]:  # fmt: skip
    """The picture, and beside it what its pixels do: dark raises, white lowers."""
    pixels = rows.pivot(index="place", columns="step", values="value").to_numpy(float)
    moved = np.nan_to_num(np.asarray(attribution, float)) if _is_there(attribution) else None
    hover = "row %{y}, column %{x}: %{z:.3f}<extra></extra>"
    shown = {"showscale": False, "hovertemplate": hover}
    figure.add_trace(go.Heatmap(name="pixels", z=np.round(pixels, 3), colorscale=[GREYS[0], GREYS[2]], zmin=0, zmax=1, **shown))
    reach = max(float(np.abs(moved).max()), 1e-12) if moved is not None else 1.0
    z = np.round(moved, 5) if moved is not None else [[None]]
    figure.add_trace(go.Heatmap(name="attribution", z=z, colorscale=GREYS, zmin=-reach, zmax=reach, xaxis="x2", yaxis="y2", **shown))
    plain = {
        "showgrid": False,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "showticklabels": False,
        "automargin": False,
        "constrain": "domain",
    }
    figure.update_layout(
        height=250, margin={"l": 12, "r": 12, "t": 38, "b": 26},
        xaxis={**plain, "domain": [0, 0.48]}, yaxis={**plain, "autorange": "reversed", "scaleanchor": "x"},
        xaxis2={**plain, "domain": [0.52, 1], "anchor": "y2"}, yaxis2={**plain, "autorange": "reversed", "scaleanchor": "x2", "anchor": "x2"},
    )  # fmt: skip
    told = "right: dark pixels raise, white ones lower" if moved is not None else f"attribution: {_missing(attribution)}"
    figure.update_layout(annotations=[_under(canvas.safe(told))])
    if moved is None:
        return [f"{pixels.shape[0]} x {pixels.shape[1]} pixels are drawn."]
    high, total = np.unravel_index(int(np.abs(moved).argmax()), moved.shape), float(moved.sum())
    size = score(float(moved[high]), 3, sign=True)
    return [f"the pixel in row {high[0] + 1}, column {high[1] + 1} moves most ({size}), all of it {score(total, 2, sign=True)}."]


def _vector(
    figure: go.Figure, rows: pd.DataFrame, look: Style, attention: Strength, attribution: Strength, planted: np.ndarray | None, rate: float | None,
    width: int | None,
) -> list[str]:  # fmt: skip
    """Numbers of a vector, and below them what each does."""
    order = rows.sort_values("place")
    places, values = order["place"].to_numpy(int), order["value"].to_numpy(float)
    features = [name if not name.isdigit() else f"feature {name}" for name in order["feature"].astype(str)]
    moved = None
    if _is_there(attribution):
        whole = np.nan_to_num(np.asarray(attribution, float))
        if whole.ndim != 1 or len(whole) <= places.max():
            raise DataError(f"explained got attributions of shape {whole.shape} for a vector", expected="one a number")
        moved = whole[places]
    kept = np.sort(np.argsort(-np.abs(values if moved is None else moved), kind="stable")[:NUMBERS])
    spots = np.arange(len(kept))
    said = [canvas.safe(features[i]) for i in kept]
    bars = {"customdata": said, "hovertemplate": "%{customdata}: %{y:.3f}<extra></extra>"}
    figure.add_trace(go.Bar(name="values", x=spots, y=values[kept], width=0.8, marker={"color": look.color, "line_width": 0}, **bars))
    y = np.zeros(len(kept)) if moved is None else moved[kept]
    figure.add_trace(go.Bar(name="attribution", x=spots, y=y, width=0.8, marker={"color": INK, "line_width": 0}, yaxis="y2", **bars))
    small = {"tickfont": SMALL, "automargin": False, "nticks": 4}
    figure.update_layout(
        height=250, margin={"l": 70, "r": 10, "t": 36, "b": 40},
        yaxis={**small, "domain": [0.56, 1], "title": {"text": "value [sd]", "font": {"size": 12}}},
        yaxis2={**small, "domain": [0, 0.46], "title": {"text": "attribution", "font": {"size": 12}}, "anchor": "x"},
    )  # fmt: skip
    what = "numbers that move it most" if moved is not None else "numbers furthest from the mean"
    title = {"text": f"the {len(kept)} {what}" if len(kept) < len(places) else "number", "font": {"size": 12}, "standoff": 2}
    figure.update_xaxes(title=title, showgrid=False, showticklabels=False, automargin=False, anchor="y2")
    if moved is None:
        figure.update_layout(annotations=[_under(" ")])
        far = int(np.abs(values).argmax())
        return [f"{features[far]} lies {abs(values[far]):.1f} standard deviations {'above' if values[far] > 0 else 'below'} its training mean."]
    return _findings(features, None, moved)


DRAW = {"tokens": _words, "sequence": _sequence, "image": _image, "vector": _vector}


def _how(kind: str) -> str:
    """How to read the picture."""
    if kind == "tokens":
        return "Shade of a word: its attention, dark is much."
    if kind == "sequence":
        return f"Lanes: features in standard deviations from the training mean (half a lane: {LIMIT:g}); lowest lane: attention, dark is much."
    return "Bars above: standard deviations from the training mean." if kind == "vector" else "Image: dark is a high value."
