"""TFN and LMF, whole models, against their naive transcriptions; sizes by the papers' formulas."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from reference import ef_lstm as early
from reference import lmf, tfn

from workbench import methods
from workbench.errors import ConfigError
from workbench.model import FusionModel

SMALL = {"hidden_size": 8, "post_size": 5}


def weights(module):
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def representations(model: FusionModel, batch, n):
    """z of one sample: the language's LSTM at its last real step, three ReLU layers over the mean of the others; then W_i."""
    z = []
    for name in model.modalities:
        values, mask = batch[name].values[n].double().numpy(), batch[name].mask[n].numpy()
        if name == "text":
            lstm = weights(model.encoders[name].lstm)
            gates = (lstm["weight_ih_l0"], lstm["weight_hh_l0"], lstm["bias_ih_l0"], lstm["bias_hh_l0"])
            hidden = early.lstm(values[: mask.sum()], *gates)[-1]
        else:
            layers = [(w["0.weight"], w["0.bias"]) for w in map(weights, model.encoders[name].layers)]
            assert len(layers) == 3
            hidden = tfn.relu_layers(tfn.mean_over_time(values, mask), layers)
        last = weights(model.projections[name])
        z.append(last["weight"] @ hidden + last["bias"])
    return z


def test_tfn_meets_the_transcription(toy):
    model = methods.build("tfn", {**SMALL, "tensor_size": 3}, toy.spec, seed=0).double().eval()
    batch = toy["valid"].batch(torch.arange(6))
    output = model(batch)
    linear, head = weights(model.fusion.linear), weights(model.head)
    for n in range(6):
        h = tfn.layer_over_tensor(representations(model, batch, n), linear["weight"].reshape(5, 4, 4, 4), linear["bias"])
        np.testing.assert_allclose(output.fused[n].detach().numpy(), h, atol=1e-10)
        y = tfn.relu_layers(np.maximum(h, 0), [(head["1.weight"], head["1.bias"])])
        assert float(output.prediction[n].detach()) == pytest.approx(float((head["3.weight"] @ y + head["3.bias"])[0]), abs=1e-10)


def test_lmf_meets_the_transcription(toy):
    model = methods.build("lmf", {**SMALL, "rank": 3}, toy.spec, seed=0).double().eval()
    batch = toy["valid"].batch(torch.arange(6))
    output = model(batch)
    fusion, head = weights(model.fusion), weights(model.head)
    factors = [fusion[f"factors.{name}"] for name in model.modalities]
    for n in range(6):
        h = lmf.fused(representations(model, batch, n), factors, fusion["rank_weight"], fusion["bias"])
        np.testing.assert_allclose(output.fused[n].detach().numpy(), h, atol=1e-10)
        assert float(output.prediction[n].detach()) == pytest.approx(float((head["weight"] @ h + head["bias"])[0]), abs=1e-10)


def subnetworks(d, width):
    """Weights of toy's subnetworks: an LSTM of text (12 features), three layers of audio (8) and vision (6), and W_i."""
    return 4 * d * (12 + d) + 8 * d + sum(size * d + d + 2 * (d * d + d) for size in (8, 6)) + 3 * (d * width + width)


def test_parameter_counts(toy):
    count = {name: sum(p.numel() for p in methods.build(name, {**SMALL, **more}, toy.spec).parameters()) for name, more in (("tfn", {}), ("lmf", {}))}
    assert count["tfn"] == subnetworks(8, 8) + (9**3 * 5 + 5) + (25 + 5) + 6
    assert count["lmf"] == subnetworks(8, 8) + 5 * 4 * 3 * 9 + 4 + 5 + 6


def test_tfn_with_too_wide_a_tensor_is_refused_before_it_is_built(mixed_maker):
    spec = mixed_maker({"text": "tokens", "image": "image", "sound": "sequence", "vitals": "vector"}).spec
    with pytest.raises(ConfigError, match=r"1,185,921 entries(.|\n)*tensor_size=21 or smaller"):
        methods.build("tfn", {"tensor_size": 32}, spec)
    with pytest.raises(ConfigError, match="tensor_size=21"):
        methods.build("constraint.tensor", {}, spec)
    assert methods.build("tfn", {"tensor_size": 8}, spec).fusion.linear.in_features == 9**4


def test_tfn_takes_the_width_that_fits_where_none_is_given(mixed_maker, toy):
    kinds = {"text": "tokens", "image": "image", "sound": "sequence", "vitals": "vector", "pulse": "sequence"}
    spec = mixed_maker(kinds).spec
    four = replace(spec, modalities={name: spec.modalities[name] for name in list(kinds)[:4]})
    # 22^4 = 234,256 and 12^5 = 248,832 fit into 2^18 = 262,144; 23^4 and 13^5 do not.
    assert methods.build("tfn", {}, four).fusion.linear.in_features == 22**4
    assert methods.build("tfn", {}, spec).fusion.linear.in_features == 12**5
    assert methods.build("tfn", {"hidden_size": 8}, four).fusion.linear.in_features == 9**4
    assert methods.build("tfn", {}, toy.spec).fusion.linear.in_features == 33**3
    assert methods.build("tfn", {}, toy.select("text", "audio").spec).fusion.linear.in_features == 33**2
    many = replace(spec, modalities={f"sound {i}": spec.modalities["sound"] for i in range(19)})
    with pytest.raises(ConfigError, match=r"19 modalities would have 2 x 2[\s\S]*do        lmf"):
        methods.build("tfn", {}, many)


@pytest.mark.parametrize("name", ["tfn", "lmf", "ef_lstm", *(f"{f}.{s}" for f in ("encoder_decoder", "constraint") for s in methods.FAMILIES[f])])
def test_one_modality_is_refused(toy, name):
    with pytest.raises(ConfigError, match="needs two modalities or more"):
        methods.build(name, SMALL, toy.select("audio").spec)
