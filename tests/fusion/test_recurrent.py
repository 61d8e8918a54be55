"""The scan and the LSTM with memories against plain loops, and their hand-written gradients against autograd's and finite differences."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from workbench.fusion.recurrent import LSTMMemories, linear_scan


def loop(decay, new):
    x, rows = torch.zeros_like(new[0]), []
    for kept, added in zip(decay, new, strict=True):
        x = kept * x + added
        rows.append(x)
    return torch.stack(rows)


def by_cell(lstm: nn.LSTM, x):
    """torch's own cell, step by step."""
    cell = nn.LSTMCell(lstm.input_size, lstm.hidden_size, dtype=x.dtype)
    weights = {name.removesuffix("_l0"): weight for name, weight in lstm.named_parameters()}
    state = (x.new_zeros(x.shape[1], lstm.hidden_size),) * 2
    states = []
    for step in x:
        state = functional_call(cell, weights, (step, state))
        states.append(state)
    return torch.stack([h for h, _ in states]), torch.stack([c for _, c in states])


def test_scan_by_hand():
    decay, new = torch.tensor([9.0, 0.5, 2.0]), torch.tensor([1.0, 3.0, -4.0])
    assert linear_scan(decay, new).tolist() == [1.0, 3.5, 3.0]


@pytest.mark.parametrize("shape", [(1, 2), (6, 3, 4)])
def test_scan_and_its_gradients_are_those_of_the_loop(shape):
    torch.manual_seed(0)
    decay, new = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(2))
    torch.testing.assert_close(linear_scan(decay, new), loop(decay, new), atol=1e-12, rtol=0)
    asked = torch.randn(shape, dtype=torch.float64)
    found = torch.autograd.grad(linear_scan(decay, new), (decay, new), asked)
    torch.testing.assert_close(found, torch.autograd.grad(loop(decay, new), (decay, new), asked), atol=1e-12, rtol=0)
    torch.autograd.gradcheck(linear_scan, (decay, new))
    torch.autograd.gradgradcheck(linear_scan, (decay, new))


@pytest.fixture
def lstm():
    torch.manual_seed(0)
    return LSTMMemories(3, 4).double()


@pytest.mark.parametrize("steps", [1, 6])
@pytest.mark.parametrize("way", ["_in_a_loop", "_from_outputs"])
def test_both_ways_give_the_states_and_gradients_of_the_cell(lstm, way, steps):
    x = torch.randn(steps, 5, 3, dtype=torch.float64, requires_grad=True)
    asked = [torch.randn(steps, 5, 4, dtype=torch.float64) for _ in range(2)]
    wanted = [x, *lstm.parameters()]
    states, expected = getattr(lstm, way)(x), by_cell(lstm.lstm, x)
    torch.testing.assert_close(states, expected, atol=1e-12, rtol=0)
    found = torch.autograd.grad(states, wanted, asked)
    torch.testing.assert_close(found, torch.autograd.grad(expected, wanted, asked), atol=1e-11, rtol=0)


def test_lstm_has_a_double_backward(lstm):
    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(lambda x, *_: lstm(x), (x, *lstm.parameters()))
    torch.autograd.gradgradcheck(lambda x, *_: lstm(x), (x, *lstm.parameters()))


@pytest.mark.parametrize("used", [0, 1])
def test_one_of_the_two_outputs_may_go_unused(lstm, used):
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    found = torch.autograd.grad(lstm(x)[used].sin().sum(), x)
    torch.testing.assert_close(found, torch.autograd.grad(by_cell(lstm.lstm, x)[used].sin().sum(), x), atol=1e-12, rtol=0)


def test_lstm_keeps_its_precision_where_the_rest_is_in_bf16():
    lstm = LSTMMemories(3, 4)
    x = torch.randn(6, 2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h, c = lstm(x)
    assert (h.dtype, c.dtype) == (torch.float32, torch.float32)
    assert torch.equal(h, lstm(x)[0])
