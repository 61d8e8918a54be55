"""One training loop for every model, as an iterator over epochs.

    for epoch in training(model, data, plan):
        print(epoch.number, epoch.loss["valid"], epoch.metrics("valid")["acc2_non0"])

Pause is not asking for the next epoch; stop is leaving the loop; changing a rate between epochs is an assignment to the plan.
The test split is sealed in here: selection sees `valid` only. All randomness of an epoch is a function of (seed, epoch), so a resumed training
gives the same numbers as an unbroken one. Several processes share a training's batches where they were started together (`workbench.ranks`).
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from workbench.data.batch import Dataset, Split, batch_rows
from workbench.errors import TrainingError
from workbench.memory import FromTrain
from workbench.model import FusionModel
from workbench.plan import Plan, clip, make_optimizer, resolve_device, set_rates
from workbench.ranks import average_gradients, check_alike, from_first
from workbench.readout import ridge_readout
from workbench.shares import check_shared, shared
from workbench.surroundings import RANDOM, keep_freed_memory
from workbench.taps import record
from workbench.tasks import Task, make_task
from workbench.tracing import StepTrace

TICK_SECONDS = 0.25
"""Least time between two looks into an epoch that is still running."""


@dataclass(frozen=True)
class Tick:
    """A look into a running epoch: its `number`, the share `done` of its steps (0 to 1), the mean task `loss` of the batches since the last look."""

    number: int
    done: float
    loss: float


OnTick = Callable[[Tick], None]
"""Called about every `TICK_SECONDS` within an epoch, between two steps; what it raises ends the epoch at once and comes out of `training`."""


@dataclass
class TrainingState:
    """Everything a training needs to go on: what `fit` saves, and what a resumed training starts from.

    Args:
        model: the model, on its device.
        optimizer: the optimizer of its parameters.
        number: epochs finished.
        best_loss: lowest valid loss so far; `best_number` its epoch; `best_weights` the model then, on the CPU.
    """

    model: FusionModel
    optimizer: torch.optim.Optimizer
    number: int = 0
    best_loss: float = float("inf")
    best_number: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def start(cls, model: FusionModel, plan: Plan) -> "TrainingState":
        """The state before the first epoch."""
        model.to(resolve_device(plan.device))
        return cls(model, make_optimizer(model, plan))

    def save(self) -> dict[str, Any]:
        """Plain containers and tensors only, so that it loads with `weights_only=True`."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "number": self.number,
            "best_loss": self.best_loss,
            "best_number": self.best_number,
            "best_weights": self.best_weights,
        }

    def load(self, saved: dict[str, Any]) -> None:
        """Goes back to a saved state."""
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.number, self.best_loss, self.best_number = saved["number"], saved["best_loss"], saved["best_number"]
        self.best_weights = saved["best_weights"]

    def keep_best(self, loss: float) -> bool:
        """Notes the valid loss of the epoch just finished; True where it is the lowest so far."""
        if not loss < self.best_loss:
            return False
        self.best_loss, self.best_number = loss, self.number
        self.best_weights = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
        return True


@dataclass
class Epoch:
    """One finished epoch.

    Args:
        number: counts from 1.
        loss: mean task loss by split (`train`: while training, dropout on; `valid`: after the epoch).
        outputs: by split (prediction, target), on the CPU; train in the order of the epoch.
        auxiliary: mean over the epoch's batches of each auxiliary loss term, weighted as the model weighs it.
        steps: `step quantity modality` (see `workbench.tracing.QUANTITIES`), or None where nothing was traced.
        probes: modality name to the headline score on valid of a linear probe on its representation; empty where not asked.
        seconds: training and valid pass; `probe_seconds` the probes beside it.
        is_best: the lowest valid loss so far.
        watched: what the watched taps said of each valid sample.
        snapshot: what the model's supervision wants kept of the epoch (e.g. pseudo-labels of the training samples), or None.
        rule: what the balancing rule knows after the epoch: quantity -> modality, or `joint` -> value (`Balancer.readings`).
        stage: name of the stage that it belongs to; empty where the model is trained all at once.
        is_whole: the head answers: not a stage of a single part.
        state: what a checkpoint needs; it lives on with the training.
    """

    number: int
    loss: dict[str, float]
    auxiliary: dict[str, float]
    outputs: dict[str, tuple[Tensor, Tensor]]
    steps: Tensor | None
    probes: dict[str, float]
    seconds: float
    probe_seconds: float
    learning_rate: float
    is_best: bool
    watched: xr.Dataset
    snapshot: xr.Dataset | None
    rule: dict[str, dict[str, float]]
    stage: str
    is_whole: bool
    state: TrainingState
    task: Task

    @lru_cache(maxsize=2)  # noqa: B019 - an epoch is short-lived
    def metrics(self, split: str) -> dict[str, float]:
        """All metrics of a split in this epoch (see `workbench.tasks`)."""
        return self.task.metrics(*self.outputs[split])

    __hash__ = object.__hash__


def training(
    model: FusionModel,
    data: Dataset,
    plan: Plan,
    *,
    state: TrainingState | None = None,
    watch: Sequence[str] = (),
    on_tick: OnTick | None = None,
) -> Iterator[Epoch]:
    """Trains a model and yields each finished epoch; ends after `plan.epochs`, or when valid loss has not fallen for `plan.patience` epochs.

    Args:
        model: the model; it holds its balancing rule.
        data: `train` is learned from, `valid` selects; `test` is out of reach.
        plan: how to train; may be changed between epochs.
        state: where to go on; None starts afresh.
        watch: names of taps to record on valid after each epoch (`Epoch.watched`).
        on_tick: see `OnTick`.

    Raises:
        TrainingError: the loss became nan or infinite; the message names epoch and batch.
        SealedError: something asked for the test split.
    """
    keep_freed_memory()
    state = state or TrainingState.start(model, plan)
    device = next(model.parameters()).device
    task = make_task(data.spec.task, loss=plan.loss)
    data = data.sealed().to(device)
    for module in learners(model):
        module.begin(data["train"], task)
    held = model.balance.hold_out(data["train"], plan.seed)
    while state.number < plan.epochs and state.number - state.best_number < plan.patience:
        with RANDOM, epoch_randomness(plan, state.number + 1), determinism(plan.is_deterministic):
            epoch = run_epoch(model, data, plan, state, task, watch=watch, held=held, on_tick=on_tick)
        yield epoch


def learners(model: FusionModel) -> list[FromTrain]:
    """The parts of a model that look at the training split before the first step."""
    return [module for module in model.modules() if isinstance(module, FromTrain)]


def run_epoch(
    model: FusionModel,
    data: Dataset,
    plan: Plan,
    state: TrainingState,
    task: Task,
    *,
    watch: Sequence[str] = (),
    held: Tensor | None = None,
    on_tick: OnTick | None = None,
) -> Epoch:
    """One epoch: train (but for the rows that the balancing rule holds out), score on valid, probe."""
    begin = time.perf_counter()
    number = state.number + 1
    set_rates(state.optimizer, plan)
    model.balance.look(number, lambda rows: predict(model, data["train"], plan, rows=rows))
    for module in learners(model):
        module.begin_epoch(number)
    train, steps, train_loss, auxiliary = train_epoch(model, data["train"], plan, state.optimizer, task, number=number, held=held, on_tick=on_tick)
    with record(model, *watch) as trace:
        valid = predict(model, data["valid"], plan)
    check_alike(model)
    valid_loss = from_first(lambda: float(task.loss(valid.prediction, data["valid"].target)))
    if not torch.isfinite(torch.tensor(valid_loss)):
        raise TrainingError(f"the valid loss became {valid_loss} in epoch {number}", do="lower the learning rate, or set clip_norm")
    rule = model.balance.readings(valid.representations, data["valid"])
    state.number = number
    is_best = state.keep_best(valid_loss)
    seconds = time.perf_counter() - begin
    probes = probe(model, data, plan, task, valid.representations) if plan.probe_every and number % plan.probe_every == 0 else {}
    return Epoch(
        number=number,
        loss={"train": train_loss, "valid": valid_loss},
        auxiliary=auxiliary,
        outputs={"train": train, "valid": (valid.prediction.cpu(), data["valid"].target.cpu())},
        steps=steps,
        probes=probes,
        seconds=seconds,
        probe_seconds=time.perf_counter() - begin - seconds,
        learning_rate=plan.learning_rate,
        is_best=is_best,
        watched=trace.dataset(),
        snapshot=model.supervision.snapshot() if model.supervision is not None else None,
        rule=rule,
        stage=model.stage.name if model.stage is not None else "",
        is_whole=model.stage is None or not model.stage.reads,
        state=state,
        task=task,
    )


def train_epoch(
    model: FusionModel,
    split: Split,
    plan: Plan,
    optimizer: torch.optim.Optimizer,
    task: Task,
    *,
    number: int,
    held: Tensor | None = None,
    on_tick: OnTick | None = None,
) -> tuple[tuple[Tensor, Tensor], Tensor | None, float, dict[str, float]]:
    """All training samples but the held-out rows once: (predictions, targets), traces, mean loss, mean auxiliary losses."""
    model.train()
    check_shared(model)
    rows = epoch_rows(split, plan, number=number, held=held)
    groups = [rows[i : i + plan.accumulate] for i in range(0, len(rows), plan.accumulate)]
    trace = StepTrace(model, len(groups)) if plan.is_traced else None
    autocast = torch.autocast(split.target.device.type, dtype=torch.bfloat16, enabled=plan.precision == "bf16")
    losses, predictions, targets = [], [], []
    auxiliary: dict[str, list[Tensor]] = {}
    batches = split.serve(rows)
    optimizer.zero_grad()
    looked, seen = time.monotonic(), 0
    for place, group in enumerate(groups, start=1):
        samples = sum(map(len, group))
        for part in group:
            batch, share = next(batches), len(part) / samples
            with autocast:
                output = shared(model, batch)
            prediction = output.prediction.float() if plan.precision == "bf16" else output.prediction
            task_loss = task.loss(prediction, batch.target)
            terms = model.terms(output, batch)
            for term, value in terms.items():
                auxiliary.setdefault(term, []).append(value.detach())
            extra = model.balance.loss(output, batch, task_loss=task_loss)
            added = [*terms.values()] if extra is None else [*terms.values(), extra]
            if trace is not None and extra is not None:
                trace.without_rule(extra, share=share)
            model.balance.before_backward(task_loss, model, share=share, has_terms=bool(added))
            loss = task_loss + sum(added) if added else task_loss
            (loss if share == 1 else loss * share).backward()
            losses.append(task_loss.detach())
            predictions.append(prediction.detach())
            targets.append(batch.target)
        average_gradients(model.parameters())
        if trace is not None:
            trace.before_rule()
        model.balance.after_backward(model)
        if trace is not None:
            trace.before_update()
        clip(model, plan)
        model.balance.before_update(model)
        optimizer.step()
        model.balance.after_update(model)
        optimizer.zero_grad()
        if trace is not None:
            trace.after_update()
        if on_tick is not None and time.monotonic() - looked >= TICK_SECONDS:
            on_tick(Tick(number, place / len(groups), float(torch.stack(losses[seen:]).mean())))
            looked, seen = time.monotonic(), len(losses)
    mean_loss = checked_mean(torch.stack(losses), rows, number=number)
    means = {term: float(torch.stack(values).mean()) for term, values in auxiliary.items()}
    return (torch.cat(predictions).cpu(), torch.cat(targets).cpu()), trace.read() if trace is not None else None, mean_loss, means


def epoch_rows(split: Split, plan: Plan, *, number: int, held: Tensor | None = None) -> list[Tensor]:
    """The row numbers of each batch of an epoch, without the held-out ones."""
    lengths, settings = split.total_lengths, {"seed": epoch_seed(plan.seed, number), "is_bucketed": plan.is_bucketed}
    if held is None:
        return batch_rows(lengths, plan.batch_size, **settings)
    kept = torch.ones(len(split), dtype=torch.bool)
    kept[held] = False
    kept = kept.nonzero()[:, 0]
    return [kept[part] for part in batch_rows(lengths[kept], plan.batch_size, **settings)]


def checked_mean(losses: Tensor, rows: list[Tensor], *, number: int) -> float:
    """The mean loss over samples; the training part of an epoch waits for the device only here.

    Raises:
        TrainingError: a loss is nan or infinite.
    """
    losses = losses.double().cpu()
    wrong = (~losses.isfinite()).nonzero()
    if len(wrong):
        first = int(wrong[0])
        raise TrainingError(
            f"the loss became {float(losses[first])} in epoch {number}, batch {first + 1} of {len(losses)}",
            do="lower the learning rate, or set clip_norm (--set plan.clip_norm=1)",
        )
    sizes = torch.tensor([len(part) for part in rows], dtype=torch.float64)
    return float((losses * sizes).sum() / sizes.sum())


@dataclass(frozen=True)
class Prediction:
    """What a model says of a split, rows in the split's order, on the model's device; in a stage of one modality it represents that one alone."""

    prediction: Tensor
    representations: dict[str, Tensor]


@torch.no_grad()
def predict(model: FusionModel, split: Split, plan: Plan, *, rows: Tensor | None = None) -> Prediction:
    """The model's predictions and representations for every row of a split (or for some, in the order given), in evaluation mode."""
    model.eval()
    autocast = torch.autocast(split.target.device.type, dtype=torch.bfloat16, enabled=plan.precision == "bf16")
    predictions, representations = [], []
    # Equally large ones: what is measured on a batch (a correlation) is not to depend on a small last one.
    count = len(split) if rows is None else len(rows)
    size = -(-count // max(1, -(-count // max(plan.batch_size, 256))))
    for batch in split.batches(size) if rows is None else split.serve(rows.split(size)):
        with autocast:
            output = shared(model, batch)
        predictions.append(output.prediction.float() if plan.precision == "bf16" else output.prediction)
        representations.append(output.representations)
    joined = {name: torch.cat([part[name] for part in representations]).float() for name in representations[0]}
    return Prediction(torch.cat(predictions), joined)


def probe(model: FusionModel, data: Dataset, plan: Plan, task: Task, valid: dict[str, Tensor]) -> dict[str, float]:
    """Headline score on valid of a linear readout of each modality's frozen representation, fitted on train."""
    train = predict(model, data["train"], plan).representations
    target = data["valid"].target
    scores = {name: ridge_readout(train[name], data["train"].target, valid[name], task=task) for name in valid}
    return {name: task.metrics(prediction, target)[task.headline] for name, prediction in scores.items()}


def epoch_seed(seed: int, number: int) -> int:
    """The seed of one epoch; distinct for every (seed, epoch) below a million epochs."""
    return seed * 1_000_003 + number


@contextmanager
def epoch_randomness(plan: Plan, number: int) -> Iterator[None]:
    """Dropout and the like depend on (seed, epoch) only; the caller's random state is as before afterwards."""
    device = resolve_device(plan.device)
    # Only the training's own device: asking for the others' state would open a context on each.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(epoch_seed(plan.seed, number))
        yield


@contextmanager
def determinism(is_on: bool) -> Iterator[None]:
    """Deterministic algorithms inside the block, the caller's choice after it."""
    if not is_on:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
