"""The notebooks' questions, on data so small that only the answers' form and the arithmetic are tested."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from scipy import stats

from workbench import fitting, recording, studies
from workbench.balance import b_fusion
from workbench.data.batch import Dataset
from workbench.data.card import card
from workbench.errors import ConfigError, MissingDataError
from workbench.experiments import Results
from workbench.model import FusionModel
from workbench.runs import Run

SIZES = {"samples": 60, "valid": 40, "test": 40}
PLAN = {"epochs": 2, "device": "cpu", "batch_size": 32}
SMALL = {"hidden_size": 4, "post_size": 4, "embedding_size": 4}


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons train in this process: a worker takes seconds to start."""
    monkeypatch.setattr("workbench.experiments.usable_cores", lambda: 1)


@pytest.fixture(scope="module")
def data() -> dict[int, Dataset]:
    return studies.draws("opinions/starved", 2, **SIZES)


@pytest.fixture(scope="module")
def results(data: dict[int, Dataset], tmp_path_factory: pytest.TempPathFactory) -> Results:
    """`imbalance` with SGD, two seeds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workbench.experiments.usable_cores", lambda: 1)
        # SGD's own plan is for 200 epochs
        patch.setattr(studies, "SGD", {**studies.SGD, "epochs": 2})
        return studies.imbalance(data, seeds=2, plan=PLAN, has_sgd=True, runs=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def awf(data: dict[int, Dataset], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fitting.fit("awf", data[0], config=SMALL, plan=PLAN, runs=tmp_path_factory.mktemp("awf"))


def saved(variant: str, seed: int, score: float) -> Run:
    """A run that nobody trained."""
    return Run(Path(f"{variant}-{seed}"), {"variant": variant, "plan": {"seed": seed}}, {"test": {"acc2_non0": score, "mae": 1 - score}})


# Data


def test_simulated_data_is_drawn_anew_for_each_seed(data):
    assert sorted(data) == [0, 1]
    assert [len(data[0][split]) for split in ("train", "valid", "test")] == [60, 40, 40]
    assert not torch.equal(data[0]["train"].target, data[1]["train"].target)
    assert list(studies.draws("opinions/starved", [7], **SIZES)) == [7]
    again = studies.draws("opinions/starved", [1], **SIZES)[1]
    assert recording.fingerprint(again) == recording.fingerprint(data[1])


def test_other_data_is_one_for_all_seeds():
    digits = studies.draws("digits", 3)
    assert isinstance(digits, Dataset)
    assert studies.any_draw(digits) is digits


def test_any_draw_is_one_of_them(data):
    assert studies.any_draw(data) is data[0]


def test_the_ceiling_is_that_of_each_modality_and_of_all(data):
    ceiling = studies.ceiling_of(data, "acc2_non0")
    assert list(ceiling) == ["text", "audio", "vision", "all"] or set(ceiling) == {"text", "audio", "vision", "all"}
    assert ceiling == {name: data[0].ceiling[name]["acc2_non0"] for name in ceiling}
    assert max(ceiling.values()) == ceiling["all"]
    assert studies.ceiling_of(data, "no such metric") == {}


def test_real_data_has_no_ceiling(toy):
    assert studies.ceiling_of(toy, "acc2_non0") == {}


# What is on this machine


def test_the_first_that_is_here():
    assert studies.first_available(["mosi", "opinions/starved", "digits"]) == "opinions/starved"


def test_none_is_here():
    with pytest.raises(MissingDataError, match=r"none of mosi_utterance, mosi is on this machine[\s\S]*workbench data fetch mosi_utterance"):
        studies.first_available(["mosi_utterance", "mosi"])


def test_what_is_not_here_is_left_out_with_a_line_that_brings_it(monkeypatch):
    pytest.importorskip("IPython", reason="needs the extra: pip install -e .[lab]")
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda found: shown.append(found.data))
    assert studies.here(["mosi_utterance", "opinions/starved", "mosi", "digits"]) == ["opinions/starved", "digits"]
    assert len(shown) == 2
    assert all(f"`workbench data fetch {name}`" in line for name, line in zip(["mosi_utterance", "mosi"], shown, strict=True))


# Imbalance


def test_each_modality_alone_joint_and_balanced(results):
    variants = list(dict.fromkeys(run.variant for run in results.runs))
    adam = ["joint", "joint + B-fusion", "joint + exact B-fusion"]
    assert variants == ["text alone", "audio alone", "vision alone", *adam, *[f"{name} (SGD)" for name in adam]]
    assert results.failed == []
    by_name = {run.variant: run.config for run in results.runs if run.seed == 0}
    assert [by_name[f"{name} alone"]["modalities"] for name in ("text", "audio", "vision")] == [["text"], ["audio"], ["vision"]]
    assert [by_name[name]["balance"] for name in adam] == [None, "b_fusion", "b_fusion"]
    assert [by_name[name]["balance_config"].get("update") for name in adam] == [None, "first_order", "exact"]
    assert by_name["joint (SGD)"]["plan"]["optimizer"] == "sgd"
    assert by_name["joint"]["plan"]["optimizer"] == "adam"
    assert by_name["joint + B-fusion (SGD)"]["balance_config"]["rate"] == b_fusion.FOR_SGD["rate"]
    assert by_name["joint + B-fusion"]["balance_config"]["rate"] != b_fusion.FOR_SGD["rate"]


def test_the_default_leaves_sgd_out(data, monkeypatch):
    asked: dict[str, Any] = {}
    monkeypatch.setattr(studies, "compare", lambda found, variants, **settings: asked.update(variants, **settings))
    studies.imbalance(data, method="lf_lstm", seeds=3, plan=PLAN, runs="somewhere")
    assert [name for name in asked if "SGD" in name] == []
    assert asked["joint"] == {"method": "lf_lstm", "balance": "none", "plan": {}}
    assert (asked["seeds"], asked["plan"], asked["runs"]) == (3, PLAN, "somewhere")


def test_scores_alone_and_joint(results):
    frame = studies.alone_and_joint(results.only("text alone", "joint"))
    assert list(frame["variant"]) == ["text alone"] * 2 + ["joint"] * 2
    assert list(frame["kind"]) == ["alone"] * 2 + ["joint"] * 2
    assert list(frame["label"]) == ["text"] * 2 + ["joint"] * 2
    assert list(frame["seed"]) == [0, 1, 0, 1]
    assert list(frame["value"]) == [run.metrics["test"]["acc2_non0"] for run in results.only("text alone", "joint").runs]


def test_scores_of_another_metric_and_split(results):
    frame = studies.alone_and_joint(results.only("joint"), split="valid", metric="mae")
    assert list(frame["value"]) == [run.metrics["valid"]["mae"] for run in results.only("joint").runs]


def test_titles_are_the_metrics_names_for_people():
    assert studies.titles(["acc2_non0", "mae"]) == ["Acc-2 (negative / positive)", "MAE"]
    assert studies.titles(["mae"], "mosi") == ["mosi: MAE"]


def test_scores_carry_their_titles():
    found = Results([saved("joint", 0, 0.75)], "acc2_non0")
    assert studies.titled_scores(found)[["metric", "value"]].values.tolist() == [["Acc-2 (negative / positive)", 0.75]]
    assert {"parameters", "seconds"} <= set(studies.titled_scores(found))
    both = studies.titled_scores(found, "mosi", metrics=["acc2_non0", "mae"])
    assert both["metric"].tolist() == studies.titles(["acc2_non0", "mae"], "mosi")


def test_an_effect_is_said_with_names_and_numbers():
    before, after = [0.60, 0.62, 0.61], [0.70, 0.73, 0.72]
    runs = [saved(name, seed, value) for name, values in (("joint", before), ("balanced", after)) for seed, value in enumerate(values)]
    said = studies.say_effect(Results(runs, "acc2_non0"), "balanced", "joint")
    assert said.index("balanced") < said.index("joint")
    assert ".107" in said  # (.10 + .11 + .11) / 3
    assert stats.ttest_rel(after, before).pvalue < 0.05  # so it may be said
    assert "no difference" not in said


def test_seconds_leave_the_first_epoch_out(results):
    frame = studies.seconds_per_epoch(results.only("joint"))
    assert list(frame["metric"].unique()) == ["s/epoch"]
    for value, run in zip(frame["value"], results.only("joint").runs, strict=True):
        first, second = run.trace["history"]["seconds"].values
        assert value == second != first


# Dials


def test_dials_by_modality_and_single():
    assert studies._dials(("hardness.audio+vision", 0.5), ("names", 10)) == {"hardness": {"audio": 0.5, "vision": 0.5}, "names": 10}
    assert studies._dials(("hardness.audio", 0.5), ("hardness.vision", 0.1)) == {"hardness": {"audio": 0.5, "vision": 0.1}}


def test_the_effect_over_dials_is_paired_by_seed(tmp_path, monkeypatch):
    draws = studies.draws
    monkeypatch.setattr(studies, "draws", lambda name, seeds, **dials: draws(name, seeds, **SIZES, **dials))
    plan = {**PLAN, "learning_rate": 0.02, "epochs": 5}
    (row,) = studies.effect_over_dials(("hardness.audio+vision", [0.5]), ("names", [10]), seeds=2, plan=plan, runs=tmp_path).to_dict("records")
    assert (row["x"], row["y"]) == (0.5, 10)
    found: dict[str, dict[int, float]] = {"joint": {}, "balanced": {}}
    for path in tmp_path.iterdir():
        run = Run.load(path)
        found[run.variant][run.seed] = run.metrics["test"]["acc2_non0"]
        assert run.config["notes"]["options"]["names"] == 10
        assert run.config["notes"]["options"]["hardness"] == {"audio": 0.5, "vision": 0.5}
    change = pd.Series(found["balanced"]) - pd.Series(found["joint"])
    assert change.mean() != 0, "nothing to see at this size"
    assert row["value"] == pytest.approx(change.mean())
    assert row["joint"] == pytest.approx(sum(found["joint"].values()) / 2)
    assert row["low"] <= row["value"] <= row["high"]
    assert row["ceiling"] == draws("opinions/starved", [0], **SIZES, names=10, hardness={"audio": 0.5, "vision": 0.5})[0].ceiling["all"]["acc2_non0"]


# A-fusion anew


def test_only_a_fusion_is_trained_anew(awf, data, monkeypatch):
    seen: list[FusionModel] = []
    training = studies.training

    def watching(model: FusionModel, *arguments: Any, **settings: Any) -> Any:
        seen.append(model)
        return training(model, *arguments, **settings)

    monkeypatch.setattr(studies, "training", watching)
    table = studies.weigh_anew(awf, data[0], seeds=2, plan={"epochs": 3})
    trained = awf.model().state_dict()
    assert len(seen) == len(table) == 2
    for model in seen:
        changed = {name for name, value in model.state_dict().items() if not torch.equal(value.cpu(), trained[name])}
        assert changed == {"fusion.attention.hidden.weight", "fusion.attention.output.weight"}
    first, second = (model.fusion.attention.output.weight for model in seen)
    assert not torch.equal(first, second)


def test_a_row_says_ratio_alpha_and_scores(awf, data):
    table = studies.weigh_anew(awf, data[0], seeds=1)
    alpha = table[["alpha text", "alpha audio", "alpha vision"]].iloc[0]
    assert alpha.between(0, 1).all()
    said = [float(part) for part in table["ratio"].iloc[0].split(" : ")]
    assert said == pytest.approx((alpha / alpha.sum()).tolist(), abs=0.0051)
    assert {"seed", "acc2_non0", "mae", "corr"} <= set(table)


@pytest.mark.parametrize(("method", "config"), [("lf_dnn", SMALL), ("awf", {**SMALL, "a_fusion": False})])
def test_without_a_fusion_there_is_nothing_to_train_anew(method, config, data, tmp_path):
    run = fitting.fit(method, data[0], config=config, plan={**PLAN, "epochs": 1}, runs=tmp_path)
    with pytest.raises(ConfigError, match=r"has no A-fusion to train anew[\s\S]*a run of awf with a_fusion=True"):
        studies.weigh_anew(run, data[0])


# Published


def test_published_rows_of_the_paper():
    rows = studies.published("mosi", ["lf_dnn+b_fusion", "awf/sgd"])
    assert list(rows) == ["variant", "metric", "value", "source", "card"] and set(rows["card"]) == {"mosi"}
    # AWF, Table 3: LF-DNN (B) 79.42; Table 7: SGD 86.28 / 86.38
    scores = {(row.variant, row.metric): row.value for row in rows.itertuples()}
    assert scores == {
        ("lf_dnn+b_fusion in AWF Table 3", "acc2_non0"): 0.7942,
        ("awf/sgd in AWF Table 7", "acc2_non0"): 0.8628,
        ("awf/sgd in AWF Table 7", "f1_non0"): 0.8638,
    }


def test_numbers_of_several_papers_for_one_method_keep_their_rows():
    rows = studies.published("mosi", ["lf_dnn", "mag_bert"]).query("metric == 'acc2_non0'")
    assert dict(zip(rows["variant"], rows["value"], strict=True)) == {
        "lf_dnn in MMSA": 0.7863,
        "lf_dnn in AWF Table 1": 0.7668,
        "mag_bert in AWF Table 4, quoted from Self-MM": 0.843,
        "mag_bert in AWF Table 4, rerun by the authors": 0.8354,
    }
    assert not studies.published("mosi").duplicated(["variant", "metric"]).any()


def test_what_is_not_as_here_stands_in_the_source():
    rows = studies.published("mosi", ["lf_dnn/text", "lf_lstm"])
    assert rows[["variant", "source"]].values.tolist() == [
        ["lf_dnn/text in AWF Table 1", "other features"],
        ["lf_lstm in AWF Table 1", "other features, modalities"],
    ]


def test_all_published_rows_unless_some_are_asked_for():
    assert len(studies.published("mosi")) == sum(len(row.scores) for row in card("mosi").published)
    nothing = studies.published("mosi", ["no such method"])
    assert len(nothing) == 0
    assert list(nothing) == ["variant", "metric", "value", "source", "card"]


def test_data_that_nobody_published_on_has_no_rows():
    assert studies.published("opinions/starved").empty


def test_published_rows_of_another_variant_say_so():
    def said(dataset: str) -> dict[str, str]:
        rows = studies.published(dataset, ["lf_dnn", "mfn", "misa"]).query("variant.str.endswith('MMSA')", engine="python")
        return dict(zip(rows["variant"], rows["source"], strict=True))

    assert said("mosi_mmsa") == {
        "lf_dnn in MMSA": "comparable",
        "mfn in MMSA": "other alignment",
        "misa in MMSA": "other text model",
    }
    assert said("mosi_mmsa/aligned") == {
        "lf_dnn in MMSA": "other alignment",
        "mfn in MMSA": "comparable",
        "misa in MMSA": "other text model, alignment",
    }
    with pytest.raises(ConfigError, match='unknown variant "alligned". Did you mean aligned'):
        studies.published("mosi_mmsa/alligned")
