"""How much of a sweep's best score is luck? Settings in the order of their means, beside what equal settings would show."""

from math import sqrt

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures import settings as of
from workbench.figures.palette import INK, QUIET
from workbench.statistics import score

DRAWS = 4000
"""Sweeps of equal settings that are imagined."""

BAND = "rgba(118,118,118,0.28)"


def sweep_luck(scores: pd.DataFrame, *, metric: str | None = None, is_lower_better: bool | None = None) -> go.Figure:
    """The means of all settings from the worst to the best, over the band in which those of equal settings would lie (spread of seeds alone).

    The spread that is luck is what is left of the scores when each setting's and each seed's mean are taken away (two-way analysis of variance);
    the best of many equal settings stands above their mean by luck alone, and the band shows how far.

    Args:
        scores: columns trial, seed, value, one column a setting; optional metric, split (valid is drawn).
        metric: which metric, where there are several.
        is_lower_better: by the metric's name where None.

    Raises:
        DataError: a column is missing, no row has a value, or several metrics are there and none was named.
    """
    frame, name, title = of.chosen(scores, "sweep_luck", [], metric)
    is_lower = of.lower_is_better(name, is_lower_better)
    table = frame.pivot_table(index="trial", columns="seed", values="value").dropna()
    if len(table) < 2 or table.shape[1] < 2:
        return of.nothing_to_draw(f"Luck cannot be told from merit with {captions.count(*_short(table))}: two or more are needed.")
    parts = luck(table.to_numpy())
    means = table.mean(axis=1).sort_values(ascending=not is_lower)
    band = band_of_equals(len(means), parts["error"]) * (-1 if is_lower else 1) + means.mean()
    keys = [key for key in of.settings(scores) if frame[key].map(of.said).nunique() > 1]
    rows = frame.drop_duplicates("trial").set_index("trial")
    said = [canvas.safe(of.say_settings(rows.loc[trial, keys].to_dict())) for trial in means.index]
    figure = _drawn(table.loc[means.index], np.sort(band, axis=0), said, title)
    left_out = frame["trial"].nunique() - len(table)
    missing = f"{captions.count(left_out, 'trial')} without all seeds left out." if left_out else ""
    return captions.attach(figure, *_findings(means, band, parts, title, is_lower, said), _read(table), missing)


def luck(values: np.ndarray) -> dict[str, float]:
    """Two-way analysis of variance without repetition: shares of the squares that settings, seeds and the rest have, and the mean's error.

    Args:
        values: `setting seed`.

    Returns:
        settings, seeds, rest: shares that sum to one (0 where all values are equal); error: standard error of a setting's mean by the rest alone.
    """
    whole = values.mean()
    rows, columns = values.mean(axis=1, keepdims=True), values.mean(axis=0, keepdims=True)
    rest = values - rows - columns + whole
    squares = {
        "settings": values.shape[1] * float(((rows - whole) ** 2).sum()),
        "seeds": values.shape[0] * float(((columns - whole) ** 2).sum()),
        "rest": float((rest**2).sum()),
    }
    total = sum(squares.values())
    freedom = (values.shape[0] - 1) * (values.shape[1] - 1)
    shares = {name: part / total if total > 0 else 0.0 for name, part in squares.items()}
    return shares | {"error": sqrt(squares["rest"] / freedom / values.shape[1])}


def band_of_equals(count: int, error: float) -> np.ndarray:
    """Where the sorted means of equal settings lie: `bound rank`, the bounds 2.5 %, mean, 97.5 %, from drawn sweeps around zero."""
    drawn = np.random.default_rng(0).normal(size=(DRAWS, count)) * error
    ranked = np.sort(drawn - drawn.mean(axis=1, keepdims=True), axis=1)
    low, high = np.percentile(ranked, [2.5, 97.5], axis=0)
    return np.stack([low, ranked.mean(axis=0), high])


def _short(table: pd.DataFrame) -> tuple[int, str]:
    """What there is too little of."""
    return (len(table), "setting") if len(table) < 2 else (table.shape[1], "seed")


def _drawn(table: pd.DataFrame, band: np.ndarray, said: list[str], title: str) -> go.Figure:
    """Seeds as small dots, means as large ones, the band behind."""
    ranks = np.arange(1, len(table) + 1)
    figure = canvas.panels([""], x_title="settings, from the worst mean to the best", y_title=title, panel_height=320)
    edge = {"x": [*ranks, *ranks[::-1]], "y": [*band[2], *band[0][::-1]]}
    figure.add_trace(go.Scatter(**edge, fill="toself", fillcolor=BAND, mode="lines", line={"width": 0}, name="equal settings", hoverinfo="skip"))
    dots = {"mode": "markers", "marker": {"color": QUIET, "size": 5, "opacity": 0.8}, "hoverinfo": "skip"}
    figure.add_trace(go.Scatter(x=np.repeat(ranks, table.shape[1]), y=table.to_numpy().ravel(), name="a seed", **dots))
    hover = f"%{{text}}<br>{canvas.safe(title)} %{{y:.3f}}<extra></extra>"
    marker = {"color": INK, "size": 10}
    figure.add_trace(go.Scatter(x=ranks, y=table.mean(axis=1), mode="markers", marker=marker, text=said, name="mean", hovertemplate=hover))
    figure.update_xaxes(range=[0.4, len(table) + 0.6], dtick=1 if len(table) <= 20 else None, showgrid=False, zeroline=False)
    figure.update_yaxes(range=canvas.value_range(np.concatenate([table.to_numpy().ravel(), band.ravel()])))
    figure.update_layout(showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "font": {"size": 14}})
    return figure


def _findings(means: pd.Series, band: np.ndarray, parts: dict[str, float], title: str, is_lower: bool, said: list[str]) -> list[str]:
    """What the best stands above the middle, what luck alone would give, and the shares of the spread."""
    sign = -1 if is_lower else 1
    lead, by_luck = sign * (means.iloc[-1] - means.mean()), np.sort(sign * (band[:, -1] - means.mean()))
    span = f"{score(float(by_luck[1]))} (95 % {score(float(by_luck[0]))} to {score(float(by_luck[2]))})"
    word = "more than luck explains" if lead > by_luck[2] else "no more than luck explains"
    side = "below" if is_lower else "above"
    first = f"The best of {len(means)} settings is {score(float(lead))} {side} their mean ({title}); the best of as many equal ones would be {span}"
    shares = f"of all spread settings have {parts['settings']:.0%}, seeds {parts['seeds']:.0%}, what both leave {parts['rest']:.0%}"
    behind = sign * (means.mean() - means.iloc[0])
    worse = "The worst is further off than luck explains." if behind > np.max(sign * (means.mean() - band[:, 0])) else ""
    return [f"{first}: {word}.", worse, f"{captions.first_upper(shares)}."]


def _read(table: pd.DataFrame) -> str:
    return f"Large dots: means over {table.shape[1]} seeds; small: seeds; grey band: where the means of equal settings would lie (95 %)."
