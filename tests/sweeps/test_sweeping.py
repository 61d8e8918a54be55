"""Sweeps with one worker, in this process: what is tried, kept, pruned, failed, chosen, and what test sees."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from workbench import fitting
from workbench.errors import ConfigError, SealedError, TrainingError, WorkbenchError
from workbench.runs import Run, load_all
from workbench.sweeps import Sweep, sweep
from workbench.sweeps import store as stores
from workbench.sweeps.record import one_driver
from workbench.training import predict

PLAN = {"epochs": 2, "probe_every": 0, "device": "cpu", "is_traced": False}


@pytest.fixture
def run(toy_maker, tmp_path):
    """A small sweep of lf_dnn in a folder of the test."""
    data = toy_maker(train=32, other=24)

    def call(over=None, method="lf_dnn", data=data, **options):
        options = {"seeds": 2, "workers": 1, "folder": tmp_path, "has_progress": False, "plan": PLAN, **options}
        return sweep(method, data, over, **options)

    return call


OVER = {"hidden": [4, 8], "dropout": [0.0, 0.5]}


def settings_of(result):
    return {tuple(row) for row in result.trials()[result.keys].itertuples(index=False)}


# What is tried


def test_a_grid_trains_every_combination_with_every_seed(run):
    result = run(OVER)
    assert result.keys == ["hidden_size", "dropout"]
    table = result.trials()
    assert settings_of(result) == {(4, 0.0), (4, 0.5), (8, 0.0), (8, 0.5)}
    assert set(table["state"]) == {"complete"}
    assert list(table["n"]) == [2] * 4
    runs = load_all(result.path / "runs")
    assert len(runs) == 8
    assert not list((result.path / "runs").glob(".*"))
    scores = result.scores([result.metric])
    for _, row in table.iterrows():
        mine = [run for run in runs if (run.config["config"]["hidden_size"], run.config["config"]["dropout"]) == (row["hidden_size"], row["dropout"])]
        values = [run.metrics["valid"][result.metric] for run in mine]
        assert sorted(run.seed for run in mine) == [0, 1]
        assert row["value"] == pytest.approx(np.mean(values))
        assert row["sd"] == pytest.approx(np.std(values, ddof=1))
        assert sorted(scores[scores["trial"] == row["trial"]]["value"]) == sorted(values)
        assert row["seconds"] == pytest.approx(sum(run.metrics["seconds"] for run in mine))
        assert row["started"] < row["ended"]


def test_the_numbers_are_those_of_fit(run, toy_maker):
    result = run({"hidden": [4]})
    data = toy_maker(train=32, other=24)
    alone = fitting.fit("lf_dnn", data, runs=result.path / "alone", config={"hidden_size": 4}, plan={**PLAN, "seed": 1})
    scores = result.scores()
    mine = scores[scores["seed"] == 1].set_index("metric")["value"]
    assert dict(mine) == alone.metrics["valid"]


def test_each_varies_one_setting_at_a_time(run):
    result = run({"hidden": [4, 8], "plan.batch_size": [16, 32]}, sampler="each", config={"hidden_size": 8}, plan={**PLAN, "batch_size": 32})
    assert settings_of(result) == {(4, 32), (8, 32), (8, 16)}


def test_random_and_tpe_stay_in_the_ranges_and_do_as_many_as_asked(run):
    for sampler in ("random", "tpe"):
        result = run({"hidden": (2, 9), "learning_rate": (1e-3, 1e-1, "log"), "plan.loss": None}, sampler=sampler, trials=5, seeds=1)
        table = result.trials()
        assert len(table) == 5
        assert table["hidden_size"].between(2, 9).all()
        assert table["plan.learning_rate"].between(1e-3, 1e-1).all()
        assert table["plan.learning_rate"].nunique() == 5
        assert set(table["plan.loss"]) <= {"l1", "mse"}
        for one in load_all(result.path / "runs"):
            assert one.config["plan"]["loss"] in set(table["plan.loss"])


def test_lists_and_records_can_be_swept(run, toy_maker):
    result = run({"plan.rates": [{}, {"encoders.audio": 0.01}], "clip_norm": [None, 1.0]}, seeds=1)
    assert set(result.trials()["plan.rates"]) == {"{}", '{"encoders.audio": 0.01}'}
    assert {json.dumps(one.config["plan"]["rates"]) for one in load_all(result.path / "runs")} == {"{}", '{"encoders.audio": 0.01}'}
    assert len(result.study.trials) == 4


def test_the_settings_of_a_balancing_rule(run):
    result = run({"balance.update": ["first_order", "exact"]}, balance="b_fusion", seeds=1)
    assert {one.config["balance_config"]["update"] for one in load_all(result.path / "runs")} == {"first_order", "exact"}


def test_published_ranges_are_the_default_and_their_absence_is_said(run, monkeypatch):
    with pytest.raises(ConfigError, match="no published ranges"):
        run()
    monkeypatch.setattr("workbench.methods.lf_dnn.RANGES", {"Fig. 1": {"hidden_size": [4, 8]}, "Fig. 2": {"plan.batch_size": [16]}}, raising=False)
    result = run(config={"hidden_size": 8}, plan={**PLAN, "batch_size": 32}, seeds=1)
    assert settings_of(result) == {(4, 32), (8, 32), (8, 16)}


def test_simulated_data_is_drawn_anew_for_each_seed(run):
    options = {"train": 24, "valid": 12, "test": 12}
    result = run({"hidden": [4]}, data="opinions/starved", data_options=options)
    assert len({one.config["fingerprint"] for one in load_all(result.path / "runs")}) == 2
    assert len(result.on_test().query("metric == @result.metric")) == 2
    fixed = run({"hidden": [4]}, data="opinions/starved", data_options={**options, "seed": 5})
    assert len({one.config["fingerprint"] for one in load_all(fixed.path / "runs")}) == 1


def test_one_data_set_a_seed(run, toy_maker):
    draws = {seed: toy_maker(train=32, other=24, seed=seed) for seed in (0, 1)}
    result = run({"hidden": [4]}, data=draws)
    assert len({one.config["fingerprint"] for one in load_all(result.path / "runs")}) == 2
    assert set(result.on_test(draws)["seed"]) == {0, 1}
    with pytest.raises(ConfigError, match="no data for seed 2"):
        run({"hidden": [4]}, data=draws, seeds=3)


def test_modalities(run):
    result = run({"hidden": [4]}, modalities=["text", "audio"], seeds=1)
    (one,) = load_all(result.path / "runs")
    assert one.config["modalities"] == ["text", "audio"]


# Going on, growing


def test_started_again_nothing_is_trained_and_everything_stays(run, monkeypatch):
    first = run(OVER)
    before = first.trials()
    monkeypatch.setattr(fitting, "training", None)
    again = run(OVER)
    pd.testing.assert_frame_equal(again.trials(), before)


def test_grid_values_can_be_added(run):
    first = run({"hidden": [4, 8], "plan.loss": ["l1"]}, seeds=1)
    before = first.trials()
    grown = run({"hidden": [4, 8, 6], "plan.loss": ["l1", "mse"]}, seeds=1)
    assert grown.path == first.path
    assert settings_of(grown) == {(n, loss) for n in (4, 8, 6) for loss in ("l1", "mse")}
    pd.testing.assert_frame_equal(grown.trials().iloc[:2], before)
    assert len(grown.trials()) == 6
    # Importance needs every trial in one space.
    assert {len(trial.distributions) for trial in grown.study.trials} == {2}
    assert len({str(trial.distributions) for trial in grown.study.trials}) == 1


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_trials_can_be_added(run, sampler):
    over = {"learning_rate": (1e-3, 1e-1, "log")}
    first = run(over, sampler=sampler, trials=2, seeds=1).trials()
    grown = run(over, sampler=sampler, trials=4, seeds=1).trials()
    assert len(grown) == 4
    pd.testing.assert_frame_equal(grown.iloc[:2], first)
    # Fewer than there are: nothing is lost.
    assert len(run(over, sampler=sampler, trials=1, seeds=1).trials()) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": 3}, "seeds: .* then, .* now"),
        ({"config": {"layers": 2}}, '"layers": 1.* then.*"layers": 2'),
        ({"plan": {**PLAN, "epochs": 3}}, "base: "),
        ({"over": {"hidden": [8, 16]}}, "hidden_size: 4, 8, not 8, 16"),
        ({"over": {"dropout": [0, 0.5]}}, "ranges"),
        ({"sampler": "each"}, 'sampler: "grid" then, "each" now'),
        ({"modalities": ["text", "vision"]}, "data: "),
        ({"method": "mult"}, 'method: "lf_dnn" then, "mult" now'),
    ],
)
def test_another_sweep_of_the_same_name_is_refused(run, change, words):
    first = run({"hidden": [4, 8]}, name="mine", seeds=1)
    before = (first.path / "sweep.json").read_bytes(), len(first.trials())
    with pytest.raises(ConfigError, match=words) as error:
        run(**{"over": {"hidden": [4, 8]}, "name": "mine", "seeds": 1, **change})
    assert "--name" in str(error.value)
    assert ((first.path / "sweep.json").read_bytes(), len(first.trials())) == before


def test_without_a_name_another_base_is_another_sweep(run):
    first, other = run({"hidden": [4]}, seeds=1), run({"hidden": [4]}, seeds=1, config={"layers": 2})
    assert first.path != other.path
    assert first.path.name.startswith("lf_dnn-toy-")


def test_two_drivers_of_one_folder_are_refused(run):
    first = run({"hidden": [4]}, seeds=1)
    with one_driver(first.path, is_shared=False), pytest.raises(WorkbenchError, match="another process runs the sweep"):
        run({"hidden": [4]}, seeds=1)


def test_a_wrong_value_is_found_before_anything_is_made(run, tmp_path):
    for change in ({"over": {"hidden": [0]}}, {"over": {"hiddn": [4]}}, {"preset": "mosei"}, {"config": {"width": 4}}, {"seeds": 0}):
        with pytest.raises(ConfigError):
            run(**{"over": {"hidden": [4]}, **change})
    assert not any(tmp_path.glob("*/sweep.json"))


def test_loaded_from_disk(run):
    made = run(OVER, seeds=1)
    loaded = Sweep.load(made.path)
    pd.testing.assert_frame_equal(loaded.trials(), made.trials())
    assert (loaded.method, loaded.dataset, loaded.metric, loaded.seeds) == ("lf_dnn", "toy", "acc2_non0", (0,))
    assert loaded.base["plan.epochs"] == 2
    assert "hidden_size" not in loaded.base
    with pytest.raises(WorkbenchError, match="is no sweep"):
        Sweep.load(made.path / "runs")


# Failures and pruning


def test_a_refused_setting_fails_and_the_others_go_on(run):
    result = run({"heads": [2, 3]}, method="mult", config={"hidden_size": 4, "layers": 1, "memory_layers": 1}, seeds=1)
    table = result.trials().set_index("heads")
    assert table["state"].to_dict() == {2: "complete", 3: "failed"}
    assert "seed 0" in table.loc[3, "error"]
    assert "heads" in table.loc[3, "error"]
    assert result.best()["heads"] == 2


def test_a_loss_of_nan_fails_leaves_nothing_and_is_not_trained_again(run, monkeypatch):
    over = {"learning_rate": [1e-3, 100.0]}
    plan = {**PLAN, "optimizer": "sgd", "epochs": 40}
    result = run(over, plan=plan, seeds=1)
    table = result.trials().set_index("plan.learning_rate")
    assert table["state"].to_dict() == {1e-3: "complete", 100.0: "failed"}
    assert "the loss became" in table.loc[100.0, "error"] or "the valid loss became" in table.loc[100.0, "error"]
    assert not list((result.path / "runs").glob(".*"))
    monkeypatch.setattr(fitting, "training", None)
    assert len(run(over, plan=plan, seeds=1).trials()) == 2


def test_an_unexpected_error_is_a_failure_and_can_be_tried_again(run, monkeypatch):
    real = fitting.training

    def broken(model, data, plan, **options):
        if plan.batch_size == 16:
            raise torch.cuda.OutOfMemoryError("no memory left")
        yield from real(model, data, plan, **options)

    monkeypatch.setattr(fitting, "training", broken)
    over = {"batch_size": [16, 32]}
    result = run(over, seeds=1)
    assert result.trials()["state"].tolist() == ["failed", "complete"]
    assert "OutOfMemoryError: no memory left" in result.trials()["error"][0]
    assert not list((result.path / "runs").glob(".*"))
    monkeypatch.setattr(fitting, "training", real)
    assert run(over, seeds=1).trials()["state"].tolist() == ["failed", "complete"]
    again = run(over, seeds=1, retry_failed=True).trials()
    assert sorted(again["state"]) == ["complete", "complete"]
    assert sorted(again["plan.batch_size"]) == [16, 32]


def test_all_failed_is_said_by_best(run):
    result = run({"heads": [3]}, method="mult", config={"hidden_size": 4}, seeds=1)
    with pytest.raises(WorkbenchError, match="no trial of the sweep is complete; the first failure: seed 0"):
        result.best()


def test_hopeless_trials_are_pruned_and_leave_nothing(run, monkeypatch, toy_maker):
    monkeypatch.setattr(stores, "STARTUP_TRIALS", 2)
    data = toy_maker(train=200, other=80, signal=4.0)
    trained = []
    monkeypatch.setattr(fitting.Progress, "keep", lambda self, epoch, keep=fitting.Progress.keep: (trained.append(epoch.number), keep(self, epoch)))
    over = {"learning_rate": [1e-2, 2e-2, 1e-7]}
    plan = {**PLAN, "epochs": 9, "patience": 99}
    result = run(over, data=data, plan=plan, seeds=2, prune=True)
    table = result.trials().set_index("plan.learning_rate")
    assert table["state"].to_dict() == {1e-2: "complete", 2e-2: "complete", 1e-7: "pruned"}
    # Two whole trials of two seeds; the third ends with the first report after the warm-up (a third of 9 epochs).
    assert trained == [*range(1, 10)] * 4 + [1, 2, 3]
    assert len(load_all(result.path / "runs")) == 4
    assert not list((result.path / "runs").glob(".*"))
    assert set(result.scores()["plan.learning_rate"]) == {1e-2, 2e-2}
    kept = run(over, data=data, plan=plan, seeds=2, prune=False, name="whole")
    assert set(kept.trials()["state"]) == {"complete"}


def test_the_value_on_the_way_is_the_mean_of_finished_seeds_and_the_best_so_far(run, toy_maker):
    data = toy_maker(train=64, other=40)
    plan = {**PLAN, "epochs": 3, "patience": 99}
    result = run({"learning_rate": (0.2, 0.3)}, data=data, trials=1, sampler="random", prune=True, plan=plan)
    first, second = sorted(load_all(result.path / "runs"), key=lambda one: one.seed)
    (trial,) = result.study.trials

    def best_so_far(one, epoch):
        history = one.trace["history"].to_dataset()["score"].sel(split="valid")
        number = int(history.sel(metric="loss", epoch=slice(1, epoch)).argmin("epoch")) + 1
        return float(history.sel(metric=result.metric, epoch=number))

    losses = [one.trace["history"].to_dataset()["score"].sel(split="valid", metric="loss").values for one in (first, second)]
    assert any(loss.argmin() < 2 for loss in losses), "the last epoch is the best of both: nothing is tested"
    expected = {epoch: best_so_far(first, epoch) for epoch in (1, 2, 3)}
    expected |= {3 + epoch: (best_so_far(first, 3) + best_so_far(second, epoch)) / 2 for epoch in (1, 2, 3)}
    assert trial.intermediate_values == pytest.approx(expected)
    assert trial.value == pytest.approx(expected[6])


# Choosing, and test


def test_of_a_method_in_stages_the_last_one_counts_on_the_way(run):
    small = {"hidden_size": 4, "head_size": 2, "heads": 1, "correlated_size": 2}
    plan = {**PLAN, "stages": {"fusion": {"epochs": 3}}}
    result = run({"post_size": [4, 8]}, method="delta_attention", config=small, plan=plan, sampler="random", trials=2, prune=True)
    # Two seeds of three epochs each: six steps, none twice, though the plan of the other stages has two epochs.
    assert [sorted(trial.intermediate_values) for trial in result.study.trials] == [[1, 2, 3, 4, 5, 6]] * 2
    for trial in result.study.trials:
        assert trial.intermediate_values[6] == pytest.approx(trial.value)


def test_the_best_follows_the_direction_and_the_first_of_equals(run, toy_maker):
    data = toy_maker(train=64, other=40, signal=3.0)
    higher = run({"learning_rate": [1e-6, 1e-2, 1e-6 * 2]}, data=data, seeds=1, plan={**PLAN, "epochs": 6})
    assert higher.best()["plan.learning_rate"] == 1e-2
    task = type(data.spec.task)("regression", headline="mae")
    data = type(data)(data.name, type(data.spec)(data.spec.modalities, task), data.splits)
    lower = run({"learning_rate": [1e-6, 1e-2]}, data=data, seeds=1, plan={**PLAN, "epochs": 6})
    assert lower.is_lower_better
    assert lower.best()["plan.learning_rate"] == 1e-2
    assert lower.best()["value"] == lower.trials()["value"].min()
    assert lower.study.best_value == lower.best()["value"]


def test_no_test_label_reaches_a_training_or_a_file_before_it_is_asked_for(run, toy_maker, monkeypatch):
    data, seen = toy_maker(train=32, other=24), []
    real = fitting.fit

    def watched(method, data, **options):
        seen.append(data)
        return real(method, data, **options)

    monkeypatch.setattr(fitting, "fit", watched)
    result = run(OVER, data=data)
    assert len(seen) == 8
    assert all(set(one.splits) == {"train", "valid"} for one in seen)
    with pytest.raises(SealedError):
        seen[0]["test"]
    for path in result.path.rglob("*"):
        assert path.is_dir() or not any(name.encode() in path.read_bytes() for name in data["test"].ids), path
    for one in load_all(result.path / "runs"):
        assert "test" not in one.metrics
    assert not (result.path / "chosen.json").exists()


def test_on_test_scores_the_chosen_runs_once(run, toy_maker, monkeypatch):
    data = toy_maker(train=32, other=24)
    result = run(OVER, data=data)
    monkeypatch.setattr(fitting, "training", None)
    scores = result.on_test(data)
    best = result.best()
    for seed in (0, 1):
        (one,) = [
            one
            for one in load_all(result.path / "runs")
            if (one.seed, one.config["config"]["hidden_size"], one.config["config"]["dropout"]) == (seed, best["hidden_size"], best["dropout"])
        ]
        with torch.no_grad():
            said = predict(one.model(), data["test"], fitting.Plan(**one.config["plan"])).prediction
        mae = scores[(scores["seed"] == seed) & (scores["metric"] == "mae")]["value"].item()
        assert mae == pytest.approx(float((said - data["test"].target).abs().mean()), abs=1e-6)
    content = json.loads((result.path / "chosen.json").read_text())
    (look,) = content["looks"]
    assert look["trial"] == best["trial"]
    assert look["setting"] == {"hidden_size": best["hidden_size"], "dropout": best["dropout"]}
    assert look["trials"] == {"complete": 4}
    assert look["date"][:2] == "20"
    # A second time nothing is computed: the file is read.
    monkeypatch.setattr(Run, "model", None)
    pd.testing.assert_frame_equal(Sweep.load(result.path).on_test(), scores)


def test_another_choice_after_growing_is_a_second_look_that_stands_beside_the_first(run, toy_maker):
    data = toy_maker(train=64, other=40, signal=3.0)
    plan = {**PLAN, "epochs": 6}
    result = run({"learning_rate": [1e-6]}, data=data, plan=plan)
    result.on_test(data)
    grown = run({"learning_rate": [1e-6, 1e-2]}, data=data, plan=plan)
    assert grown.path == result.path
    grown.on_test(data)
    looks = json.loads((grown.path / "chosen.json").read_text())["looks"]
    assert [look["setting"]["plan.learning_rate"] for look in looks] == [1e-6, 1e-2]
    assert [look["trials"] for look in looks] == [{"complete": 1}, {"complete": 2}]


def test_on_test_refuses_early_looks_missing_runs_and_other_data(run, toy_maker):
    data = toy_maker(train=32, other=24)
    result = run({"hidden": [4, 8]}, data=data)
    with pytest.raises(ConfigError, match="given as an object"):
        result.on_test()
    with pytest.raises(ConfigError, match="not the data of the sweep"):
        result.on_test(toy_maker(train=32, other=24, seed=1))
    with pytest.raises(ConfigError, match="has no test split"):
        result.on_test(data.sealed())
    result.store.study.enqueue_trial({"hidden_size": 6}, user_attrs={"setting": '{"hidden_size": 6}'})
    with pytest.raises(WorkbenchError, match="1 of 3 trials are unfinished"):
        result.on_test(data)
    (result.path / "runs").rename(result.path / "away")
    with pytest.raises(WorkbenchError, match="is not here; it was trained on"):
        result.on_test(data, is_early=True)
    assert not (result.path / "chosen.json").exists()


def test_sealed_runs_are_other_runs_than_those_with_test(run, toy_maker, tmp_path):
    data = toy_maker(train=32, other=24)
    result = run({"hidden": [4]}, data=data, seeds=1)
    (kept,) = load_all(result.path / "runs")
    whole = fitting.fit("lf_dnn", data, runs=result.path / "runs", config={"hidden_size": 4}, plan=PLAN, reuse=True)
    assert whole.id != kept.id
    assert "test" in whole.metrics


# Stopping


def test_ctrl_c_keeps_what_is_finished_and_the_same_call_goes_on(run, tmp_path):
    done = []

    def stop(number, outcome):
        done.append(number)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"Stopped\. 3 of 4 trials kept; the same command goes on\."):
        run(OVER, on_trial=stop)
    (path,) = tmp_path.iterdir()
    stopped = Sweep.load(path).trials()
    assert stopped["state"].tolist() == ["complete"] * 3 + ["waiting"]
    result = run(OVER)
    pd.testing.assert_frame_equal(result.trials().iloc[:3], stopped.iloc[:3], check_dtype=False)
    assert set(result.trials()["state"]) == {"complete"}
    assert len(load_all(path / "runs")) == 8


def test_an_interrupt_from_the_caller_keeps_the_checkpoint(toy_maker, tmp_path):
    data = toy_maker(train=32, other=24)
    epochs = []

    def stop(epoch):
        epochs.append(epoch.number)
        if len(epochs) == 2:
            raise KeyboardInterrupt

    settings = {"config": {"hidden_size": 4}, "plan": {**PLAN, "epochs": 3}, "runs": tmp_path, "on_epoch": stop}
    with pytest.raises(KeyboardInterrupt):
        fitting.fit("lf_dnn", data, **settings)
    whole = fitting.fit("lf_dnn", data, resume=True, **settings)
    assert epochs == [1, 2, 3]
    assert whole.metrics["epochs"] == 3


def test_discard_leaves_finished_and_held_runs_alone(toy, tmp_path):
    settings = {"config": {"hidden_size": 4}, "plan": PLAN, "runs": tmp_path}

    def stop(epoch):
        fitting.discard("lf_dnn", toy, **settings)
        assert list(tmp_path.glob(".*.part")), "a training that runs was removed"
        raise TrainingError("enough")

    with pytest.raises(TrainingError):
        fitting.fit("lf_dnn", toy, on_epoch=stop, **settings)
    assert list(tmp_path.glob(".*.part"))
    fitting.discard("lf_dnn", toy, **settings)
    assert not list(tmp_path.glob(".*.part"))
    fitting.fit("lf_dnn", toy, **settings)
    fitting.discard("lf_dnn", toy, **settings)
    assert len(load_all(tmp_path)) == 1
