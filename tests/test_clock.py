"""A clock that is set anew while something runs: no number depends on it, and no duration is negative or huge."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import clocks
import pytest

from workbench.clusters import own_cluster
from workbench.sweeps.trials import Job, train_setting


@pytest.fixture
def jumping(tmp_path) -> dict[str, str]:
    """The environment of a process whose clock jumps."""
    if shutil.which("gcc") is None:
        pytest.skip("the clock of a whole process is replaced by a small C library, and there is no gcc")
    source, library, offset = tmp_path / "clock.c", tmp_path / "clock.so", tmp_path / "offset"
    source.write_text(clocks.JUMPING)
    offset.write_bytes(bytes(8))
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return {**os.environ, "LD_PRELOAD": str(library), "CLOCK_OFFSET": str(offset), "PYTHONPATH": str(Path(__file__).parent)}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_clock_that_jumps_by_hours_changes_no_number(jumping, tmp_path, workers):
    here = clocks.work(tmp_path / "here", 1)
    command = [sys.executable, clocks.__file__, str(tmp_path / "there"), str(workers)]
    done = subprocess.run(command, env=jumping, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    assert there["metrics"] == json.loads(json.dumps(here["metrics"]))
    assert there["trials"] == here["trials"]
    assert len(there["seconds"]) == len(here["seconds"]) > 15
    assert all(0 < seconds < 300 for seconds in there["seconds"])


def test_the_seconds_of_a_failed_trial_are_not_read_from_the_clock(toy, tmp_path, monkeypatch):
    moments = iter([1e9, 0.0, 2e9, -1e9])
    monkeypatch.setattr("time.time", lambda: next(moments, 5e9))
    job = Job(
        number=0, method="lf_dnn", settings={"config": {}, "plan": {"epochs": 1, "learning_rate": 1e30}, "balance_config": {}}, setting={},
        source=Held(toy), seeds=(0,), metric="acc2_non0", runs=str(tmp_path),
    )  # fmt: skip
    outcome = train_setting(job, lambda step, value: None)
    assert outcome.state == "failed"
    assert 0 < outcome.seconds < 300


class Held:
    """A source of one data set."""

    def __init__(self, data) -> None:
        self.data = data

    def seed_data(self, seed: int):
        return self.data


def test_workers_of_our_own_are_not_taken_for_dead_when_the_clock_jumps():
    # dask compares the time of a worker's last word with the time of day: after a jump of hours it would start all of them again.
    with own_cluster(1) as cluster:
        assert cluster.scheduler.worker_ttl is None
