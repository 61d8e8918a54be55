"""One trial: one setting trained with all its seeds. It may run in any process; it knows nothing of the study.

The score of a trial is the mean over its seeds of the headline metric on valid, at each training's best epoch. There is no test split here.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench import fitting
from workbench.errors import StorageError, TrainingError, WorkbenchError
from workbench.surroundings import usable_cores
from workbench.sweeps.settings import grouped
from workbench.sweeps.sources import Source
from workbench.training import Epoch

Report = Callable[[int, float], None]
"""Called after an epoch with step and value so far (nan: not a step that counts); raises `PrunedError` or KeyboardInterrupt to end the training."""


class PrunedError(Exception):
    """The trial is not worth going on with."""


@dataclass(frozen=True)
class Job:
    """What a process needs to train one setting.

    Args:
        number: of the trial.
        method, settings: what is trained; `settings` as `workbench.ordering.order` takes them, without seed.
        setting: values of the swept keys.
        source: the data, without test.
        seeds: one training each.
        metric: the headline metric.
        runs: folder of the trials' runs.
        every: epochs between two reports; 0: none.
        epochs: most epochs of any trial: seed number k reports at the steps k * epochs + epoch.
        workers: trainings at once on this machine, which share its cores and its GPU; 1: this one has the machine.
        device: the device, where the plan leaves the choice.
    """

    number: int
    method: str
    settings: dict[str, Any]
    setting: dict[str, Any]
    source: Source
    seeds: tuple[int, ...]
    metric: str
    runs: str
    every: int = 0
    epochs: int = 0
    workers: int = 1
    device: str = ""

    def fit_settings(self, seed: int) -> dict[str, Any]:
        """The keyword arguments of `fit` for one seed."""
        groups = grouped(self.setting)
        plan = {**({"device": self.device} if self.device else {}), **self.settings["plan"], **groups["plan"], "seed": seed}
        config = {**self.settings["config"], **groups["config"]}
        rule = {**self.settings["balance_config"], **groups["balance"]}
        return {**self.settings, "config": config, "plan": plan, "balance_config": rule}


@dataclass
class Outcome:
    """What came of a trial.

    Args:
        state: complete, pruned, failed, or stopped (by Ctrl-C: to be tried again).
        scores: seed -> metric -> value on valid, of the finished seeds.
        runs: seed -> name of the run.
        seconds: of training, over the finished seeds.
        error: what was wrong.
        place: host where it ran.
        halt: of one that is stopped because nothing can be kept: why. The whole sweep ends by it.
    """

    state: str
    scores: dict[int, dict[str, float | None]] = field(default_factory=dict)
    runs: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    place: str = field(default_factory=socket.gethostname)
    halt: StorageError | None = None

    def values(self, metric: str) -> list[float]:
        """The headline scores of the finished seeds."""
        return [scores[metric] for scores in self.scores.values()]


def train_setting(job: Job, report: Report) -> Outcome:
    """Trains every seed of a setting, or finds it finished; what goes wrong is the trial's outcome.

    Raises:
        KeyboardInterrupt: Ctrl-C, or `report` asked for it; the running training's checkpoint is kept.
    """
    outcome, seed, begin = Outcome("complete"), job.seeds[0], time.monotonic()
    try:
        for place, seed in enumerate(job.seeds):
            data, watch = job.source.seed_data(seed), Watch(job, place, outcome.values(job.metric), report)
            run = fitting.fit(job.method, data, runs=job.runs, reuse=True, resume=True, on_epoch=watch, **job.fit_settings(seed))
            outcome.scores[seed], outcome.runs[seed] = run.metrics["valid"], run.id
            outcome.seconds += run.metrics["seconds"]
            if run.metrics["valid"][job.metric] is None:
                raise TrainingError(f"{job.metric} is not defined on valid", where=f"seed {seed}", do="choose data or a metric that is")
        return outcome
    except PrunedError:
        outcome.state = "pruned"
    except StorageError as error:
        # The setting is not to blame: it is tried again when there is room, from its checkpoint.
        return Outcome("stopped", halt=error)
    except WorkbenchError as error:
        outcome.state, outcome.error = "failed", f"seed {seed}: {error}"
    except Exception as error:
        # Out of memory, a shape that does not fit: one trial's end, not the sweep's.
        outcome.state, outcome.error = "failed", f"seed {seed}: {type(error).__name__}: {error}"
    outcome.seconds = max(outcome.seconds, time.monotonic() - begin)
    _discard(job, seed)
    return outcome


def _discard(job: Job, seed: int) -> None:
    """Removes the checkpoint of a training that will not go on."""
    try:
        fitting.discard(job.method, job.source.seed_data(seed), runs=job.runs, **job.fit_settings(seed))
    except WorkbenchError:
        # The setting itself is refused: nothing was begun.
        return


class Watch:
    """Reports a training's epochs: the mean over the finished seeds and the best epoch so far of this one; of stages, those of the whole model."""

    def __init__(self, job: Job, place: int, finished: list[float], report: Report) -> None:
        self.job, self.place, self.finished, self.report = job, place, finished, report
        self.best = float("nan")

    def __call__(self, epoch: Epoch) -> None:
        if not epoch.is_whole:
            self.report(self.place * self.job.epochs, float("nan"))
            return
        if epoch.is_best:
            self.best = float(epoch.metrics("valid")[self.job.metric])
        is_step = self.job.every and epoch.number % self.job.every == 0
        value = (sum(self.finished) + self.best) / (len(self.finished) + 1) if is_step else float("nan")
        self.report(self.place * self.job.epochs + epoch.number, value)


def share_machine(workers: int) -> None:
    """Gives this process its share of the cores and of the GPU's memory, where several train at once."""
    import torch

    if workers <= 1:
        return
    torch.set_num_threads(max(1, usable_cores() // workers))
    if torch.cuda.is_available() and torch.cuda.device_count() == 1:
        torch.cuda.set_per_process_memory_fraction(1 / workers)


def runs_here(folder: str | Path, names: dict[int, str]) -> bool:
    """True where all these runs lie in the folder, as seen from this machine."""
    return all((Path(folder) / name / "metrics.json").is_file() for name in names.values())
