"""Adaptive weight fusion against its naive transcription."""

import numpy as np
import torch
from reference import awf as reference

from workbench import balance, methods
from workbench.fusion.attention import AdaptiveWeightFusion
from workbench.fusion.context import Context
from workbench.taps import record

NOTHING = Context({}, {}, torch.zeros(0, dtype=torch.int64))


def test_fusion_meets_the_transcription():
    torch.manual_seed(0)
    names = ("text", "audio", "vision")
    fusion = AdaptiveWeightFusion(names).double()
    z = {name: torch.randn(7, 4, dtype=torch.float64) + i for i, name in enumerate(names)}
    omega = [0.4, 1.7, 1.2]
    rule = balance.build("b_fusion", names).double()
    with torch.no_grad():
        rule.weight.copy_(torch.tensor(omega))
    with record(fusion, "attention.alpha") as trace:
        fused, losses = fusion(rule.eval()(z), z, NOTHING)
    w1, w2 = fusion.attention.hidden.weight.detach().numpy().T, fusion.attention.output.weight.detach().numpy().T
    arrays = [value.numpy() for value in z.values()]
    alpha = reference.eq11_12_alpha(arrays, w1, w2)
    weights = rule.weight.tolist()
    np.testing.assert_allclose(fused.detach().numpy(), reference.algorithm1_forward(arrays, weights, alpha), atol=1e-10)
    np.testing.assert_allclose(trace.dataset()["attention.alpha"].values, alpha, atol=1e-6)
    assert losses == {}


def test_a_fusion_has_no_effect_on_the_unimodal_networks(toy):
    """The networks' gradient is that of Z_GB / 2 alone, whatever alpha is."""
    model = methods.build("awf", {"hidden_size": 4, "post_size": 3}, toy.spec, seed=0).double()
    batch = toy["train"].batch(torch.arange(8))
    detached = []

    def keep(module, inputs, output):
        detached.extend(inputs[0].values())

    handle = model.fusion.attention.register_forward_hook(keep)
    model(batch).prediction.sum().backward()
    handle.remove()
    assert all(not value.requires_grad for value in detached)
    assert model.fusion.attention.output.weight.grad.abs().sum() > 0


def test_without_a_fusion_z_is_z_gb(toy):
    model = methods.build("awf", {"hidden_size": 4, "a_fusion": False}, toy.spec)
    z = {name: torch.randn(2, 4) for name in toy.modalities}
    fused, _ = model.fusion(z, z, NOTHING)
    assert torch.equal(fused, torch.cat(list(z.values()), -1))
