"""The questions of 09_imbalance_lab: what is trained, who is compared with whom, and sentences about numbers whose answer is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from workbench import figures, rules_lab, studies
from workbench.errors import DataError
from workbench.experiments import Results
from workbench.figures import caption_of
from workbench.probes.linear import probe_runs
from workbench.runs import Run

RULES = ["b_fusion", "uniform"]


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons train in this process: a worker takes seconds to start."""
    monkeypatch.setattr("workbench.experiments.usable_cores", lambda: 1)


class Scored(Run):
    """A run that nobody trained: a score on valid and on test, and traces."""

    @property
    def trace(self):
        return self.config["trace"]


def saved(variant: str, seed: int, *, valid: float, test: float, trace: dict | None = None) -> Scored:
    scores = {"valid": {"acc2_non0": valid}, "test": {"acc2_non0": test}, "best_epoch": 2}
    return Scored(Path(f"{variant}-{seed}"), {"variant": variant, "plan": {"seed": seed}, "trace": trace}, scores)


def results(**by_variant: float) -> Results:
    """Four seeds around each variant's score; the same noise in all but a little."""
    runs = [
        saved(name.replace("_alone", " alone"), seed, valid=value, test=value + 0.01 * seed + 0.001 * ((3 * seed + place) % 4))
        for place, (name, value) in enumerate(by_variant.items())
        for seed in range(4)
    ]
    return Results(runs, "acc2_non0")


# What is trained


def test_every_variant_has_one_plan_and_differs_in_its_rule():
    data = studies.draws("opinions/starved", 1, train=20, valid=20, test=20)
    found = rules_lab.variants(data, "lmf", RULES)
    assert list(found) == ["text alone", "audio alone", "vision alone", "none", "b_fusion", "uniform"]
    assert found["audio alone"] == {"preset": "none", "plan": {}, "method": "lf_dnn", "modalities": ["audio"], "balance": "none"}
    assert found["b_fusion"] == {"preset": "none", "plan": {}, "method": "lmf", "balance": "b_fusion"}
    assert set(rules_lab.RULES) == {"b_fusion", "uniform", "ogm_ge", "gradient_blending", "adaptive_tracking", "grad_norm"}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """None and two rules on tiny opinions, over two seeds, with both optimizers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workbench.experiments.usable_cores", lambda: 1)
        data = rules_lab.lab_data(["opinions/starved"], 2, samples=40)
        settings = {"rules": RULES, "seeds": 2, "plan": {"epochs": 2}, "runs": tmp_path_factory.mktemp("runs")}
        trained = rules_lab.with_rules(data, ["lf_dnn"], **settings)
        optimised = rules_lab.with_optimizers(data["opinions/starved"], "lf_dnn", **settings)
        return data, trained, optimised, settings


def test_data_is_drawn_anew_for_each_seed_in_the_size_asked(small):
    data, *_ = small
    assert {seed: {name: len(split) for name, split in one.splits.items()} for seed, one in data["opinions/starved"].items()} == {
        seed: {"train": 40, "valid": 20, "test": 50} for seed in (0, 1)
    }


def test_both_optimizers_share_what_the_rules_trained(small):
    _, trained, optimised, settings = small
    assert {run.config["plan"]["optimizer"] for run in optimised["SGD"].runs} == {"sgd"}
    assert {run.config["plan"]["epochs"] for found in optimised.values() for run in found.runs} == {2}
    with_adam = {run.id for run in optimised["Adam"].runs}
    assert with_adam < {run.id for run in trained["opinions/starved", "lf_dnn"].runs}
    assert len(list(settings["runs"].iterdir())) == 2 * (3 + 3 + 3)  # each modality alone, none and two rules, and those with SGD
    config = next(run.config["balance_config"] for run in optimised["SGD"].only("b_fusion").runs)
    assert (config["rate"], config["min_weight"]) == (0.001, 0.3)


def test_a_map_cell_on_the_presets_own_dials_trains_nothing_twice(small):
    *_, settings = small
    before = len(list(settings["runs"].iterdir()))
    dials = ("hardness.audio+vision", [0.95]), ("informativeness.audio", [0.95])
    found = rules_lab.effects_over_dials(*dials, **settings, **rules_lab.sizes(40))
    assert len(list(settings["runs"].iterdir())) == before
    assert list(found["variant"]) == RULES and set(found["x"]) == set(found["y"]) == {0.95}
    assert "helps in" in caption_of(figures.effect_maps(found))


def test_every_figure_of_the_page_takes_its_table(small):
    data, trained, optimised, _ = small
    found = rules_lab.effects(trained)
    assert "opinions/starved, lf_dnn:" in caption_of(figures.rule_effects(found))
    (ceiling,) = rules_lab.ceilings(data, trained).values()
    assert ceiling == data["opinions/starved"][0].ceiling["all"]["acc2_non0"]
    table = figures.rules_table(rules_lab.lab_scores(trained), found, ceiling={"opinions/starved": ceiling})
    assert [name.removesuffix(" †") for name in table.frame["rule"]] == [
        "text alone",
        "audio alone",
        "vision alone",
        "none",
        *RULES,
        "ceiling: best attainable",
    ]
    assert "Adam, against no rule" in caption_of(figures.magnitude_ratios(rules_lab.magnitudes(optimised)))
    assert "The paper (its model, MOSI, one number each): SGD +.018, Adam +.008" in rules_lab.say_table_7(optimised)
    ran = trained["opinions/starved", "lf_dnn"]
    gaps = rules_lab.head_gaps(ran)
    assert set(gaps["variant"]) == {"uniform"} and set(gaps["modality"]) == {"text", "audio", "vision"} and set(gaps["epoch"]) == {1, 2}
    assert "uniform, last epoch" in caption_of(figures.head_gaps(gaps))
    probes = probe_runs(ran.only("none", *RULES).runs, data["opinions/starved"]).query("metric == 'acc2_non0'")
    assert "pairs of modality and rule" in caption_of(figures.probes_by_rule(probes, metric="Acc-2"))
    with pytest.raises(DataError, match="no rule of these runs has heads"):
        rules_lab.head_gaps(ran.only("none", "b_fusion"))


# Who is compared with whom


def test_text_alone_is_the_reference_even_where_another_modality_is_better():
    assert rules_lab.reference(results(text_alone=0.6, audio_alone=0.9, none=0.7)) == "text alone"


def test_without_text_it_is_the_single_modality_that_is_best_on_valid():
    runs = [saved("image alone", 0, valid=0.9, test=0.1), saved("vector alone", 0, valid=0.8, test=0.99), saved("none", 0, valid=0.9, test=0.9)]
    assert rules_lab.reference(Results(runs, "acc2_non0")) == "image alone"


def test_where_another_modality_is_better_alone_than_the_text_it_is_said():
    case = {("opinions", "lf_dnn"): results(text_alone=0.6, audio_alone=0.8, none=0.7, b_fusion=0.9, uniform=0.8)}
    assert "On opinions the best modality alone is not the text but audio (.81" in rules_lab.say_best_single(case)
    assert rules_lab.say_best_single(case).endswith("with lf_dnn above it b_fusion (+.100) (of 2).")
    worse = {("opinions", "lf_dnn"): results(text_alone=0.6, audio_alone=0.8, none=0.7, b_fusion=0.7)}
    assert rules_lab.say_best_single(worse).endswith("above it no rule is found (of 1).")
    assert (
        rules_lab.say_best_single({("o", "m"): results(text_alone=0.8, audio_alone=0.6, none=0.7)})
        == "Where there is text, it is the best modality alone."
    )
    order = rules_lab.lab_scores({("o", "m"): results(image_alone=0.6, text_alone=0.5, none=0.7)})["variant"]
    assert list(dict.fromkeys(order)) == ["text alone", "image alone", "none"]


def test_rules_are_judged_by_family():
    found = rules_lab.effects({("opinions", "lf_dnn"): results(text_alone=0.80, none=0.75, b_fusion=0.90, uniform=0.85, ogm_ge=0.75)})
    verdicts = {(row.kind, row.rule): row.verdict for row in found.itertuples()}
    assert verdicts == {
        ("none", "b_fusion"): "above", ("none", "uniform"): "above", ("none", "ogm_ge"): "=",
        ("uniform", "b_fusion"): "above", ("uniform", "ogm_ge"): "below",
        ("single", "none"): "below", ("single", "b_fusion"): "above", ("single", "uniform"): "above", ("single", "ogm_ge"): "below",
        ("none", "text alone"): "above",
    }  # fmt: skip
    assert set(found[found["kind"] == "single"]["against"]) == {"text alone"}
    assert rules_lab.say_uniform(found) == (
        "Against uniform, above it: b_fusion on opinions, lf_dnn (+.050); below it: ogm_ge on opinions, lf_dnn (-.100); "
        "no difference found in 0 of 2 comparisons."
    )
    said = rules_lab.say_verdicts(found)
    assert said == (
        "Of 1 pair of data set and method (n = 4, Holm), times found above no rule / uniform / one modality alone: "
        "b_fusion 1 / 1 / 1, uniform 1 / - / 1, ogm_ge 0 / 0 / 0; below no rule: none found"
    )


def test_what_hurts_is_counted_and_ties_are_ties():
    found = rules_lab.effects({("opinions", "lf_dnn"): results(text_alone=0.75, none=0.75, b_fusion=0.60, uniform=0.75)})
    assert rules_lab.say_verdicts(found).endswith("b_fusion 0 / 0 / 0, uniform 0 / - / 0; below no rule: b_fusion 1")
    assert {row.verdict for row in found.itertuples() if row.rule == "uniform"} == {"="}


def test_without_the_plain_rule_nothing_is_held_against_it():
    found = rules_lab.effects({("opinions", "lf_dnn"): results(text_alone=0.75, none=0.75, b_fusion=0.60)})
    assert set(found["kind"]) == {"none", "single"}
    assert rules_lab.say_uniform(found) == "The plain rule is not among the rules: nothing is held against it."


# Optimizers


def test_a_ratio_is_of_the_largest_to_the_smallest_up_to_the_best_epoch():
    pairs = {1: (4.0, 1.0), 2: (1.0, 9.0), 3: (1000.0, 1.0)}
    rows = [("none", 0, epoch, name, value) for epoch, pair in pairs.items() for name, value in zip("ab", pair, strict=True)]
    frame = pd.DataFrame(rows, columns=["variant", "seed", "epoch", "modality", "value"])
    found = rules_lab._ratios(frame, {("none", 0): 2})
    assert found["value"].tolist() == [pytest.approx(6.0)]  # sqrt(4 * 9)
    frame.loc[frame["epoch"] == 1, "value"] = [4.0, 0.0]
    assert rules_lab._ratios(frame, {("none", 0): 2})["value"].tolist() == [pytest.approx(9.0)]


@pytest.mark.parametrize(("sgd", "adam", "verdict", "held"), [
    (0.90, 0.80, "SGD gains more", "that order holds here"),
    (0.80, 0.90, "Adam gains more", "that order is turned round here"),
    (0.80, 0.80, "no difference of the gains found", "that order is neither found nor ruled out here"),
])  # fmt: skip
def test_table_7_is_answered_from_numbers(sgd, adam, verdict, held):
    said = rules_lab.say_table_7({"Adam": results(none=0.75, b_fusion=adam), "SGD": results(none=0.75, b_fusion=sgd)})
    assert verdict in said and said.endswith(f"{held}.")


# The smallest case


def test_one_step_by_hand():
    rows = {row[0]: row[2:] for row in rules_lab.one_step(torch.tensor([0.9, 0.6]), torch.tensor([1.0, 0.1]))}
    assert set(rows) == set(rules_lab.RULES)
    # g / mean g = 1.818, .182; the loud one is above its target, the quiet one below: w = 1 - .01 * 1.818, 1 + .01 * .182
    assert rows["b_fusion"] == (".982", "1.002")
    # rho = .9 / .6 = 1.5: 1 - tanh(.45); the other is behind
    assert rows["ogm_ge"] == (f"{1 - np.tanh(0.45):.3f}"[1:], "1.000")
    # geometric mean of .9 and .6 is .7348
    assert rows["adaptive_tracking"] == (".816", "1.225")
    # 1 / 1.5^2 = .444 against 1
    assert rows["gradient_blending"] == (".308", ".692")
    assert rows["uniform"] == (".500", ".500")


def test_a_gap_is_valid_less_train():
    readings = {("train_loss", "text"): [0.3, 0.1], ("valid_loss", "text"): [0.4, 0.5], ("weight", "joint"): [1.0, 1.0]}
    rows = [(epoch, quantity, term, value) for (quantity, term), values in readings.items() for epoch, value in enumerate(values, start=1)]
    frame = pd.DataFrame(rows, columns=["epoch", "quantity", "term", "value"]).assign(variant="uniform", seed=0)
    found = Results([], "acc2_non0")
    found.__dict__["frames"] = {"rule": frame}
    gaps = rules_lab.head_gaps(found)
    assert gaps["value"].tolist() == [pytest.approx(0.1), pytest.approx(0.4)] and gaps["modality"].tolist() == ["text", "text"]
