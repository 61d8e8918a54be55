"""Sweeps that are killed (the driver, everything, again and again) or stopped, and started again: nothing lost, nothing twice, nothing left over."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from sweeps.killable import SETTINGS, settings
from sweeps.processes import group, wait

from workbench.runs import load_all
from workbench.sweeps import Sweep, sweep
from workbench.sweeps.desk import is_interrupted

DRIVER = Path(__file__).with_name("killable.py")

TRIALS = len(SETTINGS["hidden_size"]) * len(SETTINGS["plan.learning_rate"])

pytestmark = pytest.mark.slow


@pytest.fixture
def start():
    """Starts a driver in a process group of its own, so that all of it can be killed and counted; nothing outlives the test."""
    started = []

    def call(folder: Path, workers: int | str) -> subprocess.Popen:
        command = [sys.executable, str(DRIVER), str(folder), str(workers)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True))
        return started[-1]

    yield call
    for process in started:
        for pid in group(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def finished(folder: Path) -> pd.DataFrame:
    """The complete trials as they stand on disk now."""
    path = folder / "killed"
    if not (path / "sweep.json").is_file():
        return pd.DataFrame({"trial": []})
    table = Sweep.load(path).trials()
    return table[table["state"] == "complete"]


def is_in_training(folder: Path, count: int) -> bool:
    """So many trials are finished and a further one has just begun: a kill between two trials would interrupt nothing."""
    if len(finished(folder)) < count:
        return False
    for path in (folder / "killed" / "runs").glob(".*.part/config.json"):
        with suppress(FileNotFoundError):  # it has ended meanwhile
            if time.time() - path.stat().st_mtime < 0.5:
                return True
    return False


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The same sweep without any trouble."""
    return sweep("lf_dnn", "opinions/starved", folder=tmp_path_factory.mktemp("unbroken"), workers=1, has_progress=False, **settings())


def check_whole(folder: Path, kept: pd.DataFrame, unbroken: Sweep) -> Sweep:
    """Every setting complete and counted once, with the numbers of the unbroken sweep; what was finished before the kills stands as it was."""
    result = Sweep.load(folder / "killed")
    table = result.trials()
    assert set(table["state"]) == {"complete"}
    assert len(table) == TRIALS
    assert len(table[result.keys].drop_duplicates()) == TRIALS
    after = table[table["trial"].isin(kept["trial"])]
    pd.testing.assert_frame_equal(after.reset_index(drop=True), kept.reset_index(drop=True), check_dtype=False)
    columns = [*result.keys, "seed", "metric", "value"]
    mine, theirs = (one.scores()[columns].sort_values(columns[:-1]).reset_index(drop=True) for one in (result, unbroken))
    pd.testing.assert_frame_equal(mine, theirs)
    assert len(load_all(result.path / "runs")) == 2 * TRIALS
    assert not list((result.path / "runs").glob(".*")), "something half-finished is left"
    assert not list(result.path.glob("data-*"))
    return result


@pytest.mark.parametrize("workers", [1, 2])
def test_kill_9_of_the_driver(tmp_path, workers, start, unbroken):
    process = start(tmp_path, workers)
    wait(lambda: is_in_training(tmp_path, 2), 240, "two finished trials and a third in training")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    # The workers have no driver any more: they end by themselves, they do not train on.
    wait(lambda: not group(process.pid), 15, "the workers are gone")
    kept = finished(tmp_path)
    assert 2 <= len(kept) < TRIALS
    process = start(tmp_path, workers)
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert out.split() == ["done", str(TRIALS)]
    result = check_whole(tmp_path, kept, unbroken)
    assert [trial for trial in result.store.trials() if is_interrupted(trial)]
    wait(lambda: not group(process.pid), 15, "no process is left")


def test_kill_9_of_a_driver_whose_workers_are_not_its_own(tmp_path, start, unbroken):
    from distributed import Client, LocalCluster

    quiet = {"silence_logs": 50, "scheduler_kwargs": {"dashboard": False, "dashboard_address": "127.0.0.1:0"}}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", memory_limit=0, **quiet) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        process = start(tmp_path, cluster.scheduler_address)
        wait(lambda: len(finished(tmp_path)) >= 1 and any(client.run(is_training).values()), 240, "a finished trial and one in training")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        # Nobody wants these trainings any more: they end after their epoch, with the checkpoint kept.
        wait(lambda: not any(client.run(is_training).values()), 15, "the workers have stopped")
        kept = finished(tmp_path)
        assert len(kept) < TRIALS
        _, error = (process := start(tmp_path, cluster.scheduler_address)).communicate(timeout=300)
        assert process.returncode == 0, error
        check_whole(tmp_path, kept, unbroken)


def is_training() -> bool:
    """In a worker: a trial is in training."""
    from workbench.sweeps import pools

    return pools._ONE.locked()


def test_kill_9_of_everything_twice(tmp_path, start, unbroken):
    kept = pd.DataFrame({"trial": []})
    for _ in range(2):
        process = start(tmp_path, 2)
        before = len(kept)
        wait(lambda before=before: len(finished(tmp_path)) > before, 240, "another finished trial")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        wait(lambda pid=process.pid: not group(pid), 15, "all are dead")
        kept = finished(tmp_path)
    assert len(kept) < TRIALS
    process = start(tmp_path, 2)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    check_whole(tmp_path, kept, unbroken)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(tmp_path, workers, start, unbroken):
    process = start(tmp_path, workers)
    wait(lambda: is_in_training(tmp_path, 1), 240, "a finished trial and a second in training")
    # As the keyboard does it: the whole group hears it.
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode != 0
    kept = finished(tmp_path)
    assert f"Stopped. {len(kept)} of {TRIALS} trials kept; the same command goes on." in error
    assert 1 <= len(kept) < TRIALS
    table = Sweep.load(tmp_path / "killed").trials()
    assert set(table["state"]) == {"complete", "waiting"}
    assert len(table) == TRIALS
    # What was in training is at its checkpoint.
    parts = list((tmp_path / "killed" / "runs").glob(".*.part"))
    assert parts
    assert all((part / "state.pt").is_file() for part in parts)
    assert not group(process.pid)
    process = start(tmp_path, workers)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    check_whole(tmp_path, kept, unbroken)
