"""`fit`: one training from names to a finished run on disk, safe against interruption at any moment.

run = fit("lf_dnn", load("opinions/starved"), balance="b_fusion", plan={"seed": 3})
run.metrics["test"]["acc2_non0"]
"""

import hashlib
import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from workbench import __version__, methods
from workbench import balance as balancing
from workbench.data.batch import Dataset
from workbench.errors import TrainingError
from workbench.model import FusionModel
from workbench.plan import Plan
from workbench.recording import describe, fingerprint, finish, packed, watched
from workbench.runs import Run, Workspace, discard_parts, workspace
from workbench.training import Epoch, TrainingState, training

CHECKPOINT_SECONDS = 10.0
"""Least time between two checkpoints: a training that is killed loses at most this and the epoch it was in."""


@dataclass(frozen=True)
class Order:
    """What is to be trained, every value settled.

    Args:
        method, config: the method and its validated settings.
        balance, balance_config: the rule (None: none) and its validated settings.
        plan: how to train.
        variant: the name in tables; `lf_dnn + b_fusion` where none is given.
        preset: source of the published settings that it starts from; empty: none.
    """

    method: str
    config: Any
    balance: str | None
    balance_config: dict[str, Any]
    plan: Plan
    variant: str
    preset: str = ""

    def identity(self, data: Dataset) -> dict[str, Any]:
        """Everything that the numbers depend on; equal identities are the same run."""
        return {
            "method": self.method,
            "config": self.config.model_dump(),
            "dataset": data.name,
            "fingerprint": fingerprint(data),
            "modalities": list(data.modalities),
            "balance": self.balance,
            "balance_config": self.balance_config,
            "plan": self.plan.model_dump(exclude={"device"}),
            "workbench": __version__,
        }


def order(
    method: str,
    data: Dataset,
    *,
    config: Mapping[str, Any] | None = None,
    balance: str | None = "default",
    balance_config: Mapping[str, Any] | None = None,
    plan: Mapping[str, Any] | Plan | None = None,
    preset: str = "default",
    variant: str | None = None,
) -> Order:
    """Names and values, checked and completed by the paper's preset for the data set.

    Args:
        data: what it is trained on.
        balance: a rule, `none`, or `default` (the rule that belongs to the method, if any).
        preset: published settings to start from, as far as the data can have them (`Preset.suited`): `default` (those for this data set, if any),
            `none`, or the name of one of the method's (`workbench list presets`); given values win.

    Raises:
        ConfigError: an unknown method, rule or setting (near names are given), or a value out of bounds.
    """
    module = methods.method(method)
    published = methods.chosen_preset(method, data, preset)
    settings = {**(published.config if published else {}), **(config or {})}
    if not isinstance(plan, Plan):
        plan = methods.checked(Plan, {**(published.plan if published else {}), **(plan or {})}, owner="the training plan")
    rule = module.BALANCE if balance == "default" else None if balance == "none" else balance
    rule_config: dict[str, Any] = {}
    if rule:
        usual = getattr(balancing.rule(rule), "FOR_SGD", {}) if plan.optimizer == "sgd" else {}
        rule_config = methods.checked(balancing.rule(rule).Config, {**usual, **(balance_config or {})}, owner=f"rule {rule}").model_dump()
    name = variant or (
        f"{method} + {rule}" if rule and rule != module.BALANCE else f"{method} - {module.BALANCE}" if module.BALANCE and not rule else method
    )
    checked = methods.checked(module.Config, settings, owner=f"method {method}")
    return Order(method, checked, rule, rule_config, plan, name, published.source if published else "")


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
        settings: see `order` (config, balance, balance_config, plan, preset, variant).

    Raises:
        ConfigError: an unknown name or value.
        TrainingError: the loss became nan, or the folder cannot be written; the last checkpoint is kept in the `.part` folder.
    """
    wanted = order(method, data, **settings)
    data = methods.prepare(data, wanted.config)
    identity = wanted.identity(data)
    run_id = name_run(wanted, data, identity)
    finished = Path(runs) / run_id
    if (reuse or resume) and finished.is_dir():
        # The same training under another name in another table is the same run.
        found = Run.load(finished)
        return replace(found, config={**found.config, "variant": wanted.variant})
    model = methods.build(wanted.method, wanted.config, data.spec, seed=wanted.plan.seed)
    model.balance = balancing.build(wanted.balance, model.modalities, wanted.balance_config)
    with workspace(Path(runs), run_id, resume=resume) as space:
        space.write("config.json", lambda path: path.write_text(json.dumps(describe(wanted, data, identity), indent=1)))
        progress = Progress(space, model, wanted.plan, checkpoint_seconds)
        progress.run(data, on_epoch)
        return Run.load(finish(space, model, data, wanted, progress))


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
    """The epochs of a run so far, and their checkpoint.

    Args:
        space: the run's folder in the making.
        model: the model in training.
        plan: how it trains.
        checkpoint_seconds: least time between two checkpoints.
    """

    space: Workspace
    model: FusionModel
    plan: Plan
    checkpoint_seconds: float
    epochs: list[dict[str, Any]] = field(default_factory=list)
    steps: list[torch.Tensor] = field(default_factory=list)
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    saved: int = 0
    facts: dict[str, float] = field(default_factory=dict)

    def run(self, data: Dataset, on_epoch: Any) -> None:
        """Trains to the end, from the checkpoint where there is one."""
        state = TrainingState.start(self.model, self.plan)
        if self.space.state_path.is_file():
            self.load(state)
        last = time.monotonic()
        try:
            with deferred_interrupt() as is_interrupted:
                for epoch in training(self.model, data, self.plan, state=state, watch=watched(self.model)):
                    self.keep(epoch)
                    if on_epoch is not None:
                        self.show(epoch, on_epoch, state)
                    if is_interrupted() or time.monotonic() - last >= self.checkpoint_seconds:
                        self.save(state)
                        last = time.monotonic()
                    if is_interrupted():
                        raise KeyboardInterrupt
        except TrainingError as error:
            if not error.where:
                kept = (
                    f"epochs 1 to {self.saved} are in {self.space.path}; resume with other rates is a new run" if self.saved else "no checkpoint yet"
                )
                raise TrainingError(error.what, where=f"{kept}", expected=error.expected or "a finite loss", do=error.do) from error
            raise
        # What the rule counted over all epochs; the best epoch's weights take its counters back.
        self.facts = self.model.balance.facts()
        self.model.load_state_dict(state.best_weights)

    def show(self, epoch: Epoch, on_epoch: Any, state: TrainingState) -> None:
        """Shows an epoch to the caller, who may stop the training by a KeyboardInterrupt: the epoch is kept first."""
        try:
            on_epoch(epoch)
        except KeyboardInterrupt:
            self.save(state)
            raise

    def keep(self, epoch: Epoch) -> None:
        """Adds one epoch to the record, as plain numbers."""
        metrics = {split: {"loss": epoch.loss[split], **epoch.metrics(split)} for split in ("train", "valid")}
        means = {
            name: values.mean("batch").reindex(modality=list(self.model.modalities)).values.tolist()
            for name, values in epoch.watched.data_vars.items()
        }
        facts = {"number": epoch.number, "seconds": epoch.seconds, "probe_seconds": epoch.probe_seconds, "learning_rate": epoch.learning_rate}
        self.epochs.append({**facts, "metrics": metrics, "auxiliary": epoch.auxiliary, "probes": epoch.probes, "tap_means": means})
        if epoch.steps is not None:
            self.steps.append(epoch.steps)
        if epoch.snapshot is not None:
            self.snapshots.append(packed(epoch.snapshot))

    def save(self, state: TrainingState) -> None:
        """Writes the checkpoint, whole or not at all."""
        content = {"state": state.save(), "epochs": self.epochs, "steps": self.steps, "snapshots": self.snapshots}
        self.space.write("state.pt", lambda path: torch.save(content, path))
        self.saved = state.number

    def load(self, state: TrainingState) -> None:
        """Goes back to the checkpoint."""
        content = torch.load(self.space.state_path, weights_only=True, map_location="cpu")
        state.load(content["state"])
        self.epochs, self.steps, self.saved = content["epochs"], [steps.cpu() for steps in content["steps"]], content["state"]["number"]
        self.snapshots = content["snapshots"]


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
