"""Global-local mixing and time alignment of MLDFA against their naive transcription, and what masks, a [CLS] token and a missing reference do."""

import numpy as np
import pytest
import torch
from reference import mldfa as reference

from workbench.fusion.hierarchical_alignment import HierarchicalAlignment
from workbench.sequences import masked_mean
from workbench.taps import record

SIZE = 4
NAMES = ("audio", "text", "image", "vitals")
LENGTHS = {"audio": 7, "text": 5, "image": 3}
BATCH = 5


def some(seed: int = 0) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Sequences with padding and holes, an image of [CLS] and two patches, a vector. Sample 1 lacks text, 2 audio, 3 the image, 4 everything."""
    torch.manual_seed(seed)
    masks = {name: torch.ones(BATCH, LENGTHS.get(name, 1), dtype=torch.bool) for name in NAMES}
    masks["audio"][0, 5:] = False
    masks["text"][0, 1] = False
    masks["text"][1] = masks["audio"][2] = masks["image"][3] = False
    for mask in masks.values():
        mask[4] = False
    values = {name: torch.randn(*mask.shape, SIZE, dtype=torch.float64) * mask[:, :, None] for name, mask in masks.items()}
    return values | {"vitals": values["vitals"][:, 0]}, masks


def made(**settings) -> HierarchicalAlignment:
    torch.manual_seed(1)
    given = {"steps": tuple(LENGTHS), "aligned": ("audio",), "reference": "text", "cls": ("image",)}
    alignment = HierarchicalAlignment(SIZE, NAMES, **{**given, **settings}).double()
    if hasattr(alignment, "logit"):
        torch.nn.init.normal_(alignment.logit)
    return alignment


def numbers(alignment: HierarchicalAlignment) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in alignment.state_dict().items()}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"alpha": "shared", "heads": 2},
        {"time_scale": "sqrt", "cls": ()},
        {"has_global_local": False},
        {"has_time_alignment": False},
        {"has_global_local": False, "has_time_alignment": False},
    ],
)
def test_the_vectors_meet_the_transcription(settings):
    values, masks = some()
    alignment = made(**settings)
    found = alignment(values, masks)
    config = {"alpha": "per_modality", "time_scale": "none", "alignment_heads": settings.get("heads", 1)} | settings
    for i in range(BATCH):
        z = {name: values[name][i].numpy() if values[name].dim() == 3 else values[name][i].numpy()[None] for name in NAMES}
        mask = {name: masks[name][i].tolist() for name in NAMES}
        expected = reference.aligned(z, mask, numbers(alignment), config, reference="text", cls=settings.get("cls", ("image",)))
        np.testing.assert_allclose(found[i].detach().numpy(), np.array(list(expected.values())), atol=1e-10)


def test_rows_of_the_time_map_sum_to_one_over_real_steps():
    values, masks = some()
    alignment = made()
    with record(alignment, "*") as trace:
        alignment(values, masks)
    seen = trace.dataset()
    told = seen["time.audio"]
    assert [dim.rsplit(".", 1)[-1] for dim in told.dims] == ["batch", "text_time", "audio_time"]
    both = masks["text"] & masks["audio"].any(1, keepdim=True)
    np.testing.assert_allclose(told.values.sum(-1), both.double().numpy(), atol=1e-6)
    assert np.all(told.values[~(masks["text"][:, :, None] & masks["audio"][:, None]).numpy()] == 0)
    part = {name.removeprefix("aligners.audio."): value for name, value in numbers(alignment).items() if name.startswith("aligners.audio.")}
    mixed = alignment._mixed(values, masks)
    assert all(mixed[name][~masks[name]].abs().max() == 0 for name in LENGTHS)
    expected = reference.eq24_time(
        mixed["text"][0].detach().numpy(), masks["text"][0].tolist(), mixed["audio"][0].detach().numpy(), masks["audio"][0].tolist(), part
    )
    np.testing.assert_allclose(told.values[0], expected, atol=1e-6)
    assert list(seen["alpha"]["modality"].values) == list(NAMES)
    assert {name.split(".")[1] for name in seen if name.endswith("weights")} == set(LENGTHS)


def test_alpha_begins_at_a_half_is_one_a_modality_and_one_where_there_are_no_parts():
    values, masks = some()
    for kind, count in (("per_modality", 3), ("shared", 1)):
        alignment = HierarchicalAlignment(SIZE, NAMES, steps=tuple(LENGTHS), alpha=kind).double()
        assert alignment.logit.shape == (count,)
        with record(alignment, "alpha") as trace:
            alignment(values, masks)
        assert trace.dataset()["alpha"].values.tolist() == [[0.5, 0.5, 0.5, 1.0]] * BATCH
    vectors = HierarchicalAlignment(SIZE, NAMES, steps=())
    assert [name for name, _ in vectors.named_parameters()] == []


@pytest.mark.parametrize(("logit", "alpha"), [(50.0, 1), (-50.0, 0)])
def test_alpha_of_one_is_the_whole_and_of_nought_the_parts(logit, alpha):
    values, masks = some()
    alignment = made(aligned=())
    torch.nn.init.constant_(alignment.logit, logit)
    found = alignment(values, masks)
    for place, name in enumerate(("audio", "text")):
        local = masked_mean(alignment.local[name](values[name], values[name], masks[name]), masks[name])
        torch.testing.assert_close(found[:, place], masked_mean(values[name], masks[name]) if alpha else local, atol=1e-10, rtol=0)
    whole = (
        values["image"][:, 0]
        if alpha
        else (alignment.local["image"](values["image"], values["image"], masks["image"]) * masks["image"][..., None])[:, 0]
    )
    torch.testing.assert_close(found[:, 2], whole, atol=1e-10, rtol=0)
    assert torch.equal(found[:, 3], values["vitals"])


def test_without_both_alignments_a_vector_is_the_pooled_representation():
    values, masks = some()
    found = made(has_global_local=False, has_time_alignment=False)(values, masks)
    expected = [masked_mean(values["audio"], masks["audio"]), masked_mean(values["text"], masks["text"]), values["image"][:, 0], values["vitals"]]
    assert torch.equal(found, torch.stack(expected, dim=1))


def test_a_sample_without_the_reference_keeps_its_own_steps():
    values, masks = some()
    alignment = made(has_global_local=False)
    found = alignment(values, masks)
    own = masked_mean(alignment.aligners["audio"].value(values["audio"]), masks["audio"])
    torch.testing.assert_close(found[1, 0], own[1])
    assert not torch.allclose(found[0, 0], own[0])
    assert found[4].abs().max() == 0


def test_a_step_that_is_asked_for_loudly_is_all_that_is_seen():
    """As printed there is no 1 / sqrt(d): the scores of step 2 are 8 with it and 16 without, the others 0."""
    values, masks = some()
    loud = torch.zeros(BATCH, 7, SIZE, dtype=torch.float64)
    loud[:, 2] = 2.0
    values, masks = (
        values | {"text": torch.ones(BATCH, 5, SIZE, dtype=torch.float64) * 2, "audio": loud},
        {n: torch.ones_like(m) for n, m in masks.items()},
    )
    for scale, score in (("none", 16.0), ("sqrt", 8.0)):
        alignment = made(has_global_local=False, time_scale=scale)
        for linear in (alignment.aligners["audio"].query, alignment.aligners["audio"].key):
            torch.nn.init.eye_(linear.weight)
        with record(alignment, "time.audio") as trace:
            alignment(values, masks)
        told = trace.dataset()["time.audio"].values
        np.testing.assert_allclose(told[:, :, 2], np.exp(score) / (np.exp(score) + 6), atol=1e-6)
