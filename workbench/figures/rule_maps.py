"""Where does each balancing rule help, do nothing, hurt? One small three-valued map a rule."""

import pandas as pd
import plotly.graph_objects as go

from workbench.errors import DataError
from workbench.figures import canvas, captions
from workbench.figures.dial_map import SHADES, sign_of
from workbench.figures.frames import checked, names
from workbench.statistics import Difference, holm, score

VALUES = {"−": -1, "=": 0, "+": 1}


def effect_maps(frame: pd.DataFrame, *, x_name: str = "x", y_name: str = "y") -> go.Figure:
    """What each rule changes over two dials: a cell says + (helps), − (hurts) or = (the 95 % interval holds zero), and the difference.

    Args:
        frame: columns variant (the rule), x, y (the dials' values), value (gain in score: above zero is better), low, high, p, n.
        x_name: name of the first dial.
        y_name: name of the second dial.

    Raises:
        DataError: a column is missing, no row has a value, or a cell stands twice.
    """
    frame = checked(frame, "effect_maps", "variant", "x", "y", "value", "low", "high", "p", "n")
    if frame.duplicated(["variant", "x", "y"]).any():
        raise DataError("effect_maps: a cell stands twice", expected="one row per rule and cell: a mean over seeds with its interval")
    frame = frame.assign(sign=[sign_of(row.low, row.high) for row in frame.itertuples()])
    x, y, rules = sorted(frame["x"].unique()), sorted(frame["y"].unique()), names(frame, "variant")
    figure = canvas.panels(rules, x_title=x_name, y_title=y_name, panel_height=max(150, 68 * len(y)))
    for place, rule in enumerate(rules):
        _draw_map(figure, frame[frame["variant"] == rule], x, y, canvas.cell(place, rules))
    figure.update_xaxes(tickvals=list(range(len(x))), ticktext=[f"{value:g}" for value in x], showgrid=False, zeroline=False)
    figure.update_yaxes(tickvals=list(range(len(y))), ticktext=[f"{value:g}" for value in y], showgrid=False, zeroline=False)
    read = "Numbers: score with the rule less without, paired by seed; + light: helps, = grey: no difference found, − dark: hurts. "
    return captions.attach(
        figure, *(_say_rule(frame[frame["variant"] == rule], rule) for rule in rules), _most(frame, x_name, y_name), read, _held(frame)
    )


def _draw_map(figure: go.Figure, rows: pd.DataFrame, x: list[float], y: list[float], cell: dict[str, int]) -> None:
    """One rule's cells."""
    table = rows.assign(value=rows["sign"].map(VALUES)).pivot(index="y", columns="x", values="value").reindex(index=y, columns=x)
    look = {"zmin": -1, "zmax": 1, "colorscale": SHADES, "showscale": False, "xgap": 3, "ygap": 3, "hoverinfo": "skip"}
    figure.add_trace(go.Heatmap(z=table.to_numpy(float), **look), **cell)
    for row in rows.itertuples():
        color = "#FFFFFF" if row.sign == "−" else "#000000"
        span = "one seed: no interval" if row.n < 2 else f"95 % {score(row.low, sign=True)} to {score(row.high, sign=True)}"
        figure.add_annotation(
            x=x.index(row.x), y=y.index(row.y), text=f"<b>{row.sign}</b><br>{score(row.value, sign=True)}", hovertext=span, showarrow=False,
            font={"size": 14, "color": color}, **cell,
        )  # fmt: skip


def _say_rule(rows: pd.DataFrame, rule: str) -> str:
    helps, same, hurts = (int((rows["sign"] == sign).sum()) for sign in ("+", "=", "−"))
    return f"{rule}: helps in {helps}, no difference found in {same}, hurts in {hurts} of {captions.count(len(rows), 'cell')}."


def _most(frame: pd.DataFrame, x_name: str, y_name: str) -> str:
    """The largest gain and the largest loss that were found."""
    said = []
    for word, sign in (("gain", "+"), ("loss", "−")):
        found = frame[frame["sign"] == sign]
        if not len(found):
            said.append(f"no {word} found")
            continue
        row = found.loc[found["value"].abs().idxmax()]
        span = f"95 % {score(row['low'], sign=True)} to {score(row['high'], sign=True)}"
        place = f"{x_name} {row['x']:g}, {y_name} {row['y']:g}"
        said.append(f"largest {word} {score(row['value'], sign=True)} ({span}), {row['variant']} at {place}")
    return captions.first_upper("; ".join(said)) + "."


def _held(frame: pd.DataFrame) -> str:
    """How many of the signs hold for all cells and rules at once."""
    changes = {str(place): Difference(row.value, row.low, row.high, row.p, row.n) for place, row in enumerate(frame.itertuples())}
    found = int((frame["sign"] != "=").sum())
    seeds = f"{captions.count(int(frame['n'].max()), 'seed')} a cell"
    held = f"corrected for all {len(changes)} at once (Holm, 5 %) {len(holm(changes))} of the {found} signs + and − hold"
    return f"Intervals are per cell; {held}. {seeds}."
