"""EF-LSTM, the whole model, against its naive transcription on unaligned data."""

import numpy as np
import pytest
import torch
from reference import ef_lstm as reference

from workbench import methods


def test_the_model_meets_the_transcription(toy):
    model = methods.build("ef_lstm", {"hidden_size": 8, "post_size": 5, "layers": 2}, toy.spec, seed=0).double().eval()
    batch = toy["valid"].batch(torch.arange(6))
    output = model(batch)
    w = {name: value.numpy() for name, value in model.state_dict().items()}
    for n in range(6):
        masks = [batch[name].mask[n].numpy() for name in model.modalities]
        z = [batch[name].values[n].double().numpy() @ w[f"projections.{name}.weight"].T + w[f"projections.{name}.bias"] for name in model.modalities]
        states = reference.early_fusion(z, masks, int(masks[0].sum()))
        for layer in range(2):
            start = f"fusion.joint.layers.{layer}.forwards.0"
            states = reference.lstm(states, *(w[f"{start}.{part}_l0"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")))
        np.testing.assert_allclose(output.fused[n].detach().numpy(), states[-1], atol=1e-10)
        hidden = np.maximum(w["head.0.weight"] @ states[-1] + w["head.0.bias"], 0)
        assert float(output.prediction[n].detach()) == pytest.approx(float((w["head.3.weight"] @ hidden + w["head.3.bias"])[0]), abs=1e-10)


def test_parameter_count(toy):
    model = methods.build("ef_lstm", {"hidden_size": 8, "post_size": 5}, toy.spec)
    projections = sum(size * 8 + 8 for size in (12, 8, 6))
    lstms = (4 * 8 * (24 + 8) + 64) + (4 * 8 * (8 + 8) + 64)
    assert sum(p.numel() for p in model.parameters()) == projections + lstms + (8 * 5 + 5) + 6
