"""`sweep`: from names to a finished sweep on disk, safe against interruption at any moment."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from workbench.data.batch import Dataset
from workbench.errors import ConfigError
from workbench.storage import refusals_said
from workbench.surroundings import named_workers, usable_cores
from workbench.sweeps.describe import make_record
from workbench.sweeps.desk import Desk, counted
from workbench.sweeps.drive import drive
from workbench.sweeps.pools import pool
from workbench.sweeps.progress import Progress
from workbench.sweeps.record import Record, default_name, grown, one_driver, read_record, write_json
from workbench.sweeps.results import Sweep
from workbench.sweeps.settings import Setting, listed_settings
from workbench.sweeps.sources import Source
from workbench.sweeps.store import Store
from workbench.sweeps.trials import Job, Outcome

REPORTS = 10
"""Reports of a training on the way, at most: each costs a write to the study."""

WARM_UP = 3
"""No trial is pruned in the first third of its first training."""


def sweep(
    method: str,
    data: str | Dataset | Mapping[int, Dataset],
    over: Mapping[str, Any] | None = None,
    *,
    seeds: int | Sequence[int] = 3,
    sampler: str | None = None,
    trials: int | None = None,
    study: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    folder: str | Path = "sweeps",
    name: str | None = None,
    prune: bool | None = None,
    config: Mapping[str, Any] | None = None,
    plan: Mapping[str, Any] | None = None,
    balance: str | None = "default",
    balance_config: Mapping[str, Any] | None = None,
    modalities: Sequence[str] | None = None,
    preset: str = "default",
    data_options: Mapping[str, Any] | None = None,
    retry_failed: bool = False,
    on_trial: Callable[[int, Outcome], None] | None = None,
    has_progress: bool = True,
) -> Sweep:
    """Trains a method with many settings and keeps what came of each; started again, it goes on where it was.

    A trial is one setting with every seed; its score is the mean over the seeds of the headline metric on valid. No training sees the test split:
    `Sweep.on_test` scores the chosen setting on it, at the end.

    Args:
        method: a name of `workbench list methods`.
        data: a card's name (simulated data is drawn anew for each seed), a data set, or one for each seed.
        over: what is swept (see `workbench.sweeps.ranges`); None: the method's published `RANGES`, one setting at a time.
        seeds: how many (0, 1, ...), or which.
        sampler: `grid` (every combination), `each` (one setting at a time around the base), `random` or `tpe`; None: grid for values, tpe for spans.
        trials: how many, for random and tpe.
        study: SQL URL of a study that several drivers may share; None: a SQLite file in the folder.
        workers: processes; None: one a core, or one a GPU. One trains in this process.
        scheduler: address of a dask scheduler whose workers train, instead of `workers`; they must see the same folder.
        folder, name: where it is kept: `folder/name`; None: a name from method, data and what is swept.
        prune: end trials early that fall behind the median; None: for random and tpe only, because lines over a grid need all of it.
        config, plan, balance, balance_config, preset: what is not swept (see `workbench.ordering.order`).
        modalities: only these.
        data_options: for `load`, with a card's name.
        retry_failed: try settings again whose training failed.
        on_trial: called with number and outcome of each trial that ends.
        has_progress: a line on stderr.

    Raises:
        ConfigError: an unknown name or value, or a sweep of this name that is another one; before anything is trained.
        StorageError: the disk is full or the folder read-only; everything finished is kept, and the same call goes on.
        KeyboardInterrupt: Ctrl-C; everything finished is kept, running trainings keep their checkpoints, and the same call goes on.
    """
    source = Source.of(data, data_options, modalities)
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not chosen:
        raise ConfigError("a sweep needs at least one seed")
    given = {"config": dict(config or {}), "plan": dict(plan or {}), "balance": balance, "balance_config": dict(balance_config or {})}
    record = make_record(method, source, over, {**given, "preset": preset}, seeds=chosen, sampler=sampler, trials=trials, prune=prune, study=study)
    path = Path(folder) / (name or default_name(record))
    with _faults_said(path), one_driver(path, is_shared=_is_shared(study)):
        result = open_sweep(path, record, source, study)
        _run(result, workers=workers, scheduler=scheduler, on_trial=on_trial, has_progress=has_progress, retry_failed=retry_failed)
    return result


def open_sweep(path: Path, record: Record, source: Source, study: str | None) -> Sweep:
    """The sweep of a folder and its study: made, or found again and grown.

    Raises:
        ConfigError: there is one of this name, and it is another.
    """
    record = Record(**{**record.__dict__, "study_name": path.name})
    if (path / "sweep.json").is_file():
        record = grown(record, read_record(path), where=str(path))
    url = study or f"sqlite:///{(path / 'study.db').resolve()}"
    store = Store(url, record.study_name, is_lower_better=record.is_lower_better, warm_up=-(-_epochs(record) // WARM_UP))
    with store.alone():
        earlier = store.record()
        if earlier is not None:
            # Another driver of a shared study may have begun it, or let it grow.
            record = grown(record, earlier, where=f"the study {record.study_name}")
        if earlier != record.as_dict():
            store.record(record.as_dict())
    write_json(path / "sweep.json", record.as_dict())
    return Sweep(path, record, store, source)


def _epochs(record: Record) -> int:
    """Most epochs of any trial, of its last stage where it has some: those are the ones that count."""
    found = record.read_ranges().get("plan.epochs")
    most = record.base["plan.epochs"] if found is None else int(max(found.values) if found.is_listed else found.high)
    return max([most, *(int(values["epochs"]) for values in record.base.get("plan.stages", {}).values() if "epochs" in values)])


def _faults_said(path: Path, kept: Callable[[], str] | None = None) -> AbstractContextManager[None]:
    """What the disk refuses to a sweep is said for people."""
    return refusals_said(path / "study.db", saving=f"the sweep {path.name}", elsewhere="choose another folder with --folder FOLDER", kept=kept)


def _is_shared(study: str | None) -> bool:
    return bool(study) and not study.startswith("sqlite")


def _run(
    result: Sweep, *, workers: int | None, scheduler: str | None, on_trial: Callable[[int, Outcome], None] | None, has_progress: bool,
    retry_failed: bool,
) -> None:  # fmt: skip
    """Trains what is missing."""
    record, ranges = result.record, result.record.read_ranges()
    store = result.store
    if record.sampler == "tpe":
        store.use_tpe(seed=len(store.trials()))
    desk = Desk(store, result.space(), listed_settings(record.sampler, ranges, record.usual, record.trials), record.trials)
    desk.start(retry_failed=retry_failed)
    try:
        if desk.is_done():
            return
        count = workers or default_workers()
        with handed_over(result, count, scheduler) as source:
            make_job = job_maker(record, source, result.path / "runs", 1 if scheduler else count)
            with pool(count, scheduler, desk.reported) as trainers:
                progress = _progress(result, desk, is_shown=has_progress)
                try:
                    with _faults_said(result.path, progress.kept):
                        drive(desk, trainers, make_job, metric=record.metric, progress=progress, on_trial=on_trial or (lambda number, outcome: None))
                except KeyboardInterrupt as stop:
                    raise KeyboardInterrupt(f"Stopped. {progress.kept()}") from stop
                finally:
                    progress.close()
    finally:
        desk.close()


def default_workers() -> int:
    """`WORKBENCH_WORKERS`, else one process a core that we may use; one a GPU where there are any.

    Raises:
        ConfigError: `WORKBENCH_WORKERS` is no number of processes.
    """
    import torch

    return named_workers() or (max(1, torch.cuda.device_count()) if torch.cuda.is_available() else usable_cores())


def job_maker(record: Record, source: Source, runs: Path, workers: int) -> Callable[[int, Setting], Job]:
    """Makes the job of a trial."""
    epochs = _epochs(record)
    every = max(1, epochs // REPORTS) if record.prune else 0
    facts = {"method": record.method, "settings": record.given, "source": source, "seeds": tuple(record.seeds), "metric": record.metric}
    facts |= {"runs": str(runs.resolve()), "every": every, "epochs": epochs, "workers": workers}
    return lambda number, setting: Job(number=number, setting=setting, **facts)


@contextmanager
def handed_over(result: Sweep, workers: int, scheduler: str | None) -> Iterator[Source]:
    """The source as the workers take it: held data lies in a file of the folder as long as they work."""
    if workers == 1 and not scheduler:
        yield result.source
        return
    if not result.store.is_shared:
        for path in result.path.glob("data-*.pickle"):
            path.unlink()  # of a driver that was killed
    source = result.source.for_others(result.path)
    try:
        yield source
    finally:
        if source.path:
            Path(source.path).unlink(missing_ok=True)


def _progress(result: Sweep, desk: Desk, *, is_shown: bool) -> Progress:
    """Where the sweep stands as it begins."""
    facts = {"metric": result.metric, "is_lower_better": result.is_lower_better}
    done, best = desk.standing(**facts)
    return Progress(max(desk.total, len(counted(result.store.trials()))), done, best=best, is_shown=is_shown, **facts)
