"""Several processes for one training: two ranks give the numbers of one, agree on everything, and end together."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from workbench import balance as balancing
from workbench import launching, methods, ranks
from workbench.balance.b_fusion import balance_loss, gradient_magnitude
from workbench.data.batch import Dataset
from workbench.errors import ConfigError, TrainingError, WorkbenchError
from workbench.fitting import fit
from workbench.launching import check_count, launch
from workbench.plan import Plan, resolve_device
from workbench.ranks import any_of, check_alike, from_first, is_first, joined
from workbench.runs import Run
from workbench.shares import check_shared, cut_rows, shared
from workbench.training import TrainingState, training

NEAR = 1e-10
"""How near two ranks come to one process in float64."""

FIT = {"config": {"hidden_size": 8, "post_size": 8, "dropout": 0.0}, "plan": {"epochs": 6, "batch_size": 16, "seed": 2, "patience": 50}}


def toy(**settings: Any) -> Dataset:
    """The toy data of the tests' conftest, also in a process that pytest did not start."""
    spec = importlib.util.spec_from_file_location("toymaker", Path(__file__).with_name("conftest.py"))
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    return maker.make_toy(**{"train": 25, "other": 10, **settings})


def doubled(data: Dataset) -> Dataset:
    """The same data in float64."""
    splits = {}
    for name, split in data.splits.items():
        columns = {key: replace(column, values=column.values.double()) for key, column in split.columns.items()}
        splits[name] = replace(split, columns=columns, target=split.target.double() if split.target.is_floating_point() else split.target)
    return replace(data, splits=splits)


def built(name: str, data: Dataset, rule: str = "none", *, config: Any = None, rule_config: Any = None) -> nn.Module:
    """A model in float64 with its rule."""
    model = methods.build(name, methods.checked(methods.method(name).Config, config or {}, owner=name), data.spec, seed=3)
    balancing.attach(model, rule, rule_config, data.spec, seed=3)
    return model.double()


def trained(name: str, rule: str = "none", *, config: Any = None, rule_config: Any = None, data: Any = None, **plan: Any) -> dict[str, torch.Tensor]:
    """All that a training of two epochs leaves: weights, memories, traces, predictions, losses. The last of the batches of 12 has one sample."""
    data = doubled(toy(**(data or {})))
    model = built(name, data, rule, config=config, rule_config=rule_config)
    plan = Plan(**{"epochs": 2, "batch_size": 12, "seed": 3, **plan})
    epochs = list(training(model, data, plan, state=TrainingState.start(model, plan)))
    last, found = epochs[-1], {key: value.clone() for key, value in model.state_dict().items()}
    found |= {"trace": last.steps, "train": last.outputs["train"][0], "valid": last.outputs["valid"][0]}
    numbers = {**last.auxiliary, **last.probes, **last.metrics("valid"), **{f"{a} {b}": n for a, of in last.rule.items() for b, n in of.items()}}
    found |= {key: torch.tensor(value) for key, value in numbers.items()}
    return found | {"losses": torch.tensor([list(epoch.loss.values()) for epoch in epochs])}


EXACT = {"update": "exact", "rate": 0.1}

SAME: dict[str, Callable[[], dict[str, torch.Tensor]]] = {
    "dropout, and a batch of one": lambda: trained("lf_dnn", config={"dropout": 0.4}),
    "batches of 2 and 3 samples": lambda: trained("lf_dnn", batch_size=3, data={"train": 8}),
    "accumulation": lambda: trained("lf_lstm", accumulate=3, clip_norm=0.5),
    "classes": lambda: trained("lf_dnn", data={"classes": 4}),
    "labels": lambda: trained("lf_dnn", data={"labels": 3}, is_bucketed=False),
    "mult": lambda: trained("mult", epochs=1),
    "misa: likeness and difference": lambda: trained("misa", epochs=1),
    "self_mm: labels that are kept": lambda: trained("self_mm"),
    "mmim: information, contrast": lambda: trained("mmim", epochs=1),
    "graph.samples: neighbours that are kept": lambda: trained("graph.samples"),
    "generative.cvae: random numbers, running scales": lambda: trained("generative.cvae"),
    "constraint.dcca: correlation": lambda: trained("constraint.dcca", epochs=1),
    "uniform": lambda: trained("lf_dnn", "uniform", accumulate=2),
    "ogm_ge": lambda: trained("lf_dnn", "ogm_ge", config={"dropout": 0.2}),
    "gradient_blending": lambda: trained("lf_dnn", "gradient_blending", rule_config={"super_epoch": 1}),
    "adaptive_tracking": lambda: trained("lf_dnn", "adaptive_tracking"),
    "grad_norm": lambda: trained("lf_dnn", "grad_norm", accumulate=2),
    "b_fusion, first order": lambda: trained("lf_dnn", "b_fusion"),
    "b_fusion, first order, beside other terms": lambda: trained("constraint.contrastive", "b_fusion", accumulate=2),
    "b_fusion, exact": lambda: trained("lf_lstm", "b_fusion", rule_config=EXACT, loss="mse", accumulate=2),
    "b_fusion, exact, classes": lambda: trained("lf_dnn", "b_fusion", rule_config=EXACT, data={"classes": 4}),
    "b_fusion, exact, beside other terms": lambda: trained("misa", "b_fusion", rule_config=EXACT, loss="mse", epochs=1),
}
"""What two ranks do as one process does."""


def told(call: Callable[[], Any]) -> str:
    """The error of a call, by kind and first line."""
    try:
        call()
    except WorkbenchError as error:
        return f"{type(error).__name__}: {error.what}"
    return "none"


def apart() -> str:
    model = built("lf_dnn", toy())
    if not is_first():
        next(model.parameters()).data[0, 0] += 1
    return told(lambda: check_alike(model))


def unmarked() -> str:
    data = doubled(toy())
    model = built("misa", data)
    model.fusion.is_across_samples = False
    return told(lambda: shared(model, data["train"].batch(torch.arange(8))))


def normed() -> str:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    return told(lambda: check_shared(model.train())) + " | " + told(lambda: check_shared(model.eval()))


def diverging() -> str:
    return told(lambda: trained("lf_dnn", optimizer="sgd", learning_rate=100, loss="mse"))


def agreed() -> tuple[Any, ...]:
    number = int(os.environ["RANK"])
    return from_first(lambda: f"found by {number}"), any_of(number == 1), any_of(False), ranks.count()


def alone_in_error() -> tuple[Any, ...]:
    """Rank 1 fails in the middle; rank 0 waits for it. What each says, and whether it is the one to say it."""
    try:
        with joined():
            if os.environ["RANK"] == "1":
                raise WorkbenchError("what rank 1 alone has found")
            any_of(True)
    except WorkbenchError as error:
        return type(error).__name__, error.what, ranks.speaks(error)


def in_a_group_of_its_own(folder: str) -> tuple[int, bool]:
    """The script has made a group of its processes before."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=int(os.environ["RANK"]), world_size=2)
    with joined():
        found = from_first(ranks.count)
    found = found, torch.distributed.is_initialized()
    torch.distributed.destroy_process_group()
    return found


def too_slow() -> str:
    """Rank 1 does not come in time."""
    os.environ["WORKBENCH_RANK_TIMEOUT"] = "2.5"
    try:
        with joined():
            if os.environ["RANK"] == "0":
                return told(lambda: any_of(True))
            time.sleep(4)
    finally:
        del os.environ["WORKBENCH_RANK_TIMEOUT"]
    return "too slow"


def killed() -> str:
    """Rank 1 is ended from outside."""
    with joined():
        any_of(True)
        if os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return told(lambda: any_of(True))


def in_a_kernel() -> dict[str, torch.Tensor]:
    """Dropout that cannot draw for the whole batch."""
    return trained("mult", epochs=1, config={"attention_dropout": 0.3})


KNOWN = {"in a kernel": in_a_kernel, "apart": apart, "unmarked": unmarked, "normed": normed, "diverging": diverging, "agreed": agreed}


def interrupted(folder: str, after: int | None, **settings: Any) -> Run | None:
    """A training that is interrupted after an epoch, or goes to its end; it goes on from a checkpoint."""
    seen = []

    def stop(epoch: Any) -> None:
        seen.append(epoch.number)
        if epoch.number == after:
            raise KeyboardInterrupt(f"enough in epoch {after}")

    try:
        return fit("lf_dnn", toy(), runs=folder, resume=True, on_epoch=stop, **(settings or FIT))
    except KeyboardInterrupt:
        return None
    finally:
        Path(folder, f"seen by {os.environ.get('RANK', 'one')} until {after}").write_text(json.dumps(seen))


STAGED = {"epochs": 1, "batch_size": 16, "seed": 1}


def staged(folder: str) -> Run:
    """A method of three stages."""
    return fit("delta_attention", toy(train=24), runs=folder, plan=STAGED, config={"dropout": 0.0})


def as_rank(folder: str) -> int:
    """Everything that the tests ask two ranks, by one pair of them; what they say is in the folder."""
    torch.set_num_threads(1)
    found = {}
    for name, call in {**SAME, **KNOWN}.items():
        with joined():
            found[name] = call()
    interrupted(f"{folder}/runs", 4)
    found["own group"] = in_a_group_of_its_own(folder)
    found |= {"staged": staged(f"{folder}/staged").metrics, "too slow": too_slow(), "alone": alone_in_error()}
    torch.save(found, f"{folder}/{os.environ['RANK']}")
    Path(folder, "last words").write_text(killed())
    return 0


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """What two ranks found, before one of them was killed: the folder, and what each says."""
    folder = tmp_path_factory.mktemp("pair")
    assert interrupted(f"{folder}/runs", 2) is None
    with pytest.raises(TrainingError, match=r"rank 1 was ended by signal 9 \(SIGKILL\)"):
        launch(2, as_rank, str(folder))
    return folder, [torch.load(folder / str(rank), weights_only=False) for rank in range(2)]


@pytest.mark.parametrize("name", SAME)
def test_two_ranks_give_the_numbers_of_one_process(pair, name):
    one = SAME[name]()
    for rank in pair[1]:
        assert rank[name].keys() == one.keys()
        for key, value in one.items():
            assert torch.allclose(rank[name][key].double(), value.double(), rtol=NEAR, atol=NEAR, equal_nan=True), key


def test_dropout_in_a_kernel_has_numbers_of_each_rank_and_one_model_comes_out(pair):
    first, second = (rank["in a kernel"] for rank in pair[1])
    assert all(torch.equal(first[key], second[key]) for key in first)
    one = in_a_kernel()
    assert not torch.allclose(first["train"], one["train"], atol=1e-3)
    assert first["losses"] == pytest.approx(one["losses"], rel=0.1)


def test_ranks_agree_and_find_the_same_errors(pair):
    for rank in pair[1]:
        assert rank["agreed"] == ("found by 0", True, False, 2)
        assert rank["own group"] == (1, True)
        assert rank["apart"] == "TrainingError: the ranks no longer have the same encoders.text.layers.0.0.weight"
        assert rank["unmarked"].startswith("ConfigError: the fusion SharedSpecific adds loss terms (similarity, difference, reconstruction)")
        assert rank["normed"] == "ConfigError: 1 is a batch norm: with 2 ranks it would take a share of the batch for the whole | none"
        assert rank["diverging"].startswith("TrainingError: ") and "loss became" in rank["diverging"]


def test_a_run_goes_on_with_another_number_of_ranks(pair, tmp_path):
    folder, _ = pair
    seen = {path.name: json.loads(path.read_text()) for path in (folder / "runs").glob("seen*")}
    assert seen == {"seen by one until 2": [1, 2], "seen by 0 until 4": [3, 4], "seen by 1 until 4": []}
    (part,) = (folder / "runs").glob(".*.part")
    assert json.loads((part / "config.json").read_text())["ranks"] == 2
    broken = interrupted(f"{folder}/runs", None)
    whole = fit("lf_dnn", toy(), runs=tmp_path, **FIT)
    assert broken.id == whole.id, "the identity is not the ranks'"
    for split in ("valid", "test"):
        assert broken.metrics[split] == pytest.approx(whole.metrics[split], rel=1e-4)
    assert broken.trace["history"]["score"].values == pytest.approx(whole.trace["history"]["score"].values, rel=1e-4, nan_ok=True)
    assert broken.config["ranks"] == 1


def test_stages_are_shared_and_every_rank_gets_the_run(pair, tmp_path):
    one = staged(str(tmp_path)).metrics
    for rank in pair[1]:
        assert rank["staged"]["stages"].keys() == one["stages"].keys()
        assert rank["staged"]["test"] == pytest.approx(one["test"], rel=1e-4)
    assert len(list((pair[0] / "staged").iterdir())) == 1


def test_averaging_the_second_gradients_of_shares_is_something_else():
    torch.manual_seed(0)
    x, y = torch.randn(2, 12, 3, dtype=torch.float64), torch.randn(12, dtype=torch.float64)
    matrices = [torch.randn(1, 3, dtype=torch.float64, requires_grad=True) for _ in x]

    def second(rows):
        weight = torch.ones(2, dtype=torch.float64, requires_grad=True)
        said = sum(weight[i] * (x[i, rows] @ matrices[i].T)[:, 0] for i in range(2))
        first = torch.autograd.grad((said - y[rows]).square().mean(), matrices, create_graph=True)
        return torch.autograd.grad(balance_loss(torch.stack([gradient_magnitude(gradient) for gradient in first])), weight)[0]

    whole, naive = second(slice(None)), (second(slice(0, 6)) + second(slice(6, 12))) / 2
    assert (whole - naive).abs().max() > 0.1 * whole.abs().max()


@pytest.mark.parametrize(("rows", "count", "sizes"), [(12, 2, [6, 6]), (7, 3, [3, 2, 2]), (4, 4, [1, 1, 1, 1])])
def test_shares_are_rows_in_a_row(rows, count, sizes):
    batch = toy()["train"].batch(torch.arange(rows))
    cuts = [cut_rows(batch, rank, count) for rank in range(count)]
    assert [cut.rows.stop - cut.rows.start for cut in cuts] == cuts[0].sizes == sizes
    assert torch.cat([batch.index[cut.rows] for cut in cuts]).tolist() == list(range(rows))


def test_one_process_is_left_as_it_is():
    data = toy()
    model = built("misa", doubled(data)).float()
    batch = data["train"].batch(torch.arange(6))
    with joined():
        assert ranks.team() is None
        assert torch.equal(shared(model.eval(), batch).prediction, model(batch).prediction)


def test_more_ranks_than_there_is_room_for_are_named(monkeypatch):
    assert check_count(2, "cpu") == ("" if launching.usable_cores() > 1 else "2 ranks share 1 cores: fewer are faster")
    assert check_count(10_000, "cpu").startswith("10000 ranks share")
    with pytest.raises(ConfigError, match="cuda:1 is one device, and 2 ranks need one each"):
        check_count(2, "cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert check_count(2, "auto") == ""
    with pytest.raises(ConfigError, match="3 ranks need a GPU each, and this machine has 2"):
        check_count(3, "cuda")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="--nproc 2 inside one of 2 ranks"):
        check_count(2, "cpu")
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda:1")
    assert resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="cuda:0 is one device, and 2 ranks need one each"):
        resolve_device("cuda:0")


LOST = "another rank of this training does not answer: it failed, was ended, or is too slow"


def test_nobody_waits_for_a_rank_that_has_failed_or_was_killed_or_is_too_slow(pair):
    folder, (first, second) = pair
    assert second["alone"] == ("WorkbenchError", "what rank 1 alone has found", True), "its error is what people are to read"
    assert first["alone"] == ("RankLostError", LOST, False)
    assert first["too slow"] == (folder / "last words").read_text() == f"RankLostError: {LOST}"


ASKED = ["train", "lf_dnn", "opinions/balanced", "--set", "plan.batch_size=64", "--set", "plan.patience=100", "--set", "data.train=600"]


@pytest.mark.slow
def test_ctrl_c_ends_all_ranks_with_one_checkpoint_and_one_sentence(tmp_path):
    command = [sys.executable, "-m", "workbench", *ASKED, "--set", "plan.epochs=4000", "--runs", str(tmp_path), "--nproc", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not list(tmp_path.glob(".*.part/state.pt")):
        assert time.monotonic() < end
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert err.count("Stopped.") == 1
    assert "Traceback" not in err


@pytest.mark.slow
def test_one_rank_says_what_was_wrong_with_the_command(tmp_path):
    command = [sys.executable, "-m", "workbench", *ASKED, "--set", "hiden_size=3", "--runs", str(tmp_path), "--nproc", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert (done.returncode, done.stdout, done.stderr.count("error: ")) == (2, "", 1)
    assert 'has no setting "hiden_size". Did you mean hidden_size' in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("starter", ["--nproc", "torchrun"])
def test_one_json_comes_out_whoever_starts_the_ranks(tmp_path, starter):
    command = [sys.executable, "-m", "workbench", *ASKED, "--set", "plan.epochs=2", "--runs", str(tmp_path), "--json"]
    if starter == "torchrun":
        command[1:2] = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m"]
    else:
        command += ["--nproc", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert Run.load(said["path"]).config["ranks"] == 2
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [said["id"]]


@pytest.mark.slow
@pytest.mark.parametrize("method", methods.METHODS)
def test_every_method_can_be_shared(every, method):
    one = trained(method, epochs=1)
    for rank in every:
        for key, value in one.items():
            assert torch.allclose(rank[method][key].double(), value.double(), rtol=1e-8, atol=1e-8, equal_nan=True), key


def with_every_method(folder: str) -> int:
    torch.set_num_threads(1)
    found = {}
    for name in methods.METHODS:
        with joined():
            found[name] = trained(name, epochs=1)
    torch.save(found, f"{folder}/{os.environ['RANK']}")
    return 0


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, torch.Tensor]]]:
    """One epoch of every method by two ranks."""
    folder = tmp_path_factory.mktemp("every")
    assert launch(2, with_every_method, str(folder)) == 0
    return [torch.load(folder / str(rank), weights_only=False) for rank in range(2)]
