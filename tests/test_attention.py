"""The one attention: against a naive transcription, with masks, recorded or not, one step or all, differentiated once or twice."""

import numpy as np
import pytest
import torch
from reference import attention as reference

from workbench.attention import Attention, AttentionLayer, Transformer, positions
from workbench.errors import ConfigError
from workbench.second_order import second_order
from workbench.taps import record

SIZE, HEADS = 8, 2
MASK = torch.tensor([[True, True, True, True, True], [True, False, True, False, False], [False] * 5])
"""A full sample, one with a hole and padding, one without a real step."""
OTHER_MASK = torch.tensor([[True, True, False], [True, True, True], [True, False, False]])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def made(kind, *args, **settings):
    """A module in double precision whose norms and biases are no longer ones and zeros."""
    module = kind(*args, **settings).double().eval()
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return module


def steps(time, size=SIZE, batch=3):
    return torch.randn(batch, time, size, dtype=torch.float64)


def weights_of(module):
    return {name: value.numpy() for name, value in module.state_dict().items()}


def agree(found, expected):
    torch.testing.assert_close(found.detach(), torch.from_numpy(np.stack(expected)), atol=1e-10, rtol=0)


@pytest.mark.parametrize("is_single", [False, True])
@pytest.mark.parametrize("allowed", [None, "shared", "by sample"])
def test_attention_and_its_weights_are_those_of_the_transcription(allowed, is_single):
    module = made(Attention, SIZE, heads=HEADS, is_single=is_single)
    query, other = steps(5), steps(3)
    table = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 1, 1]], dtype=torch.bool)
    may = {None: None, "shared": table, "by sample": torch.stack([table, ~table, table])}[allowed]
    mine = [None if may is None else (may[i] if may.dim() == 3 else may) for i in range(3)]
    expected = [
        reference.attention(query[i].numpy(), other[i].numpy(), OTHER_MASK[i], weights_of(module), heads=HEADS, allowed=mine[i]) for i in range(3)
    ]
    agree(module(query, other, OTHER_MASK, allowed=may), [found for found, _ in expected])
    with record(module, "weights") as trace:
        agree(module(query, other, OTHER_MASK, allowed=may), [found for found, _ in expected])
    np.testing.assert_allclose(trace.dataset()["weights"].values, np.stack([told for _, told in expected]), atol=1e-6)


def test_one_key_has_the_weight_1_and_nothing_to_learn_but_its_value():
    module = made(Attention, SIZE, heads=HEADS, is_single=True)
    assert sorted(name for name, _ in module.named_parameters()) == ["output.bias", "output.weight", "value.bias", "value.weight"]
    query, other = steps(5), steps(1)
    full = made(Attention, SIZE, heads=HEADS)
    full.load_state_dict({**full.state_dict(), **module.state_dict()})
    mask = torch.tensor([[True], [True], [False]])
    torch.testing.assert_close(module(query, other, mask), full(query, other, mask), atol=1e-12, rtol=0)
    assert module(query, other, mask).shape == (3, 5, SIZE)


def test_no_key_gives_zeros_and_a_finite_gradient():
    module = made(Attention, SIZE, heads=HEADS)
    query, other = steps(4).requires_grad_(), steps(5).requires_grad_()
    found = module(query, other, MASK)
    assert torch.equal(found[2], torch.zeros(4, SIZE, dtype=torch.float64))
    assert found[:2].abs().min() > 0
    found.square().sum().backward()
    assert bool(query.grad.isfinite().all()) and bool(other.grad.isfinite().all())
    assert torch.equal(other.grad[2], torch.zeros(5, SIZE, dtype=torch.float64))
    assert bool((other.grad[~MASK] == 0).all())


def test_every_parameter_learns_from_more_than_rounding():
    module = made(Attention, SIZE, heads=HEADS)
    module(steps(4), steps(5), MASK).square().sum().backward()
    assert all(p.grad.abs().max() > 1e-6 for p in module.parameters())


@pytest.mark.parametrize("kind", [Attention, AttentionLayer])
def test_heads_that_do_not_divide_the_width(kind):
    with pytest.raises(ConfigError, match=r"a width of 8 cannot be shared by 3 heads[\s\S]*divide"):
        kind(8, heads=3)


def test_weights_are_dropped_in_training_only():
    module = made(Attention, SIZE, heads=HEADS, dropout=0.5)
    query, other = steps(4), steps(5)
    assert torch.equal(module(query, other, MASK), module(query, other, MASK))
    module.train()
    assert not torch.allclose(module(query, other, MASK), module(query, other, MASK))
    with record(module, "weights") as trace:
        assert not torch.allclose(module(query, other, MASK), module(query, other, MASK))
    told = trace.dataset()["weights"].values  # as they were before the dropout
    np.testing.assert_allclose(told[:2].sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("other", [None, 3])
def test_a_layer_is_that_of_the_transcription(other):
    module = made(AttentionLayer, SIZE, heads=HEADS, inner_size=12)
    x, source = steps(5), None if other is None else steps(other)
    mask = MASK if source is None else OTHER_MASK
    expected = [
        reference.layer(x[i].numpy(), mask[i], weights_of(module), heads=HEADS, other=None if source is None else source[i].numpy()) for i in range(3)
    ]
    agree(module(x, mask, source), expected)
    # only some of the steps
    torch.testing.assert_close(module(x, mask, source, query=x[:, 3:4]), module(x, mask, source)[:, 3:4], atol=1e-12, rtol=0)


@pytest.mark.parametrize("other", [None, 3])
@pytest.mark.parametrize("has_positions", [True, False])
def test_a_transformer_is_that_of_the_transcription(other, has_positions):
    module = made(Transformer, SIZE, layers=2, heads=HEADS, has_positions=has_positions)
    x, source = steps(5), None if other is None else steps(other)
    expected = [
        reference.transformer(
            x[i].numpy(),
            MASK[i],
            weights_of(module),
            layers=2,
            heads=HEADS,
            other=None if source is None else source[i].numpy(),
            other_mask=OTHER_MASK[i],
            has_positions=has_positions,
        )
        for i in range(3)
    ]
    agree(module(x, MASK, source, None if source is None else OTHER_MASK), expected)


@pytest.mark.parametrize("other", [None, 3])
@pytest.mark.parametrize("allowed", [None, "shared", "by sample"])
@pytest.mark.parametrize("is_recorded", [False, True])
def test_the_last_step_alone_is_the_last_real_step_of_all(other, allowed, is_recorded):
    module = made(Transformer, SIZE, layers=2, heads=HEADS)
    x, source = steps(5), None if other is None else steps(other)
    table = torch.arange(other or 5) <= torch.arange(5)[:, None]
    table[2:5:2, 0] = False  # the last steps of the first two samples may not see the first key
    may = {None: None, "shared": table, "by sample": table.expand(3, -1, -1)}[allowed]
    rest = () if source is None else (source, OTHER_MASK)
    whole = module(x, MASK, *rest, allowed=may)
    with record(module, *(["*.weights"] if is_recorded else [])) as trace:
        last = module(x, MASK, *rest, is_last_only=True, allowed=may)
    torch.testing.assert_close(last[:, 0], torch.stack([whole[0, 4], whole[1, 2], whole[2, 0]]), atol=1e-12, rtol=0)
    assert last.shape == (3, 1, SIZE)
    if is_recorded:  # who looks sees all rows
        assert trace.dataset()["layers.1.attention.weights"].shape == (3, HEADS, 5, other or 5)


def test_padding_and_what_stands_there_do_not_matter():
    module = made(Transformer, SIZE, layers=2, heads=HEADS)
    x = steps(5)
    longer = torch.cat([torch.where(MASK[:, :, None], x, 99.0), torch.full((3, 4, SIZE), -7.0, dtype=torch.float64)], dim=1)
    mask = torch.nn.functional.pad(MASK, (0, 4))
    torch.testing.assert_close(module(longer, mask)[:, :5][MASK], module(x, MASK)[MASK], atol=1e-12, rtol=0)


@pytest.mark.parametrize("size", [1, 5, 8])
def test_positions(size):
    np.testing.assert_allclose(positions(7, size).numpy(), reference.positions(7, size), atol=1e-12)


def test_positions_by_hand():
    expected = [[0, 1, 0, 1], [np.sin(1), np.cos(1), np.sin(0.01), np.cos(0.01)]]
    np.testing.assert_allclose(positions(2, 4).numpy(), expected, atol=1e-15)


def test_the_taps_axes_are_named():
    module = Attention(SIZE, heads=HEADS, axes=("text_time", "audio_time"))
    with record(module, "weights") as trace:
        module(steps(4).float(), steps(5).float(), MASK)
    assert trace.dataset()["weights"].dims == ("batch", "weights.head", "weights.text_time", "weights.audio_time")


def test_a_gradient_of_a_gradient():
    module = made(Transformer, 4, layers=1, heads=2)
    x, mask = steps(3, size=4, batch=2), torch.tensor([[True, True, False], [True, True, True]])
    weight = torch.ones(2, dtype=torch.float64, requires_grad=True)

    def gradient_norm(weight):
        with second_order():
            found = module(weight[0] * x, mask, weight[1] * x.flip(1), mask)
        return torch.autograd.grad(found.square().sum(), list(module.parameters()), create_graph=True)[2].square().sum()

    assert torch.autograd.gradcheck(gradient_norm, (weight,))
