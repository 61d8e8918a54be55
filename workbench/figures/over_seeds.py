"""Are the differences between variants larger than those between seeds? A static picture that prints."""

from math import isnan
from typing import TYPE_CHECKING

import pandas as pd

from workbench.figures import captions
from workbench.figures.frames import by_seed, checked, difference, names, only_metric
from workbench.figures.palette import GRID, INK, PAPER, QUIET
from workbench.statistics import mean_and_spread, mean_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def scores_over_seeds(frame: pd.DataFrame, metric: str) -> "Figure":
    """Every seed's score a dot, mean and 95 % interval beside them, one row per variant (seaborn).

    Args:
        frame: columns variant, seed, value; optional metric.
        metric: which metric to draw; also the axis title.

    Raises:
        DataError: a column is missing, no row has a value, or the metric is not in the table.
    """
    from matplotlib.figure import Figure

    frame = checked(frame, "scores_over_seeds", "variant", "seed", "value")
    frame, metric = only_metric(frame, metric, "scores_over_seeds")
    variants = names(frame, "variant")
    figure = Figure(figsize=(8.6, 1.3 + 0.62 * len(variants)), facecolor=PAPER, layout="constrained")
    axes = figure.add_subplot(facecolor=PAPER)
    _draw(axes, frame, variants)
    axes.set_xlabel(metric, fontsize=13, color=INK)
    axes.set_ylabel("")
    first = frame[frame["variant"] == variants[0]]
    if len(variants) == 1:
        findings = [f"{variants[0]}: {mean_and_spread(by_seed(first).to_numpy())} (n = {first['seed'].nunique()})."]
    else:
        findings = [_against_first(frame[frame["variant"] == name], name, first, variants[0], metric) for name in variants[1:]]
    return captions.attach(figure, *findings, "Dots: seeds; diamond and bar: mean and its 95 % interval.")


def _draw(axes: object, frame: pd.DataFrame, variants: list[str]) -> None:
    """Dots by seaborn, intervals by Student's t (seaborn's are bootstrapped, too short for five seeds)."""
    import seaborn

    seaborn.stripplot(data=frame, x="value", y="variant", order=variants, color=QUIET, size=7, alpha=0.7, jitter=0.1, ax=axes, native_scale=False)
    for place, name in enumerate(variants):
        values = by_seed(frame[frame["variant"] == name]).to_numpy()
        mean, low, high = mean_interval(values)
        reach = None if isnan(low) else [[mean - low], [high - mean]]
        axes.errorbar([mean], [place + 0.28], xerr=reach, fmt="D", color=INK, capsize=5, markersize=7, linewidth=2)
        axes.annotate(
            mean_and_spread(values),
            (mean, place + 0.28),
            xytext=(0, -17),
            textcoords="offset points",
            ha="center",
            fontsize=11,
            color=INK,
            parse_math=False,
        )
    axes.set_ylim(len(variants) - 0.3, -0.5)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=12, colors=INK)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)  # a variant's name may hold a dollar sign
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(INK)


def _against_first(rows: pd.DataFrame, name: str, first: pd.DataFrame, first_name: str, metric: str) -> str:
    """One variant against the first, paired by seed."""
    said = f"{name} ({mean_and_spread(by_seed(rows).to_numpy())})"
    other = f"{first_name} ({mean_and_spread(by_seed(first).to_numpy())})"
    return captions.say_against(said, other, difference(rows, first), lower_is_better=captions.is_lower_better(metric)) + "."
