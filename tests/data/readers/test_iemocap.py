import pickle
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from workbench.data import load
from workbench.data.card import DataCard
from workbench.data.readers.iemocap import read
from workbench.errors import ConfigError, DataError

# Ten dialogues of five sessions, two to four utterances each; sessions 1 to 4 are train, session 5 is test.
DIALOGUES = [f"Ses0{session}{sex}_impro0{number}" for session in range(1, 6) for number, sex in ((1, "F"), (2, "M"))]
TRAIN, TEST = DIALOGUES[:8], DIALOGUES[8:]
SIZES = {"text": 4, "audio": 3, "vision": 5}


def count(dialogue: str) -> int:
    return 2 + DIALOGUES.index(dialogue) % 3


def vectors(part: str, dialogue: str) -> list[np.ndarray]:
    """One vector an utterance, that names dialogue and utterance."""
    size = SIZES.get(part, 6)
    return [np.full(size, DIALOGUES.index(dialogue) + 0.1 * row + len(part)) for row in range(count(dialogue))]


def table(make) -> dict[str, list]:
    return {dialogue: [make(dialogue, row) for row in range(count(dialogue))] for dialogue in DIALOGUES}


LABELS = table(lambda dialogue, row: (DIALOGUES.index(dialogue) + row) % 6)
IDS = table(lambda dialogue, row: f"{dialogue}_F{row:03d}")
SENTENCES = table(lambda dialogue, row: f"Line {row} of\x92 {dialogue}")  # A curly quote of cp1252, as latin1 reads it.
SPEAKERS = table(lambda dialogue, row: "MF"[row % 2])


def features_file() -> tuple:
    """The nine parts of IEMOCAP_features_raw.pkl; the splits are sets."""
    parts = [{dialogue: vectors(part, dialogue) for dialogue in DIALOGUES} for part in SIZES]
    return (IDS, SPEAKERS, LABELS, *parts, SENTENCES, set(TRAIN), set(TEST))


def roberta_file() -> tuple:
    """The ten parts of COSMIC's file, with its own splits as lists."""
    layers = [{dialogue: vectors("x" * layer, dialogue) for dialogue in DIALOGUES} for layer in (1, 2, 3, 6)]
    return (SPEAKERS, LABELS, *layers, SENTENCES, TRAIN[:6], TEST, TRAIN[6:])


class Python2(pickle._Pickler):
    """Writes text, and the bytes of arrays, as Python 2 did: byte strings, which are latin1 text when they are read."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, value: str | bytes) -> None:
        raw = value.encode("latin1") if isinstance(value, str) else value
        self.write(b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + len(raw).to_bytes(4, "little") + raw)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def dump(path: Path, content: object) -> None:
    with path.open("wb") as file:
        Python2(file, protocol=2).dump(content)
    path.write_bytes(path.read_bytes().replace(b"numpy._core", b"numpy.core"))  # As numpy 1 called it.


CARD = """---
name: small
title: Ten dialogues
task: {kind: multiclass, classes: [hap, sad, neu, ang, exc, fru]}
modalities:
  text: {kind: vector, also: [tokens], size: null, description: d}
  audio: {kind: vector, size: 3, description: d}
  vision: {kind: vector, size: 5, description: d}
splits: {train: null, valid: null, test: 6}
variants: [features, roberta]
format: iemocap
sources:
  - {path: features.pkl, role: features}
  - {path: roberta.pkl, role: roberta, variant: roberta}
licence: none
citation: none
---
Made for a test.
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    dump(tmp_path / "features.pkl", features_file())
    dump(tmp_path / "roberta.pkl", roberta_file())
    return tmp_path


def small(root: Path, old: str = "", new: str = "") -> DataCard:
    (root / "small.md").write_text(CARD.replace(old, new))
    return DataCard.load(root / "small.md")


def test_one_sample_an_utterance_and_test_is_the_files_own(root):
    data = read(small(root), root)
    test = data["test"]
    assert test.ids == IDS[TEST[0]] + IDS[TEST[1]]
    assert test.groups == [TEST[0]] * 4 + [TEST[1]] * 2
    assert test.target.tolist() == LABELS[TEST[0]] + LABELS[TEST[1]]
    assert test.texts[0] == f"Line 0 of\x92 {TEST[0]}"
    for name in SIZES:
        expected = np.stack(vectors(name, TEST[0]) + vectors(name, TEST[1]))
        assert test.columns[name].values.numpy() == pytest.approx(expected)
    assert data.spec.task.classes == ("hap", "sad", "neu", "ang", "exc", "fru")


def test_valid_is_whole_train_dialogues_and_the_same_every_time(root):
    card = small(root)
    data = read(card, root, valid_share=0.25)
    valid, train = set(data["valid"].groups), set(data["train"].groups)
    assert len(valid) == 2
    assert valid | train == set(TRAIN)
    assert not valid & train
    assert set(read(card, root, valid_share=0.25)["valid"].groups) == valid
    others = {frozenset(read(card, root, valid_share=0.25, seed=seed)["valid"].groups) for seed in range(6)}
    assert len(others) > 1
    assert "valid: 2 of 8 train dialogues by seed 0; their speakers are in train too" in data.notes["reading"]


def test_valid_by_session_has_its_own_speakers(root):
    data = read(small(root), root, split_by="session")
    assert set(data["valid"].groups) == set(TRAIN[6:])
    assert data.notes["reading"] == ["valid: the 2 train dialogues of Ses04, whose speakers are in no other split"]


def test_tokens_in_the_place_of_vectors(root):
    data = read(small(root), root, text="tokens")
    assert data.spec.modalities["text"].kind == "tokens"
    vocabulary = data.spec.modalities["text"].vocabulary
    assert [vocabulary[i] for i in data["train"].columns["text"][0].tolist()][:2] == ["line", "0"]
    with pytest.raises(DataError, match=r"text is read as tokens(.|\n)*kind: vector"):
        read(small(root, ", also: [tokens]", ""), root, text="tokens")


def test_roberta_brings_text_and_splits(root):
    data = read(small(root), root, variant="roberta")
    assert set(data["valid"].groups) == set(TRAIN[6:])
    mean = np.mean([vectors("x" * layer, TEST[0]) for layer in (1, 2, 3, 6)], axis=0)
    assert data["test"].columns["text"].values[: len(mean)].numpy() == pytest.approx(mean, abs=1e-5)
    fourth = read(small(root), root, variant="roberta", layer=4)["test"].columns["text"].values
    assert fourth[: len(mean)].numpy() == pytest.approx(np.stack(vectors("x" * 6, TEST[0])))
    assert data["test"].columns["audio"].values[0].tolist() == pytest.approx(vectors("audio", TEST[0])[0].tolist())


def test_load_by_card(root, monkeypatch):
    small(root)
    monkeypatch.setenv("WORKBENCH_CARDS", str(root))
    assert load("small", root=root).spec.modalities["text"].size == 4
    assert load("small/roberta", root=root, layer=1).spec.modalities["text"].size == 6
    (root / "roberta.pkl").unlink()
    assert len(load("small", root=root, split_by="session")["test"]) == 6


def test_keys_that_are_bytes_and_lists_in_the_place_of_sets(root):
    parts = features_file()
    bytes_keys = [{key.encode(): value for key, value in part.items()} for part in parts[:7]]
    dump(root / "features.pkl", (*bytes_keys, [name.encode() for name in TRAIN], np.array(TEST)))
    assert read(small(root), root)["test"].ids == IDS[TEST[0]] + IDS[TEST[1]]


def test_dialogues_of_no_split_are_said(root):
    parts = features_file()
    dump(root / "features.pkl", (*parts[:7], set(TRAIN[1:]), set(TEST)))
    data = read(small(root), root)
    assert TRAIN[0] not in {*data["train"].groups, *data["valid"].groups}
    assert data.notes["reading"][1:] == ["1 dialogues are in no split: left out"]


def changed(part: int, change) -> tuple:
    parts = list(features_file())
    parts[part] = change(parts[part])
    return tuple(parts)


def without(name):
    return lambda table: {key: value for key, value in table.items() if key != name}


def instead(name, value):
    return lambda table: {**table, name: value}


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (features_file()[:8], r"features\.pkl is a tuple of 8(.|\n)*a tuple of 9 parts: ids, speakers"),
        ({"train": 1}, r"features\.pkl is a dict of 1"),
        (3, r"features\.pkl is a int"),
        (changed(2, without(TEST[0])), r"the dialogue Ses05F_impro01 is missing(.|\n)*features\.pkl, labels"),
        (changed(3, without(TEST[0])), r"the dialogue Ses05F_impro01 is missing(.|\n)*text"),
        (changed(4, instead(TEST[0], vectors("audio", TEST[0])[:1])), r"audio is \[1, 3\](.|\n)*Ses05F_impro01(.|\n)*4 utterances x feature"),
        (changed(4, instead(TEST[0], [np.ones(3), np.ones(2), np.ones(3), np.ones(3)])), r"Ses05F_impro01"),
        (changed(4, instead(TEST[0], [])), r"Ses05F_impro01"),
        (changed(4, instead(TEST[0], "text")), r"Ses05F_impro01"),
        (
            changed(5, instead(TEST[0], [np.ones(7)] * 4)),
            r"vision has 5 features here and 7 in Ses05F_impro01_F000(.|\n)*split test, Ses05M_impro02_F000",
        ),
        (changed(0, instead(TEST[0], ["a"])), r"ids has 1 items(.|\n)*4, as many as labels"),
        (changed(6, instead(TEST[0], [1.5] * 4)), r"sentences, dialogue Ses05F_impro01"),
        (changed(2, instead(TEST[0], [0, 6, 1, 2])), r"the label 6 is of no class(.|\n)*utterance 1(.|\n)*0 to 5: hap, sad"),
        (changed(2, instead(TEST[0], [0.5, 1, 1, 2])), r"the label 0.5 is of no class"),
        (changed(2, instead(TEST[0], [[0, 1], [1, 0]])), r"labels are \[2, 2\]"),
        (changed(2, instead(TEST[0], ["hap"] * 4)), r"labels, dialogue Ses05F_impro01"),
        (changed(7, lambda _: set()), r"this is no list of dialogues(.|\n)*train"),
        (changed(7, lambda _: [1.5]), r"this is no list of dialogues"),
        (changed(7, lambda _: 3), r"this is no list of dialogues"),
        (changed(7, lambda _: [*TRAIN, TRAIN[0]]), r"a dialogue stands twice"),
        (changed(8, lambda _: {*TEST, TRAIN[7]}), r"the dialogue Ses04M_impro02 is in (train|valid) and in test"),
        (changed(7, lambda _: TRAIN[:1]), r"nothing is left to train on: all 1 dialogues"),
    ],
)
def test_a_bad_file_is_named_with_part_and_dialogue(root, content, match):
    dump(root / "features.pkl", content)
    with pytest.raises(DataError, match=match):
        read(small(root), root)


def test_two_files_that_do_not_belong_together(root):
    parts = list(roberta_file())
    parts[1] = {**LABELS, TEST[0]: [0, 0, 0, 0]}
    dump(root / "roberta.pkl", tuple(parts))
    with pytest.raises(DataError, match=r"roberta\.pkl: the labels of Ses05F_impro01 are not those of features\.pkl"):
        read(small(root), root, variant="roberta")
    parts = list(roberta_file())
    parts[4] = {**parts[4], TRAIN[0]: [np.ones(2)] * count(TRAIN[0])}
    dump(root / "roberta.pkl", tuple(parts))
    with pytest.raises(DataError, match=r"the layers have 6, 6, 2, 6 features(.|\n)*Ses01F_impro01"):
        read(small(root), root, variant="roberta")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"variant": "bert"}, 'unknown variant "bert"'),
        ({"text": "words"}, 'unknown text "words"'),
        ({"split_by": "sessions"}, r'unknown split_by "sessions"(.|\n)*Did you mean session'),
        ({"layer": 2}, "there is no layer 2"),
        ({"layer": 5, "variant": "roberta"}, "there is no layer 5"),
        ({"valid_share": 1.0}, "valid_share is 1.0"),
    ],
)
def test_unknown_options(root, options, match):
    with pytest.raises(ConfigError, match=match):
        read(small(root), root, **options)


def test_a_file_that_is_cut_off(root):
    raw = (root / "features.pkl").read_bytes()
    (root / "features.pkl").write_bytes(raw[:-200])
    with pytest.raises(DataError, match=r"features\.pkl"):
        read(small(root), root)


def test_the_card_names_both_files():
    from workbench.data.card import card as find_card

    card = find_card("iemocap")
    assert [source.role for source in card.files("features")] == ["features"]
    assert {source.role for source in card.files("roberta")} == {"features", "roberta"}
    assert card.task.classes == ["happy", "sad", "neutral", "angry", "excited", "frustrated"]
