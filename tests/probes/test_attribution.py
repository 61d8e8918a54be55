"""Integrated gradients against a model whose attributions can be written down."""

import numpy as np
import pytest
import torch
from probes.linear_fusion import linear_fusion, weights_of
from torch import nn

from workbench.errors import ConfigError
from workbench.probes.attribution import Attribution, attribute

pytest.importorskip("captum", reason="needs captum: pip install -e .[lab]")


@pytest.fixture
def mixed(mixed_maker):
    return mixed_maker()


def by_hand(model, data, name, row):
    """weight x input / steps, as the modality is."""
    steps = data["valid"].columns[name][row]
    table = model.encoders[name].features.embedding
    x = table(steps).detach() if table is not None else steps
    return (x.flatten(1) * weights_of(model, name)[0] / len(x)).numpy().reshape(x.shape), x


def test_of_a_linear_model_it_is_weight_times_input(mixed):
    model = linear_fusion(mixed)
    for row in (0, 5):
        found = attribute(model, mixed, row)
        for name, spec in mixed.spec.modalities.items():
            expected, _ = by_hand(model, mixed, name, row)
            shaped = expected[0] if spec.kind in ("vector", "image") else expected
            np.testing.assert_allclose(found.parts[name], shaped, atol=1e-5)
            assert found.steps(name).shape == {"tokens": (len(expected),), "sequence": (len(expected),), "vector": (7,), "image": (4, 4)}[spec.kind]
        assert found.start == pytest.approx(float(model.head.bias.detach()), abs=1e-5)
        assert abs(found.delta) < 1e-4
        assert found.is_complete
        assert found.points == 32


def test_from_the_mean_it_is_weight_times_what_differs_from_it(mixed):
    model = linear_fusion(mixed)
    found = attribute(model, mixed, 3, baseline="mean")
    column = mixed["train"].columns["vitals"]
    expected = (mixed["valid"].columns["vitals"][3][0] - column.values.double().mean(0).float()) * weights_of(model, "vitals")[0]
    np.testing.assert_allclose(found.parts["vitals"], expected.numpy(), atol=1e-5)
    assert found.is_complete


def test_the_parts_of_a_bent_model_add_up(mixed):
    model = linear_fusion(mixed)
    torch.manual_seed(0)
    model.head = nn.Sequential(model.head, nn.Tanh(), nn.Linear(1, 1)).eval()
    found = attribute(model, mixed, 1)
    assert found.is_complete
    assert sum(found.totals.values()) == pytest.approx(found.end - found.start, abs=0.01)


def test_each_output_has_its_own(mixed_maker):
    data = mixed_maker(task="multiclass")
    model = linear_fusion(data, outputs=3)
    second = attribute(model, data, 0, output=1)
    expected = data["valid"].columns["vitals"][0][0] * weights_of(model, "vitals")[1]
    np.testing.assert_allclose(second.parts["vitals"], expected.numpy(), atol=1e-5)


def test_a_missing_modality_brings_nothing(mixed):
    from workbench.data.views import View, apply

    away = apply(View(drop={"sound": 1.0}), mixed)
    assert np.abs(attribute(linear_fusion(mixed), away, 0).parts["sound"]).max() == 0


def test_too_few_points_are_said():
    parts = {"x": np.array([[1.0], [1.0]])}
    assert not Attribution(parts, 0.0, 2.2, "zero", 32, 0.1).is_complete
    assert Attribution(parts, 0.0, 2.01, "zero", 32, 0.1).is_complete


def test_nothing_stays_changed(mixed):
    model = linear_fusion(mixed).train()
    attribute(model, mixed, 0)
    assert model.training
    assert not [module for module in model.modules() if module._forward_hooks]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_hooks_come_off_also_where_the_model_fails(mixed):
    model = linear_fusion(mixed)

    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("broken")

    model.head = Broken()
    with pytest.raises(RuntimeError, match="broken"):
        attribute(model, mixed, 0)
    assert not [module for module in model.modules() if module._forward_hooks]


def test_unknown_names_and_rows_are_named(mixed):
    model = linear_fusion(mixed)
    with pytest.raises(ConfigError, match='unknown baseline "noise"'):
        attribute(model, mixed, 0, baseline="noise")
    with pytest.raises(ConfigError, match="there is no row 99 in valid: it has 24 samples"):
        attribute(model, mixed, 99)
