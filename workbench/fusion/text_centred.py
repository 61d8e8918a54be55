"""One modality at the centre: every other one is read into a stream of its own, layer by layer, and the streams are fused.

    UnimodalStream   layers of one modality, Eqs. (5)-(12)
    CentredStream    layers of the centre that read one other modality, Eqs. (13)-(23)
    CentredFusion    all of them, the losses (24)-(26), and the fused vector (27)

Source: MMILN (see `workbench.methods.mmiln`), sections 3.2 and 3.3, Eq. (27) section 3.4.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.errors import ConfigError
from workbench.fusion.constraint import bounded_discrepancy, difference_loss
from workbench.fusion.context import Context, FusedWithParts
from workbench.fusion.gated_transformer import GatedSteps, GateTransformer, SAGTransformer
from workbench.sequences import is_exporting, lengths, masked_mean
from workbench.taps import Tap


class UnimodalStream(nn.Module):
    """Layers of one modality, Eqs. (5), (6): each takes the one before it.

    Args:
        size: width d.
        layers: how many.
        settings: see `GateTransformer`.
    """

    def __init__(self, size: int, *, layers: int, **settings: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GateTransformer(size, **settings) for _ in range(layers))

    def forward(self, values: Float[Tensor, "batch time size"], mask: Bool[Tensor, "batch time"]) -> list[GatedSteps]:
        found: list[GatedSteps] = []
        for layer in self.layers:
            found.append(layer(found[-1].values if found else values, mask))
        return found


class CentredStream(nn.Module):
    """Layers of the centre that read one other modality, Eqs. (13), (14): layer i reads what layer i of that modality attended to.

    Args:
        size: width d.
        layers: how many.
        settings: see `SAGTransformer`.
    """

    def __init__(self, size: int, *, layers: int, **settings: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(SAGTransformer(size, **settings) for _ in range(layers))

    def forward(
        self,
        values: Float[Tensor, "batch time size"],
        mask: Bool[Tensor, "batch time"],
        attended: Sequence[Float[Tensor, "batch steps size"]],
        other_mask: Bool[Tensor, "batch steps"],
    ) -> list[GatedSteps]:
        found: list[GatedSteps] = []
        for layer, other in zip(self.layers, attended, strict=True):
            found.append(layer(found[-1].values if found else values, mask, other, other_mask))
        return found


class Openness(nn.Module):
    """How far one layer's gates stand open: means over the features (and real steps), one number a modality. The identity of nothing: views only."""

    def __init__(self, others: Sequence[str]) -> None:
        super().__init__()
        for name in ("retain", "compound", "screening", "unimodal_retain", "unimodal_compound"):
            setattr(self, name, Tap("batch", "modality", modality=tuple(others)))

    def see(self, unimodal: Sequence[GatedSteps], centred: Sequence[GatedSteps], masks: Sequence[Tensor]) -> None:
        """Passes one layer's gates of all modalities to the taps that are recorded."""
        for tap, layers, gate in (
            *((getattr(self, name), centred, name) for name in ("retain", "compound", "screening")),
            *((getattr(self, f"unimodal_{name}"), unimodal, name) for name in ("retain", "compound")),
        ):
            gates = [getattr(layer, gate) for layer in layers]
            if tap.is_recorded and gates and gates[0] is not None:
                pooled = [masked_mean(value, mask) if value.dim() == 3 else value for value, mask in zip(gates, masks, strict=True)]
                tap(torch.stack([value.mean(1) for value in pooled], dim=1))


class CentredFusion(nn.Module):
    """Streams of the centre, one for each other modality, fused: F_m = ReLU(W [X_f1, X_f2, ...] + b) of their means over time, Eq. (27).

    Similarity, Eqs. (24), (25): CMD_K(sigmoid h_f, sigmoid h_g), mean over the pairs of streams f, g (with one stream there is none).
    Difference, Eq. (26): sum over the other modalities n and their streams f of || h_f^T h_n ||_F^2, centred over the batch, rows of length one.
    Both over the samples that have the modalities in question.

    A sample that lacks the centre has one empty step in its place, so that the others are still read. Without `has_gate_fusion` there are no streams:
    the centre as it came in and the others' last layers are fused. `Output.parts` gets the others' last layers, means over time.

    Args:
        size: width d.
        modalities: names in the card's order.
        center: the one in the middle.
        post_size: width of F_m.
        layers, heads: of every stream; `dropout` inside the layers, `fused_dropout` before Eq. (27).
        single: modalities of one step.
        has_gates, has_screening, residual, is_full: see `GateTransformer`, `SAGTransformer`, `PooledGRU`.
        has_gate_fusion: see above.
        similarity, difference: weights alpha and beta of the losses; None: the losses are left out.
        moments: K.
        loss_layers: the losses of the last layer, or the mean over all.
        loss_on: what h is: the vectors the gates are made of (Eqs. (7), (16)), or the means over time of what the layers give.
        is_mean: the difference loss as the mean over the entries of each product, instead of the sum.
    """

    def __init__(
        self,
        size: int,
        modalities: Sequence[str],
        *,
        center: str,
        post_size: int,
        layers: int,
        heads: int,
        single: Collection[str] = (),
        dropout: float = 0.0,
        fused_dropout: float = 0.0,
        has_gates: bool = True,
        has_screening: bool = True,
        has_gate_fusion: bool = True,
        residual: Literal["previous", "current"] = "previous",
        is_full: bool = False,
        similarity: float | None = None,
        difference: float | None = None,
        moments: int = 5,
        loss_layers: Literal["last", "all"] = "last",
        loss_on: Literal["gates", "outputs"] = "gates",
        is_mean: bool = False,
    ) -> None:
        super().__init__()
        self.center, self.others = center, tuple(name for name in modalities if name != center)
        self.weights = {"similarity": similarity, "difference": difference} if similarity is not None or difference is not None else {}
        if self.weights and loss_on == "gates" and not has_gates:
            raise ConfigError("the losses compare what the gates are made of, and there are no gates", do="take loss_on=outputs, or leave them out")
        self.is_across_samples = bool(self.weights)
        shared = {"layers": layers, "heads": heads, "dropout": dropout, "has_gates": has_gates, "is_full": is_full}

        def unimodal(name: str) -> UnimodalStream:
            axes = (f"{name}_time", f"{name}_time_attended")
            return UnimodalStream(size, residual=residual, is_single=name in single, axes=axes, **shared)

        def centred(name: str) -> CentredStream:
            of = {"is_single": center in single, "is_other_single": name in single, "axes": (f"{center}_time", f"{name}_time")}
            return CentredStream(size, has_screening=has_screening, **of, **shared)

        self.unimodal = nn.ModuleDict({name: unimodal(name) for name in self.others})
        self.fused = nn.ModuleDict({name: centred(name) for name in self.others} if has_gate_fusion else {})
        self.openness = nn.ModuleList(Openness(self.others) for _ in range(layers if has_gates else 0))
        self.pairs = list(combinations(self.others, 2))
        width = size * (len(self.others) + (not has_gate_fusion))
        self.post = nn.Sequential(nn.Dropout(fused_dropout), nn.Linear(width, post_size), nn.ReLU())
        self.moments, self.is_mean, self.loss_layers, self.loss_on = moments, is_mean, loss_layers, loss_on
        self.discrepancy = Tap("layer", "pair", pair=[" x ".join(pair) for pair in self.pairs])
        self.overlap = Tap("layer", "modality", modality=self.others)

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> FusedWithParts:
        values, masks = cut({name: balanced[name] for name in (self.center, *self.others)}, context.masks)
        unimodal = {name: stream(values[name], masks[name]) for name, stream in self.unimodal.items()}
        parts = {name: masked_mean(layers[-1].values, masks[name]) for name, layers in unimodal.items()}
        centre, mask = values[self.center], masks[self.center]
        if not self.fused:
            self._see(unimodal, {}, masks)
            return self.post(torch.cat([masked_mean(centre, mask), *parts.values()], dim=1)), {}, parts
        mask = with_one_step(mask)
        centred = {name: stream(centre, mask, [layer.attended for layer in unimodal[name]], masks[name]) for name, stream in self.fused.items()}
        self._see(unimodal, centred, masks)
        fused = self.post(torch.cat([masked_mean(layers[-1].values, mask) for layers in centred.values()], dim=1))
        return fused, self._losses(unimodal, centred, {**masks, self.center: mask}, context), parts

    def _see(self, unimodal: Mapping[str, list[GatedSteps]], centred: Mapping[str, list[GatedSteps]], masks: Mapping[str, Tensor]) -> None:
        """Shows the gates of each layer."""
        order = [masks[name] for name in self.others]
        for number, openness in enumerate(self.openness):
            openness.see([layers[number] for layers in unimodal.values()], [layers[number] for layers in centred.values()], order)

    def _losses(
        self, unimodal: Mapping[str, list[GatedSteps]], centred: Mapping[str, list[GatedSteps]], masks: Mapping[str, Tensor], context: Context
    ) -> dict[str, Tensor]:
        """Eqs. (24)-(26), weighted."""
        if not self.weights:
            return {}
        is_seen = self.discrepancy.is_recorded or self.overlap.is_recorded
        chosen = range(len(next(iter(unimodal.values())))) if is_seen or self.loss_layers == "all" else [-1]
        present = {name: context.present(name) & context.present(self.center) for name in self.others}
        alike, unlike = [], []
        for number in chosen:
            own = {name: self._hidden(layers[number], masks[name]) for name, layers in unimodal.items()}
            stream = {name: self._hidden(layers[number], masks[self.center]) for name, layers in centred.items()}
            alike.append([self._discrepancy(stream, present, *pair) for pair in self.pairs])
            unlike.append([difference_loss(stream[name][here], own[name][here], is_mean=self.is_mean) for name, here in present.items()])
        losses = {}
        if self.pairs and self.weights["similarity"] is not None:
            losses["similarity"] = self.weights["similarity"] * self._entering(self.discrepancy(_table(alike))).mean(1).mean()
        if self.weights["difference"] is not None:
            losses["difference"] = self.weights["difference"] * self._entering(self.overlap(_table(unlike))).sum(1).mean()
        return losses

    def _entering(self, by_layer: Float[Tensor, "layer term"]) -> Float[Tensor, "layers term"]:
        """The layers that enter the loss."""
        return by_layer if self.loss_layers == "all" else by_layer[-1:]

    def _hidden(self, layer: GatedSteps, mask: Tensor) -> Tensor:
        """The h of a layer, `batch feature`."""
        return layer.hidden if self.loss_on == "gates" else masked_mean(layer.values, mask)

    def _discrepancy(self, stream: Mapping[str, Tensor], present: Mapping[str, Tensor], one: str, other: str) -> Tensor:
        """Eq. (25) over the samples that have both."""
        both = present[one] & present[other]
        return bounded_discrepancy(stream[one][both], stream[other][both], moments=self.moments)


def _table(rows: list[list[Tensor]]) -> Tensor:
    """Single numbers as `layer term`."""
    return torch.stack([torch.stack(row) for row in rows])


def with_one_step(mask: Bool[Tensor, "batch time"]) -> Bool[Tensor, "batch time"]:
    """The mask, with the first step of a sample that has none."""
    first = torch.arange(mask.shape[1], device=mask.device) == 0
    return mask | (first & ~mask.any(1, keepdim=True))


def cut(
    values: Mapping[str, Float[Tensor, "batch _ size"]], masks: Mapping[str, Bool[Tensor, "batch _"]]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Sequences and their masks as long as the batch's longest sample: nothing behind it is computed. One wait on an accelerator for all of them."""
    if is_exporting():
        return dict(values), {name: masks[name] for name in values}
    longest = torch.stack([lengths(masks[name]).amax() for name in values]).clamp_min(1).tolist()
    kept = dict(zip(values, longest, strict=True))
    return {name: value[:, : kept[name]] for name, value in values.items()}, {name: masks[name][:, : kept[name]] for name in values}
