"""MMILN's fusion against its naive transcription, its losses against moments by scipy, and what its switches take away."""

import numpy as np
import pytest
import torch
from reference import mmiln as reference
from scipy.stats import moment

from workbench.errors import ConfigError
from workbench.fusion.context import Context
from workbench.fusion.text_centred import CentredFusion, cut, with_one_step
from workbench.taps import record

SIZE = 4
TIMES = {"words": 5, "voice": 7, "face": 4, "pulse": 3}
BATCH = 8


def given(names=("words", "voice", "face"), *, missing=True, seed=0):
    """Sequences with padding and holes; some samples lack a modality."""
    torch.manual_seed(seed)
    masks = {}
    for place, name in enumerate(names):
        mask = torch.arange(TIMES[name]) < torch.randint(2, TIMES[name] + 1, (BATCH, 1))
        mask[0, 0], mask[place + 1 if missing else 0] = True, mask[place + 1 if missing else 0] & (not missing)
        mask[5, 1] = False
        masks[name] = mask
    z = {name: torch.randn(BATCH, TIMES[name], SIZE, dtype=torch.float64) * mask[:, :, None] for name, mask in masks.items()}
    return z, masks, Context(masks, {}, torch.arange(BATCH))


def made(names=("words", "voice", "face"), **settings):
    torch.manual_seed(7)
    known = {"center": "words", "post_size": 6, "layers": 2, "heads": 2, "similarity": 0.3, "difference": 0.02}
    return CentredFusion(SIZE, names, **{**known, **settings}).double().eval()


def expected_of(fusion, z, masks, **settings):
    """F_m, parts and what the losses read, by the transcription."""
    weights = {name: value.numpy() for name, value in fusion.state_dict().items()}
    return [
        reference.forward(
            {name: value[i].numpy() for name, value in z.items()},
            {name: mask[i].tolist() for name, mask in masks.items()},
            weights,
            **{"center": fusion.center, "layers": 2, "heads": 2, **settings},
        )
        for i in range(BATCH)
    ]


SETTINGS = [{}, {"residual": "current"}, {"has_screening": False}, {"gru": "full"}, {"has_gates": False}, {"has_gate_fusion": False}]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("names", [("words", "voice"), ("words", "voice", "face"), ("voice", "words", "face", "pulse")])
def test_the_fusion_meets_the_transcription(names, settings):
    z, masks, context = given(names)
    own = {("is_full" if key == "gru" else key): (value == "full" if key == "gru" else value) for key, value in settings.items()}
    losses = {"similarity": None, "difference": None} if settings.get("has_gates") is False else {}
    fusion = made(names, **own, **losses)
    fused, _, parts = fusion(z, z, context)
    rows = expected_of(fusion, z, masks, **settings)
    np.testing.assert_allclose(fused.detach().numpy(), [row[0] for row in rows], atol=1e-10)
    assert list(parts) == [name for name in names if name != "words"]
    for name, part in parts.items():
        np.testing.assert_allclose(part.detach().numpy(), [row[1][name] for row in rows], atol=1e-10)


@pytest.mark.parametrize("loss_on", ["gates", "outputs"])
@pytest.mark.parametrize("loss_layers", ["last", "all"])
@pytest.mark.parametrize("is_mean", [False, True])
def test_losses_meet_moments_by_scipy_and_the_frobenius_norm(loss_on, loss_layers, is_mean):
    z, masks, context = given()
    fusion = made(loss_on=loss_on, loss_layers=loss_layers, is_mean=is_mean, moments=4)
    _, losses, _ = fusion(z, z, context)
    rows = expected_of(fusion, z, masks)
    which = 0 if loss_on == "gates" else 1
    there = {name: np.array([any(masks["words"][i]) and any(masks[name][i]) for i in range(BATCH)]) for name in ("voice", "face")}
    alike, unlike = [], []
    for number in (0, 1) if loss_layers == "all" else (1,):
        own = {name: np.array([row[2][name][number][which] for row in rows]) for name in there}
        stream = {name: np.array([row[3][name][number][which] for row in rows]) for name in there}
        both = there["voice"] & there["face"]
        alike.append(reference.eq24_cmd(stream["voice"][both], stream["face"][both], lambda x, k: moment(x, order=k), moments=4))
        unlike.append(sum(reference.eq26_difference(stream[name][here], own[name][here], is_mean=is_mean) for name, here in there.items()))
    assert losses["similarity"].item() == pytest.approx(0.3 * np.mean(alike), abs=1e-10)
    assert losses["difference"].item() == pytest.approx(0.02 * np.mean(unlike), abs=1e-10)


def test_pairs_of_streams():
    """One other modality has no pair; of three the similarity is the mean over three pairs, and the difference the sum over three."""
    z, _, context = given(("words", "voice"))
    assert set(made(("words", "voice"))(z, z, context)[1]) == {"difference"}
    names = ("words", "voice", "face", "pulse")
    z, masks, context = given(names, missing=False)
    fusion = made(names)
    _, losses, _ = fusion(z, z, context)
    rows = expected_of(fusion, z, masks)
    stream, own = ({n: np.array([row[k][n][1][0] for row in rows]) for n in names[1:]} for k in (3, 2))
    pairs = [("voice", "face"), ("voice", "pulse"), ("face", "pulse")]
    expected = [reference.eq24_cmd(stream[a], stream[b], lambda x, k: moment(x, order=k)) for a, b in pairs]
    assert losses["similarity"].item() == pytest.approx(0.3 * np.mean(expected), abs=1e-10)
    assert losses["difference"].item() == pytest.approx(0.02 * sum(reference.eq26_difference(stream[n], own[n]) for n in names[1:]), abs=1e-10)
    with record(fusion, "discrepancy", "overlap") as trace:
        again = fusion(z, z, context)[1]
    seen = trace.dataset()
    assert seen["discrepancy"].dims == ("discrepancy.layer", "pair") and seen["overlap"].dims == ("overlap.layer", "modality")
    assert seen["pair"].values.tolist() == ["voice x face", "voice x pulse", "face x pulse"]
    np.testing.assert_allclose(seen["discrepancy"].values[1], expected, atol=1e-6)
    assert all(torch.equal(again[name], losses[name]) for name in losses)


def test_switches_take_away_what_they_name():
    def parts(fusion):
        return {name for name, _ in fusion.named_parameters()}

    whole = parts(made())
    without_gates = made(has_gates=False, similarity=None, difference=None)
    assert {name for name in whole if any(part in name for part in ("pooled", "to_retain", "to_compound", "to_screening"))} == whole - parts(
        without_gates
    )
    assert not without_gates.openness
    assert whole - parts(made(has_screening=False)) == {f"fused.{name}.layers.{i}.to_screening.weight" for name in ("voice", "face") for i in (0, 1)}
    assert {name.split(".")[0] for name in whole - parts(made(has_gate_fusion=False))} == {"fused"}
    assert made(has_gate_fusion=False).post[1].in_features == 3 * SIZE
    z, _, context = given()
    for settings in ({"similarity": None, "difference": None}, {"has_gate_fusion": False}):
        assert made(**settings)(z, z, context)[1] == {}
    with pytest.raises(ConfigError, match="there are no gates"):
        made(has_gates=False)
    assert set(made(has_gates=False, loss_on="outputs")(z, z, context)[1]) == {"similarity", "difference"}


def test_openness_is_the_mean_of_the_gates_by_layer_and_modality():
    z, masks, context = given()
    fusion = made()
    with record(fusion, "*") as trace:
        fusion(z, z, context)
    seen = trace.dataset()
    assert seen["openness.0.retain"].dims == ("batch", "modality")
    assert seen["openness.0.retain"]["modality"].values.tolist() == ["voice", "face"]
    for i in (0, 1):
        for gate in ("retain", "compound"):
            for prefix, part in (("", "fused"), ("unimodal_", "unimodal")):
                gates = np.stack([seen[f"{part}.{name}.layers.{i}.{gate}"].values.mean(1) for name in ("voice", "face")], axis=1)
                np.testing.assert_allclose(seen[f"openness.{i}.{prefix}{gate}"].values, gates, atol=1e-6)
        screened = seen[f"fused.voice.layers.{i}.screening"].values.mean(2)
        real = masks["voice"].numpy()[:, : screened.shape[1]]
        expected = (screened * real).sum(1) / np.maximum(real.sum(1), 1)
        np.testing.assert_allclose(seen[f"openness.{i}.screening"].sel(modality="voice").values, expected, atol=1e-6)


def test_only_real_steps_are_computed():
    z, masks, _ = given()
    z = {name: torch.cat([value, value.new_full((BATCH, 9, SIZE), 5.0)], dim=1) for name, value in z.items()}
    longer = {name: torch.cat([mask, mask.new_zeros(BATCH, 9)], dim=1) for name, mask in masks.items()}
    values, kept = cut(z, longer)
    for name, mask in masks.items():
        longest = int((mask.int() * torch.arange(1, mask.shape[1] + 1)).max())
        assert values[name].shape[1] == kept[name].shape[1] == longest
        assert torch.equal(kept[name], mask[:, :longest])
    nothing = {"words": torch.zeros(2, 3, SIZE)}
    assert cut(nothing, {"words": torch.zeros(2, 3, dtype=torch.bool)})[0]["words"].shape == (2, 1, SIZE)


def test_a_sample_without_the_centre_is_still_read_from_the_others():
    mask = torch.tensor([[True, False, True], [False, False, False]])
    assert with_one_step(mask).tolist() == [[True, False, True], [True, False, False]]
    z, masks, _ = given(missing=False)
    masks["words"][3] = False
    z["words"] = z["words"] * masks["words"][:, :, None]
    fusion = made()
    other = {**z, "voice": z["voice"] + masks["voice"][:, :, None]}
    context = Context(masks, {}, torch.arange(BATCH))
    assert not torch.allclose(fusion(z, z, context)[0][3], fusion(other, other, context)[0][3])
