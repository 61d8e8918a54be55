"""Own data as npz, safetensors and parquet: the same data set from each, and what is wrong named with file, key and row."""

import json
import re
import struct
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from workbench.data import Dataset, load
from workbench.data.card import DataCard, ModalityCard, PublishedRow, SourceCard, SourceList, TaskCard, cards
from workbench.data.reading.tables import read_table, samples_of
from workbench.errors import ConfigError, DataError

CARD = """---
name: mine
title: Mine
task: TASK
modalities:
  text: {kind: tokens, size: null, description: words}
  audio: {kind: sequence, size: 2, rate: 20, description: frames}
  stats: {kind: vector, size: 3, description: numbers}
  face: {kind: image, size: 1, shape: [1, 2, 2], description: pixels}
splits: {train: 4, valid: 2}
format: folder
sources: [{path: train.SUFFIX}, {path: valid.SUFFIX}]
licence: none
citation: none
---
Made for a test.
"""
CLASSES, LABELS = "{kind: multiclass, classes: [sad, happy]}", "{kind: multilabel, classes: [sad, happy, calm]}"
SUFFIXES = ("npz", "safetensors", "parquet")


def samples(n: int, task: str = CLASSES) -> dict[str, list]:
    """Rows of every kind; sequences of 1, 3, 1, 3 ... frames."""
    first = 100 * n  # Other numbers, and other ids, in each split.
    made = {
        "text": ["a b", "c"] * (n // 2),
        "audio": [[[first + 10.0 * i + t, -1.5] for t in range((1, 3)[i % 2])] for i in range(n)],
        "stats": [[float(i), 0.5, first] for i in range(n)],
        "face": [[[[0.0, i / 8], [0.5, 1.0]]] for i in range(n)],
        "ids": [f"id {first + i}" for i in range(n)],
        "groups": ["x"] * (n // 2) + ["y"] * (n // 2),
    }
    made["target"] = ["sad", "happy"] * (n // 2) if task == CLASSES else [["happy"], ["sad", "calm"], [], ["calm"]][:n]
    return made


def multi_hot(names: list[list[str]]) -> np.ndarray:
    return np.array([[label in row for label in ("sad", "happy", "calm")] for row in names], dtype=np.int64)


def as_npz(path: Path, rows: dict[str, list], **changes: object) -> None:
    """Padded sequences with lengths; changes replace keys, None takes one away."""
    lengths = [len(sample) for sample in rows["audio"]]
    padded = np.zeros((len(lengths), max(lengths), 2), np.float32)
    for i, sample in enumerate(rows["audio"]):
        padded[i, : len(sample)] = sample
    target = np.array(rows["target"]) if isinstance(rows["target"][0], str) else multi_hot(rows["target"])
    arrays = {key: np.array(rows[key]) for key in ("text", "stats", "face", "ids", "groups")}
    arrays |= {"audio": padded, "audio_lengths": np.array(lengths), "target": target}
    np.savez(path, **{key: value for key, value in (arrays | changes).items() if value is not None})


def as_safetensors(path: Path, rows: dict[str, list], *, metadata: dict[str, str] | None = None, **changes: object) -> None:
    """All steps one after the other with offsets; strings as JSON in the metadata."""
    offsets = np.cumsum([0, *(len(sample) for sample in rows["audio"])])
    tensors = {key: torch.tensor(rows[key], dtype=torch.float32) for key in ("stats", "face")}
    tensors |= {"audio": torch.tensor([frame for sample in rows["audio"] for frame in sample]), "audio_offsets": torch.from_numpy(offsets)}
    strings = {key: json.dumps(rows[key]) for key in ("text", "ids", "groups", "target")} | {"made by": "a test"} | (metadata or {})
    tensors = {key: value for key, value in (tensors | changes).items() if value is not None}
    save_file(tensors, path, metadata={key: value for key, value in strings.items() if value is not None})


def as_parquet(path: Path, rows: dict[str, list], *, row_group_size: int | None = None, **changes: object) -> None:
    table = {key: value for key, value in (rows | changes).items() if value is not None}
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path, row_group_size=row_group_size)


WRITE = {"npz": as_npz, "safetensors": as_safetensors, "parquet": as_parquet}


def write_card(folder: Path, suffix: str, task: str = CLASSES) -> Path:
    path = folder / "mine.md"
    path.write_text(CARD.replace("SUFFIX", suffix).replace("TASK", task))
    for split, n in (("train", 4), ("valid", 2)):
        WRITE[suffix](folder / f"{split}.{suffix}", samples(n, task))
    return path


@pytest.fixture(params=SUFFIXES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A card beside its files, of each format."""
    return write_card(tmp_path, request.param)


def check_content(data: Dataset) -> None:
    for split, n in (("train", 4), ("valid", 2)):
        rows, found = samples(n), data[split]
        assert found.ids == rows["ids"]
        assert found.groups == rows["groups"]
        assert found.texts == rows["text"]
        assert found.target.tolist() == [["sad", "happy"].index(name) for name in rows["target"]]
        for i in range(n):
            assert found.columns["audio"][i].tolist() == rows["audio"][i]
            assert found.columns["stats"][i].tolist() == [rows["stats"][i]]
            assert found.columns["face"][i].tolist() == [rows["face"][i]]


def test_each_format_gives_the_same(path):
    data = load(str(path))
    check_content(data)
    assert data.modalities == ("text", "audio", "stats", "face")  # The card's order.
    assert [spec.kind for spec in data.spec.modalities.values()] == ["tokens", "sequence", "vector", "image"]
    assert data.spec.modalities["audio"].rate == 20
    assert data.spec.modalities["text"].vocabulary[2:] == ("a", "b", "c")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_format_holds_labels(tmp_path, suffix):
    data = load(str(write_card(tmp_path, suffix, LABELS)))
    assert data["train"].target.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0], [0, 0, 1]]
    assert data["train"].target.dtype == torch.float32


def test_formats_may_differ_between_splits_and_npz_is_an_old_name(tmp_path):
    path = write_card(tmp_path, "parquet")
    as_safetensors(tmp_path / "valid.safetensors", samples(2))
    path.write_text(path.read_text().replace("valid.parquet", "valid.safetensors").replace("format: folder", "format: npz"))
    check_content(load(str(path)))


def test_variants_have_files_of_their_own(tmp_path):
    path = write_card(tmp_path, "npz")
    (tmp_path / "late").mkdir()
    for split, n in (("train", 4), ("valid", 2)):
        rows = samples(n)
        as_npz(tmp_path / "late" / f"{split}.npz", rows, stats=np.array(rows["stats"]) + 7)
    files = [(folder + split, name) for folder, name in (("", "early"), ("late/", "late")) for split in ("train", "valid")]
    sources = ", ".join(f"{{path: {file}.npz, variant: {name}}}" for file, name in files)
    path.write_text(path.read_text().replace("sources: [{path: train.npz}, {path: valid.npz}]", f"variants: [early, late]\nsources: [{sources}]"))
    shift = load(str(path), variant="late")["train"].columns["stats"].values - load(str(path))["train"].columns["stats"].values
    assert shift.unique().tolist() == [7]


def test_offsets_in_npz_and_lengths_in_safetensors(tmp_path):
    path = write_card(tmp_path, "npz")
    steps = np.array([frame for sample in samples(2)["audio"] for frame in sample])
    as_npz(tmp_path / "valid.npz", samples(2), audio=steps, audio_lengths=None, audio_offsets=np.array([0, 1, 4]))
    check_content(load(str(path)))
    path = write_card(tmp_path, "safetensors")
    padded = torch.zeros(2, 3, 2)
    padded[0, :1], padded[1] = torch.tensor(samples(2)["audio"][0]), torch.tensor(samples(2)["audio"][1])
    as_safetensors(tmp_path / "valid.safetensors", samples(2), audio=padded, audio_offsets=None, audio_lengths=torch.tensor([1, 3]))
    check_content(load(str(path)))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_without_names_and_numbered_classes(tmp_path, suffix):
    path, none = write_card(tmp_path, suffix), {"ids": None, "groups": None}
    for split, n in (("train", 4), ("valid", 2)):
        rows, target = samples(n), [0, 1] * (n // 2)
        if suffix == "npz":
            as_npz(tmp_path / f"{split}.npz", rows, target=np.array(target), **none)
        elif suffix == "parquet":
            as_parquet(tmp_path / f"{split}.parquet", rows, target=target, **none)
        else:
            as_safetensors(tmp_path / f"{split}.safetensors", rows, target=torch.tensor(target), metadata=none | {"target": None})
    data = load(str(path))
    assert data["train"].ids == ["train_0", "train_1", "train_2", "train_3"]
    assert data["valid"].groups is None
    assert data["valid"].target.tolist() == [0, 1]


def test_half_precision_in_safetensors(tmp_path):
    path = write_card(tmp_path, "safetensors")
    stats = torch.tensor(samples(2)["stats"])
    for dtype in (torch.bfloat16, torch.float16, torch.float64, torch.int32):
        as_safetensors(tmp_path / "valid.safetensors", samples(2), stats=(stats * 2).to(dtype))
        assert load(str(path))["valid"].columns["stats"].values.tolist() == (stats * 2).to(dtype).float().tolist()


# What is wrong is named


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"audio_lengths": np.array([1, 4])}, r'the length is 4(.|\n)*valid\.npz, key "audio_lengths", split valid, row 1(.|\n)*1 to 3 steps'),
        ({"audio_lengths": np.array([0, 3])}, "the length is 0"),
        ({"audio_lengths": np.array([1])}, r"its lengths are \[1\]"),
        ({"audio_lengths": np.array([1.0, 2.0])}, r"its lengths are \[2\] float64"),
        ({"audio": np.ones((2, 2))}, r"audio is \[2, 2\], its lengths are \[2\] int64"),
        ({"audio": np.ones((2, 3, 5)), "audio_lengths": np.array([1, 2])}, r"audio is \[5\] a step"),
        ({"audio_offsets": np.array([0, 1, 4])}, "audio has audio_offsets and was ragged already"),
        ({"text_lengths": np.array([1, 1])}, r"text is \[2\], its lengths are \[2\]"),
        ({"stats": np.ones((2, 2), object)}, r"valid.npz cannot be read(.|\n)*no objects"),
        ({"smell": np.ones((2, 2))}, r'the key "smell" is not in train'),
        ({"stats": None}, r'the key "stats" is missing(.|\n)*split valid'),
        ({"target": np.array(["sad", "hapy"])}, r'unknown label "hapy". Did you mean happy'),
        ({"stats": np.array([[1, 2, 3], [4, np.nan, 6]])}, r"stats: a value is nan(.|\n)*row 1 \(id 201\), column 1"),
    ],
)
def test_bad_npz_is_named(tmp_path, change, match):
    path = write_card(tmp_path, "npz")
    as_npz(tmp_path / "valid.npz", samples(2), **change)
    with pytest.raises(DataError, match=match):
        load(str(path))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"audio_offsets": torch.tensor([0, 2, 1])}, r"the offsets of audio go from 0 to 1(.|\n)*from 0 to 4, the number of steps"),
        (
            {"audio_offsets": torch.tensor([0, 4, 4])},
            r'the offsets of audio go from 4 to 4(.|\n)*key "audio_offsets", split valid, row 1(.|\n)*one step or',
        ),
        ({"audio_offsets": torch.tensor([0, 5, 4])}, r"the offsets of audio go from 5 to 4"),
        ({"audio_offsets": torch.tensor([1, 2, 4])}, r"the offsets of audio go from 1 to 4"),
        ({"audio_offsets": torch.tensor([0.0, 1, 4])}, r"its offsets are \[3\] float32(.|\n)*samples \+ 1 whole numbers"),
        ({"audio_offsets": torch.tensor([0])}, r"its offsets are \[1\] int64"),
        ({"audio_offsets": torch.tensor([[0, 1, 4]])}, r"its offsets are \[1, 3\] int64"),
        ({"audio": torch.ones(2, 2, 2)}, r"audio is \[2, 2, 2\], its offsets are \[3\]"),
        ({"audio_offsets": torch.tensor([0, 1, 2, 4])}, r"audio has 3 samples, target has 2"),
        ({"stats": torch.ones(2, 3, dtype=torch.complex64)}, r"stats holds complex64, not numbers"),
        ({"ids": torch.ones(2)}, r'"ids" is an array and stands in the metadata'),
        ({"smell": torch.ones(2, 2)}, r'the key "smell" is not in train'),
        ({"metadata": {"text": '["a", 3]'}}, r"text has sentences and numbers(.|\n)*row 1"),
        ({"metadata": {"text": '["a", "b'}}, r'the metadata "text" is no JSON(.|\n)*valid\.safetensors(.|\n)*a list of strings'),
        ({"metadata": {"text": "[" * 100_000}}, r'the metadata "text" is no JSON'),
        ({"metadata": {"text": '{"a": 1}'}}, r'the metadata "text" is no list'),
        ({"metadata": {"text": '["a"]'}}, r"text has 1 samples, target has 2"),
        ({"metadata": {"text": None}}, r'the key "text" is missing'),
        ({"metadata": {"groups": '["a"]'}}, r"groups has 1 samples, target has 2"),
        ({"metadata": {"target": '["sad", ["happy"]]'}}, r"target (has rows of unequal length|holds)"),
        ({"metadata": {"target": '["sad", "hapy"]'}}, r'unknown label "hapy". Did you mean happy'),
    ],
)
def test_bad_safetensors_is_named(tmp_path, change, match):
    path = write_card(tmp_path, "safetensors")
    as_safetensors(tmp_path / "valid.safetensors", samples(2), **change)
    with pytest.raises(DataError, match=match):
        load(str(path))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"stats": None, "Stats": [[1, 2, 3]] * 2}, r'the column "stats" is missing\. Did you mean Stats(.|\n)*valid\.parquet'),
        ({"target": None}, r'the column "target" is missing'),
        ({"text": ["a", None]}, r'text has an empty cell(.|\n)*column "text", row 1'),
        ({"stats": [[1.0, 2, 3], None]}, r"stats has an empty cell(.|\n)*row 1"),
        ({"stats": [[1.0, 2, 3], [1.0, None, 3]]}, r"stats has an empty cell(.|\n)*row 1(.|\n)*a number in every place"),
        ({"audio": [[[1.0, 2]], [[1.0, 2], [None, 3]]]}, r"audio has an empty cell(.|\n)*row 1"),
        ({"audio": [[[1.0, 2]], [[1.0, 2], None]]}, r"audio has an empty cell(.|\n)*row 1"),
        ({"audio": [[[1.0, 2]], [[1.0, 2], [3.0]]]}, r"audio has lists of 1 and of 2(.|\n)*row 1(.|\n)*frames of one width"),
        ({"audio": [[[1.0, 2]], []]}, r"audio has a sample without a step(.|\n)*row 1"),
        ({"face": [[[[1.0, 2], [3.0, 4]]], [[[1.0, 2], [3.0]]]]}, r"face has lists of 1 and of 2(.|\n)*row 1"),
        ({"stats": [[1.0, 2, 3], [1.0, 2]]}, r"stats is \[2\] here and \[3\] in row 0(.|\n)*row 1"),
        ({"stats": [1.0, 2.0]}, r"stats has the shape \[2\]"),
        ({"stats": [[1.0, 2, np.inf], [1.0, 2, 3]]}, r"stats: a value is inf(.|\n)*row 0 \(id 200\), column 2"),
        ({"stats": [{"a": 1}, {"a": 2}]}, r"stats holds struct<a: int64>(.|\n)*lists of numbers \(vector\)"),
        ({"stats": [b"x", b"y"]}, r"stats holds binary"),
        ({"stats": [[{"a": 1}], [{"a": 2}]]}, r"stats holds list<"),
        ({"text": [["a"], ["b", None]]}, r"text has an empty cell(.|\n)*row 1(.|\n)*a string in every place"),
        ({"text": [["a"], ["b"]]}, r"text holds <U1"),
        ({"target": ["sad", "hapy"]}, r'unknown label "hapy". Did you mean happy'),
        ({"target": [0, 2]}, r"the label 2 is of no class"),
        ({"ids": ["a", "a"]}, r'the id "a" stands twice'),
    ],
)
def test_bad_parquet_is_named(tmp_path, change, match):
    path = write_card(tmp_path, "parquet")
    as_parquet(tmp_path / "valid.parquet", samples(2), **change)
    with pytest.raises(DataError, match=match):
        load(str(path))


def test_parquet_columns_that_the_card_does_not_name_are_left_alone(tmp_path):
    path = write_card(tmp_path, "parquet")
    as_parquet(tmp_path / "valid.parquet", samples(2), age=[30, 40], stats_note=["a", None])
    data = load(str(path))
    check_content(data)
    assert data.notes["reading"] == ["valid.parquet: not read, not in the card: age, stats_note"]


def test_parquet_in_row_groups_and_other_list_types(tmp_path):
    path, rows = write_card(tmp_path, "parquet"), samples(4)
    types = {
        "text": pa.large_string(),
        "groups": pa.dictionary(pa.int8(), pa.string()),
        "stats": pa.list_(pa.float32(), 3),
        "audio": pa.large_list(pa.list_(pa.float32(), 2)),
        "face": pa.list_(pa.list_(pa.list_(pa.float16()))),
    }
    as_parquet(tmp_path / "train.parquet", {key: pa.array(rows[key], types.get(key)) for key in rows}, row_group_size=3)
    check_content(load(str(path)))
    rows["audio"][3] = [[1.0, 2.0], [3.0]]
    as_parquet(tmp_path / "train.parquet", rows, row_group_size=3)
    with pytest.raises(DataError, match=r"audio has lists of 1 and of 2(.|\n)*row 3"):  # Counted over all row groups.
        load(str(path))
    empty = {key: pa.array([], types.get(key, pa.string())) for key in rows}
    as_parquet(tmp_path / "train.parquet", empty)
    with pytest.raises(DataError, match=r"text has no samples(.|\n)*split train"):
        load(str(path))


@pytest.mark.parametrize("hole", [None, [None, 2.0], [1.0]])
def test_rows_are_counted_over_all_pieces_of_a_column(hole):
    whole = [[[1.0, 2.0]] * steps for steps in (1, 3, 2, 1, 4)]
    for row in (1, 4, 6, 9):
        rows = whole + whole
        rows[row] = [*rows[row][:-1], hole]
        kind = pa.list_(pa.list_(pa.float64()))
        column = pa.chunked_array([pa.array(part, kind) for part in (rows[:4], rows[4:5], rows[5:])])
        with pytest.raises(DataError, match=rf"audio has (an empty cell|lists of)(.|\n)*here, row {row}\b"):
            samples_of(column, owner="mine", name="audio", where="here")


def test_a_parquet_column_that_stands_twice(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r'the column "text" stands twice'):
        read_table("mine", tmp_path / "train.parquet", needed=["text"])


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    path = write_card(tmp_path, "parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"train\.parquet cannot be read: Parquet files need pyarrow(.|\n)*pip install pyarrow"):
        load(str(path))


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=4), min_size=1, max_size=6), st.integers(1, 3))
def test_ragged_rows_come_back_from_parquet(tmp_path_factory, rows, width):
    """Any number of frames in any row, in row groups of two."""
    path = tmp_path_factory.mktemp("ragged") / "train.parquet"
    frames = [[[value] * width for value in row] for row in rows]
    pq.write_table(pa.table({"audio": pa.array(frames, pa.list_(pa.list_(pa.float32())))}), path, row_group_size=2)
    found, left = read_table("mine", path, needed=["audio"])
    assert [row.tolist() for row in found["audio"]] == frames
    assert left == []


# Files


NUMPY = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (), }" + b" " * 59 + b"\n" + b"\0" * 8


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"\x80\x04K\x01.", b"text", NUMPY, struct.pack("<Q", 2**60) + b"{}", b"PAR1 PAR1"])
def test_what_is_no_such_file_is_refused(path, content):
    file = next(path.parent.glob("valid.*"))
    file.write_bytes(content)
    with pytest.raises(DataError, match=rf"{file.name} cannot be read"):
        load(str(path))


def test_files_cut_off_at_any_place(path):
    file = next(path.parent.glob("valid.*"))
    whole = file.read_bytes()
    for end in range(0, len(whole), 97):
        file.write_bytes(whole[:end])
        with pytest.raises(DataError, match=rf"{file.name} cannot be read"):
            load(str(path))


def test_files_of_a_split_are_one(path):
    text, file = path.read_text(), next(path.parent.glob("valid.*")).name
    path.write_text(text.replace(f", {{path: {file}}}", ""))
    with pytest.raises(DataError, match=r"no file for the split valid(.|\n)*line 12(.|\n)*valid\.npz, valid\.safetensors or valid\.parquet"):
        load(str(path))
    (path.parent / "valid.npz").write_bytes(b"x")
    (path.parent / "valid.parquet").write_bytes(b"x")
    path.write_text(text.replace(f"{{path: {file}}}", "{path: valid.npz}, {path: valid.parquet}"))
    with pytest.raises(DataError, match=r"two files for the split valid: valid\.npz and valid\.parquet"):
        load(str(path))


def test_import_is_light():
    code = "import sys, workbench.data.readers.folder; print([m for m in ('pyarrow', 'pandas', 'safetensors') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


README = Path(__file__).parents[3] / "data_cards" / "README.md"


@pytest.mark.parametrize(("block", "suffix"), [(0, "npz"), (1, "parquet"), (2, "safetensors")])
def test_the_recipe_of_the_readme_works(tmp_path, monkeypatch, block, suffix):
    text = README.read_text().partition("## Bring your own data")[2]
    recipes, cards = (re.findall(rf"   ```{kind}\n(.*?)   ```\n", text, re.DOTALL) for kind in ("python", "yaml"))
    monkeypatch.chdir(tmp_path)
    exec(dedent(recipes[block]), {})
    Path("my_card.md").write_text(dedent(cards[0]).replace(".npz", f".{suffix}"))
    data = load("my_card.md")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 60, "valid": 20}
    assert [spec.kind for spec in data.spec.modalities.values()] == ["tokens", "sequence"]
    assert 3 <= int(data["train"].columns["audio"].lengths.min()) < int(data["train"].columns["audio"].lengths.max()) <= 8


def test_the_readme_lists_every_card():
    rows = README.read_text().partition("## Bring")[0]
    assert sorted(re.findall(r"`([a-z_0-9]+)`", "".join(line.split("|")[1] for line in rows.splitlines() if line.startswith("| `")))) == cards()


def test_the_readme_explains_every_field_of_the_head():
    rows = README.read_text().partition("## The head")[2]
    named = set(re.findall(r"`([a-z_0-9]+)`", "".join(line.split("|")[1] for line in rows.splitlines() if line.startswith("| `"))))
    assert named == set(DataCard.model_fields)
    for model in (SourceCard, ModalityCard, TaskCard, SourceList, PublishedRow):
        for field in model.model_fields:
            assert re.search(rf"`{field}[`:]", rows), field
