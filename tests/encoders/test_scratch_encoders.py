"""Encoders that are trained from scratch against naive transcriptions of MLDFA, Eqs. (1)-(8); their sizes; what they refuse."""

import math

import pytest
import torch
from reference import encoders as reference

from workbench.data.batch import Modality, ModalitySpec
from workbench.encoders import ConvLSTMSteps, MaskedLSTM, PatchTransformer, StepTransformer
from workbench.encoders.images import PATCHES
from workbench.errors import ConfigError
from workbench.taps import record, taps

SEQUENCE = ModalitySpec("sequence", 5, 7)
MASKS = [[True] * 7, [True, False, True, True, False, False, False], [False, True, False, False, False, False, False], [False] * 7]
"""A whole sample, one with a hole and padding, one that begins with a hole, one without a real step."""


def settled(encoder):
    """In double precision, with norms and biases that are no longer ones and zeros."""
    encoder = encoder.double().eval()
    with torch.no_grad():
        for p in encoder.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return encoder, {name: value.numpy() for name, value in encoder.state_dict().items()}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def steps():
    return Modality(torch.randn(4, 7, 5, dtype=torch.float64), torch.tensor(MASKS), True)


# Frames: Eqs. (7), (8)


@pytest.mark.parametrize(("hidden_size", "kernel_size"), [(4, 3), (5, 3), (1, 3), (6, 1), (2, 2), (3, 4), (4, 9), (4, 21)])
def test_frames_equal_the_transcription(steps, hidden_size, kernel_size):
    encoder, weights = settled(ConvLSTMSteps(SEQUENCE, hidden_size=hidden_size, kernel_size=kernel_size, embedding_size=4))
    found = encoder(steps)
    assert found.values.shape == (4, 7, hidden_size)
    for row in range(4):
        expected = reference.frames(steps.values[row].numpy(), MASKS[row], weights)
        torch.testing.assert_close(found.values[row], torch.from_numpy(expected), atol=1e-10, rtol=0)


def test_a_frame_sees_its_neighbours_and_both_ends():
    encoder, _ = settled(ConvLSTMSteps(SEQUENCE, hidden_size=4, kernel_size=3, embedding_size=4))
    values = torch.randn(1, 7, 5, dtype=torch.float64, requires_grad=True)
    sums = encoder(Modality(values, torch.ones(1, 7, dtype=torch.bool))).values[0, 3]
    half = encoder.size // 2
    reached = [torch.autograd.grad(part.sum(), values, retain_graph=True)[0][0].abs().sum(1) > 0 for part in (sums[:half], sums[half:])]
    assert reached[0].tolist() == [True] * 5 + [False] * 2  # what came before, and the next frame by the convolution
    assert reached[1].tolist() == [False] * 2 + [True] * 5


@pytest.mark.parametrize("hidden_size", [1, 2, 7, 8])
def test_parameters_of_frames(hidden_size):
    forward, backward = math.ceil(hidden_size / 2), hidden_size // 2
    recurrent = sum(4 * width * (hidden_size + width + 2) for width in (forward, backward))
    encoder = ConvLSTMSteps(SEQUENCE, hidden_size=hidden_size, kernel_size=3, embedding_size=4)
    assert sum(p.numel() for p in encoder.parameters()) == hidden_size * (5 * 3 + 1) + recurrent
    assert encoder.size == hidden_size


def test_a_modality_of_one_step_has_nothing_beside_it():
    encoder = ConvLSTMSteps(ModalitySpec("vector", 5), hidden_size=4, kernel_size=3, embedding_size=4)
    assert encoder.convolution.kernel_size == (1,)


def test_directions_of_two_widths_through_a_stack():
    masked = MaskedLSTM(5, 3, layers=2, is_bidirectional=True, backward_size=2).double()
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    values = torch.randn(2, 4, 5, dtype=torch.float64)
    found = masked(values, mask)
    assert (masked.size, found.shape) == (5, (2, 4, 5))
    torch.testing.assert_close(masked(values[1:, :2], mask[1:, :2])[0], found[1, :2], atol=1e-12, rtol=0)


# Steps: Eqs. (1), (2)


@pytest.mark.parametrize("settings", [{"hidden_size": 6, "heads": 2, "layers": 2}, {"hidden_size": 5, "heads": 1, "layers": 1}], ids=str)
def test_steps_equal_the_transcription(steps, settings):
    encoder, weights = settled(StepTransformer(SEQUENCE, embedding_size=4, **settings))
    found = encoder(steps)
    for row in range(4):
        expected = reference.step_transformer(steps.values[row].numpy(), MASKS[row], weights, layers=settings["layers"], heads=settings["heads"])
        torch.testing.assert_close(found.values[row], torch.from_numpy(expected), atol=1e-10, rtol=0)


def test_tokens_are_embedded_first():
    encoder, weights = settled(StepTransformer(ModalitySpec("tokens", 9, 4), hidden_size=6, layers=1, heads=2, embedding_size=3))
    ids = torch.tensor([[3, 8, 3, 0]])
    found = encoder(Modality(ids, ids > 0)).values[0]
    embedded = weights["features.features.embedding.weight"][ids[0]]
    expected = reference.step_transformer(embedded, [True, True, True, False], weights, layers=1, heads=2)
    torch.testing.assert_close(found, torch.from_numpy(expected), atol=1e-10, rtol=0)
    assert not torch.allclose(found[0], found[2])  # one word at two places


def test_a_vector_has_no_question_to_learn():
    encoder = StepTransformer(ModalitySpec("vector", 5), hidden_size=6, layers=1, heads=2, embedding_size=3)
    assert [name for name, _ in encoder.named_parameters() if "query" in name or "key" in name] == []


def test_the_attention_can_be_looked_at(steps):
    encoder, _ = settled(StepTransformer(SEQUENCE, hidden_size=6, layers=1, heads=2, embedding_size=4))
    with record(encoder, "*.weights") as trace:
        encoder(steps)
    (seen,) = trace.dataset().data_vars.values()
    assert [axis.split(".")[-1] for axis in seen.dims] == ["batch", "head", "time", "time_attended"]
    assert seen.values[1].sum(-1) == pytest.approx(1)
    assert seen.values[1][:, :, 4:].max() == 0


# Patches: Eqs. (4)-(6)


def images(spec, n=2):
    return Modality(torch.randn(n, *spec.shape, dtype=torch.float64), torch.ones(n, 1, dtype=torch.bool))


@pytest.mark.parametrize("has_cls", [True, False])
@pytest.mark.parametrize(
    ("shape", "patch_size", "strides", "grid"),
    [
        ((1, 8, 8), 2, (1, 1), (4, 4)),
        ((3, 6, 5), 2, (1, 1), (3, 3)),  # the last column of patches is half beyond the map
        ((2, 3, 7), 4, (1, 1), (1, 2)),  # a patch as high as the map
        ((1, 4, 4), 9, (1, 1), (1, 1)),
        ((1, 20, 13), 2, (2, 1), (5, 4)),
        ((1, 17, 18), 1, (2, 2), (5, 5)),
        ((1, 40, 33), 1, (2, 2, 2), (5, 5)),
    ],
    ids=str,
)
def test_patches_equal_the_transcription(shape, patch_size, strides, grid, has_cls):
    spec = ModalitySpec("image", shape[0], shape=shape)
    encoder, weights = settled(PatchTransformer(spec, hidden_size=4, layers=1, heads=2, patch_size=patch_size, has_cls=has_cls))
    modality = images(spec)
    found = encoder(modality)
    assert encoder.grid == grid
    assert found.values.shape == (2, math.prod(grid) + has_cls, 4)
    for row in range(2):
        expected = reference.patch_transformer(modality.values[row].numpy(), weights, strides=strides, layers=1, heads=2)
        torch.testing.assert_close(found.values[row], torch.from_numpy(expected), atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    ("shape", "patch_size", "grid", "widths"),
    [
        ((1, 8, 8), 2, (4, 4), [32, 64]),
        ((3, 64, 40), 2, (8, 5), [32, 64]),  # mmimdb_raw
        ((3, 256, 160), 2, (8, 5), [8, 16, 32, 64]),
        ((3, 1024, 1024), 1, (8, 8), [8, 8, 8, 8, 16, 32, 64]),
        ((3, 2, 1000), 1, (1, 63), [8, 16, 32, 64]),
    ],
    ids=str,
)
def test_large_images_are_made_smaller_first(shape, patch_size, grid, widths):
    encoder = PatchTransformer(ModalitySpec("image", shape[0], shape=shape), hidden_size=64, layers=1, heads=2, patch_size=patch_size)
    assert (encoder.grid, encoder.places.shape) == (grid, (1, math.prod(grid) + 1, 64))
    assert math.prod(grid) <= PATCHES
    assert [layer.out_channels for layer in encoder.convolutions if hasattr(layer, "out_channels")] == widths
    found = encoder(Modality(torch.rand(1, *shape), torch.ones(1, 1, dtype=torch.bool)))
    assert found.values.shape == (1, math.prod(grid) + 1, 64)


def test_the_cls_token_stands_first():
    spec = ModalitySpec("image", 1, shape=(1, 8, 8))
    encoder, _ = settled(PatchTransformer(spec, hidden_size=4, layers=1, heads=2, patch_size=2))
    seen = []
    encoder.transformer.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    for _ in range(2):
        encoder(images(spec, n=1))
    different = (seen[0] != seen[1]).any(-1)[0].tolist()
    assert different == [False] + [True] * 16  # of what goes in, only [CLS] does not depend on the image
    torch.testing.assert_close(seen[0][0, 0], encoder.cls[0, 0] + encoder.places[0, 0])


@pytest.mark.parametrize(("shape", "patch_size"), [((1, 4, 3), 9), ((1, 3, 7), 4), ((1, 64, 40), 3)], ids=str)
def test_no_weight_of_a_patch_lies_beyond_the_map_for_ever(shape, patch_size):
    spec = ModalitySpec("image", 1, shape=shape)
    encoder, _ = settled(PatchTransformer(spec, hidden_size=4, layers=1, heads=2, patch_size=patch_size))
    encoder(images(spec)).values.pow(3).sum().backward()
    assert bool((encoder.patches.weight.grad.abs().sum((0, 1)) > 0).all())


def test_one_patch_alone_has_no_question_to_learn():
    spec = ModalitySpec("image", 1, shape=(1, 4, 4))
    settings = {"hidden_size": 4, "layers": 1, "heads": 2, "patch_size": 4}
    alone, with_cls = PatchTransformer(spec, has_cls=False, **settings), PatchTransformer(spec, **settings)
    assert [name for name, _ in alone.named_parameters() if "query" in name] == []
    assert [name for name, _ in with_cls.named_parameters() if "query" in name] != []
    assert all(tap.axes == ("batch", "head", "token", "token_attended") for tap in taps(with_cls).values())


@pytest.mark.parametrize("spec", [SEQUENCE, ModalitySpec("vector", 5), ModalitySpec("tokens", 9, 4)], ids=lambda spec: spec.kind)
def test_patches_need_an_image(spec):
    with pytest.raises(ConfigError, match=rf"of kind {spec.kind}[\s\S]*an image[\s\S]*StepTransformer"):
        PatchTransformer(spec, hidden_size=4, layers=1, heads=2, patch_size=2)


@pytest.mark.parametrize(
    "build",
    [
        lambda: StepTransformer(SEQUENCE, hidden_size=6, layers=1, heads=4, embedding_size=4),
        lambda: PatchTransformer(ModalitySpec("image", 1, shape=(1, 8, 8)), hidden_size=6, layers=1, heads=4, patch_size=2),
    ],
)
def test_heads_divide_the_width(build):
    with pytest.raises(ConfigError, match="width of 6 cannot be shared by 4 heads"):
        build()
