"""Runs on disk: whole or not there, one process a folder, and everything readable again."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

from workbench.data import load
from workbench.data.batch import Dataset
from workbench.errors import StorageError, TrainingError, WorkbenchError
from workbench.fitting import fit
from workbench.runs import FILES, Run, frames, load_all, load_whole, table, workspace

SMALL = {"hidden_size": 4, "post_size": 4}


def train(data: Dataset, folder: Path, *, method: str = "lf_dnn", seed: int = 0, epochs: int = 2, **settings: object) -> Run:
    return fit(method, data, config=SMALL, plan={"epochs": epochs, "seed": seed, "device": "cpu"}, runs=folder, **settings)


def put(folder: Path, name: str, *, config: dict | None = None, metrics: dict | None = None, without: str = "") -> Path:
    """A run's folder with files of hardly any content, for tests of reading."""
    path = folder / name
    path.mkdir(parents=True)
    facts = {"method": "lf_dnn", "dataset": "toy", "balance": None, "variant": "joint", "plan": {"seed": 0}}
    (path / "config.json").write_text(json.dumps(config or facts))
    (path / "metrics.json").write_text(json.dumps(metrics or {"best_epoch": 1, "seconds": 0.5}))
    h5py.File(path / "trace.nc", "w").close()
    save_file({}, path / "model.safetensors")
    if without:
        (path / without).unlink()
    return path


@pytest.fixture
def run(toy: Dataset, tmp_path: Path) -> Run:
    return train(toy, tmp_path / "runs")


# Reading


def test_a_loaded_run_is_what_was_trained(run, toy):
    loaded = Run.load(run.path)
    assert (loaded.id, loaded.seed, loaded.variant) == (run.path.name, 0, "lf_dnn")
    assert loaded.spec == toy.spec
    assert set(loaded.metrics) >= {"valid", "test", "best_epoch", "epochs", "seconds", "parameters"}
    assert names(run.path) == sorted(FILES)


def test_a_multiclass_run_keeps_its_spec(toy_classes, tmp_path):
    assert train(toy_classes, tmp_path).spec == toy_classes.spec


@pytest.mark.parametrize(("method", "balance"), [("lf_dnn", "none"), ("lf_dnn", "b_fusion"), ("awf", "default")])
def test_a_rebuilt_model_says_what_the_run_says(toy, tmp_path, method, balance):
    run = train(toy, tmp_path, method=method, balance=balance, seed=3)
    model = run.model()
    assert not model.training
    for split in ("valid", "test"):
        with torch.no_grad():
            said = model(toy[split].batch(torch.arange(40))).prediction
        saved = run.trace[f"predictions/{split}"]
        np.testing.assert_allclose(saved["prediction"].values, said.numpy(), atol=1e-6)
        assert saved["sample"].values.tolist() == toy[split].ids
        mae = float(np.abs(saved["prediction"] - saved["target"]).mean())
        assert run.metrics[split]["mae"] == pytest.approx(mae, abs=1e-6)


def test_data_as_the_runs_model_saw_it(toy, tmp_path):
    """Its modalities only, and its sentences as features of the pretrained model."""
    sentences = {name: replace(split, texts=["a fine film", "a dull one"] * (len(split) // 2)) for name, split in toy.splits.items()}
    data = replace(toy, splits=sentences)
    run = fit("lf_dnn", data.select("text", "vision"), config={**SMALL, "text": "frozen"}, plan={"epochs": 1, "device": "cpu"}, runs=tmp_path)
    seen = run.prepared(data)
    assert seen.modalities == ("text", "vision")
    assert seen.spec == run.spec
    assert seen.spec.modalities["text"].size != toy.spec.modalities["text"].size
    with torch.no_grad():
        said = run.model()(seen["valid"].batch(torch.arange(4))).prediction
    np.testing.assert_allclose(said.numpy(), run.trace["predictions/valid"]["prediction"].values[:4], atol=1e-6)


@pytest.mark.parametrize("missing", FILES)
def test_a_folder_that_lacks_a_file_is_no_run(tmp_path, missing):
    path = put(tmp_path, "half", without=missing)
    with pytest.raises(WorkbenchError, match=rf"half is not a finished run[\s\S]*missing: {missing}"):
        Run.load(path)


def test_a_folder_that_is_not_there_is_no_run(tmp_path):
    with pytest.raises(WorkbenchError, match=r"is not a finished run[\s\S]*missing: config.json, metrics.json, trace.nc, model.safetensors"):
        Run.load(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
def test_a_broken_file_says_where(tmp_path, name):
    path = put(tmp_path, "broken")
    (path / name).write_text('{"valid": ')
    with pytest.raises(WorkbenchError, match=r"a file of the run is not JSON[\s\S]*broken[\s\S]*train again"):
        Run.load(path)


def test_only_finished_runs_are_listed(tmp_path):
    put(tmp_path, "b")
    put(tmp_path, "a")
    put(tmp_path, "half", without="trace.nc")
    put(tmp_path, ".c.part")
    (tmp_path / "notes.txt").write_text("mine")
    assert [run.id for run in load_all(tmp_path)] == ["a", "b"]
    assert load_all(tmp_path / "nothing") == []


DAMAGES = {
    "config.json cut off": ("config.json", lambda old: old[: len(old) // 2], r"a file of the run is not JSON"),
    "config.json of bytes": ("config.json", lambda old: b"\xff\xfe" + old, r"a file of the run is not JSON"),
    "config.json of another kind": ("config.json", lambda old: b"[]", r"config.json is damaged: it lacks balance, dataset"),
    "metrics.json without its facts": ("metrics.json", lambda old: b"{}", r"metrics.json is damaged: it lacks best_epoch, seconds"),
    "trace.nc empty": ("trace.nc", lambda old: b"", r"trace.nc is damaged"),
    "trace.nc cut off": ("trace.nc", lambda old: old[: len(old) // 2], r"trace.nc is damaged"),
    "weights empty": ("model.safetensors", lambda old: b"", r"model.safetensors is damaged"),
    "weights cut off": ("model.safetensors", lambda old: old[:-4], r"model.safetensors is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_in_the_folder_is_skipped_and_named(run, caplog, damage):
    """What a full disk, a copy that broke off or an editor leaves: the other runs are still listed."""
    file, change, sentence = DAMAGES[damage]
    broken = run.path.with_name("broken")
    shutil.copytree(run.path, broken)
    (broken / file).write_bytes(change((broken / file).read_bytes()))
    assert [one.id for one in load_all(run.path.parent)] == [run.id]
    (said,) = caplog.messages
    assert said.startswith("skipped the run broken: ") and re.search(sentence, said) and str(broken) in said and "train again" in said
    assert table(run.path.parent)["id"].tolist() == [run.id]
    found, skipped = load_whole(run.path.parent)
    assert len(found) == 1 and list(skipped) == ["broken"]


def test_damaged_files_say_so_where_they_are_read(run):
    (run.path / "trace.nc").write_bytes(b"no netCDF")
    with pytest.raises(WorkbenchError, match=r"trace.nc is damaged"):
        _ = run.trace
    (run.path / "model.safetensors").write_bytes(b"")
    with pytest.raises(WorkbenchError, match=r"model.safetensors is damaged"):
        run.model()


def test_weights_of_another_model_say_so(run):
    save_file({"head.weight": np.zeros((1, 2), np.float32)}, run.path / "model.safetensors")
    with pytest.raises(WorkbenchError, match=r"model.safetensors is damaged: Error\(s\) in loading state_dict"):
        run.model()


def test_the_table_has_one_row_a_run(tmp_path):
    facts = {"method": "lf_dnn", "dataset": "toy", "balance": None, "variant": "joint"}
    score = {"best_epoch": 3, "seconds": 1.5, "epochs": 4, "valid": {"mae": 0.5}}
    put(tmp_path, "one", config={**facts, "plan": {"seed": 0}}, metrics={**score, "test": {"mae": 0.6, "corr": 0.1}})
    put(tmp_path, "two", config={**facts, "plan": {"seed": 1}}, metrics=score)
    found = table(tmp_path)
    assert found["id"].tolist() == ["one", "two"]
    assert found["seed"].tolist() == [0, 1]
    assert found["valid_mae"].tolist() == [0.5, 0.5]
    assert found["test_mae"].iloc[0] == 0.6
    assert np.isnan(found["test_mae"].iloc[1])
    assert found["variant"].tolist() == ["joint", "joint"]


def test_the_table_of_nothing_is_empty(tmp_path):
    assert table(tmp_path / "nothing").empty


# Frames


def test_frames_have_the_promised_columns(toy, tmp_path):
    runs = [train(toy, tmp_path, method="awf", seed=seed, variant="mine") for seed in (0, 1)]
    found = frames(runs)
    assert set(found["history"]) >= {"variant", "seed", "epoch", "split", "metric", "value", "is_best"}
    assert set(found["steps"]) == {"variant", "seed", "epoch", "modality", "quantity", "value"}
    assert set(found["probes"]) == {"variant", "seed", "epoch", "modality", "metric", "value"}
    assert set(found["predictions"]) == {"variant", "seed", "split", "sample", "prediction", "target"}
    assert set(found["fusion.attention.alpha"]) == {"variant", "seed", "sample", "modality", "value"}
    assert set(found["fusion.attention.alpha by epoch"]) == {"variant", "seed", "epoch", "modality", "value"}
    for frame in found.values():
        assert set(frame["variant"]) == {"mine"}
        assert set(frame["seed"]) == {0, 1}


def test_frames_hold_the_numbers_of_the_trace(run):
    found, trace = frames([run]), run.trace
    history = found["history"].query("split == 'valid' and metric == 'mae' and epoch == 2")
    assert history["value"].item() == pytest.approx(float(trace["history"]["score"].sel(epoch=2, split="valid", metric="mae")))
    assert set(found["history"].query("is_best")["epoch"]) == {run.metrics["best_epoch"]}
    assert len(found["predictions"]) == 80
    assert set(found["probes"]["metric"]) == {"acc2_non0"}
    assert set(found["steps"]["modality"]) == {"text", "audio", "vision"}


def test_steps_are_the_mean_over_an_epoch(run):
    trace = run.trace["steps"]
    values, epochs = trace["trace"].sel(quantity="update", modality="audio").values, trace["epoch"].values
    frame = frames([run])["steps"].query("quantity == 'update' and modality == 'audio'").set_index("epoch")["value"]
    assert set(epochs) == {1, 2}
    for epoch in (1, 2):
        assert frame[epoch] == pytest.approx(np.mean([v for v, e in zip(values, epochs, strict=True) if e == epoch]), rel=1e-6)


def test_what_was_not_traced_has_no_frame(toy, tmp_path):
    plan = {"epochs": 1, "is_traced": False, "probe_every": 0, "device": "cpu"}
    found = frames([fit("lf_dnn", toy, config=SMALL, plan=plan, runs=tmp_path)])
    assert set(found) == {"history", "predictions"}


def test_predicted_classes_are_numbers(toy_classes, tmp_path):
    found = frames([train(toy_classes, tmp_path)])["predictions"]
    assert set(found["prediction"]) <= {0, 1, 2, 3}
    assert pd.api.types.is_integer_dtype(found["target"])


# Writing


def test_a_file_is_written_whole(tmp_path):
    with workspace(tmp_path, "run", resume=False) as space:
        path = space.write("config.json", lambda path: path.write_text("{}"))
        assert path.read_text() == "{}"
        assert names(space.path) == ["config.json", "lock"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed writing file")])
def test_a_write_that_fails_halfway_leaves_what_stood_there(tmp_path, error):
    def break_off(path: Path) -> None:
        path.write_text('{"half')
        raise error

    with workspace(tmp_path, "run", resume=False) as space:
        space.write("config.json", lambda path: path.write_text("old"))
        with pytest.raises(StorageError, match=r"(no space left while saving the run run \(for|could not write) config.json[\s\S]*--runs FOLDER"):
            space.write("config.json", break_off)
        assert (space.path / "config.json").read_text() == "old"
        assert names(space.path) == ["config.json", "lock"]


def test_a_rename_that_fails_leaves_what_stood_there(tmp_path, monkeypatch):
    with workspace(tmp_path, "run", resume=False) as space:
        space.write("config.json", lambda path: path.write_text("old"))
        monkeypatch.setattr(os, "replace", refuse(OSError(28, "No space left on device")))
        with pytest.raises(TrainingError, match=r"no space left while saving the run run \(config\.json needs 3e-06 MB, .* MB free at .*run.part\)"):
            space.write("config.json", lambda path: path.write_text("new"))
        assert (space.path / "config.json").read_text() == "old"
        assert names(space.path) == ["config.json", "lock"]


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def refuse(error: Exception):
    """A function that only raises."""

    def refused(*args: object, **kwargs: object) -> None:
        raise error

    return refused


def test_a_mistake_of_the_program_is_not_called_a_full_disk(tmp_path):
    with workspace(tmp_path, "run", resume=False) as space, pytest.raises(KeyError, match="typo"):
        space.write("config.json", refuse(KeyError("typo")))


def test_a_disk_that_is_full_at_the_end_loses_no_epoch(toy, tmp_path, monkeypatch):
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == "trace.nc":
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(TrainingError, match=r"\(trace.nc needs 0\.\d+ MB[\s\S]*Epochs 1 to \d+ are in \S+part: --resume"):
            train(toy, tmp_path, checkpoint_seconds=0)
    assert load_all(tmp_path) == []
    epochs: list[int] = []
    resumed = train(toy, tmp_path, resume=True, on_epoch=lambda epoch: epochs.append(epoch.number))
    assert epochs == []
    assert resumed.metrics["test"] == train(toy, tmp_path / "other").metrics["test"]


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), OSError(28, "No space left on device"), OSError(30, "Read-only file system")]
)
def test_a_folder_that_cannot_be_made(toy, tmp_path, monkeypatch, error):
    monkeypatch.setattr(Path, "mkdir", refuse(error))
    said = "no space left while saving the run lf_dnn-toy" if error.errno == 28 else f"{tmp_path} cannot be written: {error.strerror}"
    with pytest.raises(StorageError, match=rf"{said}[\s\S]*--runs FOLDER"):
        train(toy, tmp_path / "runs")


def test_a_file_in_the_place_of_the_folder(toy, tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(TrainingError, match="could not write"):
        train(toy, tmp_path / "runs")


def test_a_run_that_cannot_be_renamed(tmp_path, monkeypatch):
    with workspace(tmp_path, "run", resume=False) as space:
        monkeypatch.setattr(os, "rename", refuse(PermissionError(13, "Permission denied")))
        with pytest.raises(TrainingError, match=rf"{tmp_path} cannot be written: Permission denied"):
            space.finish()


# One process a folder


def test_a_second_workspace_gets_a_folder_of_its_own(tmp_path):
    with workspace(tmp_path, "run", resume=False) as one, workspace(tmp_path, "run", resume=True) as two:
        assert one.path.name == ".run.part"
        assert two.path.name == ".run.2.part"
        with workspace(tmp_path, "run", resume=False) as three:
            assert three.path.name == ".run.3.part"
    with workspace(tmp_path, "run", resume=True) as again:
        assert again.path == one.path


def test_a_thousand_workspaces_are_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.runs.fcntl.flock", refuse(BlockingIOError(11, "Resource temporarily unavailable")))
    with pytest.raises(TrainingError, match="1,000 processes hold run"):
        workspace(tmp_path, "run", resume=False).__enter__()


def test_without_resume_an_old_state_is_thrown_away(tmp_path):
    with workspace(tmp_path, "run", resume=False) as space:
        for name in ("state.pt", *FILES):
            (space.path / name).write_text("old")
    with workspace(tmp_path, "run", resume=True) as space:
        assert space.state_path.read_text() == "old"
    with workspace(tmp_path, "run", resume=False) as space:
        assert names(space.path) == ["lock"]


def test_finishing_twice_gives_two_runs(tmp_path):
    finished = []
    for _ in range(3):
        with workspace(tmp_path, "run", resume=False) as space:
            (space.path / "config.json").write_text("{}")
            (space.path / "state.pt").write_text("checkpoint")
            finished.append(space.finish())
    assert [path.name for path in finished] == ["run", "run-2", "run-3"]
    assert all(names(path) == ["config.json"] for path in finished)
    assert names(tmp_path) == ["run", "run-2", "run-3"]


def test_the_same_training_twice_gives_two_runs(toy, tmp_path):
    one, two = train(toy, tmp_path, epochs=1), train(toy, tmp_path, epochs=1)
    assert two.id == f"{one.id}-2"
    assert one.metrics["test"] == two.metrics["test"]


def test_a_finished_run_leaves_its_name_to_the_next(tmp_path):
    with workspace(tmp_path, "run", resume=False) as one, workspace(tmp_path, "run", resume=False) as two:
        for space in (one, two):
            (space.path / "config.json").write_text("{}")
        assert [one.finish().name, two.finish().name] == ["run", "run-2"]
        with workspace(tmp_path, "run", resume=False) as three:
            assert three.path.name == ".run.part"


HOLD = """
import sys
from pathlib import Path
from workbench.runs import workspace
with workspace(Path(sys.argv[1]), "run", resume=True) as space:
    (space.path / "config.json").write_text("{}")
    (space.path / "state.pt").write_text("of the other process")
    print(space.path.name, flush=True)
    sys.stdin.readline()
    print(space.finish().name, flush=True)
"""


def test_two_processes_get_two_folders_and_a_killed_one_leaves_its_own(tmp_path):
    def start() -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with start() as one, start() as two:
        folders = {process: process.stdout.readline().strip() for process in (one, two)}
        assert sorted(folders.values()) == [".run.2.part", ".run.part"]
        killed, lives = (one, two) if folders[one] == ".run.part" else (two, one)
        killed.kill()
        killed.wait()
        # Its lock is gone with it; its checkpoint is there.
        with workspace(tmp_path, "run", resume=True) as space:
            assert space.path.name == ".run.part"
            assert space.state_path.read_text() == "of the other process"
        assert lives.communicate("go on\n")[0].strip() == "run"
    assert names(tmp_path) == [".run.part", "run"]


def test_a_folder_that_cannot_exist_is_said_at_once(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(TrainingError, match="could not write"), workspace(tmp_path / "file" / "runs", "run", resume=False):
        pass
    with pytest.raises(TrainingError, match="could not write"), workspace(Path("/proc/nowhere"), "run", resume=False):
        pass


def test_views_tell_runs_apart_and_their_seed_does_not(tmp_path):
    """The same rate of missing sound, drawn twice, is one setting with two seeds; another rate is another setting."""

    def trained(seed: int, **view: object) -> Run:
        return train(load("digits", modalities=["stroke", "spectrum"], keep_groups=0.1, view_seed=seed, **view), tmp_path, seed=seed, epochs=1)

    plain, one, other, more = trained(0), trained(0, drop={"stroke": 0.3}), trained(1, drop={"stroke": 0.3}), trained(0, drop={"stroke": 0.6})
    assert one.settings_key == other.settings_key
    assert len({plain.settings_key, one.settings_key, more.settings_key}) == 3
    assert len({run.path for run in (plain, one, other, more)}) == 4
    assert one.settings["data.drop"] == {"stroke": 0.3}
    assert "data.view_seed" not in one.settings
