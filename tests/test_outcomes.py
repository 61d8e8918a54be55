"""What comes of the dials: ceilings, trainings that are left when something else is wanted, and nothing trained twice."""

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench import outcomes
from workbench.data.simulator.dials import preset_dials
from workbench.data.simulator.synthetic import opinions
from workbench.errors import ConfigError, TrainingError
from workbench.outcomes import BALANCED, JOINT, METRIC, VARIANTS, Kept, Setting, Trainings, ceilings_of, setting_of, train, train_all

SMALL = {"train": 60, "valid": 30, "test": 40}


class Heard:
    """Collects what the trainings tell."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.idle = threading.Event()

    def __call__(self, kind: str, content: Any) -> None:
        self.events.append((kind, content))
        if kind in ("idle", "failed"):
            self.idle.set()

    def of(self, kind: str) -> list[Any]:
        return [content for what, content in self.events if what == kind]


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Trainings, Heard, Kept]]:
    heard, kept = Heard(), Kept()
    running = Trainings(heard, kept=kept, plan={"epochs": 2})
    yield running, heard, kept
    running.close(10)
    assert not running.is_alive


# Settings


def test_a_turned_dial_is_the_only_change() -> None:
    setting = Setting("starved").turned("hardness.audio", 0.8).turned("redundancy", 0.5)
    assert setting.changes == {"hardness": {"audio": 0.8}, "redundancy": 0.5}
    assert setting.dials == preset_dials("starved", hardness={"audio": 0.8}, redundancy=0.5)
    assert (setting.value("hardness.audio"), setting.value("hardness.vision"), setting.value("redundancy")) == (0.8, 0.95, 0.5)


def test_a_dial_that_is_turned_back_is_no_change() -> None:
    assert Setting("starved").turned("hardness.audio", 0.1).turned("hardness.audio", 0.95) == Setting("starved")
    assert setting_of("noisy", preset_dials("noisy").model_dump()) == Setting("noisy")


@pytest.mark.parametrize(
    ("preset", "changes", "message"),
    [
        ("starved", {"hardness": {"audio": 2}}, "hardness, audio cannot be 2"),
        ("starved", {"hardnes": 1}, "unknown dial"),
        ("straved", {}, "unknown preset"),
        ("emotions", {}, "sentiment, not emotions"),
    ],
)
def test_a_wrong_setting_is_said(preset: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _ = Setting(preset, changes).dials


def test_ceilings_are_those_of_the_data() -> None:
    data = opinions("noisy", redundancy=0.7, **SMALL)
    found = ceilings_of(Setting("noisy", {"redundancy": 0.7}))
    assert found == {name: data.ceiling[name][METRIC] for name in ("text", "audio", "vision", "all")}


# Nothing informative, nothing to know: by hand, both signs are equally likely.
def test_ceilings_at_the_end_of_a_dial() -> None:
    deaf = ceilings_of(Setting("starved", {"informativeness": {"audio": 0.0}}))
    assert deaf["audio"] == pytest.approx(0.5)
    assert deaf["all"] > deaf["text"] > 0.8


def test_ceilings_come_while_a_dial_is_dragged() -> None:
    outcomes._ceilings.cache_clear()
    seconds = []
    for place in range(15):
        setting = Setting("starved").turned("informativeness.text", 0.2 + 0.05 * place)
        begun = time.perf_counter()
        ceilings_of(setting)
        seconds.append(time.perf_counter() - begun)
    # 14 ms on an idle core of two; the bound is loose because others use this machine.
    assert sorted(seconds)[len(seconds) // 3] < 0.1


# Trainings


def test_each_variant_is_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, ...]] = []

    def fit(method: str, data: Any, **settings: Any) -> SimpleNamespace:
        seen.append((method, tuple(data.modalities), settings["balance"], settings["plan"]["seed"], settings["plan"]["epochs"], data.notes["seed"]))
        return SimpleNamespace(metrics={"test": {METRIC: 0.75}})

    monkeypatch.setattr(outcomes, "fit", fit)
    scores = train_all(Setting("starved", SMALL), [4], kept=Kept(), plan={"epochs": 3})
    every = ("text", "audio", "vision")
    assert [row[1:3] for row in seen] == [(every, "none"), (every, "b_fusion"), (("text",), "none"), (("audio",), "none"), (("vision",), "none")]
    assert {(row[0], *row[3:]) for row in seen} == {("lf_dnn", 4, 3, 4)}
    assert list(scores["variant"]) == list(VARIANTS) and set(scores["kind"]) == {"joint", "alone"} and set(scores["value"]) == {0.75}


def test_the_score_is_that_of_a_run_with_its_trace(tmp_path: Path) -> None:
    from workbench.fitting import fit

    setting = Setting("starved", SMALL)
    run = fit("lf_dnn", opinions("starved", seed=1, **SMALL), runs=tmp_path, balance="b_fusion", plan={"epochs": 2, "seed": 1})
    assert train(setting, BALANCED, 1, plan={"epochs": 2}) == run.metrics["test"][METRIC]


def test_what_is_wanted_is_trained_in_order_and_kept(trainings: tuple[Trainings, Heard, Kept]) -> None:
    running, heard, kept = trainings
    setting = Setting("starved", SMALL)
    running.want(setting, 2)
    assert heard.idle.wait(60)
    assert len(heard.of("outcome")) == 10 and heard.of("failed") == []
    assert [(step.seed, step.variant) for step in heard.of("step") if step.epoch == 2][:2] == [(0, JOINT), (0, BALANCED)]
    assert kept.missing(setting, range(2)) == [] and len(kept.missing(setting, range(3))) == 5
    table = kept.table(setting)
    assert len(table) == 10 and list(table["variant"].drop_duplicates()) == list(VARIANTS)
    heard.idle.clear()
    heard.events.clear()
    running.want(setting, 2)
    assert heard.idle.wait(10) and heard.events == [("idle", None)]


def test_another_wish_ends_the_training_within_an_epoch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    begun = threading.Event()
    heard, kept = Heard(), Kept()

    def listen(kind: str, content: Any) -> None:
        heard(kind, content)
        if kind == "step" and content.epoch == 1:
            begun.set()

    running = Trainings(listen, kept=kept, plan={"epochs": 10_000, "patience": 10_000})
    running.want(Setting("starved", SMALL), 1)
    assert begun.wait(60)
    running.leave()
    assert heard.idle.wait(20)
    assert heard.of("failed") == [] and len(kept.table(Setting("starved", SMALL))) == 0
    assert list(tmp_path.iterdir()) == []  # no half-written run
    running.close(10)
    assert not running.is_alive


def test_a_failure_is_told_and_the_next_wish_is_heard(trainings: tuple[Trainings, Heard, Kept], monkeypatch: pytest.MonkeyPatch) -> None:
    running, heard, kept = trainings
    setting = Setting("starved", SMALL)

    def broken(*arguments: Any, **settings: Any) -> float:
        raise TrainingError("the loss became nan")

    with monkeypatch.context() as patched:
        patched.setattr(outcomes, "train", broken)
        running.want(setting, 1)
        assert heard.idle.wait(20)
    assert [str(error).splitlines()[0] for error in heard.of("failed")] == ["the loss became nan"]
    heard.idle.clear()
    running.want(setting, 1)
    assert heard.idle.wait(60)
    assert len(kept.table(setting)) == 5


def test_closing_ends_a_training_in_its_middle() -> None:
    heard = Heard()
    running = Trainings(heard, kept=Kept(), plan={"epochs": 10_000, "patience": 10_000})
    running.want(Setting("starved", SMALL), 1)
    while not heard.of("step"):
        time.sleep(0.01)
    running.close(20)
    assert not running.is_alive
