"""MMILN's layers against their naive transcription, by hand where a hand can, and what masks, gates and single steps do."""

import numpy as np
import pytest
import torch
from reference import mmiln as reference

from workbench.fusion.gated_transformer import GateTransformer, SAGTransformer
from workbench.fusion.pooled_gru import WIDEST_MERGED, PooledGRU
from workbench.second_order import second_order
from workbench.taps import record, taps

SIZE = 4
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)
"""Whole, padded, with holes, nothing."""
OTHER = torch.tensor([[1, 1, 0], [1, 1, 1], [0, 0, 0], [0, 1, 1]], dtype=torch.bool)


def some(mask, *, size=SIZE, seed=0):
    torch.manual_seed(seed)
    return torch.randn(*mask.shape, size, dtype=torch.float64) * mask[:, :, None]


def numbers(module):
    return {name: value.numpy() for name, value in module.state_dict().items()}


def with_norms(layer):
    """A layer whose norms are not the identity."""
    for norm in (layer.gate_norm, layer.norm):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    return layer.double()


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("size", [1, 3, 4, WIDEST_MERGED + 2])
def test_a_pooled_gru_meets_the_transcription(size, is_full):
    """Merged into one GRU, and above its widest width in two."""
    torch.manual_seed(1)
    pooled = PooledGRU(size, is_full=is_full).double()
    x = some(MASK, size=size)
    expected = [reference.eq7_pooled(x[i].numpy(), MASK[i].tolist(), numbers(pooled), is_full=is_full) for i in range(len(MASK))]
    np.testing.assert_allclose(pooled(x, MASK).detach().numpy(), expected, atol=1e-10)
    assert pooled(x, MASK).abs().max() < 1


def test_one_step_needs_no_recurrent_weights():
    """The same numbers as a GRU whose hidden biases of reset and update are added to the others', whatever its recurrent matrix is."""
    torch.manual_seed(1)
    mask = torch.tensor([[True], [True], [False]])
    x = some(mask)
    for is_full in (False, True):
        single = PooledGRU(SIZE, is_single=True, is_full=is_full).double()
        expected = [reference.eq7_pooled(x[i].numpy(), mask[i].tolist(), numbers(single), is_full=is_full) for i in range(3)]
        np.testing.assert_allclose(single(x, mask).detach().numpy(), expected, atol=1e-10)
        assert not any("hh" in name for name in single.state_dict())
    single, whole = PooledGRU(SIZE, is_single=True).double(), PooledGRU(SIZE).double()
    gates = zip(whole.forwards.weight_ih_l0.chunk(3), whole.backwards.weight_ih_l0.chunk(3), strict=True)
    chunks = [[getattr(part, name).chunk(3) for part in (whole.forwards, whole.backwards)] for name in ("bias_ih_l0", "bias_hh_l0")]
    bias = [torch.cat(pair) for both in chunks for pair in zip(*both, strict=True)]
    with torch.no_grad():
        single.once.weight.copy_(torch.cat([part for pair in gates for part in pair]))
        single.once.bias.copy_(torch.cat([bias[0] + bias[3], bias[1] + bias[4], bias[2]]))
        single.candidate.copy_(bias[5])
    torch.testing.assert_close(single(x, mask), whole(x, mask), atol=1e-12, rtol=0)


def test_padding_does_not_enter_the_pooled_states():
    torch.manual_seed(0)
    pooled, x = PooledGRU(SIZE).double(), some(MASK)
    filled = torch.where(torch.arange(5)[None, :, None] < torch.tensor([5, 3, 4, 0])[:, None, None], x, 9.0)
    torch.testing.assert_close(pooled(filled, MASK), pooled(x, MASK), atol=1e-12, rtol=0)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("settings", [{}, {"residual": "current"}, {"has_gates": False}, {"is_full": True}])
def test_a_gate_transformer_meets_the_transcription(settings, heads):
    torch.manual_seed(2)
    layer = with_norms(GateTransformer(SIZE, heads=heads, **settings))
    x = some(MASK)
    found = layer(x, MASK)
    for i in range(len(MASK)):
        values, attended, hidden = reference.eq5_gate_transformer(x[i].numpy(), MASK[i].tolist(), numbers(layer), heads=heads, **settings)
        np.testing.assert_allclose(found.values[i].detach().numpy(), values, atol=1e-10)
        np.testing.assert_allclose(found.attended[i].detach().numpy(), attended, atol=1e-10)
        if settings.get("has_gates", True):
            np.testing.assert_allclose(found.hidden[i].detach().numpy(), hidden, atol=1e-10)
        else:
            assert found.hidden is None and hidden is None


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("settings", [{}, {"has_screening": False}, {"has_gates": False}, {"is_full": True}])
def test_a_sag_transformer_meets_the_transcription(settings, heads):
    torch.manual_seed(3)
    layer = with_norms(SAGTransformer(SIZE, heads=heads, **settings))
    x, other = some(MASK), some(OTHER, seed=5)
    found = layer(x, MASK, other, OTHER)
    for i in range(len(MASK)):
        given = (x[i].numpy(), MASK[i].tolist(), other[i].numpy(), OTHER[i].tolist())
        values, hidden = reference.eq13_sag_transformer(*given, numbers(layer), heads=heads, **settings)
        np.testing.assert_allclose(found.values[i].detach().numpy(), values, atol=1e-10)
        if settings.get("has_gates", True):
            np.testing.assert_allclose(found.hidden[i].detach().numpy(), hidden, atol=1e-10)


@pytest.mark.parametrize(("mask", "other"), [(MASK[:, :1], OTHER), (MASK, OTHER[:, :1]), (MASK[:, :1], OTHER[:, :1])])
def test_vectors_are_sequences_of_one_step(mask, other):
    torch.manual_seed(4)
    single, other_single = mask.shape[1] == 1, other.shape[1] == 1
    layer = with_norms(SAGTransformer(SIZE, heads=2, is_single=single, is_other_single=other_single))
    x, read = some(mask), some(other, seed=5)
    found = layer(x, mask, read, other)
    for i in range(len(mask)):
        expected, _ = reference.eq13_sag_transformer(x[i].numpy(), mask[i].tolist(), read[i].numpy(), other[i].tolist(), numbers(layer), heads=2)
        np.testing.assert_allclose(found.values[i].detach().numpy(), expected, atol=1e-10)
    assert (layer.self_attention is None) == other_single
    found.values.square().sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_gates_of_one_half_by_hand():
    """Gate maps of zeros: both gates are 1/2; a norm does not see the scale, so that half of the sum is normalised as the sum is."""
    torch.manual_seed(0)
    layer, x = GateTransformer(SIZE, heads=1).double(), some(MASK[:2])
    for linear in (layer.to_retain, layer.to_compound):
        torch.nn.init.zeros_(linear.weight)
    with record(layer, "retain", "compound") as trace:
        found = layer(x, MASK[:2])
    seen = trace.dataset()
    assert np.all(seen["retain"].values == 0.5) and np.all(seen["compound"].values == 0.5)
    assert seen["retain"].dims == ("batch", "retain.feature")
    mixed = torch.nn.functional.layer_norm((found.attended + x) / 2, (SIZE,))
    expected = torch.nn.functional.layer_norm(mixed + layer.feed_forward(mixed), (SIZE,)) * MASK[:2, :, None]
    torch.testing.assert_close(found.values, expected, atol=1e-12, rtol=0)


def test_a_closed_screen_lets_nothing_through():
    """Screening near 0 leaves the stream with the value's bias alone, whatever the other modality says; near 1 it is no screening."""
    torch.manual_seed(0)
    layer = SAGTransformer(SIZE, heads=2).double()
    open_layer = SAGTransformer(SIZE, heads=2, has_screening=False).double()
    open_layer.load_state_dict({name: value for name, value in layer.state_dict().items() if "screening" not in name})
    x, other = some(MASK), some(OTHER, seed=5).abs() * OTHER[:, :, None]
    torch.nn.init.constant_(layer.to_screening.weight, -1e4)
    louder = layer(x, MASK, 2 * other, OTHER)
    torch.testing.assert_close(layer(x, MASK, other, OTHER).values, louder.values, atol=1e-12, rtol=0)
    torch.nn.init.constant_(layer.to_screening.weight, 1e4)
    expected = open_layer(x, MASK, other, OTHER).values
    torch.testing.assert_close(layer(x, MASK, other, OTHER).values, expected, atol=1e-12, rtol=0)
    assert not torch.allclose(expected, louder.values)


def test_taps_are_named_by_their_axes():
    layer = SAGTransformer(SIZE, heads=2, axes=("words_time", "voice_time"))
    with record(layer, "*") as trace:
        layer(some(MASK).float(), MASK, some(OTHER).float(), OTHER)
    seen = trace.dataset()
    assert seen["screening"].dims == ("batch", "screening.voice_time", "screening.feature")
    cross, own = seen["cross_attention.weights"], seen["self_attention.weights"]
    assert cross.dims == ("batch", "cross_attention.weights.head", "cross_attention.weights.words_time", "cross_attention.weights.voice_time")
    assert own.dims[2:] == ("self_attention.weights.words_time", "self_attention.weights.words_time_attended")
    assert np.all(seen["screening"].values[~OTHER.numpy()] == 0)
    np.testing.assert_allclose(cross.values.sum(-1)[0], 1, atol=1e-6)
    assert set(taps(layer)) == {"retain", "compound", "screening", "self_attention.weights", "cross_attention.weights"}


def test_layers_can_be_differentiated_twice():
    torch.manual_seed(0)
    gate, sag = GateTransformer(SIZE, heads=2).double(), SAGTransformer(SIZE, heads=2).double()
    x = some(MASK).requires_grad_()
    with second_order():
        other = gate(some(OTHER, seed=5), OTHER).attended
        told = (sag(gate(x, MASK).values, MASK, other, OTHER).values * some(MASK, seed=8)).sum()
    (first,) = torch.autograd.grad(told, x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    assert bool(second.isfinite().all()) and second.abs().sum() > 0.1
