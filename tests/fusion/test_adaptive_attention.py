"""The attention view of MLDFA against its naive transcription, by hand where a hand can, and what a missing modality must not do."""

import numpy as np
import pytest
import torch
from reference import mldfa as reference

from workbench.errors import ConfigError
from workbench.fusion.adaptive_attention import AdaptiveAttention, EachLinear, feature_gate, modality_linear, shares
from workbench.taps import record

NAMES = ("text", "audio", "vision")
SIZE = 4
PRESENT = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 0, 1], [0, 0, 0]], dtype=torch.bool)
"""All there, one missing, one alone, none."""


def some(seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.randn(len(PRESENT), len(NAMES), SIZE, dtype=torch.float64) * PRESENT[:, :, None]


def made(**settings) -> AdaptiveAttention:
    """A view whose norm is not the identity."""
    torch.manual_seed(3)
    view = AdaptiveAttention(SIZE, NAMES, **settings).double()
    torch.nn.init.normal_(view.norm.weight)
    torch.nn.init.normal_(view.norm.bias)
    return view


@pytest.mark.parametrize("weights", ["shared", "per_modality"])
@pytest.mark.parametrize("gate_weights", ["shared", "per_modality", None])
@pytest.mark.parametrize("heads", [1, 2])
def test_the_view_meets_the_transcription(weights, gate_weights, heads):
    view = made(heads=heads, weights=weights, has_gate=gate_weights is not None, gate_weights=gate_weights or "shared")
    nodes, numbers = some(), {name: value.numpy() for name, value in view.state_dict().items()}
    with record(view, "*") as trace:
        fused = view(nodes, PRESENT)
    seen = trace.dataset()
    for i in range(len(PRESENT)):
        z, there = dict(zip(NAMES, nodes[i].numpy(), strict=True)), dict(zip(NAMES, PRESENT[i].tolist(), strict=True))
        expected = reference.eq20_attention_view(z, there, numbers, heads=heads, has_gate=gate_weights is not None)
        np.testing.assert_allclose(fused[i].detach().numpy(), expected, atol=1e-10)
        np.testing.assert_allclose(seen["attention"].values[i], reference.eq16_attention(z, there, numbers, heads), atol=1e-6)


def test_rows_sum_to_one_over_the_modalities_that_are_there():
    view = made(heads=2)
    with record(view, "*") as trace:
        view(some(), PRESENT)
    seen = trace.dataset()
    assert seen["attention"].dims == ("batch", "attention.head", "modality", "modality_attended")
    attention, there = seen["attention"].values, PRESENT.numpy()
    np.testing.assert_allclose(attention.sum(-1), np.broadcast_to(there[:, None], (4, 2, 3)), atol=1e-6)
    assert np.all(attention[~np.broadcast_to((there[:, :, None] & there[:, None])[:, None], attention.shape)] == 0)
    np.testing.assert_allclose(seen["received"].sum("modality").values, [1, 1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(seen["received"].values[0], attention[0].mean((0, 1)), atol=1e-6)
    assert seen["received"].values[2].tolist() == [0, 0, 1]
    np.testing.assert_allclose(seen["gate_mean"].values, seen["gate"].values.mean(-1), atol=1e-6)
    assert np.all((seen["gate"].values > 0) == there[:, :, None]) and np.all(seen["gate"].values < 1)


def test_by_hand():
    """Two features, identity maps: z_1 = (1, 0), z_2 = (0, 2); scores of the first are 1 and 0, of the second 0 and 4, over sqrt(2)."""
    view = AdaptiveAttention(2, ("one", "two"), has_gate=False).double()
    for linear in (view.query, view.key, view.value, view.output):
        torch.nn.init.eye_(linear.weight)
    nodes, present = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]).double(), torch.ones(1, 2, dtype=torch.bool)
    first, second = 1 / (1 + np.exp(-1 / np.sqrt(2))), 1 / (1 + np.exp(-4 / np.sqrt(2)))
    expected = [[first, 2 * (1 - first)], [1 - second, 2 * second]]
    np.testing.assert_allclose(view.interaction(nodes, present)[0].detach().numpy(), expected, atol=1e-12)
    view = AdaptiveAttention(2, ("one", "two")).double()
    torch.nn.init.zeros_(view.gate_map.weight)
    torch.nn.init.zeros_(view.gate_map.bias)
    assert torch.equal(view.gated(nodes, present), nodes / 2)


def test_each_modality_may_have_its_own_map():
    own = modality_linear(SIZE, NAMES, "per_modality", has_bias=True).double()
    assert isinstance(own, EachLinear) and isinstance(modality_linear(SIZE, NAMES, "shared", has_bias=True), torch.nn.Linear)
    nodes = some()
    expected = torch.stack([own.maps[name](nodes[:, i]) for i, name in enumerate(NAMES)], dim=1)
    assert torch.equal(own(nodes), expected)
    gate = feature_gate(own, nodes, PRESENT)
    torch.testing.assert_close(gate[0], torch.sigmoid(expected[0]))
    assert gate[~PRESENT].abs().max() == 0


def test_shares_of_a_row_without_anything_are_zero_and_can_be_differentiated_twice():
    scores = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    allowed = torch.tensor([[True, False, True], [False, False, False]])
    found = shares(scores, allowed)
    assert found[1].tolist() == [0, 0, 0]
    torch.testing.assert_close(found[0, [0, 2]], scores[0, [0, 2]].softmax(0))
    assert found[0, 1] == 0
    assert torch.autograd.gradgradcheck(lambda value: shares(value, allowed), scores)


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(ConfigError, match="a width of 4 cannot be shared by 3 heads"):
        AdaptiveAttention(4, NAMES, heads=3)
