"""Scores over a dial: lines with intervals, and the paired difference, on tables whose answers are known."""

import numpy as np
import pandas as pd
import pytest

from workbench.errors import ConfigError, DataError
from workbench.figures import caption_of, scores_over_dial
from workbench.figures.captions import alt_of
from workbench.figures.dial_lines import changes_over_dial, shown_range, slopes_by_seed


def table(**variants) -> pd.DataFrame:
    """`name={x: [a value a seed]}`."""
    rows = [(name, x, seed, value) for name, line in variants.items() for x, values in line.items() for seed, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["variant", "x", "seed", "value"])


FALLING = {0.0: [0.8, 0.82, 0.81], 1.0: [0.7, 0.72, 0.71], 2.0: [0.6, 0.62, 0.61]}
LEVEL = {0.0: [0.8, 0.83, 0.81], 1.0: [0.8, 0.82, 0.81], 2.0: [0.8, 0.81, 0.81]}


def test_slopes_are_by_seed_and_need_every_value_of_the_dial():
    frame = table(plain=FALLING, delta=LEVEL)
    np.testing.assert_allclose(slopes_by_seed(frame, "plain"), [-0.1, -0.1, -0.1])
    np.testing.assert_allclose(slopes_by_seed(frame, "delta"), [0, -0.01, 0], atol=1e-12)
    assert list(slopes_by_seed(table(plain={0: [0.8, 0.9], 1: [0.7]}), "plain").index) == [0]
    assert not len(slopes_by_seed(table(plain={0: [0.8]}), "plain"))


def test_the_claim_is_the_difference_of_slopes():
    said = alt_of(scores_over_dial(table(delta=LEVEL, plain=FALLING), dial="offset", metric="accuracy", pair=("delta", "plain")))
    # Slopes of delta 0, -.01, 0 and of plain -.1 each: they differ by .1, .09, .1; mean .0967, standard error .00333, t(2) = 4.303.
    assert said == (
        "Accuracy for one step of offset (n = 3): delta -.003 (-.018 to +.011), plain -.100 (-.100 to -.100); "
        "the slopes differ: delta less plain +.097 (95 % +.082 to +.111), p = .001."
    )


def test_differences_are_paired_and_corrected_over_the_dials_values():
    changes = changes_over_dial(table(delta=LEVEL, plain=FALLING), "delta", "plain")
    assert [round(change.mean, 6) for change in changes.values()] == [0.003333, 0.1, 0.196667]
    figure = scores_over_dial(table(delta=LEVEL, plain=FALLING), dial="offset", pair=("delta", "plain"))
    right = next(trace for trace in figure.data if trace.name == "difference")
    assert list(right.marker.symbol) == ["circle-open", "circle", "circle"]
    assert list(right.y) == pytest.approx([0.003333, 0.1, 0.196667], abs=1e-5)
    assert "delta less plain, found at 2 of 3 values of offset (Holm, 5 %): 1: +.100 (95 % +.100 to +.100), 2: +.197" in caption_of(figure)


def test_of_many_weak_differences_none_is_found():
    random = np.random.default_rng(3)
    noise = {float(x): list(random.normal(0.8, 0.02, 3)) for x in range(5)}
    other = {float(x): list(random.normal(0.8, 0.02, 3)) for x in range(5)}
    figure = scores_over_dial(table(first=noise, second=other), dial="offset", pair=("first", "second"))
    assert "no difference found at any of 5 values of offset (Holm, 5 %); the largest at" in caption_of(figure)
    assert set(next(trace for trace in figure.data if trace.name == "difference").marker.symbol) == {"circle-open"}


def test_lines_have_bars_and_names_and_the_ceiling():
    figure = scores_over_dial(table(delta=LEVEL, plain=FALLING), dial="offset", ceiling=0.9)
    found = {trace.name: trace for trace in figure.data}
    np.testing.assert_allclose(found["plain"].y, [0.81, 0.71, 0.61])
    # Three seeds .01 apart: standard error .00577, t(2) = 4.303.
    np.testing.assert_allclose(found["plain"].error_y.array, 4.3027 * 0.01 / np.sqrt(3), rtol=1e-4)
    assert found["delta"].line.dash != found["plain"].line.dash and list(found["ceiling"].y) == [0.9, 0.9]
    assert {"delta", "plain"} <= {note.text for note in figure.layout.annotations}
    assert "ceiling (.900)" in caption_of(figure)
    # Marks of variants stand beside each other, around the value.
    np.testing.assert_allclose((found["delta"].x + found["plain"].x) / 2, [0, 1, 2], atol=1e-12)
    assert (found["delta"].x < found["plain"].x).all()


def test_one_variant_and_one_seed_have_no_right_panel_and_no_interval():
    assert not [trace for trace in scores_over_dial(table(a=LEVEL, b=FALLING), dial="x").data if trace.name == "difference"]
    alone = scores_over_dial(table(only={0: [0.5], 1: [0.4]}), dial="lag [s]")
    assert not [trace for trace in alone.data if trace.name == "difference"]
    assert alt_of(alone) == "Score for one step of lag [s] (n = 1): only -.100."
    one = scores_over_dial(table(only={0: [0.5]}), dial="lag [s]")
    assert alt_of(one) == "Lag [s] has one value: no slope to tell."
    two = caption_of(scores_over_dial(table(a={0: [0.5], 1: [0.4]}, b={0: [0.5], 1: [0.5]}), dial="lag", pair=("a", "b")))
    assert "a against b: no difference found at any of 2 values of lag (Holm, 5 %); the largest at 1: -.100 (one seed)." in two


def test_what_is_missing_is_refused():
    with pytest.raises(ConfigError, match='unknown variant "mean"'):
        scores_over_dial(table(a={0: [1.0]}, b={0: [1.0]}), dial="x", pair=("a", "mean"))
    with pytest.raises(DataError, match="scores_over_dial needs the column x"):
        scores_over_dial(table(a={0: [1.0]}).drop(columns="x"), dial="x")


def test_very_long_bars_are_cut_and_it_is_said():
    assert shown_range([0.5, 0.7], [0.4, 0.8, float("nan")])[1] is False
    reach, is_cut = shown_range([0.5, 0.7], [-3.0, 0.8])
    # The values span .2: .6 of it below them, and 6 % of what is shown as room.
    assert is_cut and reach == pytest.approx([0.38 - 0.06 * 0.42, 0.8 + 0.06 * 0.42])
    assert "cut at the picture's edge" in caption_of(scores_over_dial(table(a={0: [0.5, 0.9], 1: [0.9, 0.5]}), dial="x"))
