"""Constraint family, shared and specific spaces: what the modalities have in common apart from what only one of them has."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from workbench.attention import AttentionLayer
from workbench.fusion.constraint import central_moment_discrepancy, difference_loss
from workbench.fusion.context import Context, Fused
from workbench.taps import Tap

MOMENTS = 5
"""Highest order K of the central moment discrepancy (MISA)."""

Vectors = Mapping[str, Tensor]
"""Modality name to `batch feature`."""


class SharedSpecific(nn.Module):
    """Each modality once in a space shared by all and once in its own; self-attention over all of these vectors.

    Source: Hazarika, Zimmermann, Poria: MISA (ACM MM 2020), sections 3.2 to 3.4:
        h_c,m = E_c(u_m),  h_p,m = E_p,m(u_m);  H = [h_c,1, ..., h_c,M, h_p,1, ..., h_p,M];  fused = flatten(self-attention(H)).
    E_c, E_p,m: linear and sigmoid; D: linear. A sample that lacks a modality has neither of its vectors: both are masked in the attention, zeros
    after it, and out of every loss.

    Args:
        modalities: names in the card's order.
        size: width d of u_m and of every vector.
        heads: heads of the attention.
        dropout: in the attention layer.
        similarity, difference, reconstruction: weights of the three losses.
    """

    is_across_samples = True

    def __init__(
        self,
        modalities: Sequence[str],
        size: int,
        *,
        heads: int,
        dropout: float = 0.0,
        similarity: float = 1.0,
        difference: float = 1.0,
        reconstruction: float = 1.0,
    ) -> None:
        super().__init__()
        self.common = nn.Sequential(nn.Linear(size, size), nn.Sigmoid())
        self.private = nn.ModuleDict({name: nn.Sequential(nn.Linear(size, size), nn.Sigmoid()) for name in modalities})
        self.decoder = nn.Linear(size, size)
        self.layer = AttentionLayer(size, heads=heads, dropout=dropout, attention_dropout=dropout, axes=("node", "node_attended"))
        nodes = [f"{name} {space}" for space in ("shared", "specific") for name in modalities]
        self.layer.attention.weights = Tap("batch", "head", "node", "node_attended", node=nodes, node_attended=nodes)
        self.shared = Tap("batch", "modality", "feature", modality=tuple(modalities))
        self.specific = Tap("batch", "modality", "feature", modality=tuple(modalities))
        self.weights = {"similarity": similarity, "difference": difference, "reconstruction": reconstruction}

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        names = list(balanced)
        mask = torch.stack([context.present(name) for name in names], dim=1)
        shared = self.shared(torch.stack([self.common(balanced[name]) for name in names], dim=1) * mask[:, :, None])
        specific = self.specific(torch.stack([self.private[name](balanced[name]) for name in names], dim=1) * mask[:, :, None])
        twice = torch.cat([mask, mask], dim=1)
        attended = self.layer(torch.cat([shared, specific], dim=1), twice) * twice[:, :, None]
        present = {name: mask[:, i] for i, name in enumerate(names)}
        common, private = ({name: value[:, i] for i, name in enumerate(names)} for value in (shared, specific))
        losses = {
            "similarity": similarity_loss(common, present),
            "difference": orthogonality_loss(common, private, present),
            "reconstruction": reconstruction_loss(balanced, {name: self.decoder(common[name] + private[name]) for name in names}, present),
        }
        return attended.flatten(1), {term: self.weights[term] * value for term, value in losses.items()}


def similarity_loss(shared: Vectors, present: Vectors) -> Tensor:
    """Mean over all pairs of modalities of CMD_5 between their shared vectors."""
    pairs = list(combinations(shared, 2))
    distances = [central_moment_discrepancy(shared[a][present[a]], shared[b][present[b]], moments=MOMENTS) for a, b in pairs]
    return torch.stack(distances).mean()


def orthogonality_loss(shared: Vectors, specific: Vectors, present: Vectors) -> Tensor:
    """Shared against specific of each modality, and specific against specific of each pair, added."""
    own = [difference_loss(shared[name][present[name]], specific[name][present[name]]) for name in shared]
    both = {(a, b): present[a] & present[b] for a, b in combinations(specific, 2)}
    others = [difference_loss(specific[a][rows], specific[b][rows]) for (a, b), rows in both.items()]
    return torch.stack([*own, *others]).sum()


def reconstruction_loss(given: Vectors, decoded: Vectors, present: Vectors) -> Tensor:
    """Mean over the modalities of the mean squared error between u_m and D(h_c,m + h_p,m)."""
    errors = [((decoded[name] - given[name]).square().mean(1) * present[name]).sum() / present[name].sum().clamp_min(1) for name in given]
    return torch.stack(errors).mean()
