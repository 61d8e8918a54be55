"""What delta attention costs as sequences grow, beside plain attention and beside the form that its equation suggests.

Eq. (11) of hierarchical delta-attention adds RPE_ij = (x_j - x_i) . W[:, j - i] to every logit. Written down as it stands that is a tensor of all
differences, T x T x d. `NaiveDelta` is that form; nobody should use it for more than this. Memory is counted (what the backward pass keeps, each
stretch once, parameters and the input left out: the same on any machine). Seconds are of forward and backward pass, in turn: one step of each form,
then the next round, so that a busy machine is busy for all of them; ratios are of the same round.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.fusion.delta_attention import DeltaAttention
from workbench.statistics import score

LENGTHS = (64, 128, 256, 500, 1000, 2000)
"""Steps of a sequence; the paper's faces have 500, its voices 375."""

MEMORY, SECONDS = "kept for the backward pass [MB]", "seconds"
"""Quantities of `attention_costs`, named as `figures.cost_curves` writes them."""

DELTA, PLAIN, NAIVE = "delta", "plain", "naive"
"""Names of `attention_forms`."""

MOST_BYTES = 2.2e9
"""A form that needs more at once is not tried (see `allowed_bytes`). It lets the naive form have 2,000 steps."""

FREE = Path("/proc/meminfo")
"""Where a Linux machine says what is free."""


@dataclass(frozen=True)
class Form:
    """One way to attend over a sequence.

    Args:
        module: `batch time size` to a tensor.
        needs: steps to the bytes that one pass holds at once, where that grows out of hand; None: it does not.
    """

    module: Callable[[Tensor], Tensor]
    needs: Callable[[int], float] | None = None


class NaiveDelta(nn.Module):
    """Eqs. (10) and (11) of hierarchical delta-attention as they are printed, one head: all differences of all steps, `batch time time size`.

    Args:
        size: width d of a step and of the head.
        longest: steps of the longest sequence; offsets from 1 - longest to longest - 1 have a column each.
    """

    def __init__(self, size: int, longest: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(size, size) for _ in range(3))
        self.positions = nn.Parameter(torch.randn(size, 2 * longest - 1) / math.sqrt(size))
        self.longest = longest

    def forward(self, x: Float[Tensor, "batch time size"]) -> Float[Tensor, "batch time size"]:
        time_ = torch.arange(x.shape[1], device=x.device)
        columns = self.positions[:, time_[None, :] - time_[:, None] + self.longest - 1]  # size time time
        differences = x[:, None, :, :] - x[:, :, None, :]  # [b, i, j] = x_j - x_i
        relative = torch.einsum("bijd,dij->bij", differences, columns)
        weights = ((self.query(x) @ self.key(x).mT + relative) / math.sqrt(x.shape[-1])).softmax(-1)
        return weights @ self.value(x)

    @staticmethod
    def needs(size: int) -> Callable[[int], float]:
        """Bytes of the differences, of the columns, and of the gradients of both, in single precision."""
        return lambda steps: 4.0 * size * steps**2 * 4


class WholeSequence(nn.Module):
    """Delta attention of one head over sequences without padding, in the form that `attention_costs` takes.

    Args:
        size: width of a step and of the head.
        longest: steps of the longest sequence.
        settings: see `workbench.fusion.delta_attention.DeltaAttention`; `positions="none"` is plain attention.
    """

    def __init__(self, size: int, longest: int, **settings: Any) -> None:
        super().__init__()
        self.attention = DeltaAttention(size, heads=1, length=longest, **settings)

    def forward(self, x: Float[Tensor, "batch time size"]) -> Float[Tensor, "batch time size"]:
        return self.attention(x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device))


def attention_forms(size: int, longest: int) -> dict[str, Form]:
    """Delta attention, plain attention, and the form that Eq. (11) suggests, one head each."""
    return {
        DELTA: Form(WholeSequence(size, longest)),
        PLAIN: Form(WholeSequence(size, longest, positions="none")),
        NAIVE: Form(NaiveDelta(size, longest), needs=NaiveDelta.needs(size)),
    }


def attention_costs(
    forms: Mapping[str, Form | Callable[[Tensor], Tensor]], *, lengths: Iterable[int] = LENGTHS, size: int = 32, batch_size: int = 1,
    rounds: int = 5, most_bytes: float | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Memory and seconds of a forward and backward pass of each form, for sequences of several lengths.

    Args:
        forms: name to a form (or to what maps `batch time size` to a tensor).
        lengths: steps.
        size: features of a step.
        batch_size: sequences in a pass.
        rounds: how often every form runs at each length, in turn; one more round warms up.
        most_bytes: a form whose `needs` says more is left out at that length; None: see `allowed_bytes`.

    Returns:
        As `figures.cost_curves` takes it: variant, axis (`length`), x, quantity (`MEMORY`, `SECONDS`), round (from 0; memory has one), value (nan
        where it was left out), note (why).
    """
    settled = {name: form if isinstance(form, Form) else Form(form) for name, form in forms.items()}
    most_bytes = allowed_bytes() if most_bytes is None else most_bytes
    rows: list[dict[str, object]] = []
    for steps in lengths:
        x = torch.randn(batch_size, steps, size, generator=torch.Generator().manual_seed(steps))
        wanted = {name: batch_size * form.needs(steps) if form.needs else 0.0 for name, form in settled.items()}
        for name, amount in wanted.items():
            if amount > most_bytes:
                note = f"it would hold {amount / 1e9:.1f} GB at once, {most_bytes / 1e9:.1f} GB are allowed"
                rows += [_row(name, steps, quantity, 0, math.nan, note) for quantity in (MEMORY, SECONDS)]
        there = {name: form.module for name, form in settled.items() if wanted[name] <= most_bytes}
        rows += [_row(name, steps, MEMORY, 0, kept_bytes(module, x) / 1e6, "") for name, module in there.items()]
        for number in range(rounds + 1):
            for name, module in there.items():
                taken = _seconds(module, x)
                if number:
                    rows.append(_row(name, steps, SECONDS, number - 1, taken, ""))
    return pd.DataFrame(rows)


def allowed_bytes() -> float:
    """`MOST_BYTES`, or half of the memory that is free now where that is less (and where the system tells).

    Half: `Form.needs` counts what grows out of hand, and the sums that are made of it take more for a moment.
    """
    try:
        free = next(1024 * float(line.split()[1]) for line in FREE.read_text().splitlines() if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return MOST_BYTES
    return min(MOST_BYTES, free / 2)


def _row(name: str, steps: int, quantity: str, number: int, value: float, note: str) -> dict[str, object]:
    return {"variant": name, "axis": "length", "x": steps, "quantity": quantity, "round": number, "value": value, "note": note}


def kept_bytes(module: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """Bytes that autograd keeps for the backward pass, each stretch of memory once; the parameters and the input itself are not counted."""
    x = x.detach().requires_grad_()
    parameters = module.parameters() if isinstance(module, nn.Module) else ()
    own = {p.untyped_storage().data_ptr() for p in parameters} | {x.untyped_storage().data_ptr()}
    kept: dict[int, int] = {}
    alive = []

    def note(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(value)  # memory that is freed could be given out again, and be counted once for two
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        module(x)
    return sum(kept.values())


def _seconds(module: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """One forward and backward pass."""
    x = x.detach().requires_grad_()
    begin = time.perf_counter()
    module(x).square().mean().backward()
    taken = time.perf_counter() - begin
    if isinstance(module, nn.Module):
        module.zero_grad(set_to_none=True)
    return taken


def ratios(costs: pd.DataFrame, name: str, other: str) -> pd.DataFrame:
    """One form's cost over another's: x, quantity, ratio (median over rounds), low, high (middle half of the rounds).

    Args:
        costs: see `attention_costs`.
    """
    rows = []
    for (steps, quantity), found in costs.dropna(subset="value").groupby(["x", "quantity"], sort=True):
        table = found.pivot(index="round", columns="variant", values="value")
        if name in table and other in table:
            each = (table[name] / table[other]).dropna()
            rows.append((steps, quantity, float(each.median()), float(each.quantile(0.25)), float(each.quantile(0.75))))
    return pd.DataFrame(rows, columns=["x", "quantity", "ratio", "low", "high"])


def slopes(costs: pd.DataFrame) -> pd.DataFrame:
    """The exponent with which each form's cost grows with the steps (least squares on logarithms, over its longer half): variant, quantity, slope."""
    rows = []
    for (name, quantity), found in costs.dropna(subset="value").groupby(["variant", "quantity"], sort=False):
        line = found.groupby("x")["value"].median()
        line = line[line > 0].iloc[-max(2, math.ceil(len(line) / 2)) :]
        if len(line) > 1:
            slope = np.polyfit(np.log(line.index.to_numpy(float)), np.log(line.to_numpy()), 1)[0]
            rows.append((name, quantity, float(slope)))
    return pd.DataFrame(rows, columns=["variant", "quantity", "slope"])


def say_costs(costs: pd.DataFrame, name: str, others: Iterable[str]) -> str:
    """One sentence: the exponents of all forms, and one form against others at the longest sequence that both can have, with spread over rounds."""
    said = []
    grown = slopes(costs)
    for quantity, found in grown.groupby("quantity", sort=False):
        told = ", ".join(f"{row.variant} {score(row.slope, 1)}" for row in found.itertuples())
        said.append(f"exponent of growth with the steps, {quantity.partition(' [')[0]}: {told}")
    for other in others:
        against = ratios(costs, name, other)
        for quantity, found in against.groupby("quantity", sort=False):
            last = found.loc[found["x"].idxmax()]
            spread = f" (middle half of rounds {last['low']:.2f} to {last['high']:.2f})" if quantity == SECONDS else ""
            said.append(f"{name} against {other} at {last['x']:g} steps, {quantity.partition(' [')[0]}: {last['ratio']:.2f} times{spread}")
    return f"{'; '.join(said)}."
