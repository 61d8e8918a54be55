"""What every encoder begins with: a modality as numbers."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.data.batch import Modality, ModalitySpec


class Features(nn.Module):
    """A modality as `batch time feature`: tokens embedded, images flattened to one step, the rest as it is.

    Args:
        spec: the modality.
        embedding_size: width of the embedding of tokens.
    """

    def __init__(self, spec: ModalitySpec, *, embedding_size: int) -> None:
        super().__init__()
        self.kind = spec.kind
        self.embedding = nn.Embedding(spec.size, embedding_size, padding_idx=0) if spec.kind == "tokens" else None
        pixels = int(torch.tensor(spec.shape).prod()) if spec.kind == "image" else 0
        self.size = embedding_size if spec.kind == "tokens" else pixels or spec.size

    def forward(self, modality: Modality) -> Float[Tensor, "batch time feature"]:
        if self.embedding is not None:
            return self.embedding(modality.values)
        return modality.values.flatten(1).unsqueeze(1) if self.kind == "image" else modality.values
