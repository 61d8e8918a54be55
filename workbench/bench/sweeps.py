"""What a sweep costs beside a bare loop of the same trainings, and how much sooner two workers are done than one.

costs = sweep_costs("lf_dnn", load("opinions/balanced", align_to="text"), {"hidden_size": [8, 16], "dropout": [0.0, 0.2]}, folder="/tmp/costs")
print(say_sweep_costs(costs))

The bare loop is `fit` called once for each setting and seed, on the same sealed data: what a person would write without a study. Everything runs in
turn, a bare loop, a sweep in this process, a sweep with worker processes, then the next round; ratios are of the same round. A sweep in this process
is judged by processor seconds, which another process on the machine does not lengthen as it does the seconds on the clock; both stand in the table.
Two workers can only be judged by the clock, and only where two cores are free: `two_cores` says what the machine gave two processes at that moment.
"""

import math
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from workbench.data.batch import Dataset
from workbench.fitting import fit
from workbench.sweeps import sweep
from workbench.sweeps.settings import grouped

OVERHEAD, GAIN = 1.10, 1.7
"""The most that a sweep may take for what a bare loop takes once, and the least that two workers must gain on two free cores."""

BARE, HERE, WORKERS = "bare loop", "sweep", "sweep, two workers"
"""Variants of `sweep_costs`."""

SPIN = "import time; end = time.process_time() + {seconds}\nwhile time.process_time() < end: pass"
"""A process that needs so many processor seconds, and nothing else."""


def sweep_costs(
    method: str, data: Dataset, over: Mapping[str, Sequence[Any]], *, seeds: int = 1, rounds: int = 3, variants: Sequence[str] = (BARE, HERE),
    config: Mapping[str, Any] | None = None, plan: Mapping[str, Any] | None = None, folder: str | Path | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Seconds of the same trainings by a bare loop and by sweeps.

    Args:
        method, data: what is trained, on what; the test split is left out.
        over: lists of values by full name, e.g. `hidden_size`, `plan.learning_rate`; every combination is a trial.
        seeds: trainings of each setting.
        rounds: how often each variant runs, in turn; one more round warms up.
        variants: of `BARE`, `HERE`, `WORKERS`.
        config, plan: what is not swept.
        folder: where the runs are kept; None: a folder that is removed afterwards.

    Returns:
        One row a variant and round: variant, round, trials, seconds (on the clock), processor (of this process; nan where others train), training
        (on the clock, from the first trial's begin to the last one's end: without the start of the workers).
    """
    given = {"config": dict(config or {}), "plan": dict(plan or {}), "balance": "none", "preset": "none"}
    settings = [dict(zip(over, values, strict=True)) for values in product(*over.values())]
    rows = []
    with TemporaryDirectory(prefix="workbench-") as scratch:
        for number in range(rounds + 1):
            for variant in variants:
                place = Path(folder or scratch) / f"{variant.replace(', ', '-').replace(' ', '-')}-{number}"
                begin, used = time.perf_counter(), time.process_time()
                if variant == BARE:
                    bare_loop(method, data, settings, seeds=seeds, runs=place, given=given)
                    training = time.perf_counter() - begin
                else:
                    count = 2 if variant == WORKERS else 1
                    how = {"workers": count, "folder": place, "name": "sweep", "prune": False, "sampler": "grid", "has_progress": False}
                    found = sweep(method, data, over, seeds=seeds, **how, **given)
                    table = found.trials()
                    training = (table["ended"].max() - table["started"].min()).total_seconds()
                taken, worked = time.perf_counter() - begin, time.process_time() - used
                row = {"variant": variant, "round": number - 1, "trials": len(settings), "seconds": taken}
                rows += [{**row, "processor": math.nan if variant == WORKERS else worked, "training": training}] if number else []
    return pd.DataFrame(rows)


def bare_loop(method: str, data: Dataset, settings: Sequence[Mapping[str, Any]], *, seeds: int, runs: Path, given: Mapping[str, Any]) -> None:
    """Trains every setting with every seed, one after the other."""
    sealed = data.sealed()
    for setting in settings:
        groups = grouped(setting)
        config = {**given["config"], **groups["config"]}
        for seed in range(seeds):
            fit(method, sealed, runs=runs, **{**given, "config": config, "plan": {**given["plan"], **groups["plan"], "seed": seed}})


def two_cores(seconds: float = 1.0) -> float:
    """How much more two processes get done here, now, than one: 2 where two cores are free, 1 where they share one."""

    def clock(count: int) -> float:
        begin = time.perf_counter()
        started = [subprocess.Popen([sys.executable, "-S", "-c", SPIN.format(seconds=seconds)]) for _ in range(count)]
        for process in started:
            process.wait()
        return time.perf_counter() - begin

    return 2 * clock(1) / clock(2)


def ratios(costs: pd.DataFrame, over: str, under: str, column: str) -> pd.Series:
    """One variant's seconds over another's, round by round."""
    table = costs.pivot(index="round", columns="variant", values=column)
    return table[over] / table[under]


def say_sweep_costs(costs: pd.DataFrame) -> str:
    """One sentence a comparison that the table holds, with the spread over rounds.

    Args:
        costs: see `sweep_costs`.
    """
    there, trials, said = set(costs["variant"]), int(costs["trials"].iloc[0]), []

    def spread(found: pd.Series) -> str:
        return f"{found.median():.3f} (rounds {found.min():.3f} to {found.max():.3f}, n = {len(found)})"

    if {BARE, HERE} <= there:
        used, clock = ratios(costs, HERE, BARE, "processor"), ratios(costs, HERE, BARE, "seconds")
        table = costs.pivot(index="round", columns="variant", values="processor")
        more = 1000 * (table[HERE] - table[BARE]).median() / trials
        said.append(f"A sweep of {trials} trials took {spread(used)} times the processor seconds of a bare loop, {more:.0f} ms a trial more")
        said.append(f"on the clock {spread(clock)} times; at most {OVERHEAD:.2f} is wanted")
    if {HERE, WORKERS} <= there:
        gain, whole = ratios(costs, HERE, WORKERS, "training"), ratios(costs, HERE, WORKERS, "seconds")
        said.append(f"two workers were {spread(gain)} times as fast as one, with their start {spread(whole)} times; at least {GAIN} is wanted")
    return "; ".join(said) + "."
