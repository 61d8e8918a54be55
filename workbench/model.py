"""The one shape of every model: encoders -> projections -> balance -> fusion -> head.

z_i = projection_i(encoder_i(batch[i]))        W_i: the last linear layer of modality i (adaptive weight fusion Eqs. 1-3); 0 where a sample lacks i
fused, losses = fusion(balance(z), z, context)
prediction = head(fused)

z_i is a vector a sample, or, where the encoder gives `Steps`, a vector a step.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from workbench.balance import Balancer
from workbench.data.batch import Batch, Modality
from workbench.fusion.context import Context
from workbench.memory import FromTrain, PerSample
from workbench.second_order import second_order
from workbench.sequences import Steps, masked_mean
from workbench.shares import is_cut, met
from workbench.supervision import Supervision

if TYPE_CHECKING:
    from workbench.stages import Stage


class Output(NamedTuple):
    """What a model returns; nothing is parked on the model.

    Args:
        prediction: `batch` (regression) or `batch class` (scores before the softmax).
        representations: modality name to z_i, `batch feature`, before balancing (the mean over the real steps of a sequence): what the balance and
            the probes look at.
        losses: named auxiliary terms, already weighted; the trainer adds them to the task loss.
        fused: `batch feature`, what the head was given.
        parts: name to `batch feature`, what the fusion made of single modalities (by their names) or of several, where it tells: for a supervision
            or a stage that reads them.
    """

    prediction: Tensor
    representations: dict[str, Tensor]
    losses: dict[str, Tensor]
    fused: Tensor
    parts: Mapping[str, Tensor] = MappingProxyType({})


class FusionModel(nn.Module):
    """Encoders, projections, balance, fusion and head, keyed by modality name.

    Args:
        encoders: modality name to a module `Modality -> batch feature` or `Modality -> Steps`, in the card's order.
        projections: modality name to the last linear layer W_i of that modality (it has a `weight`; of `Steps` it is applied to each step).
        fusion: module `(balanced z, z, context) -> (batch feature, losses)`, or with a third element, `Output.parts`.
        head: module `batch feature -> batch outputs`.
        supervision: further loss terms that need the labels; None: none.
        stage: an attribute, not an argument: the stage that is trained or scored (`workbench.stages.entered`); None: the whole model.
    """

    stage: "Stage | None" = None

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        projections: Mapping[str, nn.Module],
        fusion: nn.Module,
        head: nn.Module,
        *,
        supervision: Supervision | None = None,
    ) -> None:
        super().__init__()
        if list(encoders) != list(projections):
            raise ValueError(f"encoders {list(encoders)} and projections {list(projections)} must name the same modalities in one order")
        self.encoders = nn.ModuleDict(encoders)
        self.projections = nn.ModuleDict(projections)
        self.balance = Balancer()
        self.fusion = fusion
        self.head = head
        self.supervision = supervision

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modality names in the card's order."""
        return tuple(self.encoders)

    @property
    def is_across_samples(self) -> bool:
        """True where the fusion says that it looks at the samples of a batch together (to correlate, contrast or remember them)."""
        return any(isinstance(part, FromTrain | PerSample) or getattr(part, "is_across_samples", False) for part in self.fusion.modules())

    def forward(self, batch: Batch) -> Output:
        if self.stage is not None and self.stage.reads in self.encoders:
            return self._of_one(self.stage.reads, batch)
        seen = {name: self._represented(name, batch[name]) for name in self.encoders}
        if is_cut() and self.is_across_samples:
            seen, batch = met(seen)
        z = {name: value for name, (value, _) in seen.items()}
        context = Context({name: mask for name, (_, mask) in seen.items()}, {name: batch[name] for name in seen}, batch.index)
        with second_order(self.training and self.balance.is_second_order):
            fused, losses, *parts = self.fusion(self.balance(z), z, context)
            prediction = self.head(fused)
        pooled = {name: _pooled(value, context.masks[name]) for name, value in z.items()}
        if self.stage is not None and self.stage.reads:
            fused = parts[0][self.stage.reads]
            return Output(self.supervision.read(self.stage.reads, fused), pooled, losses, fused, *parts)
        prediction = prediction.squeeze(-1) if prediction.shape[-1] == 1 else prediction
        return Output(prediction, pooled, losses, fused, *parts)

    def train(self, mode: bool = True) -> "FusionModel":
        """Training or evaluation mode; in a stage, parts that do not learn stay in evaluation mode."""
        super().train(mode)
        if mode and self.stage is not None:
            for module in self.modules():
                own = list(module.parameters())
                if own and not any(p.requires_grad for p in own):
                    module.eval()
        return self

    def terms(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The loss terms of a training batch beside the task loss, weighted: the forward pass's own, and those that need the labels."""
        return output.losses if self.supervision is None or self.stage is not None else {**output.losses, **self.supervision(output, batch)}

    def _of_one(self, name: str, batch: Batch) -> Output:
        """One modality's own answer, by its readout; the others are not looked at."""
        z, mask = self._represented(name, batch[name])
        pooled = _pooled(z, mask)
        return Output(self.supervision.read(name, pooled), {name: pooled}, {}, pooled)

    def _represented(self, name: str, modality: Modality) -> tuple[Tensor, Tensor]:
        """z_i and its mask: zeros at steps that are not real, and for a sample that does not have the modality."""
        encoded = self.encoders[name](modality)
        if isinstance(encoded, Steps):
            return self.projections[name](encoded.values) * encoded.mask[:, :, None], encoded.mask
        z, present = self.projections[name](encoded), modality.mask.any(1, keepdim=True)
        return (z * present if modality.has_gaps else z), present

    def branch(self, name: str) -> list[nn.Parameter]:
        """The trainable parameters of one modality's own network: encoder and projection (last linear layer last)."""
        return [p for module in (self.encoders[name], self.projections[name]) for p in module.parameters() if p.requires_grad]


def _pooled(z: Tensor, mask: Tensor) -> Tensor:
    """`batch feature`: the mean over the real steps of a sequence, a vector as it is."""
    return masked_mean(z, mask) if z.dim() == 3 else z
