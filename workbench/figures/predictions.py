"""Where are the predictions right, and where not?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.frames import checked, names
from workbench.figures.palette import INK, QUIET
from workbench.statistics import score

SHADES = [[0.0, "#FFFFFF"], [1.0, "#3A3A3A"]]


def predicted_and_true(frame: pd.DataFrame) -> go.Figure:
    """Prediction against truth, a dot per sample, one panel per variant, with the line where both are equal.

    Args:
        frame: columns target, prediction (both in the task's unit); optional variant.

    Raises:
        DataError: a column is missing, or no row has both values.
    """
    frame = _of_one_answer(checked(frame, "predicted_and_true", "target", "prediction"), "predicted_and_true")
    frame = checked(frame[np.isfinite(frame["target"]) & np.isfinite(frame["prediction"])], "predicted_and_true")
    frame = frame if "variant" in frame.columns else frame.assign(variant="")
    variants = names(frame, "variant")
    figure = canvas.panels(variants, x_title="true score", y_title="predicted score")
    ends = canvas.value_range(frame[["target", "prediction"]].to_numpy())
    figure.update_xaxes(range=ends)
    figure.update_yaxes(range=ends)
    findings = []
    for place, variant in enumerate(variants):
        rows, cell = frame[frame["variant"] == variant], canvas.cell(place, variants)
        line = {"color": QUIET, "dash": "dash", "width": 2}
        figure.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line=line, name="equal", hoverinfo="skip"), **cell)
        dots = {"size": 6, "color": INK, "opacity": 0.35}
        hover = "true %{x:.2f}, predicted %{y:.2f}<extra></extra>"
        name = canvas.safe(variant or "samples")
        figure.add_trace(
            go.Scatter(x=rows["target"].to_numpy(), y=rows["prediction"].to_numpy(), mode="markers", marker=dots, name=name, hovertemplate=hover),
            **cell,
        )
        note = {"xref": "x domain", "yref": "y domain", "x": 0.98, "y": 0.02, "xanchor": "right", "yanchor": "bottom"}
        figure.add_annotation(text=f"n = {len(rows):,}", showarrow=False, font={"size": 14}, **note, **cell)
        findings.append(_agreement(rows, variant))
    return captions.attach(figure, *findings, "Dots: samples; on the dashed line prediction and truth are equal.")


def _of_one_answer(frame: pd.DataFrame, figure: str) -> pd.DataFrame:
    """The frame, where a sample has one answer.

    Raises:
        DataError: several labels stand in one frame.
    """
    if "label" in frame.columns and frame["label"].nunique() > 1:
        labels = ", ".join(map(str, frame["label"].unique()[:4]))
        raise DataError(f"{figure}: a sample has several labels here ({labels}, ...)", do='draw one: frame[frame["label"] == NAME]')
    return frame


def _agreement(rows: pd.DataFrame, variant: str) -> str:
    """Mean absolute error, correlation, and the number of samples."""
    target, prediction = rows["target"].to_numpy(float), rows["prediction"].to_numpy(float)
    error = f"predictions are off by {score(float(np.abs(target - prediction).mean()), 2)} on average"
    is_flat = len(rows) < 3 or target.std() == 0 or prediction.std() == 0
    correlation = "no correlation can be computed" if is_flat else f"correlation {score(float(np.corrcoef(target, prediction)[0, 1]), 2)}"
    return (f"{variant}: {error}" if variant else captions.first_upper(error)) + f", {correlation} ({captions.count(len(rows), 'sample')})."


def confusion(frame: pd.DataFrame, classes: Sequence[str]) -> go.Figure:
    """Which class was taken for which: counts, darker where a larger part of the true class went.

    Args:
        frame: columns target, prediction: class names, or places in `classes`; one variant.
        classes: the class names in order.

    Raises:
        DataError: a column is missing, no rows, or a class that is not in `classes`.
    """
    frame = _of_one_answer(checked(frame, "confusion", "target", "prediction"), "confusion")
    classes = [str(name) for name in classes]
    counts = count_table(frame, classes)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    labels = [canvas.safe(name) for name in classes]
    figure = canvas.panels([""], x_title="predicted class", y_title="true class", panel_height=max(260, 44 * len(classes)))
    hover = "%{text}: %{customdata} samples, %{z:.0%} of the true class<extra></extra>"
    figure.add_trace(
        go.Heatmap(
            z=shares,
            text=[[f"true {truth}, predicted {guess}" for guess in labels] for truth in labels],
            customdata=counts,
            colorscale=SHADES,
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate=hover,
        )
    )
    for row in range(len(labels)):
        for column in range(len(labels)):
            color = "#FFFFFF" if shares[row, column] > 0.7 else "#000000"
            figure.add_annotation(x=column, y=row, text=f"{counts[row, column]:,}", showarrow=False, font={"size": 15, "color": color})
    ticks = {"tickvals": list(range(len(labels))), "ticktext": labels, "showgrid": False, "zeroline": False}
    figure.update_yaxes(autorange="reversed", **ticks)
    figure.update_xaxes(**ticks)
    return captions.attach(figure, *_confusions(counts, classes), "Cells: number of samples; darker: a larger part of the true class.")


def count_table(frame: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Counts, a row per true class, a column per predicted class."""
    places = {name: place for place, name in enumerate(classes)}

    def place_of(value: object) -> int:
        if str(value) in places:
            return places[str(value)]
        is_place = isinstance(value, (int, np.integer)) or (isinstance(value, float) and value.is_integer())
        if is_place and 0 <= int(value) < len(classes):
            return int(value)
        raise DataError(
            f'confusion: class "{value}" is not in the list', expected=f"one of {', '.join(classes)}, or its place 0 to {len(classes) - 1}"
        )

    counts = np.zeros((len(classes), len(classes)), int)
    for truth, guess in zip(frame["target"], frame["prediction"], strict=True):
        counts[place_of(truth), place_of(guess)] += 1
    return counts


def _confusions(counts: np.ndarray, classes: Sequence[str]) -> list[str]:
    """How many were right, and the most frequent mistake."""
    whole, right = int(counts.sum()), int(np.trace(counts))
    first = f"{right:,} of {captions.count(whole, 'sample')} are right ({score(right / whole)})."
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.sum():
        return [first, "No class is taken for another."]
    row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
    whole_class = captions.count(int(counts[row].sum()), "sample")
    return [first, f"The most frequent mistake: {classes[row]} taken for {classes[column]} ({wrong[row, column]:,} of {whole_class})."]
