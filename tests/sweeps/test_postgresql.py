"""A study on a real PostgreSQL server: two drivers share the work, and a killed one's trial is taken over when its heartbeat stops."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from sweeps.killable import SETTINGS, desk, work

from workbench.errors import ConfigError
from workbench.sweeps import Sweep, sweep
from workbench.sweeps.desk import counted, is_interrupted, setting_of
from workbench.sweeps.ranges import plain
from workbench.sweeps.store import Store
from workbench.sweeps.trials import Outcome

KILLABLE = Path(__file__).with_name("killable.py")

TRIALS = len(SETTINGS["hidden_size"]) * len(SETTINGS["plan.learning_rate"])


def postgres_user() -> str | None:
    """Who may run the server: it refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    pytest.skip("PostgreSQL refuses to run as root, and there is no other user")


def server_programs(debian: Path = Path("/usr/lib/postgresql")) -> dict[str, str]:
    """Where `initdb` and `pg_ctl` lie, if they do: on the PATH, else where Debian's package keeps them, the newest version first."""
    folders = sorted(debian.glob("*/bin"), key=lambda path: [int(number) for number in re.findall(r"\d+", path.parent.name)], reverse=True)
    places = [None, *map(str, folders)]
    found = {name: next((path for place in places if (path := shutil.which(name, path=place))), None) for name in ("initdb", "pg_ctl")}
    return {name: path for name, path in found.items() if path}


def test_the_server_is_found_where_debian_keeps_it(tmp_path, monkeypatch):
    for version in ("9.6", "15", "16"):
        for name in ("initdb", "pg_ctl"):
            program = tmp_path / version / "bin" / name
            program.parent.mkdir(parents=True, exist_ok=True)
            program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert server_programs(tmp_path) == {name: str(tmp_path / "16" / "bin" / name) for name in ("initdb", "pg_ctl")}
    assert server_programs(tmp_path / "15") == {}
    monkeypatch.setenv("PATH", str(tmp_path / "15" / "bin"))
    assert server_programs(tmp_path)["initdb"] == str(tmp_path / "15" / "bin" / "initdb"), "what is on the PATH wins"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """URL of a fresh server on a free port of 127.0.0.1."""
    programs = server_programs()
    missing = [name for name in ("initdb", "pg_ctl") if name not in programs]
    if missing:
        pytest.skip(f"no PostgreSQL server here: {', '.join(missing)} neither on the PATH nor in /usr/lib/postgresql (apt install postgresql)")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    user = postgres_user()
    folder = Path(subprocess.run(["mktemp", "-d", "/tmp/pgXXXXXX"], capture_output=True, text=True, check=True).stdout.strip())
    if user:
        shutil.chown(folder, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(*command: str) -> None:
        done = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True, env={**os.environ, "HOME": str(folder)}, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    data = str(folder / "data")
    try:
        run(programs["initdb"], "-D", data, "-U", "tester", "--auth=trust", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        run(programs["pg_ctl"], "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start")
        try:
            yield f"postgresql://tester:unused@127.0.0.1:{port}/postgres"
        finally:
            run(programs["pg_ctl"], "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("learns", [False, True])
def test_two_drivers_share_the_trials_and_none_is_given_twice(server, learns, tmp_path):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        first, second = processes.map(work, [server] * 2, [f"shared-{learns}"] * 2, [learns] * 2, [str(tmp_path)] * 2, [2] * 2)
    assert first
    assert second
    assert len(first + second) == len(set(first + second)) == (9 if learns else 12)
    store = Store(server, f"shared-{learns}", is_lower_better=False)
    assert sorted(plain(setting_of(trial)) for trial in counted(store.trials())) == sorted(first + second)


def test_a_silent_driver_s_trial_is_taken_over_and_its_late_word_is_not_counted(server, monkeypatch):
    monkeypatch.setattr("workbench.sweeps.store.HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr("workbench.sweeps.store.GRACE_SECONDS", 2)
    silent = desk(server, "silent")
    number, setting = silent.claim()
    silent.close()
    other = desk(server, "silent")
    assert number not in [other.claim()[0] for _ in range(11)]
    assert other.claim() is None
    time.sleep(3.2)
    other.refill()
    # Only the silent one's: the other's own trials still have their heartbeat.
    taken = other.claim()
    assert taken[1] == setting
    assert other.claim() is None
    other.tell(taken[0], Outcome("complete", {0: {"m": 0.5}}), "m")
    silent.tell(number, Outcome("complete", {0: {"m": 0.9}}), "m")
    trials = other.store.trials()
    assert is_interrupted(trials[number])
    assert [trial.value for trial in counted(trials) if setting_of(trial) == setting] == [0.5]
    other.close()


def test_a_sweep_on_a_server_says_where_it_is_without_the_password(server, toy, tmp_path):
    plan = {"epochs": 2, "device": "cpu"}
    options = {"seeds": 1, "workers": 1, "study": server, "name": "on-a-server", "has_progress": False, "plan": plan}
    result = sweep("lf_dnn", toy, {"hidden": [4, 8]}, folder=tmp_path, **options)
    assert len(result.trials()) == 2
    assert not (result.path / "study.db").exists()
    assert all(b"unused" not in path.read_bytes() for path in result.path.glob("*.json"))
    assert Sweep.load(result.path).best()["value"] == result.best()["value"]
    # Another machine (folder) of the same study: it knows what the study is of, and finds everything done.
    again = sweep("lf_dnn", toy, {"hidden": [4, 8]}, folder=tmp_path / "other", **options)
    assert again.trials()["started"].tolist() == result.trials()["started"].tolist()
    with pytest.raises(ConfigError, match="another one"):
        sweep("lf_dnn", toy, {"hidden": [4, 8]}, folder=tmp_path / "third", **{**options, "seeds": 2})


def _both_at_work(store: Store, pid: int) -> bool:
    """True where two drivers have claimed trials and one of this process is running, not yet ended."""
    claimed = [trial for trial in store.trials() if "driver" in trial.user_attrs]
    is_in_a_trial = any(trial.state.name == "RUNNING" and trial.user_attrs["driver"].endswith(f":{pid}") for trial in claimed)
    return is_in_a_trial and len({trial.user_attrs["driver"] for trial in claimed}) == 2


@pytest.mark.slow
def test_two_drivers_one_of_them_killed(server, tmp_path):
    def start() -> subprocess.Popen:
        command = [sys.executable, str(KILLABLE), str(tmp_path), "1", server, "1", "3"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    first, second = start(), start()
    try:
        store = Store(server, "killed", is_lower_better=False)
        end = time.monotonic() + 240
        while not _both_at_work(store, first.pid):
            assert time.monotonic() < end, "the two drivers do not share the work"
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        _, error = second.communicate(timeout=300)
        assert second.returncode == 0, error
    finally:
        for process in (first, second):
            process.kill()
    result = Sweep.load(tmp_path / "killed", study=server)
    table = result.trials()
    assert Counter(table["state"]) == {"complete": TRIALS}
    assert len(table[result.keys].drop_duplicates()) == TRIALS
    assert any(is_interrupted(trial) for trial in store.trials()), "it was killed in the middle of a trial"
