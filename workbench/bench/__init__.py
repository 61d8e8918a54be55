"""What the workbench costs: seconds per epoch beside a bare PyTorch loop of the same model.

The bare loop is what a careful person would write for one model (`workbench.bench.bare`, `.stepwise`): plain modules, the same batches and optimizer,
nothing traced. `full padding` is the bare loop with every batch padded to the longest sample of the data, as many ports do it: what padding per batch
saves. All variants run in one process, in turn (A B C D A B C D ...), each round one epoch of training and a valid pass; the table gives ratios of a
round's epoch to the bare epoch of the same round, as median and spread. Machines are noisy: read absolute seconds, compare ratios.
"""

import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from workbench import balance, methods
from workbench.bench.bare import BareDNN, BareLSTM, BareMulT
from workbench.bench.stepwise import BareMFN
from workbench.data.batch import Batch, Dataset, Modality, Split, batch_rows
from workbench.errors import unknown
from workbench.plan import Plan, resolve_device
from workbench.probes.cost import made
from workbench.training import training

BOUNDS = {"tracing off": 1.05, "tracing on": 1.15, "first-order B-fusion": 1.15}
"""Largest ratio to the bare loop that we accept (B-fusion with tracing off)."""

VARIANTS = ("bare loop", *BOUNDS, "exact B-fusion", "tracing on, probes", "bare loop, full padding")

BARE = {"lf_dnn": BareDNN, "lf_lstm": BareLSTM, "mfn": BareMFN, "mult": BareMulT}
"""Methods and their bare twins; they have the method's default settings."""

SAMPLES = {"mult": 48}
"""Training samples where MOSI's number would take too long."""

BATCH_SIZE = {"mult": 16}
"""As the paper's settings have it, where that is far from the plan's default."""

MOSI_SAMPLES = 1284


def bench(names: list[str], *, rounds: int = 15, samples: int | None = None, device: str = "auto") -> pd.DataFrame:
    """One row a method and variant: seconds per epoch (median) and the ratio to the bare loop (median, lowest, highest).

    Args:
        names: methods that have a bare twin here.
        rounds: how often all variants run in turn; two more rounds warm up.
        samples: training samples of the made data; None: MOSI's number, fewer for slow methods.
        device: where to train.

    Raises:
        ConfigError: a method without a bare twin.
    """
    rows = []
    for name in names:
        if name not in BARE:
            raise unknown("benchmark", name, BARE)
        data = made_data(samples or SAMPLES.get(name, MOSI_SAMPLES))
        epochs = {label: timer(name, data, label, device) for label in VARIANTS}
        seconds: dict[str, list[float]] = {label: [] for label in epochs}
        for number in range(rounds + 2):
            for label, one_epoch in epochs.items():
                taken = next(one_epoch)
                if number >= 2:
                    seconds[label].append(taken)
        rows += [_row(name, label, seconds[label], seconds["bare loop"]) for label in seconds]
    return pd.DataFrame(rows)


def _row(name: str, label: str, taken: list[float], bare: list[float]) -> dict[str, object]:
    """Median seconds, and the ratio round by round."""
    ratios = sorted(a / b for a, b in zip(taken, bare, strict=True))
    quarter = len(ratios) // 4
    facts = {"method": name, "variant": label, "seconds": round(median(taken), 4), "ratio": round(median(ratios), 3)}
    middle = f"{ratios[quarter]:.2f} to {ratios[-1 - quarter]:.2f}"
    return {**facts, "middle half": middle, "bound": BOUNDS.get(label, float("nan")), "rounds": len(ratios)}


def timer(name: str, data: Dataset, label: str, device: str) -> Iterator[float]:
    """Yields the seconds of one epoch after another, without end."""
    plan = Plan(epochs=100_000, patience=100_000, is_traced=label.startswith("tracing on"), probe_every=int(label.endswith("probes")), device=device)
    plan.batch_size = BATCH_SIZE.get(name, plan.batch_size)
    if label.startswith("bare loop"):
        return bare_epochs(BARE[name], data, plan, has_full_padding=label.endswith("full padding"))
    return workbench_epochs(name, data, plan, {"update": label.split()[0].replace("-", "_")} if "B-fusion" in label else None)


def _clock(work: Callable[[], object]) -> float:
    """Seconds of the work, the device's queue included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    begin = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def workbench_epochs(name: str, data: Dataset, plan: Plan, rule: dict[str, object] | None) -> Iterator[float]:
    """Epochs of `workbench.training.training`."""
    model = methods.build(name, {}, data.spec, seed=0)
    model.balance = balance.build("b_fusion" if rule else None, model.modalities, rule)
    epochs = training(model, data, plan)
    while True:
        yield _clock(lambda: next(epochs))


def bare_epochs(kind: type[nn.Module], data: Dataset, plan: Plan, *, has_full_padding: bool = False) -> Iterator[float]:
    """Epochs of the bare loop: the same batches, optimizer, loss and valid pass, and the best weights kept."""
    torch.manual_seed(0)
    device = resolve_device(plan.device)
    model = kind({name: spec.size for name, spec in data.spec.modalities.items()}).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=plan.learning_rate)
    train, valid = (FullyPadded(data[name].to(device)) if has_full_padding else data[name].to(device) for name in ("train", "valid"))
    best: dict[str, object] = {"loss": float("inf")}

    def epoch(number: int) -> None:
        model.train()
        total = 0.0
        for batch in train.batches(plan.batch_size, seed=number):
            optimizer.zero_grad()
            loss = functional.l1_loss(model(batch), batch.target)
            loss.backward()
            optimizer.step()
            total = total + loss.detach() * len(batch)
        float(total)
        model.eval()
        with torch.no_grad():
            said = torch.cat([model(batch) for batch in valid.batches(256)])
        loss = float(functional.l1_loss(said, valid.target))
        if loss < best["loss"]:
            best.update(loss=loss, weights={name: value.cpu().clone() for name, value in model.state_dict().items()})

    number = 0
    while True:
        number += 1
        yield _clock(lambda number=number: epoch(number))


class FullyPadded:
    """A split padded once to its longest sample; the same rows in every batch as the split itself would give."""

    def __init__(self, split: Split) -> None:
        self.split = split
        self.whole = split.batch(torch.arange(len(split)))
        self.target = split.target

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[Batch]:
        """See `Split.batches`."""
        for rows in batch_rows(self.split.total_lengths, size, seed=seed):
            rows = rows.to(self.target.device)
            parts = {name: Modality(seen.values[rows], seen.mask[rows], seen.has_gaps) for name, seen in self.whole.modalities.items()}
            yield Batch(parts, self.target[rows], rows)


def made_data(samples: int) -> Dataset:
    """Random features in MOSI's unaligned shapes at a third of their longest lengths (text 50 x 300, audio 375 x 5, vision 500 x 20 at most).

    A sample's share of the longest length is that of MOSI's clips: log-normal, median 10 words of 50, sigma .6, cut at 1 (in MOSI's train split the
    words of a clip have median 10, mean 12 and that sigma). Audio and vision follow the same share within a tenth, as they last as long.
    """
    shapes = {"text": (300, 50), "audio": (5, 125), "vision": (20, 165)}

    def lengths(random: np.random.Generator, n: int) -> dict[str, np.ndarray]:
        share = np.exp(random.normal(np.log(0.2), 0.6, n))
        return {key: np.clip(share * random.uniform(0.9, 1.1, n) * longest, 1, longest).astype(int) for key, (_, longest) in shapes.items()}

    return made(shapes, samples=samples, valid=max(8, samples // 6), lengths=lengths)
