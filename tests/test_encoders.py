"""Encoders against loops; neither padding nor batch-mates matter."""

from pathlib import Path

import pytest
import torch
from torch import nn

from workbench.data.batch import Modality, ModalitySpec
from workbench.encoders import Features, LSTMEncoder, MeanMLP, TextTransformer
from workbench.sequences import last_real_step, masked_mean

LENGTHS = (4, 1, 7, 0, 3)

SEQUENCE = ModalitySpec("sequence", 5, 7)
TOKENS = ModalitySpec("tokens", 20, 7)
IMAGE = ModalitySpec("image", 3, shape=(3, 4, 2))


def mlp(spec: ModalitySpec) -> nn.Module:
    return MeanMLP(spec, hidden_size=6, layers=2, dropout=0.5, embedding_size=8).eval()


def lstm(spec: ModalitySpec) -> nn.Module:
    return LSTMEncoder(spec, hidden_size=6, dropout=0.5, embedding_size=8).eval()


@pytest.fixture
def samples() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, 5, generator=generator) for length in LENGTHS]


@pytest.fixture
def sentences() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(1, 20, (length,), generator=generator) for length in LENGTHS]


def pad(samples: list[torch.Tensor], *, more: int = 0, fill: float = 0) -> Modality:
    """The samples padded to the longest, and `more` steps beyond."""
    longest = max(1, *(len(sample) for sample in samples)) + more
    values = torch.full((len(samples), longest, *samples[0].shape[1:]), fill, dtype=samples[0].dtype)
    mask = torch.zeros(len(samples), longest, dtype=torch.bool)
    for i, sample in enumerate(samples):
        values[i, : len(sample)] = sample
        mask[i, : len(sample)] = True
    return Modality(values, mask)


# Pooling


def test_the_masked_mean_is_the_mean_of_the_real_steps(samples):
    padded = pad(samples, more=2, fill=99)
    found = masked_mean(padded.values, padded.mask)
    for row, sample in zip(found, samples, strict=True):
        torch.testing.assert_close(row, sample.mean(0) if len(sample) else torch.zeros(5))


def test_the_last_real_step_is_not_the_last_padded_one(samples):
    padded = pad(samples, more=2, fill=99)
    found = last_real_step(padded.values, padded.mask)
    for row, sample in zip(found, samples, strict=True):
        assert torch.equal(row, sample[-1] if len(sample) else torch.zeros(5))


def test_real_steps_with_a_gap():
    values = torch.tensor([[[1.0], [2.0], [6.0], [9.0]]])
    mask = torch.tensor([[True, False, True, False]])
    assert masked_mean(values, mask).tolist() == [[3.5]]
    assert last_real_step(values, mask).tolist() == [[6]]


def test_no_gradient_reaches_padded_steps(samples):
    modality = pad(samples)
    for pool in (masked_mean, last_real_step):
        values = modality.values.clone().requires_grad_()
        pool(values, modality.mask).sum().backward()
        assert values.grad[~modality.mask].abs().sum() == 0
        assert values.grad[modality.mask].abs().sum() > 0


# Features


def test_tokens_are_embedded_and_padding_is_zero(sentences):
    features = Features(TOKENS, embedding_size=8)
    values = features(pad(sentences))
    assert values.shape == (5, 7, 8)
    assert features.size == 8
    assert values[~pad(sentences).mask].abs().sum() == 0


def test_images_are_one_step_of_all_pixels():
    images = torch.arange(48.0).reshape(2, 3, 4, 2)
    features = Features(IMAGE, embedding_size=8)
    values = features(Modality(images, torch.ones(2, 1, dtype=torch.bool)))
    assert values.shape == (2, 1, 24)
    assert torch.equal(values[1, 0], images[1].reshape(-1))
    assert features.size == 24


def test_sequences_stay_as_they_are(samples):
    features = Features(SEQUENCE, embedding_size=8)
    assert torch.equal(features(pad(samples)), pad(samples).values)
    assert (features.size, list(features.parameters())) == (5, [])


# Encoders


@pytest.mark.parametrize("make", [mlp, lstm])
@pytest.mark.parametrize("kind", ["sequence", "tokens"])
def test_padding_and_batch_mates_do_not_matter(make, kind, samples, sentences):
    spec, inputs = (SEQUENCE, samples) if kind == "sequence" else (TOKENS, sentences)
    encoder = make(spec).double()
    inputs = [sample.double() if sample.is_floating_point() else sample for sample in inputs]
    together = encoder(pad(inputs))
    torch.testing.assert_close(encoder(pad(inputs, more=5, fill=0)), together, atol=1e-12, rtol=0)
    torch.testing.assert_close(encoder(pad(inputs, more=5, fill=7)), together, atol=1e-12, rtol=0)
    for i, sample in enumerate(inputs):
        torch.testing.assert_close(encoder(pad([sample]))[0], together[i], atol=1e-12, rtol=0)
    order = [3, 1, 4, 0, 2]
    torch.testing.assert_close(encoder(pad([inputs[i] for i in order])), together[order], atol=1e-12, rtol=0)


@pytest.mark.parametrize("make", [mlp, lstm])
@pytest.mark.parametrize("spec", [SEQUENCE, ModalitySpec("vector", 5), TOKENS, IMAGE], ids=lambda spec: spec.kind)
def test_one_vector_of_the_promised_size(make, spec):
    values = {
        "sequence": torch.randn(2, 7, 5),
        "vector": torch.randn(2, 1, 5),
        "tokens": torch.randint(1, 20, (2, 7)),
        "image": torch.randn(2, 3, 4, 2),
    }[spec.kind]
    encoder = make(spec)
    steps = 7 if spec.kind in ("sequence", "tokens") else 1
    found = encoder(Modality(values, torch.ones(2, steps, dtype=torch.bool)))
    assert found.shape == (2, encoder.size) == (2, 6)


def test_the_mlp_is_the_mean_then_linear_and_relu(samples):
    encoder = mlp(SEQUENCE)
    expected = torch.stack([sample.mean(0) if len(sample) else torch.zeros(5) for sample in samples])
    for block in encoder.layers:
        expected = torch.relu(expected @ block[0].weight.T + block[0].bias)
    torch.testing.assert_close(encoder(pad(samples)), expected)


def test_the_lstm_equals_its_cell_step_by_step(samples):
    encoder = lstm(SEQUENCE)
    cell = nn.LSTMCell(5, 6)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in encoder.lstm.state_dict().items()})
    found = encoder(pad(samples))
    for i, sample in enumerate(samples):
        state = (torch.zeros(1, 6), torch.zeros(1, 6))
        for step in sample:
            state = cell(step[None], state)
        torch.testing.assert_close(found[i], state[0][0])


@pytest.mark.parametrize("inputs", ["samples", "sentences"])
def test_the_lstm_gives_zeros_for_a_sample_without_a_real_step(inputs, request):
    encoder = lstm(SEQUENCE if inputs == "samples" else TOKENS)
    found = encoder(pad(request.getfixturevalue(inputs)))
    assert found[LENGTHS.index(0)].abs().sum() == 0
    assert (found.abs().sum(1) > 0).sum() == 4


@pytest.mark.parametrize("make", [mlp, lstm])
def test_a_batch_without_a_single_real_step(make):
    found = make(SEQUENCE)(pad([torch.zeros(0, 5), torch.zeros(0, 5)]))
    assert found.isfinite().all()
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("make", [mlp, lstm])
@pytest.mark.parametrize("spec", [SEQUENCE, TOKENS], ids=["sequence", "tokens"])
def test_double(make, spec):
    values = torch.randn(2, 7, 5) if spec is SEQUENCE else torch.randint(1, 20, (2, 7))
    assert make(spec).double()(Modality(values, torch.ones(2, 7, dtype=torch.bool))).dtype == torch.float64


@pytest.mark.parametrize("make", [mlp, lstm])
def test_dropout_acts_in_training_only(make, samples):
    encoder = make(SEQUENCE)
    assert torch.equal(encoder(pad(samples)), encoder(pad(samples)))
    encoder.train()
    assert not torch.equal(encoder(pad(samples)), encoder(pad(samples)))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_transformer_pools_real_tokens_only(tiny_bert: Path, pooling):
    spec = ModalitySpec("tokens", 20, 7, text_model=str(tiny_bert))
    encoder = TextTransformer(spec, pooling=pooling).double().eval()
    ids = [torch.tensor([2, 5, 6, 3]), torch.tensor([2, 7, 3]), torch.tensor([2, 3])]
    together = encoder(pad(ids, more=3))
    assert together.shape == (3, encoder.size) == (3, 16)
    for i, row in enumerate(ids):
        states = encoder.model(input_ids=row[None]).last_hidden_state[0]
        expected = states[0] if pooling == "cls" else states.mean(0)
        torch.testing.assert_close(together[i], expected, atol=1e-10, rtol=0)


def test_every_parameter_of_a_transformer_learns(tiny_bert: Path):
    encoder = TextTransformer(ModalitySpec("tokens", 20, 7, text_model=str(tiny_bert)))
    encoder(pad([torch.tensor([2, 5, 6, 3]), torch.tensor([2, 7, 3])])).square().sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None] == []


@pytest.fixture
def tiny_bert(tmp_path: Path) -> Path:
    """A BERT of width 16 in a local folder."""
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=32
    )
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"
