"""What is in a data set: how the labels and the lengths are spread, and what each modality alone can do."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.frames import checked, names
from workbench.figures.palette import INK, PAPER, QUIET, Style, styles
from workbench.statistics import score

MOST = 30
"""Of more classes the most frequent ones are drawn."""
RARE = 0.02
BAR = "#6B6B6B"  # labels belong to no modality
TOGETHER = "all together"


def label_histogram(frame: pd.DataFrame) -> go.Figure:
    """Which share of each split has which label, a panel a split: numbers by interval, classes as lying bars.

    Args:
        frame: columns split, label, value (samples), share (of the split, 0 to 1), kind (of the task); for numbers low and high, the ends of
            the interval (see `workbench.data.inspection.portrait.labels_frame`).

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "label_histogram", "split", "label", "value", "share", "kind")
    kind, splits, labels = str(frame["kind"].iloc[0]), names(frame, "split"), names(frame, "label")
    is_number = kind == "regression"
    shown = labels if is_number else _largest(frame, labels)
    noun, share = "class" if kind == "multiclass" else "label", "share of the split [%]"
    height = 280 if is_number else max(200, 26 * len(shown) + 30)
    figure = canvas.panels(splits, x_title=noun if is_number else share, y_title=share if is_number else noun, panel_height=height)
    for place, split in enumerate(splits):
        rows = frame[frame["split"] == split].set_index("label").loc[shown]
        draw = _draw_intervals if is_number else _draw_classes
        draw(figure, split, rows, canvas.cell(place, splits))
    if not is_number:
        figure.update_yaxes(autorange="reversed", showgrid=False, type="category")
        figure.update_xaxes(range=[0, max(1.0, float(frame["share"].max()) * 105)])
    left_out = f"{len(labels) - len(shown)} further {noun} names are not drawn." if len(shown) < len(labels) else ""
    samples = ", ".join(f"{split} {int(frame[frame['split'] == split]['value'].sum()):,}" for split in splits)
    counted = "" if kind == "multilabel" else f"Samples: {samples}."
    return captions.attach(figure, *_say_labels(frame, kind), f"Bars: share of the split's samples with the {noun}.", counted, left_out)


def _largest(frame: pd.DataFrame, labels: list[str]) -> list[str]:
    """All names in their order; of very many the most frequent ones of the first split."""
    if len(labels) <= MOST:
        return labels
    first = frame[frame["split"] == names(frame, "split")[0]]
    return [str(name) for name in first.sort_values("share", ascending=False, kind="stable")["label"].head(MOST)]


def _draw_intervals(figure: go.Figure, split: str, rows: pd.DataFrame, cell: dict[str, int]) -> None:
    """Numbers: a bar as wide as its interval."""
    low, high = rows["low"].to_numpy(float), rows["high"].to_numpy(float)
    ends = {"x": (low + high) / 2, "y": rows["share"].to_numpy(float) * 100, "width": high - low}
    figure.add_trace(_bars(split, rows, "y", **ends), **cell)
    figure.update_xaxes(range=[low.min(), high.max()], **cell)


def _draw_classes(figure: go.Figure, split: str, rows: pd.DataFrame, cell: dict[str, int]) -> None:
    """Classes: lying bars, so that names can be read."""
    ends = {"x": rows["share"].to_numpy(float) * 100, "y": [canvas.safe(name) for name in rows.index], "orientation": "h"}
    figure.add_trace(_bars(split, rows, "x", **ends), **cell)


def _bars(split: str, rows: pd.DataFrame, number: str, **ends: object) -> go.Bar:
    data = [[canvas.safe(name), int(value)] for name, value in zip(rows.index, rows["value"], strict=True)]
    hover = f"{canvas.safe(split)}, %{{customdata[0]}}: %{{customdata[1]:,}} samples, %{{{number}:.1f}} %<extra></extra>"
    return go.Bar(**ends, name=canvas.safe(split), marker={"color": BAR, "line": {"color": PAPER, "width": 1}}, customdata=data, hovertemplate=hover)


def _say_labels(frame: pd.DataFrame, kind: str) -> list[str]:
    """The largest and the smallest share in the first split, and what is rare."""
    split = names(frame, "split")[0]
    rows = frame[frame["split"] == split]
    most, least = rows.loc[rows["share"].idxmax()], rows.loc[rows["share"].idxmin()]
    if kind == "regression":
        said = f"Most labels of {split} lie in {most['label']} ({most['share']:.0%} of the samples)"
        return [f"{said}, fewest in {least['label']} ({least['share']:.0%})."]
    noun, plural = ("class", "classes") if kind == "multiclass" else ("label", "labels")
    said = f"The most frequent {noun} of {split} is {most['label']} ({most['share']:.0%}), the rarest {least['label']} ({least['share']:.1%})."
    rare = int((rows["share"] < RARE).sum())
    return [said, f"Below {RARE:.0%}: {captions.count(rare, noun, plural)}; a score there says little." if rare else ""]


def lengths_histogram(frame: pd.DataFrame, *, modalities: Sequence[str] = ()) -> go.Figure:
    """How long the samples are, one panel a modality, all splits together.

    Args:
        frame: columns modality, unit, value: steps (or words) of each sample (see `workbench.data.inspection.portrait.lengths_frame`).
        modalities: all modalities of the data set, also those without a length: then each has the hue that it has in the other figures.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "lengths_histogram", "modality", "unit", "value")
    looks = styles([*modalities, *names(frame, "modality")])
    modalities = names(frame, "modality")
    figure = canvas.panels(modalities, x_title="", y_title="samples", panel_height=260)
    figure.update_yaxes(matches=None, showticklabels=True, rangemode="tozero")
    findings = []
    for place, modality in enumerate(modalities):
        rows = frame[frame["modality"] == modality]
        unit = str(rows["unit"].iloc[0])
        cell = canvas.cell(place, modalities)
        _draw_lengths(figure, modality, rows["value"].to_numpy(float), unit, looks[modality], cell)
        figure.update_xaxes(title_text=f"{unit} a sample", row=cell["row"], col=cell["col"])
        findings.append(_say_lengths(modality, rows["value"].to_numpy(float), unit))
    return captions.attach(figure, *findings, "Dashed: the median.")


def _draw_lengths(figure: go.Figure, modality: str, values: np.ndarray, unit: str, look: Style, cell: dict[str, int]) -> None:
    """The bars, counted here (a page of 20,000 samples stays small), and the median."""
    low, high = int(values.min()), int(values.max())
    width = -(-(high - low + 1) // 30)  # whole steps, the same for all bars: unequal ones would show a comb that is not there
    edges = np.arange(low, high + width + 1, width)
    counts = np.histogram(values, edges)[0]
    said = [f"{start:g}" if end - start == 1 else f"{start:g} to {end - 1:g}" for start, end in pairwise(edges)]
    middle = (edges[:-1] + edges[1:] - 1) / 2
    hover = f"{canvas.safe(modality)}: %{{y:,}} samples of %{{customdata}} {unit}<extra></extra>"
    bar = {"color": look.color, "line": {"color": INK, "width": 0.5}, "pattern": {"shape": look.hatch, "fillmode": "overlay", "size": 6}}
    figure.add_trace(go.Bar(x=middle, y=counts, width=width, name=canvas.safe(modality), marker=bar, customdata=said, hovertemplate=hover), **cell)
    top, median = float(counts.max()), float(np.median(values))
    line = {"color": INK, "width": 2, "dash": "dash"}
    figure.add_trace(go.Scatter(x=[median, median], y=[0, top * 1.08], mode="lines", line=line, name="median", hoverinfo="skip"), **cell)
    figure.add_annotation(x=median, y=top * 1.08, text=f"{median:g}", showarrow=False, yanchor="bottom", font={"size": 14, "color": INK}, **cell)


def _say_lengths(modality: str, values: np.ndarray, unit: str) -> str:
    low, high, median = values.min(), values.max(), float(np.median(values))
    if low == high:
        return f"{modality}: {low:g} {unit} in every sample."
    far = f", the longest {captions.times(high / median)} times that" if high > 3 * median else ""
    return f"{modality}: {low:g} to {high:g} {unit}, half of the samples have at most {median:g}{far}."


def modality_alone(frame: pd.DataFrame, *, metric: str = "accuracy") -> go.Figure:
    """What a linear model of each modality alone, and of all together, can do on valid and test, with intervals and the chance line.

    Args:
        frame: columns modality, split, value, error (standard error), chance (see `CheckResult.alone` of `workbench.data.inspection.check`).
        metric: what the values are, for the axis.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "modality_alone", "modality", "split", "value", "error", "chance")
    modalities, splits = names(frame, "modality"), names(frame, "split")
    looks = styles([name for name in modalities if name != TOGETHER])
    figure = canvas.panels(splits, x_title="", y_title=metric, panel_height=320)
    ends = []
    for place, split in enumerate(splits):
        rows = frame[frame["split"] == split]
        ends += _draw_alone(figure, rows, modalities, looks, canvas.cell(place, splits))
    low, high = canvas.value_range(np.array(ends), pad=0.08)
    figure.update_yaxes(range=[max(0.0, low), min(1.12, high)])
    figure.update_xaxes(
        tickvals=list(range(len(modalities))), ticktext=[canvas.safe(name).replace(" ", "<br>") for name in modalities],
        range=[-0.6, len(modalities) - 0.4], showgrid=False, zeroline=False,
    )  # fmt: skip
    read = "Marks: accuracy; bars: 95 % interval, counted between groups (videos, speakers) where they are known; "
    read += "dotted: the best constant answer (chance)."
    return captions.attach(figure, *_say_alone(frame, splits, modalities), read)


def _draw_alone(figure: go.Figure, rows: pd.DataFrame, modalities: list[str], looks: dict[str, Style], cell: dict[str, int]) -> list[float]:
    """One split: marks with intervals, and chance; all heights drawn."""
    ends = []
    for place, modality in enumerate(modalities):
        found = rows[rows["modality"] == modality]
        if not len(found):
            continue
        value, half = float(found["value"].iloc[0]), 1.96 * float(found["error"].iloc[0])
        look = looks.get(modality)
        color, symbol = (look.color, look.symbol) if look else (INK, "circle")
        bar = {"type": "data", "array": [half], "color": color, "thickness": 2, "width": 7}
        hover = f"{canvas.safe(modality)}: %{{y:.3f}} ± {half:.3f}<extra></extra>"
        mark = {"size": 12, "color": color, "symbol": symbol}
        figure.add_trace(
            go.Scatter(x=[place], y=[value], mode="markers", marker=mark, error_y=bar, name=canvas.safe(modality), hovertemplate=hover), **cell
        )
        ink = {"size": 14, "color": look.small if look else INK}
        figure.add_annotation(x=place, y=value, text=score(value), showarrow=False, xanchor="left", yanchor="bottom", xshift=8, font=ink, **cell)
        ends += [value - half, value + half]
    chance = float(rows["chance"].iloc[0])
    line = {"color": QUIET, "width": 2, "dash": "dot"}
    figure.add_trace(
        go.Scatter(x=[-0.55, len(modalities) - 0.45], y=[chance, chance], mode="lines", line=line, name="chance", hoverinfo="skip"), **cell
    )
    note = {"showarrow": False, "xanchor": "left", "yanchor": "bottom", "font": {"size": 13, "color": QUIET}}
    figure.add_annotation(x=-0.55, y=chance, text=f"chance {score(chance)}", **note, **cell)
    return [*ends, chance]


def _say_alone(frame: pd.DataFrame, splits: list[str], modalities: list[str]) -> list[str]:
    """On the last split: the best modality against chance, and all together against it."""
    rows = frame[frame["split"] == splits[-1]].set_index("modality")
    alone = rows.drop(index=TOGETHER, errors="ignore")
    if not len(alone):
        return [f"{TOGETHER}: {score(float(rows['value'].iloc[0]))} on {splits[-1]}."]
    best = str(alone["value"].idxmax())
    value, half, chance = float(rows.loc[best, "value"]), 1.96 * float(rows.loc[best, "error"]), float(rows["chance"].iloc[0])
    against = "above" if value - half > chance else "below" if value + half < chance else "not told apart from"
    said = [f"{captions.first_upper(best)} alone is best on {splits[-1]}: {score(value)} ± {score(half)} (95 %), {against} chance ({score(chance)})."]
    at_chance = [name for name in alone.index if abs(alone.loc[name, "value"] - chance) <= 1.96 * alone.loc[name, "error"]]
    said += [f"Not told apart from chance: {', '.join(map(str, at_chance))}."] if at_chance and at_chance != [best] else []
    if TOGETHER in rows.index:
        together, other = float(rows.loc[TOGETHER, "value"]), 1.96 * float(rows.loc[TOGETHER, "error"])
        is_within = abs(together - value) <= np.hypot(half, other)
        said.append(f"All together: {score(together)} ± {score(other)}, {'within the errors of' if is_within else 'apart from'} {best} alone.")
    return said
