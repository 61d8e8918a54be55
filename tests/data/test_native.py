"""The workbench's own files: what is written comes back, by memory map, and is left alone when it is stale."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from workbench.data import convert, load, native, scratch
from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
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
    monkeypatch.setattr(native, "VERSION", 2)
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
    assert [path.name for path in kept.path.parent.iterdir()] == [kept.path.name]


def test_safetensors_itself_reads_the_files(own):
    from safetensors.numpy import load_file

    data = load(own)
    found = load_file(convert(own).path / "valid.safetensors")
    assert np.array_equal(found["audio"], data["valid"].columns["audio"].values.numpy())
    assert found["audio_offsets"].tolist() == data["valid"].columns["audio"].offsets.tolist()
    assert found["target"].tolist() == data["valid"].target.tolist()


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
