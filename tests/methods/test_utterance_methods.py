"""MISA, Self-MM and MMIM as whole models: utterance vectors, sizes by the papers' formulas, what balance and presets do to them."""

from dataclasses import replace

import pytest
import torch

from workbench import methods
from workbench.data.batch import ModalitySpec
from workbench.errors import ConfigError
from workbench.methods.utterance import UtteranceLSTM
from workbench.plan import Plan, make_optimizer, set_rates

D, POST, SIZES = 8, 5, (12, 8, 6)
SMALL = {"hidden_size": D, "post_size": POST}


def lstm(size, hidden):
    return 4 * hidden * (size + hidden) + 8 * hidden


def linear(size, output):
    return size * output + output


def count(model):
    return sum(p.numel() for p in model.parameters())


def test_misa_size(toy):
    """Two bidirectional layers and W_m a modality; E_c, M E_p, D; attention (keys without bias) and its norms; the head on 2M d numbers."""
    networks = sum(2 * lstm(size, D) + 2 * lstm(2 * D, D) + linear(2 * D, D) for size in SIZES)
    spaces = (1 + 3 + 1) * linear(D, D)
    layer = 4 * D * D + 3 * D + 4 * D + linear(D, 4 * D) + linear(4 * D, D)
    head = linear(6 * D, POST) + linear(POST, 1)
    assert count(methods.build("misa", SMALL, toy.spec)) == networks + spaces + layer + head


def test_self_mm_size(toy):
    """An LSTM and W_s a modality; W_l1 and W_l2; a post layer and a head for each unimodal task."""
    networks = sum(lstm(size, D) + linear(D, D) for size in SIZES)
    whole = linear(3 * D, POST) + linear(POST, 1)
    single = 3 * (linear(D, 4) + linear(4, 1))
    assert count(methods.build("self_mm", {**SMALL, "unimodal_size": 4}, toy.spec)) == networks + whole + single


def test_mmim_size(toy):
    """LSTM and W_m a modality; F of two layers and the head; a predictor a modality; q (two networks of two layers) for two pairs."""
    networks = sum(lstm(size, D) + linear(D, D) for size in SIZES)
    whole = linear(3 * D, POST) + linear(POST, POST) + linear(POST, 1)
    assert count(methods.build("mmim", SMALL, toy.spec)) == networks + whole + 3 * linear(POST, D) + 2 * 2 * 2 * linear(D, D)


@pytest.mark.parametrize("is_bidirectional", [False, True])
def test_utterance_vector_is_where_each_direction_ends(toy, is_bidirectional):
    torch.manual_seed(0)
    spec = toy.spec.modalities["audio"]
    encoder = UtteranceLSTM(spec, hidden_size=5, embedding_size=4, layers=2, is_bidirectional=is_bidirectional).double()
    split = toy["train"]
    together = encoder(split.batch(torch.arange(6))["audio"])
    assert together.shape == (6, 10 if is_bidirectional else 5)
    plain = torch.nn.LSTM(spec.size, 5, num_layers=2, batch_first=True, bidirectional=is_bidirectional).double()
    for layer in range(2):
        for source, ending in ((encoder.recurrent.forwards, ""), (encoder.recurrent.backwards, "_reverse")):
            for name, value in source[layer].named_parameters() if source is not None else ():
                getattr(plain, name.replace("_l0", f"_l{layer}{ending}")).data.copy_(value.data)
    for i in range(6):
        states = plain(split.columns["audio"][i].double()[None])[1][0]
        assert torch.allclose(together[i], torch.cat([*states[-1 - is_bidirectional :, 0]]), atol=1e-10)


@pytest.mark.parametrize("name", ["misa", "self_mm", "mmim"])
def test_one_modality_is_an_error(toy, name):
    with pytest.raises(ConfigError, match=f"{name} needs two modalities"):
        methods.build(name, SMALL, toy.select("audio").spec)


@pytest.mark.parametrize("dataset", ["mosi", "mosei", "sims"])
@pytest.mark.parametrize("name", ["misa", "self_mm", "mmim"])
def test_presets_fit_the_model_that_they_are_for(toy, name, dataset):
    """Every part that a preset's plan names is there, and has its rate."""
    preset = methods.preset_for(name, dataset)
    assert preset.config["text"] == "fine_tuned"
    config = {**preset.config, "text": "embedding"}
    model, plan = methods.build(name, config, toy.spec), Plan(**preset.plan)
    optimizer = make_optimizer(model, plan)
    set_rates(optimizer, plan)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    rate = {key: rates[id(p)] for key, p in model.named_parameters()}
    if name == "self_mm":
        assert rate["encoders.audio.recurrent.forwards.0.weight_ih_l0"] == 5e-3
        assert rate["encoders.vision.recurrent.forwards.0.weight_ih_l0"] == (1e-4 if dataset == "mosei" else 5e-3)
        assert rate["supervision.heads.audio.weight"] == rate["head.weight"] == rate["fusion.layers.1.0.weight"] == 1e-3
    else:
        assert set(rates.values()) == {1e-4 if name == "misa" else 1e-3}


@pytest.mark.parametrize("name", ["misa", "self_mm", "mmim"])
def test_means_over_time_in_place_of_lstms(toy, name):
    model = methods.build(name, {**SMALL, **methods.preset_for(name, "opinions/balanced").config}, toy.spec)
    assert {type(encoder).__name__ for encoder in model.encoders.values()} == {"MeanMLP"}
    assert not [key for key, _ in model.named_parameters() if "weight_hh" in key]


@pytest.mark.parametrize("name", ["self_mm", "mmim"])
def test_a_fine_tuned_text_keeps_its_width(toy, name):
    pytest.importorskip("transformers")
    tokens = ModalitySpec("tokens", 30522, 9, text_model="minilm")
    spec = replace(toy.spec, modalities={**toy.spec.modalities, "text": tokens})
    model = methods.build(name, SMALL, spec)
    assert [projection.out_features for projection in model.projections.values()] == [384, D, D]
