"""Sweeps with worker processes: the same results, and what a killed worker, a failing one and a pruned trial leave."""

import os
import pickle
import signal
import time

import pandas as pd
import pytest
from sweeps.processes import living

from workbench.errors import ConfigError
from workbench.runs import load_all
from workbench.sweeps import sweep
from workbench.sweeps.trials import Outcome

PLAN = {"epochs": 3, "probe_every": 0, "device": "cpu"}

OVER = {"hidden": [4, 8], "dropout": [0.0, 0.5]}

pytestmark = pytest.mark.slow


EARLIER: set[int] = set()
"""Workers that other tests of this process left waiting, e.g. those of a comparison."""


@pytest.fixture(autouse=True)
def _earlier():
    """What is there before the test does not count."""
    EARLIER.clear()
    EARLIER.update(children())


def children():
    """Processes whose parent is this one, but for those that were there before the test."""
    own = [folder for folder, parent, _ in living() if parent == os.getpid() and b"spawn_main" in (folder / "cmdline").read_bytes()]
    return [int(folder.name) for folder in own if int(folder.name) not in EARLIER]


@pytest.fixture
def run(toy_maker, tmp_path):
    data = toy_maker(train=64, other=24)

    def call(over=OVER, **options):
        options = {"data": data, "seeds": 2, "workers": 2, "folder": tmp_path, "has_progress": False, "plan": PLAN, **options}
        return sweep(options.pop("method", "lf_dnn"), options.pop("data"), over, **options)

    return call


def test_two_workers_give_what_one_gives(run):
    one, two = run(workers=1, name="one"), run(workers=2, name="two")
    columns = ["state", "hidden_size", "dropout", "value", "sd", "n"]
    pd.testing.assert_frame_equal(one.trials()[columns], two.trials()[columns])
    pd.testing.assert_frame_equal(one.scores(), two.scores())
    assert children() == []
    assert len(load_all(two.path / "runs")) == 8
    assert not list((two.path / "runs").glob(".*"))
    # Two trained at the same time.
    table = two.trials().sort_values("started")
    assert (table["started"].iloc[1:].to_numpy() < table["ended"].iloc[:-1].to_numpy()).any()


def test_what_is_handed_to_the_workers_has_no_test_labels_and_is_gone_afterwards(run, toy_maker, tmp_path):
    data, seen = toy_maker(train=64, other=24), []

    def look(number: int, outcome: Outcome) -> None:
        seen.extend(path.read_bytes() for path in tmp_path.rglob("data-*.pickle"))

    result = run({"hidden": [4]}, data=data, on_trial=look)
    assert seen
    handed = pickle.loads(seen[0])
    assert set(handed.splits) == {"train", "valid"}
    labels = data["test"].target.numpy().tobytes()
    assert all(labels not in content and b"test_0" not in content for content in seen)
    assert data["valid"].target.numpy().tobytes() in seen[0]
    assert not list(result.path.glob("data-*"))


def test_a_killed_worker_is_started_again_and_its_trial_finished(run):
    killed = []

    def kill(number: int, outcome: Outcome) -> None:
        if not killed:
            # The other one is in the middle of a trial.
            killed.extend(children())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    result = run({"hidden": [3, 4, 5, 6, 7, 8]}, plan={**PLAN, "epochs": 25, "patience": 99}, on_trial=kill)
    assert len(killed) == 2
    table = result.trials()
    assert table["state"].tolist() == ["complete"] * 6
    assert table["trial"].tolist() == [0, 1, 2, 3, 4, 5], "the same trials, no new ones"
    assert len(load_all(result.path / "runs")) == 12
    assert not list((result.path / "runs").glob(".*"))


def test_a_setting_that_kills_its_worker_fails_and_the_others_go_on(run, tmp_path, monkeypatch):
    # The workers read what a user's own module would do: at width 5, the system takes the process (as it does when memory ends).
    (tmp_path / "greedy.py").write_text(
        "import os, signal\n"
        "from workbench.methods import lf_dnn\n"
        "def build(config, spec, make=lf_dnn.build):\n"
        "    if config.hidden_size == 5:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return make(config, spec)\n"
        "lf_dnn.build = build\n"
    )
    (tmp_path / "sitecustomize.py").write_text("import greedy\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = run({"hidden": [4, 5, 6]}, seeds=1)
    table = result.trials().set_index("hidden_size")
    assert table["state"].to_dict() == {4: "complete", 5: "failed", 6: "complete"}
    assert "was killed 3 times" in table.loc[5, "error"]


def test_failures_and_pruned_trials_in_workers(run, toy_maker, monkeypatch):
    monkeypatch.setattr("workbench.sweeps.store.STARTUP_TRIALS", 1)
    result = run({"heads": [2, 3]}, method="mult", config={"hidden_size": 4, "layers": 1, "memory_layers": 1}, seeds=1)
    assert result.trials().set_index("heads")["state"].to_dict() == {2: "complete", 3: "failed"}
    data = toy_maker(train=300, other=80, signal=4.0)
    over = {"learning_rate": [1e-2, 2e-2, 1e-7, 2e-7]}
    pruned = run(over, data=data, plan={**PLAN, "epochs": 200, "patience": 999}, seeds=1, prune=True, name="pruned")
    states = pruned.trials().set_index("plan.learning_rate")["state"]
    assert states[1e-2] == "complete"
    assert "pruned" in set(states[[1e-7, 2e-7]])
    assert not list((pruned.path / "runs").glob(".*"))


def test_the_workers_of_a_scheduler(run, tmp_path):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=True, host="127.0.0.1", dashboard_address=None, memory_limit=0) as cluster,
        Client(cluster) as client,
    ):
        result = run(seeds=1, scheduler=cluster.scheduler_address)
        assert set(result.trials()["state"]) == {"complete"}
        # They are left as they were.
        assert len(client.scheduler_info()["workers"]) == 1
    here = run(seeds=1, workers=1, name="here")
    assert result.scores()["value"].tolist() == here.scores()["value"].tolist()


def test_a_scheduler_that_does_not_answer_is_refused(run, monkeypatch):
    monkeypatch.setattr("workbench.clusters.WAIT_SECONDS", 1)
    begin = time.monotonic()
    with pytest.raises(ConfigError, match=r"no dask scheduler answers at tcp://127.0.0.1:9"):
        run(scheduler="tcp://127.0.0.1:9")
    assert time.monotonic() - begin < 20
