"""Scores with missing and noisy modalities, on a model whose answer is known by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from workbench import methods
from workbench.data.batch import UNKNOWN, Column, Dataset, Modality, ModalitySpec, Spec, Split, TaskSpec
from workbench.errors import ConfigError
from workbench.fitting import fit
from workbench.fusion.encoder_decoder import Concatenate
from workbench.model import FusionModel
from workbench.probes.missing import missing_scores, noisy, robustness, treated

N = 4000


class First(nn.Module):
    """The vector as it came."""

    size = 1

    def forward(self, modality: Modality) -> torch.Tensor:
        return modality.values[:, 0]


def summed() -> Dataset:
    """y = one + two, each of one feature: one ~ N(0, 1), two ~ N(0, 2)."""
    random = np.random.default_rng(0)

    def split(name: str) -> Split:
        rows = {"one": random.standard_normal((N, 1)).astype(np.float32), "two": 2 * random.standard_normal((N, 1)).astype(np.float32)}
        target = torch.from_numpy(rows["one"][:, 0] + rows["two"][:, 0])
        return Split(name, {key: Column.from_rows(value) for key, value in rows.items()}, target, [f"{name}{i}" for i in range(N)])

    spec = Spec({"one": ModalitySpec("vector", 1), "two": ModalitySpec("vector", 1)}, TaskSpec("regression"))
    return Dataset("summed", spec, {name: split(name) for name in ("train", "valid", "test")})


def adding() -> FusionModel:
    """It says one + two: without error as long as both are there."""
    projections = {name: nn.Linear(1, 1) for name in ("one", "two")}
    head = nn.Linear(2, 1)
    for layer in (*projections.values(), head):
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    return FusionModel({name: First() for name in projections}, projections, Concatenate(), head)


def mean_normal(deviation: float) -> float:
    """The mean of |N(0, deviation)|."""
    return deviation * np.sqrt(2 / np.pi)


def test_what_is_lost_with_a_modality_is_its_own_part_of_the_sum():
    table = missing_scores(adding(), summed(), rates=(0.5, 1.0))
    assert list(table) == ["variant", "seed", "modality", "missing_rate", "treatment", "metric", "value"]
    assert set(table["treatment"]) == {"present", "zeros"}
    mae = table[table["metric"] == "mae"].set_index(["modality", "missing_rate"])["value"]
    assert mae["none", 0.0] == pytest.approx(0, abs=1e-6)
    assert mae["one", 1.0] == pytest.approx(mean_normal(1), rel=0.05)
    assert mae["two", 1.0] == pytest.approx(mean_normal(2), rel=0.05)
    assert mae["two", 0.5] == pytest.approx(mean_normal(2) / 2, rel=0.08)


def test_noise_is_in_standard_deviations_of_train():
    data = replace(summed(), spec=Spec(summed().spec.modalities, TaskSpec("regression", headline="mae")))
    table = robustness(adding(), data, rates=(0.0, 1.0), noise=(0.0, 0.5, 1.0))
    assert list(table) == ["variant", "seed", "modality", "disturbance", "amount", "metric", "value"]
    found = table.set_index(["modality", "disturbance", "amount"])["value"]
    assert set(table["metric"]) == {"mae"}
    for name, spread in (("one", 1.0), ("two", 2.0)):
        assert found[name, "noise", 0.0] == found[name, "missing", 0.0] == pytest.approx(0, abs=1e-6)
        assert found[name, "noise", 0.5] == pytest.approx(mean_normal(spread / 2), rel=0.05)
        assert found[name, "noise", 1.0] == pytest.approx(2 * found[name, "noise", 0.5], rel=0.01)  # the same noise, larger
        assert found[name, "missing", 1.0] == pytest.approx(mean_normal(spread), rel=0.05)


def test_noise_is_a_function_of_the_seed_and_touches_one_modality_of_one_split():
    data = summed()
    once, again, other = (noisy(data, "one", 1.0, seed=seed)["test"].columns["one"].values for seed in (0, 0, 1))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    changed = noisy(data, "one", 1.0)
    assert changed["valid"] is data["valid"]
    assert changed["test"].columns["two"] is data["test"].columns["two"]
    assert torch.equal(noisy(data, "one", 0.0)["test"].columns["one"].values, data["test"].columns["one"].values)


def test_tokens_become_unknown_at_the_rate(mixed_maker):
    data = mixed_maker({"words": "tokens", "sound": "sequence"}, other=400)
    before = data["test"].columns["words"].values
    little, much, all_of_it = (noisy(data, "words", amount)["test"].columns["words"].values for amount in (0.3, 0.6, 2.0))
    assert float((little == UNKNOWN).float().mean()) == pytest.approx(0.3, abs=0.05)
    assert bool((all_of_it == UNKNOWN).all())
    assert bool((little == before)[little != UNKNOWN].all())
    assert bool((much == UNKNOWN)[little == UNKNOWN].all())  # of a higher rate the lower one's are a part


def test_more_tokens_than_all_cannot_become_unknown(mixed_maker):
    data = mixed_maker({"words": "tokens", "sound": "sequence"})
    model = methods.build("lf_dnn", {"hidden_size": 4, "post_size": 4}, data.spec)
    table = robustness(model, data, rates=(0.0,), noise=(0.0, 0.5, 1.0, 2.0, 4.0)).query("disturbance == 'noise'")
    found = table.groupby("modality")["amount"].apply(list).to_dict()
    assert found == {"words": [0.0, 0.5, 1.0], "sound": [0.0, 0.5, 1.0, 2.0, 4.0]}


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda model, data: missing_scores(model, data, rates=(0.0,)), "a missing rate of 0.0 will not do"),
        (lambda model, data: robustness(model, data, rates=(1.5,)), "a missing rate of 1.5 will not do"),
        (lambda model, data: robustness(model, data, noise=(-1,)), "an amount of noise of -1 will not do"),
        (lambda model, data: robustness(model, {0: data}), "data by seed is for runs"),
    ],
)
def test_what_cannot_be_asked(ask, message):
    with pytest.raises(ConfigError, match=message):
        ask(adding(), summed())


def test_the_models_own_treatment_comes_back():
    data = summed()
    model = methods.build("generative.cvae", {"hidden_size": 4}, data.spec)
    with treated(model, "zeros"):
        assert model.fusion.missing == "zeros"
    assert model.fusion.missing == "synthesis"
    with pytest.raises(ConfigError, match='treatment of missing modalities "nothing"'), treated(model, "nothing"):
        pass
    assert model.fusion.missing == "synthesis"
    assert set(missing_scores(model, data)["treatment"]) == {"present", "zeros", "synthesis"}


@pytest.mark.parametrize("name", ["lf_dnn", "graph.samples", "generative.cvae"])
def test_runs_of_any_method_with_all_kinds_of_modalities(mixed_maker, tmp_path, name):
    data = mixed_maker({"words": "tokens", "picture": "image", "sound": "sequence", "facts": "vector"}, task="multiclass")
    plan = {"epochs": 1, "probe_every": 0, "device": "cpu"}
    runs = [fit(name, data, config={"hidden_size": 4, "post_size": 4}, plan={**plan, "seed": seed}, runs=tmp_path) for seed in (0, 1)]
    table = robustness(runs, {0: data, 1: data}, rates=(0.0, 0.5), noise=(0.0, 1.0))
    assert set(table["seed"]) == {0, 1}
    assert set(table["modality"]) == {"words", "picture", "sound", "facts"}
    quiet = table[table["amount"] == 0].set_index("seed")["value"]
    for run in runs:
        assert set(quiet[run.seed]) == {run.metrics["test"][run.config["headline"]]}
    assert bool(table["value"].between(0, 1).all())
    pd.testing.assert_frame_equal(table, robustness(runs, data, rates=(0.0, 0.5), noise=(0.0, 1.0)))
    assert missing_scores(runs[0], data)["value"].notna().all()
