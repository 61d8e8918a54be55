"""Which modality does A-fusion listen to, over epochs and over samples?"""

import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.frames import checked, difference, names
from workbench.figures.lines import lines_by_modality
from workbench.figures.palette import styles
from workbench.statistics import paired_difference, score


def alpha_over_epochs(frame: pd.DataFrame, *, quantity: str = "attention weight alpha") -> go.Figure:
    """Mean attention weight alpha by modality and epoch, one panel per variant.

    Args:
        frame: columns variant, seed, epoch, modality, value (between 0 and 1).
        quantity: what alpha weighs, for the axis.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "alpha_over_epochs", "variant", "seed", "epoch", "modality", "value")
    figure = lines_by_modality(frame, y_title=f"{quantity} (0 to 1)", log=False, y_range=[0, 1.03])
    variants = names(frame, "variant")
    findings = [_last_epoch(frame[frame["variant"] == variant], variant if len(variants) > 1 else "") for variant in variants]
    return captions.attach(figure, *findings, captions.seeds_drawn(frame))


def _last_epoch(rows: pd.DataFrame, variant: str) -> str:
    """Highest against lowest modality in each seed's last epoch."""
    last = rows[rows["epoch"] == rows.groupby("seed")["epoch"].transform("max")]
    means = last.groupby("modality", sort=False)["value"].mean()
    where = f" in {variant}" if variant else ""
    span = f"epoch {last['epoch'].max()}" if last["epoch"].nunique() == 1 else "each run's last epoch"
    if len(means) < 2:
        return f"One modality{where}: nothing to compare."
    high, low = str(means.idxmax()), str(means.idxmin())
    change = difference(last[last["modality"] == high], last[last["modality"] == low])
    said = captions.say_against(f"{high}'s alpha ({score(means[high])})", f"{low}'s ({score(means[low])})", change)
    return captions.first_upper(f"{said} in {span}{where}.")


def alpha_distribution(frame: pd.DataFrame) -> go.Figure:
    """The attention weights over samples: a violin with its box per modality, one panel per class where a column `class` is given.

    Args:
        frame: columns sample, modality, value (between 0 and 1); optional class.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "alpha_distribution", "sample", "modality", "value")
    classes = names(frame, "class") if "class" in frame.columns else ["all samples"]
    looks = styles(names(frame, "modality"))
    figure = canvas.panels(classes, x_title="modality", y_title="attention weight alpha (0 to 1)")
    figure.update_yaxes(range=[-0.03, 1.03])
    for place, label in enumerate(classes):
        rows = frame[frame["class"].astype(str) == label] if "class" in frame.columns else frame
        for modality, look in looks.items():
            values = rows.loc[rows["modality"] == modality, "value"].to_numpy()
            drawn = {"line": {"color": look.color}, "fillcolor": look.band, "marker": {"symbol": look.symbol, "size": 4, "opacity": 0.5}}
            name = f"{look.mark} {canvas.safe(modality)}"
            figure.add_trace(
                go.Violin(x=[name] * len(values), y=values, name=name, box_visible=True, points="outliers", spanmode="hard", **drawn),
                **canvas.cell(place, classes),
            )
    samples = captions.count(frame["sample"].nunique(), "sample")
    return captions.attach(figure, _over_samples(frame), "Violins: how often each weight occurs; box: quartiles and median.", f"{samples}.")


def _over_samples(frame: pd.DataFrame) -> str:
    """Highest against lowest modality, paired by sample."""
    means = frame.groupby("modality", sort=False)["value"].mean()
    if len(means) < 2:
        return "One modality: nothing to compare."
    high, low = str(means.idxmax()), str(means.idxmin())
    by_sample = [frame[frame["modality"] == name].groupby("sample")["value"].mean() for name in (high, low)]
    pairs = pd.concat(by_sample, axis=1, join="inner").to_numpy()
    change = paired_difference(pairs[:, 0], pairs[:, 1]) if len(pairs) else None
    said = captions.say_against(f"{high}'s mean alpha ({score(means[high])})", f"{low}'s ({score(means[low])})", change)
    return captions.first_upper(said.replace("one seed", "one sample").replace("share no seed", "share no sample")) + "."
