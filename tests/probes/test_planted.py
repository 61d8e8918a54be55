"""Views held against what was planted: closed-form rows whose lag and AUC are known, and the figures that say so."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from workbench import methods
from workbench.data import load
from workbench.errors import ConfigError, DataError
from workbench.figures import caption_of, lag_recovery, over_dial
from workbench.figures.captions import alt_of
from workbench.figures.planted import slopes
from workbench.fitting import fit
from workbench.probes.planted import LOST, USE, attended_times, auc, looked_at, modality_use, word_middle
from workbench.taps import Tap

SMALL = {"hidden_size": 8, "post_size": 5, "encoder_layers": 1, "encoder_heads": 2, "heads": 2}


@pytest.fixture(scope="module")
def opinions():
    return load("opinions/balanced", samples=40, valid=20, test=30, lag=0.5)


class Knowing(torch.nn.Module):
    """A fusion whose time alignment knows the evidence: each word's row lies on one frame, or everywhere alike."""

    def __init__(self, inner, data, *, shift=0.0, is_even=False):
        super().__init__()
        self.inner, self.data, self.shift, self.is_even = inner, data, shift, is_even
        self.alignment = torch.nn.Module()
        self.alignment.time = torch.nn.ModuleDict({"audio": Tap("batch", "text_time", "audio_time")})

    def forward(self, balanced, z, context):
        split = self.data["test"]
        words, frames = context.masks["text"].shape[1], context.masks["audio"].shape[1]
        weights = torch.zeros(len(context.index), words, frames)
        for place, row in enumerate(context.index.tolist()):
            length = int(split.columns["audio"].lengths[row])
            if self.is_even:
                weights[place, :, :length] = 1 / length
                continue
            weights[place, :, 0] = 1.0
            for cue in ("shared", "unique"):
                word, time = split.evidence[f"text_{cue}_position"][row], split.evidence[f"audio_{cue}_time"][row]
                if word >= 0 and np.isfinite(time):
                    weights[place, word] = 0.0
                    weights[place, word, round((time + self.shift) * 20)] = 1.0
        self.alignment.time["audio"](weights)
        return self.inner(balanced, z, context)


def knowing(data, **settings):
    model = methods.build("attention.cross", {"hidden_size": 8, "post_size": 5}, data.spec, seed=1)
    model.fusion = Knowing(model.fusion, data, **settings)
    return model


def test_a_model_that_knows_the_bumps_attends_at_the_true_lag(opinions):
    found = attended_times(knowing(opinions), opinions)
    assert set(found["cue"]) == {"shared", "unique"} and len(found) > 20
    np.testing.assert_allclose(found["estimated"], found["true"], atol=1e-6)
    # The bump comes .5 s after the word's middle, to the frame (20 Hz); at the ends of the recording it is pushed inside.
    assert found["true"].median() == pytest.approx(0.5, abs=0.026)
    # One frame of a bump of 15 has all the weight: it beats every other frame, the 14 others tie: 1 / 15 + 14 / 15 / 2.
    np.testing.assert_allclose(found["auc"], 1 / 15 + 14 / 30, atol=1e-9)
    assert (found["looked_at"] < 0.02).all()


def test_other_words_rows_are_scored_on_the_same_bump(opinions):
    found = attended_times(knowing(opinions), opinions)
    alone = found[~found["sample"].duplicated(keep=False)]
    assert len(alone) > 3
    lengths = opinions["test"].columns["audio"].lengths.numpy()
    outside = np.array([lengths[opinions["test"].ids.index(name)] - 15 for name in alone["sample"]])
    # All weight of every other word lies on frame 0: of the frames outside of the bump it beats, the others tie.
    np.testing.assert_allclose(alone["auc_others"], (outside - 1) / outside / 2, atol=1e-9)


def test_a_shift_is_found(opinions):
    found = attended_times(knowing(opinions, shift=-0.2), opinions)
    np.testing.assert_allclose(found["estimated"] - found["true"], -0.2, atol=0.026)


def test_looking_everywhere_alike_is_chance(opinions):
    found = attended_times(knowing(opinions, is_even=True), opinions)
    np.testing.assert_allclose(found["estimated"], found["even"], atol=1e-5)
    np.testing.assert_allclose(found["auc"], 0.5, atol=1e-9)
    np.testing.assert_allclose(found["looked_at"], 1.0, atol=1e-5)


def test_words_without_a_cue_in_both_are_left_out(opinions):
    evidence = opinions["test"].evidence
    found = attended_times(knowing(opinions), opinions)
    both = sum(int(((evidence[f"text_{cue}_position"] >= 0) & (evidence[f"audio_{cue}_window"][:, 0] >= 0)).sum()) for cue in ("shared", "unique"))
    assert len(found) == both


def test_the_middle_of_a_word():
    starts = np.array([0.5, 0.8, 1.2, np.nan])
    assert word_middle(starts, 0) == pytest.approx(0.65)
    # The last word is as long as the others on average: .35 s.
    assert word_middle(starts, 2) == pytest.approx(1.375)
    assert word_middle(np.array([0.5, np.nan]), 0) == pytest.approx(0.5)


def test_auc_by_hand():
    rows = np.array([[0.1, 0.4, 0.3, 0.2], [0.25, 0.25, 0.25, 0.25], [0.4, 0.1, 0.2, 0.3]])
    inside = np.array([False, True, True, False])
    assert auc(rows, inside).tolist() == [1.0, 0.5, 0.0]
    assert np.isnan(auc(rows, np.zeros(4, bool))).all()
    assert looked_at(np.array([0.5, 0.5, 0.0, 0.0])) == pytest.approx(0.5)


def test_data_that_cannot_be_asked_is_refused(opinions, toy):
    model = knowing(opinions)
    aligned = load("opinions/balanced", samples=40, valid=20, test=30, lag=0.5, align_to="text")
    with pytest.raises(DataError, match="audio has no clock of its own"):
        attended_times(knowing(aligned, is_even=True), aligned)
    split = replace(opinions["test"], evidence={})
    with pytest.raises(DataError, match="has no evidence of audio's cues"):
        attended_times(model, replace(opinions, splits={**opinions.splits, "test": split}))
    with pytest.raises(ConfigError, match="tap"):
        attended_times(methods.build("awf", {"hidden_size": 8, "post_size": 5}, opinions.spec, seed=1), opinions)


def test_a_reference_that_is_not_the_text_is_refused(opinions):
    model = knowing(opinions)
    model.fusion.alignment.time["audio"].axes = ("batch", "vision_time", "audio_time")
    with pytest.raises(DataError, match=r"the rows of fusion\.alignment\.time\.audio are"):
        attended_times(model, opinions)


def test_what_a_run_gives_each_modality_and_loses_without_it(opinions, tmp_path):
    run = fit("mldfa", opinions, config=SMALL, preset="none", plan={"epochs": 1, "probe_every": 0, "is_traced": False}, runs=tmp_path)
    use = modality_use(run, {run.seed: opinions})
    assert list(dict.fromkeys(use["quantity"])) == [*USE, LOST]
    assert set(use["modality"]) == {"text", "audio", "vision"} and len(use) == 12
    received = use[use["quantity"] == "attention received (Eq. 16)"]["value"]
    assert received.sum() == pytest.approx(1, abs=1e-5)
    times = attended_times(run, opinions)
    assert set(times["modality"]) == {"audio", "vision"} and times["estimated"].notna().all()


def test_a_run_without_those_views_still_loses_its_modalities(opinions, tmp_path):
    config = {"hidden_size": 8, "post_size": 5}
    run = fit("lf_dnn", opinions, config=config, preset="none", plan={"epochs": 1, "probe_every": 0, "is_traced": False}, runs=tmp_path)
    assert set(modality_use(run, opinions)["quantity"]) == {LOST}


# Figures


def words(slope, *, even=0.5, seeds=3, modality="audio", noise=0.0, lags=(0.0, 0.5, 1.0)):
    random = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"seed": seed, "modality": modality, "true": lag, "estimated": slope * lag + noise * random.normal(), "even": even * lag + 0.1}
            for seed in range(seeds)
            for lag in lags
            for _ in range(4)
        ]
    )


def test_slopes_are_those_of_the_words():
    found = slopes(words(0.8).rename(columns={"estimated": "value"}), "value")
    assert found.tolist() == pytest.approx([0.8] * 3)
    assert not len(slopes(words(0.8, lags=(0.5,)).rename(columns={"estimated": "value"}), "value"))


def test_a_lag_that_is_followed_is_said_with_chance_beside_it():
    figure = lag_recovery(words(0.9, noise=0.01))
    said = alt_of(figure)
    assert said.startswith("Audio: attention moves by .90 s where the true lag moves by 1 s (95 % ")
    assert "looking everywhere alike moves by .50 s: the lag is followed more closely than that (+.4" in caption_of(figure)
    lines = {found.name: found for found in figure.data}
    assert list(lines["true lag"].y) == [0, 0.5, 1.0] and list(lines["looking everywhere"].y) == pytest.approx([0.1, 0.35, 0.6])
    assert lines["audio"].line.color == "#D55E00"


def test_a_lag_that_is_not_followed_is_said_too():
    assert ": no difference found (" in caption_of(lag_recovery(words(0.5, noise=0.05)))
    less = lag_recovery(pd.concat([words(0.1, noise=0.01), words(0.1, modality="vision")]).assign(variant="as printed"))
    assert "the lag is followed less closely than that" in caption_of(less)
    assert [note.text for note in less.layout.annotations if "<b>" in note.text] == ["<b>audio, as printed</b>", "<b>vision, as printed</b>"]


def test_one_seed_and_one_lag_have_no_interval():
    assert "(one seed: no interval)" in caption_of(lag_recovery(words(0.9, seeds=1)))
    assert alt_of(lag_recovery(words(0.9, lags=(0.5,)))) == "Audio: one true lag only, nothing to follow."
    with pytest.raises(DataError, match="lag_recovery needs the column true"):
        lag_recovery(words(0.9).drop(columns="true"))


def dial(values, *, quantity="gate", modality="vision"):
    rows = [(quantity, modality, x, seed, value) for x, found in values.items() for seed, value in enumerate(found)]
    return pd.DataFrame(rows, columns=["quantity", "modality", "x", "seed", "value"])


def test_a_quantity_over_a_dial_is_compared_at_its_ends():
    frame = pd.concat([dial({0.0: [0.4, 0.5, 0.6], 0.8: [0.5, 0.61, 0.69]}), dial({0.0: [0.1], 0.8: [0.2]}, modality="text")])
    figure = over_dial(frame, dial="informativeness", modality="vision")
    # Differences .10, .11, .09: mean .1, standard error .01 / sqrt 3, quantile 4.303.
    assert alt_of(figure) == "Vision, gate: .500 to .600 from informativeness 0 to 0.8: +.100 (95 % +.075 to +.125, n = 3, p = .003)."
    assert "Text" not in caption_of(figure)
    lines = {found.name: found for found in figure.data}
    assert list(lines["vision"].y) == [0.5, 0.61]


def test_each_quantity_has_a_panel_and_an_axis_of_its_own():
    frame = pd.concat([dial({0.0: [0.4, 0.5], 1.0: [0.5, 0.4]}), dial({0.0: [40.0, 50.0], 1.0: [50.0, 60.0]}, quantity="lost")])
    figure = over_dial(frame, dial="x")
    assert figure.layout.yaxis.range[1] < 1 < 30 < figure.layout.yaxis2.range[0] and figure.layout.yaxis2.matches is None
    assert "Vision, gate: .450 to .450 from x 0 to 1: no difference found" in caption_of(figure)
    still = over_dial(dial({0.0: [0.5], 1.0: [0.50001]}), dial="x").layout.yaxis.range
    assert still[1] - still[0] >= 0.02, "no blown-up last digits"
    alone = over_dial(dial({0.5: [0.4]}), dial="x")
    assert alt_of(alone) == "Vision, gate: .400 at x 0.5 (one value of the dial: nothing to compare)."
    with pytest.raises(DataError, match="over_dial needs the column x"):
        over_dial(frame.drop(columns="x"), dial="x")
