"""MAG-BERT: the gate against its naive transcription, and a pretrained model split around it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from reference import mag_bert as reference

from workbench import balance, methods
from workbench.attention import Transformer
from workbench.data.batch import Dataset
from workbench.data.views import View, apply
from workbench.errors import ConfigError
from workbench.fitting import fit
from workbench.fusion.adaptation_gate import AdaptationGate
from workbench.methods.mag_bert import PretrainedEmbeddings, PretrainedLayers
from workbench.plan import Plan, make_optimizer
from workbench.taps import record
from workbench.tasks import make_task
from workbench.text import load_text_model, prepare_text
from workbench.training import predict, training

SENTENCES = ("a fine film", "the plot is a mess but the film is fine", "mess", "fine fine fine")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "fine", "film", "the", "plot", "is", "mess", "but"]


@pytest.mark.parametrize("beta", [0.1, 1.0, 50.0])
@pytest.mark.parametrize("names", [("audio",), ("audio", "vision"), ("audio", "vision", "pulse")])
def test_the_gate_meets_the_transcription(names, beta):
    torch.manual_seed(0)
    sizes = {name: 3 + i for i, name in enumerate(names)}
    gate = AdaptationGate(6, sizes, centre="text", beta=beta).double()
    with torch.no_grad():
        gate.bias.copy_(torch.randn(6))
    centre, mask = torch.randn(4, 5, 6, dtype=torch.float64), torch.ones(4, 5, dtype=torch.bool)
    mask[2, 3:] = False
    others = {name: torch.randn(4, 5, size, dtype=torch.float64) for name, size in sizes.items()}
    with record(gate, "*") as trace:
        moved = gate(centre, others, mask)
    weights = {name: value.numpy() for name, value in gate.state_dict().items()}
    told = trace.dataset()
    for i in range(4):
        expected, alpha, means = reference.eq4_shifted(centre[i].numpy(), {name: v[i].numpy() for name, v in others.items()}, weights, beta=beta)
        np.testing.assert_allclose(moved[i].detach().numpy(), expected, atol=1e-10)
        np.testing.assert_allclose(told["alpha"].values[i], alpha, atol=1e-6)
        np.testing.assert_allclose(told["step_gate"].values[i], means, atol=1e-6)
        np.testing.assert_allclose(told["gate"].values[i], means[mask[i].numpy()].mean(0), atol=1e-6)
        np.testing.assert_allclose(told["moved"].values[i], np.linalg.norm(expected - centre[i].numpy(), axis=1), atol=1e-6)
    assert told["gate"].dims == ("batch", "modality")
    # no step is moved further than beta times its own length
    assert bool(((moved - centre).norm(dim=-1) <= beta * centre.norm(dim=-1) + 1e-9).all())


def test_the_gate_at_zero_has_finite_first_and_second_derivatives():
    gate = AdaptationGate(4, {"audio": 3}, centre="text", beta=1.0)
    centre, audio = torch.zeros(1, 2, 4, requires_grad=True), torch.zeros(1, 2, 3, requires_grad=True)
    moved = gate(centre, {"audio": audio}, torch.ones(1, 2, dtype=torch.bool))
    assert torch.equal(moved, torch.zeros_like(moved))
    slope = torch.autograd.grad(moved.square().sum() + moved.sum(), (centre, audio, *gate.parameters()), create_graph=True)
    assert all(bool(value.isfinite().all()) for value in slope)
    again = torch.autograd.grad(sum(value.square().sum() for value in slope), (centre, audio), allow_unused=True)
    assert all(value is None or bool(value.isfinite().all()) for value in again)


def test_parameters_by_the_paper(toy):
    """Gate: for each other modality (2 d) d + d and d^2, and a bias d; LN 2 d. Beside it projections, two layers of language model, post, output."""
    model = methods.build("mag_bert", {"hidden_size": 8, "post_size": 5}, toy.spec)
    gate = 2 * (16 * 8 + 8 + 64) + 8 + 16
    reader = 2 * (12 * 64 + 12 * 8) + 16
    expected = sum(size * 8 + 8 for size in (12, 8, 6)) + gate + reader + (8 * 5 + 5) + 6
    assert sum(p.numel() for p in model.parameters()) == expected
    assert isinstance(model.fusion.language_model, Transformer)


def test_the_centre_is_text_or_the_first_sequence(toy, mixed_maker):
    assert methods.build("mag_bert", {}, toy.spec).fusion.centre == "text"
    assert methods.build("mag_bert", {}, toy.select("audio", "vision").spec).fusion.centre == "audio"
    data = mixed_maker({"picture": "image", "pulse": "vector"})
    assert methods.build("mag_bert", {}, data.spec).fusion.centre == "picture"
    with pytest.raises(ConfigError, match="mag_bert needs two modalities"):
        methods.build("mag_bert", {}, toy.select("text").spec)


def test_words_are_moved_and_not_replaced(toy):
    """A sample without the others is read as it is but for the gate's bias (zero at first); one without the centre has nothing to be moved."""
    model = methods.build("mag_bert", {"hidden_size": 8}, toy.spec).double().eval()
    alone = apply(View(drop={"audio": 1.0, "vision": 1.0}), toy)["valid"].batch(torch.arange(4))
    with record(model, "fusion.gate.*") as trace:
        model(alone)
    assert float(trace.dataset()["fusion.gate.moved"].max()) < 1e-5
    without = apply(View(drop={"text": 1.0}), toy)["valid"].batch(torch.arange(4))
    assert model(without).fused.abs().max() == 0


@pytest.mark.parametrize("dataset", ["mosi_mmsa", "mosei_mmsa", "sims"])
def test_presets_fine_tune_a_pretrained_text_at_the_rates_that_are_for_it(toy, dataset):
    preset = methods.preset_for("mag_bert", dataset)
    config = methods.checked(methods.method("mag_bert").Config, preset.config, owner="mag_bert")
    assert config.text == "fine_tuned"
    assert config.text_model == ("bert-base-chinese" if dataset == "sims" else "minilm")
    assert preset.plan["text_learning_rate"] <= 5e-5
    assert methods.build("mag_bert", {**preset.config, "text": "embedding"}, toy.spec).fusion.centre == "text"


# Split around a pretrained model


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """A BERT of width 16, two layers and 13 words, in a local folder."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 128}
    transformers.BertModel(transformers.BertConfig(vocab_size=len(WORDS), **sizes)).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def spoken(toy: Dataset) -> Dataset:
    """The toy data with sentences."""
    return replace(toy, splits={name: replace(split, texts=[SENTENCES[i % 4] for i in range(len(split))]) for name, split in toy.splits.items()})


@pytest.fixture
def data(spoken: Dataset, tiny: str) -> Dataset:
    """The toy data with the tiny model's tokens."""
    return prepare_text(spoken, text="fine_tuned", text_model=tiny)


def test_both_halves_together_are_the_pretrained_model(data, tiny):
    model = methods.build("mag_bert", {"hidden_size": 8}, data.spec).double().eval()
    batch = data["valid"].batch(torch.arange(6))["text"]
    embedded = model.projections["text"](model.encoders["text"](batch).values)
    states = model.fusion.language_model(embedded, batch.mask)
    whole = load_text_model(tiny).double().eval()
    expected = whole(input_ids=batch.values, attention_mask=batch.mask.long()).last_hidden_state
    torch.testing.assert_close(states[batch.mask], expected[batch.mask], atol=1e-10, rtol=0)


def test_every_pretrained_parameter_is_trained_once_at_its_own_rate(data, tiny):
    model = methods.build("mag_bert", {"hidden_size": 8, "pooling": "cls"}, data.spec)
    optimizer = make_optimizer(model, Plan(text_learning_rate=7e-5))
    grouped = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(grouped) == len(list(model.parameters())) == sum(len(group["params"]) for group in optimizer.param_groups)
    halves = [module for module in model.modules() if isinstance(module, PretrainedEmbeddings | PretrainedLayers)]
    pretrained = {id(p) for module in halves for p in module.parameters()}
    assert sum(p.numel() for p in model.parameters() if id(p) in pretrained) == sum(p.numel() for p in load_text_model(tiny).parameters())
    assert {id(p) for p in model.parameters() if grouped[id(p)] == 7e-5} == pretrained
    model(data["train"].batch(torch.arange(16))).prediction.square().sum().backward()
    # a key's bias in the pretrained attention cannot matter; every other parameter does
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert [name for name in without if not name.endswith("key.bias")] == []


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_sentences_answer_does_not_depend_on_its_batch(data, pooling):
    model = methods.build("mag_bert", {"hidden_size": 8, "pooling": pooling}, data.spec).double().eval()
    together = model(data["valid"].batch(torch.arange(8))).prediction
    alone = torch.cat([model(data["valid"].batch(torch.tensor([i]))).prediction for i in range(8)])
    torch.testing.assert_close(together, alone, atol=1e-10, rtol=0)
    lost = apply(View(drop={"text": 0.5}), data)["valid"].batch(torch.arange(8))
    loss = model.train()(lost).prediction.square().sum()
    loss.backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_it_is_trained_with_exact_b_fusion(data):
    model = methods.build("mag_bert", {"hidden_size": 8}, data.spec)
    model.balance = balance.build("b_fusion", model.modalities, {"update": "exact", "rate": 0.05})
    epochs = list(training(model, data, Plan(epochs=2, batch_size=32, probe_every=0)))
    assert (model.balance.weight - 1).abs().min() > 0.01
    assert all(bool(epoch.steps.isfinite().all()) for epoch in epochs)
    assert predict(model, data["valid"], Plan()).prediction.isfinite().all()
    assert make_task(data.spec.task).headline in epochs[-1].metrics("valid")


def test_a_run_from_sentences(spoken, tiny, tmp_path):
    config = {"text": "fine_tuned", "text_model": tiny, "hidden_size": 8, "post_size": 8}
    run = fit("mag_bert", spoken, config=config, plan={"epochs": 2, "text_learning_rate": 1e-2, "device": "cpu"}, runs=tmp_path / "runs")
    before, after = load_text_model(tiny).state_dict(), run.model().state_dict()
    for theirs, ours in (("embeddings", "encoders.text.embeddings"), ("encoder", "fusion.language_model.encoder")):
        names = [name for name in before if name.startswith(f"{theirs}.") and name.endswith("weight")]
        assert names and all(not torch.equal(before[name], after[ours + name[len(theirs) :]]) for name in names if "position" not in name)


def test_a_model_that_is_not_built_so_is_refused(data, tmp_path, spoken):
    transformers = pytest.importorskip("transformers")
    folder = str(tmp_path / "other")
    sizes = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16}
    transformers.DistilBertModel(transformers.DistilBertConfig(vocab_size=len(WORDS), **sizes)).save_pretrained(folder)
    spec = replace(data.spec, modalities={**data.spec.modalities, "text": replace(data.spec.modalities["text"], text_model=folder)})
    with pytest.raises(ConfigError, match=r"cannot stand between embeddings and encoder[\s\S]*distilbert[\s\S]*minilm"):
        methods.build("mag_bert", {"hidden_size": 8}, spec)
