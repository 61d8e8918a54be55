"""Who stands where over several data sets? Mean ranks with Nemenyi's critical difference."""

import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.compared import listed
from workbench.figures.frames import checked, names
from workbench.figures.palette import INK, QUIET
from workbench.statistics import p_value


def rank_plot(frame: pd.DataFrame) -> go.Figure:
    """Mean rank of each variant (1: best in every block) with half the critical difference to each side; brackets join what is not told apart.

    Source: Demšar, JMLR 7 (2006), section 3.2.4 and Figure 1; here a row a variant, so that names never overlap.

    Args:
        frame: a row a variant (see `workbench.standing.ranks`): columns variant, rank, blocks, datasets, seeds, p, critical, ties.

    Raises:
        DataError: a column is missing, or there is no row.
    """
    frame = checked(frame, "rank_plot", "variant", "rank", "blocks", "datasets", "seeds", "p", "critical", "ties").sort_values("rank", kind="stable")
    variants, ranks, critical = names(frame, "variant"), frame["rank"].to_numpy(float), float(frame["critical"].iloc[0])
    places = list(range(len(variants)))
    figure = canvas.panels([""], x_title="mean rank (1: best in every block)", y_title="", panel_height=max(150, 40 * len(variants) + 30))
    marker, bar = {"size": 11, "color": INK}, {"type": "constant", "value": critical / 2, "color": INK, "thickness": 2, "width": 5}
    hover = "%{customdata}: %{x:.2f}<extra></extra>"
    said = [canvas.safe(name) for name in variants]
    dots = {"mode": "markers", "marker": marker, "error_x": bar, "customdata": said, "name": "mean rank", "hovertemplate": hover}
    figure.add_trace(go.Scatter(x=ranks, y=places, **dots))
    for place, value in zip(places, ranks, strict=True):
        figure.add_annotation(x=value, y=place, text=f"{value:.2f}", showarrow=False, yshift=14, font={"size": 13, "color": INK})
    low, high = min(ranks) - critical / 2, max(ranks) + critical / 2
    step = 0.04 * (high - low)
    ties = sorted({number for numbers in frame["ties"] for number in numbers})
    for column, tie in enumerate(ties):
        joined = [place for place, numbers in zip(places, frame["ties"], strict=True) if tie in numbers]
        x = high + step * (column + 1)
        line = {"color": QUIET, "width": 5}
        figure.add_trace(go.Scatter(x=[x, x], y=[joined[0] - 0.2, joined[-1] + 0.2], mode="lines", line=line, name="tie", hoverinfo="skip"))
    figure.update_xaxes(range=[low - step, high + step * (len(ties) + 1.5)], zeroline=False)
    figure.update_yaxes(tickvals=places, ticktext=said, range=[len(places) - 0.4, -0.75], showgrid=False, zeroline=False)
    read = f"Bars: half the critical difference ({critical:.2f}, Nemenyi, 5 %) to each side: two are told apart where their bars do not meet. "
    read += "Grey lines on the right join what is not told apart."
    return captions.attach(figure, _finding(frame), read, _drawn(frame))


def _finding(frame: pd.DataFrame) -> str:
    """Whether the variants differ at all; who shares the first place, and who is told apart from it."""
    p, critical = float(frame["p"].iloc[0]), float(frame["critical"].iloc[0])
    if not p < 0.05:
        return f"No difference between the {len(frame)} ranks found (Friedman, {p_value(p)}): all tie."
    first = float(frame["rank"].min())
    top = names(frame[frame["rank"] - first < critical], "variant")
    rest = names(frame[frame["rank"] - first >= critical], "variant")
    lead = f"{top[0]} has the lowest mean rank ({first:.2f})"
    lead += f" and ties with {listed(top[1:])}" if len(top) > 1 else ", tied with no other"
    return f"{lead}; told apart from it: {listed(rest) if rest else 'none'} (Friedman, {p_value(p)})."


def _drawn(frame: pd.DataFrame) -> str:
    """What a block is, and what the test does not say."""
    row = frame.iloc[0]
    count = len(str(row["datasets"]).split(", "))
    said = f"{captions.count(int(row['blocks']), 'block')}, each one seed on one data set ({row['datasets']}). "
    return said + f"Seeds of one data set are not data sets: it speaks of {'this one' if count == 1 else f'these {count}'}, not of others."
