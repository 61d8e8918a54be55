"""What has each modality learned inside the joint model, by balancing rule? Probe scores, and the gap of the rules' own heads."""

from math import isnan

import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.frames import by_seed, checked, difference, names
from workbench.figures.lines import lines_by_modality
from workbench.figures.palette import Style, styles
from workbench.statistics import holm, mean_interval, mean_with_interval, score

NONE = "none"


def probes_by_rule(frame: pd.DataFrame, *, metric: str, title: str = "") -> go.Figure:
    """Each modality's probe score by rule: mean over seeds and 95 % interval.

    Args:
        frame: columns variant (`none` and the rules), seed, modality, value.
        metric: what the values are.
        title: which data.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "probes_by_rule", "variant", "seed", "modality", "value")
    rules, looks = names(frame, "variant"), styles(names(frame, "modality"))
    figure = canvas.panels([title], x_title="", y_title=f"probe: {metric}", panel_height=340)
    ends: list[float] = []
    for number, (modality, look) in enumerate(looks.items()):
        ends += _draw_modality(figure, frame[frame["modality"] == modality], rules, modality, look, (number - (len(looks) - 1) / 2) * 0.18)
    reach = canvas.value_range(pd.Series([*frame["value"], *ends]).to_numpy(), pad=0.08)
    labels = [f"{look.mark} {name}" for name, look in looks.items()]
    last = frame[frame["variant"] == rules[-1]].groupby("modality")["value"].mean()
    figure.update_yaxes(range=reach)
    ticks = [canvas.safe(rule).replace("_", "<br>", 1) for rule in rules]
    figure.update_xaxes(
        tickvals=list(range(len(rules))),
        ticktext=ticks,
        showgrid=False,
        zeroline=False,
        range=canvas.room_for_labels(-0.5, len(rules) - 0.6, labels, 1),
    )
    written = [(f"{look.mark} {canvas.safe(name)}", float(last[name]), look.small) for name, look in looks.items() if name in last]
    canvas.end_labels(figure, written, x=len(rules) - 0.7, y_range=reach, row=1, col=1)
    read = "Marks: mean of a linear readout of each modality's representation in the trained model, scored on test; bars: 95 % intervals"
    return captions.attach(figure, f"{title}: " * bool(title) + _finding(frame, rules), f"{read}, {captions.count(frame['seed'].nunique(), 'seed')}.")


def _draw_modality(figure: go.Figure, rows: pd.DataFrame, rules: list[str], modality: str, look: Style, shift: float) -> list[float]:
    """One modality through the rules; the ends of its bars."""
    spans = [mean_interval(by_seed(rows[rows["variant"] == rule]).to_numpy()) for rule in rules if (rows["variant"] == rule).any()]
    x = [place + shift for place, rule in enumerate(rules) if (rows["variant"] == rule).any()]
    spans = [(mean, mean, mean) if isnan(low) else (mean, low, high) for mean, low, high in spans]
    up, down = [high - mean for mean, _, high in spans], [mean - low for mean, low, _ in spans]
    bar = {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "color": look.color, "thickness": 2, "width": 5}
    drawn = {"mode": "markers", "marker": {"symbol": look.symbol, "size": 11, "color": look.color}, "error_y": bar}
    hover = f"{canvas.safe(modality)}: %{{y:.3f}}<extra></extra>"
    figure.add_trace(go.Scatter(x=x, y=[mean for mean, _, _ in spans], name=canvas.safe(modality), hovertemplate=hover, **drawn))
    return [end for _, low, high in spans for end in (low, high)]


def _finding(frame: pd.DataFrame, rules: list[str]) -> str:
    """Which rules raise and lower which modality's probe, against none (Holm over all of them)."""
    changes = {}
    for rule in rules if NONE in rules else ():
        for modality in names(frame, "modality"):
            of = frame[frame["modality"] == modality]
            change = difference(of[of["variant"] == rule], of[of["variant"] == NONE]) if rule != NONE else None
            if change is not None:
                changes[f"{modality} with {rule}"] = change
    if not changes:
        means = frame.groupby("modality", sort=False)["value"].mean()
        return f"Probes of {', '.join(f'{name} {score(value)}' for name, value in means.items())}: nothing to compare them with."
    found = holm(changes)
    told = {"raised": [name for name in found if changes[name].mean > 0], "lowered": [name for name in found if changes[name].mean < 0]}
    said = [f"{word}: {', '.join(f'{name} ({score(changes[name].mean, sign=True)})' for name in hit)}" for word, hit in told.items() if hit]
    rest = f"no difference found for {len(changes) - len(found)} of {len(changes)} pairs of modality and rule (Holm, 5 %)"
    return f"Probes against no rule: {'; '.join([*said, rest])}."


def head_gaps(frame: pd.DataFrame) -> go.Figure:
    """By how much each modality's own head does worse on valid than on train, epoch by epoch, a panel a rule.

    Args:
        frame: columns variant, seed, epoch, modality, value (loss on valid less on train; see `workbench.rules_lab.head_gaps`).

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    frame = checked(frame, "head_gaps", "variant", "seed", "epoch", "modality", "value")
    figure = lines_by_modality(frame, y_title="loss on valid less on train", log=False)
    figure.add_hline(y=0, line={"width": 1, "dash": "dot"})
    said = [_say_gaps(frame[frame["variant"] == variant], variant) for variant in names(frame, "variant")]
    read = "Above zero: the modality's head overfits; on train with dropout and while it learned."
    return captions.attach(figure, *said, read, captions.seeds_drawn(frame))


def _say_gaps(rows: pd.DataFrame, variant: str) -> str:
    """The gaps at the ends of the runs."""
    last = rows[rows["epoch"] == rows.groupby("seed")["epoch"].transform("max")]
    said = [f"{name} {mean_with_interval(by_seed(last[last['modality'] == name]).to_numpy(), 2)}" for name in names(rows, "modality")]
    return f"{variant}, last epoch: {', '.join(said)}."
