"""Tensor fusion and its low-rank form: against their transcriptions, against each other, and their sizes."""

import numpy as np
import pytest
import torch
from reference import lmf, tfn

from workbench.errors import ConfigError
from workbench.fusion.context import Context
from workbench.fusion.tensor import LowRankFusion, TensorFusion
from workbench.taps import record

NOTHING = Context({}, {}, torch.zeros(0, dtype=torch.int64))
SIZES = {2: {"sound": 3, "touch": 2}, 3: {"text": 3, "audio": 2, "vision": 4}, 4: {"a": 2, "b": 3, "c": 1, "d": 2}}


def numbers(sizes, n=4, seed=0):
    torch.manual_seed(seed)
    return {name: torch.randn(n, size, dtype=torch.float64) for name, size in sizes.items()}


def low_rank_numbers(fusion):
    return [factor.detach().numpy() for factor in fusion.factors.values()], fusion.rank_weight.detach().numpy(), fusion.bias.detach().numpy()


@pytest.mark.parametrize("modalities", SIZES)
def test_tensor_fusion_meets_the_transcription(modalities):
    sizes = SIZES[modalities]
    z = numbers(sizes)
    fusion = TensorFusion(sizes, 5).double()
    fused, losses = fusion(z, z, NOTHING)
    weight = fusion.linear.weight.detach().numpy().reshape(5, *(size + 1 for size in sizes.values()))
    expected = [tfn.layer_over_tensor([value[n].numpy() for value in z.values()], weight, fusion.linear.bias.detach().numpy()) for n in range(4)]
    np.testing.assert_allclose(fused.detach().numpy(), expected, atol=1e-10)
    assert losses == {}


@pytest.mark.parametrize("modalities", SIZES)
def test_low_rank_fusion_meets_the_transcription_and_the_tensor_it_stands_for(modalities):
    sizes = SIZES[modalities]
    z = numbers(sizes)
    fusion = LowRankFusion(sizes, 5, rank=3).double()
    with torch.no_grad():
        fusion.bias.normal_()
    fused = fusion(z, z, NOTHING)[0].detach().numpy()
    factors, rank_weight, bias = low_rank_numbers(fusion)
    rows = [[value[n].numpy() for value in z.values()] for n in range(4)]
    np.testing.assert_allclose(fused, [lmf.fused(row, factors, rank_weight, bias) for row in rows], atol=1e-10)
    whole = TensorFusion(sizes, 5).double()
    with torch.no_grad():
        whole.linear.weight.copy_(torch.from_numpy(lmf.weight_tensor(factors, rank_weight)).reshape(5, -1))
        whole.linear.bias.copy_(fusion.bias)
    np.testing.assert_allclose(whole(z, z, NOTHING)[0].detach().numpy(), fused, atol=1e-10)


@pytest.mark.parametrize("modalities", SIZES)
def test_parameters_grow_as_the_papers_say(modalities):
    sizes, product, total = SIZES[modalities], 1, 0
    for size in sizes.values():
        product, total = product * (size + 1), total + size + 1
    assert sum(p.numel() for p in TensorFusion(sizes, 5).parameters()) == 5 * product + 5
    assert sum(p.numel() for p in LowRankFusion(sizes, 5, rank=3).parameters()) == 5 * 3 * total + 3 + 5


def test_low_rank_factors_start_as_matrices_by_xaviers_rule():
    torch.manual_seed(0)
    fusion = LowRankFusion({"text": 199, "audio": 49}, 100, rank=6)
    for name, width in (("text", 200), ("audio", 50)):
        assert float(fusion.factors[name].detach().std()) == pytest.approx((2 / (width + 100)) ** 0.5, rel=0.02)


def test_low_rank_factors_are_registered_and_trained():
    sizes = SIZES[3]
    z = numbers(sizes, n=16)
    fusion = LowRankFusion(sizes, 2, rank=3).double()
    assert {name for name, _ in fusion.named_parameters()} == {"factors.text", "factors.audio", "factors.vision", "rank_weight", "bias"}
    assert set(fusion.state_dict()) == {name for name, _ in fusion.named_parameters()}
    before = {name: value.clone() for name, value in fusion.state_dict().items()}
    optimizer = torch.optim.SGD(fusion.parameters(), lr=0.1)
    (fusion(z, z, NOTHING)[0] - 1).square().mean().backward()
    optimizer.step()
    assert all(bool((fusion.state_dict()[name] != value).any()) for name, value in before.items())
    assert all(bool((p.grad.flatten(1) != 0).any(1).all()) for p in fusion.factors.values())


def test_blocks_say_what_each_order_of_interaction_adds():
    sizes = {"a": 1, "b": 1}
    fusion = TensorFusion(sizes, 1).double()
    with torch.no_grad():
        fusion.linear.weight.copy_(torch.tensor([[2.0, 3.0, 5.0, 7.0]]))  # a b, a, b, 1
    z = {"a": torch.tensor([[3.0]], dtype=torch.float64), "b": torch.tensor([[-4.0]], dtype=torch.float64)}
    with record(fusion, "blocks") as trace:
        fused, _ = fusion(z, z, NOTHING)
    seen = trace.dataset()["blocks"]
    assert seen["block"].values.tolist() == ["a", "b", "a x b"]
    assert seen.values.tolist() == [[9.0, 20.0, 24.0]]
    assert float(fused.detach()) == pytest.approx(9 - 20 - 24 + 7 + float(fusion.linear.bias.detach()))


def test_strengths_say_what_a_modality_gives_to_a_factor():
    z = numbers(SIZES[3])
    fusion = LowRankFusion(SIZES[3], 5, rank=3).double()
    with record(fusion, "strengths") as trace:
        fusion(z, z, NOTHING)
    seen = trace.dataset()["strengths"]
    factors, _, _ = low_rank_numbers(fusion)
    expected = np.linalg.norm(np.append(z["audio"][2].numpy(), 1) @ factors[1][1])
    assert float(seen.sel(modality="audio")[2, 1]) == pytest.approx(expected, abs=1e-5)


def test_a_tensor_that_is_too_large_says_what_would_do():
    sizes = dict.fromkeys("abcd", 32)
    with pytest.raises(ConfigError, match=r"33 x 33 x 33 x 33 = 1,185,921 entries") as caught:
        TensorFusion(sizes, 5)
    assert "at most 262,144" in str(caught.value)
    assert "tensor_size=21 or smaller" in str(caught.value)
    TensorFusion(dict.fromkeys("abcd", 21), 1)
    with pytest.raises(ConfigError, match="do        lmf"):
        TensorFusion(dict.fromkeys((str(i) for i in range(20)), 1), 1)
