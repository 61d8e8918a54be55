"""Does the joint model reach what its modalities could give? The lesson's main picture."""

from collections.abc import Mapping
from math import isnan

import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.frames import by_seed, checked, difference, names
from workbench.figures.palette import INK, Style, hollow, styles
from workbench.statistics import mean_and_spread, mean_interval, score

KINDS = ("alone", "inside", "joint")


def unimodal_and_joint(frame: pd.DataFrame, *, metric: str, ceiling: Mapping[str, float] | None = None) -> go.Figure:
    """Each modality alone, inside the joint model (hollow: a probe) and the joint models, every seed a dot, with the ceilings.

    Args:
        frame: columns variant, label, kind ("alone", "inside" or "joint"), seed, value. `label` is the modality, for joint models any word.
        metric: what the values are, for the axis ("accuracy").
        ceiling: highest reachable score per label; a modality's ceiling stands over that modality, any other label's over the whole picture.

    Raises:
        DataError: a column is missing, no row has a value, or a kind is unknown.
    """
    frame = checked(frame, "unimodal_and_joint", "variant", "label", "kind", "seed", "value")
    frame = checked(frame[frame["kind"].isin(KINDS)], "unimodal_and_joint (kinds alone, inside, joint)")
    columns = _columns(frame)
    looks = styles(names(frame[frame["kind"] != "joint"], "label"))
    figure = canvas.panels([""], x_title="", y_title=metric, panel_height=340)
    for place, (_, rows) in enumerate(columns):
        _draw_column(figure, place, rows, looks)
    figure.update_xaxes(
        tickvals=list(range(len(columns))), ticktext=[name for name, _ in columns], range=[-0.6, len(columns) - 0.4], showgrid=False, zeroline=False
    )
    _draw_ceilings(figure, dict(ceiling or {}), columns)
    intervals = [end for _, rows in columns for end in mean_interval(by_seed(rows).to_numpy())[1:] if not isnan(end)]
    values = [*frame["value"], *intervals, *(ceiling or {}).values()]
    figure.update_yaxes(range=canvas.value_range(pd.Series(values).to_numpy(), pad=0.1))
    read = "Dots: seeds; thick line: mean; bar: 95 % interval"
    read += "; hollow: a probe on the modality inside the joint model." if (frame["kind"] == "inside").any() else "."
    return captions.attach(figure, *_findings(frame, metric), _say_ceilings(ceiling), read, f"{captions.count(frame['seed'].nunique(), 'seed')}.")


def _columns(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """What stands side by side: (axis label, rows), alone first, then inside, then joint."""
    found = []
    for kind in KINDS:
        of_kind = frame[frame["kind"] == kind]
        variants = names(of_kind, "variant")
        for (variant, label), rows in of_kind.groupby(["variant", "label"], sort=False):
            if kind == "joint":
                title = canvas.safe(variant).replace(" + ", "<br>+ ")
            else:
                title = f"{canvas.safe(label)}<br>{kind}" + (f"<br>{canvas.safe(variant)}" if kind == "inside" and len(variants) > 1 else "")
            found.append((title, rows))
    return found


def _draw_column(figure: go.Figure, place: int, rows: pd.DataFrame, looks: Mapping[str, Style]) -> None:
    """Seeds as dots, the mean as a line, its interval as a bar, the mean written beside it."""
    kind, label = rows["kind"].iloc[0], str(rows["label"].iloc[0])
    look = looks.get(label) if kind != "joint" else None
    if look is not None and kind == "inside" and not look.is_hollow:
        look = hollow(look)
    color, symbol = (look.color, look.symbol) if look else (INK, "circle")
    values = by_seed(rows)
    name = f"{canvas.safe(label)} {kind}" if kind != "joint" else canvas.safe(rows["variant"].iloc[0])
    spots = [place - 0.22 + 0.1 * (i / max(1, len(values) - 1) - 0.5) for i in range(len(values))]
    dots = {"symbol": symbol, "size": 8, "color": color, "opacity": 0.75}
    hover = "%{customdata}: %{y:.3f}<extra></extra>"
    seeds = [f"{name}, seed {seed}" for seed in values.index]
    figure.add_trace(go.Scatter(x=spots, y=values.to_numpy(), customdata=seeds, mode="markers", marker=dots, name=name, hovertemplate=hover))
    mean, low, high = mean_interval(values.to_numpy())
    if not isnan(low):
        bar = {"type": "data", "symmetric": False, "array": [high - mean], "arrayminus": [mean - low], "color": color, "thickness": 2, "width": 7}
        figure.add_trace(
            go.Scatter(
                x=[place], y=[mean], mode="markers", marker={"size": 1, "color": color}, error_y=bar, name=f"{name}, 95 % interval", hoverinfo="skip"
            )
        )
    line = {"color": color, "width": 4}
    figure.add_trace(go.Scatter(x=[place - 0.13, place + 0.13], y=[mean, mean], mode="lines", line=line, name=f"{name}, mean", hoverinfo="skip"))
    ink = look.small if look else INK
    figure.add_annotation(
        x=place + 0.15, y=mean, text=score(mean), showarrow=False, xanchor="left", yanchor="bottom", font={"size": 14, "color": ink}
    )


def _draw_ceilings(figure: go.Figure, ceiling: dict[str, float], columns: list[tuple[str, pd.DataFrame]]) -> None:
    """Dashed ink, labelled: over its modality's column, or across the picture."""
    alone = {str(rows["label"].iloc[0]): place for place, (_, rows) in enumerate(columns) if rows["kind"].iloc[0] == "alone"}
    for label, value in ceiling.items():
        place = alone.get(label)
        ends = [-0.55, len(columns) - 0.45] if place is None else [place - 0.42, place + 0.13]
        name = f"ceiling of {canvas.safe(label)}" if place is None else "ceiling"
        line = {"color": INK, "width": 2, "dash": "dash"}
        figure.add_trace(go.Scatter(x=ends, y=[value, value], mode="lines", line=line, name=f"ceiling of {canvas.safe(label)}", hoverinfo="skip"))
        text = {"text": f"{name} {score(value)}", "x": ends[1 if place is None else 0], "xanchor": "right" if place is None else "left"}
        figure.add_annotation(
            y=value if place is None else max(value, columns[place][1]["value"].max()),
            yanchor="bottom",
            showarrow=False,
            font={"size": 13, "color": INK},
            **text,
        )


def _findings(frame: pd.DataFrame, metric: str) -> list[str]:
    """The first joint model against the best single modality, then every other joint model against the first."""
    joint, alone = frame[frame["kind"] == "joint"], frame[frame["kind"] == "alone"]
    variants, is_low = names(joint, "variant"), captions.is_lower_better(metric)
    best = _best(alone, is_low)
    if not variants:
        return [
            f"{best} alone is best with {_mean(alone, 'label', best)}." if best else f"{captions.first_upper(metric)} inside the joint model only."
        ]
    first = joint[joint["variant"] == variants[0]]
    found = []
    if best is not None:
        change = difference(first, alone[alone["label"] == best])
        title = f"{best} alone ({_mean(alone, 'label', best)})"
        found.append(_sentence(f"{variants[0]} ({_mean(joint, 'variant', variants[0])})", title, change, is_low))
    else:
        found.append(f"{variants[0]} reaches {_mean(joint, 'variant', variants[0])}.")
    for variant in variants[1:]:
        change = difference(joint[joint["variant"] == variant], first)
        found.append(_sentence(f"{variant} ({_mean(joint, 'variant', variant)})", variants[0], change, is_low))
    return found


def _sentence(name: str, other: str, change: object, is_low: bool) -> str:
    """One comparison, as a sentence."""
    return captions.say_against(name, other, change, lower_is_better=is_low) + "."


def _best(alone: pd.DataFrame, is_low: bool) -> str | None:
    """The label with the best mean."""
    means = alone.groupby("label", sort=False)["value"].mean()
    return None if not len(means) else str(means.idxmin() if is_low else means.idxmax())


def _mean(rows: pd.DataFrame, column: str, name: str) -> str:
    """Mean ± spread over seeds of one name."""
    return mean_and_spread(by_seed(rows[rows[column] == name]).to_numpy())


def _say_ceilings(ceiling: Mapping[str, float] | None) -> str:
    """The ceilings in words."""
    return f"Ceiling (dashed): {', '.join(f'{label} {score(value)}' for label, value in ceiling.items())}." if ceiling else ""
