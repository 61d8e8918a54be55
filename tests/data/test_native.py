"""The workbench's own files: what is written comes back, by memory map, and is left alone when it is stale."""

import json
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from workbench.data import available, convert, load, native, read, scratch
from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
from workbench.data.card import card as find_card
from workbench.data.inspection.check import check
from workbench.errors import DataError
from workbench.recording import fingerprint

CARD = """---
name: own
title: own data
task: {kind: regression, range: [-3, 3]}
modalities:
  text: {kind: tokens, size: null, description: words}
  audio: {kind: sequence, size: 4, standardise: true, description: frames}
splits: {train: 30, valid: 10, test: 10}
format: npz
sources: [{path: train.npz}, {path: valid.npz}, {path: test.npz}]
licence: mine
citation: me
---
Made by a test.
"""


@pytest.fixture
def own(tmp_path):
    rng = np.random.default_rng(0)
    for split, n in (("train", 30), ("valid", 10), ("test", 10)):
        text = np.array([" ".join(rng.choice(["good", "bad", "film"], rng.integers(1, 5))) for _ in range(n)])
        audio, lengths = rng.normal(3, 2, (n, 6, 4)).astype(np.float32), rng.integers(1, 7, n)
        np.savez(tmp_path / f"{split}.npz", text=text, audio=audio, audio_lengths=lengths, target=rng.uniform(-3, 3, n))
    (tmp_path / "own.md").write_text(CARD)
    return str(tmp_path / "own.md")


def assert_same(one, other):
    assert one.spec == other.spec
    assert list(one.splits) == list(other.splits)
    for name, split in one.splits.items():
        twin = other.splits[name]
        assert (split.ids, split.groups, split.texts) == (twin.ids, twin.groups, twin.texts)
        assert torch.equal(split.target, twin.target)
        assert list(split.labels) == list(twin.labels)
        assert all(torch.equal(split.labels[key], twin.labels[key]) for key in split.labels)
        for key, column in split.columns.items():
            assert column.values.dtype == twin.columns[key].values.dtype
            assert column.sum() == replace(twin.columns[key], digest="").sum()


def test_a_converted_data_set_is_the_data_set(own):
    before = load(own)
    done = convert(own)
    after = load(own)
    assert_same(before, after)
    assert after.notes["converted"] == str(done.path)
    assert "converted" not in before.notes
    assert fingerprint(before) == fingerprint(after)
    assert done.bytes == sum(file.stat().st_size for file in done.path.iterdir())
    assert float(after["train"].columns["audio"].values.mean()) == pytest.approx(0, abs=1e-6)
    assert load(own, drop={"audio": 1.0})["train"].columns["audio"].present.any().item() is False


def test_large_columns_stay_in_the_file(own, monkeypatch):
    before = load(own)
    convert(own)
    monkeypatch.setattr(native, "LARGE", 1)
    after = load(own)
    assert all(column.is_mapped for split in after.splits.values() for column in split.columns.values())
    assert_same(before, after)
    batch, twin = (data["train"].batch(torch.arange(7)) for data in (before, after))
    assert torch.equal(batch["audio"].values, twin["audio"].values)
    after["train"].columns["audio"].release()
    assert torch.equal(after["train"].batch(torch.arange(7))["audio"].values, batch["audio"].values)


def test_converting_through_files_gives_the_same(own, monkeypatch):
    before = load(own)
    monkeypatch.setattr(scratch, "LARGE", 1)
    convert(own)
    assert_same(before, load(own))


def test_what_has_changed_since_is_read_again(own, tmp_path):
    convert(own)
    assert "converted" in load(own).notes
    os.utime(tmp_path / "train.npz", ns=(1, 1))
    assert "converted" not in load(own).notes
    assert load(own).notes["reading"][-1].endswith("were not used: convert again")
    convert(own)
    (tmp_path / "own.md").write_text(CARD.replace("Made by", "Written by"))
    assert "converted" not in load(own).notes


def test_sources_that_were_moved_away_are_not_needed(own, tmp_path):
    convert(own)
    (tmp_path / "train.npz").unlink()
    assert len(load(own)["train"]) == 30


def test_other_options_and_another_version_are_other_files(own, monkeypatch):
    convert("opinions/balanced", train=20, valid=5, test=5)
    assert "converted" in load("opinions/balanced", train=20, valid=5, test=5).notes
    assert "converted" not in load("opinions/balanced", train=21, valid=5, test=5).notes
    convert(own)
    monkeypatch.setattr(native, "code_sum", lambda: "another")
    assert "converted" not in load(own).notes


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-10]), "a converted file is damaged"),
        (lambda path: path.write_bytes(b"<html>"), "a converted file is damaged"),
        (lambda path: path.unlink(), "a converted file is damaged"),
        (lambda path: (path.parent / "dataset.json").write_text("{"), "a converted file is damaged"),
    ],
)
def test_damage_is_said_with_the_remedy(own, damage, message):
    damage(convert(own).path / "train.safetensors")
    with pytest.raises(DataError, match=rf"{message}(.|\n)*delete the folder .* and convert again"):
        load(own)


def test_offsets_that_do_not_fit_are_refused(own):
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = convert(own).path / "train.safetensors"
    with safe_open(path, "pt") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    for key, wrong in (("audio_offsets", lambda x: x + 1), ("text_offsets", lambda x: x[:-1])):
        save_file({**tensors, key: wrong(tensors[key])}, path, metadata)
        with pytest.raises(DataError, match="the offsets of (audio|text) do not fit its values"):
            load(own)
    save_file({key: value for key, value in tensors.items() if key != "target"}, path, metadata)
    with pytest.raises(DataError, match="KeyError: 'target'"):
        load(own)


def test_a_full_disk_leaves_what_was_there(own, monkeypatch):
    kept = convert(own)

    def full(split, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(native, "write_split", full)
    with pytest.raises(DataError, match=r"cannot be written: No space left(.|\n)*WORKBENCH_DATA"):
        convert(own)
    assert "converted" in load(own).notes
    assert [path.name for path in kept.path.parent.iterdir() if not path.name.endswith(".lock")] == [kept.path.name]


def test_safetensors_itself_reads_the_files(own):
    from safetensors.numpy import load_file

    data = load(own)
    found = load_file(convert(own).path / "valid.safetensors")
    assert np.array_equal(found["audio"], data["valid"].columns["audio"].values.numpy())
    assert found["audio_offsets"].tolist() == data["valid"].columns["audio"].offsets.tolist()
    assert found["target"].tolist() == data["valid"].target.tolist()


def test_a_file_elsewhere_is_another_data_set(own, tmp_path):
    text = CARD.replace("sources: [{path: train.npz}, {path: valid.npz}, {path: test.npz}]", "sources: [{path: all.npz}]")
    (tmp_path / "own.md").write_text(text)
    card = find_card(own)
    homes = [native.Home(card.at(tmp_path / name), tmp_path, "", {}) for name in ("a.pkl", "b.pkl")]
    assert homes[0].folder != homes[1].folder


def test_a_source_that_changes_while_it_is_read_makes_the_files_stale(own, tmp_path, monkeypatch):
    write = native.write

    def slow(*arguments, **settings):
        os.utime(tmp_path / "train.npz", ns=(1, 1))
        return write(*arguments, **settings)

    monkeypatch.setattr(native, "write", slow)
    convert(own)
    assert "converted" not in load(own).notes


def test_where_the_sources_are_gone_all_still_know_the_data(own, tmp_path):
    before, _ = read(own)
    convert(own)
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.npz").unlink()
    assert available(own)
    after, facts = read(own)
    assert facts[0].startswith("the files are gone; what was converted lies in ")
    assert torch.allclose(before["test"].columns["audio"].values, after["test"].columns["audio"].values, atol=1e-5)
    assert check(own).text().startswith("own: the data is what its card says")
    (convert_folder(own) / "dataset.json").unlink()
    assert not available(own)


def convert_folder(name):
    return native.Home(find_card(name), Path(name).parent, "", {}).folder


def test_a_feature_that_never_changes_comes_back_too(own, tmp_path):
    for name in ("train", "valid", "test"):
        arrays = dict(np.load(tmp_path / f"{name}.npz"))
        arrays["audio"][..., 2] = 7
        np.savez(tmp_path / f"{name}.npz", **arrays)
    convert(own)
    assert not load(own)["valid"].columns["audio"].values[:, 2].any()
    (tmp_path / "train.npz").unlink()
    assert set(read(own)[0]["valid"].columns["audio"].values[:, 2].tolist()) == {7.0}


def test_many_ids_and_long_texts_are_no_part_of_the_header(own, tmp_path):
    size = int.from_bytes((convert(own).path / "train.safetensors").read_bytes()[:8], "little")
    assert size < 2000
    assert json.loads((convert(own).path / "train.json").read_text())["ids"] == load(own)["train"].ids


def in_another_process(split):
    return split.columns["audio"].is_mapped, split.columns["audio"].sum(), split.batch(torch.arange(3))["audio"].values.sum().item()


@pytest.mark.parametrize("is_converted", [False, True])
def test_another_process_finds_the_values_in_their_file(own, monkeypatch, is_converted):
    """A comparison hands its data to the workers: files are mapped again there, also those without a name."""
    monkeypatch.setattr(scratch, "LARGE", 1)
    if is_converted:
        convert(own)
        monkeypatch.setattr(native, "LARGE", 1)
    split = load(own)["train"]
    column = split.columns["audio"]
    assert column.is_mapped
    packed = pickle.dumps(column)
    assert len(packed) < column.bytes / 2 + 1500
    assert torch.equal(pickle.loads(packed).values, column.values)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(in_another_process, split).result() == in_another_process(split)


def test_where_files_cannot_be_shared_values_are_copied(own, monkeypatch):
    monkeypatch.setattr(scratch, "LARGE", 1)
    column = load(own)["train"].columns["audio"]
    copied = pickle.loads(pickle.dumps(replace(column, map=scratch.Room(column.map.map))))
    assert not copied.is_mapped
    assert torch.equal(copied.values, column.values)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_rooms_give_their_files_back(monkeypatch):
    monkeypatch.setattr(scratch, "LARGE", 1)
    before = open_files()
    rooms = [scratch.empty((10, 10), np.float32) for _ in range(5)]
    assert open_files() > before
    del rooms
    assert open_files() == before


def test_two_at_once_both_succeed(own):
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        done = list(pool.map(convert, [own] * 12))
    assert len({result.path for result in done}) == 1
    assert "converted" in load(own).notes
    assert not [path for path in done[0].path.parent.iterdir() if path.name.startswith(".") and not path.name.endswith(".lock")]


@pytest.mark.parametrize("content", ["[]", "{}", '{"code": 1}'])
def test_a_description_of_another_shape_is_damage(own, content):
    (convert(own).path / "dataset.json").write_text(content)
    with pytest.raises(DataError, match="it lacks what convert writes"):
        load(own)


TYPES = st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8])


@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    dtype=TYPES,
    has_missing=st.booleans(),
    seed=st.integers(0, 1000),
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=5, max_size=5),
    target=arrays.arrays(np.float32, 5, elements=st.floats(-3, 3, width=32)),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_any_split_comes_back(tmp_path, lengths, dtype, has_missing, seed, texts, target):
    rng = np.random.default_rng(seed)
    n, steps = len(lengths), sum(lengths)
    values = torch.from_numpy(rng.normal(scale=50, size=(steps, 3)).astype(dtype))
    present = torch.from_numpy(rng.random(steps) < 0.5) if has_missing else None
    offsets = torch.tensor([0, *np.cumsum(lengths).tolist()])
    columns = {"audio": Column(values, offsets, present), "vision": Column.from_rows(rng.random((n, 1, 2, 2)).astype(np.float32))}
    evidence = {"cue": rng.integers(0, 3, (n, 2))}
    split = Split("train", columns, torch.from_numpy(target[:n]), [f"é{i}" for i in range(n)], None, texts[:n], {"audio": torch.ones(n)}, evidence)
    spec = Spec({"audio": ModalitySpec("sequence", 3, 4), "vision": ModalitySpec("image", 1, shape=(1, 2, 2))}, TaskSpec("regression"))
    native.write_split(split, tmp_path / "train.safetensors")
    back = native.read_split(tmp_path / "train.safetensors", "train", spec)
    assert_same(Dataset("made", spec, {"train": split}), Dataset("made", spec, {"train": back}))
    assert np.array_equal(back.evidence["cue"], evidence["cue"])


def test_the_command_converts(own, capsys):
    from typer.testing import CliRunner

    from workbench.cli import app

    result = CliRunner().invoke(app, ["data", "convert", own, "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["bytes"] > 1000
    assert "Every load of it opens these files now" in CliRunner().invoke(app, ["data", "convert", own]).stdout
