"""Where does balancing help, do nothing, hurt? A map over two dials."""

from typing import Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.frames import checked
from workbench.statistics import score

SHADES = [[0.0, "#4A4A4A"], [0.5, "#BDBDBD"], [1.0, "#FFFFFF"]]  # dark: hurts, light: helps; hue is for modalities
Sign = Literal["+", "−", "="]


def effect_map(frame: pd.DataFrame, *, x_name: str = "x", y_name: str = "y", quantity: str = "score with balance minus without") -> go.Figure:
    """The effect of balancing over two dials: each cell says + (helps), − (hurts) or = (the 95 % interval holds zero), and the difference.

    Args:
        frame: columns x, y (the dials' values), value (mean difference, in units of the score), low, high (its 95 % interval).
        x_name: name of the first dial.
        y_name: name of the second dial.
        quantity: what the values are.

    Raises:
        DataError: a column is missing, no row has a value, or a cell stands twice.
    """
    frame = checked(frame, "effect_map", "x", "y", "value", "low", "high")
    if frame.duplicated(["x", "y"]).any():
        twice = frame[frame.duplicated(["x", "y"])].iloc[0]
        raise DataError(
            f"effect_map: the cell x = {twice['x']}, y = {twice['y']} stands twice", expected="one row per cell: a mean over seeds with its interval"
        )
    table = frame.pivot(index="y", columns="x", values="value")
    x, y = [f"{value:g}" for value in table.columns], [f"{value:g}" for value in table.index]
    reach = float(np.nanmax(np.abs(table.to_numpy()))) or 1.0
    figure = canvas.panels([""], x_title=x_name, y_title=y_name, panel_height=max(260, 62 * len(y)))
    places = [[f"{canvas.safe(x_name)} {column}, {canvas.safe(y_name)} {row}" for column in x] for row in y]
    hover = "%{customdata}: %{z:+.3f}<extra></extra>"
    figure.add_trace(
        go.Heatmap(
            z=table.to_numpy(), customdata=places, zmin=-reach, zmax=reach, colorscale=SHADES, showscale=False, xgap=2, ygap=2, hovertemplate=hover
        )
    )
    figure.update_xaxes(tickvals=list(range(len(x))), ticktext=x, showgrid=False, zeroline=False)
    figure.update_yaxes(tickvals=list(range(len(y))), ticktext=y, showgrid=False, zeroline=False)
    for row in frame.itertuples():
        sign = sign_of(row.low, row.high)
        color = "#FFFFFF" if row.value < -0.65 * reach else "#000000"
        text = f"<b>{sign}</b><br>{score(row.value, sign=True)}"
        figure.add_annotation(
            x=table.columns.get_loc(row.x), y=table.index.get_loc(row.y), text=text, showarrow=False, font={"size": 14, "color": color}
        )
    read = "Cells: + helps, − hurts, = no difference found; lighter: higher. Intervals are per cell, not corrected for their number."
    return captions.attach(figure, *_findings(frame, x_name, y_name, quantity), read)


def sign_of(low: float, high: float) -> Sign:
    """`+` or `−` where the interval excludes zero, `=` where it does not or is unknown."""
    return "+" if low > 0 else "−" if high < 0 else "="


def _findings(frame: pd.DataFrame, x_name: str, y_name: str, quantity: str) -> list[str]:
    """How many cells help, hurt, do nothing; where the effect is largest."""
    signs = [sign_of(row.low, row.high) for row in frame.itertuples()]
    helps, hurts, same = (signs.count(sign) for sign in ("+", "−", "="))
    cells = captions.count(len(frame), "cell")
    whole = f"{captions.first_upper(quantity)}: above zero in {helps}, below in {hurts}, no difference found in {same} of {cells}."
    found = frame[[sign != "=" for sign in signs]]
    if not len(found):
        return [whole]
    most = found.loc[found["value"].abs().idxmax()]
    span = f"95 % {score(most['low'], sign=True)} to {score(most['high'], sign=True)}"
    return [whole, f"The largest: {score(most['value'], sign=True)} ({span}) at {x_name} {most['x']:g}, {y_name} {most['y']:g}."]
