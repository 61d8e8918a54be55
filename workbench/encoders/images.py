"""Images from scratch: a few convolutions, then patches of their feature map as the words of a transformer."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from workbench.attention import Transformer
from workbench.data.batch import Modality, ModalitySpec
from workbench.errors import ConfigError
from workbench.sequences import Steps

PATCHES = 64
"""At most so many patches: a larger image is made smaller by the convolutions first."""


class PatchTransformer(nn.Module):
    """A small CNN, patches of its feature map, a transformer over them: one vector a patch, the [CLS] token first, `batch token hidden_size`.

    Source: MLDFA (Yue), Eqs. (4)-(6): H = CNN(X), H' = Transformer(Z_0), f = H'[CLS]. Z_0 = [cls; E p_1; ...; E p_N] + E_pos is that of Dosovitskiy
    et al.: An image is worth 16x16 words (ICLR 2021), Eq. (1), which the paper names and does not write down.

    Decides: two convolutions of 3 x 3 with ReLU, or more where the image is large: each of the first ones halves height and width, until there are at
    most 64 patches (a digit of 8 x 8 keeps its size; a poster of 64 x 40 becomes 16 x 10, one of 256 x 160 too). There is no batch norm: an
    image's answer would depend on its batch. Patches are read row by row and do not overlap; where they do not fit, zeros stand beyond the right and
    lower edge of the map. Positions are learned, one a token.

    Args:
        spec: an image.
        hidden_size: width of the last convolution and of the transformer; each one before it has half the width of the next, 8 at least.
        layers, heads: of the transformer; the heads divide hidden_size.
        patch_size: height and width of a patch, in cells of the feature map (at most the whole map).
        has_cls: a learned token stands before the patches.
        dropout: after the positions are added, and of what each part of a layer adds.

    Raises:
        ConfigError: the modality is no image.
    """

    def __init__(
        self, spec: ModalitySpec, *, hidden_size: int, layers: int, heads: int, patch_size: int, has_cls: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        needs_image(spec)
        channels, *size = spec.shape
        halvings, cells = halved(size, patch_size)
        self.patch = tuple(min(patch_size, n) for n in cells)
        self.grid = tuple(math.ceil(n / p) for n, p in zip(cells, self.patch, strict=True))
        self.edges = (0, self.grid[1] * self.patch[1] - cells[1], 0, self.grid[0] * self.patch[0] - cells[0])
        self.convolutions = convolutions(channels, hidden_size, halvings)
        self.patches = nn.Conv2d(hidden_size, hidden_size, self.patch, stride=self.patch)
        self.has_cls = has_cls
        self.cls = nn.Parameter(torch.randn(1, 1, hidden_size) * 0.02) if has_cls else None
        self.places = nn.Parameter(torch.randn(1, math.prod(self.grid) + has_cls, hidden_size) * 0.02)
        self.transformer = Transformer(
            hidden_size,
            layers=layers,
            heads=heads,
            has_positions=False,
            embedding_dropout=dropout,
            dropout=dropout,
            is_single=self.places.shape[1] == 1,
            axes=("token", "token_attended"),
        )
        self.size = hidden_size

    def forward(self, modality: Modality) -> Steps:
        tokens = self._tokens(there(modality).to(self.places.dtype))
        mask = modality.mask.expand(-1, tokens.shape[1])
        return Steps(self.transformer(tokens + self.places, mask) * mask[:, :, None], mask)

    def _tokens(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch token size"]:
        """[CLS] and the patches, row by row, without positions."""
        found = self.patches(functional.pad(self.convolutions(images), self.edges)).flatten(2).transpose(1, 2)
        return found if self.cls is None else torch.cat([self.cls.expand(found.shape[0], -1, -1), found], dim=1)


def halved(size: list[int], patch_size: int) -> tuple[int, list[int]]:
    """How often height and width are halved (rounded up) until there are at most PATCHES patches, and what they are then."""
    halvings = 0
    while math.prod(math.ceil(n / patch_size) for n in size) > PATCHES:
        halvings, size = halvings + 1, [math.ceil(n / 2) for n in size]
    return halvings, size


def convolutions(channels: int, size: int, halvings: int) -> nn.Sequential:
    """Convolutions of 3 x 3 with ReLU, at least two; the first `halvings` have stride 2."""
    count = max(2, halvings)
    widths = [channels, *(max(min(size, 8), size >> (count - 1 - i)) for i in range(count))]
    strides = [2 if i < halvings else 1 for i in range(count)]
    layers = [nn.Conv2d(widths[i], widths[i + 1], 3, stride=strides[i], padding=1) for i in range(count)]
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))


def there(modality: Modality) -> Float[Tensor, "batch channel height width"]:
    """The images; zeros for a sample that has none, whatever stands in its place."""
    return torch.where(modality.mask[:, :, None, None], modality.values, 0)


def needs_image(spec: ModalitySpec) -> None:
    """Refuses a modality that is no image.

    Raises:
        ConfigError: it is none.
    """
    if spec.kind != "image":
        raise ConfigError(
            f"this encoder reads images, and the modality is of kind {spec.kind}",
            expected="an image (channel height width)",
            do="take MeanMLP for vectors, StepTransformer or ConvLSTMSteps for sequences",
        )
