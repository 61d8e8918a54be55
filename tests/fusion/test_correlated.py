"""Correlated fusion: against its naive transcription, against others' canonical correlation analysis, and where covariances cannot be inverted."""

import numpy as np
import pytest
import torch
from reference import delta_attention as reference
from sklearn.cross_decomposition import CCA
from torch import nn
from torch.nn import functional

from workbench.data.batch import Modality
from workbench.errors import ConfigError
from workbench.fusion.context import Context
from workbench.fusion.correlated import CorrelatedFusion, FusedAttention, meeting, unexplained
from workbench.taps import record

SIZE, RANK, FUSED = 5, 3, 4
LENGTHS = {"text": 6, "audio": 9, "image": 1, "vitals": 1}
"""Two sequences of their own lengths, an image and a vector: one step each."""


def sequence(*lengths, time):
    return torch.tensor([[t < length for t in range(time)] for length in lengths])


MASKS = {
    "text": sequence(6, 3, 0, 2, 4, 0, 1, 6, time=6),
    "audio": sequence(9, 4, 7, 0, 1, 0, 5, 8, time=9),
    "image": sequence(1, 1, 1, 1, 0, 0, 1, 1, time=1),
    "vitals": sequence(1, 0, 1, 1, 1, 0, 1, 1, time=1),
}
"""Eight samples: all there, each modality missing once, one without any."""
MASKS["audio"][0, 4] = MASKS["audio"][1, 0] = MASKS["text"][7, 2] = False


def made(names=tuple(LENGTHS), lengths=None, **settings):
    torch.manual_seed(5)
    settings = {"correlated_size": RANK, "fused_size": FUSED, "kernel": 2, **settings}
    return CorrelatedFusion(SIZE, {name: (lengths or LENGTHS)[name] for name in names}, **settings).double()


def some(masks=None, seed=0, size=SIZE):
    """Y_M, zeros where a step is not real, with something in common to all modalities of a sample."""
    masks = masks or MASKS
    torch.manual_seed(seed)
    common = torch.randn(len(next(iter(masks.values()))), 1, size, dtype=torch.float64)
    return {name: (common + torch.randn(*mask.shape, size, dtype=torch.float64)) * mask[:, :, None] for name, mask in masks.items()}


def context_of(masks):
    n = len(next(iter(masks.values())))
    return Context(masks, {name: Modality(torch.zeros(n, 1, 2), mask) for name, mask in masks.items()}, torch.arange(n))


def run(fusion, y, masks):
    return fusion(y, y, context_of(masks))


def weights_of(module):
    return {name: value.numpy() for name, value in module.state_dict().items()}


def of_sample(values, i):
    return {name: value[i].tolist() if value.dtype == torch.bool else value[i].numpy() for name, value in values.items()}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"skip": "beside"},
        {"skip": "none"},
        {"has_correlation": False},
        {"has_correlation": False, "skip": "beside"},
        {"pooling": "steps"},
        {"heads": 2},
        {"inner_size": 7, "kernel": 3, "pooling": "steps", "heads": 4},
    ],
    ids=str,
)
def test_the_fused_vector_and_the_encodings_meet_the_transcription(settings):
    fusion, y = made(**settings).eval(), some()
    fused, losses, parts = run(fusion, y, MASKS)
    assert losses == {} and fusion.size == fused.shape[1] == FUSED
    chosen = {key: settings[key] for key in ("heads", "skip", "pooling", "has_correlation") if key in settings}
    for i in range(8):
        expected, encoded = reference.fused(of_sample(y, i), of_sample(MASKS, i), weights_of(fusion), **chosen)
        np.testing.assert_allclose(fused[i].detach().numpy(), expected, atol=1e-10)
        if encoded:
            means = [reference.masked_mean(value, MASKS[name][i].tolist()) for name, value in encoded.items()]
            np.testing.assert_allclose(parts["correlated"][i].numpy(), np.concatenate(means), atol=1e-10)
    assert bool((fused[5] == 0).all())  # nothing is there
    assert (parts == {}) == ("has_correlation" in settings)


def test_the_losses_meet_the_transcription():
    # Far from the 1e-12 that is added to every variance.
    fusion, y = made(correlation=0.25, reconstruction=3.0, ridge=0.02).train(), {name: 30 * value for name, value in some().items()}
    with record(fusion, "correlations", "total") as trace:
        _, losses, _ = run(fusion, y, MASKS)
    weights, masks = weights_of(fusion), {name: mask.tolist() for name, mask in MASKS.items()}
    encoded = {
        name: [reference.two_layers(y[name][i].numpy(), masks[name][i], reference.below(weights, f"encode.{name}")) for i in range(8)] for name in y
    }
    expected = reference.eq13_loss(encoded, masks, LENGTHS, 0.02)
    assert float(losses["correlation"].detach()) == pytest.approx(0.25 * expected, abs=1e-10)
    shares = []
    for name in y:
        said = [reference.two_layers(value, masks[name][i], reference.below(weights, f"decode.{name}")) for i, value in enumerate(encoded[name])]
        shares.append(reference.unexplained(y[name].numpy(), said, masks[name]))
    assert float(losses["reconstruction"].detach()) == pytest.approx(3.0 * sum(shares), abs=1e-10)
    told = trace.dataset()
    assert told["correlations"].dims == ("pair", "correlations.component") and told["correlations"].shape == (6, RANK)
    assert told["total"]["pair"].values.tolist()[:3] == ["text x audio", "text x image", "text x vitals"]
    np.testing.assert_allclose(told["total"].values, told["correlations"].values.sum(1), atol=1e-5)
    np.testing.assert_allclose(told["total"].values.sum(), -expected, atol=1e-5)


class AsItIs(nn.Module):
    """An encoder that changes nothing, and learns nothing though it could."""

    def __init__(self):
        super().__init__()
        self.still = nn.Parameter(torch.zeros(()))

    def forward(self, values, mask):
        return values


def test_on_linear_data_the_correlations_are_those_of_others():
    """Three sequences that are linear maps of one latent sequence, and noise: every pair against scikit-learn and the eigenvalue problem."""
    random = np.random.default_rng(0)
    latent = random.standard_normal((30, 10, 2))
    mask = torch.from_numpy(np.arange(10) < random.integers(4, 11, 30)[:, None])
    y = {
        name: torch.from_numpy(latent @ random.standard_normal((2, SIZE)) + noise * random.standard_normal((30, 10, SIZE))) * mask[:, :, None]
        for name, noise in (("a", 0.3), ("b", 0.6), ("c", 1.5))
    }
    fusion = made(tuple(y), dict.fromkeys(y, 10), correlated_size=SIZE, ridge=1e-9).train()
    fusion.encode = nn.ModuleDict({name: AsItIs() for name in y})
    with record(fusion, "correlations") as trace:
        _, losses, _ = run(fusion, y, dict.fromkeys(y, mask))
    told, total = trace.dataset()["correlations"], 0.0
    for one, other in (("a", "b"), ("a", "c"), ("b", "c")):
        a, b = (y[name][mask].numpy() for name in (one, other))
        independent = CCA(n_components=SIZE, max_iter=5000, tol=1e-12).fit(a, b).transform(a, b)
        expected = [abs(np.corrcoef(independent[0][:, k], independent[1][:, k])[0, 1]) for k in range(SIZE)]
        np.testing.assert_allclose(np.sort(told.sel(pair=f"{one} x {other}").values)[::-1], sorted(expected, reverse=True), atol=1e-4)
        found = reference.eq13_correlations(a, b, 0.0)
        np.testing.assert_allclose(told.sel(pair=f"{one} x {other}").values, found, atol=1e-5)
        total += found.sum()
    assert float(losses["correlation"].detach()) == pytest.approx(-total, abs=1e-5)
    assert told.sel(pair="a x b").values[1] > 0.9 > told.sel(pair="b x c").values[1]  # two latent numbers, and noise


def test_the_correlation_is_learned():
    """Encoders of three numbers find what two noisy sequences of five have in common."""
    random = torch.Generator().manual_seed(1)
    latent = torch.randn(40, 8, 2, generator=random)
    y = {name: latent @ torch.randn(2, SIZE, generator=random) + 0.5 * torch.randn(40, 8, SIZE, generator=random) for name in ("a", "b")}
    masks = {name: torch.ones(40, 8, dtype=torch.bool) for name in y}
    fusion = made(tuple(y), dict.fromkeys(y, 8), kernel=1, inner_size=16).float().train()
    optimizer = torch.optim.Adam([*fusion.encode.parameters(), *fusion.decode.parameters()], lr=1e-2)
    first = None
    for _ in range(60):
        optimizer.zero_grad()
        losses = run(fusion, y, masks)[1]
        first = first or {name: float(value.detach()) for name, value in losses.items()}
        sum(losses.values()).backward()
        optimizer.step()
    assert float(losses["correlation"].detach()) < first["correlation"] - 0.3
    assert float(losses["reconstruction"].detach()) < 0.7 * first["reconstruction"]


# Where covariances cannot be inverted


def degenerate(kind):
    """Encodings of two modalities, `batch time feature`, as no covariance likes them."""
    torch.manual_seed(3)
    a = torch.randn(6, 5, 4, dtype=torch.float64)
    b = a @ torch.randn(4, 4, dtype=torch.float64) + 0.5 * torch.randn(6, 5, 4, dtype=torch.float64)
    if kind == "duplicated":
        a[:, :, 1], b[:, :, 3] = a[:, :, 0], b[:, :, 2]
    if kind == "nearly duplicated":
        a[:, :, 1] = a[:, :, 0] + 1e-5 * torch.randn(6, 5, dtype=torch.float64)
    if kind == "constant":
        a[:, :, 2], b[:, :, 0] = 3.0, 0.0
    if kind == "all constant":
        a[:] = 2.0
    if kind == "far away":
        a, b = a + 100, b - 30
    if kind == "scales apart":
        a = a * torch.tensor([1e-3, 1.0, 10.0, 100.0], dtype=torch.float64)
    if kind == "fewer samples than features":
        a, b = a[:1, :3], b[:1, :3]
    return a, b


@pytest.mark.parametrize(
    "kind",
    ["duplicated", "nearly duplicated", "constant", "all constant", "far away", "scales apart", "fewer samples than features"],
)
def test_single_precision_is_near_double_precision_where_covariances_are_singular(kind):
    found = {}
    for dtype in (torch.float32, torch.float64):
        y = {name: value.to(dtype).requires_grad_() for name, value in zip("ab", degenerate(kind), strict=True)}
        masks = {name: torch.ones(value.shape[:2], dtype=torch.bool) for name, value in y.items()}
        fusion = CorrelatedFusion(4, dict.fromkeys(y, 5), correlated_size=4, fused_size=2)
        loss = -fusion._correlations("a", "b", y, masks).sum()
        loss.backward()
        assert loss.dtype == dtype and bool(loss.isfinite())
        assert all(bool(value.grad.isfinite().all()) for value in y.values())
        found[dtype] = float(loss.detach()), torch.cat([value.grad.flatten() for value in y.values()]).double()
    assert found[torch.float32][0] == pytest.approx(found[torch.float64][0], abs=1e-3)
    exact = found[torch.float64][1]
    assert (found[torch.float32][1] - exact).norm() <= 0.02 * exact.norm() + 1e-6


@pytest.mark.parametrize("rows", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_hardly_any_sample_gives_finite_losses(rows, dtype):
    masks = {name: mask[:rows] for name, mask in MASKS.items()}
    y = {name: value[:rows].to(dtype).requires_grad_() for name, value in some().items()}
    fusion = made().to(dtype).train()
    fused, losses, _ = run(fusion, y, masks)
    (sum(losses.values()) + fused.sum()).backward()
    assert bool(torch.stack(list(losses.values())).isfinite().all())
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in fusion.parameters())


def test_a_pair_that_no_sample_has_correlates_by_nothing():
    masks = {"text": MASKS["text"].clone(), "audio": MASKS["audio"].clone()}
    masks["text"][:4], masks["audio"][4:] = False, False
    fusion = made(("text", "audio")).train()
    _, losses, _ = run(fusion, some(masks), masks)
    assert float(losses["correlation"].detach()) == 0
    assert float(losses["reconstruction"].detach()) > 0


# Steps


def test_padding_changes_nothing():
    fusion, y = made().train(), some()
    fused, losses, parts = run(fusion, y, MASKS)
    longer = {name: functional.pad(value, (0, 0, 0, 0 if value.shape[1] == 1 else 5), value=77.0) for name, value in y.items()}
    masks = {name: functional.pad(mask, (0, longer[name].shape[1] - mask.shape[1])) for name, mask in MASKS.items()}
    again, more, others = run(fusion, longer, masks)
    torch.testing.assert_close(again, fused, atol=1e-12, rtol=0)
    torch.testing.assert_close(others, parts, atol=1e-12, rtol=0)
    for name, value in losses.items():
        torch.testing.assert_close(more[name], value, atol=1e-12, rtol=0)


def test_a_pair_meets_on_the_steps_of_the_shorter_sequence():
    assert meeting("text", "audio", LENGTHS) == ("text", "audio")
    assert meeting("audio", "text", LENGTHS) == ("text", "audio")
    assert meeting("image", "audio", LENGTHS) == ("audio", "image")
    assert meeting("image", "vitals", LENGTHS) == ("image", "vitals")
    assert meeting("b", "a", {"a": 4, "b": 4}) == ("b", "a")


def test_the_sides_of_a_pair_have_no_order():
    """The correlation of a pair is that of its swapped pair."""
    y = some()
    names = list(LENGTHS)
    totals = []
    for order in (names, names[::-1]):
        fusion = made(names).train()
        fusion.pairs = [meeting(order[i], order[j], LENGTHS) for i in range(4) for j in range(i + 1, 4)]
        totals.append(float(run(fusion, y, MASKS)[1]["correlation"].detach()))
    assert totals[0] == pytest.approx(totals[1], abs=1e-10)


def test_no_step_tells_of_another_sample():
    fusion, y = made().eval(), some()
    together = run(fusion, y, MASKS)[0]
    for i in range(8):
        one = slice(i, i + 1)
        alone = run(fusion, {name: value[one] for name, value in y.items()}, {name: mask[one] for name, mask in MASKS.items()})[0]
        torch.testing.assert_close(alone, together[one], atol=1e-12, rtol=0)


@pytest.mark.parametrize(("pooling", "expected"), [("modality", 3.0), ("steps", 2.0)])
def test_a_long_modality_has_more_say_only_where_it_is_asked_for(pooling, expected):
    """Three steps of value 1, padding, and one step of value 5: (1 + 5) / 2, or (3 + 5) / 4."""
    fusion = made(("text", "vitals"), pooling=pooling).eval()
    fusion.attention.forward = lambda values, mask: torch.tensor([1.0, 1.0, 1.0, 99.0, 5.0]).double()[None, :, None].expand(1, 5, FUSED)
    masks = {"text": sequence(3, time=4), "vitals": sequence(1, time=1)}
    assert torch.equal(run(fusion, some(masks), masks)[0], torch.full((1, FUSED), expected).double())


# What is computed, and for whom


def test_terms_are_computed_where_the_encoders_learn_or_somebody_looks():
    fusion, y = made(), some()
    assert set(run(fusion.train(), y, MASKS)[1]) == {"correlation", "reconstruction"}
    assert run(fusion.eval(), y, MASKS)[1] == {}
    with record(fusion, "total") as trace:
        assert run(fusion, y, MASKS)[1] == {}
    assert trace.dataset()["total"].shape == (6,)
    fusion.train().encode.requires_grad_(False)
    assert run(fusion, y, MASKS)[1] == {}


def test_what_reads_the_encodings_does_not_shape_them():
    fusion, y = made().train(), some()
    fused, _, parts = run(fusion, y, MASKS)
    assert parts["correlated"].shape == (8, fusion.part_size) and not parts["correlated"].requires_grad
    assert fused.requires_grad


def test_what_is_reconstructed_does_not_learn_from_it():
    fusion = made(("text", "audio")).train()
    y = {name: value.requires_grad_() for name, value in some({name: MASKS[name] for name in ("text", "audio")}).items()}
    masks = {name: MASKS[name] for name in y}
    reconstruction = run(fusion, y, masks)[1]["reconstruction"]
    for p in fusion.encode.parameters():
        torch.nn.init.zeros_(p)
    run(fusion, y, masks)[1]["reconstruction"].backward()
    # With encoders of zeros only the target is left, and it is a constant.
    assert all(bool((value.grad == 0).all()) for value in y.values())
    assert reconstruction.requires_grad


def test_the_unexplained_share_by_hand():
    # About the mean 4 with a spread of 2: -1 and 1.
    values = torch.tensor([[[2.0], [6.0], [9.0]]])
    mask = torch.tensor([[True, True, False]])
    assert float(unexplained(values, torch.tensor([[[0.0], [0.0], [5.0]]]), mask)) == 1  # the mean
    assert float(unexplained(values, torch.tensor([[[-1.0], [1.0], [5.0]]]), mask)) == 0
    assert float(unexplained(values, torch.tensor([[[-1.0], [0.0], [5.0]]]), mask)) == 0.5
    small = unexplained(values * 1e-4, torch.tensor([[[-1.0], [0.0], [5.0]]]), mask)
    assert float(small) == pytest.approx(0.5, abs=1e-5)
    # Nothing varies, or nothing is there: nothing to tell.
    same = torch.full((1, 3, 1), 3.0)
    assert float(unexplained(same + 1e-7, same, mask)) == 0
    assert float(unexplained(same * 0, same, mask)) == 0
    assert float(unexplained(same, same, mask & False)) == 0


def test_the_weights_of_the_attention_are_recorded():
    fusion, y = made().eval(), some()
    plain = run(fusion, y, MASKS)[0]
    with record(fusion, "attention.weights") as trace:
        torch.testing.assert_close(run(fusion, y, MASKS)[0], plain, atol=1e-12, rtol=0)
    told = trace.dataset()["attention.weights"]
    assert told.shape == (8, 1, 17, 17)
    assert [dim.rsplit(".", 1)[-1] for dim in told.dims] == ["batch", "head", "step", "step_attended"]
    np.testing.assert_allclose(told.sum(told.dims[-1])[[0, 1, 7]], 1, atol=1e-6)
    assert (told[5] == 0).all()


def test_a_sample_without_a_step_has_zeros_and_looks_nowhere():
    torch.manual_seed(0)
    attention = FusedAttention(3, 4, heads=2)
    values, mask = torch.randn(2, 5, 3), torch.tensor([[True, True, False, True, False], [False] * 5])
    found = attention(values, mask)
    assert bool((found[1] == 0).all()) and found[0].abs().min() > 0
    torch.testing.assert_close(attention(torch.where(mask[:, :, None], values, 9.0), mask)[:, :2], found[:, :2])


def test_settings_that_leave_nothing():
    with pytest.raises(ConfigError, match=r"nothing reaches the fusion[\s\S]*skip=added"):
        made(has_correlation=False, skip="none")
    with pytest.raises(ConfigError, match=r"a width of 4 cannot be shared by 3 heads[\s\S]*post_size"):
        FusedAttention(3, 4, heads=3)
