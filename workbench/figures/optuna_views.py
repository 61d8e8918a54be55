"""Optuna's own pictures of a study, in the looks of this house, with captions from the numbers."""

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures import settings as of
from workbench.figures.palette import GRID, INK, PAPER, QUIET
from workbench.figures.setting_words import listed
from workbench.figures.sweep_course import FAILED
from workbench.statistics import score

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

FEW = 10
"""Trials below which an importance is a hint at most."""

IDLE = 0.05
"""Share of the whole time from which on it is said that no trial ran (a pause, not the moments between trials)."""

MOST_WRITTEN = 8
"""Values of a setting that are all written beside its axis."""

LOOKS = {
    "COMPLETE": ("complete", {"color": INK}),
    "PRUNED": ("pruned", {"color": QUIET, "pattern": {"shape": "/", "fgcolor": QUIET, "bgcolor": PAPER}}),
    "FAIL": ("failed", {"color": FAILED, "pattern": {"shape": "x", "fgcolor": FAILED, "bgcolor": PAPER}}),
    "RUNNING": ("running", {"color": "rgba(118,118,118,0.35)"}),
    "WAITING": ("waiting", {"color": "rgba(118,118,118,0.15)"}),
}


def sweep_importance(study: "Study", *, metric: str = "score") -> go.Figure:
    """Which share of the score's variance between settings each setting explains on its own (fANOVA, through optuna).

    Source: Hutter, Hoos, Leyton-Brown, An efficient approach for assessing hyperparameter importance (2014).

    Args:
        study: the sweep's study; its complete trials count.
        metric: what the score is.
    """
    import optuna

    done = _complete(study)
    why = _refusal(done, "importance")
    if why:
        return of.nothing_to_draw(why)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.visualization.plot_param_importances(study, evaluator=evaluator, target_name=metric).data[0]
    shares = {str(name): float(share) for name, share in zip(found.y, found.x, strict=True)}
    figure = canvas.panels([""], x_title="share of the variance explained [%]", y_title="", panel_height=max(120, 46 * len(shares)))
    bar = {"x": [100 * share for share in shares.values()], "y": [canvas.safe(of.title(name)) for name in shares], "orientation": "h"}
    text = {"text": [f"{share:.0%}" for share in shares.values()], "textposition": "outside", "cliponaxis": False, "textfont": {"color": INK}}
    hover = "%{y}: %{x:.1f} %<extra></extra>"
    figure.add_trace(go.Bar(**bar, **text, marker={"color": QUIET}, width=0.6, name="importance", hovertemplate=hover))
    figure.update_xaxes(range=[0, max(10.0, 112 * max(shares.values()))])
    figure.update_yaxes(showgrid=False, type="category")
    return captions.attach(figure, *_say_importance(shares, len(done), metric))


def _say_importance(shares: dict[str, float], trials: int, metric: str) -> list[str]:
    """The order, and what importance does not say."""
    order = sorted(shares, key=lambda name: -shares[name])
    parts = [f"{of.title(name)} {shares[name]:.0%}" for name in order]
    first = f"Of what single settings explain of {metric} over {captions.count(trials, 'trial')}: {', '.join(parts)}."
    few = f" With fewer than {FEW} trials read it as a hint." if trials < FEW else ""
    return [first, f"Within the ranges that were tried; which value is better it does not say, nor how much is luck.{few}", "fANOVA by optuna."]


def sweep_parallel(study: "Study", *, metric: str = "score") -> go.Figure:
    """Every complete trial as a line through its score and its settings; the better, the stronger.

    Args:
        study: the sweep's study.
        metric: what the score is.
    """
    import optuna

    done = _complete(study)
    why = _refusal(done, "parallel coordinates", has_equal=False)
    if why:
        return of.nothing_to_draw(why)
    keys = sorted({key for trial in done for key in trial.params})
    figure = optuna.visualization.plot_parallel_coordinate(study, target_name=metric)
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    # Without optuna's scale of colours: strength is width and opacity here. Its lines stand in an order of their own and begin at their score.
    for trace in lines:
        share = _goodness(study, trace.y[0], done)
        trace.customdata = [[canvas.safe(part) for part in pair] for pair in trace.customdata]
        trace.update(line={"color": INK, "width": 1 + 2.5 * share**2}, opacity=0.12 + 0.88 * share**2, hoverlabel={"font": {"size": 14}})
    figure.data = sorted(lines, key=lambda trace: trace.opacity)
    figure.update_layout(title=None, template=canvas.template(), height=420, margin={**canvas.MARGIN, "l": 56, "r": 64, "t": 24})
    names = [canvas.safe(name) for name in (metric, *map(of.title, keys))]
    figure.update_xaxes(ticktext=names, tickfont={"size": 14}, showline=False, ticks="", tickangle=0 if len(names) < 6 else 30)
    figure.update_shapes(line={"color": QUIET, "width": 1})
    _write_values(figure, lines)
    return captions.attach(figure, *_say_parallel(study, done, keys, metric))


def _write_values(figure: go.Figure, lines: "list[go.Scatter]") -> None:
    """Numbers beside the axes: the values that were tried, where they are few; else optuna's ticks."""
    last = len(lines[0].x) - 1
    notes = [(note.x, note.y, canvas.safe(note.text)) for note in figure.layout.annotations]
    for axis in range(1, last + 1):
        tried = {(axis, line.y[axis], line.customdata[axis][1]) for line in lines}
        notes = [note for note in notes if note[0] != axis] + sorted(tried) if len(tried) <= MOST_WRITTEN else notes
    figure.layout.annotations = ()
    beside = {0: {"xanchor": "right", "xshift": -6}, last: {"xanchor": "left", "xshift": 6}}
    for axis, height, text in notes:
        place = beside.get(axis, {"xanchor": "right", "xshift": -6, "bgcolor": GRID})  # lines run below it
        figure.add_annotation(x=axis, y=height, text=text, showarrow=False, font={"size": 13, "color": INK}, **place)


def _goodness(study: "Study", height: float, done: "list[FrozenTrial]") -> float:
    """0 (worst) to 1 (best) from a line's height on the axis of the score; 1 for all where all are equal."""
    if len({trial.value for trial in done}) == 1:
        return 1.0
    return 1 - height if _is_lower(study) else height


def _is_lower(study: "Study") -> bool:
    return study.direction.name == "MINIMIZE"


def _say_parallel(study: "Study", done: "list[FrozenTrial]", keys: list[str], metric: str) -> list[str]:
    """What the best quarter of the trials has in common."""
    order = sorted(done, key=lambda trial: trial.value if _is_lower(study) else -trial.value)
    best = order[0]
    word = "lowest" if _is_lower(study) else "highest"
    first = f"The {word} {metric} of {captions.count(len(done), 'trial')}, {score(float(best.value))}, is at {of.say_settings(best.params)}."
    top = order[: max(2, round(len(done) / 4))]
    agreed = {key: top[0].params.get(key) for key in keys if len({of.said(trial.params.get(key)) for trial in top}) == 1}
    shared = f"The best {len(top)} share {of.say_settings(agreed)}." if agreed else f"The best {len(top)} share no setting."
    return [first, shared if len(done) > len(top) else "", "A line a trial: the better, the stronger."]


def sweep_timeline(study: "Study") -> go.Figure:
    """When each trial ran and how it ended, in seconds since the first began.

    Args:
        study: the sweep's study.
    """
    import optuna

    begun = [trial.datetime_start for trial in study.get_trials(deepcopy=False) if trial.datetime_start is not None]
    if not begun:
        return of.nothing_to_draw("No trial has begun.")
    start = min(begun)
    by_number = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    found = optuna.visualization.plot_timeline(study)
    ran = {trace.name: [_interval(base, length, start) for base, length in zip(trace.base, trace.x, strict=True)] for trace in found.data}
    intervals = [interval for state, found in ran.items() if state != "WAITING" for interval in found]
    span = max(end for _, end in intervals)
    unit, divisor = ("min", 60.0) if span > 300 else ("s", 1.0)
    figure = canvas.panels([""], x_title=f"time since the first trial began [{unit}]", y_title="trial", panel_height=_height(len(by_number)))
    for trace in found.data:
        said, marker = LOOKS[trace.name]
        times = [end - begin for begin, end in ran[trace.name]]
        hover = [f"trial {number}, {said}, {_duration(time)}<br>{_settings(by_number[number])}" for number, time in zip(trace.y, times, strict=True)]
        times = {"x": [time / divisor for time in times], "base": [begin / divisor for begin, _ in ran[trace.name]]}
        drawn = {"orientation": "h", "name": said, "marker": {**marker, "line": {"width": 0}}, "text": hover, "textposition": "none"}
        figure.add_trace(go.Bar(**times, y=list(trace.y), **drawn, hovertemplate="%{text}<extra></extra>"))
    figure.update_yaxes(autorange="reversed", dtick=1 if len(by_number) <= 20 else None, showgrid=False, zeroline=False)
    figure.update_layout(barmode="overlay", bargap=0.35, showlegend=True)
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "font": {"size": 14}})
    return captions.attach(figure, *_say_timeline(list(by_number.values()), intervals))


def _height(trials: int) -> int:
    return int(np.clip(26 * trials, 150, 620))


def _seconds(moment: Any, start: Any) -> float:
    """Seconds between the start and a moment as optuna's figure has it."""
    from datetime import datetime

    moment = moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment))
    return (moment - start).total_seconds()


def _settings(trial: "FrozenTrial") -> str:
    return canvas.safe(of.say_settings(trial.params)) or "no settings"


def _interval(base: Any, length: float, start: Any) -> tuple[float, float]:
    """A bar's begin and end in seconds since the start; a trial that was left running may begin after all that ended: then it has no length."""
    begin = _seconds(base, start)
    return begin, begin + max(0.0, length / 1000)


def _busy(intervals: list[tuple[float, float]]) -> float:
    """The seconds in which at least one of the intervals lasts."""
    total, last = 0.0, -np.inf
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, last))
        last = max(last, end)
    return total


def _say_timeline(trials: "list[FrozenTrial]", intervals: list[tuple[float, float]]) -> list[str]:
    """How long it took, how many ran at once while any ran, which trial was the longest.

    A sweep may be killed and go on days later: time in which none of its trials ran is no working time, and is said.
    """
    span, busy = max(end for _, end in intervals), _busy(intervals)
    ended = {trial.number: max(0.0, (trial.datetime_complete - trial.datetime_start).total_seconds()) for trial in trials if _has_ended(trial)}
    states = [(said, sum(trial.state.name == name for trial in trials)) for name, (said, _) in LOOKS.items()]
    counts = ", ".join(f"{number} {said}" for said, number in states if number)
    first = f"{captions.count(len(trials), 'trial')} ({counts}) in {_duration(span)}"
    if not ended:
        return [f"{first}; none has ended."]
    longest = max(ended, key=lambda number: ended[number])
    middle = _duration(float(np.median(list(ended.values()))))
    pause = f", in {_duration(span - busy)} of which none of them ran" if span - busy > IDLE * span else ""
    at_once = f": {sum(end - begin for begin, end in intervals) / busy:.1f} at once on average" if busy > 0 else ""
    return [
        f"{first}{pause}{at_once}{' while any ran' if pause and at_once else ''}.",
        f"The longest, trial {longest}, took {_duration(ended[longest])}; the median trial {middle}.",
    ]


def _has_ended(trial: "FrozenTrial") -> bool:
    return trial.datetime_complete is not None and trial.datetime_start is not None


def _duration(seconds: float) -> str:
    """`3.2 s`, `2 min 5 s`, `1 h 4 min`."""
    if seconds < 60:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _complete(study: "Study") -> "list[FrozenTrial]":
    """Complete trials with a number for a score."""
    from optuna.trial import TrialState

    found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in found if trial.value is not None and np.isfinite(trial.value)]


def _refusal(done: "list[FrozenTrial]", what: str, *, has_equal: bool = True) -> str:
    """Why a picture of differences between settings cannot be drawn; nothing where it can."""
    if len(done) < 2:
        return f"No {what}: {captions.count(len(done), 'trial')} complete, and two or more are compared."
    values = {key: {of.said(trial.params.get(key)) for trial in done} for trial in done for key in trial.params}
    varied = sorted(key for key, found in values.items() if len(found) > 1)
    if len(varied) < 2:
        named = f"only {listed([of.title(key) for key in varied])} was varied" if varied else "no setting was varied"
        return f"No {what}: {named}, and two or more are compared."
    if has_equal and len({trial.value for trial in done}) == 1:
        return f"No {what}: all {len(done)} trials have one score, {score(float(done[0].value))}."
    return ""
