"""MFN against its naive transcription, and what its parts promise."""

import numpy as np
import pytest
import torch
from reference import mfn as reference

from workbench import methods
from workbench.data.batch import Modality
from workbench.errors import ConfigError
from workbench.fusion.context import Context
from workbench.taps import record

SETTINGS = {"hidden_size": 4, "memory_size": 5, "attention_size": 6, "candidate_size": 7, "retain_size": 3, "update_size": 8, "post_size": 2}


def arrays(module):
    return [p.detach().numpy() for p in module.parameters()]


def build(data, name="mfn", **settings):
    return methods.build(name, SETTINGS | settings, data.spec, seed=3).double().eval()


def random_input(model, masks, *, has_gaps=True):
    """z of every modality under these masks (zeros where nothing is real), and its context."""
    torch.manual_seed(0)
    width = model.head[0].in_features  # any number will do for what the encoder was given
    z = {name: torch.randn(*mask.shape, SETTINGS["hidden_size"], dtype=torch.float64) * mask[:, :, None] for name, mask in masks.items()}
    inputs = {name: Modality(torch.zeros(*mask.shape, width), mask, has_gaps) for name, mask in masks.items()}
    return z, Context(masks, inputs, torch.arange(len(next(iter(masks.values())))))


MASKS = {
    # a whole sample, a shorter one, one with a missing word, one without a first word
    "text": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 1, 1, 0], [0, 1, 1, 0, 0]]).bool(),
    "audio": torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 1, 1], [1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]]).bool(),
    "vision": torch.tensor([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 1, 1, 1, 0], [1, 1, 0, 0, 0]]).bool(),
}


def aligned(z, masks, *, row, by="text"):
    """A sample's sequences on the steps of one modality, by the transcription."""
    steps = int(masks[by][row].nonzero().max()) + 1
    return [reference.onto(z[name][row].numpy(), masks[name][row].tolist(), steps) for name in z]


def lstm_weights(model):
    return [arrays(lstm) for lstm in model.fusion.system.lstms.values()]


def memory_weights(model):
    memory = model.fusion.memory
    return arrays(memory.candidate), arrays(memory.retain), arrays(memory.update)


def test_fusion_meets_the_transcription(toy):
    model = build(toy)
    z, context = random_input(model, MASKS)
    with record(model, "*") as trace:
        fused, losses = model.fusion(z, z, context)
    seen = trace.dataset()
    attention = arrays(model.fusion.attention.network)
    for row in range(4):
        sequences = aligned(z, MASKS, row=row)
        found = reference.run(
            sequences, lstm_weights(model), lambda *window: reference.delta_memory_attention(*window, attention), *memory_weights(model)
        )
        np.testing.assert_allclose(fused[row].detach().numpy(), found["output"], atol=1e-10)
        steps = len(sequences[0])
        for tap, gate in (("gamma1", "gamma_1"), ("gamma2", "gamma_2")):
            shown = seen[f"fusion.memory.{tap}"].values[row]
            np.testing.assert_allclose(shown[:steps], found[gate], atol=1e-6)
            assert np.isnan(shown[steps:]).all()
        shares = found["seen"].reshape(steps, 2, 3, 4).sum(-1)
        np.testing.assert_allclose(seen["fusion.attention.attention"].values[row, :steps], shares, atol=1e-6)
        np.testing.assert_allclose(seen["fusion.attention.share"].values[row], shares.mean(0).sum(0), atol=1e-6)
    assert losses == {}
    assert seen["fusion.attention.attention"].coords["moment"].values.tolist() == ["previous", "current"]


def test_gradients_do_not_depend_on_who_looks(toy):
    model = build(toy)
    z, context = random_input(model, MASKS)
    plain = torch.autograd.grad(model.fusion(z, z, context)[0].sum(), list(model.fusion.parameters()))
    with record(model, "*"):
        seen = torch.autograd.grad(model.fusion(z, z, context)[0].sum(), list(model.fusion.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(plain, seen, strict=True))
    assert all(bool(gradient.isfinite().all()) for gradient in plain)


def test_a_sample_without_the_reference_keeps_the_steps_of_another_modality(toy):
    model = build(toy)
    masks = MASKS | {"text": MASKS["text"].clone()}
    masks["text"][1] = False
    z, context = random_input(model, masks)
    fused, _ = model.fusion(z, z, context)
    attention = arrays(model.fusion.attention.network)
    for row, by in ((0, "text"), (1, "audio")):
        found = reference.run(
            aligned(z, masks, row=row, by=by),
            lstm_weights(model),
            lambda *window: reference.delta_memory_attention(*window, attention),
            *memory_weights(model),
        )
        np.testing.assert_allclose(fused[row].detach().numpy(), found["output"], atol=1e-10)


def test_a_sample_without_anything_is_all_zeros(toy):
    model = build(toy)
    z, context = random_input(model, {name: torch.zeros_like(mask) for name, mask in MASKS.items()})
    with record(model, "*.share") as trace:
        fused, _ = model.fusion(z, z, context)
    assert fused.abs().sum() == 0
    assert (trace.dataset()["fusion.attention.share"].values == 0).all()


def test_shares_of_attention_add_up_to_one(toy):
    model = build(toy)
    with record(model, "*.share") as trace:
        model(toy["valid"].batch(torch.arange(8)))
    np.testing.assert_allclose(trace.dataset()["fusion.attention.share"].values.sum(1), 1, atol=1e-6)


def test_parameter_count_is_the_paper_s(toy):
    def network(size, hidden, outputs):
        return (size + 1) * hidden + (hidden + 1) * outputs

    projections = sum((size + 1) * 4 for size in (12, 8, 6))
    lstms = 3 * (4 * 4 * (4 + 4) + 8 * 4)
    window = 2 * 3 * 4
    nets = network(window, 6, window) + network(window, 7, 5) + network(window, 3, 5) + network(window, 8, 5)
    assert sum(p.numel() for p in build(toy).parameters()) == projections + lstms + nets + network(3 * 4 + 5, 2, 1)


def test_dropout_of_each_part_acts_in_training_only(toy):
    for part in ("attention", "candidate", "retain", "update"):
        model = build(toy, **{f"{part}_dropout": 0.5})
        batch = toy["valid"].batch(torch.arange(6))
        assert torch.equal(model(batch).prediction, model(batch).prediction)
        model.train()
        assert not torch.equal(model(batch).prediction, model(batch).prediction)


@pytest.mark.parametrize("name", ["mfn", "graph_mfn"])
def test_one_modality_is_refused(toy, name):
    with pytest.raises(ConfigError, match=f"{name} needs two modalities or more"):
        methods.build(name, {}, toy.select("text").spec)


def test_presets_are_mmsa_s():
    preset = methods.preset_for("mfn", "mosi_utterance")
    assert preset.config == {
        "hidden_size": 256, "memory_size": 400, "attention_size": 32, "attention_dropout": 0.2, "candidate_size": 64, "candidate_dropout": 0.0,
        "retain_size": 256, "retain_dropout": 0.7, "update_size": 32, "update_dropout": 0.5, "post_size": 128, "dropout": 0.0,
    }  # fmt: skip
    assert (preset.plan["batch_size"], preset.plan["learning_rate"], preset.plan["weight_decay"]) == (128, 2e-3, 0)
    preset = methods.preset_for("graph_mfn", "mosi")
    assert preset.config == {
        "hidden_size": 256, "memory_size": 300, "node_size": 64, "network_size": 32, "network_dropout": 0.0, "retain_size": 128,
        "retain_dropout": 0.5, "update_size": 64, "update_dropout": 0.5, "post_size": 256, "dropout": 0.0,
    }  # fmt: skip
