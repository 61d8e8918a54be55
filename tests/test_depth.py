"""The questions of 06_mmiln: what is trained, and sentences about tables whose answers are known."""

import numpy as np
import pandas as pd
import pytest

from workbench import depth, figures, studies
from workbench.figures import caption_of
from workbench.probes.constraints import TAPS, constraints_by_layer
from workbench.probes.label_errors import LINE, MADE, WHOLE
from workbench.statistics import Difference

SIZES = {"train": 32, "valid": 16, "test": 16}
SMALL = {"hidden_size": 8, "post_size": 8, "unimodal_size": 4, "heads": 2, "layers": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    data = studies.draws("opinions/balanced", [0], align_to="text", **SIZES)
    return data, {"seeds": [0], "plan": {"epochs": 1, "patience": 1}, "runs": tmp_path_factory.mktemp("runs")}


def test_both_methods_have_one_budget_and_their_own_loss_and_rate(trained):
    data, budget = trained
    results = depth.against_baseline(data, config=SMALL, baseline_config={"hidden_size": 8}, **budget)
    own, other, longer = (run.config for run in results.runs)
    assert [run.variant for run in results.runs] == ["mmiln", "self_mm", "self_mm, 4 x epochs"]
    assert own["config"]["encoder"] == "steps" and own["config"]["layers"] == 2 and other["config"]["encoder"] == "mean_mlp"
    apart = {key for key in own["plan"] if own["plan"][key] != other["plan"][key]}
    assert apart == {"loss", "learning_rate"} and own["plan"]["loss"] == "mse" and other["plan"]["loss"] == "l1"
    assert own["plan"]["epochs"] == other["plan"]["epochs"] == 1 and longer["plan"]["epochs"] == 4
    assert longer["config"] == other["config"] and longer["plan"]["learning_rate"] == other["plan"]["learning_rate"]


def test_parts_differ_in_what_their_name_says_and_nothing_is_trained_twice(trained):
    data, budget = trained
    whole = depth.against_baseline(data, config=SMALL, baseline_config={"hidden_size": 8}, **budget).runs[0]
    parts = depth.without_parts(data, config=SMALL, **budget)
    assert [run.variant for run in parts.runs] == ["mmiln", *depth.ABLATIONS, *depth.LOSSES]
    assert parts.runs[0].id == whole.id
    for run in parts.runs[1:]:
        changed = {key: value for key, value in run.config["config"].items() if whole.config["config"][key] != value}
        assert changed == (depth.ABLATIONS | depth.LOSSES)[run.variant]
    assert parts.only("without unimodal tasks").runs[0].config["config"]["unimodal_weight"] == 0
    terms = depth.last_layer(constraints_by_layer(parts.only("mmiln", *depth.LOSSES).runs, data))
    assert len(terms) == 4 * 2 and caption_of(figures.scores_over_seeds(terms, terms["metric"].iloc[0]))


def test_layers_are_a_setting_on_an_axis(trained):
    data, budget = trained
    results = depth.over_layers(data, [1, 2], config=SMALL, **budget)
    assert [run.config["config"]["layers"] for run in results.runs] == [1, 2]
    frame = depth.layer_scores(results, metrics=["mae", "corr"])
    assert set(frame.columns) == {"trial", "layers", "seed", "split", "metric", "value"} and set(frame["split"]) == {"valid"}
    assert set(frame["layers"]) == {1, 2} and set(frame["metric"]) == {"MAE", "Correlation"}
    found = frame.query("layers == 2 and metric == 'MAE'")["value"]
    assert float(found.iloc[0]) == results.runs[1].metrics["valid"]["mae"]
    assert "layers" in caption_of(figures.sweep_lines(frame, over="layers", metric=["MAE", "Correlation"], base=3, base_name="published"))


# Trends


def gates(tables, gate="retain", modality="audio") -> pd.DataFrame:
    """`table[layer]`, one table a seed."""
    rows = [(gate, modality, seed, layer + 1, value) for seed, table in enumerate(tables) for layer, value in enumerate(table)]
    return pd.DataFrame(rows, columns=["gate", "modality", "seed", "layer", "value"])


def test_slopes_by_hand():
    found = depth.slopes(gates([[0.1, 0.2, 0.3], [0.5, 0.5, 0.8]]))
    # Least squares through 1, 2, 3: (last - first) / 2.
    np.testing.assert_allclose(found["retain of audio"], [0.1, 0.15])
    # Through 1 to 4: (3 (last - first) + third - second) / 10.
    np.testing.assert_allclose(depth.slopes(gates([[0.1, 0.3, 0.2, 0.5]]))["retain of audio"], [0.11])
    assert depth.slopes(gates([[0.1]])) == {}


def test_a_trend_is_said_with_its_interval_and_none_is_said_too():
    rising = gates([[0.1, 0.2], [0.1, 0.201], [0.1, 0.199]])
    falling = gates([[0.5, 0.3], [0.5, 0.302], [0.5, 0.298]], gate="compound")
    loose = gates([[0.5, 0.9], [0.5, 0.1], [0.5, 0.6]], gate="screening")
    said = depth.say_trends(pd.concat([rising, falling, loose]))
    assert said.startswith("The gate over layers 1 to 2: rises: retain of audio (+.1000 a layer, 95 % +.0975 to +.1025, n = 3); falls: compound of")
    assert said.endswith(
        "for 1 of 3 no trend is found (Holm, 5 %); the steepest of them: screening of audio (+.0333 a layer, 95 % -.9706 to +1.0373, n = 3)."
    )
    assert depth.say_trends(loose).startswith("The gate over layers 1 to 2: for 1 of 1 no trend is found")
    assert depth.say_trends(rising, "width") == "The width over layers 1 to 2: rises: retain of audio (+.1000 a layer, 95 % +.0975 to +.1025, n = 3)."


def test_the_range_is_that_of_means_over_samples_and_seeds():
    frame = pd.concat([gates([[0.4, 0.6], [0.5, 0.8]]), gates([[0.2, 0.5], [0.4, 0.5]], gate="compound")])
    assert depth.say_range(frame) == "All means of gates lie between .300 and .700; gates start near .5."


def test_one_seed_and_one_layer_have_no_trend():
    assert depth.say_trends(gates([[0.1]])) == "One layer: there is no trend to look for."
    assert depth.say_trends(gates([[0.1, 0.4]])).endswith("the steepest of them: retain of audio (+.3000 a layer, one seed).")


# Parts


class Told:
    """Results whose differences are given: mean and p."""

    def __init__(self, changes, headline):
        self.changes, self.headline = changes, headline
        self.runs = [type("Run", (), {"variant": name})() for name in ("mmiln", *changes)]

    def difference(self, after, before):
        assert before == "mmiln"
        mean, p = self.changes[after]
        return Difference(mean, mean - 0.01, mean + 0.01, p, 3)


def test_parts_that_are_missed_are_told_by_the_metrics_direction():
    told = {"-MRM": (-0.1, 0.001), "-MFM": (0.1, 0.002), "-GateFusion": (0.0, 0.9)}
    said = depth.say_missed(Told(told, "acc2_non0"))
    assert said.startswith("With a part removed: worse: -MRM (-.100") and "; better: -MFM (+.100" in said
    assert said.endswith("for 1 of 3 no difference is found (Holm, 5 %).")
    assert depth.say_missed(Told(told, "mae")).startswith("With a part removed: worse: -MFM")
    assert depth.say_missed(Told({"-MRM": (0.0, 0.9)}, "mae")) == "With a part removed: for 1 of 1 no difference is found (Holm, 5 %)."


# Labels


def labels(made, *, variant="mmiln") -> pd.DataFrame:
    """Errors of the last of two epochs by seed, beside a label of the whole with the error 1."""
    rows = [
        (variant, seed, epoch, "audio", label, number)
        for seed, value in enumerate(made)
        for epoch, last in ((1, 1.0), (2, value))
        for label, number in ((MADE, last), (WHOLE, 1.0), (LINE, 0.5))
    ]
    return pd.DataFrame(rows, columns=["variant", "seed", "epoch", "modality", "label", "value"])


def test_labels_are_nearer_further_or_neither():
    frame = pd.concat([labels([0.8, 0.81]), labels([1.2, 1.21], variant="self_mm"), labels([0.5, 1.4], variant="third")])
    assert depth.say_labels(frame) == (
        "Made labels against what the modality alone says (mean error, n = 2): further from it than the label of the whole: "
        "self_mm audio (1.205 against 1.000); nearer to it than the label of the whole: mmiln audio (.805 against 1.000); "
        "not found nearer or further (Holm, 5 %): third audio (.950 against 1.000)."
    )
    assert "not found nearer or further (Holm, 5 %): mmiln" in depth.say_labels(labels([0.5])), "one seed"


def test_labels_are_found_nearer_for_all_pairs_at_once():
    """p = .036 alone: enough for one pair, too much for the first of two (.025)."""
    near = labels([0.9, 0.91, 0.89, 0.75])
    assert "nearer to it than the label of the whole: mmiln audio" in depth.say_labels(near)
    both = pd.concat([near, labels([0.9, 0.91, 0.89, 0.75], variant="self_mm")])
    assert "not found nearer or further (Holm, 5 %): mmiln audio" in depth.say_labels(both) and "nearer to it" not in depth.say_labels(both)


def test_how_often_the_floor_held_is_counted_where_labels_are_renewed():
    rows = [("mmiln", 0, 1, 9, 100), ("mmiln", 0, 2, 1, 100), ("mmiln", 1, 2, 2, 100), ("self_mm", 0, 2, 0, 100)]
    frame = pd.DataFrame(rows, columns=["variant", "seed", "epoch", "value", "samples"])
    said = depth.say_guarded(frame)
    assert said.endswith("which Eq. (34) then divides by: mmiln 3 of 200 times (1.5 %), self_mm 0 of 100 times (0 %).")
    assert depth.say_guarded(frame[frame["epoch"] == 1]).endswith("no label was renewed.")


# Terms and cost


def test_the_last_layers_terms_are_those_of_the_losses():
    apart, overlap = TAPS["fusion.discrepancy"], TAPS["fusion.overlap"]
    rows = [("mmiln", 0, quantity, layer, f"{i}", layer * (i + 1.0)) for quantity in (apart, overlap) for layer in (1, 2) for i in range(3)]
    found = depth.last_layer(pd.DataFrame(rows, columns=["variant", "seed", "quantity", "layer", "between", "value"])).set_index("metric")["value"]
    assert found[apart] == 4.0 and found[overlap] == 12.0  # of 2, 4 and 6: the mean over pairs, the sum over modalities


def test_seconds_are_held_against_the_whole():
    frame = pd.DataFrame([("mmiln", 0, 3.0), ("mmiln", 1, 5.0), ("mult", 0, 2.0), ("self_mm", 0, 0.04)], columns=["variant", "seed", "value"])
    assert depth.say_seconds(frame) == (
        "Seconds an epoch, training and valid, without the first: mmiln 4 s, mult 2 s (one of mmiln takes 2 times as long), "
        "self_mm 0.04 s (one of mmiln takes 1e+02 times as long)."
    )


def test_mult_is_timed_at_equal_width(trained):
    data, budget = trained
    (run,) = depth.beside_attention(data, config=SMALL, **budget).runs
    assert run.config["method"] == "mult" and run.config["plan"]["batch_size"] == 32
    assert {name: run.config["config"][name] for name in ("hidden_size", "layers", "heads", "kernel_size")} == {
        "hidden_size": 8, "layers": 2, "heads": 2, "kernel_size": 3,
    }  # fmt: skip


def test_what_labels_know_is_said_of_the_last_epoch():
    rows = [("mmiln", 0, 1, "audio", 0.9), ("mmiln", 0, 2, "audio", 0.3), ("mmiln", 1, 2, "audio", 0.5), ("other", 0, 1, "audio", float("nan"))]
    frame = pd.DataFrame(rows, columns=["variant", "seed", "epoch", "modality", "value"])
    # .3 and .5: mean .4, standard error .1.
    assert depth.say_knowledge(frame) == (
        "Partial correlation of made and true labels, given the label of the whole: mmiln audio .40 (95 % -.87 to 1.67), other audio none made yet."
    )


# What is printed


def test_the_papers_tables_come_from_the_cards():
    table = depth.printed_table("Table 2")
    own = table[table["method"] == "mmiln"]
    assert list(own["data"]) == ["MOSI", "MOSEI"] and list(own["MAE"]) == [".709", ".529"] and list(own["Correlation"]) == [".801", ".774"]
    assert list(own["Acc-2 (neg / pos)"]) == [".864", ".859"]
    assert set(own["not as here"]) == {"other text model"}
    assert table.columns[-1] == "not as here"
    assert {name.partition(",")[0] for name in table["method"]} == {"tfn", "lmf", "mfn", "mult", "misa", "mag_bert", "self_mm", "mmim", "mmiln"}
    removed = depth.printed_table("Table 3")
    assert list(removed["method"]) == ["mmiln/no_mrm", "mmiln/no_mfm", "mmiln/no_gate_fusion"] and list(removed["MAE"]) == [".586", ".574", ".576"]


def test_rows_stand_beside_the_measured_only_where_the_card_has_them():
    assert depth.comparable("opinions/balanced") is None and depth.comparable("nothing") is None and depth.comparable("mosi") is None
    rows = depth.comparable("mosi_mmsa")
    assert "mmiln in MMILN Table 2" in set(rows["variant"]) and rows["value"].between(0, 1).all()
    assert "Acc-2 (negative / positive)" in set(rows["metric"])
    assert depth.comparable("mosi_mmsa", "Table 3") is None
    assert {"mmiln/no_mrm in MMILN Table 3"} < set(depth.comparable("mosei_mmsa", "Table 3")["variant"])
