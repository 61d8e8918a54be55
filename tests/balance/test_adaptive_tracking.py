"""The adaptive tracking factor against hand calculation and its naive transcription."""

import math

import numpy as np
import pytest
import torch
from reference import balancing as reference

from workbench import balance
from workbench.balance.adaptive_tracking import tracking_factors

LOUD, QUIET = (math.exp(-3) + math.exp(-1)) / 2, (math.exp(-2.5) + math.exp(-0.5)) / 2
FACTORS = [math.sqrt(QUIET / LOUD), math.sqrt(LOUD / QUIET)]
"""sqrt(l q) / l and sqrt(l q) / q: the modality whose head is behind goes further."""


def weights(model):
    return [float(layer.weight.detach()) for layer in model.projections.values()]


@pytest.mark.parametrize("scales", ["update", "gradient"])
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_step_by_hand(by_hand, scales, weight):
    model, (epoch,) = by_hand("adaptive_tracking", weight=weight, scales=scales)
    gradients = [1 + weight / 2, 0.5 + weight / 4]
    assert FACTORS[0] > 1.2
    assert weights(model) == pytest.approx([1 - 0.1 * f * g for f, g in zip(FACTORS, gradients, strict=True)], abs=1e-7)
    after, _, update, factors, before = epoch.steps[0]
    is_seen = scales == "gradient"
    assert before.tolist() == pytest.approx([1, 0.5])
    assert after.tolist() == pytest.approx([g * (f if is_seen else 1) for f, g in zip(FACTORS, gradients, strict=True)])
    assert update.tolist() == pytest.approx([0.1 * f * g for f, g in zip(FACTORS, gradients, strict=True)])
    assert factors.tolist() == pytest.approx(FACTORS)


def test_without_strength_it_is_uniform(by_hand):
    assert weights(by_hand("adaptive_tracking", strength=0, epochs=3)[0]) == weights(by_hand("uniform", epochs=3)[0])


def test_scores_are_tracked_without_bias(by_hand):
    """After two steps t is (.1 s_2 + .09 s_1) / .19, and the factor that of t."""
    model, (first, second) = by_hand("adaptive_tracking", weight=0, epochs=2)
    scores = [[epoch.rule["train_score"][name] for name in ("loud", "quiet")] for epoch in (first, second)]
    tracked = [(0.1 * new + 0.09 * old) / 0.19 for old, new in zip(*scores, strict=True)]
    assert (model.balance.tracked[0] / model.balance.tracked[1]).tolist() == pytest.approx(tracked, rel=1e-6)
    assert second.steps[0, 3].tolist() == pytest.approx(reference.tracking_factors(tracked, 1, 4), rel=1e-5)


def test_a_modality_that_comes_later_is_tracked_from_its_first_step():
    rule = balance.build("adaptive_tracking", {"loud": 1, "quiet": 1}, outputs=1)
    for scores, samples, expected in (
        ((0.8, 0.0), (2.0, 0.0), (1, 1)),  # .4 and not known: nobody is behind
        ((0.8, 0.2), (2.0, 1.0), (math.sqrt(0.08) / 0.4, math.sqrt(0.08) / 0.2)),
        ((0.8, 0.0), (2.0, 0.0), (math.sqrt(0.08) / 0.4, math.sqrt(0.08) / 0.2)),
    ):
        rule._step.copy_(torch.tensor([scores, samples]))
        rule.after_backward(None)
        assert rule.weights().tolist() == pytest.approx(expected, rel=1e-5)


def test_factors_agree_with_the_transcription_and_stay_within_the_limit():
    random = np.random.default_rng(1)
    for count in (2, 3, 5):
        tracked = random.uniform(0.01, 1, count)
        for strength, limit in ((1.0, 100.0), (0.5, 100.0), (2.0, 1.5)):
            found = tracking_factors(torch.from_numpy(tracked), strength=strength, limit=limit)
            assert found.tolist() == pytest.approx(reference.tracking_factors(list(tracked), strength, limit), rel=1e-12)
            if limit == 100 and strength == 1:
                assert float(found.log().sum()) == pytest.approx(0, abs=1e-12)
    assert tracking_factors(torch.tensor([1e-9, 1.0]), strength=1.0, limit=4.0).tolist() == [4.0, 0.25]


@pytest.mark.parametrize("scales", ["update", "gradient"])
def test_adam_goes_as_far_as_the_factor_says_only_where_the_update_is_scaled(by_hand, scales):
    """Adam's first step is its rate, whatever the gradient's size."""
    _, (epoch,) = by_hand("adaptive_tracking", scales=scales, plan={"optimizer": "adam", "learning_rate": 0.01})
    expected = [0.01 * f for f in FACTORS] if scales == "update" else [0.01, 0.01]
    assert epoch.steps[0, 2].tolist() == pytest.approx(expected, rel=1e-5)
