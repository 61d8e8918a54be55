"""One contract for every method (style.md, section 6)."""

from dataclasses import replace

import pytest
import torch

from workbench import balance, methods
from workbench.data.batch import Batch, Column, Modality
from workbench.data.views import View, apply
from workbench.errors import ConfigError, DataError
from workbench.fitting import fit
from workbench.plan import Plan, make_optimizer
from workbench.training import TrainingState, predict, training

SMALL = {"hidden_size": 6, "post_size": 5}
METHODS = sorted(methods.METHODS)


def build(name, data, **config):
    model = methods.build(name, {**SMALL, **config}, data.spec, seed=1)
    model.balance = balance.build(methods.method(name).BALANCE, model.modalities)
    return model


def lstm_parameters(size, hidden):
    return 4 * hidden * (size + hidden) + 8 * hidden


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # three linear layers into d, three projections d x d, post (3d -> p), head (p -> 1), biases included
        ("lf_dnn", sum(size * 6 + 6 for size in (12, 8, 6)) + 3 * (36 + 6) + (18 * 5 + 5) + 6),
        ("lf_lstm", sum(lstm_parameters(size, 6) for size in (12, 8, 6)) + 3 * (36 + 6) + (18 * 5 + 5) + 6),
        # LF-LSTM, two 3 x 3 matrices of A-fusion, three weights of B-fusion
        ("awf", sum(lstm_parameters(size, 6) for size in (12, 8, 6)) + 3 * (36 + 6) + (18 * 5 + 5) + 6 + 18 + 3),
    ],
)
def test_parameter_count(toy, name, expected):
    assert sum(p.numel() for p in build(name, toy).parameters()) == expected


@pytest.mark.parametrize("name", METHODS)
def test_every_parameter_is_in_one_group_and_has_a_gradient(toy, name):
    model = build(name, toy)
    optimizer = make_optimizer(model, Plan())
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    own = {id(p) for p in model.balance.parameters()}
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in model.parameters()} - own
    batch = toy["train"].batch(torch.arange(32))
    model(batch).prediction.square().sum().backward()
    without = [key for key, p in model.named_parameters() if id(p) not in own and (p.grad is None or not p.grad.abs().sum() > 0)]
    assert without == []


@pytest.mark.parametrize("name", METHODS)
def test_reload_gives_equal_output(toy, name):
    model, other = build(name, toy), methods.build(name, SMALL, toy.spec, seed=99)
    other.balance = balance.build(methods.method(name).BALANCE, other.modalities)
    other.load_state_dict(model.state_dict())
    batch = toy["valid"].batch(torch.arange(10))
    assert torch.equal(model.eval()(batch).prediction, other.eval()(batch).prediction)


@pytest.mark.parametrize("name", METHODS)
def test_padding_order_and_batch_mates_do_not_matter(toy, name):
    model = build(name, toy).double().eval()
    split = toy["valid"]
    together = model(split.batch(torch.arange(12))).prediction
    alone = torch.cat([model(split.batch(torch.tensor([i]))).prediction for i in range(12)])
    torch.testing.assert_close(together, alone, atol=1e-10, rtol=0)
    batch = split.batch(torch.arange(12))
    shuffled = Batch({key: batch.modalities[key] for key in reversed(batch.modalities)}, batch.target, batch.index)
    assert torch.equal(model(shuffled).prediction, together)
    padded = {
        key: Modality(torch.nn.functional.pad(m.values, (0, 0, 0, 7), value=123.0), torch.nn.functional.pad(m.mask, (0, 7)))
        for key, m in batch.modalities.items()
    }
    torch.testing.assert_close(model(Batch(padded, batch.target, batch.index)).prediction, together, atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", METHODS)
def test_a_missing_modality_is_named(toy, name):
    batch = toy["valid"].batch(torch.arange(4))
    less = Batch({key: batch.modalities[key] for key in ("text", "vision")}, batch.target, batch.index)
    with pytest.raises(DataError, match='no modality "audio"'):
        build(name, toy)(less)


@pytest.mark.parametrize("name", METHODS)
def test_classes_and_single_modality(toy_classes, name):
    model = build(name, toy_classes)
    assert model(toy_classes["valid"].batch(torch.tensor([0]))).prediction.shape == (1, 4)
    alone = toy_classes.select("audio")
    single = build(name, alone)
    assert single.modalities == ("audio",)
    assert single(alone["valid"].batch(torch.arange(3))).prediction.shape == (3, 4)


@pytest.mark.parametrize("name", METHODS)
def test_labels_are_learned_and_kept(toy_labels, name, tmp_path):
    run = fit(name, toy_labels, config=SMALL, balance="b_fusion", plan={"epochs": 3, "probe_every": 1}, runs=tmp_path)
    assert {"f1_micro", "map", "accuracy_label 1"} <= set(run.metrics["test"])
    assert run.config["headline"] == "f1_micro"
    said = run.trace["predictions/test"]
    assert said["prediction"].dims == ("sample", "label")
    assert said["label"].values.tolist() == list(toy_labels.spec.task.classes)
    assert 0 <= float(said["prediction"].min()) < float(said["prediction"].max()) <= 1
    assert said["target"].values.tolist() == toy_labels["test"].target.tolist()
    assert run.spec == toy_labels.spec


@pytest.mark.parametrize("name", METHODS)
def test_missing_modalities_and_frames_give_finite_answers_that_do_not_look_behind_the_mask(toy, name):
    model = build(name, toy).double().eval()
    seen = apply(View(drop={"audio": 0.5}, drop_frames={"text": 0.5}), toy)["valid"]
    column = seen.columns["audio"]
    hidden = Column(torch.where(column.present[:, None], column.values, 99.0), column.offsets, column.present)
    other = replace(seen, columns={**seen.columns, "audio": hidden})
    said = model(seen.batch(torch.arange(20))).prediction
    assert bool(said.isfinite().all())
    assert torch.equal(said, model(other.batch(torch.arange(20))).prediction)
    assert not torch.allclose(said, model(toy["valid"].batch(torch.arange(20))).prediction)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("rule", [None, "first_order", "exact"])
def test_sixteen_examples_overfit_with_every_rule(toy_maker, name, rule):
    data = toy_maker(train=16)
    model = methods.build(name, {"hidden_size": 32, "post_size": 32}, data.spec, seed=0)
    model.balance = balance.build("b_fusion" if rule else None, model.modalities, {"update": rule, "rate": 1e-3} if rule else None)
    plan = Plan(epochs=150, patience=1000, learning_rate=1e-2, batch_size=16, probe_every=0, is_traced=False, loss="mse")
    state = TrainingState.start(model, plan)
    for epoch in training(model, data, plan, state=state):
        last = epoch.loss["train"]
    assert last < 0.05
    assert predict(model, data["train"], plan).prediction.shape == (16,)


def test_unknown_method_and_settings_name_the_near_ones(toy):
    with pytest.raises(ConfigError, match=r'unknown method "lf-dn"\. Did you mean lf_dnn'):
        methods.build("lf-dn", {}, toy.spec)
    with pytest.raises(ConfigError, match='no setting "hiden_size". Did you mean hidden_size'):
        methods.build("lf_dnn", {"hiden_size": 3}, toy.spec)
    with pytest.raises(ConfigError, match="dropout=2"):
        methods.build("lf_dnn", {"dropout": 2}, toy.spec)


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_is_described_and_every_preset_is_valid(name):
    module = methods.method(name)
    assert all(field.description for field in module.Config.model_fields.values())
    assert methods.reference(name).endswith(".")
    for preset in module.PRESETS.values():
        methods.checked(module.Config, preset.config, owner=name)
        methods.checked(Plan, preset.plan, owner="plan")
        assert preset.source


def test_presets_of_table_2():
    preset = methods.preset_for("awf", "mosi_utterance")
    assert preset.config == {"hidden_size": 256, "post_size": 128, "dropout": 0.0}
    assert (preset.plan["batch_size"], preset.plan["learning_rate"], preset.plan["epochs"], preset.plan["patience"]) == (64, 1e-4, 50, 20)
    assert methods.preset_for("awf", "opinions/starved") is None


def test_first_weights_depend_on_the_seed_only(toy):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build("lf_dnn", toy).head[0].weight
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, build("lf_dnn", toy).head[0].weight)
    assert not torch.equal(first, methods.build("lf_dnn", SMALL, toy.spec, seed=2).head[0].weight)
