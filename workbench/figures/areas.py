"""How much of the score is kept when something is missing or noisy: curves with their areas at their ends, areas as dots, and every subset."""

from collections.abc import Mapping
from math import isnan

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.dial_lines import CUT, DASHES, SYMBOLS, shown_range
from workbench.figures.facts import FactTable, fact_table
from workbench.figures.frames import by_seed, checked, difference, names, only_metric
from workbench.figures.palette import INK, PAPER, QUIET, styles
from workbench.figures.robustness import READ
from workbench.statistics import Difference, holm, mean_and_spread, mean_interval, score

SCALE = "Area: 1, the undisturbed score at every amount; 0, no better than looking at nothing."
"""What an area means."""

AMOUNTS = {"missing": "share missing", "noise": "amount of noise"}
"""What the amounts of a disturbance are: words that fit under a narrow panel."""

KEY_LENGTH = 80
"""Letters in a line of the key above the panels."""


def disturbed_lines(frame: pd.DataFrame, areas: pd.DataFrame, *, kind: str = "missing", metric: str | None = None) -> go.Figure:
    """Score against how much of one modality is missing, or how noisy it is: a panel a modality, a line a variant, its area at its end.

    Args:
        frame: columns variant, seed, modality (the disturbed one), disturbance, amount, value; optional metric (see `workbench.robust_lab`).
        areas: columns variant, seed, modality, disturbance, value (see `workbench.robust_lab.areas`).
        kind: which disturbance.
        metric: which metric to draw where the table holds several; else what the score is.

    Raises:
        DataError: a column is missing, no row has a value, or nothing is disturbed in this way.
    """
    frame, metric = only_metric(
        checked(frame, "disturbed_lines", "variant", "seed", "modality", "disturbance", "amount", "value"), metric, "disturbed_lines"
    )
    frame, areas = _of_kind(frame, kind, "disturbed_lines"), _of_kind(areas, kind, "disturbed_lines")
    modalities, variants = names(frame, "modality"), names(frame, "variant")
    titles = [f"{name} {'missing' if kind == 'missing' else 'noisy'}" for name in modalities]
    figure = canvas.panels(titles, x_title=AMOUNTS.get(kind, kind), y_title=metric, panel_height=100 + 20 * max(10, len(variants)))
    reach = canvas.value_range(frame.groupby(["variant", "modality", "amount"])["value"].mean().to_numpy(), pad=0.1)
    figure.update_yaxes(range=reach)
    for place, modality in enumerate(modalities):
        _draw_panel(figure, frame[frame["modality"] == modality], areas[areas["modality"] == modality], variants, reach, canvas.cell(place, titles))
    _draw_key(figure, variants)
    seeds = frame["seed"].nunique()
    read = f"Lines: {'one seed' if seeds == 1 else f'means of {seeds} seeds'}, named by letters; at their ends the mean area. {SCALE}"
    return captions.attach(figure, *(say_areas(areas, name, kind) for name in modalities), read, say_without(areas), READ.get(kind, ""))


def _key(number: int) -> str:
    """The letter that stands at a line's end."""
    return chr(ord("a") + number)


def _draw_key(figure: go.Figure, variants: list[str]) -> None:
    """The letters and names of all lines, above the panels: beside each line's end there is room for its letter only."""
    lines, length = [""], 0
    for number, name in enumerate(variants):
        length += len(name) + 6
        if length > KEY_LENGTH and lines[-1]:
            lines.append("")
            length = len(name) + 6
        lines[-1] += ("\u2003" if lines[-1] else "") + f"<b>{_key(number)}</b> {canvas.safe(name)}".replace(" ", "\u00a0")
    margin = figure.layout.margin.t or canvas.MARGIN["t"]
    room = 20 * len(lines)
    figure.update_layout(height=figure.layout.height + room, margin={**canvas.MARGIN, "t": margin + room})
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "yshift": 34}
    figure.add_annotation(text="<br>".join(lines), align="left", showarrow=False, font={"size": 14}, **place)


def _of_kind(frame: pd.DataFrame, kind: str, figure: str) -> pd.DataFrame:
    """The rows of one disturbance."""
    found = frame[frame["disturbance"] == kind]
    if not len(found):
        raise DataError(f'{figure}: nothing in the table is disturbed by "{kind}"', expected=f"one of {', '.join(names(frame, 'disturbance'))}")
    return found


def _draw_panel(figure: go.Figure, rows: pd.DataFrame, areas: pd.DataFrame, variants: list[str], reach: list[float], cell: dict[str, int]) -> None:
    """One modality's lines; each ends in its letter and its area."""
    labels, last = [], float(rows["amount"].max())
    for number, name in enumerate(variants):
        found = rows[rows["variant"] == name].groupby("amount")["value"].mean()
        if not len(found):
            continue
        color = INK if number % 2 == 0 else QUIET
        drawn = {"line": {"color": color, "width": 2.2, "dash": DASHES[number % len(DASHES)]}}
        drawn |= {"marker": {"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 8, "color": color}}
        hover = f"{canvas.safe(name)}, %{{x}}: %{{y:.3f}}<extra></extra>"
        figure.add_trace(
            go.Scatter(x=found.index, y=found.to_numpy(), mode="lines+markers", name=canvas.safe(name), hovertemplate=hover, **drawn), **cell
        )
        kept = areas.loc[areas["variant"] == name, "value"].mean()
        labels.append((f"<b>{_key(number)}</b> {score(float(kept), 2)}", float(found.iloc[-1]), color))
    first = float(rows["amount"].min())
    figure.update_xaxes(range=canvas.room_for_labels(first, last, ["a .00 "], 3), tickvals=[first, (first + last) / 2, last], **cell)
    canvas.end_labels(figure, labels, x=last, y_range=reach, **cell)


def say_areas(areas: pd.DataFrame, modality: str, kind: str) -> str:
    """One sentence: which variant keeps most and which least when one modality is disturbed, paired by seed."""
    rows = areas[(areas["modality"] == modality) & areas["value"].notna()]
    where = f"{captions.first_upper(modality)} {'missing' if kind == 'missing' else 'noisy'}"
    if not len(rows):
        return f"{where}: no area, as no undisturbed score is above looking at nothing."
    means = rows.groupby("variant", sort=False)["value"].mean()
    best, worst = str(means.idxmax()), str(means.idxmin())
    said = f"{where}: most is kept by {best} (area {_span(rows, best)})"
    if best == worst:
        return f"{said}."
    change = difference(rows[rows["variant"] == best], rows[rows["variant"] == worst])
    # The best and the worst of many lie apart by chance alone: this picture names them, the table judges.
    apart = "" if change is None else f", {score(change.mean, sign=True)} apart"
    return f"{said}, least by {worst} ({_span(rows, worst)}){apart}."


def _span(rows: pd.DataFrame, variant: str) -> str:
    mean, low, high = mean_interval(by_seed(rows[rows["variant"] == variant]).to_numpy())
    return score(mean, 2) if isnan(low) else f"{score(mean, 2)}, 95 % {score(low, 2)} to {score(high, 2)}"


def area_dots(areas: pd.DataFrame) -> go.Figure:
    """The area under each curve: a row a variant, hue the disturbed modality, mean and 95 % interval over seeds; a panel a disturbance.

    Args:
        areas: columns variant, seed, modality, disturbance, value (see `workbench.robust_lab.areas`).

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    lacking = say_without(areas) if "value" in areas else ""
    areas = checked(areas, "area_dots", "variant", "seed", "modality", "disturbance", "value")
    kinds, variants, looks = names(areas, "disturbance"), names(areas, "variant"), styles(names(areas, "modality"))
    titles = [{"missing": "missing", "noise": "noisy"}.get(kind, kind) for kind in kinds]
    figure = canvas.panels(titles, x_title="area under the curve", y_title="", panel_height=30 + 22 * len(looks) * len(variants))
    ticks = [canvas.safe(name).replace(", ", ",<br>") for name in variants]
    figure.update_yaxes(tickvals=list(range(len(variants))), ticktext=ticks, range=[len(variants) - 0.4, -0.6], zeroline=False)
    is_cut = False
    for place, kind in enumerate(kinds):
        rows, cell = areas[areas["disturbance"] == kind], canvas.cell(place, kinds)
        spans = {(v, m): mean_interval(by_seed(found).to_numpy()) for (v, m), found in rows.groupby(["variant", "modality"], sort=False)}
        reach, cut = shown_range([1.0, *(span[0] for span in spans.values())], [end for span in spans.values() for end in span[1:]])
        is_cut |= cut
        for number, (modality, look) in enumerate(looks.items()):
            _draw_dots(figure, spans, variants, modality, look, 0.26 * (number - (len(looks) - 1) / 2), cell)
        # After the dots: plotly draws no line in a panel that is empty.
        figure.add_vline(x=1, line={"color": QUIET, "width": 1.5, "dash": "dot"}, **cell)
        figure.update_xaxes(range=reach, nticks=6, **cell)
    marks = ", ".join(f"{look.mark} {name}" for name, look in looks.items())
    seeds = captions.count(areas["seed"].nunique(), "seed")
    read = f"Hue and mark, the disturbed modality: {marks}. Mean and 95 % interval of {seeds}; dotted: nothing lost. {SCALE}"
    return captions.attach(figure, *(say_costs(areas, kind) for kind in kinds), read, lacking, CUT if is_cut else "")


def _draw_dots(
    figure: go.Figure, spans: Mapping[tuple[str, str], tuple[float, float, float]], variants: list[str], modality: str, look: object, shift: float,
    cell: dict[str, int],
) -> None:  # fmt: skip
    """One modality's areas."""
    found = [(place, *spans[name, modality]) for place, name in enumerate(variants) if (name, modality) in spans]
    if not found:
        return
    place, mean, low, high = (np.array(part, float) for part in zip(*found, strict=True))
    bar = {"type": "data", "symmetric": False, "array": np.nan_to_num(high - mean), "arrayminus": np.nan_to_num(mean - low), "thickness": 2}
    marker = {"symbol": look.symbol, "size": 10, "color": look.color}
    hover = f"{canvas.safe(modality)}: %{{x:.2f}}<extra></extra>"
    trace = go.Scatter(x=mean, y=place + shift, mode="markers", marker=marker, error_x=bar | {"color": look.color}, name=canvas.safe(modality))
    figure.add_trace(trace.update(hovertemplate=hover), **cell)


def say_costs(areas: pd.DataFrame, kind: str) -> str:
    """One sentence: for how many variants which modality costs most when missing; of noise, whose amounts are not alike, each one's lowest area."""
    rows = areas[areas["disturbance"] == kind]
    means = rows.groupby(["variant", "modality"], sort=False)["value"].mean()
    if kind != "missing":
        lowest = [(name, means.xs(name, level="modality")) for name in names(rows, "modality")]
        told = ", ".join(f"{name} {score(float(found.min()), 2)} ({found.idxmin()})" for name, found in lowest)
        return f"{'Noisy' if kind == 'noise' else kind}, the lowest area of each modality, whose amounts are not alike: {told}."
    whole = means.unstack("modality").dropna()
    if not len(whole):
        return "Missing: no variant has an area for every modality."
    counts = whole.idxmin(axis=1).value_counts()
    told = ", ".join(f"{name} for {count} of {captions.count(len(whole), 'variant')}" for name, count in counts.items())
    low = whole.stack().idxmin()
    return f"Missing, the modality that costs most: {told}; the lowest area is {score(float(whole.stack().min()), 2)} ({low[0]}, {low[1]})."


def say_without(areas: pd.DataFrame) -> str:
    """How many curves have no area; nothing where all have one."""
    lacking = int(areas["value"].isna().sum())
    return f"{lacking} of {captions.count(len(areas), 'curve')} without an area: undisturbed no better than looking at nothing." if lacking else ""


def subset_dots(frame: pd.DataFrame, *, metric: str | None = None, floor: float | None = None) -> go.Figure:
    """The score with some modalities left and all others missing: a row a subset, a panel a variant, mean and 95 % interval over seeds.

    Args:
        frame: columns variant, seed, left (`text + audio`), count (how many are left), value; optional metric (see
            `workbench.robust_lab.subset_scores`).
        metric: which metric to draw where the table holds several; else what the score is.
        floor: the score of the best answer that looks at nothing.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame, metric = only_metric(checked(frame, "subset_dots", "variant", "seed", "left", "count", "value"), metric, "subset_dots")
    variants, rows = names(frame, "variant"), names(frame.sort_values("count", ascending=False, kind="stable"), "left")
    figure = canvas.panels(variants, x_title=metric, y_title="", panel_height=40 + 26 * len(rows))
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=[canvas.safe(name) for name in rows], range=[len(rows) - 0.4, -0.6], zeroline=False)
    spans = {place: mean_interval(by_seed(found).to_numpy()) for place, found in frame.groupby(["variant", "left"], sort=False)}
    known = [span[0] for span in spans.values()] + ([] if floor is None else [floor])
    reach, is_cut = shown_range(known, [end for span in spans.values() for end in span[1:]])
    for place, name in enumerate(variants):
        cell = canvas.cell(place, variants)
        found = [(number, *spans[name, left]) for number, left in enumerate(rows) if (name, left) in spans]
        y, mean, low, high = (np.array(part, float) for part in zip(*found, strict=True))
        bar = {"type": "data", "symmetric": False, "array": np.nan_to_num(high - mean), "arrayminus": np.nan_to_num(mean - low), "color": INK}
        marker = {"size": 10, "color": [INK if y[i] == 0 else PAPER for i in range(len(y))], "line": {"color": INK, "width": 2}}
        drawn = {"mode": "markers", "marker": marker, "error_x": bar, "hovertemplate": "%{x:.3f}<extra></extra>"}
        figure.add_trace(go.Scatter(x=mean, y=y, name=canvas.safe(name), **drawn), **cell)
        if floor is not None:
            figure.add_vline(x=floor, line={"color": QUIET, "width": 1.5, "dash": "dot"}, **cell)
        figure.update_xaxes(range=reach, nticks=5, **cell)
    told = [say_subsets(frame[frame["variant"] == name], name, rows[0], is_low=captions.is_lower_better(metric)) for name in variants]
    seeds = captions.count(frame["seed"].nunique(), "seed")
    dotted = "" if floor is None else f"Dotted: the best answer that looks at nothing ({score(floor)})."
    read = f"Filled: everything is there. Dots and bars: mean and 95 % interval of {seeds}."
    return captions.attach(figure, *told, read, dotted, CUT if is_cut else "")


def say_subsets(rows: pd.DataFrame, variant: str, whole: str, *, is_low: bool = False) -> str:
    """One sentence: the best smaller subset, and whether any is found better than everything, or worse (Holm over the subsets)."""
    changes, held = _against_whole(rows, whole)
    if not changes:
        return f"{variant}: everything is there and nothing else was asked."
    sign = -1.0 if is_low else 1.0
    above = [left for left in held if sign * changes[left].mean > 0]
    best = max(changes, key=lambda left: sign * changes[left].mean)
    change = changes[best]
    span = "one seed: no interval" if isnan(change.low) else f"95 % {score(change.low, sign=True)} to {score(change.high, sign=True)}, n = {change.n}"
    judged = f"found better with less: {', '.join(above)}" if above else "nothing is found better with less"
    counted = f"{len(held) - len(above)} of {captions.count(len(changes), 'subset')} found worse (Holm, 5 %)"
    return f"{variant}: best with less is {best}, {score(change.mean, sign=True)} against everything ({span}); {judged}, {counted}."


def _against_whole(rows: pd.DataFrame, whole: str) -> tuple[dict[str, Difference], list[str]]:
    """Of one variant each smaller subset less everything, paired by seed, and those of them that hold at once (Holm, 5 %)."""
    everything = rows[rows["left"] == whole]
    found = {str(left): difference(part, everything) for left, part in rows.groupby("left", sort=False) if left != whole}
    changes = {left: change for left, change in found.items() if change is not None}
    return changes, holm(changes)


def subset_table(frame: pd.DataFrame, *, metric: str | None = None) -> FactTable:
    """The same as a table: a row a subset, a column a variant, mean ± sd over seeds; ▼ found worse than everything, ▲ found better (Holm, 5 %).

    Args:
        frame: see `subset_dots`.
        metric: which metric where the table holds several; else what the score is.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame, metric = only_metric(checked(frame, "subset_table", "variant", "seed", "left", "count", "value"), metric, "subset_table")
    sign = -1.0 if captions.is_lower_better(metric) else 1.0
    lefts = names(frame.sort_values("count", ascending=False, kind="stable"), "left")
    columns = {}
    for name in names(frame, "variant"):
        rows = frame[frame["variant"] == name]
        changes, held = _against_whole(rows, lefts[0])
        marks = {left: "\u00a0▲" if sign * changes[left].mean > 0 else "\u00a0▼" for left in held}
        cells = {left: mean_and_spread(by_seed(found).to_numpy()) + marks.get(str(left), "") for left, found in rows.groupby("left", sort=False)}
        columns[f"{name} (n = {rows['seed'].nunique()})"] = [cells.get(left, "-") for left in lefts]
    return fact_table(list(zip(lefts, *columns.values(), strict=True)), f"left ({metric})", *columns)
