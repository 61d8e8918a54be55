"""What the sample explorer shows of one state of one sample: figures for its places, and words. No widget is made here but the one that follows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

import ipywidgets as ip
import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench import cases
from workbench.data.inspection.portrait import say_sample as say_row
from workbench.figures.chosen import chosen_class, chosen_score
from workbench.figures.explanation import explained
from workbench.figures.muting import heading, listened, mute_states
from workbench.probes.exploring import Opened, data_of, number, open_run, say_mute
from workbench.probes.subsets import MUTINGS
from workbench.widgets.live import LiveFigure

WIDTH = 350
WIDE = 2 * WIDTH + 14


@dataclass(frozen=True)
class Look:
    """The selection: which sample, and what is changed about a copy of it.

    Args:
        row: the sample's number in its split.
        muted: modalities that are muted.
        swaps: modality -> the sample that it is taken from.
        output: which class or label is told; None: the one that is told by itself.
        pinned: a sample that is kept for comparison.
    """

    row: int
    muted: tuple[str, ...] = ()
    swaps: dict[str, int] = field(default_factory=dict)
    output: int | None = None
    pinned: int | None = None

    def at(self, row: int) -> "Look":
        """Another sample; a swap is undone."""
        return replace(self, row=row, swaps={})

    def muting(self, names: Sequence[str]) -> "Look":
        return replace(self, muted=tuple(names))

    def swapped(self, swaps: Mapping[str, int]) -> "Look":
        return replace(self, swaps=dict(swaps))

    def telling(self, output: int | None) -> "Look":
        return replace(self, output=output)

    def pinning(self, row: int | None) -> "Look":
        return replace(self, pinned=row)

    def output_of(self, opened: Opened) -> int:
        """The class or label that is told."""
        return opened.output_of(self.row) if self.output is None else self.output

    def has_attention(self, opened: Opened) -> bool:
        """True where the views of this sample are known."""
        return ("views", self.row) in opened._kept


class Follower:
    """A place for one picture: the same traces get new values, other ones a new widget.

    Args:
        css: class of the place.
        is_wide: it takes two columns.
    """

    def __init__(self, css: str, *, is_wide: bool = False) -> None:
        self.css, self.is_wide = css, is_wide
        self.box = ip.Box(layout={"display": "none"})
        self.box.add_class(css)
        if is_wide:
            self.box.add_class("wb-wide")
        self.live: LiveFigure | None = None
        self.figure = go.Figure()

    def follow(self, figure: go.Figure) -> bool:
        """Shows the figure (the caller holds the paint lock); True where a new widget had to be made."""
        before, self.figure = self.figure, figure
        if self.live is not None and _shape(before) == _shape(figure):
            with self.live.batch_update():
                for trace, new in zip(self.live.data, figure.data, strict=True):
                    trace.update({key: value for key, value in new.to_plotly_json().items() if key != "type"}, overwrite=True)
                layout = {key: value for key, value in figure.layout.to_plotly_json().items() if key != "template"}
                self.live.update_layout(layout, overwrite=True)
            return False
        old, self.live = self.live, LiveFigure(figure)
        self.live._config = {**(self.live._config or {}), "displaylogo": False, "displayModeBar": False}
        self.box.layout.display = "flex"
        self.box.children = [self.live]
        if old is not None:
            old.close()
        return True

    def clear(self) -> None:
        """Takes the picture away; its place stays."""
        old, self.live = self.live, None
        self.box.children, self.box.layout.display = (), "none"
        if old is not None:
            old.close()


def _shape(figure: go.Figure) -> list[tuple[str, str | None]]:
    """What may stay when a figure gets new values."""
    return [(trace.type, trace.name) for trace in figure.data] + [("menus", str(len(figure.layout.updatemenus)))]


def plain(name: str) -> str:
    """A name as part of a class."""
    return re.sub(r"[^a-z0-9-]+", "-", name.lower())


def modality(opened: Opened, look: Look, name: str, *, has_planted: bool = False, width: int | None = WIDTH) -> go.Figure:
    """One modality of the sample with what is known of it; nothing is computed that is not known."""
    frame, spec = opened.frame(look.row), opened.data.spec.modalities[name]
    rows = frame[frame["modality"] == name]
    output, row = look.output_of(opened), look.row
    column = opened.data[opened.split].columns[name]
    steps = int(column.lengths[row]) if spec.kind in ("sequence", "tokens") else 0
    attention: Any = None
    if look.has_attention(opened):
        attention = opened.attention(row).get(name, "this model has none over these steps")
        if not isinstance(attention, str) and len(attention) != steps:
            attention = "the model's steps are not these"
    attribution: Any = opened.attribution(row, output=output) if opened.has_attribution(row, output=output) else None
    attribution = None if attribution is None else attribution.steps(name) if name in attribution.parts else "its words have no vectors of their own"
    if name in look.muted:
        attention = "muted" if attention is None else attention
    planted = opened.planted(row).get(name) if has_planted else None
    strengths = {"attention": attention, "attribution": attribution}
    known = {what: values for what, values in strengths.items() if isinstance(values, np.ndarray)}
    agreed = {what: opened.agreements(row, {name: values}).get(name, np.nan) for what, values in known.items()} if planted is not None else {}
    wide = width and (WIDE if spec.kind == "tokens" else width)
    label = "score" if opened.task.kind == "regression" else f"evidence for {opened.task.classes[output]}"
    kept = attention if spec.kind in ("sequence", "tokens") else None
    return explained(
        rows, attention=kept, attribution=attribution, planted=planted, rate=spec.rate, agreement=agreed, label=label, width=wide,
        modalities=opened.modalities,
    )  # fmt: skip


def states(opened: Opened, look: Look, *, width: int | None = WIDTH, title: str = "") -> go.Figure:
    """The prediction in every state of the sample."""
    output, task = look.output_of(opened), opened.task
    swaps = {name: other for name, other in look.swaps.items() if name not in look.muted and other != look.row}
    rows = []
    for left, value in opened.values(look.row, output).items():
        away = [name for name in opened.modalities if name not in left]
        is_now = not swaps and set(away) == set(look.muted)
        rows.append({"state": _state(left, away, opened.modalities), "value": value, "modality": away[0] if len(away) == 1 else "",
                     "is_now": is_now, "is_whole": not away})  # fmt: skip
    if not any(row["is_now"] for row in rows):
        value = number(opened.said(look.row, muted=look.muted, swaps=swaps), task, output)
        said = [*(f"without {name}" for name in look.muted), *(f"{name} of {other}" for name, other in swaps.items())]
        rows.append({"state": ", ".join(said), "value": value, "modality": "", "is_now": True, "is_whole": False})
    said = say_mute(opened, look.row, look.muted, swaps, output)
    truth = opened.truth(look.row)
    if task.kind == "regression":
        scale: dict[str, Any] = {"truth": float(truth), "ends": (task.low, task.high), "quantity": "score"}
    else:
        is_true = int(truth) == output if task.kind == "multiclass" else bool(truth[output] > 0.5)
        name = task.classes[output]
        scale = {"truth": float(is_true), "ends": (0.0, 1.0), "quantity": f"probability of {name}", "truth_name": "truth"}
    table = pd.DataFrame(rows)
    figure = mute_states(table[np.isfinite(table["value"])], said=said, width=width, **scale)
    if title:
        figure.update_layout(title=heading(title))
    return figure


def _state(left: Sequence[str], away: Sequence[str], names: Sequence[str]) -> str:
    """A subset in words."""
    if not away:
        return f"all {len(names)}" if len(names) > 1 else names[0]
    if not left:
        return "nothing left"
    return f"without {away[0]}" if len(away) == 1 else f"only {' + '.join(left)}"


def worth(opened: Opened, look: Look, *, width: int | None = WIDTH) -> go.Figure:
    """What each modality is worth for this sample, and what the model gives it."""
    output, row = look.output_of(opened), look.row
    unit = "score" if opened.task.kind == "regression" else f"probability of {opened.task.classes[output]}"
    found = opened.worth(row, output)
    # Where the Shapley value is known it stands for the single mutes, which the scale of states shows already.
    worths = {name: by for name, by in found.items() if name == "Shapley value" or len(found) == 1}
    rows = [(quantity, name, value, "worth") for quantity, by in worths.items() for name, value in by.items() if np.isfinite(value)]
    note = "Shapley value: a modality's mean contribution over all orders in which modalities are added." if "Shapley value" in worths else ""
    if look.has_attention(opened):
        given = opened.weights(row)
        rows += [(quantity, name, value, "given") for quantity, by in list(given.items())[:3] for name, value in by.items()]
        note += "" if given else " This model has no gate or weight by modality."
    rows = rows or [("whole less without it", name, 0.0, "worth") for name in opened.modalities]
    return listened(pd.DataFrame(rows, columns=["quantity", "modality", "value", "kind"]), label=unit, width=width, note=note)


def chosen(opened: Opened, look: Look, shown: np.ndarray, *, width: int | None = WIDTH) -> go.Figure:
    """The sample among all."""
    task, whole = opened.task, opened.subsets.whole
    target = opened.data[opened.split].target.cpu().numpy()
    if task.kind == "regression":
        every = () if len(shown) == len(opened) else shown
        pinned = None if look.pinned == look.row else look.pinned
        return chosen_score(target, whole, look.row, shown=every, pinned=pinned, width=width)
    truth, said, rows, columns = _table(opened, look)
    counts = np.zeros((len(rows), len(columns)), int)
    np.add.at(counts, (truth, said), 1)
    title = "truth" if task.kind == "multilabel" else "true class"
    return chosen_class(
        counts, (int(truth[look.row]), int(said[look.row])), rows=rows, columns=columns, y_title=title, x_title="predicted", width=width
    )


def _table(opened: Opened, look: Look) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Truth and answer of every sample as places in a table, and the names of its rows and columns."""
    whole, target = opened.subsets.whole, opened.data[opened.split].target.cpu().numpy()
    if opened.task.kind == "multiclass":
        return target.astype(int), whole.argmax(1), list(opened.task.classes), list(opened.task.classes)
    output = look.output_of(opened)
    name = opened.task.classes[output]
    return (target[:, output] > 0.5).astype(int), (whole[:, output] > 0).astype(int), [f"not {name}", name], [f"not {name}", name]


def rows_of_cell(opened: Opened, look: Look, row: int, column: int) -> tuple[np.ndarray, str]:
    """The samples of a cell, and what they are called."""
    truth, said, rows, columns = _table(opened, look)
    return np.flatnonzero((truth == row) & (said == column)), f"true {rows[row]}, predicted {columns[column]}"


def say_sample(opened: Opened, look: Look) -> str:
    """Which sample it is, as HTML: id, truth, prediction, its sentence, and what is known of it."""
    found, row = opened.data[opened.split], look.row
    words = say_row(opened.data, row, split=opened.split)
    known = [name for name, members in cases.groups(found, opened.task).items() if members[row] and name != cases.OTHERS]
    said = _answer(opened, row)
    return f"{escape(words)}; the model says {escape(said)}{''.join(f' · <b>{escape(name)}</b>' for name in known)}"


def _answer(opened: Opened, row: int) -> str:
    import torch

    said = cases.say(torch.as_tensor(opened.subsets.whole[row]), opened.task)
    if opened.task.kind == "multiclass":
        return f"{said} ({number(opened.subsets.whole[row], opened.task, int(opened.subsets.whole[row].argmax())):.2f})"
    return said


def say_pinned(opened: Opened, look: Look) -> str:
    """The pinned sample in words, as HTML."""
    said = say_mute(opened, look.pinned, look.muted, None, look.output_of(opened))
    return f"<b>Pinned</b> {say_sample(opened, look.at(look.pinned))}. {escape(said)}"


def fitted(figure: go.Figure, width: int = WIDE) -> go.Figure:
    """A figure of a notebook at the explorer's width."""
    return figure.update_layout(width=width)


def show_still(
    run: Any, data: Any = None, *, split: str = "valid", unlock_test: bool = False, treatment: str = "mask", sample: int | None = None
) -> None:
    """The opening sample and its mutes as figures with captions."""
    from IPython.display import Markdown, display

    from workbench.figures import show
    from workbench.figures.showing import escape_markdown
    from workbench.figures.views import draw_view

    opened = open_run(run, data_of(run, data), split=split, treatment=treatment, is_test_unlocked=unlock_test, groups=cases.groups)
    _way, rows = next(iter(opened.orders.items()))
    look = Look(int(rows[0]) if sample is None else sample)
    opened.views(look.row)
    opened.attribution(look.row, output=look.output_of(opened))
    first = "the sample that teaches most: rightly predicted, and muting one modality moves it furthest" if sample is None else "as asked"
    words = f"{say_row(opened.data, look.row, split=split)}; the model says {_answer(opened, look.row)}"
    display(Markdown(f"**{escape_markdown(words)}** ({first})"))
    for name in opened.modalities:
        show(modality(opened, look, name, has_planted=True, width=None))
    show(states(opened, look, width=None))
    show(worth(opened, look, width=None))
    for name in opened.modalities:
        display(Markdown(escape_markdown(say_mute(opened, look.row, [name], None, look.output_of(opened)))))
    show(chosen(opened, look, rows, width=None))
    view = next((view for view in opened.views(look.row) if view["kind"] == "attention"), None)
    if view is not None:
        show(draw_view(view))
    display(Markdown(f"Muting here: {MUTINGS[treatment]}."))
