"""The one shape of every model: encoders -> projections -> balance -> fusion -> head.

z_i = projection_i(encoder_i(batch[i]))        W_i: the last linear layer of modality i (adaptive weight fusion Eqs. 1-3); 0 where a sample lacks i
fused, losses = fusion(balance(z), z)
prediction = head(fused)
"""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from workbench.balance import Balancer
from workbench.data.batch import Batch, Modality


class Output(NamedTuple):
    """What a model returns; nothing is parked on the model.

    Args:
        prediction: `batch` (regression) or `batch class` (scores before the softmax).
        representations: modality name to z_i, `batch feature`, before balancing: what the balance and the probes look at.
        losses: named auxiliary terms, already weighted; the trainer adds them to the task loss.
    """

    prediction: Tensor
    representations: dict[str, Tensor]
    losses: dict[str, Tensor]


class FusionModel(nn.Module):
    """Encoders, projections, balance, fusion and head, keyed by modality name.

    Args:
        encoders: modality name to a module `Modality -> batch feature`, in the card's order.
        projections: modality name to the last linear layer W_i of that modality.
        fusion: module `(balanced z, z) -> (batch feature, losses)`.
        head: module `batch feature -> batch outputs`.
        balance: a balancing rule; None is the identity, at no cost.
    """

    def __init__(self, encoders: Mapping[str, nn.Module], projections: Mapping[str, nn.Module], fusion: nn.Module, head: nn.Module) -> None:
        super().__init__()
        if list(encoders) != list(projections):
            raise ValueError(f"encoders {list(encoders)} and projections {list(projections)} must name the same modalities in one order")
        self.encoders = nn.ModuleDict(encoders)
        self.projections = nn.ModuleDict(projections)
        self.balance = Balancer()
        self.fusion = fusion
        self.head = head

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modality names in the card's order."""
        return tuple(self.encoders)

    def forward(self, batch: Batch) -> Output:
        z = {name: self._represented(name, batch[name]) for name in self.encoders}
        fused, losses = self.fusion(self.balance(z), z)
        prediction = self.head(fused)
        return Output(prediction.squeeze(-1) if prediction.shape[-1] == 1 else prediction, z, losses)

    def _represented(self, name: str, modality: Modality) -> Tensor:
        """z_i, `batch feature`; zeros for a sample that does not have the modality."""
        z = self.projections[name](self.encoders[name](modality))
        return z * modality.mask.any(1, keepdim=True) if modality.has_gaps else z

    def branch(self, name: str) -> list[nn.Parameter]:
        """The trainable parameters of one modality's own network: encoder and projection (last linear layer last)."""
        return [p for module in (self.encoders[name], self.projections[name]) for p in module.parameters() if p.requires_grad]
