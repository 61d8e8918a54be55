"""Gives out the trials of a study and takes their outcomes: each setting counted once, whoever died in between.

A trial is waiting (enqueued), running (claimed by a driver), and then complete, pruned or failed. A failed trial with a reason (`error`) is an
outcome and stays; one without was interrupted, and its setting is enqueued again. What counts is read from the trials each time, so there is no
moment at which a killed process leaves the study in a state that the next one could not go on from.
"""

import json
import logging
import os
import socket
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.sweeps import store as stores
from workbench.sweeps.ranges import plain
from workbench.sweeps.settings import Setting, unseen
from workbench.sweeps.space import Space
from workbench.sweeps.store import Store, quiet
from workbench.sweeps.trials import Outcome

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class Desk:
    """Gives out the trials of a study and takes their outcomes.

    Args:
        store: the study.
        space: the swept keys.
        listed: settings that are known beforehand (all samplers but tpe).
        trials: how many settings the sampler may propose (tpe).
    """

    def __init__(self, store: Store, space: Space, listed: Sequence[Setting], trials: int) -> None:
        self.store, self.space, self.listed = store, space, listed
        # Where every value is listed, no more trials than settings: each counts once.
        self.total = min(trials, space.count or trials) if space.learns else len(listed)
        self.mine: dict[int, Any] = {}
        self._beating = threading.Event()

    def start(self, *, retry_failed: bool = False) -> None:
        """Frees trials whose driver is gone, and enqueues what is missing.

        A local study has one driver (we hold its lock), so whatever runs there is left over; on a server it is left over when its heartbeat has
        stopped for the grace period.
        """
        from optuna.trial import TrialState

        with quiet(), self.store.alone():
            for trial in self.store.trials():
                if trial.state == TrialState.RUNNING and (not self.store.is_shared or "driver" not in trial.user_attrs):
                    self._release(trial)
        if self.store.is_shared:
            threading.Thread(target=self._beat, daemon=True, name="sweep heartbeat").start()
        self.refill(retry_failed=retry_failed)

    def refill(self, *, retry_failed: bool = False) -> None:
        """Enqueues every setting that is wanted and that no trial stands for: new ones, and those of interrupted trials."""
        import optuna

        with quiet(), self.store.alone():
            if self.store.is_shared:
                optuna.storages.fail_stale_trials(self.store.study)
            trials = self.store.trials()
            standing = {plain(setting_of(trial)) for trial in counted(trials) if setting_of(trial) and not (retry_failed and is_failure(trial))}
            interrupted = [setting_of(trial) for trial in trials if is_interrupted(trial) and setting_of(trial)]
            wanted = {plain(setting): setting for setting in [*self.listed, *interrupted]}
            for key, setting in wanted.items():
                if key not in standing:
                    self._enqueue(setting)

    def _enqueue(self, setting: Setting) -> None:
        self.store.study.enqueue_trial(self.space.encode(setting), user_attrs={"setting": plain(setting)})

    def claim(self) -> tuple[int, Setting] | None:
        """The next trial's number and setting, now ours; None where there is none to begin."""
        with quiet(), self.store.alone():
            while self._has_next():
                trial = self.store.study.ask(self.space.distributions())
                setting = setting_of(trial) or self.space.decode(trial.params)
                setting = {key: setting[key] for key in self.space.ranges}
                twin = self._twin(trial.number, setting)
                if self.store.is_shared:
                    self.store.storage.record_heartbeat(trial._trial_id)
                trial.set_user_attr("setting", plain(setting))
                if twin:
                    # The sampler proposed what was tried already (few values): another one, that was not, instead of a second count.
                    self._release(trial)
                    self._enqueue(twin)
                    continue
                trial.set_user_attr("driver", f"{socket.gethostname()}:{os.getpid()}")
                self.mine[trial.number] = trial
                return trial.number, setting
        return None

    def _has_next(self) -> bool:
        from optuna.trial import TrialState

        trials = self.store.trials()
        return any(trial.state == TrialState.WAITING for trial in trials) or (self.space.learns and len(counted(trials)) < self.total)

    def _twin(self, number: int, setting: Setting) -> Setting | None:
        """A setting that was not tried, where this one was and there is one."""
        if not self.space.learns:
            return None
        seen = {plain(setting_of(other)): other for other in counted(self.store.trials()) if other.number != number and setting_of(other)}
        return unseen(self.space.ranges, seen, number) if plain(setting) in seen else None

    def reported(self, number: int, step: int, value: float) -> bool:
        """Keeps a value on the way; True where the trial is not worth going on with."""
        trial = self.mine.get(number)
        if trial is None:
            return False
        with quiet():
            # Where a worker was killed and its trial is trained again, optuna keeps what was said of a step first.
            trial.report(value, step)
            return trial.should_prune()

    def tell(self, number: int, outcome: Outcome, metric: str) -> None:
        """Writes the outcome of a trial of ours; one that was stopped is left to be tried again."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        trial = self.mine.pop(number)
        with quiet():
            try:
                if outcome.state == "stopped":
                    self._release(trial)
                    return
                facts = {"scores": outcome.scores, "runs": outcome.runs, "seconds": outcome.seconds, "place": outcome.place, "error": outcome.error}
                for key, value in facts.items():
                    if value:
                        trial.set_user_attr(key, json.dumps(value) if isinstance(value, dict) else value)
                states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
                values = outcome.values(metric)
                self.store.study.tell(trial, sum(values) / len(values) if outcome.state == "complete" else None, state=states[outcome.state])
            except (UpdateFinishedTrialError, ValueError) as error:
                if self.store.study._storage.get_trial(trial._trial_id).state.is_finished():
                    # We were silent for so long that another driver took it for dead: its retry stands.
                    return
                raise WorkbenchError(f"trial {number} cannot be written: {error}") from error

    def release_all(self) -> None:
        """Leaves our running trials to be tried again, by us or by others."""
        for number in list(self.mine):
            self.tell(number, Outcome("stopped"), "")
        self.refill()

    def _release(self, trial: Any) -> None:
        """Ends a trial without a reason: interrupted."""
        from optuna.trial import TrialState

        self.store.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def standing(self, *, metric: str, is_lower_better: bool) -> tuple[int, tuple[Setting, list[float]] | None]:
        """How many trials have ended, ours and others', and setting and scores of the best one, if any is complete."""
        trials = counted(self.store.trials())
        complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
        done = sum(trial.state.is_finished() for trial in trials)
        if not complete:
            return done, None
        best = (min if is_lower_better else max)(complete, key=lambda trial: trial.value)
        return done, (setting_of(best), [scores[metric] for scores in json.loads(best.user_attrs["scores"]).values()])

    def open_trials(self) -> int:
        """Trials that wait or run, ours and others'."""
        return sum(not trial.state.is_finished() for trial in counted(self.store.trials()))

    def is_done(self) -> bool:
        """True where nothing is left to train."""
        return not self.open_trials() and not self._has_next()

    def close(self) -> None:
        """Ends the heartbeat."""
        self._beating.set()

    def _beat(self) -> None:
        """Says that our trials live, until closed; a server that is away for a moment is asked again."""
        while not self._beating.wait(stores.HEARTBEAT_SECONDS):
            for trial in list(self.mine.values()):
                try:
                    self.store.storage.record_heartbeat(trial._trial_id)
                except Exception:
                    logging.getLogger(__name__).debug("no heartbeat", exc_info=True)


def setting_of(trial: Any) -> Setting | None:
    """The setting that stands in a trial, if it has one yet."""
    found = trial.user_attrs.get("setting")
    return json.loads(found) if found else None


def is_failure(trial: "FrozenTrial") -> bool:
    """True where a training failed for a reason of its own."""
    return trial.state.name == "FAIL" and bool(trial.user_attrs.get("error"))


def is_interrupted(trial: "FrozenTrial") -> bool:
    """True where the trial ended because its process did."""
    return trial.state.name == "FAIL" and not trial.user_attrs.get("error")


def counted(trials: Sequence["FrozenTrial"]) -> list["FrozenTrial"]:
    """The trials that stand for a setting: no interrupted ones, and no failed one whose setting was tried again."""
    last = {plain(setting_of(trial)): trial.number for trial in trials if not is_interrupted(trial)}
    return [
        trial for trial in trials if not is_interrupted(trial) and (not is_failure(trial) or last[plain(setting_of(trial))] == trial.number)
    ]  # fmt: skip
