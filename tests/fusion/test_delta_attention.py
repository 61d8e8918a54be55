"""Delta attention against its naive transcription; what a step can see; what an offset changes; how large its tensors are."""

import numpy as np
import pytest
import torch
from reference import delta_attention as reference
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from workbench.data.batch import Modality, ModalitySpec
from workbench.encoders import DeltaEncoder
from workbench.errors import ConfigError
from workbench.fusion.delta_attention import DeltaAttention, RepeatingConvolution, differences, repeated
from workbench.taps import record

SIZE, HEADS, TIME = 4, 2, 7
MASK = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [0, 1, 1, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0, 0], [0] * TIME], dtype=torch.bool)
"""All real; missing at the beginning, inside, and padding; one step; none."""

SHAPES = [
    {},
    {"positions": "per_head"},
    {"positions": "none"},
    {"has_content": False},
    {"window": 2},
    {"direction": "forward"},
    {"direction": "backward"},
    {"direction": "forward", "window": 1, "positions": "per_head", "has_content": False},
    {"direction": "backward", "window": 3},
]


def made(kind=DeltaAttention, *args, **settings):
    """A module in double precision."""
    torch.manual_seed(4)
    return kind(*args, **settings).double().eval()


def delta(**settings):
    return made(DeltaAttention, SIZE, **{"heads": HEADS, "length": TIME, **settings})


def steps(*, time=TIME, size=SIZE, seed=0):
    torch.manual_seed(seed)
    return torch.randn(len(MASK), time, size, dtype=torch.float64)


def weights_of(module):
    return {name: value.numpy() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("settings", SHAPES, ids=str)
@pytest.mark.parametrize("is_seen", [False, True])
def test_the_attention_meets_the_transcription(settings, is_seen):
    module, x = delta(**settings), steps()
    with record(module, *(["*"] if is_seen else [])) as trace:
        found = module(x, MASK)
    seen = trace.dataset()
    for i in range(len(MASK)):
        states, told, plain = reference.eq11(x[i].numpy(), MASK[i], weights_of(module), heads=HEADS, length=TIME, **settings)
        np.testing.assert_allclose(found[i].detach().numpy(), states, atol=1e-10)
        if is_seen:
            np.testing.assert_allclose(seen["weights"].values[i], told, atol=1e-6)
            np.testing.assert_allclose(seen["plain"].values[i], plain, atol=1e-6)


@pytest.mark.parametrize("direction", ["both", "forward", "backward"])
@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("time", [1, 2, 5, TIME, 12])
def test_rpe_is_that_of_the_tensor_of_all_differences_also_beyond_the_longest_sample(direction, window, time):
    module, x = delta(direction=direction, window=window), steps(time=time)
    mask = torch.ones(len(x), time, dtype=torch.bool)
    found = module.relative_scores(x, mask)
    assert found.shape == (len(x), 1, time, time)
    for i in range(len(x)):
        expected = reference.eq10_rpe(x[i].numpy(), weights_of(module)["relative"][0], TIME, window, direction)
        np.testing.assert_allclose(found[i, 0].detach().numpy(), expected, atol=1e-10)


def test_differences_by_hand_and_of_a_view():
    # Two steps, offsets -1, 0, 1: entry (0, 1) is table[1, +1] - table[0, +1]; entry (1, 0) is table[0, -1] - table[1, -1].
    table = torch.tensor([[[[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]]])
    expected = torch.tensor([[[[0.0, 27.0], [-9.0, 0.0]]]])
    assert torch.equal(differences(table), expected)
    assert torch.equal(differences(torch.cat([table + 7, table])[1:]), expected)
    assert torch.equal(differences(table.transpose(2, 3).contiguous().transpose(2, 3)), expected)


def test_the_gradient_of_the_differences_and_its_gradient():
    table = torch.randn(2, 2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(differences, (table,))
    assert torch.autograd.gradgradcheck(lambda x: differences(x).square(), (table,))
    module = delta()
    x = steps().requires_grad_()
    assert torch.autograd.gradcheck(lambda value: module(value, MASK), (x,))


@pytest.mark.parametrize("settings", SHAPES, ids=str)
def test_a_step_sees_no_further_than_window_and_direction(settings):
    module, x = delta(**settings), steps()[:1]
    mask, window, direction = MASK[:1], settings.get("window"), settings.get("direction", "both")
    before = module(x, mask)
    for j in range(TIME):
        changed = x.clone()
        changed[0, j] += 1
        # RPE is computed about the mean, which a change moves by rounding.
        moved = (module(changed, mask) - before).abs().amax(-1)[0] > 1e-12
        assert moved.tolist() == [reference.may_see(i, j, window, direction) for i in range(TIME)]


@pytest.mark.parametrize("settings", SHAPES, ids=str)
def test_padding_and_missing_steps_are_not_seen(settings):
    module, x = delta(**settings), steps()
    other = torch.where(MASK[:, :, None], x, 55.0)
    found = module(x, MASK)
    torch.testing.assert_close(module(other, MASK)[MASK], found[MASK], atol=1e-12, rtol=0)
    longer = module(functional.pad(other, (0, 0, 0, 6), value=-9.0), functional.pad(MASK, (0, 6)))
    torch.testing.assert_close(longer[:, :TIME][MASK], found[MASK], atol=1e-12, rtol=0)


@pytest.mark.parametrize("is_seen", [False, True])
def test_rows_without_a_key_are_zeros_with_a_finite_gradient(is_seen):
    module, x = delta(window=1), steps().requires_grad_()
    with record(module, *(["*"] if is_seen else [])) as trace:
        found = module(x, MASK)
    # The third sample has its first step alone: steps from the third on see nothing. The fourth has none.
    assert bool((found[2, 2:] == 0).all()) and bool((found[3] == 0).all())
    assert found[2, :2].abs().min() > 0
    found.square().sum().backward()
    assert bool(x.grad.isfinite().all())
    assert all(bool(p.grad.isfinite().all()) for p in module.parameters())
    if is_seen:
        sums = trace.dataset()["weights"].values.sum(-1)
        np.testing.assert_allclose(sums[2, 0], [1, 1, 0, 0, 0, 0, 0], atol=1e-6)
        assert (sums[3] == 0).all()


def test_without_positions_it_is_plain_attention():
    module, x = delta(positions="none"), steps()
    mask = torch.ones(len(x), TIME, dtype=torch.bool)
    q, k, v = (part(x).unflatten(-1, (HEADS, SIZE)).transpose(1, 2) for part in (module.query, module.key, module.value))
    plain = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :].expand(-1, -1, TIME, -1))
    assert torch.equal(module(x, mask), plain.transpose(1, 2).flatten(2))
    shared = delta(positions="shared")
    assert set(dict(shared.named_parameters())) - set(dict(module.named_parameters())) == {"relative"}
    shared.load_state_dict({**module.state_dict(), "relative": torch.zeros_like(shared.relative)})
    torch.testing.assert_close(shared(x, mask), module(x, mask), atol=1e-12, rtol=0)


def test_one_table_for_all_heads_or_one_for_each():
    shared, own = delta(), delta(positions="per_head")
    assert (shared.relative.shape, own.relative.shape) == ((1, SIZE, 2 * TIME - 1), (HEADS, SIZE, 2 * TIME - 1))
    own.load_state_dict({**shared.state_dict(), "relative": shared.relative.expand(HEADS, -1, -1)})
    x = steps()
    torch.testing.assert_close(own(x, MASK), shared(x, MASK), atol=1e-12, rtol=0)
    with torch.no_grad():
        own.relative[1] += 1
    assert not torch.allclose(own(x, MASK), shared(x, MASK))
    # The paper's count: d_ch x T for i <= j.
    assert delta(direction="forward").relative.numel() == SIZE * TIME
    assert delta(direction="backward", window=3).relative.numel() == SIZE * 4


def test_what_is_recorded_is_named_and_says_what_the_delta_changed():
    module, x = delta(axes=("text_time", "text_time_attended")), steps()
    with record(module, "*") as trace:
        module(x, MASK)
    told = trace.dataset()
    assert told["weights"].dims == ("batch", "weights.head", "weights.text_time", "weights.text_time_attended")
    assert told["delta"].shape == (len(MASK), 1, TIME, TIME)
    # exp(delta) times the plain weights, made to sum to one again, are the weights.
    raised = told["plain"].values * np.exp(told["delta"].values)
    sums = raised.sum(-1, keepdims=True)
    np.testing.assert_allclose(told["weights"].values, raised / np.where(sums > 0, sums, 1), atol=1e-5)
    for settings in ({"positions": "none"}, {"length": 1}):
        other = delta(**settings)
        with record(other, "*") as trace:
            other(x, MASK)
        assert (trace.dataset()["delta"].values == 0).all()
        np.testing.assert_array_equal(trace.dataset()["plain"].values, trace.dataset()["weights"].values)


def test_one_step_has_nothing_to_choose():
    module, x = delta(length=1), steps(time=1)
    assert sorted(name for name, _ in module.named_parameters()) == ["value.bias", "value.weight"]
    mask = MASK[:, :1]
    torch.testing.assert_close(module(x, mask), module.value(x) * mask[:, :, None], atol=1e-12, rtol=0)


def test_neither_content_nor_positions_is_refused():
    with pytest.raises(ConfigError, match=r"attention needs content or positions[\s\S]*positions=shared"):
        delta(positions="none", has_content=False)


# Eq. (9)


@pytest.mark.parametrize("padding", ["repeat", "zeros"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 6, 9])
def test_a_convolution_meets_the_transcription(kernel, padding):
    layer, x = made(RepeatingConvolution, SIZE, 3, kernel=kernel, padding=padding), steps() * MASK[:, :, None]
    found = layer(x, MASK)
    assert found.shape == (len(MASK), TIME, 3)
    for i in range(len(MASK)):
        np.testing.assert_allclose(found[i].detach().numpy(), reference.eq9(x[i].numpy(), MASK[i], weights_of(layer), padding), atol=1e-10)
    longer = layer(functional.pad(x, (0, 0, 0, 5), value=33.0), functional.pad(MASK, (0, 5)))
    torch.testing.assert_close(longer[:, :TIME][MASK], found[MASK], atol=1e-12, rtol=0)


def test_which_step_is_repeated():
    assert repeated(MASK).tolist() == [[0, 1, 2, 3, 4, 5, 6], [1, 1, 2, 2, 4, 4, 4], [0] * 7, [0] * 7]


# What an offset changes


def encoder(**settings):
    torch.manual_seed(2)
    spec = ModalitySpec("sequence", 5, TIME)
    return DeltaEncoder(spec, size=SIZE, heads=HEADS, kernel_size=5, embedding_size=3, **settings).double().eval()


def recorded(module, values, name):
    with record(module, f"attention.{name}") as trace:
        module(Modality(values * MASK[:, :, None], MASK))
    return trace.dataset()[f"attention.{name}"].values


@pytest.mark.parametrize("padding", ["repeat", "zeros"])
def test_an_offset_on_every_frame_leaves_the_delta_as_it_is(padding):
    module, x = encoder(padding=padding), steps(size=5)
    offset = torch.tensor([3.0, -2.0, 0.5, 4.0, 1.0], dtype=torch.float64)
    before, after = recorded(module, x, "delta"), recorded(module, x + offset, "delta")
    assert np.abs(before).max() > 0.1
    moved = np.abs(after - before).reshape(len(MASK), -1).max(1)
    if padding == "repeat":
        assert moved.max() < 1e-6  # taps are float32
    else:  # of a whole sample its ends, of the second one its missing frames too; a single frame has no difference to another
        assert moved[0] > 0.1 and moved[1] > 0.1
        inner = np.abs(after - before)[0, 0, 2:-2, 2:-2]
        assert inner.max() < 1e-6


def test_a_large_offset_costs_the_delta_no_digits_in_single_precision():
    module, x = delta().float(), steps().mul(64).round().div(64).float()
    far = x + 1024
    assert torch.equal(far - 1024, x)  # what goes in is exact
    whole = module.relative_scores(x, MASK)
    assert whole.abs().max() > 1
    torch.testing.assert_close(module.relative_scores(far, MASK)[:3], whole[:3], atol=1e-5, rtol=0)


def test_content_sees_an_offset_unless_it_is_centred():
    x = steps(size=5)
    for is_centred in (False, True):
        module = encoder(is_centred=is_centred)
        states = [module(Modality((x + offset) * MASK[:, :, None], MASK)).values for offset in (0, 3)]
        moved = (states[1] - states[0]).abs().amax()
        assert moved < 1e-10 if is_centred else moved > 0.1


@pytest.mark.parametrize("settings", [{"direction": "backward"}, {"window": 1}, {"window": 1, "direction": "backward"}], ids=str)
@pytest.mark.parametrize(("kernel", "before", "ahead"), [(1, 0, 0), (3, 1, 1), (4, 1, 2)])
def test_the_convolution_sees_a_little_further_than_window_and_direction(settings, kernel, before, ahead):
    torch.manual_seed(2)
    module = DeltaEncoder(ModalitySpec("sequence", 5, TIME), size=SIZE, heads=HEADS, kernel_size=kernel, embedding_size=3, **settings).double().eval()
    x, mask, window, direction = steps(size=5)[:1], MASK[:1], settings.get("window"), settings.get("direction", "both")
    said = module(Modality(x, mask)).values
    for j in range(TIME):
        changed = x.clone()
        changed[0, j] += 1
        moved = (module(Modality(changed, mask)).values - said).abs().amax(-1)[0] > 1e-12
        reached = [m for m in range(TIME) if m - before <= j <= m + ahead]
        assert moved.tolist() == [any(reference.may_see(i, m, window, direction) for m in reached) for i in range(TIME)]


@pytest.mark.parametrize("settings", [{}, {"is_centred": True}, {"padding": "zeros"}, {"window": 2, "direction": "backward"}], ids=str)
@pytest.mark.parametrize("length", [1, TIME])
def test_the_encoder_meets_the_transcription(settings, length):
    torch.manual_seed(2)
    module = DeltaEncoder(ModalitySpec("sequence", 5, length), size=SIZE, heads=HEADS, kernel_size=4, embedding_size=3, **settings).double().eval()
    x, mask = steps(size=5)[:, :length] * MASK[:, :length, None], MASK[:, :length]
    values, said = module(Modality(x, mask))
    assert torch.equal(said, mask) and module.size == values.shape[2] == HEADS * SIZE
    for i in range(len(mask)):
        expected = reference.encoder(x[i].numpy(), mask[i].tolist(), weights_of(module), length=length, heads=HEADS, **settings)
        np.testing.assert_allclose(values[i].detach().numpy(), expected, atol=1e-10)


# How large it gets


class Largest(TorchDispatchMode):
    """The most numbers in any tensor that an operation gives, in the forward and the backward pass."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = function(*args, **(kwargs or {}))
        for value in given if isinstance(given, (tuple, list)) else [given]:
            if isinstance(value, torch.Tensor):
                self.numbers = max(self.numbers, value.numel())
        return given


@pytest.mark.parametrize("settings", [{}, {"window": 3}, {"direction": "backward"}], ids=str)
def test_no_tensor_is_as_large_as_that_of_all_differences(settings):
    batch, size, heads = 2, 32, 2
    for time in (16, 48):
        module = DeltaAttention(size, heads=heads, length=time, **settings)
        x = torch.randn(batch, time, size, requires_grad=True)
        kept = {}

        def keep(value, kept=kept):
            kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes() // 4
            return value

        with Largest() as largest, torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            module(x, torch.ones(batch, time, dtype=torch.bool)).sum().backward()
        assert x.grad is not None
        # P is time x (2 time - 1) of one table, the scores are time x time of each head; the tensor of all differences is 32 times as large.
        linear = 3 * batch * time * heads * size + 3 * heads * size**2
        assert largest.numbers <= max(2, heads) * batch * time**2 + linear < batch * size * time**2
        assert sum(kept.values()) < 8 * heads * batch * time**2 + 3 * linear
