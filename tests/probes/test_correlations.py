"""Canonical correlations over a whole split: what one batch gives, and a floor that knows chance and the course that all samples have."""

import pytest
import torch

from workbench import methods
from workbench.data import load
from workbench.errors import DataError
from workbench.fitting import fit
from workbench.probes import correlations
from workbench.probes.correlations import total_correlations, whole_correlations
from workbench.sequences import Steps
from workbench.taps import record

SMALL = {"hidden_size": 6, "head_size": 4, "heads": 1, "correlated_size": 3, "post_size": 4}
PAIRS = ["text x audio", "text x vision", "audio x vision"]


@pytest.fixture(scope="module")
def data():
    return load("opinions/balanced", train=24, valid=30, test=16, seed=3)


def test_a_whole_split_is_one_large_batch(data, monkeypatch):
    model = methods.build("delta_attention", SMALL, data.spec, seed=1).eval()
    monkeypatch.setattr(correlations, "BATCH", 7)
    found = total_correlations(model, data["valid"], permutations=2)
    with record(model, "fusion.total") as trace, torch.no_grad():
        model(data["valid"].batch(torch.arange(30)))
    seen = trace.dataset()["fusion.total"]
    assert list(found) == PAIRS == list(seen["pair"].values)
    for pair in PAIRS:
        assert found[pair][0] == pytest.approx(float(seen.sel(pair=pair)), abs=1e-4)
    assert total_correlations(model, data["valid"], permutations=2) == found, "the same permutations every time"
    assert not any(network._forward_hooks for network in model.fusion.encode.values())


def encodings(kind, *, samples=40, steps=12):
    """Three modalities of two features: noise; noise with what a sample's modalities share; noise with one course over time in all samples."""
    random = torch.Generator().manual_seed(0)

    def noise(*shape):
        return torch.randn(*shape, generator=random)

    shared = {"apart": 0.0, "related": 3.0 * noise(samples, steps, 2), "one course": 3.0 * torch.linspace(-1, 1, steps)[None, :, None]}[kind]
    mask = torch.ones(samples, steps, dtype=torch.bool)
    return {name: Steps(noise(samples, steps, 2) + shared, mask) for name in ("text", "audio", "vision")}


CASES = {"apart": ((-0.1, 0.1), (0.01, 0.3)), "related": ((1.4, 1.9), (0.01, 0.3)), "one course": ((-0.1, 0.1), (0.5, 1.0))}
"""Of each kind: the ends of what is above chance, and of chance."""


@pytest.mark.parametrize("kind", CASES)
def test_the_floor_is_chance_and_one_place_in_time(data, monkeypatch, kind):
    above, floor = CASES[kind]
    monkeypatch.setattr(correlations, "_encoded", lambda model, split: encodings(kind))
    model = methods.build("delta_attention", SMALL, data.spec, seed=1)
    split = load("opinions/balanced", train=40, valid=30, test=16, seed=3)["train"]
    value, chance = total_correlations(model, split)["text x audio"]
    assert above[0] < value - chance < above[1] and floor[0] < chance < floor[1]


def test_kept_and_first_weights_of_runs(data, tmp_path):
    plan = {"epochs": 1, "device": "cpu", "is_traced": False}
    run = fit("delta_attention", data, runs=tmp_path, config=SMALL, plan=plan)
    without = fit("delta_attention", data, runs=tmp_path, config={**SMALL, "has_correlation": False}, plan=plan)
    found = whole_correlations([run, without], {0: data}, permutations=2)
    assert list(found["pair"]) == PAIRS and set(found["seed"]) == {0}
    for model, value, floor in ((run.model(), "value", "floor"), (run.model_like(seed=0), "untrained", "untrained_floor")):
        expected = total_correlations(model, data["valid"], permutations=2)
        assert [tuple(row) for row in found[[value, floor]].to_numpy()] == list(expected.values())
    assert not (found["value"] == found["untrained"]).any()
    other = whole_correlations([run], data, split="test", permutations=2)
    assert not (other["value"].to_numpy() == found["value"].to_numpy()).any()
    with pytest.raises(DataError, match="no run has encodings that are made to correlate"):
        whole_correlations([without], data)
