"""Two modalities of one number each, small enough to calculate a training step by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from workbench import balance
from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
from workbench.model import FusionModel
from workbench.plan import Plan
from workbench.training import training

LOUD, QUIET, TARGET = (1.0, 3.0), (1.0, 2.0), (4.0, 2.0)
"""Two samples. With every weight 1 the model says 2 and 5: errors -2 and 3, an L1 loss of 2.5, gradients (-1 + 3)/2 = 1 and (-1 + 2)/2 = .5."""


class Number(nn.Module):
    """The number itself, in double precision."""

    def forward(self, modality):
        return modality.values[:, 0].double()


class Sum(nn.Module):
    """Adds up what it gets."""

    def forward(self, balanced, z, context):
        return sum(balanced.values()), {}


def numbers(
    loud: tuple[float, ...] = LOUD, quiet: tuple[float, ...] = QUIET, target: tuple[float, ...] = TARGET, has_quiet: tuple[bool, ...] | None = None
) -> Dataset:
    """The same samples in every split; some may lack the quiet modality."""

    def split(name: str) -> Split:
        columns = {key: Column.from_rows(np.float32(values)[:, None]) for key, values in (("loud", loud), ("quiet", quiet))}
        if has_quiet is not None:
            columns["quiet"] = replace(columns["quiet"], present=torch.tensor(has_quiet))
        return Split(name, columns, torch.tensor(target, dtype=torch.float32), [f"{name}_{i}" for i in range(len(target))])

    spec = Spec({name: ModalitySpec("vector", 1) for name in ("loud", "quiet")}, TaskSpec("regression"))
    return Dataset("numbers", spec, {name: split(name) for name in ("train", "valid", "test")})


def summing(data: Dataset, rule: str | None, **settings) -> FusionModel:
    """Every weight 1, no bias; the heads say z (loud) and z + .5 (quiet): their L1 losses are 2 and 1.5, the gradients by W_m 1 and .5."""
    layers = {name: nn.Linear(1, 1, bias=False) for name in data.modalities}
    model = FusionModel({name: Number() for name in data.modalities}, layers, Sum(), nn.Identity())
    balance.attach(model, rule, settings, data.spec)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1)
        if rule not in (None, "b_fusion"):
            model.balance.heads["loud"].bias.fill_(0)
            model.balance.heads["quiet"].bias.fill_(0.5)
    return model.double()


@pytest.fixture
def by_hand() -> Callable:
    """`(rule, epochs=1, plan={}, **settings)` -> the model and its epochs after full-batch SGD steps of rate .1."""

    def train(rule: str | None, *, epochs: int = 1, plan: dict | None = None, data: Dataset | None = None, **settings):
        data = data or numbers()
        model = summing(data, rule, **settings)
        settled = Plan(**{"epochs": epochs, "optimizer": "sgd", "learning_rate": 0.1, "probe_every": 0, **(plan or {})})
        return model, list(training(model, data, settled))

    return train


@pytest.fixture
def numbers_maker() -> Callable[..., Dataset]:
    """`numbers`, for other samples."""
    return numbers


@pytest.fixture
def summing_maker() -> Callable[..., FusionModel]:
    """`summing`."""
    return summing
