"""The loop: what it learns, what it refuses, and that its order of events leaves no trace in the numbers."""

import pytest
import torch
import xarray as xr

from workbench import balance, methods
from workbench.errors import ConfigError, SealedError, TrainingError
from workbench.plan import Plan, make_optimizer, resolve_device
from workbench.readout import ridge_readout
from workbench.supervision import Supervision
from workbench.tasks import make_task
from workbench.tracing import QUANTITIES
from workbench.training import TrainingState, determinism, epoch_seed, predict, training

SMALL = {"hidden_size": 8, "post_size": 8}


def build(data, rule=None, method="lf_dnn", seed=0, **config):
    model = methods.build(method, {**SMALL, **config}, data.spec, seed=seed)
    model.balance = balance.build("b_fusion" if rule else None, model.modalities, rule)
    return model


def run(data, plan, **settings):
    model = build(data, **settings)
    return model, list(training(model, data, plan))


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_it_learns(toy):
    _, epochs = run(toy, Plan(epochs=25, learning_rate=3e-3))
    assert epochs[-1].loss["train"] < 0.5 * epochs[0].loss["train"]
    assert epochs[-1].metrics("valid")["corr"] > 0.8


def test_same_seed_same_numbers_other_seed_others(toy):
    plan = Plan(epochs=3)
    first, second, third = (run(toy, Plan(epochs=3, seed=seed), dropout=0.3)[0] for seed in (plan.seed, plan.seed, 1))
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(third))


@pytest.mark.parametrize("rule", [None, {"update": "first_order"}])
def test_accumulation_equals_the_big_batch(toy, rule):
    # 96 samples: 3 batches of 40, 40, 16; accumulated 5 x 8 = 40 a step, the last partial group of 16 is stepped too.
    steps = {}
    for size, parts in ((40, 1), (8, 5)):
        plan = Plan(epochs=2, batch_size=size, accumulate=parts, is_bucketed=False, optimizer="sgd", learning_rate=0.1)
        model = build(toy, rule).double()
        steps[size] = [epoch.steps for epoch in training(model, toy, plan)]
        steps[f"weights {size}"] = weights(model)
    assert [len(part) for part in steps[8]] == [3, 3]
    torch.testing.assert_close(steps["weights 8"], steps["weights 40"], atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.stack(steps[8]), torch.stack(steps[40]), atol=1e-6, rtol=1e-5)


def test_traces_are_what_they_say(toy):
    """One step, everything recomputed by hand."""
    plan = Plan(epochs=1, batch_size=96, optimizer="sgd", learning_rate=0.5, is_bucketed=False)
    model, twin = build(toy), build(toy)
    (epoch,) = training(model, toy, plan)
    batch = toy["train"].batch(torch.arange(96))
    make_task(toy.spec.task).loss(twin(batch).prediction, batch.target).backward()
    assert epoch.steps.shape == (1, len(QUANTITIES), 3)
    for i, name in enumerate(model.modalities):
        gradient = twin.projections[name].weight.grad
        everything = torch.cat([p.grad.abs().flatten() for p in twin.branch(name)])
        assert float(epoch.steps[0, 0, i]) == pytest.approx(float(gradient.abs().mean()), rel=1e-4)
        assert float(epoch.steps[0, 1, i]) == pytest.approx(float(everything.mean()), rel=1e-4)
        # plain SGD moves W_i by rate times its gradient
        assert float(epoch.steps[0, 2, i]) == pytest.approx(0.5 * float(gradient.norm()), rel=1e-3)
        assert float(epoch.steps[0, 3, i]) == 1.0


def test_adam_divides_a_constant_factor_out_of_the_update(toy):
    """The reason why the update norm is traced: scaling one modality's gradient by 100 moves Adam's first update by almost nothing."""
    norms = {}
    for factor in (1.0, 100.0):
        model = build(toy)
        model.projections["text"].weight.register_hook(lambda gradient, factor=factor: gradient * factor)
        (epoch,) = training(model, toy, Plan(epochs=1, batch_size=96))
        norms[factor] = epoch.steps[0, :, 0]
    gradient, update = norms[100.0][0] / norms[1.0][0], norms[100.0][2] / norms[1.0][2]
    assert float(gradient) == pytest.approx(100, rel=1e-3)
    assert float(update) == pytest.approx(1, rel=1e-2)


def test_tracing_and_probing_change_no_number(toy):
    plain, _ = run(toy, Plan(epochs=3, is_traced=False, probe_every=0), rule={"rate": 0.05}, dropout=0.2)
    traced, epochs = run(toy, Plan(epochs=3), rule={"rate": 0.05}, dropout=0.2)
    assert torch.equal(weights(plain), weights(traced))
    assert set(epochs[0].probes) == set(toy.modalities)


def test_probe_is_the_readout_of_the_representations(toy):
    model, epochs = run(toy, Plan(epochs=2))
    task = make_task(toy.spec.task)
    train, valid = (predict(model, toy[split], Plan()).representations["audio"] for split in ("train", "valid"))
    said = ridge_readout(train, toy["train"].target, valid, task=task)
    assert epochs[-1].probes["audio"] == task.metrics(said, toy["valid"].target)["acc2_non0"]


def test_test_split_is_out_of_reach(toy):
    from dataclasses import replace

    class Peeking(type(toy["train"])):
        pass

    model = build(toy)
    seen = []
    for epoch in training(model, toy, Plan(epochs=1)):
        seen.append(set(epoch.outputs))
    assert seen == [{"train", "valid"}]
    with pytest.raises(SealedError, match="touched before the end of the training"):
        toy.sealed()["test"]
    # A training on data without test gives the same numbers: nothing in it can depend on test.
    bare = replace(toy, splits={name: toy.splits[name] for name in ("train", "valid")})
    other = build(toy)
    list(training(other, bare, Plan(epochs=1)))
    assert torch.equal(weights(model), weights(other))


def test_early_stopping_on_valid(toy):
    model = build(toy)
    plan = Plan(epochs=200, patience=3, learning_rate=0.05)
    state = TrainingState.start(model, plan)
    epochs = list(training(model, toy, plan, state=state))
    losses = [epoch.loss["valid"] for epoch in epochs]
    best = losses.index(min(losses)) + 1
    assert len(epochs) == best + 3 < 200
    assert state.best_number == best
    model.load_state_dict(state.best_weights)
    again = make_task(toy.spec.task).loss(predict(model, toy["valid"], plan).prediction, toy["valid"].target)
    assert float(again) == pytest.approx(min(losses), abs=1e-6)


def test_rates_can_change_between_epochs(toy):
    model, plan = build(toy), Plan(epochs=2, learning_rate=1e-3)
    moved = []
    for _ in training(model, toy, plan):
        moved.append(weights(model))
        plan.learning_rate = 1e-12
    torch.testing.assert_close(moved[0], moved[1], atol=1e-8, rtol=0)
    with pytest.raises(ValueError, match="greater than 0"):
        plan.learning_rate = -1


def test_stopping_is_leaving_the_loop_and_the_random_state_is_left_alone(toy):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    for epoch in training(build(toy, dropout=0.5), toy, Plan(epochs=50)):
        if epoch.number == 2:
            break
    assert epoch.number == 2
    assert torch.equal(before, torch.get_rng_state())


def test_nan_names_epoch_and_batch(toy):
    toy["train"].columns["audio"].values[100] = float("nan")
    with pytest.raises(TrainingError, match=r"the loss became nan in epoch 1, batch \d of 2"):
        list(training(build(toy), toy, Plan(epochs=1)))
    toy["train"].columns["audio"].values[100] = 0
    toy["valid"].columns["audio"].values[3] = float("nan")
    with pytest.raises(TrainingError, match="the valid loss became nan in epoch 1"):
        list(training(build(toy), toy, Plan(epochs=1)))


def test_clipping_bounds_the_step(toy):
    plan = Plan(epochs=1, batch_size=96, optimizer="sgd", learning_rate=1.0, clip_norm=1e-3)
    model = build(toy)
    before = weights(model)
    list(training(model, toy, plan))
    assert float((weights(model) - before).norm()) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_optimizers_and_their_groups(toy, optimizer):
    made = make_optimizer(build(toy), Plan(optimizer=optimizer, weight_decay=0.1))
    assert {p.dim() > 1: group["weight_decay"] for group in made.param_groups for p in group["params"]} == {True: 0.1, False: 0.0}


def test_parts_have_rates_of_their_own_the_longest_name_wins(toy):
    model = build(toy)
    plan = Plan(learning_rate=1e-3, rates={"encoders": 5e-3, "encoders.audio": 7e-3, "head.0": 9e-3})
    rates = {id(p): group["lr"] for group in make_optimizer(model, plan).param_groups for p in group["params"]}
    named = {name: rates[id(p)] for name, p in model.named_parameters()}
    assert {rate for name, rate in named.items() if name.startswith("encoders.text")} == {5e-3}
    assert {rate for name, rate in named.items() if name.startswith("encoders.audio")} == {7e-3}
    assert {rate for name, rate in named.items() if name.startswith("head.0")} == {9e-3}
    assert {rate for name, rate in named.items() if name.startswith(("head.3", "projections"))} == {1e-3}


def test_a_rate_for_nobody_names_the_near(toy):
    with pytest.raises(ConfigError, match=r'unknown part of the model "encoders.adio"\. Did you mean encoders.audio'):
        make_optimizer(build(toy), Plan(rates={"encoders.adio": 1e-3}))


def test_clipping_by_value_bounds_each_number_of_the_gradient(toy):
    def moved(**changes):
        model = build(toy)
        before = [p.detach().clone() for p in model.parameters()]
        next(training(model, toy, Plan(optimizer="sgd", learning_rate=1.0, batch_size=96, is_traced=False, probe_every=0, **changes)))
        return max(float((p - b).abs().max().detach()) for p, b in zip(model.parameters(), before, strict=True))

    assert moved() > 0.011
    assert moved(clip_value=0.01) == pytest.approx(0.01, rel=1e-4)


class Doubled(Supervision):
    """A term that needs the label, a memory of it, and a snapshot."""

    def begin(self, split, task):
        self.samples = len(split)
        self.seen = torch.zeros(len(split))

    def begin_epoch(self, number):
        self.number = number

    def forward(self, output, batch):
        self.seen[batch.index] += 1
        return {"doubled": 2 * (output.prediction - batch.target).abs().mean()}

    def snapshot(self):
        return xr.Dataset({"seen": ("sample", self.seen.numpy().copy())}, {"sample": range(self.samples)})


def test_supervision_is_asked_in_training_only_and_its_terms_are_kept(toy):
    model = build(toy)
    model.supervision = Doubled()
    plan = Plan(epochs=2, learning_rate=1e-9, batch_size=48, probe_every=0)
    first, second = training(model, toy, plan)
    assert model.supervision.number == 2
    assert first.snapshot["seen"].values.tolist() == [1.0] * 96
    assert second.snapshot["seen"].values.tolist() == [2.0] * 96
    # At a rate of almost nothing the term is twice the L1 loss of the epoch.
    assert first.auxiliary == {"doubled": pytest.approx(2 * first.loss["train"], rel=1e-5)}
    plain = build(toy)
    assert next(training(plain, toy, plan)).auxiliary == {}


def test_terms_teach(toy):
    plan = Plan(epochs=1, optimizer="sgd", learning_rate=0.1, batch_size=96, probe_every=0, is_traced=False)
    once, thrice = build(toy), build(toy)
    thrice.supervision = Doubled()
    before = {name: p.detach().clone() for name, p in once.named_parameters()}
    next(training(once, toy, plan))
    next(training(thrice, toy, plan))
    for name, p in once.named_parameters():
        torch.testing.assert_close(thrice.get_parameter(name) - before[name], 3 * (p - before[name]), atol=1e-6, rtol=1e-3)


def test_bf16_trains(toy):
    _, epochs = run(toy, Plan(epochs=15, precision="bf16", learning_rate=3e-3), rule={"update": "exact"})
    assert epochs[-1].metrics("valid")["corr"] > 0.7
    assert epochs[-1].outputs["valid"][0].dtype == torch.float32


def test_deterministic_option_is_undone():
    assert not torch.are_deterministic_algorithms_enabled()
    with determinism(True):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


def test_bucketing_does_not_cost_accuracy(toy_maker):
    data = toy_maker(train=400, other=200)
    scores = {}
    for is_bucketed in (True, False):
        scores[is_bucketed] = (
            sum(run(data, Plan(epochs=12, is_bucketed=is_bucketed, seed=s, probe_every=0), seed=s)[1][-1].metrics("valid")["corr"] for s in range(3))
            / 3
        )
    assert scores[True] == pytest.approx(scores[False], abs=0.03)


def test_classes_train(toy_classes):
    _, epochs = run(toy_classes, Plan(epochs=25, learning_rate=3e-3), rule={"update": "exact"})
    assert epochs[-1].metrics("valid")["accuracy"] > 0.45
    assert set(epochs[-1].probes) == set(toy_classes.modalities)


def test_alpha_is_watched(toy):
    model = build(toy, rule={"rate": 0.01}, method="awf")
    (epoch,) = training(model, toy, Plan(epochs=1), watch=["fusion.attention.alpha"])
    alpha = epoch.watched["fusion.attention.alpha"]
    assert alpha.dims == ("batch", "modality")
    assert alpha.sizes == {"batch": 40, "modality": 3}
    assert not any(module._forward_hooks for module in model.modules())


def test_devices():
    assert resolve_device("cpu").type == "cpu"
    with pytest.raises(ConfigError, match='unknown device "gpu"'):
        resolve_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no device cuda:3"):
            resolve_device("cuda:3")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", ["lf_dnn", "lf_lstm", "awf"])
@pytest.mark.parametrize("update", ["first_order", "exact"])
def test_cuda_gives_the_cpu_s_numbers(toy, method, update):
    losses = {}
    for device in ("cpu", "cuda"):
        plan = Plan(epochs=3, device=device)
        losses[device] = [epoch.loss["valid"] for epoch in training(build(toy, {"update": update}, method), toy, plan)]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-3)


def test_epoch_seeds_do_not_repeat():
    seeds = {epoch_seed(seed, number) for seed in range(50) for number in range(1, 200)}
    assert len(seeds) == 50 * 199
