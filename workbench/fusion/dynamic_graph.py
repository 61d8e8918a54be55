"""A graph with a vertex for every set of modalities, whose edges the data switches on and off."""

from collections.abc import Sequence
from itertools import combinations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.errors import ConfigError
from workbench.fusion.memory_fusion import MOMENTS, at_real_steps, over_real_steps, small_network
from workbench.taps import Tap

MOST_MODALITIES = 5
"""Of six there would be 63 vertices and 665 edges, each with its own part of a network."""

OUTPUT = "output"

Subset = tuple[str, ...]


def subsets(modalities: Sequence[str]) -> list[Subset]:
    """All non-empty sets of the modalities, small ones first, in the card's order."""
    return [found for size in range(1, len(modalities) + 1) for found in combinations(modalities, size)]


def children(subset: Subset) -> list[Subset]:
    """The sets that lie within a set and are smaller: whose vertices feed its vertex."""
    return subsets(subset)[:-1]


class DynamicFusionGraph(nn.Module):
    """What each set of modalities says together, from what its smaller sets say, each edge weighted by its efficacy.

    Source: Zadeh et al. (ACL 2018), "Dynamic Fusion Graph": vertices are the non-empty sets of modalities, with an edge from every set to every set
    that holds it, and from all to the output T:
        v_{m} = D_m(c_m^{[t-1,t]}),  alpha = sigmoid(D_alpha(v_{1}, ..., v_{M})),
        v_s = D_s([alpha_{r->s} v_r for r within s]),  T = D_T([alpha_{s->T} v_s for all s]).
    Decides: D_m is one linear layer, the others have one hidden layer each; all vertices have one width.

    Args:
        modalities: names in the card's order.
        reference: the modality whose steps they share.
        size: width of each memory.
        node_size: width of a vertex, and of the output.
        hidden_size: of the networks.
        dropout: inside them.

    Raises:
        ConfigError: more than five modalities.
    """

    def __init__(self, modalities: Sequence[str], *, reference: str, size: int, node_size: int, hidden_size: int, dropout: float) -> None:
        super().__init__()
        _check_few(modalities)
        self.vertices = subsets(modalities)
        joint = self.vertices[len(modalities) :]
        edges = [(child, subset) for subset in joint for child in children(subset)]
        self.edges = {edge: place for place, edge in enumerate([*edges, *((subset, (OUTPUT,)) for subset in self.vertices)])}
        self.size = node_size
        self.singletons = nn.ModuleDict({name: nn.Linear(len(MOMENTS) * size, node_size) for name in modalities})
        self.networks = nn.ModuleDict(
            {"+".join(subset): small_network(len(children(subset)) * node_size, hidden_size, node_size, dropout=dropout) for subset in joint}
        )
        self.output = small_network(len(self.vertices) * node_size, hidden_size, node_size, dropout=dropout)
        self.efficacies = small_network(len(modalities) * node_size, hidden_size, len(self.edges), dropout=dropout)
        names = tuple(f"{'+'.join(start)}->{'+'.join(end)}" for start, end in self.edges)
        self.efficacy = Tap("batch", "edge", edge=names)
        self.efficacy_by_step = Tap("batch", f"{reference}_time", "edge", edge=names)
        self.direct = Tap("batch", "modality", modality=tuple(modalities))

    def forward(
        self, window: Float[Tensor, "time batch moment modality feature"], inside: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "time batch node"]:
        values = {(name,): network(window[:, :, :, i].flatten(2)) for i, (name, network) in enumerate(self.singletons.items())}
        efficacy = self.efficacies(torch.cat(list(values.values()), dim=2)).sigmoid()
        self._show(efficacy, inside)

        def weighted(starts: list[Subset], end: Subset) -> Tensor:
            return torch.cat([efficacy[:, :, self.edges[start, end], None] * values[start] for start in starts], dim=2)

        for subset in self.vertices[len(self.singletons) :]:
            values[subset] = self.networks["+".join(subset)](weighted(children(subset), subset))
        return self.output(weighted(self.vertices, (OUTPUT,)))

    def _show(self, efficacy: Tensor, inside: Tensor) -> None:
        """Efficacies for who looks: means over the real steps of all edges, and of those from a modality alone to the output; and step by step."""
        if self.efficacy.is_recorded or self.direct.is_recorded:
            pooled = over_real_steps(efficacy, inside)
            self.efficacy(pooled)
            self.direct(torch.stack([pooled[:, self.edges[(name,), (OUTPUT,)]] for name in self.singletons], dim=1))
        if self.efficacy_by_step.is_recorded:
            self.efficacy_by_step(at_real_steps(efficacy, inside))


def _check_few(modalities: Sequence[str]) -> None:
    """Five modalities at most."""
    if len(modalities) > MOST_MODALITIES:
        raise ConfigError(
            f"graph_mfn has a vertex for every set of modalities: {len(modalities)} of them are {2 ** len(modalities) - 1} vertices",
            expected=f"{MOST_MODALITIES} modalities at most ({2**MOST_MODALITIES - 1} vertices)",
            do="take fewer modalities, or mfn, which grows with their number only",
        )
