"""The training studio: choose, start, watch it grow, change something while it trains, keep the run.

    studio("opinions/starved", "lf_dnn")                       # live
    studio("opinions/starved", interactive=False)              # trains in the cell and shows the last frame (what reports do)

Wiring only. `workbench.session.Session` owns the training's thread, `Painter` the thread that draws; callbacks put commands and set the state word.
"""

import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

import ipywidgets as ip
import plotly.graph_objects as go

from workbench.data import is_simulated, load
from workbench.data.simulator.ceiling import ceilings
from workbench.data.simulator.dials import MODALITIES, Dials, preset_dials
from workbench.data.simulator.synthetic import task_spec
from workbench.errors import TrainingError, WorkbenchError
from workbench.figures import training_views as views
from workbench.figures.captions import first_upper
from workbench.runs import Run, load_all
from workbench.session import (
    CLOSED,
    FAILED,
    FINISHED,
    PAUSED,
    PAUSING,
    READY,
    RUNNING,
    STARTING,
    STOPPED,
    STOPPING,
    TRAINING,
    Change,
    Restored,
    Session,
    plainly,
)
from workbench.statistics import score
from workbench.tasks import make_task, metric_title
from workbench.widgets.choices import GROUPS, Choices
from workbench.widgets.code import fit_code, steered_code
from workbench.widgets.keys import Keys
from workbench.widgets.live import MOST_POINTS, PAINT, LiveFigure, Painter, alone, thinned
from workbench.widgets.looks import style_sheet

ENDED = (STOPPED, FINISHED, FAILED)

HELP = (
    "Keys, while the focus is in here: K pause / go on, . one epoch, S stop, ? this line, Esc leaves a slider. Tab: the order of reading. "
    "A double click on a picture shows all of it."
)


class Studio:
    """What `studio()` opens.

    Args:
        data, method, balance, seed: what the controls say at first.
        config, plan, balance_config: values that hold instead of the published and default ones.
        options: of `load`: dials of simulated data, views.
        runs: folder of runs.
        show: names of the controls that are seen (`data`, `method`, `balance`, `seed`, `learning_rate`, `more`); None: all.
        width: of a picture [px].
    """

    def __init__(
        self,
        data: str = "opinions/starved",
        method: str = "lf_dnn",
        *,
        balance: str = "none",
        seed: int = 0,
        config: Mapping[str, Any] | None = None,
        plan: Mapping[str, Any] | None = None,
        balance_config: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        runs: str | Path = "runs",
        show: Sequence[str] | None = None,
        width: int = views.WIDTH,
    ) -> None:
        self.runs, self.shown_names, self.width = Path(runs), show, width
        given = {"config": dict(config or {}), "plan": dict(plan or {}), "balance": dict(balance_config or {})}
        self.session: Session | None = None
        self.saved: Run | None = None
        self.columns: dict[str, list[float]] = {}
        self.marks: list[views.Mark] = []
        self.this: tuple[dict[str, list[float]] | None, str] = (None, "")
        self.finished: list[tuple[str, str, str]] = []
        self._find_runs()
        self.looks: list[tuple[float, float]] = []
        self.pinned: dict[str, list[float]] | None = None
        self.pinned_name, self.rule, self.word, self.tick, self.error = "", None, READY, None, None
        self._is_quiet = False
        self.stage, self.part = "", ""
        self.painted: dict[str, str] = {}
        self.is_still = False
        self.modalities, self.headline, self.epochs_planned = (), "", 0
        self.of = ip.ToggleButtons(options=["score", "loss"], value="score", style={"button_width": "64px"}, tooltips=["score", "loss"])
        self.quantity = ip.ToggleButtons(options=[("gradient", "gradient"), ("update norm", "update")], style={"button_width": "118px"})
        self.grid = ip.Box()
        self.grid.add_class("wb-grid")
        opening = {"data": data, "method": method, "balance": balance, "seed": seed}
        self._look(data, {**({"seed": seed} if is_simulated(data) else {}), **(options or {})})
        self.choices = Choices(opening, given, dict(options or {}), self._moved)
        self.state = ip.HTML()
        self.state.add_class("wb-state")
        self._make_controls()
        self._make_box()
        self.painter = Painter(self._draw, share=0.06)
        # What the first Start would wait for, while somebody still reads.
        threading.Thread(target=import_module, args=("torchmetrics",), daemon=True).start()
        self._show_state(READY)
        self._paint_all()
        if len(self.pin_choice.options) > 1:
            # The first picture is not empty where something was trained before.
            self.pin_choice.value = self.pin_choice.options[1][1]

    # What is known of the data

    def _look(self, name: str, options: Mapping[str, Any]) -> None:
        """Modalities, metric and ceilings of a data set; other modalities get other pictures."""
        found = load(name, **options)
        self._know(found.modalities, make_task(found.spec.task).headline, found.ceiling)

    def _know(self, modalities: Sequence[str], headline: str, ceiling: Mapping[str, Mapping[str, float]]) -> None:
        before = (self.modalities, self.headline)
        self.modalities, self.headline, self.ceiling = tuple(modalities), headline, dict(ceiling)
        self.metric = metric_title(headline)
        if before != (self.modalities, self.headline):
            self._make_figures()

    # Making

    def _make_controls(self) -> None:
        """Buttons, progress, and the choice of what is pinned."""
        self.buttons = {}
        for name, words, tip in (
            ("start", "Start", "train with what the controls say"),
            ("pause", "Pause", "wait after this epoch (K)"),
            ("step", "Step", "one epoch, then pause (.)"),
            ("stop", "Stop", "end here, keep the best epoch, write the run (S)"),
            ("reset", "Reset", "back to how it opened; what is not saved is gone"),
            ("pin", "Pin", "keep these curves as dotted lines"),
            ("save", "Save run", "write the run as it stands; the training goes on"),
            ("code", "Show me the code", "the lines of Python that do the same"),
        ):
            self.buttons[name] = button = ip.Button(description=words, tooltip=tip, layout={"width": "auto"})
            button.add_class(f"wb-{name}")
            button.on_click(lambda pressed, name=name: getattr(self, f"_{name}")())
        self.progress = ip.FloatProgress(min=0, max=1, layout={"width": "180px", "height": "14px"}, style={"bar_color": "#767676"})
        self.status = ip.HTML()
        self.pin_choice = ip.Dropdown(options=self._pinnable(), value="", description="pinned", layout={"width": "300px"})
        self.pin_choice.observe(lambda change: self._pin_chosen(change["new"]), names="value")
        for widget, name in ((self.status, "status"), (self.pin_choice, "pinned")):
            widget.add_class(f"wb-{name}")
        for widget, name in ((self.of, "of"), (self.quantity, "quantity")):
            widget.add_class(f"wb-{name}")
            widget.observe(lambda change: self.painter.put(("redraw", None, None)), names="value")

    def _make_figures(self) -> None:
        """The four panels; no trace is added later."""
        for figure in getattr(self, "figures", {}).values():
            figure.close()
        self.figures = {name: LiveFigure(figure) for name, figure in empty_panels(self.modalities, self.metric, self.width).items()}
        above = {"curve": [self.of], "magnitude": [self.quantity]}
        self.grid_boxes = [ip.VBox([*above.get(name, []), figure]) for name, figure in self.figures.items()]
        for name, box in zip(self.figures, self.grid_boxes, strict=True):
            box.add_class(f"wb-panel-{name}")
        self.painted = {}
        self.grid.children = self.grid_boxes

    def _make_box(self) -> None:
        """Everything in its place, in the order of reading."""
        seen = [widget for name, widget in self.choices.named.items() if self.shown_names is None or name in self.shown_names]
        choices = ip.HBox([*seen, self.state])
        press = ip.HBox([*(self.buttons[name] for name in ("start", "pause", "step", "stop", "reset")), self.progress, self.status])
        self.more = ip.Accordion(list(self.choices.boxes.values()), titles=list(GROUPS.values()), layout={"width": "620px"})
        self.more.add_class("wb-more")
        keep = ip.HBox([self.buttons["pin"], self.pin_choice, self.buttons["save"], self.buttons["code"]])
        self.sentence, self.note, self.code_box, self.error_box = ip.HTML(), ip.HTML(), ip.HTML(), ip.VBox()
        for widget, name in ((self.sentence, "sentence"), (self.note, "note"), (self.code_box, "code")):
            widget.add_class(f"wb-{name}")
        for row in (choices, press, self.choices.front, keep):
            row.add_class("wb-wrap")
        presses = {"k": self._pause_or_go, ".": self._step, "s": self._stop, "?": self._help}
        self.keys = Keys("wb-studio", presses, groups={"wb-more": "more settings"})
        is_open = self.shown_names is None or "more" in self.shown_names
        front = [self.choices.front] if self.shown_names is None or "learning_rate" in self.shown_names else []
        rows = [style_sheet(), choices, press, self.note, self.error_box, *front, keep, self.grid, self.sentence]
        self.box = ip.VBox([*rows, *([self.more] if is_open else []), self.code_box, self.keys])
        for name in ("wb-live", "wb-studio"):
            self.box.add_class(name)

    def code(self) -> str:
        """The lines of Python that do what the controls say now, or, of a training on its way, what was done."""
        session = self.session
        if session is None or not (session.changes or self.word == STOPPED):
            return fit_code(self.choices.method.value, self.choices.data.value, self.choices.options(), self.choices.settings())
        end = session.epochs if self.word == STOPPED else None
        return steered_code(session.method, str(session.source), self.began_options, session.settings, session.changes, end=end)

    # What is pressed. Nothing in here waits for anything.

    def _start(self) -> None:
        if self.word == PAUSED and self.session is not None:
            self.session.go()
        elif self.word == READY or self.word in ENDED:
            self._new_session()
            self.session.start()

    def _new_session(self) -> None:
        self._dismiss()
        if self.session is not None:
            self.session.close()
        options, settings = self.choices.options(), self.choices.settings()
        self.began_options = dict(options)

        def listen(kind: str, content: Any) -> None:
            self._hear(session, kind, content)

        session = Session(self.choices.method.value, self.choices.data.value, options=options, runs=self.runs, listen=listen, **settings)
        self.session, self.rule = session, None if settings["balance"] == "none" else settings["balance"]
        self.columns, self.marks, self.tick, self.looks, self.stage, self.part = {}, [], None, [], "", ""
        self.note.value = ""
        self._show_code()

    def _pause(self) -> None:
        if self.session is not None:
            self.session.pause()

    def _pause_or_go(self) -> None:
        self._start() if self.word in (PAUSED, READY) else self._pause()

    def _step(self) -> None:
        if self.word in (READY, *ENDED):
            self._new_session()
        self.session.step()

    def _stop(self) -> None:
        if self.session is not None:
            self.session.stop()

    def _reset(self) -> None:
        """Back to how it opened; the pinned lines stay."""
        if self.session is not None:
            self.session.close()
        self.session = None
        self.choices.reset()
        self.columns, self.marks, self.tick, self.looks, self.stage, self.part = {}, [], None, [], "", ""
        self.rule, self.saved = None, None
        self.note.value = ""
        self._dismiss()
        self._show_state(READY)
        self.painter.put(("look", None, None))

    def _pin(self) -> None:
        """Keeps what is drawn as dotted lines."""
        if self.columns.get("epoch"):
            self.pinned = {key: list(values) for key, values in self.columns.items()}
            self.pinned_name = self._name_now()
            self.this = (self.pinned, self.pinned_name)
            self._is_quiet = True
            self.pin_choice.options = [*self._pinnable(), (f"this training: {self.pinned_name}", "this")]
            self.pin_choice.value = "this"
            self._is_quiet = False
            self.painter.put(("redraw", None, None))

    def _pin_chosen(self, value: str) -> None:
        if not self._is_quiet:
            self.painter.put(("pin", None, value))

    def _pin_run(self, value: str) -> None:
        """Another training as dotted lines: nothing, this one as it was pinned, or a finished run."""
        if not value:
            self.pinned, self.pinned_name = None, ""
        elif value == "this":
            self.pinned, self.pinned_name = self.this
        else:
            run = Run.load(self.runs / value)
            self.pinned, self.pinned_name = columns_of(run), f"{run.variant}, seed {run.seed}"

    def _find_runs(self) -> None:
        """The finished runs of the folder, the last ones first: data set, words, name."""
        found = sorted(load_all(self.runs), key=lambda run: run.config.get("started", ""), reverse=True)
        self.finished = [(run.config["dataset"], f"{run.variant}, seed {run.seed} ({run.id[-8:]})", run.id) for run in found]

    def _pinnable(self) -> list[tuple[str, str]]:
        """Finished runs of this data set."""
        here = [(words, name) for dataset, words, name in self.finished if dataset == self.choices.data.value]
        return [("nothing", ""), *here[:20]]

    def _name_now(self) -> str:
        rule = f" + {self.rule}" if self.rule else ""
        return f"{self.session.method if self.session else self.choices.method.value}{rule}, seed {self.choices.seed.value}"

    def _save(self) -> None:
        if self.session is not None:
            self.session.save()

    def _code(self) -> None:
        self.code_box.value = "" if self.code_box.value else "..."
        self._show_code()

    def _show_code(self) -> None:
        """Draws the code anew where it is seen."""
        if self.code_box.value:
            self.code_box.value = f"<pre>{escape(self.code())}</pre>"

    def _help(self) -> None:
        self.note.value = "" if self.note.value == HELP else HELP

    def _moved(self, name: str, is_live: bool) -> None:
        """Something was moved: what is live holds from the next epoch on, everything else with the next start."""
        if name == "data":
            self._is_quiet = True
            self.pin_choice.options, self.pin_choice.value = self._pinnable(), ""
            self._is_quiet = False
            self.pinned, self.pinned_name = None, ""
        if is_live and self._is_running:
            self._try(name, self.choices.value(name))
        elif self._is_running:
            what = escape(name.rpartition(".")[2])
            self.note.value = f"{what} takes effect with a new start: [Stop], then [Start]. This training goes on as it began."
        elif self.word in ENDED:
            self.note.value = "What you changed takes effect with [Start]."
        elif name.startswith("data"):
            self.painter.put(("look", None, None))
        self._show_code()

    @property
    def _is_running(self) -> bool:
        return self.session is not None and self.session.state in RUNNING

    def _try(self, setting: str, value: Any) -> None:
        try:
            self.session.change(setting, value)
        except WorkbenchError as error:
            self._show_error(error)

    def _go_back(self) -> None:
        """After a failed epoch: on from the last good one, a tenth of the rate."""
        rate = self._gentler()
        self._dismiss()
        self.session.go_back(learning_rate=rate)

    def _gentler(self) -> float:
        plan = self.session.plan
        return (plan.learning_rate if plan is not None else self.choices.value("plan.learning_rate")) / 10

    # What is heard and drawn

    def _hear(self, session: Session, kind: str, content: Any) -> None:
        """From any thread; waits for nothing but a frame that is being painted."""
        if session is not self.session:
            return
        if kind == "state":
            self._show_state(content)
        self.painter.put((kind, session, content))

    def _show_state(self, word: str) -> None:
        """The state word and the buttons, at once."""
        self.word = word
        after = f" after epoch {len(self.columns.get('epoch', ())) + 1}" if word == PAUSING else ""
        with PAINT:
            self.state.value = f"[ {word}{after} ]"
            for name, (is_on, tip) in buttons_in(word, has_epochs=bool(self.columns.get("epoch")), is_saved=self.saved is not None).items():
                button = self.buttons[name]
                button.disabled, button.tooltip = not is_on, tip
                button.button_style = "primary" if name == primary_in(word) else ""
            self.buttons["start"].description = {PAUSED: "Go on"}.get(word, "Start again" if word in ENDED else "Start")

    def _draw(self, events: list[tuple[str, Session | None, Any]]) -> None:
        """One frame, on the painter's thread."""
        for kind, session, content in events:
            if session is self.session or session is None:
                try:
                    self._take(kind, content)
                except Exception as error:
                    self._show_error(error)
        self._paint_all(is_whole=not events)

    def _take(self, kind: str, content: Any) -> None:
        """One event."""
        if kind == "begun":
            self._know(content.modalities, content.headline, content.ceiling)
            self.epochs_planned = content.epochs
        elif kind == "epoch":
            if content.stage and content.stage != self.stage:
                self.marks.append(views.Mark(content.number - 1, f"stage {content.stage}"))
            self.stage, self.part = content.stage, "" if content.is_whole else content.stage
            add_epoch(self.columns, content, self.modalities)
            self.tick, self.looks = None, []
            self._show_state(self.word)
        elif kind == "tick":
            self.tick = content
            self.looks.append((len(self.columns.get("epoch", ())) + content.done, content.loss))
        elif kind == "change":
            self._note_change(content)
        elif kind == "saved":
            self.saved = content
            self.finished.insert(0, (content.config["dataset"], f"{content.variant}, seed {content.seed} ({content.id[-8:]})", content.id))
            self.note.value = (
                f"Saved: <code>{escape(str(content.path))}</code>, on valid {self.metric} {content.metrics['valid'][self.headline]:.3f}."
            )
            self._show_state(self.word)
        elif kind == "look":
            self._look_again()
        elif kind == "pin":
            self._pin_run(content)
        elif kind == "restored":
            self._note_restored(content)
        elif kind in ("failed", "refused"):
            self._show_error(content)

    def _look_again(self) -> None:
        """Modalities and ceilings of the data as the controls say it now; of simulated data without a draw."""
        name, options = self.choices.data.value, self.choices.options()
        if is_simulated(name):
            given = {key: value for key, value in options.items() if key in Dials.model_fields}
            dials = preset_dials(name.partition("/")[2] or "balanced", **given)
            self._know(MODALITIES, make_task(task_spec(dials)).headline, ceilings(dials))
        else:
            self._look(name, options)

    def _note_restored(self, content: Restored) -> None:
        """The training went back: marks, rule and controls say what holds again."""
        self.marks = [views.Mark(change.epoch, str(change)) for change in content.changes]
        self.rule = content.rule
        with PAINT:
            self.choices.show("balance", content.rule)
            for key, value in content.plan.items():
                self.choices.show(f"plan.{key}", value)
        self._show_code()

    def _note_change(self, change: Change) -> None:
        self.marks.append(views.Mark(change.epoch, str(change)))
        if change.setting == "balance":
            self.rule = change.after
        if change.setting == "plan.epochs":
            self.epochs_planned = change.after
        if change.setting.startswith("data."):
            self._look_again()
        with PAINT:
            self.choices.show(change.setting, change.after) if change.setting.startswith("plan.") else None
        self._show_code()

    def _paint_all(self, *, is_whole: bool = True) -> None:
        frames = self.frames()
        for name, frame in frames.items():
            # A frame that says nothing new is sent only to heal what the browser may have lost.
            if is_whole or self.painted.get(name) != repr(frame):
                self.figures[name].paint(frame.traces, title=frame.sentence, layout=nested(frame.layout))
                self.painted[name] = repr(frame)
        with PAINT:
            self._paint_status()
            told = {"metric": self.metric, "ceiling": self.ceiling, "key": self.headline}
            said = views.say_training(self.columns, self.modalities, **told, rule=self.rule, part=self.part)
            if self.sentence.value != (words := escape(said, quote=False)):
                self.sentence.value = words
            self.keys.labels = {f"wb-panel-{name}": frame.sentence for name, frame in frames.items()}

    def _paint_status(self) -> None:
        """Epochs, seconds an epoch, seconds left."""
        done = len(self.columns.get("epoch", ()))
        if not done and self.tick is None:
            self.progress.value, self.status.value = 0, ""
            return
        planned = self.epochs_planned or done
        seconds = self.columns.get("seconds", [])
        recent = sorted(seconds[-9:])
        each = recent[len(recent) // 2] if recent else None
        part = self.tick.done if self.tick is not None and self.word in RUNNING else 0.0
        self.progress.value = min(1.0, (done + part) / max(planned, 1))
        words = f"epoch {done} of at most {planned}" + (f", stage {self.stage}" if self.stage else "")
        words += f" · {each:.2g} s/epoch" if each else ""
        words += f" · at most {(planned - done) * each:.0f} s left" if each and self.word in (TRAINING, PAUSED, PAUSING) else ""
        words += f" · loss now {self.tick.loss:.3f}" if self.tick is not None and self.word == TRAINING else ""
        words += f" · {MOST_POINTS} of {done:,} points drawn, all are in the run" if done > MOST_POINTS else ""
        self.status.value = words

    def frames(self) -> dict[str, views.Frame]:
        """What belongs into the four panels now."""
        alone_scores = {name: self.ceiling[name][self.headline] for name in self.modalities if self.headline in self.ceiling.get(name, {})}
        every = self.ceiling.get("all", {}).get(self.headline)
        pinned = {"pinned": self.pinned, "pinned_name": self.pinned_name}
        reach = {"ceiling": every, "alone": alone_scores}
        curve = views.curve_frame(
            self.columns,
            self.modalities,
            metric=self.metric,
            of=self.of.value,
            **reach,
            **pinned,
            marks=self.marks,
            looks=self.looks,
            ahead=2,
            thin=thinned,
        )
        return {
            "curve": curve,
            "magnitude": views.magnitude_frame(self.columns, self.modalities, of=self.quantity.value, thin=thinned),
            "weights": views.weight_frame(self.columns, self.modalities, rule=self.rule),
            "probes": views.probe_frame(self.columns, self.modalities, metric=self.metric, alone=alone_scores),
        }

    def _show_error(self, error: Exception) -> None:
        """In words, until it is dismissed; details folded."""
        self.error = error
        what, do = getattr(error, "what", f"{type(error).__name__}: {error}"), getattr(error, "do", "")
        where = getattr(error, "where", "")
        lines = [f"<b>{escape(first_upper(what))}.</b>", escape(where), escape(f"To do: {do}.") if do else ""]
        details = escape("".join(traceback.format_exception(error)))
        text = ip.HTML(f"{' '.join(line for line in lines if line)}<details><summary>Details</summary><pre>{details}</pre></details>")
        presses = [("Dismiss", self._dismiss)]
        if self.session is not None and self.session.can_go_back:
            presses.insert(0, (f"Keep epochs 1 to {self.session.epochs} as a run", self._stop))
            presses.insert(0, (f"Go back to epoch {self.session.epochs} with learning rate {plainly(self._gentler())}", self._go_back))
        made = []
        for words, action in presses:
            button = ip.Button(description=words, layout={"width": "auto"})
            button.on_click(lambda pressed, action=action: action())
            made.append(button)
        self.error_box.children = [text, ip.HBox(made)]
        self.error_box.add_class("wb-error")

    def _dismiss(self) -> None:
        self.error, self.error_box.children = None, []
        self.error_box.remove_class("wb-error")

    # Life

    def close(self) -> None:
        """Ends the training and the painter; nothing that is not saved is written."""
        session, self.session = self.session, None
        if session is not None:
            session.close()
        self.painter.close()
        self.keys.pressed = {}
        self.word = CLOSED
        with PAINT:
            self.state.value = "[ Closed ]"
            for widget in (*self.buttons.values(), *self.choices.named.values(), self.pin_choice):
                widget.disabled = True

    def wait(self, seconds: float = 600.0) -> None:
        """Waits until nothing trains and everything is drawn (for scripts and tests; never in a callback)."""
        end = time.monotonic() + seconds
        while self._is_running and time.monotonic() < end:
            time.sleep(0.02)
        self.painter.settle(10.0)

    def train_here(self) -> None:
        """Trains in this cell and shows the last frame as figures that need no kernel.

        Raises:
            WorkbenchError: the training failed.
        """
        from workbench.figures import show

        self._start()
        session = self.session
        while session.state in RUNNING and not session.wait(0.1):
            pass
        self.painter.settle(60)
        frames, panels = self.frames(), empty_panels(self.modalities, self.metric, self.width)
        self.close()
        self.is_still = True
        if session.state != FINISHED:
            raise session.error or TrainingError(f"the training ended as {session.state}")
        for name, frame in frames.items():
            show(still(panels[name], frame))

    def say(self) -> str:
        """What was kept, in one sentence."""
        if self.saved is None:
            return "Nothing is kept yet: press Start, then Stop, and run this cell again."
        run = self.saved
        changed = ", ".join(
            f"{Change(**change)} after epoch {change['epoch']}" for change in run.config.get("changes", []) if change["setting"] != "training"
        )
        scores = ", ".join(f"{split} {score(run.metrics[split][run.config['headline']])}" for split in ("valid", "test") if split in run.metrics)
        reached = f"{run.variant} on {run.config['dataset']}, seed {run.seed}: {metric_title(run.config['headline'])} {scores}"
        return f"{reached} (best of {run.metrics['epochs']} epochs: {run.metrics['best_epoch']}, chosen on valid){f'; {changed}' if changed else ''}."

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return {"text/plain": self.sentence.value} if self.is_still else self.box._repr_mimebundle_(**options)


def studio(data: str = "opinions/starved", method: str = "lf_dnn", *, interactive: bool = True, **settings: Any) -> Studio:
    """Opens the training studio; a second one ends the first.

    Args:
        data: a data set's name.
        method: a method's name.
        interactive: False trains in the cell and shows the last frame as figures with captions (what a report shows).
        settings: see `Studio`.

    Raises:
        WorkbenchError: an unknown name; without controls also a training that failed.
    """
    made = Studio(data, method, **settings)
    alone("studio", made)
    if not interactive:
        made.train_here()
    return made


def empty_panels(modalities: Sequence[str], metric: str, width: int) -> dict[str, go.Figure]:
    """The four figures without any numbers."""
    return {
        "curve": views.curve_panel(modalities, metric, width=width),
        "magnitude": views.magnitude_panel(modalities, width=width),
        "weights": views.weight_panel(modalities, width=width),
        "probes": views.probe_panel(modalities, metric, width=width),
    }


def still(figure: go.Figure, frame: views.Frame) -> go.Figure:
    """A panel with its numbers as a figure that needs no kernel."""
    for trace in figure.data:
        if trace.name in frame.traces:
            trace.update(frame.traces[trace.name])
    figure.update_layout(nested(frame.layout), meta={"caption": frame.sentence, "alt": frame.sentence})
    return figure


def nested(layout: Mapping[str, Any]) -> dict[str, Any]:
    """`{"title.text": x}` with the underscores that plotly reads: `{"title_text": x}`."""
    return {key.replace(".", "_"): value for key, value in layout.items()}


def add_epoch(columns: dict[str, list[float]], epoch: Any, modalities: Sequence[str]) -> None:
    """One epoch (`workbench.session.Shown`) as a further value of every column; nan where nothing was measured."""
    row = {"epoch": epoch.number, "seconds": epoch.seconds}
    row |= {f"loss.{split}": value for split, value in epoch.loss.items()} | {f"score.{split}": value for split, value in epoch.score.items()}
    for name in modalities:
        for column, values in (("gradient", epoch.gradient), ("update", epoch.update), ("weight", epoch.weight), ("probe", epoch.probes)):
            row[f"{column}.{name}"] = values.get(name, float("nan"))
    for key, value in row.items():
        columns.setdefault(key, []).append(float(value))


def columns_of(run: Run) -> dict[str, list[float]]:
    """Scores and losses of a finished run, epoch by epoch."""
    history = run.trace["history"].to_dataset()["score"]
    found = {"epoch": [float(number) for number in history["epoch"].values]}
    for split in ("train", "valid"):
        for column, metric in (("score", run.config["headline"]), ("loss", "loss")):
            found[f"{column}.{split}"] = [float(value) for value in history.sel(split=split, metric=metric).values]
    return found


def primary_in(word: str) -> str:
    """The one primary button of a state; none while something is on its way."""
    return {TRAINING: "pause", PAUSED: "start", READY: "start", STOPPED: "start", FINISHED: "start", FAILED: "start"}.get(word, "")


def buttons_in(word: str, *, has_epochs: bool, is_saved: bool) -> dict[str, tuple[bool, str]]:
    """Which buttons can be pressed in a state, and why not."""
    running, ended = word in (STARTING, TRAINING, PAUSING, PAUSED), word in ENDED
    nothing = "nothing trains yet: press Start"
    over = "it has ended: press Start again" if ended else nothing
    busy = f"it is {word.lower()}"
    return {
        "start": (word in (READY, PAUSED) or ended, "train with what the controls say" if word != PAUSED else "go on (K)"),
        "pause": (word in (TRAINING, STARTING), "wait after this epoch (K)" if word in (TRAINING, STARTING) else busy if running else over),
        "step": (word in (READY, TRAINING, PAUSED) or ended, "one epoch, then pause (.)"),
        "stop": (running, "end here, keep the best epoch, write the run (S)" if running else busy if word == STOPPING else over),
        "reset": (True, "back to how it opened; what is not saved is gone"),
        "pin": (has_epochs, "keep these curves as dotted lines" if has_epochs else "there is no curve yet"),
        "save": (
            running and has_epochs,
            "write the run as it stands; the training goes on" if running else "it was written when it ended" if is_saved else over,
        ),
        "code": (True, "the lines of Python that do the same"),
    }
