"""Graph family, samples as nodes: each hears the training samples that are nearest to it."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from workbench.data.batch import ModalitySpec, Split
from workbench.data.column import Modality
from workbench.fusion.context import Context, Fused
from workbench.memory import FromTrain, PerSample
from workbench.sequences import masked_mean
from workbench.taps import Tap
from workbench.tasks import Task

BUCKETS = 256
"""Widest bag of tokens; a larger vocabulary is hashed into as many buckets."""

SIDE = 8
"""Height and width to which images are averaged before they are compared."""

SAME = 1e-4
"""An anchor nearer than this (standard deviations) is taken for the sample itself."""

PART = 256
"""Training samples that are looked at together in `Anchors.begin`."""


def input_size(spec: ModalitySpec) -> int:
    """Width of `pooled_input`."""
    if spec.kind == "tokens":
        return min(spec.size, BUCKETS)
    return spec.shape[0] * min(SIDE, spec.shape[1]) * min(SIDE, spec.shape[2]) if spec.kind == "image" else spec.size


def pooled_input(modality: Modality, spec: ModalitySpec, dtype: torch.dtype) -> Float[Tensor, "batch feature"]:
    """A modality's raw input as one vector a sample: the mean over the real steps, the share of each token, an image averaged to few pixels."""
    if spec.kind == "image":
        size = (min(SIDE, spec.shape[1]), min(SIDE, spec.shape[2]))
        return functional.adaptive_avg_pool2d(modality.values.to(dtype), size).flatten(1)
    if spec.kind != "tokens":
        return masked_mean(modality.values.to(dtype), modality.mask)
    width = input_size(spec)
    # Multiplicative hashing (Knuth): neighbouring ids fall far apart.
    bucket = modality.values if spec.size <= width else modality.values * 2_654_435_761 % 2**32 % width
    counts = torch.zeros(bucket.shape[0], width, dtype=dtype, device=bucket.device).scatter_add(1, bucket, modality.mask.to(dtype))
    return counts / modality.mask.sum(1, keepdim=True).clamp_min(1)


class Anchors(FromTrain):
    """Training samples to which others are compared by their raw inputs; chosen once, before the first step, as are the neighbours of all of TRAIN.

    The distance of two samples is the root of the mean squared difference of their standardised features, averaged over the modalities that both
    have: each modality counts as much as any other, however wide it is.

    Args:
        specs: the modalities.
        nearest: neighbours of each sample.
        most: anchors at most; of a larger training split so many are drawn, always the same.
    """

    def __init__(self, specs: Mapping[str, ModalitySpec], *, nearest: int, most: int) -> None:
        super().__init__()
        self.specs, self.nearest, self.most = dict(specs), nearest, most
        self.widths = [input_size(spec) for spec in specs.values()]
        self.register_buffer("mean", torch.zeros(sum(self.widths)))
        self.register_buffer("spread", torch.ones(sum(self.widths)))
        self.register_buffer("features", torch.zeros(0, sum(self.widths)))
        self.register_buffer("present", torch.zeros(0, len(self.widths), dtype=torch.bool))
        self.register_buffer("rows", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("neighbours", torch.zeros(0, nearest, dtype=torch.int64))
        self.register_buffer("distances", torch.zeros(0, nearest))

    @torch.no_grad()
    def begin(self, split: Split, task: Task) -> None:
        """Looks at every training sample: means and spreads, the features of the anchors, and the neighbours of all, which then stay."""
        if len(self.rows):
            return
        seen = [self._raw(batch.modalities) for batch in split.batches(PART)]
        raw, present = torch.cat([part for part, _ in seen]), torch.cat([part for _, part in seen])
        weight = self._over_features(present).to(raw.dtype)
        count = weight.sum(0).clamp_min(1)
        self.mean = (raw * weight).sum(0) / count
        spread = (((raw - self.mean) * weight).square().sum(0) / count).sqrt()
        # A feature that never changes tells no two samples apart; that its spread is not zero is rounding.
        self.spread = torch.where(spread > 1e-4 * self.mean.abs(), spread, torch.inf)
        order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[: self.most]
        self.rows = order.sort().values.to(raw.device)
        features = self._standardised(raw, present)
        self.features, self.present = features[self.rows], present[self.rows]
        found = [self._nearest(*part) for part in zip(features.split(PART), present.split(PART), strict=True)]
        self.neighbours, self.distances = (torch.cat(side) for side in zip(*found, strict=True))

    @torch.no_grad()
    def forward(
        self, inputs: Mapping[str, Modality], index: Int[Tensor, " batch"]
    ) -> tuple[Int[Tensor, "batch neighbour"], Float[Tensor, "batch neighbour"]]:
        """The nearest anchors of each sample (their places in `rows`) and their distances, infinite where there are fewer.

        In training they are looked up by row number. In evaluation a row number may be another split's: they are found by the features. A sample is
        never its own neighbour, in both: an anchor that equals it is taken for it (see `SAME`).
        """
        if self.training and len(self.rows):
            return self.neighbours[index], self.distances[index]
        raw, present = self._raw(inputs)
        return self._nearest(self._standardised(raw, present), present)

    def _nearest(self, features: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        squares = shared = features.new_zeros(features.shape[0], len(self.rows))
        blocks = zip(features.split(self.widths, 1), self.features.split(self.widths, 1), self.widths, strict=True)
        for i, (own, others, width) in enumerate(blocks):
            both = (present[:, i, None] & self.present[:, i]).to(features.dtype)
            # Not by matrix products: equal anchors are to be equally far in every batch, to the last bit.
            squares = squares + both * torch.cdist(own, others, compute_mode="donot_use_mm_for_euclid_dist").square() / width
            shared = shared + both
        distance = (squares / shared.clamp_min(1)).sqrt()
        distance = distance.masked_fill((shared == 0) | (distance < SAME), torch.inf)
        chosen = distance.sort(dim=1, stable=True)
        return chosen.indices[:, : self.nearest], chosen.values[:, : self.nearest]

    def _raw(self, inputs: Mapping[str, Modality]) -> tuple[Tensor, Tensor]:
        """Pooled inputs of all modalities side by side, and which of them each sample has."""
        pooled = [pooled_input(inputs[name], spec, self.mean.dtype) for name, spec in self.specs.items()]
        return torch.cat(pooled, dim=1), torch.stack([inputs[name].mask.any(1) for name in self.specs], dim=1)

    def _standardised(self, raw: Tensor, present: Tensor) -> Tensor:
        return (raw - self.mean) / self.spread * self._over_features(present)

    def _over_features(self, present: Tensor) -> Tensor:
        """`batch modality` as `batch feature`."""
        return present.repeat_interleave(torch.tensor(self.widths, device=present.device), dim=1)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Takes over as many anchors as were saved."""
        for name, buffer in list(self._buffers.items()):
            saved = state.get(f"{prefix}{name}")
            if saved is not None and saved.shape != buffer.shape:
                setattr(self, name, torch.zeros_like(saved, device=buffer.device, dtype=buffer.dtype))
        super()._load_from_state_dict(state, prefix, *rest)


class SampleGraph(nn.Module):
    """Messages from the nearest training samples: what was said in cases like this one.

    Source: graph-based fusion, "graph built separately", in Zhao, Zhang, Geng: Deep multimodal data fusion (ACM Computing Surveys 56(9), 2024);
    samples as nodes and one linear map for a node and what it hears as in Kipf, Welling (ICLR 2017):
        h_n = [z_1, ..., z_M] of sample n,  N(n) the k training samples with the nearest raw inputs
        h_n <- ReLU(W (s h_n + (1 - s) mean of h_m over m in N(n)))
    Decides: the neighbours' h are memories of the training samples, refreshed when a sample is in a training batch: no gradient goes into them, no
    other sample of the batch matters, no label enters. At most `anchors` training samples are remembered. A neighbour counts once it has been seen; a
    sample without neighbours hears itself alone. Deeper layers run over the graph among the anchors, too.

    Args:
        specs: the modalities.
        size: width of every representation.
        nearest: neighbours k of each sample.
        anchors: training samples that can be neighbours, at most.
        own_share: s.
        layers: rounds of messages.
    """

    def __init__(
        self, specs: Mapping[str, ModalitySpec], size: int, *, nearest: int = 5, anchors: int = 512, own_share: float = 0.5, layers: int = 1,
        dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.names, self.own_share, self.size = tuple(specs), own_share, size
        widths = [size * len(self.names), *[size] * layers]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.dropout = nn.Dropout(dropout)
        self.anchors = Anchors(specs, nearest=nearest, most=anchors)
        self.memory = Memory(widths[0], self.anchors)
        self.neighbours, self.distances = Tap("batch", "neighbour"), Tap("batch", "neighbour")

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        own = torch.cat([balanced[name] for name in self.names], dim=-1)
        chosen, distance = self.anchors(context.inputs, context.index)
        remembered, is_seen = self.memory.read()
        weight = mean_weights(chosen, distance, is_seen)
        self.neighbours(torch.where(distance.isfinite(), self.anchors.rows[chosen], -1))
        self.distances(distance)
        linked = self.anchors.neighbours[self.anchors.rows]
        among = mean_weights(linked, self.anchors.distances[self.anchors.rows], is_seen)
        for number, layer in enumerate(self.layers, start=1):
            own, before = self._passed(layer, own, chosen, weight, remembered), remembered
            if number < len(self.layers):
                remembered = self._passed(layer, before, linked, among, before)
        if self.training:
            self.memory.write(context.index, torch.cat([balanced[name] for name in self.names], dim=-1))
        return own, {}

    def _passed(self, layer: nn.Module, own: Tensor, chosen: Tensor, weight: Tensor, others: Tensor) -> Tensor:
        """ReLU(W (s h + (1 - s) mean of the neighbours)); h alone where there are none."""
        heard = torch.einsum("bk,bkf->bf", weight, others[chosen])
        mixed = torch.where(weight.any(1, keepdim=True), self.own_share * own + (1 - self.own_share) * heard, own)
        return self.dropout(torch.relu(layer(mixed)))


def mean_weights(
    chosen: Int[Tensor, "batch neighbour"], distance: Float[Tensor, "batch neighbour"], is_seen: Bool[Tensor, " anchor"]
) -> Float[Tensor, "batch neighbour"]:
    """Equal weights for the neighbours that exist and have been seen; zeros where there are none."""
    counted = (distance.isfinite() & is_seen[chosen]).to(distance.dtype)
    return counted / counted.sum(1, keepdim=True).clamp_min(1)


class Memory(FromTrain):
    """What the anchors said when they were last in a training batch.

    Args:
        size: width of a sample's representations side by side.
        anchors: which training samples are remembered; they are asked for their rows.
    """

    def __init__(self, size: int, anchors: Anchors) -> None:
        super().__init__()
        self.kept = PerSample(size + 1)  # The last number: 1 where the anchor has been seen.
        self._anchors = (anchors,)  # In a tuple: it is registered where it belongs.

    def begin(self, split: Split, task: Task) -> None:
        """A row for each anchor, none of them seen yet."""
        anchors = self._anchors[0]
        anchors.begin(split, task)
        self.kept.begin(torch.zeros(len(anchors.rows), self.kept.rows.shape[1]))

    def read(self) -> tuple[Float[Tensor, "anchor feature"], Bool[Tensor, " anchor"]]:
        """The representations of all anchors, and which have been seen."""
        return self.kept.rows[:, :-1], self.kept.rows[:, -1] > 0

    @torch.no_grad()
    def write(self, index: Int[Tensor, " batch"], said: Float[Tensor, "batch feature"]) -> None:
        """Keeps what the anchors among some training samples say now."""
        is_it = index[:, None] == self._anchors[0].rows
        sample, place = is_it.nonzero(as_tuple=True)
        self.kept.write(place, torch.cat([said[sample], said.new_ones(len(sample), 1)], dim=1))
