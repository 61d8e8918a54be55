"""Attention from one modality to another: every ordered pair a stream of its own, whatever the number of modalities and their lengths.

CrossmodalStreams    the M (M - 1) streams target <- source
CrossAttention       streams, the mean over the target's real steps
CrossmodalFusion     streams, a memory for each target, its last real step (MulT)
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import permutations

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from workbench.attention import Transformer
from workbench.fusion.context import Context, Fused
from workbench.sequences import lengths, masked_mean


class CrossmodalStreams(nn.Module):
    """For every ordered pair of modalities a transformer whose queries are the target's steps and whose keys and values are the source's.

    Source: Tsai et al.: Multimodal transformer for unaligned multimodal language sequences (ACL 2019), section 3.2, Eq. (4):
        Z[0] = Z_target;  Z[i] = crossmodal layer(Z[i-1], Z_source),  i = 1..D
    Every layer attends to the source as it came in (low-level features).

    Args:
        size: width d of every modality.
        modalities: names in the card's order.
        layers, heads: of each stream.
        single: modalities of one step (vectors, images): as a source they leave nothing to choose.
        attention_dropout: of attention weights; `attention_dropouts` of single sources, by name.
        settings: see `workbench.attention.Transformer`.
    """

    def __init__(
        self,
        size: int,
        modalities: Sequence[str],
        *,
        layers: int,
        heads: int,
        single: Collection[str] = (),
        attention_dropout: float = 0.0,
        attention_dropouts: Mapping[str, float] | None = None,
        **settings: object,
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        dropouts = attention_dropouts or {}

        def stream(target: str, source: str) -> Transformer:
            own = {"attention_dropout": dropouts.get(source, attention_dropout), "is_single": source in single}
            return Transformer(size, layers=layers, heads=heads, axes=(f"{target}_time", f"{source}_time"), **own, **settings)

        self.streams = nn.ModuleDict({f"{target}_from_{source}": stream(target, source) for target, source in permutations(self.modalities, 2)})

    def forward(self, values: Mapping[str, Tensor], masks: Mapping[str, Tensor], *, is_causal: bool = False) -> dict[str, list[Tensor]]:
        """Each target's streams, `batch time size` each, in the order of their sources."""
        found: dict[str, list[Tensor]] = {name: [] for name in self.modalities}
        for target, source in permutations(self.modalities, 2):
            allowed = past(masks[target], masks[source]) if is_causal else None
            stream = self.streams[f"{target}_from_{source}"]
            found[target].append(stream(values[target], masks[target], values[source], masks[source], allowed=allowed))
        return found


def past(target: Bool[Tensor, "batch queries"], source: Bool[Tensor, "batch keys"]) -> Bool[Tensor, "batch queries keys"]:
    """True where a step of the target may see a step of the source: step j <= i + |n_source - n_target|, n the sample's own lengths."""
    ahead = (lengths(source) - lengths(target)).abs()[:, None, None]
    query, key = (torch.arange(mask.shape[1], device=mask.device) for mask in (target, source))
    return key <= query[:, None] + ahead


class CrossAttention(nn.Module):
    """Every modality's steps attend to every other modality's; each stream's mean over the target's real steps, side by side.

    Source: Hou: Techniques for deep fusing multimodal data (talk, 2024): attention-based fusion, inter-modality.

        fused = [mean_t CM_(target <- source)(Z_target, Z_source)] over all ordered pairs

    Args:
        size, modalities, settings: see `CrossmodalStreams`.
    """

    def __init__(self, size: int, modalities: Sequence[str], **settings: object) -> None:
        super().__init__()
        self.crossmodal = CrossmodalStreams(size, modalities, **settings)
        self.size = size * len(self.crossmodal.streams)

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        streams = self.crossmodal(balanced, context.masks)
        pooled = [masked_mean(value, context.masks[target]) for target, values in streams.items() for value in values]
        return torch.cat(pooled, dim=-1), {}


class CrossmodalFusion(nn.Module):
    """Crossmodal streams, then a self-attention transformer over each target's streams together, read at its last real step.

    Source: Tsai et al. (ACL 2019), sections 3.2 and 3.3:
        Z_target = [Z[D]_(target <- source)]_source,  fused = [SA_target(Z_target)[last]]_target
    A sample that lacks the target gives zeros for it; one that lacks a source keeps the target as it is.

    Args:
        size, modalities, heads, settings: see `CrossmodalStreams`.
        layers, memory_layers: D of the streams, and layers of the memories.
        is_causal: no step sees a later one (see `past`).
    """

    def __init__(
        self,
        size: int,
        modalities: Sequence[str],
        *,
        layers: int,
        memory_layers: int,
        heads: int,
        single: Collection[str] = (),
        is_causal: bool = False,
        attention_dropout: float = 0.0,
        attention_dropouts: Mapping[str, float] | None = None,
        **settings: object,
    ) -> None:
        super().__init__()
        shared = {"heads": heads, "attention_dropout": attention_dropout, **settings}
        self.crossmodal = CrossmodalStreams(size, modalities, layers=layers, single=single, attention_dropouts=attention_dropouts, **shared)
        width = size * (len(modalities) - 1)
        self.memories = nn.ModuleDict(
            {
                name: Transformer(width, layers=memory_layers, is_single=name in single, axes=(f"{name}_time", f"{name}_time_attended"), **shared)
                for name in modalities
            }
        )
        self.is_causal = is_causal
        self.size = width * len(modalities)

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        streams = self.crossmodal(balanced, context.masks, is_causal=self.is_causal)
        last = []
        for name, memory in self.memories.items():
            mask = context.masks[name]
            allowed = past(mask, mask) if self.is_causal else None
            state = memory(torch.cat(streams[name], dim=-1), mask, is_last_only=True, allowed=allowed)
            last.append(state[:, 0] * context.present(name)[:, None])
        return torch.cat(last, dim=-1), {}
