import pickle
from pathlib import Path

import numpy as np
import pytest

from workbench.data import load
from workbench.data.card import DataCard
from workbench.data.readers.mmsa_pickle import read
from workbench.errors import ConfigError, DataError
from workbench.fitting import fit
from workbench.probes.label_errors import MADE, WHOLE, is_known, label_errors

SIZES = {"train": 12, "valid": 5, "test": 6}
STEPS = {"text": 8, "audio": 11, "vision": 9}
WIDTHS = {"text": 6, "audio": 3, "vision": 4}
WORDS = ("good", "film", "so", "bad", "i", "mean")
CARD = """---
name: small
title: MMSA's layout
task: {kind: regression, range: [-3, 3]}
modalities:
  text: {kind: sequence, also: [tokens], size: null, description: d}
  audio: {kind: sequence, size: null, description: d}
  vision: {kind: sequence, size: null, description: d}
splits: {train: null, valid: null, test: null}
format: mmsa_pickle
sources: [{path: small.pkl}]
licence: none
citation: none
---
Made for a test.
"""


def split(name: str, samples: int, seed: int, *, steps: dict[str, int] = STEPS, sims: bool = False) -> tuple[dict, dict]:
    """A split in MMSA's layout, padded behind with zeros (text: with the features of padding tokens), and its real steps by themselves."""
    random = np.random.default_rng(seed)
    aligned = len(set(steps.values())) == 1
    lengths = {key: random.integers(2, steps[key] + 1, samples) for key in steps}
    lengths = {key: lengths["text"] if aligned else own for key, own in lengths.items()}
    real = {key: [random.normal(size=(n, WIDTHS[key])).astype(np.float32) for n in lengths[key]] for key in steps}
    padded = {key: np.full((samples, steps[key], WIDTHS[key]), 0.5 if key == "text" else 0, np.float32) for key in steps}
    tokens = np.zeros((samples, 3, steps["text"]), np.float32)
    for key, rows in real.items():
        for row, values in enumerate(rows):
            padded[key][row, : len(values)] = values
    for row, n in enumerate(lengths["text"]):
        tokens[row, 0, :n] = [101, *random.integers(1000, 2000, n - 2), 102]
        tokens[row, 1, :n] = 1
    made = {
        "raw_text": ["我很好" if sims else " ".join(random.choice(WORDS, 4)) for _ in range(samples)],
        "id": [f"{name}{row // 3}$_${row}" for row in range(samples)],
        **padded,
        "text_bert": tokens,
        "annotations": ["Neutral"] * samples,
        "classification_labels": np.ones(samples),
        "regression_labels": random.uniform(-1, 1, samples).astype(np.float32),
    }
    if not aligned:
        made |= {"audio_lengths": lengths["audio"].tolist(), "vision_lengths": lengths["vision"].tolist()}
    if sims:
        made |= {f"regression_labels_{letter}": random.uniform(-1, 1, samples).astype(np.float32) for letter in "TAV"}
    return made, real


def corpus(sizes: dict[str, int] = SIZES, **options) -> tuple[dict, dict]:
    made = {name: split(name, samples, seed, **options) for seed, (name, samples) in enumerate(sizes.items())}
    return {name: content for name, (content, _) in made.items()}, {name: real for name, (_, real) in made.items()}


def write(root: Path, content: object, path: str = "small.pkl", *, protocol: int = 4) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(pickle.dumps(content, protocol=protocol))


def small(root: Path, text: str = CARD) -> DataCard:
    (root / "small.md").write_text(text)
    return DataCard.load(root / "small.md")


def reading(root: Path, content: object, **options):
    write(root, content)
    return read(small(root), root, **options)


def same(column, rows: list[np.ndarray]) -> None:
    assert column.lengths.tolist() == [len(values) for values in rows]
    assert np.array_equal(column.values.numpy(), np.concatenate(rows))


@pytest.mark.parametrize(("protocol", "kind"), [(2, np.float32), (4, np.int64), (4, np.float64)])
def test_unaligned_files_come_back_step_by_step(tmp_path, protocol, kind):
    content, real = corpus()
    for part in content.values():
        part["text_bert"] = part["text_bert"].astype(kind)
        part["vision_lengths"] = np.array(part["vision_lengths"], kind)
    write(tmp_path, content, protocol=protocol)
    data = read(small(tmp_path), tmp_path)
    assert data.modalities == ("text", "audio", "vision")
    for name in SIZES:
        for key in STEPS:
            same(data[name].columns[key], real[name][key])
        assert np.array_equal(data[name].target.numpy(), content[name]["regression_labels"])
    train = data["train"]
    assert train.ids[:4] == ["train0$_$0", "train0$_$1", "train0$_$2", "train1$_$3"]
    assert train.groups[:4] == ["train0", "train0", "train0", "train1"]
    assert train.texts == content["train"]["raw_text"] and train.labels == {}
    spec = data.spec.modalities["audio"]
    assert (spec.kind, spec.size, spec.length) == ("sequence", 3, max(len(rows) for part in real.values() for rows in part["audio"]))
    said = data.notes["reading"]
    assert "audio: padded, zeros behind the real steps" in said and "text: not padded, no zeros at either end" in said
    cut = {name: sum(len(rows) < STEPS["text"] for rows in real[name]["text"]) for name in SIZES}
    counted = ", ".join(f"{name} {count}" for name, count in cut.items())
    assert f"text: samples with features behind the attention mask, those of padding tokens: cut off ({counted})" in said


ALIGNED = dict.fromkeys(STEPS, 8)


def test_aligned_files_keep_one_length_and_the_silence_in_it(tmp_path):
    content, real = corpus(steps=ALIGNED)
    row = int(np.argmax([len(rows) for rows in real["train"]["text"]]))
    n = len(real["train"]["text"][row])
    content["train"]["audio"][row, n - 2 :] = 0  # Two silent steps at the end of the sentence.
    content["train"]["vision"][0, 7] = 9  # A value behind the last token.
    data = reading(tmp_path, content)
    for name in SIZES:
        for key in STEPS:
            assert data[name].columns[key].lengths.tolist() == [len(rows) for rows in real[name]["text"]]
    assert np.array_equal(data["train"].columns["audio"][row].numpy(), content["train"]["audio"][row, :n])
    assert not data["train"].columns["audio"][row][-2:].any()
    if len(real["train"]["text"][0]) < 8:
        assert "vision: samples with values behind the last token: cut off (train 1)" in data.notes["reading"]


def test_aligned_files_without_a_mask_take_the_longest_of_the_three(tmp_path):
    content, real = corpus(steps=ALIGNED)
    for name, part in content.items():
        del part["text_bert"]
        for row, rows in enumerate(real[name]["text"]):
            part["text"][row, len(rows) :] = 0
        part["audio"][1, 1:] = 0  # Silent from the second step on.
    data = reading(tmp_path, content)
    for name in SIZES:
        for key in STEPS:
            assert data[name].columns[key].lengths.tolist() == [len(rows) for rows in real[name]["text"]]


def test_an_aligned_file_read_as_tokens_stays_aligned(tmp_path):
    content, real = corpus(steps=ALIGNED)
    content["train"]["audio"][1, 1:] = 0
    data = reading(tmp_path, content, text="ids")
    for key in STEPS:
        assert data["train"].columns[key].lengths.tolist() == [len(rows) for rows in real["train"]["text"]]


def test_text_ends_with_its_zeros_where_they_begin_before_the_mask_ends(tmp_path):
    content, _ = corpus()
    content["train"]["text"][:, 2:] = 0  # Word vectors: fewer words than BERT's tokens.
    data = reading(tmp_path, content)
    assert set(data["train"].columns["text"].lengths.tolist()) == {2}
    mask = content["train"]["text_bert"][:, 1].sum(1)
    assert f"text: samples that are zero before their attention mask ends: zeros cut off (train {(mask > 2).sum()})" in data.notes["reading"]


def test_text_that_is_padded_before_its_steps_is_read_by_its_zeros(tmp_path):
    content, real = corpus()
    for row, values in enumerate(real["valid"]["text"]):
        content["valid"]["text"][row] = 0
        content["valid"]["text"][row, -len(values) :] = values
    data = reading(tmp_path, content)
    same(data["valid"].columns["text"], real["valid"]["text"])
    said = data.notes["reading"]
    assert "text: padded, zeros before the real steps (valid)" in said
    assert "text: its features do not stand as the attention mask of text_bert says: their zeros decide (valid)" in said


def test_without_lengths_zeros_decide(tmp_path):
    content, real = corpus()
    del content["test"]["vision_lengths"]
    data = reading(tmp_path, content)
    same(data["test"].columns["vision"], real["test"]["vision"])


def test_stated_lengths_are_trusted_and_their_disagreement_is_said(tmp_path):
    content, _ = corpus()
    part = content["train"]
    part["audio"][:] = 1
    part["audio"][:, 6:] = 0
    part["audio_lengths"] = [6] * 9 + [4, 8, 0]
    data = reading(tmp_path, content)
    column = data["train"].columns["audio"]
    assert column.lengths.tolist() == [6] * 9 + [4, 8, 1]
    assert np.array_equal(column[10].numpy(), part["audio"][10, :8])
    said = data.notes["reading"]
    assert "audio: the stated length is 0: one step is kept (train 1)" in said
    assert "audio: samples with values behind the stated length: cut off (train 2)" in said
    assert "audio: samples that end in zeros before the stated length: kept (train 1)" in said


@pytest.mark.parametrize(
    ("length", "match"),
    [
        (12, r"the length of audio is 12(.|\n)*split train, key audio_lengths, row 3(.|\n)*1 to 11"),
        (-1, r"the length of audio is -1"),
        (2.5, r"the length of audio is 2.5"),
        (float("nan"), r"the length of audio is nan"),
    ],
)
def test_impossible_lengths_are_refused(tmp_path, length, match):
    content, _ = corpus()
    content["train"]["audio_lengths"][3] = length
    with pytest.raises(DataError, match=match):
        reading(tmp_path, content)


def test_masks_with_gaps_and_without_a_token_are_said(tmp_path):
    content, real = corpus()
    rows = [row for row, values in enumerate(real["train"]["text"]) if len(values) > 3][:2]
    content["train"]["text_bert"][rows[0], 1, 1] = 0
    content["train"]["text_bert"][rows[1], 1] = 0
    data = reading(tmp_path, content)
    lengths = data["train"].columns["text"].lengths.tolist()
    assert (lengths[rows[0]], lengths[rows[1]]) == (len(real["train"]["text"][rows[0]]), 1)
    assert "text_bert: attention masks with gaps, read up to their last 1 (train 1)" in data.notes["reading"]
    assert "text_bert: attention masks without a 1: one token is kept (train 1)" in data.notes["reading"]


def test_infinite_values_become_zero_and_are_counted_nan_is_refused(tmp_path):
    content, _ = corpus()
    content["train"]["audio"][2, 0, 1] = -np.inf
    content["test"]["audio"][4, 1, :2] = np.inf
    data = reading(tmp_path, content)
    assert data["train"].columns["audio"][2][0, 1] == 0 and data["test"].columns["audio"][4][1, :2].tolist() == [0, 0]
    assert "audio: infinite values became 0 (train 1, test 2)" in data.notes["reading"]
    content["valid"]["vision"][3, 1, 2] = np.nan
    write(tmp_path, content)
    with pytest.raises(DataError, match=r"vision: a value is nan(.|\n)*split valid, vision, row 3 \(valid1\$_\$3\), step 1, column 2"):
        load(str(small(tmp_path).path))


def test_labels_of_single_modalities(tmp_path):
    content, _ = corpus(sims=True)
    labels = reading(tmp_path, content)["valid"].labels
    for name, letter in (("text", "T"), ("audio", "A"), ("vision", "V")):
        assert np.array_equal(labels[name].numpy(), content["valid"][f"regression_labels_{letter}"])
    content["valid"]["regression_labels_A"] = np.zeros(4)
    with pytest.raises(DataError, match=r"regression_labels_A has 4 samples, the labels have 5"):
        reading(tmp_path, content)


@pytest.mark.parametrize(("method", "makes"), [("mmiln", ["audio", "vision"]), ("self_mm", ["text", "audio", "vision"])])
def test_labels_that_a_training_makes_are_held_against_them(tmp_path, method, makes):
    content, _ = corpus(sims=True)
    data = reading(tmp_path, content)
    run = fit(method, data, config={"hidden_size": 4}, plan={"epochs": 2, "batch_size": 4}, preset="none", runs=tmp_path / "runs")
    assert is_known([run], data)
    errors = label_errors([run], data).set_index(["modality", "epoch", "label"])["value"]
    train = content["train"]
    for name in makes:
        expected = np.abs(train["regression_labels"] - train[f"regression_labels_{name[0].upper()}"]).mean()
        assert errors[name, 2, WHOLE] == pytest.approx(expected, rel=1e-5)
        assert errors[name, 1, MADE] == pytest.approx(expected, rel=1e-5), "the first epoch has the label of the whole"
        assert errors[name, 2, MADE] != errors[name, 1, MADE]
    assert set(errors.index.get_level_values("modality")) == set(makes)
    assert not is_known([run], reading(tmp_path, corpus()[0]))


def test_token_ids_name_their_model(tmp_path):
    content, real = corpus()
    data = reading(tmp_path, content, text="ids")
    for name, part in content.items():
        rows = [part["text_bert"][row, 0, : len(values)].astype(np.int64) for row, values in enumerate(real[name]["text"])]
        same(data[name].columns["text"], rows)
    spec = data.spec.modalities["text"]
    assert (spec.kind, spec.size, spec.text_model) == ("tokens", 30522, "bert-base-uncased")
    assert list(data["train"].columns) == ["text", "audio", "vision"]
    plain = reading(tmp_path, content, text="ids", text_model="none").spec.modalities["text"]
    largest = max(part["text_bert"][:, 0].max() for part in content.values())
    assert (plain.size, plain.text_model) == (largest + 1, None)
    assert reading(tmp_path, content, text="ids", text_model="my/folder").spec.modalities["text"].text_model == "my/folder"


def test_chinese_tokens_and_characters(tmp_path):
    content, _ = corpus(sims=True)
    spec = reading(tmp_path, content, text="ids").spec.modalities["text"]
    assert (spec.size, spec.text_model) == (21128, "bert-base-chinese")
    data = reading(tmp_path, content, text="words")
    assert set(data.spec.modalities["text"].vocabulary[2:]) == {"我", "很", "好"}
    assert set(data["test"].columns["text"].lengths.tolist()) == {3}
    assert data["test"].texts[0] == "我很好"
    assert "text: Chinese sentences are cut into characters" in data.notes["reading"]


def test_ids_of_another_tokeniser_name_no_model(tmp_path):
    content, _ = corpus()
    content["valid"]["text_bert"][2, 0, 0] = 0
    data = reading(tmp_path, content, text="ids")
    assert data.spec.modalities["text"].text_model is None
    assert any("do not begin with BERT's first token, 101" in sentence for sentence in data.notes["reading"])
    content, _ = corpus()
    content["train"]["text_bert"][1, 0, 1] = 50_000
    with pytest.raises(DataError, match=r"the token id 50000 is none of bert-base-uncased(.|\n)*0 to 30521(.|\n)*text_model="):
        reading(tmp_path, content, text="ids")


def test_words_by_the_training_vocabulary(tmp_path):
    content, _ = corpus()
    content["test"]["raw_text"][0] = "Good unheard film"
    data = reading(tmp_path, content, text="words")
    spec, column = data.spec.modalities["text"], data["test"].columns["text"]
    assert spec.kind == "tokens" and spec.text_model is None
    assert column[0].tolist() == [spec.vocabulary.index("good"), 1, spec.vocabulary.index("film")]
    assert list(data["test"].columns) == ["text", "audio", "vision"]


def test_keys_that_nobody_knows_are_named_and_ids_may_be_missing(tmp_path):
    content, _ = corpus()
    content |= {"config": {"a": 1}, "train_mix": {"mask": np.zeros(3)}}
    content["train"]["mask"] = np.ones(12)
    del content["valid"]["id"]
    content["test"]["id"] = [f"clip{row}" for row in range(6)]
    data = reading(tmp_path, content)
    said = data.notes["reading"]
    assert "keys that are not read: config, train_mix" in said and "keys that are not read: mask (train)" in said
    assert "no ids: samples are numbered, and their videos are unknown (valid)" in said
    assert "ids are not video$_$clip: the videos are unknown (test)" in said
    assert data["valid"].ids[4] == "valid_4" and data["valid"].groups is None and data["test"].groups is None
    assert data["test"].ids[5] == "clip5"


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        (
            "regression_labels",
            np.zeros((5, 2)),
            r"regression_labels has the shape \[5, 2\](.|\n)*split valid, key regression_labels(.|\n)*one number a sample",
        ),
        ("audio", np.zeros((5, 7)), r"audio has the shape \[5, 7\](.|\n)*samples x time x feature"),
        ("audio", np.zeros((4, 7, 3)), r"audio has 4 samples, the labels have 5"),
        ("vision_lengths", 7, r"vision_lengths is a single number, the labels have 5"),
        ("vision_lengths", np.ones((5, 2)), r"vision_lengths has 2 numbers a sample"),
        ("vision", [[[1.0], [1.0, 2.0]]] * 5, r"split valid, key vision(.|\n)*samples x time x feature"),
        ("vision", [["a"]] * 5, r"not a number(.|\n)*split valid, key vision"),
        ("text_bert", np.zeros((5, 2, 8)), r"text_bert has the shape \[5, 2, 8\]"),
        ("text_bert", np.full((5, 3, 8), 0.5), r"text_bert has an id that is no whole number(.|\n)*row 0"),
        ("text_bert", np.full((5, 3, 8), np.nan), r"text_bert has an id that is no whole number"),
        ("text_bert", np.full((5, 3, 8), -1), r"text_bert has an id that is no whole number"),
        ("raw_text", ["a"] * 4, r"raw_text has 4 samples, the labels have 5"),
        ("id", ["a$_$1", "a$_$2", "a$_$3", "a$_$1", "b"], r'the id "a\$_\$1" stands twice(.|\n)*split valid'),
        ("id", ["a$_$1", "train0$_$0", "a$_$3", "a$_$4", "b"], r'the id "train0\$_\$0" stands twice(.|\n)*splits train and valid'),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, key, value, match):
    content, _ = corpus()
    content["valid"][key] = value
    with pytest.raises(DataError, match=match):
        reading(tmp_path, content)


def test_missing_parts_are_named(tmp_path):
    for content, match in (
        ([1, 2], "this is a list"),
        ({"train": {}}, '"valid" is missing'),
        ({name: [] for name in SIZES}, r"this is a list(.|\n)*split train"),
    ):
        with pytest.raises(DataError, match=match):
            reading(tmp_path, content)
    for key, options in (("audio", {}), ("regression_labels", {}), ("text_bert", {"text": "ids"}), ("raw_text", {"text": "words"})):
        content, _ = corpus()
        del content["test"][key]
        with pytest.raises(DataError, match=rf'"{key}" is missing(.|\n)*split test'):
            reading(tmp_path, content, **options)
    write(tmp_path, corpus()[0])
    whole = (tmp_path / "small.pkl").read_bytes()
    (tmp_path / "small.pkl").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"small.pkl"):
        read(small(tmp_path), tmp_path)


def test_cards_and_options_that_the_format_cannot_serve(tmp_path):
    write(tmp_path, corpus()[0])
    with pytest.raises(ConfigError, match='unknown form of text "idz". Did you mean ids'):
        read(small(tmp_path), tmp_path, text="idz")
    with pytest.raises(DataError, match=r"these files have no modality smell(.|\n)*small.md line 8"):
        read(small(tmp_path, CARD.replace("  vision:", "  smell:")), tmp_path)
    with pytest.raises(DataError, match="these files have no multiclass labels"):
        read(small(tmp_path, CARD.replace("{kind: regression, range: [-3, 3]}", "{kind: multiclass, classes: [a, b]}")), tmp_path)


def test_stated_lengths_count_from_the_first_step_though_clips_begin_in_silence(tmp_path):
    """All audio is 8 of 11 steps; in train, all clips but the first begin with three silent ones, so zeros alone would say padded before."""
    content, real = corpus()
    for part in content.values():
        part["audio"][:], part["audio_lengths"] = 1, [8] * len(part["id"])
        part["audio"][:, 8:] = 0
    content["train"]["audio"][1:, :4] = 0
    data = reading(tmp_path, content)
    for name, part in content.items():
        column = data[name].columns["audio"]
        assert column.lengths.tolist() == [8] * len(part["id"])
        assert np.array_equal(column.values.numpy(), np.concatenate([rows[:8] for rows in part["audio"]]))
        same(data[name].columns["vision"], real[name]["vision"])
    said = [sentence for sentence in data.notes["reading"] if sentence.startswith("audio")]
    assert said == ["audio: padded, zeros behind the real steps"]


def test_stated_lengths_count_from_the_last_step_where_the_values_stand_there(tmp_path):
    content, real = corpus()
    for name, part in content.items():
        for row, values in enumerate(real[name]["audio"]):
            part["audio"][row] = 0
            part["audio"][row, 11 - len(values) :] = values
    rows = real["train"]["audio"]
    row = next(row for row, values in enumerate(rows) if row and 3 < len(values) < 11)
    content["train"]["audio"][row, 0] = 5  # A value before the stated length: one sample does not turn the side.
    content["train"]["audio"][0, 11 - len(rows[0])] = 0  # A silent first step.
    data = reading(tmp_path, content)
    same(data["test"].columns["audio"], real["test"]["audio"])
    assert np.array_equal(data["train"].columns["audio"][row].numpy(), rows[row])
    said = data.notes["reading"]
    assert "audio: padded, zeros before the real steps" in said and "vision: padded, zeros behind the real steps" in said
    assert "audio: samples with values before the stated length: cut off (train 1)" in said
    assert "audio: samples that begin in zeros behind the start of the stated length: kept (train 1)" in said


def test_names_of_keys_are_short_and_clean_and_errors_say_what_to_do(tmp_path):
    content, _ = corpus()
    content["\x1b[31mred" + "x" * 200_000] = content[(1,)] = 1
    said = [sentence for sentence in reading(tmp_path, content).notes["reading"] if sentence.startswith("keys")]
    assert len(said) == 1 and len(said[0]) < 250 and said[0].isprintable()
    assert "?[31mredxxx" in said[0] and "a tuple" in said[0]
    for key, value in (("audio", None), ("vision", [[[1.0], [1.0, 2.0]]] * 5), ("audio", np.zeros((5, 7)))):
        broken, _ = corpus()
        broken["valid"][key] = value
        if value is None:
            del broken["valid"][key]
        with pytest.raises(DataError, match=r"\n  do  +compare the file with what its card says of it"):
            reading(tmp_path, broken)
    twice, _ = corpus()
    twice["valid"]["id"] = ["\x1b" * 500 + "$_$1"] * 5
    with pytest.raises(DataError, match=r'the id "\?{60}\.\.\." stands twice'):
        reading(tmp_path, twice)


@pytest.mark.parametrize(("text", "kind"), [("features", "sequence"), ("ids", "tokens"), ("words", "tokens")])
def test_modalities_come_in_the_order_of_the_card(tmp_path, text, kind):
    audio, vision = ("  audio: {kind: sequence, size: null, description: d}\n", "  vision: {kind: sequence, size: null, description: d}\n")
    write(tmp_path, corpus()[0])
    card = CARD.replace(audio + vision, "").replace("modalities:\n", "modalities:\n" + vision)
    data = load(str(small(tmp_path, card).path), text=text)
    assert list(data["train"].columns) == ["vision", "text"] == list(data.modalities)
    assert data.spec.modalities["text"].kind == kind


TINY = {"text": 3, "audio": 4, "vision": 5}


@pytest.mark.parametrize(
    ("name", "path", "sizes", "steps"),
    [
        ("mosi_mmsa", "MOSI/Processed/unaligned_50.pkl", (1284, 229, 686), TINY),
        ("mosi_mmsa/aligned", "MOSI/Processed/aligned_50.pkl", (1284, 229, 686), dict.fromkeys(TINY, 3)),
        ("mosei_mmsa/aligned", "MOSEI/Processed/aligned_50.pkl", (16326, 1871, 4659), dict.fromkeys(TINY, 2)),
        ("sims", "SIMS/Processed/unaligned_39.pkl", (1368, 456, 457), TINY),
        ("simsv2", "SIMSv2/Processed/sims_unaligned.pkl", (20, 7, 9), TINY),
    ],
)
def test_the_cards_that_come_with_the_workbench(tmp_path, name, path, sizes, steps):
    content, real = corpus(dict(zip(SIZES, sizes, strict=True)), steps=steps, sims=name.startswith("sims"))
    write(tmp_path, content, path)
    data = load(name, root=tmp_path)
    assert tuple(len(split) for split in data.splits.values()) == sizes
    same(data["test"].columns["text"], real["test"]["text"])
    values = np.concatenate(real["train"]["vision"]).astype(np.float64)
    scaled = (np.concatenate(real["valid"]["vision"]) - values.mean(0)) / values.std(0)
    assert data["valid"].columns["vision"].values.numpy() == pytest.approx(scaled, abs=1e-4)
    assert set(data["train"].labels) == ({"text", "audio", "vision"} if name.startswith("sims") else set())
