import json
import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from workbench.data import load
from workbench.data.card import card
from workbench.data.readers.mm_imdb_raw import spaced
from workbench.data.reading.mm_imdb_words import read_vocabulary
from workbench.errors import ConfigError, DataError, MissingDataError
from workbench.fitting import fit

HEAD = """---
name: films
title: Films
task: {kind: multilabel, classes: [Drama, Comedy, Film-Noir]}
modalities:
MODALITIES
splits: {train: 4, valid: 2, test: 3}
format: FORMAT
sources: [{path: SOURCE}]
licence: none
citation: none
---
Made for a test.
"""
VECTORS = """  image: {kind: vector, also: [image], size: 6, description: vgg}
  text: {kind: vector, also: [tokens], size: 5, description: word2vec}"""
RAW = """  image: {kind: image, also: [image], size: 3, shape: [3, 64, 40], description: poster}
  text: {kind: tokens, size: null, description: plot}"""
GENRES = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 1], [0, 0, 1], [1, 1, 1], [0, 1, 0], [1, 0, 0], [0, 1, 1]], np.int32)
PLOTS = [[1, 2, 3], [2, 0], [1], [4, 4, 1, 2], [3], [0, 0], [1, 5], [2], [3, 1]]
WORDS = ["_UNK_", "the", "a", "man", "noir", "zebra"]
FUEL = [(name, source, *rows) for name, rows in (("train", (0, 4)), ("dev", (4, 6)), ("test", (6, 9))) for source in ("genres", "images")]


def write_hdf5(path: Path, *, splits: list[tuple] | None = FUEL, change: Callable[[h5py.File], None] | None = None) -> None:
    """Nine films in the layout of the makers' script: fixed-size ids, sequences of variable length, the split table of Fuel."""
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["features"] = random.standard_normal((9, 5)).astype(np.float32)
        file["vgg_features"] = random.random((9, 6)).astype(np.float32)
        file["images"] = random.integers(0, 256, (9, 3, 8, 4)).astype(np.int32)
        file.create_dataset("sequences", (9,), dtype=h5py.special_dtype(vlen=np.dtype("int32")))
        for row, plot in enumerate(PLOTS):
            file["sequences"][row] = plot
        file["genres"] = GENRES
        file["genres"].attrs["target_names"] = json.dumps(["Drama", "Comedy", "Film-Noir"])
        file["imdb_ids"] = np.array([f"{i:07d}" for i in range(9)], dtype="S7")
        if splits is not None:
            file.attrs["split"] = fuel_table(splits)
        if change is not None:
            change(file)


def fuel_table(rows: list[tuple]) -> np.ndarray:
    """The array that Fuel's `create_split_array` makes: a null reference in `indices` means rows from start to stop."""
    dtype = [("split", "S5"), ("source", "S12"), ("start", np.int64), ("stop", np.int64)]
    table = np.empty(len(rows), dtype=[*dtype, ("indices", h5py.special_dtype(ref=h5py.Reference)), ("available", bool), ("comment", "S1")])
    for i, (name, source, start, stop, *reference) in enumerate(rows):
        table[i] = (name, source, start, stop, reference[0] if reference else h5py.Reference(), True, b".")
    return table


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A card beside `films.hdf5`."""
    text = HEAD.replace("MODALITIES", VECTORS).replace("FORMAT", "mm_imdb").replace("SOURCE", "films.hdf5")
    (tmp_path / "films.md").write_text(text)
    write_hdf5(tmp_path / "films.hdf5")
    return tmp_path / "films.md"


def stored(path: Path, name: str) -> np.ndarray:
    with h5py.File(path.parent / "films.hdf5") as file:
        return file[name][()]


def test_vectors_labels_and_ids(path):
    data = load(str(path))
    for split, rows in (("train", slice(0, 4)), ("valid", slice(4, 6)), ("test", slice(6, 9))):
        assert data[split].columns["image"].values.numpy() == pytest.approx(stored(path, "vgg_features")[rows])
        assert data[split].columns["text"].values.numpy() == pytest.approx(stored(path, "features")[rows])
        assert data[split].target.tolist() == GENRES[rows].tolist()
        assert data[split].ids == [f"{i:07d}" for i in range(9)][rows]
    assert data.modalities == ("image", "text")
    assert data.notes["reading"] == []


def test_pieces_make_the_same_data(path, monkeypatch):
    whole = load(str(path), image="pixels")
    monkeypatch.setattr("workbench.data.readers.mm_imdb.PIECE", 100)
    parts = load(str(path), image="pixels")
    for split in whole.splits:
        for name in whole.modalities:
            assert parts[split].columns[name].values.equal(whole[split].columns[name].values)


def test_posters_are_averaged_over_squares(path):
    data = load(str(path), image="pixels", shrink=4)
    images = stored(path, "images")
    assert data.spec.modalities["image"].shape == (3, 2, 1)
    assert data["valid"].columns["image"][1][0, 2, 1, 0].item() == pytest.approx(images[5, 2, 4:8, 0:4].mean() / 255)
    assert load(str(path), image="pixels", shrink=1)["test"].columns["image"].values.numpy() == pytest.approx(images[6:] / 255)
    with pytest.raises(ConfigError, match=r"posters of 8 x 4 cannot be shrunk by 3(.|\n)*one of 1, 2, 4"):
        load(str(path), image="pixels", shrink=3)


def test_word_ids_without_names(path):
    data = load(str(path), text="ids")
    spec = data.spec.modalities["text"]
    assert (spec.kind, spec.vocabulary) == ("tokens", ("<padding>", "<unknown>", "<id 1>", "<id 2>", "<id 3>", "<id 4>", "<id 5>"))
    assert [data["train"].columns["text"][i].tolist() for i in range(4)] == [[2, 3, 4], [3, 1], [2], [5, 5, 2, 3]]
    assert data["train"].texts is None
    assert data.notes["reading"] == ["text: words are known by number only: no metadata.npy beside the file"]


def test_word_ids_with_names(path):
    content = {
        "ix_to_word": dict(enumerate(WORDS)),
        "word_to_ix": {word: i for i, word in enumerate(WORDS)},
        "vocab_size": 6,
        "lookup": np.ones((4, 3)),
    }
    np.save(path.parent / "metadata.npy", content)
    data = load(str(path), text="ids")
    assert data.spec.modalities["text"].vocabulary == ("<padding>", "<unknown>", "the", "a", "man", "noir", "zebra")
    assert data["train"].texts == ["the a man", "a <unknown>", "the", "noir noir the a"]
    few = load(str(path), text="ids", vocabulary_size=4)
    assert few.spec.modalities["text"].vocabulary == ("<padding>", "<unknown>", "the", "a")
    assert few["train"].columns["text"][3].tolist() == [1, 1, 2, 3]
    assert few["train"].texts == data["train"].texts
    np.save(path.parent / "metadata.npy", {"ix_to_word": dict(enumerate(WORDS[:-1]))})
    with pytest.raises(DataError, match=r"has the word 5(.|\n)*0 to 4, as metadata.npy says"):
        load(str(path), text="ids")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"ix_to_word": {}}, "has no words"),
        ({"ix_to_word": {0: "_UNK_", 2: "a"}}, "there is no word 1 among 2"),
        ({"ix_to_word": {0: "_UNK_", 1: 7}}, "there is no word 1 among 2"),
        ({"ix_to_wrd": {}}, r"ix_to_word(.|\n)*Did you mean ix_to_wrd|ix_to_wrd"),
        ([1, 2], "metadata.npy"),
        (os.getcwd, "getcwd"),
    ],
)
def test_bad_vocabularies_are_named(tmp_path, content, match):
    array = np.empty((), object)
    array[()] = content
    np.save(tmp_path / "metadata.npy", array)
    with pytest.raises(DataError, match=match):
        read_vocabulary(tmp_path / "metadata.npy")


def test_vocabulary_files_that_are_no_dictionary(tmp_path):
    file = tmp_path / "metadata.npy"
    np.save(file, np.ones(3))
    with pytest.raises(DataError, match=r"holds \[3\] of float64"):
        read_vocabulary(file)
    np.save(file, np.float32(3))
    with pytest.raises(DataError, match=r"holds \[\] of float32"):
        read_vocabulary(file)
    np.save(file, {"ix_to_word": {0: "_UNK_"}})
    whole = file.read_bytes()
    for end in range(0, len(whole) - 1, 7):
        file.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"metadata\.npy"):
            read_vocabulary(file)


@pytest.mark.parametrize("kind", ["'|O' or '''", "-" * 9000 + "1", "(" * 5000, "[1] * 9", "{1: 2}[3]", "'O', []", "9" * 5000])
def test_vocabulary_headers_that_are_no_header(tmp_path, kind):
    header = f"{{'descr': {kind}, 'fortran_order': False, 'shape': ()}}\n".encode()
    (tmp_path / "metadata.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickle.dumps({}, 2))
    with pytest.raises(DataError, match=r"metadata\.npy"):
        read_vocabulary(tmp_path / "metadata.npy")


def test_no_room_is_made_for_what_the_file_does_not_store(path, monkeypatch):
    def claimed(file: h5py.File) -> None:
        del file["features"]
        file.create_dataset("features", (9, 60_000), "f4", chunks=(1, 60_000))

    def room(shape: tuple[int, ...], dtype: type) -> tuple[np.ndarray, None]:
        assert shape[1] == 6
        return np.empty(shape, dtype), None

    monkeypatch.setattr("workbench.data.untrusted.hdf5.LARGE", 1_000_000)
    monkeypatch.setattr("workbench.data.readers.mm_imdb.scratch.empty", room)
    write_hdf5(path.parent / "films.hdf5", change=claimed)
    with pytest.raises(DataError, match="this would unpack to 2,160,000 bytes, from 0 stored"):
        load(str(path))


def test_plots_without_a_known_word_become_zeros(path):
    def no_words(file: h5py.File) -> None:
        file["features"][1] = np.nan

    write_hdf5(path.parent / "films.hdf5", change=no_words)
    data = load(str(path))
    assert data["train"].columns["text"][1].tolist() == [[0] * 5]
    assert data.notes["reading"] == ["text: 1 plots of train without a known word (nan) became zeros"]

    def half(file: h5py.File) -> None:
        file["features"][1, 2] = np.nan

    write_hdf5(path.parent / "films.hdf5", change=half)
    with pytest.raises(DataError, match=r"text: a value is nan(.|\n)*split train, text, row 1 \(0000001\), column 2"):
        load(str(path))


def test_splits_are_the_files_else_the_cards(path):
    write_hdf5(path.parent / "films.hdf5", splits=None)
    data = load(str(path))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 4, "valid": 2, "test": 3}
    assert data.notes["reading"] == ["the file does not say its splits: cut by the card's numbers, in the order train, valid, test"]
    write_hdf5(path.parent / "films.hdf5", splits=[("train", "genres", 0, 5), ("dev", "genres", 5, 6), ("test", "genres", 6, 9)])
    with pytest.raises(DataError, match="the split train has 5 samples, the card says 4"):
        load(str(path))
    path.write_text(path.read_text().replace("train: 4, valid: 2", "train: null, valid: null"))
    assert len(load(str(path))["train"]) == 5
    write_hdf5(path.parent / "films.hdf5", splits=None)
    with pytest.raises(DataError, match="does not say its splits"):
        load(str(path))


@pytest.mark.parametrize(
    ("splits", "match"),
    [
        ([("train", "genres", 0, 4), ("dev", "genres", 4, 6)], "the split test is missing"),
        ([("train", "genres", 0, 4), ("dev", "genres", 3, 6), ("test", "genres", 6, 9)], r"the split valid is rows 3 to 6(.|\n)*rows from 4 on"),
        ([("train", "genres", 0, 4), ("dev", "genres", 4, 4), ("test", "genres", 4, 9)], "the split valid is rows 4 to 4"),
        ([("train", "genres", 0, 4), ("dev", "genres", 4, 6), ("test", "genres", 6, 8)], r"has 9 films(.|\n)*8, as the splits say"),
        ([("train", "genres", 0, 4), ("train", "images", 0, 5)], "the split train differs between arrays"),
    ],
)
def test_bad_splits_are_named(path, splits, match):
    write_hdf5(path.parent / "films.hdf5", splits=splits)
    with pytest.raises(DataError, match=match):
        load(str(path))


def other_split(file: h5py.File) -> None:
    file.attrs["split"] = np.arange(3)


def listed_split(file: h5py.File) -> None:
    file.attrs["split"] = fuel_table([("train", "genres", 0, 4, file["genres"].ref)])


def split_of(**types: object) -> Callable[[h5py.File], None]:
    """A split table with other types, and what cannot be a row in it."""

    def change(file: h5py.File) -> None:
        plain = {"split": "S5", "start": np.int64, "stop": np.int64, **types}
        table = np.zeros(1, [(name, kind) for name, kind in plain.items() if kind is not None])
        for name, value in (("split", b"train"), ("start", b"x"), ("stop", np.nan)):
            if types.get(name) is not None:
                table[name] = 1 << 30 if name == "split" else value
        if "indices" in types:
            table["indices"][0] = np.array([1, 2], np.int32)
        file.attrs["split"] = table

    return change


def long_records(file: h5py.File) -> None:
    file.attrs["split"] = np.zeros(1, [("split", "S5000"), ("start", "i8"), ("stop", "i8")])


def far_word(number: int) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file["sequences"]
        file.create_dataset("sequences", (9,), dtype=h5py.vlen_dtype(np.uint64))
        for row in range(9):
            file["sequences"][row] = np.array([1, number], np.uint64)

    return change


def without_values(width: int) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file["vgg_features"]
        file.create_dataset("vgg_features", (9, width), "f4")

    return change


def huge_posters(file: h5py.File) -> None:
    """A few bytes that claim 9 posters of 100,000 x 8."""
    del file["images"]
    file.create_dataset("images", (9, 3, 100_000, 8), "i4", chunks=(1, 3, 8, 8))


def put(name: str, values: np.ndarray | list | None) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        names = file["genres"].attrs["target_names"]
        del file[name]
        if values is not None:
            file[name] = values
        if name == "genres" and values is not None:
            file["genres"].attrs["target_names"] = names

    return change


def named(text: str | None) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file["genres"].attrs["target_names"]
        if text is not None:
            file["genres"].attrs["target_names"] = text

    return change


def linked(file: h5py.File) -> None:
    del file["vgg_features"]
    file["vgg_features"] = h5py.ExternalLink("other.hdf5", "/vgg_features")


@pytest.mark.parametrize(
    ("change", "options", "match"),
    [
        (huge_posters, {"image": "pixels"}, r"posters of 100,000 x 8(.|\n)*at most 4,096 a side"),
        (other_split, {}, r"the splits are \[3\] of int64(.|\n)*Fuel"),
        (listed_split, {}, "the split train is a list of rows"),
        (split_of(start="S1"), {}, r"the splits are \[1\] of(.|\n)*Fuel"),
        (split_of(stop="f8"), {}, r"the splits are \[1\] of(.|\n)*Fuel"),
        (split_of(split="i8"), {}, r"the splits are \[1\] of(.|\n)*Fuel"),
        (split_of(start=None), {}, r"the splits are \[1\] of(.|\n)*Fuel"),
        (split_of(indices=h5py.vlen_dtype("i4")), {}, r"the splits are \[1\] of(.|\n)*Fuel"),
        (long_records, {}, r"the splits are \[1\] of(.|\n)*Fuel"),
        (far_word(1_000_000), {"text": "ids"}, r"the word 1,000,000 is none(.|\n)*sequences, row 0(.|\n)*less than 1,000,000"),
        (far_word(2**64 - 1), {"text": "ids"}, "the word 18,446,744,073,709,551,615 is none"),
        (without_values(65_537), {}, r"vgg_features has 65,537 columns(.|\n)*1 to 65,536"),
        (without_values(0), {}, r"vgg_features has 0 columns"),
        (put("vgg_features", None), {}, r'there is no "vgg_features"\. Did you mean features'),
        (put("vgg_features", np.ones((9, 7))), {}, r"image has 7 columns"),
        (put("vgg_features", np.ones((8, 6))), {}, r"vgg_features is \[8, 6\] of float64(.|\n)*9 x any"),
        (put("vgg_features", np.full((9, 6), np.inf)), {}, r"image: a value is inf(.|\n)*row 0 \(0000000\)"),
        (put("features", np.array([b"a"] * 9)), {}, r"features is \[9\] of \|S1"),
        (linked, {}, r'"vgg_features" is a link to other.hdf5:/vgg_features'),
        (put("images", np.ones((9, 1, 8, 4), np.int32)), {"image": "pixels"}, r"images is \[9, 1, 8, 4\]"),
        (put("images", np.full((9, 3, 8, 4), 256, np.int32)), {"image": "pixels"}, r"a pixel is 256(.|\n)*images, row 0(.|\n)*0 to 255"),
        (put("images", np.full((9, 3, 8, 4), -1, np.int32)), {"image": "pixels"}, "a pixel is -1"),
        (put("genres", GENRES[:, :2]), {}, r"genres is \[9, 2\]"),
        (put("genres", GENRES * 2), {}, r"genre 0 is 2(.|\n)*genres, row 0(.|\n)*0 or 1"),
        (named(None), {}, "target_names"),
        (named("["), {}, "the names of the genres are no JSON"),
        (named('["Drama", "Film-Noir", "Comedy"]'), {}, r"genre 1 is 'Film-Noir'(.|\n)*in this order: Drama, Comedy, Film-Noir"),
        (named('["Drama"]'), {}, "the genres are others than the card's"),
        (named("3"), {}, "the genres are others than the card's"),
        (put("imdb_ids", np.array([b"0000000"] * 9)), {}, r'the id "0000000" stands twice'),
        (put("imdb_ids", np.arange(9)), {}, r"imdb_ids is \[9\] of int64"),
        (put("sequences", np.ones((9, 3), np.int32)), {"text": "ids"}, r"sequences is \[9, 3\]"),
        (put("sequences", ["a"] * 9), {"text": "ids"}, r"sequences holds no whole numbers(.|\n)*row 0"),
    ],
)
def test_bad_files_are_named(path, change, options, match):
    write_hdf5(path.parent / "films.hdf5", change=change)
    with pytest.raises(DataError, match=match):
        load(str(path), **options)


def test_negative_word_ids_and_groups_and_cut_off_files(path):
    def negative(file: h5py.File) -> None:
        file["sequences"][5] = [1, -1]

    write_hdf5(path.parent / "films.hdf5", change=negative)
    with pytest.raises(DataError, match=r"the word -1 is none(.|\n)*sequences, row 5"):
        load(str(path), text="ids")

    def grouped(file: h5py.File) -> None:
        del file["vgg_features"]
        file.create_group("vgg_features")

    write_hdf5(path.parent / "films.hdf5", change=grouped)
    with pytest.raises(DataError, match="vgg_features is a group"):
        load(str(path))
    whole = (path.parent / "films.hdf5").read_bytes()
    for end in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        (path.parent / "films.hdf5").write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"films\.hdf5"):
            load(str(path))


def test_empty_plots_are_unknown_words(path):
    def nothing(file: h5py.File) -> None:
        file["sequences"][0] = np.zeros(0, np.int32)

    write_hdf5(path.parent / "films.hdf5", change=nothing)
    assert load(str(path), text="ids")["train"].columns["text"][0].tolist() == [1]


def test_options_are_checked(path):
    with pytest.raises(ConfigError, match=r'unknown image of films "vggg"\. Did you mean vgg'):
        load(str(path), image="vggg")
    with pytest.raises(ConfigError, match=r'unknown text of films "words"(.|\n)*features, ids'):
        load(str(path), text="words")
    with pytest.raises(ConfigError, match="a vocabulary of 2 has no words"):
        load(str(path), text="ids", vocabulary_size=2)
    path.write_text(path.read_text().replace("  image:", "  poster:"))
    with pytest.raises(DataError, match="the modality poster is missing"):
        load(str(path))


FILMS = {
    "train": {
        "0000001": (["Drama", "News"], ["Short.", "A man, a plan."]),
        "0000002": (["Comedy"], ["A man's man!"]),
        "0000003": (["Talk-Show"], ["Nobody."]),
    },
    "dev": {"0000004": (["Film-Noir", "Drama"], ["A zebra."])},
    "test": {"0000005": (["Comedy"], ["équal one", "equal two"])},
}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A card beside `films/split.json` and its folder; posters are grey, black on the left half."""
    folder = tmp_path / "films" / "dataset"
    folder.mkdir(parents=True)
    for films in FILMS.values():
        for name, (genres, plots) in films.items():
            (folder / f"{name}.json").write_text(json.dumps({"genres": genres, "plot": plots, "title": "x", "year": 1999}))
            picture = np.full((128, 80, 3), 128, np.uint8)
            picture[:, :40] = 0
            Image.fromarray(picture).save(folder / f"{name}.jpeg", quality=95)
    (folder.parent / "split.json").write_text(json.dumps({name: list(films) for name, films in FILMS.items()}))
    text = HEAD.replace("MODALITIES", RAW).replace("FORMAT", "mm_imdb_raw").replace("SOURCE", "films/split.json")
    (tmp_path / "films.md").write_text(text.replace("{train: 4, valid: 2, test: 3}", "{train: 2, valid: 1, test: 1}"))
    return tmp_path / "films.md"


def test_raw_films(raw):
    data = load(str(raw))
    assert data["train"].ids == ["0000001", "0000002"]
    assert data["train"].target.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert data["valid"].target.tolist() == [[1, 0, 1]]
    assert data["train"].texts == ["A man, a plan.", "A man's man!"]  # The longest plot.
    assert data["test"].texts == ["équal one"]  # The first of two equals.
    vocabulary = data.spec.modalities["text"].vocabulary
    assert vocabulary == ("<padding>", "<unknown>", "a", "man", "!", "'", ",", ".", "plan", "s")  # By frequency, then by letter.
    assert [vocabulary[i] for i in data["train"].columns["text"][0].tolist()] == ["a", "man", ",", "a", "plan", "."]
    assert [vocabulary[i] for i in data["valid"].columns["text"][0].tolist()] == ["a", "<unknown>", "."]
    assert data.notes["reading"] == [
        "train: 1 films with none of the card's genres are left out",
        "genres that are no class of the card: News 1, Talk-Show 1",
    ]
    image = data["train"].columns["image"].values
    assert image.shape == (2, 3, 64, 40)
    assert image[0, :, 10, 5].tolist() == pytest.approx([0, 0, 0], abs=0.02)
    assert image[0, :, 10, 35].tolist() == pytest.approx([128 / 255] * 3, abs=0.02)


def test_raw_options(raw):
    data = load(str(raw), width=8, height=12, vocabulary_size=4)
    assert data.spec.modalities["image"].shape == (3, 12, 8)
    assert data.spec.modalities["text"].vocabulary == ("<padding>", "<unknown>", "a", "man")
    with pytest.raises(ConfigError, match="posters of 0 x 64"):
        load(str(raw), width=0)
    with pytest.raises(ConfigError, match="a vocabulary of 2"):
        load(str(raw), vocabulary_size=2)


def test_spaces_around_punctuation():
    assert spaced("It's 1999 -- (the end).") == "It ' s 1999 - - ( the end ) ."


def test_an_archive_is_unpacked_once(raw):
    archive = raw.parent / "other" / "mmimdb.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as file:
        file.add(raw.parent / "films", "mmimdb")
    data = load(str(raw), path=archive)
    assert data["train"].target.equal(load(str(raw))["train"].target)
    assert sorted(path.name for path in archive.parent.iterdir()) == ["mmimdb", "mmimdb.tar.gz"]
    (archive.parent / "mmimdb" / "dataset" / "0000005.json").write_text(json.dumps({"genres": ["Drama"], "plot": ["Changed"]}))
    assert load(str(raw), path=archive)["test"].texts == ["Changed"]


def test_archives_without_films_are_named(raw):
    archive = raw.parent / "other.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(raw, "films.md")
    with pytest.raises(DataError, match=r"other\.tar\.gz has no split\.json"):
        load(str(raw), path=archive)
    assert not (raw.parent / "other.unpacked").exists()
    with tarfile.open(archive, "w:gz") as file:
        file.add(raw.parent / "films", "mmimdb")
    (raw.parent / "other").mkdir()
    with pytest.raises(DataError, match=r"other is there already, without split\.json"):
        load(str(raw), path=archive)


def rewrite(name: str, content: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (rewrite("split.json", "{"), r"split\.json is no json"),
        (rewrite("split.json", [1]), r"split\.json is no object"),
        (rewrite("split.json", {"train": ["0000001"], "valid": ["0000004"], "test": ["0000005"]}), r'the split "dev" is missing'),
        (rewrite("split.json", {"train": [], "dev": ["0000004"], "test": ["0000005"]}), r'the split "train" is no list of ids'),
        (rewrite("split.json", {"train": "0000001", "dev": ["0000004"], "test": ["0000005"]}), r'the split "train" is no list of ids'),
        (rewrite("split.json", {"train": ["../../etc/passwd"], "dev": [], "test": []}), r"'\.\./\.\./etc/passwd' is no id(.|\n)*train, row 0"),
        (rewrite("split.json", {"train": [7], "dev": [], "test": []}), r"'7' is no id"),
        (rewrite("split.json", {"train": ["0000003"], "dev": ["0000004"], "test": ["0000005"]}), "no film is left in the split train"),
        (rewrite("split.json", {"train": ["0000009"], "dev": ["0000004"], "test": ["0000005"]}), r"0000009\.json is missing"),
        (rewrite("split.json", {"train": ["0000001"] * 2, "dev": ["0000004"], "test": ["0000005"]}), r'"0000001" stands twice'),
        (rewrite("dataset/0000002.json", [1]), r"0000002\.json is no object"),
        (rewrite("dataset/0000002.json", {"genre": ["Drama"], "plot": ["x"]}), r"0000002\.json has no genres\. Did you mean genre"),
        (rewrite("dataset/0000002.json", {"genres": ["Drama"]}), r"0000002\.json has no plot"),
        (rewrite("dataset/0000002.json", {"genres": ["Drama"], "plot": []}), r"plot is no list of texts"),
        (rewrite("dataset/0000002.json", {"genres": ["Drama"], "plot": "x"}), r"plot is no list of texts"),
        (rewrite("dataset/0000002.json", {"genres": [3], "plot": ["x"]}), r"genres is no list of texts(.|\n)*key genres"),
        (rewrite("dataset/0000002.json", '{"genres": ["Drama"], "plot": ["x'), r"0000002\.json is no json"),
        (rewrite("dataset/0000002.jpeg", "no image"), r"0000002\.jpeg is no JPEG"),
        (lambda folder: (folder / "dataset/0000002.jpeg").unlink(), r"0000002\.jpeg is missing"),
        (
            lambda folder: (folder / "dataset/0000002.jpeg").write_bytes((folder / "dataset/0000002.jpeg").read_bytes()[:300]),
            r"0000002\.jpeg is cut off",
        ),
    ],
)
def test_bad_raw_files_are_named(raw, change, match):
    change(raw.parent / "films")
    with pytest.raises(DataError, match=match):
        load(str(raw))


def test_cards_without_files_say_where_to_get_them(tmp_path):
    for name in ("mmimdb", "mmimdb_raw"):
        with pytest.raises(MissingDataError, match=r"archive\.org/download/mmimdb"):
            load(name, root=tmp_path)
        found = card(name)
        assert len(found.task.classes) == 23
        assert (found.splits["train"], found.splits["valid"], found.splits["test"]) == (15552, 2608, 7799)
    assert card("mmimdb").task.classes == card("mmimdb_raw").task.classes


def test_mldfa_reads_posters_and_plots_for_several_genres(path, tmp_path):
    data = load(str(path), image="pixels", text="ids")
    sizes = {"hidden_size": 4, "encoder_heads": 2, "encoder_layers": 1, "heads": 2, "embedding_size": 4}
    run = fit("mldfa", data, config=sizes, plan={"epochs": 1, "batch_size": 2}, runs=tmp_path / "runs")
    networks = {name: type(encoder).__name__ for name, encoder in run.model().encoders.items()}
    assert networks == {"image": "PatchTransformer", "text": "StepTransformer"}
    assert {"f1_micro", "f1_macro", "accuracy"} <= set(run.metrics["test"])
