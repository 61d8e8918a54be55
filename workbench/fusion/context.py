"""What an operator may know of a batch beside the representations; never its labels."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.data.column import Modality


@dataclass(frozen=True)
class Context:
    """A batch without its labels.

    Args:
        masks: modality name to `batch time`, True where a step of z_i is real; `batch 1` for a vector, True where the sample has the modality.
        inputs: modality name to the values and mask that its encoder was given.
        index: row number of each sample in its split.
    """

    masks: Mapping[str, Bool[Tensor, "batch time"]]
    inputs: Mapping[str, Modality]
    index: Int[Tensor, " batch"]

    def present(self, name: str) -> Bool[Tensor, " batch"]:
        """True where the sample has the modality."""
        return self.masks[name].any(1)


Fused = tuple[Float[Tensor, "batch feature"], dict[str, Tensor]]
"""What an operator returns: the fused representation, and named auxiliary loss terms, already weighted."""

FusedWithParts = tuple[Float[Tensor, "batch feature"], dict[str, Tensor], dict[str, Float[Tensor, "batch _"]]]
"""The same, and what the operator made of single modalities (`workbench.model.Output.parts`)."""
