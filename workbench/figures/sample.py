"""One sample of a data set, each modality drawn as what it is: words, numbers over time, an image, a row of numbers."""

import textwrap

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.frames import checked, names
from workbench.figures.palette import INK, PAPER, Style, styles

GREYS = [[0.0, "#FFFFFF"], [0.5, "#A6A6A6"], [1.0, "#191919"]]  # not the ink itself: that turns light on a dark page
LIMIT = 3.0
"""Standard deviations from the training mean at which a map is black or white."""
LETTERS = 80
"""Letters of a line of words; the panel is as wide as a page."""
LINE, MOST_LINES = 26, 8
GAP = 96


def one_sample(frame: pd.DataFrame, *, title: str = "") -> go.Figure:
    """A panel for each modality of one sample, one below the other.

    Args:
        frame: columns modality, kind (tokens, sequence, image or vector), unit, step, place, feature, value, word
            (see `workbench.data.inspection.portrait.sample_frame`).
        title: which sample it is, what its label is; first words of the caption.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    from plotly.subplots import make_subplots

    frame = checked(frame, "one_sample", "modality", "kind", "unit", "step", "place", "feature", "value", "word")
    modalities = names(frame, "modality")
    parts = {name: frame[frame["modality"] == name] for name in modalities}
    looks = styles(modalities)
    heights = [_height(rows) for rows in parts.values()]
    inner = sum(heights) + GAP * (len(heights) - 1)
    figure = make_subplots(rows=len(modalities), cols=1, row_heights=heights, vertical_spacing=GAP / inner if len(heights) > 1 else 0)
    figure.update_layout(template=canvas.template(), height=round(inner + canvas.MARGIN["t"] + canvas.MARGIN["b"]))
    for place, (name, rows) in enumerate(parts.items(), start=1):
        _panel_title(figure, name, rows, looks[name], place)
        DRAW[str(rows["kind"].iloc[0])](figure, rows, looks[name], place)
    said = [_say(name, rows) for name, rows in parts.items()]
    shown = f"{captions.first_upper(title.rstrip('.'))}." if title else ""
    return captions.attach(
        figure, shown or said[0], *(said if shown else said[1:]), _how_to_read({str(rows["kind"].iloc[0]) for rows in parts.values()})
    )


def _height(rows: pd.DataFrame) -> float:
    """Pixels of a panel."""
    kind = rows["kind"].iloc[0]
    if kind == "tokens":
        return LINE * (len(_lines(rows)) + 0.5)
    if kind == "image":
        return 240.0
    return 170.0 if kind == "vector" else float(np.clip(22 * rows["place"].nunique(), 110, 360))


def _panel_title(figure: go.Figure, name: str, rows: pd.DataFrame, look: Style, place: int) -> None:
    corner = {"xref": "x domain", "yref": "y domain", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "yshift": 6, "showarrow": False}
    words = {"tokens": "words", "sequence": "over time", "image": "pixels", "vector": "one vector"}[str(rows["kind"].iloc[0])]
    text = f"<b>{look.mark} {canvas.safe(name)}</b>, {words}"
    figure.add_annotation(text=text, font={"color": look.small}, row=place, col=1, **corner)


def _lines(rows: pd.DataFrame) -> list[str]:
    """The words in lines; a long text is cut and says so."""
    text = " ".join(rows["word"].astype(str))
    lines = textwrap.wrap(text, LETTERS, break_on_hyphens=False) or [""]
    return lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], f"... and {len(rows):,} words in all"]


def _draw_words(figure: go.Figure, rows: pd.DataFrame, look: Style, place: int) -> None:
    """The words as text, read like a page."""
    lines = _lines(rows)
    text = {"size": 15, "color": INK}
    figure.add_trace(
        go.Scatter(
            x=[0] * len(lines), y=list(range(len(lines))), text=[canvas.safe(line) for line in lines], mode="text", textposition="middle right",
            textfont=text, name=canvas.safe(rows["modality"].iloc[0]), hoverinfo="skip",
        ), row=place, col=1,
    )  # fmt: skip
    figure.update_xaxes(visible=False, range=[0, 1], row=place, col=1)
    figure.update_yaxes(visible=False, range=[len(lines) - 0.5, -0.5], row=place, col=1)


def _draw_sequence(figure: go.Figure, rows: pd.DataFrame, look: Style, place: int) -> None:
    """A map of features over time in greys; a single feature as a line."""
    table = rows.pivot(index="place", columns="step", values="value")
    features = [canvas.safe(name) for name in rows.drop_duplicates("place").sort_values("place")["feature"]]
    unit = str(rows["unit"].iloc[0])
    x_title = "time [s]" if unit == "s" else "step"
    figure.update_xaxes(title_text=x_title, row=place, col=1)
    name, steps = canvas.safe(rows["modality"].iloc[0]), table.columns.to_numpy(float)
    if len(features) == 1:
        hover = f"{name}: %{{x:.2f}} {unit}, %{{y:.2f}}<extra></extra>"
        line = {"color": look.color, "width": 2}
        figure.add_trace(go.Scatter(x=steps, y=table.to_numpy()[0], mode="lines", line=line, name=name, hovertemplate=hover), row=place, col=1)
        figure.update_yaxes(title_text=f"{features[0]} [sd]", row=place, col=1)
        return
    hover = f"{name}, %{{y}}, %{{x:.2f}} {unit}: %{{z:.2f}} sd<extra></extra>"
    shown = {"z": np.round(table.to_numpy(), 3), "x": steps, "y": _unique(features), "zmin": -LIMIT, "zmax": LIMIT, "showscale": False}
    figure.add_trace(go.Heatmap(**shown, colorscale=GREYS, name=name, hovertemplate=hover), row=place, col=1)
    figure.update_xaxes(showgrid=False, row=place, col=1)
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", row=place, col=1)
    if all(feature.isdigit() for feature in features):
        figure.update_yaxes(title_text="feature", row=place, col=1)


def _unique(features: list[str]) -> list[str]:
    """Names on an axis must differ: a name that stands twice gets its number."""
    return [name if features.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(features)]


def _draw_image(figure: go.Figure, rows: pd.DataFrame, look: Style, place: int) -> None:
    """The pixels in greys, dark where the value is high."""
    pixels = rows.pivot(index="place", columns="step", values="value").to_numpy()
    hover = "row %{y}, column %{x}: %{z:.2f}<extra></extra>"
    name = canvas.safe(rows["modality"].iloc[0])
    figure.add_trace(
        go.Heatmap(z=np.round(pixels, 3), colorscale=[GREYS[0], GREYS[2]], zmin=0, zmax=1, showscale=False, name=name, hovertemplate=hover),
        row=place, col=1,
    )  # fmt: skip
    x_axis = figure.data[-1].xaxis or "x"
    figure.update_xaxes(title_text="column [pixel]", showgrid=False, constrain="domain", constraintoward="left", row=place, col=1)
    figure.update_yaxes(title_text="row [pixel]", autorange="reversed", showgrid=False, scaleanchor=x_axis, constrain="domain", row=place, col=1)


def _draw_vector(figure: go.Figure, rows: pd.DataFrame, look: Style, place: int) -> None:
    """One bar a number."""
    name = canvas.safe(rows["modality"].iloc[0])
    hover = f"{name}, %{{customdata}}: %{{y:.2f}} sd<extra></extra>"
    bar = {"color": look.color, "line": {"color": PAPER, "width": 0}}
    order = rows.sort_values("place")
    x = order["place"].to_numpy() if len(order) == order["place"].max() + 1 else np.arange(len(order))
    said = [canvas.safe(feature) for feature in order["feature"]]
    figure.add_trace(
        go.Bar(x=x, y=np.round(order["value"].to_numpy(float), 3), customdata=said, marker=bar, name=name, hovertemplate=hover), row=place, col=1
    )
    is_whole = len(order) == order["place"].max() + 1
    figure.update_xaxes(title_text="feature" if is_whole else f"the {len(order)} features furthest from the mean", showgrid=False, row=place, col=1)
    figure.update_yaxes(title_text="from the mean [sd]", row=place, col=1)


DRAW = {"tokens": _draw_words, "sequence": _draw_sequence, "image": _draw_image, "vector": _draw_vector}


def _say(name: str, rows: pd.DataFrame) -> str:
    """What the panel shows, from its numbers."""
    kind = rows["kind"].iloc[0]
    if kind == "tokens":
        unknown = int((rows["word"] == "<unknown>").sum())
        return f"{captions.first_upper(name)}: {captions.count(len(rows), 'word')}{f', {unknown} of them not in train' if unknown else ''}."
    if kind == "image":
        return f"{captions.first_upper(name)}: {rows['place'].nunique()} x {rows['step'].nunique()} pixels are drawn."
    strongest = rows.loc[rows["value"].abs().idxmax()]
    feature = strongest["feature"] if not str(strongest["feature"]).isdigit() else f"feature {strongest['feature']}"
    when = "" if kind == "vector" else f" at {strongest['step']:.1f} s" if strongest["unit"] == "s" else f" at step {strongest['step']:g}"
    side = "above" if strongest["value"] > 0 else "below"
    return f"{captions.first_upper(name)}: {feature} lies {abs(strongest['value']):.1f} standard deviations {side} its training mean{when}."


def _how_to_read(kinds: set[str]) -> str:
    """A line a kind that is there."""
    said = []
    if "sequence" in kinds:
        said.append(f"Maps: dark is above, white below the feature's training mean (by {LIMIT:g} standard deviations and more).")
    if "vector" in kinds:
        said.append("Bars: standard deviations (sd) from the training mean.")
    if "image" in kinds:
        said.append("Image: dark is a high value.")
    return " ".join(said)
