"""`fit`: one training from names to a finished run on disk, safe against interruption at any moment.

run = fit("lf_dnn", load("opinions/starved"), balance="b_fusion", plan={"seed": 3})
run.metrics["test"]["acc2_non0"]

Where several processes were started together (torchrun, or `workbench train ... --nproc 2`), each calls `fit`, and they train together: the numbers
are those of one process (`workbench.ranks`). Rank 0 alone writes, and `on_epoch` is called there.
"""

import hashlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from workbench import balance as balancing
from workbench import methods
from workbench.data.batch import Dataset
from workbench.errors import TrainingError
from workbench.model import FusionModel
from workbench.ordering import Order, order
from workbench.plan import Plan, check_parts, resolve_device, stage_plan
from workbench.ranks import any_of, count, from_first, is_first, joined
from workbench.recording import describe, epoch_means, finish, packed, watched
from workbench.runs import Run, Workspace, discard_parts, workspace
from workbench.stages import entered
from workbench.tracing import complete
from workbench.training import Epoch, OnTick, TrainingState, training

CHECKPOINT_SECONDS = 10.0
"""Least time between two checkpoints: a training that is killed loses at most this and the epoch it was in."""


def fit(
    method: str,
    data: Dataset,
    *,
    runs: str | Path = "runs",
    resume: bool = False,
    reuse: bool = False,
    on_epoch: Any = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    **settings: Any,
) -> Run:
    """Trains to the end, scores the best epoch once on test, and writes the run.

    Args:
        method: a name of `workbench list methods`.
        data: the data; its sentences are prepared as the method's Config says.
        runs: folder of runs.
        resume: go on from a checkpoint of exactly this run, if one was left; a finished one is returned.
        reuse: where exactly this run is finished already, return it.
        on_epoch: called with each `Epoch`; a KeyboardInterrupt from it ends the training with its checkpoint kept.
        settings: see `order` (config, balance, balance_config, plan, preset, variant, stages, start).

    Raises:
        ConfigError: an unknown name or value.
        TrainingError: the loss became nan, or the folder cannot be written; the last checkpoint is kept in the `.part` folder.
    """
    wanted = order(method, data, **settings)
    data = methods.prepare(data, wanted.config)
    identity = wanted.identity(data)
    run_id = name_run(wanted, data, identity)
    finished = Path(runs) / run_id
    with joined(has_cuda=resolve_device(wanted.plan.device).type == "cuda"):
        if (reuse or resume) and (found := from_first(lambda: Run.load(finished) if finished.is_dir() else None)):
            # The same training under another name in another table is the same run.
            return replace(found, config={**found.config, "variant": wanted.variant})
        model = begin(wanted, data, identity["fingerprint"])
        with desk(Path(runs), run_id, resume=resume) as space:
            if space is not None:
                facts = {**describe(wanted, data, identity), "ranks": count()}
                space.write("config.json", lambda path: path.write_text(json.dumps(facts, indent=1)))
            progress = Progress(model, wanted, data, space, checkpoint_seconds)
            progress.run(on_epoch)
            return from_first(lambda: Run.load(finish(space, model, data, wanted, progress)))


def desk(runs: Path, run_id: str, *, resume: bool) -> AbstractContextManager[Workspace | None]:
    """The run's folder in the making; None for a rank that does not write."""
    return workspace(runs, run_id, resume=resume) if is_first() else nullcontext()


def begin(wanted: Order, data: Dataset, data_fingerprint: str) -> FusionModel:
    """The model as it is before the first epoch, with its balancing rule.

    Raises:
        ConfigError: a part or a start that does not fit the model.
    """
    model = methods.build(wanted.method, wanted.config, data.spec, seed=wanted.plan.seed)
    balancing.attach(model, wanted.balance, wanted.balance_config, data.spec, seed=wanted.plan.seed)
    for stage in wanted.stages:
        check_parts(model, stage_plan(wanted.plan, stage))
    if wanted.start is not None:
        wanted.start.load_into(model, data_fingerprint)
        wanted.start.check(model, data, wanted.plan)
    return model


def discard(method: str, data: Dataset, *, runs: str | Path = "runs", **settings: Any) -> None:
    """Removes what interrupted trainings of exactly this run left; one that another process trains, and a finished run, are left alone."""
    wanted = order(method, data, **settings)
    data = methods.prepare(data, wanted.config)
    discard_parts(Path(runs), name_run(wanted, data, wanted.identity(data)))


def name_run(wanted: Order, data: Dataset, identity: dict[str, Any]) -> str:
    """A name that people can read, with eight characters of the identity's hash."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    parts = [wanted.method, wanted.balance or "", data.name.replace("/", "-"), f"s{wanted.plan.seed}", digest]
    return "-".join(part for part in parts if part)


@dataclass
class Progress:
    """The epochs of a run so far, stage by stage, and their checkpoint.

    Args:
        model: the model in training.
        wanted: how it trains.
        data: what it trains on. A `Progress` that is steered may get other data of the same make between two epochs (see `is_renewed`).
        space: the run's folder in the making; None: nothing is written on the way.
        checkpoint_seconds: least time between two checkpoints.
        counted_from: the first epoch that may be the best one.
        is_renewed: set between two epochs, it lets the next one begin with the data, rule and optimizer that there are then.
    """

    model: FusionModel
    wanted: Order
    data: Dataset
    space: Workspace | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    epochs: list[dict[str, Any]] = field(default_factory=list)
    steps: list[torch.Tensor] = field(default_factory=list)
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    saved: int = 0
    last: float = field(default_factory=time.monotonic)
    facts: dict[str, float] = field(default_factory=dict)
    counted_from: int = 1
    is_renewed: bool = False

    def run(self, on_epoch: Any) -> None:
        """Trains stage by stage to the end, from the checkpoint where there is one.

        Raises:
            TrainingError: the loss became nan; the message says what is kept.
        """
        checkpoint = self.load()
        with deferred_interrupt() as is_interrupted:
            for point in self.train(checkpoint):
                stop = shown(point.epoch, on_epoch) if on_epoch is not None and is_first() else None
                is_stopped = any_of(stop is not None or is_interrupted())
                if self.space is not None and (is_stopped or time.monotonic() - self.last >= self.checkpoint_seconds):
                    self.save(point)
                    self.last = time.monotonic()
                if is_stopped:
                    raise stop or KeyboardInterrupt

    def train(self, checkpoint: dict[str, Any] | None = None, *, on_tick: OnTick | None = None) -> Iterator["Point"]:
        """Stage by stage to the end; yields each finished epoch, which is in the record by then.

        Args:
            checkpoint: `stage` (its number) and `state` to go on from; None begins with the first stage.
            on_tick: see `workbench.training.OnTick`.

        Raises:
            TrainingError: the loss became nan; the message says what is kept.
        """
        for number, stage in enumerate(self.wanted.stages):
            if checkpoint is not None and number < checkpoint["stage"]:
                continue
            with entered(self.model, stage):
                state = TrainingState.start(self.model, plan := stage_plan(self.wanted.plan, stage))
                if checkpoint is not None and number == checkpoint["stage"]:
                    state.load(checkpoint["state"])
                yield from self._train_stage(Point(number, plan, state), on_tick)
                self.settle(state.best_weights)

    def _train_stage(self, point: "Point", on_tick: OnTick | None) -> Iterator["Point"]:
        """The epochs of one stage."""
        self.is_renewed = True
        while self.is_renewed:
            self.is_renewed = False
            try:
                for epoch in training(self.model, self.data, point.plan, state=point.state, watch=watched(self.model), on_tick=on_tick):
                    self.keep(epoch)
                    yield replace(point, epoch=epoch)
                    if self.is_renewed:
                        break
            except TrainingError as error:
                if not error.where:
                    raise self.say_kept(error) from error
                raise

    def settle(self, weights: dict[str, torch.Tensor]) -> None:
        """Takes the best epoch's weights, and notes first what the rule counted over all epochs (those weights take its counters back)."""
        self.facts = self.model.balance.facts()
        self.model.load_state_dict(weights)

    def say_kept(self, error: TrainingError) -> TrainingError:
        """The error, with what is kept of the run."""
        if self.space is None:
            kept = f"epochs 1 to {len(self.epochs)} are kept" if self.epochs else "in the first epoch"
        else:
            kept = f"epochs 1 to {self.saved} are in {self.space.path}; resume with other rates is a new run" if self.saved else "no checkpoint yet"
        stage = f"stage {self.model.stage.name}; " if self.model.stage is not None else ""
        return TrainingError(error.what, where=f"{stage}{kept}", expected=error.expected or "a finite loss", do=error.do)

    def keep(self, epoch: Epoch) -> None:
        """Adds one epoch to the record, as plain numbers."""
        metrics = {split: {"loss": epoch.loss[split], **epoch.metrics(split)} for split in ("train", "valid")}
        times = {"seconds": epoch.seconds, "probe_seconds": epoch.probe_seconds, "learning_rate": epoch.learning_rate}
        said = {"metrics": metrics, "auxiliary": epoch.auxiliary, "probes": epoch.probes, "rule": epoch.rule}
        seen = epoch_means(epoch.watched, self.model.modalities)
        self.epochs.append({"stage": epoch.stage, "number": len(self.epochs) + 1, **times, **said, **seen})
        if epoch.steps is not None:
            self.steps.append(epoch.steps)
        if epoch.snapshot is not None:
            self.snapshots.append(packed(epoch.snapshot))

    def save(self, point: "Point") -> None:
        """Writes the checkpoint of a stage, whole or not at all."""
        content = {"stage": point.stage, "state": point.state.save(), "epochs": self.epochs, "steps": self.steps, "snapshots": self.snapshots}
        self.space.write("state.pt", lambda path: torch.save(content, path))
        self.saved = self.space.epochs = len(self.epochs)

    def load(self) -> dict[str, Any] | None:
        """The checkpoint, if there is one; the record takes up what it kept."""
        content = from_first(self._saved)
        if content is None:
            return None
        # A checkpoint from before there were stages is one of the whole model.
        content = {"stage": 0, **content, "epochs": [{"stage": "", "pair_means": {}, "rule": {}, **epoch} for epoch in content["epochs"]]}
        self.epochs, self.steps, self.saved = content["epochs"], [complete(steps.cpu()) for steps in content["steps"]], len(content["epochs"])
        self.snapshots = content["snapshots"]
        if self.space is not None:
            self.space.epochs = self.saved
        return content

    def _saved(self) -> dict[str, Any] | None:
        """What is in the folder of the run."""
        return torch.load(self.space.state_path, weights_only=True, map_location="cpu") if self.space.state_path.is_file() else None


def shown(epoch: Epoch, on_epoch: Any) -> KeyboardInterrupt | None:
    """Shows an epoch to the caller; the interrupt by which the training is to end, if there is one: the epoch is kept first."""
    try:
        on_epoch(epoch)
    except KeyboardInterrupt as stop:
        return stop
    return None


@dataclass(frozen=True)
class Point:
    """Where a training stands: the `stage`'s number, the `plan` that holds in it, its `state`, and the `epoch` just finished."""

    stage: int
    plan: Plan
    state: TrainingState
    epoch: Epoch | None = None


@contextmanager
def deferred_interrupt() -> Iterator[Any]:
    """The first Ctrl-C only sets a flag, so that the epoch is finished and saved; a second one interrupts at once."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag.is_set
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        if flag.is_set():
            raise KeyboardInterrupt
        flag.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield flag.is_set
    finally:
        signal.signal(signal.SIGINT, before)
