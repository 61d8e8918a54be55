import csv
import pickle
from pathlib import Path

import numpy as np
import pytest

from workbench.data import load
from workbench.data.card import DataCard
from workbench.data.readers.meld import read
from workbench.errors import ConfigError, DataError
from workbench.fitting import fit

HEADER = ["Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode", "StartTime", "EndTime"]
EMOTIONS = ["neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"]
SENTIMENTS = ["neutral", "positive", "negative"]
FILES = {"train": "train_sent_emo.csv", "valid": "dev_sent_emo.csv", "test": "test_sent_emo.csv"}
# Ten dialogues; utterance numbers begin anew in each, with a gap in the second; dialogue numbers begin anew in each split.
TURNS = {"train": {0: [0, 1, 2], 1: [0, 2, 3], 3: [0], 4: [0, 1]}, "valid": {0: [0, 1], 1: [0], 2: [0]}, "test": {0: [0, 1], 1: [0], 7: [5]}}
SIZES = {"text": 4, "audio": 3}


def keys(split: str) -> list[tuple[int, int]]:
    return [(dialogue, utterance) for dialogue, turns in TURNS[split].items() for utterance in turns]


def sentence(split: str, dialogue: int, utterance: int) -> str:
    return f"You\u2019re in {split}, \u201cline\u201d {dialogue} {utterance}"


def emotion(dialogue: int, utterance: int) -> str:
    return EMOTIONS[(3 * dialogue + utterance) % 7]


def sentiment(dialogue: int, utterance: int) -> str:
    return SENTIMENTS[(dialogue + utterance) % 3]


def rows(split: str) -> list[list[object]]:
    made = []
    for i, (dialogue, utterance) in enumerate(keys(split)):
        labels = [emotion(dialogue, utterance), sentiment(dialogue, utterance)]
        made.append([i + 1, sentence(split, dialogue, utterance), "Joey", *labels, dialogue, utterance, 3, 19, "00:14:38,127", "0:14:40,378"])
    return made


def write_table(path: Path, content: list[list[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\r\n").writerows([HEADER, *content])


def vector(name: str, split: str, dialogue: int, utterance: int) -> np.ndarray:
    return np.full(SIZES[name], 100 * list(TURNS).index(split) + 10 * dialogue + utterance + (0.5 if name == "audio" else 0), np.float32)


def by_utterance(name: str) -> list[dict[str, np.ndarray]]:
    return [{f"{dialogue}_{utterance}": vector(name, split, dialogue, utterance) for dialogue, utterance in keys(split)} for split in TURNS]


def by_dialogue(name: str) -> list[dict[str, np.ndarray]]:
    """The contextual files: a table of 33 turns a dialogue, zeros behind the last one."""
    made = []
    for split, dialogues in TURNS.items():
        tables = {}
        for dialogue, turns in dialogues.items():
            tables[str(dialogue)] = np.zeros((33, SIZES[name]), np.float32)
            for turn, utterance in enumerate(turns):
                tables[str(dialogue)][turn] = vector(name, split, dialogue, utterance)
        made.append(tables)
    return made


def dump(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


CARD = """---
name: small
title: Ten dialogues
task: {kind: multiclass, classes: [neutral, surprise, fear, sadness, joy, disgust, anger]}
modalities:
  text: {kind: tokens, also: [vector], size: null, description: d}
  audio: {kind: vector, size: 3, description: d}
splits: {train: null, valid: null, test: null}
format: meld
sources:
  - {path: train_sent_emo.csv, role: labels_train}
  - {path: dev_sent_emo.csv, role: labels_valid}
  - {path: test_sent_emo.csv, role: labels_test}
  - {path: text.pkl, role: text_features}
  - {path: audio.pkl, role: audio_features}
licence: none
citation: none
---
Made for a test.
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split, name in FILES.items():
        write_table(tmp_path / name, rows(split))
    for name in SIZES:
        dump(tmp_path / f"{name}.pkl", by_utterance(name))
    return tmp_path


def small(root: Path, old: str = "", new: str = "") -> DataCard:
    (root / "small.md").write_text(CARD.replace(old, new))
    return DataCard.load(root / "small.md")


def test_one_sample_an_utterance(root):
    data = read(small(root), root)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 9, "valid": 4, "test": 4}
    train = data["train"]
    assert train.ids == [f"train_dia{dialogue}_utt{utterance}" for dialogue, utterance in keys("train")]
    assert train.groups[:4] == ["train_dia0"] * 3 + ["train_dia1"]
    assert [EMOTIONS[i] for i in train.target.tolist()] == [emotion(*key) for key in keys("train")]
    assert train.texts[1] == "You\u2019re in train, \u201cline\u201d 0 1"
    assert train.columns["audio"].values.tolist() == [vector("audio", "train", *key).tolist() for key in keys("train")]
    assert data["test"].columns["audio"].values.tolist() == [vector("audio", "test", *key).tolist() for key in keys("test")]
    vocabulary = data.spec.modalities["text"].vocabulary
    assert [vocabulary[i] for i in train.columns["text"][0].tolist()] == ["you\u2019re", "in", "train,", "\u201cline\u201d", "0", "0"]
    assert data.notes["reading"] == []


def test_text_as_the_vectors_of_its_file(root):
    data = read(small(root), root, text="features")
    assert data.spec.modalities["text"].kind == "vector"
    assert data["valid"].columns["text"].values.tolist() == [vector("text", "valid", *key).tolist() for key in keys("valid")]
    assert data["valid"].texts[0].startswith("You")
    with pytest.raises(DataError, match=r"text is read as vector(.|\n)*kind: tokens"):
        read(small(root, ", also: [vector]", ""), root, text="features")


@pytest.mark.parametrize("is_text", [True, False])
def test_tables_of_a_dialogue_give_each_turn_its_row(root, is_text):
    for name in SIZES:
        tables = by_dialogue(name)
        dump(root / f"{name}.pkl", tables if is_text else [{int(key): table for key, table in part.items()} for part in tables])
    data = read(small(root), root, text="features")
    for split in TURNS:
        for name in SIZES:
            assert data[split].columns[name].values.tolist() == [vector(name, split, *key).tolist() for key in keys(split)]


def test_the_turn_counts_utterances_that_another_file_does_not_have(root):
    text = by_utterance("text")
    del text[0]["1_0"]
    dump(root / "text.pkl", text)
    dump(root / "audio.pkl", by_dialogue("audio"))
    data = read(small(root), root, text="features")
    left = [key for key in keys("train") if key != (1, 0)]
    assert data["train"].columns["audio"].values.tolist() == [vector("audio", "train", *key).tolist() for key in left]


def test_sentiment_where_the_card_has_its_classes(root):
    data = read(small(root, "[neutral, surprise, fear, sadness, joy, disgust, anger]", "[neutral, positive, negative]"), root)
    assert [SENTIMENTS[i] for i in data["test"].target.tolist()] == [sentiment(*key) for key in keys("test")]
    with pytest.raises(DataError, match=r"these are not the classes of MELD(.|\n)*small\.md line(.|\n)*neutral, surprise"):
        read(small(root, "[neutral, surprise, fear, sadness, joy, disgust, anger]", "[negative, neutral, positive]"), root)


def test_load_by_card(root, monkeypatch):
    small(root)
    monkeypatch.setenv("WORKBENCH_CARDS", str(root))
    assert load("small", root=root).spec.modalities["audio"].size == 3
    assert load("small", root=root, text="features").spec.modalities["text"].size == 4


def test_utterances_without_features_are_dropped_and_counted(root):
    audio = by_utterance("audio")
    del audio[0]["1_2"], audio[0]["4_1"], audio[2]["7_5"]
    audio[1]["99_0"] = np.zeros(3)
    dump(root / "audio.pkl", audio)
    data = read(small(root), root)
    assert data["train"].ids == [f"train_dia{a}_utt{b}" for a, b in keys("train") if (a, b) not in ((1, 2), (4, 1))]
    assert data["train"].columns["audio"].values[3:5].tolist() == [vector("audio", "train", 1, 0).tolist(), vector("audio", "train", 1, 3).tolist()]
    assert data["train"].texts[4] == sentence("train", 1, 3)
    assert data.notes["reading"] == [
        "utterances without audio features: dropped (train 2, test 1)",
        "audio features of no utterance of the csv file: not used (valid 1)",
    ]
    with pytest.raises(DataError, match=r"no audio features for train_dia1_utt2 \(2 of 9 utterances\)(.|\n)*missing='drop'"):
        read(small(root), root, missing="error")


def test_damaged_quotes_are_kept_and_counted(root):
    content = rows("train")
    content[0][1], content[1][1] = "You\u00e2\u20ac\u2122re", "You\x92re"
    write_table(root / FILES["train"], content)
    data = read(small(root), root)
    assert data["train"].texts[:2] == ["You\u00e2\u20ac\u2122re", "You\x92re"]
    assert data.notes["reading"] == ["utterances with characters of a wrong encoding, kept as they are (train 2)"]


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("Emotion", "joyful", r'unknown emotion "joyful"(.|\n)*Did you mean joy(.|\n)*row 2'),
        ("Dialogue_ID", "zero", r'Dialogue_ID is "zero"(.|\n)*row 2'),
        ("Utterance_ID", "", r'Utterance_ID is ""'),
        ("Utterance_ID", "1", r"dialogue 0, utterance 1 stands twice(.|\n)*row 2"),
    ],
)
def test_bad_fields_are_named_with_their_row(root, column, value, match):
    content = rows("train")
    content[2][HEADER.index(column)] = value
    write_table(root / FILES["train"], content)
    with pytest.raises(DataError, match=match):
        read(small(root), root)


def test_files_that_are_no_table(root):
    path = root / FILES["valid"]
    raw = path.read_text(encoding="utf-8")
    path.write_text(raw.replace("Emotion", "Emotions", 1), encoding="utf-8")
    with pytest.raises(DataError, match=r'the column "Emotion" is missing(.|\n)*Did you mean Emotions'):
        read(small(root), root)
    path.write_text(raw[:-30], encoding="utf-8")
    with pytest.raises(DataError, match=r"dev_sent_emo\.csv"):
        read(small(root), root)
    path.unlink()
    with pytest.raises(DataError, match=r"dev_sent_emo\.csv is missing"):
        read(small(root), root)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (by_utterance("audio")[:2], r"audio\.pkl is a list of 2(.|\n)*a list of three dictionaries"),
        ({"train": 1}, r"audio\.pkl is a dict of 1"),
        (7, r"audio\.pkl is a int"),
        ([{}, {}, 3], r"audio\.pkl, test"),
        ([{}, {}, {}], r"no utterance is in train"),
        ([{"0_0": np.ones((2, 3))}, {}, {}], r"the features are \[2, 3\](.|\n)*audio\.pkl, train, 0_0"),
        ([{"0_0": ["a"]}, {}, {}], r"audio\.pkl, train, 0_0"),
        ([{"0": np.ones((2, 3))}, {}, {}], r"the features are \[2, 3\](.|\n)*dialogue 0(.|\n)*3 turns or more"),
        ([{"0": np.ones(3)}, {}, {}], r"the features are \[3\](.|\n)*turns x feature"),
        (
            [{"0_0": np.ones(3), "0_1": np.ones(2)}, *by_utterance("audio")[1:]],
            r"audio has 2 features here and 3 in train_dia0_utt0(.|\n)*train_dia0_utt1",
        ),
    ],
)
def test_bad_feature_files(root, content, match):
    dump(root / "audio.pkl", content)
    with pytest.raises(DataError, match=match):
        read(small(root), root)


def test_unknown_options(root):
    with pytest.raises(ConfigError, match='unknown text "words"'):
        read(small(root), root, text="words")
    with pytest.raises(ConfigError, match='unknown missing "keep"'):
        read(small(root), root, missing="keep")


# conv-emotion's one file: dialogues 0 to 1038 are train, 1039 to 1152 dev (listed with train), the rest test.
NUMBERS = {"train": [0, 2, 1038], "valid": [1039, 1152], "test": [1153, 1432]}
RAW_CARD = CARD[: CARD.index("sources:")].replace("kind: tokens, also: [vector], size: null", "kind: vector, size: 4") + (
    "sources: [{path: raw.pkl, role: raw}]\nlicence: none\ncitation: none\n---\nMade for a test.\n"
)


def raw_file(*, with_vision: bool = False) -> tuple:
    every = [number for numbers in NUMBERS.values() for number in numbers]

    def table(make) -> dict[int, list]:
        return {number: [make(number, turn) for turn in range(2)] for number in every}

    ids, speakers = table(lambda _, turn: turn), table(lambda _, turn: [1, 0, 0] if turn else [0, 1, 0])
    emotions, sentiments = table(lambda number, turn: (number + turn) % 7), table(lambda number, turn: (number + turn) % 3)
    text, audio = ({key: np.full((2, size), key + size, np.float32) for key in every} for size in (4, 3))
    vision = [{key: np.full((2, 2), key) for key in every}] if with_vision else []
    sentences = table(lambda number, turn: f"line {number} {turn}")
    splits = ([*NUMBERS["train"], *NUMBERS["valid"]], set(NUMBERS["test"]))
    return (ids, speakers, emotions, text, audio, *vision, sentences, *splits, sentiments)


def raw_card(root: Path, old: str = "", new: str = "") -> DataCard:
    (root / "raw.md").write_text(RAW_CARD.replace(old, new))
    return DataCard.load(root / "raw.md")


def test_the_raw_file_has_its_dev_dialogues_by_number(root):
    dump(root / "raw.pkl", raw_file())
    data = read(raw_card(root), root)
    assert {name: sorted(set(split.groups)) for name, split in data.splits.items()} == {
        split: sorted(f"dia{number}" for number in numbers) for split, numbers in NUMBERS.items()
    }
    assert data["valid"].ids == ["dia1039_utt0", "dia1039_utt1", "dia1152_utt0", "dia1152_utt1"]
    assert data["valid"].target.tolist() == [1039 % 7, 1040 % 7, 1152 % 7, 1153 % 7]
    assert data["test"].columns["text"].values[0].tolist() == [1157.0] * 4
    assert data["test"].texts[0] == "line 1153 0"
    assert data.notes["reading"] == ["valid: the 2 dialogues 1039 to 1152, which the file lists with train and MELD has in dev"]
    sentiments = read(raw_card(root, "[neutral, surprise, fear, sadness, joy, disgust, anger]", "[neutral, positive, negative]"), root)
    assert sentiments["valid"].target.tolist() == [1039 % 3, 1040 % 3, 0, 1]


def test_the_raw_file_with_vision(root):
    dump(root / "raw.pkl", raw_file(with_vision=True))
    vision = "  vision: {kind: vector, size: 2, description: d}\nsplits:"
    assert read(raw_card(root, "splits:", vision), root)["test"].columns["vision"].values[0].tolist() == [1153.0, 1153.0]
    dump(root / "raw.pkl", raw_file())
    with pytest.raises(DataError, match=r"there is no vision(.|\n)*one of ids, speakers"):
        read(raw_card(root, "splits:", vision), root)


def test_a_raw_file_with_other_splits(root):
    parts = list(raw_file())
    parts[-3] = ["Ses01", "Ses02"]
    dump(root / "raw.pkl", tuple(parts))
    with pytest.raises(DataError, match=r'the dialogue "Ses01" has no number'):
        read(raw_card(root), root)
    parts[-3] = [*NUMBERS["train"], 1153]
    dump(root / "raw.pkl", tuple(parts))
    with pytest.raises(DataError, match=r"the dialogue 1153 is in train and in test"):
        read(raw_card(root), root)
    parts[-3] = NUMBERS["train"]
    dump(root / "raw.pkl", tuple(parts))
    with pytest.raises(DataError, match=r"no utterance is in valid"):
        read(raw_card(root), root)


@pytest.mark.parametrize(("name", "classes"), [("meld", EMOTIONS), ("meld_sentiment", SENTIMENTS), ("meld_raw", EMOTIONS)])
def test_the_cards(name, classes):
    from workbench.data.card import card as find_card

    card = find_card(name)
    assert card.task.classes == classes
    assert card.task.headline == "f1_weighted"
    roles = {source.role for source in card.sources}
    assert roles == ({"raw"} if name == "meld_raw" else {"labels_train", "labels_valid", "labels_test", "text_features", "audio_features"})


@pytest.mark.parametrize("name", ["meld", "meld_sentiment"])
@pytest.mark.parametrize("count", [4, 9988, 9990])
def test_a_table_of_meld_has_all_its_rows(tmp_path, name, count):
    from workbench.data.card import card as find_card

    card = find_card(name)
    path = card.file(tmp_path, "labels_train")
    path.parent.mkdir(parents=True)
    write_table(path, [[i, "so", "Joey", "joy", "positive", i, 0, 3, 19, "0", "1"] for i in range(count)])
    cut = r" \(cut off\?\)" if count < 9989 else ""
    match = rf"train_sent_emo\.csv has {count:,} utterances, {path.stat().st_size:,} bytes{cut}\n(.|\n)*9,989 utterances(.|\n)*  do  +download"
    with pytest.raises(DataError, match=match):
        read(card, tmp_path)


def test_numbers_of_thousands_of_digits_are_refused(root):
    content = rows("train")
    content[2][HEADER.index("Dialogue_ID")] = "1" * 5000
    write_table(root / FILES["train"], content)
    with pytest.raises(DataError, match=r'Dialogue_ID is "1{60}\.\.\."(.|\n)*row 2(.|\n)*at most 9 digits'):
        read(small(root), root)
    content = rows("train")
    content[2][HEADER.index("Emotion")] = "\x1b" * 100_000
    write_table(root / FILES["train"], content)
    with pytest.raises(DataError, match=r'unknown emotion "\?{60}\.\.\."'):
        read(small(root), root)


@pytest.mark.parametrize("name", [10**2000, "1" * 5000, b"1" * 5000], ids=["number", "text", "bytes"])
def test_raw_dialogues_with_names_that_nobody_writes(root, name):
    parts = list(raw_file())
    parts[-3] = [*parts[-3], name]
    dump(root / "raw.pkl", tuple(parts))
    with pytest.raises(DataError, match=r"a dialogue has a name that nobody would write(.|\n)*raw\.pkl, train"):
        read(raw_card(root), root)


def test_raw_utterances_with_numbers_that_nobody_writes(root):
    parts = list(raw_file())
    parts[0][0] = [10**2000, 1]
    dump(root / "raw.pkl", tuple(parts))
    with pytest.raises(DataError, match=r"raw\.pkl, ids, dialogue 0"):
        read(raw_card(root), root)


def test_mldfa_tells_emotions_from_words_and_a_vector(root, tmp_path):
    sizes = {"hidden_size": 4, "encoder_heads": 2, "encoder_layers": 1, "heads": 2, "embedding_size": 4}
    run = fit("mldfa", read(small(root), root), config=sizes, plan={"epochs": 1, "batch_size": 3}, runs=tmp_path / "runs")
    networks = {name: type(encoder).__name__ for name, encoder in run.model().encoders.items()}
    assert networks == {"text": "StepTransformer", "audio": "MeanMLP"}
    assert {"accuracy", "f1_weighted"} <= set(run.metrics["test"])
