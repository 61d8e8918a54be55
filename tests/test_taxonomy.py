"""The tour's questions, on data so small that only the answers' form and the arithmetic are tested."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench import methods, studies, taxonomy
from workbench.experiments import Results
from workbench.runs import Run

SIZES = {"train": 60, "valid": 40, "test": 40}
PLAN = {"epochs": 2, "device": "cpu"}


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons train in this process: a worker takes seconds to start."""
    monkeypatch.setattr("workbench.experiments.usable_cores", lambda: 1)


@pytest.fixture(scope="module")
def data():
    return studies.draws("opinions/balanced", 2, align_to="text", **SIZES)


@pytest.fixture(scope="module")
def results(data, tmp_path_factory):
    """A tour through three strategies."""
    names = ["encoder_decoder.decision", "encoder_decoder.hierarchical", "graph.modalities"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workbench.experiments.usable_cores", lambda: 1)
        return taxonomy.tour(data, names, seeds=2, plan=PLAN, runs=tmp_path_factory.mktemp("runs"))


def saved(variant: str, seed: int, *, score: float, headline: str = "acc2_non0") -> Run:
    """A run that nobody trained; its score on test is another."""
    return Run(Path(f"{variant}-{seed}"), {"variant": variant, "plan": {"seed": seed}}, {"valid": {headline: score}, "test": {headline: -score}})


def test_every_family_has_its_strategies():
    assert len(taxonomy.STRATEGIES) == 17
    assert {methods.method(name).family for name in taxonomy.STRATEGIES} == set(methods.FAMILIES)
    assert set(taxonomy.GROWING) < set(taxonomy.STRATEGIES)


def test_apart_and_together_differ_as_they_say(data):
    one = studies.any_draw(data)
    for variant in (*taxonomy.APART.values(), *taxonomy.TOGETHER.values()):
        methods.build(variant["method"], variant.get("config", {}), one.spec)
    added, multiplied = taxonomy.APART["added"], taxonomy.TOGETHER["multiplied"]
    assert added["method"] == multiplied["method"]
    assert (added["config"], multiplied["config"]) == ({"merge": "add"}, {"merge": "multiply"})


def test_a_tour_has_every_strategy_and_each_modality_alone_with_one_budget(results):
    names = ["text alone", "audio alone", "vision alone", "encoder_decoder.decision", "encoder_decoder.hierarchical", "graph.modalities"]
    assert list(dict.fromkeys(run.variant for run in results.runs)) == names
    assert results.failed == []
    for run in results.runs:
        plan = {**taxonomy.BUDGET, "epochs": 2}
        assert {key: run.config["plan"][key] for key in plan} == plan
        assert (run.config["balance"], run.config["preset"]) == (None, "")
    assert [run.config["modalities"] for run in results.only("audio alone").runs] == [["audio"], ["audio"]]


def test_the_tours_table(results, data):
    table = taxonomy.tour_table(results, data)
    assert list(table) == ["variant", "family", "kind", "seed", "value", "parameters", "seconds", "memory"]
    assert len(table) == 12
    rows = table.set_index(["variant", "seed"])
    run = results.only("graph.modalities").runs[1]
    row = rows.loc["graph.modalities", 1]
    assert (row["family"], row["kind"]) == ("graph", "joint")
    assert row["value"] == run.metrics["test"]["acc2_non0"]
    assert row["seconds"] == run.metrics["seconds"] / 2
    # weights, gradients and Adam's moments are part of what is counted
    assert row["memory"] > 4 * 4 * row["parameters"]
    alone = rows.loc["text alone", 0]
    assert (alone["family"], alone["kind"]) == ("one modality", "alone")
    assert np.isnan(alone["memory"])
    other = taxonomy.tour_table(results, data, metric="mae", split="valid").set_index(["variant", "seed"])
    assert other.loc["graph.modalities", 1]["value"] == run.metrics["valid"]["mae"]


def test_the_finding_of_a_tour():
    values = {
        "a": (0.80, 0.84, 0.82),
        "b": (0.70, 0.72, 0.71),
        "c": (0.79, 0.84, 0.81),
        "text alone": (0.60, 0.61, 0.62),
        "audio alone": (0.50, 0.5, 0.5),
    }
    table = pd.DataFrame([{"variant": name, "seed": seed, "value": value} for name, row in values.items() for seed, value in enumerate(row)])
    said = taxonomy.say_tour(table, metric="acc2_non0")
    assert said.startswith("best of 3 is a, .820 ± .020 (n = 3); not told apart from it: 1 (95 %")
    assert said.endswith("Best single modality: text, .610.")
    # of errors the lowest is the best
    said = taxonomy.say_tour(table, metric="mae")
    assert said.startswith("best of 3 is b, .710 ± .010 (n = 3); not told apart from it: 0 (95 %")
    assert said.endswith("Best single modality: audio, .500.")
    # a run that failed takes its pair with it
    holed = table[~((table["variant"] == "c") & (table["seed"] == 2))]
    assert "from it: 1 (" in taxonomy.say_tour(holed, metric="acc2_non0")
    single = taxonomy.say_tour(table[table["seed"] == 0], metric="acc2_non0")
    assert single.startswith("best of 3 is a, .800 (n = 1); not told apart from it: 2")


@pytest.mark.parametrize(("headline", "chosen"), [("acc2_non0", "graph.fused"), ("mae", "graph.samples")])
def test_one_of_each_family_is_chosen_on_valid(headline, chosen):
    scores = {"graph.samples": 0.6, "graph.fused": 0.9, "attention.cross": 0.5, "text alone": 0.99}
    results = Results([saved(name, seed, score=score, headline=headline) for name, score in scores.items() for seed in (0, 1)], headline)
    assert taxonomy.one_of_each(results) == ["attention.cross", chosen]


def test_beliefs_about_the_modalities_are_graphs_that_can_be_built(data):
    one = studies.any_draw(data)
    beliefs = taxonomy.prior_graphs(data)
    assert list(beliefs) == ["by similarity", "all pairs", "text and audio only", "text and vision only", "audio and vision only", "no pair"]
    assert beliefs["text and vision only"]["config"]["edges"] == [("text", "vision")]
    assert beliefs["no pair"]["config"] == {"neighbours": "given", "edges": []}
    for variant in beliefs.values():
        methods.build(variant["method"], variant["config"], one.spec)


def test_alignment_compares_the_same_samples(data, tmp_path):
    one, unaligned = {0: data[0]}, studies.draws("opinions/balanced", 1, **SIZES)
    table = taxonomy.alignment(["constraint.low_rank"], one, unaligned, seeds=1, plan=PLAN, runs=tmp_path)
    assert table[["variant", "metric", "seed"]].to_numpy().tolist() == [
        ["constraint.low_rank", "aligned", 0],
        ["constraint.low_rank", "unaligned", 0],
    ]
    assert one[0]["test"].ids == unaligned[0]["test"].ids


def test_a_baseline_stands_beside_late_fusion_and_each_modality(data, tmp_path):
    results = taxonomy.baseline(data, "graph.modalities", config={"hidden_size": 4}, balance="b_fusion", seeds=1, plan={"epochs": 1}, runs=tmp_path)
    assert [run.variant for run in results.runs] == ["text alone", "audio alone", "vision alone", "lf_dnn", "graph.modalities"]
    assert [run.config["balance"] for run in results.runs] == [None, None, None, None, "b_fusion"]
    assert results.runs[-1].config["config"]["hidden_size"] == 4
    assert len(results.steps("last_layer"))  # traced


def test_what_cannot_grow_is_named_with_its_first_size():
    rows = [
        ("tensor", "modalities", 3, ""),
        ("tensor", "modalities", 5, "too large"),
        ("tensor", "modalities", 4, "too wide"),
        ("sum", "length", 9, ""),
    ]
    curves = pd.DataFrame(rows, columns=["variant", "axis", "x", "note"])
    found = taxonomy.cannot_grow(curves.sort_values("x"))
    assert found.to_numpy().tolist() == [["tensor", "modalities", 4, "too wide"]]
