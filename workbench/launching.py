"""Starting the ranks of a training on this machine, watching them, and ending them together.

Not by torchrun's agent: at Ctrl-C it gives them 30 s, and an epoch that is to be saved may need more; one rank's error it answers with a page of its
own. The ranks find the same environment as under torchrun, and `fit` cannot tell which of the two started it.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed

from workbench.errors import ConfigError, TrainingError
from workbench.ranks import FAILED, launched
from workbench.surroundings import end_with_parent, usable_cores

GRACE = 10.0
"""Seconds that the other ranks have to end by themselves once one has failed; then they are ended."""


def launch(ranks: int, target: Callable[..., int], *arguments: Any) -> int:
    """Starts the ranks on this machine, each a process that calls `target(*arguments)`, and waits for them.

    Ctrl-C reaches every rank once (the terminal's own does not). Where one fails, the others are ended: nobody waits for ever.

    Args:
        ranks: how many.
        target: a function of a module; what it returns is the process's exit code.
        arguments: its arguments; they are pickled.

    Returns:
        0, or the exit code of the rank that failed first.

    Raises:
        TrainingError: a rank was killed.
    """
    # A store of this process's own on a port that the system chooses: two trainings on one machine do not meet.
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_begin, args=(rank, ranks, store.port, target, arguments), name=f"rank {rank}") for rank in range(ranks)]
    for process in processes:
        process.start()
    with _interrupts_go_to(processes):
        failed = _first_failed(processes)
        if failed is None:
            return 0
        if failed.exitcode < 0:
            store.add(FAILED, 1)
        _end(processes)
    if failed.exitcode < 0:
        what = f"{failed.name} was ended by signal {-failed.exitcode} ({signal.Signals(-failed.exitcode).name})"
        raise TrainingError(what, do="look for too little memory; the same command with --resume goes on from the last checkpoint")
    return failed.exitcode


def _begin(rank: int, ranks: int, port: int, target: Callable[..., int], arguments: tuple[Any, ...]) -> None:
    """A rank's process: told where it stands as torchrun tells it, with its part of the cores."""
    os.setpgrp()  # The terminal's Ctrl-C is for the process that started this one.
    end_with_parent()
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, usable_cores() // ranks))
    sys.exit(target(*arguments))


def _first_failed(processes: Sequence[Any]) -> Any:
    """Waits until all have ended well (None), or one has not (that one)."""
    waiting = list(processes)
    while waiting:
        multiprocessing.connection.wait([process.sentinel for process in waiting])
        for process in [process for process in waiting if process.exitcode is not None]:
            if process.exitcode:
                return process
            waiting.remove(process)
    return None


def _end(processes: Sequence[Any]) -> None:
    """Gives the ranks some time to end by themselves, then ends them."""
    end = time.monotonic() + GRACE
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
    for stop in ("terminate", "kill"):
        for process in processes:
            if process.is_alive():
                getattr(process, stop)()
                process.join(2.0)


@contextmanager
def _interrupts_go_to(processes: Sequence[Any]) -> Iterator[None]:
    """Ctrl-C is passed on to the processes instead of interrupting this one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def pass_on(number: int, frame: Any) -> None:
        for process in processes:
            if process.is_alive():
                os.kill(process.pid, signal.SIGINT)

    signal.signal(signal.SIGINT, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def check_count(ranks: int, device: str) -> str:
    """Whether so many ranks fit this machine: empty, or a warning in words.

    Args:
        ranks: how many are to be started here.
        device: the plan's.

    Raises:
        ConfigError: more ranks than GPUs, one device for several ranks, or ranks within ranks.
    """
    if launched() > 1:
        raise ConfigError(f"--nproc {ranks} inside one of {launched()} ranks that torchrun started", do="leave --nproc away")
    kind, _, number = device.partition(":")
    if number:
        raise ConfigError(f"{device} is one device, and {ranks} ranks need one each", do=f"device={kind}: rank 0 takes {kind}:0, and so on")
    if kind == "cuda" or (kind == "auto" and torch.cuda.is_available()):
        if torch.cuda.device_count() < ranks:
            found = torch.cuda.device_count()
            raise ConfigError(f"{ranks} ranks need a GPU each, and this machine has {found}", do=f"--nproc {found}, or --device cpu")
    elif ranks > usable_cores():
        return f"{ranks} ranks share {usable_cores()} cores: fewer are faster"
    return ""
