"""What runs and reports are made with: versions, machine, git revision."""

import os
import platform
import subprocess
import threading
from functools import cache
from importlib import metadata
from multiprocessing import parent_process
from pathlib import Path

import workbench
from workbench.errors import ConfigError

RANDOM = threading.RLock()
"""Held while something depends on torch's random state, which all threads of a process share: trainings take turns, epoch by epoch, and a model that
is built beside one waits."""


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def named_workers() -> int | None:
    """The number of processes in `WORKBENCH_WORKERS`, where several notebooks share the machine, say; None where nothing is named.

    Raises:
        ConfigError: it is no number of processes.
    """
    named = os.environ.get("WORKBENCH_WORKERS")
    if not named:
        return None
    if not named.isdigit() or int(named) < 1:
        raise ConfigError(f"WORKBENCH_WORKERS={named} is no number of processes", expected="1 or more")
    return int(named)


def usable_memory() -> int:
    """The memory that this process and all beside it may use [bytes]: the machine's, or what its container is allowed."""
    import psutil

    limits = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    allowed = [int(line) for path in limits for line in _lines(path) if line.isdigit()]
    return min([psutil.virtual_memory().total, *allowed])


def device_words() -> str:
    """`CPU, 2 cores, no GPU` or the GPU's name, without importing torch (two seconds that nobody should wait for a first line)."""
    cores, models = usable_cores(), gpu_names()
    cards = ", ".join(f"{models.count(name)} x {name}" if models.count(name) > 1 else name for name in dict.fromkeys(models))
    return f"CPU, {cores} {'core' if cores == 1 else 'cores'}, {cards or 'no GPU'}"


def gpu_names() -> list[str]:
    """The models of this machine's NVIDIA GPUs, in the driver's order."""
    paths = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    return [line.split(":", 1)[1].strip() for path in paths for line in _lines(path) if line.startswith("Model")]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def versions() -> dict[str, str]:
    """The versions that matter for the numbers."""
    found = {"workbench": workbench.__version__, "python": platform.python_version()}
    found |= {name: package_version(name) for name in ("torch", "numpy", "scikit-learn", "transformers", "plotly", "papermill")}
    return found | {"device": device_words(), "system": platform.platform()}


def package_version(package: str) -> str:
    """The installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def first_line() -> str:
    """`workbench 0.1.0 · Python 3.11 · CPU, 2 cores, no GPU`."""
    python = ".".join(platform.python_version_tuple()[:2])
    return f"workbench {workbench.__version__} · Python {python} · {device_words()}"


def git_revision(folder: Path) -> str:
    """The revision of the checkout, `(with changes)` where files differ from it; nothing outside a checkout."""
    revision = _git(folder, "rev-parse", "--short=12", "HEAD")
    return f"{revision} (with changes)" if revision and _git(folder, "status", "--porcelain") else revision


def _git(folder: Path, *words: str) -> str:
    try:
        return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def end_with_parent() -> bool:
    """Makes a worker process end the moment its parent does, also after kill -9; True in a process that `multiprocessing` started.

    A pool's worker waits on a pipe whose other end it holds itself: without this it stays, with all its memory, until somebody kills it.
    """
    parent = parent_process()
    if parent is None:
        return False

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, name="end with parent", daemon=True).start()
    return True


@cache
def keep_freed_memory() -> bool:
    """Tells the C library to keep freed memory for the next batch; True where it could be told (Linux with glibc).

    By default it returns every large block to the system and gets it back a batch later, page by page: on the CPU that takes longer than filling it.
    """
    import ctypes

    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    try:
        library = ctypes.CDLL("libc.so.6")
        return bool(library.mallopt(mmap_threshold, 256 * 1024**2)) and bool(library.mallopt(trim_threshold, 1024**3))
    except (OSError, AttributeError):
        return False
