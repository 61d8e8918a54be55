"""Sweeps that are opened again in other surroundings: other data, another study, another device; and what tables keep."""

import pytest

from workbench.errors import ConfigError
from workbench.sweeps import sweep
from workbench.sweeps.desk import Desk
from workbench.sweeps.trials import Outcome

PLAN = {"epochs": 1, "probe_every": 0, "device": "cpu", "is_traced": False}


@pytest.fixture
def run(toy_maker, tmp_path):
    """A small sweep of lf_dnn in a folder of the test."""
    data = toy_maker(train=24, other=16)

    def call(over, data=data, **options):
        return sweep("lf_dnn", data, over, **{"seeds": 1, "workers": 1, "folder": tmp_path, "has_progress": False, "plan": PLAN, **options})

    return call


def test_test_is_scored_on_each_seeds_own_draw(run, toy_maker):
    held = {seed: toy_maker(seed=seed, train=24, other=16) for seed in (0, 1)}
    result = run({"hidden": [4]}, data=held, seeds=2)
    for wrong in (held[0], {0: held[1], 1: held[0]}):
        with pytest.raises(ConfigError, match="not the data of the sweep"):
            result.on_test(wrong)
    assert set(result.on_test(held)["seed"]) == {0, 1}


def test_a_look_at_test_is_found_by_its_setting_not_by_its_number(run, toy_maker, tmp_path):
    data = toy_maker(train=24, other=16)
    first = run({"hidden": [4]}, data=data, name="one")
    first.on_test(data)
    (tmp_path / "one" / "study.db").unlink()
    (tmp_path / "one" / "sweep.json").unlink()
    second = run({"hidden": [8]}, data=data, name="one")
    assert second.best()["trial"] == 0
    second.on_test(data)
    assert [look["setting"] for look in second._looks()] == [{"hidden_size": 4}, {"hidden_size": 8}]


@pytest.mark.parametrize("over", [{"hidden": [4, 8]}, {"layers": (1, 2)}])
def test_tpe_has_no_more_trials_than_there_are_settings(run, over):
    result = run(over, sampler="tpe", trials=5)
    table = result.trials()
    assert len(table) == 2
    assert table[result.keys[0]].nunique() == 2


def test_device_and_folders_are_no_other_sweep(run, tmp_path):
    options = {"train": 24, "valid": 16, "test": 16}
    first = run({"hidden": [4]}, data="opinions", data_options=options)
    plan = {key: value for key, value in PLAN.items() if key != "device"}
    second = run({"hidden": [4]}, data="opinions", data_options={**options, "root": tmp_path}, plan=plan)
    assert first.path == second.path
    assert len(second.trials()) == 1


def test_none_stays_none_in_the_tables(run):
    result = run({"clip_norm": [None, 1.0]})
    assert list(result.trials()["plan.clip_norm"]) == [None, 1.0]
    assert None in set(result.scores()["plan.clip_norm"])
    assert "nan" not in result.best_text()


def test_an_interrupted_trial_is_in_no_picture(run):
    result = run({"hidden": [4, 8]})
    desk = Desk(result.store, result.space(), [{"hidden_size": 16}], 0)
    desk.refill()
    number, _ = desk.claim()
    desk.tell(number, Outcome("stopped"), result.metric)
    assert len(result.store.trials()) == 3
    assert [trial.state.name for trial in result.study.trials] == ["COMPLETE", "COMPLETE"]


def test_standing_counts_the_trials_of_all_drivers(run):
    result = run({"hidden": [4, 8]})
    desk = Desk(result.store, result.space(), [], 0)
    done, (setting, values) = desk.standing(metric=result.metric, is_lower_better=result.is_lower_better)
    assert done == 2
    assert setting["hidden_size"] == result.best()["hidden_size"]
    assert sum(values) / len(values) == pytest.approx(result.best()["value"])
