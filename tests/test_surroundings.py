"""Processes: a worker does not outlive its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from workbench.surroundings import end_with_parent

PARENT = """
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import os
from workbench.surroundings import end_with_parent

if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=end_with_parent)
    print(*{pool.submit(time.sleep, 0.2) and pool.submit(os.getpid).result() for _ in range(20)}, flush=True)
    time.sleep(60)
"""


def is_running(pid: int) -> bool:
    """True for a process that is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_worker_ends_with_its_parent_also_after_kill_9(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    workers = [int(word) for word in parent.stdout.readline().split()]
    assert workers
    assert all(is_running(pid) for pid in workers)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in workers if is_running(pid)] == []


def test_a_process_that_nobody_started_as_a_worker_follows_nobody():
    assert end_with_parent() is False
