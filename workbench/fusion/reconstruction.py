"""The decoder of the encoder-decoder family: what went in, told from the fused representation."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from workbench.data.batch import ModalitySpec
from workbench.fusion.context import Context, Fused
from workbench.sequences import masked_mean


class Reconstructed(nn.Module):
    """An operator and a decoder: one linear layer, ReLU, linear layer a modality tells its input from the fused representation.

        L = weight * sum_i mean over samples that have i and over features of (D_i(fused) - x_i)^2

    where x_i is the mean over the real steps of the modality's input (an image's pixels; of tokens, which are no numbers, the mean of z_i, held
    constant so that it does not shrink to be told easily). The unit is that of the features: they should be standardised.

    Args:
        operator: the fusion.
        modalities: name to spec, in the card's order.
        size: width of the fused representation.
        token_size: width of z_i.
        weight: of the term `reconstruction`.
    """

    is_across_samples = True

    def __init__(self, operator: nn.Module, modalities: Mapping[str, ModalitySpec], size: int, *, token_size: int, weight: float) -> None:
        super().__init__()
        self.operator, self.weight = operator, weight

        def width(spec: ModalitySpec) -> int:
            return token_size if spec.kind == "tokens" else int(torch.tensor(spec.shape).prod()) if spec.kind == "image" else spec.size

        self.decoders = nn.ModuleDict(
            {name: nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, width(spec))) for name, spec in modalities.items()}
        )

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        fused, losses = self.operator(balanced, z, context)
        terms = [self._error(decoder(fused), z[name], context, name) for name, decoder in self.decoders.items()]
        return fused, {**losses, "reconstruction": self.weight * torch.stack(terms).sum()}

    def _error(self, told: Tensor, z: Tensor, context: Context, name: str) -> Tensor:
        """Mean squared error over the samples that have the modality; 0 where none has."""
        target, present = to_be_told(z, context, name).to(told.dtype), context.present(name).to(told.dtype)
        return ((told - target).square().mean(1) * present).sum() / present.sum().clamp_min(1)


def to_be_told(z: Tensor, context: Context, name: str) -> Tensor:
    """What a decoder is to tell of a modality (x_i above), `batch feature`; no gradient."""
    values, mask = context.inputs[name].values, context.inputs[name].mask
    if not values.is_floating_point():
        return (masked_mean(z, context.masks[name]) if z.dim() == 3 else z).detach()
    values = values.flatten(1).unsqueeze(1) if values.dim() == 4 else values
    # Not by a product with the mask: what stands behind it need not be a number.
    return masked_mean(torch.where(mask[:, :, None], values, 0), mask)
