"""Stages: a method whose paper trains its parts one after the other says here which parts, what answers, and in which order.

While a stage runs, the parameters that it does not train are frozen and in evaluation mode (no dropout), and the model answers by the stage's own
readout; each stage begins with the best epoch of the one before. Without stages a model is trained all at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from workbench.errors import ConfigError
from workbench.model import FusionModel


@dataclass(frozen=True)
class Stage:
    """One training among several of one model.

    Args:
        name: e.g. `unimodal.text`, `correlation`, `fusion`; the plan's values for it go by the name, or by the part before the dot.
        trains: starts of the names of the parameters that learn; empty: all.
        reads: which readout answers and is scored: a modality, or a part that the fusion gives (`Output.parts`); empty: the head.
    """

    name: str
    trains: tuple[str, ...] = ()
    reads: str = ""

    def is_trained(self, parameter: str) -> bool:
        """True where a parameter of this name learns in this stage."""
        return not self.trains or any(parameter == start or parameter.startswith(f"{start}.") for start in self.trains)


WHOLE = Stage("whole")
"""All at once: every parameter, read by the head."""


@contextmanager
def entered(model: FusionModel, stage: Stage) -> Iterator[None]:
    """The model in a stage: what is not trained is frozen, and the stage's readout answers; as before afterwards.

    Raises:
        ConfigError: the stage names a parameter that the model does not have.
    """
    learned = [p for _, p in model.named_parameters() if p.requires_grad]
    names = [name for name, _ in model.named_parameters()]
    for start in stage.trains:
        if not any(name == start or name.startswith(f"{start}.") for name in names):
            raise ConfigError(f"stage {stage.name} trains {start}, which the model does not have", expected="the start of a parameter's name")
    for name, p in model.named_parameters():
        p.requires_grad_(p.requires_grad and stage.is_trained(name))
    before = model.stage
    model.stage = None if stage == WHOLE else stage
    try:
        yield
    finally:
        model.stage = before
        for p in learned:
            p.requires_grad_(True)
