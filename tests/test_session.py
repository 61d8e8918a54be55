"""A training that is steered: every command at any moment, the record of what was changed, and runs that equal those of `fit`."""

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
from workbench.session import FAILED, FINISHED, PAUSED, READY, STOPPED, TRAINING, Change, Session, steer

PLAN = {"epochs": 6, "patience": 99, "batch_size": 16, "learning_rate": 1e-2, "device": "cpu", "seed": 0, "probe_every": 0}
SMALL = {"hidden_size": 8, "post_size": 8}


class Heard(list):
    """What a session said; lets a test wait for it, and do something at an epoch, on the training's thread."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[int, Callable[[], Any]] = {}

    def __call__(self, kind: str, content: Any) -> None:
        self.append((kind, content))
        if kind == "epoch" and content.number in self.at:
            self.at.pop(content.number)()

    def of(self, kind: str) -> list[Any]:
        return [content for name, content in list(self) if name == kind]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def make(toy, tmp_path, heard) -> Iterator[Callable[..., Session]]:
    """Sessions on toy data; none outlives its test."""
    made: list[Session] = []

    def call(method: str = "lf_dnn", data: Any = toy, **settings: Any) -> Session:
        options = {"config": SMALL, "plan": PLAN, "preset": "none", "runs": tmp_path, "listen": heard, "threads": 1, **settings}
        made.append(Session(method, data, **options))
        return made[-1]

    yield call
    for session in made:
        session.close()
        assert session.wait(20)


def until(is_so: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.005)


def weights(run: Any) -> dict[str, torch.Tensor]:
    return run.model().state_dict()


def same(run: Any, other: Any) -> bool:
    mine, theirs = weights(run), weights(other)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine) and run.metrics["test"] == other.metrics["test"]


# A training that nobody touches


def test_untouched_it_is_the_run_of_fit(make, toy, tmp_path, heard):
    session = make()
    assert session.state == READY
    session.start()
    assert session.wait(60)
    assert session.state == FINISHED
    told = fit("lf_dnn", toy, config=SMALL, plan=PLAN, preset="none", runs=tmp_path / "other")
    assert session.saved.id == told.id
    assert same(session.saved, told)
    assert "changes" not in session.saved.config
    assert [shown.number for shown in heard.of("epoch")] == [1, 2, 3, 4, 5, 6]
    assert list(heard.of("state")) == ["Starting", "Training", "Stopping", "Finished"]


def test_what_is_shown_of_an_epoch_is_what_the_run_keeps(make, heard):
    session = make(balance="b_fusion")
    session.start()
    session.wait(60)
    last, trace = heard.of("epoch")[-1], session.saved.trace
    steps = trace["steps"]["trace"].where(trace["steps"]["epoch"] == 6, drop=True).mean("step")
    for quantity, shown in (("last_layer", last.gradient), ("update", last.update), ("weight", last.weight)):
        assert shown == pytest.approx({name: float(steps.sel(quantity=quantity, modality=name)) for name in ("text", "audio", "vision")}, rel=1e-5)
    assert last.score["valid"] == float(trace["history"]["score"].sel(epoch=6, split="valid", metric=session.saved.config["headline"]))


def test_a_method_in_stages_counts_its_epochs_through(make, toy, heard):
    plan = {**PLAN, "epochs": 2}
    session = make("delta_attention", config={}, plan=plan)
    session.start()
    session.wait(120)
    assert session.state == FINISHED, session.error
    numbers = [shown.number for shown in heard.of("epoch")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len({shown.stage for shown in heard.of("epoch")}) > 1


# Pause, step, stop


def test_pause_step_and_go(make, heard):
    session = make(plan={**PLAN, "epochs": 30})
    heard.at[2] = session.pause
    session.start()
    until(lambda: session.state == PAUSED)
    assert session.epochs == 2
    time.sleep(0.2)
    assert session.epochs == 2, "nothing moves"
    session.step()
    until(lambda: session.epochs == 3 and session.state == PAUSED)
    heard.at[5] = session.pause
    session.go()
    until(lambda: session.epochs == 5 and session.state == PAUSED)
    words = heard.of("state")
    assert words[:5] == ["Starting", "Training", "Pausing", "Paused", "Pausing"]
    session.go()
    assert session.wait(60)
    assert session.state == FINISHED
    assert session.saved.id == fit_id(session)


def fit_id(session: Session) -> str:
    """The name that `fit` would give."""
    from workbench.fitting import name_run

    return name_run(session.order, session.source, session.order.identity(session.source))


def test_a_step_from_the_start_is_one_epoch(make):
    session = make()
    session.step()
    until(lambda: session.state == PAUSED)
    assert session.epochs == 1


def test_stop_keeps_the_best_epoch_and_says_in_the_run_where_it_ended(make, tmp_path, heard, toy):
    session = make(plan={**PLAN, "epochs": 500})
    heard.at[3] = session.stop
    session.start()
    assert session.wait(60)
    assert session.state == STOPPED
    assert session.saved.metrics["epochs"] == 3
    assert [(change["epoch"], change["setting"], change["after"]) for change in session.saved.config["changes"]] == [(3, "training", "stopped")]
    whole = fit("lf_dnn", toy, config=SMALL, plan={**PLAN, "epochs": 3}, preset="none", runs=tmp_path / "other")
    assert same(session.saved, whole)
    assert session.saved.id != whole.id
    assert session.saved.settings_key != whole.settings_key


def test_stop_bites_within_an_epoch(make, monkeypatch, heard):
    monkeypatch.setattr(trainings, "TICK_SECONDS", 0.0)
    session = make(plan={**PLAN, "epochs": 50})
    ticks = []

    def listen(kind: str, content: Any) -> None:
        heard(kind, content)
        if kind == "tick" and content.number == 3:
            ticks.append(content)
            session.stop()

    session.listen = listen
    session.start()
    assert session.wait(60)
    assert session.state == STOPPED
    assert len(ticks) == 1, "the step after the press is the last"
    assert 0 < ticks[0].done < 1
    assert session.saved.metrics["epochs"] == 2


def test_stopped_before_the_first_epoch_nothing_is_written(make, tmp_path):
    session = make()
    session.stop()  # not yet started: nothing to stop
    assert session.state == READY
    session.start()
    session.stop()
    assert session.wait(60)
    assert session.state == STOPPED
    assert len(load_all(tmp_path)) == (0 if session.epochs == 0 else 1)
    assert (session.saved is None) == (session.epochs == 0)
    assert not list(tmp_path.glob(".*"))


def test_closed_it_ends_and_writes_nothing(make, tmp_path, heard):
    session = make(plan={**PLAN, "epochs": 5000})
    heard.at[2] = session.close
    session.start()
    assert session.wait(20)
    assert session.state == "Closed"
    assert load_all(tmp_path) == []
    assert not list(tmp_path.glob(".*"))


def test_threads_are_as_before(make):
    before = torch.get_num_threads()
    session = make(threads=1)
    session.start()
    session.wait(60)
    assert torch.get_num_threads() == before


# Changes


def test_a_rate_is_changed_from_the_next_epoch_on_and_written_down(make, heard, tmp_path):
    session = make()
    heard.at[2] = lambda: session.change("plan.learning_rate", 1e-4)
    session.start()
    session.wait(60)
    assert heard.of("change") == [Change(2, "plan.learning_rate", 1e-2, 1e-4)]
    assert str(heard.of("change")[0]) == "learning_rate 0.01 to 0.0001"
    rates = session.saved.trace["history"]["learning_rate"].values.tolist()
    assert rates == [1e-2, 1e-2, 1e-4, 1e-4, 1e-4, 1e-4]
    assert session.saved.variant == "lf_dnn (steered)"
    assert session.saved.config["plan"]["learning_rate"] == 1e-2, "the record says what it began with"


def test_a_rule_is_switched_on_and_its_weights_move(make, heard, toy):
    session = make(plan={**PLAN, "epochs": 8})
    heard.at[3] = lambda: session.change("balance", "b_fusion", rate=0.05)
    heard.at[5] = lambda: session.change("balance.rate", 0.2)
    session.start()
    session.wait(60)
    weights = [shown.weight for shown in heard.of("epoch")]
    assert all(set(weight.values()) == {1.0} for weight in weights[:3])
    assert all(max(weight.values()) - min(weight.values()) > 0.01 for weight in weights[3:])
    assert [change.setting for change in heard.of("change")] == ["balance", "balance.rate"]
    assert session.saved.config["balance"] == "b_fusion"
    assert session.saved.config["balance_config"]["rate"] == 0.2
    assert session.saved.metrics["best_epoch"] > 5, "the best epoch is one under the last rule"
    assert type(session.saved.model().balance).__name__ == "BFusion"


def test_switched_off_again_every_weight_is_one(make, heard):
    session = make(balance="b_fusion")
    heard.at[3] = lambda: session.change("balance", "none")
    session.start()
    session.wait(60)
    assert set(heard.of("epoch")[-1].weight.values()) == {1.0}
    assert session.saved.config["balance"] is None


@pytest.mark.parametrize("rule", ["uniform", "ogm_ge", "gradient_blending", "adaptive_tracking", "grad_norm"])
def test_every_rule_can_be_switched_on_and_its_heads_learn(make, heard, rule):
    session = make(plan={**PLAN, "epochs": 5})
    heads = {}

    def look() -> None:
        heads.update({name: p.detach().clone() for name, p in session._progress.model.balance.named_parameters()})

    heard.at[2] = lambda: session.change("balance", rule)
    heard.at[3] = look
    session.start()
    session.wait(60)
    assert session.state == FINISHED, session.error
    after = dict(session._progress.model.balance.named_parameters())
    assert heads and any(not torch.equal(heads[name], after[name]) for name in heads)


def test_adam_goes_on_with_what_it_knows(make, heard):
    session = make(plan={**PLAN, "epochs": 4})
    heard.at[2] = lambda: session.change("balance", "b_fusion")
    session.start()
    session.wait(60)
    optimizer = session._good.point.state.optimizer
    steps = {int(state["step"]) for state in optimizer.state.values()}
    assert steps == {4 * 6}, "four epochs of six batches"


def test_steer_does_the_same_again(make, heard, toy, tmp_path):
    session = make(plan={**PLAN, "epochs": 40})
    heard.at[2] = lambda: session.change("balance", "b_fusion", rate=0.05)
    heard.at[3] = lambda: (session.change("plan.learning_rate", 1e-3), session.change("balance.rate", 0.1))
    heard.at[6] = session.stop
    session.start()
    session.wait(60)
    again = steer(
        "lf_dnn", toy, session.saved.config["changes"], config=SMALL, plan={**PLAN, "epochs": 40}, preset="none", runs=tmp_path / "b", threads=1
    )
    assert again.id == session.saved.id
    assert same(again, session.saved)
    typed = [(2, "balance", "b_fusion", {"rate": 0.05}), (3, "plan.learning_rate", 1e-3), (3, "balance.rate", 0.1), (6, "training", "stopped")]
    told = steer("lf_dnn", toy, typed, config=SMALL, plan={**PLAN, "epochs": 40}, preset="none", runs=tmp_path / "c", threads=1)
    assert same(told, session.saved)


def test_a_change_that_no_epoch_followed_is_no_part_of_the_run(make, heard):
    session = make(plan={**PLAN, "epochs": 50})
    heard.at[3] = lambda: (session.change("balance", "uniform"), session.stop())
    session.start()
    session.wait(60)
    assert session.state == STOPPED
    assert session.saved.config["balance"] is None
    assert [change["setting"] for change in session.saved.config["changes"]] == ["training"]


def test_the_noise_of_simulated_data_is_turned_while_it_trains(make, heard):
    options = {"train": 96, "valid": 60, "test": 40}
    session = make(data="opinions/starved", options=options)
    heard.at[2] = lambda: session.change("data.noise", 0.9)
    session.start()
    session.wait(60)
    assert session.state == FINISHED, session.error
    assert session.saved.config["notes"]["dials"]["noise"] == 0.9
    assert session.saved.metrics["best_epoch"] > 2
    again = load("opinions/starved", noise=0.9, **options)
    assert torch.equal(session._progress.data["valid"].target, again["valid"].target)


def test_save_writes_the_run_and_the_training_goes_on_as_if_nothing_was(make, heard, toy, tmp_path):
    session = make()
    heard.at[3] = session.save
    session.start()
    session.wait(60)
    first, last = heard.of("saved")
    assert first.metrics["epochs"] == 3
    assert first.config["changes"][-1]["after"] == "saved"
    told = fit("lf_dnn", toy, config=SMALL, plan=PLAN, preset="none", runs=tmp_path / "other")
    assert same(last, told)


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("plan.batch_size", 8, "plan.batch_size cannot be changed while it trains"),
        ("config.hidden_size", 8, "cannot be changed while it trains"),
        ("plan.learning_rate", -1, "learning_rate=-1 will not do"),
        ("balance", "b_fuson", 'unknown balancing rule "b_fuson"'),
        ("data.noise", 0.2, "data.noise cannot be changed"),
    ],
)
def test_what_cannot_be_changed_is_refused_at_once(make, setting, value, words):
    session = make()
    with pytest.raises(ConfigError, match=words.replace(".", r"\.")):
        session.change(setting, value)


def test_a_setting_of_no_rule_is_refused_and_the_training_goes_on(make, heard):
    session = make()
    heard.at[2] = lambda: session.change("balance.rate", 0.1)
    session.start()
    session.wait(60)
    assert session.state == FINISHED
    assert "no balancing rule is on" in str(heard.of("refused")[0])


@pytest.mark.parametrize("setting", ["balance", "data.noise"])
def test_after_the_last_epoch_nothing_is_left_to_change_and_the_run_is_written(make, heard, setting):
    more = {"data": "opinions/starved", "options": {"train": 96, "valid": 60, "test": 40}} if setting == "data.noise" else {}
    session = make(**more)
    heard.at[6] = lambda: session.change(setting, 0.5 if setting == "data.noise" else "b_fusion")
    session.start()
    session.wait(60)
    assert session.state == FINISHED
    assert "no epoch is left" in str(heard.of("refused")[0])
    assert session.saved.metrics["epochs"] == 6
    assert "changes" not in session.saved.config


def test_more_epochs_and_a_rule_at_once(make, heard):
    session = make()
    heard.at[6] = lambda: (session.change("balance", "b_fusion"), session.change("plan.epochs", 8))
    session.start()
    session.wait(60)
    assert session.state == FINISHED
    assert session.saved.metrics["epochs"] == 8
    assert session.saved.config["balance"] == "b_fusion"


def test_a_training_in_stages_takes_no_rule_and_is_written_only_whole(make, heard):
    session = make("delta_attention", config={}, plan={**PLAN, "epochs": 1})
    heard.at[1] = lambda: (session.change("balance", "b_fusion"), session.save())
    session.start()
    session.wait(120)
    assert session.state == FINISHED, session.error
    said = [str(error) for error in heard.of("refused")]
    assert any("stage by stage: balance" in words for words in said)
    assert any("only the stage unimodal" in words for words in said)
    assert len(heard.of("saved")) == 1
    stopped = make("delta_attention", config={}, plan={**PLAN, "epochs": 1})
    heard.at[1] = stopped.stop
    stopped.start()
    stopped.wait(120)
    assert stopped.state == STOPPED
    assert stopped.saved is None


def test_saved_within_its_last_stage_a_run_has_the_whole_model_s_scores(make, heard):
    session = make("delta_attention", config={}, plan={**PLAN, "epochs": 1, "stages": {"fusion": {"epochs": 2}}})

    def save(kind: str, content: Any) -> None:
        heard(kind, content)
        if kind == "epoch" and content.is_whole:
            session.save()

    session.listen = save
    session.start()
    session.wait(120)
    assert session.state == FINISHED, session.error
    first = heard.of("saved")[0]
    from workbench.cases import outputs
    from workbench.tasks import make_task

    said = outputs(first, session.source)
    assert make_task(first.spec.task).metrics(said, session.source["test"].target)["mae"] == pytest.approx(first.metrics["test"]["mae"], abs=1e-5)


# Failures


@pytest.fixture
def failing(monkeypatch) -> Callable[[int], None]:
    """Lets one epoch fail, once."""
    run_epoch, seen = trainings.run_epoch, []

    def fail(number: int) -> None:
        def call(model: Any, data: Any, plan: Any, state: Any, task: Any, **options: Any) -> Any:
            if state.number + 1 == number and not seen:
                seen.append(number)
                with torch.no_grad():
                    next(model.parameters()).fill_(float("nan"))
                raise TrainingError(f"the loss became nan in epoch {number}, batch 3")
            return run_epoch(model, data, plan, state, task, **options)

        monkeypatch.setattr(trainings, "run_epoch", call)

    return fail


def test_a_failed_epoch_is_told_and_one_can_go_back(make, heard, failing):
    failing(4)
    session = make()
    session.start()
    until(lambda: session.state == FAILED)
    assert "epoch 4, batch 3" in str(session.error)
    assert "epochs 1 to 3 are kept" in str(session.error)
    session.go_back(learning_rate=1e-3)
    assert session.wait(60)
    assert session.state == FINISHED
    assert session.error is None
    assert session.saved.metrics["epochs"] == 6
    assert session.saved.trace["history"]["learning_rate"].values.tolist() == [1e-2] * 3 + [1e-3] * 3
    assert [change["setting"] for change in session.saved.config["changes"]] == ["plan.learning_rate"]


@pytest.mark.parametrize("kind", [RuntimeError, TrainingError])
def test_any_failure_of_an_epoch_can_be_gone_back_from_also_twice(make, heard, monkeypatch, kind):
    run_epoch, left = trainings.run_epoch, [4, 4, 5]

    def call(model: Any, data: Any, plan: Any, state: Any, task: Any, **options: Any) -> Any:
        if left and state.number + 1 == left[0]:
            left.pop(0)
            for kept in state.optimizer.state.values():
                kept["exp_avg"].fill_(float("nan"))
            raise kind("out of memory")
        return run_epoch(model, data, plan, state, task, **options)

    monkeypatch.setattr(trainings, "run_epoch", call)
    session = make()
    session.start()
    for _ in range(3):
        until(lambda: session.state == FAILED and session.can_go_back)
        session.go_back(learning_rate=1e-3)
    assert session.wait(60)
    assert session.state == FINISHED, session.error
    assert all(torch.isfinite(value).all() for value in weights(session.saved).values())


def test_going_back_takes_everything_back_that_came_after_the_good_epoch(make, heard, failing):
    failing(4)
    session = make()
    heard.at[3] = lambda: (session.change("plan.clip_norm", 0.5), session.change("balance", "uniform"))
    session.start()
    until(lambda: session.can_go_back)
    session.go_back(learning_rate=1e-3)
    session.wait(60)
    assert session.state == FINISHED, session.error
    assert session.plan.clip_norm is None
    assert session.saved.config["balance"] is None
    assert [change["setting"] for change in session.saved.config["changes"]] == ["plan.learning_rate"]
    restored = heard.of("restored")[0]
    assert (restored.rule, restored.changes, restored.plan["clip_norm"]) == (None, (), None)


def test_a_full_disk_at_the_end_loses_nothing(make, heard, monkeypatch, tmp_path):
    from workbench import session as sessions

    finish, seen = sessions.finish, []

    def full(*arguments: Any) -> Any:
        if not seen:
            seen.append(1)
            raise TrainingError("could not write trace.nc: No space left on device")
        return finish(*arguments)

    monkeypatch.setattr(sessions, "finish", full)
    session = make()
    session.start()
    until(lambda: session.can_go_back)
    session.stop()
    assert session.wait(60)
    assert session.state == FINISHED
    assert session.saved.metrics["epochs"] == 6
    assert "changes" not in session.saved.config


def test_a_model_built_beside_a_training_does_not_touch_its_randomness(make, toy, tmp_path):
    from workbench import methods

    config = {**SMALL, "dropout": 0.5}
    session = make(config=config, plan={**PLAN, "epochs": 12})
    session.start()
    while session.wait(0) is False:
        methods.build("lf_dnn", SMALL, toy.spec, seed=7)
    told = fit("lf_dnn", toy, config=config, plan={**PLAN, "epochs": 12}, preset="none", runs=tmp_path / "other")
    assert same(session.saved, told)


def test_a_failure_of_the_first_epoch_ends_it(make, failing, heard):
    failing(1)
    session = make()
    session.start()
    assert session.wait(60)
    assert session.state == FAILED
    assert isinstance(heard.of("failed")[0], TrainingError)


def test_data_that_is_not_there_is_told(make, heard):
    session = make(data="mosi_utterance")
    session.start()
    assert session.wait(60)
    assert session.state == FAILED
    assert type(session.error).__name__ == "MissingDataError"


def test_steer_gives_the_error(toy, tmp_path, failing):
    failing(2)
    with pytest.raises(TrainingError, match="epoch 2, batch 3"):
        steer("lf_dnn", toy, [], config=SMALL, plan=PLAN, preset="none", runs=tmp_path, threads=1)


# Two at once


def test_two_trainings_of_one_process_take_turns_and_do_not_mix_their_randomness(make, toy, tmp_path):
    settings = {"config": {**SMALL, "dropout": 0.5}, "preset": "none"}
    sessions = [make(**settings, plan={**PLAN, "seed": seed}, listen=lambda kind, content: None) for seed in (0, 1)]
    for session in sessions:
        session.start()
    for session in sessions:
        assert session.wait(60)
    for seed, session in enumerate(sessions):
        told = fit("lf_dnn", toy, **settings, plan={**PLAN, "seed": seed}, runs=tmp_path / "other")
        assert same(session.saved, told)


def test_no_thread_is_left(make):
    session = make()
    session.start()
    session.wait(60)
    assert not [thread for thread in threading.enumerate() if thread.name == "workbench-training"]
    assert session.state != TRAINING
