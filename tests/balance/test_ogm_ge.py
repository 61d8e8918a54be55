"""OGM-GE against hand calculation and its naive transcription."""

import math

import numpy as np
import pytest
import torch
from reference import balancing as reference

from workbench import balance, methods
from workbench.balance import ogm_ge
from workbench.plan import Plan
from workbench.training import training

QUIET_SCORE, LOUD_SCORE = (math.exp(-2.5) + math.exp(-0.5)) / 2, (math.exp(-3) + math.exp(-1)) / 2
COEFFICIENT = 1 - math.tanh(0.3 * QUIET_SCORE / LOUD_SCORE)
"""The quiet modality answers better alone (.344 against .209): it is the one that is held back."""


def weights(model):
    return [float(layer.weight.detach()) for layer in model.projections.values()]


@pytest.mark.parametrize("scales", ["gradient", "update"])
def test_a_step_by_hand(by_hand, scales):
    model, (epoch,) = by_hand("ogm_ge", noise=0, scales=scales)
    assert weights(model) == pytest.approx([0.9, 1 - 0.1 * 0.5 * COEFFICIENT], abs=1e-12)
    after, _, update, coefficients, before = epoch.steps[0]
    assert before.tolist() == pytest.approx([1, 0.5])
    assert after.tolist() == pytest.approx([1, 0.5 * (COEFFICIENT if scales == "gradient" else 1)])
    assert update.tolist() == pytest.approx([0.1, 0.05 * COEFFICIENT])
    assert coefficients.tolist() == pytest.approx([1, COEFFICIENT])
    assert model.balance.facts() == {
        "steps": 1, "mean_factor_loud": 1, "mean_factor_quiet": pytest.approx(COEFFICIENT), "reduced_loud": 0, "reduced_quiet": 1,
    }  # fmt: skip


def test_nothing_flows_from_the_heads_into_the_networks(by_hand):
    model, _ = by_hand("ogm_ge", alpha=0, noise=0)
    assert weights(model) == pytest.approx([0.9, 0.95], abs=1e-12)
    assert [float(head.weight.detach()) for head in model.balance.heads.values()] == pytest.approx([0.9, 0.95], abs=1e-12)


@pytest.mark.parametrize(("window", "is_changed"), [((1, None), [1, 1, 1]), ((2, 2), [0, 1, 0]), ((3, None), [0, 0, 1])])
def test_the_window_of_epochs(by_hand, window, is_changed):
    _, epochs = by_hand("ogm_ge", epochs=3, first_epoch=window[0], last_epoch=window[1], noise=0)
    assert [int(bool((epoch.steps[0, 3] < 1).any())) for epoch in epochs] == is_changed


@pytest.mark.parametrize("against", ["mean", "smallest"])
def test_ratios_and_coefficients_agree_with_the_transcription(against):
    random = np.random.default_rng(0)
    for count in (2, 3, 4):
        scores = random.uniform(0.05, 1, count)
        ratio = ogm_ge.ratios(torch.from_numpy(scores), torch.ones(count, dtype=torch.bool), against=against)
        found = ogm_ge.coefficients(ratio, alpha=0.7).tolist()
        assert found == pytest.approx(reference.ogm_coefficients(list(scores), 0.7, against), abs=1e-12)


def test_three_modalities_only_what_is_ahead_of_the_rest_or_all_but_the_last():
    score, has = torch.tensor([0.9, 0.5, 0.4]), torch.ones(3, dtype=torch.bool)
    assert (ogm_ge.coefficients(ogm_ge.ratios(score, has), alpha=0.3) < 1).tolist() == [True, False, False]
    assert (ogm_ge.coefficients(ogm_ge.ratios(score, has, against="smallest"), alpha=0.3) < 1).tolist() == [True, True, False]


@pytest.mark.parametrize("against", ["mean", "smallest"])
def test_a_modality_that_no_sample_has_takes_no_part(against):
    ratio = ogm_ge.ratios(torch.tensor([0.6, 0.0, 0.3]), torch.tensor([True, False, True]), against=against)
    assert ratio.tolist() == pytest.approx([2, 1, 0.5])
    alone = ogm_ge.ratios(torch.tensor([0.6, 0.0]), torch.tensor([True, False]), against=against)
    assert alone.tolist() == [1, 1]


def test_the_spread_is_that_of_the_numbers_that_are_not_zero():
    assert float(ogm_ge.spread(torch.tensor([[1.0, 3.0], [0.0, 0.0]]))) == pytest.approx(1.0)
    assert float(ogm_ge.spread(torch.zeros(3))) == 0


def test_noise_has_the_gradient_s_own_spread_and_leaves_zeros_alone():
    torch.manual_seed(0)
    layer = torch.nn.Linear(400, 50)
    model = torch.nn.Module()
    model.branch = lambda name: [layer.weight]
    gradient = 0.2 + 3 * torch.randn(50, 400)
    gradient[:, :100] = 0
    layer.weight.grad = gradient.clone()
    rule = balance.build("ogm_ge", {"text": 1}, {"noise": 0.5}, outputs=1)
    ((p, noise),) = rule._noise(model)
    assert p is layer.weight
    assert float(noise[:, 100:].std()) == pytest.approx(0.5 * 3, rel=0.02)
    assert float(noise[:, 100:].mean()) == pytest.approx(0, abs=0.05)
    assert bool((noise[:, :100] == 0).all())


def moved(toy, optimizer, rule="ogm_ge", steps=1, **settings):
    """How far each W_m went in the first steps, and the coefficients."""
    model = methods.build("lf_dnn", {"hidden_size": 8, "post_size": 5}, toy.spec, seed=1)
    balance.attach(model, rule, settings, toy.spec)
    with torch.no_grad():
        for head in model.balance.heads.values() if rule else ():
            head.weight.mul_(0.1)
    before = [layer.weight.detach().clone() for layer in model.projections.values()]
    plan = Plan(epochs=steps, optimizer=optimizer, learning_rate=0.01, batch_size=96, probe_every=0)
    *_, epoch = training(model, toy, plan)
    went = [layer.weight.detach() - start for layer, start in zip(model.projections.values(), before, strict=True)]
    return went, epoch.steps[0, 3]


@pytest.mark.parametrize(("optimizer", "scales"), [("sgd", "gradient"), ("sgd", "update"), ("adam", "gradient"), ("adam", "update")])
def test_what_the_coefficient_does_to_the_update(toy, optimizer, scales):
    """SGD goes k times as far, whatever is scaled; Adam divides k out of the gradient, and not of the update."""
    plain, _ = moved(toy, optimizer, rule=None)
    went, k = moved(toy, optimizer, noise=0, alpha=1, scales=scales)
    assert float(k.min()) < 0.3
    ratio = [float(a.norm() / b.norm()) for a, b in zip(went, plain, strict=True)]
    expected = [1, 1, 1] if (optimizer, scales) == ("adam", "gradient") else k.tolist()
    assert ratio == pytest.approx(expected, rel=1e-3)


def test_with_adam_the_noise_changes_the_update(toy):
    plain, _ = moved(toy, "adam", rule=None)
    went, _ = moved(toy, "adam")
    assert min(float((a - b).norm() / b.norm()) for a, b in zip(went, plain, strict=True)) > 0.2
