"""Uniform unimodal losses against hand calculation."""

import math

import pytest

from workbench import balance


def weights(model):
    return [float(layer.weight.detach()) for layer in model.projections.values()]


def test_without_a_rule_the_step_is_the_task_s(by_hand):
    model, _ = by_hand(None)
    assert weights(model) == pytest.approx([1 - 0.1 * 1, 1 - 0.1 * 0.5], abs=1e-12)


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_a_step_by_hand(by_hand, weight):
    # loud 1 + w/2 * 1, quiet .5 + w/2 * .5
    model, (epoch,) = by_hand("uniform", weight=weight)
    assert weights(model) == pytest.approx([1 - 0.1 * (1 + weight / 2), 1 - 0.1 * (0.5 + weight / 4)], abs=1e-12)
    after, _, update, shares, before = epoch.steps[0]
    assert before.tolist() == pytest.approx([1, 0.5])
    assert after.tolist() == pytest.approx([1 + weight / 2, 0.5 + weight / 4])
    assert update.tolist() == pytest.approx([0.1 + 0.05 * weight, 0.05 + 0.025 * weight])
    assert shares.tolist() == [weight / 2, weight / 2]


@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0])
def test_heads_learn_from_their_own_loss_at_full_size(by_hand, weight):
    # loud: errors (-3, 1), signs (-1, 1), z (1, 3): weight gradient 1, bias gradient 0; quiet: errors (-2.5, .5), z (1, 2): .5 and 0
    model, _ = by_hand("uniform", weight=weight)
    assert [float(head.weight.detach()) for head in model.balance.heads.values()] == pytest.approx([0.9, 0.95], abs=1e-12)
    assert [float(head.bias.detach()) for head in model.balance.heads.values()] == pytest.approx([0, 0.5], abs=1e-12)


def test_readings_are_the_heads_losses_and_scores_on_train_and_valid(by_hand):
    _, (epoch,) = by_hand("uniform")
    assert epoch.rule["train_loss"] == {"loud": pytest.approx(2), "quiet": pytest.approx(1.5)}
    expected = {"loud": (math.exp(-3) + math.exp(-1)) / 2, "quiet": (math.exp(-2.5) + math.exp(-0.5)) / 2}
    assert epoch.rule["train_score"] == {name: pytest.approx(value) for name, value in expected.items()}
    # After the step: W = .85, .925 and heads .9, .95: loud says .9 * .85 * (1, 3), quiet .95 * .925 * (1, 2) + .5
    loud, quiet = [0.765 * x for x in (1, 3)], [0.87875 * x + 0.5 for x in (1, 2)]
    for name, said in (("loud", loud), ("quiet", quiet)):
        errors = [abs(value - target) for value, target in zip(said, (4, 2), strict=True)]
        assert epoch.rule["valid_loss"][name] == pytest.approx(sum(errors) / 2, rel=1e-5)
        assert epoch.rule["valid_score"][name] == pytest.approx(sum(math.exp(-error) for error in errors) / 2, rel=1e-5)


def test_a_sample_that_lacks_a_modality_has_no_part_in_its_loss(by_hand, numbers_maker):
    # Without the second sample's quiet number the model says 2 and 3: errors -2 and 1, gradients (-1 + 3)/2 = 1 and -1/2.
    # The quiet head has the first sample only: says 1.5, error -2.5, gradient -1; half of it flows into W.
    model, (epoch,) = by_hand("uniform", data=numbers_maker(has_quiet=(True, False)))
    assert weights(model) == pytest.approx([1 - 0.1 * 1.5, 1 + 0.1 * (0.5 + 0.5)], abs=1e-12)
    assert float(model.balance.heads["quiet"].weight.detach()) == pytest.approx(1.1, abs=1e-12)
    assert epoch.rule["train_loss"] == {"loud": pytest.approx(2), "quiet": pytest.approx(2.5)}
    assert epoch.rule["train_score"]["quiet"] == pytest.approx(math.exp(-2.5))
    # After the step the quiet head says 1.1 * 1.1 + .6 to the one valid sample that has it.
    assert epoch.rule["valid_loss"]["quiet"] == pytest.approx(4 - 1.81, rel=1e-6)


def test_a_modality_that_no_sample_has_leaves_everything_finite(by_hand, numbers_maker):
    for rule in ("uniform", "ogm_ge", "adaptive_tracking", "grad_norm"):
        model, epochs = by_hand(rule, epochs=2, data=numbers_maker(has_quiet=(False, False)))
        assert all(value == value for value in weights(model))
        assert all(bool(epoch.steps.isfinite().all()) for epoch in epochs)
        assert weights(model)[1] == 1


def test_a_rule_with_heads_asks_for_their_sizes():
    with pytest.raises(ValueError, match="uniform has unimodal heads: give the width"):
        balance.build("uniform", ("text", "audio"))
    built = balance.build("uniform", {"text": 3, "audio": 5}, outputs=4)
    assert [tuple(head.weight.shape) for head in built.heads.values()] == [(4, 3), (4, 5)]
