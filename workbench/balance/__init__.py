"""Balancing rules: each works on any model of `workbench.methods`, through its projections.

A rule is a `Balancer`: a module between projections and fusion. The trainer calls, in every step,
`forward` (inside the model), `loss`, `before_backward`, and once the gradients of an optimizer step are complete `after_backward`.
The base class is the identity, at no cost.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from pydantic import BaseModel
from torch import Tensor, nn

from workbench.errors import unknown

if TYPE_CHECKING:
    from workbench.data.batch import Batch
    from workbench.model import FusionModel, Output


class Balancer(nn.Module):
    """The identity: no balancing. A rule overrides the moments that it needs."""

    is_second_order = False
    """True where the rule differentiates a gradient: fusion and head then run on the paths that have a double backward."""

    def forward(self, z: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The representations as the fusion gets them, `batch feature` or `batch time feature` each."""
        return z

    def loss(self, output: "Output", batch: "Batch") -> Tensor | None:
        """A term added to the loss, or None."""
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

    def begin_epoch(self, number: int) -> None:
        """Called before each epoch; epochs count from 1."""

    def weights(self) -> Tensor | None:
        """What the trace keeps of each step, one number a modality, on the device; or None."""
        return None

    def facts(self) -> dict[str, float]:
        """Numbers for the run's record, e.g. how often a floor held."""
        return {}


RULES = {"b_fusion": "workbench.balance.b_fusion"}
"""Name of each rule and the module that defines its `Config` and `build(config, modalities)`."""


def rule(name: str):  # noqa: ANN201 - a module
    """The module of a balancing rule.

    Raises:
        ConfigError: no rule has this name.
    """
    if name not in RULES:
        raise unknown("balancing rule", name, [*RULES, "none"], do="workbench list balancers")
    return import_module(RULES[name])


def build(name: str | None, modalities: Sequence[str], settings: Mapping[str, object] | BaseModel | None = None) -> Balancer:
    """A balancing rule by name, `none` or None for the identity.

    Args:
        name: a key of `RULES`, `none` or None.
        modalities: names in the card's order.
        settings: values for the rule's Config.
    """
    if name is None or name == "none":
        return Balancer()
    module = rule(name)
    config = settings if isinstance(settings, BaseModel) else module.Config(**(settings or {}))
    return module.build(config, modalities)
