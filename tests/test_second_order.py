"""Inside the block attention and recurrent layers can be differentiated twice; outside all is as it was."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from workbench.second_order import second_order


def settings():
    """What the block changes."""
    from torch.backends import cuda

    kernels = (cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled(), cuda.cudnn_sdp_enabled())
    return (*kernels, torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled)


def attended(x, weight):
    values = weight * x
    return functional.scaled_dot_product_attention(values, values, values)


def recurrent(x, weight):
    torch.manual_seed(0)
    return nn.LSTM(4, 4, batch_first=True)(weight * x[0])[0]


@pytest.mark.parametrize("network", [attended, recurrent])
def test_a_gradient_of_a_gradient_is_that_of_finite_differences(network):
    torch.manual_seed(0)
    x = torch.randn(1, 2, 3, 4)

    def slope(weight):
        with second_order():
            found = network(x, weight).square().sum()
        return torch.autograd.grad(found, weight, create_graph=True)[0]

    weight = torch.tensor(1.3, requires_grad=True)
    second = torch.autograd.grad(slope(weight), weight)[0]
    step = 1e-2
    with torch.enable_grad():
        difference = (slope(weight + step) - slope(weight - step)) / (2 * step)
    torch.testing.assert_close(second, difference.detach(), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("network", [attended, recurrent])
def test_the_numbers_are_the_same_inside_and_outside(network):
    torch.manual_seed(0)
    x = torch.randn(1, 2, 3, 4)
    outside = network(x, torch.tensor(1.3))
    with second_order():
        torch.testing.assert_close(network(x, torch.tensor(1.3)), outside, atol=1e-5, rtol=0)


def test_attention_has_no_second_derivative_outside():
    # The reason for the block: were this to pass one day, it could go.
    weight = torch.tensor(1.3, requires_grad=True)
    x = torch.randn(1, 2, 3, 4)
    slope = torch.autograd.grad(attended(x, weight).square().sum(), weight, create_graph=True)[0]
    with pytest.raises(RuntimeError, match=r"derivative for .* is not implemented|does not require grad"):
        torch.autograd.grad(slope, weight)


def test_settings_are_as_before_after_the_block_and_after_an_error():
    before = settings()
    # A block that was left on by an earlier test would look unchanged here.
    assert torch.backends.mkldnn.enabled and torch.backends.cudnn.enabled
    with second_order():
        assert settings() == (False, False, True, False, False, False)  # of the attention kernels the plain one
    assert settings() == before

    def fails():
        with second_order():
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fails()
    assert settings() == before


def test_off_changes_nothing():
    before = settings()
    with second_order(False):
        assert settings() == before


def test_a_block_in_a_block_stays_on_until_the_outer_one_ends():
    before = settings()
    with second_order():
        inside = settings()
        with second_order():
            assert settings() == inside
        assert settings() == inside
    assert settings() == before
