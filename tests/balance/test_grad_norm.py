"""GradNorm against hand calculation, its naive transcription, and finite differences."""

import math

import numpy as np
import pytest
import torch
from reference import balancing as reference

from workbench.balance.grad_norm import target_norms

NORMS = [math.sqrt(1.25), 1.0, 0.5]
"""Joint: the norm of (1, .5); each head's own."""


def weights(model):
    return [float(layer.weight.detach()) for layer in model.projections.values()]


def test_two_steps_by_hand(by_hand):
    # First step: all weights 1. loud 1 + 1, quiet .5 + .5. All losses are where they began: r = 1, the targets are the mean norm.
    model, (epoch,) = by_hand("grad_norm")
    assert weights(model) == pytest.approx([0.8, 0.9], abs=1e-12)
    mean = sum(NORMS) / 3
    signs = [1, 1, -1]
    moved = [1 - 0.025 * sign * norm / mean for sign, norm in zip(signs, NORMS, strict=True)]
    expected = [3 * value / sum(moved) for value in moved]
    assert model.balance.weight.tolist() == pytest.approx(expected, rel=1e-6)
    assert expected[2] > 1 > expected[0]
    assert epoch.rule["weight"] == {name: pytest.approx(value) for name, value in zip(("joint", "loud", "quiet"), expected, strict=True)}
    after, _, _, shares, before = epoch.steps[0]
    assert before.tolist() == pytest.approx([1, 0.5]) and after.tolist() == pytest.approx([2, 1])
    assert shares.tolist() == pytest.approx(expected[1:])
    # Second step, by these weights. W = (.8, .9), heads (.9, .95): the signs of all errors stay, so do the gradients by z.
    model, (_, epoch) = by_hand("grad_norm", epochs=2)
    assert weights(model) == pytest.approx(
        [0.8 - 0.1 * (expected[0] + expected[1] * 0.9), 0.9 - 0.1 * (expected[0] * 0.5 + expected[2] * 0.5 * 0.95)], abs=1e-7
    )
    joint = (4 - (0.8 + 0.9) + (0.8 * 3 + 0.9 * 2) - 2) / 2
    loud, quiet = (4 - 0.72 + 2.16 - 2) / 2, (4 - 1.355 + 2.21 - 2) / 2
    plain = [NORMS[0], 0.9, 0.475]
    norms = [weight * norm for weight, norm in zip(expected, plain, strict=True)]
    targets = reference.grad_norm_targets(norms, [joint, loud, quiet], [2.5, 2, 1.5], 1.5)
    found = reference.grad_norm_step(expected, plain, targets, 0.025, normalize=True)
    assert list(epoch.rule["weight"].values()) == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("normalize", [True, False])
def test_a_half_mixture_and_the_raw_form(by_hand, normalize):
    """With strength .5 the losses weigh 1, .5, .5; the norms that w is moved by are of w times the losses all the same."""
    model, _ = by_hand("grad_norm", strength=0.5, normalize=normalize)
    assert weights(model) == pytest.approx([1 - 0.1 * 1.5, 1 - 0.1 * 0.75], abs=1e-12)
    found = reference.grad_norm_step([1, 1, 1], NORMS, [sum(NORMS) / 3] * 3, 0.025, normalize=normalize)
    assert model.balance.weight.tolist() == pytest.approx(found, rel=1e-6)


def test_targets_agree_with_the_transcription_and_are_lower_for_what_fell_faster():
    random = np.random.default_rng(2)
    norms, losses, initial = (random.uniform(0.1, 2, 4) for _ in range(3))
    found = target_norms(*(torch.from_numpy(values) for values in (norms, losses, initial)), alpha=0.7)
    assert found.tolist() == pytest.approx(reference.grad_norm_targets(list(norms), list(losses), list(initial), 0.7), rel=1e-12)
    fast = target_norms(torch.ones(2), torch.tensor([0.1, 1.0]), torch.ones(2), alpha=1.5)
    assert fast[0] < 1 < fast[1]
    assert target_norms(torch.tensor([1.0, 3.0]), torch.tensor([0.1, 1.0]), torch.ones(2), alpha=0.0).tolist() == [2, 2]


def test_the_floor_holds_and_is_counted(by_hand):
    model, _ = by_hand("grad_norm", rate=5, min_weight=0.2)
    assert model.balance.facts()["floor_held_joint"] == 1
    weight = model.balance.weight
    assert float(weight.sum()) == pytest.approx(3)
    assert bool((weight > 0).all())
    raw, _ = by_hand("grad_norm", rate=5, min_weight=None)
    assert float(raw.balance.weight.min()) < 0


def test_the_first_losses_are_those_before_the_first_step(by_hand):
    model, _ = by_hand("grad_norm", epochs=3)
    assert model.balance.initial.tolist() == pytest.approx([2.5, 2.0, 1.5])


def test_a_step_without_a_modality_leaves_the_weights(by_hand, numbers_maker):
    model, _ = by_hand("grad_norm", data=numbers_maker(has_quiet=(False, False)))
    assert model.balance.weight.tolist() == [1, 1, 1]
