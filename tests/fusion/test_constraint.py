"""Coordinating terms against their transcriptions and by hand, and where they must not break."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from reference import constraint as reference

from workbench.data.batch import Modality
from workbench.fusion.constraint import (
    Coordinated,
    SharedPrivate,
    bounded_discrepancy,
    canonical_correlations,
    central_moment_discrepancy,
    difference_loss,
    info_nce,
    total_correlation_loss,
    unit,
)
from workbench.fusion.context import Context
from workbench.taps import record

TERMS = {
    "cmd": bounded_discrepancy,
    "difference": difference_loss,
    "dcca": total_correlation_loss,
    "contrastive": info_nce,
}


def pair(n=9, left=4, right=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(n, left, dtype=torch.float64, generator=generator)
    return a, torch.randn(n, right, dtype=torch.float64, generator=generator) + 0.5 * a[:, :right]


def context_of(present):
    names = list(present)
    masks = {name: torch.tensor(present[name])[:, None] for name in names}
    n = len(present[names[0]])
    return Context(masks, {name: Modality(torch.zeros(n, 1, 2), masks[name]) for name in names}, torch.arange(n))


@pytest.mark.parametrize("moments", [1, 2, 5])
def test_central_moments_meet_the_transcription(moments):
    a, b = (x.sigmoid() for x in pair())
    expected = reference.cmd(a.numpy(), b.numpy(), moments)
    assert float(central_moment_discrepancy(a, b, moments=moments)) == pytest.approx(expected, abs=1e-10)


def test_central_moments_by_hand():
    a, b = torch.tensor([[0.0], [1.0]], dtype=torch.float64), torch.tensor([[0.25], [0.25]], dtype=torch.float64)
    # Means .5 and .25; moments of a about its mean: 1/4, 0, 1/16, 0; of b: none.
    assert float(central_moment_discrepancy(a, b)) == pytest.approx(0.25 + 0.25 + 0 + 0.0625 + 0, abs=1e-12)
    assert float(central_moment_discrepancy(a, a)) == 0
    assert float(bounded_discrepancy(a, b)) == pytest.approx(float(central_moment_discrepancy(a.sigmoid(), b.sigmoid())), abs=1e-12)


def test_rows_of_length_one_and_a_row_of_zeros():
    rows = torch.tensor([[3.0, -4.0], [0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(unit(rows).detach(), torch.tensor([[0.6, -0.8], [0.0, 0.0]], dtype=torch.float64), atol=1e-12, rtol=0)
    unit(rows).sum().backward()
    assert bool(rows.grad.isfinite().all())


def test_difference_meets_the_transcription():
    a, b = pair(right=3)
    expected = reference.difference(a.numpy(), b.numpy())
    assert float(difference_loss(a, b, is_mean=False)) == pytest.approx(expected, abs=1e-10)
    assert float(difference_loss(a, b)) == pytest.approx(expected / 12, abs=1e-10)


def test_difference_is_zero_for_features_that_do_not_go_together():
    a = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]], dtype=torch.float64)
    b = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]], dtype=torch.float64)
    assert float(difference_loss(a, b, is_mean=False)) == pytest.approx(0, abs=1e-12)
    assert float(difference_loss(a, a, is_mean=False)) == pytest.approx(16, abs=1e-9)


@pytest.mark.parametrize(("n", "ridge"), [(40, 1e-3), (40, 0.1), (5, 1e-3)])
def test_canonical_correlations_meet_the_transcription(n, ridge):
    a, b = pair(n, 6, 4)
    expected = reference.canonical_correlations(a.numpy(), b.numpy(), ridge)[:4]
    np.testing.assert_allclose(canonical_correlations(a, b, ridge=ridge).numpy(), expected, atol=1e-10)


def test_canonical_correlations_of_known_data():
    a, b = pair(500, 3, 3, seed=1)
    mixed = a @ torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 7 + 5
    np.testing.assert_allclose(canonical_correlations(a, mixed, ridge=1e-9).numpy(), 1, atol=1e-6)
    unrelated = canonical_correlations(a, torch.randn(500, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))
    assert float(unrelated.max()) < 0.2
    # Each feature of b is half of a's plus noise of variance one: correlation 1/sqrt(5) = .447.
    assert float(canonical_correlations(a, b).mean()) == pytest.approx(1 / math.sqrt(5), abs=0.1)
    torch.testing.assert_close(canonical_correlations(a * 1000, b), canonical_correlations(a, b), atol=1e-9, rtol=0)


def test_info_nce_meets_the_transcription_and_its_bounds():
    a, b = pair()
    assert float(info_nce(a, b, temperature=0.3)) == pytest.approx(reference.info_nce(a.numpy(), b.numpy(), 0.3), abs=1e-10)
    assert float(info_nce(a, a, temperature=0.01)) == pytest.approx(0, abs=1e-3)
    same = torch.ones(8, 3, dtype=torch.float64)
    assert float(info_nce(same, same)) == pytest.approx(math.log(8), abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", ["none", "one", "two", "constant", "equal", "dependent", "zero", "large"])
@pytest.mark.parametrize("term", TERMS.values(), ids=TERMS)
def test_terms_and_gradients_are_finite_at_the_edges(term, rows, dtype):
    a, b = (x.to(dtype) for x in pair(6))
    a, b = {
        "none": (a[:0], b[:0]),
        "one": (a[:1], b[:1]),
        "two": (a[:2], b[:2]),
        "constant": (a[:1].repeat(6, 1), b[:1].repeat(6, 1)),
        "equal": (a, a.clone()),
        "dependent": (a[:, :1].repeat(1, 4), b[:, :1].repeat(1, 4)),
        "zero": (a * 0, b * 0),
        "large": (a * 1e4, b),
    }[rows]
    a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
    value = term(a, b)
    value.backward()
    assert value.dtype == dtype
    assert bool(value.isfinite())
    assert bool(a.grad.isfinite().all()) and bool(b.grad.isfinite().all())
    if rows == "none" or (rows == "one" and term is not bounded_discrepancy):
        assert float(value.detach()) == 0


def test_gradients_of_the_correlation_are_right():
    a, b = pair(30, 3, 3)
    assert torch.autograd.gradcheck(lambda x, y: canonical_correlations(x, y).sum(), (a.requires_grad_(), b.requires_grad_()))


def test_each_pair_is_related_over_the_samples_that_have_both():
    present = {"a": [True] * 6, "b": [True, True, True, True, False, False], "c": [False, True, True, True, True, True]}
    z = {name: torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i, name in enumerate(present)}
    fusion = Coordinated(tuple(z), partial(info_nce, temperature=0.5), name="contrastive", weight=0.25)
    balanced = {name: value + i for i, (name, value) in enumerate(z.items())}
    with record(fusion, "terms") as trace:
        fused, losses = fusion(balanced, z, context_of(present))
    a, b, c = (value.numpy() for value in z.values())
    expected = [reference.info_nce(a[:4], b[:4], 0.5), reference.info_nce(a[1:], c[1:], 0.5), reference.info_nce(b[1:4], c[1:4], 0.5)]
    assert torch.equal(fused, torch.cat(list(balanced.values()), -1))
    assert float(losses["contrastive"]) == pytest.approx(0.25 * sum(expected), abs=1e-10)
    terms = trace.dataset()["terms"]
    np.testing.assert_allclose(terms.values, expected, atol=1e-6)
    assert terms["pair"].values.tolist() == ["a x b", "a x c", "b x c"]


def test_shared_and_private_parts_meet_the_transcription():
    torch.manual_seed(0)
    present = {"a": [True] * 5, "b": [True, True, True, True, False]}
    z = {name: torch.randn(5, 3, dtype=torch.float64) for name in present}
    fusion = SharedPrivate(tuple(z), 3, weight=2.0).double()
    fused, losses = fusion(z, z, context_of(present))

    def layer(module, value):
        return np.tanh(value.numpy() @ module.weight.detach().numpy().T + module.bias.detach().numpy())

    shared = [layer(fusion.shared, value) for value in z.values()]
    private = [layer(fusion.private[name], value) for name, value in z.items()]
    pairs = [(shared[0], private[0]), (shared[1][:4], private[1][:4]), (private[0][:4], private[1][:4])]
    expected = 2.0 * sum(reference.difference(*both) / 9 for both in pairs)
    assert float(losses["difference"].detach()) == pytest.approx(expected, abs=1e-10)
    for part in (shared[1], private[1]):
        part[4] = 0
    np.testing.assert_allclose(fused.detach().numpy(), np.concatenate([*shared, *private], 1), atol=1e-10)
