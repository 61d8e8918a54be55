"""Comparisons: every variant with every seed, nothing twice, and a failure is not the end of the others."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats

from workbench import experiments, fitting, recording
from workbench.data.batch import Column, Dataset
from workbench.errors import ConfigError, TrainingError
from workbench.experiments import Results, compare
from workbench.runs import Run, load_all

SMALL = {"method": "lf_dnn", "config": {"hidden_size": 4, "post_size": 4}}
PLAN = {"epochs": 1, "device": "cpu"}


def small(**settings: Any) -> dict[str, Any]:
    return {**SMALL, **settings}


def saved(variant: str, seed: int, score: float) -> Run:
    """A run that nobody trained."""
    return Run(
        Path(f"{variant}-{seed}"), {"variant": variant, "plan": {"seed": seed}}, {"test": {"mae": score, "corr": -score}, "valid": {"mae": 2 * score}}
    )


def spoil(data: Dataset) -> Dataset:
    """The data with a training loss that is no number."""
    column = data["train"].columns["text"]
    train = replace(data["train"], columns={**data["train"].columns, "text": Column(torch.full_like(column.values, torch.nan), column.offsets)})
    return replace(data, splits={**data.splits, "train": train})


@pytest.fixture
def go(tmp_path: Path) -> Callable[..., Results]:
    """`compare` in this process."""

    def run(data: Any, variants: dict[str, Any], **settings: Any) -> Results:
        return compare(data, variants, **{"plan": PLAN, "runs": tmp_path, "workers": 1, "has_progress": False, **settings})

    return run


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(variant's modalities, seed) of every training that was really done."""
    names, run = [], fitting.Progress.run

    def count(self: Any, on_epoch: Any) -> None:
        names.append((",".join(self.data.modalities), self.wanted.plan.seed))
        run(self, on_epoch)

    monkeypatch.setattr(fitting.Progress, "run", count)
    return names


# Training


def test_every_variant_with_every_seed(go, toy, trained):
    found = go(toy, {"joint": small(), "text alone": small(modalities=["text"])}, seeds=2)
    assert [(run.variant, run.seed) for run in found.runs] == [("joint", 0), ("joint", 1), ("text alone", 0), ("text alone", 1)]
    assert trained == [("text,audio,vision", 0), ("text,audio,vision", 1), ("text", 0), ("text", 1)]
    assert found.failed == []
    assert found.headline == "acc2_non0"


def test_seeds_may_be_chosen(go, toy):
    assert [run.seed for run in go(toy, {"joint": small()}, seeds=[7, 3]).runs] == [7, 3]


def test_a_run_of_a_comparison_is_that_of_fit(go, toy, tmp_path):
    found = go(toy, {"mine": small(balance="b_fusion")}, seeds=[4]).runs[0]
    alone = fitting.fit("lf_dnn", toy, config=SMALL["config"], balance="b_fusion", plan={**PLAN, "seed": 4}, runs=tmp_path / "other")
    assert found.metrics["test"] == alone.metrics["test"]
    assert found.id == alone.id


def test_finished_runs_are_found_again(go, toy, trained, tmp_path):
    first = go(toy, {"joint": small()}, seeds=2)
    second = go(toy, {"joint": small(), "text": small(modalities=["text"])}, seeds=3)
    assert trained == [("text,audio,vision", 0), ("text,audio,vision", 1), ("text,audio,vision", 2), ("text", 0), ("text", 1), ("text", 2)]
    assert [run.path for run in second.only("joint").runs[:2]] == [run.path for run in first.runs]
    assert len(load_all(tmp_path)) == 6


def test_a_run_found_again_has_the_name_that_was_asked_for(go, toy, trained):
    go(toy, {"joint": small()}, seeds=1)
    found = go(toy, {"baseline": small(), "twin": small()}, seeds=1)
    assert len(trained) == 1
    assert found.scores(metrics=["mae"])["variant"].tolist() == ["baseline", "twin"]
    assert found.difference("twin", "baseline").mean == 0
    assert set(found.frames["history"]["variant"]) == {"baseline", "twin"}


@pytest.mark.parametrize("change", [{"config": {"hidden_size": 5, "post_size": 4}}, {"plan": {"epochs": 2}}, {"balance": "b_fusion"}])
def test_another_setting_is_another_run(go, toy, trained, change):
    go(toy, {"joint": small()}, seeds=1)
    go(toy, {"joint": small(**change)}, seeds=1)
    assert len(trained) == 2


def test_other_data_of_the_same_name_is_another_run(go, toy, toy_maker, trained):
    go(toy, {"joint": small()}, seeds=1)
    go(toy_maker(seed=1), {"joint": small()}, seeds=1)
    assert len(trained) == 2


def test_a_variants_plan_wins_over_the_common_one(go, toy):
    found = go(toy, {"one": small(), "two": small(plan={"epochs": 2})}, seeds=1)
    assert [run.metrics["epochs"] for run in found.runs] == [1, 2]


def test_each_seed_may_have_its_own_data(go, toy_maker):
    data = {seed: toy_maker(seed=seed) for seed in (0, 1)}
    found = go(data, {"joint": small()}, seeds=2)
    assert [run.config["fingerprint"] for run in found.runs] == [recording.fingerprint(data[0]), recording.fingerprint(data[1])]


def test_two_workers_give_the_numbers_of_one(go, toy, tmp_path):
    variants = {"joint": small(), "text": small(modalities=["text"])}
    try:
        found = go(toy, variants, seeds=2, workers=2, runs=tmp_path / "two")
    finally:
        experiments._pool(2).shutdown()
        experiments._pool.cache_clear()
    alone = go(toy, variants, seeds=2, runs=tmp_path / "one")
    assert [(run.variant, run.seed) for run in found.runs] == [("joint", 0), ("joint", 1), ("text", 0), ("text", 1)]
    for one, other in zip(alone.runs, found.runs, strict=True):
        assert other.metrics["test"] == pytest.approx(one.metrics["test"], abs=1e-6)


# Failing


def test_a_failing_run_is_recorded_and_the_others_are_kept(go, toy):
    found = go({0: toy, 1: spoil(toy), 2: toy}, {"joint": small(), "audio": small(modalities=["audio"])}, seeds=3)
    assert [(run.variant, run.seed) for run in found.runs] == [("joint", 0), ("joint", 2), ("audio", 0), ("audio", 1), ("audio", 2)]
    assert [(row["variant"], row["seed"]) for row in found.failed] == [("joint", 1)]
    assert "the loss became nan in epoch 1" in found.failed[0]["error"]
    assert found.difference("joint", "audio").n == 2


def test_when_every_run_fails_the_first_reason_is_said(go, toy):
    with pytest.raises(TrainingError, match="all 2 runs failed; the first: the loss became nan"):
        go(spoil(toy), {"joint": small()}, seeds=2)


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (small(method="lf_dn"), 'unknown method "lf_dn". Did you mean lf_dnn'),
        (small(balance="bfusion"), 'unknown balancing rule "bfusion". Did you mean b_fusion'),
        (small(config={"hiden_size": 4}), 'no setting "hiden_size". Did you mean hidden_size'),
        (small(plan={"epoch": 4}), 'no setting "epoch". Did you mean epochs'),
        (small(modalities=["audo"]), 'unknown modality "audo". Did you mean audio'),
    ],
)
def test_a_typo_is_found_before_the_first_training(go, toy, trained, variant, message):
    with pytest.raises(ConfigError, match=message):
        go(toy, {"good": small(), "wrong": variant}, seeds=2)
    assert trained == []


@pytest.mark.parametrize(("variants", "seeds"), [({}, 2), ({"joint": SMALL}, 0), ({"joint": SMALL}, [])])
def test_nothing_to_compare(go, toy, variants, seeds):
    with pytest.raises(ConfigError, match="at least one variant and one seed"):
        go(toy, variants, seeds=seeds)


def test_ctrl_c_stops_a_comparison_and_keeps_what_is_finished(go, toy, monkeypatch, tmp_path):
    run = fitting.Progress.run

    def interrupted(self: Any, on_epoch: Any) -> Iterator[None]:
        if self.wanted.plan.seed == 1:
            raise KeyboardInterrupt
        run(self, on_epoch)

    monkeypatch.setattr(fitting.Progress, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        go(toy, {"joint": small()}, seeds=3)
    assert [run.seed for run in load_all(tmp_path)] == [0]


def test_how_many_processes_is_said_by_the_surroundings(monkeypatch):
    monkeypatch.setenv("WORKBENCH_WORKERS", "3")
    assert experiments.default_workers() == 3
    monkeypatch.setenv("WORKBENCH_WORKERS", "many")
    with pytest.raises(ConfigError, match="WORKBENCH_WORKERS=many is no number"):
        experiments.default_workers()
    monkeypatch.delenv("WORKBENCH_WORKERS")
    assert experiments.default_workers() >= 1


# Results


@pytest.fixture
def results() -> Results:
    scores = {"before": {0: 0.5, 1: 0.7, 2: 0.9, 3: 0.1}, "after": {2: 1.0, 0: 0.55, 1: 0.72}}
    runs = [saved(variant, seed, value) for variant, values in scores.items() for seed, value in values.items()]
    return Results(runs, "mae", [{"variant": "after", "seed": 3, "error": "disk full"}])


def test_a_difference_is_paired_by_seed_over_seeds_that_both_have(results):
    found = results.difference("after", "before")
    expected = stats.ttest_rel([0.55, 0.72, 1.0], [0.5, 0.7, 0.9])
    assert (found.n, found.p) == (3, pytest.approx(expected.pvalue))
    assert found.mean == pytest.approx((0.05 + 0.02 + 0.1) / 3)


def test_a_difference_of_another_metric_or_split(results):
    assert results.difference("after", "before", metric="corr").mean == pytest.approx(-(0.05 + 0.02 + 0.1) / 3)
    assert results.difference("after", "before", split="valid").mean == pytest.approx(2 * (0.05 + 0.02 + 0.1) / 3)


@pytest.mark.parametrize(("after", "before"), [("afterr", "before"), ("after", "afterr")])
def test_an_unknown_variant_names_the_known(results, after, before):
    with pytest.raises(ConfigError, match=r'no finished run of the variant "afterr"[\s\S]*after, before'):
        results.difference(after, before)


def test_scores_have_one_row_a_number(results):
    found = results.scores("test")
    assert list(found) == ["variant", "seed", "split", "metric", "value"]
    assert len(found) == 14
    only = results.scores("valid", metrics=["mae"])
    assert only["value"].tolist() == [1.0, 1.4, 1.8, 0.2, 2.0, 1.1, 1.44]


def test_only_some_variants(results):
    found = results.only("after")
    assert {run.variant for run in found.runs} == {"after"}
    assert found.failed == results.failed
    assert results.only("before").failed == []


def test_results_add_up(results):
    found = results.only("before") + results.only("after")
    assert len(found.runs) == 7
    assert found.failed == results.failed
    assert found.headline == "mae"


def test_traced_quantities(go, toy):
    found = go(toy, {"joint": small()}, seeds=1).steps("last_layer")
    assert set(found) == {"variant", "seed", "epoch", "modality", "value"}
    assert set(found["modality"]) == {"text", "audio", "vision"}
    assert (found["value"] > 0).all()


def test_variants_without_method_and_seeds_without_data_are_named(toy, tmp_path):
    with pytest.raises(ConfigError, match='the variant "joint" names no method'):
        compare(toy, {"joint": {}}, seeds=1, runs=tmp_path)
    with pytest.raises(ConfigError, match="there is no data for seed 1"):
        compare({0: toy}, {"joint": {"method": "lf_dnn"}}, seeds=2, runs=tmp_path)


def test_any_error_of_a_run_is_its_outcome(toy, tmp_path, monkeypatch):
    train = fitting.fit

    def out_of_memory(method, data, **settings):
        if settings["plan"]["seed"] == 1:
            raise RuntimeError("CUDA out of memory")
        return train(method, data, **settings)

    monkeypatch.setattr(fitting, "fit", out_of_memory)
    results = compare(toy, {"joint": {"method": "lf_dnn"}}, seeds=2, plan={"epochs": 1}, runs=tmp_path, workers=1)
    assert [run.seed for run in results.runs] == [0]
    assert "RuntimeError: CUDA out of memory" in results.failed[0]["error"]


def test_workers_map_what_lies_in_files(toy, tmp_path, monkeypatch):
    """A data set larger than memory goes to the workers as the places of its files."""
    from workbench.data import scratch
    from workbench.data.scaling import standardise

    monkeypatch.setattr(scratch, "LARGE", 1)
    mapped = standardise(toy, toy.modalities)
    assert mapped["train"].columns["audio"].is_mapped
    variants = {"one": {"method": "lf_dnn", "config": {"hidden_size": 4, "post_size": 4}}}
    results = compare(mapped, variants, seeds=2, plan={"epochs": 1}, runs=tmp_path, workers=2, has_progress=False)
    assert len(results.runs) == 2
