"""A training that others steer while it runs: start, pause, step, stop, change a setting, switch a rule on, save. There is no widget in here.

    session = Session("lf_dnn", "opinions/starved", listen=print, plan={"seed": 0})
    session.start()
    session.change("plan.learning_rate", 3e-4)
    session.stop()

One thread owns the training. Everybody else only puts commands into its queue, and hears of what happened through `listen`, which is called on that
thread: it must not wait for anything. Nothing is written before the training ends or `save` is pressed, so a kernel that dies leaves no half a run.
"""

import copy
import json
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from workbench import balance as balancing
from workbench import methods
from workbench.data import load
from workbench.data.batch import Dataset, Spec
from workbench.errors import ConfigError, TrainingError, WorkbenchError
from workbench.fitting import Point, Progress, begin, name_run
from workbench.model import FusionModel
from workbench.ordering import Order, order
from workbench.plan import Plan, carried_optimizer, stage_plan
from workbench.recording import describe, fingerprint, finish
from workbench.runs import Run, workspace
from workbench.stages import WHOLE
from workbench.surroundings import usable_cores
from workbench.tasks import make_task
from workbench.tracing import QUANTITIES
from workbench.training import Epoch, Tick, TrainingState

READY, STARTING, TRAINING, PAUSING, PAUSED = "Ready", "Starting", "Training", "Pausing", "Paused"
STOPPING, STOPPED, FINISHED, FAILED, CLOSED = "Stopping", "Stopped", "Finished", "Failed", "Closed"

RUNNING = (STARTING, TRAINING, PAUSING, PAUSED, STOPPING)
"""States in which a training is on its way."""

LIVE_PLAN = ("learning_rate", "text_learning_rate", "epochs", "patience", "clip_norm", "clip_value", "probe_every")
"""What may be changed of the plan between two epochs; everything else shapes the model, the optimizer or the batches."""

LIVE_DIALS = ("noise",)
"""Dials of simulated data that may be turned between two epochs: the samples stay, what they show changes."""

Listen = Callable[[str, Any], None]
"""Kind and content: `state` (word), `begun` (Begun), `epoch` (Shown), `tick` (Tick), `change` (Change), `restored` (Restored), `saved` (Run),
`failed` (the error: the training stands), `refused` (the error: what was asked for was not done)."""


@dataclass(frozen=True)
class Begun:
    """What is known once the data is there: the order, the most epochs of all stages, modalities, headline metric, ceilings, number of parameters."""

    order: Order
    epochs: int
    modalities: tuple[str, ...]
    headline: str
    ceiling: Mapping[str, Mapping[str, float]]
    parameters: int
    data: str


@dataclass(frozen=True)
class Shown:
    """One finished epoch in plain numbers, safe to read from any thread.

    Args:
        number: counts from 1 over the whole training.
        loss, score: by split, `score` in the headline metric.
        gradient, update, weight: by modality, the means over the epoch's steps (`workbench.tracing.QUANTITIES`); empty where nothing was traced.
        probes: headline score of each modality's linear probe on valid.
        rule: what the balancing rule knows (`Balancer.readings`).
        seconds: training, valid pass and probes.
        is_best: the lowest valid loss so far.
        stage: its stage; empty where the model is trained all at once.
        is_whole: the scores are the whole model's, not those of a stage of a single part.
    """

    number: int
    loss: dict[str, float]
    score: dict[str, float]
    gradient: dict[str, float]
    update: dict[str, float]
    weight: dict[str, float]
    probes: dict[str, float]
    rule: dict[str, dict[str, float]]
    seconds: float
    is_best: bool
    stage: str
    is_whole: bool = True


@dataclass(frozen=True)
class Restored:
    """Where a training went back to: the changes that still hold, the rule that is on, and the live values of the plan."""

    changes: tuple["Change", ...]
    rule: str | None
    plan: Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """Something that was changed while it trained: after which epoch, what, from what to what; of a rule `more`, its settings."""

    epoch: int
    setting: str
    before: Any
    after: Any
    more: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.setting.rpartition('.')[2]} {plainly(self.before)} to {plainly(self.after)}"


def plainly(value: Any) -> str:
    """`0.001`, `none`, `b_fusion`."""
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


class _LeftError(Exception):
    """Stop was pressed within an epoch."""


@dataclass
class _Good:
    """Where the last whole epoch ended: what going back needs."""

    point: Point
    saved: dict[str, Any]
    rule: str | None
    rule_config: dict[str, Any]
    balance: Any
    data: Dataset
    options: dict[str, Any]
    plan: dict[str, Any]
    changes: int
    counted_from: int


class Session:
    """One training that can be steered from any thread.

    Args:
        method: a name of `workbench list methods`.
        data: a data set, or the name of one (it is loaded on the training's thread).
        options: of `load`, where `data` is a name.
        runs: folder of runs.
        listen: hears what happens (see `Listen`).
        threads: threads that the training takes; None leaves one core to whoever watches.
        script: changes that are made by themselves, each after its epoch; `training` `stopped` ends it.
        settings: see `workbench.ordering.order`.
    """

    def __init__(
        self,
        method: str,
        data: Dataset | str,
        *,
        options: Mapping[str, Any] | None = None,
        runs: str | Path = "runs",
        listen: Listen = lambda kind, content: None,
        threads: int | None = None,
        script: Sequence[Change] = (),
        **settings: Any,
    ) -> None:
        self.script = list(script)
        self.method, self.source, self.options, self.settings = method, data, dict(options or {}), settings
        self.runs, self.listen, self.threads = Path(runs), listen, threads or max(1, usable_cores() - 1)
        self.state, self.changes, self.error = READY, [], None
        self.saved: Run | None = None
        self._word = threading.Lock()
        self._commands: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._is_stopping, self._is_closing = threading.Event(), threading.Event()
        self._is_paused, self._is_cut, self._is_held = False, True, False
        self._waiting: list[tuple[str, Any, dict[str, Any]]] = []
        self._progress: Progress | None = None
        self._good: _Good | None = None
        self._thread: threading.Thread | None = None

    # From any thread

    def start(self, *, is_paused: bool = False) -> None:
        """Begins the training; with `is_paused` it stops after its first epoch."""
        if self._said(STARTING, only_from=(READY,)):
            self._is_paused = is_paused
            self._thread = threading.Thread(target=self._run, name="workbench-training", daemon=True)
            self._thread.start()

    def pause(self) -> None:
        """Waits after the epoch in training."""
        if self._said(PAUSING, only_from=(TRAINING, STARTING)):
            self._commands.put(("pause", None))

    def go(self) -> None:
        """Goes on after a pause."""
        if self._said(TRAINING, only_from=(PAUSED, PAUSING)):
            self._commands.put(("go", None))

    def step(self) -> None:
        """One epoch, and a pause after it."""
        if self.state == READY:
            self.start(is_paused=True)
        elif self._said(PAUSING, only_from=(PAUSED, TRAINING)):
            self._commands.put(("step", None))

    def stop(self) -> None:
        """Ends the training at once, within the epoch if need be, keeps its best epoch, and writes the run."""
        if self.can_go_back and self._said(STOPPING, only_from=(FAILED,)):
            self._commands.put(("keep", None))
        elif self._said(STOPPING, only_from=(STARTING, TRAINING, PAUSING, PAUSED)):
            self._is_stopping.set()
            self._commands.put(("stop", None))

    def save(self) -> None:
        """Writes the run as it stands after the last epoch; the training goes on."""
        self._commands.put(("save", None))

    def change(self, setting: str, value: Any, **more: Any) -> None:
        """Changes something from the next epoch on.

        Args:
            setting: `plan.<one of LIVE_PLAN>`, `balance` (a rule's name or `none`; its settings in `more`), `balance.<setting of the rule>`, or
                `data.<one of LIVE_DIALS>`.
            value: the new value.
            more: settings of the rule, where one is switched on.

        Raises:
            ConfigError: it cannot be changed while training, or will not do.
        """
        self._commands.put(("change", self._checked(setting, value, more)))

    def go_back(self, **plan: Any) -> None:
        """After a failure: goes on from the last good epoch, with other values of the plan.

        Raises:
            ConfigError: a value that will not do.
        """
        methods.checked(Plan, plan, owner="the training plan")
        if self.can_go_back and self._said(TRAINING, only_from=(FAILED,)):
            self._commands.put(("back", plan))

    @property
    def can_go_back(self) -> bool:
        """It has failed, and the last good epoch is still there: to go on from, or to be written."""
        return self.state == FAILED and self._is_held

    def close(self, seconds: float = 0.0) -> None:
        """Ends the thread without writing anything more; waits for it at most so long."""
        self._is_closing.set()
        self._is_stopping.set()
        self._commands.put(("stop", None))
        if seconds and self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def wait(self, seconds: float | None = None) -> bool:
        """Waits until the thread has ended; True where it has."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    @property
    def epochs(self) -> int:
        """Epochs finished."""
        return len(self._progress.epochs) if self._progress is not None else 0

    @property
    def plan(self) -> Plan | None:
        """How it trains now; None before it has begun."""
        return self._progress.wanted.plan if self._progress is not None else None

    def _said(self, word: str, *, only_from: tuple[str, ...] = ()) -> bool:
        """Takes a state, and tells it; False where the state before does not lead there."""
        with self._word:
            if only_from and self.state not in only_from:
                return False
            self.state = word
        self.listen("state", word)
        return True

    def _checked(self, setting: str, value: Any, more: dict[str, Any]) -> tuple[str, Any, dict[str, Any]]:
        """A change whose value will do.

        Raises:
            ConfigError: it will not.
        """
        group, _, key = setting.partition(".")
        if group == "plan" and key in LIVE_PLAN:
            return setting, getattr(methods.checked(Plan, {key: value}, owner="the training plan"), key), {}
        if setting == "balance":
            name = None if value in (None, "none") else value
            if name:
                methods.checked(balancing.rule(name).Config, more, owner=f"rule {name}")
            return setting, name, dict(more) if name else {}
        if group == "balance" and key:
            return setting, value, {}
        if group == "data" and key in LIVE_DIALS and isinstance(self.source, str):
            return setting, value, {}
        what = f"{setting} cannot be changed while it trains"
        known = [f"plan.{name}" for name in LIVE_PLAN] + ["balance", "balance.SETTING", *(f"data.{name}" for name in LIVE_DIALS)]
        raise ConfigError(what, expected=f"one of {', '.join(known)}", do="stop, and start again with the new value")

    # On the training's thread

    def _run(self) -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            self._begin()
            self._train_to_the_end()
        except Exception as error:
            self._fail(error)
        finally:
            torch.set_num_threads(before)
            if self._is_closing.is_set():
                self._said(CLOSED)

    def _begin(self) -> None:
        """Data, order and model."""
        # Its import takes seconds: while it still says Starting, not in the first epoch.
        import torchmetrics  # noqa: F401

        data = load(self.source, **self.options) if isinstance(self.source, str) else self.source
        wanted = order(self.method, data, **self.settings)
        data = methods.prepare(data, wanted.config)
        model = begin(wanted, data, fingerprint(data))
        # The plan in training is a copy: the record says what it began with, and what was changed.
        steered = replace(wanted, plan=wanted.plan.model_copy(deep=True))
        self.order, self._progress = wanted, Progress(model, steered, data)
        self._rule, self._rule_config = wanted.balance, dict(wanted.balance_config)
        parameters = sum(p.numel() for p in model.parameters())
        self._task_headline = make_task(data.spec.task).headline
        epochs = sum(stage_plan(wanted.plan, stage).epochs for stage in wanted.stages)
        self.listen("begun", Begun(wanted, epochs, model.modalities, self._task_headline, data.ceiling, parameters, data.name))

    def _train_to_the_end(self) -> None:
        """Trains and writes the run; after a failure it waits, and goes back or writes what there is where that is asked for."""
        self._said(TRAINING, only_from=(STARTING,))
        checkpoint = None
        while True:
            try:
                self._is_cut = self._train(checkpoint)
                if not self._is_closing.is_set():
                    self._finish()
                return
            except Exception as error:
                self._is_held = self._good is not None
                self._fail(error)
            checkpoint = self._wait_to_go_back()
            if checkpoint is None:
                return

    def _train(self, checkpoint: dict[str, Any] | None) -> bool:
        """Epoch after epoch; True where it was cut short."""
        self._is_cut = True
        try:
            for point in self._progress.train(checkpoint, on_tick=self._look):
                self._keep(point)
                self.listen("epoch", shown(point.epoch, self.epochs, self._progress.model.modalities, self._task_headline))
                self._between(point)
                if self._is_stopping.is_set():
                    return True
        except _LeftError:
            return True
        return False

    def _look(self, tick: Tick) -> None:
        """Within an epoch: Stop bites here."""
        if self._is_stopping.is_set():
            raise _LeftError
        self.listen("tick", tick)

    def _keep(self, point: Point) -> None:
        """Notes where a whole epoch ended."""
        progress = self._progress
        balance = progress.model.balance
        plan = {key: getattr(point.plan, key) for key in LIVE_PLAN}
        facts = (self._rule, self._rule_config, balance, progress.data, dict(self.options), plan, len(self.changes), progress.counted_from)
        self._good = _Good(point, copy.deepcopy(point.state.save()), *facts)

    def _between(self, point: Point) -> None:
        """Obeys the script and the commands that came in; while paused, waits for them."""
        while self.script and self.script[0].epoch <= self.epochs:
            self._follow(self.script.pop(0))
        if self._is_paused:
            self._said(PAUSED, only_from=(TRAINING, PAUSING))
        while not self._is_stopping.is_set():
            try:
                command, content = self._commands.get(block=self._is_paused)
            except queue.Empty:
                break
            if command == "change":
                self._take(content)
            elif command == "save":
                self._snapshot(point)
            elif command in ("pause", "go", "step"):
                self._is_paused = command != "go"
                if command == "step":
                    break
                self._said(PAUSED if self._is_paused else TRAINING, only_from=(TRAINING, PAUSING, PAUSED))
        if not self._is_stopping.is_set():
            self._apply(point)

    def _follow(self, change: Change) -> None:
        """One line of the script."""
        if change.setting != "training":
            self._take(self._checked(change.setting, change.after, dict(change.more)))
        elif change.after == "stopped":
            self.stop()

    def _take(self, content: tuple[str, Any, dict[str, Any]]) -> None:
        """Notes a change; it is made when the next epoch begins, the last value of each setting wins."""
        setting, value, more = content
        self._waiting = [waiting for waiting in self._waiting if waiting[0] != setting]
        self._waiting.append((setting, value, more))

    def _apply(self, point: Point) -> None:
        """Makes the changes that wait."""
        waiting, self._waiting = self._waiting, []
        # Those of the plan first: they may bring the epochs that a rule needs.
        for setting, value, more in sorted(waiting, key=lambda change: not change[0].startswith("plan.")):
            try:
                before = self._make(point, setting, value, more)
            except WorkbenchError as error:
                self.listen("refused", error)
                continue
            if before != value or setting == "balance":
                change = Change(self.epochs, setting, before, value, more)
                self.changes.append(change)
                self.listen("change", change)

    def _make(self, point: Point, setting: str, value: Any, more: dict[str, Any]) -> Any:
        """Makes one change; gives the value before.

        Raises:
            ConfigError: it cannot be made now.
        """
        group, _, key = setting.partition(".")
        progress = self._progress
        if group != "plan":
            self._check_renewal(point, setting)
        if group == "plan":
            before = getattr(point.plan, key)
            setattr(point.plan, key, value)
            return before
        if group == "data":
            before = self.options.get(key, progress.data.notes.get("dials", {}).get(key))
            self._turn(key, value)
            begin_anew(progress, point.state)
            return before
        before = self._rule if setting == "balance" else self._rule_config.get(key)
        name = value if setting == "balance" else self._rule
        if setting != "balance" and name is None:
            raise ConfigError(f"no balancing rule is on: {key} has nothing to act on", do="switch a rule on first")
        if setting == "balance":
            settings = {**(balancing.usual_settings(name, point.plan.optimizer) if name else {}), **more}
        else:
            settings = {**self._rule_config, key: value}
        self._rule_config = methods.checked(balancing.rule(name).Config, settings, owner=f"rule {name}").model_dump() if name else {}
        change_rule(progress.model, point.state, point.plan, progress.data.spec, name, self._rule_config, is_same=name == self._rule)
        self._rule = name
        begin_anew(progress, point.state)
        return before

    def _check_renewal(self, point: Point, setting: str) -> None:
        """Another rule or other data needs a model that is trained all at once, and an epoch to come: the best epoch is one of those.

        Raises:
            ConfigError: there is none.
        """
        if self._progress.wanted.stages != (WHOLE,):
            what = f"{self.method} is trained stage by stage: {setting} cannot be changed while it trains"
            raise ConfigError(what, do="start again with it; a rule trains all parts at once")
        if point.state.number >= point.plan.epochs:
            raise ConfigError(f"no epoch is left in which {setting} could do anything", do="raise plan.epochs first, or start again with it")

    def _turn(self, dial: str, value: Any) -> None:
        """The same samples with a dial turned.

        Raises:
            ConfigError: they would not fit the model any more.
        """
        progress = self._progress
        data = methods.prepare(load(self.source, **{**self.options, dial: value}), self.order.config)
        if asdict(data.spec) != asdict(progress.data.spec):
            raise ConfigError(f"data with {dial}={value} does not fit this model", do="start again with the new value")
        self.options[dial], progress.data = value, data

    def _fail(self, error: Exception) -> None:
        self.error = error
        if not self._is_closing.is_set():
            self._said(FAILED)
            self.listen("failed", error)

    def _wait_to_go_back(self) -> dict[str, Any] | None:
        """The last good epoch once that is asked for; None where it never is, or where its run was asked for and written."""
        while self._is_held and not self._is_closing.is_set():
            command, content = self._commands.get()
            if command == "back":
                self._is_held = False
                return self._last_good(content)
            if command in ("keep", "save"):
                try:
                    self._finish()
                    self._is_held = False
                except Exception as error:
                    self._fail(error)
        return None

    def _last_good(self, plan: dict[str, Any]) -> dict[str, Any]:
        """The last good epoch as a checkpoint, with other values of the plan."""
        self._restore()
        self.error = None
        for key, value in plan.items():
            self.changes.append(change := Change(self.epochs, f"plan.{key}", getattr(self._good.point.plan, key), value))
            for one in (self._good.point.plan, self._progress.wanted.plan):
                setattr(one, key, value)
            self.listen("change", change)
        # A copy: an optimizer that loads a state goes on in the very tensors.
        return {"stage": self._good.point.stage, "state": copy.deepcopy(self._good.saved)}

    def _restore(self) -> None:
        """Model, rule, data, plan and record as they were after the last whole epoch."""
        good, progress = self._good, self._progress
        progress.model.balance = good.balance
        self._rule, self._rule_config, progress.data, progress.counted_from = good.rule, good.rule_config, good.data, good.counted_from
        self.options = dict(good.options)
        for key, value in good.plan.items():
            setattr(good.point.plan, key, value)
        if len(self.changes) > good.changes:
            del self.changes[good.changes :]
            self.listen("restored", Restored(tuple(self.changes), good.rule, good.plan))

    def _finish(self) -> None:
        """Takes the best epoch's weights and writes the run; where only parts of the model are trained there is none."""
        if self._good is None:
            self._said(STOPPED)
            return
        self._said(STOPPING, only_from=(TRAINING, PAUSING, PAUSED))
        if self._is_cut:
            # What began after the last whole epoch is left out, also a rule that was switched on then.
            self._restore()
            if not self._good.point.epoch.is_whole:
                self.listen("refused", self._not_whole())
                self._said(STOPPED)
                return
            self._progress.model.load_state_dict(self._good.saved["model"])
            self._progress.settle(self._good.saved["best_weights"])
        self._write(Change(self.epochs, "training", "on", "stopped") if self._is_cut else None)
        self._said(STOPPED if self._is_cut else FINISHED)

    def _not_whole(self) -> ConfigError:
        """The refusal to write a model of which only parts have been trained."""
        what = f"nothing is written: only the stage {self._good.point.epoch.stage} is trained, the whole model is not"
        return ConfigError(what, do="let it train to its last stage")

    def _snapshot(self, point: Point) -> None:
        """Writes the run as it stands; model and record are as before afterwards."""
        if not point.epoch.is_whole:
            self.listen("refused", self._not_whole())
            return
        model = self._progress.model
        now = {name: value.clone() for name, value in model.state_dict().items()}
        facts, stage = self._progress.facts, model.stage
        self._progress.settle(point.state.best_weights)
        model.stage = None
        try:
            self._write(Change(self.epochs, "training", "on", "saved"))
        except WorkbenchError as error:
            self.listen("refused", error)
        finally:
            model.load_state_dict(now)
            self._progress.facts, model.stage = facts, stage

    def _write(self, end: Change | None) -> None:
        """Writes the run, or finds exactly this one written before."""
        changes = [asdict(change) for change in [*self.changes, *([end] if end else [])]]
        data, variant = self._progress.data, self.order.variant
        wanted = replace(
            self.order, balance=self._rule, balance_config=self._rule_config, variant=f"{variant} (steered)" if self.changes else variant
        )
        identity = wanted.identity(data) | ({"changes": json.loads(json.dumps(changes, default=str))} if changes else {})
        name = name_run(wanted, data, identity)
        if (self.runs / name).is_dir():
            self.saved = Run.load(self.runs / name)
        else:
            with workspace(self.runs, name, resume=False) as space:
                space.write("config.json", lambda path: path.write_text(json.dumps(describe(wanted, data, identity), indent=1)))
                self.saved = Run.load(finish(space, self._progress.model, data, wanted, self._progress))
        self.listen("saved", self.saved)


def steer(method: str, data: Dataset | str, changes: Sequence[Change | Mapping[str, Any] | tuple[int, str, Any]], **settings: Any) -> Run:
    """Trains as somebody did who changed something on the way, and gives the run.

    Args:
        method, data, settings: see `Session`.
        changes: (after which epoch, what, to what), or `changes` of a run's config.json.

    Raises:
        WorkbenchError: the training failed, or ended before its first epoch.
    """
    session = Session(method, data, script=[_change(one) for one in changes], **settings)
    session.start()
    while not session.wait(0.2):
        if session.state == FAILED:
            session.close()
    if session.saved is None:
        raise session.error or TrainingError("the training ended before its first epoch")
    return session.saved


def _change(said: Change | Mapping[str, Any] | tuple[Any, ...]) -> Change:
    """A change as a person or a run's config.json says it."""
    if isinstance(said, Change):
        return said
    if isinstance(said, Mapping):
        return Change(**said)
    epoch, setting, after, *more = said
    return Change(epoch, setting, None, after, *more)


def begin_anew(progress: Progress, state: TrainingState) -> None:
    """From the next epoch on another rule, or other data: the best epoch is one of those to come."""
    state.best_loss, state.best_number = float("inf"), state.number
    progress.counted_from, progress.is_renewed = len(progress.epochs) + 1, True


def change_rule(
    model: FusionModel, state: TrainingState, plan: Plan, spec: Spec, name: str | None, settings: Mapping[str, Any], *, is_same: bool = False
) -> None:
    """Puts another balancing rule on a model in training, between two epochs; the networks and what the optimizer knows of them stay.

    Args:
        model: the model.
        state: its training state; gets an optimizer that knows the rule's own parameters.
        plan: how it trains.
        spec: of the data.
        name, settings: the rule, None for none.
        is_same: only settings change: what the rule has learned stays.
    """
    learned = model.balance.state_dict()
    balancing.attach(model, name, settings, spec, seed=plan.seed)
    if is_same:
        model.balance.load_state_dict(learned)
    state.optimizer = carried_optimizer(state.optimizer, model, plan)


def shown(epoch: Epoch, number: int, modalities: tuple[str, ...], headline: str) -> Shown:
    """An epoch in plain numbers."""
    means = epoch.steps.mean(0).tolist() if epoch.steps is not None else []
    traced = {quantity: dict(zip(modalities, row, strict=True)) for quantity, row in zip(QUANTITIES, means, strict=False)}
    return Shown(
        number=number,
        loss=dict(epoch.loss),
        score={split: epoch.metrics(split)[headline] for split in ("train", "valid")},
        gradient=traced.get("last_layer", {}),
        update=traced.get("update", {}),
        weight=traced.get("weight", {}),
        probes=dict(epoch.probes),
        rule=epoch.rule,
        seconds=epoch.seconds + epoch.probe_seconds,
        is_best=epoch.is_best,
        stage=epoch.stage,
        is_whole=epoch.is_whole,
    )
