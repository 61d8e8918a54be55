"""What a fusion costs: counted by hand where it can be."""

import numpy as np
import torch
from torch import nn

from workbench import methods
from workbench.model import FusionModel
from workbench.probes.cost import cost_curves, costs, kept_bytes, made, step_bytes


class Mean(nn.Module):
    """The mean over time; nothing to learn."""

    def forward(self, modality):
        return modality.values.mean(1)


class Sum(nn.Module):
    """The sum of both representations, squared by a ReLU that keeps its result."""

    def forward(self, balanced, z, context):
        a, b = balanced.values()
        return torch.relu(a + b), {}


def test_kept_bytes_counted_by_hand():
    data = made({"a": (6, 4), "b": (6, 4)}, samples=10)
    model = FusionModel({"a": Mean(), "b": Mean()}, {"a": nn.Linear(6, 3), "b": nn.Linear(6, 3)}, Sum(), nn.Linear(3, 1))
    # float32: the inputs of both linear layers (10 x 6), the ReLU's result, which is also the head's input (10 x 3), and prediction - target (10).
    assert kept_bytes(model, data, torch.arange(10)) == 4 * (2 * 60 + 30 + 10)


def test_made_data_has_the_lengths_that_were_asked_for():
    shapes = {"a": (3, 20), "b": (2, 8)}
    data = made(shapes, samples=50, lengths=lambda random, n: {"a": random.integers(5, 21, n), "b": [n // 10] * n})
    assert {name: (spec.size, spec.length) for name, spec in data.spec.modalities.items()} == shapes
    lengths = data["train"].columns["a"].lengths
    assert (int(lengths.min()) >= 5, int(lengths.max()) <= 20, len(lengths.unique()) > 5) == (True, True, True)
    assert set(data["train"].columns["b"].lengths.tolist()) == {5}
    assert {int(column.lengths.min()) for column in made(shapes, samples=4)["valid"].columns.values()} == {20, 8}


def test_memory_of_a_step_is_kept_bytes_weights_gradients_and_two_moments():
    data = made({"a": (6, 4), "b": (6, 4)}, samples=10)
    model = FusionModel({"a": Mean(), "b": Mean()}, {"a": nn.Linear(6, 3), "b": nn.Linear(6, 3)}, Sum(), nn.Linear(3, 1))
    # As in kept bytes; and two layers of 6 x 3 + 3 numbers, a head of 3 + 1, four times each.
    assert step_bytes(model, data, torch.arange(10)) == 4 * (2 * 60 + 30 + 10) + 4 * 4 * (2 * 21 + 4)
    model.head.requires_grad_(False)
    # A frozen head is not trained: weights alone.
    assert step_bytes(model, data, torch.arange(10)) == kept_bytes(model, data, torch.arange(10)) + 4 * 4 * 2 * 21 + 4 * 4
    table = costs(["lf_dnn"], data, config={"hidden_size": 8}, rounds=1).set_index("quantity")["value"]
    assert table["memory"] > 16 * table["parameters"]


def test_costs_leave_out_settings_that_a_method_does_not_have_and_say_what_cannot_be_built():
    data = made({"a": (3, 5)}, samples=8)
    table = costs(["lf_dnn", "mult"], data, config={"hidden_size": 8, "layers": 2}, rounds=1).set_index(["variant", "quantity"])
    expected = sum(p.numel() for p in methods.build("lf_dnn", {"hidden_size": 8, "layers": 2}, data.spec).parameters())
    assert table.loc[("lf_dnn", "parameters"), "value"] == expected
    assert table.loc[("lf_dnn", "seconds"), "value"] > 0
    assert np.isnan(table.loc[("mult", "memory"), "value"])
    assert "two modalities" in table.loc[("mult", "memory"), "note"]


def test_curves_grow_as_they_must():
    curves = cost_curves(["lf_dnn", "lf_lstm"], modalities=(2, 4), lengths=(8, 32), rounds=1, config={"hidden_size": 8})
    value = curves.set_index(["variant", "axis", "x", "quantity"])["value"]
    assert value["lf_lstm", "modalities", 4, "memory"] > 1.9 * value["lf_lstm", "modalities", 2, "memory"]
    assert value["lf_lstm", "length", 32, "memory"] > 3 * value["lf_lstm", "length", 8, "memory"]
    # A mean over time keeps nothing of the steps.
    assert value["lf_dnn", "length", 32, "memory"] == value["lf_dnn", "length", 8, "memory"]
