"""A batch in shares: each rank of a training asks the model about some rows, and all have what it says of every row.

    shared(model, batch)      model(batch)

A fusion that looks across samples (`FusionModel.is_across_samples`: it correlates, contrasts or remembers them) meets the whole batch: what comes
before it is computed in shares, the fusion itself by every rank. A batch of fewer samples than ranks is computed whole by each.

Dropout draws for the whole batch, as one process does, and each rank takes its rows. What draws in another way (dropout inside the fused attention
kernel; layers whose first axis is not the batch) has numbers of its own on each rank: as right as those of one process, and as different from them as
another seed's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from workbench.data.batch import Batch
from workbench.data.column import Modality
from workbench.errors import ConfigError
from workbench.ranks import Summed, exchange, team
from workbench.taps import Tap


@dataclass
class Cut:
    """A batch in shares.

    Args:
        whole: the batch.
        sizes: rows of each rank; the first have one more where it does not come out even.
        rows: this rank's.
        is_second_order: a gradient of what the model says will be differentiated again.
        draws: random numbers while the model is asked for a share.
        is_met: what the model says is of the whole batch already.
    """

    whole: Batch
    sizes: list[int]
    rows: slice
    is_second_order: bool = False
    draws: "WholeDropout | None" = None
    is_met: bool = False


_cut: Cut | None = None
_own_draws: tuple[int, tuple[Tensor, ...]] = (-1, ())
"""The random numbers of this rank alone: the seed of the epoch that they belong to, and their state."""


def shared(model: Any, batch: Batch) -> Any:
    """`model(batch)`; with several ranks each computes its share of the rows, and all have what is said of every row.

    A tap that is being recorded sees whole batches: every rank then computes all of it.

    Args:
        model: a `workbench.model.FusionModel`.
        batch: the whole batch, the same on every rank.

    Returns:
        The model's `Output`. Its gradients are right once they are averaged over the ranks.

    Raises:
        ConfigError: the fusion adds loss terms of its own and does not say that it looks across samples.
    """
    global _cut
    ranks = team()
    if ranks is None or len(batch) < ranks.count or _is_recorded(model):
        return model(batch)
    _cut = cut = cut_rows(batch, ranks.rank, ranks.count)
    cut.is_second_order = model.training and model.balance.is_second_order
    try:
        if model.training:
            with WholeDropout(cut) as cut.draws:
                output = model(_share(cut))
        else:
            output = model(_share(cut))
    finally:
        _cut = None
    if cut.is_met:
        return output
    if output.losses:
        what = f"the fusion {type(model.fusion).__name__} adds loss terms ({', '.join(output.losses)}) to what {ranks.count} ranks have in shares"
        raise ConfigError(what, expected="is_across_samples = True on a fusion that looks at more than one sample", do="train with one process")
    return _whole_output(output, cut)


def check_shared(model: nn.Module) -> None:
    """Nothing in the model would see a share for the whole.

    Raises:
        ConfigError: a batch norm learns its statistics while there are several ranks.
    """
    if team() is None:
        return
    for name, part in model.named_modules():
        if isinstance(part, _BatchNorm) and part.training:
            what = f"{name} is a batch norm: with {team().count} ranks it would take a share of the batch for the whole"
            raise ConfigError(
                what, expected="a norm of single samples, such as LayerNorm, or one that keeps its statistics", do="train with one process"
            )


def _is_recorded(model: nn.Module) -> bool:
    """True where a tap of the model is being recorded."""
    return any(module.is_recorded for module in model.modules() if isinstance(module, Tap))


def cut_rows(batch: Batch, rank: int, ranks: int) -> Cut:
    """Rows in a row for each rank."""
    least, more = divmod(len(batch), ranks)
    sizes = [least + (number < more) for number in range(ranks)]
    begin = sum(sizes[:rank])
    return Cut(batch, sizes, slice(begin, begin + sizes[rank]))


def _share(cut: Cut) -> Batch:
    """This rank's rows, padded as the whole batch is."""
    batch, rows = cut.whole, cut.rows
    modalities = {name: Modality(one.values[rows], one.mask[rows], one.has_gaps) for name, one in batch.modalities.items()}
    return Batch(modalities, batch.target[rows], batch.index[rows])


def is_cut() -> bool:
    """True while the model is asked for a share of a batch."""
    return _cut is not None and not _cut.is_met


def met(seen: Mapping[str, tuple[Tensor, Tensor]]) -> tuple[dict[str, tuple[Tensor, Tensor]], Batch]:
    """Representations and masks of the whole batch, and the batch, from this rank's share of them; what follows is computed by every rank."""
    cut = _cut
    tensors = [tensor for pair in seen.values() for tensor in pair]
    found = iter(gather(tensors, cut))
    cut.is_met = True
    if cut.draws is not None:
        cut.draws.end()
    return {name: (next(found), next(found)) for name in seen}, cut.whole


def _whole_output(output: Any, cut: Cut) -> Any:
    """What the model says of all rows, from what it says of a share."""
    tensors = [output.prediction, output.fused, *output.representations.values(), *output.parts.values()]
    prediction, fused, *rest = gather(tensors, cut)
    representations = dict(zip(output.representations, rest[: len(output.representations)], strict=True))
    parts = dict(zip(output.parts, rest[len(representations) :], strict=True))
    return output._replace(prediction=prediction, fused=fused, representations=representations, parts=parts)


def gather(tensors: Sequence[Tensor], cut: Cut) -> list[Tensor]:
    """The rows of all ranks, in the order of the batch, of each of some tensors (rows first); one exchange for all of them."""
    flat = [tensor.flatten(1) if tensor.dim() > 1 else tensor[:, None] for tensor in tensors]
    kind = max((tensor.dtype for tensor in flat if tensor.is_floating_point()), key=lambda dtype: torch.finfo(dtype).bits)
    joint = Gathered.apply(torch.cat([tensor.to(kind) for tensor in flat], dim=1), cut)
    parts = joint.split([tensor.shape[1] for tensor in flat], dim=1)
    return [part.reshape(len(joint), *tensor.shape[1:]).to(tensor.dtype) for part, tensor in zip(parts, tensors, strict=True)]


class Gathered(torch.autograd.Function):
    """The rows of all ranks; backward, each rank's rows get what the losses of all ranks say of them.

    These are all the same, so that one's own says it all. A gradient that is differentiated again is not the same on all ranks: then they are asked.
    """

    @staticmethod
    def forward(ctx, rows: Tensor, cut: Cut) -> Tensor:  # noqa: ANN001 - autograd's own
        ctx.rows, ctx.count, ctx.is_second_order = cut.rows, len(cut.sizes), cut.is_second_order
        own = rows.new_zeros(max(cut.sizes), rows.shape[1])
        own[: len(rows)] = rows
        found = [torch.empty_like(own) for _ in cut.sizes]
        with exchange():
            distributed.all_gather(found, own, group=team().group)
        return torch.cat([part[:size] for part, size in zip(found, cut.sizes, strict=True)])

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN001 - autograd's own
        total = Summed.apply(gradient) if ctx.is_second_order else ctx.count * gradient
        return total[ctx.rows], None


class WholeDropout(TorchFunctionMode):
    """Inside, dropout of a share draws for the whole batch, the same on every rank and in one process, and keeps the share's rows.

    What else is drawn inside comes from numbers of this rank alone, and leaves those that the ranks have in common as they are.

    Args:
        cut: the batch in shares.
    """

    def __init__(self, cut: Cut) -> None:
        super().__init__()
        self.cut, self.device = cut, cut.whole.target.device
        self.is_ended = False

    def __enter__(self) -> "WholeDropout":
        self.seed, self.common = torch.initial_seed(), self._state()
        if _own_draws[0] == self.seed:
            self._restore(_own_draws[1])
        else:
            torch.manual_seed((self.seed * 1_000_003 + team().rank + 1) % 2**63)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.end()

    def end(self) -> None:
        """What is drawn from here on, all ranks draw alike."""
        global _own_draws
        if not self.is_ended:
            _own_draws, self.is_ended = (self.seed, self._state()), True
            self._restore(self.common)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is functional.dropout and not self.is_ended:
            return self._dropped(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))

    def _dropped(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        rows = self.cut.rows
        if not training or not p or input.shape[0] != rows.stop - rows.start:
            return functional.dropout(input, p, training)
        own = self._state()
        self._restore(self.common)
        kept = functional.dropout(input.new_ones(len(self.cut.whole), *input.shape[1:]), p)
        self.common = self._state()
        self._restore(own)
        return input * kept[rows]

    def _state(self) -> tuple[Tensor, ...]:
        return (torch.get_rng_state(), torch.cuda.get_rng_state(self.device)) if self.device.type == "cuda" else (torch.get_rng_state(),)

    def _restore(self, state: tuple[Tensor, ...]) -> None:
        torch.set_rng_state(state[0])
        if len(state) > 1:
            torch.cuda.set_rng_state(state[1], self.device)
