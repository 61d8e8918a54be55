"""One contract for every balancing rule: any method, any task, any modalities, any optimizer; off is off, and a broken training goes on as it was."""

from functools import cache
from importlib import import_module

import pytest
import torch

from workbench import balance, methods
from workbench.data.views import View, apply
from workbench.errors import ConfigError
from workbench.fitting import fit
from workbench.plan import Plan, make_optimizer
from workbench.runs import frames
from workbench.tasks import make_task
from workbench.tracing import QUANTITIES, complete
from workbench.training import predict, training

SMALL = {"hidden_size": 8, "post_size": 5}
RULES = sorted(set(balance.RULES) - {"b_fusion"})
"""B-fusion has its own tests, and stands in the methods' contract."""

QUICK = {"gradient_blending": {"super_epoch": 1, "floor": 1e-4}}
"""Settings with which a rule acts within a few epochs."""

OFF = {
    "uniform": {"weight": 0},
    "ogm_ge": {"alpha": 0, "noise": 0},
    "gradient_blending": {"strength": 0},
    "adaptive_tracking": {"strength": 0, "weight": 0},
    "grad_norm": {"strength": 0},
}

UNLIKE = (
    "lf_dnn", "mult", "misa", "self_mm", "graph.modalities", "generative.cvae", "mldfa", "mmiln", "delta_attention", "graph.samples",
)  # fmt: skip
"""Methods of every structure: vectors, sequences, convolutional projections, losses of their own, made labels, memories, generators, stages."""

KINDS = {"text": "tokens", "sound": "sequence", "vitals": "vector"}


def build(data, rule, method="lf_dnn", seed=1, settings=None, **config):
    model = methods.build(method, {**SMALL, **config}, data.spec, seed=seed)
    balance.attach(model, rule, QUICK.get(rule, {}) if settings is None else settings, data.spec, seed=seed)
    return model


def networks(model):
    """All weights but the rule's."""
    return torch.cat([p.detach().flatten() for name, p in model.named_parameters() if not name.startswith("balance.")])


def train(model, data, **plan):
    return list(training(model, data, Plan(**{"epochs": 3, "batch_size": 16, "probe_every": 0, "learning_rate": 5e-3, **plan})))


@cache
def gappy(maker, task):
    """Three kinds of modalities, of which samples lack some."""
    return apply(View(drop=dict.fromkeys(KINDS, 0.2), drop_in=("train", "valid")), maker(KINDS, task=task, train=32, other=12))


@cache
def unbalanced(maker, task, method):
    """The networks without a rule."""
    model = build(gappy(maker, task), None, method)
    train(model, gappy(maker, task), epochs=2)
    return networks(model)


@pytest.mark.parametrize("task", ["regression", "multiclass", "multilabel"])
@pytest.mark.parametrize("method", UNLIKE)
@pytest.mark.parametrize("rule", RULES)
def test_it_balances_every_method_and_task(mixed_maker, rule, method, task):
    """Samples that lack modalities included. The networks go another way than without the rule, and the heads learn."""
    data = gappy(mixed_maker, task)
    model = build(data, rule, method)
    before = [head.weight.detach().clone() for head in model.balance.heads.values()]
    epochs = train(model, data, epochs=2)
    assert bool(networks(model).isfinite().all())
    assert not torch.equal(networks(model), unbalanced(mixed_maker, task, method))
    assert all(not torch.equal(head.weight, old) for head, old in zip(model.balance.heads.values(), before, strict=True))
    for epoch in epochs:
        assert epoch.steps.shape[1:] == (len(QUANTITIES), 3)
        assert bool(epoch.steps.isfinite().all())
        assert {"train_loss", "valid_loss", "train_score", "valid_score"} <= set(epoch.rule)
        assert all(list(epoch.rule[name]) == list(KINDS) for name in ("train_loss", "valid_loss"))
        assert all(0 < value <= 1 for name in ("train_score", "valid_score") for value in epoch.rule[name].values())
    weights = torch.cat([epoch.steps[:, 3] for epoch in epochs])
    assert bool((weights != 1).any())
    assert all(value == value for value in model.balance.facts().values())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kinds", [{"sound": "sequence", "touch": "sequence"}, {**KINDS, "image": "image"}])
def test_two_and_four_modalities(mixed_maker, rule, kinds):
    for method in ("lf_dnn", "mult"):
        data = mixed_maker(kinds)
        epochs = train(build(data, rule, method), data, epochs=2, batch_size=24)
        assert all(bool(epoch.steps.isfinite().all()) for epoch in epochs)
        assert list(epochs[-1].rule["valid_loss"]) == list(kinds)


@pytest.mark.parametrize("rule", RULES)
def test_a_single_modality_has_nothing_to_be_balanced_with_and_trains(toy, rule):
    data = toy.select("audio")
    epochs = train(build(data, rule), data)
    assert epochs[-1].loss["valid"] < 2
    if rule in ("ogm_ge", "adaptive_tracking"):
        assert all(bool((epoch.steps[:, 3] == 1).all()) for epoch in epochs)


@pytest.mark.parametrize(
    "plan", [{"dropout": 0.3}, {"optimizer": "sgd", "clip_norm": 0.05, "accumulate": 2}, {"precision": "bf16", "clip_value": 0.1}]
)
@pytest.mark.parametrize("method", ["lf_dnn", "self_mm"])
@pytest.mark.parametrize("rule", RULES)
def test_switched_off_it_is_bitwise_the_baseline(toy, rule, method, plan):
    """Heads are there and learn; the networks and all that is traced of them are those without a rule."""
    plan = dict(plan)
    config = {"dropout": plan.pop("dropout", 0.0)}
    model, plain = build(toy, rule, method, settings=OFF[rule], **config), build(toy, None, method, **config)
    ours, theirs = train(model, toy, **plan), train(plain, toy, **plan)
    assert torch.equal(networks(model), networks(plain))
    assert all(torch.equal(a.steps[:, [0, 1, 2, 4]], b.steps[:, [0, 1, 2, 4]]) for a, b in zip(ours, theirs, strict=True))
    assert [epoch.loss for epoch in ours] == [epoch.loss for epoch in theirs]
    assert ours[-1].rule["train_loss"] != ours[0].rule["train_loss"]
    assert theirs[-1].rule == {}


@pytest.mark.parametrize("method", ["self_mm", "generative.cvae"])
@pytest.mark.parametrize("rule", RULES)
def test_broken_off_and_resumed_it_is_bitwise_the_unbroken_training(toy, rule, method, tmp_path):
    settings = {
        "config": {**SMALL, "dropout": 0.1}, "plan": {"epochs": 4, "batch_size": 48, "probe_every": 0}, "balance": rule,
        "balance_config": QUICK.get(rule, {}),
    }  # fmt: skip

    def stop(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    unbroken = fit(method, toy, runs=tmp_path / "unbroken", **settings)
    with pytest.raises(KeyboardInterrupt):
        fit(method, toy, runs=tmp_path / "broken", on_epoch=stop, checkpoint_seconds=0, **settings)
    resumed = fit(method, toy, runs=tmp_path / "broken", resume=True, **settings)
    for group in ("history", "steps", "rule"):
        whole, again = unbroken.trace[group].to_dataset(), resumed.trace[group].to_dataset()
        numbers = [name for name in whole.data_vars if "seconds" not in name]
        assert numbers and whole[numbers].equals(again[numbers])
    assert resumed.metrics["test"] == unbroken.metrics["test"]
    assert resumed.metrics["balance"] == unbroken.metrics["balance"]
    kept, other = resumed.model(), unbroken.model()
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in kept.state_dict().items())
    assert any(name.startswith("balance.heads.") for name in kept.state_dict())


@pytest.mark.parametrize("rule", RULES)
def test_a_run_records_what_the_rule_knew(toy, rule, tmp_path):
    run = fit("lf_dnn", toy, config=SMALL, balance=rule, plan={"epochs": 2}, runs=tmp_path)
    assert run.variant == f"lf_dnn + {rule}"
    known = run.trace["rule"]["value"]
    assert known.sizes["epoch"] == 2
    losses = known.sel(quantity=["train_loss", "valid_loss"], term=list(toy.modalities))
    assert not bool(losses.isnull().any())
    said = predict(run.model(), toy["valid"], Plan()).representations
    best = known.sel(epoch=run.metrics["best_epoch"], quantity="valid_loss")
    model, task = run.model(), make_task(toy.spec.task)
    for name in toy.modalities:
        own = task.loss(model.balance.heads[name](said[name])[:, 0], toy["valid"].target)
        assert float(best.sel(term=name)) == pytest.approx(float(own.detach()), rel=1e-5)
    table = frames([run])["rule"]
    assert list(table.columns[:3]) == ["epoch", "quantity", "term"] and {"value", "variant", "seed"} <= set(table.columns)
    assert not table["value"].isna().any()
    assert "last_layer_before" in set(frames([run])["steps"]["quantity"])


@pytest.mark.parametrize("rule", RULES)
def test_accumulation_equals_the_big_batch(toy, rule):
    settings = {**QUICK.get(rule, {}), **({"noise": 0} if rule == "ogm_ge" else {})}
    ends, steps = [], []
    for size, parts in ((40, 1), (8, 5)):
        model = build(toy, rule, settings=settings).double()
        epochs = train(model, toy, batch_size=size, accumulate=parts, is_bucketed=False, optimizer="sgd", learning_rate=0.1)
        ends.append(networks(model))
        steps.append(torch.cat([epoch.steps for epoch in epochs]))
    torch.testing.assert_close(*ends, atol=1e-6, rtol=0)
    torch.testing.assert_close(*steps, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rule", RULES)
def test_batches_of_one_and_bf16(mixed_maker, rule):
    data = apply(View(drop=dict.fromkeys(KINDS, 0.3), drop_in=("train", "valid")), mixed_maker(KINDS, train=8, other=6))
    for plan in ({"batch_size": 1}, {"precision": "bf16"}, {"precision": "bf16", "accumulate": 3, "batch_size": 2}):
        epochs = train(build(data, rule, "mult"), data, epochs=2, **plan)
        assert all(bool(epoch.steps.isfinite().all()) for epoch in epochs)


def test_the_optimizer_has_the_heads_and_not_what_a_rule_moves_by_itself(toy):
    for rule in balance.RULES:
        model = build(toy, rule)
        grouped = {id(p) for group in make_optimizer(model, Plan()).param_groups for p in group["params"]}
        own = {id(p) for p in model.parameters()} - grouped
        assert own == ({id(model.balance.weight)} if rule == "b_fusion" else set())
    model = build(toy, "uniform")
    rates = {id(p): group["lr"] for group in make_optimizer(model, Plan(rates={"balance.heads.text": 0.5})).param_groups for p in group["params"]}
    assert rates[id(model.balance.heads["text"].weight)] == 0.5
    assert rates[id(model.balance.heads["audio"].weight)] == 1e-3


def test_clipping_the_networks_does_not_see_the_heads(toy):
    """The step that clipping allows belongs to the networks, however large the heads' gradients are."""
    model = build(toy, "ogm_ge", settings=OFF["ogm_ge"])
    with torch.no_grad():
        for head in model.balance.heads.values():
            head.bias.fill_(100.0)
    before = networks(model)
    train(model, toy, epochs=1, batch_size=96, optimizer="sgd", learning_rate=1.0, clip_norm=1e-3)
    assert float((networks(model) - before).norm()) == pytest.approx(1e-3, rel=1e-3)


def test_heads_begin_by_the_seed_only(toy):
    torch.manual_seed(4)
    state = torch.get_rng_state()
    first, again, other = (build(toy, "uniform", seed=seed).balance.heads["text"].weight for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("rule", balance.RULES)
def test_every_setting_is_described_and_the_source_named(rule):
    module = balance.rule(rule)
    assert "Source: " in import_module(balance.RULES[rule]).__doc__
    assert all(field.description for field in module.Config.model_fields.values())
    with pytest.raises(ValueError, match="extra"):
        module.Config(nonsense=1)


def test_a_rule_on_a_method_with_stages_trains_it_at_once(toy):
    with pytest.raises(ConfigError, match="the rule grad_norm balances modalities that learn together"):
        fit("delta_attention", toy, config={**SMALL, "joint": False}, balance="grad_norm")


def test_truth_scores_of_every_task(toy, toy_classes, toy_labels):
    task = make_task(toy.spec.task)
    assert task.truth_score(torch.tensor([1.0, -2.0]), torch.tensor([1.0, 0.0])).tolist() == pytest.approx([1, 0.1353353], rel=1e-5)
    said = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    assert float(make_task(toy_classes.spec.task).truth_score(said, torch.tensor([1]))[0]) == pytest.approx(0.0871443, rel=1e-5)
    # Probabilities .5, .731, .5; truth yes, no, yes: .5, .269, .5
    labels = make_task(toy_labels.spec.task).truth_score(torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 1.0]]))
    assert float(labels[0]) == pytest.approx((0.5 + 0.2689414 + 0.5) / 3, rel=1e-5)


@pytest.mark.parametrize("loss", ["l1", "mse"])
def test_losses_of_single_samples_have_the_loss_as_their_mean(toy, toy_classes, toy_labels, loss):
    for data, shape in ((toy, (40,)), (toy_classes, (40, 4)), (toy_labels, (40, 3))):
        task, target = make_task(data.spec.task, loss=loss), data["valid"].target
        said = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        assert task.losses(said, target).shape == (40,)
        assert float(task.losses(said, target).mean()) == pytest.approx(float(task.loss(said, target)), rel=1e-6)


def test_who_has_a_modality(toy, mixed_maker):
    assert bool(toy["train"].columns["audio"].is_there.all())
    data = apply(View(drop={"sound": 0.5}, drop_frames={"sound": 0.6}, drop_in=("train",)), mixed_maker(KINDS))
    column = data["train"].columns["sound"]
    expected = [bool(data["train"].batch(torch.tensor([i]))["sound"].mask.any()) for i in range(48)]
    assert column.is_there.tolist() == expected
    assert 0 < sum(expected) < 48


def test_stopped_rules_leave_the_forward_pass_as_it_is(toy):
    for rule in balance.RULES:
        model = build(toy, rule)
        if rule == "b_fusion":
            with torch.no_grad():
                model.balance.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        batch = toy["valid"].batch(torch.arange(8))
        before = model.eval()(batch).prediction
        model.balance = model.balance.stopped()
        assert torch.equal(model(batch).prediction, before)
        train(model, toy, epochs=1)
        if rule == "b_fusion":
            assert model.balance.weight.tolist() == [0.5, 1.0, 2.0]


def test_second_order_paths_are_for_exact_b_fusion_only(toy):
    assert not any(build(toy, rule).balance.is_second_order for rule in RULES)


def test_traces_of_a_checkpoint_from_before_have_the_same_gradient_before_as_after():
    steps = torch.arange(24.0).reshape(2, 4, 3)
    found = complete(steps)
    assert found.shape == (2, len(QUANTITIES), 3)
    assert torch.equal(found[:, :4], steps) and torch.equal(found[:, 4], steps[:, 0])
    assert complete(found) is found
