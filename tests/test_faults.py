"""Real faults of the machine: a disk that is full (a small tmpfs), a folder that is read-only (a mount). What is finished stays, and it is said."""

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from alike import same_numbers

from workbench.cli import main
from workbench.errors import StorageError
from workbench.experiments import compare
from workbench.exporting import export
from workbench.fitting import fit
from workbench.runs import Run, load_all
from workbench.storage import cannot_write, measured, number_of
from workbench.sweeps import Sweep, sweep


def contents(folder: Path) -> dict[str, str]:
    """Every file of a folder by its sha256."""
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*")) if path.is_file()}


# A full disk


@pytest.fixture
def refused() -> Callable[..., str]:
    """What an error says that a training ends with."""

    def call(method: str, data, **settings) -> StorageError:
        with pytest.raises(StorageError) as caught:
            fit(method, data, **settings)
        return caught.value

    return call


SIZE = 32
"""Of the hidden layers: the checkpoint has 144 kB, the weights 30 kB, and the traces 170 kB with 1,300 samples in valid and test."""


def room_for(file: str, runs: Path, whole: Run) -> int:
    """Bytes that are enough for everything up to a file of the final write, and not for it."""
    state = (next(runs.glob(".*.part")) / "state.pt").stat().st_size
    trace, weights = ((whole.path / name).stat().st_size for name in ("trace.nc", "model.safetensors"))
    room = (state + trace) // 2 if file == "trace.nc" else trace + weights // 2
    # The last checkpoint must find room too, beside the one before.
    assert state + 4096 < room
    return room


@pytest.mark.parametrize(("file", "epoch", "kept"), [("config.json", 0, 0), ("state.pt", 3, 2), ("trace.nc", 5, 5), ("model.safetensors", 5, 5)])
def test_a_training_that_fills_the_disk_goes_on_when_there_is_room(disk, toy_maker, tmp_path, refused, file, epoch, kept):
    runs, data = disk.path / "runs", toy_maker(train=32, other=1300)
    settings = {"config": {"hidden_size": SIZE, "post_size": SIZE, "dropout": 0.2}, "plan": {"epochs": 5, "patience": 9}, "checkpoint_seconds": 0}
    whole = fit("lf_dnn", data, runs=tmp_path / "whole", **settings)
    shutil.copytree(whole.path, runs / "earlier")
    before = contents(runs / "earlier")
    if not epoch:
        disk.fill(but=0)

    def fill(point) -> None:
        if point.number == epoch:
            disk.fill(but=4096 if file == "state.pt" else room_for(file, runs, whole))

    error = refused("lf_dnn", data, runs=runs, on_epoch=fill, **settings)
    (part,) = runs.glob(".*.part")
    said = rf"no space left while saving the run {whole.id} \({file} needs ([\d.]+) MB, ([\d.]+) MB free at {part}\)\. (.*)"
    needed, free, rest = re.fullmatch(said, error.what).groups()
    assert float(needed) > float(free)
    if file in ("trace.nc", "model.safetensors"):
        assert float(needed) == pytest.approx((whole.path / file).stat().st_size / 1e6, rel=0.05)
    assert rest == (f"Epochs 1 to {kept} are in {part}: --resume goes on from there." if kept else "It had no checkpoint yet.")
    assert error.do == "make room, then the same command again; or choose another folder with --runs FOLDER"
    assert [run.id for run in load_all(runs)] == ["earlier"]
    assert not list(part.glob("*.tmp"))
    disk.make_room()
    epochs = []
    same_numbers(whole, fit("lf_dnn", data, runs=runs, resume=True, on_epoch=lambda point: epochs.append(point.number), **settings))
    assert epochs == list(range(kept + 1, 6))
    assert contents(runs / "earlier") == before
    assert not list(runs.glob(".*"))


def test_the_command_line_says_it_and_goes_on(disk, tmp_path, monkeypatch, capsys):
    command = ["workbench", "train", "lf_dnn", "opinions/starved", "--set", "plan.epochs=2", "--set", "data.train=60", "--set", "data.valid=40"]
    monkeypatch.setattr("sys.argv", [*command, "--set", "data.test=40", "--runs", str(disk.path), "--resume"])
    disk.fill(but=0)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert re.search(r"error: no space left while saving the run \S+ \(config.json needs 0.00\d+ MB, 0 MB free at", capsys.readouterr().err)
    disk.make_room()
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    assert "compare --runs" in capsys.readouterr().out


def test_a_comparison_ends_at_a_full_disk_and_goes_on(disk, toy, tmp_path):
    variants = {"joint": {"method": "lf_dnn"}, "text": {"method": "lf_dnn", "modalities": ["text"]}}
    options = {"seeds": 1, "plan": {"epochs": 2}, "workers": 1, "has_progress": False, "runs": disk.path}
    assert len(compare(toy, {"joint": variants["joint"]}, **options).runs) == 1
    disk.fill(but=4096)
    with pytest.raises(StorageError, match=r"no space left while saving [\s\S]*\)\. 1 of 2 runs are finished; the same call goes on\.\n"):
        compare(toy, variants, **options)
    disk.make_room()
    assert [run.variant for run in compare(toy, variants, **options).runs] == ["joint", "text"]


@pytest.mark.parametrize(
    ("room", "said", "workers"),
    [(0, "study.db", 1), (20_000, "trace.nc|model.safetensors", 1), pytest.param(50_000, ".*", 2, marks=pytest.mark.slow)],
)
def test_a_sweep_that_fills_the_disk_goes_on_when_there_is_room(disk, toy, tmp_path, room, said, workers):
    over = {"hidden_size": [8, 9, 10] if workers == 1 else list(range(8, 20))}
    options = {"over": over, "seeds": 1, "plan": {"epochs": 1}, "has_progress": False, "name": "one"}
    whole = sweep("lf_dnn", toy, folder=tmp_path / "whole", workers=1, **options)
    seen: list[int] = []

    def fill(number: int, outcome) -> None:
        seen.append(number)
        if len(seen) == 1:
            disk.fill(but=room)

    with pytest.raises(StorageError) as caught:
        sweep("lf_dnn", toy, folder=disk.path, on_trial=fill, workers=workers, **options)
    total = len(over["hidden_size"])
    left = rf"MB free at [^()]*\)\. {len(seen)} of {total} trials kept; the same command goes on\."
    assert re.fullmatch(rf"no space left while saving .* \((for )?({said})[^()]* {left}", caught.value.what)
    assert caught.value.do.endswith("choose another folder with --folder FOLDER")
    before = {run.id: contents(run.path) for run in load_all(disk.path / "one" / "runs")}
    kept = Sweep.load(disk.path / "one").trials()
    assert (kept["state"] == "complete").sum() == len(seen) < total
    assert "failed" not in set(kept["state"])
    disk.make_room()
    result = sweep("lf_dnn", toy, folder=disk.path, workers=workers, **options)
    columns = ["hidden_size", "state", "value", "n"]
    mine, theirs = (found.trials()[columns].sort_values("hidden_size").to_numpy().tolist() for found in (result, whole))
    assert mine == theirs
    assert len(load_all(result.path / "runs")) == total
    assert {name: contents(result.path / "runs" / name) for name in before} == before


# A read-only folder


@pytest.fixture
def untrained(monkeypatch) -> None:
    """Nothing may be trained."""

    def refuse(*_: object) -> None:
        raise AssertionError("it was trained")

    monkeypatch.setattr("workbench.fitting.Progress.run", refuse)


def test_a_read_only_folder_is_said_before_anything_is_trained(toy, frozen, tmp_path, untrained):
    folder = frozen(tmp_path / "frozen")
    with pytest.raises(StorageError, match=rf"{folder} cannot be written: Read-only file system[\s\S]*--runs FOLDER"):
        fit("lf_dnn", toy, runs=folder)
    with pytest.raises(StorageError, match=rf"{folder} cannot be written: Read-only file system[\s\S]*--folder FOLDER"):
        sweep("lf_dnn", toy, {"hidden_size": [8, 9]}, folder=folder, workers=1, has_progress=False)
    with pytest.raises(StorageError, match=rf"{folder} cannot be written: Read-only file system[\s\S]*0 of 1 runs"):
        compare(toy, {"joint": {"method": "lf_dnn"}}, runs=folder, seeds=1, workers=1, has_progress=False)


def test_what_lies_in_a_read_only_folder_can_be_read_and_given_on(toy, frozen, tmp_path, monkeypatch, capsys):
    runs, plan = tmp_path / "runs", {"epochs": 1}
    run = fit("lf_dnn", toy, runs=runs, plan=plan)
    done = sweep("lf_dnn", toy, {"hidden_size": [8]}, folder=tmp_path / "sweeps", seeds=1, plan=plan, workers=1, has_progress=False)
    best = done.best_text()
    for folder in (runs, tmp_path / "sweeps"):
        frozen(folder)
    assert fit("lf_dnn", toy, runs=runs, plan=plan, resume=True).path == run.path
    assert Sweep.load(done.path).best_text() == best
    with pytest.raises(StorageError, match=rf"{done.path} cannot be written: Read-only file system[\s\S]*--folder FOLDER"):
        sweep("lf_dnn", toy, {"hidden_size": [8]}, folder=tmp_path / "sweeps", seeds=1, plan=plan, workers=1, has_progress=False, name=done.path.name)
    with pytest.raises(StorageError, match=rf"{runs} cannot be written: Read-only file system[\s\S]*--out FOLDER"):
        export(run, runs / "export", has_program=False)
    for command in (
        ["compare", "--runs", str(runs), "--to", str(runs / "table.csv")],
        ["predict", str(run.path), "samples.json", "--out", str(runs / "said.csv")],
    ):
        (tmp_path / "samples.json").write_text('{"text": [[[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]]}')
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["workbench", *command])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 2
        assert re.search(r"error: .*Read-only file system", capsys.readouterr().err)


# The words


def test_an_error_of_another_kind_is_no_refusal(tmp_path):
    assert number_of(ValueError("x")) is None
    assert number_of(FileNotFoundError(2, "x")) is None
    assert str(cannot_write(tmp_path / "a", RuntimeError("odd"))).startswith("could not write a: odd.")
    assert measured("a", lambda path: path.write_bytes(b"1234")) == 4
