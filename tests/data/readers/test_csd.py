import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from workbench.data import load, scratch
from workbench.data.card import DataCard
from workbench.data.readers.csd import read
from workbench.data.reading.folds import folds_of
from workbench.errors import ConfigError, DataError

# Ten videos. In each: two segments, 0-2 s and 2-4 s; five words; 20 audio steps of 0.2 s; 8 vision steps of 0.5 s.
VIDEOS = [f"v-{i}_x" for i in range(10)]
FOLDS = {"train": VIDEOS[:6], "valid": VIDEOS[6:8], "test": VIDEOS[8:]}
SEGMENTS = np.array([[0.0, 2.0], [2.0, 4.0]])
WORDS = [(b"Good", 0.1, 0.6), (b"sp", 0.6, 1.0), (b"film", 1.0, 1.7), (b"so", 2.1, 2.5), (b"bad", 2.5, 3.9)]
AUDIO = np.stack([np.arange(20) * 0.2, np.arange(1, 21) * 0.2], axis=1)
VISION = np.stack([np.arange(8) * 0.5, np.arange(1, 9) * 0.5], axis=1)


def audio_of(i: int) -> np.ndarray:
    """Number of the step, and of the video."""
    return np.stack([np.arange(20.0), np.full(20, i)], axis=1)


def vision_of(i: int) -> np.ndarray:
    return np.stack([np.arange(8.0) * 10, np.full(8, i), np.ones(8)], axis=1)


def score(i: int, row: int) -> float:
    return round(-3 + 6 * (2 * i + row) / 19, 2)


def write_sequence(path: Path, name: str, videos: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """A computational sequence as the SDK's `deploy` writes it."""
    with h5py.File(path, "w") as file:
        root = file.create_group(name)
        data, metadata = root.create_group("data"), root.create_group("metadata")
        for video, (features, intervals) in videos.items():
            entry = data.create_group(video)
            entry.create_dataset("features", data=features, compression="gzip", compression_opts=9)
            entry.create_dataset("intervals", data=intervals, compression="gzip", compression_opts=9)
        for key, value in {"root name": name, "version": "1.0", "dimension names": ["one"], "uuid": "0"}.items():
            metadata.create_dataset(key, (1,), dtype=h5py.special_dtype(vlen=str))[0] = json.dumps(value)


def words_of(words=WORDS) -> tuple[np.ndarray, np.ndarray]:
    return np.array([[word] for word, *_ in words], "S32"), np.array([times for _, *times in words])


def write_corpus(root: Path, videos=VIDEOS) -> None:
    write_sequence(root / "words.csd", "words", {video: words_of() for video in videos})
    write_sequence(root / "audio.csd", "COVAREP", {video: (audio_of(i), AUDIO) for i, video in enumerate(videos)})
    write_sequence(
        root / "vision.csd", "FACET_4.2", {video: (vision_of(i).astype(np.float32), VISION.astype(np.float32)) for i, video in enumerate(videos)}
    )
    labels = {video: (np.array([[score(i, 0)], [score(i, 1)]]), SEGMENTS) for i, video in enumerate(videos)}
    write_sequence(root / "labels.csd", "Opinion Segment Labels", labels)


CARD = """---
name: small
title: Ten videos
task: {kind: regression, range: [-3, 3]}
modalities:
  text: {kind: tokens, also: [sequence], size: null, description: d}
  audio: {kind: sequence, size: 2, description: d}
  vision: {kind: sequence, size: 3, description: d}
splits: {train: null, valid: null, test: null}
variants: [unaligned, aligned]
format: csd
sources:
  - {path: words.csd, role: text}
  - {path: audio.csd, role: audio}
  - {path: vision.csd, role: vision}
  - {path: labels.csd, role: labels}
folds: FOLDS
licence: none
citation: none
---
Made for a test.
"""
SIX = "{kind: multilabel, classes: [happy, sad, anger, surprise, disgust, fear]}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_corpus(tmp_path)
    return tmp_path


def small(root: Path, old: str = "", new: str = "", *, folds: dict | None = FOLDS) -> DataCard:
    text = CARD.replace("folds: FOLDS\n", f"folds: {json.dumps(folds)}\n" if folds else "").replace(old, new)
    (root / "small.md").write_text(text)
    return DataCard.load(root / "small.md")


def edit(path: Path, video: str, field: str, value: np.ndarray) -> None:
    """Another data set in the place of one."""
    with h5py.File(path, "r+") as file:
        entry = next(iter(file.values()))["data"][video]
        del entry[field]
        entry[field] = value


def test_a_sample_is_a_label_segment_with_the_steps_whose_midpoint_it_has(root):
    data = read(small(root), root)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 12, "valid": 4, "test": 4}
    train = data["train"]
    assert train.ids[:3] == ["v-0_x[0]", "v-0_x[1]", "v-1_x[0]"]
    assert train.groups[:3] == ["v-0_x", "v-0_x", "v-1_x"]
    assert train.target.tolist() == pytest.approx([score(i, row) for i in range(6) for row in range(2)])
    assert train.texts[:2] == ["good film", "so bad"]
    assert train.columns["audio"][0].tolist() == audio_of(0)[:10].tolist()
    assert train.columns["audio"][3].tolist() == audio_of(1)[10:].tolist()
    assert train.columns["vision"][1].tolist() == vision_of(0)[4:].tolist()
    vocabulary = data.spec.modalities["text"].vocabulary
    assert [vocabulary[i] for i in data["test"].columns["text"][1].tolist()] == ["so", "bad"]
    assert all(column.present is None for column in train.columns.values())
    assert data.notes["reading"] == []


def test_aligned_gives_one_step_a_word(root):
    train = read(small(root), root, variant="aligned")["train"]
    for name in ("text", "audio", "vision"):
        assert train.columns[name].lengths.tolist() == [2] * 12
    # "good" 0.1-0.6 meets steps 0 to 2, "film" 1.0-1.7 steps 5 to 8.
    assert train.columns["audio"][0].tolist() == [[1.0, 0.0], [6.5, 0.0]]
    # "so" 2.1-2.5 lies in step 4, "bad" 2.5-3.9 meets 5 to 7.
    assert train.columns["vision"][3].tolist() == [[40.0, 1.0, 1.0], [60.0, 1.0, 1.0]]
    last = read(small(root), root, variant="aligned", collapse="last")["train"]
    assert last.columns["audio"][0].tolist() == [[2.0, 0.0], [8.0, 0.0]]


def test_pauses_are_kept_on_request(root):
    train = read(small(root), root, variant="aligned", keep_pauses=True)["train"]
    assert train.texts[0] == "good sp film"
    assert train.columns["audio"].lengths.tolist()[:2] == [3, 2]


def test_load_verifies_and_takes_the_variant_behind_the_slash(root, monkeypatch):
    small(root)
    monkeypatch.setenv("WORKBENCH_CARDS", str(root))
    assert load("small", root=root)["train"].columns["audio"].lengths.tolist() == [10] * 12
    assert load("small/aligned", root=root, collapse="max")["train"].columns["audio"].lengths.tolist() == [2] * 12


def test_text_may_be_word_vectors(root):
    vectors = np.arange(15.0).reshape(5, 3)
    write_sequence(root / "words.csd", "glove_vectors", {video: (vectors, words_of()[1]) for video in VIDEOS})
    data = read(small(root), root, variant="aligned")
    assert data.spec.modalities["text"].kind == "sequence"
    assert data["train"].texts is None
    assert data["train"].columns["text"][0].tolist() == vectors[:3].tolist()  # Vectors do not say which of them are pauses.
    assert data["train"].columns["audio"].lengths.tolist()[:2] == [3, 2]
    with pytest.raises(DataError, match=r"words\.csd holds numbers(.|\n)*tokens, says"):
        read(small(root, "also: [sequence], ", ""), root)


def test_words_of_variable_length_and_in_any_case(root):
    words = np.array([[word] for word, *_ in WORDS], dtype=object)
    write_sequence(root / "words.csd", "words", {video: words_of() for video in VIDEOS})
    with h5py.File(root / "words.csd", "r+") as file:
        entry = file["words/data"][VIDEOS[0]]
        del entry["features"]
        entry.create_dataset("features", data=words, dtype=h5py.special_dtype(vlen=bytes))
    assert read(small(root), root)["train"].texts[:2] == ["good film", "so bad"]


def test_the_vocabulary_has_the_training_words_only(root):
    edit(root / "words.csd", VIDEOS[9], "features", np.array([[b"new"], [b"sp"], [b"film"], [b"so"], [b"odd"]]))
    data = read(small(root), root)
    assert data.spec.modalities["text"].vocabulary == ("<padding>", "<unknown>", "bad", "film", "good", "so")
    assert [data["test"].columns["text"][row].tolist() for row in (2, 3)] == [[1, 3], [5, 1]]


def emotions(root: Path) -> None:
    """MOSEI's seven labels."""
    labels = np.array([[2.0, 1.0, 0, 0, 0.33, 0, 0], [-1.0, 0, 3.0, 0.66, 0, 0, 0]])
    write_sequence(root / "labels.csd", "All Labels", dict.fromkeys(VIDEOS, (labels, SEGMENTS)))


def test_six_emotions_as_presence_and_the_sentiment_beside_them(root):
    emotions(root)
    data = read(small(root, "{kind: regression, range: [-3, 3]}", SIX), root)
    assert data["train"].target[:2].tolist() == [[1, 0, 0, 1, 0, 0], [0, 1, 1, 0, 0, 0]]
    assert data.spec.task.classes == ("happy", "sad", "anger", "surprise", "disgust", "fear")
    assert read(small(root), root)["train"].target[:2].tolist() == [2.0, -1.0]


def test_folds_may_lie_in_a_file(root):
    (root / "folds.json").write_text(json.dumps({**FOLDS, "train": VIDEOS[1:6]}))
    entry = "  - {path: labels.csd, role: labels}\n"
    card = small(root, entry, entry + "  - {path: folds.json, role: folds}\n", folds=None)
    data = read(card, root)
    assert set(data["train"].groups) == set(VIDEOS[1:6])
    assert data.notes["reading"] == ["1 of 10 videos with labels are in no fold: left out"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("[1]", r"folds\.json is no object"),
        ('{"train": ["a"], "valid": ["b"]}', r"no list of videos for the split test(.|\n)*folds\.json"),
        ('{"train": ["a"], "valid": ["b"], "tests": ["c"]}', r"the split test. Did you mean tests\?"),
        ('{"train": "a", "valid": ["b"], "test": ["c"]}', r"train is no list of names"),
        ('{"train": ["a", 3], "valid": ["b"], "test": ["c"]}', r"train is no list of names"),
        ('{"train": ["a"], "valid": ["b"], "test": ["a"]}', r"a stands twice in the folds"),
        ("{", r"folds\.json is no json"),
    ],
)
def test_bad_folds(root, content, match):
    (root / "folds.json").write_text(content)
    entry = "  - {path: labels.csd, role: labels}\n"
    with pytest.raises(DataError, match=match):
        folds_of(small(root, entry, entry + "  - {path: folds.json, role: folds}\n", folds=None), root)


def test_no_folds_at_all(root):
    with pytest.raises(DataError, match=r"does not say which videos are in which split(.|\n)*small\.md"):
        folds_of(small(root, folds=None), root)
    with pytest.raises(DataError, match=r"no list of videos for the split test"):
        folds_of(small(root, folds={"train": ["a"], "valid": ["b"]}), root)


def test_videos_that_a_file_does_not_have_are_left_out_and_counted(root):
    write_sequence(root / "audio.csd", "COVAREP", {video: (audio_of(i), AUDIO) for i, video in enumerate(VIDEOS) if i not in (0, 1, 9)})
    data = read(small(root), root)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 8, "valid": 4, "test": 2}
    assert data.notes["reading"] == ["videos of the folds without audio: left out (train 2, test 1)"]
    with pytest.raises(DataError, match=r"no segment is in valid(.|\n)*small\.md line"):
        read(small(root, folds={**FOLDS, "valid": ["w"]}), root)


def test_a_segment_without_a_step_is_marked_or_dropped(root):
    edit(root / "audio.csd", VIDEOS[0], "intervals", AUDIO + 2.0)  # Audio from 2 s on only.
    train = read(small(root), root)["train"]
    column = train.columns["audio"]
    assert column.lengths.tolist()[:2] == [1, 10]
    assert column.present.tolist() == [False] + [True] * (len(column.values) - 1)
    assert column[0].tolist() == [[0, 0]]
    data = read(small(root), root, drop_empty=True)
    assert data["train"].ids[0] == "v-0_x[1]"
    assert data["train"].texts[0] == "so bad"
    assert data.notes["reading"] == ["segments without a step in some modality: dropped (train 1)"]


def test_a_word_without_a_step_is_marked(root):
    edit(root / "audio.csd", VIDEOS[0], "intervals", np.where(AUDIO[:, :1] < 0.9, AUDIO, AUDIO + 50))  # Audio of the first second only.
    data = read(small(root), root, variant="aligned")
    assert data["train"].columns["audio"].present[:4].tolist() == [True, False, False, False]
    assert data["train"].columns["audio"][0].tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert data.notes["reading"] == ["audio: words without a step: zeros, marked as missing (train 3)"]


@pytest.mark.parametrize("variant", ["unaligned", "aligned"])
def test_a_segment_without_words(root, variant):
    edit(root / "words.csd", VIDEOS[0], "intervals", words_of()[1] - 2.0)  # Words of the first segment before it.
    edit(root / "words.csd", VIDEOS[1], "features", np.array([[b"sp"]] * 5))
    data = read(small(root), root, variant=variant)
    train = data["train"]
    assert train.texts[:4] == ["so bad", "", "", ""]
    assert train.columns["text"].lengths.tolist()[:4] == [2, 1, 1, 1]
    assert train.columns["text"].present.tolist()[:5] == [True, True, False, False, False]
    assert train.columns["audio"].lengths.tolist()[:2] == ([10, 10] if variant == "unaligned" else [2, 1])
    assert "text: segments without a step: one step of zeros, marked as missing (train 3)" in data.notes["reading"]


def test_rows_in_any_order_and_times_before_zero(root):
    order = np.random.default_rng(0).permutation(20)
    edit(root / "audio.csd", VIDEOS[0], "intervals", AUDIO[order])
    edit(root / "audio.csd", VIDEOS[0], "features", audio_of(0)[order])
    assert read(small(root), root)["train"].columns["audio"][0].tolist() == audio_of(0)[:10].tolist()
    edit(root / "audio.csd", VIDEOS[0], "intervals", AUDIO[order] - 0.2)
    assert read(small(root), root)["train"].columns["audio"][0].tolist() == audio_of(0)[1:11].tolist()


def test_the_order_of_the_labels_file_is_kept(root):
    edit(root / "labels.csd", VIDEOS[0], "intervals", SEGMENTS[::-1].copy())
    train = read(small(root), root)["train"]
    assert train.ids[:2] == ["v-0_x[0]", "v-0_x[1]"]
    assert train.texts[:2] == ["so bad", "good film"]


def test_sequences_that_the_sdk_aligned_already(root):
    with h5py.File(root / "labels.csd", "r+") as file:
        data = file["Opinion Segment Labels/data"]
        for i, video in enumerate(VIDEOS):
            del data[video]
            for row in range(2):
                data[f"{video}[{row + 9}]/features"] = np.array([[score(i, row)]])  # 9 and 10: numbers, not letters, give the order.
                data[f"{video}[{row + 9}]/intervals"] = SEGMENTS[row : row + 1]
    with h5py.File(root / "audio.csd", "r+") as file:
        data = file["COVAREP/data"]
        for i, video in enumerate(VIDEOS):
            del data[video]
            for row in range(2):
                data[f"{video}[{row + 9}]/features"] = audio_of(i)[10 * row : 10 * row + 10]
                data[f"{video}[{row + 9}]/intervals"] = AUDIO[10 * row : 10 * row + 10]
    train = read(small(root), root)["train"]
    assert train.ids[:3] == ["v-0_x[9]", "v-0_x[10]", "v-1_x[9]"]
    assert train.columns["audio"][1].tolist() == audio_of(0)[10:].tolist()
    edit(root / "audio.csd", f"{VIDEOS[0]}[10]", "features", np.ones((10, 5)))
    with pytest.raises(DataError, match=r"the entries of v-0_x have 2 and 5 features"):
        read(small(root), root)


def test_infinite_values_become_zero_and_nan_is_said(root):
    values = audio_of(0)
    values[3, 0], values[4, 0], values[5, 1] = -np.inf, 1e300, np.inf  # 1e300 is no float32.
    edit(root / "audio.csd", VIDEOS[0], "features", values)
    data = read(small(root), root)
    assert data["train"].columns["audio"][0][3:6].tolist() == [[0, 0], [0, 0], [5, 0]]
    assert data.notes["reading"] == ["audio: infinite values in its videos, replaced by 0 (train 3)"]
    values[7, 1] = np.nan
    edit(root / "audio.csd", VIDEOS[0], "features", values)
    with pytest.raises(DataError, match=r"audio\.csd: a value is nan(.|\n)*video v-0_x, features, row 7, column 1(.|\n)*nan='zero'"):
        read(small(root), root)
    data = read(small(root), root, variant="aligned", nan="zero")
    assert data["train"].columns["audio"][0].tolist()[1] == pytest.approx([(5 + 6 + 7 + 8) / 4, 0])
    assert "audio: nan in its videos, replaced by 0 (train 1)" in data.notes["reading"]


@pytest.mark.parametrize(
    ("file", "field", "value", "match"),
    [
        ("audio", "intervals", AUDIO[:19], r"audio\.csd: 20 steps have features and 19 have an interval(.|\n)*video v-0_x"),
        ("audio", "intervals", AUDIO[:, :1], r"intervals are \[20, 1\]"),
        ("audio", "intervals", np.array(3.0), r"intervals of v-0_x is no array"),
        ("audio", "intervals", np.where(AUDIO == 0.2, np.nan, AUDIO), r"a step lasts from 0 to nan(.|\n)*intervals, row 0(.|\n)*finite times"),
        ("audio", "intervals", AUDIO[:, ::-1].copy(), r"a step ends at 0 s and starts at 0.2 s(.|\n)*row 0"),
        ("audio", "intervals", np.full((20, 2), b"x"), r"intervals are \[20, 2\] \|S1"),
        ("audio", "features", np.zeros((20, 2, 2)), r"features are \[20, 2, 2\]"),
        ("audio", "features", np.zeros((20, 0)), r"features are \[20, 0\]"),
        ("audio", "features", np.array([[b"word"]] * 20), r"audio\.csd holds words(.|\n)*sequence, says"),
        ("vision", "features", np.full((8, 3), b"x"), r"vision\.csd holds words"),
        ("words", "features", np.array([[b"a", b"b"]] * 5), r"words are \[5, 2\]"),
        ("labels", "features", np.array([[1.0], [np.nan]]), r"a label is nan or infinite(.|\n)*features, row 1"),
        ("labels", "features", np.array([[b"good"], [b"bad"]]), r"labels are \[2, 1\] \|S4(.|\n)*segments x sentiment"),
        ("labels", "intervals", SEGMENTS[:, ::-1].copy(), r"labels\.csd: a step ends at 0 s and starts at 2 s"),
    ],
)
def test_a_bad_file_is_named_with_video_and_row(root, file, field, value, match):
    edit(root / f"{file}.csd", VIDEOS[0], field, value)
    with pytest.raises(DataError, match=match):
        read(small(root), root)


def test_widths_that_differ_between_videos(root):
    edit(root / "audio.csd", VIDEOS[3], "features", np.zeros((20, 7)))
    with pytest.raises(DataError, match=r"features are \[20, 7\](.|\n)*video v-3_x(.|\n)*steps x 2 numbers, as in v-0_x"):
        read(small(root), root)


def test_labels_of_another_width(root):
    task = "{kind: regression, range: [-3, 3]}"
    with pytest.raises(DataError, match=r"labels are \[2, 1\](.|\n)*segments x 7 numbers: sentiment, happy"):
        read(small(root, task, SIX), root)
    with pytest.raises(DataError, match=r"the labels are amounts, not classes(.|\n)*small\.md line"):
        read(small(root, task, "{kind: multiclass, classes: [a, b]}"), root)


def test_files_that_are_no_sequence(root):
    (root / "audio.csd").write_bytes(b"no HDF5")
    with pytest.raises(DataError, match=r"audio\.csd"):
        read(small(root), root)
    with h5py.File(root / "audio.csd", "w") as file:
        file.create_group("a")
        file.create_group("b")
    with pytest.raises(DataError, match=r"audio\.csd holds 2 sequences(.|\n)*a, b"):
        read(small(root), root)
    with h5py.File(root / "audio.csd", "w") as file:
        file.create_group("a/metadata")
    with pytest.raises(DataError, match=r'there is no "data"'):
        read(small(root), root)
    with h5py.File(root / "audio.csd", "w") as file:
        file.create_group("a/data")
    with pytest.raises(DataError, match=r"audio\.csd has no videos"):
        read(small(root), root)
    write_sequence(root / "audio.csd", "COVAREP", {video: (audio_of(i), AUDIO) for i, video in enumerate(VIDEOS)})
    with h5py.File(root / "audio.csd", "r+") as file:
        del file["COVAREP/data/v-1_x/features"]
    with pytest.raises(DataError, match=r'there is no "features"(.|\n)*v-1_x'):
        read(small(root), root)
    with h5py.File(root / "audio.csd", "r+") as file:
        file["COVAREP/data/v-1_x/features"] = h5py.ExternalLink("other.h5", "/x")
    with pytest.raises(DataError, match=r"a link to other\.h5:/x, which is not followed"):
        read(small(root), root)


def test_a_file_that_is_cut_off(root):
    raw = (root / "vision.csd").read_bytes()
    (root / "vision.csd").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match=r"vision\.csd is cut off"):
        read(small(root), root)


def test_unknown_options(root):
    card = small(root)
    with pytest.raises(ConfigError, match=r'unknown variant "align"(.|\n)*Did you mean aligned'):
        read(card, root, variant="align")
    with pytest.raises(ConfigError, match='unknown collapse "median"'):
        read(card, root, collapse="median")
    with pytest.raises(ConfigError, match='unknown nan "keep"'):
        read(card, root, nan="keep")
    without = small(root, "  text: {kind: tokens, also: [sequence], size: null, description: d}\n", "")
    assert read(without, root)["train"].texts is None
    with pytest.raises(DataError, match=r"nothing to align to(.|\n)*text"):
        read(without, root, variant="aligned")


def test_a_large_column_is_put_into_a_file(root, monkeypatch):
    plain = read(small(root), root)["train"].columns["audio"]
    monkeypatch.setattr(scratch, "LARGE", 64)
    mapped = read(small(root), root)["train"].columns["audio"]
    assert mapped.is_mapped and not plain.is_mapped
    assert mapped.values.tolist() == plain.values.tolist()


def mosei_emotions(root: Path) -> None:
    """The files of MOSEI's card of emotions, by their names, in the SDK's layout."""
    folder = root / "CMU_MOSEI"
    folder.mkdir()
    write_sequence(folder / "CMU_MOSEI_TimestampedWords.csd", "words", {video: words_of() for video in VIDEOS})
    random = np.random.default_rng(0)
    audio, vision = ({video: (random.normal(size=(len(times), size)), times) for video in VIDEOS} for times, size in ((AUDIO, 74), (VISION, 35)))
    write_sequence(folder / "CMU_MOSEI_COVAREP.csd", "COVAREP", audio)
    write_sequence(folder / "CMU_MOSEI_VisualFacet42.csd", "FACET_4.2", vision)
    amounts = np.array([[2.0, 1.0, 0, 0, 1 / 3, 0, 0], [-1.0, 0, 3.0, 2 / 3, 0, 0, 1 / 3]])
    nothing = np.array([[0.0] * 7, [1.0, 0, 0, 0, 0, 1 / 3, 0]])
    labels = {video: (nothing if i % 2 else amounts, SEGMENTS) for i, video in enumerate(VIDEOS)}
    write_sequence(folder / "CMU_MOSEI_Labels.csd", "All Labels", labels)
    (folder / "folds.json").write_text(json.dumps(FOLDS))


@pytest.mark.parametrize("variant", ["unaligned", "aligned"])
def test_the_card_of_moseis_emotions_end_to_end(root, variant):
    """Read, verified, standardised; learned from and scored."""
    from workbench.fitting import fit

    mosei_emotions(root)
    data = load(f"mosei_emotions_csd/{variant}", root=root)
    assert data.spec.task.classes == ("happy", "sad", "anger", "surprise", "disgust", "fear")
    expected = [[1, 0, 0, 1, 0, 0], [0, 1, 1, 0, 0, 1], [0] * 6, [0, 0, 0, 0, 1, 0]]
    assert data["train"].target[:4].tolist() == expected and data["test"].target.tolist() == expected
    assert data["train"].columns["audio"].lengths[0] == (10 if variant == "unaligned" else 2)
    run = fit("lf_dnn", data, config={"hidden_size": 4}, plan={"epochs": 1}, preset="none", runs=root / "runs")
    scores = run.metrics["test"]
    assert {"accuracy", "accuracy_top", "mae", "f1_weighted", "accuracy_fear", "f1_fear"} <= set(scores)
    assert all(0 <= value <= 1 for value in scores.values())


def test_the_stages_of_delta_attention_stand_above_table_2(root):
    """Aligned and not, every stage: measured rows with the printed ones below them."""
    from workbench import figures, ladder
    from workbench.studies import titles

    mosei_emotions(root)
    draws = ladder.draws_of("mosei_emotions_csd", 1, root=root)
    config = {"hidden_size": 4, "head_size": 2, "heads": 1, "correlated_size": 2, "post_size": 4}
    found = {name: ladder.alone_trained(data, config=config, seeds=1, plan={"epochs": 1}, runs=root / "runs") for name, data in draws.items()}
    blocks = ladder.rungs(found)
    metrics = [*ladder.table_metrics(draws["unaligned"]), *ladder.label_accuracies(draws["unaligned"])]
    assert {"accuracy_top", "f1_weighted", "mae", "f1_fear", "accuracy_fear"} <= set(metrics)
    rows = figures.ladder_table(blocks, metrics=metrics, titles=titles(metrics), printed=ladder.printed_rows("mosei_emotions_csd")).rows
    measured, printed = rows[::2], rows[1::2]
    # Three single modalities, the correlated encodings and the fusion, each unaligned and aligned.
    assert [row[2] for row in measured] == ["measured (n = 1)"] * 10
    assert all(row[2].startswith("printed; other") and "split" in row[2] for row in printed)
    assert {row[0] for row in measured} == {"single modalities", "correlated", "fused"}
    assert all("-" not in row[3:] for row in measured), "every metric of every stage"
    last = dict(zip(metrics, printed[-2][3:], strict=True))
    assert (measured[-2][1], last["accuracy_anger"], last["f1_weighted"], last["mae"]) == ("unaligned", ".839", ".775", "-")


@pytest.mark.parametrize("name", ["mosi_csd", "mosei_csd", "mosei_emotions_csd"])
def test_the_cards_name_every_file_by_role(name):
    from workbench.data.card import card as find_card

    card = find_card(name)
    assert {source.role for source in card.sources} >= {"labels", *card.modalities}
    assert card.folds or any(source.role == "folds" for source in card.sources)
    assert card.variants == ["unaligned", "aligned"]


def test_table_2_of_hierarchical_delta_attention_stands_in_the_card():
    """Spot checks against the printed table, one a row, and what keeps a row from being comparable."""
    from workbench.data.card import card as find_card

    rows = {(row["method"], row["metric"]): row for row in find_card("mosei_emotions_csd").published_rows("unaligned")}
    printed = {
        ("hda/text", "accuracy_top"): 0.446, ("hda/text", "f1_sad"): 0.683, ("hda/vision", "accuracy_top"): 0.502, ("hda/vision", "f1_fear"): 0.794,
        ("hda/audio", "f1_weighted"): 0.771, ("hda/audio", "accuracy_disgust"): 0.849, ("hda/dcca/aligned", "f1_weighted"): 0.765,
        ("hda/dcca/aligned", "accuracy_fear"): 0.884, ("hda/dcca", "accuracy_top"): 0.473, ("hda/dcca", "f1_surprise"): 0.754,
        ("hda/aligned", "accuracy_top"): 0.497, ("hda/aligned", "f1_fear"): 0.932, ("hda", "f1_weighted"): 0.775, ("hda", "accuracy_anger"): 0.839,
        ("graph_mfn", "accuracy_surprise"): 0.537, ("graph_mfn", "f1_fear"): 0.899, ("joint_encoding", "accuracy_surprise"): 0.905,
    }  # fmt: skip
    assert {key: rows[key]["value"] for key in printed} == printed
    ours = [row for (method, _), row in rows.items() if method.startswith("hda")]
    assert len(ours) == 7 * 14 and all("split" in row["differs"] and not row["is_comparable"] for row in ours)
    assert all(row["differs"].startswith("metric") for row in ours if row["metric"] in ("accuracy_top", "f1_weighted"))
    assert "mult" not in {method for method, _ in rows}, "its numbers there are of sentiment"


def test_the_card_of_mosi_reads_all_its_videos(root):
    from workbench.data.card import card as find_card

    videos = [video for fold in find_card("mosi_csd").folds.values() for video in fold]
    folder = root / "CMU_MOSI"
    folder.mkdir()
    segment = np.array([[0.0, 4.0]])
    write_sequence(folder / "CMU_MOSI_TimestampedWords.csd", "CMU_MOSI_ModifiedTimestampedWords", {video: words_of() for video in videos})
    audio, vision = np.repeat(audio_of(1), 37, axis=1), np.repeat(vision_of(1), 16, axis=1)[:, :47]
    write_sequence(folder / "CMU_MOSI_COVAREP.csd", "COVAREP", dict.fromkeys(videos, (audio, AUDIO)))
    write_sequence(folder / "CMU_MOSI_Visual_Facet_41.csd", "FACET_4.1", dict.fromkeys(videos, (vision, VISION)))
    labels = {video: (np.array([[i / 31 - 1.5]]), segment) for i, video in enumerate(videos)}
    write_sequence(folder / "CMU_MOSI_Opinion_Labels.csd", "Opinion Segment Labels", labels)
    data = load("mosi_csd/aligned", root=root)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 52, "valid": 10, "test": 31}
    assert data["test"].columns["audio"].lengths.tolist() == [4] * 31


def test_a_file_with_a_flipped_bit_is_read_or_an_error_with_its_place(root):
    """Whatever a damaged file does to the HDF5 library, the reader says it as an error about data: in the nodes of groups, and anywhere."""
    write_corpus(root, VIDEOS[:3])
    folds = {"train": VIDEOS[:1], "valid": VIDEOS[1:2], "test": VIDEOS[2:3]}
    card, path = small(root, folds=folds), root / "audio.csd"
    whole, refused = path.read_bytes(), []
    nodes = [match.start() + after for match in re.finditer(rb"TREE|SNOD|HEAP", whole) for after in (0, 4, 6)]
    for place in (*nodes, *np.random.default_rng(0).integers(0, len(whole), 40)):
        broken = bytearray(whole)
        broken[place] ^= 1
        path.write_bytes(broken)
        try:
            read(card, root, nan="zero")
        except DataError as error:
            refused.append(error)
    assert len(refused) > 20
    assert all(error.where and error.do for error in refused)


def test_numbers_that_are_described_as_nobody_can_hold_them(root, monkeypatch):
    def damaged(_: object) -> np.dtype:
        raise ValueError("Insufficient precision in available types")

    monkeypatch.setattr(h5py.Dataset, "dtype", property(damaged))
    with pytest.raises(DataError, match=r"(features|intervals) of v-0_x cannot be read: Insufficient precision(.|\n)*video v-0_x, "):
        read(small(root), root)


def test_labels_beyond_what_float32_holds_are_refused(root):
    edit(root / "labels.csd", VIDEOS[0], "features", np.array([[1e300], [0.0]]))
    with pytest.raises(DataError, match=r"a label is nan or infinite(.|\n)*video v-0_x, features, row 0"):
        load(str(small(root).path))


def test_entries_of_strange_names(root):
    def renamed(old: str, new: bytes) -> None:
        with h5py.File(root / "audio.csd", "r+") as file:
            data = next(iter(file.values()))["data"]
            data.id.links.create_hard(new, data.id, old.encode())

    renamed(VIDEOS[0], b"v[" + b"1" * 5000 + b"]")
    assert len(read(small(root), root)["train"]) == 12
    renamed(VIDEOS[0], b"v\xff")
    with pytest.raises(DataError, match=r"the name (.|\n)*is not in UTF-8(.|\n)*COVAREP/data"):
        read(small(root), root)


def test_a_sequence_whose_data_is_no_group(root):
    with h5py.File(root / "audio.csd", "r+") as file:
        del file["COVAREP"]["data"]
        file["COVAREP"]["data"] = np.zeros(3)
    with pytest.raises(DataError, match=r"this is a data set(.|\n)*COVAREP/data"):
        read(small(root), root)
