"""Scores of the stages of runs: rungs, steps between them, bounds, and the form of the paper's Table 2."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from workbench.errors import DataError
from workbench.figures import caption_of, ladder_table, score_ladder
from workbench.figures.captions import alt_of
from workbench.figures.ladder import rung_changes
from workbench.probes.ladder import constant_score, stage_scores

NAMES = ["unimodal.text", "unimodal.audio", "correlation", "fusion"]


class Staged:
    """A run with the scores of four stages."""

    def __init__(self, seed, scores, *, variant="delta_attention"):
        self.variant, self.seed = variant, seed
        stages = {name: {"epochs": 2, "test": {"accuracy": score, "f1": None}} for name, score in zip(NAMES, scores, strict=True)}
        self.metrics = {"test": {"accuracy": scores[-1]}} | ({"stages": stages} if scores[0] is not None else {})


def ladder(*tables):
    return stage_scores([Staged(seed, table) for seed, table in enumerate(tables)])


def test_stages_become_blocks_and_rungs():
    found = ladder([0.5, 0.6, 0.7, 0.8])
    assert list(found["block"]) == ["single modalities", "single modalities", "correlated", "fused"]
    assert list(found["rung"]) == ["text", "audio", "correlated", "fused"] and list(found["value"]) == [0.5, 0.6, 0.7, 0.8]
    assert set(found["metric"]) == {"accuracy"}, "a metric that is not defined is left out"
    assert len(stage_scores([Staged(0, [0.5, 0.6, 0.7, 0.8])], metrics=["other"])) == 0
    with pytest.raises(DataError, match="no run was trained in stages"):
        stage_scores([Staged(0, [None] * 4)])


def test_every_rung_against_those_below_it():
    changes = rung_changes(ladder([0.5, 0.6, 0.7, 0.8], [0.52, 0.6, 0.7, 0.79]))
    assert list(changes) == ["correlated - text", "correlated - audio", "fused - correlated"]
    assert changes["correlated - text"].mean == pytest.approx(0.19) and changes["fused - correlated"].mean == pytest.approx(0.095)


def test_steps_are_told_with_their_intervals_corrected_for_all_of_them():
    figure = score_ladder(ladder([0.5, 0.9, 0.7, 0.71], [0.502, 0.898, 0.7, 0.69], [0.498, 0.901, 0.7, 0.7]), metric="accuracy")
    # text: .2, .198, .202; audio: -.2, -.198, -.201; fused - correlated: .01, -.01, 0.
    said = alt_of(figure)
    assert said.startswith("Accuracy: up: correlated - text +.200 (95 % +.195 to +.205); down: correlated - audio -.200 (95 % -.203 to -.196); ")
    assert said.endswith("no difference found: fused - correlated +.000 (95 % -.025 to +.025) (paired by seed, n = 3; Holm over 3 steps, 5 %).")


def test_dots_means_ceilings_and_chance():
    figure = score_ladder(
        ladder([0.5, 0.6, 0.7, 0.8], [0.6, 0.6, 0.7, 0.9]), metric="accuracy", ceiling={"text": 0.65, "all": 0.95, "gaze": 1}, chance=0.4
    )
    found = {trace.name: trace for trace in figure.data}
    assert list(found["text"].y) == [0.5, 0.6] and list(found["text, mean"].y) == [0.55, 0.55] and found["text"].marker.color == "#0072B2"
    assert list(found["ceiling, text"].x) == [-0.4, 0.4] and list(found["ceiling, all"].x) == [1.6, 3.4] and "ceiling, gaze" not in found
    assert list(found["chance"].y) == [0.4, 0.4]
    assert [found["seed 0"].y[place] for place in range(4)] == [0.5, 0.6, 0.7, 0.8]
    assert "ceiling (text .650, all .950)" in caption_of(figure) and "looks at nothing (.400)" in caption_of(figure)
    assert "● text" in figure.layout.xaxis.ticktext[0] and figure.layout.xaxis.ticktext[3] == "fused"


def test_errors_go_up_by_falling():
    frame = ladder([0.9, 0.9, 0.7, 0.7], [0.9, 0.91, 0.7, 0.7]).assign(metric="mae")
    assert alt_of(score_ladder(frame)).startswith("Mae: up: correlated - text -.200")


def test_one_block_has_no_step():
    frame = ladder([0.5, 0.6, 0.7, 0.8])
    assert alt_of(score_ladder(frame[frame["rung"] == "fused"], metric="accuracy")) == "Accuracy: one block of rungs only, no step to tell."


# Table 2


def test_the_table_has_three_blocks_with_the_printed_row_below_the_measured():
    runs = {"aligned": ladder([0.5, 0.6, 0.7, 0.8], [0.52, 0.6, 0.7, 0.8]), "unaligned": ladder([0.4, 0.5, 0.6, 0.7])}
    frame = pd.concat([table.assign(variant=name) for name, table in runs.items()])
    printed = pd.DataFrame(
        [("single modalities", "text", "accuracy", 0.647, "other split"), ("fused", "unaligned", "accuracy", 0.718, "comparable")],
        columns=["block", "row", "metric", "value", "source"],
    )
    table = ladder_table(frame, metrics=["accuracy", "f1"], titles=["Accuracy", "F1"], printed=printed)
    assert table.columns == ("block", "input", "", "Accuracy", "F1")
    assert table.rows[0] == ("single modalities", "text, aligned", "measured (n = 2)", ".510 ± .014", "-")
    assert table.rows[1] == ("", "", "printed; other split", ".647", "-")
    assert [row[:2] for row in table.rows if row[0]] == [
        ("single modalities", "text, aligned"), ("single modalities", "text, unaligned"),
        ("single modalities", "audio, aligned"), ("single modalities", "audio, unaligned"),
        ("correlated", "aligned"), ("correlated", "unaligned"), ("fused", "aligned"), ("fused", "unaligned"),
    ]  # fmt: skip
    assert table.rows[-1] == ("", "", "printed", ".718", "-")
    alone = ladder_table(runs["unaligned"], metrics=["accuracy"])
    assert alone.rows[0][:3] == ("single modalities", "text", "measured (n = 1)")


# What looks at nothing


def test_the_constant_answer_of_a_score(toy_maker):
    data = toy_maker(train=200, other=40)
    target, train = data["test"].target, data["train"].target
    assert constant_score(data, "mae") == pytest.approx(float((target - train.median()).abs().mean()), abs=1e-6)
    sign = float((target > 0).float().mean()) if float((train > 0).float().mean()) > 0.5 else float((target < 0).float().mean())
    assert constant_score(data, "acc2_non0") == pytest.approx(sign)
    assert constant_score(data, "corr") == 0.0
    both = {0: data, 1: toy_maker(train=200, other=40, seed=3)}
    assert constant_score(both, "mae") == pytest.approx((constant_score(both[0], "mae") + constant_score(both[1], "mae")) / 2)
    with pytest.raises(DataError, match="this task has no metric map"):
        constant_score(data, "map")


def test_the_constant_answer_of_classes_and_labels(toy_maker):
    classes = toy_maker(classes=4, train=200)
    most = int(torch.bincount(classes["train"].target).argmax())
    assert constant_score(classes, "accuracy") == pytest.approx(float((classes["test"].target == most).float().mean()))
    labels = toy_maker(labels=3, train=200)
    usual = labels["train"].target.mean(0) > 0.5
    assert constant_score(labels, "accuracy") == pytest.approx(float((labels["test"].target.bool() == usual).float().mean()))


def test_the_constant_answer_of_rare_and_frequent_labels(toy_maker):
    data = toy_maker(labels=3, train=400)
    train, target = (data[name].target for name in ("train", "test"))
    rates = train.mean(0)
    # The error of a probability: sure answers are the best constants, not a score near zero.
    assert constant_score(data, "mae") == pytest.approx(float((target - (rates > 0.5).float()).abs().mean()), abs=1e-6)
    # The strongest label of a constant is the most frequent one.
    has_label = target.any(1)
    assert constant_score(data, "accuracy_top") == pytest.approx(float(target[has_label, rates.argmax()].mean()))
    # With labels in .8, .4 and .1 of the samples, naming the first two has an F1 of 2 x 1.2 / (2 + 1.3), the first alone 2 x .8 / (1 + 1.3).
    row = torch.arange(10)
    known = torch.stack([row < 8, row < 4, row < 1], dim=1).float()
    whole = replace(data, splits={name: replace(split, target=known.repeat(len(split) // 10, 1)) for name, split in data.splits.items()})
    assert constant_score(whole, "f1_micro") == pytest.approx(2.4 / 3.3)
    assert constant_score(whole, "map") == pytest.approx(1.3 / 3)
