"""The studio without a browser: what the controls say, what each press does, what is drawn. Widgets hear `.value =` without a kernel."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from workbench import training as trainings
from workbench.data import load
from workbench.errors import ConfigError, TrainingError
from workbench.fitting import fit
from workbench.runs import load_all
from workbench.widgets import studio as open_studio
from workbench.widgets.studio import Studio, buttons_in, primary_in

OPTIONS = {"train": 96, "valid": 60, "test": 40}
PLAN = {"epochs": 6, "patience": 99, "batch_size": 16, "device": "cpu"}


@pytest.fixture
def make(tmp_path) -> Iterator[Callable[..., Studio]]:
    """Studios on little data; none outlives its test."""
    made: list[Studio] = []

    def call(**settings: Any) -> Studio:
        made.append(Studio(**{"plan": PLAN, "config": {"hidden_size": 8, "post_size": 8}, "options": OPTIONS, "runs": tmp_path, **settings}))
        return made[-1]

    yield call
    for studio in made:
        session = studio.session
        studio.close()
        assert session is None or session.wait(20)


def press(studio: Studio, name: str) -> None:
    assert not studio.buttons[name].disabled, f"{name} cannot be pressed in {studio.word}: {studio.buttons[name].tooltip}"
    studio.buttons[name].click()


def until(is_so: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.005)


def word(studio: Studio) -> str:
    return re.search(r"\[ (.*) \]", studio.state.value)[1]


def points(studio: Studio, panel: str, trace: str) -> list[float]:
    found = next(one for one in studio.figures[panel].data if one.name == trace)
    return [] if found.y is None or found.y[0] is None else [float(value) for value in found.y]


# Opening


def test_it_opens_with_the_ceilings_drawn_and_start_to_press(make):
    studio = make()
    ceiling = load("opinions/starved", **OPTIONS).ceiling
    assert points(studio, "curve", "ceiling") == pytest.approx([ceiling["all"]["acc2_non0"]] * 2, abs=1e-6)
    assert points(studio, "curve", "audio alone") == pytest.approx([ceiling["audio"]["acc2_non0"]] * 2, abs=1e-6)
    assert "could reach" in studio.sentence.value
    assert "Press Start" in studio.sentence.value
    assert word(studio) == "Ready"
    assert [name for name, button in studio.buttons.items() if button.button_style == "primary"] == ["start"]
    assert studio.buttons["pause"].disabled
    assert "press Start" in studio.buttons["pause"].tooltip


def test_controls_come_from_the_schemas_with_what_was_published(make):
    studio = make(plan={})
    rate = studio.choices.groups["plan"]["plan.learning_rate"]
    assert rate.value == 2e-3, "the preset of lf_dnn for opinions"
    assert rate.is_live
    assert not studio.choices.groups["config"]["config.hidden_size"].is_live
    assert rate.widget.max == 2  # 10^2: the schema's le=100
    assert "rate of all parameters" in rate.widget.tooltip
    assert studio.choices.settings() == {"balance": "none", "config": {"hidden_size": 8, "post_size": 8}, "balance_config": {}, "plan": {"seed": 0}}
    rate.widget.value = 1e-3
    assert "default 0.002" in rate.note.value
    assert studio.choices.settings()["plan"] == {"seed": 0, "learning_rate": 1e-3}


def test_dials_are_options_of_the_data_and_move_the_ceilings(make):
    studio = make()
    before = points(studio, "curve", "audio alone")
    studio.choices.groups["data"]["data.informativeness.audio"].widget.value = 0.5
    assert studio.choices.options() == {"seed": 0, **OPTIONS, "informativeness": {"audio": 0.5}}
    studio.painter.settle()
    assert points(studio, "curve", "audio alone")[0] < before[0] - 0.1


def test_controls_can_be_hidden_by_name(make):
    studio = make(show=["balance"])
    seen = studio.box.children[1].children
    assert studio.choices.balance in seen
    assert studio.choices.method not in seen


@pytest.mark.parametrize("name", ["lf_lstm", "mult", "delta_attention", "graph.fused"])
def test_every_method_has_its_own_controls(make, name):
    studio = make(config={})
    studio.choices.method.value = name
    assert {f"config.{field}" for field in __import__("workbench.methods", fromlist=["method"]).method(name).Config.model_fields} == set(
        studio.choices.groups["config"]
    )
    assert studio.choices.settings()["config"] == {}


def test_unknown_data_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match="opnions"):
        open_studio("opnions/starved", runs=tmp_path)


# Training


def test_a_training_grows_and_is_the_run_of_fit(make, tmp_path):
    studio = make()
    press(studio, "start")
    studio.wait()
    assert studio.painter.error is None
    assert word(studio) == "Finished"
    assert len(points(studio, "curve", "valid")) == 6
    for panel in ("magnitude", "weights"):
        assert len(points(studio, panel, "text")) == 6
    assert "Epoch 6" in studio.sentence.value
    told = fit("lf_dnn", load("opinions/starved", **OPTIONS), config={"hidden_size": 8, "post_size": 8}, plan=PLAN, runs=tmp_path / "other")
    assert studio.saved.id == told.id
    assert studio.saved.metrics["test"] == told.metrics["test"]
    assert str(studio.saved.path) in studio.note.value


def test_pause_stands_still_and_step_is_one_epoch(make):
    studio = make(plan={**PLAN, "epochs": 5000})
    press(studio, "start")
    until(lambda: len(studio.columns.get("epoch", ())) >= 2)
    studio.buttons["pause"].click()
    assert word(studio).startswith(("Pausing after epoch", "Paused")), "said at once"
    until(lambda: word(studio) == "Paused")
    studio.painter.settle()
    stood = len(studio.columns["epoch"])
    time.sleep(0.6)
    assert len(studio.columns["epoch"]) == stood
    assert studio.buttons["start"].description == "Go on"
    press(studio, "step")
    until(lambda: len(studio.columns["epoch"]) == stood + 1 and word(studio) == "Paused")
    press(studio, "start")
    until(lambda: len(studio.columns["epoch"]) > stood + 2)
    press(studio, "stop")
    studio.wait()
    assert word(studio) == "Stopped"
    assert studio.saved is not None


def test_b_fusion_is_switched_on_while_it_trains(make):
    studio = make(plan={**PLAN, "epochs": 5000})
    press(studio, "start")
    until(lambda: len(studio.columns.get("epoch", ())) >= 3)
    studio.choices.balance.value = "b_fusion"
    until(lambda: studio.rule == "b_fusion" and studio.columns["weight.text"][-1] != 1)
    studio.choices.groups["balance"]["balance.rate"].widget.value = 0.1
    until(lambda: len(studio.marks) == 2)
    studio.choices.groups["plan"]["plan.learning_rate"].widget.value = 1e-4
    until(lambda: len(studio.marks) == 3)
    press(studio, "stop")
    studio.wait()
    assert [mark.words for mark in studio.marks] == ["balance none to b_fusion", "rate 0.01 to 0.1", "learning_rate 0.002 to 0.0001"]
    changes = next(trace for trace in studio.figures["curve"].data if trace.name == "changes")
    assert list(changes.text) == [mark.words for mark in studio.marks]
    assert "b_fusion weighs" in studio.sentence.value
    assert [change["setting"] for change in studio.saved.config["changes"]] == ["balance", "balance.rate", "plan.learning_rate", "training"]


def test_what_needs_a_new_start_says_so_and_changes_nothing(make):
    studio = make(plan={**PLAN, "epochs": 5000})
    press(studio, "start")
    until(lambda: len(studio.columns.get("epoch", ())) >= 2)
    studio.choices.groups["config"]["config.hidden_size"].widget.value = 16
    assert "hidden_size takes effect with a new start" in studio.note.value
    assert studio.marks == []
    press(studio, "stop")
    studio.wait()
    assert studio.saved.config["config"]["hidden_size"] == 8
    assert studio.buttons["start"].description == "Start again"


def test_a_run_is_pinned_and_compared(make, tmp_path):
    studio = make()
    press(studio, "start")
    studio.wait()
    press(studio, "pin")
    studio.choices.balance.value = "b_fusion"
    press(studio, "start")
    studio.wait()
    assert len(points(studio, "curve", "pinned")) == 6
    assert "pinned (lf_dnn, seed 0) reached" in studio.frames()["curve"].sentence
    other = make()
    choices = dict(other.pin_choice.options)
    assert len(choices) == 3, "nothing, and the two runs"
    assert "b_fusion" in other.pin_choice.value, "the newest one is pinned where it opens"
    other.painter.settle()
    assert len(points(other, "curve", "pinned")) == 6
    assert points(other, "curve", "pinned") == pytest.approx(studio.columns["score.valid"], abs=1e-6)


def test_the_curve_shows_losses_and_the_other_panel_update_norms(make):
    studio = make()
    press(studio, "start")
    studio.wait()
    studio.of.value, studio.quantity.value = "loss", "update"
    studio.painter.settle()
    assert points(studio, "curve", "valid") == pytest.approx(studio.columns["loss.valid"], rel=1e-5)
    assert points(studio, "magnitude", "audio") == pytest.approx(studio.columns["update.audio"], rel=1e-5)
    assert "update norm" in studio.frames()["magnitude"].sentence


def test_a_long_epoch_is_seen_growing(make, monkeypatch):
    monkeypatch.setattr(trainings, "TICK_SECONDS", 0.0)
    studio = make(plan={**PLAN, "epochs": 5000})
    seen: list[int] = []
    take = studio._take

    def note(kind: str, content: Any) -> None:
        take(kind, content)
        if kind == "tick":
            seen.append(len(studio.looks))

    studio._take = note
    studio.of.value = "loss"
    press(studio, "start")
    until(lambda: max(seen, default=0) >= 3)
    press(studio, "stop")
    studio.wait()
    assert studio.looks == [] or studio.looks[-1][0] > len(studio.columns["epoch"])
    assert studio.painter.error is None


def test_other_data_with_other_modalities_gets_its_own_pictures(make):
    studio = make()
    studio.choices.data.value = "digits"
    press(studio, "start")
    studio.wait()
    assert word(studio) == "Finished", studio.error
    assert studio.painter.error is None
    assert studio.modalities == load("digits").modalities
    assert len(points(studio, "magnitude", studio.modalities[0])) == 6


def test_reset_is_as_it_opened(make):
    studio = make()
    press(studio, "start")
    until(lambda: len(studio.columns.get("epoch", ())) >= 1)
    studio.choices.method.value, studio.choices.seed.value = "lf_lstm", 3
    press(studio, "reset")
    studio.painter.settle()
    assert (studio.choices.method.value, studio.choices.seed.value, word(studio)) == ("lf_dnn", 0, "Ready")
    assert studio.columns == {}
    assert points(studio, "curve", "valid") == []


def test_reset_brings_the_first_pictures_back(make):
    studio = make()
    first = points(studio, "curve", "audio alone")
    studio.choices.groups["data"]["data.informativeness.audio"].widget.value = 0.5
    studio.painter.settle()
    press(studio, "reset")
    studio.painter.settle()
    assert points(studio, "curve", "audio alone") == first
    studio.choices.data.value = "digits"
    studio.painter.settle(30)
    assert studio.modalities == load("digits").modalities
    press(studio, "reset")
    studio.painter.settle(30)
    assert studio.modalities == ("text", "audio", "vision")
    assert points(studio, "curve", "audio alone") == first


def test_other_data_has_nothing_pinned(make):
    studio = make()
    press(studio, "start")
    studio.wait()
    press(studio, "pin")
    studio.choices.data.value = "opinions/balanced"
    studio.painter.settle()
    assert studio.pinned is None
    assert points(studio, "curve", "pinned") == []


def test_from_a_run_back_to_what_was_pinned_of_this_training(make):
    studio = make()
    press(studio, "start")
    studio.wait()
    press(studio, "pin")
    studio.painter.settle()
    pinned = points(studio, "curve", "pinned")
    assert len(pinned) == 6
    studio.pin_choice.value = ""
    studio.painter.settle()
    assert points(studio, "curve", "pinned") == []
    studio.pin_choice.value = "this"
    studio.painter.settle()
    until(lambda: points(studio, "curve", "pinned") == pinned)
    assert studio.pinned_name == "lf_dnn, seed 0"


def test_a_method_in_stages_names_its_stage(make):
    studio = make(method="delta_attention", config={}, plan={**PLAN, "epochs": 1})
    press(studio, "start")
    until(lambda: studio.part != "", 60)
    until(lambda: word(studio) == "Finished", 90)
    studio.painter.settle()
    assert studio.epochs_planned == len(studio.columns["epoch"])
    assert next(mark.words for mark in studio.marks).startswith("stage unimodal")
    assert studio.part == ""


def test_a_closed_studio_hears_no_keys(make):
    studio = make()
    studio.close()
    studio.keys._hear(studio.keys, {"key": "k"}, [])
    studio._start()
    assert studio.session is None
    assert word(studio) == "Closed"


# The code


def run_code(text: str, monkeypatch: pytest.MonkeyPatch, folder: Any) -> Any:
    """Runs the studio's lines in a folder of its own; gives their run."""
    from workbench import figures

    monkeypatch.chdir(folder)
    monkeypatch.setattr(figures, "show", lambda figure: None)
    space: dict[str, Any] = {}
    exec(compile(text, "studio", "exec"), space)
    return space["run"]


def test_the_code_of_an_untouched_training_gives_its_run(make, monkeypatch, tmp_path):
    studio = make()
    press(studio, "code")
    press(studio, "start")
    studio.wait()
    assert "run = fit(" in studio.code_box.value
    (tmp_path / "elsewhere").mkdir()
    run = run_code(studio.code(), monkeypatch, tmp_path / "elsewhere")
    assert run.id == studio.saved.id
    assert run.metrics["valid"] == studio.saved.metrics["valid"]


def test_the_code_of_a_steered_training_gives_its_run(make, monkeypatch, tmp_path):
    studio = make(plan={**PLAN, "epochs": 5000})
    press(studio, "start")
    until(lambda: len(studio.columns.get("epoch", ())) >= 2)
    studio.choices.balance.value = "b_fusion"
    until(lambda: studio.rule == "b_fusion")
    press(studio, "stop")
    studio.wait()
    assert "you changed this after epoch" in studio.code()
    (tmp_path / "elsewhere").mkdir()
    run = run_code(studio.code(), monkeypatch, tmp_path / "elsewhere")
    assert run.id == studio.saved.id
    assert run.metrics["valid"] == studio.saved.metrics["valid"]


# Errors


@pytest.fixture
def failing(monkeypatch) -> None:
    """The fourth epoch fails, once."""
    run_epoch, seen = trainings.run_epoch, []

    def call(model: Any, data: Any, plan: Any, state: Any, task: Any, **options: Any) -> Any:
        if state.number == 3 and not seen:
            seen.append(1)
            raise TrainingError("the loss became nan in epoch 4, batch 3 <b>", do="lower the learning rate")
        return run_epoch(model, data, plan, state, task, **options)

    monkeypatch.setattr(trainings, "run_epoch", call)


def test_a_failure_stands_in_words_until_it_is_dismissed_and_one_can_go_back(make, failing):
    studio = make()
    press(studio, "start")
    until(lambda: word(studio) == "Failed")
    studio.painter.settle()
    text = studio.error_box.children[0].value
    assert "The loss became nan in epoch 4, batch 3 &lt;b&gt;" in text
    assert "<details>" in text
    back = studio.error_box.children[1].children[0]
    assert back.description == "Go back to epoch 3 with learning rate 0.0002"
    assert studio.error_box.children[1].children[1].description == "Keep epochs 1 to 3 as a run"
    back.click()
    studio.wait()
    assert word(studio) == "Finished"
    assert studio.error_box.children == ()
    assert studio.saved.metrics["epochs"] == 6
    assert studio.choices.value("plan.learning_rate") == 2e-4, "the slider says what holds"


def test_after_a_failure_what_was_finished_can_be_kept(make, failing):
    studio = make()
    press(studio, "start")
    until(lambda: word(studio) == "Failed")
    studio.painter.settle()
    studio.error_box.children[1].children[1].click()
    until(lambda: word(studio) == "Stopped" and studio.saved is not None)
    assert studio.saved.metrics["epochs"] == 3


def test_missing_data_is_said_with_the_command_that_brings_it(make):
    studio = make()
    studio.choices.data.options = [*studio.choices.data.options, "mosi_utterance"]
    studio.choices.data.value = "mosi_utterance"
    press(studio, "start")
    until(lambda: word(studio) == "Failed")
    studio.painter.settle()
    assert "workbench data fetch mosi_utterance" in studio.error_box.children[0].value
    assert not studio.buttons["start"].disabled


# Keys, states, life


def test_keys_do_what_the_buttons_do(make):
    studio = make(plan={**PLAN, "epochs": 5000})
    studio.keys._hear(studio.keys, {"key": "."}, [])
    until(lambda: word(studio) == "Paused" and len(studio.columns.get("epoch", ())) == 1)
    studio.keys._hear(studio.keys, {"key": "k"}, [])
    until(lambda: len(studio.columns["epoch"]) > 2)
    studio.keys._hear(studio.keys, {"key": "s"}, [])
    studio.wait()
    assert word(studio) == "Stopped"
    studio.keys._hear(studio.keys, {"key": "?"}, [])
    assert "K pause" in studio.note.value


def test_every_picture_has_its_sentence_for_screen_readers(make):
    studio = make()
    assert set(studio.keys.labels) == {"wb-panel-curve", "wb-panel-magnitude", "wb-panel-weights", "wb-panel-probes"}
    assert all(studio.keys.labels.values())


STATES = ["Ready", "Starting", "Training", "Pausing", "Paused", "Stopping", "Stopped", "Finished", "Failed"]


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_at_most_one_primary_button_and_says_why_others_are_off(state):
    found = buttons_in(state, has_epochs=True, is_saved=False)
    assert all(tip for _, tip in found.values())
    primary = primary_in(state)
    assert primary == "" or found[primary][0]
    assert (primary == "") == (state in ("Starting", "Pausing", "Stopping"))


def test_a_second_studio_ends_the_first_and_no_thread_is_left(make, tmp_path):
    settings = {"options": OPTIONS, "config": {"hidden_size": 8}, "runs": tmp_path}
    first = open_studio(plan={**PLAN, "epochs": 100_000}, **settings)
    press(first, "start")
    until(lambda: len(first.columns.get("epoch", ())) >= 1)
    session = first.session
    second = open_studio(plan=PLAN, **settings)
    assert session.wait(20)
    until(lambda: not first.painter.is_alive)
    assert word(first) == "Closed"
    assert load_all(tmp_path) == []
    assert not list(tmp_path.glob(".*"))
    second.close()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("workbench-")])


def test_in_a_report_it_trains_in_the_cell_and_shows_the_last_frame(tmp_path, monkeypatch):
    from workbench import figures

    shown: list[Any] = []
    monkeypatch.setattr(figures, "show", shown.append)
    before = torch.get_num_threads()
    made = open_studio(interactive=False, plan=PLAN, options=OPTIONS, config={"hidden_size": 8}, balance="b_fusion", runs=tmp_path)
    assert set(made._repr_mimebundle_()) == {"text/plain"}, "no widget on a page"
    assert made.say().startswith("lf_dnn + b_fusion on opinions/starved, seed 0: Acc-2 (negative / positive) valid .")
    assert len(shown) == 4
    captions = [figures.caption_of(figure) for figure in shown]
    assert captions[0].startswith("Epoch 6")
    assert "b_fusion weighs" in captions[2]
    assert len(load_all(tmp_path)) == 1
    assert torch.get_num_threads() == before


def test_a_failed_training_in_a_report_fails_its_cell(tmp_path, failing):
    with pytest.raises(TrainingError, match="epoch 4"):
        open_studio(interactive=False, plan=PLAN, options=OPTIONS, config={"hidden_size": 8}, runs=tmp_path)
