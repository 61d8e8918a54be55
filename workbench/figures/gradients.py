"""How large is each modality's gradient (or update), epoch by epoch?"""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import captions
from workbench.figures.by_stage import has_stages, own_stages
from workbench.figures.frames import checked, names
from workbench.figures.lines import lines_by_modality


def gradient_magnitude(frame: pd.DataFrame, *, quantity: str = "gradient magnitude", log: bool = True) -> go.Figure:
    """Gradient magnitude by modality and epoch, the variants side by side on one axis; the same picture for update norms.

    Source: adaptive weight fusion, Figures 1, 4 and 6.

    Args:
        frame: columns variant, seed, epoch, modality, value; optional stage and stage_epoch: a modality that is learned in a stage of its own is
            drawn there, by the epochs of that stage.
        quantity: what the values are, for the axis and the caption ("update norm").
        log: draw a logarithmic axis; values that are not above zero cannot be drawn on it and are counted in the caption.

    Raises:
        DataError: a column is missing, or no value is left to draw.
    """
    frame, of_stages = own_stages(checked(frame, "gradient_magnitude", "variant", "seed", "epoch", "modality", "value"))
    whole = len(frame)
    frame = checked(frame[frame["value"] > 0], "gradient_magnitude") if log else frame
    x_title = "epoch of the stage" if has_stages(frame) else "epoch"
    figure = lines_by_modality(frame, y_title=f"{quantity}{' (log scale)' if log else ''}", log=log, x_title=x_title)
    left_out = f"{captions.count(whole - len(frame), 'value')} not above zero cannot be drawn on the log scale." if whole > len(frame) else ""
    return captions.attach(figure, *_finding(frame, quantity), _drawn(frame), of_stages, left_out)


def _finding(frame: pd.DataFrame, quantity: str) -> list[str]:
    """The ratio of the largest to the smallest modality of the first variant, then of the same two in the other variants."""
    variants = names(frame, "variant")
    pair = _extremes(frame[(frame["variant"] == variants[0]) & (frame["value"] > 0)])
    if pair is None:
        return [f"{captions.first_upper(quantity)} of one modality: nothing to compare."]
    sentences = []
    for variant in variants:
        ratios = ratios_by_seed(frame[(frame["variant"] == variant) & (frame["value"] > 0)], *pair)
        if len(ratios):
            said = captions.say_ratio(*pair, quantity, ratios)
            sentences.append(captions.first_upper(f"{said} in {variant}." if len(variants) > 1 else f"{said}."))
    return sentences or [f"{captions.first_upper(quantity)}: no seed has both {pair[0]} and {pair[1]}."]


def _extremes(rows: pd.DataFrame) -> tuple[str, str] | None:
    """The modalities with the largest and the smallest geometric mean."""
    means = rows.assign(value=np.log(rows["value"])).groupby("modality", sort=False)["value"].mean()
    return (str(means.idxmax()), str(means.idxmin())) if len(means) > 1 else None


def ratios_by_seed(rows: pd.DataFrame, first: str, second: str) -> np.ndarray:
    """Per seed, the geometric mean over epochs of the first modality's value divided by the second's."""
    logs = rows.assign(value=np.log(rows["value"])).pivot_table(index=["seed", "epoch"], columns="modality", values="value")
    if first not in logs or second not in logs:
        return np.array([])
    return np.exp((logs[first] - logs[second]).dropna().groupby("seed").mean().to_numpy())


def _drawn(frame: pd.DataFrame) -> str:
    """How to read the picture."""
    epochs = f"Ratios: geometric mean over {captions.count(frame['epoch'].nunique(), 'epoch')}. "
    return epochs + captions.seeds_drawn(frame)
