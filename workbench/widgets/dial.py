"""The imbalance dial: turn what each modality knows and how hard it is, guess how high the joint model gets, and see it trained.

    dial()                                                     # opens on `starved`
    dial("starved", hardness={"audio": 0.8})                   # any state has such a line; "Show me the code" gives it
    dial("starved", seeds=3, interactive=False)                # trains in the cell and shows the picture (what reports do)

Wiring only. `workbench.outcomes` computes ceilings and trains on a thread of its own, `workbench.figures.dial_bars` draws, `Painter` is the one
thread that paints; callbacks note what is wanted and wake the painter.
"""

import threading
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import ipywidgets as ip

from workbench.data.simulator.dials import MODALITIES, Dials
from workbench.errors import ConfigError
from workbench.figures.captions import attach, count
from workbench.figures.dial_bars import Place, outcome_bars, outcome_frame, outcome_panel
from workbench.figures.showing import show
from workbench.outcomes import BALANCED, JOINT, KEPT, METRIC, VARIANTS, Kept, Setting, Step, Trainings, ceilings_of, setting_of, train_all
from workbench.tasks import metric_title
from workbench.widgets.dial_words import HELP, QUESTIONS, call, code_of, css_class, said, spoken, turned_words
from workbench.widgets.keys import Keys
from workbench.widgets.live import LiveFigure, Painter, alone
from workbench.widgets.looks import style_sheet

JOINTS = (JOINT, BALANCED)

SLIDERS = {
    "informativeness": ("Informativeness", tuple(f"informativeness.{name}" for name in MODALITIES)),
    "hardness": ("Hardness", ("hardness.audio", "hardness.vision")),
    "whole": ("Of the whole", ("redundancy", "synergy", "noise")),
}
"""By group its title and its dials."""

SEEDS = (1, 3, 5)

FRAME_SECONDS = 0.1
"""Ceilings move at most ten times a second."""

STYLE = """<style>
.wb-dial .wb-dial-group { width: 236px; }
.wb-dial .wb-dial-side { flex: 1 1 320px; min-width: 280px; max-width: 680px; }
.wb-dial .wb-dial-preset.wb-chosen { font-weight: 700; box-shadow: inset 0 -3px 0 var(--jp-ui-font-color1, #1A1A1A); }
.wb-dial .wb-dial-question .widget-html-content { font-size: 15px; font-weight: 600; }
.wb-dial .widget-readout { width: 38px; min-width: 38px; }
</style>"""


class Dial:
    """The dial; see `dial`."""

    def __init__(
        self, setting: Setting, *, guess: float | None = None, seeds: int = 1, plan: Mapping[str, Any] | None = None, kept: Kept | None = None
    ) -> None:
        self._opening, self._setting, self._seeds = setting, setting, seeds
        self._guess, self._was_guessed = _checked_guess(guess), guess is not None
        self._first = (self._seeds, self._guess)
        # Outcomes of another plan are other outcomes.
        self.kept = kept if kept is not None else Kept() if plan else KEPT
        self._lock = threading.RLock()
        self._revealed: set[Dials] = set()
        # The joint models are hidden until somebody presses Reveal; a preset that was not revealed yet hides them again.
        self._is_asking = True
        self._is_setting = False
        self._step: Step | None = None
        self._wanted: tuple[Dials, int] | None = None
        self._old: Any = None
        self._error: Exception | None = None
        self._is_closed = False
        self._painted: dict[str, dict[str, Any]] = {}
        self._build()
        self._draw([])
        alone("dial", self)
        self.painter = Painter(self._draw, seconds=FRAME_SECONDS, share=0.25)
        self.trainings = Trainings(self._hear, kept=self.kept, plan=plan)
        self._train()

    # What it shows, in Python

    @property
    def setting(self) -> Setting:
        """Where the dials stand."""
        with self._lock:
            return self._setting

    @property
    def ceiling(self) -> dict[str, float]:
        """The exact ceilings of these dials."""
        return ceilings_of(self.setting)

    @property
    def outcomes(self) -> Any:
        """What was trained for these dials: variant, label, kind, seed, value."""
        return self.kept.table(self.setting)

    def code(self) -> str:
        """The lines that open this state again, and that give the same picture without controls."""
        with self._lock:
            setting, seeds, guess = self._setting, self._seeds, self._guess if self._was_guessed else None
        return code_of(setting, seeds, max(seeds, self._seeds_there()), guess)

    def close(self) -> None:
        """Ends its threads; the picture stays."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self.trainings.close(seconds=2.0)
        self.painter.close()
        for control in (*self.sliders.values(), *self.buttons.values(), *self.presets.values(), self.guess, self.seeds):
            control.disabled = True
        self.keys.pressed = {}
        self.state.value = "Closed. Run the cell again to open it."

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.box._repr_mimebundle_(**options)

    # The controls

    def _build(self) -> None:
        """All widgets, once."""
        self.sliders = {name: self._slider(name) for _, names in SLIDERS.values() for name in names}
        self.presets = {name: self._preset_button(name) for name in QUESTIONS}
        words = {
            "reveal": ("Reveal", self._reveal),
            "train": ("Train again", self._train_again),
            "code": ("Show me the code", self._show_code),
            "reset": ("Reset", self._reset),
            "help": ("?", self._show_help),
            "dismiss": ("Dismiss", self._dismiss),
        }
        self.buttons = {name: self._button(name, *about) for name, about in words.items()}
        self.buttons["reset"].tooltip = "back to the opening state"
        self.buttons["help"].tooltip = "keys, and what the ceilings are"
        self.buttons["code"].tooltip = "the line that opens this state"
        self.guess = ip.FloatSlider(
            self._guess, min=0.5, max=1.0, step=0.01, description="your guess", readout_format=".2f", layout={"width": "370px"},
            style={"description_width": "76px"}, tooltip="how high the joint model will get: moves the dotted outline",
        )  # fmt: skip
        self.guess.add_class("wb-dial-guess")
        self.guess.observe(self._guessed, "value")
        self.seeds = ip.ToggleButtons(
            options=[(str(number), number) for number in SEEDS], value=self._seeds, style={"button_width": "38px"},
            tooltips=[count(number, "draw and training", "draws, each trained anew") for number in SEEDS], layout={"width": "auto"},
        )  # fmt: skip
        self.seeds.add_class("wb-dial-seeds")
        self.seeds.observe(self._chose_seeds, "value")
        self.question, self.state, self.sentence, self.error, self.shown, self.help = (ip.HTML() for _ in range(6))
        for name, widget in {"question": self.question, "state": self.state, "sentence": self.sentence, "code": self.shown}.items():
            widget.add_class(f"wb-dial-{name}" if name != "code" else "wb-dial-lines")
        self.state.add_class("wb-state")
        self.sentence.add_class("wb-sentence")
        self.shown.add_class("wb-code")
        self.help.value = f"<p class='wb-dial-help'>{escape(HELP)}</p>"
        self.figure = LiveFigure(outcome_panel(MODALITIES, JOINTS, metric=metric_title(METRIC)))
        self.keys = Keys(
            "wb-dial",
            {"r": self._safely(self._reveal), "t": self._safely(self._train_again), "c": self._safely(self._show_code), "?": self._show_help},
            groups={css_class(name): spoken(name) for name in self.sliders} | {"wb-dial-guess": "your guess", "wb-dial-seeds": "number of seeds"},
        )
        self._arrange()

    def _arrange(self) -> None:
        """Everything into its place, in the order in which it is read."""
        row = {"flex_flow": "row wrap", "align_items": "center"}
        groups = []
        for name, (title, dials) in SLIDERS.items():
            group = ip.VBox([ip.HTML(f"<b>{escape(title)}</b>"), *(self.sliders[one] for one in dials)])
            group.add_class("wb-dial-group")
            group.add_class(f"wb-dial-{name}")
            groups.append(group)
        asked = ip.HBox([self.guess, self.buttons["reveal"], ip.HTML("seeds"), self.seeds, self.buttons["train"]], layout=row)
        self.failed = ip.VBox([self.error, self.buttons["dismiss"]], layout={"display": "none"})
        self.failed.add_class("wb-error")
        self.failed.add_class("wb-dial-failed")
        self.shown.layout.display = self.help.layout.display = "none"
        picture = ip.Box([self.figure])
        picture.add_class("wb-dial-figure")
        side = ip.VBox([self.sentence, self.failed, ip.HBox([self.buttons["code"], self.buttons["help"]]), self.shown, self.help])
        side.add_class("wb-dial-side")
        parts = [
            style_sheet(),
            style_sheet(STYLE),
            ip.HBox([*self.presets.values(), self.buttons["reset"]], layout=row),
            self.question,
            ip.HBox(groups, layout={"flex_flow": "row wrap"}),
            asked,
            self.state,
            ip.HBox([picture, side], layout={"flex_flow": "row wrap", "align_items": "flex-start"}),
            self.keys,
        ]
        self.box = ip.VBox(parts)
        for name in ("wb-live", "wb-dial"):
            self.box.add_class(name)

    def _slider(self, name: str) -> ip.FloatSlider:
        """One dial."""
        field = Dials.model_fields[name.partition(".")[0]]
        made = ip.FloatSlider(
            self._setting.value(name), min=0.0, max=1.0, step=0.01 if name == "noise" else 0.05, description=name.rpartition(".")[2],
            readout_format=".2f", style={"description_width": "88px"}, layout={"width": "232px"}, tooltip=f"{spoken(name)}: {field.description}",
        )  # fmt: skip
        made.add_class(css_class(name))
        made.observe(lambda change: self._turned(name, change["new"]), "value")
        return made

    def _preset_button(self, name: str) -> ip.Button:
        question, about = QUESTIONS[name]
        made = self._button(f"preset-{name}", question, lambda: self._take(Setting(name)))
        made.tooltip = f"{name}: {about}"
        made.add_class("wb-dial-preset")
        return made

    def _button(self, name: str, words: str, action: Callable[[], None]) -> ip.Button:
        made = ip.Button(description=words, layout={"width": "auto"})
        made.add_class(f"wb-dial-{name}")
        pressed = self._safely(action)
        made.on_click(lambda button: pressed())
        return made

    def _safely(self, action: Callable[[], None]) -> Callable[[], None]:
        """The same action; what it raises is shown, and the dial stays as it is."""

        def do() -> None:
            try:
                action()
            except Exception as error:
                with self._lock:
                    self._error = error
            self._wake()

        return do

    # Callbacks: note what is wanted, and wake the painter

    def _turned(self, name: str, value: float) -> None:
        with self._lock:
            if self._is_setting or self._is_closed:
                return
            # Of the old dials nothing more is needed: what is in training ends within an epoch.
            before, self._setting = self._setting.dials, self._setting.turned(name, value)
            if self._setting.dials == before:
                return
            self._leave()
        self._wake()

    def _take(self, setting: Setting) -> None:
        """Another preset, or the opening state: asks anew where it was not revealed yet, and trains at once."""
        with self._lock:
            self._setting, self._old, self._error = setting, None, None
            self._is_asking = setting.dials not in self._revealed
            self._set_sliders()
            self._train()

    def _reset(self) -> None:
        with self._lock:
            self._revealed.discard(self._opening.dials)
            self.seeds.value, self.guess.value = self._first
            self._was_guessed = False
            self._take(self._opening)

    def _set_sliders(self) -> None:
        self._is_setting = True
        try:
            for name, slider in self.sliders.items():
                slider.value = self._setting.value(name)
        finally:
            self._is_setting = False

    def _guessed(self, change: Mapping[str, Any]) -> None:
        with self._lock:
            self._guess, self._was_guessed = round(float(change["new"]), 2), True
        self._wake()

    def _chose_seeds(self, change: Mapping[str, Any]) -> None:
        with self._lock:
            self._seeds = int(change["new"])
        self._wake()

    def _reveal(self) -> None:
        with self._lock:
            self._revealed.add(self._setting.dials)
            self._is_asking, self._was_guessed = False, True
            self._train()

    def _train_again(self) -> None:
        with self._lock:
            self._error = None
            self._train()

    def _show_code(self) -> None:
        self.shown.layout.display = "none" if self.shown.layout.display is None else None
        self.buttons["code"].description = "Show me the code" if self.shown.layout.display == "none" else "Hide the code"

    def _show_help(self) -> None:
        self.help.layout.display = "none" if self.help.layout.display is None else None

    def _dismiss(self) -> None:
        with self._lock:
            self._error = None

    def _train(self) -> None:
        """Trains what is missing of these dials, unless that is on its way."""
        wanted = (self._setting.dials, self._seeds)
        if self._is_closed or wanted == self._wanted:
            return
        if not self.kept.missing(self._setting, range(self._seeds)):
            self._leave()
            return
        self._wanted, self._step = wanted, None
        self.trainings.want(self._setting, self._seeds)

    def _leave(self) -> None:
        if self._wanted is not None:
            self._wanted, self._step = None, None
            self.trainings.leave()

    def _hear(self, kind: str, content: Any) -> None:
        """What the trainings tell, on their thread."""
        with self._lock:
            if kind == "step" and self._wanted is not None:
                self._step = content
            elif kind == "failed":
                self._wanted, self._step, self._error = None, None, content
            elif kind == "idle" and self._wanted is not None and not self.kept.missing(self._setting, range(self._wanted[1])):
                self._wanted, self._step = None, None
        self._wake()

    def _wake(self) -> None:
        if not self._is_closed:
            self.painter.put("changed")

    # The picture, on the painter's thread

    def _seeds_there(self) -> int:
        found = self.outcomes
        return int(found["seed"].nunique()) if len(found) else 0

    def _draw(self, events: list[Any]) -> None:
        """One frame; what goes wrong in it is shown by the next one."""
        try:
            self._frame(is_whole=not events)
        except Exception as error:
            self._error = error
            self.failed.layout.display, self.error.value = None, said(error)

    def _frame(self, *, is_whole: bool) -> None:
        """Everything as it is now; only what changed is sent, or all of it: that heals what got lost."""
        with self._lock:
            setting, guess, error = self._setting, self._guess, self._error
            is_asking, is_training, step = self._is_asking, self._wanted is not None, self._step
            missing = self.kept.missing(setting, range(self._seeds))
            scores, old = self.kept.table(setting), self._old
            if len(scores):
                self._old = scores
        place = Place(
            ceilings_of(setting),
            scores,
            old,
            guess,
            is_hidden=is_asking,
            waiting=self._waiting(missing, step, is_training=is_training, is_asking=is_asking),
        )
        traces, sentences = outcome_frame(place, JOINTS)
        changed = {name: values for name, values in traces.items() if is_whole or values != self._painted.get(name)}
        self._painted = traces
        self.figure.paint(changed)
        self.sentence.value = f"<p>{escape(' '.join(sentences))}</p>"
        self.keys.labels = {"wb-dial-figure": " ".join(sentences)}
        self._say(setting, missing, step, error, is_asking=is_asking, is_training=is_training)

    def _waiting(self, missing: list[tuple[int, str]], step: Step | None, *, is_training: bool, is_asking: bool) -> dict[str, str]:
        """What stands below a column that has nothing to show yet."""
        lacking = {variant for _, variant in missing} if is_training else set()
        words = {variant: "waiting" for variant in VARIANTS if variant in lacking}
        if is_training and step is not None and step.variant in words:
            words[step.variant] = f"epoch {step.epoch}" if step.epoch else "starting"
        trained = set(VARIANTS) - {variant for _, variant in missing}
        return words | ({variant: "press Reveal" for variant in JOINTS if variant in trained} if is_asking else {})

    def _say(
        self, setting: Setting, missing: list[tuple[int, str]], step: Step | None, error: Exception | None, *, is_asking: bool, is_training: bool
    ) -> None:  # fmt: skip
        """Question, state, code and buttons."""
        if self._is_closed:
            return
        question, known = QUESTIONS[setting.preset]
        about = f"{setting.preset}, turned: {turned_words(setting)}" if setting.changes else f"{known}. {question}"
        self.question.value = escape(about)
        self.state.value = escape(self._state_words(missing, step, is_asking=is_asking, is_training=is_training))
        self.shown.value = f"<pre>{escape(self.code())}</pre>"
        for name, button in self.presets.items():
            (button.add_class if name == setting.preset else button.remove_class)("wb-chosen")
        reveal, again = self.buttons["reveal"], self.buttons["train"]
        reveal.disabled, reveal.button_style = not is_asking, "primary" if is_asking else ""
        reveal.tooltip = "shows what the joint models reach (R)" if is_asking else "it is shown"
        can_train = bool(missing) and not is_training
        again.disabled, again.button_style = not can_train, "primary" if can_train and not is_asking else ""
        again.tooltip = "trains these dials (T)" if can_train else "being trained" if is_training else "trained already"
        self.failed.layout.display = "none" if error is None else None
        self.error.value = "" if error is None else said(error)

    def _state_words(self, missing: list[tuple[int, str]], step: Step | None, *, is_asking: bool, is_training: bool) -> str:
        """Where things stand, in words."""
        if is_training and step is not None:
            epoch = f"epoch {step.epoch}" if step.epoch else "first epoch"
            return f"Training {step.variant}, seed {step.seed}: {epoch} · {step.done} of {step.wanted} done"
        if is_training:
            return "Starting to train"
        if missing:
            left = len({seed for seed, _ in missing})
            pressed = "Reveal" if is_asking else "Train again"
            return f"Not trained yet: {count(left, 'seed')} of these dials. Press {pressed}."
        return f"Ready: {count(self._seeds_there(), 'seed')} of these dials trained."


def dial(
    preset: str = "starved", *, guess: float | None = None, seeds: int = 1, interactive: bool = True, plan: Mapping[str, Any] | None = None,
    **dials: Any,
) -> Dial | None:  # fmt: skip
    """Opens the imbalance dial; a second one ends the first.

    Args:
        preset: where it opens: starved, redundant, synergy, noisy, balanced.
        guess: how high the joint model will get, .5 to 1; by default the outline stands at .75.
        seeds: how many draws are trained, 1, 3 or 5 (without controls any number).
        interactive: False trains in the cell and shows the picture with its caption (what a report shows).
        plan: changes to the method's plan, e.g. `{"epochs": 5}`.
        dials: dials that are turned, as `opinions` takes them: `hardness={"audio": 0.8}`, `redundancy=0.5`.

    Raises:
        ConfigError: an unknown preset, dial or number of seeds, or a value out of bounds.
    """
    setting = setting_of(preset, Setting(preset, dials).dials.model_dump())
    if interactive and seeds not in SEEDS:
        raise ConfigError(f"the dial has no {seeds} seeds", expected="1, 3 or 5")
    if interactive:
        return Dial(setting, guess=guess, seeds=seeds, plan=plan)
    _checked_guess(guess)
    scores = train_all(setting, range(seeds), kept=Kept() if plan else KEPT, plan=plan)
    figure = outcome_bars(scores, ceiling=ceilings_of(setting), metric=metric_title(METRIC), guess=guess, joint=JOINTS)
    caption = figure.layout.meta["caption"]
    show(attach(figure, figure.layout.meta["alt"], caption.removeprefix(figure.layout.meta["alt"]), f"{call(setting, {})}."))
    return None


def _checked_guess(guess: float | None) -> float:
    """A guess within the picture.

    Raises:
        ConfigError: it is not.
    """
    if guess is not None and not 0.5 <= guess <= 1:
        raise ConfigError(f"a guess of {guess} is no accuracy that the dial shows", expected="a number from .5 (chance) to 1")
    return 0.75 if guess is None else round(float(guess), 2)
