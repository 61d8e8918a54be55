"""`workbench sweep` as people type it."""

import json
import sys

import pytest

from workbench import cli
from workbench.cli import _ranges, main
from workbench.errors import ConfigError
from workbench.runs import load_all

SMALL = ["--set", "data.train=40", "--set", "data.valid=20", "--set", "data.test=20", "--set", "plan.epochs=2", "--seeds", "2", "--workers", "1"]


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Runs `workbench sweep ...` in a folder of the test: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["workbench", "sweep", *words])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_ranges_as_people_type_them():
    assert _ranges(["hidden=128,256", "learning_rate=1e-4..1e-2:log", "layers=1..4", "dropout", "loss=l1,mse", "clip_norm=null,1"]) == {
        "hidden": [128, 256],
        "learning_rate": ("1e-4", "1e-2", "log"),
        "layers": ("1", "4"),
        "dropout": None,
        "loss": ["l1", "mse"],
        "clip_norm": [None, 1],
    }
    assert _ranges(["vision_model=../a,../b", "learning_rate = 1e-4"]) == {"vision_model": ["../a", "../b"], "learning_rate": ["1e-4"]}
    with pytest.raises(ConfigError, match="given twice"):
        _ranges(["a=1", "a=2"])
    with pytest.raises(ConfigError, match="cannot be read"):
        _ranges(["a=[1"])


def test_result_where_next_and_test_only_where_asked(call, tmp_path):
    words = ["lf_dnn", "opinions/starved", "--over", "hidden=4,8", "--over", "learning_rate=1e-3", *SMALL]
    code, out, error = call(*words)
    assert code == 0, error
    first, where, following = out.splitlines()
    assert first.startswith("Best of 2 settings (2 complete): hidden_size=")
    assert "(n = 2)" in first
    (path,) = (tmp_path / "sweeps").iterdir()
    assert where.startswith(f"Where: sweeps/{path.name}/")
    assert "--test" in following
    # One line a trial where nobody can see a line rewrite itself.
    assert [line.partition("  ")[0] for line in error.splitlines()] == ["trial 0", "trial 1"]
    assert "2 of 2 · best acc2_non0" in error
    assert not (path / "chosen.json").exists()
    _, out, error = call(*words, "--test")
    assert "On test, looked at once: acc2_non0" in out
    assert error == ""
    assert (path / "chosen.json").exists()
    assert len(load_all(path / "runs")) == 4


def test_json(call):
    code, out, error = call("lf_dnn", "opinions/starved", "--over", "hidden=4,8", *SMALL, "--json")
    assert (code, error) == (0, "")
    facts = json.loads(out)
    assert [trial["hidden_size"] for trial in facts["trials"]] == [4, 8]
    assert facts["best"]["value"] == max(trial["value"] for trial in facts["trials"])
    assert facts["test"] is None


def test_options_reach_the_sweep(call, monkeypatch, tmp_path):
    seen = {}

    def fake(method, data, over, **options):
        seen.update(options, method=method, data=data, over=over)
        raise KeyboardInterrupt("Stopped. 37 of 200 trials kept; the same command goes on.")

    monkeypatch.setattr("workbench.sweeps.sweep", fake)
    code, _, error = call(
        "awf", "mosi", "--over", "hidden=1..9", "--sampler", "tpe", "--trials", "7", "--seeds", "4", "--study", "postgresql://h/d", "--workers", "2",
        "--name", "n", "--folder", "f", "--no-prune", "--preset", "none", "--balance", "none", "--modalities", "text, audio", "--root", "/r",
        "--set", "plan.epochs=3", "--set", "dropout=0.1", "--set", "data.x=1", "--device", "cpu", "--retry-failed",
    )  # fmt: skip
    assert code == 130
    assert error.strip() == "Stopped. 37 of 200 trials kept; the same command goes on."
    data = seen.pop("data_options")
    assert (str(data["root"]), data["path"], data["x"]) == ("/r", None, 1)
    assert seen == {
        "method": "awf", "data": "mosi", "over": {"hidden": ("1", "9")}, "sampler": "tpe", "trials": 7, "seeds": 4, "study": "postgresql://h/d",
        "workers": 2, "scheduler": None, "folder": cli.Path("f"), "name": "n", "prune": False, "preset": "none", "balance": "none",
        "modalities": ["text", "audio"], "config": {"dropout": 0.1}, "plan": {"epochs": 3, "device": "cpu"}, "balance_config": {},
        "retry_failed": True, "has_progress": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lf_dnn", "opinions"], "no published ranges"),
        (["lf_dnn", "opinions", "--over", "hiden_size=4"], "Did you mean hidden_size"),
        (["lf-dnn", "opinions", "--over", "hidden=4"], "Did you mean lf_dnn"),
        (["lf_dnn", "opinions", "--over", "hidden=1..9"], "needs a number of trials"),
        (["lf_dnn", "opinions", "--over", "hidden=4", "--trials", "3", "--sampler", "grid"], "trials=3 is for random and tpe"),
        (["lf_dnn", "opinions", "--over", "hidden=4", "--study", "nonsense"], "the study cannot be opened"),
    ],
)
def test_errors_without_a_traceback(call, words, said):
    code, _, error = call(*words, "--set", "data.train=40", "--set", "data.valid=20", "--set", "data.test=20")
    assert code == 2
    assert said in error
    assert "Traceback" not in error
