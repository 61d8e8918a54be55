"""Intra-modality, crossmodal and joint attention against their naive transcriptions, masks included."""

import numpy as np
import pytest
import torch
from reference import attention as reference

from workbench import methods
from workbench.errors import ConfigError
from workbench.fusion.attention import IntraAttention, JointAttention
from workbench.fusion.context import Context
from workbench.fusion.crossmodal import CrossAttention, CrossmodalStreams, past
from workbench.taps import record

SIZE, NAMES = 4, ("words", "sound", "face")
MASKS = {
    "words": torch.tensor([[True, True, True], [True, False, True], [True, False, False]]),
    "sound": torch.tensor([[True, True, True, True, True], [True, True, False, False, False], [False] * 5]),
    "face": torch.tensor([[True], [True], [False]]),
}
"""Unaligned; a sample with a hole, one that has words only; `face` is a vector."""


@pytest.fixture
def z():
    torch.manual_seed(0)
    return {name: torch.randn(3, mask.shape[1], SIZE, dtype=torch.float64) * mask[:, :, None] for name, mask in MASKS.items()}


def made(kind, **settings):
    torch.manual_seed(1)
    return kind(SIZE, NAMES, heads=2, layers=2, **settings).double().eval()


def fused(module, z):
    found, losses = module(z, z, Context(MASKS, {}, torch.arange(3)))
    assert losses == {}
    assert found.shape == (3, module.size)
    return found.detach().numpy()


def expected(transcription, module, z):
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    samples = [({name: value[i].numpy() for name, value in z.items()}, {name: mask[i].tolist() for name, mask in MASKS.items()}) for i in range(3)]
    return np.stack([transcription(*sample, weights, layers=2, heads=2) for sample in samples])


@pytest.mark.parametrize(
    ("kind", "transcription", "options"),
    [
        (IntraAttention, "intra", {"single": ["face"]}),
        (IntraAttention, "intra", {}),
        (CrossAttention, "cross", {"single": ["face"]}),
        (CrossAttention, "cross", {}),
        (JointAttention, "joint", {}),
        (JointAttention, "joint", {"has_cls": True}),
    ],
)
def test_operators_meet_their_transcriptions(z, kind, transcription, options):
    module = made(kind, **options)
    np.testing.assert_allclose(fused(module, z), expected(getattr(reference, transcription), module, z), atol=1e-10)


def test_there_is_a_stream_for_every_ordered_pair():
    names = [f"{target}_from_{source}" for target in NAMES for source in NAMES if target != source]
    assert list(CrossmodalStreams(SIZE, NAMES, heads=2, layers=1).streams) == names
    for number in (2, 3, 4, 5):
        assert len(CrossmodalStreams(SIZE, [f"m{i}" for i in range(number)], heads=2, layers=1).streams) == number * (number - 1)


def test_the_maps_are_named_by_target_and_source(z):
    module = made(CrossAttention)
    with record(module, "*words_from_sound*.weights") as trace:
        fused(module, z)
    name = "crossmodal.streams.words_from_sound.layers.1.attention.weights"
    told = trace.dataset()[name]
    assert told.dims == ("batch", f"{name}.head", f"{name}.words_time", f"{name}.sound_time")
    np.testing.assert_allclose(told.values[1].sum(-1), 1, atol=1e-6)  # over two real steps of sound
    assert (told.values[1, :, :, 2:] == 0).all()
    assert (told.values[2] == 0).all()  # no sound, no weight


def test_dropout_of_weights_by_source():
    module = CrossmodalStreams(SIZE, NAMES, heads=2, layers=1, attention_dropout=0.3, attention_dropouts={"sound": 0.1, "face": 0.0})
    rates = {name: stream.layers[0].attention.dropout for name, stream in module.streams.items()}
    assert rates == {
        "words_from_sound": 0.1,
        "words_from_face": 0.0,
        "sound_from_words": 0.3,
        "sound_from_face": 0.0,
        "face_from_words": 0.3,
        "face_from_sound": 0.1,
    }


def test_the_past_goes_by_each_samples_own_lengths():
    target, source = torch.tensor([[True, True, False], [True, True, True]]), torch.tensor([[True, True, True], [True, False, False]])
    # lengths 2 and 3: one step ahead; lengths 3 and 1: two steps ahead
    assert past(target, source)[0].long().tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 1]]
    assert past(target, source)[1].long().tolist() == [[1, 1, 1], [1, 1, 1], [1, 1, 1]]
    assert past(target, target)[1].long().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert past(target, source).tolist() == [
        [list(row) for row in reference.past(t, s)] for t, s in zip(target.tolist(), source.tolist(), strict=True)
    ]


def test_one_modality_cannot_attend_to_another(toy):
    with pytest.raises(ConfigError, match="attention.cross needs two modalities"):
        methods.build("attention.cross", {}, toy.select("audio").spec)


@pytest.mark.parametrize(("name", "streams"), [("attention.intra", 3), ("attention.cross", 6), ("attention.transformer", 1)])
def test_parameters_of_the_strategies(toy, name, streams):
    """d = 8, one layer a stream: attention 4 d^2 + 3 d, feed-forward 8 d^2 + 5 d, norms 4 d, a last one 2 d."""
    model = methods.build(name, {"hidden_size": 8, "post_size": 5}, toy.spec)
    width = {"attention.transformer": 8}.get(name, 8 * streams)
    embeddings = 3 * 8 if name == "attention.transformer" else 0
    stream = 12 * 64 + 12 * 8 + 2 * 8
    projections = sum(size * 8 + 8 for size in (12, 8, 6))
    assert sum(p.numel() for p in model.parameters()) == projections + streams * stream + embeddings + (width * 5 + 5) + 6


def test_an_added_token_is_read_where_it_is_asked_for(toy):
    model = methods.build("attention.transformer", {"hidden_size": 8, "readout": "cls"}, toy.spec)
    model(toy["train"].batch(torch.arange(8))).prediction.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
