"""Do the modalities share a space, and keep one of their own? Vectors of both kinds, seen along their two main directions."""

from itertools import combinations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.palette import HOLLOW_MARKS, styles
from workbench.statistics import mean_interval, score

MOST = 600
"""Samples drawn; the numbers in the caption are over all."""


def spaces(
    shared: xr.DataArray, specific: xr.DataArray | None = None, *, title: str = "", words: tuple[str, str] = ("shared", "specific")
) -> go.Figure:
    """Each sample's vectors on the two directions in which all of them differ most: filled marks are shared, hollow ones specific.

    Args:
        shared: `sample modality feature`, with the modalities' names: vectors that should be alike across modalities.
        specific: the same for vectors that each modality keeps for itself; None: there are none.
        title: which spaces they are.
        words: what the two kinds are called.

    Raises:
        DataError: the dimensions are not sample, modality, feature; or there are less than two vectors.
    """
    kinds = {words[0]: shared} | ({words[1]: specific} if specific is not None else {})
    for name, values in kinds.items():
        if values.ndim != 3 or values.shape[0] * values.shape[1] < 2:
            raise DataError(f"spaces got {name} vectors of shape {values.shape}", expected="sample modality feature, at least two vectors")
    names = [str(name) for name in shared["modality"].values]
    places, told = projected(np.concatenate([values.values.reshape(-1, values.shape[2]) for values in kinds.values()]))
    figure = canvas.panels([title], x_title=f"first direction ({told[0]:.0f} % of the variance)", y_title="", panel_height=430)
    figure.update_yaxes(title_text=f"second direction ({told[1]:.0f} %)")
    looks, start = styles(names), 0
    for number, (kind, values) in enumerate(kinds.items()):
        count = values.shape[0] * values.shape[1]
        cloud = places[start : start + count].reshape(values.shape[0], values.shape[1], 2)
        start += count
        for place, name in enumerate(names):
            _draw_cloud(
                figure, cloud[:MOST, place], f"{name}, {kind}", looks[name].symbol, looks[name].open_symbol, looks[name].color, is_open=number
            )
    _write_names(figure, names, looks, list(kinds))
    if not title:
        figure.update_layout(margin=canvas.MARGIN)
    samples = captions.count(shared.shape[0], "sample")
    read = f"Filled: {words[0]}" + (f"; hollow: {words[1]}." if specific is not None else ".")
    return captions.attach(figure, _finding(kinds), f"{read} Principal directions of all vectors together; {samples}.")


def projected(vectors: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Vectors on their two principal directions, and the percentage of the variance that each tells; signs: the largest weight is positive."""
    centred = np.nan_to_num(vectors) - np.nan_to_num(vectors).mean(0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    directions = np.pad(directions[:2], [(0, max(0, 2 - len(directions))), (0, 0)])
    signs = np.sign(directions[np.arange(2), np.abs(directions).argmax(1)])
    told = np.pad(100 * sizes**2 / max(float((sizes**2).sum()), 1e-300), (0, 2))[:2]
    return centred @ (directions * np.where(signs == 0, 1, signs)[:, None]).T, (float(told[0]), float(told[1]))


def _draw_cloud(figure: go.Figure, cloud: np.ndarray, name: str, symbol: str, open_symbol: str, color: str, *, is_open: int) -> None:
    marker = {"symbol": open_symbol if is_open else symbol, "size": 8, "color": color, "opacity": 0.75, "line": {"width": 1.3 if is_open else 0}}
    hover = f"{canvas.safe(name)}<extra></extra>"
    figure.add_trace(go.Scatter(x=cloud[:, 0], y=cloud[:, 1], mode="markers", marker=marker, name=canvas.safe(name), hovertemplate=hover))


def _write_names(figure: go.Figure, names: list[str], looks: dict, kinds: list[str]) -> None:
    """What the marks mean, in a row above the picture."""
    parts = []
    for name in names:
        mark = looks[name].mark
        marks = mark + (HOLLOW_MARKS.get(mark, mark) if len(kinds) > 1 else "")
        parts.append(f'<span style="color:{looks[name].small}">{marks} {canvas.safe(name)}</span>')
    text = "   ".join(parts)
    corner = {"xref": "paper", "yref": "paper", "x": 1, "y": 1, "xanchor": "right", "yanchor": "bottom", "yshift": 6, "showarrow": False}
    figure.add_annotation(text=text, font={"size": 14}, **corner)


def cosines(values: np.ndarray) -> np.ndarray:
    """Per sample the mean cosine between the vectors of different modalities; samples with a vector of zeros are left out."""
    length = np.linalg.norm(values, axis=2)
    kept = values[(length > 0).all(1)] / length[(length > 0).all(1)][:, :, None]
    pairs = list(combinations(range(values.shape[1]), 2))
    return np.mean([np.einsum("sf,sf->s", kept[:, a], kept[:, b]) for a, b in pairs], axis=0) if pairs else np.zeros(0)


def _finding(kinds: dict[str, xr.DataArray]) -> str:
    """How alike the modalities' vectors of one sample are."""
    said = []
    for kind, values in kinds.items():
        found = cosines(np.nan_to_num(values.values))
        if len(found):
            mean, low, high = mean_interval(found)
            span = "" if np.isnan(low) else f" (95 % {score(low, 2)} to {score(high, 2)}, n = {len(found)})"
            said.append(f"{score(mean, 2)}{span} in the {kind} space")
    if not said:
        return "One modality: nothing to compare."
    return f"Mean cosine between the modalities' vectors of a sample: {', '.join(said)}."
