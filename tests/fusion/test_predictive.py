"""MMIM's contrastive prediction against its transcription, and the layers after concatenation."""

import math

import numpy as np
import pytest
import torch
from reference import mmim as reference
from torch import nn

from workbench.fusion.context import Context
from workbench.fusion.predictive import ConcatenatedLayers, PredictiveFusion, contrastive_loss
from workbench.taps import record

SIZES = {"words": 5, "voice": 3, "face": 4}


def given(batch=6, *, missing=False):
    torch.manual_seed(2)
    present = {name: torch.ones(batch, dtype=torch.bool) for name in SIZES}
    if missing:
        present["voice"][[1, 4]] = False
        present["face"][:] = False
    z = {name: torch.randn(batch, size, dtype=torch.float64) * present[name][:, None] for name, size in SIZES.items()}
    return z, Context({name: mask[:, None] for name, mask in present.items()}, {}, torch.arange(batch)), present


def operator(**settings):
    torch.manual_seed(0)
    layers = ConcatenatedLayers(SIZES, 7, layers=2, activation=nn.Tanh)
    return PredictiveFusion(SIZES, layers, fused_size=7, **settings).double()


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("missing", [False, True])
def test_fused_and_contrast_meet_the_transcription(layers, missing):
    fusion = operator(layers=layers, weight=0.3)
    z, context, present = given(missing=missing)
    fused, losses = fusion(z, z, context)
    weights = {name: value.numpy() for name, value in fusion.state_dict().items()}
    joined = np.concatenate([value.numpy() for value in z.values()], axis=1)
    expected = []
    for row in joined:
        hidden = np.tanh(reference.dense(row, weights, "fusion.layers.1.0"))
        expected.append(np.tanh(reference.dense(hidden, weights, "fusion.layers.2.0")))
    np.testing.assert_allclose(fused.detach().numpy(), expected, atol=1e-12)
    total = 0.0
    for name in SIZES:
        predicted = []
        for row in expected:
            for layer in range(layers - 1):
                row = np.tanh(reference.dense(row, weights, f"predictors.{name}.{2 * layer}"))
            predicted.append(reference.dense(row, weights, f"predictors.{name}.{2 * (layers - 1)}"))
        total += reference.contrast(list(z[name].numpy()), predicted, present[name].tolist())
    assert losses["contrast"].item() == pytest.approx(0.3 * total, abs=1e-10)


def test_similarity_is_each_samples_own_cosine():
    fusion = operator()
    z, context, _ = given(missing=True)
    with record(fusion, "similarity") as trace:
        fused, _ = fusion(z, z, context)
    seen = trace.dataset()["similarity"]
    assert seen.dims == ("batch", "modality")
    own = nn.functional.cosine_similarity(fusion.predictors["words"](fused), z["words"])
    assert seen.sel(modality="words").values == pytest.approx(own.detach().numpy(), abs=1e-6)
    assert float(np.abs(seen.sel(modality="face")).max()) == 0


def test_similarities_are_gathered_only_where_they_are_recorded(monkeypatch):
    fusion = operator()
    z, context, _ = given()
    calls, forward = [], fusion.similarity.forward
    monkeypatch.setattr(fusion.similarity, "forward", lambda value: calls.append(value.shape) or forward(value))
    plain = fusion(z, z, context)[1]["contrast"]
    assert calls == []
    with record(fusion, "similarity"):
        torch.testing.assert_close(fusion(z, z, context)[1]["contrast"], plain, atol=0, rtol=0)
    assert calls == [(6, 3)]


def test_contrast_of_known_scores():
    """Equal scores: log of how many there are; a sample alone has nothing to be told from."""
    assert contrastive_loss(torch.zeros(5, 5), torch.ones(5, dtype=torch.bool)).item() == pytest.approx(math.log(5))
    assert contrastive_loss(torch.zeros(5, 5), torch.arange(5) < 3).item() == pytest.approx(math.log(3))
    assert contrastive_loss(torch.ones(1, 1), torch.ones(1, dtype=torch.bool)).item() == 0
    assert contrastive_loss(torch.ones(2, 2), torch.zeros(2, dtype=torch.bool)).item() == 0
    # Own scores 1, others -1, three samples: log(1 + 2 exp(-2)).
    scores = 2 * torch.eye(3) - 1
    assert contrastive_loss(scores, torch.ones(3, dtype=torch.bool)).item() == pytest.approx(math.log(1 + 2 * math.exp(-2)))


def test_zeros_have_finite_gradients_of_any_order():
    fusion = operator()
    z = {name: torch.zeros(4, size, dtype=torch.float64, requires_grad=True) for name, size in SIZES.items()}
    _, context, _ = given(4)
    fused, losses = fusion(z, z, context)
    first = torch.autograd.grad(losses["contrast"] + fused.square().sum(), list(z.values()), create_graph=True)
    sum(value.square().sum() for value in first).backward()
    assert all(bool(value.isfinite().all()) for value in first)
    assert all(bool(value.grad.isfinite().all()) for value in z.values())
