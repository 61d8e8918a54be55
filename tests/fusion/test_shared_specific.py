"""MISA's operator against its naive transcription."""

import numpy as np
import pytest
import torch
from reference import misa as reference

from workbench.fusion.context import Context
from workbench.fusion.shared_specific import SharedSpecific
from workbench.taps import record

NAMES = ("words", "voice", "face")
LOSSES = {"similarity": 0.3, "difference": 0.7, "reconstruction": 2.0}


def operator(**settings):
    torch.manual_seed(0)
    return SharedSpecific(NAMES, 6, heads=2, **{**LOSSES, **settings}).double()


def given(*, missing=False, batch=7):
    torch.manual_seed(1)
    z = {name: torch.randn(batch, 6, dtype=torch.float64) * (i + 1) for i, name in enumerate(NAMES)}
    present = {name: torch.ones(batch, dtype=torch.bool) for name in NAMES}
    if missing:
        present["voice"][[0, 3]] = False
        present["face"][[3, 5]] = False
        z = {name: value * present[name][:, None] for name, value in z.items()}
    return z, Context({name: mask[:, None] for name, mask in present.items()}, {}, torch.arange(batch)), present


def arrays(z, present):
    return {name: value.numpy() for name, value in z.items()}, {name: mask.numpy() for name, mask in present.items()}


@pytest.mark.parametrize("missing", [False, True])
def test_fused_and_losses_meet_the_transcription(missing):
    fusion = operator()
    z, context, present = given(missing=missing)
    fused, losses = fusion(z, z, context)
    weights = {name: value.numpy() for name, value in fusion.state_dict().items()}
    expected, terms, _ = reference.forward(*arrays(z, present), weights, heads=2)
    np.testing.assert_allclose(fused.detach().numpy(), expected, atol=1e-10)
    for name, weight in LOSSES.items():
        assert losses[name].item() == pytest.approx(weight * terms[name], abs=1e-10)
    assert set(losses) == set(LOSSES)


def test_taps_give_both_spaces_and_the_attention_between_named_nodes():
    fusion = operator()
    z, context, present = given(missing=True)
    with record(fusion, "*") as trace:
        fusion(z, z, context)
    seen = trace.dataset()
    weights = {name: value.numpy() for name, value in fusion.state_dict().items()}
    _, _, spaces = reference.forward(*arrays(z, present), weights, heads=2)
    for space in ("shared", "specific"):
        assert seen[space].dims[:2] == ("batch", "modality")
        assert seen[space].sel(modality="words").values == pytest.approx(np.array(spaces[space]["words"]), abs=1e-6)
    attention = seen["layer.attention.weights"]
    assert attention.dims == ("batch", "layer.attention.weights.head", "node", "node_attended")
    assert attention.sizes["node"] == 6
    np.testing.assert_allclose(attention.sum("node_attended"), 1, atol=1e-6)
    assert float(attention.isel(batch=0).sel(node_attended=["voice shared", "voice specific"]).max()) == 0
    # Recorded or not, the answer is the same.
    with record(fusion, "*"):
        recorded = fusion(z, z, context)[0]
    torch.testing.assert_close(fusion(z, z, context)[0], recorded, atol=1e-12, rtol=0)


def test_one_encoder_is_shared_and_one_is_private_to_each_modality():
    fusion = operator()
    sizes = {name: p.numel() for name, p in fusion.named_parameters()}
    assert sum(count for name, count in sizes.items() if name.startswith("common.")) == 42
    assert sum(count for name, count in sizes.items() if name.startswith("private.")) == 3 * 42
    assert sum(count for name, count in sizes.items() if name.startswith("decoder.")) == 42
    z, context, _ = given()
    same = dict.fromkeys(NAMES, z["words"])
    with record(fusion, "shared", "specific") as trace:
        _, losses = fusion(same, same, context)
    shared, specific = (trace.dataset()[space].values for space in ("shared", "specific"))
    assert np.array_equal(shared[:, 0], shared[:, 1])
    assert not np.allclose(specific[:, 0], specific[:, 1])
    assert losses["similarity"].item() == pytest.approx(0, abs=1e-10)


def test_what_a_sample_lacks_changes_nothing():
    fusion = operator()
    z, context, present = given(missing=True)
    other = {name: torch.where(present[name][:, None], value, 7.0) for name, value in z.items()}
    (fused, losses), (again, others) = fusion(z, z, context), fusion(other, other, context)
    torch.testing.assert_close(fused, again, atol=1e-12, rtol=0)
    for name in LOSSES:
        torch.testing.assert_close(losses[name], others[name], atol=1e-12, rtol=0)
    assert bool((fused[3].reshape(6, 6)[[1, 2, 4, 5]] == 0).all())


def test_nobody_has_anything():
    fusion = operator()
    z, context, _ = given(batch=2)
    z = {name: torch.zeros_like(value, requires_grad=True) for name, value in z.items()}
    empty = Context({name: torch.zeros(2, 1, dtype=torch.bool) for name in NAMES}, {}, context.index)
    fused, losses = fusion(z, z, empty)
    (fused.sum() + sum(losses.values())).backward()
    assert bool((fused == 0).all())
    assert all(bool(value.grad.isfinite().all()) for value in z.values())
    assert [value.item() for value in losses.values()] == [0, 0, 0]
