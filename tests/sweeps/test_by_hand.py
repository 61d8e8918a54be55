"""A sweep beside comparisons: corners, variants, the same trainings by hand, chosen beside base."""

from types import SimpleNamespace

import pytest

from workbench.data import load
from workbench.errors import ConfigError
from workbench.experiments import compare
from workbench.sweeps import sweep
from workbench.sweeps.by_hand import (
    arguments,
    base_name,
    chosen_and_base,
    corners,
    read_over,
    say_trials,
    sealed,
    side_by_side,
    variant,
)  # fmt: skip

OVER = {"hidden": [4, 8], "learning_rate": [1e-3, 1e-2]}
PLAN = {"epochs": 2, "is_traced": False, "probe_every": 0}


def test_corners_are_the_first_and_the_last_of_everything() -> None:
    assert corners(OVER, "lf_dnn") == {
        "hidden_size=4, plan.learning_rate=0.001": {"hidden_size": 4, "plan.learning_rate": 0.001},
        "hidden_size=8, plan.learning_rate=0.01": {"hidden_size": 8, "plan.learning_rate": 0.01},
    }
    assert list(corners({"dropout": (0.1, 0.5)}, "lf_dnn").values()) == [{"dropout": 0.1}, {"dropout": 0.5}]
    with pytest.raises(ConfigError, match="hiden"):
        corners({"hiden": [1]}, "lf_dnn")


def test_a_setting_as_a_variant() -> None:
    order = {"method": "lf_dnn", "preset": "none", "plan": {"epochs": 2}, "over": OVER, "data": "opinions"}
    found = variant(order, {"hidden_size": 4, "plan.learning_rate": 0.1, "balance.rate": 0.5})
    expected = {"config": {"hidden_size": 4}, "plan": {"epochs": 2, "learning_rate": 0.1}, "balance_config": {"rate": 0.5}}
    assert found == {"method": "lf_dnn", "preset": "none", **expected}


def test_spans_are_read_as_the_terminal_writes_them() -> None:
    read = read_over({"hidden_size": "4..64:log", "dropout": "0.1..0.5", "layers": [1, 2], "plan.learning_rate": "1e-4..1e-2:log", "post_size": None})
    assert read == {
        "hidden_size": ("4", "64", "log"),
        "dropout": ("0.1", "0.5"),
        "layers": [1, 2],
        "plan.learning_rate": ("1e-4", "1e-2", "log"),
        "post_size": None,
    }
    assert read_over(None) is None
    first, last = corners(read, "lf_dnn").values()
    assert (first["hidden_size"], first["plan.learning_rate"], last["hidden_size"], last["dropout"]) == (4, 1e-4, 64, 0.5)
    with pytest.raises(ConfigError, match='dropout="much" is no span'):
        read_over({"dropout": "much"})


def test_a_sweep_is_found_again_by_its_own_arguments(tmp_path) -> None:
    options = {"train": 60, "valid": 40, "test": 40}
    given = {"over": {"hidden": (4, 8)}, "sampler": "random", "trials": 1, "seeds": 1, "plan": PLAN, "data_options": options}
    result = sweep("lf_dnn", "opinions/balanced", **given, workers=1, folder=tmp_path, has_progress=False)
    order = arguments(result)
    again = sweep(**order, sampler="random", trials=1, workers=1, folder=tmp_path, has_progress=False)
    assert again.path == result.path and len(again.trials()) == 1
    assert order["over"] == {"hidden_size": (4, 8)} and order["data_options"] == options and order["plan"] == PLAN


def test_by_hand_and_in_a_sweep_the_numbers_are_the_same(tmp_path) -> None:
    data = {seed: load("opinions/balanced", seed=seed, train=60, valid=40, test=40) for seed in (0, 1)}
    result = sweep("lf_dnn", data, OVER, seeds=2, plan=PLAN, workers=1, folder=tmp_path / "sweeps", has_progress=False)
    by_hand = compare(
        sealed(data), {name: variant({"method": "lf_dnn"}, setting) for name, setting in corners(OVER, "lf_dnn").items()},
        seeds=2, plan=PLAN, runs=tmp_path / "runs", workers=1, has_progress=False,
    )  # fmt: skip
    both = side_by_side(by_hand, result)
    assert len(both) == 4 and both["value_by_hand"].tolist() == pytest.approx(both["value_in_sweep"].tolist(), abs=1e-9)
    assert both["value_by_hand"].nunique() > 1
    assert not any("test" in run.metrics for run in by_hand.runs)
    assert say_trials(result) == "2 x 2 values, every combination: 4 trials"

    base = compare(data, {"any name": variant({"method": "lf_dnn"}, {})}, seeds=2, plan=PLAN, runs=tmp_path / "runs", workers=1, has_progress=False)
    ends = chosen_and_base(result, base, data=data).set_index(["variant", "split", "seed"])["value"]
    assert len(ends) == 8
    test = result.on_test(data)
    scores = result.scores([result.metric])
    valid = scores[scores["trial"] == result.best()["trial"]].set_index("seed")["value"]
    assert ends["chosen", "valid", 1] == valid[1]
    assert ends["chosen", "test", 1] == test[(test["seed"] == 1) & (test["metric"] == result.metric)]["value"].item()
    assert ends["base", "test", 0] == base.runs[0].metrics["test"][result.metric]


def test_settings_that_tables_cannot_hold_are_found_in_the_sweep(tmp_path) -> None:
    """None becomes nan beside numbers, a record becomes text, and names are short: 0.00100001 and 0.00100002 read alike."""
    data = load("opinions/balanced", train=60, valid=40, test=40)
    over = {"plan.clip_norm": [None, 0.01], "encoders": [{}, {"audio": "mlp"}], "plan.learning_rate": [0.00100001]}
    small = {"hidden_size": 4, "post_size": 4, "encoder_layers": 1, "encoder_heads": 1, "heads": 1}
    order = {"method": "mldfa", "config": small, "plan": {**PLAN, "epochs": 1}, "preset": "none"}
    result = sweep("mldfa", data, over, seeds=1, config=small, plan=order["plan"], preset="none", workers=1, folder=tmp_path, has_progress=False)
    chosen = corners(over, "mldfa")
    assert list(chosen)[1] == 'plan.clip_norm=0.01, encoders={"audio": "mlp"}, plan.learning_rate=0.001'
    variants = {name: variant(order, setting) for name, setting in chosen.items()}
    by_hand = compare(sealed(data), variants, seeds=1, runs=tmp_path / "runs", workers=1, has_progress=False)
    both = side_by_side(by_hand, result)
    assert list(both.columns) == ["variant", "seed", "value_by_hand", "value_in_sweep"] and len(both) == 2
    assert both["value_by_hand"].tolist() == pytest.approx(both["value_in_sweep"].tolist(), abs=1e-9)


def test_what_the_base_is_called_and_how_many_trials_its_values_make(tmp_path) -> None:
    data = load("opinions/balanced", train=60, valid=40, test=40)
    over = {"hidden_size": [64, 4], "plan.batch_size": [32, 16], "plan.learning_rate": [5e-4, 1e-3]}
    plan = {**PLAN, "epochs": 1, "batch_size": 32, "learning_rate": 1e-3}
    given = {"seeds": 1, "sampler": "each", "config": {"hidden_size": 4}, "plan": plan, "workers": 1, "has_progress": False}
    result = sweep("lf_dnn", data, over, folder=tmp_path, **given)
    # Each list holds the base (4, 32, .001): once that, and one other value of each.
    assert say_trials(result) == "6 values, one setting at a time: 4 trials (values that give the same setting are trained once)"
    # The preset of this data is of this house, no paper's.
    assert {base_name(result, key, data) for key in over} == {"base"}


def test_a_base_is_published_where_a_preset_has_it_and_nobody_changed_it() -> None:
    usual = {"hidden_size": 512, "plan.learning_rate": 1e-3, "dropout": 0.0}
    record = SimpleNamespace(method="mldfa", data={"modalities": []}, given={"preset": "mosi"}, usual=usual)
    data = load("opinions/balanced", train=20, valid=20, test=20)
    # The preset has width 512 and rate 5e-4 (section IV.D), and nothing of dropout.
    assert [base_name(SimpleNamespace(record=record), key, data) for key in usual] == ["published", "base", "base"]
