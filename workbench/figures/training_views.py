"""How does a training go while it runs? Four small panels whose traces stand from the start and are given new values frame by frame.

A training's numbers come as columns, one value an epoch: `epoch`, `score.train`, `score.valid`, `loss.train`, `loss.valid`, and for each modality m
`gradient.m`, `update.m`, `weight.m`, `probe.m` (nan where nothing was measured). `*_panel` makes the empty figure, `*_frame` what belongs into it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go

from workbench.figures import canvas
from workbench.figures.captions import first_upper, is_lower_better, times
from workbench.figures.palette import INK, PAPER, QUIET, hollow, styles
from workbench.statistics import score as say_score

Columns = Mapping[str, Sequence[float]]

WIDTH, HEIGHT = 490, 270
MARGIN = {"l": 64, "r": 128, "t": 34, "b": 46}
LABEL_PIXELS = 17
MOST_BARS = 60
"""Bars of weights that are drawn; beyond that every second, third, ... epoch."""


@dataclass(frozen=True)
class Frame:
    """What belongs into a panel now: properties by trace name, the `sentence` that says it, and changes of the layout."""

    traces: dict[str, dict[str, Any]]
    sentence: str
    layout: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Mark:
    """Something that was changed: after which epoch, and what, in words."""

    epoch: int
    words: str


def _panel(title: str, y_title: str, *, x_title: str = "epoch", width: int = WIDTH) -> go.Figure:
    """An empty panel of fixed size: figures in boxes do not resize."""
    figure = go.Figure()
    figure.update_layout(template=canvas.template(), width=width, height=HEIGHT, margin=MARGIN, font={"size": 13}, uirevision="kept")
    figure.update_layout(title={"text": f"<b>{canvas.safe(title)}</b>", "font": {"size": 14}, "x": 0.01, "y": 0.97, "yanchor": "top"})
    small = {"tickfont": {"size": 12}}
    figure.update_xaxes(title={"text": x_title, "font": {"size": 13}, "standoff": 4}, automargin=False, **small)
    figure.update_yaxes(title={"text": canvas.safe(y_title), "font": {"size": 13}, "standoff": 4}, automargin=False, **small)
    return figure


def _texts(name: str, color: str = INK) -> go.Scatter:
    """A trace of words at the ends of lines."""
    style = {"size": 12, "color": color}
    return go.Scatter(
        name=name, x=[None], y=[None], text=[""], mode="text", textposition="middle right", textfont=style, cliponaxis=False, hoverinfo="skip"
    )


# Scores and losses


def curve_panel(modalities: Sequence[str], metric: str, *, width: int = WIDTH) -> go.Figure:
    """Score (or loss) of train and valid, a pinned earlier training, ceilings of all and of each modality alone, and marks of what was changed."""
    figure = _panel(f"{metric}", metric, width=width)
    empty: dict[str, Any] = {"x": [None], "y": [None], "mode": "lines"}
    figure.add_trace(go.Scatter(name="ceiling", line={"color": INK, "width": 1.5, "dash": "dash"}, hoverinfo="skip", **empty))
    for name, look in styles(modalities).items():
        figure.add_trace(go.Scatter(name=f"{name} alone", line={"color": look.color, "width": 1.5, "dash": "dot"}, hoverinfo="skip", **empty))
    figure.add_trace(go.Scatter(name="pinned", line={"color": QUIET, "width": 2, "dash": "dot"}, **empty))
    figure.add_trace(go.Scatter(name="train", line={"color": QUIET, "width": 1.2}, **empty))
    figure.add_trace(go.Scatter(name="within", line={"color": QUIET, "width": 1.2}, hoverinfo="skip", **empty))
    lines = {"color": INK, "width": 3}
    figure.add_trace(go.Scatter(name="valid", x=[None], y=[None], mode="lines+markers", line=lines, marker={"size": 4, "color": INK}))
    figure.add_trace(go.Scatter(
        name="changes", x=[None], y=[None], yaxis="y2", mode="markers+text", text=[""], textposition="top center", textfont={"size": 11},
        marker={"symbol": "line-ns-open", "size": 14, "color": INK, "line": {"width": 2}}, cliponaxis=False,
    ))  # fmt: skip
    figure.add_trace(_texts("labels"))
    figure.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True})
    for trace in ("pinned", "train", "valid"):
        figure.update_traces(hovertemplate=f"{trace}, epoch %{{x}}: %{{y:.3f}}<extra></extra>", selector={"name": trace})
    figure.update_traces(hovertemplate="after epoch %{x}: %{text}<extra></extra>", selector={"name": "changes"})
    return figure


def curve_frame(
    columns: Columns,
    modalities: Sequence[str],
    *,
    metric: str,
    of: str = "score",
    ceiling: float | None = None,
    alone: Mapping[str, float] | None = None,
    pinned: Columns | None = None,
    pinned_name: str = "",
    marks: Sequence[Mark] = (),
    looks: Sequence[tuple[float, float]] = (),
    ahead: int = 1,
    thin: Any = lambda x, y: (x, y),
) -> Frame:
    """The curves of a training so far.

    Args:
        columns: see above; may be empty.
        modalities: names in the card's order.
        metric: name of the headline metric.
        of: `score` or `loss`.
        ceiling, alone: the best attainable score of all modalities, and of single ones; not drawn with losses.
        pinned: columns of an earlier training.
        pinned_name: what it is.
        marks: what was changed.
        looks: into the running epoch: (epochs done with its part, loss); drawn with losses only.
        ahead: epochs that the ceiling is drawn over while there are none yet.
        thin: (x, y) -> fewer points.
    """
    epoch = list(columns.get("epoch", ()))
    last = max([ahead, *epoch, *(pinned or {}).get("epoch", ())])
    title = metric if of == "score" else "loss"
    ends: list[tuple[str, float, float]] = []
    colors: list[str] = []
    traces: dict[str, dict[str, Any]] = {}
    for name, look in styles(modalities).items():
        best = (alone or {}).get(name) if of == "score" else None
        traces[f"{name} alone"] = {"x": [1, last], "y": [best, best]} if best is not None else {"x": [None], "y": [None]}
        if best is not None:
            ends.append((f"{look.mark} {canvas.safe(name)} alone {say_score(best)}", last, best))
            colors.append(look.small)
    for name in ("train", "valid"):
        y = list(columns.get(f"{of}.{name}", ()))
        x, drawn = thin(epoch, y)
        traces[name] = {"x": x, "y": drawn} if len(y) else {"x": [None], "y": [None]}
        if y:
            ends.append((f"{name} {say_score(y[-1])}", epoch[-1], y[-1]))
    within = [*([(epoch[-1], columns["loss.train"][-1])] if epoch else []), *looks] if of == "loss" and looks else [(None, None)]
    traces["within"] = {"x": [x for x, _ in within], "y": [y for _, y in within]}
    y = list((pinned or {}).get(f"{of}.valid", ()))
    traces["pinned"] = {"x": list(pinned["epoch"]), "y": y} if y else {"x": [None], "y": [None]}
    if y:
        ends.append((f"pinned {say_score(y[-1])}", pinned["epoch"][-1], y[-1]))
    is_ceiled = ceiling is not None and of == "score"
    traces["ceiling"] = {"x": [1, last], "y": [ceiling, ceiling]} if is_ceiled else {"x": [None], "y": [None]}
    if is_ceiled:
        ends.append((f"ceiling {say_score(ceiling)}", last, ceiling))
    drawn = [value for trace in traces.values() for value in trace["y"] if value is not None]
    traces["labels"] = {**_placed(ends, drawn, log=False), "textfont": {"color": [*colors, *[INK] * (len(ends) - len(colors))] or [INK]}}
    heights = [0.02 + 0.13 * (place % 3) for place in range(len(marks))]
    traces["changes"] = {
        "x": [mark.epoch for mark in marks] or [None],
        "y": heights or [None],
        "text": [canvas.safe(mark.words) for mark in marks] or [""],
    }
    layout = {"title.text": f"<b>{canvas.safe(first_upper(title))}</b>", "yaxis.title.text": canvas.safe(title)}
    return Frame(traces, _say_curve(columns, metric, of, ceiling if is_ceiled else None, pinned, pinned_name), layout)


def _say_curve(columns: Columns, metric: str, of: str, ceiling: float | None, pinned: Columns | None, pinned_name: str) -> str:
    """Where the curve stands, and against what."""
    y = list(columns.get(f"{of}.valid", ()))
    if not y:
        return f"No epoch yet. Ceiling of {metric}: {say_score(ceiling)}." if ceiling is not None else "No epoch yet."
    is_low = of == "loss" or is_lower_better(metric)
    best = min(y) if is_low else max(y)
    said = f"Epoch {columns['epoch'][-1]:g}: {metric if of == 'score' else 'loss'} on valid {say_score(y[-1])}, best {say_score(best)}"
    said += f", ceiling {say_score(ceiling)}" if ceiling is not None else ""
    theirs = list((pinned or {}).get(f"{of}.valid", ()))
    if theirs:
        other = min(theirs) if is_low else max(theirs)
        said += f"; pinned{f' ({pinned_name})' if pinned_name else ''} reached {say_score(other)}"
    return f"{said}."


# Gradient magnitudes and update norms


def magnitude_panel(modalities: Sequence[str], *, width: int = WIDTH) -> go.Figure:
    """One line a modality on a logarithmic axis."""
    figure = _panel("Gradient magnitude", "log scale", width=width)
    figure.update_yaxes(type="log", exponentformat="power", dtick=1)
    for name, look in styles(modalities).items():
        marker = {"symbol": look.symbol, "size": 7, "maxdisplayed": 10, "color": look.color}
        line = {"color": look.color, "width": 2.5}
        hover = f"{canvas.safe(name)}, epoch %{{x}}: %{{y:.3g}}<extra></extra>"
        figure.add_trace(go.Scatter(name=name, x=[None], y=[None], mode="lines+markers", line=line, marker=marker, hovertemplate=hover))
    for name, look in styles(modalities).items():
        figure.add_trace(_texts(f"{name} label", look.small))
    return figure


QUANTITIES = {"gradient": "gradient magnitude", "update": "update norm"}


def magnitude_frame(columns: Columns, modalities: Sequence[str], *, of: str = "gradient", thin: Any = lambda x, y: (x, y)) -> Frame:
    """Each modality's gradient magnitude (`of="gradient"`, mean |dL/dW_i|, Eq. 7 of adaptive weight fusion) or update norm (`of="update"`)."""
    epoch, looks = list(columns.get("epoch", ())), styles(modalities)
    traces: dict[str, dict[str, Any]] = {}
    ends = []
    for name in modalities:
        pairs = [(x, y) for x, y in zip(epoch, columns.get(f"{of}.{name}", ()), strict=False) if y > 0]
        x, y = thin([x for x, _ in pairs], [y for _, y in pairs])
        traces[name] = {"x": x, "y": y} if pairs else {"x": [None], "y": [None]}
        traces[f"{name} label"] = {"x": [None], "y": [None], "text": [""]}
        if pairs:
            ends.append((name, *pairs[-1]))
    drawn = [value for name in modalities for value in traces[name]["y"] if value is not None]
    spots = _placed([(f"{looks[name].mark} {canvas.safe(name)}", x, y) for name, x, y in ends], drawn, log=True)
    for place, (name, _, _) in enumerate(ends):
        traces[f"{name} label"] = {key: [values[place]] for key, values in spots.items()}
    return Frame(traces, _say_magnitude(ends, QUANTITIES[of]), {"title.text": f"<b>{first_upper(QUANTITIES[of])}</b>"})


def _say_magnitude(ends: list[tuple[str, float, float]], quantity: str) -> str:
    """The largest against the smallest of the last epoch."""
    if len(ends) < 2:
        return f"No {quantity} to compare yet."
    (most, epoch, high), (least, _, low) = max(ends, key=lambda end: end[2]), min(ends, key=lambda end: end[2])
    return f"Epoch {epoch:g}: {most}'s {quantity} is {times(high / low)} times {least}'s."


# Weights of a balancing rule


def weight_panel(modalities: Sequence[str], *, width: int = WIDTH) -> go.Figure:
    """Stacked bars of 100 % an epoch, one part a modality."""
    figure = _panel("Weights of the balancing rule", "share (%)", width=width)
    figure.update_layout(barmode="stack", bargap=0.15)
    for name, look in styles(modalities).items():
        pattern = {"shape": look.hatch, "bgcolor": look.color, "fgcolor": PAPER, "size": 6, "solidity": 0.25}
        hover = f"{canvas.safe(name)}, epoch %{{x}}: %{{y:.1f}} %<extra></extra>"
        figure.add_trace(go.Bar(name=name, x=[None], y=[None], marker={"color": look.color, "pattern": pattern}, hovertemplate=hover))
    for name, look in styles(modalities).items():
        figure.add_trace(_texts(f"{name} label", look.small))
    figure.update_yaxes(range=[0, 100])
    return figure


def weight_frame(columns: Columns, modalities: Sequence[str], *, rule: str | None) -> Frame:
    """Each modality's share of the rule's weights; without a rule all weights are 1."""
    epoch, looks = list(columns.get("epoch", ())), styles(modalities)
    table = np.array([list(columns.get(f"weight.{name}", ())) for name in modalities], dtype=float).reshape(len(modalities), -1)
    total = np.abs(table).sum(0)
    shares = 100 * np.abs(table) / np.where(total > 0, total, 1)
    step = -(-len(epoch) // MOST_BARS) or 1
    kept = slice((len(epoch) - 1) % step, None, step)
    traces: dict[str, dict[str, Any]] = {}
    below = 0.0
    for name, share in zip(modalities, shares, strict=True):
        traces[name] = {"x": epoch[kept], "y": share[kept].tolist()} if epoch else {"x": [None], "y": [None]}
        traces[f"{name} label"] = {"x": [None], "y": [None], "text": [""]}
        if epoch:
            text = f" {looks[name].mark} {canvas.safe(name)} {say_score(table[list(modalities).index(name), -1], 2)}"
            traces[f"{name} label"] = {"x": [epoch[-1] + step / 2], "y": [below + share[-1] / 2], "text": [text]}
            below += share[-1]
    return Frame(
        traces, _say_weights(table, modalities, rule), {"title.text": f"<b>Weights of {canvas.safe(rule) if rule else 'no rule: all 1'}</b>"}
    )


def _say_weights(table: np.ndarray, modalities: Sequence[str], rule: str | None) -> str:
    """What the rule turned up, and what down."""
    if rule is None:
        return "No balancing rule is on: every modality has the weight 1."
    if not table.shape[1]:
        return f"{rule} has not weighed anything yet."
    parts = [f"{name} {say_score(value, 2)}" for name, value in zip(modalities, table[:, -1], strict=True)]
    return f"{rule} weighs {', '.join(parts)}."


# What each modality has learned


def probe_panel(modalities: Sequence[str], metric: str, *, width: int = WIDTH) -> go.Figure:
    """One row a modality: a filled mark for the probe inside the joint model, a hollow one for what the modality alone could reach."""
    figure = _panel("What each modality has learned", "", x_title=f"{metric} of a probe on valid", width=width)
    names = list(modalities)
    looks = styles(names)
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=[""] * len(names), range=[len(names) - 0.4, -0.6], showgrid=False, zeroline=False)
    for name, look in looks.items():
        line = {"color": look.color, "width": 3}
        figure.add_trace(go.Scatter(name=f"{name} way", x=[None], y=[None], mode="lines", line=line, hoverinfo="skip"))
    for name, look in looks.items():
        inside = {"symbol": look.symbol, "size": 13, "color": look.color}
        alone = {"symbol": hollow(look).symbol, "size": 13, "color": look.color, "line": {"width": 2}}
        hover = f"{canvas.safe(name)}: %{{x:.3f}}<extra></extra>"
        style = {"x": [None], "y": [None], "mode": "markers+text", "text": [""], "textfont": {"size": 12, "color": look.small}, "cliponaxis": False}
        figure.add_trace(go.Scatter(name=f"{name} inside", marker=inside, textposition="top center", hovertemplate=hover, **style))
        figure.add_trace(go.Scatter(name=f"{name} alone", marker=alone, textposition="bottom center", hovertemplate=hover, **style))
        figure.add_trace(_texts(f"{name} name", look.small))
    return figure


def probe_frame(columns: Columns, modalities: Sequence[str], *, metric: str, alone: Mapping[str, float] | None = None) -> Frame:
    """The last probe of each modality beside the best that it alone could reach (where that is known)."""
    alone, looks = dict(alone or {}), styles(modalities)
    traces: dict[str, dict[str, Any]] = {}
    inside: dict[str, float] = {}
    for place, name in enumerate(modalities):
        seen = [value for value in columns.get(f"probe.{name}", ()) if value == value]
        ends = [value for value in (seen[-1] if seen else None, alone.get(name)) if value is not None]
        if seen:
            inside[name] = seen[-1]
        traces[f"{name} way"] = {"x": ends, "y": [place] * len(ends)} if len(ends) == 2 else {"x": [None], "y": [None]}
        traces[f"{name} inside"] = _dot(seen[-1] if seen else None, place)
        traces[f"{name} alone"] = _dot(alone.get(name), place)
        word = (
            {"x": [max(ends)], "y": [place], "text": [f"   {looks[name].mark} {canvas.safe(name)}"]}
            if ends
            else {"x": [None], "y": [None], "text": [""]}
        )
        traces[f"{name} name"] = word
    return Frame(traces, _say_probes(inside, alone, metric))


def _dot(value: float | None, place: int) -> dict[str, Any]:
    return {"x": [None], "y": [None], "text": [""]} if value is None else {"x": [value], "y": [place], "text": [say_score(value, 2)]}


def _say_probes(inside: Mapping[str, float], alone: Mapping[str, float], metric: str) -> str:
    """The modality that is furthest below what it could do."""
    if not inside:
        best = max(alone, key=alone.get) if alone else None
        return f"{first_upper(best)} alone could reach {say_score(alone[best])} ({metric}, hollow marks)." if best else "No probe yet."
    gaps = {name: alone[name] - value for name, value in inside.items() if name in alone}
    if not gaps:
        return f"Probes: {', '.join(f'{name} {say_score(value)}' for name, value in inside.items())}."
    least = max(gaps, key=gaps.get)
    return f"{first_upper(least)} alone could reach {say_score(alone[least])}; inside the joint model its probe shows {say_score(inside[least])}."


def _placed(ends: Sequence[tuple[str, float, float]], drawn: Sequence[float], *, log: bool) -> dict[str, list[Any]]:
    """Words right of the ends of lines, moved apart where they would overlap on an axis that shows all values drawn."""
    if not ends:
        return {"x": [None], "y": [None], "text": [""]}
    values = np.array([y for _, _, y in ends], dtype=float)
    spots = np.log10(values) if log else values
    shown = np.log10(drawn) if log else np.asarray(drawn, dtype=float)
    span = max(float(np.ptp(shown)), 0.3 if log else 0.05)
    inner = HEIGHT - MARGIN["t"] - MARGIN["b"]
    moved = np.array(canvas.spread(spots.tolist(), 1.1 * span * LABEL_PIXELS / inner))
    return {"x": [x for _, x, _ in ends], "y": (10**moved if log else moved).tolist(), "text": [f" {text}" for text, _, _ in ends]}


def say_training(
    columns: Columns,
    modalities: Sequence[str],
    *,
    metric: str,
    ceiling: Mapping[str, Mapping[str, float]],
    key: str,
    rule: str | None,
    part: str = "",
) -> str:
    """The one sentence under the studio: how the gradients stand, what the weakest modality has learned, and what is in reach.

    Args:
        columns: see above.
        modalities: names in the card's order.
        metric: name of the headline metric for people.
        ceiling: best attainable scores by subset and metric, where they are known.
        key: the metric's key in `ceiling`.
        rule: the balancing rule that is on.
        part: the stage, where it is one of a single part: the scores are that part's own.
    """
    alone = {name: ceiling[name][key] for name in modalities if key in ceiling.get(name, {})}
    every = ceiling.get("all", {}).get(key)
    if not list(columns.get("epoch", ())):
        if every is None:
            return "Press Start. Every picture grows while it trains."
        best = max(alone, key=alone.get)
        reach = f"{first_upper(best)} alone could reach {say_score(alone[best])}, all together {say_score(every)}."
        return f"{reach} How far will the joint model get? Press Start."
    parts = [magnitude_frame(columns, modalities).sentence, probe_frame(columns, modalities, metric=metric, alone=alone).sentence]
    if part:
        parts.append(f"In the stage {part} its own readout scores {say_score(columns['score.valid'][-1])}.")
    elif every is not None:
        parts.append(f"The joint model scores {say_score(columns['score.valid'][-1])} of {say_score(every)}.")
    if rule is not None:
        parts.append(weight_frame(columns, modalities, rule=rule).sentence)
    return " ".join(part for part in parts if not part.startswith("No "))
