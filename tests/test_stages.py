"""Stages: one part after the other, each with its own score, resumable, and begun from a finished run."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
import xarray as xr

from workbench import methods
from workbench.data import load
from workbench.errors import ConfigError, TrainingError
from workbench.fitting import fit, order
from workbench.model import FusionModel
from workbench.plan import Plan, stage_plan
from workbench.runs import Run
from workbench.stages import WHOLE, Stage, entered
from workbench.training import predict

SMALL = {"hidden_size": 8, "head_size": 8, "heads": 2, "correlated_size": 4, "post_size": 8, "dropout": 0.2}
PLAN = {"epochs": 3, "batch_size": 32, "stages": {"correlation": {"epochs": 2}, "unimodal.audio": {"learning_rate": 3e-3}}}
NAMES = ["unimodal.text", "unimodal.audio", "unimodal.vision", "correlation", "fusion"]


@pytest.fixture(scope="module")
def data():
    return load("opinions/balanced", train=96, valid=40, test=48, seed=3)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Run:
    return fit("delta_attention", data, runs=tmp_path_factory.mktemp("runs"), config=SMALL, plan=PLAN)


def start_model(data, **config) -> FusionModel:
    return methods.build("delta_attention", {**SMALL, **config}, data.spec)


def test_a_run_tells_each_stage(run, data):
    assert list(run.metrics["stages"]) == NAMES
    assert [facts["epochs"] for facts in run.metrics["stages"].values()] == [3, 3, 3, 2, 3]
    assert run.trace["history"]["stage"].values.tolist() == np.repeat(NAMES, [3, 3, 3, 2, 3]).tolist()
    history = run.trace["history"]["score"].sel(split="valid", metric="loss")
    of_last = history.where(run.trace["history"]["stage"] == "fusion")
    assert run.metrics["best_epoch"] == int(of_last.idxmin("epoch"))
    assert run.trace["history"]["learning_rate"].values.tolist() == [1e-3] * 3 + [3e-3] * 3 + [1e-3] * 8
    # What a stage scores is its own readout's answer by the finished model.
    model = run.model()
    for stage in methods.method("delta_attention").stages(methods.method("delta_attention").Config(**SMALL), data.spec):
        with entered(model, stage):
            said = predict(model, data["test"], Plan()).prediction
        assert run.metrics["stages"][stage.name]["test"]["mae"] == pytest.approx(float((said - data["test"].target).abs().mean()), abs=1e-5)
    assert run.metrics["stages"]["fusion"]["test"] == run.metrics["test"]
    assert len({facts["test"]["mae"] for facts in run.metrics["stages"].values()}) == 5


def test_a_stage_moves_its_own_parameters_only(data):
    model = start_model(data)
    for stage in methods.method("delta_attention").stages(methods.method("delta_attention").Config(**SMALL), data.spec):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with entered(model, stage):
            model.train()
            said = model(next(iter(data["train"].batches(32))))
            loss = said.prediction.abs().mean() + sum(said.losses.values())
            loss.backward()
            torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()
            model.zero_grad()
        moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        assert moved
        assert all(stage.is_trained(name) for name in moved), stage
        assert all(p.requires_grad for p in model.parameters())
    assert model.stage is None


def test_every_parameter_learns_in_exactly_one_stage(data):
    model = start_model(data)
    stages = methods.method("delta_attention").stages(methods.method("delta_attention").Config(**SMALL), data.spec)
    for name, _ in model.named_parameters():
        assert sum(stage.is_trained(name) for stage in stages) == 1, name


def test_what_is_frozen_has_no_dropout(data):
    model = start_model(data, dropout=0.5)
    stage = Stage("fusion", ("fusion.attention", "head"))
    with entered(model, stage):
        model.train()
        assert not any(module.training for module in model.encoders.modules())
        assert model.head.training
    model.train()
    assert all(module.training for module in model.modules())


def test_a_killed_training_goes_on_in_any_stage(run, data, tmp_path):
    """Killed after every epoch in turn, the run comes out bitwise the same."""
    for _ in range(20):
        calls = []

        def stop(epoch, calls=calls):
            calls.append(epoch.stage)
            if len(calls) == 3:
                raise KeyboardInterrupt

        try:
            resumed = fit("delta_attention", data, runs=tmp_path, config=SMALL, plan=PLAN, resume=True, on_epoch=stop, checkpoint_seconds=0)
        except KeyboardInterrupt:
            continue
        break
    assert resumed.id == run.id
    drop = lambda metrics: {key: value for key, value in metrics.items() if key not in ("seconds", "stages")}  # noqa: E731
    assert drop(resumed.metrics) == drop(run.metrics)
    for name in NAMES:
        assert resumed.metrics["stages"][name]["test"] == run.metrics["stages"][name]["test"]
    for group in ("steps", "predictions/test", "pair_means"):
        xr.testing.assert_identical(resumed.trace[group].to_dataset(), run.trace[group].to_dataset())
    one, other = resumed.model().state_dict(), run.model().state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_process_that_is_killed_in_the_second_stage_goes_on(run, data, tmp_path):
    script = f"""
        import os, signal
        from workbench.data import load
        from workbench.fitting import fit
        def kill(epoch):
            if epoch.stage == "correlation" and epoch.number == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        data = load("opinions/balanced", train=96, valid=40, test=48, seed=3)
        fit("delta_attention", data, runs={str(tmp_path)!r}, config={SMALL!r}, plan={PLAN!r}, on_epoch=kill, checkpoint_seconds=0)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False).returncode == -9
    seen = []
    again = fit("delta_attention", data, runs=tmp_path, config=SMALL, plan=PLAN, resume=True, on_epoch=lambda epoch: seen.append(epoch.stage))
    assert seen == ["correlation"] + ["fusion"] * 3
    assert again.metrics["test"] == run.metrics["test"]


def test_stages_can_come_from_a_finished_run(run, data, tmp_path):
    fused = {**SMALL, "post_size": 12}
    again = fit("delta_attention", data, runs=tmp_path, config=fused, plan=PLAN, start=run, stages=["fusion"])
    assert [facts["epochs"] for facts in again.metrics["stages"].values()] == [0, 0, 0, 0, 3]
    for name in NAMES[:-1]:
        assert again.metrics["stages"][name]["test"] == run.metrics["stages"][name]["test"]
    assert again.metrics["test"] != run.metrics["test"]
    assert again.config["start"]["run"] == run.id
    assert again.config["start"]["stages"] == ["fusion"]
    # The same stages from the same start are the same numbers; from the whole run they are another run.
    same = fit("delta_attention", data, runs=tmp_path, config=SMALL, plan=PLAN, start=str(run.path), stages=["fusion"])
    assert same.metrics["test"] == run.metrics["test"]
    assert same.id != run.id
    later = fit("delta_attention", data, runs=tmp_path, config=SMALL, plan=PLAN, start=run, stages=["unimodal.audio", "correlation", "fusion"])
    assert later.metrics["stages"]["unimodal.vision"]["epochs"] == 0 < later.metrics["stages"]["unimodal.audio"]["epochs"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stages": ["fusion"]}, "nothing says where the stages unimodal.text"),
        ({"stages": ["fuson"], "start": "run"}, 'no stage of delta_attention "fuson"|unknown stage'),
        ({"stages": ["correlation"], "start": "run"}, "fusion would be kept while correlation"),
        ({"start": "run"}, "no stage to train"),
        ({"stages": NAMES, "start": "run"}, "all stages are trained"),
        ({"plan": {"stages": {"fusion": {"epochs": 0}}}}, "stage fusion of the training plan: epochs=0"),
        ({"plan": {"stages": {"fusion": {"seed": 1}}}}, "seed is the whole training's"),
        ({"plan": {"stages": {"decoding": {"epochs": 1}}}}, "decoding"),
        ({"config": {"joint": True}, "plan": {"stages": {"fusion": {"epochs": 1}}}}, "trained all at once"),
        ({"config": {"joint": False}, "balance": "b_fusion"}, "balances modalities that learn together"),
    ],
)
def test_errors_say_what_to_do(run, data, given, said):
    given = {**given, **({"start": run} if "start" in given else {})}
    with pytest.raises(ConfigError, match=said):
        order("delta_attention", data, **given)


def test_a_start_of_another_shape_or_other_data_is_refused(run, data, tmp_path):
    with pytest.raises(ConfigError, match="has the shape"):
        fit("delta_attention", data, runs=tmp_path, config={**SMALL, "correlated_size": 5}, plan=PLAN, start=run, stages=["fusion"])
    other = load("opinions/balanced", train=96, valid=40, test=48, seed=4)
    with pytest.raises(ConfigError, match="was trained on other data"):
        fit("delta_attention", other, runs=tmp_path, config=SMALL, plan=PLAN, start=run, stages=["fusion"])
    with pytest.raises(ConfigError, match="trained all at once"):
        order("lf_dnn", data, start=run, stages=["fusion"])
    assert not list(tmp_path.glob(".*.part"))


def test_a_rule_trains_all_at_once(data, tmp_path):
    found = fit("delta_attention", data, runs=tmp_path, config=SMALL, plan={"epochs": 2}, balance="b_fusion")
    assert found.config["config"]["joint"] is True
    assert "stages" not in found.metrics
    assert float(np.ptp(found.trace["steps"]["trace"].sel(quantity="weight").values)) > 0


def test_published_values_of_stages_are_left_out_where_all_is_trained_at_once(data):
    published = {"preset": "mosei", "config": {"text": "embedding"}}
    assert order("delta_attention", data, **published).plan.stages["unimodal.text"]["learning_rate"] == 1e-6
    assert order("delta_attention", data, balance="b_fusion", **published).plan.stages == {}
    assert order("delta_attention", data, **{**published, "config": {"text": "embedding", "joint": True}}).plan.stages == {}


def test_the_plan_of_a_stage(data):
    plan = Plan(epochs=7, stages={"unimodal": {"epochs": 2, "batch_size": 8}, "unimodal.text": {"epochs": 3}})
    assert [stage_plan(plan, Stage(name)).epochs for name in ("unimodal.text", "unimodal.audio", "fusion")] == [3, 2, 7]
    assert [stage_plan(plan, Stage(name)).batch_size for name in ("unimodal.text", "fusion")] == [8, 64]
    assert order("lf_dnn", data).stages == (WHOLE,)


def test_without_stages_nothing_changes_in_a_run(data, tmp_path):
    found = fit("lf_dnn", data, runs=tmp_path, plan={"epochs": 1}, config={"hidden_size": 8})
    assert "stages" not in found.metrics
    assert "stages" not in found.config["plan"]
    assert "stage" not in found.trace["history"].to_dataset()


def test_an_unknown_part_is_an_error(data):
    with (
        pytest.raises(ConfigError, match=r"fusion\.decoder, which the model does not have"),
        entered(start_model(data), Stage("x", ("fusion.decoder",))),
    ):
        pass


def test_a_run_from_a_start_is_not_another_seed_of_a_whole_one(run, data, tmp_path):
    again = fit("delta_attention", data, runs=tmp_path, config=SMALL, plan=PLAN, start=run, stages="fusion")
    assert again.settings_key != run.settings_key
    assert again.settings["start.stages"] == ["fusion"]


def test_a_start_of_other_behaviour_is_refused(data, tmp_path):
    """Equal shapes, another meaning: with the other direction of an equal reach the columns of W_rel are other offsets."""
    forward = fit("delta_attention", data, runs=tmp_path, config={**SMALL, "direction": "forward"}, plan=PLAN)
    with pytest.raises(ConfigError, match=r"unimodal\.\w+ does not say here what it said in the run"):
        fit("delta_attention", data, runs=tmp_path, config={**SMALL, "direction": "backward"}, plan=PLAN, start=forward, stages=["fusion"])
    joint = fit("delta_attention", data, runs=tmp_path, config={**SMALL, "joint": True}, plan={"epochs": 1})
    with pytest.raises(ConfigError, match="was trained all at once: it has no stages"):
        order("delta_attention", data, config=SMALL, start=joint, stages=["fusion"])


def test_given_values_win_over_published_ones_in_every_stage(data):
    def stages(plan: dict, **config) -> dict:
        return order("delta_attention", data, preset="mosei", config={"text": "embedding", **config}, plan=plan).plan.stages

    assert stages({})["correlation"]["epochs"] == 100
    assert stages({"epochs": 2})["correlation"] == {key: value for key, value in stages({})["correlation"].items() if key != "epochs"}
    one = stages({"stages": {"fusion": {"epochs": 2}}})
    assert one["fusion"] == {**stages({})["fusion"], "epochs": 2}
    assert one["unimodal.text"] == stages({})["unimodal.text"]
    group = stages({"stages": {"unimodal": {"learning_rate": 1e-3}}})
    assert "learning_rate" not in group["unimodal.text"]
    assert group["unimodal"] == {"learning_rate": 1e-3}
    assert "correlation" not in stages({}, has_correlation=False)


def test_equal_plans_are_equal_however_their_numbers_are_written():
    assert Plan(stages={"fusion": {"learning_rate": "5e-4"}}) == Plan(stages={"fusion": {"learning_rate": 5e-4}})


def test_a_wrong_part_of_a_late_stage_is_found_before_anything_is_trained(data, tmp_path):
    seen = []
    with pytest.raises(ConfigError, match=r"head\.xyz"):
        fit("delta_attention", data, runs=tmp_path, config=SMALL, plan={"stages": {"fusion": {"rates": {"head.xyz": 1e-3}}}}, on_epoch=seen.append)
    assert not seen
    with pytest.raises(ConfigError, match="is_traced is the whole training's"):
        order("delta_attention", data, plan={"stages": {"fusion": {"is_traced": False}}})


def test_a_loss_that_is_no_number_is_said_with_its_stage(data, tmp_path):
    rates = {"unimodal.audio": {"optimizer": "sgd", "learning_rate": 100.0, "epochs": 50}}
    with pytest.raises(TrainingError, match=r"(?s)the (valid )?loss became.*stage unimodal\.audio; "):
        fit("delta_attention", data, runs=tmp_path, config=SMALL, plan={"epochs": 1, "loss": "mse", "stages": rates})
