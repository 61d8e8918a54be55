"""Two trainings whose stages end at different epochs: no figure mixes one stage of a seed with another stage of the next."""

import numpy as np
import pandas as pd
import pytest

from workbench.data import load
from workbench.figures import auxiliary_losses, caption_of, correlations_over_epochs, gradient_magnitude, learning_curves
from workbench.figures.by_stage import a_panel_a_stage, last_stage, own_stages
from workbench.fitting import fit
from workbench.probes.correlations import correlations_by_epoch
from workbench.probes.histories import loss_terms
from workbench.runs import frames

SMALL = {"hidden_size": 4, "head_size": 3, "heads": 2, "correlated_size": 2, "post_size": 4}
LENGTHS = {"unimodal.text": (1, 3), "unimodal.audio": (2, 2), "unimodal.vision": (2, 1), "correlation": (2, 3), "fusion": (2, 2)}
"""Epochs of each stage in the two trainings."""


@pytest.fixture(scope="module")
def data():
    return load("opinions/balanced", train=48, valid=24, test=24, seed=3, align_to="text")


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("runs"), []
    for seed in (0, 1):
        stages = {name: {"epochs": epochs[seed], "patience": 9} for name, epochs in LENGTHS.items()}
        plan = {"seed": seed, "batch_size": 24, "stages": stages, "device": "cpu"}
        found.append(fit("delta_attention", data, runs=folder, config=SMALL, plan=plan, variant="mine"))
    return found


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    return fit("lf_dnn", data, runs=tmp_path_factory.mktemp("plain"), plan={"epochs": 3, "device": "cpu"}, balance="none", variant="plain")


def lines(figure, name):
    """x of the lines of one name, panel by panel."""
    return [list(trace.x) for trace in figure.data if trace.name == name and trace.mode in ("lines", "lines+markers")]


def test_frames_tell_the_stage_and_the_epoch_within_it(runs, plain):
    found = frames(runs)
    for name in ("history", "steps", "probes"):
        frame = found[name]
        told = frame.groupby(["seed", "epoch"])[["stage", "stage_epoch"]].first()
        for seed, run in enumerate(runs):
            expected = [(stage, number) for stage, epochs in LENGTHS.items() for number in range(1, epochs[seed] + 1)]
            assert list(told.loc[seed].itertuples(index=False, name=None)) == expected, (name, run.id)
    kept = {seed: set(rows["epoch"]) for seed, rows in found["history"][found["history"]["is_best"]].groupby("seed")}
    assert kept == {seed: {facts["best_epoch"] for facts in run.metrics["stages"].values()} for seed, run in enumerate(runs)}
    alone = frames([plain])
    assert not any({"stage", "stage_epoch"} & set(frame.columns) for frame in alone.values())
    assert set(alone["history"].query("is_best")["epoch"]) == {plain.metrics["best_epoch"]}
    assert list(loss_terms([plain]).columns) == ["variant", "seed", "epoch", "term", "value"]


def test_learning_curves_have_a_panel_a_stage(runs):
    figure = learning_curves(frames(runs)["history"], metric="loss")
    titles = [note.text for note in figure.layout.annotations if "<b>" in note.text]
    assert titles == [f"<b>mine, {stage}</b>" for stage in LENGTHS]
    assert lines(figure, "valid") == [list(range(1, max(epochs) + 1)) for epochs in LENGTHS.values()]
    stars = [trace for trace in figure.data if trace.name == "kept"]
    assert len(stars) == len(LENGTHS) and all(len(trace.x) == 2 for trace in stars)
    caption = caption_of(figure)
    assert figure.layout.xaxis.title.text == "epoch of the stage" and "counted from the beginning of each stage" in caption
    for stage, epochs in LENGTHS.items():
        assert f"of {max(epochs)}, valid loss" in caption.partition(f"mine, {stage}: kept ")[2][:60], stage


def test_of_several_variants_the_last_stage_is_drawn(runs, plain):
    figure = learning_curves(frames([*runs, plain])["history"], metric="loss")
    assert lines(figure, "valid") == [[1, 2], [1, 2, 3]]
    assert "the last stage is drawn, epochs counted in it: of mine fusion." in caption_of(figure)
    assert learning_curves(frames([plain])["history"], metric="loss").layout.xaxis.title.text == "epoch"


def test_gradients_are_drawn_in_the_stage_that_learns_them(runs, plain):
    found = frames([*runs, plain])["steps"].query("quantity == 'last_layer'")
    figure = gradient_magnitude(found[found["variant"] == "mine"])
    assert {name: lines(figure, name) for name in ("text", "audio", "vision")} == {"text": [[1, 2, 3]], "audio": [[1, 2]], "vision": [[1, 2]]}
    caption = caption_of(figure)
    assert "learned in turn" in caption and "cannot be drawn" not in caption and "no seed has both" not in caption
    assert "learned in turn" not in caption_of(gradient_magnitude(found[found["variant"] == "plain"]))
    both = gradient_magnitude(found)
    assert lines(both, "text") == [[1, 2, 3], [1, 2, 3]] and lines(both, "vision") == [[1, 2], [1, 2, 3]]
    assert "mine: modalities are learned in turn" in caption_of(both)


def test_a_modality_is_drawn_in_the_last_stage_that_trains_it():
    rows = [("a", 0, 1, "text", 4.0, "first", 1), ("a", 0, 2, "text", 0.0, "second", 1), ("a", 0, 3, "text", 2.0, "third", 1)]
    rows += [("a", 0, 1, "audio", 1.0, "first", 1), ("a", 0, 2, "audio", 3.0, "second", 1), ("a", 0, 3, "audio", 0.0, "third", 1)]
    frame = pd.DataFrame(rows, columns=["variant", "seed", "epoch", "modality", "value", "stage", "stage_epoch"])
    found, said = own_stages(frame)
    assert list(found[["modality", "stage", "epoch", "value"]].itertuples(index=False, name=None)) == [
        ("text", "third", 1, 2.0),
        ("audio", "second", 1, 3.0),
    ]
    assert "a: modalities are learned in turn" in said


def test_loss_terms_stand_in_their_stage(runs):
    frame = loss_terms(runs)
    assert set(frame["stage"]) == {"correlation"} and set(frame["term"]) == {"correlation", "reconstruction"}
    figure = auxiliary_losses(frame)
    assert lines(figure, "correlation") == [[1, 2, 3]]
    assert "Stages that have terms: correlation." in caption_of(figure) and figure.layout.xaxis.title.text == "epoch of the stage"
    one = frame[frame["seed"] == 1]
    drawn = next(trace.y for trace in auxiliary_losses(one).data if trace.name == "correlation")
    np.testing.assert_array_equal(drawn, one[one["term"] == "correlation"]["value"])


def test_kept_epochs_of_the_correlations_are_those_of_the_stage(runs):
    found = correlations_by_epoch(runs)
    kept = {run.seed: run.metrics["stages"]["correlation"]["best_epoch"] - sum(LENGTHS[name][run.seed] for name in list(LENGTHS)[:3]) for run in runs}
    assert {seed: set(rows["epoch"]) for seed, rows in found[found["is_kept"]].groupby("seed")} == {seed: {epoch} for seed, epoch in kept.items()}
    assert set(found["samples"]) == {24}
    stars = [trace for trace in correlations_over_epochs(found).data if trace.name == "kept"]
    assert len(stars) == 1 and set(stars[0].x) == set(kept.values())


def test_tables_without_stages_are_left_alone():
    frame = pd.DataFrame({"variant": ["a"], "seed": [0], "epoch": [1], "modality": ["text"], "value": [1.0]})
    for sort in (a_panel_a_stage, last_stage, own_stages):
        found, said = sort(frame)
        assert found is frame and said == ""
