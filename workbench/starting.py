"""Starting from a finished run: the stages that are not trained now bring their weights from it.

fit("delta_attention", data, start=run, stages=["fusion"])        # unimodal parts and correlation as they are in `run`
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workbench.data.batch import Dataset
from workbench.errors import ConfigError, unknown
from workbench.model import FusionModel
from workbench.plan import Plan
from workbench.runs import Run
from workbench.stages import Stage, entered
from workbench.tasks import make_task
from workbench.training import predict


@dataclass(frozen=True)
class Start:
    """A finished run, and what is taken from it.

    Args:
        run: the run.
        trained: the stages that are trained now; what none of them trains is taken from the run.
        kept: the others.
    """

    run: Run
    trained: tuple[Stage, ...]
    kept: tuple[Stage, ...]

    def identity(self, names: Sequence[str]) -> dict[str, Any]:
        """What the numbers depend on: the weights that it brings, and what is trained now."""
        weights = hashlib.sha256((self.run.path / "model.safetensors").read_bytes()).hexdigest()[:16]
        return {"run": self.run.id, "settings": self.run.settings_key, "weights": weights, "stages": list(names)}

    def load_into(self, model: FusionModel, fingerprint: str) -> None:
        """Puts the run's weights into every part that is not trained now.

        Args:
            fingerprint: of the data that is trained on; the run must have seen this very data, or samples of it could be in valid or test here.

        Raises:
            ConfigError: it was trained on other data, or a part has another shape there.
        """
        if self.run.config["fingerprint"] != fingerprint:
            what = f"the run {self.run.id} was trained on other data ({self.run.config['dataset']})"
            raise ConfigError(what, expected="the same data, drawn with the same seed", do="train all stages: leave out start and stages")
        from safetensors.torch import load_file

        saved, own = load_file(self.run.path / "model.safetensors"), model.state_dict()
        for name, value in own.items():
            if any(stage.is_trained(name) for stage in self.trained) or name.startswith("balance."):
                continue
            if name not in saved or saved[name].shape != value.shape:
                there = tuple(saved[name].shape) if name in saved else "missing"
                what = f"{name} has the shape {tuple(value.shape)} here, and {there} in the run {self.run.id}"
                raise ConfigError(
                    what, expected="settings that give the stages that are not trained the same shape", do="take the run's settings for them"
                )
            with torch.no_grad():
                value.copy_(saved[name])

    def check(self, model: FusionModel, data: Dataset, plan: Plan) -> None:
        """The kept stages answer here as they did in the run: equal shapes do not make equal settings.

        Args:
            model: with the run's weights.
            data: the data; `valid` is scored, each kept stage once.
            plan: how it trains (for its loss and precision).

        Raises:
            ConfigError: a stage scores otherwise than in the run.
        """
        task = make_task(data.spec.task, loss=plan.loss)
        for stage in self.kept:
            with entered(model, stage):
                now = float(task.loss(predict(model, data["valid"], plan).prediction, data["valid"].target))
            then = self.run.metrics["stages"][stage.name]["valid"]["loss"]
            if self.run.config["plan"]["loss"] == plan.loss and abs(now - then) > TOLERANCE * then:
                what = f"the stage {stage.name} does not say here what it said in the run {self.run.id}"
                told = f"a loss of {then:.4f} on valid, as in the run; here it is {now:.4f}"
                raise ConfigError(what, expected=told, do=f"take the run's settings for the stages that are kept ({_said(self.kept)})")


TOLERANCE = 1e-3
"""How far a loss may be from the run's, as a share of it: another device, or another size of batch."""


def start_from(
    known: Sequence[Stage], names: Sequence[str] | None, start: str | Path | Run | None, *, method: str, data: Dataset
) -> tuple[tuple[Stage, ...], Start | None]:
    """The stages that are trained, and where the others come from.

    Args:
        known: all stages of the method, in order; empty: it has none.
        names: those that are trained; None: all. A group, e.g. `unimodal`, stands for all of `unimodal.<modality>`.
        start: a finished run or its folder.

    Raises:
        ConfigError: an unknown stage, a later stage that would be kept while an earlier one changes, or a start that is missing or does not fit.
    """
    if names is None and start is None:
        return tuple(known), None
    if not known:
        raise ConfigError(f"{method} is trained all at once here: it has no stages to choose or to start from", do="leave out stages and start")
    trained = _chosen(known, names, method)
    if len(trained) == len(known):
        if start is not None:
            raise ConfigError("all stages are trained, so nothing is taken from a start", do=f"name those to train: stages of {_said(known)}")
        return trained, None
    if start is None:
        missing = _said([stage for stage in known if stage not in trained])
        raise ConfigError(f"nothing says where the stages {missing} come from", expected="start: a finished run of the same method and data")
    run = start if isinstance(start, Run) else Run.load(start)
    if run.config["method"] != method or run.config["modalities"] != list(data.modalities):
        what = f"the run {run.id} is {run.config['method']} on {', '.join(run.config['modalities'])}"
        raise ConfigError(what, expected=f"a run of {method} on {', '.join(data.modalities)}")
    if "stages" not in run.metrics:
        raise ConfigError(f"the run {run.id} was trained all at once: it has no stages to take", expected="a run trained stage by stage")
    return trained, Start(run, trained, tuple(stage for stage in known if stage not in trained))


def _chosen(known: Sequence[Stage], names: Sequence[str] | None, method: str) -> tuple[Stage, ...]:
    """The stages of these names, in the method's order: with one, every stage of a later group."""
    names = [names] if isinstance(names, str) else names
    if not names:
        raise ConfigError("a start was given, and no stage to train", expected=f"stages: some of {_said(known)}")
    groups = list(dict.fromkeys(_group(stage) for stage in known))
    for name in names:
        if name not in groups and name not in [stage.name for stage in known]:
            raise unknown(f"stage of {method}", name, [stage.name for stage in known])
    trained = [stage for stage in known if stage.name in names or _group(stage) in names]
    first = min(groups.index(_group(stage)) for stage in trained)
    kept = [stage for stage in known if groups.index(_group(stage)) > first and stage not in trained]
    if kept:
        what = f"{_said(kept)} would be kept while {trained[0].name}, on which it rests, changes"
        raise ConfigError(what, do=f"train it too: stages {_said([stage for stage in known if stage in trained or stage in kept])}")
    return tuple(trained)


def _group(stage: Stage) -> str:
    return stage.name.split(".")[0]


def _said(stages: Sequence[Stage]) -> str:
    return ", ".join(stage.name for stage in stages)
