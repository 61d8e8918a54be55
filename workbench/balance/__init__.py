"""Balancing rules: each works on any model of `workbench.methods`, through its projections.

A rule is a `Balancer`: a module between projections and fusion. The trainer calls

    once          `begin` (task and training split), `hold_out` (what is not to be learned from)
    every epoch   `look` (the model can be asked), `begin_epoch`; after it `readings`
    every batch   `forward` (inside the model), `loss`, `before_backward`
    every step    `after_backward` (the gradients are complete), `before_update` and `after_update` (around the optimizer)

The base class is the identity, at no cost.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from workbench.data.batch import Spec, Split
from workbench.errors import unknown
from workbench.memory import FromTrain
from workbench.surroundings import RANDOM

if TYPE_CHECKING:
    from workbench.data.batch import Batch
    from workbench.model import FusionModel, Output


class Balancer(FromTrain):
    """The identity: no balancing. A rule overrides the moments that it needs."""

    is_second_order = False
    """True where the rule differentiates a gradient: fusion and head then run on the paths that have a double backward."""

    changes_gradients = False
    """True where the gradients that the networks get differ from those without the rule (not only through `forward`): both are then traced."""

    def forward(self, z: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The representations as the fusion gets them, `batch feature` or `batch time feature` each."""
        return z

    def loss(self, output: "Output", batch: "Batch", *, task_loss: Tensor) -> Tensor | None:
        """A term added to the loss, or None.

        Args:
            output: what the model said of a training batch.
            batch: the batch.
            task_loss: its task loss, with its graph.
        """
        return None

    def before_backward(self, task_loss: Tensor, model: "FusionModel", *, share: float, has_terms: bool) -> None:
        """Looks at the task loss of a batch before its graph is used.

        Args:
            task_loss: without auxiliary terms.
            model: the model.
            share: the batch's part of the optimizer step.
            has_terms: auxiliary terms come on top, so that the gradients of the step will not be the task's alone.
        """

    def after_backward(self, model: "FusionModel") -> None:
        """Looks at or changes the complete gradients of an optimizer step."""

    def before_update(self, model: "FusionModel") -> None:
        """Right before the optimizer's step; gradients are clipped by now."""

    def after_update(self, model: "FusionModel") -> None:
        """Right after the optimizer's step: a rule may change how far it went."""

    def hold_out(self, split: Split, seed: int) -> Tensor | None:
        """Rows of the training split that are not to be learned from while the rule is on (int64, on the CPU), or None.

        Args:
            split: the training split.
            seed: the plan's.
        """
        return None

    def look(self, number: int, ask: Callable[[Tensor | None], Any]) -> None:
        """Called before each epoch, when the model can be asked.

        Args:
            number: epochs count from 1.
            ask: rows of the training split (None: all) -> what the model says of them in evaluation mode (`workbench.training.Prediction`).
        """

    def readings(self, representations: Mapping[str, Tensor], split: Split) -> dict[str, dict[str, float]]:
        """What the rule knows after an epoch: quantity -> name (a modality, or `joint` for the whole) -> value. Empty: nothing.

        Args:
            representations: z_i of every row of the valid split.
            split: the valid split.
        """
        return {}

    def moved(self) -> list[nn.Parameter]:
        """Parameters that the rule moves by itself: the optimizer leaves them alone. All others of a rule (its heads) are the optimizer's."""
        return []

    def stopped(self) -> "Balancer":
        """What is left of the rule where nothing is to be balanced any more: what it does in the forward pass, as it is now."""
        return Balancer()

    def weights(self) -> Tensor | None:
        """What the trace keeps of each step, one number a modality, on the device; or None."""
        return None

    def facts(self) -> dict[str, float]:
        """Numbers for the run's record, e.g. how often a floor held."""
        return {}


RULES = {
    "b_fusion": "workbench.balance.b_fusion",
    "uniform": "workbench.balance.uniform",
    "ogm_ge": "workbench.balance.ogm_ge",
    "gradient_blending": "workbench.balance.gradient_blending",
    "adaptive_tracking": "workbench.balance.adaptive_tracking",
    "grad_norm": "workbench.balance.grad_norm",
}
"""Name of each rule and the module that defines its `Config` and `build(config, modalities)`; with `HAS_HEADS`, `build(config, widths, outputs)`."""


def rule(name: str):  # noqa: ANN201 - a module
    """The module of a balancing rule.

    Raises:
        ConfigError: no rule has this name.
    """
    if name not in RULES:
        raise unknown("balancing rule", name, [*RULES, "none"], do="workbench list balancers")
    return import_module(RULES[name])


def usual_settings(name: str, optimizer: str) -> dict[str, Any]:
    """The values that a rule has by default under an optimizer, where they differ from its Config's (`FOR_SGD` of its module)."""
    return dict(getattr(rule(name), "FOR_SGD", {})) if optimizer == "sgd" else {}


def build(
    name: str | None,
    modalities: Sequence[str] | Mapping[str, int],
    settings: Mapping[str, object] | BaseModel | None = None,
    *,
    outputs: int | None = None,
) -> Balancer:
    """A balancing rule by name, `none` or None for the identity.

    Args:
        name: a key of `RULES`, `none` or None.
        modalities: names in the card's order; a rule with unimodal heads needs the width of each z_i with them.
        settings: values for the rule's Config.
        outputs: what a head gives for one sample (`TaskSpec.outputs`); a rule with unimodal heads needs it.

    Raises:
        ConfigError: no rule has this name.
        ValueError: a rule with unimodal heads, and no widths or outputs (see `attach`).
    """
    if name is None or name == "none":
        return Balancer()
    module = rule(name)
    config = settings if isinstance(settings, BaseModel) else module.Config(**(settings or {}))
    if not getattr(module, "HAS_HEADS", False):
        return module.build(config, tuple(modalities))
    if not isinstance(modalities, Mapping) or outputs is None:
        raise ValueError(f"the rule {name} has unimodal heads: give the width of each modality and the number of outputs, or use attach")
    return module.build(config, modalities, outputs)


def attach(model: "FusionModel", name: str | None, settings: Mapping[str, object] | BaseModel | None, spec: Spec, *, seed: int = 0) -> None:
    """Puts a rule on a model, with all that it brings: heads of the right size, first weights by the seed only.

    Args:
        model: gets the rule as `model.balance`, on its device and in its precision.
        name, settings: see `build`.
        spec: of the data that the model was built for.
        seed: the plan's.
    """
    matrices = {modality: model.projections[modality].weight for modality in model.modalities}
    with RANDOM, torch.random.fork_rng(devices=[]):  # weights are made on the CPU
        torch.manual_seed(seed)
        made = build(name, {modality: len(matrix) for modality, matrix in matrices.items()}, settings, outputs=spec.task.outputs)
    first = next(iter(matrices.values()))
    model.balance = made.to(first.device, first.dtype)
