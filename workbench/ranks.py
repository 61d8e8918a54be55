"""Several processes for one training, its ranks: where this one stands, what all agree on, and the gradients of all of them.

    workbench train mult mosi --nproc 2                              starts the ranks itself (`workbench.launching`)
    torchrun --nproc-per-node 2 -m workbench train mult mosi         so does torchrun, on one machine or several; `fit` joins them
    workbench.shares.shared(model, batch)     model(batch): each rank computes its share of the rows, and has what is said of all
    average_gradients(...)                    before the optimizer's step
    gradients(...)                            `torch.autograd.grad` for rules that look at gradients, also twice (exact B-fusion)

How it is right. Outputs are gathered before any loss is taken: every rank has the loss of the whole batch, whatever it is made of (a correlation, a
contrast among the samples, labels that are kept for each of them), and shares may be unequal. With a scalar S on each of W ranks, all the same, one
big program computes W S, and each exchange in it has its true derivative (`Summed`: forward and backward the same exchange). So its gradient by the
copies of a parameter, averaged over the ranks, is that of S, and a gradient's gradient as well. An average of second-order gradients of shares is
something else: .50 instead of .27 in one test.

Equal to one process up to rounding: 1e-10 in float64.

Why not `DistributedDataParallel`: its hooks do not see `autograd.grad`, and it knows nothing of losses that are more than a mean over a share. What
it brings is to exchange while the backward pass still runs; what it spares is the gathering. Milliseconds a step
(lower quartile of 8 to 24, in turns; two ranks, gloo, batch of 64; two cores on which others worked, so only the two columns can be compared):

    method       parameters    here      DDP
    lf_dnn       0.14 million    19       11
    lf_lstm      0.47 million   143      134
    mult         0.86 million   680      586
    mult, wide     52 million  4769     5220
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from workbench.errors import TrainingError

Found = TypeVar("Found")

TIMEOUT = 600.0
"""Seconds that a rank waits for another one; the environment variable WORKBENCH_RANK_TIMEOUT is another number."""

LIKENESS = 1e-4
"""How far the ranks' weights may be apart, as a share of their size: ranks on different processors round differently."""


class RankLostError(TrainingError):
    """Another rank of the training does not answer: it failed, or was ended."""


@dataclass(frozen=True)
class Team:
    """The ranks of this training, while it runs.

    Args:
        rank: this one's number; rank 0 writes the run and talks.
        count: how many there are.
        group: torch's handle of them.
    """

    rank: int
    count: int
    group: Any


_now: Team | None = None
_joined = 0
_store: Any = None


# Where this process stands.


def launched() -> int:
    """How many ranks there are by the environment that torchrun (or `launch`) gives; 1 without."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def place() -> int:
    """The number of this rank by the environment."""
    return int(os.environ["RANK"]) if launched() > 1 else 0


def local_place() -> int:
    """The number of this rank among those of its machine: its GPU."""
    return int(os.environ.get("LOCAL_RANK", os.environ.get("RANK", "0")))


def count() -> int:
    """The ranks that train together now; 1 where there is one process."""
    return _now.count if _now is not None else 1


def team() -> Team | None:
    """The ranks that train together now; None where there is one process."""
    return _now


def is_first() -> bool:
    """True for the rank that writes and talks, and where there is one process."""
    return _now is None or _now.rank == 0


def waiting_time() -> float:
    """How long a rank waits for another one [s]."""
    return float(os.environ.get("WORKBENCH_RANK_TIMEOUT", TIMEOUT))


@contextmanager
def joined(*, has_cuda: bool = False) -> Iterator[None]:
    """Inside, this process is a rank of the training, where torchrun or `launch` made it one; else nothing happens.

    Args:
        has_cuda: it trains on GPUs (NCCL), not on CPUs (gloo).

    Raises:
        RankLostError: another rank did not come within the time.
    """
    global _now, _joined, _store
    if launched() < 2:
        yield
        return
    backend, timeout = "cpu:gloo,cuda:nccl" if has_cuda else "gloo", timedelta(seconds=waiting_time())
    is_own = not distributed.is_initialized()  # Else a script has its own group, and keeps it.
    if has_cuda:
        torch.cuda.set_device(local_place())
    with exchange():
        if is_own:
            _store, rank, size = next(iter(distributed.rendezvous("env://", timeout=timeout)))
            _joined += 1  # Each training of one process has its own names in the store.
            named = distributed.PrefixStore(f"workbench {_joined}", _store)
            distributed.init_process_group(backend, store=named, rank=rank, world_size=size, timeout=timeout)
            group = distributed.group.WORLD
        else:
            group = distributed.new_group(backend=backend, timeout=timeout)
    _now = Team(distributed.get_rank(group), distributed.get_world_size(group), group)
    try:
        yield
    finally:
        _now = None
        distributed.destroy_process_group(None if is_own else group)


@contextmanager
def apart() -> Iterator[None]:
    """Inside, this rank works for itself: nothing is shared."""
    global _now
    before, _now = _now, None
    try:
        yield
    finally:
        _now = before


@contextmanager
def exchange() -> Iterator[None]:
    """Says what it means that an exchange between ranks failed."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        what = "another rank of this training does not answer: it failed, was ended, or is too slow"
        expected = f"an answer within {waiting_time():g} s (WORKBENCH_RANK_TIMEOUT)"
        where = f"rank {place()} of {launched()}; {str(error).strip().splitlines()[0][:200]}"
        raise RankLostError(
            what, where=where, expected=expected, do="read the error of that rank; what is in the checkpoint goes on with --resume"
        ) from error


# What all ranks are to agree on.


def from_first(make: Callable[[], Found]) -> Found:
    """What rank 0 makes, on every rank; the others wait for it."""
    if _now is None:
        return make()
    team, box = _now, [None]
    if team.rank == 0:
        with apart():
            box = [make()]
    with exchange():
        distributed.broadcast_object_list(box, src=0, group=team.group, device=torch.device("cpu"))
    return box[0]


def any_of(is_so: bool) -> bool:
    """True on every rank where it is so on one of them."""
    if _now is None:
        return is_so
    flag = torch.tensor(int(is_so))
    with exchange():
        distributed.all_reduce(flag, distributed.ReduceOp.MAX, group=_now.group)
    return bool(flag)


@torch.no_grad()
def check_alike(model: nn.Module) -> None:
    """Every rank has the same model still: weights, and what it keeps of samples and steps.

    Raises:
        TrainingError: they have come apart.
    """
    if _now is None:
        return
    held = {name: value.double().abs().sum() for name, value in model.state_dict().items() if value.numel()}
    own, found = torch.stack(list(held.values())).cpu(), [torch.zeros(len(held), dtype=torch.float64) for _ in range(_now.count)]
    with exchange():
        distributed.all_gather(found, own, group=_now.group)
    sizes = torch.stack(found)
    apart_by = (sizes.amax(0) - sizes.amin(0)) / sizes.amax(0).clamp_min(1e-12)
    if float(apart_by.max()) > LIKENESS:
        what = f"the ranks no longer have the same {list(held)[int(apart_by.argmax())]}"
        raise TrainingError(
            what, expected="the same numbers on every rank", do="train with one process, and report it: this is an error of workbench"
        )


# Gradients.


class Summed(torch.autograd.Function):
    """The sum over the ranks; its derivative is the sum over the ranks as well, so it can be differentiated as often as one likes."""

    @staticmethod
    def forward(ctx, values: Tensor) -> Tensor:  # noqa: ANN001 - autograd's own
        total = values.detach().clone(memory_format=torch.contiguous_format)
        with exchange():
            distributed.all_reduce(total, group=_now.group)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # noqa: ANN001 - autograd's own
        return Summed.apply(gradient)


def gradients(loss: Tensor, parameters: Sequence[Tensor], **options: Any) -> tuple[Tensor | None, ...]:
    """`torch.autograd.grad(loss, parameters, **options)` of the whole batch: averaged over the ranks, so that it can be differentiated again."""
    found = torch.autograd.grad(loss, parameters, **options)
    if _now is None:
        return found
    # What only some ranks have is zero on the others.
    filled = [torch.zeros_like(p) if gradient is None else gradient for p, gradient in zip(parameters, found, strict=True)]
    mean = Summed.apply(torch.cat([gradient.flatten() for gradient in filled])) / _now.count
    parts = mean.split([gradient.numel() for gradient in filled])
    return tuple(part.view_as(gradient) for part, gradient in zip(parts, filled, strict=True))


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """The mean over the ranks of every gradient that there is; a parameter without one on any rank stays without."""
    if _now is None:
        return
    learned = [p for p in parameters if p.requires_grad]
    own = [p.grad if p.grad is not None else torch.zeros_like(p) for p in learned]
    has = own[0].new_tensor([float(p.grad is not None) for p in learned])
    mean = torch.cat([*(gradient.flatten() for gradient in own), has])
    with exchange():
        distributed.all_reduce(mean, group=_now.group)
    *means, has = mean.div_(_now.count).split([*(p.numel() for p in learned), len(learned)])
    for number, (p, part) in enumerate(zip(learned, means, strict=True)):
        if p.grad is not None or has[number] > 0:  # Waits for the device only where this rank has none.
            p.grad = part.view_as(p).to(p.dtype)


# Who talks.


FAILED = "workbench failed"
"""Name in the store that the first rank to fail takes."""


def speaks(error: BaseException | None = None) -> bool:
    """True for the one rank whose error people are to read: the first that failed; where all found the same, rank 0. Alone: always.

    Args:
        error: what ended this rank.
    """
    if launched() < 2:
        return True
    # Who is only left behind speaks last; who may have found what rank 0 has found too leaves it the word.
    time.sleep(3.0 if isinstance(error, RankLostError) else 1.0 if place() else 0.0)
    try:
        store = _store or distributed.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), timeout=timedelta(seconds=5))
        return store.add(FAILED, 1) == 1
    except RuntimeError:
        return place() == 0 or not isinstance(error, RankLostError)
