"""Sequences with a mask: means, last steps, lengths, turning round, and bringing several of them onto the same steps.

A mask is `batch time`, True where a step is real. It may have holes (missing steps keep their place in time); padding stands at the end.
"""

from collections.abc import Mapping
from functools import reduce
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def is_exporting() -> bool:
    """True while `torch.export` writes a model down as a program: there the data cannot be asked, and nobody asks for losses."""
    return torch.compiler.is_exporting()


class Steps(NamedTuple):
    """A modality as a sequence of representations.

    Args:
        values: `batch time feature`.
        mask: `batch time`, True where a step is real.
    """

    values: Tensor
    mask: Tensor


def masked_mean(values: Float[Tensor, "batch time feature"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch feature"]:
    """The mean over the real steps of each sample; a sample without a real step gives zeros."""
    weight = mask.to(values.dtype)
    return torch.einsum("btf,bt->bf", values, weight) / weight.sum(1, keepdim=True).clamp_min(1)


def last_real_step(values: Float[Tensor, "batch time feature"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch feature"]:
    """The values at the last real step of each sample (not the last padded one); zeros where no step is real."""
    last = (lengths(mask) - 1).clamp_min(0)
    return values[torch.arange(values.shape[0], device=values.device), last] * mask.any(1, keepdim=True)


def lengths(mask: Bool[Tensor, "batch time"]) -> Int[Tensor, " batch"]:
    """Steps up to and with the last real one; missing steps before it count."""
    return (torch.arange(1, mask.shape[1] + 1, device=mask.device) * mask).amax(1)


def turned_round(values: Float[Tensor, "batch time feature"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch time feature"]:
    """Each sample's steps in reverse order, from its last real one; its padding stays at the end. Twice gives the input."""
    time = torch.arange(mask.shape[1], device=mask.device)
    length = lengths(mask)[:, None]
    source = torch.where(time < length, length - 1 - time, time)
    return values.gather(1, source[:, :, None].expand(-1, -1, values.shape[2]))


def common_steps(masks: Mapping[str, Bool[Tensor, "batch _"]], reference: str, *, has_gaps: bool = True) -> Bool[Tensor, "batch steps"]:
    """The steps on which modalities meet: those of the reference up to its last real one, holes included; of the first modality that a sample has
    where it lacks the reference.

    Args:
        masks: modality name to `batch time`, in the card's order.
        reference: name of the reference.
        has_gaps: False where every sample has the reference, which is then not looked at in order to find out (on an accelerator that is a wait).
    """
    length, steps = lengths(masks[reference]), masks[reference].shape[1]
    if has_gaps:
        for mask in masks.values():
            length = torch.where(length > 0, length, lengths(mask))
        # A program of torch.export cannot ask the data; the further steps are padding.
        steps = reduce(torch.sym_max, (mask.shape[1] for mask in masks.values())) if is_exporting() else max(1, int(length.max()))
    return torch.arange(steps, device=length.device) < length[:, None]


def resampled(
    values: Float[Tensor, "batch time feature"], mask: Bool[Tensor, "batch time"], onto: Bool[Tensor, "batch steps"]
) -> Float[Tensor, "batch steps feature"]:
    """A sequence on another one's steps: each step takes the mean over the real steps in its share of time; zeros where there is none.

    Step t of n covers the share t/n to (t+1)/n of the sample's time: of several steps it takes the mean, of a part of one that step. Where both have
    as many steps it is the identity, and a vector (one step) stands at every step. A sequence ends with its last real step, since a mask does not
    tell missing steps at the end from padding: so aligned data stays as it is only where the last steps of a sample are not missing. Where they are,
    the rest is spread over all steps.

    Args:
        values, mask: the sequence.
        onto: the mask of the reference; steps that are not real there are zeros.
    """
    n, length = lengths(onto)[:, None].clamp_min(1), lengths(mask)[:, None]
    step = torch.arange(onto.shape[1], device=onto.device)
    first = step * length // n
    end = torch.maximum(-((-(step + 1) * length) // n), first + 1)
    time = torch.arange(mask.shape[1], device=mask.device)
    covered = (time >= first[:, :, None]) & (time < end[:, :, None]) & mask[:, None, :] & onto[:, :, None]
    weight = covered.to(values.dtype)
    return weight @ values / weight.sum(2, keepdim=True).clamp_min(1)
