"""What else than the task is learned: further terms of the loss, and labels that a method makes for itself."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.by_stage import a_panel_a_stage, has_stages
from workbench.figures.frames import by_seed, checked, names
from workbench.figures.lines import log_ticks, over_seeds
from workbench.figures.palette import INK, Style, styles
from workbench.statistics import mean_and_spread, score

DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SHOWN = 1500
"""Samples of the scatter."""


def auxiliary_losses(frame: pd.DataFrame, *, log: bool = False) -> go.Figure:
    """Each further term of the loss (as it is added: weighted) by epoch, the variants side by side.

    Args:
        frame: columns variant, seed, epoch, term, value; optional stage and stage_epoch: each stage that has terms has a panel, by its own epochs.
        log: a logarithmic axis; values that are not above zero are left out and counted.

    Raises:
        DataError: a column is missing, or no value is left to draw.
    """
    frame = checked(frame, "auxiliary_losses", "variant", "seed", "epoch", "term", "value")
    whole = len(frame)
    frame = checked(frame[frame["value"] > 0], "auxiliary_losses") if log else frame
    frame, of_stages = a_panel_a_stage(frame)
    variants, terms = names(frame, "variant"), names(frame, "term")
    reach = canvas.value_range(frame["value"].to_numpy(), log=log)
    x_title = "epoch of the stage" if has_stages(frame) else "epoch"
    figure = canvas.panels(variants, x_title=x_title, y_title=f"term of the loss{' (log scale)' if log else ''}")
    figure.update_yaxes(range=reach, type="log" if log else "linear", dtick=log_ticks(reach) if log else None)
    figure.update_xaxes(range=canvas.room_for_labels(frame["epoch"].min(), frame["epoch"].max(), terms, canvas.columns_for(len(variants))))
    for place, variant in enumerate(variants):
        rows, labels, cell = frame[frame["variant"] == variant], [], canvas.cell(place, variants)
        for number, term in enumerate(terms):
            summary = over_seeds(rows[rows["term"] == term])
            if len(summary):
                _draw_term(figure, summary, term, DASHES[number % len(DASHES)], rows["seed"].nunique() > 1, cell)
                end = float(summary["median"].iloc[-1])
                labels.append((canvas.safe(term), float(np.log10(end)) if log else end, INK))
        canvas.end_labels(figure, labels, x=float(rows["epoch"].max()), y_range=reach, **cell)
    left_out = f"{captions.count(whole - len(frame), 'value')} not above zero cannot be drawn on the log scale." if whole > len(frame) else ""
    findings = [_moved(frame[frame["variant"] == variant], terms, variant if len(variants) > 1 else "") for variant in variants]
    where = ", ".join(names(frame.dropna(subset="stage"), "stage")) if of_stages else ""
    of_stages = f"Stages that have terms: {where}. {of_stages}" if of_stages else ""
    return captions.attach(figure, *findings, captions.seeds_drawn(frame), left_out, of_stages)


def _draw_term(figure: go.Figure, summary: pd.DataFrame, term: str, dash: str, has_band: bool, cell: dict[str, int]) -> None:
    """A line in its band."""
    epochs, name = summary.index.to_numpy(), canvas.safe(term)
    if has_band:
        edge = {"x": [*epochs, *epochs[::-1]], "y": [*summary["max"], *summary["min"][::-1]], "fill": "toself", "fillcolor": "rgba(118,118,118,0.16)"}
        figure.add_trace(go.Scatter(**edge, mode="lines", line={"width": 0}, name=f"{name}, range", hoverinfo="skip"), **cell)
    hover = f"{name}, epoch %{{x}}: %{{y:.3g}}<extra></extra>"
    line = {"color": INK, "width": 2.2, "dash": dash}
    figure.add_trace(go.Scatter(x=epochs, y=summary["median"].to_numpy(), mode="lines", line=line, name=name, hovertemplate=hover), **cell)


def _moved(rows: pd.DataFrame, terms: list[str], variant: str) -> str:
    """Each term in the first and in the last epoch."""
    said = []
    for term in terms:
        found = rows[rows["term"] == term].sort_values("epoch")
        if len(found):
            ends = found.groupby("seed")["value"].agg(["first", "last"])
            said.append(f"{term} from {score(float(ends['first'].mean()))} to {score(float(ends['last'].mean()))}")
    told = f"{', '.join(said)} between the first and the last epoch."
    return f"{variant}: {told}" if variant else captions.first_upper(told)


def pseudo_labels(frame: pd.DataFrame, *, unit: str = "score") -> go.Figure:
    """Labels that a method makes for single modalities, less the label of the whole: by epoch (median, quartiles), and sample by sample at the end.

    Args:
        frame: columns epoch, sample, modality, value (the made label), target (the label of the whole).
        unit: of the label.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "pseudo_labels", "epoch", "sample", "modality", "value", "target")
    frame = frame.assign(apart=frame["value"] - frame["target"])
    looks = styles(names(frame, "modality"))
    last = frame[frame["epoch"] == frame["epoch"].max()]
    epoch = int(frame["epoch"].max())
    figure = canvas.panels(["made less whole label, by epoch", f"made against whole label, epoch {epoch}"], x_title="epoch", y_title="")
    figure.update_layout(yaxis2={"matches": None, "showticklabels": True}, yaxis={"matches": None})
    figure.update_yaxes(title_text=f"difference [{unit}]", row=1, col=1)
    figure.update_yaxes(title_text=f"made label [{unit}]", row=1, col=2)
    figure.update_xaxes(title_text=f"label of the whole [{unit}]", row=1, col=2)
    figure.update_xaxes(domain=[0, 0.46], row=1, col=1)
    figure.update_xaxes(domain=[0.58, 1], row=1, col=2)
    _draw_epochs(figure, frame, looks)
    _draw_scatter(figure, last, looks)
    read = "Lines: median of the samples, band: their quartiles. Grey line: made label = label of the whole."
    return captions.attach(figure, *_apart(last, epoch), read)


def _draw_epochs(figure: go.Figure, frame: pd.DataFrame, looks: dict[str, Style]) -> None:
    """Median and quartiles of the difference."""
    summary = frame.groupby(["modality", "epoch"])["apart"].quantile([0.25, 0.5, 0.75]).unstack()
    reach = canvas.value_range(summary.to_numpy())
    first, last, labels = frame["epoch"].min(), frame["epoch"].max(), []
    for name, look in looks.items():
        rows = summary.loc[name]
        epochs = rows.index.to_numpy()
        band = {"x": [*epochs, *epochs[::-1]], "y": [*rows[0.75], *rows[0.25][::-1]], "fill": "toself", "fillcolor": look.band, "hoverinfo": "skip"}
        figure.add_trace(go.Scatter(**band, mode="lines", line={"width": 0}, name=f"{canvas.safe(name)}, quartiles"), row=1, col=1)
        drawn = {"line": {"color": look.color, "width": 2.5}, "marker": {"symbol": look.symbol, "size": 7, "maxdisplayed": 10}}
        hover = f"{canvas.safe(name)}, epoch %{{x}}: %{{y:+.3f}}<extra></extra>"
        line = go.Scatter(x=epochs, y=rows[0.5].to_numpy(), mode="lines+markers", **drawn, name=canvas.safe(name), hovertemplate=hover)
        figure.add_trace(line, row=1, col=1)
        labels.append((f"{look.mark} {canvas.safe(name)}", float(rows[0.5].iloc[-1]), look.small))
    figure.update_yaxes(range=reach, row=1, col=1)
    figure.update_xaxes(range=canvas.room_for_labels(first, last, [text for text, *_ in labels], 2), row=1, col=1)
    canvas.end_labels(figure, labels, x=float(last), y_range=reach, row=1, col=1)


def _draw_scatter(figure: go.Figure, last: pd.DataFrame, looks: dict[str, Style]) -> None:
    """A mark a sample and modality, and the line where both labels are the same."""
    samples = last["sample"].drop_duplicates().iloc[:SHOWN]
    rows = last[last["sample"].isin(samples)]
    ends = [float(rows["target"].min()), float(rows["target"].max())]
    line = {"color": "#767676", "width": 1.5}
    figure.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line=line, name="made = whole", hoverinfo="skip"), row=1, col=2)
    for name, look in looks.items():
        found = rows[rows["modality"] == name]
        marker = {"symbol": look.symbol, "size": 5, "color": look.color, "opacity": 0.55}
        hover = f"{canvas.safe(name)}: whole %{{x:.2f}}, made %{{y:.2f}}<extra></extra>"
        dots = {"x": found["target"].to_numpy(), "y": found["value"].to_numpy(), "mode": "markers", "marker": marker, "hovertemplate": hover}
        figure.add_trace(go.Scatter(**dots, name=f"{canvas.safe(name)}, samples"), row=1, col=2)


def _apart(last: pd.DataFrame, epoch: int) -> list[str]:
    """How far each modality's labels are from those of the whole at the end."""
    apart = last.assign(value=last["apart"].abs(), seed=last.get("seed", 0))
    parts = {name: by_seed(apart[apart["modality"] == name]).to_numpy() for name in names(last, "modality")}
    furthest = max(parts, key=lambda name: parts[name].mean())
    said = ", ".join(f"{name}'s by {mean_and_spread(values)}" for name, values in parts.items())
    samples = captions.count(last["sample"].nunique(), "sample")
    first = f"{captions.first_upper(furthest)}'s made labels are furthest from those of the whole"
    return [f"{first}: in epoch {epoch} {said} on average ({samples})."]
