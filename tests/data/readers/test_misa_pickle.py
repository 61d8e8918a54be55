import pickle
from pathlib import Path

import numpy as np
import pytest

from workbench.data import load
from workbench.data.card import DataCard
from workbench.data.readers.misa_pickle import read
from workbench.errors import DataError

FILES = {"train": "train.pkl", "valid": "dev.pkl", "test": "test.pkl"}
SIZES = {"train": 12, "valid": 5, "test": 6}
WORDS = ("good", "Film", "so", "bad", "i", "mean")
CARD = """---
name: small
title: MISA's layout
task: {kind: regression, range: [-3, 3]}
modalities:
  text: {kind: tokens, size: null, description: d}
  vision: {kind: sequence, size: null, description: d}
  audio: {kind: sequence, size: null, description: d}
splits: {train: null, valid: null, test: null}
format: misa_pickle
sources: [{path: train.pkl, role: train}, {path: dev.pkl, role: valid}, {path: test.pkl, role: test}]
licence: none
citation: none
---
Made for a test.
"""


def split(name: str, samples: int, seed: int, *, columns: int = 1) -> list:
    """A list in MISA's layout; every clip has its own number of words."""
    random = np.random.default_rng(seed)
    made = []
    for row in range(samples):
        n = int(random.integers(1, 7))
        features = (random.normal(size=(n, 5)).astype(np.float32), random.normal(size=(n, 3)))
        label = random.uniform(-3, 3, (1, columns)).astype(np.float32)
        made.append(((random.integers(0, 99, n), *features, list(random.choice(WORDS, n))), label, f"{name}_{row // 3}[{row % 3}]"))
    return made


def corpus(**options) -> dict[str, list]:
    return {name: split(name, samples, seed, **options) for seed, (name, samples) in enumerate(SIZES.items())}


def write(root: Path, content: dict[str, object], *, protocol: int = 4) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, samples in content.items():
        (root / FILES[name]).write_bytes(pickle.dumps(samples, protocol=protocol))


def small(root: Path, *, old: str = "", new: str = "") -> DataCard:
    (root / "small.md").write_text(CARD.replace(old, new))
    return DataCard.load(root / "small.md")


def reading(root: Path, content: dict[str, object]):
    write(root, content)
    return read(small(root), root)


@pytest.mark.parametrize("protocol", [2, 4])
def test_lists_come_back_clip_by_clip(tmp_path, protocol):
    content = corpus()
    write(tmp_path, content, protocol=protocol)
    data = read(small(tmp_path), tmp_path)
    assert data.modalities == ("text", "vision", "audio")
    known = data.spec.modalities["text"].vocabulary
    assert known[:2] == ("<padding>", "<unknown>") and set(known[2:]) == {word.lower() for clip in content["train"] for word in clip[0][3]}
    for name, clips in content.items():
        found = data[name]
        for row, ((_, visual, acoustic, said), label, segment) in enumerate(clips):
            assert np.array_equal(found.columns["vision"][row].numpy(), visual)
            assert np.array_equal(found.columns["audio"][row].numpy(), acoustic.astype(np.float32))
            assert [known[token] for token in found.columns["text"][row]] == [word.lower() for word in said]
            assert (found.ids[row], found.texts[row]) == (segment, " ".join(said))
            assert found.groups[row] == segment.split("[")[0]
            assert found.target[row] == label[0, 0]
    assert (data.spec.modalities["vision"].size, data.spec.modalities["audio"].size) == (5, 3)
    assert data.notes["reading"] == ["text: words by the vocabulary of train; the word ids of the files number an embedding that is not in them"]


def test_a_word_that_train_does_not_know_is_unknown(tmp_path):
    content = corpus()
    content["test"][0][0][3][0] = "unheard"
    assert int(reading(tmp_path, content)["test"].columns["text"][0][0]) == 1


def test_of_seven_labels_the_sentiment_is_taken(tmp_path):
    content = corpus(columns=7)
    data = reading(tmp_path, content)
    assert data["valid"].target.tolist() == [clip[1][0, 0] for clip in content["valid"]]
    assert "labels have 7 columns, of which the first, sentiment, is taken" in data.notes["reading"]


def test_infinite_values_become_zero_and_nan_is_refused(tmp_path):
    content = corpus()
    content["train"][3][0][2][0, 1] = -np.inf
    data = reading(tmp_path, content)
    assert data["train"].columns["audio"][3][0, 1] == 0
    assert "audio: infinite values became 0 (train 1)" in data.notes["reading"]
    content["test"][4][0][1][0, 2] = np.nan
    write(tmp_path, content)
    with pytest.raises(DataError, match=r"vision: a value is nan(.|\n)*split test, vision, row 4 \(test_1\[1\]\), step 0, column 2"):
        load(str(small(tmp_path).path))


def test_what_does_not_fit_together_is_said(tmp_path):
    content = corpus()
    (numbers, visual, acoustic, said), label, segment = content["train"][2]
    content["train"][2] = ((numbers, np.concatenate([visual, visual]), acoustic, said), label, segment)
    content["valid"][1][0][3][0] = "two words"
    said = reading(tmp_path, content).notes["reading"]
    assert "samples whose words and steps are not equally many, so not aligned (train 1)" in said
    assert "text: samples whose words are not as many as their word ids, or hold spaces (valid 1)" in said


def test_segments_of_every_make(tmp_path):
    content = corpus()
    content["train"] = [clip[:2] for clip in content["train"]]
    content["valid"] = [(*clip[:2], row) for row, clip in enumerate(content["valid"])]
    content["test"] = [[list(clip[0]), clip[1], clip[2].encode()] for clip in content["test"]]
    data = reading(tmp_path, content)
    assert data["train"].ids[11] == "train_11" and data["train"].groups is None
    assert data["valid"].ids == ["0", "1", "2", "3", "4"] and data["valid"].groups is None
    assert data["test"].groups[3] == "test_1"
    assert "no segments: samples are numbered, and their videos are unknown (train)" in data.notes["reading"]
    assert "segments are not video[3]: the videos are unknown (valid)" in data.notes["reading"]


def clip(**changes) -> tuple:
    """A sample with one part changed."""
    parts = {
        "ids": np.zeros(2),
        "visual": np.ones((2, 5)),
        "acoustic": np.ones((2, 3)),
        "words": ["a", "b"],
        "label": np.ones((1, 1)),
        "segment": "v[0]",
    }
    parts |= changes
    return ((parts["ids"], parts["visual"], parts["acoustic"], parts["words"]), parts["label"], parts["segment"])


SAMPLE = r"\(\(word_ids, visual, acoustic, words\), label, segment\)"


@pytest.mark.parametrize(
    ("sample", "match"),
    [
        (clip(visual=np.ones(5)), r"dev.pkl: visual has the shape \[5\](.|\n)*dev.pkl, sample 2 \(counted from 0\)(.|\n)*time x feature"),
        (clip(visual=np.ones((2, 6))), r"vision has 6 columns(.|\n)*sample 2(.|\n)*5, as the first sample"),
        (clip(acoustic="x"), r"dev.pkl, sample 2, acoustic(.|\n)*time x feature"),
        (clip(label=np.ones((1, 7))), r"label has 7 columns(.|\n)*1, as the first sample"),
        (clip(label=None), r"sample 2, label"),
        (clip(words=[1, 2]), r"sample 2, words"),
        (clip(segment=None), r"the segment is a NoneType(.|\n)*video\[3\]"),
        (clip()[:1], rf"a sample is not as MISA writes it(.|\n)*sample 2(.|\n)*{SAMPLE}"),
        ((clip()[0][:3], 1.0, "v"), "a sample is not as MISA writes it"),
        ("text", "a sample is not as MISA writes it"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, sample, match):
    content = corpus()
    content["valid"][2] = sample
    with pytest.raises(DataError, match=match):
        reading(tmp_path, content)


def test_a_segment_that_stands_twice_is_refused(tmp_path):
    content = corpus()
    content["test"][3] = content["train"][0]
    with pytest.raises(DataError, match=r'the id "train_0\[0\]" stands twice(.|\n)*splits train and test'):
        reading(tmp_path, content)


@pytest.mark.parametrize(("content", "match"), [({"a": 1}, "train.pkl holds a dict"), ([], "train.pkl holds an empty list")])
def test_files_that_are_no_lists(tmp_path, content, match):
    with pytest.raises(DataError, match=match + rf"(.|\n)*a list of {SAMPLE}"):
        reading(tmp_path, {**corpus(), "train": content})


def test_cards_that_the_format_cannot_serve(tmp_path):
    write(tmp_path, corpus())
    with pytest.raises(DataError, match=r"these files have no text of kind sequence(.|\n)*small.md line 6"):
        read(small(tmp_path, old="text: {kind: tokens", new="text: {kind: sequence"), tmp_path)
    with pytest.raises(DataError, match="these files have no multiclass labels"):
        read(small(tmp_path, old="{kind: regression, range: [-3, 3]}", new="{kind: multiclass, classes: [a, b]}"), tmp_path)
    with pytest.raises(DataError, match="no source has the role test"):
        read(small(tmp_path, old=", role: test", new=""), tmp_path)
    without = small(tmp_path, old="  text: {kind: tokens, size: null, description: d}\n", new="")
    assert read(without, tmp_path).modalities == ("vision", "audio")


def test_the_card_that_comes_with_the_workbench(tmp_path):
    content = corpus()
    write(tmp_path / "MISA" / "MOSI", content)
    (tmp_path / "MISA" / "MOSI" / "embedding_and_mapping.pt").write_bytes(b"never opened")
    data = load("mosi_misa", root=tmp_path)
    assert {name: len(split) for name, split in data.splits.items()} == SIZES
    assert data["test"].columns["audio"][5].numpy() == pytest.approx(content["test"][5][0][2].astype(np.float32))


def nested(depth: int) -> list:
    """A list that, counted through, has 2 ** depth numbers."""
    made: list = [0]
    for _ in range(depth):
        made = [made, made]
    return made


@pytest.mark.parametrize("word_ids", [nested(34), [[1], [2, 3]], ["a"], {1: 2}, np.array(["a"])], ids=["nested", "ragged", "text", "dict", "array"])
def test_word_ids_are_a_flat_list_of_numbers(tmp_path, word_ids):
    content = corpus()
    (_, *rest), label, segment = content["valid"][2]
    content["valid"][2] = ((word_ids, *rest), label, segment)
    with pytest.raises(DataError, match=r"the word ids are no flat list of numbers(.|\n)*dev\.pkl, sample 2(.|\n)*  do "):
        reading(tmp_path, content)


def test_word_ids_may_be_a_list(tmp_path):
    content = corpus()
    content["train"] = [((clip[0][0].tolist(), *clip[0][1:]), *clip[1:]) for clip in content["train"]]
    assert len(reading(tmp_path, content).notes["reading"]) == 1


def test_long_words_and_names_are_refused(tmp_path):
    content = corpus()
    content["train"][1][0][3][0] = "x" * 1001
    with pytest.raises(DataError, match=r"a word has 1,001 letters(.|\n)*train\.pkl, sample 1"):
        reading(tmp_path, content)
    for name, said in (("x" * 10**6, "x{60}"), (b"y" * 10**6, "y{60}"), (10**2000, "a whole number of more than 64 bits")):
        content = corpus()
        content["test"][3] = (*content["test"][3][:2], name)
        with pytest.raises(DataError, match=rf"the segment is {said}(.|\n)*test\.pkl, sample 3"):
            reading(tmp_path, content)


@pytest.mark.parametrize("part", ["words", "visual", "acoustic"])
def test_the_same_values_in_every_sample_do_not_fill_the_memory(tmp_path, part):
    """Files of a few hundred kilobytes that name the same values so often that a gigabyte and more would come of them."""
    content = corpus()
    (ids, visual, acoustic, words), label, _ = content["train"][0]
    large = {"words": ["x" * 1000] * 3000, "visual": np.zeros((500, 120), np.float32), "acoustic": np.zeros((500, 120))}
    fields = {"ids": ids, "visual": visual, "acoustic": acoustic, "words": words} | {part: large[part]}
    content["train"] = [(tuple(fields.values()), label, f"v[{row}]") for row in range(5000)]
    with pytest.raises(DataError, match=rf"the file names the same values so often(.|\n)*train\.pkl, sample \d+, {part}"):
        reading(tmp_path, content)
