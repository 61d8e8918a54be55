"""The sample explorer: choose a sample, mute or swap a modality, and see the prediction move; attention and attribution beside words and frames.

    explorer(run, data)                          # live
    explorer(run, data, interactive=False)       # the opening sample and its mutes as figures (what reports do)

Wiring only. What is said of samples stands in `workbench.probes.exploring`, what is drawn in `workbench.figures`. A look-up answers in the callback;
whatever takes longer is done by the one `Worker`.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as ip
import numpy as np
from plotly.graph_objects import Figure

from workbench import cases
from workbench.data.batch import Batch, Dataset
from workbench.errors import ConfigError
from workbench.figures.captions import alt_of, caption_of
from workbench.figures.crossmodal import NOT_WHY
from workbench.figures.views import draw_view
from workbench.probes.exploring import LOCK, Opened, data_of, explain, open_run, say_mute
from workbench.probes.subsets import MUTINGS
from workbench.runs import Run
from workbench.widgets import pictures
from workbench.widgets.keys import Keys
from workbench.widgets.live import PAINT, alone
from workbench.widgets.looks import style_sheet
from workbench.widgets.pictures import Follower, Look
from workbench.widgets.worker import Worker

Data = Dataset | Mapping[int, Dataset] | str | None

QUICK_SECONDS = 0.15
"""A model whose forward pass takes longer gets no attribution by itself: it takes some tens of passes."""

SLOW_SECONDS = 2.0
"""Attribution that took longer twice in a row is not done by itself any more."""

STYLE = """<style>
.wb-explorer .wb-pictures { display: grid; grid-template-columns: repeat(auto-fit, 350px); gap: 6px 14px; overflow: visible; }
.wb-explorer .wb-wide { grid-column: span 2; overflow: visible; }
.wb-explorer .wb-wrap { gap: 2px 6px; align-items: center; }
.wb-explorer .wb-fixed .widget-html-content { font-size: 13px; opacity: .8; }
</style>"""

HELP = (
    "Keys, while the focus is in here: N or . next sample, P or , previous one, M mutes the modalities one after the other, 0 unmutes all, "
    "A attention and attribution, I pins, ? this line. Tab goes in the order of reading."
)


class Explorer:
    """What `explorer()` opens.

    Args:
        runs: one or several finished runs.
        data: their data: a Dataset (by seed where each seed had its own draw), a name, or None: what each run's config says.
        split: `valid` or `train`; `test` once it is unlocked.
        unlock_test: the test split may be looked at.
        treatment: what muting means (see `workbench.probes.subsets.MUTINGS`).
        sample: the row it opens on; None: the one that teaches most.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        data: Data = None,
        *,
        split: str = "valid",
        unlock_test: bool = False,
        treatment: str = "mask",
        sample: int | None = None,
    ) -> None:
        if split == "test" and not unlock_test:
            raise ConfigError(
                "the test split is locked", where=LOCK, expected="valid or train", do="unlock_test=True once nothing is chosen any more"
            )
        self.runs, self.data, self.unlock_test = list(runs), data, unlock_test
        self.opened: Opened | None = None
        self.look = Look(row=sample if sample is not None else -1)
        self.error: Exception | None = None
        self._is_quiet, self._slow = False, 0
        self.followers: dict[str, Follower] = {}
        self._make_choices(split, treatment)
        self._make_box()
        self.worker = Worker(self._failed, self._working)
        self._open(first=sample)

    # Making

    def _make_choices(self, split: str, treatment: str) -> None:
        """Everything that is pressed."""
        told = {"style": {"description_width": "initial"}}
        names = [(f"{run.variant} · {run.config['dataset']} · seed {run.seed}", place) for place, run in enumerate(self.runs)]
        self.run = ip.Dropdown(options=names, value=0, description="run", layout={"width": "300px"}, **told)
        splits = [*(["valid", "train"]), *(["test"] if self.unlock_test else [])]
        self.split = ip.Dropdown(options=splits, value=split, description="split", layout={"width": "130px"}, **told)
        self.split.tooltip = "which samples" if self.unlock_test else f"test is locked: {LOCK}"
        self.lock = ip.HTML("" if self.unlock_test else f'<small title="{escape(LOCK)}">test locked</small>')
        self.show = ip.Dropdown(options=[""], description="show", layout={"width": "270px"}, **told)
        self.sample = ip.BoundedIntText(value=0, min=0, max=0, description="sample", layout={"width": "130px"}, **told)
        self.place, self.state = ip.HTML(), ip.HTML()
        self.output = ip.Dropdown(options=[("", 0)], description="answer", layout={"width": "220px"}, **told)
        self.treatment = ip.Dropdown(options=list(MUTINGS), value=treatment, description="muting means", layout={"width": "170px"}, **told)
        self.treatment.tooltip = "; ".join(f"{name}: {words}" for name, words in MUTINGS.items())
        self.mutes: dict[str, ip.Checkbox] = {}
        self.mute_box = ip.HBox()
        self.swap_name = ip.Dropdown(options=["none"], description="swap", layout={"width": "150px"}, **told)
        self.swap_row = ip.BoundedIntText(value=0, min=0, max=0, description="with sample", layout={"width": "160px"}, **told)
        self.map = ip.Dropdown(options=[("none", "")], description="map", layout={"width": "330px"}, **told)
        self.auto_attention = ip.Checkbox(value=True, description="auto", indent=False, layout={"width": "60px"})
        self.auto_attribution = ip.Checkbox(value=True, description="auto", indent=False, layout={"width": "60px"})
        self.has_planted = ip.Checkbox(value=False, description="planted evidence ▽", indent=False, layout={"width": "170px"})
        self.buttons = {}
        for name, words, tip in (
            ("previous", "<", "the sample before (P or ,)"),
            ("next", ">", "the next sample (N or .)"),
            ("attention", "Attention", "where the model looks in this sample; no gradient, one pass"),
            ("attribution", "Attribution", "what raises and lowers the prediction: integrated gradients"),
            ("pin", "Pin", "keep this sample beside the next ones (I); once more lets it go"),
            ("reset", "Unmute all", "everything there, nothing swapped (0)"),
        ):
            self.buttons[name] = ip.Button(description=words, tooltip=tip, layout={"width": "36px" if len(words) == 1 else "auto"})
            self.buttons[name].on_click(lambda pressed, name=name: getattr(self, f"_press_{name}")())
            self.buttons[name].add_class(f"wb-{name}")
        for name in ("run", "split", "show", "sample", "output", "treatment", "map", "place", "state", "has_planted", "swap_name", "swap_row"):
            getattr(self, name).add_class(f"wb-{name.replace('_', '-')}")
        for widget, heard in (
            (self.run, self._open),
            (self.split, self._open),
            (self.treatment, self._open),
            (self.show, self._way_chosen),
            (self.sample, lambda: self.go(self.sample.value)),
            (self.output, self._output_chosen),
            (self.swap_name, self._swap_chosen),
            (self.swap_row, self._swap_chosen),
            (self.map, lambda: self.worker.ask("map", self._draw_map)),
            (self.auto_attention, self._ask_insides),
            (self.auto_attribution, self._ask_insides),
            (self.has_planted, lambda: self.worker.ask("sample", self._draw_sample)),
        ):
            widget.observe(lambda change, heard=heard: None if self._is_quiet else heard(), names="value")

    def _make_box(self) -> None:
        """Everything in its place, in the order of reading."""
        for name, button in (("Previous sample", "previous"), ("Next sample", "next")):
            self.buttons[button].tooltip = f"{name}: {self.buttons[button].tooltip}"
        choose = ip.HBox([self.run, self.split, self.lock, self.show, self.buttons["previous"], self.sample, self.place, self.buttons["next"]])
        choose.children = [*choose.children, self.buttons["pin"], self.state]
        change = ip.HBox([self.mute_box, self.treatment, self.swap_name, self.swap_row, self.buttons["reset"], self.output])
        inside = ip.HBox(
            [self.buttons["attention"], self.auto_attention, self.buttons["attribution"], self.auto_attribution, self.map, self.has_planted]
        )
        self.sentence, self.note, self.help_line, self.text = ip.HTML(), ip.HTML(f"{NOT_WHY}"), ip.HTML(), ip.HTML()
        self.error_box, self.pinned_text = ip.VBox(), ip.HTML()
        for widget, name in ((self.sentence, "sentence"), (self.note, "fixed"), (self.text, "sentence"), (self.pinned_text, "pinned")):
            widget.add_class(f"wb-{name}")
        for row in (choose, change, inside, self.mute_box):
            row.add_class("wb-wrap")
        choose.add_class("wb-choose")
        change.add_class("wb-change")
        inside.add_class("wb-inside")
        # The map is as tall as a page: it stands below the sentence.
        self.pictures, self.below = ip.Box(), ip.Box()
        self.pictures.add_class("wb-pictures")
        self.below.add_class("wb-pictures")
        pressed = {
            "n": self.next, ".": self.next, "p": self.previous, ",": self.previous, "m": self._mute_next, "0": self.unmute, "i": self._press_pin,
            "a": self._press_both, "?": self._press_help,
        }  # fmt: skip
        groups = {"wb-choose": "choose a sample", "wb-change": "mute or swap a modality", "wb-inside": "attention and attribution"}
        self.keys = Keys("wb-explorer", pressed, groups=groups)
        rows = [style_sheet(), style_sheet(STYLE), choose, self.text, change, inside, self.error_box]
        self.box = ip.VBox([*rows, self.sentence, self.pictures, self.note, self.pinned_text, self.below, self.help_line, self.keys])
        for name in ("wb-live", "wb-explorer"):
            self.box.add_class(name)

    # Opening: on the worker's thread

    def _open(self, *, first: int | None = None) -> None:
        """A run, a split, what muting means: asks for all of it."""
        with PAINT:
            self.text.value = "Asking the model what it says of every sample for every subset of its modalities; kept for the next time."
        self.worker.ask("open", partial(self._opening, first, self.run.value, self.split.value, self.treatment.value))

    def _opening(self, first: int | None, place: int, split: str, treatment: str) -> None:
        run, before = self.runs[place], self.opened
        data = data_of(run, self.data)
        opened = open_run(
            run, data, split=split, treatment=treatment, is_test_unlocked=self.unlock_test, groups=cases.groups,
            said=lambda done, count: self._say_state(f"Opening: {done / count:.0%}"),
        )  # fmt: skip
        is_same = before is not None and before.run is not None and before.data.modalities == opened.data.modalities and len(before) == len(opened)
        row = first if first is not None else self.look.row if is_same and self.look.row >= 0 else int(next(iter(opened.orders.values()))[0])
        if not 0 <= row < len(opened):
            raise ConfigError(f"there is no sample {row} in {split}", expected=f"0 to {len(opened) - 1}")
        with PAINT:
            self.opened = opened
            self.look = Look(row, muted=self.look.muted if is_same else (), pinned=self.look.pinned if is_same else None)
            self._take_options(opened)
        self._draw_all()

    def _take_options(self, opened: Opened) -> None:
        """The controls as this model and split have them."""
        self._is_quiet = True
        try:
            kept = self.show.value
            self.show.options = list(opened.orders)
            self.show.value = kept if kept in opened.orders else next(iter(opened.orders))
            self.sample.max = self.swap_row.max = len(opened) - 1
            if tuple(self.mutes) != opened.modalities:
                self.mutes = {name: self._mute_control(name) for name in opened.modalities}
                self.mute_box.children = list(self.mutes.values())
                self._make_places(opened)
                self.swap_name.options = ["none", *opened.modalities]
            classes = opened.task.classes if opened.task.kind != "regression" else ()
            self.output.options = [("the one that is told", -1), *((name, place) for place, name in enumerate(classes))]
            self.output.layout.display = "" if classes else "none"
            self.auto_attribution.value = opened.seconds <= QUICK_SECONDS
            for name, control in self.mutes.items():
                control.value = name in self.look.muted
            self.swap_name.value = next(iter(self.look.swaps), "none")
            has_evidence = bool(opened.data[opened.split].evidence)
            self.has_planted.disabled = not has_evidence
            self.has_planted.tooltip = "where the simulator put its cues" if has_evidence else "only simulated data knows where its evidence is"
        finally:
            self._is_quiet = False

    def _mute_control(self, name: str) -> ip.Checkbox:
        control = ip.Checkbox(value=False, description=f"mute {name}", indent=False, layout={"width": "auto"})
        control.add_class("wb-mute")
        control.add_class(f"wb-mute-{pictures.plain(name)}")
        control.observe(lambda change: None if self._is_quiet else self._muted(), names="value")
        return control

    # The selection: one object; whoever changes it asks for everything that follows

    @property
    def row(self) -> int:
        """Number of the selected sample in its split."""
        return self.look.row

    @property
    def selected(self) -> Batch:
        """The selected sample as the model is given it, with everything there."""
        return self._known().batch(self.look.row)

    @property
    def id(self) -> str:
        """Name of the selected sample."""
        return self._known().subsets.ids[self.look.row]

    @property
    def prediction(self) -> np.ndarray:
        """What the model says now: a score, or the scores of the classes."""
        return self._known().said(self.look.row, muted=self.look.muted, swaps=self.look.swaps)

    @property
    def rows(self) -> np.ndarray:
        """The samples that are gone through, in order."""
        return self._known().orders[self.show.value]

    def _known(self) -> Opened:
        if self.opened is None:
            raise ConfigError("nothing is open yet", do="explorer.wait()")
        return self.opened

    def go(self, row: int) -> None:
        """Selects a sample; a swap is undone, what is muted stays muted."""
        if self.opened is None or row == self.look.row:
            return
        with PAINT:
            self.look = self.look.at(int(row) % len(self.opened))
            self._set(self.swap_name, "none")
        self._draw_now()
        self._ask_rest()

    def next(self) -> None:
        """The next sample of those that are shown."""
        self._step(1)

    def previous(self) -> None:
        """The sample before."""
        self._step(-1)

    def _step(self, step: int) -> None:
        if self.opened is None:
            return
        rows = self.rows
        places = np.flatnonzero(rows == self.look.row)
        self.go(int(rows[(int(places[0]) + step) % len(rows)]) if len(places) else int(rows[0]))

    def mute(self, *names: str) -> None:
        """Mutes exactly these modalities."""
        for name in names:
            if name not in self.mutes:
                raise ConfigError(f"there is no modality {name} to mute", expected=f"one of {', '.join(self.mutes)}")
        with PAINT:
            for name, control in self.mutes.items():
                self._set(control, name in names)
        self._muted()

    def unmute(self) -> None:
        """Everything there, nothing swapped."""
        with PAINT:
            self._set(self.swap_name, "none")
            self.look = self.look.swapped({})
        self.mute()

    def swap(self, name: str, row: int) -> None:
        """Takes one modality from another sample; `none` undoes it."""
        with PAINT:
            self._set(self.swap_row, int(row))
            self._set(self.swap_name, name)
        self._swap_chosen()

    def _set(self, widget: ip.Widget, value: Any) -> None:
        """A value that nobody is told of."""
        was, self._is_quiet = self._is_quiet, True
        try:
            widget.value = value
        finally:
            self._is_quiet = was

    def _muted(self) -> None:
        self._change(self.look.muting(tuple(name for name, control in self.mutes.items() if control.value)))

    def _swap_chosen(self) -> None:
        name = self.swap_name.value
        self._change(self.look.swapped({} if name == "none" else {name: self.swap_row.value}))

    def _change(self, look: Look) -> None:
        """Another state of the same sample: a look-up answers here, a forward pass on the worker."""
        if self.opened is None:
            return
        self.look = look
        if self.opened.is_known(look.row, muted=look.muted, swaps=look.swaps):
            self._draw_state()
        else:
            self.worker.ask("pass", self._draw_state)

    def _mute_next(self) -> None:
        """The modalities one after the other, then none."""
        names = [*self.mutes, None]
        if self.mutes:
            now = self.look.muted[0] if len(self.look.muted) == 1 else None
            name = names[(names.index(now) + 1) % len(names)]
            self.mute(*([name] if name else []))

    def _way_chosen(self) -> None:
        if self.opened is not None:
            row = int(self.rows[0])
            if row == self.look.row:
                self._draw_now()
            self.go(row)

    def _output_chosen(self) -> None:
        if self.opened is not None:
            self.look = self.look.telling(self.output.value if self.output.value >= 0 else None)
            self._draw_now()
            self._ask_rest()

    def _press_previous(self) -> None:
        self.previous()

    def _press_next(self) -> None:
        self.next()

    def _press_reset(self) -> None:
        self.unmute()

    def _press_pin(self) -> None:
        if self.opened is not None:
            is_mine = self.look.pinned == self.look.row
            self.look = self.look.pinning(None if is_mine else self.look.row)
            self._draw_now()

    def pin(self) -> None:
        """Keeps the selected sample beside the next ones; once more lets it go."""
        self._press_pin()

    def _press_help(self) -> None:
        with PAINT:
            self.help_line.value = "" if self.help_line.value else escape(HELP)

    def _press_attention(self) -> None:
        self.worker.ask("attention", partial(self._insides, attention=True))

    def _press_attribution(self) -> None:
        self.worker.ask("attribution", partial(self._insides, attribution=True))

    def _press_both(self) -> None:
        self._press_attention()
        self._press_attribution()

    # Drawing: what is known at once, and what the worker finds

    def _draw_now(self) -> None:
        """Prediction, sentence and place of the sample, from look-ups."""
        opened = self.opened
        with PAINT:
            self._set(self.sample, self.look.row)
            rows = self.rows
            places = np.flatnonzero(rows == self.look.row)
            where = f"{int(places[0]) + 1} of {len(rows):,}" if len(places) else f"not among these {len(rows):,}"
            self.place.value = f"<small>{where}; {opened.split} has {len(opened):,}</small>"
            self.text.value = pictures.say_sample(opened, self.look)
            self._show("chosen", pictures.chosen(opened, self.look, rows))
        self._draw_state()

    def _draw_state(self) -> None:
        """The prediction with what is muted and swapped now."""
        opened, look = self.opened, self.look
        figure = pictures.states(opened, look)
        said = say_mute(opened, look.row, look.muted, look.swaps, look.output_of(opened))
        with PAINT:
            self._show("states", figure)
            self.sentence.value = f"<b>{escape(said)}</b>"
            self._draw_pinned()

    def _draw_pinned(self) -> None:
        """The pinned sample in words and on its own scale."""
        look = self.look
        self.buttons["pin"].description = "Unpin" if look.pinned is not None and look.pinned == look.row else "Pin"
        is_there = look.pinned is not None and look.pinned != look.row
        self.pinned_text.value = pictures.say_pinned(self.opened, look) if is_there else ""
        if is_there:
            self._show("pinned", pictures.states(self.opened, look.at(look.pinned).telling(look.output), title=f"Pinned: sample {look.pinned}"))
        else:
            self._hide("pinned")

    def _ask_rest(self) -> None:
        self.worker.ask("sample", self._draw_sample)
        self._ask_insides()

    def _ask_insides(self) -> None:
        """Attention and attribution of this sample, as far as they come by themselves."""
        self.worker.ask("attention", partial(self._insides, attention=self.auto_attention.value))
        self.worker.ask("attribution", partial(self._insides, attribution=self.auto_attribution.value))

    def _draw_all(self) -> None:
        self._draw_now()
        self._draw_sample()
        self._ask_insides()

    def _draw_sample(self) -> None:
        """Words and traces of the sample, with what is known of them."""
        opened, look = self.opened, self.look
        if opened is None:
            return
        for name in opened.modalities:
            figure = pictures.modality(opened, look, name, has_planted=self.has_planted.value)
            with PAINT:
                if look is not self.look and look.row != self.look.row:
                    return
                self._show(f"in-{name}", figure)
        figure = pictures.worth(opened, look)
        with PAINT:
            self._show("worth", figure)

    def _insides(self, *, attention: bool = False, attribution: bool = False) -> None:
        """Finds and draws them, if the sample is still the one that was meant."""
        opened, look = self.opened, self.look
        if opened is None:
            return
        if attention and not look.has_attention(opened):
            opened.views(look.row)
            self._offer_maps(opened, look.row)
        if attribution and not opened.has_attribution(look.row, output=look.output_of(opened)):
            found = opened.attribution(look.row, output=look.output_of(opened))
            self._slow = self._slow + 1 if found.seconds > SLOW_SECONDS else 0
            # The first one also warms up.
            if self._slow > 1:
                with PAINT:
                    self._set(self.auto_attribution, False)
        if look.row == self.look.row and opened is self.opened:
            self._draw_sample()
            if attention:
                self._draw_map()

    def _offer_maps(self, opened: Opened, row: int) -> None:
        """The views of this model that can be chosen."""
        found = [(view["title"], view["tap"]) for view in opened.views(row) if view["kind"] in ("attention", "gate", "adjacency")]
        if [tap for _, tap in self.map.options] != ["", *(tap for _, tap in found)]:
            first = next((view["tap"] for view in opened.views(row) if view["kind"] == "attention"), "")
            with PAINT:
                self._is_quiet = True
                try:
                    self.map.options = [("none", ""), *found]
                    self.map.value = first
                    self.map.disabled = not found
                finally:
                    self._is_quiet = False

    def _draw_map(self) -> None:
        """The chosen map of this sample; heads at its buttons."""
        opened, look = self.opened, self.look
        if opened is None:
            return
        view = next((view for view in opened.views(look.row) if view["tap"] == self.map.value), None) if self.map.value else None
        with PAINT:
            if view is None:
                self._hide("map")
                return
            self._show("map", pictures.fitted(draw_view(view)))

    def _show(self, name: str, figure: Figure) -> None:
        """A picture gets new values, or its place a new picture."""
        if self.followers[name].follow(figure):
            self._listen(name, self.followers[name])
        self.keys.labels = {one.css: alt_of(one.figure) or caption_of(one.figure) for one in self.shown.values()}

    def _hide(self, name: str) -> None:
        if name in self.shown:
            self.followers[name].clear()

    @property
    def shown(self) -> dict[str, Follower]:
        """The places that have a picture."""
        return {name: follower for name, follower in self.followers.items() if follower.live is not None}

    def _make_places(self, opened: Opened) -> None:
        """A place for every picture, in the order of reading. Once they are seen they stay where they are: a picture that is moved is drawn a second
        time by the browser, and its first drawing then answers every change with an error.
        """
        kinds = {f"in-{name}": spec.kind for name, spec in opened.data.spec.modalities.items()}
        first, *rest = sorted(kinds, key=lambda name: kinds[name] != "tokens")
        order = (first, "states", *rest, "worth", "chosen", "pinned", "map")
        wide = ("map", *(name for name, kind in kinds.items() if kind == "tokens"))
        self.followers = {name: Follower(f"wb-see-{pictures.plain(name)}", is_wide=name in wide) for name in order}
        for place, names in ((self.pictures, order[:-2]), (self.below, order[-2:])):
            place.children = [self.followers[name].box for name in names]

    def _listen(self, name: str, follower: Follower) -> None:
        """Clicks in the picture of all samples."""
        if name != "chosen":
            return
        for trace in follower.live.data:
            if trace.name in ("shown", "others"):
                trace.on_click(self._dot_pressed)
            if trace.name == "cells":
                trace.on_click(self._cell_pressed)

    def _dot_pressed(self, trace: Any, points: Any, state: Any) -> None:
        if points.point_inds:
            self.go(int(trace.customdata[points.point_inds[0]]))

    def _cell_pressed(self, trace: Any, points: Any, state: Any) -> None:
        if self.opened is None or not len(points.xs):
            return
        rows, name = pictures.rows_of_cell(self.opened, self.look, int(points.ys[0]), int(points.xs[0]))
        if len(rows):
            with PAINT:
                self.opened.orders[name] = rows
                self._is_quiet = True
                self.show.options = list(self.opened.orders)
                self._is_quiet = False
                self._set(self.show, name)
            self._way_chosen()

    # Words

    def _working(self, name: str) -> None:
        words = {"open": "Opening", "pass": "Asking the model", "attention": "Attention", "attribution": "Attribution", "sample": "Drawing"}
        self._say_state(f"{words.get(name, 'Drawing')} ..." if name else "Ready" if self.error is None else "Failed")

    def _say_state(self, words: str) -> None:
        with PAINT:
            self.state.value = f"[ {escape(words)} ]"

    def _failed(self, error: Exception) -> None:
        """An error in words, until it is dismissed."""
        self.error = error
        close = ip.Button(description="Dismiss", layout={"width": "auto"})
        close.on_click(lambda pressed: self._dismiss())
        with PAINT:
            self.text.value = self.text.value if self.opened is not None else "Nothing is open."
            self.error_box.children = [ip.HTML(f"{escape(explain(error))}"), close]
            self.error_box.add_class("wb-error")

    def _dismiss(self) -> None:
        with PAINT:
            self.error, self.error_box.children = None, []
            self.error_box.remove_class("wb-error")
            self.state.value = "[ Ready ]"

    # Life

    def close(self) -> None:
        """Ends the worker."""
        self.worker.close()
        with PAINT:
            self.state.value = "[ Closed ]"
            for button in self.buttons.values():
                button.disabled = True

    def wait(self, seconds: float = 120.0) -> None:
        """Waits until everything is drawn (for scripts and tests; never in a callback)."""
        self.worker.settle(seconds)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.box._repr_mimebundle_(**options)


def explorer(
    run: Run | str | Path | Sequence[Run | str | Path],
    data: Data = None,
    *,
    interactive: bool = True,
    runs: str | Path = "runs",
    **settings: Any,
) -> Explorer | None:
    """Opens the sample explorer on the sample that teaches most: rightly predicted, and muting one modality moves it furthest.

    Args:
        run: a finished run, its folder or its id in `runs`; or several, to choose from.
        data: its data: a Dataset (by seed where each seed had its own draw), a name, or None: what the run's config says.
        interactive: False shows the opening sample and its mutes as figures with captions (what a report shows).
        runs: folder of runs.
        settings: see `Explorer`: split, unlock_test, treatment, sample.

    Raises:
        ConfigError: the test split is locked; unknown names; data that the run was not trained on.
        WorkbenchError: there is no such run.
    """
    found = [found_run(one, runs) for one in ([run] if isinstance(run, Run | str | Path) else run)]
    if not found:
        raise ConfigError("the explorer got no run", expected="a finished run, e.g. Run.load('runs/...')")
    if not interactive:
        pictures.show_still(found[0], data, **settings)
        return None
    made = Explorer(found, data, **settings)
    alone("explorer", made)
    # A first sight is a whole one where that is a matter of seconds; else words say what is awaited.
    made.wait(6.0)
    return made


def found_run(run: Run | str | Path, runs: str | Path) -> Run:
    """The run that was named: itself, its folder, or its id."""
    if isinstance(run, Run):
        return run
    return Run.load(run if (Path(run) / "config.json").is_file() else Path(runs) / str(run))
