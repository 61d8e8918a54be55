"""B-fusion against hand calculation, against its naive transcription, and against finite differences."""

import numpy as np
import pytest
import torch
from reference import awf as reference
from torch import nn

from workbench import balance, methods
from workbench.balance import b_fusion
from workbench.errors import ConfigError
from workbench.model import FusionModel
from workbench.tasks import make_task
from workbench.training import learners


def test_equations_6_to_9_by_hand():
    g = torch.tensor([6.0, 3.0, 3.0], dtype=torch.float64)
    # g_bar = 4; r = (1, 2, 2); targets = (4, 8, 8); L = |6-4| + |3-8| + |3-8| = 12
    assert b_fusion.target_magnitude(g).tolist() == [4.0, 8.0, 8.0]
    assert float(b_fusion.balance_loss(g)) == 12.0
    # signs (+, -, -), dg/dw = g / w
    weight = torch.tensor([1.0, 0.5, 1.0], dtype=torch.float64)
    assert b_fusion.first_order_gradient(g, weight).tolist() == [6.0, -6.0, -3.0]


def test_equations_agree_with_the_transcription():
    random = np.random.default_rng(0)
    for _ in range(20):
        g = random.uniform(1e-5, 1, 3)
        assert float(b_fusion.balance_loss(torch.from_numpy(g))) == pytest.approx(reference.eq6_loss(list(g)), abs=1e-12)
    gradient = random.standard_normal((4, 5))
    assert float(b_fusion.gradient_magnitude(torch.from_numpy(gradient))) == pytest.approx(reference.eq7_gradient_magnitude(gradient), abs=1e-14)


def test_the_target_is_a_constant():
    g = torch.tensor([6.0, 3.0], requires_grad=True)
    b_fusion.balance_loss(g).backward()
    assert g.grad.tolist() == [1.0, -1.0]


class Sum(nn.Module):
    """A fusion whose gradient by W_i is exactly proportional to w_i: the prediction is the sum of all that it gets."""

    def forward(self, balanced, z, context):
        return sum(value.sum(-1, keepdim=True) for value in balanced.values()), {}


def linear_model(toy, config):
    model = methods.build("lf_dnn", {"hidden_size": 4, "layers": 1}, toy.spec)
    model = FusionModel(dict(model.encoders), dict(model.projections), Sum(), nn.Identity())
    model.balance = b_fusion.build(b_fusion.Config(**config), model.modalities)
    return model.double()


def one_step(model, toy):
    """Gradients of one batch, as the trainer makes them."""
    batch = toy["train"].batch(torch.arange(32))
    task = make_task(toy.spec.task, loss="l1")
    loss = task.loss(model(batch).prediction, batch.target)
    model.balance.before_backward(loss, model, share=1.0, has_terms=False)
    loss.backward()
    return {name: layer.weight.grad.numpy().copy() for name, layer in model.projections.items()}


@pytest.mark.parametrize("normalize", [True, False])
def test_first_order_step_is_equation_10(toy, normalize):
    model = linear_model(toy, {"rate": 0.05, "normalize": normalize, "min_weight": None})
    g = [reference.eq7_gradient_magnitude(gradient) for gradient in one_step(model, toy).values()]
    g = [value / reference.eq8_mean(g) for value in g] if normalize else g
    targets = [reference.eq8_mean(g) * ratio for ratio in reference.eq9_ratio(g)]
    expected = [1 - 0.05 * np.sign(value - target) * value / 1.0 for value, target in zip(g, targets, strict=True)]
    model.balance.after_backward(model)
    assert model.balance.weight.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("method", ["misa", "mmim", "constraint.cmd", "generative.cvae"])
def test_first_order_sees_the_task_gradient_alone(toy, method):
    """What a method adds to the loss does not enter g; the gradients that the optimizer gets do not change."""
    model = methods.build(method, {"hidden_size": 8, "post_size": 5}, toy.spec, seed=1).double()
    rule = balance.build("b_fusion", model.modalities, {"normalize": False, "min_weight": None}).double()
    model.balance = rule
    task = make_task(toy.spec.task)
    for module in learners(model):
        module.begin(toy["train"], task)
    torch.manual_seed(0)
    gradients = dict.fromkeys(model.modalities, 0.0)
    for part in (torch.arange(12), torch.arange(12, 48)):
        batch = toy["train"].batch(part)
        output = model(batch)
        loss = task.loss(output.prediction, batch.target)
        share = len(part) / 48
        alone = torch.autograd.grad(loss, [layer.weight for layer in model.projections.values()], retain_graph=True)
        gradients = {name: gradients[name] + share * value for name, value in zip(gradients, alone, strict=True)}
        terms = model.terms(output, batch)
        rule.before_backward(loss, model, share=share, has_terms=bool(terms))
        (share * (loss + sum(terms.values()))).backward()
    g = torch.stack([value.abs().mean() for value in gradients.values()])
    mixed = torch.stack([layer.weight.grad.abs().mean() for layer in model.projections.values()])
    assert not torch.allclose(g / g.mean(), mixed / mixed.mean(), rtol=0.01)
    expected = 1 - rule.config.rate * b_fusion.first_order_gradient(g, torch.ones(3).double())
    rule.after_backward(model)
    torch.testing.assert_close(rule.weights(), expected, rtol=0, atol=1e-12)


def test_exact_equals_first_order_where_the_rest_does_not_react(toy):
    # Away from a kink of |error| the gradient by W_i is proportional to w_i in this model, so both forms are the same.
    steps = {}
    for update in ("exact", "first_order"):
        model = linear_model(toy, {"rate": 0.01, "update": update})
        one_step(model, toy)
        model.balance.after_backward(model)
        steps[update] = model.balance.weight.tolist()
    assert steps["exact"] == pytest.approx(steps["first_order"], abs=1e-12)
    assert steps["exact"] != [1.0, 1.0, 1.0]


@pytest.mark.parametrize("method", ["lf_dnn", "lf_lstm", "awf"])
def test_exact_gradient_equals_finite_differences(toy, method):
    """dL_w/dw by central differences of L_w(w), the target held: no autograd in the expectation."""
    task = make_task(toy.spec.task, loss="mse")
    batch = toy["train"].batch(torch.arange(24))
    torch.manual_seed(0)
    model = methods.build(method, {"hidden_size": 5, "post_size": 6}, toy.spec, seed=3).double()
    model.balance = b_fusion.build(b_fusion.Config(update="exact", normalize=False, rate=1.0, min_weight=None), model.modalities).double()

    def magnitudes() -> torch.Tensor:
        model.zero_grad()
        task.loss(model(batch).prediction, batch.target).backward()
        return torch.stack([layer.weight.grad.abs().mean() for layer in model.projections.values()])

    target = b_fusion.target_magnitude(magnitudes())
    expected = []
    for i in range(3):
        values = []
        for shift in (1e-6, -1e-6):
            with torch.no_grad():
                model.balance.weight[i] += shift
            values.append(float((magnitudes() - target).abs().sum()))
            with torch.no_grad():
                model.balance.weight[i] -= shift
        expected.append((values[0] - values[1]) / 2e-6)
    model.zero_grad()
    loss = task.loss(model(batch).prediction, batch.target)
    model.balance.before_backward(loss, model, share=1.0, has_terms=False)
    loss.backward()
    model.balance.after_backward(model)
    moved = (1 - model.balance.weight).tolist()
    assert moved == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_dominant_modality_falls_and_the_starved_rise(toy):
    model = linear_model(toy, {"rate": 0.01})
    gradients = one_step(model, toy)
    g = {name: np.abs(gradient).mean() for name, gradient in gradients.items()}
    model.balance.after_backward(model)
    weights = dict(zip(model.modalities, model.balance.weight.tolist(), strict=True))
    assert weights[max(g, key=g.get)] < 1 < weights[min(g, key=g.get)]


def test_floor_holds_and_is_counted(toy):
    model = linear_model(toy, {"rate": 50.0, "min_weight": 0.2})
    one_step(model, toy)
    model.balance.after_backward(model)
    assert min(model.balance.weight.tolist()) == pytest.approx(0.2)
    assert sum(model.balance.facts().values()) >= 1


def test_without_a_floor_a_weight_can_cross_zero(toy):
    model = linear_model(toy, {"rate": 50.0, "min_weight": None})
    one_step(model, toy)
    model.balance.after_backward(model)
    assert min(model.balance.weight.tolist()) < 0


@pytest.mark.parametrize("update", ["exact", "first_order"])
def test_warmup_keeps_the_weights_at_one(toy, update):
    model = linear_model(toy, {"warmup_epochs": 2, "update": update, "rate": 0.1})
    for epoch, is_moved in ((1, False), (2, False), (3, True)):
        model.balance.begin_epoch(epoch)
        model.zero_grad()
        one_step(model, toy)
        model.balance.after_backward(model)
        assert (model.balance.weight.tolist() != [1.0, 1.0, 1.0]) is is_moved


def test_the_task_gradient_is_the_same_with_exact_and_without(toy):
    """The second backward must not leak into the networks' gradients."""
    gradients = {}
    for update in ("exact", "first_order"):
        gradients[update] = one_step(linear_model(toy, {"update": update}), toy)
    for name in gradients["exact"]:
        np.testing.assert_allclose(gradients["exact"][name], gradients["first_order"][name], atol=1e-14)


def test_unknown_rule_names_the_near_one():
    with pytest.raises(ConfigError, match="Did you mean b_fusion"):
        balance.build("b_fusio", ("text", "audio"))


def test_no_rule_is_the_identity(toy):
    rule = balance.build(None, toy.modalities)
    z = {"text": torch.ones(2, 3)}
    assert rule(z) is z
    assert list(rule.parameters()) == []
    assert rule.weights() is None
    assert rule.facts() == {}


def test_a_weight_at_zero_stays_finite_and_a_floor_of_zero_is_refused():
    g, weight = torch.tensor([0.0, 2.0, 1.0]), torch.tensor([0.0, 1.0, 0.5])
    assert b_fusion.first_order_gradient(g, weight).isfinite().all()
    with pytest.raises(ValueError, match="greater than 0"):
        b_fusion.Config(min_weight=0)
