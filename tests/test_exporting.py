"""A run to give away: the folder gives the same numbers, the model card says what the run says, the program runs alone."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_predicting import CARD, SMALL, arrays, command, said, train, write_card

from workbench import methods, programs
from workbench.data import load
from workbench.data.scaling import from_plain
from workbench.errors import ConfigError, TrainingError, WorkbenchError
from workbench.exporting import export, load_exported
from workbench.predicting import predict_samples
from workbench.programs import FREEDOMS, TOLERANCE, example, largest_difference, write_program
from workbench.runs import Run
from workbench.tasks import make_task
from workbench.training import learners

ALONE = """
import sys, torch, numpy as np
program = torch.export.load("model.pt2").module()
given = dict(np.load("given.npz"))
values = {key.removeprefix("values_"): torch.from_numpy(array) for key, array in given.items() if key.startswith("values_")}
masks = {key.removeprefix("masks_"): torch.from_numpy(array) for key, array in given.items() if key.startswith("masks_")}
np.save("said.npy", program(values, masks).detach().numpy())
assert not [name for name in sys.modules if name.startswith("workbench")]
"""


@pytest.fixture(scope="module")
def card(tmp_path_factory) -> Path:
    return write_card(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def run(card, tmp_path_factory) -> Run:
    return train(load(str(card)), tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def made(run, card, tmp_path_factory):
    return export(run, tmp_path_factory.mktemp("exports") / "mine", card=card)


def test_the_folder_holds_what_is_needed(made):
    assert made.files == ["README.md", "config.json", "metrics.json", "mine.md", "model.pt2", "model.safetensors"]
    assert made.bytes == sum(path.stat().st_size for path in made.path.iterdir())
    assert [path.name for path in made.path.parent.iterdir()] == ["mine"]
    assert (made.path / "mine.md").read_text() == CARD


def test_an_exported_run_says_what_the_run_said(made, run):
    found = load_exported(made.path)
    assert found.spec == run.spec
    frame = predict_samples(found, arrays(8, seed=2))
    np.testing.assert_allclose(frame["prediction"], said(run), atol=1e-6)
    one = predict_samples(found, {key: value[0] for key, value in arrays(8, seed=2).items()})
    assert one["prediction"].item() == pytest.approx(said(run)[0], abs=1e-6)
    assert load_exported(run.path).trace["predictions/test"]["sample"].size == 8


def test_the_program_runs_without_the_workbench_and_standardises(made, run):
    """Raw arrays, padded, in another process that has not imported the package."""
    given, n = arrays(8, seed=2), 8
    vocabulary = run.spec.modalities["text"].vocabulary
    time = max(map(len, given["audio"]))
    padded = {"values_audio": np.full((n, time, 3), 1e6, np.float32), "masks_audio": np.zeros((n, time), bool)}
    for row, frames in enumerate(given["audio"]):
        padded["values_audio"][row, : len(frames)], padded["masks_audio"][row, : len(frames)] = frames, True
    padded |= {"values_text": np.array([[vocabulary.index(word) for word in text.split()] for text in given["text"]])}
    padded |= {"masks_text": np.ones((n, 3), bool), "values_vision": given["vision"][:, None], "masks_vision": np.ones((n, 1), bool)}
    np.savez(made.path.parent / "given.npz", **padded)
    (made.path.parent / "model.pt2").write_bytes((made.path / "model.pt2").read_bytes())
    subprocess.run([sys.executable, "-c", ALONE], cwd=made.path.parent, check=True, env={"OMP_NUM_THREADS": "1"})
    np.testing.assert_allclose(np.load(made.path.parent / "said.npy"), said(run), atol=1e-5)
    for file in ("given.npz", "said.npy", "model.pt2"):
        (made.path.parent / file).unlink()


def test_the_model_card_says_what_the_run_says(made, run):
    text = (made.path / "README.md").read_text()
    for part in ("# lf_dnn on mine", "## What it is", "## Data", "## Intended use", "## Scores", "## Limits", "## Use"):
        assert part in text
    headline = run.config["headline"]
    assert f"| **{headline}** | {run.metrics['valid'][headline]:.4f} | {run.metrics['test'][headline]:.4f} |" in text
    assert "| metric | valid (n = 8) | test (n = 8) |" in text
    assert "Films that somebody talked about: [mine.md](mine.md)\n" in text and "nobody's" in text and "all of it is made up" in text
    assert "| audio | sequence | time x 3 numbers as on disk: they are standardised inside |" in text
    assert f"{run.metrics['parameters']:,}" in text and made.program in text
    assert made.difference <= TOLERANCE and f"{made.difference:.1e}" in made.program


def test_the_three_lines_of_the_model_card_run(made, monkeypatch):
    code = (made.path / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(made.path.parent)
    lines = code.replace(json.dumps(load_exported(made.path).config["exported"]["run"]), '"mine"').strip().splitlines()
    assert len(lines) == 4 and lines[2] == ""
    frames = {"audio": arrays(1, seed=0)["audio"][0], "vision": arrays(1, seed=0)["vision"][0]}
    exec("\n".join(lines[:-1]), scope := dict(frames))
    assert len(eval(lines[-1], scope)) == 1


def test_no_folder_of_this_machine_stands_in_it(run, tmp_path):
    notes = {**run.config["notes"], "converted": "/home/somebody/native"}
    export(replace(run, config={**run.config, "notes": notes}), tmp_path / "out", has_program=False)
    assert "/home/somebody" not in (tmp_path / "out" / "config.json").read_text()
    assert load_exported(tmp_path / "out").config["exported"] == {"run": run.id}


def test_without_a_card_and_without_a_program(toy, tmp_path):
    run = train(toy, tmp_path / "runs")
    made = export(run, tmp_path / "out", has_program=False)
    assert made.files == ["README.md", "config.json", "metrics.json", "model.safetensors"]
    assert made.difference is None and made.program == "no model.pt2: it was not asked for"
    assert "No data card" in (tmp_path / "out" / "README.md").read_text()
    np.testing.assert_allclose(predict_samples(load_exported(made.path), toy)["prediction"], said(run), atol=1e-6)


def test_a_card_that_has_changed_is_said(run, tmp_path):
    other = tmp_path / "mine.md"
    other.write_text(CARD.replace("Made by", "Changed by"))
    export(run, tmp_path / "out", card=other, has_program=False)
    assert "not the one it was trained with" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(WorkbenchError, match=r"nothing.md"):
        export(run, tmp_path / "second", card=tmp_path / "nothing.md", has_program=False)


def test_a_folder_that_is_there_is_left_alone(run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"is there already[\s\S]*--out"):
        export(run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_that_cannot_be_written(run, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(TrainingError, match=r"no space left while saving the export of \S+ \(for out, .* MB free at"):
        export(run, tmp_path / "out", has_program=False)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_export_says_so(made, tmp_path):
    with pytest.raises(WorkbenchError, match=r"neither a finished run nor an exported one[\s\S]*missing: config.json"):
        load_exported(tmp_path)
    for path in made.path.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WorkbenchError, match=r"not JSON[\s\S]*export the run again"):
        load_exported(tmp_path)


def test_the_command(run, tmp_path, capsys):
    out, _ = command(capsys, "export", run.path, "--out", tmp_path / "one", "--no-program")
    assert "README.md, config.json" in out and "no model.pt2" in out
    out, _ = command(capsys, "export", run.path, "--out", tmp_path / "two", "--no-program", "--json")
    assert json.loads(out)["path"] == str(tmp_path / "two")
    (tmp_path / "mine.json").write_text(json.dumps({"text": ["fine film"]}))
    out, _ = command(capsys, "predict", tmp_path / "one", tmp_path / "mine.json", "--json")
    assert json.loads(out)[0]["sample"] == "sample 0"


# Programs


TINY = {"text": "tokens", "sound": "sequence"}


def trained_like(name: str, data) -> torch.nn.Module:
    model = methods.build(name, SMALL, data.spec, seed=1)
    for module in learners(model):
        module.begin(data["train"], make_task(data.spec.task))
    return model.eval()


def shortened(data):
    """Few steps: a recurrent layer is written down step by step."""
    specs = {name: replace(spec, length=min(spec.length, 3)) for name, spec in data.spec.modalities.items()}
    return replace(data.spec, modalities=specs)


ALL = os.environ.get("WORKBENCH_EXPORT") == "1"
"""Every method takes two minutes; without it those that `torch.export` writes down otherwise than they run (`is_exporting`)."""


@pytest.mark.parametrize("name", sorted(methods.METHODS) if ALL else ["constraint.cmd", "generative.cvae", "lf_lstm"])
def test_every_method_is_exported(mixed_maker, tmp_path, name):
    data = mixed_maker(TINY)
    program = write_program(trained_like(name, data), shortened(data), tmp_path / "model.pt2")
    assert program.freedom in ("batch", "batch and time"), program.sentence
    assert program.difference <= TOLERANCE


def test_a_model_that_cannot_be_exported_says_which_step_fails(toy, tmp_path, monkeypatch):
    """Without its other way under `torch.export` a loss looks at how many samples have both modalities: that step is named."""
    monkeypatch.setattr("workbench.fusion.constraint.is_exporting", lambda: False)
    program = write_program(trained_like("constraint.cmd", toy), toy.spec, tmp_path / "model.pt2")
    assert program.path is None and not (tmp_path / "model.pt2").exists()
    assert program.sentence.startswith("no model.pt2: torch.export stops at `if is_exporting() or not len(a)")
    assert "(fusion/constraint.py:" in program.sentence and "central_moment_discrepancy" in program.sentence


def test_a_program_of_images_and_of_classes(mixed_maker, tmp_path):
    data = mixed_maker({"text": "tokens", "image": "image"}, task="multiclass")
    program = write_program(trained_like("lf_dnn", data), data.spec, tmp_path / "model.pt2")
    assert program.freedom == "batch and time", program.sentence
    assert FREEDOMS[program.freedom] in program.sentence


def test_a_program_of_other_numbers_is_not_kept(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "largest_difference", lambda *_: 0.5)
    monkeypatch.setattr(programs, "FREEDOMS", {"none": ""})
    program = write_program(trained_like("lf_dnn", toy), toy.spec, tmp_path / "model.pt2")
    assert program.path is None and not (tmp_path / "model.pt2").exists()
    assert program.sentence == "no model.pt2: the program's numbers differ from the model's by 5.0e-01"


def test_the_check_sees_a_difference_and_a_forgotten_scale(toy):
    """The check is worth something: a model with another bias, and one that does not standardise, are found."""
    model = trained_like("lf_dnn", toy)
    scales = from_plain({"text": [[5.0] * 12, [0.5] * 12]})
    padded, plain = programs.Padded(model, scales).eval(), programs.Padded(model, {}).eval()
    with torch.no_grad():
        assert largest_difference(padded, padded, toy.spec, "batch") < 1e-6
        assert largest_difference(plain, padded, toy.spec, "batch") > 1e-3
        assert largest_difference(lambda *given: padded(*given) + 0.01, padded, toy.spec, "batch") == pytest.approx(0.01, rel=0.6)
        assert largest_difference(lambda *given: padded(*given)[:-1], padded, toy.spec, "batch") == float("inf")


def test_examples_have_padding_and_missing_modalities(toy):
    values, masks = example(toy.spec, 5, steps={"text": 4, "audio": 5, "vision": 6}, seed=0)
    assert values["audio"].shape == (5, 5, 8) and masks["vision"].shape == (5, 6)
    assert all(bool(mask[0].all()) for mask in masks.values())
    assert [sum(bool(mask[row].any()) for mask in masks.values()) for row in range(5)] == [3, 2, 2, 2, 2]
