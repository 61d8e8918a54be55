"""Does each stage of a training add to the one before? Scores of the stages of the same runs, rung by rung."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isnan

import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.dial_lines import CUT, shown_range
from workbench.figures.facts import FactTable, fact_table
from workbench.figures.frames import by_seed, checked, difference, names, only_metric
from workbench.figures.palette import INK, QUIET, Style, styles
from workbench.statistics import Difference, holm, mean_and_spread, mean_interval, score

SINGLE = "single modalities"
"""The block whose rungs are modalities."""


def score_ladder(
    frame: pd.DataFrame, *, metric: str | None = None, ceiling: Mapping[str, float] | None = None, chance: float | None = None
) -> go.Figure:
    """Each stage's score: seeds as dots (thin lines join a seed's), mean and 95 % interval; one panel a variant.

    Args:
        frame: columns variant, block, rung, seed, value; optional metric (see `workbench.probes.ladder.stage_scores`).
        metric: which metric to draw where the table holds several; else what the score is.
        ceiling: highest reachable score by modality and of `all`.
        chance: score of an answer that looks at nothing.

    Raises:
        DataError: a column is missing, no row has a value, or the metric is not in the table.
    """
    frame = checked(frame, "score_ladder", "variant", "block", "rung", "seed", "value")
    frame, metric = only_metric(frame, metric, "score_ladder")
    variants, rungs = names(frame, "variant"), names(frame, "rung")
    looks = styles(names(frame[frame["block"] == SINGLE], "rung"))
    figure = canvas.panels(variants if len(variants) > 1 else [""], x_title="", y_title=metric, panel_height=340)
    ceiling = {name: value for name, value in (ceiling or {}).items() if name in rungs or name == "all"}
    bounds_there: list[float] = [*ceiling.values(), *([] if chance is None else [chance])]
    ends: list[float] = []
    for place, variant in enumerate(variants):
        cell = canvas.cell(place, variants)
        rows = frame[frame["variant"] == variant]
        _join_seeds(figure, rows, rungs, cell)
        for number, rung in enumerate(rungs):
            ends += _draw_rung(figure, number, rung, by_seed(rows[rows["rung"] == rung]), looks.get(rung), cell)
        _draw_bounds(figure, rungs, looks, ceiling, chance, cell)
    figure.update_xaxes(
        tickvals=list(range(len(rungs))),
        ticktext=[_tick(rung, looks) for rung in rungs],
        range=[-0.6, len(rungs) - 0.2],
        showgrid=False,
        zeroline=False,
    )
    reach, is_cut = shown_range([*frame["value"], *bounds_there], ends)
    figure.update_yaxes(range=reach)
    said = [say_rungs(frame[frame["variant"] == variant], metric, variant if len(variants) > 1 else "") for variant in variants]
    bounds = [f"Dashed: ceiling ({', '.join(f'{name} {score(value)}' for name, value in ceiling.items())})." if ceiling else ""]
    bounds += [f"Dotted: an answer that looks at nothing ({score(chance)})." if chance is not None else ""]
    read = f"Dots: seeds, joined; thick line: mean; bar: 95 % interval.{f' {CUT}' if is_cut else ''}"
    return captions.attach(figure, *said, read, *bounds, f"{captions.count(frame['seed'].nunique(), 'seed')}.")


def _tick(rung: str, looks: Mapping[str, Style]) -> str:
    look = looks.get(rung)
    return f'<span style="color:{look.small}">{look.mark} {canvas.safe(rung)}</span>' if look else canvas.safe(rung)


def _join_seeds(figure: go.Figure, rows: pd.DataFrame, rungs: Sequence[str], cell: dict[str, int]) -> None:
    """A thin line a seed: the same training from rung to rung."""
    table = rows.groupby(["seed", "rung"])["value"].mean().unstack().reindex(columns=list(rungs))
    for seed, values in table.iterrows():
        line = {"color": QUIET, "width": 1}
        figure.add_trace(
            go.Scatter(x=list(range(len(rungs))), y=values.to_numpy(), mode="lines", line=line, name=f"seed {seed}", hoverinfo="skip"), **cell
        )


def _draw_rung(figure: go.Figure, place: int, rung: str, values: pd.Series, look: Style | None, cell: dict[str, int]) -> list[float]:
    """One rung: dots, mean, interval; the ends of the interval."""
    if not len(values):
        return []
    color, symbol, ink = (look.color, look.symbol, look.small) if look else (INK, "circle", INK)
    mean, low, high = mean_interval(values.to_numpy())
    name = canvas.safe(rung)
    seeds = [f"{name}, seed {seed}" for seed in values.index]
    dots = {"marker": {"symbol": symbol, "size": 8, "color": color, "opacity": 0.75}, "customdata": seeds, "name": name}
    hover = "%{customdata}: %{y:.3f}<extra></extra>"
    figure.add_trace(go.Scatter(x=[place] * len(values), y=values.to_numpy(), mode="markers", hovertemplate=hover, **dots), **cell)
    line = {"color": color, "width": 4}
    span = [place + 0.1, place + 0.3]
    figure.add_trace(go.Scatter(x=span, y=[mean, mean], mode="lines", line=line, name=f"{name}, mean", hoverinfo="skip"), **cell)
    if not isnan(low):
        bar = {"type": "data", "symmetric": False, "array": [high - mean], "arrayminus": [mean - low], "color": color, "thickness": 2, "width": 6}
        drawn = {"mode": "markers", "marker": {"size": 1, "color": color}, "error_y": bar, "hoverinfo": "skip"}
        figure.add_trace(go.Scatter(x=[place + 0.2], y=[mean], **drawn, name=f"{name}, 95 % interval"), **cell)
    note = {"text": score(mean), "showarrow": False, "xanchor": "left", "font": {"size": 14, "color": ink}}
    figure.add_annotation(x=place + 0.32, y=mean, **note, **cell)
    return [low, high]


def _draw_bounds(
    figure: go.Figure, rungs: Sequence[str], looks: Mapping[str, Style], ceiling: Mapping[str, float], chance: float | None, cell: dict[str, int]
) -> None:
    """Ceilings over their rungs (that of `all` over those that are no modality), chance across."""
    joint = [place for place, rung in enumerate(rungs) if rung not in looks]
    spans = {name: (rungs.index(name) - 0.4, rungs.index(name) + 0.4) for name in ceiling if name in rungs}
    spans |= {"all": (min(joint) - 0.4, max(joint) + 0.4)} if "all" in ceiling and joint else {}
    for name, span in spans.items():
        line = {"color": INK, "width": 1.5, "dash": "dash"}
        hover = f"ceiling, {canvas.safe(name)}: %{{y:.3f}}<extra></extra>"
        trace = go.Scatter(x=span, y=[ceiling[name]] * 2, mode="lines", line=line, name=f"ceiling, {canvas.safe(name)}", hovertemplate=hover)
        figure.add_trace(trace, **cell)
    if chance is not None:
        line = {"color": QUIET, "width": 1.5, "dash": "dot"}
        span = [-0.5, len(rungs) - 0.5]
        hover = "looks at nothing: %{y:.3f}<extra></extra>"
        figure.add_trace(go.Scatter(x=span, y=[chance] * 2, mode="lines", line=line, name="chance", hovertemplate=hover), **cell)


def rung_changes(frame: pd.DataFrame) -> dict[str, Difference]:
    """Each rung against those of the block before it, paired by seed: `correlated - text`, ..., `fused - correlated`.

    Args:
        frame: rows of one variant and metric.
    """
    blocks = {block: names(frame[frame["block"] == block], "rung") for block in names(frame, "block")}
    order, found = list(blocks), {}
    for before, after in pairwise(order):
        for upper in blocks[after]:
            for lower in blocks[before]:
                change = difference(frame[frame["rung"] == upper], frame[frame["rung"] == lower])
                if change is not None:
                    found[f"{upper} - {lower}"] = change
    return found


def say_rungs(frame: pd.DataFrame, metric: str, variant: str = "") -> str:
    """One sentence: which steps of the ladder go up and which down, and for which no difference is found (Holm, 5 %)."""
    changes = rung_changes(frame)
    where = f"{variant}, " if variant else ""
    if not changes:
        return f"{captions.first_upper(where + metric)}: one block of rungs only, no step to tell."
    sign = -1.0 if captions.is_lower_better(metric) else 1.0
    found = holm(changes)
    told = {"up": [name for name in found if sign * changes[name].mean > 0], "down": [name for name in found if sign * changes[name].mean < 0]}
    told |= {"no difference found": [name for name in changes if name not in found]}
    seeds = max(change.n for change in changes.values())
    said = "; ".join(f"{word}: {', '.join(f'{name} {_span(changes[name])}' for name in steps)}" for word, steps in told.items() if steps)
    return f"{captions.first_upper(where + metric)}: {said} (paired by seed, n = {seeds}; Holm over {len(changes)} steps, 5 %)."


def _span(change: Difference) -> str:
    """`+.040 (95 % +.021 to +.059)`."""
    mean = score(change.mean, sign=True)
    return mean if change.n < 2 else f"{mean} (95 % {score(change.low, sign=True)} to {score(change.high, sign=True)})"


def ladder_table(
    frame: pd.DataFrame,
    *,
    metrics: Sequence[str],
    titles: Sequence[str] | None = None,
    printed: pd.DataFrame | None = None,
    order: Sequence[str] = (),
) -> FactTable:
    """The ladder in the form of the paper's Table 2: a block a kind of input, a row a rung, and below each measured row the printed one, if any.

    Args:
        frame: columns variant, block, rung, seed, metric, value. A variant is a kind of data (aligned, unaligned); rungs of single modalities stand
            for each of them.
        metrics: columns, in order.
        titles: their names for people.
        printed: columns block, row, metric, value, source (see `workbench.delta.printed_rows`); `row` is the modality or the variant.
        order: blocks in their order; those of the table where empty.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "ladder_table", "variant", "block", "rung", "seed", "metric", "value")
    variants = names(frame, "variant")
    lines = []
    for block in order or names(frame, "block"):
        of_block = frame[frame["block"] == block]
        pairs = [(rung, variant) for rung in names(of_block, "rung") for variant in variants]
        for rung, variant in pairs:
            rows = of_block[(of_block["rung"] == rung) & (of_block["variant"] == variant)]
            if not len(rows):
                continue
            name = rung if len(variants) == 1 and block == SINGLE else f"{rung}, {variant}" if block == SINGLE else variant
            cells = [_measured(rows, metric) for metric in metrics]
            lines.append([block, name, f"measured (n = {rows['seed'].nunique()})", *cells])
            lines += _printed_line(printed, block, rung if block == SINGLE else variant, metrics)
    return fact_table(lines, "block", "input", "", *(titles or metrics))


def _measured(rows: pd.DataFrame, metric: str) -> str:
    found = rows[rows["metric"] == metric]
    return mean_and_spread(by_seed(found).to_numpy()) if len(found) else "-"


def _printed_line(printed: pd.DataFrame | None, block: str, row: str, metrics: Sequence[str]) -> list[list[str]]:
    """The paper's row that belongs to a measured one, and what is not as here."""
    if printed is None:
        return []
    found = printed[(printed["block"] == block) & (printed["row"] == row)]
    if not len(found):
        return []
    values = found.set_index("metric")["value"]
    cells = [score(float(values[metric])) if metric in values else "-" for metric in metrics]
    source = str(found["source"].iloc[0])
    return [["", "", "printed" if source == "comparable" else f"printed; {source}", *cells]]
