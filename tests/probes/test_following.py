"""Tensors are followed through functions, loops, writes in place and functions with their own gradient."""

import torch
from torch import nn

from workbench.probes.following import Follow


class Own(torch.autograd.Function):
    """x + y with a gradient of its own."""

    @staticmethod
    def forward(ctx, x, y):
        return x * 1.0 + y

    @staticmethod
    def backward(ctx, grad):
        return grad, grad


def followed(model: nn.Module, **inputs: torch.Tensor):
    """What the follower saw of `model(**inputs)`, and the result."""
    follow = Follow(model)
    for name, value in inputs.items():
        follow.start(name, value, reach=name)
    with torch.no_grad(), follow.watching(model):
        result = model(**inputs)
    return follow, result


class Lambda(nn.Module):
    """A function as a module with one parameter."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, **inputs):
        return self.function(self, **inputs)


def said(function, *names: str):
    """(name, reach) of each step that a function of some 2 x 3 inputs makes, and the reach of its result."""
    follow, result = followed(Lambda(function), **{name: torch.ones(2, 3) for name in names})
    return [(step.name, "".join(sorted(step.reach))) for step in follow.steps[len(names) :]], "".join(sorted(follow.reach(result)))


def test_what_has_one_origin_passes_and_what_has_two_is_a_step():
    assert said(lambda own, a: torch.relu(a.T).mean(0), "a") == ([], "a")
    assert said(lambda own, a, b: torch.cat([a, torch.relu(b)], -1), "a", "b") == ([("cat", "ab")], "ab")
    assert said(lambda own, a, b: (a + b) * a, "a", "b") == ([("add", "ab"), ("mul", "ab")], "ab")


def test_a_parameter_makes_a_step_also_through_a_function_of_it():
    follow, _ = followed(Lambda(lambda own, a: a * own.scale.exp()), a=torch.ones(2, 3))
    assert [(step.name, step.parameters) for step in follow.steps[1:]] == [("mul", ("scale",))]


def test_masks_and_shapes_carry_no_value():
    assert said(lambda own, a, b: torch.where(a > 0, b, 0.0), "a", "b") == ([], "b")
    assert said(lambda own, a, b: b + torch.zeros_like(a) + a.new_zeros(3) + torch.ones(3).to(a), "a", "b") == ([], "b")


def test_writing_in_place_is_seen():
    def write(own, a, b):
        out = torch.zeros(2, 2, 3)
        out[0] = a
        out[1] = b
        return out

    assert said(write, "a", "b") == ([("__setitem__", "ab")], "ab")
    assert said(lambda own, a, b: a.clone().add_(b), "a", "b") == ([("add_", "ab")], "ab")


def test_a_function_with_its_own_gradient_is_one_step_and_apply_is_as_before():
    plain = torch.autograd.Function.__dict__["apply"]
    assert said(lambda own, a, b: Own.apply(a, b), "a", "b") == ([("Own", "ab")], "ab")
    assert torch.autograd.Function.__dict__["apply"] is plain


def test_a_loop_has_one_site_and_calls_know_their_steps():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.Linear(3, 3)

        def forward(self, a, b):
            for _ in range(3):
                a = self.cell(a + b)
            return a

    follow, _ = followed(Loop(), a=torch.ones(2, 3), b=torch.ones(2, 3))
    adds = [step for step in follow.steps if step.name == "add"]
    assert len(adds) == 3 and len({step.site for step in adds}) == 1
    cells = [call for call in follow.calls if call.path == "cell"]
    assert [(call.first, call.end, call.results[0][1]) for call in cells] == [(3, 4, (2, 3)), (5, 6, (2, 3)), (7, 8, (2, 3))]
    assert not Loop()._forward_hooks


def test_hooks_come_off_after_an_exception():
    model = Lambda(lambda own, a: 1 / 0)
    try:
        followed(model, a=torch.ones(2, 3))
    except ZeroDivisionError:
        assert not model._forward_hooks and not model._forward_pre_hooks
