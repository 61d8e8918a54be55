"""Which modality is let through, and which of its features? Gates of modalities, sample by sample and feature by feature."""

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.palette import Style, styles
from workbench.statistics import mean_interval, score

SHOWN = 400
"""Samples that are drawn; the numbers are over all."""


def gates_by_modality(values: xr.DataArray, *, quantity: str = "gate", title: str = "") -> go.Figure:
    """Gates of every modality: left each sample's mean over the features, right each feature's mean over the samples, from closed to open.

    Args:
        values: `sample modality feature`, with the modalities' names; nan where a sample has no value.
        quantity: what the values are.
        title: which gate it is.

    Raises:
        DataError: the dimensions are not sample, modality and feature, or there is no number.
    """
    if values.ndim != 3 or not np.isfinite(values.values).any():
        raise DataError(f"gates_by_modality got values of shape {values.shape}", expected="sample, modality, feature, with a number")
    axis = str(values.dims[1])
    names = [str(name) for name in values[axis].values]
    looks = styles(names)
    with np.errstate(invalid="ignore"):
        samples, features = _mean(values.values, 2), np.sort(_mean(values.values, 0), axis=1)
    heading = f"{title}: " if title else ""
    figure = canvas.panels([f"{heading}each sample", f"{heading}each feature"], x_title="", y_title=quantity)
    ends = np.concatenate([samples[np.isfinite(samples)], features[np.isfinite(features)]])
    reach = canvas.value_range(ends)
    count = values.shape[2]
    figure.update_yaxes(range=reach)
    for place, (name, look) in enumerate(looks.items()):
        _draw_samples(figure, place, canvas.safe(name), samples[:, place], look)
        _draw_features(figure, canvas.safe(name), features[place], look)
    ticks = {
        "tickvals": list(range(len(names))),
        "ticktext": [f'<span style="color:{look.small}">{look.mark}<br>{canvas.safe(name)}</span>' for name, look in looks.items()],
    }
    figure.update_xaxes(**ticks, range=[-0.6, len(names) - 0.4], showgrid=False, zeroline=False, row=1, col=1)
    labels = [f"● {name}" for name in names]
    room = canvas.room_for_labels(1, count, labels, 2)
    figure.update_xaxes(title_text=f"features, by their {quantity}", range=room, row=1, col=2)
    named = [
        (f"{looks[name].mark} {canvas.safe(name)}", float(features[i, -1]), looks[name].small)
        for i, name in enumerate(names)
        if np.isfinite(features[i, -1])
    ]
    canvas.end_labels(figure, named, x=count, y_range=reach, row=1, col=2)
    return captions.attach(figure, *_findings(samples, features, names, quantity), "Left: dots are samples, lines means with their 95 % interval.")


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean along an axis, nan left out; nan where there is nothing."""
    known = np.isfinite(values)
    count = known.sum(axis)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis) / np.maximum(count, 1), np.nan)


def _draw_samples(figure: go.Figure, place: int, name: str, found: np.ndarray, look: Style) -> None:
    """The samples of one modality, spread sideways, with mean and interval."""
    found = found[np.isfinite(found)]
    if not len(found):
        return
    shown = found[:SHOWN]
    x = place - 0.16 + 0.24 * (np.arange(len(shown)) % 7) / 6 - 0.12
    dots = {"symbol": look.symbol, "size": 5, "color": look.color, "opacity": 0.35}
    hover = f"{name}: %{{y:.3f}}<extra></extra>"
    figure.add_trace(go.Scatter(x=x, y=shown, mode="markers", marker=dots, name=name, hovertemplate=hover), row=1, col=1)
    mean, low, high = mean_interval(found)
    bar = None if np.isnan(low) else {"type": "data", "array": [high - mean], "color": look.color, "thickness": 2, "width": 6}
    marker = {"symbol": "line-ew", "size": 22, "color": look.color, "line": {"width": 4, "color": look.color}}
    drawn = {"mode": "markers", "marker": marker, "error_y": bar, "name": f"{name}, mean", "hovertemplate": hover}
    figure.add_trace(go.Scatter(x=[place + 0.18], y=[mean], **drawn), row=1, col=1)


def _draw_features(figure: go.Figure, name: str, found: np.ndarray, look: Style) -> None:
    """The features of one modality, from the most closed to the most open."""
    drawn = {"line": {"color": look.color, "width": 2.2}, "marker": {"symbol": look.symbol, "size": 7, "color": look.color, "maxdisplayed": 14}}
    hover = f"{name}, feature %{{x}} of {len(found)}: %{{y:.3f}}<extra></extra>"
    x = np.arange(1, len(found) + 1)
    figure.add_trace(go.Scatter(x=x, y=found, mode="lines+markers", name=f"{name}, features", hovertemplate=hover, **drawn), row=1, col=2)


def _findings(samples: np.ndarray, features: np.ndarray, names: list[str], quantity: str) -> list[str]:
    """Which modality is let through most, and how far apart its features are."""
    means = {name: samples[np.isfinite(samples[:, place]), place] for place, name in enumerate(names)}
    means = {name: found for name, found in means.items() if len(found)}
    order = sorted(means, key=lambda name: float(means[name].mean()))
    said = [f"{name} {_interval(means[name])}" for name in reversed(order)]
    first = f"{captions.first_upper(quantity)}, mean over the features: {', '.join(said)}"
    spans = [(float(np.ptp(row[np.isfinite(row)])), name) for row, name in zip(features, names, strict=True) if np.isfinite(row).any()]
    span, widest = max(spans)
    second = f"The features differ by up to {score(span)} ({widest})."
    return [f"{first}; {captions.count(len(samples), 'sample')}.", second]


def _interval(found: np.ndarray) -> str:
    mean, low, high = mean_interval(found)
    return score(mean) if np.isnan(low) else f"{score(mean)} (95 % {score(low)} to {score(high)})"
