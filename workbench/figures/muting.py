"""Where does the prediction go when a modality is muted, and what is each modality worth? All states of one sample on one scale."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.frames import checked
from workbench.figures.palette import INK, QUIET, styles
from workbench.statistics import score

ROW, MOST_STATES = 24, 14
SMALL = {"size": 12}


def mute_states(
    states: pd.DataFrame, *, truth: float | None = None, ends: Sequence[float] = (-3.0, 3.0), quantity: str = "score", said: str = "",
    truth_name: str = "truth", width: int | None = None,
) -> go.Figure:  # fmt: skip
    """The prediction in every state of one sample: everything there, a modality muted, only one left; the state of now as a filled mark.

    Args:
        states: columns state (in words), value, modality (the one that is muted alone; else empty), is_now, is_whole.
        truth: in the same unit.
        ends: of the scale.
        quantity: what the values are.
        said: the first sentence of the caption; empty: computed from the states.
        truth_name: what the line of the truth is called.
        width: of the picture [px].

    Raises:
        DataError: a column is missing, or no state is the whole.
    """
    states = checked(states, "mute_states", "state", "value", "modality", "is_now", "is_whole")
    if not states["is_whole"].any():
        raise DataError("mute_states got no state with everything there", expected="one row with is_whole")
    kept = states[states["is_whole"] | states["is_now"] | (states["modality"] != "")]
    rest = states.drop(kept.index).head(max(0, MOST_STATES - len(kept)))
    states = states.loc[sorted([*kept.index, *rest.index])].reset_index(drop=True)
    looks = styles([name for name in states["modality"] if name])
    low, high = min(float(ends[0]), float(states["value"].min())), max(float(ends[1]), float(states["value"].max()))
    room = (high - low) * 0.05
    figure = go.Figure()
    figure.update_layout(template=canvas.template(), width=width, height=84 + ROW * len(states), margin={"l": 150, "r": 52, "t": 36, "b": 44})
    figure.update_layout(font={"size": 13}, title=heading("Prediction, muted and not"))
    whole = float(states.loc[states["is_whole"], "value"].iloc[0])
    y = np.arange(len(states))
    line = {"color": QUIET, "width": 1}
    drawn = {"mode": "lines", "line": line, "hoverinfo": "skip"}
    figure.add_trace(
        go.Scatter(
            name="moves", x=_pairs(np.full(len(y), whole), states["value"].to_numpy(float)), y=_pairs(y.astype(float), y.astype(float)), **drawn
        )
    )
    has_truth = truth is not None
    dash = {"color": INK, "width": 2, "dash": "dash"}
    spots = {"x": [truth, truth], "y": [-0.7, len(y) - 0.4]} if has_truth else {"x": [None], "y": [None]}
    hover = f"{truth_name}: {truth:.2f}<extra></extra>" if has_truth else None
    figure.add_trace(go.Scatter(name="truth", mode="lines", line=dash, hovertemplate=hover, **spots))
    now = states["is_now"].to_numpy(bool)
    symbols = [_symbol(looks[name].symbol if name else "circle", is_now=is_now) for name, is_now in zip(states["modality"], now, strict=True)]
    colors = [looks[name].color if name else (INK if is_now else QUIET) for name, is_now in zip(states["modality"], now, strict=True)]
    marker = {"symbol": symbols, "color": colors, "size": np.where(now, 15, 10), "line": {"width": 2}}
    values = [score(value, 2, sign=low < 0 < high) for value in states["value"]]
    text = [f" <b>{value}</b>" if is_now else f" {value}" for value, is_now in zip(values, now, strict=True)]
    hover = [f"{canvas.safe(state)}: {value}" for state, value in zip(states["state"], values, strict=True)]
    figure.add_trace(
        go.Scatter(
            name="states", x=states["value"].to_numpy(float), y=y, mode="markers", marker=marker, customdata=hover,
            hovertemplate="%{customdata}<extra></extra>", cliponaxis=False,
        )
    )  # fmt: skip
    edge = np.full(len(y), high + room)
    label = {"mode": "text", "textposition": "middle right", "textfont": {"size": 13, "color": INK}, "cliponaxis": False, "hoverinfo": "skip"}
    figure.add_trace(go.Scatter(name="numbers", x=edge, y=y, text=text, **label))
    top = {"x": [truth], "y": [-0.7], "text": [f"{canvas.safe(truth_name)} {score(truth, 2, sign=low < 0 < high)}"]} if has_truth else {
        "x": [None], "y": [None], "text": [""]}  # fmt: skip
    side = (
        "top center"
        if not has_truth
        else "top right"
        if truth < low + 0.3 * (high - low)
        else "top left"
        if truth > high - 0.3 * (high - low)
        else "top center"
    )
    figure.add_trace(go.Scatter(name="truth name", **top, **label | {"textposition": side, "textfont": {"size": 12, "color": INK}}))
    words = [_state_word(state, name, is_now, looks) for state, name, is_now in zip(states["state"], states["modality"], now, strict=True)]
    figure.update_yaxes(range=[len(y) - 0.4, -1.3], tickvals=y, ticktext=words, showgrid=False, zeroline=False, automargin=False, fixedrange=True)
    figure.update_yaxes(ticks="", showline=False, tickfont=SMALL)
    figure.update_xaxes(
        range=[low - room, high + room], title={"text": canvas.safe(quantity), "font": {"size": 12}, "standoff": 2}, tickfont=SMALL, zeroline=True,
        zerolinecolor=QUIET, automargin=False, fixedrange=True,
    )  # fmt: skip
    first = said or _furthest(states, whole, sign=low < 0 < high)
    return captions.attach(
        figure, first, "Filled: the state of now; hollow: the other states; dashed: the truth." if has_truth else "Filled: the state of now."
    )


def _symbol(symbol: str, *, is_now: bool) -> str:
    """Filled now, hollow else."""
    return symbol.removesuffix("-open") + ("" if is_now else "-open")


def heading(text: str) -> dict[str, Any]:
    """A small title at the left."""
    place = {"x": 0.01, "xref": "container", "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 8}}
    return {"text": f"<b>{canvas.safe(text)}</b>", "font": {"size": 14}, **place}


def _pairs(first: np.ndarray, second: np.ndarray) -> list[float | None]:
    return [value for pair in zip(first.tolist(), second.tolist(), strict=True) for value in (*pair, None)]


def _state_word(state: str, modality: str, is_now: bool, looks: Mapping[str, Any]) -> str:
    """The state in words; the modality that is muted in its hue."""
    short = state if len(state) <= 20 else f"{state[:19]}…"
    word = canvas.safe(short)
    colored = f'<span style="color:{looks[modality].small}">{looks[modality].mark} {word}</span>' if modality else word
    return f"<b>{colored}</b>" if is_now else colored


def _furthest(states: pd.DataFrame, whole: float, *, sign: bool) -> str:
    """Which single mute moves furthest."""
    single = states[states["modality"] != ""]
    if not len(single):
        return f"The prediction is {score(whole, 2, sign=sign)}."
    row = single.loc[(single["value"] - whole).abs().idxmax()]
    moved = float(row["value"]) - whole
    if abs(moved) < 0.005:
        return f"Muting any one modality leaves the prediction at {score(whole, 2, sign=sign)}."
    return f"Muting {row['modality']} moves the prediction furthest: by {score(moved, 2, sign=True)}, to {score(float(row['value']), 2, sign=sign)}."


def listened(table: pd.DataFrame, *, label: str = "prediction", width: int | None = None, note: str = "") -> go.Figure:
    """What one sample's prediction is made of, modality by modality: one panel a quantity, a bar a modality.

    Args:
        table: columns quantity, modality, value, kind (`worth`: in the prediction's unit, signed; `given`: what the model gives it, 0 and more).
        label: unit of `worth`.
        width: of the picture [px].
        note: what is not there, in words.

    Raises:
        DataError: a column is missing, or there is no value.
    """
    from plotly.subplots import make_subplots

    table = checked(table, "listened", "quantity", "modality", "value", "kind")
    quantities = list(dict.fromkeys(table["quantity"]))
    names = list(dict.fromkeys(table["modality"]))
    looks = styles(names)
    inner = (20 * len(names) + 4) * len(quantities)
    gap = 44
    height = inner + gap * (len(quantities) - 1)
    figure = make_subplots(rows=len(quantities), cols=1, vertical_spacing=gap / height if len(quantities) > 1 else 0)
    figure.update_layout(
        template=canvas.template(), width=width, height=height + 112, margin={"l": 100, "r": 56, "t": 62, "b": 50}, font={"size": 13}
    )
    figure.update_layout(title=heading("What this sample listens to"), bargap=0.25)
    worth = table.loc[table["kind"] == "worth", "value"]
    reach = max(float(worth.abs().max()), 1e-9) if len(worth) else 1.0
    for place, quantity in enumerate(quantities, start=1):
        rows = table[table["quantity"] == quantity].set_index("modality").reindex(names).dropna(subset=["value"])
        is_worth = str(rows["kind"].iloc[0]) == "worth"
        values = rows["value"].to_numpy(float)
        there = list(rows.index)
        marker = {"color": [looks[name].color for name in there], "line_width": 0}
        said = [
            f"{canvas.safe(name)}: {value:+.3f}" if is_worth else f"{canvas.safe(name)}: {value:.3f}"
            for name, value in zip(there, values, strict=True)
        ]
        tell = {"customdata": said, "hovertemplate": "%{customdata}<extra></extra>"}
        figure.add_trace(go.Bar(name=canvas.safe(quantity), x=values, y=there, orientation="h", marker=marker, **tell), row=place, col=1)
        top = reach if is_worth else max(float(np.abs(values).max()), 1e-9)
        low = -top if is_worth and (worth < 0).any() else 0.0
        ends = [low * 1.08, top * 1.08]
        numbers = {"x": [ends[1]] * len(there), "y": there, "text": [f" {score(value, 2, sign=is_worth)}" for value in values]}
        style = {"mode": "text", "textposition": "middle right", "textfont": {"size": 12, "color": INK}, "cliponaxis": False, "hoverinfo": "skip"}
        figure.add_trace(go.Scatter(name=f"{canvas.safe(quantity)} numbers", **numbers, **style), row=place, col=1)
        ticks = [f'<span style="color:{looks[name].small}">{looks[name].mark} {canvas.safe(name[:10])}</span>' for name in names]
        figure.update_yaxes(
            categoryorder="array", categoryarray=names[::-1], tickvals=names, ticktext=ticks, automargin=False, showgrid=False, ticks="",
            range=[-0.6, len(names) - 0.4], fixedrange=True, row=place, col=1,
        )  # fmt: skip
        title = {"text": label if is_worth else "", "font": {"size": 12}, "standoff": 1} if place == len(quantities) and is_worth else {"text": ""}
        figure.update_xaxes(
            range=ends, tickfont={"size": 11}, zerolinecolor=QUIET, nticks=5, title=title, automargin=False, fixedrange=True, row=place, col=1
        )
        corner = {"xref": "x domain", "yref": "y domain", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "yshift": 2, "showarrow": False}
        figure.add_annotation(text=canvas.safe(quantity), font={"size": 12}, row=place, col=1, **corner)
    return captions.attach(figure, *[_largest(table[table["quantity"] == quantity], quantity) for quantity in quantities], note)


def _largest(rows: pd.DataFrame, quantity: str) -> str:
    """Which modality has the most of a quantity, and which the least."""
    by = rows.set_index("modality")["value"]
    first = captions.first_upper(quantity)
    is_worth = str(rows["kind"].iloc[0]) == "worth"
    if len(by) == 1:
        return f"{first}: {by.index[0]} {score(float(by.iloc[0]), 2, sign=is_worth)}."
    if is_worth:
        most = by.abs().idxmax()
        return f"{first}: {most} counts most ({score(float(by[most]), 2, sign=True)})."
    if float(by.max() - by.min()) < 0.005:
        return f"{first}: the same for all ({score(float(by.max()), 2)})."
    return f"{first}: {by.idxmax()} has most ({score(float(by.max()), 2)}), {by.idxmin()} least ({score(float(by.min()), 2)})."
