"""The imbalance dial without a browser: what is pressed, and what is shown then."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets as ip
import pytest

from workbench import outcomes
from workbench.errors import ConfigError, TrainingError
from workbench.figures.dial_bars import BLANK, OLD
from workbench.outcomes import BALANCED, JOINT, VARIANTS, Kept, Setting
from workbench.widgets import Dial, dial
from workbench.widgets.dial_words import QUESTIONS

SCORES = {JOINT: 0.78, BALANCED: 0.9, "text alone": 0.8, "audio alone": 0.84, "vision alone": 0.7}


class Trained:
    """Stands for the training: knows what was asked of it, and waits while it is held."""

    def __init__(self) -> None:
        self.asked: list[tuple[Setting, str, int]] = []
        self.held = threading.Event()
        self.held.set()
        self.fails: Exception | None = None

    def __call__(self, setting: Setting, variant: str, seed: int, *, on_epoch: Callable[[Any], None], **settings: Any) -> float:
        self.asked.append((setting, variant, seed))
        while not self.held.wait(0.01):
            on_epoch(type("Epoch", (), {"number": 7}))
        on_epoch(type("Epoch", (), {"number": 8}))
        if self.fails is not None:
            raise self.fails
        return SCORES[variant] + seed / 1000


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    made = Trained()
    monkeypatch.setattr(outcomes, "train", made)
    monkeypatch.setattr(Setting, "data", lambda setting, seed: None)
    return made


@pytest.fixture
def opened(trained: Trained) -> Iterator[Callable[..., Dial]]:
    made: list[Dial] = []

    def open_one(preset: str = "starved", **options: Any) -> Dial:
        changes = options.pop("changes", {})
        made.append(Dial(Setting(preset, changes), kept=options.pop("kept", Kept()), **options))
        return made[-1]

    yield open_one
    for one in made:
        one.close()
        assert not one.trainings.is_alive
    ip.Widget.close_all()


def until(is_true: Callable[[], Any], seconds: float = 10.0) -> None:
    """Waits until something is true."""
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def drawn(shown: Dial, is_true: Callable[[], Any]) -> None:
    """Waits until something is true, and its frame whole."""
    until(is_true)
    assert shown.painter.settle(10)


def ready(shown: Dial) -> Dial:
    drawn(shown, lambda: shown.state.value.startswith("Ready"))
    return shown


def trace(shown: Dial, name: str) -> Any:
    return next(one for one in shown.figure.data if one.name == name)


# Opening


def test_it_opens_with_ceilings_and_a_question(opened: Callable[..., Dial], trained: Trained) -> None:
    trained.held.clear()
    shown = opened()
    assert list(trace(shown, "ceiling of audio").y) == [pytest.approx(0.8611, abs=1e-3)] * 2
    assert "How high will the joint model get?" in shown.sentence.value
    assert "79 times smaller. Who starves?" in shown.question.value
    until(lambda: "Training joint, seed 0: epoch 7 · 0 of 5 done" in shown.state.value)
    assert (shown.buttons["reveal"].button_style, shown.buttons["train"].button_style) == ("primary", "")


def test_the_joint_models_are_hidden_until_reveal(opened: Callable[..., Dial], trained: Trained) -> None:
    shown = ready(opened())
    drawn(shown, lambda: trace(shown, "audio").y[0] == pytest.approx(0.34))
    assert trace(shown, "joint").y[0] == 0 and ".78" not in shown.sentence.value
    assert "press Reveal" in trace(shown, "scores in words").text
    shown.guess.value = 0.9
    shown.buttons["reveal"].click()
    drawn(shown, lambda: trace(shown, "joint").y[0] == pytest.approx(0.28))
    assert trace(shown, BALANCED).y[0] == pytest.approx(0.4)
    assert "You guessed .90: it got .120 less." in shown.sentence.value
    assert shown.keys.labels["wb-dial-figure"].startswith("Audio alone could reach .861")
    assert shown.buttons["reveal"].disabled and shown.buttons["reveal"].tooltip == "it is shown"
    assert len(trained.asked) == 5  # Reveal trains nothing twice


def test_reveal_before_the_end_goes_on_with_the_training(opened: Callable[..., Dial], trained: Trained) -> None:
    trained.held.clear()
    shown = opened()
    until(lambda: trained.asked)
    shown.buttons["reveal"].click()
    until(lambda: "is being trained" in shown.sentence.value)
    trained.held.set()
    ready(shown)
    drawn(shown, lambda: trace(shown, "joint").y[0] == pytest.approx(0.28))
    assert [variant for _, variant, _ in trained.asked] == list(VARIANTS)


# Turning


def test_a_turned_dial_moves_the_ceiling_and_greys_the_bars(opened: Callable[..., Dial], trained: Trained) -> None:
    shown = ready(opened())
    shown.buttons["reveal"].click()
    drawn(shown, lambda: trace(shown, "joint").y[0] > 0)
    shown.sliders["informativeness.audio"].value = 0.6
    drawn(shown, lambda: trace(shown, "joint").marker.color == OLD)
    assert trace(shown, "ceiling of audio").y[0] == pytest.approx(shown.ceiling["audio"]) and shown.ceiling["audio"] < 0.75
    assert set(trace(shown, "remarks").text) == {"old dials", BLANK}
    assert "the grey bars are for the old dials" in shown.sentence.value
    assert "turned: informativeness of audio 0.6" in shown.question.value
    assert shown.state.value == "Not trained yet: 1 seed of these dials. Press Train again."
    assert (shown.buttons["train"].button_style, shown.buttons["train"].disabled) == ("primary", False)
    shown.buttons["train"].click()
    ready(shown)
    drawn(shown, lambda: trace(shown, "joint").marker.color != OLD)
    assert len(trained.asked) == 10


def test_the_last_value_of_a_drag_is_drawn(opened: Callable[..., Dial]) -> None:
    shown = ready(opened())
    for place in range(40):
        shown.sliders["redundancy"].value = place / 40
    assert shown.painter.settle(10)
    assert trace(shown, "ceiling of all").y[0] == pytest.approx(outcomes.ceilings_of(Setting("starved", {"redundancy": 0.975}))["all"])
    assert shown.painter.frames < 30  # not one for each


def test_turning_ends_the_training_and_coming_back_answers_at_once(opened: Callable[..., Dial], trained: Trained) -> None:
    shown = ready(opened())
    shown.buttons["reveal"].click()
    trained.held.clear()
    shown.sliders["noise"].value = 0.5
    until(lambda: not shown.buttons["train"].disabled)
    shown.buttons["train"].click()
    until(lambda: len(trained.asked) == 6)
    shown.sliders["noise"].value = 0.02
    drawn(shown, lambda: trace(shown, "joint").y[0] == pytest.approx(0.28) and trace(shown, "joint").marker.color != OLD)
    until(lambda: "Ready: 1 seed" in shown.state.value)
    assert shown.outcomes["value"].tolist() == [*SCORES.values()] and len(trained.asked) == 6


def test_five_presets_ask_and_reset_returns(opened: Callable[..., Dial], trained: Trained) -> None:
    shown = ready(opened("noisy", changes={"redundancy": 0.7}, guess=0.6))
    shown.buttons["reveal"].click()
    for name, (question, _) in QUESTIONS.items():
        assert shown.presets[name].description == question
        shown.presets[name].click()
        drawn(shown, lambda question=question: question in shown.question.value)
        assert shown.sliders["redundancy"].value == Setting(name).value("redundancy")
        drawn(shown, lambda: not shown.buttons["reveal"].disabled)
        assert trace(shown, "joint").y[0] == 0
        ready(shown)
    shown.guess.value = 0.8
    shown.buttons["reset"].click()
    until(lambda: "turned: redundancy 0.7" in shown.question.value)
    assert (shown.setting, shown.guess.value) == (Setting("noisy", {"redundancy": 0.7}), 0.6)
    assert len(trained.asked) == 30  # what was trained is kept


def test_a_preset_begins_without_the_bars_of_another(opened: Callable[..., Dial], trained: Trained) -> None:
    shown = ready(opened())
    drawn(shown, lambda: trace(shown, "audio").y[0] > 0)
    trained.held.clear()
    shown.presets["noisy"].click()
    until(lambda: trace(shown, "audio").y[0] == 0)
    until(lambda: "epoch 7" in trace(shown, "scores in words").text)
    assert set(trace(shown, "remarks").text) == {BLANK}


def test_more_seeds_are_dots_and_give_intervals(opened: Callable[..., Dial], trained: Trained) -> None:
    shown = ready(opened())
    shown.buttons["reveal"].click()
    shown.seeds.value = 3
    until(lambda: "2 seeds of these dials" in shown.state.value)
    shown.buttons["train"].click()
    until(lambda: "Ready: 3 seeds" in shown.state.value)
    drawn(shown, lambda: len(trace(shown, "joint, seeds").y) == 3)
    assert list(trace(shown, "joint, seeds").y) == pytest.approx([0.78, 0.781, 0.782])
    assert "(3 seeds)" in shown.sentence.value and "95 %" in shown.sentence.value
    assert len(trained.asked) == 15


# Failures, code, ending


def test_a_failed_training_is_said_and_the_dial_goes_on(opened: Callable[..., Dial], trained: Trained) -> None:
    trained.fails = TrainingError("the loss became <nan>", do="lower the rate")
    shown = opened()
    drawn(shown, lambda: shown.failed.layout.display is None)
    assert "the loss became &lt;nan&gt;" in shown.error.value and "<nan>" not in shown.error.value
    assert "Traceback" in shown.error.value
    trained.fails = None
    shown.buttons["reveal"].click()
    ready(shown)
    shown.buttons["dismiss"].click()
    drawn(shown, lambda: shown.failed.layout.display == "none")


def test_a_press_that_fails_is_said(opened: Callable[..., Dial], monkeypatch: pytest.MonkeyPatch) -> None:
    shown = ready(opened())

    def broken(*arguments: Any) -> None:
        raise RuntimeError("no <thread>")

    monkeypatch.setattr(shown.trainings, "want", broken)
    shown.presets["noisy"].click()
    until(lambda: "RuntimeError: no &lt;thread&gt;" in shown.error.value)


def test_the_code_opens_the_same_state(opened: Callable[..., Dial]) -> None:
    shown = opened()
    shown.sliders["hardness.audio"].value = 0.8
    assert 'dial("starved", hardness={"audio": 0.8})\n' in shown.code()
    assert shown.code().endswith('dial("starved", hardness={"audio": 0.8}, interactive=False)')
    shown.guess.value, shown.seeds.value = 0.7, 3
    assert 'dial("starved", hardness={"audio": 0.8}, seeds=3)\n' in shown.code()
    assert "seeds=3, guess=0.7, interactive=False)" in shown.code()
    said: list[Any] = []
    exec(shown.code().replace("from workbench.widgets import dial", ""), {"dial": lambda *names, **dials: said.append((names, dials))})
    assert said[0] == (("starved",), {"hardness": {"audio": 0.8}, "seeds": 3})
    shown.buttons["code"].click()
    assert shown.shown.layout.display is None and shown.buttons["code"].description == "Hide the code"
    until(lambda: "&quot;audio&quot;: 0.8" in shown.shown.value)


def test_keys_do_what_the_buttons_do(opened: Callable[..., Dial]) -> None:
    shown = ready(opened())
    shown.keys._hear(None, {"key": "r"}, None)
    drawn(shown, lambda: trace(shown, "joint").y[0] > 0)
    shown.keys._hear(None, {"key": "c"}, None)
    shown.keys._hear(None, {"key": "?"}, None)
    assert shown.shown.layout.display is None and shown.help.layout.display is None
    assert shown.keys.groups["wb-dial-hardness-audio"] == "hardness of audio"


def test_a_second_one_ends_the_first(opened: Callable[..., Dial], trained: Trained) -> None:
    trained.held.clear()
    first = opened()
    until(lambda: trained.asked)
    second = opened()
    assert not first.trainings.is_alive
    until(lambda: not first.painter.is_alive)
    assert first.state.value.startswith("Closed") and first.sliders["noise"].disabled
    first._turned("noise", 0.3)
    assert first.setting == Setting("starved")
    assert second.trainings.is_alive and second.painter.is_alive
    second.close()


def test_nothing_is_left_running(opened: Callable[..., Dial]) -> None:
    shown = ready(opened())
    shown.close()
    until(lambda: not shown.painter.is_alive)
    assert not [thread.name for thread in threading.enumerate() if thread.name in ("workbench-outcomes", "workbench-painter") and thread.is_alive()]


# The call


def test_without_controls_it_trains_in_the_cell_and_shows_the_picture(trained: Trained, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(outcomes, "train", lambda setting, variant, seed, **settings: SCORES[variant] + seed / 100)
    shown: list[Any] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, **options: shown.append((bundle, options)))
    assert dial("starved", seeds=2, guess=0.9, interactive=False, plan={"epochs": 1}, hardness={"audio": 0.8}) is None
    (picture, options), (caption, _) = shown
    assert "application/vnd.plotly.v1+json" in picture
    assert options["metadata"]["workbench"]["alt"].startswith("Audio alone could reach .861")
    assert caption["text/plain"].endswith('dial("starved", hardness={"audio": 0.8}).')
    assert "the joint model gets .785 ± .007 (2 seeds)" in caption["text/plain"] and "You guessed .90" in caption["text/plain"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "starvd"}, "unknown preset"),
        ({"preset": "emotions"}, "not emotions"),
        ({"hardnes": 1}, "unknown dial"),
        ({"seeds": 2}, "the dial has no 2 seeds"),
        ({"guess": 1.5}, "a guess of 1.5 is no accuracy"),
        ({"guess": 0.2, "interactive": False}, "a guess of 0.2 is no accuracy"),
    ],
)
def test_a_wrong_call_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dial(**arguments)
