import pickle
from pathlib import Path

import numpy as np
import pytest

from workbench.data import load
from workbench.data.card import DataCard
from workbench.data.readers.mult_pickle import read
from workbench.errors import DataError

SIZES = {"train": 12, "valid": 5, "test": 6}
STEPS = {"text": 7, "audio": 11, "vision": 9}
WIDTHS = {"text": 6, "audio": 3, "vision": 4}
REGRESSION = "{kind: regression, range: [-3, 3]}"
EMOTIONS = "{kind: multilabel, classes: [neutral, happy, sad, angry], headline: f1_weighted}"
CARD = """---
name: small
title: MulT's layout
task: TASK
modalities:
  text: {kind: sequence, size: null, description: d}
  audio: {kind: sequence, size: null, description: d}
  vision: {kind: sequence, size: null, description: d}
splits: {train: null, valid: null, test: null}
format: mult_pickle
variants: [unaligned, aligned]
sources: [{path: small.pkl}]
licence: none
citation: none
---
Made for a test.
"""


def split(name: str, samples: int, seed: int, *, steps: dict[str, int] = STEPS, side: str = "start") -> tuple[dict, dict]:
    """A split in MulT's layout, padded before the real steps, and its real steps by themselves."""
    random = np.random.default_rng(seed)
    lengths = {key: random.integers(1, steps[key] + 1, samples) for key in steps}
    lengths = {key: lengths["text"] if len(set(steps.values())) == 1 else own for key, own in lengths.items()}
    real = {key: [random.normal(size=(n, WIDTHS[key])).astype(np.float32) for n in lengths[key]] for key in steps}
    padded = {key: np.zeros((samples, steps[key], WIDTHS[key]), np.float32) for key in steps}
    for key, rows in real.items():
        for row, values in enumerate(rows):
            padded[key][row, slice(steps[key] - len(values), None) if side == "start" else slice(len(values))] = values
    ids = np.array([[f"{name}{row // 3}".encode(), str(row + 0.5).encode(), str(row + 1).encode()] for row in range(samples)])
    return {**padded, "labels": random.uniform(-3, 3, (samples, 1, 1)), "id": ids}, real


def corpus(sizes: dict[str, int] = SIZES, **options) -> tuple[dict, dict]:
    made = {name: split(name, samples, seed, **options) for seed, (name, samples) in enumerate(sizes.items())}
    return {name: content for name, (content, _) in made.items()}, {name: real for name, (_, real) in made.items()}


def write(root: Path, content: object, path: str = "small.pkl", *, protocol: int = 4) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(pickle.dumps(content, protocol=protocol))


def small(root: Path, task: str = REGRESSION, *, old: str = "", new: str = "") -> DataCard:
    (root / "small.md").write_text(CARD.replace("TASK", task).replace(old, new))
    return DataCard.load(root / "small.md")


def reading(root: Path, content: object, task: str = REGRESSION, **options):
    write(root, content)
    return read(small(root, task), root, **options)


def same(column, rows: list[np.ndarray]) -> None:
    assert column.lengths.tolist() == [len(values) for values in rows]
    assert np.array_equal(column.values.numpy(), np.concatenate(rows))


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(("side", "where"), [("start", "before"), ("end", "behind")])
def test_the_padded_side_is_detected_and_said(tmp_path, protocol, side, where):
    content, real = corpus(side=side)
    write(tmp_path, content, protocol=protocol)
    data = read(small(tmp_path), tmp_path)
    for name in SIZES:
        for key in STEPS:
            same(data[name].columns[key], real[name][key])
        assert np.array_equal(data[name].target.numpy(), content[name]["labels"][:, 0, 0].astype(np.float32))
    assert data.notes["reading"] == [f"{key}: padded, zeros {where} the real steps" for key in STEPS]
    assert data["train"].ids[4] == "train1_4.5_5" and data["train"].groups[4] == "train1"
    spec = data.spec.modalities["vision"]
    assert (spec.kind, spec.size) == ("sequence", 4) and spec.length == max(len(rows) for part in real.values() for rows in part["vision"])


def test_aligned_files_keep_one_length(tmp_path):
    content, real = corpus(steps=dict.fromkeys(STEPS, 8))
    n = max(len(rows) for rows in real["train"]["text"])
    row = [len(rows) for rows in real["train"]["text"]].index(n)
    content["train"]["text"][row, 8 - n] = 0  # GloVe does not know the first word.
    data = reading(tmp_path, content, variant="aligned")
    for name in SIZES:
        for key in STEPS:
            assert data[name].columns[key].lengths.tolist() == [len(rows) for rows in real[name]["text"]]
    assert np.array_equal(data["train"].columns["text"][row].numpy(), content["train"]["text"][row, 8 - n :])
    assert not [sentence for sentence in data.notes["reading"] if "variant" in sentence]


def test_the_file_decides_whether_it_is_aligned_and_the_notes_say_so(tmp_path):
    """Sentences of 10 words, the first 3 of audio silent: alone, audio would have 7 steps."""
    random = np.random.default_rng(0)
    content, _ = corpus(steps=dict.fromkeys(STEPS, 50))
    for part in content.values():
        for key, width in WIDTHS.items():
            part[key] = random.normal(size=(len(part["labels"]), 50, width)).astype(np.float32)
            part[key][:, :40] = 0
        part["audio"][:, 40:43] = 0
    for variant in ("unaligned", "aligned", ""):
        data = reading(tmp_path, content, variant=variant)
        for name, part in content.items():
            assert {int(length) for key in STEPS for length in data[name].columns[key].lengths} == {10}
            assert np.array_equal(data[name].columns["audio"][0].numpy(), part["audio"][0, 40:])
        sentence = "all modalities have 50 steps, so they are read as aligned, though the variant is unaligned"
        assert (sentence in data.notes["reading"]) == (variant == "unaligned")
    content, real = corpus()
    data = reading(tmp_path, content, variant="aligned")
    same(data["train"].columns["audio"], real["train"]["audio"])
    listed = "text 7, audio 11, vision 9"
    assert f"the variant is aligned, but the modalities have not equally many steps ({listed}): read as unaligned" in data.notes["reading"]


def test_modalities_padded_on_different_sides_are_not_aligned(tmp_path):
    steps = dict.fromkeys(STEPS, 8)
    (content, real), (other, _) = corpus(steps=steps), corpus(steps=steps, side="end")
    content["train"]["audio"] = other["train"]["audio"]
    data = reading(tmp_path, content)
    same(data["train"].columns["audio"], real["train"]["audio"])
    assert "padded on different sides, so the steps of the modalities are not aligned (train)" in data.notes["reading"]


def test_infinite_values_become_zero_and_nan_is_refused(tmp_path):
    content, _ = corpus()
    content["train"]["audio"][3, -1, 0] = -np.inf
    data = reading(tmp_path, content)
    assert data["train"].columns["audio"][3][-1, 0] == 0
    assert "audio: infinite values became 0 (train 1)" in data.notes["reading"]
    content["test"]["text"][2, -1, 4] = np.nan
    write(tmp_path, content)
    with pytest.raises(DataError, match=r"text: a value is nan(.|\n)*split test, text, row 2(.|\n)*column 4"):
        load(str(small(tmp_path).path))


@pytest.mark.parametrize("kind", [np.int64, np.float32, bool])
def test_four_yes_no_emotions(tmp_path, kind):
    content, _ = corpus()
    answers = {name: np.random.default_rng(n).integers(0, 2, (n, 4)) for name, n in SIZES.items()}
    for name, part in content.items():
        part["labels"] = np.stack([1 - answers[name], answers[name]], axis=2).astype(kind)
    data = reading(tmp_path, content, EMOTIONS)
    for name in SIZES:
        assert data[name].target.tolist() == answers[name].astype(float).tolist()
    assert (data.spec.task.kind, data.spec.task.classes) == ("multilabel", ("neutral", "happy", "sad", "angry"))
    for name, part in content.items():
        part["labels"] = answers[name]
    assert reading(tmp_path, content, EMOTIONS)["test"].target.tolist() == answers["test"].astype(float).tolist()


def test_scores_of_emotions_go_to_the_larger(tmp_path):
    content, _ = corpus()
    for part in content.values():
        part["labels"] = np.tile(np.array([[0.2, 0.8], [0.9, 0.1], [-1, 1], [3, 2]], np.float32), (len(part["text"]), 1, 1))
    assert reading(tmp_path, content, EMOTIONS)["train"].target[5].tolist() == [1, 0, 1, 0]
    for value in (0.5, np.nan):
        content["train"]["labels"][7, 2] = value
        with pytest.raises(DataError, match=r"sad is neither yes nor no(.|\n)*split train, key labels, row 7"):
            reading(tmp_path, content, EMOTIONS)


SIX = "{kind: multilabel, classes: [happy, sad, anger, surprise, disgust, fear]}"


@pytest.mark.parametrize("shape", [(-1, 7), (-1, 1, 7)])
def test_the_seven_labels_of_mosei_as_presence(tmp_path, shape):
    content, _ = corpus()
    rows = np.array([[-2.0, 0, 0.33, 3, 0, 0, 1], [2.4, 0.66, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0]])
    for name, samples in SIZES.items():
        content[name]["labels"] = np.resize(rows, (samples, 7)).astype(np.float32).reshape(shape)
    write(tmp_path, content)
    data = load(str(small(tmp_path, SIX).path))
    assert data["train"].target[:4].tolist() == [[0, 1, 1, 0, 0, 1], [1, 0, 0, 0, 0, 0], [0] * 6, [0, 1, 1, 0, 0, 1]]
    assert (data.spec.task.kind, data.spec.task.outputs) == ("multilabel", 6)
    content["valid"]["labels"].reshape(-1, 7)[3, 2] = np.nan
    with pytest.raises(DataError, match=r"a label is nan or infinite(.|\n)*split valid, key labels, row 3"):
        reading(tmp_path, content, SIX)
    with pytest.raises(DataError, match=r"labels have the shape(.|\n)*samples x 4 x 2"):
        reading(tmp_path, content, EMOTIONS)


def test_samples_without_text_are_counted_or_dropped(tmp_path):
    content, real = corpus()
    content["train"]["text"][[1, 4]] = 0
    content["test"]["audio"][2] = 0
    kept = reading(tmp_path, content)
    assert len(kept["train"]) == 12 and kept["train"].columns["text"][4].tolist() == [[0] * 6]
    assert "text: samples that are zero throughout (train 2)" in kept.notes["reading"]
    assert "audio: samples that are zero throughout (test 1)" in kept.notes["reading"]
    dropped = reading(tmp_path, content, drop_empty=True)
    rows = [0, 2, 3, 5, 6, 7, 8, 9, 10, 11]
    same(dropped["train"].columns["vision"], [real["train"]["vision"][row] for row in rows])
    assert dropped["train"].ids == [kept["train"].ids[row] for row in rows] and len(dropped["test"]) == 6
    assert "samples whose text is zero throughout were dropped (train 2)" in dropped.notes["reading"]
    content["valid"]["text"][:] = 0
    with pytest.raises(DataError, match=r"no sample is left(.|\n)*split valid"):
        reading(tmp_path, content, drop_empty=True)


def test_ids_of_every_make(tmp_path):
    content, _ = corpus()
    content["train"]["id"] = [["a", 0.5, 1], (b"a", 1, 2.5), np.array(["a", "3", "4"]), *[["b", row, row + 1] for row in range(9)]]
    content["valid"]["id"] = np.array([f"clip{row}" for row in range(5)])
    del content["test"]["id"]
    data = reading(tmp_path, content)
    assert data["train"].ids[:4] == ["a_0.5_1", "a_1_2.5", "a_3_4", "b_0_1"] and data["train"].groups[2:4] == ["a", "b"]
    assert data["valid"].ids[1] == "clip1" and data["valid"].groups is None
    assert data["test"].ids[5] == "test_5" and data["test"].groups is None
    assert "ids do not name a video: the videos are unknown (valid)" in data.notes["reading"]
    assert "no ids: samples are numbered, and their videos are unknown (test)" in data.notes["reading"]


def test_repeated_ids_are_made_unique_and_said(tmp_path):
    content, _ = corpus()
    content["train"]["id"][[2, 5]] = content["train"]["id"][0]
    content["test"]["id"] = np.array([[name.decode() for name in row] for row in content["test"]["id"]], "U16")
    content["test"]["id"][1] = [name.decode() for name in content["train"]["id"][0]]
    data = reading(tmp_path, content)
    assert [data["train"].ids[row] for row in (0, 2, 5)] == ["train0_0.5_1", "train0_0.5_1#2", "train0_0.5_1#3"]
    assert data["test"].ids[1] == "train0_0.5_1#4" and data["test"].groups[1] == "train0"
    assert "ids that stood twice got a number behind (#2) (train 2, test 1)" in data.notes["reading"]
    assert "ids that an earlier split has too: the same clip, or only the same name (test 1)" in data.notes["reading"]


NO_LETTERS = np.full(15, 0x7FFFFFFF, "<u4").view("<U1")


@pytest.mark.parametrize(
    ("task", "key", "value", "match"),
    [
        (REGRESSION, "labels", np.zeros((5, 4, 2)), r"labels has the shape \[5, 4, 2\](.|\n)*one number a sample"),
        (EMOTIONS, "labels", np.zeros((5, 1, 1)), r"labels have the shape \[5, 1, 1\](.|\n)*samples x 4 x 2: no and yes for each of neutral, happy"),
        (REGRESSION, "text", np.zeros((5, 6)), r"text has the shape \[5, 6\](.|\n)*split valid, key text"),
        (REGRESSION, "vision", np.ones((4, 3, 4)), r"vision has 4 samples, the labels have 5"),
        (REGRESSION, "id", "abc", r"id is no list(.|\n)*video, start, end"),
        (REGRESSION, "id", np.array(7), r"id is no list"),
        (REGRESSION, "id", [["a", "1", "2"]] * 4, r"id has 4 samples, the labels have 5"),
        (REGRESSION, "id", [["a", None, "2"]] * 5, r"an id holds a NoneType(.|\n)*row 0"),
        (REGRESSION, "id", NO_LETTERS[:5], r"a letter that does not exist(.|\n)*  do "),
        (REGRESSION, "id", NO_LETTERS[:15].reshape(5, 3), r"a letter that does not exist"),
        (REGRESSION, "id", [["a", 10**2000, "2"]] * 5, r"an id holds a whole number of more than 64 bits(.|\n)*row 0"),
        (REGRESSION, "id", [["a", "\x1b" * 10**6, "2"]] * 5, r"an id holds \?{60}\.\.\.(.|\n)*at most 1000 letters"),
        (REGRESSION, "id", [["a", b"x" * 10**6, "2"]] * 5, r"an id holds x{60}\.\.\."),
        (REGRESSION, "id", [["a"] * 17] * 5, r"an id has more than 16 parts(.|\n)*row 0"),
        (REGRESSION, "id", np.full((5, 10**6), "a"), r"an id has more than 16 parts(.|\n)*row 0"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, task, key, value, match):
    content, _ = corpus()
    if task == EMOTIONS:
        content["train"]["labels"] = np.tile([0, 1], (12, 4, 1))
    content["valid"][key] = value
    with pytest.raises(DataError, match=match):
        reading(tmp_path, content, task)


def test_missing_parts_and_unknown_keys(tmp_path):
    content, _ = corpus()
    content["extra"] = 1
    content["test"]["lengths"] = [1]
    said = reading(tmp_path, content).notes["reading"]
    assert "keys that are not read: extra" in said and "keys that are not read: lengths (test)" in said
    for key in ("audio", "labels"):
        broken, _ = corpus()
        del broken["test"][key]
        with pytest.raises(DataError, match=rf'"{key}" is missing(.|\n)*split test'):
            reading(tmp_path, broken)
    del content["valid"]
    with pytest.raises(DataError, match='"valid" is missing'):
        reading(tmp_path, content)


def test_cards_that_the_format_cannot_serve(tmp_path):
    write(tmp_path, corpus()[0])
    with pytest.raises(DataError, match=r"these files have no modality smell(.|\n)*small.md line 8"):
        read(small(tmp_path, old="  vision:", new="  smell:"), tmp_path)
    with pytest.raises(DataError, match="these files have no multiclass labels"):
        read(small(tmp_path, "{kind: multiclass, classes: [a, b]}"), tmp_path)


TINY = {"text": 2, "audio": 4, "vision": 3}


@pytest.mark.parametrize(
    ("name", "path", "sizes", "steps"),
    [
        ("mosi_mult", "mosi_data_noalign.pkl", (1284, 229, 686), TINY),
        ("mosi_mult/aligned", "mosi_data.pkl", (1284, 229, 686), dict.fromkeys(TINY, 2)),
        ("mosei_mult", "mosei_senti_data_noalign.pkl", (16326, 1871, 4659), TINY),
        ("iemocap_mult", "iemocap_data_noalign.pkl", (20, 7, 9), TINY),
        ("iemocap_mult/aligned", "iemocap_data.pkl", (20, 7, 9), dict.fromkeys(TINY, 2)),
    ],
)
def test_the_cards_that_come_with_the_workbench(tmp_path, name, path, sizes, steps):
    content, real = corpus(dict(zip(SIZES, sizes, strict=True)), steps=steps)
    if name.startswith("iemocap"):
        for part in content.values():
            part["labels"] = np.tile(np.eye(2)[[0, 1, 0, 1]], (len(part["text"]), 1, 1))
    write(tmp_path, content, f"MulT/{path}")
    data = load(name, root=tmp_path)
    assert tuple(len(split) for split in data.splits.values()) == sizes
    same(data["test"].columns["text"], real["test"]["text"])
    values = np.concatenate(real["train"]["audio"]).astype(np.float64)
    scaled = (np.concatenate(real["valid"]["audio"]) - values.mean(0)) / values.std(0)
    assert data["valid"].columns["audio"].values.numpy() == pytest.approx(scaled, abs=1e-4)
