"""Canonical correlations by epoch: out of a run's trace, and as a picture."""

import math

import pandas as pd
import pytest
import xarray as xr

from workbench.errors import DataError
from workbench.figures import caption_of, correlations_over_epochs
from workbench.figures.captions import alt_of
from workbench.probes.correlations import correlations_by_epoch, stage_epochs

PAIRS = ["text x audio", "text x vision"]


class Traced:
    """A run of five epochs: two of a unimodal stage, in which nothing is correlated, two of the correlation, one of the fusion."""

    def __init__(self, seed=0, *, stages=("unimodal.text", "unimodal.text", "correlation", "correlation", "fusion"), tap="fusion.total"):
        self.variant, self.seed = "delta_attention", seed
        epochs = [1, 2, 3, 4, 5]
        history = xr.Dataset({"seconds": ("epoch", [1.0] * 5)}, {"epoch": epochs})
        if stages:
            history["stage"] = ("epoch", list(stages))
        values = [[0.5, 0.25], [0.75 + seed, 0.5], [0.8, math.nan]]
        means = xr.Dataset({tap: (("epoch", "pair"), values)}, {"epoch": [3, 4, 5], "pair": PAIRS})
        self.trace = xr.DataTree.from_dict({"history": history, "pair_means": means})
        self.config = {"counts": {"valid": 500}, "plan": {"batch_size": 64}}
        self.metrics = {"best_epoch": 5, **({"stages": {"correlation": {"best_epoch": 3}}} if stages else {})}


def test_epochs_count_within_their_stage():
    stage, number = stage_epochs(Traced())
    assert stage[4] == "correlation" and number == {1: 1, 2: 2, 3: 1, 4: 2, 5: 1}
    assert set(stage_epochs(Traced(stages=()))[0].values()) == {"whole"}


def test_one_stage_or_all_of_them():
    found = correlations_by_epoch([Traced()])
    assert found.to_dict("list") == {
        "variant": ["delta_attention"] * 4,
        "seed": [0] * 4,
        "stage": ["correlation"] * 4,
        "epoch": [1, 1, 2, 2],
        "pair": PAIRS * 2,
        "value": [0.5, 0.25, 0.75, 0.5],
        "is_kept": [True, True, False, False],
        "samples": [250] * 4,
    }
    every = correlations_by_epoch([Traced()], stages=None)
    assert list(every[every["stage"] == "fusion"]["pair"]) == ["text x audio"], "what was not computed has no row"
    joint = correlations_by_epoch([Traced(stages=())])
    assert set(joint["stage"]) == {"whole"} and list(joint["epoch"]) == [3, 3, 4, 4, 5]


def test_runs_without_the_tap_are_refused_only_where_none_has_it():
    assert set(correlations_by_epoch([Traced(tap="fusion.other"), Traced(seed=1)])["seed"]) == {1}
    with pytest.raises(DataError, match="no run recorded correlations of pairs"):
        correlations_by_epoch([Traced(tap="fusion.other")])


def test_a_line_a_pair_with_its_name_at_its_end():
    figure = correlations_over_epochs(correlations_by_epoch([Traced(), Traced(seed=1)]), components=4)
    lines = {trace.name: trace for trace in figure.data if trace.mode == "lines" and trace.hoverinfo != "skip"}
    assert list(lines) == ["text and audio", "text and vision"]
    assert list(lines["text and audio"].y) == [0.5, 1.25] and lines["text and vision"].line.dash == "dash"
    assert {"text and audio", "text and vision"} <= {note.text for note in figure.layout.annotations}
    # Seeds rise by .25 and 1.25: mean .75, standard error .5, t(1) = 12.706.
    assert alt_of(figure) == (
        "Total correlation on valid from the first to the last epoch: text and audio .50 to 1.25 (no difference found: +.750 "
        "(95 % -5.603 to +7.103, n = 2)); text and vision .25 to .50 (+.250 (95 % +.250 to +.250, n = 2, p < .001))."
    )
    assert "Grey: 4, the most there could be." in caption_of(figure)
    stars = next(trace for trace in figure.data if trace.name == "kept")
    assert list(stars.x) == [1, 1, 1, 1] and list(stars.y) == [0.5, 0.25, 0.5, 0.25]
    assert "Stars: the epoch each seed kept" in caption_of(figure) and "the mean over batches of 250 samples" in caption_of(figure)


def test_the_whole_split_and_chance_stand_beside_the_stars():
    rows = [("delta_attention", seed, pair, 0.6, 0.5 - seed / 10, 0.4, 0.4) for seed in (0, 1) for pair in PAIRS]
    whole = pd.DataFrame(rows, columns=["variant", "seed", "pair", "value", "floor", "untrained", "untrained_floor"])
    figure = correlations_over_epochs(correlations_by_epoch([Traced(), Traced(seed=1)]), whole=whole)
    found = {trace.name: trace for trace in figure.data}
    assert list(found["whole split"].y) == [0.6] * 4 and list(found["by chance"].y) == [0.5, 0.5, 0.4, 0.4] and list(found["by chance"].x) == [1] * 4
    # Above chance by .1 and .2: mean .15, standard error .05, t(1) = 12.706.
    expected = (
        "text and audio .60, by chance .45: no difference found: +.150 (95 % -.485 to +.785, n = 2); untrained .40, against chance no difference"
    )
    assert expected in caption_of(figure)


def test_stages_stand_side_by_side_and_one_epoch_is_said():
    figure = correlations_over_epochs(correlations_by_epoch([Traced()], stages=None))
    titles = [note.text for note in figure.layout.annotations if "<b>" in note.text]
    assert titles == ["<b>delta_attention, correlation</b>", "<b>delta_attention, fusion</b>"]
    assert "text and audio .80 to .80 (one epoch)" in caption_of(figure)


def test_a_table_without_pairs_is_refused():
    with pytest.raises(DataError, match="correlations_over_epochs needs the column pair"):
        correlations_over_epochs(pd.DataFrame({"variant": ["a"], "seed": [0], "epoch": [1], "value": [1.0]}))
