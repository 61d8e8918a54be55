"""What is left of the score when a modality goes missing or gets noisy, and does putting something in its place help?"""

from math import isnan

import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.frames import by_seed, checked, difference, names, only_metric
from workbench.figures.lines import lines_by_modality
from workbench.figures.palette import INK, Style, styles
from workbench.statistics import mean_interval, score

TREATMENTS = {"present": "", "zeros": "-open", "synthesis": "-open-dot"}
"""What stands in a modality's place, and the form of its mark."""

NOTHING = "none"
"""The modality of rows in which nothing is missing."""

WORDS = {"missing": "share of samples without it", "noise": "amount of noise"}
"""Kinds of disturbance, and what their rate is."""

READ = {"noise": "Noise: standard deviations of a feature; of tokens the share that becomes unknown."}
"""What does not fit on an axis."""


def robustness_curves(frame: pd.DataFrame, *, metric: str | None = None, kind: str | None = None) -> go.Figure:
    """Score against how much of one modality is missing (or how noisy it is): a panel a strategy, hue: the modality that is disturbed.

    Args:
        frame: columns variant, seed, modality (the disturbed one), amount, value; optional disturbance ("missing": share of samples; "noise") and
            metric (see `workbench.probes.missing`; the names rate and kind will do for amount and disturbance).
        metric: which metric to draw where the table holds several; else what the score is.
        kind: which kind to draw where the table holds several.

    Raises:
        DataError: a column is missing, no row has a value, or the kind is not in the table, or several are and none was named.
    """
    frame = frame.rename(columns={"amount": "rate", "disturbance": "kind"})
    frame = checked(frame, "robustness_curves", "variant", "seed", "modality", "rate", "value")
    frame, metric = only_metric(frame, metric, "robustness_curves")
    known = names(frame, "kind") if "kind" in frame.columns else []
    if (kind is None and len(known) > 1) or (kind is not None and known and kind not in known):
        asked = "none was named" if kind is None else f'not "{kind}"'
        raise DataError(f"robustness_curves: the table holds the kinds {', '.join(known)}, {asked}", expected=f"kind= one of {', '.join(known)}")
    chosen = kind or (known[0] if known else "missing")
    frame = frame[frame["kind"] == chosen] if known else frame
    figure = lines_by_modality(frame, y_title=metric, log=False, x="rate", x_title=WORDS.get(chosen, chosen))
    is_low = captions.is_lower_better(metric)
    seeds = frame["seed"].nunique()
    drawn = "Lines: one seed." if seeds == 1 else f"Lines: median of {seeds} seeds, band: range."
    return captions.attach(figure, *_findings(_drops(frame, is_low=is_low), metric, chosen, is_low=is_low), drawn, READ.get(chosen, ""))


def _drops(frame: pd.DataFrame, *, is_low: bool) -> pd.DataFrame:
    """What each strategy loses by each modality's strongest disturbance, paired by seed: variant, modality, rate, lost (above 0: worse), change."""
    rows = []
    for (variant, modality), found in frame.groupby(["variant", "modality"], sort=False):
        first, last = found["rate"].min(), found["rate"].max()
        change = difference(found[found["rate"] == last], found[found["rate"] == first])
        if change is not None and first < last:
            lost = change.mean if is_low else -change.mean
            rows.append({"variant": str(variant), "modality": str(modality), "rate": last, "lost": lost, "change": change})
    return pd.DataFrame(rows, columns=["variant", "modality", "rate", "lost", "change"])


def _findings(drops: pd.DataFrame, metric: str, kind: str, *, is_low: bool) -> list[str]:
    """The largest loss of all, where anything is lost; and of each strategy's worst losses the smallest."""
    if not len(drops):
        return [f"One rate of {kind} only: nothing to compare."]
    worst = drops.loc[drops.groupby("variant", sort=False)["lost"].idxmax()]
    high, low = worst.loc[worst["lost"].idxmax()], worst.loc[worst["lost"].idxmin()]
    where = f"{_lost(high)} at {kind} {high['rate']:g}"
    if high["lost"] <= 0:
        return [f"Nothing is lost: no disturbance makes {metric} worse on average; nearest to it is {where}."]
    said = [f"{where}: the {f'largest rise of {metric} (lower is better)' if is_low else f'largest loss of {metric}'}."]
    if high["variant"] != low["variant"]:
        said.append(f"Least hurt by its worst modality is {_lost(low)}.")
    return said


def _lost(row: pd.Series) -> str:
    """`tfn without audio: -.120 (95 % -.140 to -.100, n = 5)`."""
    change = row["change"]
    span = "one seed: no interval" if isnan(change.low) else f"95 % {score(change.low, sign=True)} to {score(change.high, sign=True)}, n = {change.n}"
    return f"{row['variant']}, {row['modality']} disturbed: {score(change.mean, sign=True)} ({span})"


def treatment_bars(frame: pd.DataFrame, *, metric: str | None = None) -> go.Figure:
    """Score with all there (filled), with a modality missing and zeros in its place (hollow), and with it synthesised (hollow with a dot).

    Args:
        frame: columns variant, seed, modality ("none": nothing is missing), treatment (present, zeros or synthesis), value; optional metric and
            missing_rate, of which the highest is drawn (see `workbench.probes.missing`).
        metric: which metric to draw where the table holds several; else what the score is.

    Raises:
        DataError: a column is missing, no row has a value, or a treatment is unknown.
    """
    frame = checked(frame, "treatment_bars", "variant", "seed", "modality", "treatment", "value")
    frame, metric = only_metric(frame, metric, "treatment_bars")
    frame = frame.assign(treatment=frame["treatment"].astype(str).str.removeprefix("missing with "))
    unknown = [name for name in names(frame, "treatment") if name not in TREATMENTS]
    if unknown:
        raise DataError(f'treatment_bars does not know the treatment "{unknown[0]}"', expected=f"one of {', '.join(TREATMENTS)}")
    if "missing_rate" in frame.columns:
        frame = frame[(frame["treatment"] == "present") | (frame["missing_rate"] == frame["missing_rate"].max())]
    variants, modalities = names(frame, "variant"), names(frame, "modality")
    looks = styles([name for name in modalities if name != NOTHING])
    figure = canvas.panels(variants, x_title="missing", y_title=metric, panel_height=340)
    ends = []
    for place, variant in enumerate(variants):
        cell = canvas.cell(place, variants)
        for number, modality in enumerate(modalities):
            ends += _draw_group(figure, number, frame[(frame["variant"] == variant) & (frame["modality"] == modality)], looks.get(modality), cell)
        ticks = {"tickvals": list(range(len(modalities))), "ticktext": [_named(name, looks.get(name)) for name in modalities]}
        figure.update_xaxes(**ticks, range=[-0.55, len(modalities) - 0.45], showgrid=False, zeroline=False, **cell)
    figure.update_yaxes(range=canvas.value_range(pd.Series(ends).to_numpy(), pad=0.08))
    read = "Filled: all there; hollow: zeros in its place; hollow with a dot: synthesised. Marks: seeds; line and bar: mean and 95 % interval."
    seeds = captions.count(frame["seed"].nunique(), "seed")
    return captions.attach(figure, *_helped(frame, variants, list(looks), is_low=captions.is_lower_better(metric)), f"{read} {seeds}.")


def _draw_group(figure: go.Figure, number: int, rows: pd.DataFrame, look: Style | None, cell: dict[str, int]) -> list[float]:
    """The treatments of one modality side by side."""
    treatments = [name for name in TREATMENTS if (rows["treatment"] == name).any()]
    ends = []
    for place, treatment in enumerate(treatments):
        x = number + 0.3 * (place - (len(treatments) - 1) / 2)
        ends += _draw_column(figure, x, by_seed(rows[rows["treatment"] == treatment]), look, f"{rows['modality'].iloc[0]} {treatment}", cell)
    return ends


def _named(name: str, look: Style | None) -> str:
    return f'<span style="color:{look.small}">{look.mark} {canvas.safe(name)}</span>' if look else "nothing"


def _draw_column(figure: go.Figure, x: float, values: pd.Series, look: Style | None, said: str, cell: dict[str, int]) -> list[float]:
    """Seeds as marks, mean as a line, interval as a bar; gives what must be seen."""
    color = look.color if look else INK
    symbol = (look.symbol.removesuffix("-open") if look else "circle") + TREATMENTS[said.rpartition(" ")[2]]
    name = canvas.safe(said)
    seeds = [f"{name}, seed {seed}" for seed in values.index]
    marker = {"symbol": symbol, "size": 8, "color": color, "opacity": 0.85}
    hover = "%{customdata}: %{y:.3f}<extra></extra>"
    spots = [x - 0.06] * len(values)
    trace = go.Scatter(x=spots, y=values.to_numpy(), customdata=seeds, mode="markers", marker=marker, name=name, hovertemplate=hover)
    figure.add_trace(trace, **cell)
    mean, low, high = mean_interval(values.to_numpy())
    bar = None if isnan(low) else {"type": "data", "array": [high - mean], "color": color, "thickness": 2, "width": 5}
    line = {"symbol": "line-ew", "size": 14, "color": color, "line": {"width": 3, "color": color}}
    drawn = {"mode": "markers", "marker": line, "error_y": bar, "name": f"{name}, mean", "hovertemplate": f"{name}, mean: %{{y:.3f}}<extra></extra>"}
    figure.add_trace(go.Scatter(x=[x + 0.06], y=[mean], **drawn), **cell)
    return [*values, *(() if isnan(low) else (low, high))]


def _helped(frame: pd.DataFrame, variants: list[str], modalities: list[str], *, is_low: bool) -> list[str]:
    """Synthesis against zeros for each modality of each model, paired by seed."""
    said = []
    for variant in variants:
        rows = frame[frame["variant"] == variant]
        for modality in modalities:
            parts = {name: rows[(rows["modality"] == modality) & (rows["treatment"] == name)] for name in ("synthesis", "zeros")}
            if all(map(len, parts.values())):
                change = difference(parts["synthesis"], parts["zeros"])
                where = f"{variant}, {modality} missing" if len(variants) > 1 else f"{captions.first_upper(modality)} missing"
                said.append(f"{where}: {captions.say_against('synthesis', 'zeros', change, lower_is_better=is_low)}.")
    return said or ["Synthesis and zeros are not both there: not compared."]
