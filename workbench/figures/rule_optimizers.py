"""Does a balancing rule bring the modalities' gradients together, and the steps really taken, and the score up, with SGD as with Adam?"""

from math import isnan

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.dial_lines import CUT, shown_range
from workbench.figures.frames import by_seed, checked, names
from workbench.figures.palette import INK, PAPER
from workbench.statistics import Difference, holm, mean_interval, paired_difference, score

NONE = "none"
RATIOS = {"gradient": "gradient: largest ÷ smallest", "update": "update norm: largest ÷ smallest"}
SYMBOLS = ("circle", "diamond-open", "square", "triangle-up-open")


def magnitude_ratios(frame: pd.DataFrame, *, metric: str = "score") -> go.Figure:
    """By rule and optimizer: how many times the largest modality's gradient, and its update, is the smallest one's, and the score beside them.

    Source: adaptive weight fusion (2024), Table 7 (SGD and Adam, without and with the rule), with what happens on the way.

    Args:
        frame: columns optimizer, variant (`none` and the rules), seed, quantity (`gradient`, `update`: ratios; `score`), value.
        metric: what the score is.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "magnitude_ratios", "optimizer", "variant", "seed", "quantity", "value")
    rules, optimizers = names(frame, "variant"), names(frame, "optimizer")
    titles = [*RATIOS.values(), metric]
    figure = canvas.panels(["gradient", "update norm", "score"], x_title="", y_title="", panel_height=46 * (len(rules) + 1))
    figure.update_yaxes(
        tickvals=list(range(len(rules))), ticktext=[canvas.safe(rule) for rule in rules], range=[len(rules) - 0.4, -0.6], zeroline=False
    )
    is_cut = False
    for place, quantity in enumerate((*RATIOS, "score")):
        rows, cell = frame[frame["quantity"] == quantity], canvas.cell(place, titles)
        ends = [end for i, name in enumerate(optimizers) for end in _draw(figure, rows[rows["optimizer"] == name], rules, i, quantity, cell)]
        is_ratio = quantity in RATIOS
        values = np.log10(rows["value"]) if is_ratio else rows["value"]
        reach, cut = shown_range(values, np.log10(ends) if is_ratio else ends)
        is_cut |= cut
        axis = {"title_text": "largest ÷ smallest (log)" if is_ratio else canvas.safe(metric.partition(" (")[0]), "range": reach, "nticks": 5}
        figure.update_xaxes(
            type="log" if is_ratio else "linear", dtick=None if not is_ratio else "D2" if reach[1] - reach[0] < 1.2 else 1, **axis, **cell
        )
    figure.update_layout(showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.1, "yanchor": "bottom", "font": {"size": 14}})
    figure.update_layout(margin={**canvas.MARGIN, "t": canvas.MARGIN["t"] + 34}, height=figure.layout.height + 34)
    read = "Ratios: largest modality over smallest in each epoch, geometric mean over the epochs up to the best one. Marks and bars: means over "
    read += f"{captions.count(frame['seed'].nunique(), 'seed')} and their 95 % intervals."
    return captions.attach(figure, *(say_optimizer(frame, name, metric) for name in optimizers), read, CUT if is_cut else "")


def _draw(figure: go.Figure, rows: pd.DataFrame, rules: list[str], number: int, quantity: str, cell: dict[str, int]) -> list[float]:
    """One optimizer's marks in one panel; the ends of their bars."""
    spans, y = [], []
    for place, rule in enumerate(rules):
        values = by_seed(rows[rows["variant"] == rule]).to_numpy()
        if len(values):
            mean, low, high = captions.ratio_interval(values) if quantity in RATIOS else mean_interval(values)
            spans.append((mean, mean, mean) if isnan(low) else (mean, low, high))
            y.append(place + 0.3 * (number - 0.5))
    if not spans:
        return []
    name = canvas.safe(rows["optimizer"].iloc[0])
    up, down = [high - mean for mean, _, high in spans], [mean - low for mean, low, _ in spans]
    bar = {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "color": INK, "thickness": 1.5, "width": 4}
    symbol = SYMBOLS[number % len(SYMBOLS)]
    marker = {"symbol": symbol, "size": 10, "color": INK, "line": {"color": INK if symbol.endswith("open") else PAPER, "width": 1.5}}
    hover = f"{name}: %{{x:.3g}}<extra></extra>"
    drawn = {"mode": "markers", "marker": marker, "error_x": bar, "hovertemplate": hover, "legendgroup": name, "showlegend": quantity == "gradient"}
    figure.add_trace(go.Scatter(x=[mean for mean, _, _ in spans], y=y, name=name, **drawn), **cell)
    return [end for _, low, high in spans for end in (low, high)]


def changes_of(frame: pd.DataFrame, optimizer: str, quantity: str) -> dict[str, Difference]:
    """Each rule against none under one optimizer, paired by seed; of ratios the difference of their logarithms."""
    rows = frame[(frame["optimizer"] == optimizer) & (frame["quantity"] == quantity)]
    table = rows.pivot_table(index="seed", columns="variant", values="value", sort=False)
    if NONE not in table:
        return {}
    table = np.log(table) if quantity in RATIOS else table
    pairs = {rule: table[[rule, NONE]].dropna() for rule in names(rows, "variant") if rule != NONE}
    return {rule: paired_difference(pair[rule].to_numpy(), pair[NONE].to_numpy()) for rule, pair in pairs.items() if len(pair)}


def say_optimizer(frame: pd.DataFrame, optimizer: str, metric: str = "score") -> str:
    """One sentence: the rules that bring gradients together or apart, the steps, and the score up or down (Holm over the rules, each by itself)."""
    sign = -1.0 if captions.is_lower_better(metric) else 1.0
    said = []
    for quantity, name in (("gradient", "gradients"), ("update", "update norms"), ("score", "score")):
        changes = changes_of(frame, optimizer, quantity)
        words = ("closer together", "further apart") if quantity in RATIOS else ("better", "worse")
        found = holm(changes)
        better = [rule for rule in found if (changes[rule].mean < 0) == (quantity in RATIOS or sign < 0)]
        hit = {words[0]: better, words[1]: [rule for rule in found if rule not in better]}
        told = [f"{word} with {', '.join(f'{rule} ({_change(changes[rule], quantity)})' for rule in rules)}" for word, rules in hit.items() if rules]
        rest = len(changes) - len(found)
        told += [f"no difference found for {rest} of {captions.count(len(changes), 'rule')}"] if rest or not changes else []
        said.append(f"{name}: {'; '.join(told)}")
    return f"{optimizer}, against no rule: {'. '.join(captions.first_upper(part) for part in said)}."


def _change(change: Difference, quantity: str) -> str:
    """`ratio × 0.24`, `+.120`."""
    return f"ratio × {np.exp(change.mean):.2g}" if quantity in RATIOS else score(change.mean, sign=True)
