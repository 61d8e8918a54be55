"""One contract for every method (style.md, section 6): any modalities, any task, any balancing rule."""

from dataclasses import replace
from importlib import import_module

import pytest
import torch

from workbench import balance, methods
from workbench.data.batch import Batch, Column, Modality, ModalitySpec, TaskSpec
from workbench.data.views import View, apply
from workbench.errors import ConfigError, DataError
from workbench.fitting import fit
from workbench.plan import Plan, make_optimizer
from workbench.tasks import make_task
from workbench.training import TrainingState, learners, predict, training

SMALL = {"hidden_size": 8, "post_size": 5}
METHODS = sorted(methods.METHODS)
BY_TIME = ModalitySpec("sequence", 1, 2)
OVERFIT_EPOCHS = 150
SETS = {
    "two": {"sound": "sequence", "touch": "sequence"},
    "three": {"text": "tokens", "audio": "sequence", "vision": "vector"},
    "four": {"text": "tokens", "image": "image", "sound": "sequence", "vitals": "vector"},
}
"""Modalities of every kind, two to four of them."""


def build(name, data, *, rule="default", **config):
    """A small model with its rule, its memories begun on train."""
    model = methods.build(name, {**SMALL, **config}, data.spec, seed=1)
    model.balance = balance.build(methods.method(name).BALANCE if rule == "default" else rule, model.modalities)
    begin(model, data)
    return model


def begin(model, data):
    task = make_task(data.spec.task)
    for module in learners(model):
        module.begin(data["train"], task)


def loss_of(model, data, rows):
    """The whole loss of a training batch, as the trainer adds it up."""
    batch = data["train"].batch(rows)
    output = model(batch)
    return make_task(data.spec.task).loss(output.prediction, batch.target) + sum(model.terms(output, batch).values())


def lstm_parameters(size, hidden):
    return 4 * hidden * (size + hidden) + 8 * hidden


def linear(inputs, outputs):
    return inputs * outputs + outputs


def network(inputs, inner, outputs):
    """Two linear layers."""
    return linear(inputs, inner) + linear(inner, outputs)


TOY = (12, 8, 6)
PROJECTED = sum(linear(size, 8) for size in TOY)
MEMORIES = PROJECTED + 3 * lstm_parameters(8, 8)
SUBNETWORKS = 4 * 8 * (12 + 8) + 8 * 8 + sum(linear(size, 8) + 2 * linear(8, 8) for size in TOY[1:]) + 3 * linear(8, 8)
UTTERANCES = sum(lstm_parameters(size, 8) + linear(8, 8) for size in TOY)
VECTORS = PROJECTED + 3 * linear(8, 8)


def transformer(width, layers):
    """Four maps d x d (keys without bias), a feed-forward network d -> 4 d -> d and two norms a layer; a norm at the end."""
    return layers * (4 * width**2 + 3 * width + network(width, 4 * width, width) + 4 * width) + 2 * width


def post(width):
    return network(width, 5, 1)


OTHERS = 2 * 8 + 2
"""What a generator is told: the other two vectors, and which of them are there."""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # three linear layers into d, three projections d x d, post (3d -> p), head (p -> 1), biases included
        ("lf_dnn", sum(size * 8 + 8 for size in (12, 8, 6)) + 3 * (64 + 8) + (24 * 5 + 5) + 6),
        ("lf_lstm", sum(lstm_parameters(size, 8) for size in (12, 8, 6)) + 3 * (64 + 8) + (24 * 5 + 5) + 6),
        # three means or an LSTM, the table of all products with ones (9^3), post layers
        ("tfn", SUBNETWORKS + (9**3 * 5 + 5) + linear(5, 5) + linear(5, 1)),
        # rank 4 factors of each modality (d + 1 by p), their weights and bias
        ("lmf", SUBNETWORKS + 5 * 4 * 3 * 9 + 4 + 5 + linear(5, 1)),
        # projections, an LSTM of two layers over all of them side by side
        ("ef_lstm", PROJECTED + (4 * 8 * 32 + 64) + (4 * 8 * 16 + 64) + network(8, 5, 1)),
        # a projection and an LSTM a modality, the delta-memory attention, the candidate, two gates, post layers
        ("mfn", MEMORIES + network(48, 32, 48) + 3 * network(48, 64, 128) + network(152, 5, 1)),
        # the same with a graph of 7 vertices and 19 edges in the attention's place
        (
            "graph_mfn",
            MEMORIES
            + 3 * linear(16, 64)
            + 3 * network(128, 32, 64)
            + network(384, 32, 64)
            + network(448, 32, 64)
            + network(192, 32, 19)
            + network(64, 32, 128)
            + 2 * network(64, 64, 128)
            + network(152, 5, 1),
        ),
        # two bidirectional layers and a projection a modality; 3 private, 1 shared, 1 decoder; attention over 6 vectors (keys have no bias)
        (
            "misa",
            sum(2 * lstm_parameters(size, 8) + 2 * lstm_parameters(16, 8) + linear(16, 8) for size in TOY)
            + 5 * linear(8, 8)
            + (4 * 64 + 3 * 8 + 4 * 8 + network(8, 32, 8))
            + network(48, 5, 1),
        ),
        # three unimodal tasks of width 32
        ("self_mm", UTTERANCES + network(24, 5, 1) + 3 * network(8, 32, 1)),
        # a prediction of each modality from the fused vector, and mean and variance of two modalities from text
        ("mmim", UTTERANCES + linear(24, 5) + linear(5, 5) + linear(5, 1) + 3 * linear(5, 8) + 2 * 2 * 2 * linear(8, 8)),
        # six crossmodal streams of two layers, three memories of twice the width, a residual block
        ("mult", sum(TOY) * 8 * 3 + 6 * transformer(8, 2) + 3 * transformer(16, 2) + network(48, 5, 48) + linear(48, 1)),
        # two gates over [other, text], two maps of the others without bias, a bias and a norm, one transformer over the words
        ("mag_bert", PROJECTED + 2 * (16 * 8 + 8 + 64) + 8 + 16 + transformer(8, 2) + post(8)),
        # a transformer a modality; six between pairs; one over all tokens with an embedding of each modality
        ("attention.intra", PROJECTED + 3 * transformer(8, 1) + post(24)),
        ("attention.cross", PROJECTED + 6 * transformer(8, 1) + post(48)),
        ("attention.transformer", PROJECTED + transformer(8, 1) + 24 + post(8)),
        # messages of modalities; of samples; attention over pairs, then their fusion
        ("graph.modalities", VECTORS + linear(8, 8) + post(24)),
        ("graph.samples", VECTORS + linear(24, 8) + post(8)),
        ("graph.fused", VECTORS + linear(16, 8) + 2 * 64 + linear(8, 8) + 8 + linear(8, 8) + post(48)),
        # posterior, prior and decoder of each modality, 16 latent numbers; or a predictor that sees the step as 16 numbers.
        # The post layers see what is there.
        (
            "generative.cvae",
            VECTORS + 3 * (network(8 + OTHERS, 64, 32) + network(OTHERS, 64, 32) + network(16 + OTHERS, 64, 8)) + post(27),
        ),
        ("generative.diffusion", VECTORS + 3 * (linear(8 + 16 + OTHERS, 64) + network(64, 64, 8)) + post(27)),
        # a transformer for text, convolution and BiLSTM for the others; self-attention and alpha a modality, time maps for all but text, two gates,
        # the attention's four maps, the graph's one, two norms; post layers over both views
        (
            "mldfa",
            (linear(12, 8) + transformer(8, 2) + sum(size * 8 * 3 + 8 + 2 * lstm_parameters(8, 4) for size in TOY[1:]) + 3 * linear(8, 8))
            + (3 * (4 * 64 + 3 * 8 + 1) + 2 * 3 * 64 + 2 * linear(8, 8) + 4 * 64 + 64 + 2 * 48)
            + post(48),
        ),
        # an LSTM and a convolution a modality; three layers for each of two others: GRUs of half the width, one attention and two, gates, screening,
        # norms, feed-forward; F_m and two tasks
        (
            "mmiln",
            sum(lstm_parameters(size, 8) for size in TOY)
            + 3 * 8 * 8 * 3
            + 3 * 2 * (2 * (2 * (3 * 4 * (8 + 4) + 2 * 3 * 4) + 2 * 64 + 4 * 8 + network(8, 32, 8)) + 3 * (4 * 64 + 3 * 8) + 64)
            + network(16, 5, 1)
            + 2 * network(8, 32, 1),
        ),
        # LF-LSTM, two 3 x 3 matrices of A-fusion, three weights of B-fusion
        ("awf", sum(lstm_parameters(size, 8) for size in (12, 8, 6)) + 3 * (64 + 8) + (24 * 5 + 5) + 6 + 18 + 3),
    ],
)
def test_parameter_count(toy, name, expected):
    assert sum(p.numel() for p in build(name, toy).parameters()) == expected


@pytest.mark.parametrize("task", ["regression", "multiclass", "multilabel"])
@pytest.mark.parametrize("kinds", SETS)
@pytest.mark.parametrize("name", METHODS)
def test_every_parameter_is_in_one_group_and_has_a_gradient(mixed_maker, name, kinds, task):
    data = mixed_maker(SETS[kinds], task=task)
    model = build(name, data).train()
    optimizer = make_optimizer(model, Plan())
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    own = {id(p) for p in model.balance.parameters()}
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in model.parameters()} - own
    # Three epochs: what learns from memories of the first one (labels made in the second) has its gradient in the third.
    for number in (1, 2, 3):
        for module in learners(model):
            module.begin_epoch(number)
        for rows in torch.arange(48).split(24):
            loss_of(model, data, rows).backward()
    # The recurrent weights of an LSTM over one step multiply a state of zeros.
    idle = {key for key, _ in model.named_parameters() if "weight_hh" in key and data.spec.modalities.get(key.split(".")[1], BY_TIME).length == 1}
    without = [key for key, p in model.named_parameters() if id(p) not in own and (p.grad is None or not p.grad.abs().sum() > 0)]
    assert set(without) - idle == set()


@pytest.mark.parametrize("name", METHODS)
def test_reload_gives_equal_output(toy, name):
    model, other = build(name, toy), methods.build(name, SMALL, toy.spec, seed=99)
    other.balance = balance.build(methods.method(name).BALANCE, other.modalities)
    other.load_state_dict(model.state_dict())
    batch = toy["valid"].batch(torch.arange(10))
    assert torch.equal(model.eval()(batch).prediction, other.eval()(batch).prediction)


def padded(modality: Modality) -> Modality:
    """Seven more steps, full of numbers that mean nothing; images and vectors have no time."""
    if modality.values.dim() == 4 or modality.mask.shape[1] == 1:
        return modality
    pad, is_ids = torch.nn.functional.pad, not modality.values.is_floating_point()
    values = pad(modality.values, (0, 7), value=3) if is_ids else pad(modality.values, (0, 0, 0, 7), value=123.0)
    return Modality(values, pad(modality.mask, (0, 7)), modality.has_gaps)


@pytest.mark.parametrize("kinds", ["toy", *SETS])
@pytest.mark.parametrize("name", METHODS)
def test_padding_order_and_batch_mates_do_not_matter(toy, mixed_maker, name, kinds):
    data = toy if kinds == "toy" else mixed_maker(SETS[kinds])
    model = build(name, data).double().eval()
    split = data["valid"]
    together = model(split.batch(torch.arange(12))).prediction
    assert together.std() > 0
    alone = torch.cat([model(split.batch(torch.tensor([i]))).prediction for i in range(12)])
    torch.testing.assert_close(together, alone, atol=1e-10, rtol=0)
    batch = split.batch(torch.arange(12))
    shuffled = Batch({key: batch.modalities[key] for key in reversed(batch.modalities)}, batch.target, batch.index)
    assert torch.equal(model(shuffled).prediction, together)
    longer = Batch({key: padded(m) for key, m in batch.modalities.items()}, batch.target, batch.index)
    torch.testing.assert_close(model(longer).prediction, together, atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", METHODS)
def test_forward_sees_no_label_and_evaluation_changes_nothing(toy, name):
    model = build(name, toy, dropout=0.5).eval()
    batch = toy["train"].batch(torch.arange(16))
    state = {key: value.clone() for key, value in model.state_dict().items()}
    first = model(batch)
    other = model(Batch(batch.modalities, -batch.target, batch.index))
    assert torch.equal(first.prediction, other.prediction)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert sorted(first.representations) == sorted(toy.modalities)
    assert all(value.shape[0] == 16 and value.dim() == 2 for value in first.representations.values())


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
    try:
        single = build(name, alone)
    except ConfigError as error:
        assert "two modalities" in str(error)  # noqa: PT017 - either is right, and nothing else is
        return
    assert single.modalities == ("audio",)
    assert single(alone["valid"].batch(torch.arange(3))).prediction.shape == (3, 4)


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_of_one_can_be_learned_from(mixed_maker, name):
    data = mixed_maker()
    model = build(name, data).train()
    loss = loss_of(model, data, torch.tensor([5]))
    loss.backward()
    assert bool(loss.isfinite())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


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
def test_samples_that_lack_modalities_are_learned_from(mixed_maker, name):
    data = apply(View(drop={"image": 0.5, "sound": 0.5, "text": 0.5, "vitals": 0.5}, drop_in=("train", "valid")), mixed_maker())
    model = build(name, data).train()
    for rows in (torch.arange(48), torch.arange(3)):
        loss = loss_of(model, data, rows)
        loss.backward()
        assert bool(loss.isfinite())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", METHODS)
def test_sixteen_examples_overfit(toy_maker, name):
    data = toy_maker(train=16)
    model = methods.build(name, {"hidden_size": 32, "post_size": 32}, data.spec, seed=0)
    plan = Plan(epochs=OVERFIT_EPOCHS, patience=1000, learning_rate=1e-2, batch_size=16, probe_every=0, is_traced=False, loss="mse", clip_norm=1.0)
    for epoch in training(model, data, plan, state=TrainingState.start(model, plan)):
        last = epoch.loss["train"]
        if last < 0.05:
            break
    assert last < 0.05
    assert predict(model, data["train"], plan).prediction.shape == (16,)


@pytest.mark.parametrize("update", ["first_order", "exact"])
@pytest.mark.parametrize("name", METHODS)
def test_every_rule_works_on_it(toy_maker, name, update):
    data = toy_maker(train=64)
    model = build(name, data, rule=None)
    model.balance = balance.build("b_fusion", model.modalities, {"update": update, "rate": 1e-2, "warmup_epochs": 0})
    plan = Plan(epochs=4, learning_rate=5e-3, batch_size=16, probe_every=0)
    epochs = list(training(model, data, plan))
    weights = torch.cat([epoch.steps[:, 3] for epoch in epochs])
    assert bool(weights.isfinite().all())
    assert (weights[-1] - 1).abs().max() > 0.02
    assert epochs[-1].loss["train"] < epochs[0].loss["train"]
    assert all(bool((epoch.steps[:, :3] > 0).all()) for epoch in epochs)


@pytest.mark.parametrize("name", METHODS)
def test_trainings_repeat_and_resume(toy, name, tmp_path):
    """Broken off after the second of four epochs and resumed: bitwise the unbroken training, memories and rule included."""
    settings = {"config": {**SMALL, "dropout": 0.1}, "plan": {"epochs": 4, "batch_size": 48, "probe_every": 0}, "balance": "b_fusion"}

    def stop(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    def losses(run):
        return run.trace["history"]["score"].sel(metric="loss").values.tolist()

    unbroken = fit(name, toy, runs=tmp_path / "unbroken", **settings)
    with pytest.raises(KeyboardInterrupt):
        fit(name, toy, runs=tmp_path / "broken", on_epoch=stop, checkpoint_seconds=0, **settings)
    resumed = fit(name, toy, runs=tmp_path / "broken", resume=True, **settings)
    assert losses(resumed) == losses(unbroken)
    assert resumed.metrics["test"] == unbroken.metrics["test"]


def test_unknown_method_and_settings_name_the_near_ones(toy):
    with pytest.raises(ConfigError, match=r'unknown method "lf-dn"\. Did you mean lf_dnn'):
        methods.build("lf-dn", {}, toy.spec)
    with pytest.raises(ConfigError, match='no setting "hiden_size". Did you mean hidden_size'):
        methods.build("lf_dnn", {"hiden_size": 3}, toy.spec)
    with pytest.raises(ConfigError, match="dropout=2"):
        methods.build("lf_dnn", {"dropout": 2}, toy.spec)


@pytest.mark.parametrize("name", ["values", "a.b", "", "forward", "half"])
def test_a_modality_that_pytorch_cannot_name_is_refused(toy, name):
    spec = replace(toy.spec, modalities={name: toy.spec.modalities["audio"], "text": toy.spec.modalities["text"]})
    with pytest.raises(ConfigError, match=r'cannot be called "\S+": PyTorch|a modality has no name'):
        methods.build("lf_dnn", {}, spec)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_a_task_of_one_class_is_refused(toy, kind):
    with pytest.raises(ConfigError, match="the task has 1 class: only"):
        methods.build("lf_dnn", {}, replace(toy.spec, task=TaskSpec(kind, classes=("only",))))


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_is_described_and_every_preset_is_valid(name):
    module = methods.method(name)
    assert module.family in methods.FAMILIES
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


@pytest.mark.parametrize("name", methods.PAPERS)
def test_every_paper_is_named_with_its_source(name):
    text = import_module(methods.METHODS[name]).__doc__
    assert "Source: " in text
    assert any(f"{year}" in text for year in range(2015, 2027))


def test_first_weights_depend_on_the_seed_only(toy):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build("lf_dnn", toy).head[0].weight
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, build("lf_dnn", toy).head[0].weight)
    assert not torch.equal(first, methods.build("lf_dnn", SMALL, toy.spec, seed=2).head[0].weight)
