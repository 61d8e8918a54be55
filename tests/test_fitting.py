"""fit: from names to a run on disk, and that nothing finished is ever lost."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from alike import same_numbers

from workbench import methods
from workbench.errors import ConfigError, TrainingError
from workbench.fitting import fit, order
from workbench.plan import Plan, make_optimizer
from workbench.recording import fingerprint
from workbench.runs import load_all, table
from workbench.training import predict

SMALL = {"hidden_size": 8, "post_size": 8}


def test_a_run_holds_everything(toy, tmp_path):
    run = fit("awf", toy, runs=tmp_path, config=SMALL, plan={"epochs": 4}, balance_config={"rate": 0.05})
    assert sorted(path.name for path in run.path.iterdir()) == ["config.json", "metrics.json", "model.safetensors", "trace.nc"]
    assert run.config["balance"] == "b_fusion"
    assert run.config["config"]["hidden_size"] == 8
    assert {"torch", "python", "git", "device"} <= set(run.config["environment"])
    assert set(run.metrics["valid"]) == set(run.metrics["test"])
    assert run.trace["steps"]["trace"].sizes == {"step": 4 * 2, "quantity": 5, "modality": 3}
    assert run.trace["tap_means"]["fusion.attention.alpha"].sizes == {"epoch": 4, "modality": 3}
    assert list(run.trace["predictions/test"]["sample"].values) == toy["test"].ids
    # The model on disk is the model that was scored.
    said = predict(run.model(), toy["test"], Plan()).prediction
    assert said.tolist() == pytest.approx(run.trace["predictions/test"]["prediction"].values.tolist(), abs=1e-6)
    best = run.trace["history"]["score"].sel(split="valid", metric="loss")
    assert run.metrics["best_epoch"] == int(best.idxmin("epoch"))
    assert not list(tmp_path.glob(".*.part"))


def test_resume_equals_the_unbroken_run(toy, tmp_path):
    settings = {"config": {**SMALL, "dropout": 0.2}, "plan": {"epochs": 8}, "checkpoint_seconds": 0, "balance_config": {"rate": 0.05}}
    whole = fit("awf", toy, runs=tmp_path / "whole", **settings)

    def stop(epoch):
        if epoch.number == 4:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fit("awf", toy, runs=tmp_path / "broken", on_epoch=stop, **settings)
    assert load_all(tmp_path / "broken") == []
    epochs = []
    resumed = fit("awf", toy, runs=tmp_path / "broken", resume=True, on_epoch=lambda epoch: epochs.append(epoch.number), **settings)
    # Epoch 4 was cut off before its checkpoint: it is run again.
    assert epochs == [4, 5, 6, 7, 8]
    same_numbers(whole, resumed)


SCRIPT = """
    import importlib.util, sys, time
    sys.path[:0] = [{root!r}, {root!r} + "/tests"]
    spec = importlib.util.spec_from_file_location("toymaker", {conftest!r})
    module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
    from workbench.fitting import fit
    def slow(epoch):
        print(epoch.number, flush=True)
        time.sleep({pause})
    run = fit("awf", module.make_toy(), runs={runs!r}, resume=True, checkpoint_seconds=0, on_epoch=slow,
              config={{"hidden_size": 8, "post_size": 8, "dropout": .2}}, plan={{"epochs": 12, "patience": 99}})
    print("finished", run.path, flush=True)
"""


def start(runs: Path, pause: float) -> subprocess.Popen:
    root = Path(__file__).parents[1]
    code = textwrap.dedent(SCRIPT.format(root=str(root), conftest=str(root / "tests" / "conftest.py"), runs=str(runs), pause=pause))
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_kill_9_at_any_moment_and_resume_gives_bitwise_the_same(toy, tmp_path):
    settings = {"config": {**SMALL, "dropout": 0.2}, "plan": {"epochs": 12, "patience": 99}}
    whole = fit("awf", toy, runs=tmp_path / "whole", **settings)
    moment = 0.4 + (os.getpid() % 100) / 400
    killed = 0
    for _ in range(2):
        process = start(tmp_path / "killed", pause=0.2)
        assert process.stdout.readline().strip().isdigit()
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed == 2
    assert load_all(tmp_path / "killed") == []
    process = start(tmp_path / "killed", pause=0)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    (run,) = load_all(tmp_path / "killed")
    # It went on where it was, not from the beginning.
    assert int(out.splitlines()[0]) > 1
    same_numbers(whole, run)


def test_ctrl_c_finishes_the_epoch_and_saves_it(tmp_path):
    process = start(tmp_path, pause=0.2)
    assert process.stdout.readline().strip() == "1"
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in error
    (part,) = tmp_path.glob(".*.part")
    saved = torch.load(part / "state.pt", weights_only=True)
    printed = [int(line) for line in out.split() if line.isdigit()]
    assert saved["state"]["number"] == max([1, *printed])


def test_nan_keeps_the_last_good_checkpoint(toy, tmp_path):
    def poison(epoch):
        if epoch.number == 2:
            toy["train"].columns["audio"].values[5] = float("nan")

    with pytest.raises(TrainingError, match="the loss became nan in epoch 3") as caught:
        fit("lf_dnn", toy, runs=tmp_path, config=SMALL, plan={"epochs": 5}, on_epoch=poison, checkpoint_seconds=0)
    assert "epochs 1 to 2 are in" in caught.value.where
    (part,) = tmp_path.glob(".*.part")
    saved = torch.load(part / "state.pt", weights_only=True)
    assert saved["state"]["number"] == 2
    assert all(value.isfinite().all() for value in saved["state"]["model"].values())


def test_full_disk_loses_nothing(toy, tmp_path, monkeypatch):
    save = torch.save
    calls = []

    def full(content, path):
        calls.append(path)
        if len(calls) == 3:
            Path(path).write_bytes(b"half a checkpoint")
            raise OSError(28, "No space left on device")
        save(content, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match=r"no space left while saving the run lf_dnn-toy-s0-\w+ \(state.pt needs 0\.\d+ MB") as caught:
        fit("lf_dnn", toy, runs=tmp_path, config=SMALL, plan={"epochs": 5}, checkpoint_seconds=0)
    assert "resume" in caught.value.what
    monkeypatch.setattr(torch, "save", save)
    epochs = []
    fit("lf_dnn", toy, runs=tmp_path, config=SMALL, plan={"epochs": 5}, resume=True, on_epoch=lambda epoch: epochs.append(epoch.number))
    assert epochs == [3, 4, 5]


def test_reuse_trains_nothing_twice_and_settings_tell_runs_apart(toy, tmp_path, toy_maker):
    count = []
    settings = {"runs": tmp_path, "config": SMALL, "on_epoch": lambda epoch: count.append(epoch.number)}
    first = fit("lf_dnn", toy, plan={"epochs": 2}, reuse=True, **settings)
    again = fit("lf_dnn", toy, plan={"epochs": 2}, reuse=True, **settings)
    assert first.path == again.path
    assert count == [1, 2]
    fit("lf_dnn", toy, plan={"epochs": 3}, reuse=True, **settings)
    fit("lf_dnn", toy_maker(seed=5), plan={"epochs": 2}, reuse=True, **settings)
    fit("lf_dnn", toy.select("text"), plan={"epochs": 2}, reuse=True, **settings)
    assert len(load_all(tmp_path)) == 4
    assert len(table(tmp_path)) == 4
    twice = fit("lf_dnn", toy, plan={"epochs": 2}, **settings)
    assert twice.path.name == f"{first.path.name}-2"


def test_fingerprint_sees_every_number(toy, toy_maker):
    assert fingerprint(toy) == fingerprint(toy_maker())
    other = toy_maker()
    other["test"].columns["vision"].values[-1, -1] += 1e-6
    assert fingerprint(other) != fingerprint(toy)


@pytest.mark.parametrize(("method", "dataset"), [(name, dataset) for name in methods.PAPERS for dataset in methods.method(name).PRESETS])
def test_a_preset_says_nothing_of_what_the_data_lacks(toy, method, dataset):
    """Every preset makes a model and an optimizer of two of its three modalities, and where there are no sentences."""
    data = replace(toy.select("text", "audio"), name=dataset)
    settled = order(method, data)
    make_optimizer(methods.build(method, settled.config, data.spec), settled.plan)
    reads_sentences = methods.preset_for(method, dataset).config.get("text", "embedding") != "embedding"
    assert (settled.preset == "") == reads_sentences
    assert settled.config.text == "embedding"
    with_sentences = {name: replace(split, texts=["so it is"] * len(split)) for name, split in data.splits.items()}
    assert order(method, replace(data, splits=with_sentences)).preset == methods.preset_for(method, dataset).source


def test_orders(toy):
    mosi = replace(toy, name="mosi")
    assert order("awf", mosi).plan.learning_rate == 1e-4
    assert order("awf", mosi).preset == "adaptive weight fusion (2024), Table 2"
    assert order("awf", mosi, preset="none").plan.learning_rate == 1e-3
    assert order("awf", mosi, preset="none").preset == ""
    assert order("awf", toy, preset="mosi").preset == "adaptive weight fusion (2024), Table 2"
    with pytest.raises(ConfigError, match="the preset mosi of misa reads sentences"):
        order("misa", toy, preset="mosi")
    with pytest.raises(ConfigError, match='unknown preset of awf "mosy". Did you mean mosi'):
        order("awf", toy, preset="mosy")
    assert order("awf", mosi, plan={"learning_rate": 0.5}).plan.learning_rate == 0.5
    names = [order("awf", toy).variant, order("awf", toy, balance="none").variant, order("lf_dnn", toy, balance="b_fusion").variant]
    assert names == ["awf", "awf - b_fusion", "lf_dnn + b_fusion"]
    with pytest.raises(ConfigError, match='no setting "epoch". Did you mean epochs'):
        order("lf_dnn", toy, plan={"epoch": 3})
    with pytest.raises(ConfigError, match='rule b_fusion has no setting "rates"'):
        order("lf_dnn", toy, balance="b_fusion", balance_config={"rates": 3})
    with pytest.raises(ConfigError, match="batch_size=0"):
        order("lf_dnn", toy, plan={"batch_size": 0})


def test_config_json_is_plain(toy, tmp_path):
    run = fit("lf_dnn", toy, runs=tmp_path, config=SMALL, plan={"epochs": 1})
    assert json.loads((run.path / "config.json").read_text())["fingerprint"] == fingerprint(toy)
    assert run.spec == toy.spec


def test_undefined_metrics_are_null_in_json(toy, tmp_path):
    toy["valid"].target.zero_()
    run = fit("lf_dnn", toy, runs=tmp_path, config=SMALL, plan={"epochs": 1})
    assert json.loads((run.path / "metrics.json").read_text(), parse_constant=pytest.fail)["valid"]["acc2_non0"] is None


def test_resume_takes_the_folder_with_the_checkpoint(toy, tmp_path):
    settings = {"runs": tmp_path, "config": SMALL, "plan": {"epochs": 3}, "checkpoint_seconds": 0}

    def stop(epoch):
        if epoch.number == 3:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fit("lf_dnn", toy, on_epoch=stop, **settings)
    (part,) = tmp_path.glob(".*.part")
    part.rename(part.with_name(part.name.replace(".part", ".2.part")))
    epochs = []
    run = fit("lf_dnn", toy, resume=True, on_epoch=lambda epoch: epochs.append(epoch.number), **settings)
    assert epochs == [3]
    assert not list(tmp_path.glob(".*.part"))
    assert not (run.path / "state.pt").exists()
    # A finished run has nothing to go on with: it is the answer.
    assert fit("lf_dnn", toy, resume=True, on_epoch=lambda epoch: epochs.append(epoch.number), **settings).path == run.path
    assert epochs == [3]


def test_full_disk_at_the_end_is_said_and_keeps_the_checkpoint(toy, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    settings = {"runs": tmp_path, "config": SMALL, "plan": {"epochs": 2}, "checkpoint_seconds": 0}
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(TrainingError, match=r"no space left while saving the run \S+ \(for trace.nc"):
            fit("lf_dnn", toy, **settings)
    epochs = []
    run = fit("lf_dnn", toy, resume=True, on_epoch=lambda epoch: epochs.append(epoch.number), **settings)
    assert epochs == []
    assert run.metrics["epochs"] == 2


def test_the_floor_is_counted_over_all_epochs(toy, tmp_path):
    # The floor is so high that the dominant modality stands on it in most steps, also after the best epoch.
    settings = {"config": SMALL, "plan": {"epochs": 12, "patience": 12, "learning_rate": 0.05}}
    rule = {"balance": "b_fusion", "balance_config": {"rate": 0.1, "min_weight": 0.95}}
    run = fit("lf_dnn", toy, runs=tmp_path, **settings, **rule)
    assert run.metrics["best_epoch"] < 12
    assert sum(run.metrics["balance"].values()) > sum(run.model().balance.facts().values())


def test_sgd_has_its_own_defaults_of_the_rule(toy):
    assert order("lf_dnn", toy, balance="b_fusion", plan={"optimizer": "sgd"}).balance_config["rate"] == 0.001
    assert order("lf_dnn", toy, balance="b_fusion").balance_config["rate"] == 0.01
    given = order("lf_dnn", toy, balance="b_fusion", plan={"optimizer": "sgd"}, balance_config={"rate": 0.5}).balance_config
    assert (given["rate"], given["min_weight"]) == (0.5, 0.3)
