import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.data import load
from workbench.data import read as read_raw
from workbench.data.card import DataCard
from workbench.data.readers.declare_lab import FOLDER, LABELS, read
from workbench.errors import DataError

# Six utterances of three videos, one id with underscores inside. The training side (videos a_b and c) has rows 0, 1, 2, 3, the test side 4, 5.
IDS = ["a_b_1", "a_b_10", "a_b_2", "c_1", "d_1", "d_2"]
SENTENCES = ["GOOD FILM", "SO BAD", "GOOD, GOOD", "IT'S FINE", "NEW WORD", "BAD"]
SCORES = [2.4, -1.0, 0.0, 3.0, -3.0, 1.5]
ORDER = {"train": [0, 2, 3, 1], "test": [5, 4]}  # All positive first, as in the real files.
SIZES = {"text": 2, "audio": 3, "vision": 2}


def number(name: str, row: int) -> list[float]:
    """Features that name their utterance."""
    return [row + 0.25 * i + {"text": 0, "audio": 100, "vision": 200}[name] for i in range(SIZES[name])]


def write_csv(path: Path, rows: list[list[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(rows)


def write_corpus(root: Path) -> None:
    videos = [name.rpartition("_")[0] for name in IDS]
    write_csv(root / FOLDER / "transcripts.csv", [[name, text, 1, int(score >= 0)] for name, text, score in zip(IDS, SENTENCES, SCORES, strict=True)])
    for side, order in ORDER.items():
        write_csv(root / FOLDER / f"text_{side}.csv", [[row, *number("text", row)] for row in order])
        for name, folder in (("audio", "audio"), ("vision", "video")):
            rows = [[*number(name, row), float(SCORES[row] >= 0)] for row in order]
            write_csv(root / FOLDER / folder / f"{folder}_{side}0.csv", rows)
    labels = [[0.5, 1.5, video, name.rpartition("_")[2], score] for name, video, score in zip(IDS, videos, SCORES, strict=True)]
    (root / LABELS).parent.mkdir(parents=True)
    (root / LABELS).write_text("".join(",".join(map(str, row)) + "\r\n" for row in reversed(labels)), newline="")


CARD = """---
name: small
title: Six utterances
task: {kind: regression, range: [-3, 3]}
modalities:
MODALITIES
splits: {train: 3, valid: 1, test: 2}
format: declare_lab
folds: {train: [a_b], valid: [c], test: [d]}
licence: none
citation: none
---
Made for a test.
"""
TOKENS = "  text: {kind: tokens, size: null, description: d}\n  audio: {kind: vector, size: 3, description: d}"
VECTORS = "".join(f"  {name}: {{kind: vector, size: {size}, description: d}}\n" for name, size in SIZES.items())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_corpus(tmp_path)
    return tmp_path


def small(root: Path, modalities: str = TOKENS, folds: str = "{train: [a_b], valid: [c], test: [d]}") -> DataCard:
    text = CARD.replace("MODALITIES", modalities.rstrip("\n")).replace("{train: [a_b], valid: [c], test: [d]}", folds)
    (root / "small.md").write_text(text)
    return DataCard.load(root / "small.md")


def test_rows_come_back_into_the_order_of_the_transcripts(root):
    data = read(small(root), root)
    train = data["train"]
    assert train.ids == ["a_b_1", "a_b_10", "a_b_2"]
    assert train.groups == ["a_b", "a_b", "a_b"]
    assert train.texts == ["good film", "so bad", "good, good"]
    assert train.target.tolist() == pytest.approx([2.4, -1.0, 0.0])
    assert train.columns["audio"].values.tolist() == [number("audio", row) for row in (0, 1, 2)]
    assert data["test"].ids == ["d_1", "d_2"]
    assert data["test"].columns["audio"].values.tolist() == [number("audio", row) for row in (4, 5)]


def test_vocabulary_has_the_training_words_only(root):
    spec = read(small(root), root).spec.modalities["text"]
    assert spec.vocabulary == ("<padding>", "<unknown>", "good", "bad", "film", "good,", "so")
    assert (spec.kind, spec.size) == ("tokens", 7)
    column = read(small(root), root)["test"].columns["text"]
    assert [column[row].tolist() for row in range(2)] == [[1, 1], [3]]


def test_three_vectors_keep_valid_and_test_from_the_test_side(root):
    for side, order in {"train": [0, 2, 1], "test": [3, 5, 4]}.items():  # Now c is on the test side.
        write_csv(root / FOLDER / f"text_{side}.csv", [[row, *number("text", row)] for row in order])
        for name, folder in (("audio", "audio"), ("vision", "video")):
            write_csv(root / FOLDER / folder / f"{folder}_{side}0.csv", [[*number(name, row), int(SCORES[row] >= 0)] for row in order])
    data = read(small(root, VECTORS), root)
    assert data["valid"].ids == ["c_1"]
    for name in SIZES:
        assert data["test"].columns[name].values.tolist() == [number(name, row) for row in (4, 5)]


def test_fitted_vectors_may_not_be_scored_on_their_training_videos(root):
    with pytest.raises(DataError, match=r"c is in valid, and the text vectors were fitted on its labels(.|\n)*small.md line"):
        read(small(root, VECTORS), root)


def test_folds_must_name_every_video_and_split(root):
    with pytest.raises(DataError, match="the video d is in no split"):
        read(small(root, folds="{train: [a_b], valid: [c], test: [e]}"), root)
    with pytest.raises(DataError, match="the card does not say which videos are in test"):
        read(small(root, folds="{train: [a_b], valid: [c, d]}"), root)


TRANSCRIPTS, TEXT, AUDIO = f"{FOLDER}/transcripts.csv", f"{FOLDER}/text_train.csv", f"{FOLDER}/audio/audio_train0.csv"


@pytest.mark.parametrize(
    ("path", "old", "new", "match"),
    [
        (AUDIO, '"101.25",', "", r"audio_train0.csv: 3 columns(.|\n)*row 3(.|\n)*4 columns \(cut off\?\)"),
        (AUDIO, '"102.25",', "", r"audio_train0.csv: 3 columns(.|\n)*row 1 \(counted"),
        (AUDIO, '"102.25"', '"102.25","7"', r"5 columns"),
        (AUDIO, '"102.25"', '"nan"', r"the value is nan(.|\n)*row 1, column 1(.|\n)*a finite number"),
        (AUDIO, '"102.25"', '"-inf"', r"the value is -inf"),
        (AUDIO, '"102.25"', '"x1"', r'"x1" is not a number(.|\n)*row 1, column 1'),
        (AUDIO, '"102.25"', '""', r'"" is not a number'),
        (AUDIO, '"101.5","0.0"', '"101.5","1.0"', r"the label is 1(.|\n)*row 3, column 3(.|\n)*expected  0, the label in transcripts"),
        (TEXT, '"2","2.0"', '"9","2.0"', r"9 is no row of transcripts.csv(.|\n)*row 1, column 0(.|\n)*0 to 5"),
        (TEXT, '"2","2.0"', '"1.5","2.0"', r"1.5 is no row of transcripts.csv"),
        (TEXT, '"2","2.0"', '"0","2.0"', r"the row 0 of transcripts.csv stands twice(.|\n)*row 1"),
        (TRANSCRIPTS, '"c_1","IT\'S FINE","1","1"', '"c_1","IT\'S FINE","1","2"', r'unknown label "2"(.|\n)*row 3, column 3(.|\n)*0 or 1'),
        (TRANSCRIPTS, '"c_1"', '"a_b_1"', r'the id "a_b_1" stands twice'),
        (TRANSCRIPTS, '"c_1"', '"c1"', r'the id "c1" has no segment'),
        (TRANSCRIPTS, '"c_1"', '"c_7"', r"no sentiment for c_7"),
        (TRANSCRIPTS, '"IT\'S FINE","1","1"', '"IT\'S FINE","1"', r"transcripts.csv: 3 columns(.|\n)*row 3"),
        (TRANSCRIPTS, '"IT\'S FINE","1","1"', '"IT\'S FINE","1","0"', r"c_1 has the sentiment 3 and the binary label 0"),
        (LABELS, ",3.0", ",3.5", r"the sentiment 3.5 is out of range(.|\n)*-3 to 3"),
        (LABELS, ",3.0", ",much", r'"much" is not a number(.|\n)*row 2, column 4'),
        (LABELS, "0.5,1.5,c,1,3.0", "0.5,1.5,d,1,3.0", r'the id "d_1" stands twice'),
    ],
)
def test_bad_fields_are_named_with_file_row_and_column(root, path, old, new, match):
    text = (root / path).read_text()
    assert text.count(old) == 1
    (root / path).write_text(text.replace(old, new))
    with pytest.raises(DataError, match=match):
        read(small(root), root)


@pytest.mark.parametrize(
    ("path", "keep", "match"),
    [
        (AUDIO, -5, r"audio_train0.csv cannot be read(.|\n)*cut off"),
        (AUDIO, -40, r"audio_train0.csv: 3 columns(.|\n)*cut off"),
        (AUDIO, -33, r"audio_train0.csv(.|\n)*cut off"),
        (TEXT, 45, r"text_train.csv(.|\n)*cut off"),
        (TRANSCRIPTS, 60, r"transcripts.csv(.|\n)*cut off"),
        (AUDIO, 0, r"audio_train0.csv is empty"),
    ],
)
def test_files_that_are_cut_off(root, path, keep, match):
    raw = (root / path).read_bytes()
    (root / path).write_bytes(raw[:keep])
    with pytest.raises(DataError, match=match):
        read(small(root), root)


def test_files_cut_off_between_two_rows(root):
    rows = (root / AUDIO).read_text().splitlines(keepends=True)
    (root / AUDIO).write_text("".join(rows[:-1]))
    with pytest.raises(DataError, match=r"audio_train0.csv has 3 rows(.|\n)*4 rows, as its text file has"):
        read(small(root), root)
    rows = (root / TEXT).read_text().splitlines(keepends=True)
    (root / TEXT).write_text("".join(rows[:-1]))
    with pytest.raises(DataError, match=r"audio_train0.csv has|row 1 of transcripts.csv has no features"):
        read(small(root), root)


def test_missing_row_and_missing_file_and_other_widths(root):
    tokens_only = TOKENS.splitlines()[0]
    rows = (root / TEXT).read_text().splitlines(keepends=True)
    (root / TEXT).write_text("".join(rows[:-1]))
    with pytest.raises(DataError, match=r"row 1 of transcripts.csv has no features"):
        read(small(root, tokens_only), root)
    (root / TEXT).write_text("".join(rows))
    path = root / f"{FOLDER}/audio/audio_test0.csv"
    path.write_text("".join('"1","2",' + row for row in path.read_text().splitlines(keepends=True)))
    with pytest.raises(DataError, match=r"audio has 5 features here and 3 in train"):
        read(small(root, TOKENS.replace("size: 3", "size: null")), root)
    (root / TEXT).unlink()
    with pytest.raises(DataError, match=r"text_train\.csv is missing"):
        read(small(root), root)


def test_real_mosi(mirror):
    data = load("mosi", root=mirror)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 1284, "valid": 229, "test": 686}
    scores = np.concatenate([split.target.numpy() for split in data.splits.values()])
    assert (scores == 0).sum() == 96  # Facts from the data's README.
    assert scores.mean() == pytest.approx(0.070, abs=5e-4)
    assert scores.std(ddof=1) == pytest.approx(1.572, abs=5e-4)
    first = data["train"]
    row = first.ids.index("03bSnISJMiM_1")
    assert first.texts[row] == "anyhow it was really good"
    vocabulary = data.spec.modalities["text"].vocabulary
    assert [vocabulary[i] for i in first.columns["text"][row].tolist()] == ["anyhow", "it", "was", "really", "good"]
    assert first.columns["audio"].values.mean(0).abs().max() < 1e-4
    assert first.columns["audio"].values.std(0, correction=0) == pytest.approx(np.ones(73), abs=1e-3)


def test_real_mosi_utterance(mirror):
    data = load("mosi_utterance", root=mirror)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 1447, "valid": 291, "test": 461}
    # The rule of the split, computed from the files without the reader.
    with (mirror / FOLDER / "transcripts.csv").open(newline="") as file:
        ids = [row[0] for row in csv.reader(file)]
    with (mirror / FOLDER / "text_test.csv").open(newline="") as file:
        table = {ids[int(row[0])]: np.array(row[1:], float) for row in csv.reader(file)}
    videos = sorted({name.rpartition("_")[0] for name in table})
    assert set(data["valid"].groups) == set(videos[:10])
    assert set(data["test"].groups) == set(videos[10:])
    # Standardising keeps the correlation of a column with the raw one at 1.
    raw = np.stack([table[name] for name in data["test"].ids])
    read_values = data["test"].columns["text"].values.numpy()
    assert [np.corrcoef(raw[:, j], read_values[:, j])[0, 1] for j in (0, 50, 99)] == pytest.approx([1, 1, 1])
    constant = (data["train"].columns["vision"].values == 0).all(0)
    assert int(constant.sum()) == 32
    # Label blocks are gone: both signs among the first ten.
    signs = data["train"].target[:20] >= 0
    assert 0 < int(signs.sum()) < 20


def test_mosi_utterance_is_what_the_readme_of_its_source_says(mirror):
    """Every number of it that reading can show, from the data as on disk."""
    data, _ = read_raw("mosi_utterance", root=mirror)
    train, held = data["train"], [data["valid"], data["test"]]
    groups = [split.groups for split in (train, *held)]
    counts = Counter(name for split in groups for name in split)
    assert (len(counts), min(counts.values()), max(counts.values()), sum(counts.values())) == (93, 9, 63, 2199)
    assert (len(set(groups[0])), len(set(groups[1]) | set(groups[2]))) == (62, 31)
    assert not set(groups[0]) & (set(groups[1]) | set(groups[2]))
    positive = [torch.cat([split.target for split in part]) >= 0 for part in ([train], held, [train, *held])]
    assert [int(part.sum()) for part in positive[:2]] == [709, 467]
    assert [len(part) - int(part.sum()) for part in positive[:2]] == [738, 285]
    assert [round(100 * float(part.float().mean()), 1) for part in positive] == [49.0, 62.1, 53.5]
    vision = torch.cat([split.columns["vision"].values for split in (train, *held)])
    assert round(100 * float((vision == 0).float().mean()), 1) == 78.7
    assert int((vision == 0).all(0).sum()) == 32
    audio = torch.cat([split.columns["audio"].values for split in held])
    assert int((audio.amax(0) == audio.amin(0)).sum()) == 4
    assert [data.spec.modalities[name].size for name in ("text", "audio", "vision")] == [100, 73, 100]


def test_the_standard_split_meets_the_training_videos_of_the_vectors(mirror):
    """558 of the 686 standard test utterances are among the 1447 that the vectors were fitted on: why `mosi` leaves those vectors out."""
    fitted, standard = set(load("mosi_utterance", root=mirror)["train"].ids), load("mosi", root=mirror)
    assert len(fitted & set(standard["test"].ids)) == 558
    assert [len(set(standard[name].groups)) for name in ("train", "valid", "test")] == [52, 10, 31]
    scores = torch.cat([split.target for split in standard.splits.values()])
    assert len(scores.unique()) == 53
    assert int((scores >= 0).sum()) == 709 + 467
