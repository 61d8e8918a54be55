"""What a fusion costs as modalities are added and sequences grow: parameters, memory of a training step, seconds a step.

Memory of a training step: what the backward pass keeps, weights, gradients and Adam's two moments, counted. It is the same on any machine, and the
least that a step needs: what operations use and give back at once, and what a library sets aside, are not in it. Seconds are measured in turn, one
step of each method after the other, so that a busy machine is busy for all of them.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch

from workbench import methods
from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
from workbench.errors import ConfigError
from workbench.model import FusionModel
from workbench.tasks import make_task
from workbench.training import learners

Lengths = Callable[[np.random.Generator, int], Mapping[str, np.ndarray]]
"""Draws how many steps each of some samples has, by modality."""


def made(shapes: Mapping[str, tuple[int, int]], *, samples: int, valid: int = 8, lengths: Lengths | None = None) -> Dataset:
    """Random sequences with random labels, always the same: data to measure costs with.

    Args:
        shapes: modality name to (features, longest length).
        samples, valid: how many of each split.
        lengths: draws the lengths; None: all samples have the longest.
    """
    random = np.random.default_rng(0)

    def split(name: str, n: int) -> Split:
        steps = lengths(random, n) if lengths else {key: [longest] * n for key, (_, longest) in shapes.items()}
        columns = {key: Column.from_list([random.standard_normal((t, shapes[key][0]), dtype=np.float32) for t in steps[key]]) for key in shapes}
        return Split(name, columns, torch.from_numpy(random.uniform(-3, 3, n).astype(np.float32)), [f"{name}{i}" for i in range(n)])

    spec = Spec({key: ModalitySpec("sequence", size, longest) for key, (size, longest) in shapes.items()}, TaskSpec("regression"))
    return Dataset("made", spec, {"train": split("train", samples), "valid": split("valid", valid)})


def cost_curves(
    names: Sequence[str],
    *,
    modalities: Iterable[int] = (2, 3, 4, 5, 6, 7, 8),
    lengths: Iterable[int] = (16, 32, 64, 128, 256),
    features: int = 16,
    batch_size: int = 32,
    config: Mapping[str, Any] | None = None,
    rounds: int = 3,
) -> pd.DataFrame:
    """Each method's cost against the number of modalities (of 16 steps) and against the length of three sequences.

    Returns:
        One row a number: variant, axis (`modalities` or `length`), x, quantity (`parameters`, `memory` [bytes a step], `seconds` [a step]), value
        (nan where the method cannot be built so large), note (why).
    """
    points = [("modalities", n, {f"modality {i + 1}": (features, 16) for i in range(n)}) for n in modalities]
    points += [("length", t, {f"modality {i + 1}": (features, t) for i in range(3)}) for t in lengths]
    rows = []
    for axis, x, shapes in points:
        data = made(shapes, samples=batch_size)
        found = costs(names, data, batch_size=batch_size, config=config, rounds=rounds)
        rows += [{"axis": axis, "x": x, **row} for row in found.to_dict("records")]
    return pd.DataFrame(rows)[["variant", "axis", "x", "quantity", "value", "note"]]


def costs(names: Sequence[str], data: Dataset, *, batch_size: int = 32, config: Mapping[str, Any] | None = None, rounds: int = 3) -> pd.DataFrame:
    """Parameters, memory and seconds of one training step of each method on the first samples of train.

    Args:
        config: settings that every method shares (a setting that a method does not have is left out for it).

    Returns:
        One row a method and quantity: variant, quantity, value, note.
    """
    rows: list[dict[str, Any]] = []
    models: dict[str, FusionModel] = {}
    for name in names:
        known = methods.method(name).Config.model_fields
        try:
            models[name] = methods.build(name, {key: value for key, value in (config or {}).items() if key in known}, data.spec)
        except ConfigError as error:
            rows += [{"variant": name, "quantity": quantity, "value": np.nan, "note": error.what} for quantity in ("parameters", "memory", "seconds")]
    size = torch.arange(min(batch_size, len(data["train"])))
    for model in models.values():
        for module in learners(model):
            module.begin(data["train"], make_task(data.spec.task))
    seconds = _in_turn(models, data, size, rounds)
    for name, model in models.items():
        count = sum(p.numel() for p in model.parameters() if p.requires_grad)
        values = {"parameters": count, "memory": step_bytes(model, data, size), "seconds": median(seconds[name])}
        rows += [{"variant": name, "quantity": quantity, "value": float(value), "note": ""} for quantity, value in values.items()]
    return pd.DataFrame(rows)


def _in_turn(models: Mapping[str, FusionModel], data: Dataset, rows: torch.Tensor, rounds: int) -> dict[str, list[float]]:
    """Seconds of training steps, one of each model after the other; the first round warms up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for number in range(rounds + 1):
        for name, model in models.items():
            begin = time.perf_counter()
            step(model, data, rows)
            if number:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def step(model: FusionModel, data: Dataset, rows: torch.Tensor) -> None:
    """Forward and backward pass of one training batch, every loss term included."""
    model.train()
    loss_of(model, data, rows).backward()
    model.zero_grad(set_to_none=True)


def loss_of(model: FusionModel, data: Dataset, rows: torch.Tensor) -> torch.Tensor:
    """The whole loss of a training batch, as the trainer adds it up."""
    batch = data["train"].batch(rows)
    output = model(batch)
    return make_task(data.spec.task).loss(output.prediction, batch.target) + sum(model.terms(output, batch).values())


def step_bytes(model: FusionModel, data: Dataset, rows: torch.Tensor) -> int:
    """Bytes of one training step: what the backward pass keeps, weights, gradients and Adam's two moments (a frozen weight has neither)."""
    return kept_bytes(model, data, rows) + sum(p.nbytes * (4 if p.requires_grad else 1) for p in model.parameters())


def kept_bytes(model: FusionModel, data: Dataset, rows: torch.Tensor) -> int:
    """Bytes that autograd keeps for the backward pass of one training batch, each stretch of memory once, the parameters not counted."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}
    alive = []

    def note(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(value)  # memory that is freed could be given out again, and be counted once for two
        return value

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        loss_of(model, data, rows)
    return sum(kept.values())
