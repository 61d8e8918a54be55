"""Many trainings that are compared: variants x seeds, two or more at once, nothing trained twice.

    results = compare(load("mosi_utterance"), {"joint": {"method": "lf_dnn"}, "text alone": {"method": "lf_dnn", "modalities": ["text"]}}, seeds=5)
    results.scores("test")                                   # variant, seed, metric, value

A finished run is found again by its identity (every setting, the data's fingerprint, the version), so an interrupted comparison goes on where it was.
"""

import pickle
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from workbench.data.batch import Dataset
from workbench.errors import ConfigError, StorageError, TrainingError, WorkbenchError
from workbench.runs import Run, frames
from workbench.statistics import Difference, paired_difference
from workbench.storage import cannot_write
from workbench.surroundings import end_with_parent, named_workers, usable_cores


@dataclass(frozen=True)
class Results:
    """The runs of a comparison.

    Args:
        runs: finished runs, variant by variant, seed by seed.
        failed: one row a run that failed: variant, seed, what was wrong.
        headline: the task's headline metric.
    """

    runs: list[Run]
    headline: str
    failed: list[dict[str, Any]] = field(default_factory=list)

    def scores(self, split: str = "test", *, metrics: Sequence[str] | None = None) -> pd.DataFrame:
        """One row a number: variant, seed, split, metric, value."""
        rows = [
            {"variant": run.variant, "seed": run.seed, "split": split, "metric": metric, "value": value}
            for run in self.runs
            for metric, value in run.metrics[split].items()
            if metrics is None or metric in metrics
        ]
        return pd.DataFrame(rows)

    @cached_property
    def frames(self) -> dict[str, pd.DataFrame]:
        """Traces as tidy tables (see `workbench.runs.frames`)."""
        return frames(self.runs)

    def steps(self, quantity: str) -> pd.DataFrame:
        """One traced quantity, its mean over each epoch's steps: variant, seed, epoch, modality, value."""
        steps = self.frames["steps"]
        return steps[steps["quantity"] == quantity].drop(columns="quantity").reset_index(drop=True)

    def difference(self, after: str, before: str, *, split: str = "test", metric: str | None = None) -> Difference:
        """Score of `after` minus score of `before`, paired by seed, over the seeds that both finished."""
        table = self.scores(split, metrics=[metric or self.headline]).pivot(index="seed", columns="variant", values="value")
        for name in (after, before):
            if name not in table:
                raise ConfigError(f'no finished run of the variant "{name}"', expected=f"one of {', '.join(table.columns)}")
        pairs = table[[after, before]].dropna()
        return paired_difference(pairs[after].to_numpy(), pairs[before].to_numpy())

    def only(self, *variants: str) -> "Results":
        """The same results with some variants only."""
        return Results(
            [run for run in self.runs if run.variant in variants], self.headline, [row for row in self.failed if row["variant"] in variants]
        )

    def __add__(self, other: "Results") -> "Results":
        return Results([*self.runs, *other.runs], self.headline, [*self.failed, *other.failed])


def compare(
    data: Dataset | Mapping[int, Dataset],
    variants: Mapping[str, Mapping[str, Any]],
    *,
    seeds: int | Sequence[int] = 5,
    plan: Mapping[str, Any] | None = None,
    runs: str | Path = "runs",
    workers: int | None = None,
    has_progress: bool = True,
) -> Results:
    """Trains every variant with every seed and gathers the runs.

    Args:
        data: one data set for all seeds, or one for each seed (simulated data: another draw for each).
        variants: name in tables -> {"method": ..., and any of modalities, config, balance, balance_config, plan, preset}.
        seeds: how many (0, 1, ...), or which.
        plan: values for every variant's plan; a variant's own win.
        runs: folder of runs.
        workers: processes; None is one a core, or one where there is a GPU. One runs in this process.
        has_progress: a progress bar.

    Raises:
        ConfigError: an unknown name or value, before anything is trained.
        StorageError: the folder of runs is full or read-only, so that no further run can be kept.
        TrainingError: every run failed.
    """
    from tqdm import tqdm

    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen or not variants:
        raise ConfigError("a comparison needs at least one variant and one seed")
    jobs = [_job(name, settings, seed, plan or {}, data) for name, settings in variants.items() for seed in chosen]
    done: dict[tuple[str, int], Run] = {}
    failed = []
    bar = tqdm(total=len(jobs), unit="run", disable=not has_progress, desc="training")
    with bar:
        for (name, seed), outcome in _train_all(jobs, data, Path(runs), workers or default_workers()):
            bar.update()
            bar.set_postfix_str(f"{name}, seed {seed}")
            if isinstance(outcome, StorageError):
                raise outcome.said(f"{len(done)} of {len(jobs)} runs are finished; the same call goes on.", "give another folder: runs=") from outcome
            if isinstance(outcome, Run):
                done[name, seed] = outcome
            else:
                failed.append({"variant": name, "seed": seed, "error": str(outcome)})
    if not done:
        raise TrainingError(f"all {len(jobs)} runs failed; the first: {failed[0]['error']}")
    ordered = [done[name, seed] for name in variants for seed in chosen if (name, seed) in done]
    return Results(ordered, ordered[0].config["headline"], failed)


def default_workers() -> int:
    """`WORKBENCH_WORKERS`, else one process a core that we may use; one in all where there is a GPU, which trainings would fight for.

    Raises:
        ConfigError: `WORKBENCH_WORKERS` is no number of processes.
    """
    import torch

    return named_workers() or (1 if torch.cuda.is_available() else usable_cores())


def _job(name: str, settings: Mapping[str, Any], seed: int, plan: Mapping[str, Any], data: Dataset | Mapping[int, Dataset]) -> dict[str, Any]:
    """One training as plain values, checked now so that a typo is found before the first run."""
    from workbench.ordering import order

    settings = {**settings, "plan": {**plan, **settings.get("plan", {}), "seed": seed}}
    modalities = settings.pop("modalities", None)
    if "method" not in settings:
        raise ConfigError(f'the variant "{name}" names no method', expected='{"method": "lf_dnn", ...}')
    method = settings.pop("method")
    if not isinstance(data, Dataset) and seed not in data:
        raise ConfigError(f"there is no data for seed {seed}", expected=f"one of {', '.join(map(str, data))}")
    dataset = data if isinstance(data, Dataset) else data[seed]
    order(method, dataset.select(*modalities) if modalities else dataset, variant=name, **settings)
    return {"key": (name, seed), "method": method, "modalities": modalities, "settings": {**settings, "variant": name}}


def _train_all(
    jobs: list[dict[str, Any]], data: Dataset | Mapping[int, Dataset], runs: Path, workers: int
) -> Iterator[tuple[tuple[str, int], Run | WorkbenchError]]:
    """Every job's run or error, as they finish."""
    if workers == 1 or len(jobs) == 1:
        for job in jobs:
            yield job["key"], _train(job, data, runs)
        return
    with TemporaryDirectory(prefix="workbench-") as folder:
        path = Path(folder) / "data.pickle"
        try:
            path.write_bytes(pickle.dumps(data))
        except OSError as error:
            raise cannot_write(path, error, saving="the data for the worker processes", elsewhere="name another folder by TMPDIR") from error
        pool, waiting = _pool(workers), iter(jobs)
        running: dict[Future, tuple[str, int]] = {}
        try:
            while True:
                # Never more than the workers can start: what waits in a pool's queue cannot be called back on Ctrl-C.
                for job in islice(waiting, workers - len(running)):
                    running[pool.submit(_train_in_worker, job, path, runs)] = job["key"]
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        except BaseException:
            _pool.cache_clear()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@lru_cache(maxsize=1)
def _pool(workers: int) -> ProcessPoolExecutor:
    """Worker processes, kept for the next comparison: each takes seconds to import torch.

    Spawned, not forked: torch's thread pools and a notebook kernel's sockets do not survive a fork.
    """
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)


def _train(job: dict[str, Any], data: Dataset | Mapping[int, Dataset], runs: Path) -> Run | WorkbenchError:
    """Trains one job, or finds it finished; its error is an outcome, not the end of the others."""
    from workbench.fitting import fit

    dataset = data if isinstance(data, Dataset) else data[job["key"][1]]
    if job["modalities"]:
        dataset = dataset.select(*job["modalities"])
    try:
        return fit(job["method"], dataset, runs=runs, reuse=True, resume=True, **job["settings"])
    except WorkbenchError as error:
        return error
    except Exception as error:
        # Out of memory, a shape that does not fit: one run's end, not the comparison's.
        return TrainingError(
            f"{type(error).__name__}: {error}", where=f"{job['key'][0]}, seed {job['key'][1]}", do="train it alone to see the traceback"
        )


def _start_worker() -> None:
    """One thread a worker: several processes with default threads on few cores run many times slower. It ends when its parent does."""
    import torch

    end_with_parent()
    torch.set_num_threads(1)
    # Ctrl-C and a kernel's interrupt reach the whole process group: a worker that waits leaves it to the parent, one that trains saves first (`fit`).
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _train_in_worker(job: dict[str, Any], path: Path, runs: Path) -> Run | WorkbenchError:
    return _train(job, _read_data(path), runs)


@lru_cache(maxsize=1)
def _read_data(path: Path) -> Dataset | Mapping[int, Dataset]:
    """The comparison's data, read once by each worker; our own pickle, written a moment ago to a private folder."""
    return pickle.loads(path.read_bytes())
