"""The study: who gets which trial, what counts, and what a killed process leaves. Nothing is trained here."""

import sqlite3

import pytest

from workbench.errors import ConfigError
from workbench.sweeps import store as stores
from workbench.sweeps.desk import Desk, counted, is_failure, is_interrupted, setting_of
from workbench.sweeps.ranges import Range, plain
from workbench.sweeps.settings import listed_settings
from workbench.sweeps.space import Space
from workbench.sweeps.store import Store, plain_url, without_password
from workbench.sweeps.trials import Outcome

GRID = {"a": Range("a", (1, 2)), "b": Range("b", ("x", "y"))}


@pytest.fixture
def desk(tmp_path):
    """A new driver's desk on the same file: what a process sees that is started again."""

    def make(ranges=GRID, *, trials=0, learns=False, start=True, retry_failed=False):
        store = Store(f"sqlite:///{tmp_path}/study.db", "s", is_lower_better=False)
        if learns:
            store.use_tpe(seed=len(store.trials()))
        listed = [] if learns else listed_settings("grid", ranges, {}, None)
        made = Desk(store, Space(ranges, {}, learns), listed, trials)
        if start:
            made.start(retry_failed=retry_failed)
        return made

    return make


def complete(value, seeds=(0,)):
    return Outcome("complete", {seed: {"m": value} for seed in seeds}, {seed: f"run{seed}" for seed in seeds}, 1.0)


def all_settings(desk):
    return sorted(plain(setting_of(trial)) for trial in counted(desk.store.trials()))


def test_a_grid_is_handed_out_once_in_order(desk):
    here = desk()
    claims = [here.claim() for _ in range(5)]
    assert claims == [(0, {"a": 1, "b": "x"}), (1, {"a": 1, "b": "y"}), (2, {"a": 2, "b": "x"}), (3, {"a": 2, "b": "y"}), None]
    assert not here.is_done()
    for number in range(4):
        here.tell(number, complete(0.25 * number), "m")
    assert here.is_done()
    assert [trial.value for trial in here.store.trials()] == [0, 0.25, 0.5, 0.75]
    assert here.store.study.best_trial.number == 3


def test_the_value_is_the_mean_over_the_seeds(desk):
    here = desk()
    number, _ = here.claim()
    here.tell(number, Outcome("complete", {0: {"m": 0.5}, 1: {"m": 0.75}}), "m")
    assert here.store.trials()[0].value == 0.625


def test_what_ran_when_the_driver_died_is_tried_again_and_counts_once(desk):
    first = desk()
    first.claim(), first.claim(), first.claim()
    first.tell(1, complete(0.5), "m")
    before = {trial.number: (trial.value, trial.datetime_start, trial.datetime_complete) for trial in first.store.trials() if trial.value}
    # Killed here: trials 0 and 2 run.
    again = desk()
    claims = []
    while (claim := again.claim()) is not None:
        claims.append(claim)
        again.tell(claim[0], complete(0.1), "m")
    assert sorted(plain(setting) for _, setting in claims) == sorted(map(plain, [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"}]))
    assert all_settings(again) == sorted(map(plain, listed_settings("grid", GRID, {}, None)))
    assert [trial.number for trial in again.store.trials() if is_interrupted(trial)] == [0, 2]
    after = {trial.number: (trial.value, trial.datetime_start, trial.datetime_complete) for trial in again.store.trials() if trial.number in before}
    assert after == before
    # And a third start finds nothing to do.
    assert desk().is_done()


def test_killed_while_enqueueing(desk, tmp_path):
    here = desk()
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute("delete from trial_user_attributes where trial_id > 2")
        database.execute("delete from trial_system_attributes where trial_id > 2")
        database.execute("delete from trials where trial_id > 2")
    again = desk()
    assert all_settings(again) == sorted(map(plain, listed_settings("grid", GRID, {}, None)))
    assert here.store.name == again.store.name


def test_killed_between_claiming_and_noting_the_setting(desk, tmp_path):
    ranges = {"a": Range("a", (), 0.0, 1.0)}
    here = desk(ranges, trials=2, learns=True)
    here.claim()
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute("delete from trial_user_attributes")
    again = desk(ranges, trials=2, learns=True)
    assert again.claim() is not None
    assert again.claim() is not None
    assert again.claim() is None


def test_a_failure_is_an_outcome_and_is_tried_again_only_where_asked(desk):
    here = desk()
    for _ in range(4):
        number, _setting = here.claim()
        here.tell(number, Outcome("failed", error="nan") if number == 1 else complete(0.5), "m")
    assert desk().is_done()
    assert is_failure(here.store.trials()[1])
    again = desk(retry_failed=True)
    assert again.claim() == (4, {"a": 1, "b": "y"})
    again.tell(4, complete(0.9), "m")
    assert len(counted(again.store.trials())) == 4
    assert all_settings(again) == sorted(map(plain, listed_settings("grid", GRID, {}, None)))
    assert desk(retry_failed=True).is_done()


def test_a_stopped_trial_waits_for_the_next_start(desk):
    here = desk()
    here.claim(), here.claim()
    here.tell(0, Outcome("stopped"), "m")
    here.release_all()
    states = [trial.state.name for trial in counted(here.store.trials())]
    assert states == ["WAITING"] * 4
    assert all_settings(here) == sorted(map(plain, listed_settings("grid", GRID, {}, None)))


def test_tpe_proposes_as_many_as_asked_also_over_a_restart(desk):
    ranges = {"a": Range("a", (), 1e-4, 1.0, False, True)}
    here = desk(ranges, trials=14, learns=True)
    for _ in range(13):
        number, setting = here.claim()
        here.tell(number, complete(-abs(setting["a"] - 0.01)), "m")
    here.claim()
    again = desk(ranges, trials=14, learns=True)
    # The interrupted setting comes back, and no other one is proposed.
    assert again.claim()[1] == setting_of(here.store.trials()[13])
    assert again.claim() is None
    assert len({plain(setting_of(trial)) for trial in counted(again.store.trials())}) == 14


def test_tpe_over_few_values_tries_each_once_and_ends(desk):
    here = desk(trials=4, learns=True)
    settings = []
    while (claim := here.claim()) is not None:
        settings.append(plain(claim[1]))
        here.tell(claim[0], complete(1.0 if claim[1]["a"] == 1 else 0.0), "m")
    assert sorted(settings) == sorted(map(plain, listed_settings("grid", GRID, {}, None)))


def test_pruning_follows_the_median_after_the_warm_up(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "STARTUP_TRIALS", 2)
    store = Store(f"sqlite:///{tmp_path}/study.db", "s", is_lower_better=True, warm_up=2)
    here = Desk(store, Space(GRID, {}, False), listed_settings("grid", GRID, {}, None), 0)
    here.start()
    answers = []
    for place, values in enumerate([(3, 2, 1), (5, 4, 3), (9, 8, 2.5), (0.5, 0.5, 0.4)]):
        number, _ = here.claim()
        answers.append([here.reported(number, step, value) for step, value in enumerate(values, 1)])
        here.tell(number, Outcome("pruned") if any(answers[-1]) else complete(values[-1]), "m")
        assert number == place
    # Lower is better. Third trial: best so far 9, 8 and 2.5 against medians 4 (warm-up), 3 (at step 2: pruned) ...
    assert answers == [[False] * 3, [False] * 3, [False, True, True], [False] * 3]
    assert store.trials()[2].state.name == "PRUNED"


def test_a_step_that_is_reported_again_counts_once(desk):
    here = desk()
    here.claim()
    here.reported(0, 1, 0.5)
    here.reported(0, 1, 0.9)
    assert here.store.trials()[0].intermediate_values == {1: 0.5}
    assert here.reported(3, 1, 0.5) is False


def test_urls():
    assert plain_url("postgresql://u:p@h/d") == "postgresql+psycopg://u:p@h/d"
    assert plain_url("postgres://h/d") == "postgresql+psycopg://h/d"
    assert plain_url("sqlite:///x.db") == "sqlite:///x.db"
    assert without_password("postgresql://u:secret@h/d") == "postgresql+psycopg://u@h/d"
    assert without_password("postgresql://u@h/d?password=secret&sslmode=require") == "postgresql+psycopg://u@h/d?sslmode=require"


@pytest.mark.parametrize("url", ["nonsense", "nosuch://x/y", "sqlite:////no/such/folder/x.db"])
def test_a_study_that_cannot_be_opened_is_refused(url):
    with pytest.raises(ConfigError, match="the study cannot be opened"):
        Store(url, "s", is_lower_better=False)
