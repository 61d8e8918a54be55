"""The questions of 07_delta_attention: what is trained, and sentences about tables whose answers are known."""

import numpy as np
import pandas as pd
import pytest

from workbench import delta, figures, ladder, studies, taxonomy
from workbench.data.card import card
from workbench.errors import ConfigError
from workbench.figures import caption_of
from workbench.probes.correlations import total_correlations
from workbench.statistics import score

SMALL = {"hidden_size": 4, "head_size": 3, "heads": 2, "correlated_size": 2, "post_size": 4, "embedding_size": 4}
SIZES = {"train": 24, "valid": 16, "test": 20}
NAMES = [delta.DELTA, delta.PLAIN, delta.CONTROL, f"{delta.CONTROL}, vision"]


@pytest.fixture(scope="module")
def budget(tmp_path_factory):
    return {"seeds": 2, "plan": {"epochs": 1, "patience": 1}, "runs": tmp_path_factory.mktemp("runs")}


@pytest.fixture(scope="module")
def dialled(budget):
    """Two values of the dial, two seeds, one epoch a stage, on steps aligned to the words."""
    options = {**SIZES, "align_to": "text"}
    return taxonomy.over_dial("idiosyncrasy", [0.0, 2.0], delta.readings(NAMES, config=SMALL), options=options, **budget)


# What is trained


def test_ways_to_attend_differ_in_what_their_name_says():
    found = delta.readings(config={"heads": 2})
    assert list(found) == list(delta.READINGS)
    for name, changed in delta.READINGS.items():
        assert found[name]["method"] == "delta_attention" and found[name]["config"].items() >= {"heads": 2, **changed}.items()
    assert delta.READINGS["delta"] == {}, "the paper's form is the method as it comes"
    assert delta.readings([f"{delta.CONTROL}, vision"])[f"{delta.CONTROL}, vision"]["modalities"] == ["vision"]
    with pytest.raises(ConfigError, match='unknown way to attend "dleta"'):
        delta.readings(["dleta"])


def test_only_the_dial_differs_between_its_values(dialled):
    assert list(dialled) == [0.0, 2.0]
    for value, (results, data) in dialled.items():
        assert {one.notes["dials"]["idiosyncrasy"] for one in data.values()} == {value} and list(data) == [0, 1]
        assert [run.variant for run in results.runs] == [name for name in NAMES for _ in range(2)] and not results.failed
        settings = {run.variant: run.config["config"] for run in results.runs}
        apart = {key for key in settings[delta.DELTA] if settings[delta.DELTA][key] != settings[delta.PLAIN][key]}
        assert apart == {"positions"}
    words = [data[0]["test"].columns["text"].values.tolist() for _, data in dialled.values()]
    assert words[0] == words[1], "the text has no offset"
    with pytest.raises(ConfigError, match="digits has no dials to turn"):
        taxonomy.over_dial("idiosyncrasy", [0.0], {}, dataset="digits")


def test_scores_of_one_modality_are_those_of_its_stage_and_of_the_control_that_sees_it_alone(dialled):
    whole, alone = delta.dial_scores(dialled), delta.dial_scores(dialled, modality="vision")
    assert set(whole["variant"]) == {delta.DELTA, delta.PLAIN, delta.CONTROL} and set(alone["variant"]) == set(whole["variant"])
    assert len(whole) == len(alone) == 2 * 3 * 2 and set(whole["x"]) == {0.0, 2.0}
    results = dialled[2.0][0]
    run, single = results.only(delta.PLAIN).runs[1], results.only(f"{delta.CONTROL}, vision").runs[1]
    at = (alone["x"] == 2.0) & (alone["seed"] == 1)
    assert alone[at & (alone["variant"] == delta.PLAIN)]["value"].item() == run.metrics["stages"]["unimodal.vision"]["test"][results.headline]
    assert alone[at & (alone["variant"] == delta.CONTROL)]["value"].item() == single.metrics["test"][results.headline]
    both = (whole["x"] == 2.0) & (whole["seed"] == 1) & (whole["variant"] == delta.PLAIN)
    assert whole[both]["value"].item() == run.metrics["test"][results.headline]
    assert caption_of(figures.scores_over_dial(whole, dial="idiosyncrasy", pair=delta.CLAIM))


def test_windows_are_a_setting_on_an_axis(budget):
    data = studies.draws("opinions/balanced", 2, **SIZES)
    results = delta.over_windows(data, [2, 0], config=SMALL, **budget)
    assert [run.config["config"]["window"] for run in results.runs] == [2, 2, None, None]
    frame = delta.window_scores(results, metrics=["mae"])
    assert list(frame["window"]) == ["2", "2", "all", "all"] and set(frame["split"]) == {"valid"} and set(frame["metric"]) == {"MAE"}
    assert delta.in_seconds(4, data) == "text 4 words, audio 0.20 s, vision 0.27 s" and delta.in_seconds(0, data) == ""
    drawn = figures.sweep_lines(frame, over="window", metric="MAE", base="all", base_name="default")
    assert "default value" in caption_of(drawn)


def test_aligned_and_unaligned_are_the_same_samples(budget):
    found = delta.aligned_or_not([0.2], config=SMALL, options=SIZES, **{**budget, "seeds": 1})
    assert list(found) == ["unaligned", "aligned"]
    (own, data), (other, words) = (found[name][0.2] for name in ("unaligned", "aligned"))
    assert data[0]["test"].ids == words[0]["test"].ids and (data[0]["test"].target == words[0]["test"].target).all()
    assert len(words[0]["test"].columns["audio"].values) < len(data[0]["test"].columns["audio"].values)
    table = delta.together(found)
    values = {name: results.runs[0].metrics["test"][results.headline] for name, results in (("unaligned", own), ("aligned", other))}
    assert {row.variant: row.value for row in table.itertuples()} == values


def test_what_pairs_have_in_common_is_that_of_the_whole_split_above_chance(dialled):
    only = {value: (results.only(delta.DELTA), data) for value, (results, data) in dialled.items()}
    frame = delta.common_over_dial(only)
    assert set(frame["variant"]) == {"text and audio", "text and vision", "audio and vision"} and len(frame) == 2 * 2 * 3
    run, data = only[2.0][0].runs[1], only[2.0][1][1]
    told = total_correlations(run.model(), run.prepared(data)["valid"])["text x audio"]
    asked = frame[(frame["x"] == 2.0) & (frame["seed"] == 1) & (frame["variant"] == "text and audio")]["value"].item()
    assert asked == told[0] - told[1] and 0 < told[1] < 2
    assert set(frame["metric"]) == {"total canonical correlation above chance"}


def test_maps_ladders_and_costs_come_from_the_same_runs(dialled):
    results, data = dialled[0.0]
    own = results.only(delta.DELTA)
    moved = delta.moved(own.runs, data)
    assert set(moved["seed"]) == {0, 1} and set(moved["modality"]) == {"text", "audio", "vision"} and (moved["moved"] >= 0).all()
    assert moved[moved["modality"] == "audio"]["inside"].isna().all(), "steps averaged over words are not the simulator's frames"
    rungs = ladder.rungs({"aligned": own}, metrics=[results.headline])
    assert list(dict.fromkeys(rungs["rung"])) == ["text", "audio", "vision", "correlated", "fused"] and set(rungs["variant"]) == {"aligned"}
    last = rungs[(rungs["rung"] == "fused") & (rungs["seed"] == 1)]["value"].item()
    assert last == own.runs[1].metrics["test"][results.headline]
    costs = ladder.cost_table(results.only(delta.DELTA, delta.CONTROL), data, rounds=2)
    assert set(costs["quantity"]) == {"parameters", "epochs", "training [s]", "joint step [s]", "memory of a joint step [MB]"}
    counted = costs[(costs["quantity"] == "parameters") & (costs["variant"] == delta.DELTA)]["value"]
    assert set(counted) == {float(run.metrics["parameters"]) for run in own.runs}
    assert len(costs[costs["quantity"] == "joint step [s]"]) == 4 and (costs["value"] > 0).all()
    assert list(ladder.cost_words(costs).columns)[:2] == ["variant", "parameters"]


# Sentences


def curve(values, variant=delta.CONTROL, metric="Acc-2"):
    """`{x: [a value a seed]}`."""
    rows = [(variant, x, seed, metric, value) for x, line in values.items() for seed, value in enumerate(line)]
    return pd.DataFrame(rows, columns=["variant", "x", "seed", "metric", "value"])


def test_the_control_says_whether_the_dial_works():
    falls = {0: [0.8, 0.81, 0.8], 1: [0.9, 0.9, 0.9], 2: [0.7, 0.71, 0.701]}
    assert delta.say_dial_works(curve(falls)).startswith("The dial works: means over time from 0 to 2, -.100")
    assert delta.say_dial_works(curve(falls, metric="MAE")).startswith("The dial is not found to work"), "a falling error is no harm"
    assert delta.say_dial_works(curve({0: [0.8, 0.7], 2: [0.7, 0.8]})).startswith("The dial is not found to work: means over time from 0 to 2, no ")
    assert "whether the dial works is not known" in delta.say_dial_works(curve({0: [0.8]}))


def test_several_differences_of_slopes_are_judged_together():
    steep = {"delta": (0.0, 0.01, -0.01), "plain": (-0.1, -0.1, -0.12), "other": (-0.1, -0.14, -0.11)}
    frame = pd.concat([curve({x: [0.9 + x * slope for slope in slopes] for x in (0.0, 1.0, 2.0)}, name) for name, slopes in steep.items()])
    asked = [("vision", ("delta", "plain")), ("vision", ("other", "plain")), ("", ("delta", "absent"))]
    found = figures.slopes_compared({"vision": frame, "": frame}, asked)
    assert list(found) == ["vision, delta less plain", "vision, other less plain"]
    assert found["vision, delta less plain"].mean == pytest.approx((0.1 + 0.11 + 0.11) / 3)
    said = figures.say_slopes_at_once(found)
    assert said.startswith("Differences of slopes, 2 at once (Holm, 5 %): Found: vision, delta less plain +.107 (95 % ")
    assert ". No difference found: vision, other less plain -.010 (" in said
    # Eight of them: p = .001 is too large for the first, .05 / 60.
    many = found | {f"other {number}": found["vision, other less plain"] for number in range(58)}
    assert "Found" not in figures.say_slopes_at_once(many)


def test_one_picture_of_several_gives_numbers_without_a_verdict():
    frame = pd.concat([curve({0.0: [0.9, 0.9, 0.91], 1.0: [0.7, 0.71, 0.7]}, "plain"), curve({0.0: [0.9, 0.9, 0.91], 1.0: [0.9, 0.9, 0.9]}, "delta")])
    judged, alone = (figures.scores_over_dial(frame, dial="idiosyncrasy", pair=delta.CLAIM, is_judged=judged) for judged in (True, False))
    assert "the slopes differ" in caption_of(judged) and "Holm" in caption_of(judged)
    caption = caption_of(alone)
    assert "slope of delta less slope of plain +.197 (95 % " in caption and "one of several that are judged together" in caption
    assert "differ" not in caption and "found" not in caption and "Holm" not in caption
    marks = [next(trace.marker.symbol for trace in figure.data if trace.name == "difference") for figure in (judged, alone)]
    assert marks == [("circle-open", "circle"), ("circle-open", "circle-open")]


def test_shares_of_mult():
    rows = [
        ("delta_attention", "parameters", 50.0),
        ("mult", "parameters", 100.0),
        ("delta_attention", "step [s]", 2.0),
        ("delta_attention", "step [s]", 4.0),
    ]
    table = pd.DataFrame([*rows, ("mult", "step [s]", 1.0)], columns=["variant", "quantity", "value"])
    assert ladder.say_half(table, what="here") == "delta_attention beside mult, here: parameters 0.50 times, step 3.00 times."


# What is printed


def test_table_2_comes_from_the_card():
    rows = ladder.printed_rows("opinions/emotions")
    assert set(rows["source"]) == {"other data"}
    own = {row.method: row for row in card(ladder.PRINTED).published if "overall" in row.source}
    table = ladder.printed_table(ladder.OVERALL)
    assert list(table["block"]) == ["single modalities"] * 3 + ["correlated"] * 2 + ["fused"] * 2
    assert list(table["input"]) == ["text", "vision", "audio", "aligned", "unaligned", "aligned", "unaligned"]
    for (method, row), said in zip(ladder.ROWS.items(), table.to_dict("records"), strict=True):
        assert said[studies.titles(["accuracy_top"])[0]] == score(own[method].scores["accuracy_top"]), row
    assert "split" in table["not as here"].iloc[0] and ladder.is_printed("mosei_emotions_csd/aligned") and not ladder.is_printed("opinions/emotions")


def test_rows_stand_below_the_measured_ones_of_their_alignment():
    rows = ladder.printed_rows(ladder.PRINTED)
    frame = pd.DataFrame(
        [(name, "fused", "fused", 0, "accuracy_happy", value) for name, value in (("aligned", 0.6), ("unaligned", 0.5))],
        columns=["variant", "block", "rung", "seed", "metric", "value"],
    )
    table = figures.ladder_table(frame, metrics=["accuracy_happy"], printed=rows)
    assert [row[-1] for row in table.rows] == [".600", ".721", ".500", ".718"]
    assert all("split" in row[2] and "alignment" not in row[2] for row in table.rows[1::2])


def test_metrics_of_a_table_are_those_that_the_task_has():
    emotions = studies.draws("opinions/emotions", 1, **SIZES)
    known = ladder.table_metrics(emotions)
    assert known[:3] == ["accuracy_top", "f1_weighted", "mae"] and "f1_fear" in known
    emotion = ("happy", "sad", "anger", "surprise", "disgust", "fear")
    assert ladder.label_accuracies(emotions) == [f"accuracy_{name}" for name in emotion], "the order of the data"
    assert ladder.label_accuracies(studies.draws("opinions/balanced", 1, **SIZES)) == []
    assert "corr" in ladder.table_metrics(studies.draws("opinions/balanced", 1, **SIZES))
    both = ladder.draws_of("opinions/emotions", 1, **SIZES)
    assert both["aligned"][0].notes["view"]["align_to"] == "text" and np.array_equal(
        both["aligned"][0]["test"].target, both["unaligned"][0]["test"].target
    )
