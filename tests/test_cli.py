"""The command line as people type it: quick, readable, JSON on request, and no traceback."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from workbench import __version__, cli
from workbench.cli import _grouped, _pairs, main
from workbench.errors import ConfigError
from workbench.methods import METHODS
from workbench.runs import Run, load_all

HEAVY = ("torch", "transformers", "plotly", "dask", "pandas", "xarray", "sklearn", "matplotlib")

QUICK = [
    "--set",
    "data.train=40",
    "--set",
    "data.valid=20",
    "--set",
    "data.test=20",
    "--set",
    "hidden_size=4",
    "--set",
    "plan.epochs=2",
    "--device",
    "cpu",
]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., SimpleNamespace]:
    """Runs `workbench ...` in this process: its exit code, and what it printed."""

    def run(*arguments: object) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["workbench", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return SimpleNamespace(code=stop.value.code or 0, out=printed.out, err=printed.err)

    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run, trained by the command line in a process of its own."""
    folder = tmp_path_factory.mktemp("cli") / "runs"
    command = [sys.executable, "-c", "from workbench.cli import main; main()", "train", "lf_dnn", "opinions/starved", *QUICK, "--runs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "test acc2_non0" in done.stdout
    assert f"workbench compare --runs {folder}" in done.stdout
    return folder


# Speed


def loaded_by(code: str) -> list[str]:
    """Which heavy packages a fresh process has loaded after some code."""
    code = f"import sys\n{code}\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    return json.loads(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()[-1].replace("'", '"')
    )


def test_help_answers_in_half_a_second():
    def seconds() -> float:
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", "from workbench.cli import main; main()", "--help"], capture_output=True, text=True, check=True)
        assert "train" in done.stdout
        return time.perf_counter() - begin

    # Other tests may run beside this one: the best of up to eight counts.
    assert any(seconds() < 0.5 for _ in range(8))


def test_help_loads_nothing_heavy():
    assert (
        loaded_by("from typer.testing import CliRunner\nfrom workbench.cli import app\nassert CliRunner().invoke(app, ['--help']).exit_code == 0")
        == []
    )


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import workbench") == []


@pytest.mark.parametrize("module", ["workbench.fitting", "workbench.experiments", "workbench.data", "workbench.listing"])
def test_importing_a_part_loads_no_text_models_and_no_plots(module):
    assert {"transformers", "plotly", "dask", "matplotlib"}.isdisjoint(loaded_by(f"import {module}"))


# Looking


def test_version(call):
    assert call("--version").out.strip() == f"workbench {__version__}"


@pytest.mark.parametrize(
    "command",
    [[], ["list"], ["data"], ["train"], ["compare"], ["bench"], ["report"], ["lab"], ["data", "show"], ["data", "check"], ["data", "fetch"]],
)
def test_every_command_has_help(call, command):
    found = call(*command, "--help")
    assert found.code == 0
    assert "Usage" in found.out


def test_methods_are_listed_by_family(call):
    rows, lines = json.loads(call("list", "methods", "--json").out), call("list", "methods").out
    assert [row["method"] for row in rows] == list(METHODS)
    assert {"family", "what", "paper", "needs"} <= set(rows[0])
    for row in rows:
        assert f"  {row['method']} " in lines
        assert row["what"] in lines
        assert row["paper"] in lines


@pytest.mark.parametrize("what", ["datasets", "balancers", "encoders"])
def test_lists_say_the_same_as_text_and_as_json(call, what):
    rows, lines = json.loads(call("list", what, "--json").out), call("list", what).out.splitlines()
    assert len(rows) == len(lines)
    for line, (name, text) in zip(lines, rows.items(), strict=True):
        assert line.split(maxsplit=1) == [name, text]


def test_a_card_as_text_and_as_json(call):
    facts = json.loads(call("data", "show", "digits", "--json").out)
    assert facts["name"] == "digits"
    assert facts["splits"] == {"train": 1197, "valid": 300, "test": 300}
    assert facts["lengths"]["stroke"] == {"shortest": 8, "median": 8, "longest": 8}
    assert sum(facts["labels"]["valid"].values()) == 300
    text = call("data", "show", "digits", "--sample", "3").out
    assert facts["title"] in text
    assert facts["licence"].split(";")[0] in text
    assert "sample train 3 (digit_0600), class 2" in text


# Training and comparing


def test_train_as_json(call, tmp_path):
    found = call(
        "train", "lf_dnn", "opinions", *QUICK, "--modalities", "text, audio", "--seed", 3, "--balance", "b_fusion", "--runs", tmp_path, "--json"
    )
    assert found.code == 0
    said = json.loads(found.out)
    run = load_all(tmp_path)[0]
    assert said == {"id": run.id, "path": str(run.path), "metrics": run.metrics}
    assert (run.seed, run.config["balance"], run.config["modalities"]) == (3, "b_fusion", ["text", "audio"])
    assert run.config["config"]["hidden_size"] == 4
    assert run.config["plan"]["epochs"] == 2
    assert run.config["counts"] == {"train": 40, "valid": 20, "test": 20}


def test_train_in_stages_and_from_a_start(call, tmp_path):
    small = ["--set", "head_size=4", "--set", "heads=1", "--set", "correlated_size=2", "--runs", tmp_path]
    found = call("train", "delta_attention", "opinions", *QUICK, *small, "--json")
    run = Run.load(json.loads(found.out)["path"])
    assert list(run.metrics["stages"]) == ["unimodal.text", "unimodal.audio", "unimodal.vision", "correlation", "fusion"]
    again = call("train", "delta_attention", "opinions", *QUICK, *small, "--start", run.path, "--stages", "correlation,fusion")
    assert f"unimodal.audio: valid acc2_non0 {run.metrics['stages']['unimodal.audio']['valid']['acc2_non0']:.3f}" in again.out
    assert again.out.count(f"(from {run.path})") == 3


def test_train_says_whose_settings_it_took(call, tmp_path):
    for options, said in (
        ([], "Settings: workbench, opinions/balanced: means over time"),
        (["--preset", "none"], "Settings: the defaults, and those given."),
    ):
        found = call("train", "misa", "opinions", *QUICK, *options, "--runs", tmp_path)
        assert found.code == 0
        assert said in found.out


def test_train_takes_a_preset_by_name(call, tmp_path):
    found = call("train", "tfn", "opinions", *QUICK, "--preset", "mosi", "--runs", tmp_path)
    assert (found.code, "Settings: MMSA config_regression.json, tfn on mosi" in found.out) == (0, True)


def test_compare_as_text_and_as_json(call, runs):
    rows = json.loads(call("compare", "--runs", runs, "--json").out)
    assert [(row["dataset"], row["variant"], row["n"], row["is_unbeaten"]) for row in rows] == [("opinions/starved", "lf_dnn", 1, False)]
    text = call("compare", "--runs", runs, "--split", "valid").out
    assert "Acc-2 (negative / positive) ↑" in text
    assert "Rows with one seed are not ranked." in text
    assert "MAE ↓" in call("compare", "--runs", runs, "--metric", "mae").out
    assert 'unknown metric "mea"' in call("compare", "--runs", runs, "--metric", "mea").err


def test_compare_writes_its_table_and_says_where_there_is_no_pair(call, runs, tmp_path):
    paths = [tmp_path / f"table.{ending}" for ending in ("csv", "md", "tex")]
    call("compare", "--runs", runs, *(word for path in paths for word in ("--to", path)))
    assert [path.read_text()[:20] for path in paths] == ["dataset,variant,meth", "| variant | Acc-2 (n", "\\begin{tabular}{lrrr"]
    assert 'unknown form ".xls"' in call("compare", "--runs", runs, "--to", tmp_path / "table.xls").err
    found = call("compare", "--runs", runs, "--pairs")
    assert (found.code, found.out) == (2, "")
    assert "no two runs to compare" in found.err


def test_nothing_to_compare(call, tmp_path):
    found = call("compare", "--runs", tmp_path)
    assert (found.code, found.out) == (2, "")
    assert "no finished run in" in found.err


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "method"], 'unknown list "method". Did you mean methods?'),
        (["list", "datasets", "--on", "opinions"], "only methods are counted on a data set"),
        (["list", "data", "--on", "opinions"], 'unknown list "data"'),
        (["train", "lf_dn", "opinions"], 'unknown method "lf_dn". Did you mean lf_dnn?'),
        (["train", "lf_dnn", "opinion"], 'unknown data set "opinion". Did you mean opinions?'),
        (["train", "lf_dnn", "opinions/starving"], "starved"),
        (["train", "lf_dnn", "opinions", "--set", "hiden_size=3"], 'method lf_dnn has no setting "hiden_size". Did you mean hidden_size'),
        (["train", "lf_dnn", "opinions", "--set", "hidden_size=0"], "hidden_size=0 will not do"),
        (["train", "lf_dnn", "opinions", "--set", "plan.epoch=3"], 'the training plan has no setting "epoch". Did you mean epochs?'),
        (["train", "lf_dnn", "opinions", "--set", "data.tain=3"], "Did you mean train"),
        (["train", "lf_dnn", "opinions", "--balance", "bfusion"], 'unknown balancing rule "bfusion". Did you mean b_fusion?'),
        (["train", "lf_dnn", "opinions", "--balance", "b_fusion", "--set", "balance.x=3"], 'rule b_fusion has no setting "x"'),
        (["train", "lf_dnn", "opinions", "--modalities", "text,audo"], 'unknown modality "audo". Did you mean audio?'),
        (["train", "lf_dnn", "opinions", "--device", "gpu"], 'unknown device "gpu"'),
        (["train", "lf_dnn", "opinions", "--set", "hidden_size"], '"hidden_size" is not of the form key=value'),
        (["train", "lf_dnn", "opinions", "--set", "plans.epochs=3"], 'unknown group "plans"'),
        (["train", "lf_dnn", "opinions", "--set", "hidden_size=["], "--set hidden_size: the value [ cannot be read"),
        (["data", "show", "mosy"], 'unknown data set "mosy". Did you mean mosi'),
        (["train", "lf_dnn", "mosi"], "workbench data fetch mosi"),
    ],
)
def test_a_mistake_is_said_without_a_traceback(call, tmp_path, arguments, message):
    arguments = [*arguments, "--runs", tmp_path] if arguments[0] == "train" else arguments
    found = call(*arguments)
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith("error: ")
    assert message in found.err
    assert load_all(tmp_path) == []


def test_a_mistake_as_json(call):
    found = call("list", "method", "--json")
    assert (found.code, found.err) == (2, "")
    assert json.loads(found.out)["error"] == 'unknown list "method". Did you mean methods?'


def test_a_mistake_with_its_traceback_for_programmers(monkeypatch):
    monkeypatch.setenv("WORKBENCH_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["workbench", "list", "method"])
    with pytest.raises(ConfigError, match="unknown list"):
        main()


@pytest.mark.parametrize("arguments", [["trian"], ["train", "lf_dnn"], ["train", "lf_dnn", "opinions", "--sed", "3"], ["bench", "--rounds", "1"]])
def test_a_mistake_in_the_command_itself(call, arguments):
    assert call(*arguments).code == 2


def test_ctrl_c_says_what_is_kept(call, monkeypatch):
    def stop(what: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workbench.listing.listing", stop)
    found = call("list", "datasets")
    assert found.code == 130
    assert "Finished runs and pages are kept" in found.err


# Settings


def test_settings_are_sorted_by_their_owner():
    items = [
        "hidden_size=64",
        "plan.epochs=3",
        "balance.rate=1e-3",
        "data.hardness={audio: 0.5}",
        "text=frozen",
        "plan.clip_norm=null",
        "a_fusion=false",
    ]
    assert _grouped(items) == {
        "config": {"hidden_size": 64, "text": "frozen", "a_fusion": False},
        "plan": {"epochs": 3, "clip_norm": None},
        "balance": {"rate": "1e-3"},  # YAML 1.1 reads no number without a dot; the schema makes it one
        "data": {"hardness": {"audio": 0.5}},
    }


def test_a_rate_without_a_dot_is_a_number(call, tmp_path):
    assert call("train", "lf_dnn", "opinions", *QUICK, "--set", "plan.learning_rate=1e-2", "--runs", tmp_path, "--json").code == 0
    assert load_all(tmp_path)[0].config["plan"]["learning_rate"] == 0.01


def test_a_value_may_hold_an_equals_sign():
    assert _pairs(["text_model=/a=b/c", "empty="]) == {"text_model": "/a=b/c", "empty": ""}


def test_an_item_without_an_equals_sign():
    with pytest.raises(ConfigError, match=r'"seeds" is not of the form key=value[\s\S]*-p seeds=5'):
        _pairs(["a=1", "seeds"])


# What other parts do


def test_report_passes_parameters_on(call, monkeypatch, tmp_path):
    asked = {}

    def run_report(name: str, **settings: object) -> SimpleNamespace:
        asked.update(settings, name=name)
        return SimpleNamespace(exit_code=1, as_dict=lambda: {"failed": 1})

    monkeypatch.setitem(sys.modules, "workbench.report", SimpleNamespace(run_report=run_report))
    found = call("report", "quick", "-p", "seeds=5", "-p", "dataset=mosi", "--out", tmp_path, "--workers", 2, "--gpus", "0, 1", "--json")
    assert (found.code, json.loads(found.out)) == (1, {"failed": 1})
    assert any(line.startswith("mosi is not here") for line in asked.pop("data"))
    assert asked == {
        "name": "quick",
        "parameters": {"seeds": "5", "dataset": "mosi"},
        "out": tmp_path,
        "workers": 2,
        "scheduler": None,
        "gpus": ["0", "1"],
        "cores": None,
        "fresh": False,
        "open_page": False,
        "quiet": True,
    }


def test_lab_opens_the_first_notebook(call, monkeypatch, tmp_path):
    commands = []
    monkeypatch.setitem(sys.modules, "workbench.report", SimpleNamespace(notebook_folder=lambda: tmp_path / "notebooks"))
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command) or SimpleNamespace(returncode=3))
    assert call("lab", "--port", 9999).code == 3
    assert "--port=9999" in commands[0]
    assert f"--ServerApp.root_dir={tmp_path}" in commands[0]


def test_data_check_as_json_and_its_exit_code(call, monkeypatch):
    for leaks, code in (([], 0), (["text"], 1)):
        result = SimpleNamespace(leaks=leaks, as_dict=lambda leaks=leaks: {"leaks": leaks}, text=lambda: "a table")
        monkeypatch.setattr("workbench.data.inspection.check.check", lambda card, result=result, **where: result)
        found = call("data", "check", "mosi", "--json")
        assert (found.code, json.loads(found.out)) == (code, {"leaks": leaks})
        assert "a table" in call("data", "check", "mosi").out


def test_data_fetch_says_what_is_there(call, monkeypatch, tmp_path):
    files = [SimpleNamespace(path=tmp_path / "a.csv", bytes=3, action="copied"), SimpleNamespace(path=tmp_path / "b.csv", bytes=4, action="there")]
    monkeypatch.setattr("workbench.data.fetch.fetch", lambda card, **settings: files)
    assert "mosi: 2 files are there" in call("data", "fetch", "mosi").out
    said = json.loads(call("data", "fetch", "mosi", "--json").out)
    assert said == [{"path": str(file.path), "bytes": file.bytes, "action": file.action} for file in files]


def test_every_command_is_in_a_group():
    assert all(command.rich_help_panel for command in cli.app.registered_commands)


def test_readers_options_and_a_file_elsewhere_on_the_command_line(call, tmp_path):
    small = ["--set", "train=20", "--set", "valid=10", "--set", "test=10"]
    assert "split train: 20 samples" in call("data", "check", "opinions/balanced", *small).out
    assert json.loads(call("data", "show", "opinions/balanced", "--json", *small).out)["splits"] == {"train": 20, "valid": 10, "test": 10}
    said = call("data", "check", "mosi_mmsa", "--path", str(tmp_path / "mine.pkl"))
    assert said.code == 2
    assert "mine.pkl" in said.err
    assert 'unknown option "trian"' in call("data", "check", "digits", "--set", "trian=2").err
    for key in ("root", "data.path"):
        refused = call("train", "lf_dnn", "digits", "--set", f"{key}=/tmp")
        assert (refused.code, f"--set {key}: that is no setting" in refused.err) == (2, True)
    assert "`drop` is a view of the data" in call("data", "convert", "digits", "--set", "drop=0.3").err
