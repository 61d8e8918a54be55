"""Runs chosen from a folder, areas under their curves by hand, and what is said of them."""

import json
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench import run_sets
from workbench.errors import ConfigError, TrainingError
from workbench.experiments import Results
from workbench.figures import area_dots, caption_of, disturbed_lines, score_table, subset_dots
from workbench.fitting import fit
from workbench.probes.ladder import constant_score
from workbench.recording import fingerprint
from workbench.robust_lab import (
    area,
    area_columns,
    area_differences,
    areas,
    disturbed,
    imputation_differences,
    say_at_once,
    say_robust,
    subset_scores,
    whole_areas,
)
from workbench.run_sets import Chosen, chosen_runs, say_chosen
from workbench.runs import Run
from workbench.statistics import Difference
from workbench.studies import draws

PLAN = {"epochs": 1, "probe_every": 0, "device": "cpu", "is_traced": False}
SMALL = {"hidden_size": 4, "post_size": 4}


def test_an_area_by_hand():
    assert area([0, 0.5, 1], [0.8, 0.7, 0.6], 0.5) == pytest.approx(2 / 3)  # a straight line keeps what its middle keeps
    assert area([1, 0, 0.5], [0.6, 0.8, 0.7], 0.5) == pytest.approx(2 / 3)  # in any order
    assert area([0, 1, 4], [0.9, 0.9, 0.5], 0.5) == pytest.approx((1 + 3 * 0.5) / 4)  # steps of different width
    assert area([0, 1], [0.9, 0.9], 0.5) == 1
    assert area([0, 1, 2], [0.9, 0.5, 0.5], 0.5) == pytest.approx(0.25)
    assert area([0, 1], [0.7, 0.1], 0.5) == pytest.approx((1 - 2) / 2)  # worse than looking at nothing
    assert area([0, 1], [0.7, 0.8], 0.5) == pytest.approx((1 + 1.5) / 2)


def test_an_area_of_an_error_that_rises_and_of_nothing_to_lose():
    assert area([0, 1], [0.4, 0.8], 1.2, lower_is_better=True) == pytest.approx((1 + 0.5) / 2)
    assert np.isnan(area([0, 1], [0.5, 0.4], 0.5))
    assert np.isnan(area([0, 1], [1.2, 1.3], 1.2, lower_is_better=True))
    assert np.isnan(area([0], [0.9], 0.5))
    assert np.isnan(area([1, 1], [0.9, 0.8], 0.5))


def curves(kept: dict[str, dict[str, float]], *, seeds: int = 4, metric: str = "accuracy") -> pd.DataFrame:
    """Straight lines from .9 down to .5 + .4 x kept, by variant and modality; seeds .001 apart in the end."""
    rows = []
    for variant, by_modality in kept.items():
        for modality, share in by_modality.items():
            for seed in range(seeds):
                for amount in (0.0, 1.0):
                    value = 0.9 if amount == 0 else 0.5 + 0.4 * share + 0.001 * (seed if variant == "a" else -seed)
                    rows.append((variant, seed, modality, "missing", amount, metric, value))
    return pd.DataFrame(rows, columns=["variant", "seed", "modality", "disturbance", "amount", "metric", "value"])


FLOOR = dict.fromkeys(range(4), 0.5)


def test_areas_of_a_table_are_those_of_its_curves():
    table = curves({"a": {"text": 0.2, "audio": 0.9}, "b": {"text": 0.6, "audio": 0.9}})
    found = areas(pd.concat([table, table.assign(disturbance="noise", value=0.9)]), FLOOR)
    first = found[(found["seed"] == 0) & (found["disturbance"] == "missing")].set_index(["variant", "modality"])["value"]
    assert first.to_dict() == pytest.approx({("a", "text"): 0.6, ("a", "audio"): 0.95, ("b", "text"): 0.8, ("b", "audio"): 0.95})
    assert set(found[found["disturbance"] == "noise"]["value"]) == {1.0}
    whole = whole_areas(found).query("disturbance == 'missing' and seed == 0").set_index("variant")["value"].to_dict()
    assert whole == pytest.approx({"a": 0.775, "b": 0.875})
    assert list(dict.fromkeys(area_columns(found)["metric"])) == ["text missing", "audio missing", "text noisy", "audio noisy"]


def test_each_seed_has_its_own_floor():
    table = curves({"a": {"text": 0.0}}, seeds=2)
    found = areas(table, {0: 0.5, 1: 0.1}).set_index("seed")["value"]
    assert found[0] == pytest.approx(0.5)
    assert found[1] == pytest.approx((1 + (0.501 - 0.1) / 0.8) / 2)


def test_differences_are_paired_by_seed_and_hold_at_once_or_not():
    apart = areas(curves({"a": {"text": 0.2}, "b": {"text": 0.6}}), FLOOR)
    changes = area_differences(apart, "missing")
    assert changes["a less b"].mean == pytest.approx(-0.2 + 2 * 0.0015 / 0.8)
    assert say_at_once(changes).startswith("Of the one difference of areas 1 found (Holm, 5 %): a less b -.196")
    assert say_robust(apart).startswith("text missing costs most: area .70 (mean over variants")
    assert "most is kept by b, .80: found above 1 of 1 (n = 4, Holm, 5 %)" in say_robust(apart)
    level = areas(curves({"a": {"text": 0.5}, "b": {"text": 0.5}, "c": {"text": 0.5}}, seeds=2), FLOOR)
    assert "Of 3 differences of areas none is found (Holm, 5 %); the largest: a less b +.001 (95 %" in say_at_once(area_differences(level, "missing"))
    assert "not told apart from any of 2" in say_robust(level)


def test_another_pair_that_is_apart_is_no_merit_of_the_best():
    values = {"low": [0.2, 0.21, 0.2, 0.21], "mid": [0.6, 0.6, 0.61, 0.61], "high, but lucky": [3.0, -1.0, 0.9, 0.7]}
    rows = [(name, seed, "text", "missing", value) for name, found in values.items() for seed, value in enumerate(found)]
    found = pd.DataFrame(rows, columns=["variant", "seed", "modality", "disturbance", "value"])
    assert "mid less low" not in say_at_once(area_differences(found, "missing")) and "low less mid -.400" in say_at_once(
        area_differences(found, "missing")
    )
    assert "most is kept by high, but lucky, .90: not told apart from any of 2 (n = 4" in say_robust(found)


def test_what_is_said_of_one_seed_and_of_nothing():
    one = areas(curves({"a": {"text": 0.2}, "b": {"text": 0.6}}, seeds=1), FLOOR)
    assert say_at_once(area_differences(one, "missing")).endswith("a less b -.200 (one seed: no interval).")
    assert say_at_once({}) == "No two areas to compare."
    nothing = areas(curves({"a": {"text": 0.2}}), dict.fromkeys(range(4), 0.95))
    assert say_robust(nothing) == "no undisturbed score is above looking at nothing: there is nothing to lose"
    several = {"x": Difference(0.2, 0.1, 0.3, 0.001, 5), "y": Difference(0.1, -0.1, 0.3, 0.2, 5)}
    said = say_at_once(several)
    assert said.startswith("Of 2 differences of areas 1 found (Holm, 5 %): x +.200") and said.endswith("No difference found for the other 1.")


def test_synthesis_is_held_against_zeros_of_the_same_weights():
    table = curves({"g, synthesis": {"text": 0.9, "audio": 0.2}, "g, zeros": {"text": 0.5, "audio": 0.2}, "a": {"text": 0.1, "audio": 0.1}})
    changes = imputation_differences(areas(table, FLOOR))
    assert {name: round(change.mean, 3) for name, change in changes.items()} == {
        "text missing, g, synthesis less zeros": 0.2,
        "audio missing, g, synthesis less zeros": 0.0,
    }


# Runs of a folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two seeds of late fusion (two settings) and of a generative method; one seed of a third; one modality alone; another data set."""
    from conftest import make_toy

    folder, toy = tmp_path_factory.mktemp("robust-runs"), make_toy()
    for seed in (0, 1):
        plan = {**PLAN, "seed": seed}
        fit("lf_dnn", toy, config=SMALL, plan=plan, runs=folder, variant="joint")
        fit("lf_dnn", toy, config={**SMALL, "post_size": 8}, plan=plan, runs=folder)
        fit("generative.cvae", toy, config=SMALL, plan=plan, runs=folder)
        fit("lf_dnn", toy.select("text"), config=SMALL, plan=plan, runs=folder)
    fit("constraint.low_rank", toy, config=SMALL, plan={**PLAN, "seed": 0}, runs=folder)
    return folder


@pytest.fixture
def with_toy(monkeypatch, toy):
    """The toy data by its name."""
    monkeypatch.setattr(run_sets, "data_of", lambda run: toy)
    monkeypatch.setattr(run_sets, "draws", lambda name, seeds: toy)
    monkeypatch.setattr(run_sets, "is_simulated", lambda name: False)


def test_finished_runs_are_found_and_nothing_is_trained(folder, with_toy, monkeypatch):
    monkeypatch.setattr(run_sets, "trained", lambda *args, **settings: pytest.fail("trained"))
    chosen = chosen_runs("toy", seeds=2, runs=folder)
    assert sorted({run.variant for run in chosen.runs}) == ["generative.cvae", "lf_dnn"] == sorted(chosen.found)
    assert chosen.seeds == [0, 1] and len(chosen.runs) == 4 and chosen.new == ()
    # Of two settings of late fusion the one that is better on valid.
    best = max(("4", "8"), key=lambda size: np.mean([run.metrics["valid"]["acc2_non0"] for run in late(folder, int(size))]))
    assert {run.config["config"]["post_size"] for run in chosen.runs if run.variant == "lf_dnn"} == {int(best)}
    assert chosen.left_out == {"not of all modalities": 2, "not for every seed, or of settings that are worse on valid": 3}
    said = say_chosen(chosen)
    assert "nothing was trained for this page (2 seeds each); 2 runs left out: not of all modalities; 3 runs left out: not for every seed" in said


def late(folder: Path, size: int) -> list[Run]:
    runs = [Run.load(path) for path in folder.iterdir() if path.name.startswith("lf_dnn-")]
    return [run for run in runs if run.config["config"]["post_size"] == size and len(run.config["modalities"]) == 3]


def fake(names, seeds, folder, toy):
    """What a training would give, taken from the folder."""
    runs = [Run.load(path) for path in sorted(folder.iterdir()) if path.name.startswith("generative")]
    return Results([run_sets._called(name, [run])[0] for name in names for run in runs], "acc2_non0")


def test_where_nothing_is_finished_a_small_set_is_trained(folder, with_toy, monkeypatch, tmp_path, toy):
    asked = []

    def train(data, variants, *, seeds, plan, runs):
        asked.append(list(variants))
        return fake(variants, seeds, folder, toy)

    monkeypatch.setattr(run_sets, "trained", train)
    chosen = chosen_runs("toy", seeds=2, runs=tmp_path / "empty")
    assert asked == [list(run_sets.SMALL)] and chosen.new == run_sets.SMALL and chosen.found == ()
    assert say_chosen(chosen).startswith(f"No finished run in {tmp_path / 'empty'} will do; trained for this page: lf_dnn, ")
    # A named method that is there, one that lacks a seed, and the generative one that is always asked.
    chosen = chosen_runs("toy", ["lf_dnn", "constraint.low_rank"], seeds=2, runs=folder)
    assert asked[1] == ["constraint.low_rank"]
    assert set(chosen.found) == {"lf_dnn", "generative.cvae"} and chosen.new == ("constraint.low_rank",)
    chosen = chosen_runs("toy", ["mult"], seeds=2, runs=tmp_path / "empty")
    assert chosen.new == ("mult", "generative.cvae")


def test_a_training_that_fails_takes_its_variant_along(folder, with_toy, monkeypatch, tmp_path, toy):
    failed = [{"variant": "constraint.low_rank", "seed": 1, "error": "out of memory"}]
    monkeypatch.setattr(run_sets, "trained", lambda data, variants, **settings: Results(fake(variants, 2, folder, toy).runs, "acc2_non0", failed))
    assert chosen_runs("toy", ["constraint.low_rank"], seeds=2, runs=tmp_path).new == ("generative.cvae",)
    only = [{"variant": name, "seed": 1, "error": "out of memory"} for name in ("constraint.low_rank", "generative.cvae")]
    monkeypatch.setattr(run_sets, "trained", lambda data, variants, **settings: Results(fake(variants, 2, folder, toy).runs, "acc2_non0", only))
    with pytest.raises(ConfigError, match="none of the trainings has all of 2 seeds"):
        chosen_runs("toy", ["constraint.low_rank"], seeds=2, runs=tmp_path)


def test_runs_of_other_data_and_of_data_that_is_gone_are_left_out(folder, with_toy, monkeypatch, tmp_path, toy):
    monkeypatch.setattr(run_sets, "trained", lambda data, variants, **settings: fake(variants, 2, folder, toy))
    mixed = shutil.copytree(folder, tmp_path / "mixed")
    for path in mixed.glob("lf_dnn-*"):
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**config, "fingerprint": "another"}))
    chosen = chosen_runs("toy", seeds=2, runs=mixed)
    assert chosen.left_out["of other draws or views of the data"] in (1, 4, 5) and len(chosen.found) == 1

    def gone(run):
        raise TrainingError("not here")

    monkeypatch.setattr(run_sets, "data_of", gone)
    chosen = chosen_runs("toy", seeds=2, runs=folder)
    assert chosen.found == () and chosen.left_out["not for every seed, or of data that is not here"] == 7
    assert chosen_runs("another", seeds=2, runs=folder).left_out == {}


def test_curves_areas_and_subsets_of_real_runs(folder, with_toy, toy):
    chosen = chosen_runs("toy", seeds=2, runs=folder)
    assert chosen.floor == {seed: constant_score(toy, "acc2_non0") for seed in (0, 1)}
    table = disturbed(chosen, rates=[0.0, 1.0], noise=[1.0])
    missing = table[table["disturbance"] == "missing"]
    assert set(missing["variant"]) == {"lf_dnn", "generative.cvae, synthesis", "generative.cvae, zeros"}
    assert set(table[table["disturbance"] == "noise"]["variant"]) == {"lf_dnn", "generative.cvae, synthesis"}
    assert set(table["amount"]) == {0.0, 1.0} and not table.duplicated(["variant", "seed", "modality", "disturbance", "amount"]).any()
    # Undisturbed, every curve of a run begins at the score that its training kept.
    for run in chosen.runs:
        start = table[(table["amount"] == 0) & table["variant"].str.startswith(run.variant) & (table["seed"] == run.seed)]["value"]
        assert set(start) == {run.metrics["test"]["acc2_non0"]}
    left = subset_scores(chosen)
    assert len(left) == 4 * 8 and set(left["count"]) == {0, 1, 2, 3}
    for run in chosen.runs:
        own = left[(left["variant"] == run.variant) & (left["seed"] == run.seed)].set_index("left")["value"]
        assert own["text + audio + vision"] == pytest.approx(run.metrics["test"]["acc2_non0"])
        name = f"{run.variant}, synthesis" if run.variant.startswith("generative") else run.variant
        gone = missing[(missing["variant"] == name) & (missing["seed"] == run.seed) & (missing["modality"] == "vision") & (missing["amount"] == 1)]
        assert own["text + audio"] == pytest.approx(gone["value"].iloc[0])  # two ways to ask the same thing
    found = areas(table.assign(value=table["value"].clip(lower=0.01)), dict.fromkeys((0, 1), 0.0))
    for figure in (disturbed_lines(table, found), disturbed_lines(table, found, kind="noise"), area_dots(found), subset_dots(left, floor=0.5)):
        assert caption_of(figure)
    assert "text missing" in str(score_table(area_columns(found), metrics=["text missing"]).frame)


def test_simulated_data_is_drawn_at_the_size_that_is_asked(monkeypatch, tmp_path):
    def stop(data, variants, **settings):
        assert {seed: len(one["train"]) for seed, one in data.items()} == {0: 20, 1: 20}
        assert (len(data[0]["valid"]), len(data[0]["test"])) == (10, 25)
        raise TrainingError("far enough")

    monkeypatch.setattr(run_sets, "trained", stop)
    with pytest.raises(TrainingError, match="far enough"):
        chosen_runs("opinions/balanced", seeds=2, samples=20, runs=tmp_path)


def test_simulated_data_of_finished_runs_is_drawn_again(monkeypatch, tmp_path):
    data = draws("opinions/balanced", 2, train=20, valid=10, test=25)
    for seed, name in product((0, 1), ("lf_dnn", "generative.cvae")):
        fit(name, data[seed], config=SMALL, plan={**PLAN, "seed": seed}, runs=tmp_path)
    monkeypatch.setattr(run_sets, "trained", lambda *args, **settings: pytest.fail("trained"))
    chosen = chosen_runs("opinions/balanced", seeds=2, runs=tmp_path)
    assert set(chosen.found) == {"lf_dnn", "generative.cvae"}
    assert {seed: fingerprint(one) for seed, one in chosen.data.items()} == {seed: fingerprint(one) for seed, one in data.items()}
    assert set(chosen.floor) == {0, 1}


def test_chosen_says_one_seed():
    run = Run(Path("x"), {"plan": {"seed": 3}, "variant": "a"}, {})
    assert "(one seed each: no intervals); 1 run left out: too old." in say_chosen(Chosen([run], {}, "mae", ("a",), (), {"too old": 1}, "runs"))
