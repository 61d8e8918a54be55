"""Gradient blending against hand calculation and its naive transcription; what is held out stays out."""

from dataclasses import replace

import pytest
import torch
from reference import balancing as reference

from workbench import balance, methods
from workbench.balance.gradient_blending import blended, held_out_rows
from workbench.errors import DataError
from workbench.fitting import fit
from workbench.plan import Plan
from workbench.tasks import make_task
from workbench.training import TrainingState, predict, training

SMALL = {"hidden_size": 8, "post_size": 5}


def weights(model):
    return [float(layer.weight.detach()) for layer in model.projections.values()]


def test_the_first_super_epoch_has_equal_weights(by_hand, numbers_maker):
    # Four samples, the two of the hand calculation twice each; two are held out. Equal weights: (1 + 1)/3 of a sample's gradient and (.5 + .5)/3.
    data = numbers_maker(loud=(1, 1, 3, 3), quiet=(1, 1, 2, 2), target=(4, 4, 2, 2))
    held = held_out_rows(data["train"], 0.5, 0)
    kept = [i for i in range(4) if i not in held.tolist()]
    signs, loud, quiet = (-1, -1, 1, 1), (1, 1, 3, 3), (1, 1, 2, 2)
    g_loud, g_quiet = sum(signs[i] * loud[i] for i in kept) / 2, sum(signs[i] * quiet[i] for i in kept) / 2
    model, (epoch,) = by_hand("gradient_blending", data=data, held_out=0.5)
    assert weights(model) == pytest.approx([1 - 0.1 * 2 / 3 * g_loud, 1 - 0.1 * 2 / 3 * g_quiet], abs=1e-6)
    assert epoch.rule["weight"] == {name: pytest.approx(1 / 3) for name in ("joint", "loud", "quiet")}
    after, _, _, shares, before = epoch.steps[0]
    assert before.tolist() == pytest.approx([abs(g_loud), abs(g_quiet)], rel=1e-5)
    assert after.tolist() == pytest.approx([2 / 3 * abs(g_loud), 2 / 3 * abs(g_quiet)], rel=1e-5)
    assert shares.tolist() == pytest.approx([1 / 3, 1 / 3])


def test_weights_by_hand():
    # O = (.2, .1, .5), G = (.4, .1, -.1): .4/.04 = 10, .1/.01 = 10, and what got worse has none
    found = blended(torch.tensor([0.2, -0.1, 0.5]), torch.tensor([0.4, 0.1, -0.1]), torch.ones(3) / 3, floor=0.01)
    assert found.tolist() == pytest.approx([0.5, 0.5, 0])
    near_zero = blended(torch.tensor([1e-9, 0.1]), torch.tensor([0.1, 0.1]), torch.ones(2) / 2, floor=0.05)
    assert near_zero.tolist() == pytest.approx([0.1 / 0.0025 / 50, 0.1 / 0.01 / 50])
    before = torch.tensor([0.2, 0.8])
    assert torch.equal(blended(torch.ones(2), torch.tensor([-1.0, 0.0]), before, floor=0.01), before)


def measured(model, data, rows):
    """The joint loss and the heads' of some training rows, one after the other."""
    task, said = make_task(data.spec.task), predict(model, data["train"].take(rows), Plan())
    target = data["train"].target[rows]
    alone = [task.loss(model.balance.heads[name](said.representations[name])[:, 0], target) for name in model.modalities]
    return [float(loss.detach()) for loss in (task.loss(said.prediction, target), *alone)]


def test_super_epochs_measure_what_the_transcription_says(toy):
    model = methods.build("lf_dnn", SMALL, toy.spec, seed=1)
    balance.attach(model, "gradient_blending", {"super_epoch": 2}, toy.spec)
    held = held_out_rows(toy["train"], 0.1, 0)
    kept = torch.tensor([i for i in range(96) if i not in held.tolist()])

    def both():
        return list(zip(measured(model, toy, kept), measured(model, toy, held), strict=True))

    seen, used = [both()], []
    for epoch in training(model, toy, Plan(epochs=5, batch_size=16, learning_rate=3e-3, probe_every=0)):
        seen.append(both())
        used.append(list(epoch.rule["weight"].values()))
    equal = [0.25] * 4
    second, third = (reference.blended(seen[i], seen[i + 2], 0.01) for i in (0, 2))
    for found, expected in zip(used, (equal, equal, second, second, third), strict=True):
        assert found == pytest.approx(expected, rel=2e-3)
    assert max(abs(a - b) for a, b in zip(second, third, strict=True)) > 0.01
    assert max(abs(a - 0.25) for a in second) > 0.01


def test_whole_groups_are_held_out_by_the_seed(toy):
    train = toy["train"]
    held = held_out_rows(train, 0.3, 0)
    inside = {train.groups[i] for i in held.tolist()}
    outside = {train.groups[i] for i in range(96) if i not in held.tolist()}
    assert not inside & outside
    assert 0.2 * 96 < len(held) < 0.45 * 96
    assert torch.equal(held, held_out_rows(train, 0.3, 0))
    assert any(not torch.equal(held, held_out_rows(train, 0.3, seed)) for seed in (1, 2, 3))


@pytest.mark.parametrize("groups", [None, ["one"] * 96])
def test_rows_are_held_out_where_there_are_no_groups(toy, groups):
    held = held_out_rows(replace(toy["train"], groups=groups), 0.1, 0)
    assert len(held) == 10
    assert len(set(held.tolist())) == 10


def test_one_stays_and_one_is_held_out(toy):
    two = toy["train"].take([0, 1])
    for groups in (["a", "b"], ["a", "a"], None):
        assert len(held_out_rows(replace(two, groups=groups), 0.5, 0)) == 1
    with pytest.raises(DataError, match="train has one sample"):
        held_out_rows(toy["train"].take([0]), 0.1, 0)


def test_what_is_held_out_is_not_learned_from_and_the_run_says_so(toy, tmp_path):
    """Other labels in the held-out part, and the networks learn the same as long as they only weigh."""
    held = held_out_rows(toy["train"], 0.1, 0)
    wrong = toy["train"].target.clone()
    wrong[held] = 99.0
    other = replace(toy, splits={**toy.splits, "train": replace(toy["train"], target=wrong)})
    ends = []
    for data in (toy, other):
        model = methods.build("lf_dnn", SMALL, toy.spec, seed=1)
        balance.attach(model, "gradient_blending", {"super_epoch": 50}, toy.spec)
        plan = Plan(epochs=3, batch_size=16, probe_every=0)
        for epoch in training(model, data, plan, state=TrainingState.start(model, plan)):
            assert len(epoch.outputs["train"][0]) == 96 - len(held)
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*ends)
    run = fit("lf_dnn", toy, config=SMALL, balance="gradient_blending", plan={"epochs": 2}, runs=tmp_path)
    facts = run.metrics["balance"]
    assert facts["held_out_samples"] == len(held) and facts["trained_samples"] == 96 - len(held)
    assert facts["held_out_groups"] == 1
