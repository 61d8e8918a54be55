"""What comes of the dials of `opinions`: the exact ceilings at once, and after some seconds what trained models reach. There is no widget in here.

    setting = Setting("starved", {"hardness": {"audio": 0.8}})
    ceilings_of(setting)                                        # {"text": .85, "audio": .86, "vision": .82, "all": .96}
    trainings = Trainings(listen=print)
    trainings.want(setting, seeds=3)                            # on a thread of its own; what was trained before is told at once

Each outcome is kept by (dials, seed, variant): nothing is trained twice in one process.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch

from workbench.data import load
from workbench.data.batch import Dataset, TaskSpec
from workbench.data.simulator.ceiling import ceilings
from workbench.data.simulator.dials import MODALITIES, Dials, preset_dials
from workbench.errors import ConfigError
from workbench.fitting import fit
from workbench.surroundings import usable_cores
from workbench.tasks import make_task
from workbench.training import Epoch

METHOD = "lf_dnn"
"""What is trained: small, and starved by nothing but the data (the search that found the preset `starved` used it)."""

METRIC = make_task(TaskSpec("regression")).headline

JOINT, BALANCED = "joint", "joint + B-fusion"

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    JOINT: {"balance": "none"},
    BALANCED: {"balance": "b_fusion"},
    **{f"{name} alone": {"balance": "none", "modalities": [name]} for name in MODALITIES},
}
"""What is trained of each draw, in this order: what is asked for comes first."""


@dataclass(frozen=True)
class Setting:
    """A place of the dials: a preset with some dials turned.

    Args:
        preset: one of `PRESETS`, of sentiment.
        changes: dials that were turned, as `opinions` takes them.
    """

    preset: str = "starved"
    changes: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def dials(self) -> Dials:
        """All dials.

        Raises:
            ConfigError: an unknown preset, dial or modality, a value out of bounds, or emotions: their metrics have other ceilings.
        """
        found = preset_dials(self.preset, **self.changes)
        if found.task != "sentiment":
            raise ConfigError(
                "the dial shows sentiment, not emotions", expected="a preset of sentiment: starved, redundant, synergy, noisy, balanced"
            )
        return found

    def turned(self, name: str, value: float) -> "Setting":
        """With one dial turned: `redundancy`, or `hardness.audio`; a dial that stands as in the preset is no change."""
        dial, _, modality = name.partition(".")
        values = self.dials.model_dump()
        if modality:
            values[dial][modality] = round(value, 4)
        else:
            values[dial] = round(value, 4)
        return setting_of(self.preset, values)

    def value(self, name: str) -> float:
        """Where a dial stands: `redundancy`, or `hardness.audio`."""
        dial, _, modality = name.partition(".")
        found = getattr(self.dials, dial)
        return float(found[modality]) if modality else float(found)

    def data(self, seed: int) -> Dataset:
        """A draw."""
        return load(f"opinions/{self.preset}", seed=seed, **self.changes)


def setting_of(preset: str, values: Mapping[str, Any]) -> Setting:
    """The setting of all dials' values, with only those named that are not the preset's."""
    before = preset_dials(preset).model_dump()
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            others = {key: one for key, one in value.items() if one != before[name][key]}
            if others:
                changes[name] = others
        elif value != before[name]:
            changes[name] = value
    return Setting(preset, changes)


def ceilings_of(setting: Setting) -> dict[str, float]:
    """The best attainable headline score of each modality alone, and of `all` together; exact (see `workbench.data.simulator.ceiling`)."""
    return dict(_ceilings(setting.dials))


@lru_cache(maxsize=256)
def _ceilings(dials: Dials) -> dict[str, float]:
    found = ceilings(dials)
    return {name: found[name][METRIC] for name in (*MODALITIES, "all")}


def train(
    setting: Setting, variant: str, seed: int, *, data: Dataset | None = None, plan: Mapping[str, Any] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> float:  # fmt: skip
    """Trains one variant on one draw; its headline score on test. Nothing is left on disk.

    Args:
        setting: the dials.
        variant: one of `VARIANTS`.
        seed: of draw and training.
        data: the draw, where it is there already.
        plan: changes to the method's plan for `opinions`.
        on_epoch: called after each epoch; whatever it raises ends the training.
    """
    settings = dict(VARIANTS[variant])
    data = setting.data(seed) if data is None else data
    modalities = settings.pop("modalities", None)
    data = data.select(*modalities) if modalities else data
    # Untraced and unprobed: the same numbers, in less time.
    plan = {"is_traced": False, "probe_every": 0, **(plan or {}), "seed": seed}
    with TemporaryDirectory(prefix="workbench-dial-", ignore_cleanup_errors=True) as runs:
        return float(fit(METHOD, data, runs=runs, plan=plan, on_epoch=on_epoch, **settings).metrics["test"][METRIC])


class Kept:
    """Outcomes by (dials, seed, variant); safe from any thread."""

    def __init__(self) -> None:
        self._scores: dict[tuple[Dials, int, str], float] = {}
        self._lock = threading.Lock()

    def put(self, setting: Setting, seed: int, variant: str, value: float) -> None:
        """Keeps one."""
        with self._lock:
            self._scores[setting.dials, seed, variant] = value

    def missing(self, setting: Setting, seeds: Sequence[int]) -> list[tuple[int, str]]:
        """What is not trained yet, in order."""
        with self._lock:
            return [(seed, variant) for seed in seeds for variant in VARIANTS if (setting.dials, seed, variant) not in self._scores]

    def table(self, setting: Setting) -> pd.DataFrame:
        """All outcomes of these dials, as figures take them: variant, label, kind, seed, value."""
        with self._lock:
            found = {(seed, variant): value for (dials, seed, variant), value in self._scores.items() if dials == setting.dials}
        rows = [
            {"variant": variant, "label": variant.removesuffix(" alone"), "kind": "alone" if variant.endswith(" alone") else "joint", "seed": seed,
             "value": value}
            for (seed, variant), value in sorted(found.items(), key=lambda item: (list(VARIANTS).index(item[0][1]), item[0][0]))
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["variant", "label", "kind", "seed", "value"])


KEPT = Kept()
"""Outcomes of this process."""


def train_all(setting: Setting, seeds: Sequence[int], *, kept: Kept = KEPT, plan: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Trains what is missing, here and now; the table of all outcomes of these dials."""
    for seed, jobs in _by_seed(kept.missing(setting, seeds)):
        data = setting.data(seed)
        for variant in jobs:
            kept.put(setting, seed, variant, train(setting, variant, seed, data=data, plan=plan))
    found = kept.table(setting)
    return found[found["seed"].isin(list(seeds))].reset_index(drop=True)


def _by_seed(jobs: Sequence[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """(seed, its variants), so that each draw is made once."""
    for seed in dict.fromkeys(seed for seed, _ in jobs):
        yield seed, [variant for of, variant in jobs if of == seed]


@dataclass(frozen=True)
class Step:
    """Where the trainings stand: `variant` and `seed` in training, its `epoch` (0: not yet one), and how many are `done` of `wanted`."""

    variant: str
    seed: int
    epoch: int
    done: int
    wanted: int


class _LeftError(Exception):
    """Something else is wanted now."""


@dataclass(frozen=True)
class _Wish:
    number: int
    setting: Setting
    seeds: tuple[int, ...]


Listen = Callable[[str, Any], None]
"""`step` (Step), `outcome` (the Setting), `idle` (None: all that was wanted is there), `failed` (the error): kind and content; must not wait."""


class Trainings:
    """One thread that trains what is wanted, one after the other; another wish ends what is in training within an epoch.

    Args:
        listen: hears what happens, on that thread (see `Listen`).
        kept: where outcomes are kept.
        plan: changes to the method's plan.
        threads: torch's threads for it; None leaves one core to whoever watches.
    """

    def __init__(self, listen: Listen, *, kept: Kept = KEPT, plan: Mapping[str, Any] | None = None, threads: int | None = None) -> None:
        self.listen, self.kept, self.plan = listen, kept, dict(plan or {})
        self.threads = threads or max(1, usable_cores() - 1)
        self._wishes: queue.SimpleQueue[_Wish | None] = queue.SimpleQueue()
        self._newest, self._order = 0, threading.Lock()
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workbench-outcomes", daemon=True)
        self._thread.start()

    def want(self, setting: Setting, seeds: int | Sequence[int]) -> None:
        """Trains what is missing of these dials; leaves what was wanted before."""
        with self._order:
            self._newest += 1
            self._wishes.put(_Wish(self._newest, setting, tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)))

    def leave(self) -> None:
        """Ends what is in training, within an epoch."""
        self.want(Setting(), ())

    def close(self, seconds: float = 0.0) -> None:
        """Ends the thread, within an epoch; waits for it at most so long."""
        self._is_closed.set()
        self._wishes.put(None)
        if seconds and self._thread is not threading.current_thread():
            self._thread.join(seconds)

    @property
    def is_alive(self) -> bool:
        """False once the thread has ended."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._is_closed.is_set():
            wish = self._last_wish()
            if wish is None:
                return
            before = torch.get_num_threads()
            torch.set_num_threads(self.threads)
            try:
                with suppress(_LeftError):
                    self._train(wish)
                    self._tell("idle", None)
            except Exception as error:
                self._tell("failed", error)
            finally:
                torch.set_num_threads(before)

    def _last_wish(self) -> _Wish | None:
        """Waits for a wish; of several the last one counts. None: closed."""
        wish = self._wishes.get()
        while wish is not None:
            try:
                wish = self._wishes.get_nowait()
            except queue.Empty:
                return wish
        return None

    def _train(self, wish: _Wish) -> None:
        """What is missing of a wish."""
        jobs = self.kept.missing(wish.setting, wish.seeds)
        wanted = len(wish.seeds) * len(VARIANTS)
        done = wanted - len(jobs)
        for seed, variants in _by_seed(jobs):
            self._look(wish, Step(variants[0], seed, 0, done, wanted))
            data = wish.setting.data(seed)
            for variant in variants:
                value = train(wish.setting, variant, seed, data=data, plan=self.plan, on_epoch=self._looker(wish, variant, seed, done, wanted))
                self.kept.put(wish.setting, seed, variant, value)
                done += 1
                self._tell("outcome", wish.setting)

    def _looker(self, wish: _Wish, variant: str, seed: int, done: int, wanted: int) -> Callable[[Epoch], None]:
        return lambda epoch: self._look(wish, Step(variant, seed, epoch.number, done, wanted))

    def _look(self, wish: _Wish, step: Step) -> None:
        """Tells where it stands, and leaves where something else is wanted."""
        if self._is_closed.is_set() or wish.number != self._newest:
            raise _LeftError
        self._tell("step", step)

    def _tell(self, kind: str, content: Any) -> None:
        if not self._is_closed.is_set():
            self.listen(kind, content)
