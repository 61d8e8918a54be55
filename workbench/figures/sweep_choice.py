"""The end of a sweep: what is left on test of what the chosen setting gained on valid?"""

import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures import settings as of
from workbench.figures.frames import by_seed, checked, names
from workbench.figures.palette import INK, QUIET
from workbench.figures.setting_words import say_change
from workbench.statistics import mean_and_spread, paired_difference, say_difference

LOOKS = ({"color": INK, "dash": "solid", "symbol": "circle"}, {"color": QUIET, "dash": "dash", "symbol": "circle-open"})
PLACES = {"valid": 0.0, "test": 1.0}


def sweep_end(frame: pd.DataFrame, *, metric: str = "score", is_lower_better: bool | None = None) -> go.Figure:
    """The chosen and the base setting, on valid and on test: the first was chosen by valid, so its score there is too good; test is untouched.

    Args:
        frame: columns variant, split (valid, test), seed, value; the first variant is the chosen one, the second the base.
        metric: what the value is.
        is_lower_better: by the metric's name where None.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "sweep_end", "variant", "split", "seed", "value")
    frame = frame[frame["split"].isin(list(PLACES))]
    variants = names(frame, "variant")
    figure = canvas.panels([""], x_title="", y_title=metric, panel_height=340)
    reach = canvas.value_range(frame["value"].to_numpy(), pad=0.12)
    figure.update_yaxes(range=reach)
    room = canvas.room_for_labels(-0.25, 1.1, variants, 1)
    figure.update_xaxes(tickvals=[0, 1], ticktext=["valid", "test"], range=room, showgrid=False, zeroline=False)
    ends = []
    for place, (name, look) in enumerate(zip(variants, LOOKS, strict=False)):
        ends.append(_draw(figure, frame[frame["variant"] == name], name, look, shift=(-0.04, 0.04)[place]))
    canvas.end_labels(figure, ends, x=1.06, y_range=reach, row=1, col=1)
    is_lower = of.lower_is_better(metric, is_lower_better)
    return captions.attach(figure, *_findings(frame, variants, metric, is_lower), "Small: seeds; large: their mean.")


def _draw(figure: go.Figure, rows: pd.DataFrame, name: str, look: dict, *, shift: float) -> tuple[str, float, str]:
    """One variant: seeds, means and the line between; gives its label's text, height and colour."""
    x = rows["split"].map(PLACES) + shift
    small = {"color": look["color"], "size": 6, "opacity": 0.55}
    hover = f"{canvas.safe(name)}, seed %{{customdata}}: %{{y:.3f}}<extra></extra>"
    figure.add_trace(go.Scatter(x=x, y=rows["value"], mode="markers", marker=small, customdata=rows["seed"], name="seeds", hovertemplate=hover))
    means = rows.groupby("split")["value"].mean()
    shown = [split for split in PLACES if split in means.index]
    line = {"color": look["color"], "dash": look["dash"], "width": 2.5}
    marker = {"color": look["color"], "symbol": look["symbol"], "size": 12, "line": {"width": 2}}
    places = {"x": [PLACES[split] for split in shown], "y": [float(means[split]) for split in shown]}
    hover = f"{canvas.safe(name)}, mean: %{{y:.3f}}<extra></extra>"
    figure.add_trace(go.Scatter(**places, mode="lines+markers", line=line, marker=marker, name=canvas.safe(name), hovertemplate=hover))
    return canvas.safe(name), float(means[shown[-1]]), look["color"]


def _findings(frame: pd.DataFrame, variants: list[str], metric: str, is_lower: bool) -> list[str]:
    """Chosen against base on test, then on valid, then how much of the gain on valid test takes back."""

    def part(variant: str, split: str) -> pd.DataFrame:
        return frame[(frame["variant"] == variant) & (frame["split"] == split)]

    said = {(v, s): mean_and_spread(by_seed(part(v, s)).to_numpy()) for v in variants for s in PLACES}
    if len(variants) < 2:
        return [f"{captions.first_upper(variants[0])}: {metric} {said[variants[0], 'valid']} on valid, {said[variants[0], 'test']} on test."]
    first, second = variants[:2]
    if all(part(first, split)["value"].tolist() == part(second, split)["value"].tolist() for split in PLACES):
        same = f"{metric} {said[first, 'valid']} on valid, {said[first, 'test']} on test"
        return [f"The {first} and the {second} setting have the same scores: {same}.", "Nothing was gained by choosing."]
    change = {split: say_change(part(first, split), part(second, split)) for split in PLACES}
    on_test = f"On test the {first} setting has {metric} {said[first, 'test']}, the {second} {said[second, 'test']}: {change['test']}."
    on_valid = f"On valid, by which it was chosen: {said[first, 'valid']} and {said[second, 'valid']}, {change['valid']}."
    gains = [by_seed(part(first, split)) - by_seed(part(second, split)) for split in PLACES]
    both = pd.concat(gains, axis=1, join="inner").dropna().round(12).to_numpy()
    if not len(both):
        return [on_test, on_valid]
    lost = paired_difference(both[:, 0], both[:, 1])
    optimism = say_difference(lost if not is_lower else paired_difference(both[:, 1], both[:, 0]))
    return [on_test, on_valid, f"Optimism of selection (what the gain on valid is larger than that on test): {optimism}."]
