"""Encoders that give one vector a step: against torch's own LSTM on unpadded samples; padding, holes and empty samples."""

from pathlib import Path

import pytest
import torch
from torch import nn

from workbench.data.batch import Modality, ModalitySpec
from workbench.encoders import LSTMSteps, MaskedLSTM, StepFeatures, TokenTransformer

LENGTHS = (4, 1, 7, 0, 3)
SEQUENCE = ModalitySpec("sequence", 5, 7)
TOKENS = ModalitySpec("tokens", 20, 7)
IMAGE = ModalitySpec("image", 3, shape=(3, 4, 2))
VECTOR = ModalitySpec("vector", 5)


@pytest.fixture
def samples():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, 5, generator=generator, dtype=torch.float64) for length in LENGTHS]


def pad(samples, *, more=0, fill=0.0):
    """The samples padded to the longest, and `more` steps beyond."""
    longest = max(1, *(len(sample) for sample in samples)) + more
    values = torch.full((len(samples), longest, *samples[0].shape[1:]), fill, dtype=samples[0].dtype)
    mask = torch.zeros(len(samples), longest, dtype=torch.bool)
    for i, sample in enumerate(samples):
        values[i, : len(sample)], mask[i, : len(sample)] = sample, True
    return Modality(values, mask)


def recurrent(*, layers=1, is_bidirectional=False):
    torch.manual_seed(0)
    return MaskedLSTM(5, 3, layers=layers, is_bidirectional=is_bidirectional).double()


def twin_of(masked, *, layers, is_bidirectional):
    """torch's stacked LSTM with the same weights."""
    twin = nn.LSTM(5, 3, num_layers=layers, bidirectional=is_bidirectional, batch_first=True).double()
    state = {}
    for suffix, stack in (("", masked.forwards), ("_reverse", masked.backwards or [])):
        for layer, lstm in enumerate(stack):
            state |= {f"{name.removesuffix('_l0')}_l{layer}{suffix}": value for name, value in lstm.state_dict().items()}
    twin.load_state_dict(state)
    return twin


WAYS = [{"layers": layers, "is_bidirectional": is_bidirectional} for layers in (1, 3) for is_bidirectional in (False, True)]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(("more", "fill"), [(0, 0.0), (4, 0.0), (4, 9.0)])
def test_each_sample_s_states_are_those_of_torch_s_lstm_on_it_alone(samples, way, more, fill):
    masked = recurrent(**way)
    twin, padded = twin_of(masked, **way), pad(samples, more=more, fill=fill)
    found = masked(padded.values, padded.mask)
    assert found.shape == (5, 7 + more, masked.size)
    for row, sample in zip(found, samples, strict=True):
        if len(sample):
            torch.testing.assert_close(row[: len(sample)], twin(sample[None])[0][0], atol=1e-12, rtol=0)
        assert row[len(sample) :].abs().sum() == 0


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_no_gradient_reaches_the_padding(samples, way):
    padded = pad(samples, more=2)
    values = padded.values.clone().requires_grad_()
    masked = recurrent(**way)
    masked(values, padded.mask).square().sum().backward()
    assert values.grad[~padded.mask].abs().sum() == 0
    assert bool((values.grad[padded.mask].abs().sum(1) > 0).all())
    assert [name for name, p in masked.named_parameters() if not (p.grad.isfinite().all() and p.grad.abs().sum() > 0)] == []


@pytest.mark.parametrize("is_bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_parameters(layers, is_bidirectional):
    # a direction of a layer: 4 gates of (inputs + states + two biases); from the second layer on the inputs are the states of all directions
    directions = 1 + is_bidirectional
    expected = sum(directions * 4 * 3 * (inputs + 3 + 2) for inputs in [5, 3 * directions][:layers])
    assert sum(p.numel() for p in recurrent(layers=layers, is_bidirectional=is_bidirectional).parameters()) == expected


def steps_of(spec, **settings):
    torch.manual_seed(0)
    return LSTMSteps(spec, hidden_size=3, embedding_size=4, **settings).double().eval()


@pytest.mark.parametrize("is_bidirectional", [False, True])
def test_a_missing_step_keeps_its_place_and_enters_as_zeros(is_bidirectional):
    encoder = steps_of(SEQUENCE, is_bidirectional=is_bidirectional)
    values = torch.randn(1, 6, 5, dtype=torch.float64)
    mask = torch.tensor([[True, False, True, True, False, False]])
    found = encoder(Modality(values, mask, True))
    sample = torch.where(mask[0, :, None], values[0], 0)[:4]
    expected = twin_of(encoder.recurrent, layers=1, is_bidirectional=is_bidirectional)(sample[None])[0][0]
    torch.testing.assert_close(found.values[0, :4][mask[0, :4]], expected[mask[0, :4]], atol=1e-12, rtol=0)
    assert found.values[~mask].abs().sum() == 0
    assert found.mask is mask


@pytest.mark.parametrize("is_bidirectional", [False, True])
@pytest.mark.parametrize("spec", [SEQUENCE, TOKENS], ids=["sequence", "tokens"])
def test_padding_and_batch_mates_do_not_matter(samples, spec, is_bidirectional):
    encoder = steps_of(spec, layers=2, is_bidirectional=is_bidirectional)
    inputs = samples if spec is SEQUENCE else [torch.arange(1, len(sample) + 1) for sample in samples]
    together = encoder(pad(inputs)).values
    torch.testing.assert_close(encoder(pad(inputs, more=5, fill=7)).values[:, :7], together, atol=1e-12, rtol=0)
    for i, sample in enumerate(inputs):
        torch.testing.assert_close(encoder(pad([sample])).values[0, : len(sample)], together[i, : len(sample)], atol=1e-12, rtol=0)


def test_a_batch_without_a_single_real_step():
    found = steps_of(SEQUENCE, is_bidirectional=True)(pad([torch.zeros(0, 5, dtype=torch.float64)] * 2))
    assert found.values.shape == (2, 1, 6)
    assert found.values.abs().sum() == 0


@pytest.mark.parametrize("spec", [SEQUENCE, VECTOR, TOKENS, IMAGE], ids=lambda spec: spec.kind)
def test_every_kind_gives_steps_of_the_promised_size(spec):
    values = {
        "sequence": torch.randn(2, 7, 5),
        "vector": torch.randn(2, 1, 5),
        "tokens": torch.randint(1, 20, (2, 7)),
        "image": torch.randn(2, 3, 4, 2),
    }[spec.kind]
    time = 7 if spec.kind in ("sequence", "tokens") else 1
    modality = Modality(values, torch.ones(2, time, dtype=torch.bool))
    for encoder in (StepFeatures(spec, embedding_size=4), LSTMSteps(spec, hidden_size=3, embedding_size=4, is_bidirectional=True)):
        for dtype in (torch.float32, torch.float64):
            found = encoder.to(dtype)(modality)
            assert found.values.shape == (2, time, encoder.size)
            assert found.values.dtype == dtype


def test_step_features_are_the_features_and_zeros_whatever_stands_behind_the_mask(samples):
    padded = pad(samples, more=2, fill=float("nan"))
    found = StepFeatures(SEQUENCE, embedding_size=4).double()(padded)
    assert torch.equal(found.values, pad(samples, more=2).values)
    assert StepFeatures(SEQUENCE, embedding_size=4).state_dict() == {}


def test_a_token_that_is_missing_is_not_its_embedding():
    encoder = StepFeatures(TOKENS, embedding_size=4)
    found = encoder(Modality(torch.tensor([[3, 5]]), torch.tensor([[True, False]]), True)).values
    assert torch.equal(found[0, 0], encoder.features.embedding.weight[3])
    assert found[0, 1].tolist() == [0, 0, 0, 0]


def test_dropout_acts_in_training_only(samples):
    encoder = steps_of(SEQUENCE, dropout=0.5)
    assert torch.equal(encoder(pad(samples)).values, encoder(pad(samples)).values)
    encoder.train()
    assert not torch.equal(encoder(pad(samples)).values, encoder(pad(samples)).values)


# Fine-tuned tokens


@pytest.fixture
def token_encoder(tmp_path: Path):
    """A BERT of width 16 in a local folder."""
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=32
    )
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    return TokenTransformer(ModalitySpec("tokens", 20, 7, text_model=str(tmp_path / "bert")))


SENTENCES = [torch.tensor([2, 5, 6, 3]), torch.tensor([2, 7, 3]), torch.tensor([2, 3])]


def test_token_states_are_those_of_the_sentence_alone(token_encoder):
    encoder = token_encoder.double().eval()
    found = encoder(pad(SENTENCES, more=3))
    assert found.values.shape == (3, 7, encoder.size) == (3, 7, 16)
    assert found.mask.sum(1).tolist() == [4, 3, 2]
    for row, ids in zip(found.values, SENTENCES, strict=True):
        states = encoder.model(input_ids=ids[None]).last_hidden_state[0]
        torch.testing.assert_close(row[: len(ids)], states, atol=1e-10, rtol=0)


def test_a_missing_word_or_sentence_is_not_read(token_encoder):
    encoder = token_encoder.double().eval()
    mask = torch.tensor([[True, True, False, True], [False] * 4])
    one, other = (encoder(Modality(torch.tensor([[2, 5, word, 3], [word] * 4]), mask, True)) for word in (6, 9))
    assert torch.equal(one.values[mask], other.values[mask])
    assert bool(one.values.isfinite().all())


def test_every_parameter_that_the_tokens_need_learns(token_encoder):
    found = token_encoder.train()(pad(SENTENCES))
    (found.values * found.mask[:, :, None]).square().sum().backward()
    assert [name for name, p in token_encoder.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
