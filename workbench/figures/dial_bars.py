"""How high does the joint model get at one place of the dials? Ceilings, a guess, and what was trained, side by side.

`outcome_bars` is the finished picture. `outcome_panel` is the same with nothing in it yet, and `outcome_frame` what belongs into its traces: a dial
that is turned gives other values to traces that stand from the start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures import canvas, captions
from workbench.figures.frames import checked, names
from workbench.figures.palette import INK, PAPER, QUIET, styles
from workbench.statistics import mean_and_spread, paired_difference, score

CHANCE = 0.5
OLD = "#C9C9C9"
"""What was trained for other dials: grey, and it says so."""

BLANK = "\N{NO-BREAK SPACE}"
"""No word: plotly takes the place of an empty text away, and does not draw what is written there later."""

LOWEST, HIGHEST, TICKS = 0.385, 1.05, (CHANCE, 0.6, 0.7, 0.8, 0.9, 1.0)
HALF = 0.29  # half the width of a bar
WIDTH, HEIGHT = 680, 390


Outcomes = dict[str, dict[int, float]]
"""By column of the picture, a modality or a joint model, the score of each seed."""


@dataclass(frozen=True)
class Place:
    """What the picture shows.

    Args:
        ceiling: highest reachable score by modality, and of `all`.
        scores: columns variant, label (the modality), kind ("alone", "joint"), seed, value; the joint models in order. May be empty.
        old: the same of dials that were left; drawn grey where `scores` has nothing.
        guess: how high the joint model will get; None: nobody guessed.
        is_hidden: the joint models are not shown: a guess is asked for first.
        waiting: what is being trained, `{variant: words}`.
    """

    ceiling: Mapping[str, float]
    scores: pd.DataFrame
    old: pd.DataFrame | None = None
    guess: float | None = None
    is_hidden: bool = False
    waiting: Mapping[str, str] = field(default_factory=dict)

    @property
    def modalities(self) -> list[str]:
        """Those that have a ceiling."""
        return [name for name in self.ceiling if name != "all"]

    @cached_property
    def found(self) -> Outcomes:
        """The scores of these dials."""
        return outcomes_in(self.scores)

    @cached_property
    def left(self) -> Outcomes:
        """The scores of the old dials."""
        return {} if self.old is None else outcomes_in(self.old)


def outcomes_in(frame: pd.DataFrame) -> Outcomes:
    """Scores by column of the picture and seed (a loop: a dial that is dragged draws ten times a second)."""
    found: Outcomes = {}
    for variant, label, kind, seed, value in zip(*(frame[name] for name in ("variant", "label", "kind", "seed", "value")), strict=True):
        found.setdefault(str(label) if kind == "alone" else str(variant), {})[seed] = float(value)
    return found


def outcome_bars(
    scores: pd.DataFrame, *, ceiling: Mapping[str, float], metric: str = "accuracy", guess: float | None = None, joint: Sequence[str] = ()
) -> go.Figure:
    """Each modality alone and the joint models as bars above chance, every seed a dot, with the ceilings and a guess.

    Args:
        scores: columns variant, label, kind ("alone" or "joint"), seed, value. `label` is the modality.
        ceiling: highest reachable score by modality, and of `all`.
        metric: what the values are, for the axis.
        guess: what somebody thought that the first joint model would get.
        joint: names of the joint models, where some of them are not in the table.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    scores = checked(scores, "outcome_bars", "variant", "label", "kind", "seed", "value")
    variants = list(joint) or names(scores[scores["kind"] == "joint"], "variant")
    place = Place(ceiling, scores, guess=guess)
    figure = outcome_panel(place.modalities, variants, metric=metric, has_guess=guess is not None)
    figure.update_layout(width=None)
    traces, sentences = outcome_frame(place, variants)
    for name, properties in traces.items():
        figure.update_traces(properties, selector={"name": name})
    return captions.attach(figure, *sentences, READ, f"{metric}, test.")


READ = "Bars: mean above chance; dots: seeds; dashes: exact ceilings; the numbers stand below."


def outcome_panel(modalities: Sequence[str], joint: Sequence[str], *, metric: str, has_guess: bool = True) -> go.Figure:
    """The picture with all traces and nothing in them."""
    looks = styles(modalities)
    columns = _columns(modalities, joint, has_guess)
    figure = go.Figure()
    figure.update_layout(template=canvas.template(), width=WIDTH, height=HEIGHT, margin={"l": 64, "r": 10, "t": 14, "b": 48}, font={"size": 14})
    figure.update_layout(barmode="overlay", bargap=0)
    labels = {name: f"{looks[name].mark} {canvas.safe(name)}<br>alone" for name in modalities} | {
        GUESS: "your guess",
        **{name: canvas.safe(name).replace(" + ", "<br>+ ") for name in joint},
    }
    figure.update_xaxes(
        tickvals=list(columns.values()), ticktext=[labels[name] for name in columns], range=[-0.55, max(columns.values()) + 0.55], showgrid=False,
        zeroline=False, ticks="", fixedrange=True,
    )  # fmt: skip
    title = f"{canvas.safe(metric)}, test"
    figure.update_yaxes(
        title=title, range=[LOWEST, HIGHEST], tickvals=TICKS, ticktext=["chance", *(f"{tick:.1f}" for tick in TICKS[1:])], fixedrange=True
    )
    empty: dict[str, Any] = {"x": [None], "y": [None]}
    for name, column in columns.items():
        if name == GUESS:
            continue
        look = looks.get(name)
        color = look.color if look else INK
        pattern = {"shape": look.hatch if look else "", "fillmode": "overlay", "fgcolor": PAPER, "size": 7, "solidity": 0.2}
        figure.add_trace(
            go.Bar(
                name=name, x=[column], y=[0.0], base=[CHANCE], width=[2 * HALF], marker={"color": color, "pattern": pattern, "line": {"width": 0}},
                hoverinfo="skip", opacity=0.9,
            )
        )  # fmt: skip
        dots = {"symbol": look.symbol if look else "circle", "size": 10, "color": color, "line": {"color": PAPER, "width": 1.5}}
        error = {"type": "data", "array": [None], "color": QUIET, "thickness": 2, "width": 7}
        figure.add_trace(
            go.Scatter(name=f"{name}, spread", mode="markers", marker={"size": 1, "color": INK}, error_y=error, hoverinfo="skip", **empty)
        )
        hover = f"{canvas.safe(name)}: %{{y:.3f}}<extra></extra>"
        figure.add_trace(go.Scatter(name=f"{name}, seeds", mode="markers", marker=dots, hovertemplate=hover, **empty))
    dashed = {"color": INK, "width": 2, "dash": "dash"}
    for name in (*modalities, "all"):
        hover = f"ceiling of {canvas.safe(name)}: %{{y:.3f}}<extra></extra>"
        figure.add_trace(go.Scatter(name=f"ceiling of {name}", mode="lines", line=dashed, hovertemplate=hover, **empty))
    dotted = {"color": QUIET, "width": 1.5, "dash": "dot"}
    ends = [-0.55, max(columns.values()) + 0.55]
    figure.add_trace(go.Scatter(name="chance", x=ends, y=[CHANCE, CHANCE], mode="lines", line=dotted, hoverinfo="skip"))
    figure.add_trace(go.Scatter(name=GUESS, mode="lines", line={"color": INK, "width": 2, "dash": "dot"}, hoverinfo="skip", **empty))
    figure.add_trace(go.Scatter(name="gap", mode="lines", line={"color": INK, "width": 1.2, "dash": "dot"}, hoverinfo="skip", **empty))
    words: dict[str, Any] = {"mode": "text", "hoverinfo": "skip", "cliponaxis": False}
    figure.add_trace(go.Scatter(name="ceiling words", textposition="top left", textfont={"size": 13, "color": INK}, text=[""], **words, **empty))
    for row, (name, color) in enumerate((("ceilings in words", INK), ("scores in words", INK), ("remarks", QUIET))):
        style = {"size": 12.5, "color": color}
        places = {"x": list(columns.values()), "y": [CHANCE - 0.02 - 0.033 * row] * len(columns), "text": [BLANK] * len(columns)}
        figure.add_trace(go.Scatter(name=name, textposition="bottom center", textfont=style, **words, **places))
    figure.update_xaxes(showline=False)
    return figure


GUESS = "guess"


def _columns(modalities: Sequence[str], joint: Sequence[str], has_guess: bool) -> dict[str, float]:
    """Where each column stands; the joint models a little apart."""
    columns = {name: float(place) for place, name in enumerate(modalities)}
    later = [GUESS, *joint] if has_guess else list(joint)
    return columns | {name: len(modalities) + 0.15 + place for place, name in enumerate(later)}


def outcome_frame(place: Place, joint: Sequence[str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What belongs into the traces of `outcome_panel`, by their names, and what it says in sentences."""
    columns = _columns(place.modalities, joint, place.guess is not None)
    looks = styles(place.modalities)
    traces: dict[str, dict[str, Any]] = {}
    below: dict[str, tuple[str, str, str]] = {}
    for name, column in columns.items():
        if name == GUESS:
            continue
        is_joint = name in joint
        values, is_old = _values(place, name, is_joint)
        color = OLD if is_old else looks[name].color if name in looks else INK
        traces |= _column(name, column, values, color)
        said = "" if values is None else mean_and_spread(values)
        reach = "" if is_joint else f"ceiling {score(place.ceiling[name])}"
        reached = said or place.waiting.get(name if is_joint else f"{name} alone", "")
        below[name] = (reach, reached, "old dials" if is_old else "")
        if not is_joint:
            ends = [column - 0.42, column + 0.42]
            traces[f"ceiling of {name}"] = {"x": ends, "y": [place.ceiling[name]] * 2}
    right = max(columns.values()) + 0.55
    top = place.ceiling["all"]
    traces["ceiling of all"] = {"x": [-0.55, right], "y": [top, top]}
    traces["ceiling words"] = {"x": [right], "y": [top + 0.006], "text": [f"ceiling of all {score(top)}"]}
    if place.guess is not None:
        _draw_guess(place, joint, columns, traces, below)
    rows = zip(*(below[name] for name in columns), strict=True)
    for name, texts in zip(("ceilings in words", "scores in words", "remarks"), rows, strict=True):
        traces[name] = {"text": [words or BLANK for words in texts]}
    return traces, say_outcome(place, joint)


def _values(place: Place, name: str, is_joint: bool) -> tuple[np.ndarray | None, bool]:
    """The scores of a column by seed, and whether they are those of other dials; None where there is nothing to show."""
    if is_joint and place.is_hidden:
        return None, False
    for found, is_old in ((place.found, False), (place.left, True)):
        if name in found:
            return _array(found[name]), is_old
    return None, False


def _array(by_seed: Mapping[int, float]) -> np.ndarray:
    return np.array([by_seed[seed] for seed in sorted(by_seed)])


def _column(name: str, column: float, values: np.ndarray | None, color: str) -> dict[str, dict[str, Any]]:
    """A bar above chance, its seeds and their spread."""
    if values is None:
        bar = {"y": [0.0]}
        return {name: bar, f"{name}, seeds": {"x": [None], "y": [None]}, f"{name}, spread": {"x": [None], "y": [None], "error_y": {"array": [None]}}}
    mean = float(values.mean())
    n = len(values)
    spots = [column + HALF * 0.9 * (i / (n - 1) - 0.5) if n > 1 else column for i in range(n)]
    spread = {"x": [column], "y": [mean], "error_y": {"array": [float(values.std(ddof=1)) if n > 1 else 0.0], "visible": n > 1}}
    return {
        name: {"y": [mean - CHANCE], "marker": {"color": color}},
        f"{name}, seeds": {"x": spots, "y": [float(one) for one in values], "marker": {"color": color}},
        f"{name}, spread": spread,
    }


def _draw_guess(
    place: Place, joint: Sequence[str], columns: Mapping[str, float], traces: dict[str, Any], below: dict[str, tuple[str, str, str]]
) -> None:
    """An outline as high as the guess, and once the joint model is shown the gap to it."""
    column, guess = columns[GUESS], float(place.guess or 0.0)
    ends = [column - HALF, column - HALF, column + HALF, column + HALF]
    traces[GUESS] = {"x": ends, "y": [CHANCE, guess, guess, CHANCE]}
    values, is_old = _values(place, joint[0], True)
    if values is None or is_old:
        traces["gap"] = {"x": [None], "y": [None]}
        below[GUESS] = ("", score(guess, 2), "")
        return
    mean = float(values.mean())
    traces["gap"] = {"x": [column + HALF, columns[joint[0]] - HALF], "y": [guess, mean]}
    below[GUESS] = ("", score(guess, 2), f"joint: {score(mean - guess, sign=True)}")


# In words


def say_outcome(place: Place, joint: Sequence[str]) -> list[str]:
    """What the picture says: the ceilings, what is below them, what balancing changes, and the gap to the guess."""
    best = max(place.modalities, key=place.ceiling.__getitem__)
    could = f"{captions.first_upper(best)} alone could reach {score(place.ceiling[best])} and all together {score(place.ceiling['all'])}"
    first = None if place.is_hidden else place.found.get(joint[0])
    if first is None:
        return [f"{could}.", _say_nothing_yet(place, joint[0])]
    mean, said = float(_array(first).mean()), mean_and_spread(_array(first))
    words = [f"{could}; the joint model gets {said} ({captions.count(len(first), 'seed')}), {_against_ceiling(mean, place)}."]
    words += _against_best(first, place)
    words += [_compared(_with_score(other, place), place.found[other], joint[0], first) for other in joint[1:] if other in place.found]
    if place.guess is not None:
        words.append(_say_guess(mean, place.guess))
    return words


def _say_nothing_yet(place: Place, variant: str) -> str:
    """What is to be said while there is no joint model to see."""
    if place.is_hidden:
        return "How high will the joint model get?"
    if variant in place.waiting:
        return "The joint model is being trained."
    return f"Nothing is trained for these dials yet{': the grey bars are for the old dials' if place.left else ''}."


def _with_score(name: str, place: Place, word: str = "") -> str:
    """`audio alone (.833 ± .007)`."""
    return f"{name}{word} ({mean_and_spread(_array(place.found[name]))})"


def _against_ceiling(mean: float, place: Place) -> str:
    gap = place.ceiling["all"] - mean
    return f"{score(abs(gap))} {'below' if gap >= 0 else 'above'} that ceiling"


def _against_best(first: Mapping[int, float], place: Place) -> list[str]:
    """The joint model against the best single modality that was trained."""
    means = {name: _array(place.found[name]).mean() for name in place.modalities if name in place.found}
    if not means:
        return []
    best = max(means, key=means.__getitem__)
    return [_compared("the joint model", first, _with_score(best, place, " alone"), place.found[best])]


def _compared(name: str, after: Mapping[int, float], other: str, before: Mapping[int, float]) -> str:
    """One comparison as a sentence, paired by seed; with one seed the bare difference, said to be one."""
    seeds = sorted(set(after) & set(before))
    change = paired_difference(np.array([after[seed] for seed in seeds]), np.array([before[seed] for seed in seeds])) if seeds else None
    if change is None or change.n > 1:
        return captions.first_upper(captions.say_against(name, other, change)) + "."
    # What is printed is compared: a difference that rounds to nothing has no direction.
    size = score(abs(change.mean))
    told = f"as high as {other}" if size == score(0.0) else f"{size} {'above' if change.mean > 0 else 'below'} {other}"
    return captions.first_upper(f"{name} is {told} (one seed: no interval).")


def _say_guess(mean: float, guess: float) -> str:
    gap = mean - guess
    if abs(gap) < 0.005:
        return f"Your guess, {score(guess, 2)}, is what it got."
    return f"You guessed {score(guess, 2)}: it got {score(abs(gap))} {'more' if gap > 0 else 'less'}."
